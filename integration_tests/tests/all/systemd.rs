//! Containers whose cgroups systemd makes: units, their properties, and what is left of them.

use crate::v2::disk;
use integration_tests::cgroup::{controller, folder_of, is_unified, units, value};
use integration_tests::command::{Output, Running, run, spawn};
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::collections::BTreeMap;
use std::fs;
use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::thread::{ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = tests![
    scope_is_where_the_path_says,
    scope_without_a_path_is_named_by_the_id,
    nested_slices_are_made,
    odd_ids_are_escaped,
    unit_has_its_properties,
    limits_are_properties_and_files,
    limits_survive_a_reload,
    rarer_limits_survive_reloads_and_updates,
    devices_are_properties_and_a_filter,
    init_is_never_moved,
    container_of_one_process_starts,
    executed_processes_are_in_the_scope,
    update_changes_properties_and_files,
    update_of_one_limit_leaves_the_others,
    update_leaves_v1_devices,
    paused_and_resumed,
    processes_are_listed,
    stats_are_the_scopes,
    delete_stops_the_unit,
    delete_needs_no_flag,
    delete_of_nested_cgroups_and_deaf_processes_leaves_nothing,
    unit_killed_for_memory_leaves_nothing,
    unit_that_is_stopped_by_others_can_be_deleted,
    stop_of_the_scope_is_an_ordinary_end,
    scope_whose_time_is_up_is_an_ordinary_end,
    created_container_ends_with_its_scope,
    manager_that_executes_itself_anew_is_followed,
    lines_of_a_service_are_the_services,
    unit_of_that_name_is_an_error_and_stays,
    failed_create_leaves_no_unit,
    killed_create_leaves_no_unit,
    killed_run_leaves_no_unit,
    annotations_are_properties,
    annotations_that_reach_further_are_refused,
    other_paths_are_refused,
    systemd_that_does_not_answer_is_an_error,
    without_systemd_it_says_so,
    devices_that_systemd_has_no_words_for_stay,
    lists_and_idleness_outlast_systemd,
    what_kills_together_is_updated,
    limits_of_v1_outlast_systemd,
];

/// How the tests of this file call the runtime.
const FLAGS: [&str; 1] = ["--systemd-cgroup"];

fn needs_systemd() {
    if !Path::new("/run/systemd/system").exists() {
        skip("systemd does not run here".to_owned());
    }
}

/// A container in `it-ID.scope`.
fn container(bundle: Bundle) -> Container {
    needs_systemd();
    let path = format!("system.slice:it:{}", bundle.id());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    Container::new(bundle).with_flags(&FLAGS)
}

fn unit(container: &Container) -> String {
    format!("it-{}.scope", container.id())
}

/// One whose probe sleeps.
fn running(bundle: Bundle) -> Container {
    let mut container = container(bundle.probing(&["sleep"]));
    container.create(&[]);
    container.start();
    container.wait_line("ready");
    container
}

fn with_resources(resources: Value) -> Bundle {
    Bundle::new().config(|config| config["linux"]["resources"] = resources)
}

/// The properties of a unit, as systemctl shows them.
fn properties(unit: &str) -> BTreeMap<String, String> {
    let mut show = Command::new("systemctl");
    show.args(["show", "--no-pager", unit]);
    let text = run(show).succeeded().stdout;
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        // A list has a line for each.
        let known = all.entry(name.to_owned()).or_default();
        known.push_str(value);
        if name == "DeviceAllow" {
            known.push('\n');
        }
    }
    all
}

fn systemctl(args: &[&str]) -> Output {
    let mut command = Command::new("systemctl");
    command.args(args);
    run(command)
}

/// Held while nobody is to have systemd write all files of all units again.
static RELOADS: RwLock<()> = RwLock::new(());

fn no_reloads() -> RwLockReadGuard<'static, ()> {
    RELOADS.read().unwrap_or_else(PoisonError::into_inner)
}

fn reload() {
    let _alone = RELOADS.write().unwrap_or_else(PoisonError::into_inner);
    let _ = systemctl(&["daemon-reload"]).succeeded();
}

fn assert_no_unit(container: &Container) {
    let left = units(container.id());
    assert!(left.is_empty(), "left: {left:?}");
    container.assert_no_trace();
}

fn scope_is_where_the_path_says() {
    let container = running(Bundle::new());
    let expected = format!("/system.slice/{}", unit(&container));
    let folder = folder_of(container.pid(), "pids");
    assert!(folder.ends_with(expected.trim_start_matches('/')), "{}", folder.display());
    assert_eq!(properties(&unit(&container))["ControlGroup"], expected);
    container.stop();
    container.delete();
    assert_no_unit(&container);
}

