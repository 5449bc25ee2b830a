//! systemd's part: the scope that it makes a container's cgroup for, and keeps limits of.
//!
//! systemd makes a scope for processes that somebody else has forked, and only once there is such a
//! process. rind gives it a hop, the process that forks the container's init: so init is born in its
//! cgroup, and nobody waits until it is moved. rind tells systemd of all limits that systemd knows, so
//! that systemd writes the same values to the cgroup's files later, as after `systemctl daemon-reload`.
//! Then rind writes the files itself, to the byte, and those that systemd doesn't know.

mod devices;
mod properties;
mod rewritten;

use crate::cgroup::{Cgroup, Hierarchy, Unit, join};
use crate::cgroupfs::limits;
use crate::cgroupfs::make::{self, Note, make_directories, making, unmake};
use crate::cgroupfs::v1::provide_cpuset;
use crate::cgroupfs::v2::controllers;
use crate::devices::Rule;
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::limits::Limit;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use sys::Errno;
use systemd::{Bus, Manager, Property, Value};

/// How long systemd may take for a start or a stop. A busy systemd takes seconds. D-Bus's own libraries
/// wait as long for a call.
const DEADLINE: Duration = Duration::from_secs(25);

/// A connection to a systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
    manager: Manager,
    /// The properties that annotations ask for.
    asked: Vec<Property>,
}

impl Systemd {
    /// Connects to the system's systemd, or to that of the user.
    pub fn connect(of_user: bool) -> Result<Self> {
        let bus = if of_user { Bus::User } else { Bus::System };
        let manager = Manager::connect(bus, DEADLINE).map_err(|error| {
            let step = format!("asking systemd for the container's cgroup: {error}");
            let remedy =
                "without systemd, leave out --systemd-cgroup, or have --cgroup-manager cgroupfs";
            Error::new(step).with_hint(Some(remedy))
        })?;
        Ok(Self { bus, manager, asked: Vec::new() })
    }

    /// Has the unit get the property `name`, with a value in `GVariant`'s text format.
    pub fn ask(&mut self, name: &str, value: &str) -> Result<()> {
        self.asked.push(systemd::annotation(name, value).map_err(Error::new)?);
        Ok(())
    }

    fn version(&mut self) -> Result<u32> {
        self.manager.version().map_err(|error| Error::new(error.to_string()))
    }

    /// The cgroup that all its units are in, without slashes around it.
    fn top(&mut self) -> Result<String> {
        if self.bus == Bus::System {
            return Ok(String::new());
        }
        let group = self.manager.control_group();
        let group = group.map_err(|error| Error::new(error.to_string()))?;
        Ok(group.trim_matches('/').to_owned())
    }
}

impl Cgroup {
    /// The cgroup of container `id` as a scope that `systemd` is going to make.
    ///
    /// `cgroups_path` is `SLICE:PREFIX:NAME`, for `PREFIX-NAME.scope` in the slice. An empty slice
    /// means `system.slice`, or a user's `user.slice`. Without a path the scope is
    /// `rind-ID.scope` in that slice.
    pub fn locate_scope(
        host: &Host,
        cgroups_path: Option<&Path>,
        id: &str,
        systemd: &mut Systemd,
    ) -> Result<Self> {
        let unit = name_unit(cgroups_path, id, systemd.bus)?;
        if systemd.bus == Bus::User && !host.is_pure_v2() {
            let reason =
                "a user's systemd limits by cgroup v2, and this host has controllers on v1";
            let remedy = "use --cgroup-manager cgroupfs, or disabled";
            return Err(Error::new(reason).with_hint(Some(remedy)));
        }
        let slice = systemd::slice_path(&unit.slice)
            .map_err(|why| Error::new(format!("linux.cgroupsPath: {why}")))?;
        let (top, below) = (systemd.top()?, join(&slice, &unit.name));
        let hierarchies = host.hierarchies.iter();
        let hierarchies = hierarchies.map(|one| Hierarchy::new(one, top.clone(), below.clone()));
        Ok(Self { hierarchies: hierarchies.collect(), unit: Some(unit), ..Self::default() })
    }

