//! Loads and validates config.json. This crate must know no kernel: it reads the document and nothing
//! else.
//!
//! [`Bundle::open`] gives the config of a bundle as the types of oci-spec, which the stages after it
//! take as they are. A config that it gives keeps the specification's rules, as far as the text alone
//! shows that; any other is an error that names the line and the property.

mod advice;
mod config;
mod document;
mod error;
mod examine;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod keys;
mod normalize;
mod path;
mod scanner;
mod template;
mod validate;

pub use advice::of as advice;
pub use examine::{Examined, Place, Problem};
pub use template::template;
pub use validate::{sysctl_namespace, zero_pids_are_unlimited};

use config::Config;
use document::Document;
use error::Found;
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use path::at;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use sys::{Error, Explain};

/// A bundle: a directory with a config.json.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The directory, absolute and without links.
    pub path: PathBuf,
    /// The config.
    pub spec: Spec,
    /// The absolute path of the root file system, which need not be there.
    pub rootfs: PathBuf,
    /// The text of config.json, for the state to keep: later changes of the file have no effect.
    pub text: Vec<u8>,
    /// What rind leaves out or does otherwise than asked for, for the caller to log.
    pub warnings: Vec<String>,
}

impl Bundle {
    /// Opens the bundle in `directory`; `config` is read in place of its config.json.
    pub fn open(directory: &Path, config: Option<&Path>) -> Result<Self, Error> {
        let (path, text) = read_bundle(directory, config)?;
        let mut warnings = Vec::new();
        let name = config.unwrap_or(Path::new("config.json"));
        let spec = parse(&text, name, &mut warnings)?;
        Ok(Self::of(path, spec, text, warnings))
    }

    /// Reads the bundle in `directory` for [`Examined`], which has all that is wrong with its config
    /// where [`Bundle::open`] has the first. Only that there is no config is an error.
    pub fn examine(directory: &Path) -> Result<Examined, Error> {
        let (path, text) = read_bundle(directory, None)?;
        Ok(Examined::new(path, text))
    }

    fn of(path: PathBuf, spec: Spec, text: Vec<u8>, mut warnings: Vec<String>) -> Self {
        for (index, mount) in spec.mounts().iter().flatten().enumerate() {
            let destination = mount.destination();
            if destination.is_relative() && !destination.as_os_str().is_empty() {
                warnings.push(format!(
                    "mounts[{index}].destination {}: is not absolute, which is deprecated: taken \
                     from the container's root",
                    destination.display()
                ));
            }
        }
        let root = spec.root().as_ref().map(|root| path.join(root.path())).unwrap_or_default();
        // Messages and the state show the path without dots and doubled slashes.
        let rootfs = root.components().collect();
        Self { path, spec, rootfs, text, warnings }
    }
}

/// The path of the bundle in `directory`, and the text of its config, or of `config` in its place.
fn read_bundle(directory: &Path, config: Option<&Path>) -> Result<(PathBuf, Vec<u8>), Error> {
    let path = absolute(directory).on("bundle", directory)?;
    let file = config.map_or_else(|| path.join("config.json"), Path::to_owned);
    let text = read(&file, config.is_none()).about(&file)?;
    Ok((path, text))
}

impl Bundle {
    /// Has the container join the namespaces at these paths, each with its type, in place of what the
    /// config says of these types. The text becomes that of the changed config.
    pub fn join(&mut self, paths: &[(&str, String)]) -> Result<(), Error> {
        let name = Path::new("config.json");
        let document = Document { text: &self.text, name, before: 0 };
        let tree = serde_json::from_slice(&self.text);
        let mut tree: Value = tree.map_err(|error| document.syntax(&error))?;
        let members = tree.as_object_mut();
        let list = members.and_then(|members| {
            if paths.iter().any(|(kind, _)| *kind == "uts") {
                // The namespace has its names already.
                members.retain(|key, _| !["hostname", "domainname"].contains(&key.as_str()));
            }
            let linux = members.entry("linux").or_insert_with(|| json!({})).as_object_mut()?;
            linux.entry("namespaces").or_insert_with(|| json!([])).as_array_mut()
        });
        if let Some(list) = list {
            for (kind, path) in paths {
                list.retain(|one| one.get("type").and_then(Value::as_str) != Some(*kind));
                list.push(json!({ "type": kind, "path": path }));
            }
        }
        self.text = tree.to_string().into_bytes();
        self.spec = parse(&self.text, name, &mut Vec::new())?;
        Ok(())
    }
}

/// The longest document that rind reads: a thousand times what engines write. A document without end
/// must not take all memory.
pub const LONGEST: usize = 64 << 20;

/// Reads a document. A caller may name a pipe or a device; in a bundle such a file is a mistake or a
/// trap, as opening a fifo may wait for ever.
fn read(path: &Path, is_bundles: bool) -> io::Result<Vec<u8>> {
    let facts = std::fs::metadata(path)?;
    let kind = facts.file_type();
    if is_bundles && !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("not a regular file"));
    }
    read_within(File::open(path)?, facts.len(), LONGEST)
}

