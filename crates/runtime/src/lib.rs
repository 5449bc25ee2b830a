//! The lifecycle: the only crate that knows the order of things.
//!
//! Each command is one function that takes a [`Runtime`], where its containers are and whom it
//! warns, and gives back what the command prints or an [`Error`]. What it began and could not
//! finish is undone before the error is returned.

mod checkpoint;
mod commands;
mod container;
mod create;
mod foreground;
mod host;

pub use ::criu::{CgroupMode, Switch};
pub use checkpoint::options::{CheckpointOptions, CriuOptions, RestoreOptions};
pub use commands::checkpoint::checkpoint;
pub use commands::create::create;
pub use commands::delete::delete;
pub use commands::events::{Interval, Lines, events};
pub use commands::exec::{ExecOptions, ProcessFlags, ProcessSource, exec};
pub use commands::features::{features, version};
pub use commands::kill::{Signal, kill};
pub use commands::list::{list_json, list_quiet, list_table, matching};
pub use commands::mounts::{add_mounts, remove_mounts};
pub use commands::pause::{pause, resume};
pub use commands::ps::{ps_json, ps_table};
pub use commands::restore::restore;
pub use commands::run::run;
pub use commands::spec::template;
pub use commands::start::start;
pub use commands::state::state;
pub use commands::update::{UpdateOptions, update};
pub use container::status::Status;
pub use create::options::{CgroupManager, CreateOptions, RunOptions};
pub use host::descriptors::{
    close_inherited_fds, listen_fds, open_stdio, set_inherited_fds_cloexec,
};
pub use host::files::{append, replace};
pub use host::kernel::check_kernel;
pub use process::seal::ensure as seal_executable;
pub use spec::{LONGEST, read_within};

use state::Store;
use std::fmt;
use std::path::PathBuf;

/// Who takes a message.
pub type Sink<'a> = Box<dyn Fn(&str) + 'a>;

/// What every command works with.
pub struct Runtime<'a> {
    /// Where the containers' state is.
    pub root: PathBuf,
    /// Whether the caller named it, rather than taking the default.
    pub root_is_given: bool,
    /// Who is told of what is wrong but does not keep a command from being done.
    pub warn: Sink<'a>,
    /// Who is told of what is done, where that is asked for.
    pub debug: Option<Sink<'a>>,
}

impl fmt::Debug for Runtime<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Runtime<'_> {
    fn debug(&self, text: impl FnOnce() -> String) {
        if let Some(debug) = &self.debug {
            debug(&text());
        }
    }

    /// The store, if there is one.
    fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.root, false)?)
    }

    fn warn_all(&self, warnings: &[String]) {
        for warning in warnings {
            (self.warn)(warning);
        }
    }
}

/// What a command gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command could not be done, in message: the step, the object, the answer, a remedy.
#[derive(Debug)]
pub struct Error {
    message: String,
    not_found: bool,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), not_found: false }
    }

    /// The container has no init, or not any more.
    pub(crate) fn not_running() -> Self {
        Self::new("container not running")
    }

    /// `what` failed with `errno`.
    pub(crate) fn call(what: impl fmt::Display, errno: sys::Errno) -> Self {
        Self::new(format!("{what}: {}", errno.desc().to_lowercase()))
    }

    /// The same, said to be of `step`.
    pub(crate) fn within(self, step: &str) -> Self {
        Self { message: format!("{step}: {}", self.message), ..self }
    }

    /// Whether there is no such container.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.not_found
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<state::Error> for Error {
    fn from(error: state::Error) -> Self {
        let not_found = matches!(error, state::Error::NotFound(_));
        Self { message: error.to_string(), not_found }
    }
}

/// The errors of the crates that only have words.
macro_rules! from_words {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Error {
            fn from(error: $kind) -> Self {
                Self::new(error.to_string())
            }
        })*
    };
}

from_words!(spec::Error, ::criu::Error, cgroups::Error, process::Error, seccomp::Error);
