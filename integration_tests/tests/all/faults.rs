//! Nothing is leaked, whatever is killed when: after every fault `delete --force` clears all.

use integration_tests::command::{Output, Running, run, spawn};
use integration_tests::host::{is_alive, needs_program, wait_for};
use integration_tests::test::{Test, in_parallel};
use integration_tests::traces::Trace;
use integration_tests::{Bundle, Container, Value, bundle::push, cgroup, json, tests};
use std::fmt::Debug;
use std::fs;
use std::hint::spin_loop;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = tests![
    killed_create_leaves_nothing,
    killed_create_without_a_mount_namespace_leaves_nothing,
    killed_create_with_the_hosts_pids_leaves_nothing,
    killed_create_with_a_user_namespace_leaves_nothing,
    killed_create_leaves_no_cgroup_above_its_own,
    killed_run_leaves_nothing,
    killed_detached_run_leaves_nothing,
    killed_create_keeps_others_from_the_id_until_it_is_deleted,
    create_killed_in_a_hook_leaves_nothing,
    start_killed_in_a_hook_leaves_nothing,
    delete_killed_in_a_hook_leaves_nothing,
    killed_start_leaves_a_container_that_can_be_deleted,
    killed_delete_can_be_repeated,
    killed_delete_force_can_be_repeated,
    killed_init_of_create_is_an_error,
    killed_init_during_a_hook_of_create_is_an_error,
    descriptors_that_run_out_leave_nothing,
    state_without_room_leaves_nothing,
    emptied_state_is_no_obstacle_to_delete,
    terminated_create_leaves_nothing,
    one_of_two_deletes_wins,
    both_of_two_forced_deletes_succeed,
    delete_races_with_kill,
    delete_races_with_start,
    delete_races_with_create,
    list_and_state_do_not_race_with_create_and_delete,
];

/// How many points of time a test tries, at most.
const MOMENTS: u32 = 60;

/// `count` points of time over `whole`, which a command takes here, and a quarter more.
fn moments(whole: Duration, count: u32) -> impl Iterator<Item = Duration> {
    (0..count).map(move |step| whole * 5 / 4 * step / count)
}

/// How long a command takes here if nobody kills it.
#[track_caller]
fn time(command: Command) -> Duration {
    let since = Instant::now();
    let _ = run(command).succeeded();
    since.elapsed()
}

/// How long `create` or `run` takes to make the container, which is removed again.
#[track_caller]
fn time_to_make(container: &Container, name: &str, flags: &[&str]) -> Duration {
    let detached = [flags, &["--detach"]].concat();
    let flags = if name == "run" { &detached } else { flags };
    let make = |()| {
        let whole = time(container.command_for(name, flags));
        let _ = container.call("delete", &["--force"]).succeeded();
        whole
    };
    // The first one finds nothing in the kernel's caches.
    let [_, whole] = [(), ()].map(make);
    whole
}

fn sleep_for(moment: Duration) {
    let since = Instant::now();
    while since.elapsed() < moment {
        spin_loop();
    }
}

/// Kills `command` when it has run for `after`; gives whether it had not ended before.
fn kill_after(command: Command, after: Duration) -> bool {
    let mut running = spawn(command);
    sleep_for(after);
    running.signal(sys::nix::libc::SIGKILL);
    running.wait_here().code == 128 + sys::nix::libc::SIGKILL
}

/// Has `kill` kill a command at `count` moments over `whole`. It tells whether it came in time, which
/// it must often enough for the test to mean something: a machine that was busy when the command was
/// timed, and is not any more, has `whole` be too long, so that it is halved.
#[track_caller]
fn over(whole: Duration, count: u32, mut kill: impl FnMut(Duration) -> bool) {
    let mut in_time = Vec::new();
    for halvings in 0..6 {
        in_time.extend(moments(whole / 2_u32.pow(halvings), count).filter(|moment| kill(*moment)));
        if in_time.len() * 8 > count as usize {
            return;
        }
    }
    panic!("of {count} kills over {whole:?} and less only those at {in_time:?} came in time");
}

/// Has `delete --force` clear what a killed command left.
#[track_caller]
fn clear(container: &Container, when: Duration) {
    clear_by(container, when, || container.call("delete", &["--force"]));
}

