//! Whatever system call of a command fails, and however: the command succeeds all the same, or says in
//! one line what failed and leaves all as it was.
//!
//! `failing` has the calls of a whole run first, in the container's init as well, and then one of them
//! fail in each run. By default that is the first of each name, with two errors; with `RIND_FAULTS` in
//! the environment (`just faults`) each call with all the errors that the kernel has for it.

use crate::killed::{From, NONE};
use integration_tests::command::{self, Output, run};
use integration_tests::host::is_alive;
use integration_tests::test::{Test, skip};
use integration_tests::traces::{self, Trace};
use integration_tests::{Bundle, Container, binary, calls, json, tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use sys::Errno;

pub const TESTS: &[Test] = tests![
    create,
    run_to_the_end,
    detached_run,
    start,
    exec,
    detached_exec,
    kill,
    delete,
    forced_delete,
    pause,
    resume,
    update,
    state,
    list,
    inspect,
    ps,
    adding_mounts,
    removing_mounts,
    spec,
    features,
    calls_that_a_filter_forbids,
];

/// A command, and what it is for.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The container at the start.
    pub(crate) from: From,
    pub(crate) name: &'static str,
    pub(crate) flags: &'static [&'static str],
    /// What comes after the id.
    pub(crate) args: &'static [&'static str],
    /// What else than at the start the container's status may be when the command has failed.
    pub(crate) on_the_way: &'static [&'static str],
    /// Whether it changes nothing, so that the container serves the next run.
    pub(crate) only_looks: bool,
}

/// How long the kernel may take to end what was killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) const CREATE: Case = Case {
    from: From::Nothing,
    name: "create",
    flags: &[],
    args: &[],
    on_the_way: &[],
    only_looks: false,
};
pub(crate) const AT_RUNNING: Case = Case { from: From::Running, ..CREATE };
pub(crate) const UPDATE: &[&str] =
    &["--memory", "100M", "--memory-swap", "-1", "--pids-limit", "44", "--cpu-share", "300"];

fn create() {
    fail_each_call(CREATE);
}

fn run_to_the_end() {
    fail_each_call(Case { name: "run", ..CREATE });
}

fn detached_run() {
    fail_each_call(Case { name: "run", flags: &["--detach"], ..CREATE });
}

fn start() {
    let on_the_way = &["running"];
    fail_each_call(Case { from: From::Created, name: "start", on_the_way, ..CREATE });
}

fn exec() {
    let args = &["/bin/probe", "exit", "0"];
    fail_each_call(Case { name: "exec", args, only_looks: true, ..AT_RUNNING });
}

fn detached_exec() {
    let args = &["/bin/probe", "sleep"];
    fail_each_call(Case { name: "exec", flags: &["--detach"], args, ..AT_RUNNING });
}

fn kill() {
    let (args, on_the_way): (&[&str], &[&str]) = (&["KILL"], &["running", "stopped"]);
    fail_each_call(Case { from: From::Paused, name: "kill", args, on_the_way, ..CREATE });
}

fn delete() {
    let on_the_way = &["stopped", NONE];
    fail_each_call(Case { from: From::Stopped, name: "delete", on_the_way, ..CREATE });
}

fn forced_delete() {
    let (flags, on_the_way): (&[&str], &[&str]) = (&["--force"], &["stopped", NONE]);
    fail_each_call(Case { name: "delete", flags, on_the_way, ..AT_RUNNING });
}

fn pause() {
    fail_each_call(Case { name: "pause", ..AT_RUNNING });
}

fn resume() {
    fail_each_call(Case { from: From::Paused, name: "resume", ..CREATE });
}

fn update() {
    fail_each_call(Case { name: "update", flags: UPDATE, ..AT_RUNNING });
}

fn state() {
    fail_each_call(Case { name: "state", only_looks: true, ..AT_RUNNING });
}

fn list() {
    fail_each_call(Case { name: "list", only_looks: true, ..AT_RUNNING });
}

fn inspect() {
    fail_each_call(Case { name: "inspect", ..AT_RUNNING });
}

fn ps() {
    // The table has times that change.
    fail_each_call(Case { name: "ps", ..AT_RUNNING });
    fail_each_call(Case {
        name: "ps",
        flags: &["--format", "json"],
        only_looks: true,
        ..AT_RUNNING
    });
}

fn adding_mounts() {
    fail_each_call(Case { name: "mounts", flags: &["add"], args: &["@MOUNTS@"], ..AT_RUNNING });
}