fn scope_without_a_path_is_named_by_the_id() {
    needs_systemd();
    let bundle = Bundle::new().probing(&["sleep"]).config(|config| {
        config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    });
    let mut container = Container::new(bundle).with_flags(&["--cgroup-manager", "systemd"]);
    container.create(&[]);
    let expected = format!("system.slice/rind-{}.scope", container.id());
    assert!(folder_of(container.pid(), "pids").ends_with(expected));
    let _ = container.call("delete", &["--force"]).succeeded();
    assert_no_unit(&container);
}

fn nested_slices_are_made() {
    needs_systemd();
    let bundle = Bundle::new().probing(&["sleep"]);
    let id = bundle.id().replace('-', "_");
    let slice = format!("rindtest-{id}-in.slice");
    let path = format!("{slice}:it:{}", bundle.id());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    let mut container = Container::new(bundle).with_flags(&FLAGS);
    container.create(&[]);
    let expected = format!("rindtest.slice/rindtest-{id}.slice/{slice}/{}", unit(&container));
    let folder = folder_of(container.pid(), "pids");
    let _ = container.call("delete", &["--force"]).succeeded();
    // A slice is its user's; systemd keeps it.
    for name in [&slice, &format!("rindtest-{id}.slice")] {
        let _ = systemctl(&["stop", name]);
    }
    assert!(folder.ends_with(&expected), "{}", folder.display());
    assert_no_unit(&container);
}

fn odd_ids_are_escaped() {
    needs_systemd();
    let bundle = Bundle::new().probing(&["sleep"]);
    let path = format!(":it:{}+x", bundle.id());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    let mut container = Container::new(bundle).with_flags(&FLAGS);
    container.create(&[]);
    let expected = format!("system.slice/it-{}\\x2bx.scope", container.id());
    assert!(folder_of(container.pid(), "pids").ends_with(expected));
    let _ = container.call("delete", &["--force"]).succeeded();
    assert_no_unit(&container);
}

fn unit_has_its_properties() {
    let container = running(Bundle::new());
    let properties = properties(&unit(&container));
    for (name, expected) in [
        ("ActiveState", "active"),
        ("Slice", "system.slice"),
        ("Delegate", "yes"),
        ("DefaultDependencies", "no"),
        ("CollectMode", "inactive-or-failed"),
        ("TasksAccounting", "yes"),
        ("MemoryAccounting", "yes"),
        ("CPUAccounting", "yes"),
        ("IOAccounting", "yes"),
        ("DevicePolicy", "strict"),
    ] {
        assert_eq!(properties[name], expected, "{name}");
    }
}

type Pairs = Vec<(&'static str, &'static str)>;

/// The limits of a container, as the config has them, as systemd shows them, and as v2 has them.
fn limits() -> (Value, Pairs, Pairs) {
    let resources = json!({
        "memory": { "limit": 67_108_864, "swap": 134_217_728, "reservation": 33_554_432 },
        "cpu": { "quota": 12_345, "period": 50_000, "shares": 2048, "cpus": "0", "mems": "0" },
        "pids": { "limit": 25 },
        "unified": { "memory.high": "60000000" },
    });
    let shown = vec![
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("MemoryHigh", "59998208"),
        ("CPUQuotaPerSecUSec", "250ms"),
        ("CPUQuotaPeriodUSec", "50ms"),
        ("AllowedCPUs", "0"),
        ("AllowedMemoryNodes", "0"),
        ("TasksMax", "25"),
    ];
    let files = vec![
        ("memory.max", "67108864"),
        ("memory.swap.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.high", "59998208"),
        ("cpu.max", "12345 50000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "25"),
    ];
    (resources, shown, files)
}

fn needs_unified() {
    if !is_unified() {
        skip("the controllers are not on cgroup v2 here".to_owned());
    }
}

fn limits_are_properties_and_files() {
    needs_unified();
    let _calm = no_reloads();
    let (resources, shown, files) = limits();
    let container = running(with_resources(resources));
    let properties = properties(&unit(&container));
    for (name, expected) in shown {
        assert!(
            properties[name] == expected || name == "MemoryHigh",
            "{name}: {}, not {expected}",
            properties[name]
        );
    }
    let folder = folder_of(container.pid(), "pids");
    for (file, expected) in files {
        assert_eq!(value(&folder, file), expected, "{file}");
    }
}

fn limits_survive_a_reload() {
    needs_unified();
    let (resources, _, files) = limits();
    let container = running(with_resources(resources));
    let folder = folder_of(container.pid(), "pids");
    reload();
    // Something that makes systemd look at every file of the unit again.
    let unit = unit(&container);
    let _ = systemctl(&["set-property", "--runtime", &unit, "CPUWeight=77"]).succeeded();
    for (file, expected) in files {
        // systemd has whole percents of a processor.
        let expected = if file == "cpu.max" { "12500 50000" } else { expected };
        let found = value(&folder, file);
        assert!(
            found == expected || file == "cpu.max" && found == "12345 50000",
            "{file}: {found}"
        );
    }
    let report = container.exec(&[], &["/bin/probe", "stat", "/dev/null"]).succeeded().json();
    assert_eq!(report[0]["writable"], "yes", "{report}");
}

/// Of disks, memory that is left to it, weights, huge pages.
fn rarer_limits_survive_reloads_and_updates() {
    needs_unified();
    let (major, minor) = disk();
    let resources = |rate: u64, shares: u64| {
        let of_disk = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
        json!({
            "cpu": { "shares": shares },
            "blockIO": {
                "throttleReadBpsDevice": of_disk(rate), "throttleWriteIOPSDevice": of_disk(77),
            },
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }],
            "unified": { "memory.min": "4194304", "memory.oom.group": "1" },
        })
    };
    let container = running(with_resources(resources(1 << 20, 2048)));
    let folder = folder_of(container.pid(), "pids");
    let holds = |rate: u64, weight: &str, when: &str| {
        let line = format!("{major}:{minor} rbps={rate} wbps=max riops=max wiops=77");
        for (file, expected) in [
            ("io.max", line.as_str()),
            ("cpu.weight", weight),
            ("memory.min", "4194304"),
            ("hugetlb.2MB.max", "4194304"),
        ] {
            assert_eq!(value(&folder, file), expected, "{file}, {when}");
        }
        let shown = properties(&unit(&container));
        // A systemd before 253 knows nothing of it, and takes it back.
        if shown.get("OOMPolicy").is_some_and(|policy| policy == "kill") {
            assert_eq!(value(&folder, "memory.oom.group"), "1", "{when}");
        }
        for (name, expected) in [
            ("IOReadBandwidthMax", format!(" {rate}")),
            ("IOWriteIOPSMax", " 77".to_owned()),
            ("CPUWeight", weight.to_owned()),
            ("MemoryMin", "4194304".to_owned()),
        ] {
            assert!(shown[name].ends_with(&expected), "{name}, {when}: {}", shown[name]);
        }
    };
    holds(1 << 20, "174", "after create");
    reload();
    holds(1 << 20, "174", "after a reload");
    let file = container.bundle().folder().join("more.json");
    let update = |resources: Value| {
        fs::write(&file, resources.to_string()).unwrap();
        drop(container.call("update", &["--resources", file.to_str().unwrap()]).succeeded());
    };
    update(resources(2 << 20, 1024));
    holds(2 << 20, "100", "after an update");
    reload();
    holds(2 << 20, "100", "after both");
    update(json!({ "unified": { "cpu.idle": "1" } }));
    assert_eq!(value(&folder, "cpu.idle"), "1");
    reload();
    assert_eq!(value(&folder, "cpu.idle"), "1", "after a reload");
}

