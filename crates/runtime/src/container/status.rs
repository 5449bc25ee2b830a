//! What a container is doing. No file tells: the kernel is asked each time.

use super::Container;
use super::record::NEW_FIFO;
use std::fmt;
use sys::Errno;

/// The status of a container (runtime-spec, State), and `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
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

impl Container {
    /// What it is doing, as the kernel knows it.
    pub fn status(&self) -> Status {
        self.status_if_made(|| self.entry.is_locked())
    }

    /// The same for a command that has the lock, so that no other can be making the container.
    pub fn status_under_lock(&self) -> Status {
        self.status_if_made(|| false)
    }

    /// `is_locked` tells whether some other command is at it.
    fn status_if_made(&self, is_locked: impl Fn() -> bool) -> Status {
        if !self.init.is_alive() {
            // A command that is at it has the lock, and no init yet.
            let making = self.init.pid == 0 && is_locked();
            return if making { Status::Creating } else { Status::Stopped };
        }
        // The lock alone doesn't tell: other commands take it as well. And of what runs, a killed
        // `run` may have left the fifo's name.
        let is_being_made =
            || (self.entry.has(NEW_FIFO) || is_locked()) && !self.init.has_executed();
        match self.open_fifo() {
            Ok(_) if self.is_frozen() => Status::Paused,
            Ok(_) => Status::Created,
            // Not yet under that name, or `run` has not come to the program.
            Err(Errno::ENOENT) if is_being_made() => Status::Creating,
            Err(_) if self.is_frozen() => Status::Paused,
            Err(_) => Status::Running,
        }
    }
}
