//! `exec`: another process in an existing container. It takes no lock, as it changes no file.

mod fifo;
mod process_source;

pub use self::process_source::{ProcessFlags, ProcessSource};

use self::fifo::Fifo;

use crate::container::Container;
use crate::container::annotations::Requests;
use crate::container::find::find;
use crate::container::status::Status;
use crate::foreground::supervise::Supervisor;
use crate::foreground::terminal;
use crate::host::listener;
use crate::host::pid_file::publish_pid;
use crate::{Error, Explain, Result, Runtime};
use oci_spec::runtime::{Linux, Process, Spec};
use process::{CgroupPlacement, Child, Event, Exec, ProcessOptions, ProcessPlan, Target};
use std::os::fd::AsFd;
use std::path::PathBuf;
use sys::Errno;
use sys::nix::unistd::geteuid;
use timing::{Side, Step};

/// The options of `exec`.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// The container's name.
    pub id: String,
    /// The process to execute.
    pub process: ProcessSource,
    /// Whether to return as soon as the program runs.
    pub detach: bool,
    /// A socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Where the process's pid is written.
    pub pid_file: Option<PathBuf>,
    /// A fifo to create, which the process waits at before it executes its program.
    pub exec_fifo: Option<PathBuf>,
    /// How many descriptors the program inherits, from 3 on.
    pub preserve_fds: u32,
    /// How many of these are sockets to listen on (`sd_listen_fds(3)`), the first ones.
    pub listen_fds: u32,
    /// Cgroups below the container's to put the process in, as `[CONTROLLER,...:]PATH`.
    pub cgroups: Vec<String>,
    /// Whether the container may be paused; then the process is frozen too.
    pub ignore_paused: bool,
}

/// `exec ID`: returns the exit status of the process (128 + N for signal N), or 0 if it is left
/// running.
pub fn exec(runtime: &Runtime, options: &ExecOptions) -> Result<i32> {
    exec_in(runtime, options).within("exec failed")
}

fn exec_in(runtime: &Runtime, options: &ExecOptions) -> Result<i32> {
    let container = find(runtime, &options.id)?;
    timing::done(Step::Find);
    let executed = exec_found(runtime, options, &container);
    executed.map_err(|error| {
        let missing = container.missing_cgroup();
        if !container.init.is_running().unwrap_or(true) {
            // If the container ended meanwhile, any step may be the first to fail.
            return Error::not_running();
        }
        // The same is true if others have removed its cgroup.
        missing.unwrap_or(error)
    })
}

fn exec_found(runtime: &Runtime, options: &ExecOptions, container: &Container) -> Result<i32> {
    check_status(&options.id, container.status()?, options.ignore_paused)?;
    let spec = container.spec()?;
    timing::done(Step::Config);
    let mut warnings = Vec::new();
    let process = options.process.resolve(&spec, &mut warnings)?;
    terminal::check(Some(&process), options.console_socket.as_deref(), options.detach)?;
    // Blocks signals before the fork, so that none for the process is lost.
    let mut supervisor = (!options.detach).then(|| Supervisor::new(false)).transpose()?;
    let (console, ours) = terminal::plan(Some(&process), options.console_socket.as_deref())?;
    let fifo = options.exec_fifo.as_deref().map(Fifo::make).transpose()?;
    let mut exec =
        plan_exec(container, options, &spec, &process, fifo.as_ref(), console, &mut warnings)?;
    runtime.warn_all(&warnings);
    timing::done(Step::PlanProcess);
    runtime.debug(|| {
        let args = process.args().as_deref().unwrap_or_default();
        format!(
            "executing {args:?} in {:?}, whose init is process {}",
            options.id, container.init.pid
        )
    });
    if let Some(affinity) = process.exec_cpu_affinity() {
        let list = |list: &Option<String>| list.clone().unwrap_or_else(|| "as it is".to_owned());
        let (initial, last) = (list(affinity.initial()), list(affinity.cpu_affinity_final()));
        runtime.debug(|| format!("initial CPU affinity: {initial}"));
        runtime.debug(|| format!("final CPU affinity: {last}"));
    }
    let mut child = fork_into_cgroup(container, options, &mut exec)?;
    let after_fork = supervisor.as_mut().map_or(Ok(()), Supervisor::after_fork);
    let executed = after_fork.and_then(|()| wait_for_exec(container, options, &exec, &mut child));
    let pidfd_socket = options.pidfd_socket.as_deref().map(|path| (path, "--pidfd-socket"));
    executed
        .and_then(|()| publish_pid(pidfd_socket, options.pid_file.as_deref(), &child))
        .inspect_err(|_| child.end())?;
    runtime.debug(|| format!("the process is {}", child.pid));
    if let Some(fifo) = fifo {
        fifo.keep();
    }
    timing::done(Step::Publish);
    timing::stop();
    let Some(supervisor) = supervisor else { return Ok(0) };
    let ended = supervisor.run((&child).into(), ours.as_ref()).inspect_err(|_| child.end())?;
    Ok(ended.code())
}

