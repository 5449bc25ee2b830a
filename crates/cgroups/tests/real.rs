//! The crate on this machine's own cgroups, below names that nobody else has.
//!
//! It takes root, cgroups that may be made, and hierarchies of v1 or v2: a test that lacks what it
//! needs prints `SKIPPED` on stderr, past the harness, which would show it as passed only.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use cgroups::{Cgroup, Host};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use sys::nix::fcntl::{OFlag, openat};
use sys::nix::libc::{SIGKILL, SIGTERM};
use sys::nix::poll::{PollTimeout, poll};
use sys::nix::sys::stat::{Mode, mkdirat};

/// A container's cgroups, which are gone with this however the test ends.
struct Container {
    name: String,
    cgroup: Cgroup,
}

impl Container {
    /// At `path`, in which `NAME` stands for a name of its own; `None` where no cgroup can be made.
    fn at(path: &str) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rind-test-{}-{number}", std::process::id());
        let path = path.replace("NAME", &name);
        let host = Host::detect().unwrap();
        let cgroup = Cgroup::locate(&host, Some(Path::new(&path)), &name, false).unwrap();
        let mut probe = Cgroup::locate(&host, Some(Path::new(&name)), &name, false).unwrap();
        if probe.make(None, &mut |_| Ok(())).is_err() || probe.joined().next().is_none() {
            skip("no cgroup can be made here");
            return None;
        }
        probe.remove().unwrap();
        Some(Self { name, cgroup })
    }

    fn make(&mut self, resources: &Value) -> cgroups::Result<()> {
        let resources = of(resources);
        self.cgroup.make(Some(&resources), &mut |_| Ok(()))?;
        self.cgroup.apply(Some(&resources)).map(drop)
    }

    /// Changes the cgroup as the state file has it: a host of another kind.
    fn edit(&mut self, edit: impl FnOnce(&mut Vec<Value>)) {
        let mut cgroup = serde_json::to_value(&self.cgroup).unwrap();
        edit(cgroup["hierarchies"].as_array_mut().unwrap());
        self.cgroup = serde_json::from_value(cgroup).unwrap();
    }

    /// Only the v1 hierarchies, or only the v2 one.
    fn reduce(&mut self, v1: bool) {
        self.edit(|all| all.retain(|one| v1 != (one["controllers"] == json!([]))));
    }

    fn directories(&self) -> Vec<PathBuf> {
        self.cgroup.joined().map(|one| one.directory().into()).collect()
    }

    /// The directory in the hierarchy of `controller`; v2's without a name.
    fn directory(&self, controller: &str) -> PathBuf {
        let has = |one: &&cgroups::Hierarchy| match controller {
            "" => one.is_unified(),
            _ => one.controllers.iter().any(|found| found == controller),
        };
        let found = self.cgroup.joined().find(has);
        found.unwrap_or_else(|| panic!("no {controller}")).directory().into()
    }

    fn value(&self, controller: &str, file: &str) -> String {
        let path = self.directory(controller).join(file);
        fs::read_to_string(path).unwrap().trim_end().to_owned()
    }

    /// Runs `script` in the cgroups, and waits for it to say that it is.
    fn run(&self, below: &str, script: &str) -> Child {
        let enter = |one: PathBuf| format!("echo 0 > {}/cgroup.procs;", one.join(below).display());
        let enter: String = self.directories().into_iter().map(enter).collect();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{enter} echo in; {script}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        child
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.cgroup.thaw();
        let _ = self.cgroup.remove();
    }
}

/// Says that the running test did not run to its end. The harness keeps `eprintln!` to itself.
fn skip(reason: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or_default();
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED {test}: {reason}").unwrap();
}

fn of(resources: &Value) -> LinuxResources {
    serde_json::from_value(resources.clone()).unwrap()
}

/// Every cgroup of the machine whose path contains `name`.
fn named(name: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), name, found);
                if entry.path().to_string_lossy().contains(name) {
                    found.push(entry.path());
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), name, &mut found);
    found
}

