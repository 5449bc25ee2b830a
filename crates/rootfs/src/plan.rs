//! The host's side: computes a [`Layout`] from the config, and opens before the fork what can be
//! opened. Makes detached mounts that only the host's side may make. It must not attach anything.

use crate::container_path::{
    Base, ContainerPath, Destinations, Paths, as_path, destination, normal, tidy,
};
use crate::layout::{
    CgroupView, Context, CopiedLink, DevicePlan, Layout, Locked, MountKind, MountPlan, NAMESPACED,
    RestrictedPath, Source,
};
use crate::options::{self, CGROUP2_OPTIONS, Links, MS_I_VERSION, MountLabel, Options};
use crate::step::{Fault, mount_failure};
use crate::sysctl::Sysctl;
use crate::{Error, filesystem, idmap, nodes, target};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount, Spec};
use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::credentials::Id;
use sys::fs::file_type;
use sys::mount::{ATTR_RDONLY, Attributes, Depth, Propagation};
use sys::nix::fcntl::readlink;
use sys::nix::sys::stat::{Mode, SFlag, makedev, stat};

/// Files below /proc that a config may mount over, to tell the container something else of the
/// machine than the kernel does (LXCFS). A runtime writes to none of them.
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

impl Layout {
    /// Plans the root of a container whose rootfs is at the absolute path `rootfs`.
    ///
    /// Sources of bind mounts are relative to `bundle`. With a user namespace, the caller completes
    /// the plan by [`Layout::clone_sources`], which clones mounts that the child may not, and maps
    /// their ids.
    pub fn plan(
        spec: &Spec,
        bundle: &Path,
        rootfs: &Path,
        context: Context,
    ) -> Result<Self, Error> {
        let linux = spec.linux().as_ref();
        let propagation = propagation(linux)?;
        let label = mount_label(linux, &context)?;
        let (mut mounts, mut destinations) = plan_mounts(spec, bundle, Some(rootfs), &context)?;
        let root_path = c_string(rootfs, "root.path")?;
        let root = if context.clones() {
            Source::Locked(locked_root(&root_path, propagation)?)
        } else {
            Source::Path(root_path.clone())
        };
        let read_only_root =
            spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
        let devices = plan_devices(linux, &mounts, &destinations, &context, label.as_ref())?;
        let [dev, proc] = [c"/dev", c"/proc"].map(|path| destinations.locate(path.to_owned()));
        let make_cwd = read_only_root.then(|| working_directory(spec)).flatten();
        let make_cwd = make_cwd.map(|path| destinations.locate(path));
        let (readonly_paths, masked_paths) = plan_restricted(linux, &mounts, &mut destinations)?;
        let restricted = || readonly_paths.iter().chain(&masked_paths).map(|path| &path.target);
        let parents = devices.iter().map(|device| &device.parent);
        let paths = parents.chain([&dev, &proc]).chain(&make_cwd).chain(restricted());
        keep_around(&mut mounts, paths);
        mark_visible(&mut mounts, &readonly_paths, &masked_paths);
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
            label,
            context,
        })
    }
}

/// `linux.mountLabel`. Without `SELinux`, the kernel refuses the option.
fn mount_label(linux: Option<&Linux>, context: &Context) -> Result<Option<MountLabel>, Error> {
    let text = linux
        .and_then(|linux| linux.mount_label().as_deref())
        .filter(|label| !label.is_empty() && Path::new("/sys/fs/selinux/enforce").exists());
    let label = |text| {
        let value =
            CString::new(text).map_err(|_| Error::new("linux.mountLabel has a NUL byte"))?;
        Ok(MountLabel { option: context.mount_context, value })
    };
    text.map(label).transpose()
}

fn propagation(linux: Option<&Linux>) -> Result<Option<(Propagation, Depth)>, Error> {
    let name = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    let parse = |name| {
        options::propagation(name)
            .ok_or_else(|| Error::new(format!("linux.rootfsPropagation: unknown value {name:?}")))
    };
    name.filter(|name| !name.is_empty()).map(parse).transpose()
}

