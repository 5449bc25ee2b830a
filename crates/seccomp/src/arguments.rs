//! Comparisons of arguments as BPF. seccompiler writes them; this adds what it lacks, as it knows only
//! little-endian machines, and only one action for all rules of a filter.

use crate::abi::Abi;
use crate::code::{LOAD, give};
use crate::profile::{Condition, Rule};
use oci_spec::runtime::LinuxSeccompOperator as Operator;
use seccompiler::{
    BackendError, BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule,
};

/// The first field of `struct seccomp_data` that is an argument.
const ARGUMENTS: u32 = 16;
/// The distance from one half of an argument to the other.
const OTHER_HALF: u32 = 4;
/// seccompiler begins each rule with two jumps: one into it, one around it that nothing leads to.
const PROLOGUE: usize = 2;

/// A program that returns the action of the first rule that matches, or else `otherwise`.
pub(crate) fn compile(
    abi: &Abi,
    rules: &[Rule],
    otherwise: u32,
) -> Result<BpfProgram, BackendError> {
    let mut program = BpfProgram::new();
    for rule in rules {
        let conditions = rule.conditions.iter().map(|condition| translate(abi, condition));
        let matching = SeccompRule::new(conditions.collect::<Result<_, _>>()?)?;
        // If a condition fails, the rule's jumps skip one more instruction: the action.
        program.extend(BpfProgram::from(matching).into_iter().skip(PROLOGUE));
        program.push(give(rule.action));
    }
    program.push(give(otherwise));
    if abi.big_endian {
        for load in program.iter_mut().filter(|one| one.code == LOAD && one.k >= ARGUMENTS) {
            load.k ^= OTHER_HALF;
        }
    }
    Ok(program)
}

fn translate(abi: &Abi, condition: &Condition) -> Result<SeccompCondition, BackendError> {
    let operator = match condition.operator {
        Operator::ScmpCmpNe => SeccompCmpOp::Ne,
        Operator::ScmpCmpLt => SeccompCmpOp::Lt,
        Operator::ScmpCmpLe => SeccompCmpOp::Le,
        Operator::ScmpCmpEq => SeccompCmpOp::Eq,
        Operator::ScmpCmpGe => SeccompCmpOp::Ge,
        Operator::ScmpCmpGt => SeccompCmpOp::Gt,
        Operator::ScmpCmpMaskedEq => SeccompCmpOp::MaskedEq(condition.value),
    };
    let masked = condition.operator == Operator::ScmpCmpMaskedEq;
    let value = if masked { condition.masked } else { condition.value };
    // A half that the mask clears needs no comparison.
    let low = condition.low || !abi.wide || (masked && u32::try_from(condition.value).is_ok());
    let length = if low { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    SeccompCondition::new(condition.argument, length, operator, value)
}
