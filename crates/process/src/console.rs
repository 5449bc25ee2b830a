//! The container's terminal (pty(7)): made in the container's devpts, the master sent over the
//! console socket, the slave as stdio. Must never open a device of the image's choice.

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

/// Makes a terminal for the user `owner`, sends its master over the console socket, and returns its
/// slave.
///
/// `root` is the container's root. The image decides what is at /dev/pts/ptmx, so rind uses it only
/// if it is devpts's own. rind gets the slave from the master, without a path (`ioctl_tty(2)`,
/// `TIOCGPTPEER`).
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
        // The group stays the one of the devpts mount options, which the mode is for.
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

/// Makes the terminal on stdin the controlling terminal of the process's session.
pub(crate) fn make_controlling() -> Result<(), Fault> {
    let [stdin, ..] = sys::process::stdio();
    terminal::set_controlling(stdin).during(Stage::Terminal)
}

fn open_ptmx(root: BorrowedFd) -> sys::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
    let path = c"dev/pts/ptmx";
    // Looks by O_PATH first: opening a device of the image's choice could have an effect.
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
