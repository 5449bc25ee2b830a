//! stdin, stdout and stderr of a program: its user can open them again, but the program must never
//! be able to change the host's null device through them.

use crate::Error;
use crate::fault::{During, Fault, Stage};
use rootfs::is_null;
use std::os::fd::BorrowedFd;
use sys::credentials::{self, Uid};
use sys::fs::{LeakyFd, file_type, open};
use sys::nix::fcntl::{FcntlArg, OFlag, ResolveFlag, fcntl};
use sys::nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use sys::nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::{Errno, process};

/// What stdin, stdout and stderr are; `None` for a closed one.
pub(crate) type Stdio = [Option<FileStat>; 3];

fn look() -> Result<Stdio, Fault> {
    let mut found = [None; 3];
    for (index, (file, found)) in process::stdio().into_iter().zip(&mut found).enumerate() {
        *found = match fstat(file) {
            Err(Errno::EBADF) => None,
            looked => Some(looked.map_err(|errno| Fault::at(Stage::Stdio, index, errno))?),
        };
    }
    Ok(found)
}

/// Reopens stdin, stdout and stderr, if they are the host's null device, through a read-only mount:
/// otherwise, the container could change the device's mode, owner and times. Must run while paths
/// are still the host's.
///
/// A caller that may not clone mounts may not change the device either, and nor may its container.
pub(crate) fn guard() -> Result<Stdio, Fault> {
    let found = look()?;
    if !found.iter().flatten().any(is_null) {
        return Ok(found);
    }
    let open_null = || -> sys::Result<LeakyFd> {
        let null = rootfs::clone_null()?;
        let path = sys::fs::proc_fd_path(&null);
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        open(path.as_str(), flags, Mode::empty()).map(LeakyFd::from)
    };
    let null = match open_null() {
        Err(Errno::EPERM | Errno::ENOENT) => return Ok(found),
        opened => opened.during(Stage::NullStdio)?,
    };
    replace_nulls(&found, &null)?;
    Ok(found)
}

/// Replaces those of stdin, stdout and stderr that are a null device by `null`.
fn replace_nulls(stdio: &Stdio, null: &LeakyFd) -> Result<(), Fault> {
    let nulls = stdio.iter().enumerate();
    for (index, _) in nulls.filter(|(_, stat)| stat.as_ref().is_some_and(is_null)) {
        match index {
            0 => dup2_stdin(null),
            1 => dup2_stdout(null),
            _ => dup2_stderr(null),
        }
        .during(Stage::NullStdio)?;
    }
    Ok(())
}

/// For a process without a terminal: replaces those of stdin, stdout and stderr that are a null
/// device by the container's own, whose path exists there. Without such a device, they stay as
/// [`guard`] has made them.
///
/// Looks at stdio if `known` is `None`. Then [`guard`] hasn't run, as the container has a null
/// device that rind has made; not finding it is an error.
pub(crate) fn take_own_null(known: &mut Option<Stdio>, root: BorrowedFd) -> Result<(), Fault> {
    let is_guarded = known.is_some();
    let stdio = known.map_or_else(look, Ok)?;
    *known = Some(stdio);
    if !stdio.iter().flatten().any(is_null) {
        return Ok(());
    }
    match open_own_null(root) {
        Ok(null) => replace_nulls(&stdio, &null),
        Err(_) if is_guarded => Ok(()),
        failed => failed.map(drop).during(Stage::NullStdio),
    }
}

/// Opens the container's /dev/null, if it is a null device. If it is another device on which
/// opening has an effect, the container could open it as well.
fn open_own_null(root: BorrowedFd) -> sys::Result<LeakyFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    // With O_NONBLOCK, opening a fifo doesn't wait.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let null = sys::fs::openat2(root, c"dev/null", flags, Mode::empty(), resolve)?;
    let null = LeakyFd::from(null);
    if !is_null(&fstat(&null)?) {
        return Err(Errno::ENODEV);
    }
    fcntl(&null, FcntlArg::F_SETFL(OFlag::O_RDWR))?;
    Ok(null)
}

/// `guard` for rind's own stdio, which a process that criu makes inherits.
pub fn guard_own() -> Result<(), Error> {
    let step = "binding /dev/null for stdin, stdout and stderr";
    guard().map(drop).map_err(|fault| Error::call(step, fault.errno))
}

/// Gives stdin, stdout and stderr to `user`, so that the program can open them again. The group
/// stays: that of a terminal says who may write to it.
///
/// rind leaves devices other than terminals alone, as all users share them, and directories, which
/// no caller means to give away. If the kernel refuses, the descriptor still works: its file may be
/// on a read-only file system, have an unmapped owner, or belong to another user.
pub(crate) fn give(known: Option<&Stdio>, user: Uid) -> Result<(), Fault> {
    let known = known.map_or_else(look, |known| Ok(*known))?;
    for (file, stat) in process::stdio().into_iter().zip(known) {
        let Some(stat) = stat else { continue };
        let is_to_give = match file_type(&stat) {
            SFlag::S_IFCHR => !is_null(&stat) && sys::terminal::size(file).is_ok(),
            SFlag::S_IFBLK | SFlag::S_IFDIR => false,
            _ => true,
        };
        if is_to_give && stat.st_uid != user.number() {
            let _ = credentials::give(file, user, None);
        }
    }
    Ok(())
}