pub(crate) fn plan_mounts(
    spec: &Spec,
    bundle: &Path,
    rootfs: Option<&Path>,
    context: &Context,
) -> Result<(Vec<MountPlan>, Destinations), Error> {
    let linux = spec.linux().as_ref();
    let label = mount_label(linux, context)?;
    let label = label.as_ref();
    let mut destinations = Destinations::default();
    let mut mounts: Vec<MountPlan> = Vec::new();
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let entry = MountEntry { index, mount, bundle, rootfs, linux, context, label };
        let plan = plan_mount(&entry, &destinations).map_err(|error| {
            error.about(format!("mounts[{index}] {}", mount.destination().display()))
        })?;
        if !matches!(plan.kind, MountKind::Remount) && plan.copied_link.is_none() {
            destinations.add(as_path(&plan.target.path), Base::Mount(index));
        }
        let source = match &plan.kind {
            MountKind::Bind { source: Source::Earlier { path, .. }, .. } => Some(path),
            _ => None,
        };
        let link = plan.copied_link.as_ref().map(|link| &link.parent);
        keep_around(&mut mounts, [Some(&plan.target), source, link].into_iter().flatten());
        mounts.push(plan);
    }
    Ok((mounts, destinations))
}

/// Marks the mounts that `paths` are in: the child keeps their descriptors.
fn keep_around<'a>(mounts: &mut [MountPlan], paths: impl Iterator<Item = &'a ContainerPath>) {
    for path in paths {
        if let Some(mount) = path.mount_index().and_then(|index| mounts.get_mut(index)) {
            mount.is_kept = true;
        }
    }
}

/// Plans `linux.readonlyPaths` and `linux.maskedPaths`. The child covers them in this order, so a
/// path below a read-only path is then in the cover of that.
fn plan_restricted(
    linux: Option<&Linux>,
    mounts: &[MountPlan],
    destinations: &mut Destinations,
) -> Result<(Vec<RestrictedPath>, Vec<RestrictedPath>), Error> {
    let mut all = Paths::default();
    for plan in mounts {
        all.add(as_path(&plan.target.path), ());
    }
    let plan = |destinations: &Destinations, path: CString| {
        let target = destinations.locate(path);
        let has_mounts = all.any_below(as_path(&target.path));
        let around = target.mount_index().and_then(|index| mounts.get(index));
        let alone = !has_mounts && around.is_some_and(|mount| mount.ordinary);
        let must_exist = has_mounts && target.within.is_none();
        RestrictedPath { target, alone, must_exist, is_kept: false }
    };
    let mut readonly: Vec<RestrictedPath> = Vec::new();
    for path in unique(linux.and_then(|l| l.readonly_paths().as_ref()), "linux.readonlyPaths")? {
        let planned = plan(destinations, path);
        if planned.target.mount().is_none() {
            destinations.add(as_path(&planned.target.path), Base::Cover(readonly.len()));
        }
        keep_cover(&mut readonly, &planned);
        readonly.push(planned);
    }
    let mut masked = Vec::new();
    for path in unique(linux.and_then(|l| l.masked_paths().as_ref()), "linux.maskedPaths")? {
        let planned = plan(destinations, path);
        keep_cover(&mut readonly, &planned);
        masked.push(planned);
    }
    Ok((readonly, masked))
}

/// Marks the cover that `path` is in: the child keeps its descriptor.
fn keep_cover(covers: &mut [RestrictedPath], path: &RestrictedPath) {
    if let Some((Base::Cover(index), _)) = path.target.within
        && let Some(cover) = covers.get_mut(index)
    {
        cover.is_kept = true;
    }
}

/// The paths of `list`, each once.
fn unique(list: Option<&Vec<String>>, property: &str) -> Result<Vec<CString>, Error> {
    let mut seen = HashSet::new();
    let paths = list.into_iter().flatten().filter(|path| seen.insert(path.as_str()));
    paths.map(|path| c_string(path, property)).collect()
}

