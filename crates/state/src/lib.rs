//! The store: one directory for each container, for what commands leave to later commands.
//!
//! A command that changes a container locks its directory by flock(2); the kernel drops the lock when
//! the process ends, however it ends. Readers take no lock: rename(2) replaces a record, so that they
//! always find a whole one. The crate must never interpret a record (its content is the caller's),
//! store a status (the kernel knows it), or read from a directory that others may write to.

mod identity;
mod store;
mod trust;

use sys::error::Kind;

pub use identity::Identity;
pub use store::{Entry, Store, USUAL, check_id};
pub use trust::distrust;

/// What went wrong, as callers tell it apart.
#[derive(Debug)]
pub enum Error {
    /// There is no such container.
    NotFound(String),
    /// There is such a container already.
    Exists(String),
    /// Anything else, in words.
    Other(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Engines look for "does not exist" and "already exists".
            Self::NotFound(id) => write!(f, "container {id:?} does not exist"),
            Self::Exists(id) => write!(f, "container with given ID already exists: {id:?}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for sys::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NotFound(_) => Kind::NoSuchContainer,
            Error::Exists(_) => Kind::ContainerExists,
            Error::Other(_) => Kind::Other,
        };
        Self::new(error.to_string()).with_kind(kind)
    }
}

impl Error {
    /// `what` failed with `errno`.
    pub(crate) fn call(what: impl std::fmt::Display, errno: sys::Errno) -> Self {
        Self::Other(format!("{what}: {}", sys::errno_text(errno)))
    }
}
