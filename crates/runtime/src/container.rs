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
use crate::{Error, Explain, Result};
use oci_spec::runtime::Spec;
use state::{Entry, Identity};
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::Errno;
use sys::nix::fcntl::OFlag;
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
    pub fn is_frozen(&self) -> Result<bool> {
        self.record.cgroup.is_frozen()
    }

    /// Fails if the container has been deleted since it was found.
    pub fn check_exists(&self) -> Result<()> {
        let directory = fstat(self.entry.directory()).within("looking at the state")?;
        match directory.st_nlink {
            0 => Err(state::not_found(self.entry.id())),
            _ => Ok(()),
        }
    }

    /// The error that others have removed one of the container's cgroups, if they have.
    pub fn missing_cgroup(&self) -> Option<Error> {
        let gone = self.record.cgroup.missing()?;
        Some(Error::new(format!("the container's cgroup {gone} is gone")).with_object(gone))
    }

    /// Opens the fifo that init waits at; none if init does not wait.
    pub fn open_fifo(&self) -> Result<Option<OwnedFd>> {
        match self.try_open_fifo() {
            Err(Errno::ENXIO | Errno::ENOENT) => Ok(None),
            opened => opened.map(Some).on("opening the", "exec fifo"),
        }
    }

    /// The same, for a caller to whom it matters that there is no fifo (`ENOENT`).
    fn try_open_fifo(&self) -> sys::Result<OwnedFd> {
        self.entry.open_file(EXEC_FIFO, OFlag::O_WRONLY | OFlag::O_NONBLOCK)
    }

    /// A pidfd of init; `ESRCH` if init has ended.
    pub fn init_process(&self) -> sys::Result<OwnedFd> {
        let pidfd = self.init.pidfd()?;
        if self.init.is_alive()? { Ok(pidfd) } else { Err(Errno::ESRCH) }
    }

    /// [`Self::init_process`], where an init that has ended is an error of its own.
    pub fn running_init(&self) -> Result<OwnedFd> {
        match self.init_process() {
            Err(Errno::ESRCH) => Err(Error::not_running()),
            init => init.within("looking for init"),
        }
    }

    /// Sends a signal to init; `ESRCH` if it has ended.
    pub fn signal_init(&self, signal: i32) -> sys::Result<()> {
        let init = self.init_process()?;
        sys::process::pidfd_send_signal(&init, signal)
    }

    /// Thaws an init that has been sent SIGKILL and is frozen, so that the signal ends it.
    pub fn thaw_killed(&self) -> Result<()> {
        let lives = || self.init.is_alive().within("looking whether init runs");
        let cgroup = &self.record.cgroup;
        let thaw = |frozen| if frozen { cgroup.thaw_living(lives) } else { Ok(()) };
        match self.is_frozen().and_then(thaw) {
            Err(error) if error.errno().is_some() => {
                Err(error.within("SIGKILL is sent, but ends no init that is frozen"))
            }
            // If a cgroup above is frozen, init ends as soon as somebody thaws that.
            _ => Ok(()),
        }
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
