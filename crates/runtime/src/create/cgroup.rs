//! The container's cgroup: where it is to be, who owns it, and what the container's cgroup mounts
//! show. This code changes no cgroup.

use crate::container::annotations;
use crate::create::options::{CgroupManager, CreateOptions};
use crate::{Explain, Result};
use cgroups::{Cgroup, Systemd};
use oci_spec::runtime::{LinuxResources, Mount, Spec};
use process::{IdMap, Namespaces};
use rootfs::{CgroupView, ControllerView};
use std::ffi::CString;
use std::path::Path;
use sys::credentials::Uid;
use sys::nix::sched::CloneFlags;
use sys::nix::unistd::geteuid;

/// Where the container's cgroups are to be, and the connection to the systemd that creates them, if
/// one does.
pub(crate) fn locate_cgroup(
    spec: &Spec,
    options: &CreateOptions,
) -> Result<(Cgroup, Option<Systemd>)> {
    let CreateOptions { id, manager, rootless, .. } = options;
    let path = cgroups_path(spec);
    let host = match manager {
        CgroupManager::Disabled => return Ok((Cgroup::disabled(), None)),
        _ => cgroups::Host::detect()?,
    };
    let in_unit = || -> Result<(Cgroup, Systemd)> {
        let mut systemd = Systemd::connect(*rootless)?;
        Ok((Cgroup::locate_scope(&host, path, id, &mut systemd)?, systemd))
    };
    let found = match manager {
        CgroupManager::Systemd => Some(in_unit()?),
        CgroupManager::Fitting if *rootless && path.is_none() && host.is_pure_v2() => {
            in_unit().ok().map(|(cgroup, systemd)| (cgroup.leniently(), systemd))
        }
        _ => None,
    };
    let Some((cgroup, mut systemd)) = found else {
        return Ok((Cgroup::locate(&host, path, id, *rootless)?, None));
    };
    // A property that systemd doesn't know is an error, even if the caller did not ask for systemd.
    for (name, value) in spec.annotations().iter().flatten() {
        if let Some(property) = name.strip_prefix(annotations::SYSTEMD_PROPERTY) {
            systemd.ask(property, value).on("annotation", name)?;
        }
    }
    Ok((cgroup, Some(systemd)))
}

fn cgroups_path(spec: &Spec) -> Option<&Path> {
    let path = spec.linux().as_ref()?.cgroups_path().as_deref();
    path.filter(|path| !path.as_os_str().is_empty())
}

/// The user that the cgroup is delegated to: the container's, if the container has a cgroup
/// namespace of its own and a writable cgroup mount (runtime-spec, config-linux.md, cgroup
/// ownership).
pub(crate) fn cgroup_owner(spec: &Spec, namespaces: &Namespaces) -> Option<Uid> {
    let may_write = |mount: &Mount| {
        matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"))
            && mount.destination() == Path::new("/sys/fs/cgroup")
            && !mount.options().iter().flatten().any(|option| option == "ro")
    };
    if !namespaces.new_cgroup || !spec.mounts().iter().flatten().any(may_write) {
        return None;
    }
    let user = spec.process().as_ref()?.user().uid();
    let owner = if namespaces.has(CloneFlags::CLONE_NEWUSER) {
        // Without mappings, the container joins the user namespace, and the config does not tell
        // which id of the host the user is.
        let mappings = spec.linux().as_ref()?.uid_mappings().as_ref();
        IdMap::new(mappings).to_host(user)?
    } else {
        user
    };
    // Only root may chown; another user owns the cgroup already.
    let ours = geteuid();
    Uid::new(owner).filter(|_| ours.is_root() && owner != ours.as_raw())
}

/// The limits that the config asks for: `linux.resources`.
pub(crate) fn resources(spec: &Spec) -> Option<&LinuxResources> {
    spec.linux().as_ref()?.resources().as_ref()
}

/// What mounts of type `cgroup` show: the container's own directory of each hierarchy.
pub(crate) fn cgroup_view(cgroup: &Cgroup) -> CgroupView {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let mut controllers = Vec::new();
    for hierarchy in cgroup.planned() {
        if !hierarchy.is_unified() {
            let names = &hierarchy.controllers[..];
            let name = Path::new(&hierarchy.mount).file_name().unwrap_or_default();
            let links = if names.len() > 1 { names } else { &[] };
            controllers.push(ControllerView {
                name: text(&name.to_string_lossy()),
                links: links.iter().map(|link| text(link)).collect(),
                source: text(&hierarchy.directory()),
            });
        } else if cgroup.is_pure_v2() {
            return CgroupView::Unified(text(&hierarchy.directory()));
        }
    }
    CgroupView::Controllers(controllers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn owner(edit: impl FnOnce(&mut Value)) -> Option<u32> {
        let mut config = json!({
            "ociVersion": "1.0.0", "root": { "path": "/" },
            "process": { "user": { "uid": 7, "gid": 7 }, "cwd": "/", "args": ["x"] },
            "mounts": [
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid"] },
            ],
            "linux": { "namespaces": [{ "type": "cgroup" }] },
        });
        edit(&mut config);
        let spec: Spec = serde_json::from_str(&config.to_string()).unwrap();
        let namespaces = Namespaces::from_config(spec.linux().as_ref().unwrap()).unwrap();
        cgroup_owner(&spec, &namespaces).map(Uid::number)
    }

    #[test]
    fn a_cgroup_that_may_be_written_to_is_the_users() {
        if !geteuid().is_root() {
            return;
        }
        assert_eq!(owner(|_| ()), Some(7));
        assert_eq!(owner(|config| config["mounts"][0]["options"] = json!(["ro"])), None);
        assert_eq!(owner(|config| config["mounts"][0]["type"] = json!("tmpfs")), None);
        assert_eq!(owner(|config| config["linux"]["namespaces"] = json!([])), None);
        assert_eq!(owner(|config| config["process"]["user"]["uid"] = json!(0)), None);
        let mapped = |config: &mut Value| {
            config["linux"]["namespaces"] = json!([{ "type": "cgroup" }, { "type": "user" }]);
            let mapping = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
            config["linux"]["uidMappings"] = mapping.clone();
            config["linux"]["gidMappings"] = mapping;
        };
        assert_eq!(owner(mapped), Some(1007));
    }
}
