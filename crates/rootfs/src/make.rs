//! Makes one entry of `mounts` in the child, and attaches it below the root. It must attach nothing
//! by path, nor in a procfs but for the allowed files.

use crate::built::Built;
use crate::cgroup::{attach_controllers, make_unified};
use crate::filesystem::{
    clone_tree, configure, first_attributes, logged, mount_simple, new_file_system, octal,
};
use crate::layout::{CgroupView, Context, CopiedLink, MountKind, MountPlan, Source};
use crate::nodes::HARMLESS;
use crate::step::{During, Fault, Result, Step};
use crate::target::{Found, Kind, duplicate};
use crate::{copyup, idmap, target};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use sys::Errno;
use sys::fs::{LeakyFd, file_type, openat};
use sys::mount::{self, ATTR_NODEV, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::{AT_FDCWD, OFlag, readlinkat};
use sys::nix::mount::{MntFlags, MsFlags, umount2};
use sys::nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use sys::nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs};
use sys::nix::unistd::{fchdir, symlinkat};

/// Makes one mount. `early` is its source if rind had to clone that while the mount namespace still
/// was the host's.
pub(crate) fn make_mount(
    context: &Context,
    plan: &MountPlan,
    early: Option<LeakyFd>,
    built: &mut Built,
) -> Result<()> {
    if let Some(link) = &plan.copied_link {
        return copy_link(plan, link, built);
    }
    let mount = match &plan.kind {
        MountKind::Bind { source, depth } => bind(plan, source, *depth, early, built)?,
        MountKind::Remount => return remount(plan, built),
        MountKind::Cgroup => Some(cgroup(context, plan, built)?),
        MountKind::FileSystem { name, detached } => {
            Some(file_system(context, plan, name, detached.as_ref(), built)?)
        }
    };
    if let Some(mount) = mount {
        built.keep(plan, mount);
    }
    Ok(())
}

fn cgroup(context: &Context, plan: &MountPlan, built: &mut Built) -> Result<LeakyFd> {
    let target = mount_point(plan, || Ok(Kind::Directory), built)?.file;
    let (view, is_attached) = match &context.cgroup {
        CgroupView::Controllers(list) => (attach_controllers(list, &plan.options, &target)?, true),
        CgroupView::Unified(own) => (make_unified(own, context, &plan.options)?, false),
        CgroupView::None => return Err(Fault::new(Step::Cgroup, Errno::ENODEV)),
    };
    finish_attributes(plan, view.as_fd())?;
    if !is_attached {
        attach(view.as_fd(), &target)?;
    }
    Ok(view)
}

/// Clones the mount of an earlier entry, or a file in it. In the container's own mounts, a clone of
/// a locked mount is locked too.
fn clone_earlier(
    source: &LeakyFd,
    depth: Depth,
    mapped: Option<&(OwnedFd, Depth)>,
) -> Result<LeakyFd> {
    let tree = mount::open_tree(source, c"", depth, false).during(Step::Source)?;
    if let Some((namespace, depth)) = mapped {
        mount::mount_setattr(&tree, *depth, &idmap::attributes(namespace))
            .during(Step::Attributes)?;
    }
    Ok(LeakyFd::from(tree))
}

