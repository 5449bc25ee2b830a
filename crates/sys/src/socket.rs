//! Unix sockets that carry descriptors.

use crate::{Errno, Result};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    bind, connect, recvmsg, sendmsg, setsockopt, socket, socketpair,
};
use nix::sys::time::TimeVal;
use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

/// How many descriptors one message may carry: the kernel's own bound (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// A connected pair of sockets that keep message boundaries (`SOCK_SEQPACKET`).
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Connects to the stream socket at `path`.
pub fn connect_stream(path: &Path) -> Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

/// Makes a datagram socket that others send to, in a directory; reading from it waits for nothing.
pub fn bind_datagram(directory: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // A path below the directory, however long its own is.
    let directory = directory.as_fd().as_raw_fd();
    let path = format!("/proc/self/fd/{directory}/{}", name.to_string_lossy());
    bind(socket.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    Ok(socket)
}

/// Connects to a socket of this kind: at a path, or of a name that is `abstract` (unix(7)).
///
/// That, and sending over it, waits at most `patience`, in whole seconds and at least one; after that
/// it's `EAGAIN`.
pub fn connect_within(
    kind: SockType,
    name: &[u8],
    is_abstract: bool,
    patience: Duration,
) -> Result<OwnedFd> {
    let address = if is_abstract { UnixAddr::new_abstract(name)? } else { UnixAddr::new(name)? };
    let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // None at all would be no limit.
    let seconds = patience.as_secs().max(1).try_into().unwrap_or(i64::MAX);
    setsockopt(&socket, SendTimeout, &TimeVal::new(seconds, 0))?;
    connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

/// Sends one message with descriptors. A closed peer is `EPIPE`, without SIGPIPE.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd]) -> Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
    let data = [IoSlice::new(bytes)];
    loop {
        let fd = socket.as_fd().as_raw_fd();
        match sendmsg::<()>(fd, &data, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(n) if n == bytes.len() => return Ok(()),
            Ok(_) => return Err(Errno::EMSGSIZE),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Receives one message: its length in `buffer`, 0 when the peer has closed, and its descriptors.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    loop {
        let mut data = [IoSliceMut::new(buffer)];
        let fd = socket.as_fd().as_raw_fd();
        match recvmsg::<()>(fd, &mut data, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Ok(message) => {
                let mut descriptors = Vec::new();
                for part in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(raw) = part {
                        // SAFETY: the kernel has just installed these descriptors for this
                        // process, so nothing else owns them.
                        descriptors
                            .extend(raw.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }));
                    }
                }
                return Ok((message.bytes, descriptors));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
