//! create, start, state, kill, delete, run and list: what they do, in which order, and what they print.

use integration_tests::command::{self, run};
use integration_tests::host::{is_alive, process_stat, wait_for};
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use sys::nix::libc;
use sys::nix::sys::signal::{Signal, kill};
use sys::nix::unistd::Pid;

pub const TESTS: &[Test] = tests![
    create_start_delete,
    create_does_not_run_the_program,
    state_has_the_fields_of_the_specification,
    state_is_indented,
    pid_file_is_the_bare_number,
    pid_file_is_relative_to_the_caller,
    kill_by_number_name_and_signal_name,
    kill_defaults_to_term,
    kill_works_on_created,
    signals_do_to_created_what_they_do_to_runcs,
    signals_of_others_end_a_created_container,
    a_started_program_gets_its_signals_itself,
    signal_0_asks_whether_it_lives,
    an_empty_signal_is_the_default,
    kill_reaches_what_outlives_init_in_a_shared_pid_namespace,
    kill_of_stopped_fails_and_changes_nothing,
    kill_all_of_stopped_is_no_error,
    kill_all_reaches_every_process_of_a_shared_pid_namespace,
    kill_without_a_cgroup_reaches_init,
    kill_of_unknown_signal_fails,
    delete_of_created_kills_and_removes,
    delete_of_running_fails_without_effect,
    delete_force_of_running,
    delete_force_of_unknown_is_no_error,
    delete_makes_the_id_free_again,
    second_start_fails_without_effect,
    start_of_stopped_fails,
    create_with_a_taken_id_fails_without_effect,
    one_of_many_parallel_creates_wins,
    many_containers_at_once,
    config_is_copied_at_create,
    copied_config_is_the_callers_text,
    bundle_defaults_to_the_current_folder,
    bundle_may_be_relative,
    flags_may_follow_the_id,
    flags_may_have_one_dash,
    run_passes_the_exit_status_on,
    run_tells_of_a_signal,
    run_forwards_signals,
    run_removes_the_container,
    run_keep_keeps_it,
    run_detached_leaves_it_running,
    run_reaps_orphans,
    run_without_subreaper_leaves_orphans_alone,
    run_gives_stdin_to_the_container,
    stopped_is_seen_after_the_exit,
    list_as_a_table,
    list_as_json,
    list_quietly,
    more_containers_are_listed_than_files_may_be_open,
    list_of_nothing,
    list_shows_created_running_and_stopped,
    annotations_are_in_the_state,
    create_without_process_starts_not,
    forced_deletion_waits_for_no_hook,
    forced_deletion_ends_early_hooks,
    forced_deletion_waits_for_no_hook_of_a_deletion,
    hooks_may_change_their_container,
    failing_poststart_hook_removes_once,
    hooks_run_where_the_pid_namespace_is_joined,
];

fn create_start_delete() {
    let container = Container::created(Bundle::new().probing(&["exit", "0"]));
    assert_eq!(container.status(), "created");
    container.start();
    container.wait_stopped();
    container.delete();
    let _ = container.call("state", &[]).failed_with("does not exist");
}

fn create_does_not_run_the_program() {
    let mut container = Container::new(Bundle::new().writable().probing(&["create", "/ran", ""]));
    let ran = container.bundle().rootfs().join("ran");
    container.create(&[]);
    assert!(!ran.exists(), "the program ran at create");
    container.start();
    container.wait_stopped();
    assert!(ran.exists(), "the program did not run");
}

fn state_has_the_fields_of_the_specification() {
    let container = Container::running(Bundle::new());
    let state = container.state();
    assert_eq!(state["id"], container.id());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], json!(container.bundle().path()));
    assert_eq!(state["rootfs"], json!(container.bundle().rootfs()));
    assert_eq!(state["owner"], "");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
    let created = state["created"].as_str().unwrap();
    assert!(created.contains('T') && created.ends_with('Z'), "RFC 3339 in UTC: {created}");
    let pid = state["pid"].as_i64().unwrap();
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(line, "/bin/probe\0sleep\0");
    container.stop();
    let stopped = container.state();
    assert_eq!(stopped["status"], "stopped");
    // Of a pid that may soon be another's, nothing is said.
    assert!(matches!(stopped["pid"].as_i64(), None | Some(0)), "{stopped}");
}

