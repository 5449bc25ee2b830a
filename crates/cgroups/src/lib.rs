//! One container's cgroup over v1, hybrid and v2: where it is, its limits and device rules, its
//! processes, its end. It knows nothing of containers but their id, and never prints.
//!
//! [`Host`] says which hierarchies there are, [`Cgroup::locate`] where the container's cgroup is going
//! to be in them. [`Cgroup::make`] makes it, [`Cgroup::apply`] limits it (with systemd,
//! [`Cgroup::locate_scope`] and [`Cgroup::make_scope`]). Init then enters by
//! [`Cgroup::entry_files`] and [`Cgroup::unified_directory`], which costs no RCU grace period. Every
//! later command works on the same [`Cgroup`], as the state file keeps it.
//!
//! `cgroup.rs` has the handle, [`Cgroup`], and what it says about itself. Its other methods are each in
//! the file that does the work:
//!
//! - `resources.rs`: `make`, `make_scope`, `settle_scope`, `apply`, `update`
//! - `scope.rs`: `locate_scope`, `attach`, `attach_beside`
//! - `remove.rs`: `remove`, `remove_unused`
//! - `settings.rs`: `settings`
//! - `stats.rs`: `stats`
//! - `cgroupfs/enter.rs`: `entry_files`, `enter`, `unified_directory`, `unified_directory_of`, `missing`
//! - `cgroupfs/freezer.rs`: `freeze`, `thaw`, `is_frozen`, `freezer_directory`
//! - `cgroupfs/kill.rs`: `processes`, `signal_all`
//! - `cgroupfs/oom.rs`: `watch_oom`, `oom_kills`
//! - `cgroupfs/v2.rs`: `delegate`

mod cgroup;
mod cgroupfs;
mod devices;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod host;
mod limits;
mod remove;
mod resources;
mod scope;
mod settings;
pub mod stats;

pub use cgroup::{Cgroup, Hierarchy};
pub use cgroupfs::make::Note;
pub use cgroupfs::oom::OomWatch;
pub use error::{Error, Result};
pub use host::{Host, is_v2_alone};
pub use scope::Systemd;
pub use stats::Stats;
