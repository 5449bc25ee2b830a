//! The output of a program: rind reads it from a pipe while the program runs. rind must never keep
//! more than a part of it, nor wait longer than it means to, however much the program writes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};
use sys::nix::fcntl::{FcntlArg, OFlag, fcntl};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::unistd::{pipe2, read};
use sys::{Errno, process};

/// How many bytes rind keeps of the beginning, and how many of the end, where errors tend to be. An
/// error quotes both.
const KEPT: usize = 512;

/// How many bytes rind reads at once: what a pipe holds by default (pipe(7)).
const PIPE: usize = 64 * 1024;

/// Why waiting for a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program has ended.
    Ended,
    /// The process that the program is for has ended.
    OtherEnded,
    /// The deadline has passed.
    Deadline,
}

/// The reading end of a pipe, and what rind has read from it. A process that still writes when this
/// is dropped gets SIGPIPE, or `EPIPE`.
#[derive(Debug)]
pub(crate) struct Capture {
    /// `None` once no process has the pipe open for writing.
    pipe: Option<OwnedFd>,
    kept: Kept,
}

impl Capture {
    /// Makes a pipe: the reading end, and the writing end for a program.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (pipe, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // The program can open the pipe for reading too, and take what poll(2) has announced. Only
        // the reading end is non-blocking: the program must not notice.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Self { pipe: Some(pipe), kept: Kept::default() }, writer))
    }

    /// Reads until `child` ends, or the process of the pidfd `until` does, or the deadline passes.
    /// Other processes may still have the pipe open then. The caller reaps `child`.
    pub fn await_end(
        &mut self,
        child: &Child,
        until: Option<BorrowedFd>,
        deadline: Option<Instant>,
    ) -> sys::Result<Outcome> {
        let pidfd = process::pidfd_open(child.id().cast_signed())?;
        loop {
            let [has_ended, has_output, is_idle] = self.poll(&pidfd, until, deadline)?;
            // The program may write without a pause, so poll may never time out.
            let is_late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if has_output || has_ended {
                self.read_once();
            }
            match (has_ended, is_idle, is_late) {
                (true, ..) => return Ok(Outcome::Ended),
                (_, true, _) => return Ok(Outcome::OtherEnded),
                (_, _, true) => return Ok(Outcome::Deadline),
                _ => {}
            }
        }
    }

    /// Waits for an event or the deadline. Returns whether the process has ended, whether there is
    /// output or the end of it to read, and whether the other process has ended.
    fn poll(
        &self,
        pidfd: &OwnedFd,
        until: Option<BorrowedFd>,
        deadline: Option<Instant>,
    ) -> sys::Result<[bool; 3]> {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounds up, so that poll doesn't return before the deadline. A wait that is too long
            // for poll takes several calls.
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            PollTimeout::try_from(left.saturating_add(1)).unwrap_or(PollTimeout::MAX)
        });
        let pipe = self.pipe.as_ref().map(AsFd::as_fd);
        let all = [Some(pidfd.as_fd()), pipe, until];
        let mut polled: Vec<_> =
            all.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok([false; 3]),
            Err(errno) => return Err(errno),
        }
        let mut ready = polled.iter().map(|fd| fd.any().unwrap_or(false));
        Ok(all.map(|fd| fd.is_some() && ready.next().unwrap_or(false)))
    }

    /// Reads once, at most [`PIPE`] bytes: a program that writes all the time must not hold rind
    /// up.
    fn read_once(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut bytes = vec![0; PIPE];
        match read(pipe, &mut bytes) {
            Ok(length @ 1..) => self.kept.add(bytes.get(..length).unwrap_or_default()),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The output only explains an error, so a failed read is not an error.
            Ok(0) | Err(_) => self.pipe = None,
        }
    }

    /// The kept output, without white space at both ends.
    pub fn text(&self) -> String {
        self.kept.text()
    }
}

/// The instant `seconds` from now; `None` for a negative or too large number.
pub(crate) fn deadline(seconds: Option<i64>) -> Option<Instant> {
    let seconds = u64::try_from(seconds?).ok()?;
    Instant::now().checked_add(Duration::from_secs(seconds))
}

/// The beginning and the end of the output, at most [`KEPT`] bytes each.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: usize,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(head);
        let last = rest.get(rest.len().saturating_sub(KEPT)..).unwrap_or(rest);
        self.tail.extend_from_slice(last);
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.left_out = self.left_out.saturating_add(rest.len() - last.len() + excess);
    }

    fn text(&self) -> String {
        let mark = format!(" [{} bytes left out] ", self.left_out);
        let mark = if self.left_out > 0 { mark.as_bytes() } else { b"" };
        let all = [&self.head, mark, &self.tail].concat();
        // Each invalid byte becomes one byte, so that binary output makes no longer error.
        String::from_utf8_lossy(all.trim_ascii()).replace(char::REPLACEMENT_CHARACTER, "?")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kept(chunks: &[&[u8]]) -> String {
        let mut kept = Kept::default();
        for chunk in chunks {
            kept.add(chunk);
        }
        assert!(kept.head.len() <= KEPT && kept.tail.len() <= KEPT);
        kept.text()
    }

    #[test]
    fn what_is_short_is_kept_whole() {
        assert_eq!(kept(&[]), "");
        assert_eq!(kept(&[b" a", b"b\n"]), "ab");
        let text = vec![b'x'; 2 * KEPT];
        assert_eq!(kept(&[&text]).as_bytes(), text);
        assert_eq!(kept(&text.iter().map(std::slice::from_ref).collect::<Vec<_>>()).len(), 1024);
    }

    #[test]
    fn of_what_is_long_the_beginning_and_the_end_are_kept() {
        let text = [b"first".to_vec(), vec![b'x'; 5000], b"last".to_vec()].concat();
        let left_out = text.len() - 2 * KEPT;
        for size in [1, 7, KEPT, KEPT + 1, 3000, text.len()] {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let text = kept(&chunks);
            assert!(text.starts_with("first") && text.ends_with("last"), "{size}: {text}");
            assert!(text.contains(&format!("x [{left_out} bytes left out] x")), "{size}: {text}");
        }
    }

    #[test]
    fn what_is_no_text_does_not_get_longer() {
        assert_eq!(kept(&[b"a\xff\xfeb"]), "a??b");
    }
}
