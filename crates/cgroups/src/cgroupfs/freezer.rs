//! Pausing: v1's freezer and v2's cgroup.freeze.

use super::wait::{self, PATIENCE, Until};
use super::{v1, v2};
use crate::error::{Error, Result};
use crate::file;
use crate::path::{CgroupPath, Hierarchy};
use std::os::fd::BorrowedFd;
use std::time::Instant;
use sys::Errno;

/// Whether the container is paused, by its own cgroup or by one above it.
pub(crate) fn is_frozen(place: &CgroupPath) -> Result<bool> {
    freezer(place).map_or(Ok(false), is_cgroup_frozen)
}

/// Stops every process of the container where it is; returns when all have stopped.
///
/// It is undone where it can't be done, and when `interrupt` becomes readable first (`EINTR`).
pub(crate) fn freeze(place: &CgroupPath, interrupt: Option<BorrowedFd>) -> Result<()> {
    freeze_within(place, Until { deadline: Instant::now() + PATIENCE, interrupt })
}

/// [`freeze`], with a limit of its own.
pub(crate) fn freeze_within(place: &CgroupPath, limit: Until) -> Result<()> {
    let freezer = needed(place)?;
    let freeze = if freezer.is_unified() { v2::freeze } else { v1::freeze };
    let frozen = freeze(freezer, limit);
    match frozen {
        Ok(true) => Ok(()),
        Ok(false) => {
            let _ = start_again(freezer);
            let directory = freezer.directory();
            Err(Error::new(format!("freezing {directory}: not all of it stops"))
                .with_hint(Some("a process in it waits for something that can't be interrupted")))
        }
        Err(error) => {
            let _ = start_again(freezer);
            Err(error)
        }
    }
}

/// Lets the container's processes go on.
pub(crate) fn thaw(place: &CgroupPath) -> Result<()> {
    let freezer = needed(place)?;
    start_again(freezer)?;
    let goes_on = if freezer.is_unified() {
        wait::wait(freezer, "frozen", false, Instant::now() + PATIENCE)?
    } else {
        !is_cgroup_frozen(freezer)?
    };
    if goes_on {
        return Ok(());
    }
    Err(Error::new(format!("thawing {}: it stays frozen", freezer.directory()))
        .with_hint(Some("a cgroup above it is frozen")))
}

/// Whether `cgroup`, of the freezer or v2, is frozen, or somebody has begun to freeze it. One that
/// doesn't exist is not.
fn is_cgroup_frozen(cgroup: &Hierarchy) -> Result<bool> {
    let file = cgroup.file(if cgroup.is_unified() { "cgroup.events" } else { "freezer.state" });
    match file::try_read_value(&file) {
        Ok(text) if cgroup.is_unified() => Ok(file::value_of(&text, "frozen") == Some(1)
            || file::try_read_value(&cgroup.file("cgroup.freeze")).is_ok_and(|own| own == "1\n")),
        Ok(text) => Ok(text.trim_end() != "THAWED"),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
        Err(errno) => Err(Error::call(format!("reading {file}"), errno)),
    }
}

/// The container's cgroup that stops it.
pub(crate) fn freezer(place: &CgroupPath) -> Option<&Hierarchy> {
    place.controlling("freezer").filter(|found| found.joined)
}

fn needed(place: &CgroupPath) -> Result<&Hierarchy> {
    let none = || Error::new("no freezer: container could not join or create cgroup");
    freezer(place).ok_or_else(none)
}

fn start_again(freezer: &Hierarchy) -> Result<()> {
    if freezer.is_unified() { v2::thaw(freezer) } else { v1::thaw(freezer) }
}

/// A process that enters a frozen cgroup, or one below such, would never come to say so.
pub(crate) fn refuse_frozen(place: &CgroupPath) -> Result<()> {
    match freezer(place) {
        Some(freezer) if is_frozen(place)? => {
            let directory = freezer.directory();
            Err(Error::new(format!("container's cgroup unexpectedly frozen: {directory}")))
        }
        _ => Ok(()),
    }
}
