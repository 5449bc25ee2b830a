//! passwd(5), read by number. Not by getpwuid(3), which loads code to ask other sources: inside a
//! container that would be the image's.

use crate::{Errno, Result};
use std::os::fd::AsFd;

/// How much of a file is looked through, which may be the image's and of any size.
const MOST: usize = 4 << 20;
/// How long a line can be. Longer ones are passed over.
const LINE: usize = 4096;

/// What one line tells of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// The login name.
    pub name: &'a [u8],
    /// The home directory.
    pub home: &'a [u8],
}

/// The first user with the number `uid`.
#[must_use]
pub fn user(passwd: &[u8], uid: u32) -> Option<User<'_>> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| user_in(line, uid))
}

/// The home directory of the user with the number `uid`, by a file of whatever size: what
/// comes after 4 MiB of it does not count, and neither does a line of 4096 bytes or more.
pub fn home(passwd: impl AsFd, uid: u32) -> Result<Option<Vec<u8>>> {
    let mut buffer = [0; LINE];
    // How much of the buffer is the beginning of a line; whether that line is too long.
    let (mut begun, mut too_long) = (0, false);
    let mut read = 0;
    while read < MOST {
        let space = buffer.get_mut(begun..).unwrap_or_default();
        let count = match nix::unistd::read(&passwd, space) {
            Err(Errno::EINTR) => continue,
            count => count?,
        };
        let filled = buffer.get(..begun + count).unwrap_or_default();
        let mut lines = filled.split(|byte| *byte == b'\n');
        let rest = lines.next_back().unwrap_or_default();
        let whole = lines.chain((count == 0).then_some(rest));
        for line in whole {
            if !std::mem::take(&mut too_long)
                && let Some(user) = user_in(line, uid)
            {
                return Ok(Some(user.home.to_vec()));
            }
        }
        if count == 0 {
            break;
        }
        read += count;
        let (rest, end) = (rest.len(), begun + count);
        buffer.copy_within(end - rest..end, 0);
        too_long |= rest == LINE;
        begun = if rest == LINE { 0 } else { rest };
    }
    Ok(None)
}

fn user_in(line: &[u8], uid: u32) -> Option<User<'_>> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next()?;
    let number = str::from_utf8(fields.nth(1)?).ok()?;
    if number.parse::<u32>().ok()? != uid {
        return None;
    }
    Some(User { name, home: fields.nth(2)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{LINE, MOST, User, home, user};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::fs::File;
    use std::io::{Seek, Write};

    fn home_in(text: &[u8], size: usize, uid: u32) -> Option<String> {
        let mut file = File::from(memfd_create(c"passwd", MFdFlags::empty()).unwrap());
        file.write_all(text).unwrap();
        if size > text.len() {
            file.set_len(size.try_into().unwrap()).unwrap();
        }
        file.rewind().unwrap();
        home(&file, uid).unwrap().map(|home| String::from_utf8(home).unwrap())
    }

    #[test]
    fn a_home_is_found_within_bounds() {
        let line = "u:x:7:7:U:/home/u:/bin/sh";
        let other = "v:x:8:8:V:/home/v:/bin/sh\n".repeat(1000);
        assert_eq!(home_in(line.as_bytes(), 0, 7).unwrap(), "/home/u");
        assert_eq!(home_in(format!("{other}{line}\n").as_bytes(), 0, 7).unwrap(), "/home/u");
        assert_eq!(home_in(other.as_bytes(), 0, 7), None);
        assert_eq!(home_in(b"", 0, 7), None);
        assert_eq!(home_in(b"w:x:7:7:U::\n", 0, 7).unwrap(), "");
        // Of a line that is too long, no end counts as a line.
        for extra in [0, 1, LINE - 1, LINE, LINE + 1] {
            let long = "x".repeat(LINE - 1 + extra);
            let inner = format!("{long}{line}\nv:x:8:8:V:/home/v:\n");
            assert_eq!(home_in(inner.as_bytes(), 0, 7), None, "{extra}");
            assert_eq!(home_in(inner.as_bytes(), 0, 8).unwrap(), "/home/v", "{extra}");
        }
        // A hole of any size.
        assert_eq!(home_in(b"", 1 << 36, 7), None);
        let late = [vec![b'\n'; MOST], line.as_bytes().to_vec()].concat();
        assert_eq!(home_in(&late, 0, 7), None);
        let in_time = [vec![b'\n'; MOST - LINE], line.as_bytes().to_vec()].concat();
        assert_eq!(home_in(&in_time, 0, 7).unwrap(), "/home/u");
    }

    #[test]
    fn a_user_is_found_by_number_never_by_name() {
        let passwd = b"1000:x:0:0::/root:/bin/sh\nu:x:1000:0:U:/home/u:/bin/sh\nv:x:1001\n";
        assert_eq!(user(passwd, 1000), Some(User { name: b"u", home: b"/home/u" }));
        assert_eq!(user(passwd, 0), Some(User { name: b"1000", home: b"/root" }));
        assert_eq!(user(passwd, 1001), None);
        assert_eq!(user(b"", 0), None);
    }
}
