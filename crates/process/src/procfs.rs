//! The host's procfs, by which rind writes attributes of processes. rind opens it before a process
//! joins anything: in the mounts of a container, nothing may use a path below /proc, as the
//! container decides where it leads.

use crate::Error;
use std::os::fd::OwnedFd;
use sys::nix::fcntl::{OFlag, ResolveFlag};
use sys::nix::sys::stat::Mode;

/// The root of the host's procfs.
#[derive(Debug)]
pub(crate) struct Procfs(OwnedFd);

impl Procfs {
    /// Opens /proc, and checks that it is a procfs.
    pub fn open() -> Result<Self, Error> {
        let opened = sys::fs::open_proc().map(Self);
        opened.map_err(|errno| Error::call("opening the host's /proc", errno))
    }

    /// Writes `text` by one write(2) to the file at `path`, relative to the procfs. Fails if
    /// anything is mounted over the path. `self` is the calling process, in any pid namespace.
    pub fn write(&self, path: &str, text: &[u8]) -> sys::Result<()> {
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let file = sys::fs::openat2(&self.0, path, OFlag::O_WRONLY, Mode::empty(), resolve)?;
        sys::fs::write_once(sys::fs::LeakyFd::from(file), text)
    }
}
