//! The host's side of a new process: the fork(s), the id mappings, and the talk until it runs.

use crate::fault::{During, Fault, Stage};
use crate::init;
use crate::mappings;
use crate::message::{self, Kind};
use crate::namespaces::{Joined, Namespaces};
use crate::task::Task;
use crate::{Error, Plan};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sched::{CloneFlags, setns, unshare};
use sys::nix::sys::resource::{getrlimit, setrlimit};
use sys::process::{Ended, Fork};
use sys::{Errno, process, socket};

/// A new process of a container, its init or another, as its parent has it.
#[derive(Debug)]
pub struct Child {
    /// Its pid in the parent's pid namespace.
    pub pid: i32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    pub(crate) channel: OwnedFd,
}

/// What has words for what goes wrong in the child.
pub trait Describe {
    /// What went wrong, in words: the step, the object, the kernel's answer.
    fn describe(&self, fault: &Fault) -> String;
}

/// What a new process tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The environment is made; it waits for [`Child::proceed`] while the host's hooks run.
    Hooks,
    /// Its filter has a listener, this descriptor of its; it waits for [`Child::proceed`].
    Listener(i32),
    /// Only the wait for `start` is left, or nothing.
    Ready,
    /// The channel is closed, as a successful execve does.
    Closed,
}

/// The v2 cgroup that a process is born in, so that nobody has to move it there.
pub enum Cradle<'a> {
    /// Its parent's.
    Ours,
    /// This one (`CLONE_INTO_CGROUP`).
    Cgroup(BorrowedFd<'a>),
    /// Whichever the process is moved into that forks it, a hop: this does so, given its pid. It's
    /// for a cgroup that exists only with a process in it, or that we may not fork into.
    Hops(&'a mut dyn FnMut(i32) -> Result<(), String>),
}

impl fmt::Debug for Cradle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "Ours",
            Self::Cgroup(_) => "Cgroup",
            Self::Hops(_) => "Hops",
        })
    }
}

impl<'a> Cradle<'a> {
    /// The cgroup `directory`, or our own without one.
    #[must_use]
    pub fn of(directory: Option<&'a OwnedFd>) -> Self {
        directory.map_or(Self::Ours, |directory| Self::Cgroup(directory.as_fd()))
    }

    /// The cgroup to clone into.
    pub(crate) fn cgroup(&self) -> Option<BorrowedFd<'a>> {
        match self {
            Self::Cgroup(cgroup) => Some(*cgroup),
            _ => None,
        }
    }
}

/// Forks an init that carries `plan` out, born in the v2 cgroup that `cradle` says.
///
/// It makes mounts at once, but waits with entering cgroups for [`Child::release`].
pub fn spawn(plan: &mut Plan, cradle: Cradle) -> Result<Child, Error> {
    raise_hard_limits(&plan.task);
    let init = if plan.inputs.namespaces.needs_hop() || matches!(cradle, Cradle::Hops(_)) {
        fork_through_hop(plan, cradle, &HOP)?
    } else {
        let (ours, theirs) = channel()?;
        match process::fork(plan.inputs.namespaces.new, cradle.cgroup()) {
            Ok(Fork::Parent { pid, pidfd }) => Ok(Child { pid, pidfd, channel: ours }),
            Ok(Fork::Child) => {
                drop(ours);
                init::run(plan, &theirs)
            }
            Err(errno) => Err(errno),
        }
    };
    let init = init.map_err(|errno| cannot_fork(plan, errno))?;
    let maps_itself = plan.inputs.namespaces.new.contains(CloneFlags::CLONE_NEWUSER);
    if let Some(mapped) = plan.inputs.namespaces.mappings.as_ref().filter(|_| maps_itself) {
        let mapped = mappings::write(init.pid, mapped).and_then(|()| init.tell(Kind::Mapped, &[]));
        mapped.inspect_err(|_| {
            init.abandon();
            let _ = process::wait(&init.pidfd);
        })?;
    }
    Ok(init)
}

impl Child {
    /// Lets an init enter its cgroups by these files, and go on; or a process that a hop has forked.
    pub fn release(&self, entry_files: &[BorrowedFd]) -> Result<(), Error> {
        self.tell(Kind::Go, entry_files)
    }

    /// A copy of its descriptor `number` (`pidfd_getfd(2)`).
    pub fn descriptor(&self, number: i32) -> Result<OwnedFd, Error> {
        process::pidfd_getfd(&self.pidfd, number)
            .map_err(|errno| Error::call("fetching the seccomp listener from init", errno))
    }

