//! The host's side of a new init: the fork(s), the id mappings, and the talk until it runs.

use crate::fault::{During, Fault, Stage};
use crate::init;
use crate::mappings;
use crate::message::{self, Kind};
use crate::namespaces::{Joined, Namespaces};
use crate::{Error, Plan};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::nix::sched::{CloneFlags, setns, unshare};
use sys::process::{Ended, Fork};
use sys::{Errno, process, socket};

/// A container's init, as its parent has it.
#[derive(Debug)]
pub struct Init {
    /// Its pid in the parent's pid namespace.
    pub pid: i32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    channel: OwnedFd,
}

/// What an init tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The environment is made; it waits for [`Init::proceed`] while the host's hooks run.
    Hooks,
    /// Its filter has a listener, this descriptor of its; it waits for [`Init::proceed`].
    Listener(i32),
    /// Only the wait for `start` is left, or nothing.
    Ready,
    /// The channel is closed, as a successful execve does.
    Closed,
}

/// Forks an init that carries `plan` out, born in the v2 cgroup `cgroup` where there is one.
///
/// It makes mounts at once, but waits with entering cgroups for [`Init::release`].
pub fn spawn(plan: &mut Plan, cgroup: Option<BorrowedFd>) -> Result<Init, Error> {
    let (ours, theirs) = socket::pair().map_err(|e| Error::call("making a socket pair", e))?;
    let (pid, pidfd) = if plan.inputs.namespaces.needs_hop() {
        fork_through_hop(plan, cgroup, &ours, theirs)?
    } else {
        match process::fork(plan.inputs.namespaces.new, cgroup) {
            Ok(Fork::Parent { pid, pidfd }) => (pid, pidfd),
            Ok(Fork::Child) => {
                drop(ours);
                init::run(plan, &theirs)
            }
            Err(errno) => return Err(Error(plan.describe(&Fault::new(Stage::Fork, errno)))),
        }
    };
    let init = Init { pid, pidfd, channel: ours };
    let maps_itself = plan.inputs.namespaces.new.contains(CloneFlags::CLONE_NEWUSER);
    if let Some(mapped) = plan.inputs.namespaces.mappings.as_ref().filter(|_| maps_itself) {
        let mapped = mappings::write(pid, mapped).and_then(|()| init.tell(Kind::Mapped, &[]));
        mapped.inspect_err(|_| {
            init.abandon();
            let _ = process::wait(&init.pidfd);
        })?;
    }
    Ok(init)
}

impl Init {
    /// Lets init enter its cgroups by these files, and go on.
    pub fn release(&self, entry_files: &[BorrowedFd]) -> Result<(), Error> {
        self.tell(Kind::Go, entry_files)
    }

    /// A copy of init's descriptor `number` (`pidfd_getfd(2)`).
    pub fn descriptor(&self, number: i32) -> Result<OwnedFd, Error> {
        process::pidfd_getfd(&self.pidfd, number)
            .map_err(|errno| Error::call("fetching the seccomp listener from init", errno))
    }

    /// Lets init go on after the host's hooks, or with its listener fetched.
    pub fn proceed(&self) -> Result<(), Error> {
        self.tell(Kind::Continue, &[])
    }

