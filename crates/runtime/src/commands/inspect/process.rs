//! What the kernel tells of a container's init: ids, capabilities, seccomp, limits, mounts.

use super::cannot_read;
use crate::container::Container;
use process::capabilities::{number_name, numbers};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use sys::Errno;
use sys::fs::{open, openat};
use sys::nix::fcntl::{OFlag, readlinkat};
use sys::nix::sys::stat::Mode;

/// How messages about init's files begin.
pub(super) const OF_INIT: &str = "of init's /proc: ";

/// What the kernel tells of init.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    /// The program that it executes; none before the start.
    pub executable: Option<String>,
    pub arguments: Vec<String>,
    pub working_directory: Option<String>,
    /// Real, effective, saved and file system's, as the reader's user namespace has them.
    pub uids: Vec<u32>,
    pub gids: Vec<u32>,
    pub groups: Vec<u32>,
    pub umask: Option<String>,
    pub uid_mappings: Vec<Mapping>,
    pub gid_mappings: Vec<Mapping>,
    /// The five sets, by name.
    pub capabilities: BTreeMap<&'static str, Vec<String>>,
    pub no_new_privileges: Option<bool>,
    /// `disabled`, `strict` or `filter`.
    pub seccomp: Option<&'static str>,
    pub seccomp_filters: Option<u32>,
    pub oom_score_adj: Option<i32>,
    /// What the security module calls it.
    pub label: Option<String>,
    pub rlimits: Vec<Rlimit>,
    pub mounts: Vec<Mount>,
}

/// A line of an id mapping.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mapping {
    #[serde(rename = "containerID")]
    pub container_id: u32,
    #[serde(rename = "hostID")]
    pub host_id: u32,
    pub size: u32,
}

/// A limit, in the kernel's words.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rlimit {
    #[serde(rename = "type")]
    pub kind: String,
    pub soft: String,
    pub hard: String,
    pub unit: String,
}

/// A mount, as mountinfo has it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Mount {
    pub destination: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    /// What of the file system is mounted.
    pub root: String,
    pub options: String,
    /// Peer groups and masters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
}

/// The longest file that is read: a container can make many mounts.
const LONGEST: usize = 64 << 20;

