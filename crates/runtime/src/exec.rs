//! `exec`: another process in a container that is there.

use crate::annotations::Requests;
use crate::container::{Container, Status, find};
use crate::create::filter;
use crate::record::CONFIG;
use crate::supervise::Supervisor;
use crate::terminal::{self, User};
use crate::{Error, Result, Runtime, listener, pidfile};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process, Spec};
use process::{Child, Cradle, Event, Exec, Given, Target};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::credentials::Id;
use sys::nix::fcntl::{OFlag, open, openat};
use sys::nix::sys::stat::{Mode, SFlag, fstat};
use sys::nix::unistd::{UnlinkatFlags, geteuid, mkfifoat, unlinkat};

/// What `exec` is asked for.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// The container's name.
    pub id: String,
    /// The process.
    pub process: ProcessSource,
    /// Not to wait for the process's end.
    pub detach: bool,
    /// A socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A socket that gets a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// Where the process's pid is written.
    pub pid_file: Option<PathBuf>,
    /// A fifo to make, which the process waits at before it becomes its program.
    pub exec_fifo: Option<PathBuf>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// How many of them, the first ones, are sockets to listen on (`sd_listen_fds(3)`).
    pub listen_fds: u32,
    /// Cgroups below the container's, as `[CONTROLLER,...:]PATH`.
    pub cgroups: Vec<String>,
    /// Whether a paused container is none to refuse.
    pub ignore_paused: bool,
}

/// Where a process's description comes from.
#[derive(Clone, Debug)]
pub enum ProcessSource {
    /// A `process` section by itself, with the name of the file it came from.
    Text(Vec<u8>, PathBuf),
    /// The container's own `process`, but for this.
    Flags(Box<ProcessFlags>),
}

impl Default for ProcessSource {
    fn default() -> Self {
        Self::Flags(Box::default())
    }
}

/// What a process has that differs from the container's own.
#[derive(Clone, Debug, Default)]
pub struct ProcessFlags {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// More environment.
    pub env: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Its user, and group.
    pub user: Option<(Id, Option<Id>)>,
    /// More groups.
    pub additional_gids: Vec<Id>,
    /// More capabilities, by name.
    pub capabilities: Vec<String>,
    /// Its `AppArmor` profile.
    pub apparmor: Option<String>,
    /// Its `SELinux` label.
    pub label: Option<String>,
    /// Whether it gains no privileges by an execve.
    pub no_new_privileges: Option<bool>,
}

/// `exec ID`: gives the exit status of the process, or 0 for one that is left running.
pub fn exec(runtime: &Runtime, options: &ExecOptions) -> Result<i32> {
    exec_in(runtime, options).map_err(|error| error.within("exec failed"))
}

fn exec_in(runtime: &Runtime, options: &ExecOptions) -> Result<i32> {
    let container = find(runtime, &options.id)?;
    let executed = exec_found(runtime, options, &container);
    executed.map_err(|error| {
        if !container.init.is_running() {
            // Of a container that has ended meanwhile, what failed first is chance.
            return not_running();
        }
        match container.record.cgroup.missing() {
            // Others have removed it, and what of that failed first is chance too.
            Some(cgroup) => Error::new(format!("the container's cgroup {cgroup} is gone")),
            None => error,
        }
    })
}

