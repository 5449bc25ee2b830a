//! `exec`: what becomes of another program in a container that is there.

use integration_tests::cgroup::{self, Hierarchy, controller, folder_of, hierarchies};
use integration_tests::command::{self, spawn_reading};
use integration_tests::console::DescriptorSocket;
use integration_tests::host::{
    is_alive, namespace, needs_file, needs_program, open_fifo, wait_for,
};
use integration_tests::test::{Test, in_parallel, skip};
use integration_tests::{Bundle, Container, Output, Running, Value, json, tests};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use sys::nix::libc::{self, SIGTERM, SIGUSR1};

pub const TESTS: &[Test] = tests![
    output_and_status_are_the_programs,
    input_is_the_callers,
    program_that_is_killed,
    program_that_cannot_be_run,
    working_directory_that_is_missing,
    flags_of_the_program_are_its_own,
    flags_may_follow_the_id,
    program_is_needed,
    container_must_be_there_and_alive,
    created_container_can_be_entered,
    paused_container_is_refused,
    paused_container_is_entered_on_request,
    every_namespace_is_inits,
    joined_namespaces_are_inits,
    absent_namespaces_are_the_callers,
    root_is_changed_without_a_mount_namespace,
    root_is_the_containers_without_a_pivot,
    process_is_in_the_containers_cgroups,
    process_ends_with_the_container,
    process_ends_with_a_container_without_a_pid_namespace,
    sub_cgroups_are_entered,
    sub_cgroups_that_make_no_sense_are_refused,
    cgroup_that_has_only_other_cgroups_in_it,
    process_is_as_the_config_has_it,
    process_file_says_all_that_it_says,
    process_file_may_be_a_descriptor_or_stdin,
    process_file_that_makes_no_sense_is_refused,
    user_and_groups_are_the_flags,
    environment_is_added_to,
    home_is_the_users,
    capabilities_are_added,
    privileges_can_be_given_up_and_kept,
    working_directory_is_the_flags,
    labels_without_their_module_are_warnings,
    keyring_is_the_containers,
    only_standard_descriptors_are_open,
    preserved_descriptors_are_passed,
    sockets_to_listen_on_are_passed,
    detached_process_is_left_running,
    pidfd_socket_gets_the_process,
    pid_file_that_cannot_be_written_is_an_error,
    signals_are_passed_on,
    affinity_is_the_cgroups,
    affinity_is_the_configured_one,
    affinity_that_is_no_list_is_refused,
    process_waits_at_the_fifo,
    failure_after_the_wait_is_in_the_fifo,
    fifo_goes_with_a_process_that_fails,
    hundred_at_once,
    race_with_the_end_of_the_container,
    capabilities_that_are_inheritable_become_ambient,
    cgroup_that_is_gone_is_named,
    debug_tells_of_the_process_and_its_affinity,
];

/// A container that sleeps, with a shell.
fn running() -> Container {
    Container::running(Bundle::new().with_shell())
}

