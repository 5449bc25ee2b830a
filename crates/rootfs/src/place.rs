//! Where a path of the config is: in one of `mounts`, by the descriptor of what was made for it, or
//! in the image.
//!
//! A mount goes with the directory that it is on, and whoever shares the rootfs can rename that
//! meanwhile. A walk from the root would then miss the mount, and with it what is to be masked in
//! it; its descriptor doesn't.

use crate::build::Built;
use crate::layout::normal;
use crate::target::{self, Found, Kind};
use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::fs::LeakyFd;

/// A path of the config, and the mount that it is in.
#[derive(Debug)]
pub(crate) struct Place {
    /// The path as the config has it, from the container's root.
    pub path: CString,
    /// The last mount that is around it by its name, and the way from there: empty for the mount
    /// itself.
    pub within: Option<(Base, CString)>,
}

impl Place {
    /// Whether it is where a mount is.
    pub fn is_mount(&self) -> bool {
        self.within.as_ref().is_some_and(|(_, way)| way.is_empty())
    }
}

/// A mount that something is looked up in, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Base {
    /// By its index, one of `mounts`.
    Mount(usize),
    /// By its index, what covers one of `linux.readonlyPaths`.
    Cover(usize),
}

/// Paths with something known of them, as a tree of their components: what is looked for takes as
/// long as its path, whatever else there is.
#[derive(Debug)]
pub(crate) struct Paths<T>(Vec<Node<T>>);

#[derive(Debug)]
struct Node<T> {
    known: Option<T>,
    /// By their names, the places of the nodes below.
    below: HashMap<OsString, usize>,
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self(vec![Node { known: None, below: HashMap::new() }])
    }
}

impl<T> Paths<T> {
    /// Puts `known` at `path`, in the place of what was there.
    pub fn add(&mut self, path: &Path, known: T) {
        let mut at = 0;
        for name in normal(path).iter().skip(1) {
            let next = self.0.len();
            let Some(node) = self.0.get_mut(at) else { return };
            at = *node.below.entry(name.to_owned()).or_insert(next);
            if at == next {
                self.0.push(Node { known: None, below: HashMap::new() });
            }
        }
        if let Some(node) = self.0.get_mut(at) {
            node.known = Some(known);
        }
    }

    /// What is known of those around `path`, and of itself, each with the way from there.
    pub fn around(&self, path: &Path) -> Vec<(&T, PathBuf)> {
        let name = normal(path);
        let mut way = name.strip_prefix("/").unwrap_or(&name).iter();
        let mut found = Vec::new();
        let mut node = self.0.first();
        while let Some(here) = node {
            found.extend(here.known.as_ref().map(|known| (known, way.as_path().to_owned())));
            node = way.next().and_then(|name| self.0.get(*here.below.get(name)?));
        }
        found
    }

    /// Whether there is anything below `path`.
    pub fn any_below(&self, path: &Path) -> bool {
        let name = normal(path);
        let node = name.iter().skip(1).try_fold(self.0.first(), |node, name| {
            let below = node?.below.get(name)?;
            Some(self.0.get(*below))
        });
        node.flatten().is_some_and(|node| !node.below.is_empty())
    }
}

/// Which mount is at which path, the last one of several.
pub(crate) type Destinations = Paths<Base>;

impl Destinations {
    /// Where `path` is, among the mounts added so far.
    pub fn place(&self, path: CString) -> Place {
        let last = self.around(as_path(&path)).into_iter().max_by_key(|(base, _)| **base);
        let within = last
            .and_then(|(base, way)| Some((*base, CString::new(way.as_os_str().as_bytes()).ok()?)));
        Place { path, within }
    }
}

/// The same path for functions of the standard library.
pub(crate) fn as_path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

impl Built {
    /// Opens what is at `place` (`O_PATH`).
    pub(crate) fn find(&self, place: &Place) -> sys::Result<LeakyFd> {
        match self.around(place)? {
            Some((mount, way)) => match target::find_beneath(mount, way) {
                // A link leads out of the mount: from the root again.
                Err(Errno::EXDEV) => target::find(self.root(), &place.path),
                found => found,
            },
            None => target::find(self.root(), &place.path),
        }
    }

