//! Detached mounts: new file systems (fsopen(2)), and clones of mounts of the host's
//! (`open_tree(2)`). The host's side makes some of them before the fork, the child the others.
//! Nothing here may attach a mount.

use crate::layout::MountPlan;
use crate::step::{During, Fault, Result, Step};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::Errno;
use sys::fs::LeakyFd;
use sys::mount::{self, ATTR_RDONLY, Attr, Attributes, Depth};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::sys::stat::Mode;

/// Whether the kernel can make a procfs of the pid namespace `namespace` from outside (the mount
/// option `pidns`, Linux 6.17).
#[must_use]
pub fn makes_procfs_of(namespace: &OwnedFd) -> bool {
    let fs = mount::fsopen(c"proc");
    fs.and_then(|fs| mount::fsconfig_descriptor(&fs, c"pidns", namespace)).is_ok()
}

/// Makes a new file system with only string parameters, as a detached mount.
pub(crate) fn mount_simple(
    name: &CStr,
    parameters: &[(&CStr, &CStr)],
    attributes: Attr,
) -> sys::Result<LeakyFd> {
    let fs = LeakyFd::from(mount::fsopen(name)?);
    for (key, value) in parameters {
        mount::fsconfig_string(&fs, key, value)?;
    }
    mount::fsconfig_create(&fs)?;
    mount::fsmount(&fs, attributes).map(LeakyFd::from)
}

/// Clones the mount at the host's `path` (`open_tree(2)`), and applies `change` to all of the clone
/// in the same call. With `nofollow` a link is cloned itself.
pub(crate) fn clone_tree(
    path: &CStr,
    depth: Depth,
    change: Option<&Attributes>,
    nofollow: bool,
) -> sys::Result<OwnedFd> {
    match change {
        Some(change) if nofollow => mount::open_tree_with_nofollow(AT_FDCWD, path, depth, change),
        Some(change) => mount::open_tree_with(AT_FDCWD, path, depth, change),
        None => mount::open_tree(AT_FDCWD, path, depth, nofollow),
    }
}

/// On the host's side: makes the new file system of `plan` as a detached mount. What only the child
/// knows, such as the mode of the mount point, keeps its default.
pub(crate) fn mount_detached(plan: &MountPlan, name: &CStr) -> Result<OwnedFd> {
    let fs = mount::fsopen(name).during(Step::FileSystem)?;
    create(fs.as_fd(), plan, None)
}

/// In the child: makes the new file system of `plan` as a detached mount. `mode` is for its root,
/// `pid_namespace` for a procfs.
pub(crate) fn new_file_system(
    plan: &MountPlan,
    name: &CStr,
    mode: Option<Mode>,
    pid_namespace: Option<&OwnedFd>,
) -> Result<LeakyFd> {
    let fs = LeakyFd::from(mount::fsopen(name).during(Step::FileSystem)?);
    if let Some(namespace) = pid_namespace.filter(|_| name == c"proc") {
        mount::fsconfig_descriptor(&fs, c"pidns", namespace).during(Step::Make)?;
    }
    create(fs.as_fd(), plan, mode).map(LeakyFd::from)
}

/// The attributes that a new mount has from the start.
pub(crate) fn first_attributes(plan: &MountPlan) -> Attr {
    let read_only = if plan.defers_read_only() { ATTR_RDONLY } else { Attr::empty() };
    plan.options.attributes.set & !read_only
}

/// A mode as the value of an option: `755`.
pub(crate) fn octal(mode: Mode) -> CString {
    CString::new(format!("{:o}", mode.bits())).unwrap_or_default()
}

/// Configures the file system context `fs` as `plan` says, and makes the detached mount.
fn create(fs: BorrowedFd, plan: &MountPlan, mode: Option<Mode>) -> Result<OwnedFd> {
    mount::fsconfig_string(fs, c"source", &plan.source).during(Step::Make)?;
    configure(fs, &plan.options.parameters)?;
    if let Some(mode) = mode {
        mount::fsconfig_string(fs, c"mode", &octal(mode)).during(Step::Make)?;
    }
    mount::fsconfig_create(fs).map_err(|errno| logged(fs, Step::Make, errno))?;
    mount::fsmount(fs, first_attributes(plan)).during(Step::Make)
}

/// Sets the parameters of the file system context `fs`.
pub(crate) fn configure(fs: BorrowedFd, parameters: &[(CString, Option<CString>)]) -> Result<()> {
    for (name, value) in parameters {
        let set = match value {
            Some(value) => mount::fsconfig_string(fs, name, value),
            None => mount::fsconfig_flag(fs, name),
        };
        set.map_err(|errno| {
            let fault = logged(fs, Step::Parameter, errno);
            let detail = fault.detail.or_else(|| Some(name.as_bytes().to_vec()));
            Fault { detail, ..fault }
        })?;
    }
    Ok(())
}

/// A fault with the messages that the kernel has logged in `fs`.
pub(crate) fn logged(fs: BorrowedFd, step: Step, errno: Errno) -> Fault {
    Fault { detail: mount::fs_log(fs), ..Fault::new(step, errno) }
}
