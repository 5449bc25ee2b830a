//! Forwards stdout and stderr of a program in the foreground. Where rind's own are sockets, as those
//! of a service are, the program gets pipes, and rind forwards what it writes. If they are pipes,
//! files or a terminal, the program inherits them.
//!
//! The journal files a line under the service of the process that wrote it, and a process in a
//! cgroup of its own belongs to none. Also, a socket can't be opened again: `echo >/dev/stderr`
//! would fail.

use std::io::{stderr, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::Errno;
use sys::nix::fcntl::{FcntlArg, OFlag, fcntl};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::nix::sys::socket::{MsgFlags, send};
use sys::nix::sys::stat::{SFlag, fstat};
use sys::nix::unistd::{dup2_stderr, dup2_stdout, pipe2, read};
use sys::process::poll;

/// How many bytes are read at once.
const CHUNK: usize = 16 << 10;

/// The streams that rind forwards; in most cases none.
#[derive(Debug, Default)]
pub(crate) struct Output {
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    number: Number,
    /// Whether descriptor 1 or 2 is the pipe now, for a child to inherit.
    is_replaced: bool,
    socket: OwnedFd,
    /// The pipe's end to read from; none once it is closed at the other end, or nobody takes its
    /// output.
    pipe: Option<OwnedFd>,
    /// Bytes from the pipe that the socket has not taken yet.
    pending: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Stdout = 1,
    Stderr = 2,
}

impl Output {
    /// Puts pipes in the place of sockets, for the process that is forked next. [`Output::restore`]
    /// or dropping this puts the sockets back.
    pub fn replace_sockets() -> sys::Result<Self> {
        let mut output = Self::default();
        for number in [Number::Stdout, Number::Stderr] {
            if number.is_socket()? {
                output.streams.push(Stream::replace(number)?);
            }
        }
        Ok(output)
    }

    /// Puts rind's own stdout and stderr back.
    pub fn restore(&mut self) -> sys::Result<()> {
        self.streams.iter_mut().try_for_each(Stream::restore)
    }

    /// What to poll, as many as there are streams.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.streams.iter().filter_map(Stream::poll_fds)
    }

    /// Forwards some of what can be forwarded without waiting.
    pub fn forward(&mut self) -> sys::Result<()> {
        self.streams.iter_mut().try_for_each(Stream::forward)
    }

    /// Forwards all that has been written until now, however long its readers take.
    pub fn drain(&mut self) -> sys::Result<()> {
        self.streams.iter_mut().try_for_each(Stream::drain)
    }
}

impl Drop for Output {
    /// rind's own stderr is needed for the error message.
    fn drop(&mut self) {
        if self.restore().is_ok() {
            let _ = self.drain();
        }
    }
}

impl Stream {
    fn replace(number: Number) -> sys::Result<Self> {
        let socket = number.duplicate()?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // Only rind's end is non-blocking: the program waits when the pipe is full.
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        number.replace_by(&writer)?;
        Ok(Self { number, is_replaced: true, socket, pipe: Some(reader), pending: Vec::new() })
    }

    fn restore(&mut self) -> sys::Result<()> {
        if self.is_replaced {
            self.number.replace_by(&self.socket)?;
            self.is_replaced = false;
        }
        Ok(())
    }

    fn poll_fds(&self) -> Option<PollFd<'_>> {
        if self.pending.is_empty() {
            self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
        } else {
            Some(PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT))
        }
    }

    /// Forwards one chunk at most: a program that writes without end does not keep the event loop
    /// from its signals.
    fn forward(&mut self) -> sys::Result<()> {
        if self.pending.is_empty() {
            self.read_chunk()?;
        }
        self.send_pending();
        Ok(())
    }

    /// Forwards as much as the pipe can hold, which includes all that has been written until now.
    /// rind does not wait for a process that goes on writing.
    fn drain(&mut self) -> sys::Result<()> {
        let holds = self.pipe.as_ref().map_or(Ok(0), |pipe| fcntl(pipe, FcntlArg::F_GETPIPE_SZ))?;
        let mut left = usize::try_from(holds).unwrap_or_default();
        loop {
            self.send_pending();
            if !self.pending.is_empty() {
                let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                poll(&mut polled, PollTimeout::NONE)?;
                continue;
            }
            if left == 0 {
                return Ok(());
            }
            match self.read_chunk()? {
                0 => return Ok(()),
                count => left = left.saturating_sub(count),
            }
        }
    }

    /// Reads into `pending`, which is empty. Returns how many bytes; 0 if there are none at the
    /// moment.
    fn read_chunk(&mut self) -> sys::Result<usize> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let mut chunk = [0; CHUNK];
        let count = loop {
            match read(pipe, &mut chunk) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(0),
                count => break count?,
            }
        };
        if count == 0 {
            self.pipe = None;
        }
        self.pending.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Sends what is pending, until the socket is full.
    fn send_pending(&mut self) {
        while !self.pending.is_empty() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.socket.as_raw_fd(), &self.pending, flags) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                // Nobody reads the socket any more: the program gets EPIPE, as from the socket
                // itself.
                Err(_) => {
                    self.pending.clear();
                    self.pipe = None;
                }
            }
        }
    }
}

impl Number {
    fn is_socket(self) -> sys::Result<bool> {
        let stat = match self {
            Self::Stdout => fstat(stdout()),
            Self::Stderr => fstat(stderr()),
        };
        Ok(sys::fs::file_type(&stat?) == SFlag::S_IFSOCK)
    }

    fn duplicate(self) -> sys::Result<OwnedFd> {
        sys::fs::duplicate(self as i32)
    }

    /// Makes the descriptor a copy of `file`, without close-on-exec (`dup2(2)`).
    fn replace_by(self, file: &OwnedFd) -> sys::Result<()> {
        match self {
            Self::Stdout => dup2_stdout(file),
            Self::Stderr => dup2_stderr(file),
        }
    }
}