/// Marks the mounts that the container must see at their destination: procfs, sysfs, and those with
/// restricted paths, unless a later mount or a cover hides them.
fn mark_visible(mounts: &mut [MountPlan], readonly: &[RestrictedPath], masked: &[RestrictedPath]) {
    for path in readonly.iter().chain(masked) {
        if let Some(mount) = path.target.mount_index().and_then(|index| mounts.get_mut(index)) {
            mount.must_be_visible = true;
        }
    }
    let (mut covered, mut hidden) = (Paths::default(), Paths::default());
    for path in readonly {
        covered.add(as_path(&path.target.path), ());
    }
    for path in masked {
        hidden.add(as_path(&path.target.path), ());
    }
    for plan in mounts.iter_mut().rev().filter(|plan| !matches!(plan.kind, MountKind::Remount)) {
        let path = as_path(&plan.target.path);
        let is_hidden = !hidden.around(path).is_empty()
            || covered.around(path).iter().any(|((), way)| !way.as_os_str().is_empty());
        plan.must_be_visible =
            !is_hidden && (plan.must_be_visible || plan.ordinary || plan.covers_proc);
        plan.is_kept |= plan.must_be_visible;
        hidden.add(path, ());
    }
}

/// An entry of `mounts` with what its plan depends on.
struct MountEntry<'a> {
    index: usize,
    mount: &'a Mount,
    bundle: &'a Path,
    /// The absolute path of the rootfs; `None` for a container that runs already.
    rootfs: Option<&'a Path>,
    linux: Option<&'a Linux>,
    context: &'a Context,
    label: Option<&'a MountLabel>,
}

impl MountEntry<'_> {
    /// The destination, from the container's root.
    fn destination(&self) -> Result<PathBuf, Error> {
        let path = destination(self.mount, self.rootfs);
        if normal(&path) == Path::new("/") && normal(self.mount.destination()) != Path::new("/") {
            return Err(Error::new("is the root itself, which root.path is for"));
        }
        Ok(path)
    }

    /// The path in the container of a bind mount's source, if that is in what an earlier entry
    /// mounts.
    fn earlier_source(&self, source: &Path, destinations: &Destinations) -> Option<ContainerPath> {
        // If the container's root is the host's, the source is a path of the host.
        let rootfs = self.rootfs.map(normal).filter(|root| root != Path::new("/"))?;
        let way = normal(source).strip_prefix(rootfs).map(tidy).ok()?;
        let path = destinations.locate(c_string(&way, "source").ok()?);
        path.within.is_some().then_some(path)
    }
}

/// What `copy-symlink` makes if the source is a link.
fn copied_link(
    path: &Path,
    source: &CStr,
    destinations: &Destinations,
) -> Result<Option<CopiedLink>, Error> {
    let Ok(target) = readlink(source) else { return Ok(None) };
    let at = c_string(path, "destination")?;
    let (parent, name) = target::split(&at).map_err(|errno| Error::call("destination", errno))?;
    let target = c_string(target, "source")?;
    Ok(Some(CopiedLink { target, parent: destinations.locate(parent), name }))
}

