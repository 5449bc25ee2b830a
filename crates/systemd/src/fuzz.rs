//! What holds of messages, addresses and properties, whatever their bytes are. `just fuzz` searches for bytes
//! of which it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::address::{outer_uid, parse};
use crate::annotation::{annotation, kind_of};
use crate::name::{check_unit_name, slice_path};
use crate::wire::{Call, Kind, Message, Value, Writer, message_length, read};

/// What comes from a bus: its length is known before it is read, it is read only as long as that, and a
/// text in it comes back as it was when rind writes it.
pub fn message(bytes: &[u8]) {
    let Ok(Some(length)) = message_length(bytes) else { return };
    assert!(length >= 16);
    let Some(whole) = bytes.get(..length) else { return assert!(read(bytes).is_err()) };
    assert!(length == bytes.len() || read(bytes).is_err());
    assert!(read(&whole[..length - 1]).is_err());
    let Ok(message) = read(whole) else { return };
    if let Kind::Error(_, name) = &message.kind {
        // What is no UTF-8 becomes at most three bytes for each.
        assert!(name.len() <= 3 * length);
    }
    assert!(message.sender.len() <= 3 * length);
    if let Some(text) = values(&message) {
        check_text(text);
    }
}

/// Asks a body for each kind of value that rind asks for; gives a text if there is one.
fn values(message: &Message) -> Option<String> {
    let mut values = message.values();
    while let Some(text) = values.text() {
        assert!(text.len() <= 1 << 27);
    }
    let _ = message.values().job_in_variant();
    let mut values = message.values();
    let _ = (values.u32(), values.text(), values.text(), values.text());
    message.values().text_in_variant().or_else(|| message.values().text())
}

fn check_text(text: String) {
    let arguments = [Value::U32(1), Value::Variant(Box::new(Value::Text(text.clone())))];
    let call = Call {
        destination: "a.b",
        path: "/",
        interface: "a.b",
        member: "C",
        arguments: &arguments,
    };
    let written = call.message(1);
    let again = read(&written).unwrap();
    let mut values = again.values();
    assert_eq!((values.u32(), values.text_in_variant()), (Some(1), Some(text)));
}

/// Addresses of buses, a `uid_map`, a unit's name, and an annotation, whose name is the first line.
pub fn words(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for address in parse(text) {
        assert!(!address.is_private && address.path.len() <= text.len());
    }
    if let Some(outer) = outer_uid(7, text) {
        assert!(text.split_whitespace().count() >= 3, "{outer}");
    }
    if check_unit_name(text).is_ok() {
        assert!(!text.contains(['/', '\n']) && text != "." && text != "..");
    }
    if let Ok(path) = slice_path(text) {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        assert!(
            parts.all(|part| part.strip_suffix(".slice").is_some_and(|name| !name.is_empty())),
            "{path}"
        );
    }
    let (name, value) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(property) = annotation(name, value) {
        assert_eq!(Some(property.value.signature().as_str()), kind_of(&property.name));
        let mut writer = Writer::default();
        writer.value(&property.value);
        // A byte takes two letters at least, and every other value has as many letters as a twelfth of it.
        assert!(writer.0.len() <= 16 + 12 * text.len(), "{text}");
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("dbus", message);
    seeds::hold("words", words);
}
