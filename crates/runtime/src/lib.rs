//! The lifecycle of a container: the only crate that knows in which order things are done.
//!
//! Each command is one function. It takes a [`Runtime`] and the command's options, and returns what
//! the program prints or exits with. A function that returns an [`Error`] has undone what it did.
//! Nothing here prints, or reads the command line.

mod advice;
mod checkpoint;
mod commands;
mod container;
mod create;
mod foreground;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod host;

pub use ::criu::{CgroupMode, Switch};
pub use advice::advise;
pub use checkpoint::options::{CheckpointOptions, CriuOptions, RestoreOptions};
pub use commands::check::{CheckOptions, Finding, Report, Standing, check};
pub use commands::checkpoint::checkpoint;
pub use commands::create::create;
pub use commands::delete::delete;
pub use commands::events::{Interval, Lines, events};
pub use commands::exec::{ExecOptions, ProcessFlags, ProcessSource, exec};
pub use commands::features::{features, version};
pub use commands::inspect::{Inspection, Section, inspect};
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
pub use host::descriptors::{close_inherited_fds, listen_fds, set_inherited_fds_cloexec};
pub use host::files::{append, replace};
pub use host::kernel::check_kernel;
pub use process::seal::ensure as seal_executable;
pub use spec::{LONGEST, read_within};
pub use sys::startup::establish;

use state::Store;
use std::fmt;
use std::path::PathBuf;

/// A function that takes a message: one line, without a newline.
pub type Sink<'a> = Box<dyn Fn(&str) + 'a>;

/// Where a command finds its containers, and whom it tells of what happens.
pub struct Runtime<'a> {
    /// The directory that has a state directory for each container (`--root`).
    pub root: PathBuf,
    /// Whether the caller has named it: then it is an error if it is missing.
    pub root_is_given: bool,
    /// Gets warnings: what is wrong, but does not stop the command.
    pub warn: Sink<'a>,
    /// Gets debug messages, if the caller wants them.
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

    /// Opens the store. One that does not exist is an error.
    fn store(&self) -> Result<Store> {
        Store::open(&self.root, false)
    }

    fn warn_all(&self, warnings: &[String]) {
        for warning in warnings {
            (self.warn)(warning);
        }
    }
}

/// What a command returns.
pub type Result<T> = std::result::Result<T, Error>;

pub use sys::Error;
use sys::Explain;
