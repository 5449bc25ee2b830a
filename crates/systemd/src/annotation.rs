//! Properties that annotations ask for: which of them may be, and their values' text.
//!
//! A unit's properties can start others, run programs and restart the machine, and annotations may
//! be anybody's: those are passed on of which it's known that they concern the unit itself
//! (CVE-2024-3154).

use crate::{Property, Value};

/// What may be set, with its type.
const ALLOWED: [(&str, &str); 72] = [
    ("After", "as"),
    ("AllowedCPUs", "ay"),
    ("AllowedMemoryNodes", "ay"),
    ("Before", "as"),
    ("CPUAccounting", "b"),
    ("CPUQuotaPerSecUSec", "t"),
    ("CPUQuotaPeriodUSec", "t"),
    ("CPUShares", "t"),
    ("CPUWeight", "t"),
    ("CollectMode", "s"),
    // CRI-O asks for it with every container.
    ("DefaultDependencies", "b"),
    ("DefaultMemoryLow", "t"),
    ("DefaultMemoryMin", "t"),
    ("DefaultStartupMemoryLow", "t"),
    ("Description", "s"),
    ("Documentation", "as"),
    ("FinalKillSignal", "i"),
    ("IOAccounting", "b"),
    ("IODeviceLatencyTargetUSec", "a(st)"),
    ("IODeviceWeight", "a(st)"),
    ("IOReadBandwidthMax", "a(st)"),
    ("IOReadIOPSMax", "a(st)"),
    ("IOWeight", "t"),
    ("IOWriteBandwidthMax", "a(st)"),
    ("IOWriteIOPSMax", "a(st)"),
    ("IPAccounting", "b"),
    ("IPAddressAllow", "a(iayu)"),
    ("IPAddressDeny", "a(iayu)"),
    ("KillMode", "s"),
    ("KillSignal", "i"),
    ("ManagedOOMMemoryPressure", "s"),
    ("ManagedOOMMemoryPressureDurationUSec", "t"),
    ("ManagedOOMMemoryPressureLimit", "u"),
    ("ManagedOOMPreference", "s"),
    ("ManagedOOMSwap", "s"),
    ("MemoryAccounting", "b"),
    ("MemoryHigh", "t"),
    ("MemoryLimit", "t"),
    ("MemoryLow", "t"),
    ("MemoryMax", "t"),
    ("MemoryMin", "t"),
    ("MemoryPressureThresholdUSec", "t"),
    ("MemoryPressureWatch", "s"),
    ("MemorySwapMax", "t"),
    ("MemoryZSwapMax", "t"),
    ("MemoryZSwapWriteback", "b"),
    ("OOMPolicy", "s"),
    ("RestartKillSignal", "i"),
    ("RestrictNetworkInterfaces", "(bas)"),
    ("RuntimeMaxUSec", "t"),
    ("RuntimeRandomizedExtraUSec", "t"),
    ("SendSIGHUP", "b"),
    ("SendSIGKILL", "b"),
    ("SocketBindAllow", "a(iiqq)"),
    ("SocketBindDeny", "a(iiqq)"),
    ("StartupAllowedCPUs", "ay"),
    ("StartupAllowedMemoryNodes", "ay"),
    ("StartupCPUShares", "t"),
    ("StartupCPUWeight", "t"),
    ("StartupIOWeight", "t"),
    ("StartupMemoryHigh", "t"),
    ("StartupMemoryLow", "t"),
    ("StartupMemoryMax", "t"),
    ("StartupMemorySwapMax", "t"),
    ("StartupMemoryZSwapMax", "t"),
    ("TasksAccounting", "b"),
    ("TasksMax", "t"),
    ("TimeoutStopFailureMode", "s"),
    ("TimeoutStopUSec", "t"),
    ("BlockIOAccounting", "b"),
    ("BlockIOWeight", "t"),
    ("StartupBlockIOWeight", "t"),
];

