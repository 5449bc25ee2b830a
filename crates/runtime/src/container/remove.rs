//! Tear-down: kills init, destroys the cgroups and the group of resctrl, unmounts what is mounted on
//! the host, removes the state directory, and runs the poststop hooks.
//!
//! Every command that ends a container does so here: `delete`, a foreground `run` or `restore` when
//! the program has ended, and `create`, `run`, `start` and `restore` when they fail. This code must
//! not hold the lock while hooks run, or touch a state directory that another command has removed:
//! the name may belong to another container by now.

use super::Container;
use super::hooks::{State, run_best_effort};
use super::record::{NEW_FIFO, USUAL_FILES};
use crate::host::resctrl;
use crate::{Error, Explain, Result, Runtime};
use cgroups::Cgroup;
use state::Entry;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::libc::SIGKILL;
use sys::nix::mount::{MntFlags, umount2};

/// How long a killed init may take to end, in milliseconds. Nobody can end a process while the
/// kernel waits for a disk or a network on its behalf.
const KILL_TIMEOUT: u16 = 10_000;

/// Sends SIGKILL to init and waits until init has ended. An init that has ended already is no error.
pub(crate) fn kill_init(container: &Container) -> Result<()> {
    let pidfd = match container.init_process() {
        Err(Errno::ESRCH) => return Ok(()),
        pidfd => pidfd.within("finding init")?,
    };
    match container.signal_init(SIGKILL) {
        Err(Errno::ESRCH) => {}
        sent => {
            sent.within("killing init")?;
            container.thaw_killed()?;
        }
    }
    await_killed(&pidfd)
}

/// The same of an init whose container has no record, and of all that is in `cgroup`, if that is known
/// to be the container's: a frozen init ends only once it is thawed, and others may outlive it.
pub(crate) fn end_init(entry: &Entry, cgroup: Option<&Cgroup>) -> Result<()> {
    // A link that can't be read names nobody.
    let init = match entry.init().unwrap_or_default().pidfd() {
        Err(Errno::ESRCH) => None,
        pidfd => Some(pidfd.within("finding init")?),
    };
    match init.as_ref().map(|init| sys::process::pidfd_send_signal(init, SIGKILL)) {
        None | Some(Err(Errno::ESRCH)) => {}
        Some(sent) => sent.within("killing init")?,
    }
    cgroup.map_or(Ok(()), Cgroup::remove)?;
    init.as_ref().map_or(Ok(()), await_killed)
}

fn await_killed(init: &OwnedFd) -> Result<()> {
    if sys::process::await_end(init, KILL_TIMEOUT.into()).within("waiting for init")? {
        return Ok(());
    }
    Err(Error::new(format!("init has not ended {KILL_TIMEOUT} ms after SIGKILL")))
}

/// Kills an init that is rind's own child, and reaps it. It fails only where init has ended already.
pub(crate) fn kill_and_reap(init: &OwnedFd) {
    let _ = sys::process::end(init);
}

/// Removes a container whose init has ended. The caller has the lock.
pub(crate) fn remove_locked(runtime: &Runtime, container: &Container) -> Result<()> {
    destroy(container)?;
    run_poststop(runtime, container);
    Ok(())
}

/// Takes the lock and removes a container whose init has ended, unless another command has done so.
fn remove(runtime: &Runtime, container: &Container) -> Result<()> {
    match container.entry.lock() {
        Err(error) if error.is_not_found() => Ok(()),
        locked => locked.and_then(|()| remove_locked(runtime, container)),
    }
}

/// Removes the container of a program that ran in the foreground and has ended. A failure is a
/// warning, as the caller still needs the program's exit status.
pub(crate) fn remove_or_warn(runtime: &Runtime, container: &Container) {
    if let Err(error) = remove(runtime, container) {
        let id = container.entry.id();
        (runtime.warn)(&format!("deleting the container: {error} (try again: rind delete {id})"));
    }
}

/// Removes a container whose creation failed. Its init, if it had one (`had_init`), has been reaped.
/// A failure here is a warning, as it would hide the error that made the creation fail.
pub(crate) fn roll_back(runtime: &Runtime, container: &Container, had_init: bool) {
    if container.entry.lock().is_err_and(|error| error.is_not_found()) {
        // A `delete --force` has removed the state. Another container may have the name by now.
        return;
    }
    // With this file gone, `Entry::remove` needs not list the directory.
    let _ = container.entry.remove_file(NEW_FIFO);
    warn_while_undoing(runtime, destroy(container));
    if had_init {
        run_poststop(runtime, container);
    }
}

/// Kills and removes a container whose program already runs.
pub(crate) fn roll_back_started(runtime: &Runtime, container: &Container) {
    warn_while_undoing(runtime, kill_init(container).and_then(|()| remove(runtime, container)));
}

fn warn_while_undoing(runtime: &Runtime, undone: Result<()>) {
    if let Err(error) = undone {
        (runtime.warn)(&format!("while undoing: {error}"));
    }
}

/// Removes all that is left once init has ended: processes that outlive it, the cgroups, the group
/// of resctrl, the root's mount, the state directory.
fn destroy(container: &Container) -> Result<()> {
    container.record.cgroup.remove()?;
    container.record.rdt.as_ref().map_or(Ok(()), resctrl::Groups::remove)?;
    if container.record.mounted_root {
        // A create that failed early has not mounted it.
        let _ = umount2(&container.record.rootfs, MntFlags::MNT_DETACH);
    }
    container.entry.remove(&USUAL_FILES)
}

/// Gives the lock up where the container goes on: that others then have to wait is no reason to end it.
pub(crate) fn unlock_or_warn(runtime: &Runtime, container: &Container) {
    if let Err(error) = container.entry.unlock() {
        (runtime.warn)(&error.to_string());
    }
}

/// Runs the poststop hooks of a container that is gone, without the lock, so that no command waits
/// for them. Hooks that fail are warned of (runtime-spec, lifecycle, step 13).
fn run_poststop(runtime: &Runtime, container: &Container) {
    if container.record.poststop.is_empty() {
        return;
    }
    unlock_or_warn(runtime, container);
    let state = State { pid: 0, ..container.hook_state("stopped") };
    run_best_effort("poststop", &container.record.poststop, &state, &*runtime.warn);
}