/// The directory of init in /proc, which is that of no other process, ever; `ESRCH` if init has ended.
pub(super) fn directory_of(container: &Container) -> sys::Result<OwnedFd> {
    let pid = container.init.pid;
    if pid <= 0 {
        return Err(Errno::ESRCH);
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(format!("/proc/{pid}").as_str(), flags, Mode::empty());
    let directory =
        directory.map_err(|errno| if errno == Errno::ENOENT { Errno::ESRCH } else { errno })?;
    if container.init.is_alive()? { Ok(directory) } else { Err(Errno::ESRCH) }
}

/// What the kernel tells of the container's init; none if that has ended.
pub(super) fn of(container: &Container, unreadable: &mut Vec<String>) -> Option<Process> {
    let proc = match directory_of(container) {
        Err(Errno::ESRCH) => return None,
        Err(errno) => {
            unreadable.push(cannot_read("the directory", errno));
            return None;
        }
        Ok(proc) => proc,
    };
    let mut text = |file: &str| match read(&proc, file) {
        Ok(text) => text,
        Err(errno) => {
            unreadable.push(cannot_read(file, errno));
            String::new()
        }
    };
    let mut process = Process {
        arguments: words(&text("cmdline")),
        uid_mappings: mappings(&text("uid_map")),
        gid_mappings: mappings(&text("gid_map")),
        oom_score_adj: text("oom_score_adj").trim().parse().ok(),
        rlimits: rlimits(&text("limits")),
        mounts: mounts(&text("mountinfo")),
        // Without a security module that has labels the kernel has no answer.
        label: read(&proc, "attr/current")
            .ok()
            .map(|label| label.trim_end_matches(['\0', '\n']).to_owned()),
        executable: link(&proc, "exe"),
        working_directory: link(&proc, "cwd"),
        ..Process::default()
    };
    process.label = process.label.filter(|label| !label.is_empty());
    process.add_status(&text("status"));
    Some(process)
}

fn read(proc: impl AsFd, file: &str) -> sys::Result<String> {
    let file = File::from(openat(proc, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?);
    let bytes = spec::read_within(file, 0, LONGEST)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EFBIG as i32)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn link(proc: impl AsFd, name: &str) -> Option<String> {
    readlinkat(proc, name).ok().map(|path| path.to_string_lossy().into_owned())
}

/// The strings of a file in which each ends in a NUL byte.
fn words(text: &str) -> Vec<String> {
    let text = text.strip_suffix('\0').unwrap_or(text);
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
}

impl Process {
    /// Leaves out which program this is.
    pub fn forget_program(&mut self) {
        (self.executable, self.arguments) = (None, Vec::new());
    }

    /// Adds what /proc/PID/status has. The name in it is the process's own to choose; the kernel escapes
    /// the end of a line there.
    fn add_status(&mut self, text: &str) {
        const SETS: [(&str, &str); 5] = [
            ("CapBnd", "bounding"),
            ("CapEff", "effective"),
            ("CapPrm", "permitted"),
            ("CapInh", "inheritable"),
            ("CapAmb", "ambient"),
        ];
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match key {
                "Uid" => self.uids = ids(value),
                "Gid" => self.gids = ids(value),
                "Groups" => self.groups = ids(value),
                "Umask" => self.umask = Some(value.to_owned()),
                "NoNewPrivs" => self.no_new_privileges = Some(value == "1"),
                "Seccomp" => {
                    self.seccomp = Some(match value {
                        "0" => "disabled",
                        "1" => "strict",
                        _ => "filter",
                    });
                }
                "Seccomp_filters" => self.seccomp_filters = value.parse().ok(),
                _ => {
                    let set = SETS.iter().find(|(name, _)| *name == key);
                    if let (Some((_, name)), Ok(bits)) = (set, u64::from_str_radix(value, 16)) {
                        self.capabilities.insert(name, numbers(bits).map(number_name).collect());
                    }
                }
            }
        }
    }
}

fn ids(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn mappings(text: &str) -> Vec<Mapping> {
    let line = |line: &str| match ids(line)[..] {
        [container_id, host_id, size] => Some(Mapping { container_id, host_id, size }),
        _ => None,
    };
    text.lines().filter_map(line).collect()
}

/// Reads /proc/PID/limits: a heading, and columns that names with spaces are in.
fn rlimits(text: &str) -> Vec<Rlimit> {
    let line = |line: &str| {
        let column = |from: usize, to: usize| {
            let to = to.min(line.len());
            line.get(from.min(to)..to).map(|text| text.trim().to_owned())
        };
        let (kind, soft, hard) = (column(0, 26)?, column(26, 47)?, column(47, 68)?);
        let unit = column(68, usize::MAX).unwrap_or_default();
        (!kind.is_empty() && !hard.is_empty()).then_some(Rlimit { kind, soft, hard, unit })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Reads mountinfo (`proc_pid_mountinfo(5)`). Paths are the container's to choose.
fn mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let mut fields = first.split(' ').skip(3);
    let (root, destination, options) = (fields.next()?, fields.next()?, fields.next()?);
    let propagation = fields.collect::<Vec<_>>().join(" ");
    let mut fields = second.split(' ');
    let (kind, source) = (fields.next()?.to_owned(), unescaped(fields.next()?));
    let (root, destination) = (unescaped(root), unescaped(destination));
    // Those of the file system, but for what those of the mount say already.
    let ours: Vec<&str> = options.split(',').collect();
    let more = fields.next().unwrap_or_default().split(',');
    let more = more.filter(|option| !option.is_empty() && !["ro", "rw"].contains(option));
    let options = ours.iter().copied().chain(more.filter(|option| !ours.contains(option)));
    let options = unescaped(&options.collect::<Vec<_>>().join(","));
    Some(Mount { destination, kind, source, root, options, propagation })
}

/// The text with `\040` and such as what they stand for.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\');
        let code = code.filter(|code| code.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let number =
            code.map(|code| code.iter().fold(0_u32, |all, one| all * 8 + u32::from(one - b'0')));
        if let Some(byte) = number.and_then(|number| u8::try_from(number).ok()) {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mounts_are_read_with_what_is_escaped() {
        let line =
            "41 40 0:41 /a\\040b /x\\012y ro,nosuid shared:1 master:2 - tmpfs no\\134ne rw,size=4k";
        let found = mount(line).unwrap();
        assert_eq!((found.root.as_str(), found.destination.as_str()), ("/a b", "/x\ny"));
        assert_eq!((found.kind.as_str(), found.source.as_str()), ("tmpfs", "no\\ne"));
        assert_eq!(found.options, "ro,nosuid,size=4k");
        assert_eq!(found.propagation, "shared:1 master:2");
        assert_eq!(mounts("\nx\n1 2 3 - 4\n"), []);
        assert_eq!(unescaped("\\04\\999\\"), "\\04\\999\\");
    }

    #[test]
    fn limits_have_columns() {
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let limits = rlimits(&own);
        assert_eq!(limits.len(), own.lines().count() - 1);
        let files = limits.iter().find(|one| one.kind == "Max open files").unwrap();
        assert!(files.soft.parse::<u64>().is_ok() && files.unit == "files", "{files:?}");
        assert_eq!(rlimits("a\nb\nÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ"), []);
    }

    #[test]
    fn a_status_is_read_by_its_keys() {
        let mut process = Process::default();
        process.add_status(
            "Name:\tx\nUid:\t1\t2\t3\t4\nCapBnd:\t0000000000000003\nSeccomp:\t2\nNoNewPrivs:\t1\n",
        );
        assert_eq!(process.uids, [1, 2, 3, 4]);
        assert_eq!(process.capabilities["bounding"], ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]);
        assert_eq!((process.seccomp, process.no_new_privileges), (Some("filter"), Some(true)));
        assert_eq!(words("a\0\0b\0"), ["a", "", "b"]);
    }
}
