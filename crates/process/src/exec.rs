//! Another process in a container that is there: what is known of it before the fork, the fork, and
//! the way in.
//!
//! The pid namespace is joined by the parent, which that concerns in its children only; so one
//! clone is enough, straight into the container's v2 cgroup. Where that is not permitted, to a user
//! who only has rights inside the container's user namespace, a hop joins everything and forks
//! again.

use crate::Error;
use crate::console;
use crate::fault::{During, Fault, Stage};
use crate::init::{become_root, expect};
use crate::list::bits;
use crate::message::Kind;
use crate::namespaces;
use crate::settle::{self, Place, Reporter};
use crate::spawn::{self, Child, Cradle, Describe, Hop};
use crate::task::{Given, Task};
use oci_spec::runtime::{ExecCPUAffinity, Linux, Process};
use seccomp::Filter;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::fs::Scratch;
use sys::nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag, open};
use sys::nix::libc::c_ulong;
use sys::nix::sched::{CloneFlags, setns};
use sys::nix::sys::stat::{Mode, stat, umask};
use sys::nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use sys::nix::unistd::{chroot, fchdir, geteuid};
use sys::process::Fork;
use sys::{Errno, process, schedule};

/// The container that a process is to come into.
#[derive(Debug)]
pub struct Target {
    /// Its init's pid.
    pub pid: i32,
    /// A descriptor for its init.
    pub pidfd: OwnedFd,
    /// The `tasks` files of its v1 cgroups.
    pub entries: Vec<OwnedFd>,
}

/// A process to be: read by the parent that renders its faults, carried out by the child.
#[derive(Debug)]
pub struct Exec {
    target: Target,
    task: Task,
    /// What is joined.
    namespaces: CloneFlags,
    /// The container's root, where that has no mount namespace.
    root: Option<OwnedFd>,
    /// The host's procfs, where something is to be written in it later.
    proc: Option<OwnedFd>,
    affinity: Affinity,
}

/// `process.execCPUAffinity`, as bits.
#[derive(Debug, Default)]
struct Affinity {
    is_given: bool,
    initial: Vec<c_ulong>,
    last: Vec<c_ulong>,
}

impl Exec {
    /// Makes the plan of a process in the container `target`, whose config has `linux`. Warnings are
    /// added to `warnings`.
    pub fn new(
        process: &Process,
        linux: &Linux,
        target: Target,
        given: Given,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let mut namespaces = namespaces::listed(linux);
        if namespaces.contains(CloneFlags::CLONE_NEWUSER) && shares_user_namespace(target.pid)? {
            namespaces.remove(CloneFlags::CLONE_NEWUSER);
        }
        let in_user_namespace = namespaces.contains(CloneFlags::CLONE_NEWUSER);
        let task = Task::plan(Some(process), Some(linux), given, in_user_namespace, warnings)?;
        let root = (!namespaces.contains(CloneFlags::CLONE_NEWNS)).then(|| root_of(target.pid));
        Ok(Self {
            proc: task.label.is_some().then(host_proc).transpose()?,
            root: root.transpose()?,
            affinity: Affinity::plan(process.exec_cpu_affinity().as_ref())?,
            namespaces,
            task,
            target,
        })
    }

    /// Forks the process, born in the v2 cgroup that `cradle` says.
    ///
    /// That this can't be is the inner error: `EBUSY`, of a cgroup that has only other cgroups in
    /// it, or `EACCES`; then nothing has been done, and another cradle may do.
    pub fn spawn(&mut self, cradle: Cradle) -> Result<Result<Child, Errno>, Error> {
        if !self.affinity.initial.is_empty() {
            schedule::set_affinity(&self.affinity.initial)
                .map_err(|errno| Error::call("setting process.execCPUAffinity.initial", errno))?;
        }
        spawn::raise_hard_limits(&self.task);
        let chosen = matches!(cradle, Cradle::Cgroup(_));
        let moved = matches!(cradle, Cradle::Hops(_));
        let child = if matches!(cradle, Cradle::Hops(_)) || !self.joins_pids()? {
            spawn::fork_through_hop(self, cradle, &HOP)?.map(|child| (child, true))
        } else {
            self.fork(&cradle)?.map(|child| (child, false))
        };
        match child {
            Ok((mut child, through_hop)) => {
                if moved {
                    // The hop may have told the number that it has in the container: a try before may
                    // have joined the pid namespace for children of ours, as this one is.
                    child.pid = host_pid(&child.pidfd)?;
                }
                if through_hop {
                    child.release(&[])?;
                }
                Ok(Ok(child))
            }
            Err(errno @ (Errno::EBUSY | Errno::EACCES)) if chosen => Ok(Err(errno)),
            Err(errno) => Err(spawn::cannot_fork(self, errno)),
        }
    }

