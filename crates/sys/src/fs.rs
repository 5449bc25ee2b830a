//! File calls that nix lacks: openat2 with a root to stay in, statx's mount facts, `close_range`.

use crate::{Errno, Result, check, owned, uninterrupted};
use nix::dir::Dir;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, OpenHow, ResolveFlag, SealFlag};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use std::ffi::CStr;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

/// How often a lookup is tried again that the kernel broke off since something was renamed below
/// the root meanwhile (`EAGAIN`, see openat2(2)).
const RACE_RETRIES: usize = 128;

/// Opens `path` below `dir` with openat2(2).
///
/// `RESOLVE_IN_ROOT` makes `dir` the root of absolute paths and symlinks. A lookup that raced with
/// a rename is tried again. The descriptor is close-on-exec.
pub fn openat2<P: nix::NixPath + ?Sized>(
    dir: impl AsFd,
    path: &P,
    flags: OFlag,
    mode: Mode,
    resolve: ResolveFlag,
) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(mode).resolve(resolve);
    let mut tried = 0;
    loop {
        match nix::fcntl::openat2(&dir, path, how) {
            Err(Errno::EAGAIN) if tried < RACE_RETRIES => tried += 1,
            Err(Errno::EINTR) => {}
            opened => return opened,
        }
    }
}

/// open(2), which a file system over a network, or of a process, can have broken off by a signal: that
/// does not show.
pub fn open<P: nix::NixPath + ?Sized>(path: &P, flags: OFlag, mode: Mode) -> Result<OwnedFd> {
    uninterrupted(|| nix::fcntl::open(path, flags, mode))
}

/// openat(2), as [`open`].
pub fn openat<P: nix::NixPath + ?Sized>(
    dir: impl AsFd,
    path: &P,
    flags: OFlag,
    mode: Mode,
) -> Result<OwnedFd> {
    uninterrupted(|| nix::fcntl::openat(&dir, path, flags, mode))
}

/// The directory at `path` below `dir`, to be listed; opened as by [`openat`].
pub fn open_listed(dir: impl AsFd, path: &CStr) -> Result<Dir> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Dir::from_fd(openat(dir, path, flags, Mode::empty())?)
}

/// The type of the file that `stat` describes: `S_IFREG`, `S_IFDIR` and so on.
#[must_use]
pub fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// What statx(2) tells of the mount that a descriptor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFacts {
    /// The mount's id, as in mountinfo.
    pub id: u64,
    /// Whether the descriptor is that mount's root.
    pub is_root: bool,
}

/// Asks which mount `file` is on (statx(2), `STATX_MNT_ID`).
pub fn mount_facts(file: impl AsFd) -> Result<MountFacts> {
    mount_facts_at(file, c"")
}

/// [`mount_facts`] of what is at `path` below `dir`, following links; an empty one is `dir` itself.
pub fn mount_facts_at(dir: impl AsFd, path: &CStr) -> Result<MountFacts> {
    let out = statx(dir.as_fd(), path, libc::STATX_MNT_ID)?;
    let root = u64::from(libc::STATX_ATTR_MOUNT_ROOT.cast_unsigned());
    Ok(MountFacts { id: out.stx_mnt_id, is_root: out.stx_attributes & root != 0 })
}

fn statx(dir: BorrowedFd, path: &CStr, mask: u32) -> Result<libc::statx> {
    let mut out = MaybeUninit::<libc::statx>::zeroed();
    let (fd, flags) = (dir.as_raw_fd(), libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT);
    // SAFETY: `out` is a statx buffer and `path` is a C string; both outlive the call.
    check(unsafe {
        libc::syscall(libc::SYS_statx, fd, path.as_ptr(), flags, mask, out.as_mut_ptr())
    })?;
    // SAFETY: the kernel filled the buffer, which was zeroed before; any bits are a valid statx.
    Ok(unsafe { out.assume_init() })
}

/// The id of the mount that `file` is on, which no other mount ever has (`STATX_MNT_ID_UNIQUE`, Linux
/// 6.8); on an older kernel its id as in mountinfo, which is given again once the mount is gone.
/// Unique ones begin above all others.
pub fn lasting_mount_id(file: impl AsFd) -> Result<u64> {
    const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
    let out = statx(file.as_fd(), c"", libc::STATX_MNT_ID | STATX_MNT_ID_UNIQUE)?;
    Ok(out.stx_mnt_id)
}

/// Whether an id of [`lasting_mount_id`] is one that no other mount ever has.
#[must_use]
pub fn is_unique_mount_id(id: u64) -> bool {
    id >= 1 << 31
}

