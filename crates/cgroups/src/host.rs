//! What cgroup hierarchies the host has, and where the runtime itself is in them.

use crate::error::{Error, Result};
use crate::file;
use procfs::FromBufRead;
use procfs::process::{MountInfo, MountInfos};
use sys::Errno;
use sys::nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};

/// Where cgroup file systems are mounted, on every system that follows the kernel's advice.
const ROOT: &str = "/sys/fs/cgroup";

/// Where v2 is mounted, if v1 has the root.
const BESIDE_V1: &str = "/sys/fs/cgroup/unified";

/// The hierarchies that the calling process is in, at the usual mount points.
///
/// Finding them opens nothing of v1: making a cgroup shows whether a hierarchy is mounted at the usual
/// place. Only if it isn't does rind read mountinfo, which grows with the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub(crate) hierarchies: Vec<Membership>,
}

/// The calling process in one hierarchy: a line of /proc/self/cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// As in v1's mount options: `memory`, `cpu` and `cpuacct`, `name=systemd`. None in v2.
    pub(crate) controllers: Vec<String>,
    /// The usual mount point.
    pub(crate) mount: String,
    /// The process's own cgroup, from the hierarchy's root: `/` or `/user.slice/...`.
    pub(crate) own: String,
}

impl Host {
    /// Finds the hierarchies: one statfs(2), a second if there is v1 too, and one read of
    /// /proc/self/cgroup (cgroups(7)).
    pub fn detect() -> Result<Self> {
        let unified = if is_mounted(ROOT, CGROUP2_SUPER_MAGIC)? {
            Some(ROOT)
        } else if is_mounted(BESIDE_V1, CGROUP2_SUPER_MAGIC)? {
            Some(BESIDE_V1)
        } else {
            None
        };
        Ok(Self::parse(&file::read_value("/proc/self/cgroup")?, unified))
    }

    /// Whether v2 is the only version here.
    #[must_use]
    pub fn is_pure_v2(&self) -> bool {
        self.hierarchies.iter().all(|one| one.controllers.is_empty())
    }

    /// The hierarchies of /proc/self/cgroup, where v2 is mounted at `unified`. If that is the root, v1
    /// hierarchies that exist all the same are somebody else's experiment: rind leaves them alone, as
    /// every runtime does. A v2 hierarchy that is mounted nowhere has no cgroup to be born in.
    pub(crate) fn parse(text: &str, unified: Option<&str>) -> Self {
        let membership = |(controllers, own): (&str, &str)| {
            let mount = match unified {
                _ if controllers.is_empty() => unified?.to_owned(),
                Some(ROOT) => return None,
                _ => format!("{ROOT}/{}", controllers.strip_prefix("name=").unwrap_or(controllers)),
            };
            let controllers = controllers.split(',').filter(|one| !one.is_empty());
            let controllers = controllers.map(str::to_owned).collect();
            Some(Membership { controllers, mount, own: own.to_owned() })
        };
        Self { hierarchies: text.lines().filter_map(fields).filter_map(membership).collect() }
    }
}

/// The controllers and the path of a line `ID:CONTROLLERS:PATH`.
fn fields(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')?.1.split_once(':')
}

/// The cgroup of the process `pid` in the hierarchy of `controllers`, which are one word, as
/// /proc/PID/cgroup has them: `cpu,cpuacct`, or nothing for v2.
pub(crate) fn cgroup_of(pid: i32, controllers: &str) -> Result<Option<String>> {
    let text = file::read_value(&format!("/proc/{pid}/cgroup"))?;
    let found = text.lines().filter_map(fields).find(|(names, _)| *names == controllers);
    Ok(found.map(|(_, path)| path.to_owned()))
}

/// Whether a cgroup file system of `version` is seen at `path`.
fn is_mounted(path: &str, version: FsType) -> Result<bool> {
    match statfs(path) {
        Ok(found) => Ok(found.filesystem_type() == version),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(false),
        Err(errno) => Err(Error::call(format!("asking what {path} is"), errno)),
    }
}

/// Whether v2 is mounted where it is alone.
#[must_use]
pub fn is_v2_alone() -> bool {
    is_mounted(ROOT, CGROUP2_SUPER_MAGIC).unwrap_or(false)
}

/// Whether a v1 hierarchy is seen at `path`.
pub(crate) fn is_v1(path: &str) -> bool {
    is_mounted(path, CGROUP_SUPER_MAGIC).unwrap_or(false)
}

/// Looks up in mountinfo where the v1 hierarchy of `controllers` is mounted, for hosts with mounts of
/// their own: the mount point, and the cgroup that is seen there (mountinfo's field 4, proc(5)), which is
/// `/` but in containers that see their own cgroup only. A mount that others cover is left out.
pub(crate) fn find_mounts(controllers: &[String]) -> Result<Vec<(String, String)>> {
    let text = file::read("/proc/self/mountinfo")?;
    let mounts = MountInfos::from_buf_read(text.as_bytes())
        .map_err(|error| Error::new(format!("reading /proc/self/mountinfo: {error}")))?;
    let found = mounts.into_iter().filter(|mount| is_hierarchy(mount, controllers));
    let found =
        found.filter_map(|mount| Some((mount.mount_point.to_str()?.to_owned(), mount.root)));
    Ok(found.filter(|(point, _)| is_v1(point)).collect())
}

fn is_hierarchy(mount: &MountInfo, controllers: &[String]) -> bool {
    let has = |controller: &String| match controller.split_once('=') {
        Some((key, value)) => {
            mount.super_options.get(key).is_some_and(|found| found.as_deref() == Some(value))
        }
        None => mount.super_options.contains_key(controller),
    };
    mount.fs_type == "cgroup" && !controllers.is_empty() && controllers.iter().all(has)
}
