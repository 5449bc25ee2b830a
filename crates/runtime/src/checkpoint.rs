//! `checkpoint`: has criu write a container's processes down, to be restored later or elsewhere.
//!
//! What is the host's is named in the image and not in it: bind mounts, cgroups, joined namespaces,
//! the pipes and files that are stdin, stdout and stderr. A checkpoint that fails leaves the container
//! running.

use crate::container::{Container, Status, find};
use crate::create::view;
use crate::image::{CriuOptions, Image, open_directory};
use crate::record::CONFIG;
use crate::{Error, Result, Runtime, delete};
use ::criu::{Criu, Feature, Input, Notice, Options, Request, Switch, Version};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use procfs::FromBufRead;
use procfs::process::{MountInfo, MountInfos};
use rootfs::ExternalMount;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use sys::Errno;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// What `checkpoint` is asked for.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    /// The container's name.
    pub id: String,
    /// What is asked of criu.
    pub criu: CriuOptions,
    /// The directory of an earlier image, relative to this one's: what has not changed since is left
    /// out.
    pub parent: Option<PathBuf>,
    /// To write down memory only, and let the container run.
    pub pre_dump: bool,
    /// Where memory is sent to, or with [`Switch::LazyPages`] where it is to be fetched.
    pub page_server: Option<(String, u16)>,
    /// A descriptor that gets a NUL byte once memory can be fetched.
    pub status_fd: Option<i32>,
}

impl CheckpointOptions {
    fn has(&self, switch: Switch) -> bool {
        self.criu.switches.contains(&switch)
    }

    /// Whether the container is there afterwards.
    fn keeps(&self) -> bool {
        self.pre_dump || self.has(Switch::LeaveRunning)
    }
}

/// `checkpoint ID`: writes a running or paused container down, and deletes it unless it is to go on.
pub fn checkpoint(runtime: &Runtime, options: &CheckpointOptions) -> Result<()> {
    let container = find(runtime, &options.id)?;
    let status = match container.status() {
        // It may be paused while it waits for `start`, which criu could not have it do again.
        Status::Paused if container.open_fifo().is_ok() => Status::Created,
        status => status,
    };
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(Error::new(format!("cannot checkpoint a container in the {status} state")));
    }
    container.entry.lock()?;
    // It may have ended while another command had it.
    container.init_process().map_err(|_| Error::new("container not running"))?;
    refuse_without_mounts(container.record.mounted_root)?;
    let name = Path::new(container.entry.id());
    let spec = spec::parse(&container.entry.read_file(CONFIG)?, name, &mut Vec::new())?;
    let status_fd = options.status_fd.map(claim_status_fd).transpose()?;
    check_parent(options)?;
    let version = ::criu::check(&options.criu.program, &features(options))?;
    runtime.debug(|| format!("criu is version {version}"));
    refuse_forgetful(version, &spec)?;
    let image = Image::open(&options.criu, true, "dump.log")?;
    let asked = describe(options, &image, &container, &spec)?;
    let criu = Criu::start(&options.criu.program, Input::Nothing, &[])?;
    let request = if options.pre_dump { Request::PreDump } else { Request::Dump };
    let dumped = criu.carry_out(request, &asked, &mut |notice: Notice| {
        runtime.debug(|| format!("criu: {}", notice.script));
        if let Some(file) = status_fd.as_ref().filter(|_| notice.script == "status-ready") {
            // Whoever waited for it and has gone is no reason to break it off.
            let _ = sys::fs::write_once(file, b"\0");
        }
        Ok(())
    });
    if let Err(error) = dumped as std::result::Result<_, ::criu::Error> {
        if status == Status::Running && container.record.cgroup.is_frozen()? {
            // criu itself was killed.
            container.record.cgroup.thaw()?;
        }
        return Err(image.explain(&error));
    }
    if options.keeps() {
        return Ok(());
    }
    // criu has ended its processes.
    delete::stop(&container)?;
    delete::remove(runtime, &container)
}

/// Without a mount namespace of its own, a container's mounts are the host's, which criu would take
/// to be there.
pub(crate) fn refuse_without_mounts(mounted_root: bool) -> Result<()> {
    if mounted_root {
        let why = "linux.namespaces: without a mount namespace a container can't be checkpointed";
        return Err(Error::new(why));
    }
    Ok(())
}

/// A criu that would have the processes be less restricted than they are.
pub(crate) fn refuse_forgetful(version: Version, spec: &Spec) -> Result<()> {
    if version.keeps_no_new_privs() || !wants_no_new_privs(spec) {
        return Ok(());
    }
    Err(Error::new(format!(
        "process.noNewPrivileges: criu {version} would forget it, as all before 3.19 do"
    )))
}