/// As [`clear`], of a command that was killed at `when`, by a `delete --force` of the caller's.
#[track_caller]
pub(crate) fn clear_by(container: &Container, when: impl Debug, delete: impl FnOnce() -> Output) {
    let output = delete();
    assert!(output.code == 0 && output.stderr.is_empty(), "killed at {when:?}: {output:#?}");
    // An init that nobody knew of ends when it next looks at its parent; the rest must be gone.
    let is_process = |trace: &Trace| matches!(trace, Trace::Process(..));
    let left: Vec<Trace> =
        container.traces().into_iter().filter(|trace| !is_process(trace)).collect();
    assert!(left.is_empty(), "killed at {when:?}, delete --force has left {left:#?}");
    wait_for(&format!("all to end of what was killed at {when:?}"), || {
        !container.traces().iter().any(is_process)
    });
    container.assert_no_trace();
}

/// Kills `name FLAGS` at every moment, clearing up after each.
fn kill_at_all_moments(bundle: Bundle, name: &str, flags: &[&str]) {
    let container = Container::new(bundle.probing(&["sleep"]));
    let mut had_begun = false;
    over(time_to_make(&container, name, flags), MOMENTS, |moment| {
        let in_time = kill_after(container.command_for(name, flags), moment);
        had_begun |= in_time && container.root().join(container.id()).exists();
        clear(&container, moment);
        in_time
    });
    assert!(had_begun, "all were killed before they had made anything");
    // Its name is still good.
    let mut container = container;
    container.create(&[]);
    container.start();
}

fn killed_create_leaves_nothing() {
    kill_at_all_moments(Bundle::new(), "create", &[]);
}

/// Its mounts are the host's, and go with no process.
fn killed_create_without_a_mount_namespace_leaves_nothing() {
    kill_at_all_moments(without_mount_namespace(), "create", &[]);
}

fn without_mount_namespace() -> Bundle {
    // What the host itself uses is not to be mounted over.
    Bundle::new().without_namespace("mount").config(|config| {
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("maskedPaths");
        linux.remove("readonlyPaths");
    })
}

/// Its processes do not go with their init.
fn killed_create_with_the_hosts_pids_leaves_nothing() {
    kill_at_all_moments(Bundle::new().without_namespace("pid"), "create", &[]);
}

fn killed_create_with_a_user_namespace_leaves_nothing() {
    let bundle = Bundle::new().namespace("user", None).config(|config| {
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    kill_at_all_moments(bundle, "create", &[]);
}

/// Those that it made for its own to be in.
fn killed_create_leaves_no_cgroup_above_its_own() {
    cgroup::needs_cgroupfs();
    let bundle = Bundle::new();
    let path = format!("/{}/a/b", bundle.id());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    kill_at_all_moments(bundle, "create", &[]);
}

fn killed_run_leaves_nothing() {
    kill_at_all_moments(Bundle::new(), "run", &[]);
}

fn killed_detached_run_leaves_nothing() {
    kill_at_all_moments(Bundle::new(), "run", &["--detach"]);
}

fn killed_create_keeps_others_from_the_id_until_it_is_deleted() {
    let container = Container::new(Bundle::new());
    over(time_to_make(&container, "create", &[]), MOMENTS / 4, |moment| {
        let in_time = kill_after(container.command_for("create", &[]), moment);
        let was_made = container.root().join(container.id()).exists();
        let again = container.call("create", &[]);
        assert_eq!(again.code == 0, !was_made, "killed after {moment:?}: {again:#?}");
        clear(&container, moment);
        in_time
    });
}

/// A hook that makes the file `mark`, and then takes far too long.
fn slow_hook(mark: &str) -> Value {
    let script = format!("echo >{mark}; exec sleep 1000");
    // Killed by its timeout, should all else fail.
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "timeout": 60 })
}

/// A container with a hook of `kind` that is slow, and the path of the mark that it makes.
fn with_slow_hook(kind: &str) -> (Container, std::path::PathBuf) {
    let bundle = Bundle::new().writable().with_shell();
    let mark = bundle.rootfs().join("tmp/mark");
    let path = if kind == "startContainer" { "/tmp/mark" } else { mark.to_str().unwrap() };
    let hook = slow_hook(path);
    let bundle = bundle.config(|config| push(&mut config["hooks"][kind], hook));
    (Container::new(bundle.probing(&["sleep"])), mark)
}

/// Waits until the hook runs, and kills the command: the hook goes with it.
fn kill_in_hook(mut running: Running, mark: &std::path::Path) {
    wait_for("the hook to run", || mark.exists());
    let hooks: Vec<i32> = children(running.pid());
    running.kill();
    // Of the children that are left only init was made to outlive the command.
    let is_hook = |pid: i32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with("sh\0") || line.starts_with("sleep\0")
    };
    wait_for("the hook to end", || !hooks.iter().any(|hook| is_alive(*hook) && is_hook(*hook)));
}

