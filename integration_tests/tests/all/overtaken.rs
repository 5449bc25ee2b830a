//! A command that has found a container never touches a later one of the same name: it is held before
//! each of its calls while that container is deleted and the next one made, in the same cgroup. Nor does
//! it take another process for init that the kernel has given init's pid.
//!
//! `failing` holds it. By default that is before the first call of each name, and the next container
//! runs or is paused in turn; with `RIND_STRESS` in the environment (`just stress`) before every call,
//! and both.

use crate::injected::{Case, Point, Snapshot, Subject, needs_failing, points_of, said};
use crate::killed::{From, needs_strace};
use integration_tests::command::{Output, Running, run, spawn};
use integration_tests::host::{is_alive, needs_file, needs_program, wait_for};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, binary, cgroup, tests};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub const TESTS: &[Test] = tests![
    create,
    start,
    state,
    list,
    ps,
    events,
    kill,
    kill_of_several,
    pause_and_resume,
    update,
    exec,
    delete,
    forced_delete,
    mounts,
    program_of_a_run_waits_for_the_record_of_its_init,
    create_that_ends_while_its_state_is_asked_for,
    process_that_has_the_pid_of_init_is_nobodys,
];

/// How long what a command did may take to be seen.
const PATIENCE: Duration = Duration::from_millis(500);

const AT_RUNNING: Case = Case {
    from: From::Running,
    name: "",
    flags: &[],
    args: &[],
    on_the_way: &[],
    only_looks: false,
};

fn create() {
    overtake(&[
        Case { from: From::Nothing, name: "create", ..AT_RUNNING },
        Case { from: From::Nothing, name: "run", flags: &["--detach"], ..AT_RUNNING },
    ]);
}

fn start() {
    overtake(&[Case { from: From::Created, name: "start", ..AT_RUNNING }]);
}

fn state() {
    let from = |from| Case { from, name: "state", ..AT_RUNNING };
    overtake(&[From::Created, From::Running, From::Paused, From::Stopped].map(from));
}

fn list() {
    let from = |from| Case { from, name: "list", flags: &["--format", "json"], ..AT_RUNNING };
    overtake(&[From::Running, From::Paused].map(from));
}

fn ps() {
    let from = |from| Case { from, name: "ps", flags: &["--format", "json"], ..AT_RUNNING };
    overtake(&[From::Running, From::Several].map(from));
}

fn events() {
    overtake(&[Case { name: "events", flags: &["--stats"], ..AT_RUNNING }]);
}

fn kill() {
    let case = Case { name: "kill", ..AT_RUNNING };
    overtake(&[
        Case { args: &["0"], ..case },
        Case { args: &["USR1"], ..case },
        Case { args: &["KILL"], ..case },
        Case { args: &["KILL"], from: From::Paused, ..case },
        Case { args: &["TERM"], from: From::Created, ..case },
    ]);
}

/// Who are killed one by one, as the pid namespace is not the container's own.
fn kill_of_several() {
    let case = Case { name: "kill", from: From::Several, ..AT_RUNNING };
    overtake(&[
        Case { args: &["KILL"], ..case },
        Case { args: &["USR1"], flags: &["--all"], ..case },
        Case { args: &["KILL"], flags: &["--all"], ..case },
    ]);
}

fn pause_and_resume() {
    overtake(&[
        Case { name: "pause", ..AT_RUNNING },
        Case { name: "resume", from: From::Paused, ..AT_RUNNING },
    ]);
}

fn update() {
    let flags = &["--memory", "100M", "--pids-limit", "44", "--cpu-share", "300"];
    overtake(&[Case { name: "update", flags, ..AT_RUNNING }]);
}

fn exec() {
    let case = Case { name: "exec", args: &["/bin/probe", "sleep"], ..AT_RUNNING };
    overtake(&[
        Case { flags: &["--detach"], ..case },
        Case { flags: &["--detach"], from: From::Created, ..case },
        Case { args: &["/bin/probe", "exit", "0"], ..case },
    ]);
}

fn delete() {
    overtake(&[
        Case { name: "delete", from: From::Stopped, ..AT_RUNNING },
        Case { name: "delete", from: From::Created, ..AT_RUNNING },
    ]);
}

