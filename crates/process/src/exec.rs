//! A process of `exec` in an existing container: its plan, the forks, and how it gets in.
//!
//! The first fork makes the intermediate process in the container's cgroup but outside its pid
//! namespace, so that no process of the container sees it. The intermediate process joins the other
//! namespaces, applies `process`, and only then forks the process itself ([`apply::fork_last`]).
//! Both are in the container's cgroup, so pids.max must have room for two. The process itself must
//! be born there: if it entered the cgroup later, a process of the container that may trace it
//! could keep it outside, and fork without limit.

use crate::Error;
use crate::apply::{self, ApplyContext, Reporter};
use crate::child::Child;
use crate::console;
use crate::fault::{During, Fault, Stage};
use crate::identity::become_root;
use crate::list::bits;
use crate::namespaces;
use crate::process_spec::{ProcessOptions, ProcessPlan, ProcessSpec};
use crate::spawn::{self, CgroupPlacement};
use oci_spec::runtime::{ExecCPUAffinity, Linux, Process};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::fs::{LeakyFd, open};
use sys::nix::fcntl::OFlag;
use sys::nix::libc::c_ulong;
use sys::nix::sched::{CloneFlags, setns};
use sys::nix::sys::stat::{Mode, stat, umask};
use sys::nix::unistd::{chroot, fchdir};
use sys::{Errno, process, schedule};
use timing::{Side, Step};

/// The container that the process enters.
#[derive(Debug)]
pub struct Target {
    /// The pid of its init.
    pub pid: i32,
    /// A pidfd of its init.
    pub pidfd: OwnedFd,
    /// The `tasks` files of its v1 cgroups, open for writing.
    pub entries: Vec<OwnedFd>,
}

/// The plan of a process of `exec`. The child carries it out; the parent describes the child's
/// faults by it.
#[derive(Debug)]
pub struct Exec {
    target: Target,
    spec: ProcessSpec,
    /// The namespaces to join.
    namespaces: CloneFlags,
    /// The container's root, if the container has no mount namespace of its own.
    root: Option<OwnedFd>,
    affinity: Option<Affinity>,
}

/// `process.execCPUAffinity` as bit masks; an empty mask changes nothing.
#[derive(Debug)]
struct Affinity {
    initial: Vec<c_ulong>,
    last: Vec<c_ulong>,
}

impl Exec {
    /// Makes the plan of a process in the container `target`, whose config has `linux`. Adds to
    /// `warnings` what the user should know.
    pub fn new(
        process: &Process,
        linux: &Linux,
        target: Target,
        options: ProcessOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let mut namespaces = namespaces::listed(linux);
        if namespaces.contains(CloneFlags::CLONE_NEWUSER) && shares_user_namespace(target.pid)? {
            namespaces.remove(CloneFlags::CLONE_NEWUSER);
        }
        let in_user_namespace = namespaces.contains(CloneFlags::CLONE_NEWUSER);
        let mut spec =
            ProcessSpec::new(Some(process), Some(linux), options, in_user_namespace, warnings)?;
        (spec.is_exec, spec.forks_last) = (true, true);
        let root = (!namespaces.contains(CloneFlags::CLONE_NEWNS)).then(|| root_of(target.pid));
        Ok(Self {
            root: root.transpose()?,
            affinity: process
                .exec_cpu_affinity()
                .as_ref()
                .map(Affinity::from_config)
                .transpose()?,
            namespaces,
            spec,
            target,
        })
    }

    /// Forks the intermediate process, in the v2 cgroup that `placement` says. It announces the
    /// process itself by [`Event::Born`](crate::Event::Born).
    ///
    /// The inner error is `EBUSY`, for a cgroup that may have only cgroups in it, or `EACCES`.
    /// Nothing has happened then, and the caller can try another placement.
    pub fn spawn(&mut self, placement: CgroupPlacement) -> Result<Result<Child, Errno>, Error> {
        if let Some(affinity) = self.affinity.as_ref().filter(|list| !list.initial.is_empty()) {
            schedule::set_affinity(&affinity.initial)
                .map_err(|errno| Error::call("setting process.execCPUAffinity.initial", errno))?;
        }
        spawn::prepare_parent(&self.spec)?;
        let chosen = matches!(placement, CgroupPlacement::CloneInto(_));
        let run = |exec: &mut Self, channel: &OwnedFd| apply::run_stages(exec, channel, stages);
        match spawn::fork_first(self, placement, run)? {
            Ok(child) => {
                // Only the child needs these files, and rind may run as long as the process does. A
                // failed close does no harm.
                let _ = sys::fs::close_all(std::mem::take(&mut self.target.entries));
                Ok(Ok(child))
            }
            Err(errno @ (Errno::EBUSY | Errno::EACCES)) if chosen => Ok(Err(errno)),
            Err(errno) => Err(spawn::cannot_fork(self, errno)),
        }
    }
}

