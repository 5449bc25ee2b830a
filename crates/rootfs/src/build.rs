//! The child's side: carries a [`Layout`] out. Nothing else knows the order.

use crate::built::Built;
use crate::container_path::Base;
use crate::filesystem::clone_tree;
use crate::layout::{Layout, MountKind, Source};
use crate::make::make_mount;
use crate::options::Options;
use crate::step::{During, Fault, Result, Step};
use crate::sysctl::Sysctl;
use crate::target::Kind;
use crate::{devices, masks, nodes, target};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::fs::LeakyFd;
use sys::mount::Propagation::{Private, Shared, Slave};
use sys::mount::{self, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::AT_FDCWD;

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
        let mut ready = Some(ready);
        for plan in &self.mounts {
            if matches!(plan.kind, MountKind::Cgroup)
                && let Some(ready) = ready.take()
            {
                ready()?;
            }
            let source = early.next_if(|(index, _)| *index == plan.index).map(|(_, tree)| tree);
            make_mount(&self.context, plan, source, &mut built)
                .map_err(|fault| fault.at(plan.index))?;
        }
        ready.map_or(Ok(()), |ready| ready())?;
        devices::make_devices(self, &built)?;
        if !self.masked_paths.is_empty() {
            built.null = Some(nodes::clone_null().during(Step::MaskSource)?);
        }
        Ok(built)
    }

    /// What comes last: sysctls, what is masked or read-only, the root's own attributes.
    pub fn finish(&self, built: &mut Built) -> Result<()> {
        write_sysctls(&self.sysctls, built)?;
        if let Some(cwd) = &self.make_cwd {
            let _ = built.find_or_make(cwd, Kind::Directory).during(Step::WorkingDirectory)?;
        }
        masks::make_read_only(self, built)?;
        masks::mask_paths(self, built)?;
        let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        built.protect()?;
        if self.read_only_root {
            mount::mount_setattr(&built.root, Depth::One, &read_only).during(Step::ReadonlyRoot)?;
        }
        if let Some((propagation, depth)) = self.propagation.filter(|(kind, _)| *kind != Slave) {
            let attributes = Attributes { propagation, ..Attributes::default() };
            mount::mount_setattr(&built.root, depth, &attributes).during(Step::RootPropagation)?;
        }
        self.check_visible(built)
    }

    /// Whether the container will see at /proc and /sys what was made for these: a mount goes with
    /// its directory, if somebody else renames that meanwhile.
    fn check_visible(&self, built: &Built) -> Result<()> {
        for plan in self.mounts.iter().filter(|plan| plan.must_be_visible) {
            let fault = |errno| Fault::new(Step::Moved, errno).at(plan.index);
            let mount = built.kept(Base::Mount(plan.index)).ok_or_else(|| fault(Errno::ESTALE))?;
            let facts = sys::fs::mount_facts(mount).map_err(fault)?;
            // From the root, which is this process's as well, no path leads out.
            let path = target::plain(built.root(), &plan.target.path).map_err(fault)?;
            let seen = sys::fs::mount_facts_at(built.root(), &path).map_err(fault)?;
            if !seen.is_root || seen.id != facts.id {
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
            if let MountKind::Bind { source: Source::Path(path), depth } = &plan.kind {
                let tree = clone_tree(path, *depth, None, plan.options.links.keeps_source)
                    .map_err(|errno| Fault::new(Step::Source, errno).at(plan.index))?;
                early.push((plan.index, LeakyFd::from(tree)));
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
            Source::Earlier { .. } | Source::Locked(_) => Err(Errno::EBADF),
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
        let is_slave =
            self.context.mount_namespace && self.propagation.is_none_or(|(kind, _)| kind == Slave);
        let private = Attributes { propagation: Private, ..Attributes::default() };
        clone_tree(path, Depth::Tree, (!is_slave).then_some(&private), false)
    }
}

/// Writes `linux.sysctl`, in the order of the plan.
fn write_sysctls(list: &[Sysctl], built: &Built) -> Result<()> {
    for (index, sysctl) in list.iter().enumerate() {
        let written = built
            .open_proc(&sysctl.path)
            .and_then(|file| sys::fs::write_once(&file, sysctl.value.as_bytes()));
        written.map_err(|errno| Fault::new(Step::Sysctl, errno).at(index))?;
    }
    Ok(())
}
