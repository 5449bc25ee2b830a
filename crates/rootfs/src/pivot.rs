//! Changing to the container's root by `pivot_root(2)`, or by moving the root (`--no-pivot`).
//! Afterwards, the container must not be able to reach the host's procfs and sysfs.

use crate::built::Built;
use crate::container_path::as_path;
use crate::filesystem::mount_simple;
use crate::layout::Layout;
use crate::step::{During, Result, Step};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::fs::{open, openat};
use sys::nix::fcntl::OFlag;
use sys::nix::mount::{MntFlags, MsFlags, mount, umount2};
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{chdir, chroot, fchdir, pivot_root};

impl Layout {
    /// Makes the container's root this process's root, and unmounts the old one.
    pub fn pivot(&self, built: &Built) -> Result<()> {
        fchdir(built.root()).during(Step::Pivot)?;
        if !self.context.mount_namespace {
            chroot(".").during(Step::Pivot)?;
        } else if self.context.no_pivot {
            move_root(self)?;
        } else {
            // The kernel stacks the old root on the new root's directory, where umount2 takes it
            // off: so no directory is needed for the old root (pivot_root(2), notes).
            pivot_root(".", ".").during(Step::Pivot)?;
            umount2(".", MntFlags::MNT_DETACH).during(Step::Pivot)?;
        }
        chdir("/").during(Step::Pivot)
    }
}

/// Moves the container's root over `/`: `pivot_root(2)` can't replace an initramfs. The old root
/// stays mounted beneath, where the container could reach it again, so rind first unmounts the
/// host's procfs and sysfs.
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

/// Covers a mount point whose mount an outer user namespace has locked, so that nothing can unmount
/// it.
fn cover(point: &Path) -> sys::Result<()> {
    mount(Some("tmpfs"), point, Some("tmpfs"), MsFlags::empty(), Option::<&str>::None)
}

/// The mount points of every procfs and sysfs outside of the container's root, deepest first.
fn host_proc_and_sysfs(layout: &Layout) -> sys::Result<Vec<PathBuf>> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let table = if layout.context.nested.is_some() {
        // In a joined mount namespace, another container decides what is at /proc.
        openat(
            mount_simple(c"proc", &[], sys::mount::Attr::empty())?,
            "self/mountinfo",
            flags,
            Mode::empty(),
        )?
    } else {
        open("/proc/self/mountinfo", flags, Mode::empty())?
    };
    let table = sys::fs::read_to_end(&table)?;
    let mut points = proc_and_sysfs(&table, as_path(&layout.root_path));
    points.reverse();
    Ok(points)
}

/// The mount points of procfs and sysfs in `table`, a mountinfo, that are not below `root`.
fn proc_and_sysfs(table: &[u8], root: &Path) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let point = unescaped(fields.nth(4)?);
            // A dash ends the optional fields.
            let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
            let hidden = matches!(kind, b"proc" | b"sysfs") && !point.starts_with(root);
            hidden.then_some(point)
        })
        .collect()
}

/// A path of mountinfo without its octal escapes (`\040` for a space).
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let number = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(number.unwrap_or(*first));
        rest = if number.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo_are_read_as_what_they_are() {
        let table = b"1 0 0:1 / /a\\040b/proc rw shared:1 master:2 - proc proc rw\n\
            2 0 0:1 / /x\\134y\\0 rw - sysfs sysfs rw\n3 0 0:1 / /r\\040t/proc rw - proc p rw\n\
            4 0 0:1 / /proc\\040-\\040proc rw - tmpfs t rw\n5 0 0:1 / /\xff rw - proc p rw\n\n";
        let found = proc_and_sysfs(table, Path::new("/r t"));
        let odd = PathBuf::from(OsString::from_vec(b"/\xff".to_vec()));
        assert_eq!(found, [Path::new("/a b/proc"), Path::new("/x\\y\\0"), &odd]);
    }
}
