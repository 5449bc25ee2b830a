//! `linux.namespaces`: the namespaces to make and to join, and the id mappings of a new user
//! namespace. Opens the namespaces to join, and must never join one itself before the fork.

use crate::Error;
use crate::fault::{Fault, Stage};
use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxTimeOffset};
use rootfs::IdMap;
use std::collections::HashMap;
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::Errno;
use sys::fs::open;
use sys::nix::fcntl::OFlag;
use sys::nix::sched::{CloneFlags, setns, unshare};
use sys::nix::sys::stat::{FileStat, Mode, fstat};
use sys::nix::unistd::geteuid;
use sys::process::{self, Ended, Fork};

/// nix lacks this flag, as clone(2) can't take it: it overlaps the exit signal.
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

/// The procfs file of the calling process's user namespace.
pub(crate) const OWN_USER_NAMESPACE: &str = "/proc/self/ns/user";

/// The namespaces of a container.
#[derive(Debug)]
pub struct Namespaces {
    /// The namespaces that the fork of init makes: all new ones but cgroup and time.
    pub new: CloneFlags,
    /// The namespaces to join, in the order of the list.
    pub joined: Vec<Joined>,
    /// Whether init makes a cgroup namespace, once it is in its cgroup.
    pub new_cgroup: bool,
    /// The text for `timens_offsets` of the time namespace to make; `None` to make none.
    pub new_time: Option<String>,
    /// The mappings of a new user namespace.
    pub mappings: Option<Mappings>,
}

/// An existing namespace that the container joins.
#[derive(Debug)]
pub struct Joined {
    /// Its index in `linux.namespaces`.
    pub index: usize,
    /// Its type.
    pub kind: CloneFlags,
    /// The namespace's file.
    pub file: OwnedFd,
}

/// The id mappings of a new user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    /// `linux.uidMappings`.
    pub users: IdMap,
    /// `linux.gidMappings`.
    pub groups: IdMap,
}

/// The flag of a namespace type.
fn flag(kind: LinuxNamespaceType) -> CloneFlags {
    match kind {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Time => CLONE_NEWTIME,
    }
}

/// The name of a namespace type (runtime-spec, config-linux.md, Namespaces).
#[must_use]
pub fn name(kind: CloneFlags) -> &'static str {
    let names = [
        (CloneFlags::CLONE_NEWNS, "mount"),
        (CloneFlags::CLONE_NEWCGROUP, "cgroup"),
        (CloneFlags::CLONE_NEWUTS, "uts"),
        (CloneFlags::CLONE_NEWIPC, "ipc"),
        (CloneFlags::CLONE_NEWUSER, "user"),
        (CloneFlags::CLONE_NEWPID, "pid"),
        (CloneFlags::CLONE_NEWNET, "network"),
        (CLONE_NEWTIME, "time"),
    ];
    names.iter().find(|(flag, _)| *flag == kind).map_or("unknown", |(_, name)| name)
}

/// Tries to make namespaces, in a process that then ends and takes them along.
pub fn try_making(kinds: CloneFlags) -> sys::Result<()> {
    if geteuid().is_root() {
        // In a user namespace the process could be traced by root without capabilities.
        process::set_dumpable(false)?;
    }
    match process::fork(CloneFlags::empty(), None)? {
        Fork::Child => {
            let made = unshare(kinds);
            process::exit_now(made.map_or_else(|errno| errno as i32, |()| 0))
        }
        Fork::Parent { pidfd, .. } => match process::wait(&pidfd)? {
            Ended::Exited(0) => Ok(()),
            Ended::Exited(errno) => Err(Errno::from_raw(errno)),
            // A seccomp profile that kills.
            Ended::Killed(_) => Err(Errno::EPERM),
        },
    }
}

impl Joined {
    /// Joins the namespace (setns(2)).
    pub(crate) fn join(&self) -> Result<(), Fault> {
        setns(&self.file, self.kind)
            .map_err(|errno| Fault::at(Stage::JoinNamespace, self.index, errno))
    }
}

impl Namespaces {
    /// Sorts `linux.namespaces` into namespaces to make and to join, and opens the latter.
    ///
    /// A path that doesn't exist, or is a namespace of another type, is an error.
    pub fn from_config(linux: &Linux) -> Result<Self, Error> {
        let mut new = CloneFlags::empty();
        let mut joined = Vec::new();
        for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
            let kind = flag(namespace.typ());
            match namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
                None => new |= kind,
                Some(path) => {
                    let opened = open_namespace(index, kind, path).map_err(|error| {
                        error.with_object(format!("linux.namespaces[{index}].path"))
                    })?;
                    if let Some(file) = opened {
                        joined.push(Joined { index, kind, file });
                    }
                }
            }
        }
        let new_cgroup = new.contains(CloneFlags::CLONE_NEWCGROUP);
        let new_time = new.contains(CLONE_NEWTIME);
        let new_time = new_time.then(|| time_offsets(linux.time_offsets().as_ref()));
        new.remove(CloneFlags::CLONE_NEWCGROUP | CLONE_NEWTIME);
        let mappings = new.contains(CloneFlags::CLONE_NEWUSER).then(|| Mappings {
            users: IdMap::new(linux.uid_mappings().as_ref()),
            groups: IdMap::new(linux.gid_mappings().as_ref()),
        });
        Ok(Self { new, joined, new_cgroup, new_time, mappings })
    }

    /// Whether an intermediate process has to join or prepare namespaces for init.
    #[must_use]
    pub fn needs_intermediate(&self) -> bool {
        !self.joined.is_empty() || self.new_time.is_some()
    }

    /// Joins the pid namespace, which takes effect for children of the caller.
    pub(crate) fn join_pids(&self) -> Result<(), Fault> {
        self.joined(CloneFlags::CLONE_NEWPID).map_or(Ok(()), Joined::join)
    }

    /// The namespace of this kind that the container joins.
    #[must_use]
    pub fn joined(&self, kind: CloneFlags) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.kind == kind)
    }

    /// Whether there is still a user namespace to make.
    pub(crate) fn new_user(&self) -> bool {
        self.new.contains(CloneFlags::CLONE_NEWUSER)
    }

    /// Whether the container has a namespace of this kind that is not the caller's.
    #[must_use]
    pub fn has(&self, kind: CloneFlags) -> bool {
        self.new.contains(kind) || self.joined(kind).is_some()
    }

    /// The user namespace that owns the joined mount namespace, if that isn't rind's own.
    pub fn owner_of_joined_mounts(&self) -> Result<Option<OwnedFd>, Error> {
        let mounts = self.joined(CloneFlags::CLONE_NEWNS);
        mounts.map_or(Ok(None), |mounts| foreign_owner(&mounts.file))
    }
}

