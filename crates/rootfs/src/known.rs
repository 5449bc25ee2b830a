//! Identifies the mount of a running container that a path means. Must never accept a mount that
//! neither the config nor `mounts add` has put at that path.
//!
//! The container's processes can rename directories and make links meanwhile. So rind resolves the
//! path once, without links, to a descriptor, and compares the mount with what the host's side
//! knows: the config, the mounts of `mounts add`, and the covers of masked and read-only paths. A
//! mount moves with a directory above it, and its path may then lead to another mount; if the
//! container can write to the mount point's directory, the mount can even get another name.

use crate::Error;
use crate::container_path::{normal, normal_destination};
use crate::nodes::is_null;
use crate::options::Options;
use crate::step::{During, Fault, Result, Step};
use crate::table::{Line, Table};
use crate::target::{find, find_without_links, first_link};
use oci_spec::runtime::{Mount, Spec};
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::fs::{LeakyFd, is_unique_mount_id, lasting_mount_id, mount_facts};
use sys::mount::{self, Depth};
use sys::nix::mount::{MntFlags, umount2};
use sys::nix::sys::stat::{FileStat, fstat};
use sys::nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use sys::nix::unistd::fchdir;

/// How many mounts rind removes from on top of a mount; only the container can have put them there.
const STACKED: usize = 128;

/// A mount that `mounts add` has added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its destination, normalized.
    pub destination: PathBuf,
    /// Its mount id ([`lasting_mount_id`]).
    pub id: u64,
}

/// How the mounts of a container differ from its config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amended {
    /// The mounts that `mounts add` has added and nobody has removed.
    pub added: Vec<Added>,
    /// The indexes of the config's `mounts` that are removed.
    pub removed: Vec<usize>,
}

/// What the host's side knows of the mounts of a running container.
#[derive(Debug)]
pub struct Known {
    /// The host's procfs: rind can't trust the container's.
    proc: OwnedFd,
    entries: Vec<Entry>,
    /// `linux.maskedPaths` and `linux.readonlyPaths`.
    covers: Vec<PathBuf>,
    amended: Amended,
}

/// An entry of the config's `mounts` that is not removed and no remount.
#[derive(Debug)]
struct Entry {
    index: usize,
    path: PathBuf,
    destination: CString,
    is_mapped: bool,
    origin: Origin,
}

/// The mount that a path means.
pub(crate) struct Identified {
    pub mount: LeakyFd,
    by: MadeBy,
}

/// What has made a mount.
enum MadeBy {
    /// `mounts add`; the mount id.
    Adding(u64),
    /// The config; the index in `mounts`.
    Config(usize),
}

/// What an entry mounts, as far as a mount shows it.
#[derive(Debug)]
enum Origin {
    /// The source's device and inode, if the source exists.
    Bind(Option<(u64, u64)>),
    FileSystem(String),
    Cgroup,
}

/// The mount that a path leads to.
struct Found {
    mount: LeakyFd,
    id: u64,
    stat: FileStat,
    line: Line,
    /// All mounts at the time of the lookup.
    table: Table,
    /// The directory of the mount point.
    parent: LeakyFd,
    name: CString,
}

impl Known {
    /// What is known of the container with the config `spec`; called on the host's side.
    pub fn new(spec: &Spec, bundle: &Path, amended: Amended) -> std::result::Result<Self, Error> {
        let proc =
            sys::fs::open_proc().map_err(|errno| Error::call("opening the host's /proc", errno))?;
        let mounts = spec.mounts().iter().flatten().enumerate();
        let entries = mounts
            .filter(|(index, _)| !amended.removed.contains(index))
            .filter_map(|(index, mount)| Entry::new(index, mount, spec, bundle))
            .collect();
        Ok(Self { proc, entries, covers: covers(spec), amended })
    }

    /// How the mounts now differ from the config.
    #[must_use]
    pub fn amended(&self) -> &Amended {
        &self.amended
    }

    /// Notes an added mount.
    pub(crate) fn add(&mut self, added: Added) {
        self.amended.added.push(added);
    }

