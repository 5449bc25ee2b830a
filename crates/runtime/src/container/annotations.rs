//! Annotations that have an effect: crun's `run.oci.*`, as far as engines send them.
//!
//! rind reads them before it creates anything. An invalid value is an error that names the
//! annotation. An annotation that rind does not support is an error if the container would differ
//! without it, else a warning. All other annotations have no effect.

use crate::host::files::append;
use crate::{Error, Explain, Result};
use oci_spec::runtime::{Linux, LinuxSeccomp};
use process::Namespaces;
use process::hooks::Output;
use seccomp::Filter;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The annotations of a config.
pub(crate) type Map = BTreeMap<String, String>;

/// The annotations that `features` lists as unsafe: callers should not let their own users set them.
/// A dot at the end stands for all names that begin so.
pub(crate) const UNSAFE: [&str; 3] = ["org.criu.config", SYSTEMD_PROPERTY, "run.oci."];

/// The prefix of annotations that set a property of the container's systemd unit.
pub(crate) const SYSTEMD_PROPERTY: &str = "org.systemd.property.";

const HOOKS_STDERR: &str = "run.oci.hooks.stderr";
const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
const MOUNT_CONTEXT: &str = "run.oci.mount_context_type";
const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";
const SECCOMP_FAIL_UNKNOWN: &str = "run.oci.seccomp_fail_unknown_syscall";
const SECCOMP_RECEIVER: &str = "run.oci.seccomp.receiver";
const TIME_OFFSET: &str = "run.oci.timens_offset";

/// The environment variable that is used without [`SECCOMP_RECEIVER`].
const SECCOMP_RECEIVER_VARIABLE: &str = "RUN_OCI_SECCOMP_RECEIVER";

/// Annotations that are refused, and why.
const REFUSED: [(&str, &str); 3] = [
    ("run.oci.handler", "only the container's own program can be run"),
    ("run.oci.seccomp.plugins", "a static program can't load any: set linux.seccomp.listenerPath"),
    ("run.oci.seccomp_bpf_data", "a filter can't be given as a program: set linux.seccomp"),
];

/// Annotations that are ignored with a warning.
const LEFT_OUT: [&str; 2] = ["run.oci.delegate-cgroup", "run.oci.systemd.force_cgroup_v1"];

/// What annotations ask for, as far as it is needed before the fork.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Whether the process keeps rind's supplementary groups, whatever `process.user` says.
    pub keep_groups: bool,
    /// The mount option that carries `linux.mountLabel`.
    pub mount_context: &'static CStr,
    fails_unknown_syscalls: bool,
    seccomp_receiver: Option<PathBuf>,
    pub(crate) time_offset: Option<String>,
}

impl Requests {
    /// Reads `annotations`. Those that are ignored are added to `warnings`.
    pub fn read(annotations: &Map, warnings: &mut Vec<String>) -> Result<Self> {
        for (name, why) in REFUSED {
            if annotations.contains_key(name) {
                return Err(of_annotation(name, format!("is not supported: {why}")));
            }
        }
        let left_out = LEFT_OUT.iter().filter(|name| annotations.contains_key(**name));
        warnings.extend(left_out.map(|name| format!("annotation {name} is not supported")));
        // They are used later, but an invalid value is refused now.
        for name in [HOOKS_STDERR, HOOKS_STDOUT, PIDFD_RECEIVER] {
            path(annotations, name)?;
        }
        Ok(Self {
            keep_groups: flag(annotations, KEEP_GROUPS)?,
            mount_context: mount_context(annotations)?,
            fails_unknown_syscalls: flag(annotations, SECCOMP_FAIL_UNKNOWN)?,
            seccomp_receiver: seccomp_receiver(annotations)?,
            time_offset: time_offset(annotations)?,
        })
    }

    /// Compiles `linux.seccomp`; none if there is no profile, or one that allows everything.
    pub fn compile_filter(
        &self,
        linux: &Linux,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Filter>> {
        let Some(profile) = linux.seccomp() else { return Ok(None) };
        let filter = Filter::compile(&*self.complete(profile)?, warnings)?;
        Ok(Some(filter).filter(Filter::is_needed))
    }

    /// The profile. If it has no receiver of notifications, it gets that of the annotation. Unknown
    /// names in it are an error if the annotation asks for that.
    fn complete<'a>(&self, profile: &'a LinuxSeccomp) -> Result<Cow<'a, LinuxSeccomp>> {
        if self.fails_unknown_syscalls {
            seccomp::check_known(profile)
                .map_err(|error| error.with_hint(Some(SECCOMP_FAIL_UNKNOWN)))?;
        }
        let has_listener =
            profile.listener_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty());
        Ok(match &self.seccomp_receiver {
            Some(receiver) if !has_listener => {
                let mut profile = profile.clone();
                profile.set_listener_path(Some(receiver.clone()));
                Cow::Owned(profile)
            }
            _ => Cow::Borrowed(profile),
        })
    }

    /// Sets the clocks of a new time namespace, unless `linux.timeOffsets` has.
    pub fn set_clocks(&mut self, namespaces: &mut Namespaces) -> Result<()> {
        let Some(offset) = self.time_offset.take() else { return Ok(()) };
        let Some(offsets) = &mut namespaces.new_time else {
            let why = "needs a new time namespace in linux.namespaces";
            return Err(of_annotation(TIME_OFFSET, why));
        };
        if offsets.is_empty() {
            *offsets = offset;
        }
        Ok(())
    }
}

