//! Giving up: user and groups, capabilities, `no_new_privs`, the filter; in the only order that works.

use crate::capabilities::{Sets, numbers};
use crate::fault::{During, Fault, Stage};
use crate::task::{Identity, Task};
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::credentials::{self, Capabilities, CapabilitySet};
use sys::nix::sys::stat::{FileStat, SFlag, fstat, major, minor};
use sys::{Errno, process, seccomp};

const CAP_SETGID: CapabilitySet = 1 << 6;
const CAP_SYS_ADMIN: CapabilitySet = 1 << 21;

/// Takes the identity of `process.user` and its capabilities.
///
/// Dropping from the bounding set needs `CAP_SETPCAP`, so it comes first; changing the user needs
/// `CAP_SETUID`, so it comes before the sets; `keep_capabilities` bridges the two.
pub(crate) fn assume(task: &Task) -> Result<(), Fault> {
    let Sets { bounding, effective, permitted, inheritable, ambient } = task.capabilities;
    drop_bounding(bounding)?;
    credentials::set_keep_capabilities(true).during(Stage::Capabilities)?;
    set_user(&task.identity)?;
    let kept = kept_for_filter(task);
    let sets =
        Capabilities { effective: effective | kept, permitted: permitted | kept, inheritable };
    credentials::capset(&sets).during(Stage::Capabilities)?;
    for capability in numbers(ambient) {
        let raised = credentials::raise_ambient(capability);
        raised.map_err(|errno| Fault::at(Stage::Ambient, capability.into(), errno))?;
    }
    if task.no_new_privileges {
        process::set_no_new_privs().during(Stage::NoNewPrivileges)?;
    }
    Ok(())
}

/// What must stay permitted so that a filter can be installed without `no_new_privs`.
///
/// It is not given up after the filter is in, as that would need a call that the filter may
/// forbid, and need not be: execve computes the new sets from the bounding, inheritable and
/// ambient ones and the file's, never from what was permitted (capabilities(7)).
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

/// Gives stdin, stdout and stderr to the user, so that the program can open them again.
///
/// /dev/null is everybody's and is left alone.
pub(crate) fn own_stdio(identity: &Identity, stdio: [BorrowedFd; 3]) -> Result<(), Fault> {
    for (index, file) in stdio.into_iter().enumerate() {
        let fault = |errno| Fault::at(Stage::Stdio, index, errno);
        let stat = match fstat(file) {
            Ok(stat) => stat,
            Err(Errno::EBADF) => continue,
            Err(errno) => return Err(fault(errno)),
        };
        if stat.st_uid == identity.uid.number() || is_null(&stat) {
            continue;
        }
        match credentials::give(file, identity.uid, Some(identity.gid)) {
            // A read-only file system, an owner that is not mapped, a file of another user: the
            // descriptor works as it is.
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS) => {}
            Err(errno) => return Err(fault(errno)),
        }
    }
    Ok(())
}

fn is_null(stat: &FileStat) -> bool {
    let character = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    character && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
}

/// Installs the filter, the last thing before the program but for waiting.
///
/// Gives its listener, where the filter asks somebody.
pub(crate) fn install_filter(task: &Task) -> Result<Option<OwnedFd>, Fault> {
    let Some(filter) = &task.given.filter else { return Ok(None) };
    seccomp::set_filter(filter.program(), filter.flags()).during(Stage::Seccomp)
}
