//! The status of a container. No file has it: rind asks the kernel each time.

use super::Container;
use super::record::NEW_FIFO;
use std::fmt;
use sys::Errno;

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
    /// Whether the container has processes: it is complete, and its init has not ended.
    pub(crate) fn has_processes(self) -> bool {
        matches!(self, Self::Created | Self::Running | Self::Paused)
    }
}

impl Container {
    /// The status, as the kernel knows it.
    pub fn status(&self) -> Status {
        self.status_if_made(|| self.entry.is_locked())
    }

    /// The same for a caller that has the lock, so that no other command can be creating it.
    pub fn status_under_lock(&self) -> Status {
        self.status_if_made(|| false)
    }

    /// `is_locked` tells whether another command has the lock.
    fn status_if_made(&self, is_locked: impl Fn() -> bool) -> Status {
        if !self.init.is_alive() {
            // A command that creates it has the lock, and may have no init yet.
            let making = self.init.pid == 0 && is_locked();
            return if making { Status::Creating } else { Status::Stopped };
        }
        // The lock alone proves nothing, as other commands take it too. Neither does new.fifo: a
        // killed `run` leaves it beside a program that runs.
        let is_being_made =
            || (self.entry.has(NEW_FIFO) || is_locked()) && !self.init.has_executed();
        match self.open_fifo() {
            Ok(_) if self.is_frozen() => Status::Paused,
            Ok(_) => Status::Created,
            // The fifo still has its other name, or `run` has not executed the program yet.
            Err(Errno::ENOENT) if is_being_made() => Status::Creating,
            Err(_) if self.is_frozen() => Status::Paused,
            Err(_) => Status::Running,
        }
    }
}
