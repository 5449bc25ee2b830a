//! Hooks that run in the runtime's namespaces (runtime-spec, config.md, POSIX-platform Hooks): what
//! they get on stdin, and running a list of them. The caller must not have the lock.

use crate::container::annotations::hook_output;
use crate::{Error, Result};
use oci_spec::runtime::{Hook, Spec};
use process::hooks::{HookContext, Output, run};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use timing::Step;

/// The state of a container as its hooks get it on stdin.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub oci_version: String,
    pub id: String,
    pub status: String,
    /// Left out if it is 0: there is no process.
    #[serde(skip_serializing_if = "is_none")]
    pub pid: i32,
    pub bundle: PathBuf,
    pub annotations: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(pid: &i32) -> bool {
    *pid == 0
}

impl State {
    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Text and numbers only, which can always be serialized.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Runs `hooks` in order, at most until the process of the pidfd `until` ends. The first hook that
/// fails is an error, and the rest are not run. `kind` is for messages.
pub(crate) fn run_all(
    kind: &str,
    hooks: &[Hook],
    state: &State,
    until: Option<BorrowedFd>,
) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let output = hook_output(&state.annotations)?;
    each(kind, hooks, state, &output, until).collect()
}

/// Runs the prestart and createRuntime hooks, at most until the process of the pidfd `init` ends.
pub(crate) fn run_create_hooks(spec: &Spec, state: &State, init: &OwnedFd) -> Result<()> {
    let init = Some(init.as_fd());
    let hooks = spec.hooks().as_ref();
    let prestart = hooks.and_then(|hooks| hooks.prestart().as_deref());
    let create = hooks.and_then(|hooks| hooks.create_runtime().as_deref());
    run_all("prestart", prestart.unwrap_or_default(), state, init)?;
    run_all("createRuntime", create.unwrap_or_default(), state, init)
}

/// Runs all `hooks` in order. A hook that fails is a warning.
pub(crate) fn run_best_effort(kind: &str, hooks: &[Hook], state: &State, warn: &dyn Fn(&str)) {
    if hooks.is_empty() {
        return;
    }
    // These hooks clean up, so they run even if their output can't be saved.
    let output = hook_output(&state.annotations).unwrap_or_else(|error| {
        warn(&error.to_string());
        Output::default()
    });
    for error in each(kind, hooks, state, &output, None).filter_map(std::result::Result::err) {
        warn(&error.to_string());
    }
}

/// Runs one hook for each result that the caller takes.
fn each<'a>(
    kind: &'a str,
    hooks: &'a [Hook],
    state: &'a State,
    output: &'a Output,
    until: Option<BorrowedFd<'a>>,
) -> impl Iterator<Item = Result<()>> + 'a {
    let json = state.to_json();
    let step = match kind {
        "prestart" => Some(Step::Prestart),
        "createRuntime" => Some(Step::CreateRuntime),
        "poststart" => Some(Step::Poststart),
        _ => None,
    };
    hooks.iter().enumerate().map(move |(index, hook)| {
        let context = HookContext {
            state: &json,
            directory: Some(&state.bundle),
            environment: &[],
            output,
            on_host: true,
            until,
        };
        let ran = run(hook, &context);
        if let Some(step) = step {
            timing::done_at(step, index);
        }
        ran.map_err(|error| {
            let hint = match error.hint() {
                Some(hint) => hint.to_owned(),
                None => format!(
                    "hooks.{kind}[{index}] is {}: mend it, or leave it out",
                    hook.path().display()
                ),
            };
            Error::on("error running", format!("{kind} hook #{index}"), error).with_hint(Some(hint))
        })
    })
}
