//! `delete`: removes what `create` made, and then runs the poststop hooks.

use crate::container::record::{CONFIG, PLANNED_CGROUPS};
use crate::container::remove::{kill_init, remove_locked};
use crate::container::{Container, Status, find, open, read};
use crate::create::{CgroupManager, CreateOptions, choose_place};
use crate::host::resctrl;
use crate::{Error, Result, Runtime};
use cgroups::Place;
use oci_spec::runtime::Spec;
use state::Entry;
use std::path::Path;

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
        kill_init(&container)?;
    }
    let locked = container.entry.lock().map_err(Error::from);
    container = match locked.and_then(|()| open(container.entry)) {
        // Somebody else has deleted it meanwhile.
        Err(error) if error.is_not_found() && force => return Ok(()),
        opened => opened?,
    };
    match container.status_under_lock() {
        Status::Stopped => {}
        Status::Created => kill_init(&container)?,
        _ if force => kill_init(&container)?,
        status => {
            return Err(Error::new(format!(
                "cannot delete container {id} that is not stopped: {status} (use kill, or --force)"
            )));
        }
    }
    remove_locked(runtime, &container)
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
        cgroups::remove_unused(&planned_place(entry, &spec)?)?;
        let group =
            spec.linux().as_ref().map(|linux| resctrl::plan(linux, entry.id(), &mut Vec::new()));
        // What can't be planned was not made either.
        if let Some(Ok(Some(group))) = group {
            group.remove_unused()?;
        }
    }
    Ok(entry.remove(&[])?)
}

/// Where cgroups were to be: without a plan they are only those that the config names.
fn planned_place(entry: &Entry, spec: &Spec) -> Result<Place> {
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
