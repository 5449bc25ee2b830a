//! The process: what is known before the fork, the fork(s) through namespaces, the stages of init.
//!
//! [`Plan`] holds everything that can be computed, allocated or opened on the host's side.
//! [`spawn`] forks; the child runs the stages of `init` and comes back only as an execve or a
//! [`Fault`]. Parent and child talk over one socket, in the messages of [`message`].

pub mod capabilities;
mod console;
mod fault;
pub mod hooks;
mod identity;
mod init;
mod mappings;
pub mod memory;
mod message;
mod namespaces;
mod plan;
mod program;
pub mod seal;
mod spawn;

pub use fault::{Fault, Stage};
pub use namespaces::{IdMap, Namespaces};
pub use plan::{Console, HookState, Inputs, Plan};
/// What goes wrong on the host's side is in words here too.
pub use rootfs::Error;
pub use spawn::{Event, Init, spawn};