/// The property that the annotation `org.systemd.property.NAME` with the value `text` asks for; or
/// why it can't be.
///
/// `text` is in the text format of `GVariant`. A name that ends in `Sec` is that of the `USec` property, and
/// its value is in seconds, which may be broken.
pub fn annotation(name: &str, text: &str) -> Result<Property, String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!(
            "{name:?} can't be set: a property's name has letters and digits only"
        ));
    }
    if let Some(microseconds) = of_seconds(name) {
        return Ok(Property::new(microseconds, Value::U64(seconds(text)?)));
    }
    let Some(kind) = kind_of(name) else {
        return Err(format!(
            "{name} can't be set: it is none of those that concern only the unit's own limits and end, \
             and may start other units, or undo what rind sets"
        ));
    };
    let mut parser = Parser { rest: text.trim() };
    let value =
        parser.value(kind, 0).ok_or_else(|| format!("{text:?} is no value of type {kind}"))?;
    match parser.rest.trim() {
        "" => Ok(Property::new(name, value)),
        more => Err(format!("{more:?} is one too many after the value")),
    }
}

/// The type of the property `name`, if it may be set.
pub(crate) fn kind_of(name: &str) -> Option<&'static str> {
    ALLOWED.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// The name of the property in microseconds that one in seconds stands for.
fn of_seconds(name: &str) -> Option<String> {
    let stem = name.strip_suffix("Sec")?;
    let named = format!("{stem}USec");
    let is_known = ALLOWED.iter().any(|(known, kind)| *known == named && *kind == "t");
    (is_known && stem.ends_with(|last: char| last.is_ascii_lowercase())).then_some(named)
}

/// A number of seconds, in microseconds. Whatever type is written before it is passed over.
fn seconds(text: &str) -> Result<u64, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = match words[..] {
        [number] => number,
        [kind, number] if kind == "double" || KEYWORDS.iter().any(|(_, word)| *word == kind) => {
            number
        }
        _ => "",
    };
    let seconds: f64 = number.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    let micros = (seconds * 1e6).round();
    if !(0.0..9e18).contains(&micros) {
        return Err(format!("{text:?} is no time"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    Ok(micros as u64)
}

/// Types of whole numbers, and what may be written before such.
const KEYWORDS: [(&str, &str); 7] = [
    ("y", "byte"),
    ("n", "int16"),
    ("q", "uint16"),
    ("i", "int32"),
    ("u", "uint32"),
    ("x", "int64"),
    ("t", "uint64"),
];

/// How deep values may be in each other; none that is allowed comes near.
const DEEPEST: usize = 8;

/// Reads values of given types.
struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self, kind: &str, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.annotation(kind)?;
        match kind.as_bytes().first()? {
            b'b' => match self.word() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            b's' => self.text().map(Value::Text),
            b'a' => {
                let element = kind.get(1..)?;
                let items =
                    self.list('[', ']', &mut |parser, _| parser.value(element, depth + 1))?;
                Some(Value::Array { element: element.to_owned(), items })
            }
            b'(' => {
                let kinds = members(kind.get(1..kind.len() - 1)?);
                let items = self.list('(', ')', &mut |parser, index| {
                    parser.value(kinds.get(index)?, depth + 1)
                })?;
                (items.len() == kinds.len()).then_some(Value::Struct(items))
            }
            _ => self.number(kind),
        }
    }

    /// `@as`, which may come before a value of just that type.
    fn annotation(&mut self, kind: &str) -> Option<()> {
        self.rest = self.rest.trim_start();
        let Some(rest) = self.rest.strip_prefix('@') else { return Some(()) };
        self.rest = rest.strip_prefix(kind)?;
        self.rest.starts_with(char::is_whitespace).then_some(())
    }

    /// Letters, digits and the like.
    fn word(&mut self) -> &str {
        self.rest = self.rest.trim_start();
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
        let end = self.rest.find(|letter| !is_part(letter)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn number(&mut self, kind: &str) -> Option<Value> {
        let (_, keyword) = KEYWORDS.iter().find(|(known, _)| *known == kind)?;
        let mut word = self.word().to_owned();
        if word == *keyword {
            self.word().clone_into(&mut word);
        }
        let number = integer(&word)?;
        Some(match kind {
            "y" => Value::Byte(number.try_into().ok()?),
            "n" => Value::I16(number.try_into().ok()?),
            "q" => Value::U16(number.try_into().ok()?),
            "i" => Value::I32(number.try_into().ok()?),
            "u" => Value::U32(number.try_into().ok()?),
            "x" => Value::I64(number.try_into().ok()?),
            _ => Value::U64(number.try_into().ok()?),
        })
    }

    /// In single or double quotes, with C's escapes.
    fn text(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let quote = self.rest.chars().next().filter(|first| ['\'', '"'].contains(first))?;
        let mut letters = self.rest.char_indices().skip(1);
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\0' => return None,
                letter if letter == quote => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => text.push(escaped(&mut letters)?),
                letter => text.push(letter),
            }
        }
        None
    }

    /// Values between brackets, with commas between them.
    fn list(
        &mut self,
        open: char,
        close: char,
        item: &mut dyn FnMut(&mut Self, usize) -> Option<Value>,
    ) -> Option<Vec<Value>> {
        self.rest = self.rest.trim_start().strip_prefix(open)?;
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                return Some(items);
            }
            if !items.is_empty() {
                self.rest = self.rest.strip_prefix(',')?;
            }
            items.push(item(self, items.len())?);
        }
    }
}

