//! The handle: one container's cgroup, whatever versions and hierarchies it is in, and whether
//! systemd makes it.
//!
//! Each method says what it does and leaves how to the modules below. Nothing below imports this.

mod remove;
mod update;

use crate::cgroupfs::oom::{self, OomWatch};
use crate::cgroupfs::{self, enter, freezer, kill, make, v2};
use crate::devices::{self, Rule};
use crate::error::Result;
use crate::host::Host;
use crate::limits::{self, Limit};
use crate::path::{CgroupPath, Hierarchy};
use crate::scope::{self, Systemd};
use crate::stats::{self, Stats};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};
use serde::{Deserialize, Serialize};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use sys::credentials::Uid;

/// Writes down where a container's cgroups are going to be, so that [`Cgroup::remove_unused`] finds
/// them if rind is killed. The error is a message for the user.
pub type Note<'a> = &'a mut dyn FnMut(&Cgroup) -> std::result::Result<(), String>;

/// A container's cgroup: one directory in each hierarchy.
///
/// The state file keeps it as JSON (`state.json`, and `cgroups.json` while rind makes it), so every
/// later command opens the same one. Containers that an older rind made must stay readable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cgroup {
    path: CgroupPath,
}

/// Where the cgroup is.
impl Cgroup {
    /// No cgroup at all: rind applies no limits and no device rules, and nothing enters.
    #[must_use]
    pub fn disabled() -> Self {
        Self { path: CgroupPath::disabled() }
    }

    /// The cgroup of container `id` for a `linux.cgroupsPath`. Nothing is made or opened yet.
    ///
    /// An absolute path starts at each hierarchy's mount point. A relative one, or none, which
    /// stands for the id, is below rind's own cgroup on v1 and beside it on v2: a cgroup with
    /// processes can't hand controllers down to children (cgroups(7), no internal processes).
    /// If `rootless` and `cgroups_path` is absent, missing permissions are no error later.
    pub fn locate(
        host: &Host,
        cgroups_path: Option<&Path>,
        id: &str,
        rootless: bool,
    ) -> Result<Self> {
        Ok(Self { path: CgroupPath::locate(host, cgroups_path, id, rootless)? })
    }

    /// The cgroup of container `id` as a scope that `systemd` is going to make.
    ///
    /// `cgroups_path` is `SLICE:PREFIX:NAME`, for `PREFIX-NAME.scope` in the slice. An empty slice
    /// means `system.slice`, or a user's `user.slice`. Without a path the scope is
    /// `rind-ID.scope` in that slice.
    pub fn locate_scope(
        host: &Host,
        cgroups_path: Option<&Path>,
        id: &str,
        systemd: &mut Systemd,
    ) -> Result<Self> {
        Ok(Self { path: scope::locate(host, cgroups_path, id, systemd)? })
    }

    /// The same cgroup, but missing permissions are no error.
    #[must_use]
    pub fn leniently(self) -> Self {
        Self { path: CgroupPath { lenient: true, ..self.path } }
    }

    /// The same cgroup for a process of `exec --cgroup`: each of `asked` is `PATH`, or
    /// `CONTROLLER[,CONTROLLER]:PATH`, of a cgroup below the container's that must exist.
    ///
    /// A process may enter it. Nobody may remove it.
    pub fn within<S: AsRef<str>>(&self, asked: &[S]) -> Result<Self> {
        Ok(Self { path: self.path.within(asked)? })
    }

    /// Where the container's cgroups are going to be, one a hierarchy, made or not.
    pub fn planned(&self) -> impl Iterator<Item = &Hierarchy> {
        self.path.hierarchies.iter()
    }

    /// The container's cgroups, one a hierarchy, without those that rind could not make.
    pub fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        self.path.joined()
    }

    /// Whether making the cgroup found a hierarchy mounted elsewhere than [`Cgroup::locate`] thought.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.planned().any(|one| one.moved)
    }

    /// Whether systemd makes the cgroup, for a process that rind gives it ([`Cgroup::make_scope`]).
    #[must_use]
    pub fn is_in_scope(&self) -> bool {
        self.path.unit.is_some()
    }

    /// Whether the host has no v1 hierarchy.
    #[must_use]
    pub fn is_pure_v2(&self) -> bool {
        self.path.is_pure_v2()
    }

    /// The directory of one of the container's cgroups that is gone, if one is: somebody removed
    /// it, or systemd did after the container ended.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        enter::missing(&self.path)
    }
}