fn forced_delete() {
    overtake(&[
        Case { name: "delete", flags: &["--force"], ..AT_RUNNING },
        Case { name: "delete", flags: &["--force"], from: From::Several, ..AT_RUNNING },
    ]);
}

fn mounts() {
    overtake(&[
        Case { name: "mounts", flags: &["add"], args: &["@MOUNTS@"], ..AT_RUNNING },
        Case {
            name: "mounts",
            flags: &["remove"],
            args: &["@MOUNTS@"],
            from: From::Mounted,
            ..AT_RUNNING
        },
    ]);
}

/// Others would take a container for one without an init, and its program for one that isn't there.
fn program_of_a_run_waits_for_the_record_of_its_init() {
    let case = Case { from: From::Nothing, name: "run", flags: &["--detach"], ..AT_RUNNING };
    let (failing, subject) = (needs_failing(), Subject::new(case));
    let mut running = spawn(subject.traced_command(&failing, "0:symlinkat:1:HOLD"));
    let is_held = || fs::read_to_string(subject.log()).is_ok_and(|log| log.contains("hit"));
    wait_for("the link `init` to be made", is_held);
    let since = std::time::Instant::now();
    while since.elapsed() < PATIENCE {
        assert_eq!(running.stdout(), "", "the program runs already");
    }
    File::create(subject.log().with_extension("go")).unwrap();
    let _ = running.wait_here().succeeded();
    running.wait_line("ready");
    subject.clear("the run").unwrap();
}

/// `rind ROOT ID BUNDLE`, in a pid namespace of its own: has another process get init's pid, tries each
/// command, and tells its exit status and what it said, and what is with that process in the end.
const REUSE: &str = r#"
rind="$1 --root $2" id=$3
$rind run --detach --bundle "$4" "$id" > /dev/null
pid=$($rind state "$id" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
kill -9 "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.01; done
while :; do
    echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid
    sleep 1000 > /dev/null 2>&1 & innocent=$!
    [ "$innocent" != "$pid" ] || break
    kill "$innocent"
done
try() {
    said=$("$@" 2>&1) && code=0 || code=$?
    echo "$code" $said
}
try $rind state "$id"
try $rind list
try $rind ps --format json "$id"
try $rind events --stats "$id"
try $rind kill "$id" 0
try $rind kill "$id" TERM
try $rind kill "$id" KILL
try $rind kill --all "$id" KILL
try $rind exec "$id" /bin/probe exit 0
try $rind pause "$id"
try $rind resume "$id"
try $rind update --pids-limit 44 "$id"
try $rind start "$id"
try $rind delete --force "$id"
echo "innocent $(sed 's/.*) \(.\) .*/\1/' "/proc/$pid/stat")"
kill -9 "$innocent"
"#;

fn process_that_has_the_pid_of_init_is_nobodys() {
    needs_file("/proc/sys/kernel/ns_last_pid");
    let answers = [
        (0, "\"status\": \"stopped\""),
        (0, "stopped"),
        (0, "[]"),
        (1, "is not running"),
        (1, "container not running"),
        (1, "container not running"),
        (1, "container not running"),
        (0, ""),
        (255, "container not running"),
        (1, "container not running or created: stopped"),
        (1, "container not paused: stopped"),
        (1, "container not running"),
        (1, "cannot start a container that has stopped"),
        (0, ""),
    ];
    for shared in [false, true] {
        let bundle = Bundle::new().probing(&["sleep"]);
        let bundle = if shared { bundle.without_namespace("pid") } else { bundle };
        let container = Container::new(bundle);
        let mut command = Command::new(needs_program("unshare"));
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        command.args(["sh", "-euc", REUSE, "sh"]).arg(binary::rind()).arg(container.root());
        command.arg(container.id()).arg(container.bundle().path());
        let said = run(command).succeeded().stdout;
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), answers.len() + 1, "{said}");
        for ((code, text), line) in answers.iter().zip(&lines) {
            let (is, rest) = line.split_once(' ').unwrap_or((*line, ""));
            assert!(is == code.to_string() && rest.contains(text), "{line} is not {code} {text}");
        }
        assert_eq!(lines[answers.len()], "innocent S", "{said}");
        container.assert_no_trace();
    }
}

