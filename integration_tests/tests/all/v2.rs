//! cgroup v2 as the only version: limits that are read back from the kernel and seen to hold, and
//! what containers do to their own cgroups.

use crate::rootless::{self, USER};
use integration_tests::bundle::push;
use integration_tests::cgroup::{self, folder_of, is_systemds, is_unified, value};
use integration_tests::command::{self, Output, Running};
use integration_tests::host::{is_alive, needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use sys::bpf::attached_device_filters;
use sys::nix::sys::stat::{major, minor};

pub const TESTS: &[Test] = tests![
    options_of_the_hosts_hierarchy_stay,
    memory_and_swap_are_limited_apart,
    memory_that_is_used_up_kills_init,
    memory_that_is_used_up_by_a_run_is_137,
    memory_that_is_too_little_to_start_is_named,
    peak_and_pressure_are_told,
    pids_limit_forbids_forks,
    quota_throttles,
    weight_idle_and_burst_are_set,
    processors_are_kept_to,
    rates_of_devices_are_kept_to,
    rates_by_unified_are_set,
    weights_of_devices_are_set,
    weights_of_a_disk_that_bfq_schedules_are_set,
    latency_is_set_or_refused,
    huge_pages_are_limited,
    huge_pages_are_limited_when_reserved,
    rdma_misc_and_dmem_are_set_or_refused,
    controllers_are_handed_down_as_needed,
    one_device_filter_is_attached,
    frozen_with_all_below,
    deaf_processes_in_nested_cgroups_are_killed,
    frozen_processes_are_killed,
    threaded_cgroups_of_the_container,
    cgroup_that_is_no_valid_domain_is_refused,
    cgroup_that_hands_controllers_down_is_refused,
    below_a_cgroup_with_processes,
    below_a_threaded_cgroup_is_refused,
    process_joins_init_where_only_cgroups_are,
    process_of_a_user_joins_init_where_only_cgroups_are,
    every_limit_is_updated,
    starts_in_half_a_mebibyte,
    executes_in_half_a_mebibyte,
    nobody_is_moved,
];

fn needs_v2() {
    if !is_unified() {
        skip("cgroup v2 is not the only version here");
    }
    if is_systemds() {
        skip("this is about cgroups that rind makes itself");
    }
}

fn with_resources(resources: Value) -> Bundle {
    needs_v2();
    Bundle::new().config(|config| {
        let all = config["linux"]["resources"].as_object_mut().unwrap();
        all.extend(resources.as_object().unwrap().clone());
    })
}

/// A container whose own cgroup, which it may write to, is what it sees as the root of all.
fn with_own_cgroups(bundle: Bundle) -> Bundle {
    let bundle = bundle.namespace("cgroup", None).without_mount("/sys/fs/cgroup");
    bundle.mount(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "rw"],
    }))
}

/// `nsdelegate` and the like are options of the whole hierarchy, and a mount in the host's cgroup
/// namespace sets them anew.
fn options_of_the_hosts_hierarchy_stay() {
    if !is_unified() {
        skip("cgroup v2 is not the only version here");
    }
    let options = || {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = table.lines().find(|line| line.contains(" /sys/fs/cgroup ")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let before = options();
    for kind in ["cgroup", "cgroup2"] {
        let mount = json!({
            "destination": "/sys/fs/cgroup", "type": kind, "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
        });
        let bundle = Bundle::new().without_namespace("cgroup").without_mount("/sys/fs/cgroup");
        let script = "cat /proc/self/mountinfo; cat /sys/fs/cgroup/cgroup.controllers";
        let output = bundle.mount(mount).script(script).run().succeeded();
        let is_there =
            |line: &&str| line.contains(" /sys/fs/cgroup ro,") && line.contains("cgroup2");
        assert!(output.stdout.lines().any(|line| is_there(&line)), "{output:#?}");
        assert_eq!(options(), before, "{kind}");
    }
}

/// One that runs a script and then says "done".
fn scripted(bundle: Bundle, script: &str) -> Container {
    let script = format!("set -e; {script}\necho done; exec sleep 1000");
    let container = Container::created(bundle.script(&script));
    container.start();
    wait_for("the script", || {
        assert_eq!(container.complained(), "");
        container.said().contains("done\n")
    });
    container
}

fn folder(container: &Container) -> PathBuf {
    folder_of(container.pid(), "memory")
}

/// The value of `key` in a file of lines `key value`.
fn count(folder: &Path, file: &str, key: &str) -> u64 {
    let text = value(folder, file);
    let found = text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == key);
    found.unwrap_or_else(|| panic!("no {key} in {text}")).1.parse().unwrap()
}

/// Compares files of the container's cgroup. Those that this kernel lacks are left out.
#[track_caller]
fn compare(container: &Container, expected: &[(&str, &str)]) {
    let folder = folder(container);
    for (file, wanted) in expected.iter().filter(|(file, _)| folder.join(file).exists()) {
        assert_eq!(value(&folder, file), *wanted, "{file}");
    }
}

/// The event `stats` of now.
fn stats(container: &Container) -> Value {
    let output = container.call("events", &["--stats"]).succeeded();
    output.json()["data"].take()
}

fn update_by(container: &Container, resources: &Value) -> Output {
    let file = container.bundle().folder().join("resources.json");
    fs::write(&file, resources.to_string()).unwrap();
    let mut command = container.command_for("update", &["--resources=-"]);
    command.stdin(File::open(&file).unwrap());
    command::spawn_reading(command).wait()
}

fn memory_and_swap_are_limited_apart() {
    for (memory, expected) in [
        (
            json!({ "limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20 }),
            ["67108864", "33554432", "33554432"],
        ),
        (json!({ "limit": 64 << 20, "swap": 64 << 20 }), ["67108864", "0", "0"]),
        (json!({ "limit": 64 << 20, "swap": -1 }), ["67108864", "max", "0"]),
        (json!({ "limit": 64 << 20 }), ["67108864", "max", "0"]),
        (json!({ "limit": -1, "reservation": -1 }), ["max", "max", "max"]),
    ] {
        let container = Container::created(with_resources(json!({ "memory": memory })));
        let [limit, swap, low] = expected;
        let files = [("memory.max", limit), ("memory.swap.max", swap), ("memory.low", low)];
        compare(&container, &files);
        container.delete();
    }
    with_resources(json!({ "memory": { "swap": 96 << 20 } }))
        .refused("linux.resources.memory.swap");
    let less = json!({ "memory": { "limit": 64 << 20, "swap": 32 << 20 } });
    with_resources(less).refused("linux.resources.memory.swap");
}

/// 16 MiB, and not a byte of swap.
fn little() -> Value {
    json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } })
}