/// Making and entering.
impl Cgroup {
    /// Makes the directory in every hierarchy, with the parents that are missing, and enables the
    /// controllers that `resources` need. Returns the [`Cgroup::entry_files`].
    ///
    /// A directory that exists is taken if it has no processes and isn't frozen. On an error rind
    /// removes everything it made. It calls `note` before it makes any parent, or anything below
    /// its own cgroup.
    pub fn make(&mut self, resources: Option<&LinuxResources>, note: Note) -> Result<Vec<OwnedFd>> {
        if self.path.disabled {
            return Ok(Vec::new());
        }
        let needed = cgroupfs::limits::needed(&self.path, &limits_of(resources)?)?;
        make::make(&mut self.path, &needed, &mut noting(note))
    }

    /// Has systemd make the scope for the process `pid`, which systemd moves into it, and makes
    /// what is missing in the hierarchies that systemd leaves alone.
    ///
    /// rind calls `note` before anything exists. On an error the scope is left to
    /// [`Cgroup::remove`].
    pub fn make_scope(
        &mut self,
        resources: Option<&LinuxResources>,
        pid: i32,
        systemd: &mut Systemd,
        note: Note,
    ) -> Result<()> {
        let (limits, rules) = (limits_of(resources)?, rules_of(resources)?);
        scope::make(&mut self.path, &limits, &rules, pid, systemd, &mut noting(note))
    }

    /// Sets the limits that had to wait until the hop that forked init is gone: a limit of one
    /// process left it no room.
    pub fn settle_scope(
        &self,
        resources: Option<&LinuxResources>,
        systemd: &mut Systemd,
    ) -> Result<()> {
        scope::settle(&self.path, &limits_of(resources)?, systemd)
    }

    /// Gives the v2 cgroup to the host's user `owner`, for a container that has a cgroup namespace
    /// and a writable cgroup mount (runtime-spec, cgroup ownership). v1 can't be delegated.
    pub fn delegate(&self, owner: Uid) -> Result<()> {
        v2::delegate(&self.path, owner)
    }

    /// The v1 `tasks` files, open for writing. A single-threaded process that writes `0` to each is
    /// in the cgroups, without the RCU grace period that a write to `cgroup.procs` waits for.
    pub fn entry_files(&self) -> Result<Vec<OwnedFd>> {
        enter::entry_files(&self.path)
    }

    /// The v2 directory, for a process to be born in (`CLONE_INTO_CGROUP`, clone(2)).
    pub fn unified_directory(&self) -> Result<Option<OwnedFd>> {
        enter::unified_directory(&self.path)
    }

    /// The v2 directory that the process `pid` is in, for another process to be born in.
    pub fn unified_directory_of(&self, pid: i32) -> Result<Option<OwnedFd>> {
        enter::unified_directory_of(&self.path, pid)
    }

    /// Moves the single-threaded process `pid` into the cgroups. This waits for a grace period in
    /// each hierarchy, so it is only for a process that can't use [`Cgroup::entry_files`] itself.
    pub fn enter(&self, pid: i32) -> Result<()> {
        enter::enter(&self.path, pid)
    }

    /// Has systemd move the process `pid` into the scope, or the cgroup below it: a user may not
    /// move a process from one unit to another.
    pub fn attach(&self, pid: i32) -> Result<()> {
        scope::attach(&self.path, pid)
    }

    /// Has systemd move the process `pid` beside `init`, into the cgroup below the scope. Returns
    /// `false` if init isn't below it.
    pub fn attach_beside(&self, pid: i32, init: i32) -> Result<bool> {
        scope::attach_beside(&self.path, pid, init)
    }
}

/// Limits and statistics.
impl Cgroup {
    /// Sets the limits that `resources` ask for, and the device rules, which always include the
    /// default ones. The parent calls this before init goes on.
    ///
    /// Returns a warning for each limit that a lenient cgroup goes without.
    pub fn apply(&self, resources: Option<&LinuxResources>) -> Result<Vec<String>> {
        update::apply(&self.path, resources)
    }