fn devices_are_properties_and_a_filter() {
    let allowing = |major: u32, minor: u32| {
        json!({ "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": major, "minor": minor, "access": "rw" },
        ] })
    };
    let bundle = with_resources(allowing(10, 237)).writable().config(|config| {
        config["linux"]["devices"] =
            json!([{ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229 }]);
    });
    let container = running(bundle);
    let before = properties(&unit(&container));
    assert_eq!(before["DevicePolicy"], "strict");
    assert!(before["DeviceAllow"].contains("/dev/char/10:237 rw"), "{}", before["DeviceAllow"]);
    let answer = |path: &str| {
        let report = container.exec(&[], &["/bin/probe", "stat", path]).succeeded().json();
        report[0]["readable"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((answer("/dev/fuse"), answer("/dev/null")), ("EPERM".to_owned(), "yes".to_owned()));
    reload();
    assert_eq!((answer("/dev/fuse"), answer("/dev/null")), ("EPERM".to_owned(), "yes".to_owned()));
    // And new rules reach both.
    let file = container.bundle().folder().join("more.json");
    fs::write(&file, allowing(10, 229).to_string()).unwrap();
    let _ = container.call("update", &["--resources", file.to_str().unwrap()]).succeeded();
    // There may be no driver.
    let now = answer("/dev/fuse");
    assert!(now == "yes" || now == "ENODEV" || now == "ENXIO", "{now}");
    let after = properties(&unit(&container));
    assert!(after["DeviceAllow"].contains("/dev/char/10:229 rw"), "{}", after["DeviceAllow"]);
    assert!(!after["DeviceAllow"].contains("10:237"), "{}", after["DeviceAllow"]);
}

/// Only systemd writes to cgroup.procs, and that the hop's pid.
fn init_is_never_moved() {
    needs_unified();
    let strace = needs_program("strace");
    // With what it forks, unless that stays.
    let trace = |container: &Container, which: &[&str], command: Command| {
        let file = container.bundle().folder().join("trace");
        let mut traced = Command::new(&strace);
        traced.args(["-y", "-s", "4096", "-e", "trace=write,sendto,sendmsg,clone,clone3"]);
        traced.args(which).arg("-o").arg(&file).arg(command.get_program()).args(command.get_args());
        let _ = run(traced).succeeded();
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let is_move = line.contains("write(") && line.contains("cgroup.procs>");
            assert!(!is_move && !line.contains("AttachProcessesToUnit"), "{line}");
        }
        text
    };
    let fleeting = container(Bundle::new());
    let text = trace(&fleeting, &["-f"], fleeting.command_for("run", &[]));
    assert!(text.contains("clone3(") && text.contains("StartTransientUnit"), "{text}");
    let container = container(Bundle::new().probing(&["sleep"]));
    let create = trace(&container, &[], container.command_for("create", &[]));
    assert!(create.contains("StartTransientUnit"), "{create}");
    let _ = trace(&container, &["-f"], container.command_for("start", &[]));
    let exec =
        trace(&container, &["-f"], container.exec_command(&[], &["/bin/probe", "stat", "/"]));
    assert!(exec.contains("clone3("), "{exec}");
    container.stop();
    container.delete();
}

