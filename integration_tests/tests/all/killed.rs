//! Nothing is leaked at whatever step a command is killed: before each call by which it changes
//! something outside of it, or waits for somebody to, one after the other; and not by time, as
//! `faults` does.
//!
//! strace has the calls of a whole run first, and then kills one run at each of them: as the call is
//! entered, so that it isn't made any more. `sides` has what happens when another process of the command
//! is killed.

use crate::faults::clear_by;
use crate::rootless_systemd::{Setting, User, setting};
use integration_tests::command::{Output, run, spawn};
use integration_tests::criu::{self, needs_criu};
use integration_tests::host::{is_alive, needs_program, wait_for};
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
    run_by_cgroupfs,
    run_by_systemd,
    start_by_cgroupfs,
    start_by_systemd,
    exec_by_cgroupfs,
    exec_by_systemd,
    exec_by_a_users_systemd,
    exec_in_the_foreground,
    adding_mounts,
    removing_mounts,
    events,
    checkpoint_by_cgroupfs,
    checkpoint_by_systemd,
    restore_by_cgroupfs,
    restore_by_systemd,
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
pub(crate) const KILLED: i32 = 128 + 9;

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
    /// Gone, with an image of it.
    Checkpointed,
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
            Self::Checkpointed => call("checkpoint", &[], &[]),
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
/// To the end of the program.
const FOREGROUND_RUN: Case = Case { flags: &[], ..RUN };
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
const FOREGROUND_EXEC: Case = Case { flags: &[], args: &["/bin/probe", "exit", "0"], ..EXEC };
const ADDITION: Case = Case {
    from: From::Running,
    name: "mounts",
    flags: &["add"],
    args: &["@MOUNTS@"],
    then: &["running"],
};
const REMOVAL: Case = Case { from: From::Mounted, flags: &["remove"], ..ADDITION };
/// Until the container is killed.
const EVENTS: Case = Case {
    from: From::Running,
    name: "events",
    flags: &["--interval", "10ms"],
    args: &[],
    then: &["running", "stopped"],
};
const CHECKPOINT: Case = Case {
    from: From::Running,
    name: "checkpoint",
    flags: &[],
    args: &[],
    then: &[NONE, "running", "paused", "stopped"],
};
const RESTORE: Case = Case {
    from: From::Checkpointed,
    name: "restore",
    flags: &["--detach"],
    args: &[],
    then: &[NONE, "creating", "created", "running", "stopped"],
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

fn run_by_cgroupfs() {
    kill_at_each_step(&cgroupfs(FOREGROUND_RUN), FOREGROUND_RUN);
}

fn run_by_systemd() {
    kill_at_each_step(&systemd(FOREGROUND_RUN), FOREGROUND_RUN);
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

fn exec_in_the_foreground() {
    kill_at_each_step(&cgroupfs(FOREGROUND_EXEC), FOREGROUND_EXEC);
}

fn adding_mounts() {
    kill_at_each_step(&cgroupfs(ADDITION), ADDITION);
}

fn removing_mounts() {
    kill_at_each_step(&cgroupfs(REMOVAL), REMOVAL);
}

fn events() {
    kill_at_each_step(&cgroupfs(EVENTS), EVENTS);
}

fn checkpoint_by_cgroupfs() {
    let _ = needs_criu();
    kill_at_each_step(&cgroupfs(CHECKPOINT), CHECKPOINT);
}

fn checkpoint_by_systemd() {
    let _ = needs_criu();
    kill_at_each_step(&systemd(CHECKPOINT), CHECKPOINT);
}

fn restore_by_cgroupfs() {
    let _ = needs_criu();
    kill_at_each_step(&cgroupfs(RESTORE), RESTORE);
}

fn restore_by_systemd() {
    let _ = needs_criu();
    kill_at_each_step(&systemd(RESTORE), RESTORE);
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
    let ends = case.name == "run" && case.flags.is_empty();
    let program: &[&str] = if ends { &["exit", "0"] } else { &["sleep"] };
    let bundle = Bundle::new().probing(program).config(limit);
    let mount = json!([{ "destination": "/tmp", "type": "tmpfs" }]);
    fs::write(bundle.folder().join("mounts.json"), mount.to_string()).unwrap();
    let forgets = matches!(case.name, "checkpoint" | "restore") && criu::forgets_no_new_privs();
    let bundle = bundle.config(|config| {
        config["process"]["noNewPrivileges"] = json!(!forgets);
    });
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
    let is_whole = std::env::var_os("RIND_CRASH").is_some();
    let mut steps = steps(subject, case, &strace);
    if matches!(case.name, "checkpoint" | "restore") && !is_whole {
        // criu takes its time.
        steps.retain(|step| step.count == 1);
    }
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
    if is_whole {
        let name = [&[case.name], case.flags].concat().join(" ");
        println!("KILL of {name}: {} points, {} after its end", steps.len(), survived.len());
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

pub(crate) fn trace(calls: &str) -> String {
    format!("--trace={calls}")
}

/// Skips the test where there is no strace that can kill.
pub(crate) fn needs_strace() -> PathBuf {
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
        let bundle = self.container.bundle();
        let (folder, path) = (bundle.folder(), bundle.path());
        let image = folder.join("image");
        let of_image = ["--image-path", image.to_str().unwrap()];
        let of_bundle = ["--bundle", path.to_str().unwrap()];
        let flags = match name {
            "checkpoint" => [flags, &of_image].concat(),
            "restore" => [flags, &of_image, &of_bundle].concat(),
            _ => flags.to_vec(),
        };
        let usual = self.container.command_for(name, &flags);
        let program = match self.user {
            Some(_) => folder.join("runtime"),
            None => PathBuf::from(usual.get_program()),
        };
        let mut command = Command::new(program);
        if matches!(name, "checkpoint" | "restore") {
            command.arg("--criu").arg(needs_criu());
        }
        command.args(usual.get_args());
        command.args(args.iter().map(|&arg| match arg {
            "@MOUNTS@" => folder.join("mounts.json"),
            other => PathBuf::from(other),
        }));
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
        let mut running = spawn(self.by_caller(command));
        if case.name == "events" {
            let has_ended = || !is_alive(running.pid());
            wait_for("events", || has_ended() || !running.stdout().is_empty());
            let _ = self.call("kill", &[], &["KILL"]).succeeded();
        }
        running.wait_here()
    }

    /// What strace writes.
    fn log(&self) -> PathBuf {
        self.container.bundle().folder().join("strace")
    }

    /// Makes the container, and makes it what it is to be.
    fn bring(&self, to: From) {
        // An image serves again.
        if to == From::Checkpointed && self.container.bundle().folder().join("image").exists() {
            return;
        }
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
