//! Checks `linux.seccomp`, and turns its rules with names into names with rules.

use crate::Error;
use crate::invalid;
use crate::syscalls::NAMES;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg as Comparison,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use std::mem;
use sys::seccomp as kernel;

/// What the profile says of each call.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The answer to the kernel if no rule matches: `SECCOMP_RET_*`, with its data.
    pub(crate) default: u32,
    /// By the indexes of [`NAMES`].
    pub(crate) calls: Vec<Call>,
    pub(crate) rules: Vec<Rule>,
}

/// What the profile says of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// Whether a rule names it, even one that changes nothing.
    pub(crate) named: bool,
    /// Indexes of the rules with comparisons, in their order.
    pub(crate) rules: Vec<usize>,
    /// The action of the first rule without comparisons.
    pub(crate) always: Option<u32>,
}

/// An action for calls whose arguments pass all comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) action: u32,
    pub(crate) conditions: Vec<Condition>,
}

/// One comparison of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) argument: u8,
    pub(crate) operator: Operator,
    /// The value to compare with; of `MASKED_EQ`, the mask.
    pub(crate) value: u64,
    /// Of `MASKED_EQ`, the value to compare with.
    pub(crate) masked: u64,
    /// Whether only the low half is looked at, whatever the ABI.
    pub(crate) low: bool,
}

impl Profile {
    /// Whether every call is allowed.
    pub(crate) fn allows_everything(&self) -> bool {
        let changed = |call: &Call| call.always.is_some() || !call.rules.is_empty();
        self.default == kernel::SECCOMP_RET_ALLOW && !self.calls.iter().any(changed)
    }

    /// Whether a call that it doesn't allow gets an error, and ends or stops nobody.
    pub(crate) fn only_refuses(&self) -> bool {
        let refuses = |action: u32| {
            let action = action & kernel::SECCOMP_RET_ACTION_FULL;
            [kernel::SECCOMP_RET_ALLOW, kernel::SECCOMP_RET_ERRNO, kernel::SECCOMP_RET_LOG]
                .contains(&action)
        };
        refuses(self.default)
            && self.calls.iter().filter_map(|call| call.always).all(refuses)
            && self.rules.iter().all(|rule| refuses(rule.action))
    }

    /// Checks everything but architectures, flags and listener.
    pub(crate) fn read(config: &LinuxSeccomp) -> Result<Self, Error> {
        if config.default_action() == Action::ScmpActNotify {
            let reason = "SCMP_ACT_NOTIFY cannot be used as the default action";
            return Err(invalid("defaultAction", reason));
        }
        let default = returned(config.default_action(), config.default_errno_ret())
            .map_err(|reason| invalid("defaultErrnoRet", reason))?;
        let calls = vec![Call::default(); NAMES.len()];
        let mut profile = Self { default, calls, rules: Vec::new() };
        for (index, rule) in config.syscalls().iter().flatten().enumerate() {
            profile.add(index, rule)?;
        }
        Ok(profile)
    }

    fn add(&mut self, index: usize, rule: &LinuxSyscall) -> Result<(), Error> {
        if rule.names().is_empty() {
            return Err(invalid(format_args!("syscalls[{index}].names"), "is empty"));
        }
        let action = returned(rule.action(), rule.errno_ret())
            .map_err(|reason| invalid(format_args!("syscalls[{index}].errnoRet"), reason))?;
        let first = self.rules.len();
        let comparisons = rule.args().as_deref().unwrap_or_default();
        self.rules.extend(alternatives(action, &conditions(index, comparisons)?));
        let mut last = 0;
        for (place, name) in rule.names().iter().enumerate() {
            check_name(name, rule.action()).map_err(|reason| {
                invalid(format_args!("syscalls[{index}].names[{place}]"), reason)
            })?;
            // A profile is for all kernels and machines: another one has the call of an unknown name.
            let Some(known) = find(name, last) else { continue };
            last = known;
            let call = &mut self.calls[known];
            call.named = true;
            if action == self.default {
                continue;
            }
            if comparisons.is_empty() {
                call.always.get_or_insert(action);
            } else if call.rules.last().is_none_or(|last| *last < first) {
                // A rule may name a call twice.
                call.rules.extend(first..self.rules.len());
            }
        }
        Ok(())
    }
}