fn container_of_one_process_starts() {
    let container = running(with_resources(json!({ "pids": { "limit": 1 } })));
    assert_eq!(properties(&unit(&container))["TasksMax"], "1");
    assert_eq!(value(&folder_of(container.pid(), "pids"), "pids.max"), "1");
}

fn executed_processes_are_in_the_scope() {
    let container = running(Bundle::new().without_namespace("cgroup"));
    let report = container.exec_report(&[]);
    let cgroup = report["cgroup"].as_str().unwrap();
    assert!(cgroup.contains(&format!("/system.slice/{}", unit(&container))), "{cgroup}");
}

fn update_changes_properties_and_files() {
    needs_unified();
    let _calm = no_reloads();
    let container = running(with_resources(json!({ "memory": { "limit": 67_108_864 } })));
    let flags = ["--memory", "128M", "--pids-limit", "9", "--cpu-quota", "33333"];
    let _ = container.call("update", &flags).succeeded();
    let folder = folder_of(container.pid(), "pids");
    let properties = properties(&unit(&container));
    for (file, expected, name, shown) in [
        ("memory.max", "134217728", "MemoryMax", "134217728"),
        ("pids.max", "9", "TasksMax", "9"),
        ("cpu.max", "33333 100000", "CPUQuotaPerSecUSec", "340ms"),
    ] {
        assert_eq!(value(&folder, file), expected, "{file}");
        assert_eq!(properties[name], shown, "{name}");
    }
    // What is refused leaves both as they are.
    let refused = container.call("update", &["--pids-limit", "7", "--cpu-burst", "999999999"]);
    assert_ne!(refused.code, 0);
    assert_eq!(value(&folder, "pids.max"), "9");
    assert_eq!(self::properties(&unit(&container))["TasksMax"], "9");
}

/// systemd writes all that its unit has when it is told of one thing, in its own units.
fn update_of_one_limit_leaves_the_others() {
    needs_unified();
    let _calm = no_reloads();
    let (mut resources, _, files) = limits();
    resources["unified"]["memory.oom.group"] = json!("1");
    let container = running(with_resources(resources));
    let _ = container.call("update", &["--pids-limit", "9"]).succeeded();
    let folder = folder_of(container.pid(), "pids");
    for (file, expected) in files {
        let expected = if file == "pids.max" { "9" } else { expected };
        assert_eq!(value(&folder, file), expected, "{file}");
    }
    assert_eq!(value(&folder, "memory.oom.group"), "1");
    // What is no weight comes back as one.
    for idle in ["1", "0"] {
        let _ = container.call("update", &["--cpu-idle", idle]).succeeded();
        let _ = container.call("update", &["--pids-limit", "8"]).succeeded();
        assert_eq!(value(&folder, "cpu.idle"), idle);
    }
}

/// There it writes the same list.
fn update_leaves_v1_devices() {
    needs_systemd();
    if is_unified() {
        skip("devices are allowed by a program here, and systemd has its own".to_owned());
    }
    let rules = json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 10, "minor": 237, "access": "rw" },
        { "allow": true, "type": "c", "major": 4, "access": "r" },
        { "allow": true, "type": "b", "minor": 7, "access": "r" },
    ]);
    for devices in [rules, json!([{ "allow": true, "access": "rwm" }])] {
        let container = running(with_resources(json!({ "devices": devices })));
        let folder = folder_of(container.pid(), "devices");
        let list = || {
            let text = value(&folder, "devices.list");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let calm = no_reloads();
        let before = list();
        let _ = container.call("update", &["--pids-limit", "9"]).succeeded();
        assert_eq!(list(), before);
        drop(calm);
        assert_eq!(container.status(), "running");
        reload();
        let allows_all = |lines: &[String]| lines.iter().any(|line| line.starts_with('a'));
        assert_eq!(allows_all(&list()), allows_all(&before), "{before:?}");
    }
}

fn paused_and_resumed() {
    let container = running(Bundle::new());
    let _ = container.call("pause", &[]).succeeded();
    assert_eq!(container.status(), "paused");
    let _ = container.call("resume", &[]).succeeded();
    assert_eq!(container.status(), "running");
}