/// Writes `process` to a file of the test's and gives its path.
fn process_file(container: &Container, process: Value) -> String {
    let path = container.bundle().folder().join("process.json");
    fs::write(&path, process.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn in_folder(container: &Container, name: &str) -> String {
    container.bundle().folder().join(name).to_str().unwrap().to_owned()
}

/// A program that `exec` has left running, by its pid.
#[track_caller]
fn detached(container: &Container, flags: &[&str], program: &[&str]) -> i32 {
    let file = in_folder(container, "exec.pid");
    let flags = [&["--detach", "--pid-file", &file], flags].concat();
    let _ = container.exec(&flags, program).succeeded();
    fs::read_to_string(file).unwrap().parse().unwrap()
}

/// Asserts that `exec` itself failed: its status, and one line of `text`.
#[track_caller]
fn failed(output: Output, text: &str) {
    let output = output.failed_with(text);
    assert_eq!((output.code, output.stderr.lines().count()), (255, 1), "{output:#?}");
}

/// Runs `command` as `"$@"` of a shell script.
fn run_from_shell(script: &str, command: &Command) -> Output {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    command::run(shell)
}

fn output_and_status_are_the_programs() {
    let script = "echo out; echo err >&2; exit 7";
    let output = running().exec(&[], &["/bin/sh", "-c", script]);
    let said = (output.code, output.stdout.as_str(), output.stderr.as_str());
    assert_eq!(said, (7, "out\n", "err\n"));
}

fn input_is_the_callers() {
    let container = running();
    let mut command = container.exec_command(&[], &["cat"]);
    command.stdin(File::open(container.bundle().path().join("config.json")).unwrap());
    let output = spawn_reading(command).wait().succeeded();
    assert_eq!(output.json()["process"]["args"], json!(["/bin/probe", "sleep"]));
}

fn program_that_is_killed() {
    let container = running();
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("USR1", 138)] {
        let output = container.exec(&[], &["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(output.code, code, "{output:#?}");
    }
}

fn program_that_cannot_be_run() {
    let container = running();
    let garbage = container.bundle().rootfs().join("bin/garbage");
    // By another process: a child of another thread of ours would keep one of ours busy.
    let script = "printf '\\177ELF' >$0; chmod 755 $0; exec \"$@\"";
    let mut copy = Command::new("/bin/sh");
    copy.args(["-c", script]).arg(garbage).arg("true");
    let _ = command::run(copy).succeeded();
    for (program, text) in [
        ("nope", "exec: \\\"nope\\\": executable file not found in $PATH"),
        ("/nope", "exec: \\\"/nope\\\": stat /nope: no such file or directory"),
        ("/etc/passwd", "exec: \\\"/etc/passwd\\\": permission denied"),
        ("/bin", "exec: \\\"/bin\\\": is a directory"),
        ("/bin/garbage", "exec /bin/garbage: exec format error"),
    ] {
        let text = format!("exec failed: unable to start container process: {text}");
        failed(container.exec(&[], &[program]), &text);
        failed(container.exec(&["--detach"], &[program]), &text);
        failed(container.exec(&["--tty"], &[program]), &text);
    }
}

fn working_directory_that_is_missing() {
    let output = running().exec(&["--cwd", "/not/there"], &["true"]);
    failed(output, "chdir to cwd (\\\"/not/there\\\")");
}

fn flags_of_the_program_are_its_own() {
    let container = running();
    let id = container.id();
    let echo = ["/bin/echo", "--user", "-e", "--help", "--", "-t"];
    for before in [&["exec", id][..], &["exec", id, "--"], &["exec", "--", id]] {
        let output = command::run(container.command(&[before, &echo].concat())).succeeded();
        assert_eq!(output.stdout, "--user -e --help -- -t\n");
    }
}

fn flags_may_follow_the_id() {
    let container = running();
    let words = ["exec", container.id(), "--env", "A=b", "/bin/sh", "-c", "echo $A"];
    assert_eq!(command::run(container.command(&words)).succeeded().stdout, "b\n");
}

fn program_is_needed() {
    failed(running().exec(&[], &[]), "process args cannot be empty");
}

fn container_must_be_there_and_alive() {
    let container = Container::new(Bundle::new());
    failed(container.exec(&[], &["/bin/probe"]), "does not exist");
    let container = running();
    container.stop();
    failed(container.exec(&[], &["true"]), "container not running");
}

fn created_container_can_be_entered() {
    let container = Container::created(Bundle::new().probing(&["sleep"]));
    let seen = container.exec_report(&[]);
    assert_eq!(seen["namespaces"]["pid"], namespace(container.pid(), "pid"));
    assert_eq!(container.status(), "created");
    container.start();
    container.wait_line("ready");
    assert_eq!(container.status(), "running");
}

/// Freezes or thaws a container by the kernel's own files.
fn freeze(container: &Container, frozen: bool) {
    let folder = folder_of(container.pid(), "freezer");
    match controller("freezer").version {
        1 => {
            let state = if frozen { "FROZEN" } else { "THAWED" };
            fs::write(folder.join("freezer.state"), state).unwrap();
            wait_for(state, || cgroup::value(&folder, "freezer.state") == state);
        }
        _ => fs::write(folder.join("cgroup.freeze"), if frozen { "1" } else { "0" }).unwrap(),
    }
}

fn paused_container_is_refused() {
    let container = running();
    freeze(&container, true);
    failed(container.exec(&[], &["true"]), "cannot exec in a paused container");
    freeze(&container, false);
    let _ = container.exec(&[], &["true"]).succeeded();
}

fn paused_container_is_entered_on_request() {
    let container = running();
    freeze(&container, true);
    let command =
        container.exec_command(&["--ignore-paused"], &["sh", "-c", "echo thawed; exit 3"]);
    let running = command::spawn(command);
    let procs = folder_of(container.pid(), "freezer").join("cgroup.procs");
    wait_for("the process to be in the frozen cgroup", || {
        fs::read_to_string(&procs).unwrap().lines().count() == 2
    });
    assert_eq!(running.stdout(), "");
    freeze(&container, false);
    let output = running.wait();
    assert_eq!((output.code, output.stdout.as_str()), (3, "thawed\n"), "{output:#?}");
}

const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Asserts that what `exec` runs is in every namespace of init.
#[track_caller]
fn enters_all(container: &Container) -> Value {
    let seen = container.exec_report(&[]);
    for kind in KINDS {
        assert_eq!(seen["namespaces"][kind], namespace(container.pid(), kind), "{kind}");
    }
    seen
}

/// In a user namespace of its own, where 0 is the host's 100000.
fn with_user_namespace(bundle: Bundle) -> Bundle {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

fn every_namespace_is_inits() {
    needs_file("/proc/self/ns/time");
    let seen = enters_all(&Container::running(Bundle::new()));
    assert_eq!((&seen["ppid"], &seen["sid"]), (&json!(0), &seen["pid"]));
    assert_ne!(seen["pid"], 1);
    let bundle = with_user_namespace(Bundle::new())
        .namespace("cgroup", None)
        .namespace("time", None)
        .config(|config| config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 7 } }));
    let container = Container::running(bundle);
    let seen = enters_all(&container);
    assert_eq!((&seen["uid"], &seen["gid"], &seen["groups"]), (&json!(0), &json!(0), &json!([])));
    let read = ["/bin/probe", "read", "/proc/self/timens_offsets"];
    let offsets = container.exec(&[], &read).succeeded().stdout;
    let boot = offsets.lines().find(|line| line.starts_with("boottime")).unwrap();
    assert!(boot.split_whitespace().eq(["boottime", "7", "0"]), "{offsets}");
}

fn joined_namespaces_are_inits() {
    let kinds =
        [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("user", "user")];
    let first = Container::running(with_user_namespace(Bundle::new()));
    let pid = first.pid();
    let mut bundle = with_user_namespace(Bundle::new());
    for (name, kind) in kinds {
        bundle = bundle.namespace(name, Some(&format!("/proc/{pid}/ns/{kind}")));
    }
    let second = Container::running(bundle.config(|config| {
        config.as_object_mut().unwrap().remove("hostname");
    }));
    let seen = enters_all(&second);
    for (_, kind) in kinds {
        assert_eq!(seen["namespaces"][kind], namespace(pid, kind), "{kind}");
    }
    assert_ne!(seen["namespaces"]["mnt"], namespace(pid, "mnt"));
}

fn absent_namespaces_are_the_callers() {
    let mut bundle = Bundle::new();
    for name in ["pid", "network", "ipc", "uts"] {
        bundle = bundle.without_namespace(name);
    }
    let container = Container::running(bundle.config(|config| {
        config.as_object_mut().unwrap().remove("hostname");
    }));
    let seen = enters_all(&container);
    for kind in ["pid", "net", "ipc", "uts"] {
        let own = integration_tests::host::own_namespace(kind);
        assert_eq!(seen["namespaces"][kind], own, "{kind}");
    }
}

/// As for `run`, in a private mount namespace, lest a mistake reach the machine's mounts.
fn root_is_changed_without_a_mount_namespace() {
    let unshare = needs_program("unshare");
    let bundle = Bundle::new().writable().without_namespace("mount").config(|config| {
        config["mounts"] = json!([]);
        config["linux"].as_object_mut().unwrap().remove("maskedPaths");
        config["linux"].as_object_mut().unwrap().remove("readonlyPaths");
    });
    let container = Container::new(bundle.probing(&["sleep"]).file("/in-the-root", "yes"));
    let rind = container.command::<&str>(&[]);
    let script = "proc=$1 bundle=$2 id=$3; shift 3
        mount --rbind /proc $proc
        readlink /proc/self/ns/mnt
        \"$@\" run --detach --bundle $bundle $id >&2
        \"$@\" exec $id /bin/probe report
        \"$@\" exec --cwd /bin $id ./probe stat /in-the-root
        \"$@\" delete --force $id";
    let mut command = Command::new(unshare);
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-euc", script, "-"]);
    command.arg(container.bundle().rootfs().join("proc")).arg(container.bundle().path());
    command.arg(container.id()).arg(rind.get_program()).args(rind.get_args());
    let output = command::run(command);
    assert_eq!(output.code, 0, "{output:#?}");
    let mut lines = output.stdout.lines();
    let own = lines.next().unwrap();
    let seen: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((&seen["namespaces"]["mnt"], &seen["cwd"]), (&json!(own), &json!("/")));
    let seen: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(seen[0]["content"], "yes");
}

fn root_is_the_containers_without_a_pivot() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]).file("/here", "yes"));
    container.create(&["--no-pivot"]);
    container.start();
    container.wait_line("ready");
    let seen = container.exec(&[], &["/bin/probe", "stat", "/here"]).succeeded().json();
    assert_eq!(seen[0]["content"], "yes");
    assert_eq!(enters_all(&container)["cwd"], "/");
}