fn children(pid: i32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn create_killed_in_a_hook_leaves_nothing() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        for name in ["create", "run"] {
            let (container, mark) = with_slow_hook(kind);
            kill_in_hook(spawn(container.command_for(name, &[])), &mark);
            clear(&container, Duration::ZERO);
        }
    }
}

fn start_killed_in_a_hook_leaves_nothing() {
    for kind in ["startContainer", "poststart"] {
        let (mut container, mark) = with_slow_hook(kind);
        container.create(&[]);
        kill_in_hook(spawn(container.command_for("start", &[])), &mark);
        clear(&container, Duration::ZERO);
        let (container, mark) = with_slow_hook(kind);
        kill_in_hook(spawn(container.command_for("run", &[])), &mark);
        clear(&container, Duration::ZERO);
    }
}

fn delete_killed_in_a_hook_leaves_nothing() {
    let (mut container, mark) = with_slow_hook("poststop");
    container.create(&[]);
    kill_in_hook(spawn(container.command_for("delete", &[])), &mark);
    clear(&container, Duration::ZERO);
}

fn killed_start_leaves_a_container_that_can_be_deleted() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    container.create(&[]);
    let whole = time(container.command_for("start", &[]));
    clear(&container, Duration::ZERO);
    over(whole, MOMENTS / 2, |moment| {
        container.create(&[]);
        let in_time = kill_after(container.command_for("start", &[]), moment);
        let status = container.status();
        assert!(matches!(status.as_str(), "created" | "running"), "after {moment:?}: {status}");
        // The lock has gone with its owner.
        if status == "created" {
            let again = container.call("start", &[]);
            let late = again.stderr.contains("already running");
            assert!(again.code == 0 || late, "killed after {moment:?}: {again:#?}");
        }
        clear(&container, moment);
        in_time
    });
}

fn killed_delete_can_be_repeated() {
    let mut container = Container::new(Bundle::new().probing(&["exit", "0"]));
    let stop = |container: &mut Container| {
        container.create(&[]);
        container.start();
        container.wait_stopped();
    };
    stop(&mut container);
    let whole = time(container.command_for("delete", &[]));
    over(whole, MOMENTS / 2, |moment| {
        stop(&mut container);
        let in_time = kill_after(container.command_for("delete", &[]), moment);
        clear(&container, moment);
        in_time
    });
}

fn killed_delete_force_can_be_repeated() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    container.create(&[]);
    container.start();
    let whole = time(container.command_for("delete", &["--force"]));
    over(whole, MOMENTS / 2, |moment| {
        container.create(&[]);
        container.start();
        let in_time = kill_after(container.command_for("delete", &["--force"]), moment);
        clear(&container, moment);
        in_time
    });
}

/// What kills it need not be one of ours: the kernel may be out of memory.
fn killed_init_of_create_is_an_error() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let whole = time_to_make(&container, "create", &[]);
    let mut failed = 0;
    for moment in moments(whole, MOMENTS / 2) {
        let mut running = spawn(container.command_for("create", &[]));
        let mut init = None;
        let since = Instant::now();
        while init.is_none() && since.elapsed() < whole * 5 {
            init = children(running.pid()).first().copied();
        }
        let Some(init) = init else {
            let _ = running.wait_here();
            clear(&container, moment);
            continue;
        };
        sleep_for(moment);
        let _ = sys::process::kill(init, sys::nix::libc::SIGKILL);
        let output = running.wait_here();
        if output.code != 0 {
            assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
            container.assert_no_trace();
            failed += 1;
        }
        clear(&container, moment);
    }
    assert!(failed > 0, "init was never killed before the end of create, in {whole:?}");
}

fn killed_init_during_a_hook_of_create_is_an_error() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let mark = bundle.folder().join("mark");
    let script = format!("cat >{}; sleep 0.2", mark.display());
    let env = ["PATH=/usr/bin:/bin"];
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env });
    let bundle = bundle.config(|config| push(&mut config["hooks"]["createRuntime"], hook));
    let container = Container::new(bundle);
    for name in ["create", "run"] {
        let _ = fs::remove_file(&mark);
        let mut running = spawn(container.command_for(name, &[]));
        let mut init = None;
        wait_for("the hook to be told of init", || {
            let state = fs::read(&mark).unwrap_or_default();
            let state = serde_json::from_slice::<Value>(&state).ok();
            init = state.and_then(|state| state["pid"].as_i64());
            init.is_some()
        });
        let init = i32::try_from(init.unwrap()).unwrap();
        sys::process::kill(init, sys::nix::libc::SIGKILL).unwrap();
        let output = running.wait_here().failed_with("init was killed by SIGKILL");
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        container.assert_no_trace();
    }
}