/// The signal that ended a child.
fn ended_by(mut child: Child) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap())
}

fn is_hybrid(container: &Container) -> bool {
    let hybrid = container.cgroup.joined().any(|one| one.controllers == ["memory"]);
    if !hybrid {
        skip("the host has no v1 hierarchies");
    }
    hybrid
}

#[test]
fn limits_of_v1_are_in_the_kernels_files() {
    let Some(mut container) = Container::at("/NAME") else { return };
    let resources = json!({
        "memory": { "limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20, "swappiness": 7,
            "disableOOMKiller": true, "useHierarchy": true, "kernel": -1, "kernelTCP": 1 << 24 },
        "cpu": { "shares": 512, "quota": 20_000, "period": 50_000, "burst": 10_000, "idle": 0,
            "cpus": "0", "mems": "0" },
        "pids": { "limit": 0 },
        "blockIO": { "weight": 0 },
    });
    container.make(&resources).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.swappiness", "7"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpu", "cpu.cfs_burst_us", "10000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "0"),
    ] {
        assert_eq!(container.value(controller, file), value, "{file}");
    }
    assert!(container.value("memory", "memory.oom_control").starts_with("oom_kill_disable 1"));
    container.cgroup.remove().unwrap();
    assert_eq!(named(&container.name), [] as [&Path; 0]);
}

#[test]
fn limits_of_v2_are_in_the_kernels_files() {
    let Some(mut container) = Container::at("/NAME/middle/inner") else { return };
    if !Host::detect().unwrap().is_pure_v2() {
        skip("the host has v1 hierarchies");
        return;
    }
    let resources = json!({
        "memory": { "limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20, "swappiness": 7,
            "disableOOMKiller": true, "kernel": -1, "kernelTCP": 1 << 24 },
        "cpu": { "shares": 1024, "quota": 20_000, "period": 50_000, "burst": 10_000, "idle": 0,
            "cpus": "0", "mems": "0" },
        "pids": { "limit": 77 },
        "blockIO": { "weight": 500 },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }],
        "unified": { "memory.high": "50000000", "pids.max": "55", "cgroup.max.depth": "7" },
    });
    container.make(&resources).unwrap();
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("memory.high", "49999872"),
        ("cpu.weight", "100"),
        ("cpu.max", "20000 50000"),
        ("cpu.max.burst", "10000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "55"),
        ("hugetlb.2MB.max", "4194304"),
        ("cgroup.max.depth", "7"),
    ] {
        let found = fs::read_to_string(container.directory("").join(file)).unwrap();
        assert_eq!(found.trim_end(), value, "{file}");
    }
    assert!(!container.directory("").join("rdma.max").exists(), "only what is needed");
    let raised = json!({ "memory": { "limit": 512 << 20, "swap": 512 << 20 },
        "cpu": { "quota": 5_000, "burst": 2_000 }, "rdma": {} });
    container.cgroup.update(&of(&raised), None, None).unwrap();
    assert_eq!(container.value("", "memory.swap.max"), "0");
    assert_eq!(container.value("", "cpu.max"), "5000 50000", "the period stays");
    let refused =
        container.cgroup.update(&of(&json!({ "unified": { "no.such": "1" } })), None, None);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("linux.resources.unified.no.such: writing 1 to /"), "{refused}");
    let child = container.run("", "exec sleep 1000");
    let stats = serde_json::to_value(container.cgroup.stats().unwrap()).unwrap();
    assert_eq!(stats["pids"], json!({ "current": 1, "limit": 55 }));
    assert_eq!(stats["memory"]["usage"]["limit"], 512 << 20);
    assert!(stats["cpu"]["usage"]["total"].as_u64() > Some(0));
    container.cgroup.delegate(sys::credentials::Uid::new(65534).unwrap()).unwrap();
    container.cgroup.remove().unwrap();
    assert_eq!(ended_by(child), Some(SIGKILL));
    assert_eq!(named(&container.name), [] as [&Path; 0]);
}

