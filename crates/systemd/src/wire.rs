//! The encoding of D-Bus messages (the specification's "Type System" and "Message Protocol"), as far
//! as a talk with systemd needs it: whole messages are written in little endian, and of those that
//! come the header and single values are read, in either.

/// A value, with its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `y`
    Byte(u8),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    Double(f64),
    /// `s`
    Text(String),
    /// `a`, of values whose type is `element`.
    Array {
        /// The signature of each, also where there is none.
        element: String,
        /// The values.
        items: Vec<Value>,
    },
    /// `(...)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl Value {
    /// A list of texts, `as`.
    #[must_use]
    pub fn texts<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Self {
        let items = texts.into_iter().map(|text| Self::Text(text.into())).collect();
        Self::Array { element: "s".to_owned(), items }
    }

    /// Its type's signature.
    #[must_use]
    pub fn signature(&self) -> String {
        match self {
            Self::Bool(_) => "b".to_owned(),
            Self::Byte(_) => "y".to_owned(),
            Self::I16(_) => "n".to_owned(),
            Self::U16(_) => "q".to_owned(),
            Self::I32(_) => "i".to_owned(),
            Self::U32(_) => "u".to_owned(),
            Self::I64(_) => "x".to_owned(),
            Self::U64(_) => "t".to_owned(),
            Self::Double(_) => "d".to_owned(),
            Self::Text(_) => "s".to_owned(),
            Self::Array { element, .. } => format!("a{element}"),
            Self::Struct(items) => {
                format!("({})", items.iter().map(Self::signature).collect::<String>())
            }
            Self::Variant(_) => "v".to_owned(),
        }
    }
}

/// Where a value of this type begins: at a multiple of this.
fn alignment(signature: &str) -> usize {
    match signature.bytes().next() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

/// Bytes that are written; padding is counted from their beginning.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.pad(N);
        self.0.extend(bytes);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.number(number.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, signature: &str) {
        // The longest that there is has 255 bytes, and none of ours comes near.
        self.0.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(on) => self.u32(u32::from(*on)),
            Value::Byte(byte) => self.0.push(*byte),
            Value::I16(number) => self.number(number.to_le_bytes()),
            Value::U16(number) => self.number(number.to_le_bytes()),
            Value::I32(number) => self.number(number.to_le_bytes()),
            Value::U32(number) => self.u32(*number),
            Value::I64(number) => self.number(number.to_le_bytes()),
            Value::U64(number) => self.number(number.to_le_bytes()),
            Value::Double(number) => self.number(number.to_le_bytes()),
            Value::Text(text) => self.text(text),
            Value::Array { element, items } => {
                self.array(alignment(element), |writer| {
                    for item in items {
                        writer.value(item);
                    }
                });
            }
            Value::Struct(items) => {
                self.pad(8);
                for item in items {
                    self.value(item);
                }
            }
            Value::Variant(value) => {
                self.signature(&value.signature());
                self.value(value);
            }
        }
    }

    /// An array, whose length doesn't count the padding before its first element.
    fn array(&mut self, alignment: usize, items: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.pad(alignment);
        let start = self.0.len();
        items(self);
        let written = length(self.0.len() - start).to_le_bytes();
        for (place, byte) in self.0.iter_mut().skip(length_at).zip(written) {
            *place = byte;
        }
    }
}

/// A length as it's written. Messages of ours have some kilobytes.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What a call says.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) arguments: &'a [Value],
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Nobody is asked to confirm anything in a dialogue.
const NO_FLAGS: u8 = 0;

/// Header fields, by number.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

impl Call<'_> {
    /// The whole message. An empty destination is left out, as between two peers.
    pub(crate) fn message(&self, serial: u32) -> Vec<u8> {
        let mut body = Writer::default();
        for value in self.arguments {
            body.value(value);
        }
        let mut message = Writer(vec![b'l', METHOD_CALL, NO_FLAGS, 1]);
        message.u32(length(body.0.len()));
        message.u32(serial);
        let signature: String = self.arguments.iter().map(Value::signature).collect();
        message.array(8, |fields| {
            let mut field = |number: u8, kind: &str, text: &str| {
                if text.is_empty() {
                    return;
                }
                fields.pad(8);
                fields.0.push(number);
                fields.signature(kind);
                if kind == "g" { fields.signature(text) } else { fields.text(text) }
            };
            field(PATH, "o", self.path);
            field(DESTINATION, "s", self.destination);
            field(INTERFACE, "s", self.interface);
            field(MEMBER, "s", self.member);
            field(SIGNATURE, "g", &signature);
        });
        message.pad(8);
        message.0.extend(body.0);
        message.0
    }
}

