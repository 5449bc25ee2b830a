//! What a limit is on v2: writes to files (the kernel's admin-guide/cgroup-v2.rst).

use crate::cgroupfs::write::Write;
use crate::error::{Error, Result, of_limit};
use crate::limits::{
    Direction, Limit, PERIOD, UNLIMITED, controller_of, cpu_weight, io_weight, swap_alone,
};

/// The writes that set `limit`, in order.
pub(crate) fn writes(limit: &Limit) -> Result<Vec<Write>> {
    let one = match limit {
        Limit::Memory { limit, swap, .. } => {
            // Swap comes first: memory that a lower limit takes away may then go there.
            let swap = swap.map(|both| swap_write(*limit, both)).transpose()?;
            let limit =
                limit.map(|bytes| Write::number_or_max("memory.limit", "memory.max", bytes));
            return Ok(swap.into_iter().chain(limit).collect());
        }
        Limit::MemoryReservation(bytes) => {
            Write::number_or_max("memory.reservation", "memory.low", *bytes)
        }
        // The limit on memory includes the kernel's, v2 always uses the hierarchy, and a cgroup has no
        // swappiness and no OOM killer of its own.
        Limit::KernelMemory(_)
        | Limit::KernelTcpMemory(_)
        | Limit::Swappiness(_)
        | Limit::DisableOomKiller
        | Limit::UseHierarchy => return Ok(Vec::new()),
        Limit::CpuShares(shares) => Write::new("cpu.shares", "cpu.weight", &cpu_weight(*shares)),
        Limit::CpuBandwidth { quota, period } => {
            let period = period.unwrap_or(PERIOD);
            let value = match quota {
                Some(quota @ 1..) => format!("{quota} {period}"),
                _ => format!("max {period}"),
            };
            Write::new("cpu.quota", "cpu.max", &value)
        }
        Limit::CpuRealtime { .. } => {
            let reason = "cgroup v2 has no limits for real-time scheduling";
            return Err(of_limit("cpu.realtimeRuntime", reason));
        }
        Limit::CpuBurst(usec) => {
            Write::new("cpu.burst", "cpu.max.burst", usec).optional(*usec == 0)
        }
        Limit::CpuIdle(idle) => Write::new("cpu.idle", "cpu.idle", idle).optional(*idle == 0),
        Limit::Cpus(list) => Write::new("cpu.cpus", "cpuset.cpus", list),
        Limit::MemoryNodes(list) => Write::new("cpu.mems", "cpuset.mems", list),
        Limit::Pids(limit) => Write::number_or_max("pids.limit", "pids.max", *limit),
        Limit::IoWeight { device: None, weight } => {
            Write::new("blockIO.weight", "io.bfq.weight", weight)
                .or("io.weight", &io_weight(*weight))
        }
        Limit::IoWeight { device: Some(device), weight } => {
            Write::new("blockIO.weightDevice", "io.bfq.weight", &format_args!("{device} {weight}"))
                .or("io.weight", &format_args!("{device} {}", io_weight(*weight)))
                .line_of(device, Some(format!("{device} default")))
        }
        Limit::IoLeafWeight { device, .. } => {
            let property = match device {
                None => "blockIO.leafWeight",
                Some(_) => "blockIO.weightDevice.leafWeight",
            };
            return Err(of_limit(property, "cgroup v2 has no weights of leaves"));
        }
        Limit::IoRate { device, direction, rate } => {
            let key = match direction {
                Direction::ReadBytes => "rbps",
                Direction::WriteBytes => "wbps",
                Direction::ReadOperations => "riops",
                Direction::WriteOperations => "wiops",
            };
            let value = match rate {
                0 => format!("{device} {key}=max"),
                _ => format!("{device} {key}={rate}"),
            };
            Write::new(direction.property(), "io.max", &value)
                .line_of(device, unset("io.max", &device.to_string()))
        }
        Limit::HugePages { index, size, limit } => {
            let value = u64::try_from(*limit).map_or("max".to_owned(), |limit| limit.to_string());
            return Ok(Write::huge_pages(*index, size, "max", &value));
        }
        Limit::NetworkClass(_) => return Err(only_v1("network.classID", limit)),
        Limit::NetworkPriority { .. } => return Err(only_v1("network.priorities", limit)),
        Limit::Rdma { device, handles, objects } => Write::rdma(device, *handles, *objects),
        Limit::Unified { file, line } => unified(file, line),
    };
    Ok(vec![one])
}

/// `both` is for memory and swap together.
fn swap_write(limit: Option<i64>, both: i64) -> Result<Write> {
    let Some(alone) = swap_alone(limit, both) else {
        let reason = "cgroup v2 limits swap by itself, which takes memory.limit to tell";
        return Err(of_limit("memory.swap", reason));
    };
    let value = if alone == UNLIMITED { "max".to_owned() } else { alone.to_string() };
    // If swap is not enabled there is no such file, and rind leaves these two out, as runc does.
    let is_optional = matches!(alone, 0 | UNLIMITED);
    Ok(Write::new("memory.swap", "memory.swap.max", &value).optional(is_optional))
}

fn only_v1(property: &str, limit: &Limit) -> Error {
    let controller = limit.controller();
    of_limit(property, format!("{controller} is of cgroup v1, and not on this host"))
}

/// The user's own line, to the byte. Some files have one line for each device.
fn unified(file: &str, line: &str) -> Write {
    let write = Write::new(format!("unified.{file}"), file.to_owned(), &line);
    let has_lines = matches!(controller_of(file), "io" | "rdma" | "misc" | "dmem");
    match line.split_once(' ').filter(|_| has_lines) {
        Some((key, _)) => write.line_of(&key, unset(file, key)),
        None => write,
    }
}

/// The line that takes a device's limit away.
fn unset(file: &str, device: &str) -> Option<String> {
    match file {
        "io.max" => Some(format!("{device} rbps=max wbps=max riops=max wiops=max")),
        file if file.contains("weight") => Some(format!("{device} default")),
        _ => None,
    }
}
