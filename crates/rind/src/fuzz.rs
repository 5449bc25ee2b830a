//! What holds of a command line, whatever its words are. `just fuzz` searches for one of which it doesn't, and
//! the tests try those that are in `fuzz/seeds`.

#![allow(clippy::unwrap_used)]

use crate::args::{Arguments, find_flag, read};
use crate::commands::PROGRAM;
use crate::model::Parsed;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Words, one a line: rind refuses them with a text, or they mean the same in their plainest form.
pub fn arguments(bytes: &[u8]) {
    let words: Vec<OsString> =
        bytes.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec())).collect();
    match read(&PROGRAM, words.clone()) {
        Err(wrong) => assert!(wrong.status != 0 && !wrong.text.is_empty()),
        Ok(Arguments::Help(text)) => assert!(!text.is_empty()),
        Ok(Arguments::Command(parsed)) => {
            let (least, most) = parsed.entry.positional;
            assert!((least..=most).contains(&parsed.positional.len()));
            let Ok(Arguments::Command(again)) = read(&PROGRAM, plainest(&parsed)) else {
                panic!("refused in its plainest form: {words:?}")
            };
            assert_eq!(again.entry.name, parsed.entry.name);
            assert_eq!((again.positional, again.flags), (parsed.positional, parsed.flags));
        }
    }
}

/// Flags with their values in the same word, those of the program first, and positional arguments after
/// `--`.
fn plainest(parsed: &Parsed) -> Vec<OsString> {
    let flag = |(name, value): &(&str, String)| format!("--{name}={value}");
    // Those before the command are the first.
    let is_own = |name: &str| find_flag(parsed.entry.flags, name).is_some();
    let own = parsed.flags.iter().position(|(name, _)| is_own(name)).unwrap_or(parsed.flags.len());
    let (global, own) = parsed.flags.split_at(own);
    let words = global.iter().map(flag).chain([parsed.entry.name.to_owned()]);
    let words = words.chain(own.iter().map(flag)).chain(["--".to_owned()]);
    words.chain(parsed.positional.iter().cloned()).map(OsString::from).collect()
}

// The program is no library: as a target it is this function, in place of its own `main`.
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| arguments(bytes));

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("arguments", arguments);
}
