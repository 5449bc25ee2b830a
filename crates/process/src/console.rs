//! The terminal: made in the container's own devpts, its master sent out, its slave made stdio.

use crate::fault::{During, Fault, Stage};
use crate::process_spec::{Console, Identity};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::credentials::{self, Uid};
use sys::nix::fcntl::{OFlag, ResolveFlag};
use sys::nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use sys::nix::sys::statfs::{FsType, fstatfs};
use sys::nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::{Errno, socket, terminal};

const DEVPTS_SUPER_MAGIC: FsType = FsType(0x1cd1);

/// Makes a terminal, sends its master over the console socket, and gives its slave.
///
/// `root` is the container's root. What stands for ptmx there is the image's to decide, so it is
/// used only if it is devpts's own; the slave is had from the master, without a path.
pub(crate) fn open_pty(
    console: &Console,
    root: BorrowedFd,
    owner: &Identity,
) -> Result<OwnedFd, Fault> {
    let master = open_ptmx(root).during(Stage::Terminal)?;
    terminal::unlock(&master).during(Stage::Terminal)?;
    let slave = terminal::peer(&master).during(Stage::Terminal)?;
    terminal::clear_onlcr(&slave).during(Stage::Terminal)?;
    if let Some(size) = console.size {
        terminal::set_size(&slave, size).during(Stage::Terminal)?;
    }
    if owner.uid != Uid::ROOT {
        // The group stays devpts's own, so that its mode goes on meaning what it was mounted with.
        match credentials::give(&slave, owner.uid, None) {
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
            Err(errno) => return Err(Fault::new(Stage::Terminal, errno)),
        }
    }
    let sent = socket::send(&console.socket, b"/dev/ptmx", &[master.as_fd()]);
    sent.during(Stage::ConsoleSocket)?;
    Ok(slave)
}

/// Makes `slave` stdin, stdout and stderr.
pub(crate) fn make_stdio(slave: &OwnedFd) -> Result<(), Fault> {
    dup2_stdin(slave).during(Stage::Terminal)?;
    dup2_stdout(slave).during(Stage::Terminal)?;
    dup2_stderr(slave).during(Stage::Terminal)
}

/// Makes the terminal that stdin is the controlling one of our session.
pub(crate) fn make_controlling() -> Result<(), Fault> {
    let [stdin, ..] = sys::process::stdio();
    terminal::set_controlling(stdin).during(Stage::Terminal)
}

fn open_ptmx(root: BorrowedFd) -> sys::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
    let path = c"dev/pts/ptmx";
    // A look first, without opening: opening a device of the image's choice may act.
    let found = sys::fs::openat2(root, path, OFlag::O_PATH, Mode::empty(), resolve)?;
    let stat = fstat(&found)?;
    let is_device = sys::fs::file_type(&stat) == SFlag::S_IFCHR
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2);
    if !is_device || fstatfs(&found)?.filesystem_type() != DEVPTS_SUPER_MAGIC {
        return Err(Errno::ENODEV);
    }
    let opened = sys::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    let again = fstat(&opened)?;
    if (again.st_dev, again.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Errno::EXDEV);
    }
    Ok(opened)
}
