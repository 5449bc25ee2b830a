//! Checks `process`, of a config.json or of a process.json that `exec` is given.

use super::{Check, Found, id};
use crate::path::at;
use oci_spec::runtime::{LinuxSchedulerPolicy, PosixRlimit, Process, Scheduler, User};

/// Checks a process; paths start at it.
pub(crate) fn check(found: &mut Found, process: &Process) -> Check {
    if !process.cwd().is_absolute() {
        let reason = match process.cwd().to_str() {
            Some("") => "is empty".to_owned(),
            _ => format!("{} is not an absolute path", process.cwd().display()),
        };
        found.refuse(at("cwd"), reason)?;
    }
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        found.refuse(at("args"), "must have at least one entry")?;
    }
    for (index, entry) in process.env().iter().flatten().enumerate() {
        if !entry.contains('=') {
            found.refuse(at("env").index(index), format!("{entry:?} has no `=`"))?;
        }
    }
    user(found, process.user())?;
    rlimits(found, process.rlimits().as_deref().unwrap_or_default())?;
    if let Some(adjustment) = process.oom_score_adj()
        && !(-1000..=1000).contains(&adjustment)
    {
        found.refuse(at("oomScoreAdj"), format!("{adjustment} is not between -1000 and 1000"))?;
    }
    if let Some(config) = process.io_priority()
        && !(0..=7).contains(&config.priority())
    {
        let reason = format!("{} is not between 0 and 7", config.priority());
        found.refuse(at("ioPriority.priority"), reason)?;
    }
    process.scheduler().as_ref().map_or(Ok(()), |config| scheduler(found, config))
}

fn user(found: &mut Found, user: &User) -> Check {
    id(found, user.uid(), "user", || at("user.uid"))?;
    id(found, user.gid(), "group", || at("user.gid"))?;
    for (index, gid) in user.additional_gids().iter().flatten().enumerate() {
        id(found, *gid, "group", || at("user.additionalGids").index(index))?;
    }
    Ok(())
}

fn rlimits(found: &mut Found, rlimits: &[PosixRlimit]) -> Check {
    let mut seen = 0_u32;
    for (index, rlimit) in rlimits.iter().enumerate() {
        let bit = 1 << rlimit.typ() as u32;
        if seen & bit != 0 {
            let reason = format!("{} appears twice", rlimit.typ());
            found.refuse(at("rlimits").index(index).key("type"), reason)?;
        }
        seen |= bit;
        if rlimit.soft() > rlimit.hard() {
            let (kind, soft, hard) = (rlimit.typ(), rlimit.soft(), rlimit.hard());
            let reason = format!("{kind}: {soft} is above the hard limit, {hard}");
            found.refuse(at("rlimits").index(index).key("soft"), reason)?;
        }
    }
    Ok(())
}

/// Checks a scheduler. The kernel would ignore what belongs to another policy, and change a nice
/// value that is out of range: sched(7).
fn scheduler(found: &mut Found, config: &Scheduler) -> Check {
    use LinuxSchedulerPolicy::{SchedBatch, SchedDeadline, SchedFifo, SchedOther, SchedRr};
    let policy = *config.policy();
    if let Some(nice) = config.nice()
        && matches!(policy, SchedOther | SchedBatch)
        && !(-20..=19).contains(nice)
    {
        found.refuse(at("scheduler.nice"), format!("{nice} is not between -20 and 19"))?;
    }
    let mut not_of_policy = |name: &str| {
        found.refuse(at("scheduler").key(name), format!("has no meaning for {policy}"))
    };
    if config.priority().unwrap_or(0) != 0 && !matches!(policy, SchedFifo | SchedRr) {
        not_of_policy("priority")?;
    }
    let of_deadline = [
        ("runtime", config.runtime()),
        ("deadline", config.deadline()),
        ("period", config.period()),
    ];
    for (name, value) in of_deadline {
        if value.unwrap_or(0) != 0 && policy != SchedDeadline {
            not_of_policy(name)?;
        }
    }
    if matches!(policy, SchedFifo | SchedRr) {
        let priority = config.priority().unwrap_or(0);
        if !(1..=99).contains(&priority) {
            let reason = format!("the priority of {policy} is 1 to 99, not {priority}");
            found.refuse(at("scheduler.priority"), reason)?;
        }
    }
    if policy == SchedDeadline { deadline(found, config) } else { Ok(()) }
}

/// The kernel's rules for `SCHED_DEADLINE`, in nanoseconds (sched(7)); a period of 0 is the deadline.
fn deadline(found: &mut Found, config: &Scheduler) -> Check {
    let value = |value: &Option<u64>| value.unwrap_or(0);
    let (runtime, deadline) = (value(config.runtime()), value(config.deadline()));
    let period = config.period().filter(|period| *period != 0).unwrap_or(deadline);
    if runtime < 1024 {
        let reason = format!("SCHED_DEADLINE needs 1024 ns at least, not {runtime}");
        found.refuse(at("scheduler.runtime"), reason)?;
    }
    if runtime > deadline {
        let reason =
            format!("SCHED_DEADLINE's runtime, {runtime}, is above its deadline, {deadline}");
        found.refuse(at("scheduler.runtime"), reason)?;
    }
    if deadline > period {
        let reason =
            format!("SCHED_DEADLINE's deadline, {deadline}, is above its period, {period}");
        found.refuse(at("scheduler.deadline"), reason)?;
    }
    Ok(())
}
