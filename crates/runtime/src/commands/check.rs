//! `check`: what this host offers and lacks for containers, and whether a bundle's config would run
//! here. Nothing is changed, and no container is made.
//!
//! A finding that lacks something says what won't work without it, and what helps. What a bundle is
//! looked at for is what `create` itself looks at ([`bundle`]), so that the two can't disagree.

mod bundle;
mod cgroups;
mod files;
mod finding;
mod host;
mod kernel;
mod limits;
mod namespaces;
mod process;
mod resolve;
mod security;
mod user;

pub use finding::{Finding, Report, Standing};

use crate::Runtime;
use crate::create::options::CgroupManager;
use std::path::{Path, PathBuf};

/// What `check` is asked for.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The bundle to look at; without one, the host.
    pub bundle: Option<PathBuf>,
    /// Who is to manage cgroups, as for `create`.
    pub manager: CgroupManager,
    /// Whether missing permissions on cgroups are no error, as for `create`.
    pub rootless: bool,
    /// criu: a path, or a name to look for in PATH.
    pub criu: PathBuf,
}

/// Looks at the host, or at a bundle.
#[must_use]
pub fn check(runtime: &Runtime, options: &CheckOptions) -> Report {
    Report::new(match &options.bundle {
        Some(directory) => of_bundle(runtime, options, directory),
        None => host::findings(runtime, options),
    })
}

/// What is wrong with a bundle here. Of the host, what no container can do without counts too.
fn of_bundle(runtime: &Runtime, options: &CheckOptions, directory: &Path) -> Vec<Finding> {
    let mut findings = bundle::findings(runtime, options, directory);
    let kernel = kernel::findings().into_iter().filter(|one| one.standing == Standing::Lacks);
    findings.splice(0..0, kernel);
    findings
}
