//! `linux.maskedPaths` and `linux.readonlyPaths`: each target is found once, and covered by its
//! descriptor. A target that isn't there is skipped; any other failure is fatal.

use crate::build::Built;
use crate::layout::Layout;
use crate::make;
use crate::step::{During, Fault, Result, Step};
use crate::target::{find, stat_type};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::mount::{self, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::sys::stat::{SFlag, major, minor};

/// A clone of the host's null device, which the container has no part in; checked to be one.
pub(crate) fn clone_null() -> sys::Result<OwnedFd> {
    let null = mount::open_tree(AT_FDCWD, c"/dev/null", Depth::One, true)?;
    let (kind, stat) = stat_type(&null)?;
    let is_null = kind == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
    if is_null { Ok(null) } else { Err(Errno::ENODEV) }
}

/// Covers each of `linux.readonlyPaths` with itself, read-only.
pub(crate) fn make_read_only(layout: &Layout, built: &Built) -> Result<()> {
    let read_only = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
    for (index, path) in layout.readonly_paths.iter().enumerate() {
        let cover = || -> sys::Result<()> {
            let target = find(built.root(), &path.path)?;
            let clone = if path.alone {
                mount::open_tree_with(&target, c"", Depth::One, &read_only)?
            } else {
                // What is mounted below it stays visible, and as it is.
                let tree = mount::open_tree(&target, c"", Depth::Tree, false)?;
                mount::mount_setattr(&tree, Depth::One, &read_only)?;
                tree
            };
            mount::move_mount(&clone, &target, c"")
        };
        match cover() {
            Err(Errno::ENOENT) => {}
            covered => covered.map_err(|e| Fault::new(Step::ReadonlyPath, e).at(index))?,
        }
    }
    Ok(())
}

/// Covers each of `linux.maskedPaths`: a directory with an empty one, anything else with the null
/// device.
pub(crate) fn mask(layout: &Layout, built: &Built) -> Result<()> {
    let mut empty = Cover::default();
    let mut null = Cover::default();
    for (index, path) in layout.masked_paths.iter().enumerate() {
        let fault = |errno| Fault::new(Step::MaskedPath, errno).at(index);
        let target = match find(built.root(), path) {
            Err(Errno::ENOENT) => continue,
            found => found.map_err(fault)?,
        };
        let (kind, _) = stat_type(&target).map_err(fault)?;
        let clone = if kind == SFlag::S_IFDIR {
            empty.next(empty_directory).during(Step::MaskSource)?
        } else {
            let original =
                || built.null.as_ref().ok_or(Errno::ENODEV)?.try_clone().map_err(|_| Errno::EMFILE);
            null.next(original).during(Step::MaskSource)?
        };
        mount::move_mount(clone, &target, c"").map_err(fault)?;
    }
    Ok(())
}

fn empty_directory() -> sys::Result<OwnedFd> {
    make::simple(c"tmpfs", &[(c"nr_blocks", c"1"), (c"nr_inodes", c"1")], ATTR_RDONLY)
}

/// A mount to cover several targets with: itself the first, clones of it the others. A clone can be
/// made only of what is attached already.
#[derive(Default)]
struct Cover {
    first: Option<OwnedFd>,
    clone: Option<OwnedFd>,
}

impl Cover {
    fn next(&mut self, make: impl FnOnce() -> sys::Result<OwnedFd>) -> sys::Result<&OwnedFd> {
        if let Some(first) = &self.first {
            let clone = mount::open_tree(first, c"", Depth::One, false)?;
            return Ok(self.clone.insert(clone));
        }
        Ok(self.first.insert(make()?))
    }
}
