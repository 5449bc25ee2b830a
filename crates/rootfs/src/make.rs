//! Making one entry of `mounts` and attaching it to the place below the root that it is for.

use crate::build::Built;
use crate::cgroup::make_view;
use crate::copyup;
use crate::layout::{Layout, MountPlan, Source, What};
use crate::options::Options;
use crate::step::{During, Fault, Result, Step};
use crate::target::{Kind, find, find_directory, find_or_make, find_without_links, stat_type};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use sys::Errno;
use sys::fs::Scratch;
use sys::mount::{self, ATTR_ATIME_MASK, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::mount::MsFlags;
use sys::nix::sys::stat::{SFlag, fstat};
use sys::nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs};

/// The longest value that fsconfig(2) takes, in bytes.
const LONGEST_VALUE: usize = 255;

/// Makes one mount. `early` is its source where that had to be cloned before the namespace was
/// made the container's own.
pub(crate) fn make_mount(
    layout: &Layout,
    plan: &MountPlan,
    early: Option<Scratch>,
    built: &mut Built,
) -> Result<()> {
    match &plan.what {
        What::Bind { source, depth } => bind(plan, source, *depth, early, built.root()),
        What::Remount => remount(plan, built.root()),
        What::Cgroup => {
            let target = mount_point(plan, || Ok(Kind::Directory), built.root())?;
            let view = make_view(
                &layout.context.cgroup,
                layout.context.cgroup_namespace,
                &plan.options,
                target.as_fd(),
            )?;
            view.map_or(Ok(()), |view| finish_mount(plan, view.as_fd(), &target))
        }
        What::FileSystem { name } => file_system(plan, name, built),
    }
}

/// A new file system with only string parameters, as a detached mount.
pub(crate) fn simple(
    name: &CStr,
    parameters: &[(&CStr, &CStr)],
    attributes: u64,
) -> sys::Result<Scratch> {
    let fs = Scratch::from(mount::fsopen(name)?);
    for (key, value) in parameters {
        mount::fsconfig_string(&fs, key, value)?;
    }
    mount::fsconfig_create(&fs)?;
    mount::fsmount(&fs, attributes).map(Scratch::from)
}

/// Clones the source of a bind mount, with a change of all of it in the same call.
pub(crate) fn clone_source(
    path: &CStr,
    depth: Depth,
    change: Option<&Attributes>,
) -> Result<Scratch> {
    match change {
        Some(change) => mount::open_tree_with(AT_FDCWD, path, depth, change),
        None => mount::open_tree(AT_FDCWD, path, depth, false),
    }
    .map(Scratch::from)
    .during(Step::Source)
}

fn bind(
    plan: &MountPlan,
    source: &Source,
    depth: Depth,
    early: Option<Scratch>,
    root: BorrowedFd,
) -> Result<()> {
    let cloned;
    let mut changed = false;
    let tree = match (early, source) {
        (Some(early), _) => {
            cloned = early;
            cloned.as_fd()
        }
        (None, Source::Tree(tree)) => tree.as_fd(),
        (None, Source::Path(path)) => {
            let change = plan.only_change(depth);
            changed = change.is_some();
            cloned = clone_source(path, depth, change.as_ref())?;
            cloned.as_fd()
        }
    };
    if plan.covers_proc && file_system_type(tree)? != PROC_SUPER_MAGIC {
        return Err(Fault::new(Step::MountPointInProc, Errno::EPERM));
    }
    // Only where something is to be made does it matter what.
    let kind = || {
        let (kind, _) = stat_type(tree)?;
        Ok(if kind == SFlag::S_IFDIR { Kind::Directory } else { Kind::File })
    };
    let target = mount_point(plan, kind, root)?;
    if changed {
        return mount::move_mount(tree, &target, c"").during(Step::Attach);
    }
    change(tree, Depth::One, &plan.options.attributes)?;
    finish_mount(plan, tree, &target)
}

/// Applies what concerns the whole tree and the propagation, and attaches the mount.
fn finish_mount(plan: &MountPlan, mount: BorrowedFd, target: &Scratch) -> Result<()> {
    change(mount, Depth::Tree, &plan.options.recursive)?;
    propagate(plan, mount)?;
    mount::move_mount(mount, target, c"").during(Step::Attach)
}

