//! The content of `state.json`: what commands after `create` have to know about a container and the
//! kernel can't tell them. It does not contain the status.

use super::hooks::State;
use crate::host::resctrl;
use cgroups::Cgroup;
use oci_spec::runtime::{Hook, LinuxDeviceCgroup};
use process::Namespaces;
use serde::{Deserialize, Serialize};
use spec::Bundle;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::time::SystemTime;
use sys::nix::sched::CloneFlags;
use sys::nix::unistd::geteuid;

/// The fifo that init of a created container waits at.
pub(crate) const EXEC_FIFO: &CStr = c"exec.fifo";
/// The fifo's name until `create` is done.
pub(crate) const NEW_FIFO: &CStr = c"new.fifo";
/// The copy of the config that the container is created by.
pub(crate) const CONFIG: &CStr = c"config.json";
/// Where the cgroups are to be. The file exists only while they are created, and only if rind also
/// creates parents or systemd creates the cgroups.
pub(crate) const PLANNED_CGROUPS: &CStr = c"cgroups.json";
/// The exit status of a container that a foreground `run --keep` has left (128 and the number of the
/// signal that killed it). Of others, whoever has reaped init knows it, and rind does not.
pub(crate) const ENDED: &CStr = c"ended";
/// The files that are in most state directories.
pub(crate) const USUAL_FILES: [&CStr; 4] = [state::USUAL[0], state::USUAL[1], CONFIG, EXEC_FIFO];

/// The content of `state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub oci_version: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub annotations: BTreeMap<String, String>,
    /// When it was created (RFC 3339).
    pub created: String,
    /// The user that created it.
    pub owner: u32,
    pub cgroup: Cgroup,
    /// Its group of resctrl, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<resctrl::Groups>,
    /// What `update` has set, as far as the kernel can't tell it.
    #[serde(default)]
    pub updated: Updated,
    /// Whether its processes keep the session keyring of `create`'s caller.
    #[serde(default)]
    pub keeps_keyring: bool,
    /// Whether its processes outlive its init, as the pid namespace is not the container's own.
    pub shares_pids: bool,
    /// Whether the root is mounted in the host's mount namespace, and has to be unmounted there.
    pub mounted_root: bool,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// What the last `update` has set; none where the config is still in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Updated {
    /// `memory.swap`: v2 has a limit on swap alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<i64>,
    /// `devices`: v2 has a program, and others may have added to v1's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<LinuxDeviceCgroup>>,
}

impl Record {
    /// The record of a container that is made of `bundle`; `cgroup` is where its cgroup is to be.
    pub fn new(
        bundle: &Bundle,
        namespaces: &Namespaces,
        cgroup: Cgroup,
        keeps_keyring: bool,
    ) -> Self {
        let spec = &bundle.spec;
        let hooks = spec.hooks().as_ref();
        let list = |hooks: Option<&Vec<Hook>>| hooks.cloned().unwrap_or_default();
        Self {
            oci_version: spec.version().clone(),
            bundle: bundle.path.clone(),
            rootfs: bundle.rootfs.clone(),
            annotations: spec
                .annotations()
                .iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
            owner: geteuid().as_raw(),
            cgroup,
            rdt: None,
            updated: Updated::default(),
            keeps_keyring,
            shares_pids: !namespaces.new.contains(CloneFlags::CLONE_NEWPID),
            mounted_root: !namespaces.has(CloneFlags::CLONE_NEWNS),
            poststart: list(hooks.and_then(|hooks| hooks.poststart().as_ref())),
            poststop: list(hooks.and_then(|hooks| hooks.poststop().as_ref())),
        }
    }

    /// What hooks of the container `id` get on stdin.
    pub fn hook_state(&self, id: &str, pid: i32, status: &str) -> State {
        State {
            oci_version: self.oci_version.clone(),
            id: id.to_owned(),
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
            status: status.to_owned(),
            pid,
        }
    }

    /// The session keyring of the processes of the container `id`, by name.
    pub fn keyring(&self, id: &str) -> Option<CString> {
        // An id has no NUL byte.
        (!self.keeps_keyring).then(|| CString::new(format!("_ses.{id}")).ok()).flatten()
    }
}