fn state_is_indented() {
    let container = Container::created(Bundle::new());
    let printed = container.call("state", &[]).succeeded().stdout;
    assert!(printed.contains(&format!("\n  \"id\": \"{}\",\n", container.id())), "{printed}");
    assert!(printed.contains("\n  \"status\": \"created\",\n"), "{printed}");
}

fn pid_file_is_the_bare_number() {
    let mut container = Container::new(Bundle::new());
    let file = container.bundle().folder().join("pid");
    container.create(&["--pid-file", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(file).unwrap(), container.pid().to_string());
}

fn pid_file_is_relative_to_the_caller() {
    let mut container = Container::new(Bundle::new());
    let folder = container.bundle().folder();
    let mut command = container.command_for("create", &["--pid-file", "some.pid"]);
    command.current_dir(&folder);
    container.make_by(command);
    assert_eq!(fs::read_to_string(folder.join("some.pid")).unwrap(), container.pid().to_string());
}

fn kill_by_number_name_and_signal_name() {
    let container = Container::running(Bundle::new());
    for (signal, name) in
        [("10", "SIGUSR1"), ("USR2", "SIGUSR2"), ("SIGHUP", "SIGHUP"), ("winch", "SIGWINCH")]
    {
        container.kill(signal);
        container.wait_line(name);
    }
}

fn kill_defaults_to_term() {
    let container = Container::running(Bundle::new());
    let _ = container.call("kill", &[]).succeeded();
    container.wait_stopped();
    container.wait_line("SIGTERM");
}

fn kill_works_on_created() {
    let container = Container::created(Bundle::new());
    container.kill("KILL");
    container.wait_stopped();
    container.delete();
}

/// As measured of runc 1.1.5: what ends a Go program ends one that waits for `start`, and of the rest
/// nothing does, in a pid namespace of its own or not.
fn signals_do_to_created_what_they_do_to_runcs() {
    let ends = ["HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "SEGV", "TERM"];
    let more = ["STKFLT", "SYS", "SIGTERM", "15", "int"];
    let stays = ["USR1", "USR2", "PIPE", "ALRM", "CHLD", "CONT", "URG", "WINCH", "IO", "PWR"];
    let rest = ["XCPU", "XFSZ", "VTALRM", "PROF", "RTMIN", "64", "0"];
    let all = ends.iter().chain(&more).map(|name| (*name, "stopped"));
    let all = all.chain(stays.iter().chain(&rest).map(|name| (*name, "created")));
    for (signal, status) in all {
        for own in [true, false] {
            let bundle = Bundle::new();
            let bundle = if own { bundle } else { bundle.without_namespace("pid") };
            let container = Container::created(bundle);
            container.kill(signal);
            if status == "stopped" {
                container.wait_stopped();
                container.delete();
            } else {
                assert_eq!(container.status(), status, "{signal}, own pid namespace: {own}");
                container.start();
                container.wait_stopped();
            }
        }
    }
}

/// Who stops it from outside, as systemd stops a scope, doesn't know that it is waiting for `start`.
fn signals_of_others_end_a_created_container() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        for own in [true, false] {
            let bundle = Bundle::new();
            let bundle = if own { bundle } else { bundle.without_namespace("pid") };
            let container = Container::created(bundle);
            kill(Pid::from_raw(container.pid()), signal).unwrap();
            container.wait_stopped();
            container.delete();
        }
    }
}

/// However closely a signal comes after `start`: it's for the program, which may have a use for it.
fn a_started_program_gets_its_signals_itself() {
    in_parallel(0..8, |_| {
        let script = "trap 'echo got; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
        let container = Container::created(Bundle::new().script(script));
        let starting = command::spawn(container.command(&["start", container.id()]));
        container.wait_line("ready");
        container.kill("TERM");
        let _ = starting.wait().succeeded();
        container.wait_line("got");
        container.wait_stopped();
    });
}

fn signal_0_asks_whether_it_lives() {
    let container = Container::running(Bundle::new());
    container.kill("0");
    assert_eq!(container.status(), "running");
    container.stop();
    let _ = container.call_with("kill", &["0"]).failed_with("container not running");
    let _ = container.call_with("kill", &["--", "-0"]).failed_with("unknown signal");
}

