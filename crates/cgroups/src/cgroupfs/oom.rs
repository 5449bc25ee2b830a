//! Watching for the OOM killer.

use super::wait::count;
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, Result};
use crate::file::{self, value_of};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags};
use sys::nix::sys::eventfd::{EfdFlags, EventFd};

/// A watch for the OOM killer in a container's cgroup.
#[derive(Debug)]
pub struct OomWatch {
    directory: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// v1: the kernel signals it when it has to kill a process, and at the end of the cgroup.
    Signal(EventFd),
    /// v2: memory.events, and the number of kills that it last had.
    Count(OwnedFd, u64),
}

impl Cgroup {
    /// Watches the memory cgroup for OOM kills. Returns `None` if the container has none.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        let Some(memory) = self.joined_controlling("memory") else { return Ok(None) };
        let path = file_of(memory);
        let failed = |errno| Error::call(format!("watching {path}"), errno);
        let file = match file::try_open(&path, OFlag::O_RDONLY) {
            Err(Errno::ENOENT) if memory.is_unified() => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let source = if memory.is_unified() {
            let kills = count(&file, "oom_kill").map_err(failed)?.unwrap_or_default();
            Source::Count(file, kills)
        } else {
            Source::Signal(signal(memory, &file).map_err(failed)?)
        };
        Ok(Some(OomWatch { directory: memory.directory(), source }))
    }

    /// How many processes in the memory cgroup the kernel has killed for lack of memory. `None` if
    /// the container has no memory cgroup, or it is gone.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        let memory = self.joined_controlling("memory")?;
        value_of(&file::try_read_value(&file_of(memory)).ok()?, "oom_kill")
    }
}

/// The file of the memory cgroup that counts OOM kills.
fn file_of(memory: &Hierarchy) -> String {
    memory.file(if memory.is_unified() { "memory.events" } else { "memory.oom_control" })
}

impl OomWatch {
    /// What to poll for. Whenever it is ready, call [`OomWatch::has_struck`].
    #[must_use]
    pub fn interest(&self) -> PollFd<'_> {
        match &self.source {
            Source::Signal(signal) => PollFd::new(signal.as_fd(), PollFlags::POLLIN),
            Source::Count(file, _) => PollFd::new(file.as_fd(), PollFlags::POLLPRI),
        }
    }

    /// Whether the OOM killer has struck since the last call; `None` if the cgroup is gone.
    pub fn has_struck(&mut self) -> Result<Option<bool>> {
        let struck = match &mut self.source {
            Source::Signal(signal) => signal.read().map(|times| Some(times > 0)),
            Source::Count(file, known) => count(&*file, "oom_kill").map(|kills| {
                let kills = kills.unwrap_or_default();
                Some(std::mem::replace(known, kills) < kills)
            }),
        };
        let gone = || file::try_open_directory(&self.directory).is_err();
        match struck {
            Err(Errno::EAGAIN) => Ok(Some(false)),
            Err(Errno::ENODEV) => Ok(None),
            Ok(Some(true)) if gone() => Ok(None),
            other => other.map_err(|errno| {
                Error::call(format!("asking {} for OOM kills", self.directory), errno)
            }),
        }
    }
}

/// Asks the kernel to signal events of `file` in the v1 cgroup `memory` (the kernel's
/// cgroup-v1/memory.rst, OOM Control).
fn signal(memory: &Hierarchy, file: &OwnedFd) -> sys::Result<EventFd> {
    let signal = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let numbers = format!("{} {}", signal.as_fd().as_raw_fd(), file.as_raw_fd());
    file::write(&memory.file("cgroup.event_control"), &numbers)?;
    Ok(signal)
}
