//! What `checkpoint` and `restore` need to work with criu(8): the image, the options of requests,
//! and mounts.

pub(crate) mod dump;
pub(crate) mod image;
pub(crate) mod mounts;
pub(crate) mod options;
pub(crate) mod restore;

use crate::{Error, Result};
use ::criu::Version;
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

/// The namespaces that criu leaves alone if they are joined: the type, its name below
/// `/proc/PID/ns`, and its key in the image.
pub(crate) const EXTERNAL_NAMESPACES: [(LinuxNamespaceType, &str, &str); 2] = [
    (LinuxNamespaceType::Network, "net", "extRootNetNS"),
    (LinuxNamespaceType::Pid, "pid", "extRootPidNS"),
];

/// How criu names a file by its mount and inode (criu.org, External files).
pub(crate) const FILE: &str = "file[";

/// Refuses a container without a mount namespace: its mounts are the host's, which criu can't
/// restore.
pub(crate) fn refuse_without_mounts(mounted_root: bool) -> Result<()> {
    if mounted_root {
        let why = "without a mount namespace a container can't be checkpointed";
        return Err(Error::new(why).about("linux.namespaces"));
    }
    Ok(())
}

/// Refuses a criu that does not save `no_new_privs`, if the container has it.
pub(crate) fn refuse_forgetful(version: Version, spec: &Spec) -> Result<()> {
    if version.keeps_no_new_privs() || !wants_no_new_privs(spec) {
        return Ok(());
    }
    let why = format!("criu {version} would forget it, as all before 3.19 do");
    Err(Error::new(why).about("process.noNewPrivileges"))
}

pub(crate) fn wants_no_new_privs(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(Process::no_new_privileges).unwrap_or(false)
}
