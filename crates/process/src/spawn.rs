//! The host's side of a new process: the fork(s), the id mappings, and the talk until it runs.
//!
//! What is forked first may be the process itself, or one that goes before it (a hop): that joins
//! namespaces, and forks it as our child, at once or when all but the launch is done.

use crate::fault::{During, Fault, Stage};
use crate::init;
use crate::message::{self, Kind, Message};
use crate::namespaces::{Joined, Namespaces};
use crate::settle;
use crate::task::Task;
use crate::{Error, Plan, mappings, sources};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::exec::Signals;
use sys::nix::libc::SIGKILL;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sched::{CloneFlags, setns, unshare};
use sys::nix::sys::resource::{getrlimit, setrlimit};
use sys::process::{Ended, Fork};
use sys::schedule::{self, Attributes};
use sys::{Errno, process, socket};

/// A new process of a container, its init or another, as its parent has it.
#[derive(Debug)]
pub struct Child {
    /// Its pid in the parent's pid namespace.
    pub pid: i32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    pub(crate) channel: OwnedFd,
    /// Whether it is one that goes before the process, which it has yet to tell of.
    is_hop: bool,
    /// Whether others in its pid namespace see it.
    is_seen: bool,
    /// Where the process will talk, if what goes before it is to go on beside it.
    parking: Option<OwnedFd>,
    /// What goes on beside the process, which waits.
    builder: Option<Builder>,
}

/// What makes the root of an init that is parked.
#[derive(Debug)]
struct Builder {
    pidfd: OwnedFd,
    channel: OwnedFd,
}

/// What has words for what goes wrong in the child.
pub trait Describe {
    /// What went wrong, in words: the step, the object, the kernel's answer.
    fn describe(&self, fault: &Fault) -> String;

    /// Which signals its maker ignores, and it would.
    fn ignored_signals(&self) -> Signals;

    /// What is to be set for the process once it is forked, as that loses it.
    fn scheduler(&self) -> Option<&Attributes>;

    /// Whether it is forked only when all that is left to do is what others may see.
    fn forks_last(&self) -> bool;
}

/// What a new process tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has forked, and the [`Child`] is from now on what it forked.
    Born,
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
/// It makes mounts at once, but waits with entering cgroups for [`Child::release`]. Where
/// [`Child::is_hop`] says so, it's what goes before init, in all of its namespaces but that of pids.
pub fn spawn(plan: &mut Plan, cradle: Cradle) -> Result<Child, Error> {
    raise_hard_limits(&plan.task);
    if plan.task.by_root {
        // Our children are so from birth: whoever made a user namespace has all rights in it, and is
        // kept from what we still are by this alone. A user's can't be until their ids are mapped.
        process::set_dumpable(false)
            .map_err(|errno| Error::call("closing our own memory to others", errno))?;
    }
    let child = if plan.inputs.namespaces.needs_hop() || matches!(cradle, Cradle::Hops(_)) {
        let parking = plan.parks().then(channel).transpose()?;
        let (ours, theirs) = parking.unzip();
        plan.parking = theirs;
        let mut child = fork_first(plan, cradle, hop)?.map_err(|errno| cannot_fork(plan, errno))?;
        plan.parking = None;
        child.parking = ours;
        await_namespaces(plan, child)?
    } else {
        let init = fork_init(plan, cradle.cgroup())?;
        map_init(plan, init)?
    };
    sources::hand_over(plan, &child).inspect_err(|_| child.end())?;
    Ok(child)
}

/// Forks init itself, into its new namespaces.
fn fork_init(plan: &mut Plan, cgroup: Option<BorrowedFd>) -> Result<Child, Error> {
    let (ours, theirs) = channel()?;
    match process::fork(plan.inputs.namespaces.new, cgroup) {
        Ok(Fork::Parent { pid, pidfd }) => Ok(Child::new(pid, pidfd, ours, false)),
        Ok(Fork::Child) => {
            drop(ours);
            init::run(plan, &theirs)
        }
        Err(errno) => Err(cannot_fork(plan, errno)),
    }
}

