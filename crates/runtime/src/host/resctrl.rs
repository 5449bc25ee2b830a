//! `linux.intelRdt`: the container's group of resctrl, which limits its share of caches and memory
//! bandwidth.
//!
//! A group is a directory of the mounted resctrl file system (the kernel's resctrl.rst). Its file
//! `schemata` has the limits, its file `tasks` the processes.

mod stats;

pub(crate) use stats::Stats;

use crate::{Error, Explain, Result};
use oci_spec::runtime::{Linux, LinuxIntelRdt};
use procfs::FromBufRead;
use procfs::process::MountInfos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use sys::Errno;

/// Names in resctrl that are the kernel's own, and no groups.
const RESERVED: [&str; 5] = [".", "..", "info", "mon_data", "mon_groups"];

/// The property of the config that most errors are about, as it names the group.
const CLOS_ID: &str = "linux.intelRdt.closID";
/// The property that errors about the content of `schemata` name.
const SCHEMATA: &str = "linux.intelRdt.schemata";

/// The group that a container is to have.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where resctrl is mounted.
    root: PathBuf,
    group: PathBuf,
    /// Whether the config names the group (`closID`): then other containers may share it.
    named: bool,
    /// The lines to write to `schemata`, each by one write(2).
    schemata: Vec<String>,
    monitor: Option<PathBuf>,
}

/// The groups of a container, as its record keeps them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Groups {
    group: PathBuf,
    /// Whether rind created the group for this container alone, and removes it with it.
    owned: bool,
    /// The monitoring group, which is always the container's own.
    monitor: Option<PathBuf>,
}

/// Reads `linux.intelRdt`, and finds where resctrl is mounted; none if it is not set.
pub(crate) fn plan(linux: &Linux, id: &str, warnings: &mut Vec<String>) -> Result<Option<Plan>> {
    let Some(config) = linux.intel_rdt() else { return Ok(None) };
    warn_of_removed(config, warnings);
    plan_below(&find_root()?, config, id).map(Some)
}

impl Plan {
    /// Creates the groups, or takes the group that is there already. After an error what was
    /// created is gone.
    pub fn create(&self) -> Result<Groups> {
        let made = self.create_group()?;
        let filled = if made { self.write_schemata() } else { self.compare_schemata() };
        let monitored = filled.and_then(|()| match &self.monitor {
            Some(monitor) => fs::create_dir(monitor)
                .on("making", monitor)
                .within("linux.intelRdt.enableMonitoring"),
            None => Ok(()),
        });
        if let (Err(_), true) = (&monitored, made) {
            let _ = fs::remove_dir(&self.group);
        }
        monitored.map(|()| self.groups(made && !self.named))
    }

    /// Removes the groups that a killed `create` left, unless there are processes in them.
    pub fn remove_unused(&self) -> Result<()> {
        let groups = self.groups(!self.named);
        let is_used = |group: &Path| {
            fs::read_to_string(group.join("tasks")).is_ok_and(|tasks| !tasks.trim().is_empty())
        };
        let used = is_used(&groups.group) && groups.owned;
        if used || groups.monitor.as_deref().is_some_and(is_used) {
            return Ok(());
        }
        groups.remove()
    }

    fn groups(&self, owned: bool) -> Groups {
        Groups { group: self.group.clone(), owned, monitor: self.monitor.clone() }
    }

    /// Creates the group, if there is none. Returns whether it did.
    fn create_group(&self) -> Result<bool> {
        let exists = self.group.is_dir();
        if self.named && exists {
            return Ok(false);
        }
        if self.named && self.schemata.is_empty() {
            let group = self.group.display();
            let why = format!("{group} does not exist, and without a schema it is not made");
            return Err(refused("closID", &why));
        }
        match fs::create_dir(&self.group) {
            // Another container has created it meanwhile.
            Err(error) if self.named && error.kind() == ErrorKind::AlreadyExists => Ok(false),
            made => made
                .on("making", &self.group)
                .map_err(|error| with_status(&self.root, error).within(CLOS_ID))
                .map(|()| true),
        }
    }

    fn write_schemata(&self) -> Result<()> {
        self.schemata.iter().try_for_each(|line| write_schema(&self.root, &self.group, line))
    }

