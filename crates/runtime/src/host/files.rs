//! Files at paths that the caller names. Other users may be able to write to their directories, so
//! rind never writes through a link that another user may have put there.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use sys::Errno;
use sys::fs::openat;
use sys::nix::fcntl::{AT_FDCWD, AtFlags, OFlag, readlinkat};
use sys::nix::libc::O_NOFOLLOW;
use sys::nix::sys::stat::{Mode, fstat, fstatat};
use sys::nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use sys::nix::unistd::geteuid;

/// How many links are followed one after the other (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Puts a file with this content at `path` atomically. It replaces what is there; of a symbolic
/// link the link itself.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(ErrorKind::InvalidInput.into());
    }
    // Another user can't guess this name, and `create_new` fails if the file exists.
    let number = RandomState::new().build_hasher().finish();
    let new = path.with_file_name(format!(".rind-{number:016x}"));
    let mut file = File::create_new(&new)?;
    let put = file.write_all(content).and_then(|()| fs::rename(&new, path));
    put.inspect_err(|_| {
        // The first error is returned.
        let _ = fs::remove_file(&new);
    })
}

/// Opens a file to append to, and creates it with `mode` if it is missing.
///
/// A symbolic link is followed only if nobody but root and the caller can have put it there, as
/// /dev/stderr is one.
pub fn append(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match options.append(true).create(true).mode(mode).custom_flags(O_NOFOLLOW).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            Ok(append_through_links(path, Mode::from_bits_truncate(mode))?)
        }
        opened => opened,
    }
}

fn append_through_links(path: &Path, mode: Mode) -> sys::Result<File> {
    let append = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_CLOEXEC;
    let mut path = path.to_owned();
    let mut from: Option<OwnedFd> = None;
    for _ in 0..MOST_LINKS {
        let name = path.file_name().ok_or(Errno::EISDIR)?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let above = above.unwrap_or(Path::new("."));
        let directory = match &from {
            Some(from) => openat(from, above, flags, Mode::empty()),
            None => openat(AT_FDCWD, above, flags, Mode::empty()),
        }?;
        match openat(&directory, name, append | OFlag::O_NOFOLLOW, mode) {
            Err(Errno::ELOOP) => {}
            opened => return opened.map(File::from),
        }
        if !is_only_ours(&directory, name)? {
            return Err(Errno::ELOOP);
        }
        if fstatfs(&directory)?.filesystem_type() == PROC_SUPER_MAGIC {
            // A link in procfs leads to an open file, whatever its text says.
            return openat(&directory, name, append, mode).map(File::from);
        }
        path = readlinkat(&directory, name)?.into();
        from = Some(directory);
    }
    Err(Errno::ELOOP)
}

/// Whether nobody but root and the caller can have put the link `name` in this directory.
fn is_only_ours(directory: &OwnedFd, name: &std::ffi::OsStr) -> sys::Result<bool> {
    let stat = fstat(directory)?;
    if state::distrust(&stat).is_none() {
        return Ok(true);
    }
    // In a sticky directory only the owner of a link can replace it.
    let link = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let ours = |uid| uid == 0 || uid == geteuid().as_raw();
    Ok(Mode::from_bits_truncate(stat.st_mode).contains(Mode::S_ISVTX)
        && ours(stat.st_uid)
        && ours(link.st_uid))
}
