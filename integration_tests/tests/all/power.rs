//! What a cut of the power leaves of a container, where `--root` is on a disk: the state directory as it was
//! at some write, without what had not come to the disk yet, and none of the processes and cgroups.
//!
//! strace has the writes of a command, and kills one run at each of them. What is in the directory then is
//! kept, and each file of it in turn is missing, empty, cut in half or full of zeros.

use crate::killed::{From, KILLED, NONE, needs_strace, trace};
use integration_tests::command::{Output, run, spawn};
use integration_tests::host::{is_alive, wait_for};
use integration_tests::test::Test;
use integration_tests::traces;
use integration_tests::{Bundle, Container, json, tests};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use sys::nix::sys::signal::{Signal, kill};
use sys::nix::unistd::Pid;

pub const TESTS: &[Test] = tests![
    cut_in_create,
    cut_in_start,
    cut_in_update,
    cut_in_pause,
    cut_in_delete,
    init_of_another_start_is_not_believed,
    init_of_another_boot_is_not_believed,
    damaged_record_is_no_obstacle_to_delete,
    damaged_record_of_a_frozen_container,
    damaged_record_of_a_container_in_a_shared_pid_namespace,
];

/// The calls that change a state directory.
const WRITES: &[&str] = &["mkdirat", "mknodat", "write", "renameat", "symlinkat", "unlinkat"];

fn cut_in_create() {
    cut(From::Nothing, "create", &[]);
}

fn cut_in_start() {
    cut(From::Created, "start", &[]);
}

fn cut_in_update() {
    cut(From::Running, "update", &["--memory-swap", "200M", "--memory", "100M"]);
}

fn cut_in_pause() {
    cut(From::Running, "pause", &[]);
}

fn cut_in_delete() {
    cut(From::Stopped, "delete", &[]);
}

/// A file of a state directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum File {
    Content(Vec<u8>),
    Link(PathBuf),
    Fifo,
}

/// What is in a state directory; none if that is missing.
type Files = Option<BTreeMap<OsString, File>>;

fn read(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let files = entries.map(|entry| {
        let (kind, path) = (entry.file_type().unwrap(), entry.path());
        let file = match () {
            () if kind.is_symlink() => File::Link(fs::read_link(path).unwrap()),
            () if kind.is_file() => File::Content(fs::read(path).unwrap()),
            () => File::Fifo,
        };
        (entry.file_name(), file)
    });
    Some(files.collect())
}

fn write(folder: &Path, files: &Files) {
    let _ = fs::remove_dir_all(folder);
    let Some(files) = files else { return };
    fs::create_dir(folder).unwrap();
    for (name, file) in files {
        let path = folder.join(name);
        match file {
            File::Content(bytes) => fs::write(path, bytes).unwrap(),
            File::Link(target) => symlink(target, path).unwrap(),
            File::Fifo => {
                let mode = sys::nix::sys::stat::Mode::from_bits_truncate(0o600);
                sys::nix::unistd::mkfifo(&path, mode).unwrap();
            }
        }
    }
}

/// What can have become of `files`: all of it on the disk, or not each.
fn variants(files: &Files) -> Vec<Files> {
    let Some(all) = files else { return vec![None] };
    let mut variants = vec![all.clone()];
    let mut add = |name: &OsString, file: Option<File>| {
        let mut changed = all.clone();
        changed.remove(name);
        changed.extend(file.map(|file| (name.clone(), file)));
        variants.push(changed);
    };
    for (name, file) in all {
        add(name, None);
        if let File::Content(bytes) = file {
            add(name, Some(File::Content(Vec::new())));
            add(name, Some(File::Content(bytes[..bytes.len() / 2].to_vec())));
            add(name, Some(File::Content(vec![0; bytes.len()])));
        }
    }
    let emptied = all.iter().map(|(name, file)| match file {
        File::Content(_) => (name.clone(), File::Content(Vec::new())),
        other => (name.clone(), other.clone()),
    });
    variants.push(emptied.collect());
    variants.into_iter().map(Some).collect()
}

/// A container whose state is cut, and another that stays.
struct Host {
    /// It is in the folder of the first one, and so has to go before that.
    other: Container,
    container: Container,
}

