//! What holds of the records of processes, whatever their bytes are. `just fuzz` searches for bytes of which
//! it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::identity::parse_stat;
use crate::store::{check_id, init_text, parse_init};

/// A record of an init is the same when it is written again. No name of a process and no id changes what
/// else there is to read.
pub fn init(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        if let Some((init, boot)) = parse_init(text) {
            assert_eq!(parse_init(&init_text(init)), Some((init, None)));
            let whole = boot.map(|boot| format!("{} {boot}", init_text(init)));
            assert!(whole.is_none_or(|whole| parse_init(&whole) == Some((init, boot))));
        }
        if check_id(text).is_ok() {
            assert!(!text.contains('/') && !["", ".", ".."].contains(&text) && text.len() <= 255);
        }
    }
    let _ = parse_stat(bytes);
    check_name(bytes);
}

/// The kernel cuts names after 15 bytes, and a NUL ends them.
fn check_name(bytes: &[u8]) {
    let name: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).take(15).collect();
    let after =
        b") Z 1 7 7 0 -1 4194304 0 0 0 0 1 2 3 4 20 0 1 0 8844 0 0 18446744073709551615 0 0 0 0 0 \
        0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
    let stat = parse_stat(&[&b"7 ("[..], &name, after].concat()).unwrap();
    assert_eq!((stat.pid, stat.state, stat.starttime), (7, 'Z', 8844), "{name:?}");
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("words", init);
}
