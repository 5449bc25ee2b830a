//! `mounts add`, `mounts remove`: changes the mounts of an existing container.

use crate::checkpoint::mounts::open;
use crate::container::Container;
use crate::container::find::find_locked;
use crate::create::validate::namespaces;
use crate::{Error, Explain, Result, Runtime};
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use process::foreign_owner;
use process::mounts::in_locked_mounts;
use rootfs::{Added, Additions, Amended, CgroupView, Context, Known};
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::nix::sched::{CloneFlags, setns};
use sys::nix::unistd::geteuid;

/// The file of the state directory that tells how the mounts differ from the config.
const AMENDED: &CStr = c"mounts.json";
const NEW_AMENDED: &CStr = c".mounts.json.new";

/// [`Amended`], as the file has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    added: Vec<KeptMount>,
    removed: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptMount {
    destination: PathBuf,
    id: u64,
}

/// `mounts add ID FILE`: adds the mounts that `text` lists, all or none. `name` is the file's, for
/// messages.
pub fn add_mounts(runtime: &Runtime, id: &str, text: &[u8], name: &Path) -> Result<()> {
    let (container, mut spec) = container_to_amend(runtime, id)?;
    let bundle = &container.record.bundle;
    let list = read(runtime, text, name, has(&spec, LinuxNamespaceType::User))?;
    let mounts = mounts_of(&container)?;
    let owner = owner_of(&mounts, &spec)?;
    let before = read_amended(&container)?;
    let known = Known::new(&spec, bundle, before.clone())?;
    spec.set_mounts(Some(list));
    let context = Context {
        leaves_disks: false,
        cgroup: CgroupView::Controllers(Vec::new()),
        mount_namespace: true,
        user_namespace: owner.is_some(),
        foreign_mounts: false,
        nested: None,
        cgroup_namespace: has(&spec, LinuxNamespaceType::Cgroup),
        no_pivot: false,
        pid_namespace: None,
        privileged: geteuid().is_root(),
        mount_context: c"context",
    };
    let mut additions = Additions::plan(&spec, bundle, context)?;
    runtime.warn_all(&additions.left_out().collect::<Vec<_>>());
    if let Some(owner) = owner.filter(|_| additions.awaits_sources()) {
        additions.take_sources(in_locked_mounts(&owner, || additions.clone_sources())?);
    }
    let mut after = before.clone();
    after.added.extend(additions.added()?);
    // The file lists each mount before it exists, so that it never misses one.
    write_amended(&container, &before, &after)?;
    let added = inside(&mounts, || {
        let attached = additions.attach(open("/")?, known);
        attached.map_err(|fault| additions.fault_error(&fault))
    });
    added.inspect_err(|_| {
        // A failure does no harm: rind ignores listed mounts that don't exist.
        let _ = write_amended(&container, &after, &before);
    })
}

/// `mounts remove ID FILE`: unmounts what the config or `mounts add` has put at the destinations of
/// the mounts that `text` lists, in their order.
pub fn remove_mounts(runtime: &Runtime, id: &str, text: &[u8], name: &Path) -> Result<()> {
    let (container, spec) = container_to_amend(runtime, id)?;
    let list = read(runtime, text, name, has(&spec, LinuxNamespaceType::User))?;
    let before = read_amended(&container)?;
    let mut known = Known::new(&spec, &container.record.bundle, before.clone())?;
    let removed = inside(&mounts_of(&container)?, || {
        let root = open("/")?;
        for (index, mount) in list.iter().enumerate() {
            let destination = mount.destination();
            known.remove(root.as_fd(), destination).map_err(|error| {
                let step = format!("unmounting mounts[{index}] {}", destination.display());
                error.within(step).with_object(format!("mounts[{index}]"))
            })?;
        }
        Ok(())
    });
    // After an error, those mounts that were unmounted before it stay unmounted.
    let written = write_amended(&container, &before, known.amended())
        .within("what could be unmounted is, but is still listed as mounted");
    removed.and(written)
}

fn read_amended(container: &Container) -> Result<Amended> {
    let text = match container.entry.read_file(AMENDED) {
        Err(error) if error.is_not_found() => return Ok(Amended::default()),
        text => text?,
    };
    let Kept { added, removed } =
        serde_json::from_slice(&text).within("the list of amended mounts is damaged")?;
    let added = added.into_iter().map(|KeptMount { destination, id }| Added { destination, id });
    Ok(Amended { added: added.collect(), removed })
}

/// Replaces the file, if the content has changed.
fn write_amended(container: &Container, before: &Amended, after: &Amended) -> Result<()> {
    if before == after {
        return Ok(());
    }
    if *after == Amended::default() {
        return container.entry.remove_file(AMENDED).on("removing", "mounts.json");
    }
    let Amended { added, removed } = after.clone();
    let added = added.into_iter().map(|Added { destination, id }| KeptMount { destination, id });
    let kept = Kept { added: added.collect(), removed };
    let text = serde_json::to_vec(&kept).within("listing the amended mounts")?;
    container.entry.replace_file(NEW_AMENDED, AMENDED, &text)
}

/// The container with its lock, and its config. A container that is stopped or has no mount
/// namespace is an error.
fn container_to_amend(runtime: &Runtime, id: &str) -> Result<(Container, Spec)> {
    let container = find_locked(runtime, id)?;
    let status = container.status_under_lock()?;
    if !status.has_processes() {
        return Err(status.refuse(id, format!("container not running: it is {status}")));
    }
    let spec = container.spec()?;
    if !has(&spec, LinuxNamespaceType::Mount) {
        return Err(Error::new("the container has no mount namespace: its mounts are the host's"));
    }
    Ok((container, spec))
}

fn has(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    namespaces(spec).any(|namespace| namespace.typ() == kind)
}

fn read(runtime: &Runtime, text: &[u8], name: &Path, user_namespace: bool) -> Result<Vec<Mount>> {
    let mut warnings = Vec::new();
    let list = spec::parse_mounts(text, name, user_namespace, &mut warnings)?;
    runtime.warn_all(&warnings);
    Ok(list)
}

/// Runs `task` in a container's mount namespace. The container can't see or trace rind there, as
/// its pid namespace is not entered.
///
/// rind stays there, as going back could fail when all is done: what is left to do goes by descriptors
/// and by no path.
fn inside(mounts: &OwnedFd, task: impl FnOnce() -> Result<()>) -> Result<()> {
    setns(mounts, CloneFlags::CLONE_NEWNS).within("joining the container's mount namespace")?;
    task()
}

/// The mount namespace of the container's init.
fn mounts_of(container: &Container) -> Result<OwnedFd> {
    let init = container.running_init()?;
    let mounts = open(&format!("/proc/{}/ns/mnt", container.init.pid))?;
    // Init is still alive, so this pid was init's.
    match sys::process::pidfd_send_signal(&init, 0) {
        Err(Errno::ESRCH) => Err(Error::not_running()),
        sent => sent.within("looking for init").map(|()| mounts),
    }
}

/// The user namespace that owns the container's mount namespace, if it is not rind's own.
fn owner_of(mounts: &OwnedFd, spec: &Spec) -> Result<Option<OwnedFd>> {
    let owner = foreign_owner(mounts)?;
    let is_expected = namespaces(spec).any(|namespace| match namespace.typ() {
        LinuxNamespaceType::User => true,
        LinuxNamespaceType::Mount => namespace.path().is_some(),
        _ => false,
    });
    if owner.is_some() && !is_expected {
        // Init has CAP_SYS_ADMIN there, and could undo the mount options.
        return Err(Error::new("the container's init has gone to a mount namespace of its own"));
    }
    Ok(owner)
}
