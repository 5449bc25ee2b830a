//! A container that is there: finding it, what it is doing, and `state`.

use crate::hooks::State;
use crate::record::{EXEC_FIFO, NEW_FIFO, Record};
use crate::{Result, Runtime};
use serde::Serialize;
use state::{Entry, Identity};
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::fstat;

/// A container, with its record as it was when it was found.
#[derive(Debug)]
pub(crate) struct Container {
    pub entry: Entry,
    pub record: Record,
    /// Its first process; of pid 0 before there is one.
    pub init: Identity,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// Its init waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its init has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// `state ID`: what the container is, as JSON.
pub fn state(runtime: &Runtime, id: &str) -> Result<String> {
    let container = find(runtime, id)?;
    let description = container.describe();
    serde_json::to_string_pretty(&description)
        .map_err(|error| crate::Error::new(format!("printing the state: {error}")))
}

/// The container `id`.
pub(crate) fn find(runtime: &Runtime, id: &str) -> Result<Container> {
    state::check_id(id)?;
    let store = match runtime.store() {
        // Where there is no store there is no container either.
        Err(_) if !runtime.root.exists() => return Err(state::Error::NotFound(id.into()).into()),
        store => store?,
    };
    open(store.get(id)?)
}

/// The container `id`, which no other command changes as long as this lives.
pub(crate) fn find_locked(runtime: &Runtime, id: &str) -> Result<Container> {
    let Container { entry, .. } = find(runtime, id)?;
    entry.lock()?;
    // Whoever had the lock may have changed it.
    open(entry)
}

pub(crate) fn open(entry: Entry) -> Result<Container> {
    let (record, init) = read(&entry)?;
    Ok(Container { entry, record, init })
}

/// What is known of a container.
pub(crate) fn read(entry: &Entry) -> Result<(Record, Identity)> {
    Ok((entry.read()?, entry.init()?))
}

/// What `state` and `list` tell of a container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description<'a> {
    pub oci_version: &'a str,
    pub id: &'a str,
    pub pid: i32,
    #[serde(serialize_with = "as_text")]
    pub status: Status,
    pub bundle: &'a Path,
    pub rootfs: &'a Path,
    pub created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
    pub owner: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn as_text<S: serde::Serializer>(
    status: &Status,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(status)
}

impl Container {
    /// What it is doing, as the kernel knows it.
    pub fn status(&self) -> Status {
        self.status_if_made(|| self.entry.is_locked())
    }

    /// The same for a command that has the lock, so that no other can be making the container.
    pub fn status_under_lock(&self) -> Status {
        self.status_if_made(|| false)
    }

    /// `is_locked` tells whether some other command is at it.
    fn status_if_made(&self, is_locked: impl Fn() -> bool) -> Status {
        if !self.init.is_alive() {
            // A command that is at it has the lock, and no init yet.
            let making = self.init.pid == 0 && is_locked();
            return if making { Status::Creating } else { Status::Stopped };
        }
        // The lock alone doesn't tell: other commands take it as well. And of what runs, a killed
        // `run` may have left the fifo's name.
        let is_being_made =
            || (self.entry.has(NEW_FIFO) || is_locked()) && !self.init.has_executed();
        match self.open_fifo() {
            Ok(_) if self.is_frozen() => Status::Paused,
            Ok(_) => Status::Created,
            // Not yet under that name, or `run` has not come to the program.
            Err(Errno::ENOENT) if is_being_made() => Status::Creating,
            Err(_) if self.is_frozen() => Status::Paused,
            Err(_) => Status::Running,
        }
    }

    /// Whether its processes are frozen.
    pub fn is_frozen(&self) -> bool {
        self.record.cgroup.is_frozen().unwrap_or(false)
    }

    /// An error if it has been deleted since it was found.
    pub fn check_exists(&self) -> Result<()> {
        let directory = fstat(self.entry.directory())
            .map_err(|errno| crate::Error::call("looking at the state", errno))?;
        match directory.st_nlink {
            0 => Err(state::Error::NotFound(self.entry.id().to_owned()).into()),
            _ => Ok(()),
        }
    }

    /// The fifo that init waits on; `ENXIO` or `ENOENT` when it does not.
    pub fn open_fifo(&self) -> sys::Result<OwnedFd> {
        self.entry.open_file(EXEC_FIFO, OFlag::O_WRONLY | OFlag::O_NONBLOCK)
    }

    /// A descriptor for init; `ESRCH` if it is gone.
    pub fn init_process(&self) -> sys::Result<OwnedFd> {
        let pidfd = self.init.pidfd()?;
        if self.init.is_alive() { Ok(pidfd) } else { Err(Errno::ESRCH) }
    }

    pub fn describe(&self) -> Description<'_> {
        let status = self.status();
        Description {
            oci_version: &self.record.oci_version,
            id: self.entry.id(),
            pid: if status == Status::Stopped { 0 } else { self.init.pid },
            status,
            bundle: &self.record.bundle,
            rootfs: &self.record.rootfs,
            created: &self.record.created,
            annotations: &self.record.annotations,
            owner: String::new(),
        }
    }

    /// What hooks are told.
    pub fn hook_state(&self, status: &'static str) -> State {
        State {
            oci_version: self.record.oci_version.clone(),
            id: self.entry.id().to_owned(),
            bundle: self.record.bundle.clone(),
            annotations: self.record.annotations.clone(),
            status: status.to_owned(),
            pid: self.init.pid,
        }
    }
}
