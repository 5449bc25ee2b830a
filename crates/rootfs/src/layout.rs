//! The host's side: what is to be made, computed and opened as far as it can be before the fork.

use crate::cgroup::CgroupView;
use crate::options::{self, Options};
use crate::place::{Base, Destinations, Paths, Place, as_path};
use crate::sources::Locked;
use crate::step::Fault;
use crate::sysctl::Sysctl;
use crate::{Error, describe, devices, idmap, make, target};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount, Spec};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use sys::credentials::Id;
use sys::fs::file_type;
use sys::mount::{self, ATTR_NODEV, ATTR_RDONLY, Attributes, Depth};
use sys::nix::fcntl::{AT_FDCWD, readlink};
use sys::nix::libc::MS_SLAVE;
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

/// Whether the kernel makes a procfs of another pid namespace, `namespace` here, than that of the
/// process that makes it (the mount option `pidns`, Linux 6.17).
#[must_use]
pub fn makes_procfs_of(namespace: &OwnedFd) -> bool {
    let fs = mount::fsopen(c"proc");
    fs.and_then(|fs| mount::fsconfig_descriptor(&fs, c"pidns", namespace)).is_ok()
}

impl Context {
    /// Whether what the host's side clones comes into a user namespace, which has to find it locked.
    fn locks(&self) -> bool {
        self.mount_namespace && self.privileged && (self.user_namespace || self.foreign_mounts)
    }

    /// Whether the child is in a user namespace.
    pub(crate) fn is_in_user_namespace(&self) -> bool {
        self.user_namespace || self.nested.unwrap_or_else(sys::process::in_user_namespace)
    }

    /// Whether the host's side clones what the child could not reach.
    fn clones(&self) -> bool {
        self.locks() && self.user_namespace
    }
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
    pub(crate) make_cwd: Option<Place>,
    pub(crate) dev: Place,
    pub(crate) proc: Place,
    pub(crate) readonly_paths: Vec<RestrictedPath>,
    pub(crate) masked_paths: Vec<RestrictedPath>,
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
    /// The same, made after the fork: in the child's mounts, which are locked.
    Locked(Locked),
    /// What an earlier entry mounts, or what is in that: the child clones it when it is there.
    Made {
        place: Place,
        /// The user namespace that its ids are mapped by, and how deep.
        mapped: Option<(OwnedFd, Depth)>,
    },
}

/// A source that is a link, to be made again (`copy-symlink`).
#[derive(Debug)]
pub(crate) struct CopiedLink {
    pub target: CString,
    pub parent: Place,
    pub name: CString,
}

/// One entry of `mounts`.
#[derive(Debug)]
pub(crate) struct MountPlan {
    pub index: usize,
    /// Where it goes, among the mounts before it.
    pub place: Place,
    pub what: What,
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
    pub is_shown: bool,
}

impl MountPlan {
    pub fn is_bind(&self) -> bool {
        matches!(self.what, What::Bind { .. })
    }