/// Writes the id mappings of an init that was born in a new user namespace.
fn map_init(plan: &Plan, init: Child) -> Result<Child, Error> {
    let namespaces = &plan.inputs.namespaces;
    let Some(mapped) = namespaces.mappings.as_ref().filter(|_| namespaces.new_user()) else {
        return Ok(init);
    };
    let map = || {
        if let (Some(score), Some(procfs)) = (&plan.task.oom_score, &plan.task.procfs) {
            // In its namespace it may not lower it, however much it may there.
            let path = format!("{}/{}", init.pid, settle::OOM_SCORE);
            let failed = |errno| Error(plan.describe(&Fault::new(Stage::OomScore, errno)));
            procfs.write(&path, score.as_bytes()).map_err(failed)?;
        }
        mappings::write(init.pid, mapped).and_then(|()| init.tell(Kind::Mapped, &[]))
    };
    map().inspect_err(|_| init.end()).map(|()| init)
}

/// Serves a hop until the namespaces are there, and the process that is to be served in them: init,
/// or the hop itself, if that forks only when all is done.
fn await_namespaces(plan: &mut Plan, mut child: Child) -> Result<Child, Error> {
    loop {
        let served = match child.receive() {
            Err(error) => Err(error),
            Ok(None) => Err(Error("a child died joining namespaces".into())),
            Ok(Some(message)) => serve_hop(plan, &mut child, &message),
        };
        match served {
            Ok(false) => {}
            Ok(true) if child.is_hop => return Ok(child),
            Ok(true) => return map_init(plan, child),
            Err(error) => {
                child.end();
                return Err(error);
            }
        }
    }
}

/// Does what the hop asks for; whether that was the last thing.
fn serve_hop(plan: &mut Plan, child: &mut Child, message: &Message) -> Result<bool, Error> {
    match (message.kind, &message.fault) {
        (Kind::Map, _) => {
            let namespaces = &mut plan.inputs.namespaces;
            mappings::write(child.pid, &namespaces.mappings.clone().unwrap_or_default())?;
            // The hop is in the new namespace, so init's clone does not make one.
            namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
            child.tell(Kind::Mapped, &[]).map(|()| false)
        }
        (Kind::Clocks, _) => {
            let offsets = plan.inputs.namespaces.new_time.as_deref().unwrap_or_default();
            let path = format!("{}/timens_offsets", child.pid);
            let written = match &plan.task.procfs {
                Some(procfs) => procfs.write(&path, offsets.as_bytes()),
                None => Err(Errno::ENOENT),
            };
            written.map_err(|e| Error(plan.describe(&Fault::new(Stage::TimeNamespace, e))))?;
            child.tell(Kind::Mapped, &[]).map(|()| false)
        }
        (Kind::Here, _) => Ok(true),
        (Kind::Born, _) => child.become_born(message.index.cast_signed(), plan).map(|()| true),
        (_, Some(fault)) => Err(Error(plan.describe(fault))),
        _ => Err(Error("a child sent what makes no sense".into())),
    }
}

impl Child {
    fn new(pid: i32, pidfd: OwnedFd, channel: OwnedFd, is_hop: bool) -> Self {
        Self { pid, pidfd, channel, is_hop, is_seen: false, parking: None, builder: None }
    }

