//! `update`: the limits in the kernel's own files, that they hold, and that what is refused changes
//! nothing.

use integration_tests::cgroup::{controller, folder_of, value};
use integration_tests::command::{self, Output};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs::{self, File};

pub const TESTS: &[Test] = tests![
    flags_are_limits,
    the_second_update_sees_the_first,
    limits_are_lifted,
    limits_come_by_json,
    zero_and_absent_leave_it_as_it_is,
    memory_and_swap_in_any_order,
    a_lower_pids_limit_forbids_forks,
    a_refused_update_changes_nothing,
    device_rules_stay,
    device_rules_are_replaced,
    a_paused_container_stays_paused,
    what_can_not_be_is_told,
    without_a_group_there_is_no_schema,
];

/// The file of a limit in the container's cgroup: its value, by version 1's or 2's name for it.
fn limit(container: &Container, name: &str, v1: &str, v2: &str) -> String {
    let file = if controller(name).version == 1 { v1 } else { v2 };
    value(&folder_of(container.pid(), name), file)
}

fn memory(container: &Container) -> String {
    limit(container, "memory", "memory.limit_in_bytes", "memory.max")
}

fn pids(container: &Container) -> String {
    limit(container, "pids", "pids.max", "pids.max")
}

fn shares(container: &Container) -> String {
    limit(container, "cpu", "cpu.shares", "cpu.weight")
}

/// Quota and period.
fn quota(container: &Container) -> String {
    let folder = folder_of(container.pid(), "cpu");
    if controller("cpu").version == 2 {
        return value(&folder, "cpu.max");
    }
    let quota = value(&folder, "cpu.cfs_quota_us").replace("-1", "max");
    format!("{quota} {}", value(&folder, "cpu.cfs_period_us"))
}

/// Memory and swap together.
fn swap(container: &Container) -> u64 {
    let folder = folder_of(container.pid(), "memory");
    let (file, more) = match controller("memory").version {
        1 => ("memory.memsw.limit_in_bytes", 0),
        _ => ("memory.swap.max", memory(container).parse().unwrap()),
    };
    if !folder.join(file).exists() {
        skip("this kernel keeps no account of swap");
    }
    value(&folder, file).parse::<u64>().unwrap() + more
}

/// A container with a limit of each kind.
fn limited() -> Container {
    Container::running(Bundle::new().config(|config| {
        let resources = config["linux"]["resources"].as_object_mut().unwrap();
        let limits = json!({
            "memory": { "limit": 32 << 20, "reservation": 24 << 20 },
            "cpu": { "shares": 1024, "quota": 500_000, "period": 1_000_000, "cpus": "0" },
            "pids": { "limit": 20 },
        });
        resources.extend(limits.as_object().unwrap().clone());
    }))
}

#[track_caller]
fn update(container: &Container, flags: &[&str]) {
    let _ = container.call_with("update", flags).succeeded();
}

/// `update` with JSON on stdin.
fn update_by(container: &Container, resources: &Value) -> Output {
    let file = container.bundle().folder().join("resources.json");
    fs::write(&file, resources.to_string()).unwrap();
    let mut command = container.command_for("update", &["--resources=-"]);
    command.stdin(File::open(&file).unwrap());
    command::spawn_reading(command).wait()
}