#[test]
fn limits_can_be_raised_and_lowered_whatever_they_bound() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.make(&json!({})).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    for (limit, quota) in [(64, 20_000), (512, 80_000), (8, 5_000)] {
        let resources = json!({
            "memory": { "limit": limit << 20, "swap": limit << 20 },
            "cpu": { "quota": quota, "period": 100_000, "burst": quota / 2 },
        });
        container.cgroup.update(&of(&resources), None, None).unwrap();
        let bytes = (limit << 20).to_string();
        assert_eq!(container.value("memory", "memory.limit_in_bytes"), bytes);
        assert_eq!(container.value("memory", "memory.memsw.limit_in_bytes"), bytes);
        assert_eq!(container.value("cpu", "cpu.cfs_quota_us"), quota.to_string());
        assert_eq!(container.value("cpu", "cpu.cfs_burst_us"), (quota / 2).to_string());
    }
    let unlimited = json!({ "memory": { "limit": -1 } });
    container.cgroup.update(&of(&unlimited), None, None).unwrap();
    let lines = container.value("devices", "devices.list").lines().count();
    assert_eq!(lines, 10, "an update leaves the device rules");
}

#[test]
fn a_refused_update_changes_nothing() {
    let Some(mut container) = Container::at("/NAME") else { return };
    let before = json!({ "memory": { "limit": 64 << 20, "swap": 64 << 20 },
        "cpu": { "shares": 512, "cpus": "0" }, "pids": { "limit": 9 } });
    container.make(&before).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    let files = [
        ("memory", "memory.limit_in_bytes", (64 << 20).to_string()),
        ("memory", "memory.memsw.limit_in_bytes", (64 << 20).to_string()),
        ("memory", "memory.oom_control", "oom_kill_disable 0".to_owned()),
        ("cpu", "cpu.shares", "512".to_owned()),
        ("cpuset", "cpuset.cpus", "0".to_owned()),
        ("pids", "pids.max", "9".to_owned()),
    ];
    // The last to be written has no processor of this number, or no device, or no such rules.
    for last in [
        json!({ "cpu": { "shares": 2, "cpus": "9999" } }),
        json!({ "pids": { "limit": 5 }, "cpu": { "shares": 2 },
            "blockIO": { "throttleReadBpsDevice": [{ "major": 999, "minor": 9, "rate": 1 }] } }),
        json!({ "pids": { "limit": 5 }, "devices": [{ "allow": true, "access": "x" }] }),
    ] {
        for limit in [8 << 20, 512 << 20] {
            let mut asked = last.clone();
            asked["memory"] = json!({ "limit": limit, "swap": limit, "disableOOMKiller": true });
            let refused = container.cgroup.update(&of(&asked), None, None);
            let refused = refused.unwrap_err().to_string();
            assert!(!refused.contains("not set back"), "{refused}");
            for (controller, file, value) in &files {
                let found = container.value(controller, file);
                assert_eq!(found.lines().next(), Some(&**value), "{file}: {refused}");
            }
        }
    }
}

/// v1's list is never emptied meanwhile: a container that uses a device goes on using it.
#[test]
fn device_rules_are_replaced_while_devices_are_used() {
    let Some(mut container) = Container::at("/NAME") else { return };
    let rule = |minor, access: &str| json!({ "allow": true, "type": "c", "major": 10, "minor": minor, "access": access });
    container.make(&json!({ "devices": [rule(237, "rw"), rule(7, "r")] })).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    let lines = |container: &Container| -> Vec<String> {
        let text = container.value("devices", "devices.list");
        text.lines().filter(|line| line.starts_with("c 10:")).map(str::to_owned).collect()
    };
    let script = "while echo x 2> /dev/null > /dev/null; do :; done; echo stopped";
    let mut child = container.run("", script);
    for round in 0..50 {
        let access = if round % 2 == 0 { "r" } else { "wm" };
        let asked = json!({ "devices": [rule(237, access), rule(8, "rwm")] });
        container.cgroup.update(&of(&asked), None, None).unwrap();
        assert_eq!(lines(&container), [format!("c 10:237 {access}"), "c 10:8 rwm".to_owned()]);
    }
    assert!(child.try_wait().unwrap().is_none(), "it was denied /dev/null");
    container.cgroup.signal_all(SIGKILL, || Ok(())).unwrap();
    assert_eq!(ended_by(child), Some(SIGKILL));
    let all = json!({ "devices": [{ "allow": true }] });
    container.cgroup.update(&of(&all), None, None).unwrap();
    assert_eq!(container.value("devices", "devices.list"), "a *:* rwm");
    container.cgroup.update(&of(&json!({ "devices": [] })), None, None).unwrap();
    assert_eq!(container.value("devices", "devices.list").lines().count(), 10);
}