/// `create` gives the fifo its name after `state` has looked for it, and before it looks who has the lock.
fn create_that_ends_while_its_state_is_asked_for() {
    let strace = needs_strace();
    let held = |inner: &Command, options: &[&str]| {
        let mut command = Command::new(&strace);
        command.args(["-o", "/dev/null"]).args(options).arg("--");
        command.arg(inner.get_program()).args(inner.get_args());
        spawn(command)
    };
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let create = container.command_for("create", &[]);
    let mut create = held(&create, &["-e", "inject=renameat:delay_enter=700000"]);
    let has_init = || {
        let output = container.call("state", &[]);
        serde_json::from_str(&output.stdout).is_ok_and(|state: Value| state["pid"] != 0)
    };
    wait_for("init", has_init);
    let state = container.command_for("state", &[]);
    let mut state = held(&state, &["-P", "exec.fifo", "-e", "inject=openat:delay_exit=1500000"]);
    let _ = create.wait_here().succeeded();
    let said: Value = serde_json::from_str(&state.wait_here().succeeded().stdout).unwrap();
    assert_eq!(said["status"], "created");
}

/// What came of all runs.
#[derive(Default, Debug)]
struct Counts {
    runs: usize,
    /// Held before they had found the container, or with its lock: nothing comes between.
    closed: usize,
    overtaken: usize,
    refused: usize,
}

/// Overtakes each of the commands by a container that runs, and one that is paused.
fn overtake(cases: &[Case]) {
    let failing = needs_failing();
    let is_whole = std::env::var_os("RIND_STRESS").is_some();
    let (mut wrong, mut counts) = (Vec::new(), Counts::default());
    for case in cases {
        let subject = Subject::new(*case);
        subject.bring();
        let _ = subject.traced(&failing, "none");
        subject.clear("nothing").unwrap();
        let points = points_of(&fs::read_to_string(subject.log()).unwrap());
        let mut points: Vec<Point> =
            points.into_iter().filter(|point| point.process == 0).collect();
        if case.name == "exec" {
            // Its child is in the container's pid namespace, whose end would wait for the held command.
            let forks = points.iter().position(|point| point.call.starts_with("clone"));
            points.truncate(forks.map_or(points.len(), |fork| fork + 1));
        }
        let points = if is_whole { points } else { first_of_each(points) };
        for (index, point) in points.into_iter().enumerate() {
            let both = [From::Running, From::Paused];
            for next in if is_whole { &both[..] } else { &both[index % 2..][..1] } {
                let next = *next;
                if let Err(text) = overtake_at(&subject, &failing, &point, next, &mut counts) {
                    let Case { from, name, flags, args, .. } = case;
                    let line = format!("{name} {flags:?} {args:?} of {from:?} at {point:?}");
                    wrong.push(format!("{line} by {next:?}: {text}"));
                }
            }
        }
    }
    println!("{}: {counts:?}", cases[0].name);
    assert!(wrong.is_empty(), "{} of {counts:?}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts.overtaken > 0, "it never was overtaken: {counts:?}");
}

/// The first call of each name.
fn first_of_each(mut points: Vec<Point>) -> Vec<Point> {
    points.retain(|point| point.number == 1);
    points
}

/// Holds the command at `point` while the container goes and the next one comes; says what is wrong with
/// its answer, or with what the next one is then.
fn overtake_at(
    subject: &Subject,
    failing: &Path,
    point: &Point,
    next: From,
    counts: &mut Counts,
) -> Result<(), String> {
    let go = subject.log().with_extension("go");
    let _ = fs::remove_file(&go);
    let _ = fs::remove_file(subject.log());
    subject.bring();
    let first = subject.state();
    counts.runs += 1;
    let what = format!("{}:{}:{}:HOLD", point.process, point.call, point.number);
    let mut running = spawn(subject.traced_command(failing, &what));
    let is_held = || fs::read_to_string(subject.log()).is_ok_and(|log| log.contains("hit"));
    wait_for("the call, or the end", || is_held() || !is_alive(running.pid()));
    if !is_held() || !is_open(subject, &running) {
        counts.closed += 1;
        File::create(&go).unwrap();
        return running.try_wait().map(drop).and(subject.clear(&what));
    }
    // What is held has the name among its arguments, and is no trace.
    let deleted = subject.call("delete", &["--force"], &[]);
    if deleted.stderr.contains("init has not ended") {
        // The held command has a child in the pid namespace, and would have to wait for it.
        counts.closed += 1;
        File::create(&go).unwrap();
        return running.try_wait().map(drop).and(subject.clear(&what));
    }
    let _ = deleted.succeeded();
    next.reach(|name, flags, args| subject.call(name, flags, args), || subject.status());
    let (second, before) = (subject.state(), fingerprint(subject));
    counts.overtaken += 1;
    File::create(&go).unwrap();
    let output = running.try_wait()?;
    counts.refused += usize::from(output.code != 0);
    let difference = differs(subject, &before);
    let touched = difference.map_or(Ok(()), |difference| Err(format!("it became {difference}")));
    let answered = judge(&output, first.as_ref(), second.as_ref());
    let result = touched.and(answered).map_err(|text| format!("{text}: {output:?}"));
    result.and(subject.clear(&what))
}

/// Whether the held command has the container's directory open, and not its lock.
fn is_open(subject: &Subject, running: &Running) -> bool {
    let path = subject.container.root().join(subject.container.id());
    let tracer = running.pid();
    let children = format!("/proc/{tracer}/task/{tracer}/children");
    let children = fs::read_to_string(children).unwrap_or_default();
    let held = children.split_whitespace().next().unwrap_or_default();
    let opened = fs::read_dir(format!("/proc/{held}/fd")).into_iter().flatten().flatten();
    let mut opened = opened.filter_map(|entry| fs::read_link(entry.path()).ok());
    let is_locked = || File::open(&path).is_ok_and(|it| sys::fs::is_locked(it).unwrap());
    opened.any(|link| link == path) && !is_locked()
}

/// All that a command could change about a container, with its processes and the signals that await init.
fn fingerprint(subject: &Subject) -> Snapshot {
    let mut seen = subject.snapshot();
    // Among these are those of the command.
    seen.retain(|line| !line.ends_with(" processes"));
    for path in cgroup::named(subject.container.id()) {
        let inside = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        seen.insert(format!("{} has {:?}", path.display(), inside.lines().collect::<Vec<_>>()));
    }
    if let Some((_, pid)) = subject.state() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let pending = status.lines().filter(|line| line.contains("Pnd:"));
        seen.extend(pending.map(|line| format!("init {line}")));
        seen.insert(format!("init is {pid}"));
    }
    seen
}

