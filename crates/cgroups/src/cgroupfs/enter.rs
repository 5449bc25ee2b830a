//! The descriptors and files by which a process enters the container's cgroups.

use crate::cgroup::{Cgroup, Hierarchy, join};
use crate::error::Result;
use crate::{file, host};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::unistd::{AccessFlags, access};

/// The file of a v1 cgroup that a process enters it by.
pub(super) const ENTRY: &str = "tasks";

impl Cgroup {
    /// The v1 `tasks` files, open for writing. A single-threaded process that writes `0` to each is
    /// in the cgroups, without the RCU grace period that a write to `cgroup.procs` waits for.
    pub fn entry_files(&self) -> Result<Vec<OwnedFd>> {
        let v1 = self.joined().filter(|one| !one.is_unified());
        v1.map(|one| file::open(&one.file(ENTRY), OFlag::O_WRONLY)).collect()
    }

    /// Moves the single-threaded process `pid` into the cgroups. This waits for a grace period in
    /// each hierarchy, so it is only for a process that can't use [`Cgroup::entry_files`] itself.
    pub fn enter(&self, pid: i32) -> Result<()> {
        self.joined().try_for_each(|one| {
            let entry = if one.is_unified() { "cgroup.procs" } else { ENTRY };
            file::set(&one.file(entry), &pid.to_string())
        })
    }

    /// The v2 directory, for a process to be born in (`CLONE_INTO_CGROUP`, clone(2)).
    pub fn unified_directory(&self) -> Result<Option<OwnedFd>> {
        self.joined_unified().map(|one| file::open_directory(&one.directory())).transpose()
    }

    /// The v2 directory that the process `pid` is in, for another process to be born in.
    pub fn unified_directory_of(&self, pid: i32) -> Result<Option<OwnedFd>> {
        let Some(unified) = self.joined_unified() else { return Ok(None) };
        let below = host::cgroup_of(pid, "")?.unwrap_or_default();
        file::open_directory(&join(&unified.mount, below.trim_matches('/'))).map(Some)
    }

    /// The directory of one of the container's cgroups that is gone, if one is: somebody removed
    /// it, or systemd did after the container ended.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let is_missing = |directory: &String| {
            access(directory.as_str(), AccessFlags::F_OK) == Err(Errno::ENOENT)
        };
        self.joined().map(Hierarchy::directory).find(is_missing)
    }
}
