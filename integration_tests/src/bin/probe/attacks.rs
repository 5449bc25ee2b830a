//! What a hostile container tries. Each runs against copies that a test has made for it.

use crate::files::{answer, name};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use sys::Errno;
use sys::mount::{
    ATTR_ATIME_MASK, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID,
    ATTR_RDONLY, ATTR_RELATIME, ATTR_STRICTATIME, Attributes, Depth, mount_setattr, open_tree,
};
use sys::nix::fcntl::{AT_FDCWD, OFlag, openat};
use sys::nix::libc;
use sys::nix::mount::{MntFlags, MsFlags, mount, umount2};
use sys::nix::sys::signal::{SigSet, Signal};
use sys::nix::sys::stat::Mode;

/// Holds the executable behind `path` (/proc/PID/exe), prints "holding", and when a line comes on
/// stdin, by when it is to have ended, tries in several ways to write to it.
pub fn steal_executable(path: &str) -> Value {
    let read_only = match File::open(path) {
        Ok(file) => file,
        Err(error) => return json!({ "open": name(&error) }),
    };
    let by_path = OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path);
    println!("holding");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("stdin");

    let clear = Attributes { clear: ATTR_RDONLY, ..Attributes::default() };
    let cleared = mount_setattr(&read_only, Depth::One, &clear);
    let made_writable =
        by_path.as_ref().map_or(Ok(()), |held| mount_setattr(held, Depth::One, &clear));
    let written: Vec<String> = std::iter::once(&read_only)
        .chain(by_path.as_ref().ok())
        .map(|held| answer(overwrite(held)))
        .collect();
    json!({
        "open": "yes",
        "mount_setattr": answer(cleared.map_err(into_io)),
        "mount_setattr_by_path": answer(made_writable.map_err(into_io)),
        "write": written,
    })
}

/// Exchanges two paths for ever.
pub fn exchange(a: &str, b: &str) -> ! {
    println!("ready");
    loop {
        // One may not be there for a moment, as the runtime under attack makes it.
        let _ = renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE);
    }
}

/// Looks at each process that appears in this pid namespace before it runs `program`: whether `marker`
/// is below its root, where its working directory is, what it has open, its namespaces and rights, and
/// whether [`SECRET`] is in its memory. Prints "ready", and all that it got when SIGTERM comes.
pub fn snoop(marker: &str, program: &str) -> Value {
    let ended = Arc::new(AtomicBool::new(false));
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block().expect("blocking a signal");
    let told = Arc::clone(&ended);
    std::thread::spawn(move || {
        let _ = signals.wait();
        told.store(true, Ordering::Relaxed);
    });
    println!("ready");
    let mut got = Snooped::default();
    while !ended.load(Ordering::Relaxed) {
        // The numbers of a pid namespace are given out in order.
        let last = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let last: u32 = last.trim().rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        for pid in (last..last + 3).filter(|pid| *pid > 1 && *pid != std::process::id()) {
            got.look_at(pid, marker, program);
        }
    }
    json!({
        "seen": got.seen, "roots": got.roots, "files": got.files,
        "rights": got.rights, "environments": got.environments,
        "directories": got.directories, "namespaces": got.namespaces, "memories": got.memories,
    })
}

/// What the environment of the runtime's caller has.
const SECRET: &str = "SECRET=";

/// What could be had of others.
#[derive(Default)]
struct Snooped {
    /// How many looks found somebody.
    seen: u64,
    /// Command lines of those below whose root the marker is.
    roots: BTreeSet<String>,
    /// What descriptors from 3 on lead to.
    files: BTreeSet<String>,
    /// Users, permitted capabilities, filters.
    rights: BTreeSet<String>,
    environments: BTreeSet<String>,
    /// Working directories, as the kernel names them here.
    directories: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    /// Regions of memory that have the secret.
    memories: BTreeSet<String>,
}