fn plan_mount(entry: &MountEntry, destinations: &Destinations) -> Result<MountPlan, Error> {
    let &MountEntry { index, mount, bundle, linux, context, label, .. } = entry;
    let fs_type = mount.typ().as_deref().unwrap_or_default();
    let mut destination = entry.destination()?;
    if matches!(fs_type, "proc" | "sysfs") {
        // rind follows no link to this mount point, so `..` has its literal meaning.
        destination = normal(&destination).into_owned();
    }
    let target = destinations.locate(c_string(&destination, "destination")?);
    let mut options = Options::from_mount(mount).map_err(Error::new)?;
    let source = mount.source().as_deref().unwrap_or_else(|| Path::new(""));
    let mut link = None;
    let is_on_disk = options.bind.is_none() && is_block_device(source);
    let kind = if options.remount {
        MountKind::Remount
    } else if let Some(depth) = options.bind {
        let from = bundle.join(source);
        let path = c_string(&from, "source")?;
        if options.links.copies {
            link = copied_link(&destination, &path, destinations)?;
        }
        let source = if link.is_some() {
            Source::Path(path)
        } else {
            let earlier = entry.earlier_source(&from, destinations);
            bind_source(path, earlier, depth, &options, entry)?
        };
        MountKind::Bind { source, depth }
    } else if fs_type == "cgroup" || fs_type == "cgroup2" && is_like_cgroup(context, &options) {
        MountKind::Cgroup
    } else {
        if is_on_disk && options.attributes.set.contains(ATTR_RDONLY) {
            // Without the option, mounting could write to the disk, such as to replay a journal.
            options.parameters.push((c"ro".to_owned(), None));
        }
        MountKind::FileSystem { name: c_string(fs_type, "type")?, detached: None }
    };
    check_options(&options, &kind)?;
    if let Some(label) =
        label.filter(|_| !matches!(kind, MountKind::Bind { .. } | MountKind::Remount))
    {
        options.add_label(fs_type, label);
    }
    let name = normal(&destination);
    let covers_proc = name == Path::new("/proc");
    let mut plan = MountPlan {
        index,
        target,
        ordinary: matches!(&kind, MountKind::FileSystem { .. })
            && matches!(fs_type, "proc" | "sysfs"),
        kind,
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
        must_be_visible: false,
    };
    let is_mapped = plan.options.idmap.is_some();
    if is_on_disk && context.leaves_disks {
        return Ok(plan);
    }
    if is_mapped || is_on_disk && !context.user_namespace && !plan.options.needs_mount_call() {
        make_here(&mut plan, mount, linux)?;
    }
    Ok(plan)
}

/// Whether a mount of type `cgroup2` is the same as one of type `cgroup`: one with options of the
/// hierarchy sets these.
fn is_like_cgroup(context: &Context, options: &Options) -> bool {
    matches!(context.cgroup, CgroupView::Unified(_)) && options.parameters.is_empty()
}

/// Refuses options that have no effect on this kind of mount.
fn check_options(options: &Options, kind: &MountKind) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::new(reason));
    let is_new = matches!(kind, MountKind::FileSystem { .. });
    let is_bind = matches!(kind, MountKind::Bind { .. });
    if let Some(option) = &options.unknown
        && (is_bind || matches!(kind, MountKind::Remount) && options.bind.is_some())
    {
        return Err(Error::new(format!(
            "option {option:?} is not known, and a bind mount has none of a file system's own"
        )));
    }
    if let Some(option) = options.unknown.as_ref().or(options.tmpfs_option.as_ref())
        && matches!(kind, MountKind::Cgroup)
        && !CGROUP2_OPTIONS.contains(&option.as_str())
    {
        return Err(Error::new(format!("option {option:?} is not known for a cgroup mount")));
    }
    if options.links != Links::default() && !is_bind {
        return refuse("src-nofollow, dest-nofollow and copy-symlink are for bind mounts");
    }
    if options.copy_up && !is_new {
        return refuse("tmpcopyup: only a new file system can be filled");
    }
    if options.idmap.is_some() && !is_new && !is_bind {
        return refuse("idmap: only bind mounts and new file systems can have their ids mapped");
    }
    if options.idmap.is_some() && is_new && options.needs_mount_call() {
        return refuse("idmap: not together with iversion, silent or a value of 256 bytes");
    }
    if matches!(kind, MountKind::Remount)
        && options.bind.is_none()
        && options.mount_flags & MS_I_VERSION != 0
    {
        return refuse("iversion: can't be changed by a remount");
    }
    Ok(())
}