impl ProcessPlan for Exec {
    fn spec(&self) -> &ProcessSpec {
        &self.spec
    }
}

fn stages(
    exec: &mut Exec,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    timing::enter(Side::Container);
    let umask = umask(Mode::empty());
    enter(exec)?;
    timing::clock_may_differ();
    timing::done(Step::Enter);
    apply_in_container(exec, umask)?;
    timing::done(Step::Identity);
    apply::fork_last(&mut exec.spec, channel)?;
    apply::find_last(&mut exec.spec)?;
    apply::exec_program(&exec.spec, None, channel, reporter)
}

/// Takes the intermediate process from the host into the container.
fn enter(exec: &mut Exec) -> Result<(), Fault> {
    apply::enter_cgroups(exec.target.entries.iter())?;
    match &exec.affinity {
        None => apply::reset_affinity()?,
        Some(affinity) if affinity.last.is_empty() => {}
        Some(affinity) => schedule::set_affinity(&affinity.last).during(Stage::Affinity)?,
    }
    apply::guard_stdio(&mut exec.spec)?;
    apply::adjust_oom_score(&mut exec.spec)?;
    if !exec.spec.options.by_root {
        // Not earlier: only root writes to the files in /proc of an undumpable process.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    join(exec)?;
    if let Some(root) = &exec.root {
        fchdir(root).and_then(|()| chroot(".")).during(Stage::EnterRoot)?;
    }
    if exec.namespaces.contains(CloneFlags::CLONE_NEWUSER) {
        become_root(exec.spec.options.keep_groups)?;
        process::set_dumpable(false).during(Stage::Session)?;
    }
    Ok(())
}

/// Joins the namespaces by setns(2) on init's pidfd; the pid namespace takes effect for children.
///
/// A caller with privileges on the host joins the user namespace last, as that namespace may not
/// own the others. A caller without them gets the privileges only by joining it first.
fn join(exec: &Exec) -> Result<(), Fault> {
    let (all, user) = (exec.namespaces, CloneFlags::CLONE_NEWUSER);
    let set = |kinds: CloneFlags| {
        if kinds.is_empty() { Ok(()) } else { setns(&exec.target.pidfd, kinds) }
    };
    match set(all - user) {
        Ok(()) => set(all & user),
        Err(Errno::EPERM) if all.contains(user) => set(all),
        failed => failed,
    }
    .during(Stage::EnterContainer)
}

/// In the container: applies `process`.
fn apply_in_container(exec: &mut Exec, umask: Mode) -> Result<(), Fault> {
    apply::join_keyring(&exec.spec)?;
    let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let root = root.map(LeakyFd::from).during(Stage::EnterRoot)?;
    if let Some(console) = &exec.spec.options.console {
        let slave = console::open_pty(console, root.as_fd(), &exec.spec.identity)?;
        console::make_stdio(&slave)?;
    }
    apply::apply_process(
        &mut exec.spec,
        &ApplyContext { root: root.as_fd(), makes_cwd: false, umask },
    )
}

impl Affinity {
    fn from_config(config: &ExecCPUAffinity) -> Result<Self, Error> {
        let read = |key: &str, list: &Option<String>| {
            let list = list.as_deref().unwrap_or_default();
            bits(list).map_err(|why| {
                Error::new(format!("process.execCPUAffinity.{key}: {list:?}: {why}"))
            })
        };
        Ok(Self {
            initial: read("initial", config.initial())?,
            last: read("final", config.cpu_affinity_final())?,
        })
    }
}

/// Whether `pid` is in rind's own user namespace, which setns(2) refuses to join.
fn shares_user_namespace(pid: i32) -> Result<bool, Error> {
    let path = format!("/proc/{pid}/ns/user");
    let failed = |path: &str, errno| Error::call(format!("looking at {path}"), errno);
    let found = stat(path.as_str()).map_err(|errno| failed(&path, errno))?;
    let own = namespaces::OWN_USER_NAMESPACE;
    namespaces::is_own_user_namespace(&found).map_err(|errno| failed(own, errno))
}

fn root_of(pid: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("opening {path}"), errno))
}
