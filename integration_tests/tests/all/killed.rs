//! Nothing is leaked at whatever step a command is killed: before each call by which it changes
//! something outside of it, or waits for somebody to, one after the other; and not by time, as
//! `faults` does.
//!
//! strace has the calls of a whole run first, and then kills one run at each of them: as the call is
//! entered, so that it isn't made any more.

use crate::faults::clear_by;
use crate::rootless_systemd::{Setting, User, setting};
use integration_tests::command::{Output, run};
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, cgroup, json, tests};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = tests![
    create_by_cgroupfs,
    create_by_systemd,
    create_by_a_users_systemd,
    detached_run_by_cgroupfs,
    detached_run_by_systemd,
    start_by_cgroupfs,
    start_by_systemd,
    exec_by_cgroupfs,
    exec_by_systemd,
    exec_by_a_users_systemd,
    update_by_cgroupfs,
    update_by_systemd,
    update_by_a_users_systemd,
    pause_by_cgroupfs,
    pause_by_systemd,
    resume_by_cgroupfs,
    resume_by_systemd,
    kill_by_cgroupfs,
    kill_by_systemd,
    kill_of_several_by_cgroupfs,
    kill_of_several_by_systemd,
    delete_by_cgroupfs,
    delete_by_systemd,
    forced_delete_by_cgroupfs,
    forced_delete_by_systemd,
    forced_delete_by_a_users_systemd,
    forced_delete_of_several_by_cgroupfs,
    forced_delete_of_several_by_systemd,
];

/// The calls that are steps; those that an architecture hasn't got are left out.
const STEPS: &[&str] = &[
    // Files, and cgroups.
    "mkdir",
    "mkdirat",
    "mknodat",
    "symlinkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "write",
    "pwrite64",
    "writev",
    "chown",
    "fchownat",
    "mount",
    "umount2",
    "bpf",
    // Processes.
    "clone3",
    "setns",
    "pidfd_send_signal",
    "kill",
    // systemd, and init.
    "connect",
    "sendto",
    "sendmsg",
    "recvmsg",
    "poll",
    "ppoll",
    // The last is after all others.
    "exit_group",
];

/// Those of them that are made as often as something comes.
const WAITS: &[&str] = &["recvmsg", "poll", "ppoll"];

/// What a process ends with that SIGKILL has killed.
const KILLED: i32 = 128 + 9;

/// A command, and what it is for.
#[derive(Clone, Copy)]
struct Case {
    /// The container at the start.
    from: From,
    name: &'static str,
    flags: &'static [&'static str],
    /// What comes after the id.
    args: &'static [&'static str],
    /// What the container's status may be when the command has been killed.
    then: &'static [&'static str],
}

/// What a container is when a command comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Nothing,
    Created,
    Running,
    /// With another process that is not init's child.
    Several,
    Paused,
    /// Running, with a mount that has been added, of a list that the caller puts in for `@MOUNTS@`.
    Mounted,
    Stopped,
}

impl From {
    /// Makes a container, and makes it this, by commands (their names, flags, and what comes after the
    /// id) that must succeed.
    pub(crate) fn reach(
        self,
        call: impl Fn(&str, &[&str], &[&str]) -> Output,
        status: impl Fn() -> String,
    ) {
        let call = |name, flags: &[&str], args: &[&str]| {
            let _ = call(name, flags, args).succeeded();
        };
        match self {
            Self::Nothing => return,
            Self::Created => return call("create", &[], &[]),
            _ => call("run", &["--detach"], &[]),
        }
        match self {
            Self::Several => call("exec", &["--detach"], &["/bin/probe", "sleep"]),
            Self::Paused => call("pause", &[], &[]),
            Self::Mounted => call("mounts", &["add"], &["@MOUNTS@"]),
            Self::Stopped => {
                call("kill", &[], &["KILL"]);
                wait_for("the container to end", || status() == "stopped");
            }
            _ => {}
        }
    }
}

/// What `state` says of a container that there isn't.
pub(crate) const NONE: &str = "none";

const CREATE: Case = Case {
    from: From::Nothing,
    name: "create",
    flags: &[],
    args: &[],
    then: &[NONE, "creating", "created", "stopped"],
};
const RUN: Case = Case {
    from: From::Nothing,
    name: "run",
    flags: &["--detach"],
    args: &[],
    then: &[NONE, "creating", "created", "running", "stopped"],
};
const START: Case = Case {
    from: From::Created,
    name: "start",
    flags: &[],
    args: &[],
    then: &["created", "running"],
};
const EXEC: Case = Case {
    from: From::Running,
    name: "exec",
    flags: &["--detach"],
    args: &["/bin/probe", "sleep"],
    then: &["running"],
};
const UPDATE: Case = Case {
    from: From::Running,
    name: "update",
    flags: &["--memory", "100M", "--memory-swap", "-1", "--pids-limit", "44", "--cpu-share", "300"],
    args: &[],
    then: &["running"],
};
const PAUSE: Case = Case {
    from: From::Running,
    name: "pause",
    flags: &[],
    args: &[],
    then: &["running", "paused"],
};
const RESUME: Case = Case { from: From::Paused, name: "resume", ..PAUSE };
/// A frozen process has to be thawed to end.
const KILL: Case = Case {
    from: From::Paused,
    name: "kill",
    flags: &[],
    args: &["KILL"],
    then: &["running", "paused", "stopped"],
};
/// Each is killed by itself.
const KILL_SEVERAL: Case = Case { from: From::Several, ..KILL };
const DELETE: Case =
    Case { from: From::Stopped, name: "delete", flags: &[], args: &[], then: &["stopped", NONE] };