/// A caller that is told to end takes its `create` along; not even that leaks.
fn terminated_create_leaves_nothing() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let whole = time_to_make(&container, "create", &[]);
    for moment in moments(whole, MOMENTS / 3) {
        let mut running = spawn(container.command_for("create", &[]));
        sleep_for(moment);
        running.signal(sys::nix::libc::SIGTERM);
        let _ = running.wait_here();
        clear(&container, moment);
    }
}

/// `usual` by a shell that has done `first`.
pub(crate) fn by_shell(first: &str, usual: &Command) -> Command {
    let mut command = Command::new(needs_program("sh"));
    command.args(["-c", &format!(r#"{first}; exec "$@""#), "sh"]);
    command.arg(usual.get_program()).args(usual.get_args());
    command
}

/// Every call that makes a descriptor fails once.
fn descriptors_that_run_out_leave_nothing() {
    let container = Container::new(Bundle::new().config(|config| {
        // It is more than the runtime itself has then, and so more than it may give.
        config["process"].as_object_mut().unwrap().remove("rlimits");
    }));
    let is_enough = |most: &i32, name: &str| {
        let output = run(by_shell(&format!("ulimit -n {most}"), &container.command_for(name, &[])));
        if output.code != 0 {
            assert_eq!(output.stderr.lines().count(), 1, "of {most}: {output:#?}");
            container.assert_no_trace();
        }
        let _ = container.call("delete", &["--force"]).succeeded();
        output.code == 0
    };
    for name in ["run", "create"] {
        let enough = (3..100).find(|most| is_enough(most, name));
        assert!(enough.is_some(), "100 descriptors are not enough to {name}");
    }
    container.assert_no_trace();
}

/// Every file or folder of the state is the one that there is no room for.
fn state_without_room_leaves_nothing() {
    let container = Container::new(Bundle::new());
    let root = container.root().to_str().unwrap().to_owned();
    let script = r#"
        root=$1; options=$2; shift 2
        mount -t tmpfs -o "mode=711,$options" none "$root" || exit 99
        "$@"; status=$?
        ls -A "$root" >&2
        exit $status"#;
    let mut failed = 0;
    // In inodes, of which the root is one; and in pages, of which a file has one and a folder none.
    let rooms = (1..10).map(|count| format!("nr_inodes={count}"));
    let rooms = rooms.chain((1..5).map(|pages| format!("size={}k", 4 * pages)));
    for room in rooms {
        let usual = container.command_for("run", &[]);
        let mut command = Command::new(needs_program("unshare"));
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]);
        command.args([&root, &room]).arg(usual.get_program()).args(usual.get_args());
        let output = run(command);
        if output.code == 0 {
            assert_eq!(output.stderr, "", "{room}");
        } else {
            // The error, and no name of what would be left.
            assert_eq!((output.code, output.stderr.lines().count()), (1, 1), "{room}: {output:#?}");
            assert!(output.stderr.contains("no space left"), "{room}: {output:#?}");
            failed += 1;
        }
        container.assert_no_trace();
    }
    assert!(failed > 1, "there was always room");
}

/// As a file is when its writer was killed, or there was no room, before it had a word in it.
fn emptied_state_is_no_obstacle_to_delete() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    container.create(&[]);
    let folder = container.root().join(container.id());
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    assert!(files.len() > 1, "{files:?}");
    container.delete();
    for file in files {
        container.create(&[]);
        container.stop();
        fs::write(&file, "").unwrap();
        // Whatever it has to say of this one, it is not to fail.
        let listed = run(container.command(&["list"]));
        assert_eq!(listed.code, 0, "{} is empty: {listed:#?}", file.display());
        let deleted = container.call("delete", &["--force"]);
        assert_eq!(deleted.code, 0, "{} is empty: {deleted:#?}", file.display());
        container.assert_no_trace();
    }
}

