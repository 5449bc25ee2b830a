//! Limits: from `linux.resources` to what is written to which file, and the writing.

mod cpu;
mod current;
mod io;
mod kept;
mod memory;
mod other;
mod undo;

use crate::cgroupfs::v2::controllers;
use crate::error::{Error, Result};
use crate::path::{CgroupPath, Hierarchy};
use crate::{devices, file, unit};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};
use std::borrow::Cow;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use undo::Undo;

/// Limits the container's cgroups as `resources` ask for, and sets the device rules, which are
/// never without the default ones. To be done before the container's first process goes on.
///
/// Gives what is to be said of limits that a `lenient` place can't have: it goes without.
pub(crate) fn apply(place: &CgroupPath, resources: Option<&LinuxResources>) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    if place.disabled {
        return Ok(lost);
    }
    if let Some(resources) = resources {
        write_limits(place, resources, None, place.lenient.then_some(&mut lost))?;
    }
    devices::apply(place, resources.and_then(|all| all.devices().as_deref()))?;
    Ok(lost)
}

/// Limits the cgroups of a running container anew, and replaces its device rules if there are any;
/// what `resources` don't set stays as it is. On an error everything is set back.
///
/// `swap` is what `memory.swap` was last set to, by the configuration or an update: v2 keeps a limit
/// on swap alone. `devices` are the rules in force until then, likewise.
pub(crate) fn update(
    place: &CgroupPath,
    resources: &LinuxResources,
    swap: Option<i64>,
    devices: Option<&[LinuxDeviceCgroup]>,
) -> Result<()> {
    if place.disabled {
        return Err(Error::refused("the container was made without cgroups, so it has no limits"));
    }
    let resources = current::complete(place, resources, swap)?;
    controllers::enable(place, &needed(place, &resources)?, false)?;
    let mut undo = Undo::default();
    let updated = write_limits(place, &resources, Some(&mut undo), None);
    let updated =
        updated.and_then(|()| kept::keep(place, devices, || unit::update(place, &resources)));
    // The last, as they are not set back.
    let updated = updated.and_then(|()| match resources.devices() {
        Some(rules) => devices::replace(place, rules),
        None => Ok(()),
    });
    updated.map_err(|error| undo.take_back(error))
}

/// The v2 controllers that it takes to limit what `resources` ask for, on this host.
pub(crate) fn needed(place: &CgroupPath, resources: &LinuxResources) -> Result<Vec<String>> {
    let mut needed: Vec<String> = Vec::new();
    let parts = plan(place, resources)?;
    let unified = parts.iter().filter(|part| part.home.is_some_and(Hierarchy::is_unified));
    for write in unified.flat_map(|part| &part.writes) {
        let controller = controller_of(&write.file);
        if controller != "cgroup" && !needed.iter().any(|one| one == controller) {
            needed.push(controller.to_owned());
        }
    }
    Ok(needed)
}

/// What `resources` come to in v2's files, whatever this host has: names and values. Of files that
/// another may stand for, it's the other.
pub(crate) fn v2_values(resources: &LinuxResources) -> Result<Vec<(String, String)>> {
    let place = CgroupPath { hierarchies: vec![Hierarchy::default()], ..CgroupPath::default() };
    let writes = plan(&place, resources)?.into_iter().flat_map(|part| part.writes);
    let value = |write: Write| match write.absent {
        Absent::Instead(file, value) => (file.to_owned(), value),
        _ => (write.file.into_owned(), write.value),
    };
    Ok(writes.map(value).collect())
}

/// A cgroup version; it decides the files and the units of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What is asked of one controller.
struct Part<'a> {
    /// By its v1 name.
    controller: &'static str,
    /// The hierarchy that has it; it may not be joined.
    home: Option<&'a Hierarchy>,
    writes: Vec<Write>,
}

/// One write to a file of the container's cgroup.
#[derive(Debug, PartialEq, Eq)]
struct Write {
    /// The property that asks for it, from `linux.resources.` on.
    property: Cow<'static, str>,
    file: Cow<'static, str>,
    value: String,
    absent: Absent,
}

/// What to do where the kernel has no such file.
#[derive(Debug, PartialEq, Eq)]
enum Absent {
    Refuse,
    /// It limits nothing that could still be used.
    Ignore,
    /// Write this value to this file.
    Instead(&'static str, String),
}

impl Write {
    fn new<P, F>(property: P, file: F, value: String) -> Self
    where
        P: Into<Cow<'static, str>>,
        F: Into<Cow<'static, str>>,
    {
        let (property, file) = (property.into(), file.into());
        Self { property, file, value, absent: Absent::Refuse }
    }

