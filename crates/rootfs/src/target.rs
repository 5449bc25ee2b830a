//! Finds and makes files and directories below the root: by openat2(2) within the root, and one
//! component at a time where something is missing. No path here may lead out of the root.

use crate::container_path::as_path;
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::fs::{LeakyFd, openat, openat2};
use sys::nix::fcntl::{AtFlags, OFlag, ResolveFlag, readlinkat};
use sys::nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use sys::nix::unistd::{UnlinkatFlags, unlinkat};

/// How many dangling links rind follows for a path; the kernel's limit for links
/// (`path_resolution(7)`).
const LINKS: usize = 40;

/// What to make for a missing mount point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// A file or directory that a path leads to.
#[derive(Debug)]
pub(crate) struct Found {
    pub file: LeakyFd,
    /// Whether rind has just made it.
    pub is_new: bool,
}

impl Found {
    /// One that existed before.
    pub fn before(file: LeakyFd) -> Self {
        Self { file, is_new: false }
    }
}

/// Makes the directory `path` below `root`, and missing directories above it, with mode 0755 less
/// the umask. Links resolve as if `root` were the root.
pub fn make_directories(root: BorrowedFd, path: &CStr) -> sys::Result<()> {
    find_or_make(root, path, Kind::Directory).map(drop)
}

/// Opens what is at `path` below `root` (`O_PATH`), following links within the root.
pub(crate) fn find(root: BorrowedFd, path: &CStr) -> sys::Result<LeakyFd> {
    open_in(root, path, OFlag::O_PATH, RESOLVE)
}

/// [`find`] with more `flags`, such as `O_NOFOLLOW`.
pub(crate) fn find_with(root: BorrowedFd, path: &CStr, flags: OFlag) -> sys::Result<LeakyFd> {
    open_in(root, path, OFlag::O_PATH | flags, RESOLVE)
}

/// [`find`] for a directory; `ELOOP` if there is a link in the path, `ENOTDIR` for another file.
pub(crate) fn find_directory(root: BorrowedFd, path: &CStr) -> sys::Result<LeakyFd> {
    let resolve = RESOLVE.union(ResolveFlag::RESOLVE_NO_SYMLINKS);
    open_in(root, path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY, resolve)
}

/// [`find`], but `ELOOP` if there is a link anywhere in the path.
///
/// An empty path is `root` itself, which may be a file.
pub(crate) fn find_without_links(root: BorrowedFd, path: &CStr) -> sys::Result<LeakyFd> {
    let resolve = RESOLVE.union(ResolveFlag::RESOLVE_NO_SYMLINKS);
    if path.is_empty() { duplicate(root) } else { open_in(root, path, OFlag::O_PATH, resolve) }
}

/// [`find`], but what is missing is made.
pub(crate) fn find_or_make(root: BorrowedFd, path: &CStr, kind: Kind) -> sys::Result<Found> {
    match find(root, path) {
        Err(Errno::ENOENT) => make_path(root, path, kind),
        found => found.map(Found::before),
    }
}

/// A file or directory that rind has created.
#[derive(Debug)]
pub(crate) struct Created {
    parent: LeakyFd,
    name: CString,
    kind: Kind,
    inode: (u64, u64),
}

