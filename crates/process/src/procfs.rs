//! The host's procfs, opened before the process joins anything: a process's attributes are written
//! through it.
//!
//! A path below /proc must not be used once in the mounts of a container: the container decides what
//! it leads to.

use crate::Error;
use std::os::fd::OwnedFd;
use sys::nix::fcntl::{OFlag, ResolveFlag};
use sys::nix::sys::stat::Mode;

/// The root of the host's procfs.
#[derive(Debug)]
pub(crate) struct Procfs(OwnedFd);

impl Procfs {
    /// Opens /proc, and sees that it is a procfs.
    pub fn open() -> Result<Self, Error> {
        let opened = sys::fs::open_proc().map(Self);
        opened.map_err(|errno| Error::call("opening the host's /proc", errno))
    }

    /// Writes `text` to the file at `path` by one write(2), whatever is mounted over the path.
    ///
    /// `self` is the calling process, in whatever pid namespace that is.
    pub fn write(&self, path: &str, text: &[u8]) -> sys::Result<()> {
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let file = sys::fs::openat2(&self.0, path, OFlag::O_WRONLY, Mode::empty(), resolve)?;
        sys::fs::write_once(sys::fs::LeakyFd::from(file), text)
    }
}
