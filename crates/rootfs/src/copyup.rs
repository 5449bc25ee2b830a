//! `tmpcopyup`: copies what the image has at a mount point into the new tmpfs. Walks both sides by
//! descriptors, and must neither follow a link nor open a device of the image.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use sys::Errno;
use sys::credentials::{self, Id};
use sys::fs::{LeakyFd, file_type, open_listed, openat};
use sys::mount::{self, ATTR_NODEV, Attributes, Depth};
use sys::nix::fcntl::{AtFlags, OFlag, readlinkat};
use sys::nix::sys::sendfile::sendfile;
use sys::nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat,
};
use sys::nix::unistd::symlinkat;

/// Copies the content of the directory `from` (`O_PATH`) to the directory `to`.
///
/// Reads from a clone with `nodev`: another process that can write to the directory may replace a
/// file that this is about to open by a device.
pub(crate) fn fill(from: impl AsFd, to: impl AsFd) -> sys::Result<()> {
    let no_devices = Attributes { set: ATTR_NODEV, ..Attributes::default() };
    let clone = mount::open_tree_with(from, c"", Depth::Tree, &no_devices).map(LeakyFd::from)?;
    copy(clone, to)
}

fn copy(from: impl AsFd, to: impl AsFd) -> sys::Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let mut entries = open_listed(from, c".")?;
    let names: sys::Result<Vec<_>> =
        entries.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect();
    for name in names? {
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            copy_entry(from, to, &name)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd, to: BorrowedFd, name: &CStr) -> sys::Result<()> {
    let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = file_type(&stat);
    let mode = Mode::from_bits_truncate(stat.st_mode);
    match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, mode)?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let [inner, copied] = [from, to].map(|dir| openat(dir, name, flags, Mode::empty()));
            copy(inner?, copied?)?;
        }
        SFlag::S_IFREG => copy_file(from, to, name, &stat)?,
        SFlag::S_IFLNK => symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?,
        _ => mknodat(to, name, kind, mode, stat.st_rdev)?,
    }
    let owner = Id::new(stat.st_uid).ok_or(Errno::EOVERFLOW)?;
    let group = Id::new(stat.st_gid).ok_or(Errno::EOVERFLOW)?;
    credentials::give_at(to, name, owner, Some(group))?;
    if kind != SFlag::S_IFLNK {
        // Must follow the change of owner, which clears the set-user-ID bit.
        fchmodat(to, name, mode, FchmodatFlags::FollowSymlink)?;
    }
    Ok(())
}

fn copy_file(from: BorrowedFd, to: BorrowedFd, name: &CStr, stat: &FileStat) -> sys::Result<()> {
    let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let source = openat(from, name, read, Mode::empty())?;
    let copied = openat(to, name, write, Mode::from_bits_truncate(0o600))?;
    let mut left = usize::try_from(stat.st_size).unwrap_or(0);
    while left > 0 {
        let (copied, source) = (copied.as_fd(), source.as_fd());
        match sys::uninterrupted(|| sendfile(copied, source, None, left))? {
            0 => break,
            sent => left = left.saturating_sub(sent),
        }
    }
    Ok(())
}
