//! Where the kernel starts the program: before libc, as long as there is nothing to be set up for.
//!
//! A command that makes processes in containers executes the program again from a sealed copy
//! (`process::seal`). What runs before that runs twice, and libc's start is the largest piece of a
//! short command: it asks the processor some eighty questions by `CPUID`, each of which a virtual
//! machine traps. So the copy is made here, by system calls alone, and libc starts once.
//!
//! Nothing here decides about security. Whatever fails, or isn't known here, is left to
//! `process::seal`, which looks at what was executed and does the whole itself where that is not
//! sealed.
//!
//! Neither thread-local storage nor libc's memory functions work yet, so this uses neither: strings
//! are read by volatile reads, which the compiler makes no call of.

#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Set while executing again, so that a kernel that shows no seal can't make that endless.
pub const MARK: &str = "_RIND_SEALED";

/// Commands that execute the program again, as C strings. An argument of another command that only
/// happens to read so costs a moment.
pub const SEALING: [&[u8]; 4] = [b"run\0", b"create\0", b"exec\0", b"mounts\0"];
