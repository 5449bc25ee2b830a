//! Doing things in another mount namespace than the host's.

use crate::{Error, Result};
use process::mounts::in_other_mounts;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::mount::{ATTR_RDONLY, Attributes, Depth};
use sys::nix::libc::MS_SLAVE;
use sys::nix::mount::{MsFlags, mount};
use sys::nix::sched::{CloneFlags, setns, unshare};

/// Does `task` in a mount namespace of our own, in which the root file system is a mount at `root`:
/// criu wants it to be one, and nothing over the mount that it is on. What `task` starts stays there.
pub(crate) fn in_own_mounts<T>(
    rootfs: &Path,
    root: &Path,
    task: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let enter = || {
        let none = Option::<&str>::None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        sys::mount::set_propagation(c"/", MS_SLAVE, Depth::Tree)?;
        mount(Some(rootfs), root, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
    };
    let failed =
        |errno| Error::call(format!("mounting root.path {} for criu", rootfs.display()), errno);
    in_other_mounts(|| enter().map_err(failed), task)
}

/// Has the root of the restored container read-only, as criu restores every mount's attributes but
/// the root's. Its processes don't run yet.
pub(crate) fn protect_root(pid: i32) -> Result<()> {
    let failed = |errno| Error::call("making root.path read-only", errno);
    let path = format!("/proc/{pid}/ns/mnt");
    let mounts = open(&path)?;
    let enter = || setns(&mounts, CloneFlags::CLONE_NEWNS).map_err(failed);
    in_other_mounts(enter, || {
        let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        sys::mount::mount_setattr(open("/")?, Depth::One, &read_only).map_err(failed)
    })
}

pub(crate) fn open(path: &str) -> Result<OwnedFd> {
    let opened = File::open(path).map(OwnedFd::from);
    opened.map_err(|error| Error::new(format!("opening {path}: {}", sys::answer(&error))))
}
