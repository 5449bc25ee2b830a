//! Who gets the master of a process's terminal: the listener at the console socket, or rind itself.

use crate::foreground::console::own_size;
use crate::{Error, Explain, Result};
use oci_spec::runtime::Process;
use process::Console;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::socket;
use sys::terminal::Size;

/// Checks that a terminal has somebody who takes its master, and the other way round: the listener
/// at `socket` if rind leaves the process running (`detached`), else rind itself.
pub(crate) fn check(
    process: Option<&Process>,
    socket: Option<&Path>,
    detached: bool,
) -> Result<()> {
    let wants = process.and_then(Process::terminal).unwrap_or(false);
    let why = match (wants, socket.is_some(), detached) {
        (true, false, true) => {
            "cannot allocate tty without setting console socket (--console-socket)"
        }
        (false, true, _) => {
            "cannot use console socket (--console-socket) if no terminal is asked for"
        }
        (true, true, false) => "cannot use console socket (--console-socket) without --detach",
        _ => return Ok(()),
    };
    Err(Error::new(why).about("process.terminal"))
}

/// Connects to the console socket that gets the terminal's master, or without one makes a socket
/// pair: then the second value is rind's end. None without a terminal.
pub(crate) fn plan(
    process: Option<&Process>,
    socket: Option<&Path>,
) -> Result<(Option<Console>, Option<OwnedFd>)> {
    let Some(process) = process.filter(|p| p.terminal().unwrap_or(false)) else {
        return Ok((None, None));
    };
    let dimension = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let configured = process
        .console_size()
        .map(|size| Size { rows: dimension(size.height()), columns: dimension(size.width()) });
    if let Some(path) = socket {
        let socket = socket::connect_stream(path).on("connecting to the console socket", path)?;
        return Ok((Some(Console { socket, size: configured }), None));
    }
    let (ours, theirs) = socket::pair().within("making a socket pair")?;
    let console = Console { socket: theirs, size: configured.or_else(own_size) };
    Ok((Some(console), Some(ours)))
}
