//! Mounts of the host's in a container. A checkpoint only names them, and must not contain what is
//! in them: a restore needs them on its host. The checkpoint has everything else below the root,
//! but not the root itself.

use crate::Error;
use crate::container_path::{Paths, normal, normal_destination};
use crate::layout::{CgroupView, DEFAULT_DEVICES};
use crate::options::Options;
use crate::target::{Kind, find_or_make};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::nix::fcntl::{OFlag, ResolveFlag};
use sys::nix::sys::stat::Mode;

/// A mount of the host's in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalMount {
    /// The normalized destination in the config.
    pub destination: PathBuf,
    /// The source on the host.
    pub source: PathBuf,
    /// Whether it is a bind mount in the config's `mounts`.
    pub is_bind: bool,
}

/// The mounts of the host's in a container: bind mounts of the config, mounts of `cgroups`, and
/// with a user namespace the devices. A mount that criu can't restore is an error.
pub fn external_mounts(
    spec: &Spec,
    bundle: &Path,
    cgroups: &CgroupView,
    user_namespace: bool,
) -> Result<Vec<ExternalMount>, Error> {
    let mut external = Vec::new();
    let is_own = |kind| {
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        listed.into_iter().flatten().any(|namespace| namespace.typ() == kind)
    };
    // Otherwise, the kernel refuses a cgroup2 mount, and rind binds the container's cgroup.
    let has_cgroup2 = !user_namespace || is_own(LinuxNamespaceType::Cgroup);
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let at = |why: &str| {
            Error::new(format!("mounts[{index}] {}: {why}", mount.destination().display()))
        };
        let options = Options::from_mount(mount).map_err(|why| at(&why))?;
        let destination = normal_destination(mount, spec, bundle);
        if options.idmap.is_some() {
            return Err(at("criu can't restore a mount whose ids are mapped"));
        }
        if let Some(source) = options.bind_source(mount, bundle) {
            if options.links.copies && fs::read_link(&source).is_ok() {
                // rind has made a link in the root instead of a mount.
                continue;
            }
            external.push(ExternalMount { destination, source, is_bind: true });
            continue;
        }
        match (mount.typ().as_deref(), cgroups) {
            (Some("cgroup"), CgroupView::Controllers(list)) => {
                external.extend(list.iter().map(|view| ExternalMount {
                    destination: destination.join(OsStr::from_bytes(view.name.as_bytes())),
                    source: OsStr::from_bytes(view.source.as_bytes()).into(),
                    is_bind: false,
                }));
            }
            (Some("cgroup"), CgroupView::Unified(own)) if !has_cgroup2 => {
                let source = OsStr::from_bytes(own.as_bytes()).into();
                external.push(ExternalMount { destination, source, is_bind: false });
            }
            _ => {}
        }
    }
    if user_namespace {
        let names = DEFAULT_DEVICES.iter().map(|(name, ..)| OsStr::from_bytes(name.to_bytes()));
        let usual = names.map(|name| Path::new("/dev").join(name));
        let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
        let configured =
            devices.into_iter().flatten().map(|device| normal(device.path()).into_owned());
        external.extend(usual.chain(configured).map(|path| ExternalMount {
            destination: path.clone(),
            source: path,
            is_bind: false,
        }));
    }
    Ok(external)
}

/// Makes missing mount points, as `create` does: criu expects them. criu restores those in other
/// mounts of the container, except in bind mounts.
pub fn make_mount_points(spec: &Spec, bundle: &Path, rootfs: &Path) -> Result<(), Error> {
    let mut covered: Paths<(usize, Option<PathBuf>)> = Paths::default();
    covered.add(Path::new("/"), (0, Some(rootfs.into())));
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let mount_point = &normal_destination(mount, spec, bundle);
        let failed = |step: &str| {
            let destination = mount.destination().display();
            let step = format!("mounts[{index}] {destination}: {step}");
            move |errno| Error::call(step, errno)
        };
        let options = Options::from_mount(mount).map_err(Error::new)?;
        let source = options.bind_source(mount, bundle);
        let around = covered.around(mount_point).into_iter();
        let around = around.filter(|(_, way)| !way.as_os_str().is_empty());
        let last = around.max_by_key(|((number, _), _)| *number);
        if let Some(((_, Some(base)), below)) = last.filter(|_| !options.remount) {
            let is_file =
                source.as_ref().is_some_and(|s| fs::metadata(s).is_ok_and(|m| !m.is_dir()));
            let kind = if is_file { Kind::File } else { Kind::Directory };
            make_mount_point(base, &below, kind).map_err(failed("making the mount point"))?;
        }
        covered.add(mount_point, (index + 1, source));
    }
    Ok(())
}

/// Resolves the links of `path`, which is relative to the root at `rootfs`; the result is too.
pub fn without_links(rootfs: &Path, path: &Path) -> sys::Result<PathBuf> {
    let root = open_root(rootfs)?;
    let found = open_in(root.as_fd(), path)?;
    let name = |file: &OwnedFd| {
        fs::read_link(sys::fs::proc_fd_path(file))
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32)))
    };
    let (root, found) = (name(&root)?, name(&found)?);
    found.strip_prefix(root).map(|rest| Path::new("/").join(rest)).map_err(|_| Errno::EXDEV)
}

/// Opens what is at `path` below `root` (`O_PATH`), following links within the root.
pub fn open_in(root: BorrowedFd, path: &Path) -> sys::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    sys::fs::openat2(root, path, OFlag::O_PATH, Mode::empty(), resolve)
}

fn make_mount_point(base: &Path, below: &Path, kind: Kind) -> sys::Result<()> {
    let root = open_root(base)?;
    match open_in(root.as_fd(), below) {
        Err(Errno::ENOENT) => {
            let below = CString::new(below.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
            find_or_make(root.as_fd(), &below, kind).map(drop)
        }
        found => found.map(drop),
    }
}

fn open_root(path: &Path) -> sys::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    sys::fs::open(path, flags, Mode::empty())
}
