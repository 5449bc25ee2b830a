//! Limits as properties of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)).
//!
//! They are made of what would be written to v2's files, so that `linux.resources` and its `unified`
//! are one, and the rules that both follow are in one place. systemd has no properties for hugetlb,
//! rdma, misc and the like, and leaves their files alone. Of v1 it knows some by names of their own.

mod v1;

use crate::error::Result;
use crate::limits;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use std::ops::Range;
use systemd::{Property, Value};

/// No limit.
const INFINITY: u64 = u64::MAX;

/// systemd keeps a quota in whole percents of a processor, in microseconds a second.
const PERCENT: u64 = 10_000;

/// The weight of a cgroup that nobody has given one (cgroup v2's `cpu.weight`), also of one that was
/// idle.
const WEIGHT: u64 = 100;

/// What `resources` come to: of a `new` container, or as an update of one that runs.
///
/// On a host with v1 it's what both versions have in common, and what only v1 has.
pub(crate) fn of(asked: &LinuxResources, pure: bool, new: bool) -> Result<Vec<Property>> {
    let common;
    let resources = if pure {
        asked
    } else {
        common = in_common(asked);
        &common
    };
    let mut all = Vec::new();
    let mut lists = Lists::default();
    for (file, value) in limits::v2_values(resources)? {
        // Each is a line already, and may be empty: no processors but those of the cgroup above.
        add(&file, value.trim(), &mut all, &mut lists);
    }
    all.extend(lists.into_properties());
    if !pure {
        all.extend(v1::of(asked));
    }
    if !new {
        // systemd takes it from a unit that starts only.
        all.retain(|one| one.name != "OOMPolicy");
    }
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

/// Of v1 and v2: nothing that v2 would refuse, or that systemd would have v1 get in other numbers.
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
        kept.set_quota(cpu.quota()).set_period(cpu.period());
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
        "memory.zswap.max" => "MemoryZSwapMax",
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpu.max" => return add_quota(line, all),
        "cpu.idle" if line == "1" => {
            // The weight that systemd has for it; another can't be had with it.
            all.retain(|one| one.name != "CPUWeight");
            return all.push(number("CPUWeight", 0));
        }
        "cpu.idle" if line == "0" => {
            let has_weight =
                |one: &Property| one.name == "CPUWeight" && !matches!(one.value, Value::U64(0));
            if !all.iter().any(has_weight) {
                all.retain(|one| one.name != "CPUWeight");
                all.push(number("CPUWeight", WEIGHT));
            }
            return;
        }
        // systemd sets it by what the unit is to do when that happens.
        "memory.oom.group" if matches!(line, "0" | "1") => {
            let policy = if line == "1" { "kill" } else { "continue" };
            return all.push(Property::new("OOMPolicy", Value::Text(policy.to_owned())));
        }
        "memory.zswap.writeback" if matches!(line, "0" | "1") => {
            return all.push(Property::new("MemoryZSwapWriteback", Value::Bool(line == "1")));
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

/// A list of processors or nodes (cpuset(7)) as bytes with a bit for each.
fn mask(name: &str, list: &str) -> Option<Property> {
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split([',', ' ']).filter(|part| !part.is_empty()) {
        for bit in numbers(part)? {
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

/// The numbers of `7`, `0-3`, or `0-63:2/16`, the first two of each sixteen. `None` for what the kernel
/// refuses, or counts by what the machine has (`all`, `N`).
fn numbers(part: &str) -> Option<impl Iterator<Item = usize>> {
    let (range, (used, group)) = match part.split_once(':') {
        Some((range, stride)) => (range, stride.split_once('/')?),
        None => (part, ("1", "1")),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().ok();
    let (first, last, used, group) = (number(first)?, number(last)?, number(used)?, number(group)?);
    // More than any machine has; the kernel says no to it.
    let valid = first <= last && last <= 1 << 16 && (1..=group).contains(&used);
    valid.then(|| (first..=last).filter(move |number| (number - first) % group < used))
}

/// Takes out what a systemd of the version that `version` asks for doesn't know yet, or any more.
pub(crate) fn leave_out_newer(
    all: &mut Vec<Property>,
    version: impl FnOnce() -> Result<u32>,
) -> Result<()> {
    if all.iter().any(|one| versions(one).is_some()) {
        let version = version()?;
        all.retain(|one| versions(one).is_none_or(|known| known.contains(&version)));
    }
    Ok(())
}

/// The versions of systemd that know a property; `None` if it's all.
fn versions(one: &Property) -> Option<Range<u32>> {
    match (one.name.as_str(), &one.value) {
        ("CPUWeight", Value::U64(0)) => Some(252..u32::MAX),
        ("MemoryZSwapMax" | "OOMPolicy", _) => Some(253..u32::MAX),
        ("MemoryZSwapWriteback", _) => Some(256..u32::MAX),
        // They went with v1.
        ("CPUShares", _) => Some(0..258),
        (name, _) if name.starts_with("BlockIO") => Some(0..258),
        _ => None,
    }
}

/// What devices a unit may use: these and no other, or all of them.
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
            Value::Bool(yes) => yes.to_string(),
            Value::Byte(byte) => format!("{byte:02x}"),
            Value::Text(text) => text.clone(),
            Value::Array { items, .. } => format!("[{}]", list(items)),
            Value::Struct(items) => format!("({})", list(items)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn limits_are_properties() {
        let table: [(&str, &[&str]); 14] = [
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
            (
                r#"{ "unified": { "cpu.idle": "0", "cpu.weight": "7", "memory.oom.group": "0" } }"#,
                &["CPUWeight=7", "OOMPolicy=continue"],
            ),
            (r#"{ "cpu": { "idle": 0 } }"#, &["CPUWeight=100"]),
            (r#"{ "cpu": { "idle": 0, "shares": 512 } }"#, &["CPUWeight=59"]),
            (
                r#"{ "unified": { "memory.zswap.max": "max", "memory.zswap.writeback": "0" } }"#,
                &["MemoryZSwapMax=max", "MemoryZSwapWriteback=false"],
            ),
            (
                r#"{ "unified": { "cpuset.cpus": "0-8:2/4", "cpuset.mems": "" } }"#,
                &["AllowedCPUs=[33 01]", "AllowedMemoryNodes=[]"],
            ),
        ];
        for (config, expected) in table {
            let mut found = shown(config, true, true);
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
    fn lists_of_processors_are_those_of_the_kernel() {
        let table = [
            ("0-3,7", Some(vec![0, 1, 2, 3, 7])),
            ("7", Some(vec![7])),
            ("0-8:2/4", Some(vec![0, 1, 4, 5, 8])),
            ("1-9:1/4, 3", Some(vec![1, 5, 9, 3])),
            ("2-5:4/4", Some(vec![2, 3, 4, 5])),
            ("", Some(vec![])),
            ("3-1", None),
            ("0-8:0/4", None),
            ("0-8:5/4", None),
            ("0-8:2", None),
            ("0-70000", None),
            ("all", None),
            ("0-N", None),
        ];
        for (list, expected) in table {
            let parts = list.split([',', ' ']).filter(|part| !part.is_empty());
            let found: Option<Vec<Vec<usize>>> =
                parts.map(|part| numbers(part).map(Iterator::collect)).collect();
            assert_eq!(found.map(|all| all.concat()), expected, "{list}");
            assert_eq!(mask("AllowedCPUs", list).is_some(), expected.is_some(), "{list}");
        }
    }

    #[test]
    fn what_a_running_unit_cannot_get_is_left_out() {
        let config = r#"{ "unified": { "memory.oom.group": "1", "memory.high": "5" } }"#;
        assert_eq!(shown(config, true, true), ["MemoryHigh=5", "OOMPolicy=kill"]);
        assert_eq!(shown(config, true, false), ["MemoryHigh=5"]);
    }

    #[test]
    fn what_another_systemd_lacks_is_left_to_the_files() {
        let left = |config: &str, pure, version| {
            let mut all = of(&serde_json::from_str(config).unwrap(), pure, true).unwrap();
            leave_out_newer(&mut all, || Ok(version)).unwrap();
            all.iter().map(|one| one.name.clone()).collect::<Vec<_>>().join(" ")
        };
        let idle = r#"{ "cpu": { "idle": 1 }, "pids": { "limit": 5 } }"#;
        assert_eq!(left(idle, true, 251), "TasksMax");
        assert_eq!(left(idle, true, 252), "CPUWeight TasksMax");
        let zswap = r#"{ "unified": { "memory.zswap.max": "0", "memory.zswap.writeback": "1" } }"#;
        assert_eq!(left(zswap, true, 252), "");
        assert_eq!(left(zswap, true, 253), "MemoryZSwapMax");
        assert_eq!(left(zswap, true, 256), "MemoryZSwapMax MemoryZSwapWriteback");
        let old = r#"{ "cpu": { "shares": 5 }, "blockIO": { "weight": 500 } }"#;
        let names = "CPUShares IOAccounting BlockIOAccounting BlockIOWeight";
        assert_eq!(left(old, false, 257), names);
        assert_eq!(left(old, false, 258), "IOAccounting");
        leave_out_newer(&mut vec![number("TasksMax", 5)], || panic!("nobody asks")).unwrap();
    }

    #[test]
    fn with_v1_it_is_what_both_have_and_what_v1_has() {
        let table: [(&str, &[&str]); 4] = [
            (
                r#"{ "cpu": { "realtimeRuntime": 5, "shares": 512, "idle": 1, "quota": 5000 },
                    "memory": { "swap": -1, "limit": 4096 }, "pids": { "limit": 5 } }"#,
                &[
                    "MemoryMax=4096",
                    "CPUQuotaPeriodUSec=100000",
                    "CPUQuotaPerSecUSec=50000",
                    "TasksMax=5",
                    "CPUShares=512",
                ],
            ),
            (r#"{ "cpu": { "shares": 1 } }"#, &["CPUShares=2"]),
            (
                r#"{ "blockIO": { "weight": 300, "leafWeight": 10,
                    "weightDevice": [{ "major": 8, "minor": 0, "weight": 2000 }],
                    "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 7 }],
                    "throttleWriteBpsDevice": [{ "major": 8, "minor": 0, "rate": 0 }],
                    "throttleReadIOPSDevice": [{ "major": 8, "minor": 0, "rate": 9 }] } }"#,
                &[
                    "IOAccounting=false",
                    "BlockIOAccounting=true",
                    "BlockIOWeight=300",
                    "BlockIODeviceWeight=[(/dev/block/8:0 1000)]",
                    "BlockIOReadBandwidth=[(/dev/block/8:0 7)]",
                    "BlockIOWriteBandwidth=[(/dev/block/8:0 max)]",
                ],
            ),
            (r#"{ "blockIO": { "weight": 0, "weightDevice": [] }, "cpu": { "shares": 0 } }"#, &[]),
        ];
        for (config, expected) in table {
            assert_eq!(shown(config, false, false), expected, "{config}");
        }
    }
}
