//! Writing a classic BPF program back to front, so that the distance of every jump is known.
//!
//! Such a program only jumps forward, and a conditional jump skips at most 255 instructions. So this
//! writes the target of a jump first. If the target is too far away when the jump is written, a return
//! is repeated nearby, and anything else is reached by an unconditional jump, whose distance has 32
//! bits. Nothing here may decide what a filter answers.

use seccompiler::sock_filter as Instruction;

/// Loads a word of `struct seccomp_data` (`BPF_LD | BPF_W | BPF_ABS`).
pub(crate) const LOAD: u16 = 0x20;
/// `BPF_RET | BPF_K`.
pub(crate) const RETURN: u16 = 0x06;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;
/// If the accumulator is equal to a constant (`BPF_JMP | BPF_JEQ | BPF_K`).
pub(crate) const EQUAL: u16 = 0x15;
/// If the accumulator is at least a constant (`BPF_JMP | BPF_JGE | BPF_K`).
pub(crate) const AT_LEAST: u16 = 0x35;

/// The offset of the number of the call in `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
/// The offset of the architecture.
pub(crate) const ARCHITECTURE: u32 = 4;

/// The longest conditional jump that we write: one less than the kernel takes, as the other branch may
/// need a helper.
const REACH: usize = 254;

/// The end of a program, as far as it is written; the last instruction comes first.
#[derive(Debug, Default)]
pub(crate) struct Code {
    reversed: Vec<Instruction>,
    /// For each returned value, where its return was written last.
    returns: Vec<(u32, Label)>,
}

/// The target of a jump: the count of instructions after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

impl Code {
    /// Loads a field of `struct seccomp_data`, then goes on with `next`.
    pub(crate) fn load(&mut self, field: u32, next: Label) -> Label {
        if self.distance(next) > 0 {
            self.repeat(next);
        }
        self.write(Instruction { code: LOAD, jt: 0, jf: 0, k: field })
    }

    /// Goes on with `yes` if the accumulator compares so with `constant`, and else with `no`.
    pub(crate) fn branch(&mut self, compare: u16, constant: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let skip = |label| {
            let distance = self.distance(label);
            debug_assert!(distance <= REACH + 1);
            u8::try_from(distance).unwrap_or(u8::MAX)
        };
        let (jt, jf) = (skip(yes), skip(no));
        self.write(Instruction { code: compare, jt, jf, k: constant })
    }

    /// Returns `value` to the kernel.
    pub(crate) fn give(&mut self, value: u32) -> Label {
        match self.returns.iter().find(|(known, _)| *known == value) {
            Some(&(_, label)) if self.distance(label) <= REACH => label,
            _ => self.give_here(value),
        }
    }

    /// Adds a piece that only jumps within itself.
    pub(crate) fn piece(&mut self, piece: &[Instruction]) -> Label {
        self.reversed.extend(piece.iter().rev().cloned());
        Label(self.reversed.len())
    }

    /// The program, from front to back.
    pub(crate) fn finish(self) -> impl ExactSizeIterator<Item = Instruction> {
        self.reversed.into_iter().rev()
    }

    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) <= REACH { label } else { self.repeat(label) }
    }

    /// What `label` is, here and now.
    fn repeat(&mut self, label: Label) -> Label {
        if let Instruction { code: RETURN, k, .. } = self.reversed[label.0 - 1] {
            return self.give_here(k);
        }
        let distance = u32::try_from(self.distance(label)).unwrap_or(u32::MAX);
        self.write(Instruction { code: JUMP, jt: 0, jf: 0, k: distance })
    }

    fn give_here(&mut self, value: u32) -> Label {
        let label = self.write(give(value));
        match self.returns.iter_mut().find(|(known, _)| *known == value) {
            Some((_, last)) => *last = label,
            None => self.returns.push((value, label)),
        }
        label
    }

    fn write(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len())
    }

    /// How many instructions a jump that is written next has to skip.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0
    }
}

/// The instruction that returns `value` to the kernel.
pub(crate) fn give(value: u32) -> Instruction {
    Instruction { code: RETURN, jt: 0, jf: 0, k: value }
}
