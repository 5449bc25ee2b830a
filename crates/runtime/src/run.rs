//! `run`: create and start in one, in the foreground or not.

use crate::container::Container;
use crate::create::{CreateOptions, Made, Purpose, admit_others, make};
use crate::record::NEW_FIFO;
use crate::start::run_poststart;
use crate::{Error, Result, Runtime, delete, supervise};
use process::Event;

/// What `run` is asked for beyond what `create` is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// To come back once the program runs.
    pub detach: bool,
    /// Not to delete the container at its end.
    pub keep: bool,
    /// Not to take care of orphans of the container's.
    pub no_subreaper: bool,
}

/// `run ID`: gives the exit status of the program, or 0 for one that is left running.
pub fn run(runtime: &Runtime, create: &CreateOptions, run: RunOptions) -> Result<i32> {
    if run.detach {
        let mut made = make(runtime, create, Purpose::RunDetached)?;
        begin(runtime, create, &mut made)?;
        if let Some(listener) = made.listener.take() {
            listener.attend(runtime, made.init.pid, &made.init.pidfd)?;
        }
        return Ok(0);
    }
    let mut supervisor = supervise::Supervisor::new(!run.no_subreaper)?;
    let mut made = make(runtime, create, Purpose::RunForeground)?;
    supervisor.forked().inspect_err(|_| made.undo(runtime))?;
    begin(runtime, create, &mut made)?;
    let supervisor = supervisor.listening(runtime, made.listener.take());
    let ended = supervisor.attend((&made.init).into(), made.console.as_ref());
    if ended.is_err() {
        made.init.end();
    }
    if !run.keep {
        clean_up(runtime, &made.container);
    }
    Ok(ended?.code())
}

/// What comes after a container in the foreground. What stays of it is a warning: the status of its
/// program is not lost over it.
pub(crate) fn clean_up(runtime: &Runtime, container: &Container) {
    if let Err(error) = remove(runtime, container) {
        let id = container.entry.id();
        (runtime.warn)(&format!("deleting the container: {error} (try again: rind delete {id})"));
    }
}

/// Deletes a container that has ended, unless somebody else has.
pub(crate) fn remove(runtime: &Runtime, container: &Container) -> Result<()> {
    match container.entry.lock() {
        Err(state::Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => delete::remove(runtime, container),
    }
}

/// Waits until the program runs, and runs the poststart hooks.
fn begin(runtime: &Runtime, options: &CreateOptions, made: &mut Made) -> Result<()> {
    if made.plan.has_start_hooks() {
        let admitted = admit_others(&made.container.entry);
        admitted.inspect_err(|_| made.undo(runtime))?;
    }
    let started = match made.init.next(&made.plan) {
        Ok(Event::Closed) => Ok(()),
        Ok(_) => Err(Error::new("talking to init: it sent what makes no sense here")),
        Err(error) => Err(error.into()),
    };
    started.and_then(|()| made.hand_out(options)).inspect_err(|_| made.undo(runtime))?;
    // From here on it is a running container, which others may change, and even delete.
    if made.plan.has_early_hooks() || made.plan.has_start_hooks() {
        let told = made.container.entry.remove_file(NEW_FIFO);
        told.map_err(|errno| Error::call("removing what tells that it is being made", errno))?;
    }
    made.container.entry.unlock()?;
    run_poststart(runtime, &made.container)
}
