//! The kernel's files and directories of cgroups: making, entering, freezing, killing and watching
//! them. `v1` and `v2` have what differs; the other modules ask which version a hierarchy is.
//!
//! Nothing here reads `linux.resources`, or asks systemd.

pub(crate) mod current;
pub(crate) mod devices;
pub(crate) mod enter;
pub(crate) mod freezer;
pub(crate) mod kill;
pub(crate) mod limits;
pub(crate) mod make;
pub(crate) mod oom;
pub(crate) mod processes;
pub(crate) mod remedy;
pub(crate) mod tree;
pub(crate) mod v1;
pub(crate) mod v2;
pub(crate) mod wait;
pub(crate) mod write;
