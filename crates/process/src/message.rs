//! The messages between parent and child, over a `SOCK_SEQPACKET` pair (unix(7)).
//!
//! A message is sixteen bytes {kind, stage, index, errno}, then at most [`MAX_DETAIL`] bytes of
//! detail; descriptors come with it as ancillary data. The parent must not trust a child that is in
//! a container's mounts, so it checks every length and number.

use crate::Error;
use crate::fault::{During, Fault, Stage};
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::{Errno, process, socket};

/// The kind of a message, and who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Intermediate process: it is in a new user namespace and waits for the id mappings.
    Map,
    /// Intermediate process: it has made a time namespace and waits for the offsets.
    Clocks,
    /// Intermediate process: it is in all namespaces but the pid namespace, and goes on as init.
    Here,
    /// Builder: it has forked the process that forks the parked init; the index is the pid of that
    /// process.
    Parked,
    /// Builder: the root is made, and the builder ends.
    Made,
    /// Child: it failed; stage, index, errno and detail say how.
    Failed,
    /// Intermediate process, or the process itself: the process is forked; the index is its pid.
    Born,
    /// Child: the environment is made but for the change of root; prestart and createRuntime hooks
    /// may run.
    Hooks,
    /// Child: its seccomp filter is installed; the index is the number of the listener, which the
    /// parent fetches.
    Listener,
    /// Child: only the wait for `start` is left.
    Ready,
    /// Parent: it has written the id mappings, or the offsets of clocks.
    Mapped,
    /// Parent: cgroups and limits are made; the descriptors are the files by which to enter them.
    Go,
    /// Parent: it has run the hooks, fetched the listener, or set the scheduling.
    Continue,
    /// Parent: mounts for init to attach, as many as the index says; more may follow. Index 0 asks
    /// init for its mount namespace and root. Child: the descriptors of these two.
    Sources,
}

/// Every kind; a kind's index is its number on the wire.
const KINDS: [Kind; 14] = [
    Kind::Map,
    Kind::Clocks,
    Kind::Here,
    Kind::Parked,
    Kind::Made,
    Kind::Failed,
    Kind::Born,
    Kind::Hooks,
    Kind::Listener,
    Kind::Ready,
    Kind::Mapped,
    Kind::Go,
    Kind::Continue,
    Kind::Sources,
];

/// The longest detail of a failure, in bytes.
pub const MAX_DETAIL: usize = 2048;

const HEADER: usize = 16;

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// The kind.
    pub kind: Kind,
    /// A number; its meaning depends on the kind.
    pub index: u32,
    /// The failure, if the kind is [`Kind::Failed`].
    pub fault: Option<Fault>,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
}

/// Makes a channel: the parent's end and the child's.
pub(crate) fn channel() -> Result<(OwnedFd, OwnedFd), Error> {
    socket::pair().map_err(|errno| Error::call("making a socket pair", errno))
}

/// Sends a message that tells of no failure.
pub fn send(
    channel: BorrowedFd,
    kind: Kind,
    index: u32,
    descriptors: &[BorrowedFd],
) -> sys::Result<()> {
    socket::send(channel, &header(kind, 0, index, 0), descriptors)
}

/// In the parent: [`send`], which succeeds if the child is gone: the next read from the channel
/// says why.
pub fn send_if_alive(
    channel: BorrowedFd,
    kind: Kind,
    index: u32,
    descriptors: &[BorrowedFd],
) -> sys::Result<()> {
    match send(channel, kind, index, descriptors) {
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        sent => sent,
    }
}

/// In the child: sends the parent a message that is only a kind and a number, by write(2). The
/// seccomp filter may be installed already and forbid other system calls.
pub fn announce(channel: BorrowedFd, kind: Kind, index: u32) -> Result<(), Fault> {
    sys::fs::write_once(channel, &header(kind, 0, index, 0)).during(Stage::Channel)
}

/// In the child: waits for the parent's only possible message, by read(2) for the same reason. A
/// closed channel means that the parent is gone; the child then ends.
pub fn wait(channel: BorrowedFd) -> Result<(), Fault> {
    let mut bytes = [0; HEADER];
    loop {
        match sys::nix::unistd::read(channel, &mut bytes) {
            Err(Errno::EINTR) => {}
            Ok(0) => abandoned(),
            read => return read.map(drop).during(Stage::Channel),
        }
    }
}