pub(crate) fn wants_no_new_privs(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(Process::no_new_privileges).unwrap_or(false)
}

fn features(options: &CheckpointOptions) -> Vec<Feature> {
    let wanted = [
        (options.pre_dump || options.parent.is_some(), Feature::MemTrack),
        (options.has(Switch::LazyPages), Feature::LazyPages),
    ];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, feature)| feature).collect()
}

/// criu takes a parent that isn't there for none.
fn check_parent(options: &CheckpointOptions) -> Result<()> {
    let Some(parent) = &options.parent else { return Ok(()) };
    if parent.is_absolute() {
        return Err(Error::new("--parent-path: must be relative to --image-path"));
    }
    let images = &options.criu.images;
    let mut path = images.join(parent);
    if !images.exists() {
        // It will be made, and then its `..` is what is above.
        path = std::path::absolute(images).unwrap_or_else(|_| images.clone());
        for part in parent.components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                part => path.push(part),
            }
        }
    }
    open_directory(&path, "--parent-path").map(drop)
}

fn claim_status_fd(number: i32) -> Result<OwnedFd> {
    let failed = |errno| Error::call(format!("--status-fd {number}"), errno);
    sys::fs::duplicate(number).map_err(failed)
}

/// What criu is asked for.
fn describe(
    options: &CheckpointOptions,
    image: &Image,
    container: &Container,
    spec: &Spec,
) -> Result<Options> {
    let pid = container.init.pid;
    let record = &container.record;
    let mut asked = image.options(&options.criu, &record.annotations);
    asked.process(pid);
    asked.root(&record.rootfs);
    for (kind, name, key) in EXTERNAL_NAMESPACES {
        if joined(spec, kind).is_some() {
            let number = inode(pid, name)?;
            asked.external(&format!("{name}[{number}]:{key}"));
        }
    }
    if let Some(directory) = record.cgroup.freezer_directory() {
        asked.freeze_cgroup(&directory);
    }
    if let Some(parent) = &options.parent {
        asked.parent(parent);
        asked.switch(Switch::TrackMem);
    }
    if let Some((address, port)) = &options.page_server {
        asked.page_server(address, *port);
    }
    if options.pre_dump {
        return Ok(asked);
    }
    let mounts = Mounts::of(pid)?;
    add_external_mounts(&mut asked, &mounts, container, spec)?;
    let descriptors = mounts.descriptors(pid)?;
    for file in descriptors.iter().filter(|one| one.starts_with(FILE)) {
        asked.external(file);
    }
    image.write_descriptors(&descriptors)?;
    Ok(asked)
}

/// The namespaces that criu leaves alone if they are joined: the type, its name, and by which key it
/// is known in the image.
pub(crate) const EXTERNAL_NAMESPACES: [(LinuxNamespaceType, &str, &str); 2] = [
    (LinuxNamespaceType::Network, "net", "extRootNetNS"),
    (LinuxNamespaceType::Pid, "pid", "extRootPidNS"),
];

/// The path of a namespace that the config has joined.
fn joined(spec: &Spec, kind: LinuxNamespaceType) -> Option<&Path> {
    let namespaces = spec.linux().as_ref()?.namespaces().as_ref()?;
    namespaces.iter().find(|one| one.typ() == kind)?.path().as_deref()
}

fn inode(pid: i32, namespace: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/ns/{namespace}");
    let found = fs::metadata(&path);
    let failed = |error| Error::new(format!("looking at {path}: {}", sys::answer(&error)));
    Ok(found.map_err(failed)?.ino())
}

/// Names the mounts that come from the host.
fn add_external_mounts(
    asked: &mut Options,
    mounts: &Mounts,
    container: &Container,
    spec: &Spec,
) -> Result<()> {
    let record = &container.record;
    let has_users = inode(container.init.pid, "user")? != fs_inode("/proc/self/ns/user")?;
    let external = rootfs::external_mounts(spec, &record.bundle, &view(&record.cgroup), has_users)?;
    for mount in external {
        if let Some(found) = mounts.at(&mount.destination)? {
            if mount.is_bind {
                found.see_that_it_is_of(&mount)?;
            }
            asked.external_mount(&found.point, &found.point);
        }
    }
    let masked = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref());
    for path in masked.into_iter().flatten() {
        // A directory is masked by an empty one, which is in the image.
        if let Some(found) = mounts.at(Path::new(path))?.filter(|found| !found.is_directory()) {
            asked.external_mount(&found.point, Path::new("/dev/null"));
        }
    }
    Ok(())
}