const FORCED_DELETE: Case = Case {
    from: From::Running,
    name: "delete",
    flags: &["--force"],
    args: &[],
    then: &["running", "stopped", NONE],
};
const FORCED_DELETE_OF_SEVERAL: Case = Case { from: From::Several, ..FORCED_DELETE };

fn create_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(CREATE), CREATE);
}

fn create_by_systemd() {
    kill_at_each_step(&systemd(CREATE), CREATE);
}

fn create_by_a_users_systemd() {
    kill_at_each_step(&users_systemd(), CREATE);
}

fn detached_run_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(RUN), RUN);
}

fn detached_run_by_systemd() {
    kill_at_each_step(&systemd(RUN), RUN);
}

fn start_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(START), START);
}

fn start_by_systemd() {
    kill_at_each_step(&systemd(START), START);
}

fn exec_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(EXEC), EXEC);
}

fn exec_by_systemd() {
    kill_at_each_step(&systemd(EXEC), EXEC);
}

/// Who has systemd move the process to the container's unit.
fn exec_by_a_users_systemd() {
    kill_at_each_step(&users_systemd(), EXEC);
}

fn update_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(UPDATE), UPDATE);
}

fn update_by_systemd() {
    kill_at_each_step(&systemd(UPDATE), UPDATE);
}

fn update_by_a_users_systemd() {
    kill_at_each_step(&users_systemd(), UPDATE);
}

fn pause_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(PAUSE), PAUSE);
}

fn pause_by_systemd() {
    kill_at_each_step(&systemd(PAUSE), PAUSE);
}

fn resume_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(RESUME), RESUME);
}

fn resume_by_systemd() {
    kill_at_each_step(&systemd(RESUME), RESUME);
}

fn kill_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(KILL), KILL);
}

fn kill_by_systemd() {
    kill_at_each_step(&systemd(KILL), KILL);
}

fn kill_of_several_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(KILL_SEVERAL), KILL_SEVERAL);
}

fn kill_of_several_by_systemd() {
    kill_at_each_step(&systemd(KILL_SEVERAL), KILL_SEVERAL);
}

fn delete_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(DELETE), DELETE);
}

fn delete_by_systemd() {
    kill_at_each_step(&systemd(DELETE), DELETE);
}

fn forced_delete_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(FORCED_DELETE), FORCED_DELETE);
}

fn forced_delete_by_systemd() {
    kill_at_each_step(&systemd(FORCED_DELETE), FORCED_DELETE);
}

fn forced_delete_by_a_users_systemd() {
    kill_at_each_step(&users_systemd(), FORCED_DELETE);
}

fn forced_delete_of_several_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(FORCED_DELETE_OF_SEVERAL), FORCED_DELETE_OF_SEVERAL);
}

fn forced_delete_of_several_by_systemd() {
    kill_at_each_step(&systemd(FORCED_DELETE_OF_SEVERAL), FORCED_DELETE_OF_SEVERAL);
}

/// A container, and who calls the runtime for it.
struct Subject {
    container: Container,
    /// Root, if none.
    user: Option<User>,
}

/// In a cgroup that lacks its parents.
fn cgroupfs(case: Case) -> Subject {
    let bundle = bundle(case);
    let path = format!("/{}/a/b", bundle.id());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    let container = Container::new(bundle).with_flags(&["--cgroup-manager", "cgroupfs"]);
    Subject { container, user: None }
}

/// In `it-ID.scope`.
fn systemd(case: Case) -> Subject {
    if !Path::new("/run/systemd/system").exists() {
        skip("systemd does not run here");
    }
    let bundle = bundle(case);
    let path = format!("system.slice:it:{}", bundle.id());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    let container = Container::new(bundle).with_flags(&["--cgroup-manager", "systemd"]);
    Subject { container, user: None }
}

/// In `rind-ID.scope`, by the user's systemd.
fn users_systemd() -> Subject {
    let Setting { user, container } = setting(limit);
    Subject { container, user: Some(user) }
}

fn bundle(case: Case) -> Bundle {
    let bundle = Bundle::new().probing(&["sleep"]).config(limit);
    // With a pid namespace all would go with init.
    if case.from == From::Several { bundle.without_namespace("pid") } else { bundle }
}

fn limit(config: &mut Value) {
    config["linux"]["resources"] = json!({
        "memory": { "limit": 67_108_864 },
        "pids": { "limit": 33 },
        "cpu": { "shares": 512 },
    });
}