/// A message that has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// The name on the bus that it comes from, which nobody can lie about. Empty between two peers.
    pub(crate) sender: String,
    big_endian: bool,
    body: Vec<u8>,
}

/// What a message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer to the call of this serial number.
    Return(u32),
    /// The same, an error of this name.
    Error(u32, String),
    /// A signal of this name.
    Signal(String),
    /// A call of ours, or something newer.
    Other,
}

/// What a header says before its fields: sixteen bytes with the length of the fields.
const FIXED: usize = 16;

/// The longest message that there is.
const LONGEST: usize = 128 << 20;

/// How long the message is that begins with `bytes`; `None` as long as that can't be told, an error
/// if it is none.
pub(crate) fn message_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
    let mut reader = Reader::new(fixed, is_big_endian(fixed)?);
    reader.at = 4;
    let (body, _serial, fields) = (reader.u32(), reader.u32(), reader.u32());
    let (Some(body), Some(fields)) = (body, fields) else { return Ok(None) };
    let whole = u64::from(fields).next_multiple_of(8) + u64::from(body) + FIXED as u64;
    match usize::try_from(whole) {
        Ok(whole) if whole <= LONGEST => Ok(Some(whole)),
        _ => Err("a message that is too long"),
    }
}

fn is_big_endian(bytes: &[u8]) -> Result<bool, &'static str> {
    match bytes.first() {
        Some(b'l') => Ok(false),
        Some(b'B') => Ok(true),
        _ => Err("bytes that are no message"),
    }
}

/// Reads a whole message.
pub(crate) fn read(bytes: &[u8]) -> Result<Message, &'static str> {
    const BROKEN: &str = "a message that makes no sense";
    if message_length(bytes)? != Some(bytes.len()) {
        return Err("a message that is cut off");
    }
    let big_endian = is_big_endian(bytes)?;
    let mut reader = Reader::new(bytes, big_endian);
    reader.at = 4;
    let body = reader.u32().ok_or(BROKEN)? as usize;
    reader.u32().ok_or(BROKEN)?;
    let end = FIXED + reader.u32().ok_or(BROKEN)? as usize;
    let mut reply_to = 0;
    let (mut member, mut error, mut sender) = (String::new(), String::new(), String::new());
    while reader.at < end {
        reader.pad(8);
        if reader.at >= end {
            break;
        }
        let number = reader.byte().ok_or(BROKEN)?;
        let signature = reader.signature().ok_or(BROKEN)?;
        match (number, signature.as_str()) {
            (REPLY_SERIAL, "u") => reply_to = reader.u32().ok_or(BROKEN)?,
            (MEMBER, "s") => member = reader.text().ok_or(BROKEN)?,
            (ERROR_NAME, "s") => error = reader.text().ok_or(BROKEN)?,
            (SENDER, "s") => sender = reader.text().ok_or(BROKEN)?,
            (_, "s" | "o") => drop(reader.text().ok_or(BROKEN)?),
            (_, "g") => drop(reader.signature().ok_or(BROKEN)?),
            (_, "u") => drop(reader.u32().ok_or(BROKEN)?),
            _ => return Err(BROKEN),
        }
    }
    if reader.at > end {
        return Err(BROKEN);
    }
    let body = bytes.len().checked_sub(body).and_then(|start| bytes.get(start..));
    let body = body.ok_or(BROKEN)?.to_vec();
    let kind = match bytes.get(1) {
        Some(&METHOD_RETURN) => Kind::Return(reply_to),
        Some(&ERROR) => Kind::Error(reply_to, error),
        Some(&SIGNAL) => Kind::Signal(member),
        _ => Kind::Other,
    };
    Ok(Message { kind, sender, big_endian, body })
}

impl Message {
    /// The values of its body, one after the other.
    pub(crate) fn values(&self) -> Reader<'_> {
        Reader::new(&self.body, self.big_endian)
    }
}