fn memory_that_is_used_up_kills_init() {
    let container = Container::created(with_resources(little()).probing(&["touch", "64"]));
    let folder = folder(&container);
    let watching = command::spawn(container.command_for("events", &["--interval", "50ms"]));
    wait_for("an event", || watching.stdout().contains('\n'));
    container.start();
    container.wait_stopped();
    assert!(count(&folder, "memory.events", "oom_kill") >= 1);
    let output = watching.wait().succeeded();
    let oom = format!(r#"{{"type":"oom","id":"{}"}}"#, container.id());
    assert!(output.stdout.lines().any(|line| line == oom), "{output:#?}");
    container.delete();
}

fn memory_that_is_used_up_by_a_run_is_137() {
    let output = with_resources(little()).probing(&["touch", "64"]).run();
    assert_eq!(output.code, 137, "{output:#?}");
}

/// Init is killed before it is the program.
fn memory_that_is_too_little_to_start_is_named() {
    for command in ["create", "run"] {
        let bundle = with_resources(json!({ "memory": { "limit": 4096, "swap": 4096 } }));
        let container = Container::new(bundle);
        let _ = container.call(command, &[]).failed_with(": OOM-killed (memory limit too low?)");
        container.assert_no_trace();
    }
}

fn peak_and_pressure_are_told() {
    let container = Container::running(with_resources(json!({ "memory": { "limit": 64 << 20 } })));
    let _ = container.exec(&[], &["/bin/probe", "touch", "8"]).succeeded();
    let folder = folder(&container);
    let stats = stats(&container);
    let usage = &stats["memory"]["usage"];
    assert_eq!(usage["limit"], 64 << 20);
    if folder.join("memory.peak").exists() {
        let peak: u64 = value(&folder, "memory.peak").parse().unwrap();
        assert!(peak >= 8 << 20, "{peak}");
        assert_eq!(usage["max"], peak);
    }
    for (section, file) in
        [("cpu", "cpu.pressure"), ("memory", "memory.pressure"), ("blkio", "io.pressure")]
    {
        // It may be turned off by the kernel's command line, and then can't be read.
        let Ok(text) = fs::read_to_string(folder.join(file)) else { continue };
        let total = |kind: &str| {
            let line = text.lines().find(|line| line.starts_with(kind)).unwrap_or("total=0");
            line.split_once("total=").unwrap().1.parse::<u64>().unwrap()
        };
        for kind in ["some", "full"] {
            let told = &stats[section]["psi"][kind];
            assert!(told["avg10"].is_number(), "{section}: {}", stats[section]);
            assert!(told["total"].as_u64().unwrap() <= total(kind), "{section}: {told}, {text}");
        }
    }
}

fn pids_limit_forbids_forks() {
    let bundle = with_resources(json!({ "pids": { "limit": 3 } }));
    let container = Container::created(bundle.probing(&["with-children", "9"]));
    let folder = folder(&container);
    assert_eq!(value(&folder, "pids.max"), "3");
    container.start();
    container.wait_stopped();
    assert_eq!(container.report(), json!({ "started": 2, "refused": "EAGAIN" }));
    assert!(count(&folder, "pids.events", "max") >= 1);
}

fn quota_throttles() {
    let bundle = with_resources(json!({ "cpu": { "quota": 10_000, "period": 100_000 } }));
    let container = Container::created(bundle.probing(&["spin"]));
    compare(&container, &[("cpu.max", "10000 100000")]);
    container.start();
    let folder = folder(&container);
    wait_for("it to be throttled", || count(&folder, "cpu.stat", "nr_throttled") >= 3);
    let used = || count(&folder, "cpu.stat", "usage_usec");
    let (before, since) = (used(), Instant::now());
    std::thread::sleep(Duration::from_millis(500));
    let (share, time) = (used() - before, since.elapsed().as_micros());
    assert!(u128::from(share) < time / 4, "{share} of {time} microseconds");
    let throttling = &stats(&container)["cpu"]["throttling"];
    assert!(throttling["throttledPeriods"].as_u64() >= Some(3), "{throttling}");
    assert!(throttling["periods"].as_u64() >= throttling["throttledPeriods"].as_u64());
    assert!(throttling["throttledTime"].as_u64() > Some(1_000_000), "{throttling}");
}

fn weight_idle_and_burst_are_set() {
    let cpu = json!({ "shares": 2048, "quota": 20_000, "period": 50_000, "burst": 10_000 });
    let container = Container::created(with_resources(json!({ "cpu": cpu })));
    let files = [("cpu.weight", "174"), ("cpu.max", "20000 50000"), ("cpu.max.burst", "10000")];
    compare(&container, &files);
    container.delete();
    let container = Container::created(with_resources(json!({ "cpu": { "idle": 1 } })));
    compare(&container, &[("cpu.idle", "1")]);
    container.delete();
    let realtime = json!({ "cpu": { "realtimeRuntime": 1000, "realtimePeriod": 10_000 } });
    with_resources(realtime).refused("linux.resources.cpu.realtimeRuntime: cgroup v2 has no");
}

/// The processors that a process may run on.
fn processors(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

fn processors_are_kept_to() {
    let bundle = with_resources(json!({ "cpu": { "cpus": "0", "mems": "0" } }));
    let container = Container::running(bundle);
    let files = [("cpuset.cpus", "0"), ("cpuset.cpus.effective", "0"), ("cpuset.mems", "0")];
    compare(&container, &files);
    assert_eq!(processors(container.pid()), "0");
    assert_eq!(container.exec_report(&[])["processors"], "0");
    assert_eq!(stats(&container)["cpuset"]["cpus"], json!([0]));
    if std::thread::available_parallelism().is_ok_and(|count| count.get() > 1) {
        let _ = container.call("update", &["--cpuset-cpus", "1"]).succeeded();
        assert_eq!(processors(container.pid()), "1");
    }
}

/// A disk of this machine: its numbers.
pub fn disk() -> (u64, u64) {
    let names = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let found = names.filter(|entry| entry.path().join("device").exists()).find_map(|entry| {
        let numbers = fs::read_to_string(entry.path().join("dev")).ok()?;
        let (major, minor) = numbers.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    found.unwrap_or_else(|| skip("no disk to limit"))
}

/// Reads three mebibytes of a disk, past the page cache, of which it is given one a second.
fn rates_of_devices_are_kept_to() {
    let (major, minor) = disk();
    let rate = json!([{ "major": major, "minor": minor, "rate": 1 << 20 }]);
    let bundle = with_resources(json!({ "blockIO": { "throttleReadBpsDevice": rate } }));
    let bundle = bundle.config(|config| {
        let device = json!({ "path": "/dev/disk", "type": "b", "major": major, "minor": minor });
        push(&mut config["linux"]["devices"], device);
        let rule =
            json!({ "allow": true, "type": "b", "major": major, "minor": minor, "access": "r" });
        push(&mut config["linux"]["resources"]["devices"], rule);
    });
    let read =
        "/bin/busybox dd if=/dev/disk of=/dev/null bs=65536 count=48 iflag=direct 2>/dev/null";
    let container = Container::created(bundle.script(read));
    compare(
        &container,
        &[("io.max", &format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=max"))],
    );
    let folder = folder(&container);
    let since = Instant::now();
    container.start();
    container.wait_stopped();
    let line = value(&folder, "io.stat");
    assert!(line.contains("rbytes=3145728"), "{line}");
    assert!(since.elapsed() > Duration::from_secs(1), "{:?}", since.elapsed());
}

fn rates_by_unified_are_set() {
    needs_v2();
    let (major, minor) = disk();
    let lines = format!("{major}:{minor} rbps=2097152\n{major}:{minor} wiops=120\n");
    let unified = json!({ "unified": { "io.max": lines, "memory.high": "50000000" } });
    let container = Container::created(with_resources(unified));
    let expected = format!("{major}:{minor} rbps=2097152 wbps=max riops=max wiops=120");
    compare(&container, &[("io.max", &expected), ("memory.high", "49999872")]);
}

/// BFQ has weights of its own, and those of devices only for disks that it schedules.
fn weights_of_devices_are_set() {
    let container = Container::created(with_resources(json!({ "blockIO": { "weight": 500 } })));
    let top = folder(&container);
    match ["io.bfq.weight", "io.weight"].map(|file| top.join(file).exists()) {
        [true, _] => compare(&container, &[("io.bfq.weight", "default 500")]),
        [false, true] => compare(&container, &[("io.weight", "default 4950")]),
        _ => skip("this kernel has no weights for disks"),
    }
    let (major, minor) = disk();
    let weight = json!([{ "major": major, "minor": minor, "weight": 300 }]);
    let updated = update_by(&container, &json!({ "blockIO": { "weightDevice": weight } }));
    if updated.code == 0 {
        let [bfq, other] = ["io.bfq.weight", "io.weight"]
            .map(|file| fs::read_to_string(top.join(file)).unwrap_or_default());
        let [bfq_line, line] = [300, 2930].map(|weight| format!("{major}:{minor} {weight}\n"));
        assert!(bfq.contains(&bfq_line) || other.contains(&line), "{bfq}{other}");
    } else {
        let text = "the device's I/O scheduler has no weights: bfq has them";
        let _ = updated.failed_with(text);
    }
}

/// A file as a disk, by its numbers.
struct LoopDevice {
    path: String,
    numbers: (u64, u64),
}

impl LoopDevice {
    fn of(file: &Path) -> Self {
        let losetup = needs_program("losetup");
        File::create(file).unwrap().set_len(1 << 20).unwrap();
        let mut attach = Command::new(losetup);
        attach.args(["--find", "--show"]).arg(file);
        let path = command::run(attach).succeeded().stdout.trim().to_owned();
        let device = fs::metadata(&path).unwrap().rdev();
        Self { path, numbers: (major(device), minor(device)) }
    }

    /// Has it scheduled by BFQ, if this kernel has that now.
    fn schedule_by_bfq(&self) {
        let name = self.path.trim_start_matches("/dev/");
        let scheduler = Path::new("/sys/block").join(name).join("queue/scheduler");
        if !fs::read_to_string(&scheduler).unwrap().contains("bfq") {
            skip("BFQ is not loaded");
        }
        fs::write(scheduler, "bfq").unwrap();
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let mut detach = Command::new("losetup");
        detach.args(["--detach", &self.path]);
        let _ = detach.status();
    }
}

fn weights_of_a_disk_that_bfq_schedules_are_set() {
    let bundle = with_resources(json!({ "blockIO": { "weight": 500 } }));
    let disk = LoopDevice::of(&bundle.folder().join("disk"));
    disk.schedule_by_bfq();
    let (major, minor) = disk.numbers;
    let container = Container::created(bundle);
    let file = || value(&folder(&container), "io.bfq.weight");
    assert_eq!(file(), "default 500");
    let weight = json!([{ "major": major, "minor": minor, "weight": 300 }]);
    let resources = json!({ "blockIO": { "weight": 400, "weightDevice": weight } });
    let _ = update_by(&container, &resources).succeeded();
    assert_eq!(file(), format!("default 400\n{major}:{minor} 300"));
}

/// Files that may not be there: each value, and what the error says where it can't be.
#[track_caller]
fn set_or_refused(file: &str, line: &str, key: &str) {
    let container = Container::new(with_resources(json!({ "unified": { file: line } })));
    let created = container.call("create", &[]);
    if created.code == 0 {
        let text = value(&folder(&container), file);
        assert!(text.lines().any(|line| line.starts_with(key)), "{text}");
    } else {
        let _ = created.failed_with(&format!("linux.resources.unified.{file}: writing {line} to "));
        container.assert_no_trace();
    }
}

fn latency_is_set_or_refused() {
    needs_v2();
    let (major, minor) = disk();
    let line = format!("{major}:{minor} target=100");
    set_or_refused("io.latency", &line, &line);
}

fn rdma_misc_and_dmem_are_set_or_refused() {
    needs_v2();
    let first = |file: &str| {
        let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).unwrap_or_default();
        text.split_whitespace().next().unwrap_or("none").to_owned()
    };
    let misc = first("misc.capacity");
    set_or_refused("misc.max", &format!("{misc} 1"), &format!("{misc} 1"));
    let memory = first("dmem.capacity");
    set_or_refused("dmem.max", &format!("{memory} 4096"), &format!("{memory} 4096"));
    let device = fs::read_dir("/sys/class/infiniband").ok().and_then(|mut all| all.next());
    let device = device.map_or("none".into(), |found| found.unwrap().file_name());
    let device = device.to_string_lossy();
    let line = format!("{device} hca_handle=2");
    set_or_refused("rdma.max", &line, &line);
    let mut limits = serde_json::Map::new();
    limits.insert(device.to_string(), json!({ "hcaHandles": 3 }));
    let container = Container::new(with_resources(json!({ "rdma": limits })));
    let created = container.call("create", &[]);
    if created.code == 0 {
        let text = value(&folder(&container), "rdma.max");
        assert!(text.contains(&format!("{device} hca_handle=3")), "{text}");
    } else {
        let _ = created.failed_with(&format!("linux.resources.rdma.{device}: writing "));
    }
}

/// More huge pages of 2 MiB, for as long as this lives, for one test at a time.
struct HugePages {
    before: String,
    _alone: MutexGuard<'static, ()>,
}

impl HugePages {
    const FILE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

    fn reserve(more: u64) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || fs::read_to_string(Self::FILE).unwrap_or_else(|_| skip("no huge pages"));
        let number = |text: &str| text.trim().parse::<u64>().unwrap();
        let before = read();
        fs::write(Self::FILE, (number(&before) + more).to_string()).unwrap();
        let reserved = Self { before, _alone: alone };
        if number(&read()) < number(&reserved.before) + more {
            skip("no memory for huge pages");
        }
        reserved
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, &self.before);
    }
}

fn huge_pages_are_limited() {
    needs_v2();
    let _pages = HugePages::reserve(4);
    let limits = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] });
    let bundle = with_resources(limits).writable().mount(json!({
        "destination": "/huge", "type": "hugetlbfs", "source": "none", "options": ["pagesize=2M"],
    }));
    let script = "/bin/busybox fallocate -l 4194304 /huge/a && echo two; \
                  /bin/busybox fallocate -l 2097152 /huge/b 2>&1 || echo no third; exec sleep 1000";
    let container = Container::created(bundle.script(script));
    compare(&container, &[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")]);
    container.start();
    container.wait_line("no third");
    container.wait_line("two");
    assert_eq!(value(&folder(&container), "hugetlb.2MB.current"), "4194304");
    let pages = &stats(&container)["hugetlb"]["2MB"];
    assert!(pages["failcnt"].as_u64() >= Some(1), "{pages}");
    let more = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 6 << 20 }] });
    let _ = update_by(&container, &more).succeeded();
    let third = ["/bin/busybox", "fallocate", "-l", "2097152", "/huge/c"];
    let _ = container.exec(&[], &third).succeeded();
}

