//! Namespaces: new ones, the runtime's own, and those of other processes.

use integration_tests::command::{self, Running};
use integration_tests::host::{
    is_alive, namespace, needs_file, needs_program, own_namespace, wait_for,
};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, bundle::push, json, tests};
use std::fs;
use std::process::Command;

pub const TESTS: &[Test] = tests![
    each_new_namespace_differs,
    absent_namespaces_are_the_runtimes,
    process_is_first_in_a_new_pid_namespace,
    loopback_is_up_in_a_new_network_namespace,
    existing_namespaces_are_joined,
    joining_leaves_the_other_container_alone,
    existing_pid_namespace_is_joined,
    existing_mount_namespace_is_joined,
    existing_user_namespace_is_joined,
    existing_time_namespace_is_joined,
    user_namespace_is_joined_before_those_it_owns,
    path_of_another_type_is_refused,
    path_that_does_not_exist_is_refused,
    path_that_is_no_namespace_is_refused,
    relative_path_is_refused,
    duplicate_namespace_is_refused,
    unknown_namespace_is_refused,
    user_namespace_maps_ids,
    user_namespace_maps_several_ranges,
    user_that_is_not_mapped_is_refused,
    user_namespace_without_mappings_is_refused,
    mappings_without_user_namespace_are_refused,
    cgroup_namespace_hides_the_path,
    time_namespace_has_its_offsets,
    hostname_is_set,
    domainname_is_set,
    hostname_without_uts_namespace_is_refused,
    without_mount_namespace_the_root_is_changed,
];

/// The kinds by their names in a configuration and in /proc/PID/ns.
const KINDS: [(&str, &str); 7] = [
    ("cgroup", "cgroup"),
    ("ipc", "ipc"),
    ("mount", "mnt"),
    ("network", "net"),
    ("pid", "pid"),
    ("user", "user"),
    ("uts", "uts"),
];

