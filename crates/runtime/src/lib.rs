//! The lifecycle: the only crate that knows the order of things.
//!
//! Each command is one function that takes a [`Runtime`], where its containers are and whom it
//! warns, and gives back what the command prints or an [`Error`]. What it began and could not
//! finish is undone before the error is returned.

mod amend;
mod annotations;
mod checkpoint;
mod console;
mod container;
mod create;
mod delete;
mod descriptors;
mod events;
mod exec;
mod features;
mod hooks;
mod image;
mod join;
mod kernel;
mod kill;
mod list;
mod listener;
mod mounts;
mod network;
mod notify;
mod output;
mod outside;
mod pause;
mod pidfile;
mod ps;
mod quantity;
mod rdt;
mod record;
mod restore;
mod run;
mod start;
mod supervise;
mod template;
mod terminal;
mod update;
mod validate;

pub use ::criu::{CgroupMode, Switch};
pub use amend::{add_mounts, remove_mounts};
pub use checkpoint::{CheckpointOptions, checkpoint};
pub use container::{Status, state};
pub use create::{CgroupManager, CreateOptions, create};
pub use delete::delete;
pub use descriptors::{claim_descriptors, hide_descriptors, listen_descriptors, open_stdio};
pub use events::{Interval, Lines, events};
pub use exec::{ExecOptions, ProcessFlags, ProcessSource, exec};
pub use features::{features, version};
pub use image::CriuOptions;
pub use kernel::check_kernel;
pub use kill::{Signal, kill};
pub use list::{list_json, list_quiet, list_table, matching};
pub use outside::{append, replace};
pub use pause::{pause, resume};
pub use process::seal::ensure as seal_executable;
pub use ps::{ps_json, ps_table};
pub use restore::{RestoreOptions, restore};
pub use run::{RunOptions, run};
pub use spec::{LONGEST, read_within};
pub use start::start;
pub use template::template;
pub use update::{UpdateOptions, update};

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

/// Why a command could not be done, in words: the step, the object, the answer, a remedy.
#[derive(Debug)]
pub struct Error {
    words: String,
    not_found: bool,
}

impl Error {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), not_found: false }
    }

    /// `what` failed with `errno`.
    pub(crate) fn call(what: impl fmt::Display, errno: sys::Errno) -> Self {
        Self::new(format!("{what}: {}", sys::errno_text(errno)))
    }

    /// The same, said to be of `step`.
    pub(crate) fn within(self, step: &str) -> Self {
        Self { words: format!("{step}: {}", self.words), ..self }
    }

    /// Whether there is no such container.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.not_found
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Error {}

impl From<state::Error> for Error {
    fn from(error: state::Error) -> Self {
        let not_found = matches!(error, state::Error::NotFound(_));
        Self { words: error.to_string(), not_found }
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
