//! What others get of the runtime's own processes on their way into a container: a process of the
//! container with `CAP_SYS_PTRACE`, a pod's sibling, root without capabilities in the host's pid
//! namespace. They must find what the program will be, or nothing.

use integration_tests::bundle::push;
use integration_tests::command::run;
use integration_tests::host::needs_kernel;
use integration_tests::race;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs;
use std::path::Path;

pub const TESTS: &[Test] = tests![
    process_of_exec_is_the_program_from_birth,
    process_of_exec_in_a_user_namespace_is_the_program_from_birth,
    process_of_exec_has_its_user_and_terminal_from_birth,
    process_of_exec_has_no_right_that_its_filter_would_need,
    init_in_a_siblings_pid_namespace_is_the_program_from_birth,
    init_is_that_also_with_hooks_that_are_told_its_pid,
    hooks_of_an_init_in_a_siblings_pid_namespace_are_not_filtered,
    init_that_waits_has_no_capability_more,
    init_with_a_user_namespace_is_closed_to_root_without_capabilities,
    files_of_a_joined_mount_namespace_are_not_written_to,
    scheduling_that_a_fork_loses_is_the_processs,
    directory_and_program_may_be_the_processs_own,
    limits_do_not_hinder_the_way_in,
];

const DEFAULT: [&str; 4] =
    ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE"];

/// The mask of [`DEFAULT`].
const MASK: u64 = 1 << 5 | 1 << 10 | 1 << 29 | 1 << 19;

/// A container whose program looks at others: what is below its folder is the host's.
fn snooping(bundle: Bundle) -> Container {
    snooping_by(bundle.capabilities(&DEFAULT), &[])
}

/// The same, by a shell that does more, and has the program in `$@`.
pub fn snooping_as(bundle: Bundle, script: &str) -> Container {
    snooping_by(bundle, &["/bin/sh", "-c", script, "sh"])
}

fn snooping_by(bundle: Bundle, before: &[&str]) -> Container {
    let marker = bundle.folder().join("marker");
    fs::write(&marker, "the host's").unwrap();
    let program = ["/bin/probe", "snoop", marker.to_str().unwrap(), "/bin/probe"];
    let container = Container::created(bundle.args(&[before, &program].concat()));
    container.start();
    container.wait_line("ready");
    container
}

/// What it got while `disturb` was done again and again.
#[track_caller]
pub fn gets(container: &Container, mut disturb: impl FnMut()) -> Value {
    // On a busy machine a round takes long, and so does a look.
    for _ in race::rounds(8, race::TIME) {
        disturb();
    }
    container.kill("TERM");
    container.wait_stopped();
    let said = container.said();
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

/// Asserts that the host's root was not to be had, nor a file or the environment of the caller's.
#[track_caller]
pub fn nothing_of_the_host(got: &Value) {
    assert_eq!(got["roots"], json!([]), "the host's root was reached: {got}");
    // The program's own may be seen as it is executed.
    assert!(!got["environments"].to_string().contains("SECRET"), "{got}");
    assert_eq!(got["memories"], json!([]), "what the caller's environment has was read: {got}");
    for directory in got["directories"].as_array().unwrap() {
        assert!(directory.as_str().unwrap().starts_with('/'), "not below the root: {got}");
    }
    for file in got["files"].as_array().unwrap() {
        // The channel to the parent, and what it waits at for its start.
        let file = file.as_str().unwrap();
        let is_fifo = Path::new(file).extension().is_some_and(|it| it == "fifo");
        assert!(file.starts_with("socket:") || is_fifo, "{got}");
    }
}

/// Asserts that of that, and that whoever was seen had no capability but the container's.
#[track_caller]
fn only_the_configured(got: &Value) {
    nothing_of_the_host(got);
    assert!(got["seen"].as_u64() > Some(0), "nobody was seen: {got}");
    for line in got["rights"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()) {
        let mask = line.split("CapPrm:").nth(1).and_then(|rest| rest.split_whitespace().next());
        let mask = u64::from_str_radix(mask.unwrap(), 16).unwrap();
        assert_eq!(mask & !MASK, 0, "more than the container has: {got}");
    }
}

pub fn exec_true(container: &Container, flags: &[&str]) {
    let mut command = container.exec_command(flags, &["/bin/probe", "exit", "0"]);
    command.env("SECRET", "the caller's");
    let _ = run(command).succeeded();
}

/// CVE-2016-9962: what enters a container is a way out to one who can trace it on its way in.
fn process_of_exec_is_the_program_from_birth() {
    let container = snooping(Bundle::new());
    only_the_configured(&gets(&container, || exec_true(&container, &[])));
}

pub fn with_user_namespace(bundle: Bundle) -> Bundle {
    let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping.clone();
    })
}

