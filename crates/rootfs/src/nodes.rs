//! Device nodes as detached mounts: clones of the host's, which a container can't change, and new
//! ones where only the host's side may make them.

use crate::filesystem::{clone_tree, mount_simple};
use crate::layout::DevicePlan;
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

/// How a file of the host's is bound that is not for the container to change: through a read-only
/// mount its mode, owner and times can't be. A device can still be opened for writing.
pub(crate) const HARMLESS: Attr = ATTR_RDONLY.union(ATTR_NOSUID).union(ATTR_NOEXEC);

/// A clone of the host's node at `path` that its mode, owner and times can't be changed by. A link
/// is cloned as what it is.
pub(crate) fn clone_node(path: &CStr) -> sys::Result<LeakyFd> {
    let harmless = Attributes { set: HARMLESS, ..Attributes::default() };
    clone_tree(path, Depth::One, Some(&harmless), true).map(LeakyFd::from)
}

/// A clone of the host's null device, which the container has no part in; checked to be one.
pub fn clone_null() -> sys::Result<LeakyFd> {
    let null = clone_node(c"/dev/null")?;
    if is_null(&fstat(&null)?) { Ok(null) } else { Err(Errno::ENODEV) }
}

/// Whether `stat` is of a null device, wherever it is.
#[must_use]
pub fn is_null(stat: &FileStat) -> bool {
    file_type(stat) == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
}

/// Has nodes of the host's that are mounted at these paths below `root` be as [`clone_node`] makes
/// them, where somebody else has mounted them: the container's processes don't run yet.
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

/// A device, as the kernel tells it apart.
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
    /// Whether `stat` is of this device; a fifo has no numbers.
    pub fn is(self, stat: &FileStat) -> bool {
        let kind = file_type(stat);
        kind == self.kind && (kind == SFlag::S_IFIFO || stat.st_rdev == self.number)
    }
}

/// Makes a node for a container that may not and whose host has none at that path, as a detached
/// mount. `None` where the kernel does not clone what is mounted nowhere (before Linux 6.15), or we
/// may not make it either.
pub(crate) fn make_detached(
    plan: &DevicePlan,
    (user, group): (Option<Uid>, Option<Gid>),
) -> sys::Result<Option<OwnedFd>> {
    let make = || {
        let (tmpfs, name) = (mount_simple(c"tmpfs", &[], ATTR_NOSUID | ATTR_NOEXEC)?, c"node");
        mknodat(&tmpfs, name, plan.kind, plan.mode, plan.number)?;
        // The umask is the caller's.
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

/// Whether the host has that device at its path.
pub(crate) fn host_has(plan: &DevicePlan) -> bool {
    lstat(plan.path.as_c_str()).is_ok_and(|found| Device::from(plan).is(&found))
}