fn exec_found(runtime: &Runtime, options: &ExecOptions, container: &Container) -> Result<i32> {
    check_status(container.status(), options.ignore_paused)?;
    let spec =
        spec::parse(&container.entry.read_file(CONFIG)?, Path::new("config.json"), &mut vec![])?;
    let mut warnings = Vec::new();
    let process = process_of(&options.process, &spec, &mut warnings)?;
    let user = if options.detach { User::Caller } else { User::Us };
    terminal::check(Some(&process), options.console_socket.as_deref(), user)?;
    // Before the fork, as signals must not get lost.
    let mut supervisor = (!options.detach).then(|| Supervisor::new(false)).transpose()?;
    let (console, ours) = terminal::plan(Some(&process), options.console_socket.as_deref())?;
    let fifo = options.exec_fifo.as_deref().map(Fifo::make).transpose()?;
    let mut exec =
        plan(container, options, &spec, &process, fifo.as_ref(), console, &mut warnings)?;
    runtime.warn_all(&warnings);
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
    let mut child = spawn(container, options, &mut exec)?;
    let is_back = supervisor.as_mut().map_or(Ok(()), Supervisor::forked);
    let begun = is_back.and_then(|()| begin(container, options, &exec, &mut child));
    begun.and_then(|()| hand_out(options, &child)).inspect_err(|_| child.end())?;
    runtime.debug(|| format!("the process is {}", child.pid));
    if let Some(fifo) = fifo {
        fifo.keep();
    }
    let Some(supervisor) = supervisor else { return Ok(0) };
    let ended = supervisor.attend((&child).into(), ours.as_ref()).inspect_err(|_| child.end())?;
    Ok(ended.code())
}

fn not_running() -> Error {
    Error::new("container not running")
}

fn check_status(status: Status, ignore_paused: bool) -> Result<()> {
    match status {
        Status::Created | Status::Running => Ok(()),
        Status::Paused if ignore_paused => Ok(()),
        Status::Paused => {
            Err(Error::new("cannot exec in a paused container (use --ignore-paused to override)"))
        }
        Status::Stopped => {
            Err(Error::new("cannot exec in a stopped container: container not running"))
        }
        Status::Creating => Err(Error::new("cannot exec in a container that is being created")),
    }
}

/// The process, with what it does not say itself taken from the container's own.
fn process_of(source: &ProcessSource, spec: &Spec, warnings: &mut Vec<String>) -> Result<Process> {
    match source {
        ProcessSource::Text(text, name) => {
            let mut process = spec::parse_process(text, name, warnings)?;
            if let Some(own) = spec.process() {
                inherit(&mut process, own);
            }
            Ok(process)
        }
        ProcessSource::Flags(flags) => changed(spec, flags, warnings),
    }
}

/// Takes from the container's own process what another one does not say.
fn inherit(process: &mut Process, own: &Process) {
    macro_rules! inherit {
        ($($is_unset:ident: $get:ident, $set:ident;)*) => {
            $(if process.$get().$is_unset() {
                process.$set(own.$get().clone());
            })*
        };
    }
    inherit! {
        is_none: capabilities, set_capabilities;
        is_none: no_new_privileges, set_no_new_privileges;
        is_none: rlimits, set_rlimits;
        is_none: oom_score_adj, set_oom_score_adj;
        is_none: scheduler, set_scheduler;
        is_none: io_priority, set_io_priority;
        is_none: exec_cpu_affinity, set_exec_cpu_affinity;
        is_none: apparmor_profile, set_apparmor_profile;
        is_none: selinux_label, set_selinux_label;
    }
    if process.user().umask().is_none() {
        let umask = own.user().umask();
        process.user_mut().set_umask(umask);
    }
}

/// The container's own process, but for what the flags say.
fn changed(spec: &Spec, flags: &ProcessFlags, warnings: &mut Vec<String>) -> Result<Process> {
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(flags.args.clone())).set_terminal(Some(flags.terminal));
    if let Some(cwd) = &flags.cwd {
        if !cwd.is_absolute() {
            return Err(Error::new(format!("--cwd: {} is not an absolute path", cwd.display())));
        }
        process.set_cwd(cwd.clone());
    }
    let env = process.env().iter().flatten().chain(&flags.env).cloned().collect();
    process.set_env(Some(env));
    let user = process.user_mut();
    if let Some((uid, gid)) = flags.user {
        user.set_uid(uid.number());
        user.set_gid(gid.map_or(user.gid(), Id::number));
    }
    let more = flags.additional_gids.iter().map(|gid| gid.number());
    let groups = user.additional_gids().iter().flatten().copied().chain(more).collect();
    user.set_additional_gids(Some(groups));
    if !flags.capabilities.is_empty() {
        let sets = process.capabilities().clone().unwrap_or_default();
        process.set_capabilities(Some(with_capabilities(sets, &flags.capabilities, warnings)));
    }
    if flags.apparmor.is_some() {
        process.set_apparmor_profile(flags.apparmor.clone());
    }
    if flags.label.is_some() {
        process.set_selinux_label(flags.label.clone());
    }
    if flags.no_new_privileges.is_some() {
        process.set_no_new_privileges(flags.no_new_privileges);
    }
    Ok(process)
}

