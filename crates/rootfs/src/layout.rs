//! The plan of a container's root file system: data, and what follows from the data alone.
//!
//! [`plan`](crate::plan) fills it on the host's side, [`build`](crate::build) carries it out in the
//! child. This file must import neither.

use crate::container_path::ContainerPath;
use crate::options::{MountLabel, Options};
use crate::sysctl::Sysctl;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use sys::credentials::{Gid, Uid};
use sys::mount::{ATTR_NODEV, ATTR_RDONLY, Attributes, Depth, Propagation};
use sys::nix::sys::stat::{Mode, SFlag, major, minor};

/// File systems that show the namespaces of the process that makes them, so the host's side must
/// not make them.
pub(crate) const NAMESPACED: [&str; 6] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs"];

/// What a layout needs beside the config.
#[derive(Debug)]
pub struct Context {
    /// What mounts of type `cgroup` show.
    pub cgroup: CgroupView,
    /// Whether the container has a mount namespace other than the caller's.
    pub mount_namespace: bool,
    /// Whether it has a user namespace other than the caller's.
    pub user_namespace: bool,
    /// Whether it joins a mount namespace that another user namespace than the caller's owns.
    pub foreign_mounts: bool,
    /// For a container that joins a mount namespace: whether the caller is in a user namespace. The
    /// child can't find out in the joined namespace, where /proc may be another container's.
    pub nested: Option<bool>,
    /// Whether it has a cgroup namespace other than the caller's.
    pub cgroup_namespace: bool,
    /// Whether to move the root instead of using `pivot_root(2)` (`--no-pivot`).
    pub no_pivot: bool,
    /// Whether the caller may clone mounts for a container that may not.
    pub privileged: bool,
    /// The mount option for `linux.mountLabel`.
    pub mount_context: &'static CStr,
    /// Whether no file system on a disk is mounted: that would write to the disk, and the container is
    /// only looked at.
    pub leaves_disks: bool,
    /// The pid namespace of a new procfs, if not that of the process which makes the procfs.
    pub pid_namespace: Option<OwnedFd>,
}

impl Context {
    /// Whether mounts that the host's side clones enter a user namespace, and so must be locked
    /// (`mount_namespaces(7)`).
    pub(crate) fn locks(&self) -> bool {
        self.mount_namespace && self.privileged && (self.user_namespace || self.foreign_mounts)
    }

    /// Whether the child is in a user namespace.
    pub(crate) fn is_in_user_namespace(&self) -> bool {
        self.user_namespace || self.nested.unwrap_or_else(sys::process::in_user_namespace)
    }

    /// Whether the host's side clones sources that the child may not be able to reach.
    pub(crate) fn clones(&self) -> bool {
        self.locks() && self.user_namespace
    }
}

/// The content of a mount of type `cgroup`.
#[derive(Debug)]
pub enum CgroupView {
    /// A directory for each v1 hierarchy, with the container's own cgroup.
    Controllers(Vec<ControllerView>),
    /// The v2 hierarchy. The path is that of the container's cgroup on the host; in a cgroup
    /// namespace, this cgroup is the root.
    Unified(CString),
    /// Nothing: the container has no cgroup of its own.
    None,
}

/// One v1 hierarchy.
#[derive(Debug)]
pub struct ControllerView {
    /// The name of the directory: `cpu,cpuacct`, `systemd`.
    pub name: CString,
    /// The names of links to it: `cpu` and `cpuacct`, if the host mounts them together.
    pub links: Vec<CString>,
    /// The host's path of the container's cgroup.
    pub source: CString,
}

/// The devices that every container has: name, major and minor number (runtime-spec,
/// config-linux.md, Default Devices).
pub(crate) const DEFAULT_DEVICES: [(&CStr, u64, u64); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];

/// The links that every container has: name, target, and the file below /proc that must exist for
/// it (runtime-spec, runtime-linux.md, Dev symbolic links).
pub(crate) const DEV_LINKS: [(&CStr, &CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd", c"self/fd"),
    (c"stdin", c"/proc/self/fd/0", c"self/fd"),
    (c"stdout", c"/proc/self/fd/1", c"self/fd"),
    (c"stderr", c"/proc/self/fd/2", c"self/fd"),
    (c"core", c"/proc/kcore", c"kcore"),
];

/// The plan of a container's root file system.
#[derive(Debug)]
pub struct Layout {
    pub(crate) context: Context,
    pub(crate) root: Source,
    /// The absolute path of the rootfs on the host.
    pub(crate) root_path: CString,
    pub(crate) mounts: Vec<MountPlan>,
    /// Whether to make the default devices and links: not in a /dev that is a bind mount.
    pub(crate) sets_up_dev: bool,
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) sysctls: Vec<Sysctl>,
    /// The working directory to make before the root becomes read-only.
    pub(crate) make_cwd: Option<ContainerPath>,
    pub(crate) dev: ContainerPath,
    pub(crate) proc: ContainerPath,
    pub(crate) readonly_paths: Vec<RestrictedPath>,
    pub(crate) masked_paths: Vec<RestrictedPath>,
    pub(crate) read_only_root: bool,
    pub(crate) propagation: Option<(Propagation, Depth)>,
    pub(crate) label: Option<MountLabel>,
}

/// The source of a bind mount.
#[derive(Debug)]
pub(crate) enum Source {
    /// A path of the host, which the child resolves.
    Path(CString),
    /// A detached clone, which the host's side has made as the child may not.
    Tree(OwnedFd),
    /// The same, but the host's side makes it after the fork, in the child's locked mounts.
    Locked(Locked),
    /// The mount of an earlier entry, or a file in it, which the child clones.
    Earlier {
        path: ContainerPath,
        /// The user namespace that its ids are mapped by, and how deep.
        mapped: Option<(OwnedFd, Depth)>,
    },
}