/// A mapping takes its pages when they are touched, but has them reserved from the start.
fn huge_pages_are_limited_when_reserved() {
    needs_v2();
    let _pages = HugePages::reserve(4);
    let _ = needs_program("python3");
    let map = "
import errno, mmap
def take(count):
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000
        with mmap.mmap(-1, count << 21, flags) as pages:
            pages[0] = 1
        return 'yes'
    except OSError as error:
        return errno.errorcode[error.errno]
print(take(2), take(3))";
    let limits = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] });
    let host = json!({ "destination": "/usr", "source": "/usr", "options": ["rbind", "ro"] });
    let bundle = with_resources(limits).mount(host).args(&["/usr/bin/python3", "-c", map]);
    for name in ["lib", "lib64"] {
        symlink(format!("usr/{name}"), bundle.rootfs().join(name)).unwrap();
    }
    let container = Container::created(bundle.writable());
    if !folder(&container).join("hugetlb.2MB.rsvd.max").exists() {
        skip("this kernel doesn't limit reserved pages");
    }
    container.start();
    container.wait_stopped();
    assert_eq!((container.said(), container.complained()), ("yes ENOMEM\n".into(), String::new()));
}

/// A cgroup of the test's own, which goes with this. It is not named by a container's id.
struct Parent(PathBuf);

