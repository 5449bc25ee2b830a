//! `mounts add`, `mounts remove`: mounts of a container that is there.

use crate::container::{Container, Status, find_locked};
use crate::mounts::open;
use crate::record::CONFIG;
use crate::{Error, Result, Runtime};
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use process::mounts::{foreign_owner, in_locked_mounts, in_other_mounts};
use rootfs::{Additions, CgroupView, Context, remove_mount};
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::nix::sched::{CloneFlags, setns};
use sys::nix::unistd::geteuid;

/// `mounts add ID FILE`: adds the mounts that `text` lists, all of them or none; `name` is the file's.
pub fn add_mounts(runtime: &Runtime, id: &str, text: &[u8], name: &Path) -> Result<()> {
    let (container, spec) = container_to_amend(runtime, id)?;
    let list = read(runtime, text, name, has(&spec, LinuxNamespaceType::User))?;
    let mounts = mounts_of(&container)?;
    let owner = owner_of(&mounts, &spec)?;
    let mut spec = spec;
    spec.set_mounts(Some(list));
    let context = Context {
        cgroup: CgroupView::Controllers(Vec::new()),
        mount_namespace: true,
        user_namespace: owner.is_some(),
        foreign_mounts: false,
        cgroup_namespace: has(&spec, LinuxNamespaceType::Cgroup),
        no_pivot: false,
        pid_namespace: None,
        privileged: geteuid().is_root(),
        mount_context: c"context",
    };
    let mut additions = Additions::plan(&spec, &container.record.bundle, context)?;
    if let Some(owner) = owner.filter(|_| additions.awaits_sources()) {
        additions.take_sources(in_locked_mounts(&owner, || additions.clone_sources())?);
    }
    inside(&mounts, || {
        let attached = additions.attach(open("/")?);
        attached.map_err(|fault| Error::new(additions.describe(&fault)))
    })
}

/// `mounts remove ID FILE`: unmounts what is at the destinations of the mounts that `text` lists, in
/// their order.
pub fn remove_mounts(runtime: &Runtime, id: &str, text: &[u8], name: &Path) -> Result<()> {
    let (container, spec) = container_to_amend(runtime, id)?;
    let list = read(runtime, text, name, has(&spec, LinuxNamespaceType::User))?;
    inside(&mounts_of(&container)?, || {
        let root = open("/")?;
        for (index, mount) in list.iter().enumerate() {
            let destination = mount.destination();
            remove_mount(&root, destination).map_err(|errno| {
                let remedy =
                    if errno == sys::Errno::EINVAL { " (nothing is mounted there)" } else { "" };
                let what = format!("unmounting mounts[{index}] {}", destination.display());
                Error::new(format!("{what}: {}{remedy}", errno.desc().to_lowercase()))
            })?;
        }
        Ok(())
    })
}

/// The container, which no other command changes meanwhile, and its config.
fn container_to_amend(runtime: &Runtime, id: &str) -> Result<(Container, Spec)> {
    let container = find_locked(runtime, id)?;
    match container.status_under_lock() {
        Status::Created | Status::Running | Status::Paused => {}
        status => {
            return Err(Error::new(format!("container not running: it is {status}")));
        }
    }
    let text = container.entry.read_file(CONFIG)?;
    let spec = spec::parse(&text, Path::new("config.json"), &mut Vec::new())?;
    if !has(&spec, LinuxNamespaceType::Mount) {
        return Err(Error::new("the container has no mount namespace: its mounts are the host's"));
    }
    Ok((container, spec))
}

fn has(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    list.into_iter().flatten().any(|namespace| namespace.typ() == kind)
}

fn read(runtime: &Runtime, text: &[u8], name: &Path, user_namespace: bool) -> Result<Vec<Mount>> {
    let mut warnings = Vec::new();
    let list = spec::parse_mounts(text, name, user_namespace, &mut warnings)?;
    runtime.warn_all(&warnings);
    Ok(list)
}

/// Does `task` in a container's mount namespace. No process of ours is in its sight: its pid
/// namespace is not entered.
fn inside(mounts: &OwnedFd, task: impl FnOnce() -> Result<()>) -> Result<()> {
    let enter = || {
        setns(mounts, CloneFlags::CLONE_NEWNS)
            .map_err(|errno| Error::call("joining the container's mount namespace", errno))
    };
    in_other_mounts(enter, task)
}

/// The mount namespace of the container's init.
fn mounts_of(container: &Container) -> Result<OwnedFd> {
    let ended = |_| Error::new("container not running");
    let init = container.init_process().map_err(ended)?;
    let mounts = open(&format!("/proc/{}/ns/mnt", container.init.pid))?;
    // Who has that number was init, and still is.
    sys::process::pidfd_send_signal(&init, 0).map_err(ended)?;
    Ok(mounts)
}

/// The user namespace that the mounts of a container belong to, if that is not ours.
fn owner_of(mounts: &OwnedFd, spec: &Spec) -> Result<Option<OwnedFd>> {
    let owner = foreign_owner(mounts)?;
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let is_expected = namespaces.into_iter().flatten().any(|one| match one.typ() {
        LinuxNamespaceType::User => true,
        LinuxNamespaceType::Mount => one.path().is_some(),
        _ => false,
    });
    if owner.is_some() && !is_expected {
        // It has a right there that it doesn't have in its own: to undo what the options say.
        return Err(Error::new("the container's init has gone to a mount namespace of its own"));
    }
    Ok(owner)
}
