//! The parent's side of a fork: the cgroup that the process is born in, its id mappings, and the
//! talk with it until its namespaces exist. [`child`](crate::child) has the talk from then on. A
//! failure must leave no process behind.
//!
//! The first fork makes the process itself, or the intermediate process. That joins namespaces and
//! forks the process as a child of rind: at once, or when only the execve is left.

use crate::child::Child;
use crate::fault::{Fault, Stage};
use crate::message::{self, Kind, Message, channel};
use crate::plan::Plan;
use crate::process_spec::{ProcessPlan, ProcessSpec};
use crate::{Error, init, intermediate, mappings, sources};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::nix::sched::CloneFlags;
use sys::process::Fork;
use sys::{Errno, process};
use timing::{Side, Step};

/// How a process gets into its v2 cgroup: it is born there, so that nothing has to move it.
pub enum CgroupPlacement<'a> {
    /// It inherits the cgroup of its parent.
    Inherit,
    /// rind forks it into this cgroup (clone(2), `CLONE_INTO_CGROUP`).
    CloneInto(BorrowedFd<'a>),
    /// It inherits the cgroup of the intermediate process, which this function moves, given the
    /// pid. For a cgroup that exists only with a process in it, or that rind may not fork into.
    Via(&'a mut dyn FnMut(i32) -> Result<(), Error>),
}

impl fmt::Debug for CgroupPlacement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inherit => "Inherit",
            Self::CloneInto(_) => "CloneInto",
            Self::Via(_) => "Via",
        })
    }
}

impl<'a> CgroupPlacement<'a> {
    /// The cgroup `directory`; without one, rind's own.
    #[must_use]
    pub fn of_directory(directory: Option<&'a OwnedFd>) -> Self {
        directory.map_or(Self::Inherit, |directory| Self::CloneInto(directory.as_fd()))
    }

    /// The cgroup to fork into.
    pub(crate) fn cgroup(&self) -> Option<BorrowedFd<'a>> {
        match self {
            Self::CloneInto(cgroup) => Some(*cgroup),
            _ => None,
        }
    }
}

/// Forks an init that carries `plan` out, in the v2 cgroup that `placement` says.
///
/// Init makes mounts at once, but waits for [`Child::release`] before it enters its v1 cgroups.
/// Where [`Child::is_intermediate`], the child is not init yet but the intermediate process, which
/// is in all of init's namespaces but the pid namespace.
pub fn spawn(plan: &mut Plan, placement: CgroupPlacement) -> Result<Child, Error> {
    prepare_parent(&plan.spec)?;
    let child = if plan.init.namespaces.needs_intermediate()
        || matches!(placement, CgroupPlacement::Via(_))
    {
        let parking = plan.spec.is_parked.then(channel).transpose()?;
        let (ours, theirs) = parking.unzip();
        plan.parking = theirs;
        let mut child = fork_first(plan, placement, intermediate::run)?
            .map_err(|errno| cannot_fork(plan, errno))?;
        plan.parking = None;
        child.parking = ours;
        await_namespaces(plan, child)?
    } else {
        let init = fork_init(plan, placement.cgroup())?;
        map_init(plan, init)?
    };
    sources::hand_over(plan, &child).inspect_err(|_| child.end())?;
    Ok(child)
}

/// Forks init itself, into its new namespaces.
fn fork_init(plan: &mut Plan, cgroup: Option<BorrowedFd>) -> Result<Child, Error> {
    let (ours, theirs) = channel()?;
    match process::fork(plan.init.namespaces.new, cgroup) {
        Ok(Fork::Parent { pid, pidfd }) => {
            timing::done(Step::Fork);
            Ok(Child::new(pid, pidfd, ours, false))
        }
        Ok(Fork::Child) => {
            drop(ours);
            init::run(plan, &theirs)
        }
        Err(errno) => Err(cannot_fork(plan, errno)),
    }
}

/// Writes the id mappings of an init that was born in a new user namespace.
fn map_init(plan: &Plan, init: Child) -> Result<Child, Error> {
    let namespaces = &plan.init.namespaces;
    let Some(mapped) = namespaces.mappings.as_ref().filter(|_| namespaces.new_user()) else {
        return Ok(init);
    };
    let map = || {
        if let (Some(score), Some(procfs)) = (&plan.spec.oom_score, &plan.spec.procfs) {
            // In its user namespace, init may not lower its score, whatever capabilities it has
            // there.
            let path = format!("{}/oom_score_adj", init.pid);
            let failed = |errno| plan.fault_error(&Fault::new(Stage::OomScore, errno));
            procfs.write(&path, score.as_bytes()).map_err(failed)?;
        }
        mappings::write(init.pid, mapped).and_then(|()| init.tell(Kind::Mapped, &[]))
    };
    map().inspect_err(|_| init.end())?;
    timing::done(Step::Map);
    Ok(init)
}

/// Serves the intermediate process until the namespaces exist. Returns the child to talk to from
/// then on: init, or the intermediate process itself if that forks last.
fn await_namespaces(plan: &mut Plan, mut child: Child) -> Result<Child, Error> {
    loop {
        let received = child.receive_while_alive();
        timing::done(Step::AwaitNamespaces);
        let served = match received {
            Err(error) => Err(error),
            Ok(None) => Err(Error::new("a child died joining namespaces")),
            Ok(Some(message)) => serve_intermediate(plan, &mut child, &message),
        };
        match served {
            Ok(false) => timing::done(Step::Map),
            Ok(true) if child.is_intermediate => return Ok(child),
            Ok(true) => return map_init(plan, child),
            Err(error) => {
                child.end();
                return Err(error);
            }
        }
    }
}