impl Parent {
    fn make(bundle: &Bundle) -> Self {
        let name = bundle.id().replace("it", "parent-");
        let folder = Path::new("/sys/fs/cgroup").join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    /// The bundle with its cgroup `box` below this.
    fn around(&self, bundle: Bundle) -> Bundle {
        let path = format!("/{}/box", self.name());
        bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path))
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        cgroup::destroy(&self.0);
    }
}

fn controllers_are_handed_down_as_needed() {
    let bundle = with_resources(json!({}));
    let parent = Parent::make(&bundle);
    let handed_down = || {
        let text = value(&parent.0, "cgroup.subtree_control");
        let mut all: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        all.sort_unstable();
        all.join(" ")
    };
    let container = Container::created(parent.around(bundle));
    assert_eq!(handed_down(), "cpu cpuset io memory pids");
    container.delete();
    let controllers = value(Path::new("/sys/fs/cgroup"), "cgroup.controllers");
    if controllers.split_whitespace().any(|one| one == "hugetlb") {
        let limits = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }] });
        let container = Container::created(parent.around(with_resources(limits)));
        assert_eq!(handed_down(), "cpu cpuset hugetlb io memory pids");
        container.delete();
    }
}

/// The device filters of a cgroup.
fn filters(folder: &Path) -> Vec<OwnedFd> {
    let folder = File::open(folder).unwrap();
    attached_device_filters(&folder).unwrap()
}

