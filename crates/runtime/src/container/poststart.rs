//! The poststart hooks, which `start`, `run` and `restore` run once the program runs.

use super::Container;
use super::hooks::run_all;
use super::remove::roll_back_started;
use crate::{Result, Runtime};

/// Runs the poststart hooks of a running container. The caller has given up the lock. If a hook
/// fails, the container is killed and removed, and the hook's error is returned.
pub(crate) fn run_poststart(runtime: &Runtime, container: &Container) -> Result<()> {
    run_all("poststart", &container.record.poststart, &container.hook_state("running"), None)
        .inspect_err(|_| roll_back_started(runtime, container))
}
