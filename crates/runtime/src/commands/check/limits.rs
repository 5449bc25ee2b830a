//! What of a config depends on this machine's numbers: processors and memory nodes, ranges that the
//! kernel takes, ids that may be mapped, settings that it has.

use super::finding::{Finding, at};
use super::kernel::is_admin;
use super::user::{IDS, Ids, caller, ranges_of};
use cgroups::{Cgroup, Hierarchy};
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, LinuxResources, Process, Spec};
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::nix::fcntl::{AT_FDCWD, AtFlags};
use sys::nix::unistd::{AccessFlags, faccessat, getegid, geteuid};

pub(super) fn findings(spec: &Spec) -> Vec<Finding> {
    let Some(linux) = spec.linux() else {
        return without_user_namespace(spec).into_iter().collect();
    };
    let mut all: Vec<Finding> = without_user_namespace(spec).into_iter().collect();
    all.extend(mappings(linux));
    all.extend(spec.process().iter().flat_map(|process| mapped_ids(linux, process)));
    all.extend(linux.resources().iter().flat_map(resources));
    all.extend(settings(linux));
    all
}

/// A user other than root gets all other namespaces only within a user namespace.
fn without_user_namespace(spec: &Spec) -> Option<Finding> {
    let has_one = spec.linux().as_ref().is_some_and(has_user_namespace);
    (!has_one && !is_admin()).then(|| {
        at("linux.namespaces", "no user namespace, and the caller is not root").lacks(
            "create fails: only root may make the other namespaces without one",
            "add {\"type\": \"user\"} with uidMappings and gidMappings (rind spec --rootless writes \
             such a config), or run as root",
        )
    })
}

/// Whether the container has a user namespace, new or joined.
pub(super) fn has_user_namespace(linux: &Linux) -> bool {
    let mut list = linux.namespaces().iter().flatten();
    list.any(|one| one.typ() == LinuxNamespaceType::User)
}

fn is_new_user_namespace(linux: &Linux) -> bool {
    let mut list = linux.namespaces().iter().flatten();
    list.any(|one| one.typ() == LinuxNamespaceType::User && one.path().is_none())
}

/// Ids of the process that no mapping has.
fn mapped_ids(linux: &Linux, process: &Process) -> Vec<Finding> {
    if !is_new_user_namespace(linux) {
        return Vec::new();
    }
    let user = process.user();
    let more = user.additional_gids().iter().flatten().enumerate();
    let more = more.map(|(index, gid)| (format!("process.user.additionalGids[{index}]"), *gid));
    let groups = std::iter::once(("process.user.gid".to_owned(), user.gid())).chain(more);
    let lists = [
        (
            "linux.uidMappings",
            linux.uid_mappings(),
            vec![("process.user.uid".to_owned(), user.uid())],
        ),
        ("linux.gidMappings", linux.gid_mappings(), groups.collect()),
    ];
    let mut all = Vec::new();
    for (name, mappings, ids) in lists {
        let mappings = mappings.as_deref().unwrap_or_default();
        let missing = |id| !mappings.is_empty() && !mappings.iter().any(|one| covers(one, id));
        if missing(0) {
            all.push(at(name, "0 of the container is not mapped").lacks(
                "create fails: init is root of the user namespace until it becomes process.user",
                "map containerID 0 to an id of the host",
            ));
        }
        let ids = ids.into_iter().filter(|(_, id)| *id != 0 && missing(*id));
        all.extend(ids.map(|(what, id)| {
            at(what, format!("{id} is in no entry of {name}")).lacks(
                "create fails: the process can't become an id that is not mapped",
                format!("extend {name} by {id}, or take an id that is mapped"),
            )
        }));
    }
    all
}

fn covers(mapping: &LinuxIdMapping, id: u32) -> bool {
    id.checked_sub(mapping.container_id()).is_some_and(|offset| offset < mapping.size())
}

/// Ids of the host that the caller may not map.
fn mappings(linux: &Linux) -> Vec<Finding> {
    if !is_new_user_namespace(linux) {
        return Vec::new();
    }
    let lists = [
        ("linux.uidMappings", linux.uid_mappings(), "/proc/self/uid_map", geteuid().as_raw()),
        ("linux.gidMappings", linux.gid_mappings(), "/proc/self/gid_map", getegid().as_raw()),
    ];
    let mut all = Vec::new();
    for ((name, list, own_map, own), ids) in lists.into_iter().zip(&IDS) {
        let list = list.as_deref().unwrap_or_default();
        let has = host_ranges(own_map, own, ids);
        let is_alone = matches!(list, [one] if one.host_id() == own && one.size() == 1);
        for (index, one) in list.iter().enumerate() {
            let (first, count) = (u64::from(one.host_id()), u64::from(one.size()));
            if !is_within(first, count, &has) {
                all.push(not_ours(format!("{name}[{index}]"), first, count, ids));
            }
        }
        if !geteuid().is_root() && !is_alone && process::find_program(ids.program).is_none() {
            let detail = format!("{} is not in PATH", ids.program);
            all.push(at(name, detail).lacks(
                "create fails: a user other than root can map nothing but its own id without",
                "install uidmap (Debian) or shadow-utils, or map one id, the caller's own",
            ));
        }
    }
    all
}