fn one_device_filter_is_attached() {
    let rule = |minor: u32| {
        json!({ "devices": [
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 10, "minor": minor, "access": "rw" },
    ] })
    };
    // Miscellaneous devices that are there on most machines.
    let (fuse, loops) = (229, 237);
    let bundle = with_resources(rule(loops)).config(|config| {
        for (path, minor) in [("/dev/fuse", fuse), ("/dev/loop-control", loops)] {
            let device = json!({ "path": path, "type": "c", "major": 10, "minor": minor });
            push(&mut config["linux"]["devices"], device);
        }
    });
    let container = Container::running(bundle);
    let folder = folder(&container);
    let answers = || {
        let report = container.exec(&[], &["/bin/probe", "stat", "/dev/fuse", "/dev/loop-control"]);
        let report = report.succeeded().json();
        [0, 1].map(|at| report[at]["readable"] != "EPERM")
    };
    assert_eq!(filters(&folder).len(), 1);
    assert_eq!(answers(), [false, true]);
    let _ = update_by(&container, &rule(fuse)).succeeded();
    assert_eq!(filters(&folder).len(), 1);
    assert_eq!(answers(), [true, false]);
    // What others have added to it goes with it: that of this update is the only one that counts.
    let more = filters(&folder).remove(0);
    let _ = update_by(&container, &rule(loops)).succeeded();
    let open = File::open(&folder).unwrap();
    sys::bpf::attach_device_filter(&open, &more, None).unwrap();
    assert_eq!((filters(&folder).len(), answers()), (2, [false, false]));
    let _ = update_by(&container, &rule(fuse)).succeeded();
    assert_eq!((filters(&folder).len(), answers()), (1, [true, false]));
}

/// What a script does to have a cgroup `name` below the container's with a process in it.
fn nested(name: &str) -> String {
    format!(
        "mkdir -p /sys/fs/cgroup/{name}; sh -c 'echo 0 > /sys/fs/cgroup/{name}/cgroup.procs; \
             trap \"\" TERM HUP INT; while :; do sleep 1000; done' & \
             while ! grep -q . /sys/fs/cgroup/{name}/cgroup.procs; do :; done\n"
    )
    .replace("mkdir", "/bin/busybox mkdir")
    .replace("grep", "/bin/busybox grep")
}

/// The processes in a cgroup and all below it.
fn processes(folder: &Path) -> Vec<i32> {
    let read = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<i32> = read.lines().map(|line| line.parse().unwrap()).collect();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(processes(&entry.path()));
        }
    }
    all
}

