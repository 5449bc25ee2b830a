//! `pause` and `resume`: a container's processes are frozen where they are, and go on.

use crate::container::{Status, find_locked};
use crate::{Error, Result, Runtime};
use std::os::fd::AsFd;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::signal::{SigSet, SigmaskHow, Signal};
use sys::nix::sys::signalfd::{SfdFlags, SignalFd};

/// What may end a `pause` before its time.
const INTERRUPTS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// `pause ID`: of a running or created container. It comes back when all processes have stopped; if
/// that can't be, or a signal ends it before, they go on.
pub fn pause(runtime: &Runtime, id: &str) -> Result<()> {
    let container = find_locked(runtime, id)?;
    match container.status_under_lock() {
        Status::Running | Status::Created => {}
        status => return Err(Error::new(format!("container not running or created: {status}"))),
    }
    let cgroup = &container.record.cgroup;
    let interrupt = Interrupt::watch()?;
    cgroup.freeze(Some(interrupt.signals.as_fd()))?;
    if interrupt.has_come() {
        cgroup.thaw()?;
        return Err(Error::new("pausing was interrupted, and is undone"));
    }
    Ok(())
}

/// `resume ID`: of a paused container.
pub fn resume(runtime: &Runtime, id: &str) -> Result<()> {
    let container = find_locked(runtime, id)?;
    match container.status_under_lock() {
        Status::Paused => Ok(container.record.cgroup.thaw()?),
        status => Err(Error::new(format!("container not paused: {status}"))),
    }
}

/// Signals that wait, as long as this lives, for what is at hand to be undone: then they do what
/// they always do.
struct Interrupt {
    signals: SignalFd,
    mask: SigSet,
}

impl Interrupt {
    fn watch() -> Result<Self> {
        let failed = |errno| Error::call("receiving signals", errno);
        let all: SigSet = INTERRUPTS.into_iter().collect();
        let mask = all.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Self { signals, mask })
    }

    fn has_come(&self) -> bool {
        let mut polled = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // It can't fail with a mask that the kernel gave.
        let _ = self.mask.thread_set_mask();
    }
}
