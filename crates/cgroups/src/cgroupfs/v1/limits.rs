//! What a limit is on v1: writes to files (the kernel's admin-guide/cgroup-v1).

use crate::cgroupfs::write::Write;
use crate::error::{Result, of_limit};
use crate::limits::{Direction, Limit, SHARES};

/// The writes that set `limit`, in order.
pub(crate) fn writes(limit: &Limit) -> Result<Vec<Write>> {
    let one = match limit {
        Limit::Memory { limit, swap, .. } => {
            let limit =
                limit.map(|bytes| Write::new("memory.limit", "memory.limit_in_bytes", &bytes));
            let swap = swap.map(|bytes| {
                Write::new("memory.swap", "memory.memsw.limit_in_bytes", &bytes)
                    .optional(bytes == -1)
            });
            return Ok(limit.into_iter().chain(swap).collect());
        }
        Limit::MemoryReservation(bytes) => {
            Write::new("memory.reservation", "memory.soft_limit_in_bytes", bytes)
        }
        // Newer kernels don't have these two.
        Limit::KernelMemory(bytes) => {
            Write::new("memory.kernel", "memory.kmem.limit_in_bytes", bytes).optional(true)
        }
        Limit::KernelTcpMemory(bytes) => {
            Write::new("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", bytes).optional(true)
        }
        Limit::Swappiness(value) => Write::new("memory.swappiness", "memory.swappiness", value),
        Limit::DisableOomKiller => Write::new("memory.disableOOMKiller", "memory.oom_control", &1)
            .shown_as("oom_kill_disable"),
        Limit::UseHierarchy => {
            Write::new("memory.useHierarchy", "memory.use_hierarchy", &1).optional(true)
        }
        Limit::CpuShares(shares) if !SHARES.contains(shares) => {
            // The kernel would take the nearest valid number.
            let (least, most) = (SHARES.start(), SHARES.end());
            let reason = format!("{shares} is not within {least} and {most}");
            return Err(of_limit("cpu.shares", reason));
        }
        Limit::CpuShares(shares) => Write::new("cpu.shares", "cpu.shares", shares),
        Limit::CpuBandwidth { quota, period } => {
            let period = period.map(|usec| Write::new("cpu.period", "cpu.cfs_period_us", &usec));
            let quota = quota.map(|usec| Write::new("cpu.quota", "cpu.cfs_quota_us", &usec));
            return Ok(period.into_iter().chain(quota).collect());
        }
        Limit::CpuRealtime { runtime, period } => {
            let period =
                period.map(|usec| Write::new("cpu.realtimePeriod", "cpu.rt_period_us", &usec));
            let runtime =
                runtime.map(|usec| Write::new("cpu.realtimeRuntime", "cpu.rt_runtime_us", &usec));
            return Ok(period.into_iter().chain(runtime).collect());
        }
        Limit::CpuBurst(usec) => {
            Write::new("cpu.burst", "cpu.cfs_burst_us", usec).optional(*usec == 0)
        }
        Limit::CpuIdle(idle) => Write::new("cpu.idle", "cpu.idle", idle).optional(*idle == 0),
        Limit::Cpus(list) => Write::new("cpu.cpus", "cpuset.cpus", list),
        Limit::MemoryNodes(list) => Write::new("cpu.mems", "cpuset.mems", list),
        Limit::Pids(limit) => Write::number_or_max("pids.limit", "pids.max", *limit),
        // BFQ may not be loaded. `blkio.weight` was CFQ's, which newer kernels don't have.
        Limit::IoWeight { device: None, weight } => {
            Write::new("blockIO.weight", "blkio.bfq.weight", weight).or("blkio.weight", weight)
        }
        Limit::IoWeight { device: Some(device), weight } => {
            let weight = format!("{device} {weight}");
            Write::new("blockIO.weightDevice", "blkio.bfq.weight_device", &weight)
                .or("blkio.weight_device", &weight)
                .line_of(device, Some(format!("{device} default")))
        }
        Limit::IoLeafWeight { device: None, weight } => {
            Write::new("blockIO.leafWeight", "blkio.leaf_weight", weight)
        }
        Limit::IoLeafWeight { device: Some(device), weight } => {
            let (property, file) = ("blockIO.weightDevice.leafWeight", "blkio.leaf_weight_device");
            Write::new(property, file, &format_args!("{device} {weight}"))
                .line_of(device, Some(format!("{device} default")))
        }
        Limit::IoRate { device, direction, rate } => {
            let file = match direction {
                Direction::ReadBytes => "blkio.throttle.read_bps_device",
                Direction::WriteBytes => "blkio.throttle.write_bps_device",
                Direction::ReadOperations => "blkio.throttle.read_iops_device",
                Direction::WriteOperations => "blkio.throttle.write_iops_device",
            };
            Write::new(direction.property(), file, &format_args!("{device} {rate}"))
                .line_of(device, Some(format!("{device} 0")))
        }
        Limit::HugePages { index, size, limit } => {
            return Ok(Write::huge_pages(*index, size, "limit_in_bytes", limit));
        }
        Limit::NetworkClass(class) => Write::new("network.classID", "net_cls.classid", class),
        Limit::NetworkPriority { interface, priority } => {
            let priority = format!("{interface} {priority}");
            Write::new("network.priorities", "net_prio.ifpriomap", &priority)
                .line_of(interface, None)
        }
        Limit::Rdma { device, handles, objects } => Write::rdma(device, *handles, *objects),
        // A line of `unified` is only for v2's hierarchy.
        Limit::Unified { .. } => return Ok(Vec::new()),
    };
    Ok(vec![one])
}
