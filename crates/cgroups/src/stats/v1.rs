//! Statistics of v1's files.

use super::read::{io_line, number, ranges, table, text, throttling, value};
use super::{BlockIo, Cpu, CpuSet, CpuUsage, Memory, MemoryEntry};
use crate::cgroup::Hierarchy;
use crate::error::Result;

/// `cpu.stat` of the cpu controller, which doesn't count what is used.
pub(super) fn cpu(cgroup: &Hierarchy) -> Result<Cpu> {
    let stat = table(cgroup, "cpu.stat")?;
    let throttling = throttling(&stat, value(&stat, "throttled_time"));
    Ok(Cpu { throttling, ..Cpu::default() })
}

/// The cpuacct controller.
pub(super) fn cpu_usage(cgroup: &Hierarchy) -> Result<CpuUsage> {
    let each = |file| -> Result<Vec<u64>> {
        let text = text(cgroup, file)?;
        Ok(text.split_ascii_whitespace().filter_map(|one| one.parse().ok()).collect())
    };
    Ok(CpuUsage {
        total: number(cgroup, "cpuacct.usage")?,
        percpu: each("cpuacct.usage_percpu")?,
        percpu_kernel: each("cpuacct.usage_percpu_sys")?,
        percpu_user: each("cpuacct.usage_percpu_user")?,
        kernel: number(cgroup, "cpuacct.usage_sys")?,
        user: number(cgroup, "cpuacct.usage_user")?,
    })
}

pub(super) fn memory(cgroup: &Hierarchy) -> Result<Memory> {
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
        cache: value(&raw, "cache"),
        usage: entry("memory")?,
        swap: entry("memory.memsw")?,
        kernel: entry("memory.kmem")?,
        kernel_tcp: entry("memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

/// Each count of block devices, and the files that may have it: what BFQ doesn't schedule, it doesn't
/// count.
const BLOCK_IO: [(&str, &[&str]); 8] = [
    // Bytes and requests.
    ("ioServiceBytesRecursive", &["bfq.io_service_bytes", "throttle.io_service_bytes"]),
    ("ioServicedRecursive", &["bfq.io_serviced", "throttle.io_serviced"]),
    // Requests that wait.
    ("ioQueueRecursive", &["bfq.io_queued"]),
    // Time that requests took, and that they waited, in nanoseconds.
    ("ioServiceTimeRecursive", &["bfq.io_service_time"]),
    ("ioWaitTimeRecursive", &["bfq.io_wait_time"]),
    // Requests that were made part of others.
    ("ioMergedRecursive", &["bfq.io_merged"]),
    // Time that devices were used, in milliseconds.
    ("ioTimeRecursive", &["bfq.time"]),
    ("sectorsRecursive", &["bfq.sectors"]),
];

pub(super) fn io(cgroup: &Hierarchy) -> Result<BlockIo> {
    let mut io = BlockIo::default();
    for (name, files) in BLOCK_IO {
        for file in files {
            let text = text(cgroup, &format!("blkio.{file}_recursive"))?;
            let entries: Vec<_> = text.lines().filter_map(io_line).collect();
            if !entries.is_empty() {
                io.counts.insert(name, entries);
                break;
            }
        }
    }
    Ok(io)
}

pub(super) fn cpuset(cgroup: &Hierarchy) -> Result<CpuSet> {
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
