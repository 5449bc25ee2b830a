//! `create`: a container whose program waits for `start`.

use crate::container::record::{EXEC_FIFO, NEW_FIFO};
use crate::create::options::{CreateOptions, Purpose};
use crate::create::{Created, create_container};
use crate::{Result, Runtime};

/// `create ID`: creates the container; its program waits for `start`.
pub fn create(runtime: &Runtime, options: &CreateOptions) -> Result<()> {
    let created = create_container(runtime, options, Purpose::Create)?;
    complete(&created, options).inspect_err(|_| created.roll_back(runtime))?;
    timing::done(timing::Step::Publish);
    timing::stop();
    Ok(())
}

/// Has other commands see the container as created: a reader at `exec.fifo` means that.
fn complete(created: &Created, options: &CreateOptions) -> Result<()> {
    let entry = &created.container.entry;
    if created.plan.has_early_hooks() {
        // They ran without it.
        entry.lock()?;
    }
    entry.rename(NEW_FIFO, EXEC_FIFO)?;
    created.publish_pid(options)
}