    /// The same, left out where the kernel has no such file, `if` that is so.
    fn optional(self, optional: bool) -> Self {
        if optional { Self { absent: Absent::Ignore, ..self } } else { self }
    }

    /// The same, with another file for kernels that don't have the first.
    fn or(self, file: &'static str, value: String) -> Self {
        Self { absent: Absent::Instead(file, value), ..self }
    }
}

/// An error about a property of `linux.resources`.
fn refused(property: &str, reason: impl Display) -> Error {
    Error::refused(format!("linux.resources.{property}: {reason}"))
}

/// All that `resources` ask for, in the order to write it. Nothing is asked of the kernel.
fn plan<'a>(place: &'a CgroupPath, resources: &LinuxResources) -> Result<Vec<Part<'a>>> {
    let mut parts = Vec::new();
    let mut ask = |controller, writes: &dyn Fn(Version) -> Result<Vec<Write>>| {
        let home = place.controlling(controller);
        let v1 = home.is_some_and(|home| !home.is_unified());
        let writes = writes(if v1 { Version::V1 } else { Version::V2 })?;
        if !writes.is_empty() {
            parts.push(Part { controller, home, writes });
        }
        Ok(())
    };
    if let Some(memory) = resources.memory() {
        ask("memory", &|version| memory::writes(memory, version))?;
    }
    if let Some(cpu) = resources.cpu() {
        ask("cpu", &|version| cpu::writes(cpu, version))?;
        ask("cpuset", &|_| Ok(cpu::set_writes(cpu)))?;
    }
    if let Some(pids) = resources.pids() {
        ask("pids", &|_| Ok(other::pids(*pids)))?;
    }
    if let Some(block) = resources.block_io() {
        ask("blkio", &|version| io::writes(block, version))?;
    }
    if let Some(pages) = resources.hugepage_limits() {
        ask("hugetlb", &|version| other::hugepages(pages, version))?;
    }
    if let Some(network) = resources.network() {
        ask("net_cls", &|version| other::network_class(network, version))?;
        ask("net_prio", &|version| other::network_priorities(network, version))?;
    }
    if let Some(rdma) = resources.rdma() {
        ask("rdma", &|_| other::rdma(rdma))?;
    }
    if let Some(unified) = resources.unified().as_ref().filter(|all| !all.is_empty()) {
        let writes = other::unified(unified)?;
        refuse_on_v1(place, &writes)?;
        parts.push(Part { controller: "unified", home: place.unified(), writes });
    }
    Ok(parts)
}

/// A v2 file whose controller is on v1 can't be written, whatever it is on other hosts.
fn refuse_on_v1(place: &CgroupPath, unified: &[Write]) -> Result<()> {
    let on_v1 = |write: &&Write| place.v1(controller_of(&write.file)).is_some();
    match (unified.iter().find(on_v1), unified.first(), place.unified()) {
        (Some(write), ..) => {
            let controller = controller_of(&write.file);
            Err(refused(
                &write.property,
                format!("this host has {controller} on cgroup v1, not v2"),
            ))
        }
        (None, Some(write), None) => Err(refused(&write.property, "this host has no cgroup v2")),
        _ => Ok(()),
    }
}

/// The v2 controller that a file belongs to.
fn controller_of(file: &str) -> &str {
    file.split('.').next().unwrap_or(file)
}

/// Writes all limits. With `lost`, those that can't be had are told of there, and are no error.
fn write_limits(
    place: &CgroupPath,
    resources: &LinuxResources,
    mut undo: Option<&mut Undo>,
    mut lost: Option<&mut Vec<String>>,
) -> Result<()> {
    let parts = plan(place, resources)?;
    if let (Some(memory), Some(home)) = (resources.memory(), place.controlling("memory")) {
        memory::refuse_below_usage(home, memory)?;
    }
    for Part { controller, home, writes } in parts {
        if let Some(home) = home.filter(|home| home.joined) {
            write_all(home, writes, undo.as_deref_mut(), lost.as_deref_mut())?;
            continue;
        }
        let why = match home {
            None => format!("no {controller} cgroup on this host"),
            Some(_) => {
                format!("cannot set {controller} limit: container could not join or create cgroup")
            }
        };
        for write in writes.iter().filter(|write| write.absent != Absent::Ignore) {
            lose(refused(&write.property, &why), lost.as_deref_mut())?;
        }
    }
    Ok(())
}

/// Has the container go without a limit, if it may.
fn lose(error: Error, lost: Option<&mut Vec<String>>) -> Result<()> {
    let Some(lost) = lost else { return Err(error) };
    lost.push(format!("{error}; the container goes without this limit"));
    Ok(())
}