    /// Waits for the next thing that init tells. That it failed is an error, in words.
    pub fn next(&self, plan: &Plan) -> Result<Event, Error> {
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

    /// Why init is gone though it has told nothing. Reaps it.
    #[must_use]
    pub fn explain_death(&self) -> Error {
        self.abandon();
        Error(match process::wait(&self.pidfd) {
            Ok(Ended::Killed(9)) => "init was killed by SIGKILL before it could run the program \
                (when memory is short that is the kernel: see linux.resources.memory.limit)"
                .into(),
            Ok(Ended::Killed(signal)) => format!("init was killed by signal {signal}"),
            Ok(Ended::Exited(status)) => format!("init exited with status {status}"),
            Err(errno) => format!("init is gone, and waiting for it failed: {}", errno.desc()),
        })
    }

    /// Kills init; what it made goes with it. It remains to be reaped.
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
fn start_failed(plan: &Plan, fault: &Fault) -> String {
    let step = match fault.stage {
        Stage::ProgramNotInPath | Stage::Program | Stage::Exec => "",
        _ => "error during container init: ",
    };
    format!("unable to start container process: {step}{}", plan.describe(fault))
}

/// Forks a process that joins and prepares namespaces, and then forks init as our own child.
fn fork_through_hop(
    plan: &mut Plan,
    cgroup: Option<BorrowedFd>,
    ours: &OwnedFd,
    theirs: OwnedFd,
) -> Result<(i32, OwnedFd), Error> {
    let (pid, hop) = match process::fork(CloneFlags::empty(), cgroup) {
        Ok(Fork::Parent { pid, pidfd }) => (pid, pidfd),
        Ok(Fork::Child) => {
            let fault = match hop(plan, &theirs) {
                Ok(()) => process::exit_now(0),
                Err(fault) => fault,
            };
            let _ = message::report(theirs.as_fd(), &fault);
            process::exit_now(1)
        }
        Err(errno) => return Err(Error::call("forking", errno)),
    };
    drop(theirs);
    let born = await_birth(plan, pid, ours.as_fd());
    if born.is_err() {
        let _ = process::pidfd_send_signal(&hop, 9);
    }
    process::wait(&hop).map_err(|errno| Error::call("waiting for a child", errno))?;
    born
}

/// Serves the hop until it has told init's pid.
fn await_birth(plan: &mut Plan, hop: i32, channel: BorrowedFd) -> Result<(i32, OwnedFd), Error> {
    loop {
        let received = message::receive(channel);
        let message = received.map_err(|errno| Error::call("talking to a child", errno))?;
        let message = message.ok_or_else(|| Error("a child died joining namespaces".into()))?;
        match (message.kind, message.fault) {
            (Kind::Map, _) => {
                let namespaces = &mut plan.inputs.namespaces;
                mappings::write(hop, &namespaces.mappings.clone().unwrap_or_default())?;
                // The hop is in the new namespace, so init's clone does not make one.
                namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
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

/// In the hop: joins namespaces, prepares the time namespace, forks init.
fn hop(plan: &mut Plan, channel: &OwnedFd) -> Result<(), Fault> {
    process::set_dumpable(false).during(Stage::Session)?;
    join(&plan.inputs.namespaces.joined)?;
    if let Some(offsets) = plan.inputs.namespaces.new_time.take() {
        let in_new_user = plan.inputs.namespaces.new.contains(CloneFlags::CLONE_NEWUSER);
        if in_new_user {
            enter_user_namespace(&mut plan.inputs.namespaces, channel.as_fd())?;
        }
        make_time_namespace(&offsets)?;
        if in_new_user {
            process::set_dumpable(false).during(Stage::Session)?;
        }
    }
    let new = plan.inputs.namespaces.new | CloneFlags::CLONE_PARENT;
    match process::fork(new, None).during(Stage::Fork)? {
        Fork::Parent { pid, pidfd } => {
            let told =
                message::send(channel.as_fd(), Kind::Born, pid.cast_unsigned(), &[pidfd.as_fd()]);
            told.during(Stage::Channel)
        }
        Fork::Child => init::run(plan, channel),
    }
}

/// A time namespace belongs to the user namespace that it is made in, so that one comes first.
/// Leaves us dumpable.
fn enter_user_namespace(namespaces: &mut Namespaces, channel: BorrowedFd) -> Result<(), Fault> {
    unshare(CloneFlags::CLONE_NEWUSER).during(Stage::UserNamespace)?;
    // Or only root could write the mappings, and then the offsets of a time namespace.
    process::set_dumpable(true).during(Stage::Session)?;
    message::announce(channel, Kind::Map, 0).during(Stage::Channel)?;
    init::expect(channel, Kind::Mapped)?;
    init::become_root()?;
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
fn join(joined: &[Joined]) -> Result<(), Fault> {
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
        init::become_root()?;
    }
    later.into_iter().chain(mount).try_for_each(enter)
}

fn enter(one: &Joined) -> Result<(), Fault> {
    setns(&one.file, one.kind).map_err(|errno| Fault::at(Stage::JoinNamespace, one.index, errno))
}
