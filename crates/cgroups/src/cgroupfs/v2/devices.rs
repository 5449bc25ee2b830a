//! v2's filter: an eBPF program that the kernel asks about each use of a device.

use crate::cgroup::Hierarchy;
use crate::devices::{Access, DEFAULTS, Devices, Kind, Rule};
use crate::error::{Error, Result};
use crate::file;
use std::os::fd::{AsFd, OwnedFd};
use sys::bpf::{self, Instruction};

#[cfg(any(test, fuzzing))]
pub(crate) mod interpreter;

/// Loads a filter of `configured` and the default rules and attaches it to the v2 cgroup `cgroup`, in
/// place of the filters that were there.
pub(crate) fn apply(cgroup: &Hierarchy, configured: &[Rule]) -> Result<()> {
    let rules: Vec<Rule> = configured.iter().chain(&DEFAULTS).copied().collect();
    let directory = cgroup.directory();
    let attach = || -> sys::Result<()> {
        let program = bpf::load_device_filter(&compile(&rules))?;
        let cgroup = file::try_open_directory(&directory)?;
        let mut old = bpf::attached_device_filters(&cgroup)?.into_iter();
        let replaced = old.next();
        bpf::attach_device_filter(&cgroup, &program, replaced.as_ref().map(OwnedFd::as_fd))?;
        // The kernel asks all filters, and one that says no is enough.
        old.try_for_each(|other| bpf::detach_device_filter(&cgroup, &other))
    };
    attach().map_err(|errno| {
        let step = format!("linux.resources.devices: attaching a device filter to {directory}");
        Error::call(step, errno)
    })
}

/// A program that allows a use of a device if, for each access of that use, the last rule about it
/// allows it.
///
/// The program goes through the rules from the last. A rule that allows takes its accesses off those
/// that still have to be allowed, until none is left; a rule that denies any of these ends the program.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
        load(KIND, 0),
        Instruction { code: COPY, registers: WANTED | KIND << 4, offset: 0, immediate: 0 },
        constant(AND, KIND, 0xffff),
        constant(SHIFT_RIGHT, WANTED, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
        constant(MOVE, RESULT, 0),
    ];
    for rule in rules.iter().rev() {
        let verdict = verdict(rule);
        let checks = checks(&rule.devices);
        let unconditional = rule.is_for_all();
        // A check that fails jumps behind the verdict.
        let count = checks.len() + verdict.len();
        program.extend(checks.into_iter().enumerate().map(|(index, (register, number))| {
            let offset = i16::try_from(count - index - 1).unwrap_or(i16::MAX);
            Instruction { offset, ..constant(JUMP_UNEQUAL, register, number) }
        }));
        program.extend(verdict);
        if unconditional {
            // The kernel refuses a program with instructions that are never reached.
            return program;
        }
    }
    program.push(EXIT);
    program
}

/// The registers to compare, and the numbers that a device among `devices` has there.
fn checks(devices: &Devices) -> Vec<(u8, u32)> {
    let kind = devices.kind.map(|kind| match kind {
        Kind::Block => 1,
        Kind::Character => 2,
    });
    let all = [(KIND, kind), (MAJOR, devices.major), (MINOR, devices.minor)];
    all.into_iter().filter_map(|(register, number)| Some((register, number?))).collect()
}

/// The instructions by which a rule decides about a use of its devices.
fn verdict(rule: &Rule) -> Vec<Instruction> {
    let access = u32::from(rule.access.bits());
    let skip = |code, offset, value| Instruction { offset, ..constant(code, WANTED, value) };
    match (rule.allow, rule.access == Access::all()) {
        (true, true) => vec![constant(MOVE, RESULT, 1), EXIT],
        (true, false) => vec![
            constant(AND, WANTED, !access),
            skip(JUMP_UNEQUAL, 2, 0),
            constant(MOVE, RESULT, 1),
            EXIT,
        ],
        (false, true) => vec![EXIT],
        (false, false) => vec![
            skip(JUMP_IF_ANY, 1, access),
            Instruction { offset: 1, ..constant(JUMP, 0, 0) },
            EXIT,
        ],
    }
}