/// In a user namespace of its own, where 0 is the host's 100000.
fn with_user_namespace(bundle: Bundle) -> Bundle {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

fn each_new_namespace_differs() {
    let bundle = with_user_namespace(Bundle::new().namespace("cgroup", None));
    let seen = bundle.report();
    for (_, kind) in KINDS {
        let inside = seen["namespaces"][kind].as_str().unwrap();
        assert_ne!(inside, own_namespace(kind), "{kind}");
    }
}

fn absent_namespaces_are_the_runtimes() {
    for (name, kind) in KINDS.into_iter().filter(|(name, _)| !matches!(*name, "mount" | "user")) {
        let bundle = Bundle::new().without_namespace(name).config(|config| {
            if name == "uts" {
                config.as_object_mut().unwrap().remove("hostname");
            }
        });
        assert_eq!(bundle.report()["namespaces"][kind], own_namespace(kind), "{kind}");
    }
}

fn process_is_first_in_a_new_pid_namespace() {
    let seen = Bundle::new().report();
    assert_eq!((&seen["pid"], &seen["ppid"]), (&json!(1), &json!(0)));
    assert_eq!(seen["processes"], json!([1]), "nothing else is in it");
}

fn loopback_is_up_in_a_new_network_namespace() {
    let output = Bundle::new().probing(&["read", "/sys/class/net/lo/flags"]).run().succeeded();
    let flags = u32::from_str_radix(output.stdout.trim().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(flags & 1, 1, "IFF_UP in {flags:#x}");
}

fn existing_namespaces_are_joined() {
    let first = Container::running(Bundle::new().namespace("cgroup", None));
    let pid = first.pid();
    for (name, kind) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        let bundle = Bundle::new().namespace(name, Some(&format!("/proc/{pid}/ns/{kind}")));
        let bundle = bundle.config(|config| {
            if name == "uts" {
                config.as_object_mut().unwrap().remove("hostname");
            }
        });
        let seen = bundle.report();
        assert_eq!(seen["namespaces"][kind], namespace(pid, kind), "{kind}");
        for (_, other) in KINDS.into_iter().filter(|(_, other)| *other != kind && *other != "user")
        {
            assert_ne!(seen["namespaces"][other], namespace(pid, other), "not {other} by {kind}");
        }
    }
}

fn joining_leaves_the_other_container_alone() {
    let first = Container::running(Bundle::new());
    let path = format!("/proc/{}/ns/net", first.pid());
    let second = Container::running(Bundle::new().namespace("network", Some(&path)));
    second.stop();
    second.delete();
    assert_eq!(first.status(), "running");
    first.kill("USR1");
    first.wait_line("SIGUSR1");
}

fn existing_pid_namespace_is_joined() {
    let first = Container::running(Bundle::new());
    let path = format!("/proc/{}/ns/pid", first.pid());
    let second = Container::running(Bundle::new().namespace("pid", Some(&path)));
    assert_eq!(namespace(second.pid(), "pid"), namespace(first.pid(), "pid"));
    let seen = Bundle::new().namespace("pid", Some(&path)).report();
    assert!(seen["pid"].as_i64().unwrap() > 2, "{}", seen["pid"]);
    assert_eq!(seen["processes"].as_array().unwrap().len(), 3, "{}", seen["processes"]);
    // The namespace ends with its init, and so do all in it.
    let pid = second.pid();
    first.stop();
    wait_for("the other container to end", || !is_alive(pid));
    assert_eq!(second.status(), "stopped");
    second.delete();
}

/// A process in new namespaces, which util-linux's unshare makes.
fn unshared(flags: &[&str]) -> Running {
    let mut command = Command::new(needs_program("unshare"));
    command.args(flags).args(["sleep", "1000"]);
    let running = command::spawn(command);
    wait_for("unshare to be done", || {
        fs::read_to_string(format!("/proc/{}/comm", running.pid()))
            .is_ok_and(|name| name == "sleep\n")
    });
    running
}

fn existing_mount_namespace_is_joined() {
    let other = unshared(&["--mount", "--propagation", "private"]);
    let path = format!("/proc/{}/ns/mnt", other.pid());
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let container = Container::running(Bundle::new().namespace("mount", Some(&path)));
    assert_eq!(namespace(container.pid(), "mnt"), namespace(other.pid(), "mnt"));
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    assert!(mounts.contains(" /dev/mqueue "), "{mounts}");
    // The probe is only in the container's root, which is what exec comes to as well.
    assert_eq!(container.exec_report(&[])["namespaces"]["mnt"], namespace(other.pid(), "mnt"));
    drop(container);
    assert!(
        before == fs::read_to_string("/proc/self/mountinfo").unwrap(),
        "the host's mounts changed"
    );
}

fn existing_user_namespace_is_joined() {
    let first = Container::running(with_user_namespace(Bundle::new()));
    let path = format!("/proc/{}/ns/user", first.pid());
    // With the mappings, as engines give them, and without, since the namespace has its own.
    for mapped in [true, false] {
        let bundle = with_user_namespace(Bundle::new()).namespace("user", Some(&path));
        let bundle = bundle.config(|config| {
            if !mapped {
                config["linux"].as_object_mut().unwrap().remove("uidMappings");
                config["linux"].as_object_mut().unwrap().remove("gidMappings");
            }
        });
        let seen = bundle.report();
        assert_eq!(seen["namespaces"]["user"], namespace(first.pid(), "user"));
        assert_eq!(seen["uid"], 0);
    }
}

fn existing_time_namespace_is_joined() {
    needs_file("/proc/self/ns/time");
    let bundle = Bundle::new().namespace("time", None).config(|config| {
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1_000_000 } });
    });
    let first = Container::running(bundle);
    let path = format!("/proc/{}/ns/time", first.pid());
    let bundle = || Bundle::new().namespace("time", Some(&path));
    assert_eq!(bundle().report()["namespaces"]["time"], namespace(first.pid(), "time"));
    let uptime = bundle().probing(&["read", "/proc/uptime"]).run().succeeded().stdout;
    assert!(uptime.split('.').next().unwrap().parse::<u64>().unwrap() >= 1_000_000, "{uptime}");
    // They are those of its maker, which can't be changed any more.
    let offsets = json!({ "boottime": { "secs": 5 } });
    bundle().config(|config| config["linux"]["timeOffsets"] = offsets).refused("timeOffsets");
}

