//! From `linux.resources` to a list of typed limits, in the order in which rind sets them.
//!
//! This knows no file of the kernel, no property of systemd and no text: `cgroupfs/v1/limits.rs`,
//! `cgroupfs/v2/limits.rs` and `scope/properties.rs` each say in one `match` what a [`Limit`] is
//! there. A new limit is a variant here, and the compiler then asks for its arm in these three.

use crate::error::{Result, of_limit};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxNetwork, LinuxRdma,
    LinuxResources, LinuxThrottleDevice,
};
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

/// The scheduler's period if nobody asks for one (cgroup v2's own default), in microseconds.
pub(crate) const PERIOD: u64 = 100_000;

/// The values that v1's `cpu.shares` takes.
pub(crate) const SHARES: RangeInclusive<u64> = 2..=262_144;

/// One limit, in the specification's units: bytes, microseconds, numbers of things.
///
/// Engines send 0 for what nobody asked for, so that 0 is no limit, except where a comment says that it
/// is. -1 lifts a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    // `memory.limit`, and `memory.swap` for memory and swap together: one limit, as they bound each
    // other. `check` refuses what is less than the container uses (`checkBeforeUpdate`).
    Memory { limit: Option<i64>, swap: Option<i64>, check: bool },
    MemoryReservation(i64),
    KernelMemory(i64),
    KernelTcpMemory(i64),
    // 0 to 100.
    Swappiness(u64),
    DisableOomKiller,
    UseHierarchy,
    CpuShares(u64),
    CpuBandwidth { quota: Option<i64>, period: Option<u64> },
    CpuRealtime { runtime: Option<i64>, period: Option<u64> },
    // 0 is a value, for burst and idle.
    CpuBurst(u64),
    CpuIdle(i64),
    // Lists as in cpuset(7).
    Cpus(String),
    MemoryNodes(String),
    // 0 is a limit; every negative number lifts it.
    Pids(i64),
    // BFQ's weight (10 to 1000), of a device or of all.
    IoWeight { device: Option<Device>, weight: u16 },
    IoLeafWeight { device: Option<Device>, weight: u16 },
    // A rate of 0 lifts the limit.
    IoRate { device: Device, direction: Direction, rate: u64 },
    // The entry `index` of `hugepageLimits`.
    HugePages { index: usize, size: String, limit: i64 },
    NetworkClass(u32),
    NetworkPriority { interface: String, priority: u32 },
    Rdma { device: String, handles: Option<u32>, objects: Option<u32> },
    // A line of `unified`: a file of v2 by its name, and what to write, as the user gave it.
    Unified { file: String, line: String },
}

/// A block device by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub major: i64,
    pub minor: i64,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What a rate counts: bytes or operations a second, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

impl Direction {
    /// The property that asks for such a rate, from `linux.resources.` on.
    pub fn property(self) -> &'static str {
        match self {
            Self::ReadBytes => "blockIO.throttleReadBpsDevice",
            Self::WriteBytes => "blockIO.throttleWriteBpsDevice",
            Self::ReadOperations => "blockIO.throttleReadIOPSDevice",
            Self::WriteOperations => "blockIO.throttleWriteIOPSDevice",
        }
    }
}

impl Limit {
    /// The controller that has the limit, by its v1 name; `unified` for a file of v2.
    pub fn controller(&self) -> &'static str {
        match self {
            Self::Memory { .. }
            | Self::MemoryReservation(_)
            | Self::KernelMemory(_)
            | Self::KernelTcpMemory(_)
            | Self::Swappiness(_)
            | Self::DisableOomKiller
            | Self::UseHierarchy => "memory",
            Self::CpuShares(_)
            | Self::CpuBandwidth { .. }
            | Self::CpuRealtime { .. }
            | Self::CpuBurst(_)
            | Self::CpuIdle(_) => "cpu",
            Self::Cpus(_) | Self::MemoryNodes(_) => "cpuset",
            Self::Pids(_) => "pids",
            Self::IoWeight { .. } | Self::IoLeafWeight { .. } | Self::IoRate { .. } => "blkio",
            Self::HugePages { .. } => "hugetlb",
            Self::NetworkClass(_) => "net_cls",
            Self::NetworkPriority { .. } => "net_prio",
            Self::Rdma { .. } => "rdma",
            Self::Unified { .. } => "unified",
        }
    }
}