/// The types in a structure.
fn members(kinds: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let mut rest = kinds;
    while !rest.is_empty() {
        let end = end_of_one(rest);
        let (one, more) = rest.split_at(end);
        members.push(one);
        rest = more;
    }
    members
}

/// How long the first type is.
fn end_of_one(kinds: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in kinds.char_indices() {
        match letter {
            'a' => continue,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    kinds.len()
}

/// What comes after a backslash.
fn escaped(letters: &mut dyn Iterator<Item = (usize, char)>) -> Option<char> {
    let digits = match letters.next()?.1 {
        'a' => return Some('\u{7}'),
        'b' => return Some('\u{8}'),
        'f' => return Some('\u{c}'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\u{b}'),
        'u' => 4,
        'U' => 8,
        kept => return Some(kept).filter(|kept| ['\\', '\'', '"'].contains(kept)),
    };
    let mut code: u32 = 0;
    for _ in 0..digits {
        code = code.checked_mul(16)?.checked_add(letters.next()?.1.to_digit(16)?)?;
    }
    char::from_u32(code).filter(|&letter| letter != '\0')
}

/// As C reads it: decimal, hexadecimal after `0x`, octal after `0`.
fn integer(word: &str) -> Option<i128> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (digits, base) = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    let digits = Some(digits).filter(|digits| digits.starts_with(|one: char| one.is_digit(base)));
    i128::from_str_radix(digits?, base).ok().map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_read() {
        let text = |text: &str| Value::Text(text.to_owned());
        let rate = Value::Struct(vec![text("/dev/sda"), Value::U64(5)]);
        let table = [
            ("TimeoutStopUSec", "uint64 7000000", "TimeoutStopUSec", Value::U64(7_000_000)),
            ("TimeoutStopUSec", "5", "TimeoutStopUSec", Value::U64(5)),
            ("TimeoutStopSec", "uint32 2", "TimeoutStopUSec", Value::U64(2_000_000)),
            ("TimeoutStopSec", "0.5", "TimeoutStopUSec", Value::U64(500_000)),
            ("TimeoutStopSec", "double 0.29", "TimeoutStopUSec", Value::U64(290_000)),
            ("TimeoutStopUSec", "0x10", "TimeoutStopUSec", Value::U64(16)),
            ("KillSignal", "012", "KillSignal", Value::I32(10)),
            ("Description", r"'\u00e4\t\U0001F600\''", "Description", text("\u{e4}\t\u{1f600}'")),
            ("DefaultDependencies", "true", "DefaultDependencies", Value::Bool(true)),
            ("SendSIGHUP", "true", "SendSIGHUP", Value::Bool(true)),
            ("KillSignal", "int32 15", "KillSignal", Value::I32(15)),
            ("KillMode", "'mixed'", "KillMode", text("mixed")),
            ("Description", r#""a 'b' \"c\"""#, "Description", text(r#"a 'b' "c""#)),
            (
                "After",
                "['a.service', \"b.service\"]",
                "After",
                Value::texts(["a.service", "b.service"]),
            ),
            ("After", "@as []", "After", Value::texts::<&str>([])),
            (
                "AllowedCPUs",
                "[byte 0x03, 1]",
                "AllowedCPUs",
                Value::Array {
                    element: "y".to_owned(),
                    items: vec![Value::Byte(3), Value::Byte(1)],
                },
            ),
            (
                "IOReadBandwidthMax",
                "[('/dev/sda', 5)]",
                "IOReadBandwidthMax",
                Value::Array { element: "(st)".to_owned(), items: vec![rate] },
            ),
        ];
        for (name, given, expected, value) in table {
            assert_eq!(
                annotation(name, given),
                Ok(Property::new(expected, value)),
                "{name}={given}"
            );
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (name, text) in [
            ("TimeoutStopUSec", ""),
            ("TimeoutStopUSec", "uint64"),
            ("TimeoutStopUSec", "int32 5"),
            ("TimeoutStopUSec", "-5"),
            ("TimeoutStopUSec", "5 6"),
            ("TimeoutStopUSec", "0x"),
            ("TimeoutStopUSec", "0x+5"),
            ("TimeoutStopUSec", "09"),
            ("TimeoutStopSec", "soon"),
            ("TimeoutStopSec", "some 5"),
            ("TimeoutStopSec", "uint64 5 5"),
            ("Description", r"'\u0000'"),
            ("Description", r"'\ud800'"),
            ("Description", r"'\x41'"),
            ("Description", "'a\\"),
            ("TimeoutStopSec", "-1"),
            ("TimeoutStopSec", "inf"),
            ("KillMode", "mixed"),
            ("KillMode", "'mixed"),
            ("SendSIGHUP", "1"),
            ("After", "['a' 'b']"),
            ("After", "[['a']]"),
            ("AllowedCPUs", "[256]"),
            ("IOReadBandwidthMax", "[('/dev/sda')]"),
        ] {
            assert!(annotation(name, text).is_err(), "{name}={text}");
        }
    }

    /// Whatever an annotation says, it is read or refused.
    #[test]
    fn nonsense_is_refused() {
        const PARTS: [&str; 16] = [
            "[", "]", "(", ")", "'", "\"", "\\", "\\u00", ",", "@as ", "byte ", "-", "0x", "9",
            "\u{e4}", " ",
        ];
        let mut state = 1_u64;
        for round in 0..20_000 {
            let mut text = String::new();
            for _ in 0..round % 12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(PARTS[usize::try_from(state >> 60).unwrap()]);
            }
            let (name, kind) = ALLOWED[round % ALLOWED.len()];
            if let Ok(property) = annotation(name, &text) {
                assert_eq!(property.value.signature(), kind, "{name}={text}");
            }
        }
    }

    #[test]
    fn what_reaches_further_is_refused() {
        for name in [
            "OnFailure",
            "Wants",
            "ExecStop",
            "Slice",
            "PIDs",
            "Delegate",
            "DeviceAllow",
            "no such",
            "",
        ] {
            let refused = annotation(name, "'x'").unwrap_err();
            assert!(refused.contains("can't be set"), "{refused}");
        }
    }
}
