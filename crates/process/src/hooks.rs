//! Running hooks: one program at a time, the state on its stdin, its output kept for the error.
//!
//! Input and output are memory files, not pipes: a hook that reads nothing, or writes a lot, can
//! neither block nor kill us.

use oci_spec::runtime::Hook;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::memfd::{MFdFlags, memfd_create};
use sys::nix::sys::signal::Signal;
use sys::{Errno, process};

/// How much of a hook's output an error quotes, in bytes.
const QUOTED: u64 = 1024;

/// Why a hook counts as failed.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Where the output of hooks goes; what is `None` is quoted if they fail.
#[derive(Debug, Default)]
pub struct Output {
    /// Their stdout.
    pub stdout: Option<File>,
    /// Their stderr.
    pub stderr: Option<File>,
}

/// Where hooks run, and what they are told.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The state, as JSON, for stdin.
    pub state: &'a [u8],
    /// The directory that they start in; `None` for the current one.
    pub directory: Option<&'a Path>,
    /// The environment of a hook that has none of its own.
    pub environment: &'a [String],
    /// Where its output goes.
    pub output: &'a Output,
}

/// Runs one hook to its end; an exit status other than 0, or running out of time, is a failure.
///
/// A hook gets its own environment and nothing of ours: what an image sets must not steer a
/// program that runs on the host.
pub fn run(hook: &Hook, surroundings: &Surroundings) -> Result<(), Failure> {
    let output = memory_file(c"hook-output").map_err(cannot("making a file for its output"))?;
    let mut child = start(hook, surroundings, &output)?;
    let status = match wait(&child, hook.timeout()) {
        Ok(true) => child.wait().map_err(cannot("waiting for it"))?,
        Ok(false) => {
            // It is our child and not yet reaped, so this can only fail if it has just ended.
            let _ = child.kill();
            child.wait().map_err(cannot("waiting for it"))?;
            let seconds = hook.timeout().unwrap_or_default();
            return Err(Failure(format!("hook ran past specified timeout of {seconds}s")));
        }
        Err(errno) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(cannot("waiting for it")(errno.into()));
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(Failure(format!("{}, output: {}", describe(status), quote(output))))
}

fn cannot(what: &str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure(format!("{what}: {}", sys::answer(&error)))
}

fn memory_file(name: &std::ffi::CStr) -> std::io::Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?))
}

fn start(hook: &Hook, surroundings: &Surroundings, output: &File) -> Result<Child, Failure> {
    let mut input = memory_file(c"hook-state").map_err(cannot("making a file for the state"))?;
    let filled = input.write_all(surroundings.state).and_then(|()| input.rewind());
    filled.map_err(cannot("writing the state"))?;
    let duplicate = |to: &Option<File>| {
        to.as_ref().unwrap_or(output).try_clone().map_err(cannot("copying a descriptor"))
    };
    let Output { stdout, stderr } = surroundings.output;
    let mut command = Command::new(hook.path());
    command.stdin(OwnedFd::from(input)).stdout(duplicate(stdout)?).stderr(duplicate(stderr)?);
    command.env_clear();
    if let Some((zero, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(zero).args(rest);
    }
    let environment = hook.env().as_deref().unwrap_or(surroundings.environment);
    command.envs(environment.iter().filter_map(|entry| entry.split_once('=')));
    if let Some(directory) = surroundings.directory {
        command.current_dir(directory);
    }
    // If we are killed, nobody is left to mind its time, nor what it does to the container.
    sys::exec::die_with_us(&mut command);
    command.spawn().map_err(cannot(&format!("starting {}", hook.path().display())))
}

/// Waits until `child` ends; whether it did within `seconds`.
fn wait(child: &Child, seconds: Option<i64>) -> sys::Result<bool> {
    let pid = i32::try_from(child.id()).map_err(|_| Errno::EOVERFLOW)?;
    let pidfd = process::pidfd_open(pid)?;
    let deadline = seconds.and_then(|seconds| u64::try_from(seconds).ok()).and_then(|seconds| {
        std::time::Instant::now().checked_add(std::time::Duration::from_secs(seconds))
    });
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                // A wait longer than poll can express is cut into several.
                let left = left.min(std::time::Duration::from_secs(3600));
                PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if deadline.is_some_and(|d| d <= std::time::Instant::now()) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

/// How a hook ended, in the words that Go's os/exec has for it, which callers know from runc.
fn describe(status: ExitStatus) -> String {
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

fn quote(mut output: File) -> String {
    let mut text = Vec::new();
    // The output only explains the error, so that it can't be read is not worth another.
    let _ = output.rewind().and_then(|()| output.take(QUOTED).read_to_end(&mut text));
    String::from_utf8_lossy(text.trim_ascii()).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hook(json: &str) -> Hook {
        serde_json::from_str(json).unwrap()
    }

    fn run_with(hook: &Hook, environment: &[String]) -> Result<(), Failure> {
        let directory = Some(Path::new("/"));
        let output = &Output::default();
        run(hook, &Surroundings { state: b"{\"id\":\"x\"}", directory, environment, output })
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
