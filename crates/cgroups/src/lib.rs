//! One container's cgroup over v1, hybrid and v2: where it is, its limits and device rules, its
//! processes, its end. It knows nothing of containers but their id, and never prints.
//!
//! [`Host`] says which hierarchies there are, [`Cgroup::locate`] where the container's cgroup is going
//! to be in them. [`Cgroup::make`] makes it, [`Cgroup::apply`] limits it (with systemd,
//! [`Cgroup::locate_scope`] and [`Cgroup::make_scope`]). Init then enters by
//! [`Cgroup::entry_files`] and [`Cgroup::unified_directory`], which costs no RCU grace period. Every
//! later command works on the same [`Cgroup`], as the state file keeps it.

mod cgroup;
mod cgroupfs;
mod devices;
mod error;
mod file;
mod host;
mod limits;
mod path;
mod scope;
pub mod stats;

pub use cgroup::{Cgroup, Note};
pub use cgroupfs::oom::OomWatch;
pub use error::{Error, Result};
pub use host::{Host, is_v2_alone};
pub use path::Hierarchy;
pub use scope::Systemd;
pub use stats::Stats;