fn propagate(plan: &MountPlan, mount: BorrowedFd) -> Result<()> {
    for &(propagation, depth) in &plan.options.propagation {
        let attributes = Attributes { propagation, ..Attributes::default() };
        mount::mount_setattr(mount, depth, &attributes).during(Step::Propagation)?;
    }
    Ok(())
}

/// Changes attributes, if there is anything to change.
///
/// A flag that the owner of an outer user namespace has locked can't be cleared
/// (`mount_namespaces(7)`): then it stays, which is the stricter side.
fn change(mount: BorrowedFd, depth: Depth, attributes: &Attributes) -> Result<()> {
    if *attributes == Attributes::default() {
        return Ok(());
    }
    match mount::mount_setattr(mount, depth, attributes) {
        Err(Errno::EPERM) if attributes.clear != 0 => {
            let atime = attributes.set & ATTR_ATIME_MASK;
            let clear = if atime == 0 { 0 } else { ATTR_ATIME_MASK };
            mount::mount_setattr(mount, depth, &Attributes { clear, ..*attributes })
        }
        changed => changed,
    }
    .during(Step::Attributes)
}

fn remount(plan: &MountPlan, root: BorrowedFd) -> Result<()> {
    let target = find(root, &plan.destination).during(Step::MountPoint)?;
    if plan.options.bind.is_none() && !plan.options.parameters.is_empty() {
        let fs = Scratch::from(mount::fspick(&target).during(Step::Remount)?);
        configure(&fs, &plan.options.parameters)?;
        mount::fsconfig_reconfigure(&fs).map_err(|errno| logged(&fs, Step::Remount, errno))?;
    }
    change(target.as_fd(), Depth::One, &plan.options.attributes)?;
    change(target.as_fd(), Depth::Tree, &plan.options.recursive)?;
    propagate(plan, target.as_fd())
}

fn file_system(plan: &MountPlan, name: &CStr, built: &mut Built) -> Result<()> {
    if plan.covers_proc && name != c"proc" {
        return Err(Fault::new(Step::MountPointInProc, Errno::EPERM));
    }
    let target = mount_point(plan, || Ok(Kind::Directory), built.root())?;
    let deferred = plan.defers_read_only();
    let mut attributes = plan.options.attributes.set;
    if deferred {
        attributes &= !ATTR_RDONLY;
    }
    let mode = default_mode(plan, name, &target)?;
    let made = if needs_classic(&plan.options) {
        return classic(plan, name, mode.as_deref(), &target, built.root());
    } else {
        new_file_system(plan, name, mode.as_deref(), attributes)
    };
    let mount = match made {
        // Without a network namespace of one's own a user namespace gets no new sysfs.
        Err(Fault { errno: Errno::EPERM, .. }) if name == c"sysfs" => {
            let change = Attributes { set: attributes, ..Attributes::default() };
            mount::open_tree_with(AT_FDCWD, c"/sys", Depth::Tree, &change)
                .map(Scratch::from)
                .during(Step::Source)?
        }
        made => made?,
    };
    if plan.options.copy_up {
        copyup::copy(&target, &mount).during(Step::CopyUp)?;
    }
    finish_mount(plan, mount.as_fd(), &target)?;
    if deferred {
        built.read_only_later.push((plan.index, mount));
    } else if name == c"proc" && attributes & ATTR_RDONLY == 0 {
        built.proc = Some(mount);
    }
    Ok(())
}

/// A tmpfs takes on the mode of the directory that it covers, if none is configured.
fn default_mode(plan: &MountPlan, name: &CStr, target: &Scratch) -> Result<Option<CString>> {
    if name != c"tmpfs" || plan.options.value("mode").is_some() {
        return Ok(None);
    }
    let mode = fstat(target).during(Step::MountPoint)?.st_mode & 0o7777;
    Ok(CString::new(format!("{mode:o}")).ok())
}

