//! `mounts add`, `mounts remove`: mounts of a container that is there.

use crate::container::{Container, Status, find_locked};
use crate::mounts::{in_other_mounts, open};
use crate::record::CONFIG;
use crate::{Error, Result, Runtime};
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use rootfs::{Additions, CgroupView, Context, remove_mount};
use std::path::Path;
use sys::nix::sched::{CloneFlags, setns};
use sys::nix::unistd::geteuid;

/// `mounts add ID FILE`: adds the mounts that `text` lists, all of them or none; `name` is the file's.
pub fn add_mounts(runtime: &Runtime, id: &str, text: &[u8], name: &Path) -> Result<()> {
    let (container, spec) = container_to_amend(runtime, id)?;
    let user_namespace = has(&spec, LinuxNamespaceType::User);
    let list = read(runtime, text, name, user_namespace)?;
    let mut spec = spec;
    spec.set_mounts(Some(list));
    let context = Context {
        cgroup: CgroupView::Controllers(Vec::new()),
        mount_namespace: true,
        user_namespace,
        cgroup_namespace: has(&spec, LinuxNamespaceType::Cgroup),
        no_pivot: false,
        pid_namespace: None,
        privileged: geteuid().is_root(),
        mount_context: c"context",
    };
    let additions = Additions::plan(&spec, &container.record.bundle, context)?;
    inside(&container, || {
        let attached = additions.attach(open("/")?);
        attached.map_err(|fault| Error::new(additions.describe(&fault)))
    })
}

/// `mounts remove ID FILE`: unmounts what is at the destinations of the mounts that `text` lists, in
/// their order.
pub fn remove_mounts(runtime: &Runtime, id: &str, text: &[u8], name: &Path) -> Result<()> {
    let (container, spec) = container_to_amend(runtime, id)?;
    let list = read(runtime, text, name, has(&spec, LinuxNamespaceType::User))?;
    inside(&container, || {
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

/// Does `task` in the container's mount namespace. No process of ours is in its sight: its pid
/// namespace is not entered.
fn inside(container: &Container, task: impl FnOnce() -> Result<()>) -> Result<()> {
    let init = container.init_process().map_err(|_| Error::new("container not running"))?;
    let enter = || {
        setns(&init, CloneFlags::CLONE_NEWNS)
            .map_err(|errno| Error::call("joining the container's mount namespace", errno))
    };
    in_other_mounts(enter, task)
}
