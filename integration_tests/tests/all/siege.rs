//! Each attacker under each command: a container that looks at all that appears, and exchanges what is
//! its own, while the runtime is called for it or for another of its pod, over and over.
//!
//! The tests for single holes are in `security` and `traced`; this is for those that nobody has met yet.

use crate::traced::{exec_true, gets, nothing_of_the_host, snooping_as, with_user_namespace};
use integration_tests::command::{Output, run};
use integration_tests::criu::{forgets_no_new_privs, needs_criu};
use integration_tests::host::{needs_kernel, own_namespace};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs;

pub const TESTS: &[Test] = tests![
    default_container_gets_nothing,
    container_that_may_trace_gets_nothing,
    container_with_all_but_the_hosts_capabilities_gets_nothing,
    root_of_a_user_namespace_gets_nothing,
    root_without_capabilities_among_the_hosts_pids_gets_nothing,
    container_gets_nothing_by_a_checkpoint,
    sibling_gets_nothing_as_containers_come_and_go,
    sibling_in_a_user_namespace_gets_nothing,
];

const DEFAULT: &[&str] = &["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"];

const TRACING: &[&str] = &["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE"];

/// All but those that are the host's by what they are for: mounts of its own making, modules, raw
/// memory, the machine's end, any file by its handle, nodes for any device, the clock, the log, and
/// what makes eBPF programs, watches all and lifts limits.
const MOST: &[&str] = &[
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

/// Everything, where it is a user namespace's.
fn in_user_namespace(bundle: Bundle) -> Bundle {
    with_user_namespace(bundle).capabilities(&[MOST, &["CAP_SYS_ADMIN", "CAP_MKNOD"]].concat())
}

/// Calls for a container that runs, each of which must succeed.
fn commands(container: &Container) {
    let list = container.bundle().folder().join("mounts.json");
    let add = json!([{ "destination": "/added", "source": container.bundle().folder().join("volume"),
        "options": ["rbind", "ro"] }]);
    fs::write(&list, add.to_string()).unwrap();
    let list = list.to_str().unwrap();
    exec_true(container, &[]);
    exec_true(container, &["--tty", "--user", "1000:1000", "--cwd", "/tmp"]);
    exec_true(container, &["--cap", "CAP_KILL", "--no-new-privs"]);
    let calls: [&[&str]; 10] = [
        &["mounts", "add", container.id(), list],
        &["mounts", "remove", container.id(), list],
        &["update", "--pids-limit", "500", container.id()],
        &["ps", container.id()],
        &["ps", "--format", "json", container.id()],
        &["events", "--stats", container.id()],
        &["pause", container.id()],
        &["resume", container.id()],
        &["state", container.id()],
        &["kill", container.id(), "WINCH"],
    ];
    for arguments in calls {
        let _ = called(container, arguments).succeeded();
    }
    // What the container exchanges meanwhile may keep this from succeeding, but not take it outside.
    for directory in ["/work", "/work/proc/1/cwd"] {
        let output = container.exec(&["--cwd", directory], &["/bin/probe", "report"]);
        if output.code == 0 {
            let cwd = output.json()["cwd"].as_str().unwrap().to_owned();
            assert!(cwd.starts_with('/'), "outside of the root: {output:#?}");
        } else {
            assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        }
    }
}

#[track_caller]
fn called(container: &Container, arguments: &[&str]) -> Output {
    let mut command = container.command(arguments);
    command.env("SECRET", "the caller's");
    run(command)
}

/// A container that looks at others, and exchanges a folder and a link out of its root.
fn attacker(bundle: Bundle) -> Container {
    let bundle = bundle.writable().with_shell().file("/work/none", "");
    fs::create_dir(bundle.folder().join("volume")).unwrap();
    std::os::unix::fs::symlink("/proc/self/root/..", bundle.rootfs().join("link")).unwrap();
    let limit = json!({ "pids": { "limit": 400 } });
    let bundle = bundle.config(|config| config["linux"]["resources"] = limit);
    snooping_as(bundle, "/bin/probe exchange /work /link >/dev/null & exec \"$@\"")
}

/// Asserts that of all that the attacker got nothing is the host's.
#[track_caller]
fn stays_out(got: &Value, shared: &[&str]) {
    nothing_of_the_host(got);
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"] {
        let seen = got["namespaces"].as_array().unwrap().contains(&json!(own_namespace(kind)));
        assert!(!seen || shared.contains(&kind), "the host's namespace {kind} was reached: {got}");
    }
}

