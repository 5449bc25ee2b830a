//! What a path of the container will lead to, before there is one: in the rootfs and in what the config
//! binds over it. A link is followed within the container's root.

use oci_spec::runtime::{Mount, Spec};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use sys::Errno;
use sys::fs::{file_type, open, openat2};
use sys::nix::fcntl::{OFlag, ResolveFlag, readlinkat};
use sys::nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// What the container will see: the rootfs, and over it the mounts in their order.
pub(super) struct Tree(Vec<Layer>);

struct Layer {
    /// The entry of `mounts`; none for the rootfs.
    entry: Option<usize>,
    at: PathBuf,
    base: Base,
}

enum Base {
    /// A file or directory of the host.
    Of(OwnedFd),
    /// What nobody knows before it is mounted: the entry of `mounts`.
    Hidden(usize),
}

/// What is at the end of a path.
pub(super) enum Found {
    There {
        /// It, opened with `O_PATH`.
        file: OwnedFd,
        facts: FileStat,
    },
    /// A directory that isn't there yet, above the destination of a mount.
    Made,
    /// It will be in this entry of `mounts`.
    Hidden(usize),
    /// It isn't there.
    Missing,
    /// The caller can't find out.
    Unknown(Errno),
}

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

impl Tree {
    /// The tree of a container with this rootfs; sources of binds are from `bundle` on.
    pub fn new(spec: &Spec, bundle: &Path, rootfs: &Path) -> sys::Result<Self> {
        let root = open_path(rootfs)?;
        let mut layers = vec![Layer { entry: None, at: PathBuf::from("/"), base: Base::Of(root) }];
        for (index, mount) in spec.mounts().iter().flatten().enumerate() {
            if has_option(mount, &["remount", "tmpcopyup"]) {
                continue;
            }
            let source = mount.source().as_deref().filter(|_| is_bind(mount));
            let base = source.and_then(|source| open_path(&bundle.join(source)).ok());
            let base = base.map_or(Base::Hidden(index), Base::Of);
            layers.push(Layer { entry: Some(index), at: absolute(mount.destination()), base });
        }
        Ok(Self(layers))
    }

    /// What `path`, from the container's root, leads to.
    pub fn find(&self, path: &Path) -> Found {
        self.find_before(usize::MAX, path)
    }

    /// The same, before entry `index` of `mounts` is mounted.
    pub fn find_before(&self, index: usize, path: &Path) -> Found {
        let mut rest: VecDeque<OsString> = components(path);
        let (mut here, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            let (file, facts) = match self.open(index, &next) {
                Found::There { file, facts } => (file, facts),
                Found::Made => {
                    here = next;
                    continue;
                }
                other => return other,
            };
            if file_type(&facts) != SFlag::S_IFLNK {
                here = next;
                continue;
            }
            links += 1;
            let target = match readlinkat(&file, "") {
                Ok(target) if links <= MOST_LINKS => PathBuf::from(target),
                Ok(_) => return Found::Missing,
                Err(errno) => return Found::Unknown(errno),
            };
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            let mut all = components(&target);
            all.append(&mut rest);
            rest = all;
        }
        self.open(index, &here)
    }

    /// Whether it is sure that there is nothing at the path before entry `index` is mounted.
    pub fn lacks_before(&self, index: usize, path: &Path) -> bool {
        matches!(self.find_before(index, path), Found::Missing)
    }

    /// What is at a path that no link is on the way of.
    fn open(&self, before: usize, path: &Path) -> Found {
        // A later mount covers what earlier ones have there.
        let mut layers =
            self.0.iter().rev().filter(|layer| layer.entry.is_none_or(|it| it < before));
        let around = layers.find_map(|layer| Some((layer, path.strip_prefix(&layer.at).ok()?)));
        let Some((layer, way)) = around else { return Found::Missing };
        let base = match &layer.base {
            Base::Hidden(index) => return Found::Hidden(*index),
            Base::Of(base) => base,
        };
        let opened = if way.as_os_str().is_empty() {
            base.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
        } else {
            let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            openat2(base.as_fd(), way, PATH | OFlag::O_NOFOLLOW, Mode::empty(), resolve)
        };
        let found = opened.and_then(|file| Ok((fstat(&file)?, file)));
        match found {
            Ok((facts, file)) => Found::There { file, facts },
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                let is_below = |layer: &Layer| {
                    layer.entry.is_none_or(|it| it < before) && layer.at.starts_with(path)
                };
                if self.0.iter().any(is_below) { Found::Made } else { Found::Missing }
            }
            Err(errno) => Found::Unknown(errno),
        }
    }
}

const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

fn open_path(path: &Path) -> sys::Result<OwnedFd> {
    open(path, PATH, Mode::empty())
}

/// Whether an entry of `mounts` is a bind.
pub(super) fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind") || has_option(mount, &["bind", "rbind"])
}

pub(super) fn has_option(mount: &Mount, names: &[&str]) -> bool {
    mount.options().iter().flatten().any(|option| names.contains(&option.as_str()))
}

/// The path without dots, from the root.
fn absolute(path: &Path) -> PathBuf {
    let mut absolute = PathBuf::from("/");
    for name in components(path) {
        if name == ".." {
            absolute.pop();
        } else {
            absolute.push(name);
        }
    }
    absolute
}

fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.filter(|name| !name.as_bytes().is_empty()).collect()
}
