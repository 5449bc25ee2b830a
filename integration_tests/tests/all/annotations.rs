//! Annotations: those that change what the runtime does, and those that don't.

use integration_tests::command::{LIMIT, readable, run};
use integration_tests::console::DescriptorSocket;
use integration_tests::host::{needs_file, needs_program};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, binary, bundle::push, cgroup, json, tests};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

pub const TESTS: &[Test] = tests![
    annotations_without_a_meaning_change_nothing,
    values_that_make_no_sense_are_refused,
    what_would_make_another_container_is_refused,
    what_is_missed_is_a_warning,
    groups_of_the_maker_are_kept,
    groups_of_the_maker_are_kept_in_a_user_namespace,
    groups_are_the_configured_ones_without_it,
    groups_of_the_caller_of_exec_are_kept,
    output_of_hooks_is_added_to_files,
    output_of_hooks_in_one_file_only_leaves_the_other_to_the_error,
    output_of_start_container_hooks_is_not_the_hosts,
    hook_output_that_can_not_be_opened_is_refused,
    hook_output_without_hooks_is_no_file,
    poststop_hooks_run_without_their_file,
    unknown_call_is_refused_on_request,
    receiver_gets_the_listener,
    receiver_may_be_a_variable,
    receiver_gives_way_to_the_listener_path,
    pidfd_receiver_gets_the_init,
    pidfd_receiver_gives_way_to_the_flag,
    pidfd_receiver_that_is_not_there_is_an_error,
    time_offset_is_set,
    time_offset_gives_way_to_the_configured_ones,
    time_offset_without_a_time_namespace_is_refused,
    mount_context_is_one_of_four,
];

fn annotated(bundle: Bundle, name: &str, value: &str) -> Bundle {
    bundle.config(|config| config["annotations"][name] = json!(value))
}

fn annotations_without_a_meaning_change_nothing() {
    // systemd's have one there.
    cgroup::needs_cgroupfs();
    let others = [
        ("org.systemd.property.TimeoutStopUSec", "uint64 123"),
        ("org.systemd.property.ExecStart", "no value of systemd's"),
        ("bundle", "/not/there"),
        ("run.oci.systemd.subgroup", "some"),
        ("run.oci.unheard-of", ""),
        ("module.wasm.image/variant", "compat"),
    ];
    let bundle =
        others.iter().fold(Bundle::new(), |bundle, (name, value)| annotated(bundle, name, value));
    let container = Container::created(bundle);
    assert_eq!(container.state()["annotations"].as_object().unwrap().len(), others.len());
    container.start();
    container.wait_stopped();
    container.delete();
}

fn values_that_make_no_sense_are_refused() {
    for (name, value) in [
        ("run.oci.keep_original_groups", "perhaps"),
        ("run.oci.keep_original_groups", ""),
        ("run.oci.seccomp_fail_unknown_syscall", "yes"),
        ("run.oci.seccomp.receiver", "relative.sock"),
        ("run.oci.pidfd_receiver", "relative.sock"),
        ("run.oci.hooks.stdout", "relative"),
        ("run.oci.hooks.stderr", ""),
        ("run.oci.mount_context_type", "context=x,other"),
        ("run.oci.timens_offset", "monotonic soon"),
    ] {
        annotated(Bundle::new(), name, value).refused(&format!("annotation {name}: "));
    }
}

fn what_would_make_another_container_is_refused() {
    for (name, value) in [
        ("run.oci.handler", "krun"),
        ("run.oci.seccomp_bpf_data", "BgAAAAAA/38="),
        ("run.oci.seccomp.plugins", "plugin.so"),
    ] {
        annotated(Bundle::new(), name, value)
            .refused(&format!("annotation {name} is not supported: "));
    }
}

fn what_is_missed_is_a_warning() {
    for name in ["run.oci.delegate-cgroup", "run.oci.systemd.force_cgroup_v1"] {
        let output = annotated(Bundle::new(), name, "/some").run();
        assert_eq!(output.code, 0, "{output:#?}");
        let warning = format!("annotation {name} is not supported");
        assert!(output.stderr.contains(&warning), "{output:#?}");
    }
}

