//! What holds of notes that another process has written, whatever their bytes are. `just fuzz` searches for
//! bytes of which it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::wire::{Carried, read, write};

/// Notes are the same when they are written again, and what is around them stays.
pub fn notes(bytes: &[u8]) {
    let Some(Carried { origin, notes, rest }) = read(bytes) else { return };
    assert!(rest.len() < bytes.len());
    let again = read(&[&write(origin, &notes)[..], b"after"].concat()).unwrap();
    assert_eq!(again, Carried { origin, notes, rest: b"after".to_vec() });
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_property() {
    seeds::hold("timing", notes);
}
