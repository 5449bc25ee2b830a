//! `pause` and `resume`: what stops, what goes on, and what a pause is undone by.

use integration_tests::bundle::push;
use integration_tests::cgroup::{controller, folder_of, value};
use integration_tests::host::{needs_file, wait_for};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, command, json, tests};
use std::fs::{self, DirEntry, File};
use std::io;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use sys::nix::libc::{SIGINT, SIGTERM};

pub const TESTS: &[Test] = tests![
    a_paused_container_stands_still,
    a_created_container_can_be_paused,
    what_is_not_paused_or_running_is_refused,
    a_paused_container_can_be_killed,
    a_paused_container_can_be_deleted_by_force,
    an_interrupted_pause_is_undone,
    a_signal_that_is_ignored_interrupts_no_pause,
    a_pause_that_was_killed_can_be_resumed,
    a_command_at_it_does_not_change_the_status,
];

/// What the freezer of the cgroup of `pid` says: whether it is frozen, on its way there, or not.
fn freezer(pid: i32) -> String {
    let folder = folder_of(pid, "freezer");
    match controller("freezer").version {
        1 => value(&folder, "freezer.state"),
        _ if value(&folder, "cgroup.events").contains("frozen 1") => "FROZEN".to_owned(),
        _ if value(&folder, "cgroup.freeze") == "1" => "FREEZING".to_owned(),
        _ => "THAWED".to_owned(),
    }
}

/// A container that counts in a file, and that file.
fn counting() -> (Container, impl Fn() -> String) {
    let script = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; done";
    let container = Container::created(Bundle::new().writable().script(script));
    let file = container.bundle().rootfs().join("tmp/count");
    container.start();
    let count = move || fs::read_to_string(&file).unwrap_or_default();
    wait_for("it to count", || !count().is_empty());
    (container, count)
}

fn a_paused_container_stands_still() {
    let (container, count) = counting();
    let pid = container.pid();
    let _ = container.call("pause", &[]).succeeded();
    assert_eq!(freezer(pid), "FROZEN");
    assert_eq!(container.status(), "paused");
    assert_eq!(container.pid(), pid);
    let before = count();
    sleep(Duration::from_millis(100));
    assert_eq!(count(), before);
    let _ = container.call("resume", &[]).succeeded();
    assert_eq!(freezer(pid), "THAWED");
    assert_eq!(container.status(), "running");
    wait_for("it to count on", || !count().is_empty() && count() != before);
}

fn a_created_container_can_be_paused() {
    let container = Container::created(Bundle::new().probing(&["sleep"]));
    let _ = container.call("pause", &[]).succeeded();
    assert_eq!(container.status(), "paused");
    assert_eq!(freezer(container.pid()), "FROZEN");
    let _ = container.call("start", &[]).failed_with("cannot start a paused container");
    let _ = container.call("resume", &[]).succeeded();
    assert_eq!(container.status(), "created");
    container.start();
    container.wait_line("ready");
}

fn what_is_not_paused_or_running_is_refused() {
    let container = Container::running(Bundle::new());
    let _ = container.call("resume", &[]).failed_with("container not paused");
    let _ = container.call("pause", &[]).succeeded();
    let _ = container.call("pause", &[]).failed_with("container not running or created: paused");
    assert_eq!(freezer(container.pid()), "FROZEN");
    let _ = container.call("delete", &[]).failed_with("that is not stopped: paused");
    let _ = container.call("resume", &[]).succeeded();
    container.stop();
    let _ = container.call("pause", &[]).failed_with("container not running or created: stopped");
    let _ = container.call("resume", &[]).failed_with("container not paused");
    container.delete();
    for command in ["pause", "resume"] {
        let _ = container.call(command, &[]).failed_with("does not exist");
    }
}

