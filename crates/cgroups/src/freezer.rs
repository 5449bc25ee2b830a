//! Pausing: v1's freezer and v2's cgroup.freeze.

use crate::error::{Error, Result};
use crate::events::{self, Limit, PATIENCE};
use crate::file;
use crate::path::{CgroupPath, Hierarchy};
use crate::tree;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;
use sys::Errno;
use sys::nix::fcntl::{OFlag, openat};
use sys::nix::sys::stat::Mode;

/// Whether the container is paused, by its own cgroup or by one above it.
pub(crate) fn is_frozen(place: &CgroupPath) -> Result<bool> {
    freezer(place).map_or(Ok(false), is_cgroup_frozen)
}

/// Stops every process of the container where it is; returns when all have stopped.
///
/// It is undone where it can't be done, and when `interrupt` becomes readable first (`EINTR`).
pub(crate) fn freeze(place: &CgroupPath, interrupt: Option<BorrowedFd>) -> Result<()> {
    freeze_within(place, Limit { deadline: Instant::now() + PATIENCE, interrupt })
}

/// [`freeze`], with a limit of its own.
pub(crate) fn freeze_within(place: &CgroupPath, limit: Limit) -> Result<()> {
    let freezer = needed(place)?;
    let frozen = if freezer.is_unified() {
        write(freezer, "cgroup.freeze", "1")?;
        events::wait(freezer, "frozen", true, limit)
    } else {
        freeze_v1(freezer, limit)
    };
    match frozen {
        Ok(true) => Ok(()),
        Ok(false) => {
            let _ = start_again(freezer);
            let directory = freezer.directory();
            Err(Error::refused(format!("freezing {directory}: not all of it stops"))
                .with_remedy(Some("a process in it waits for something that can't be interrupted")))
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
        events::wait(freezer, "frozen", false, Instant::now() + PATIENCE)?
    } else {
        !is_cgroup_frozen(freezer)?
    };
    if goes_on {
        return Ok(());
    }
    Err(Error::refused(format!("thawing {}: it stays frozen", freezer.directory()))
        .with_remedy(Some("a cgroup above it is frozen")))
}

/// Whether `cgroup`, of the freezer or v2, is frozen, or somebody has begun to freeze it. One that
/// doesn't exist is not.
fn is_cgroup_frozen(cgroup: &Hierarchy) -> Result<bool> {
    let file = cgroup.file(if cgroup.is_unified() { "cgroup.events" } else { "freezer.state" });
    match file::try_read_value(&file) {
        Ok(text) if cgroup.is_unified() => Ok(events::value_of(&text, "frozen") == Some(1)
            || file::try_read_value(&cgroup.file("cgroup.freeze")).is_ok_and(|own| own == "1\n")),
        Ok(text) => Ok(text.trim_end() != "THAWED"),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
        Err(errno) => Err(Error::kernel(format!("reading {file}"), errno)),
    }
}

/// Thaws the container's v1 freezer, and those that it made below: frozen processes don't die.
pub(crate) fn thaw_for_killing(place: &CgroupPath) {
    let Some(freezer) = place.v1("freezer").filter(|found| found.joined) else { return };
    let thaw = |cgroup: &OwnedFd| {
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        sys::fs::write_once(openat(cgroup, "freezer.state", flags, Mode::empty())?, b"THAWED")
    };
    // What can't be thawed shows as a process that doesn't die.
    let _ = tree::visit(&freezer.directory(), |cgroup| thaw(cgroup).or(Ok(())));
}

/// The container's cgroup that stops it.
pub(crate) fn freezer(place: &CgroupPath) -> Option<&Hierarchy> {
    place.controlling("freezer").filter(|found| found.joined)
}

fn needed(place: &CgroupPath) -> Result<&Hierarchy> {
    let none = || Error::refused("no freezer: container could not join or create cgroup");
    freezer(place).ok_or_else(none)
}

/// v1 reports nothing when all has stopped: it's looked up each time the state is read, and it can
/// take another FROZEN to catch processes that were forked meanwhile.
fn freeze_v1(freezer: &Hierarchy, limit: Limit) -> Result<bool> {
    let path = freezer.file("freezer.state");
    loop {
        write(freezer, "freezer.state", "FROZEN")?;
        if file::read_value(&path)?.trim_end() == "FROZEN" {
            return Ok(true);
        }
        // The freezer has no event to wait for; the processes need processors to stop.
        let waited = events::pause(limit);
        if !waited.map_err(|errno| Error::kernel(format!("waiting on {path}"), errno))? {
            return Ok(false);
        }
    }
}

fn start_again(freezer: &Hierarchy) -> Result<()> {
    if freezer.is_unified() {
        write(freezer, "cgroup.freeze", "0")
    } else {
        write(freezer, "freezer.state", "THAWED")
    }
}

fn write(freezer: &Hierarchy, file: &str, value: &str) -> Result<()> {
    let path = freezer.file(file);
    file::write(&path, value)
        .map_err(|errno| Error::kernel(format!("writing {value} to {path}"), errno))
}
