//! What `linux.resources` come to: the limits and device rules that a cgroup gets when it is made, and
//! others while the container runs. A limit and a rule go to the kernel's files and to systemd.

use crate::cgroup::Cgroup;
use crate::cgroupfs::make::{self, Note};
use crate::cgroupfs::v2::controllers;
use crate::cgroupfs::write::Undo;
use crate::cgroupfs::{self, current};
use crate::devices::{self, Rule};
use crate::error::{Error, Result};
use crate::limits::{self, Limit};
use crate::scope::{self, Systemd};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};
use std::os::fd::OwnedFd;

impl Cgroup {
    /// Makes the directory in every hierarchy, with the parents that are missing, and enables the
    /// controllers that `resources` need. Returns the [`Cgroup::entry_files`].
    ///
    /// A directory that exists is taken if it has no processes and isn't frozen. On an error rind
    /// removes everything it made. It calls `note` before it makes any parent, or anything below
    /// its own cgroup.
    pub fn make(&mut self, resources: Option<&LinuxResources>, note: Note) -> Result<Vec<OwnedFd>> {
        if self.disabled {
            return Ok(Vec::new());
        }
        let needed = cgroupfs::limits::needed(self, &limits_of(resources)?)?;
        make::make(self, &needed, note)
    }

    /// Checks that there is a limit here for all that `resources` ask for, and changes nothing. The
    /// kernel may still refuse a value.
    pub fn check(&self, resources: Option<&LinuxResources>) -> Result<()> {
        if self.disabled {
            return Ok(());
        }
        cgroupfs::limits::check(self, &limits_of(resources)?)?;
        rules_of(resources).map(drop)
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
        scope::make(self, &limits_of(resources)?, &rules_of(resources)?, pid, systemd, note)
    }

    /// Sets the limits that had to wait until the hop that forked init is gone: a limit of one
    /// process left it no room.
    pub fn settle_scope(
        &self,
        resources: Option<&LinuxResources>,
        systemd: &mut Systemd,
    ) -> Result<()> {
        scope::settle(self, &limits_of(resources)?, systemd)
    }

    /// Sets the limits that `resources` ask for, and the device rules, which always include the
    /// default ones. The parent calls this before init goes on.
    ///
    /// Returns a warning for each limit that a lenient cgroup goes without.
    pub fn apply(&self, resources: Option<&LinuxResources>) -> Result<Vec<String>> {
        let mut lost = Vec::new();
        if self.disabled {
            return Ok(lost);
        }
        let limits = limits_of(resources)?;
        cgroupfs::limits::set(self, &limits, None, self.lenient.then_some(&mut lost))?;
        cgroupfs::devices::apply(self, &rules_of(resources)?)?;
        Ok(lost)
    }

    /// Sets the limits of a running container anew, and replaces its device rules if `resources`
    /// have any. What `resources` don't set stays. On an error rind sets everything back.
    ///
    /// `swap` is what the config or the last update set `memory.swap` to, in bytes: v2 keeps a
    /// limit on swap alone. `before` are the device rules in force, likewise.
    pub fn update(
        &self,
        resources: &LinuxResources,
        swap: Option<i64>,
        before: Option<&[LinuxDeviceCgroup]>,
    ) -> Result<()> {
        if self.disabled {
            return Err(Error::new("the container was made without cgroups, so it has no limits"));
        }
        let mut limits = limits::of(resources)?;
        current::complete(self, &mut limits, swap)?;
        controllers::enable(self, &cgroupfs::limits::needed(self, &limits)?, false)?;
        let replaced = resources.devices().as_deref().map(devices::rules).transpose()?;
        let mut undo = Undo::default();
        let mut update = || {
            cgroupfs::limits::set(self, &limits, Some(&mut undo), None)?;
            let before = devices::rules(before.unwrap_or_default())?;
            scope::update(self, &limits, replaced.as_deref(), &before)?;
            // The device rules come last, as they are not set back.
            replaced.iter().try_for_each(|rules| cgroupfs::devices::replace(self, rules))
        };
        let updated = update();
        updated.map_err(|error| undo.take_back(error))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cgroupfs::limits::tests::Folder;

    #[test]
    fn without_cgroups_there_is_no_update() {
        let asked = LinuxResources::default();
        let refused = Cgroup::disabled().update(&asked, None, None).unwrap_err();
        assert!(refused.to_string().contains("without cgroups"));
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let all = "cpuset cpu io memory pids\n";
        let folder = Folder::new(&[
            ("cgroup.controllers", all),
            ("memory.max", "4096\n"),
            ("memory.swap.max", "2048\n"),
            ("cpu.max", "max 100000\n"),
        ]);
        let asked = serde_json::from_str(
            r#"{ "memory": { "limit": 8192, "swap": 9000 }, "cpu": { "quota": 111 },
                "pids": { "limit": 5 } }"#,
        )
        .unwrap();
        // There is no pids.max.
        let refused = folder.cgroup().update(&asked, None, None).unwrap_err().to_string();
        assert!(refused.starts_with("linux.resources.pids.limit: writing 5 to "), "{refused}");
        assert!(refused.contains("(the kernel, or the cgroup above, has no such limit: "));
        for (file, before) in
            [("memory.max", "4096\n"), ("memory.swap.max", "2048\n"), ("cpu.max", "max 100000\n")]
        {
            assert_eq!(folder.read(file).get(..before.len()), Some(before), "{file}");
        }
    }
}
