//! Limits as properties of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)).
//!
//! They are made of what would be written to v2's files, so that `linux.resources` and its `unified`
//! are one, and the rules that both follow are in one place. systemd has no properties for hugetlb,
//! rdma, misc and the like, and leaves their files alone.

use crate::error::Result;
use crate::limits;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use systemd::{Property, Value};

/// No limit.
const INFINITY: u64 = u64::MAX;

/// systemd keeps a quota in whole percents of a processor, in microseconds a second.
const PERCENT: u64 = 10_000;

/// What `resources` come to; those that a unit of a `new` container has.
///
/// On a host with v1 it's what both versions have in common.
pub(crate) fn of(resources: &LinuxResources, pure: bool, new: bool) -> Result<Vec<Property>> {
    let common;
    let resources = if pure {
        resources
    } else {
        common = in_common(resources);
        &common
    };
    let mut all = Vec::new();
    let mut lists = Lists::default();
    for (file, value) in limits::v2_values(resources)? {
        for line in value.lines() {
            add(&file, line.trim(), &mut all, &mut lists);
        }
    }
    all.extend(lists.into_properties());
    if wants_one_task(resources) {
        all.retain(|one| one.name != "TasksMax");
        // The hop that init is forked by is in the cgroup as well, for a moment.
        all.push(number("TasksMax", if new { 2 } else { 1 }));
    }
    Ok(all)
}

/// What has to be set once the hop is gone.
pub(crate) fn left_over(resources: &LinuxResources) -> Vec<Property> {
    if wants_one_task(resources) { vec![number("TasksMax", 1)] } else { Vec::new() }
}

/// No more than one, which is the least that systemd can be told.
fn wants_one_task(resources: &LinuxResources) -> bool {
    let in_unified = resources.unified().as_ref().and_then(|all| all.get("pids.max"));
    in_unified.is_some_and(|value| matches!(value.trim(), "0" | "1"))
        || in_unified.is_none()
            && resources.pids().is_some_and(|pids| matches!(pids.limit(), 0 | 1))
}

/// Of v1 and v2: nothing that v2 would refuse.
fn in_common(resources: &LinuxResources) -> LinuxResources {
    let mut common = LinuxResources::default();
    common.set_pids(*resources.pids());
    if let Some(memory) = resources.memory() {
        let mut kept = LinuxMemory::default();
        kept.set_limit(memory.limit()).set_reservation(memory.reservation());
        common.set_memory(Some(kept));
    }
    if let Some(cpu) = resources.cpu() {
        let mut kept = LinuxCpu::default();
        kept.set_shares(cpu.shares()).set_quota(cpu.quota()).set_period(cpu.period());
        kept.set_cpus(cpu.cpus().clone()).set_mems(cpu.mems().clone());
        common.set_cpu(Some(kept));
    }
    common
}

fn number(name: &str, value: u64) -> Property {
    Property::new(name, Value::U64(value))
}

/// Properties with one entry a device.
#[derive(Default)]
struct Lists(Vec<(&'static str, Vec<Value>)>);

impl Lists {
    fn add(&mut self, name: &'static str, device: &str, value: u64) {
        let entry =
            Value::Struct(vec![Value::Text(format!("/dev/block/{device}")), Value::U64(value)]);
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, entries)) => entries.push(entry),
            None => self.0.push((name, vec![entry])),
        }
    }

    fn into_properties(self) -> impl Iterator<Item = Property> {
        self.0.into_iter().map(|(name, items)| {
            Property::new(name, Value::Array { element: "(st)".to_owned(), items })
        })
    }
}

/// Adds what a line written to a v2 file is as a property; nothing if systemd leaves the file alone.
fn add(file: &str, line: &str, all: &mut Vec<Property>, lists: &mut Lists) {
    let plain = match file {
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpu.max" => return add_quota(line, all),
        "cpu.idle" if line == "1" => {
            // The weight that systemd has for it; another can't be had with it.
            all.retain(|one| one.name != "CPUWeight");
            return all.push(number("CPUWeight", 0));
        }
        // systemd sets it by what the unit is to do when that happens.
        "memory.oom.group" if line == "1" => {
            return all.push(Property::new("OOMPolicy", Value::Text("kill".to_owned())));
        }
        "cpuset.cpus" => return all.extend(mask("AllowedCPUs", line)),
        "cpuset.mems" => return all.extend(mask("AllowedMemoryNodes", line)),
        "io.weight" => return add_io_weight(line, all, lists),
        "io.max" => return add_io_rates(line, lists),
        "io.latency" => {
            if let Some((device, target)) = line.split_once(" target=")
                && let Ok(target) = target.trim().parse()
            {
                lists.add("IODeviceLatencyTargetUSec", device, target);
            }
            return;
        }
        _ => return,
    };
    if let Some(value) = amount(line) {
        all.retain(|one| one.name != plain);
        all.push(number(plain, value));
    }
}