/// The groups, by the host's numbers, of a container whose maker is in groups 5 and 7.
fn groups(bundle: Bundle) -> Vec<String> {
    let mut container = Container::new(bundle.probing(&["sleep"]).config(|config| {
        config["process"]["user"]["additionalGids"] = json!([9]);
    }));
    let mut command = Command::new(needs_program("setpriv"));
    command.args(["--groups", "5,7"]).arg(binary::rind());
    command.args(container.command_for("create", &[]).get_args());
    container.make_by(command);
    container.start();
    container.wait_line("ready");
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
    groups.split_whitespace().map(str::to_owned).collect()
}

fn groups_of_the_maker_are_kept() {
    for value in ["1", "true"] {
        let bundle = annotated(Bundle::new(), "run.oci.keep_original_groups", value);
        assert_eq!(groups(bundle), ["5", "7"]);
    }
}

fn mapped(bundle: Bundle) -> Bundle {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

/// Also where the user namespace is made before init is, as a time namespace wants it.
fn groups_of_the_maker_are_kept_in_a_user_namespace() {
    needs_file("/proc/self/ns/time");
    for bundle in [mapped(Bundle::new()), mapped(Bundle::new()).namespace("time", None)] {
        let bundle = annotated(bundle, "run.oci.keep_original_groups", "1");
        assert_eq!(groups(bundle), ["5", "7"]);
    }
}

fn groups_are_the_configured_ones_without_it() {
    assert_eq!(groups(Bundle::new()), ["9"]);
    assert_eq!(groups(mapped(Bundle::new())), ["100009"]);
    let bundle = annotated(Bundle::new(), "run.oci.keep_original_groups", "0");
    assert_eq!(groups(bundle), ["9"]);
}

fn groups_of_the_caller_of_exec_are_kept() {
    for bundle in [Bundle::new(), mapped(Bundle::new())] {
        let bundle = annotated(bundle, "run.oci.keep_original_groups", "1");
        let container = Container::running(bundle);
        let words = ["exec", container.id(), "/bin/probe", "read", "/proc/self/status"];
        let mut command = Command::new(needs_program("setpriv"));
        command.args(["--groups", "5,7"]).arg(binary::rind());
        command.args(container.command(&words).get_args());
        let output = run(command).succeeded();
        let groups = output.stdout.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        // None of them is mapped in a user namespace, but they are there.
        assert_eq!(groups.split_whitespace().count(), 2, "{groups}");
    }
}

/// Has a hook of the host's shell run `script`.
fn hook(bundle: Bundle, kind: &str, script: &str) -> Bundle {
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] });
    bundle.config(|config| push(&mut config["hooks"][kind], hook))
}

/// Has the output of hooks go to the files `out` and `err` beside the bundle.
fn to_files(bundle: Bundle, streams: &[&str]) -> Bundle {
    streams.iter().fold(bundle, |bundle, stream| {
        let path = bundle.folder().join(stream);
        annotated(bundle, &format!("run.oci.hooks.{stream}"), path.to_str().unwrap())
    })
}

/// The kinds of hooks that run in the host's files.
const ON_THE_HOST: [&str; 5] =
    ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

fn output_of_hooks_is_added_to_files() {
    let bundle = ON_THE_HOST.iter().fold(Bundle::new(), |bundle, kind| {
        hook(bundle, kind, &format!("echo {kind}; echo {kind} complains >&2"))
    });
    let bundle = to_files(bundle, &["stdout", "stderr"]);
    let [out, err] = ["stdout", "stderr"].map(|stream| bundle.folder().join(stream));
    fs::write(&out, "before\n").unwrap();
    let container = Container::created(bundle);
    container.start();
    container.wait_stopped();
    container.delete();
    let lines = |path: &Path| -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(&out), [&["before"], &ON_THE_HOST[..]].concat());
    assert_eq!(lines(&err), ON_THE_HOST.map(|kind| format!("{kind} complains")));
    assert_eq!(fs::metadata(&err).unwrap().permissions().mode() & 0o7777, 0o600);
}

fn output_of_hooks_in_one_file_only_leaves_the_other_to_the_error() {
    for kind in ["createRuntime", "createContainer"] {
        let bundle = hook(Bundle::new(), kind, "echo said; echo complained >&2; exit 3");
        let bundle = to_files(bundle, &["stdout"]);
        let out = bundle.folder().join("stdout");
        let container = Container::new(bundle);
        let output = container.call("create", &[]).failed_with("hook #0");
        assert!(output.stderr.contains("complained"), "{output:#?}");
        assert!(!output.stderr.contains("said"), "{output:#?}");
        assert_eq!(fs::read_to_string(out).unwrap(), "said\n");
    }
}

