//! stdin, stdout and stderr, as a program gets them: the program can't change the host's null device
//! through any of them, and its user can open them again.

use crate::Error;
use crate::fault::{During, Fault, Stage};
use rootfs::is_null;
use std::os::fd::BorrowedFd;
use sys::credentials::{self, Uid};
use sys::fs::{LeakyFd, file_type};
use sys::nix::fcntl::{FcntlArg, OFlag, ResolveFlag, fcntl, open};
use sys::nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use sys::nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::{Errno, process};

/// What stdin, stdout and stderr are, those of them that are open.
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

/// Has those of stdin, stdout and stderr that are the host's null device be it through a read-only
/// mount: the container could change its mode, owner and times otherwise. While paths still are the
/// host's.
///
/// Who may not clone mounts, or has no /dev/null, is nobody whose container could.
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

/// Has `null` be those of stdin, stdout and stderr that are a null device.
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

/// Has those of stdin, stdout and stderr that are a null device be the container's own, which has a
/// name there; where it has none, they stay what [`guard`] has made them.
///
/// For a process without a terminal; it looks at stdio, if nobody has. Where the guard was not there, the container
/// has a null device of our making, and that it can't be had is an error.
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

/// The container's /dev/null, if it is one. That something else is opened there which acts by this is
/// no more than the container could do itself.
fn open_own_null(root: BorrowedFd) -> sys::Result<LeakyFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    // Not to wait for a fifo.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let null = sys::fs::openat2(root, c"dev/null", flags, Mode::empty(), resolve)?;
    let null = LeakyFd::from(null);
    if !is_null(&fstat(&null)?) {
        return Err(Errno::ENODEV);
    }
    fcntl(&null, FcntlArg::F_SETFL(OFlag::O_RDWR))?;
    Ok(null)
}

/// [`guard`] for a process that somebody else makes, which gets ours.
pub fn guard_own() -> Result<(), Error> {
    let step = "binding /dev/null for stdin, stdout and stderr";
    guard().map(drop).map_err(|fault| Error::call(step, fault.errno))
}

/// Gives stdin, stdout and stderr to `user`, so that the program can open them again. The group
/// stays: that of a terminal says who may write to it, and that of a file is its owner's affair.
///
/// Devices of the host's are everybody's and are left alone, but for terminals; so are directories,
/// which nobody means to give away. What can't be given works as it is: what is on a read-only file
/// system, has an owner that is not mapped, is no file that could be opened again, or another user's.
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
