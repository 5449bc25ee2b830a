//! `linux.maskedPaths` and `linux.readonlyPaths`: each target is found once, and covered by its
//! descriptor, below the mount that it is in. A target that isn't there is skipped; any other failure
//! is fatal, and that one which was there is gone is such.

use crate::build::Built;
use crate::layout::Layout;
use crate::make;
use crate::step::{During, Fault, Result, Step};
use crate::target::find;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use sys::Errno;
use sys::fs::{Scratch, file_type};
use sys::mount::{self, ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::sys::stat::{SFlag, fstat, major, minor};

/// How a file of the host's is bound that is not for the container to change: through a read-only
/// mount its mode, owner and times can't be. A device can still be opened for writing.
pub(crate) const HARMLESS: u64 = ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC;

/// A clone of the host's node at `path` that its mode, owner and times can't be changed by. A link
/// is cloned as what it is.
pub(crate) fn clone_node(path: &CStr) -> sys::Result<Scratch> {
    let harmless = Attributes { set: HARMLESS, ..Attributes::default() };
    mount::open_tree_with_nofollow(AT_FDCWD, path, Depth::One, &harmless).map(Scratch::from)
}

/// A clone of the host's null device, which the container has no part in; checked to be one.
pub fn clone_null() -> sys::Result<Scratch> {
    let null = clone_node(c"/dev/null")?;
    let stat = fstat(&null)?;
    let is_null =
        file_type(&stat) == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
    if is_null { Ok(null) } else { Err(Errno::ENODEV) }
}

/// Has nodes of the host's that are mounted at these paths below `root` be as [`clone_node`] makes
/// them, where somebody else has mounted them: the container's processes don't run yet.
pub fn protect_nodes<'a>(
    root: BorrowedFd,
    paths: impl Iterator<Item = &'a Path>,
) -> sys::Result<()> {
    let harmless = Attributes { set: HARMLESS, ..Attributes::default() };
    for path in paths {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
        let node = match find(root, &path) {
            Err(Errno::ENOENT) => continue,
            found => found?,
        };
        let is_device = matches!(file_type(&fstat(&node)?), SFlag::S_IFCHR | SFlag::S_IFBLK);
        if is_device && sys::fs::mount_facts(&node)?.is_root {
            mount::mount_setattr(&node, Depth::One, &harmless)?;
        }
    }
    Ok(())
}

/// Covers each of `linux.readonlyPaths` with itself, read-only; a mount that was made is made so
/// itself.
pub(crate) fn make_read_only(layout: &Layout, built: &mut Built) -> Result<()> {
    let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
    for (index, path) in layout.readonly_paths.iter().enumerate() {
        let fault = |errno| Fault::new(Step::ReadonlyPath, errno).at(index);
        let target = match built.find(&path.place) {
            Err(Errno::ENOENT) if !path.is_there => continue,
            found => found.map_err(fault)?,
        };
        if path.place.is_mount() {
            mount::mount_setattr(&target, Depth::One, &read_only).map_err(fault)?;
            continue;
        }
        let cover = || -> sys::Result<Scratch> {
            let alone =
                path.alone.then(|| mount::open_tree_with(&target, c"", Depth::One, &read_only));
            let clone = match alone {
                // What is mounted below it stays visible, and as it is. There can be something even
                // so: in place of a new /sys that the kernel denies, there is the host's.
                None | Some(Err(Errno::EINVAL)) => {
                    let tree = Scratch::from(mount::open_tree(&target, c"", Depth::Tree, false)?);
                    mount::mount_setattr(&tree, Depth::One, &read_only)?;
                    tree
                }
                Some(clone) => Scratch::from(clone?),
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

/// Covers each of `linux.maskedPaths`: a directory with an empty one, anything else with the null
/// device.
pub(crate) fn mask(layout: &Layout, built: &Built) -> Result<()> {
    let mut empty: Option<Scratch> = None;
    let mut null_is_used = false;
    for (index, path) in layout.masked_paths.iter().enumerate() {
        let fault = |errno| Fault::new(Step::MaskedPath, errno).at(index);
        let target = match built.find(&path.place) {
            Err(Errno::ENOENT) if !path.is_there => continue,
            found => found.map_err(fault)?,
        };
        let kind = file_type(&fstat(&target).map_err(fault)?);
        // The first target of a kind gets the mount itself, the others clones of it: a clone can
        // be made only of what is attached already.
        let cover = match (kind == SFlag::S_IFDIR, &empty, &built.null) {
            (true, Some(empty), _) => clone(empty).during(Step::MaskSource)?,
            (true, None, _) => {
                let made = empty_directory().during(Step::MaskSource)?;
                mount::move_mount(&made, &target, c"").map_err(fault)?;
                empty = Some(made);
                continue;
            }
            (false, _, Some(null)) if !null_is_used => {
                mount::move_mount(null, &target, c"").map_err(fault)?;
                null_is_used = true;
                continue;
            }
            (false, _, Some(null)) => clone(null).during(Step::MaskSource)?,
            (false, _, None) => return Err(Fault::new(Step::MaskSource, Errno::ENODEV)),
        };
        mount::move_mount(&cover, &target, c"").map_err(fault)?;
    }
    Ok(())
}

fn clone(mount: impl AsFd) -> sys::Result<Scratch> {
    mount::open_tree(mount, c"", Depth::One, false).map(Scratch::from)
}

fn empty_directory() -> sys::Result<Scratch> {
    // The one inode is the directory's own.
    let limits = [(c"nr_blocks", c"1"), (c"nr_inodes", c"1")];
    make::simple(c"tmpfs", &limits, HARMLESS | ATTR_NODEV)
}
