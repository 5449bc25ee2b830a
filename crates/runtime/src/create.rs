//! Creating a container, for `create` and `run`: from a bundle to an init that only waits to
//! execute the program.
//!
//! rind refuses what it can before the fork (`prepare.rs`). If a later step fails, it undoes the
//! others.

pub(crate) mod cgroup;
pub(crate) mod host_side;
pub(crate) mod join;
pub(crate) mod leftovers;
pub(crate) mod options;
pub(crate) mod prepare;
pub(crate) mod start_init;
pub(crate) mod validate;

use self::join::join_namespaces;
use self::options::{CreateOptions, Purpose};
use self::prepare::Prepared;
use self::start_init::start_init;
use crate::container::Container;
use crate::container::annotations;
use crate::container::record::CONFIG;
use crate::container::remove::roll_back;
use crate::foreground::terminal;
use crate::host::{notify, pid_file};
use crate::{Result, Runtime};
use oci_spec::runtime::{Hook, Spec};
use process::{Child, Plan};
use spec::Bundle;
use state::{Entry, Identity, Store};
use std::os::fd::OwnedFd;
use timing::Step;

/// A container whose init only waits to execute the program.
#[derive(Debug)]
pub(crate) struct Created {
    pub container: Container,
    pub init: Child,
    pub plan: Plan,
    /// The end of the console socket that a foreground `run` reads the master from.
    pub console: Option<OwnedFd>,
    /// Where the container tells `run` that it is ready, if a service manager wants to know.
    pub listener: Option<notify::Listener>,
}

/// Creates a container up to the point where only the program's execve is left.
pub(crate) fn create_container(
    runtime: &Runtime,
    options: &CreateOptions,
    purpose: Purpose,
) -> Result<Created> {
    state::check_id(&options.id)?;
    let mut bundle = Bundle::open(&options.bundle, options.config.as_deref())?;
    name_for_timing(&bundle.spec);
    timing::done(Step::Config);
    let joined = join_namespaces(runtime, &options.join, &mut bundle)?;
    timing::done(Step::Join);
    let detached = purpose != Purpose::RunForeground;
    let console_socket = options.console_socket.as_deref();
    terminal::check(bundle.spec.process().as_ref(), console_socket, detached)?;
    runtime.warn_all(&bundle.warnings);
    let manager = notify::manager(runtime).filter(|_| bundle.spec.process().is_some());
    if manager.is_some() {
        notify::add_mount(runtime, &options.id, &mut bundle.spec)?;
    }
    let entry = Store::open(&runtime.root, true)?.create(&options.id, CONFIG)?;
    let listener = manager.map_or(Ok(None), |manager| open_notify_socket(&entry, manager, purpose));
    timing::done(Step::State);
    let prepared = listener.and_then(|listener| {
        let prepared = Prepared::new(runtime, options, purpose, &bundle, Some(&entry))?;
        joined.check().map(|()| (prepared, listener))
    });
    match prepared {
        Ok((prepared, listener)) => carry_out(runtime, prepared, listener, entry, &bundle),
        Err(error) => {
            // Nothing exists yet but the directory.
            let _ = entry.remove(&[]);
            Err(error)
        }
    }
}

/// Says what mounts and hooks are called in what `--timing` shows.
fn name_for_timing(spec: &Spec) {
    if !timing::is_on() {
        return;
    }
    let mounts = spec.mounts().iter().flatten();
    timing::name(Step::Mount, mounts.map(|mount| mount.destination().display().to_string()));
    let Some(hooks) = spec.hooks() else { return };
    for (step, list) in [
        (Step::Prestart, hooks.prestart()),
        (Step::CreateRuntime, hooks.create_runtime()),
        (Step::CreateContainer, hooks.create_container()),
        (Step::StartContainer, hooks.start_container()),
        (Step::Poststart, hooks.poststart()),
    ] {
        name_hooks(step, list.as_deref().unwrap_or_default());
    }
}

/// Says what the hooks of a list are called in what `--timing` shows.
pub(crate) fn name_hooks(step: Step, hooks: &[Hook]) {
    timing::name(step, hooks.iter().map(|hook| hook.path().display().to_string()));
}

/// Creates the directory of the socket over which the container can tell that it is ready. `run`
/// listens there from now on; after `create`, `start` will.
fn open_notify_socket(
    entry: &Entry,
    manager: notify::Manager,
    purpose: Purpose,
) -> Result<Option<notify::Listener>> {
    notify::make_directory(entry)?;
    match purpose {
        Purpose::Create | Purpose::Check => Ok(None),
        Purpose::RunDetached | Purpose::RunForeground => notify::Listener::open(entry, manager),
    }
}

/// Carries out the plan, and undoes it if that fails.
fn carry_out(
    runtime: &Runtime,
    prepared: Prepared,
    listener: Option<notify::Listener>,
    entry: Entry,
    bundle: &Bundle,
) -> Result<Created> {
    let Prepared { mut plan, record, console, mut host_side } = prepared;
    let mut container = Container { entry, record, init: Identity::default() };
    let mut forked = None;
    match start_init(runtime, &mut plan, &mut host_side, &mut container, &mut forked, bundle) {
        Ok(init) => Ok(Created { container, init, plan, console, listener }),
        Err(error) => {
            forked.as_ref().inspect(|init| init.end());
            roll_back(runtime, &container, forked.is_some());
            Err(error)
        }
    }
}

impl Created {
    /// Sends init's pidfd and writes its pid file, as far as the caller asks for them.
    pub fn publish_pid(&self, options: &CreateOptions) -> Result<()> {
        let socket = match &options.pidfd_socket {
            Some(path) => Some((path.as_path(), "--pidfd-socket")),
            None => annotations::pidfd_receiver(&self.container.record.annotations)?,
        };
        pid_file::publish_pid(socket, options.pid_file.as_deref(), &self.init)
    }

    /// Kills init, and removes everything that was created.
    pub fn roll_back(&self, runtime: &Runtime) {
        self.init.end();
        roll_back(runtime, &self.container, true);
    }
}
