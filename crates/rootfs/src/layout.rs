//! The plan of what a container sees below its root: data, and what follows from it alone.
//!
//! [`plan`](crate::plan) fills it on the host's side, [`build`](crate::build) carries it out in the
//! child. It must import neither.

use crate::container_path::ContainerPath;
use crate::options::Options;
use crate::sysctl::Sysctl;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use sys::credentials::{Gid, Uid};
use sys::mount::{ATTR_NODEV, ATTR_RDONLY, Attributes, Depth, Propagation};
use sys::nix::sys::stat::{Mode, SFlag, major, minor};

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
    /// Whether it joins a mount namespace that belongs to another user namespace than the caller's.
    pub foreign_mounts: bool,
    /// Whether the caller is in a user namespace itself, of a container that joins a mount namespace:
    /// the child can't ask there, as its /proc may be another container's.
    pub nested: Option<bool>,
    /// Whether it has such a cgroup namespace.
    pub cgroup_namespace: bool,
    /// Whether `pivot_root(2)` is not to be used.
    pub no_pivot: bool,
    /// Whether the caller may clone mounts for a container that may not itself.
    pub privileged: bool,
    /// The option of file systems that `linux.mountLabel` is the value of.
    pub mount_context: &'static CStr,
    /// The pid namespace that a new procfs is of, if that is not the one of the process that makes it.
    pub pid_namespace: Option<OwnedFd>,
}

impl Context {
    /// Whether what the host's side clones comes into a user namespace, which has to find it locked.
    pub(crate) fn locks(&self) -> bool {
        self.mount_namespace && self.privileged && (self.user_namespace || self.foreign_mounts)
    }

    /// Whether the child is in a user namespace.
    pub(crate) fn is_in_user_namespace(&self) -> bool {
        self.user_namespace || self.nested.unwrap_or_else(sys::process::in_user_namespace)
    }

    /// Whether the host's side clones what the child could not reach.
    pub(crate) fn clones(&self) -> bool {
        self.locks() && self.user_namespace
    }
}

/// What a mount of type `cgroup` shows.
#[derive(Debug)]
pub enum CgroupView {
    /// One directory a v1 hierarchy, each the container's own cgroup in it.
    Controllers(Vec<ControllerView>),
    /// The v2 hierarchy, by the host's path of the container's own cgroup in it. In a cgroup
    /// namespace the root is that cgroup; else it is the host's.
    Unified(CString),
    /// Nothing: the container has no cgroup, or shares the host's.
    None,
}

/// One v1 hierarchy.
#[derive(Debug)]
pub struct ControllerView {
    /// The directory's name: `cpu,cpuacct`, `systemd`.
    pub name: CString,
    /// Names that lead there: `cpu` and `cpuacct`, where they are mounted together.
    pub links: Vec<CString>,
    /// The host's path of the container's cgroup.
    pub source: CString,
}

/// The devices that every container has: name, major and minor number.
pub(crate) const DEFAULT_DEVICES: [(&CStr, u64, u64); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];

/// The links that every container has: name, target, and what must be there for it, below /proc.
pub(crate) const DEV_LINKS: [(&CStr, &CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd", c"self/fd"),
    (c"stdin", c"/proc/self/fd/0", c"self/fd"),
    (c"stdout", c"/proc/self/fd/1", c"self/fd"),
    (c"stderr", c"/proc/self/fd/2", c"self/fd"),
    (c"core", c"/proc/kcore", c"kcore"),
];

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
    pub(crate) make_cwd: Option<ContainerPath>,
    pub(crate) dev: ContainerPath,
    pub(crate) proc: ContainerPath,
    pub(crate) readonly_paths: Vec<RestrictedPath>,
    pub(crate) masked_paths: Vec<RestrictedPath>,
    pub(crate) read_only_root: bool,
    pub(crate) propagation: Option<(Propagation, Depth)>,
}

/// Where a mount comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The host's path, which the child resolves.
    Path(CString),
    /// A detached mount, made here since the child may not.
    Tree(OwnedFd),
    /// The same, made after the fork: in the child's mounts, which are locked.
    Locked(Locked),
    /// What an earlier entry mounts, or what is in that: the child clones it when it is there.
    Earlier {
        path: ContainerPath,
        /// The user namespace that its ids are mapped by, and how deep.
        mapped: Option<(OwnedFd, Depth)>,
    },
}

/// What is to be cloned in a copy of the host's mounts that has them locked, and how
/// ([`sources`](crate::sources)).
#[derive(Debug)]
pub(crate) struct Locked {
    /// What the config calls it.
    pub property: &'static str,
    pub path: CString,
    pub depth: Depth,
    /// Whether nothing that the host mounts below it later is to be seen.
    pub private: bool,
    /// Whether a link is cloned as what it is.
    pub nofollow: bool,
    /// The user namespace that its ids are mapped by, and how deep.
    pub mapped: Option<(OwnedFd, Depth)>,
}

