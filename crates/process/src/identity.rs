//! Giving up: user and groups, capabilities, `no_new_privs`, the filter; in the only order that works.

use crate::Error;
use crate::capabilities::{Sets, numbers};
use crate::fault::{During, Fault, Stage};
use crate::task::{Identity, Task};
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::credentials::{self, Capabilities, CapabilitySet, Id};
use sys::fs::{Scratch, file_type};
use sys::nix::fcntl::{FcntlArg, OFlag, ResolveFlag, fcntl, open};
use sys::nix::libc;
use sys::nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};
use sys::nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::{Errno, process, seccomp};

const CAP_SETGID: CapabilitySet = 1 << 6;
const CAP_SYS_ADMIN: CapabilitySet = 1 << 21;

/// Takes the identity of `process.user` and its capabilities.
///
/// Dropping from the bounding set needs `CAP_SETPCAP`, so it comes first; changing the user needs
/// `CAP_SETUID`, so it comes before the sets; `keep_capabilities` bridges the two.
pub(crate) fn assume(task: &Task) -> Result<(), Fault> {
    let Sets { bounding, ambient, .. } = task.capabilities;
    drop_bounding(bounding)?;
    if task.identity.uid != Id::ROOT {
        // Only who stops being root loses them.
        credentials::set_keep_capabilities(true).during(Stage::Capabilities)?;
    }
    set_user(&task.identity)?;
    if task.identity.uid != Id::ROOT || task.identity.gid != Id::ROOT {
        // With fs.suid_dumpable=1 a change of user has made us so (proc(5)).
        process::set_dumpable(false).during(Stage::User)?;
    }
    set_capabilities(task, kept_for_filter(task))?;
    for capability in numbers(ambient) {
        let raised = credentials::raise_ambient(capability);
        raised.map_err(|errno| Fault::at(Stage::Ambient, capability.into(), errno))?;
    }
    if task.no_new_privileges {
        process::set_no_new_privs().during(Stage::NoNewPrivileges)?;
    }
    Ok(())
}

/// Sets the configured sets, and `kept` with them.
fn set_capabilities(task: &Task, kept: CapabilitySet) -> Result<(), Fault> {
    let Sets { effective, permitted, inheritable, .. } = task.capabilities;
    let sets =
        Capabilities { effective: effective | kept, permitted: permitted | kept, inheritable };
    credentials::capset(&sets).during(Stage::Capabilities)
}

/// What must stay permitted so that a filter can be installed without `no_new_privs`.
///
/// The program does not have it: execve computes the new sets from the bounding, inheritable and
/// ambient ones and the file's, never from what was permitted (capabilities(7)). Where others may see
/// the process before that, it is given up as soon as the filter is in, if that allows it.
fn kept_for_filter(task: &Task) -> CapabilitySet {
    if task.given.filter.is_some() && !task.no_new_privileges { CAP_SYS_ADMIN } else { 0 }
}

fn drop_bounding(keep: CapabilitySet) -> Result<(), Fault> {
    for capability in numbers(!keep) {
        match credentials::drop_bounding(capability) {
            Ok(()) => {}
            // The first number that the kernel does not know ends the list.
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(Fault::at(Stage::Bounding, capability.into(), errno)),
        }
    }
    Ok(())
}

fn set_user(identity: &Identity) -> Result<(), Fault> {
    if let Some(groups) = &identity.groups {
        match credentials::set_groups(groups) {
            Err(Errno::EPERM) if groups.is_empty() && may_set_groups() => {}
            set => set.during(Stage::User)?,
        }
    }
    credentials::set_group(identity.gid).during(Stage::User)?;
    credentials::set_user(identity.uid).during(Stage::User)
}

/// Whether setgroups can only have failed because it is denied in our user namespace, whoever made
/// that (`user_namespaces(7)`): then there are no groups to give up either.
fn may_set_groups() -> bool {
    credentials::capget().is_ok_and(|sets| sets.effective & CAP_SETGID != 0)
}

/// What stdin, stdout and stderr are, those of them that are open.
pub(crate) type Stdio = [Option<FileStat>; 3];

