//! Which system calls a seccomp profile around rind forbids, as one of an engine that is older than the
//! call. It is asked once a command has failed, and by `rind check`.

use crate::{Errno, Error, Result, check};

/// The younger calls, by name and number. Each refuses arguments that are all -1 or null before it
/// asks for any right, so that `EPERM` is a profile's answer as well. Those for mounts that ask for
/// `CAP_SYS_ADMIN` first are told by `ENOSYS` only.
const CALLS: &[(&str, libc::c_long, bool)] = &[
    ("openat2", libc::SYS_openat2, true),
    ("clone3", libc::SYS_clone3, true),
    ("close_range", libc::SYS_close_range, true),
    ("faccessat2", libc::SYS_faccessat2, true),
    ("statx", libc::SYS_statx, true),
    ("pidfd_open", libc::SYS_pidfd_open, true),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal, true),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, true),
    ("mount_setattr", libc::SYS_mount_setattr, true),
    ("open_tree", libc::SYS_open_tree, true),
    ("move_mount", libc::SYS_move_mount, false),
    ("fsopen", libc::SYS_fsopen, false),
    ("fsconfig", libc::SYS_fsconfig, true),
    ("fsmount", libc::SYS_fsmount, false),
];

/// Calls that rind also can't do without, and a profile may forbid; all of them refuse such arguments
/// before they ask for a right.
const OLDER: &[(&str, libc::c_long, bool)] = &[
    ("unshare", libc::SYS_unshare, true),
    ("setns", libc::SYS_setns, true),
    ("seccomp", libc::SYS_seccomp, true),
    ("memfd_create", libc::SYS_memfd_create, true),
    ("execveat", libc::SYS_execveat, true),
];

/// All these calls by name, each with the answer that says it can't be made here: `ENOSYS`, or `EPERM`.
///
/// `is_admin` tells whether the caller has `CAP_SYS_ADMIN`, so that `EPERM` is a profile's answer for
/// all of them.
pub fn survey(is_admin: bool) -> impl Iterator<Item = (&'static str, Option<Errno>)> {
    CALLS.iter().chain(OLDER).map(move |&(name, number, by_eperm)| {
        let answer = ask(number).err().filter(|errno| match errno {
            Errno::ENOSYS => true,
            Errno::EPERM => by_eperm || is_admin,
            _ => false,
        });
        (name, answer)
    })
}

/// The same error, which names the calls that can't be made here, if one of them may be the reason.
#[must_use]
pub fn explain(error: Error) -> Error {
    let is_likely = match error.errno() {
        // No kernel that rind runs on answers this otherwise.
        Some(Errno::ENOSYS) => true,
        Some(Errno::EPERM) => error.hint().is_none(),
        _ => false,
    };
    if !is_likely {
        return error;
    }
    let calls = CALLS.iter().filter(|(_, number, by_eperm)| is_forbidden(*number, *by_eperm));
    let names: Vec<&str> = calls.map(|(name, ..)| *name).collect();
    let hint = format!("a seccomp profile around rind may forbid {}", names.join(", "));
    error.with_hint((!names.is_empty()).then_some(hint))
}

fn is_forbidden(number: libc::c_long, by_eperm: bool) -> bool {
    match ask(number) {
        Err(Errno::ENOSYS) => true,
        Err(Errno::EPERM) => by_eperm,
        _ => false,
    }
}

/// Makes the call with arguments that the kernel refuses.
fn ask(number: libc::c_long) -> Result<libc::c_long> {
    let none: libc::c_long = -1;
    // SAFETY: no descriptor, pid or flags of these calls are -1, so that the kernel refuses before it
    // does anything, and a pointer of that value is to no memory of this process.
    check(unsafe { libc::syscall(number, none, none, none, none, none, none) })
}