/// A descriptor that dropping leaves open if its number is below 256: it is for a process that soon
/// closes all it has by one call ([`strip`]), and closing each is a system call. So at most 253 are
/// left open beside stdin, stdout and stderr, which is well below the usual limit of 1024.
#[derive(Debug)]
pub struct LeakyFd(ManuallyDrop<OwnedFd>);

/// The first number of which a descriptor is closed.
const FIRST_CLOSED: RawFd = 256;

impl From<OwnedFd> for LeakyFd {
    fn from(descriptor: OwnedFd) -> Self {
        Self(ManuallyDrop::new(descriptor))
    }
}

impl AsFd for LeakyFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for LeakyFd {
    fn drop(&mut self) {
        if self.0.as_raw_fd() >= FIRST_CLOSED {
            // SAFETY: nothing uses the field after this, as `self` is being dropped.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// Waits for the exclusive lock on `file` (flock(2)), which goes when its last descriptor is closed.
pub fn lock(file: impl AsFd) -> Result<()> {
    flock(file, libc::LOCK_EX)
}

/// Gives up the lock on `file`, of which others may have copies.
pub fn unlock(file: impl AsFd) -> Result<()> {
    flock(file, libc::LOCK_UN)
}

/// Whether another process has the lock on `file`, which must be a descriptor opened for this.
pub fn is_locked(file: impl AsFd) -> Result<bool> {
    match flock(file, libc::LOCK_SH | libc::LOCK_NB) {
        Err(Errno::EWOULDBLOCK) => Ok(true),
        locked => locked.map(|()| false),
    }
}

fn flock(file: impl AsFd, operation: libc::c_int) -> Result<()> {
    let number = file.as_fd().as_raw_fd();
    // SAFETY: the call takes numbers only.
    uninterrupted(|| check(unsafe { libc::flock(number, operation) }.into())).map(drop)
}

/// Whether the descriptor `number` is open (fcntl(2) with `F_GETFD`).
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: the call takes numbers only, and changes nothing.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) }.into()).is_ok()
}

/// The root of the procfs at /proc (`O_PATH`); `ENODEV` if something else is there.
pub fn open_proc() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = open("/proc", flags, Mode::empty())?;
    match fstatfs(&proc)?.filesystem_type() {
        PROC_SUPER_MAGIC => Ok(proc),
        _ => Err(Errno::ENODEV),
    }
}

/// Which of these descriptors are open (poll(2), which asks the kernel once for all of them).
pub fn are_open<const N: usize>(numbers: [RawFd; N]) -> Result<[bool; N]> {
    let mut asked = numbers.map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    let count = libc::nfds_t::try_from(N).map_err(|_| Errno::EINVAL)?;
    loop {
        // SAFETY: the pointer and the count are of one array, which outlives the call.
        match check(unsafe { libc::poll(asked.as_mut_ptr(), count, 0) }.into()) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    Ok(asked.map(|one| one.revents & libc::POLLNVAL == 0))
}

/// A copy of the descriptor `number`, which whoever called this program has opened.
pub fn duplicate(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: the call takes numbers only, and changes nothing for whoever owns the descriptor.
    owned(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) }.into())
}