fn bind(
    plan: &MountPlan,
    source: &Source,
    depth: Depth,
    early: Option<LeakyFd>,
    built: &mut Built,
) -> Result<Option<LeakyFd>> {
    let nofollow = plan.options.links.keeps_source;
    let mut changed = false;
    let cloned;
    let tree = match (early, source) {
        (Some(early), _) => {
            cloned = early;
            cloned.as_fd()
        }
        (None, Source::Tree(tree)) => tree.as_fd(),
        (None, Source::Earlier { path, mapped }) => {
            let found = if nofollow { built.find_nofollow(path) } else { built.find(path) };
            cloned = clone_earlier(&found.during(Step::Source)?, depth, mapped.as_ref())?;
            cloned.as_fd()
        }
        (None, Source::Locked(_)) => return Err(Fault::new(Step::Source, Errno::EBADF)),
        (None, Source::Path(path)) => {
            let change = plan.only_change(depth);
            changed = change.is_some();
            let clone = clone_tree(path, depth, change.as_ref(), nofollow);
            cloned = clone.map(LeakyFd::from).during(Step::Source)?;
            cloned.as_fd()
        }
    };
    if plan.covers_proc && file_system_type(tree)? != PROC_SUPER_MAGIC {
        return Err(Fault::new(Step::MountPointInProc, Errno::EPERM));
    }
    // Called only for a missing mount point.
    let kind = || Ok(if is_directory(tree)? { Kind::Directory } else { Kind::File });
    let target = mount_point(plan, kind, built)?.file;
    if changed {
        attach(tree, &target)?;
    } else {
        change_attributes(tree, Depth::One, &plan.options.attributes)?;
        finish_mount(plan, tree, &target)?;
    }
    plan.is_kept.then(|| duplicate(tree)).transpose().during(Step::Source)
}

/// Makes the link that the source is at the destination (`copy-symlink`); the same link may exist
/// there.
fn copy_link(plan: &MountPlan, link: &CopiedLink, built: &Built) -> Result<()> {
    let parent = built.find_or_make(&link.parent, Kind::Directory).during(Step::MountPoint)?;
    let parent = outside_proc(plan, parent)?.file;
    match symlinkat(link.target.as_c_str(), &parent, link.name.as_c_str()) {
        Err(Errno::EEXIST) => match readlinkat(&parent, link.name.as_c_str()) {
            Ok(there) if there.as_bytes() == link.target.to_bytes() => Ok(()),
            _ => Err(Errno::EEXIST),
        },
        made => made,
    }
    .during(Step::MountPoint)
}

/// Sets the recursive attributes and the propagation, and attaches the mount.
fn finish_mount(plan: &MountPlan, mount: BorrowedFd, target: &LeakyFd) -> Result<()> {
    finish_attributes(plan, mount)?;
    attach(mount, target)
}

/// Attaches a mount. If only one of the two is a directory, the error is `ENOTDIR`, as with
/// mount(2), which callers know.
fn attach(mount: BorrowedFd, target: &LeakyFd) -> Result<()> {
    mount::move_mount(mount, target, c"")
        .map_err(|errno| match (is_directory(mount), is_directory(target)) {
            (Ok(source), Ok(target)) if errno == Errno::EINVAL && source != target => {
                Errno::ENOTDIR
            }
            _ => errno,
        })
        .during(Step::Attach)
}

fn is_directory(file: impl AsFd) -> sys::Result<bool> {
    Ok(file_type(&fstat(file)?) == SFlag::S_IFDIR)
}

fn finish_attributes(plan: &MountPlan, mount: BorrowedFd) -> Result<()> {
    change_attributes(mount, Depth::Tree, &plan.options.recursive)?;
    for &(propagation, depth) in &plan.options.propagation {
        let attributes = Attributes { propagation, ..Attributes::default() };
        mount::mount_setattr(mount, depth, &attributes).during(Step::Propagation)?;
    }
    Ok(())
}

/// Changes attributes, if there is anything to change. Others stay, so a flag that an outer user
/// namespace has locked (`mount_namespaces(7)`) fails only a config that clears the flag.
fn change_attributes(mount: BorrowedFd, depth: Depth, attributes: &Attributes) -> Result<()> {
    if *attributes == Attributes::default() {
        return Ok(());
    }
    mount::mount_setattr(mount, depth, attributes).during(Step::Attributes)
}

