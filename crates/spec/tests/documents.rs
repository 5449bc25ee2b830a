//! What is a valid config and what is not, what is mended, and what the messages say.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use oci_spec::runtime::{Capability, LinuxNamespaceType, Spec};
use serde_json::{Value, json};
use spec::Bundle;
use std::path::Path;
use sys::Error;

const MINIMAL: &str = include_str!("../../../integration_tests/fixtures/minimal.json");
const DOCKER: &str = include_str!("../../../integration_tests/fixtures/docker.json");
const PROFILE: &str = include_str!("../../seccomp/tests/fixtures/docker.json");

/// The minimal config with properties, named by JSON pointers, set to values, or removed by null.
fn minimal(changes: &[(&str, Value)]) -> Value {
    let mut config: Value = serde_json::from_str(MINIMAL).unwrap();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = parent.split('/').skip(1).fold(&mut config, |tree, key| match tree {
            Value::Array(elements) => &mut elements[key.parse::<usize>().unwrap()],
            tree => &mut tree[key],
        });
        match parent {
            Value::Array(elements) if last == "-" => elements.push(value.clone()),
            Value::Array(elements) => elements[last.parse::<usize>().unwrap()] = value.clone(),
            parent if value.is_null() => drop(parent.as_object_mut().unwrap().remove(last)),
            parent => parent[last] = value.clone(),
        }
    }
    config
}

fn parse(config: &Value) -> Result<(Spec, Vec<String>), Error> {
    let mut warnings = Vec::new();
    let text = serde_json::to_vec_pretty(config).unwrap();
    spec::parse(&text, Path::new("config.json"), &mut warnings).map(|spec| (spec, warnings))
}

#[track_caller]
fn valid(changes: &[(&str, Value)]) -> Spec {
    let (spec, warnings) = parse(&minimal(changes)).unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    spec
}

/// Asserts that the config is refused for the property `path`, in a message that has `text`.
#[track_caller]
fn refused(changes: &[(&str, Value)], path: &str, text: &str) {
    let Err(error) = parse(&minimal(changes)) else { panic!("valid, with {changes:?}") };
    assert_eq!(error.object(), Some(path), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("config.json:") && message.contains(path), "{message}");
    assert!(message.contains(text), "{message}");
    let (line, column) = position(&message);
    assert!(line > 0 && column > 0, "{message}");
}

/// The line and the column that a message names.
fn position(message: &str) -> (usize, usize) {
    let mut numbers = message.split([':', ' ']).skip(1).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn mapping() -> Value {
    json!([{ "containerID": 0, "hostID": 1000, "size": 10 }])
}

fn user_namespace() -> [(&'static str, Value); 3] {
    [
        ("/linux/namespaces/-", json!({ "type": "user" })),
        ("/linux/uidMappings", mapping()),
        ("/linux/gidMappings", mapping()),
    ]
}

#[test]
fn version_and_root() {
    for version in ["1.0.0", "1.0.2-dev", "1.99.7", "1.3.0+x"] {
        valid(&[("/ociVersion", json!(version))]);
    }
    refused(&[("/ociVersion", Value::Null)], "ociVersion", "missing");
    refused(&[("/ociVersion", json!("2.0.0"))], "ociVersion", "2.0.0");
    refused(&[("/ociVersion", json!("one"))], "ociVersion", "one");
    refused(&[("/ociVersion", json!(1))], "ociVersion", "expected a string");
    refused(&[("/root", Value::Null)], "root", "missing");
    refused(&[("/root", json!({}))], "root.path", "missing");
    refused(&[("/root/path", json!(""))], "root.path", "empty");
}

#[test]
fn process() {
    valid(&[("/process", Value::Null)]);
    refused(&[("/process/cwd", json!("tmp"))], "process.cwd", "tmp is not an absolute path");
    refused(&[("/process/cwd", json!(""))], "process.cwd", "empty");
    refused(&[("/process/cwd", Value::Null)], "process", "missing field `cwd`");
    refused(&[("/process/args", json!([]))], "process.args", "at least one");
    refused(&[("/process/args", Value::Null)], "process.args", "at least one");
    refused(&[("/process/oomScoreAdj", json!(1001))], "process.oomScoreAdj", "1001");
    let priority = json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 });
    refused(&[("/process/ioPriority", priority)], "process.ioPriority.priority", "8");
    let priority = json!({ "class": "IOPRIO_CLASS_X", "priority": 0 });
    refused(&[("/process/ioPriority", priority)], "process.ioPriority.class", "IOPRIO_CLASS_X");
}