#[test]
fn the_oom_killer_is_told_of() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.make(&json!({ "memory": { "limit": 8 << 20, "swap": 8 << 20 } })).unwrap();
    let Some(mut watch) = container.cgroup.watch_oom().unwrap() else {
        skip("no memory controller");
        return;
    };
    assert_eq!(watch.has_struck().unwrap(), Some(false));
    let child = container.run("", r"x=$(head -c 64000000 /dev/zero | tr '\0' x)");
    loop {
        assert_eq!(poll(&mut [watch.interest()], PollTimeout::from(20_000_u16)), Ok(1));
        // v2 also tells that the limit was reached.
        match watch.has_struck().unwrap() {
            Some(true) => break,
            other => assert_eq!(other, Some(false)),
        }
    }
    assert_eq!(ended_by(child), Some(SIGKILL));
    container.cgroup.remove().unwrap();
    assert_eq!(poll(&mut [watch.interest()], PollTimeout::from(20_000_u16)), Ok(1));
    assert_eq!(watch.has_struck().unwrap(), None);
}

#[test]
fn what_the_kernel_refuses_names_file_and_value() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.make(&json!({})).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    for (resources, parts) in [
        (
            json!({ "cpu": { "cpus": "4000" } }),
            ["linux.resources.cpu.cpus: ", "4000", "cpuset.cpus"],
        ),
        (
            json!({ "cpu": { "quota": 1, "period": 100_000 } }),
            ["linux.resources.cpu.quota: ", "writing 1 ", "cpu.cfs_quota_us"],
        ),
        (
            json!({ "memory": { "limit": 1, "checkBeforeUpdate": true, "swap": 1 } }),
            ["", "", "memory"],
        ),
        (
            json!({ "network": { "classID": 5 } }),
            ["linux.resources.network.classID", "", "net_cls"],
        ),
        (json!({ "unified": { "memory.high": "5" } }), ["linux.resources.unified", "", "memory"]),
        (
            json!({ "rdma": { "x": { "hcaHandles": 5 } } }),
            ["linux.resources.rdma.x: ", "", "rdma.max"],
        ),
    ] {
        match container.cgroup.update(&of(&resources), None, None) {
            Err(error) => {
                let text = error.to_string();
                assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            }
            // An empty cgroup uses nothing, so that any limit is above.
            Ok(()) => assert_eq!(parts[2], "memory"),
        }
    }
}

#[test]
fn a_limit_below_what_is_used_is_rejected() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.make(&json!({})).unwrap();
    let child = container.run("", "x=$(head -c 2000000 /dev/zero | tr '\\0' x); sleep 1000");
    let (controller, file) = if Host::detect().unwrap().is_pure_v2() {
        ("", "memory.current")
    } else {
        ("memory", "memory.usage_in_bytes")
    };
    let file = container.directory(controller).join(file);
    while fs::read_to_string(&file).unwrap().trim().parse::<u64>().unwrap() < 1_000_000 {
        std::thread::yield_now();
    }
    let resources = json!({ "memory": { "limit": 4096, "checkBeforeUpdate": true } });
    let error = container.cgroup.update(&of(&resources), None, None).unwrap_err().to_string();
    assert!(error.contains("rejecting memory limit 4096 <= usage"), "{error}");
    let resources = json!({ "memory": { "limit": 4096, "swap": 8192, "checkBeforeUpdate": true } });
    let error = container.cgroup.update(&of(&resources), None, None).unwrap_err().to_string();
    assert!(error.contains("rejecting memory+swap limit 8192 <= usage"), "{error}");
    container.cgroup.remove().unwrap();
    assert_eq!(ended_by(child), Some(SIGKILL));
}

