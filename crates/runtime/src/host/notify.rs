//! `NOTIFY_SOCKET` (`sd_notify(3)`): tells the service manager that has started rind
//! (`Type=notify`) when the container's program is ready.
//!
//! The container gets a socket of its own, in a directory of the state that is bound to
//! /run/notify. The command that starts the program (`run`, `start`) listens there itself. It
//! passes on nothing but `READY=1`, and adds the main pid that it knows itself: the manager trusts
//! what rind sends as if the service had sent it, so a container must not be able to send anything
//! else.

use crate::{Explain, Result, Runtime};
use oci_spec::runtime::{MountBuilder, Spec};
use state::Entry;
use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, Instant};
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::socket::SockType;
use sys::nix::sys::stat::{Mode, mkdirat, umask};
use sys::nix::unistd::{UnlinkatFlags, pipe2, unlinkat};
use sys::{Errno, socket};

/// The environment variable, which the container gets too.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// The directory of the socket, in the state directory.
const FOLDER: &CStr = c"notify";
/// The socket there.
const SOCKET: &CStr = c"notify.sock";
/// Where the container has that directory, as with runc.
const INSIDE: &str = "/run/notify";
/// How long the manager may take to read its messages.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many messages are read before other events have their turn.
const MESSAGES_AT_ONCE: usize = 16;

/// The address that the manager listens at: a path, or `@` and an abstract name.
#[derive(Debug)]
pub(crate) struct Manager(OsString);

/// The manager of `NOTIFY_SOCKET`; none in most cases. An invalid address is a warning.
pub(crate) fn manager(runtime: &Runtime) -> Option<Manager> {
    let name = std::env::var_os(VARIABLE).filter(|name| !name.is_empty())?;
    if matches!(name.as_bytes(), [b'/' | b'@', _, ..]) {
        return Some(Manager(name));
    }
    let text = name.display();
    (runtime.warn)(&format!("NOTIFY_SOCKET: {text} is no absolute path and no @NAME: not used"));
    None
}

/// Adds the mount of the socket's directory and the variable `NOTIFY_SOCKET` to `spec`, if there is
/// a process.
pub(crate) fn add_mount(runtime: &Runtime, id: &str, spec: &mut Spec) -> Result<()> {
    let Some(process) = spec.process_mut().as_mut() else { return Ok(()) };
    let name = SOCKET.to_string_lossy();
    process.env_mut().get_or_insert_default().push(format!("{VARIABLE}={INSIDE}/{name}"));
    let root = std::path::absolute(&runtime.root).about("--root")?;
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned);
    let mount = MountBuilder::default()
        .destination(INSIDE)
        .typ("bind")
        .source(root.join(id).join(OsString::from_vec(FOLDER.to_bytes().to_vec())))
        .options(options)
        .build()
        .about(VARIABLE)?;
    spec.mounts_mut().get_or_insert_default().push(mount);
    Ok(())
}

/// Creates the directory that [`add_mount`] mounts.
pub(crate) fn make_directory(entry: &Entry) -> Result<()> {
    let old = umask(Mode::empty());
    let made = mkdirat(entry.directory(), FOLDER, Mode::from_bits_truncate(0o755));
    umask(old);
    made.within("making the container's folder").about(VARIABLE)
}

/// Listens at the container's socket, until the program is ready.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    folder: OwnedFd,
    manager: Manager,
}

impl Listener {
    /// Binds the container's socket; none if the container was created without `NOTIFY_SOCKET`. The
    /// program must not run yet.
    pub fn open(entry: &Entry, manager: Manager) -> Result<Option<Self>> {
        Self::try_open(entry, manager).within("listening to the container").about(VARIABLE)
    }

    fn try_open(entry: &Entry, manager: Manager) -> sys::Result<Option<Self>> {
        let folder = match entry.open_file(FOLDER, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => opened?,
        };
        remove(&folder)?;
        // The container's user, whoever that is, may write to it.
        let old = umask(Mode::empty());
        let bound = socket::bind_datagram(&folder, SOCKET);
        umask(old);
        Ok(Some(Self { socket: bound?, folder, manager }))
    }

    /// Waits until the program tells that it is ready, or the process of the pidfd `init` has
    /// ended. If the program is ready, tells the manager.
    pub fn forward_ready(self, runtime: &Runtime, pid: i32, init: &OwnedFd) -> Result<()> {
        if self.wait_until_ready(init).within("waiting for the container").about(VARIABLE)? {
            let notified = self.notify_ready(pid).and_then(|barrier| wait(&barrier));
            if let Err(errno) = notified {
                (runtime.warn)(&self.failure(errno));
            }
        }
        Ok(())
    }

    /// Whether the program has told that it is ready before the process of the pidfd `init` ended.
    fn wait_until_ready(&self, init: &OwnedFd) -> sys::Result<bool> {
        loop {
            let polled = [self.socket.as_fd(), init.as_fd()];
            let mut polled = polled.map(|one| PollFd::new(one, PollFlags::POLLIN));
            sys::process::poll(&mut polled, PollTimeout::NONE)?;
            if self.is_ready()? {
                return Ok(true);
            }
            if polled.get(1).and_then(PollFd::any).unwrap_or(false) {
                return Ok(false);
            }
        }
    }

    /// Whether one of the received messages says that the program is ready. Descriptors in messages
    /// are closed, which a sender of `sd_notify_barrier(3)` waits for.
    pub fn is_ready(&self) -> sys::Result<bool> {
        let mut buffer = [0; 4096];
        for _ in 0..MESSAGES_AT_ONCE {
            let length = match socket::receive(&self.socket, &mut buffer) {
                Ok((length, _)) => length,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(errno) => return Err(errno),
            };
            let message = buffer.get(..length).unwrap_or_default();
            if message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells the manager that the service is ready and its main process is `pid`. Returns a pipe,
    /// which the manager closes at the other end when it has read that (`sd_notify_barrier(3)`).
    pub fn notify_ready(&self, pid: i32) -> sys::Result<OwnedFd> {
        let Manager(name) = &self.manager;
        let (is_abstract, name) = match name.as_bytes() {
            [b'@', name @ ..] => (true, name),
            name => (false, name),
        };
        let manager = socket::connect_within(SockType::Datagram, name, is_abstract, TIMEOUT)?;
        socket::send(&manager, b"READY=1\n", &[])?;
        socket::send(&manager, format!("MAINPID={pid}\n").as_bytes(), &[])?;
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        socket::send(&manager, b"BARRIER=1", &[theirs.as_fd()])?;
        Ok(ours)
    }

    /// The warning that [`Listener::notify_ready`] has failed: the container runs all the same.
    pub fn failure(&self, errno: Errno) -> String {
        let Manager(name) = &self.manager;
        let (name, why) = (Path::new(name).display(), sys::errno_text(errno));
        format!("NOTIFY_SOCKET: telling {name}: {why}")
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    /// Nobody listens from now on, so a program that sends more gets an error.
    fn drop(&mut self) {
        let _ = remove(&self.folder);
    }
}

fn remove(folder: &OwnedFd) -> sys::Result<()> {
    match unlinkat(folder, SOCKET, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}

/// Waits until the manager has read all messages.
fn wait(barrier: &OwnedFd) -> sys::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        // Without any event poll(2) waits for POLLHUP: the other end is closed.
        match poll(&mut [PollFd::new(barrier.as_fd(), PollFlags::empty())], timeout) {
            Ok(0) => return Err(Errno::ETIMEDOUT),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
