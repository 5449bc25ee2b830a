//! An existing container, as commands after `create` find it: its record, its init, its tear-down.

pub(crate) mod annotations;
pub(crate) mod find;
pub(crate) mod hooks;
pub(crate) mod poststart;
pub(crate) mod record;
pub(crate) mod remove;
pub(crate) mod status;

use self::hooks::State;
use self::record::{CONFIG, EXEC_FIFO, Record};
use crate::{Explain, Result};
use oci_spec::runtime::Spec;
use state::{Entry, Identity};
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::libc::SIGKILL;
use sys::nix::sys::stat::fstat;

/// A container, with its record as it was when the container was found.
#[derive(Debug)]
pub(crate) struct Container {
    pub entry: Entry,
    pub record: Record,
    /// Its init; pid 0 before there is one.
    pub init: Identity,
}

impl Container {
    /// Whether its processes are frozen.
    pub fn is_frozen(&self) -> bool {
        self.record.cgroup.is_frozen().unwrap_or(false)
    }

    /// Fails if the container has been deleted since it was found.
    pub fn check_exists(&self) -> Result<()> {
        let directory = fstat(self.entry.directory()).within("looking at the state")?;
        match directory.st_nlink {
            0 => Err(state::not_found(self.entry.id())),
            _ => Ok(()),
        }
    }

    /// Opens the fifo that init waits at; `ENXIO` or `ENOENT` if init does not wait.
    pub fn open_fifo(&self) -> sys::Result<OwnedFd> {
        self.entry.open_file(EXEC_FIFO, OFlag::O_WRONLY | OFlag::O_NONBLOCK)
    }

    /// A pidfd of init; `ESRCH` if init has ended.
    pub fn init_process(&self) -> sys::Result<OwnedFd> {
        let pidfd = self.init.pidfd()?;
        if self.init.is_alive() { Ok(pidfd) } else { Err(Errno::ESRCH) }
    }

    /// Sends a signal to init; `ESRCH` if it has ended. A frozen init is thawed, so that SIGKILL
    /// ends it.
    pub fn signal_init(&self, signal: i32) -> sys::Result<()> {
        let init = self.init_process()?;
        sys::process::pidfd_send_signal(&init, signal)?;
        if signal == SIGKILL && self.is_frozen() {
            // The signal is sent all the same: init dies as soon as anything else thaws it.
            let _ = self.record.cgroup.thaw();
        }
        Ok(())
    }

    /// The config that it was created by.
    pub fn spec(&self) -> Result<Spec> {
        let text = self.entry.read_file(CONFIG)?;
        spec::parse(&text, Path::new("config.json"), &mut Vec::new())
    }

    /// What hooks get on stdin, with this status.
    pub fn hook_state(&self, status: &'static str) -> State {
        self.record.hook_state(self.entry.id(), self.init.pid, status)
    }
}