fn cgroup_lines(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

fn process_is_in_the_containers_cgroups() {
    for bundle in [Bundle::new(), Bundle::new().namespace("cgroup", None)] {
        let container = Container::running(bundle);
        let pid = detached(&container, &[], &["/bin/probe", "sleep"]);
        assert_eq!(cgroup_lines(pid), cgroup_lines(container.pid()));
    }
}

fn process_ends_with_the_container() {
    let container = running();
    let pid = detached(&container, &[], &["/bin/probe", "sleep"]);
    assert!(is_alive(pid));
    container.stop();
    wait_for("the process to end", || !is_alive(pid));
    container.delete();
}

fn process_ends_with_a_container_without_a_pid_namespace() {
    let container = Container::running(Bundle::new().without_namespace("pid"));
    let pid = detached(&container, &[], &["/bin/probe", "sleep"]);
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(!is_alive(pid));
    container.assert_no_trace();
}

/// Makes a cgroup `name` below the container's in every hierarchy.
fn make_sub_cgroups(container: &Container, name: &str) {
    for hierarchy in hierarchies().iter().filter(|one| !one.controllers.is_empty()) {
        let top = folder_of(container.pid(), &hierarchy.controllers[0]);
        fs::create_dir(top.join(name)).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if hierarchy.version == 1 && top.join(file).exists() {
                fs::write(top.join(name).join(file), cgroup::value(&top, file)).unwrap();
            }
        }
    }
}

fn sub_cgroups_are_entered() {
    let container = running();
    make_sub_cgroups(&container, "sub");
    let top = cgroup_lines(container.pid());
    let seen = cgroup_lines(detached(&container, &["--cgroup", "sub"], &["sleep", "1000"]));
    let hierarchies = hierarchies().iter().filter(|one| !one.controllers.is_empty()).count();
    let below = seen.lines().filter(|line| line.ends_with("/sub")).count();
    assert_eq!(below, hierarchies, "{seen}");
    if controller("pids").version == 1 {
        let flags = ["--cgroup", "pids:/sub/", "--cgroup", "memory,devices:sub"];
        let seen = cgroup_lines(detached(&container, &flags, &["sleep", "1000"]));
        for (line, top) in seen.lines().zip(top.lines()) {
            let asked = ["pids", "memory", "devices"].iter().any(|name| line.contains(name));
            let expected = if asked { format!("{top}/sub") } else { top.to_owned() };
            assert_eq!(line, expected, "{seen}");
        }
    }
    assert_eq!(cgroup_lines(container.pid()), top);
}

fn sub_cgroups_that_make_no_sense_are_refused() {
    let container = running();
    for (asked, text) in [
        ("../x", "bad sub cgroup path: ../x"),
        ("pids:a/../../x", "bad sub cgroup path: pids:a/../../x"),
        ("unheard-of:a", "unknown controller unheard-of"),
        ("not-there", "/not-there"),
    ] {
        failed(container.exec(&["--cgroup", asked], &["true"]), text);
    }
}

/// Has the root of a hierarchy hand a controller on for as long as this lives.
struct HandedOn<'a>(Option<(PathBuf, &'a str)>);

impl<'a> HandedOn<'a> {
    fn new(hierarchy: &Hierarchy, controller: &'a str) -> Self {
        let all = cgroup::value(&hierarchy.mount, "cgroup.subtree_control");
        if all.split_whitespace().any(|one| one == controller) {
            return Self(None);
        }
        let file = hierarchy.mount.join("cgroup.subtree_control");
        fs::write(&file, format!("+{controller}")).unwrap();
        Self(Some((file, controller)))
    }
}