impl Created {
    /// Removes it, if it still exists and is empty.
    pub fn remove(&self) -> sys::Result<()> {
        let stat = fstatat(&self.parent, self.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if (stat.st_dev, stat.st_ino) != self.inode {
            return Err(Errno::ESTALE);
        }
        let flag = match self.kind {
            Kind::File if stat.st_size != 0 => return Err(Errno::ENOTEMPTY),
            Kind::File => UnlinkatFlags::NoRemoveDir,
            Kind::Directory => UnlinkatFlags::RemoveDir,
        };
        unlinkat(&self.parent, self.name.as_c_str(), flag)
    }
}

/// [`find_or_make`], but `ELOOP` if there is a link anywhere in the path, which must have no `..`.
/// Adds what it creates to `created`.
pub(crate) fn find_or_make_without_links(
    root: BorrowedFd,
    path: &Path,
    kind: Kind,
    created: &mut Vec<Created>,
) -> sys::Result<LeakyFd> {
    let mut here = find_without_links(root, c".")?;
    let mut names = path.iter().filter(|name| *name != "/").peekable();
    while let Some(name) = names.next() {
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
        let kind = if names.peek().is_some() { Kind::Directory } else { kind };
        here = match find_without_links(here.as_fd(), &name) {
            Err(Errno::ENOENT) => match create(&here, &name, kind) {
                // Another process has made it meanwhile.
                Err(Errno::EEXIST) => find_without_links(here.as_fd(), &name)?,
                file => {
                    let file = file?;
                    let stat = fstat(&file)?;
                    let inode = (stat.st_dev, stat.st_ino);
                    created.push(Created { parent: here, name, kind, inode });
                    file
                }
            },
            found => found?,
        };
    }
    Ok(here)
}

/// The first link on the way to `path`, which must have no `..`.
pub(crate) fn first_link(root: BorrowedFd, path: &Path) -> Option<PathBuf> {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    let is_link = |part: &&Path| {
        let part = CString::new(part.as_os_str().as_bytes()).unwrap_or_default();
        find_without_links(root, &part).is_err_and(|errno| errno == Errno::ELOOP)
    };
    parts.into_iter().find(is_link).map(Path::to_owned)
}

/// [`find_with`], but `EXDEV` if a link leads out of `mount`. An empty path is `mount` itself.
pub(crate) fn find_beneath(mount: BorrowedFd, path: &CStr, flags: OFlag) -> sys::Result<LeakyFd> {
    if path.is_empty() {
        return duplicate(mount);
    }
    let resolve = ResolveFlag::RESOLVE_BENEATH.union(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    open_in(mount, path, OFlag::O_PATH | flags, resolve)
}

/// Makes what is missing of `path`, which must not exist. `..` after a missing component cancels
/// that: rind makes nothing for `missing/..`.
pub(crate) fn make_path(root: BorrowedFd, path: &CStr, kind: Kind) -> sys::Result<Found> {
    make_missing(root, path, kind, LINKS)
}

/// Absolute paths and links start at the root, and links of procfs lead nowhere.
const RESOLVE: ResolveFlag = ResolveFlag::RESOLVE_IN_ROOT.union(ResolveFlag::RESOLVE_NO_MAGICLINKS);

fn open_in(
    root: BorrowedFd,
    path: &CStr,
    flags: OFlag,
    resolve: ResolveFlag,
) -> sys::Result<LeakyFd> {
    // The kernel refuses an empty path.
    let path = if path.is_empty() { c"." } else { path };
    openat2(root, path, flags, Mode::empty(), resolve).map(LeakyFd::from)
}

/// [`make_path`], following at most `links` dangling links: if the last component exists though the
/// path doesn't, it is such a link, and rind makes what the link leads to, within the root.
fn make_missing(root: BorrowedFd, path: &CStr, kind: Kind, links: usize) -> sys::Result<Found> {
    let path = plain(root, path)?;
    if path.is_empty() {
        return find(root, c"").map(Found::before);
    }
    let (parent_path, name) = split(&path)?;
    let parent = match find(root, &parent_path) {
        Err(Errno::ENOENT) => make_missing(root, &parent_path, Kind::Directory, links)?.file,
        found => found?,
    };
    match create(&parent, &name, kind) {
        Err(Errno::EEXIST) => {}
        created => return created.map(|file| Found { file, is_new: true }),
    }
    let Ok(target) = readlinkat(&parent, name.as_c_str()) else {
        // Another process has made it meanwhile.
        return find(root, &path).map(Found::before);
    };
    let links = links.checked_sub(1).ok_or(Errno::ELOOP)?;
    let next = as_path(&parent_path).join(target).into_os_string().into_vec();
    let next = CString::new(next).map_err(|_| Errno::EINVAL)?;
    match find(root, &next) {
        Err(Errno::ENOENT) => make_missing(root, &next, kind, links),
        found => found.map(Found::before),
    }
}

/// The path that [`make_path`] makes for `path`: without `.` and `..`.
pub(crate) fn plain<'a>(root: BorrowedFd, path: &'a CStr) -> sys::Result<Cow<'a, CStr>> {
    if has_dots(path) { without_dots(root, path).map(Cow::Owned) } else { Ok(Cow::Borrowed(path)) }
}

