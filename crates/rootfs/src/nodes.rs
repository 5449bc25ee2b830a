//! Device nodes as detached mounts: clones of the host's, which a container must never be able to
//! change, and new nodes that only the host's side may make.

use crate::filesystem::{clone_tree, mount_simple};
use crate::layout::DevicePlan;
use crate::options::MountLabel;
use crate::target::find;
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use sys::Errno;
use sys::credentials::{self, Gid, Uid};
use sys::fs::{LeakyFd, file_type};
use sys::mount::{self, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, Attr, Attributes, Depth};
use sys::nix::sys::stat::{
    FchmodatFlags, FileStat, SFlag, fchmodat, fstat, lstat, major, minor, mknodat,
};

/// The attributes for mounts of the host's files that the container must not change: a read-only
/// mount protects mode, owner and times. A process can still open a device for writing.
pub(crate) const HARMLESS: Attr = ATTR_RDONLY.union(ATTR_NOSUID).union(ATTR_NOEXEC);

/// Clones the host's node at `path`, so that nothing can change its mode, owner and times through
/// the clone. Clones a link itself.
pub(crate) fn clone_node(path: &CStr) -> sys::Result<LeakyFd> {
    let harmless = Attributes { set: HARMLESS, ..Attributes::default() };
    clone_tree(path, Depth::One, Some(&harmless), true).map(LeakyFd::from)
}

/// Clones the host's null device, after checking that it is one.
pub fn clone_null() -> sys::Result<LeakyFd> {
    let null = clone_node(c"/dev/null")?;
    if is_null(&fstat(&null)?) { Ok(null) } else { Err(Errno::ENODEV) }
}

/// Whether `stat` is of a null device, wherever it is.
#[must_use]
pub fn is_null(stat: &FileStat) -> bool {
    file_type(stat) == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
}

/// Protects nodes of the host's that criu has mounted at `paths` below `root`, as `clone_node`
/// does. The container's processes must not run yet.
pub fn protect_nodes<'a>(
    root: BorrowedFd,
    paths: impl Iterator<Item = &'a Path>,
) -> sys::Result<()> {
    let harmless = Attributes { set: HARMLESS, ..Attributes::default() };
    for path in paths {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
        let node = match find(root, &path) {
            Err(Errno::ENOENT) => continue,
            found => found?,
        };
        let is_device = matches!(file_type(&fstat(&node)?), SFlag::S_IFCHR | SFlag::S_IFBLK);
        if is_device && sys::fs::mount_facts(&node)?.is_root {
            mount::mount_setattr(&node, Depth::One, &harmless)?;
        }
    }
    Ok(())
}

/// A device by its type and number.
#[derive(Clone, Copy)]
pub(crate) struct Device {
    pub kind: SFlag,
    pub number: u64,
}

impl From<&DevicePlan> for Device {
    fn from(plan: &DevicePlan) -> Self {
        Self { kind: plan.kind, number: plan.number }
    }
}

impl Device {
    /// Whether `stat` is of this device; a fifo has no number.
    pub fn is(self, stat: &FileStat) -> bool {
        let kind = file_type(stat);
        kind == self.kind && (kind == SFlag::S_IFIFO || stat.st_rdev == self.number)
    }
}

/// Makes the node of `plan` as a detached mount, for a container that may not make it and a host
/// that hasn't got it. `None` if rind may not make it either, or if the kernel doesn't clone a part
/// of a detached mount (before Linux 6.15).
pub(crate) fn make_detached(
    plan: &DevicePlan,
    (user, group): (Option<Uid>, Option<Gid>),
    label: Option<&MountLabel>,
) -> sys::Result<Option<OwnedFd>> {
    let make = || {
        let label = label.map(MountLabel::parameter);
        let tmpfs = mount_simple(c"tmpfs", label.as_slice(), ATTR_NOSUID | ATTR_NOEXEC)?;
        let name = c"node";
        mknodat(&tmpfs, name, plan.kind, plan.mode, plan.number)?;
        // The caller's umask has applied to the mode.
        fchmodat(&tmpfs, name, plan.mode, FchmodatFlags::FollowSymlink)?;
        if let Some(user) = user {
            credentials::give_at(&tmpfs, name, user, group)?;
        }
        mount::open_tree(&tmpfs, name, Depth::One, false)
    };
    match make() {
        Err(Errno::EINVAL | Errno::EPERM) => Ok(None),
        node => node.map(Some),
    }
}

/// Whether the host has the device at the same path.
pub(crate) fn host_has(plan: &DevicePlan) -> bool {
    lstat(plan.path.as_c_str()).is_ok_and(|found| Device::from(plan).is(&found))
}
