//! The mount calls by descriptor: `open_tree`, `move_mount`, `fsopen`, `fsconfig`, `fsmount`, `mount_setattr`.
//!
//! Signatures and meanings are those of the man pages of the same names.

use crate::{Errno, Result, check, owned, uninterrupted};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

bitflags::bitflags! {
    /// Attributes of a mount, the `ATTR_*` of this module.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attr: u64 {
        const _ = !0;
    }
}

macro_rules! attributes {
    ($($name:ident = $kernels:ident,)*) => {
        $(#[doc = concat!("`", stringify!($kernels), "` (`mount_setattr(2)`).")]
        pub const $name: Attr = Attr::from_bits_retain(libc::$kernels);)*
    };
}
attributes! {
    ATTR_ATIME_MASK = MOUNT_ATTR__ATIME,
    ATTR_IDMAP = MOUNT_ATTR_IDMAP,
    ATTR_NOATIME = MOUNT_ATTR_NOATIME,
    ATTR_NODEV = MOUNT_ATTR_NODEV,
    ATTR_NODIRATIME = MOUNT_ATTR_NODIRATIME,
    ATTR_NOEXEC = MOUNT_ATTR_NOEXEC,
    ATTR_NOSUID = MOUNT_ATTR_NOSUID,
    ATTR_NOSYMFOLLOW = MOUNT_ATTR_NOSYMFOLLOW,
    ATTR_RDONLY = MOUNT_ATTR_RDONLY,
    ATTR_RELATIME = MOUNT_ATTR_RELATIME,
    ATTR_STRICTATIME = MOUNT_ATTR_STRICTATIME,
}

/// Where mounts in a mount also appear (`mount_namespaces(7)`).
#[repr(u64)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// As before.
    #[default]
    Kept = 0,
    /// `MS_PRIVATE`.
    Private = libc::MS_PRIVATE,
    /// `MS_SHARED`.
    Shared = libc::MS_SHARED,
    /// `MS_SLAVE`.
    Slave = libc::MS_SLAVE,
    /// `MS_UNBINDABLE`.
    Unbindable = libc::MS_UNBINDABLE,
}

const OPEN_TREE_CLONE: libc::c_int = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_SET_FD: libc::c_uint = 5;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSCONFIG_CMD_RECONFIGURE: libc::c_uint = 7;

/// Whether a call is for one mount or for the whole tree below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only this mount.
    One,
    /// This mount and all below it (`AT_RECURSIVE`).
    Tree,
}

impl Depth {
    fn flag(self) -> libc::c_int {
        match self {
            Self::One => 0,
            Self::Tree => libc::AT_RECURSIVE,
        }
    }
}

/// Clones the mount that `path` (below `dir`) is on, rooted at `path`, as a detached mount.
///
/// An empty `path` means `dir` itself. A symlink at the end is followed unless `nofollow`.
pub fn open_tree(dir: impl AsFd, path: &CStr, depth: Depth, nofollow: bool) -> Result<OwnedFd> {
    let (fd, flags) = (dir.as_fd().as_raw_fd(), clone_flags(path, depth, nofollow));
    // SAFETY: `path` is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, fd, path.as_ptr(), flags) })
}

fn clone_flags(path: &CStr, depth: Depth, nofollow: bool) -> libc::c_int {
    let this = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    let link = if nofollow { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    OPEN_TREE_CLONE | libc::O_CLOEXEC | depth.flag() | this | link
}

/// [`open_tree`], with `attributes` changed on the clone before anyone can see it.
///
/// `depth` counts for the clone and for the change alike. One call where the kernel has
/// `open_tree_attr` (Linux 6.15), else two.
pub fn open_tree_with(
    dir: impl AsFd,
    path: &CStr,
    depth: Depth,
    attributes: &Attributes,
) -> Result<OwnedFd> {
    open_tree_changed(dir, path, depth, attributes, false)
}

/// [`open_tree_with`], but a symlink at the end of `path` is not followed.
pub fn open_tree_with_nofollow(
    dir: impl AsFd,
    path: &CStr,
    depth: Depth,
    attributes: &Attributes,
) -> Result<OwnedFd> {
    open_tree_changed(dir, path, depth, attributes, true)
}

fn open_tree_changed(
    dir: impl AsFd,
    path: &CStr,
    depth: Depth,
    attributes: &Attributes,
    nofollow: bool,
) -> Result<OwnedFd> {
    /// The same number on every architecture.
    const SYS_OPEN_TREE_ATTR: libc::c_long = 467;
    static MISSING: AtomicBool = AtomicBool::new(false);
    let flags = clone_flags(path, depth, nofollow);
    if !MISSING.load(Ordering::Relaxed) {
        let (fd, size) = (dir.as_fd().as_raw_fd(), size_of::<Attributes>());
        let attributes = ptr::from_ref(attributes);
        // SAFETY: `path` is a C string, `attributes` has the kernel's layout and `size` its size.
        let cloned = owned(unsafe {
            libc::syscall(SYS_OPEN_TREE_ATTR, fd, path.as_ptr(), flags, attributes, size)
        });
        match cloned {
            Err(Errno::ENOSYS) => MISSING.store(true, Ordering::Relaxed),
            // A filter around us may not know the call either: then the two below tell.
            Err(Errno::EPERM) => {}
            cloned => return cloned,
        }
    }
    let tree = open_tree(dir, path, depth, nofollow)?;
    mount_setattr(&tree, depth, attributes)?;
    Ok(tree)
}

/// Attaches the detached `mount` on `path` below `dir`; an empty `path` means `dir` itself.
///
/// A symlink at the end of `path` is not followed.
pub fn move_mount(mount: impl AsFd, dir: impl AsFd, path: &CStr) -> Result<()> {
    move_mount_flags(mount, dir, path, 0)
}

/// [`move_mount`], but a symlink at the end of `path` is followed.
pub fn move_mount_follow(mount: impl AsFd, dir: impl AsFd, path: &CStr) -> Result<()> {
    const MOVE_MOUNT_T_SYMLINKS: libc::c_uint = 0x10;
    move_mount_flags(mount, dir, path, MOVE_MOUNT_T_SYMLINKS)
}

fn move_mount_flags(
    mount: impl AsFd,
    dir: impl AsFd,
    path: &CStr,
    flags: libc::c_uint,
) -> Result<()> {
    let mut flags = flags | MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MOVE_MOUNT_T_EMPTY_PATH;
    }
    let (from, to) = (mount.as_fd().as_raw_fd(), dir.as_fd().as_raw_fd());
    // SAFETY: both paths are C strings that outlive the call.
    check(unsafe {
        libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, path.as_ptr(), flags)
    })?;
    Ok(())
}

