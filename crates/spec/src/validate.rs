//! Checks the specification's rules, as far as the config alone shows whether it keeps them.
//!
//! A check must not ask the kernel anything, change the config, or allocate for a valid one. Rules on
//! what only one later stage reads belong to that stage: the seccomp profile, cgroup limits, device
//! rules, mount options.

mod linux;
mod process;
mod sysctl;
mod version;

use crate::document::Document;
use crate::error::{Check, Found};
use crate::path::{JsonPath, at};
use oci_spec::runtime::{
    Hook, Hooks, Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, Mount, Spec, User,
};
use serde::Serialize;
use std::path::{Component, Path};

pub(crate) use linux::resources;
pub(crate) use process::check as process;
pub use sysctl::sysctl_namespace;
pub use version::zero_pids_are_unlimited;

/// -1 to the kernel, which takes it for "leave it as it is". No user or group has this number.
const NO_ID: u32 = u32::MAX;

/// Refuses a number that no user or group has.
fn id(found: &mut Found, number: u32, whose: &str, path: impl FnOnce() -> JsonPath) -> Check {
    if number == NO_ID {
        found.refuse(path(), format!("{number} is no {whose} id"))
    } else {
        Ok(())
    }
}

/// Checks a config.json. The types have 0 for an absent number; `document` tells the two apart.
pub(crate) fn spec(found: &mut Found, spec: &Spec, document: &Document) -> Check {
    version::check(found, spec.version())?;
    match spec.root() {
        None => found.refuse(at("root"), "is missing")?,
        Some(root) if root.path().as_os_str().is_empty() => {
            found.refuse(at("root.path"), "is missing or empty")?;
        }
        Some(_) => {}
    }
    if let Some(config) = spec.process() {
        found.within(&["process"], |found| process(found, config))?;
    }
    names(found, spec)?;
    let list = spec.mounts().as_deref().unwrap_or_default();
    mounts(found, list, has_namespace(spec, LinuxNamespaceType::User))?;
    if let Some(config) = spec.hooks() {
        hooks(found, config)?;
    }
    if spec.annotations().iter().flatten().any(|(key, _)| key.is_empty()) {
        found.refuse(at("annotations").key(""), "a key must not be empty")?;
    }
    let Some(linux) = spec.linux() else { return Ok(()) };
    linux::check(found, linux, document)?;
    spec.process().as_ref().map_or(Ok(()), |process| mapped(found, process.user(), linux))
}

/// Refuses ids of the process that its new user namespace doesn't have.
fn mapped(found: &mut Found, user: &User, linux: &Linux) -> Check {
    let is_in = |id: u32, list: &[LinuxIdMapping]| {
        list.iter()
            .any(|range| id.checked_sub(range.container_id()).is_some_and(|nth| nth < range.size()))
    };
    let mut check =
        |id: u32, list: Option<&Vec<LinuxIdMapping>>, name: &str, path: JsonPath| match list
            .map(Vec::as_slice)
        {
            None | Some([]) => Ok(()),
            Some(list) if is_in(id, list) => Ok(()),
            Some(_) => found.refuse(path, format!("{id} is not mapped: it is not in linux.{name}")),
        };
    let (uids, gids) = (linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref());
    check(user.uid(), uids, "uidMappings", at("process.user.uid"))?;
    check(user.gid(), gids, "gidMappings", at("process.user.gid"))?;
    for (index, gid) in user.additional_gids().iter().flatten().enumerate() {
        check(*gid, gids, "gidMappings", at("process.user.additionalGids").index(index))?;
    }
    Ok(())
}

/// `hostname` and `domainname` belong to a UTS namespace; without one they would be the host's.
fn names(found: &mut Found, spec: &Spec) -> Check {
    for (name, value) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let is_set = value.as_deref().is_some_and(|value| !value.is_empty());
        if is_set && !has_namespace(spec, LinuxNamespaceType::Uts) {
            found.refuse(at(name), "can't be set without a UTS namespace in linux.namespaces")?;
        }
    }
    match (spec.domainname().as_deref(), spec.linux()) {
        (None | Some(""), _) | (_, None) => Ok(()),
        (Some(_), Some(linux)) => sysctl::check_domainname(found, linux),
    }
}

