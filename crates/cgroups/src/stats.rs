//! Statistics of a container's cgroup, in the shape of `events --stats` that engines parse.
//!
//! The kernel's files are read and parsed by libcgroups, one by one: its managers give statistics
//! only where every controller of theirs has every file, which hosts without swap accounting,
//! pressure or huge pages don't.

use crate::error::{Error, Result};
use crate::file;
use crate::path::{CgroupPath, Hierarchy};
use libcgroups::common::WrappedIoError;
use libcgroups::stats as parse;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// What the container uses and has used; zero or empty where the host doesn't account for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// Which processors and memory nodes.
    pub cpuset: CpuSet,
    /// Memory, swap, and the kernel's share.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Block devices.
    pub blkio: BlockIo,
    /// Huge pages, by size.
    pub hugetlb: BTreeMap<String, HugePages>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// Time not given.
    pub throttling: Throttling,
    /// Time lost by waiting for it (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// By all processors.
    pub total: u64,
    /// By each processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// By each processor, in the kernel (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// By each processor, in user mode (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
}

/// What the quota has cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that have gone by.
    pub periods: u64,
    /// Those in which the quota was used up.
    pub throttled_periods: u64,
    /// Time waited for the next one, in nanoseconds.
    pub throttled_time: u64,
}

/// Processors and memory nodes, and v1's flags of how they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuSet {
    /// The processors' numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    /// `cpuset.cpu_exclusive`.
    pub cpu_exclusive: u64,
    /// The memory nodes' numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    /// `cpuset.mem_hardwall`.
    pub mem_hardwall: u64,
    /// `cpuset.mem_exclusive`.
    pub mem_exclusive: u64,
    /// `cpuset.memory_migrate`.
    pub memory_migrate: u64,
    /// `cpuset.memory_spread_page`.
    pub memory_spread_page: u64,
    /// `cpuset.memory_spread_slab`.
    pub memory_spread_slab: u64,
    /// `cpuset.memory_pressure`.
    pub memory_pressure: u64,
    /// `cpuset.sched_load_balance`.
    pub sched_load_balance: u64,
    /// `cpuset.sched_relax_domain_level`: -1 is the system's default.
    pub sched_relax_domain_level: i64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Of files.
    pub cache: u64,
    /// Memory.
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    /// The kernel's (v1).
    pub kernel: MemoryEntry,
    /// TCP's buffers (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// All of memory.stat.
    pub raw: BTreeMap<String, u64>,
    /// Time lost by waiting for memory (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One account of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryEntry {
    /// The limit; the largest number of all is none.
    pub limit: u64,
    /// Used now.
    pub usage: u64,
    /// Most that was ever used.
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many there may be; 0 is no limit.
    pub limit: u64,
}

/// Block devices: what was read from them and written to them. Most is counted by v1's BFQ only, in
/// kernels built to debug it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// Bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    /// Requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    /// Requests that wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlockIoEntry>,
    /// Time that requests took, in nanoseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockIoEntry>,
    /// Time that requests waited, in nanoseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockIoEntry>,
    /// Requests that were made part of others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockIoEntry>,
    /// Time that devices were used, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockIoEntry>,
    /// Sectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockIoEntry>,
    /// Time lost by waiting for them (v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One kind of request to one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BlockIoEntry {
    /// The device's major number.
    pub major: u64,
    /// The device's minor number.
    pub minor: u64,
    /// `Read`, `Write` and, of v1, others; empty where it isn't told apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// How much of it.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HugePages {
    /// Used now.
    pub usage: u64,
    /// Most that was ever used (v1).
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Pressure stall information: the share of time that was lost by waiting.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// By some of the processes.
    pub some: Stalled,
    /// By all at once.
    pub full: Stalled,
}

/// The lost share of the last seconds, in per cent, and of all time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stalled {
    /// Of 10 seconds.
    pub avg10: f64,
    /// Of 60 seconds.
    pub avg60: f64,
    /// Of 300 seconds.
    pub avg300: f64,
    /// In microseconds.
    pub total: u64,
}

