//! criu(8) by its RPC: we start a process `criu swrk`, and send it one request over a socket.
//!
//! [`Options`] say what criu is to do, [`check`] whether a fit criu is there; [`Criu::carry_out`] sends
//! the request, and passes criu's notices on. The messages are those of criu's rpc.proto, whose numbers
//! are here and in `options.rs`. The crate must never know a container, nor believe what criu sends:
//! it reads messages up to a bound, and refuses what it can't parse.

mod options;
mod wire;

pub use options::{CgroupMode, Options, Switch};

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use sys::{Errno, socket};
use wire::{Value, Writer, fields};

/// Larger than any message of criu's, as each tells one thing.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// How much of criu's stderr we keep. With a request, criu writes to its log instead.
const KEPT_ERRORS: u32 = 64 * 1024;

/// Why criu failed, or could not be asked, in words.
#[derive(Debug)]
pub struct Error {
    words: String,
    /// What criu itself said.
    told: Option<String>,
    /// Whether criu itself failed, so that its log says why.
    is_in_log: bool,
}

impl Error {
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), told: None, is_in_log: false }
    }

    fn of_criu(words: impl Into<String>, told: &str) -> Self {
        let told = Some(told.trim()).filter(|told| !told.is_empty());
        Self { words: words.into(), told: told.map(str::to_owned), is_in_log: true }
    }

    fn call(what: &str, errno: Errno) -> Self {
        Self::new(format!("{what}: {}", sys::errno_text(errno)))
    }

    /// Whether criu itself failed, so that its log says more.
    #[must_use]
    pub fn is_in_log(&self) -> bool {
        self.is_in_log
    }

    /// The error without criu's own words, of which its log has more.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.words
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)?;
        self.told.as_ref().map_or(Ok(()), |told| write!(f, ": {told}"))
    }
}

impl std::error::Error for Error {}

impl From<Error> for sys::Error {
    fn from(error: Error) -> Self {
        Self::new(error.to_string())
    }
}

/// The numbers of `criu_req_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Write the processes to images, and end them unless [`Switch::LeaveRunning`] is on.
    Dump = 1,
    /// Make the processes from their images.
    Restore = 2,
    /// Write only their memory to images, and let them run on.
    PreDump = 4,
}

const NOTIFY: u64 = 6;
const FEATURE_CHECK: u64 = 9;
const VERSION: u64 = 10;

/// A feature that criu or the kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Telling which memory has changed since the last dump (`CONFIG_MEM_SOFT_DIRTY`).
    MemTrack = 1,
    /// Fetching memory when a process uses it (userfaultfd).
    LazyPages = 2,
}

impl Feature {
    fn remedy(self) -> &'static str {
        match self {
            Self::MemTrack => {
                "can't track changes of memory here (the kernel needs CONFIG_MEM_SOFT_DIRTY)"
            }
            Self::LazyPages => {
                "can't fetch memory lazily here (the kernel needs CONFIG_USERFAULTFD, and \
                 vm.unprivileged_userfaultfd or root)"
            }
        }
    }
}

/// The version of a criu.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: i32,
    /// The second number.
    pub minor: i32,
}

