//! `run`: create and start in one command, in the foreground or detached.

use crate::container::record::NEW_FIFO;
use crate::create::options::{CreateOptions, Purpose, RunOptions};
use crate::create::start_init::unlock_for_hooks;
use crate::create::{Created, create_container};
use crate::foreground::started::Started;
use crate::foreground::supervise::Supervisor;
use crate::{Error, Explain, Result, Runtime};
use process::Event;
use timing::{Side, Step};

/// `run ID`: gives the exit status of the program, or 0 for one that is left running.
pub fn run(runtime: &Runtime, options: &CreateOptions, run: RunOptions) -> Result<i32> {
    let purpose = if run.detach { Purpose::RunDetached } else { Purpose::RunForeground };
    // Blocks signals before the fork, so that none for the program is lost.
    let mut supervisor = (!run.detach).then(|| Supervisor::new(!run.no_subreaper)).transpose()?;
    let mut created = create_container(runtime, options, purpose)?;
    let restored = supervisor.as_mut().map_or(Ok(()), Supervisor::after_fork);
    restored.inspect_err(|_| created.roll_back(runtime))?;
    wait_for_exec(runtime, options, &mut created)?;
    let listener = created.listener.take();
    let (container, console) = (&created.container, created.console.as_ref());
    let started = Started { container, init: (&created.init).into(), console, listener };
    started.finish(runtime, supervisor, run.keep)
}

/// Waits until init has executed the program. If init can't, rind removes the container.
fn wait_for_exec(runtime: &Runtime, options: &CreateOptions, created: &mut Created) -> Result<()> {
    if created.plan.has_start_hooks() {
        let admitted = unlock_for_hooks(&created.container.entry);
        admitted.inspect_err(|_| created.roll_back(runtime))?;
    }
    let next = created.init.next(&created.plan);
    timing::done(Step::AwaitProgram);
    if matches!(next, Ok(Event::Closed)) {
        let filters = created.plan.has_start_hooks();
        timing::seen(Side::Container, if filters { Step::FilterAndExecute } else { Step::Execute });
    }
    let executed = match next {
        Ok(Event::Closed) => Ok(()),
        Ok(_) => Err(Error::new("talking to init: it sent what makes no sense here")),
        Err(error) => Err(error),
    };
    executed
        .and_then(|()| created.publish_pid(options))
        .inspect_err(|_| created.roll_back(runtime))?;
    if created.plan.has_early_hooks() || created.plan.has_start_hooks() {
        let removed = created.container.entry.remove_file(NEW_FIFO);
        removed.within("removing what tells that it is being created")?;
    }
    timing::done(Step::Publish);
    Ok(())
}