fn process_of_exec_in_a_user_namespace_is_the_program_from_birth() {
    let container = snooping(with_user_namespace(Bundle::new()));
    // Its rights there are none over a process that came from the host.
    nothing_of_the_host(&gets(&container, || exec_true(&container, &[])));
}

fn process_of_exec_has_its_user_and_terminal_from_birth() {
    let container = snooping(Bundle::new());
    let got = gets(&container, || exec_true(&container, &["--tty", "--user", "1000:1000"]));
    only_the_configured(&got);
    for line in got["rights"].as_array().unwrap() {
        assert!(line.as_str().unwrap().contains("Uid:\t1000\t1000\t1000\t1000"), "{got}");
    }
}

/// Where no filter may be installed without `CAP_SYS_ADMIN`, it's in before anybody sees the process.
fn process_of_exec_has_no_right_that_its_filter_would_need() {
    let container = snooping(Bundle::new().config(filtered));
    let got = gets(&container, || exec_true(&container, &[]));
    only_the_configured(&got);
    for line in got["rights"].as_array().unwrap() {
        assert!(line.as_str().unwrap().contains("Seccomp:\t2"), "{got}");
    }
}

fn filtered(config: &mut Value) {
    config["process"]["noNewPrivileges"] = json!(false);
    config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["reboot", "clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }],
    });
}

/// A pod's sibling with `CAP_SYS_PTRACE` looks at the init of the next container.
fn init_in_a_siblings_pid_namespace_is_the_program_from_birth() {
    needs_kernel(6, 17, "make a procfs of another pid namespace");
    let sibling = snooping(Bundle::new());
    let marker = sibling.bundle().folder().join("marker");
    let path = format!("/proc/{}/ns/pid", sibling.pid());
    let got = gets(&sibling, || {
        for edit in [|_: &mut Value| (), filtered] {
            let bundle = Bundle::new().capabilities(&DEFAULT).config(edit);
            let bundle = bundle.namespace("pid", Some(&path)).probing(&["exit", "0"]);
            let container = Container::new(bundle);
            let mut command = container.command_for("run", &[]);
            command.env("SECRET", marker.to_str().unwrap());
            let _ = run(command).succeeded();
        }
    });
    only_the_configured(&got);
}

/// The same where hooks before the change of root are told init's pid, which it has by then.
fn init_is_that_also_with_hooks_that_are_told_its_pid() {
    needs_kernel(6, 17, "make a procfs of another pid namespace");
    let sibling = snooping(Bundle::new());
    let path = format!("/proc/{}/ns/pid", sibling.pid());
    let got = gets(&sibling, || {
        let bundle = Bundle::new().capabilities(&DEFAULT).with_shell();
        let told = bundle.folder().join("told");
        let script = format!("/bin/cat > {} && test -e /proc/self", told.display());
        let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
        let user = json!({ "uid": 1000, "gid": 1000 });
        let bundle = bundle.namespace("pid", Some(&path)).config(|config| {
            filtered(config);
            push(&mut config["hooks"]["createRuntime"], hook);
            config["process"]["cwd"] = json!("/made/here");
            config["process"]["user"] = user;
            config["root"]["readonly"] = json!(true);
        });
        let container = Container::running(bundle);
        let told: Value = serde_json::from_str(&fs::read_to_string(told).unwrap()).unwrap();
        assert_eq!(told["pid"], json!(container.pid()));
        let seen = container.exec_report(&[]);
        assert_eq!(seen["cwd"], "/made/here", "{seen}");
        container.stop();
    });
    only_the_configured(&got);
}

/// The filter is the program's, not theirs.
fn hooks_of_an_init_in_a_siblings_pid_namespace_are_not_filtered() {
    let sibling = Container::running(Bundle::new());
    let path = format!("/proc/{}/ns/pid", sibling.pid());
    let hook = json!({
        "path": "/bin/sh", "args": ["sh", "-c", "/bin/busybox mkdir /tmp/by-hook"],
    });
    let bundle = Bundle::new().writable().with_shell().namespace("pid", Some(&path));
    let bundle = bundle.config(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }],
        });
        push(&mut config["hooks"]["startContainer"], hook);
    });
    let container = Container::running(bundle);
    assert!(container.bundle().rootfs().join("tmp/by-hook").is_dir());
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

