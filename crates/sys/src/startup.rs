//! What the rest of rind takes for granted of its own process, set before anything else happens.
//!
//! A process inherits its descriptors, signal dispositions, signal mask and umask from its caller, who
//! may have left them in any state. [`establish`] sets what every command relies on. It leaves the
//! rest as it is, on purpose:
//!
//! - The signal mask and the other dispositions: rind waits by pidfd and signalfd, which need none of
//!   them. Programs that rind starts get an empty mask and default dispositions where they start
//!   ([`crate::exec::spawn`], and `process` for the container's).
//! - The umask: it is the caller's wish for the files that the caller names (`--pid-file`, `--log`),
//!   and what hooks inherit. A container's init sets its own.
//!
//! Descriptors above 2 are closed once the command line says which of them the container gets
//! ([`crate::fs::close_inherited`]).

use crate::error::{Error, Explain};
use crate::{Errno, Result, fs};
use nix::fcntl::OFlag;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Has stdin, stdout and stderr be open, children that end be kept until rind waits for them, and a write
/// beyond the caller's limit on files (`RLIMIT_FSIZE`) be an error of that write (`EFBIG`).
///
/// The program calls it first. Doing it twice, as a program that executes itself again does, changes
/// nothing.
///
/// # Errors
/// A standard descriptor is closed, and /dev/null can't be opened in its place or is another file.
pub fn establish() -> std::result::Result<(), Error> {
    open_stdio()?;
    // A caller that ignores SIGCHLD hands that down: the kernel then reaps every child, and nobody
    // learns how it ended.
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .within("setting the action of SIGCHLD")?;
    // By default the kernel kills whoever writes beyond the limit, in the middle of what it does. It
    // restores that default at an execve, as it does not where the signal is ignored or blocked.
    // SAFETY: the handler does nothing, which is async-signal-safe.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::Handler(do_nothing)) }
        .map(drop)
        .within("setting the action of SIGXFSZ")
}

extern "C" fn do_nothing(_: c_int) {}

/// Opens /dev/null for each of stdin, stdout and stderr that the caller has closed. Otherwise a file
/// that rind opens next would take its place: the container would get it, and rind would write
/// messages into it.
fn open_stdio() -> std::result::Result<(), Error> {
    let found = fs::are_open([0, 1, 2]).within("looking at stdin, stdout and stderr")?;
    for (number, is_open) in (0..).zip(found) {
        // A descriptor with O_PATH is open, but can't be polled.
        if !is_open && !fs::is_open(number) {
            open_null(number).map_err(|errno| {
                let step = format!("descriptor {number} is closed; opening /dev/null for it");
                Error::call(step, errno).with_object("/dev/null")
            })?;
        }
    }
    Ok(())
}

/// Opens /dev/null as the descriptor `number`, the first one that is free, without close-on-exec.
fn open_null(number: i32) -> Result<()> {
    let null = fs::open(c"/dev/null", OFlag::O_RDWR, Mode::empty())?;
    let stat = fstat(&null)?;
    let is_device = fs::file_type(&stat) == SFlag::S_IFCHR;
    // A regular file in its place would become the container's stdio.
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != (1, 3) {
        return Err(Errno::ENODEV);
    }
    if null.into_raw_fd() == number { Ok(()) } else { Err(Errno::EBADF) }
}

/// The second argument of C's `main`.
#[repr(transparent)]
#[derive(Debug)]
pub struct Argv(*mut *const c_char);

static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(null_mut());

impl Argv {
    /// Has [`arguments`] give these. A C library other than glibc tells them to `main` only, so that
    /// [`std::env::args_os`] finds none in a program with a `main` of C's.
    pub fn keep(self) {
        ARGV.store(self.0, Ordering::Relaxed);
    }
}

/// The words of the command line, the first of which names the program.
pub fn arguments() -> Vec<OsString> {
    let argv = ARGV.load(Ordering::Relaxed);
    if argv.is_null() {
        return std::env::args_os().collect();
    }
    // SAFETY: only C makes an `Argv`: it leads to an array with a null pointer at its end, which is
    // there as long as the process.
    let word = |index| unsafe { argv.wrapping_add(index).read() };
    let words = (0..).map(word).take_while(|word| !word.is_null());
    // SAFETY: as above; each is a string.
    let bytes = words.map(|word| unsafe { CStr::from_ptr(word) }.to_bytes());
    bytes.map(|bytes| OsStr::from_bytes(bytes).to_owned()).collect()
}
