//! Cgroups: which version the host has, with which controllers, and who can make the container's.

use super::CheckOptions;
use super::finding::Finding;
use crate::create::options::CgroupManager;
use cgroups::{Cgroup, Hierarchy, Host, Systemd};
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::nix::fcntl::AtFlags;
use sys::nix::unistd::{AccessFlags, faccessat, geteuid};

/// The controllers that configs mostly ask for, by their names on v2 and on v1.
const USUAL: [(&str, &str, &str); 5] = [
    ("memory", "memory", "memory"),
    ("pids", "pids", "pids"),
    ("cpu", "cpu", "cpu"),
    ("io", "blkio", "blockIO"),
    ("cpuset", "cpuset", "cpu.cpus and cpu.mems"),
];

pub(super) fn findings(options: &CheckOptions) -> Vec<Finding> {
    let host = match Host::detect() {
        Ok(host) => host,
        Err(error) => {
            let found = Finding::ok("cgroups", "version", error.to_string());
            let remedy = "mount procfs at /proc";
            return vec![found.lacks("no container with cgroups can be made", remedy)];
        }
    };
    // Where a container without a cgroupsPath goes; nothing is made.
    let Ok(planned) = Cgroup::locate(&host, None, "rind-check", options.rootless) else {
        return vec![none()];
    };
    let hierarchies: Vec<&Hierarchy> = planned.planned().collect();
    if hierarchies.is_empty() {
        return vec![none()];
    }
    let mut all = vec![version(&hierarchies), manager(options, &host)];
    all.extend(places(&hierarchies, options));
    all.push(controllers(&hierarchies, geteuid().is_root()));
    all
}

fn none() -> Finding {
    Finding::ok("cgroups", "version", "no cgroup file system is mounted").warns(
        "containers run without limits and without a cgroup of their own: pause, update, ps and \
         events fail",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )
}

fn version(hierarchies: &[&Hierarchy]) -> Finding {
    let v1 = hierarchies.iter().filter(|one| !one.is_unified()).count();
    let version = match (v1, hierarchies.len() - v1) {
        (0, _) => "v2",
        (_, 0) => "v1",
        _ => "v1 and v2 (hybrid)",
    };
    Finding::ok("cgroups", "version", version)
}

/// Who makes cgroups, for this caller and by these flags.
fn manager(options: &CheckOptions, host: &Host) -> Finding {
    let found = |detail: &str| Finding::ok("cgroups", "manager", detail);
    let is_booted = Path::new("/run/systemd/system").exists();
    let asks = || Systemd::connect(options.rootless);
    match options.manager {
        CgroupManager::Disabled => found("disabled: no limits, no device rules"),
        CgroupManager::Systemd => match asks() {
            Ok(_) => found("systemd, which answers"),
            Err(error) => found(&error.to_string()).lacks(
                "each create with --systemd-cgroup fails",
                "leave out --systemd-cgroup, or start systemd (and for a user its instance: \
                 loginctl enable-linger, XDG_RUNTIME_DIR set)",
            ),
        },
        CgroupManager::Cgroupfs => found("cgroupfs: rind itself"),
        CgroupManager::Fitting if options.rootless && host.is_pure_v2() => match asks() {
            Ok(_) => found("the user's systemd, for configs without cgroupsPath"),
            Err(_) => found("cgroupfs; the user's systemd doesn't answer").warns(
                "without delegation containers of this user have no limits",
                "log in by systemd, or loginctl enable-linger, with XDG_RUNTIME_DIR set",
            ),
        },
        CgroupManager::Fitting if is_booted => {
            found("cgroupfs: rind itself; systemd is there too (--systemd-cgroup)")
        }
        CgroupManager::Fitting => found("cgroupfs: rind itself; this host has no systemd"),
    }
}

