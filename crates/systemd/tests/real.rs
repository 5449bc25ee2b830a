//! The crate with a real systemd, which is asked for scopes below names that nobody else has.
//!
//! `cargo test -p rind-systemd -- --ignored`, as root for the system's, as a user for the user's.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use sys::nix::unistd::geteuid;
use systemd::{Bus, Manager, Property, Value};

const PATIENCE: Duration = Duration::from_secs(30);

fn bus() -> Bus {
    if geteuid().is_root() { Bus::System } else { Bus::User }
}

fn connect() -> Manager {
    Manager::connect(bus(), PATIENCE).unwrap()
}

fn unit(name: &str) -> String {
    format!("rind-test-{}-{name}.scope", std::process::id())
}

/// A process of its own group, so that nobody waits for it.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        let mut sleep = Command::new("sleep");
        Self(sleep.arg("1000").process_group(0).stdin(Stdio::null()).spawn().unwrap())
    }

    fn properties(&self) -> Vec<Property> {
        let pids = Value::Array { element: "u".to_owned(), items: vec![Value::U32(self.0.id())] };
        vec![
            Property::new("PIDs", pids),
            Property::new("Delegate", Value::Bool(true)),
            Property::new("CollectMode", Value::Text("inactive-or-failed".to_owned())),
        ]
    }

    /// Its cgroup.
    fn cgroup(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.0.id())).unwrap();
        text.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn directory(cgroup: &str) -> String {
    format!("/sys/fs/cgroup{cgroup}")
}

/// Whether the unit is there, if only as one that has failed.
fn is_there(unit: &str) -> bool {
    let mut show = Command::new("systemctl");
    if bus() == Bus::User {
        show.arg("--user");
    }
    let output = show.args(["show", "-p", "ActiveState", unit]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim() != "ActiveState=inactive"
}

#[test]
#[ignore = "takes a systemd"]
fn a_scope_is_started_changed_and_stopped() {
    let (mut manager, unit) = (connect(), unit("all"));
    let mut sleeper = Sleeper::new();
    let since = Instant::now();
    manager.start_scope(&unit, &sleeper.properties()).unwrap();
    eprintln!("started after {:?}", since.elapsed());
    let cgroup = sleeper.cgroup();
    assert!(cgroup.ends_with(&format!("/{unit}")), "{cgroup}");
    if bus() == Bus::User {
        assert!(cgroup.starts_with(&manager.control_group().unwrap()), "{cgroup}");
    }
    let limit = Property::new("MemoryMax", Value::U64(64 << 20));
    manager.set_properties(&unit, &[limit]).unwrap();
    let file = format!("{}/memory.max", directory(&cgroup));
    assert_eq!(fs::read_to_string(file).unwrap().trim(), "67108864");
    manager.stop(&unit).unwrap();
    assert!(!is_there(&unit));
    assert!(!fs::exists(directory(&cgroup)).unwrap());
    assert!(!sleeper.0.wait().unwrap().success());
    manager.stop(&unit).unwrap();
}

#[test]
#[ignore = "takes a systemd"]
fn a_name_in_use_is_refused_and_what_has_it_stays() {
    let (mut manager, unit) = (connect(), unit("twice"));
    let (first, second) = (Sleeper::new(), Sleeper::new());
    manager.start_scope(&unit, &first.properties()).unwrap();
    let refused = manager.start_scope(&unit, &second.properties()).unwrap_err();
    assert!(refused.is_unit_exists(), "{refused}");
    assert!(first.cgroup().ends_with(&unit) && !second.cgroup().ends_with(&unit));
    manager.stop(&unit).unwrap();
}

#[test]
#[ignore = "takes a systemd"]
fn processes_are_attached() {
    let (mut manager, unit) = (connect(), unit("more"));
    let (first, second) = (Sleeper::new(), Sleeper::new());
    manager.start_scope(&unit, &first.properties()).unwrap();
    manager.attach(&unit, "", second.0.id()).unwrap();
    assert_eq!(first.cgroup(), second.cgroup());
    fs::create_dir(format!("{}/below", directory(&first.cgroup()))).unwrap();
    manager.attach(&unit, "below", second.0.id()).unwrap();
    assert_eq!(format!("{}/below", first.cgroup()), second.cgroup());
    manager.stop(&unit).unwrap();
}

#[test]
#[ignore = "takes a systemd"]
fn a_scope_that_nobody_stops_goes_with_its_processes() {
    let unit = unit("alone");
    let sleeper = Sleeper::new();
    connect().start_scope(&unit, &sleeper.properties()).unwrap();
    drop(sleeper);
    let since = Instant::now();
    while is_there(&unit) && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
    }
    assert!(!is_there(&unit));
}

#[test]
#[ignore = "takes a systemd"]
fn properties_of_annotations_are_taken() {
    let (mut manager, unit) = (connect(), unit("asked"));
    let sleeper = Sleeper::new();
    let mut properties = sleeper.properties();
    for (name, value) in [
        ("After", "['crio.service']"),
        ("AllowedCPUs", "[byte 1]"),
        ("CPUQuotaPerSecUSec", "uint64 500000"),
        ("CPUWeight", "uint64 50"),
        ("DefaultDependencies", "true"),
        ("Description", "'a \"test\"'"),
        ("IOReadBandwidthMax", "[('/dev/null', 1000000)]"),
        ("IPAddressDeny", "@a(iayu) []"),
        ("KillMode", "'mixed'"),
        ("KillSignal", "15"),
        ("ManagedOOMPreference", "'none'"),
        ("MemoryHigh", "33554432"),
        ("OOMPolicy", "'continue'"),
        ("RuntimeMaxSec", "1000"),
        ("SendSIGHUP", "true"),
        ("SocketBindDeny", "[(0, 6, 1, 7777)]"),
        ("TasksMax", "9"),
        ("TimeoutStopSec", "double 7.5"),
    ] {
        // What systemd has got later than the others.
        if name == "OOMPolicy" && manager.version().unwrap() < 253 {
            continue;
        }
        properties.push(systemd::annotation(name, value).unwrap());
    }
    manager.start_scope(&unit, &properties).unwrap();
    let file = format!("{}/pids.max", directory(&sleeper.cgroup()));
    assert_eq!(fs::read_to_string(file).unwrap().trim(), "9");
    manager.stop(&unit).unwrap();
}
