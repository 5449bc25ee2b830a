//! `linux.resources.memory`: what v1 counts together, memory and swap, v2 counts apart.

use super::{Version, Write, refused};
use crate::error::Result;
use crate::file;
use crate::path::Hierarchy;
use oci_spec::runtime::LinuxMemory;

/// Every file to write, in order. 0 is what engines send for what nobody asked for.
pub(super) fn writes(memory: &LinuxMemory, version: Version) -> Result<Vec<Write>> {
    if let Some(swappiness) = memory.swappiness().filter(|&value| value > 100) {
        return Err(refused("memory.swappiness", format!("{swappiness} is not within 0 and 100")));
    }
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap >= 0
        && swap < limit
    {
        let reason =
            format!("{swap} is for memory and swap together, and memory alone has {limit}");
        return Err(refused("memory.swap", reason));
    }
    match version {
        Version::V1 => Ok(v1(memory, limit, swap)),
        Version::V2 => v2(memory, limit, swap),
    }
}

fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|&value| value != 0)
}

fn v1(memory: &LinuxMemory, limit: Option<i64>, swap: Option<i64>) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut write = |property: &'static str, file: &'static str, value: Option<i64>, optional| {
        if let Some(value) = value {
            writes.push(Write::new(property, file, value.to_string()).optional(optional));
        }
    };
    write("memory.limit", "memory.limit_in_bytes", limit, false);
    // Without a limit on memory, one on both together makes no sense.
    let unlimited = if limit == Some(-1) { swap.or(limit) } else { swap };
    let harmless = unlimited == Some(-1);
    write("memory.swap", "memory.memsw.limit_in_bytes", unlimited, harmless);
    let reservation = set(memory.reservation());
    write("memory.reservation", "memory.soft_limit_in_bytes", reservation, false);
    // Kernels have taken these two out by and by.
    #[allow(deprecated)]
    let kernel = set(memory.kernel());
    write("memory.kernel", "memory.kmem.limit_in_bytes", kernel, true);
    let tcp = set(memory.kernel_tcp());
    write("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", tcp, true);
    let swappiness = memory.swappiness().and_then(|value| i64::try_from(value).ok());
    write("memory.swappiness", "memory.swappiness", swappiness, false);
    let is = |asked: Option<bool>| (asked == Some(true)).then_some(1);
    write("memory.disableOOMKiller", "memory.oom_control", is(memory.disable_oom_killer()), false);
    write("memory.useHierarchy", "memory.use_hierarchy", is(memory.use_hierarchy()), true);
    writes
}

/// Of what v2 lacks, `useHierarchy` is always so; the kernel's memory is part of the limit;
/// swappiness and the OOM killer are not the cgroup's.
fn v2(memory: &LinuxMemory, limit: Option<i64>, swap: Option<i64>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    match (limit, swap) {
        (_, None) if limit != Some(-1) => {}
        (Some(-1), None) | (_, Some(..=-1)) => {
            writes.push(
                Write::new("memory.swap", "memory.swap.max", "max".to_owned()).optional(true),
            );
        }
        (Some(limit @ 1..), Some(swap)) => {
            let own = swap - limit;
            // Without swap accounting there is no swap to be had beyond the limit either.
            writes.push(
                Write::new("memory.swap", "memory.swap.max", own.to_string()).optional(own == 0),
            );
        }
        _ => {
            let reason = "cgroup v2 limits swap by itself, which takes memory.limit to tell";
            return Err(refused("memory.swap", reason));
        }
    }
    let bytes = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    if let Some(limit) = limit {
        writes.push(Write::new("memory.limit", "memory.max", bytes(limit)));
    }
    if let Some(reservation) = set(memory.reservation()) {
        writes.push(Write::new("memory.reservation", "memory.low", bytes(reservation)));
    }
    Ok(writes)
}

