//! Asking systemd's manager for units, over D-Bus (org.freedesktop.systemd1(5)).
//!
//! [`Manager`] is one connection, of which every operation ends in time: a manager that doesn't
//! answer is an error, not a wait. There are no threads, and nothing is asked that could be told:
//! the way in, the subscription and the first call go out together. One that executes itself anew
//! (`systemctl daemon-reexec`, an update) is waited for, and asked again (`anew.rs`).

mod address;
mod anew;
mod annotation;
mod bus;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod name;
mod wire;

pub use annotation::annotation;
pub use error::Error;
pub use name::{check_unit_name, slice_path};
pub use wire::Value;

use bus::{Connection, Deadline};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use wire::{Call, Message};

/// What a function of this crate gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose systemd is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// The system's.
    System,
    /// That of the user who asks.
    User,
}

/// A property of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name on the bus, such as `MemoryMax`.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl Property {
    /// The property `name`.
    pub fn new(name: impl Into<String>, value: Value) -> Self {
        Self { name: name.into(), value }
    }

    /// As calls have it, `(sv)`.
    fn to_value(&self) -> Value {
        Value::Struct(vec![text(&self.name), Value::Variant(Box::new(self.value.clone()))])
    }
}

/// A systemd that can be asked.
#[derive(Debug)]
pub struct Manager {
    connection: Connection,
    bus: Bus,
    patience: Duration,
    /// How often it went away with a question.
    interruptions: u32,
}

impl Manager {
    /// Connects to the systemd of `bus`; what is asked of it takes at most `patience` each.
    ///
    /// That nobody listens is an error. Whether it's one who answers shows with the first question.
    pub fn connect(bus: Bus, patience: Duration) -> Result<Self> {
        Ok(Self::new(Connection::open(bus, patience)?, bus, patience))
    }

    fn new(connection: Connection, bus: Bus, patience: Duration) -> Self {
        Self { connection, bus, patience, interruptions: 0 }
    }

    /// Starts the transient scope `unit`, and waits until it is there. `properties` has the
    /// processes that it is made of, `PIDs`.
    ///
    /// A unit of that name that has failed before gives way. A scope that systemd has begun to make
    /// and that isn't there in time is told to stop. If systemd hasn't even answered, the unit may be
    /// somebody else's, and is left: a scope whose processes have ended by then doesn't come to be.
    pub fn start_scope(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let deadline = Deadline::after(self.patience);
        let task = Task { unit, purpose: Purpose::Start, deadline };
        let arguments = [text(unit), text("fail"), list(properties), no_more_units()];
        let job = match self.start_job(None, "StartTransientUnit", &arguments, &task) {
            Err(error) if error.is_unit_exists() && self.is_of(properties, &task)? => return Ok(()),
            Err(error) if error.is_unit_exists() => {
                // What fails here fails again in a moment.
                let reset = [text(unit)];
                let reset = manager_call("ResetFailedUnit", &reset);
                self.start_job(Some(&reset), "StartTransientUnit", &arguments, &task)
            }
            started => started,
        }?;
        let ended = self.wait_for_job(job, &task);
        let result = ended.inspect_err(|_| {
            // It may come to it later.
            let stop = [text(unit), text("replace")];
            let _ = self.connection.tell(&manager_call("StopUnit", &stop));
        })?;
        self.check_result(&task, &result)
    }