/// Opens a context to configure a new file system of type `name`.
pub fn fsopen(name: &CStr) -> Result<OwnedFd> {
    // SAFETY: `name` is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) })
}

fn fsconfig(
    fs: BorrowedFd,
    command: libc::c_uint,
    key: Option<&CStr>,
    value: Option<&CStr>,
    aux: libc::c_int,
) -> Result<()> {
    let fd = fs.as_raw_fd();
    let key = key.map_or(ptr::null(), CStr::as_ptr);
    let value = value.map_or(ptr::null(), CStr::as_ptr);
    // A signal breaks off the wait for the context, before anything is done.
    uninterrupted(|| {
        // SAFETY: `key` and `value` are null or C strings that outlive the call.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, aux) })
    })?;
    Ok(())
}

/// Sets the parameter `key` of a file system context to `value`.
pub fn fsconfig_string(fs: impl AsFd, key: &CStr, value: &CStr) -> Result<()> {
    fsconfig(fs.as_fd(), FSCONFIG_SET_STRING, Some(key), Some(value), 0)
}

/// Sets the parameter `key` of a file system context, which takes no value.
pub fn fsconfig_flag(fs: impl AsFd, key: &CStr) -> Result<()> {
    fsconfig(fs.as_fd(), FSCONFIG_SET_FLAG, Some(key), None, 0)
}

/// Sets the parameter `key` of a file system context to what `value` is a descriptor of.
pub fn fsconfig_descriptor(fs: impl AsFd, key: &CStr, value: impl AsFd) -> Result<()> {
    fsconfig(fs.as_fd(), FSCONFIG_SET_FD, Some(key), None, value.as_fd().as_raw_fd())
}

/// Makes the superblock that a context describes.
pub fn fsconfig_create(fs: impl AsFd) -> Result<()> {
    fsconfig(fs.as_fd(), FSCONFIG_CMD_CREATE, None, None, 0)
}

/// Applies changed parameters to the superblock of a context from [`fspick`].
pub fn fsconfig_reconfigure(fs: impl AsFd) -> Result<()> {
    fsconfig(fs.as_fd(), FSCONFIG_CMD_RECONFIGURE, None, None, 0)
}

/// Opens a context to reconfigure the file system that `mount` is the root of.
pub fn fspick(mount: impl AsFd) -> Result<OwnedFd> {
    const FSPICK_CLOEXEC: libc::c_uint = 1;
    const FSPICK_EMPTY_PATH: libc::c_uint = 8;
    let (fd, flags) = (mount.as_fd().as_raw_fd(), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    // SAFETY: the empty path is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_fspick, fd, c"".as_ptr(), flags) })
}

/// Makes a detached mount of a created file system, with `attributes`.
pub fn fsmount(fs: impl AsFd, attributes: Attr) -> Result<OwnedFd> {
    let (fd, attributes) = (fs.as_fd().as_raw_fd(), attributes.bits());
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes) })
}

/// What the kernel wrote about the last failure of a file system context, if anything.
#[must_use]
pub fn fs_log(fs: impl AsFd) -> Option<Vec<u8>> {
    let mut buffer = [0; 512];
    let n = nix::unistd::read(fs, &mut buffer).ok()?;
    let text = buffer.get(..n)?;
    Some(text.strip_prefix(b"e ").unwrap_or(text).trim_ascii().to_vec())
}

/// A change of attributes for [`mount_setattr`]; the layout is the kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// To set.
    pub set: Attr,
    /// To clear, before `set` is applied.
    pub clear: Attr,
    /// The propagation type.
    pub propagation: Propagation,
    /// The user namespace descriptor of an idmapped mount, where `set` has `ATTR_IDMAP`.
    pub userns_fd: u64,
}

/// Changes attributes of `mount`, or of the whole tree below it.
pub fn mount_setattr(mount: impl AsFd, depth: Depth, attributes: &Attributes) -> Result<()> {
    let (fd, flags) = (mount.as_fd().as_raw_fd(), libc::AT_EMPTY_PATH | depth.flag());
    let (path, attributes, size) =
        (c"".as_ptr(), ptr::from_ref(attributes), size_of::<Attributes>());
    // SAFETY: the path is a C string, `attributes` has the kernel's layout and `size` is its size.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, fd, path, flags, attributes, size) })?;
    Ok(())
}

/// Changes the propagation of the mount tree that `path` is the root of (mount(2) with `MS_REC`).
pub fn set_propagation(path: &CStr, propagation: Propagation, depth: Depth) -> Result<()> {
    let none = Option::<&CStr>::None;
    let mut flags = nix::mount::MsFlags::from_bits_retain(propagation as libc::c_ulong);
    if depth == Depth::Tree {
        flags |= nix::mount::MsFlags::MS_REC;
    }
    nix::mount::mount(none, path, none, flags, none)
}