/// Where `checkBeforeUpdate` asks for it, refuses a limit that is used up already: v2 would kill.
pub(super) fn refuse_below_usage(cgroup: &Hierarchy, memory: &LinuxMemory) -> Result<()> {
    if memory.check_before_update() != Some(true) {
        return Ok(());
    }
    let (usage, both) = if cgroup.is_unified() {
        ("memory.current", "memory.current")
    } else {
        ("memory.usage_in_bytes", "memory.memsw.usage_in_bytes")
    };
    let limits = [
        ("memory+swap", "memory.swap", memory.swap(), both),
        ("memory", "memory.limit", memory.limit(), usage),
    ];
    for (what, property, limit, file) in limits {
        let Some(limit) = limit.filter(|&limit| limit > 0) else { continue };
        // Without an account there is nothing to compare with.
        let used = file::try_read_value(&cgroup.file(file)).ok();
        match used.and_then(|text| text.trim_end().parse().ok()) {
            Some(used) if limit <= used => {
                let reason = format!("rejecting {what} limit {limit} <= usage {used}");
                return Err(refused(property, reason));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::tests::{check, refuse};
    use super::*;

    fn v1(config: &str, expected: &[(&str, &str)]) {
        check(|asked| writes(asked, Version::V1), config, expected);
    }

    fn v2(config: &str, expected: &[(&str, &str)]) {
        check(|asked| writes(asked, Version::V2), config, expected);
    }

    #[test]
    fn limits_of_v1() {
        v1(
            r#"{ "limit": 67108864, "reservation": 33554432, "swap": 100663296 }"#,
            &[
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "100663296"),
                ("memory.soft_limit_in_bytes", "33554432"),
            ],
        );
        v1(r#"{ "limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "kernelTCP": 0 }"#, &[]);
        v1(
            r#"{ "disableOOMKiller": false, "useHierarchy": false, "checkBeforeUpdate": true }"#,
            &[],
        );
        v1(
            r#"{ "swappiness": 0, "disableOOMKiller": true, "useHierarchy": true }"#,
            &[
                ("memory.swappiness", "0"),
                ("memory.oom_control", "1"),
                ("memory.use_hierarchy", "1"),
            ],
        );
        v1(
            r#"{ "kernel": -1, "kernelTCP": 16777216 }"#,
            &[("memory.kmem.limit_in_bytes", "-1"), ("memory.kmem.tcp.limit_in_bytes", "16777216")],
        );
        v1(
            r#"{ "limit": -1 }"#,
            &[("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
        );
        v1(r#"{ "swap": 4096 }"#, &[("memory.memsw.limit_in_bytes", "4096")]);
    }

    #[test]
    fn limits_of_v2() {
        v2(
            r#"{ "limit": 67108864, "reservation": 33554432, "swap": 100663296 }"#,
            &[
                ("memory.swap.max", "33554432"),
                ("memory.max", "67108864"),
                ("memory.low", "33554432"),
            ],
        );
        v2(
            r#"{ "limit": 4096, "swap": 4096 }"#,
            &[("memory.swap.max", "0"), ("memory.max", "4096")],
        );
        v2(
            r#"{ "limit": 4096, "swap": -1 }"#,
            &[("memory.swap.max", "max"), ("memory.max", "4096")],
        );
        v2(r#"{ "limit": 4096, "swap": 0 }"#, &[("memory.max", "4096")]);
        v2(r#"{ "limit": -1 }"#, &[("memory.swap.max", "max"), ("memory.max", "max")]);
        v2(r#"{ "swap": -1 }"#, &[("memory.swap.max", "max")]);
        v2(r#"{ "limit": 0, "swap": 0, "reservation": 0 }"#, &[]);
        v2(r#"{ "reservation": -1 }"#, &[("memory.low", "max")]);
        v2(r#"{ "swappiness": 7, "disableOOMKiller": true, "kernel": 1, "kernelTCP": 1 }"#, &[]);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for version in [Version::V1, Version::V2] {
            let writes = |asked: &LinuxMemory| writes(asked, version);
            refuse(writes, r#"{ "swappiness": 101 }"#, "linux.resources.memory.swappiness: 101");
            refuse(writes, r#"{ "limit": 8192, "swap": 4096 }"#, "linux.resources.memory.swap: ");
        }
        let writes = |asked: &LinuxMemory| writes(asked, Version::V2);
        refuse(writes, r#"{ "swap": 4096 }"#, "linux.resources.memory.swap: ");
        refuse(writes, r#"{ "limit": -1, "swap": 4096 }"#, "linux.resources.memory.swap: ");
    }

    #[test]
    fn only_what_limits_something_must_be_there() {
        let optional = |config, version| -> Vec<bool> {
            let memory = serde_json::from_str(config).unwrap();
            let all = writes(&memory, version).unwrap();
            all.iter().map(|one| one.absent == super::super::Absent::Ignore).collect()
        };
        assert_eq!(optional(r#"{ "limit": 9, "swap": 10 }"#, Version::V1), [false, false]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": -1 }"#, Version::V1), [false, true]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": 10 }"#, Version::V2), [false, false]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": 9 }"#, Version::V2), [true, false]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": -1 }"#, Version::V2), [true, false]);
    }
}
