//! `--exec-fifo`: the fifo that the process waits at before it becomes its program.

use crate::{Explain, Result};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::Errno;
use sys::fs::{open, openat};
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::{Mode, SFlag, fstat};
use sys::nix::unistd::{UnlinkatFlags, geteuid, mkfifoat, unlinkat};

/// The fifo, which is removed if this is dropped before [`Fifo::keep`].
pub(super) struct Fifo<'a> {
    directory: OwnedFd,
    name: &'a OsStr,
    pub file: OwnedFd,
    is_kept: bool,
}

impl<'a> Fifo<'a> {
    /// Makes the fifo at `path`, where there must be nothing yet.
    pub fn make(path: &'a Path) -> Result<Self> {
        Self::try_make(path).on("--exec-fifo: making", path)
    }

    fn try_make(path: &'a Path) -> sys::Result<Self> {
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(above.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        mkfifoat(&directory, name, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let file = open_fifo(&directory, name).inspect_err(|_| {
            let _ = unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir);
        })?;
        Ok(Self { name, file, directory, is_kept: false })
    }

    /// Leaves the fifo to the caller, who starts the process with it.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Fifo<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = unlinkat(&self.directory, self.name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Opens a fifo that has just been created, and checks that it is one: another user who may write
/// to the directory may have replaced it.
fn open_fifo(directory: &OwnedFd, name: &OsStr) -> sys::Result<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    let file = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let kind = sys::fs::file_type(&stat);
    let is_ours = kind == SFlag::S_IFIFO && stat.st_uid == geteuid().as_raw();
    if is_ours { Ok(file) } else { Err(Errno::EEXIST) }
}
