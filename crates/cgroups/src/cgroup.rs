//! The container's cgroup: a directory in every hierarchy, which of them rind made, and whether systemd
//! has a unit for it.
//!
//! This file has what the state keeps of it, and finds where it is. The methods that do something with a
//! cgroup are in the files that do the work.

use crate::error::{Error, Result};
use crate::host::{Host, Membership};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};
use systemd::Bus;

/// A container's cgroup: one directory in each hierarchy.
///
/// The state file keeps it as JSON (`state.json`, and `cgroups.json` while rind makes it), so every
/// later command opens the same one. Containers that an older rind made must stay readable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    pub(crate) hierarchies: Vec<Hierarchy>,
    /// Whether missing permissions on cgroups are no error: rootless, and no path was asked for.
    pub(crate) lenient: bool,
    /// Whether rind leaves cgroups alone altogether.
    pub(crate) disabled: bool,
    /// The unit that systemd makes the cgroups for, if systemd makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
}

/// The container's cgroup in one hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hierarchy {
    /// The v1 controllers of the hierarchy (`cpu` and `cpuacct`, `name=systemd`); none for v2.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted on the host.
    pub mount: String,
    /// What was there before, from the mount: rind's own cgroup or the one above it, or empty.
    pub(crate) base: String,
    /// The cgroup, from the base: `docker/0123`.
    pub(crate) below: String,
    /// How many components of `below`, from the end, rind made.
    pub(crate) made: usize,
    /// Whether the cgroup is the container's: made, or found fit.
    pub(crate) joined: bool,
    /// Whether the mount turned out to be elsewhere when rind made the cgroup.
    #[serde(skip)]
    pub(crate) moved: bool,
}

/// The container's unit, as the state file keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unit {
    /// `docker-0123.scope`.
    pub(crate) name: String,
    /// The slice that it is in: `system.slice`.
    pub(crate) slice: String,
    /// Whose unit it is: the system's, or a user's.
    pub(crate) bus: Bus,
}

impl Cgroup {
    /// No cgroup at all: rind applies no limits and no device rules, and nothing enters.
    #[must_use]
    pub fn disabled() -> Self {
        Self { disabled: true, ..Self::default() }
    }

    /// The cgroup of container `id` for a `linux.cgroupsPath`. Nothing is made or opened yet.
    ///
    /// An absolute path starts at each hierarchy's mount point. A relative one, or none, which
    /// stands for the id, is below rind's own cgroup on v1 and beside it on v2: a cgroup with
    /// processes can't hand controllers down to children (cgroups(7), no internal processes).
    /// If `rootless` and `cgroups_path` is absent, missing permissions are no error later.
    pub fn locate(
        host: &Host,
        cgroups_path: Option<&Path>,
        id: &str,
        rootless: bool,
    ) -> Result<Self> {
        let asked = cgroups_path.filter(|path| !path.as_os_str().is_empty());
        let below = components(asked.unwrap_or(Path::new(id)))?;
        let absolute = asked.is_some_and(Path::is_absolute);
        let hierarchies = host.hierarchies.iter().map(|membership| {
            let base = if absolute { String::new() } else { base(membership)? };
            Ok(Hierarchy::new(membership, base, below.clone()))
        });
        let hierarchies = hierarchies.collect::<Result<_>>()?;
        let lenient = rootless && asked.is_none();
        Ok(Self { hierarchies, lenient, ..Self::default() })
    }

    /// The same cgroup, but missing permissions are no error.
    #[must_use]
    pub fn leniently(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// The same cgroup for a process of `exec --cgroup`: each of `asked` is `PATH`, or
    /// `CONTROLLER[,CONTROLLER]:PATH`, of a cgroup below the container's that must exist.
    ///
    /// A process may enter it. Nobody may remove it.
    pub fn within<S: AsRef<str>>(&self, asked: &[S]) -> Result<Self> {
        let mut within = self.clone();
        for asked in asked.iter().map(AsRef::as_ref) {
            let (controllers, path) = asked.split_once(':').unwrap_or(("", asked));
            let bad = || Error::new(format!("bad sub cgroup path: {asked}"));
            let path = normal(Path::new(path)).map_err(|_| bad())?;
            for controller in controllers.split(',') {
                if !within.descend(controller, &path, self) {
                    return Err(Error::new(format!("unknown controller {controller}: {asked}")));
                }
            }
        }
        Ok(within)
    }

    /// Has the hierarchy of `controller`, or all without a name, at `path` below where it is in
    /// `top`; `false` if there is no such hierarchy.
    fn descend(&mut self, controller: &str, path: &str, top: &Self) -> bool {
        let mut found = false;
        for (one, top) in self.hierarchies.iter_mut().zip(&top.hierarchies) {
            if controller.is_empty() || one.has(controller) {
                one.below = join(&top.below, path);
                found = true;
            }
        }
        found
    }

    /// Where the container's cgroups are going to be, one a hierarchy, made or not.
    pub fn planned(&self) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter()
    }

