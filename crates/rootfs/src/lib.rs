//! The container's root file system: planned on the host, built by descriptors.
//!
//! [`Layout::plan`] turns the config into an ordered list of things to make, on the host's side and
//! before the fork. [`Layout::build`], [`Layout::pivot`] and [`Layout::finish`] make them in the
//! child. Nothing here may reach a file below the root by a joined path: rind resolves each target
//! once, by openat2(2) within the root, and moves what it makes onto that descriptor. So an image
//! can't redirect rind by links, even if somebody exchanges them meanwhile. This crate knows no
//! lifecycle.

mod additions;
mod build;
mod built;
mod cgroup;
mod container_path;
mod copyup;
mod devices;
mod external;
mod filesystem;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod idmap;
mod known;
mod layout;
mod live;
mod make;
mod masks;
mod nodes;
mod options;
mod pivot;
mod plan;
mod remedy;
mod sources;
mod step;
mod sysctl;
mod table;
mod target;

pub use additions::Additions;
pub use built::Built;
pub use external::{ExternalMount, external_mounts, make_mount_points, open_in, without_links};
pub use filesystem::makes_procfs_of;
pub use idmap::{IdMap, try_mapping};
pub use known::{Added, Amended, Known};
pub use layout::{CgroupView, Context, ControllerView, Layout};
pub use nodes::{clone_null, is_null, protect_nodes};
pub use options::{is_propagation, mount_options};
pub use sources::isolate_copy;
pub use step::{Fault, Step};
pub use sys::Error;
pub use target::make_directories;
