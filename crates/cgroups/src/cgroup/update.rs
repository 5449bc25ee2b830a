//! Setting limits and device rules: of a new container, and anew while it runs.

use super::{limits_of, rules_of};
use crate::cgroupfs::v2::controllers;
use crate::cgroupfs::write::Undo;
use crate::cgroupfs::{current, devices, limits};
use crate::devices::rules;
use crate::error::{Error, Result};
use crate::path::CgroupPath;
use crate::scope;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

/// See [`Cgroup::apply`](crate::Cgroup::apply).
pub(super) fn apply(path: &CgroupPath, resources: Option<&LinuxResources>) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    if path.disabled {
        return Ok(lost);
    }
    limits::set(path, &limits_of(resources)?, None, path.lenient.then_some(&mut lost))?;
    devices::apply(path, &rules_of(resources)?)?;
    Ok(lost)
}

/// See [`Cgroup::update`](crate::Cgroup::update).
pub(super) fn update(
    path: &CgroupPath,
    resources: &LinuxResources,
    swap: Option<i64>,
    before: Option<&[LinuxDeviceCgroup]>,
) -> Result<()> {
    if path.disabled {
        return Err(Error::new("the container was made without cgroups, so it has no limits"));
    }
    let mut asked = limits_of(Some(resources))?;
    current::complete(path, &mut asked, swap)?;
    controllers::enable(path, &limits::needed(path, &asked)?, false)?;
    let replaced = resources.devices().as_deref().map(rules).transpose()?;
    let mut undo = Undo::default();
    let updated = limits::set(path, &asked, Some(&mut undo), None);
    let updated = updated.and_then(|()| {
        let before = rules(before.unwrap_or_default())?;
        scope::update(path, &asked, replaced.as_deref(), &before)
    });
    // The last, as they are not set back.
    let updated = updated.and_then(|()| match &replaced {
        Some(rules) => devices::replace(path, rules),
        None => Ok(()),
    });
    updated.map_err(|error| undo.take_back(error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cgroupfs::limits::tests::Folder;

    #[test]
    fn without_cgroups_there_is_no_update() {
        let asked = LinuxResources::default();
        let refused = update(&CgroupPath::disabled(), &asked, None, None).unwrap_err();
        assert!(refused.to_string().contains("without cgroups"));
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let all = "cpuset cpu io memory pids\n";
        let folder = Folder::new(&[
            ("cgroup.controllers", all),
            ("memory.max", "4096\n"),
            ("memory.swap.max", "2048\n"),
            ("cpu.max", "max 100000\n"),
        ]);
        let asked = serde_json::from_str(
            r#"{ "memory": { "limit": 8192, "swap": 9000 }, "cpu": { "quota": 111 },
                "pids": { "limit": 5 } }"#,
        )
        .unwrap();
        // There is no pids.max.
        let refused = update(&folder.place(), &asked, None, None).unwrap_err().to_string();
        assert!(refused.starts_with("linux.resources.pids.limit: writing 5 to "), "{refused}");
        assert!(refused.ends_with("(the kernel, or the cgroup above, has no such limit)"));
        for (file, before) in
            [("memory.max", "4096\n"), ("memory.swap.max", "2048\n"), ("cpu.max", "max 100000\n")]
        {
            assert_eq!(folder.read(file).get(..before.len()), Some(before), "{file}");
        }
    }
}
