//! What can be judged only with the host at hand: that a namespace which is joined is not our own.

use crate::{Error, Result};
use oci_spec::runtime::Linux;
use process::Namespaces;
use std::os::fd::OwnedFd;
use sys::nix::sched::CloneFlags;
use sys::nix::sys::stat::{fstat, stat};

/// Refuses sysctls that would be the host's, since the namespace that holds them is joined by a
/// path that leads to the host's own.
pub(crate) fn check_sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<()> {
    let Some(sysctls) = linux.sysctl().as_ref().filter(|sysctls| !sysctls.is_empty()) else {
        return Ok(());
    };
    for joined in &namespaces.joined {
        let (file, prefixes): (_, &[&str]) = match joined.kind {
            CloneFlags::CLONE_NEWNET => ("/proc/self/ns/net", &["net"]),
            CloneFlags::CLONE_NEWIPC => ("/proc/self/ns/ipc", &["kernel", "fs"]),
            CloneFlags::CLONE_NEWUTS => ("/proc/self/ns/uts", &["kernel"]),
            _ => continue,
        };
        let is_in = |name: &String| {
            prefixes.iter().any(|prefix| name.split(['.', '/']).next() == Some(prefix))
        };
        let Some(name) = sysctls.keys().find(|name| is_in(name)) else { continue };
        if is_same(&joined.file, file)? {
            return Err(Error::new(format!(
                "linux.sysctl {name}: not allowed, as linux.namespaces[{}] is the host's own",
                joined.index
            )));
        }
    }
    Ok(())
}

/// Whether `file` is the namespace `own`, a file below /proc/self/ns.
pub(crate) fn is_same(file: &OwnedFd, own: &str) -> Result<bool> {
    let failed = |errno| Error::call(format!("comparing a namespace with {own}"), errno);
    let (this, own) = (fstat(file).map_err(failed)?, stat(own).map_err(failed)?);
    Ok((this.st_dev, this.st_ino) == (own.st_dev, own.st_ino))
}