impl Host {
    fn new() -> Self {
        let bundle = Bundle::new().probing(&["sleep"]);
        let path = format!("/{}/a", bundle.id());
        let container =
            Container::new(bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path)));
        let mut other = Container::beside(&container, Bundle::new().probing(&["sleep"]));
        other.create(&[]);
        let flags = ["--cgroup-manager", "cgroupfs"];
        Self { container: container.with_flags(&flags), other: other.with_flags(&flags) }
    }

    fn call(&self, name: &str, flags: &[&str]) -> Output {
        self.container.call(name, flags)
    }

    fn status(&self) -> String {
        let output = self.call("state", &[]);
        match output.code {
            0 => output.json()["status"].as_str().unwrap().to_owned(),
            _ => NONE.to_owned(),
        }
    }

    fn state(&self) -> PathBuf {
        self.container.root().join(self.container.id())
    }

    /// Ends all processes of the container, and removes its cgroups.
    fn lose_power(&self) {
        let left = self.container.traces();
        for trace in &left {
            if let traces::Trace::Cgroup(path) = trace {
                for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
                    if path.join(file).exists() {
                        fs::write(path.join(file), value).unwrap();
                    }
                }
            }
        }
        let is_state = |trace: &traces::Trace| matches!(trace, traces::Trace::State(_));
        traces::remove(&left.into_iter().filter(|trace| !is_state(trace)).collect::<Vec<_>>());
    }

    /// What the state can be after a cut at each write of `name`.
    fn states(&self, from: From, name: &str, flags: &[&str]) -> Vec<Files> {
        let strace = needs_strace();
        let log = self.container.bundle().folder().join("strace");
        let traced = |options: &[&str]| {
            let inner = self.container.command_for(name, flags);
            let mut command = Command::new(&strace);
            command.arg("-o").arg(&log).args(options).arg("--");
            command.arg(inner.get_program()).args(inner.get_args());
            run(command)
        };
        let mut states = Vec::new();
        for call in WRITES {
            for number in 1.. {
                let reach = |name: &str, flags: &[&str], args: &[&str]| {
                    let mut command = self.container.command_for(name, flags);
                    command.args(args);
                    run(command)
                };
                from.reach(reach, || self.status());
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let output = traced(&[&trace(call), "-e", &inject]);
                self.lose_power();
                states.push(read(&self.state()));
                write(&self.state(), &None);
                if output.code != KILLED {
                    break;
                }
            }
        }
        states.sort();
        // Times and pids make no difference.
        states.dedup_by_key(|state| {
            let shape = |file: &File| match file {
                File::Content(bytes) => bytes.len() + 2,
                File::Link(_) => 1,
                File::Fifo => 0,
            };
            state.as_ref().map(|files| {
                files.iter().map(|(name, file)| (name.clone(), shape(file))).collect::<Vec<_>>()
            })
        });
        states
    }

    /// Asserts that each command has the right answer of a state, or an error with a remedy, and that what
    /// is left of the container can be removed.
    fn judge(&self, files: &Files) {
        let folder = self.state();
        write(&folder, files);
        let what = || format!("{files:?}");
        let listed = run(self.container.command(&["list", "--quiet"]));
        let has_other = listed.stdout.lines().any(|id| id == self.other.id());
        assert!(listed.code == 0 && has_other, "{}: {listed:?}", what());
        let id = self.container.id();
        let is_told = |output: &Output| {
            let known = ["does not exist", "rind delete --force"];
            known.iter().any(|text| output.stderr.contains(text)) && output.stderr.contains(id)
        };
        let state = self.call("state", &[]);
        let status = self.status();
        assert!(is_told(&state) || status == "stopped", "{}: {state:?}", what());
        let created = self.call("create", &[]);
        let is_there = created.stderr.contains("already exists");
        assert_eq!(is_there, files.is_some(), "{}: {created:?}", what());
        let has_remedy = created.stderr.contains("rind delete --force");
        assert_eq!(has_remedy, is_there, "{}: {created:?}", what());
        // A container that is whole can be deleted in the usual way.
        let deleted = if status == "stopped" { self.call("delete", &[]) } else { created };
        assert!(status != "stopped" || deleted.code == 0, "{}: {deleted:?}", what());
        let cleared = self.call("delete", &["--force"]);
        assert!(cleared.code == 0 && cleared.stderr.is_empty(), "{}: {cleared:?}", what());
        self.container.assert_no_trace();
    }
}

fn cut(from: From, name: &str, flags: &[&str]) {
    let host = Host::new();
    let states = host.states(from, name, flags);
    let mut all: Vec<Files> = states.iter().flat_map(variants).collect();
    all.sort();
    all.dedup();
    assert!(all.len() > 3, "{all:?}");
    for files in &all {
        host.judge(files);
    }
    let _ = host.call("create", &[]).succeeded();
    assert_eq!(host.other.status(), "created");
    if std::env::var_os("RIND_CRASH").is_some() {
        println!("power cut in {name}: {} states, {} with what is lost", states.len(), all.len());
    }
}