/// Makes a new file system on the host's side. Mapping its ids needs `CAP_SYS_ADMIN` in the user
/// namespace of the file system, and in the one of the mapping, where the container doesn't have
/// it.
fn make_here(plan: &mut MountPlan, mount: &Mount, linux: Option<&Linux>) -> Result<(), Error> {
    let MountKind::FileSystem { name, .. } = &plan.kind else { return Ok(()) };
    if NAMESPACED.iter().any(|kind| name.to_bytes() == kind.as_bytes()) {
        let kind = name.to_string_lossy();
        return Err(Error::new(format!("idmap: the ids of a {kind} can't be mapped")));
    }
    let failed =
        |fault: Fault| mount_failure(plan, &fault).unwrap_or_else(|| Error::new(fault.to_string()));
    let tree = filesystem::mount_detached(plan, name).map_err(failed)?;
    if plan.options.idmap.is_some() {
        idmap::map_ids(&tree, Depth::One, &idmap::user_namespace(mount, linux)?)?;
    }
    if let MountKind::FileSystem { detached, .. } = &mut plan.kind {
        *detached = Some(tree);
    }
    Ok(())
}

fn is_block_device(path: &Path) -> bool {
    path.is_absolute() && stat(path).is_ok_and(|found| file_type(&found) == SFlag::S_IFBLK)
}

/// The source of a bind mount. rind clones it on the host's side if the child may not clone it or
/// map its ids, unless it is in the mount of an `earlier` entry, which doesn't exist yet.
fn bind_source(
    path: CString,
    earlier: Option<ContainerPath>,
    depth: Depth,
    options: &Options,
    entry: &MountEntry,
) -> Result<Source, Error> {
    let &MountEntry { mount, linux, context, .. } = entry;
    let (idmap, nofollow) = (options.idmap, options.links.keeps_source);
    if idmap.is_none() && !context.clones() {
        return Ok(Source::Path(path));
    }
    let mapped = |depth| Ok((idmap::user_namespace(mount, linux)?, depth));
    if earlier.is_some() && idmap.is_some() && context.user_namespace {
        // The child may not map ids by a user namespace that the host's side has made.
        return Err(Error::new(
            "idmap: its source is what an earlier entry mounts, which has no ids to be mapped by \
             the host yet: with a user namespace, give the source of that entry",
        ));
    }
    if let Some(path) = earlier {
        return Ok(Source::Earlier { path, mapped: idmap.map(mapped).transpose()? });
    }
    if context.locks() {
        let mut locked = Locked::new("source", &path, depth, nofollow)?;
        locked.mapped = idmap.map(mapped).transpose()?;
        return Ok(Source::Locked(locked));
    }
    let failed = |errno| Error::call(format!("source {}", path.to_string_lossy()), errno);
    // A slave, as in a new mount namespace: what the container mounts must not propagate to the
    // host.
    let slave = Attributes { propagation: Propagation::Slave, ..Attributes::default() };
    let tree = filesystem::clone_tree(&path, depth, Some(&slave), nofollow).map_err(failed)?;
    if let Some((namespace, depth)) = idmap.map(mapped).transpose()? {
        idmap::map_ids(&tree, depth, &namespace)?;
    }
    Ok(Source::Tree(tree))
}

/// [`Layout::clone_root`] for the host's side.
fn locked_root(path: &CStr, propagation: Option<(Propagation, Depth)>) -> Result<Locked, Error> {
    let keeps = propagation.is_none_or(|(kind, _)| kind == Propagation::Slave);
    Ok(Locked { private: !keeps, ..Locked::new("root.path", path, Depth::Tree, false)? })
}

fn plan_devices(
    linux: Option<&Linux>,
    mounts: &[MountPlan],
    destinations: &Destinations,
    context: &Context,
    label: Option<&MountLabel>,
) -> Result<Vec<DevicePlan>, Error> {
    let list = linux.and_then(|linux| linux.devices().as_ref());
    list.into_iter()
        .flatten()
        .enumerate()
        .map(|(index, device)| {
            let mut plan = plan_device(index, device, mounts, destinations)?;
            if context.clones() && plan.kind != SFlag::S_IFIFO && !nodes::host_has(&plan) {
                let owner =
                    (host_id(device.uid(), linux, false), host_id(device.gid(), linux, true));
                plan.detached = nodes::make_detached(&plan, owner, label).map_err(|errno| {
                    let path = device.path().display();
                    Error::call(format!("linux.devices[{index}]: making {path}"), errno)
                })?;
            }
            Ok(plan)
        })
        .collect()
}

