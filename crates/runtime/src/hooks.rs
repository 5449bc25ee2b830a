//! Hooks of the runtime's namespaces: what they are told, and running a list of them.

use crate::annotations::hook_output;
use crate::{Error, Result};
use oci_spec::runtime::{Hook, Spec};
use process::hooks::{HookContext, Output, run};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// The state of a container as its hooks get it on stdin.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub oci_version: String,
    pub id: String,
    pub status: String,
    /// Left out when there is no process.
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
        // Text and numbers only, which always can be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Runs `hooks` in order, at most until the process behind `until` ends; the first that fails is an
/// error, and the rest are not run.
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
    let mut ran = each(kind, hooks, state, &output, until);
    ran.find_map(std::result::Result::err).map_or(Ok(()), Err)
}

/// Runs the hooks of the runtime's namespaces that come when the container's are there, at most until
/// its `init` ends.
pub(crate) fn run_create_hooks(spec: &Spec, state: &State, init: &OwnedFd) -> Result<()> {
    let init = Some(init.as_fd());
    let hooks = spec.hooks().as_ref();
    let prestart = hooks.and_then(|hooks| hooks.prestart().as_deref());
    let create = hooks.and_then(|hooks| hooks.create_runtime().as_deref());
    run_all("prestart", prestart.unwrap_or_default(), state, init)?;
    run_all("createRuntime", create.unwrap_or_default(), state, init)
}

/// Runs `hooks` in order, all of them; those that fail are only warned of.
pub(crate) fn run_leniently(kind: &str, hooks: &[Hook], state: &State, warn: &dyn Fn(&str)) {
    if hooks.is_empty() {
        return;
    }
    // They clean up, which is worth more than what they say.
    let output = hook_output(&state.annotations).unwrap_or_else(|error| {
        warn(&error.to_string());
        Output::default()
    });
    for error in each(kind, hooks, state, &output, None).filter_map(std::result::Result::err) {
        warn(&error.to_string());
    }
}

/// Runs them one by one, as the caller asks for what came of each.
fn each<'a>(
    kind: &'a str,
    hooks: &'a [Hook],
    state: &'a State,
    output: &'a Output,
    until: Option<BorrowedFd<'a>>,
) -> impl Iterator<Item = Result<()>> + 'a {
    let json = state.to_json();
    hooks.iter().enumerate().map(move |(index, hook)| {
        let surroundings = HookContext {
            state: &json,
            directory: Some(&state.bundle),
            environment: &[],
            output,
            on_host: true,
            until,
        };
        run(hook, &surroundings)
            .map_err(|failure| Error::new(format!("error running {kind} hook #{index}: {failure}")))
    })
}
