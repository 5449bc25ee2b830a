//! What goes wrong with a cgroup: the error of all crates, and what is particular to limits.

use std::fmt;
pub use sys::Error;

/// What a function of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// An error about the property `property` of `linux.resources`.
pub(crate) fn of_limit(property: &str, reason: impl fmt::Display) -> Error {
    Error::new(reason.to_string()).about(format!("linux.resources.{property}"))
}