    /// Whether it is one that goes before the process, which [`Event::Born`] will tell of.
    #[must_use]
    pub fn is_hop(&self) -> bool {
        self.is_hop
    }

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
        match &self.builder {
            Some(builder) => tell(builder.channel.as_fd(), Kind::Continue, 0, &[]),
            None => self.tell(Kind::Continue, &[]),
        }
    }

    /// Waits for the next thing that it tells. That it failed is an error, in words.
    pub fn next(&mut self, plan: &impl Describe) -> Result<Event, Error> {
        let Some(message) = self.receive()? else { return Ok(Event::Closed) };
        match (message.kind, message.fault) {
            (Kind::Born, _) if self.is_hop => {
                self.become_born(message.index.cast_signed(), plan)?;
                Ok(Event::Born)
            }
            (Kind::Parked, _) if self.is_hop => {
                self.become_parked(message.index.cast_signed(), plan)?;
                Ok(Event::Born)
            }
            (Kind::Made, _) if self.builder.is_some() => {
                if let Some(builder) = self.builder.take() {
                    reap(&builder.pidfd)?;
                }
                self.proceed()?;
                self.next(plan)
            }
            // Not at the word of one that others can trace.
            (Kind::Hooks, _) if !self.is_seen || self.builder.is_some() => Ok(Event::Hooks),
            (Kind::Listener, _) => Ok(Event::Listener(message.index.cast_signed())),
            (Kind::Ready, _) => Ok(Event::Ready),
            (Kind::Failed, Some(fault)) => Err(Error(start_failed(plan, &fault))),
            _ => Err(Error("talking to init: it sent what makes no sense here".into())),
        }
    }

    fn receive(&self) -> Result<Option<Message>, Error> {
        let channel = self.builder.as_ref().map_or(&self.channel, |builder| &builder.channel);
        let received = message::receive(channel.as_fd());
        received.map_err(|errno| Error::call("talking to init", errno))
    }

    /// Becomes what it has forked, our child too.
    ///
    /// Whoever can trace that may send what it likes over the channel; so its number is believed only
    /// if it's that of a child.
    fn become_born(&mut self, pid: i32, plan: &impl Describe) -> Result<(), Error> {
        let hop = self.replace(pid)?;
        self.is_seen = plan.forks_last();
        reap(&hop)?;
        self.set_scheduler(plan)
    }

    /// Becomes the process that `settler` forks, another child of ours, and will wait for the end of
    /// what has forked that.
    fn become_parked(&mut self, settler: i32, plan: &impl Describe) -> Result<(), Error> {
        let failed = |errno| Error::call("looking after a child's child", errno);
        let settler = process::pidfd_open(settler).map_err(failed)?;
        let parking = self.parking.take().ok_or_else(|| failed(Errno::EPROTO))?;
        let channel = std::mem::replace(&mut self.channel, parking);
        let born = match self.receive()? {
            Some(Message { kind: Kind::Born, index, .. }) => Ok(index.cast_signed()),
            Some(Message { fault: Some(fault), .. }) => Err(Error(start_failed(plan, &fault))),
            Some(_) => Err(failed(Errno::EPROTO)),
            None => Err(Error("init was killed before it could run the program".into())),
        };
        reap(&settler)?;
        let pidfd = self.replace(born?)?;
        self.is_seen = true;
        let builder = self.builder.insert(Builder { pidfd, channel });
        let inside = own_pid(&self.pidfd)?;
        tell(builder.channel.as_fd(), Kind::Continue, inside.cast_unsigned(), &[])?;
        self.set_scheduler(plan)
    }

    /// Is from now on the child `pid`; gives the pidfd that it had.
    fn replace(&mut self, pid: i32) -> Result<OwnedFd, Error> {
        let failed = |errno| Error::call("looking after a child's child", errno);
        let pidfd = process::pidfd_open(pid).map_err(failed)?;
        if pid == self.pid || !process::is_child(pid) {
            return Err(failed(Errno::ECHILD));
        }
        self.pid = pid;
        self.is_hop = false;
        Ok(std::mem::replace(&mut self.pidfd, pidfd))
    }

    fn set_scheduler(&self, plan: &impl Describe) -> Result<(), Error> {
        if let Some(attributes) = plan.scheduler() {
            let set = schedule::set(self.pid, attributes);
            set.map_err(|errno| Error(plan.describe(&Fault::new(Stage::Scheduler, errno))))?;
            self.tell(Kind::Continue, &[])?;
        }
        Ok(())
    }

    /// What it told before it ended, if it did: that something was not to be done for it then is no
    /// wonder, as systemd removes the cgroup with it.
    pub fn last_words(&mut self, plan: &impl Describe) -> Option<Error> {
        let mut polled = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        let has_told = matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..));
        if has_told { self.next(plan).err() } else { None }
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
        // It's the builder that can end unexpectedly as long as there is one.
        let builder = self.builder.as_ref().map(|builder| process::wait(&builder.pidfd));
        let process = process::wait(&self.pidfd);
        let ended = builder.unwrap_or(process);
        // A hop that has ended well has made the process, which then told nothing.
        let vanished = self.is_hop && ended == Ok(Ended::Exited(0));
        Error(match ended {
            Ok(_) if vanished || ended == Ok(Ended::Killed(9)) => {
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
            Err(errno) => {
                let why = sys::errno_text(errno);
                format!("{name} is gone, and waiting for it failed: {why}")
            }
        })
    }

    /// Kills it; what it made goes with it. It remains to be reaped.
    pub fn abandon(&self) {
        // The only failure is that it has ended already, which is what is wanted.
        for pidfd in self.pidfds() {
            let _ = process::pidfd_send_signal(pidfd, SIGKILL);
        }
    }

    /// Ends it, and reaps it.
    pub fn end(&self) {
        self.abandon();
        for pidfd in self.pidfds() {
            // It may have been reaped already.
            let _ = process::end(pidfd);
        }
    }

    /// Its own, and that of what goes on beside it.
    fn pidfds(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.pidfd).chain(self.builder.as_ref().map(|builder| &builder.pidfd))
    }

    fn tell(&self, kind: Kind, descriptors: &[BorrowedFd]) -> Result<(), Error> {
        tell(self.channel.as_fd(), kind, 0, descriptors)
    }
}