/// It is a program of the container's, which has no business with files of the host.
fn output_of_start_container_hooks_is_not_the_hosts() {
    let script = "echo said; echo complained >&2; exit 3";
    let bundle = hook(Bundle::new().with_shell(), "startContainer", script);
    let bundle = to_files(bundle, &["stdout", "stderr"]);
    let files = ["stdout", "stderr"].map(|stream| bundle.folder().join(stream));
    let container = Container::created(bundle);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap();
    for descriptor in descriptors {
        let target = fs::read_link(descriptor.unwrap().path()).unwrap_or_default();
        assert!(!files.contains(&target), "init has {} open", target.display());
    }
    let _ = container.call("start", &[]).failed_with(r"said\ncomplained");
    for file in files {
        assert_eq!(fs::read_to_string(file).unwrap(), "");
    }
}

fn hook_output_that_can_not_be_opened_is_refused() {
    // The last kind, which `create` doesn't run.
    let bundle = hook(Bundle::new(), "poststop", "true");
    let name = "run.oci.hooks.stderr";
    annotated(bundle, name, "/not/there/log")
        .refused("annotation run.oci.hooks.stderr: opening /not/there/log: no such file");
}

fn hook_output_without_hooks_is_no_file() {
    let bundle = to_files(Bundle::new(), &["stdout"]);
    let out = bundle.folder().join("stdout");
    let _ = bundle.run().succeeded();
    assert!(!out.exists());
}

fn poststop_hooks_run_without_their_file() {
    let bundle = Bundle::new();
    let folder = bundle.folder().join("logs");
    let ran = bundle.folder().join("ran");
    fs::create_dir(&folder).unwrap();
    let bundle = hook(bundle, "poststop", &format!("echo >{}", ran.display()));
    let log = folder.join("log");
    let container =
        Container::created(annotated(bundle, "run.oci.hooks.stdout", log.to_str().unwrap()));
    fs::remove_dir_all(folder).unwrap();
    let output = container.call("delete", &[]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert!(output.stderr.contains("annotation run.oci.hooks.stdout: opening"), "{output:#?}");
    assert!(ran.exists(), "{output:#?}");
}

/// A bundle whose profile names these calls.
fn forbidding(names: &[&str]) -> Bundle {
    Bundle::new().config(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                { "names": ["sysfs"], "action": "SCMP_ACT_ERRNO" },
                { "names": names, "action": "SCMP_ACT_ERRNO" },
            ],
        });
    })
}

fn unknown_call_is_refused_on_request() {
    let name = "run.oci.seccomp_fail_unknown_syscall";
    let unknown = ["ustat", "unheard_of"];
    annotated(forbidding(&unknown), name, "1")
        .refused("linux.seccomp.syscalls[1].names[1]: unheard_of is no known system call");
    let _ = annotated(forbidding(&unknown), name, "0").run().succeeded();
    // Another machine's is known.
    let _ = annotated(forbidding(&["ustat", "arm_fadvise64_64"]), name, "1").run().succeeded();
}

/// A bundle whose program makes a folder, of which somebody is notified, and a socket for them.
fn notifying() -> (Bundle, UnixListener, String) {
    let bundle = Bundle::new().writable().probing(&["try", "mkdir"]).config(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
        });
    });
    let path = bundle.folder().join("receiver.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (bundle, listener, path.to_str().unwrap().to_owned())
}

