//! The words for the kernel's error numbers. They are glibc's, on every C library: callers of a runtime
//! know them from Go, and look for some of them.

use nix::errno::Errno;

/// The kernel's answer behind `error`, in the words of [`errno_text`].
#[must_use]
pub fn answer(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), text_of)
}

/// What `errno` means: the words of strerror(3), in lower case and without the number.
#[must_use]
pub fn errno_text(errno: Errno) -> String {
    match errno {
        // nix has no name for the number and has dropped it.
        Errno::UnknownErrno => "unknown error".to_owned(),
        errno => text_of(errno as i32),
    }
}

fn text_of(number: i32) -> String {
    let known = usize::try_from(number).ok().and_then(|number| TEXTS.get(number));
    match known {
        Some(text) if !text.is_empty() => (*text).to_owned(),
        _ => format!("unknown error {number}"),
    }
}

/// By number, as errno(3) has them on x86 and ARM. Nothing has the numbers 41 and 58.
#[rustfmt::skip]
const TEXTS: [&str; 134] = [
    "",
    "operation not permitted",
    "no such file or directory",
    "no such process",
    "interrupted system call",
    "input/output error",
    "no such device or address",
    "argument list too long",
    "exec format error",
    "bad file descriptor",
    "no child processes",
    "resource temporarily unavailable",
    "cannot allocate memory",
    "permission denied",
    "bad address",
    "block device required",
    "device or resource busy",
    "file exists",
    "invalid cross-device link",
    "no such device",
    "not a directory",
    "is a directory",
    "invalid argument",
    "too many open files in system",
    "too many open files",
    "inappropriate ioctl for device",
    "text file busy",
    "file too large",
    "no space left on device",
    "illegal seek",
    "read-only file system",
    "too many links",
    "broken pipe",
    "numerical argument out of domain",
    "numerical result out of range",
    "resource deadlock avoided",
    "file name too long",
    "no locks available",
    "function not implemented",
    "directory not empty",
    "too many levels of symbolic links",
    "",
    "no message of desired type",
    "identifier removed",
    "channel number out of range",
    "level 2 not synchronized",
    "level 3 halted",
    "level 3 reset",
    "link number out of range",
    "protocol driver not attached",
    "no csi structure available",
    "level 2 halted",
    "invalid exchange",
    "invalid request descriptor",
    "exchange full",
    "no anode",
    "invalid request code",
    "invalid slot",
    "",
    "bad font file format",
    "device not a stream",
    "no data available",
    "timer expired",
    "out of streams resources",
    "machine is not on the network",
    "package not installed",
    "object is remote",
    "link has been severed",
    "advertise error",
    "srmount error",
    "communication error on send",
    "protocol error",
    "multihop attempted",
    "rfs specific error",
    "bad message",
    "value too large for defined data type",
    "name not unique on network",
    "file descriptor in bad state",
    "remote address changed",
    "can not access a needed shared library",
    "accessing a corrupted shared library",
    ".lib section in a.out corrupted",
    "attempting to link in too many shared libraries",
    "cannot exec a shared library directly",
    "invalid or incomplete multibyte or wide character",
    "interrupted system call should be restarted",
    "streams pipe error",
    "too many users",
    "socket operation on non-socket",
    "destination address required",
    "message too long",
    "protocol wrong type for socket",
    "protocol not available",
    "protocol not supported",
    "socket type not supported",
    "operation not supported",
    "protocol family not supported",
    "address family not supported by protocol",
    "address already in use",
    "cannot assign requested address",
    "network is down",
    "network is unreachable",
    "network dropped connection on reset",
    "software caused connection abort",
    "connection reset by peer",
    "no buffer space available",
    "transport endpoint is already connected",
    "transport endpoint is not connected",
    "cannot send after transport endpoint shutdown",
    "too many references: cannot splice",
    "connection timed out",
    "connection refused",
    "host is down",
    "no route to host",
    "operation already in progress",
    "operation now in progress",
    "stale file handle",
    "structure needs cleaning",
    "not a xenix named type file",
    "no xenix semaphores available",
    "is a named type file",
    "remote i/o error",
    "disk quota exceeded",
    "no medium found",
    "wrong medium type",
    "operation canceled",
    "required key not available",
    "key has expired",
    "key has been revoked",
    "key was rejected by service",
    "owner died",
    "state not recoverable",
    "operation not possible due to rf-kill",
    "memory page has hardware error",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_env = "gnu")]
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