    /// Lets it go on after the host's hooks, or with its listener fetched.
    pub fn proceed(&self) -> Result<(), Error> {
        self.tell(Kind::Continue, &[])
    }

    /// Waits for the next thing that it tells. That it failed is an error, in words.
    pub fn next(&self, plan: &impl Describe) -> Result<Event, Error> {
        let received = message::receive(self.channel.as_fd());
        match received.map_err(|errno| Error::call("talking to init", errno))? {
            None => Ok(Event::Closed),
            Some(message) => match (message.kind, message.fault) {
                (Kind::Hooks, _) => Ok(Event::Hooks),
                (Kind::Listener, _) => Ok(Event::Listener(message.index.cast_signed())),
                (Kind::Ready, _) => Ok(Event::Ready),
                (Kind::Failed, Some(fault)) => Err(Error(start_failed(plan, &fault))),
                _ => Err(Error("talking to init: it sent what makes no sense here".into())),
            },
        }
    }

    /// What it told before it ended, if it did: that something was not to be done for it then is no
    /// wonder, as systemd removes the cgroup with it.
    pub fn last_words(&self, plan: &impl Describe) -> Option<Error> {
        let mut polled = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::ZERO) {
            Ok(1..) => self.next(plan).err(),
            _ => None,
        }
    }

    /// Why it, which is to be called `name`, is gone though it has told nothing. Reaps it. Should it
    /// have been killed by SIGKILL, `killer` may say by whom.
    #[must_use]
    pub fn explain_death(
        &self,
        name: &str,
        killer: impl FnOnce() -> Option<&'static str>,
    ) -> Error {
        self.abandon();
        Error(match process::wait(&self.pidfd) {
            Ok(Ended::Killed(9)) => {
                let told = format!("{name} was killed by SIGKILL before it could run the program");
                match killer() {
                    Some(killer) => format!("{told}: {killer}"),
                    None => told,
                }
            }
            Ok(Ended::Killed(signal)) => format!("{name} was killed by signal {signal}"),
            Ok(Ended::Exited(status)) => format!("{name} exited with status {status}"),
            // The kernel has reaped it.
            Err(Errno::ECHILD) => {
                let why = killer().unwrap_or("why is not known, as the caller ignores SIGCHLD");
                format!("{name} ended before it could run the program: {why}")
            }
            Err(errno) => format!("{name} is gone, and waiting for it failed: {}", errno.desc()),
        })
    }

    /// Kills it; what it made goes with it. It remains to be reaped.
    pub fn abandon(&self) {
        // The only failure is that it has ended already, which is what is wanted.
        let _ = process::pidfd_send_signal(&self.pidfd, 9);
    }

    fn tell(&self, kind: Kind, descriptors: &[BorrowedFd]) -> Result<(), Error> {
        match message::send(self.channel.as_fd(), kind, 0, descriptors) {
            // It is gone: why, is in the channel, and the next read gives it.
            Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(Error::call("talking to init", errno)),
        }
    }
}

/// Why there is no program running, in words that callers know from runc.
fn start_failed(plan: &impl Describe, fault: &Fault) -> String {
    let step = match fault.stage {
        Stage::ProgramNotInPath | Stage::Program | Stage::Exec => "",
        _ => "error during container init: ",
    };
    format!("unable to start container process: {step}{}", plan.describe(fault))
}

/// Gives ourselves the hard limits that a process in a user namespace could not raise any more, to
/// inherit them. Where we can't either, it says so.
pub(crate) fn raise_hard_limits(task: &Task) {
    for limit in task.rlimits.iter().filter(|_| task.user_namespace) {
        match getrlimit(limit.resource) {
            Ok((soft, hard)) if hard < limit.hard => {
                let _ = setrlimit(limit.resource, soft, limit.hard);
            }
            _ => {}
        }
    }
}

/// A process that does nothing, for a cgroup that exists only with one in it. It ends with this.
#[derive(Debug)]
pub struct Keeper {
    pidfd: OwnedFd,
    /// Should we be killed, this tells it.
    _channel: OwnedFd,
}