impl Drop for HandedOn<'_> {
    fn drop(&mut self) {
        if let Some((file, controller)) = &self.0 {
            // Somebody else may have come to need it.
            let _ = fs::write(file, format!("-{controller}"));
        }
    }
}

/// A container may be its own manager of cgroups: with controllers handed on, a v2 cgroup has no
/// processes in it, and init is in one below.
fn cgroup_that_has_only_other_cgroups_in_it() {
    let unified = hierarchies().iter().find(|one| one.version == 2);
    let Some(unified) = unified.filter(|one| !one.controllers.is_empty()) else {
        skip("no version 2 with controllers");
    };
    let name = &unified.controllers[0];
    let _handed_on = HandedOn::new(unified, name);
    let container = running();
    let top = folder_of(container.pid(), name);
    make_sub_cgroups(&container, "other");
    fs::create_dir(top.join("inits")).unwrap();
    fs::write(top.join("inits/cgroup.procs"), container.pid().to_string()).unwrap();
    fs::write(top.join("cgroup.subtree_control"), format!("+{name}")).unwrap();
    let unified_of = |pid| folder_of(pid, name);
    let pid = detached(&container, &[], &["sleep", "1000"]);
    assert_eq!(unified_of(pid), top.join("inits"));
    let pid = detached(&container, &["--cgroup", "other"], &["sleep", "1000"]);
    assert_eq!(unified_of(pid), top.join("other"));
    fs::create_dir(top.join("other/below")).unwrap();
    fs::write(top.join("other/below/cgroup.procs"), pid.to_string()).unwrap();
    fs::write(top.join("other/cgroup.subtree_control"), format!("+{name}")).unwrap();
    let output = container.exec(&["--cgroup", "other"], &["true"]);
    failed(output, "the container's cgroup has only other cgroups in it: see --cgroup");
}

/// A bundle whose process has much that is not the default.
fn particular() -> Bundle {
    let capabilities = ["CAP_CHOWN", "CAP_KILL"];
    Bundle::new().capabilities(&capabilities).config(|config| {
        let process = &mut config["process"];
        process["noNewPrivileges"] = json!(false);
        process["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
        process["user"] = json!({ "uid": 0, "gid": 7, "additionalGids": [5, 5], "umask": 0o027 });
        process["oomScoreAdj"] = json!(321);
        process["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 5 });
        process["env"] = json!(["A=config", "PATH=/bin", "A=last"]);
        process["cwd"] = json!("/tmp");
        config["linux"]["personality"] = json!({ "domain": "LINUX32" });
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["sethostname"], "action": "SCMP_ACT_ERRNO" }],
        });
    })
}

/// Asserts that two processes are alike in all that the config's process says.
#[track_caller]
fn alike(seen: &Value, inits: &Value, but: &[&str]) {
    for field in [
        "capabilities",
        "cwd",
        "egid",
        "env",
        "gid",
        "groups",
        "hostname",
        "machine",
        "mounts",
        "no_new_privs",
        "oom_score_adj",
        "rlimits",
        "scheduling",
        "seccomp",
        "signals_blocked",
        "uid",
        "umask",
    ] {
        if !but.contains(&field) {
            assert_eq!(seen[field], inits[field], "{field}");
        }
    }
}

fn without_devices(mut seen: Value) -> Value {
    // Each container has file systems of its own.
    for mount in seen["mounts"].as_array_mut().unwrap() {
        for field in ["device", "root", "data", "source", "propagation"] {
            mount[field] = Value::Null;
        }
    }
    seen
}

fn process_is_as_the_config_has_it() {
    let inits = without_devices(particular().report());
    assert_eq!((&inits["oom_score_adj"], &inits["umask"]), (&json!("321"), &json!(0o027)));
    let container = Container::running(particular());
    let seen = without_devices(container.exec_report(&[]));
    alike(&seen, &inits, &[]);
    let others = ["/bin/probe", "try", "sethostname"];
    let seen = container.exec(&[], &others).succeeded().json();
    assert_eq!(seen["sethostname"], "EPERM");
    if fs::exists("/proc/self/numa_maps").unwrap() {
        let policy = json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" });
        let container = Container::running(
            Bundle::new().config(|config| config["linux"]["memoryPolicy"] = policy),
        );
        let read = ["/bin/probe", "read", "/proc/self/numa_maps"];
        let maps = container.exec(&[], &read).succeeded().stdout;
        assert!(maps.contains(" interleave:0 "), "{maps}");
    }
    let priority = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    let bundle = Bundle::new().with_shell();
    let container =
        Container::running(bundle.config(|config| config["process"]["ioPriority"] = priority));
    let output = container.exec(&[], &["sh", "-c", "ionice -p $$"]).succeeded();
    assert_eq!(output.stdout, "best-effort: prio 6\n");
}

fn process_file_says_all_that_it_says() {
    let inits = without_devices(particular().report());
    let container = Container::running(particular());
    // The least there can be: as the container's, but for what belongs to a program.
    let file = process_file(&container, json!({ "cwd": "/", "args": ["/bin/probe", "report"] }));
    let seen = without_devices(container.exec(&["-p", &file], &[]).succeeded().json());
    alike(&seen, &inits, &["cwd", "egid", "env", "gid", "groups"]);
    assert_eq!((&seen["cwd"], &seen["gid"], &seen["groups"]), (&json!("/"), &json!(0), &json!([])));
    assert_eq!(seen["env"], json!(["HOME=/root"]));
    let all = json!({
        "args": ["probe", "report"],
        "cwd": "/bin",
        "env": ["PATH=/tmp:/bin", "B=2"],
        "user": { "uid": 1000, "gid": 1001, "additionalGids": [7], "umask": 0o077 },
        "capabilities": { "bounding": ["CAP_KILL"] },
        "noNewPrivileges": true,
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 50, "hard": 60 }],
        "oomScoreAdj": 400,
        "scheduler": { "policy": "SCHED_OTHER", "nice": 6 },
    });
    let file = process_file(&container, all);
    let seen = container.exec(&["--process", &file], &[]).succeeded().json();
    assert_eq!(seen["env"], json!(["PATH=/tmp:/bin", "B=2", "HOME=/"]));
    assert_eq!(seen["capabilities"]["bounding"], json!(["CAP_KILL"]));
    assert_eq!(seen["capabilities"]["permitted"], json!([]));
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([50, 60]));
    assert_eq!(seen["scheduling"], json!({ "nice": "6", "policy": "0" }));
    for (field, value) in [
        ("cwd", json!("/bin")),
        ("uid", json!(1000)),
        ("gid", json!(1001)),
        ("groups", json!([7])),
        ("umask", json!(0o077)),
        ("no_new_privs", json!(true)),
        ("oom_score_adj", json!("400")),
    ] {
        assert_eq!(seen[field], value, "{field}");
    }
}