fn an_empty_signal_is_the_default() {
    let container = Container::created(Bundle::new());
    container.kill("");
    container.wait_stopped();
}

/// Where init is gone, others of the container may be left, whom KILL is for as well.
fn kill_reaches_what_outlives_init_in_a_shared_pid_namespace() {
    let bundle = Bundle::new().without_namespace("pid").script("sleep 1000 & echo child $!");
    let container = Container::created(bundle);
    container.start();
    container.wait_stopped();
    let said = container.said();
    let child: i32 = said.trim().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(is_alive(child));
    let _ = container.call_with("kill", &["TERM"]).failed_with("container not running");
    assert!(is_alive(child));
    container.kill("KILL");
    wait_for("the child to be killed", || !is_alive(child));
    let _ = container.call_with("kill", &["KILL"]).failed_with("container not running");
    container.delete();
}

fn kill_of_stopped_fails_and_changes_nothing() {
    let container = Container::running(Bundle::new());
    container.stop();
    let before = container.call("state", &[]).succeeded().stdout;
    let _ = container.call_with("kill", &["TERM"]).failed_with("container not running");
    assert_eq!(container.call("state", &[]).succeeded().stdout, before);
}

fn kill_all_of_stopped_is_no_error() {
    let container = Container::running(Bundle::new());
    container.stop();
    let _ = run(container.command(&["kill", "--all", container.id(), "TERM"])).succeeded();
}

fn kill_all_reaches_every_process_of_a_shared_pid_namespace() {
    // The shell's child ignores nothing and would outlive it.
    let bundle = Bundle::new()
        .without_namespace("pid")
        .script("sleep 1000 & echo child $!; wait; sleep 1000");
    let container = Container::created(bundle);
    container.start();
    wait_for("the child's pid", || container.said().ends_with('\n'));
    let said = container.said();
    let child: i32 = said.trim().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(is_alive(child));
    let _ = run(container.command(&["kill", "--all", container.id(), "KILL"])).succeeded();
    container.wait_stopped();
    wait_for("the child to be killed", || !is_alive(child));
    container.delete();
}

/// Without a cgroup it is not known who the others are.
fn kill_without_a_cgroup_reaches_init() {
    let bundle = Bundle::new().without_namespace("pid").probing(&["sleep"]);
    let mut container = Container::new(bundle);
    let mut command = container.command(&["--cgroup-manager", "disabled", "create", "--bundle"]);
    command.arg(container.bundle().path()).arg(container.id());
    container.make_by(command);
    container.start();
    container.wait_line("ready");
    let output = run(container.command(&["kill", "--all", container.id(), "KILL"]));
    let warns = output.stderr.contains("only init gets the signal");
    assert!(output.code == 0 && warns, "{output:#?}");
    container.wait_stopped();
    let _ = container.call_with("kill", &["KILL"]).failed_with("not running");
    container.delete();
}

fn kill_of_unknown_signal_fails() {
    let container = Container::running(Bundle::new());
    for signal in ["NONE", "SIGNONE", "0x9", "-1", "65"] {
        let output = container.call_with("kill", &["--", signal]);
        assert!(output.code != 0 && !output.stderr.is_empty(), "{output:#?}");
    }
    assert_eq!(container.status(), "running");
}

fn delete_of_created_kills_and_removes() {
    let container = Container::created(Bundle::new());
    let pid = container.pid();
    container.delete();
    assert!(!is_alive(pid));
}

fn delete_of_running_fails_without_effect() {
    let container = Container::running(Bundle::new());
    let _ = container.call("delete", &[]).failed_with("not stopped");
    assert_eq!(container.status(), "running");
    container.kill("USR1");
    container.wait_line("SIGUSR1");
}

fn delete_force_of_running() {
    let container = Container::running(Bundle::new());
    let pid = container.pid();
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(!is_alive(pid));
    container.assert_no_trace();
}

fn delete_force_of_unknown_is_no_error() {
    let container = Container::new(Bundle::new());
    let _ = container.call("delete", &["--force"]).succeeded();
    let _ = container.call("delete", &["-f"]).succeeded();
    let _ = container.call("delete", &[]).failed_with("does not exist");
}

fn delete_makes_the_id_free_again() {
    let mut container = Container::created(Bundle::new());
    container.delete();
    container.create(&[]);
    assert_eq!(container.status(), "created");
}

