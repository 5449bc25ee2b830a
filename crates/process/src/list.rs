//! Lists of CPUs and of memory nodes, such as `0-3,7` (cpuset(7), List format), as bit masks. A
//! list must never make rind allocate more than [`MAX`] bits.

use sys::nix::libc::c_ulong;

/// The first number that a list may not have: the kernel takes a mask of at most one page, and the
/// smallest page has 4 KiB.
const MAX: usize = 4096 * 8;

/// The bit mask of a list such as `0-3,7`; empty for an empty list.
pub(crate) fn bits(list: &str) -> Result<Vec<c_ulong>, &'static str> {
    let mut mask = Vec::new();
    if list.trim().is_empty() {
        return Ok(mask);
    }
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (parse_number(first)?, parse_number(last)?);
        if first > last {
            return Err("a range ends before it begins");
        }
        let width = c_ulong::BITS as usize;
        mask.resize(mask.len().max(last / width + 1), 0);
        for number in first..=last {
            if let Some(word) = mask.get_mut(number / width) {
                *word |= 1 << (number % width);
            }
        }
    }
    Ok(mask)
}

fn parse_number(text: &str) -> Result<usize, &'static str> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a list of numbers, as 0-3,7");
    }
    let number = text.parse().ok().filter(|number| *number < MAX);
    number.ok_or("a number is at most 32767")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_become_bits() {
        assert!(bits("").unwrap().is_empty());
        assert_eq!(bits("0-3, 7").unwrap(), [0b1000_1111]);
        assert_eq!(bits("64").unwrap(), [0, 1]);
        let wide = bits("1,2000-2001").unwrap();
        assert_eq!((wide.len(), wide[0], wide[31]), (32, 2, 0b11 << 16));
        for bad in ["-1", "1-", "a", "0,,1", "3-1", "32768", "+1", "0x1", ","] {
            assert!(bits(bad).is_err(), "{bad}");
        }
    }
}
