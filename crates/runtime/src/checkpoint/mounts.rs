//! Mounts for criu, each in another mount namespace than the host's.

use crate::{Error, Explain, Result};
use process::mounts::in_other_mounts;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::{ATTR_RDONLY, Attributes, Depth, Propagation};
use sys::nix::mount::{MsFlags, mount};
use sys::nix::sched::{CloneFlags, setns, unshare};

/// Runs `task` in a new mount namespace, in which the root file system `rootfs` is mounted at
/// `root`: criu needs a mount point with no mount over it. Processes that `task` starts stay in the
/// namespace.
pub(crate) fn in_own_mounts<T>(
    rootfs: &Path,
    root: &Path,
    task: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let enter = || {
        let none = Option::<&str>::None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        sys::mount::set_propagation(c"/", Propagation::Slave, Depth::Tree)?;
        mount(Some(rootfs), root, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
    };
    let step = || format!("mounting root.path {} for criu", rootfs.display());
    in_other_mounts(
        || enter().map_err(|errno| Error::call(step(), errno).with_object("root.path")),
        task,
    )
}

/// Makes the root of the restored container read-only, if `read_only_root`, and protects the host's
/// device nodes in it (`nodes`). criu does not restore the attributes of the root, and if one path
/// has several bind mounts, it restores those of the first only. `pid` is that of init. No process
/// of the container runs yet.
pub(crate) fn make_read_only(pid: i32, read_only_root: bool, nodes: &[PathBuf]) -> Result<()> {
    let mounts = open(&format!("/proc/{pid}/ns/mnt"))?;
    let enter =
        || setns(&mounts, CloneFlags::CLONE_NEWNS).within("joining the restored mount namespace");
    in_other_mounts(enter, || {
        let root = open("/")?;
        rootfs::protect_nodes(root.as_fd(), nodes.iter().map(PathBuf::as_path))
            .within("making restored nodes of the host's read-only")?;
        if !read_only_root {
            return Ok(());
        }
        let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        sys::mount::mount_setattr(root, Depth::One, &read_only).map_err(|errno| {
            Error::call("making root.path read-only", errno).with_object("root.path")
        })
    })
}

pub(crate) fn open(path: &str) -> Result<OwnedFd> {
    File::open(path).map(OwnedFd::from).on("opening", path)
}