fn process_file_may_be_a_descriptor_or_stdin() {
    let container = Container::running(Bundle::new());
    let process = json!({ "cwd": "/", "args": ["/bin/probe", "open-descriptors"] });
    let file = process_file(&container, process);
    for (name, script) in [
        ("/dev/fd/7", format!("exec \"$@\" 7<{file}")),
        ("/dev/fd/7", format!("cat {file} | {{ exec 7<&0 </dev/null; \"$@\"; }}")),
        ("-", format!("exec \"$@\" <{file}")),
    ] {
        let command = container.exec_command(&["-p", name], &[]);
        let output = run_from_shell(&script, &command).succeeded();
        assert_eq!(output.json().as_object().unwrap().len(), 3, "{output:#?}");
    }
}

fn process_file_that_makes_no_sense_is_refused() {
    let container = running();
    failed(container.exec(&["-p", "/not/there.json"], &[]), "/not/there.json: no such file");
    for (process, text) in [
        (json!({ "cwd": "/" }), "args"),
        (json!({ "cwd": "/", "args": [] }), "args"),
        (json!({ "cwd": "tmp", "args": ["true"] }), "cwd"),
        (json!({ "cwd": "/", "args": "true" }), "process.json:1:"),
        (json!([]), "process.json"),
    ] {
        let file = process_file(&container, process);
        failed(container.exec(&["-p", &file], &[]), text);
    }
}

fn user_and_groups_are_the_flags() {
    let container = Container::running(particular());
    for (flags, ids, groups) in [
        (&["--user", "1000"][..], [1000, 7], json!([5, 5])),
        (&["-u", "1000:1001"], [1000, 1001], json!([5, 5])),
        (&["--user=1:2", "-g", "9", "--additional-gids", "5"], [1, 2], json!([5, 5, 5, 9])),
    ] {
        let seen = container.exec_report(flags);
        assert_eq!(json!([seen["uid"], seen["gid"]]), json!(ids), "{flags:?}");
        assert_eq!(json!([seen["euid"], seen["egid"]]), json!(ids), "{flags:?}");
        assert_eq!(seen["groups"], groups, "{flags:?}");
    }
    for (flag, value) in [
        ("--user", "root"),
        ("--user", "0:root"),
        ("--user", "-1"),
        ("--user", "4294967296"),
        ("--user", ":1"),
        // CVE-2026-30892: a part that is a number makes no number of the whole.
        ("--user", ":"),
        ("--user", "1:"),
        ("--user", "1:2:3"),
        ("--user", "1 "),
        ("--user", "0x1"),
        ("--user", "1.0"),
        ("--user", "\u{661}"),
        ("-g", "wheel"),
    ] {
        failed(container.exec(&[flag, value], &["/bin/probe"]), "is not a number");
    }
}

fn environment_is_added_to() {
    let container = Container::running(particular());
    let flags = ["-e", "B=1", "--env", "A=flag", "-e", "B=2", "-e", "C=", "-e", "D=x=y"];
    let seen = container.exec_report(&flags);
    let expected = json!(["PATH=/bin", "A=flag", "B=2", "C=", "D=x=y", "HOME=/root"]);
    assert_eq!(seen["env"], expected);
    // What the flags say of PATH counts for finding the program.
    failed(container.exec(&["-e", "PATH=/tmp"], &["probe"]), "executable file not found in $PATH");
}

fn home_is_the_users() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:U:/home/user:/bin/sh\n";
    let container = Container::running(particular().file("/etc/passwd", passwd));
    for (user, home) in [("0", "HOME=/root"), ("1000", "HOME=/home/user"), ("1001", "HOME=/")] {
        let seen = container.exec_report(&["--user", user]);
        assert_eq!(seen["env"][2], home, "{user}: {}", seen["env"]);
    }
}

fn capabilities_are_added() {
    let container = Container::running(particular());
    let seen = container.exec_report(&["--cap", "CAP_NET_RAW", "-c", "CAP_MKNOD"]);
    let all = json!(["CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_NET_RAW"]);
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(seen["capabilities"][set], all, "{set}");
    }
    for set in ["inheritable", "ambient"] {
        assert_eq!(seen["capabilities"][set], json!([]), "{set}");
    }
    let seen = container.exec_report(&["--user", "1000"]);
    assert_eq!(seen["capabilities"]["effective"], json!([]));
    // As one of the config's that is unknown, and as with runc.
    let output = container.exec(&["--cap", "CAP_UNHEARD_OF"], &["/bin/probe", "exit", "0"]);
    let told = output.stderr.contains("unavailable capabilities: [CAP_UNHEARD_OF]");
    assert!(output.code == 0 && told, "{output:#?}");
}

