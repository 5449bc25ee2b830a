//! `delete`: removes what `create` made, and then runs the poststop hooks.

use crate::container::Container;
use crate::container::find::{find, open, read};
use crate::container::remove::{kill_init, remove_locked};
use crate::container::status::Status;
use crate::create::leftovers::remove_leftovers;
use crate::{Error, Result, Runtime};

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
        Err(error) if error.is_not_found() => remove_leftovers(&entry).map(|()| None),
        Err(error) => Err(error),
    }
}