    /// Fails unless the schemata of a group that exists are what the config asks for.
    fn compare_schemata(&self) -> Result<()> {
        if self.schemata.is_empty() {
            return Ok(());
        }
        let path = self.group.join("schemata");
        let text = fs::read_to_string(&path).on("reading", &path).within(CLOS_ID)?;
        let (wanted, found) = (read_schemata(&self.schemata), read_schemata(text.lines()));
        match wanted.iter().find(|(key, value)| found.get(*key) != Some(value)) {
            None => Ok(()),
            Some(((resource, domain), value)) => {
                let (asked, path) = (format!("{resource}:{domain}={value}"), path.display());
                let why = format!("{asked} is asked for, but {path} exists and is different");
                let hint = Some("use another closID, or none");
                Err(Error::new(why).with_hint(hint).about("linux.intelRdt"))
            }
        }
    }
}

impl Groups {
    /// Writes `lines` to the group's schemata; each begins with its resource, `L3:` or `MB:`.
    /// Returns the lines that restore what was there before. After an error they have been
    /// restored.
    pub fn update(&self, lines: &[&str]) -> Result<Vec<String>> {
        let path = self.group.join("schemata");
        let text = fs::read_to_string(&path).on("reading", &path).within(SCHEMATA)?;
        let mut old = Vec::new();
        for line in lines {
            if line.contains('\n') || !line.contains(':') {
                return Err(refused("schemata", &not_a_line(line)));
            }
            old.extend(schema(&text, line.split(':').next().unwrap_or_default()));
        }
        let root = self.root();
        let written = lines.iter().try_for_each(|line| write_schema(root, &self.group, line));
        written.inspect_err(|_| self.restore_schemata(&old)).map(|()| old)
    }

    /// Writes the lines that [`Groups::update`] has returned. Failures are ignored, as this is
    /// undoing.
    pub fn restore_schemata(&self, lines: &[String]) {
        for line in lines {
            let _ = write_schema(self.root(), &self.group, line);
        }
    }

    /// Where resctrl is mounted: the directory above the group, or the group itself, that has
    /// `info`.
    fn root(&self) -> &Path {
        let has_info = |path: &&Path| path.join("info").is_dir();
        self.group.ancestors().find(has_info).unwrap_or(&self.group)
    }

    /// Moves the process `pid` to the group and then to the monitoring group, as entering the first
    /// leaves the second.
    pub fn enter(&self, pid: i32) -> Result<()> {
        for group in std::iter::once(&self.group).chain(&self.monitor) {
            let path = group.join("tasks");
            match write(&path, &format!("{pid}\n")) {
                // The process has ended already, and its message on the channel tells why.
                Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(()),
                written => {
                    written.on(format_args!("writing {pid} to"), &path).within(CLOS_ID)?;
                }
            }
        }
        Ok(())
    }

    /// Removes the groups that are the container's alone.
    pub fn remove(&self) -> Result<()> {
        let owned = self.owned.then_some(&self.group);
        self.monitor.iter().chain(owned).try_for_each(|group| match fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.on("removing", group).within(CLOS_ID),
        })
    }
}

fn plan_below(root: &Path, config: &LinuxIntelRdt, id: &str) -> Result<Plan> {
    let non_empty = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let closid = non_empty(config.clos_id());
    let name = closid.as_deref().unwrap_or(id);
    let is_root = closid.as_deref() == Some("/");
    if !is_root && (RESERVED.contains(&name) || name.contains(['/', '\n'])) {
        return Err(refused("closID", &format!("{name:?} can't be the name of a group")));
    }
    let group = if is_root { root.to_owned() } else { root.join(name) };
    let bandwidth = non_empty(config.mem_bw_schema());
    if let Some(schema) = bandwidth.as_ref().filter(|schema| !schema.starts_with("MB:")) {
        return Err(refused("memBwSchema", &format!("{schema:?} does not begin with MB:")));
    }
    let mut schemata: Vec<String> = non_empty(config.l3_cache_schema()).into_iter().collect();
    schemata.extend(bandwidth);
    schemata.extend(config.schemata().iter().flatten().cloned());
    if let Some(line) = schemata.iter().find(|line| line.contains('\n') || !line.contains(':')) {
        return Err(refused("schemata", &not_a_line(line)));
    }
    let monitored = config.enable_monitoring().unwrap_or(false);
    let monitor = monitored.then(|| group.join("mon_groups").join(id));
    Ok(Plan { root: root.to_owned(), group, named: closid.is_some(), schemata, monitor })
}