fn one_of_two_deletes_wins() {
    let mut container = Container::new(Bundle::new().probing(&["exit", "0"]));
    for _ in 0..10 {
        container.create(&[]);
        container.start();
        container.wait_stopped();
        let outputs = in_parallel(0..3, |_| container.call("delete", &[]));
        let won = outputs.iter().filter(|output| output.code == 0).count();
        assert_eq!(won, 1, "{outputs:#?}");
        for lost in outputs.into_iter().filter(|output| output.code != 0) {
            let _ = lost.failed_with("does not exist");
        }
        container.assert_no_trace();
    }
}

fn both_of_two_forced_deletes_succeed() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    for _ in 0..10 {
        container.create(&[]);
        container.start();
        for output in in_parallel(0..3, |_| container.call("delete", &["--force"])) {
            let _ = output.succeeded();
        }
        container.assert_no_trace();
    }
}

fn delete_races_with_kill() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    for round in 0..20 {
        container.create(&[]);
        container.start();
        let outputs = in_parallel(0..3, |at| {
            if at == round % 3 {
                container.call("delete", &["--force"])
            } else {
                container.call_with("kill", &["KILL"])
            }
        });
        for output in outputs {
            let known = ["does not exist", "container not running"];
            let late = known.iter().any(|text| output.stderr.contains(text));
            let is_delete = output.command.contains("\"delete\"");
            assert!(output.code == 0 || late && !is_delete, "{output:#?}");
        }
        container.assert_no_trace();
    }
}

fn delete_races_with_start() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    for _ in 0..20 {
        container.create(&[]);
        let outputs = in_parallel(["start", "delete"], |name| {
            let flags: &[&str] = if name == "delete" { &["--force"] } else { &[] };
            container.call(name, flags)
        });
        let [started, deleted] = <[_; 2]>::try_from(outputs).unwrap();
        let _ = deleted.succeeded();
        let known = ["does not exist", "stopped", "init was killed"];
        let late = known.iter().any(|text| started.stderr.contains(text));
        assert!(started.code == 0 || late, "{started:#?}");
        container.assert_no_trace();
    }
}

fn delete_races_with_create() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    for moment in moments(time_to_make(&container, "create", &[]), MOMENTS / 4) {
        let creating = spawn(container.command_for("create", &[]));
        sleep_for(moment);
        let deleted = container.call("delete", &["--force"]);
        assert_eq!(deleted.code, 0, "after {moment:?}: {deleted:#?}");
        let created = creating.wait();
        assert!(created.stderr.lines().count() <= 1, "after {moment:?}: {created:#?}");
        // Deleted before there was anything, or after: what is said is what is there.
        if created.code != 0 {
            container.assert_no_trace();
        }
        clear(&container, moment);
    }
}

fn list_and_state_do_not_race_with_create_and_delete() {
    let first = Container::new(Bundle::new().probing(&["sleep"]));
    let second = Container::beside(&first, Bundle::new().probing(&["exit", "0"]));
    let steady = Container::beside(&first, Bundle::new().probing(&["sleep"]));
    let mut steady = steady;
    steady.create(&[]);
    let (steady, changing) = (&steady, [&first, &second]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looked = 0;
            while !done.load(Ordering::Relaxed) {
                look(steady, &changing);
                looked += 1;
            }
            looked
        });
        in_parallel(changing, |container| {
            for _ in 0..25 {
                let _ = container.call("create", &[]).succeeded();
                let _ = container.call("start", &[]).succeeded();
                let _ = container.call("delete", &["--force"]).succeeded();
            }
        });
        done.store(true, Ordering::Relaxed);
        let looked = looking.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        assert!(looked > 5, "only {looked} looks while 50 containers came and went");
    });
}

/// Looks at all containers in every way: `steady` is there, the others may be.
fn look(steady: &Container, changing: &[&Container]) {
    let table = run(steady.command(&["list"])).succeeded().stdout;
    assert!(table.contains(steady.id()), "{table}");
    let ids = run(steady.command(&["list", "--quiet"])).succeeded().stdout;
    assert!(ids.lines().any(|id| id == steady.id()), "{ids}");
    let listed = run(steady.command(&["list", "--format", "json"])).succeeded().stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let statuses = ["created", "running", "stopped"];
    for one in listed.as_array().unwrap() {
        assert!(statuses.contains(&one["status"].as_str().unwrap()), "{one}");
    }
    for container in changing {
        let output = container.call("state", &[]);
        assert!(output.code == 0 || output.stderr.contains("does not exist"), "{output:#?}");
    }
}
