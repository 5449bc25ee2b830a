//! Changing to the container's root: `pivot_root(2)`, or what stands in for it.

use crate::build::Built;
use crate::layout::Layout;
use crate::step::{During, Result, Step};
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::mount::{MntFlags, MsFlags, mount, umount2};
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{chdir, chroot, fchdir, pivot_root};

/// Makes the container's root this process's root.
pub(crate) fn change_root(layout: &Layout, built: &Built) -> Result<()> {
    fchdir(built.root()).during(Step::Pivot)?;
    if !layout.context.mount_namespace {
        chroot(".").during(Step::Pivot)?;
    } else if layout.context.no_pivot {
        move_root(layout)?;
    } else {
        // Stacks the old root on the new one's own directory, and takes it off again: no
        // directory is needed for it (pivot_root(2), notes).
        pivot_root(".", ".").during(Step::Pivot)?;
        umount2(".", MntFlags::MNT_DETACH).during(Step::Pivot)?;
    }
    chdir("/").during(Step::Pivot)
}

/// For a root on an initramfs, which can't be pivoted away from. The old root stays mounted
/// beneath, so what must not be reached again by undoing this is taken off it first.
fn move_root(layout: &Layout) -> Result<()> {
    for point in host_proc_and_sysfs(layout).during(Step::HideHost)? {
        match umount2(&point, MntFlags::MNT_DETACH) {
            Err(Errno::EINVAL | Errno::EPERM) => cover(&point).during(Step::HideHost)?,
            detached => detached.during(Step::HideHost)?,
        }
    }
    let none = Option::<&str>::None;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none).during(Step::Pivot)?;
    chroot(".").during(Step::Pivot)
}

/// A mount that an outer user namespace has locked can only be hidden.
fn cover(point: &Path) -> sys::Result<()> {
    mount(Some("tmpfs"), point, Some("tmpfs"), MsFlags::empty(), Option::<&str>::None)
}

/// The mount points of every procfs and sysfs outside of the container's root, deepest first.
fn host_proc_and_sysfs(layout: &Layout) -> sys::Result<Vec<PathBuf>> {
    let table = open("/proc/self/mountinfo", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let table = sys::fs::read_to_end(&table)?;
    let table = String::from_utf8_lossy(&table);
    let root =
        Path::new(std::ffi::OsStr::new(layout.root_path.to_str().map_err(|_| Errno::EINVAL)?));
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| {
            let (first, second) = line.split_once(" - ")?;
            let kind = second.split(' ').next()?;
            let point = PathBuf::from(first.split(' ').nth(4)?);
            let hidden = matches!(kind, "proc" | "sysfs") && !point.starts_with(root);
            hidden.then_some(point)
        })
        .collect();
    points.reverse();
    Ok(points)
}