    /// Forks the process itself.
    fn fork(&mut self, cradle: &Cradle) -> Result<Result<Child, Errno>, Error> {
        let (ours, theirs) = spawn::channel()?;
        match process::fork(CloneFlags::empty(), cradle.cgroup()) {
            Ok(Fork::Parent { pid, pidfd }) => {
                // They are the child's, and we may stay as long as that does. One that can't be
                // closed harms nobody.
                let _ = sys::fs::close_all(std::mem::take(&mut self.target.entries));
                Ok(Ok(Child { pid, pidfd, channel: ours }))
            }
            Ok(Fork::Child) => {
                drop(ours);
                settle::run(self, &theirs, direct, fifo)
            }
            Err(errno) => Ok(Err(errno)),
        }
    }

    /// Who is to get the listener of its seccomp filter.
    #[must_use]
    pub fn listener(&self) -> Option<&seccomp::Listener> {
        self.task.given.filter.as_ref().and_then(Filter::listener)
    }

    /// Joins the pid namespace for our children, if we may; `false` if not.
    ///
    /// From then on a child of ours is in the container's sight, so it must not be one that can be
    /// looked into.
    fn joins_pids(&self) -> Result<bool, Error> {
        let failed = |errno| Error(self.describe(&Fault::new(Stage::EnterContainer, errno)));
        if !geteuid().is_root() {
            return Ok(false);
        }
        process::set_dumpable(false).map_err(failed)?;
        if !self.namespaces.contains(CloneFlags::CLONE_NEWPID) {
            return Ok(true);
        }
        match setns(&self.target.pidfd, CloneFlags::CLONE_NEWPID) {
            Ok(()) => Ok(true),
            Err(Errno::EPERM) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// The number of a process in our own pid namespace, which `/proc` tells of its pidfd.
fn host_pid(pidfd: &OwnedFd) -> Result<i32, Error> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error(format!("reading {path}: {}", sys::answer(&error))))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.ok_or_else(|| Error(format!("{path} has no pid: {text:?}")))
}

impl Describe for Exec {
    fn describe(&self, fault: &Fault) -> String {
        match (fault.stage, fault.errno) {
            // The kernel's answers to whoever comes too late.
            (Stage::EnterContainer | Stage::EnterCgroup, Errno::ESRCH | Errno::ENODEV)
            | (Stage::Fork, Errno::ENODEV) => "container not running".to_owned(),
            // The kernel has one answer for a pid namespace that ends, and for the end of its memory.
            (Stage::Fork, Errno::ENOMEM) => {
                "container not running (or out of memory to fork in it)".to_owned()
            }
            (Stage::Fork, errno) => {
                let remedy = match errno {
                    Errno::EAGAIN => {
                        " (the container's pids limit, or process.rlimits, is reached)"
                    }
                    Errno::EOPNOTSUPP => " (its cgroup is threaded, or below such: see --cgroup)",
                    _ => "",
                };
                format!("forking in the container: {}{remedy}", errno.desc().to_lowercase())
            }
            _ => self.task.describe(fault),
        }
    }
}

const HOP: Hop<Exec> =
    Hop { run: hop, map: |_, _| Err(Error("no mappings are to be written".into())) };

fn fifo(exec: &Exec) -> Option<&OwnedFd> {
    exec.task.given.exec_fifo.as_ref()
}

/// The process, forked by the parent itself.
fn direct(
    exec: &mut Exec,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    let umask = umask(Mode::empty());
    enter(exec, exec.namespaces - CloneFlags::CLONE_NEWPID)?;
    stay(exec, umask, channel, reporter)
}

/// In the hop: joins everything, and forks the process.
fn hop(exec: &mut Exec, channel: &OwnedFd) -> Result<(), Fault> {
    enter(exec, exec.namespaces)?;
    match spawn::fork_from_hop(CloneFlags::empty(), channel)? {
        Some(_) => Ok(()),
        None => settle::run(
            exec,
            channel,
            |exec, channel, reporter| {
                // The hop has to tell of us before we say anything ourselves.
                expect(channel, Kind::Go)?;
                let umask = umask(Mode::empty());
                stay(exec, umask, channel, reporter)
            },
            fifo,
        ),
    }
}

/// From the host into the container, by one setns(2) on its init.
fn enter(exec: &mut Exec, namespaces: CloneFlags) -> Result<(), Fault> {
    settle::enter_cgroups(exec.target.entries.iter())?;
    if !exec.affinity.is_given {
        settle::reset_affinity()?;
    } else if !exec.affinity.last.is_empty() {
        schedule::set_affinity(&exec.affinity.last).during(Stage::Affinity)?;
    }
    settle::begin(&mut exec.task)?;
    process::set_dumpable(false).during(Stage::Session)?;
    if !namespaces.is_empty() {
        setns(&exec.target.pidfd, namespaces).during(Stage::EnterContainer)?;
    }
    if let Some(root) = &exec.root {
        fchdir(root).and_then(|()| chroot(".")).during(Stage::EnterRoot)?;
    }
    if namespaces.contains(CloneFlags::CLONE_NEWUSER) {
        become_root(exec.task.given.keep_groups)?;
    }
    Ok(())
}

/// In the container: takes on what `process` asks for, and becomes the program.
fn stay(
    exec: &mut Exec,
    umask: Mode,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    settle::start_session(&exec.task)?;
    let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let root = root.map(Scratch::from).during(Stage::EnterRoot)?;
    if let Some(console) = &exec.task.given.console {
        let slave = console::make(console, root.as_fd(), &exec.task.identity)?;
        console::take(&slave)?;
    }
    let proc = exec.proc.as_ref();
    let open_own_proc = |file: &str| {
        let proc = proc.ok_or(Errno::ENOENT)?;
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let path = format!("self/{file}");
        sys::fs::openat2(proc, path.as_str(), OFlag::O_WRONLY, Mode::empty(), resolve)
            .map(Scratch::from)
    };
    let place =
        Place { root: root.as_fd(), makes_cwd: false, open_own_proc: &open_own_proc, umask };
    settle::settle(&mut exec.task, &place)?;
    drop(root);
    settle::launch(&exec.task, None, channel, reporter)
}

impl Affinity {
    fn plan(config: Option<&ExecCPUAffinity>) -> Result<Self, Error> {
        let Some(config) = config else { return Ok(Self::default()) };
        let read = |key: &str, list: &Option<String>| {
            let list = list.as_deref().unwrap_or_default();
            bits(list)
                .map_err(|why| Error(format!("process.execCPUAffinity.{key}: {list:?}: {why}")))
        };
        Ok(Self {
            is_given: true,
            initial: read("initial", config.initial())?,
            last: read("final", config.cpu_affinity_final())?,
        })
    }
}

/// Whether the process is in the user namespace that we are in, which setns refuses to join.
fn shares_user_namespace(pid: i32) -> Result<bool, Error> {
    let look = |path: &str| {
        let found = stat(path).map_err(|errno| Error::call(format!("looking at {path}"), errno))?;
        Ok::<_, Error>((found.st_dev, found.st_ino))
    };
    Ok(look(&format!("/proc/{pid}/ns/user"))? == look("/proc/self/ns/user")?)
}

fn root_of(pid: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("opening {path}"), errno))
}

/// The host's procfs, seen to be one.
fn host_proc() -> Result<OwnedFd, Error> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = sys::nix::fcntl::openat(AT_FDCWD, "/proc", flags, Mode::empty());
    let checked = opened.and_then(|proc| match fstatfs(&proc)?.filesystem_type() {
        PROC_SUPER_MAGIC => Ok(proc),
        _ => Err(Errno::ENODEV),
    });
    checked.map_err(|errno| Error::call("opening the host's /proc", errno))
}
