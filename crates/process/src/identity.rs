//! Giving up privileges: user and groups, capabilities, `no_new_privs`, the seccomp filter, in the
//! only order that works. After this, the process must have no privilege that the config doesn't
//! grant.

use crate::capabilities::{Sets, numbers};
use crate::fault::{During, Fault, GROUP, GROUPS, Stage, UID};
use crate::process_spec::{Identity, ProcessSpec};
use std::os::fd::OwnedFd;
use sys::credentials::{self, Capabilities, CapabilitySet, Id};
use sys::nix::libc;
use sys::{Errno, process, seccomp};

const CAP_SETGID: CapabilitySet = 1 << 6;
const CAP_SYS_ADMIN: CapabilitySet = 1 << 21;

/// Becomes `process.user` with `process.capabilities`.
///
/// Dropping from the bounding set needs `CAP_SETPCAP`, so it comes first. A change of user needs
/// `CAP_SETUID`, so it comes before the other sets; `PR_SET_KEEPCAPS` keeps the capabilities across
/// it.
pub(crate) fn assume(spec: &ProcessSpec) -> Result<(), Fault> {
    let Sets { bounding, ambient, .. } = spec.capabilities;
    drop_bounding(bounding)?;
    if spec.identity.uid != Id::ROOT {
        // A process loses capabilities only when it stops being root (capabilities(7)).
        credentials::set_keep_capabilities(true).during(Stage::Capabilities)?;
    }
    set_user(&spec.identity)?;
    if spec.identity.uid != Id::ROOT || spec.identity.gid != Id::ROOT {
        // With fs.suid_dumpable=1, a change of user makes the process dumpable (proc_sys_fs(5)).
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

/// Sets the configured sets, with `kept` added to the effective and permitted ones.
fn set_capabilities(spec: &ProcessSpec, kept: CapabilitySet) -> Result<(), Fault> {
    let Sets { effective, permitted, inheritable, .. } = spec.capabilities;
    let sets =
        Capabilities { effective: effective | kept, permitted: permitted | kept, inheritable };
    credentials::capset(&sets).during(Stage::Capabilities)
}

/// The capability that must stay permitted for seccomp(2) without `no_new_privs`.
///
/// The program doesn't get it: execve(2) computes the new sets from the bounding, inheritable and
/// ambient sets and the file's, never from the permitted set (capabilities(7)). If others may see
/// the process before the execve, [`install_filter`] drops the capability, if the filter allows
/// that.
fn kept_for_filter(spec: &ProcessSpec) -> CapabilitySet {
    if spec.options.filter.is_some() && !spec.no_new_privileges { CAP_SYS_ADMIN } else { 0 }
}

fn drop_bounding(keep: CapabilitySet) -> Result<(), Fault> {
    for capability in numbers(!keep) {
        match credentials::drop_bounding(capability) {
            Ok(()) => {}
            // This is the first number that the kernel doesn't know.
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
            set => set.map_err(|errno| Fault::at(Stage::User, GROUPS, errno))?,
        }
    }
    let failed = |part| move |errno| Fault::at(Stage::User, part, errno);
    credentials::set_group(identity.gid).map_err(failed(GROUP))?;
    credentials::set_user(identity.uid).map_err(failed(UID))
}

/// Whether the process has the capability for setgroups(2). The call then fails with `EPERM` only
/// in a user namespace that denies it (`user_namespaces(7)`), where the process has no groups to
/// drop.
fn may_set_groups() -> bool {
    credentials::capget().is_ok_and(|sets| sets.effective & CAP_SETGID != 0)
}

/// Becomes root of the user namespace, whose mappings the parent has written. With `keep_groups`,
/// keeps the supplementary groups.
pub(crate) fn become_root(keep_groups: bool) -> Result<(), Fault> {
    credentials::set_group(Id::ROOT).during(Stage::MappedRoot)?;
    credentials::set_user(Id::ROOT).during(Stage::MappedRoot)?;
    if keep_groups {
        return Ok(());
    }
    match credentials::set_groups(&[]) {
        // The mapping of an unprivileged caller denies it: user_namespaces(7).
        Err(Errno::EPERM) => Ok(()),
        set => set.during(Stage::MappedRoot),
    }
}

/// Installs the seccomp filter; returns the listener (`seccomp_unotify(2)`), if the filter has one.
/// Only the wait for `start` and the program come after this.
pub(crate) fn install_filter(spec: &ProcessSpec) -> Result<Option<OwnedFd>, Fault> {
    let Some(filter) = &spec.options.filter else { return Ok(None) };
    let listener = seccomp::set_filter(filter.program(), filter.flags()).during(Stage::Seccomp)?;
    let is_seen = spec.forks_last || spec.options.exec_fifo.is_some();
    if is_seen && kept_for_filter(spec) != 0 && filter.allows(libc::SYS_capset, [0; 6]) {
        set_capabilities(spec, 0)?;
    }
    Ok(listener)
}