    /// Has systemd move the process `pid` into the scope, or the cgroup below it: a user may not
    /// move a process from one unit to another.
    pub fn attach(&self, pid: i32) -> Result<()> {
        let Some(unit) = &self.unit else {
            let reason = "the container's cgroup can't be entered from rind's own: both would have \
                          to be below one that is the user's";
            let remedy = "start rind in such, by systemd-run --user --scope, or use \
                          --cgroup-manager systemd";
            return Err(Error::new(reason).with_hint(Some(remedy)));
        };
        let below = self.unified().and_then(|one| below_unit(&one.below, unit));
        attach_below(unit, below.unwrap_or_default(), pid)?;
        // Elsewhere the process would be without the container's limits.
        check_path(self, pid)
    }

    /// Has systemd move the process `pid` beside `init`, into the cgroup below the scope. Returns
    /// `false` if init isn't below it.
    pub fn attach_beside(&self, pid: i32, init: i32) -> Result<bool> {
        let Some((unit, top)) = self.unit.as_ref().zip(self.unified()) else { return Ok(false) };
        let of = |pid| -> Result<String> {
            let path = host::cgroup_of(pid, "")?.unwrap_or_default();
            Ok(path.trim_matches('/').to_owned())
        };
        let beside = of(init)?;
        let inside = beside.strip_prefix(&format!("{}/", join(&top.base, &top.below)));
        let Some(below) = inside.and_then(|_| below_unit(&beside, unit)) else { return Ok(false) };
        attach_below(unit, below, pid)?;
        Ok(of(pid)? == beside)
    }
}

fn name_unit(cgroups_path: Option<&Path>, id: &str, bus: Bus) -> Result<Unit> {
    let text = cgroups_path.map_or(Some(""), Path::to_str);
    let parts: Vec<&str> = match text {
        Some("") => vec!["", "rind", id],
        Some(text) => text.split(':').collect(),
        None => Vec::new(),
    };
    let refuse = |why: &str| {
        let path = cgroups_path.unwrap_or(Path::new("")).display().to_string();
        Err(Error::new(format!("linux.cgroupsPath: {path:?}: {why}")))
    };
    let [slice, prefix, name] = parts[..] else {
        return refuse(
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups \
             (or leave out --systemd-cgroup)",
        );
    };
    if name.is_empty() || name.contains('/') || prefix.contains('/') {
        return refuse("the last part is to be a unit's name");
    }
    let slice = match (slice, bus) {
        ("", Bus::System) => "system.slice",
        ("", Bus::User) => "user.slice",
        (slice, _) => slice,
    };
    let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
    let name = format!("{}.scope", escape(&name));
    if let Err(why) = systemd::check_unit_name(&name) {
        return refuse(&why);
    }
    Ok(Unit { name, slice: slice.to_owned(), bus })
}

