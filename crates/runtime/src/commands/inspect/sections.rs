//! An inspection for people: sections of rows, which the program lays out.

use super::process::{Mapping, Process};
use super::{Cgroup, Inspection};
use oci_spec::runtime::LinuxDeviceCgroup;
use std::fmt::Display;

/// A heading, and rows of cells below it. What is in a cell may be a container's to choose.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// A row of two cells.
fn row(name: &str, value: &dyn Display) -> Vec<String> {
    vec![name.to_owned(), value.to_string()]
}

impl Inspection {
    /// The sections, without those that have nothing.
    #[must_use]
    pub fn sections(&self) -> Vec<Section> {
        let process = self.process.as_ref();
        let mut all = vec![
            ("container", self.container()),
            ("end", self.end()),
            ("namespaces", self.namespaces()),
        ];
        if let Some(process) = process {
            all.extend([
                ("process", of_process(process)),
                ("id mappings", mappings(process)),
                ("capabilities", capabilities(process)),
            ]);
        }
        all.extend([
            ("cgroup", cgroup(&self.cgroup)),
            ("limits", limits(&self.cgroup)),
            ("use", usage(&self.cgroup)),
        ]);
        all.extend(process.map(|process| ("rlimits", rlimits(process))));
        all.extend(process.map(|process| ("mounts", mounts(process))));
        all.extend([
            ("devices", self.devices()),
            ("device rules", self.device_rules.iter().map(rule).collect()),
            ("hooks", self.hooks()),
            (
                "annotations",
                self.annotations.iter().map(|(name, value)| row(name, value)).collect(),
            ),
            ("not readable", self.unreadable.iter().map(|text| vec![text.clone()]).collect()),
        ]);
        let full = all.into_iter().filter(|(_, rows)| !rows.is_empty());
        full.map(|(title, rows)| Section { title, rows }).collect()
    }

    fn container(&self) -> Vec<Vec<String>> {
        vec![
            row("id", &self.id),
            row("status", &self.status),
            row("pid", &self.pid),
            row("bundle", &self.bundle.display()),
            row("rootfs", &self.rootfs.display()),
            row("created", &self.created),
            row("owner", &self.owner),
            row("ociVersion", &self.oci_version),
            row("args", &quoted(&self.args)),
        ]
    }

    fn end(&self) -> Vec<Vec<String>> {
        let Some(ended) = &self.ended else { return Vec::new() };
        let status = match ended.exit_status {
            Some(status) if status > 128 => format!("{status} (signal {})", status - 128),
            Some(status) => status.to_string(),
            None => "not kept: whoever started it has it (the engine, or rind run)".to_owned(),
        };
        let kills = ended.oom_kills.map_or_else(|| "unknown".to_owned(), |kills| kills.to_string());
        vec![row("exit status", &status), row("OOM kills", &kills)]
    }

    fn namespaces(&self) -> Vec<Vec<String>> {
        let whose = |one: &super::Namespace| match (one.is_host, &one.shared_with[..]) {
            (true, _) => "the host's".to_owned(),
            (false, []) => "its own".to_owned(),
            (false, others) => format!("shared with {}", others.join(", ")),
        };
        let list = self.namespaces.iter();
        list.map(|one| vec![one.kind.to_owned(), one.inode.to_string(), whose(one)]).collect()
    }

    fn devices(&self) -> Vec<Vec<String>> {
        let list = self.devices.iter();
        list.map(|one| {
            let numbers = format!("{}:{}", one.major(), one.minor());
            vec![one.path().display().to_string(), one.typ().as_str().to_owned(), numbers]
        })
        .collect()
    }

    fn hooks(&self) -> Vec<Vec<String>> {
        let all =
            self.hooks.iter().flat_map(|(kind, list)| list.iter().map(move |hook| (kind, hook)));
        all.map(|(kind, hook)| row(kind, &hook.path().display())).collect()
    }
}

fn rule(rule: &LinuxDeviceCgroup) -> Vec<String> {
    let number = |number: Option<i64>| match number {
        Some(number) if number >= 0 => number.to_string(),
        _ => "*".to_owned(),
    };
    let kind = rule.typ().map_or_else(|| "a".to_owned(), |kind| kind.as_str().to_owned());
    let device = format!("{kind} {}:{}", number(rule.major()), number(rule.minor()));
    let verb = if rule.allow() { "allow" } else { "deny" };
    vec![verb.to_owned(), device, rule.access().clone().unwrap_or_else(|| "rwm".to_owned())]
}

