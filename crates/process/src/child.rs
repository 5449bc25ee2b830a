//! A forked process, as its parent has it: the talk until it runs its program, and its end.
//!
//! The parent must not believe what a process says that others can trace.

use crate::Error;
use crate::fault::{Fault, Stage};
use crate::message::{self, Kind, Message};
use crate::process_spec::ProcessPlan;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::nix::libc::SIGKILL;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::process::{self, Ended};
use sys::{Errno, schedule};

/// A new process of a container, its init or another, as its parent has it.
#[derive(Debug)]
pub struct Child {
    /// Its pid in the parent's pid namespace.
    pub pid: i32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
    pub(crate) channel: OwnedFd,
    /// Whether it is one that goes before the process, which it has yet to tell of.
    pub(crate) is_intermediate: bool,
    /// Whether others in its pid namespace see it.
    is_seen: bool,
    /// Where the process will talk, if what goes before it is to go on beside it.
    pub(crate) parking: Option<OwnedFd>,
    /// What goes on beside the process, which waits.
    builder: Option<Builder>,
}

/// What makes the root of an init that is parked.
#[derive(Debug)]
struct Builder {
    pidfd: OwnedFd,
    channel: OwnedFd,
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

impl Child {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd, channel: OwnedFd, is_intermediate: bool) -> Self {
        Self { pid, pidfd, channel, is_intermediate, is_seen: false, parking: None, builder: None }
    }

    /// Whether it is one that goes before the process, which [`Event::Born`] will tell of.
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.is_intermediate
    }

    /// Lets an init enter its cgroups by these files, and go on; or a process that the intermediate one
    /// has forked.
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
    pub fn next(&mut self, plan: &impl ProcessPlan) -> Result<Event, Error> {
        let Some(message) = self.receive()? else { return Ok(Event::Closed) };
        match (message.kind, message.fault) {
            (Kind::Born, _) if self.is_intermediate => {
                self.become_born(message.index.cast_signed(), plan)?;
                Ok(Event::Born)
            }
            (Kind::Parked, _) if self.is_intermediate => {
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
            (Kind::Failed, Some(fault)) => Err(start_failed(plan, &fault)),
            _ => Err(Error::new("talking to init: it sent what makes no sense here")),
        }
    }

    pub(crate) fn receive(&self) -> Result<Option<Message>, Error> {
        let channel = self.builder.as_ref().map_or(&self.channel, |builder| &builder.channel);
        let received = message::receive(channel.as_fd());
        received.map_err(|errno| Error::call("talking to init", errno))
    }

    /// Becomes what it has forked, our child too.
    ///
    /// Whoever can trace that may send what it likes over the channel; so its number is believed only
    /// if it's that of a child.
    pub(crate) fn become_born(&mut self, pid: i32, plan: &impl ProcessPlan) -> Result<(), Error> {
        let before = self.replace(pid)?;
        self.is_seen = plan.spec().forks_last;
        reap(&before)?;
        self.set_scheduler(plan)
    }

    /// Becomes the process that `settler` forks, another child of ours, and will wait for the end of
    /// what has forked that.
    fn become_parked(&mut self, settler: i32, plan: &impl ProcessPlan) -> Result<(), Error> {
        let failed = |errno| Error::call("looking after a child's child", errno);
        let settler = process::pidfd_open(settler).map_err(failed)?;
        let parking = self.parking.take().ok_or_else(|| failed(Errno::EPROTO))?;
        let channel = std::mem::replace(&mut self.channel, parking);
        let born = match self.receive()? {
            Some(Message { kind: Kind::Born, index, .. }) => Ok(index.cast_signed()),
            Some(Message { fault: Some(fault), .. }) => Err(start_failed(plan, &fault)),
            Some(_) => Err(failed(Errno::EPROTO)),
            None => Err(Error::new("init was killed before it could run the program")),
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
        self.is_intermediate = false;
        Ok(std::mem::replace(&mut self.pidfd, pidfd))
    }

    fn set_scheduler(&self, plan: &impl ProcessPlan) -> Result<(), Error> {
        if let Some(attributes) = plan.spec().scheduler_after_fork() {
            let set = schedule::set(self.pid, attributes);
            set.map_err(|errno| plan.fault_error(&Fault::new(Stage::Scheduler, errno)))?;
            self.tell(Kind::Continue, &[])?;
        }
        Ok(())
    }

    /// What it told before it ended, if it did: that something was not to be done for it then is no
    /// wonder, as systemd removes the cgroup with it.
    pub fn last_words(&mut self, plan: &impl ProcessPlan) -> Option<Error> {
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
        // An intermediate process that has ended well has made the process, which then told nothing.
        let vanished = self.is_intermediate && ended == Ok(Ended::Exited(0));
        Error::new(match ended {
            Ok(_) if vanished || ended == Ok(Ended::Killed(9)) => {
                let told = format!("{name} was killed by SIGKILL before it could run the program");
                match killer() {
                    Some(killer) => format!("{told}: {killer}"),
                    None => told,
                }
            }
            Ok(Ended::Killed(signal)) => format!("{name} was killed by signal {signal}"),
            Ok(Ended::Exited(status)) => format!("{name} exited with status {status}"),
            Err(errno) => {
                format!("{name} is gone, and waiting for it failed: {}", sys::errno_text(errno))
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
            let _ = process::wait(pidfd);
        }
    }

    /// Its own, and that of what goes on beside it.
    fn pidfds(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.pidfd).chain(self.builder.as_ref().map(|builder| &builder.pidfd))
    }

    pub(crate) fn tell(&self, kind: Kind, descriptors: &[BorrowedFd]) -> Result<(), Error> {
        tell(self.channel.as_fd(), kind, 0, descriptors)
    }
}

/// Waits for the end of a process that has done what it is for: how it ended is of no interest.
fn reap(pidfd: &OwnedFd) -> Result<(), Error> {
    process::wait(pidfd).map(drop).map_err(|errno| Error::call("waiting for a child", errno))
}

fn tell(
    channel: BorrowedFd,
    kind: Kind,
    index: u32,
    descriptors: &[BorrowedFd],
) -> Result<(), Error> {
    message::send_if_alive(channel, kind, index, descriptors)
        .map_err(|errno| Error::call("talking to init", errno))
}

/// The number of a process in its own pid namespace, which the kernel tells of its pidfd.
fn own_pid(pidfd: &OwnedFd) -> Result<i32, Error> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::new(format!("reading {path}: {}", sys::answer(&error))))?;
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let last = numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
    last.ok_or_else(|| Error::new(format!("{path} has no pid: {text:?}")))
}

/// Why there is no program running, in words that callers know from runc.
pub(crate) fn start_failed(plan: &impl ProcessPlan, fault: &Fault) -> Error {
    let error = plan.fault_error(fault);
    let error = match fault.stage {
        Stage::ProgramNotInPath | Stage::Program | Stage::Exec => error,
        _ => error.within("error during container init"),
    };
    error.within("unable to start container process")
}
