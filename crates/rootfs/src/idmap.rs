//! Id mappings, and mounts that map ids by a user namespace (`idmap` and `ridmap`;
//! `mount_setattr(2)`). A container must never be able to trace the process that holds such a
//! namespace.

use crate::Error;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Mount};
use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use sys::fs::{open, openat};
use sys::mount::{self, ATTR_IDMAP, Attributes, Depth};
use sys::nix::fcntl::OFlag;
use sys::nix::sched::CloneFlags;
use sys::nix::sys::stat::Mode;
use sys::nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use sys::nix::unistd::geteuid;
use sys::process::{self, Fork};
use sys::{Errno, socket};

/// `linux.uidMappings` or `linux.gidMappings`: lines of container id, host id and size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(pub Vec<(u32, u32, u32)>);

impl IdMap {
    /// The mapping of the config; an empty one without.
    #[must_use]
    pub fn new(config: Option<&Vec<LinuxIdMapping>>) -> Self {
        let lines = config.into_iter().flatten();
        Self(lines.map(|m| (m.container_id(), m.host_id(), m.size())).collect())
    }

    /// The host's id for `id` of the container, if it is mapped.
    #[must_use]
    pub fn to_host(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|(container, host, size)| {
            let offset = id.checked_sub(*container).filter(|offset| offset < size)?;
            host.checked_add(offset)
        })
    }

    /// The text for `uid_map` or `gid_map` (`user_namespaces(7)`).
    #[must_use]
    pub fn lines(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (container, host, size)| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{container} {host} {size}");
            text
        })
    }
}

/// Maps the ids of a detached mount, or of a whole tree, by the mappings of the user namespace
/// `namespace`.
pub(crate) fn map_ids(tree: &OwnedFd, depth: Depth, namespace: &OwnedFd) -> Result<(), Error> {
    mount::mount_setattr(tree, depth, &attributes(namespace))
        .map_err(|errno| failed("mapping the ids (does the file system allow it?)", errno))
}

/// The change that maps ids by the mappings of `namespace`.
pub(crate) fn attributes(namespace: &OwnedFd) -> Attributes {
    let number = namespace.as_raw_fd();
    let userns_fd = u64::from(number.cast_unsigned());
    Attributes { set: ATTR_IDMAP, userns_fd, ..Attributes::default() }
}

/// A user namespace with the mappings of the entry, or else with the container's.
pub(crate) fn user_namespace(entry: &Mount, linux: Option<&Linux>) -> Result<OwnedFd, Error> {
    let joined = linux.and_then(joined_namespace);
    let own = mappings(entry.uid_mappings().as_ref(), entry.gid_mappings().as_ref());
    let containers =
        linux.and_then(|it| mappings(it.uid_mappings().as_ref(), it.gid_mappings().as_ref()));
    match (own, joined, containers) {
        (Some((users, groups)), ..) | (None, None, Some((users, groups))) => {
            make_namespace(&users, &groups)
                .map_err(|errno| failed("making a user namespace with the mappings", errno))
        }
        // A joined namespace has its own mappings, whatever the config says.
        (None, Some(path), _) => {
            open_file(path).map_err(|errno| failed(&format!("opening {}", path.display()), errno))
        }
        (None, None, None) => {
            let reason = "idmap: no uidMappings and gidMappings, and no user namespace";
            Err(Error::new(reason))
        }
    }
}

/// Tries to map the ids of the file system at `path`, on a detached mount of which nothing remains;
/// without a path, those of a new tmpfs. `EINVAL` is that the file system can't have it.
pub fn try_mapping(path: Option<&Path>) -> sys::Result<()> {
    let one = IdMap(vec![(0, 1, 1)]);
    let namespace = make_namespace(&one, &one)?;
    let tree = if let Some(path) = path {
        let root = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        mount::open_tree(root, c"", Depth::One, false)?
    } else {
        let tmpfs = mount::fsopen(c"tmpfs")?;
        mount::fsconfig_create(&tmpfs)?;
        mount::fsmount(&tmpfs, mount::Attr::empty())?
    };
    mount::mount_setattr(&tree, Depth::One, &attributes(&namespace))
}

fn failed(step: &str, errno: Errno) -> Error {
    Error::call(format!("idmap: {step}"), errno)
}

/// The path of the user namespace that the container joins.
fn joined_namespace(linux: &Linux) -> Option<&Path> {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.find(|namespace| namespace.typ() == LinuxNamespaceType::User)?.path().as_deref()
}

/// Both mappings, if neither is empty.
fn mappings(
    users: Option<&Vec<LinuxIdMapping>>,
    groups: Option<&Vec<LinuxIdMapping>>,
) -> Option<(IdMap, IdMap)> {
    let (users, groups) = (IdMap::new(users), IdMap::new(groups));
    (!users.0.is_empty() && !groups.0.is_empty()).then_some((users, groups))
}

/// Makes a user namespace with these mappings. The namespace needs a process until rind has written
/// them. The process waits on a socket whose other end only rind has, so it ends even if rind is
/// killed.
///
/// The host's root owns the namespace, and a container without a user namespace has the same root:
/// it could trace the process, and reach the host through it. So the process is undumpable from
/// birth. For another user it can't be, as only root writes the mappings of an undumpable process.
fn make_namespace(users: &IdMap, groups: &IdMap) -> sys::Result<OwnedFd> {
    let (ours, theirs) = socket::pair()?;
    if geteuid().is_root() {
        process::set_dumpable(false)?;
    }
    let (pid, pidfd) = match process::fork(CloneFlags::CLONE_NEWUSER, None)? {
        Fork::Child => {
            drop(ours);
            let own = open_file("/proc/self/ns/user");
            let sent = own.and_then(|own| socket::send(&theirs, b"user", &[own.as_fd()]));
            let _ = sent.and_then(|()| sys::nix::unistd::read(&theirs, &mut [0]));
            process::exit_now(0)
        }
        Fork::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let sent = socket::receive(&ours, &mut [0; 4]);
    let namespace = sent.and_then(|(_, files)| files.into_iter().next().ok_or(Errno::ECHILD));
    let mapped = namespace.and_then(|fd| write_mappings(pid, users, groups).map(|()| fd));
    drop(ours);
    process::wait(&pidfd)?;
    mapped
}

/// Writes the mappings, through a /proc that it checks to be a procfs.
fn write_mappings(pid: i32, users: &IdMap, groups: &IdMap) -> sys::Result<()> {
    let process = open_file(format!("/proc/{pid}"))?;
    if fstatfs(&process)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Errno::ENODEV);
    }
    let write = |file: &str, map: &IdMap| {
        let file = openat(&process, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        sys::fs::write_once(&file, map.lines().as_bytes())
    };
    write("uid_map", users)?;
    write("gid_map", groups)
}

fn open_file(path: impl AsRef<Path>) -> sys::Result<OwnedFd> {
    open(path.as_ref(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_within_their_ranges_only() {
        let map = IdMap(vec![(0, 100_000, 10), (20, 200_000, 1)]);
        assert_eq!(map.to_host(9), Some(100_009));
        assert_eq!(map.to_host(10), None);
        assert_eq!(map.to_host(20), Some(200_000));
        assert_eq!(map.lines(), "0 100000 10\n20 200000 1\n");
    }
}