fn processes_are_listed() {
    let container = running(Bundle::new());
    let listed = container.call("ps", &["--format", "json"]).succeeded().json();
    assert_eq!(listed, json!([container.pid()]));
}

fn stats_are_the_scopes() {
    let container = running(with_resources(json!({ "pids": { "limit": 21 } })));
    let stats = container.call("events", &["--stats"]).succeeded().json();
    assert_eq!(stats["data"]["pids"]["limit"], 21, "{stats}");
    assert!(stats["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{stats}");
}

fn delete_stops_the_unit() {
    let container = running(Bundle::new());
    container.stop();
    let _ = container.call("delete", &[]).succeeded();
    assert_no_unit(&container);
}

/// Engines clean up without the flag.
fn delete_needs_no_flag() {
    let container = running(Bundle::new());
    let mut delete = Command::new(integration_tests::binary::rind());
    delete.arg("--root").arg(container.root()).args(["delete", "--force", container.id()]);
    let _ = run(delete).succeeded();
    assert_no_unit(&container);
}

fn delete_of_nested_cgroups_and_deaf_processes_leaves_nothing() {
    let script = "trap '' TERM INT HUP; mkdir -p /sys/fs/cgroup/a/b/c 2>/dev/null; \
                  sleep 1000 & echo $! >/sys/fs/cgroup/a/b/c/cgroup.procs 2>/dev/null; \
                  echo up; while :; do sleep 1; done";
    let bundle = Bundle::new().script(script).writable().config(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        mounts.push(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev"],
        }));
    });
    let mut container = container(bundle.namespace("cgroup", None));
    container.create(&[]);
    container.start();
    container.wait_line("up");
    let folder = folder_of(container.pid(), "pids");
    if is_unified() {
        wait_for("a nested process", || {
            fs::read_to_string(folder.join("a/b/c/cgroup.procs")).is_ok_and(|text| !text.is_empty())
        });
    }
    let _ = container.call("delete", &["--force"]).succeeded();
    assert_no_unit(&container);
}

/// systemd calls the unit failed then, and would keep it.
fn unit_killed_for_memory_leaves_nothing() {
    needs_unified();
    let bundle = with_resources(json!({ "memory": { "limit": 20_000_000, "swap": 20_000_000 } }));
    let mut container = container(bundle.script("x=x; while :; do x=$x$x; done").writable());
    container.create(&[]);
    container.start();
    container.wait_stopped();
    let _ = container.call("delete", &[]).succeeded();
    assert_no_unit(&container);
}

fn unit_that_is_stopped_by_others_can_be_deleted() {
    let container = running(Bundle::new());
    let _ = systemctl(&["stop", &unit(&container)]).succeeded();
    container.wait_stopped();
    let refused = container.call("update", &["--pids-limit", "7"]);
    assert!(refused.stderr.contains("container not running"), "{refused:#?}");
    let _ = container.call("delete", &[]).succeeded();
    assert_no_unit(&container);
}

/// One whose program ends with 7 when it is to, run in the foreground.
fn in_foreground(bundle: Bundle) -> (Container, Running) {
    let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let container = container(bundle.script(script));
    let running = container.spawn_run(&[]);
    running.wait_line("up");
    (container, running)
}

/// systemd has to see that the scope is empty, or else waits for as long as stops may take.
fn stop_of_the_scope_is_an_ordinary_end() {
    let _calm = no_reloads();
    let (container, mut running) = in_foreground(Bundle::new());
    let since = Instant::now();
    let _ = systemctl(&["stop", &unit(&container)]).succeeded();
    assert!(since.elapsed() < QUICKLY, "{:?}", since.elapsed());
    let ended = running.wait_here();
    // The shell may tell that what it waited for was terminated.
    assert!(ended.code == 7 && !ended.stderr.contains("level="), "{ended:#?}");
    assert_no_unit(&container);
    // Processes in cgroups below don't keep it.
    let script = "trap 'exit 7' TERM; mkdir -p /sys/fs/cgroup/a/b 2>/dev/null; \
                  sleep 1000 & echo $! >/sys/fs/cgroup/a/b/cgroup.procs 2>/dev/null; \
                  echo up; while :; do sleep 0.05; done";
    let bundle = Bundle::new().script(script).writable().config(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        mounts
            .push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" }));
    });
    let container = self::container(bundle.namespace("cgroup", None));
    let mut running = container.spawn_run(&[]);
    running.wait_line("up");
    let _ = systemctl(&["stop", &unit(&container)]).succeeded();
    assert_eq!(running.wait_here().code, 7);
    assert_no_unit(&container);
}

/// How long what takes no time may take on a busy machine, and far less than systemd's patience.
const QUICKLY: Duration = Duration::from_secs(20);