/// Sets with more capabilities: not the inheritable one, which would reach what the program
/// executes. What is in that by the config becomes ambient, so that users other than root have it. One
/// that is unknown is left out, as of a config.
fn with_capabilities(
    mut sets: LinuxCapabilities,
    names: &[String],
    warnings: &mut Vec<String>,
) -> LinuxCapabilities {
    let mut more = Capabilities::new();
    let mut unknown = Vec::new();
    for name in names {
        match Capability::deserialize(name.as_str().into_deserializer()) {
            Ok(known) => {
                more.insert(known);
            }
            Err::<_, ValueError>(_) => unknown.push(name.as_str()),
        }
    }
    if !unknown.is_empty() {
        let names = unknown.join(" ");
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{names}]"));
    }
    let joined =
        |set: &Option<Capabilities>| Some(set.iter().flatten().chain(&more).copied().collect());
    let (bounding, effective, permitted) =
        (joined(sets.bounding()), joined(sets.effective()), joined(sets.permitted()));
    more.retain(|one| sets.inheritable().iter().flatten().any(|inheritable| inheritable == one));
    let ambient = Some(sets.ambient().iter().flatten().chain(&more).copied().collect());
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    sets.set_ambient(ambient);
    sets
}

/// Everything that can be known of the process before it is there.
fn plan(
    container: &Container,
    options: &ExecOptions,
    spec: &Spec,
    process: &Process,
    fifo: Option<&Fifo>,
    console: Option<process::Console>,
    warnings: &mut Vec<String>,
) -> Result<Exec> {
    let none = oci_spec::runtime::Linux::default();
    let linux = spec.linux().as_ref().unwrap_or(&none);
    // What is left out has been told at create.
    let requests = Requests::read(&container.record.annotations, &mut vec![])?;
    let given = Given {
        by_root: geteuid().is_root(),
        filter: filter(linux, &requests, &mut vec![])?,
        console,
        exec_fifo: fifo
            .map(|fifo| fifo.file.try_clone())
            .transpose()
            .map_err(|error| Error::new(format!("--exec-fifo: {}", sys::answer(&error))))?,
        keyring: container.record.keyring(&options.id),
        preserve_fds: options.preserve_fds,
        listen_fds: options.listen_fds,
        keep_groups: requests.keep_groups,
    };
    let place = container.record.cgroup.within(&options.cgroups)?;
    let target = Target {
        pid: container.init.pid,
        pidfd: container.init_process().map_err(|_| not_running())?,
        entries: place.entry_files()?,
    };
    let exec = Exec::new(process, linux, target, given, warnings)?;
    // What was looked at by the pid was init's, if it still is.
    if container.init.is_alive() { Ok(exec) } else { Err(not_running()) }
}