fn frozen_with_all_below() {
    let container = scripted(with_own_cgroups(with_resources(json!({}))), &nested("a/b"));
    let folder = folder(&container);
    let frozen = |below: &str| count(&folder.join(below), "cgroup.events", "frozen");
    assert_eq!((frozen(""), frozen("a/b")), (0, 0));
    let _ = container.call("pause", &[]).succeeded();
    assert_eq!((frozen(""), frozen("a/b"), value(&folder, "cgroup.freeze")), (1, 1, "1".into()));
    assert_eq!(container.status(), "paused");
    let _ = container.call("resume", &[]).succeeded();
    assert_eq!((frozen(""), frozen("a/b"), value(&folder, "cgroup.freeze")), (0, 0, "0".into()));
    assert_eq!(container.status(), "running");
}

fn deaf_processes_in_nested_cgroups_are_killed() {
    let script = nested("a/b/c") + &nested("d");
    let bundle = with_own_cgroups(with_resources(json!({}))).without_namespace("pid");
    let container = scripted(bundle, &script);
    let all = processes(&folder(&container));
    assert!(all.len() >= 3, "{all:?}");
    let _ = container.call_with("kill", &["--all", "TERM"]);
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(!all.into_iter().any(is_alive));
    container.assert_no_trace();
}

/// One that a container has frozen itself, in one that the runtime has.
fn frozen_processes_are_killed() {
    let script = nested("a") + "echo 1 > /sys/fs/cgroup/a/cgroup.freeze";
    let container = scripted(with_own_cgroups(with_resources(json!({}))), &script);
    let all = processes(&folder(&container));
    let _ = container.call("pause", &[]).succeeded();
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(!all.into_iter().any(is_alive));
    container.assert_no_trace();
}

/// The container's own cgroup is then the root of threaded ones, and listed processes are there.
fn threaded_cgroups_of_the_container() {
    let script = "/bin/busybox mkdir /sys/fs/cgroup/threads /sys/fs/cgroup/invalid\n\
                  echo threaded > /sys/fs/cgroup/threads/cgroup.type";
    let container = scripted(with_own_cgroups(with_resources(json!({}))), script);
    let top = folder(&container);
    assert_eq!(value(&top, "cgroup.type"), "domain threaded");
    assert_eq!(value(&top.join("invalid"), "cgroup.type"), "domain invalid");
    let _ = container.exec(&[], &["true"]).succeeded();
    let _ = container.exec(&["--detach", "--cgroup", "threads"], &["sleep", "1000"]).succeeded();
    let listed = container.call("ps", &["--format", "json"]).succeeded().json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let refused = container.exec(&["--cgroup", "invalid"], &["true"]);
    let _ = refused.failed_with("its cgroup is threaded, or below such: see --cgroup");
    let all = processes(&top);
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(!all.into_iter().any(is_alive));
    container.assert_no_trace();
}

fn cgroup_that_is_no_valid_domain_is_refused() {
    let bundle = with_resources(json!({}));
    let parent = Parent::make(&bundle);
    fs::write(parent.0.join("cgroup.type"), "threaded").unwrap();
    let path = format!("/{}", parent.name());
    let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
    bundle.refused("it is a threaded cgroup, and a container's must be of the type domain");
    assert!(parent.0.exists());
}

/// The kernel would not let init in: it takes none where controllers for whole processes go further down.
fn cgroup_that_hands_controllers_down_is_refused() {
    let bundle = with_resources(json!({}));
    let parent = Parent::make(&bundle);
    let path = format!("/{}", parent.name());
    let there = |bundle: Bundle| bundle.config(|all| all["linux"]["cgroupsPath"] = json!(path));
    let control = parent.0.join("cgroup.subtree_control");
    fs::write(&control, "+pids +memory").unwrap();
    there(bundle).refused("hands controllers down (memory pids), so it takes no processes (name ");
    assert_eq!(value(&parent.0, "cgroup.subtree_control"), "memory pids");
    fs::write(&control, "-memory").unwrap();
    let container = Container::running(there(with_resources(json!({}))));
    container.stop();
    container.delete();
}

/// A process of the test's own.
fn sleeper_in(parent: &Parent) -> Running {
    let mut sleeper = Command::new(needs_program("sleep"));
    sleeper.arg("1000");
    let sleeper = command::spawn(sleeper);
    fs::write(parent.0.join("cgroup.procs"), sleeper.pid().to_string()).unwrap();
    sleeper
}

/// Such a cgroup can't hand controllers down; a container that needs none can be there.
fn below_a_cgroup_with_processes() {
    let bundle = with_resources(json!({}));
    let parent = Parent::make(&bundle);
    let _sleeper = sleeper_in(&parent);
    let container = Container::running(parent.around(bundle));
    assert_eq!(value(&parent.0, "cgroup.subtree_control"), "");
    assert_eq!(value(&parent.0, "cgroup.type"), "domain");
    container.stop();
    container.delete();
    for limit in [json!({ "memory": { "limit": 64 << 20 } }), json!({ "pids": { "limit": 5 } })] {
        let bundle = parent.around(with_resources(limit));
        bundle.refused("a cgroup that has processes can't hand controllers down");
        assert_eq!(value(&parent.0, "cgroup.type"), "domain");
        assert!(!parent.0.join("box").exists());
    }
}

