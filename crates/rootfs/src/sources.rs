//! Sources of a container with a user namespace that the host's side clones.
//!
//! In a mount namespace of another user namespace than the one that it is a copy of, the kernel has
//! every mount locked (`mount_namespaces(7)`): no flag can be cleared, and no mount be taken off what
//! it covers. A clone has these locks only if what is cloned has them. So the clones are made in such
//! a copy of the host's mounts; but by the host's side, as what the container's root may not reach is
//! mounted for it too, and as only the host's side may map ids.

use crate::filesystem::clone_tree;
use crate::layout::{Layout, Locked, MountKind, MountPlan, Source};
use crate::{Error, idmap};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use sys::Errno;
use sys::mount::{self, Attributes, Depth, Propagation};
use sys::nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag, open};
use sys::nix::sys::stat::{FileStat, Mode, fstat, stat};

impl Locked {
    /// A source that is there now.
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

    /// Whether it is refused alone, and not with all that is mounted below it.
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

/// The path by which a copy of our mount namespace has the same. A link of procfs leads to the mounts
/// of whoever made it, there too; the place that it leads to has a path of its own.
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
    // What has no path, as a namespace: the kernel takes some of these from anywhere.
    Ok(if is_there { name } else { path.to_owned() })
}

/// Makes all mounts of a copy slaves, as init will have them anyway: one that can't be bound
/// (`MS_UNBINDABLE`) could neither be cloned nor, being locked, be left out.
pub fn isolate_copy() -> sys::Result<()> {
    mount::set_propagation(c"/", Propagation::Slave, Depth::Tree)
}

/// The source of a mount, if it has to be cloned where it is locked.
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

/// Puts clones into the places of the first sources that wait for one.
pub(crate) fn fill<'a>(sources: impl Iterator<Item = &'a mut Source>, trees: Vec<OwnedFd>) {
    let waiting = sources.filter(|source| matches!(source, Source::Locked(_)));
    for (source, tree) in waiting.zip(trees) {
        *source = Source::Tree(tree);
    }
}

impl Layout {
    /// Whether it can be built only with what [`Layout::clone_sources`] gives.
    #[must_use]
    pub fn awaits_sources(&self) -> bool {
        matches!(self.root, Source::Locked(_))
            || self.mounts.iter().any(|plan| locked_source(plan).is_some())
    }

    /// In a mount namespace of the container's user namespace, a copy of ours: clones what the host's
    /// side has to, in the order of [`Layout::take_sources`].
    pub fn clone_sources(&self) -> Result<Vec<OwnedFd>, Error> {
        let root = match &self.root {
            Source::Locked(locked) => Some(locked.cloned()),
            _ => None,
        };
        root.into_iter().chain(self.mounts.iter().filter_map(clone_locked)).collect()
    }

    /// Takes the first of the sources that it awaits.
    pub fn take_sources(&mut self, trees: Vec<OwnedFd>) {
        let mounts = self.mounts.iter_mut().filter_map(source_of);
        fill(std::iter::once(&mut self.root).chain(mounts), trees);
    }
}