/// Opens the files that the output of hooks is added to, where there are such.
pub(crate) fn hook_output(annotations: &Map) -> Result<Output> {
    let open = |name| -> Result<Option<File>> {
        let Some(path) = path(annotations, name)? else { return Ok(None) };
        // The output of hooks may be confidential.
        append(path, 0o600).map(Some).on(format_args!("annotation {name}: opening"), path)
    };
    Ok(Output { stdout: open(HOOKS_STDOUT)?, stderr: open(HOOKS_STDERR)? })
}

/// The socket that is to get a pidfd of init, and the annotation that names it.
pub(crate) fn pidfd_receiver(annotations: &Map) -> Result<Option<(&Path, &'static str)>> {
    Ok(path(annotations, PIDFD_RECEIVER)?.map(|path| (path, PIDFD_RECEIVER)))
}

fn seccomp_receiver(annotations: &Map) -> Result<Option<PathBuf>> {
    if let Some(path) = path(annotations, SECCOMP_RECEIVER)? {
        return Ok(Some(path.to_owned()));
    }
    let path = std::env::var_os(SECCOMP_RECEIVER_VARIABLE).map(PathBuf::from);
    match path.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if !path.is_absolute() => {
            let error = Error::new("no absolute path");
            Err(Error::on(SECCOMP_RECEIVER_VARIABLE, path, error))
        }
        path => Ok(path),
    }
}

/// The options of a file system with a security context (mount(8)).
fn mount_context(annotations: &Map) -> Result<&'static CStr> {
    match annotations.get(MOUNT_CONTEXT).map(String::as_str) {
        None | Some("context") => Ok(c"context"),
        Some("fscontext") => Ok(c"fscontext"),
        Some("defcontext") => Ok(c"defcontext"),
        Some("rootcontext") => Ok(c"rootcontext"),
        Some(value) => {
            let why = "not one of context, fscontext, defcontext and rootcontext";
            Err(invalid(MOUNT_CONTEXT, value, why))
        }
    }
}

/// The text for `timens_offsets` (`time_namespaces(7)`): lines of a clock, seconds and nanoseconds.
fn time_offset(annotations: &Map) -> Result<Option<String>> {
    let Some(value) = annotations.get(TIME_OFFSET) else { return Ok(None) };
    let is_offset = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [clock, seconds, nanoseconds] = fields[..] else { return false };
        matches!(clock, "monotonic" | "boottime" | "1" | "7")
            && seconds.parse::<i64>().is_ok()
            && nanoseconds.parse::<u32>().is_ok_and(|number| number < 1_000_000_000)
    };
    if value.is_empty() || !value.lines().all(is_offset) {
        let why = "not a clock (monotonic or boottime), seconds and nanoseconds";
        return Err(invalid(TIME_OFFSET, value, why));
    }
    Ok(Some(value.clone()))
}

fn flag(annotations: &Map, name: &str) -> Result<bool> {
    match annotations.get(name).map(String::as_str) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(value) => Err(invalid(name, value, "neither 1 nor 0")),
    }
}

fn path<'a>(annotations: &'a Map, name: &str) -> Result<Option<&'a Path>> {
    match annotations.get(name) {
        Some(value) if !value.starts_with('/') => Err(invalid(name, value, "no absolute path")),
        value => Ok(value.map(Path::new)),
    }
}

fn invalid(name: &str, value: &str, why: &str) -> Error {
    Error::on("annotation", name, Error::new(format!("{value:?} is {why}")))
}

/// The error that says `what` of the annotation `name`.
fn of_annotation(name: &str, what: impl Display) -> Error {
    Error::new(format!("annotation {name} {what}")).with_object(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn map(name: &str, value: &str) -> Map {
        Map::from([(name.to_owned(), value.to_owned())])
    }

    fn requests(name: &str, value: &str) -> Result<Requests> {
        Requests::read(&map(name, value), &mut Vec::new())
    }

    #[test]
    fn mounts_take_their_label_by_one_of_four_options() {
        for option in [c"context", c"fscontext", c"defcontext", c"rootcontext"] {
            let request = requests(MOUNT_CONTEXT, option.to_str().unwrap()).unwrap();
            assert_eq!(request.mount_context, option);
        }
        assert_eq!(requests("other", "fscontext").unwrap().mount_context, c"context");
    }

    #[test]
    fn offsets_are_lines_of_a_clock_and_two_numbers() {
        for good in ["monotonic 1 0", "7 -5 999999999", "1 0 0\nboottime 2 3\n"] {
            assert!(requests(TIME_OFFSET, good).is_ok(), "{good:?}");
        }
        for bad in ["", "monotonic", "realtime 1 0", "1 0", "1 a 0", "1 0 1000000000", "1 0 0 0"] {
            assert!(requests(TIME_OFFSET, bad).is_err(), "{bad:?}");
        }
    }
}