fn removing_mounts() {
    let (from, flags, on_the_way) = (From::Mounted, &["remove"], &["running"]);
    fail_each_call(Case { from, name: "mounts", flags, args: &["@MOUNTS@"], on_the_way, ..CREATE });
}

fn spec() {
    fail_each_call(Case { name: "spec", ..CREATE });
}

fn features() {
    fail_each_call(Case { name: "features", only_looks: true, ..CREATE });
}

/// The calls that an old profile of an engine does not know, as of one that rind runs in.
const NEW_CALLS: &[&str] = &[
    "openat2",
    "clone3",
    "close_range",
    "faccessat2",
    "statx",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "mount_setattr",
    "pidfd_open",
    "pidfd_send_signal",
    "open_tree_attr",
];

/// rind says which call it is.
fn calls_that_a_filter_forbids() {
    let failing = needs_failing();
    let subject = Subject::new(CREATE);
    let mut wrong = Vec::new();
    for call in NEW_CALLS {
        for errno in [Errno::ENOSYS, Errno::EPERM] {
            let point = format!("all:{call}:{errno:?}");
            let output = subject.traced(&failing, &point);
            if output.code == 0 {
                wrong.extend(subject.clear(&point).err());
                continue;
            }
            // For EPERM the kernel has reasons of its own as well.
            let name = format!("seccomp profile around rind may forbid {call}");
            let names_it = output.stderr.contains(&name) || errno == Errno::EPERM;
            if said(&output).is_err() || !names_it {
                wrong.push(format!("{point}: {}", output.stderr));
            }
            // What is left is what can't be removed without the call.
            wrong.extend(subject.clear(&point).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a call fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    /// The how many-eth process of the command.
    pub(crate) process: usize,
    pub(crate) call: String,
    pub(crate) number: usize,
}

/// How the command goes where no call fails.
pub(crate) struct Usual {
    pub(crate) points: Vec<Point>,
    /// How it leaves all.
    pub(crate) then: Snapshot,
}

/// What came of all runs.
#[derive(Default)]
struct Counts {
    points: usize,
    runs: usize,
    /// Runs that succeeded all the same, by call and error.
    fallbacks: BTreeMap<String, usize>,
    refusals: usize,
    /// Runs in which the call wasn't made.
    missed: usize,
}

/// Has each call of the command fail, and looks at what came of it.
fn fail_each_call(case: Case) {
    let failing = needs_failing();
    let is_whole = std::env::var_os("RIND_FAULTS").is_some();
    let subject = Subject::new(case);
    let usual = usual(&subject, &failing);
    let points = usual.points.clone();
    let points = if is_whole { points } else { one_of_each(points) };
    let mut counts = Counts { points: points.len(), ..Counts::default() };
    let mut wrong = Vec::new();
    for point in points {
        let errnos = calls::named(&point.call).unwrap().errnos;
        let number = if is_whole { errnos.len() } else { errnos.len().min(2) };
        for errno in &errnos[..number] {
            let result = subject.fail_at(&failing, &point, *errno, &usual, &mut counts);
            if let Err(text) = result {
                wrong.push(format!(
                    "{} {} {point:?} {errno:?}: {text}",
                    case.name,
                    case.flags.join(" ")
                ));
            }
        }
    }
    if is_whole {
        println!(
            "{} {}: {} points, {} runs: {} refusals, {} went on, {} not reached",
            case.name,
            case.flags.join(" "),
            counts.points,
            counts.runs,
            counts.refusals,
            counts.fallbacks.values().sum::<usize>(),
            counts.missed,
        );
        println!("  went on: {:?}", counts.fallbacks);
    }
    assert!(wrong.is_empty(), "{} of {} runs:\n{}", wrong.len(), counts.runs, wrong.join("\n"));
    assert!(counts.missed * 4 <= counts.runs, "{} of {} not reached", counts.missed, counts.runs);
}

/// Has the command go through where no call fails.
pub(crate) fn usual(subject: &Subject, failing: &Path) -> Usual {
    subject.bring();
    let output = subject.traced(failing, "none").succeeded();
    let then = subject.settled();
    subject.clear("nothing").unwrap();
    let points = points_of(&fs::read_to_string(subject.log()).unwrap());
    assert!(points.len() >= 2, "that is not all it does: {points:?} {output:#?}");
    Usual { points, then }
}

/// The calls that a log has.
pub(crate) fn points_of(log: &str) -> Vec<Point> {
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    let points = log.lines().map(|line| {
        let (process, call) = line.split_once(' ').unwrap();
        let process = process.parse().unwrap();
        let number = counts.entry((process, call)).or_default();
        *number += 1;
        Point { process, call: call.to_owned(), number: *number }
    });
    points.collect()
}

/// The first call of each name.
pub(crate) fn one_of_each(points: Vec<Point>) -> Vec<Point> {
    let mut seen = BTreeSet::new();
    points.into_iter().filter(|point| seen.insert(point.call.clone())).collect()
}

/// Skips the test where calls can't be made to fail.
pub(crate) fn needs_failing() -> PathBuf {
    if !cfg!(target_arch = "x86_64") {
        skip("calls are made to fail on x86_64 only");
    }
    binary::failing()
}

/// Whether a failed command has said so as it should.
pub(crate) fn said(output: &Output) -> Result<(), String> {
    let words = ["panicked", "unwrap", "memory allocation", "assertion"];
    if output.code >= 128 && output.code != 255 {
        return Err("it was killed".into());
    }
    if words.iter().any(|word| output.stderr.contains(word)) {
        return Err("it panicked".into());
    }
    let errors = output.stderr.lines().filter(|line| line.contains("level=error")).count();
    let others = output.stderr.lines().any(|line| !line.starts_with("time="));
    if errors != 1 || others {
        return Err(format!("{errors} errors"));
    }
    Ok(())
}

/// A container and a command for it.
pub(crate) struct Subject {
    pub(crate) case: Case,
    pub(crate) container: Container,
}

/// What there is of a container, a line each, but for numbers that each has of its own.
pub(crate) type Snapshot = BTreeSet<String>;

/// What differs, for a message.
pub(crate) fn difference(is: &Snapshot, should: &Snapshot) -> Option<String> {
    let (more, less): (Vec<_>, Vec<_>) =
        (is.difference(should).collect(), should.difference(is).collect());
    (is != should).then(|| format!("{more:?} instead of {less:?}"))
}

impl Subject {
    pub(crate) fn new(case: Case) -> Self {
        Self::of(case, |bundle| bundle)
    }

    /// The same with a bundle that `edit` changes.
    pub(crate) fn of(case: Case, edit: impl FnOnce(Bundle) -> Bundle) -> Self {
        let to_the_end = case.name == "run" && case.flags.is_empty();
        let program: &[&str] = if to_the_end { &["exit", "0"] } else { &["sleep"] };
        let bundle = Bundle::new().probing(program).writable();
        // With a pid namespace all would go with init.
        let is_shared = case.from == From::Several;
        let bundle = if is_shared { bundle.without_namespace("pid") } else { bundle };
        let path = format!("/{}/a/b", bundle.id());
        let bundle = bundle.config(|config| {
            config["linux"]["cgroupsPath"] = json!(path);
            config["linux"]["resources"] = json!({
                "memory": { "limit": 67_108_864 },
                "pids": { "limit": 33 },
                "cpu": { "shares": 512 },
            });
        });
        let folder = bundle.folder();
        fs::create_dir(folder.join("source")).unwrap();
        fs::create_dir(folder.join("spec")).unwrap();
        let mounts = json!([
            { "destination": "/new/place", "source": folder.join("source"), "options": ["bind"] },
            { "destination": "/tmp", "source": folder.join("source"), "options": ["bind", "ro"] },
        ]);
        fs::write(folder.join("mounts.json"), mounts.to_string()).unwrap();
        let bundle = edit(bundle);
        let container = Container::new(bundle).with_flags(&["--cgroup-manager", "cgroupfs"]);
        Self { case, container }
    }

    fn folder(&self) -> PathBuf {
        self.container.bundle().folder()
    }

    /// `name FLAGS ID ARGS`; or what there is of it.
    pub(crate) fn command(&self, name: &str, flags: &[&str], args: &[&str]) -> Command {
        let mounts = self.folder().join("mounts.json");
        let args = args.iter().map(|&arg| match arg {
            "@MOUNTS@" => mounts.clone(),
            other => PathBuf::from(other),
        });
        let mut command = match name {
            "list" | "features" => self.container.command(&[name]),
            "spec" => {
                let mut command = self.container.command(&["spec", "--bundle"]);
                command.arg(self.folder().join("spec"));
                command
            }
            _ => self.container.command_for(name, flags),
        };
        command.args(args);
        command
    }

    #[track_caller]
    pub(crate) fn call(&self, name: &str, flags: &[&str], args: &[&str]) -> Output {
        run(self.command(name, flags, args))
    }

    /// The command under test as it usually is.
    pub(crate) fn again(&self) -> Output {
        self.call(self.case.name, self.case.flags, self.case.args)
    }

    /// The command under test, of which `what` fails.
    #[track_caller]
    pub(crate) fn traced(&self, failing: &Path, what: &str) -> Output {
        run(self.traced_command(failing, what))
    }

    /// See [`Subject::traced`].
    pub(crate) fn traced_command(&self, failing: &Path, what: &str) -> Command {
        let inner = self.command(self.case.name, self.case.flags, self.case.args);
        let mut command = Command::new(failing);
        command.arg(self.log()).arg(what).arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// Has `action` be done at `point`; an error is that the command took too long. Gives also whether
    /// that point was reached.
    pub(crate) fn at(
        &self,
        failing: &Path,
        point: &Point,
        action: &str,
    ) -> (Result<Output, String>, bool) {
        let what = format!("{}:{}:{}:{action}", point.process, point.call, point.number);
        let ended = command::spawn(self.traced_command(failing, &what)).try_wait();
        let is_hit = fs::read_to_string(self.log()).is_ok_and(|log| log.contains("hit"));
        (ended, is_hit)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("calls")
    }

    /// Makes the container, and makes it what it is to be; one that serves again is there.
    pub(crate) fn bring(&self) {
        if !self.case.only_looks || self.status() == NONE {
            let call = |name: &str, flags: &[&str], args: &[&str]| self.call(name, flags, args);
            self.case.from.reach(call, || self.status());
        }
    }

    pub(crate) fn status(&self) -> String {
        self.state().map_or_else(|| NONE.to_owned(), |(status, _)| status)
    }

    pub(crate) fn state(&self) -> Option<(String, i32)> {
        let output = self.call("state", &[], &[]);
        if output.code != 0 {
            let _ = output.failed_with("does not exist");
            return None;
        }
        let state = output.json();
        let pid = state["pid"].as_i64().unwrap_or_default();
        Some((state["status"].as_str().unwrap().to_owned(), pid.try_into().unwrap()))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut seen = Snapshot::new();
        for (name, folder) in [
            ("root", self.container.root().clone()),
            ("state", self.container.root().join(self.container.id())),
            ("spec", self.folder().join("spec")),
        ] {
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            seen.extend(files.map(|file| format!("{name}/{}", file.file_name().display())));
        }
        let traces = self.container.traces();
        let is_process = |trace: &&Trace| matches!(trace, Trace::Process(..));
        seen.insert(format!("{} processes", traces.iter().filter(is_process).count()));
        for trace in &traces {
            if let Trace::Cgroup(path) = trace {
                seen.extend(limits(path));
            }
        }
        let (status, pid) = self.state().unwrap_or((NONE.to_owned(), 0));
        seen.insert(format!("status {status}"));
        if pid != 0 && is_alive(pid) {
            seen.extend(mounts(pid));
            seen.extend(facts(pid));
        }
        seen
    }

    /// What there is when nothing changes any more.
    fn settled(&self) -> Snapshot {
        let mut seen = self.snapshot();
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let again = self.snapshot();
            if again == seen {
                return seen;
            }
            seen = again;
        }
    }

    /// What differs from `wanted` when all has settled.
    pub(crate) fn differs(&self, wanted: &Snapshot, patience: Duration) -> Option<String> {
        let since = Instant::now();
        loop {
            let difference = difference(&self.snapshot(), wanted);
            if difference.is_none() || since.elapsed() > patience {
                return difference;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Has `errno` be the answer at `point`; says what is wrong with what came of it.
    fn fail_at(
        &self,
        failing: &Path,
        point: &Point,
        errno: Errno,
        usual: &Usual,
        counts: &mut Counts,
    ) -> Result<(), String> {
        self.bring();
        let before = self.snapshot();
        let (ended, is_hit) = self.at(failing, point, &format!("{errno:?}"));
        counts.runs += 1;
        let is_silent = ended.as_ref().is_ok_and(|output| output.stderr.is_empty());
        let result = ended.and_then(|output| {
            let judged = self.judge(&output, (point, errno), &before, usual, counts);
            judged.map_err(|text| {
                let text = text.chars().take(3000).collect::<String>();
                format!("{text}\n    {}{}", output.stdout, output.stderr)
            })
        });
        if !is_hit {
            counts.missed += 1;
        } else if result.is_ok() && is_silent {
            *counts.fallbacks.entry(format!("{} {errno:?}", point.call)).or_default() += 1;
        }
        if result.is_ok() && self.case.only_looks {
            return Ok(());
        }
        result.and(self.clear(&format!("{point:?} {errno:?}")))
    }

    fn judge(
        &self,
        output: &Output,
        (point, errno): (&Point, Errno),
        before: &Snapshot,
        usual: &Usual,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let explain = |what: &str, difference: Option<String>| match difference {
            Some(difference) => Err(format!("{what}: {difference}")),
            None => Ok(()),
        };
        if output.code == 0 {
            if output.stderr.contains("level=error") {
                return Err("it succeeded with an error".into());
            }
            if self.case.only_looks
                && output.stderr.is_empty()
                && output.stdout != self.again().stdout
            {
                return Err(format!("it said {}", output.stdout));
            }
            // The program's status is not lost for a container that can't be removed: see `clear`.
            if output.stderr.contains("try again: rind delete") {
                return Ok(());
            }
            // The host's node is bound then.
            if (point.call.as_str(), errno) == ("mknodat", Errno::EPERM) {
                return Ok(());
            }
            // Init has failed once `create` was done; what it says is in the fifo.
            let by_init = self.case.name == "create" && point.process > 0 && point.call == "read";
            if by_init && self.status() == "stopped" {
                return Ok(());
            }
            return explain(
                "it succeeded, and left it different",
                self.differs(&usual.then, PATIENCE),
            );
        }
        counts.refusals += 1;
        said(output)?;
        if errno == Errno::EINTR {
            return Err("an interrupted call is an error".into());
        }
        // What stays half done does not settle.
        let is_fickle = !self.case.on_the_way.is_empty();
        let patience = if is_fickle { PATIENCE / 10 } else { PATIENCE };
        let difference = self.differs(before, patience);
        if difference.is_some() {
            let status = self.status();
            if !self.case.on_the_way.contains(&status.as_str()) {
                return explain("it failed, and left it different", difference);
            }
            // What is done stays so, and the message says what is.
            let said = |words| output.stderr.contains(words);
            let is_done = said("unmounting mounts[") || said("what could be unmounted is");
            if status == NONE || is_done || said("init has been told to run the program") {
                return Ok(());
            }
        }
        let again = self.again();
        if again.code != 0 {
            return Err(format!("it does not succeed after that: {again:?}"));
        }
        explain("after that it leaves it different", self.differs(&usual.then, PATIENCE))
    }

    /// Removes all that there is; says what can't be removed by `delete --force`, after `what`.
    pub(crate) fn clear(&self, what: &str) -> Result<(), String> {
        let _ = fs::remove_file(self.folder().join("spec/config.json"));
        let output = self.call("delete", &["--force"], &[]);
        let since = Instant::now();
        let mut left = self.container.traces();
        while !left.is_empty() && since.elapsed() < PATIENCE {
            left = self.container.traces();
        }
        traces::remove(&left);
        if output.code == 0 && output.stderr.is_empty() && left.is_empty() {
            return Ok(());
        }
        Err(format!("after {what} delete --force leaves {left:?}: {output:?}"))
    }
}

/// A cgroup and its limits.
fn limits(path: &Path) -> Vec<String> {
    let files = [
        "memory.limit_in_bytes",
        "memory.max",
        "memory.swap.max",
        "pids.max",
        "cpu.shares",
        "cpu.weight",
        "devices.list",
        "freezer.state",
        "cgroup.freeze",
    ];
    let found = files.iter().filter_map(|file| {
        let text = fs::read_to_string(path.join(file)).ok()?;
        Some(format!("{}/{file} {}", path.display(), text.trim().replace('\n', ",")))
    });
    [path.display().to_string()].into_iter().chain(found).collect()
}

/// The mounts that a process sees, without their numbers.
fn mounts(pid: i32) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let lines = table.lines().map(|line| {
        let fields = line.split(' ').skip(3).filter(|field| !field.contains(':'));
        format!("mount {}", fields.collect::<Vec<_>>().join(" "))
    });
    lines.collect()
}

/// What can be told of a process that must not depend on how it came about.
fn facts(pid: i32) -> Vec<String> {
    const WANTED: &[&str] = &[
        "Name:",
        "Umask:",
        "Uid:",
        "Gid:",
        "Groups:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
        "Cpus_allowed:",
        "Mems_allowed:",
    ];
    let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = read("status");
    let wanted = status.lines().filter(|line| WANTED.iter().any(|name| line.starts_with(name)));
    let mut facts: Vec<String> = wanted.map(|line| format!("init {line}")).collect();
    for file in ["limits", "oom_score_adj", "cgroup"] {
        facts.extend(read(file).lines().map(|line| format!("init {file} {line}")));
    }
    let open = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    facts.push(format!("init has {open} descriptors"));
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"] {
        let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
        let whose = if link("self") == link(&pid.to_string()) { "ours" } else { "new" };
        facts.push(format!("namespace {kind} {whose}"));
    }
    facts
}