/// Reads the statistics of the container's cgroups.
pub(crate) fn stats(place: &CgroupPath) -> Result<Stats> {
    let joined = |controller| place.controlling(controller).filter(|found| found.joined);
    let mut stats = Stats::default();
    if let Some(cgroup) = joined("cpu") {
        cpu(cgroup, &mut stats.cpu)?;
    }
    if let Some(cgroup) = joined("cpuacct").filter(|found| !found.is_unified()) {
        cpu_v1(cgroup, &mut stats.cpu.usage)?;
    }
    if let Some(cgroup) = joined("cpuset") {
        stats.cpuset = cpuset(cgroup)?;
    }
    if let Some(cgroup) = joined("memory") {
        stats.memory = if cgroup.is_unified() { memory_v2(cgroup)? } else { memory_v1(cgroup)? };
    }
    if let Some(cgroup) = joined("pids")
        && let Ok(pids) = parse::pid_stats(Path::new(&cgroup.directory()))
    {
        stats.pids = Pids { current: pids.current, limit: pids.limit };
    }
    if let Some(cgroup) = joined("blkio") {
        stats.blkio = if cgroup.is_unified() { io_v2(cgroup)? } else { io_v1(cgroup)? };
    }
    if let Some(cgroup) = joined("hugetlb") {
        stats.hugetlb = huge_pages(cgroup)?;
    }
    Ok(stats)
}

/// The cpu controller's cpu.stat; v2's also tells what was used.
fn cpu(cgroup: &Hierarchy, cpu: &mut Cpu) -> Result<()> {
    let stat = table(cgroup, "cpu.stat")?;
    let value = |key: &str| stat.get(key).copied().unwrap_or_default();
    let micro = |key: &str| value(key).saturating_mul(1000);
    let (periods, throttled_periods) = (value("nr_periods"), value("nr_throttled"));
    let throttled_time = if cgroup.is_unified() {
        let (total, user) = (micro("usage_usec"), micro("user_usec"));
        cpu.usage = CpuUsage { total, user, kernel: micro("system_usec"), ..CpuUsage::default() };
        cpu.psi = pressure(cgroup, "cpu.pressure")?;
        micro("throttled_usec")
    } else {
        value("throttled_time")
    };
    cpu.throttling = Throttling { periods, throttled_periods, throttled_time };
    Ok(())
}

fn cpu_v1(cgroup: &Hierarchy, usage: &mut CpuUsage) -> Result<()> {
    let each = |file| -> Result<Vec<u64>> {
        let text = text(cgroup, file)?;
        Ok(text.split_ascii_whitespace().filter_map(|one| one.parse().ok()).collect())
    };
    *usage = CpuUsage {
        total: number(cgroup, "cpuacct.usage")?,
        percpu: each("cpuacct.usage_percpu")?,
        percpu_kernel: each("cpuacct.usage_percpu_sys")?,
        percpu_user: each("cpuacct.usage_percpu_user")?,
        kernel: number(cgroup, "cpuacct.usage_sys")?,
        user: number(cgroup, "cpuacct.usage_user")?,
    };
    Ok(())
}

fn cpuset(cgroup: &Hierarchy) -> Result<CpuSet> {
    if cgroup.is_unified() {
        return Ok(CpuSet {
            cpus: ranges(&text(cgroup, "cpuset.cpus.effective")?),
            mems: ranges(&text(cgroup, "cpuset.mems.effective")?),
            ..CpuSet::default()
        });
    }
    let flag = |name: &str| number(cgroup, &format!("cpuset.{name}"));
    let level = text(cgroup, "cpuset.sched_relax_domain_level")?;
    Ok(CpuSet {
        cpus: ranges(&text(cgroup, "cpuset.cpus")?),
        cpu_exclusive: flag("cpu_exclusive")?,
        mems: ranges(&text(cgroup, "cpuset.mems")?),
        mem_hardwall: flag("mem_hardwall")?,
        mem_exclusive: flag("mem_exclusive")?,
        memory_migrate: flag("memory_migrate")?,
        memory_spread_page: flag("memory_spread_page")?,
        memory_spread_slab: flag("memory_spread_slab")?,
        memory_pressure: flag("memory_pressure")?,
        sched_load_balance: flag("sched_load_balance")?,
        sched_relax_domain_level: level.trim_end().parse().unwrap_or_default(),
    })
}