/// A source to clone in a copy of the host's mounts where the kernel has locked them
/// ([`sources`](crate::sources)).
#[derive(Debug)]
pub(crate) struct Locked {
    /// The property of the config, for errors.
    pub property: &'static str,
    pub path: CString,
    pub depth: Depth,
    /// Whether the clone is private: it must not show what the host mounts below the source later.
    pub private: bool,
    /// Whether to clone a link itself.
    pub nofollow: bool,
    /// The user namespace that its ids are mapped by, and how deep.
    pub mapped: Option<(OwnedFd, Depth)>,
}

/// The link to make at a destination (`copy-symlink`).
#[derive(Debug)]
pub(crate) struct CopiedLink {
    pub target: CString,
    pub parent: ContainerPath,
    pub name: CString,
}

/// One entry of `mounts`.
#[derive(Debug)]
pub(crate) struct MountPlan {
    pub index: usize,
    /// The destination, located among the earlier mounts.
    pub target: ContainerPath,
    pub kind: MountKind,
    /// The source in the config.
    pub source: CString,
    pub options: Options,
    /// The link to make instead of a mount.
    pub copied_link: Option<CopiedLink>,
    /// Whether the mount point must be a directory and no link: the mount is a procfs or a sysfs,
    /// where writes must reach the right files.
    pub ordinary: bool,
    pub covers_proc: bool,
    /// Whether the path is /proc, or below it.
    pub names_proc: bool,
    pub covers_dev: bool,
    pub allowed_in_proc: bool,
    /// Whether a later step looks something up in the mount.
    pub is_kept: bool,
    /// Whether the container must see the mount at its destination.
    pub must_be_visible: bool,
}

impl MountPlan {
    pub fn is_bind(&self) -> bool {
        matches!(self.kind, MountKind::Bind { .. })
    }

    /// Whether it is a new file system of type `kind`, not a bind mount.
    pub fn is_new(&self, kind: &CStr) -> bool {
        matches!(&self.kind, MountKind::FileSystem { name, .. } if name.as_c_str() == kind)
    }

    /// The change for a clone of `depth` if that change, a propagation type, is the only one.
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

    /// Whether the mount must become read-only only after everything in it is made.
    pub fn defers_read_only(&self) -> bool {
        let is_new = matches!(self.kind, MountKind::FileSystem { .. });
        let is_filled = self.is_new(c"tmpfs") || self.covers_dev;
        self.options.attributes.set.contains(ATTR_RDONLY) && is_new && is_filled
    }
}

/// What an entry of `mounts` is.
#[derive(Debug)]
pub(crate) enum MountKind {
    Bind {
        source: Source,
        depth: Depth,
    },
    FileSystem {
        name: CString,
        /// The detached mount, if the host's side has made it: the child may not map ids, and its
        /// cgroup may not let it open the disk.
        detached: Option<OwnedFd>,
    },
    Cgroup,
    Remount,
}

/// One entry of `linux.devices`.
#[derive(Debug)]
pub(crate) struct DevicePlan {
    pub path: CString,
    /// The directory of the device.
    pub parent: ContainerPath,
    pub name: CString,
    /// Whether that directory is in a bind mount of the host's.
    pub is_hosts: bool,
    /// Whether it is /dev/ptmx, which engines list with all of the host's devices.
    pub is_ptmx: bool,
    pub kind: SFlag,
    pub number: u64,
    pub mode: Mode,
    pub uid: Uid,
    pub gid: Gid,
    /// The node as a detached mount, if only the host's side may make it.
    pub detached: Option<OwnedFd>,
}

impl DevicePlan {
    /// Major and minor number, as in /sys/dev: `1:3`.
    pub fn numbers(&self) -> String {
        format!("{}:{}", major(self.number), minor(self.number))
    }
}

/// One entry of `linux.readonlyPaths` or `linux.maskedPaths`.
#[derive(Debug)]
pub(crate) struct RestrictedPath {
    pub target: ContainerPath,
    /// Whether it is certain that nothing is mounted below the path.
    pub alone: bool,
    /// Whether the path must exist: it is in the image, and an entry of `mounts` is below it.
    pub must_exist: bool,
    /// Whether a later step looks something up in the cover of the path.
    pub is_kept: bool,
}

impl Layout {
    /// Whether it is certain that rind makes a null device for the container which it can open: in
    /// a new file system on /dev.
    #[must_use]
    pub fn makes_null(&self) -> bool {
        let mut devs = self.mounts.iter().filter(|plan| plan.covers_dev);
        let is_new = |plan: &MountPlan| {
            plan.is_new(c"tmpfs") && !plan.options.attributes.set.contains(ATTR_NODEV)
        };
        self.sets_up_dev && devs.next_back().is_some_and(is_new)
    }

    /// Warnings: options of the config that rind leaves out.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        left_out(&self.mounts)
    }

    /// Has mounts of type `cgroup` show `view` instead of what was planned.
    pub fn show_cgroups(&mut self, view: CgroupView) {
        self.context.cgroup = view;
    }
}

/// Warnings for options of bind mounts that only a new file system can have.
pub(crate) fn left_out(mounts: &[MountPlan]) -> impl Iterator<Item = String> {
    mounts.iter().filter(|plan| plan.is_bind()).filter_map(|plan| {
        let option = plan.options.tmpfs_option.as_ref()?;
        let target = plan.target.path.to_string_lossy();
        let index = plan.index;
        Some(format!(
            "mounts[{index}] {target}: option {option:?} is left out: a bind mount is no new file system"
        ))
    })
}