    /// Whether it is a new file system of type `kind`.
    pub fn is_new(&self, kind: &CStr) -> bool {
        matches!(&self.what, What::FileSystem { name, .. } if name.as_c_str() == kind)
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
        let is_new = matches!(self.what, What::FileSystem { .. });
        let is_filled = self.is_new(c"tmpfs") || self.covers_dev;
        self.options.attributes.set & ATTR_RDONLY != 0 && is_new && is_filled
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
    /// The directory that it is in.
    pub parent: Place,
    pub name: CString,
    /// Whether that is in a directory of the host's that is bound.
    pub is_hosts: bool,
    /// Whether it is /dev/ptmx, as engines list it among all of the host's devices.
    pub is_ptmx: bool,
    pub kind: SFlag,
    pub number: u64,
    pub mode: Mode,
    pub uid: Id,
    pub gid: Id,
    /// The node as a detached mount, where only the host's side may make it.
    pub made: Option<OwnedFd>,
}

/// One entry of `linux.readonlyPaths` or `linux.maskedPaths`.
#[derive(Debug)]
pub(crate) struct RestrictedPath {
    pub place: Place,
    /// Whether certainly nothing is mounted below it.
    pub alone: bool,
    /// Whether it must be there: it is the image's, and one of `mounts` is below.
    pub is_there: bool,
    /// Whether something is looked up in what covers it.
    pub is_kept: bool,
}

impl Layout {
    /// Plans the root of a container whose rootfs is at the absolute path `rootfs`.
    ///
    /// Sources of bind mounts are relative to `bundle`. With a user namespace, what only the caller
    /// may do is left to [`Layout::clone_sources`]: cloning mounts that the container can't reach,
    /// mapping their ids.
    pub fn plan(
        spec: &Spec,
        bundle: &Path,
        rootfs: &Path,
        context: Context,
    ) -> Result<Self, Error> {
        let linux = spec.linux().as_ref();
        let propagation = propagation(linux)?;
        let (mut mounts, mut destinations) = plan_mounts(spec, bundle, Some(rootfs), &context)?;
        let root_path = c_string(rootfs, "root.path")?;
        let root = if context.clones() {
            Source::Locked(locked_root(&root_path, propagation)?)
        } else {
            Source::Path(root_path.clone())
        };
        let read_only_root =
            spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
        let devices = plan_devices(linux, &mounts, &destinations, &context)?;
        let [dev, proc] = [c"/dev", c"/proc"].map(|path| destinations.place(path.to_owned()));
        let make_cwd = read_only_root.then(|| working_directory(spec)).flatten();
        let make_cwd = make_cwd.map(|path| destinations.place(path));
        let (readonly_paths, masked_paths) = plan_restricted(linux, &mounts, &mut destinations)?;
        let restricted = || readonly_paths.iter().chain(&masked_paths).map(|path| &path.place);
        let places = devices.iter().map(|device| &device.parent).chain([&dev, &proc]);
        keep_around(&mut mounts, places.chain(&make_cwd).chain(restricted()));
        show(&mut mounts, &readonly_paths, &masked_paths);
        Ok(Self {
            root,
            root_path,
            sets_up_dev: !mounts.iter().any(|plan| plan.covers_dev && plan.is_bind()),
            mounts,
            devices,
            sysctls: plan_sysctls(linux),
            make_cwd,
            dev,
            proc,
            readonly_paths,
            masked_paths,
            read_only_root,
            propagation,
            context,
        })
    }

