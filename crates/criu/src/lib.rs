//! criu(8) by its RPC (criu.org, RPC): rind starts a process `criu swrk` and sends one request over
//! a socket.
//!
//! [`check`] says whether a suitable criu is installed, [`Options`] what criu is to do;
//! [`Criu::carry_out`] sends the request and passes criu's notices on. Message and field numbers
//! are those of criu's rpc.proto. The crate must never know a container, nor trust what criu sends:
//! it reads messages up to a limit and refuses what it can't parse.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod options;
mod wire;

pub use options::{CgroupMode, Options, Switch};

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use sys::{Errno, socket};
use wire::{Value, Writer, fields};

/// More than any message of criu's needs, in bytes.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// How much of criu's stderr rind keeps, in bytes. With a request, criu writes to its log instead.
const KEPT_ERRORS: u32 = 64 * 1024;

/// Why criu failed, or why rind could not ask it.
#[derive(Debug)]
pub struct Error {
    summary: String,
    /// criu's own message.
    message: Option<String>,
    /// Whether criu itself failed, so that its log says why.
    is_in_log: bool,
}

impl Error {
    pub(crate) fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), message: None, is_in_log: false }
    }

    fn of_criu(summary: impl Into<String>, message: &str) -> Self {
        let message = Some(message.trim()).filter(|message| !message.is_empty());
        Self { summary: summary.into(), message: message.map(str::to_owned), is_in_log: true }
    }

    fn talking(errno: Errno) -> Self {
        Self::new(format!("talking to criu: {}", sys::errno_text(errno)))
    }

    /// Whether criu itself failed, so that its log says more.
    #[must_use]
    pub fn is_in_log(&self) -> bool {
        self.is_in_log
    }

    /// The error without criu's own message, of which its log says more.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
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
    /// The major number.
    pub major: i32,
    /// The minor number.
    pub minor: i32,
}

impl Version {
    /// Whether this version restores `no_new_privs`.
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

/// The oldest version with everything that this crate uses: external pid namespaces, the
/// notification `status-ready`, the freezer of cgroup v2, security labels.
const OLDEST: Version = Version { major: 3, minor: 16 };

/// Checks that `program`, a path or a name to look for in PATH, is a criu which is new enough and
/// has `features`; returns its version.
pub fn check(program: &Path, features: &[Feature]) -> Result<Version, Error> {
    let mut criu = Criu::start(program, Input::Nothing, &[])?;
    let version = criu.version()?;
    if version < OLDEST {
        return Err(Error::new(format!(
            "criu {version} is too old: {OLDEST} is the oldest that will do"
        )));
    }
    match features.iter().find(|feature| !criu.has(**feature).unwrap_or(false)) {
        Some(missing) => Err(Error::new(format!("criu {version} {}", missing.remedy()))),
        None => Ok(version),
    }
}

/// What criu gets as stdin, stdout and stderr.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// /dev/null for stdin and stdout; rind keeps what criu writes to stderr, for the error if criu
    /// dies.
    Nothing,
    /// rind's own, which the restored processes then have too. They have criu's session keyring as
    /// well, so it gets one of this name; and criu's groups, where the image has none, and CPUs: it
    /// gets neither from rind.
    Ours(Option<CString>),
}

/// A notification of criu's, which waits for an answer.
#[derive(Debug)]
pub struct Notice {
    /// What criu is about to do or has done (criu.org, Action scripts).
    pub script: String,
    /// The pid of the restored process, if there is one.
    pub pid: Option<i32>,
    /// The descriptor that comes with the notice: the terminal's master, for `orphan-pts-master`.
    pub descriptor: Option<OwnedFd>,
}

/// A criu process that waits for a request. Dropping it ends the process.
#[derive(Debug)]
pub struct Criu {
    child: Child,
    channel: Option<OwnedFd>,
    stderr: Option<File>,
}

impl Criu {
    /// Starts `program`, which inherits the descriptors `inherited` under the same numbers. The
    /// caller closes them afterwards, or the next program would inherit them too.
    pub fn start(program: &Path, input: Input, inherited: &[OwnedFd]) -> Result<Self, Error> {
        let (ours, theirs) = socket::pair().map_err(Error::talking)?;
        let mut command = Command::new(program);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        let mut stderr = None;
        if input == Input::Nothing {
            let file =
                sys::fs::bounded_file(c"criu-stderr", KEPT_ERRORS).map_err(Error::talking)?;
            let kept = stderr.insert(file).try_clone();
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(kept.map_err(|_| Error::talking(Errno::EMFILE))?);
        }
        if let Input::Ours(keyring) = input {
            sys::exec::part_from_us(&mut command, keyring);
        }
        for descriptor in inherited.iter().chain([&theirs]) {
            sys::fs::keep_over_exec(descriptor).map_err(Error::talking)?;
        }
        let child =
            sys::exec::spawn(&mut command).map_err(|error| cannot_start(program, &error))?;
        Ok(Self { child, channel: Some(ours), stderr })
    }

