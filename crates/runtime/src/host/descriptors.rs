//! The descriptors that rind inherits: the container gets those that `--preserve-fds` and
//! `LISTEN_FDS` name, and no other program gets any.

use crate::{Error, Explain, Result};

/// The first descriptor after stdin, stdout and stderr.
const FIRST: i32 = 3;

/// How many sockets to listen on the caller passes, from descriptor 3 on (`sd_listen_fds(3)`).
#[must_use]
pub fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let for_us = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    if for_us { number("LISTEN_FDS").unwrap_or(0) } else { 0 }
}

/// Sets close-on-exec on all inherited descriptors, for a command that is itself passed one.
pub fn set_inherited_fds_cloexec() -> Result<()> {
    sys::fs::hide_from(FIRST).within("hiding the caller's descriptors")
}

/// Closes all inherited descriptors but the first `count` from 3 on, which get close-on-exec: only
/// the container's program gets them. One of these that is not open is an error. Must be called
/// before anything is opened.
pub fn close_inherited_fds(count: u32) -> Result<()> {
    for number in (FIRST..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        if !sys::fs::is_open(number) {
            let text = format!("descriptor {number} is not open (of {count} from {FIRST} on)");
            return Err(Error::new(text).about("--preserve-fds"));
        }
    }
    let hidden = if count > 0 { sys::fs::hide_from(FIRST) } else { Ok(()) };
    let first = i32::try_from(count).unwrap_or(i32::MAX).saturating_add(FIRST);
    hidden.and_then(|()| sys::fs::close_inherited(first)).within("closing the caller's descriptors")
}
