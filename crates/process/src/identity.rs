//! What a process gives up: user and groups, capabilities, `no_new_privs`, the filter; in the only
//! order that works.

use crate::capabilities::{Sets, numbers};
use crate::fault::{During, Fault, Stage};
use crate::process_spec::{Identity, ProcessSpec};
use std::os::fd::OwnedFd;
use sys::credentials::{self, Capabilities, CapabilitySet, Id};
use sys::nix::libc;
use sys::{Errno, process, seccomp};

const CAP_SETGID: CapabilitySet = 1 << 6;
const CAP_SYS_ADMIN: CapabilitySet = 1 << 21;

/// Takes the identity of `process.user` and its capabilities.
///
/// Dropping from the bounding set needs `CAP_SETPCAP`, so it comes first; changing the user needs
/// `CAP_SETUID`, so it comes before the sets; `keep_capabilities` bridges the two.
pub(crate) fn assume(spec: &ProcessSpec) -> Result<(), Fault> {
    let Sets { bounding, ambient, .. } = spec.capabilities;
    drop_bounding(bounding)?;
    if spec.identity.uid != Id::ROOT {
        // Only who stops being root loses them.
        credentials::set_keep_capabilities(true).during(Stage::Capabilities)?;
    }
    set_user(&spec.identity)?;
    if spec.identity.uid != Id::ROOT || spec.identity.gid != Id::ROOT {
        // With fs.suid_dumpable=1 a change of user has made us so (proc(5)).
        process::set_dumpable(false).during(Stage::User)?;
    }
    set_capabilities(spec, kept_for_filter(spec))?;
    for capability in numbers(ambient) {
        let raised = credentials::raise_ambient(capability);
        raised.map_err(|errno| Fault::at(Stage::Ambient, capability.into(), errno))?;
    }
    if spec.no_new_privileges {
        process::set_no_new_privs().during(Stage::NoNewPrivileges)?;
    }
    Ok(())
}

/// Sets the configured sets, and `kept` with them.
fn set_capabilities(spec: &ProcessSpec, kept: CapabilitySet) -> Result<(), Fault> {
    let Sets { effective, permitted, inheritable, .. } = spec.capabilities;
    let sets =
        Capabilities { effective: effective | kept, permitted: permitted | kept, inheritable };
    credentials::capset(&sets).during(Stage::Capabilities)
}

/// What must stay permitted so that a filter can be installed without `no_new_privs`.
///
/// The program does not have it: execve computes the new sets from the bounding, inheritable and
/// ambient ones and the file's, never from what was permitted (capabilities(7)). Where others may see
/// the process before that, it is given up as soon as the filter is in, if that allows it.
fn kept_for_filter(spec: &ProcessSpec) -> CapabilitySet {
    if spec.options.filter.is_some() && !spec.no_new_privileges { CAP_SYS_ADMIN } else { 0 }
}

fn drop_bounding(keep: CapabilitySet) -> Result<(), Fault> {
    for capability in numbers(!keep) {
        match credentials::drop_bounding(capability) {
            Ok(()) => {}
            // The first number that the kernel does not know ends the list.
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(Fault::at(Stage::Bounding, capability.into(), errno)),
        }
    }
    Ok(())
}

fn set_user(identity: &Identity) -> Result<(), Fault> {
    if let Some(groups) = &identity.groups {
        match credentials::set_groups(groups) {
            Err(Errno::EPERM) if groups.is_empty() && may_set_groups() => {}
            set => set.during(Stage::User)?,
        }
    }
    credentials::set_group(identity.gid).during(Stage::User)?;
    credentials::set_user(identity.uid).during(Stage::User)
}

/// Whether setgroups can only have failed because it is denied in our user namespace, whoever made
/// that (`user_namespaces(7)`): then there are no groups to give up either.
fn may_set_groups() -> bool {
    credentials::capget().is_ok_and(|sets| sets.effective & CAP_SETGID != 0)
}

/// Becomes root of a user namespace, whose mappings are written; perhaps with the groups it has.
pub(crate) fn become_root(keep_groups: bool) -> Result<(), Fault> {
    credentials::set_group(Id::ROOT).during(Stage::MappedRoot)?;
    credentials::set_user(Id::ROOT).during(Stage::MappedRoot)?;
    if keep_groups {
        return Ok(());
    }
    match credentials::set_groups(&[]) {
        // Denied for an unprivileged caller's mapping: user_namespaces(7).
        Err(Errno::EPERM) => Ok(()),
        set => set.during(Stage::MappedRoot),
    }
}

/// Installs the filter, the last thing before the program but for waiting.
///
/// Gives its listener, where the filter asks somebody.
pub(crate) fn install_filter(spec: &ProcessSpec) -> Result<Option<OwnedFd>, Fault> {
    let Some(filter) = &spec.options.filter else { return Ok(None) };
    let listener = seccomp::set_filter(filter.program(), filter.flags()).during(Stage::Seccomp)?;
    let is_seen = spec.forks_last || spec.options.exec_fifo.is_some();
    if is_seen && kept_for_filter(spec) != 0 && filter.allows(libc::SYS_capset, [0; 6]) {
        set_capabilities(spec, 0)?;
    }
    Ok(listener)
}
