//! Watching for the OOM killer.

use super::wait::count;
use crate::error::{Error, Result};
use crate::file::{self, value_of};
use crate::path::{CgroupPath, Hierarchy};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags};
use sys::nix::sys::eventfd::{EfdFlags, EventFd};

/// What tells of the OOM killer in a container's cgroup.
#[derive(Debug)]
pub struct OomWatch {
    directory: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// v1: it is signalled when a process has to be killed, and at the end of the cgroup.
    Signal(EventFd),
    /// v2: memory.events, and how many kills it last told of.
    Count(OwnedFd, u64),
}

impl OomWatch {
    /// Watches the memory cgroup of `place`; `None` where the container has none.
    pub(crate) fn new(place: &CgroupPath) -> Result<Option<Self>> {
        let Some(memory) = place.controlling("memory").filter(|found| found.joined) else {
            return Ok(None);
        };
        let unified = memory.is_unified();
        let path = memory.file(if unified { "memory.events" } else { "memory.oom_control" });
        let failed = |errno| Error::call(format!("watching {path}"), errno);
        let file = match file::open(&path, OFlag::O_RDONLY) {
            Err(Errno::ENOENT) if unified => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let source = if unified {
            let kills = count(&file, "oom_kill").map_err(failed)?.unwrap_or_default();
            Source::Count(file, kills)
        } else {
            Source::Signal(signal(memory, &file).map_err(failed)?)
        };
        Ok(Some(Self { directory: memory.directory(), source }))
    }

    /// What to poll for: whenever it is ready, [`OomWatch::has_struck`] has to be asked.
    #[must_use]
    pub fn interest(&self) -> PollFd<'_> {
        match &self.source {
            Source::Signal(signal) => PollFd::new(signal.as_fd(), PollFlags::POLLIN),
            Source::Count(file, _) => PollFd::new(file.as_fd(), PollFlags::POLLPRI),
        }
    }

    /// Whether the OOM killer has struck since this was last asked; `None` when the cgroup is gone.
    pub fn has_struck(&mut self) -> Result<Option<bool>> {
        let struck = match &mut self.source {
            Source::Signal(signal) => signal.read().map(|times| Some(times > 0)),
            Source::Count(file, known) => count(&*file, "oom_kill").map(|kills| {
                let kills = kills.unwrap_or_default();
                Some(std::mem::replace(known, kills) < kills)
            }),
        };
        let gone = || file::open_directory(&self.directory).is_err();
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

/// How many processes in the container's memory cgroup the kernel has killed for lack of memory; `None`
/// where it has none, or that is gone.
#[must_use]
pub(crate) fn oom_kills(place: &CgroupPath) -> Option<u64> {
    let memory = place.controlling("memory").filter(|found| found.joined)?;
    let name = if memory.is_unified() { "memory.events" } else { "memory.oom_control" };
    value_of(&file::try_read_value(&memory.file(name)).ok()?, "oom_kill")
}

/// Has the kernel signal what happens to `file` of the v1 cgroup `memory` (the kernel's
/// cgroup-v1/memory.rst, OOM Control).
fn signal(memory: &Hierarchy, file: &OwnedFd) -> sys::Result<EventFd> {
    let signal = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let numbers = format!("{} {}", signal.as_fd().as_raw_fd(), file.as_raw_fd());
    file::write(&memory.file("cgroup.event_control"), &numbers)?;
    Ok(signal)
}
