//! Numbers with units on the command line, parsed as Go programs do.

use std::time::Duration;

/// The units of [`bytes`], each 1024 of the one before.
const PREFIXES: &str = "kmgtp";

/// The units of [`duration`], in nanoseconds.
const TIMES: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A number of bytes such as `4096`, `512k` or `1.5GiB`, of 1024s always (go-units' `RAMInBytes`);
/// `-1` is no limit.
pub(crate) fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let (number, unit) = text.split_at(number_length(text));
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = match unit {
        "" => 0,
        unit if unit.len() == 1 => PREFIXES.find(unit)? + 1,
        _ => return None,
    };
    scaled(number, 1 << (10 * power)).and_then(|bytes| bytes.try_into().ok())
}

/// A time such as `5s`, `100ms` or `1m30.5s` (Go's `time.ParseDuration`).
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u64 = 0;
    loop {
        let (number, after) = rest.split_at(number_length(rest));
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, nanoseconds) = TIMES.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *nanoseconds)?)?;
        if after.is_empty() {
            return Some(Duration::from_nanos(total));
        }
        rest = after;
    }
}

/// How much of `text`, from its start, is a number.
fn number_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len())
}

/// A number, perhaps with a fraction, times `unit`, rounded down.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    // More digits than these make no difference.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(digits(fraction)?) * u128::from(unit) / power;
    let total = u128::from(digits(whole)?) * u128::from(unit) + part;
    total.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_of_1024() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("-1", -1),
            ("50M", 50 << 20),
            ("50mb", 50 << 20),
            ("2k", 2048),
            ("2 K", 2048),
            ("1.5GiB", 3 << 29),
            ("1t", 1 << 40),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "-2", "M", "1x", "1 .", "1..5k", "1kk", ".", "10000p", "1e3", "k1"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_sums_of_units() {
        for (text, expected) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("100ms", 100_000_000),
            ("1m30.5s", 90_500_000_000),
            (".5h", 1_800_000_000_000),
            ("1\u{b5}s2us3ns", 3_003),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(expected)), "{text}");
        }
        for text in ["", "5", "s", "-5s", "5 s", "5sec", "1.s.", "1s1", "99999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
