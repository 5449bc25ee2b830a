//! What each side of a command does when the other is killed, or stops for a moment, at whatever step:
//! rind's own process, its children until they execute a program, and those that only help.
//!
//! `failing` has the calls of a whole run first, and then kills or stops one process at one of them in
//! each run. By default that is at some of the first calls of each name in each process; with
//! `RIND_CRASH` in the environment (`just crash`) at every call.

use crate::injected::{
    AT_RUNNING, CREATE, Case, Point, Subject, Usual, needs_failing, said, usual,
};
use crate::killed::{From, NONE};
use integration_tests::bundle::push;
use integration_tests::command::Output;
use integration_tests::host::PATIENCE;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};
use std::collections::BTreeSet;
use std::path::Path;

pub const TESTS: &[Test] = tests![
    create_of_which_one_is_killed,
    create_with_a_user_namespace_of_which_one_is_killed,
    create_with_clocks_of_which_one_is_killed,
    create_in_joined_namespaces_of_which_one_is_killed,
    run_of_which_one_is_killed,
    detached_run_of_which_one_is_killed,
    start_that_is_killed,
    exec_of_which_one_is_killed,
    detached_exec_of_which_one_is_killed,
    addition_of_mounts_of_which_one_is_killed,
    removal_of_mounts_that_is_killed,
    create_of_which_one_stops,
    create_with_a_user_namespace_of_which_one_stops,
    create_with_clocks_of_which_one_stops,
    create_in_joined_namespaces_of_which_one_stops,
    run_of_which_one_stops,
    detached_run_of_which_one_stops,
    start_that_stops,
    exec_of_which_one_stops,
    detached_exec_of_which_one_stops,
    addition_of_mounts_of_which_one_stops,
    update_that_stops,
    forced_delete_that_stops,
];

const RUN: Case = Case { name: "run", ..CREATE };
const DETACHED_RUN: Case = Case { name: "run", flags: &["--detach"], ..CREATE };
const START: Case = Case { from: From::Created, name: "start", ..CREATE };
const EXEC: Case =
    Case { name: "exec", args: &["/bin/probe", "exit", "0"], only_looks: true, ..AT_RUNNING };
const DETACHED_EXEC: Case =
    Case { name: "exec", flags: &["--detach"], args: &["/bin/probe", "sleep"], ..AT_RUNNING };
const ADDITION: Case = Case { name: "mounts", flags: &["add"], args: &["@MOUNTS@"], ..AT_RUNNING };
const REMOVAL: Case =
    Case { from: From::Mounted, name: "mounts", flags: &["remove"], args: &["@MOUNTS@"], ..CREATE };

/// What a container may be that is being made.
const MADE: &[&str] = &[NONE, "creating", "created", "running", "stopped"];

fn create_of_which_one_is_killed() {
    kill_each(&plain(CREATE), MADE);
}

fn create_with_a_user_namespace_of_which_one_is_killed() {
    kill_each(&Subject::of(CREATE, with_user_namespace), MADE);
}

fn create_with_clocks_of_which_one_is_killed() {
    kill_each(&Subject::of(CREATE, with_clocks), MADE);
}

fn create_in_joined_namespaces_of_which_one_is_killed() {
    let other = Container::running(with_user_namespace(Bundle::new()));
    kill_each(&Subject::of(CREATE, |bundle| beside(bundle, &other)), MADE);
}

fn run_of_which_one_is_killed() {
    kill_each(&plain(RUN), MADE);
}

fn detached_run_of_which_one_is_killed() {
    kill_each(&plain(DETACHED_RUN), MADE);
}

fn start_that_is_killed() {
    kill_each(&plain(START), &["created", "running"]);
}

fn exec_of_which_one_is_killed() {
    kill_each(&plain(EXEC), &["running"]);
}

fn detached_exec_of_which_one_is_killed() {
    kill_each(&plain(DETACHED_EXEC), &["running"]);
}

/// With a process whose mounts are locked.
fn addition_of_mounts_of_which_one_is_killed() {
    kill_each(&Subject::of(ADDITION, with_user_namespace), &["running"]);
}

fn removal_of_mounts_that_is_killed() {
    kill_each(&plain(REMOVAL), &["running"]);
}

fn create_of_which_one_stops() {
    stop_each(&plain(CREATE));
}

fn create_with_a_user_namespace_of_which_one_stops() {
    stop_each(&Subject::of(CREATE, with_user_namespace));
}

fn create_with_clocks_of_which_one_stops() {
    stop_each(&Subject::of(CREATE, with_clocks));
}

fn create_in_joined_namespaces_of_which_one_stops() {
    let other = Container::running(with_user_namespace(Bundle::new()));
    stop_each(&Subject::of(CREATE, |bundle| beside(bundle, &other)));
}

fn run_of_which_one_stops() {
    stop_each(&plain(RUN));
}

fn detached_run_of_which_one_stops() {
    stop_each(&plain(DETACHED_RUN));
}

fn start_that_stops() {
    stop_each(&plain(START));
}

fn exec_of_which_one_stops() {
    stop_each(&plain(EXEC));
}

fn detached_exec_of_which_one_stops() {
    stop_each(&plain(DETACHED_EXEC));
}

fn addition_of_mounts_of_which_one_stops() {
    stop_each(&Subject::of(ADDITION, with_user_namespace));
}

fn update_that_stops() {
    let flags = crate::injected::UPDATE;
    stop_each(&plain(Case { name: "update", flags, ..AT_RUNNING }));
}

fn forced_delete_that_stops() {
    stop_each(&plain(Case { name: "delete", flags: &["--force"], ..AT_RUNNING }));
}