/// Whatever the order of the list: the others may be joined only by who may in the user namespace.
fn user_namespace_is_joined_before_those_it_owns() {
    let first = Container::running(with_user_namespace(Bundle::new()));
    let pid = first.pid();
    let joined = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("user", "user")];
    let path = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    let bundle = with_user_namespace(Bundle::new()).config(|config| {
        config.as_object_mut().unwrap().remove("hostname");
        config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "pid" }]);
    });
    let bundle = joined
        .iter()
        .fold(bundle, |bundle, (name, kind)| bundle.namespace(name, Some(&path(kind))));
    let seen = bundle.report();
    for (_, kind) in joined {
        assert_eq!(seen["namespaces"][kind], namespace(pid, kind), "{kind}");
    }
    assert_ne!(seen["namespaces"]["mnt"], namespace(pid, "mnt"));
    assert_eq!((&seen["uid"], &seen["hostname"]), (&json!(0), &json!("rind")));
}

fn path_of_another_type_is_refused() {
    let kinds = KINDS.iter().chain(&[("time", "time")]);
    for (name, _) in kinds.clone() {
        for (other, kind) in kinds.clone().filter(|(other, _)| other != name) {
            let path = format!("/proc/self/ns/{kind}");
            // A path by which the runtime finds its own: taken for a foreign one all the same.
            let bundle = with_user_namespace(Bundle::new()).namespace(name, Some(&path));
            bundle.refused(&format!("{path}: namespace type is {other}, not {name}"));
        }
    }
}

fn path_that_does_not_exist_is_refused() {
    Bundle::new().namespace("network", Some("/proc/0/ns/net")).refused("/proc/0/ns/net");
}

fn path_that_is_no_namespace_is_refused() {
    Bundle::new().namespace("network", Some("/etc/passwd")).refused("/etc/passwd");
}

fn relative_path_is_refused() {
    Bundle::new().namespace("network", Some("proc/self/ns/net")).refused("proc/self/ns/net");
}

fn duplicate_namespace_is_refused() {
    let bundle = Bundle::new()
        .config(|config| push(&mut config["linux"]["namespaces"], json!({ "type": "uts" })));
    bundle.refused("uts");
}

fn unknown_namespace_is_refused() {
    Bundle::new().namespace("unheard-of", None).refused("unheard-of");
}

fn user_namespace_maps_ids() {
    let container = Container::running(with_user_namespace(Bundle::new()));
    let pid = container.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t100000\t100000\t100000\t100000"), "{status}");
    assert!(status.contains("Gid:\t100000\t100000\t100000\t100000"), "{status}");
    for map in ["uid_map", "gid_map"] {
        let text = fs::read_to_string(format!("/proc/{pid}/{map}")).unwrap();
        assert!(text.split_whitespace().eq(["0", "100000", "65536"]), "{map}: {text}");
    }
    let seen = with_user_namespace(Bundle::new()).report();
    assert_eq!((&seen["uid"], &seen["gid"]), (&json!(0), &json!(0)));
    for device in ["/dev/null", "/dev/zero", "/dev/tty"] {
        let seen = with_user_namespace(Bundle::new()).stat(device);
        assert_eq!(seen["type"], "character device", "{device}");
    }
}

fn user_namespace_maps_several_ranges() {
    let mapping = json!([
        { "containerID": 0, "hostID": 100_000, "size": 1000 },
        { "containerID": 1000, "hostID": 1000, "size": 1 },
        { "containerID": 1001, "hostID": 200_000, "size": 10 },
    ]);
    let bundle = with_user_namespace(Bundle::new()).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5] });
    });
    let container = Container::running(bundle);
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    assert!(status.contains("Gid:\t200000\t200000\t200000\t200000"), "{status}");
    assert!(status.contains("Groups:\t100005 \n"), "{status}");
}

