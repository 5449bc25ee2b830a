//! The flags that come before the command, and what they say to every command.

use crate::log::{Level, Log};
use crate::model::{Failure, Flag, Parsed, fail, flag, refuse};
use runtime::{CgroupManager, Runtime};
use std::fs::File;
use std::path::{Path, PathBuf};
use sys::Explain;
use sys::nix::unistd::geteuid;

/// The flags.
pub const FLAGS: &[Flag] = &[
    flag("debug", "", "", "also tell what is being done"),
    flag("log", "", "FILE", "append messages to FILE instead of writing them to stderr"),
    flag("log-format", "", "FORMAT", "text (default) or json").one_of(&["text", "json"]),
    flag("root", "", "DIR", "where state is kept (/run/rind; for a user $XDG_RUNTIME_DIR/rind)"),
    flag(
        "rootless",
        "",
        "MODE",
        "whether missing permissions on cgroups are no error: true, false, auto",
    )
    .one_of(&["true", "false", "auto"]),
    flag(
        "cgroup-manager",
        "",
        "MANAGER",
        "who makes cgroups: cgroupfs (default for root), systemd or disabled",
    )
    .one_of(&["cgroupfs", "systemd", "disabled"]),
    flag("systemd-cgroup", "", "", "have systemd make cgroups; cgroupsPath is SLICE:PREFIX:NAME"),
    flag("criu", "", "PATH", "criu, for checkpoint and restore (default: the one in PATH)"),
];

/// The log that `--log`, `--log-format` and `--debug` ask for.
pub fn log(args: &Parsed) -> Result<Log, Failure> {
    let json = match args.text("log-format") {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => {
            return refuse("--log-format", format!("{other:?} is neither text nor json"));
        }
    };
    let file = args.path("log").map(|path| open_log(&path)).transpose()?;
    Ok(Log::new(file, json, if args.is_on("debug") { Level::Debug } else { Level::Warning }))
}

fn open_log(path: &Path) -> Result<File, Failure> {
    runtime::append(path, 0o666).on("--log", path).map_err(|error| {
        let is_link = error.errno() == Some(sys::Errno::ELOOP);
        error.with_hint(
            is_link.then_some("a link, in a directory that others may write to, is not followed"),
        )
    })
}

/// What `runtime` is to work with: the directory of states, and where its warnings go.
pub fn runtime<'a>(args: &Parsed, log: &'a Log) -> Runtime<'a> {
    runtime_at(args.path("root"), log)
}

/// The same, with the states in `root`.
pub fn runtime_at(root: Option<PathBuf>, log: &Log) -> Runtime<'_> {
    Runtime {
        root_is_given: root.is_some(),
        root: root.map_or_else(default_root, |root| std::path::absolute(&root).unwrap_or(root)),
        warn: Box::new(|text| log.write(Level::Warning, text)),
        debug: log
            .has(Level::Debug)
            .then(|| -> runtime::Sink { Box::new(|text| log.write(Level::Debug, text)) }),
    }
}

fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() && is_rootless() && !is_called_root() => {
            PathBuf::from(directory).join("rind")
        }
        _ => PathBuf::from("/run/rind"),
    }
}

/// Whether the caller is root by name as well. In a user namespace that is the root of a whole
/// system.
fn is_called_root() -> bool {
    geteuid().is_root() && std::env::var_os("USER").is_some_and(|name| name == "root")
}

/// Whether the caller is not root, or is root in a user namespace only, as below a rootless engine.
fn is_rootless() -> bool {
    !geteuid().is_root() || sys::process::in_user_namespace()
}

/// Whether missing permissions on cgroups are no error, by `--rootless`.
pub fn rootless(args: &Parsed) -> Result<bool, Failure> {
    match args.value("rootless") {
        None | Some("auto") => Ok(is_rootless()),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => refuse("--rootless", format!("{other:?} is none of true, false, auto")),
    }
}

/// Who makes cgroups. Podman gives `--systemd-cgroup` and `--cgroup-manager disabled` together.
pub fn cgroup_manager(args: &Parsed) -> Result<CgroupManager, Failure> {
    match args.value("cgroup-manager") {
        Some("cgroupfs") if args.is_on("systemd-cgroup") => {
            fail("--systemd-cgroup and --cgroup-manager cgroupfs exclude each other")
        }
        Some("cgroupfs") => Ok(CgroupManager::Cgroupfs),
        Some("systemd") => Ok(CgroupManager::Systemd),
        Some("disabled") => Ok(CgroupManager::Disabled),
        Some(other) => {
            refuse("--cgroup-manager", format!("{other:?} is none of cgroupfs, systemd, disabled"))
        }
        None if args.is_on("systemd-cgroup") => Ok(CgroupManager::Systemd),
        None => Ok(CgroupManager::Fitting),
    }
}
