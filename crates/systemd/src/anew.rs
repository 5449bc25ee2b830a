//! A systemd that executes itself anew, as by `systemctl daemon-reexec` or an update of its package.
//!
//! It leaves the bus for a moment and comes back by another name of the bus's. A call that it had not
//! answered is made again, and has its whole time again. Of a job that was under way its successor is
//! asked, which has taken it over: the signal of its end may have come while nobody was subscribed.

use crate::address::has_manager;
use crate::bus::{Connection, Deadline, bus_call};
use crate::wire::{Call, Kind, Message};
use crate::{
    Error, JOB_REMOVED, Job, Manager, NAME, Property, Purpose, Result, Task, Value, manager_call,
    property_call, text,
};
use std::time::Duration;
use sys::nix::poll::{PollTimeout, poll};

/// How often one is followed: more often it doesn't execute itself anew, but dies.
const MOST: u32 = 5;

/// The signal that tells who has systemd's name.
const OWNER_CHANGED: &str = "type='signal',sender='org.freedesktop.DBus',\
    path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',\
    member='NameOwnerChanged',arg0='org.freedesktop.systemd1'";

/// The bus's own name, which nobody else's messages have.
const BUS: &str = "org.freedesktop.DBus";

/// What is heard while a job is waited for.
enum Heard {
    /// It has ended, with this result.
    Ended(String),
    /// systemd has this name now, or for the moment none.
    Owner(String),
}

impl Manager {
    /// Calls; again, if systemd went away with the question.
    pub(crate) fn ask(&mut self, call: &Call, deadline: Deadline) -> Result<Message> {
        self.ask_after(None, call, deadline)
    }

    /// Calls a method that starts a job, each time after `before`, whose answer is nobody's business.
    pub(crate) fn start_job(
        &mut self,
        before: Option<&Call>,
        member: &str,
        arguments: &[Value],
        task: &Task,
    ) -> Result<Job> {
        self.connection.subscribe(&[JOB_REMOVED, OWNER_CHANGED]);
        let call = manager_call(member, arguments);
        let reply = self.ask_after(before, &call, task.deadline)?;
        let path = reply.values().text();
        let path = path.ok_or_else(|| Error::new(format!("{member} has told no job")))?;
        Ok(Job { path, sender: reply.sender })
    }

    fn ask_after(
        &mut self,
        before: Option<&Call>,
        call: &Call,
        mut deadline: Deadline,
    ) -> Result<Message> {
        loop {
            if let Some(before) = before {
                self.connection.queue(before);
            }
            match self.connection.call(call, deadline) {
                Err(error) if self.may_come_back(&error) => {
                    deadline = self.await_return(error, deadline)?;
                }
                other => return other,
            }
        }
    }

    /// Waits for the end of a job; gives its result, such as `done`.
    pub(crate) fn wait_for_job(&mut self, mut job: Job, task: &Task) -> Result<String> {
        let what = format!("{} {}", task.purpose.words().1, task.unit);
        let mut deadline = task.deadline;
        loop {
            // Jobs end in any order, and before their own beginning is answered.
            let heard = |message: &Message| heard(message, &job);
            match self.connection.wait_for_signal(deadline, &what, &heard) {
                Ok(Heard::Ended(result)) => return Ok(result),
                Ok(Heard::Owner(nobody)) if nobody.is_empty() => continue,
                Ok(Heard::Owner(_)) if self.interruptions < MOST => {
                    self.interruptions += 1;
                    deadline = Deadline::after(self.patience);
                }
                // It dies again and again, and has no more time for that.
                Ok(Heard::Owner(_)) => {}
                Err(error) if self.connection.is_private() && self.may_come_back(&error) => {
                    deadline = self.await_return(error, deadline)?;
                }
                Err(error) => return Err(error),
            }
            match self.resume(task)? {
                Stands::Ended(result) => return Ok(result),
                Stands::Waiting(successor) => job = successor,
            }
        }
    }

    /// Whether a unit of that name is what a call of ours has made, the answer to which was lost: it
    /// has our process. Waits for a job of the unit first.
    pub(crate) fn is_of(&mut self, properties: &[Property], task: &Task) -> Result<bool> {
        let Some(pid) = first_pid(properties).filter(|_| self.interruptions > 0) else {
            return Ok(false);
        };
        if let Stands::Waiting(job) = self.resume(task)? {
            self.wait_for_job(job, task)?;
        }
        let mut path = |member, argument: Value| match self.call(member, &[argument], task.deadline)
        {
            Ok(reply) => Ok(reply.values().text()),
            Err(error) if error.name().is_some() => Ok(None),
            Err(error) => Err(error),
        };
        let unit = path("GetUnit", text(task.unit))?;
        Ok(unit.is_some() && unit == path("GetUnitByPID", Value::U32(pid))?)
    }

