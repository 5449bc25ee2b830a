//! `update`: changes the limits of a container.

use crate::commands::quantity;
use crate::container::Container;
use crate::container::find::find_locked;
use crate::container::record::Updated;
use crate::create::cgroup::resources;
use crate::{Error, Explain, Result, Runtime};
use oci_spec::runtime::{LinuxMemory, LinuxResources};
use serde_json::{Map, Value};
use std::path::Path;

/// The options of `update`.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateOptions<'a> {
    /// The container's name.
    pub id: &'a str,
    /// `linux.resources` as JSON, and the name of its file for messages.
    pub resources: Option<(&'a [u8], &'a Path)>,
    /// Flags of single limits, and their values. Ignored if there is JSON.
    pub flags: &'a [(&'a str, &'a str)],
    /// A line for resctrl's schemata that begins with `L3:`.
    pub l3_cache_schema: Option<&'a str>,
    /// A line for resctrl's schemata that begins with `MB:`.
    pub memory_bandwidth_schema: Option<&'a str>,
}

/// How the value of a flag is parsed.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Signed,
    /// Not negative, and at most this.
    Unsigned(u64),
    Bytes,
}

/// Each flag: its name, the section and property of `linux.resources` that it sets, and its type.
const LIMITS: [(&str, &str, &str, Kind); 14] = [
    ("blkio-weight", "blockIO", "weight", Kind::Unsigned(u16::MAX as u64)),
    ("cpu-period", "cpu", "period", Kind::Unsigned(u64::MAX)),
    ("cpu-quota", "cpu", "quota", Kind::Signed),
    ("cpu-burst", "cpu", "burst", Kind::Unsigned(u64::MAX)),
    ("cpu-share", "cpu", "shares", Kind::Unsigned(u64::MAX)),
    ("cpu-rt-period", "cpu", "realtimePeriod", Kind::Unsigned(u64::MAX)),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", Kind::Signed),
    ("cpu-idle", "cpu", "idle", Kind::Signed),
    ("cpuset-cpus", "cpu", "cpus", Kind::Text),
    ("cpuset-mems", "cpu", "mems", Kind::Text),
    ("memory", "memory", "limit", Kind::Bytes),
    ("memory-reservation", "memory", "reservation", Kind::Bytes),
    ("memory-swap", "memory", "swap", Kind::Bytes),
    ("pids-limit", "pids", "limit", Kind::Signed),
];

/// `update ID`: sets the limits that are given, and leaves the others. After an error all limits
/// are as they were before.
pub fn update(runtime: &Runtime, options: &UpdateOptions) -> Result<()> {
    let mut requested = requested_limits(runtime, options)?;
    let mut container = find_locked(runtime, options.id)?;
    if !container.status_under_lock()?.has_processes() {
        return Err(Error::not_running());
    }
    // Podman repeats the config's limits in each update, with this one as the config has it.
    if options.resources.is_some()
        && requested.pids().is_some_and(|pids| pids.limit() == 0)
        && spec::zero_pids_are_unlimited(container.spec()?.version())
    {
        requested.set_pids(None);
    }
    let before = in_force(&container)?;
    // Engines repeat the config's device rules in each update. Setting them again would remove rules
    // that others have added since.
    if requested.devices() == &before.devices {
        requested.set_devices(None);
    }
    let schemata = schemata(options)?;
    let old_schemata = match &container.record.rdt {
        _ if schemata.is_empty() => Vec::new(),
        Some(groups) => groups.update(&schemata)?,
        None => {
            let why = "the container has no group of resctrl to change the schema of";
            return Err(Error::new(why).about("linux.intelRdt"));
        }
    };
    let last = container.record.updated.clone();
    let updated = record_update(&mut container, &requested).and_then(|()| {
        let rules = before.devices.as_deref();
        container.record.cgroup.update(&requested, before.swap, rules)
    });
    updated.inspect_err(|_| {
        // A failure here is ignored, as it would hide the first error.
        if let Some(groups) = &container.record.rdt {
            groups.restore_schemata(&old_schemata);
        }
        if container.record.updated != last {
            container.record.updated = last;
            let _ = container.entry.write(&container.record);
        }
    })
}

/// The lines for resctrl's schemata.
fn schemata<'a>(options: &UpdateOptions<'a>) -> Result<Vec<&'a str>> {
    let requested = [("L3", options.l3_cache_schema), ("MB:", options.memory_bandwidth_schema)];
    let lines = requested.into_iter().filter_map(|(start, line)| Some((start, line?)));
    let checked = lines.map(|(start, line)| {
        let why = || format!("{line:?} does not begin with {start}");
        let is_valid = line.starts_with(start);
        is_valid.then_some(line).ok_or_else(|| Error::new(why()).with_object(line))
    });
    checked.collect()
}

