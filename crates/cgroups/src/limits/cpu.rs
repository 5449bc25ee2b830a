//! `linux.resources.cpu`: the cpu controller's files, and cpuset's.

use super::{Version, Write, refused};
use crate::error::Result;
use oci_spec::runtime::LinuxCpu;
use std::ops::RangeInclusive;

/// The scheduler's period where none is asked for (cgroup v2's own default), in microseconds.
const PERIOD: u64 = 100_000;

/// What v1 has shares for.
const SHARES: RangeInclusive<u64> = 2..=262_144;

/// Every file of the cpu controller to write, in order. 0 is what engines send for what nobody
/// asked for.
pub(super) fn writes(cpu: &LinuxCpu, version: Version) -> Result<Vec<Write>> {
    let (shares, period) = (set(cpu.shares()), set(cpu.period()));
    let quota = cpu.quota().filter(|&quota| quota != 0);
    let runtime = cpu.realtime_runtime().filter(|&runtime| runtime != 0);
    let realtime_period = set(cpu.realtime_period());
    let mut writes = Vec::new();
    let burst = match version {
        Version::V1 => {
            if let Some(shares) = shares.filter(|shares| !SHARES.contains(shares)) {
                // The kernel would take the nearest.
                let (least, most) = (SHARES.start(), SHARES.end());
                let reason = format!("{shares} is not within {least} and {most}");
                return Err(refused("cpu.shares", reason));
            }
            let mut write = |property: &'static str, file: &'static str, value: Option<String>| {
                writes.extend(value.map(|value| Write::new(property, file, value)));
            };
            write("cpu.shares", "cpu.shares", shares.map(|value| value.to_string()));
            write("cpu.period", "cpu.cfs_period_us", period.map(|value| value.to_string()));
            write("cpu.quota", "cpu.cfs_quota_us", quota.map(|value| value.to_string()));
            let period = realtime_period.map(|value| value.to_string());
            write("cpu.realtimePeriod", "cpu.rt_period_us", period);
            let runtime = runtime.map(|value| value.to_string());
            write("cpu.realtimeRuntime", "cpu.rt_runtime_us", runtime);
            "cpu.cfs_burst_us"
        }
        Version::V2 => {
            if runtime.is_some() || realtime_period.is_some() {
                let reason = "cgroup v2 has no limits for real-time scheduling";
                return Err(refused("cpu.realtimeRuntime", reason));
            }
            writes
                .extend(shares.map(|value| {
                    Write::new("cpu.shares", "cpu.weight", weight(value).to_string())
                }));
            if quota.is_some() || period.is_some() {
                let quota = quota.filter(|&quota| quota > 0);
                let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
                let value = format!("{quota} {}", period.unwrap_or(PERIOD));
                writes.push(Write::new("cpu.quota", "cpu.max", value));
            }
            "cpu.max.burst"
        }
    };
    if let Some(value) = cpu.burst() {
        writes.push(Write::new("cpu.burst", burst, value.to_string()).optional(value == 0));
    }
    if let Some(value) = cpu.idle() {
        writes.push(Write::new("cpu.idle", "cpu.idle", value.to_string()).optional(value == 0));
    }
    Ok(writes)
}

/// Every file of cpuset to write; both versions have the same.
pub(super) fn set_writes(cpu: &LinuxCpu) -> Vec<Write> {
    let files = [("cpu.cpus", "cpuset.cpus", cpu.cpus()), ("cpu.mems", "cpuset.mems", cpu.mems())];
    let asked = files.into_iter().filter_map(|(property, file, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some(Write::new(property, file, value.to_owned()))
    });
    asked.collect()
}

fn set(value: Option<u64>) -> Option<u64> {
    value.filter(|&value| value != 0)
}

/// v1's shares (2 to 262144, 1024 by default) as v2's weight (1 to 10000, 100 by default): a
/// quadratic function, in logarithms, through these three, as all runtimes have agreed on.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn weight(shares: u64) -> u64 {
    let log = (shares.clamp(*SHARES.start(), *SHARES.end()) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
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
            r#"{ "shares": 512, "quota": 20000, "period": 50000, "burst": 10000 }"#,
            &[
                ("cpu.shares", "512"),
                ("cpu.cfs_period_us", "50000"),
                ("cpu.cfs_quota_us", "20000"),
                ("cpu.cfs_burst_us", "10000"),
            ],
        );
        v1(r#"{ "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "" }"#, &[]);
        v1(r#"{ "quota": -1, "idle": 1 }"#, &[("cpu.cfs_quota_us", "-1"), ("cpu.idle", "1")]);
        v1(
            r#"{ "realtimeRuntime": 950000, "realtimePeriod": 1000000 }"#,
            &[("cpu.rt_period_us", "1000000"), ("cpu.rt_runtime_us", "950000")],
        );
    }

    #[test]
    fn limits_of_v2() {
        v2(
            r#"{ "shares": 1024, "quota": 20000, "period": 50000, "burst": 10000, "idle": 0 }"#,
            &[
                ("cpu.weight", "100"),
                ("cpu.max", "20000 50000"),
                ("cpu.max.burst", "10000"),
                ("cpu.idle", "0"),
            ],
        );
        v2(r#"{ "quota": -1 }"#, &[("cpu.max", "max 100000")]);
        v2(r#"{ "quota": 5000 }"#, &[("cpu.max", "5000 100000")]);
        v2(r#"{ "period": 50000 }"#, &[("cpu.max", "max 50000")]);
        v2(r#"{ "shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0 }"#, &[]);
        let writes = |asked: &LinuxCpu| writes(asked, Version::V2);
        refuse(writes, r#"{ "realtimeRuntime": 1 }"#, "linux.resources.cpu.realtimeRuntime: ");
    }

    #[test]
    fn sets_are_the_same_on_both() {
        let expected = [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")];
        check(|asked| Ok(set_writes(asked)), r#"{ "cpus": "0-1", "mems": "0" }"#, &expected);
        check(|asked| Ok(set_writes(asked)), r#"{ "cpus": "", "shares": 2 }"#, &[]);
    }

    #[test]
    fn shares_become_weights() {
        let table = [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)];
        for (shares, expected) in table {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert_eq!(weight(u64::MAX), 10_000);
    }
}
