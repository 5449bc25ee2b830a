//! What is kept of a container, in its `state.json`, for the commands that come after `create`.

use crate::rdt;
use cgroups::Place;
use oci_spec::runtime::Hook;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::PathBuf;

/// The fifo that a created container's init waits on.
pub(crate) const EXEC_FIFO: &CStr = c"exec.fifo";
/// Its name until all of `create` is done.
pub(crate) const NEW_FIFO: &CStr = c"new.fifo";
/// The config as it was at `create`.
pub(crate) const CONFIG: &CStr = c"config.json";
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
    pub cgroup: Place,
    /// Its group in resctrl, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<rdt::Groups>,
    /// Whether its processes outlive its init, as they are in a pid namespace that it didn't make.
    pub shares_pids: bool,
    /// Without a mount namespace the root is mounted in the caller's, to be unmounted with it.
    pub mounted_root: bool,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}
