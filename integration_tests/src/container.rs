//! A container under test: commands for it, and the promise that nothing of it remains.

use crate::binary;
use crate::bundle::Bundle;
use crate::cgroup;
use crate::command::{self, LIMIT, Output, Running, readable};
use crate::host::wait_for;
use crate::traces::{self, Trace};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

/// A container by its bundle and id. When it goes it is deleted by force; anything that is left
/// then is a failure of the test, and is removed.
#[derive(Debug)]
pub struct Container {
    bundle: Bundle,
    id: String,
    root: PathBuf,
    /// Flags of the runtime, before the command.
    flags: Vec<String>,
    /// The command that made it, for what its processes write.
    maker: Option<Running>,
    /// Its init.
    init: Option<OwnedFd>,
}

impl Container {
    /// A container that does not exist yet.
    #[must_use]
    pub fn new(bundle: Bundle) -> Self {
        let root = bundle.state_root();
        Self::rooted(bundle, root)
    }

    /// A container that does not exist yet, whose state is kept in the same place as `other`'s.
    #[must_use]
    pub fn beside(other: &Self, bundle: Bundle) -> Self {
        Self::rooted(bundle, other.root.clone())
    }

    fn rooted(bundle: Bundle, root: PathBuf) -> Self {
        let flags = cgroup::manager_flags();
        Self { id: bundle.id().to_owned(), bundle, root, flags, maker: None, init: None }
    }

    /// The same, with every command having these flags of the runtime, `--systemd-cgroup` and such.
    #[must_use]
    pub fn with_flags(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        self
    }

    /// A container that has been created.
    #[track_caller]
    #[must_use]
    pub fn created(bundle: Bundle) -> Self {
        let mut container = Self::new(bundle);
        container.create(&[]);
        container
    }

    /// A container whose probe sleeps, and is ready for signals.
    #[track_caller]
    #[must_use]
    pub fn running(bundle: Bundle) -> Self {
        let container = Self::created(bundle.probing(&["sleep"]));
        container.start();
        container.wait_line("ready");
        container
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Where the runtime keeps its state: `--root`.
    #[must_use]
    pub fn root(&self) -> &PathBuf {
        &self.root
    }

    /// The runtime's command line with `args` after `--root`. For a root of another user's it is run by
    /// that user, from the copy that such a bundle has: root is refused.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let owner = fs::metadata(&self.root).map_or(0, |root| root.uid());
        let copy = self.bundle.folder().join("runtime");
        let by_owner = owner != 0 && copy.exists();
        let mut command = Command::new(if by_owner { &copy } else { binary::rind() });
        if by_owner {
            command.uid(owner).gid(owner);
        }
        command.arg("--root").arg(&self.root).args(&self.flags).args(args);
        command
    }

    /// `name FLAGS ID`, with the bundle for those that take one.
    #[must_use]
    pub fn command_for(&self, name: &str, flags: &[&str]) -> Command {
        let mut command = self.command(&[name]);
        if matches!(name, "create" | "run") {
            command.arg("--bundle").arg(self.bundle.path());
        }
        command.args(flags).arg(&self.id);
        command
    }

    /// Runs `name FLAGS ID` to its end.
    #[track_caller]
    #[must_use]
    pub fn call(&self, name: &str, flags: &[&str]) -> Output {
        command::run(self.command_for(name, flags))
    }

    /// Runs `name ID ARGS` to its end.
    #[track_caller]
    #[must_use]
    pub fn call_with(&self, name: &str, args: &[&str]) -> Output {
        let mut command = self.command_for(name, &[]);
        command.args(args);
        command::run(command)
    }

    /// `exec FLAGS ID PROGRAM`.
    #[must_use]
    pub fn exec_command(&self, flags: &[&str], program: &[&str]) -> Command {
        let mut command = self.command_for("exec", flags);
        command.args(program);
        command
    }

    /// Runs a program in it to its end.
    #[track_caller]
    #[must_use]
    pub fn exec(&self, flags: &[&str], program: &[&str]) -> Output {
        command::run(self.exec_command(flags, program))
    }

    /// What the probe sees that `exec` runs in it.
    #[track_caller]
    #[must_use]
    pub fn exec_report(&self, flags: &[&str]) -> Value {
        self.exec(flags, &["/bin/probe", "report"]).succeeded().json()
    }