/// The ids of the host that the caller may map: for root those that its own namespace has, for another
/// user its own and what /etc gives it.
fn host_ranges(own_map: &str, own: u32, ids: &Ids) -> Vec<(u64, u64)> {
    if geteuid().is_root() {
        let text = std::fs::read_to_string(own_map).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (first, count) = (fields.next()?, fields.nth(1)?);
            Some((first.parse().ok()?, count.parse().ok()?))
        });
        return lines.collect();
    }
    let text = std::fs::read_to_string(ids.file).unwrap_or_default();
    let (name, uid) = caller();
    let mut ranges = ranges_of(&text, name.as_deref(), uid);
    ranges.push((own.into(), 1));
    ranges
}

/// Whether all of `count` ids from `first` on are in one of the ranges, or in some that follow each
/// other.
fn is_within(first: u64, count: u64, ranges: &[(u64, u64)]) -> bool {
    let (mut at, end) = (first, first.saturating_add(count));
    while at < end {
        let around =
            ranges.iter().find(|(from, many)| (*from..from.saturating_add(*many)).contains(&at));
        let Some((from, many)) = around else { return false };
        at = from.saturating_add(*many);
    }
    true
}

fn not_ours(what: String, first: u64, count: u64, ids: &Ids) -> Finding {
    let last = first.saturating_add(count).saturating_sub(1);
    let Ids { file, program, option, what: whose } = ids;
    if geteuid().is_root() {
        let detail = format!(
            "{first} to {last} of the host are not all mapped in the caller's own user namespace"
        );
        return at(what, detail).lacks(
            "create fails when it writes the mapping",
            "map ids that the caller has (/proc/self/uid_map)",
        );
    }
    let (name, uid) = caller();
    let name = name.unwrap_or_else(|| uid.to_string());
    at(what, format!("the {whose} {first} to {last} are not all {name}'s by {file}")).lacks(
        format!("create fails: {program} refuses the mapping"),
        format!("usermod {option} {first}-{last} {name}, as root; or map ids of {file}, or one, the caller's own"),
    )
}

/// Limits whose value the kernel refuses.
fn resources(resources: &LinuxResources) -> Vec<Finding> {
    let mut all = Vec::new();
    let refused = "create fails when it sets the limit: the kernel refuses the value";
    if let Some(cpu) = resources.cpu() {
        if let Some(quota) = cpu.quota().filter(|quota| (1..1000).contains(quota)) {
            let detail = format!("{quota} is less than a millisecond");
            let remedy = "1000 or more, in microseconds; -1 for no limit";
            all.push(at("linux.resources.cpu.quota", detail).lacks(refused, remedy));
        }
        let period = cpu.period().filter(|period| *period != 0);
        if let Some(period) = period.filter(|period| !(1000..=1_000_000).contains(period)) {
            let detail = format!("{period} is not within a millisecond and a second");
            let remedy = "1000 to 1000000, in microseconds";
            all.push(at("linux.resources.cpu.period", detail).lacks(refused, remedy));
        }
        let lists = [
            ("cpus", cpu.cpus(), "/sys/devices/system/cpu/online", "processors"),
            ("mems", cpu.mems(), "/sys/devices/system/node/online", "memory nodes"),
        ];
        for (key, list, online, things) in lists {
            let what = format!("linux.resources.cpu.{key}");
            let given = list.as_deref().filter(|list| !list.is_empty());
            all.extend(given.and_then(|given| cpu_list(what, given, online, things)));
        }
    }
    if let Some(memory) = resources.memory() {
        let limit = memory.limit().filter(|limit| (1..LEAST_MEMORY).contains(limit));
        all.extend(limit.map(|limit| {
            let detail = format!("{limit} bytes");
            at("linux.resources.memory.limit", detail).warns(
                "the container's process is likely to be killed (OOM) before the program runs",
                "give it more; the property counts in bytes",
            )
        }));
    }
    all
}

/// Less than any container's init takes.
const LEAST_MEMORY: i64 = 512 << 10;

fn cpu_list(what: String, given: &str, online: &str, things: &str) -> Option<Finding> {
    let refused = "create fails when it sets the limit: the kernel refuses the value";
    let Some(asked) = numbers(given) else {
        let remedy = "as 0-3,7";
        return Some(at(what, format!("{given:?} is no list of numbers")).lacks(refused, remedy));
    };
    let there = std::fs::read_to_string(online).ok()?;
    let there = there.trim();
    let has = numbers(there)?;
    let is_there =
        |(first, last): &(u64, u64)| is_within(*first, last - first + 1, &as_ranges(&has));
    (!asked.iter().all(is_there)).then(|| {
        let detail = format!("{given}: of {things} there are {there}");
        at(what, detail).lacks(refused, format!("name some of {there}"))
    })
}

fn as_ranges(list: &[(u64, u64)]) -> Vec<(u64, u64)> {
    list.iter().map(|(first, last)| (*first, last - first + 1)).collect()
}

