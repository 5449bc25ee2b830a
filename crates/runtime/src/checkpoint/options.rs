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
    /// Options of criu that rind only passes on.
    pub switches: Vec<Switch>,
    /// What criu does with cgroups.
    pub cgroup_mode: CgroupMode,
}

/// The options of `checkpoint`.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    /// The container's name.
    pub id: String,
    /// The options for criu.
    pub criu: CriuOptions,
    /// The directory of an earlier image, relative to this one's. Memory that has not changed since
    /// is left out.
    pub parent: Option<PathBuf>,
    /// Whether to dump only memory, and let the container run.
    pub pre_dump: bool,
    /// The address and port that memory is sent to, or with [`Switch::LazyPages`] is fetched at.
    pub page_server: Option<(String, u16)>,
    /// A descriptor that gets a NUL byte once memory can be fetched.
    pub status_fd: Option<i32>,
}

impl CheckpointOptions {
    pub(crate) fn has(&self, switch: Switch) -> bool {
        self.criu.switches.contains(&switch)
    }

    /// Whether the container runs on afterwards.
    pub(crate) fn keeps(&self) -> bool {
        self.pre_dump || self.has(Switch::LeaveRunning)
    }
}

/// The options of `restore`.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The container, as for `create`: its name, bundle, console socket, pid file, cgroups.
    pub create: CreateOptions,
    /// Whether and how rind supervises it.
    pub run: RunOptions,
    /// The options for criu.
    pub criu: CriuOptions,
    /// Another security label than the processes had, `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// Another context than the mounts had.
    pub lsm_mount_context: Option<String>,
}