/// A source that is a link, to be made again (`copy-symlink`).
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
    /// Where it goes, among the mounts before it.
    pub target: ContainerPath,
    pub kind: MountKind,
    /// The source as the config has it.
    pub source: CString,
    pub options: Options,
    /// What is made in place of a mount, if that is a link.
    pub copied_link: Option<CopiedLink>,
    /// Whether the mount point must be a directory itself, as it decides what writes to /proc reach.
    pub ordinary: bool,
    pub covers_proc: bool,
    /// Whether the path itself is /proc or below.
    pub names_proc: bool,
    pub covers_dev: bool,
    pub allowed_in_proc: bool,
    /// Whether something is looked up in it later.
    pub is_kept: bool,
    /// Whether the container must see it at its destination.
    pub must_be_visible: bool,
}

impl MountPlan {
    pub fn is_bind(&self) -> bool {
        matches!(self.kind, MountKind::Bind { .. })
    }

    /// Whether it is a new file system of type `kind`.
    pub fn is_new(&self, kind: &CStr) -> bool {
        matches!(&self.kind, MountKind::FileSystem { name, .. } if name.as_c_str() == kind)
    }

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
        let is_new = matches!(self.kind, MountKind::FileSystem { .. });
        let is_filled = self.is_new(c"tmpfs") || self.covers_dev;
        self.options.attributes.set.contains(ATTR_RDONLY) && is_new && is_filled
    }
}

/// What a mount is of.
#[derive(Debug)]
pub(crate) enum MountKind {
    Bind {
        source: Source,
        depth: Depth,
    },
    FileSystem {
        name: CString,
        /// The detached mount, where it was made here: the child may not map its ids, nor perhaps
        /// open its disk, of which its cgroup decides.
        detached: Option<OwnedFd>,
    },
    Cgroup,
    Remount,
}

/// One entry of `linux.devices`.
#[derive(Debug)]
pub(crate) struct DevicePlan {
    pub path: CString,
    /// The directory that it is in.
    pub parent: ContainerPath,
    pub name: CString,
    /// Whether that is in a directory of the host's that is bound.
    pub is_hosts: bool,
    /// Whether it is /dev/ptmx, as engines list it among all of the host's devices.
    pub is_ptmx: bool,
    pub kind: SFlag,
    pub number: u64,
    pub mode: Mode,
    pub uid: Uid,
    pub gid: Gid,
    /// The node as a detached mount, where only the host's side may make it.
    pub detached: Option<OwnedFd>,
}

impl DevicePlan {
    /// Its numbers, as `/sys/dev` has them.
    pub fn numbers(&self) -> String {
        format!("{}:{}", major(self.number), minor(self.number))
    }
}

/// One entry of `linux.readonlyPaths` or `linux.maskedPaths`.
#[derive(Debug)]
pub(crate) struct RestrictedPath {
    pub target: ContainerPath,
    /// Whether certainly nothing is mounted below it.
    pub alone: bool,
    /// Whether it must be there: it is the image's, and one of `mounts` is below.
    pub must_exist: bool,
    /// Whether something is looked up in what covers it.
    pub is_kept: bool,
}

impl Layout {
    /// Whether the container certainly has a null device that is made for it and can be opened: in a new
    /// file system on /dev.
    #[must_use]
    pub fn makes_null(&self) -> bool {
        let mut devs = self.mounts.iter().filter(|plan| plan.covers_dev);
        let is_new = |plan: &MountPlan| {
            plan.is_new(c"tmpfs") && !plan.options.attributes.set.contains(ATTR_NODEV)
        };
        self.sets_up_dev && devs.next_back().is_some_and(is_new)
    }

    /// What is left out though it is asked for, in words.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        left_out(&self.mounts)
    }

    /// Has mounts of type `cgroup` show `view` in place of what was planned.
    pub fn show_cgroups(&mut self, view: CgroupView) {
        self.context.cgroup = view;
    }
}

/// Options of bind mounts that only a new file system could have.
pub(crate) fn left_out(mounts: &[MountPlan]) -> impl Iterator<Item = String> {
    mounts.iter().filter(|plan| plan.is_bind()).filter_map(|plan| {
        let (option, target) = (plan.options.tmpfs_option.as_ref()?, plan.target.path.to_string_lossy());
        let index = plan.index;
        Some(format!(
            "mounts[{index}] {target}: option {option:?} is left out: a bind mount is no new file system"
        ))
    })
}
