//! The parent's handle of a forked process: the talk with it until it runs the program, and its
//! end. The parent must not trust what a process says that others can trace.

use crate::Error;
use crate::fault::{Fault, Stage};
use crate::message::{self, Kind, Message};
use crate::process_spec::ProcessPlan;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::nix::libc::SIGKILL;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::nix::sys::signal::Signal;
use sys::process::{self, Ended};
use sys::{Errno, schedule};

/// A new process of a container, its init or one of `exec`, as its parent has it.
#[derive(Debug)]
pub struct Child {
    /// Its pid in the parent's pid namespace.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    pub(crate) channel: OwnedFd,
    /// Whether this is the intermediate process, which has yet to announce the process itself.
    pub(crate) is_intermediate: bool,
    /// Whether other processes of its pid namespace see it, and perhaps trace it.
    is_seen: bool,
    /// The channel of a parked init, until that exists.
    pub(crate) parking: Option<OwnedFd>,
    /// The builder of a parked init, until the root is made.
    builder: Option<Builder>,
}

/// The process that makes the root of a parked init.
#[derive(Debug)]
struct Builder {
    pidfd: OwnedFd,
    channel: OwnedFd,
}

/// What a new process reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has forked; from now on, the [`Child`] stands for the forked process.
    Born,
    /// The environment is made; it waits for [`Child::proceed`] while the host's side runs hooks.
    Hooks,
    /// Its seccomp filter has a listener, the descriptor of this number in the process; it waits
    /// for [`Child::proceed`].
    Listener(i32),
    /// It is ready to wait for `start`, or to execute the program.
    Ready,
    /// The channel is closed, as by a successful execve.
    Closed,
}

impl Child {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd, channel: OwnedFd, is_intermediate: bool) -> Self {
        Self { pid, pidfd, channel, is_intermediate, is_seen: false, parking: None, builder: None }
    }

    /// Whether this is the intermediate process, which announces the process itself by
    /// [`Event::Born`].
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.is_intermediate
    }

    /// Lets the process go on; an init enters its v1 cgroups by these `tasks` files.
    pub fn release(&self, entry_files: &[BorrowedFd]) -> Result<(), Error> {
        self.tell(Kind::Go, entry_files)
    }

    /// Copies the descriptor `number` of the process (`pidfd_getfd(2)`).
    pub fn descriptor(&self, number: i32) -> Result<OwnedFd, Error> {
        process::pidfd_getfd(&self.pidfd, number)
            .map_err(|errno| Error::call("fetching the seccomp listener from init", errno))
    }

    /// Lets the process go on after the host's hooks have run, or the caller has fetched the
    /// listener.
    pub fn proceed(&self) -> Result<(), Error> {
        match &self.builder {
            Some(builder) => tell(builder.channel.as_fd(), Kind::Continue, 0, &[]),
            None => self.tell(Kind::Continue, &[]),
        }
    }

    /// Waits for the next report. A failure of the process is an error.
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
            // The parent runs no hooks at the word of a process that others can trace.
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

    /// [`Self::receive`] of an intermediate process, whose end is the end of the talk: what it has forked
    /// holds the channel open, and waits for us.
    pub(crate) fn receive_while_alive(&self) -> Result<Option<Message>, Error> {
        let failed = |errno| Error::call("talking to init", errno);
        let of = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
        let mut polled = [of(self.channel.as_fd()), of(self.pidfd.as_fd())];
        process::poll(&mut polled, PollTimeout::NONE).map_err(failed)?;
        // It may have sent its last message and ended between the looks at the two.
        let last = process::poll(&mut [of(self.channel.as_fd())], PollTimeout::ZERO);
        if last.map_err(failed)? > 0 { self.receive() } else { Ok(None) }
    }

    /// Stands for `pid` from now on, which the intermediate process has forked as a child of rind.
    ///
    /// A process that can trace the new one may send anything over the channel, so this accepts
    /// `pid` only if it is a child of rind.
    pub(crate) fn become_born(&mut self, pid: i32, plan: &impl ProcessPlan) -> Result<(), Error> {
        let before = self.replace(pid)?;
        self.is_seen = plan.spec().forks_last;
        reap(&before)?;
        self.set_scheduler(plan)
    }

    /// Stands for the parked init that `forker`, a child of rind, forks; `forker` ends then. The
    /// process that this stood for so far becomes the builder.
    fn become_parked(&mut self, forker: i32, plan: &impl ProcessPlan) -> Result<(), Error> {
        let failed = |errno| Error::call("looking after a child's child", errno);
        let forker = process::pidfd_open(forker).map_err(failed)?;
        let parking = self.parking.take().ok_or_else(|| failed(Errno::EPROTO))?;
        let channel = std::mem::replace(&mut self.channel, parking);
        let born = match self.receive()? {
            Some(Message { kind: Kind::Born, index, .. }) => Ok(index.cast_signed()),
            Some(Message { fault: Some(fault), .. }) => Err(start_failed(plan, &fault)),
            Some(_) => Err(failed(Errno::EPROTO)),
            None => Err(Error::new("init was killed before it could run the program")),
        };
        reap(&forker)?;
        let pidfd = self.replace(born?)?;
        self.is_seen = true;
        let builder = self.builder.insert(Builder { pidfd, channel });
        let inside = own_pid(&self.pidfd)?;
        tell(builder.channel.as_fd(), Kind::Continue, inside.cast_unsigned(), &[])?;
        self.set_scheduler(plan)
    }

    /// Stands for the child `pid` from now on; returns the previous pidfd.
    fn replace(&mut self, pid: i32) -> Result<OwnedFd, Error> {
        let failed = |errno| Error::call("looking after a child's child", errno);
        let pidfd = process::pidfd_open(pid).map_err(|errno| {
            // Nobody else would ever end it.
            process::end_child(pid);
            failed(errno)
        })?;
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

    /// The failure that the process reported before it ended, if it did. It explains why rind could
    /// not do something for the process: systemd, for one, removes the cgroup with it.
    pub fn last_words(&mut self, plan: &impl ProcessPlan) -> Option<Error> {
        let mut polled = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        let has_report = matches!(process::poll(&mut polled, PollTimeout::ZERO), Ok(1..));
        if has_report { self.next(plan).err() } else { None }
    }

    /// Why the process, which the error calls `name`, ended without a report. Reaps it. If SIGKILL
    /// has killed it, `killer` may say who sent that.
    #[must_use]
    pub fn explain_death(
        &self,
        name: &str,
        killer: impl FnOnce() -> Option<&'static str>,
    ) -> Error {
        self.abandon();
        // As long as there is a builder, only that can end unexpectedly.
        let builder = self.builder.as_ref().map(|builder| process::wait(&builder.pidfd));
        let process = process::wait(&self.pidfd);
        let ended = builder.unwrap_or(process);
        // An intermediate process that exits with 0 has forked the process, which then reported
        // nothing.
        let vanished = self.is_intermediate && ended == Ok(Ended::Exited(0));
        Error::new(match ended {
            Ok(_) if vanished || ended == Ok(Ended::Killed(9)) => {
                let text = format!("{name} was killed by SIGKILL before it could run the program");
                match killer() {
                    Some(killer) => format!("{text}: {killer}"),
                    None => text,
                }
            }
            Ok(Ended::Killed(signal)) => return killed(name, signal),
            Ok(Ended::Exited(status)) => format!("{name} exited with status {status}"),
            Err(errno) => {
                format!("{name} is gone, and waiting for it failed: {}", sys::errno_text(errno))
            }
        })
    }

    /// Kills the process, and with it what it has made. The caller reaps it.
    pub fn abandon(&self) {
        // It fails only if the process has ended already.
        for pidfd in self.pidfds() {
            let _ = process::pidfd_send_signal(pidfd, SIGKILL);
        }
    }

    /// Kills and reaps the process.
    pub fn end(&self) {
        self.abandon();
        for pidfd in self.pidfds() {
            // Somebody may have reaped it already.
            let _ = process::wait(pidfd);
        }
    }

    /// The pidfds of the process and of its builder.
    fn pidfds(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.pidfd).chain(self.builder.as_ref().map(|builder| &builder.pidfd))
    }

    pub(crate) fn tell(&self, kind: Kind, descriptors: &[BorrowedFd]) -> Result<(), Error> {
        tell(self.channel.as_fd(), kind, 0, descriptors)
    }
}

