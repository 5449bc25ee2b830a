//! A root while the child makes it: its descriptor, and those of the mounts in it that something is
//! looked up in later. It finds places, and must not know what is made in them, nor when.

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

/// A root that is made: what later stages work on.
#[derive(Debug)]
pub struct Built {
    pub(crate) root: LeakyFd,
    /// Where the container is there already, what is known of its mounts.
    pub(crate) live: Option<Live>,
    /// Some of the mounts that were made, in their order.
    kept: Vec<Kept>,
    /// Which of them is the root of the container's own procfs, which was made here and so is one.
    /// Not of one that is read-only.
    proc: Option<usize>,
    /// The host's null device, to mask files with.
    pub(crate) null: Option<LeakyFd>,
}

/// A mount that was made.
#[derive(Debug)]
struct Kept {
    base: Base,
    mount: LeakyFd,
    /// Whether it becomes read-only once all is made in it.
    read_only_later: bool,
}

impl Built {
    pub(crate) fn at(root: LeakyFd) -> Self {
        Self { root, live: None, kept: Vec::new(), proc: None, null: None }
    }

    /// One to make more mounts in: `root` is the root directory of a container that is there.
    pub(crate) fn live(root: LeakyFd, live: Live) -> Self {
        Self { live: Some(live), ..Self::at(root) }
    }

    /// Keeps what was made of `plan`, if anything is still to be done with it.
    pub(crate) fn keep(&mut self, plan: &MountPlan, mount: LeakyFd) {
        let is_read_only = plan.options.attributes.set.contains(ATTR_RDONLY);
        let read_only_later = plan.defers_read_only();
        let is_writable_proc = plan.is_new(c"proc") && !is_read_only;
        if is_writable_proc {
            self.proc = Some(self.kept.len());
        }
        if plan.is_kept || is_writable_proc || read_only_later {
            self.kept.push(Kept { base: Base::Mount(plan.index), mount, read_only_later });
        }
    }

    /// Keeps what covers entry `index` of `linux.readonlyPaths`.
    pub(crate) fn keep_cover(&mut self, index: usize, mount: LeakyFd) {
        self.kept.push(Kept { base: Base::Cover(index), mount, read_only_later: false });
    }

    /// A mount that was made, if it was kept.
    pub(crate) fn kept(&self, base: Base) -> Option<&LeakyFd> {
        let index = self.kept.binary_search_by_key(&base, |kept| kept.base).ok()?;
        self.kept.get(index).map(|kept| &kept.mount)
    }

    /// Leaves the mount at `path`, which is `found`, as it is.
    pub(crate) fn forget_read_only(&mut self, path: &ContainerPath, found: &LeakyFd) {
        if let Some(base) = path.mount() {
            let index = self.kept.binary_search_by_key(&base, |kept| kept.base);
            if let Some(kept) = index.ok().and_then(|index| self.kept.get_mut(index)) {
                kept.read_only_later = false;
            }
            return;
        }
        // A link may lead to any.
        let id = |mount: &LeakyFd| sys::fs::mount_facts(mount).ok().map(|facts| facts.id);
        let remounted = id(found);
        for kept in self.kept.iter_mut().filter(|kept| kept.read_only_later) {
            kept.read_only_later = id(&kept.mount) != remounted;
        }
    }

    /// Makes read-only what was left until all is made.
    pub(crate) fn protect(&self) -> Result<()> {
        let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        for kept in self.kept.iter().filter(|kept| kept.read_only_later) {
            let set = mount::mount_setattr(&kept.mount, Depth::One, &read_only);
            let Base::Mount(index) = kept.base else { continue };
            set.map_err(|errno| Fault::new(Step::Attributes, errno).at(index))?;
        }
        Ok(())
    }

    /// Opens what is at `path` (`O_PATH`).
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

    /// The directory to resolve `path` from, if no link in it leads out of that, and the way from there.
    pub(crate) fn base<'a>(
        &'a self,
        path: &'a ContainerPath,
    ) -> sys::Result<(BorrowedFd<'a>, &'a CStr)> {
        Ok(self.around(path)?.unwrap_or((self.root(), &path.path)))
    }

    /// The mount that is around `path`, and the way from there.
    fn around<'a>(
        &'a self,
        path: &'a ContainerPath,
    ) -> sys::Result<Option<(BorrowedFd<'a>, &'a CStr)>> {
        let Some((base, way)) = &path.within else { return Ok(None) };
        match (self.kept(*base), base) {
            (Some(mount), _) => Ok(Some((mount.as_fd(), way))),
            // There is no cover of what isn't there.
            (None, Base::Cover(_)) => Err(Errno::ENOENT),
            // It is kept if anything is in it; from the root it could be missed.
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
    /// It is looked up in a procfs that was made here, and never across a mount: what the image or
    /// another container has put over /proc or into it can't redirect the write.
    pub fn open_proc(&self, path: &str) -> sys::Result<LeakyFd> {
        let own;
        let proc = if let Some(proc) = self.own_proc() {
            proc
        } else {
            own = filesystem::mount_simple(c"proc", &[], mount::Attr::empty())?;
            &own
        };
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_SYMLINKS;
        sys::fs::openat2(proc, path, OFlag::O_WRONLY, Mode::empty(), resolve).map(LeakyFd::from)
    }

    /// Whether `path` is below `proc`, the container's /proc.
    pub(crate) fn has_in_proc(&self, proc: &ContainerPath, path: &CStr) -> bool {
        match self.own_proc() {
            // As every procfs has.
            Some(_) if path == c"self/fd" => true,
            Some(proc) => target::find(proc.as_fd(), path).is_ok(),
            None => self.find(proc).is_ok_and(|proc| target::find(proc.as_fd(), path).is_ok()),
        }
    }

    fn own_proc(&self) -> Option<&LeakyFd> {
        self.kept.get(self.proc?).map(|kept| &kept.mount)
    }
}