/// In the child: sends the parent a failure, by write(2) for the same reason. Cuts a long detail.
pub fn report(channel: BorrowedFd, fault: &Fault) -> sys::Result<()> {
    let mut bytes = [0; HEADER + MAX_DETAIL];
    let head = header(Kind::Failed, fault.stage.to_wire(), fault.index, fault.errno as i32);
    let length = fault.detail.len().min(MAX_DETAIL);
    for (to, from) in bytes.iter_mut().zip(head.iter().chain(fault.detail.iter().take(length))) {
        *to = *from;
    }
    sys::fs::write_once(channel, bytes.get(..HEADER + length).unwrap_or(&bytes))
}

/// Receives one message; `None` if the other side has closed the channel, `EPROTO` for an invalid
/// message.
pub fn receive(channel: BorrowedFd) -> sys::Result<Option<Message>> {
    let mut bytes = [0; HEADER + MAX_DETAIL];
    let (length, descriptors) = match socket::receive(channel, &mut bytes) {
        // The other side closed without reading everything. The kernel reports that first, and only
        // then gives what the other side had sent.
        Err(Errno::ECONNRESET) => socket::receive(channel, &mut bytes)?,
        received => received?,
    };
    if length == 0 {
        return Ok(None);
    }
    let received = bytes.get(..length).ok_or(Errno::EPROTO)?;
    let (head, detail) = received.split_at_checked(HEADER).ok_or(Errno::EPROTO)?;
    let mut fields = head.chunks_exact(4).map(|f| <[u8; 4]>::try_from(f).unwrap_or_default());
    let mut next = || fields.next().map(u32::from_ne_bytes).ok_or(Errno::EPROTO);
    let (kind, stage, index, errno) = (next()?, next()?, next()?, next()?);
    let kind = usize::try_from(kind).ok().and_then(|k| KINDS.get(k)).ok_or(Errno::EPROTO)?;
    let fault = match kind {
        Kind::Failed => Some(Fault {
            stage: Stage::from_wire(stage).ok_or(Errno::EPROTO)?,
            index,
            errno: Errno::from_raw(errno.cast_signed()),
            detail: detail.to_vec(),
        }),
        _ => None,
    };
    Ok(Some(Message { kind: *kind, index, fault, descriptors }))
}

/// In the child: receives the one message that may come now. If the parent is gone, the child ends.
pub(crate) fn expect(channel: BorrowedFd, kind: Kind) -> Result<Message, Fault> {
    match receive(channel).during(Stage::Channel)? {
        Some(message) if message.kind == kind => Ok(message),
        Some(_) => Err(Fault::new(Stage::Channel, Errno::EPROTO)),
        None => abandoned(),
    }
}

/// Ends a child whose parent is gone.
fn abandoned() -> ! {
    process::exit_now(NOT_RUN)
}

/// The exit status of a child that can't run its program.
pub(crate) const NOT_RUN: i32 = 255;

fn header(kind: Kind, stage: u32, index: u32, errno: i32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let fields = [kind as u32, stage, index, errno.cast_unsigned()];
    for (to, from) in bytes.chunks_exact_mut(4).zip(fields) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_fault_arrives_as_it_was_sent() {
        let (a, b) = socket::pair().unwrap();
        let fault = Fault {
            stage: Stage::Rlimit,
            index: 7,
            errno: Errno::EPERM,
            detail: b"words".to_vec(),
        };
        report(a.as_fd(), &fault).unwrap();
        let message = receive(b.as_fd()).unwrap().unwrap();
        assert_eq!(message.kind, Kind::Failed);
        assert_eq!(message.fault, Some(fault));
    }

    #[test]
    fn a_detail_too_long_is_cut() {
        let (a, b) = socket::pair().unwrap();
        let detail = vec![b'x'; MAX_DETAIL * 2];
        let fault = Fault { detail, ..Fault::new(Stage::Exec, Errno::ENOEXEC) };
        report(a.as_fd(), &fault).unwrap();
        let received = receive(b.as_fd()).unwrap().unwrap().fault.unwrap();
        assert_eq!(received.detail.len(), MAX_DETAIL);
    }

    #[test]
    fn descriptors_travel_beside_a_message_and_a_closed_channel_is_none() {
        let (a, b) = socket::pair().unwrap();
        send(a.as_fd(), Kind::Go, 3, &[a.as_fd(), b.as_fd()]).unwrap();
        drop(a);
        let message = receive(b.as_fd()).unwrap().unwrap();
        assert_eq!((message.kind, message.index, message.descriptors.len()), (Kind::Go, 3, 2));
        drop(message);
        assert!(receive(b.as_fd()).unwrap().is_none());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let (a, b) = socket::pair().unwrap();
        for bytes in [&b"short"[..], &[0xff; HEADER][..]] {
            socket::send(&a, bytes, &[]).unwrap();
            assert_eq!(receive(b.as_fd()).unwrap_err(), Errno::EPROTO);
        }
    }
}