fn second_start_fails_without_effect() {
    let container = Container::running(Bundle::new());
    let output = container.call("start", &[]);
    assert!(output.code != 0 && output.stderr.contains("running container"), "{output:#?}");
    assert_eq!(container.status(), "running");
}

fn start_of_stopped_fails() {
    let container = Container::running(Bundle::new());
    container.stop();
    let output = container.call("start", &[]);
    assert!(output.code != 0 && output.stderr.contains("stopped"), "{output:#?}");
    assert_eq!(container.status(), "stopped");
}

fn create_with_a_taken_id_fails_without_effect() {
    let container = Container::created(Bundle::new());
    let before = container.call("state", &[]).succeeded().stdout;
    let _ = container.call("create", &[]).failed_with("already exists");
    assert_eq!(container.call("state", &[]).succeeded().stdout, before);
    container.start();
}

fn one_of_many_parallel_creates_wins() {
    let container = Container::new(Bundle::new());
    let outputs = in_parallel(0..8, |_| container.call("create", &[]));
    let won = outputs.iter().filter(|output| output.code == 0).count();
    assert_eq!(won, 1, "{outputs:#?}");
    for lost in outputs.into_iter().filter(|output| output.code != 0) {
        let _ = lost.failed_with("already exists");
    }
    assert_eq!(container.status(), "created");
    container.start();
}

fn many_containers_at_once() {
    let first = Container::new(Bundle::new().probing(&["sleep"]));
    let mut containers: Vec<Container> =
        (1..20).map(|_| Container::beside(&first, Bundle::new().probing(&["sleep"]))).collect();
    containers.push(first);
    in_parallel(&mut containers, |container| {
        container.create(&[]);
        container.start();
        container.wait_line("ready");
    });
    let pids: BTreeSet<i32> = containers.iter().map(Container::pid).collect();
    assert_eq!(pids.len(), containers.len(), "each has an init of its own");
    in_parallel(&containers, |container| {
        container.stop();
        container.delete();
    });
}

fn config_is_copied_at_create() {
    let container = Container::created(Bundle::new().probing(&["report"]));
    fs::write(container.bundle().path().join("config.json"), "{}").unwrap();
    container.start();
    container.wait_stopped();
    assert_eq!(container.report()["args"], json!(["/bin/probe", "report"]));
}

/// A copy that went through a parser costs each create as much as reading the config.
fn copied_config_is_the_callers_text() {
    let container = Container::created(Bundle::new().probing(&["report"]));
    let copy = fs::read_to_string(container.root().join(container.id()).join("config.json"));
    let text = fs::read_to_string(container.bundle().path().join("config.json"));
    assert_eq!(copy.unwrap(), text.unwrap());
}

fn bundle_defaults_to_the_current_folder() {
    let mut container = Container::new(Bundle::new());
    let mut command = container.command(&["create", container.id()]);
    command.current_dir(container.bundle().path());
    container.make_by(command);
    assert_eq!(container.state()["bundle"], json!(container.bundle().path()));
}

fn bundle_may_be_relative() {
    let mut container = Container::new(Bundle::new());
    let mut command = container.command(&["create", "-b", "../bundle", container.id()]);
    command.current_dir(container.bundle().state_root());
    container.make_by(command);
    assert_eq!(container.state()["bundle"], json!(container.bundle().path()));
}

fn flags_may_follow_the_id() {
    let mut container = Container::new(Bundle::new());
    let (folder, id) = (container.bundle().folder(), container.id().to_owned());
    let bundle = format!("--bundle={}", container.bundle().path().display());
    let file = folder.join("pid");
    let command =
        container.command(&["create", &id, "--pid-file", file.to_str().unwrap(), &bundle]);
    container.make_by(command);
    assert_eq!(fs::read_to_string(file).unwrap(), container.pid().to_string());
    let _ = run(container.command(&["delete", &id, "--force"])).succeeded();
    container.assert_no_trace();
}

fn flags_may_have_one_dash() {
    let mut container = Container::new(Bundle::new());
    let bundle = container.bundle().path();
    let command =
        container.command(&["create", "-bundle", bundle.to_str().unwrap(), container.id()]);
    container.make_by(command);
    assert_eq!(container.status(), "created");
}