/// A list such as `0-2,5`.
fn ranges(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    };
    text.trim_end().split(',').filter_map(range).flatten().collect()
}

fn memory_v1(cgroup: &Hierarchy) -> Result<Memory> {
    let entry = |prefix: &str| -> Result<MemoryEntry> {
        let number = |file| number(cgroup, &format!("{prefix}.{file}"));
        Ok(MemoryEntry {
            limit: number("limit_in_bytes")?,
            usage: number("usage_in_bytes")?,
            max: number("max_usage_in_bytes")?,
            failcnt: number("failcnt")?,
        })
    };
    let raw = table(cgroup, "memory.stat")?;
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or_default(),
        usage: entry("memory")?,
        swap: entry("memory.memsw")?,
        kernel: entry("memory.kmem")?,
        kernel_tcp: entry("memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

fn memory_v2(cgroup: &Hierarchy) -> Result<Memory> {
    let entry = |prefix: &str, event: &str| -> Result<MemoryEntry> {
        let number = |file| number(cgroup, &format!("{prefix}.{file}"));
        let events = table(cgroup, &format!("{prefix}.events"))?;
        Ok(MemoryEntry {
            limit: number("max")?,
            usage: number("current")?,
            max: number("peak")?,
            failcnt: events.get(event).copied().unwrap_or_default(),
        })
    };
    let raw = table(cgroup, "memory.stat")?;
    let (usage, mut swap) = (entry("memory", "max")?, entry("memory.swap", "max")?);
    // As v1 counts: memory and swap together; the most of both can't be told.
    swap.max = 0;
    swap.usage = swap.usage.saturating_add(usage.usage);
    swap.limit = swap.limit.saturating_add(usage.limit);
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or_default(),
        usage,
        swap,
        raw,
        psi: pressure(cgroup, "memory.pressure")?,
        ..Memory::default()
    })
}

fn io_v1(cgroup: &Hierarchy) -> Result<BlockIo> {
    let entries = |name: &str| -> Result<Vec<BlockIoEntry>> {
        let text = text(cgroup, &format!("blkio.{name}_recursive"))?;
        Ok(text.lines().filter_map(io_line).collect())
    };
    // What BFQ doesn't schedule, it doesn't count.
    let any = |name: &str| match entries(&format!("bfq.{name}"))? {
        none if none.is_empty() => entries(&format!("throttle.{name}")),
        some => Ok(some),
    };
    Ok(BlockIo {
        io_service_bytes_recursive: any("io_service_bytes")?,
        io_serviced_recursive: any("io_serviced")?,
        io_queue_recursive: entries("bfq.io_queued")?,
        io_service_time_recursive: entries("bfq.io_service_time")?,
        io_wait_time_recursive: entries("bfq.io_wait_time")?,
        io_merged_recursive: entries("bfq.io_merged")?,
        io_time_recursive: entries("bfq.time")?,
        sectors_recursive: entries("bfq.sectors")?,
        psi: None,
    })
}

/// A line `8:0 Read 4096` or `8:0 4096`; the sum over all devices, `Total 4096`, is none.
fn io_line(line: &str) -> Option<BlockIoEntry> {
    let mut fields = line.split_ascii_whitespace();
    let (major, minor) = fields.next()?.split_once(':')?;
    let (first, second) = (fields.next()?, fields.next());
    let op = second.map_or("", |_| first).to_owned();
    let value = second.unwrap_or(first).parse().ok()?;
    Some(BlockIoEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, op, value })
}

