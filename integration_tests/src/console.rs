//! Terminals: the socket over which a runtime hands out a container's, and talking to one.

use crate::command::{LIMIT, readable};
use crate::host::PATIENCE;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A listening socket to give as `--console-socket` or `--pidfd-socket`.
#[derive(Debug)]
pub struct DescriptorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl DescriptorSocket {
    /// Listens at `path`, which must be short (see unix(7)).
    #[must_use]
    pub fn listen(path: &Path) -> Self {
        Self { listener: UnixListener::bind(path).expect("bind"), path: path.to_owned() }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// The one descriptor that the runtime sends, and what it wrote beside it.
    #[track_caller]
    #[must_use]
    pub fn receive(&self) -> (OwnedFd, String) {
        assert!(readable(&self.listener, LIMIT), "nobody connected to {}", self.path());
        let (stream, _) = self.listener.accept().expect("accept");
        assert!(readable(&stream, LIMIT), "nothing came through {}", self.path());
        let mut buffer = [0; 4096];
        let (length, mut descriptors) =
            sys::socket::receive(&stream, &mut buffer).expect("recvmsg");
        assert_eq!(descriptors.len(), 1, "one descriptor through {}", self.path());
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        (descriptors.remove(0), text)
    }
}

/// The master of a pseudo-terminal, from which one types and reads.
///
/// Carriage returns are left out: whether a terminal makes them of newlines is up to its owner.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    seen: String,
}

impl Terminal {
    /// Talks through `master`.
    #[must_use]
    pub fn new(master: OwnedFd) -> Self {
        Self { master: master.into(), seen: String::new() }
    }

    /// Types `text`.
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("write to the terminal");
    }

    /// Reads until `text` has come, and gives all that came since the last call, up to its end.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> String {
        let since = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = PATIENCE.saturating_sub(since.elapsed());
            let more = readable(&self.master, left) && self.read_some();
            assert!(more, "the terminal should have shown {text:?}, but only {:?} came", self.seen);
        }
    }

    /// Reads until all have closed the other end, and gives all that came since the last call.
    #[track_caller]
    pub fn read_to_end(&mut self) -> String {
        while readable(&self.master, PATIENCE) {
            if !self.read_some() {
                return std::mem::take(&mut self.seen);
            }
        }
        panic!("the terminal is still open; {:?} came", self.seen);
    }

    /// Reads what there is; false when the other end is closed, which a master says with `EIO`.
    fn read_some(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.master.read(&mut buffer).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]).replace('\r', ""));
        read > 0
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}