#[test]
fn rlimits() {
    let limit =
        |kind: &str, soft: u64, hard: u64| json!({ "type": kind, "soft": soft, "hard": hard });
    let at = "/process/rlimits";
    valid(&[(at, json!([limit("RLIMIT_CPU", 1, 1), limit("RLIMIT_RTTIME", 1, u64::MAX)]))]);
    let twice = json!([
        limit("RLIMIT_NOFILE", 1, 1),
        limit("RLIMIT_CORE", 1, 1),
        limit("RLIMIT_NOFILE", 1, 1)
    ]);
    refused(&[(at, twice)], "process.rlimits[2].type", "RLIMIT_NOFILE appears twice");
    let above = json!([limit("RLIMIT_CORE", 2, 1)]);
    refused(&[(at, above)], "process.rlimits[0].soft", "RLIMIT_CORE: 2 is above");
    let unknown = json!([limit("RLIMIT_UNHEARD_OF", 1, 1)]);
    refused(&[(at, unknown)], "process.rlimits[0].type", "RLIMIT_UNHEARD_OF");
    let negative = json!([{ "type": "RLIMIT_CORE", "soft": -1, "hard": 1 }]);
    refused(&[(at, negative)], "process.rlimits[0].soft", "-1");
}

#[test]
fn scheduler() {
    let at = "/process/scheduler";
    let flags = [
        "RESET_ON_FORK",
        "RECLAIM",
        "DL_OVERRUN",
        "KEEP_POLICY",
        "KEEP_PARAMS",
        "UTIL_CLAMP_MIN",
        "UTIL_CLAMP_MAX",
    ];
    for flag in flags {
        let flag = format!("SCHED_FLAG_{flag}");
        let spec = valid(&[(at, json!({ "policy": "SCHED_BATCH", "nice": -20, "flags": [flag] }))]);
        let scheduler = spec.process().as_ref().unwrap().scheduler().as_ref().unwrap();
        assert_eq!(scheduler.flags().as_ref().unwrap().len(), 1);
    }
    for policy in ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"] {
        let mut scheduler = json!({ "policy": format!("SCHED_{policy}") });
        match policy {
            "FIFO" | "RR" => scheduler["priority"] = json!(99),
            "DEADLINE" => {
                (scheduler["runtime"], scheduler["deadline"]) = (json!(1024), json!(1024));
            }
            _ => {}
        }
        valid(&[(at, scheduler)]);
    }
    let deadline = |runtime: u64, deadline: u64, period: u64| {
        json!({
            "policy": "SCHED_DEADLINE", "runtime": runtime, "deadline": deadline, "period": period,
        })
    };
    valid(&[(at, deadline(2000, 2000, 3000))]);
    valid(&[(at, json!({ "policy": "SCHED_RR", "priority": 1, "nice": 40 }))]);
    let cases = [
        (json!({ "policy": "SCHED_OTHER", "nice": 20 }), "nice", "20"),
        (json!({ "policy": "SCHED_OTHER", "priority": 1 }), "priority", "SCHED_OTHER"),
        (json!({ "policy": "SCHED_RR", "priority": 1, "runtime": 1 }), "runtime", "SCHED_RR"),
        (json!({ "policy": "SCHED_RR", "priority": 1, "deadline": 1 }), "deadline", "SCHED_RR"),
        (json!({ "policy": "SCHED_RR", "priority": 1, "period": 1 }), "period", "SCHED_RR"),
        (json!({ "policy": "SCHED_RR", "priority": 100 }), "priority", "1 to 99"),
        (json!({ "policy": "SCHED_FIFO" }), "priority", "1 to 99"),
        (deadline(1, 2000, 3000), "runtime", "1024"),
        (deadline(3000, 2000, 3000), "runtime", "2000"),
        (deadline(2000, 4000, 3000), "deadline", "3000"),
        (json!({ "policy": "SCHED_X" }), "policy", "SCHED_X"),
        (json!({ "policy": "SCHED_RR", "flags": ["SCHED_FLAG_X"] }), "flags[0]", "SCHED_FLAG_X"),
    ];
    for (scheduler, property, text) in cases {
        refused(&[(at, scheduler)], &format!("process.scheduler.{property}"), text);
    }
}

#[test]
fn hostname_and_domainname() {
    for name in ["hostname", "domainname"] {
        let pointer = format!("/{name}");
        let without_uts = |value: &str| {
            [
                ("/hostname", Value::Null),
                ("/linux/namespaces", json!([{ "type": "mount" }])),
                (pointer.as_str(), json!(value)),
            ]
        };
        refused(&without_uts("x"), name, "UTS");
        valid(&without_uts(""));
    }
    refused(&[("/linux", Value::Null)], "hostname", "UTS");
}

