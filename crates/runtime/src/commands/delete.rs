//! `delete`: removes a container, and then runs its poststop hooks.

use crate::container::Container;
use crate::container::find::{find_entry, open, read};
use crate::container::remove::{end_init, kill_init, remove_locked};
use crate::container::status::Status;
use crate::create::leftovers::{own_cgroup, remove_leftovers};
use crate::{Error, Result, Runtime};
use state::Entry;
use sys::error::Kind;

/// `delete ID`: deletes a stopped or created container; with `force` also one that runs, and an
/// unknown one is no error.
pub fn delete(runtime: &Runtime, id: &str, force: bool) -> Result<()> {
    let entry = match find_entry(runtime, id) {
        Err(error) if error.is_not_found() && force => return Ok(()),
        found => found?,
    };
    let mut container = match read(&entry) {
        Err(error) if force && is_lost(&error) => {
            match await_create(entry, error.kind() == Kind::DamagedState)? {
                Some(created) => created,
                None => return Ok(()),
            }
        }
        found => {
            let (record, init) = found?;
            Container { entry, record, init }
        }
    };
    if force {
        // A command that has the lock may wait for init. This ends its wait.
        kill_init(&container)?;
    }
    container = match container.entry.lock().and_then(|()| open(container.entry)) {
        // Another command has deleted it meanwhile.
        Err(error) if error.is_not_found() && force => return Ok(()),
        opened => opened?,
    };
    match container.status_under_lock()? {
        Status::Stopped => {}
        Status::Created => kill_init(&container)?,
        _ if force => kill_init(&container)?,
        status => {
            let text = format!("cannot delete container {id} that is not stopped: {status}");
            let hint = Some("use kill, or --force");
            return Err(Error::new(text).with_object(id).with_hint(hint));
        }
    }
    remove_locked(runtime, &container)
}

/// Whether there is no record yet, or any more.
fn is_lost(error: &Error) -> bool {
    error.is_not_found() || error.kind() == Kind::DamagedState
}

/// Waits for a `create` that has not written its record yet. Returns the container, or none if that
/// `create` has failed or was killed, or the container has been deleted. Removes what a killed one has
/// left, and of a container that `was_created` and whose record is damaged.
fn await_create(entry: Entry, was_created: bool) -> Result<Option<Container>> {
    match entry.lock() {
        Ok(()) => {}
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    }
    match read(&entry) {
        Ok((record, init)) => Ok(Some(Container { entry, record, init })),
        Err(error) if is_lost(&error) => {
            let cgroup = own_cgroup(&entry, was_created)?;
            end_init(&entry, cgroup.as_ref())?;
            remove_leftovers(&entry).map(|()| None)
        }
        Err(error) => Err(error),
    }
}
