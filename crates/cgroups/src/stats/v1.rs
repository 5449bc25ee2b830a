//! Statistics of v1's files.

use super::read::{io_line, number, ranges, table, text, throttling, value};
use super::{BlockIo, BlockIoEntry, Cpu, CpuSet, CpuUsage, Memory, MemoryEntry};
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

pub(super) fn io(cgroup: &Hierarchy) -> Result<BlockIo> {
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
