//! The host's side: what is to be made, computed and opened as far as it can be before the fork.

use crate::cgroup::CgroupView;
use crate::options::{self, Options};
use crate::step::Fault;
use crate::sysctl::Sysctl;
use crate::{Error, describe, idmap, make};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount, Spec};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use sys::credentials::Id;
use sys::mount::{self, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::libc::{MS_PRIVATE, MS_SLAVE};
use sys::nix::sys::stat::{Mode, SFlag, makedev, stat};

/// Files below /proc that may be bound over: what a container may be told of the machine
/// otherwise than by the kernel. None of them is one that a runtime writes to.
const ALLOWED_IN_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// File systems that show something of the namespaces of whoever makes them: not for the host's
/// side to make.
pub(crate) const NAMESPACED: [&str; 6] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs"];

/// What a layout depends on beside the config.
#[derive(Debug)]
pub struct Context {
    /// What mounts of type `cgroup` show.
    pub cgroup: CgroupView,
    /// Whether the container has a mount namespace that is not the caller's.
    pub mount_namespace: bool,
    /// Whether it has such a user namespace.
    pub user_namespace: bool,
    /// Whether it has such a cgroup namespace.
    pub cgroup_namespace: bool,
    /// Whether `pivot_root(2)` is not to be used.
    pub no_pivot: bool,
    /// Whether the caller may clone mounts for a container that may not itself.
    pub privileged: bool,
    /// The option of file systems that `linux.mountLabel` is the value of.
    pub mount_context: &'static CStr,
}

/// What a container sees below its root, as a plan.
#[derive(Debug)]
pub struct Layout {
    pub(crate) context: Context,
    pub(crate) root: Source,
    /// The absolute path of the rootfs on the host.
    pub(crate) root_path: CString,
    pub(crate) mounts: Vec<MountPlan>,
    /// Whether the usual devices and links are made: not in a /dev that is bound.
    pub(crate) sets_up_dev: bool,
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) sysctls: Vec<Sysctl>,
    /// A working directory to make while the root can still be written to.
    pub(crate) make_cwd: Option<CString>,
    pub(crate) readonly_paths: Vec<ReadonlyPath>,
    pub(crate) masked_paths: Vec<CString>,
    pub(crate) read_only_root: bool,
    pub(crate) propagation: Option<(u64, Depth)>,
}

/// Where a mount comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The host's path, which the child resolves.
    Path(CString),
    /// A detached mount, made here since the child may not.
    Tree(OwnedFd),
}

/// One entry of `mounts`.
#[derive(Debug)]
pub(crate) struct MountPlan {
    pub index: usize,
    pub destination: CString,
    pub what: What,
    /// The source as the config has it.
    pub source: CString,
    pub options: Options,
    /// Whether the mount point must be a directory itself, as it decides what writes to /proc reach.
    pub ordinary: bool,
    pub covers_proc: bool,
    /// Whether the path itself is /proc or below.
    pub names_proc: bool,
    pub covers_dev: bool,
    pub allowed_in_proc: bool,
}

impl MountPlan {
    /// The one change that is to be made to a clone of `depth`, if there is no other.
    pub fn only_change(&self, depth: Depth) -> Option<Attributes> {
        let Options { attributes, recursive, propagation, .. } = &self.options;
        let none = Attributes::default();
        match propagation.as_slice() {
            [(propagation, of)] if *of == depth && *attributes == none && *recursive == none => {
                Some(Attributes { propagation: *propagation, ..none })
            }
            _ => None,
        }
    }

    /// Whether the mount becomes read-only only when all is made in it.
    pub fn defers_read_only(&self) -> bool {
        let tmpfs =
            matches!(&self.what, What::FileSystem { name, .. } if name.as_c_str() == c"tmpfs");
        self.options.attributes.set & ATTR_RDONLY != 0 && (tmpfs || self.covers_dev)
    }
}

/// What a mount is of.
#[derive(Debug)]
pub(crate) enum What {
    Bind {
        source: Source,
        depth: Depth,
    },
    FileSystem {
        name: CString,
        /// The detached mount, where it was made here: the child may not map its ids, nor perhaps
        /// open its disk, of which its cgroup decides.
        made: Option<OwnedFd>,
    },
    Cgroup,
    Remount,
}

/// One entry of `linux.devices`.
#[derive(Debug)]
pub(crate) struct DevicePlan {
    pub path: CString,
    /// Whether it is /dev/ptmx, as engines list it among all of the host's devices.
    pub is_ptmx: bool,
    pub kind: SFlag,
    pub number: u64,
    pub mode: Mode,
    pub uid: Id,
    pub gid: Id,
}

