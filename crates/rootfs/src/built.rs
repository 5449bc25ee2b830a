//! A root while the child makes it: its descriptor, and those of mounts in which rind looks
//! something up later. It resolves paths; it must not know what is made there, nor when.

use crate::container_path::{Base, ContainerPath};
use crate::filesystem;
use crate::layout::MountPlan;
use crate::live::Live;
use crate::step::{Fault, Result, Step};
use crate::target::{self, Found, Kind};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use sys::Errno;
use sys::fs::LeakyFd;
use sys::mount::{self, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::{OFlag, ResolveFlag};
use sys::nix::sys::stat::Mode;

/// A root while the child makes it.
#[derive(Debug)]
pub struct Built {
    pub(crate) root: LeakyFd,
    /// What rind knows of the mounts of a container that runs already.
    pub(crate) live: Option<Live>,
    /// The kept mounts, in the order in which rind has made them.
    kept: Vec<Kept>,
    /// The index in `kept` of a writable procfs that rind has made.
    proc: Option<usize>,
    /// The index in `kept` of a writable procfs that rind has bound to /proc.
    bound_proc: Option<usize>,
    /// A clone of the host's null device, to mask files with.
    pub(crate) null: Option<LeakyFd>,
}

/// A mount that rind has made.
#[derive(Debug)]
struct Kept {
    base: Base,
    mount: LeakyFd,
    /// Whether it becomes read-only once everything in it is made.
    read_only_later: bool,
}

impl Built {
    pub(crate) fn at(root: LeakyFd) -> Self {
        Self { root, live: None, kept: Vec::new(), proc: None, bound_proc: None, null: None }
    }

    /// The root of a container that runs already, to make more mounts in.
    pub(crate) fn live(root: LeakyFd, live: Live) -> Self {
        Self { live: Some(live), ..Self::at(root) }
    }

    /// Keeps the mount of `plan`, if a later step needs it.
    pub(crate) fn keep(&mut self, plan: &MountPlan, mount: LeakyFd) {
        let is_read_only = plan.options.attributes.set.contains(ATTR_RDONLY);
        let read_only_later = plan.defers_read_only();
        let is_writable_proc = plan.is_new(c"proc") && !is_read_only;
        if is_writable_proc {
            self.proc = Some(self.kept.len());
        } else if plan.covers_proc && plan.is_kept && !is_read_only {
            // Nothing but a procfs is bound there.
            self.bound_proc = Some(self.kept.len());
        }
        if plan.is_kept || is_writable_proc || read_only_later {
            self.kept.push(Kept { base: Base::Mount(plan.index), mount, read_only_later });
        }
    }

    /// Keeps what covers entry `index` of `linux.readonlyPaths`.
    pub(crate) fn keep_cover(&mut self, index: usize, mount: LeakyFd) {
        self.kept.push(Kept { base: Base::Cover(index), mount, read_only_later: false });
    }

    /// The mount of `base`, if it was kept.
    pub(crate) fn kept(&self, base: Base) -> Option<&LeakyFd> {
        let index = self.kept.binary_search_by_key(&base, |kept| kept.base).ok()?;
        self.kept.get(index).map(|kept| &kept.mount)
    }

    /// Keeps [`Built::protect`] from the mount at `path`, which is `found`.
    pub(crate) fn forget_read_only(&mut self, path: &ContainerPath, found: &LeakyFd) {
        if let Some(base) = path.mount() {
            let index = self.kept.binary_search_by_key(&base, |kept| kept.base);
            if let Some(kept) = index.ok().and_then(|index| self.kept.get_mut(index)) {
                kept.read_only_later = false;
            }
            return;
        }
        // A link in the path may lead to any of them.
        let id = |mount: &LeakyFd| sys::fs::mount_facts(mount).ok().map(|facts| facts.id);
        let remounted = id(found);
        for kept in self.kept.iter_mut().filter(|kept| kept.read_only_later) {
            kept.read_only_later = id(&kept.mount) != remounted;
        }
    }

    /// Makes mounts read-only that had to wait until everything in them is made.
    pub(crate) fn protect(&self) -> Result<()> {
        let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        for kept in self.kept.iter().filter(|kept| kept.read_only_later) {
            let set = mount::mount_setattr(&kept.mount, Depth::One, &read_only);
            let Base::Mount(index) = kept.base else { continue };
            set.map_err(|errno| Fault::new(Step::Attributes, errno).at(index))?;
        }
        Ok(())
    }

    /// Opens what is at `path` (`O_PATH`), following links within the root.
    pub(crate) fn find(&self, path: &ContainerPath) -> sys::Result<LeakyFd> {
        self.find_with(path, OFlag::empty())
    }

    /// [`Built::find`], but opens a link at the end of `path` itself.
    pub(crate) fn find_nofollow(&self, path: &ContainerPath) -> sys::Result<LeakyFd> {
        self.find_with(path, OFlag::O_NOFOLLOW)
    }

    fn find_with(&self, path: &ContainerPath, flags: OFlag) -> sys::Result<LeakyFd> {
        if let Some((mount, way)) = self.around(path)? {
            match target::find_beneath(mount, way, flags) {
                // A link leads out of the mount, so the root has to resolve the whole path.
                Err(Errno::EXDEV) => {}
                found => return found,
            }
        }
        target::find_with(self.root(), &path.path, flags)
    }

    /// The mount at `path`, if there is one and it was kept.
    pub(crate) fn mount_at(&self, path: &ContainerPath) -> Option<&LeakyFd> {
        self.kept(path.mount()?)
    }

    /// [`Built::find`], but what is missing is made.
    pub(crate) fn find_or_make(&self, path: &ContainerPath, kind: Kind) -> sys::Result<Found> {
        if let Some((mount, way)) = self.around(path)? {
            match target::find_beneath(mount, way, OFlag::empty()) {
                Err(Errno::ENOENT) => return target::make_path(mount, way, kind),
                Err(Errno::EXDEV) => {}
                found => return found.map(Found::before),
            }
        }
        target::find_or_make(self.root(), &path.path, kind)
    }

    /// The directory to resolve `path` from, if no link in it leads out of that, and the way from
    /// there.
    pub(crate) fn base<'a>(
        &'a self,
        path: &'a ContainerPath,
    ) -> sys::Result<(BorrowedFd<'a>, &'a CStr)> {
        Ok(self.around(path)?.unwrap_or((self.root(), &path.path)))
    }

    /// The mount that `path` is in, and the way from there.
    fn around<'a>(
        &'a self,
        path: &'a ContainerPath,
    ) -> sys::Result<Option<(BorrowedFd<'a>, &'a CStr)>> {
        let Some((base, way)) = &path.within else { return Ok(None) };
        match (self.kept(*base), base) {
            (Some(mount), _) => Ok(Some((mount.as_fd(), way))),
            // The read-only path doesn't exist, so rind has not covered it.
            (None, Base::Cover(_)) => Err(Errno::ENOENT),
            // The plan keeps each mount that a path is in. From the root, rind could miss the
            // mount.
            (None, Base::Mount(_)) => Err(Errno::ESTALE),
        }
    }

    /// The container's root directory.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens `path` of procfs for writing.
    ///
    /// rind resolves the path in a procfs that it has made or bound, and never across a mount:
    /// nothing that an image or another container mounts over /proc, or in it, can redirect the
    /// write.
    pub fn open_proc(&self, path: &str) -> sys::Result<LeakyFd> {
        let own;
        let proc = if let Some(proc) = self.own_proc() {
            proc
        } else {
            match filesystem::mount_simple(c"proc", &[], mount::Attr::empty()) {
                // The kernel makes none of processes that belong to another user namespace. A sysctl
                // is that of the namespaces of who opens it, so any procfs has it.
                Err(Errno::EPERM) => self.bound_proc().ok_or(Errno::EPERM)?,
                made => {
                    own = made?;
                    &own
                }
            }
        };
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_SYMLINKS;
        sys::fs::openat2(proc, path, OFlag::O_WRONLY, Mode::empty(), resolve).map(LeakyFd::from)
    }

    /// Whether `path` exists below `proc`, the container's /proc.
    pub(crate) fn has_in_proc(&self, proc: &ContainerPath, path: &CStr) -> bool {
        match self.own_proc() {
            // Every procfs has it.
            Some(_) if path == c"self/fd" => true,
            Some(proc) => target::find(proc.as_fd(), path).is_ok(),
            None => self.find(proc).is_ok_and(|proc| target::find(proc.as_fd(), path).is_ok()),
        }
    }

    fn own_proc(&self) -> Option<&LeakyFd> {
        self.kept.get(self.proc?).map(|kept| &kept.mount)
    }

    fn bound_proc(&self) -> Option<&LeakyFd> {
        self.kept.get(self.bound_proc?).map(|kept| &kept.mount)
    }
}
