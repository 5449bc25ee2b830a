//! Telling the caller who a new process is: by a pid file, and by a pidfd over a socket.

use crate::host::{files, listener};
use crate::{Explain, Result};
use process::Child;
use std::path::Path;

/// Sends the pidfd of `child` to the stream socket `socket`, whose second part is what messages call
/// it, and writes its pid to `pid_file`.
pub(crate) fn publish_pid(
    socket: Option<(&Path, &str)>,
    pid_file: Option<&Path>,
    child: &Child,
) -> Result<()> {
    if let Some((path, what)) = socket {
        listener::send_fd(path, b"pidfd", &child.pidfd, what)?;
    }
    pid_file.map_or(Ok(()), |path| write(path, child.pid))
}

/// Puts a file with the bare number `pid` at `path`, whole.
pub(crate) fn write(path: &Path, pid: i32) -> Result<()> {
    files::replace(path, pid.to_string().as_bytes()).on("writing the pid file", path)
}