    /// Stops `unit` with all its processes, by SIGKILL, and waits until it has; that there is no
    /// such unit is no error. Nothing is kept of one that has failed.
    pub fn stop(&mut self, unit: &str) -> Result<()> {
        const SIGKILL: i32 = 9;
        let deadline = Deadline::after(self.patience);
        let task = Task { unit, purpose: Purpose::Stop, deadline };
        let kill = [text(unit), text("all"), Value::I32(SIGKILL)];
        let kill = manager_call("KillUnit", &kill);
        let arguments = [text(unit), text("replace")];
        match self.start_job(Some(&kill), "StopUnit", &arguments, &task) {
            Ok(job) => {
                let result = self.wait_for_job(job, &task)?;
                self.check_result(&task, &result)?;
            }
            Err(error) if error.is_no_such_unit() => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.call("ResetFailedUnit", &[text(unit)], deadline) {
            Err(error) if !error.is_no_such_unit() => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets properties of a unit that is there, for as long as it is: all of them, or none.
    pub fn set_properties(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let deadline = Deadline::after(self.patience);
        let arguments = [text(unit), Value::Bool(true), list(properties)];
        self.call("SetUnitProperties", &arguments, deadline).map(drop)
    }

    /// Moves a process into the cgroup of `unit`, or the one `below` it (`a/b`; empty for none).
    pub fn attach(&mut self, unit: &str, below: &str, pid: u32) -> Result<()> {
        let deadline = Deadline::after(self.patience);
        let below = if below.is_empty() { String::new() } else { format!("/{below}") };
        let pids = Value::Array { element: "u".to_owned(), items: vec![Value::U32(pid)] };
        let arguments = [text(unit), text(&below), pids];
        self.call("AttachProcessesToUnit", &arguments, deadline).map(drop)
    }

    /// The version of systemd: 252 for `252.39-1~deb12u1`.
    pub fn version(&mut self) -> Result<u32> {
        let version = self.property("Version")?;
        let digits = version.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        let number = digits.get(..end).and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| Error::new(format!("systemd's version is no number: {version:?}")))
    }

    /// The cgroup that holds all units of the manager, from the root: `/user.slice/...`.
    pub fn control_group(&mut self) -> Result<String> {
        self.property("ControlGroup")
    }

    /// A property of the manager that is a text.
    fn property(&mut self, name: &str) -> Result<String> {
        let arguments = [text("org.freedesktop.systemd1.Manager"), text(name)];
        let reply =
            self.ask(&property_call(MANAGER, &arguments), Deadline::after(self.patience))?;
        let value = reply.values().text_in_variant();
        value.ok_or_else(|| Error::new(format!("systemd's {name} is no text")))
    }

    /// Calls a method of the manager.
    fn call(&mut self, member: &str, arguments: &[Value], deadline: Deadline) -> Result<Message> {
        self.ask(&manager_call(member, arguments), deadline)
    }

    /// An error unless a job has come to what it was for.
    fn check_result(&self, task: &Task, result: &str) -> Result<()> {
        if result == "done" {
            return Ok(());
        }
        let whose = if self.bus == Bus::User { " --user" } else { "" };
        let (unit, what) = (task.unit, task.purpose.words().0);
        Err(Error::new(format!(
            "the job to {what} {unit} has ended as {result:?} (see `systemctl{whose} status {unit}`, \
             and the journal)"
        )))
    }
}

/// What is to be done with a unit, and until when.
struct Task<'a> {
    unit: &'a str,
    purpose: Purpose,
    deadline: Deadline,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Start,
    Stop,
}

impl Purpose {
    /// To do it, and having done it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("start", "started"),
            Self::Stop => ("stop", "stopped"),
        }
    }
}

/// What systemd is about to do.
struct Job {
    path: String,
    /// systemd's own name on the bus, so that it can be believed.
    sender: String,
}

/// The signal that tells the end of a job. It's sent to who has started the job, without a call of
/// Subscribe, and to all who have called that.
const JOB_REMOVED: &str = "type='signal',sender='org.freedesktop.systemd1',\
    path='/org/freedesktop/systemd1',interface='org.freedesktop.systemd1.Manager',\
    member='JobRemoved'";

/// systemd's name on the bus.
const NAME: &str = "org.freedesktop.systemd1";

/// The manager among its objects.
const MANAGER: &str = "/org/freedesktop/systemd1";

fn manager_call<'a>(member: &'a str, arguments: &'a [Value]) -> Call<'a> {
    let interface = "org.freedesktop.systemd1.Manager";
    Call { destination: NAME, path: MANAGER, interface, member, arguments }
}

/// Asks the object at `path` for a property; `arguments` are its interface and its name.
fn property_call<'a>(path: &'a str, arguments: &'a [Value]) -> Call<'a> {
    let interface = "org.freedesktop.DBus.Properties";
    Call { destination: NAME, path, interface, member: "Get", arguments }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn list(properties: &[Property]) -> Value {
    let items = properties.iter().map(Property::to_value).collect();
    Value::Array { element: "(sv)".to_owned(), items }
}

/// Units that are started beside a transient one.
fn no_more_units() -> Value {
    Value::Array { element: "(sa(sv))".to_owned(), items: Vec::new() }
}

#[cfg(test)]
mod tests;
