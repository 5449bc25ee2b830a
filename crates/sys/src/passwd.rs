//! passwd(5), read by number. Not by getpwuid(3), which loads code to ask other sources: inside a
//! container that would be the image's.

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
    use super::{User, user};

    #[test]
    fn a_user_is_found_by_number_never_by_name() {
        let passwd = b"1000:x:0:0::/root:/bin/sh\nu:x:1000:0:U:/home/u:/bin/sh\nv:x:1001\n";
        assert_eq!(user(passwd, 1000), Some(User { name: b"u", home: b"/home/u" }));
        assert_eq!(user(passwd, 0), Some(User { name: b"1000", home: b"/root" }));
        assert_eq!(user(passwd, 1001), None);
        assert_eq!(user(b"", 0), None);
    }
}
