//! What holds of every filter that a profile gives. `just fuzz` searches for a profile and a call of which
//! it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::Filter;
use crate::abi::{ABIS, NATIVE, find};
use crate::code::RETURN;
use crate::reference::{Arguments, Reference, number};
use crate::run::run;
use crate::syscalls::NAMES;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

/// A profile, and calls, from bytes: the kernel would take the program, and it decides as a plain reading
/// of the profile does.
pub fn profile(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let config = profile_from(&mut bytes);
    let Ok(filter) = Filter::compile(&config, &mut Vec::new()) else { return };
    check_jumps(&filter);
    let reference = Reference::new(&config);
    let listed = config.architectures().iter().flatten().copied().chain([NATIVE]);
    let archs: Vec<Arch> = listed.chain([bytes.one_of(&ABIS).arch]).collect();
    for _ in 0..CALLS {
        let abi = find(*bytes.one_of(&archs)).unwrap();
        let number = match bytes.below(4) {
            0 => bytes.u32(),
            1 => abi.first + u32::from(bytes.u16() % 1024),
            _ => {
                let named = config.syscalls().iter().flatten().flat_map(LinuxSyscall::names);
                let numbers: Vec<u32> = named.filter_map(|name| number(abi, name)).collect();
                let near = if numbers.is_empty() { 0 } else { *bytes.one_of(&numbers) };
                near.wrapping_add(u32::from(bytes.byte() % 3)).wrapping_sub(1)
            }
        };
        let arguments: Arguments = std::array::from_fn(|_| bytes.value());
        assert_eq!(
            run(filter.program(), abi, number, arguments),
            Some(reference.decide(abi, number, arguments)),
            "{} {number:#x} {arguments:x?} of {config:?}",
            abi.name
        );
    }
}

/// How many calls are tried.
const CALLS: usize = 12;

/// The kernel refuses a program with a jump out of it, or one that doesn't end with a return.
fn check_jumps(filter: &Filter) {
    const JUMP: u16 = 0x05;
    const CLASS: u16 = 0x07;
    let program = filter.program();
    assert!(program.last().is_some_and(|last| last.code == RETURN));
    for (at, one) in program.iter().enumerate() {
        let furthest = match one.code {
            JUMP => one.k as usize,
            code if code & CLASS == JUMP => one.jt.max(one.jf).into(),
            _ => 0,
        };
        assert!(at + 1 + furthest < program.len() || one.code == RETURN, "{at}: {one:?}");
    }
}

fn profile_from(bytes: &mut Bytes) -> LinuxSeccomp {
    let mut config = LinuxSeccomp::default();
    let (action, errno) = bytes.action();
    let archs: Vec<Arch> = (0..bytes.below(5)).map(|_| bytes.one_of(&ABIS).arch).collect();
    let rules: Vec<LinuxSyscall> = (0..bytes.below(16)).map(|_| rule_from(bytes)).collect();
    config.set_default_action(action).set_default_errno_ret(errno);
    config.set_architectures(Some(archs).filter(|archs| !archs.is_empty()));
    config.set_syscalls(Some(rules)).set_listener_path(Some("/listener".into()));
    config
}

fn rule_from(bytes: &mut Bytes) -> LinuxSyscall {
    let (action, errno) = bytes.action();
    let name = |bytes: &mut Bytes| match bytes.below(3) {
        0 => (*bytes.one_of(&SPECIAL)).to_owned(),
        _ => NAMES[usize::from(bytes.u16()) % NAMES.len()].to_owned(),
    };
    let names = (0..=bytes.below(5)).map(|_| name(bytes)).collect();
    let args: Vec<_> = (0..bytes.below(4)).map(|_| comparison_from(bytes)).collect();
    let mut rule = LinuxSyscall::default();
    rule.set_names(names).set_action(action).set_errno_ret(errno).set_args(Some(args));
    rule
}

fn comparison_from(bytes: &mut Bytes) -> LinuxSeccompArg {
    let operators = [
        Operator::ScmpCmpNe,
        Operator::ScmpCmpLt,
        Operator::ScmpCmpLe,
        Operator::ScmpCmpEq,
        Operator::ScmpCmpGe,
        Operator::ScmpCmpGt,
        Operator::ScmpCmpMaskedEq,
    ];
    let comparison = LinuxSeccompArgBuilder::default()
        .index(bytes.below(6))
        .op(*bytes.one_of(&operators))
        .value(bytes.value())
        .value_two(bytes.value());
    comparison.build().unwrap()
}

/// Calls that are not like others, and a name that no call has.
const SPECIAL: [&str; 10] = [
    "socketcall",
    "ipc",
    "socket",
    "connect",
    "shmat",
    "semop",
    "write",
    "restart_syscall",
    "set_tls",
    "no_call",
];

/// Bytes to choose by; zeros once they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn one_of<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.below(all.len())]
    }

    /// A value that is compared, or an argument: small, at the edge of the halves, or any.
    fn value(&mut self) -> u64 {
        let base = match self.below(6) {
            0 | 1 => 0,
            2 => 0x8000_0000,
            3 => 0x1_0000_0000,
            4 => u64::MAX,
            _ => u64::from(self.u32()) << 32 | u64::from(self.u32()),
        };
        base.wrapping_add(u64::from(self.byte() % 32))
    }

    fn action(&mut self) -> (Action, Option<u32>) {
        let errno = Some(self.byte().into()).filter(|errno| *errno < 200);
        match self.below(9) {
            0 => (Action::ScmpActKill, None),
            1 => (Action::ScmpActKillProcess, None),
            2 => (Action::ScmpActKillThread, None),
            3 => (Action::ScmpActTrap, None),
            4 => (Action::ScmpActErrno, errno),
            5 => (Action::ScmpActTrace, errno),
            6 => (Action::ScmpActAllow, None),
            7 => (Action::ScmpActLog, None),
            _ => (Action::ScmpActNotify, None),
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("seccomp", profile);
}
