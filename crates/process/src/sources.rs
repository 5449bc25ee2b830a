//! Mounts of the host's for a container with a user namespace, on the parent's side: the parent
//! clones them in init's mount namespace, a copy of the host's where the kernel has locked every
//! mount, and sends the clones to init. A clone that isn't locked must never reach init.

use crate::Error;
use crate::child::{Child, start_failed};
use crate::message::{self, Kind};
use crate::mounts::{in_locked_mounts, in_mounts_of_child};
use crate::plan::Plan;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::nix::sched::CloneFlags;
use sys::socket::MAX_DESCRIPTORS;

/// Clones the mounts that init's layout awaits, before init changes its mounts, and sends them.
pub(crate) fn hand_over(plan: &Plan, init: &Child) -> Result<(), Error> {
    let layout = &plan.init.layout;
    if !layout.awaits_sources() {
        return Ok(());
    }
    let namespaces = &plan.init.namespaces;
    let trees = if namespaces.new.contains(CloneFlags::CLONE_NEWNS) {
        in_mounts_of_child(ask(plan, init)?, || {
            rootfs::isolate_copy().map_err(|errno| {
                Error::call("making the mounts private to the container", errno)
            })?;
            layout.clone_sources()
        })?
    } else {
        // The joined mount namespace is no copy of the host's, so rind makes one with the same
        // owner.
        let owner = namespaces.owner_of_joined_mounts()?.ok_or_else(|| {
            Error::new("linux.namespaces: the mount namespace is not of the user namespace")
        })?;
        in_locked_mounts(&owner, || layout.clone_sources())?
    };
    for chunk in trees.chunks(MAX_DESCRIPTORS) {
        let descriptors: Vec<BorrowedFd> = chunk.iter().map(AsFd::as_fd).collect();
        send(init, u32::try_from(chunk.len()).unwrap_or_default(), &descriptors)?;
    }
    sys::fs::close_all(trees).map_err(|errno| Error::call("closing init's mounts", errno))?;
    timing::done(timing::Step::HandOver);
    Ok(())
}

/// Asks init for its mount namespace and root. Init is undumpable, so the parent could open them in
/// /proc only with `CAP_SYS_PTRACE`.
fn ask(plan: &Plan, init: &Child) -> Result<Vec<OwnedFd>, Error> {
    send(init, 0, &[])?;
    match init.receive()? {
        None => Err(init.explain_death("init", || None)),
        Some(message) => match (message.kind, message.fault) {
            (Kind::Sources, _) => Ok(message.descriptors),
            (_, Some(fault)) => Err(start_failed(plan, &fault)),
            _ => Err(Error::new("talking to init: it sent what makes no sense here")),
        },
    }
}

fn send(init: &Child, count: u32, descriptors: &[BorrowedFd]) -> Result<(), Error> {
    message::send_if_alive(init.channel.as_fd(), Kind::Sources, count, descriptors)
        .map_err(|errno| Error::call("sending init its mounts", errno))
}