fn a_paused_container_can_be_killed() {
    for detached in [false, true] {
        let mut container = Container::new(Bundle::new().probing(&["sleep"]));
        if detached {
            container.run_detached(&[]);
        } else {
            container.create(&[]);
            container.start();
        }
        container.wait_line("ready");
        let _ = container.call("pause", &[]).succeeded();
        container.kill("USR1");
        assert_eq!(container.status(), "paused", "only KILL ends a pause");
        container.stop();
        container.delete();
    }
}

fn a_paused_container_can_be_deleted_by_force() {
    let (running, _) = counting();
    let created = Container::created(Bundle::new());
    let shared = Container::running(Bundle::new().without_namespace("pid"));
    for container in [running, created, shared] {
        let _ = container.call("pause", &[]).succeeded();
        let _ = container.call("delete", &["--force"]).succeeded();
        container.assert_no_trace();
    }
}

/// A process that can't be stopped, as it waits for a file system that doesn't answer.
fn hanging() -> Container {
    needs_file("/dev/fuse");
    let bundle =
        Bundle::new().capabilities(&["CAP_SYS_ADMIN"]).probing(&["hang"]).config(|config| {
            let fuse = json!({ "type": "c", "major": 10, "minor": 229 });
            let (mut node, mut rule) = (fuse.clone(), fuse);
            node["path"] = json!("/dev/fuse");
            rule["allow"] = json!(true);
            push(&mut config["linux"]["devices"], node);
            push(&mut config["linux"]["resources"]["devices"], rule);
        });
    let container = Container::created(bundle);
    container.start();
    container.wait_line("ready");
    let pid = container.pid();
    let waits = |entry: io::Result<DirEntry>| {
        let stat = fs::read_to_string(entry.unwrap().path().join("stat")).unwrap();
        stat.contains(") D ")
    };
    let tasks = || fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    wait_for("it to hang", || tasks().count() == 2 && tasks().all(waits));
    container
}

fn an_interrupted_pause_is_undone() {
    let container = hanging();
    let pid = container.pid();
    for signal in [SIGINT, SIGTERM] {
        let pausing = command::spawn(container.command_for("pause", &[]));
        wait_for("the pause to begin", || freezer(pid) == "FREEZING");
        pausing.signal(signal);
        let output = pausing.wait();
        assert_eq!(output.code, 128 + signal, "{output:#?}");
        assert_eq!(freezer(pid), "THAWED");
        assert_eq!(container.status(), "running");
    }
}

/// As of a pause in the background of a script, or below nohup(1).
fn a_signal_that_is_ignored_interrupts_no_pause() {
    let container = hanging();
    let pid = container.pid();
    let pause = container.command_for("pause", &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$@\"", "sh"]).arg(pause.get_program());
    shell.args(pause.get_args());
    let pausing = command::spawn(shell);
    wait_for("the pause to begin", || freezer(pid) == "FREEZING");
    pausing.signal(SIGINT);
    sleep(Duration::from_millis(100));
    assert_eq!(freezer(pid), "FREEZING");
    pausing.signal(SIGTERM);
    let output = pausing.wait();
    assert_eq!(output.code, 128 + SIGTERM, "{output:#?}");
    assert_eq!(freezer(pid), "THAWED");
}

/// A pause that was killed leaves a container that says so, and can be resumed.
fn a_pause_that_was_killed_can_be_resumed() {
    let container = hanging();
    let pid = container.pid();
    let mut pausing = command::spawn(container.command_for("pause", &[]));
    wait_for("the pause to begin", || freezer(pid) == "FREEZING");
    pausing.kill();
    assert_eq!(container.status(), "paused");
    let _ = container.call("resume", &[]).succeeded();
    assert_eq!(freezer(pid), "THAWED");
    assert_eq!(container.status(), "running");
}

fn a_command_at_it_does_not_change_the_status() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    container.run_detached(&[]);
    let lock = File::open(container.root().join(container.id())).unwrap();
    // As any command that changes it has it.
    lock.lock().unwrap();
    assert_eq!(container.status(), "running");
    let list = container.command(&["list", "--quiet"]);
    assert_eq!(command::run(list).succeeded().stdout.trim(), container.id());
}