fn has_dots(path: &CStr) -> bool {
    path.to_bytes().split(|byte| *byte == b'/').any(|name| matches!(name, b"." | b".."))
}

/// `path` without `.`, `..` and links; keeps missing components.
fn without_dots(root: BorrowedFd, path: &CStr) -> sys::Result<CString> {
    let components = |path: &[u8]| -> Vec<Vec<u8>> {
        let names =
            path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        names.rev().map(<[u8]>::to_vec).collect()
    };
    let joined = |names: &[Vec<u8>]| CString::new(names.join(&b'/')).map_err(|_| Errno::EINVAL);
    let mut rest = components(path.to_bytes());
    let (mut done, mut links) = (Vec::new(), LINKS);
    while let Some(name) = rest.pop() {
        if name == b".." {
            done.pop();
            continue;
        }
        let directory = find(root, &joined(&done)?);
        let link = directory.ok().and_then(|dir| readlinkat(&dir, name.as_slice()).ok());
        let Some(target) = link else {
            done.push(name);
            continue;
        };
        links = links.checked_sub(1).ok_or(Errno::ELOOP)?;
        if target.as_bytes().starts_with(b"/") {
            done.clear();
        }
        rest.append(&mut components(target.as_bytes()));
    }
    joined(&done)
}

/// Makes one component, and opens what it has made.
fn create(parent: &LeakyFd, name: &CStr, kind: Kind) -> sys::Result<LeakyFd> {
    match kind {
        Kind::Directory => {
            mkdirat(parent, name, Mode::from_bits_truncate(0o755))?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(parent, name, flags, Mode::empty()).map(LeakyFd::from)
        }
        Kind::File => create_file(parent, name, 0o644),
    }
}

/// Creates an empty file to mount on, and opens it for reading only: a descriptor for writing would
/// keep the mount that the file is in from becoming read-only.
pub(crate) fn create_file(parent: &LeakyFd, name: &CStr, mode: u32) -> sys::Result<LeakyFd> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::from_bits_truncate(mode)).map(LeakyFd::from)
}

/// Duplicates a descriptor.
pub(crate) fn duplicate(file: BorrowedFd) -> sys::Result<LeakyFd> {
    file.try_clone_to_owned().map(LeakyFd::from).map_err(|_| Errno::EMFILE)
}

