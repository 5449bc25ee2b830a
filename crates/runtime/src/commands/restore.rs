//! `restore`: creates a container from a checkpoint. Its processes go on where they were.

use crate::checkpoint::options::RestoreOptions;
use crate::checkpoint::restore::{Restored, restore_container};
use crate::container::remove::roll_back_started;
use crate::foreground::started::Started;
use crate::foreground::supervise::{Supervised, Supervisor};
use crate::host::pid_file;
use crate::{Result, Runtime};

/// `restore ID`: gives the exit status of the program, or 0 for one that is left running.
pub fn restore(runtime: &Runtime, options: &RestoreOptions) -> Result<i32> {
    let run = options.run;
    let mut supervisor = (!run.detach).then(|| Supervisor::new(!run.no_subreaper)).transpose()?;
    let Restored { container, init, console } = restore_container(runtime, options)?;
    if let Some(supervisor) = &mut supervisor {
        supervisor.after_fork().inspect_err(|_| roll_back_started(runtime, &container))?;
    }
    if let Some(path) = &options.create.pid_file {
        let written = pid_file::write(path, container.init.pid);
        written.inspect_err(|_| roll_back_started(runtime, &container))?;
    }
    let init = Supervised { pid: container.init.pid, pidfd: &init };
    let started =
        Started { container: &container, init, console: console.as_ref(), listener: None };
    started.finish(runtime, supervisor, run.keep)
}
