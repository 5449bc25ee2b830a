//! Limits as properties of a unit, with their types on D-Bus (systemd.resource-control(5),
//! org.freedesktop.systemd1(5)), and the files that systemd writes for them.
//!
//! systemd has no properties for hugetlb, rdma, misc and the like, and leaves their files alone. On v1
//! it takes `CPUWeight` and `IOWeight` too, but converts them by another curve than v2's, and would
//! write other numbers than the config's: there rind uses the older names.

use crate::error::Result;
use crate::limits::{
    Device, Direction, Limit, PERIOD, SHARES, UNLIMITED, cpu_weight, io_weight, swap_alone,
};
use std::fmt::Display;
use std::ops::Range;
use systemd::{Property, Value};

/// systemd keeps a quota in whole percents of a processor, in microseconds a second.
const PERCENT: u64 = 10_000;

/// The default of cgroup v2's `cpu.weight`, which a cgroup also gets back after `cpu.idle`.
const WEIGHT: u64 = 100;

/// Each rate: its key in `io.max`, its property, and its property on v1, which has none for operations.
const RATES: [(Direction, &str, &str, Option<&str>); 4] = [
    (Direction::ReadBytes, "rbps", "IOReadBandwidthMax", Some("BlockIOReadBandwidth")),
    (Direction::WriteBytes, "wbps", "IOWriteBandwidthMax", Some("BlockIOWriteBandwidth")),
    (Direction::ReadOperations, "riops", "IOReadIOPSMax", None),
    (Direction::WriteOperations, "wiops", "IOWriteIOPSMax", None),
];

/// What a line of a v2 file is as a property.
type Line = fn(&mut Properties, &str);

/// The files of v2 that systemd has a property for, and that property. Told of one of them, systemd
/// writes them all. The files of each controller are in an order in which each can be written.
pub(super) const V2: [(&str, Line); 18] = [
    ("cpu.idle", |all, line| match line {
        "0" => all.idle(false),
        "1" => all.idle(true),
        _ => {}
    }),
    ("cpu.weight", |all, line| all.amount("CPUWeight", line)),
    ("cpu.max", Properties::bandwidth_line),
    ("cpuset.cpus", |all, line| all.list.extend(mask("AllowedCPUs", line))),
    ("cpuset.mems", |all, line| all.list.extend(mask("AllowedMemoryNodes", line))),
    ("io.weight", Properties::io_weight_line),
    // systemd writes this file for `IOWeight`, in its own numbers.
    ("io.bfq.weight", |_, _| {}),
    ("io.max", Properties::io_rates_line),
    ("io.latency", |all, line| {
        if let Some((device, target)) = line.split_once(" target=")
            && let Ok(target) = target.trim().parse()
        {
            all.of_device("IODeviceLatencyTargetUSec", device, target);
        }
    }),
    ("memory.min", |all, line| all.amount("MemoryMin", line)),
    ("memory.low", |all, line| all.amount("MemoryLow", line)),
    ("memory.high", |all, line| all.amount("MemoryHigh", line)),
    ("memory.max", |all, line| all.amount("MemoryMax", line)),
    ("memory.swap.max", |all, line| all.amount("MemorySwapMax", line)),
    ("memory.zswap.max", |all, line| all.amount("MemoryZSwapMax", line)),
    ("memory.zswap.writeback", |all, line| {
        if matches!(line, "0" | "1") {
            all.list.push(Property::new("MemoryZSwapWriteback", Value::Bool(line == "1")));
        }
    }),
    // systemd sets this file by what the unit does after an OOM kill.
    ("memory.oom.group", |all, line| {
        if matches!(line, "0" | "1") {
            let policy = if line == "1" { "kill" } else { "continue" };
            all.list.push(Property::new("OOMPolicy", Value::Text(policy.to_owned())));
        }
    }),
    ("pids.max", |all, line| {
        if let Some(count) = amount(line) {
            all.tasks(count);
        }
    }),
];

/// The files of v1 that systemd writes. Each name begins with the controller's.
pub(super) const V1: [&str; 9] = [
    "cpu.shares",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "blkio.weight",
    "blkio.bfq.weight",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "memory.limit_in_bytes",
    "pids.max",
];

