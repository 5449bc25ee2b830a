//! The last steps of `run` and `restore`, once the program runs: rind runs the poststart hooks, and
//! in the foreground supervises the program and then removes its container.

use super::supervise::{Supervised, Supervisor};
use crate::container::Container;
use crate::container::poststart::run_poststart;
use crate::container::record::ENDED;
use crate::container::remove::{kill_and_reap, remove_or_warn, unlock_or_warn};
use crate::host::notify::Listener;
use crate::{Result, Runtime};
use std::os::fd::OwnedFd;

/// A container whose program runs. Init is rind's child, and rind still has the lock.
pub(crate) struct Started<'a> {
    pub container: &'a Container,
    pub init: Supervised<'a>,
    /// The end of the console socket that the terminal's master comes over. None if there is no
    /// terminal or somebody else gets the master.
    pub console: Option<&'a OwnedFd>,
    /// Where the container tells that it is ready, if a service manager wants to know.
    pub listener: Option<Listener>,
}

impl Started<'_> {
    /// Returns the program's exit status (128 + N for signal N). Without a supervisor it leaves the
    /// program running and returns 0 at once. With one it then removes the container, unless `keep`
    /// is set. A failure to remove it is a warning, so that the program's exit status is not lost.
    pub fn finish(
        self,
        runtime: &Runtime,
        supervisor: Option<Supervisor>,
        keep: bool,
    ) -> Result<i32> {
        let Self { container, init, console, listener } = self;
        // From here on other commands may change the running container, and even delete it.
        unlock_or_warn(runtime, container);
        run_poststart(runtime, container)?;
        // How long the program runs is its own affair.
        timing::stop();
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
        } else if let Ok(ended) = ended {
            // Nobody else will ever know. What deletes the container meanwhile takes the file along.
            let _ = container.entry.write_file(ENDED, ended.code().to_string().as_bytes());
        }
        Ok(ended?.code())
    }
}
