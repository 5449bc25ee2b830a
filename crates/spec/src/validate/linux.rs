//! Checks the `linux` section.

use super::{Check, Found, has_entries, id, mapping, namespace, spelt, sysctl};
use crate::document::Document;
use crate::path::{JsonPath, at};
use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxNamespace, LinuxNamespaceType, LinuxNetDevice,
    LinuxResources, LinuxTimeOffset,
};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The values of [`propagation`]; one with `r` is for all mounts below as well.
const PROPAGATIONS: [&str; 8] =
    ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"];

pub(super) fn check(found: &mut Found, linux: &Linux, document: &Document) -> Check {
    namespaces(found, linux.namespaces().as_deref().unwrap_or_default())?;
    mappings(found, linux)?;
    if let Some(offsets) = linux.time_offsets() {
        time_offsets(found, linux, offsets)?;
    }
    net_devices(found, linux)?;
    devices(found, linux.devices().as_deref().unwrap_or_default(), document)?;
    sysctl::check(found, linux)?;
    propagation(found, linux.rootfs_propagation().as_deref().unwrap_or_default())?;
    restricted(found, linux)?;
    if let Some(config) = linux.resources() {
        found.within(&["linux", "resources"], |found| resources(found, config))?;
    }
    match linux.personality() {
        Some(personality) if personality.flags().as_ref().is_some_and(|it| !it.is_empty()) => {
            found.refuse(at("linux.personality.flags"), "the specification defines none yet")
        }
        _ => Ok(()),
    }
}

/// Checks limits; paths start at them. Most rules on limits depend on the kernel's cgroups.
pub(crate) fn resources(found: &mut Found, resources: &LinuxResources) -> Check {
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let size = limit.page_size();
        if !is_page_size(size) {
            let reason = format!("{size:?} is not a size of pages, as 64KB, 2MB or 1GB");
            found.refuse(at("hugepageLimits").index(index).key("pageSize"), reason)?;
        }
    }
    Ok(())
}

fn is_page_size(size: &str) -> bool {
    let number = size.strip_suffix('B').and_then(|size| size.strip_suffix(['K', 'M', 'G']));
    number.is_some_and(|number| {
        number.bytes().all(|byte| byte.is_ascii_digit())
            && matches!(number.as_bytes(), [b'1'..=b'9', ..])
    })
}

fn namespaces(found: &mut Found, namespaces: &[LinuxNamespace]) -> Check {
    let mut seen = 0;
    for (index, namespace) in namespaces.iter().enumerate() {
        let path = || at("linux.namespaces").index(index);
        let bit = namespace.typ() as u32;
        if seen & bit != 0 {
            found
                .refuse(path().key("type"), format!("{} appears twice", spelt(&namespace.typ())))?;
        }
        seen |= bit;
        if let Some(file) = namespace.path()
            && !file.is_absolute()
        {
            let reason = format!("{} is not an absolute path", file.display());
            found.refuse(path().key("path"), reason)?;
        }
    }
    Ok(())
}

fn mappings(found: &mut Found, linux: &Linux) -> Check {
    let user = namespace(linux, LinuxNamespaceType::User);
    let is_new = user.is_some_and(|namespace| namespace.path().is_none());
    let both = [
        ("uidMappings", linux.uid_mappings().as_ref()),
        ("gidMappings", linux.gid_mappings().as_ref()),
    ];
    for (name, list) in both {
        let path = || at("linux").key(name);
        if has_entries(list) && user.is_none() {
            found.refuse(path(), "a mapping needs a user namespace in linux.namespaces")?;
        }
        if !has_entries(list) && is_new {
            found.refuse(path(), "a new user namespace needs at least one mapping")?;
        }
        mapping(found, list, path)?;
    }
    Ok(())
}

/// Checks the offsets of clocks, which the kernel takes only for a time namespace without processes.
fn time_offsets(
    found: &mut Found,
    linux: &Linux,
    offsets: &HashMap<String, LinuxTimeOffset>,
) -> Check {
    let namespace = namespace(linux, LinuxNamespaceType::Time);
    let is_new = namespace.is_some_and(|namespace| namespace.path().is_none());
    if !offsets.is_empty() && !is_new {
        found.refuse(at("linux.timeOffsets"), "can be set for a new time namespace only")?;
    }
    for (clock, offset) in offsets {
        let path = || at("linux.timeOffsets").key(clock);
        if clock != "monotonic" && clock != "boottime" {
            found.refuse(path(), "is neither monotonic nor boottime")?;
        }
        if offset.nanosecs().is_some_and(|nanoseconds| nanoseconds > 999_999_999) {
            found.refuse(path().key("nanosecs"), "is a second or more")?;
        }
    }
    Ok(())
}