    /// Whether the container certainly has a null device that is made for it and can be opened: in a new
    /// file system on /dev.
    #[must_use]
    pub fn makes_null(&self) -> bool {
        let mut devs = self.mounts.iter().filter(|plan| plan.covers_dev);
        let is_new = |plan: &MountPlan| {
            plan.is_new(c"tmpfs") && plan.options.attributes.set & ATTR_NODEV == 0
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

    /// Whether something may have to be covered by the null device.
    pub(crate) fn masks_files(&self) -> bool {
        !self.masked_paths.is_empty()
    }
}

/// Options of bind mounts that only a new file system could have.
pub(crate) fn left_out(mounts: &[MountPlan]) -> impl Iterator<Item = String> {
    let binds = mounts.iter().filter(|plan| matches!(plan.what, What::Bind { .. }));
    binds.filter_map(|plan| {
        let (option, place) = (plan.options.of_new.as_ref()?, plan.place.path.to_string_lossy());
        let index = plan.index;
        Some(format!(
            "mounts[{index}] {place}: option {option:?} is left out: a bind mount is no new file system"
        ))
    })
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
    rootfs: Option<&Path>,
    context: &Context,
) -> Result<(Vec<MountPlan>, Destinations), Error> {
    let linux = spec.linux().as_ref();
    let label = linux.and_then(|linux| linux.mount_label().as_deref()).filter(|label| {
        // Where SELinux is off there is nothing that would understand it.
        !label.is_empty() && Path::new("/sys/fs/selinux/enforce").exists()
    });
    let mut destinations = Destinations::default();
    let mut mounts: Vec<MountPlan> = Vec::new();
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let given = Given { index, mount, bundle, rootfs, linux, context, label };
        let plan = plan_mount(&given, &destinations).map_err(|Error(why)| {
            Error(format!("mounts[{index}] {}: {why}", mount.destination().display()))
        })?;
        if !matches!(plan.what, What::Remount) && plan.copied_link.is_none() {
            destinations.add(as_path(&plan.place.path), Base::Mount(index));
        }
        let source = match &plan.what {
            What::Bind { source: Source::Made { place, .. }, .. } => Some(place),
            _ => None,
        };
        let link = plan.copied_link.as_ref().map(|link| &link.parent);
        keep_around(&mut mounts, [Some(&plan.place), source, link].into_iter().flatten());
        mounts.push(plan);
    }
    Ok((mounts, destinations))
}

/// Has the mounts kept that `places` are in.
fn keep_around<'a>(mounts: &mut [MountPlan], places: impl Iterator<Item = &'a Place>) {
    for place in places {
        if let Some((Base::Mount(index), _)) = place.within
            && let Some(mount) = mounts.get_mut(index)
        {
            mount.is_kept = true;
        }
    }
}

/// `linux.readonlyPaths` and `linux.maskedPaths`. They are covered in this order, and what is below
/// one of the former is then in its cover.
fn plan_restricted(
    linux: Option<&Linux>,
    mounts: &[MountPlan],
    destinations: &mut Destinations,
) -> Result<(Vec<RestrictedPath>, Vec<RestrictedPath>), Error> {
    let mut all = Paths::default();
    for plan in mounts {
        all.add(as_path(&plan.place.path), ());
    }
    let plan = |destinations: &Destinations, path: CString| {
        let place = destinations.place(path);
        let has_mounts = all.any_below(as_path(&place.path));
        let is_kernels = |base| match base {
            Base::Mount(index) => mounts.get(index).is_some_and(|plan: &MountPlan| plan.ordinary),
            Base::Cover(_) => false,
        };
        let alone = !has_mounts && place.within.as_ref().is_some_and(|(base, _)| is_kernels(*base));
        let is_there = has_mounts && place.within.is_none();
        RestrictedPath { place, alone, is_there, is_kept: false }
    };
    let list = |list: Option<&Vec<String>>, name| unique(list.map_or(&[][..], Vec::as_slice), name);
    let mut readonly: Vec<RestrictedPath> = Vec::new();
    for path in list(linux.and_then(|l| l.readonly_paths().as_ref()), "linux.readonlyPaths")? {
        let planned = plan(destinations, path);
        if !planned.place.is_mount() {
            destinations.add(as_path(&planned.place.path), Base::Cover(readonly.len()));
        }
        keep_cover(&mut readonly, &planned);
        readonly.push(planned);
    }
    let mut masked = Vec::new();
    for path in list(linux.and_then(|l| l.masked_paths().as_ref()), "linux.maskedPaths")? {
        let planned = plan(destinations, path);
        keep_cover(&mut readonly, &planned);
        masked.push(planned);
    }
    Ok((readonly, masked))
}

/// Has the cover kept that a path is in.
fn keep_cover(covers: &mut [RestrictedPath], path: &RestrictedPath) {
    if let Some((Base::Cover(index), _)) = path.place.within
        && let Some(cover) = covers.get_mut(index)
    {
        cover.is_kept = true;
    }
}

/// Each path once.
fn unique(list: &[String], name: &str) -> Result<Vec<CString>, Error> {
    let mut seen = HashSet::new();
    list.iter().filter(|path| seen.insert(path.as_str())).map(|path| c_text(path, name)).collect()
}

/// Decides which mounts the container must see where they were made: procfs, sysfs, and what
/// something is restricted in. Not those that a later mount hides, or a cover.
fn show(mounts: &mut [MountPlan], readonly: &[RestrictedPath], masked: &[RestrictedPath]) {
    for path in readonly.iter().chain(masked) {
        if let Some((Base::Mount(index), _)) = path.place.within
            && let Some(mount) = mounts.get_mut(index)
        {
            mount.is_shown = true;
        }
    }
    let (mut covered, mut hidden) = (Paths::default(), Paths::default());
    for path in readonly {
        covered.add(as_path(&path.place.path), ());
    }
    for path in masked {
        hidden.add(as_path(&path.place.path), ());
    }
    for plan in mounts.iter_mut().rev().filter(|plan| !matches!(plan.what, What::Remount)) {
        let path = as_path(&plan.place.path);
        let is_hidden = !hidden.around(path).is_empty()
            || covered.around(path).iter().any(|((), way)| !way.as_os_str().is_empty());
        plan.is_shown = !is_hidden && (plan.is_shown || plan.ordinary || plan.covers_proc);
        plan.is_kept |= plan.is_shown;
        hidden.add(path, ());
    }
}

/// An entry of `mounts`, and what its plan depends on.
struct Given<'a> {
    index: usize,
    mount: &'a Mount,
    bundle: &'a Path,
    /// The absolute path of the rootfs, unless the container is there already.
    rootfs: Option<&'a Path>,
    linux: Option<&'a Linux>,
    context: &'a Context,
    label: Option<&'a str>,
}