/// Does what a message of the intermediate process asks for; returns whether that was the last one.
fn serve_intermediate(
    plan: &mut Plan,
    child: &mut Child,
    message: &Message,
) -> Result<bool, Error> {
    match (message.kind, &message.fault) {
        (Kind::Map, _) => {
            let namespaces = &mut plan.init.namespaces;
            mappings::write(child.pid, &namespaces.mappings.clone().unwrap_or_default())?;
            // The intermediate process is in the new user namespace, so init must not make another.
            namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
            child.tell(Kind::Mapped, &[]).map(|()| false)
        }
        (Kind::Clocks, _) => {
            let offsets = plan.init.namespaces.new_time.as_deref().unwrap_or_default();
            let path = format!("{}/timens_offsets", child.pid);
            let procfs = plan.spec.procfs.as_ref().ok_or(Errno::ENOENT);
            procfs
                .and_then(|procfs| procfs.write(&path, offsets.as_bytes()))
                .map_err(|errno| plan.fault_error(&Fault::new(Stage::TimeNamespace, errno)))?;
            child.tell(Kind::Mapped, &[]).map(|()| false)
        }
        (Kind::Here, _) => Ok(true),
        (Kind::Born, _) => child.become_born(message.index.cast_signed(), plan).map(|()| true),
        (_, Some(fault)) => Err(plan.fault_error(fault)),
        _ => Err(Error::new("a child sent what makes no sense")),
    }
}

/// In the parent, before the fork: sets what the child inherits.
///
/// A process in a user namespace can't raise a hard limit any more, so the parent raises its own.
/// Where the parent may not either, the child fails and reports it.
///
/// Root makes itself, and so its children from birth, undumpable: whoever made a user namespace has
/// all rights in it, and only this keeps that user from tracing a child that still has the host's
/// privileges. The children of another user can't be undumpable until their ids are mapped.
pub(crate) fn prepare_parent(spec: &ProcessSpec) -> Result<(), Error> {
    for limit in spec.rlimits.iter().filter(|_| spec.user_namespace) {
        let _ = limit.raise_hard();
    }
    if !spec.options.by_root {
        return Ok(());
    }
    process::set_dumpable(false)
        .map_err(|errno| Error::call("closing our own memory to others", errno))
}

/// A process that does nothing, for a cgroup that exists only with a process in it. Dropping this
/// ends it.
#[derive(Debug)]
pub struct Keeper {
    pidfd: OwnedFd,
    /// Closes when rind is killed, and the process ends.
    _channel: OwnedFd,
}

impl Keeper {
    /// Forks the process; `move_it` gets its pid and moves it into the cgroup.
    pub fn fork(move_it: &mut dyn FnMut(i32) -> Result<(), Error>) -> Result<Self, Error> {
        let (ours, theirs) = channel()?;
        let failed = |errno| Error::call("forking", errno);
        match process::fork(CloneFlags::empty(), None).map_err(failed)? {
            Fork::Parent { pid, pidfd } => {
                let keeper = Self { pidfd, _channel: ours };
                move_it(pid).map(|()| keeper)
            }
            Fork::Child => {
                drop(ours);
                let _ = message::receive(theirs.as_fd());
                process::exit_now(0)
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It fails only if the process has ended already.
        let _ = process::end(&self.pidfd);
    }
}

/// The error of a failed first fork.
pub(crate) fn cannot_fork(plan: &impl ProcessPlan, errno: Errno) -> Error {
    plan.fault_error(&Fault::new(Stage::Fork, errno))
}

/// Forks the intermediate process, which runs `run`. The inner error is that of the fork.
pub(crate) fn fork_first<T: ProcessPlan>(
    plan: &mut T,
    placement: CgroupPlacement,
    run: fn(&mut T, &OwnedFd) -> Result<(), Fault>,
) -> Result<Result<Child, Errno>, Error> {
    let (ours, theirs) = channel()?;
    let waits = matches!(placement, CgroupPlacement::Via(_));
    let child = match process::fork(CloneFlags::empty(), placement.cgroup()) {
        Ok(Fork::Parent { pid, pidfd }) => {
            timing::done(Step::Fork);
            timing::is_process(Side::Intermediate, pid);
            Child::new(pid, pidfd, ours, true)
        }
        Ok(Fork::Child) => {
            // With this end open, the child could not notice the end of the parent.
            drop(ours);
            let go = || message::expect(theirs.as_fd(), Kind::Go).map(drop);
            let allowed = if waits { go() } else { Ok(()) };
            let fault = match allowed.and_then(|()| run(plan, &theirs)) {
                Ok(()) => process::exit_now(0),
                Err(fault) => fault,
            };
            let _ = message::report(theirs.as_fd(), &fault);
            process::exit_now(1)
        }
        Err(errno) => return Ok(Err(errno)),
    };
    drop(theirs);
    if let CgroupPlacement::Via(move_it) = placement {
        let moved = move_it(child.pid);
        moved.and_then(|()| child.tell(Kind::Go, &[])).inspect_err(|_| child.end())?;
    }
    Ok(Ok(child))
}
