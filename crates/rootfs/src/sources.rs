//! Sources that the host's side clones for a container with a user namespace. A clone must be
//! locked before it enters that namespace.
//!
//! If a mount namespace is a copy of another user namespace's, the kernel locks every mount in the
//! copy (`mount_namespaces(7)`): nobody can clear a flag, or unmount what covers something. A clone
//! has these locks only if its source has them. So the host's side makes the clones in such a copy
//! of the host's mounts. It must be the host's side: the config may name sources that the
//! container's root can't reach, and only the host's side may map ids.

use crate::filesystem::clone_tree;
use crate::layout::{Layout, Locked, MountKind, MountPlan, Source};
use crate::{Error, idmap};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use sys::Errno;
use sys::fs::open;
use sys::mount::{self, Attributes, Depth, Propagation};
use sys::nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag};
use sys::nix::sys::stat::{FileStat, Mode, fstat, stat};

impl Locked {
    /// The source at `path`, which must exist. `property` is for errors.
    pub fn new(
        property: &'static str,
        path: &CStr,
        depth: Depth,
        nofollow: bool,
    ) -> Result<Self, Error> {
        let found = lasting(path, nofollow);
        let path = found.map_err(|errno| failed(property, path, errno))?;
        Ok(Self { property, path, depth, private: false, nofollow, mapped: None })
    }

    fn cloned(&self) -> Result<OwnedFd, Error> {
        let private = Attributes { propagation: Propagation::Private, ..Attributes::default() };
        let change = self.private.then_some(&private);
        let tree = clone_tree(&self.path, self.depth, change, self.nofollow);
        let tree = tree.map_err(|errno| {
            let error = failed(self.property, &self.path, errno);
            if self.covers(errno) { error.because(COVERED) } else { error }
        })?;
        if let Some((namespace, depth)) = &self.mapped {
            idmap::map_ids(&tree, *depth, namespace)?;
        }
        Ok(tree)
    }

    /// Whether the kernel refuses to clone the source because that would uncover what mounts below
    /// it cover.
    fn covers(&self, errno: Errno) -> bool {
        let clone_all = || clone_tree(&self.path, Depth::Tree, None, self.nofollow);
        errno == Errno::EINVAL && self.depth == Depth::One && clone_all().is_ok()
    }
}

const COVERED: &str = "the host has mounts below it, and with a user namespace what they cover must \
                       stay covered: use rbind";

fn failed(property: &str, path: &CStr, errno: Errno) -> Error {
    Error::call(format!("{property} {}", path.to_string_lossy()), errno)
}

/// A path that leads to the same file in a copy of rind's mount namespace. A link of procfs still
/// leads to the original mounts there, so this replaces it by the path of its target.
fn lasting(path: &CStr, nofollow: bool) -> sys::Result<CString> {
    let resolve = ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let last = if nofollow { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    match sys::fs::openat2(AT_FDCWD, path, OFlag::O_PATH | last, Mode::empty(), resolve) {
        Err(Errno::ELOOP) => {}
        opened => return opened.map(|_| path.to_owned()),
    }
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC | last, Mode::empty())?;
    let name = std::fs::read_link(sys::fs::proc_fd_path(&file)).unwrap_or_default();
    let name = CString::new(name.into_os_string().into_vec()).unwrap_or_default();
    let same = |a: FileStat, b: FileStat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    let is_there = stat(name.as_c_str()).is_ok_and(|it| fstat(&file).is_ok_and(|to| same(it, to)));
    // Some files, such as a namespace's, have no path; the kernel lets rind clone some of these by
    // the link.
    Ok(if is_there { name } else { path.to_owned() })
}

/// Makes all mounts of a copy of the host's mounts slaves, as init does anyway. The kernel clones
/// no tree with a locked mount in it that is unbindable (`MS_UNBINDABLE`).
pub fn isolate_copy() -> sys::Result<()> {
    mount::set_propagation(c"/", Propagation::Slave, Depth::Tree)
}

/// The source of a mount, if the host's side has to clone it after the fork.
pub(crate) fn locked_source(plan: &MountPlan) -> Option<&Locked> {
    match &plan.kind {
        MountKind::Bind { source: Source::Locked(locked), .. } => Some(locked),
        _ => None,
    }
}

/// A clone of [`locked_source`].
pub(crate) fn clone_locked(plan: &MountPlan) -> Option<Result<OwnedFd, Error>> {
    let destination = || plan.target.path.to_string_lossy();
    let about = || format!("mounts[{}] {}", plan.index, destination());
    Some(locked_source(plan)?.cloned().map_err(|error| error.about(about())))
}

pub(crate) fn source_of(plan: &mut MountPlan) -> Option<&mut Source> {
    match &mut plan.kind {
        MountKind::Bind { source, .. } => Some(source),
        _ => None,
    }
}

/// Replaces the first sources that await a clone by `trees`.
pub(crate) fn fill<'a>(sources: impl Iterator<Item = &'a mut Source>, trees: Vec<OwnedFd>) {
    let waiting = sources.filter(|source| matches!(source, Source::Locked(_)));
    for (source, tree) in waiting.zip(trees) {
        *source = Source::Tree(tree);
    }
}

impl Layout {
    /// Whether sources from [`Layout::clone_sources`] are still missing.
    #[must_use]
    pub fn awaits_sources(&self) -> bool {
        matches!(self.root, Source::Locked(_))
            || self.mounts.iter().any(|plan| locked_source(plan).is_some())
    }

    /// Clones the missing sources, in the order in which [`Layout::take_sources`] takes them. Must
    /// run in a copy of rind's mount namespace that the container's user namespace owns.
    pub fn clone_sources(&self) -> Result<Vec<OwnedFd>, Error> {
        let root = match &self.root {
            Source::Locked(locked) => Some(locked.cloned()),
            _ => None,
        };
        root.into_iter().chain(self.mounts.iter().filter_map(clone_locked)).collect()
    }

    /// Takes clones for the first missing sources.
    pub fn take_sources(&mut self, trees: Vec<OwnedFd>) {
        let mounts = self.mounts.iter_mut().filter_map(source_of);
        fill(std::iter::once(&mut self.root).chain(mounts), trees);
    }
}
