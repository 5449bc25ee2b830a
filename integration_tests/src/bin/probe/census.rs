//! What a program has that it was started with, a line of text for each property; `census.rs` of the
//! tests holds them against a table. What this kernel does not tell of is left out.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};
use sys::nix::sys::signal::Signal;
use sys::nix::unistd::{alarm, getpgrp, getpid, getsid};

/// Lines of /proc/self/status, by the property's name.
const STATUS: [(&str, &str); 26] = [
    ("ambient capabilities", "CapAmb"),
    ("blocked signals", "SigBlk"),
    ("bounding capabilities", "CapBnd"),
    ("command name", "Name"),
    ("core being dumped", "CoreDumping"),
    ("effective capabilities", "CapEff"),
    ("filters", "Seccomp_filters"),
    ("group ids", "Gid"),
    ("groups", "Groups"),
    ("huge pages", "THP_enabled"),
    ("indirect branch speculation", "SpeculationIndirectBranch"),
    ("inheritable capabilities", "CapInh"),
    ("memory nodes", "Mems_allowed_list"),
    ("no_new_privs", "NoNewPrivs"),
    ("permitted capabilities", "CapPrm"),
    ("processors", "Cpus_allowed_list"),
    ("seccomp mode", "Seccomp"),
    ("signals pending for the process", "ShdPnd"),
    ("signals pending for the thread", "SigPnd"),
    ("store bypass speculation", "Speculation_Store_Bypass"),
    ("tagged addresses", "untag_mask"),
    ("threads", "Threads"),
    ("tracer", "TracerPid"),
    ("umask", "Umask"),
    ("user ids", "Uid"),
    ("ignored signals", "SigIgn"),
];

/// Fields of /proc/self/stat after the name, by their place there.
const STAT: [(&str, usize); 5] = [
    ("controlling terminal", 4),
    ("nice value", 16),
    ("signal at its end", 35),
    ("real-time priority", 37),
    ("scheduling policy", 38),
];

/// Files of /proc/self whose whole content is the property.
const FILES: [(&str, &str); 6] = [
    ("audit session", "sessionid"),
    ("audit user", "loginuid"),
    ("core dump filter", "coredump_filter"),
    ("OOM score adjustment", "oom_score_adj"),
    ("personality", "personality"),
    ("timer slack", "timerslack_ns"),
];

/// Writes all of it to `file`, as one object of texts.
pub fn write(file: &str, arguments: &[String]) {
    let text = census(arguments).to_string();
    // Whole or not there at all, as others wait for it.
    let unfinished = format!("{file}.new");
    fs::write(&unfinished, text).expect("writing the census");
    fs::rename(unfinished, file).expect("renaming the census");
}

/// The same of a program that waits for the file `until` first.
pub fn write_once_there_is(until: &str, file: &str, arguments: &[String]) {
    while !Path::new(until).exists() {
        thread::sleep(Duration::from_millis(10));
    }
    write(file, arguments);
}

fn census(arguments: &[String]) -> Value {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    // Whatever this program opens, or starts, comes after the look at what is open.
    add("descriptors", Some(descriptors()));
    add("arguments", Some(arguments.join(" ")));
    add("environment", Some(environment()));
    for (name, link) in [("working directory", "cwd"), ("root", "root"), ("executable", "exe")] {
        let target = fs::read_link(format!("/proc/self/{link}")).ok();
        add(name, target.map(|target| target.to_string_lossy().into_owned()));
    }
    let status = text("status").unwrap_or_default();
    for (name, key) in STATUS {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        add(name, line.map(words).map(|value| but_own_signals(key, value)));
    }
    let stat = text("stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |it| it.1).split(' ').collect();
    for (name, place) in STAT {
        add(name, fields.get(place).map(|&field| field.to_owned()));
    }
    for (name, file) in FILES {
        add(name, text(file).map(|content| content.trim().to_owned()));
    }
    for line in text("limits").unwrap_or_default().lines().skip(1) {
        let (name, values) = line.split_at_checked(26).unwrap_or_default();
        let values: Vec<&str> = values.split_whitespace().take(2).collect();
        add(&format!("limit: {}", name.trim().trim_start_matches("Max ")), Some(values.join(" ")));
    }
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok();
        add(&format!("{kind} namespace"), link.map(|link| link.to_string_lossy().into_owned()));
    }
    let leads = |leader: bool| Some(if leader { "its own" } else { "another's" }.to_owned());
    add("session", leads(getsid(None) == Ok(getpid())));
    add("process group", leads(getpgrp() == getpid()));
    add("memory policy", memory_policy());
    add("mapped files", mapped());
    add("possessed keys", keys());
    add("I/O priority", io_priority());
    add("alarm", Some(alarm::cancel().unwrap_or(0).to_string()));
    for (name, value) in switches() {
        add(name, value);
    }
    let all: Map<String, Value> = all.into_iter().map(|(key, value)| (key, json!(value))).collect();
    Value::Object(all)
}

