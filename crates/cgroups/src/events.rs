//! What cgroups report of themselves: waiting on cgroup.events, and counted OOM kills.

use crate::error::{Error, Result};
use crate::file;
use crate::place::{Hierarchy, Place};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::uio::pread;

/// How long the kernel may take over what normally takes it microseconds: to end processes that
/// were killed, to freeze running ones.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How many processes the OOM killer has killed in the container's cgroup, where that is counted.
#[must_use]
pub fn oom_kills(place: &Place) -> Option<u64> {
    let memory = place.controlling("memory").filter(|found| found.joined)?;
    let file = if memory.is_unified() { "memory.events" } else { "memory.oom_control" };
    value_of(&file::read_value(&memory.file(file)).ok()?, "oom_kill")
}

/// The value of `key` in a file of lines `key value`.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    let found = text.lines().filter_map(|line| line.split_once(' '));
    found.filter(|(name, _)| *name == key).find_map(|(_, value)| value.trim().parse().ok())
}

/// Waits for `key` of the v2 cgroup's cgroup.events to become `wanted`; `false` when it took longer
/// than until `deadline`. A cgroup that is gone, or goes meanwhile, counts as done.
pub(crate) fn wait(cgroup: &Hierarchy, key: &str, wanted: bool, deadline: Instant) -> Result<bool> {
    let path = cgroup.file("cgroup.events");
    match wait_in(&path, key, u64::from(wanted), deadline) {
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(true),
        other => other.map_err(|errno| Error::kernel(format!("waiting on {path}"), errno)),
    }
}

fn wait_in(path: &str, key: &str, wanted: u64, deadline: Instant) -> sys::Result<bool> {
    let file = file::open(path, OFlag::O_RDONLY)?;
    loop {
        let mut buffer = [0; 256];
        let length = pread(&file, &mut buffer, 0)?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        if value_of(&text, key) == Some(wanted) {
            return Ok(true);
        }
        // The kernel tells of each change after a read by POLLPRI (cgroups(7)).
        if !poll_until(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], deadline)? {
            return Ok(false);
        }
    }
}

/// Waits until each of `processes`, pidfds, has ended; `false` when it took too long.
pub(crate) fn wait_for_end(processes: &[OwnedFd], deadline: Instant) -> sys::Result<bool> {
    for process in processes {
        if !poll_until(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], deadline)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives the kernel a millisecond, where it has nothing to wait on: `false` when time is up.
pub(crate) fn pause(deadline: Instant) -> sys::Result<bool> {
    match poll(&mut [], PollTimeout::from(1_u8)) {
        Ok(_) | Err(Errno::EINTR) => Ok(Instant::now() < deadline),
        Err(errno) => Err(errno),
    }
}

/// poll(2) until something happens, or the deadline.
fn poll_until(what: &mut [PollFd], deadline: Instant) -> sys::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so as not to spin through the last millisecond.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        match poll(what, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
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
