//! A profile, `linux.seccomp`, as one classic BPF program that the kernel runs before each call.
//!
//! The program finds the ABI by the architecture that the kernel tells, then searches the number of
//! the call in a binary tree over intervals of numbers with the same outcome, and looks at arguments
//! where a rule does. Names have their numbers from tables made at build time; a name that is in none
//! is skipped, since profiles are written for all kernels and machines. The crate must never allow a
//! call that the profile denies, whatever else it gets wrong.
//!
//! The spec leaves much open. This crate decides as runc and libseccomp do:
//!
//! * **Architectures.** The machine's own is always among them. A call of any other kills its thread;
//!   so does an x32 call where only `SCMP_ARCH_X86_64` is listed, but for number -1, with which a
//!   tracer skips a call. Of 32-bit ABIs, x32 and n32 among them, comparisons see the low halves of
//!   argument and value.
//! * **Rules.** A rule matches if all its comparisons hold. One that compares an argument more than
//!   once stands for as many rules with one comparison each. A rule with the default action changes
//!   nothing. Of a call's rules with comparisons the first that matches decides; if none does, the
//!   first rule without comparisons; if there is none, the default action. (libseccomp lets a rule
//!   without comparisons hide those with some, and has no order among the latter.)
//! * **`socketcall` and `ipc`.** A rule for a call that also comes through one of these holds there
//!   too. A comparison of argument 0 gives way to that of the sub-call; comparisons of others see the
//!   arguments of `socketcall` or `ipc`, as what the sub-call is given can't be looked at.
//! * **New calls.** A profile can't have meant to deny what was not there when it was written, and
//!   programs fall back to older calls only if they hear `ENOSYS`. So where the default action
//!   denies, a call with a greater number than any that the profile names for the ABI is answered
//!   with that. (Those of 32-bit ARM that are private to it do not count as such.) On s390, this is
//!   also the answer to call 0, which stands for every call that the kernel does not know.
//! * **Flags.** Without `flags`, it is `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.

mod abi;
mod arguments;
mod code;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod profile;
#[cfg(any(test, fuzzing))]
mod reference;
mod run;
mod syscalls;
#[cfg(test)]
mod tests;
mod tree;

use crate::abi::{Abi, X32_BIT};
use crate::code::{ARCHITECTURE, Code, EQUAL, Label, NUMBER, RETURN};
use crate::profile::Profile;
pub use crate::profile::check_known;
use crate::tree::{Intervals, Outcome, Pieces, put_calls};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompFilterFlag as Flag, LinuxSyscall,
};
use std::fmt;
use std::path::PathBuf;
use sys::seccomp::{self as kernel, Instruction};

/// A compiled filter.
#[derive(Debug)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: u64,
    listener: Option<Listener>,
    needed: bool,
    only_refuses: bool,
}

/// Who gets the descriptor by which the kernel notifies of calls with `SCMP_ACT_NOTIFY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `listenerPath`, a Unix socket.
    pub path: PathBuf,
    /// `listenerMetadata`, which goes with the descriptor.
    pub metadata: String,
}

impl Filter {
    /// Compiles a profile; adds to `warnings` what it leaves out and somebody might miss.
    pub fn compile(config: &LinuxSeccomp, warnings: &mut Vec<String>) -> Result<Self, Error> {
        let profile = Profile::read(config)?;
        let listener = listener(config)?;
        let program = program(&profile, &architectures(config)?)?;
        let notifies = program.iter().copied().any(is_notification);
        let flags = flags(config, notifies, warnings);
        let needed = !profile.allows_everything();
        let only_refuses = profile.only_refuses();
        let listener = listener.filter(|_| notifies);
        Ok(Self { program, flags, listener, needed, only_refuses })
    }

    /// Whether a call that the profile doesn't allow gets an error, and ends or stops nobody.
    #[must_use]
    pub fn only_refuses(&self) -> bool {
        self.only_refuses
    }

    /// Whether there is a call that the profile does not simply allow.
    ///
    /// If not, the filter would only keep other architectures out, which such a profile does not mean,
    /// and would cost time at each call.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.needed
    }

    /// Whether the filter simply allows a call of this machine's own ABI, by libc's number `SYS_*`.
    #[must_use]
    pub fn allows(&self, number: sys::nix::libc::c_long, arguments: [u64; 6]) -> bool {
        u32::try_from(number).is_ok_and(|number| run::allows(&self.program, number, arguments))
    }

    /// The program, for the kernel.
    #[must_use]
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }

    /// The `SECCOMP_FILTER_FLAG_*` to install it with.
    ///
    /// Among them is `NEW_LISTENER` if there is a [`listener`](Self::listener).
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.flags
    }

    /// Who gets the listener, if the program notifies of any call.
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }
}

