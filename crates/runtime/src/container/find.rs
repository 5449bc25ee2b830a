//! Finding a container by its id.

use super::Container;
use super::record::Record;
use crate::{Result, Runtime};
use state::{Entry, Identity};

/// The container `id`, without its lock: it may change, or go, at any time.
pub(crate) fn find(runtime: &Runtime, id: &str) -> Result<Container> {
    open(find_entry(runtime, id)?)
}

/// The directory of the container `id`, which may have no record yet.
pub(crate) fn find_entry(runtime: &Runtime, id: &str) -> Result<Entry> {
    state::check_id(id)?;
    let store = match runtime.store() {
        // Without a store there is no container.
        Err(_) if !runtime.root.exists() => return Err(state::not_found(id)),
        store => store?,
    };
    store.get(id)
}

/// The container `id` with its lock: no other command changes it as long as this lives.
pub(crate) fn find_locked(runtime: &Runtime, id: &str) -> Result<Container> {
    let Container { entry, .. } = find(runtime, id)?;
    entry.lock()?;
    // Another command may have changed it before this one got the lock.
    open(entry)
}

/// Reads what is known of the container in `entry`.
pub(crate) fn open(entry: Entry) -> Result<Container> {
    let (record, init) = read(&entry)?;
    Ok(Container { entry, record, init })
}

/// The record, and who init is.
pub(crate) fn read(entry: &Entry) -> Result<(Record, Identity)> {
    Ok((entry.read()?, entry.init()?))
}
