//! A plain reading of a profile, as the crate's documentation says it, that programs are held against.

// An architecture of the tables is found.
#![allow(clippy::unwrap_used)]

use crate::abi::{Abi, NATIVE, X32_BIT, find};
use crate::syscalls::{IPC_PARTS, NAMES, SOCKETCALL_PARTS};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg as Comparison,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use std::collections::HashSet;
use sys::seccomp as kernel;

pub(crate) const KILL: u32 = kernel::SECCOMP_RET_KILL_THREAD;
pub(crate) const ENOSYS: u32 = kernel::SECCOMP_RET_ERRNO | sys::Errno::ENOSYS as u32;

pub(crate) type Arguments = [u64; 6];

/// Decides on calls by reading the profile as the crate's documentation says.
pub(crate) struct Reference<'a> {
    config: &'a LinuxSeccomp,
    default: u32,
    rules: &'a [LinuxSyscall],
    named: HashSet<&'a str>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(config: &'a LinuxSeccomp) -> Self {
        let rules = config.syscalls().as_deref().unwrap_or_default();
        let default = config.default_action().as_u32(config.default_errno_ret());
        let named = rules.iter().flat_map(|rule| rule.names().iter().map(String::as_str)).collect();
        Self { config, default, rules, named }
    }

    pub(crate) fn decide(&self, called: &Abi, number: u32, arguments: Arguments) -> u32 {
        let x86 = called.audit == find(Arch::ScmpArchX86_64).unwrap().audit;
        // As libseccomp has it: what is above is no x86_64 call either.
        let arch = match (x86, number >= X32_BIT) {
            (false, _) => called.arch,
            (true, true) => Arch::ScmpArchX32,
            (true, false) => Arch::ScmpArchX86_64,
        };
        let abi = find(arch).unwrap();
        if !self.is_listed(arch) {
            let skipped = x86 && number == u32::MAX && self.is_listed(Arch::ScmpArchX86_64);
            return if skipped { self.default } else { KILL };
        }
        let call = abi.calls.iter().find(|(known, _)| abi.first + known == number);
        let name = call.map(|(_, name)| NAMES[usize::from(*name)]);
        if let Some(name) = name.filter(|name| self.is_named(name)) {
            return self.decide_named(name, abi, arguments);
        }
        let permissive = matches!(
            self.config.default_action(),
            Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace
        );
        let s390 = matches!(arch, Arch::ScmpArchS390 | Arch::ScmpArchS390x);
        match self.newest(abi) {
            Some(newest) if !permissive && (number > newest || (s390 && number == 0)) => ENOSYS,
            _ => self.default,
        }
    }

    fn is_listed(&self, arch: Arch) -> bool {
        arch == NATIVE || self.config.architectures().iter().flatten().any(|one| *one == arch)
    }

    fn is_named(&self, name: &str) -> bool {
        self.named.contains(name) || parts(name).any(|(part, _)| self.named.contains(part))
    }

    fn newest(&self, abi: &Abi) -> Option<u32> {
        let public = abi.calls.iter().filter(|(number, _)| *number < 0xf_0000);
        let named = public.filter(|(_, name)| self.is_named(NAMES[usize::from(*name)]));
        named.map(|(number, _)| abi.first + number).max()
    }

    fn decide_named(&self, name: &str, abi: &Abi, arguments: Arguments) -> u32 {
        if let Some(action) = self.compared(name, false, abi, arguments) {
            return action;
        }
        for (part, _) in parts(name).filter(|(_, number)| *number == low(arguments[0])) {
            let action = self.compared(part, true, abi, arguments).or_else(|| self.always(part));
            if let Some(action) = action {
                return action;
            }
        }
        self.always(name).unwrap_or(self.default)
    }

    /// The action of the first rule with comparisons, if they hold.
    fn compared(&self, name: &str, part: bool, abi: &Abi, arguments: Arguments) -> Option<u32> {
        self.of(name)
            .filter(|rule| !comparisons(rule).is_empty())
            .find(|rule| matches(comparisons(rule), part, abi, arguments))
            .map(|rule| rule.action().as_u32(rule.errno_ret()))
    }

    /// The action of the first rule without.
    fn always(&self, name: &str) -> Option<u32> {
        let rule = self.of(name).find(|rule| comparisons(rule).is_empty())?;
        Some(rule.action().as_u32(rule.errno_ret()))
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &LinuxSyscall> {
        let changing =
            |rule: &&LinuxSyscall| rule.action().as_u32(rule.errno_ret()) != self.default;
        self.rules
            .iter()
            .filter(move |rule| rule.names().iter().any(|one| one == name))
            .filter(changing)
    }
}

fn parts(name: &str) -> impl Iterator<Item = (&'static str, u32)> {
    let parts: &[(u16, u32)] = match name {
        "ipc" => &IPC_PARTS,
        "socketcall" => &SOCKETCALL_PARTS,
        _ => &[],
    };
    parts.iter().map(|&(name, number)| (NAMES[usize::from(name)], number))
}

/// Whether a rule matches; where `part`, argument 0 is the multiplexer's own.
fn matches(comparisons: &[Comparison], part: bool, abi: &Abi, arguments: Arguments) -> bool {
    let holds = |one: &Comparison| {
        let cut = |value: u64| if abi.wide { value } else { value & 0xffff_ffff };
        let argument = cut(arguments[one.index()]);
        let (first, second) = (cut(one.value()), cut(one.value_two().unwrap_or(0)));
        (part && one.index() == 0)
            || match one.op() {
                Operator::ScmpCmpNe => argument != first,
                Operator::ScmpCmpLt => argument < first,
                Operator::ScmpCmpLe => argument <= first,
                Operator::ScmpCmpEq => argument == first,
                Operator::ScmpCmpGe => argument >= first,
                Operator::ScmpCmpGt => argument > first,
                Operator::ScmpCmpMaskedEq => argument & first == second & first,
            }
    };
    let mut indexes: Vec<usize> = comparisons.iter().map(Comparison::index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    if indexes.len() < comparisons.len() {
        comparisons.iter().any(holds)
    } else {
        comparisons.iter().all(holds)
    }
}

/// The comparisons of a rule.
fn comparisons(rule: &LinuxSyscall) -> &[Comparison] {
    rule.args().as_deref().unwrap_or_default()
}

#[allow(clippy::cast_possible_truncation)]
fn low(value: u64) -> u32 {
    value as u32
}

/// The number of a call, as the kernel would tell it.
pub(crate) fn number(abi: &Abi, name: &str) -> Option<u32> {
    let call = abi.calls.iter().find(|(_, index)| NAMES[usize::from(*index)] == name);
    call.map(|(number, _)| abi.first + number)
}
