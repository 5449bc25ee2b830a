//! What only v2 takes: controllers that are handed down, delegation, and the file by which the kernel
//! freezes.

pub(crate) mod controllers;
pub(crate) mod devices;
pub(crate) mod limits;

use super::wait::{self, Until};
use crate::cgroup::{Cgroup, Hierarchy, join};
use crate::error::{Error, Result};
use crate::file;
use sys::Errno;
use sys::credentials::{self, Uid};
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::unistd::{AccessFlags, access};

/// The files to chown if the kernel doesn't list what a delegated cgroup needs (cgroups(7)).
const DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

impl Cgroup {
    /// Gives the v2 cgroup to the host's user `owner`, for a container that has a cgroup namespace
    /// and a writable cgroup mount (runtime-spec, cgroup ownership). v1 can't be delegated.
    pub fn delegate(&self, owner: Uid) -> Result<()> {
        let Some(unified) = self.joined_unified() else { return Ok(()) };
        let files = file::try_read_value("/sys/kernel/cgroup/delegate");
        let files = files.unwrap_or_else(|_| DELEGATED.to_owned());
        for name in std::iter::once("").chain(files.lines()) {
            let path = unified.file(name);
            match credentials::give_at(AT_FDCWD, path.as_str(), owner, None) {
                // A cgroup needn't have every file on the list.
                Err(Errno::ENOENT) if !name.is_empty() => {}
                Err(errno) => return Err(Error::call(format!("giving {path} to {owner}"), errno)),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// Whether a process can be born in the v2 cgroup: that takes permission to write to `cgroup.procs`
/// of the nearest cgroup above both its own and the new one.
pub(super) fn may_be_entered(cgroup: &Hierarchy) -> bool {
    let common = join(&cgroup.ancestor(cgroup.depth()), "cgroup.procs");
    access(common.as_str(), AccessFlags::W_OK).is_ok()
}

/// Stops every process, and waits until all have stopped; `false` if some have not within `limit`.
pub(super) fn freeze(cgroup: &Hierarchy, limit: Until) -> Result<bool> {
    file::set(&cgroup.file("cgroup.freeze"), "1")?;
    wait::wait(cgroup, "frozen", true, limit)
}

/// Lets the processes go on.
pub(super) fn thaw(cgroup: &Hierarchy) -> Result<()> {
    file::set(&cgroup.file("cgroup.freeze"), "0")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    /// In a folder in place of a v2 hierarchy.
    #[test]
    fn only_what_the_kernel_names_is_delegated() {
        if !sys::nix::unistd::geteuid().is_root() {
            return;
        }
        let mount = std::env::temp_dir().join(format!("rind-delegate-{}", std::process::id()));
        let cgroup = mount.join("box");
        fs::create_dir_all(&cgroup).unwrap();
        for name in ["cgroup.procs", "cgroup.subtree_control", "memory.max"] {
            fs::write(cgroup.join(name), "").unwrap();
        }
        let of = |path: &std::path::Path| fs::metadata(path).unwrap().uid();
        let owner = Uid::new(7).unwrap();
        Cgroup::of(&mount, "box", &[(&["memory"], true)]).delegate(owner).unwrap();
        assert_eq!(of(&cgroup), 0, "v1 can't be");
        Cgroup::of(&mount, "box", &[(&[], true)]).delegate(owner).unwrap();
        let owners = ["", "cgroup.procs", "cgroup.subtree_control", "memory.max"]
            .map(|name| of(&cgroup.join(name)));
        fs::remove_dir_all(&mount).unwrap();
        assert_eq!(owners, [7, 7, 7, 0]);
    }
}