fn of_process(process: &Process) -> Vec<Vec<String>> {
    let list = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let mut rows = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        rows.extend(value.filter(|value| !value.is_empty()).map(|value| row(name, &value)));
    };
    add("executable", process.executable.clone());
    add("arguments", Some(quoted(&process.arguments)));
    add("working directory", process.working_directory.clone());
    add("uids", Some(list(&process.uids)));
    add("gids", Some(list(&process.gids)));
    add("groups", Some(list(&process.groups)));
    add("umask", process.umask.clone());
    add(
        "no_new_privs",
        process.no_new_privileges.map(|on| if on { "yes" } else { "no" }.to_owned()),
    );
    let filters = process.seccomp_filters.filter(|filters| *filters > 0);
    let filters = filters.map_or_else(String::new, |filters| format!(" ({filters} in force)"));
    add("seccomp", process.seccomp.map(|mode| format!("{mode}{filters}")));
    add("security label", process.label.clone());
    add("OOM score", process.oom_score_adj.map(|score| score.to_string()));
    rows
}

/// Words of a command line.
fn quoted(words: &[String]) -> String {
    words.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(" ")
}

fn mappings(process: &Process) -> Vec<Vec<String>> {
    let line = |kind: &str, one: &Mapping| {
        let Mapping { container_id, host_id, size } = one;
        vec![
            kind.to_owned(),
            format!("{container_id}"),
            format!("is {host_id} here"),
            format!("{size} ids"),
        ]
    };
    let users = process.uid_mappings.iter().map(|one| line("user", one));
    let groups = process.gid_mappings.iter().map(|one| line("group", one));
    users.chain(groups).collect()
}

fn capabilities(process: &Process) -> Vec<Vec<String>> {
    let names = ["bounding", "effective", "permitted", "inheritable", "ambient"];
    let sets = names.iter().filter_map(|name| Some((name, process.capabilities.get(name)?)));
    sets.map(|(name, set)| {
        let shown = if set.is_empty() { "none".to_owned() } else { set.join(" ") };
        row(name, &shown)
    })
    .collect()
}

fn cgroup(cgroup: &Cgroup) -> Vec<Vec<String>> {
    let name = |names: &str| if names.is_empty() { "v2".to_owned() } else { format!("v1 {names}") };
    cgroup.directories.iter().map(|(names, path)| row(&name(names), path)).collect()
}

fn limits(cgroup: &Cgroup) -> Vec<Vec<String>> {
    let all = cgroup.limits.iter();
    all.flat_map(|(name, value)| value.lines().map(move |line| row(name, &line))).collect()
}

fn usage(cgroup: &Cgroup) -> Vec<Vec<String>> {
    let Some(stats) = &cgroup.usage else { return Vec::new() };
    let milliseconds = stats.cpu.usage.total / 1_000_000;
    let mut rows = vec![
        row("memory", &format!("{} bytes", stats.memory.usage.usage)),
        row("processes", &stats.pids.current),
        row("processor time", &format!("{milliseconds} ms")),
        row("periods throttled", &stats.cpu.throttling.throttled_periods),
    ];
    if stats.memory.usage.max > 0 {
        rows.insert(1, row("memory at most", &format!("{} bytes", stats.memory.usage.max)));
    }
    rows.extend(cgroup.oom_kills.map(|kills| row("OOM kills", &kills)));
    rows
}

fn rlimits(process: &Process) -> Vec<Vec<String>> {
    let list = process.rlimits.iter();
    list.map(|one| vec![one.kind.clone(), one.soft.clone(), one.hard.clone(), one.unit.clone()])
        .collect()
}

fn mounts(process: &Process) -> Vec<Vec<String>> {
    let source = |one: &super::process::Mount| match one.root.as_str() {
        "/" => one.source.clone(),
        root => format!("{}[{root}]", one.source),
    };
    let list = process.mounts.iter();
    list.map(|one| {
        vec![one.destination.clone(), one.kind.clone(), source(one), one.options.clone()]
    })
    .collect()
}
