//! Locates the paths of a config: in which of `mounts` a path is, or in the image. The child must
//! resolve a path in a mount from the descriptor of that mount.
//!
//! A mount moves with its mount point, and another process with the same rootfs can rename that
//! meanwhile. A walk from the root would then miss the mount, and everything in it that the config
//! masks. The descriptor of the mount always leads to it.

use oci_spec::runtime::{Mount, Spec};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A path of the config, and the mount that it is in.
#[derive(Debug)]
pub(crate) struct ContainerPath {
    /// The path as the config has it, from the container's root.
    pub path: CString,
    /// The last mount that the path is in, by its text, and the way from there: empty for the mount
    /// itself.
    pub within: Option<(Base, CString)>,
}

impl ContainerPath {
    /// The mount at the path itself.
    pub fn mount(&self) -> Option<Base> {
        self.within.as_ref().filter(|(_, way)| way.is_empty()).map(|(base, _)| *base)
    }

    /// The index in `mounts` of the mount that the path is in.
    pub fn mount_index(&self) -> Option<usize> {
        match self.within {
            Some((Base::Mount(index), _)) => Some(index),
            _ => None,
        }
    }
}

/// A mount in which rind looks something up. The order is that in which rind makes the mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Base {
    /// An entry of `mounts`, by its index.
    Mount(usize),
    /// The cover of an entry of `linux.readonlyPaths`, by its index.
    Cover(usize),
}

/// A map from paths to values, as a tree of components: a lookup takes time by the length of the
/// path only.
#[derive(Debug)]
pub(crate) struct Paths<T>(Vec<Node<T>>);

#[derive(Debug)]
struct Node<T> {
    known: Option<T>,
    /// The indexes of the nodes below, by their names.
    below: BTreeMap<Box<[u8]>, usize>,
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self(vec![Node { known: None, below: BTreeMap::new() }])
    }
}

impl<T> Paths<T> {
    /// Sets the value of `path`.
    pub fn add(&mut self, path: &Path, known: T) {
        let mut at = 0;
        let path = normal(path);
        let mut way = below_root(&path);
        while let Some((name, rest)) = first_name(way) {
            way = rest;
            let next = self.0.len();
            let Some(node) = self.0.get_mut(at) else { return };
            at = match node.below.get(name) {
                Some(below) => *below,
                None => *node.below.entry(name.into()).or_insert(next),
            };
            if at == next {
                self.0.push(Node { known: None, below: BTreeMap::new() });
            }
        }
        if let Some(node) = self.0.get_mut(at) {
            node.known = Some(known);
        }
    }

    /// The values of `path` and of the paths above it, each with the way from there to `path`.
    pub fn around(&self, path: &Path) -> Vec<(&T, PathBuf)> {
        let path = normal(path);
        let mut way = below_root(&path);
        let mut found = Vec::new();
        let mut node = self.0.first();
        while let Some(here) = node {
            found.extend(here.known.as_ref().map(|known| (known, OsStr::from_bytes(way).into())));
            node = first_name(way).and_then(|(name, rest)| {
                way = rest;
                self.0.get(*here.below.get(name)?)
            });
        }
        found
    }

    /// Whether any path below `path` has a value.
    pub fn any_below(&self, path: &Path) -> bool {
        let path = normal(path);
        let mut way = below_root(&path);
        let mut node = self.0.first();
        while let Some((name, rest)) = first_name(way) {
            way = rest;
            node = node.and_then(|node| self.0.get(*node.below.get(name)?));
        }
        node.is_some_and(|node| !node.below.is_empty())
    }
}

/// The names of a normalized path, with slashes between them.
fn below_root(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_prefix(b"/").unwrap_or(bytes)
}

/// The first of names with slashes between them, and the others.
fn first_name(way: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = way.iter().position(|byte| *byte == b'/').unwrap_or(way.len());
    let (name, rest) = way.split_at(end);
    (!name.is_empty()).then_some((name, rest.get(1..).unwrap_or_default()))
}

/// The last mount at each destination.
pub(crate) type Destinations = Paths<Base>;

impl Destinations {
    /// Locates `path` among the mounts so far.
    pub fn locate(&self, path: CString) -> ContainerPath {
        let last = self.around(as_path(&path)).into_iter().max_by_key(|(base, _)| **base);
        let within = last
            .and_then(|(base, way)| Some((*base, CString::new(way.as_os_str().as_bytes()).ok()?)));
        ContainerPath { path, within }
    }
}

/// The same path for the standard library.
pub(crate) fn as_path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

/// The destination of a mount, from the container's root. As with runc, a config may also give the
/// host's path below `rootfs`, the root's absolute path.
pub(crate) fn destination(mount: &Mount, rootfs: Option<&Path>) -> PathBuf {
    let destination = tidy(mount.destination());
    let root = rootfs.map(normal).filter(|root| root != Path::new("/"));
    let below = root.and_then(|root| normal(&destination).strip_prefix(root).ok().map(tidy));
    below.unwrap_or(destination)
}

/// The normalized [`destination`], for a config whose bundle is at `bundle`.
pub(crate) fn normal_destination(mount: &Mount, spec: &Spec, bundle: &Path) -> PathBuf {
    let rootfs = spec.root().as_ref().map(|root| bundle.join(root.path()));
    normal(&destination(mount, rootfs.as_deref())).into_owned()
}

/// The path from the root without `.` and doubled slashes. Keeps `..`, which may follow a link.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    if is_normal(path) {
        return path.to_owned();
    }
    let kept = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    Path::new("/").join(path.components().filter(kept).collect::<PathBuf>())
}

/// The normalized path: from the root, without `.`, `..` and doubled slashes. Right only if no part
/// is a link.
pub(crate) fn normal(path: &Path) -> Cow<'_, Path> {
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Cow::Owned(normal)
}

/// Whether [`normal`] would change nothing, as with nearly every path of a config.
fn is_normal(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let Some(names) = bytes.strip_prefix(b"/") else { return false };
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    names.is_empty() || names.split(|byte| *byte == b'/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_normal_within_the_root() {
        for (path, expected) in
            [("proc//", "/proc"), ("/a/../../proc/.", "/proc"), ("", "/"), ("/dev/x/..", "/dev")]
        {
            assert_eq!(normal(Path::new(path)), Path::new(expected));
            assert!(is_normal(Path::new(expected)) && !is_normal(Path::new(path)));
        }
    }

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
            let located = all.locate(path.to_owned());
            let found = located.within.as_ref().map(|(base, way)| (*base, way.as_c_str()));
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