fn run_passes_the_exit_status_on() {
    for status in ["0", "1", "42", "255"] {
        let output = Bundle::new().probing(&["exit", status]).run();
        assert_eq!(output.code.to_string(), status, "{output:#?}");
        assert_eq!(output.stderr, "");
    }
}

fn run_tells_of_a_signal() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let running = container.spawn_run(&[]);
    running.wait_line("ready");
    container.kill("KILL");
    assert_eq!(running.wait().code, 128 + libc::SIGKILL);
}

fn run_forwards_signals() {
    let container = Container::new(Bundle::new().probing(&["sleep", "7"]));
    let running = container.spawn_run(&[]);
    running.wait_line("ready");
    for (signal, name) in
        [(libc::SIGUSR1, "SIGUSR1"), (libc::SIGHUP, "SIGHUP"), (libc::SIGINT, "SIGINT")]
    {
        running.signal(signal);
        running.wait_line(name);
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait().code, 7);
}

fn run_removes_the_container() {
    let container = Container::new(Bundle::new().probing(&["exit", "3"]));
    assert_eq!(container.call("run", &[]).code, 3);
    container.assert_no_trace();
}

fn run_keep_keeps_it() {
    let container = Container::new(Bundle::new().probing(&["exit", "3"]));
    assert_eq!(container.call("run", &["--keep"]).code, 3);
    assert_eq!(container.status(), "stopped");
    container.delete();
}

fn run_detached_leaves_it_running() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    let file = container.bundle().folder().join("pid");
    container.run_detached(&["--pid-file", file.to_str().unwrap()]);
    container.wait_line("ready");
    assert_eq!(container.status(), "running");
    assert_eq!(fs::read_to_string(file).unwrap(), container.pid().to_string());
}

/// The pid of the orphan that `probe orphan` left, once it said so and sleeps.
fn orphan(said: &str) -> i32 {
    said.lines().find_map(|line| line.strip_prefix("orphan ")).unwrap().parse().unwrap()
}

fn run_reaps_orphans() {
    let container = Container::new(Bundle::new().without_namespace("pid").probing(&["orphan"]));
    let running = container.spawn_run(&[]);
    running.wait_line("ready");
    let pid = orphan(&running.stdout());
    wait_for("the orphan to be reaped", || !Path::new(&format!("/proc/{pid}")).exists());
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait().code, 0);
}

fn run_without_subreaper_leaves_orphans_alone() {
    let bundle = Bundle::new().without_namespace("pid").probing(&["orphan"]);
    let container = Container::new(bundle);
    let running = container.spawn_run(&["--no-subreaper"]);
    running.wait_line("ready");
    let pid = orphan(&running.stdout());
    let parent = process_stat(pid).map(|fields| fields[1].clone());
    // Whoever got it may have reaped it already.
    assert_ne!(parent, Some(running.pid().to_string()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait().code, 0);
}

fn run_gives_stdin_to_the_container() {
    let container = Container::new(Bundle::new().script("cat"));
    let input = container.bundle().folder().join("input");
    fs::write(&input, "some input\n").unwrap();
    let mut command = container.command_for("run", &[]);
    command.stdin(fs::File::open(input).unwrap());
    let output = command::spawn_reading(command).wait().succeeded();
    assert_eq!(output.stdout, "some input\n");
}

fn stopped_is_seen_after_the_exit() {
    let container = Container::running(Bundle::new());
    container.kill("TERM");
    container.wait_stopped();
    assert_eq!(container.status(), "stopped");
}

fn list_as_a_table() {
    let container = Container::created(Bundle::new());
    let printed = run(container.command(&["list"])).succeeded().stdout;
    let rows: Vec<Vec<&str>> =
        printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let (pid, bundle) = (container.pid().to_string(), container.bundle().path());
    assert_eq!(rows[1][..4], [container.id(), &pid, "created", bundle.to_str().unwrap()]);
    assert_eq!(rows[1][5], "root");
    assert_eq!(rows.len(), 2);
}

fn list_as_json() {
    let container = Container::created(Bundle::new());
    let printed = run(container.command(&["list", "--format", "json"])).succeeded().stdout;
    let listed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let state = container.state();
    for field in ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created"] {
        assert_eq!(listed[0][field], state[field], "{field}");
    }
}

