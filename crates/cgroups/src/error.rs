//! What goes wrong with a cgroup, in words: the step, the object, the kernel's answer, a remedy.

use std::borrow::Cow;
use std::fmt;
use sys::Errno;

/// What a function of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// A step that failed, or a request that can't be met.
#[derive(Debug)]
pub struct Error {
    /// The step and its object, as `linux.resources.pids.limit: writing 5 to pids.max of /sys/...`.
    step: String,
    /// The kernel's answer, where it was the kernel that refused.
    errno: Option<Errno>,
    remedy: Option<Cow<'static, str>>,
}

impl Error {
    /// The kernel answered `step` with `errno`.
    pub(crate) fn kernel(step: impl Into<String>, errno: Errno) -> Self {
        Self { step: step.into(), errno: Some(errno), remedy: None }
    }

    /// Refused before the kernel was asked; `reason` names the object.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self { step: reason.into(), errno: None, remedy: None }
    }

    /// An error about the property `property` of `linux.resources`.
    pub(crate) fn limit(property: &str, reason: impl fmt::Display) -> Self {
        Self::refused(format!("linux.resources.{property}: {reason}"))
    }

    /// The same, with what helps where that is known.
    pub(crate) fn with_remedy<R: Into<Cow<'static, str>>>(mut self, remedy: Option<R>) -> Self {
        self.remedy = remedy.map(Into::into);
        self
    }

    /// The same, named as being about the property `path` of config.json.
    pub(crate) fn about(mut self, path: &str) -> Self {
        self.step = format!("{path}: {}", self.step);
        self
    }

    /// Whether there is no such thing, or it isn't ours to use.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self.errno, Some(Errno::ENOENT | Errno::EACCES | Errno::EPERM))
    }

    /// The kernel's error number, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if let Some(errno) = self.errno {
            write!(f, ": {}", sys::errno_text(errno))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
