//! `ps`: which processes are listed, and what ps(1) makes of them.

use integration_tests::cgroup::{folder_of, hierarchies};
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Bundle, Container, Output, tests};
use std::fs;
use std::path::PathBuf;

pub const TESTS: &[Test] = tests![
    all_processes_are_listed,
    those_in_sub_cgroups_too,
    a_table_is_of_ps,
    options_are_for_ps,
    what_ps_refuses_is_told,
    a_stopped_container_has_none,
    a_container_without_cgroups_is_refused,
    one_that_is_deleted_meanwhile_does_not_exist,
];

/// A container of three processes.
fn three() -> Container {
    let bundle = Bundle::new().script("sleep 1000 & sleep 1000 & wait");
    let container = Container::created(bundle);
    container.start();
    wait_for("three processes", || listed(&container).len() == 3);
    container
}

fn parse(output: Output) -> Vec<i32> {
    serde_json::from_str(&output.succeeded().stdout).unwrap()
}

fn listed(container: &Container) -> Vec<i32> {
    parse(container.call("ps", &["--format", "json"]))
}

/// The container's cgroup in each hierarchy.
fn folders(pid: i32) -> Vec<PathBuf> {
    let names = hierarchies().iter().filter_map(|one| one.controllers.first());
    names.map(|name| folder_of(pid, name)).collect()
}

fn all_processes_are_listed() {
    let container = three();
    let folder = folder_of(container.pid(), "freezer");
    let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
    let mut expected: Vec<i32> = procs.lines().map(|line| line.parse().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(listed(&container), expected);
    assert_eq!(parse(container.call("ps", &["-f", "json"])), expected);
    let created = Container::created(Bundle::new());
    assert_eq!(listed(&created), [created.pid()]);
}

fn those_in_sub_cgroups_too() {
    let container = three();
    let all = listed(&container);
    let moved = *all.last().unwrap();
    let mounts = hierarchies().iter().map(|one| one.mount.join(container.id()));
    for folder in folders(container.pid()).into_iter().chain(mounts) {
        let below = folder.join("below");
        // What is in no list of controllers is found by name; both may be the same.
        if folder.is_dir() && !below.is_dir() {
            fs::create_dir(&below).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if below.join(file).exists() {
                    let value = fs::read_to_string(folder.join(file)).unwrap();
                    fs::write(below.join(file), value).unwrap();
                }
            }
            fs::write(below.join("cgroup.procs"), moved.to_string()).unwrap();
        }
    }
    assert_eq!(listed(&container), all);
}

fn a_table_is_of_ps() {
    let _ = needs_program("ps");
    let container = three();
    let pids = listed(&container);
    let table = container.call("ps", &[]).succeeded().stdout;
    let mut lines = table.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    let mut shown: Vec<i32> =
        lines.map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap()).collect();
    shown.sort_unstable();
    assert_eq!(shown, pids);
    assert!(table.contains("sleep 1000"), "{table}");
    let _ = container.call("pause", &[]).succeeded();
    assert_eq!(container.call("ps", &[]).succeeded().stdout.lines().count(), 4);
}

fn options_are_for_ps() {
    let _ = needs_program("ps");
    let container = three();
    let table = container.call_with("ps", &["-e", "-x"]).succeeded().stdout;
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["PID", "TTY", "STAT", "TIME", "COMMAND"]);
    assert_eq!(table.lines().count(), 4);
    let table = container.call_with("ps", &["-eo", "comm,pid"]).succeeded().stdout;
    assert_eq!(table.lines().filter(|line| line.starts_with("sleep")).count(), 2, "{table}");
}

fn what_ps_refuses_is_told() {
    let _ = needs_program("ps");
    let container = Container::running(Bundle::new());
    let _ = container.call_with("ps", &["-eo", "comm"]).failed_with("couldn't find PID field");
    let _ = container.call_with("ps", &["--no-such-option"]).failed_with("ps failed: exit status");
    let _ = container.call("ps", &["--format", "xml"]).failed_with("neither table nor json");
}

fn a_stopped_container_has_none() {
    let container = Container::running(Bundle::new());
    container.stop();
    assert_eq!(listed(&container), [] as [i32; 0]);
    let _ = needs_program("ps");
    assert_eq!(container.call("ps", &[]).succeeded().stdout.lines().count(), 1);
    container.delete();
    let _ = container.call("ps", &[]).failed_with("does not exist");
}

fn a_container_without_cgroups_is_refused() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    let mut command = container.command(&["--cgroup-manager", "disabled", "create", "--bundle"]);
    command.arg(container.bundle().path()).arg(container.id());
    container.make_by(command);
    let _ = container.call("ps", &["-f", "json"]).failed_with("the container has no cgroup");
    let _ = container.call("pause", &[]).failed_with("no freezer");
    let _ = container.call("update", &["--pids-limit", "5"]).failed_with("without cgroups");
}

fn one_that_is_deleted_meanwhile_does_not_exist() {
    for _ in 0..15 {
        let container = Container::created(Bundle::new());
        let commands = [("delete", "--force"), ("ps", "--format=json"), ("ps", "--format=json")];
        for output in in_parallel(commands, |(name, flag)| container.call(name, &[flag])) {
            assert!(output.code == 0 || output.stderr.contains("does not exist"), "{output:#?}");
        }
        container.assert_no_trace();
    }
}
