//! Sealing the executable: a container that opens /proc/PID/exe of one of rind's processes must
//! never be able to write to rind's file on the host (CVE-2019-5736).
//!
//! rind executes itself again from a detached, read-only clone of the mount that its file is on. A
//! write through the clone fails with `EROFS`. The clone is in no mount namespace and, once the
//! execve has closed its only descriptor, not in an anonymous one either: the kernel refuses
//! `mount_setattr(2)`, remounting and cloning it, whatever the capabilities. This costs a third of
//! a copy in memory, which rind falls back to where it may not clone mounts.
//!
//! Mostly, the entry point has done this before libc has started (`sys::entry`), and this file only
//! checks it.

use crate::Error;
use std::ffi::{CString, OsString};
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use sys::Errno;
use sys::entry::MARK;
use sys::exec::{Vector, execveat};
use sys::fs::open;
use sys::mount::{self, Attributes, Depth};
use sys::nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, SealFlag, fcntl, readlink};
use sys::nix::sys::memfd::{MFdFlags, memfd_create};
use sys::nix::sys::stat::{Mode, fstat};
use sys::nix::sys::statvfs::{FsFlags, fstatvfs};

const EXE: &std::ffi::CStr = c"/proc/self/exe";

/// Executes rind again from a sealed copy of itself, unless it already runs from one. Returns only
/// then, or with an error.
///
/// The caller must have one thread, and no process that a container can reach.
pub fn ensure() -> Result<(), Error> {
    if std::env::var_os(MARK).is_some() {
        // A caller could set this too, so rind checks.
        let exe = open(EXE, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        let exe = exe.map_err(|errno| {
            Error::call("sealing the executable: opening /proc/self/exe", errno)
        })?;
        return match is_sealed(&exe) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Error::new("sealing the executable: it was executed again, but unsealed"))
            }
            Err(errno) => {
                Err(Error::call("sealing the executable: looking whether it is sealed", errno))
            }
        };
    }
    let sealed = read_only_clone().or_else(|_| memory_copy());
    let sealed = sealed.map_err(|errno| Error::call("sealing the executable", errno))?;
    let arguments =
        Vector::new(sys::startup::arguments().into_iter().filter_map(c_string).collect());
    let environment = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let mark = OsString::from(format!("{MARK}=1"));
    let environment = Vector::new(environment.chain([mark]).filter_map(c_string).collect());
    let errno = execveat(&sealed, &arguments, &environment);
    Err(Error::call("sealing the executable: executing the sealed copy", errno))
}

/// An argument or environment variable of rind's own, which execve(2) has passed as a C string.
fn c_string(text: OsString) -> Option<CString> {
    CString::new(text.into_vec()).ok()
}

/// Whether the running executable is on a read-only mount that nobody can change any more, or a
/// sealed file in memory (`memfd_create(2)`).
fn is_sealed(exe: &OwnedFd) -> sys::Result<bool> {
    if is_nowhere(exe)? && fstatvfs(exe)?.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(true);
    }
    let file = open(EXE, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    // A file that is not in memory has no seals.
    Ok(fcntl(&file, FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_retain(seals).contains(all_seals())))
}

/// Whether the mount of the running executable is in no mount namespace.
///
/// procfs names a file `/` if the file is the root of a mount that is attached nowhere. A mount
/// that is attached, in any namespace, gives the file a longer name. The mount is not in an
/// anonymous namespace either, which a descriptor would keep, if the kernel refuses a change of
/// attributes that changes nothing.
fn is_nowhere(exe: &OwnedFd) -> sys::Result<bool> {
    let has_no_name = match readlink(EXE)?.as_bytes() {
        b"/" => true,
        // Somebody has deleted or replaced the file since rind cloned the mount. A file may have
        // this name.
        b"/ (deleted)" => fstat(exe)?.st_nlink == 0,
        _ => false,
    };
    if !has_no_name {
        return Ok(false);
    }
    let same = Attributes { set: mount::ATTR_RDONLY, ..Attributes::default() };
    match mount::mount_setattr(exe, Depth::One, &same) {
        Err(Errno::EINVAL) => Ok(true),
        // Whoever may not mount has made no clone.
        Ok(()) | Err(Errno::EPERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The seals that together keep a file in memory from any change (fcntl(2), File Sealing).
pub(crate) fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

fn read_only_clone() -> sys::Result<OwnedFd> {
    let read_only = Attributes { set: mount::ATTR_RDONLY, ..Attributes::default() };
    mount::open_tree_with(AT_FDCWD, EXE, Depth::One, &read_only)
}

fn memory_copy() -> sys::Result<OwnedFd> {
    let errno =
        |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32));
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut copy = std::fs::File::from(memfd_create(c"rind", flags)?);
    let mut exe = std::fs::File::open("/proc/self/exe").map_err(errno)?;
    std::io::copy(&mut exe, &mut copy).map_err(errno)?;
    copy.flush().and_then(|()| copy.rewind()).map_err(errno)?;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(all_seals()))?;
    Ok(copy.into())
}
