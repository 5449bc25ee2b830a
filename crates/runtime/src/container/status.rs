//! The status of a container. No file has it: rind asks the kernel each time.

use super::Container;
use super::record::NEW_FIFO;
use crate::{Error, Explain, Result};
use std::fmt;
use sys::Errno;

/// What fails where the kernel does not tell.
const LOOKING: &str = "looking whether init runs";

/// The status of a container (runtime-spec, State), and `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being created.
    Creating,
    /// Its init waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its init has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl Status {
    /// The error that what a command does takes another status: about the container `id`, with the
    /// command that helps.
    pub(crate) fn refuse(self, id: &str, text: impl Into<String>) -> Error {
        let hint = match self {
            Self::Creating => format!("wait until create has ended: rind state {id} tells"),
            Self::Created => format!("rind start {id} has it run its program"),
            Self::Running => format!("rind kill {id} ends it, rind pause {id} stops it"),
            Self::Paused => format!("rind resume {id} has it go on"),
            Self::Stopped => {
                format!("it has ended: rind delete {id} removes it, rind run begins anew")
            }
        };
        Error::new(text).with_object(id).with_hint(Some(hint))
    }

    /// Whether the container has processes: it is complete, and its init has not ended.
    pub(crate) fn has_processes(self) -> bool {
        matches!(self, Self::Created | Self::Running | Self::Paused)
    }
}

impl Container {
    /// The status, as the kernel knows it. What can't be looked at is an error: a container that counts
    /// as stopped is deleted.
    pub fn status(&self) -> Result<Status> {
        let status = self.status_if_made(|| self.entry.is_locked())?;
        // If init has ended meanwhile, what was looked at may be another container's, of the same name.
        let is_sure = !status.has_processes() || self.init.is_alive().within(LOOKING)?;
        Ok(if is_sure { status } else { Status::Stopped })
    }

    /// The same for a caller that has the lock, so that no other command can be creating it.
    pub fn status_under_lock(&self) -> Result<Status> {
        self.status_if_made(|| Ok(false))
    }

    /// `is_locked` tells whether another command has the lock.
    fn status_if_made(&self, is_locked: impl Fn() -> Result<bool>) -> Result<Status> {
        if !self.init.is_alive().within(LOOKING)? {
            // A command that creates it has the lock, and may have no init yet.
            let making = self.init.pid == 0 && is_locked()?;
            return Ok(if making { Status::Creating } else { Status::Stopped });
        }
        let mut fifo = self.try_open_fifo();
        if matches!(fifo, Err(Errno::ENOENT)) {
            // The fifo still has its other name, or `run` has not executed the program yet.
            if self.is_being_made(is_locked)? {
                return Ok(Status::Creating);
            }
            // Or `create` has ended in between.
            fifo = self.try_open_fifo();
        }
        let waits = match fifo {
            Ok(_) => true,
            // Its execve has closed it; or its end, where it has executed nothing.
            Err(Errno::ENXIO) => !self.init.has_executed().within(LOOKING)?,
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(Error::on("opening the", "exec fifo", errno)),
        };
        Ok(match (self.is_frozen()?, waits) {
            (true, _) => Status::Paused,
            (false, true) => Status::Created,
            (false, false) => Status::Running,
        })
    }

    /// Whether a command is creating the container, whose init lives and whose fifo isn't there.
    fn is_being_made(&self, is_locked: impl Fn() -> Result<bool>) -> Result<bool> {
        // The lock alone proves nothing, as other commands take it too. Neither does new.fifo: a
        // killed `run` leaves it beside a program that runs.
        let is_likely = self.entry.has(NEW_FIFO)? || is_locked()?;
        Ok(is_likely && !self.init.has_executed().within(LOOKING)?)
    }
}
