//! The options of criu's request to dump a container.
//!
//! The image does not contain what belongs to the host (bind mounts, cgroups, joined namespaces, the
//! pipes and files that are stdin, stdout and stderr): it only names it.

use crate::checkpoint::image::{Image, open_directory};
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::{EXTERNAL_NAMESPACES, FILE};
use crate::container::Container;
use crate::create::cgroup::cgroup_view;
use crate::create::validate::namespaces;
use crate::{Error, Explain, Result};
use ::criu::{Options, Switch};
use oci_spec::runtime::{Process, Spec};
use procfs::FromBufRead;
use procfs::process::{MountInfo, MountInfos};
use rootfs::ExternalMount;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use sys::Errno;
use sys::fs::{file_type, open};
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, stat};

/// Checks `--parent-path`. criu itself treats a missing parent as none.
pub(crate) fn check_parent(parent: Option<&Path>, images: &Path) -> Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    if parent.is_absolute() {
        return Err(Error::new("must be relative to --image-path").about("--parent-path"));
    }
    let mut path = images.join(parent);
    if !images.exists() {
        // rind creates it later, and its `..` is then the directory above.
        path = std::path::absolute(images).unwrap_or_else(|_| images.to_owned());
        for part in parent.components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                part => path.push(part),
            }
        }
    }
    open_directory(&path, "--parent-path").map(drop)
}

