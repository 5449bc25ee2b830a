//! Which mount of a running container a path means.
//!
//! The container's processes rename directories and make links meanwhile. So rind resolves a path
//! once, without any link, to a descriptor, and compares what that is of with what the host's side
//! knows: what the config or `mounts add` has put there, and what covers masked and read-only paths.
//! A mount moves along when a directory above it is renamed, and its path may then lead to another;
//! where somebody else has a part in the directory, the mount can even get another name.

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

/// How often something may be on top of a mount that is taken away, which only the container can
/// have put there.
const STACKED: usize = 128;

/// A mount that `mounts add` has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Where it was put, without `..` and the like.
    pub destination: PathBuf,
    /// Its id ([`lasting_mount_id`]).
    pub id: u64,
}

/// How the mounts of a container differ from its config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amended {
    /// What `mounts add` has added, and nobody has taken away.
    pub added: Vec<Added>,
    /// Which of the config's `mounts` have been taken away.
    pub removed: Vec<usize>,
}

/// What the host's side knows of the mounts of a container that is there.
#[derive(Debug)]
pub struct Known {
    /// The host's procfs: the container's can't be trusted.
    proc: OwnedFd,
    entries: Vec<Entry>,
    /// `linux.maskedPaths` and `linux.readonlyPaths`.
    covers: Vec<PathBuf>,
    amended: Amended,
}

/// One entry of the config's `mounts` that has not been taken away, and is no remount.
#[derive(Debug)]
struct Entry {
    index: usize,
    path: PathBuf,
    destination: CString,
    is_mapped: bool,
    origin: Origin,
}

/// The mount that is meant by a path.
pub(crate) struct Meant {
    pub mount: LeakyFd,
    by: By,
}

/// What has put a mount where it is.
enum By {
    /// `mounts add`: the mount's id.
    Adding(u64),
    /// This entry of the config.
    Config(usize),
}

/// What a mount is of, as far as one can tell by looking at it.
#[derive(Debug)]
enum Origin {
    /// The source's device and inode, where it is there.
    Bind(Option<(u64, u64)>),
    FileSystem(String),
    Cgroup,
}

/// A mount that a path leads to.
struct Found {
    mount: LeakyFd,
    id: u64,
    stat: FileStat,
    line: Line,
    /// All mounts, as they were when it was found.
    table: Table,
    /// The directory that the path has it in.
    parent: LeakyFd,
    name: CString,
}

impl Known {
    /// Of the container with this config, on the host's side.
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

    /// How the mounts differ from the config by now.
    #[must_use]
    pub fn amended(&self) -> &Amended {
        &self.amended
    }

    /// Takes note of a mount that has been added.
    pub(crate) fn add(&mut self, added: Added) {
        self.amended.added.push(added);
    }

    /// Takes the mount at `destination` away, below `root`, the container's root directory, in its
    /// mount namespace; what still uses it keeps it.
    pub fn remove(
        &mut self,
        root: BorrowedFd,
        destination: &Path,
    ) -> std::result::Result<(), Error> {
        let meant = self.meant(root, &normal(destination));
        let Meant { mount, by } = meant.map_err(|fault| Error::new(fault.to_string()))?;
        self.unmount(&mount).map_err(|errno| Error::new(sys::errno_text(errno)))?;
        match by {
            By::Adding(id) => self.amended.added.retain(|added| added.id != id),
            By::Config(index) => {
                self.amended.removed.push(index);
                self.entries.retain(|entry| entry.index != index);
            }
        }
        Ok(())
    }

    /// Unmounts what `mount` is the root of, and whatever else the container has put on it meanwhile.
    ///
    /// A path could lead elsewhere by now, and the container's /proc anywhere.
    pub(crate) fn unmount(&self, mount: impl AsFd) -> sys::Result<()> {
        let path = sys::fs::proc_fd_path(&mount);
        let path = path.trim_start_matches("/proc/");
        fchdir(&self.proc)?;
        umount2(path, MntFlags::MNT_DETACH)?;
        for _ in 0..STACKED {
            match umount2(path, MntFlags::MNT_DETACH) {
                // It isn't attached any more.
                Err(Errno::EINVAL) => return Ok(()),
                unmounted => unmounted?,
            }
        }
        Err(Errno::EBUSY)
    }