/// The host's id for an id of the container, by the mappings of the container's user namespace.
fn host_id<T: Copy>(id: Option<u32>, linux: Option<&Linux>, is_group: bool) -> Option<Id<T>> {
    let linux = linux?;
    let list = if is_group { linux.gid_mappings() } else { linux.uid_mappings() };
    Id::new(idmap::IdMap::new(list.as_ref()).to_host(id.unwrap_or(0))?)
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
        LinuxDeviceType::A => return Err(Error::new(format!("{}: type a is no device", at()))),
    };
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    let no_id = |key, id| Error::new(format!("{}: {key} {id} is no id", at()));
    let number = |value: i64| {
        u64::try_from(value)
            .map_err(|_| Error::new(format!("{}: major and minor must be given", at())))
    };
    let path = c_string(tidy(device.path()), "linux.devices")?;
    let (parent, name) = target::split(&path).map_err(|errno| Error::call(at(), errno))?;
    let parent = destinations.locate(parent);
    let around = parent.mount_index().and_then(|index| mounts.get(index));
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
        uid: Id::new(uid).ok_or_else(|| no_id("uid", uid))?,
        gid: Id::new(gid).ok_or_else(|| no_id("gid", gid))?,
        detached: None,
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

fn c_string(text: impl AsRef<OsStr>, property: &str) -> Result<CString, Error> {
    CString::new(text.as_ref().as_bytes())
        .map_err(|_| Error::new(format!("{property}: has a NUL byte")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(list: &[&str]) -> Options {
        Options::parse(&list.iter().map(|&option| option.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        fn new() -> MountKind {
            MountKind::FileSystem { name: c"tmpfs".to_owned(), detached: None }
        }
        fn bind() -> MountKind {
            MountKind::Bind { source: Source::Path(c"/".to_owned()), depth: Depth::One }
        }
        let cases = [
            (vec!["tmpcopyup", "iversion", "silent"], new(), true),
            (vec!["idmap"], new(), true),
            (vec!["idmap", "iversion"], new(), false),
            (vec!["bind", "ridmap", "silent"], bind(), true),
            (vec!["bind", "tmpcopyup"], bind(), false),
            (vec!["bind", "readonly"], bind(), false),
            (vec!["bind", "ro "], bind(), false),
            (vec!["bind", "size=4k"], bind(), true),
            (vec!["bind", "sise=4k"], bind(), false),
            (vec!["bind", "sync", "nofail", "x-a", "src-nofollow"], bind(), true),
            (vec!["remount", "bind", "readonly"], MountKind::Remount, false),
            (vec!["remount", "size=1m"], MountKind::Remount, true),
            (vec!["src-nofollow"], new(), false),
            (vec!["remount", "bind", "dest-nofollow"], MountKind::Remount, false),
            (vec!["tmpcopyup"], MountKind::Cgroup, false),
            (vec!["readonly"], MountKind::Cgroup, false),
            (vec!["nsdelegate", "ro"], MountKind::Cgroup, true),
            (vec!["idmap"], MountKind::Cgroup, false),
            (vec!["remount", "idmap"], MountKind::Remount, false),
            (vec!["remount", "tmpcopyup"], MountKind::Remount, false),
            (vec!["remount", "iversion"], MountKind::Remount, false),
            (vec!["remount", "bind", "silent", "ro"], MountKind::Remount, true),
        ];
        for (list, what, fine) in cases {
            assert_eq!(check_options(&parse(&list), &what).is_ok(), fine, "{list:?}");
        }
    }
}
