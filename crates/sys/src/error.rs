//! The one error of all crates: what was being done, to what, the kernel's answer, and what helps.
//!
//! It is put in words where it arises and rendered once, by the program. Whoever passes it on adds
//! the step around it ([`Error::within`]) or the object that it is about ([`Error::about`]), and never
//! words of its own in between. [`Explain`] does that for results, where a call fails.

use crate::{Errno, answer, errno_text};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::io;

/// What callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such container.
    NoSuchContainer,
    /// There is a container of that name.
    ContainerExists,
    /// What is on disk of the container can't be read.
    DamagedState,
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
    /// The step, with the object in it, and the reason.
    text: String,
    /// How many bytes of `text` are the step: the reason follows.
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

    /// What `source` says, without a step, which the caller adds. The errno is that of the kernel's
    /// answer, if `source` is one; an [`Error`] stays as it is.
    #[cold]
    fn of_source(source: &(dyn StdError + 'static)) -> Self {
        if let Some(error) = source.downcast_ref::<Self>() {
            return error.clone();
        }
        let (text, errno) = if let Some(errno) = source.downcast_ref::<Errno>() {
            (errno_text(*errno), Some(*errno))
        } else if let Some(error) = source.downcast_ref::<io::Error>() {
            (answer(error), error.raw_os_error().map(Errno::from_raw))
        } else {
            (source.to_string(), None)
        };
        let mut error = Self::of_text(text);
        error.0.step = 0;
        match errno {
            Some(errno) => error.of(errno),
            None => error,
        }
    }

    /// `step` failed: `step: source`.
    #[must_use]
    pub fn call(step: impl Display, source: impl StdError + 'static) -> Self {
        Self::of_source(&source).within(step)
    }

    /// `step` failed, which was done to `object`: `step object: source`.
    #[must_use]
    pub fn on(
        step: impl Display,
        object: impl AsRef<OsStr>,
        source: impl StdError + 'static,
    ) -> Self {
        Self::of_step(&step, object.as_ref(), &source)
    }

    /// [`Error::on`], compiled once for all types of arguments.
    #[cold]
    fn of_step(step: &dyn Display, object: &OsStr, source: &(dyn StdError + 'static)) -> Self {
        let object = object.to_string_lossy();
        let error = Self::of_source(source).within(format_args!("{step} {object}"));
        error.with_object(object)
    }

    /// The same error with its reason: `step: reason`.
    #[must_use]
    pub fn because(mut self, reason: impl Display) -> Self {
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
    pub fn about(self, object: impl AsRef<OsStr>) -> Self {
        let object = object.as_ref().to_string_lossy();
        self.within(&object).with_object(object)
    }

    /// The same error, about `object`, which its text has already. An error that has an object keeps
    /// it: the one that was known first is the more precise one.
    #[must_use]
    pub fn with_object(mut self, object: impl Into<String>) -> Self {
        self.0.object.get_or_insert_with(|| object.into());
        self
    }

    /// The same error, met in the course of `step`, which then stands before it.
    #[must_use]
    pub fn within(mut self, step: impl Display) -> Self {
        let (mut text, reason) = (step.to_string(), self.0.text.len() - self.0.step);
        let step_alone = text.len();
        text = format!("{text}: {}", self.0.text);
        self.0.step = if self.0.step == 0 { step_alone } else { text.len() - reason };
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

    /// All but what helps.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What helps, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl Display for Error {
    /// All in one line; the hint comes last, in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.errno.as_ref().map(|errno| errno as _)
    }
}

/// Tells of a failure what was being done, and to what. Nothing is formatted unless there is one.
pub trait Explain<T> {
    /// [`Error::call`] or [`Error::within`]: `step` stands before the failure.
    fn within(self, step: impl Display) -> Result<T, Error>;

    /// [`Error::about`]: `object` stands before the failure, which is about it.
    fn about(self, object: impl AsRef<OsStr>) -> Result<T, Error>;

    /// [`Error::on`]: `step` and `object` stand before the failure, which is about `object`.
    fn on(self, step: impl Display, object: impl AsRef<OsStr>) -> Result<T, Error>;
}

impl<T, E: StdError + 'static> Explain<T> for Result<T, E> {
    fn within(self, step: impl Display) -> Result<T, Error> {
        self.map_err(|source| Error::call(step, source))
    }

    fn about(self, object: impl AsRef<OsStr>) -> Result<T, Error> {
        self.map_err(|source| Error::of_source(&source).about(object))
    }

    fn on(self, step: impl Display, object: impl AsRef<OsStr>) -> Result<T, Error> {
        self.map_err(|source| Error::on(step, object, source))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Errno, Error, Explain, Kind};
    use std::io;
    use std::path::Path;

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
    fn a_result_is_explained_by_step_and_object() {
        let opened: io::Result<()> = Err(io::Error::from_raw_os_error(Errno::ENOENT as i32));
        let error = opened.on("opening", Path::new("/x")).about("--log").unwrap_err();
        assert_eq!(error.to_string(), "--log: opening /x: no such file or directory");
        assert_eq!((error.step(), error.object()), ("--log: opening /x", Some("/x")));
        assert_eq!((error.errno(), error.kind()), (Some(Errno::ENOENT), Kind::Kernel));
        let error = Err::<(), _>(Errno::EPERM).about("--work-path").unwrap_err();
        assert_eq!(error.to_string(), "--work-path: operation not permitted");
        assert_eq!((error.step(), error.object()), ("--work-path", Some("--work-path")));
        let error = Err::<(), _>(io::Error::other("too long")).within("reading").unwrap_err();
        assert_eq!((error.to_string().as_str(), error.step()), ("reading: too long", "reading"));
        assert_eq!((error.errno(), error.kind()), (None, Kind::Other));
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