/// The settings in force that the kernel can't tell: of the last update, else of the config.
fn in_force(container: &Container) -> Result<Updated> {
    let spec = container.spec()?;
    let resources = resources(&spec);
    let swap = resources.and_then(|all| all.memory().as_ref()).and_then(swap_of);
    let devices = resources.and_then(|all| all.devices().clone());
    let Updated { swap: newer, devices: other } = container.record.updated.clone();
    Ok(Updated { swap: newer.or(swap), devices: other.or(devices) })
}

/// Records what the next update has to know.
fn record_update(container: &mut Container, requested: &LinuxResources) -> Result<()> {
    let swap = requested.memory().as_ref().and_then(swap_of);
    if swap.is_none() && requested.devices().is_none() {
        return Ok(());
    }
    let updated = &mut container.record.updated;
    updated.swap = swap.or(updated.swap);
    if requested.devices().is_some() {
        updated.devices.clone_from(requested.devices());
    }
    container.entry.write(&container.record)
}

/// The limit on memory and swap together. Unlimited memory means that swap is unlimited too.
fn swap_of(memory: &LinuxMemory) -> Option<i64> {
    let unlimited = memory.limit().filter(|&limit| limit == -1);
    memory.swap().filter(|&swap| swap != 0).or(unlimited)
}

/// The limits to set, of the JSON or the flags.
fn requested_limits(runtime: &Runtime, options: &UpdateOptions) -> Result<LinuxResources> {
    let mut warnings = Vec::new();
    let parsed = if let Some((text, name)) = options.resources {
        for (flag, _) in options.flags {
            (runtime.warn)(&format!("--{flag} is ignored, as there is --resources"));
        }
        spec::parse_resources(text, name, &mut warnings)?
    } else {
        spec::parse_resources(&text_of(options.flags)?, Path::new("flags"), &mut warnings)?
    };
    runtime.warn_all(&warnings);
    Ok(parsed)
}

/// The JSON that the flags stand for.
fn text_of(flags: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut all = Map::new();
    for (flag, text) in flags.iter().filter(|(_, text)| !text.is_empty()) {
        let Some((_, section, key, kind)) = LIMITS.iter().find(|(name, ..)| name == flag) else {
            return Err(Error::new(format!("--{flag} sets no limit")));
        };
        let value = value_of(text, *kind).ok_or_else(|| {
            Error::new(format!("invalid value {text:?}")).about(format!("--{flag}"))
        })?;
        let section = all.entry(*section).or_insert_with(|| Value::Object(Map::new()));
        if let Some(section) = section.as_object_mut() {
            section.insert((*key).to_owned(), value);
        }
    }
    serde_json::to_vec(&all).within("reading flags")
}

fn value_of(text: &str, kind: Kind) -> Option<Value> {
    match kind {
        Kind::Text => Some(text.into()),
        Kind::Signed => text.parse::<i64>().ok().map(Value::from),
        Kind::Unsigned(most) => {
            text.parse::<u64>().ok().filter(|&number| number <= most).map(Value::from)
        }
        Kind::Bytes => quantity::bytes(text).map(Value::from),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_are_properties() {
        let flags = [
            ("memory", "50M"),
            ("memory-swap", "-1"),
            ("cpu-quota", "-1"),
            ("cpu-idle", "1"),
            ("cpuset-cpus", "0-1"),
            ("cpuset-mems", ""),
            ("pids-limit", "0"),
            ("blkio-weight", "500"),
        ];
        let text = text_of(&flags).unwrap();
        let expected = json!({
            "memory": { "limit": 50 << 20, "swap": -1 },
            "cpu": { "quota": -1, "idle": 1, "cpus": "0-1" },
            "pids": { "limit": 0 },
            "blockIO": { "weight": 500 },
        });
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        for (flag, _, _, kind) in LIMITS.iter().filter(|(.., kind)| !matches!(kind, Kind::Text)) {
            for text in ["x", "1.x", " 1", "--1", "99999999999999999999"] {
                assert!(value_of(text, *kind).is_none(), "{flag} {text}");
            }
        }
        let error = text_of(&[("cpu-share", "-5")]).unwrap_err().to_string();
        assert_eq!(error, "--cpu-share: invalid value \"-5\"");
        assert!(value_of("65536", Kind::Unsigned(u64::from(u16::MAX))).is_none());
    }

    #[test]
    fn no_limit_on_memory_is_none_on_swap() {
        let swap = |text: &str| swap_of(&serde_json::from_str(text).unwrap());
        assert_eq!(swap(r#"{ "limit": 5, "swap": 9 }"#), Some(9));
        assert_eq!(swap(r#"{ "limit": -1, "swap": 0 }"#), Some(-1));
        assert_eq!(swap(r#"{ "limit": 5, "swap": 0 }"#), None);
    }
}