fn privileges_can_be_given_up_and_kept() {
    for inits in [true, false] {
        let container = Container::running(
            Bundle::new().config(|config| config["process"]["noNewPrivileges"] = json!(inits)),
        );
        assert_eq!(container.exec_report(&[])["no_new_privs"], inits);
        assert_eq!(container.exec_report(&["--no-new-privs"])["no_new_privs"], true);
        assert_eq!(container.exec_report(&["--no-new-privs=false"])["no_new_privs"], false);
    }
}

fn working_directory_is_the_flags() {
    let container = Container::running(particular());
    assert_eq!(container.exec_report(&["--cwd", "/bin"])["cwd"], "/bin");
    failed(container.exec(&["--cwd", "bin"], &["/bin/probe"]), "is not an absolute path");
    // A directory of the user's alone.
    let folder = container.bundle().rootfs().join("home");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(1000), Some(1000)).unwrap();
    assert_eq!(container.exec_report(&["--cwd", "/home", "--user", "1000"])["cwd"], "/home");
}

fn labels_without_their_module_are_warnings() {
    let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if apparmor.is_ok_and(|text| text.starts_with('Y'))
        || fs::exists("/sys/fs/selinux/enforce").unwrap()
    {
        skip("AppArmor or SELinux is enabled here");
    }
    let container = running();
    let flags = ["--apparmor", "some-profile", "--process-label", "a:b:c:d"];
    let output = container.exec(&flags, &["true"]);
    assert_eq!(output.code, 0, "{output:#?}");
    for text in ["process.apparmorProfile some-profile: AppArmor is not", "a:b:c:d: SELinux is not"]
    {
        assert!(
            output.stderr.contains(text) && output.stderr.contains("level=warning"),
            "{output:#?}"
        );
    }
}

fn keyring_is_the_containers() {
    needs_file("/proc/keys");
    let bundle = Bundle::new().config(|config| config["linux"]["maskedPaths"] = json!([]));
    let container = Container::running(bundle);
    let keys = container.exec(&[], &["/bin/probe", "read", "/proc/keys"]).succeeded().stdout;
    let name = format!("_ses.{}", container.id());
    assert!(keys.lines().any(|key| key.contains(" keyring ") && key.contains(&name)), "{keys}");
}

/// With descriptors open that a careless caller left behind.
const STRAYS: &str = "exec 3</dev/null 4</ 5</etc 6</proc/self/status 7>/dev/null 9</sys; ";

fn descriptors(container: &Container, flags: &[&str]) -> Value {
    let command = container.exec_command(flags, &["/bin/probe", "open-descriptors"]);
    run_from_shell(&format!("{STRAYS} exec \"$@\""), &command).succeeded().json()
}

fn numbers(descriptors: &Value) -> Vec<&String> {
    descriptors.as_object().unwrap().keys().collect()
}

fn only_standard_descriptors_are_open() {
    let container = Container::running(Bundle::new());
    assert_eq!(numbers(&descriptors(&container, &[])), ["0", "1", "2"]);
    let bundle = with_user_namespace(Bundle::new());
    assert_eq!(numbers(&descriptors(&Container::running(bundle), &[])), ["0", "1", "2"]);
    // Nor has one that waits more than its fifo, and a socket or pipe.
    let fifo = in_folder(&container, "fifo");
    let file = in_folder(&container, "exec.pid");
    let flags = ["--detach", "--pid-file", &file, "--exec-fifo", &fifo];
    let command = container.exec_command(&flags, &["/bin/probe", "sleep"]);
    let _ = run_from_shell(&format!("{STRAYS} exec \"$@\""), &command).succeeded();
    let pid = fs::read_to_string(file).unwrap();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let kind = fs::metadata(entry.path()).unwrap().file_type();
        let target = fs::read_link(entry.path()).unwrap();
        let of_the_host = kind.is_dir() || kind.is_file() || kind.is_char_device();
        assert!(number < 3 || !of_the_host, "{number} is open: {}", target.display());
    }
}

fn preserved_descriptors_are_passed() {
    let container = Container::running(Bundle::new());
    let seen = descriptors(&container, &["--preserve-fds", "2"]);
    assert_eq!(numbers(&seen), ["0", "1", "2", "3", "4"]);
    assert_eq!(seen["3"], "/dev/null");
    let flags = ["--preserve-fds", "9"];
    failed(container.exec(&flags, &["/bin/probe"]), "--preserve-fds: descriptor 3 is not open");
}

