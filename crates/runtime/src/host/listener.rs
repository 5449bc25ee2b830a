//! Sends descriptors over sockets that the caller names: a seccomp listener, and a pidfd.

use crate::container::hooks::State;
use crate::{Explain, Result};
use process::Child;
use seccomp::Listener;
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::socket;

/// The container process state of the spec (config-linux.md, "The Container Process State").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

/// Sends the seccomp listener of `child`, its descriptor `number`, to the agent at `listener.path`,
/// and lets the child go on. The agent also gets the container's `state` and the process's `pid`
/// (config-linux.md, seccomp, listenerPath).
pub(crate) fn relay(
    child: &Child,
    number: i32,
    listener: Option<&Listener>,
    state: &State,
    pid: i32,
) -> Result<()> {
    let descriptor = child.descriptor(number)?;
    if let Some(Listener { path, metadata }) = listener {
        let (oci_version, fds) = (state.oci_version.as_str(), ["seccompFd"]);
        let process = ProcessState { oci_version, fds, pid, metadata, state };
        let json = serde_json::to_vec(&process).within("linux.seccomp: the process state")?;
        send_fd(path, &json, &descriptor, "sending the seccomp listener to")?;
    }
    child.proceed()
}

/// Sends `bytes` and a descriptor to the stream socket at `path`. `step` is for messages.
pub(crate) fn send_fd(path: &Path, bytes: &[u8], descriptor: &OwnedFd, step: &str) -> Result<()> {
    let connected = socket::connect_stream(path);
    let sent = connected.and_then(|socket| socket::send(&socket, bytes, &[descriptor.as_fd()]));
    sent.on(step, path)
}