/// How the container differs from `before` when all that a command has done is seen.
fn differs(subject: &Subject, before: &Snapshot) -> Option<String> {
    let since = std::time::Instant::now();
    loop {
        let now = fingerprint(subject);
        if now == *before {
            return None;
        }
        if since.elapsed() > PATIENCE {
            let more: Vec<_> = now.difference(before).collect();
            let less: Vec<_> = before.difference(&now).collect();
            let text = format!("{more:?} instead of {less:?}");
            return Some(text.chars().take(500).collect());
        }
    }
}

/// Says what is wrong with an answer: it is an error that has its words, or of one of the two containers.
fn judge(
    output: &Output,
    first: Option<&(String, i32)>,
    second: Option<&(String, i32)>,
) -> Result<(), String> {
    if output.code != 0 {
        said(output)?;
        return if is_known(&output.stderr) { Ok(()) } else { Err("an odd error".into()) };
    }
    let Ok(answer) = serde_json::from_str::<Value>(&output.stdout) else { return Ok(()) };
    let states = match &answer {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    for state in states.iter().filter(|state| state["status"].is_string()) {
        let pid = state["pid"].as_i64().unwrap_or_default().try_into().unwrap();
        let seen = (state["status"].as_str().unwrap().to_owned(), pid);
        let is_gone = seen == ("stopped".to_owned(), 0);
        if ![first, second].contains(&Some(&seen)) && !is_gone {
            return Err(format!("it is neither {first:?} nor {second:?}"));
        }
    }
    Ok(())
}

/// The errors of a command that has come too late, or too early.
const REFUSALS: &[&str] = &[
    "does not exist",
    "already exists",
    "container not running",
    "is not running",
    "container not paused",
    "container not running or created",
    "init was killed before it could run the program",
    "cannot start a container that has stopped",
    "cannot exec in a stopped container",
    "cannot delete container",
];

/// Whether that is one of these errors.
pub(crate) fn is_known(stderr: &str) -> bool {
    REFUSALS.iter().any(|words| stderr.contains(words))
}