/// All that `resources` ask for. An error names the property.
pub(crate) fn of(resources: &LinuxResources) -> Result<Vec<Limit>> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        add_memory(memory, &mut all)?;
    }
    if let Some(cpu) = resources.cpu() {
        add_cpu(cpu, &mut all);
    }
    all.extend(resources.pids().as_ref().map(|pids| Limit::Pids(pids.limit())));
    if let Some(block) = resources.block_io() {
        add_block_io(block, &mut all);
    }
    for (index, pages) in resources.hugepage_limits().iter().flatten().enumerate() {
        all.push(huge_pages(index, pages)?);
    }
    if let Some(network) = resources.network() {
        add_network(network, &mut all);
    }
    if let Some(rdma) = resources.rdma() {
        add_rdma(rdma, &mut all)?;
    }
    if let Some(unified) = resources.unified() {
        add_unified(unified, &mut all)?;
    }
    Ok(all)
}

fn set<T: PartialEq + Default>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

fn add_memory(memory: &LinuxMemory, all: &mut Vec<Limit>) -> Result<()> {
    if let Some(swappiness) = memory.swappiness().filter(|&value| value > 100) {
        let reason = format!("{swappiness} is not within 0 and 100");
        return Err(of_limit("memory.swappiness", reason));
    }
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    check_swap(limit, swap)?;
    // If memory has no limit, one on both together makes no sense.
    let swap = swap.or(limit.filter(|&limit| limit == -1));
    if limit.is_some() || swap.is_some() {
        let check = memory.check_before_update() == Some(true);
        all.push(Limit::Memory { limit, swap, check });
    }
    all.extend(set(memory.reservation()).map(Limit::MemoryReservation));
    #[allow(deprecated)]
    all.extend(set(memory.kernel()).map(Limit::KernelMemory));
    all.extend(set(memory.kernel_tcp()).map(Limit::KernelTcpMemory));
    all.extend(memory.swappiness().map(Limit::Swappiness));
    all.extend(set(memory.disable_oom_killer()).map(|_| Limit::DisableOomKiller));
    all.extend(set(memory.use_hierarchy()).map(|_| Limit::UseHierarchy));
    Ok(())
}

/// Refuses a limit on memory and swap together that is less than the one on memory.
pub(crate) fn check_swap(limit: Option<i64>, swap: Option<i64>) -> Result<()> {
    match (limit, swap) {
        (Some(limit), Some(swap @ 0..)) if swap < limit => {
            let reason =
                format!("{swap} is for memory and swap together, and memory alone has {limit}");
            Err(of_limit("memory.swap", reason))
        }
        _ => Ok(()),
    }
}

fn add_cpu(cpu: &LinuxCpu, all: &mut Vec<Limit>) {
    all.extend(set(cpu.shares()).map(Limit::CpuShares));
    let (quota, period) = (set(cpu.quota()), set(cpu.period()));
    if quota.is_some() || period.is_some() {
        all.push(Limit::CpuBandwidth { quota, period });
    }
    let (runtime, period) = (set(cpu.realtime_runtime()), set(cpu.realtime_period()));
    if runtime.is_some() || period.is_some() {
        all.push(Limit::CpuRealtime { runtime, period });
    }
    all.extend(cpu.burst().map(Limit::CpuBurst));
    all.extend(cpu.idle().map(Limit::CpuIdle));
    all.extend(set(cpu.cpus().clone()).map(Limit::Cpus));
    all.extend(set(cpu.mems().clone()).map(Limit::MemoryNodes));
}