#[test]
fn device_rules_are_listed_in_order() {
    let Some(mut container) = Container::at("/NAME") else { return };
    let rules = json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 222, "minor": 9, "access": "rw" },
        { "allow": true, "type": "b", "major": 8, "minor": 0, "access": "rm" },
    ] });
    container.make(&rules).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    let expected = "c 222:9 rw\nb 8:0 rm\nc *:* m\nb *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\n\
                    c 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:2 rwm\nc 136:* rwm";
    assert_eq!(container.value("devices", "devices.list"), expected);
    let all = json!({ "devices": [{ "allow": true, "access": "rwm" }] });
    container.cgroup.apply(Some(&of(&all))).unwrap();
    assert_eq!(container.value("devices", "devices.list"), "a *:* rwm");
    container.cgroup.apply(None).unwrap();
    assert_eq!(container.value("devices", "devices.list").lines().count(), 10);
}

/// v2's filter works on the v2 hierarchy of a hybrid host too.
#[test]
fn a_device_filter_is_kept_to_and_can_be_replaced() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.reduce(false);
    let rule = |allow, access: &str| json!({ "allow": allow, "type": "c", "major": 10, "minor": 237, "access": access });
    container.make(&json!({ "devices": [rule(true, "rwm"), rule(false, "w")] })).unwrap();
    let node = std::env::temp_dir().join(&container.name);
    let node = node.display();
    let script = format!(
        "mknod {node} c 10 237 && echo made; (exec 3< {node}) 2> /dev/null && echo read; \
         (exec 3> {node}) 2> /dev/null && echo written; rm -f {node}"
    );
    let answer = || {
        let mut child = container.run("", &script);
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        text
    };
    if !fs::read_to_string("/proc/misc").unwrap().contains("237 loop-control") {
        skip("the kernel has no loop devices");
        return;
    }
    assert_eq!(answer(), "made\nread\n");
    container.cgroup.apply(Some(&of(&json!({ "devices": [rule(true, "w")] })))).unwrap();
    assert_eq!(answer(), "made\nwritten\n", "replaced");
    container.cgroup.apply(None).unwrap();
    assert_eq!(answer(), "made\n");
    let update = |resources| container.cgroup.update(&of(&resources), None, None);
    update(json!({ "devices": [rule(true, "r")] })).unwrap();
    assert_eq!(answer(), "made\nread\n", "updated");
    update(json!({})).unwrap();
    assert_eq!(answer(), "made\nread\n", "left alone");
}

#[test]
fn processes_enter_by_writing_zero() {
    let Some(mut container) = Container::at("/NAME/inner") else { return };
    container.make(&json!({})).unwrap();
    let v1 = container.cgroup.joined().filter(|one| !one.is_unified()).count();
    assert_eq!(container.cgroup.entry_files().unwrap().len(), v1);
    let unified = container.cgroup.joined().any(cgroups::Hierarchy::is_unified);
    assert_eq!(container.cgroup.unified_directory().unwrap().is_some(), unified);
    let child = container.run("", "exec sleep 1000");
    assert_eq!(container.cgroup.processes().unwrap(), [child.id().cast_signed()]);
    container.cgroup.signal_all(SIGTERM, || Ok(())).unwrap();
    assert_eq!(ended_by(child), Some(SIGTERM));
    assert_eq!(container.cgroup.processes().unwrap(), [] as [i32; 0]);
}

