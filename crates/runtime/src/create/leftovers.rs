//! Removes what a `create` has left that was killed before it wrote its record, and what a container has
//! whose record is damaged.

use crate::Result;
use crate::container::record::{CONFIG, PLANNED_CGROUPS};
use crate::create::cgroup::locate_cgroup;
use crate::create::options::{CgroupManager, CreateOptions};
use crate::host::resctrl;
use cgroups::Cgroup;
use oci_spec::runtime::Spec;
use state::Entry;
use std::path::Path;
use sys::nix::unistd::geteuid;

/// Removes what a killed `create` left: cgroups and a group of resctrl that no process is in, and
/// the state directory. cgroups.json or else the copy of config.json tells where they are. The
/// caller has the lock.
pub(crate) fn remove_leftovers(entry: &Entry) -> Result<()> {
    if let Some(spec) = config(entry)? {
        planned_place(entry, &spec)?.remove_unused()?;
        let group =
            spec.linux().as_ref().map(|linux| resctrl::plan(linux, entry.id(), &mut Vec::new()));
        // If the config is refused here, that `create` refused it too, and created no group.
        if let Some(Ok(Some(group))) = group {
            group.remove_unused()?;
        }
    }
    entry.remove(&[])
}

/// The cgroup of a container whose record is lost, so that only the config tells where it may be. It is
/// the container's own if its init is there. Of a container that `was_created` it also is if there is
/// no init any more; a killed `create` may have come too late to a cgroup that is another's.
pub(crate) fn own_cgroup(entry: &Entry, was_created: bool) -> Result<Option<Cgroup>> {
    let Some(spec) = config(entry)? else { return Ok(None) };
    let init = entry.init().unwrap_or_default();
    let init = init.is_running().unwrap_or(false).then_some(init.pid);
    if init.is_none() && !was_created {
        return Ok(None);
    }
    let own = |cgroup: Cgroup| -> Result<Option<Cgroup>> {
        let cgroup = cgroup.claim(init)?;
        let is_own = cgroup.joined().next().is_some();
        Ok(is_own.then_some(cgroup))
    };
    if let Some(own) = own(planned_place(entry, &spec)?)? {
        return Ok(Some(own));
    }
    // systemd has made it, or nobody.
    let systemd = options(entry, CgroupManager::Systemd, !geteuid().is_root());
    locate_cgroup(&spec, &systemd).map_or(Ok(None), |(scope, _)| own(scope))
}

/// The container's copy of its config, if it has come so far and can be read.
fn config(entry: &Entry) -> Result<Option<Spec>> {
    match entry.read_file(CONFIG) {
        Err(error) if error.is_not_found() => Ok(None),
        // Without it nobody would find the cgroups any more.
        text => Ok(spec::parse(&text?, Path::new(entry.id()), &mut Vec::new()).ok()),
    }
}

/// Where the cgroups were to be: as cgroups.json has it, else where the config puts them.
fn planned_place(entry: &Entry, spec: &Spec) -> Result<Cgroup> {
    let text = match entry.read_file(PLANNED_CGROUPS) {
        Err(error) if error.is_not_found() => Vec::new(),
        text => text?,
    };
    if let Ok(planned) = serde_json::from_slice(&text) {
        return Ok(planned);
    }
    Ok(locate_cgroup(spec, &options(entry, CgroupManager::Cgroupfs, true))?.0)
}

fn options(entry: &Entry, manager: CgroupManager, rootless: bool) -> CreateOptions {
    let id = entry.id().to_owned();
    CreateOptions { id, manager, rootless, ..CreateOptions::default() }
}
