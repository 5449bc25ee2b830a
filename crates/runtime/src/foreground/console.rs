//! Relays a container's terminal, whose master rind has, to rind's own stdin and stdout.

use std::os::fd::{AsFd, OwnedFd};
use sys::Errno;
use sys::nix::fcntl::{FcntlArg, OFlag, fcntl};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::nix::sys::termios::Termios;
use sys::nix::unistd::{read, write};
use sys::process::poll;
use sys::terminal::{self, Size};

/// How many bytes are read at once: as much as a terminal holds.
const CHUNK: usize = 4096;

/// How many unread bytes of a terminal the kernel keeps (its `tty_buffer.c`).
const HELD: usize = 64 << 10;

/// The master of a container's terminal, which is relayed.
pub(crate) struct Relay {
    master: OwnedFd,
    /// The settings to restore of rind's own terminal, if stdin is one.
    saved: Option<Termios>,
    /// Bytes from stdin that the container has not taken yet.
    pending: Vec<u8>,
    stdin_is_open: bool,
    /// Whether no process of the container has the terminal open any more.
    is_hung_up: bool,
}

impl Relay {
    /// Makes rind's own terminal raw, if stdin is one, until this is dropped.
    pub fn new(master: OwnedFd) -> sys::Result<Self> {
        // rind must not block in a write to a container that reads nothing.
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let saved = match terminal::set_raw(std::io::stdin()) {
            Ok(saved) => Some(saved),
            Err(Errno::ENOTTY | Errno::EBADF | Errno::EINVAL) => None,
            Err(errno) => return Err(errno),
        };
        Ok(Self { master, saved, pending: Vec::new(), stdin_is_open: true, is_hung_up: false })
    }

    /// Sets the size of the container's terminal to that of rind's own.
    pub fn resize(&self) {
        if let Some(size) = own_size() {
            // A failure does no harm: the next SIGWINCH sets the size again.
            let _ = terminal::set_size(&self.master, size);
        }
    }

    /// What to poll: first the master, then stdin if there is room for what is typed.
    pub fn poll_fds<'a>(&'a self, stdin: &'a std::io::Stdin) -> Vec<PollFd<'a>> {
        if self.is_hung_up {
            return Vec::new();
        }
        let writable =
            if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let typed = self.stdin_is_open && self.pending.is_empty();
        let typed = typed.then(|| PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        let master = PollFd::new(self.master.as_fd(), PollFlags::POLLIN | writable);
        std::iter::once(master).chain(typed).collect()
    }

    /// Relays what can be relayed without waiting.
    pub fn forward(&mut self, stdin_is_ready: bool) -> sys::Result<()> {
        if stdin_is_ready {
            let mut chunk = [0; CHUNK];
            match read(std::io::stdin(), &mut chunk) {
                Ok(0) | Err(Errno::EIO) => self.stdin_is_open = false,
                Ok(count) => self.pending.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno),
            }
        }
        if !self.pending.is_empty() {
            match write(&self.master, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                // No process has the terminal open any more.
                Err(Errno::EIO) => self.pending.clear(),
                Err(errno) => return Err(errno),
            }
        }
        // One chunk only, so that a program that writes without end does not keep the event loop
        // from its signals.
        self.is_hung_up = self.copy_to_stdout()? == Copied::HungUp;
        Ok(())
    }

    /// Copies what is left to stdout, once the container's init has ended. A process that goes on
    /// writing is not waited for.
    pub fn drain(&self) -> sys::Result<()> {
        for _ in 0..HELD / CHUNK {
            if self.copy_to_stdout()? != Copied::Some {
                break;
            }
        }
        Ok(())
    }

    /// Copies one chunk at most to stdout.
    fn copy_to_stdout(&self) -> sys::Result<Copied> {
        let mut chunk = [0; CHUNK];
        match read(&self.master, &mut chunk) {
            // EIO: no process has the terminal open.
            Ok(0) | Err(Errno::EIO) => Ok(Copied::HungUp),
            Ok(count) => {
                write_all(chunk.get(..count).unwrap_or_default())?;
                Ok(Copied::Some)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Copied::Nothing),
            Err(errno) => Err(errno),
        }
    }
}

/// What there was to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    Some,
    Nothing,
    /// Nothing, and no process has the terminal open any more.
    HungUp,
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // It fails only if the terminal is gone.
            let _ = terminal::restore(std::io::stdin(), saved);
        }
    }
}

/// The size of rind's own terminal, if it has one.
pub(crate) fn own_size() -> Option<Size> {
    let size = terminal::size(std::io::stdin()).or_else(|_| terminal::size(std::io::stdout()));
    size.ok().filter(|size| size.rows > 0 && size.columns > 0)
}

fn write_all(mut bytes: &[u8]) -> sys::Result<()> {
    let stdout = std::io::stdout();
    while !bytes.is_empty() {
        match write(&stdout, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            // Another process that shares stdout has made it non-blocking.
            Err(Errno::EAGAIN) => {
                let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                poll(&mut polled, PollTimeout::NONE)?;
            }
            // The reader of stdout is gone; the container goes on all the same.
            Err(Errno::EPIPE) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
