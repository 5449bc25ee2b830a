//! Profiles compiled by libseccomp, where it is installed with its header: a small program in C is
//! built and asked, so that nothing is linked to it. For the tests and for the benchmark.

use super::{Action, Comparison, Instruction, LinuxSeccomp, LinuxSyscall, Operator};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/export.c");

/// The built program, in a folder that goes with this value.
pub struct Exporter(PathBuf);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What libseccomp has made of a profile.
pub struct Exported {
    /// The program.
    pub program: Vec<Instruction>,
    /// The names that it doesn't know.
    pub unknown: HashSet<String>,
    /// The CPU time that making it took, in microseconds.
    pub cpu: f64,
}

impl Exporter {
    /// Builds it; `None` without a C compiler or libseccomp.
    pub fn build() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("rind-seccomp-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let exporter = Self(folder);
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-o"]).arg(exporter.program()).args([SOURCE, "-lseccomp"]);
        let built = compiler.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !built {
            eprintln!("skipped: no cc, or no libseccomp-dev");
        }
        built.then_some(exporter)
    }

    /// Has `config` compiled; `tree`: as a binary tree over the numbers of calls, which libseccomp
    /// doesn't do unasked.
    pub fn export(&self, config: &LinuxSeccomp, tree: bool) -> Exported {
        let mut command = Command::new(self.program());
        command.args(tree.then_some("tree"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines(config).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let (cpu, unknown) = said.split_once('\n').unwrap();
        Exported {
            program: instructions(&output.stdout),
            unknown: unknown.lines().map(str::to_owned).collect(),
            cpu: cpu.parse().unwrap(),
        }
    }

    fn program(&self) -> PathBuf {
        self.0.join("export")
    }
}

/// A program from the bytes that it has in memory.
pub fn instructions(bytes: &[u8]) -> Vec<Instruction> {
    let half = |bytes: &[u8]| u16::from_ne_bytes([bytes[0], bytes[1]]);
    let instruction = |bytes: &[u8]| Instruction {
        code: half(bytes),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes(bytes[4..].try_into().unwrap()),
    };
    bytes.chunks(8).map(instruction).collect()
}

/// What a filter returns for an action.
pub fn value(action: Action, errno: Option<u32>) -> u32 {
    action.as_u32(errno)
}

/// The comparisons of a rule.
pub fn comparisons(rule: &LinuxSyscall) -> &[Comparison] {
    rule.args().as_deref().unwrap_or_default()
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
