//! Mounts for a container that runs already (`mounts add`).
//!
//! The host's side makes all of them detached. In the container's mount namespace it only attaches
//! them below the root. It must not use /proc there, which is the container's.

use crate::Error;
use crate::built::Built;
use crate::filesystem::{clone_tree, mount_detached};
use crate::known::{Added, Known};
use crate::layout::{Context, MountKind, MountPlan, NAMESPACED, Source, left_out};
use crate::live::{Live, destination_of};
use crate::make::make_mount;
use crate::plan::plan_mounts;
use crate::sources::{clone_locked, fill, locked_source, source_of};
use crate::step::{During, Fault, Step, error_mounting};
use oci_spec::runtime::Spec;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::fs::{LeakyFd, lasting_mount_id};

/// Mounts to add: detached, and complete but for sources that it awaits.
#[derive(Debug)]
pub struct Additions {
    context: Context,
    pub(crate) mounts: Vec<MountPlan>,
}

impl Additions {
    /// Makes the mounts of `spec`, whose other sections are the container's.
    ///
    /// Sources of bind mounts are relative to `bundle`. Refuses mounts that would show the host's
    /// namespaces, or that only the container itself can make. With a user namespace, the caller
    /// completes the mounts by [`Self::clone_sources`].
    pub fn plan(spec: &Spec, bundle: &Path, context: Context) -> Result<Self, Error> {
        let (mut mounts, _) = plan_mounts(spec, bundle, None, &context)?;
        for plan in &mut mounts {
            make_detached(plan, &context)?;
        }
        Ok(Self { context, mounts })
    }

    /// Attaches the mounts below the container's root directory `root`: all of them or, after a
    /// fault, none. Must run in the container's mount namespace.
    pub fn attach(&self, root: OwnedFd, known: Known) -> Result<(), Fault> {
        let mut built = Built::live(LeakyFd::from(root), Live::new(known));
        let mut attached = Vec::new();
        let mut all = || -> Result<(), Fault> {
            for plan in &self.mounts {
                let made = make_mount(&self.context, plan, None, &mut built);
                made.map_err(|fault| fault.at(plan.index))?;
                let Some(mount) = own_mount(plan) else { continue };
                attached.push(mount);
                let added = added(plan, mount).during(Step::Attach);
                let added = added.map_err(|fault| fault.at(plan.index))?;
                built.live.iter_mut().for_each(|live| live.add(added.clone()));
            }
            built.protect()
        };
        let done = all();
        if let (Err(_), Some(live)) = (&done, &built.live) {
            live.take_back(&attached);
        }
        done
    }

    /// See [`Layout::awaits_sources`](crate::Layout::awaits_sources).
    #[must_use]
    pub fn awaits_sources(&self) -> bool {
        self.mounts.iter().any(|plan| locked_source(plan).is_some())
    }

    /// See [`Layout::clone_sources`](crate::Layout::clone_sources).
    pub fn clone_sources(&self) -> Result<Vec<OwnedFd>, Error> {
        self.mounts.iter().filter_map(clone_locked).collect()
    }

    /// See [`Layout::take_sources`](crate::Layout::take_sources).
    pub fn take_sources(&mut self, trees: Vec<OwnedFd>) {
        fill(self.mounts.iter_mut().filter_map(source_of), trees);
    }

    /// Warnings: options of the config that rind leaves out.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        left_out(&self.mounts)
    }

    /// The record of all mounts as added, before they are attached.
    pub fn added(&self) -> Result<Vec<Added>, Error> {
        let mounts =
            self.mounts.iter().filter_map(|plan| own_mount(plan).map(|mount| added(plan, mount)));
        mounts.collect::<sys::Result<_>>().map_err(|errno| Error::call("looking at a mount", errno))
    }

    /// Describes a fault of [`Self::attach`].
    #[must_use]
    pub fn fault_error(&self, fault: &Fault) -> Error {
        let of_none = || Error::new(sys::errno_text(fault.errno)).of(fault.errno);
        error_mounting(&self.mounts, fault).unwrap_or_else(of_none)
    }
}

/// The detached mount that `plan` attaches; `None` for a remount.
fn own_mount(plan: &MountPlan) -> Option<BorrowedFd<'_>> {
    match &plan.kind {
        MountKind::Bind { source: Source::Tree(tree), .. }
        | MountKind::FileSystem { detached: Some(tree), .. } => Some(tree.as_fd()),
        _ => None,
    }
}

fn added(plan: &MountPlan, mount: BorrowedFd) -> sys::Result<Added> {
    Ok(Added { destination: destination_of(plan), id: lasting_mount_id(mount)? })
}

/// Makes the mount of `plan` detached, unless it exists or awaits its source.
fn make_detached(plan: &mut MountPlan, context: &Context) -> Result<(), Error> {
    if let Some(why) = refusal(plan, context) {
        let destination = plan.target.path.to_string_lossy();
        return Err(Error::new(format!("mounts[{}] {destination}: {why}", plan.index)));
    }
    let failed = |fault: Fault, plan: &MountPlan| {
        let fault = fault.at(plan.index);
        error_mounting(std::slice::from_ref(plan), &fault)
            .unwrap_or_else(|| Error::new(fault.to_string()))
    };
    match &plan.kind {
        MountKind::Bind { source: Source::Path(path), depth } => {
            let tree = clone_tree(path, *depth, None, plan.options.links.keeps_source)
                .during(Step::Source)
                .map_err(|fault| failed(fault, plan))?;
            plan.kind = MountKind::Bind { source: Source::Tree(tree), depth: *depth };
        }
        MountKind::FileSystem { name, detached: None } => {
            let tree = mount_detached(plan, name).map_err(|fault| failed(fault, plan))?;
            plan.kind = MountKind::FileSystem { name: name.clone(), detached: Some(tree) };
        }
        _ => {}
    }
    Ok(())
}

/// Why `plan` can't be added to a running container, if so.
fn refusal(plan: &MountPlan, context: &Context) -> Option<String> {
    if plan.options.needs_mount_call() {
        return Some("an option of it can only be had from mount(2), at create".into());
    }
    let links = plan.options.links;
    if links.keeps_target || links.copies {
        return Some("dest-nofollow and copy-symlink can only be had at create".into());
    }
    match &plan.kind {
        MountKind::Cgroup => Some("a cgroup mount can't be added".into()),
        MountKind::FileSystem { name, detached: None } => {
            let kind = name.to_string_lossy();
            if NAMESPACED.contains(&kind.as_ref()) {
                Some(format!("a new {kind} would show the host's, so none is added"))
            } else if context.user_namespace {
                Some(format!("a new {kind} would not be of the user namespace: bind one"))
            } else {
                None
            }
        }
        _ => None,
    }
}