/// The options of the request to dump.
pub(crate) fn dump_options(
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
        if namespaces(spec).any(|one| one.typ() == kind && one.path().is_some()) {
            let number = inode(&format!("/proc/{pid}/ns/{name}"))?;
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

fn inode(path: &str) -> Result<u64> {
    Ok(fs::metadata(path).on("looking at", path)?.ino())
}

/// Tells criu which mounts come from the host.
fn add_external_mounts(
    asked: &mut Options,
    mounts: &Mounts,
    container: &Container,
    spec: &Spec,
) -> Result<()> {
    let record = &container.record;
    let user_namespace = format!("/proc/{}/ns/user", container.init.pid);
    let has_users = inode(&user_namespace)? != inode("/proc/self/ns/user")?;
    let external =
        rootfs::external_mounts(spec, &record.bundle, &cgroup_view(&record.cgroup), has_users)?;
    for mount in external {
        if let Some(found) = mounts.at(&mount.destination)? {
            if mount.is_bind {
                found.check_source(&mount)?;
            }
            asked.external_mount(&found.point, &found.point);
        }
    }
    let masked = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref());
    for path in masked.into_iter().flatten() {
        // An empty directory masks a directory, and the image contains that one.
        if let Some(found) = mounts.at(Path::new(path))?.filter(|found| !found.is_directory()) {
            asked.external_mount(&found.point, Path::new("/dev/null"));
        }
    }
    Ok(())
}

/// Refuses a container whose stdin, stdout or stderr is a terminal from outside that is not its own by
/// `process.terminal`: it would be gone with the container, and no restore could give it back.
pub(crate) fn refuse_foreign_terminal(container: &Container, spec: &Spec) -> Result<()> {
    if spec.process().as_ref().and_then(Process::terminal).unwrap_or(false) {
        return Ok(());
    }
    let pid = container.init.pid;
    let inside = Mounts::of(pid)?.at(Path::new("/dev/pts"))?.map(|found| found.stat.st_dev);
    for (number, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
        // What can't be looked at is closed.
        let Ok(found) = stat(format!("/proc/{pid}/fd/{number}").as_str()) else { continue };
        let is_terminal =
            file_type(&found) == SFlag::S_IFCHR && TERMINALS.contains(&major(found.st_rdev));
        if is_terminal && Some(found.st_dev) != inside {
            let text = format!(
                "the container's {name} is a terminal of its caller's, which no restore has"
            );
            let hint = "--shell-job has restore give it the terminal of restore's caller; a container that is \
                created with process.terminal has one of its own";
            return Err(Error::new(text).with_object("process.terminal").with_hint(Some(hint)));
        }
    }
    // Or else another process may have been looked at.
    container.running_init().map(drop)
}

/// The major numbers of terminals: consoles, serial lines, and Unix98 pseudo-terminals (the kernel's
/// devices.txt).
const TERMINALS: [u64; 10] = [4, 5, 136, 137, 138, 139, 140, 141, 142, 143];

/// The mounts of a container as they are now.
struct Mounts {
    root: OwnedFd,
    table: MountInfos,
}

impl Mounts {
    fn of(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/mountinfo");
        // The container decides how long this file is.
        let text = fs::File::open(&path)
            .and_then(|file| spec::read_within(file, 0, spec::LONGEST))
            .on("reading", &path)?;
        let table = MountInfos::from_buf_read(text.as_slice()).on("reading", &path)?;
        let path = format!("/proc/{pid}/root");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(path.as_str(), flags, Mode::empty()).on("opening", &path)?;
        Ok(Self { root, table })
    }

    /// The mount at `path`, through symbolic links. None if nothing is mounted there.
    fn at(&self, path: &Path) -> Result<Option<Found>> {
        let failed = |errno| {
            let step = format!("looking at {} inside", path.display());
            Error::call(step, errno).with_object(path.to_string_lossy())
        };
        let found = match rootfs::open_in(self.root.as_fd(), path) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let facts = sys::fs::mount_facts(&found).map_err(failed)?;
        let stat = fstat(&found).map_err(failed)?;
        let line = self.line(facts.id).filter(|_| facts.is_root);
        Ok(line.map(|line| Found {
            point: line.mount_point.clone(),
            // The kernel appends this. No other path has an empty component.
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

    /// What stdin, stdout and stderr of `pid` are: a path, `pipe:[INODE]`, or criu's name of a file
    /// that is on no mount of the container's.
    fn descriptors(&self, pid: i32) -> Result<[String; 3]> {
        let mut found = [const { String::new() }; 3];
        for (number, text) in found.iter_mut().enumerate() {
            let path = format!("/proc/{pid}/fd/{number}");
            let Ok(link) = fs::read_link(&path) else { continue };
            *text = link.to_string_lossy().into_owned();
            if !text.starts_with('/') || text.starts_with("/memfd:") {
                continue;
            }
            let info = format!("/proc/{pid}/fdinfo/{number}");
            let mount = mount_of(&fs::read_to_string(info).unwrap_or_default());
            if let Some(mount) = mount.filter(|id| self.point(*id).is_none()) {
                *text = format!("{FILE}{mount:x}:{:x}]", inode(&path)?);
            }
        }
        Ok(found)
    }
}

/// A mount of a container's.
struct Found {
    point: PathBuf,
    stat: FileStat,
    /// Whether the mounted file has been removed since.
    is_deleted: bool,
}

impl Found {
    fn is_directory(&self) -> bool {
        file_type(&self.stat) == SFlag::S_IFDIR
    }

    /// Fails unless it is the bind mount `mount` of the config. A container that renames
    /// directories or creates links can have another mount at that path. A restore would then apply
    /// the attributes of that other mount, such as being writable, to this source.
    fn check_source(&self, mount: &ExternalMount) -> Result<()> {
        let inode = (self.stat.st_dev, self.stat.st_ino);
        let is_same =
            fs::metadata(&mount.source).is_ok_and(|found| (found.dev(), found.ino()) == inode);
        if is_same || self.is_deleted {
            return Ok(());
        }
        let source = mount.source.display();
        let error = Error::new(format!(
            "what is mounted there is not {source}, as the config has it: the container has moved \
             it, or there is another {source} by now"
        ));
        Err(error.about(&mount.destination))
    }
}

/// The id of the file's mount, from the text of `/proc/PID/fdinfo/FD`.
fn mount_of(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}