fn not_a_line(line: &str) -> String {
    format!("{line:?} is not one line such as L3:0=f;1=f")
}

/// Writes one line to the schemata of `group`.
fn write_schema(root: &Path, group: &Path, line: &str) -> Result<()> {
    let path = group.join("schemata");
    write(&path, &format!("{line}\n"))
        .on(format_args!("writing {line} to"), &path)
        .map_err(|error| with_status(root, error).within(SCHEMATA))
}

/// The line of a `schemata` file that is about `resource`.
fn schema(text: &str, resource: &str) -> Option<String> {
    let of = |line: &&str| line.split(':').next() == Some(resource);
    text.lines().map(str::trim).find(of).map(str::to_owned)
}

/// The same error with the kernel's `last_cmd_status`.
fn with_status(root: &Path, error: Error) -> Error {
    let status = fs::read_to_string(root.join("info/last_cmd_status")).unwrap_or_default();
    let status = status.trim();
    error.with_hint((!status.is_empty() && status != "ok").then(|| status.to_owned()))
}

#[allow(deprecated)] // The warning is about these properties.
fn warn_of_removed(config: &LinuxIntelRdt, warnings: &mut Vec<String>) {
    let removed = [("enableCMT", config.enable_cmt()), ("enableMBM", config.enable_mbm())];
    for (name, _) in removed.iter().filter(|(_, value)| **value == Some(true)) {
        warnings.push(format!(
            "linux.intelRdt.{name}: ignored, the specification has enableMonitoring instead"
        ));
    }
}

/// Where resctrl is mounted.
pub(crate) fn find_root() -> Result<PathBuf> {
    const PATH: &str = "/proc/self/mountinfo";
    const HINT: &str =
        "mount -t resctrl resctrl /sys/fs/resctrl, where processor and kernel have it";
    let text = fs::read(PATH).on("reading", PATH)?;
    let mounts = MountInfos::from_buf_read(text.as_slice()).on("reading", PATH)?;
    let found = mounts.into_iter().find(|mount| mount.fs_type == "resctrl");
    let none = || Error::new("resctrl is not mounted").with_hint(Some(HINT));
    found.map(|mount| mount.mount_point).ok_or_else(|| none().about("linux.intelRdt"))
}

/// The values of a `schemata` file by resource and domain. Of several for one the last counts.
fn read_schemata<S: AsRef<str>>(
    lines: impl IntoIterator<Item = S>,
) -> BTreeMap<(String, String), String> {
    // The kernel writes 0007f for 7f.
    let plain = |number: &str| match number.trim().trim_start_matches('0') {
        "" => "0".to_owned(),
        number => number.to_lowercase(),
    };
    let mut values = BTreeMap::new();
    for line in lines {
        let Some((resource, domains)) = line.as_ref().split_once(':') else { continue };
        for (domain, value) in domains.split(';').filter_map(|domain| domain.split_once('=')) {
            values.insert((resource.trim().to_owned(), plain(domain)), plain(value));
        }
    }
    values
}

/// Writes `text` by one write(2), as files of the kernel want it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())
}

