//! Listing and signalling the container's processes, in whichever hierarchy knows them best.

use super::processes::{list, signal_in};
use super::v1;
use super::wait::{self, PATIENCE};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, Result};
use crate::file;
use std::time::{Duration, Instant};
use sys::Errno;
use sys::nix::libc::SIGKILL;
use sys::nix::unistd::{AccessFlags, access};

/// How long killing waits for a v1 cgroup to freeze before it goes on without.
const FREEZING: Duration = Duration::from_secs(1);

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
    ///
    /// `check` fails if the cgroup may be another container's by now. For SIGKILL the caller has to
    /// keep that from happening.
    pub fn signal_all(&self, signal: i32, check: impl Fn() -> Result<()>) -> Result<()> {
        let is_there =
            |one: &&Hierarchy| access(one.directory().as_str(), AccessFlags::F_OK).is_ok();
        match self.authorities().find(is_there) {
            None => Ok(()),
            Some(hierarchy) if signal == SIGKILL => self.kill(hierarchy),
            Some(hierarchy) => signal_in(&hierarchy.directory(), signal, check).map(drop),
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
        let killed = if hierarchy.is_unified() {
            self.kill_at_once(hierarchy, deadline)?
        } else {
            self.kill_by_rounds(&hierarchy.directory(), deadline)?
        };
        if killed {
            return Ok(());
        }
        let directory = hierarchy.directory();
        let left = list(&directory)?;
        Err(Error::new(format!("killing the processes of {directory}: {left:?} don't die"))
            .with_hint(Some("they wait for something that can't be interrupted")))
    }

    /// v2: has the kernel kill every process, whatever is forked meanwhile, and frozen or not. `false`
    /// if some are left at `deadline`.
    fn kill_at_once(&self, unified: &Hierarchy, deadline: Instant) -> Result<bool> {
        let path = unified.file("cgroup.kill");
        match file::write(&path, "1") {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::ENODEV) => return Ok(true),
            Err(errno) => return Err(Error::call(format!("writing 1 to {path}"), errno)),
        }
        self.thaw_all();
        wait::wait(unified, "populated", false, deadline)
    }

    /// v1: kills the processes round by round, from the second on with the container frozen, so that
    /// none can fork. `false` if some are left at `deadline`.
    fn kill_by_rounds(&self, directory: &str, deadline: Instant) -> Result<bool> {
        let mut again = false;
        while !list(directory)?.is_empty() {
            if again {
                // Without a freezer, rind goes on for as many rounds as it takes.
                let _ = self.freeze_within((Instant::now() + FREEZING).into());
            }
            let killed = signal_in(directory, SIGKILL, || Ok(()));
            self.thaw_all();
            let ended = match &killed?[..] {
                // The processes that were listed were ending by themselves.
                [] => wait::pause(deadline),
                killed => wait::wait_for_end(killed, deadline),
            };
            if !ended.map_err(|errno| Error::call(format!("waiting on {directory}"), errno))? {
                return Ok(false);
            }
            again = true;
        }
        Ok(true)
    }

    /// Thaws v1's freezer, and those that the container made below: frozen processes don't die.
    fn thaw_all(&self) {
        if let Some(freezer) = self.v1("freezer").filter(|one| one.joined) {
            v1::thaw_below(freezer);
        }
    }
}
