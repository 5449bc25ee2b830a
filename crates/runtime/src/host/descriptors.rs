//! The descriptors that rind inherits: the container gets those that `--preserve-fds` and
//! `LISTEN_FDS` name, and no other program gets any.

use crate::{Error, Result};
use std::os::fd::IntoRawFd;
use sys::Errno;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::sys::stat::{Mode, SFlag, fstat, major, minor};

/// The first descriptor after stdin, stdout and stderr.
const FIRST: i32 = 3;

/// How many sockets to listen on the caller passes, from descriptor 3 on (`sd_listen_fds(3)`).
#[must_use]
pub fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let for_us = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    if for_us { number("LISTEN_FDS").unwrap_or(0) } else { 0 }
}

/// Opens /dev/null for each of stdin, stdout and stderr that the caller has closed. Otherwise a file
/// that rind opens next would take its place: the container would get it, and rind would write
/// messages into it. Must be called before anything is opened that stays open.
pub fn open_stdio() -> Result<()> {
    let found = sys::fs::are_open([0, 1, 2])
        .map_err(|errno| Error::call("looking at stdin, stdout and stderr", errno))?;
    for (number, is_open) in (0..FIRST).zip(found) {
        // A descriptor with O_PATH is open, but can't be polled.
        if !is_open && !sys::fs::is_open(number) {
            open_null(number).map_err(|errno| {
                let what = format!("descriptor {number} is closed; opening /dev/null for it");
                Error::call(what, errno)
            })?;
        }
    }
    Ok(())
}

/// Opens /dev/null as the descriptor `number`, the first one that is free, without close-on-exec.
fn open_null(number: i32) -> sys::Result<()> {
    let null = open(c"/dev/null", OFlag::O_RDWR, Mode::empty())?;
    let stat = fstat(&null)?;
    let is_device = sys::fs::file_type(&stat) == SFlag::S_IFCHR;
    // A regular file in its place would become the container's stdio.
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != (1, 3) {
        return Err(Errno::ENODEV);
    }
    if null.into_raw_fd() == number { Ok(()) } else { Err(Errno::EBADF) }
}

/// Sets close-on-exec on all inherited descriptors, for a command that is itself passed one.
pub fn set_inherited_fds_cloexec() -> Result<()> {
    sys::fs::hide_from(FIRST).map_err(|errno| Error::call("hiding the caller's descriptors", errno))
}

/// Closes all inherited descriptors but the first `count` from 3 on, which get close-on-exec: only
/// the container's program gets them. One of these that is not open is an error. Must be called
/// before anything is opened.
pub fn close_inherited_fds(count: u32) -> Result<()> {
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