    /// Sets the limits of a running container anew, and replaces its device rules if `resources`
    /// have any. What `resources` don't set stays. On an error rind sets everything back.
    ///
    /// `swap` is what the config or the last update set `memory.swap` to, in bytes: v2 keeps a
    /// limit on swap alone. `devices` are the rules in force, likewise.
    pub fn update(
        &self,
        resources: &LinuxResources,
        swap: Option<i64>,
        devices: Option<&[LinuxDeviceCgroup]>,
    ) -> Result<()> {
        update::update(&self.path, resources, swap, devices)
    }

    /// Reads the statistics.
    pub fn stats(&self) -> Result<Stats> {
        stats::stats(&self.path)
    }

    /// Watches the memory cgroup for OOM kills. Returns `None` if the container has none.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        OomWatch::new(&self.path)
    }

    /// How many processes in the memory cgroup the kernel has killed for lack of memory. `None` if
    /// the container has no memory cgroup, or it is gone.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        oom::oom_kills(&self.path)
    }
}

/// Processes, and the end.
impl Cgroup {
    /// The pids in the cgroup and all below it.
    pub fn processes(&self) -> Result<Vec<i32>> {
        kill::processes(&self.path)
    }

    /// Sends `signal`, by number (signal(7)), to every process in the cgroup and below it. After
    /// SIGKILL it waits until none is left.
    pub fn signal_all(&self, signal: i32) -> Result<()> {
        kill::signal_all(&self.path, signal)
    }

    /// Stops every process where it is, and returns when all have stopped.
    ///
    /// rind undoes it if a process doesn't stop, and if `interrupt` becomes readable first
    /// (`EINTR`).
    pub fn freeze(&self, interrupt: Option<BorrowedFd>) -> Result<()> {
        freezer::freeze(&self.path, interrupt)
    }

    /// Lets the processes go on.
    pub fn thaw(&self) -> Result<()> {
        freezer::thaw(&self.path)
    }

    /// Whether the container is paused, by its own cgroup or by one above it.
    pub fn is_frozen(&self) -> Result<bool> {
        freezer::is_frozen(&self.path)
    }

    /// The directory of the cgroup that freezes the container, for criu(8), which freezes it itself.
    #[must_use]
    pub fn freezer_directory(&self) -> Option<String> {
        freezer::freezer(&self.path).map(Hierarchy::directory)
    }

    /// Kills what is left in the cgroup, stops its unit, and removes the cgroup with those that the
    /// container made below, then the parents that rind made and nobody else uses.
    ///
    /// What is gone already is no error. After an error in one hierarchy rind goes on with the
    /// others.
    pub fn remove(&self) -> Result<()> {
        remove::destroy(&self.path)
    }

    /// Removes the cgroup as far as nobody uses it, and kills nobody: for a container whose making
    /// was interrupted, so that nobody knows what was made.
    ///
    /// Of the parents rind removes those that it was going to make. It stops the unit.
    pub fn remove_unused(&self) -> Result<()> {
        remove::remove_unused(&self.path)
    }
}

/// The limits that `resources` ask for.
fn limits_of(resources: Option<&LinuxResources>) -> Result<Vec<Limit>> {
    resources.map_or(Ok(Vec::new()), limits::of)
}

/// The device rules of `resources`, without the default ones.
fn rules_of(resources: Option<&LinuxResources>) -> Result<Vec<Rule>> {
    let rules = resources.and_then(|all| all.devices().as_deref());
    devices::rules(rules.unwrap_or_default())
}

/// `note` for the modules below, which know no handle.
fn noting(note: Note) -> impl FnMut(CgroupPath) -> std::result::Result<(), String> {
    move |path| note(&Cgroup { path })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As rind 0.1 wrote it: without a unit, and with one.
    #[test]
    fn the_state_of_an_older_rind_is_read_and_written() {
        for text in [
            r#"{"hierarchies":[{"controllers":["cpu","cpuacct"],"mount":"/sys/fs/cgroup/cpu","base":"a","below":"b/c","made":2,"joined":true}],"lenient":true,"disabled":false}"#,
            r#"{"hierarchies":[],"lenient":false,"disabled":false,"unit":{"name":"rind-c.scope","slice":"system.slice","bus":"system"}}"#,
        ] {
            let cgroup: Cgroup = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&cgroup).unwrap(), text);
        }
    }
}
