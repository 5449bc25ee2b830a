//! The container's process: its plan, the forks into its namespaces, the stages up to the execve.
//!
//! The host's side makes a [`Plan`] for an init, or an [`Exec`] for another process, with
//! everything that can be computed, allocated or opened before the fork. [`spawn`] and
//! [`Exec::spawn`] fork. The child runs its stages and ends in an execve or a [`Fault`]. Parent and
//! child talk over one socket (`message.rs`). A child must never return into the code of its
//! caller.

mod apply;
pub mod capabilities;
mod capture;
mod child;
mod console;
mod descendants;
mod exec;
mod fault;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod hooks;
mod identity;
mod init;
mod intermediate;
mod label;
mod list;
mod mappings;
pub mod memory;
mod message;
pub mod mounts;
mod namespaces;
mod needs;
mod plan;
mod process_spec;
mod procfs;
mod program;
mod refusal;
pub mod seal;
mod sources;
mod spawn;
mod stdio;
mod told;

pub use apply::{START, START_TIMED};
pub use child::{Child, Event};
pub use exec::{Exec, Target};
pub use fault::{Fault, Stage};
pub use label::Module as SecurityModule;
pub use mappings::find as find_program;
pub use namespaces::{
    CLONE_NEWTIME, Joined, Namespaces, foreign_owner, name as namespace_name, try_making,
};
pub use needs::{Needs, needs};
pub use plan::{HookState, InitOptions, Plan, forks_last};
pub use process_spec::{Console, ProcessOptions, ProcessPlan, resource as rlimit_resource};
pub use program::candidates as program_candidates;
pub use rootfs::{Error, IdMap};
pub use spawn::{CgroupPlacement, Keeper, spawn};
pub use stdio::guard_own as guard_stdio;
pub use told::read as told;
