//! The end of a container's cgroups.

use crate::cgroup::{Cgroup, Hierarchy, join};
use crate::cgroupfs::wait::{self, PATIENCE};
use crate::cgroupfs::{processes, tree};
use crate::error::{Error, Result};
use crate::{file, host, scope};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;
use sys::Errno;

impl Cgroup {
    /// Kills what is left in the cgroup, stops its unit, and removes the cgroup with those that the
    /// container made below, then the parents that rind made and nobody else uses.
    ///
    /// What is gone already is no error. After an error in one hierarchy rind goes on with the
    /// others.
    pub fn remove(&self) -> Result<()> {
        let mut result = if self.is_in_scope() { self.end_unit() } else { Ok(()) };
        // v2 first: there the kernel does the killing, and tells when all processes have left all
        // hierarchies.
        let (unified, v1): (Vec<_>, Vec<_>) = self.joined().partition(|one| one.is_unified());
        for hierarchy in unified.into_iter().chain(v1) {
            result = result.and(self.remove_from(hierarchy));
        }
        result
    }

    /// Removes the cgroup as far as nobody uses it, and kills nobody: for a container whose making
    /// was interrupted, so that nobody knows what was made.
    ///
    /// Of the parents rind removes those that it was going to make. It stops the unit.
    pub fn remove_unused(&self) -> Result<()> {
        if self.is_in_scope() && self.is_deserted()? {
            scope::stop(self)?;
        }
        self.hierarchies.iter().try_for_each(|one| remove_up(one, 0..one.made.max(1)))
    }

    /// The same cgroup, taken for what a container has whose record is lost: those of its directories
    /// where the container's `init` is, if it has one that lives. Without an init these are all that
    /// exist, but not of a path that depends on where rind's own cgroup is: there may be another's.
    pub fn claim(mut self, init: Option<i32>) -> Result<Self> {
        for one in &mut self.hierarchies {
            let is_its_own = match init {
                Some(init) => one.has_process(init)?,
                None => one.base.is_empty() && Path::new(&one.directory()).is_dir(),
            };
            (one.joined, one.made) = (is_its_own, one.made.max(1));
        }
        Ok(self)
    }

    /// Stops the container's unit before its cgroups go: systemd learns of the end of a unit's
    /// processes when its cgroup becomes empty, and not when the cgroup is removed. A stop that is under
    /// way, as by `systemctl stop`, would last until its time is up.
    fn end_unit(&self) -> Result<()> {
        let of_systemd = |one: &&Hierarchy| one.is_unified() || one.has("name=systemd");
        let mut result = Ok(());
        for hierarchy in self.joined().filter(of_systemd) {
            result = result.and(self.empty(hierarchy));
        }
        result.and(scope::stop(self))
    }

    /// Whether there are no processes in the cgroups, or soon will be none: those of a rind that was
    /// killed are about to end. Processes that stay are another's, whose unit has the same name.
    fn is_deserted(&self) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.hierarchies.iter().map(|one| processes::list(&one.directory()));
            let is_empty = found.collect::<Result<Vec<_>>>()?.concat().is_empty();
            let waited = || {
                let paused = wait::pause(deadline);
                paused.map_err(|errno| Error::call("waiting for processes to end", errno))
            };
            if is_empty || !waited()? {
                return Ok(is_empty);
            }
        }
    }

    /// Removes the container's cgroup of one hierarchy, or empties one that rind didn't make.
    fn remove_from(&self, hierarchy: &Hierarchy) -> Result<()> {
        let directory = hierarchy.directory();
        if hierarchy.made == 0 {
            return self.empty(hierarchy);
        }
        match file::remove_directory(&directory) {
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => self.remove_used(hierarchy)?,
            other => other.map_err(|errno| removing(&directory, errno))?,
        }
        remove_up(hierarchy, 1..hierarchy.made)
    }

    /// Ends what the container left in a cgroup, which stays.
    fn empty(&self, hierarchy: &Hierarchy) -> Result<()> {
        let directory = hierarchy.directory();
        let error = |errno| Error::call(format!("removing cgroups below {directory}"), errno);
        if !processes::list(&directory)?.is_empty() {
            self.kill(hierarchy)?;
        }
        match tree::has_children(&directory) {
            Ok(true) => settled(|| tree::remove_below(&directory)).map_err(error),
            Ok(false) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(error(errno)),
        }
    }

    /// Removes a cgroup that has processes, or cgroups below.
    fn remove_used(&self, hierarchy: &Hierarchy) -> Result<()> {
        let directory = hierarchy.directory();
        self.kill(hierarchy)?;
        let remove = || match tree::remove_below(&directory) {
            Ok(()) => file::remove_directory(&directory),
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        };
        settled(remove).map_err(|errno| {
            let remedy = (errno == Errno::EBUSY).then_some("processes keep entering it");
            removing(&directory, errno).with_hint(remedy)
        })
    }
}

impl Hierarchy {
    /// Whether a process is in the cgroup, or in one below.
    fn has_process(&self, pid: i32) -> Result<bool> {
        let found = host::cgroup_of(pid, &self.controllers.join(","))?;
        let own = join(&self.base, &self.below);
        Ok(found.is_some_and(|path| Path::new(path.trim_start_matches('/')).starts_with(own)))
    }
}

/// Removes the cgroup's directories that are so many `levels` up, as far as nobody uses them: another
/// container may be in one by now.
fn remove_up(hierarchy: &Hierarchy, levels: Range<usize>) -> Result<()> {
    for directory in levels.map(|up| hierarchy.ancestor(up)) {
        match file::remove_directory(&directory) {
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => break,
            other => other.map_err(|errno| removing(&directory, errno))?,
        }
    }
    Ok(())
}

fn removing(directory: &str, errno: Errno) -> Error {
    Error::call(format!("removing the cgroup {directory}"), errno)
}

/// Tries until nothing is busy any more, a millisecond apart.
///
/// All processes have ended, and that was waited for. But newer kernels take an ended process out
/// of its cgroups a moment after they report its end, and v1 has no event for that.
fn settled(mut remove: impl FnMut() -> sys::Result<()>) -> sys::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match remove() {
            Err(Errno::EBUSY) if wait::pause(deadline)? => {}
            other => return other,
        }
    }
}