impl Version {
    /// Whether a restored process has `no_new_privs` if it had it at the dump.
    #[must_use]
    pub fn keeps_no_new_privs(self) -> bool {
        self >= Self { major: 3, minor: 19 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The oldest version with everything that this crate asks for: external pid namespaces, the notice
/// `status-ready`, the freezer of cgroup v2, security labels.
const OLDEST: Version = Version { major: 3, minor: 16 };

/// Whether `program`, a path or a name to look for in PATH, is a criu that is new enough and has
/// `features`; gives its version.
pub fn check(program: &Path, features: &[Feature]) -> Result<Version, Error> {
    let mut criu = Criu::start(program, Input::Nothing, &[])?;
    let version = criu.version()?;
    if version < OLDEST {
        let words = format!("criu {version} is too old: {OLDEST} is the oldest that will do");
        return Err(Error::new(words));
    }
    match features.iter().find(|feature| !criu.has(**feature).unwrap_or(false)) {
        Some(missing) => Err(Error::new(format!("criu {version} {}", missing.remedy()))),
        None => Ok(version),
    }
}

/// What criu gets as stdin, stdout and stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// /dev/null; we keep what it writes to stderr for the error, in case it dies.
    Nothing,
    /// Ours, which the restored processes then have too.
    Ours,
}

/// A notice of criu's, which waits for an answer.
#[derive(Debug)]
pub struct Notice {
    /// What criu is about to do, or has done (criu.org, Action scripts).
    pub script: String,
    /// The restored process, if there is one.
    pub pid: Option<i32>,
    /// The descriptor that comes with the notice: the terminal's master, for `orphan-pts-master`.
    pub descriptor: Option<OwnedFd>,
}

/// A criu process that waits for a request. Dropping this ends it.
#[derive(Debug)]
pub struct Criu {
    child: Child,
    channel: Option<OwnedFd>,
    stderr: Option<File>,
}

impl Criu {
    /// Starts `program`, which has `inherited` under the numbers that they have here. They are to be
    /// closed after this, or a later program would have them too.
    pub fn start(program: &Path, input: Input, inherited: &[OwnedFd]) -> Result<Self, Error> {
        let failed = |errno| Error::call("talking to criu", errno);
        let (ours, theirs) = socket::pair().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        let mut stderr = None;
        if input == Input::Nothing {
            let file = sys::fs::bounded_file(c"criu-stderr", KEPT_ERRORS).map_err(failed)?;
            let kept = stderr.insert(file).try_clone();
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(kept.map_err(|_| failed(Errno::EMFILE))?);
        }
        for descriptor in inherited.iter().chain([&theirs]) {
            sys::fs::keep_over_exec(descriptor).map_err(failed)?;
        }
        let child =
            sys::exec::spawn(&mut command).map_err(|error| cannot_start(program, &error))?;
        Ok(Self { child, channel: Some(ours), stderr })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Has `request` carried out. `answer` is called for everything that criu tells meanwhile; if it
    /// gives an error, criu takes back what it has done, and the error is given.
    ///
    /// Gives the pid of what was restored.
    pub fn carry_out<E: From<Error>>(
        mut self,
        request: Request,
        options: &Options,
        answer: &mut dyn FnMut(Notice) -> Result<(), E>,
    ) -> Result<Option<i32>, E> {
        let mut message = Writer::default();
        message.number(1, request as u32);
        message.message(2, &options.0);
        self.send(&message)?;
        let mut refused = None;
        let response = loop {
            let (response, descriptor) = self.receive()?;
            if response.kind != NOTIFY {
                break response;
            }
            let notice = Notice { script: response.script, pid: response.pid, descriptor };
            let answered = answer(notice);
            let mut message = Writer::default();
            message.number(1, NOTIFY);
            message.number(3, answered.is_ok());
            refused = refused.or(answered.err());
            self.send(&message)?;
        };
        let ended = self.end();
        match refused {
            Some(error) => Err(error),
            None if !response.success => Err(response.failure().into()),
            // After a pre-dump it waits for the next one, and that there is none it takes for an error.
            None if request != Request::PreDump => Ok(ended.map(|()| response.pid)?),
            None => Ok(None),
        }
    }

    fn version(&mut self) -> Result<Version, Error> {
        let mut message = Writer::default();
        message.number(1, VERSION);
        // More will be asked.
        message.number(4, true);
        self.send(&message)?;
        let (response, _) = self.receive()?;
        response.version.ok_or_else(|| response.failure())
    }

    fn has(&mut self, feature: Feature) -> Result<bool, Error> {
        let mut wanted = Writer::default();
        wanted.number(feature as u32, true);
        let mut message = Writer::default();
        message.number(1, FEATURE_CHECK);
        message.number(4, true);
        message.message(5, &wanted);
        self.send(&message)?;
        let (response, _) = self.receive()?;
        Ok(response.success && response.features.contains(&(feature as u32)))
    }

    fn send(&self, message: &Writer) -> Result<(), Error> {
        let Some(channel) = &self.channel else { return Err(Error::new("criu has ended")) };
        match socket::send(channel, message.as_bytes(), &[]) {
            // It is gone, and what is read next tells so.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            sent => sent.map_err(|errno| Error::call("talking to criu", errno)),
        }
    }

    fn receive(&mut self) -> Result<(Response, Option<OwnedFd>), Error> {
        let Some(channel) = &self.channel else { return Err(Error::new("criu has ended")) };
        let mut buffer = vec![0; LONGEST_MESSAGE];
        let (length, descriptors) = match socket::receive(channel.as_fd(), &mut buffer) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(self.death()),
            received => received.map_err(|errno| Error::call("talking to criu", errno))?,
        };
        let response = Response::read(buffer.get(..length).unwrap_or_default())?;
        Ok((response, descriptors.into_iter().next()))
    }

    /// Why it has ended without an answer, as far as it has said so.
    fn death(&mut self) -> Error {
        let text = self.stderr.as_ref().map(sys::fs::bounded_text).unwrap_or_default();
        let how = self.end().err().map(|error| error.words);
        let how = how.unwrap_or_else(|| "criu has ended".to_owned());
        Error::of_criu(format!("{how} without an answer"), text.lines().last().unwrap_or_default())
    }

    /// Lets it end, and waits for that.
    fn end(&mut self) -> Result<(), Error> {
        self.channel = None;
        let ended = self.child.wait();
        let status = ended
            .map_err(|error| Error::new(format!("waiting for criu: {}", sys::answer(&error))))?;
        if status.success() { Ok(()) } else { Err(failed_with(status)) }
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        // It ends when there is nobody to talk to; how, no longer matters.
        let _ = self.end();
    }
}

fn failed_with(status: ExitStatus) -> Error {
    Error::of_criu(format!("criu has failed ({status})"), "")
}

fn cannot_start(program: &Path, error: &std::io::Error) -> Error {
    let name = program.display();
    Error::new(match error.kind() {
        ErrorKind::NotFound if program.components().count() == 1 => format!(
            "{name} is needed for this, and is not in PATH: install it (https://criu.org), or say \
             where it is by --criu PATH"
        ),
        _ => format!("executing {name}: {}", sys::answer(error)),
    })
}

/// `criu_resp`, as far as it is looked at.
#[derive(Debug, Default)]
struct Response {
    kind: u64,
    success: bool,
    /// Of a restore or of a notification.
    pid: Option<i32>,
    script: String,
    errno: i32,
    words: String,
    features: Vec<u32>,
    version: Option<Version>,
}

impl Response {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let text = |value: Value| String::from_utf8_lossy(value.bytes()).into_owned();
        let mut response = Self::default();
        for (field, value) in fields(bytes)? {
            match field {
                1 => response.kind = value.number(),
                2 => response.success = value.number() != 0,
                4 => response.pid = find(value, 1)?.map(Value::int),
                5 => {
                    response.script = find(value, 1)?.map(text).unwrap_or_default();
                    response.pid = find(value, 2)?.map(Value::int);
                }
                7 => response.errno = value.int(),
                8 => {
                    let features = fields(value.bytes())?.into_iter();
                    let has = features.filter(|(_, value)| value.number() != 0);
                    response.features = has.map(|(field, _)| field).collect();
                }
                9 => response.words = text(value),
                10 => {
                    let number = |field| Ok(find(value, field)?.map_or(0, Value::int));
                    response.version = Some(Version { major: number(1)?, minor: number(2)? });
                }
                _ => {}
            }
        }
        Ok(response)
    }

    /// What it tells of a failure.
    fn failure(&self) -> Error {
        let mut words = "criu has failed".to_owned();
        if self.errno != 0 {
            let errno = sys::errno_text(Errno::from_raw(self.errno));
            words = format!("{words}: {errno}");
        }
        Error::of_criu(words, &self.words)
    }
}

/// The field `wanted` of the message `message`.
fn find(message: Value<'_>, wanted: u32) -> Result<Option<Value<'_>>, Error> {
    let found = fields(message.bytes())?.into_iter().find(|(field, _)| *field == wanted);
    Ok(found.map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told_with_a_remedy() {
        let error = check(Path::new("no-such-criu"), &[]).unwrap_err();
        assert!(error.to_string().contains("--criu PATH"), "{error}");
        let error = check(Path::new("/no/such/criu"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "executing /no/such/criu: no such file or directory");
    }

    #[test]
    fn a_program_that_is_no_criu_is_told() {
        let error = check(Path::new("/bin/false"), &[]).unwrap_err();
        assert!(error.to_string().contains("without an answer"), "{error}");
    }

    #[test]
    fn a_notification_is_read() {
        let mut notify = Writer::default();
        notify.bytes(1, b"setup-namespaces");
        notify.number(2, 77u32);
        let mut message = Writer::default();
        message.number(1, NOTIFY);
        message.number(2, true);
        message.message(5, &notify);
        let response = Response::read(message.as_bytes()).unwrap();
        assert_eq!((response.kind, response.success), (NOTIFY, true));
        assert_eq!((response.script.as_str(), response.pid), ("setup-namespaces", Some(77)));
    }

    #[test]
    fn a_failure_tells_what_criu_has_told() {
        let mut message = Writer::default();
        message.number(1, Request::Dump as u32);
        message.number(2, false);
        message.number(7, 3u32);
        message.bytes(9, b"Error (x.c:1): no\n");
        let error = Response::read(message.as_bytes()).unwrap().failure();
        assert_eq!(error.to_string(), "criu has failed: no such process: Error (x.c:1): no");
        assert!(error.is_in_log());
    }
}
