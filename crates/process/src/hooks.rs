//! Running a hook (runtime-spec, config.md, POSIX-platform Hooks): the state is on its stdin, and
//! an error quotes its output.
//!
//! The state is in a memory file, not in a pipe, so a hook that reads nothing can neither block nor
//! kill rind. rind reads the output from a pipe meanwhile, and keeps little of it (`Capture`). A
//! hook must never get rind's own environment or descriptors.
//!
//! A hook leads a session of its own, so no terminal stops or signals it. When its time is over,
//! rind kills it with its process group, and on the host also with descendants that have left the
//! group. Processes that a successful hook leaves behind live on.

use crate::capture::{Capture, Outcome, deadline};
use crate::descendants::Descendants;
use crate::refusal;
use crate::seal::all_seals;
use oci_spec::runtime::Hook;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use sys::nix::fcntl::{FcntlArg, fcntl};
use sys::nix::sys::memfd::{MFdFlags, memfd_create};
use sys::nix::sys::signal::Signal;
use sys::{Error, Explain};

/// Where the output of hooks goes; the error of a failed hook quotes output that is `None`.
#[derive(Debug, Default)]
pub struct Output {
    /// The file for stdout.
    pub stdout: Option<File>,
    /// The file for stderr.
    pub stderr: Option<File>,
}

/// Where hooks run, and what they get.
#[derive(Debug)]
pub struct HookContext<'a> {
    /// The state as JSON, for stdin.
    pub state: &'a [u8],
    /// The working directory; `None` for the current one.
    pub directory: Option<&'a Path>,
    /// The environment for a hook whose `env` is missing.
    pub environment: &'a [String],
    /// Where the output goes.
    pub output: &'a Output,
    /// Whether the hook runs on the host, in rind's pid namespace, so that rind finds its
    /// descendants in /proc. A hook in the container ends with the container, and so do its
    /// descendants.
    pub on_host: bool,
    /// The pidfd of the process that the hook is for: rind kills the hook when that process ends.
    pub until: Option<BorrowedFd<'a>>,
}

/// Runs one hook to its end. An exit status other than 0 is an error, and so is the end of the
/// hook's `timeout`, in seconds.
pub fn run(hook: &Hook, context: &HookContext) -> Result<(), Error> {
    let waiting = "waiting for it";
    let (mut output, writer) = Capture::new().within("making a pipe for its output")?;
    let may_be_killed = hook.timeout().is_some() || context.until.is_some();
    let keeps = context.on_host && may_be_killed;
    let descendants = keeps.then(Descendants::keep).transpose().within(waiting)?;
    let mut child = start(hook, context, writer)?;
    let outcome = output.await_end(&child, context.until, deadline(hook.timeout()));
    if outcome != Ok(Outcome::Ended) {
        // The hook isn't reaped yet, so its pid is still its own. The call fails only if all have
        // ended.
        let _ = sys::process::kill(-child.id().cast_signed(), Signal::SIGKILL as i32);
    }
    let status = child.wait();
    if outcome != Ok(Outcome::Ended) {
        // The hook's descendants become rind's children only now.
        descendants.iter().for_each(Descendants::kill);
    }
    match (outcome, status) {
        (Ok(Outcome::Ended), Ok(status)) if status.success() => Ok(()),
        (Ok(Outcome::Ended), Ok(status)) => {
            Err(Error::new(format!("{}, output: {}", exit_text(status), output.text())))
        }
        (Ok(Outcome::OtherEnded), _) => Err(Error::new("stopped before its end")),
        (Ok(Outcome::Deadline), _) => {
            let seconds = hook.timeout().unwrap_or_default();
            Err(Error::new(format!("hook ran past specified timeout of {seconds}s")))
        }
        (Err(errno), _) => Err(Error::call(waiting, errno)),
        (_, Err(error)) => Err(Error::call(waiting, error)),
    }
}

/// A file in memory with the state, which the hook can read but not change.
fn input(state: &[u8]) -> std::io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"hook-state", flags)?);
    file.write_all(state)?;
    file.rewind()?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all_seals()))?;
    Ok(file)
}

fn start(hook: &Hook, context: &HookContext, output: OwnedFd) -> Result<Child, Error> {
    let input = input(context.state).within("making a file of the state")?;
    let output = File::from(output);
    let duplicate = |to: &Option<File>| {
        to.as_ref().unwrap_or(&output).try_clone().within("copying a descriptor")
    };
    let Output { stdout, stderr } = context.output;
    let mut command = Command::new(hook.path());
    command.stdin(input).stdout(duplicate(stdout)?).stderr(duplicate(stderr)?);
    command.env_clear();
    if let Some((zero, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(zero).args(rest);
    }
    let environment = hook.env().as_deref().unwrap_or(context.environment);
    command.envs(environment.iter().filter_map(|entry| entry.split_once('=')));
    if let Some(directory) = context.directory {
        command.current_dir(directory);
    }
    sys::exec::lead_session(&mut command);
    // If rind is killed, nothing is left to enforce the hook's timeout.
    sys::exec::die_with_us(&mut command).within("having it end with the runtime")?;
    sys::exec::spawn(&mut command)
        .on("starting", hook.path())
        .map_err(|error| refusal::explain(error, hook.path()))
}

/// How a hook ended, in the words of Go's os/exec, which callers know from runc.
fn exit_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(Signal::SIGKILL) => "signal: killed".to_owned(),
            Ok(Signal::SIGTERM) => "signal: terminated".to_owned(),
            Ok(Signal::SIGSEGV) => "signal: segmentation fault".to_owned(),
            Ok(Signal::SIGABRT) => "signal: aborted".to_owned(),
            Ok(name) => format!("signal: {name}"),
            Err(_) => format!("signal: {signal}"),
        },
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hook(json: &str) -> Hook {
        serde_json::from_str(json).unwrap()
    }

    fn run_with(hook: &Hook, environment: &[String]) -> Result<(), Error> {
        let directory = Some(Path::new("/"));
        let output = &Output::default();
        let state = b"{\"id\":\"x\"}";
        let (on_host, until) = (false, None);
        run(hook, &HookContext { state, directory, environment, output, on_host, until })
    }

    #[test]
    fn the_state_is_on_stdin_and_a_failure_quotes_the_output() {
        let hook = hook(r#"{"path":"/bin/sh","args":["zero","-c","cat; echo $0 >&2; exit 3"]}"#);
        let error = run_with(&hook, &[]).unwrap_err().to_string();
        assert_eq!(error, "exit status 3, output: {\"id\":\"x\"}zero");
    }

    #[test]
    fn only_its_own_environment_reaches_a_hook() {
        let script =
            r#""args":["sh","-c","test \"$A\" = b && test -z \"$HOME\" && test $PWD = /"]"#;
        run_with(&hook(&format!(r#"{{"path":"/bin/sh",{script},"env":["A=b"]}}"#)), &[]).unwrap();
        run_with(&hook(&format!(r#"{{"path":"/bin/sh",{script}}}"#)), &["A=b".into()]).unwrap();
    }

    #[test]
    fn time_runs_out() {
        let hook = hook(r#"{"path":"/bin/sleep","args":["sleep","100"],"timeout":1}"#);
        let error = run_with(&hook, &[]).unwrap_err().to_string();
        assert_eq!(error, "hook ran past specified timeout of 1s");
    }

    #[test]
    fn a_hook_that_does_not_exist_is_named() {
        let error = run_with(&hook(r#"{"path":"/nonexistent"}"#), &[]).unwrap_err().to_string();
        assert!(error.contains("/nonexistent"), "{error}");
    }
}
