//! All black-box tests of the runtime: each makes a bundle, runs the built binary on it, and looks
//! at what the kernel did. See the `integration_tests` crate for the means.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// Pieces of configuration are made where they are passed.
#![allow(clippy::needless_pass_by_value)]

mod adverse;
mod amend;
mod annotations;
mod caller;
mod catalogue;
mod census;
mod cgroups;
mod check;
mod checkpoint;
mod commands;
mod devices;
mod documents;
mod errors;
mod events;
mod exec;
mod faults;
mod hooks;
mod injected;
mod inspect;
mod killed;
mod labels;
mod library;
mod lifecycle;
mod locked;
mod masks;
mod memory_policy;
mod monitor;
mod mounts;
mod namespaces;
mod net_devices;
mod notify;
mod overtaken;
mod pause;
mod power;
mod process;
mod ps;
mod rdt;
mod rootless;
mod rootless_systemd;
mod seccomp;
mod security;
mod several;
mod shells;
mod sides;
mod siege;
mod soak;
mod stress;
mod systemd;
mod terminal;
mod timing;
mod tour;
mod traced;
mod update;
mod v2;

use integration_tests::monitor::Monitor;
use integration_tests::{binary, host, race, test};
use std::fs;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Cargo's own options come first: `--list` needs no runtime, nor root.
    let rind = match binary::find_rind() {
        Ok(path) => path,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let version = Command::new(&rind).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_else(|error| error.to_string());
    println!("testing {}: {}", rind.display(), version.lines().next().unwrap_or_default());
    if !host::is_root() {
        eprintln!("these tests make containers as root: run them by `sudo -E`");
        return ExitCode::FAILURE;
    }
    // A list needs nothing of that.
    let lists = std::env::args().any(|argument| argument == "--list");
    let monitor = (!lists).then(Monitor::start);
    let ended = test::run(all());
    if race::attempts() > 0 {
        println!("{} rounds of races", race::attempts());
    }
    // Only this run's copies of the programs are still in it.
    let _ = fs::remove_dir_all(host::run_folder());
    monitor.map_or(ended, |monitor| monitor.conclude(ended))
}

/// Every test.
fn all() -> Vec<test::Test> {
    [
        adverse::TESTS,
        amend::TESTS,
        annotations::TESTS,
        caller::TESTS,
        catalogue::TESTS,
        census::TESTS,
        cgroups::TESTS,
        check::TESTS,
        checkpoint::TESTS,
        commands::TESTS,
        devices::TESTS,
        documents::TESTS,
        errors::TESTS,
        exec::TESTS,
        events::TESTS,
        faults::TESTS,
        hooks::TESTS,
        injected::TESTS,
        inspect::TESTS,
        killed::TESTS,
        labels::TESTS,
        library::TESTS,
        lifecycle::TESTS,
        locked::TESTS,
        masks::TESTS,
        memory_policy::TESTS,
        monitor::TESTS,
        mounts::TESTS,
        namespaces::TESTS,
        net_devices::TESTS,
        notify::TESTS,
        overtaken::TESTS,
        pause::TESTS,
        power::TESTS,
        process::TESTS,
        ps::TESTS,
        rdt::TESTS,
        rootless::TESTS,
        rootless_systemd::TESTS,
        seccomp::TESTS,
        security::TESTS,
        several::TESTS,
        shells::TESTS,
        siege::TESTS,
        sides::TESTS,
        soak::TESTS,
        stress::TESTS,
        systemd::TESTS,
        terminal::TESTS,
        timing::TESTS,
        tour::TESTS,
        traced::TESTS,
        update::TESTS,
        v2::TESTS,
    ]
    .concat()
}