fn look_at_stdio() -> Result<Stdio, Fault> {
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
pub(crate) fn guard_stdio() -> Result<Stdio, Fault> {
    let found = look_at_stdio()?;
    if !found.iter().flatten().any(is_null) {
        return Ok(found);
    }
    let open_null = || -> sys::Result<Scratch> {
        let null = rootfs::clone_null()?;
        let path = sys::fs::proc_fd_path(&null);
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        open(path.as_str(), flags, Mode::empty()).map(Scratch::from)
    };
    let null = match open_null() {
        Err(Errno::EPERM | Errno::ENOENT) => return Ok(found),
        opened => opened.during(Stage::NullStdio)?,
    };
    replace_nulls(&found, &null)?;
    Ok(found)
}

/// Has `null` be those of stdin, stdout and stderr that are a null device.
fn replace_nulls(stdio: &Stdio, null: &Scratch) -> Result<(), Fault> {
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
/// name there; where it has none, they stay what [`guard_stdio`] has made them.
///
/// Without a terminal; it looks at stdio, if nobody has. Where the guard was not there, the container
/// has a null device of our making, and that it can't be had is an error.
pub(crate) fn take_own_null(task: &mut Task, root: BorrowedFd) -> Result<(), Fault> {
    if task.given.console.is_some() {
        return Ok(());
    }
    let is_guarded = task.stdio.is_some();
    let stdio = task.stdio.map_or_else(look_at_stdio, Ok)?;
    task.stdio = Some(stdio);
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
fn open_own_null(root: BorrowedFd) -> sys::Result<Scratch> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    // Not to wait for a fifo.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let null = sys::fs::openat2(root, c"dev/null", flags, Mode::empty(), resolve)?;
    let null = Scratch::from(null);
    if !is_null(&fstat(&null)?) {
        return Err(Errno::ENODEV);
    }
    fcntl(&null, FcntlArg::F_SETFL(OFlag::O_RDWR))?;
    Ok(null)
}

/// [`guard_stdio`] for a process that somebody else makes, which gets ours.
pub fn guard_own_stdio() -> Result<(), Error> {
    let what = "binding /dev/null for stdin, stdout and stderr";
    guard_stdio().map(drop).map_err(|fault| Error::call(what, fault.errno))
}

/// Gives stdin, stdout and stderr to the user, so that the program can open them again. The group
/// stays: that of a terminal says who may write to it, and that of a file is its owner's affair.
///
/// Devices of the host's are everybody's and are left alone, but for terminals; so are directories,
/// which nobody means to give away. What can't be given works as it is: what is on a read-only file
/// system, has an owner that is not mapped, is no file that could be opened again, or another user's.
pub(crate) fn own_stdio(task: &Task) -> Result<(), Fault> {
    let identity = &task.identity;
    let known = task.stdio.map_or_else(look_at_stdio, Ok)?;
    for (file, stat) in process::stdio().into_iter().zip(known) {
        let Some(stat) = stat else { continue };
        let is_to_give = match file_type(&stat) {
            SFlag::S_IFCHR => !is_null(&stat) && sys::terminal::size(file).is_ok(),
            SFlag::S_IFBLK | SFlag::S_IFDIR => false,
            _ => true,
        };
        if is_to_give && stat.st_uid != identity.uid.number() {
            let _ = credentials::give(file, identity.uid, None);
        }
    }
    Ok(())
}

fn is_null(stat: &FileStat) -> bool {
    file_type(stat) == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
}

/// Installs the filter, the last thing before the program but for waiting.
///
/// Gives its listener, where the filter asks somebody.
pub(crate) fn install_filter(task: &Task) -> Result<Option<OwnedFd>, Fault> {
    let Some(filter) = &task.given.filter else { return Ok(None) };
    let listener = seccomp::set_filter(filter.program(), filter.flags()).during(Stage::Seccomp)?;
    let is_seen = task.forks_last || task.given.exec_fifo.is_some();
    if is_seen && kept_for_filter(task) != 0 && filter.allows(libc::SYS_capset, [0; 6]) {
        set_capabilities(task, 0)?;
    }
    Ok(listener)
}