#[test]
fn namespaces() {
    let at = "/linux/namespaces/-";
    for kind in ["user", "cgroup", "time"] {
        valid(&[(at, json!({ "type": kind, "path": "/proc/1/ns/x" }))]);
    }
    for kind in ["pid", "network", "mount", "ipc", "uts"] {
        let text = format!("{kind} appears twice");
        refused(&[(at, json!({ "type": kind }))], "linux.namespaces[5].type", &text);
    }
    refused(&[(at, json!({ "type": "x" }))], "linux.namespaces[5].type", "unknown variant `x`");
    refused(&[(at, json!({}))], "linux.namespaces[5]", "missing field `type`");
    let relative = json!({ "type": "time", "path": "proc/self/ns/time" });
    refused(&[(at, relative)], "linux.namespaces[5].path", "proc/self/ns/time");
    let spec = valid(&[(at, json!({ "type": "time", "path": "" }))]);
    let namespaces = spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
    assert_eq!(namespaces[5].typ(), LinuxNamespaceType::Time);
    assert!(namespaces[5].path().is_none());
}

#[test]
fn mappings() {
    valid(&user_namespace());
    let namespace = ("/linux/namespaces/-", json!({ "type": "user" }));
    refused(std::slice::from_ref(&namespace), "linux.uidMappings", "mapping");
    let without_groups = [namespace, ("/linux/uidMappings", mapping())];
    refused(&without_groups, "linux.gidMappings", "mapping");
    refused(&[("/linux/uidMappings", mapping())], "linux.uidMappings", "mapping");
    refused(&[("/linux/gidMappings", mapping())], "linux.gidMappings", "mapping");
    valid(&[("/linux/uidMappings", json!([]))]);
    let mut of_none = user_namespace();
    of_none[2].1[0]["size"] = json!(0);
    refused(&of_none, "linux.gidMappings[0].size", "greater than 0");
}

#[test]
fn mounts() {
    let at = "/mounts/-";
    valid(&[(at, json!({ "destination": "relative" }))]);
    valid(&[(at, json!({ "destination": "/m", "source": "beside", "options": ["bind"] }))]);
    refused(&[(at, json!({ "destination": "" }))], "mounts[7].destination", "empty");
    for root in ["/", "//", ".", "/a/..", ".."] {
        refused(
            &[(at, json!({ "destination": root }))],
            "mounts[7].destination",
            "the root itself",
        );
    }
    valid(&[(at, json!({ "destination": "/", "options": ["remount", "ro"] }))]);
    valid(&[(at, json!({ "destination": "/../a" }))]);
    refused(&[(at, json!({}))], "mounts[7]", "missing field `destination`");
    for option in ["idmap", "ridmap"] {
        let mount = json!({ "destination": "/m", "options": ["bind", option] });
        refused(&[(at, mount.clone())], "mounts[7].options", "Mappings");
        let [namespace, users, groups] = user_namespace();
        valid(&[namespace, users, groups, (at, mount)]);
    }
    let mapped = json!({ "destination": "/m", "uidMappings": mapping(), "gidMappings": mapping() });
    valid(&[(at, mapped.clone())]);
    for (absent, given) in [("uidMappings", "gidMappings"), ("gidMappings", "uidMappings")] {
        let mut mount = mapped.clone();
        mount.as_object_mut().unwrap().remove(absent);
        refused(&[(at, mount)], &format!("mounts[7].{given}"), absent);
    }
    let mut of_none = mapped;
    of_none["uidMappings"][0]["size"] = json!(0);
    refused(&[(at, of_none)], "mounts[7].uidMappings[0].size", "greater than 0");
}

#[test]
fn hooks() {
    let kinds =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    for kind in kinds {
        let hook = |second: Value| [("/hooks", json!({ kind: [{ "path": "/bin/true" }, second] }))];
        valid(&hook(json!({ "path": "/x", "args": [], "env": [], "timeout": 1 })));
        let path = |property: &str| format!("hooks.{kind}[1].{property}");
        refused(&hook(json!({ "path": "bin/true" })), &path("path"), "bin/true is not");
        refused(&hook(json!({ "path": "/x", "timeout": 0 })), &path("timeout"), "0 is not");
        refused(&hook(json!({ "path": "/x", "timeout": -1 })), &path("timeout"), "-1 is not");
    }
}

