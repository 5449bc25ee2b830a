//! The store: one directory for each container, for what commands leave to later commands.
//!
//! A command that changes a container locks its directory by flock(2); the kernel drops the lock when
//! the process ends, however it ends. Readers take no lock: rename(2) replaces a record, so that they
//! always find a whole one. The crate must never interpret a record (its content is the caller's),
//! store a status (the kernel knows it), or read from a directory that others may write to.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod identity;
mod store;
mod trust;

pub use identity::Identity;
pub use store::{Entry, Store, USUAL, check_id, not_found};
pub use trust::distrust;
