//! The harness of the black-box tests: bundles, containers that clean up after themselves, commands
//! with time limits, and what is left on the machine afterwards.
//!
//! A test looks at what the kernel did, from inside (the `probe` program reports what it sees) and
//! from outside (procfs, cgroupfs, mountinfo); never at the code under test, of which it knows only
//! the path. Everything here fails by panicking, since that is how a test fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod binary;
pub mod bundle;
pub mod calls;
pub mod cgroup;
pub mod command;
pub mod console;
pub mod container;
pub mod criu;
pub mod host;
pub mod machine;
pub mod monitor;
pub mod race;
pub mod test;
pub mod traces;

pub use bundle::Bundle;
pub use command::{Output, Running};
pub use container::Container;
pub use serde_json::{Value, json};
