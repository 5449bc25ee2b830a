//! Checks of a config that need the host: that a namespace which is joined is not the host's own.
//!
//! A path in `linux.namespaces` can lead to the host's own namespace. The container then has no
//! namespace of that type, and what the specification refuses without one is refused here too.

use crate::{Error, Explain, Result};
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Spec};
use process::{Joined, Namespaces};
use sys::nix::sched::CloneFlags;
use sys::nix::sys::stat::fstat;

/// Refuses a config that joins a namespace of the host's own and would change it.
pub(crate) fn check_joined(spec: &Spec, namespaces: &Namespaces) -> Result<()> {
    for joined in &namespaces.joined {
        if let Some(what) = set_in(spec, joined.kind)
            && is_host_namespace(joined)?
        {
            return Err(refused(joined.kind, &what, joined.index));
        }
    }
    check_user_namespace(spec, namespaces)
}

/// [`check_joined`] for user namespaces: the list of `Namespaces` does not have the host's own.
fn check_user_namespace(spec: &Spec, plan: &Namespaces) -> Result<()> {
    let listed = namespaces(spec).position(|namespace| namespace.typ() == LinuxNamespaceType::User);
    match (listed, set_in(spec, CloneFlags::CLONE_NEWUSER)) {
        (Some(index), Some(what)) if !plan.has(CloneFlags::CLONE_NEWUSER) => {
            Err(refused(CloneFlags::CLONE_NEWUSER, &what, index))
        }
        _ => Ok(()),
    }
}

/// `linux.namespaces`.
pub(crate) fn namespaces(spec: &Spec) -> impl Iterator<Item = &LinuxNamespace> {
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    list.into_iter().flatten()
}

fn refused(kind: CloneFlags, what: &str, index: usize) -> Error {
    let kind = process::namespace_name(kind);
    Error::new(format!(
        "needs a {kind} namespace of the container's own, but linux.namespaces[{index}] is the \
         host's own"
    ))
    .about(what)
}

/// The first property of the config that changes a namespace of this type.
fn set_in(spec: &Spec, kind: CloneFlags) -> Option<String> {
    let linux = spec.linux().as_ref()?;
    let sysctl = |kind| sysctl_of(linux, kind);
    match kind {
        // Every mount, and the change of the root, would affect the host.
        CloneFlags::CLONE_NEWNS => Some("mounts and another root".to_owned()),
        CloneFlags::CLONE_NEWNET => {
            let moves = linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty());
            moves
                .then(|| "linux.netDevices".to_owned())
                .or_else(|| sysctl(LinuxNamespaceType::Network))
        }
        CloneFlags::CLONE_NEWIPC => sysctl(LinuxNamespaceType::Ipc),
        CloneFlags::CLONE_NEWUTS => {
            let names = [("hostname", spec.hostname()), ("domainname", spec.domainname())];
            let is_set = |name: &Option<String>| name.as_ref().is_some_and(|it| !it.is_empty());
            let name = names.into_iter().find(|(_, value)| is_set(value));
            name.map(|(name, _)| name.to_owned()).or_else(|| sysctl(LinuxNamespaceType::Uts))
        }
        CloneFlags::CLONE_NEWUSER => sysctl(LinuxNamespaceType::User),
        _ => None,
    }
}

fn sysctl_of(linux: &Linux, kind: LinuxNamespaceType) -> Option<String> {
    let is_in = |name: &&String| spec::sysctl_namespace(name) == Some(kind);
    let name = linux.sysctl().iter().flat_map(|all| all.keys()).find(is_in)?;
    Some(format!("linux.sysctl {name}"))
}

/// Whether a namespace that is joined is the host's own: the one that rind is in.
pub(crate) fn is_host_namespace(joined: &Joined) -> Result<bool> {
    let own = match joined.kind {
        CloneFlags::CLONE_NEWCGROUP => "/proc/self/ns/cgroup",
        CloneFlags::CLONE_NEWIPC => "/proc/self/ns/ipc",
        CloneFlags::CLONE_NEWNET => "/proc/self/ns/net",
        CloneFlags::CLONE_NEWNS => "/proc/self/ns/mnt",
        CloneFlags::CLONE_NEWPID => "/proc/self/ns/pid",
        CloneFlags::CLONE_NEWUTS => "/proc/self/ns/uts",
        _ => return Ok(false),
    };
    fstat(&joined.file)
        .and_then(|it| sys::process::is_own_namespace(&it, own))
        .on("comparing a namespace with", own)
}