#[test]
fn annotations() {
    valid(&[("/annotations", json!({ "a.b": "", "CPU": "x" }))]);
    refused(&[("/annotations", json!({ "a": "x", "": "y" }))], r#"annotations[""]"#, "empty");
    refused(&[("/annotations", json!({ "a.b": 1 }))], r#"annotations["a.b"]"#, "expected a string");
    refused(&[("/annotations", json!({ "a": null }))], "annotations.a", "expected a string");
}

#[test]
fn time_offsets() {
    let offsets = |clock: &str, nanosecs: u32| {
        let offsets = json!({ clock: { "secs": -1, "nanosecs": nanosecs } });
        [("/linux/namespaces/-", json!({ "type": "time" })), ("/linux/timeOffsets", offsets)]
    };
    valid(&offsets("monotonic", 0));
    valid(&offsets("boottime", 999_999_999));
    refused(&offsets("realtime", 0), "linux.timeOffsets.realtime", "neither");
    let path = "linux.timeOffsets.boottime.nanosecs";
    refused(&offsets("boottime", 1_000_000_000), path, "a second");
    refused(&offsets("boottime", 0)[1..], "linux.timeOffsets", "new time namespace");
    let mut joined = offsets("boottime", 0);
    joined[0].1["path"] = json!("/proc/1/ns/time");
    refused(&joined, "linux.timeOffsets", "new time namespace");
}

#[test]
fn devices() {
    let device =
        |kind: &str, path: &str| json!({ "type": kind, "path": path, "major": 1, "minor": 0 });
    let at = "/linux/devices";
    for kind in ["c", "b", "u"] {
        valid(&[(at, json!([device(kind, "/dev/x"), device(kind, "/dev/y")]))]);
        for absent in ["major", "minor"] {
            let mut device = device(kind, "/dev/odd");
            device.as_object_mut().unwrap().remove(absent);
            refused(&[(at, json!([device]))], &format!("linux.devices[0].{absent}"), "/dev/odd");
        }
    }
    valid(&[(at, json!([{ "type": "p", "path": "/dev/fifo" }, device("p", "/dev/other")]))]);
    refused(&[(at, json!([device("c", "dev/x")]))], "linux.devices[0].path", "dev/x");
    refused(&[(at, json!([device("a", "/dev/x")]))], "linux.devices[0].type", "/dev/x");
    refused(&[(at, json!([device("x", "/dev/x")]))], "linux.devices[0].type", "`x`");
    refused(&[(at, json!([device("", "/dev/x")]))], "linux.devices[0].type", "``");
    valid(&[(at, json!([device("c", "/dev/x"), device("u", "/dev/x")]))]);
    valid(&[(at, json!([{ "type": "p", "path": "/dev/x" }, device("p", "/dev/x")]))]);
    let mut second = device("c", "/dev/x");
    second["minor"] = json!(5);
    for second in [second, device("b", "/dev/x"), device("p", "/dev/x")] {
        let list = json!([device("c", "/dev/y"), device("c", "/dev/x"), second]);
        refused(&[(at, list)], "linux.devices[2].path", "/dev/x is another device");
    }
}

#[test]
fn propagation_and_restricted_paths() {
    for value in ["", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable"] {
        valid(&[("/linux/rootfsPropagation", json!(value))]);
    }
    let odd = [("/linux/rootfsPropagation", json!("unheard-of"))];
    refused(&odd, "linux.rootfsPropagation", "unheard-of");
    for name in ["maskedPaths", "readonlyPaths"] {
        let other = if name == "maskedPaths" { "readonlyPaths" } else { "maskedPaths" };
        let (pointer, path) = (format!("/linux/{name}"), format!("linux.{name}"));
        let relative = [(pointer.as_str(), json!(["/proc/x", "proc/y"]))];
        refused(&relative, &format!("{path}[1]"), "proc/y");
        let other = format!("/linux/{other}");
        let unmounted =
            [(other.as_str(), Value::Null), ("/linux/namespaces", json!([{ "type": "uts" }]))];
        refused(&unmounted, &path, "mount namespace");
    }
}

#[test]
fn network_devices_need_a_namespace_and_names() {
    let devices = |value: Value| [("/linux/netDevices", value)];
    valid(&devices(json!({})));
    for name in ["eth0", "", "%d", "eth%d", "fifteen-letters"] {
        valid(&devices(json!({ "ens1": { "name": name } })));
    }
    let long = "sixteen-letters-";
    for name in [long, "a/b", "a:b", "a b", "a\tb", ".", "..", "%s", "%", "%d%d", "a%dz%"] {
        let path = "linux.netDevices.ens1.name";
        refused(&devices(json!({ "ens1": { "name": name } })), path, "name of a network device");
    }
    let path = format!("linux.netDevices[{long:?}]");
    refused(&devices(json!({ long: {} })), &path, "name of a network device");
    let both = json!({ "ens1": { "name": "eth0" }, "eth0": {} });
    refused(&devices(both), "linux.netDevices", "two devices are to be eth0");
    valid(&devices(json!({ "ens1": { "name": "eth%d" }, "ens2": { "name": "eth%d" } })));
    let without = [
        ("/linux/netDevices", json!({ "ens1": {} })),
        ("/linux/namespaces", json!([{ "type": "uts" }])),
    ];
    refused(&without, "linux.netDevices", "network namespace");
}

#[test]
fn memory_policies_of_unknown_names_are_refused() {
    for (policy, path) in [
        (json!({}), "linux.memoryPolicy"),
        (json!({ "mode": "BIND" }), "linux.memoryPolicy.mode"),
        (json!({ "mode": "MPOL_BIND", "flags": ["X"] }), "linux.memoryPolicy.flags[0]"),
        (json!({ "mode": "MPOL_BIND", "nodes": 0 }), "linux.memoryPolicy.nodes"),
    ] {
        refused(&[("/linux/memoryPolicy", policy)], path, "invalid memory policy");
    }
}

#[test]
fn personalities_are_checked() {
    let flags = json!({ "domain": "LINUX32", "flags": ["X"] });
    refused(&[("/linux/personality", flags)], "linux.personality.flags", "none yet");
    let domain = [("/linux/personality", json!({ "domain": "X" }))];
    refused(&domain, "linux.personality.domain", "`X`");
}

#[test]
fn limits() {
    let cases = [
        ("memory", json!({ "limit": "64M" }), "memory.limit", "\"64M\""),
        ("cpu", json!({ "shares": -5 }), "cpu.shares", "-5"),
        ("rdma", json!({ "x": { "hcaHandles": "1" } }), "rdma.x.hcaHandles", "u32"),
        ("hugepageLimits", json!([{ "pageSize": "64kB" }]), "hugepageLimits[0].pageSize", "64kB"),
        ("hugepageLimits", json!([{ "limit": 1 }]), "hugepageLimits[0].pageSize", ""),
        ("hugepageLimits", json!([{ "pageSize": "0MB" }]), "hugepageLimits[0].pageSize", "0MB"),
        ("devices", json!([{ "type": "x" }]), "devices[0].type", "`x`"),
    ];
    for (name, value, path, text) in cases {
        let pointer = format!("/linux/resources/{name}");
        refused(&[(&pointer, value)], &format!("linux.resources.{path}"), text);
    }
}

#[test]
fn seccomp() {
    let profile: Value = serde_json::from_str(PROFILE).unwrap();
    valid(&[("/linux/seccomp", profile)]);
    let architectures = [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
    ];
    let architectures = architectures.map(|name| format!("SCMP_ARCH_{name}"));
    let profile =
        json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "architectures": architectures });
    valid(&[("/linux/seccomp", profile)]);
    let unknown = json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"] });
    let path = "linux.seccomp.flags[0]";
    refused(&[("/linux/seccomp", unknown)], path, "SECCOMP_FILTER_FLAG_X");
}