/// Checks `mounts`, of a container with or without a user namespace.
pub(crate) fn mounts(found: &mut Found, list: &[Mount], has_user_namespace: bool) -> Check {
    for (index, mount) in list.iter().enumerate() {
        let path = || at("mounts").index(index);
        if mount.destination().as_os_str().is_empty() {
            found.refuse(path().key("destination"), "is empty")?;
        }
        // The mount would be above the root, where no path leads.
        if is_root(mount.destination()) && !is_remount(mount) {
            found
                .refuse(path().key("destination"), "is the root itself, which root.path is for")?;
        }
        match (
            has_entries(mount.uid_mappings().as_ref()),
            has_entries(mount.gid_mappings().as_ref()),
        ) {
            (true, false) => {
                found.refuse(path().key("uidMappings"), "must come with gidMappings")?;
            }
            (false, true) => {
                found.refuse(path().key("gidMappings"), "must come with uidMappings")?;
            }
            (false, false) if asks_for_mapping(mount) && !has_user_namespace => {
                let reason = "idmap needs uidMappings and gidMappings, or a user namespace to \
                              take the mappings from";
                found.refuse(path().key("options"), reason)?;
            }
            _ => {}
        }
        mapping(found, mount.uid_mappings().as_ref(), || path().key("uidMappings"))?;
        mapping(found, mount.gid_mappings().as_ref(), || path().key("gidMappings"))?;
    }
    Ok(())
}

fn asks_for_mapping(mount: &Mount) -> bool {
    mount.options().iter().flatten().any(|option| option == "idmap" || option == "ridmap")
}

fn is_remount(mount: &Mount) -> bool {
    mount.options().iter().flatten().any(|option| option == "remount")
}

/// Whether the path is `/` in any spelling.
fn is_root(path: &Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.saturating_sub(1),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    depth == 0
}

/// Whether there is a mapping; an empty list counts as none.
fn has_entries(mappings: Option<&Vec<LinuxIdMapping>>) -> bool {
    mappings.is_some_and(|mappings| !mappings.is_empty())
}

fn mapping(
    found: &mut Found,
    mappings: Option<&Vec<LinuxIdMapping>>,
    path: impl Fn() -> JsonPath,
) -> Check {
    for (index, range) in mappings.into_iter().flatten().enumerate() {
        let path = || path().index(index);
        if range.size() == 0 {
            found.refuse(path().key("size"), "must be greater than 0")?;
        }
        for (key, first) in [("containerID", range.container_id()), ("hostID", range.host_id())] {
            if first.checked_add(range.size()).is_none() {
                let reason = format!("{first} and those after it reach {NO_ID}, which is no id");
                found.refuse(path().key(key), reason)?;
            }
        }
    }
    overlap(found, mappings, path)
}

/// Refuses two ranges that have an id in common, on either side (`user_namespaces(7)`).
fn overlap(
    found: &mut Found,
    mappings: Option<&Vec<LinuxIdMapping>>,
    path: impl Fn() -> JsonPath,
) -> Check {
    let all = mappings.map(Vec::as_slice).unwrap_or_default();
    let common = |a: u32, b: u32, one: &LinuxIdMapping, two: &LinuxIdMapping| {
        a < b.saturating_add(two.size()) && b < a.saturating_add(one.size())
    };
    for (index, one) in all.iter().enumerate() {
        for (other, two) in all.iter().take(index).enumerate() {
            let key = if common(one.container_id(), two.container_id(), one, two) {
                "containerID"
            } else if common(one.host_id(), two.host_id(), one, two) {
                "hostID"
            } else {
                continue;
            };
            let reason = format!("the range overlaps that of entry {other}");
            found.refuse(path().index(index).key(key), reason)?;
        }
    }
    Ok(())
}

#[allow(deprecated)] // rind still runs prestart hooks
fn hooks(found: &mut Found, hooks: &Hooks) -> Check {
    hook_list(found, hooks.prestart().as_ref(), "prestart")?;
    hook_list(found, hooks.create_runtime().as_ref(), "createRuntime")?;
    hook_list(found, hooks.create_container().as_ref(), "createContainer")?;
    hook_list(found, hooks.start_container().as_ref(), "startContainer")?;
    hook_list(found, hooks.poststart().as_ref(), "poststart")?;
    hook_list(found, hooks.poststop().as_ref(), "poststop")
}

fn hook_list(found: &mut Found, hooks: Option<&Vec<Hook>>, name: &str) -> Check {
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        let path = || at("hooks").key(name).index(index);
        if !hook.path().is_absolute() {
            let reason = format!("{} is not an absolute path", hook.path().display());
            found.refuse(path().key("path"), reason)?;
        }
        if let Some(timeout) = hook.timeout()
            && timeout <= 0
        {
            found.refuse(path().key("timeout"), format!("{timeout} is not greater than 0"))?;
        }
    }
    Ok(())
}

fn has_namespace(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    spec.linux().as_ref().is_some_and(|config| namespace(config, kind).is_some())
}

/// The config's entry for a namespace of this kind, which the container makes or joins.
fn namespace(linux: &Linux, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    linux.namespaces().iter().flatten().find(|namespace| namespace.typ() == kind)
}

/// An enumeration's value as the config spells it.
fn spelt<T: Serialize>(value: &T) -> String {
    let spelt = serde_json::to_value(value).ok();
    spelt.and_then(|spelt| spelt.as_str().map(str::to_owned)).unwrap_or_default()
}
