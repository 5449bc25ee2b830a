//! Network devices by rtnetlink(7): finding one, moving it to another namespace, its addresses.

use crate::{Errno, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// `IFLA_NEW_IFINDEX`, which libc lacks.
const IFLA_NEW_IFINDEX: u16 = 49;

/// What of an address makes it up, besides its family, prefix and scope; not its label, which holds
/// the device's name.
const KEPT: [u16; 5] =
    [libc::IFA_ADDRESS, libc::IFA_LOCAL, libc::IFA_BROADCAST, libc::IFA_FLAGS, IFA_RT_PRIORITY];

const IFA_RT_PRIORITY: u16 = 9;

/// As large as the kernel makes one part of a list.
const BUFFER: usize = 32 * 1024;

/// How often a list is asked for again that changed while it was read.
const DUMP_RETRIES: usize = 16;

const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;

/// A socket to the devices of one network namespace, whichever the process is in later.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `AF_*`.
    pub family: u8,
    /// The length of the network's part, in bits.
    pub prefix: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// `IFA_F_*`.
    pub flags: u32,
    /// The rest, as the kernel tells and takes it.
    pub(crate) attributes: Vec<u8>,
}

/// Where a device is moved.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The network namespace.
    pub namespace: &'a OwnedFd,
    /// The device's number there, which must be free.
    pub index: i32,
    /// Its name there; with `%d` a free one that the kernel picks.
    pub name: &'a str,
}

impl Netlink {
    /// For the network namespace that the process is in.
    pub fn open() -> Result<Self> {
        let (kind, protocol) = (SockType::Raw, SockProtocol::NetlinkRoute);
        let socket = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// For `namespace`, which the process, of one thread, is in for this moment; `own` is where it
    /// belongs.
    pub fn open_in(namespace: &OwnedFd, own: &OwnedFd) -> Result<Self> {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let opened = Self::open();
        setns(own, CloneFlags::CLONE_NEWNET)?;
        opened
    }

    /// The number of the device `name`, if there is one.
    pub fn index_of(&mut self, name: &str) -> Result<Option<i32>> {
        let mut request = link_message(0, 0);
        put_name(&mut request, name)?;
        self.find_link(&request)
    }

    /// Whether a device has the number `index`.
    pub fn has_index(&mut self, index: i32) -> Result<bool> {
        Ok(self.find_link(&link_message(index, 0))?.is_some())
    }

    /// All addresses of the device `index`, in the kernel's order.
    pub fn addresses(&mut self, index: i32) -> Result<Vec<Address>> {
        for _ in 0..DUMP_RETRIES {
            let mut found = Vec::new();
            let flags = libc::NLM_F_DUMP;
            let whole = self.ask(libc::RTM_GETADDR, flags, &[0; ADDRESS], &mut |kind, body| {
                let of = body.get(4..ADDRESS).map(number);
                if kind == libc::RTM_NEWADDR && of == Some(index.cast_unsigned()) {
                    found.extend(parse_address(body));
                }
            })?;
            if whole {
                return Ok(found);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Moves the device `index` to another namespace, which sets it down and takes its addresses.
    pub fn move_link(&mut self, index: i32, target: &Target) -> Result<()> {
        let mut request = link_message(index, 0);
        let namespace = target.namespace.as_fd().as_raw_fd();
        put(&mut request, libc::IFLA_NET_NS_FD, &namespace.to_ne_bytes())?;
        put(&mut request, IFLA_NEW_IFINDEX, &target.index.to_ne_bytes())?;
        put_name(&mut request, target.name)?;
        self.change(libc::RTM_SETLINK, 0, &request)
    }

    /// Renames the device `index`, which must be down; see [`Target::name`].
    pub fn rename(&mut self, index: i32, name: &str) -> Result<()> {
        let mut request = link_message(index, 0);
        put_name(&mut request, name)?;
        self.change(libc::RTM_SETLINK, 0, &request)
    }

    /// Sets the device `index` up.
    pub fn set_up(&mut self, index: i32) -> Result<()> {
        self.change(libc::RTM_SETLINK, 0, &link_message(index, libc::IFF_UP.cast_unsigned()))
    }

    /// Gives an address to the device `index`, which may have it already.
    pub fn add_address(&mut self, index: i32, address: &Address) -> Result<()> {
        let [flags, ..] = address.flags.to_le_bytes();
        let mut request = vec![address.family, address.prefix, flags, address.scope];
        request.extend(index.to_ne_bytes());
        request.extend(&address.attributes);
        self.change(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &request)
    }

    fn find_link(&mut self, request: &[u8]) -> Result<Option<i32>> {
        let mut found = None;
        let asked = self.ask(libc::RTM_GETLINK, libc::NLM_F_ACK, request, &mut |kind, body| {
            if kind == libc::RTM_NEWLINK {
                found = body.get(4..8).map(|index| number(index).cast_signed());
            }
        });
        match asked {
            Err(Errno::ENODEV) => Ok(None),
            asked => asked.map(|_| found),
        }
    }

    fn change(&mut self, kind: u16, flags: libc::c_int, request: &[u8]) -> Result<()> {
        self.ask(kind, flags | libc::NLM_F_ACK, request, &mut |_, _| ()).map(drop)
    }

    /// Sends a request, and gives its answers, type and body, to `take` up to the last. `false` if
    /// what they list has changed meanwhile.
    fn ask(
        &mut self,
        kind: u16,
        flags: libc::c_int,
        body: &[u8],
        take: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<bool> {
        self.sequence += 1;
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).map_err(|_| Errno::EINVAL)?;
        let length = u32::try_from(HEADER + body.len()).map_err(|_| Errno::EMSGSIZE)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let (mut buffer, mut whole) = (vec![0; BUFFER], true);
        loop {
            let received = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            let mut rest = buffer.get(..received).ok_or(Errno::EMSGSIZE)?;
            while let Some((header, body, after)) = split_message(rest) {
                rest = after;
                if header.sequence != self.sequence {
                    continue;
                }
                whole &= header.flags & libc::NLM_F_DUMP_INTR == 0;
                match libc::c_int::from(header.kind) {
                    // An answer to the request itself: zero, or an error.
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        let errno = body.get(..4).map_or(0, |code| number(code).cast_signed());
                        return if errno == 0 { Ok(whole) } else { Err(Errno::from_raw(-errno)) };
                    }
                    _ => take(header.kind, body),
                }
            }
        }
    }
}

pub(crate) struct Header {
    pub kind: u16,
    flags: libc::c_int,
    sequence: u32,
}

/// The first message of what was received: its header, its body, and what follows it.
pub(crate) fn split_message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let length = usize::try_from(number(bytes.get(..4)?)).ok()?;
    let header = Header {
        kind: short(bytes.get(4..6)?),
        flags: short(bytes.get(6..8)?).into(),
        sequence: number(bytes.get(8..12)?),
    };
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header, bytes.get(HEADER..length)?, after))
}