#[test]
fn unknown_properties_and_other_platforms_are_ignored() {
    valid(&[("/unheardOf", json!({ "a": [1, null] })), ("/linux/unheardOf", json!(1))]);
    valid(&[("/windows", json!(1)), ("/vm", json!({ "kernel": {} })), ("/solaris", json!([]))]);
    valid(&[("/zos", json!({ "namespaces": [{ "type": "x" }] })), ("/freebsd", json!(""))]);
}

#[test]
fn unknown_capabilities_are_left_out_with_a_warning() {
    let config = minimal(&[
        ("/process/capabilities/bounding/-", json!("CAP_Y")),
        ("/process/capabilities/effective/-", json!("CAP_Y")),
        ("/process/capabilities/ambient", json!(["CAP_X", "CAP_KILL"])),
    ]);
    let (spec, warnings) = parse(&config).unwrap();
    assert_eq!(warnings, ["ignoring unknown or unavailable capabilities: [CAP_X CAP_Y]"]);
    let capabilities = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
    assert_eq!(capabilities.bounding().as_ref().unwrap().len(), 3);
    assert!(capabilities.ambient().as_ref().unwrap().iter().eq([&Capability::Kill]));
    let number = [("/process/capabilities/bounding/-", json!(1))];
    refused(&number, "process.capabilities.bounding[3]", "expected a string");
}

