//! Reading and writing the kernel's small files with as few calls as it takes.

use crate::error::{Error, Result};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::fs::openat;
use sys::nix::fcntl::{AT_FDCWD, OFlag};
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{UnlinkatFlags, read as read_into, unlinkat};

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Opens `path`, close-on-exec and never through a symlink at its end.
pub(crate) fn open(path: &str, flags: OFlag) -> Result<OwnedFd> {
    try_open(path, flags).map_err(|errno| Error::call(format!("opening {path}"), errno))
}

/// [`open`] for a caller to whom some errors are answers.
pub(crate) fn try_open(path: &str, flags: OFlag) -> sys::Result<OwnedFd> {
    openat(AT_FDCWD, path, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
}

/// Opens the cgroup directory `path`.
pub(crate) fn open_directory(path: &str) -> Result<OwnedFd> {
    open(path, DIRECTORY)
}

/// [`open_directory`] for a caller to whom some errors are answers.
pub(crate) fn try_open_directory(path: &str) -> sys::Result<OwnedFd> {
    try_open(path, DIRECTORY)
}

/// Reads a file of many records (a list of pids, mountinfo) to its end.
pub(crate) fn read(path: &str) -> Result<String> {
    let text = try_open(path, OFlag::O_RDONLY).and_then(sys::fs::read_to_end);
    text.map(text_of).map_err(|errno| Error::call(format!("reading {path}"), errno))
}

/// Reads a file that the kernel makes in one piece, where a short read is the end already.
pub(crate) fn read_value(path: &str) -> Result<String> {
    try_read_value(path).map_err(|errno| Error::call(format!("reading {path}"), errno))
}

/// [`read_value`] of a file that may not be there, as the kernel has no such file or the cgroup is
/// gone.
pub(crate) fn find_value(path: &str) -> Result<Option<String>> {
    match try_read_value(path) {
        Ok(text) => Ok(Some(text)),
        Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => Ok(None),
        Err(errno) => Err(Error::call(format!("reading {path}"), errno)),
    }
}

/// [`read_value`] for a caller to whom some errors are answers.
pub(crate) fn try_read_value(path: &str) -> sys::Result<String> {
    let file = try_open(path, OFlag::O_RDONLY)?;
    let mut buffer = vec![0; 4096];
    let mut length = 0;
    loop {
        let space = buffer.get_mut(length..).unwrap_or_default();
        let (wanted, got) = (space.len(), read_into(&file, space));
        match got {
            Ok(count) => length += count,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
        }
        if length < buffer.len() || wanted == 0 {
            buffer.truncate(length);
            return Ok(text_of(buffer));
        }
        buffer.resize(buffer.len() * 2, 0);
    }
}

/// Writes `value` to the file `path` by one write(2).
pub(crate) fn write(path: &str, value: &str) -> sys::Result<()> {
    sys::fs::write_once(try_open(path, OFlag::O_WRONLY)?, value.as_bytes())
}

/// [`write`], with an error that names the value and the path.
pub(crate) fn set(path: &str, value: &str) -> Result<()> {
    write(path, value).map_err(|errno| Error::call(format!("writing {value} to {path}"), errno))
}

/// Removes the cgroup directory `path`; one that isn't there counts as removed.
pub(crate) fn remove_directory(path: &str) -> sys::Result<()> {
    match unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into())
}

/// The value of `key` in a file of lines `key value`.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    let found = text.lines().filter_map(|line| line.split_once(' '));
    found.filter(|(name, _)| *name == key).find_map(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(value_of(text, "oom_kill"), Some(3));
        assert_eq!(value_of(text, "oom"), None);
        assert_eq!(value_of("populated 1\nfrozen 0\n", "frozen"), Some(0));
    }
}