fn refused(key: &str, why: &str) -> Error {
    Error::new(why).about(format!("linux.intelRdt.{key}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A folder in place of resctrl, where files of groups have to be made by hand.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("rind-rdt-{}-{name}", std::process::id()));
            let tree = Self(root);
            tree.group("", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n");
            fs::create_dir(tree.0.join("info")).unwrap();
            tree
        }

        fn group(&self, name: &str, schemata: &str) {
            fs::create_dir_all(self.0.join(name).join("mon_groups")).unwrap();
            fs::write(self.0.join(name).join("schemata"), schemata).unwrap();
            fs::write(self.0.join(name).join("tasks"), "").unwrap();
        }

        fn plan(&self, config: &str) -> Result<Plan> {
            plan_below(&self.0, &serde_json::from_str(config).unwrap(), "id")
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap()
        }

        fn refused(&self, config: &str, text: &str) {
            let error = self.plan(config).and_then(|plan| plan.create()).unwrap_err().to_string();
            assert!(error.contains(text), "{config}: {error}");
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn without_closid_the_group_is_the_containers() {
        let tree = Tree::new("own");
        let groups = tree.plan("{}").unwrap().create().unwrap();
        assert!(groups.owned && tree.0.join("id").is_dir());
        tree.refused("{}", "file exists");
        assert!(tree.0.join("id").is_dir(), "an error must not remove what was there");
        groups.remove().unwrap();
        assert!(!tree.0.join("id").exists());
        groups.remove().unwrap();
    }

    #[test]
    fn a_named_group_must_exist_unless_there_is_a_schema() {
        let tree = Tree::new("named");
        tree.refused(r#"{"closID":"gold"}"#, "does not exist");
        tree.group("gold", "L3:0=f\n");
        let groups = tree.plan(r#"{"closID":"gold"}"#).unwrap().create().unwrap();
        assert!(!groups.owned);
        groups.enter(42).unwrap();
        groups.remove().unwrap();
        assert_eq!(tree.read("gold/tasks"), "42\n");
        // Made by us, and left all the same: another container may use it by then.
        let plan = tree.plan(r#"{"closID":"new","l3CacheSchema":"L3:0=f"}"#).unwrap();
        assert!(plan.create_group().unwrap());
        assert!(!plan.create_group().unwrap(), "the second time it is there");
        plan.groups(false).remove().unwrap();
        assert!(tree.0.join("new").is_dir());
    }

    #[test]
    fn the_root_group_is_never_made_or_removed() {
        let tree = Tree::new("root");
        let groups = tree.plan(r#"{"closID":"/"}"#).unwrap().create().unwrap();
        groups.enter(7).unwrap();
        groups.remove().unwrap();
        assert_eq!(tree.read("tasks"), "7\n");
    }

    #[test]
    fn schemata_are_written_in_their_order() {
        let tree = Tree::new("order");
        let config = r#"{"schemata":["L3:0=1","MB:0=20"],"memBwSchema":"MB:0=50","l3CacheSchema":"L3:0=f;1=f"}"#;
        tree.group("id", "");
        tree.plan(config).unwrap().write_schemata().unwrap();
        assert_eq!(tree.read("id/schemata"), "L3:0=f;1=f\nMB:0=50\nL3:0=1\nMB:0=20\n");
    }

    #[test]
    fn a_schema_that_can_not_be_written_takes_the_group_back() {
        let tree = Tree::new("back");
        fs::write(tree.0.join("info/last_cmd_status"), "Mask out of range\n").unwrap();
        // In a plain folder there is no schemata.
        tree.refused(r#"{"closID":"gold","l3CacheSchema":"L3:0=f"}"#, "(Mask out of range)");
        assert!(!tree.0.join("gold").exists());
        tree.refused(r#"{"enableMonitoring":true}"#, "enableMonitoring: making");
        assert!(!tree.0.join("id").exists());
    }

    #[test]
    fn a_group_that_exists_must_be_what_is_asked_for() {
        let tree = Tree::new("compare");
        tree.group("gold", "    MB:0= 50;1=100\n    L3:0=0007f;1=fffff\n");
        for (config, fits) in [
            (
                r#"{"closID":"gold","l3CacheSchema":"L3:0=7F;1=fffff","memBwSchema":"MB:0=50"}"#,
                true,
            ),
            (r#"{"closID":"gold","l3CacheSchema":"L3:0=1","schemata":["L3:0=7f"]}"#, true),
            (r#"{"closID":"gold","l3CacheSchema":"L3:0=3f"}"#, false),
            (r#"{"closID":"gold","schemata":["L2:0=7f"]}"#, false),
            (r#"{"closID":"gold","memBwSchema":"MB:2=50"}"#, false),
        ] {
            let made = tree.plan(config).unwrap().create();
            assert_eq!(made.is_ok(), fits, "{config}: {made:?}");
        }
        assert!(tree.read("gold/schemata").contains("0007f"), "an existing group is not written");
    }

    #[test]
    fn a_monitoring_group_goes_with_the_container() {
        let tree = Tree::new("monitor");
        tree.group("gold", "L3:0=f\n");
        let config = r#"{"closID":"gold","enableMonitoring":true}"#;
        let groups = tree.plan(config).unwrap().create().unwrap();
        let tasks = tree.0.join("gold/mon_groups/id/tasks");
        fs::write(&tasks, "").unwrap();
        groups.enter(42).unwrap();
        assert_eq!(tree.read("gold/mon_groups/id/tasks"), "42\n");
        tree.plan(config).unwrap().remove_unused().unwrap();
        assert!(tree.0.join("gold/mon_groups/id").exists(), "somebody is in it");
        fs::remove_file(tasks).unwrap();
        let kept: Groups = serde_json::from_str(&serde_json::to_string(&groups).unwrap()).unwrap();
        kept.remove().unwrap();
        assert!(!tree.0.join("gold/mon_groups/id").exists() && tree.0.join("gold").exists());
    }

    #[test]
    fn what_a_killed_create_left_is_removed() {
        let tree = Tree::new("killed");
        fs::create_dir(tree.0.join("id")).unwrap();
        tree.plan("{}").unwrap().remove_unused().unwrap();
        assert!(!tree.0.join("id").exists());
    }

    #[test]
    fn an_update_that_fails_is_set_back() {
        let tree = Tree::new("update");
        let groups = tree.plan(r#"{"closID":"gold"}"#).unwrap().groups(false);
        tree.group("gold", "    MB:0=100\n    L3:0=f\n");
        // A plain file gets longer, where the kernel's would change.
        let old = groups.update(&["L3:0=1", "MB:0=50"]).unwrap();
        assert_eq!(old, ["L3:0=f", "MB:0=100"]);
        let before = "    MB:0=100\n    L3:0=f\n";
        assert_eq!(tree.read("gold/schemata"), format!("{before}L3:0=1\nMB:0=50\n"));
        groups.restore_schemata(&old);
        assert!(tree.read("gold/schemata").ends_with("MB:0=50\nL3:0=f\nMB:0=100\n"));
        for line in ["nonsense", "L3:0=1\nMB:0=5"] {
            let error = groups.update(&[line]).unwrap_err().to_string();
            assert!(error.contains("is not one line"), "{error}");
        }
    }

    #[test]
    fn statistics_are_of_the_group_and_its_monitor() {
        let tree = Tree::new("stats");
        tree.group("gold", "    L3:0=f;1=f\n    MB:0=20;1=20\n");
        let groups = tree.plan(r#"{"closID":"gold","enableMonitoring":true}"#).unwrap();
        let groups = groups.groups(false);
        let empty = serde_json::to_value(groups.stats().unwrap()).unwrap();
        let lines = ["    L3:0=f;1=f", "    MB:0=20;1=20"];
        assert_eq!(empty, serde_json::json!({ "schemata": lines }));
        for (file, value) in [
            ("info/L3/cbm_mask", "fffff\n"),
            ("info/L3/min_cbm_bits", "1\n"),
            ("info/L3/num_closids", "16\n"),
            ("info/MB/bandwidth_gran", "10\n"),
            ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
            ("gold/mon_groups/id/mon_data/mon_L3_00/llc_occupancy", "7\n"),
            ("gold/mon_groups/id/mon_data/mon_L3_00/mbm_total_bytes", "9\n"),
            ("gold/mon_groups/id/mon_data/mon_L3_01/mbm_local_bytes", "Unavailable\n"),
        ] {
            let path = tree.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        let stats = serde_json::to_value(groups.stats().unwrap()).unwrap();
        assert_eq!(stats["l3_cache_info"]["cbm_mask"], "fffff");
        assert_eq!(stats["l3_cache_info"]["num_closids"], 16);
        assert_eq!(stats["l3_cache_schema_root"], "L3:0=fffff;1=fffff");
        assert_eq!(stats["l3_cache_schema"], "L3:0=f;1=f");
        assert_eq!(stats["mem_bw_info"]["bandwidth_gran"], 10);
        assert_eq!(stats["mem_bw_schema"], "MB:0=20;1=20");
        assert_eq!(stats["cmt_stats"][0]["llc_occupancy"], 7);
        assert_eq!(stats["mbm_stats"][0]["mbm_total_bytes"], 9);
        assert_eq!(stats["mbm_stats"][1]["mbm_local_bytes"], 0);
    }

    #[test]
    fn names_and_lines_that_can_not_be_are_refused() {
        let tree = Tree::new("invalid");
        for (config, key) in [
            (r#"{"closID":".."}"#, "closID"),
            (r#"{"closID":"a/b"}"#, "closID"),
            (r#"{"closID":"info"}"#, "closID"),
            (r#"{"closID":"a","memBwSchema":"L3:0=f"}"#, "memBwSchema"),
            (r#"{"closID":"a","l3CacheSchema":"L3:0=f\nMB:0=10"}"#, "schemata"),
            (r#"{"closID":"a","schemata":["nonsense"]}"#, "schemata"),
        ] {
            tree.refused(config, &format!("linux.intelRdt.{key}"));
        }
    }
}