/// The types of all of the container's own namespaces, new or joined.
pub(crate) fn listed(linux: &Linux) -> CloneFlags {
    let namespaces = linux.namespaces().iter().flatten();
    namespaces.fold(CloneFlags::empty(), |all, namespace| all | flag(namespace.typ()))
}

/// Opens and checks a namespace file; `None` for rind's own user namespace, which setns(2) refuses.
fn open_namespace(index: usize, kind: CloneFlags, path: &Path) -> Result<Option<OwnedFd>, Error> {
    let at = || format!("linux.namespaces[{index}].path {}", path.display());
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("opening {}", at()), errno))?;
    let found = match process::namespace_type(&file) {
        Ok(found) => found,
        Err(Errno::ENOTTY) => return Err(Error::new(format!("{}: not a namespace", at()))),
        Err(errno) => return Err(Error::call(at(), errno)),
    };
    if found != kind {
        let (wanted, found) = (name(kind), name(found));
        return Err(Error::new(format!("{}: namespace type is {found}, not {wanted}", at())));
    }
    let is_own = || fstat(&file).and_then(|found| is_own_user_namespace(&found));
    let is_own = kind == CloneFlags::CLONE_NEWUSER
        && is_own().map_err(|errno| Error::call("comparing user namespaces", errno))?;
    Ok((!is_own).then_some(file))
}

/// Whether `found` is of the calling process's user namespace.
pub(crate) fn is_own_user_namespace(found: &FileStat) -> sys::Result<bool> {
    process::is_own_namespace(found, OWN_USER_NAMESPACE)
}

/// The user namespace that owns a mount namespace (`ioctl_ns(2)`), if that is one below rind's own.
pub fn foreign_owner(mounts: &OwnedFd) -> Result<Option<OwnedFd>, Error> {
    let owner = match process::namespace_owner(mounts) {
        // The owner is above rind's user namespace, and may do anything with rind's mounts anyway.
        Err(Errno::EPERM) => return Ok(None),
        owner => owner,
    };
    let foreign = owner.and_then(|owner| {
        let is_ours = is_own_user_namespace(&fstat(&owner)?)?;
        Ok((!is_ours).then_some(owner))
    });
    foreign.map_err(|errno| Error::call("looking at the owner of a mount namespace", errno))
}

/// The text for `timens_offsets` (`time_namespaces(7)`).
fn time_offsets(offsets: Option<&HashMap<String, LinuxTimeOffset>>) -> String {
    offsets.into_iter().flatten().fold(String::new(), |mut text, (clock, offset)| {
        let (secs, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        // Writing to a string can't fail.
        let _ = writeln!(text, "{clock} {secs} {nanos}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn linux(namespaces: &str) -> Linux {
        serde_json::from_str(&format!(r#"{{"namespaces": {namespaces}}}"#)).unwrap()
    }

    #[test]
    fn new_and_joined_are_told_apart() {
        let plan = Namespaces::from_config(&linux(
            r#"[{"type":"pid"},{"type":"network","path":"/proc/self/ns/net"},{"type":"cgroup"},{"type":"time"}]"#,
        ))
        .unwrap();
        assert_eq!(plan.new, CloneFlags::CLONE_NEWPID);
        assert!(plan.new_cgroup && plan.new_time.is_some() && plan.needs_intermediate());
        assert_eq!(plan.joined.len(), 1);
        assert!(plan.has(CloneFlags::CLONE_NEWNET) && plan.has(CloneFlags::CLONE_NEWPID));
    }

    #[test]
    fn a_path_of_another_type_is_named() {
        let config = linux(r#"[{"type":"ipc","path":"/proc/self/ns/net"}]"#);
        let error = Namespaces::from_config(&config).unwrap_err().to_string();
        assert!(error.contains("linux.namespaces[0].path /proc/self/ns/net"), "{error}");
        assert!(error.contains("namespace type is network, not ipc"), "{error}");
    }

    #[test]
    fn a_path_that_is_no_namespace_is_named() {
        for path in ["/dev/null", "/nonexistent"] {
            let config = linux(&format!(r#"[{{"type":"ipc","path":"{path}"}}]"#));
            let error = Namespaces::from_config(&config).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
