//! What holds of each kind of document, whatever its bytes are. `just fuzz` searches for bytes of which it
//! doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::Examined;
use crate::document::Normalize;
use crate::{keys, normalize, parse, parse_mounts, parse_process, parse_resources};
use oci_spec::runtime::LinuxResources;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use sys::Error;

/// The name of the document.
const NAME: &str = "x";

/// A config.json.
pub fn config(text: &[u8]) {
    let accepted =
        check(text, normalize::spec, |text| parse(text, Path::new(NAME), &mut Vec::new()));
    // `rind check` finds something exactly where `create` does, and comes to an end.
    let mut examined = Examined::new(PathBuf::from("/"), text.to_owned());
    assert_eq!(accepted.is_some(), examined.problems.is_empty(), "{:?}", examined.problems);
    for property in ["mounts[0].source", "linux.namespaces[0].path", "process.args"] {
        examined.leave_out(property);
    }
}

/// A process.json.
pub fn process(text: &[u8]) {
    check(text, normalize::process, |text| parse_process(text, Path::new(NAME), &mut Vec::new()));
}

/// The limits of `update`; gives them if they are accepted.
#[must_use]
pub fn resources(text: &[u8]) -> Option<LinuxResources> {
    check(text, normalize::resources, |text| {
        parse_resources(text, Path::new(NAME), &mut Vec::new())
    })
}

/// The mounts of `mounts add`.
pub fn mounts(text: &[u8]) {
    for has_user_namespace in [false, true] {
        check(
            text,
            |_, _| {},
            |text| parse_mounts(text, Path::new(NAME), has_user_namespace, &mut Vec::new()),
        );
    }
}

/// A document that is refused is so for a place in it. One that is accepted is JSON, and means the same
/// when the normalizer has written it.
fn check<T: Debug + PartialEq>(
    text: &[u8],
    normalize: Normalize,
    parse: impl Fn(&[u8]) -> Result<T, Error>,
) -> Option<T> {
    let accepted = parse(text).map_err(|error| check_place(text, &error)).ok()?;
    serde_json::from_slice::<IgnoredAny>(text).unwrap();
    // What serde passes over may be more than a tree can hold: numbers too large, halves of letters,
    // brackets too deep.
    if let Ok(mut tree) = serde_json::from_slice(text) {
        keys::respell(&mut tree);
        normalize(&mut tree, &mut Vec::new());
        let written = Value::to_string(&tree);
        match parse(written.as_bytes()) {
            Ok(again) => assert_eq!(accepted, again, "{written}"),
            Err(error) => panic!("{error}, but not before it was written so: {written}"),
        }
    }
    Some(accepted)
}

/// Lines and columns count from 1. The end of a line, and of the text, is a place too.
fn check_place(text: &[u8], error: &Error) {
    let error = error.to_string();
    let mut fields = error.strip_prefix("x:").unwrap().split([':', ' ']);
    let mut number = || fields.next().unwrap().parse::<usize>().unwrap();
    let (line, column) = (number(), number());
    let found = text.split(|byte| *byte == b'\n').nth(line.checked_sub(1).unwrap());
    assert!((1..=found.unwrap().len() + 1).contains(&column), "{error}");
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::seeds::hold;

    #[test]
    fn the_seeds_keep_the_properties() {
        hold("config", super::config);
        hold("process", super::process);
        hold("resources", |text| drop(super::resources(text)));
        hold("mounts", super::mounts);
    }
}