/// Waits for the end of a process that has done its work; how it ended doesn't matter.
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

/// The pid of a process in its own pid namespace, from the fdinfo of its pidfd
/// (`proc_pid_fdinfo(5)`).
fn own_pid(pidfd: &OwnedFd) -> Result<i32, Error> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::new(format!("reading {path}: {}", sys::answer(&error))))?;
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let last = numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
    last.ok_or_else(|| Error::new(format!("{path} has no pid: {text:?}")))
}

/// Why the program doesn't run, in the words that callers know from runc.
pub(crate) fn start_failed(plan: &impl ProcessPlan, fault: &Fault) -> Error {
    let error = plan.fault_error(fault);
    let error = match fault.stage {
        Stage::ProgramNotInPath | Stage::Program | Stage::Exec => error,
        _ => error.within("error during container init"),
    };
    error.within("unable to start container process")
}

/// The error that a signal has ended the process before it could execute the program.
fn killed(name: &str, signal: i32) -> Error {
    let signal_name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
    let error = Error::new(format!("{name} was killed by signal {signal}")).because(signal_name);
    if signal == Signal::SIGSYS as i32 {
        let cause = "linux.seccomp forbids a call that the start of a program needs";
        let hint = "have it answer SCMP_ACT_ERRNO, or allow execve, read, write, close and what a \
            program's loader calls; the kernel's log (dmesg, auditd) may have the call's number";
        return error.because(cause).with_object("linux.seccomp").with_hint(Some(hint));
    }
    error.with_hint(Some(
        "somebody has sent it, or a limit has: see process.rlimits and the kernel's log",
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nobody_but_a_child_is_believed_to_be_the_process() {
        let mut sleeping = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = sleeping.id().cast_signed();
        let (channel, _other) = message::channel().unwrap();
        let mut child = Child::new(pid, process::pidfd_open(pid).unwrap(), channel, true);
        // Init of this pid namespace, and the process itself.
        for other in [1, pid] {
            let error = child.replace(other).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ECHILD), "{other}");
            assert_eq!(child.pid, pid);
        }
        sleeping.kill().unwrap();
        sleeping.wait().unwrap();
    }
}