/// Refuses a profile with a name that is in no table: it may be written for newer kernels.
pub fn check_known(config: &LinuxSeccomp) -> Result<(), Error> {
    for (index, rule) in config.syscalls().iter().flatten().enumerate() {
        if let Some(place) = rule.names().iter().position(|name| find(name, 0).is_none()) {
            let property = format_args!("syscalls[{index}].names[{place}]");
            let reason = format_args!("{} is no known system call", rule.names()[place]);
            return Err(invalid(property, reason));
        }
    }
    Ok(())
}

/// The index of a name, which is likely to be at or soon after `near`: many profiles are sorted.
fn find(name: &str, near: usize) -> Option<usize> {
    let soon = NAMES[near..].iter().take(8).position(|one| *one == name);
    soon.map(|distance| near + distance).or_else(|| NAMES.binary_search(&name).ok())
}

fn check_name(name: &str, action: Action) -> Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        // The process that should answer might never get the notification.
        "write" if action == Action::ScmpActNotify => {
            Err("SCMP_ACT_NOTIFY cannot be used for the write syscall")
        }
        _ => Ok(()),
    }
}

/// What a filter returns for `action`.
fn returned(action: Action, errno: Option<u32>) -> Result<u32, String> {
    /// The data is the tracer's to read, in 16 bits.
    const MAX_DATA: u32 = u16::MAX as u32;
    const MAX_ERRNO: u32 = 4095;
    const EPERM: u32 = 1;
    let (base, max) = match action {
        Action::ScmpActErrno => (kernel::SECCOMP_RET_ERRNO, MAX_ERRNO),
        Action::ScmpActTrace => (kernel::SECCOMP_RET_TRACE, MAX_DATA),
        _ if errno.is_some() => return Err(format!("{action} takes no errno")),
        Action::ScmpActKill | Action::ScmpActKillThread => {
            return Ok(kernel::SECCOMP_RET_KILL_THREAD);
        }
        Action::ScmpActKillProcess => return Ok(kernel::SECCOMP_RET_KILL_PROCESS),
        Action::ScmpActTrap => return Ok(kernel::SECCOMP_RET_TRAP),
        Action::ScmpActNotify => return Ok(kernel::SECCOMP_RET_USER_NOTIF),
        Action::ScmpActLog => return Ok(kernel::SECCOMP_RET_LOG),
        Action::ScmpActAllow => return Ok(kernel::SECCOMP_RET_ALLOW),
    };
    match errno.unwrap_or(EPERM) {
        errno if errno <= max => Ok(base | errno),
        errno => Err(format!("{errno} is more than the {max} that {action} can give")),
    }
}

fn conditions(index: usize, comparisons: &[Comparison]) -> Result<Vec<Condition>, Error> {
    let condition = |(place, comparison): (usize, &Comparison)| {
        let argument = u8::try_from(comparison.index()).ok().filter(|argument| *argument < 6);
        let argument = argument.ok_or_else(|| {
            let reason = format!("{} is no argument of a system call (0 to 5)", comparison.index());
            invalid(format_args!("syscalls[{index}].args[{place}].index"), reason)
        })?;
        Ok(Condition {
            argument,
            operator: comparison.op(),
            value: comparison.value(),
            masked: comparison.value_two().unwrap_or_default(),
            low: false,
        })
    };
    comparisons.iter().enumerate().map(condition).collect()
}

/// One rule, or one for each condition where an argument is in more than one of them.
fn alternatives(action: u32, conditions: &[Condition]) -> Vec<Rule> {
    let mut seen = [false; 6];
    let again =
        |condition: &Condition| mem::replace(&mut seen[usize::from(condition.argument)], true);
    let rule = |conditions: &[Condition]| Rule { action, conditions: conditions.to_vec() };
    if conditions.iter().any(again) {
        conditions.chunks(1).map(rule).collect()
    } else if conditions.is_empty() {
        Vec::new()
    } else {
        vec![rule(conditions)]
    }
}
