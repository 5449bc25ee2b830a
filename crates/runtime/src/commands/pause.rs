//! `pause` and `resume`: freezes the processes of a container, and thaws them.

use crate::container::find::find_locked;
use crate::container::status::Status;
use crate::{Error, Explain, Result, Runtime};
use std::os::fd::AsFd;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::nix::sys::signal::{SigSet, SigmaskHow, Signal};
use sys::nix::sys::signalfd::{SfdFlags, SignalFd};
use sys::process::poll;

/// The signals that interrupt a `pause`.
const INTERRUPTS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// `pause ID`: freezes a running or created container. Returns when all processes have stopped. If
/// that fails or a signal interrupts it, they are thawed again.
pub fn pause(runtime: &Runtime, id: &str) -> Result<()> {
    let container = find_locked(runtime, id)?;
    match container.status_under_lock()? {
        Status::Running | Status::Created => {}
        status => {
            return Err(status.refuse(id, format!("container not running or created: {status}")));
        }
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

/// `resume ID`: thaws a paused container.
pub fn resume(runtime: &Runtime, id: &str) -> Result<()> {
    let container = find_locked(runtime, id)?;
    match container.status_under_lock()? {
        Status::Paused => container.record.cgroup.thaw(),
        status => Err(status.refuse(id, format!("container not paused: {status}"))),
    }
}

/// Blocks [`INTERRUPTS`] until it is dropped, so that rind can undo a pause before they take effect.
/// Signals that rind ignores, as below nohup(1), stay ignored.
struct Interrupt {
    signals: SignalFd,
    mask: SigSet,
}

impl Interrupt {
    fn watch() -> Result<Self> {
        Self::try_watch().within("receiving signals")
    }

    fn try_watch() -> sys::Result<Self> {
        let ignored = sys::exec::ignored_signals();
        let is_ignored = |signal: &Signal| ignored & (1 << (*signal as u32 - 1)) != 0;
        let all: SigSet = INTERRUPTS.into_iter().filter(|one| !is_ignored(one)).collect();
        let mask = all.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, mask })
    }

    fn has_come(&self) -> bool {
        let mut polled = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // The kernel gave this mask, so it can't fail.
        let _ = self.mask.thread_set_mask();
    }
}
