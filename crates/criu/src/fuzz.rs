//! What holds of a response, whatever its bytes are. `just fuzz` searches for bytes of which it doesn't, and
//! the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::Response;
use crate::wire::{Value, Writer, fields};

/// What criu sends: rind refuses it, or finds the same fields in it when they are written again.
pub fn response(bytes: &[u8]) {
    if let Ok(response) = Response::read(bytes) {
        assert!(response.features.len() <= bytes.len());
        assert!(!response.failure().to_string().is_empty());
    }
    let Ok(found) = fields(bytes) else { return };
    let mut writer = Writer::default();
    for (field, value) in &found {
        match value {
            Value::Number(number) => writer.add_number(*field, *number),
            Value::Bytes(bytes) => writer.add_bytes(*field, bytes),
        }
    }
    assert_eq!(fields(writer.as_bytes()).unwrap(), found);
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("criu", response);
}
