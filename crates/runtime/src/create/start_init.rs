//! From a plan to an init: creates the cgroups, forks init, does from outside what init can't do,
//! and runs the hooks of the runtime's namespaces.
//!
//! rind records where the cgroups are before it creates them, and init's identity as soon as there
//! is an init, so that `delete --force` can clean up after a create that was killed.

use crate::container::Container;
use crate::container::hooks::run_create_hooks;
use crate::container::record::{NEW_FIFO, Record};
use crate::create::cgroup::cgroup_view;
use crate::create::host_side::HostSide;
use crate::host::{listener, network};
use crate::{Error, Explain, Result, Runtime};
use cgroups::Cgroup;
use oci_spec::runtime::Spec;
use process::{CgroupPlacement, Child, Event, Plan, ProcessPlan};
use spec::Bundle;
use state::{Entry, Identity};
use std::os::fd::{AsFd, OwnedFd};
use sys::Errno;
use timing::{Side, Step};

/// Creates the cgroups, forks init, and serves it until it waits for `start`, or in a `run` until it
/// can execute the program. If an error comes after the fork, `forked` has the init to be killed.
pub(crate) fn start_init(
    runtime: &Runtime,
    plan: &mut Plan,
    host_side: &mut HostSide,
    container: &mut Container,
    forked: &mut Option<Child>,
    bundle: &Bundle,
) -> Result<Child> {
    let Container { entry, record, .. } = &mut *container;
    runtime.debug(|| format!("making {:?} of {}", entry.id(), record.bundle.display()));
    let mut entries = None;
    let init = if record.cgroup.is_in_scope() {
        // The scope needs a process: the intermediate one, which forks init.
        let mut create = |hop| {
            let created = host_side.create_groups(entry, record, bundle, Some(hop)).map(drop);
            timing::done(Step::MakeCgroups);
            created
        };
        process::spawn(plan, CgroupPlacement::Via(&mut create))?
    } else {
        entries = host_side.create_groups(entry, record, bundle, None)?;
        if record.cgroup.has_moved() {
            plan.show_cgroups(cgroup_view(&record.cgroup));
        }
        let unified = record.cgroup.unified_directory()?;
        timing::done(Step::MakeCgroups);
        process::spawn(plan, CgroupPlacement::of_directory(unified.as_ref()))?
    };
    let init = forked.insert(init);
    runtime.debug(|| format!("init is process {}", init.pid));
    let entries = set_up_host_side(runtime, host_side, record, entries, init, &bundle.spec)
        .map_err(|error| init.last_words(plan).unwrap_or(error))?;
    if !init.is_intermediate() {
        // Once released, init executes the program of a `run`, which others must find then.
        record_init(container, init)?;
        timing::done(Step::Record);
    }
    release(init, entries).map_err(|error| init.last_words(plan).unwrap_or(error))?;
    serve_init(plan, container, init, &bundle.spec)?;
    runtime.debug(|| "init is ready".to_owned());
    forked.take().ok_or_else(|| Error::new("init is gone"))
}

/// Writes the link `init`, which tells other commands who init is.
fn record_init(container: &mut Container, init: &Child) -> Result<()> {
    container.init = match Identity::of(init.pid) {
        // Init has ended already, and its message on the channel tells why.
        Err(Errno::ESRCH) => Identity::default(),
        identity => identity.within("looking at init")?,
    };
    container.entry.write_init(container.init)
}

/// Limits the cgroups, and moves init to its group of resctrl and network devices to init, while
/// init makes the mounts that need none of that. Returns the files to enter the cgroups by.
fn set_up_host_side(
    runtime: &Runtime,
    host_side: &mut HostSide,
    record: &Record,
    entries: Option<Vec<OwnedFd>>,
    init: &Child,
    spec: &Spec,
) -> Result<Vec<OwnedFd>> {
    host_side.apply_limits(runtime, &record.cgroup, spec)?;
    timing::done(Step::Limit);
    if let Some(groups) = &record.rdt {
        groups.enter(init.pid)?;
    }
    network::move_to_container(&host_side.devices, init.pid)?;
    timing::done(Step::Move);
    entries.map_or_else(|| record.cgroup.entry_files(), Ok)
}

/// Lets init enter its cgroups, and go on.
fn release(init: &Child, entries: Vec<OwnedFd>) -> Result<()> {
    init.release(&entries.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    sys::fs::close_all(entries).within("closing cgroup files")?;
    timing::done(Step::Release);
    Ok(())
}

/// The event loop: does what init asks for, until it is ready.
fn serve_init(plan: &Plan, container: &mut Container, init: &mut Child, spec: &Spec) -> Result<()> {
    loop {
        let event = init.next(plan);
        timing::done(Step::AwaitInit);
        match event? {
            Event::Born => {
                timing::seen(Side::Container, Step::LastFork);
                record_init(container, init)?;
                timing::done(Step::Record);
            }
            Event::Ready => {
                timing::is_process(Side::Container, init.pid);
                if !plan.has_start_hooks() {
                    timing::seen(Side::Container, Step::Filter);
                }
                return Ok(());
            }
            Event::Closed => {
                return Err(init.explain_death("init", || oom_killed(&container.record.cgroup)));
            }
            Event::Hooks => {
                unlock_for_hooks(&container.entry)?;
                let ran = run_create_hooks(spec, &container.hook_state("created"), &init.pidfd);
                ran.map_err(|error| or_death_of_init(error, init, container))?;
                init.proceed()?;
            }
            Event::Listener(number) => {
                let state = container.hook_state("creating");
                listener::relay(init, number, plan.listener(), &state, state.pid)?;
                timing::done(Step::SendListener);
            }
        }
    }
}

/// The error of a hook; if init has ended, also the reason for that.
fn or_death_of_init(error: Error, init: &Child, container: &Container) -> Error {
    // What can't be looked at counts as running: waiting for its end might take for ever.
    if container.init.is_running().unwrap_or(true) {
        return error;
    }
    let death = init.explain_death("init", || oom_killed(&container.record.cgroup));
    error.because(death)
}

/// Gives up the lock while hooks run, so that `delete --force` needs not wait for them: it kills
/// init, which ends them. The file `new.fifo` tells other commands that the container is being
/// created.
pub(crate) fn unlock_for_hooks(entry: &Entry) -> Result<()> {
    if !entry.has(NEW_FIFO)? {
        entry.write_file(NEW_FIFO, b"")?;
    }
    entry.unlock()
}

/// Who sent SIGKILL to init, if it was the OOM killer: the cgroup is new, so init is the only
/// process that can have been OOM-killed in it.
fn oom_killed(cgroup: &Cgroup) -> Option<&'static str> {
    cgroup.oom_kills().filter(|&kills| kills > 0)?;
    Some("OOM-killed (memory limit too low?): see linux.resources.memory.limit")
}
