//! The child's side: carrying a [`Layout`] out, in the order in which it has to be.

use crate::layout::{Layout, MountPlan, Source, What};
use crate::live::Live;
use crate::make::{clone_source, make_mount};
use crate::options::Options;
use crate::place::{Base, Place};
use crate::step::{During, Fault, Result, Step};
use crate::target::Kind;
use crate::{devices, masks, pivot, sysctl, target};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::Errno;
use sys::fs::LeakyFd;
use sys::mount::Propagation::{Private, Shared, Slave};
use sys::mount::{self, ATTR_RDONLY, Attr, Attributes, Depth};
use sys::nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag};
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
    fn at(root: LeakyFd) -> Self {
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
        let at = self.kept.binary_search_by_key(&base, |kept| kept.base).ok()?;
        self.kept.get(at).map(|kept| &kept.mount)
    }

    /// Leaves the mount at `place`, which is `found`, as it is.
    pub(crate) fn forget_read_only(&mut self, place: &Place, found: &LeakyFd) {
        if let Some((base, way)) = &place.within
            && way.is_empty()
        {
            let at = self.kept.binary_search_by_key(base, |kept| kept.base);
            if let Some(kept) = at.ok().and_then(|at| self.kept.get_mut(at)) {
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
            own = crate::make::simple(c"proc", &[], Attr::empty())?;
            &own
        };
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_SYMLINKS;
        sys::fs::openat2(proc, path, OFlag::O_WRONLY, Mode::empty(), resolve).map(LeakyFd::from)
    }

    /// Whether `path` is below `proc`, the container's /proc.
    pub(crate) fn has_in_proc(&self, proc: &Place, path: &CStr) -> bool {
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

impl Layout {
    /// Makes all mounts and devices. `ready` is called once, before the first thing that depends on
    /// the container's cgroups: what they show, and what they allow.
    pub fn build<E: From<Fault>>(
        &self,
        ready: &mut dyn FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<Built, E> {
        let mut early = self.clone_early()?.into_iter().peekable();
        if self.context.mount_namespace {
            mount::set_propagation(c"/", Slave, Depth::Tree).during(Step::Isolate)?;
        }
        let root = self.attach_root()?;
        let mut built = Built::at(root);
        let mut is_ready = false;
        for plan in &self.mounts {
            if matches!(plan.what, What::Cgroup) && !is_ready {
                ready()?;
                is_ready = true;
            }
            let source = early.next_if(|(index, _)| *index == plan.index).map(|(_, tree)| tree);
            make_mount(&self.context, plan, source, &mut built)
                .map_err(|fault| fault.at(plan.index))?;
        }
        if !is_ready {
            ready()?;
        }
        devices::make_all(self, &built)?;
        if self.masks_files() {
            built.null = Some(masks::clone_null().during(Step::MaskSource)?);
        }
        Ok(built)
    }

    /// Makes the container's root this process's root, and lets go of the old one.
    pub fn pivot(&self, built: &Built) -> Result<()> {
        pivot::change_root(self, built)
    }

    /// Binds the terminal behind `slave` to /dev/console.
    pub fn bind_console(&self, built: &Built, slave: BorrowedFd) -> Result<()> {
        devices::bind_console(&self.dev, built, slave).during(Step::Console)
    }

    /// What comes last: sysctls, what is masked or read-only, the root's own attributes.
    pub fn finish(&self, built: &mut Built) -> Result<()> {
        sysctl::write_all(&self.sysctls, built)?;
        if let Some(cwd) = &self.make_cwd {
            let _ = built.find_or_make(cwd, Kind::Directory).during(Step::WorkingDirectory)?;
        }
        masks::make_read_only(self, built)?;
        masks::mask(self, built)?;
        let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        built.protect()?;
        if self.read_only_root {
            mount::mount_setattr(&built.root, Depth::One, &read_only).during(Step::ReadonlyRoot)?;
        }
        if let Some((propagation, depth)) = self.propagation.filter(|(kind, _)| *kind != Slave) {
            let attributes = Attributes { propagation, ..Attributes::default() };
            mount::mount_setattr(&built.root, depth, &attributes).during(Step::RootPropagation)?;
        }
        self.check_shown(built)
    }

    /// Whether the container will see at /proc and /sys what was made for these: a mount goes with
    /// its directory, if somebody else renames that meanwhile.
    fn check_shown(&self, built: &Built) -> Result<()> {
        for plan in self.mounts.iter().filter(|plan| plan.is_shown) {
            let fault = |errno| Fault::new(Step::Moved, errno).at(plan.index);
            let mount = built.kept(Base::Mount(plan.index)).ok_or_else(|| fault(Errno::ESTALE))?;
            let made = sys::fs::mount_facts(mount).map_err(fault)?;
            // From the root, which is this process's as well, no path leads out.
            let path = target::plain(built.root(), &plan.place.path).map_err(fault)?;
            let seen = sys::fs::mount_facts_at(built.root(), &path).map_err(fault)?;
            if !seen.is_root || seen.id != made.id {
                return Err(fault(Errno::ESTALE));
            }
        }
        Ok(())
    }

    /// Where the root is shared, so are bind mounts that ask for it: with the host, whose peers they
    /// can only be if they are cloned while the namespace still is the host's.
    fn clone_early(&self) -> Result<Vec<(usize, LeakyFd)>> {
        let mut early = Vec::new();
        if self.propagation.is_none_or(|(kind, _)| kind != Shared) {
            return Ok(early);
        }
        let shared =
            |options: &Options| options.propagation.iter().any(|(kind, _)| *kind == Shared);
        for plan in self.mounts.iter().filter(|plan| shared(&plan.options)) {
            if plan.copied_link.is_some() {
                continue;
            }
            if let What::Bind { source: Source::Path(path), depth } = &plan.what {
                let tree = clone_source(path, *depth, None, plan.options.links.keeps_source)
                    .map_err(|fault| fault.at(plan.index))?;
                early.push((plan.index, tree));
            }
        }
        Ok(early)
    }

    /// Clones the mount of the rootfs with all below and attaches it where it came from, so that
    /// the root is a mount of its own.
    fn attach_root(&self) -> Result<LeakyFd> {
        let tree = match &self.root {
            Source::Tree(tree) => tree.try_clone().map_err(|_| Errno::EMFILE),
            Source::Path(path) => self.clone_root(path),
            Source::Made { .. } | Source::Locked(_) => Err(Errno::EBADF),
        };
        let tree = LeakyFd::from(tree.during(Step::CloneRoot)?);
        match mount::move_mount_follow(&tree, AT_FDCWD, &self.root_path) {
            // A path that this user namespace may not walk: anywhere else does as well.
            Err(Errno::EACCES) if self.context.mount_namespace => {
                mount::move_mount(&tree, AT_FDCWD, c"/").during(Step::AttachRoot)?;
            }
            attached => attached.during(Step::AttachRoot)?,
        }
        Ok(tree)
    }

    /// Only a slave, which is also the default, goes on with what the host does below the rootfs.
    fn clone_root(&self, path: &CStr) -> sys::Result<OwnedFd> {
        let keeps =
            self.context.mount_namespace && self.propagation.is_none_or(|(kind, _)| kind == Slave);
        if keeps {
            return mount::open_tree(AT_FDCWD, path, Depth::Tree, false);
        }
        let private = Attributes { propagation: Private, ..Attributes::default() };
        mount::open_tree_with(AT_FDCWD, path, Depth::Tree, &private)
    }
}
