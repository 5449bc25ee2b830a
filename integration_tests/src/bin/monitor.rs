//! Looks at the machine, and at the runtime's processes, from outside.
//!
//! `monitor before FILE NAME... -- PROGRAM`  writes to FILE how the machine is
//! `monitor after FILE NAME... -- PROGRAM`   prints what is different, and fails if anything is
//! `monitor watch PROGRAM`                   tries to get at each process of root's that runs PROGRAM, as
//!                                           who it is and without any capability, until stdin ends;
//!                                           prints what it got, and then how often it has looked
//!
//! NAME is what the names of all that a run makes have in them, PROGRAM what must stay as it is, and the
//! parent of `monitor` the run itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use integration_tests::host;
use integration_tests::machine::{Machine, Run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use sys::credentials::{Capabilities, capset};
use sys::nix::libc;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::nix::unistd::{geteuid, getppid};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["watch", program] => watch(program.as_bytes()),
        [when @ ("before" | "after"), file, ref names @ .., "--", program] => {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let pid = getppid().as_raw();
            let run = Run { names: &names, program: Path::new(program), pid };
            return if when == "before" { before(&run, file) } else { after(&run, file) };
        }
        _ => {
            eprintln!(
                "usage: monitor before|after FILE NAME... -- PROGRAM, or monitor watch PROGRAM"
            );
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}

fn before(run: &Run, file: &str) -> ExitCode {
    fs::write(file, serde_json::to_string(&run.look()).expect("JSON")).expect("writing the file");
    ExitCode::SUCCESS
}

fn after(run: &Run, file: &str) -> ExitCode {
    let text = fs::read_to_string(file).expect("what `before` has written");
    let machine: Machine = serde_json::from_str(&text).expect("what `before` has written");
    let differences = run.differences(&machine, PATIENCE);
    for difference in &differences {
        println!("monitor: {difference}");
    }
    if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long one waits for what goes away by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between one look and the next, in milliseconds.
const BREATH: u16 = 6;

/// How often a process is looked at, beginning with when it is first seen.
const LOOKS: u32 = 8;

fn watch(program: &[u8]) {
    let none = Capabilities { effective: 0, permitted: 0, inheritable: 0 };
    capset(&none).expect("giving up capabilities");
    let mut seen: BTreeMap<i32, (String, u32)> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut looked = 0_u64;
    let mut next = last_pid();
    while !ends() {
        let last = last_pid();
        // The numbers are given out in order, and begin anew at the end.
        let new = if next <= last + 1 { next..last + 1 } else { 300..last + 1 };
        next = last + 1;
        let new = new.filter_map(|pid| Some((pid, (command_line(pid, program)?, LOOKS))));
        let new = new.filter(|(pid, _)| is_of_the_host(*pid, program));
        seen.extend(new);
        looked += seen.len() as u64;
        seen.retain(|&pid, (line, looks)| {
            let got = reached(pid);
            // It is still what it was, and has not executed another program meanwhile.
            if !got.is_empty() && command_line(pid, program).as_ref() == Some(line) {
                for one in got.into_iter().filter(|one| told.insert((pid, *one))) {
                    println!("{one} of {pid} ({line})");
                }
            }
            *looks -= 1;
            *looks > 0
        });
    }
    println!("looked {looked} times");
}

/// Waits for a moment; whether stdin has ended.
fn ends() -> bool {
    let stdin = std::io::stdin();
    let mut polled = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::from(BREATH)).unwrap_or(1) != 0
        && stdin.lock().read(&mut [0]).unwrap_or(0) == 0
}

fn last_pid() -> i32 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.trim().rsplit(' ').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

/// The command line of `pid`, if it is of that program and root's.
fn command_line(pid: i32, program: &[u8]) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    if line.split(|byte| *byte == 0).next() != Some(program) {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let is_roots = users.split_whitespace().all(|user| user == "0");
    is_roots.then(|| String::from_utf8_lossy(&line).replace('\0', " "))
}

/// Whether it is the host's to keep it closed. One that has been executed in another user namespace is
/// open to who made that; but not one that the runtime has sent there.
fn is_of_the_host(pid: i32, program: &[u8]) -> bool {
    let in_first = |pid: i32| {
        let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap_or_default();
        map.split_whitespace().eq(["0", "0", "4294967295"])
    };
    let parent = || host::process_stat(pid)?.get(1)?.parse().ok();
    in_first(pid)
        || parent().is_some_and(|pid| command_line(pid, program).is_some() && in_first(pid))
}

/// What could be had of `pid` that only who may trace it can have. To open its memory takes what
/// attaching to it would, and doesn't disturb it.
fn reached(pid: i32) -> Vec<&'static str> {
    let path = |name: &str| format!("/proc/{pid}/{name}");
    let link = |name: &str| {
        OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path(name)).is_ok()
    };
    let links =
        ["root", "cwd", "exe", "fd/0", "fd/3", "ns/mnt"].into_iter().filter(|name| link(name));
    // These can be opened, but not read.
    let texts = ["maps", "environ", "mem", "auxv"].into_iter().filter(|name| {
        File::open(path(name))
            .is_ok_and(|mut file| *name == "mem" || file.read(&mut [0]).is_ok_and(|n| n > 0))
    });
    let signal = !geteuid().is_root() && sys::process::kill(pid, 0).is_ok();
    links.chain(texts).chain(signal.then_some("a signal's way")).collect()
}
