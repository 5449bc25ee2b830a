//! The same profile compiled by libseccomp, where it is installed with its header: both programs
//! must decide alike, but for what is told here.

use super::{ALLOW, Action, Arch, ENOSYS, EPERM, NAMES, VALUES, comparisons, compiled, docker};
use super::{LinuxSeccomp, Operator, find, run, value};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sys::seccomp::Instruction;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/export.c");

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// libseccomp's program, and the names that it doesn't know; `None` without libseccomp.
fn exported(config: &LinuxSeccomp) -> Option<(Vec<Instruction>, HashSet<String>)> {
    let folder = Folder(std::env::temp_dir().join(format!("rind-seccomp-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let program = folder.0.join("export");
    if !built(&program) {
        eprintln!("skipped: no cc, or no libseccomp-dev");
        return None;
    }
    let mut command = Command::new(&program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines(config).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let half = |bytes: &[u8]| u16::from_ne_bytes([bytes[0], bytes[1]]);
    let instructions = output.stdout.chunks(8).map(|bytes| Instruction {
        code: half(bytes),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes(bytes[4..].try_into().unwrap()),
    });
    Some((instructions.collect(), said.lines().map(str::to_owned).collect()))
}

fn built(program: &Path) -> bool {
    let mut compiler = Command::new("cc");
    compiler.arg("-o").arg(program).arg(SOURCE).arg("-lseccomp");
    compiler.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The profile as the C program reads it.
fn lines(config: &LinuxSeccomp) -> String {
    let default = value(config.default_action(), config.default_errno_ret());
    let mut text = format!("default {default}\n");
    for arch in config.architectures().iter().flatten() {
        let name = arch.to_string().trim_start_matches("SCMP_ARCH_").to_lowercase();
        writeln!(text, "arch {name}").unwrap();
    }
    for rule in config.syscalls().iter().flatten() {
        let action = value(rule.action(), rule.errno_ret());
        for name in rule.names().iter().filter(|_| action != default) {
            write!(text, "rule {action} {name} {}", comparisons(rule).len()).unwrap();
            for one in comparisons(rule) {
                let (first, second) = (one.value(), one.value_two().unwrap_or(0));
                write!(text, " {} {} {first} {second}", one.index(), operator(one.op())).unwrap();
            }
            text.push('\n');
        }
    }
    text
}

/// `enum scmp_compare`.
fn operator(operator: Operator) -> u32 {
    match operator {
        Operator::ScmpCmpNe => 1,
        Operator::ScmpCmpLt => 2,
        Operator::ScmpCmpLe => 3,
        Operator::ScmpCmpEq => 4,
        Operator::ScmpCmpGe => 5,
        Operator::ScmpCmpGt => 6,
        Operator::ScmpCmpMaskedEq => 7,
    }
}

#[test]
fn docker_profile_decides_as_with_libseccomp() {
    let config = docker();
    assert_eq!(config.default_action(), Action::ScmpActErrno);
    let Some((theirs, unknown)) = exported(&config) else { return };
    let ours = compiled(&config);
    let mut wrong = Vec::new();
    for arch in [Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32] {
        let abi = find(arch).unwrap();
        for number in (0..1024).map(|number| abi.first + number) {
            let call = abi.calls.iter().find(|(known, _)| abi.first + known == number);
            let name = call.map_or("", |(_, name)| NAMES[usize::from(*name)]);
            for first in VALUES {
                let arguments = [first, 0, 0, 0, 0, 0];
                let ours = run(ours.program(), abi, number, arguments);
                let theirs = run(&theirs, abi, number, arguments);
                let explained = match (ours, theirs) {
                    _ if ours == theirs => true,
                    // A call that is newer than this libseccomp.
                    (_, EPERM) if unknown.contains(name) => true,
                    // One that is newer than the profile, which runc takes care of itself.
                    (ENOSYS, EPERM) => !config
                        .syscalls()
                        .iter()
                        .flatten()
                        .any(|rule| rule.names().iter().any(|named| named == name)),
                    _ => false,
                };
                if !explained {
                    wrong.push((arch, number, name, first, ours, theirs));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ: {:#x?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    assert!(theirs.iter().any(|one| one.k == ALLOW));
}
