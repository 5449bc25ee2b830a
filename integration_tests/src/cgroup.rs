//! The machine's cgroup hierarchies as the tests see them: version 1, version 2, or both.

use crate::host::wait_for;
use crate::test::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Whether all containers' cgroups are made by systemd, as `RIND_CGROUP_MANAGER=systemd` has it.
#[must_use]
pub fn is_systemds() -> bool {
    std::env::var("RIND_CGROUP_MANAGER").is_ok_and(|manager| manager == "systemd")
}

/// Skips the test where systemd makes cgroups, and says where.
pub fn needs_cgroupfs() {
    if is_systemds() {
        skip("systemd makes the cgroups");
    }
}

/// The flags of the runtime that [`is_systemds`] takes.
#[must_use]
pub fn manager_flags() -> Vec<String> {
    if is_systemds() { vec!["--systemd-cgroup".to_owned()] } else { Vec::new() }
}

/// Where the container `id` is to have its cgroup: `linux.cgroupsPath`.
#[must_use]
pub fn path_for(id: &str) -> String {
    if is_systemds() { format!(":it:{id}") } else { format!("/{id}") }
}

/// The units of systemd whose name contains `id`; none where there is no systemd.
#[must_use]
pub fn units(id: &str) -> Vec<String> {
    if !Path::new("/run/systemd/system").exists() {
        return Vec::new();
    }
    let mut list = Command::new("systemctl");
    list.args(["list-units", "--all", "--plain", "--no-legend", "--no-pager"]);
    list.arg(format!("*{id}*"));
    let output = list.output().expect("systemctl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// One mounted hierarchy.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its controllers; for version 1 also `name=systemd` and the like.
    pub controllers: Vec<String>,
    /// 1 or 2.
    pub version: u8,
}

/// All hierarchies that are mounted here.
#[must_use]
pub fn hierarchies() -> &'static [Hierarchy] {
    static FOUND: LazyLock<Vec<Hierarchy>> = LazyLock::new(|| {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        table.lines().filter_map(hierarchy).collect()
    });
    &FOUND
}

/// Parses one line of mountinfo, if it is of a cgroup mount.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (first, second) = line.split_once(" - ")?;
    let mount = PathBuf::from(first.split(' ').nth(4)?);
    let mut fields = second.split(' ');
    let kind = fields.next()?;
    let options = fields.nth(1)?;
    match kind {
        "cgroup" => {
            // Options that systemd mounts its own hierarchy with.
            let other = |word: &str| matches!(word, "rw" | "xattr") || word.starts_with("release_");
            let controllers = options.split(',').filter(|word| !other(word)).map(str::to_owned);
            Some(Hierarchy { mount, controllers: controllers.collect(), version: 1 })
        }
        "cgroup2" => {
            let listed = fs::read_to_string(mount.join("cgroup.controllers")).ok()?;
            let controllers = listed.split_whitespace().map(str::to_owned).collect();
            Some(Hierarchy { mount, controllers, version: 2 })
        }
        _ => None,
    }
}

/// The hierarchy that `controller` (by its version 1 name) is on; the test is skipped without.
#[must_use]
pub fn controller(controller: &str) -> &'static Hierarchy {
    let modern = match controller {
        "blkio" => "io",
        "cpuacct" => "cpu",
        other => other,
    };
    // Version 2 has no controllers for these: the first is built in, the other a kind of program.
    let built_in = matches!(controller, "freezer" | "devices");
    let found = hierarchies().iter().find(|hierarchy| {
        let has = |name: &str| hierarchy.controllers.iter().any(|listed| listed == name);
        match hierarchy.version {
            1 => has(controller),
            _ => has(modern) || built_in && hierarchies().len() == 1,
        }
    });
    found.unwrap_or_else(|| skip(format!("no cgroup hierarchy here has {controller}")))
}

/// Whether every controller is on one version 2 hierarchy.
#[must_use]
pub fn is_unified() -> bool {
    matches!(hierarchies(), [only] if only.version == 2)
}

/// The cgroup of `pid` in the hierarchy of `controller`, as a folder of this machine.
#[must_use]
pub fn folder_of(pid: i32, name: &str) -> PathBuf {
    let hierarchy = controller(name);
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroups of a process");
    let path = table.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let same = match hierarchy.version {
            1 => controllers.split(',').any(|listed| listed == name),
            _ => controllers.is_empty(),
        };
        same.then_some(path)
    });
    let path = path.unwrap_or_else(|| panic!("{pid} is in no {name} cgroup:\n{table}"));
    hierarchy.mount.join(path.trim_start_matches('/'))
}

/// The trimmed content of a file of a cgroup.
#[track_caller]
#[must_use]
pub fn value(cgroup: &Path, file: &str) -> String {
    let path = cgroup.join(file);
    let text = fs::read_to_string(&path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

/// The cgroups, in every hierarchy, whose name contains `id`; a child before its parent.
#[must_use]
pub fn named(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        walk(&hierarchy.mount, &mut |path| {
            if path.to_string_lossy().contains(id) {
                found.push(path.to_owned());
            }
        });
    }
    found
}

/// Calls `visit` for every folder below `folder`, a child before its parent.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
            visit(&entry.path());
        }
    }
}

/// Kills what is in `cgroup`, and removes it and those below.
pub fn destroy(cgroup: &Path) {
    let mut all = Vec::new();
    walk(cgroup, &mut |path| all.push(path.to_owned()));
    all.push(cgroup.to_owned());
    for path in all {
        for thaw in ["freezer.state", "cgroup.freeze"] {
            let value = if thaw == "freezer.state" { "THAWED" } else { "0" };
            if path.join(thaw).exists() {
                let _ = fs::write(path.join(thaw), value);
            }
        }
        wait_for(&format!("{} to be removed", path.display()), || {
            let inside = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            for pid in inside.lines().filter_map(|line| line.parse().ok()) {
                let _ = sys::process::kill(pid, sys::nix::libc::SIGKILL);
            }
            fs::remove_dir(&path).is_ok() || !path.exists()
        });
    }
}