/// Registers: the result, the context, and the parts of the context.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_LDX | BPF_MEM | BPF_W`: a register from 4 bytes of memory.
const LOAD: u8 = 0x61;
/// `BPF_ALU64 | BPF_MOV | BPF_X`: a register from another.
const COPY: u8 = 0xbf;
/// `BPF_ALU | ... | BPF_K`: a register and a constant, in 32 bits.
const MOVE: u8 = 0xb4;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
/// `BPF_JMP32 | ... | BPF_K`: ahead if the register is not the constant, or has any bit of it.
const JUMP_UNEQUAL: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
/// `BPF_JMP | BPF_JA`.
const JUMP: u8 = 0x05;
/// `BPF_JMP | BPF_EXIT`: with the result.
const EXIT: Instruction = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD, registers: register | CONTEXT << 4, offset, immediate: 0 }
}

fn constant(code: u8, register: u8, value: u32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate: value.cast_signed() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::interpreter::{Use, allows, run};
    use super::*;
    use crate::devices::tests::configured;

    /// Every use of a few devices that could be told apart.
    fn uses() -> impl Iterator<Item = Use> {
        let numbers = [0, 1, 3, 5, 10, 136, 229, u32::MAX];
        let kinds = [Kind::Character, Kind::Block].into_iter();
        let majors = kinds.flat_map(move |kind| numbers.map(|major| (kind, major)));
        let minors =
            majors.flat_map(move |(kind, major)| numbers.map(|minor| (kind, major, minor)));
        minors.flat_map(|(kind, major, minor)| {
            (1..8).map(move |wanted| Use(kind, major, minor, wanted))
        })
    }

    /// A fixed sequence of numbers below `below`, without a pattern.
    fn random(state: &mut u64, below: u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from((*state >> 33) % below).unwrap()
    }

    fn random_rule(state: &mut u64) -> Rule {
        let numbers = [None, Some(1), Some(10), Some(229), Some(u32::MAX)];
        let devices = Devices {
            kind: [None, Some(Kind::Character), Some(Kind::Block)][random(state, 3)],
            major: numbers[random(state, 5)],
            minor: numbers[random(state, 5)],
        };
        let access = Access::from_bits(u8::try_from(1 + random(state, 7)).unwrap()).unwrap();
        Rule { allow: random(state, 2) == 0, devices, access }
    }

    #[test]
    fn programs_mean_what_the_rules_mean() {
        let mut state = 1;
        for round in 0..400 {
            let rules: Vec<_> = (0..round % 9).map(|_| random_rule(&mut state)).collect();
            let program = compile(&rules);
            for asked in uses() {
                let [expected, found] = [allows(&rules, asked), run(&program, asked)];
                assert_eq!(expected, found, "{asked:?} of {rules:?} by {program:?}");
            }
        }
    }

    #[test]
    fn nothing_is_behind_a_rule_for_everything() {
        let deny = configured(r#"[{ "allow": true, "type": "c" }, { "allow": false }]"#);
        assert_eq!(compile(&deny).len(), 7 + 1);
        let allow = configured(r#"[{ "allow": false }, { "allow": true }]"#);
        assert_eq!(compile(&allow).len(), 7 + 2);
    }

    #[test]
    fn every_container_has_the_default_devices() {
        let rules: Vec<_> =
            configured(r#"[{ "allow": false }]"#).into_iter().chain(DEFAULTS).collect();
        let program = compile(&rules);
        for (kind, major, minor, wanted, expected) in [
            (Kind::Character, 1, 3, 6, true),
            (Kind::Character, 136, 77, 6, true),
            (Kind::Character, 10, 229, 1, true),
            (Kind::Character, 10, 229, 2, false),
            (Kind::Block, 8, 0, 1, true),
            (Kind::Block, 8, 0, 4, false),
            (Kind::Block, 1, 3, 2, false),
        ] {
            assert_eq!(run(&program, Use(kind, major, minor, wanted)), expected);
        }
    }
}
