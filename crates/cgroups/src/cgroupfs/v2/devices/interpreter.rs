//! A plain reading of device rules, and an interpreter for the program that they become. Each is held
//! against the other.

// The program is the crate's own: what it may not have ends in a panic.
#![allow(clippy::unwrap_used)]

use super::{AND, COPY, JUMP, JUMP_IF_ANY, JUMP_UNEQUAL, LOAD, MOVE, SHIFT_RIGHT, compile};
use crate::devices::{Access, Devices, Kind, Rule};
use sys::bpf::Instruction;

/// A use of a device: the kernel asks about opening (r, w, or both) and making (m).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use(pub Kind, pub u32, pub u32, pub u8);

/// What rules mean, access by access.
pub(crate) fn allows(rules: &[Rule], asked: Use) -> bool {
    let Use(kind, major, minor, wanted) = asked;
    let device = Devices { kind: Some(kind), major: Some(major), minor: Some(minor) };
    Access::LETTERS.iter().filter(|(one, _)| wanted & one.bits() != 0).all(|(one, _)| {
        let mut last = rules.iter().rev();
        let last = last.find(|rule| rule.devices.cover(&device) && rule.access.intersects(*one));
        last.is_some_and(|rule| rule.allow)
    })
}

/// What the program answers: an interpreter of as much of eBPF as it uses.
pub(crate) fn run(program: &[Instruction], asked: Use) -> bool {
    let Use(kind, major, minor, wanted) = asked;
    let kind = if kind == Kind::Block { 1 } else { 2 };
    let context = [u32::from(wanted) << 16 | kind, major, minor];
    let mut registers = [0_u64; 11];
    let mut at = 0;
    for _ in 0..=program.len() {
        let Instruction { code, registers: named, offset, immediate } = program[at];
        let (to, from) = (usize::from(named & 15), usize::from(named >> 4));
        let value = immediate.cast_unsigned();
        let here = u32::try_from(registers[to] & 0xffff_ffff).unwrap();
        let jump = match code {
            JUMP_UNEQUAL => here != value,
            JUMP_IF_ANY => here & value != 0,
            JUMP => true,
            _ => false,
        };
        match code {
            LOAD => registers[to] = context[usize::try_from(offset).unwrap() / 4].into(),
            COPY => registers[to] = registers[from],
            MOVE => registers[to] = value.into(),
            AND => registers[to] = (here & value).into(),
            SHIFT_RIGHT => registers[to] = (here >> value).into(),
            JUMP_UNEQUAL | JUMP_IF_ANY | JUMP => {}
            0x95 => return registers[0] == 1,
            other => panic!("instruction {other:#x}"),
        }
        at += 1 + if jump { usize::try_from(offset).unwrap() } else { 0 };
    }
    panic!("{program:?} doesn't end");
}

/// What the program for `rules` answers.
pub(crate) fn decide(rules: &[Rule], asked: Use) -> bool {
    run(&compile(rules), asked)
}