/// Writes in order, but what the kernel calls invalid again after the others: limits bound each
/// other (memory and memory+swap, burst and quota), and which of the two has to be changed first
/// depends on what they are now.
fn write_all(
    cgroup: &Hierarchy,
    mut writes: Vec<Write>,
    undo: Option<&mut Undo>,
    mut lost: Option<&mut Vec<String>>,
) -> Result<()> {
    let mut writer = Writer { directory: cgroup.directory(), open: None, undo };
    loop {
        let count = writes.len();
        let mut invalid = Vec::new();
        let mut first = None;
        for write in writes {
            match write.perform(&mut writer) {
                Err(error) if error.errno() == Some(Errno::EINVAL) => {
                    first.get_or_insert(error);
                    invalid.push(write);
                }
                Err(error) if error.is_unavailable() => lose(error, lost.as_deref_mut())?,
                other => other?,
            }
        }
        match first {
            None => return Ok(()),
            Some(error) if invalid.len() == count => return Err(error),
            Some(_) => writes = invalid,
        }
    }
}

impl Write {
    fn perform(&self, writer: &mut Writer) -> Result<()> {
        let missing = |errno| matches!(errno, Errno::ENOENT | Errno::EOPNOTSUPP);
        let mut written = writer.write(&self.file, &self.value);
        // BFQ has a file once it is loaded, and refuses what disks it doesn't schedule are to have.
        if let (Err((_, errno)), Absent::Instead(file, value)) = (&written, &self.absent)
            && missing(*errno)
        {
            written = writer.write(file, value);
        }
        match written {
            Err((_, errno)) if missing(errno) && self.absent == Absent::Ignore => Ok(()),
            Err((path, errno)) => {
                let remedy = match errno {
                    Errno::ENOENT => Some("the kernel, or the cgroup above, has no such limit"),
                    Errno::EBUSY => Some("more than that is in use"),
                    Errno::EOPNOTSUPP if self.property == "blockIO.weightDevice" => {
                        Some("the device's I/O scheduler has no weights: bfq has them")
                    }
                    Errno::EINVAL if self.file == "memory.limit_in_bytes" => {
                        Some("memory and swap together may have less: memory.swap")
                    }
                    _ => None,
                };
                let step = format!("writing {} to {path}", self.value);
                let property = format!("linux.resources.{}", self.property);
                Err(Error::kernel(step, errno).with_remedy(remedy).about(&property))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Writes to files of a cgroup.
struct Writer<'a> {
    directory: String,
    /// The file that was written last, open for the next write.
    open: Option<(String, OwnedFd)>,
    undo: Option<&'a mut Undo>,
}

impl Writer<'_> {
    /// Writes `value` to a file; errors come with the path.
    fn write(&mut self, file: &str, value: &str) -> std::result::Result<(), (String, Errno)> {
        let path = format!("{}/{file}", self.directory);
        let found = self.open.take().filter(|(last, _)| *last == path);
        let opened = match found {
            Some((_, fd)) => Ok(fd),
            None => file::open(&path, OFlag::O_WRONLY),
        };
        let before = self.undo.as_ref().and_then(|_| undo::before(&path, file, value));
        let written = opened.and_then(|fd| sys::fs::write_once(&fd, value.as_bytes()).map(|()| fd));
        match written {
            Ok(fd) => {
                if let (Some(undo), Some(before)) = (&mut self.undo, before) {
                    undo.keep(&path, before);
                }
                self.open = Some((path, fd));
                Ok(())
            }
            Err(errno) => Err((path, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde::de::DeserializeOwned;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Compares files and values of what `writes` makes of `config`.
    #[track_caller]
    pub(super) fn check<T: DeserializeOwned>(
        writes: impl Fn(&T) -> Result<Vec<Write>>,
        config: &str,
        expected: &[(&str, &str)],
    ) {
        let all = writes(&serde_json::from_str(config).unwrap()).unwrap();
        let found: Vec<_> = all.iter().map(|one| (&*one.file, &*one.value)).collect();
        assert_eq!(found, expected, "{config}");
    }

    /// Checks that `writes` refuses `config` in words that start with `expected`.
    #[track_caller]
    pub(super) fn refuse<T: DeserializeOwned>(
        writes: impl Fn(&T) -> Result<Vec<Write>>,
        config: &str,
        expected: &str,
    ) {
        let refused = writes(&serde_json::from_str(config).unwrap()).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }

    /// Ordinary files in place of a v2 cgroup's.
    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn new(files: &[(&str, &str)]) -> Self {
            static NUMBER: AtomicUsize = AtomicUsize::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("rind-limits-{}-{number}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(folder.0.join("box")).unwrap();
            for (file, text) in files {
                fs::write(folder.0.join("box").join(file), text).unwrap();
            }
            folder
        }

        pub(super) fn place(&self) -> CgroupPath {
            CgroupPath::of(&self.0, "box", &[(&[], true)])
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join("box").join(file)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let all = "cpuset cpu io memory pids\n";
        let folder = Folder::new(&[
            ("cgroup.controllers", all),
            ("memory.max", "4096\n"),
            ("memory.swap.max", "2048\n"),
            ("cpu.max", "max 100000\n"),
        ]);
        let asked = resources(
            r#"{ "memory": { "limit": 8192, "swap": 9000 }, "cpu": { "quota": 111 },
                "pids": { "limit": 5 } }"#,
        );
        // There is no pids.max.
        let refused = update(&folder.place(), &asked, None, None).unwrap_err().to_string();
        assert!(refused.starts_with("linux.resources.pids.limit: writing 5 to "), "{refused}");
        assert!(refused.ends_with("(the kernel, or the cgroup above, has no such limit)"));
        for (file, before) in
            [("memory.max", "4096\n"), ("memory.swap.max", "2048\n"), ("cpu.max", "max 100000\n")]
        {
            assert_eq!(folder.read(file).get(..before.len()), Some(before), "{file}");
        }
    }

    fn hybrid() -> CgroupPath {
        let hierarchies: [(&[&str], bool); 4] =
            [(&["memory"], true), (&["cpu", "cpuacct"], true), (&["pids"], false), (&[], true)];
        CgroupPath::of(Path::new("/nowhere"), "box", &hierarchies)
    }

    fn resources(config: &str) -> LinuxResources {
        serde_json::from_str(config).unwrap()
    }

    #[test]
    fn a_hybrid_host_has_each_controller_once() {
        let place = hybrid();
        let asked = resources(
            r#"{ "memory": { "limit": 4096 }, "cpu": { "shares": 2, "cpus": "0" },
                "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }],
                "unified": { "misc.max": "x", "cgroup.max.depth": "3" } }"#,
        );
        let files: Vec<_> = plan(&place, &asked)
            .unwrap()
            .into_iter()
            .flat_map(|part| part.writes.into_iter().map(|write| write.file.into_owned()))
            .collect();
        let expected = [
            "memory.limit_in_bytes",
            "cpu.shares",
            "cpuset.cpus",
            "hugetlb.2MB.rsvd.max",
            "hugetlb.2MB.max",
            "cgroup.max.depth",
            "misc.max",
        ];
        assert_eq!(files, expected);
        assert_eq!(needed(&place, &asked).unwrap(), ["cpuset", "hugetlb", "misc"]);
    }

    #[test]
    fn unified_is_refused_where_v1_has_the_controller() {
        let refused = |place: &CgroupPath| {
            let asked = resources(r#"{ "unified": { "memory.high": "1" } }"#);
            needed(place, &asked).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&hybrid()),
            "linux.resources.unified.memory.high: this host has memory on cgroup v1, not v2"
        );
        let none = CgroupPath::default();
        assert_eq!(
            refused(&none),
            "linux.resources.unified.memory.high: this host has no cgroup v2"
        );
    }

    #[test]
    fn a_limit_without_a_cgroup_is_an_error_and_no_limit_is_none() {
        let refused = |place: &CgroupPath, config| {
            write_limits(place, &resources(config), None, None).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&hybrid(), r#"{ "pids": { "limit": 5 } }"#),
            "linux.resources.pids.limit: cannot set pids limit: container could not join or create \
             cgroup"
        );
        let none = CgroupPath::default();
        assert_eq!(
            refused(&none, r#"{ "memory": { "limit": 5 } }"#),
            "linux.resources.memory.limit: no memory cgroup on this host"
        );
        let unset = r#"{ "memory": { "limit": 0 }, "cpu": { "shares": 0 }, "network": {},
            "hugepageLimits": [], "unified": {}, "rdma": {} }"#;
        write_limits(&none, &resources(unset), None, None).unwrap();
        let disabled = update(&CgroupPath::disabled(), &resources("{}"), None, None).unwrap_err();
        assert!(disabled.to_string().contains("without cgroups"));
    }

    #[test]
    fn what_is_invalid_at_first_is_written_after_the_others() {
        // No kernel file, but one that can't be opened is an error all the same.
        let place = hybrid();
        let cgroup = place.v1("memory").unwrap();
        let error = write_all(
            cgroup,
            vec![Write::new("memory.limit", "memory.max", "5".to_owned())],
            None,
            None,
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "linux.resources.memory.limit: writing 5 to /nowhere/box/memory.max: no such \
             file or directory (the kernel, or the cgroup above, has no such limit)"
        );
        write_all(cgroup, vec![Write::new("a", "a", "5".to_owned()).optional(true)], None, None)
            .unwrap();
    }
}
