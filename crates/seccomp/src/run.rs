//! Runs a program as the kernel would, to know its answer to a call before it is installed. A program
//! that this does not understand must never count as one that allows.

use crate::abi::{Abi, NATIVE, find};
use crate::code::{AT_LEAST, EQUAL, LOAD, RETURN};
use sys::seccomp::{Instruction, SECCOMP_RET_ALLOW};

/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;
/// If the accumulator is greater than a constant (`BPF_JMP | BPF_JGT | BPF_K`).
const GREATER: u16 = 0x25;

/// Whether `program` simply allows a call of the machine's own ABI.
pub(crate) fn allows(program: &[Instruction], number: u32, arguments: [u64; 6]) -> bool {
    let told = find(NATIVE).and_then(|abi| run(program, abi, number, arguments));
    told == Some(SECCOMP_RET_ALLOW)
}

/// The answer to the kernel for a call; `None` if this meets an instruction that the crate never writes.
pub(crate) fn run(
    program: &[Instruction],
    abi: &Abi,
    number: u32,
    arguments: [u64; 6],
) -> Option<u32> {
    let word = |field: u32| match field / 4 {
        0 => Some(number),
        1 => Some(abi.audit),
        // The address of the call, which no profile asks for.
        2 | 3 => Some(0),
        index => {
            let index = usize::try_from(index).ok()?.checked_sub(4)?;
            let argument = arguments.get(index / 2)?;
            let is_high = (index % 2 == 1) != abi.big_endian;
            u32::try_from(if is_high { argument >> 32 } else { argument & 0xffff_ffff }).ok()
        }
    };
    let (mut at, mut accumulator) = (0_usize, 0);
    loop {
        let &Instruction { code, jt, jf, k } = program.get(at)?;
        at += 1;
        let holds = match code {
            RETURN => return Some(k),
            LOAD => {
                accumulator = word(k)?;
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JUMP => {
                at = at.checked_add(usize::try_from(k).ok()?)?;
                continue;
            }
            EQUAL => accumulator == k,
            GREATER => accumulator > k,
            AT_LEAST => accumulator >= k,
            _ => return None,
        };
        at += usize::from(if holds { jt } else { jf });
    }
}