fn flags_are_limits() {
    let container = limited();
    let flags = ["--memory", "50M", "--memory-reservation=40m", "--pids-limit", "10"];
    update(&container, &flags);
    let cpu = ["--cpu-share", "2", "--cpu-quota", "20000", "--cpu-period", "50000"];
    update(&container, &[&cpu[..], &["--cpuset-mems", "0", "--cpuset-cpus=0"]].concat());
    assert_eq!(memory(&container), (50 << 20).to_string());
    let low = limit(&container, "memory", "memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(low, (40 << 20).to_string());
    assert_eq!(pids(&container), "10");
    assert_eq!(shares(&container), if controller("cpu").version == 1 { "2" } else { "1" });
    assert_eq!(quota(&container), "20000 50000");
    assert_eq!(limit(&container, "cpuset", "cpuset.mems", "cpuset.mems"), "0");
    let folder = folder_of(container.pid(), "cpu");
    let version = controller("cpu").version;
    let burst = if version == 1 { "cpu.cfs_burst_us" } else { "cpu.max.burst" };
    if folder.join(burst).exists() {
        update(&container, &["--cpu-burst", "10000"]);
        assert_eq!(value(&folder, burst), "10000");
        update(&container, &["--cpu-burst", "0"]);
        assert_eq!(value(&folder, burst), "0");
    }
    if folder.join("cpu.idle").exists() {
        update(&container, &["--cpu-idle", "1"]);
        assert_eq!(value(&folder, "cpu.idle"), "1");
        let _ = container.call("update", &["--cpu-idle", "2"]).failed_with("cpu.idle");
        assert_eq!(value(&folder, "cpu.idle"), "1");
    }
}

fn the_second_update_sees_the_first() {
    let container = limited();
    for (flags, expected) in [
        (["--cpu-period", "900000"], "500000 900000"),
        (["--cpu-quota", "600000"], "600000 900000"),
        (["--cpu-quota", "-1"], "max 900000"),
        (["--cpu-period", "100000"], "max 100000"),
        (["--cpu-quota", "5000"], "5000 100000"),
    ] {
        update(&container, &flags);
        assert_eq!(quota(&container), expected, "{flags:?}");
    }
    assert_eq!((memory(&container), pids(&container)), ((32 << 20).to_string(), "20".to_owned()));
}

fn limits_are_lifted() {
    let container = limited();
    update(&container, &["--memory", "-1", "--pids-limit", "-1", "--memory-reservation=-1"]);
    let root = controller("memory");
    let most = match root.version {
        1 => value(&root.mount, "memory.limit_in_bytes"),
        _ => "max".to_owned(),
    };
    assert_eq!(memory(&container), most);
    assert_eq!(pids(&container), "max");
}

fn limits_come_by_json() {
    let container = limited();
    let resources = json!({
        "memory": { "limit": 48 << 20 },
        "cpu": { "shares": 2, "Cpus": "0" },
        "pids": { "limit": 7 },
        "blockIO": {},
    });
    let _ = update_by(&container, &resources).succeeded();
    assert_eq!((memory(&container), pids(&container)), ((48 << 20).to_string(), "7".to_owned()));
    assert_eq!(quota(&container), "500000 1000000");
    let file = container.bundle().folder().join("limits.json");
    fs::write(&file, r#"{ "pids": { "limit": 8 } }"#).unwrap();
    update(&container, &["-r", file.to_str().unwrap()]);
    assert_eq!(pids(&container), "8");
    let output = container.call("update", &["--pids-limit=9", "-r", file.to_str().unwrap()]);
    assert!(output.stderr.contains("--pids-limit is ignored"), "{output:#?}");
    assert_eq!((output.code, &*pids(&container)), (0, "8"));
}

/// As Docker sends what nobody has asked for.
fn zero_and_absent_leave_it_as_it_is() {
    let container = limited();
    let before = || (memory(&container), quota(&container), shares(&container), pids(&container));
    let known = before();
    let zeros = json!({
        "memory": { "limit": 0, "reservation": 0, "swap": 0, "kernel": 0 },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0,
            "cpus": "", "mems": "" },
        "blockIO": { "weight": 0 },
    });
    for resources in [zeros, json!({}), json!({ "pids": {}, "memory": {} })] {
        let _ = update_by(&container, &resources).succeeded();
        assert_eq!(before(), known, "{resources}");
    }
    update(&container, &["--memory", "0", "--cpu-period", "0", "--cpuset-cpus", ""]);
    assert_eq!(before(), known);
}

fn memory_and_swap_in_any_order() {
    let container = limited();
    for (limit, both) in [(30, 50), (60, 80), (200, 200), (10, 10)] {
        let (memory_flag, swap_flag) = (format!("{limit}M"), format!("{both}M"));
        update(&container, &["--memory", &memory_flag, "--memory-swap", &swap_flag]);
        assert_eq!(swap(&container), both << 20);
        assert_eq!(memory(&container), (limit << 20).to_string());
    }
    // What both may have together stays, so memory alone can't have more.
    let refused = container.call("update", &["--memory", "11M"]).failed_with("memory.swap");
    assert!(refused.stderr.contains("memory.limit"), "{refused:#?}");
    assert_eq!(memory(&container), (10 << 20).to_string());
    update(&container, &["--memory-swap", "20M"]);
    update(&container, &["--memory", "15M"]);
    assert_eq!((swap(&container), memory(&container)), (20 << 20, (15 << 20).to_string()));
}

fn a_lower_pids_limit_forbids_forks() {
    let container = Container::created(Bundle::new().probing(&["with-children", "9"]));
    update(&container, &["--pids-limit", "4"]);
    container.start();
    container.wait_stopped();
    assert_eq!(container.report(), json!({ "started": 3, "refused": "EAGAIN" }));
}

fn a_refused_update_changes_nothing() {
    let container = limited();
    let state = || fs::read(container.root().join(container.id()).join("state.json")).unwrap();
    let before = || (memory(&container), quota(&container), shares(&container), pids(&container));
    let (known, recorded) = (before(), state());
    for (flag, bad) in [("--cpuset-cpus", "9999"), ("--cpu-period", "1"), ("--cpuset-mems", "99")] {
        for bytes in ["16M", "64M"] {
            let flags = ["--memory", bytes, "--memory-swap", bytes, "--cpu-share", "7", flag, bad];
            let refused = container.call_with("update", &flags).failed_with("linux.resources.cpu.");
            assert!(!refused.stderr.contains("not set back"), "{refused:#?}");
            assert_eq!((before(), state()), (known.clone(), recorded.clone()), "{refused:#?}");
        }
    }
    // That would deny nothing.
    let device = json!({ "allow": false, "access": "x" });
    let refused = update_by(&container, &json!({ "pids": { "limit": 5 }, "devices": [device] }));
    let _ = refused.failed_with("devices[0].access");
    assert_eq!((before(), state()), (known, recorded));
}

/// The lines of version 1's list that are not every container's.
fn device_lines(container: &Container) -> Vec<String> {
    if controller("devices").version == 2 {
        skip("version 2 has no list of rules to read");
    }
    let text = value(&folder_of(container.pid(), "devices"), "devices.list");
    text.lines().filter(|line| line.starts_with("c 10:")).map(str::to_owned).collect()
}

fn with_devices(minor: u32) -> (Container, Value) {
    let rules = json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 10, "minor": minor, "access": "rw" },
    ]);
    let bundle = Bundle::new().config(|config| {
        config["linux"]["resources"]["devices"] = rules.clone();
    });
    (Container::running(bundle), rules)
}

