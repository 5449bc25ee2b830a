//! Listing and signalling the container's processes, in whichever hierarchy knows them best.

use super::processes::{list, signal_in};
use super::wait::PATIENCE;
use super::{freezer, v1, v2};
use crate::error::{Error, Result};
use crate::path::{CgroupPath, Hierarchy};
use std::time::Instant;
use sys::nix::libc::SIGKILL;
use sys::nix::unistd::{AccessFlags, access};

/// The pids of the container's cgroup and all below it.
pub(crate) fn processes(place: &CgroupPath) -> Result<Vec<i32>> {
    for cgroup in authorities(place) {
        let found = list(&cgroup.directory())?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Sends `signal`, by number, to every process in the container's cgroup and below it. With SIGKILL
/// it returns when none is left.
pub(crate) fn signal_all(place: &CgroupPath, signal: i32) -> Result<()> {
    let is_there = |one: &&Hierarchy| access(one.directory().as_str(), AccessFlags::F_OK).is_ok();
    match authorities(place).find(is_there) {
        None => Ok(()),
        Some(cgroup) if signal == SIGKILL => kill(place, cgroup),
        Some(cgroup) => signal_in(&cgroup.directory(), signal).map(drop),
    }
}

/// The cgroups that are asked for the container's processes, the best first. They are in the one of
/// every hierarchy, unless somebody has moved them out of some.
fn authorities(place: &CgroupPath) -> impl Iterator<Item = &Hierarchy> {
    let best = [place.unified(), place.v1("pids"), place.v1("freezer")];
    best.into_iter().flatten().filter(|one| one.joined).chain(place.joined())
}

/// Kills every process in `cgroup`, one of the container's, and below it, until none is left.
pub(crate) fn kill(place: &CgroupPath, cgroup: &Hierarchy) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let thaw = || {
        if let Some(freezer) = place.v1("freezer").filter(|found| found.joined) {
            v1::thaw_below(freezer);
        }
    };
    let killed = if cgroup.is_unified() {
        v2::kill(cgroup, deadline, thaw)?
    } else {
        v1::kill(cgroup, deadline, |limit| freezer::freeze_within(place, limit), thaw)?
    };
    if killed {
        return Ok(());
    }
    let directory = cgroup.directory();
    let left = list(&directory)?;
    Err(Error::new(format!("killing the processes of {directory}: {left:?} don't die"))
        .with_hint(Some("they wait for something that can't be interrupted")))
}
