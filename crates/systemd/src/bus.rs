//! A connection: the way in, calls and their answers, and signals, all of it in time.

use crate::address::{Address, addresses};
use crate::wire::{self, Call, Kind, Message};
use crate::{Bus, Error, Result, Value};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::socket::{MsgFlags, SockType, recv, send};
use sys::{Errno, socket};

/// The beginning: the kernel says who we are, so that we needn't (what we'd say would be wrong in a
/// user namespace), and nothing is waited for.
const WAY_IN: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

/// The longest line on the way in.
const LONGEST_LINE: usize = 4 << 10;

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// How long something may take, and until when that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    pub(crate) fn after(patience: Duration) -> Self {
        Self { at: Instant::now() + patience, patience }
    }

    /// What is left of it.
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// A connection to a bus, or to systemd itself.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// What messages are about.
    name: String,
    /// Whether systemd itself is at the other end: then messages have no destination.
    is_private: bool,
    /// What goes out with the next message.
    output: Vec<u8>,
    /// What has come and is not read yet.
    input: Vec<u8>,
    is_let_in: bool,
    serial: u32,
    /// The calls that signals were asked for by.
    subscriptions: Vec<u32>,
    /// Why no signals will come.
    deafness: Option<Error>,
    /// Signals that nobody has waited for yet.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects to whoever listens. Nothing is sent before the first call.
    pub(crate) fn open(bus: Bus, patience: Duration) -> Result<Self> {
        // It's told in whole seconds, and none would be no end.
        let seconds = patience.as_secs() + u64::from(patience.subsec_nanos() > 0);
        let patience = Duration::from_secs(seconds.max(1));
        let mut first = None;
        for address in addresses(bus) {
            match socket::connect_within(
                SockType::Stream,
                &address.path,
                address.is_abstract,
                patience,
            ) {
                Ok(socket) => return Ok(Self::new(socket, &address)),
                Err(errno) => {
                    first.get_or_insert((address, errno));
                }
            }
        }
        Err(match first {
            Some((address, Errno::EAGAIN)) => {
                let name = address.shown();
                Error::timeout(format!("{name} has taken no connection within {patience:?}"))
            }
            Some((address, errno)) => {
                Error::kernel(format!("connecting to {}", address.shown()), errno)
            }
            None => Error::new("the address of its bus is none of a unix socket"),
        })
    }

    pub(crate) fn new(socket: OwnedFd, address: &Address) -> Self {
        let mut connection = Self {
            socket,
            name: address.shown(),
            is_private: address.is_private,
            output: WAY_IN.to_vec(),
            input: Vec::new(),
            is_let_in: false,
            serial: 0,
            subscriptions: Vec::new(),
            deafness: None,
            signals: Vec::new(),
        };
        if !address.is_private {
            connection.queue(&bus_call("Hello", &[]));
        }
        connection
    }

    /// Whether systemd itself is at the other end, and no bus.
    pub(crate) fn is_private(&self) -> bool {
        self.is_private
    }

    /// Has signals come that one of `rules` describes. systemd itself sends them unasked.
    pub(crate) fn subscribe(&mut self, rules: &[&str]) {
        if self.is_private || !self.subscriptions.is_empty() {
            return;
        }
        for &rule in rules {
            let call = self.queue(&bus_call("AddMatch", &[Value::Text(rule.to_owned())]));
            self.subscriptions.push(call);
        }
    }

    /// Has a call go out with the next one; its answer is nobody's business. Gives its number.
    pub(crate) fn queue(&mut self, call: &Call) -> u32 {
        self.serial += 1;
        let call =
            Call { destination: if self.is_private { "" } else { call.destination }, ..*call };
        self.output.extend(call.message(self.serial));
        self.serial
    }

    /// Sends a call as far as that takes no time; its answer is nobody's business.
    pub(crate) fn tell(&mut self, call: &Call) -> Result<()> {
        self.queue(call);
        self.flush(Deadline::after(Duration::ZERO))
    }

    /// Sends a call and waits for its answer.
    pub(crate) fn call(&mut self, call: &Call, deadline: Deadline) -> Result<Message> {
        // What has been signalled before isn't about this call.
        self.signals.clear();
        let serial = self.queue(call);
        self.flush(deadline)?;
        let what = format!("answered {}", call.member);
        loop {
            let message = self.receive(deadline, &what)?;
            match &message.kind {
                Kind::Return(to) if *to == serial => return Ok(message),
                Kind::Error(to, _) if *to == serial => return Err(answer(&message)),
                _ => self.keep(message)?,
            }
        }
    }

    /// Waits for a signal that `wanted` gives something for; those that have come since the last
    /// call count. Anybody on the bus may send us one that looks just like systemd's, so its sender
    /// has to be looked at.
    pub(crate) fn wait_for_signal<T>(
        &mut self,
        deadline: Deadline,
        what: &str,
        wanted: &dyn Fn(&Message) -> Option<T>,
    ) -> Result<T> {
        loop {
            while !self.signals.is_empty() {
                // What came after it is left for the next who waits.
                if let Some(found) = wanted(&self.signals.remove(0)) {
                    return Ok(found);
                }
            }
            if let Some(deafness) = &self.deafness {
                return Err(deafness.clone());
            }
            let message = self.receive(deadline, what)?;
            self.keep(message)?;
        }
    }

    /// Keeps what a message that is no answer to a call at hand tells.
    fn keep(&mut self, message: Message) -> Result<()> {
        match &message.kind {
            // A bus that doesn't let us in says so to the Hello.
            Kind::Error(1, _) if !self.is_private => return Err(answer(&message)),
            Kind::Error(to, _) if self.subscriptions.contains(to) => {
                self.deafness = Some(answer(&message));
            }
            Kind::Signal(_) => self.signals.push(message),
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, deadline: Deadline) -> Result<()> {
        while !self.output.is_empty() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.socket.as_raw_fd(), &self.output, flags) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(Errno::EAGAIN) => {
                    self.wait(PollFlags::POLLOUT, deadline, "taken what it is told")?;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.failed("writing to", errno)),
            }
        }
        Ok(())
    }

    fn failed(&self, what: &str, errno: Errno) -> Error {
        Error::kernel(format!("{what} {}", self.name), errno)
    }

    /// The next message.
    fn receive(&mut self, deadline: Deadline, what: &str) -> Result<Message> {
        loop {
            if !self.is_let_in {
                self.is_let_in = self.read_welcome()?;
            }
            if self.is_let_in
                && let Some(message) = self.read_message()?
            {
                return Ok(message);
            }
            self.wait(PollFlags::POLLIN, deadline, what)?;
            let mut chunk = [0; CHUNK];
            match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => {
                    let name = &self.name;
                    return Err(Error::closed(format!(
                        "{name} has closed the connection before it has {what}"
                    )));
                }
                Ok(count) => self.input.extend(chunk.get(..count).unwrap_or_default()),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(self.failed("reading from", errno)),
            }
        }
    }

    /// Reads the lines that come before messages; whether it was the last.
    fn read_welcome(&mut self) -> Result<bool> {
        while let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = self.input.drain(..end + 2).collect();
            let line = String::from_utf8_lossy(&line);
            match line.split_whitespace().next() {
                Some("OK") => return Ok(true),
                Some("DATA") => {}
                _ => {
                    let (name, line) = (&self.name, line.trim_end());
                    return Err(Error::new(format!("{name} does not let us in: {line:?}")));
                }
            }
        }
        if self.input.len() > LONGEST_LINE {
            return Err(Error::new(format!("{} is no bus: its first line has no end", self.name)));
        }
        Ok(false)
    }

    fn read_message(&mut self) -> Result<Option<Message>> {
        let nonsense = |why| Error::new(format!("reading from {}: {why}", self.name));
        let length = wire::message_length(&self.input).map_err(nonsense)?;
        let Some(length) = length.filter(|&length| self.input.len() >= length) else {
            return Ok(None);
        };
        let message = wire::read(self.input.get(..length).unwrap_or_default()).map_err(nonsense)?;
        self.input.drain(..length);
        Ok(Some(message))
    }

    fn wait(&self, events: PollFlags, deadline: Deadline, what: &str) -> Result<()> {
        loop {
            let left = deadline.left();
            // Whole milliseconds, so that none are left at the end.
            let timeout = PollTimeout::try_from(left + Duration::from_micros(999));
            let mut polled = [PollFd::new(self.socket.as_fd(), events)];
            match poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX)) {
                Ok(0) if Instant::now() >= deadline.at => {
                    let patience = deadline.patience;
                    return Err(Error::timeout(format!(
                        "systemd has not {what} within {patience:?}; it may be overloaded, or hang \
                         (see `systemctl list-jobs`, and the journal)"
                    )));
                }
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(self.failed("waiting for", errno)),
            }
        }
    }
}

/// What a message that is an error says.
fn answer(message: &Message) -> Error {
    let Kind::Error(_, name) = &message.kind else { return Error::new("no error") };
    Error::answer(name, &message.values().text().unwrap_or_default())
}

/// A call of the bus itself.
pub(crate) fn bus_call<'a>(member: &'a str, arguments: &'a [Value]) -> Call<'a> {
    Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member,
        arguments,
    }
}