    /// The mount that is at `place`, if one is.
    pub(crate) fn mount_at(&self, place: &Place) -> Option<&LeakyFd> {
        place
            .within
            .as_ref()
            .filter(|(_, way)| way.is_empty())
            .and_then(|(base, _)| self.kept(*base))
    }

    /// [`Built::find`] of a directory of that very path: `ELOOP` or `ENOTDIR` for a link or anything
    /// else.
    pub(crate) fn find_directory(&self, place: &Place) -> sys::Result<LeakyFd> {
        let (base, path) = self.base(place)?;
        target::find_directory(base, path)
    }

    /// [`Built::find`], but `ELOOP` if there is a link anywhere in the path.
    pub(crate) fn find_without_links(&self, place: &Place) -> sys::Result<LeakyFd> {
        let (base, path) = self.base(place)?;
        target::find_without_links(base, path)
    }

    /// [`Built::find`], but what is missing is made.
    pub(crate) fn find_or_make(&self, place: &Place, kind: Kind) -> sys::Result<Found> {
        match self.around(place)? {
            Some((mount, way)) => match target::find_beneath(mount, way) {
                Err(Errno::ENOENT) => target::make(mount, way, kind),
                Err(Errno::EXDEV) => target::find_or_make(self.root(), &place.path, kind),
                found => found.map(Found::before),
            },
            None => target::find_or_make(self.root(), &place.path, kind),
        }
    }

    /// [`Built::find`], but a link that is there is opened as what it is.
    pub(crate) fn find_last(&self, place: &Place) -> sys::Result<LeakyFd> {
        match self.around(place)? {
            Some((mount, way)) => match target::find_last_beneath(mount, way) {
                Err(Errno::EXDEV) => target::find_last(self.root(), &place.path),
                found => found,
            },
            None => target::find_last(self.root(), &place.path),
        }
    }

    /// Makes what [`Built::find_without_links`] has not found.
    pub(crate) fn make(&self, place: &Place, kind: Kind) -> sys::Result<Found> {
        let (base, path) = self.base(place)?;
        target::make(base, path, kind)
    }

    /// Where a path without links that lead elsewhere starts.
    fn base<'a>(&'a self, place: &'a Place) -> sys::Result<(BorrowedFd<'a>, &'a CStr)> {
        Ok(self.around(place)?.unwrap_or((self.root(), &place.path)))
    }

    /// The mount that is around `place`, and the way from there.
    fn around<'a>(&'a self, place: &'a Place) -> sys::Result<Option<(BorrowedFd<'a>, &'a CStr)>> {
        let Some((base, way)) = &place.within else { return Ok(None) };
        match (self.kept(*base), base) {
            (Some(mount), _) => Ok(Some((mount.as_fd(), way))),
            // There is no cover of what isn't there.
            (None, Base::Cover(_)) => Err(Errno::ENOENT),
            // It is kept if anything is in it; from the root it could be missed.
            (None, Base::Mount(_)) => Err(Errno::ESTALE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_in_the_last_mount_around_it() {
        let mut all = Destinations::default();
        for (index, path) in [c"/proc", c"/a/b/", c"/a", c"/proc", c"//a/./c"].iter().enumerate() {
            all.add(as_path(path), Base::Mount(index));
        }
        for (path, within) in [
            (c"/proc/sys", Some((3, c"sys"))),
            (c"/proc", Some((3, c""))),
            (c"/procs", None),
            (c"/a/b/c", Some((2, c"b/c"))),
            (c"/x/../a/c/d/", Some((4, c"d"))),
            (c"/", None),
        ] {
            let place = all.place(path.to_owned());
            let found = place.within.as_ref().map(|(base, way)| (*base, way.as_c_str()));
            let within = within.map(|(index, way)| (Base::Mount(index), way));
            assert_eq!(found, within, "{}", path.to_string_lossy());
        }
    }

    #[test]
    fn what_is_below_a_path_is_found() {
        let mut all = Paths::default();
        for path in ["/a/b", "/a-b", "/proc", "/sys/fs/cgroup"] {
            all.add(Path::new(path), ());
        }
        for (path, has) in [
            (c"/a", true),
            (c"/a/b", false),
            (c"/sys/fs/", true),
            (c"/proc", false),
            (c"/", true),
            (c"/b", false),
        ] {
            assert_eq!(all.any_below(as_path(path)), has, "{}", path.to_string_lossy());
        }
    }
}
