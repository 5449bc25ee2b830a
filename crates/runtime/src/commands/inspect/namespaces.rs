//! The container's namespaces, and who shares each: the host, and other containers below the same
//! `--root`.

use super::cannot_read;
use super::process::directory_of;
use crate::Runtime;
use crate::container::Container;
use crate::container::find::open;
use serde::Serialize;
use std::os::fd::AsFd;
use sys::Errno;
use sys::nix::fcntl::{AT_FDCWD, AtFlags};
use sys::nix::sys::stat::fstatat;

/// The kinds of namespaces, by the config's names and by those below /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("mount", "mnt"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// One namespace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The inode, by which the kernel names it.
    pub inode: u64,
    /// Whether it is rind's own, as the host's is.
    pub is_host: bool,
    /// The other containers that are in it.
    pub shared_with: Vec<String>,
}

/// Device and inode of a namespace, which no other has at the same time.
type Identity = (u64, u64);

pub(super) fn of(
    runtime: &Runtime,
    container: &Container,
    unreadable: &mut Vec<String>,
) -> Vec<Namespace> {
    let Ok(proc) = directory_of(container) else { return Vec::new() };
    let mut found: Vec<(Namespace, Identity)> = Vec::new();
    for (kind, file) in KINDS {
        match identity(&proc, &format!("ns/{file}")) {
            Ok(identity) => {
                let own = identity_at(&format!("/proc/self/ns/{file}"));
                let is_host = own == Ok(identity);
                let inode = identity.1;
                found.push((Namespace { kind, inode, is_host, shared_with: Vec::new() }, identity));
            }
            // A kernel without this kind.
            Err(Errno::ENOENT) => {}
            Err(errno) => unreadable.push(cannot_read(&format!("ns/{file}"), errno)),
        }
    }
    let is_alone = found.iter().all(|(one, _)| one.is_host);
    if !is_alone {
        for other in others(runtime, container) {
            compare(&other, &mut found);
        }
    }
    found.into_iter().map(|(one, _)| one).collect()
}

/// Adds a container to the namespaces that it is in as well.
fn compare(other: &Container, found: &mut [(Namespace, Identity)]) {
    let Ok(proc) = directory_of(other) else { return };
    for (one, its) in found.iter_mut().filter(|(one, _)| !one.is_host) {
        let file = KINDS.iter().find(|(kind, _)| *kind == one.kind).map_or("", |(_, file)| file);
        if identity(&proc, &format!("ns/{file}")) == Ok(*its) {
            one.shared_with.push(other.entry.id().to_owned());
        }
    }
}

/// The other containers of the same store, one open at a time.
fn others(runtime: &Runtime, container: &Container) -> impl Iterator<Item = Container> {
    let store = runtime.store().ok();
    let mut ids = store.as_ref().and_then(|store| store.ids().ok()).unwrap_or_default();
    ids.retain(|id| id != container.entry.id());
    ids.sort();
    ids.into_iter().filter_map(move |id| open(store.as_ref()?.get(&id).ok()?).ok())
}

fn identity(proc: impl AsFd, file: &str) -> sys::Result<Identity> {
    let facts = fstatat(proc, file, AtFlags::empty())?;
    Ok((facts.st_dev, facts.st_ino))
}

fn identity_at(path: &str) -> sys::Result<Identity> {
    identity(AT_FDCWD, path)
}