/// `max`, or a number, which the kernel may be given in K, M or G.
fn amount(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(INFINITY);
    }
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let shift = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `QUOTA PERIOD`, both of microseconds. A quota that is no whole percent goes up to the next: the
/// exact one is in the file, and what systemd may write there later must not be less.
fn add_quota(line: &str, all: &mut Vec<Property>) {
    let mut words = line.split_ascii_whitespace();
    let Some(quota) = words.next().and_then(amount) else { return };
    let period = words.next().map_or(Some(100_000), amount).filter(|&period| period > 0);
    let Some(period) = period else { return };
    let a_second = if quota == INFINITY {
        INFINITY
    } else {
        let exact = (u128::from(quota) * 1_000_000).div_ceil(u128::from(period));
        let percents = exact.div_ceil(u128::from(PERCENT)) * u128::from(PERCENT);
        u64::try_from(percents).unwrap_or(INFINITY)
    };
    all.push(number("CPUQuotaPeriodUSec", period));
    all.push(number("CPUQuotaPerSecUSec", a_second));
}

/// `default N`, `N` or `MAJOR:MINOR N`.
fn add_io_weight(line: &str, all: &mut Vec<Property>, lists: &mut Lists) {
    let (device, weight) = line.split_once(' ').unwrap_or(("default", line));
    let Ok(weight) = weight.trim().parse() else { return };
    if device == "default" {
        all.push(number("IOWeight", weight));
    } else {
        lists.add("IODeviceWeight", device, weight);
    }
}

/// `MAJOR:MINOR rbps=N wbps=N riops=N wiops=N`.
fn add_io_rates(line: &str, lists: &mut Lists) {
    let Some((device, rates)) = line.split_once(' ') else { return };
    for (key, value) in rates.split_ascii_whitespace().filter_map(|rate| rate.split_once('=')) {
        let name = match key {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => continue,
        };
        if let Some(value) = amount(value) {
            lists.add(name, device, value);
        }
    }
}

