//! What is kept of a container, in its `state.json`, for the commands that come after `create`.

use crate::rdt;
use cgroups::Cgroup;
use oci_spec::runtime::{Hook, LinuxDeviceCgroup};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::PathBuf;

/// The fifo that a created container's init waits on.
pub(crate) const EXEC_FIFO: &CStr = c"exec.fifo";
/// Its name until all of `create` is done.
pub(crate) const NEW_FIFO: &CStr = c"new.fifo";
/// The config as it was at `create`.
pub(crate) const CONFIG: &CStr = c"config.json";
/// Where cgroups are to be, while they are made and more is made than the container's own.
pub(crate) const PLANNED_CGROUPS: &CStr = c"cgroups.json";
/// All that is in most containers' directories.
pub(crate) const USUAL_FILES: [&CStr; 4] = [state::USUAL[0], state::USUAL[1], CONFIG, EXEC_FIFO];

/// A container as later commands need to know it. What it is doing is not in here: the kernel
/// knows that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub oci_version: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub annotations: BTreeMap<String, String>,
    /// When it was made, as RFC 3339 has it.
    pub created: String,
    /// Who made it.
    pub owner: u32,
    pub cgroup: Cgroup,
    /// Its group in resctrl, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<rdt::Groups>,
    /// What `update` has set of what the kernel can't be asked for.
    #[serde(default)]
    pub updated: Updated,
    /// Whether its processes have the session keyring of who made it.
    #[serde(default)]
    pub keeps_keyring: bool,
    /// Whether its processes outlive its init, as they are in a pid namespace that it didn't make.
    pub shares_pids: bool,
    /// Without a mount namespace the root is mounted in the caller's, to be unmounted with it.
    pub mounted_root: bool,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// What was last asked for by `update`, where it was; before that, what the config asks for.
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
    /// The session keyring of the processes of the container `id`, by name.
    pub fn keyring(&self, id: &str) -> Option<CString> {
        // An id has no NUL byte.
        (!self.keeps_keyring).then(|| CString::new(format!("_ses.{id}")).ok()).flatten()
    }
}