fn io_v2(cgroup: &Hierarchy) -> Result<BlockIo> {
    let mut io = BlockIo { psi: pressure(cgroup, "io.pressure")?, ..BlockIo::default() };
    // A cgroup that has used no device has an empty file, and one without the controller none.
    let devices = parse::parse_nested_keyed_data(Path::new(&cgroup.file("io.stat")));
    for (device, counts) in devices.unwrap_or_default() {
        for (key, value) in counts.iter().filter_map(|count| count.split_once('=')) {
            let (entries, op) = match key {
                "rbytes" => (&mut io.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut io.io_service_bytes_recursive, "Write"),
                "rios" => (&mut io.io_serviced_recursive, "Read"),
                "wios" => (&mut io.io_serviced_recursive, "Write"),
                _ => continue,
            };
            entries.extend(io_line(&format!("{device} {op} {value}")));
        }
    }
    io.io_service_bytes_recursive.sort_unstable();
    io.io_serviced_recursive.sort_unstable();
    Ok(io)
}

/// Reserved pages where the kernel counts them, which includes those in use.
fn huge_pages(cgroup: &Hierarchy) -> Result<BTreeMap<String, HugePages>> {
    let mut all = BTreeMap::new();
    let in_use = if cgroup.is_unified() { "current" } else { "usage_in_bytes" };
    for size in parse::supported_page_sizes().unwrap_or_default() {
        for prefix in [format!("hugetlb.{size}.rsvd"), format!("hugetlb.{size}")] {
            let Some(usage) = try_number(cgroup, &format!("{prefix}.{in_use}"))? else { continue };
            let failcnt = if cgroup.is_unified() {
                let events = table(cgroup, &format!("hugetlb.{size}.events"))?;
                events.get("max").copied().unwrap_or_default()
            } else {
                number(cgroup, &format!("{prefix}.failcnt"))?
            };
            let max = number(cgroup, &format!("{prefix}.max_usage_in_bytes"))?;
            all.insert(size, HugePages { usage, max, failcnt });
            break;
        }
    }
    Ok(all)
}

/// Lines such as `some avg10=0.12 avg60=0.05 avg300=0.01 total=4711`; none where it's turned off.
fn pressure(cgroup: &Hierarchy, file: &str) -> Result<Option<Pressure>> {
    let text = text(cgroup, file)?;
    let line = |kind: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(kind));
        let mut stalled = Stalled::default();
        for (key, value) in found?.split_ascii_whitespace().filter_map(|one| one.split_once('=')) {
            match key {
                "avg10" => stalled.avg10 = value.parse().ok()?,
                "avg60" => stalled.avg60 = value.parse().ok()?,
                "avg300" => stalled.avg300 = value.parse().ok()?,
                "total" => stalled.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(stalled)
    };
    let some = line("some ");
    Ok(some.map(|some| Pressure { some, full: line("full ").unwrap_or_default() }))
}

/// The number in a file; 0 where the kernel has no such file.
fn number(cgroup: &Hierarchy, file: &str) -> Result<u64> {
    Ok(try_number(cgroup, file)?.unwrap_or_default())
}

fn try_number(cgroup: &Hierarchy, file: &str) -> Result<Option<u64>> {
    match parse::parse_single_value(Path::new(&cgroup.file(file))) {
        Ok(number) => Ok(Some(number)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::refused(format!("reading statistics: {error}"))),
    }
}

fn is_absent(error: &WrappedIoError) -> bool {
    matches!(error.inner().kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

/// A file of lines `key number`; nothing where the kernel has no such file.
fn table(cgroup: &Hierarchy, file: &str) -> Result<BTreeMap<String, u64>> {
    let text = text(cgroup, file)?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let entries = lines.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)));
    Ok(entries.collect())
}

