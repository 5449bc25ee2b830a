//! What holds of netlink's answers and of passwd(5), whatever their bytes are. `just fuzz` searches for bytes
//! of which it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::netlink::{parse_address, split_message};
use crate::passwd::{home, user};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{Seek, Write};

/// Answers one after the other: reading comes to an end, and an address is the same when the kernel is
/// told of it and tells it again.
pub fn netlink(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((header, body, after)) = split_message(rest) {
        assert!(after.len() + body.len() + 16 <= rest.len(), "kind {}", header.kind);
        rest = after;
        check_address(body);
    }
    check_address(bytes);
}

fn check_address(body: &[u8]) {
    let Some(address) = parse_address(body) else { return };
    // Each attribute is padded to four bytes.
    assert!(address.attributes.len() <= body.len() + 4);
    let [flags, ..] = address.flags.to_le_bytes();
    let mut again = vec![address.family, address.prefix, flags, address.scope, 0, 0, 0, 0];
    again.extend(&address.attributes);
    assert_eq!(parse_address(&again), Some(address));
}

/// A passwd: reading it in pieces finds what reading it as a whole does, but for lines too long.
pub fn passwd(bytes: &[u8]) {
    let mut file = File::from(memfd_create(c"passwd", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    let short = bytes.split(|byte| *byte == b'\n').filter(|line| line.len() < 4096);
    let short = short.collect::<Vec<_>>().join(&b'\n');
    for uid in [0, 7, 1000] {
        file.rewind().unwrap();
        let expected = user(&short, uid).map(|user| user.home.to_vec());
        assert_eq!(home(&file, uid), Ok(expected));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("netlink", netlink);
    seeds::hold("passwd", passwd);
}
