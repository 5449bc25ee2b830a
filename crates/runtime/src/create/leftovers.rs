//! Removes what a `create` has left that was killed before it wrote its record.

use crate::Result;
use crate::container::record::{CONFIG, PLANNED_CGROUPS};
use crate::create::cgroup::locate_cgroup;
use crate::create::options::{CgroupManager, CreateOptions};
use crate::host::resctrl;
use cgroups::Cgroup;
use oci_spec::runtime::Spec;
use state::Entry;
use std::path::Path;

/// Removes what a killed `create` left: cgroups and a group of resctrl that no process is in, and
/// the state directory. cgroups.json or else the copy of config.json tells where they are. The
/// caller has the lock.
pub(crate) fn remove_leftovers(entry: &Entry) -> Result<()> {
    let config = match entry.read_file(CONFIG) {
        Err(error) if error.is_not_found() => None,
        // Without it nobody would find the cgroups any more.
        text => Some(text?),
    };
    let name = Path::new(entry.id());
    let spec = config.and_then(|text| spec::parse(&text, name, &mut Vec::new()).ok());
    if let Some(spec) = spec {
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

/// Where the cgroups were to be: as cgroups.json has it, else where the config puts them.
fn planned_place(entry: &Entry, spec: &Spec) -> Result<Cgroup> {
    let text = match entry.read_file(PLANNED_CGROUPS) {
        Err(error) if error.is_not_found() => Vec::new(),
        text => text?,
    };
    if let Ok(planned) = serde_json::from_slice(&text) {
        return Ok(planned);
    }
    let cgroupfs = CreateOptions {
        id: entry.id().to_owned(),
        manager: CgroupManager::Cgroupfs,
        rootless: true,
        ..CreateOptions::default()
    };
    Ok(locate_cgroup(spec, &cgroupfs)?.0)
}
