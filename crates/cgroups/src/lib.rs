//! One container's cgroup over v1, hybrid and v2: where it is, its limits and device rules, its
//! processes, its end. It knows nothing of containers but their id, and never prints.
//!
//! [`Host`] says which hierarchies there are, [`Cgroup::locate`] where the container's cgroup is going
//! to be in them. [`Cgroup::make`] makes it, [`Cgroup::apply`] limits it (with systemd,
//! [`Cgroup::locate_scope`] and [`Cgroup::make_scope`]). Init then enters by
//! [`Cgroup::entry_files`] and [`Cgroup::unified_directory`], which costs no RCU grace period. Every
//! later command works on the same [`Cgroup`], as the state file keeps it.

mod cgroup;
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

pub use cgroup::{Cgroup, Note};
pub use error::{Error, Result};
pub use events::OomWatch;
pub use host::{Host, is_v2_alone};
pub use path::Hierarchy;
pub use stats::Stats;
pub use unit::Systemd;