/// Those that others have added, as tools for GPUs do, stay too, though engines send the config's
/// rules again with each update.
fn device_rules_stay() {
    let (container, rules) = with_devices(229);
    assert_eq!(device_lines(&container), ["c 10:229 rw"]);
    let folder = folder_of(container.pid(), "devices");
    fs::write(folder.join("devices.allow"), "c 10:237 r").unwrap();
    update(&container, &["--pids-limit", "30"]);
    let resources = json!({ "pids": { "limit": 31 }, "devices": rules });
    let _ = update_by(&container, &resources).succeeded();
    assert_eq!(pids(&container), "31");
    assert_eq!(device_lines(&container), ["c 10:229 rw", "c 10:237 r"]);
}

fn device_rules_are_replaced() {
    let (container, before) = with_devices(229);
    let (_, rules) = with_devices(237);
    let _ = update_by(&container, &json!({ "devices": rules })).succeeded();
    assert_eq!(device_lines(&container), ["c 10:237 rw"]);
    // These are the container's now, and not the config's any more.
    update(&container, &["--pids-limit", "30"]);
    assert_eq!(device_lines(&container), ["c 10:237 rw"]);
    let _ = update_by(&container, &json!({ "devices": before })).succeeded();
    assert_eq!(device_lines(&container), ["c 10:229 rw"]);
}

fn a_paused_container_stays_paused() {
    let container = limited();
    let _ = container.call("pause", &[]).succeeded();
    update(&container, &["--pids-limit", "30", "--memory", "40M"]);
    assert_eq!((container.status(), pids(&container)), ("paused".to_owned(), "30".to_owned()));
    let _ = container.call("resume", &[]).succeeded();
}

fn what_can_not_be_is_told() {
    let container = limited();
    for (flags, text) in [
        (["--memory", "much"], "--memory: invalid value \\\"much\\\""),
        (["--memory", "-2"], "--memory: invalid value"),
        (["--cpu-share", "-1"], "--cpu-share: invalid value"),
        (["--pids-limit", "1k"], "--pids-limit: invalid value"),
        (["--blkio-weight", "70000"], "--blkio-weight: invalid value"),
        (["--resources", "/nowhere"], "/nowhere: no such file or directory"),
        (["--kernel-memory", "1"], "flag provided but not defined"),
    ] {
        let _ = container.call("update", &flags).failed_with(text);
    }
    let _ = update_by(&container, &json!({ "pids": { "limit": "x" } })).failed_with("pids.limit");
    let below = json!({ "memory": { "limit": 1024, "checkBeforeUpdate": true } });
    let _ = update_by(&container, &below).failed_with("rejecting memory limit");
    let below = json!({ "memory": { "limit": 1024, "swap": 2048, "checkBeforeUpdate": true } });
    let _ = update_by(&container, &below).failed_with("rejecting memory+swap limit");
    assert_eq!(container.status(), "running");
    container.stop();
    let _ = container.call("update", &["--pids-limit", "9"]).failed_with("container not running");
    container.delete();
    let _ = container.call("update", &["--pids-limit", "9"]).failed_with("does not exist");
}

fn without_a_group_there_is_no_schema() {
    let container = limited();
    let _ = container.call("update", &["--mem-bw-schema", "L3:0=f"]).failed_with("begin with MB:");
    let flags = ["--l3-cache-schema", "L3:0=f", "--mem-bw-schema", "MB:0=50", "--pids-limit", "9"];
    let _ = container.call("update", &flags).failed_with("linux.intelRdt: the container has no");
    assert_eq!(pids(&container), "20");
}