/// The text of a file; empty where the kernel has no such file.
fn text(cgroup: &Hierarchy, file: &str) -> Result<String> {
    use sys::Errno::{ENODEV, ENOENT, EOPNOTSUPP};
    let path = cgroup.file(file);
    match file::try_read_value(&path) {
        Ok(text) => Ok(text),
        Err(ENOENT | ENODEV | EOPNOTSUPP) => Ok(String::new()),
        Err(errno) => Err(Error::kernel(format!("reading {path}"), errno)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::{Value, json};
    use std::fs;

    /// The statistics of a v2 cgroup that has `files`.
    fn of(name: &str, files: &[(&str, &str)]) -> Value {
        let root = std::env::temp_dir().join(format!("rind-stats-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("box")).unwrap();
        for (file, text) in files {
            fs::write(root.join("box").join(file), text).unwrap();
        }
        let place = CgroupPath::of(&root, "box", &[(&[], true)]);
        let stats = serde_json::to_value(stats(&place).unwrap()).unwrap();
        fs::remove_dir_all(root).unwrap();
        stats
    }

    #[test]
    fn v2_is_reported_as_v1_is() {
        let stats = of(
            "all",
            &[
                (
                    "cpu.stat",
                    "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\n\
                     throttled_usec 2\n",
                ),
                (
                    "cpu.pressure",
                    "some avg10=1.50 avg60=0.20 avg300=0.00 total=70\n\
                     full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                ),
                ("memory.current", "4096\n"),
                ("memory.max", "8192\n"),
                ("memory.peak", "5000\n"),
                ("memory.events", "low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n"),
                ("memory.swap.current", "100\n"),
                ("memory.swap.max", "max\n"),
                ("memory.swap.events", "high 0\nmax 0\nfail 0\n"),
                ("memory.stat", "anon 1000\nfile 3000\n"),
                ("pids.current", "3\n"),
                ("pids.max", "max\n"),
                ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n"),
            ],
        );
        assert_eq!(
            stats["cpu"]["usage"],
            json!({ "total": 30000, "user": 20000, "kernel": 10000 })
        );
        let throttling = json!({ "periods": 4, "throttledPeriods": 3, "throttledTime": 2000 });
        assert_eq!(stats["cpu"]["throttling"], throttling);
        let some = json!({ "avg10": 1.5, "avg60": 0.2, "avg300": 0.0, "total": 70 });
        assert_eq!(stats["cpu"]["psi"]["some"], some);
        let memory = &stats["memory"];
        let usage = json!({ "limit": 8192, "usage": 4096, "max": 5000, "failcnt": 6 });
        assert_eq!(memory["usage"], usage);
        assert_eq!(
            (&memory["swap"]["usage"], &memory["swap"]["limit"]),
            (&4196.into(), &u64::MAX.into())
        );
        assert_eq!((&memory["cache"], &memory["raw"]["anon"]), (&3000.into(), &1000.into()));
        assert_eq!(stats["pids"], json!({ "current": 3, "limit": 0 }));
        let bytes = json!([
            { "major": 8, "minor": 0, "op": "Read", "value": 10 },
            { "major": 8, "minor": 0, "op": "Write", "value": 20 },
        ]);
        assert_eq!(stats["blkio"]["ioServiceBytesRecursive"], bytes);
        assert_eq!(stats["blkio"]["ioServicedRecursive"][1]["value"], 2);
    }

    #[test]
    fn what_a_host_does_not_count_is_zero() {
        let stats = of("none", &[]);
        assert_eq!(stats["memory"]["kernelTCP"]["limit"], 0);
        assert_eq!(
            stats["cpu"],
            json!({
                "usage": { "total": 0, "kernel": 0, "user": 0 },
                "throttling": { "periods": 0, "throttledPeriods": 0, "throttledTime": 0 },
            })
        );
        assert_eq!((&stats["blkio"], &stats["hugetlb"]), (&json!({}), &json!({})));
    }

    #[test]
    fn processors_are_listed_one_by_one() {
        assert_eq!(ranges("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(ranges("\n"), [] as [u16; 0]);
        let stats = of("cpuset", &[("cpuset.cpus.effective", "3\n")]);
        assert_eq!(stats["cpuset"]["cpus"], json!([3]));
        assert_eq!(stats["cpuset"]["cpu_exclusive"], 0);
    }

    #[test]
    fn v1_sums_over_devices_are_left_out() {
        let read = BlockIoEntry { major: 254, minor: 16, op: "Read".to_owned(), value: 4096 };
        assert_eq!(io_line("254:16 Read 4096"), Some(read));
        assert_eq!(io_line("Total 4096"), None);
        let time = BlockIoEntry { major: 8, minor: 0, op: String::new(), value: 9 };
        assert_eq!(io_line("8:0 9"), Some(time));
    }
}
