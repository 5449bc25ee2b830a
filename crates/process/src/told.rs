//! An error that init leaves in the exec fifo for `start`, where nobody has its plan any more: its text, its
//! object, the kernel's answer and what helps, each ended by a NUL byte.

use sys::{Errno, Error};

/// The error as bytes.
pub(crate) fn write(error: &Error) -> Vec<u8> {
    let errno = error.errno().map(|errno| (errno as i32).to_string()).unwrap_or_default();
    let parts = [
        error.text(),
        error.object().unwrap_or_default(),
        &errno,
        error.hint().unwrap_or_default(),
    ];
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(part.bytes().filter(|byte| *byte != 0));
        bytes.push(0);
    }
    bytes
}

/// The error of these bytes, as far as they came.
#[must_use]
pub fn read(bytes: &[u8]) -> Error {
    let mut parts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut next = || parts.next().unwrap_or_default();
    let (text, object, errno, hint) = (next(), next(), next(), next());
    let mut error = Error::new(text);
    if !object.is_empty() {
        error = error.with_object(object);
    }
    if let Ok(errno) = errno.parse() {
        error = error.of(Errno::from_raw(errno));
    }
    error.with_hint((!hint.is_empty()).then(|| hint.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Errno, Error, read, write};

    #[test]
    fn an_error_comes_back_from_the_fifo() {
        let error = Error::on("exec", "/x", Errno::ENOENT).with_hint(Some("make it"));
        let back = read(&write(&error));
        assert_eq!(back.to_string(), error.to_string());
        assert_eq!((back.object(), back.errno()), (error.object(), error.errno()));
        assert_eq!(read(b"only a text").to_string(), "only a text");
        assert_eq!(read(&write(&Error::not_running())).to_string(), "container not running");
    }
}