    /// Removes the mount at `destination` below the container's root directory `root`. Must run in
    /// the container's mount namespace. A process that still uses the mount keeps it (umount2(2),
    /// `MNT_DETACH`).
    pub fn remove(
        &mut self,
        root: BorrowedFd,
        destination: &Path,
    ) -> std::result::Result<(), Error> {
        let identified = self.identify(root, &normal(destination));
        let Identified { mount, by } =
            identified.map_err(|fault| Error::new(fault.to_string()).of(fault.errno))?;
        self.unmount(&mount).map_err(|errno| Error::new(sys::errno_text(errno)).of(errno))?;
        match by {
            MadeBy::Adding(id) => self.amended.added.retain(|added| added.id != id),
            MadeBy::Config(index) => {
                self.amended.removed.push(index);
                self.entries.retain(|entry| entry.index != index);
            }
        }
        Ok(())
    }

    /// Unmounts the mount of the descriptor `mount`, and mounts that the container has put on top
    /// of it. umount2(2) takes only a path: rind uses the host's procfs, as any other path could
    /// lead elsewhere by now.
    pub(crate) fn unmount(&self, mount: impl AsFd) -> sys::Result<()> {
        let path = sys::fs::proc_fd_path(&mount);
        let path = path.trim_start_matches("/proc/");
        fchdir(&self.proc)?;
        umount2(path, MntFlags::MNT_DETACH)?;
        for _ in 0..STACKED {
            match umount2(path, MntFlags::MNT_DETACH) {
                // The mount is detached.
                Err(Errno::EINVAL) => return Ok(()),
                unmounted => unmounted?,
            }
        }
        Err(Errno::EBUSY)
    }

    /// The mount that the normalized `path` means: one that the config or `mounts add` has put
    /// there, and no other.
    pub(crate) fn identify(&self, root: BorrowedFd, path: &Path) -> Result<Identified> {
        let found = self.look_up(root, path)?;
        if let Some(added) = self.amended.added.iter().find(|added| added.id == found.id) {
            if added.destination == path {
                return Ok(Identified { mount: found.mount, by: MadeBy::Adding(found.id) });
            }
            let put = added.destination.display();
            return Err(refused(format!("it is what mounts add put at {put}, moved there")));
        }
        if self.covers.iter().any(|cover| cover == path) {
            return Err(refused("it covers one of linux.maskedPaths or linux.readonlyPaths"));
        }
        let entry = self.entry_at(root, path, &found)?;
        self.check_not_a_cover(path, entry, &found)?;
        self.check_not_another(root, path, entry, &found)?;
        Ok(Identified { mount: found.mount, by: MadeBy::Config(entry.index) })
    }

    /// The mount at `path`; `EINVAL` if nothing is mounted there.
    fn look_up(&self, root: BorrowedFd, path: &Path) -> Result<Found> {
        let (above, name) = (path.parent(), path.file_name());
        let (Some(above), Some(name)) = (above, name.and_then(c_text)) else {
            return Err(refused("it is the root"));
        };
        let above = c_text(above.as_os_str()).unwrap_or_default();
        let open = |dir: BorrowedFd, way: &CStr| {
            find_without_links(dir, way)
                .map_err(|errno| linked(Step::MountPoint, errno, root, path))
        };
        let parent = open(root, &above)?;
        let mount = open(parent.as_fd(), &name)?;
        let facts = mount_facts(&mount).during(Step::MountPoint)?;
        if !facts.is_root {
            let fault = Fault::new(Step::MountPoint, Errno::EINVAL);
            return Err(fault.with_detail("nothing is mounted there"));
        }
        let id = lasting_mount_id(&mount).during(Step::MountPoint)?;
        let stat = fstat(&mount).during(Step::MountPoint)?;
        let table = Table::read(&self.proc).during(Step::MountPoint)?;
        let line = table.line(facts.id).cloned();
        // A mount that the table lacks is so new that only the container can have made it.
        let line = line.ok_or_else(|| refused("it has just been mounted"))?;
        Ok(Found { mount, id, stat, line, table, parent, name })
    }

    /// Whether any mount below `mount` is read-only, as the covers of read-only paths are.
    pub(crate) fn has_read_only_below(&self, mount: impl AsFd) -> sys::Result<bool> {
        let table = Table::read(&self.proc)?;
        Ok(table.is_any_below(mount_facts(mount)?.id, |line| line.read_only))
    }

