//! What rind sets up for a container from the host's side, rather than its init.

use crate::container::record::{CONFIG, PLANNED_CGROUPS, Record};
use crate::create::cgroup::{cgroup_owner, resources};
use crate::host::{network, resctrl};
use crate::{Explain, Result, Runtime};
use cgroups::{Cgroup, Systemd};
use oci_spec::runtime::{Linux, Spec};
use process::Namespaces;
use spec::Bundle;
use state::Entry;
use std::os::fd::OwnedFd;
use sys::credentials::Uid;

/// What rind sets up for a container from outside: cgroups, network devices, a group of resctrl.
#[derive(Debug)]
pub(crate) struct HostSide {
    /// The systemd that manages the container's unit, if one does.
    pub systemd: Option<Systemd>,
    pub devices: Vec<network::Device>,
    rdt: Option<resctrl::Plan>,
    /// The user that the cgroup is delegated to, if it is not rind's own.
    cgroup_owner: Option<Uid>,
}

impl HostSide {
    /// Reads the config and looks at the host, and changes nothing. What `linux.intelRdt` asks for
    /// and has no effect is added to `warnings`.
    pub fn plan(
        spec: &Spec,
        id: &str,
        namespaces: &Namespaces,
        systemd: Option<Systemd>,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let none = Linux::default();
        let linux = spec.linux().as_ref().unwrap_or(&none);
        Ok(Self {
            systemd,
            devices: network::plan(linux)?,
            rdt: resctrl::plan(linux, id, warnings)?,
            cgroup_owner: cgroup_owner(spec, namespaces),
        })
    }

    /// Creates the cgroups and the group of resctrl, and writes config.json and state.json. A
    /// systemd scope is started with the process `first` in it. Returns the files to enter cgroups
    /// by as far as they are open already.
    pub fn create_groups(
        &mut self,
        entry: &Entry,
        record: &mut Record,
        bundle: &Bundle,
        first: Option<i32>,
    ) -> Result<Option<Vec<OwnedFd>>> {
        // This comes first: if rind is killed here, `delete --force` finds the cgroups by this copy.
        entry.write_file(CONFIG, &bundle.text)?;
        let mut is_noted = false;
        let mut note = |planned: &Cgroup| {
            is_noted = true;
            let text = serde_json::to_vec(planned).within("planning cgroups")?;
            entry.write_file(PLANNED_CGROUPS, &text)
        };
        let (cgroup, resources) = (&mut record.cgroup, resources(&bundle.spec));
        let entries = match (&mut self.systemd, first) {
            (Some(systemd), Some(pid)) => {
                cgroup.make_scope(resources, pid, systemd, &mut note)?;
                None
            }
            _ => Some(cgroup.make(resources, &mut note)?),
        };
        if let Some(owner) = self.cgroup_owner.filter(|_| record.cgroup.is_pure_v2()) {
            record.cgroup.delegate(owner)?;
        }
        record.rdt = self.rdt.as_ref().map(resctrl::Plan::create).transpose()?;
        entry.write_first(record)?;
        if is_noted {
            // state.json has it now.
            entry.remove_file(PLANNED_CGROUPS).within("removing the plan of cgroups")?;
        }
        Ok(entries)
    }

    /// Applies `linux.resources` and the device rules to the cgroups. With systemd there has to be a
    /// process in them by now.
    pub fn apply_limits(&mut self, runtime: &Runtime, cgroup: &Cgroup, spec: &Spec) -> Result<()> {
        let resources = resources(spec);
        if let Some(systemd) = &mut self.systemd {
            cgroup.settle_scope(resources, systemd)?;
        }
        runtime.warn_all(&cgroup.apply(resources)?);
        Ok(())
    }
}
