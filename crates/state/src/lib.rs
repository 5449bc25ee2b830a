//! The store: one directory a container, locked by those that change it, its files replaced whole.
//!
//! What a record holds is the caller's affair. A lock is flock(2) on the container's directory, so
//! it goes with the process that holds it, however that ends. Readers take none: a record is
//! replaced by rename(2), and is always a whole one.

mod identity;
mod store;
mod trust;

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

impl Error {
    /// `what` failed with `errno`.
    pub(crate) fn call(what: impl std::fmt::Display, errno: sys::Errno) -> Self {
        Self::Other(format!("{what}: {}", sys::errno_text(errno)))
    }
}
