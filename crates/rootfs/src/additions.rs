//! Mounts for a container that is there already, and taking mounts away from one.
//!
//! All that is mounted is made on the host's side, detached; in the container's mount namespace it
//! is only moved to its place, below that namespace's root. /proc is not used there: it would be the
//! container's.

use crate::Error;
use crate::build::Built;
use crate::describe::error_mounting;
use crate::layout::{Context, MountPlan, NAMESPACED, Source, What, plan_mounts};
use crate::make::{clone_source, detached, make_mount};
use crate::step::Fault;
use crate::target::find;
use oci_spec::runtime::Spec;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::Errno;
use sys::fs::Scratch;
use sys::nix::mount::{MntFlags, umount2};
use sys::nix::unistd::fchdir;

/// Mounts to add, all made and nowhere yet.
#[derive(Debug)]
pub struct Additions {
    context: Context,
    mounts: Vec<MountPlan>,
}

impl Additions {
    /// Makes the mounts of `spec`, whose other sections are the container's.
    ///
    /// Sources of bind mounts are relative to `bundle`. What would show the host's namespaces, or
    /// takes the container itself to make, is refused.
    pub fn plan(spec: &Spec, bundle: &Path, context: Context) -> Result<Self, Error> {
        let (mut mounts, _) = plan_mounts(spec, bundle, &context)?;
        for plan in &mut mounts {
            make(plan, &context)?;
        }
        Ok(Self { context, mounts })
    }

    /// Attaches them below `root`, the container's root directory, in its mount namespace. If one
    /// can't be, none is.
    pub fn attach(&self, root: OwnedFd) -> Result<(), Fault> {
        let mut built = Built::at(Scratch::from(root));
        let mut attached: Vec<&CStr> = Vec::new();
        let mut all = || -> Result<(), Fault> {
            for plan in &self.mounts {
                let made = make_mount(&self.context, plan, None, &mut built);
                made.map_err(|fault| fault.at(plan.index))?;
                if !matches!(plan.what, What::Remount) {
                    attached.push(&plan.place.path);
                }
            }
            built.protect()
        };
        all().inspect_err(|_| {
            for destination in attached.iter().rev() {
                // What can't be taken away again has been taken by somebody else.
                let _ = find(built.root(), destination).and_then(|mount| unmount(&mount));
            }
        })
    }

    /// What went wrong, in words.
    #[must_use]
    pub fn describe(&self, fault: &Fault) -> String {
        error_mounting(&self.mounts, fault).unwrap_or_else(|| fault.errno.desc().to_lowercase())
    }
}

/// Takes what is mounted at `destination` away, below `root`, the container's root directory, in its
/// mount namespace; what still uses it keeps it.
///
/// `EINVAL` if nothing is mounted there.
pub fn remove_mount(root: &OwnedFd, destination: &Path) -> sys::Result<()> {
    let path =
        CString::new(destination.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    find(root.as_fd(), &path).and_then(|mount| unmount(&mount))
}

/// Makes what is not made yet.
fn make(plan: &mut MountPlan, context: &Context) -> Result<(), Error> {
    if let Some(why) = refusal(plan, context) {
        let destination = plan.place.path.to_string_lossy();
        return Err(Error(format!("mounts[{}] {destination}: {why}", plan.index)));
    }
    let failed = |fault: Fault, plan: &MountPlan| {
        let fault = fault.at(plan.index);
        Error(error_mounting(std::slice::from_ref(plan), &fault).unwrap_or_default())
    };
    match &plan.what {
        What::Bind { source: Source::Path(path), depth } => {
            let tree = clone_source(path, *depth, None).map_err(|fault| failed(fault, plan))?;
            let tree = tree.as_fd().try_clone_to_owned();
            let tree = tree.map_err(|_| Error::call("keeping the clone open", Errno::EMFILE))?;
            plan.what = What::Bind { source: Source::Tree(tree), depth: *depth };
        }
        What::FileSystem { name, made: None } => {
            let tree = detached(plan, name).map_err(|fault| failed(fault, plan))?;
            plan.what = What::FileSystem { name: name.clone(), made: Some(tree) };
        }
        _ => {}
    }
    Ok(())
}

/// Why a mount can't be added, if it can't.
fn refusal(plan: &MountPlan, context: &Context) -> Option<String> {
    if plan.options.needs_classic() {
        return Some("an option of it can only be had from mount(2), at create".into());
    }
    match &plan.what {
        What::Cgroup => Some("a cgroup mount can't be added".into()),
        What::FileSystem { name, made: None } => {
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

/// Unmounts by a descriptor: of a path, the last part could be exchanged meanwhile.
fn unmount(mount: &Scratch) -> sys::Result<()> {
    fchdir(mount)?;
    umount2(".", MntFlags::MNT_DETACH)
}