impl Given<'_> {
    /// Where it goes, from the container's root.
    fn destination(&self) -> Result<PathBuf, Error> {
        let path = destination(self.mount, self.rootfs);
        if normal(&path) == Path::new("/") && normal(self.mount.destination()) != Path::new("/") {
            return Err(Error("is the root itself, which root.path is for".into()));
        }
        Ok(path)
    }

    /// The place in the container that the source of a bind mount is at, if that is in what an
    /// earlier entry mounts.
    fn made_before(&self, source: &Path, destinations: &Destinations) -> Option<Place> {
        // Where the host's root is the container's, the host's path is meant.
        let rootfs = self.rootfs.map(normal).filter(|root| root != Path::new("/"))?;
        let way = normal(source).strip_prefix(rootfs).map(tidy).ok()?;
        let place = destinations.place(c_string(&way, "source").ok()?);
        place.within.is_some().then_some(place)
    }
}

/// Where a mount goes, from the container's root at the absolute path `rootfs`. Callers may give that
/// path too, as with runc.
pub(crate) fn destination(mount: &Mount, rootfs: Option<&Path>) -> PathBuf {
    let given = tidy(mount.destination());
    let root = rootfs.map(normal).filter(|root| root != Path::new("/"));
    let below = root.and_then(|root| normal(&given).strip_prefix(root).ok().map(tidy));
    below.unwrap_or(given)
}

/// [`destination`] without `..` and the like, of a config whose bundle is at `bundle`.
pub(crate) fn normal_destination(mount: &Mount, spec: &Spec, bundle: &Path) -> PathBuf {
    let rootfs = spec.root().as_ref().map(|root| bundle.join(root.path()));
    normal(&destination(mount, rootfs.as_deref()))
}

/// The path from the root, without `.` and slashes that mean nothing. `..` may be behind a link.
fn tidy(path: &Path) -> PathBuf {
    let kept = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    Path::new("/").join(path.components().filter(kept).collect::<PathBuf>())
}

/// What `copy-symlink` makes of a source that is a link.
fn copied_link(
    path: &Path,
    source: &CStr,
    destinations: &Destinations,
) -> Result<Option<CopiedLink>, Error> {
    let Ok(target) = readlink(source) else { return Ok(None) };
    let at = c_string(path, "destination")?;
    let (parent, name) = target::split(&at).map_err(|errno| Error::call("destination", errno))?;
    let target = c_string(Path::new(&target), "source")?;
    Ok(Some(CopiedLink { target, parent: destinations.place(parent), name }))
}