/// The name with what a unit's name can't have written as systemd-escape(1) writes it: an id may have a
/// `+`.
fn escape(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_.-\\@".contains(&byte);
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if is_plain(byte) {
            escaped.push(char::from(byte));
        } else {
            // A write to a String never fails.
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    escaped
}

/// See [`Cgroup::make_scope`].
pub(crate) fn make(
    cgroup: &mut Cgroup,
    limits: &[Limit],
    rules: &[Rule],
    pid: i32,
    systemd: &mut Systemd,
    note: Note,
) -> Result<()> {
    let Some(unit) = cgroup.unit.clone() else { return Ok(()) };
    let needed = limits::needed(cgroup, limits)?;
    let mut all = basic_properties(&unit, pid);
    all.extend(properties::of(limits, cgroup.is_pure_v2(), true));
    all.extend(device_properties(cgroup, &unit, rules)?);
    properties::leave_out_newer(&mut all, || systemd.version())?;
    // Annotations have the last word.
    all.retain(|one| !systemd.asked.iter().any(|other| other.name == one.name));
    all.extend_from_slice(&systemd.asked);
    note(&make::with_parents(cgroup))?;
    if let Err(error) = systemd.manager.start_scope(&unit.name, &all) {
        // Not if the unit is somebody else's, or systemd knows already that it has to stop it.
        if !error.is_unit_exists() && !error.is_timeout() {
            let _ = systemd.manager.stop(&unit.name);
        }
        cgroup.unit = None;
        return Err(failed("starting", &unit, &error));
    }
    // If a user's systemd has no such controller to hand down, writing the limit shows it.
    let lenient = unit.bus == Bus::User;
    let mut made = || {
        check_path(cgroup, pid)?;
        take(cgroup)?;
        controllers::enable(cgroup, &needed, lenient)?;
        cgroup.refuse_frozen()
    };
    made().inspect_err(|_| cgroup.hierarchies.iter_mut().for_each(unmake))
}

/// The properties of every scope that rind asks for.
fn basic_properties(unit: &Unit, pid: i32) -> Vec<Property> {
    let pids = vec![Value::U32(pid.cast_unsigned())];
    let on = |name: &str| Property::new(name, Value::Bool(true));
    vec![
        Property::new("Description", Value::Text(format!("container {}", unit.name))),
        Property::new("Slice", Value::Text(unit.slice.clone())),
        Property::new("PIDs", Value::Array { element: "u".to_owned(), items: pids }),
        on("Delegate"),
        Property::new("DefaultDependencies", Value::Bool(false)),
        // A scope that has failed, as by an OOM kill, goes by itself as well.
        Property::new("CollectMode", Value::Text("inactive-or-failed".to_owned())),
        on("CPUAccounting"),
        on("MemoryAccounting"),
        on("IOAccounting"),
        on("TasksAccounting"),
    ]
}

/// A user's systemd can't keep anybody from a device.
fn device_properties(cgroup: &Cgroup, unit: &Unit, rules: &[Rule]) -> Result<Vec<Property>> {
    match unit.bus {
        Bus::System => devices::properties(rules, cgroup.is_pure_v2()),
        Bus::User => Ok(Vec::new()),
    }
}

/// An error if systemd has put the process elsewhere than planned: rind has planned what the container
/// sees of its cgroup by then.
fn check_path(cgroup: &Cgroup, pid: i32) -> Result<()> {
    let of_systemd = if cgroup.is_pure_v2() { cgroup.unified() } else { cgroup.v1("name=systemd") };
    let Some(one) = of_systemd else { return Ok(()) };
    let expected = format!("/{}", join(&one.base, &one.below));
    let found = host::cgroup_of(pid, &one.controllers.join(","))?;
    if found.as_ref() == Some(&expected) {
        return Ok(());
    }
    let found = found.as_deref().unwrap_or("nowhere");
    Err(Error::new(format!(
        "systemd has put the container's process at {found}, not at {expected}"
    )))
}

/// Takes the cgroups that systemd has made, and makes those that it hasn't.
fn take(cgroup: &mut Cgroup) -> Result<()> {
    let pure = cgroup.is_pure_v2();
    for one in &mut cgroup.hierarchies {
        if !one.is_unified() && !host::is_v1(&one.mount) {
            continue;
        }
        match make_directories(one, one.depth(), true) {
            Ok(made) => one.made = made.max(1),
            // One of several hierarchies that is mounted nowhere, or that a user may not use.
            Err(Errno::ENOENT | Errno::EACCES | Errno::EPERM) if !pure => continue,
            Err(errno) => return Err(making(one, errno)),
        }
        provide_cpuset(one)?;
        one.joined = true;
    }
    Ok(())
}

/// Sets the limits that had to wait until the hop that forked init is gone.
pub(crate) fn settle(cgroup: &Cgroup, limits: &[Limit], systemd: &mut Systemd) -> Result<()> {
    let Some(unit) = &cgroup.unit else { return Ok(()) };
    set(unit, &properties::left_over(limits), systemd)
}

fn set(unit: &Unit, properties: &[Property], systemd: &mut Systemd) -> Result<()> {
    if properties.is_empty() {
        return Ok(());
    }
    let set = systemd.manager.set_properties(&unit.name, properties);
    set.map_err(|error| failed("setting properties of", unit, &error))
}

/// The part of a path that is below the unit's own cgroup.
fn below_unit<'a>(path: &'a str, unit: &Unit) -> Option<&'a str> {
    Some(path.split_once(unit.name.as_str())?.1.trim_start_matches('/'))
}

fn attach_below(unit: &Unit, below: &str, pid: i32) -> Result<()> {
    let mut systemd = Systemd::connect(unit.bus == Bus::User)?;
    let attached = systemd.manager.attach(&unit.name, below, pid.cast_unsigned());
    attached.map_err(|error| failed("moving a process into", unit, &error))
}

