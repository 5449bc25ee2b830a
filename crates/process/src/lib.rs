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
mod message;
mod namespaces;
mod plan;
mod program;
pub mod seal;
mod spawn;

pub use fault::{Fault, Stage};
pub use namespaces::{IdMap, Namespaces};
pub use plan::{Console, HookState, Inputs, Plan};
pub use spawn::{Event, Init, spawn};

/// What went wrong on the host's side, in words: the step, the object, the kernel's answer.
#[derive(Debug)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// `what` failed with `errno`.
    pub(crate) fn call(what: impl std::fmt::Display, errno: sys::Errno) -> Self {
        Self(format!("{what}: {}", errno.desc().to_lowercase()))
    }
}
