//! Loads and validates config.json; knows no kernel.
//!
//! [`Bundle::open`] is the way in: the config of a bundle as the types of oci-spec, which the
//! stages after it take as they are. It reads config.json and nothing else. What it lets through
//! keeps the specification's rules as far as the text alone shows; what it does not is an
//! [`Error`] with the line and the property.

mod config;
mod document;
mod error;
mod keys;
mod mend;
mod template;
mod validate;

pub use error::{Error, Position};
pub use template::template;

use config::Config;
use document::{Document, at};
use oci_spec::runtime::{LinuxResources, Process, Spec};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A bundle: a directory with a config.json.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The directory, absolute and without links.
    pub path: PathBuf,
    /// The config.
    pub spec: Spec,
    /// The absolute path of the root file system; whether it is there is not looked at.
    pub rootfs: PathBuf,
    /// config.json as it was read, for the state to keep: later changes have no effect.
    pub text: Vec<u8>,
    /// What is left out or not as asked for, for the caller to log.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// Opens the bundle in `directory`; `config` is read in place of its config.json.
    pub fn open(directory: &Path, config: Option<&Path>) -> Result<Self, Error> {
        let path = absolute(directory)
            .map_err(|error| Error::io(format!("bundle {}", directory.display()), &error))?;
        let file = config.map_or_else(|| path.join("config.json"), Path::to_owned);
        let text =
            std::fs::read(&file).map_err(|error| Error::io(file.display().to_string(), &error))?;
        let mut warnings = Vec::new();
        let name = config.unwrap_or(Path::new("config.json"));
        let spec = parse(&text, name, &mut warnings)?;
        let root = spec.root().as_ref().map(|root| path.join(root.path())).unwrap_or_default();
        // Without the dots and doubled slashes, as messages and the state show it.
        let rootfs = root.components().collect();
        Ok(Self { path, spec, rootfs, text, warnings })
    }
}

/// The path of a directory without links: as the kernel names it, which is less work than to follow
/// each component.
fn absolute(directory: &Path) -> std::io::Result<PathBuf> {
    let opened = File::open(directory)?;
    std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// A config.json that was read before, as the copy in the state is; `name` is for messages.
pub fn parse(text: &[u8], name: &Path, warnings: &mut Vec<String>) -> Result<Spec, Error> {
    let document = Document { text, name };
    let mut spec = Spec::from(document.load::<Config>(mend::spec, warnings)?);
    if let Some(linux) = spec.linux_mut() {
        if let Some(resources) = linux.resources_mut() {
            unset_absent_limit(resources, || document.has(&at("linux.resources.pids.limit")));
        }
        // An empty path is how Go writes that there is none.
        for namespace in linux.namespaces_mut().iter_mut().flatten() {
            if namespace.path().as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                namespace.set_path(None);
            }
        }
    }
    document.judge(validate::spec(&spec, &document))?;
    Ok(spec)
}

/// A process.json, as `exec --process` is given it; `name` is for messages.
pub fn parse_process(
    text: &[u8],
    name: &Path,
    warnings: &mut Vec<String>,
) -> Result<Process, Error> {
    let document = Document { text, name };
    let process = document.load(mend::process, warnings)?;
    document.judge(validate::process(&process))?;
    Ok(process)
}

/// Limits, as `update --resources` is given them; `name` is for messages.
pub fn parse_resources(
    text: &[u8],
    name: &Path,
    warnings: &mut Vec<String>,
) -> Result<LinuxResources, Error> {
    let document = Document { text, name };
    let mut resources = document.load(mend::resources, warnings)?;
    unset_absent_limit(&mut resources, || document.has(&at("pids.limit")));
    document.judge(validate::resources(&resources))?;
    Ok(resources)
}

/// `pids` without a limit has become one with the limit 0, and 0 is a limit: it is unset again.
fn unset_absent_limit(resources: &mut LinuxResources, is_given: impl Fn() -> bool) {
    if resources.pids().is_some_and(|pids| pids.limit() == 0) && !is_given() {
        resources.set_pids(None);
    }
}
