//! The end that `run` and `restore` have in common: the program runs, and what is left is to run the
//! poststart hooks, and in the foreground to supervise the program and to remove its container.

use super::supervise::{Supervised, Supervisor};
use crate::container::Container;
use crate::container::poststart::run_poststart;
use crate::container::remove::{kill_and_reap, remove_or_warn};
use crate::host::notify::Listener;
use crate::{Result, Runtime};
use std::os::fd::OwnedFd;

/// A container whose program runs. Init is rind's child, and rind still has the lock.
pub(crate) struct Started<'a> {
    pub container: &'a Container,
    pub init: Supervised<'a>,
    /// The end of the console socket that the terminal's master comes over; none without a terminal,
    /// and where somebody else gets it.
    pub console: Option<&'a OwnedFd>,
    /// Where the container tells that it is ready, if a service manager wants to know.
    pub listener: Option<Listener>,
}

impl Started<'_> {
    /// Gives the program's exit status (128 + N for signal N), or without a supervisor 0, as soon as
    /// the program is left running. In the foreground the container is removed afterwards, unless
    /// `keep` is set; where that fails it is a warning, and the program's exit status is not lost.
    pub fn finish(
        self,
        runtime: &Runtime,
        supervisor: Option<Supervisor>,
        keep: bool,
    ) -> Result<i32> {
        let Self { container, init, console, listener } = self;
        // From here on it is a running container, which other commands may change, and even delete.
        container.entry.unlock()?;
        run_poststart(runtime, container)?;
        let Some(supervisor) = supervisor else {
            if let Some(listener) = listener {
                listener.forward_ready(runtime, init.pid, init.pidfd)?;
            }
            return Ok(0);
        };
        let ended = supervisor.forwarding_ready(runtime, listener).run(init, console);
        if ended.is_err() {
            kill_and_reap(init.pidfd);
        }
        if !keep {
            remove_or_warn(runtime, container);
        }
        Ok(ended?.code())
    }
}
