//! Whether the process has one thread only, as one must have that forks or executes in place.

use crate::{Errno, Result, check};
use nix::libc;
#[cfg(target_env = "gnu")]
use std::ptr;

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// glibc's own knowledge of whether the process has ever had a second thread.
    static __libc_single_threaded: libc::c_char;
}

/// Whether it is known, without a system call, that the process has and had no other thread.
pub(crate) fn is_one() -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc defines this byte. The thread that makes another one writes it first, and until
    // then there is only this thread.
    let alone = unsafe { ptr::read_volatile(&raw const __libc_single_threaded) } != 0;
    #[cfg(not(target_env = "gnu"))]
    let alone = false;
    alone
}

/// `EDEADLK` if the process has another thread.
pub(crate) fn refuse() -> Result<()> {
    if is_one() {
        return Ok(());
    }
    // SAFETY: it changes nothing: a thread group can't be left, and only one of one thread may ask.
    match check(unsafe { libc::unshare(libc::CLONE_THREAD) }.into()) {
        Err(Errno::EINVAL) => Err(Errno::EDEADLK),
        _ => Ok(()),
    }
}