    /// Starts `run FLAGS ID` in the foreground.
    #[track_caller]
    #[must_use]
    pub fn spawn_run(&self, flags: &[&str]) -> Running {
        command::spawn(self.command_for("run", flags))
    }

    /// Creates it.
    #[track_caller]
    pub fn create(&mut self, flags: &[&str]) {
        self.make("create", flags);
    }

    /// Runs it in the background.
    #[track_caller]
    pub fn run_detached(&mut self, flags: &[&str]) {
        self.make("run", &[&["--detach"], flags].concat());
    }

    #[track_caller]
    fn make(&mut self, name: &str, flags: &[&str]) {
        self.make_by(self.command_for(name, flags));
    }

    /// Makes it by `command`, which must succeed without a word.
    #[track_caller]
    pub fn make_by(&mut self, command: Command) {
        let mut maker = command::spawn(command);
        let _ = maker.wait_here().succeeded();
        self.maker = Some(maker);
        // It may have ended already, and its parent reaped it.
        self.init = sys::process::pidfd_open(self.pid()).ok();
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) {
        let _ = self.call("start", &[]).succeeded();
    }

    /// Sends a signal to its init.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        let _ = self.call_with("kill", &[signal]).succeeded();
    }

    /// Deletes it, and asserts that nothing is left.
    #[track_caller]
    pub fn delete(&self) {
        let _ = self.call("delete", &[]).succeeded();
        self.assert_no_trace();
    }

    /// Kills it and waits for its end.
    #[track_caller]
    pub fn stop(&self) {
        self.kill("KILL");
        self.wait_stopped();
    }

    /// What `state` prints.
    #[track_caller]
    #[must_use]
    pub fn state(&self) -> Value {
        let output = self.call("state", &[]).succeeded();
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
    }

    /// Its status as `state` prints it.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// The pid of its init.
    #[track_caller]
    #[must_use]
    pub fn pid(&self) -> i32 {
        let state = self.state();
        state["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
    }

    /// Waits until its init has ended.
    #[track_caller]
    pub fn wait_stopped(&self) {
        match &self.init {
            Some(init) => {
                let said = || self.said();
                assert!(readable(init, LIMIT), "{} has not ended; it wrote {:?}", self.id, said());
            }
            // It was made by other means, or had ended before it could be watched.
            None => wait_for(&format!("{} to end", self.id), || self.status() == "stopped"),
        }
        assert_eq!(self.status(), "stopped");
    }

    /// What its processes wrote to the stdout that they had from `create` or `run --detach`.
    #[must_use]
    pub fn said(&self) -> String {
        self.maker.as_ref().map_or_else(String::new, Running::stdout)
    }

    /// The same of stderr.
    #[must_use]
    pub fn complained(&self) -> String {
        self.maker.as_ref().map_or_else(String::new, Running::stderr)
    }

    /// Waits until its processes have written this line.
    #[track_caller]
    pub fn wait_line(&self, line: &str) {
        self.maker.as_ref().expect("created").wait_line(line);
    }

    /// The JSON that its process wrote.
    #[track_caller]
    #[must_use]
    pub fn report(&self) -> Value {
        let said = self.said();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// What there is of it on the machine.
    #[must_use]
    pub fn traces(&self) -> Vec<Trace> {
        traces::find(&self.id, &self.bundle.folder(), &self.root)
    }

    /// Asserts that there is nothing of it on the machine: no cgroup, mount, state or process.
    #[track_caller]
    pub fn assert_no_trace(&self) {
        let left = self.traces();
        assert!(left.is_empty(), "{} has left {left:#?}", self.id);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut command = self.command(&["delete", "--force"]);
        command.arg(&self.id);
        // A hang fails the test, but must not keep the rest from being removed.
        let deleted = command::spawn(command).try_wait();
        let left = self.traces();
        traces::remove(&left);
        if thread::panicking() {
            return;
        }
        let output = deleted.unwrap_or_else(|timeout| panic!("{timeout}"));
        assert_eq!(output.code, 0, "delete --force of what the test left: {output:#?}");
        assert!(left.is_empty(), "delete --force has left {left:#?}");
    }
}