/// As a cgroup is below a threaded one, or one whose processes are to be beside it.
fn below_a_threaded_cgroup_is_refused() {
    let bundle = with_resources(json!({}));
    let parent = Parent::make(&bundle);
    fs::write(parent.0.join("cgroup.type"), "threaded").unwrap();
    parent.around(bundle).refused("/box is of type domain invalid (no container can be in ");
    assert_eq!(value(&parent.0, "cgroup.subtree_control"), "");
    let bundle = with_resources(json!({ "memory": { "limit": 64 << 20 } }));
    let parent = Parent::make(&bundle);
    let sleeper = sleeper_in(&parent);
    fs::write(parent.0.join("cgroup.subtree_control"), "+pids").unwrap();
    parent.around(bundle).refused("/box is of type domain invalid (no container can be in ");
    assert!(!parent.0.join("box").exists());
    drop(sleeper);
}

/// A container that hands controllers on itself can have no process beside its own cgroups.
fn process_joins_init_where_only_cgroups_are() {
    let script = "/bin/busybox mkdir /sys/fs/cgroup/inits\n\
                  echo 0 > /sys/fs/cgroup/inits/cgroup.procs\n\
                  echo '+memory +pids' > /sys/fs/cgroup/cgroup.subtree_control";
    let container = scripted(with_own_cgroups(with_resources(json!({}))), script);
    let inits = folder(&container);
    assert!(inits.ends_with("inits"), "{}", inits.display());
    let _ = container.exec(&["--detach"], &["sleep", "1000"]).succeeded();
    assert_eq!(processes(&inits).len(), 2);
    let output = container.exec(&[], &["cat", "/proc/self/cgroup"]).succeeded();
    assert_eq!(output.stdout, "0::/inits\n");
}

/// The same by a user to whom a part of the tree is delegated, as systemd does it.
fn process_of_a_user_joins_init_where_only_cgroups_are() {
    needs_v2();
    let [setpriv, sh] = ["setpriv", "sh"].map(needs_program);
    let bundle = rootless::bundle().probing(&["sleep"]).config(|config| {
        config["linux"]["cgroupsPath"] = json!("box");
    });
    let parent = Parent::make(&bundle);
    let delegate = |folder: &Path| {
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            chown(folder.join(file), Some(USER), Some(USER)).unwrap();
        }
    };
    fs::create_dir(parent.0.join("shell")).unwrap();
    for folder in [parent.0.clone(), parent.0.join("shell")] {
        delegate(&folder);
    }
    let in_shell = format!(
        "echo $$ > {}/shell/cgroup.procs && exec {} --reuid {USER} --regid {USER} \
         --clear-groups \"$@\"",
        parent.0.display(),
        setpriv.display(),
    );
    let mut container = Container::new(bundle);
    let by_user = |command: Command| {
        let mut shell = Command::new(&sh);
        shell.args(["-euc", &in_shell, "-"]).arg(rootless::rind(container.bundle()));
        shell.args(command.get_args());
        shell
    };
    let run = by_user(container.command_for("run", &["--detach"]));
    let exec = || by_user(container.exec_command(&["--detach"], &["/bin/probe", "sleep"]));
    let (first, second) = (exec(), exec());
    container.make_by(run);
    container.wait_line("ready");
    let top = folder(&container);
    assert_eq!(top, parent.0.join("box"));
    let _ = command::run(first).succeeded();
    assert_eq!(processes(&top).len(), 2);
    let inits = top.join("inits");
    fs::create_dir(&inits).unwrap();
    delegate(&inits);
    for pid in processes(&top) {
        fs::write(inits.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    fs::write(top.join("cgroup.subtree_control"), "+pids").unwrap();
    let _ = command::run(second).succeeded();
    assert_eq!(processes(&inits).len(), 3);
    let _ = container.call("delete", &["--force"]).succeeded();
    container.assert_no_trace();
}

fn every_limit_is_updated() {
    let (major, minor) = disk();
    let container = Container::running(with_resources(json!({
        "memory": { "limit": 64 << 20, "swap": 96 << 20 }, "cpu": { "quota": 50_000 },
    })));
    let rate = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let weight = if folder(&container).join("io.bfq.weight").exists() {
        ("io.bfq.weight", "default 200")
    } else {
        ("io.weight", "default 1920")
    };
    let [first, second] =
        ["rbps=1048576 wbps=max riops=max wiops=max", "rbps=1048576 wbps=max riops=max wiops=7"]
            .map(|rates| format!("{major}:{minor} {rates}"));
    let steps: [(Value, &[(&str, &str)]); 12] = [
        (
            json!({ "memory": { "limit": 32 << 20, "swap": 40 << 20 } }),
            &[("memory.max", "33554432"), ("memory.swap.max", "8388608")],
        ),
        // Both together stay what they were.
        (
            json!({ "memory": { "limit": 36 << 20 } }),
            &[("memory.max", "37748736"), ("memory.swap.max", "4194304")],
        ),
        (
            json!({ "memory": { "limit": -1, "swap": -1, "reservation": 8 << 20 } }),
            &[("memory.max", "max"), ("memory.swap.max", "max"), ("memory.low", "8388608")],
        ),
        (json!({ "cpu": { "period": 200_000 } }), &[("cpu.max", "50000 200000")]),
        (
            json!({ "cpu": { "shares": 2048, "burst": 20_000 } }),
            &[("cpu.weight", "174"), ("cpu.max.burst", "20000")],
        ),
        (
            json!({ "cpu": { "quota": -1, "burst": 0 } }),
            &[("cpu.max", "max 200000"), ("cpu.max.burst", "0")],
        ),
        (json!({ "cpu": { "idle": 1 } }), &[("cpu.idle", "1")]),
        (
            json!({ "cpu": { "idle": 0, "shares": 1024 } }),
            &[("cpu.idle", "0"), ("cpu.weight", "100")],
        ),
        (
            json!({ "cpu": { "cpus": "0", "mems": "0" } }),
            &[("cpuset.cpus", "0"), ("cpuset.mems", "0")],
        ),
        (
            json!({ "pids": { "limit": 9 }, "blockIO": {
                "weight": 200, "throttleReadBpsDevice": rate(1 << 20),
            } }),
            &[("pids.max", "9"), ("io.max", &first), weight],
        ),
        (
            json!({ "pids": { "limit": -1 }, "blockIO": { "throttleWriteIOPSDevice": rate(7) } }),
            &[("pids.max", "max"), ("io.max", &second)],
        ),
        (
            json!({ "unified": { "memory.high": "50000000", "cgroup.max.depth": "3" } }),
            &[("memory.high", "49999872"), ("cgroup.max.depth", "3")],
        ),
    ];
    for (resources, expected) in steps {
        let _ = update_by(&container, &resources).succeeded();
        compare(&container, expected);
    }
    let lifted = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(0), "throttleWriteIOPSDevice": rate(0),
    } });
    let _ = update_by(&container, &lifted).succeeded();
    compare(&container, &[("io.max", "")]);
    assert_eq!(container.status(), "running");
}

