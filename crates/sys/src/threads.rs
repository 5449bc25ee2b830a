//! Whether the process has one thread only, as one must have that forks or executes in place.

use crate::{Errno, Result, check};
use nix::libc;
#[cfg(target_env = "gnu")]
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this is a child of [`crate::process::fork`]. Such a process begins with one thread, and
/// rind makes no other.
static IS_FORKED: AtomicBool = AtomicBool::new(false);

/// Notes that the process was just forked.
pub(crate) fn after_fork() {
    IS_FORKED.store(true, Ordering::Relaxed);
}

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

/// `EDEADLK` unless the process is known to have one thread. It asks the kernel nothing: the
/// container's seccomp filter may be installed, and may kill whoever makes a call that it forbids.
pub(crate) fn refuse_unasked() -> Result<()> {
    if is_one() || IS_FORKED.load(Ordering::Relaxed) { Ok(()) } else { Err(Errno::EDEADLK) }
}

/// `EDEADLK` if the process has another thread.
pub(crate) fn refuse() -> Result<()> {
    if is_one() {
        return Ok(());
    }
    // SAFETY: the kernel refuses with EINVAL if there is another thread, and otherwise does nothing.
    match check(unsafe { libc::unshare(libc::CLONE_THREAD) }.into()) {
        Err(Errno::EINVAL) => Err(Errno::EDEADLK),
        _ => Ok(()),
    }
}
