//! The machine as the kernel sees it, before a run and after: what differs is what the run has left, or
//! broken. Others may be at work here at the same time: what bears the name of another run, or lies in
//! somebody's temporary folder, is not ours, and a difference counts only if it stays.

use crate::{cgroup, host};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Files of /etc that no test has any business with; and /dev's nodes, whose times show a chmod or
/// chown that was undone.
const FILES: [&str; 9] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/machine-id",
];
const NODES: [&str; 9] =
    ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "kmsg"];

/// Devices that the kernel makes in each network namespace as it loads a module for tunnels.
const OF_MODULES: [&str; 9] =
    ["erspan0", "gre0", "gretap0", "ip6_vti0", "ip6gre0", "ip6tnl0", "ip_vti0", "sit0", "tunl0"];

/// Below /proc/sys: what is a setting and no count, but for these.
const SYSCTLS: [&str; 5] = ["kernel", "fs", "vm", "net/ipv4", "user"];
const COUNTS: [&str; 13] = [
    "kernel/ns_last_pid",
    "kernel/perf_event_max_sample_rate",
    "kernel/pty/nr",
    "kernel/random/",
    "kernel/tainted",
    "fs/aio-nr",
    "fs/binfmt_misc/",
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota/",
    "net/ipv4/route/",
];

/// Something on the machine and what is to be known of it, by its kind and name: "mount /tmp".
pub type Machine = BTreeMap<String, String>;

/// Who we are, and so what is ours.
#[derive(Debug)]
pub struct Run<'a> {
    /// What the names of all that the run makes have in them.
    pub names: &'a [String],
    /// A program that must stay as it is: the runtime.
    pub program: &'a Path,
    /// The process whose descendants are ours.
    pub pid: i32,
}

impl Run<'_> {
    fn is_ours(&self, text: &str) -> bool {
        self.names.iter().any(|name| text.contains(name.as_str()))
    }

    /// All there is.
    #[must_use]
    pub fn look(&self) -> Machine {
        let mut machine = Machine::new();
        let mut add = |kind: &str, name: &str, value: String| {
            machine.insert(format!("{kind} {name}"), value);
        };
        self.mounts(&mut add);
        self.cgroups(&mut add);
        self.processes(&mut add);
        self.keys(&mut add);
        self.sockets(&mut add);
        network(&mut add);
        files(&[self.program], &mut add);
        sysctls(&mut add);
        for name in ["hostname", "domainname"] {
            add("name", name, read(&format!("/proc/sys/kernel/{name}")));
        }
        for file in ["limits", "oom_score_adj"] {
            add("the run's own", file, read(&format!("/proc/self/{file}")));
        }
        machine
    }

    /// What differs from `before`, and still does after `patience`: keys, cgroups and processes take
    /// their time to go.
    #[must_use]
    pub fn differences(&self, before: &Machine, patience: Duration) -> Vec<String> {
        let since = Instant::now();
        let mut left = differences(before, &self.look());
        while !left.is_empty() && since.elapsed() < patience {
            sleep(Duration::from_millis(250));
            let now = differences(before, &self.look());
            left = left.intersection(&now).cloned().collect();
        }
        left.into_iter().collect()
    }

    /// Others' mounts are in their temporary folders, or made for them by a service manager.
    fn mounts(&self, add: &mut dyn FnMut(&str, &str, String)) {
        let others =
            [&*std::env::temp_dir(), Path::new("/run/user"), Path::new("/run/credentials")];
        for line in read("/proc/self/mountinfo").lines() {
            let Some((first, second)) = line.split_once(" - ") else { continue };
            let fields: Vec<&str> = first.split(' ').collect();
            let (Some(root), Some(&point)) = (fields.get(3), fields.get(4)) else { continue };
            if self.is_ours(line)
                || !others.iter().any(|folder| Path::new(point).starts_with(folder))
            {
                let options = fields.get(5..).unwrap_or_default().join(" ");
                add(
                    "mount",
                    &format!("{} on {point}", fields[0]),
                    format!("{root} {options} {second}"),
                );
            }
        }
    }

    fn cgroups(&self, add: &mut dyn FnMut(&str, &str, String)) {
        for name in self.names {
            for path in cgroup::named(name) {
                add("cgroup", &path.display().to_string(), String::new());
            }
        }
    }

    /// Those that descend from us, but for whoever looks here, and those that bear our name.
    fn processes(&self, add: &mut dyn FnMut(&str, &str, String)) {
        let own = std::process::id().cast_signed();
        let parents: BTreeMap<i32, i32> =
            pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
        let descends = |pid: i32| {
            let mut above = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
            pid != self.pid && above.any(|one| one == self.pid)
        };
        for &pid in parents.keys().filter(|pid| **pid != own) {
            let of = |file: &str| read(&format!("/proc/{pid}/{file}")).replace('\0', " ");
            let line = of("cmdline");
            if (descends(pid) || self.is_ours(&line) || self.is_ours(&of("cgroup")))
                && host::is_alive(pid)
                && pid != self.pid
            {
                add("process", &pid.to_string(), line);
            }
        }
    }

    fn keys(&self, add: &mut dyn FnMut(&str, &str, String)) {
        for line in read("/proc/keys").lines().filter(|line| self.is_ours(line)) {
            let mut words = line.split_whitespace();
            let serial = words.next().unwrap_or_default();
            add("key", serial, words.last().unwrap_or_default().to_owned());
        }
    }

    fn sockets(&self, add: &mut dyn FnMut(&str, &str, String)) {
        let table = read("/proc/net/unix");
        let paths = table.lines().filter_map(|line| line.split_whitespace().nth(7));
        for path in paths.filter(|path| self.is_ours(path)) {
            add("socket", path, String::new());
        }
        for name in names("/run/rind").into_iter().filter(|name| self.is_ours(name)) {
            add("container", &name, String::new());
        }
    }
}

