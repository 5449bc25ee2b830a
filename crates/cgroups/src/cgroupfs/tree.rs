//! A cgroup with all those below it, however deep a container has nested them.
//!
//! A container may nest more deeply than a path can name or a stack can recurse, so the walk keeps
//! one directory open and goes up by "..", which a cgroup can't be moved away from.

use crate::file;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use sys::fs::openat;
use sys::nix::dir::{Dir, Type};
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::{Mode, fstat};
use sys::nix::unistd::{UnlinkatFlags, unlinkat};
use sys::{Errno, Result};

/// Calls `visit` with the cgroup at `path` and each below it.
pub(crate) fn visit(path: &str, mut visit: impl FnMut(&OwnedFd) -> Result<()>) -> Result<()> {
    walk(path, &mut visit, &mut |_, _| Ok(()))
}

/// Removes all cgroups below the one at `path`; `EBUSY` where one has processes.
pub(crate) fn remove_below(path: &str) -> Result<()> {
    let mut remove =
        |parent: &OwnedFd, name: &CStr| match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        };
    walk(path, &mut |_| Ok(()), &mut remove)
}

/// Whether cgroups are below the one at `path`.
pub(crate) fn has_children(path: &str) -> Result<bool> {
    Ok(!children(&file::try_open_directory(path)?)?.is_empty())
}

type Enter<'a> = &'a mut dyn FnMut(&OwnedFd) -> Result<()>;
type Leave<'a> = &'a mut dyn FnMut(&OwnedFd, &CStr) -> Result<()>;

/// Calls `enter` with the cgroup at `path` and each below it, and `leave` with each one below, by its
/// parent and its name, the deepest first. Passes over a cgroup that vanishes meanwhile.
fn walk(path: &str, enter: Enter, leave: Leave) -> Result<()> {
    let mut here = file::try_open_directory(path)?;
    enter(&here)?;
    let mut levels = vec![(CString::default(), children(&here)?)];
    while let Some((_, left)) = levels.last_mut() {
        let Some(name) = left.pop() else {
            let Some((name, _)) = levels.pop().filter(|_| !levels.is_empty()) else { break };
            here = open_child(&here, c"..")?;
            leave(&here, &name)?;
            continue;
        };
        match open_child(&here, &name) {
            Ok(child) => here = child,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        }
        enter(&here)?;
        levels.push((name, children(&here)?));
    }
    Ok(())
}

/// Opens `name` in `directory`, close-on-exec and never through a symlink.
pub(super) fn open_in(directory: &OwnedFd, name: &CStr, flags: OFlag) -> Result<OwnedFd> {
    openat(directory, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
}

fn open_child(directory: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    open_in(directory, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// The names of the cgroups right below `directory`; none where it vanished.
fn children(directory: &OwnedFd) -> Result<Vec<CString>> {
    match list(directory) {
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(Vec::new()),
        other => other,
    }
}

fn list(directory: &OwnedFd) -> Result<Vec<CString>> {
    // The kernel counts each child's "..": two links mean no children, and no need to list them.
    if fstat(directory)?.st_nlink == 2 {
        return Ok(Vec::new());
    }
    let mut listed = Dir::from_fd(open_child(directory, c".")?)?;
    let mut names = Vec::new();
    for entry in listed.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == Some(Type::Directory) && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