/// The properties for `limits`, of a `new` container or for an update of a running one.
///
/// On a host that has not `pure` v2, they are those that both versions have in common, and v1's own.
pub(super) fn of(limits: &[Limit], pure: bool, new: bool) -> Vec<Property> {
    let mut all = Properties { new, ..Properties::default() };
    for limit in limits {
        all.add(limit, pure);
    }
    let mut list = all.list;
    list.extend(all.devices.into_iter().map(|(name, items)| {
        Property::new(name, Value::Array { element: "(st)".to_owned(), items })
    }));
    if list.iter().any(|one| one.name.starts_with("BlockIO")) {
        // With `IOAccounting`, systemd would apply only the limits of newer names, or defaults.
        list.push(Property::new("IOAccounting", Value::Bool(false)));
        list.push(Property::new("BlockIOAccounting", Value::Bool(true)));
    }
    if !new {
        // systemd takes this property only when a unit starts.
        list.retain(|one| one.name != "OOMPolicy");
    }
    list
}

/// The properties to set once the hop is gone.
pub(super) fn left_over(limits: &[Limit]) -> Vec<Property> {
    let tasks = |list: Vec<Property>| list.into_iter().find(|one| one.name == "TasksMax");
    let (new, later) = (tasks(of(limits, true, true)), tasks(of(limits, true, false)));
    if new == later { Vec::new() } else { later.into_iter().collect() }
}