    /// The container's cgroups, one a hierarchy, without those that rind could not make.
    pub fn joined(&self) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter().filter(|one| one.joined)
    }

    /// Whether making the cgroup found a hierarchy mounted elsewhere than [`Cgroup::locate`] thought.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.hierarchies.iter().any(|one| one.moved)
    }

    /// Whether systemd makes the cgroup, for a process that rind gives it ([`Cgroup::make_scope`]).
    #[must_use]
    pub fn is_in_scope(&self) -> bool {
        self.unit.is_some()
    }

    /// Whether the host has no v1 hierarchy.
    #[must_use]
    pub fn is_pure_v2(&self) -> bool {
        self.hierarchies.iter().all(Hierarchy::is_unified)
    }

    /// The v1 hierarchy of `controller`, joined or not.
    pub(crate) fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|one| one.has(controller))
    }

    /// The v2 hierarchy, joined or not.
    pub(crate) fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|one| one.is_unified())
    }

    /// The v2 hierarchy, if it is joined.
    pub(crate) fn joined_unified(&self) -> Option<&Hierarchy> {
        self.unified().filter(|one| one.joined)
    }

    /// The hierarchy that has `controller`, by its v1 name: v2 has what no v1 hierarchy has.
    pub(crate) fn controlling(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1(controller).or_else(|| self.unified())
    }

    /// The hierarchy that has `controller`, if it is joined.
    pub(crate) fn joined_controlling(&self, controller: &str) -> Option<&Hierarchy> {
        self.controlling(controller).filter(|one| one.joined)
    }

    /// At `below` in hierarchies that are all mounted at `mount`: their controllers, and whether
    /// they are joined.
    #[cfg(test)]
    pub(crate) fn of(mount: &Path, below: &str, hierarchies: &[(&[&str], bool)]) -> Self {
        let one = |(controllers, joined): &(&[&str], bool)| Hierarchy {
            controllers: controllers.iter().map(|&one| one.to_owned()).collect(),
            mount: mount.display().to_string(),
            below: below.to_owned(),
            made: 1,
            joined: *joined,
            ..Hierarchy::default()
        };
        Self { hierarchies: hierarchies.iter().map(one).collect(), ..Self::default() }
    }
}

impl Hierarchy {
    /// A cgroup that isn't there yet, in the hierarchy that rind is in by `membership`.
    pub(crate) fn new(membership: &Membership, base: String, below: String) -> Self {
        let (controllers, mount) = (membership.controllers.clone(), membership.mount.clone());
        Self { controllers, mount, base, below, ..Self::default() }
    }

    /// Whether this is the v2 hierarchy.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// The container's cgroup directory on the host.
    #[must_use]
    pub fn directory(&self) -> String {
        self.ancestor(0)
    }

    /// A file of the container's cgroup.
    pub(crate) fn file(&self, name: &str) -> String {
        join(&self.directory(), name)
    }

    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    /// How many components the cgroup has below its base.
    pub(crate) fn depth(&self) -> usize {
        self.below.split('/').count()
    }

    /// The directory `up` levels above the container's cgroup, at most up to the base.
    pub(crate) fn ancestor(&self, up: usize) -> String {
        let kept = self.depth().saturating_sub(up);
        let below: Vec<_> = self.below.split('/').take(kept).collect();
        join(&join(&self.mount, &self.base), &below.join("/"))
    }
}

/// `directory/name`, where either may be empty.
pub(crate) fn join(directory: &str, name: &str) -> String {
    let slash = if directory.is_empty() || name.is_empty() { "" } else { "/" };
    format!("{directory}{slash}{name}")
}

/// The components of a `linux.cgroupsPath`, joined.
fn components(path: &Path) -> Result<String> {
    let joined = match normal(path) {
        Ok(joined) if joined.is_empty() => Err("the root cgroup can't be a container's"),
        other => other,
    };
    joined.map_err(|why| Error::new(format!("linux.cgroupsPath: {}: {why}", path.display())))
}

/// The path's components, joined; `..` could lead to another container's cgroup, or out of all.
fn normal(path: &Path) -> std::result::Result<String, &'static str> {
    let mut joined = String::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => match name.to_str() {
                Some(name) if !name.contains('\n') => joined = join(&joined, name),
                _ => return Err("not text, or with a newline"),
            },
            Component::ParentDir | Component::Prefix(_) => return Err("must not contain \"..\""),
        }
    }
    Ok(joined)
}