fn fs_inode(path: &str) -> Result<u64> {
    let failed = |error| Error::new(format!("looking at {path}: {}", sys::answer(&error)));
    Ok(fs::metadata(path).map_err(failed)?.ino())
}

/// How criu names a file by its mount and inode (criu.org, External files).
pub(crate) const FILE: &str = "file[";

/// The mounts of a container as they are now.
struct Mounts {
    root: OwnedFd,
    table: MountInfos,
}

impl Mounts {
    fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/mountinfo");
        // As many as the container likes.
        let text = fs::File::open(&path)
            .and_then(|file| spec::read_within(file, 0, spec::LONGEST))
            .map_err(|error| Error::new(format!("reading {path}: {}", sys::answer(&error))))?;
        let table = MountInfos::from_buf_read(text.as_slice())
            .map_err(|error| Error::new(format!("reading {path}: {error}")))?;
        let root = format!("/proc/{pid}/root");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(root.as_str(), flags, Mode::empty())
            .map_err(|errno| Error::call(format!("opening {root}"), errno))?;
        Ok(Self { root, table })
    }

    /// The mount at `path`, which may lead there by links. None where nothing is mounted, any more
    /// or yet.
    fn at(&self, path: &Path) -> Result<Option<Found>> {
        let failed = |errno| Error::call(format!("looking at {} inside", path.display()), errno);
        let found = match rootfs::open_in(self.root.as_fd(), path) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let facts = sys::fs::mount_facts(&found).map_err(failed)?;
        let stat = fstat(&found).map_err(failed)?;
        let line = self.line(facts.id).filter(|_| facts.is_root);
        Ok(line.map(|line| Found {
            point: line.mount_point.clone(),
            // As the kernel writes it; no path has an empty component otherwise.
            is_deleted: line.root.ends_with("//deleted"),
            stat,
        }))
    }

    fn line(&self, id: u64) -> Option<&MountInfo> {
        self.table.0.iter().find(|mount| u64::try_from(mount.mnt_id) == Ok(id))
    }

    fn point(&self, id: u64) -> Option<PathBuf> {
        self.line(id).map(|mount| mount.mount_point.clone())
    }

    /// What stdin, stdout and stderr of `pid` are: paths, `pipe:[INODE]`, and of a file that is not
    /// on a mount of the container's how criu names it.
    fn descriptors(&self, pid: i32) -> Result<[String; 3]> {
        let mut found = [const { String::new() }; 3];
        for (number, text) in found.iter_mut().enumerate() {
            let path = format!("/proc/{pid}/fd/{number}");
            let failed = |error| Error::new(format!("looking at {path}: {}", sys::answer(&error)));
            let Ok(link) = fs::read_link(&path) else { continue };
            *text = link.to_string_lossy().into_owned();
            if !text.starts_with('/') || text.starts_with("/memfd:") {
                continue;
            }
            let info = format!("/proc/{pid}/fdinfo/{number}");
            let mount = mount_of(&fs::read_to_string(info).unwrap_or_default());
            if let Some(mount) = mount.filter(|id| self.point(*id).is_none()) {
                let inode = fs::metadata(&path).map_err(failed)?.ino();
                *text = format!("{FILE}{mount:x}:{inode:x}]");
            }
        }
        Ok(found)
    }
}

/// A mount of a container's.
struct Found {
    point: PathBuf,
    stat: FileStat,
    /// Whether what is mounted has been removed since.
    is_deleted: bool,
}

impl Found {
    fn is_directory(&self) -> bool {
        SFlag::from_bits_truncate(self.stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
    }

    /// A container that renames directories, or makes links, has another mount at the path, and a
    /// restore would give that one's attributes, as that it can be written to, to this source.
    fn see_that_it_is_of(&self, mount: &ExternalMount) -> Result<()> {
        let inode = (self.stat.st_dev, self.stat.st_ino);
        let is_same =
            fs::metadata(&mount.source).is_ok_and(|found| (found.dev(), found.ino()) == inode);
        if is_same || self.is_deleted {
            return Ok(());
        }
        let (destination, source) = (mount.destination.display(), mount.source.display());
        Err(Error::new(format!(
            "{destination}: what is mounted there is not {source}, as the config has it: the \
             container has moved it, or there is another {source} by now"
        )))
    }
}

/// The mount's id in what `/proc/PID/fdinfo/FD` has.
fn mount_of(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}
