//! What a seccomp profile costs, Docker's: this crate's program beside none and libseccomp's, with
//! and without its binary tree.
//!
//!     cargo bench --package rind-seccomp --bench cost [-- ROUNDS]
//!
//! Each prints a line with tabs between: its name; how many instructions it has; the CPU time in
//! microseconds of compiling it, once, in a process that has just begun, as a runtime does; and
//! that in nanoseconds of one system call: getppid, which it always allows; personality, which an
//! argument decides; unshare, which it denies. Times are medians of rounds that take all in turn.
//! libseccomp's are left out where it isn't installed, which a line on stderr tells.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../src/tests/export.rs"]
#[allow(dead_code, reason = "the tests also want to know which names libseccomp doesn't")]
mod export;

use export::{Exporter, instructions};
// What `export` takes from where it is used.
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg as Comparison,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use seccomp::Filter;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use sys::nix::sched::{CloneFlags, unshare};
use sys::nix::sys::resource::{UsageWho, getrusage};
use sys::nix::sys::time::TimeValLike;
use sys::process::{set_no_new_privs, set_personality};
use sys::seccomp::{Instruction, SECCOMP_FILTER_FLAG_SPEC_ALLOW, set_filter};

const PROFILE: &str = include_str!("../tests/fixtures/docker.json");
const ROUNDS: usize = 30;
const CALLS: u32 = 50_000;

/// What is compared.
const NAMES: [&str; 4] = ["none", "rind", "libseccomp", "libseccomp-tree"];

/// One compared filter, and what has been measured of it in each round.
struct Candidate {
    name: &'static str,
    program: Vec<u8>,
    compiling: Vec<f64>,
    calls: [Vec<f64>; 3],
}

fn main() {
    // Cargo says `--bench` too.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    match words.next().as_deref() {
        Some("compile") => compile(),
        Some("call") => call(),
        rounds => compare(rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"))),
    }
}

fn compare(rounds: usize) {
    let exporter = Exporter::build();
    let names = NAMES.into_iter().filter(|name| exporter.is_some() || !name.starts_with("lib"));
    let mut candidates: Vec<Candidate> = names
        .map(|name| Candidate {
            name,
            program: Vec::new(),
            compiling: Vec::new(),
            calls: [const { Vec::new() }; 3],
        })
        .collect();
    let count = candidates.len();
    for round in 0..rounds {
        for turn in 0..count {
            measure(&mut candidates[(round + turn) % count], exporter.as_ref());
        }
    }
    for one in candidates {
        print!("{}\t{}\t{:.0}", one.name, one.program.len() / 8, median(one.compiling));
        println!("{}", one.calls.map(|calls| format!("\t{:.1}", median(calls))).concat());
    }
}

fn measure(one: &mut Candidate, exporter: Option<&Exporter>) {
    let (program, cpu) = match (one.name, exporter) {
        ("none", _) => (Vec::new(), 0.0),
        ("rind", _) => {
            let output = child("compile", &[]);
            let (cpu, program) = output.split_first_chunk().unwrap();
            (program.to_owned(), f64::from_ne_bytes(*cpu))
        }
        (name, exporter) => {
            let config = profile();
            let exported = exporter.unwrap().export(&config, name.ends_with("tree"));
            (exported.program.into_iter().flat_map(bytes).collect(), exported.cpu)
        }
    };
    let times = child("call", &program);
    for (times, time) in one.calls.iter_mut().zip(times.chunks(8)) {
        times.push(f64::from_ne_bytes(time.try_into().unwrap()));
    }
    one.compiling.push(cpu);
    one.program = program;
}

/// Runs this program anew for one of the tasks below.
fn child(task: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(task).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{task}: {}", output.status);
    output.stdout
}

/// Writes the time it takes to compile the profile, and the program.
fn compile() {
    let config = profile();
    let mut warnings = Vec::new();
    let from = cpu();
    let filter = Filter::compile(&config, &mut warnings).unwrap();
    let spent = (cpu() - from) * 1e6;
    let mut output = spent.to_ne_bytes().to_vec();
    output.extend(filter.program().iter().copied().flat_map(bytes));
    std::io::stdout().write_all(&output).unwrap();
}

/// Installs the filter on stdin, if there is any, and writes what each kind of call takes.
fn call() {
    let mut program = Vec::new();
    std::io::stdin().read_to_end(&mut program).unwrap();
    if !program.is_empty() {
        set_no_new_privs().unwrap();
        set_filter(&instructions(&program), SECCOMP_FILTER_FLAG_SPEC_ALLOW).unwrap();
        unshare(CloneFlags::empty()).expect_err("the profile denies it");
    }
    let times = [
        time(|| _ = std::os::unix::process::parent_id()),
        // It only asks which it is.
        time(|| set_personality(0xffff_ffff).unwrap()),
        // Without a filter it does nothing.
        time(|| _ = unshare(CloneFlags::empty())),
    ];
    std::io::stdout().write_all(&times.map(f64::to_ne_bytes).concat()).unwrap();
}

fn time(call: impl Fn()) -> f64 {
    let from = cpu();
    for _ in 0..CALLS {
        call();
    }
    (cpu() - from) * 1e9 / f64::from(CALLS)
}

/// The CPU time of this process, in seconds.
#[allow(clippy::cast_precision_loss)]
fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}

fn profile() -> LinuxSeccomp {
    serde_json::from_str(PROFILE).unwrap()
}

fn bytes(one: Instruction) -> Vec<u8> {
    let code = one.code.to_ne_bytes();
    [&code[..], &[one.jt, one.jf], &one.k.to_ne_bytes()].concat()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    f64::midpoint(values[(values.len() - 1) / 2], values[middle])
}