/// Forks the process into the container's cgroup, or one below it that is asked for. Where that has
/// only other cgroups in it, as a container with an own cgroup manager leaves it, into init's. A user
/// who may not fork into it, as from another session's cgroup, has systemd move a hop there.
fn spawn(container: &Container, options: &ExecOptions, exec: &mut Exec) -> Result<Child> {
    let place = container.record.cgroup.within(&options.cgroups)?;
    let unified = place.unified_directory()?;
    let mut denied = match exec.spawn(Cradle::of(unified.as_ref()))? {
        Ok(child) => return Ok(child),
        Err(errno) => errno,
    };
    let full = || Error::new("the container's cgroup has only other cgroups in it: see --cgroup");
    if denied == Errno::EBUSY {
        if !options.cgroups.is_empty() {
            return Err(full());
        }
        let inits = place.unified_directory_of(container.init.pid)?.ok_or_else(full)?;
        denied = match exec.spawn(Cradle::Cgroup(inits.as_fd()))? {
            Ok(child) => return Ok(child),
            Err(Errno::EBUSY) => return Err(full()),
            Err(errno) => errno,
        };
    }
    let mut attach = |hop| {
        let attached = match place.attach(hop) {
            // That there are only cgroups in it is told by systemd as that it couldn't.
            Err(error) if options.cgroups.is_empty() => {
                match place.attach_beside(hop, container.init.pid) {
                    Ok(true) => Ok(()),
                    _ => Err(error),
                }
            }
            attached => attached,
        };
        attached.map_err(|error| error.to_string())
    };
    exec.spawn(Cradle::Hops(&mut attach))?
        .map_err(|_| Error::call("forking into the container's cgroup", denied))
}

/// Answers what the process asks until its program runs, or it waits for the fifo.
fn begin(
    container: &Container,
    options: &ExecOptions,
    exec: &Exec,
    child: &mut Child,
) -> Result<()> {
    let mut is_ready = false;
    loop {
        match child.next(exec)? {
            Event::Born => {}
            Event::Ready if options.exec_fifo.is_some() => return Ok(()),
            Event::Ready => is_ready = true,
            Event::Closed if is_ready => return Ok(()),
            Event::Closed => {
                return Err(child.explain_death("the process", || killer(container)).into());
            }
            Event::Listener(number) => {
                let descriptor = child.descriptor(number)?;
                if let Some(to) = exec.listener() {
                    let state = container.hook_state("running");
                    listener::send_listener(to, &descriptor, &state, child.pid)?;
                }
                child.proceed()?;
            }
            Event::Hooks => return Err(Error::new("talking to the process: it has no hooks")),
        }
    }
}

/// What may have killed it: the kernel, if the container has come to the end of its memory before.
fn killer(container: &Container) -> Option<&'static str> {
    let kills = container.record.cgroup.oom_kills().filter(|&kills| kills > 0);
    kills.map(|_| {
        "possibly OOM-killed, as others in the container were: see linux.resources.memory.limit"
    })
}

/// Gives out what the caller asked for of the new process.
fn hand_out(options: &ExecOptions, child: &Child) -> Result<()> {
    if let Some(path) = &options.pidfd_socket {
        listener::send(path, b"pidfd", &child.pidfd, "--pidfd-socket")?;
    }
    options.pid_file.as_ref().map_or(Ok(()), |path| pidfile::write(path, child.pid))
}

/// Opens a fifo that has just been made. Whoever else may write to its directory may have put
/// something else there since, which is not to be written to.
fn open_fifo(directory: &OwnedFd, name: &OsStr) -> sys::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    let file = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let is_ours = kind == SFlag::S_IFIFO && stat.st_uid == geteuid().as_raw();
    if is_ours { Ok(file) } else { Err(Errno::EEXIST) }
}

/// The fifo of a process that waits, which goes again if it comes to nothing.
struct Fifo<'a> {
    directory: OwnedFd,
    name: &'a OsStr,
    file: OwnedFd,
    is_kept: bool,
}

impl<'a> Fifo<'a> {
    fn make(path: &'a Path) -> Result<Self> {
        let failed =
            |errno: Errno| Error::call(format!("--exec-fifo: making {}", path.display()), errno);
        let name = path.file_name().ok_or(Errno::EINVAL).map_err(failed)?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(above.unwrap_or(Path::new(".")), flags, Mode::empty());
        let directory = directory.map_err(failed)?;
        mkfifoat(&directory, name, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed)?;
        let file = open_fifo(&directory, name).inspect_err(|_| {
            let _ = unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir);
        });
        Ok(Self { name, file: file.map_err(failed)?, directory, is_kept: false })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Fifo<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = unlinkat(&self.directory, self.name, UnlinkatFlags::NoRemoveDir);
        }
    }
}
