//! Sends descriptors over sockets that the caller names: a seccomp listener, and a pidfd.

use crate::container::hooks::State;
use crate::{Explain, Result};
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

/// Sends the seccomp listener of the process `pid` to the agent at `listener.path`, with the
/// container's `state` (config-linux.md, seccomp, listenerPath).
pub(crate) fn send_listener(
    listener: &Listener,
    descriptor: &OwnedFd,
    state: &State,
    pid: i32,
) -> Result<()> {
    let process = ProcessState {
        oci_version: &state.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: &listener.metadata,
        state,
    };
    let json = serde_json::to_vec(&process).within("linux.seccomp: the process state")?;
    send_fd(&listener.path, &json, descriptor, "sending the seccomp listener to")
}

/// Sends `bytes` and a descriptor to the stream socket at `path`. `step` is for messages.
pub(crate) fn send_fd(path: &Path, bytes: &[u8], descriptor: &OwnedFd, step: &str) -> Result<()> {
    let connected = socket::connect_stream(path);
    let sent = connected.and_then(|socket| socket::send(&socket, bytes, &[descriptor.as_fd()]));
    sent.on(step, path)
}
