//! Descriptors that the caller passes: which of them the container gets, and that nothing else does.

use crate::{Error, Result};
use std::os::fd::IntoRawFd;
use sys::Errno;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::sys::stat::{Mode, SFlag, fstat, major, minor};

/// The first descriptor after stdin, stdout and stderr.
const FIRST: i32 = 3;

/// How many sockets the caller passes to listen on (`sd_listen_fds(3)`), from descriptor 3 on.
#[must_use]
pub fn listen_descriptors() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let for_us = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    if for_us { number("LISTEN_FDS").unwrap_or(0) } else { 0 }
}

/// Opens /dev/null for each of stdin, stdout and stderr that the caller has closed. What is opened
/// next would take its place: be given to the container's user, who it is passed on to, and have
/// messages written into it. To be called before anything is opened that stays open.
pub fn open_stdio() -> Result<()> {
    let found = sys::fs::are_open([0, 1, 2])
        .map_err(|errno| Error::call("looking at stdin, stdout and stderr", errno))?;
    for (number, is_open) in (0..FIRST).zip(found) {
        // One that only stands for a path (O_PATH) is open, and can't be polled.
        if !is_open && !sys::fs::is_open(number) {
            open_null(number).map_err(|errno| {
                let what = format!("descriptor {number} is closed; opening /dev/null for it");
                Error::call(what, errno)
            })?;
        }
    }
    Ok(())
}

/// Opens /dev/null as the descriptor `number`, the first one that is free. It survives an execve.
fn open_null(number: i32) -> sys::Result<()> {
    let null = open(c"/dev/null", OFlag::O_RDWR, Mode::empty())?;
    let stat = fstat(&null)?;
    let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    // A file in its place would become the container's.
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != (1, 3) {
        return Err(Errno::ENODEV);
    }
    if null.into_raw_fd() == number { Ok(()) } else { Err(Errno::EBADF) }
}

/// Makes sure that no other program gets any of the caller's descriptors, of which one is for us.
pub fn hide_descriptors() -> Result<()> {
    sys::fs::hide_from(FIRST).map_err(|errno| Error::call("hiding the caller's descriptors", errno))
}

/// Makes sure that the `count` descriptors to be preserved are there, and that no other program
/// than the container's gets any of the caller's. To be called before anything is opened.
pub fn claim_descriptors(count: u32) -> Result<()> {
    for number in (FIRST..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        if !sys::fs::is_open(number) {
            return Err(Error::new(format!(
                "--preserve-fds: descriptor {number} is not open (of {count} from {FIRST} on)"
            )));
        }
    }
    let failed = |errno| Error::call("closing the caller's descriptors", errno);
    if count > 0 {
        sys::fs::hide_from(FIRST).map_err(failed)?;
    }
    let first = i32::try_from(count).unwrap_or(i32::MAX).saturating_add(FIRST);
    sys::fs::close_inherited(first).map_err(failed)
}