/// An `ifinfomsg` for the device `index`, with `flags` to be set.
fn link_message(index: i32, flags: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(LINK + 64);
    message.extend([0; 4]);
    message.extend(index.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message
}

fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) -> Result<()> {
    let length = u16::try_from(4 + value.len()).map_err(|_| Errno::EMSGSIZE)?;
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    Ok(())
}

fn put_name(message: &mut Vec<u8>, name: &str) -> Result<()> {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    put(message, libc::IFLA_IFNAME, &value)
}

pub(crate) fn parse_address(body: &[u8]) -> Option<Address> {
    let (head, mut rest) = body.split_at_checked(ADDRESS)?;
    let [family, prefix, flags, scope, ..] = *head else { return None };
    let mut address =
        Address { family, prefix, scope, flags: flags.into(), attributes: Vec::new() };
    while let Some(length) = rest.get(..2).map(short).map(usize::from) {
        let attribute = rest.get(..length).filter(|attribute| attribute.len() >= 4)?;
        let (kind, value) = (short(attribute.get(2..4)?), attribute.get(4..)?);
        if kind == libc::IFA_FLAGS {
            address.flags = number(value.get(..4)?);
        }
        if KEPT.contains(&kind) {
            put(&mut address.attributes, kind, value).ok()?;
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(address)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_ne_bytes)
}

fn short(bytes: &[u8]) -> u16 {
    bytes.try_into().map_or(0, u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_loopback_device_is_found() {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.index_of("lo"), Ok(Some(1)));
        assert_eq!(netlink.index_of("no-such-device"), Ok(None));
        assert_eq!(netlink.has_index(1), Ok(true));
        assert_eq!(netlink.has_index(i32::MAX), Ok(false));
        assert!(netlink.addresses(i32::MAX).unwrap().is_empty());
    }

    #[test]
    fn addresses_are_kept_without_their_label() {
        let mut body = vec![2, 24, 0x80, 0, 7, 0, 0, 0];
        put(&mut body, libc::IFA_LOCAL, &[10, 0, 0, 1]).unwrap();
        put(&mut body, libc::IFA_LABEL, b"eth0\0").unwrap();
        put(&mut body, libc::IFA_FLAGS, &0x280_u32.to_ne_bytes()).unwrap();
        let address = parse_address(&body).unwrap();
        assert_eq!((address.family, address.prefix, address.flags), (2, 24, 0x280));
        let mut kept = Vec::new();
        put(&mut kept, libc::IFA_LOCAL, &[10, 0, 0, 1]).unwrap();
        put(&mut kept, libc::IFA_FLAGS, &0x280_u32.to_ne_bytes()).unwrap();
        assert_eq!(address.attributes, kept);
    }

    #[test]
    fn messages_cut_short_are_none() {
        assert!(split_message(&[]).is_none());
        assert!(split_message(&[255; 12]).is_none());
        assert!(parse_address(&[0; 7]).is_none());
        assert!(parse_address(&[0; 9]).is_some());
        assert!(parse_address(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]).is_none());
    }
}