/// A stopped container whose record of init says `text` of a process that lives.
fn with_init(text: impl Fn(i32, &str) -> String) {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    container.create(&[]);
    container.stop();
    let link = container.root().join(container.id()).join("init");
    let usual = fs::read_link(&link).unwrap().to_str().unwrap().to_owned();
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let mut bystander = spawn(sleep);
    fs::remove_file(&link).unwrap();
    symlink(text(bystander.pid(), &usual), &link).unwrap();
    assert_eq!(container.status(), "stopped");
    let _ = container.call_with("kill", &["KILL"]).failed_with("not running");
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(is_alive(bystander.pid()));
    bystander.kill();
    container.assert_no_trace();
}

fn init_of_another_start_is_not_believed() {
    with_init(|pid, usual| {
        let mut words: Vec<&str> = usual.split(' ').collect();
        // Both may have started in the same tick of the clock.
        let (pid, other) = (pid.to_string(), (start_time(pid) + 1).to_string());
        (words[0], words[1]) = (&pid, &other);
        words.join(" ")
    });
}

/// In clock ticks since the boot: field 22 of the file, of which `process_stat` has the third first.
fn start_time(pid: i32) -> u64 {
    integration_tests::host::process_stat(pid).unwrap()[19].parse().unwrap()
}

/// Where `--root` is on a disk, it says which boot its processes are of.
fn init_of_another_boot_is_not_believed() {
    with_init(|pid, _| format!("{pid} {} 00000000-0000-0000-0000-000000000000", start_time(pid)));
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    container.create(&[]);
    let link = fs::read_link(container.root().join(container.id()).join("init")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let is_told = link.to_str().unwrap().ends_with(boot.trim());
    let mount = sys::nix::sys::statfs::statfs(container.root()).unwrap().filesystem_type();
    assert_eq!(is_told, mount != sys::nix::sys::statfs::TMPFS_MAGIC, "{}", link.display());
}

/// Also of a container that runs, whose record somebody else has spoilt.
fn damaged_record_is_no_obstacle_to_delete() {
    for text in ["", "{", "{}", "\0\0\0\0"] {
        let container = Container::running(Bundle::new());
        let pid = container.pid();
        fs::write(container.root().join(container.id()).join("state.json"), text).unwrap();
        if !text.is_empty() {
            let id = container.id();
            let remedy = format!("rind delete --force {id}");
            for name in ["state", "delete", "start"] {
                let output = container.call(name, &[]).failed_with(&remedy);
                assert!(output.stderr.contains("state.json of"), "{output:#?}");
            }
            let listed = run(container.command(&["list"]));
            assert!(listed.code == 0 && listed.stderr.contains(&remedy), "{listed:#?}");
        }
        let _ = container.call("delete", &["--force"]).succeeded();
        assert!(!is_alive(pid));
        container.assert_no_trace();
    }
}

/// On v1 no signal ends a frozen process.
fn damaged_record_of_a_frozen_container() {
    let container = Container::running(Bundle::new());
    let pid = container.pid();
    let _ = container.call("pause", &[]).succeeded();
    damage_record(&container);
    let _ = container.call("delete", &["--force"]).succeeded();
    assert!(!is_alive(pid));
    container.assert_no_trace();
}

/// The kernel doesn't end the others with init, and init may have ended before.
fn damaged_record_of_a_container_in_a_shared_pid_namespace() {
    for ends_first in [false, true] {
        let container = Container::running(Bundle::new().without_namespace("pid"));
        let (init, file) = (container.pid(), container.bundle().folder().join("other"));
        let flags = ["--detach", "--pid-file", file.to_str().unwrap()];
        let _ = container.exec(&flags, &["/bin/probe", "sleep"]).succeeded();
        let other = fs::read_to_string(file).unwrap().parse().unwrap();
        damage_record(&container);
        if ends_first {
            kill(Pid::from_raw(init), Signal::SIGKILL).unwrap();
            wait_for("the end of init", || !is_alive(init));
        }
        let _ = container.call("delete", &["--force"]).succeeded();
        assert!(!is_alive(init) && !is_alive(other), "{ends_first}");
        container.assert_no_trace();
    }
}

fn damage_record(container: &Container) {
    fs::write(container.root().join(container.id()).join("state.json"), "{").unwrap();
}