    /// The mount that is meant by `path`, a path without `..` and the like: one that the config or
    /// `mounts add` has put there, and no other.
    pub(crate) fn meant(&self, root: BorrowedFd, path: &Path) -> Result<Meant> {
        let found = self.look_up(root, path)?;
        if let Some(added) = self.amended.added.iter().find(|added| added.id == found.id) {
            if added.destination == path {
                return Ok(Meant { mount: found.mount, by: By::Adding(found.id) });
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
        Ok(Meant { mount: found.mount, by: By::Config(entry.index) })
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
        // It was mounted this moment, and so by the container.
        let line = line.ok_or_else(|| refused("it has just been mounted"))?;
        Ok(Found { mount, id, stat, line, table, parent, name })
    }

    /// Whether anything below `mount` is read-only, as the covers of read-only paths are.
    pub(crate) fn has_read_only_below(&self, mount: impl AsFd) -> sys::Result<bool> {
        let table = Table::read(&self.proc)?;
        Ok(table.is_any_below(mount_facts(mount)?.id, |line| line.read_only))
    }

    /// The entry of the config that has put `found` where it is.
    fn entry_at(&self, root: BorrowedFd, path: &Path, found: &Found) -> Result<&Entry> {
        let at_path: Vec<&Entry> = self.entries.iter().filter(|entry| entry.path == path).collect();
        let named = if at_path.is_empty() {
            // Where a link of the image has led at `create`.
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

    /// What covers a path looks like it, wherever it is moved. Something else may look so too: where
    /// it is of the entry's source, it is believed to be it, unless a cover is called the same.
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

    /// Of two mounts of the same, one can be where the other was. They are told apart by their ids,
    /// which come in the order of the config; where ids are given again, by their names.
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
                // A new one has no source.
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

    /// Whether a mount can be given no other path: the directory that it is in is the root, or a new
    /// file system that itself can't; or it is in one whose directories nobody renames.
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

    /// Whether the two are made in the order of the config: on the same side, at the same time.
    fn is_made_as(&self, other: &Self) -> bool {
        self.is_mapped == other.is_mapped
            && std::mem::discriminant(&self.origin) == std::mem::discriminant(&other.origin)
    }
}

impl Origin {
    fn can_be_of(&self, found: &Found) -> bool {
        match self {
            // Of what has been removed on the host since, nothing can be told.
            Self::Bind(_) => self.is_source_of(found) || found.line.is_deleted(),
            // As `fuse` is shown with the name of what it serves.
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
    /// Whether it is as `masks.rs` makes what covers a path: the null device, an empty tmpfs, or
    /// what it covers itself, read-only.
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

    /// Whether it is of what it is mounted on.
    fn covers_itself(&self) -> sys::Result<bool> {
        if u64::from(self.line.parent) != mount_facts(&self.parent)?.id {
            // It is mounted on the root of another mount.
            let beneath = self.table.line(self.line.parent.into());
            return Ok(beneath.is_none_or(|beneath| beneath.is_of_the_same(&self.line)));
        }
        // A clone has nothing mounted in it.
        let clone = match mount::open_tree(&self.parent, c"", Depth::One, false) {
            Err(Errno::EINVAL) => return Ok(true),
            clone => LeakyFd::from(clone?),
        };
        let beneath = fstat(find_without_links(clone.as_fd(), &self.name)?)?;
        Ok((beneath.st_dev, beneath.st_ino) == (self.stat.st_dev, self.stat.st_ino))
    }
}

/// A fault of a lookup without links, which names the link if that was it.
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
    lists.into_iter().flatten().flatten().map(|path| normal(Path::new(path))).collect()
}

fn c_text(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}