/// Whether the caller may make the container's cgroup, in each hierarchy: those with one answer are told
/// of together.
fn places(hierarchies: &[&Hierarchy], options: &CheckOptions) -> Vec<Finding> {
    let mut answers: Vec<(sys::Result<()>, Vec<String>)> = Vec::new();
    for hierarchy in hierarchies {
        let above = above(hierarchy);
        let (answer, shown) = (may_write(&above), above.display().to_string());
        match answers.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, places)) => places.push(shown),
            None => answers.push((answer, vec![shown])),
        }
    }
    let all =
        answers.into_iter().map(|(answer, places)| place(answer, &places.join(", "), options));
    all.collect()
}

fn place(answer: sys::Result<()>, places: &str, options: &CheckOptions) -> Finding {
    let found = |detail: String| Finding::ok("cgroups", "delegation", detail);
    // With systemd, or nobody, rind makes none.
    let is_ours = !matches!(options.manager, CgroupManager::Systemd | CgroupManager::Disabled);
    let errno = match answer {
        Ok(()) => return found(format!("the caller may make cgroups in {places}")),
        Err(_) if !is_ours => {
            return found(format!("{places}: --cgroup-manager leaves it to others"));
        }
        Err(errno) => errno,
    };
    let answer = sys::errno_text(errno);
    let found = found(format!("the caller may make none in {places}: {answer}"));
    if options.rootless {
        return found.warns(
            "containers of this user have no limits there, and a config with a cgroupsPath is refused",
            "on cgroup v2 with systemd: Delegate=yes for user@.service and --cgroup-manager systemd; \
             on v1 (systemd.unified_cgroup_hierarchy=1 boots v2): chown a cgroup to the user",
        );
    }
    found.lacks(
        "create fails when it makes the container's cgroup",
        if errno == Errno::EROFS {
            "mount cgroups writable (an outer engine: --privileged, or --cgroupns=private with a \
             writable /sys/fs/cgroup), or --cgroup-manager disabled"
        } else {
            "run as root, or --cgroup-manager disabled"
        },
    )
}

/// The directory in which the container's cgroup is to be made.
fn above(hierarchy: &Hierarchy) -> PathBuf {
    let directory = PathBuf::from(hierarchy.directory());
    let above = directory.parent().map(Path::to_owned).unwrap_or_default();
    if above.is_dir() { above } else { PathBuf::from(&hierarchy.mount) }
}

fn may_write(directory: &Path) -> sys::Result<()> {
    let here = sys::nix::fcntl::AT_FDCWD;
    faccessat(here, directory, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)
}

/// Which controllers are there for a container.
fn controllers(hierarchies: &[&Hierarchy], is_root: bool) -> Finding {
    let mut names: Vec<String> = Vec::new();
    for one in hierarchies {
        if one.is_unified() {
            // What a cgroup above hands down is what those below can have.
            let path = if is_root { PathBuf::from(&one.mount) } else { above(one) };
            let text = std::fs::read_to_string(path.join("cgroup.controllers"));
            names.extend(text.unwrap_or_default().split_whitespace().map(str::to_owned));
        } else {
            names.extend(one.controllers.iter().filter(|name| !name.contains('=')).cloned());
        }
    }
    let has = |name: &str| names.iter().any(|one| one == name);
    let missing: Vec<&str> = USUAL
        .iter()
        .filter(|(v2, v1, _)| !has(v2) && !has(v1))
        .map(|(_, _, limits)| *limits)
        .collect();
    let found = Finding::ok("cgroups", "controllers", names.join(", "));
    if missing.is_empty() {
        return found;
    }
    let limits = missing.join(", ");
    found.warns(
        format!("limits of linux.resources are refused, or left out for a user: {limits}"),
        if is_root {
            "a kernel that is built with these controllers, and no cgroup_disable= on its command line"
        } else {
            "delegate them: Delegate=yes in a drop-in of user@.service, or Delegate=cpu cpuset io \
             memory pids"
        },
    )
}
