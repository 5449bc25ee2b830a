//! `linux.netDevices`: devices that are moved into the container. The runtime is put into a network
//! namespace of the test's own, where the devices are.

use integration_tests::command::{self, Output, Running};
use integration_tests::host::{namespace, needs_program, own_namespace, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::process::Command;

pub const TESTS: &[Test] = tests![
    device_has_its_new_name_and_is_up,
    device_keeps_its_name_without_another,
    permanent_addresses_are_kept,
    pattern_is_completed_by_the_kernel,
    device_is_moved_to_a_user_namespace,
    device_is_moved_to_a_namespace_that_is_joined,
    name_that_is_taken_is_refused,
    name_that_is_taken_in_a_joined_namespace_is_refused,
    device_that_is_not_there_is_refused,
    names_that_can_not_be_are_refused,
    namespace_of_the_host_is_refused,
    prestart_hooks_find_the_device,
];

/// A pair of devices, v0 with addresses of all sorts. The runtime then runs; what is left of the
/// devices follows on stdout.
const SETUP: &str = r#"
    set -e
    ip link add v0 type veth peer name v1
    ip address add 10.9.8.7/24 broadcast 10.9.8.255 dev v0
    ip address add 10.9.8.8/24 dev v0
    ip address add 10.1.1.1 peer 10.1.1.2/32 dev v0
    ip address add 169.254.7.7/16 scope link dev v0
    ip address add 10.7.7.7/24 valid_lft 900 preferred_lft 900 dev v0
    if [ -e /proc/net/if_inet6 ]; then ip address add fd00:9::7/64 dev v0 nodad; fi
    set +e
    "$@"
    status=$?
    echo "left: $(ip -o link | cut -d: -f2 | tr -d '\n')"
    exit $status
"#;

/// Skips the test unless such devices can be made here.
fn needs_devices() {
    let mut command = Command::new(needs_program("unshare"));
    command.arg("--net").arg(needs_program("ip"));
    command.args(["link", "add", "v0", "type", "veth", "peer", "name", "v1"]);
    if command::run(command).code != 0 {
        skip("no veth devices can be made on this machine");
    }
}

/// With these devices, and a program that tells of those that it has.
fn with_devices(devices: Value) -> Bundle {
    needs_devices();
    let bundle = Bundle::new().script("busybox ip -o link; busybox ip -o address");
    bundle.config(|config| config["linux"]["netDevices"] = devices)
}

/// Runs the container where the devices are.
fn run_beside_devices(bundle: Bundle) -> Output {
    let container = Container::new(bundle);
    let runtime = container.command_for("run", &[]);
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--net", "/bin/sh", "-c", SETUP, "setup"]);
    command.arg(runtime.get_program()).args(runtime.get_args());
    command::run(command)
}

/// Whether the program has the device, and it is up.
fn has_up(output: &Output, name: &str) -> bool {
    let line = output.stdout.lines().find(|line| {
        let found = line.split_whitespace().nth(1).unwrap_or_default();
        line.contains('<') && found.trim_end_matches(':').split('@').next() == Some(name)
    });
    let flags = line.and_then(|line| line.split(['<', '>']).nth(1)).unwrap_or_default();
    flags.split(',').any(|flag| flag == "UP")
}

fn device_has_its_new_name_and_is_up() {
    let output = run_beside_devices(with_devices(json!({ "v0": { "name": "eth0" } }))).succeeded();
    assert!(has_up(&output, "eth0"), "{output:#?}");
    assert!(!output.stdout.contains(" v0"), "nowhere under its old name: {output:#?}");
    assert!(output.stdout.contains("10.9.8.7/24"), "{output:#?}");
}

fn device_keeps_its_name_without_another() {
    for config in [json!({}), json!({ "name": "" })] {
        let output = run_beside_devices(with_devices(json!({ "v0": config }))).succeeded();
        assert!(has_up(&output, "v0"), "{output:#?}");
    }
}

fn permanent_addresses_are_kept() {
    let output = run_beside_devices(with_devices(json!({ "v0": { "name": "eth0" } }))).succeeded();
    let has = |text: &str| output.stdout.contains(text);
    for kept in ["10.9.8.7/24 brd 10.9.8.255", "10.9.8.8/24", "10.1.1.1 peer 10.1.1.2/32"] {
        assert!(has(kept), "{kept}: {output:#?}");
    }
    if std::path::Path::new("/proc/net/if_inet6").exists() {
        assert!(has("fd00:9::7/64"), "{output:#?}");
    }
    for left in ["169.254.7.7", "10.7.7.7"] {
        assert!(!has(left), "{left} is of a link, or for a time: {output:#?}");
    }
}

fn pattern_is_completed_by_the_kernel() {
    let devices = json!({ "v0": { "name": "eth%d" }, "v1": { "name": "eth%d" } });
    let output = run_beside_devices(with_devices(devices)).succeeded();
    assert!(has_up(&output, "eth0") && has_up(&output, "eth1"), "{output:#?}");
    assert!(output.stdout.ends_with("left:  lo\n"), "{output:#?}");
}

fn device_is_moved_to_a_user_namespace() {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let bundle = with_devices(json!({ "v0": { "name": "eth0" } })).namespace("user", None);
    let bundle = bundle.config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    let output = run_beside_devices(bundle).succeeded();
    assert!(has_up(&output, "eth0") && output.stdout.contains("10.9.8.7/24"), "{output:#?}");
}

/// A network namespace that has an eth0 already, with the number that v0 has in the other.
fn other_namespace() -> Running {
    let script = "ip link add eth0 type veth peer name eth9; exec sleep 1000";
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--net", "/bin/sh", "-c", script]);
    let running = command::spawn(command);
    wait_for("the other namespace", || {
        namespace(running.pid(), "net") != own_namespace("net")
            && std::fs::read_to_string(format!("/proc/{}/comm", running.pid()))
                .is_ok_and(|name| name == "sleep\n")
    });
    running
}

fn device_is_moved_to_a_namespace_that_is_joined() {
    let bundle = with_devices(json!({ "v0": { "name": "eth%d" } }));
    let other = other_namespace();
    let path = format!("/proc/{}/ns/net", other.pid());
    let output = run_beside_devices(bundle.namespace("network", Some(&path))).succeeded();
    assert!(has_up(&output, "eth1") && output.stdout.contains("10.9.8.7/24"), "{output:#?}");
    assert!(!has_up(&output, "eth0"), "the other's device is left alone: {output:#?}");
}

fn name_that_is_taken_is_refused() {
    let output = run_beside_devices(with_devices(json!({ "v0": { "name": "lo" } })));
    let output = output.failed_with("linux.netDevices.v0: the container has a network device lo");
    assert!(output.stdout.contains(" v0"), "it stays where it was: {output:#?}");
    let both = json!({ "v0": { "name": "eth0" }, "v1": { "name": "eth0" } });
    with_devices(both).refused("linux.netDevices: two devices are to be eth0");
}

fn name_that_is_taken_in_a_joined_namespace_is_refused() {
    let bundle = with_devices(json!({ "v0": { "name": "eth0" } }));
    let other = other_namespace();
    let path = format!("/proc/{}/ns/net", other.pid());
    let output = run_beside_devices(bundle.namespace("network", Some(&path)));
    let output = output.failed_with("linux.netDevices.v0: the container has a network device eth0");
    assert!(output.stdout.contains(" v0"), "it stays where it was: {output:#?}");
}

fn device_that_is_not_there_is_refused() {
    let devices = json!({ "no-such-dev": { "name": "eth0" } });
    with_devices(devices).refused("linux.netDevices.no-such-dev: there is no network device");
}

fn names_that_can_not_be_are_refused() {
    for name in ["sixteen-letters-", "a/b", "a:b", "a b", "..", "eth%s", "%d%d"] {
        let devices = json!({ "v0": { "name": name } });
        with_devices(devices).refused("can't be the name of a network device");
    }
    with_devices(json!({ "a/b": {} })).refused("can't be the name of a network device");
}

fn namespace_of_the_host_is_refused() {
    let bundle = || with_devices(json!({ "lo": { "name": "lo0" } }));
    bundle().without_namespace("network").refused("linux.netDevices: needs a network namespace");
    let path = format!("/proc/{}/ns/net", std::process::id());
    let joined = bundle().namespace("network", Some(&path));
    joined.refused("linux.netDevices: needs a network namespace");
}

fn prestart_hooks_find_the_device() {
    let bundle = with_devices(json!({ "v0": { "name": "eth0" } }));
    let hook = bundle.folder().join("hook");
    let script = format!(
        "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); grep eth0 /proc/$pid/net/dev > {}",
        hook.display()
    );
    let bundle = bundle.config(|config| {
        config["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    });
    let container = Container::new(bundle);
    let runtime = container.command_for("run", &[]);
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--net", "/bin/sh", "-c", SETUP, "setup"]);
    command.arg(runtime.get_program()).args(runtime.get_args());
    let _ = command::run(command).succeeded();
    assert!(std::fs::read_to_string(hook).unwrap().contains("eth0:"));
}