#[test]
fn what_the_container_made_and_runs_goes_with_it() {
    let Some(mut container) = Container::at("/NAME/a/b") else { return };
    container.make(&json!({})).unwrap();
    for directory in container.directories() {
        fs::create_dir_all(directory.join("one/two/three")).unwrap();
        fs::create_dir(directory.join("other")).unwrap();
        for below in ["one", "one/two"] {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let path = directory.join(below).join(file);
                if path.exists() {
                    fs::write(path, "0").unwrap();
                }
            }
        }
    }
    let children = [
        container.run("one/two", "exec sleep 1000"),
        container.run("one", "exec sleep 1000"),
        container.run("", "trap '' TERM; while :; do sleep 1000; done"),
    ];
    assert!(container.cgroup.processes().unwrap().len() >= 3);
    container.cgroup.remove().unwrap();
    assert_eq!(named(&container.name), [] as [&Path; 0]);
    for child in children {
        assert_eq!(ended_by(child), Some(SIGKILL));
    }
    container.cgroup.remove().unwrap();
}

/// A path to them would be too long to open.
#[test]
fn cgroups_nested_more_deeply_than_a_path_can_name_are_removed() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.make(&json!({})).unwrap();
    let top = container.directories().pop().unwrap();
    let name = "n".repeat(200);
    let mut here: OwnedFd = fs::File::open(&top).unwrap().into();
    for _ in 0..30 {
        mkdirat(&here, &*name, Mode::S_IRWXU).unwrap();
        here = openat(&here, &*name, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    container.cgroup.remove().unwrap();
    assert!(!top.exists());
}

/// On v1 nothing but signals kills, and a process that forks faster than it's killed is stopped
/// first.
#[test]
fn processes_that_fork_on_are_killed() {
    let Some(mut container) = Container::at("/NAME") else { return };
    container.reduce(true);
    if container.cgroup == Cgroup::default() {
        skip("the host has no such hierarchy");
        return;
    }
    container.make(&json!({ "pids": { "limit": 64 } })).unwrap();
    let bomb = "f() { while :; do f & done; }; f & f & exec sleep 1000";
    let child = container.run("", &format!("exec 2> /dev/null; {bomb}"));
    container.cgroup.signal_all(SIGKILL, || Ok(())).unwrap();
    assert_eq!(container.cgroup.processes().unwrap(), [] as [i32; 0]);
    assert_eq!(ended_by(child), Some(SIGKILL));
    assert!(!container.cgroup.is_frozen().unwrap());
}

#[test]
fn frozen_processes_go_on_or_die() {
    for v1 in [true, false] {
        let Some(mut container) = Container::at("/NAME") else { return };
        container.reduce(v1);
        if container.cgroup == Cgroup::default() {
            skip("the host has no such hierarchy");
            continue;
        }
        container.make(&json!({})).unwrap();
        let child = container.run("", "exec sleep 1000");
        assert!(!container.cgroup.is_frozen().unwrap());
        container.cgroup.freeze(None).unwrap();
        assert!(container.cgroup.is_frozen().unwrap());
        container.cgroup.thaw().unwrap();
        assert!(!container.cgroup.is_frozen().unwrap());
        container.cgroup.freeze(None).unwrap();
        container.cgroup.signal_all(SIGKILL, || Ok(())).unwrap();
        assert_eq!(ended_by(child), Some(SIGKILL));
        container.cgroup.remove().unwrap();
        assert!(!container.cgroup.is_frozen().unwrap(), "of none");
    }
}

#[test]
fn an_empty_cgroup_is_taken_emptied_and_left() {
    let Some(mut owner) = Container::at("/NAME/parent") else { return };
    owner.make(&json!({})).unwrap();
    let path = format!("/{}/parent", owner.name);
    let mut taker = Container::at(&path).unwrap();
    taker.make(&json!({})).unwrap();
    for directory in taker.directories() {
        fs::create_dir(directory.join("made-by-the-taker")).unwrap();
    }
    let child = taker.run("", "exec sleep 1000");
    taker.cgroup.remove().unwrap();
    assert_eq!(ended_by(child), Some(SIGKILL));
    for directory in owner.directories() {
        assert!(directory.exists() && !directory.join("made-by-the-taker").exists());
    }
    // One below it leaves it as well.
    let mut below = Container::at(&format!("{path}/below")).unwrap();
    below.make(&json!({})).unwrap();
    below.cgroup.remove().unwrap();
    assert!(owner.directories().iter().all(|directory| directory.exists()));
    let name = owner.name.clone();
    drop(owner);
    assert_eq!(named(&name), [] as [&Path; 0]);
}

#[test]
fn parents_in_use_by_another_are_left_to_it() {
    let Some(mut first) = Container::at("/NAME/first") else { return };
    first.make(&json!({})).unwrap();
    let mut second = Container::at(&format!("/{}/second", first.name)).unwrap();
    second.make(&json!({})).unwrap();
    first.cgroup.remove().unwrap();
    assert!(second.directories().iter().all(|directory| directory.exists()));
    second.cgroup.remove().unwrap();
    let left = named(&first.name);
    for folder in &left {
        fs::remove_dir(folder).unwrap();
    }
    assert_eq!(left.len(), second.cgroup.joined().count(), "the parents alone");
}

#[test]
fn used_and_frozen_cgroups_are_refused_and_left() {
    let Some(mut owner) = Container::at("/NAME/used") else { return };
    owner.make(&json!({})).unwrap();
    let child = owner.run("", "exec sleep 1000");
    let mut other = Container::at(&format!("/{}/used", owner.name)).unwrap();
    let refused = other.make(&json!({})).unwrap_err().to_string();
    assert!(refused.contains("container's cgroup is not empty"), "{refused}");
    assert_eq!(other.directories(), [] as [&Path; 0]);
    assert_eq!(owner.cgroup.processes().unwrap(), [child.id().cast_signed()]);

    owner.cgroup.freeze(None).unwrap();
    let before = named(&owner.name);
    // Below a frozen one everything is.
    let mut below = Container::at(&format!("/{}/used/a/b", owner.name)).unwrap();
    let refused = below.make(&json!({})).unwrap_err().to_string();
    assert!(refused.contains("container's cgroup unexpectedly frozen"), "{refused}");
    assert_eq!(named(&owner.name), before, "what was made is removed");
    owner.cgroup.remove().unwrap();
    assert_eq!(ended_by(child), Some(SIGKILL));
}

/// As systemd and others make them for their own purposes, which leaves a cpuset that lets no
/// process in.
#[test]
fn an_empty_cpuset_is_filled_from_above() {
    let Some(mut owner) = Container::at("/NAME/own") else { return };
    owner.edit(|all| all.retain(|one| one["controllers"] == json!(["cpuset"])));
    if owner.cgroup == Cgroup::default() {
        skip("the host has no such hierarchy");
        return;
    }
    let name = owner.name.clone();
    let top = Path::new("/sys/fs/cgroup/cpuset").join(&name);
    fs::create_dir(&top).unwrap();
    for path in [format!("/{name}/one/two"), format!("/{name}")] {
        let mut container = Container::at(&path).unwrap();
        container.make(&json!({})).unwrap();
        let all = fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").unwrap();
        assert_eq!(container.value("cpuset", "cpuset.cpus"), all.trim_end());
        assert_eq!(fs::read_to_string(top.join("cpuset.cpus")).unwrap(), all);
        let child = container.run("", "exec sleep 1000");
        container.cgroup.remove().unwrap();
        assert_eq!(ended_by(child), Some(SIGKILL));
        assert!(top.exists());
        fs::write(top.join("cpuset.cpus"), "\n").unwrap();
    }
    fs::remove_dir(&top).unwrap();
}

#[test]
fn a_hierarchy_that_is_mounted_elsewhere_is_found() {
    let Some(mut container) = Container::at("/NAME/own") else { return };
    let mut points = Vec::new();
    container.edit(|all| {
        for one in all.iter_mut().filter(|one| one["controllers"] != json!([])) {
            points.push(one["mount"].as_str().unwrap().to_owned());
            one["mount"] = json!("/sys/fs/cgroup/elsewhere");
        }
    });
    container.make(&json!({})).unwrap();
    let v1 = container.cgroup.joined().filter(|one| !one.is_unified());
    let found: Vec<_> = v1.map(|one| one.mount.clone()).collect();
    assert_eq!(found, points);
}

#[test]
fn a_user_without_permissions_goes_without_cgroups() {
    let Some(container) = Container::at("/NAME") else { return };
    let name = &container.name;
    let host = Host::detect().unwrap();
    let rootless = |path: Option<&Path>| {
        let cgroup = Cgroup::locate(&host, path, name, true).unwrap();
        let mut cgroup = serde_json::to_value(&cgroup).unwrap();
        for one in cgroup["hierarchies"].as_array_mut().unwrap() {
            // Nobody may make a directory here, not even root.
            (one["mount"], one["base"]) = (json!("/sys"), json!(""));
        }
        serde_json::from_value::<Cgroup>(cgroup).unwrap()
    };
    let mut cgroup = rootless(None);
    let asked = of(&json!({ "pids": { "limit": 5 } }));
    cgroup.make(Some(&asked), &mut |_| Ok(())).unwrap();
    assert_eq!(cgroup.joined().count(), 0);
    let lost = cgroup.apply(Some(&asked)).unwrap();
    let text = "cannot set pids limit: container could not join or create cgroup";
    assert!(matches!(&lost[..], [one] if one.contains(text)), "{lost:?}");
    assert!(cgroup.apply(None).unwrap().is_empty());
    cgroup.remove().unwrap();
    let mut cgroup = rootless(Some(Path::new(name)));
    let refused = cgroup.make(None, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(refused.starts_with("making the cgroup /sys/"), "{refused}");
}

#[test]
fn a_refused_limit_makes_nothing() {
    let Some(mut container) = Container::at("/NAME") else { return };
    for resources in [
        json!({ "memory": { "limit": 1 << 20, "swappiness": 101 } }),
        json!({ "unified": { "../cgroup.procs": "1" } }),
    ] {
        let error = container.make(&resources).unwrap_err().to_string();
        assert!(error.starts_with("linux.resources."), "{error}");
        assert_eq!(named(&container.name), [] as [&Path; 0]);
    }
}

#[test]
fn statistics_are_of_the_container() {
    let Some(mut container) = Container::at("/NAME/inner") else { return };
    container.make(&json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 9 } })).unwrap();
    if !is_hybrid(&container) {
        return;
    }
    let child = container.run("", "i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done; sleep 1000");
    while container.cgroup.processes().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    let stats = serde_json::to_value(container.cgroup.stats().unwrap()).unwrap();
    assert_eq!(stats["pids"], json!({ "current": 2, "limit": 9 }));
    assert_eq!(stats["memory"]["usage"]["limit"], 64 << 20);
    let number = |value: &Value| value.as_u64().unwrap();
    assert!(number(&stats["memory"]["usage"]["usage"]) > 4096);
    assert!(number(&stats["memory"]["swap"]["limit"]) > 64 << 20);
    assert!(stats["memory"]["raw"]["total_rss"].is_number());
    let usage = &stats["cpu"]["usage"];
    assert!(number(&usage["total"]) > 100_000, "nanoseconds");
    let each: u64 = usage["percpu"].as_array().unwrap().iter().map(number).sum();
    assert!(each >= number(&usage["total"]), "read later");
    container.cgroup.remove().unwrap();
    assert_eq!(ended_by(child), Some(SIGKILL));
}

#[test]
fn none_at_all_is_no_error() {
    let mut cgroup = Cgroup::disabled();
    let resources = of(&json!({ "pids": { "limit": 5 } }));
    cgroup.make(Some(&resources), &mut |_| Ok(())).unwrap();
    cgroup.apply(Some(&resources)).unwrap();
    assert_eq!(cgroup.entry_files().unwrap().len(), 0);
    assert!(cgroup.unified_directory().unwrap().is_none());
    assert!(!cgroup.is_frozen().unwrap());
    assert!(cgroup.freeze(None).is_err());
    assert_eq!(cgroup.stats().unwrap(), cgroups::Stats::default());
    cgroup.signal_all(SIGKILL, || Ok(())).unwrap();
    cgroup.remove().unwrap();
}
