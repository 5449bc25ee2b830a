//! A process of `exec`, in a container that is there: what is known of it before the fork, the forks,
//! and the way in.
//!
//! The first fork, the intermediate process, is born in the container's cgroup and stays out of its pid
//! namespace, where nobody of the container sees it. It joins everything, applies all that `process`
//! says, and only then forks the process itself ([`apply::fork_last`]). Both are in the container's
//! cgroup, so a limit on processes must have room for two: if the last one entered the cgroup by
//! itself, whoever may trace it could keep it outside, and fork without limit.

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
use sys::fs::LeakyFd;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::libc::c_ulong;
use sys::nix::sched::{CloneFlags, setns};
use sys::nix::sys::stat::{Mode, stat, umask};
use sys::nix::unistd::{chroot, fchdir};
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
    spec: ProcessSpec,
    /// What is joined.
    namespaces: CloneFlags,
    /// The container's root, where that has no mount namespace.
    root: Option<OwnedFd>,
    affinity: Option<Affinity>,
}

/// `process.execCPUAffinity`, as bits.
#[derive(Debug)]
struct Affinity {
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

    /// Forks it, born in the v2 cgroup that `placement` says: at first what goes before the process, which
    /// tells of it ([`Event::Born`](crate::Event::Born)).
    ///
    /// That this can't be is the inner error: `EBUSY`, of a cgroup that has only other cgroups in
    /// it, or `EACCES`; then nothing has been done, and another placement may do.
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
                // They are the child's, and we may stay as long as that does. One that can't be
                // closed harms nobody.
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
    let umask = umask(Mode::empty());
    enter(exec)?;
    apply_in_container(exec, umask)?;
    apply::fork_last(&mut exec.spec, channel)?;
    apply::find_last(&mut exec.spec)?;
    apply::exec_program(&exec.spec, None, channel, reporter)
}

/// From the host into the container.
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
        // Not before: then only root could write to its files in /proc.
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

/// Joins the namespaces, by setns(2) on init; the pid namespace is for our children.
///
/// Who may do so on the host joins the user namespace last, as the others may not be its own. Others
/// have the right only in it.
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

/// In the container: takes on what `process` asks for.
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

/// Whether the process is in the user namespace that we are in, which setns refuses to join.
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
