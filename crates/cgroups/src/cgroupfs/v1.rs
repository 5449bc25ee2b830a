//! What only v1 takes: cpusets that must be filled, a freezer that reports nothing, and hierarchies
//! that may be mounted anywhere.

pub(crate) mod devices;
pub(crate) mod limits;

use super::tree;
use super::wait::{self, Until};
use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};
use crate::file;
use crate::host;
use std::path::Path;
use sys::nix::fcntl::OFlag;

/// Looks up where a v1 hierarchy is mounted that isn't at the usual mount point; `false` if it is
/// mounted nowhere else.
pub(super) fn relocate(cgroup: &mut Hierarchy) -> Result<bool> {
    if cgroup.is_unified() {
        return Ok(false);
    }
    for (point, root) in host::find_mounts(&cgroup.controllers)? {
        // If the mount shows the hierarchy from some cgroup on, the base counts from there.
        let inside = Path::new(&cgroup.base).strip_prefix(root.trim_matches('/')).ok();
        let base = inside.and_then(Path::to_str).unwrap_or(&cgroup.base).to_owned();
        if (&point, &base) != (&cgroup.mount, &cgroup.base) {
            (cgroup.mount, cgroup.base, cgroup.moved) = (point, base, true);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives each new cgroup of v1's cpuset its parent's processors and memory: without them it lets no
/// process in.
pub(crate) fn provide_cpuset(cgroup: &Hierarchy) -> Result<()> {
    if !cgroup.has("cpuset") {
        return Ok(());
    }
    let directory = cgroup.directory();
    if cgroup.made == 0 && !cpuset_value(&directory, "cpuset.cpus")?.is_empty() {
        return Ok(());
    }
    inherit(cgroup, &directory, "cpuset.cpus", cgroup.made)?;
    inherit(cgroup, &directory, "cpuset.mems", cgroup.made).map(drop)
}

/// Writes the parent's value of `name` to `directory`, and returns it. The parent inherits first, if it
/// is one of the `made` new directories, or its value is empty.
fn inherit(cgroup: &Hierarchy, directory: &str, name: &str, made: usize) -> Result<String> {
    let Some((parent, _)) = directory.rsplit_once('/').filter(|_| directory != cgroup.mount) else {
        return Ok(String::new());
    };
    let mut value = if made > 1 { String::new() } else { cpuset_value(parent, name)? };
    if value.is_empty() {
        value = inherit(cgroup, parent, name, made.saturating_sub(1))?;
    }
    file::set(&format!("{directory}/{name}"), &value)?;
    Ok(value)
}

fn cpuset_value(directory: &str, name: &str) -> Result<String> {
    Ok(file::read_value(&format!("{directory}/{name}"))?.trim_end().to_owned())
}

/// Stops every process; `false` if some have not stopped within `limit`.
///
/// v1 doesn't report that all have stopped: reading the state looks it up. It can take another FROZEN
/// to catch processes that were forked meanwhile.
pub(super) fn freeze(freezer: &Hierarchy, limit: Until) -> Result<bool> {
    let path = freezer.file("freezer.state");
    loop {
        file::set(&path, "FROZEN")?;
        if file::read_value(&path)?.trim_end() == "FROZEN" {
            return Ok(true);
        }
        // The freezer has no event to wait for, and the processes need processor time to stop.
        let waited = wait::pause(limit);
        if !waited.map_err(|errno| Error::call(format!("waiting on {path}"), errno))? {
            return Ok(false);
        }
    }
}

/// Lets the processes go on.
pub(super) fn thaw(freezer: &Hierarchy) -> Result<()> {
    file::set(&freezer.file("freezer.state"), "THAWED")
}

/// Thaws the freezer, and those that the container made below: frozen processes don't die.
pub(super) fn thaw_below(freezer: &Hierarchy) {
    let _ = tree::visit(&freezer.directory(), |cgroup| {
        let state = tree::open_in(cgroup, c"freezer.state", OFlag::O_WRONLY);
        // A cgroup that can't be thawed shows as a process that doesn't die.
        let _ = state.and_then(|file| sys::fs::write_once(file, b"THAWED"));
        Ok(())
    });
}
