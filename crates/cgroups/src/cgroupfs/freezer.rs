//! Pausing: v1's freezer and v2's cgroup.freeze.

use super::wait::{self, PATIENCE, Until};
use super::{v1, v2};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, Result};
use crate::file;
use std::os::fd::BorrowedFd;
use std::time::Instant;
use sys::Errno;
use sys::nix::fcntl::OFlag;

impl Cgroup {
    /// Whether the container is paused, by its own cgroup or by one above it.
    pub fn is_frozen(&self) -> Result<bool> {
        self.freezer().map_or(Ok(false), is_frozen)
    }

    /// Stops every process where it is, and returns when all have stopped.
    ///
    /// rind undoes it if a process doesn't stop, and if `interrupt` becomes readable first
    /// (`EINTR`).
    pub fn freeze(&self, interrupt: Option<BorrowedFd>) -> Result<()> {
        self.freeze_within(Until { deadline: Instant::now() + PATIENCE, interrupt })
    }

    /// [`Cgroup::freeze`], with a limit of its own.
    pub(crate) fn freeze_within(&self, limit: Until) -> Result<()> {
        let freezer = self.needed_freezer()?;
        let freeze = if freezer.is_unified() { v2::freeze } else { v1::freeze };
        let frozen = freeze(freezer, limit);
        if !matches!(frozen, Ok(true)) {
            let _ = start_again(freezer);
        }
        if frozen? {
            return Ok(());
        }
        Err(Error::new(format!("freezing {}: not all of it stops", freezer.directory()))
            .with_hint(Some("a process in it waits for something that can't be interrupted")))
    }

    /// Lets the processes go on.
    pub fn thaw(&self) -> Result<()> {
        let freezer = self.needed_freezer()?;
        start_again(freezer)?;
        let goes_on = if freezer.is_unified() {
            wait::wait(freezer, "frozen", false, Instant::now() + PATIENCE)
        } else {
            is_frozen(freezer).map(|frozen| !frozen)
        };
        // It is thawed also where the look at that fails.
        if !matches!(goes_on, Ok(false)) {
            return Ok(());
        }
        Err(Error::new(format!("thawing {}: it stays frozen", freezer.directory()))
            .with_hint(Some("a cgroup above it is frozen")))
    }

    /// Lets a process go on that is in the cgroup as long as it `lives`. That is asked once the freezer
    /// is open: what has the name after its end may be another container's.
    pub fn thaw_living(&self, lives: impl FnOnce() -> Result<bool>) -> Result<()> {
        let freezer = self.needed_freezer()?;
        let (name, value) =
            if freezer.is_unified() { ("cgroup.freeze", "0") } else { ("freezer.state", "THAWED") };
        let path = freezer.file(name);
        let thawed = match file::try_open(&path, OFlag::O_WRONLY) {
            Ok(_) if !lives()? => return Ok(()),
            opened => opened.and_then(|file| sys::fs::write_once(file, value.as_bytes())),
        };
        match thawed {
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            thawed => {
                thawed.map_err(|errno| Error::call(format!("writing {value} to {path}"), errno))
            }
        }
    }

    /// The directory of the cgroup that freezes the container, for criu(8), which freezes it itself.
    #[must_use]
    pub fn freezer_directory(&self) -> Option<String> {
        self.freezer().map(Hierarchy::directory)
    }

    /// Refuses a frozen cgroup: a process that entered it, or one below it, would stop before it could
    /// report anything.
    pub(crate) fn refuse_frozen(&self) -> Result<()> {
        match self.freezer() {
            Some(freezer) if is_frozen(freezer)? => {
                let directory = freezer.directory();
                Err(Error::new(format!("container's cgroup unexpectedly frozen: {directory}")))
            }
            _ => Ok(()),
        }
    }

    fn freezer(&self) -> Option<&Hierarchy> {
        self.joined_controlling("freezer")
    }

    fn needed_freezer(&self) -> Result<&Hierarchy> {
        let none = || Error::new("no freezer: container could not join or create cgroup");
        self.freezer().ok_or_else(none)
    }
}

/// Whether `freezer`, a cgroup of the freezer or of v2, is frozen, or somebody has begun to freeze it.
/// One that doesn't exist is not.
fn is_frozen(freezer: &Hierarchy) -> Result<bool> {
    let file = if freezer.is_unified() { "cgroup.events" } else { "freezer.state" };
    Ok(match file::find_value(&freezer.file(file))? {
        None => false,
        Some(text) if freezer.is_unified() => {
            file::value_of(&text, "frozen") == Some(1)
                || file::try_read_value(&freezer.file("cgroup.freeze"))
                    .is_ok_and(|own| own == "1\n")
        }
        Some(text) => text.trim_end() != "THAWED",
    })
}

fn start_again(freezer: &Hierarchy) -> Result<()> {
    if freezer.is_unified() { v2::thaw(freezer) } else { v1::thaw(freezer) }
}