    /// The pid of criu.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Has criu carry `request` out, and calls `answer` for each notification. If `answer` fails,
    /// criu undoes what it has done, and this returns that error.
    ///
    /// Returns the pid of the restored process.
    pub fn carry_out<E: From<Error>>(
        mut self,
        request: Request,
        options: &Options,
        answer: &mut dyn FnMut(Notice) -> Result<(), E>,
    ) -> Result<Option<i32>, E> {
        let mut message = Writer::default();
        message.add_number(1, request as u32);
        message.add_message(2, &options.0);
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
            message.add_number(1, NOTIFY);
            message.add_number(3, answered.is_ok());
            refused = refused.or(answered.err());
            self.send(&message)?;
        };
        let ended = self.end();
        match refused {
            Some(error) => Err(error),
            None if !response.success => Err(response.failure().into()),
            // After a pre-dump, criu waits for the next request, and fails because none comes.
            None if request != Request::PreDump => Ok(ended.map(|()| response.pid)?),
            None => Ok(None),
        }
    }

    fn version(&mut self) -> Result<Version, Error> {
        let response = self.ask(VERSION, None)?;
        response.version.ok_or_else(|| response.failure())
    }

    fn has(&mut self, feature: Feature) -> Result<bool, Error> {
        let response = self.ask(FEATURE_CHECK, Some(feature))?;
        Ok(response.success && response.features.contains(&(feature as u32)))
    }

    fn ask(&mut self, request: u64, feature: Option<Feature>) -> Result<Response, Error> {
        let mut message = Writer::default();
        message.add_number(1, request);
        // `keep_open`: more requests may follow.
        message.add_number(4, true);
        if let Some(feature) = feature {
            let mut wanted = Writer::default();
            wanted.add_number(feature as u32, true);
            message.add_message(5, &wanted);
        }
        self.send(&message)?;
        self.receive().map(|(response, _)| response)
    }

    fn send(&self, message: &Writer) -> Result<(), Error> {
        let Some(channel) = &self.channel else { return Err(Error::new("criu has ended")) };
        match socket::send(channel, message.as_bytes(), &[]) {
            // criu is gone; the next read says why.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            sent => sent.map_err(Error::talking),
        }
    }

    fn receive(&mut self) -> Result<(Response, Option<OwnedFd>), Error> {
        let Some(channel) = &self.channel else { return Err(Error::new("criu has ended")) };
        let mut buffer = vec![0; LONGEST_MESSAGE];
        let (length, descriptors) = match socket::receive(channel.as_fd(), &mut buffer) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(self.death()),
            received => received.map_err(Error::talking)?,
        };
        let response = Response::read(buffer.get(..length).unwrap_or_default())?;
        Ok((response, descriptors.into_iter().next()))
    }

    /// Why criu ended without an answer, as far as its stderr says so.
    fn death(&mut self) -> Error {
        let text = self.stderr.as_ref().map(sys::fs::bounded_text).unwrap_or_default();
        let how = self.end().err().map(|error| error.summary);
        let how = how.unwrap_or_else(|| "criu has ended".to_owned());
        Error::of_criu(format!("{how} without an answer"), text.lines().last().unwrap_or_default())
    }

    /// Closes the channel, upon which criu ends, and waits for that.
    fn end(&mut self) -> Result<(), Error> {
        self.channel = None;
        let ended = self.child.wait();
        let status = ended
            .map_err(|error| Error::new(format!("waiting for criu: {}", sys::answer(&error))))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::of_criu(format!("criu has failed ({status})"), ""))
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        // Nobody is interested in how criu ends any more.
        let _ = self.end();
    }
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

/// The fields of `criu_resp` and `criu_notify` that rind reads.
#[derive(Debug, Default)]
struct Response {
    kind: u64,
    success: bool,
    /// The process that a restore or a notification is about.
    pid: Option<i32>,
    script: String,
    errno: i32,
    message: String,
    features: Vec<u32>,
    version: Option<Version>,
}

impl Response {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let text = |value: Value| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut response = Self::default();
        for (field, value) in fields(bytes)? {
            match field {
                1 => response.kind = value.as_u64(),
                2 => response.success = value.as_u64() != 0,
                4 => response.pid = find(value, 1)?.map(Value::as_i32),
                5 => {
                    response.script = find(value, 1)?.map(text).unwrap_or_default();
                    response.pid = find(value, 2)?.map(Value::as_i32);
                }
                7 => response.errno = value.as_i32(),
                8 => {
                    let features = fields(value.as_bytes())?.into_iter();
                    let has = features.filter(|(_, value)| value.as_u64() != 0);
                    response.features = has.map(|(field, _)| field).collect();
                }
                9 => response.message = text(value),
                10 => {
                    let number = |field| Ok(find(value, field)?.map_or(0, Value::as_i32));
                    response.version = Some(Version { major: number(1)?, minor: number(2)? });
                }
                _ => {}
            }
        }
        Ok(response)
    }

    /// The error of a response that tells of a failure.
    fn failure(&self) -> Error {
        let mut summary = "criu has failed".to_owned();
        if self.errno != 0 {
            let errno = sys::errno_text(Errno::from_raw(self.errno));
            summary = format!("{summary}: {errno}");
        }
        Error::of_criu(summary, &self.message)
    }
}

/// The first field `wanted` of the nested message `message`.
fn find(message: Value<'_>, wanted: u32) -> Result<Option<Value<'_>>, Error> {
    let found = fields(message.as_bytes())?.into_iter().find(|(field, _)| *field == wanted);
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
        notify.add_bytes(1, b"setup-namespaces");
        notify.add_number(2, 77u32);
        let mut message = Writer::default();
        message.add_number(1, NOTIFY);
        message.add_number(2, true);
        message.add_message(5, &notify);
        let response = Response::read(message.as_bytes()).unwrap();
        assert_eq!((response.kind, response.success), (NOTIFY, true));
        assert_eq!((response.script.as_str(), response.pid), ("setup-namespaces", Some(77)));
    }

    #[test]
    fn a_failure_tells_what_criu_has_told() {
        let mut message = Writer::default();
        message.add_number(1, Request::Dump as u32);
        message.add_number(2, false);
        message.add_number(7, 3u32);
        message.add_bytes(9, b"Error (x.c:1): no\n");
        let error = Response::read(message.as_bytes()).unwrap().failure();
        assert_eq!(error.to_string(), "criu has failed: no such process: Error (x.c:1): no");
        assert!(error.is_in_log());
    }
}