/// What prctl(2) tells.
fn switches() -> [(&'static str, Option<String>); 6] {
    use rustix::{process, thread as task};
    let death = process::parent_process_death_signal().ok();
    let death = death.map(|signal| signal.map_or(0, process::Signal::as_raw));
    let flag = |set: rustix::io::Result<bool>| set.ok().map(|set| u8::from(set).to_string());
    [
        ("signal at the parent's end", death.map(|signal| signal.to_string())),
        ("child subreaper", flag(process::child_subreaper().map(|one| one.is_some()))),
        ("dumpable", process::dumpable_behavior().ok().map(|value| format!("{value:?}"))),
        ("I/O flusher", flag(process::is_io_flusher())),
        (
            "secure bits",
            task::capabilities_secure_bits().ok().map(|bits| format!("{:#x}", bits.bits())),
        ),
        ("kept capabilities", flag(task::get_keep_capabilities())),
    ]
}

/// Each descriptor: its number, where it leads, and how it was opened.
fn descriptors() -> String {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return String::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let numbers: BTreeSet<u32> = numbers.collect();
    let told = numbers.into_iter().filter_map(|number| {
        let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
        let facts = text(&format!("fdinfo/{number}"))?;
        let flags = facts.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        let access = ["r", "w", "rw"].get(flags as usize & 3)?;
        // But for the access, and that files may be large. Nor close-on-exec, which would have come true:
        // of a terminal that TIOCGPTPEER has opened the kernel says it of every copy.
        let rest = flags & !0o2_100_003;
        let target = target.to_string_lossy();
        let target = target.split_once(":[").map_or(&*target, |(kind, _)| kind);
        Some(format!("{number} {target} {access} {rest:o}"))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn environment() -> String {
    let mut all: Vec<String> = env::vars_os()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    all.sort();
    all.join(" ")
}

/// Rust ignores SIGPIPE before `main`.
fn but_own_signals(key: &str, value: String) -> String {
    const SIGPIPE: u64 = 1 << 12;
    if key != "SigIgn" {
        return value;
    }
    let mask = u64::from_str_radix(&value, 16).expect("a mask of signals");
    format!("{:016x}", mask & !SIGPIPE)
}

/// The policy that memory has which has none of its own.
fn memory_policy() -> Option<String> {
    let maps = text("numa_maps")?;
    maps.split_whitespace().nth(1).map(str::to_owned)
}

/// Files in memory other than this program.
fn mapped() -> Option<String> {
    let maps = text("maps")?;
    let own = fs::read_link("/proc/self/exe").ok()?;
    let files = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let files = files.filter(|file| !file.starts_with('[') && Path::new(file) != own);
    Some(files.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" "))
}

/// The test's keys that can be seen, which is for those who possess them.
fn keys() -> Option<String> {
    let keys = fs::read_to_string("/proc/keys").ok()?;
    let names = keys.lines().filter_map(|line| Some(&line[line.find("census-")?..]));
    let names = names.filter_map(|name| name.split(':').next());
    Some(names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" "))
}

fn io_priority() -> Option<String> {
    let tools = ["/usr/bin/ionice", "/bin/ionice"];
    let tool = tools.into_iter().find(|tool| Path::new(tool).exists())?;
    // Who ignores the end of its children learns nothing of it.
    sys::exec::default_signals(1 << (Signal::SIGCHLD as u32 - 1));
    let output = Command::new(tool).arg("-p").arg(getpid().to_string()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn text(file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{file}")).ok()
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
