//! The encoding of protocol buffers (protobuf.dev, Encoding), as far as criu's messages need it:
//! numbers, strings and nested messages. Reading must never trust a length that criu sends.

use crate::Error;

/// Writes a message field by field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

/// The two wire types in criu's messages.
const NUMBER: u64 = 0;
const BYTES: u64 = 2;

impl Writer {
    /// Adds a number, a bool or an enum's number.
    pub fn add_number(&mut self, field: u32, value: impl Into<u64>) {
        self.varint(u64::from(field) << 3 | NUMBER);
        self.varint(value.into());
    }

    /// Adds a string.
    pub fn add_bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Adds a nested message.
    pub fn add_message(&mut self, field: u32, value: &Self) {
        self.add_bytes(field, &value.0);
    }

    /// The encoded message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a base-128 varint: seven bits per byte, the lowest first.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number, a bool or an enum's number.
    Number(u64),
    /// A string or a nested message.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number; 0 for a value of another type.
    pub fn as_u64(self) -> u64 {
        if let Self::Number(number) = self { number } else { 0 }
    }

    /// The number as an `int32`, which the encoding extends to 64 bits by its sign.
    pub fn as_i32(self) -> i32 {
        let [a, b, c, d, ..] = self.as_u64().to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    }

    /// The bytes; empty for a value of another type.
    pub fn as_bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

/// The fields of an encoded message, in order.
pub(crate) fn fields(mut bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Error> {
    let broken = || Error::new("criu has sent what is no message of its protocol");
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes).ok_or_else(broken)?;
        let field = u32::try_from(tag >> 3).map_err(|_| broken())?;
        let value = match tag & 7 {
            NUMBER => Value::Number(varint(&mut bytes).ok_or_else(broken)?),
            BYTES => {
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
                Value::Bytes(take(&mut bytes, length.ok_or_else(broken)?).ok_or_else(broken)?)
            }
            // Fixed-width values, which no message of criu's has today.
            1 => skip(&mut bytes, 8).ok_or_else(broken)?,
            5 => skip(&mut bytes, 4).ok_or_else(broken)?,
            _ => return Err(broken()),
        };
        found.push((field, value));
    }
    Ok(found)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn skip<'a>(bytes: &mut &'a [u8], length: usize) -> Option<Value<'a>> {
    take(bytes, length).map(Value::Bytes)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_message_is_as_the_protocol_has_it() {
        // The examples of the encoding's own documentation.
        let mut message = Writer::default();
        message.add_number(1, 150u32);
        message.add_bytes(2, b"testing");
        assert_eq!(message.as_bytes(), b"\x08\x96\x01\x12\x07testing");
        let mut outer = Writer::default();
        outer.add_message(3, &message);
        assert_eq!(outer.as_bytes(), b"\x1a\x0c\x08\x96\x01\x12\x07testing");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut message = Writer::default();
        message.add_number(34, true);
        message.add_number(51, u64::MAX);
        message.add_bytes(1000, b"");
        let read = fields(message.as_bytes()).unwrap();
        let expected =
            [(34, Value::Number(1)), (51, Value::Number(u64::MAX)), (1000, Value::Bytes(b""))];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_negative_int_is_read() {
        let read = fields(b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").unwrap();
        assert_eq!((read[0].0, read[0].1.as_i32()), (7, -1));
    }

    #[test]
    fn fields_of_fixed_width_are_passed_over() {
        let read = fields(b"\x09\x00\x00\x00\x00\x00\x00\x00\x00\x15\x00\x00\x00\x00\x18\x01");
        assert_eq!(read.unwrap().last(), Some(&(3, Value::Number(1))));
    }

    #[test]
    fn what_is_cut_off_or_nonsense_is_an_error() {
        for bytes in [&b"\x08"[..], b"\x08\x96", b"\x12\x07test", b"\x0b", b"\x80", b"\x09\x00"] {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
        assert!(fields(&[0xff; 11]).is_err());
    }
}