/// A list such as `0-3,7` as bytes with a bit for each.
fn mask(name: &str, list: &str) -> Option<Property> {
    let mut bytes: Vec<u8> = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // More than any machine has; the kernel says no to it.
        if last > 1 << 16 {
            return None;
        }
        for bit in first..=last {
            let byte = bit / 8;
            if bytes.len() <= byte {
                bytes.resize(byte + 1, 0);
            }
            if let Some(byte) = bytes.get_mut(byte) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    let items = bytes.into_iter().map(Value::Byte).collect();
    Some(Property::new(name, Value::Array { element: "y".to_owned(), items }))
}

/// Takes out what a systemd of the version that `version` asks for doesn't know yet.
pub(crate) fn leave_out_newer(
    all: &mut Vec<Property>,
    version: impl FnOnce() -> Result<u32>,
) -> Result<()> {
    let since = |one: &Property| match (one.name.as_str(), &one.value) {
        ("CPUWeight", Value::U64(0)) => 252,
        ("OOMPolicy", _) => 253,
        _ => 0,
    };
    if all.iter().any(|one| since(one) > 0) {
        let version = version()?;
        all.retain(|one| since(one) <= version);
    }
    Ok(())
}

/// What devices a unit may use: all as they are asked for, or, where systemd has no words for it,
/// none that it knows of.
pub(crate) fn devices(allowed: Option<Vec<(String, String)>>) -> Vec<Property> {
    let list = |items| Value::Array { element: "(ss)".to_owned(), items };
    let policy = if allowed.is_some() { "strict" } else { "auto" };
    let entries = allowed.unwrap_or_default().into_iter();
    let entries: Vec<_> = entries
        .map(|(device, access)| Value::Struct(vec![Value::Text(device), Value::Text(access)]))
        .collect();
    let mut all = vec![
        Property::new("DevicePolicy", Value::Text(policy.to_owned())),
        // The empty list takes away what was there before.
        Property::new("DeviceAllow", list(Vec::new())),
    ];
    if !entries.is_empty() {
        all.push(Property::new("DeviceAllow", list(entries)));
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(config: &str, pure: bool, new: bool) -> Vec<String> {
        let resources: LinuxResources = serde_json::from_str(config).unwrap();
        let all = of(&resources, pure, new).unwrap();
        all.iter().map(|one| format!("{}={}", one.name, show(&one.value))).collect()
    }

    fn show(value: &Value) -> String {
        let list = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
        match value {
            Value::U64(INFINITY) => "max".to_owned(),
            Value::U64(number) => number.to_string(),
            Value::Byte(byte) => format!("{byte:02x}"),
            Value::Text(text) => text.clone(),
            Value::Array { items, .. } => format!("[{}]", list(items)),
            Value::Struct(items) => format!("({})", list(items)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn limits_are_properties() {
        let table: [(&str, &[&str]); 9] = [
            (
                r#"{ "memory": { "limit": 4096, "swap": 8192, "reservation": 100 } }"#,
                &["MemorySwapMax=4096", "MemoryMax=4096", "MemoryLow=100"],
            ),
            (r#"{ "memory": { "limit": -1 } }"#, &["MemorySwapMax=max", "MemoryMax=max"]),
            (r#"{ "pids": { "limit": 5 } }"#, &["TasksMax=5"]),
            (
                r#"{ "cpu": { "quota": 12345, "period": 50000, "shares": 1024 } }"#,
                &["CPUWeight=100", "CPUQuotaPeriodUSec=50000", "CPUQuotaPerSecUSec=250000"],
            ),
            (
                r#"{ "cpu": { "quota": -1 } }"#,
                &["CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=max"],
            ),
            (
                r#"{ "cpu": { "cpus": "0-1,9", "mems": "0" } }"#,
                &["AllowedCPUs=[03 02]", "AllowedMemoryNodes=[01]"],
            ),
            (
                r#"{ "blockIO": { "throttleReadBpsDevice":
                    [{ "major": 8, "minor": 0, "rate": 7 }, { "major": 8, "minor": 1, "rate": 0 }] } }"#,
                &["IOReadBandwidthMax=[(/dev/block/8:0 7) (/dev/block/8:1 max)]"],
            ),
            (
                r#"{ "unified": { "memory.high": "1M", "pids.max": "max", "hugetlb.2MB.max": "0" } }"#,
                &["MemoryHigh=1048576", "TasksMax=max"],
            ),
            (
                r#"{ "cpu": { "idle": 1 }, "unified": { "memory.oom.group": "1" } }"#,
                &["CPUWeight=0", "OOMPolicy=kill"],
            ),
        ];
        for (config, expected) in table {
            let mut found = shown(config, true, false);
            let mut expected: Vec<String> = expected.iter().map(|&one| one.to_owned()).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{config}");
        }
    }

    #[test]
    fn a_limit_of_one_process_comes_when_the_hop_is_gone() {
        let config = r#"{ "pids": { "limit": 1 } }"#;
        assert_eq!(shown(config, true, true), ["TasksMax=2"]);
        assert_eq!(shown(config, true, false), ["TasksMax=1"]);
        assert_eq!(shown(r#"{ "pids": { "limit": 0 } }"#, true, false), ["TasksMax=1"]);
        assert_eq!(left_over(&serde_json::from_str(config).unwrap()).len(), 1);
        assert!(
            left_over(&serde_json::from_str(r#"{ "pids": { "limit": 2 } }"#).unwrap()).is_empty()
        );
    }

    #[test]
    fn what_an_older_systemd_lacks_is_left_to_the_files() {
        let config = r#"{ "cpu": { "idle": 1 }, "pids": { "limit": 5 } }"#;
        let left = |version| {
            let mut all = of(&serde_json::from_str(config).unwrap(), true, false).unwrap();
            leave_out_newer(&mut all, || Ok(version)).unwrap();
            all.len()
        };
        assert_eq!((left(251), left(252)), (1, 2));
        leave_out_newer(&mut vec![number("TasksMax", 5)], || panic!("nobody asks")).unwrap();
    }

    #[test]
    fn with_v1_it_is_what_both_have() {
        let config = r#"{ "cpu": { "realtimeRuntime": 5, "shares": 2 }, "memory": { "swap": -1 },
            "pids": { "limit": 5 } }"#;
        assert_eq!(shown(config, false, false), ["CPUWeight=1", "TasksMax=5"]);
    }
}
