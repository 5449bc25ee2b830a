//! The descriptors and files by which a process enters the container's cgroups.

use crate::error::{Error, Result};
use crate::file;
use crate::path::{CgroupPath, Hierarchy, join};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::unistd::{AccessFlags, access};

/// The file of a v1 cgroup that a process enters it by.
pub(super) const ENTRY: &str = "tasks";

/// The v1 `tasks` files, open for writing: a single-threaded process that writes `0` to each is in
/// the cgroups, without the grace period that a write to `cgroup.procs` waits for.
pub(crate) fn entry_files(place: &CgroupPath) -> Result<Vec<OwnedFd>> {
    let files = place.joined().filter(|one| !one.is_unified()).map(|one| {
        let path = one.file(ENTRY);
        let opened = file::open(&path, OFlag::O_WRONLY);
        opened.map_err(|errno| Error::call(format!("opening {path}"), errno))
    });
    files.collect()
}

/// Moves the process `pid`, which has one thread, into the container's cgroups: for one that can't
/// enter by [`entry_files`] itself, as this waits for a grace period in each hierarchy.
pub(crate) fn enter(place: &CgroupPath, pid: i32) -> Result<()> {
    for one in place.joined() {
        let path = one.file(if one.is_unified() { "cgroup.procs" } else { ENTRY });
        file::set(&path, &pid.to_string())?;
    }
    Ok(())
}

/// The v2 cgroup, for a process to be born in (`CLONE_INTO_CGROUP`).
pub(crate) fn unified_directory(place: &CgroupPath) -> Result<Option<OwnedFd>> {
    let found = place.joined().find(|one| one.is_unified()).map(|one| {
        let path = one.directory();
        let opened = file::open_directory(&path);
        opened.map_err(|errno| Error::call(format!("opening {path}"), errno))
    });
    found.transpose()
}

/// The directory of one of the container's cgroups that has been removed, if any has been: by
/// others, or since the container has ended, as systemd removes those that are empty.
#[must_use]
pub(crate) fn missing(place: &CgroupPath) -> Option<String> {
    let is_missing =
        |directory: &String| access(directory.as_str(), AccessFlags::F_OK) == Err(Errno::ENOENT);
    place.joined().map(Hierarchy::directory).find(is_missing)
}

/// The v2 cgroup that the process `pid` is in, for another to be born in.
pub(crate) fn unified_directory_of(place: &CgroupPath, pid: i32) -> Result<Option<OwnedFd>> {
    let Some(unified) = place.joined().find(|one| one.is_unified()) else { return Ok(None) };
    let file = format!("/proc/{pid}/cgroup");
    let text = file::read_value(&file)?;
    let below = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let path = join(unified.mount(), below.trim_matches('/'));
    let opened = file::open_directory(&path);
    opened.map(Some).map_err(|errno| Error::call(format!("opening {path}"), errno))
}
