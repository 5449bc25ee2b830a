//! The child's side: makes what a [`Layout`] describes. Only this file knows the order; it must not
//! decide anything that the plan can.

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
    /// Makes all mounts and devices. Calls `ready` once, before the first thing that depends on the
    /// container's cgroups: cgroup mounts show them, and they decide which devices init may open.
    pub fn build<E: From<Fault>>(
        &self,
        ready: &mut dyn FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<Built, E> {
        let mut early = self.clone_early()?.into_iter().peekable();
        if self.context.mount_namespace {
            mount::set_propagation(c"/", Slave, Depth::Tree).during(Step::Isolate)?;
        }
        let root = self.attach_root()?;
        timing::done(timing::Step::Root);
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
            timing::done_at(timing::Step::Mount, plan.index);
        }
        ready.map_or(Ok(()), |ready| ready())?;
        devices::make_devices(self, &built)?;
        if !self.masked_paths.is_empty() {
            built.null = Some(nodes::clone_null().during(Step::MaskSource)?);
        }
        timing::done(timing::Step::Devices);
        Ok(built)
    }

    /// Finishes the root after the change to it: sysctls, masked and read-only paths, the root's
    /// own attributes.
    pub fn finish(&self, built: &mut Built) -> Result<()> {
        write_sysctls(&self.sysctls, built)?;
        timing::done(timing::Step::Sysctls);
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
        self.check_visible(built)?;
        timing::done(timing::Step::Masks);
        Ok(())
    }

    /// Checks that the container sees the mounts that it must see at their destinations. A mount
    /// moves with its directory if another process renames that meanwhile.
    fn check_visible(&self, built: &Built) -> Result<()> {
        for plan in self.mounts.iter().filter(|plan| plan.must_be_visible) {
            let fault = |errno| Fault::new(Step::Moved, errno).at(plan.index);
            let mount = built.kept(Base::Mount(plan.index)).ok_or_else(|| fault(Errno::ESTALE))?;
            let facts = sys::fs::mount_facts(mount).map_err(fault)?;
            // The container's root is this process's root, so no path leads out of it.
            let path = target::plain(built.root(), &plan.target.path).map_err(fault)?;
            let seen = sys::fs::mount_facts_at(built.root(), &path).map_err(fault)?;
            if !seen.is_root || seen.id != facts.id {
                return Err(fault(Errno::ESTALE));
            }
        }
        Ok(())
    }

    /// Clones the sources of shared bind mounts under a shared root. They are to be peers of the
    /// host's mounts, so rind must clone them before it makes the namespace's mounts slaves.
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

    /// Clones the rootfs with all mounts below and attaches the clone over it, so that the root is
    /// a mount of its own.
    fn attach_root(&self) -> Result<LeakyFd> {
        let tree = match &self.root {
            Source::Tree(tree) => tree.try_clone().map_err(|_| Errno::EMFILE),
            Source::Path(path) => self.clone_root(path),
            Source::Earlier { .. } | Source::Locked(_) => Err(Errno::EBADF),
        };
        let tree = LeakyFd::from(tree.during(Step::CloneRoot)?);
        match mount::move_mount_follow(&tree, AT_FDCWD, &self.root_path) {
            // This user namespace may not search the path. Any other mount point serves as well.
            Err(Errno::EACCES) if self.context.mount_namespace => {
                mount::move_mount(&tree, AT_FDCWD, c"/").during(Step::AttachRoot)?;
            }
            attached => attached.during(Step::AttachRoot)?,
        }
        Ok(tree)
    }

    /// Clones the rootfs. Only a slave, the default, receives what the host mounts below the rootfs
    /// later.
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
