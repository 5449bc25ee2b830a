//! What holds of limits, device rules and paths, whatever the config says. `just fuzz` searches for a config
//! of which it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::cgroup::Cgroup;
use crate::cgroupfs::v2::devices::interpreter::{Use, allows, decide};
use crate::cgroupfs::write::{Absent, Write};
use crate::cgroupfs::{v1, v2};
use crate::devices::list::List;
use crate::devices::{self, Access, DEFAULTS, Devices, Kind, Rule};
use crate::host::Host;
use crate::limits;
use crate::scope;
use oci_spec::runtime::LinuxResources;
use std::path::Path;

/// `linux.resources`: writes go to files of the cgroup and nowhere else, and rules for devices mean the
/// same in all of their forms.
pub fn resources(resources: &LinuxResources) {
    let limits = limits::of(resources).unwrap_or_default();
    for limit in &limits {
        for writes in [v1::limits::writes(limit), v2::limits::writes(limit)] {
            writes.unwrap_or_default().iter().for_each(check_write);
        }
    }
    let rules = devices::rules(resources.devices().as_deref().unwrap_or_default());
    let rules = rules.unwrap_or_default();
    check_rules(&rules);
    for (pure, new) in [(false, false), (false, true), (true, false), (true, true)] {
        for property in scope::told(&limits, &rules, pure, new) {
            assert!(property.name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}

fn check_write(write: &Write) {
    let other = match &write.absent {
        Absent::Instead(file, _) => file,
        _ => "x",
    };
    for file in [&*write.file, other] {
        assert!(!matches!(file, "" | "." | "..") && !file.contains(['/', '\0']), "{write:?}");
    }
    assert!(!write.property.is_empty());
}

/// Uses near the devices that rules name.
fn check_rules(configured: &[Rule]) {
    let rules: Vec<Rule> = configured.iter().chain(&DEFAULTS).copied().collect();
    let list = List::of(configured).ok();
    let numbers = |devices: &Devices| [devices.major, devices.minor].map(|one| one.unwrap_or(9));
    let named = configured.iter().take(8).map(|rule| numbers(&rule.devices));
    for [major, minor] in named.chain([[1, 3], [136, 7]]) {
        for (major, minor) in [(major, minor), (major, minor ^ 1), (major ^ 1, minor)] {
            for kind in [Kind::Character, Kind::Block] {
                for wanted in 1..8 {
                    let asked = Use(kind, major, minor, wanted);
                    assert_eq!(decide(&rules, asked), allows(&rules, asked), "{asked:?} {rules:?}");
                }
                for (access, _) in Access::LETTERS {
                    let asked = Use(kind, major, minor, access.bits());
                    let by_list = list.as_ref().map(|list| allowed_by(list, asked, access));
                    let expected = allows(&rules, asked);
                    assert_eq!(by_list.unwrap_or(expected), expected, "{asked:?} {rules:?}");
                }
            }
        }
    }
}

/// What a list of v1's says: exceptions to its default.
fn allowed_by(list: &List, Use(kind, major, minor, _): Use, access: Access) -> bool {
    let device = Devices { kind: Some(kind), major: Some(major), minor: Some(minor) };
    let mut exceptions = list.exceptions.iter();
    let is_excepted = exceptions.any(|(one, has)| one.cover(&device) && has.contains(access));
    is_excepted != list.allow
}

/// A `linux.cgroupsPath`, a path for `exec --cgroup`, and a /proc/self/cgroup, one after the other: the
/// cgroup is below each hierarchy's mount point, and one below the container's stays below that.
pub fn path(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (path, below, memberships) = (next(), next(), next());
    for unified in [None, Some("/sys/fs/cgroup"), Some("/sys/fs/cgroup/unified")] {
        let host = Host::parse(memberships, unified);
        let Ok(cgroup) = Cgroup::locate(&host, Some(Path::new(path)), "box", false) else {
            continue;
        };
        let whole = check_below(&host, &cgroup);
        let Ok(within) = cgroup.within(&[below]) else { continue };
        for (inner, outer) in check_below(&host, &within).iter().zip(whole) {
            assert!(Path::new(inner).starts_with(&outer), "{inner} {outer}");
        }
    }
}

/// Gives the directories.
fn check_below(host: &Host, cgroup: &Cgroup) -> Vec<String> {
    let hierarchies = cgroup.planned().zip(&host.hierarchies);
    let directories = hierarchies.map(|(hierarchy, membership)| {
        let directory = hierarchy.directory();
        let below = directory.strip_prefix(&membership.mount).unwrap().strip_prefix('/').unwrap();
        assert!(!below.is_empty());
        assert!(below.split('/').all(|part| part != ".."), "{directory}");
        assert_eq!(hierarchy.ancestor(0), directory);
        directory
    });
    directories.collect()
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("cgroup", path);
    seeds::hold("resources", |text| {
        if let Ok(read) = serde_json::from_slice(text) {
            resources(&read);
        }
    });
}