fn remount(plan: &MountPlan, built: &mut Built) -> Result<()> {
    let target = match &built.live {
        Some(live) => live.mount(plan, built.root())?,
        None => built.find(&plan.target).during(Step::MountPoint)?,
    };
    if plan.options.attributes.clear.contains(ATTR_RDONLY) {
        // `built` makes some mounts read-only at the end, which must not undo this later entry.
        built.forget_read_only(&plan.target, &target);
    }
    if plan.options.bind.is_none() && !plan.options.parameters.is_empty() {
        let fs = LeakyFd::from(mount::fspick(&target).during(Step::Remount)?);
        configure(fs.as_fd(), &plan.options.parameters)?;
        mount::fsconfig_reconfigure(&fs)
            .map_err(|errno| logged(fs.as_fd(), Step::Remount, errno))?;
    }
    change_attributes(target.as_fd(), Depth::One, &plan.options.attributes)?;
    finish_attributes(plan, target.as_fd())
}

fn file_system(
    context: &Context,
    plan: &MountPlan,
    name: &CStr,
    detached: Option<&OwnedFd>,
    built: &mut Built,
) -> Result<LeakyFd> {
    if plan.covers_proc && name != c"proc" {
        return Err(Fault::new(Step::MountPointInProc, Errno::EPERM));
    }
    let point = mount_point(plan, || Ok(Kind::Directory), built)?;
    let mode = default_mode(plan, name, &point)?;
    let target = point.file;
    let mount = match detached {
        Some(tree) => taken_over(tree, mode),
        // mount(2) can't make a procfs of another pid namespace. The options that need mount(2)
        // mean nothing to procfs.
        None if plan.options.needs_mount_call()
            && (name != c"proc" || context.pid_namespace.is_none()) =>
        {
            mount_by_path(plan, name, mode, &target)
        }
        None => new_file_system(plan, name, mode, context.pid_namespace.as_ref()),
    };
    let mount = match mount {
        // The kernel makes no sysfs in a user namespace that doesn't own the network namespace.
        Err(Fault { errno: Errno::EPERM, .. })
            if name == c"sysfs" && context.is_in_user_namespace() =>
        {
            // The host's sysfs has mounts in it that a new one would not have, and a container with
            // the host's root mapped could change root's files.
            let change = plan.options.on_clone(first_attributes(plan) | HARMLESS | ATTR_NODEV);
            mount::open_tree_with(AT_FDCWD, c"/sys", Depth::Tree, &change)
                .map(LeakyFd::from)
                .during(Step::Source)?
        }
        mount => mount?,
    };
    if plan.options.copy_up {
        copyup::fill(&target, &mount).during(Step::CopyUp)?;
    }
    if let Some(label) = &plan.options.label {
        // Not by a path in /proc, which may be another container's if init joins a mount namespace.
        fchdir(&mount).during(Step::Label)?;
        sys::fs::set_xattr(".", c"security.selinux", label.as_bytes()).during(Step::Label)?;
    }
    finish_mount(plan, mount.as_fd(), &target)?;
    Ok(mount)
}

/// The file system that the host's side has made, with `mode` set.
fn taken_over(tree: &OwnedFd, mode: Option<Mode>) -> Result<LeakyFd> {
    if let Some(mode) = mode {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = openat(tree, c".", flags, Mode::empty()).map(LeakyFd::from);
        root.and_then(|root| fchmod(&root, mode)).during(Step::Mode)?;
    }
    tree.try_clone().map(LeakyFd::from).map_err(|_| Fault::new(Step::Make, Errno::EMFILE))
}

/// The mode of a tmpfs without the option `mode`: that of the directory it covers. If rind has just
/// made that directory, the tmpfs keeps its default, 1777.
fn default_mode(plan: &MountPlan, name: &CStr, point: &Found) -> Result<Option<Mode>> {
    if name != c"tmpfs" || point.is_new || plan.options.value("mode").is_some() {
        return Ok(None);
    }
    let mode = fstat(&point.file).during(Step::MountPoint)?.st_mode;
    Ok(Some(Mode::from_bits_truncate(mode)))
}

