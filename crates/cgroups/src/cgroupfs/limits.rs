//! Setting limits: which hierarchy has each, and the writes in order.

use super::write::{Absent, Undo, Write, lose, write_all};
use super::{v1, v2};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Result, of_limit};
use crate::file;
use crate::host::is_v1;
use crate::limits::{Limit, controller_of};
use sys::Errno;
use sys::nix::fcntl::OFlag;

/// The limits of one controller.
struct Part<'a> {
    /// By its v1 name.
    controller: &'static str,
    /// The hierarchy that has it; it may not be joined.
    home: Option<&'a Hierarchy>,
    writes: Vec<Write>,
}

/// The v2 controllers that setting `limits` takes on this host.
pub(crate) fn needed(cgroup: &Cgroup, limits: &[Limit]) -> Result<Vec<String>> {
    let parts = plan(cgroup, limits)?;
    let unified = parts.iter().filter(|part| part.home.is_some_and(Hierarchy::is_unified));
    let mut needed: Vec<String> = Vec::new();
    for controller in unified.flat_map(|part| &part.writes).map(|one| controller_of(&one.file)) {
        if controller != "cgroup" && !needed.iter().any(|one| one == controller) {
            needed.push(controller.to_owned());
        }
    }
    Ok(needed)
}

/// Sets all limits. `undo`, if given, gets what takes each write back. `lost`, if given, gets a warning
/// for each limit that can't be set, which is then no error.
pub(crate) fn set(
    cgroup: &Cgroup,
    limits: &[Limit],
    mut undo: Option<&mut Undo>,
    mut lost: Option<&mut Vec<String>>,
) -> Result<()> {
    let parts = plan(cgroup, limits)?;
    if let Some(home) = cgroup.controlling("memory") {
        limits.iter().try_for_each(|limit| refuse_below_usage(home, limit))?;
    }
    for Part { controller, home, writes } in parts {
        if let Some(home) = home.filter(|home| home.joined) {
            write_all(home, writes, undo.as_deref_mut(), lost.as_deref_mut())?;
            continue;
        }
        let why = match home {
            None => no_controller(controller),
            Some(_) => {
                format!("cannot set {controller} limit: container could not join or create cgroup")
            }
        };
        for write in writes.iter().filter(|write| write.absent != Absent::Ignore) {
            lose(of_limit(&write.property, &why), lost.as_deref_mut())?;
        }
    }
    Ok(())
}

/// Refuses what [`set`] will, whatever the cgroup that is to be made allows: a limit whose controller this
/// host has not.
pub(crate) fn check(cgroup: &Cgroup, limits: &[Limit]) -> Result<()> {
    for Part { controller, home, writes } in plan(cgroup, limits)? {
        if let Some(write) = writes.iter().find(|write| write.absent != Absent::Ignore) {
            match home {
                None => return Err(of_limit(&write.property, no_controller(controller))),
                Some(home) if home.is_unified() => check_unified(home, write)?,
                Some(home) => check_v1_memory(home, write)?,
            }
        }
    }
    Ok(())
}

/// Refuses a limit of memory that this kernel doesn't count. The other controllers of v1 don't show in
/// the root which limits there are below.
fn check_v1_memory(home: &Hierarchy, write: &Write) -> Result<()> {
    let path = format!("{}/{}", home.mount, write.file);
    if !write.file.starts_with("memory.") || write.absent != Absent::Refuse {
        return Ok(());
    }
    match file::try_open(&path, OFlag::O_PATH) {
        Err(Errno::ENOENT) if is_v1(&home.mount) => {
            Err(of_limit(&write.property, format!("the kernel has no {}", write.file)))
        }
        _ => Ok(()),
    }
}

/// Refuses a file of v2 whose controller the whole hierarchy lacks.
fn check_unified(home: &Hierarchy, write: &Write) -> Result<()> {
    let controller = controller_of(&write.file);
    let path = format!("{}/cgroup.controllers", home.mount);
    let Some(has) = file::find_value(&path)? else { return Ok(()) };
    if controller == "cgroup" || has.split_whitespace().any(|one| one == controller) {
        return Ok(());
    }
    let why = format!("the cgroup v2 of this host has no controller {controller}");
    Err(of_limit(&write.property, why))
}

fn no_controller(name: &str) -> String {
    format!("no {name} cgroup on this host")
}

/// All writes, by controller, in the order to make them. This makes no system call.
fn plan<'a>(cgroup: &'a Cgroup, limits: &[Limit]) -> Result<Vec<Part<'a>>> {
    let mut parts: Vec<Part> = Vec::new();
    for limit in limits {
        let controller = limit.controller();
        let home = match limit {
            Limit::Unified { file, .. } => Some(home_of_file(cgroup, file)?),
            _ => cgroup.controlling(controller),
        };
        let writes = match home {
            Some(home) if !home.is_unified() => v1::limits::writes(limit)?,
            _ => v2::limits::writes(limit)?,
        };
        match parts.last_mut().filter(|last| last.controller == controller) {
            Some(last) => last.writes.extend(writes),
            None => parts.push(Part { controller, home, writes }),
        }
    }
    Ok(parts)
}

/// The v2 hierarchy, if it has `file`. A file whose controller is on v1 here is an error, whatever other
/// hosts have.
fn home_of_file<'a>(cgroup: &'a Cgroup, file: &str) -> Result<&'a Hierarchy> {
    let controller = controller_of(file);
    let reason = match (cgroup.v1(controller), cgroup.unified()) {
        (None, Some(unified)) => return Ok(unified),
        (None, None) => "this host has no cgroup v2".to_owned(),
        (Some(_), _) => format!("this host has {controller} on cgroup v1, not v2"),
    };
    Err(of_limit(&format!("unified.{file}"), reason))
}

/// If `checkBeforeUpdate` asks for it, refuses a limit that is used up already: v2 would kill.
fn refuse_below_usage(memory: &Hierarchy, limit: &Limit) -> Result<()> {
    let Limit::Memory { limit, swap, check: true } = *limit else { return Ok(()) };
    let (usage, both) = if memory.is_unified() {
        ("memory.current", "memory.current")
    } else {
        ("memory.usage_in_bytes", "memory.memsw.usage_in_bytes")
    };
    let limits =
        [("memory+swap", "memory.swap", swap, both), ("memory", "memory.limit", limit, usage)];
    for (what, property, limit, file) in limits {
        let Some(limit) = limit.filter(|&limit| limit > 0) else { continue };
        // A kernel that doesn't count the usage has nothing to compare with.
        let used = file::try_read_value(&memory.file(file)).ok();
        let used = used.and_then(|text| text.trim_end().parse().ok());
        if let Some(used) = used.filter(|&used| limit <= used) {
            let reason = format!("rejecting {what} limit {limit} <= usage {used}");
            return Err(of_limit(property, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