/// Checks which network devices of the host move into the container, and that the kernel can give
/// them their names.
fn net_devices(found: &mut Found, linux: &Linux) -> Check {
    let Some(devices) = linux.net_devices().as_ref().filter(|devices| !devices.is_empty()) else {
        return Ok(());
    };
    if namespace(linux, LinuxNamespaceType::Network).is_none() {
        let reason = "needs a network namespace of the container's own in linux.namespaces";
        found.refuse(at("linux.netDevices"), reason)?;
    }
    let mut taken = HashSet::new();
    for (name, device) in devices {
        let path = || at("linux.netDevices").key(name);
        if !is_device_name(name) {
            found.refuse(path(), format!("{name:?} can't be the name of a network device"))?;
        }
        let inside = name_inside(name, device);
        // The kernel completes a pattern to a name.
        let is_pattern = inside.contains('%');
        if !is_device_name(inside) || is_pattern && !is_name_pattern(inside) {
            let reason = format!("{inside:?} can't be the name of a network device");
            found.refuse(path().key("name"), reason)?;
        }
        if !is_pattern && !taken.insert(inside) {
            found.refuse(at("linux.netDevices"), format!("two devices are to be {inside}"))?;
        }
    }
    Ok(())
}

/// The name that a device has in the container.
fn name_inside<'a>(name: &'a str, device: &'a LinuxNetDevice) -> &'a str {
    device.name().as_deref().filter(|inside| !inside.is_empty()).unwrap_or(name)
}

/// Whether the kernel takes this name (`dev_valid_name`).
fn is_device_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= 15 && name != "." && name != "..";
    fits && !name.contains(['/', ':', '\0']) && !name.contains(|c: char| c.is_whitespace())
}

fn is_name_pattern(name: &str) -> bool {
    name.split_once("%d")
        .is_some_and(|(before, after)| !before.contains('%') && !after.contains('%'))
}

fn devices(found: &mut Found, devices: &[LinuxDevice], document: &Document) -> Check {
    let mut seen: HashMap<&Path, usize> = HashMap::new();
    let mut elements = document.elements(&at("linux.devices"));
    for (index, device) in devices.iter().enumerate() {
        let path = || at("linux.devices").index(index);
        let name = device.path().display();
        if !device.path().is_absolute() {
            found.refuse(path().key("path"), format!("{name:?} is not an absolute path"))?;
        }
        if device.typ() == LinuxDeviceType::A {
            found.refuse(path().key("type"), format!("{name}: a is not the type of a device"))?;
        }
        id(found, device.uid().unwrap_or(0), "user", || path().key("uid"))?;
        id(found, device.gid().unwrap_or(0), "group", || path().key("gid"))?;
        // All earlier devices at this path are the same as the first.
        let first = *seen.entry(device.path()).or_insert(index);
        if devices.get(first).is_some_and(|other| is_another(device, other)) {
            let reason = format!("{name} is another device by linux.devices[{first}]");
            found.refuse(path().key("path"), reason)?;
        }
        if device.typ() == LinuxDeviceType::P {
            continue;
        }
        for (key, number) in [("major", device.major()), ("minor", device.minor())] {
            // An absent number has become 0, which devices may have too.
            if number == 0 && !elements.has(index, key) {
                found
                    .refuse(path().key(key), format!("{name} needs a major and a minor number"))?;
            }
        }
    }
    Ok(())
}

/// Whether two devices differ; `u` is another name of `c`.
fn is_another(one: &LinuxDevice, other: &LinuxDevice) -> bool {
    let what = |device: &LinuxDevice| match device.typ() {
        LinuxDeviceType::P => (LinuxDeviceType::P, 0, 0),
        LinuxDeviceType::U => (LinuxDeviceType::C, device.major(), device.minor()),
        kind => (kind, device.major(), device.minor()),
    };
    what(one) != what(other)
}

fn propagation(found: &mut Found, value: &str) -> Check {
    if value.is_empty() || PROPAGATIONS.contains(&value) {
        return Ok(());
    }
    let reason = format!("{value} is none of {}", PROPAGATIONS.join(", "));
    found.refuse(at("linux.rootfsPropagation"), reason)
}

/// Checks masked and read-only paths. They are mounts, and without a mount namespace they would be
/// the host's.
fn restricted(found: &mut Found, linux: &Linux) -> Check {
    let has_mounts = namespace(linux, LinuxNamespaceType::Mount).is_some();
    restricted_list(found, linux.masked_paths().as_ref(), has_mounts, || at("linux.maskedPaths"))?;
    restricted_list(found, linux.readonly_paths().as_ref(), has_mounts, || {
        at("linux.readonlyPaths")
    })
}

fn restricted_list(
    found: &mut Found,
    paths: Option<&Vec<String>>,
    has_mounts: bool,
    path: impl Fn() -> JsonPath,
) -> Check {
    for (index, restricted) in paths.into_iter().flatten().enumerate() {
        if !has_mounts {
            found.refuse(path(), "needs a mount namespace in linux.namespaces")?;
        }
        if !restricted.starts_with('/') {
            found.refuse(path().index(index), format!("{restricted:?} is not an absolute path"))?;
        }
    }
    Ok(())
}