fn plan_mount(given: &Given, destinations: &Destinations) -> Result<MountPlan, Error> {
    let &Given { index, mount, bundle, linux, context, label, .. } = given;
    let kind = mount.typ().as_deref().unwrap_or_default();
    let mut destination = given.destination()?;
    if matches!(kind, "proc" | "sysfs") {
        // No link may be in it, so that nothing else is meant by it.
        destination = normal(&destination);
    }
    let place = destinations.place(c_string(&destination, "destination")?);
    let mut options =
        Options::parse(mount.options().as_deref().unwrap_or_default()).map_err(Error)?;
    let source = mount.source().as_deref().unwrap_or_else(|| Path::new(""));
    let mut link = None;
    let is_on_disk = options.bind.is_none() && is_block_device(source);
    if mount.uid_mappings().as_ref().is_some_and(|list| !list.is_empty()) {
        options.idmap.get_or_insert(Depth::One);
    }
    let what = if options.remount {
        What::Remount
    } else if let Some(depth) = options.bind {
        let from = bundle.join(source);
        let path = c_string(&from, "source")?;
        if options.links.copies {
            link = copied_link(&destination, &path, destinations)?;
        }
        let source = if link.is_some() {
            Source::Path(path)
        } else {
            let made = given.made_before(&from, destinations);
            bind_source(path, made, depth, &options, given)?
        };
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
    let name = normal(&destination);
    let covers_proc = name == Path::new("/proc");
    let mut plan = MountPlan {
        index,
        place,
        ordinary: matches!(&what, What::FileSystem { .. }) && matches!(kind, "proc" | "sysfs"),
        what,
        source: c_string(
            if source.as_os_str().is_empty() { Path::new("none") } else { source },
            "source",
        )?,
        options,
        copied_link: link,
        covers_proc,
        names_proc: name.starts_with("/proc"),
        covers_dev: name == Path::new("/dev"),
        allowed_in_proc: covers_proc
            || ALLOWED_IN_PROC.iter().any(|allowed| name == Path::new(allowed)),
        is_kept: false,
        is_shown: false,
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
        idmap::apply(&tree, Depth::One, &idmap::namespace(mount, linux)?)?;
    }
    if let What::FileSystem { made, .. } = &mut plan.what {
        *made = Some(tree);
    }
    Ok(())
}

fn is_block_device(path: &Path) -> bool {
    path.is_absolute() && stat(path).is_ok_and(|found| file_type(&found) == SFlag::S_IFBLK)
}

/// The source of a bind mount, cloned on the host's side where the child may not do so or map its
/// ids; not if it is `made` only by an earlier entry.
fn bind_source(
    path: CString,
    made: Option<Place>,
    depth: Depth,
    options: &Options,
    given: &Given,
) -> Result<Source, Error> {
    let &Given { mount, linux, context, .. } = given;
    let (idmap, nofollow) = (options.idmap, options.links.keeps_source);
    if idmap.is_none() && !context.clones() {
        return Ok(Source::Path(path));
    }
    let mapped = |depth| Ok((idmap::namespace(mount, linux)?, depth));
    if made.is_some() && idmap.is_some() && context.user_namespace {
        // The child may not, in a namespace that the host's side has made.
        return Err(Error(
            "idmap: its source is what an earlier entry mounts, which has no ids to be mapped by \
             the host yet: with a user namespace, give the source of that entry"
                .into(),
        ));
    }
    if let Some(place) = made {
        return Ok(Source::Made { place, mapped: idmap.map(mapped).transpose()? });
    }
    if context.locks() {
        let wanted = Locked::new("source", &path, depth, nofollow)?;
        return Ok(Source::Locked(wanted.mapped(idmap.map(mapped).transpose()?)));
    }
    let failed = |errno| Error::call(format!("source {}", path.to_string_lossy()), errno);
    let tree = parents_tree(&path, depth, nofollow).map_err(failed)?;
    if let Some((namespace, depth)) = idmap.map(mapped).transpose()? {
        idmap::apply(&tree, depth, &namespace)?;
    }
    Ok(Source::Tree(tree))
}

/// A clone made on the host's side: cut off from what the container mounts, as a new mount
/// namespace would have it.
fn parents_tree(path: &CStr, depth: Depth, nofollow: bool) -> sys::Result<OwnedFd> {
    let slave = Attributes { propagation: MS_SLAVE, ..Attributes::default() };
    if nofollow {
        return mount::open_tree_with_nofollow(AT_FDCWD, path, depth, &slave);
    }
    mount::open_tree_with(AT_FDCWD, path, depth, &slave)
}

/// As [`Layout::clone_root`], on the host's side.
fn locked_root(path: &CStr, propagation: Option<(u64, Depth)>) -> Result<Locked, Error> {
    let keeps = propagation.is_none_or(|(kind, _)| kind == MS_SLAVE);
    Ok(Locked::new("root.path", path, Depth::Tree, false)?.private(!keeps))
}

fn plan_devices(
    linux: Option<&Linux>,
    mounts: &[MountPlan],
    destinations: &Destinations,
    context: &Context,
) -> Result<Vec<DevicePlan>, Error> {
    let list = linux.and_then(|linux| linux.devices().as_ref());
    list.into_iter()
        .flatten()
        .enumerate()
        .map(|(index, device)| {
            let mut plan = plan_device(index, device, mounts, destinations)?;
            if context.clones() && plan.kind != SFlag::S_IFIFO && !devices::host_has(&plan) {
                let owner =
                    (host_id(device.uid(), linux, false), host_id(device.gid(), linux, true));
                plan.made = devices::make_detached(&plan, owner).map_err(|errno| {
                    let path = device.path().display();
                    Error::call(format!("linux.devices[{index}]: making {path}"), errno)
                })?;
            }
            Ok(plan)
        })
        .collect()
}

/// What an id of the container is on the host, by the mappings of its user namespace.
fn host_id(id: Option<u32>, linux: Option<&Linux>, is_group: bool) -> Option<Id> {
    let linux = linux?;
    let list = if is_group { linux.gid_mappings() } else { linux.uid_mappings() };
    list.iter().flatten().find_map(|one| {
        let into = id.unwrap_or(0).checked_sub(one.container_id());
        let into = into.filter(|into| *into < one.size())?;
        Id::new(one.host_id().checked_add(into)?)
    })
}

fn plan_device(
    index: usize,
    device: &LinuxDevice,
    mounts: &[MountPlan],
    destinations: &Destinations,
) -> Result<DevicePlan, Error> {
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
    let path = c_string(&tidy(device.path()), "linux.devices")?;
    let (parent, name) = target::split(&path).map_err(|errno| Error::call(at(), errno))?;
    let parent = destinations.place(parent);
    let around = match parent.within {
        Some((Base::Mount(index), _)) => mounts.get(index),
        _ => None,
    };
    Ok(DevicePlan {
        is_hosts: around.is_some_and(MountPlan::is_bind),
        parent,
        name,
        path,
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
        made: None,
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
}
