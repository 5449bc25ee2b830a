//! `NOTIFY_SOCKET` (`sd_notify(3)`): that a container's program is ready reaches the service manager
//! which has started rind as a service that tells so.
//!
//! The container gets a socket of its own, in a folder of the state that is bound to /run/notify, and
//! whoever waits for the program (`run`, `start`) listens there, with no other process. Of what
//! comes only `READY=1` is passed on, with the pid that is true on the host: the manager takes what
//! we say as said by the service itself, and nothing else is the container's to say.

use crate::{Error, Result, Runtime};
use oci_spec::runtime::{MountBuilder, Spec};
use state::Entry;
use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, Instant};
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::stat::{Mode, mkdirat, umask};
use sys::nix::unistd::{UnlinkatFlags, pipe2, unlinkat};
use sys::{Errno, socket};

/// The folder in the state that the socket is in.
const FOLDER: &CStr = c"notify";
/// The socket there.
const SOCKET: &CStr = c"notify.sock";
/// Where the container has the folder, as with runc.
const INSIDE: &str = "/run/notify";
/// How long the manager may take to have read what it is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many messages are read before other things have their turn.
const AT_ONCE: usize = 16;

/// Where the manager listens.
#[derive(Debug)]
pub(crate) struct Manager(OsString);

/// The manager that this process is to tell; none in most cases.
pub(crate) fn manager(runtime: &Runtime) -> Option<Manager> {
    let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
    if matches!(name.as_bytes(), [b'/' | b'@', _, ..]) {
        return Some(Manager(name));
    }
    let text = name.display();
    (runtime.warn)(&format!("NOTIFY_SOCKET: {text} is no absolute path and no @NAME: not used"));
    None
}

/// Has a container find its socket, if it has a program that could tell.
pub(crate) fn announce(runtime: &Runtime, id: &str, spec: &mut Spec) -> Result<()> {
    let Some(process) = spec.process_mut().as_mut() else { return Ok(()) };
    let name = SOCKET.to_string_lossy();
    let variable = format!("NOTIFY_SOCKET={INSIDE}/{name}");
    process.env_mut().get_or_insert_default().push(variable);
    let root = std::path::absolute(&runtime.root)
        .map_err(|error| Error::new(format!("--root: {}", sys::answer(&error))))?;
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned);
    let mount = MountBuilder::default()
        .destination(INSIDE)
        .typ("bind")
        .source(root.join(id).join(OsString::from_vec(FOLDER.to_bytes().to_vec())))
        .options(options)
        .build()
        .map_err(|error| Error::new(format!("NOTIFY_SOCKET: {error}")))?;
    spec.mounts_mut().get_or_insert_default().push(mount);
    Ok(())
}

/// Makes the folder that is announced.
pub(crate) fn make_folder(entry: &Entry) -> Result<()> {
    let old = umask(Mode::empty());
    let made = mkdirat(entry.directory(), FOLDER, Mode::from_bits_truncate(0o755));
    umask(old);
    made.map_err(|errno| Error::call("NOTIFY_SOCKET: making the container's folder", errno))
}

/// The container's socket, listened to until the program is ready.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    folder: OwnedFd,
    manager: Manager,
}

impl Listener {
    /// Listens for a container, if it was made for that. The program must not yet run.
    pub fn open(entry: &Entry, manager: Manager) -> Result<Option<Self>> {
        let failed = |errno| Error::call("NOTIFY_SOCKET: listening to the container", errno);
        let folder = match entry.open_file(FOLDER, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        remove(&folder).map_err(failed)?;
        // Whoever the container's user is, it may write there.
        let old = umask(Mode::empty());
        let bound = socket::bind_datagram(&folder, SOCKET);
        umask(old);
        Ok(Some(Self { socket: bound.map_err(failed)?, folder, manager }))
    }

    /// Waits until the program has told that it is ready, or has ended, and tells the manager.
    pub fn attend(self, runtime: &Runtime, pid: i32, init: &OwnedFd) -> Result<()> {
        let failed = |errno| Error::call("NOTIFY_SOCKET: waiting for the container", errno);
        loop {
            let polled = [self.socket.as_fd(), init.as_fd()];
            let mut polled = polled.map(|one| PollFd::new(one, PollFlags::POLLIN));
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(failed(errno)),
            }
            if self.is_ready().map_err(failed)? {
                match self.tell(pid).and_then(|barrier| wait(&barrier)) {
                    Ok(()) => {}
                    Err(errno) => (runtime.warn)(&self.not_told(errno)),
                }
                return Ok(());
            }
            if polled.get(1).and_then(PollFd::any).unwrap_or(false) {
                return Ok(());
            }
        }
    }

    /// Whether one of the messages that have come says so. Descriptors that come along are closed,
    /// which is the answer to who waits for that (`sd_notify_barrier(3)`).
    pub fn is_ready(&self) -> sys::Result<bool> {
        let mut buffer = [0; 4096];
        for _ in 0..AT_ONCE {
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

    /// Tells the manager that all is ready, and who its main process is. What comes back is closed at
    /// the other end when it has read that.
    pub fn tell(&self, pid: i32) -> sys::Result<OwnedFd> {
        let Manager(name) = &self.manager;
        let (is_abstract, name) = match name.as_bytes() {
            [b'@', name @ ..] => (true, name),
            name => (false, name),
        };
        let manager = socket::connect_datagram_within(name, is_abstract, PATIENCE)?;
        socket::send(&manager, b"READY=1\n", &[])?;
        socket::send(&manager, format!("MAINPID={pid}\n").as_bytes(), &[])?;
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        socket::send(&manager, b"BARRIER=1", &[theirs.as_fd()])?;
        Ok(ours)
    }

    /// What to say if that failed: the container runs all the same.
    pub fn not_told(&self, errno: Errno) -> String {
        let Manager(name) = &self.manager;
        format!("NOTIFY_SOCKET: telling {}: {}", Path::new(name).display(), sys::errno_text(errno))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    /// Nobody listens from now on: a program that goes on telling is to see that.
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

/// Waits until the manager has read all.
fn wait(barrier: &OwnedFd) -> sys::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        // No event is asked for: that the other end is closed is always told.
        match poll(&mut [PollFd::new(barrier.as_fd(), PollFlags::empty())], timeout) {
            Ok(0) => return Err(Errno::ETIMEDOUT),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