/// The cgroup, from the mount point, that a relative path is below.
fn base(own: &Membership) -> Result<String> {
    if own.own.split('/').any(|component| component == "..") {
        let controllers = own.controllers.join(",");
        return Err(Error::new(format!(
            "linux.cgroupsPath: relative to rind's own cgroup, but that is outside rind's cgroup \
             namespace ({controllers}:{}); give an absolute path",
            own.own
        )));
    }
    let path = own.own.trim_matches('/');
    let parent = || path.rsplit_once('/').map_or("", |(parent, _)| parent);
    Ok(if own.controllers.is_empty() { parent() } else { path }.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn host() -> Host {
        let one = |controllers: &[&str], mount: &str, own: &str| Membership {
            controllers: controllers.iter().map(|&one| one.to_owned()).collect(),
            mount: format!("/sys/fs/cgroup/{mount}"),
            own: own.to_owned(),
        };
        Host {
            hierarchies: vec![
                one(&["memory"], "memory", "/shell/7"),
                one(&["name=systemd"], "systemd", "/"),
                one(&[], "unified", "/user.slice/shell"),
            ],
        }
    }

    fn directories(path: Option<&str>) -> Vec<String> {
        let cgroup = Cgroup::locate(&host(), path.map(Path::new), "box", false).unwrap();
        cgroup.hierarchies.iter().map(Hierarchy::directory).collect()
    }

    #[test]
    fn an_absolute_path_is_below_each_mount() {
        assert_eq!(
            directories(Some("/docker//0/./1/")),
            [
                "/sys/fs/cgroup/memory/docker/0/1",
                "/sys/fs/cgroup/systemd/docker/0/1",
                "/sys/fs/cgroup/unified/docker/0/1"
            ]
        );
    }

    #[test]
    fn a_relative_path_or_none_is_below_the_runtimes_own() {
        assert_eq!(
            directories(Some("a/b")),
            [
                "/sys/fs/cgroup/memory/shell/7/a/b",
                "/sys/fs/cgroup/systemd/a/b",
                "/sys/fs/cgroup/unified/user.slice/a/b"
            ]
        );
        assert_eq!(directories(None), directories(Some("box")));
        assert_eq!(directories(Some("")), directories(None));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["../x", "/a/../../x", "/", ".", "a\nb"] {
            let refused = Cgroup::locate(&host(), Some(Path::new(path)), "box", false).unwrap_err();
            assert!(refused.to_string().starts_with("linux.cgroupsPath: "), "{refused}");
        }
    }

    #[test]
    fn a_base_outside_the_namespace_is_refused_only_where_it_matters() {
        let mut outside = host();
        outside.hierarchies[0].own = "/../other".to_owned();
        assert!(Cgroup::locate(&outside, None, "box", false).is_err());
        assert!(Cgroup::locate(&outside, Some(Path::new("/box")), "box", false).is_ok());
    }

    #[test]
    fn only_a_rootless_default_is_lenient() {
        let lenient = |path: Option<&str>, rootless| {
            Cgroup::locate(&host(), path.map(Path::new), "box", rootless).unwrap().lenient
        };
        assert!(lenient(None, true) && !lenient(Some("a"), true) && !lenient(None, false));
    }

    #[test]
    fn a_process_may_be_given_a_cgroup_below() {
        let cgroup = Cgroup::locate(&host(), Some(Path::new("/box")), "box", false).unwrap();
        let within = |asked: &[&str]| -> Vec<_> {
            cgroup.within(asked).unwrap().hierarchies.into_iter().map(|one| one.below).collect()
        };
        assert_eq!(within(&[]), ["box", "box", "box"]);
        assert_eq!(within(&["/a/b/"]), ["box/a/b", "box/a/b", "box/a/b"]);
        assert_eq!(within(&["memory:a", "name=systemd:b"]), ["box/a", "box/b", "box"]);
        assert_eq!(within(&["memory,name=systemd:a"]), ["box/a", "box/a", "box"]);
        let refused = |asked| cgroup.within(&[asked]).unwrap_err().to_string();
        assert_eq!(refused("../x"), "bad sub cgroup path: ../x");
        assert_eq!(refused("memory:a/../../x"), "bad sub cgroup path: memory:a/../../x");
        assert_eq!(refused("mind:a"), "unknown controller mind: mind:a");
    }

    #[test]
    fn ancestors_end_at_the_base() {
        let cgroup = Cgroup::locate(&host(), Some(Path::new("a/b")), "box", false).unwrap();
        let memory = &cgroup.hierarchies[0];
        assert_eq!(memory.depth(), 2);
        assert_eq!(memory.ancestor(1), "/sys/fs/cgroup/memory/shell/7/a");
        assert_eq!(memory.ancestor(9), "/sys/fs/cgroup/memory/shell/7");
    }

    /// As rind 0.1 wrote it: without a unit, and with one.
    #[test]
    fn the_state_of_an_older_rind_is_read_and_written() {
        for text in [
            r#"{"hierarchies":[{"controllers":["cpu","cpuacct"],"mount":"/sys/fs/cgroup/cpu","base":"a","below":"b/c","made":2,"joined":true}],"lenient":true,"disabled":false}"#,
            r#"{"hierarchies":[],"lenient":false,"disabled":false,"unit":{"name":"rind-c.scope","slice":"system.slice","bus":"system"}}"#,
        ] {
            let cgroup: Cgroup = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&cgroup).unwrap(), text);
        }
    }
}