/// Reads `file`, which has about `expected` bytes, to its end; more than `longest` is an error.
pub fn read_within(mut file: impl Read, expected: u64, longest: usize) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    // With one byte more, the read that finds the end needs no more room.
    let mut bytes = vec![0; expected.max(FIRST).min(longest).saturating_add(1)];
    let mut length = 0;
    loop {
        match file.read(bytes.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length > longest {
            let most = longest >> 20;
            return Err(io::Error::other(format!("longer than {most} MiB, which is too much")));
        }
        if length == bytes.len() {
            bytes.resize(length.saturating_mul(2).min(longest.saturating_add(1)), 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The first room for a document of unknown length.
const FIRST: usize = 8 << 10;

/// The path of a directory without links. The kernel's own name for it is less work than following
/// each component.
fn absolute(directory: &Path) -> io::Result<PathBuf> {
    let opened = File::open(directory)?;
    std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// Parses a config.json that was read before, as the state's copy is; `name` is for messages.
pub fn parse(text: &[u8], name: &Path, warnings: &mut Vec<String>) -> Result<Spec, Error> {
    let document = Document { text, name, before: 0 };
    let config = document.load::<Config>(normalize::spec, warnings)?;
    let spec = complete(config, &document, warnings);
    document.report(validate::spec(&mut Found::default(), &spec, &document))?;
    Ok(spec)
}

/// The config as its type, with what the types can't tell taken from the text.
fn complete(config: Config, document: &Document, warnings: &mut Vec<String>) -> Spec {
    let mut spec = Spec::from(config);
    let zero_is_unlimited = zero_pids_are_unlimited(spec.version());
    if let Some(linux) = spec.linux_mut() {
        if let Some(resources) = linux.resources_mut() {
            unset_absent_limit(resources, || document.has(&at("linux.resources.pids.limit")));
            if let Some(pids) = resources.pids_mut()
                && pids.limit() == 0
                && zero_is_unlimited
            {
                pids.set_limit(-1);
            }
            normalize::device_access(resources, "linux.resources.", warnings);
        }
        // Go writes an empty path for none.
        for namespace in linux.namespaces_mut().iter_mut().flatten() {
            if namespace.path().as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                namespace.set_path(None);
            }
        }
    }
    spec
}

/// Parses a process.json of `exec --process`; `name` is for messages.
pub fn parse_process(
    text: &[u8],
    name: &Path,
    warnings: &mut Vec<String>,
) -> Result<Process, Error> {
    let document = Document { text, name, before: 0 };
    let process = document.load(normalize::process, warnings)?;
    document.report(validate::process(&mut Found::default(), &process))?;
    Ok(process)
}

/// Parses the limits of `update --resources`; `name` is for messages.
pub fn parse_resources(
    text: &[u8],
    name: &Path,
    warnings: &mut Vec<String>,
) -> Result<LinuxResources, Error> {
    let document = Document { text, name, before: 0 };
    let mut resources = document.load(normalize::resources, warnings)?;
    unset_absent_limit(&mut resources, || document.has(&at("pids.limit")));
    normalize::device_access(&mut resources, "", warnings);
    document.report(validate::resources(&mut Found::default(), &resources))?;
    Ok(resources)
}

/// Parses the mounts of `mounts add`: a list, or an object that has the list as `mounts`. `name` is for
/// messages, and `has_user_namespace` tells of the container that gets the mounts.
pub fn parse_mounts(
    text: &[u8],
    name: &Path,
    has_user_namespace: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<Mount>, Error> {
    const BEFORE: &[u8] = b"{\"mounts\":";
    let mut document = Document { text, name, before: 0 };
    let wrapped;
    if text.trim_ascii_start().starts_with(b"[") {
        // With the brackets around it, a list and more after it could be an object.
        let whole: Result<IgnoredAny, _> = serde_json::from_slice(text);
        whole.map_err(|error| document.syntax(&error))?;
        wrapped = [BEFORE, text, b"}"].concat();
        document = Document { text: &wrapped, before: BEFORE.len(), ..document };
    }
    let Section { mounts } = document.load(|_, _| {}, warnings)?;
    let found = &mut Found::default();
    document.report(validate::mounts(found, &mounts, has_user_namespace))?;
    Ok(mounts)
}

/// The section of a config that has mounts, and nothing else.
#[derive(Deserialize)]
struct Section {
    mounts: Vec<Mount>,
}

/// Unsets `pids` where the text has no limit: the type has 0 for that, which is a limit.
fn unset_absent_limit(resources: &mut LinuxResources, is_given: impl Fn() -> bool) {
    if resources.pids().is_some_and(|pids| pids.limit() == 0) && !is_given() {
        resources.set_pids(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let parsed = parse_mounts(text.as_bytes(), Path::new("x"), false, &mut Vec::new());
        parsed.map_or_else(|error| error.to_string(), |mounts| format!("{mounts:?}"))
    }

    #[test]
    fn mounts_are_refused_by_their_place_in_the_file() {
        for (text, place) in [
            ("[{\"destination\":1}]", "x:1:17 mounts[0].destination: "),
            ("[{\"destination\":\"/\"}]", "x:1:17 mounts[0].destination: "),
            (" [\n{\"destination\":\"/\"}]", "x:2:16 mounts[0].destination: "),
            ("{\"mounts\":[{\"destination\":1}]}", "x:1:27 mounts[0].destination: "),
            ("[1,", "x:1:3: "),
            ("[\n", "x:2:1: "),
            ("", "x:1:1: "),
        ] {
            let said = refusal(text);
            assert!(said.starts_with(place), "{text:?}: {said}");
        }
    }

    #[test]
    fn a_list_with_more_after_it_is_no_list() {
        for text in ["[],\"x\":1", "[]}", "[]]", "[],\"annotations\":{}"] {
            assert!(refusal(text).contains("trailing characters"), "{text}: {}", refusal(text));
        }
        assert_eq!(refusal("[] \n"), "[]");
    }
}