fn scope_whose_time_is_up_is_an_ordinary_end() {
    let bundle = Bundle::new().config(|config| {
        config["annotations"] = json!({ "org.systemd.property.RuntimeMaxSec": "1" });
    });
    let (container, mut running) = in_foreground(bundle);
    let since = Instant::now();
    let ended = running.wait_here();
    assert!(since.elapsed() < QUICKLY, "{:?}", since.elapsed());
    // The shell may tell that what it waited for was terminated.
    assert!(ended.code == 7 && !ended.stderr.contains("level="), "{ended:#?}");
    assert_no_unit(&container);
}

fn created_container_ends_with_its_scope() {
    let _calm = no_reloads();
    let mut container = container(Bundle::new());
    container.create(&[]);
    let since = Instant::now();
    let _ = systemctl(&["stop", &unit(&container)]).succeeded();
    assert!(since.elapsed() < QUICKLY, "{:?}", since.elapsed());
    container.wait_stopped();
    container.delete();
    assert_no_unit(&container);
}

/// An update of its package does that: what it was asked for meanwhile is asked again, and a job that
/// was under way is its successor's.
fn manager_that_executes_itself_anew_is_followed() {
    needs_systemd();
    let _alone = RELOADS.write().unwrap_or_else(PoisonError::into_inner);
    scope(|scope| {
        let anew = scope.spawn(|| systemctl(&["daemon-reexec"]));
        let made: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    let mut container = container(Bundle::new().probing(&["sleep"]));
                    container.run_detached(&[]);
                    let limited = container.call("update", &["--pids-limit", "9"]);
                    let deleted = container.call("delete", &["--force"]);
                    (container, limited, deleted)
                })
            })
            .collect();
        let made: Vec<_> = made.into_iter().map(ScopedJoinHandle::join).collect();
        let _ = anew.join().unwrap().succeeded();
        for one in made {
            let (container, limited, deleted) = one.unwrap_or_else(|panic| resume_unwind(panic));
            let _ = limited.succeeded();
            let _ = deleted.succeeded();
            assert_no_unit(&container);
        }
    });
}

/// The journal files a line by who wrote it.
fn lines_of_a_service_are_the_services() {
    needs_systemd();
    let _ = needs_program("journalctl");
    let _calm = no_reloads();
    let script = "echo to stdout; echo to stderr >/dev/stderr";
    let container = Container::new(Bundle::new().script(script));
    let name = format!("it-service-{}", container.id());
    let mut service = Command::new("systemd-run");
    service.args(["--quiet", "--wait", "--collect", "--unit", &name]);
    service.arg(integration_tests::binary::rind()).arg("--root").arg(container.root());
    service.arg("run").arg("--bundle").arg(container.bundle().path()).arg(container.id());
    let _ = run(service).succeeded();
    let lines = || {
        let mut journal = Command::new("journalctl");
        let unit = format!("_SYSTEMD_UNIT={name}.service");
        journal.args(["--quiet", "--output", "cat", &unit]);
        run(journal).stdout
    };
    wait_for("the lines", || {
        let lines = lines();
        lines.contains("to stdout\n") && lines.contains("to stderr\n")
    });
    container.assert_no_trace();
}

fn unit_of_that_name_is_an_error_and_stays() {
    let container = container(Bundle::new().probing(&["sleep"]));
    let name = unit(&container);
    let _calm = no_reloads();
    let mut other = Command::new("systemd-run");
    other.args(["--scope", "--quiet", "--unit", &name, "sleep", "1000"]);
    let mut other = spawn(other);
    wait_for("the other unit", || systemctl(&["is-active", &name]).stdout.trim() == "active");
    let refused = container.call("create", &[]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains(&name), "{}", refused.stderr);
    assert!(refused.stderr.contains("systemctl stop"), "{}", refused.stderr);
    assert_eq!(systemctl(&["is-active", &name]).stdout.trim(), "active");
    let _ = systemctl(&["stop", &name]).succeeded();
    let _ = other.wait_here();
    assert_no_unit(&container);
}

fn failed_create_leaves_no_unit() {
    let bundle = Bundle::new().mount(json!({
        "destination": "/x", "type": "bind", "source": "/not/there", "options": ["bind"],
    }));
    let container = container(bundle);
    assert_ne!(container.call("create", &[]).code, 0);
    assert_no_unit(&container);
    // And one that fails when the cgroup is there.
    let bundle = Bundle::new().config(|config| config["process"]["args"] = json!(["/not/there"]));
    let container = self::container(bundle);
    assert_ne!(container.call("run", &[]).code, 0);
    assert_no_unit(&container);
    let container = self::container(with_resources(json!({ "unified": { "no.such": "1" } })));
    assert_ne!(container.call("create", &[]).code, 0);
    assert_no_unit(&container);
}