fn check_status(id: &str, status: Status, ignore_paused: bool) -> Result<()> {
    match status {
        Status::Created | Status::Running => Ok(()),
        Status::Paused if ignore_paused => Ok(()),
        Status::Paused => Err(Error::new("cannot exec in a paused container")
            .with_hint(Some("use --ignore-paused to override"))),
        Status::Stopped => {
            Err(status.refuse(id, "cannot exec in a stopped container: container not running"))
        }
        Status::Creating => {
            Err(status.refuse(id, "cannot exec in a container that is being created"))
        }
    }
}

/// Plans all that can be computed or opened before the fork.
fn plan_exec(
    container: &Container,
    options: &ExecOptions,
    spec: &Spec,
    process: &Process,
    fifo: Option<&Fifo>,
    console: Option<process::Console>,
    warnings: &mut Vec<String>,
) -> Result<Exec> {
    let none = Linux::default();
    let linux = spec.linux().as_ref().unwrap_or(&none);
    // `create` has given the warnings.
    let requests = Requests::read(&container.record.annotations, &mut vec![])?;
    let filter = requests.compile_filter(linux, &mut vec![])?;
    timing::done(Step::Compile);
    let process_options = ProcessOptions {
        by_root: geteuid().is_root(),
        filter,
        console,
        exec_fifo: fifo.map(|fifo| fifo.file.try_clone()).transpose().about("--exec-fifo")?,
        keyring: container.record.keyring(&options.id),
        preserve_fds: options.preserve_fds,
        listen_fds: options.listen_fds,
        keep_groups: requests.keep_groups,
    };
    let target = Target {
        pid: container.init.pid,
        pidfd: container.running_init()?,
        entries: container.record.cgroup.within(&options.cgroups)?.entry_files()?,
    };
    let exec = Exec::new(process, linux, target, process_options, warnings)?;
    // If init is still alive, all that was found by its pid belongs to init.
    container.running_init().map(|_| exec)
}

/// Forks the process into the container's cgroup, or into the cgroup below it that `--cgroup` names.
///
/// A cgroup that has child cgroups can't have processes (`EBUSY`), as where a systemd runs in the
/// container: the process is then forked into init's cgroup. A user may not fork into a cgroup from
/// one of another session (`EACCES`): systemd then moves an intermediate process there, which forks.
fn fork_into_cgroup(
    container: &Container,
    options: &ExecOptions,
    exec: &mut Exec,
) -> Result<Child> {
    let cgroup = container.record.cgroup.within(&options.cgroups)?;
    let unified = cgroup.unified_directory()?;
    let mut denied = match exec.spawn(CgroupPlacement::of_directory(unified.as_ref()))? {
        Ok(child) => return Ok(child),
        Err(errno) => errno,
    };
    let full = || Error::new("the container's cgroup has only other cgroups in it: see --cgroup");
    if denied == Errno::EBUSY {
        if !options.cgroups.is_empty() {
            return Err(full());
        }
        let of_init = cgroup.unified_directory_of(container.init.pid)?.ok_or_else(full)?;
        denied = match exec.spawn(CgroupPlacement::CloneInto(of_init.as_fd()))? {
            Ok(child) => return Ok(child),
            Err(Errno::EBUSY) => return Err(full()),
            Err(errno) => errno,
        };
    }
    let mut attach = |hop| {
        let attached = match cgroup.attach(hop) {
            // systemd does not tell EBUSY apart from other errors.
            Err(error) if options.cgroups.is_empty() => {
                match cgroup.attach_beside(hop, container.init.pid) {
                    Ok(true) => Ok(()),
                    _ => Err(error),
                }
            }
            attached => attached,
        };
        timing::done(Step::Attach);
        attached
    };
    exec.spawn(CgroupPlacement::Via(&mut attach))?
        .map_err(|_| Error::call("forking into the container's cgroup", denied))
}

/// Does what the process asks for until it has executed the program, or waits at the fifo.
fn wait_for_exec(
    container: &Container,
    options: &ExecOptions,
    exec: &Exec,
    child: &mut Child,
) -> Result<()> {
    let mut is_ready = false;
    loop {
        let event = child.next(exec);
        timing::done(if is_ready { Step::AwaitProgram } else { Step::AwaitProcess });
        match event? {
            Event::Born => timing::seen(Side::Container, Step::LastFork),
            Event::Ready => {
                timing::seen(Side::Container, Step::Filter);
                timing::is_process(Side::Container, child.pid);
                if options.exec_fifo.is_some() {
                    return Ok(());
                }
                is_ready = true;
            }
            Event::Closed if is_ready => {
                timing::seen(Side::Container, Step::Execute);
                return Ok(());
            }
            Event::Closed => {
                return Err(child.explain_death("the process", || killer(container)));
            }
            Event::Listener(number) => {
                let state = container.hook_state("running");
                listener::relay(child, number, exec.listener(), &state, child.pid)?;
                timing::done(Step::SendListener);
            }
            Event::Hooks => return Err(Error::new("talking to the process: it has no hooks")),
        }
    }
}

/// A guess at who sent SIGKILL to the process: the OOM killer, if it has killed in this container.
fn killer(container: &Container) -> Option<&'static str> {
    container.record.cgroup.oom_kills().filter(|&kills| kills > 0)?;
    Some("possibly OOM-killed, as others in the container were: see linux.resources.memory.limit")
}