impl Keeper {
    /// Forks one, and has it moved into the cgroup by `move_it`, which gets its pid.
    pub fn fork(move_it: &mut dyn FnMut(i32) -> Result<(), String>) -> Result<Self, Error> {
        let (ours, theirs) = channel()?;
        let failed = |errno| Error::call("forking", errno);
        match process::fork(CloneFlags::empty(), None).map_err(failed)? {
            Fork::Parent { pid, pidfd } => {
                let keeper = Self { pidfd, _channel: ours };
                move_it(pid).map_err(Error).map(|()| keeper)
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
        // It can only have ended already.
        let _ = process::pidfd_send_signal(&self.pidfd, 9);
        let _ = process::wait(&self.pidfd);
    }
}

/// Our end, and a child's.
pub(crate) fn channel() -> Result<(OwnedFd, OwnedFd), Error> {
    socket::pair().map_err(|errno| Error::call("making a socket pair", errno))
}

/// An error of the first fork.
pub(crate) fn cannot_fork(plan: &impl Describe, errno: Errno) -> Error {
    Error(plan.describe(&Fault::new(Stage::Fork, errno)))
}

/// What a hop does for a plan.
pub(crate) struct Hop<T> {
    /// In the hop: joins namespaces, and forks the process.
    pub run: fn(&mut T, &OwnedFd) -> Result<(), Fault>,
    /// In the parent: writes the id mappings of the hop's new user namespace.
    pub map: fn(&mut T, i32) -> Result<(), Error>,
}

const HOP: Hop<Plan> = Hop { run: hop, map: map_hop };

/// Forks a process that joins and prepares namespaces, and then forks another as our own child.
///
/// That the hop itself can't be forked is the inner error.
pub(crate) fn fork_through_hop<T: Describe>(
    plan: &mut T,
    cradle: Cradle,
    hop: &Hop<T>,
) -> Result<Result<Child, Errno>, Error> {
    let (ours, theirs) = channel()?;
    let waits = matches!(cradle, Cradle::Hops(_));
    let (pid, pidfd) = match process::fork(CloneFlags::empty(), cradle.cgroup()) {
        Ok(Fork::Parent { pid, pidfd }) => (pid, pidfd),
        Ok(Fork::Child) => {
            // Or it could not see that there is nobody any more who lets it go on.
            drop(ours);
            let go = || init::expect(theirs.as_fd(), Kind::Go).map(drop);
            let allowed = if waits { go() } else { Ok(()) };
            let fault = match allowed.and_then(|()| (hop.run)(plan, &theirs)) {
                Ok(()) => process::exit_now(0),
                Err(fault) => fault,
            };
            let _ = message::report(theirs.as_fd(), &fault);
            process::exit_now(1)
        }
        Err(errno) => return Ok(Err(errno)),
    };
    drop(theirs);
    let moved = match cradle {
        Cradle::Hops(move_it) => move_it(pid).map_err(Error).and_then(|()| {
            let told = message::send(ours.as_fd(), Kind::Go, 0, &[]);
            told.map_err(|errno| Error::call("talking to a child", errno))
        }),
        _ => Ok(()),
    };
    let born = moved.and_then(|()| await_birth(plan, pid, ours.as_fd(), hop.map));
    if born.is_err() {
        let _ = process::pidfd_send_signal(&pidfd, 9);
    }
    match process::wait(&pidfd) {
        // Where our caller ignores SIGCHLD, the kernel has reaped it. How it ended is of no interest.
        Ok(_) | Err(Errno::ECHILD) => {}
        Err(errno) => return Err(Error::call("waiting for a child", errno)),
    }
    born.map(|(pid, pidfd)| Ok(Child { pid, pidfd, channel: ours }))
}

/// Serves the hop until it has told the pid of what it forked.
fn await_birth<T: Describe>(
    plan: &mut T,
    hop: i32,
    channel: BorrowedFd,
    map: fn(&mut T, i32) -> Result<(), Error>,
) -> Result<(i32, OwnedFd), Error> {
    loop {
        let received = message::receive(channel);
        let message = received.map_err(|errno| Error::call("talking to a child", errno))?;
        let message = message.ok_or_else(|| Error("a child died joining namespaces".into()))?;
        match (message.kind, message.fault) {
            (Kind::Map, _) => {
                map(plan, hop)?;
                let told = message::send(channel, Kind::Mapped, 0, &[]);
                told.map_err(|errno| Error::call("talking to a child", errno))?;
            }
            (Kind::Born, _) => {
                let pidfd = message.descriptors.into_iter().next();
                let pidfd = pidfd.ok_or_else(|| Error("a child sent no pidfd".into()))?;
                return Ok((message.index.cast_signed(), pidfd));
            }
            (_, Some(fault)) => return Err(Error(plan.describe(&fault))),
            _ => return Err(Error("a child sent what makes no sense".into())),
        }
    }
}

/// In a hop: forks the process proper as its parent's child, and tells who it is.
///
/// In the child it gives nothing back, in the hop its pid.
pub(crate) fn fork_from_hop(new: CloneFlags, channel: &OwnedFd) -> Result<Option<i32>, Fault> {
    match process::fork(new | CloneFlags::CLONE_PARENT, None).during(Stage::Fork)? {
        Fork::Child => Ok(None),
        Fork::Parent { pid, pidfd } => {
            let number = pid.cast_unsigned();
            let told = message::send(channel.as_fd(), Kind::Born, number, &[pidfd.as_fd()]);
            told.during(Stage::Channel).map(|()| Some(pid))
        }
    }
}

fn map_hop(plan: &mut Plan, hop: i32) -> Result<(), Error> {
    let namespaces = &mut plan.inputs.namespaces;
    mappings::write(hop, &namespaces.mappings.clone().unwrap_or_default())?;
    // The hop is in the new namespace, so init's clone does not make one.
    namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
    Ok(())
}

/// In the hop: joins namespaces, prepares the time namespace, forks init.
fn hop(plan: &mut Plan, channel: &OwnedFd) -> Result<(), Fault> {
    if plan.inputs.namespaces.needs_hop() {
        // In a container's sight. Else it's only init that is, which sees to that itself once its
        // mappings are written, as its parent couldn't before.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    let keep_groups = plan.task.given.keep_groups;
    join(&plan.inputs.namespaces.joined, keep_groups)?;
    if let Some(offsets) = plan.inputs.namespaces.new_time.take() {
        let in_new_user = plan.inputs.namespaces.new.contains(CloneFlags::CLONE_NEWUSER);
        if in_new_user {
            enter_user_namespace(&mut plan.inputs.namespaces, keep_groups, channel.as_fd())?;
        }
        make_time_namespace(&offsets)?;
        if in_new_user {
            process::set_dumpable(false).during(Stage::Session)?;
        }
    }
    match fork_from_hop(plan.inputs.namespaces.new, channel)? {
        Some(_) => Ok(()),
        None => init::run(plan, channel),
    }
}

/// A time namespace belongs to the user namespace that it is made in, so that one comes first.
/// Leaves us dumpable.
fn enter_user_namespace(
    namespaces: &mut Namespaces,
    keep_groups: bool,
    channel: BorrowedFd,
) -> Result<(), Fault> {
    unshare(CloneFlags::CLONE_NEWUSER).during(Stage::UserNamespace)?;
    // Or only root could write the mappings, and then the offsets of a time namespace.
    process::set_dumpable(true).during(Stage::Session)?;
    message::announce(channel, Kind::Map, 0).during(Stage::Channel)?;
    init::expect(channel, Kind::Mapped)?;
    init::become_root(keep_groups)?;
    // Becoming another user has made it untrue.
    process::set_dumpable(true).during(Stage::Session)?;
    namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
    Ok(())
}

fn make_time_namespace(offsets: &str) -> Result<(), Fault> {
    unshare(crate::namespaces::CLONE_NEWTIME).during(Stage::TimeNamespace)?;
    if offsets.is_empty() {
        return Ok(());
    }
    // Still in the host's mounts, where /proc is the host's.
    std::fs::write("/proc/self/timens_offsets", offsets)
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(Errno::EIO as i32)))
        .during(Stage::TimeNamespace)
}

/// Joins namespaces. The caller may own them, or only the user namespace among them may: those
/// that can't be joined before it are tried again after it. The mount namespace is the last, as
/// joining it changes what paths mean.
fn join(joined: &[Joined], keep_groups: bool) -> Result<(), Fault> {
    let is = |kind: CloneFlags| move |one: &&Joined| one.kind == kind;
    let user = joined.iter().find(is(CloneFlags::CLONE_NEWUSER));
    let mount = joined.iter().find(is(CloneFlags::CLONE_NEWNS));
    let last = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    let mut later = Vec::new();
    for one in joined.iter().filter(|one| !last.contains(one.kind)) {
        match enter(one) {
            Err(fault) if fault.errno == Errno::EPERM && user.is_some() => later.push(one),
            entered => entered?,
        }
    }
    if let Some(user) = user {
        enter(user)?;
        init::become_root(keep_groups)?;
    }
    later.into_iter().chain(mount).try_for_each(enter)
}

fn enter(one: &Joined) -> Result<(), Fault> {
    setns(&one.file, one.kind).map_err(|errno| Fault::at(Stage::JoinNamespace, one.index, errno))
}