    /// Whether an error means that systemd is away, and may come back.
    fn may_come_back(&self, error: &Error) -> bool {
        let is_closed = error.is_closed()
            // That a bus has closed a connection says nothing of systemd.
            && (self.connection.is_private() || error.name().is_some());
        (is_closed || (error.is_nobody_there() && has_manager(self.bus)))
            && self.interruptions < MOST
    }

    /// Waits until systemd can be asked again; gives how long that may take then.
    fn await_return(&mut self, error: Error, deadline: Deadline) -> Result<Deadline> {
        self.interruptions += 1;
        if self.connection.is_private() {
            self.reconnect(error, deadline)?;
        } else {
            self.await_owner(error, deadline)?;
        }
        Ok(Deadline::after(self.patience))
    }

    /// Waits until somebody has systemd's name on the bus.
    fn await_owner(&mut self, error: Error, deadline: Deadline) -> Result<()> {
        self.connection.subscribe(&[JOB_REMOVED, OWNER_CHANGED]);
        match self.connection.call(&bus_call("GetNameOwner", &[text(NAME)]), deadline) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_nobody_there() => {}
            Err(error) => return Err(error),
        }
        let came = |message: &Message| owner(message).filter(|name| !name.is_empty());
        let came = self.connection.wait_for_signal(deadline, "come back to its bus", &came);
        came.map(drop).map_err(|late| if late.is_timeout() { error } else { late })
    }

    /// Connects to systemd itself again. Nothing tells when it listens.
    fn reconnect(&mut self, error: Error, deadline: Deadline) -> Result<()> {
        loop {
            match Connection::open(self.bus, deadline.left()) {
                Ok(connection) => {
                    self.connection = connection;
                    return Ok(());
                }
                Err(_) if deadline.left() > Duration::ZERO => {
                    // A signal only makes it sooner.
                    let _ = poll(&mut [], PollTimeout::from(1_u8));
                }
                Err(_) => return Err(error),
            }
        }
    }

    /// How the task stands with a systemd that has taken it over. From here on it tells us the ends
    /// of all jobs.
    fn resume(&mut self, task: &Task) -> Result<Stands> {
        let deadline = Deadline::after(self.patience);
        match self.call("Subscribe", &[], deadline) {
            // It was asked before, as it executed itself anew.
            Err(error) if error.name().is_none() => return Err(error),
            _ => {}
        }
        let path = match self.call("GetUnit", &[text(task.unit)], deadline) {
            Ok(reply) => reply.values().text().unwrap_or_default(),
            Err(error) if error.is_no_such_unit() => return Ok(task.ended_as("inactive")),
            Err(error) => return Err(error),
        };
        let mut get = |name| {
            let arguments = [text("org.freedesktop.systemd1.Unit"), text(name)];
            self.ask(&property_call(&path, &arguments), deadline)
        };
        // The job first: once there is none, the state is what it has come to.
        let reply = get("Job")?;
        if let Some((1.., path)) = reply.values().job_in_variant() {
            return Ok(Stands::Waiting(Job { path, sender: reply.sender }));
        }
        let state = get("ActiveState")?.values().text_in_variant();
        Ok(task.ended_as(&state.unwrap_or_default()))
    }
}

/// How a task stands.
enum Stands {
    Waiting(Job),
    Ended(String),
}

impl Task<'_> {
    /// The result of a job that has left the unit in `state`.
    fn ended_as(&self, state: &str) -> Stands {
        let is_done = match self.purpose {
            Purpose::Start => state == "active",
            Purpose::Stop => matches!(state, "inactive" | "failed"),
        };
        Stands::Ended(if is_done { "done" } else { state }.to_owned())
    }
}

/// What a signal says of a job. Anybody may send one that looks just like systemd's or the bus's.
fn heard(message: &Message, job: &Job) -> Option<Heard> {
    if let Some(owner) = owner(message) {
        return Some(Heard::Owner(owner));
    }
    if message.kind != Kind::Signal("JobRemoved".to_owned()) || message.sender != job.sender {
        return None;
    }
    let mut values = message.values();
    let (_id, ended, _unit, result) =
        (values.u32()?, values.text()?, values.text()?, values.text()?);
    (ended == job.path).then_some(Heard::Ended(result))
}

/// Who has systemd's name now, if a signal of the bus says that.
fn owner(message: &Message) -> Option<String> {
    if message.kind != Kind::Signal("NameOwnerChanged".to_owned()) || message.sender != BUS {
        return None;
    }
    let mut values = message.values();
    let (name, _old, new) = (values.text()?, values.text()?, values.text()?);
    (name == NAME).then_some(new)
}

/// The first process that a scope is made of.
fn first_pid(properties: &[Property]) -> Option<u32> {
    let pids = properties.iter().find(|property| property.name == "PIDs")?;
    let Value::Array { items, .. } = &pids.value else { return None };
    items.iter().find_map(|item| if let Value::U32(pid) = item { Some(*pid) } else { None })
}