/// One entry of `linux.readonlyPaths`.
#[derive(Debug)]
pub(crate) struct ReadonlyPath {
    pub path: CString,
    /// Whether certainly nothing is mounted below it.
    pub alone: bool,
}

impl Layout {
    /// Plans the root of a container whose rootfs is at the absolute path `rootfs`.
    ///
    /// Sources of bind mounts are relative to `bundle`. With a user namespace, what only the caller
    /// may do is done here: cloning mounts that the container can't reach, mapping their ids.
    pub fn plan(
        spec: &Spec,
        bundle: &Path,
        rootfs: &Path,
        context: Context,
    ) -> Result<Self, Error> {
        let linux = spec.linux().as_ref();
        let propagation = propagation(linux)?;
        let mounts = plan_mounts(spec, bundle, &context)?;
        let root_path = c_string(rootfs, "root.path")?;
        let root = if context.user_namespace && context.privileged {
            Source::Tree(clone_root(rootfs, &root_path, propagation)?)
        } else {
            Source::Path(root_path.clone())
        };
        let read_only_root =
            spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
        let is_bind = |index| {
            mounts.iter().any(|plan| plan.index == index && matches!(plan.what, What::Bind { .. }))
        };
        let all = spec.mounts().iter().flatten().enumerate();
        let destinations: Vec<(PathBuf, bool)> = all
            .map(|(index, mount)| {
                let is_kernels = matches!(mount.typ().as_deref(), Some("proc" | "sysfs"));
                (normal(mount.destination()), is_kernels && !is_bind(index))
            })
            .collect();
        let paths = |list: Option<&Vec<String>>, name: &str| -> Result<Vec<CString>, Error> {
            let mut paths: Vec<CString> = Vec::new();
            for path in list.into_iter().flatten() {
                let path = c_string(Path::new(path), name)?;
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            Ok(paths)
        };
        let readonly = linux.and_then(|linux| linux.readonly_paths().as_ref());
        let readonly = paths(readonly, "linux.readonlyPaths")?;
        Ok(Self {
            root,
            root_path,
            sets_up_dev: !mounts
                .iter()
                .any(|plan| plan.covers_dev && matches!(plan.what, What::Bind { .. })),
            mounts,
            devices: plan_devices(linux)?,
            sysctls: plan_sysctls(linux),
            make_cwd: read_only_root.then(|| working_directory(spec)).flatten(),
            readonly_paths: readonly
                .into_iter()
                .map(|path| ReadonlyPath { alone: is_alone(&path, &destinations), path })
                .collect(),
            masked_paths: paths(
                linux.and_then(|linux| linux.masked_paths().as_ref()),
                "linux.maskedPaths",
            )?,
            read_only_root,
            propagation,
            context,
        })
    }

    /// Whether something may have to be covered by the null device.
    pub(crate) fn masks_files(&self) -> bool {
        !self.masked_paths.is_empty()
    }
}

fn propagation(linux: Option<&Linux>) -> Result<Option<(u64, Depth)>, Error> {
    let Some(name) = linux.and_then(|linux| linux.rootfs_propagation().as_deref()) else {
        return Ok(None);
    };
    if name.is_empty() {
        return Ok(None);
    }
    let known = options::propagation(name);
    known.map(Some).ok_or_else(|| Error(format!("linux.rootfsPropagation: unknown value {name:?}")))
}

pub(crate) fn plan_mounts(
    spec: &Spec,
    bundle: &Path,
    context: &Context,
) -> Result<Vec<MountPlan>, Error> {
    let linux = spec.linux().as_ref();
    let label = linux.and_then(|linux| linux.mount_label().as_deref()).filter(|label| {
        // Where SELinux is off there is nothing that would understand it.
        !label.is_empty() && Path::new("/sys/fs/selinux/enforce").exists()
    });
    let list = spec.mounts().iter().flatten().enumerate();
    list.map(|(index, mount)| {
        plan_mount(index, mount, bundle, linux, context, label).map_err(|Error(why)| {
            Error(format!("mounts[{index}] {}: {why}", mount.destination().display()))
        })
    })
    .collect()
}

fn plan_mount(
    index: usize,
    mount: &Mount,
    bundle: &Path,
    linux: Option<&Linux>,
    context: &Context,
    label: Option<&str>,
) -> Result<MountPlan, Error> {
    let mut options =
        Options::parse(mount.options().as_deref().unwrap_or_default()).map_err(Error)?;
    let kind = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().as_deref().unwrap_or_else(|| Path::new(""));
    let is_on_disk = options.bind.is_none() && is_block_device(source);
    if mount.uid_mappings().as_ref().is_some_and(|list| !list.is_empty()) {
        options.idmap.get_or_insert(Depth::One);
    }
    let what = if options.remount {
        What::Remount
    } else if let Some(depth) = options.bind {
        let path = c_string(&bundle.join(source), "source")?;
        let source = bind_source(path, depth, options.idmap, mount, linux, context)?;
        What::Bind { source, depth }
    } else if kind == "cgroup" {
        What::Cgroup
    } else {
        if let Some(label) = label {
            options.add_label(kind, context.mount_context, label)?;
        }
        if is_on_disk && options.attributes.set & ATTR_RDONLY != 0 {
            // Making it available must not write to it either.
            options.parameters.push((c"ro".to_owned(), None));
        }
        What::FileSystem { name: c_text(kind, "type")?, made: None }
    };
    options.check(&what)?;
    let place = normal(mount.destination());
    let covers_proc = place == Path::new("/proc");
    let mut plan = MountPlan {
        index,
        destination: c_string(mount.destination(), "destination")?,
        ordinary: matches!(&what, What::FileSystem { .. }) && matches!(kind, "proc" | "sysfs"),
        what,
        source: c_string(
            if source.as_os_str().is_empty() { Path::new("none") } else { source },
            "source",
        )?,
        options,
        covers_proc,
        names_proc: place.starts_with("/proc"),
        covers_dev: place == Path::new("/dev"),
        allowed_in_proc: covers_proc
            || ALLOWED_IN_PROC.iter().any(|allowed| place == Path::new(allowed)),
    };
    let is_mapped = plan.options.idmap.is_some();
    if is_mapped || is_on_disk && !context.user_namespace && !plan.options.needs_classic() {
        make_here(&mut plan, mount, linux)?;
    }
    Ok(plan)
}

/// Makes a new file system on the host's side. The kernel lets only who may do so in the user
/// namespaces of both the file system and the mapping map ids, and the container may not in the
/// latter.
fn make_here(plan: &mut MountPlan, mount: &Mount, linux: Option<&Linux>) -> Result<(), Error> {
    let What::FileSystem { name, .. } = &plan.what else { return Ok(()) };
    if NAMESPACED.iter().any(|kind| name.to_bytes() == kind.as_bytes()) {
        let kind = name.to_string_lossy();
        return Err(Error(format!("idmap: the ids of a {kind} can't be mapped")));
    }
    let failed = |fault: Fault| Error(describe::mount_failure(plan, &fault).unwrap_or_default());
    let tree = make::detached(plan, name).map_err(failed)?;
    if plan.options.idmap.is_some() {
        idmap::apply(&tree, Depth::One, mount, linux)?;
    }
    if let What::FileSystem { made, .. } = &mut plan.what {
        *made = Some(tree);
    }
    Ok(())
}

fn is_block_device(path: &Path) -> bool {
    let is_block = |mode| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFBLK;
    path.is_absolute() && stat(path).is_ok_and(|found| is_block(found.st_mode))
}

/// The source of a bind mount, cloned here where the child may not do so or map its ids.
fn bind_source(
    path: CString,
    depth: Depth,
    mapped: Option<Depth>,
    mount: &Mount,
    linux: Option<&Linux>,
    context: &Context,
) -> Result<Source, Error> {
    if mapped.is_none() && !(context.user_namespace && context.privileged) {
        return Ok(Source::Path(path));
    }
    let tree = parents_tree(&path, depth)?;
    if let Some(mapped) = mapped {
        idmap::apply(&tree, mapped, mount, linux)?;
    }
    Ok(Source::Tree(tree))
}

/// A clone made on the host's side: cut off from what the container mounts, as a new mount
/// namespace would have it.
fn parents_tree(path: &CStr, depth: Depth) -> Result<OwnedFd, Error> {
    let slave = Attributes { propagation: MS_SLAVE, ..Attributes::default() };
    mount::open_tree_with(AT_FDCWD, path, depth, &slave)
        .map_err(|errno| Error::call(format!("source {}", path.to_string_lossy()), errno))
}

fn clone_root(
    rootfs: &Path,
    path: &CStr,
    propagation: Option<(u64, Depth)>,
) -> Result<OwnedFd, Error> {
    let keeps = propagation.is_none_or(|(kind, _)| kind == MS_SLAVE);
    let propagation = if keeps { MS_SLAVE } else { MS_PRIVATE };
    let attributes = Attributes { propagation, ..Attributes::default() };
    mount::open_tree_with(AT_FDCWD, path, Depth::Tree, &attributes)
        .map_err(|errno| Error::call(format!("root.path {}", rootfs.display()), errno))
}

fn plan_devices(linux: Option<&Linux>) -> Result<Vec<DevicePlan>, Error> {
    let list = linux.and_then(|linux| linux.devices().as_ref());
    list.into_iter()
        .flatten()
        .enumerate()
        .map(|(index, device)| plan_device(index, device))
        .collect()
}

fn plan_device(index: usize, device: &LinuxDevice) -> Result<DevicePlan, Error> {
    let at = || format!("linux.devices[{index}] {}", device.path().display());
    let kind = match device.typ() {
        LinuxDeviceType::B => SFlag::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        LinuxDeviceType::P => SFlag::S_IFIFO,
        LinuxDeviceType::A => return Err(Error(format!("{}: type a is no device", at()))),
    };
    let id = |key, id: Option<u32>| {
        let id = id.unwrap_or(0);
        Id::new(id).ok_or_else(|| Error(format!("{}: {key} {id} is no id", at())))
    };
    let number = |value: i64| {
        u64::try_from(value).map_err(|_| Error(format!("{}: major and minor must be given", at())))
    };
    Ok(DevicePlan {
        path: c_string(device.path(), "linux.devices")?,
        is_ptmx: normal(device.path()) == Path::new("/dev/ptmx"),
        kind,
        number: if kind == SFlag::S_IFIFO {
            0
        } else {
            makedev(number(device.major())?, number(device.minor())?)
        },
        mode: Mode::from_bits_truncate(device.file_mode().unwrap_or(0o666) & 0o7777),
        uid: id("uid", device.uid())?,
        gid: id("gid", device.gid())?,
    })
}

fn plan_sysctls(linux: Option<&Linux>) -> Vec<Sysctl> {
    let list = linux.and_then(|linux| linux.sysctl().as_ref());
    let mut sysctls: Vec<Sysctl> =
        list.into_iter().flatten().map(|(name, value)| Sysctl::new(name, value)).collect();
    sysctls.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    sysctls
}

fn working_directory(spec: &Spec) -> Option<CString> {
    let cwd = spec.process().as_ref()?.cwd();
    let cwd = CString::new(cwd.as_os_str().as_bytes()).ok()?;
    (cwd.as_c_str() != c"/").then_some(cwd)
}

/// Whether certainly nothing is mounted below a path: it is in a new file system of the kernel's own,
/// where no link of the image leads elsewhere, with no mount configured below it. Of the mounts, which
/// are in order, each has its destination, and whether it is such a file system.
fn is_alone(path: &CStr, mounts: &[(PathBuf, bool)]) -> bool {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    let around = mounts.iter().rfind(|(place, _)| path.starts_with(place));
    around.is_some_and(|(_, is_kernels)| *is_kernels)
        && mounts.iter().all(|(place, _)| place == path || !place.starts_with(path))
}

/// The path without `.`, `..` and doubled slashes, as it is where no links are.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

fn c_string(path: &Path, what: &str) -> Result<CString, Error> {
    let text = CString::new(path.as_os_str().as_bytes());
    text.map_err(|_| Error(format!("{what}: has a NUL byte")))
}

fn c_text(text: &str, what: &str) -> Result<CString, Error> {
    c_string(Path::new(text), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_normal_within_the_root() {
        for (path, expected) in
            [("proc//", "/proc"), ("/a/../../proc/.", "/proc"), ("", "/"), ("/dev/x/..", "/dev")]
        {
            assert_eq!(normal(Path::new(path)), Path::new(expected));
        }
    }

    #[test]
    fn a_path_of_the_kernels_with_no_mount_below_is_alone() {
        let mounts = |proc_is_new| {
            [("/proc", proc_is_new), ("/sys", true), ("/sys/fs/cgroup", false)]
                .map(|(place, is_new)| (PathBuf::from(place), is_new))
        };
        let all = mounts(true);
        assert!(is_alone(c"/proc/sys", &all) && is_alone(c"/sys/firmware", &all));
        assert!(!is_alone(c"/sys/fs", &all) && !is_alone(c"/etc", &all));
        assert!(!is_alone(c"/sys/fs/cgroup/x", &all));
        // The host's has more mounted in it.
        assert!(!is_alone(c"/proc/sys", &mounts(false)));
    }
}
