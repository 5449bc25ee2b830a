//! What a create leaves that was killed before it wrote its record.

use crate::Result;
use crate::container::record::{CONFIG, PLANNED_CGROUPS};
use crate::create::cgroup::locate_cgroup;
use crate::create::options::{CgroupManager, CreateOptions};
use crate::host::resctrl;
use cgroups::Place;
use oci_spec::runtime::Spec;
use state::Entry;
use std::path::Path;

/// Removes what a killed `create` left: the cgroups and the group of resctrl that it was making, which
/// its plan or its copy of the config tells of, and the directory.
pub(crate) fn remove_leftovers(entry: &Entry) -> Result<()> {
    let config = entry.read_file(CONFIG).ok();
    let name = Path::new(entry.id());
    let spec = config.and_then(|text| spec::parse(&text, name, &mut Vec::new()).ok());
    if let Some(spec) = spec {
        cgroups::remove_unused(&planned_place(entry, &spec)?)?;
        let group =
            spec.linux().as_ref().map(|linux| resctrl::plan(linux, entry.id(), &mut Vec::new()));
        // What can't be planned was not made either.
        if let Some(Ok(Some(group))) = group {
            group.remove_unused()?;
        }
    }
    Ok(entry.remove(&[])?)
}

/// Where cgroups were to be: without a plan they are only those that the config names.
fn planned_place(entry: &Entry, spec: &Spec) -> Result<Place> {
    let text = entry.read_file(PLANNED_CGROUPS).unwrap_or_default();
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
