//! What cgroups report of themselves: waiting on cgroup.events, and for the OOM killer.

use crate::error::{Error, Result};
use crate::file;
use crate::path::{CgroupPath, Hierarchy};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::eventfd::{EfdFlags, EventFd};
use sys::nix::sys::uio::pread;

/// How long the kernel may take over what normally takes it microseconds: to end processes that
/// were killed, to freeze running ones.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

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
        let failed = |errno| Error::kernel(format!("watching {path}"), errno);
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
                Error::kernel(format!("asking {} for OOM kills", self.directory), errno)
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

/// The value of `key` in a file of lines `key value`.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    let found = text.lines().filter_map(|line| line.split_once(' '));
    found.filter(|(name, _)| *name == key).find_map(|(_, value)| value.trim().parse().ok())
}

/// The value of `key` as an open file has it now, of which a later change is then reported.
fn count(file: impl AsFd, key: &str) -> sys::Result<Option<u64>> {
    let mut buffer = [0; 256];
    let length = pread(file, &mut buffer, 0)?;
    Ok(value_of(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()), key))
}

/// How long to wait: until a time, or until a descriptor becomes readable, which is `EINTR`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit<'a> {
    pub deadline: Instant,
    pub interrupt: Option<BorrowedFd<'a>>,
}

impl From<Instant> for Limit<'_> {
    fn from(deadline: Instant) -> Self {
        Self { deadline, interrupt: None }
    }
}

/// Waits for `key` of the v2 cgroup's cgroup.events to become `wanted`; `false` when it took longer
/// than `limit` allows. A cgroup that is gone, or goes meanwhile, counts as done.
pub(crate) fn wait<'a>(
    cgroup: &Hierarchy,
    key: &str,
    wanted: bool,
    limit: impl Into<Limit<'a>>,
) -> Result<bool> {
    let path = cgroup.file("cgroup.events");
    match wait_in(&path, key, u64::from(wanted), limit.into()) {
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(true),
        other => other.map_err(|errno| Error::kernel(format!("waiting on {path}"), errno)),
    }
}

fn wait_in(path: &str, key: &str, wanted: u64, limit: Limit) -> sys::Result<bool> {
    let file = file::open(path, OFlag::O_RDONLY)?;
    loop {
        if count(&file, key)? == Some(wanted) {
            return Ok(true);
        }
        // The kernel tells of each change after a read by POLLPRI (cgroups(7)).
        if !poll_until(PollFd::new(file.as_fd(), PollFlags::POLLPRI), limit)? {
            return Ok(false);
        }
    }
}

/// Waits until each of `processes`, pidfds, has ended; `false` when it took too long.
pub(crate) fn wait_for_end(processes: &[OwnedFd], deadline: Instant) -> sys::Result<bool> {
    for process in processes {
        if !poll_until(PollFd::new(process.as_fd(), PollFlags::POLLIN), deadline.into())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives the kernel a millisecond, where it has nothing to wait on: `false` when time is up.
pub(crate) fn pause<'a>(limit: impl Into<Limit<'a>>) -> sys::Result<bool> {
    let limit = limit.into();
    let interrupt = limit.interrupt.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match poll(interrupt.into_iter().collect::<Vec<_>>().as_mut_slice(), PollTimeout::from(1_u8)) {
        Ok(0) | Err(Errno::EINTR) => Ok(Instant::now() < limit.deadline),
        Ok(_) => Err(Errno::EINTR),
        Err(errno) => Err(errno),
    }
}

/// poll(2) until something happens, or the limit.
fn poll_until(what: PollFd, limit: Limit) -> sys::Result<bool> {
    let interrupt = limit.interrupt.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let mut polled: Vec<PollFd> = std::iter::once(what).chain(interrupt).collect();
    loop {
        let left = limit.deadline.saturating_duration_since(Instant::now());
        // Rounded up, so as not to spin through the last millisecond.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        match poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) if polled.first().and_then(PollFd::any) == Some(false) => {
                return Err(Errno::EINTR);
            }
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(value_of(text, "oom_kill"), Some(3));
        assert_eq!(value_of(text, "oom"), None);
        assert_eq!(value_of("populated 1\nfrozen 0\n", "frozen"), Some(0));
    }
}
