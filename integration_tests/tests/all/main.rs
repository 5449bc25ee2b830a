//! All black-box tests of the runtime: each makes a bundle, runs the built binary on it, and looks
//! at what the kernel did. See the `integration_tests` crate for the means.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// Pieces of configuration are made where they are passed.
#![allow(clippy::needless_pass_by_value)]

mod cgroups;
mod commands;
mod devices;
mod errors;
mod faults;
mod hooks;
mod lifecycle;
mod memory_policy;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod rdt;
mod rootless;
mod seccomp;
mod security;
mod terminal;

use integration_tests::{binary, host, test};
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
    let modules = [
        cgroups::TESTS,
        commands::TESTS,
        devices::TESTS,
        errors::TESTS,
        faults::TESTS,
        hooks::TESTS,
        lifecycle::TESTS,
        memory_policy::TESTS,
        mounts::TESTS,
        namespaces::TESTS,
        net_devices::TESTS,
        process::TESTS,
        rdt::TESTS,
        rootless::TESTS,
        seccomp::TESTS,
        security::TESTS,
        terminal::TESTS,
    ];
    let ended = test::run(modules.concat());
    // Only this run's copies of the programs are still in it.
    let _ = fs::remove_dir_all(host::run_folder());
    ended
}
