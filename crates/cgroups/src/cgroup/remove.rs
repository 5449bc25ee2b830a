//! The end of a container's cgroups.

use crate::cgroupfs::wait::{self, PATIENCE};
use crate::cgroupfs::{kill::kill, processes, tree};
use crate::error::{Error, Result};
use crate::path::{CgroupPath, Hierarchy};
use crate::{file, scope};
use std::time::Instant;
use sys::Errno;

/// Kills what is left in the container's cgroup, and removes it with those that the container made
/// below, and then the parents that rind made and nobody else uses.
///
/// What is gone already is no error, and an error in one hierarchy leaves the others not undone.
pub(crate) fn destroy(place: &CgroupPath) -> Result<()> {
    let mut result = if place.unit.is_some() { end_unit(place) } else { Ok(()) };
    // v2 first: there the kernel does the killing, and tells when all are gone from all hierarchies.
    let (unified, v1): (Vec<_>, Vec<_>) = place.joined().partition(|one| one.is_unified());
    for cgroup in unified.into_iter().chain(v1) {
        result = result.and(remove(place, cgroup));
    }
    result
}

/// Stops the container's unit before its cgroups go: systemd learns of the end of a unit's processes
/// by its cgroup becoming empty, and not by its being removed. A stop that is under way, as by
/// `systemctl stop`, would last until its time is up.
fn end_unit(place: &CgroupPath) -> Result<()> {
    let of_systemd = |one: &&Hierarchy| one.is_unified() || one.has("name=systemd");
    let mut result = Ok(());
    for cgroup in place.joined().filter(of_systemd) {
        result = result.and(empty(place, cgroup));
    }
    result.and(scope::stop(place))
}

/// Removes the container's cgroups as far as nobody uses them, and kills nobody: for a container of
/// which it is not known whether its cgroups were made, as its making was interrupted.
///
/// Of the parents those go that `place` says it is to make. A unit is stopped.
pub(crate) fn remove_unused(place: &CgroupPath) -> Result<()> {
    if place.unit.is_some() && is_deserted(place)? {
        scope::stop(place)?;
    }
    for cgroup in &place.hierarchies {
        for up in 0..cgroup.made.max(1) {
            let directory = cgroup.ancestor(up);
            match file::remove_directory(&directory) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(Errno::EBUSY | Errno::ENOTEMPTY) => break,
                Err(errno) => {
                    return Err(Error::call(format!("removing the cgroup {directory}"), errno));
                }
            }
        }
    }
    Ok(())
}

/// Whether there are no processes in the cgroups, or soon will be none: those of a maker that was
/// killed are about to end. What stays is another's, whose unit has the same name.
fn is_deserted(place: &CgroupPath) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut is_empty = true;
        for cgroup in &place.hierarchies {
            let directory = cgroup.directory();
            is_empty &= processes::list(&directory)?.is_empty();
        }
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
fn remove(place: &CgroupPath, cgroup: &Hierarchy) -> Result<()> {
    let directory = cgroup.directory();
    let error = |errno| Error::call(format!("removing the cgroup {directory}"), errno);
    if cgroup.made == 0 {
        return empty(place, cgroup);
    }
    match file::remove_directory(&directory) {
        Err(Errno::EBUSY | Errno::ENOTEMPTY) => remove_used(place, cgroup)?,
        other => other.map_err(error)?,
    }
    for up in 1..cgroup.made {
        match file::remove_directory(&cgroup.ancestor(up)) {
            // Another container is in it by now.
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => break,
            other => other.map_err(error)?,
        }
    }
    Ok(())
}

/// Ends what the container left in a cgroup, which stays.
fn empty(place: &CgroupPath, cgroup: &Hierarchy) -> Result<()> {
    let directory = cgroup.directory();
    let error = |errno| Error::call(format!("removing cgroups below {directory}"), errno);
    if !processes::list(&directory)?.is_empty() {
        kill(place, cgroup)?;
    }
    match tree::has_children(&directory) {
        Ok(true) => settled(|| tree::remove_below(&directory)).map_err(error),
        Ok(false) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(error(errno)),
    }
}

/// Removes a cgroup that has processes, or cgroups below.
fn remove_used(place: &CgroupPath, cgroup: &Hierarchy) -> Result<()> {
    let directory = cgroup.directory();
    kill(place, cgroup)?;
    let remove = || match tree::remove_below(&directory) {
        Ok(()) => file::remove_directory(&directory),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    };
    settled(remove).map_err(|errno| {
        Error::call(format!("removing the cgroup {directory}"), errno)
            .with_hint((errno == Errno::EBUSY).then_some("processes keep entering it"))
    })
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
