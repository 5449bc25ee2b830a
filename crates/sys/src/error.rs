//! The one error of all crates: what was being done, to what, the kernel's answer, and what helps.
//!
//! It is put in words where it arises and rendered once, by the program. Whoever passes it on adds
//! the step around it ([`Error::within`]) or the object that it is about ([`Error::about`]), and never
//! words of its own in between.

use crate::{Errno, errno_text};
use std::borrow::Cow;
use std::fmt;

/// What callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such container.
    NoSuchContainer,
    /// There is a container of that name.
    ContainerExists,
    /// The container has ended, or has not been started.
    NotRunning,
    /// A config, or a file like it, says what can't be.
    InvalidConfig,
    /// The kernel, or what is asked of it, refused; [`Error::errno`] says how.
    Kernel,
    /// Anything else.
    Other,
}

/// Why something failed. One word, so that a result is hardly larger than without it.
#[derive(Clone, Debug)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    /// The step, with the object before it, and the reason.
    text: String,
    /// How much of `text` is the step: the reason follows it.
    step: usize,
    object: Option<String>,
    errno: Option<Errno>,
    hint: Option<Cow<'static, str>>,
}

impl Error {
    /// An error that no kernel has answered: `text` says what can't be done, and why.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self::of_text(text.into())
    }

    fn of_text(text: String) -> Self {
        let (kind, step) = (Kind::Other, text.len());
        Self(Box::new(Parts { kind, text, step, object: None, errno: None, hint: None }))
    }

    /// The container has no init, or not any more. Engines look for these words.
    #[must_use]
    pub fn not_running() -> Self {
        Self::new("container not running").with_kind(Kind::NotRunning)
    }

    /// The kernel answered `step` with `errno`.
    #[must_use]
    pub fn call(step: impl fmt::Display, errno: Errno) -> Self {
        Self::of_text(step.to_string()).because(errno_text(errno)).of(errno)
    }

    /// The same error with its reason: `step: reason`.
    #[must_use]
    pub fn because(mut self, reason: impl fmt::Display) -> Self {
        self.0.text = format!("{}: {reason}", self.0.text);
        self
    }

    /// The same error, which the kernel gave as `errno`; the text has the words for that already.
    #[must_use]
    pub fn of(mut self, errno: Errno) -> Self {
        self.0.kind = Kind::Kernel;
        self.0.errno = Some(errno);
        self
    }

    /// The same error, of another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error, with what helps where that is known.
    #[must_use]
    pub fn with_hint<H: Into<Cow<'static, str>>>(mut self, hint: Option<H>) -> Self {
        if let Some(hint) = hint {
            self.0.hint = Some(hint.into());
        }
        self
    }

    /// The same error, about `object`, which then stands before it: `linux.resources.pids.limit`.
    #[must_use]
    pub fn about(self, object: impl Into<String>) -> Self {
        let object = object.into();
        let mut named = self.within(&object);
        named.0.object.get_or_insert(object);
        named
    }

    /// The same error, about `object`, which its text has already.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.0.object = Some(object.into());
        self
    }

    /// The same error, met in the course of `step`, which then stands before it.
    #[must_use]
    pub fn within(mut self, step: impl fmt::Display) -> Self {
        let text = format!("{step}: {}", self.0.text);
        self.0.step += text.len() - self.0.text.len();
        self.0.text = text;
        self
    }

    /// What callers tell apart.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether there is no such container.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NoSuchContainer
    }

    /// The kernel's error number, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// What was being done, without the reason.
    #[must_use]
    pub fn step(&self) -> &str {
        self.0.text.get(..self.0.step).unwrap_or(&self.0.text)
    }

    /// What it was done to, where that is known by itself: `mounts[3]`, a property, a file.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// What helps, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    /// All in one line; the hint comes last, in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.errno.as_ref().map(|errno| errno as _)
    }
}

#[cfg(test)]
mod tests {
    use super::{Errno, Error, Kind};

    #[test]
    fn an_error_has_its_parts_and_one_text() {
        let error = Error::call("writing 5 to pids.max", Errno::EINVAL)
            .about("linux.resources.pids.limit")
            .with_hint(Some("the cgroup above has no such limit"))
            .within("update");
        assert_eq!(
            error.to_string(),
            "update: linux.resources.pids.limit: writing 5 to pids.max: invalid argument (the \
             cgroup above has no such limit)"
        );
        assert_eq!(error.step(), "update: linux.resources.pids.limit: writing 5 to pids.max");
        assert_eq!(error.object(), Some("linux.resources.pids.limit"));
        assert_eq!(error.hint(), Some("the cgroup above has no such limit"));
        assert_eq!((error.errno(), error.kind()), (Some(Errno::EINVAL), Kind::Kernel));
    }

    #[test]
    fn a_refusal_is_all_step() {
        let error = Error::not_running();
        assert_eq!(
            (error.step(), error.hint(), error.errno()),
            ("container not running", None, None)
        );
    }
}
