//! Pseudo-terminals: the peer of a master by descriptor, window size, raw mode.

use crate::{Result, check, owned};
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// The request to make a terminal the controlling one, as a seccomp filter sees it. Its type depends
/// on the C library.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless, clippy::cast_sign_loss)]
pub const TIOCSCTTY: u64 = libc::TIOCSCTTY as u64;

/// Unlocks the slave of `master`, so that it can be opened.
pub fn unlock(master: impl AsFd) -> Result<()> {
    let locked: libc::c_int = 0;
    let fd = master.as_fd().as_raw_fd();
    // SAFETY: TIOCSPTLCK reads an int, which outlives the call.
    let returned = unsafe { libc::ioctl(fd, libc::TIOCSPTLCK, &raw const locked) };
    check(returned.into())?;
    Ok(())
}

/// Opens the slave of `master` without a path lookup (`TIOCGPTPEER`), not as controlling terminal.
pub fn peer(master: impl AsFd) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags by value and returns a descriptor.
    owned(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())
}

/// Makes `terminal` the controlling terminal of this session leader.
pub fn set_controlling(terminal: impl AsFd) -> Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) }.into())?;
    Ok(())
}

/// The size of `terminal`; `ENOTTY` if it is none.
pub fn size(terminal: impl AsFd) -> Result<Size> {
    let mut raw = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: TIOCGWINSZ fills a winsize, which outlives the call.
    let returned = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut raw) };
    check(returned.into())?;
    Ok(Size { rows: raw.ws_row, columns: raw.ws_col })
}

/// Sets the size of `terminal`; its foreground processes get SIGWINCH if it changed.
pub fn set_size(terminal: impl AsFd, size: Size) -> Result<()> {
    let raw = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: TIOCSWINSZ reads a winsize, which outlives the call.
    let returned = unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &raw const raw) };
    check(returned.into())?;
    Ok(())
}

/// Stops `terminal` from turning each newline into carriage return and newline.
pub fn clear_onlcr(terminal: impl AsFd) -> Result<()> {
    let mut attributes = tcgetattr(&terminal)?;
    attributes.output_flags.remove(OutputFlags::ONLCR);
    tcsetattr(&terminal, SetArg::TCSANOW, &attributes)
}

/// Sets `terminal` to raw mode, and gives what it was, for [`restore`].
pub fn set_raw(terminal: impl AsFd) -> Result<Termios> {
    let before = tcgetattr(&terminal)?;
    let mut raw = before.clone();
    cfmakeraw(&mut raw);
    // The inner terminal processes output; the outer one must still do what its user set.
    raw.output_flags = before.output_flags;
    tcsetattr(&terminal, SetArg::TCSANOW, &raw)?;
    Ok(before)
}

/// Sets `terminal` to what [`set_raw`] gave.
pub fn restore(terminal: impl AsFd, before: &Termios) -> Result<()> {
    tcsetattr(&terminal, SetArg::TCSANOW, before)
}
