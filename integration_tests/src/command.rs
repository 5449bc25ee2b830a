//! Commands that cannot hang: every one has a time limit, and is killed when its handle goes.

use crate::host::wait_for;
use serde_json::Value;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::memfd::{MFdFlags, memfd_create};

/// How long a command may take. Far more than any needs: the machine may be busy, or emulated.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What a command that has ended left.
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Its exit status; 128 and the signal's number if one killed it.
    pub code: i32,
    /// What it, and whatever inherited its descriptors, wrote to stdout until now.
    pub stdout: String,
    /// The same for stderr.
    pub stderr: String,
}

impl fmt::Debug for Output {
    /// As in a message: the first page of what it wrote will do.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let start = |text: &str| text.chars().take(2000).collect::<String>();
        writeln!(f, "{}\nexit status {}", self.command, self.code)?;
        writeln!(f, "stdout: {}\nstderr: {}", start(&self.stdout), start(&self.stderr))
    }
}

impl Output {
    /// Asserts that it succeeded, without a word on stderr.
    #[track_caller]
    #[must_use]
    pub fn succeeded(self) -> Self {
        assert!(self.code == 0 && self.stderr.is_empty(), "should have succeeded: {self:#?}");
        self
    }

    /// The JSON that it wrote to stdout.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Asserts that it failed with `text` somewhere on stderr.
    #[track_caller]
    #[must_use]
    pub fn failed_with(self, text: &str) -> Self {
        assert!(
            self.code != 0 && self.stderr.contains(text),
            "should have failed with {text:?}: {self:#?}"
        );
        self
    }
}

/// Runs `command` to its end.
#[track_caller]
#[must_use]
pub fn run(command: Command) -> Output {
    spawn(command).wait()
}

/// Starts `command` with an empty stdin, and its output kept for [`Running::wait`].
#[track_caller]
#[must_use]
pub fn spawn(mut command: Command) -> Running {
    command.stdin(Stdio::null());
    spawn_reading(command)
}

/// As [`spawn`], with the stdin that `command` has.
#[track_caller]
#[must_use]
pub fn spawn_reading(mut command: Command) -> Running {
    // In memory, not pipes: a container outlives the command that made it and goes on writing.
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| {
        let file = memfd_create(name, MFdFlags::MFD_CLOEXEC).expect("memfd_create");
        File::from(file)
    });
    command.stdout(stdout.try_clone().expect("dup"));
    command.stderr(stderr.try_clone().expect("dup"));
    start(command, Some((stdout, stderr)))
}

/// Starts `command` with the three standard descriptors that it has been given.
#[track_caller]
#[must_use]
pub fn spawn_bare(command: Command) -> Running {
    start(command, None)
}

#[track_caller]
fn start(mut command: Command, output: Option<(File, File)>) -> Running {
    let line = format!("{command:?}");
    let child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    let pid = i32::try_from(child.id()).expect("pid");
    let pidfd = sys::process::pidfd_open(pid).expect("pidfd_open of a child");
    Running { line, child, pidfd, output, started: Instant::now() }
}

/// A command that runs, and is killed when this goes.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    pidfd: OwnedFd,
    output: Option<(File, File)>,
    started: Instant,
}

impl Running {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pid")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        sys::process::pidfd_send_signal(&self.pidfd, signal).expect("signal to a child");
    }

    /// What has been written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.as_ref().map_or_else(String::new, |(stdout, _)| text(stdout))
    }

    /// What has been written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output.as_ref().map_or_else(String::new, |(_, stderr)| text(stderr))
    }

    /// Waits until stdout has a line that is `line`.
    #[track_caller]
    pub fn wait_line(&self, line: &str) {
        wait_for(&format!("{line:?} from {}", self.line), || {
            self.stdout().lines().any(|said| said == line)
        });
    }

    /// Waits for its end, and fails the test if that takes too long.
    #[track_caller]
    #[must_use]
    pub fn wait(mut self) -> Output {
        self.wait_here()
    }

    /// As [`Running::wait`], for one whose output is still to be read as others write to it.
    #[track_caller]
    pub fn wait_here(&mut self) -> Output {
        self.try_wait().unwrap_or_else(|timeout| panic!("{timeout}"))
    }

    /// Waits for its end; one that takes too long is killed.
    ///
    /// # Errors
    /// It took too long: what it was at, and what it had written.
    pub fn try_wait(&mut self) -> Result<Output, String> {
        if !readable(&self.pidfd, LIMIT.saturating_sub(self.started.elapsed())) {
            let at = self.blocked_in();
            self.kill();
            return Err(format!(
                "{} took more than {LIMIT:?}, lately in {at}; stdout {:?}, stderr {:?}",
                self.line,
                self.stdout(),
                self.stderr(),
            ));
        }
        let status = self.child.wait().expect("wait");
        let killed = status.signal().map(|signal| 128 + signal);
        Ok(Output {
            command: self.line.clone(),
            code: status.code().or(killed).expect("ended"),
            stdout: self.stdout(),
            stderr: self.stderr(),
        })
    }

    /// Kills it, and reaps it.
    pub fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The kernel function that it sleeps in, for the message when it hangs.
    fn blocked_in(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/wchan", self.pid())).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether `descriptor` becomes readable (a pidfd: its process ends) within `limit`.
pub fn readable(descriptor: impl AsFd, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Ok(0) if left.is_zero() => return false,
            Ok(0) | Err(sys::Errno::EINTR) => {}
            Ok(_) => return true,
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}

/// All that is in a file that others append to; their offset, which is shared, stays.
fn text(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().expect("fstat").len()).expect("size")];
    file.read_exact_at(&mut bytes, 0).expect("read back the output");
    String::from_utf8_lossy(&bytes).into_owned()
}