/// As Docker asks for a container, with a filter, in half a mebibyte and with one process.
fn tiny(args: &[&str]) -> Bundle {
    needs_v2();
    let bundle = Bundle::of(include_str!("../../fixtures/docker.json")).with_shell().args(args);
    for file in ["resolv.conf", "hostname", "hosts"] {
        fs::write(bundle.path().join(file), "").unwrap();
    }
    let path = cgroup::path_for(bundle.id());
    bundle.namespace("cgroup", None).config(|config| {
        config["linux"]["cgroupsPath"] = json!(path);
        let limit = 512 << 10;
        config["linux"]["resources"]["memory"] = json!({ "limit": limit, "swap": limit });
        config["linux"]["resources"]["pids"] = json!({ "limit": 1 });
    })
}

fn starts_in_half_a_mebibyte() {
    let _ = Container::new(tiny(&["/bin/true"])).call("run", &[]).succeeded();
    let container = Container::created(tiny(&["/bin/true"]));
    let folder = folder(&container);
    compare(&container, &[("memory.max", "524288"), ("pids.max", "1")]);
    container.start();
    container.wait_stopped();
    assert_eq!(count(&folder, "memory.events", "oom_kill"), 0);
    assert_eq!(count(&folder, "pids.events", "max"), 0);
    container.delete();
}

fn executes_in_half_a_mebibyte() {
    let bundle = tiny(&["/bin/sleep", "1000"]);
    let container = Container::created(bundle);
    container.start();
    let folder = folder(&container);
    let refused = container.exec(&[], &["/bin/true"]);
    let _ = refused.failed_with("the container's pids limit, or process.rlimits, is reached");
    // It takes room for two for a moment.
    let _ = container.call("update", &["--pids-limit", "3"]).succeeded();
    let _ = container.exec(&[], &["/bin/true"]).succeeded();
    assert_eq!(count(&folder, "memory.events", "oom_kill"), 0);
    assert_eq!(container.status(), "running");
}

/// A process that is moved to another cgroup waits for an RCU grace period. Init and others are born
/// in theirs, or move themselves by version 1's `tasks`.
fn nobody_is_moved() {
    if is_systemds() {
        skip("this is about cgroups that rind makes itself");
    }
    let strace = needs_program("strace");
    let traced = |container: &Container, mut command: Command| {
        let trace = container.bundle().folder().join("trace");
        let mut tracing = Command::new(&strace);
        tracing.args(["-f", "-y", "-s", "16", "-e", "trace=write,pwrite64,writev,pwritev", "-o"]);
        tracing.arg(&trace).arg(command.get_program()).args(command.get_args());
        command = tracing;
        let moves = move || -> Vec<String> {
            let text = fs::read_to_string(&trace).unwrap();
            let is_move = |line: &&str| {
                [".procs>", ".threads>", "/tasks>"].iter().any(|file| line.contains(file))
            };
            assert!(text.contains("write("), "{text}");
            text.lines().filter(is_move).map(str::to_owned).collect()
        };
        (command, moves)
    };
    let check = |moves: Vec<String>| {
        let wrong = moves.iter().find(|line| !line.contains("/tasks>, \"0\", 1)"));
        assert_eq!((wrong, is_unified() && !moves.is_empty()), (None, false), "{moves:#?}");
    };
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    let (create, moves) = traced(&container, container.command_for("create", &[]));
    // strace stays with init, whose parent it isn't: it ends with the container.
    let mut creating = command::spawn(create);
    wait_for("a container", || container.call("state", &[]).stdout.contains("\"created\""));
    let (start, start_moves) = traced(&container, container.command_for("start", &[]));
    let _ = command::run(start);
    check(start_moves());
    let (exec, exec_moves) =
        traced(&container, container.exec_command(&[], &["/bin/probe", "exit", "0"]));
    let _ = command::run(exec).succeeded();
    check(exec_moves());
    container.stop();
    let _ = creating.wait_here();
    check(moves());
    container.delete();
    container = Container::new(Bundle::new());
    let (run, run_moves) = traced(&container, container.command_for("run", &[]));
    let _ = command::run(run).succeeded();
    check(run_moves());
}