/// Tells systemd of the new limits and device `rules` that it knows, and sets back the files that it
/// writes over.
///
/// `before` are the device rules in force, for v1, where the kernel doesn't list them all.
pub(crate) fn update(
    cgroup: &Cgroup,
    limits: &[Limit],
    rules: Option<&[Rule]>,
    before: &[Rule],
) -> Result<()> {
    let Some(unit) = &cgroup.unit else { return Ok(()) };
    rewritten::keep(cgroup, before, || {
        let mut all = properties::of(limits, cgroup.is_pure_v2(), false);
        if let Some(rules) = rules {
            all.extend(device_properties(cgroup, unit, rules)?);
        }
        if all.is_empty() {
            return Ok(());
        }
        let mut systemd = Systemd::connect(unit.bus == Bus::User)?;
        properties::leave_out_newer(&mut all, || systemd.version())?;
        set(unit, &all, &mut systemd)
    })
}

/// Stops the container's unit, if there is one, and waits until it is gone.
pub(crate) fn stop(cgroup: &Cgroup) -> Result<()> {
    let Some(unit) = &cgroup.unit else { return Ok(()) };
    // Without a systemd there are no units.
    let Ok(mut systemd) = Systemd::connect(unit.bus == Bus::User) else { return Ok(()) };
    systemd.manager.stop(&unit.name).map_err(|error| failed("stopping", unit, &error))
}

fn failed(what: &str, unit: &Unit, error: &systemd::Error) -> Error {
    let step = format!("{what} the unit {} of systemd: {error}", unit.name);
    let remedy = if error.is_unit_exists() {
        let user = if unit.bus == Bus::User { " --user" } else { "" };
        Some(format!("stop it, by `systemctl{user} stop {}`, or use another name", unit.name))
    } else {
        let stopped = "somebody else has stopped it: delete the container";
        let silent = "what listens there may be no bus, or its systemd hang; without systemd, leave out \
            --systemd-cgroup, or have --cgroup-manager cgroupfs";
        let remedy = if error.is_no_such_unit() { Some(stopped) } else { None };
        let is_mute = error.is_timeout() || error.is_closed();
        remedy.or(is_mute.then_some(silent)).map(str::to_owned)
    };
    Error::new(step).with_hint(remedy)
}

/// What systemd would be told of limits and rules, for the properties in `fuzz.rs`.
#[cfg(any(test, fuzzing))]
pub(crate) fn told(limits: &[Limit], rules: &[Rule], pure: bool, new: bool) -> Vec<Property> {
    let mut all = properties::of(limits, pure, new);
    all.extend(properties::left_over(limits));
    all.extend(devices::properties(rules, pure).unwrap_or_default());
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(path: Option<&str>, bus: Bus) -> std::result::Result<(String, String), String> {
        let unit = name_unit(path.map(Path::new), "box", bus);
        unit.map(|unit| (unit.slice, unit.name)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_names_slice_prefix_and_unit() {
        let table = [
            (None, Bus::System, ("system.slice", "rind-box.scope")),
            (Some(""), Bus::User, ("user.slice", "rind-box.scope")),
            (Some("system.slice:docker:0123"), Bus::System, ("system.slice", "docker-0123.scope")),
            (Some(":libpod:0123"), Bus::User, ("user.slice", "libpod-0123.scope")),
            (Some("a-b.slice::x"), Bus::System, ("a-b.slice", "x.scope")),
            (Some(":p:a+b"), Bus::System, ("system.slice", "p-a\\x2bb.scope")),
        ];
        for (path, bus, (slice, unit)) in table {
            assert_eq!(name(path, bus).unwrap(), (slice.to_owned(), unit.to_owned()), "{path:?}");
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for path in ["/docker/0123", "a:b", "a:b:c:d", "a.slice:p:", "a.slice:p:x/y"] {
            let refused = name(Some(path), Bus::System).unwrap_err();
            assert!(refused.starts_with(&format!("linux.cgroupsPath: {path:?}: ")), "{refused}");
        }
        let long = format!(":p:{}", "x".repeat(300));
        assert!(name(Some(&long), Bus::System).is_err());
    }
}
