//! `linux.maskedPaths` and `linux.readonlyPaths`, in the child: opens each target once, below the
//! mount that it is in, and covers it by the descriptor. Skips a missing target. Any other failure
//! must be fatal, and so must be a target that has vanished since the plan.

use crate::built::Built;
use crate::filesystem;
use crate::layout::{Layout, RestrictedPath};
use crate::nodes::HARMLESS;
use crate::options::MountLabel;
use crate::step::{During, Fault, Result, Step};
use std::os::fd::AsFd;
use sys::Errno;
use sys::fs::{LeakyFd, file_type};
use sys::mount::{self, ATTR_NODEV, ATTR_RDONLY, Attributes, Depth};
use sys::nix::sys::stat::{SFlag, fstat};

/// Covers each of `linux.readonlyPaths` with a read-only clone of itself, or makes a mount of
/// rind's own read-only.
pub(crate) fn make_read_only(layout: &Layout, built: &mut Built) -> Result<()> {
    let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
    for (index, path) in layout.readonly_paths.iter().enumerate() {
        let fault = |errno| Fault::new(Step::ReadonlyPath, errno).at(index);
        let Some(target) = find_target(built, path).map_err(fault)? else { continue };
        if path.target.mount().is_some() {
            mount::mount_setattr(&target, Depth::One, &read_only).map_err(fault)?;
            continue;
        }
        let cover = || -> sys::Result<LeakyFd> {
            let alone =
                path.alone.then(|| mount::open_tree_with(&target, c"", Depth::One, &read_only));
            let clone = match alone {
                // Mounts below the path stay visible and unchanged. There may be some even if the
                // plan knows of none: the host's /sys may stand for a new sysfs that the kernel
                // refuses.
                None | Some(Err(Errno::EINVAL)) => {
                    let tree = LeakyFd::from(mount::open_tree(&target, c"", Depth::Tree, false)?);
                    mount::mount_setattr(&tree, Depth::One, &read_only)?;
                    tree
                }
                Some(clone) => LeakyFd::from(clone?),
            };
            mount::move_mount(&clone, &target, c"").map(|()| clone)
        };
        let cover = cover().map_err(fault)?;
        if path.is_kept {
            built.keep_cover(index, cover);
        }
    }
    Ok(())
}

/// Covers each of `linux.maskedPaths`: a directory with an empty one, any other file with the null
/// device.
pub(crate) fn mask_paths(layout: &Layout, built: &Built) -> Result<()> {
    let mut empty: Option<LeakyFd> = None;
    let mut null_is_used = false;
    for (index, path) in layout.masked_paths.iter().enumerate() {
        let fault = |errno| Fault::new(Step::MaskedPath, errno).at(index);
        let Some(target) = find_target(built, path).map_err(fault)? else { continue };
        let kind = file_type(&fstat(&target).map_err(fault)?);
        // The first target of a kind gets the mount itself, the others get clones: the kernel
        // clones only attached mounts.
        let cover = match (kind == SFlag::S_IFDIR, &empty, &built.null) {
            (true, None, _) => {
                empty.insert(empty_directory(layout.label.as_ref()).during(Step::MaskSource)?)
            }
            (true, Some(empty), _) => &clone_mount(empty).during(Step::MaskSource)?,
            (false, _, Some(null)) if !null_is_used => {
                null_is_used = true;
                null
            }
            (false, _, Some(null)) => &clone_mount(null).during(Step::MaskSource)?,
            (false, _, None) => return Err(Fault::new(Step::MaskSource, Errno::ENODEV)),
        };
        mount::move_mount(cover, &target, c"").map_err(fault)?;
    }
    Ok(())
}

/// What is at a masked or read-only path; `None` if nothing is, and need not be.
fn find_target(built: &Built, path: &RestrictedPath) -> sys::Result<Option<LeakyFd>> {
    match built.find(&path.target) {
        Err(Errno::ENOENT) if !path.must_exist => Ok(None),
        found => found.map(Some),
    }
}

fn clone_mount(mount: impl AsFd) -> sys::Result<LeakyFd> {
    mount::open_tree(mount, c"", Depth::One, false).map(LeakyFd::from)
}

fn empty_directory(label: Option<&MountLabel>) -> sys::Result<LeakyFd> {
    // The only inode is that of the directory.
    let limits = [(c"nr_blocks", c"1"), (c"nr_inodes", c"1")];
    let labels = label.map(MountLabel::parameter);
    let parameters: Vec<_> = limits.into_iter().chain(labels).collect();
    filesystem::mount_simple(c"tmpfs", &parameters, HARMLESS | ATTR_NODEV)
}
