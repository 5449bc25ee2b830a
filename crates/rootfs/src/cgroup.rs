//! Makes mounts of type `cgroup`: the container's view of its cgroups. A container must never get a
//! mount in which it can write to a cgroup above its own.

use crate::filesystem;
use crate::layout::{Context, ControllerView};
use crate::options::Options;
use crate::step::{During, Result, Step};
use std::ffi::{CStr, CString};
use sys::Errno;
use sys::fs::LeakyFd;
use sys::mount::{
    self, ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, Attr, Attributes, Depth, Propagation,
};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::sys::stat::{Mode, mkdirat};
use sys::nix::unistd::symlinkat;

/// Makes a small tmpfs with a directory for each v1 hierarchy, and attaches it at `target`: older
/// kernels attach nothing in a detached mount.
pub(crate) fn attach_controllers(
    list: &[ControllerView],
    options: &Options,
    target: &LeakyFd,
) -> Result<LeakyFd> {
    let read_only = options.attributes.set & ATTR_RDONLY;
    let attributes = options.attributes.set & !ATTR_RDONLY;
    let parameters: Vec<_> = options.labels().chain([(c"mode", c"755")]).collect();
    let tmpfs = filesystem::mount_simple(c"tmpfs", &parameters, attributes).during(Step::Cgroup)?;
    mount::move_mount(&tmpfs, target, c"").during(Step::Cgroup)?;
    let own = options.on_clone(options.attributes.set | ATTR_NOSUID | ATTR_NOEXEC | ATTR_NODEV);
    for view in list {
        // Where the container has no cgroup there is a mount point all the same: Podman mounts the
        // host's hierarchy of systemd there, and this file system may be read-only by then.
        mkdirat(&tmpfs, view.name.as_c_str(), Mode::from_bits_truncate(0o755))
            .during(Step::Cgroup)?;
        for link in &view.links {
            symlinkat(view.name.as_c_str(), &tmpfs, link.as_c_str()).during(Step::Cgroup)?;
        }
        let clone = match mount::open_tree_with(AT_FDCWD, &view.source, Depth::One, &own) {
            // A user may not be allowed to make a cgroup in this hierarchy.
            Err(Errno::ENOENT) => continue,
            clone => clone.map(LeakyFd::from).during(Step::Cgroup)?,
        };
        mount::move_mount(&clone, &tmpfs, &view.name).during(Step::Cgroup)?;
    }
    if !read_only.is_empty() {
        let attributes = Attributes { set: ATTR_RDONLY, ..Attributes::default() };
        mount::mount_setattr(&tmpfs, Depth::One, &attributes).during(Step::Cgroup)?;
    }
    Ok(tmpfs)
}

/// Where the host has the hierarchy if it is the only one.
const HOSTS: &CStr = c"/sys/fs/cgroup";

/// Makes a cgroup2 mount. If the kernel refuses, as in a user namespace without a cgroup namespace,
/// clones the container's own cgroup; if that doesn't exist, makes an empty directory.
///
/// In the host's cgroup namespace, a new mount would set the options of the whole hierarchy, such as
/// `nsdelegate` (cgroups(7)), to its own: there the host's mount is cloned, which shows the same.
pub(crate) fn make_unified(own: &CString, context: &Context, options: &Options) -> Result<LeakyFd> {
    let in_namespace = context.cgroup_namespace;
    // In a mount namespace that is joined, no path is the host's.
    let is_joined = context.nested.is_some();
    let made = if in_namespace || is_joined || context.is_in_user_namespace() {
        filesystem::mount_simple(c"cgroup2", &[], options.attributes.set)
    } else {
        // A new mount would be private, and what the host mounts below is none of the container's.
        let propagation = Propagation::Private;
        let attributes = options.on_clone(options.attributes.set);
        let attributes = Attributes { propagation, ..attributes };
        mount::open_tree_with(AT_FDCWD, HOSTS, Depth::One, &attributes).map(LeakyFd::from)
    };
    match made {
        Err(Errno::EPERM | Errno::EBUSY) => {}
        made => return made.during(Step::Cgroup),
    }
    // Without a cgroup namespace, only this keeps the container from writing to its own limits.
    let read_only = if in_namespace { Attr::empty() } else { ATTR_RDONLY };
    let attributes = options.on_clone(options.attributes.set | read_only);
    match mount::open_tree_with(AT_FDCWD, own, Depth::One, &attributes) {
        // A user may not be allowed to make a cgroup.
        Err(Errno::ENOENT) => {
            let parameters: Vec<_> = options.labels().chain([(c"mode", c"555")]).collect();
            filesystem::mount_simple(c"tmpfs", &parameters, options.attributes.set | ATTR_RDONLY)
        }
        clone => clone.map(LeakyFd::from),
    }
    .during(Step::Cgroup)
}