/// The actions that profiles can have.
pub const ACTIONS: &[&str] = &[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

/// How profiles can compare arguments.
pub const OPERATORS: &[&str] = &[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// The architectures whose calls this crate knows.
pub const ARCHITECTURES: &[&str] = &abi::ARCHITECTURES;

/// The flags that this crate knows, whether or not the kernel has them.
pub const KNOWN_FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The flags that have an effect.
pub const SUPPORTED_FLAGS: &[&str] = KNOWN_FLAGS;

pub use sys::Error;

/// A profile is refused for `property`, which is below `linux.seccomp`.
fn invalid(property: impl fmt::Display, reason: impl fmt::Display) -> Error {
    let error = Error::new(reason.to_string()).about(format!("linux.seccomp.{property}"));
    error.with_kind(sys::error::Kind::InvalidConfig)
}

/// The ABIs to decide for. The machine's own comes first, as most calls are of it.
fn architectures(config: &LinuxSeccomp) -> Result<Vec<&'static Abi>, Error> {
    let mut abis: Vec<&Abi> = Vec::new();
    let listed = config.architectures().iter().flatten().copied();
    for (place, arch) in std::iter::once(Arch::ScmpArchNative).chain(listed).enumerate() {
        let abi = abi::find(arch).ok_or_else(|| {
            let reason = format_args!("{arch} is not supported: its calls are not known");
            invalid(format_args!("architectures[{}]", place.saturating_sub(1)), reason)
        })?;
        if !abis.iter().any(|known| known.arch == abi.arch) {
            abis.push(abi);
        }
    }
    Ok(abis)
}

/// The answer to calls of architectures that the profile does not list: libseccomp's default.
const OTHER_ARCHITECTURE: u32 = kernel::SECCOMP_RET_KILL_THREAD;
/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

fn program(profile: &Profile, abis: &[&Abi]) -> Result<Vec<Instruction>, Error> {
    let mut code = Code::default();
    let mut pieces = Pieces::default();
    let mut searches: Vec<(u32, Label)> = Vec::new();
    for abi in abis {
        if searches.iter().any(|(audit, _)| *audit == abi.audit) {
            continue;
        }
        let search =
            intervals(abi.audit, abis, profile, &mut pieces)?.write(&mut code, &mut pieces);
        searches.push((abi.audit, code.load(NUMBER, search)));
    }
    let mut first = code.give(OTHER_ARCHITECTURE);
    for &(audit, search) in searches.iter().rev() {
        first = code.branch(EQUAL, audit, search, first);
    }
    code.load(ARCHITECTURE, first);

    let program = code.finish();
    if program.len() > MAX_INSTRUCTIONS {
        let size = program.len();
        let reason = format_args!(
            "are too many: they make a filter of {size} instructions, and the kernel takes \
             {MAX_INSTRUCTIONS}"
        );
        return Err(invalid("syscalls", reason));
    }
    let native = |one: seccompiler::sock_filter| Instruction {
        code: one.code,
        jt: one.jt,
        jf: one.jf,
        k: one.k,
    };
    Ok(program.map(native).collect())
}

/// The outcome of each number under one of the kernel's architectures, which ABIs may share.
fn intervals(
    audit: u32,
    abis: &[&Abi],
    profile: &Profile,
    pieces: &mut Pieces,
) -> Result<Intervals, Error> {
    let other = Outcome::Return(OTHER_ARCHITECTURE);
    let default = Outcome::Return(profile.default);
    let listed = |arch| abis.iter().find(|abi| abi.audit == audit && abi.arch == arch);
    let mut put = |intervals: &mut Intervals, abi| {
        put_calls(intervals, abi, profile, pieces).map_err(|error| invalid("syscalls", error))
    };
    let x86_64 = listed(Arch::ScmpArchX86_64);
    let x32 = listed(Arch::ScmpArchX32);
    if x86_64.is_none() && x32.is_none() {
        let mut intervals = Intervals::new(default);
        for abi in abis.iter().filter(|abi| abi.audit == audit) {
            put(&mut intervals, abi)?;
        }
        return Ok(intervals);
    }
    let mut intervals = Intervals::new(other);
    if let Some(abi) = x86_64 {
        put(&mut intervals, abi)?;
    }
    if let Some(abi) = x32 {
        put(&mut intervals, abi)?;
    } else {
        intervals.put(X32_BIT, other);
        intervals.put(u32::MAX, default);
    }
    Ok(intervals)
}

fn is_notification(instruction: Instruction) -> bool {
    (instruction.code, instruction.k) == (RETURN, kernel::SECCOMP_RET_USER_NOTIF)
}

fn listener(config: &LinuxSeccomp) -> Result<Option<Listener>, Error> {
    let path = config.listener_path().clone().filter(|path| !path.as_os_str().is_empty());
    let metadata = config.listener_metadata().clone().unwrap_or_default();
    let notifies = |rule: &LinuxSyscall| rule.action() == Action::ScmpActNotify;
    if let Some(path) = path {
        return Ok(Some(Listener { path, metadata }));
    }
    if !metadata.is_empty() {
        return Err(invalid("listenerMetadata", "must not be set without listenerPath"));
    }
    match config.syscalls().iter().flatten().position(notifies) {
        Some(index) => {
            let property = format_args!("syscalls[{index}].action");
            Err(invalid(property, "SCMP_ACT_NOTIFY needs a listener: set listenerPath"))
        }
        None => Ok(None),
    }
}

fn flags(config: &LinuxSeccomp, notifies: bool, warnings: &mut Vec<String>) -> u64 {
    const WAIT_KILLABLE: u64 = kernel::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let bit = |flag: &Flag| match flag {
        Flag::SeccompFilterFlagTsync => kernel::SECCOMP_FILTER_FLAG_TSYNC,
        Flag::SeccompFilterFlagLog => kernel::SECCOMP_FILTER_FLAG_LOG,
        Flag::SeccompFilterFlagSpecAllow => kernel::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        Flag::SeccompFilterFlagWaitKillableRecv => WAIT_KILLABLE,
    };
    let mut flags = match config.flags() {
        Some(flags) => flags.iter().map(bit).fold(0, |all, flag| all | flag),
        None => kernel::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    };
    if notifies {
        flags |= kernel::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if flags & kernel::SECCOMP_FILTER_FLAG_TSYNC != 0 {
            // The call returns the listener, so it can't also return a thread that is in the way.
            flags |= kernel::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
        }
    }
    if flags & WAIT_KILLABLE != 0 && !(notifies && kernel::knows_flags(flags)) {
        flags &= !WAIT_KILLABLE;
        let reason = if notifies { "the kernel does not know it" } else { "no rule notifies" };
        warnings.push(format!(
            "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is left out: {reason}"
        ));
    }
    flags
}
