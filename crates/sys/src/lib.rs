//! The only crate with unsafe code: the system calls that nix lacks, each a wrapper of a few lines.
//!
//! Everything here takes and gives descriptor types ([`std::os::fd::OwnedFd`], `BorrowedFd`) and
//! the kernel's own error number, [`Errno`]; what the error means is for the caller to say. Every
//! descriptor that is made is close-on-exec. Classic calls that nix wraps well are used from
//! [`nix`], re-exported so that the workspace has one version of it.

pub mod bpf;
pub mod credentials;
pub mod entry;
mod errno;
pub mod error;
pub mod exec;
pub mod filtered;
pub mod fs;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod heap;
pub mod keyring;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod passwd;
pub mod process;
pub mod schedule;
pub mod seccomp;
pub mod shared;
pub mod socket;
pub mod startup;
pub mod terminal;
mod threads;

pub use errno::{answer, errno_text};
pub use error::{Error, Explain};
pub use nix;
pub use nix::errno::Errno;

/// What a call gives: its value, or the kernel's error number.
pub type Result<T> = std::result::Result<T, Errno>;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The result of a raw system call: `-1` becomes the thread's errno.
fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned < 0 { Err(Errno::last()) } else { Ok(returned) }
}

/// Makes a call again as long as a signal breaks it off (`EINTR`).
pub fn uninterrupted<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// The result of a raw system call that returns a new descriptor.
fn owned(returned: libc::c_long) -> Result<OwnedFd> {
    let raw = RawFd::try_from(check(returned)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