/// The first and the last number of each part of a list as `0-3,7`.
fn numbers(list: &str) -> Option<Vec<(u64, u64)>> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last && last < u64::MAX).then_some((first, last))
    };
    list.split(',').map(part).collect()
}

/// Settings that this kernel hasn't got. A container's namespaces have no others than the host's.
fn settings(linux: &Linux) -> Vec<Finding> {
    let names = linux.sysctl().iter().flatten().map(|(name, _)| name);
    let mut missing: Vec<&String> = names.filter(|name| is_missing(name)).collect();
    missing.sort();
    missing
        .into_iter()
        .map(|name| {
            let what = format!("linux.sysctl[{name:?}]");
            at(what, format!("this kernel has no /proc/sys/{}", file_of(name))).lacks(
                "create fails when it writes the setting",
                "load the module that has it, or correct the name, or leave it out",
            )
        })
        .collect()
}

fn is_missing(name: &str) -> bool {
    let file = file_of(name);
    let parts: Vec<&str> = file.split('/').collect();
    // An interface may be there in the container only.
    let of_interface = matches!(parts[..], ["net", _, "conf" | "neigh", interface, ..]
        if !["all", "default", "lo"].contains(&interface));
    let is_plain = parts.iter().all(|part| !part.is_empty() && *part != "..");
    let folder = Path::new("/proc/sys");
    is_plain && !of_interface && folder.join("net").exists() && !folder.join(file).exists()
}

/// The file below /proc/sys of a setting: sysctl.d(5).
fn file_of(name: &str) -> String {
    match name.chars().find(|one| matches!(one, '.' | '/')) {
        Some('.') => {
            let swap = |one| match one {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}

/// Where the container's cgroup is to be: not where others are, and not by systemd's words without
/// systemd.
pub(super) fn cgroup(spec: &Spec, cgroup: &Cgroup, rootless: bool) -> Vec<Finding> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let text = path.and_then(Path::to_str).unwrap_or_default();
    let mut all = Vec::new();
    if !cgroup.is_in_scope() && text.split(':').count() == 3 {
        all.push(at("linux.cgroupsPath", format!("{text} is SLICE:PREFIX:NAME, as for systemd")).warns(
            "without --systemd-cgroup it is taken for a path, with colons in a directory's name",
            "call rind with --systemd-cgroup, or give a path",
        ));
    }
    // Without a path a user has what cgroups there are.
    if !(cgroup.is_in_scope() || rootless && text.is_empty()) {
        all.extend(cgroup.planned().find_map(unmakeable));
    }
    for one in cgroup.planned().filter(|_| !cgroup.is_in_scope()) {
        let directory = one.directory();
        let processes = std::fs::read_to_string(format!("{directory}/cgroup.procs"));
        if processes.is_ok_and(|text| !text.trim().is_empty()) {
            all.push(at("linux.cgroupsPath", format!("{directory} has processes already")).lacks(
                "create fails: a container's cgroup is its own",
                "name another path, or delete the container that is there",
            ));
            break;
        }
    }
    all
}

/// Why the caller can't make the cgroup in a hierarchy.
fn unmakeable(hierarchy: &Hierarchy) -> Option<Finding> {
    let directory = PathBuf::from(hierarchy.directory());
    let above = directory.ancestors().skip(1).find(|path| path.is_dir());
    let above = above.filter(|path| path.starts_with(&hierarchy.mount))?;
    let how = AccessFlags::W_OK | AccessFlags::X_OK;
    let errno = faccessat(AT_FDCWD, above, how, AtFlags::AT_EACCESS).err()?;
    let answer = sys::errno_text(errno);
    let detail = format!("{} can't be made in {}: {answer}", directory.display(), above.display());
    let found = at("linux.cgroupsPath", detail).lacks(
        "create fails when it makes the container's cgroup",
        "leave the path out, or name one below a cgroup that is delegated to the caller, or have \
         --cgroup-manager systemd or disabled",
    );
    // There may be another mount of the hierarchy, which create looks for then.
    Some(found.only_warns_if(errno == Errno::EROFS))
}

#[cfg(test)]
mod tests {
    use super::{file_of, is_within, numbers};

    #[test]
    fn ranges_that_follow_each_other_are_one() {
        let ranges = [(100, 10), (110, 10), (5, 1)];
        assert!(
            is_within(100, 20, &ranges) && is_within(5, 1, &ranges) && is_within(7, 0, &ranges)
        );
        assert!(
            !is_within(100, 21, &ranges) && !is_within(5, 2, &ranges) && !is_within(6, 1, &ranges)
        );
        assert!(is_within(0, u64::from(u32::MAX), &[(0, u64::from(u32::MAX))]));
    }

    #[test]
    fn lists_are_of_numbers_and_ranges() {
        assert_eq!(numbers("0-3,7"), Some(vec![(0, 3), (7, 7)]));
        for wrong in ["", "a", "3-1", "0,,1", "-1", "18446744073709551615"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn settings_are_files() {
        assert_eq!(file_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(file_of("net/ipv4/conf/eth0.1/x"), "net/ipv4/conf/eth0.1/x");
    }
}
