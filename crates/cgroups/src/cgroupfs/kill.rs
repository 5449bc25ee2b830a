//! Listing and signalling the container's processes, in whichever hierarchy knows them best.

use super::processes::{list, signal_in};
use super::wait::PATIENCE;
use super::{v1, v2};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, Result};
use std::time::Instant;
use sys::nix::libc::SIGKILL;
use sys::nix::unistd::{AccessFlags, access};

impl Cgroup {
    /// The pids in the cgroup and all below it.
    pub fn processes(&self) -> Result<Vec<i32>> {
        for hierarchy in self.authorities() {
            let found = list(&hierarchy.directory())?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Sends `signal`, by number (signal(7)), to every process in the cgroup and below it. After
    /// SIGKILL it waits until none is left.
    pub fn signal_all(&self, signal: i32) -> Result<()> {
        let is_there =
            |one: &&Hierarchy| access(one.directory().as_str(), AccessFlags::F_OK).is_ok();
        match self.authorities().find(is_there) {
            None => Ok(()),
            Some(hierarchy) if signal == SIGKILL => self.kill(hierarchy),
            Some(hierarchy) => signal_in(&hierarchy.directory(), signal).map(drop),
        }
    }

    /// The hierarchies to ask for the container's processes, the best first. The processes are in the
    /// cgroup of every hierarchy, unless somebody has moved them out of some.
    fn authorities(&self) -> impl Iterator<Item = &Hierarchy> {
        let best = [self.unified(), self.v1("pids"), self.v1("freezer")];
        best.into_iter().flatten().filter(|one| one.joined).chain(self.joined())
    }

    /// Kills every process in the container's cgroup of one `hierarchy`, and below it, until none is
    /// left.
    pub(crate) fn kill(&self, hierarchy: &Hierarchy) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let thaw = || {
            if let Some(freezer) = self.v1("freezer").filter(|one| one.joined) {
                v1::thaw_below(freezer);
            }
        };
        let killed = if hierarchy.is_unified() {
            v2::kill(hierarchy, deadline, thaw)?
        } else {
            v1::kill(hierarchy, deadline, |limit| self.freeze_within(limit), thaw)?
        };
        if killed {
            return Ok(());
        }
        let directory = hierarchy.directory();
        let left = list(&directory)?;
        Err(Error::new(format!("killing the processes of {directory}: {left:?} don't die"))
            .with_hint(Some("they wait for something that can't be interrupted")))
    }
}