/// Has `file` survive an execve.
pub fn keep_over_exec(file: impl AsFd) -> Result<()> {
    nix::fcntl::fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec, whoever owns it.
pub fn hide_from(first: RawFd) -> Result<()> {
    close_range(first, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` on. One of the two functions that close what others may own:
/// it is for the start of the program, which has opened nothing yet, so that all are the caller's.
pub fn close_inherited(first: RawFd) -> Result<()> {
    close_range(first, RawFd::MAX, 0)
}

/// Has stdin, stdout, stderr and the `preserved` descriptors after them survive an execve, and closes
/// all others but `kept`. The other function that closes what others may own: it is for a forked
/// process that from here on uses and drops no descriptor but these, and ends by execve or `_exit`.
pub fn strip(preserved: u32, kept: &[BorrowedFd]) -> Result<()> {
    let mut next = preserved.saturating_add(3).cast_signed();
    for number in 3..next {
        // SAFETY: the call takes numbers only. The program's caller has opened the descriptor for
        // the container, and nothing here owns it.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into())?;
    }
    let mut kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    for number in kept {
        if number > next {
            close_range(next, number - 1, 0)?;
        }
        next = next.max(number + 1);
    }
    close_range(next, RawFd::MAX, 0)
}

/// Closes or marks the descriptors from `first` to `last`, both included (`close_range(2)`).
fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> Result<()> {
    // SAFETY: the call takes numbers only, and no memory depends on a descriptor. That nobody comes
    // to use what is closed is for the functions above to see to.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })?;
    Ok(())
}

/// Closes `descriptors`, with one call for all that are next to each other.
pub fn close_all(descriptors: Vec<OwnedFd>) -> Result<()> {
    let mut numbers: Vec<RawFd> = descriptors.into_iter().map(IntoRawFd::into_raw_fd).collect();
    numbers.sort_unstable();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            close_range(*first, *last, 0)?;
        }
    }
    Ok(())
}

/// Reads a small file (one of procfs, sysfs, cgroupfs) to its end; `EFBIG` for one without end.
pub fn read_to_end(file: impl AsFd) -> Result<Vec<u8>> {
    /// Far more than any such file has.
    const LONGEST: usize = 64 << 20;
    let mut out = Vec::with_capacity(4096);
    let mut chunk = [0; 4096];
    loop {
        match nix::unistd::read(&file, &mut chunk) {
            Ok(0) => return Ok(out),
            Ok(_) if out.len() > LONGEST => return Err(Errno::EFBIG),
            Ok(n) => out.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A file in memory that holds `size` bytes, a multiple of a page, and can't be made to hold more:
/// what is written behind that is refused (`EPERM`). For the errors of a program that nobody reads
/// while it runs.
pub fn bounded_file(name: &CStr, size: u32) -> Result<std::fs::File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(name, flags)?;
    uninterrupted(|| nix::unistd::ftruncate(&file, size.into()))?;
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    nix::fcntl::fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// The text that was written to a [`bounded_file`]; what can't be read is left out.
#[must_use]
pub fn bounded_text(file: &std::fs::File) -> String {
    use std::os::unix::fs::FileExt;
    let size = file.metadata().map_or(0, |facts| facts.len());
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let _ = file.read_exact_at(&mut bytes, 0);
    // Nothing was written behind the first zero.
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

/// Writes `bytes` by one write(2), as kernel files want it; a short write is `EIO`.
pub fn write_once(file: impl AsFd, bytes: &[u8]) -> Result<()> {
    loop {
        match nix::unistd::write(&file, bytes) {
            Ok(n) if n == bytes.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes `bytes` by one write(2) to the file at `path`, which must be there; in a child, see
/// [`LeakyFd`].
pub fn write_file(path: &CStr, bytes: &[u8]) -> Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    write_once(LeakyFd::from(open(path, flags, Mode::empty())?), bytes)
}

/// The path under /proc that stands for an open descriptor, for calls that take only paths.
#[must_use]
pub fn proc_fd_path(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Sets the mode of what `file` stands for, which may be an `O_PATH` descriptor (fchmodat2(2), Linux
/// 6.6; else `ENOSYS`).
pub fn set_mode(file: impl AsFd, mode: Mode) -> Result<()> {
    /// The same number on every architecture.
    const SYS_FCHMODAT2: libc::c_long = 452;
    let (fd, path, mode) = (file.as_fd().as_raw_fd(), c"".as_ptr(), mode.bits());
    // SAFETY: the empty path is a C string that outlives the call.
    check(unsafe { libc::syscall(SYS_FCHMODAT2, fd, path, mode, libc::AT_EMPTY_PATH) }).map(drop)
}

/// Sets the extended attribute `name` of what is at `path`, following a link (setxattr(2)).
pub fn set_xattr(path: &str, name: &CStr, value: &[u8]) -> Result<()> {
    let set = |path: &CStr| {
        let (value, size) = (value.as_ptr().cast(), value.len());
        // SAFETY: both names are C strings and `size` is the value's; all outlive the call.
        check(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value, size, 0) }.into())
    };
    nix::NixPath::with_nix_path(path, set)?.map(drop)
}

/// What the file at `path` is, by newfstatat(2). Without the flag, which changes nothing, musl calls
/// stat(2), and a seccomp filter that allows one of the two may forbid the other.
pub fn stat(path: &CStr) -> Result<FileStat> {
    nix::sys::stat::fstatat(nix::fcntl::AT_FDCWD, path, nix::fcntl::AtFlags::AT_NO_AUTOMOUNT)
}

/// Whether the effective user may execute `path` (faccessat2(2) with `AT_EACCESS`).
pub fn is_executable(dir: impl AsFd, path: &CStr) -> Result<()> {
    let fd = dir.as_fd().as_raw_fd();
    let flags = libc::AT_EACCESS;
    // SAFETY: `path` is a C string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, fd, path.as_ptr(), libc::X_OK, flags) })?;
    Ok(())
}

/// Whether what is at `path` has the extended attribute `name` (getxattr(2)).
#[must_use]
pub fn has_xattr(path: &CStr, name: &CStr) -> bool {
    // SAFETY: both are C strings that outlive the call; with size 0 the kernel writes nothing.
    let size = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    size >= 0
}