/// A process that another command puts beside it may look at it.
fn init_that_waits_has_no_capability_more() {
    let bundle = Bundle::new().capabilities(&DEFAULT).config(filtered);
    let container = Container::created(bundle.probing(&["exit", "0"]));
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(status.contains(&format!("CapPrm:\t{MASK:016x}")), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    // Root reads this of anybody.
    let environment = fs::read(format!("/proc/{}/environ", container.pid())).unwrap();
    assert!(environment.iter().all(|byte| *byte == 0), "the caller's environment is left");
}

/// Who has made a user namespace has all rights in it: root without any capability must not have them
/// over an init, or what goes before it, that is still in the host's mounts.
fn init_with_a_user_namespace_is_closed_to_root_without_capabilities() {
    let bundle = Bundle::new().without_namespace("pid");
    let marker = bundle.folder().join("marker");
    fs::write(&marker, "the host's").unwrap();
    let marker = marker.to_str().unwrap().to_owned();
    let bundle = bundle.capabilities(&[]).probing(&["snoop", &marker, "/bin/probe"]);
    let watcher = Container::created(bundle);
    watcher.start();
    watcher.wait_line("ready");
    let got = gets(&watcher, || {
        let offsets = |config: &mut Value| {
            push(&mut config["linux"]["namespaces"], json!({ "type": "time" }));
            config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 5 } });
        };
        for edit in [|_: &mut Value| (), offsets] {
            let bundle = with_user_namespace(Bundle::new()).config(edit);
            let container = Container::beside(&watcher, bundle.probing(&["exit", "0"]));
            let _ = container.call("run", &[]).succeeded();
        }
    });
    // Others run containers beside this test.
    let own = watcher.root().to_str().unwrap();
    let mut reached = got["roots"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
    assert_eq!(reached.find(|line| line.contains(own)), None, "the host's root was reached");
}

/// The /proc of a mount namespace that is joined is what another container has made of it.
fn files_of_a_joined_mount_namespace_are_not_written_to() {
    let own = "mount -t tmpfs x /proc && mkdir -p /proc/self/ns &&
        ln -s /kept /proc/self/oom_score_adj && ln -s /kept /proc/self/timens_offsets &&
        ln -s /proc/self /proc/thread-self && echo ready && exec /bin/probe sleep";
    let bundle = Bundle::new().writable().capabilities(&["CAP_SYS_ADMIN"]);
    let bundle = bundle.file("/kept", "kept").script(own);
    let hostile = Container::created(bundle);
    hostile.start();
    hostile.wait_line("ready");
    let path = format!("/proc/{}/ns/mnt", hostile.pid());
    let bundle = Bundle::new().namespace("mount", Some(&path)).config(|config| {
        config["mounts"] = json!([]);
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
        config["process"]["oomScoreAdj"] = json!(777);
        push(&mut config["linux"]["namespaces"], json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 5 } });
    });
    // The root is looked up in that namespace.
    let rootfs = bundle.rootfs();
    let there = hostile.bundle().rootfs().join(rootfs.strip_prefix("/").unwrap());
    fs::create_dir_all(there.join("bin")).unwrap();
    fs::copy(rootfs.join("bin/probe"), there.join("bin/probe")).unwrap();
    let container = Container::running(bundle);
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", container.pid())).unwrap();
    assert_eq!(of("oom_score_adj"), "777\n");
    let clocks = of("timens_offsets");
    assert!(
        clocks.lines().any(|line| line.split_whitespace().eq(["monotonic", "5", "0"])),
        "{clocks}"
    );
    assert_eq!(fs::read_to_string(hostile.bundle().rootfs().join("kept")).unwrap(), "kept");
}

/// `SCHED_DEADLINE` can't fork, and `SCHED_FLAG_RESET_ON_FORK` is for what is forked.
fn scheduling_that_a_fork_loses_is_the_processs() {
    let scheduler = json!({
        "policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"],
    });
    let container =
        Container::running(Bundle::new().config(|c| c["process"]["scheduler"] = scheduler));
    let seen = container.exec_report(&[]);
    assert_eq!(seen["scheduling"], json!({ "nice": "5", "policy": "3" }));
}

fn directory_and_program_may_be_the_processs_own() {
    let container = Container::running(Bundle::new());
    let seen = container.exec_report(&["--cwd", "/proc/self/task"]);
    let cwd = seen["cwd"].as_str().unwrap();
    assert_eq!(cwd, format!("/proc/{}/task", seen["pid"]), "{seen}");
}

/// No descriptor, no process and no memory of the runtime's counts.
fn limits_do_not_hinder_the_way_in() {
    let limits = json!([
        { "type": "RLIMIT_NOFILE", "soft": 4, "hard": 4 },
        { "type": "RLIMIT_NPROC", "soft": 2, "hard": 2 },
    ]);
    let bundle = Bundle::new().config(|config| {
        config["process"]["rlimits"] = limits.clone();
        config["process"]["user"] = json!({ "uid": 54_321, "gid": 54_321 });
    });
    let container = Container::running(bundle);
    let output = container.exec(&["--user", "54321"], &["/bin/probe", "exit", "7"]);
    assert_eq!(output.code, 7, "{output:#?}");
}
