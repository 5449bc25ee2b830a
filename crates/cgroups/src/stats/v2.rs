//! Statistics of v2's files, in v1's terms.

use super::read::{io_line, number, pressure, ranges, table, text, throttling, value};
use super::{BlockIo, Cpu, CpuSet, CpuUsage, Memory, MemoryEntry};
use crate::cgroup::Hierarchy;
use crate::error::Result;
use libcgroups::stats as parse;
use std::path::Path;

/// `cpu.stat`, which is there without the controller too.
pub(super) fn cpu(cgroup: &Hierarchy) -> Result<Cpu> {
    let stat = table(cgroup, "cpu.stat")?;
    let nanoseconds = |key: &str| value(&stat, key).saturating_mul(1000);
    Ok(Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            user: nanoseconds("user_usec"),
            kernel: nanoseconds("system_usec"),
            ..CpuUsage::default()
        },
        throttling: throttling(&stat, nanoseconds("throttled_usec")),
        psi: pressure(cgroup, "cpu.pressure")?,
    })
}

pub(super) fn cpuset(cgroup: &Hierarchy) -> Result<CpuSet> {
    Ok(CpuSet {
        cpus: ranges(&text(cgroup, "cpuset.cpus.effective")?),
        mems: ranges(&text(cgroup, "cpuset.mems.effective")?),
        ..CpuSet::default()
    })
}

pub(super) fn memory(cgroup: &Hierarchy) -> Result<Memory> {
    let entry = |prefix: &str| -> Result<MemoryEntry> {
        let number = |file| number(cgroup, &format!("{prefix}.{file}"));
        let events = table(cgroup, &format!("{prefix}.events"))?;
        Ok(MemoryEntry {
            limit: number("max")?,
            usage: number("current")?,
            max: number("peak")?,
            failcnt: value(&events, "max"),
        })
    };
    let raw = table(cgroup, "memory.stat")?;
    let (usage, mut swap) = (entry("memory")?, entry("memory.swap")?);
    // v1 counts memory and swap together. The kernel doesn't count the most of both.
    swap.max = 0;
    swap.usage = swap.usage.saturating_add(usage.usage);
    swap.limit = swap.limit.saturating_add(usage.limit);
    Ok(Memory {
        cache: value(&raw, "file"),
        usage,
        swap,
        raw,
        psi: pressure(cgroup, "memory.pressure")?,
        ..Memory::default()
    })
}

pub(super) fn io(cgroup: &Hierarchy) -> Result<BlockIo> {
    let mut io = BlockIo { psi: pressure(cgroup, "io.pressure")?, ..BlockIo::default() };
    // A cgroup that has used no device has an empty file, and one without the controller none.
    let devices = parse::parse_nested_keyed_data(Path::new(&cgroup.file("io.stat")));
    for (device, counts) in devices.unwrap_or_default() {
        for (key, value) in counts.iter().filter_map(|count| count.split_once('=')) {
            let (name, op) = match key {
                "rbytes" => ("ioServiceBytesRecursive", "Read"),
                "wbytes" => ("ioServiceBytesRecursive", "Write"),
                "rios" => ("ioServicedRecursive", "Read"),
                "wios" => ("ioServicedRecursive", "Write"),
                _ => continue,
            };
            if let Some(entry) = io_line(&format!("{device} {op} {value}")) {
                io.counts.entry(name).or_default().push(entry);
            }
        }
    }
    io.counts.values_mut().for_each(|entries| entries.sort_unstable());
    Ok(io)
}