/// All that is in one and not in the other, or is not the same.
fn differences(before: &Machine, after: &Machine) -> BTreeSet<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| match (before.get(key), after.get(key)) {
        (Some(old), Some(new)) if old != new => Some(format!("{key} was {old:?} and is {new:?}")),
        (Some(old), None) => Some(format!("{key} is gone: {old}")),
        (None, Some(new)) => Some(format!("{key} was not there: {new}")),
        _ => None,
    });
    differing.collect()
}

fn network(add: &mut dyn FnMut(&str, &str, String)) {
    let devices = read("/proc/net/dev");
    let names = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
    for name in names.filter(|name| !OF_MODULES.contains(name)) {
        add("network device", name, String::new());
    }
    for name in self::names("/run/netns") {
        add("network namespace", &name, String::new());
    }
}

fn files(programs: &[&Path], add: &mut dyn FnMut(&str, &str, String)) {
    for path in FILES.iter().map(Path::new).chain(programs.iter().copied()) {
        let Ok(facts) = fs::metadata(path) else { continue };
        let mut hash = DefaultHasher::new();
        fs::read(path).unwrap_or_default().hash(&mut hash);
        let (mode, owner, group) = (facts.mode(), facts.uid(), facts.gid());
        let value = format!("{mode:o} {owner}:{group} {:016x}", hash.finish());
        add("file", &path.display().to_string(), value);
    }
    for name in NODES {
        let path = format!("/dev/{name}");
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        let is_device = facts.file_type().is_char_device();
        // What is written to a terminal changes the time of its content, not that of the node.
        let value = format!(
            "device: {is_device} {:x} {:o} {}:{} changed {}.{}",
            facts.rdev(),
            facts.mode(),
            facts.uid(),
            facts.gid(),
            facts.ctime(),
            facts.ctime_nsec(),
        );
        add("node", &path, value);
    }
}

fn sysctls(add: &mut dyn FnMut(&str, &str, String)) {
    let mut folders: Vec<String> = SYSCTLS.iter().map(|&name| name.to_owned()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(format!("/proc/sys/{folder}")).into_iter().flatten().flatten() {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if COUNTS
                .iter()
                .any(|count| format!("{name}/").starts_with(count.trim_end_matches('/')))
            {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(name);
            } else if let Ok(value) = fs::read_to_string(entry.path()) {
                add("sysctl", &name, value.trim_end().to_owned());
            }
        }
    }
}

fn pids() -> impl Iterator<Item = i32> {
    names("/proc").into_iter().filter_map(|name| name.parse().ok())
}

fn parent(pid: i32) -> Option<i32> {
    host::process_stat(pid)?.get(1)?.parse().ok()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A file's text; none where there is no such file.
fn read(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).trim_end().to_owned()
}
