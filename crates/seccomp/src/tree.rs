//! Decides by the number of a call: a binary search in intervals of numbers with the same outcome.

use crate::abi::{ARM_PRIVATE, Abi};
use crate::arguments;
use crate::code::{AT_LEAST, Code, EQUAL, Label};
use crate::profile::{Condition, Profile, Rule};
use crate::syscalls::{IPC, IPC_PARTS, SOCKETCALL, SOCKETCALL_PARTS};
use oci_spec::runtime::{Arch, LinuxSeccompOperator as Operator};
use seccompiler::{BackendError, BpfProgram};
use sys::Errno;
use sys::seccomp::{
    SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_LOG,
    SECCOMP_RET_TRACE,
};

/// `SCMP_ACT_ERRNO` with `ENOSYS`: what a kernel without the call answers.
const NO_SUCH_CALL: u32 = SECCOMP_RET_ERRNO | Errno::ENOSYS as u32;

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program returns this to the kernel.
    Return(u32),
    /// The piece of this index decides by the arguments.
    Arguments(usize),
}

/// The programs that look at arguments, each one once; and where it was written, when it was.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Vec<(BpfProgram, Option<Label>)>);

/// All numbers, in ascending intervals: the first of each, and its outcome.
#[derive(Debug)]
pub(crate) struct Intervals(Vec<(u32, Outcome)>);

impl Intervals {
    /// Starts with this outcome for all numbers.
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self(vec![(0, outcome)])
    }

    /// Sets this outcome for all numbers from `first` on, which is no less than at the call before.
    pub(crate) fn put(&mut self, first: u32, outcome: Outcome) {
        if self.0.last().is_some_and(|last| last.0 == first) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|last| last.1 != outcome) {
            self.0.push((first, outcome));
        }
    }

    /// Writes the search for the number in the accumulator.
    pub(crate) fn write(&self, code: &mut Code, pieces: &mut Pieces) -> Label {
        let mut segments = Vec::new();
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            let (segment, others) = rest.split_at(segment(rest));
            segments.push(segment);
            rest = others;
        }
        search(&segments, code, pieces)
    }
}

/// How many intervals make a segment, from the first on: one outcome, and single numbers for which
/// there is another.
///
/// To compare with a single number takes one instruction, to search for its two ends takes two.
/// But comparisons come one after the other, so that there should not be many.
fn segment(intervals: &[(u32, Outcome)]) -> usize {
    const MAX: usize = 1 + 2 * 3;
    let mut length = 1;
    while length < MAX
        && let [(_, outcome), (single, _), (next, same), ..] = intervals[length - 1..]
        && (same, next) == (outcome, single + 1)
    {
        length += 2;
    }
    length
}

fn search(segments: &[&[(u32, Outcome)]], code: &mut Code, pieces: &mut Pieces) -> Label {
    if let [segment] = segments {
        let outcome = pieces.write(segment[0].1, code);
        let singles = segment.iter().skip(1).step_by(2).rev();
        return singles.fold(outcome, |others, &(number, outcome)| {
            let this = pieces.write(outcome, code);
            code.branch(EQUAL, number, this, others)
        });
    }
    let (below, above) = segments.split_at(segments.len() / 2);
    let first = above[0][0].0;
    let above = search(above, code, pieces);
    let below = search(below, code, pieces);
    code.branch(AT_LEAST, first, above, below)
}

impl Pieces {
    fn write(&mut self, outcome: Outcome, code: &mut Code) -> Label {
        match outcome {
            Outcome::Return(value) => code.give(value),
            Outcome::Arguments(index) => {
                let (piece, label) = &mut self.0[index];
                *label.get_or_insert_with(|| code.piece(piece))
            }
        }
    }

    fn add(&mut self, piece: BpfProgram) -> Outcome {
        let known = self.0.iter().position(|(one, _)| *one == piece);
        let index = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push((piece, None));
        }
        Outcome::Arguments(index)
    }
}

