//! `delete`: removes what `create` made, and then runs the poststop hooks.

use crate::container::{Container, Status, find, open, read};
use crate::create::{CgroupManager, CreateOptions, choose_place, clear};
use crate::hooks::{State, run_leniently};
use crate::record::{CONFIG, PLANNED_CGROUPS};
use crate::{Error, Result, Runtime, kill, rdt};
use cgroups::Cgroup;
use oci_spec::runtime::Spec;
use state::Entry;
use std::os::fd::AsFd;
use std::path::Path;
use sys::Errno;
use sys::nix::libc::SIGKILL;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a killed init may take to end, in milliseconds. One that is in the middle of a disk's
/// or a network's work can't be ended sooner by anybody.
const PATIENCE: u16 = 10_000;

/// `delete ID`: of a stopped or created container; with `force` of any, and an unknown one is none.
pub fn delete(runtime: &Runtime, id: &str, force: bool) -> Result<()> {
    let mut container = match find(runtime, id) {
        Err(error) if error.is_not_found() && force => match await_maker(runtime, id)? {
            Some(made) => made,
            None => return Ok(()),
        },
        found => found?,
    };
    if force {
        // Before the lock: a command that waits for this container then comes to its end.
        stop(&container)?;
    }
    let locked = container.entry.lock().map_err(Error::from);
    container = match locked.and_then(|()| open(container.entry)) {
        // Somebody else has deleted it meanwhile.
        Err(error) if error.is_not_found() && force => return Ok(()),
        opened => opened?,
    };
    match container.status_under_lock() {
        Status::Stopped => {}
        Status::Created => stop(&container)?,
        _ if force => stop(&container)?,
        status => {
            return Err(Error::new(format!(
                "cannot delete container {id} that is not stopped: {status} (use kill, or --force)"
            )));
        }
    }
    remove(runtime, &container)
}

/// Removes a container whose init has ended.
pub(crate) fn remove(runtime: &Runtime, container: &Container) -> Result<()> {
    clear(container)?;
    run_poststop(runtime, container);
    Ok(())
}

/// Runs the poststop hooks, of a container that is gone: nobody is to wait for them.
pub(crate) fn run_poststop(runtime: &Runtime, container: &Container) {
    if container.record.poststop.is_empty() {
        return;
    }
    if let Err(error) = container.entry.unlock() {
        (runtime.warn)(&error.to_string());
    }
    let state = State { pid: 0, ..container.hook_state("stopped") };
    run_leniently("poststop", &container.record.poststop, &state, &*runtime.warn);
}

/// Kills init and waits for its end.
pub(crate) fn stop(container: &Container) -> Result<()> {
    let pidfd = match container.init_process() {
        Err(Errno::ESRCH) => return Ok(()),
        pidfd => pidfd.map_err(|errno| Error::call("finding init", errno))?,
    };
    match kill::send(container, SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(Error::call("killing init", errno)),
    }
    loop {
        let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::from(PATIENCE)) {
            Ok(0) => {
                return Err(Error::new(format!("init has not ended {PATIENCE} ms after SIGKILL")));
            }
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::call("waiting for init", errno)),
        }
    }
}

/// Waits for a `create` that has not yet written its record: it makes the container, takes
/// everything back, or was killed, and then what it left is removed.
fn await_maker(runtime: &Runtime, id: &str) -> Result<Option<Container>> {
    let Ok(store) = runtime.store() else { return Ok(None) };
    let Ok(entry) = store.get(id) else { return Ok(None) };
    match entry.lock() {
        Ok(()) => {}
        Err(state::Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    match read(&entry) {
        Ok((record, init)) => Ok(Some(Container { entry, record, init })),
        Err(error) if error.is_not_found() => forget(&entry).map(|()| None),
        Err(error) => Err(error),
    }
}

/// Removes what a killed `create` left: the cgroups and the group of resctrl that it was making, which
/// its plan or its copy of the config tells of, and the directory.
fn forget(entry: &Entry) -> Result<()> {
    let config = entry.read_file(CONFIG).ok();
    let name = Path::new(entry.id());
    let spec = config.and_then(|text| spec::parse(&text, name, &mut Vec::new()).ok());
    if let Some(spec) = spec {
        planned_place(entry, &spec)?.remove_unused()?;
        let group =
            spec.linux().as_ref().map(|linux| rdt::plan(linux, entry.id(), &mut Vec::new()));
        // What can't be planned was not made either.
        if let Some(Ok(Some(group))) = group {
            group.remove_unused()?;
        }
    }
    Ok(entry.remove(&[])?)
}

/// Where cgroups were to be: without a plan they are only those that the config names.
fn planned_place(entry: &Entry, spec: &Spec) -> Result<Cgroup> {
    let text = entry.read_file(PLANNED_CGROUPS).unwrap_or_default();
    if let Ok(planned) = serde_json::from_slice(&text) {
        return Ok(planned);
    }
    let cgroupfs = CreateOptions {
        id: entry.id().to_owned(),
        manager: CgroupManager::Cgroupfs,
        rootless: true,
        ..CreateOptions::default()
    };
    Ok(choose_place(spec, &cgroupfs)?.0)
}