fn new_file_system(
    plan: &MountPlan,
    name: &CStr,
    mode: Option<&CStr>,
    attributes: u64,
) -> Result<Scratch> {
    let fs = Scratch::from(mount::fsopen(name).during(Step::FileSystem)?);
    mount::fsconfig_string(&fs, c"source", &plan.source).during(Step::Make)?;
    configure(&fs, &plan.options.parameters)?;
    if let Some(mode) = mode {
        mount::fsconfig_string(&fs, c"mode", mode).during(Step::Make)?;
    }
    mount::fsconfig_create(&fs).map_err(|errno| logged(&fs, Step::Make, errno))?;
    mount::fsmount(&fs, attributes).map(Scratch::from).during(Step::Make)
}

fn configure(fs: &Scratch, parameters: &[(CString, Option<CString>)]) -> Result<()> {
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

/// A fault with the words that the kernel has for it.
fn logged(fs: &Scratch, step: Step, errno: Errno) -> Fault {
    Fault { detail: mount::fs_log(fs), ..Fault::new(step, errno) }
}

/// Whether only mount(2) can do it: it has flags that fsconfig(2) lacks, and takes longer values.
fn needs_classic(options: &Options) -> bool {
    let long = |value: &CString| value.as_bytes().len() > LONGEST_VALUE;
    options.classic != 0 || options.parameters.iter().any(|(_, v)| v.as_ref().is_some_and(long))
}

/// Mounts by mount(2), on the descriptor's own path in the host's /proc.
fn classic(
    plan: &MountPlan,
    name: &CStr,
    mode: Option<&CStr>,
    target: &Scratch,
    root: BorrowedFd,
) -> Result<()> {
    let mut data: Vec<u8> = Vec::new();
    let parameters = plan.options.parameters.iter();
    let given =
        parameters.map(|(name, value)| (name.as_bytes(), value.as_ref().map(CString::as_bytes)));
    for (name, value) in given.chain(mode.map(|mode| (&b"mode"[..], Some(mode.to_bytes())))) {
        if !data.is_empty() {
            data.push(b',');
        }
        data.extend_from_slice(name);
        if let Some(value) = value {
            data.push(b'=');
            data.extend_from_slice(value);
        }
    }
    let data = CString::new(data).map_err(|_| Fault::new(Step::Make, Errno::EINVAL))?;
    let flags = sys::nix::libc::c_ulong::try_from(plan.options.classic).unwrap_or(0);
    let flags = MsFlags::from_bits_retain(flags);
    let path = sys::fs::proc_fd_path(target);
    let source = Some(plan.source.as_c_str());
    sys::nix::mount::mount(source, path.as_str(), Some(name), flags, Some(data.as_c_str()))
        .during(Step::Make)?;
    let made = find(root, &plan.destination).during(Step::Attach)?;
    change(made.as_fd(), Depth::One, &plan.options.attributes)?;
    change(made.as_fd(), Depth::Tree, &plan.options.recursive)
}

/// Finds or makes the place that a mount is for, and checks that it may be covered. `kind` is what
/// it is made as.
fn mount_point(
    plan: &MountPlan,
    kind: impl FnOnce() -> sys::Result<Kind>,
    root: BorrowedFd,
) -> Result<Scratch> {
    if plan.ordinary {
        match find_directory(root, &plan.destination) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(Fault::new(Step::MountPointNotOrdinary, Errno::ENOTDIR));
            }
            Err(Errno::ENOENT) => {}
            found => return found.during(Step::MountPoint),
        }
    }
    match find_without_links(root, &plan.destination) {
        // Where no link leads elsewhere, the path itself says that it is not in /proc.
        Ok(point) if !plan.names_proc => return Ok(point),
        Ok(_) | Err(Errno::ENOENT | Errno::ELOOP) => {}
        Err(errno) => return Err(Fault::new(Step::MountPoint, errno)),
    }
    let kind = kind().during(Step::MountPoint)?;
    let point = find_or_make(root, &plan.destination, kind).during(Step::MountPoint)?;
    if !plan.allowed_in_proc && file_system_type(&point)? == PROC_SUPER_MAGIC {
        return Err(Fault::new(Step::MountPointInProc, Errno::EPERM));
    }
    Ok(point)
}

fn file_system_type(file: impl AsFd) -> Result<FsType> {
    Ok(fstatfs(file).during(Step::MountPoint)?.filesystem_type())
}
