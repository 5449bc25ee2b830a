//! Waiting for the kernel: for a cgroup's events, for processes to end, or for a moment.

use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};
use crate::file::{self, value_of};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::uio::pread;

/// How long the kernel may take for what normally takes it microseconds: to end killed processes, or to
/// freeze running ones.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait: until a time, or until a descriptor becomes readable, which is `EINTR`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until<'a> {
    pub deadline: Instant,
    pub interrupt: Option<BorrowedFd<'a>>,
}

impl From<Instant> for Until<'_> {
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
    limit: impl Into<Until<'a>>,
) -> Result<bool> {
    let path = cgroup.file("cgroup.events");
    match wait_in(&path, key, u64::from(wanted), limit.into()) {
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(true),
        other => other.map_err(|errno| Error::call(format!("waiting on {path}"), errno)),
    }
}

fn wait_in(path: &str, key: &str, wanted: u64, limit: Until) -> sys::Result<bool> {
    let file = file::try_open(path, OFlag::O_RDONLY)?;
    loop {
        if count(&file, key)? == Some(wanted) {
            return Ok(true);
        }
        // The kernel reports each change after a read by POLLPRI (cgroups(7)).
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

/// Gives the kernel a millisecond, where there is no event to wait for: `false` when time is up.
pub(crate) fn pause<'a>(limit: impl Into<Until<'a>>) -> sys::Result<bool> {
    let limit = limit.into();
    let mut interrupt = limit.interrupt.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match poll(interrupt.as_mut_slice(), PollTimeout::from(1_u8)) {
        Ok(0) | Err(Errno::EINTR) => Ok(Instant::now() < limit.deadline),
        Ok(_) => Err(Errno::EINTR),
        Err(errno) => Err(errno),
    }
}

/// Calls poll(2) until something happens, or up to the limit.
fn poll_until(what: PollFd, limit: Until) -> sys::Result<bool> {
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

/// The value of `key` in an open file. After this read the kernel reports the next change.
pub(super) fn count(file: impl AsFd, key: &str) -> sys::Result<Option<u64>> {
    let mut buffer = [0; 256];
    let length = sys::uninterrupted(|| pread(&file, &mut buffer, 0))?;
    Ok(value_of(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()), key))
}