/// [`new_file_system`] by mount(2), which needs a mount point: a directory in a tmpfs that covers
/// the target meanwhile, so that no other process reaches it. The clone of the new mount stays when
/// the tmpfs goes.
///
/// mount(2) takes only paths. rind makes the tmpfs the working directory for them: a path below
/// /proc may lead anywhere if init joins the mount namespace of a container.
fn mount_by_path(
    plan: &MountPlan,
    name: &CStr,
    mode: Option<Mode>,
    target: &LeakyFd,
) -> Result<LeakyFd> {
    let tmpfs = mount_simple(c"tmpfs", &[], mount::Attr::empty()).during(Step::Make)?;
    attach(tmpfs.as_fd(), target)?;
    fchdir(&tmpfs).during(Step::Make)?;
    let clone = mount_and_clone(plan, name, mode, &tmpfs);
    umount2(".", MntFlags::MNT_DETACH).during(Step::Make)?;
    clone
}

fn mount_and_clone(
    plan: &MountPlan,
    name: &CStr,
    mode: Option<Mode>,
    tmpfs: &LeakyFd,
) -> Result<LeakyFd> {
    let data = plan.options.data(mode.map(octal).as_deref());
    let data = CString::new(data).map_err(|_| Fault::new(Step::Make, Errno::EINVAL))?;
    let flags = sys::nix::libc::c_ulong::try_from(plan.options.mount_flags).unwrap_or(0);
    let flags = MsFlags::from_bits_retain(flags);
    mkdirat(tmpfs, c"new", Mode::S_IRWXU).during(Step::Make)?;
    let source = Some(plan.source.as_c_str());
    sys::nix::mount::mount(source, c"new", Some(name), flags, Some(data.as_c_str()))
        .during(Step::Make)?;
    let attributes = plan.options.on_clone(first_attributes(plan));
    mount::open_tree_with(tmpfs, c"new", Depth::One, &attributes)
        .map(LeakyFd::from)
        .during(Step::Attributes)
}

/// Finds or makes the mount point of `plan`, and checks that a mount may cover it. `kind` says what
/// to make.
fn mount_point(
    plan: &MountPlan,
    kind: impl FnOnce() -> sys::Result<Kind>,
    built: &mut Built,
) -> Result<Found> {
    let root = built.root.as_fd();
    if let Some(live) = &mut built.live {
        let point = live.mount_point(plan, kind().during(Step::MountPoint)?, root)?;
        return outside_proc(plan, point);
    }
    let (base, way) = built.base(&plan.target).during(Step::MountPoint)?;
    if plan.ordinary {
        match target::find_directory(base, way) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(Fault::new(Step::MountPointNotOrdinary, Errno::ENOTDIR));
            }
            Err(Errno::ENOENT) => {}
            found => return found.map(Found::before).during(Step::MountPoint),
        }
    }
    let found = if plan.options.links.keeps_target {
        built.find_nofollow(&plan.target)
    } else {
        target::find_without_links(base, way)
    };
    let point = match found {
        // A path without links is not in /proc unless its text says so.
        Ok(point) if !plan.names_proc && !plan.options.links.keeps_target => {
            return Ok(Found::before(point));
        }
        Err(Errno::ENOENT) => kind().and_then(|kind| target::make_path(base, way, kind)),
        Err(Errno::ELOOP) => kind().and_then(|kind| built.find_or_make(&plan.target, kind)),
        found => found.map(Found::before),
    };
    let point = point.during(Step::MountPoint)?;
    outside_proc(plan, point)
}

/// Refuses a mount point in a procfs, except for the allowed files.
fn outside_proc(plan: &MountPlan, point: Found) -> Result<Found> {
    if !plan.allowed_in_proc && file_system_type(&point.file)? == PROC_SUPER_MAGIC {
        return Err(Fault::new(Step::MountPointInProc, Errno::EPERM));
    }
    Ok(point)
}

fn file_system_type(file: impl AsFd) -> Result<FsType> {
    Ok(fstatfs(file).during(Step::MountPoint)?.filesystem_type())
}