#[test]
fn what_go_takes_is_taken() {
    let spec = valid(&[
        ("/process/user", Value::Null),
        ("/process/env", Value::Null),
        ("/process/execCPUAffinity", json!({ "initial": " 0-3, 7 ", "final": "" })),
        ("/linux/resources/devices/-", json!({ "type": "", "allow": true, "access": "rwm" })),
        ("/linux/resources/CPU", json!({ "Shares": 512 })),
        ("/linux/resources/hugepageLimits", json!([{ "pagesize": "2MB", "limit": u64::MAX }])),
        ("/mounts/0/options", json!(null)),
    ]);
    let process = spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (0, 0));
    let affinity = process.exec_cpu_affinity().as_ref().unwrap();
    assert_eq!(affinity.initial().as_deref(), Some("0-3,7"));
    assert_eq!(affinity.cpu_affinity_final(), &None);
    let resources = spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
    assert_eq!(resources.devices().as_ref().unwrap()[1].typ(), None);
    assert_eq!(resources.cpu().as_ref().unwrap().shares(), Some(512));
    let limit = &resources.hugepage_limits().as_ref().unwrap()[0];
    assert_eq!((limit.page_size().as_str(), limit.limit()), ("2MB", i64::MAX));
    let list = [("/process/execCPUAffinity", json!({ "initial": "0-" }))];
    refused(&list, "process.execCPUAffinity", "0-");
}

#[test]
fn null_is_absent() {
    let text = MINIMAL.replacen("\"terminal\": false", "\"terminal\": null, \"user\": null", 1);
    let text = text.replacen("\"readonly\": true", "\"readonly\": null", 1);
    let text = text.replacen("\"hostname\": \"runc\"", "\"hooks\": null", 1);
    // The second "user" is a duplicate.
    let text = text.replacen("\"user\": null", "\"consoleSize\": null", 1);
    spec::parse(text.as_bytes(), Path::new("x"), &mut Vec::new()).unwrap();
}

#[test]
fn no_key_may_be_there_twice() {
    let cases = [
        // Told by the first pass, and by the one that a capability of no kernel makes necessary.
        ("", r#""oomScoreAdj": 1, "oomScoreAdj": 2"#, "duplicate field `oomScoreAdj`"),
        ("CAP_X", r#""oomScoreAdj": 1, "oomScoreAdj": 2"#, "process.oomScoreAdj: duplicate field"),
        ("", r#""Args": ["x"]"#, "process.Args: duplicate field"),
        (
            "",
            r#""rlimits": [{"type": "RLIMIT_CPU", "hard": 1, "HARD": 2, "soft": 1}]"#,
            "process.rlimits[0].HARD: duplicate field",
        ),
        ("", r#""user": {"uid": 1, "uid": null}"#, "duplicate field `uid`"),
    ];
    let parse = |text: String| spec::parse(text.as_bytes(), Path::new("x"), &mut Vec::new());
    for (capability, more, expected) in cases {
        let text = format!(
            r#"{{"ociVersion": "1.0.0", "root": {{"path": "r"}}, "process": {{"cwd": "/",
                "args": ["a"], "capabilities": {{"bounding": ["{capability}"]}}, {more}}}}}"#
        );
        let text = text.replace(r#"[""]"#, "[]");
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("x:2:") && error.contains(expected), "{error}");
    }
    // Names that the config chooses: the last counts. What the specification doesn't know doesn't.
    let names = r#""annotations": {"cpu": "1", "CPU": "3", "cpu": "2"}, "x": 1, "x": 2"#;
    let text = format!(r#"{{"OciVersion": "1.0.0", "root": {{"path": "r"}}, {names}}}"#);
    let annotations = parse(text).unwrap().annotations().clone().unwrap();
    assert_eq!((annotations["cpu"].as_str(), annotations["CPU"].as_str()), ("2", "3"));
}

#[test]
fn what_is_hardly_json_is_told_where_it_is() {
    let parse = |text: &[u8]| spec::parse(text, Path::new("x"), &mut Vec::new());
    let with = |value: &str| {
        let text = r#"{"ociVersion": "1.0.0", "root": {"path": "r"},
            "linux": {"resources": {"memory": {"limit": VALUE}}}}"#;
        parse(text.replace("VALUE", value).as_bytes())
    };
    with("9223372036854775807").unwrap();
    for number in ["9223372036854775808", "1e3", "1.0", "99999999999999999999", "1e300"] {
        let error = with(number).unwrap_err().to_string();
        let place = "x:2:57 linux.resources.memory.limit: invalid ";
        assert!(error.starts_with(place), "{number}: {error}");
    }
    for number in ["1e400", "01", "0x1", "NaN", "+1", "--1"] {
        let error = with(number).unwrap_err().to_string();
        assert!(error.starts_with("x:2:"), "{number}: {error}");
    }
    // What is ignored may be as deep as it likes; what is looked at may not.
    let deep = |key: &str| {
        let value = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        parse(
            format!(r#"{{"ociVersion": "1.0.0", "root": {{"path": "r"}}, "{key}": {value}}}"#)
                .as_bytes(),
        )
    };
    deep("unheardOf").unwrap();
    let error = deep("mounts").unwrap_err().to_string();
    assert!(error.starts_with("x:1:"), "{error}");
    for text in [
        &b"{\"hostname\": \"\xff\"}"[..],
        b"\xef\xbb\xbf{}",
        b"{\"host\0name\": 1}",
        b"\xff\xfe{\0}\0",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("x:1:"), "{error}");
    }
}