/// Reads values of known types; `None` where there is none.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { bytes, at: 0, big_endian }
    }

    fn pad(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.pad(4);
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// `s` or `o`.
    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        let text = self.take(length)?;
        self.take(1)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let text = self.take(length)?;
        self.take(1)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// A variant that has a text in it.
    pub(crate) fn text_in_variant(&mut self) -> Option<String> {
        (self.signature()? == "s").then(|| self.text()).flatten()
    }

    /// A variant that has a job in it, its number and its path.
    pub(crate) fn job_in_variant(&mut self) -> Option<(u32, String)> {
        if self.signature()? != "(uo)" {
            return None;
        }
        self.pad(8);
        Some((self.u32()?, self.text()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.value(value);
        writer.0
    }

    #[test]
    fn values_are_as_the_specification_has_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let table: [(Value, &[u8]); 7] = [
            (text("foo"), b"\x03\0\0\0foo\0"),
            // The specification's own: "The array of 64-bit integers [5]".
            (
                Value::Array { element: "x".to_owned(), items: vec![Value::I64(5)] },
                b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0",
            ),
            (Value::Array { element: "x".to_owned(), items: vec![] }, b"\0\0\0\0\0\0\0\0"),
            (Value::texts(["a", "bc"]), b"\x0f\0\0\0\x01\0\0\0a\0\0\0\x02\0\0\0bc\0"),
            (Value::Variant(Box::new(Value::U32(7))), b"\x01u\0\0\x07\0\0\0"),
            (Value::Struct(vec![Value::Byte(1), Value::Bool(true)]), b"\x01\0\0\0\x01\0\0\0"),
            (Value::Variant(Box::new(text("x"))), b"\x01s\0\0\x01\0\0\0x\0"),
        ];
        for (value, expected) in table {
            assert_eq!(written(&value), expected, "{value:?}");
        }
    }

    fn call() -> Vec<u8> {
        let arguments = [Value::Text("a.scope".to_owned()), Value::U32(5)];
        Call {
            destination: "org.freedesktop.systemd1",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member: "Some",
            arguments: &arguments,
        }
        .message(3)
    }

    #[test]
    fn messages_have_their_length_and_can_be_read() {
        let message = call();
        assert_eq!(message_length(&message), Ok(Some(message.len())));
        assert_eq!(message_length(&message[..15]), Ok(None));
        let read = read(&message).unwrap();
        assert_eq!(read.kind, Kind::Other);
        let mut values = read.values();
        assert_eq!((values.text(), values.u32()), (Some("a.scope".to_owned()), Some(5)));
        assert_eq!(values.u32(), None);
    }

    #[test]
    fn answers_are_read_in_either_order_of_bytes() {
        let little = b"l\x02\x01\x01\x04\0\0\0\x09\0\0\0\x08\0\0\0\x05\x01u\0\x02\0\0\0\x07\0\0\0";
        let big = b"B\x02\x01\x01\0\0\0\x04\0\0\0\x09\0\0\0\x08\x05\x01u\0\0\0\0\x02\0\0\0\x07";
        for bytes in [little, big] {
            assert_eq!(message_length(bytes), Ok(Some(bytes.len())));
            let message = read(bytes).unwrap();
            assert_eq!(message.kind, Kind::Return(2));
            assert_eq!(message.values().u32(), Some(7));
        }
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let whole = call();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        // Header fields that reach into the body, and a text that reaches beyond.
        let mut message = whole.clone();
        message[12] -= 4;
        assert!(read(&message).is_err());
        let mut message = whole;
        message[20] = 0xff;
        assert!(read(&message).is_err());
    }

    /// Whatever comes, it is read or refused.
    #[test]
    fn nonsense_is_refused() {
        assert!(message_length(b"xxxxxxxxxxxxxxxx").is_err());
        assert!(message_length(b"l\x01\0\x01\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff").is_err());
        let whole = call();
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut message = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % message.len();
                message[at] = u8::try_from((state >> 20) & 0xff).unwrap();
            }
            let end = usize::try_from(state >> 40).unwrap() % (message.len() + 1);
            let _ = message_length(&message);
            if let Ok(message) = read(&message[..end]) {
                let mut values = message.values();
                let _ = (values.text(), values.text_in_variant(), values.u32());
            }
        }
    }
}