impl Snooped {
    fn look_at(&mut self, pid: u32, marker: &str, program: &str) {
        let of = |file: &str| format!("/proc/{pid}/{file}");
        let text = |file: &str| {
            let bytes = std::fs::read(of(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
        };
        let Ok(root) = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(of("root"))
        else {
            return;
        };
        let is_program =
            || std::fs::read_link(of("exe")).is_ok_and(|exe| exe.as_os_str() == program);
        if is_program() {
            return;
        }
        let reached = openat(&root, marker.trim_start_matches('/'), OFlag::O_PATH, Mode::empty());
        let environment = text("environ");
        let rights = text("status");
        let descriptors = std::fs::read_dir(of("fd")).into_iter().flatten().flatten();
        let files: Vec<_> = descriptors
            .filter(|entry| !["0", "1", "2"].map(Some).contains(&entry.file_name().to_str()))
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let link = |name: &str| Some(std::fs::read_link(of(name)).ok()?.display().to_string());
        let directory = link("cwd");
        let kinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"];
        let namespaces: Vec<_> = kinds.iter().filter_map(|it| link(&format!("ns/{it}"))).collect();
        let memories = memories_with_secret(pid);
        // What was looked at was not yet the program, if it is there and isn't now.
        let has_ended = std::fs::read_link(of("exe"))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if is_program() || std::fs::metadata(of("stat")).is_err() {
            return;
        }
        self.seen += 1;
        // One that has ended has no executable any more, and may have been the program meanwhile, which
        // looks at itself.
        let own = format!("/proc/{pid}/");
        let files = files.into_iter().filter(|path| !has_ended || !path.starts_with(&own));
        if reached.is_ok() {
            self.roots.insert(text("cmdline"));
        }
        self.files.extend(files);
        self.directories.extend(directory);
        self.namespaces.extend(namespaces);
        self.memories.extend(memories);
        if !environment.is_empty() {
            self.environments.insert(environment);
        }
        let telling = ["Uid:", "CapPrm:", "CapEff:", "Seccomp:"];
        let lines = rights.lines().filter(|line| telling.iter().any(|name| line.starts_with(name)));
        let lines: Vec<&str> = lines.collect();
        if !lines.is_empty() {
            self.rights.insert(lines.join(" "));
        }
    }
}

/// The regions of a process's memory that can be read and have [`SECRET`] in them.
fn memories_with_secret(pid: u32) -> Vec<String> {
    const MOST: u64 = 1 << 20;
    let Ok(memory) = File::open(format!("/proc/{pid}/mem")) else { return Vec::new() };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let has_secret = |line: &&str| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap_or(0));
        let mut bytes = vec![0; usize::try_from((to - from).min(MOST)).ok()?];
        let is_data = rest.starts_with("rw");
        let count = if is_data { memory.read_at(&mut bytes, from).ok()? } else { 0 };
        let found = bytes[..count].windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        found.then_some(())
    };
    maps.lines().filter(|line| has_secret(line).is_some()).map(str::to_owned).collect()
}

/// Tries to clear each flag of the mount that `path` is on, and to give it other access times; by
/// name what came of it.
pub fn unlock(path: &str) -> Value {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path);
    let file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
    let clear = |clear| Attributes { clear, ..Attributes::default() };
    let atime = |set| Attributes { set, ..clear(ATTR_ATIME_MASK) };
    let tries = [
        ("ro", clear(ATTR_RDONLY)),
        ("nosuid", clear(ATTR_NOSUID)),
        ("nodev", clear(ATTR_NODEV)),
        ("noexec", clear(ATTR_NOEXEC)),
        ("nodiratime", clear(ATTR_NODIRATIME)),
        ("noatime", atime(ATTR_NOATIME)),
        ("strictatime", atime(ATTR_STRICTATIME)),
        ("relatime", atime(ATTR_RELATIME)),
    ];
    let tried = tries.into_iter().map(|(flag, change)| {
        let changed = mount_setattr(&file, Depth::One, &change);
        (flag.to_owned(), json!(answer(changed.map_err(into_io))))
    });
    let mut found: serde_json::Map<_, _> = tried.collect();
    let nothing = Option::<&str>::None;
    let by_path = mount(nothing, path, nothing, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, nothing);
    found.insert("all".to_owned(), json!(answer(by_path.map_err(into_io))));
    Value::Object(found)
}

/// Tries to see what the mount at `below` covers, which is below the mount at `mount`; by name what
/// came of it.
pub fn uncover(below: &str, mount_point: &str) -> Value {
    let nothing = Option::<&str>::None;
    let place = "/tmp";
    let mut found = serde_json::Map::new();
    let mut insert = |name: &str, tried: sys::Result<()>| {
        found.insert(name.to_owned(), json!(answer(tried.map_err(into_io))));
    };
    insert("bind", mount(Some(mount_point), place, nothing, MsFlags::MS_BIND, nothing));
    insert("clone", open_tree(AT_FDCWD, &c_string(mount_point), Depth::One, false).map(drop));
    insert("move", mount(Some(below), place, nothing, MsFlags::MS_MOVE, nothing));
    insert("umount", umount2(below, MntFlags::empty()));
    insert("detach", umount2(below, MntFlags::MNT_DETACH));
    Value::Object(found)
}

/// Looks for a process of another that has `name` below its root, until there is one.
pub fn seek(name: &str) -> ! {
    println!("ready");
    loop {
        for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let path = process.path().join("root").join(name.trim_start_matches('/'));
            if std::fs::metadata(path).is_ok() {
                println!("found");
            }
        }
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("no NUL byte")
}

fn overwrite(held: &File) -> std::io::Result<()> {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(b"#!/bin/sh\n")
}

fn into_io(errno: Errno) -> std::io::Error {
    errno.into()
}