fn kill_at_all_moments(name: &str, flags: &[&str]) {
    let container = container(Bundle::new().probing(&["sleep"]));
    // How long it takes here, with some more.
    let since = Instant::now();
    let _ = container.call("create", &[]).succeeded();
    let whole = since.elapsed() * 5 / 4;
    let _ = container.call("delete", &["--force"]).succeeded();
    for step in 0..25 {
        let mut running = spawn(container.command_for(name, flags));
        let (since, moment) = (Instant::now(), whole * step / 25);
        while since.elapsed() < moment {
            spin_loop();
        }
        running.kill();
        let output = container.call("delete", &["--force"]);
        assert!(
            output.code == 0 && output.stderr.is_empty(),
            "killed after {moment:?}: {output:#?}"
        );
        // systemd may still be at what it was asked for before.
        wait_for(&format!("all to go of what was killed after {moment:?}"), || {
            units(container.id()).is_empty() && container.traces().is_empty()
        });
    }
}

fn killed_create_leaves_no_unit() {
    kill_at_all_moments("create", &[]);
}

fn killed_run_leaves_no_unit() {
    kill_at_all_moments("run", &["--detach"]);
}

fn annotations_are_properties() {
    let bundle = Bundle::new().config(|config| {
        config["annotations"] = json!({
            "org.systemd.property.TimeoutStopUSec": "uint64 7000000",
            "org.systemd.property.KillMode": "'mixed'",
            "org.systemd.property.Description": "\"a container of the tests\"",
            "org.systemd.property.RuntimeMaxSec": "3600",
        });
    });
    let container = running(bundle);
    let properties = properties(&unit(&container));
    assert_eq!(properties["TimeoutStopUSec"], "7s");
    assert_eq!(properties["KillMode"], "mixed");
    assert_eq!(properties["Description"], "a container of the tests");
    assert_eq!(properties["RuntimeMaxUSec"], "1h");
}

/// CVE-2024-3154: what reaches beyond the container's own unit.
fn annotations_that_reach_further_are_refused() {
    for (name, value) in [
        ("OnFailure", "['reboot.target']"),
        ("SuccessAction", "'poweroff-force'"),
        ("Wants", "['x.service']"),
        ("ExecStop", "[('/bin/sh', ['sh'], false)]"),
        ("Delegate", "false"),
        ("TimeoutStopUSec", "uint64"),
        ("no such", "1"),
    ] {
        let annotation = format!("org.systemd.property.{name}");
        let bundle = Bundle::new()
            .config(|config| config["annotations"] = json!({ annotation.as_str(): value }));
        let container = container(bundle);
        let refused = container.call("create", &[]);
        assert_ne!(refused.code, 0, "{name}");
        assert!(refused.stderr.contains(&annotation), "{}", refused.stderr);
        assert_no_unit(&container);
    }
}

fn other_paths_are_refused() {
    needs_systemd();
    for path in ["/it/x", "a:b", "no-slice:it:x", "a..b.slice:it:x", "system.slice:it:"] {
        let bundle = Bundle::new().config(|config| config["linux"]["cgroupsPath"] = json!(path));
        let container = Container::new(bundle).with_flags(&FLAGS);
        let refused = container.call("create", &[]);
        assert_ne!(refused.code, 0, "{path}");
        assert!(refused.stderr.contains("linux.cgroupsPath"), "{path}: {}", refused.stderr);
        container.assert_no_trace();
    }
}

/// A bus at which nobody says anything: an error in time, and nothing left.
fn systemd_that_does_not_answer_is_an_error() {
    let bundle = Bundle::new().config(|config| {
        config["linux"]["cgroupsPath"] = json!(":it:x");
    });
    let socket = bundle.folder().join("bus");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let container = Container::new(bundle).with_flags(&FLAGS);
    let mut create = container.command_for("create", &[]);
    create.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", socket.display()));
    let refused = run(create);
    let _ = refused.failed_with("within 25s");
    container.assert_no_trace();
}

fn without_systemd_it_says_so() {
    let bundle =
        Bundle::new().config(|config| config["linux"]["cgroupsPath"] = json!("system.slice:it:x"));
    let container = Container::new(bundle).with_flags(&FLAGS);
    let mut create = container.command_for("create", &[]);
    create.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/not/there");
    let refused = run(create);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("systemd"), "{}", refused.stderr);
    assert!(refused.stderr.contains("/not/there"), "{}", refused.stderr);
    assert!(refused.stderr.contains("cgroupfs"), "{}", refused.stderr);
    container.assert_no_trace();
}

/// Has systemd look at every file of the container's unit again.
fn rewrite(container: &Container) {
    reload();
    let unit = unit(container);
    let _ = systemctl(&["set-property", "--runtime", &unit, "TasksMax=99"]).succeeded();
}