/// Kills the command at each of its steps, and has `delete --force` clear up after each.
fn kill_at_each_step(subject: &Subject, case: Case) {
    let strace = needs_strace();
    let steps = steps(subject, case, &strace);
    let mut survived = Vec::new();
    for step in &steps {
        subject.bring(case.from);
        let inject = format!("inject={}:signal=KILL:when={}", step.call, step.count);
        let output = subject.traced(case, &strace, &[&trace(step.call.as_str()), "-e", &inject]);
        if output.code == KILLED {
            let status = subject.status();
            assert!(case.then.contains(&status.as_str()), "{status} after a kill at {step:?}");
        } else {
            let _ = output.succeeded();
            survived.push(step);
        }
        subject.clear(step);
    }
    // How often it has to wait, or to try again, is up to others.
    survived.retain(|step| !WAITS.contains(&step.call.as_str()));
    assert!(survived.len() * 2 <= steps.len(), "not killed at {survived:#?} of {steps:#?}");
}

/// A call of a command: the `count`th of its kind.
#[derive(Debug)]
struct Step {
    call: String,
    count: usize,
    /// As strace shows it.
    #[expect(dead_code, reason = "it is for messages")]
    line: String,
}

/// The steps of the command where nobody kills it.
fn steps(subject: &Subject, case: Case, strace: &Path) -> Vec<Step> {
    subject.bring(case.from);
    let calls: Vec<String> = STEPS.iter().map(|call| format!("?{call}")).collect();
    let _ = subject.traced(case, strace, &[&trace(&calls.join(","))]).succeeded();
    subject.clear("nothing");
    let log = fs::read_to_string(subject.log()).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let calls = log.lines().filter_map(|line| {
        let (call, _) = line.split_once('(')?;
        Some((STEPS.iter().find(|&&step| step == call)?, line))
    });
    let numbered = calls.map(|(call, line)| {
        let count = counts.entry(call).or_default();
        *count += 1;
        Step { call: (*call).to_owned(), count: *count, line: line.to_owned() }
    });
    let steps: Vec<Step> = numbered.collect();
    assert!(steps.len() >= 2, "that is not all it does: {log}");
    steps
}

fn trace(calls: &str) -> String {
    format!("--trace={calls}")
}

/// Skips the test where there is no strace that can kill.
fn needs_strace() -> PathBuf {
    let strace = needs_program("strace");
    let mut trial = Command::new(&strace);
    trial.args(["-o", "/dev/null", &trace("exit_group")]);
    trial.args(["-e", "inject=exit_group:signal=KILL", "true"]);
    let output = run(trial);
    if output.code != KILLED {
        skip(format!("strace can't kill what it traces: {}", output.stderr.trim()));
    }
    strace
}

impl Subject {
    /// `name FLAGS ID ARGS`.
    fn command(&self, name: &str, flags: &[&str], args: &[&str]) -> Command {
        let usual = self.container.command_for(name, flags);
        let program = match self.user {
            Some(_) => self.container.bundle().folder().join("runtime"),
            None => PathBuf::from(usual.get_program()),
        };
        let mut command = Command::new(program);
        command.args(usual.get_args()).args(args);
        command
    }

    /// The same command, by the user if there is one.
    fn by_caller(&self, command: Command) -> Command {
        match &self.user {
            Some(user) => user.by(command),
            None => command,
        }
    }

    #[track_caller]
    fn call(&self, name: &str, flags: &[&str], args: &[&str]) -> Output {
        run(self.by_caller(self.command(name, flags, args)))
    }

    /// The command of `case`, by strace with `options`.
    #[track_caller]
    fn traced(&self, case: Case, strace: &Path, options: &[&str]) -> Output {
        let inner = self.command(case.name, case.flags, case.args);
        let mut command = Command::new(strace);
        command.arg("-o").arg(self.log()).args(options).arg("--");
        command.arg(inner.get_program()).args(inner.get_args());
        run(self.by_caller(command))
    }

    /// What strace writes.
    fn log(&self) -> PathBuf {
        self.container.bundle().folder().join("strace")
    }

    /// Makes the container, and makes it what it is to be.
    fn bring(&self, to: From) {
        to.reach(|name, flags, args| self.call(name, flags, args), || self.status());
    }

    fn status(&self) -> String {
        let output = self.call("state", &[], &[]);
        if output.code != 0 {
            let _ = output.failed_with("does not exist");
            return NONE.to_owned();
        }
        output.json()["status"].as_str().unwrap().to_owned()
    }

    /// Has `delete --force` clear what the command left that was killed at `step`.
    fn clear(&self, step: impl std::fmt::Debug) {
        clear_by(&self.container, &step, || self.call("delete", &["--force"], &[]));
        wait_for(&format!("the unit to go of what was killed at {step:?}"), || {
            self.units().is_empty()
        });
    }

    /// The units that are this container's.
    fn units(&self) -> String {
        match &self.user {
            Some(user) => user.units(self.container.id()),
            None => cgroup::units(self.container.id()).join(" "),
        }
    }
}
