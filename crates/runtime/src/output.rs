//! stdout and stderr of a program in the foreground where ours are sockets, as those of a service are
//! to the journal: it gets pipes, and what it writes is passed on.
//!
//! The journal files a line under the service of the process that wrote it, which in a cgroup of its
//! own is of none, and a socket can't be opened again: `echo >/dev/stderr` would fail. Everything else,
//! a pipe, a file or a terminal, the program has as we have it.

use std::io::{stderr, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::Errno;
use sys::nix::fcntl::{FcntlArg, OFlag, fcntl};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::sys::socket::{MsgFlags, send};
use sys::nix::sys::stat::{SFlag, fstat};
use sys::nix::unistd::{dup2_stderr, dup2_stdout, pipe2, read};

/// As much as is read at once.
const CHUNK: usize = 16 << 10;

/// What is passed on; in most cases nothing.
#[derive(Debug, Default)]
pub(crate) struct Output {
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    number: Number,
    /// Whether that is the pipe, for a process that is forked.
    is_lent: bool,
    socket: OwnedFd,
    /// The pipe's end to read from; none when there is nobody to read for.
    pipe: Option<OwnedFd>,
    /// What the socket has not taken yet.
    pending: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Stdout = 1,
    Stderr = 2,
}

impl Output {
    /// Puts pipes in the place of sockets, for the process that is forked next. They are given back
    /// by [`Output::give_back`], or when this goes.
    pub fn lend() -> sys::Result<Self> {
        let mut output = Self::default();
        for number in [Number::Stdout, Number::Stderr] {
            if number.is_socket()? {
                output.streams.push(Stream::lend(number)?);
            }
        }
        Ok(output)
    }

    /// Has stdout and stderr as they were.
    pub fn give_back(&mut self) -> sys::Result<()> {
        self.streams.iter_mut().try_for_each(Stream::give_back)
    }

    /// What to poll, as many as there are streams.
    pub fn interest(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.streams.iter().filter_map(Stream::interest)
    }

    /// Moves what can be moved now.
    pub fn pump(&mut self) -> sys::Result<()> {
        self.streams.iter_mut().try_for_each(Stream::pump)
    }

    /// Passes on all that has been written until now, however long that takes.
    pub fn drain(&mut self) -> sys::Result<()> {
        for stream in &mut self.streams {
            loop {
                stream.pump()?;
                if stream.pending.is_empty() {
                    break;
                }
                let mut polled = [PollFd::new(stream.socket.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut polled, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(())
    }
}

impl Drop for Output {
    /// What failed is still to be told, and where one expects it.
    fn drop(&mut self) {
        if self.give_back().is_ok() {
            let _ = self.drain();
        }
    }
}

impl Stream {
    fn lend(number: Number) -> sys::Result<Self> {
        let socket = sys::fs::duplicate(number as i32)?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // Only our end: the program is to wait when the pipe is full.
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        number.put(&writer)?;
        Ok(Self { number, is_lent: true, socket, pipe: Some(reader), pending: Vec::new() })
    }

    fn give_back(&mut self) -> sys::Result<()> {
        if self.is_lent {
            self.number.put(&self.socket)?;
            self.is_lent = false;
        }
        Ok(())
    }

    fn interest(&self) -> Option<PollFd<'_>> {
        if self.pending.is_empty() {
            self.pipe.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
        } else {
            Some(PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT))
        }
    }

    /// Moves on until the pipe is empty or the socket full.
    fn pump(&mut self) -> sys::Result<()> {
        loop {
            while !self.pending.is_empty() {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                match send(self.socket.as_raw_fd(), &self.pending, flags) {
                    Ok(count) => drop(self.pending.drain(..count)),
                    Err(Errno::EAGAIN) => return Ok(()),
                    Err(Errno::EINTR) => {}
                    // Nobody reads there any more, which the program is to learn as if it were its own.
                    Err(_) => {
                        self.pending.clear();
                        self.pipe = None;
                    }
                }
            }
            let Some(pipe) = &self.pipe else { return Ok(()) };
            let mut chunk = [0; CHUNK];
            match read(pipe, &mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.pending.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
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
        Ok(SFlag::from_bits_truncate(stat?.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK)
    }

    /// Has it be the same as `file`, for programs that are executed too.
    fn put(self, file: &OwnedFd) -> sys::Result<()> {
        match self {
            Self::Stdout => dup2_stdout(file),
            Self::Stderr => dup2_stderr(file),
        }
    }
}
