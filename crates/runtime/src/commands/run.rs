//! `run`: create and start in one, in the foreground or not.

use crate::container::poststart::run_poststart;
use crate::container::record::NEW_FIFO;
use crate::container::remove::remove_or_warn;
use crate::create::{CreateOptions, Made, Purpose, admit_others, make};
use crate::foreground::supervise;
use crate::{Error, Result, Runtime};
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
    supervisor.forked().inspect_err(|_| made.roll_back(runtime))?;
    begin(runtime, create, &mut made)?;
    let supervisor = supervisor.listening(runtime, made.listener.take());
    let ended = supervisor.attend((&made.init).into(), made.console.as_ref());
    if ended.is_err() {
        made.init.abandon();
        let _ = sys::process::wait(&made.init.pidfd);
    }
    if !run.keep {
        remove_or_warn(runtime, &made.container);
    }
    Ok(ended?.code())
}

/// Waits until the program runs, and runs the poststart hooks.
fn begin(runtime: &Runtime, options: &CreateOptions, made: &mut Made) -> Result<()> {
    if made.plan.has_start_hooks() {
        let admitted = admit_others(&made.container.entry);
        admitted.inspect_err(|_| made.roll_back(runtime))?;
    }
    let started = match made.init.next(&made.plan) {
        Ok(Event::Closed) => Ok(()),
        Ok(_) => Err(Error::new("talking to init: it sent what makes no sense here")),
        Err(error) => Err(error.into()),
    };
    started.and_then(|()| made.hand_out(options)).inspect_err(|_| made.roll_back(runtime))?;
    // From here on it is a running container, which others may change, and even delete.
    if made.plan.has_early_hooks() || made.plan.has_start_hooks() {
        let told = made.container.entry.remove_file(NEW_FIFO);
        told.map_err(|errno| Error::call("removing what tells that it is being made", errno))?;
    }
    made.container.entry.unlock()?;
    run_poststart(runtime, &made.container)
}
