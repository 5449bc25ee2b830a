//! What `checkpoint` and `restore` are asked for.

use crate::create::options::{CreateOptions, RunOptions};
use ::criu::{CgroupMode, Switch};
use std::path::PathBuf;

/// What both commands are asked for.
#[derive(Clone, Debug)]
pub struct CriuOptions {
    /// criu: a path, or a name to look for in PATH.
    pub program: PathBuf,
    /// The directory of the image.
    pub images: PathBuf,
    /// The directory of log and statistics, where it is another one.
    pub work: Option<PathBuf>,
    /// What is handed on to criu as it is.
    pub switches: Vec<Switch>,
    /// What criu does with cgroups.
    pub cgroup_mode: CgroupMode,
}

/// What `checkpoint` is asked for.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    /// The container's name.
    pub id: String,
    /// What is asked of criu.
    pub criu: CriuOptions,
    /// The directory of an earlier image, relative to this one's: what has not changed since is left
    /// out.
    pub parent: Option<PathBuf>,
    /// To write down memory only, and let the container run.
    pub pre_dump: bool,
    /// Where memory is sent to, or with [`Switch::LazyPages`] where it is to be fetched.
    pub page_server: Option<(String, u16)>,
    /// A descriptor that gets a NUL byte once memory can be fetched.
    pub status_fd: Option<i32>,
}

impl CheckpointOptions {
    pub(crate) fn has(&self, switch: Switch) -> bool {
        self.criu.switches.contains(&switch)
    }

    /// Whether the container is there afterwards.
    pub(crate) fn keeps(&self) -> bool {
        self.pre_dump || self.has(Switch::LeaveRunning)
    }
}

/// What `restore` is asked for.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The container, as for `create`: its name, bundle, console socket, pid file, cgroups.
    pub create: CreateOptions,
    /// Whether and how it is looked after.
    pub run: RunOptions,
    /// What is asked of criu.
    pub criu: CriuOptions,
    /// Another security label than the processes had, `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// Another context than the mounts had.
    pub lsm_mount_context: Option<String>,
}
