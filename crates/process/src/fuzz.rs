//! What holds of messages and lists, whatever their bytes are. `just fuzz` searches for bytes of which it
//! doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::fault::Object;
use crate::list;
use crate::message::{MAX_DETAIL, receive, report, send};
use std::os::fd::AsFd;
use sys::{Errno, socket};

/// The most bytes of a message that are tried: more than any has.
const MOST: usize = MAX_DETAIL * 2;

/// What a child sends: the parent refuses it, or has words for it, and what it has read is the same when
/// it is sent again.
pub fn message(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let (child, parent) = socket::pair().unwrap();
    socket::send(&child, bytes, &[]).unwrap();
    let message = match receive(parent.as_fd()) {
        Ok(Some(message)) => message,
        Ok(None) => return assert!(bytes.is_empty()),
        Err(errno) => return assert_eq!(errno, Errno::EPROTO),
    };
    match &message.fault {
        Some(fault) => {
            assert!(fault.detail.len() <= MAX_DETAIL);
            for is_exec in [false, true] {
                let object = Object { program: Some(c"/x"), cwd: None, is_exec, label: None };
                assert!(!fault.to_error(&object).to_string().is_empty());
            }
            report(child.as_fd(), fault).unwrap();
        }
        None => send(child.as_fd(), message.kind, message.index, &[]).unwrap(),
    }
    let again = receive(parent.as_fd()).unwrap().unwrap();
    assert_eq!(
        (again.kind, again.index, again.fault),
        (message.kind, message.index, message.fault)
    );
}

/// A list of CPUs or memory nodes: its mask is no longer than a page, and is that of its numbers one by
/// one.
pub fn cpus(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(mask) = list::bits(text) else { return };
    assert!(size_of_val(&mask[..]) <= 4096);
    let width = usize::BITS as usize;
    let has = |number: &usize| mask[number / width] >> (number % width) & 1 == 1;
    let numbers = (0..mask.len() * width).filter(has).map(|number| number.to_string());
    let numbers: Vec<String> = numbers.collect();
    assert_eq!(list::bits(&numbers.join(",")), Ok(mask), "{text}");
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("message", message);
    seeds::hold("words", cpus);
}