/// Waits for the end of a process that has done what it is for: how it ended is of no interest.
fn reap(pidfd: &OwnedFd) -> Result<(), Error> {
    match process::wait(pidfd) {
        // Where our caller ignores SIGCHLD, the kernel has reaped it.
        Ok(_) | Err(Errno::ECHILD) => Ok(()),
        Err(errno) => Err(Error::call("waiting for a child", errno)),
    }
}

fn tell(
    channel: BorrowedFd,
    kind: Kind,
    index: u32,
    descriptors: &[BorrowedFd],
) -> Result<(), Error> {
    match message::send(channel, kind, index, descriptors) {
        // It is gone: why, is in the channel, and the next read gives it.
        Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => Err(Error::call("talking to init", errno)),
    }
}

/// The number of a process in its own pid namespace, which the kernel tells of its pidfd.
fn own_pid(pidfd: &OwnedFd) -> Result<i32, Error> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error(format!("reading {path}: {}", sys::answer(&error))))?;
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let last = numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
    last.ok_or_else(|| Error(format!("{path} has no pid: {text:?}")))
}

/// Why there is no program running, in words that callers know from runc.
pub(crate) fn start_failed(plan: &impl Describe, fault: &Fault) -> String {
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
        let _ = process::end(&self.pidfd);
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

/// Forks what goes before a process: it carries `run` out, which ends in [`fork_from_hop`] or never.
///
/// That it can't be forked is the inner error.
pub(crate) fn fork_first<T: Describe>(
    plan: &mut T,
    cradle: Cradle,
    run: fn(&mut T, &OwnedFd) -> Result<(), Fault>,
) -> Result<Result<Child, Errno>, Error> {
    let (ours, theirs) = channel()?;
    let waits = matches!(cradle, Cradle::Hops(_));
    let child = match process::fork(CloneFlags::empty(), cradle.cgroup()) {
        Ok(Fork::Parent { pid, pidfd }) => Child::new(pid, pidfd, ours, true),
        Ok(Fork::Child) => {
            // Or it could not see that there is nobody any more who lets it go on.
            drop(ours);
            let go = || init::expect(theirs.as_fd(), Kind::Go).map(drop);
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
    if let Cradle::Hops(move_it) = cradle {
        let moved = move_it(child.pid).map_err(Error);
        moved.and_then(|()| child.tell(Kind::Go, &[])).inspect_err(|_| child.end())?;
    }
    Ok(Ok(child))
}

/// In a hop: forks the process proper as its parent's child, and tells who it is.
///
/// In the child it gives nothing back, in the hop its pid.
fn fork_from_hop(new: CloneFlags, channel: &OwnedFd) -> Result<Option<i32>, Fault> {
    match process::fork(new | CloneFlags::CLONE_PARENT, None).during(Stage::Fork)? {
        Fork::Child => Ok(None),
        Fork::Parent { pid, .. } => {
            let told = message::announce(channel.as_fd(), Kind::Born, pid.cast_unsigned());
            told.during(Stage::Channel).map(|()| Some(pid))
        }
    }
}

/// In the hop: joins namespaces, prepares the time namespace, and forks init; or makes the namespaces
/// itself, and is what init will be but for the pid namespace.
fn hop(plan: &mut Plan, channel: &OwnedFd) -> Result<(), Fault> {
    init::guard_stdio(plan)?;
    settle::adjust_oom_score(&mut plan.task)?;
    let by_root = plan.task.by_root;
    if plan.inputs.namespaces.needs_hop() && !by_root {
        // In a container's sight. Else it's only init that is, which sees to that itself once its
        // mappings are written, as its parent couldn't before.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    let keep_groups = plan.task.given.keep_groups;
    // What forks an init that is parked must not be seen there itself.
    let now = |one: &&Joined| !plan.task.is_parked || one.kind != CloneFlags::CLONE_NEWPID;
    join(&plan.inputs.namespaces.joined.iter().filter(now).collect::<Vec<_>>(), keep_groups)?;
    if plan.task.forks_last || plan.inputs.namespaces.new_time.is_some() {
        if plan.inputs.namespaces.new_user() {
            enter_user_namespace(
                &mut plan.inputs.namespaces,
                keep_groups,
                channel.as_fd(),
                by_root,
            )?;
        }
        if let Some(offsets) = plan.inputs.namespaces.new_time.take() {
            make_time_namespace(&offsets, channel.as_fd(), by_root)?;
        }
        // Becoming another user may have made it untrue, and a user's hop was not until now.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    let new = plan.inputs.namespaces.new;
    if plan.task.forks_last {
        unshare(new).during(Stage::MakeNamespaces)?;
        message::announce(channel.as_fd(), Kind::Here, 0).during(Stage::Channel)?;
        init::run(plan, channel)
    }
    match fork_from_hop(new, channel)? {
        Some(_) => Ok(()),
        None => init::run(plan, channel),
    }
}

/// A time namespace belongs to the user namespace that it is made in, so that one comes first.
fn enter_user_namespace(
    namespaces: &mut Namespaces,
    keep_groups: bool,
    channel: BorrowedFd,
    by_root: bool,
) -> Result<(), Fault> {
    unshare(CloneFlags::CLONE_NEWUSER).during(Stage::UserNamespace)?;
    if !by_root {
        // Or only root could write the mappings.
        process::set_dumpable(true).during(Stage::Session)?;
    }
    message::announce(channel, Kind::Map, 0).during(Stage::Channel)?;
    init::expect(channel, Kind::Mapped)?;
    init::become_root(keep_groups)?;
    namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
    Ok(())
}

/// The parent writes the offsets, as the mounts may be another container's by now.
fn make_time_namespace(offsets: &str, channel: BorrowedFd, by_root: bool) -> Result<(), Fault> {
    unshare(crate::namespaces::CLONE_NEWTIME).during(Stage::TimeNamespace)?;
    if offsets.is_empty() {
        return Ok(());
    }
    if !by_root {
        // Or only root could write them.
        process::set_dumpable(true).during(Stage::Session)?;
    }
    message::announce(channel, Kind::Clocks, 0).during(Stage::Channel)?;
    init::expect(channel, Kind::Mapped).map(drop)
}

/// Joins namespaces. The caller may own them, or only the user namespace among them may: those
/// that can't be joined before it are tried again after it. The mount namespace is the last, as
/// joining it changes what paths mean.
fn join(joined: &[&Joined], keep_groups: bool) -> Result<(), Fault> {
    let find = |kind: CloneFlags| joined.iter().copied().find(|one| one.kind == kind);
    let (user, mount) = (find(CloneFlags::CLONE_NEWUSER), find(CloneFlags::CLONE_NEWNS));
    let last = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    let mut later = Vec::new();
    for one in joined.iter().copied().filter(|one| !last.contains(one.kind)) {
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

/// Joins the pid namespace, for our children.
pub(crate) fn join_pids(namespaces: &Namespaces) -> Result<(), Fault> {
    let mut joined = namespaces.joined.iter();
    joined.find(|one| one.kind == CloneFlags::CLONE_NEWPID).map_or(Ok(()), enter)
}

fn enter(one: &Joined) -> Result<(), Fault> {
    setns(&one.file, one.kind).map_err(|errno| Fault::at(Stage::JoinNamespace, one.index, errno))
}