fn user_that_is_not_mapped_is_refused() {
    for (key, value) in
        [("uid", json!(65536)), ("gid", json!(70000)), ("additionalGids", json!([70000]))]
    {
        let bundle = with_user_namespace(Bundle::new());
        let bundle = bundle.config(|config| config["process"]["user"][key] = value);
        bundle.refused("process.user");
    }
}

fn user_namespace_without_mappings_is_refused() {
    Bundle::new().namespace("user", None).refused("mapping");
}

fn mappings_without_user_namespace_are_refused() {
    with_user_namespace(Bundle::new()).without_namespace("user").refused("apping");
}

fn cgroup_namespace_hides_the_path() {
    let seen = Bundle::new().namespace("cgroup", None).report();
    for line in seen["cgroup"].as_str().unwrap().lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
}

fn time_namespace_has_its_offsets() {
    needs_file("/proc/self/ns/time");
    let offsets =
        json!({ "boottime": { "secs": 1_000_000, "nanosecs": 0 }, "monotonic": { "secs": 1000 } });
    let bundle = || {
        let bundle = Bundle::new().namespace("time", None);
        bundle.config(|config| config["linux"]["timeOffsets"] = offsets.clone())
    };
    let uptime = |text: &str| -> f64 { text.split(' ').next().unwrap().parse().unwrap() };
    let host = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    let output = bundle().probing(&["read", "/proc/uptime"]).run().succeeded();
    assert!(uptime(&output.stdout) - host >= 1_000_000.0, "{} on {host}", output.stdout);
    let container = Container::running(bundle());
    assert_ne!(namespace(container.pid(), "time"), own_namespace("time"));
    let path = format!("/proc/{}/timens_offsets", container.pid());
    let written = fs::read_to_string(path).unwrap();
    let written: Vec<Vec<&str>> =
        written.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(written, [["monotonic", "1000", "0"], ["boottime", "1000000", "0"]]);
    // Before the machine was started there was no time.
    let negative = json!({ "monotonic": { "secs": -4_000_000_000_i64 } });
    bundle()
        .config(|config| config["linux"]["timeOffsets"] = negative)
        .refused("making the time namespace with linux.timeOffsets");
}

fn hostname_is_set() {
    let seen = Bundle::new().config(|config| config["hostname"] = json!("some-name")).report();
    assert_eq!(seen["hostname"], "some-name");
}

fn domainname_is_set() {
    let bundle = Bundle::new().config(|config| config["domainname"] = json!("example.org"));
    assert_eq!(bundle.report()["domainname"], "example.org");
}

fn hostname_without_uts_namespace_is_refused() {
    Bundle::new().without_namespace("uts").refused("UTS");
    Bundle::new()
        .without_namespace("uts")
        .config(|config| {
            config.as_object_mut().unwrap().remove("hostname");
            config["domainname"] = json!("example.org");
        })
        .refused("UTS");
}

/// Without a mount namespace of its own the process gets its root by chroot. The runtime is put
/// into a private one for this, lest a mistake reach the machine's mounts.
fn without_mount_namespace_the_root_is_changed() {
    let unshare = needs_program("unshare");
    let bundle = Bundle::new().writable().without_namespace("mount").config(|config| {
        config["mounts"] = json!([]);
        config["linux"].as_object_mut().unwrap().remove("maskedPaths");
        config["linux"].as_object_mut().unwrap().remove("readonlyPaths");
    });
    let container = Container::new(bundle.probing(&["report"]));
    let proc = container.bundle().rootfs().join("proc");
    let runtime = container.command_for("run", &[]);
    let mut command = Command::new(unshare);
    let script = "mount --rbind /proc \"$0\"; readlink /proc/self/ns/mnt; exec \"$@\"";
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script]).arg(proc);
    command.arg(runtime.get_program()).args(runtime.get_args());
    let output = command::run(command).succeeded();
    let (own, report) = output.stdout.split_once('\n').unwrap();
    let seen: Value = serde_json::from_str(report).unwrap();
    assert_eq!(seen["namespaces"]["mnt"], own);
    assert_eq!(seen["args"][0], "/bin/probe", "found in the rootfs");
}