/// Splits a path into its directory and its last component.
pub(crate) fn split(path: &CStr) -> sys::Result<(CString, CString)> {
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').ok_or(Errno::EEXIST)?;
    let bytes = bytes.get(..=end).unwrap_or_default();
    let (parent, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
        None => (&b""[..], bytes),
    };
    if name == b"." || name == b".." {
        return Err(Errno::EINVAL);
    }
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
    Ok((text(parent)?, text(name)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use sys::fs::open;

    struct Folder(PathBuf, std::os::fd::OwnedFd);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("rind-target-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("root")).unwrap();
            let root = open(&path.join("root"), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            Self(path, root.unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn missing_components_are_made() {
        let Folder(path, root) = &Folder::new("made");
        find_or_make(root.as_fd(), c"/a/b/c", Kind::Directory).unwrap();
        find_or_make(root.as_fd(), c"a/b/file", Kind::File).unwrap();
        assert!(path.join("root/a/b/c").is_dir() && path.join("root/a/b/file").is_file());
        find_or_make(root.as_fd(), c"", Kind::Directory).unwrap();
        assert!(!make_path(root.as_fd(), c"..", Kind::Directory).unwrap().is_new, "the root");
    }

    #[test]
    fn dots_after_what_is_missing_are_of_the_path() {
        let Folder(path, root) = &Folder::new("dots");
        symlink("/gone/x", path.join("root/dangling")).unwrap();
        for (wanted, made) in [
            (c"/a/.", "a"),
            (c"/b/./", "b"),
            (c"/none/../c", "c"),
            (c"none/../../../d/./e/..", "d"),
            (c"/dangling/../y", "gone/y"),
        ] {
            assert!(find_or_make(root.as_fd(), wanted, Kind::Directory).unwrap().is_new);
            assert!(path.join("root").join(made).is_dir(), "{made}");
        }
        assert!(!path.join("root/none").exists() && !path.join("root/gone/x").exists());
        assert!(!path.join("root/d/e").exists() && !path.join("d").exists());
        assert!(!find_or_make(root.as_fd(), c"/none/..", Kind::Directory).unwrap().is_new);
    }

    #[test]
    fn links_lead_to_places_in_the_root() {
        let Folder(path, root) = &Folder::new("links");
        fs::create_dir(path.join("outside")).unwrap();
        symlink(path.join("outside"), path.join("root/absolute")).unwrap();
        symlink("../../../../outside", path.join("root/relative")).unwrap();
        symlink("nowhere/yet", path.join("root/dangling")).unwrap();
        make_directories(root.as_fd(), c"absolute/x").unwrap();
        make_directories(root.as_fd(), c"relative/y").unwrap();
        find_or_make(root.as_fd(), c"dangling", Kind::File).unwrap();
        assert!(fs::read_dir(path.join("outside")).unwrap().next().is_none());
        let inside = path.join("root").join(path.strip_prefix("/").unwrap()).join("outside/x");
        assert!(inside.is_dir(), "{}", inside.display());
        assert!(path.join("root/outside/y").is_dir());
        assert!(path.join("root/nowhere/yet").is_file());
    }

    #[test]
    fn without_links_only_real_paths_are_found_and_made() {
        let Folder(path, root) = &Folder::new("real");
        fs::create_dir(path.join("root/there")).unwrap();
        symlink("there", path.join("root/link")).unwrap();
        let mut made = Vec::new();
        let mut make = |path: &str, kind| {
            find_or_make_without_links(root.as_fd(), Path::new(path), kind, &mut made)
        };
        make("/there/a/b", Kind::Directory).unwrap();
        make("/there/a/file", Kind::File).unwrap();
        make("/there/a/written", Kind::File).unwrap();
        for linked in ["/link", "/link/a"] {
            assert_eq!(make(linked, Kind::Directory).unwrap_err(), Errno::ELOOP, "{linked}");
        }
        make("/", Kind::Directory).unwrap();
        assert_eq!(first_link(root.as_fd(), Path::new("/link/a/x")), Some("/link".into()));
        assert_eq!(first_link(root.as_fd(), Path::new("/there/a")), None);
        fs::write(path.join("root/there/a/written"), "x").unwrap();
        let removed: Vec<_> = made.iter().rev().map(Created::remove).collect();
        let kept = Err(Errno::ENOTEMPTY);
        assert_eq!(removed, [kept, Ok(()), Ok(()), kept]);
        assert!(path.join("root/there/a/written").exists());
    }

    #[test]
    fn a_circle_of_links_ends() {
        let Folder(path, root) = &Folder::new("circle");
        symlink("b", path.join("root/a")).unwrap();
        symlink("a", path.join("root/b")).unwrap();
        assert_eq!(find_or_make(root.as_fd(), c"a", Kind::File).unwrap_err(), Errno::ELOOP);
    }
}