/// Runs a container by `run` and asserts that the socket gets its listener.
fn assert_received(container: &Container, socket: &UnixListener, make: Command) {
    let running = integration_tests::command::spawn(make);
    assert!(readable(socket, LIMIT), "nobody connected");
    let (stream, _) = socket.accept().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let (length, descriptors) = sys::socket::receive(&stream, &mut buffer).unwrap();
    let state: Value = serde_json::from_slice(&buffer[..length]).unwrap();
    assert_eq!(state["state"]["id"], container.id());
    assert_eq!(descriptors.len(), 1);
    assert!(readable(&descriptors[0], LIMIT), "no notification came");
    drop(descriptors);
    let output = running.wait();
    assert_eq!(output.stdout.trim(), r#"{"mkdir":"ENOSYS"}"#, "{output:#?}");
}

fn receiver_gets_the_listener() {
    let (bundle, socket, path) = notifying();
    let container = Container::new(annotated(bundle, "run.oci.seccomp.receiver", &path));
    assert_received(&container, &socket, container.command_for("run", &[]));
}

fn receiver_may_be_a_variable() {
    let (bundle, socket, path) = notifying();
    let container = Container::new(bundle);
    let mut command = container.command_for("run", &[]);
    command.env("RUN_OCI_SECCOMP_RECEIVER", &path);
    assert_received(&container, &socket, command);
    let mut command = container.command_for("run", &[]);
    command.env("RUN_OCI_SECCOMP_RECEIVER", "relative");
    let _ = run(command).failed_with("RUN_OCI_SECCOMP_RECEIVER relative: no absolute path");
}

fn receiver_gives_way_to_the_listener_path() {
    let (bundle, socket, path) = notifying();
    let bundle = bundle.config(|config| config["linux"]["seccomp"]["listenerPath"] = json!(path));
    let bundle = annotated(bundle, "run.oci.seccomp.receiver", "/not/there.sock");
    let container = Container::new(bundle);
    let mut command = container.command_for("run", &[]);
    command.env("RUN_OCI_SECCOMP_RECEIVER", "/nor/there.sock");
    assert_received(&container, &socket, command);
}

/// Asserts that `socket` gets a pidfd of the container that `create FLAGS` makes.
fn assert_pidfd(bundle: Bundle, socket: &DescriptorSocket, flags: &[&str]) {
    let mut container = Container::new(bundle);
    container.create(flags);
    let (pidfd, text) = socket.receive();
    assert_eq!(text, "pidfd");
    let facts = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let pid = facts.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    assert_eq!(pid.trim(), container.pid().to_string());
}

fn pidfd_receiver_gets_the_init() {
    let bundle = Bundle::new();
    let socket = DescriptorSocket::listen(&bundle.folder().join("pidfd.sock"));
    assert_pidfd(annotated(bundle, "run.oci.pidfd_receiver", socket.path()), &socket, &[]);
}

fn pidfd_receiver_gives_way_to_the_flag() {
    let bundle = annotated(Bundle::new(), "run.oci.pidfd_receiver", "/not/there.sock");
    let socket = DescriptorSocket::listen(&bundle.folder().join("pidfd.sock"));
    assert_pidfd(bundle, &socket, &["--pidfd-socket", socket.path()]);
}

fn pidfd_receiver_that_is_not_there_is_an_error() {
    annotated(Bundle::new(), "run.oci.pidfd_receiver", "/not/there.sock")
        .refused("run.oci.pidfd_receiver /not/there.sock: no such file");
}

/// How many seconds more than the host a container has been up.
fn seconds_more(bundle: Bundle) -> f64 {
    let uptime = |text: &str| -> f64 { text.split(' ').next().unwrap().parse().unwrap() };
    let host = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    let output = bundle.probing(&["read", "/proc/uptime"]).run().succeeded();
    uptime(&output.stdout) - host
}

fn time_offset_is_set() {
    needs_file("/proc/self/ns/time");
    for value in ["boottime 1000000 0", "7 1000000 0\nmonotonic 5 0"] {
        let bundle = Bundle::new().namespace("time", None);
        let more = seconds_more(annotated(bundle, "run.oci.timens_offset", value));
        assert!((1_000_000.0..1_000_100.0).contains(&more), "{more} with {value:?}");
    }
}

fn time_offset_gives_way_to_the_configured_ones() {
    needs_file("/proc/self/ns/time");
    let bundle = Bundle::new().namespace("time", None);
    let bundle = bundle.config(|config| {
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 2_000_000 } });
    });
    let more = seconds_more(annotated(bundle, "run.oci.timens_offset", "boottime 1000000 0"));
    assert!((2_000_000.0..2_000_100.0).contains(&more), "{more}");
}

fn time_offset_without_a_time_namespace_is_refused() {
    annotated(Bundle::new(), "run.oci.timens_offset", "boottime 1000000 0")
        .refused("annotation run.oci.timens_offset needs a new time namespace");
}

fn mount_context_is_one_of_four() {
    for value in ["context", "fscontext", "defcontext", "rootcontext"] {
        let _ = annotated(Bundle::new(), "run.oci.mount_context_type", value).run().succeeded();
    }
    annotated(Bundle::new(), "run.oci.mount_context_type", "label")
        .refused("not one of context, fscontext, defcontext and rootcontext");
}