fn add_block_io(block: &LinuxBlockIo, all: &mut Vec<Limit>) {
    let mut add = |device, weight, leaf_weight| {
        all.extend(set(weight).map(|weight| Limit::IoWeight { device, weight }));
        all.extend(set(leaf_weight).map(|weight| Limit::IoLeafWeight { device, weight }));
    };
    add(None, block.weight(), block.leaf_weight());
    for one in block.weight_device().iter().flatten() {
        let device = Device { major: one.major(), minor: one.minor() };
        add(Some(device), one.weight(), one.leaf_weight());
    }
    let rates: [(Direction, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        (Direction::ReadBytes, block.throttle_read_bps_device()),
        (Direction::WriteBytes, block.throttle_write_bps_device()),
        (Direction::ReadOperations, block.throttle_read_iops_device()),
        (Direction::WriteOperations, block.throttle_write_iops_device()),
    ];
    for (direction, devices) in rates {
        all.extend(devices.iter().flatten().map(|one| {
            let device = Device { major: one.major(), minor: one.minor() };
            Limit::IoRate { device, direction, rate: one.rate() }
        }));
    }
}

fn huge_pages(index: usize, pages: &LinuxHugepageLimit) -> Result<Limit> {
    let size = pages.page_size();
    // The size becomes part of a file's name.
    let unit = size.trim_start_matches(|one: char| one.is_ascii_digit());
    if unit.len() == size.len() || !matches!(unit, "KB" | "MB" | "GB" | "TB" | "PB") {
        let reason = format!("{size:?} is no size such as 2MB");
        return Err(of_limit(&format!("hugepageLimits[{index}].pageSize"), reason));
    }
    Ok(Limit::HugePages { index, size: size.clone(), limit: pages.limit() })
}

fn add_network(network: &LinuxNetwork, all: &mut Vec<Limit>) {
    all.extend(set(network.class_id()).map(Limit::NetworkClass));
    all.extend(network.priorities().iter().flatten().map(|one| Limit::NetworkPriority {
        interface: one.name().clone(),
        priority: one.priority(),
    }));
}

fn add_rdma(limits: &HashMap<String, LinuxRdma>, all: &mut Vec<Limit>) -> Result<()> {
    let mut devices: Vec<_> = limits.iter().collect();
    devices.sort_by_key(|(device, _)| *device);
    for (device, limits) in devices {
        let (handles, objects) = (limits.hca_handles(), limits.hca_objects());
        if handles.is_none() && objects.is_none() {
            let property = format!("rdma.{device}");
            return Err(of_limit(&property, "neither hcaHandles nor hcaObjects"));
        }
        all.push(Limit::Rdma { device: device.clone(), handles, objects });
    }
    Ok(())
}

/// Every line of a value is a limit of its own, and a write of its own.
fn add_unified(files: &HashMap<String, String>, all: &mut Vec<Limit>) -> Result<()> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    for (name, value) in files {
        // GHSA-5g49-rx9x-qfc6: anything else is a path, to other cgroups or out of them.
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
            let reason = format!("{name:?} is no name of a file in a cgroup");
            return Err(of_limit("unified", reason));
        }
        if let Some(reason) = not_a_setting(name) {
            return Err(of_limit(&format!("unified.{name}"), reason));
        }
        let lines = value.split('\n').filter(|line| !line.is_empty() || value.is_empty());
        all.extend(lines.map(|line| Limit::Unified { file: name.clone(), line: line.to_owned() }));
    }
    Ok(())
}

/// Files of the cgroup core that hold a setting of this one cgroup.
const CORE_SETTINGS: [&str; 3] = ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];

/// Why a write to the file `name` sets nothing for the container, if it doesn't: it would move, stop
/// or kill processes, or the kernel would undo it as soon as rind closes the file.
fn not_a_setting(name: &str) -> Option<&'static str> {
    if CORE_SETTINGS.contains(&name) {
        return None;
    }
    // `cgroup.procs` takes the pid of any process of the host's, and 0 for the writer.
    if controller_of(name) == "cgroup" {
        return Some("it is the runtime's to write, no limit that a config can set");
    }
    match name.rsplit('.').next() {
        Some("reclaim") => Some("it has memory given back at once, which is no limit"),
        Some("peak" | "pressure") => {
            Some("what is written there has no effect once the file is closed")
        }
        _ => None,
    }
}

/// The v2 controller that the file `name` belongs to.
pub(crate) fn controller_of(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// No limit, of what is counted in bytes.
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// What v2 limits swap alone to, in bytes, where `swap` is for memory and swap together. `None`
/// means that it takes `memory.limit` to tell.
pub(crate) fn swap_alone(limit: Option<i64>, swap: i64) -> Option<u64> {
    match (limit, swap) {
        (_, ..=-1) => Some(UNLIMITED),
        (Some(limit @ 1..), _) => Some(u64::try_from(swap - limit).unwrap_or(UNLIMITED)),
        _ => None,
    }
}

/// v1's shares (2 to 262144, 1024 by default) as v2's weight (1 to 10000, 100 by default): a
/// quadratic function, in logarithms, through these three, as all runtimes have agreed on.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn cpu_weight(shares: u64) -> u64 {
    let log = (shares.clamp(*SHARES.start(), *SHARES.end()) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

/// BFQ's weight (10 to 1000) as v2's `io.weight` (1 to 10000).
pub(crate) fn io_weight(weight: u16) -> u16 {
    let above = u32::from(weight.clamp(10, 1000)) - 10;
    u16::try_from(1 + above * 9999 / 990).unwrap_or(10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        let table = [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)];
        for (shares, expected) in table {
            assert_eq!(cpu_weight(shares), expected, "{shares}");
        }
        assert_eq!(cpu_weight(u64::MAX), 10_000);
        assert_eq!((io_weight(10), io_weight(1000)), (1, 10_000));
    }
}
