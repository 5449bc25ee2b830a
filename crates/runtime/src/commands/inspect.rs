//! `inspect`: what a container is made of now, as the kernel tells, and how it ended.
//!
//! All of /proc is read by the descriptor of init's directory there, which is opened before init's
//! identity is checked: the kernel never lets it lead to a later process with the same pid.

mod namespaces;
mod process;
mod sections;

pub use sections::Section;

use self::namespaces::Namespace;
use self::process::Process;
use crate::commands::for_people;
use crate::commands::state::Description;
use crate::container::Container;
use crate::container::find::find;
use crate::container::record::ENDED;
use crate::container::status::Status;
use crate::{Explain, Result, Runtime};
use oci_spec::runtime::{Hook, Hooks, LinuxDevice, LinuxDeviceCgroup, Spec};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use sys::Errno;

/// What a container is made of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    id: String,
    status: String,
    pid: i32,
    bundle: PathBuf,
    rootfs: PathBuf,
    created: String,
    owner: u32,
    oci_version: String,
    annotations: BTreeMap<String, String>,
    /// How it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
    namespaces: Vec<Namespace>,
    cgroup: Cgroup,
    /// `process.args`.
    args: Vec<String>,
    /// What the kernel tells of init; none once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    /// `linux.devices`, beside those that every container has.
    devices: Vec<LinuxDevice>,
    /// The device rules in force, after those that deny all and allow the usual devices.
    device_rules: Vec<LinuxDeviceCgroup>,
    hooks: BTreeMap<&'static str, Vec<Hook>>,
    /// What could not be read, and why.
    unreadable: Vec<String>,
}

/// How a container ended, as far as anybody has kept it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    /// Its exit status, or 128 and the number of the signal that killed it; none if whoever has reaped
    /// init has not kept it here.
    exit_status: Option<i32>,
    /// How many of its processes the kernel has killed for lack of memory; none if there is no memory
    /// cgroup any more.
    oom_kills: Option<u64>,
}

/// The container's cgroup.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    /// Its directory in each hierarchy, by the controllers there; of v2 by nothing.
    directories: BTreeMap<String, String>,
    /// The kernel's files of limits.
    limits: BTreeMap<&'static str, String>,
    /// What is in use, as `events --stats` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<cgroups::Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oom_kills: Option<u64>,
}

/// `inspect ID`.
pub fn inspect(runtime: &Runtime, id: &str) -> Result<Inspection> {
    let container = find(runtime, id)?;
    let mut unreadable = Vec::new();
    let mut process = process::of(&container, &mut unreadable);
    let mut namespaces = namespaces::of(runtime, &container, &mut unreadable);
    let cgroup = cgroup(&container, &mut unreadable);
    let spec = container.spec().unwrap_or_else(|error| {
        unreadable.push(error.to_string());
        Spec::default()
    });
    // What was read is init's only if it lives still, and all of one container's only if that is there.
    let status = container.status()?;
    container.check_exists()?;
    if !status.has_processes() || !container.init.is_running().within("looking at init")? {
        // One that begins to end leaves its namespaces first.
        (process, namespaces) = (None, Vec::new());
        unreadable.retain(|text| !text.starts_with(process::OF_INIT));
    }
    if status == Status::Created {
        // It is rind that waits.
        process.iter_mut().for_each(Process::forget_program);
    }
    let ended = (status == Status::Stopped).then(|| ended(&container, cgroup.oom_kills));
    let Description { pid, .. } = Description::of(&container, status);
    let record = &container.record;
    Ok(Inspection {
        id: id.to_owned(),
        status: status.to_string(),
        pid,
        bundle: record.bundle.clone(),
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        owner: record.owner,
        oci_version: record.oci_version.clone(),
        annotations: record.annotations.clone(),
        ended,
        namespaces,
        cgroup,
        args: args(&spec),
        process,
        devices: devices(&spec),
        device_rules: device_rules(&container, &spec),
        hooks: hooks(&spec),
        unreadable,
    })
}

impl Inspection {
    /// All of it, as JSON.
    pub fn to_json(&self) -> Result<String> {
        for_people(self).within("printing the inspection")
    }
}

/// How the container ended. The kernel knows it until somebody reaps init, and a foreground
/// `run --keep` writes it down.
fn ended(container: &Container, oom_kills: Option<u64>) -> Ended {
    let of_kernel = container.init.end().ok().flatten().map(|status| match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => 128 + signal,
    });
    let kept = || {
        let text = String::from_utf8(container.entry.read_file(ENDED).ok()?).ok()?;
        text.trim().parse().ok()
    };
    Ended { exit_status: of_kernel.or_else(kept), oom_kills }
}

fn cgroup(container: &Container, unreadable: &mut Vec<String>) -> Cgroup {
    let cgroup = &container.record.cgroup;
    let directories = cgroup.joined().map(|one| (one.controllers.join(","), one.directory()));
    let directories: BTreeMap<_, _> = directories.collect();
    let missing = cgroup.missing();
    unreadable.extend(missing.iter().map(|gone| format!("the cgroup {gone} is gone")));
    let is_there = !directories.is_empty() && missing.is_none();
    let usage = is_there.then(|| cgroup.stats());
    let usage = usage.transpose().unwrap_or_else(|error| {
        unreadable.push(error.to_string());
        None
    });
    let (limits, oom_kills) = (cgroup.settings().into_iter().collect(), cgroup.oom_kills());
    Cgroup { directories, limits, usage, oom_kills }
}

fn args(spec: &Spec) -> Vec<String> {
    let process = spec.process().as_ref();
    process.and_then(|process| process.args().clone()).unwrap_or_default()
}

fn devices(spec: &Spec) -> Vec<LinuxDevice> {
    let linux = spec.linux().as_ref();
    linux.and_then(|linux| linux.devices().clone()).unwrap_or_default()
}

/// The rules of the config, or of the last update that had some.
fn device_rules(container: &Container, spec: &Spec) -> Vec<LinuxDeviceCgroup> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let configured = || resources.and_then(|resources| resources.devices().clone());
    container.record.updated.devices.clone().or_else(configured).unwrap_or_default()
}

#[allow(deprecated)] // rind still runs prestart hooks
fn hooks(spec: &Spec) -> BTreeMap<&'static str, Vec<Hook>> {
    let list = |get: fn(&Hooks) -> &Option<Vec<Hook>>| {
        spec.hooks().as_ref().and_then(|hooks| get(hooks).clone()).unwrap_or_default()
    };
    let all = [
        ("prestart", list(Hooks::prestart)),
        ("createRuntime", list(Hooks::create_runtime)),
        ("createContainer", list(Hooks::create_container)),
        ("startContainer", list(Hooks::start_container)),
        ("poststart", list(Hooks::poststart)),
        ("poststop", list(Hooks::poststop)),
    ];
    all.into_iter().filter(|(_, list)| !list.is_empty()).collect()
}

/// What is told of a file of init's that can't be read. A process that has ended has none.
fn cannot_read(what: &str, errno: Errno) -> String {
    format!("{}{what}: {}", process::OF_INIT, sys::errno_text(errno))
}