fn list_quietly() {
    let first = Container::created(Bundle::new());
    let second = {
        let mut second = Container::beside(&first, Bundle::new());
        second.create(&[]);
        second
    };
    for flag in ["--quiet", "-q"] {
        let printed = run(first.command(&["list", flag])).succeeded().stdout;
        let ids: BTreeSet<&str> = printed.lines().collect();
        assert_eq!(ids, BTreeSet::from([first.id(), second.id()]));
    }
}

fn more_containers_are_listed_than_files_may_be_open() {
    const LIMIT: usize = 12;
    let first = Container::created(Bundle::new());
    let mut others: Vec<Container> =
        (0..LIMIT).map(|_| Container::beside(&first, Bundle::new())).collect();
    for container in &mut others {
        container.create(&[]);
    }
    for flags in [&["list"][..], &["list", "-q"], &["list", "-f", "json"]] {
        let list = first.command(flags);
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", &format!("ulimit -n {LIMIT}; exec \"$@\""), "sh"]);
        limited.arg(list.get_program()).args(list.get_args());
        let output = run(limited).succeeded();
        for container in others.iter().chain([&first]) {
            assert!(output.stdout.contains(container.id()), "{flags:?}: {}", output.stdout);
        }
        assert_eq!(output.stderr, "");
    }
}

fn list_of_nothing() {
    let container = Container::new(Bundle::new());
    let table = run(container.command(&["list"])).succeeded().stdout;
    assert_eq!(table.lines().count(), 1, "only the heading: {table}");
    let listed = run(container.command(&["list", "-f", "json"])).succeeded().stdout;
    assert_eq!(listed.trim(), "null");
    assert_eq!(run(container.command(&["list", "-q"])).succeeded().stdout, "");
}

fn list_shows_created_running_and_stopped() {
    let created = Container::created(Bundle::new());
    let mut running = Container::beside(&created, Bundle::new().probing(&["sleep"]));
    running.run_detached(&[]);
    let mut stopped = Container::beside(&created, Bundle::new().probing(&["exit", "0"]));
    stopped.run_detached(&[]);
    stopped.wait_stopped();
    let printed = run(created.command(&["list", "-f", "json"])).succeeded().stdout;
    let listed: Vec<Value> = serde_json::from_str(&printed).unwrap();
    let status = |container: &Container| {
        let found = listed.iter().find(|state| state["id"] == container.id());
        found.unwrap()["status"].clone()
    };
    assert_eq!(status(&created), "created");
    assert_eq!(status(&running), "running");
    assert_eq!(status(&stopped), "stopped");
}

fn annotations_are_in_the_state() {
    let annotations = json!({ "org.example.key": "value", "empty": "" });
    let bundle = Bundle::new().config(|config| config["annotations"] = annotations.clone());
    assert_eq!(Container::created(bundle).state()["annotations"], annotations);
}

fn create_without_process_starts_not() {
    let bundle = Bundle::new().config(|config| {
        config.as_object_mut().unwrap().remove("process");
    });
    let container = Container::created(bundle);
    assert_eq!(container.status(), "created");
    let output = container.call("start", &[]);
    assert!(output.code != 0 && !output.stderr.is_empty(), "{output:#?}");
}

/// A hook on the host that says that it runs, and then takes longer than any test.
fn slow_hook(folder: &Path) -> Value {
    let started = folder.join("started");
    let script = format!("echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000", started.display());
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
}

/// The pid that the hook has said.
fn hook_of(container: &Container) -> i32 {
    let file = container.bundle().folder().join("started");
    wait_for("the hook", || file.exists());
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn with_slow_hook(kind: &str) -> Container {
    let bundle = Bundle::new().probing(&["sleep"]);
    let hook = slow_hook(&bundle.folder());
    Container::new(bundle.config(|config| config["hooks"][kind] = hook))
}

/// Well before any hook ends, and the test is over.
#[track_caller]
fn delete_at_once(container: &Container) {
    let began = Instant::now();
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!container.root().join(container.id()).exists());
}

