//! Statistics of a container's cgroup, in the shape of `events --stats` that engines parse.
//!
//! rind reads the kernel's files one by one, most of them by libcgroups' parsers. libcgroups' managers
//! have statistics only if every controller has every file, which is not so on hosts without swap
//! accounting, pressure or huge pages.

mod read;
mod v1;
mod v2;

use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::Result;
use libcgroups::stats as parse;
use serde::Serialize;
use std::collections::BTreeMap;
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
pub struct BlockIo {
    /// The counts that there are, by name, such as `ioServiceBytesRecursive`.
    #[serde(flatten)]
    pub counts: BTreeMap<&'static str, Vec<BlockIoEntry>>,
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

/// Reads statistics of a cgroup in one hierarchy.
type Read<T> = fn(&Hierarchy) -> Result<T>;

impl Cgroup {
    /// Reads the statistics.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats {
            cpu: self.read("cpu", v1::cpu, v2::cpu)?,
            cpuset: self.read("cpuset", v1::cpuset, v2::cpuset)?,
            memory: self.read("memory", v1::memory, v2::memory)?,
            pids: self.joined_controlling("pids").and_then(pids).unwrap_or_default(),
            blkio: self.read("blkio", v1::io, v2::io)?,
            hugetlb: self.read("hugetlb", huge_pages, huge_pages)?,
        };
        if let Some(cpuacct) = self.joined_controlling("cpuacct").filter(|one| !one.is_unified()) {
            stats.cpu.usage = v1::cpu_usage(cpuacct)?;
        }
        Ok(stats)
    }

    /// What `v1` or `v2` reads, by the version of the hierarchy that has `controller`.
    fn read<T: Default>(&self, controller: &str, v1: Read<T>, v2: Read<T>) -> Result<T> {
        match self.joined_controlling(controller) {
            None => Ok(T::default()),
            Some(hierarchy) if hierarchy.is_unified() => v2(hierarchy),
            Some(hierarchy) => v1(hierarchy),
        }
    }
}

fn pids(cgroup: &Hierarchy) -> Option<Pids> {
    let pids = parse::pid_stats(Path::new(&cgroup.directory())).ok()?;
    Some(Pids { current: pids.current, limit: pids.limit })
}

fn huge_pages(cgroup: &Hierarchy) -> Result<BTreeMap<String, HugePages>> {
    let mut all = BTreeMap::new();
    for size in parse::supported_page_sizes().unwrap_or_default() {
        // Reserved pages if the kernel counts them, which includes those in use.
        for prefix in [format!("hugetlb.{size}.rsvd"), format!("hugetlb.{size}")] {
            if let Some(pages) = huge_pages_of(cgroup, &size, &prefix)? {
                all.insert(size, pages);
                break;
            }
        }
    }
    Ok(all)
}

/// Huge pages of `size`, by the file prefix `hugetlb.SIZE` or `hugetlb.SIZE.rsvd`, if the kernel counts
/// them.
fn huge_pages_of(cgroup: &Hierarchy, size: &str, prefix: &str) -> Result<Option<HugePages>> {
    let file = |name: &str| format!("{prefix}.{name}");
    let usage = if cgroup.is_unified() { "current" } else { "usage_in_bytes" };
    let Some(usage) = read::try_number(cgroup, &file(usage))? else { return Ok(None) };
    let failcnt = if cgroup.is_unified() {
        read::value(&read::table(cgroup, &format!("hugetlb.{size}.events"))?, "max")
    } else {
        read::number(cgroup, &file("failcnt"))?
    };
    let max = read::number(cgroup, &file("max_usage_in_bytes"))?;
    Ok(Some(HugePages { usage, max, failcnt }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::read::{io_line, ranges};
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
        let cgroup = Cgroup::of(&root, "box", &[(&[], true)]);
        let stats = serde_json::to_value(cgroup.stats().unwrap()).unwrap();
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
