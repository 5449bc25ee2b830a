//! The session keyring, so that a container's processes do not share the caller's keys.

use crate::{Result, check};
use std::ffi::CStr;

/// Possessor: all; user: view, read, search and link. What runc gives, so that a process that
/// enters the container later, and so does not possess the keyring, can find keys in it.
const PERMISSIONS: libc::c_ulong = 0x3f1b_0000;

/// Makes and joins a new session keyring called `name` (keyctl(2)).
///
/// `ENOSYS` where the kernel has no keys; `EDQUOT` when the user has too many.
pub fn join_session(name: &CStr) -> Result<()> {
    let join = libc::KEYCTL_JOIN_SESSION_KEYRING;
    // SAFETY: `name` is a C string that outlives the call.
    let serial = check(unsafe { libc::syscall(libc::SYS_keyctl, join, name.as_ptr()) })?;
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, serial, PERMISSIONS) })?;
    Ok(())
}