fn forced_deletion_waits_for_no_hook() {
    // After `start`, and after `run`.
    let mut container = with_slow_hook("poststart");
    container.create(&[]);
    let mut starting = command::spawn(container.command_for("start", &[]));
    let hook = hook_of(&container);
    assert_eq!(container.status(), "running");
    delete_at_once(&container);
    assert!(is_alive(hook));
    starting.kill();
    let container = with_slow_hook("poststart");
    let mut running = container.spawn_run(&[]);
    let _ = hook_of(&container);
    delete_at_once(&container);
    running.kill();
}

fn forced_deletion_ends_early_hooks() {
    for (kind, command) in [
        ("prestart", "create"),
        ("createRuntime", "create"),
        ("createRuntime", "run"),
        ("createContainer", "create"),
    ] {
        let container = with_slow_hook(kind);
        let making = command::spawn(container.command_for(command, &[]));
        let hook = hook_of(&container);
        assert_eq!(container.status(), "creating", "{kind}");
        let refused = container.call("delete", &[]).failed_with("creating");
        assert_eq!(refused.code, 1, "{kind}");
        delete_at_once(&container);
        let output = making.wait();
        assert_ne!(output.code, 0, "{kind}: {output:#?}");
        if kind != "createContainer" {
            // That one says its pid in the container, with which it ends.
            wait_for("the end of the hook", || !is_alive(hook));
        }
        container.assert_no_trace();
    }
}

fn forced_deletion_waits_for_no_hook_of_a_deletion() {
    let mut container = with_slow_hook("poststop");
    container.create(&[]);
    let mut deleting = command::spawn(container.command_for("delete", &["--force"]));
    let _ = hook_of(&container);
    delete_at_once(&container);
    // And another may have the name.
    let mut next = Container::beside(&container, Bundle::new());
    next.create(&[]);
    deleting.kill();
}

/// A hook that waited for the lock would wait for its own end.
fn hooks_may_change_their_container() {
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let bundle = Bundle::new().probing(&["sleep"]);
    let (root, said) = (bundle.state_root(), bundle.folder().join("said"));
    let rind = integration_tests::binary::rind();
    let mut flags = integration_tests::cgroup::manager_flags();
    flags.insert(0, format!("{} --root {}", rind.display(), root.display()));
    let (rind, id) = (flags.join(" "), bundle.id().to_owned());
    let hooks = kinds.map(|kind| {
        let script = format!(
            "{rind} update --pids-limit 50 {id} >>{0} 2>&1; echo {kind} >>{0}",
            said.display()
        );
        (kind, json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 30 }]))
    });
    let mut container = Container::new(bundle.config(|config| {
        for (kind, hook) in hooks {
            config["hooks"][kind] = hook;
        }
    }));
    container.create(&[]);
    assert_eq!(container.status(), "created");
    container.start();
    let _ = container.call("delete", &["--force"]).succeeded();
    let said = fs::read_to_string(said).unwrap();
    assert!(kinds.iter().all(|kind| said.lines().any(|line| line == *kind)), "{said}");
}

fn failing_poststart_hook_removes_once() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let stops = bundle.folder().join("stops");
    let stop = format!("echo stop >>{}", stops.display());
    let container = Container::created(bundle.config(|config| {
        config["hooks"]["poststart"] = json!([{ "path": "/bin/false" }]);
        config["hooks"]["poststop"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", stop] }]);
    }));
    let _ = container.call("start", &[]).failed_with("poststart hook #0");
    assert!(!container.root().join(container.id()).exists());
    assert_eq!(fs::read_to_string(stops).unwrap(), "stop\n");
}

fn hooks_run_where_the_pid_namespace_is_joined() {
    let other = Container::running(Bundle::new());
    let path = format!("/proc/{}/ns/pid", other.pid());
    let bundle = Bundle::new().with_shell().namespace("pid", Some(&path));
    let said = bundle.folder().join("said");
    let mut kinds = vec!["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let container = Container::new(bundle.config(|config| {
        for kind in &kinds {
            let script = format!("echo {kind} >>{}", said.display());
            config["hooks"][kind] =
                json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 30 }]);
        }
        config["hooks"]["startContainer"] = json!([{ "path": "/bin/true", "args": ["true"] }]);
    }));
    let _ = container.call("run", &["--bundle", container.bundle().path().to_str().unwrap()]);
    let said = fs::read_to_string(said).unwrap();
    let mut ran: Vec<&str> = said.lines().collect();
    ran.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(ran, kinds);
}
