//! What a container may leave on the machine: cgroups, mounts, state, processes.

use crate::cgroup;
use crate::host::{is_alive, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use sys::nix::mount::{MntFlags, umount2};

/// Something on the machine that would not be there but for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A cgroup.
    Cgroup(PathBuf),
    /// A mount in the tests' own mount namespace.
    Mount(PathBuf),
    /// The runtime's folder for the container.
    State(PathBuf),
    /// A process, and its command line.
    Process(i32, String),
    /// A unit of systemd's.
    Unit(String),
}

/// Everything that bears the name `id`, lies in `folder`, or is in the state folder `root`.
#[must_use]
pub fn find(id: &str, folder: &Path, root: &Path) -> Vec<Trace> {
    let mut traces: Vec<Trace> = cgroup::named(id).into_iter().map(Trace::Cgroup).collect();
    traces.extend(mounts_below(folder).into_iter().map(Trace::Mount));
    let state = root.join(id);
    if state.symlink_metadata().is_ok() {
        traces.push(Trace::State(state));
    }
    traces.extend(processes_of(id));
    if cgroup::is_systemds() {
        traces.extend(cgroup::units(id).into_iter().map(Trace::Unit));
    }
    traces
}

/// Removes what [`find`] found, by the machine's own means.
pub fn remove(traces: &[Trace]) {
    // All fail where the thing has gone by itself meanwhile.
    for trace in traces {
        match trace {
            Trace::Cgroup(path) => cgroup::destroy(path),
            Trace::Mount(path) => drop(umount2(path, MntFlags::MNT_DETACH)),
            Trace::State(path) => drop(fs::remove_dir_all(path)),
            Trace::Unit(name) => {
                let _ = Command::new("systemctl").args(["stop", name]).status();
                let _ = Command::new("systemctl").args(["reset-failed", name]).output();
            }
            Trace::Process(pid, _) => {
                let _ = sys::process::kill(*pid, sys::nix::libc::SIGKILL);
                wait_for("a killed process to go", || !is_alive(*pid));
            }
        }
    }
}

/// The mount points at or below `folder`, deepest first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    below.reverse();
    below
}

/// The processes, other than this one, whose cgroup is named by `id`, or which have it as an argument.
fn processes_of(id: &str) -> Vec<Trace> {
    let own = i32::try_from(std::process::id()).expect("pid");
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = pids.filter(|pid| *pid != own).filter_map(|pid| {
        let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        // Others may have this test's folder in their arguments: those that share its state.
        let named = line.split('\0').any(|argument| argument == id) || cgroup.contains(id);
        (named && is_alive(pid)).then(|| Trace::Process(pid, line.replace('\0', " ")))
    });
    found.collect()
}
