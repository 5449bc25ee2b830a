//! The only crate with unsafe code: the system calls that nix lacks, each a wrapper of a few lines.
//!
//! Everything here takes and gives descriptor types ([`std::os::fd::OwnedFd`], `BorrowedFd`) and
//! the kernel's own error number, [`Errno`]; what the error means is for the caller to say. Every
//! descriptor that is made is close-on-exec. Classic calls that nix wraps well are used from
//! [`nix`], re-exported so that the workspace has one version of it.

pub mod bpf;
pub mod credentials;
pub mod entry;
pub mod error;
pub mod exec;
pub mod fs;
pub mod heap;
pub mod keyring;
pub mod mount;
pub mod net;
pub mod netlink;
pub mod passwd;
pub mod process;
pub mod schedule;
pub mod seccomp;
pub mod socket;
pub mod startup;
pub mod terminal;

pub use error::{Error, Explain};
pub use nix;
pub use nix::errno::Errno;

/// What a call gives: its value, or the kernel's error number.
pub type Result<T> = std::result::Result<T, Errno>;

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The kernel's answer behind `error`, in the words of [`errno_text`].
#[must_use]
pub fn answer(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), text_of)
}

/// What `errno` means: the words of strerror(3), in lower case and without the number, as callers of
/// a runtime know them from Go.
#[must_use]
pub fn errno_text(errno: Errno) -> String {
    match errno {
        // nix has no name for the number and has dropped it.
        Errno::UnknownErrno => "unknown error".to_owned(),
        errno => text_of(errno as i32),
    }
}

fn text_of(number: i32) -> String {
    /// The longest text has 49 bytes.
    const LONGEST: usize = 128;
    let mut text = [0_u8; LONGEST];
    // SAFETY: the pointer and the length are of one buffer, which outlives the call.
    unsafe { libc::strerror_r(number, text.as_mut_ptr().cast(), LONGEST) };
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    text.to_string_lossy().to_lowercase()
}

/// The result of a raw system call: `-1` becomes the thread's errno.
fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned < 0 { Err(Errno::last()) } else { Ok(returned) }
}

/// The result of a raw system call that returns a new descriptor.
fn owned(returned: libc::c_long) -> Result<OwnedFd> {
    let raw = RawFd::try_from(check(returned)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::{Errno, answer, errno_text};

    #[test]
    fn errors_have_the_words_of_strerror() {
        for number in 1..=133 {
            // 41 and 58 are no errors' numbers.
            if !matches!(number, 41 | 58) {
                assert_ne!(Errno::from_raw(number), Errno::UnknownErrno, "{number}");
                // The standard library has them of strerror_r(3).
                let error = std::io::Error::from_raw_os_error(number);
                let words = error.to_string().replace(&format!(" (os error {number})"), "");
                assert_eq!(errno_text(Errno::from_raw(number)), words.to_lowercase());
                assert_eq!(answer(&error), words.to_lowercase());
            }
        }
    }

    #[test]
    fn errors_are_told_as_by_runc() {
        for (errno, words) in [
            (Errno::EBADF, "bad file descriptor"),
            (Errno::EAGAIN, "resource temporarily unavailable"),
            (Errno::ERANGE, "numerical result out of range"),
            (Errno::EXDEV, "invalid cross-device link"),
            (Errno::EOPNOTSUPP, "operation not supported"),
            (Errno::UnknownErrno, "unknown error"),
        ] {
            assert_eq!(errno_text(errno), words);
        }
        assert_eq!(answer(&std::io::Error::from_raw_os_error(4095)), "unknown error 4095");
        assert_eq!(answer(&std::io::Error::other("own words")), "own words");
    }
}