/// On v2 they are rind's filter's to tell apart; v1 has one list, which then may say less, never more.
fn devices_that_systemd_has_no_words_for_stay() {
    let rule = |allow: bool, major: i64, minor: i64| {
        let mut rule = json!({ "type": "c", "major": major, "minor": minor, "access": "rw" });
        rule["allow"] = json!(allow);
        rule
    };
    let none = json!({ "allow": false, "access": "rwm" });
    let all = json!({ "allow": true, "access": "rwm" });
    for (rules, on_v2, on_v1) in [
        (
            json!([none, rule(true, 4, -1), rule(true, -1, 229)]),
            ["char-4 rw", "char-* rwm"],
            ["char-4 rw", "char-* m"],
        ),
        (
            json!([all, rule(false, 10, 237)]),
            ["char-* rwm", "block-* rwm"],
            ["char-* m", "block-* m"],
        ),
    ] {
        let bundle = with_resources(json!({ "devices": rules })).writable().config(|config| {
            config["linux"]["devices"] = json!([
                { "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229 },
                { "path": "/dev/loop-control", "type": "c", "major": 10, "minor": 237 },
            ]);
        });
        let container = running(bundle);
        let answer = |path: &str| {
            let report = container.exec(&[], &["/bin/probe", "stat", path]).succeeded().json();
            report[0]["readable"].as_str().unwrap_or_default().to_owned()
        };
        let holds = |when: &str| {
            assert_eq!(answer("/dev/null"), "yes", "{rules}, {when}");
            assert_eq!(answer("/dev/loop-control"), "EPERM", "{rules}, {when}");
        };
        let found = properties(&unit(&container));
        assert_eq!(found["DevicePolicy"], "strict", "{rules}");
        let expected = if is_unified() { on_v2 } else { on_v1 };
        let allowed = &found["DeviceAllow"];
        let is_said = |entry: &str| allowed.lines().any(|line| line == entry);
        assert!(expected.into_iter().all(is_said), "{rules}: {allowed}");
        holds("at first");
        // There may be no driver.
        assert_ne!(answer("/dev/fuse"), "EPERM", "{rules}");
        rewrite(&container);
        holds("after a reload");
        assert!(!is_unified() || answer("/dev/fuse") != "EPERM", "{rules}");
    }
}

fn lists_and_idleness_outlast_systemd() {
    needs_unified();
    let container = running(with_resources(json!({
        "cpu": { "cpus": "0-1:1/2", "idle": 1 }, "unified": { "memory.zswap.max": "4096" },
    })));
    let folder = folder_of(container.pid(), "cpu");
    let shown = |name: &str| properties(&unit(&container))[name].clone();
    assert_eq!((shown("AllowedCPUs"), shown("CPUWeight")), ("0".to_owned(), "idle".to_owned()));
    let _ = container.call("update", &["--cpu-idle", "0"]).succeeded();
    assert_eq!(shown("CPUWeight"), "100");
    rewrite(&container);
    for (file, expected) in [("cpu.idle", "0"), ("cpu.weight", "100"), ("cpuset.cpus", "0")] {
        assert_eq!(value(&folder, file), expected, "{file}");
    }
    // A systemd that doesn't know it leaves it alone.
    assert_eq!(value(&folder, "memory.zswap.max"), "4096");
}

/// A running unit gets no other `OOMPolicy`, but the file does.
fn what_kills_together_is_updated() {
    needs_unified();
    let _calm = no_reloads();
    let container = running(with_resources(json!({ "unified": { "memory.oom.group": "0" } })));
    let file = container.bundle().folder().join("more.json");
    fs::write(&file, json!({ "unified": { "memory.oom.group": "1" } }).to_string()).unwrap();
    let _ = container.call("update", &["--resources", file.to_str().unwrap()]).succeeded();
    assert_eq!(value(&folder_of(container.pid(), "memory"), "memory.oom.group"), "1");
}

fn limits_of_v1_outlast_systemd() {
    needs_systemd();
    if is_unified() {
        skip("the controllers are on cgroup v2 here".to_owned());
    }
    let (major, minor) = disk();
    let rate = json!([{ "major": major, "minor": minor, "rate": 1 << 20 }]);
    let mut block = json!({ "throttleReadBpsDevice": rate });
    // Up to 100, systemd has the same of BFQ.
    let has_weights = controller("blkio").mount.join("system.slice/blkio.bfq.weight").exists();
    if has_weights {
        block["weight"] = json!(80);
    }
    let container = running(with_resources(json!({
        "cpu": { "shares": 512 }, "memory": { "limit": 67_108_864 }, "blockIO": block,
    })));
    let holds = |shares: &str, when: &str| {
        let line = format!("{major}:{minor} {}", 1 << 20);
        for (name, file, expected) in [
            ("cpu", "cpu.shares", shares),
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("blkio", "blkio.throttle.read_bps_device", &line),
            ("blkio", "blkio.bfq.weight", "80"),
        ] {
            if has_weights || file != "blkio.bfq.weight" {
                let found = value(&folder_of(container.pid(), name), file);
                assert_eq!(found, expected, "{file}, {when}");
            }
        }
        assert_eq!(properties(&unit(&container))["CPUShares"], shares, "{when}");
    };
    holds("512", "at first");
    rewrite(&container);
    holds("512", "after a reload");
    let _ = container.call("update", &["--cpu-share", "3000"]).succeeded();
    holds("3000", "after an update");
    rewrite(&container);
    holds("3000", "after both");
}