    /// The entry of the config that has put `found` where it is.
    fn entry_at(&self, root: BorrowedFd, path: &Path, found: &Found) -> Result<&Entry> {
        let at_path: Vec<&Entry> = self.entries.iter().filter(|entry| entry.path == path).collect();
        let named = if at_path.is_empty() {
            // At `create`, a link of the image may have led to the mount.
            let leads = |entry: &&Entry| {
                let end = find(root, &entry.destination).and_then(lasting_mount_id);
                end == Ok(found.id) && entry.origin.can_be_of(found)
            };
            self.entries.iter().filter(leads).collect()
        } else {
            at_path
        };
        let Some(first) = named.first() else {
            return Err(refused("neither the config nor mounts add has put it there"));
        };
        let of = named.iter().rev().find(|entry| entry.origin.can_be_of(found));
        of.copied().ok_or_else(|| {
            let index = first.index;
            refused(format!("it is not what mounts[{index}] of the config is of, any more"))
        })
    }

    /// Refuses a mount that looks like a cover, which the container may have moved to `path`. Other
    /// mounts can look like one too: rind accepts a mount of the entry's source, unless a cover has
    /// the same name.
    fn check_not_a_cover(&self, path: &Path, entry: &Entry, found: &Found) -> Result<()> {
        let has_name = |cover: &PathBuf| cover.file_name() == path.file_name();
        let is_known = matches!(entry.origin, Origin::Bind(_)) && !found.line.is_deleted();
        let is_known = is_known && !self.covers.iter().any(has_name);
        if is_known || !found.looks_like_a_cover().during(Step::MountPoint)? {
            return Ok(());
        }
        let index = entry.index;
        Err(refused(format!(
            "it looks like what covers one of linux.maskedPaths or linux.readonlyPaths, not like \
             mounts[{index}] of the config"
        )))
    }

    /// Refuses a mount that may be another entry's with the same source, moved to `path`. The ids
    /// of mounts ascend in the order of the config and so tell them apart; where the kernel reuses
    /// ids, names do.
    fn check_not_another(
        &self,
        root: BorrowedFd,
        path: &Path,
        entry: &Entry,
        found: &Found,
    ) -> Result<()> {
        let in_mount_root = mount_facts(&found.parent).during(Step::MountPoint)?.is_root;
        if in_mount_root && self.is_fixed(path) {
            return Ok(());
        }
        let has_order = is_unique_mount_id(found.id);
        let rivals = self.entries.iter().filter(|rival| {
            rival.path != entry.path
                && (has_order || rival.path.file_name() == path.file_name())
                && !self.is_fixed(&rival.path)
                && rival.origin.can_be_of(found)
                // A new tmpfs has no source.
                && !(entry.origin.is_source_of(found) && rival.origin.is_new_tmpfs())
        });
        for rival in rivals {
            let is_there = self.look_up(root, &rival.path).is_ok_and(|other| {
                rival.origin.can_be_of(&other)
                    && entry.is_made_as(rival)
                    && other.id != found.id
                    && (rival.index < entry.index) == (other.id < found.id)
            });
            if !(has_order && is_there) {
                let (index, at) = (rival.index, rival.path.display());
                return Err(refused(format!(
                    "it may be mounts[{index}] {at} of the config, moved there"
                )));
            }
        }
        Ok(())
    }

    /// Whether the container can't change the path of a mount: its directory is the root, or the
    /// root of a new file system whose path is fixed; or it is in a file system without rename(2).
    fn is_fixed(&self, path: &Path) -> bool {
        let Some(parent) = path.parent() else { return true };
        let around = self.entries.iter().filter(|entry| parent.starts_with(&entry.path));
        let Some(around) = around.max_by_key(|entry| entry.path.as_os_str().len()) else {
            return parent == Path::new("/");
        };
        let keeps_all = match &around.origin {
            Origin::Bind(_) => false,
            Origin::FileSystem(kind) if ["proc", "sysfs"].contains(&kind.as_str()) => true,
            Origin::FileSystem(_) | Origin::Cgroup => parent == around.path,
        };
        keeps_all && self.is_fixed(&around.path)
    }
}