/// Properties as limits are added to them: of two of one name systemd knows the last.
#[derive(Default)]
pub(super) struct Properties {
    list: Vec<Property>,
    /// Properties with one entry for each device.
    devices: Vec<(&'static str, Vec<Value>)>,
    /// Whether the properties are for a container that doesn't exist yet.
    new: bool,
}

impl Properties {
    fn add(&mut self, limit: &Limit, pure: bool) {
        match limit {
            Limit::Memory { limit, swap, .. } => {
                let swap = swap.filter(|_| pure);
                if let Some(alone) = swap.and_then(|both| swap_alone(*limit, both)) {
                    self.number("MemorySwapMax", alone);
                }
                if let Some(bytes) = *limit {
                    self.number("MemoryMax", or_unlimited(bytes));
                }
            }
            Limit::MemoryReservation(bytes) => self.number("MemoryLow", or_unlimited(*bytes)),
            Limit::CpuShares(shares) if pure => self.number("CPUWeight", cpu_weight(*shares)),
            Limit::CpuShares(shares) => {
                self.number("CPUShares", (*shares).clamp(*SHARES.start(), *SHARES.end()));
            }
            Limit::CpuBandwidth { quota, period } => {
                self.bandwidth(quota.map_or(UNLIMITED, or_unlimited), period.unwrap_or(PERIOD));
            }
            Limit::CpuIdle(idle @ (0 | 1)) if pure => self.idle(*idle == 1),
            Limit::Cpus(list) => self.list.extend(mask("AllowedCPUs", list.trim())),
            Limit::MemoryNodes(list) => self.list.extend(mask("AllowedMemoryNodes", list.trim())),
            Limit::Pids(count) => self.tasks(or_unlimited(*count)),
            Limit::IoWeight { device, weight } => {
                let (all, one, weight) = if pure {
                    ("IOWeight", "IODeviceWeight", io_weight(*weight))
                } else {
                    // Any other weight is an error of systemd's, and the kernel's to refuse.
                    ("BlockIOWeight", "BlockIODeviceWeight", (*weight).clamp(10, 1000))
                };
                match device {
                    None => self.number(all, weight.into()),
                    Some(device) => self.of_device(one, device, weight.into()),
                }
            }
            Limit::IoRate { device, direction, rate } => {
                self.rate(device, *direction, *rate, pure);
            }
            Limit::Unified { file, line } if pure => {
                if let Some((_, add)) = V2.iter().find(|(name, _)| name == file) {
                    // An empty line is a value too: the processors of the cgroup above.
                    add(self, line.trim());
                }
            }
            Limit::KernelMemory(_)
            | Limit::KernelTcpMemory(_)
            | Limit::Swappiness(_)
            | Limit::DisableOomKiller
            | Limit::UseHierarchy
            | Limit::CpuRealtime { .. }
            | Limit::CpuBurst(_)
            | Limit::CpuIdle(_)
            | Limit::IoLeafWeight { .. }
            | Limit::HugePages { .. }
            | Limit::NetworkClass(_)
            | Limit::NetworkPriority { .. }
            | Limit::Rdma { .. }
            | Limit::Unified { .. } => {}
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.list.retain(|one| one.name != name);
        self.list.push(Property::new(name, Value::U64(value)));
    }

    /// A line of a v2 file that holds one amount.
    fn amount(&mut self, name: &str, line: &str) {
        if let Some(value) = amount(line) {
            self.number(name, value);
        }
    }

    fn of_device(&mut self, name: &'static str, device: impl Display, value: u64) {
        let device = Value::Text(format!("/dev/block/{device}"));
        let entry = Value::Struct(vec![device, Value::U64(value)]);
        match self.devices.iter_mut().find(|(known, _)| *known == name) {
            Some((_, entries)) => entries.push(entry),
            None => self.devices.push((name, vec![entry])),
        }
    }

    /// systemd takes no limit below one. In a new container's cgroup there is, for a moment, also the
    /// hop that forks init.
    fn tasks(&mut self, count: u64) {
        self.number("TasksMax", count.max(if self.new { 2 } else { 1 }));
    }

    /// To systemd an idle cgroup is one of weight 0, so it has no other weight.
    fn idle(&mut self, idle: bool) {
        let is_weight =
            |one: &Property| one.name == "CPUWeight" && !matches!(one.value, Value::U64(0));
        if idle || !self.list.iter().any(is_weight) {
            self.number("CPUWeight", if idle { 0 } else { WEIGHT });
        }
    }

    /// Both are in microseconds. rind rounds the quota up to whole percents: the file has the exact
    /// one, and systemd must not write less there later.
    fn bandwidth(&mut self, quota: u64, period: u64) {
        if period == 0 {
            return;
        }
        let a_second = if quota == UNLIMITED {
            UNLIMITED
        } else {
            let exact = (u128::from(quota) * 1_000_000).div_ceil(u128::from(period));
            let percents = exact.div_ceil(u128::from(PERCENT)) * u128::from(PERCENT);
            u64::try_from(percents).unwrap_or(UNLIMITED)
        };
        self.number("CPUQuotaPeriodUSec", period);
        self.number("CPUQuotaPerSecUSec", a_second);
    }

    /// `QUOTA PERIOD`.
    fn bandwidth_line(&mut self, line: &str) {
        let mut fields = line.split_ascii_whitespace();
        let Some(quota) = fields.next().and_then(amount) else { return };
        if let Some(period) = fields.next().map_or(Some(PERIOD), amount) {
            self.bandwidth(quota, period);
        }
    }

    /// `default N`, `N` or `MAJOR:MINOR N`.
    fn io_weight_line(&mut self, line: &str) {
        let (device, weight) = line.split_once(' ').unwrap_or(("default", line));
        let Ok(weight) = weight.trim().parse() else { return };
        match device {
            "default" => self.number("IOWeight", weight),
            device => self.of_device("IODeviceWeight", device, weight),
        }
    }

    /// `MAJOR:MINOR rbps=N wbps=N riops=N wiops=N`.
    fn io_rates_line(&mut self, line: &str) {
        let Some((device, rates)) = line.split_once(' ') else { return };
        for (key, value) in rates.split_ascii_whitespace().filter_map(|rate| rate.split_once('=')) {
            let rate = RATES.iter().find(|(_, known, ..)| *known == key);
            if let Some(((_, _, name, _), value)) = rate.zip(amount(value)) {
                self.of_device(name, device, value);
            }
        }
    }

    /// 0 lifts a limit.
    fn rate(&mut self, device: &Device, direction: Direction, rate: u64, pure: bool) {
        let known = RATES.iter().find(|(known, ..)| *known == direction);
        let name = known.and_then(|(_, _, v2, v1)| if pure { Some(*v2) } else { *v1 });
        if let Some(name) = name {
            self.of_device(name, device, if rate == 0 { UNLIMITED } else { rate });
        }
    }
}

/// A negative number lifts a limit.
fn or_unlimited(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(UNLIMITED)
}

/// `max`, or a number, which the kernel may be given in K, M or G.
fn amount(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(UNLIMITED);
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

/// The numbers of `7`, `0-3`, or `0-63:2/16`, the first two of each sixteen. `None` if the kernel refuses
/// the text, or its meaning depends on the machine (`all`, `N`).
fn numbers(part: &str) -> Option<impl Iterator<Item = usize>> {
    let (range, (used, group)) = match part.split_once(':') {
        Some((range, stride)) => (range, stride.split_once('/')?),
        None => (part, ("1", "1")),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().ok();
    let (first, last, used, group) = (number(first)?, number(last)?, number(used)?, number(group)?);
    // No machine has more, and the kernel refuses such a number.
    let valid = first <= last && last <= 1 << 16 && (1..=group).contains(&used);
    valid.then(|| (first..=last).filter(move |number| (number - first) % group < used))
}

/// Removes the properties that systemd doesn't know yet, or any more. Only if there can be such, this
/// asks for its version.
pub(super) fn leave_out_newer(
    all: &mut Vec<Property>,
    version: impl FnOnce() -> Result<u32>,
) -> Result<()> {
    if all.iter().any(|one| versions(one).is_some()) {
        let version = version()?;
        all.retain(|one| versions(one).is_none_or(|known| known.contains(&version)));
    }
    Ok(())
}

/// The versions of systemd that know a property; `None` if all do.
fn versions(one: &Property) -> Option<Range<u32>> {
    match (one.name.as_str(), &one.value) {
        ("CPUWeight", Value::U64(0)) => Some(252..u32::MAX),
        ("MemoryZSwapMax" | "OOMPolicy", _) => Some(253..u32::MAX),
        ("MemoryZSwapWriteback", _) => Some(256..u32::MAX),
        // systemd dropped these together with v1.
        ("CPUShares", _) => Some(0..258),
        (name, _) if name.starts_with("BlockIO") => Some(0..258),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits(config: &str) -> Vec<Limit> {
        crate::limits::of(&serde_json::from_str(config).unwrap()).unwrap()
    }

    fn properties(config: &str, pure: bool, new: bool) -> Vec<String> {
        let all = of(&limits(config), pure, new);
        all.iter().map(|one| format!("{}={}", one.name, show(&one.value))).collect()
    }

    fn show(value: &Value) -> String {
        let list = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
        match value {
            Value::U64(UNLIMITED) => "max".to_owned(),
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
            let mut found = properties(config, true, true);
            let mut expected: Vec<String> = expected.iter().map(|&one| one.to_owned()).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{config}");
        }
    }

    #[test]
    fn a_limit_of_one_process_comes_when_the_hop_is_gone() {
        let config = r#"{ "pids": { "limit": 1 } }"#;
        assert_eq!(properties(config, true, true), ["TasksMax=2"]);
        assert_eq!(properties(config, true, false), ["TasksMax=1"]);
        assert_eq!(properties(r#"{ "pids": { "limit": 0 } }"#, true, false), ["TasksMax=1"]);
        assert_eq!(left_over(&limits(config)).len(), 1);
        assert!(left_over(&limits(r#"{ "pids": { "limit": 2 } }"#)).is_empty());
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
            assert_eq!(mask("AllowedCPUs", list.trim()).is_some(), expected.is_some(), "{list}");
        }
    }

    #[test]
    fn what_a_running_unit_cannot_get_is_left_out() {
        let config = r#"{ "unified": { "memory.oom.group": "1", "memory.high": "5" } }"#;
        assert_eq!(properties(config, true, true), ["MemoryHigh=5", "OOMPolicy=kill"]);
        assert_eq!(properties(config, true, false), ["MemoryHigh=5"]);
    }

    #[test]
    fn what_another_systemd_lacks_is_left_to_the_files() {
        let left = |config: &str, pure, version| {
            let mut all = of(&limits(config), pure, true);
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
        let names = "CPUShares BlockIOWeight IOAccounting BlockIOAccounting";
        assert_eq!(left(old, false, 257), names);
        assert_eq!(left(old, false, 258), "IOAccounting");
        leave_out_newer(&mut vec![Property::new("TasksMax", Value::U64(5))], || {
            panic!("nobody asks")
        })
        .unwrap();
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
            let mut found = properties(config, false, false);
            let mut expected = expected.to_vec();
            found.sort();
            expected.sort_unstable();
            assert_eq!(found, expected, "{config}");
        }
    }
}