/// Adds what the profile says of an ABI's calls, from its first number on.
pub(crate) fn put_calls(
    intervals: &mut Intervals,
    abi: &Abi,
    profile: &Profile,
    pieces: &mut Pieces,
) -> Result<(), BackendError> {
    let default = Outcome::Return(profile.default);
    let newest = newest(abi, profile).unwrap_or(u32::MAX);
    let unheard = Outcome::Return(NO_SUCH_CALL);
    let unnamed = |number| if number > newest { unheard } else { default };

    let mut next = 0;
    intervals.put(abi.first, default);
    if newest < u32::MAX && matches!(abi.arch, Arch::ScmpArchS390 | Arch::ScmpArchS390x) {
        // Numbers that don't fit into the instruction come through call 0, and as 0 where the
        // kernel does not know them.
        intervals.put(abi.first, unheard);
        next = 1;
    }
    for &(number, name) in abi.calls {
        if number > next {
            intervals.put(abi.first + next, unnamed(next));
        }
        let outcome = if is_named(profile, name) {
            decide(abi, name, profile, pieces)?
        } else {
            unnamed(number)
        };
        intervals.put(abi.first + number, outcome);
        next = number + 1;
    }
    intervals.put(abi.first + next, unnamed(next));
    Ok(())
}

/// The newest call of the ABI that the profile names, if what is newer is to seem not to be there.
fn newest(abi: &Abi, profile: &Profile) -> Option<u32> {
    if is_permissive(profile.default) {
        return None;
    }
    let named = |&&(number, name): &&(u32, u16)| number < ARM_PRIVATE && is_named(profile, name);
    abi.calls.iter().rev().find(named).map(|&(number, _)| number)
}

/// Whether calls that nobody thought of get through, or to a tracer, which can think for itself.
fn is_permissive(action: u32) -> bool {
    matches!(
        action & SECCOMP_RET_ACTION_FULL,
        SECCOMP_RET_ALLOW | SECCOMP_RET_LOG | SECCOMP_RET_TRACE
    )
}

fn is_named(profile: &Profile, name: u16) -> bool {
    let named = |name: u16| profile.calls[usize::from(name)].named;
    named(name) || parts(name).iter().any(|&(part, _)| named(part))
}

/// The calls that come through this one, each with what its first argument then is.
fn parts(name: u16) -> &'static [(u16, u32)] {
    match name {
        IPC => &IPC_PARTS,
        SOCKETCALL => &SOCKETCALL_PARTS,
        _ => &[],
    }
}

fn decide(
    abi: &Abi,
    name: u16,
    profile: &Profile,
    pieces: &mut Pieces,
) -> Result<Outcome, BackendError> {
    let call = &profile.calls[usize::from(name)];
    let otherwise = call.always.unwrap_or(profile.default);
    let mut rules: Vec<Rule> = call.rules.iter().map(|&rule| profile.rules[rule].clone()).collect();
    for &(part, number) in parts(name) {
        put_part(&mut rules, profile, part, number);
    }
    while rules.last().is_some_and(|rule| rule.action == otherwise) {
        rules.pop();
    }
    if rules.is_empty() {
        return Ok(Outcome::Return(otherwise));
    }
    Ok(pieces.add(arguments::compile(abi, &rules, otherwise)?))
}

/// Adds the rules for a call that comes through another, whose first argument then is `number`.
///
/// A comparison of the first argument gives way to that; the others compare what they find.
fn put_part(rules: &mut Vec<Rule>, profile: &Profile, part: u16, number: u32) {
    let this = Condition {
        argument: 0,
        operator: Operator::ScmpCmpEq,
        value: number.into(),
        masked: 0,
        // It is an int, of which the kernel sees the low half.
        low: true,
    };
    let call = &profile.calls[usize::from(part)];
    for &index in &call.rules {
        let Rule { action, conditions } = &profile.rules[index];
        let others = conditions.iter().filter(|condition| condition.argument != 0).copied();
        rules
            .push(Rule { action: *action, conditions: [this].into_iter().chain(others).collect() });
    }
    rules.extend(call.always.map(|action| Rule { action, conditions: vec![this] }));
}