fn plain(case: Case) -> Subject {
    Subject::of(case, |bundle| bundle)
}

fn with_user_namespace(bundle: Bundle) -> Bundle {
    bundle.namespace("user", None).config(|config| {
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

/// An intermediate process makes the user and the time namespace.
fn with_clocks(bundle: Bundle) -> Bundle {
    with_user_namespace(bundle).namespace("time", None).config(|config| {
        config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 7 } });
    })
}

/// An init in the namespaces of `other`: it is parked while another process makes its root, on account
/// of the hook. (Where what forks the parked one was killed, rind's first builds waited for ever.)
fn beside(bundle: Bundle, other: &Container) -> Bundle {
    let joined = ["user", "pid", "ipc"].into_iter().fold(bundle, |bundle, kind| {
        bundle.namespace(kind, Some(&format!("/proc/{}/ns/{kind}", other.pid())))
    });
    joined.config(|config: &mut Value| {
        push(&mut config["hooks"]["createRuntime"], json!({ "path": "/bin/true" }));
    })
}

/// What came of all runs of a command.
#[derive(Default)]
struct Counts {
    processes: usize,
    runs: usize,
    /// Runs in which the point wasn't reached.
    missed: usize,
    /// Runs that succeeded.
    successes: usize,
    /// Runs in which a child was killed that was ready to execute its program.
    late: usize,
}

/// Does `action` at each point, and has `judge` look at what came of it.
fn at_each_point(
    subject: &Subject,
    action: &str,
    judge: impl Fn(&Point, &Output, &Usual, &mut Counts) -> Result<(), String>,
) {
    let failing = needs_failing();
    let is_whole = std::env::var_os("RIND_CRASH").is_some();
    let usual = usual(subject, &failing);
    let points = if is_whole { usual.points.clone() } else { some(&usual.points, action) };
    let processes: BTreeSet<usize> = points.iter().map(|point| point.process).collect();
    let mut counts = Counts { processes: processes.len(), ..Counts::default() };
    let mut wrong = Vec::new();
    for point in &points {
        counts.runs += 1;
        let result = one_run(subject, &failing, point, action, &mut counts, |output, counts| {
            judge(point, output, &usual, counts)
        });
        wrong.extend(result.err().map(|text| format!("{point:?}: {text}")));
    }
    let Counts { processes, runs, missed, successes, late } = counts;
    let name = [&[subject.case.name], subject.case.flags].concat().join(" ");
    if is_whole {
        println!(
            "{action} in {name}: {processes} processes, {runs} points: {successes} went on, {late} too \
             late to tell, {missed} not reached"
        );
    }
    assert!(wrong.is_empty(), "{name}: {} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(missed * 4 <= runs, "{name}: {missed} of {runs} not reached");
}

fn one_run(
    subject: &Subject,
    failing: &Path,
    point: &Point,
    action: &str,
    counts: &mut Counts,
    judge: impl FnOnce(&Output, &mut Counts) -> Result<(), String>,
) -> Result<(), String> {
    subject.bring();
    let (ended, is_hit) = subject.at(failing, point, action);
    let result = ended.and_then(|output| {
        counts.missed += usize::from(!is_hit);
        counts.successes += usize::from(output.code == 0);
        judge(&output, counts).map_err(|text| format!("{text}\n    {output:?}"))
    });
    result.and(subject.clear(&format!("{action} at {point:?}")))
}

/// The first call of each name in each process; and every third of these where a child is not killed, as
/// `killed` has rind's own death everywhere.
fn some(points: &[Point], action: &str) -> Vec<Point> {
    let mut seen = BTreeSet::new();
    let first = points.iter().filter(|point| seen.insert((point.process, point.call.clone())));
    let is_some =
        |(index, point): &(usize, &Point)| action == "KILL" && point.process > 0 || index % 3 == 0;
    first.enumerate().filter(is_some).map(|(_, point)| point.clone()).collect()
}

/// Kills each process at each point. rind's own leaves what `delete --force` clears, and the container
/// is one of `then`; another's death is an error of rind's that leaves all as it was.
fn kill_each(subject: &Subject, then: &[&str]) {
    subject.bring();
    let before = subject.snapshot();
    subject.clear("nothing").unwrap();
    at_each_point(subject, "KILL", |point, output, usual, counts| {
        if point.process == 0 {
            let status = subject.status();
            let is_right = then.contains(&status.as_str()) && matches!(output.code, 0 | 137);
            return if is_right { Ok(()) } else { Err(format!("the container is {status}")) };
        }
        if output.code == 0 && subject.differs(&usual.then, PATIENCE / 20).is_none() {
            return Ok(());
        }
        if matches!(output.code, 0 | 137) && output.stderr.is_empty() {
            // Whether it was killed before its program began or after, nobody can tell.
            counts.late += 1;
            return Ok(());
        }
        said(output)?;
        if let Some(difference) = subject.differs(&before, PATIENCE) {
            return Err(format!("it left it different: {difference}"));
        }
        let again = subject.again();
        if again.code != 0 {
            return Err(format!("it does not succeed after that: {again:?}"));
        }
        let difference = subject.differs(&usual.then, PATIENCE);
        difference.map_or(Ok(()), |text| Err(format!("after that it leaves it different: {text}")))
    });
}

/// Stops each process for a moment at each point, of which nothing is seen.
fn stop_each(subject: &Subject) {
    at_each_point(subject, "STOP", |_, output, usual, _| {
        if output.code != 0 || !output.stderr.is_empty() {
            return Err("it failed".to_owned());
        }
        let difference = subject.differs(&usual.then, PATIENCE);
        difference.map_or(Ok(()), |text| Err(format!("it left it different: {text}")))
    });
}
