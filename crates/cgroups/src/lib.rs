//! One cgroup over v1, hybrid and v2: where it is, its limits and device rules, its processes, its
//! end.
//!
//! [`locate`] finds the [`Place`] of a container, [`make`] makes it there, [`apply`] limits it (with
//! systemd that's [`locate_unit`] and [`make_unit`]); the
//! container's first process then enters by the descriptors of [`entry_files`] and
//! [`unified_directory`], which is what costs no RCU grace period. Everything later works on the
//! same [`Place`], as the state file keeps it.

mod controllers;
mod destroy;
mod devices;
mod error;
mod events;
mod file;
mod freezer;
mod host;
mod limits;
mod make;
mod path;
mod processes;
mod properties;
pub mod stats;
mod tree;
mod unit;

pub use destroy::{destroy, remove_unused};
pub use error::{Error, Result};
pub use events::{OomWatch, oom_kills};
pub use freezer::{freeze, freezer_directory, is_frozen, thaw};
pub use host::{Host, is_v2_alone};
pub use limits::{apply, update};
pub use make::{
    Note, admit, delegate, entry_files, make, missing, unified_directory, unified_directory_of,
};
pub use path::{CgroupPath as Place, Hierarchy, locate};
pub use processes::{processes, signal_all};
pub use stats::{Stats, stats};
pub use unit::{Systemd, attach, attach_beside, locate_unit, make_unit, settle_unit};