impl Entry {
    fn new(index: usize, mount: &Mount, spec: &Spec, bundle: &Path) -> Option<Self> {
        let options = Options::from_mount(mount).ok()?;
        let kind = mount.typ().as_deref().unwrap_or_default();
        let origin = match options.bind_source(mount, bundle) {
            _ if options.remount => return None,
            Some(source) => {
                let keeps_link = options.links.keeps_source;
                let stat =
                    if keeps_link { fs::symlink_metadata(source) } else { fs::metadata(source) };
                Origin::Bind(stat.ok().map(|stat| (stat.dev(), stat.ino())))
            }
            None if kind == "cgroup" => Origin::Cgroup,
            None => Origin::FileSystem(kind.to_owned()),
        };
        Some(Self {
            index,
            path: normal_destination(mount, spec, bundle),
            destination: CString::new(mount.destination().as_os_str().as_bytes()).ok()?,
            is_mapped: options.idmap.is_some(),
            origin,
        })
    }

    /// Whether rind makes both in the order of the config: on the same side, at the same time.
    fn is_made_as(&self, other: &Self) -> bool {
        self.is_mapped == other.is_mapped
            && std::mem::discriminant(&self.origin) == std::mem::discriminant(&other.origin)
    }
}

impl Origin {
    fn can_be_of(&self, found: &Found) -> bool {
        match self {
            // If somebody has removed the source on the host, rind can't tell.
            Self::Bind(_) => self.is_source_of(found) || found.line.is_deleted(),
            // The kernel shows `fuse` as `fuse.SUBTYPE`.
            Self::FileSystem(kind) => kind.split('.').next() == found.line.kind.split('.').next(),
            Self::Cgroup => ["cgroup", "cgroup2", "tmpfs"].contains(&found.line.kind.as_str()),
        }
    }

    fn is_source_of(&self, found: &Found) -> bool {
        let inode = (found.stat.st_dev, found.stat.st_ino);
        matches!(self, Self::Bind(Some(source)) if *source == inode)
    }

    fn is_new_tmpfs(&self) -> bool {
        matches!(self, Self::FileSystem(kind) if kind == "tmpfs")
    }
}

impl AsFd for Found {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

impl Found {
    /// Whether it looks like a cover that `masks.rs` makes: the null device, a read-only empty
    /// tmpfs, or a read-only clone of what it covers.
    fn looks_like_a_cover(&self) -> sys::Result<bool> {
        if is_null(&self.stat) {
            return Ok(true);
        }
        if !self.line.read_only {
            return Ok(false);
        }
        let statfs = fstatfs(&self.mount)?;
        let is_empty =
            statfs.filesystem_type() == TMPFS_MAGIC && (statfs.blocks(), statfs.files()) == (1, 1);
        Ok(is_empty || self.covers_itself()?)
    }

    /// Whether it is a mount of the file that it covers.
    fn covers_itself(&self) -> sys::Result<bool> {
        if u64::from(self.line.parent) != mount_facts(&self.parent)?.id {
            // It covers the root of another mount.
            let beneath = self.table.line(self.line.parent.into());
            return Ok(beneath.is_none_or(|beneath| beneath.is_of_the_same(&self.line)));
        }
        // A clone of one mount shows what other mounts cover.
        let clone = match mount::open_tree(&self.parent, c"", Depth::One, false) {
            Err(Errno::EINVAL) => return Ok(true),
            clone => LeakyFd::from(clone?),
        };
        let beneath = fstat(find_without_links(clone.as_fd(), &self.name)?)?;
        Ok((beneath.st_dev, beneath.st_ino) == (self.stat.st_dev, self.stat.st_ino))
    }
}

/// The fault of a failed lookup without links; names the link if there is one.
pub(crate) fn linked(step: Step, errno: Errno, root: BorrowedFd, path: &Path) -> Fault {
    let why = match errno {
        Errno::ELOOP => {
            let link = first_link(root, path);
            let link = link.as_deref().unwrap_or(path).display();
            format!("{link} is a link: in a container that is there the real path must be given")
        }
        Errno::EAGAIN => "its directories are renamed all the time".into(),
        _ => return Fault::new(step, errno),
    };
    Fault::new(step, errno).with_detail(why)
}

fn refused(why: impl Into<Vec<u8>>) -> Fault {
    Fault::new(Step::MountPoint, Errno::EPERM).with_detail(why)
}

fn covers(spec: &Spec) -> Vec<PathBuf> {
    let Some(linux) = spec.linux() else { return Vec::new() };
    let lists = [linux.masked_paths(), linux.readonly_paths()];
    lists.into_iter().flatten().flatten().map(|path| normal(Path::new(path)).into_owned()).collect()
}

fn c_text(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}