fn sockets_to_listen_on_are_passed() {
    let container = Container::running(Bundle::new());
    let command = container.exec_command(&[], &["/bin/probe", "report"]);
    let script = "export LISTEN_FDS=2 LISTEN_PID=$$; exec 3</dev/null 4</dev/zero; exec \"$@\"";
    let seen = run_from_shell(script, &command).succeeded().json();
    assert_eq!(numbers(&seen["descriptors"]), ["0", "1", "2", "3", "4"]);
    let variables: Vec<&str> =
        seen["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(variables.contains(&"LISTEN_FDS=2"), "{variables:?}");
    // sd_listen_fds(3) compares it with the own pid.
    let own = format!("LISTEN_PID={}", seen["pid"]);
    assert!(variables.contains(&own.as_str()), "{own}: {variables:?}");
}

fn detached_process_is_left_running() {
    let container = running();
    let pid = detached(&container, &[], &["sh", "-c", "while :; do sleep 1000; done"]);
    assert_ne!(pid, container.pid());
    assert_eq!(namespace(pid, "pid"), namespace(container.pid(), "pid"));
    // A relative pid file is the caller's.
    let mut command =
        container.exec_command(&["--detach", "--pid-file", "relative"], &["sleep", "1000"]);
    command.current_dir(container.bundle().folder());
    let _ = command::run(command).succeeded();
    let text = fs::read_to_string(container.bundle().folder().join("relative")).unwrap();
    let name = fs::read_to_string(format!("/proc/{text}/comm")).unwrap();
    assert_eq!(name, "sleep\n", "it runs when exec is done");
}

fn pidfd_socket_gets_the_process() {
    let container = running();
    let socket = DescriptorSocket::listen(&container.bundle().folder().join("pidfd.sock"));
    let pid = detached(&container, &["--pidfd-socket", socket.path()], &["sleep", "1000"]);
    let (pidfd, _) = socket.receive();
    let facts = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let told = facts.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    assert_eq!(told.trim(), pid.to_string());
}

fn pid_file_that_cannot_be_written_is_an_error() {
    let container = running();
    let before = cgroup::value(&folder_of(container.pid(), "pids"), "cgroup.procs");
    for flags in [
        &["--detach", "--pid-file", "/not/there/pid"][..],
        &["--detach", "--pidfd-socket", "/not/there.sock"],
    ] {
        failed(container.exec(flags, &["sleep", "1000"]), "/not/there");
    }
    let after = cgroup::value(&folder_of(container.pid(), "pids"), "cgroup.procs");
    assert_eq!(after, before, "the process is left");
}

fn signals_are_passed_on() {
    let container = running();
    let running = command::spawn(container.exec_command(&[], &["/bin/probe", "sleep", "9"]));
    running.wait_line("ready");
    for (signal, name) in [(SIGUSR1, "SIGUSR1"), (libc::SIGHUP, "SIGHUP"), (libc::SIGINT, "SIGINT")]
    {
        running.signal(signal);
        running.wait_line(name);
    }
    running.signal(SIGTERM);
    assert_eq!(running.wait().code, 9);
    assert!(!container.said().contains("SIG"), "init got a signal: {}", container.said());
}

fn needs_two_processors() {
    if available_parallelism().unwrap().get() < 2 {
        skip("one processor only");
    }
}

fn affinity_is_the_cgroups() {
    needs_two_processors();
    let taskset = needs_program("taskset");
    let container = Container::running(Bundle::new());
    let here = container.exec_report(&[])["processors"].clone();
    assert_ne!(here, "0");
    let mut command = Command::new(taskset);
    let runtime = container.exec_command(&[], &["/bin/probe", "report"]);
    command.args(["-c", "0"]).arg(runtime.get_program()).args(runtime.get_args());
    assert_eq!(command::run(command).succeeded().json()["processors"], here);
}

fn with_affinity(affinity: Value) -> Bundle {
    Bundle::new().config(|config| config["process"]["execCPUAffinity"] = affinity)
}

fn affinity_is_the_configured_one() {
    needs_two_processors();
    let container = Container::running(with_affinity(json!({ "initial": "0", "final": "1" })));
    assert_eq!(container.exec_report(&[])["processors"], "1");
    // The initial one is the runtime's own.
    let running = command::spawn(container.exec_command(&[], &["/bin/probe", "sleep"]));
    running.wait_line("ready");
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    assert!(status.contains("\nCpus_allowed_list:\t0\n"), "{status}");
    running.signal(SIGTERM);
    let _ = running.wait().succeeded();
    let container = Container::running(with_affinity(json!({ "final": "0-0" })));
    assert_eq!(container.exec_report(&[])["processors"], "0");
    let file = process_file(
        &container,
        json!({
            "cwd": "/",
            "args": ["/bin/probe", "report"],
            "execCPUAffinity": { "final": "1" },
        }),
    );
    let seen = container.exec(&["-p", &file], &[]).succeeded().json();
    assert_eq!(seen["processors"], "1", "the process's own counts");
}

fn affinity_that_is_no_list_is_refused() {
    let container = Container::running(Bundle::new());
    for (key, list) in [("initial", "a"), ("final", "3-1"), ("final", "0,,1"), ("initial", "-1")] {
        let file = process_file(
            &container,
            json!({ "cwd": "/", "args": ["/bin/probe"], "execCPUAffinity": { key: list } }),
        );
        failed(container.exec(&["-p", &file], &[]), "execCPUAffinity");
    }
    // One that no machine of these tests has.
    let file = process_file(
        &container,
        json!({ "cwd": "/", "args": ["/bin/probe"], "execCPUAffinity": { "final": "9999" } }),
    );
    failed(container.exec(&["-p", &file], &[]), "setting process.execCPUAffinity");
}

/// Lets a process go that waits at the fifo `path`; gives what comes through it then, until it is
/// closed.
#[track_caller]
fn release(path: &str) -> String {
    let mut fifo = open_fifo(Path::new(path));
    let mut answer =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
    fifo.write_all(b"0").unwrap();
    drop(fifo);
    // No event is waited for but that all have closed it.
    wait_for("the fifo to be closed", || {
        use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut polled = [PollFd::new(std::os::fd::AsFd::as_fd(&answer), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).unwrap() == 1
    });
    let mut text = String::new();
    answer.read_to_string(&mut text).unwrap();
    text
}

fn process_waits_at_the_fifo() {
    let container = running();
    let fifo = in_folder(&container, "fifo");
    let pid = detached(&container, &["--exec-fifo", &fifo], &["sleep", "1000"]);
    let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    assert_ne!(name(), "sleep\n");
    assert_eq!(release(&fifo), "");
    assert_eq!(name(), "sleep\n");
    // In the foreground too; and what is there already is not taken.
    failed(container.exec(&["--exec-fifo", &fifo], &["true"]), "--exec-fifo: making");
    fs::remove_file(&fifo).unwrap();
    let program = ["sh", "-c", "echo began; exit 5"];
    let running = command::spawn(container.exec_command(&["--exec-fifo", &fifo], &program));
    wait_for("the fifo", || fs::exists(&fifo).unwrap());
    assert_eq!(running.stdout(), "");
    assert_eq!(release(&fifo), "");
    let output = running.wait();
    assert_eq!((output.code, output.stdout.as_str()), (5, "began\n"));
}

fn failure_after_the_wait_is_in_the_fifo() {
    let container = running();
    // It goes between the search for it and its execve.
    let program = container.bundle().rootfs().join("bin/short-lived");
    std::os::unix::fs::symlink("probe", &program).unwrap();
    let fifo = in_folder(&container, "fifo");
    let pid = detached(&container, &["--exec-fifo", &fifo], &["/bin/short-lived"]);
    fs::remove_file(program).unwrap();
    let said = release(&fifo);
    assert!(said.contains("exec /bin/short-lived: no such file or directory"), "{said:?}");
    wait_for("the process to end", || !is_alive(pid));
}

fn fifo_goes_with_a_process_that_fails() {
    let container = running();
    let fifo = in_folder(&container, "fifo");
    for (flags, program) in [
        (&["--cwd", "/not/there"][..], "true"),
        (&[], "/not/there"),
        (&["--pid-file", "/not/there/pid"], "true"),
        (&["--cgroup", "not/there"], "true"),
    ] {
        let flags = [&["--exec-fifo", &fifo], flags].concat();
        failed(container.exec(&flags, &[program]), "not/there");
        assert!(!fs::exists(&fifo).unwrap(), "{flags:?}");
    }
}

fn hundred_at_once() {
    let container = running();
    in_parallel(0..100, |number: i32| {
        let script = format!("echo out {number}; echo err {number} >&2; exit {number}");
        let output = container.exec(&[], &["sh", "-c", &script]);
        assert_eq!(output.code, number, "{output:#?}");
        assert_eq!(output.stdout, format!("out {number}\n"));
        assert_eq!(output.stderr, format!("err {number}\n"));
    });
    let left = cgroup::value(&folder_of(container.pid(), "pids"), "cgroup.procs");
    assert_eq!(left, container.pid().to_string());
}

/// What may be said by an `exec` that comes too late.
const TOO_LATE: [&str; 3] =
    ["container not running", "does not exist", "the process was killed by SIGKILL"];

fn race_with_the_end_of_the_container() {
    let ends: [&[&str]; 2] = [&["kill", "KILL"], &["delete", "--force"]];
    for (round, end) in ends.into_iter().cycle().take(12).enumerate() {
        let container = running();
        let executing: Vec<Running> = (0..4)
            .map(|_| command::spawn(container.exec_command(&[], &["echo", "here"])))
            .collect();
        if round % 3 > 0 {
            // So that some have come further when the end comes.
            wait_for("the first", || executing[0].stdout() == "here\n" || round % 3 == 1);
        }
        let _ = match end {
            ["kill", signal] => container.call_with("kill", &[signal]),
            _ => container.call("delete", &["--force"]),
        };
        for output in executing.into_iter().map(Running::wait) {
            match output.code {
                0 => assert_eq!(output.stdout, "here\n", "{output:#?}"),
                // It was killed as its program.
                137 => assert_eq!(output.stderr, "", "{output:#?}"),
                _ => {
                    let is_clear = TOO_LATE.iter().any(|text| output.stderr.contains(text));
                    assert!(is_clear, "{output:#?}");
                    failed(output, "exec failed: ");
                }
            }
        }
    }
}

fn capabilities_that_are_inheritable_become_ambient() {
    let names = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"];
    let container = Container::running(Bundle::new().capabilities(&names).config(|config| {
        config["process"]["capabilities"]["inheritable"] = json!(["CAP_NET_RAW"]);
        config["process"]["capabilities"]["ambient"] = json!([]);
    }));
    let flags = ["--cap", "CAP_NET_RAW", "--cap", "CAP_MKNOD", "--user", "1000"];
    let seen = container.exec_report(&flags);
    for set in ["effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(seen["capabilities"][set], json!(["CAP_NET_RAW"]), "{set}");
    }
    let all = json!(["CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_NET_RAW"]);
    assert_eq!(seen["capabilities"]["bounding"], all);
    let output = container.exec(&flags, &["/bin/probe", "exit", "0"]).succeeded();
    assert_eq!(output.stderr, "");
    let seen = container.exec_report(&["--user", "1000"]);
    assert_eq!(seen["capabilities"]["effective"], json!([]));
}

/// A process in a container that runs without one of its cgroups is not one that has ended.
fn cgroup_that_is_gone_is_named() {
    let container = Container::running(Bundle::new());
    if !fs::exists("/sys/fs/cgroup/pids/cgroup.procs").unwrap() {
        skip("needs a v1 hierarchy of its own that a process can be moved out of");
    }
    let folder = folder_of(container.pid(), "pids");
    let parent = folder.parent().unwrap().join("cgroup.procs");
    fs::write(parent, container.pid().to_string()).unwrap();
    wait_for("the cgroup to be empty", || fs::remove_dir(&folder).is_ok());
    let text = format!("the container's cgroup {} is gone", folder.display());
    failed(container.exec(&[], &["/bin/probe", "exit", "0"]), &text);
    assert_eq!(container.status(), "running");
    container.stop();
    failed(container.exec(&[], &["/bin/probe", "exit", "0"]), "container not running");
}

fn debug_tells_of_the_process_and_its_affinity() {
    let container = running();
    let debugged = |args: &[&str]| {
        let output = command::run(container.command(args));
        assert_eq!(output.code, 0, "{output:#?}");
        output.stderr
    };
    let args = ["--debug", "exec", container.id(), "/bin/true"];
    let said = debugged(&args);
    assert!(said.contains("level=debug") && said.contains("/bin/true"), "{said}");
    assert!(!said.contains("affinity"), "{said}");
    let file = process_file(
        &container,
        json!({
            "args": ["/bin/true"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
            "execCPUAffinity": { "initial": "0" },
        }),
    );
    let args = ["--debug", "exec", "--process", &file, container.id()];
    let said = debugged(&args);
    assert!(said.contains("initial CPU affinity: 0"), "{said}");
}
