//! Rewrites what the specification or other runtimes take, and oci-spec does not, in the tree of a
//! document before it becomes its type. It must refuse nothing, and leave nothing out silently.

use oci_spec::runtime::{Capability, LinuxResources};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Sections for other platforms, which a runtime for Linux does not look at.
const FOREIGN: [&str; 5] = ["freebsd", "solaris", "vm", "windows", "zos"];

/// Normalizes a config.json.
pub(crate) fn spec(tree: &mut Value, warnings: &mut Vec<String>) {
    if let Some(members) = tree.as_object_mut() {
        members.retain(|key, _| !FOREIGN.contains(&key.as_str()));
    }
    if let Some(tree) = tree.get_mut("process") {
        process(tree, warnings);
    }
    if let Some(tree) = tree.pointer_mut("/linux/resources") {
        resources(tree, warnings);
    }
}

/// Normalizes a process.json.
pub(crate) fn process(tree: &mut Value, warnings: &mut Vec<String>) {
    let Some(members) = tree.as_object_mut() else { return };
    members.entry("user").or_insert_with(|| json!({}));
    if let Some(sets) = members.get_mut("capabilities") {
        drop_unknown_capabilities(sets, warnings);
    }
    let flags = members.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags"));
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        respell_scheduler_flag(flag);
    }
    if let Some(affinity) = members.get_mut("execCPUAffinity") {
        tidy_cpu_list(affinity, "initial");
        tidy_cpu_list(affinity, "final");
    }
}

/// Normalizes the limits of a config.json, or those that `update` is given.
pub(crate) fn resources(tree: &mut Value, _: &mut Vec<String>) {
    for rule in elements(tree, "devices") {
        if let Some(members) = rule.as_object_mut()
            && members.get("type").is_some_and(|kind| kind == "")
        {
            members.remove("type");
        }
    }
    for limit in elements(tree, "hugepageLimits") {
        // The kernel counts in pages, up to LONG_MAX bytes. A higher limit limits nothing.
        if let Some(limit) = limit.get_mut("limit")
            && limit.as_u64().is_some_and(|bytes| i64::try_from(bytes).is_err())
        {
            *limit = json!(i64::MAX);
        }
    }
}

fn elements<'a>(tree: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    tree.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Leaves out capabilities that do not exist, with a warning, as the specification wants it.
fn drop_unknown_capabilities(sets: &mut Value, warnings: &mut Vec<String>) {
    let mut unknown = BTreeSet::new();
    let sets = sets.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut);
    for names in sets.filter_map(Value::as_array_mut) {
        names.retain(|name| {
            let known = !name.is_string() || Capability::deserialize(name as &Value).is_ok();
            if !known {
                unknown.extend(name.as_str().map(str::to_owned));
            }
            known
        });
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.into_iter().collect();
        let names = names.join(" ");
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{names}]"));
    }
}

/// Changes the specification's spelling to the one that oci-spec derives from its own names.
fn respell_scheduler_flag(flag: &mut Value) {
    match flag.as_str() {
        Some("SCHED_FLAG_RESET_ON_FORK") => *flag = json!("SCHED_RESET_ON_FORK"),
        Some("SCHED_FLAG_DL_OVERRUN") => *flag = json!("SCHED_FLAG_D_L_OVERRUN"),
        _ => {}
    }
}

/// Takes the spaces out of a list of CPUs, and an empty list out of its object.
fn tidy_cpu_list(affinity: &mut Value, key: &str) {
    let Some(members) = affinity.as_object_mut() else { return };
    let Some(list) = members.get(key).and_then(Value::as_str) else { return };
    let ranges: Vec<&str> = list.split(',').map(str::trim).collect();
    match ranges.join(",") {
        tidied if tidied.is_empty() => drop(members.remove(key)),
        tidied => drop(members.insert(key.to_owned(), json!(tidied))),
    }
}

/// Keeps the letters of a device rule's access that count, `r`, `w` and `m`, as runc does. A rule with
/// none of them can't mean what it says: one that allows is left out, and one that denies stays as it
/// is, for a later stage to refuse, as it would deny nothing.
pub(crate) fn device_access(
    resources: &mut LinuxResources,
    within: &str,
    warnings: &mut Vec<String>,
) {
    let Some(rules) = resources.devices_mut() else { return };
    let mut index = 0;
    rules.retain_mut(|rule| {
        let at = index;
        index += 1;
        let Some(access) = rule.access().clone() else { return true };
        let known: String = access.chars().filter(|letter| "rwm".contains(*letter)).collect();
        if known == access || known.is_empty() && !rule.allow() {
            return true;
        }
        let counts = if known.is_empty() { "none of it counts" } else { "the rest doesn't count" };
        warnings.push(format!(
            "{within}devices[{at}].access: {access:?} is not of r, w and m only; {counts}"
        ));
        let stays = !known.is_empty();
        rule.set_access(Some(known));
        stays
    });
}