#[test]
fn no_pids_limit_is_not_a_limit_of_none() {
    let pids = |value: Value| {
        let version = ("/ociVersion", json!("1.3.0"));
        let spec = valid(&[version, ("/linux/resources/pids", value)]);
        let pids = *spec.linux().as_ref().unwrap().resources().as_ref().unwrap().pids();
        pids.map(|pids| pids.limit())
    };
    assert_eq!(pids(json!({})), None);
    assert_eq!(pids(json!({ "limit": 0 })), Some(0));
    assert_eq!(pids(json!({ "Limit": 0 })), Some(0));
    assert_eq!(pids(json!({ "limit": -1 })), Some(-1));
    let before =
        valid(&[("/ociVersion", json!("1.2.0")), ("/linux/resources/pids", json!({ "limit": 0 }))]);
    let resources = before.linux().as_ref().unwrap().resources().as_ref().unwrap();
    assert_eq!(resources.pids().unwrap().limit(), -1, "in the version before");
    let resources = |text: &str| {
        let parsed = spec::parse_resources(text.as_bytes(), Path::new("-"), &mut Vec::new());
        parsed.unwrap().pids().map(|pids| pids.limit())
    };
    assert_eq!(resources(r#"{"pids":{}}"#), None);
    assert_eq!(resources(r#"{"pids":{"limit":null}}"#), None);
    assert_eq!(resources(r#"{"pids":{"limit":0}}"#), Some(0));
}

#[test]
fn places_are_told() {
    let cases = [
        ("{\n \"ociVersion\": \"1.0.0\",\n]", "c.json:3:1: key must be a string"),
        ("{\n \"ociVersion\"", "c.json:2:13: EOF while parsing an object"),
        ("{\"ociVersion\": \"1.0.0\"}\n{}", "c.json:2:1: trailing characters"),
        ("", "c.json:1:1: EOF while parsing a value"),
        ("3", "c.json:1:1: invalid type"),
        (
            "{\n\"ociVersion\": \"1.0.0\",\n\t\"ociVersion\": \"2.0.0\"}",
            "c.json:3:13: duplicate field `ociVersion`",
        ),
        ("{\n \"ociVersion\": \"1.0.0\"}", "c.json:1:1 root: is missing"),
        (
            "{\"ociVersion\": \"1.0.0\",\n \"root\": {\"path\": \"r\"},\n \"mounts\": [\n  \
             {\"destination\": 3}]}",
            "c.json:4:19 mounts[0].destination: invalid type: integer `3`, expected path string",
        ),
    ];
    for (text, expected) in cases {
        let error = spec::parse(text.as_bytes(), Path::new("c.json"), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let config = minimal(&[("/process/rlimits/-", json!({ "type": "RLIMIT_NOFILE" }))]);
    let error = parse(&config).unwrap_err();
    let text = serde_json::to_string_pretty(&config).unwrap();
    let (line, column) = position(&error.to_string());
    assert!(text.lines().nth(line - 1).unwrap()[column - 1..].starts_with("\"RLIMIT_NOFILE\""));
    let expected =
        format!("config.json:{line}:{column} process.rlimits[1].type: RLIMIT_NOFILE appears twice");
    assert_eq!(error.text(), expected);
}

#[test]
fn what_does_not_fit_is_found() {
    let odd =
        [json!({}), json!({ "a": [1] }), json!([[{}]]), json!(1), json!(true), json!("\\\",")];
    let cases = [
        ("/ociVersion", "ociVersion"),
        ("/process/args", "process.args"),
        ("/process/args/0", "process.args[0]"),
        ("/process/cwd", "process.cwd"),
        ("/process/env/1", "process.env[1]"),
        ("/process/user/uid", "process.user.uid"),
        ("/process/noNewPrivileges", "process.noNewPrivileges"),
        ("/root/readonly", "root.readonly"),
        ("/mounts", "mounts"),
        ("/mounts/1/destination", "mounts[1].destination"),
        ("/mounts/1/options/3", "mounts[1].options[3]"),
        ("/linux/namespaces/0/type", "linux.namespaces[0].type"),
        ("/linux/maskedPaths/9", "linux.maskedPaths[9]"),
        ("/linux/resources/devices/0/allow", "linux.resources.devices[0].allow"),
        ("/linux/resources/cpu", "linux.resources.cpu"),
    ];
    for (pointer, path) in cases {
        let found = odd.iter().filter(|value| {
            let Err(error) = parse(&minimal(&[(pointer, (*value).clone())])) else { return false };
            // What is inside of the value may be what does not fit.
            let told = error.object().unwrap_or_else(|| panic!("{value}: {error}"));
            assert!(told.starts_with(path), "{error}");
            told == path
        });
        assert!(found.count() >= 2, "{pointer}");
    }
}

#[test]
fn process_and_resources_of_their_own() {
    let process = |text: &str| {
        spec::parse_process(text.as_bytes(), Path::new("process.json"), &mut Vec::new())
    };
    let parsed = process(r#"{"args":["sh"],"cwd":"/"}"#).unwrap();
    assert_eq!(parsed.args().as_ref().unwrap(), &["sh"]);
    let cases = [
        (r#"{"cwd":"/"}"#, "process.json:1:1 args: must have at least one entry"),
        (r#"{"args":["sh"]}"#, "process.json:1:1: missing field `cwd`"),
        (r#"{"args":["sh"],"cwd":"x"}"#, "process.json:1:22 cwd: x is not an absolute path"),
    ];
    for (text, expected) in cases {
        assert_eq!(process(text).unwrap_err().text(), expected);
    }
    let resources =
        |text: &str| spec::parse_resources(text.as_bytes(), Path::new("r.json"), &mut Vec::new());
    let parsed = resources(r#"{"CPU":{"shares":7}}"#).unwrap();
    assert_eq!(parsed.cpu().as_ref().unwrap().shares(), Some(7));
    let error = resources(r#"{"memory":{"limit":"1"}}"#).unwrap_err();
    assert!(error.to_string().starts_with("r.json:1:20 memory.limit: invalid type"), "{error}");
    let error = resources(r#"{"hugepageLimits":[{"pageSize":"2"}]}"#).unwrap_err();
    assert!(error.to_string().starts_with("r.json:1:32 hugepageLimits[0].pageSize"), "{error}");
}

#[test]
fn bundles() {
    let folder = std::env::temp_dir().join(format!("rind-spec-{}", std::process::id()));
    let absent = Bundle::open(&folder, None).unwrap_err();
    let expected = format!("bundle {}: no such file or directory", folder.display());
    assert_eq!(absent.to_string(), expected);
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("config.json");
    let absent = Bundle::open(&folder, None).unwrap_err();
    assert_eq!(absent.to_string(), format!("{}: no such file or directory", file.display()));

    std::fs::write(&file, MINIMAL.replace("\"rootfs\"", "\"./a//rootfs/\"")).unwrap();
    let bundle = Bundle::open(&folder.join("."), None).unwrap();
    assert_eq!(bundle.path, folder.canonicalize().unwrap());
    assert_eq!(bundle.rootfs.to_str(), bundle.path.join("a/rootfs").to_str());
    assert_eq!(bundle.text, std::fs::read(&file).unwrap());

    let other = folder.join("other.json");
    std::fs::write(&other, DOCKER.replace("@BUNDLE@", "/elsewhere")).unwrap();
    let bundle = Bundle::open(&folder, Some(&other)).unwrap();
    assert_eq!(bundle.rootfs.to_str(), Some("/elsewhere/rootfs"));
    assert!(bundle.warnings.is_empty());
    std::fs::remove_dir_all(&folder).unwrap();
}