#[track_caller]
fn besiege(bundle: impl Fn() -> Bundle, shared: &[&str]) {
    // On a busy machine the attacker may sleep whenever there is something to see.
    for _ in 0..5 {
        let container = attacker(bundle());
        let got = gets(&container, || commands(&container));
        stays_out(&got, shared);
        if got["seen"].as_u64() > Some(0) {
            return;
        }
    }
    panic!("nobody was seen");
}

fn default_container_gets_nothing() {
    let container = attacker(Bundle::new().capabilities(DEFAULT));
    let got = gets(&container, || commands(&container));
    stays_out(&got, &["user", "cgroup"]);
}

fn container_that_may_trace_gets_nothing() {
    besiege(|| Bundle::new().capabilities(TRACING), &["user", "cgroup"]);
}

fn container_with_all_but_the_hosts_capabilities_gets_nothing() {
    besiege(|| Bundle::new().capabilities(MOST), &["user", "cgroup"]);
}

fn root_of_a_user_namespace_gets_nothing() {
    let container = attacker(in_user_namespace(Bundle::new()));
    let got = gets(&container, || commands(&container));
    stays_out(&got, &["cgroup"]);
}

/// It sees all processes of the host; of those that are this test's it may reach none in the host's
/// mounts.
fn root_without_capabilities_among_the_hosts_pids_gets_nothing() {
    let bundle = Bundle::new().without_namespace("pid").capabilities(&[]);
    let container = attacker(bundle);
    let got = gets(&container, || {
        commands(&container);
        for edit in [|bundle| bundle, with_user_namespace] {
            let other = Container::beside(&container, edit(Bundle::new()).probing(&["exit", "0"]));
            let _ = other.call("run", &[]).succeeded();
        }
    });
    let own = container.root().to_str().unwrap();
    let mut reached = got["roots"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
    assert_eq!(reached.find(|line| line.contains(own)), None, "the host's root was reached");
    assert!(!got["environments"].to_string().contains("SECRET"), "{got}");
    assert_eq!(got["memories"], json!([]), "{got}");
}

/// criu puts code of its own into the container's processes, and opens what they have.
fn container_gets_nothing_by_a_checkpoint() {
    let _ = needs_criu();
    if forgets_no_new_privs() {
        skip("this criu is refused, as it would forget no_new_privs");
    }
    let container = attacker(Bundle::new().capabilities(TRACING));
    let image = container.bundle().folder().join("image");
    let got = gets(&container, || {
        let flags = ["--leave-running", "--image-path", image.to_str().unwrap()];
        let _ = container.call("checkpoint", &flags).succeeded();
        fs::remove_dir_all(&image).unwrap();
    });
    stays_out(&got, &["user", "cgroup"]);
}

/// The next container of a pod, made in the attacker's namespaces.
fn beside(sibling: &Container, bundle: Bundle, kinds: &[&str]) -> Container {
    let pid = sibling.pid();
    let join = |bundle: Bundle, kind: &&str| {
        let file = if *kind == "network" { "net" } else { kind };
        bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{file}")))
    };
    Container::new(kinds.iter().fold(bundle, join))
}

fn come_and_go(sibling: &Container, edit: fn(Bundle) -> Bundle, kinds: &[&str]) {
    let bundle = edit(Bundle::new()).probing(&["sleep"]);
    let mut container = beside(sibling, bundle, kinds);
    let mut create = container.command_for("create", &[]);
    create.env("SECRET", "the caller's");
    container.make_by(create);
    container.start();
    container.wait_line("ready");
    exec_true(&container, &[]);
    let _ = container.call("delete", &["--force"]).succeeded();
}

fn sibling_gets_nothing_as_containers_come_and_go() {
    needs_kernel(6, 17, "make a procfs of another pid namespace");
    let sibling = attacker(Bundle::new().capabilities(MOST));
    let got = gets(&sibling, || {
        come_and_go(&sibling, |bundle| bundle, &["pid", "ipc", "network", "uts"]);
    });
    assert!(got["seen"].as_u64() > Some(0), "nobody was seen: {got}");
    stays_out(&got, &["user", "cgroup"]);
}

fn sibling_in_a_user_namespace_gets_nothing() {
    needs_kernel(6, 17, "make a procfs of another pid namespace");
    let sibling = attacker(in_user_namespace(Bundle::new()));
    let got = gets(&sibling, || {
        come_and_go(&sibling, |bundle| bundle, &["user", "pid", "ipc", "network", "uts"]);
    });
    stays_out(&got, &["cgroup"]);
}
