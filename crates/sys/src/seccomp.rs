//! Installing a seccomp filter: seccomp(2), without setting `no_new_privs`.

use crate::{Errno, Result, check, owned};
use std::os::fd::OwnedFd;

/// One BPF instruction, as the kernel takes it.
pub use libc::sock_filter as Instruction;
pub use libc::{
    SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
};
pub use libc::{
    SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP,
    SECCOMP_RET_USER_NOTIF,
};

/// Installs `program` for this thread and its children, with `SECCOMP_FILTER_FLAG_*` flags.
///
/// Gives the listener where the flags have `NEW_LISTENER`. Without `CAP_SYS_ADMIN` in the user
/// namespace or `no_new_privs` it is `EACCES`.
pub fn set_filter(program: &[Instruction], flags: u64) -> Result<Option<OwnedFd>> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` describes a slice that outlives the call; the kernel only reads it.
    let returned = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return check(returned).map(|_| None);
    }
    owned(returned).map(Some)
}

/// Whether the kernel knows all of these `SECCOMP_FILTER_FLAG_*`, and takes them together.
#[must_use]
pub fn knows_flags(flags: u64) -> bool {
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel checks the flags, then fails to read a program from the null pointer.
    check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, none) }) == Err(Errno::EFAULT)
}

/// Whether the kernel knows this action, `SECCOMP_RET_*` (`SECCOMP_GET_ACTION_AVAIL`).
pub fn knows_action(action: u32) -> Result<bool> {
    let mode = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the kernel reads a number, which outlives the call.
    match check(unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const action) }) {
        Err(Errno::EOPNOTSUPP) => Ok(false),
        known => known.map(|_| true),
    }
}
