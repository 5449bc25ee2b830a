//! What goes wrong with systemd, in words.

use std::fmt;
use sys::Errno;

/// Why systemd could not be asked, or what it answered.
#[derive(Clone, Debug)]
pub struct Error {
    words: String,
    /// What D-Bus calls it, where it is an answer.
    name: Option<String>,
    /// The kernel's answer, where it was the kernel that refused.
    errno: Option<Errno>,
    kind: Kind,
}

/// What no answer of systemd's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Other,
    /// Nothing came in time.
    Timeout,
    /// Who was asked has closed the connection.
    Closed,
}

impl Error {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), name: None, errno: None, kind: Kind::Other }
    }

    /// The kernel answered `step` with `errno`.
    pub(crate) fn kernel(step: impl fmt::Display, errno: Errno) -> Self {
        let words = format!("{step}: {}", sys::errno_text(errno));
        Self { errno: Some(errno), ..Self::new(words) }
    }

    /// Nothing came in time.
    pub(crate) fn timeout(words: impl Into<String>) -> Self {
        Self { kind: Kind::Timeout, ..Self::new(words) }
    }

    /// The connection was closed.
    pub(crate) fn closed(words: impl Into<String>) -> Self {
        Self { kind: Kind::Closed, ..Self::new(words) }
    }

    /// An answer: D-Bus's name for it, and its text.
    pub(crate) fn answer(name: &str, text: &str) -> Self {
        let remedy = match name.rsplit('.').next() {
            Some("AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed") => {
                " (needs root; a user has to ask the systemd of his own: --rootless true)"
            }
            Some("ServiceUnknown" | "NameHasNoOwner" | "ServiceNotFound") => {
                " (there is no systemd on this bus)"
            }
            _ => "",
        };
        let text = text.trim_end_matches('.');
        let text = if text.is_empty() { name } else { text };
        Self { name: Some(name.to_owned()), ..Self::new(format!("{text}{remedy}")) }
    }

    /// What D-Bus calls the error, such as `org.freedesktop.systemd1.UnitExists`, where it is an
    /// answer.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The kernel's error number, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }

    /// Whether a unit of that name is there already.
    #[must_use]
    pub fn is_unit_exists(&self) -> bool {
        self.name() == Some("org.freedesktop.systemd1.UnitExists")
    }

    /// Whether there is no unit of that name.
    #[must_use]
    pub fn is_no_such_unit(&self) -> bool {
        self.name() == Some("org.freedesktop.systemd1.NoSuchUnit")
    }

    /// Whether no answer came in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind == Kind::Timeout
    }

    /// Whether who was asked went away with the question.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
            || self.name() == Some("org.freedesktop.DBus.Error.NoReply")
            || self.errno.is_some_and(|errno| matches!(errno, Errno::EPIPE | Errno::ECONNRESET))
    }

    /// Whether nobody has systemd's name on the bus. What the bus then tries, to start one, fails.
    pub(crate) fn is_nobody_there(&self) -> bool {
        let name = self.name().and_then(|name| name.strip_prefix("org.freedesktop.DBus.Error."));
        name.is_some_and(|name| {
            matches!(name, "ServiceUnknown" | "NameHasNoOwner" | "Disconnected")
                || name.starts_with("Spawn.")
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_name_and_a_remedy() {
        let table = [
            ("org.freedesktop.systemd1.UnitExists", "Unit a exists.", "Unit a exists"),
            ("org.freedesktop.systemd1.NoSuchUnit", "", "org.freedesktop.systemd1.NoSuchUnit"),
            (
                "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                "Interactive authentication required.",
                "Interactive authentication required (needs root; ",
            ),
            (
                "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
                "None",
                "None (there is no systemd on this bus)",
            ),
        ];
        for (name, text, words) in table {
            let error = Error::answer(name, text);
            assert!(error.to_string().starts_with(words), "{error}");
            assert_eq!((error.name(), error.errno()), (Some(name), None));
        }
        let error = Error::kernel("connecting to /bus", Errno::ENOENT);
        assert_eq!(error.errno(), Some(Errno::ENOENT));
        assert_eq!(error.to_string(), "connecting to /bus: no such file or directory");
    }
}
