//! v1's device lists: a default, and exceptions to it (admin-guide/cgroup-v1/devices.rst).

use crate::cgroup::Hierarchy;
use crate::devices::Rule;
use crate::devices::list::{List, exception};
use crate::error::{Error, Result};
use crate::file;
use std::collections::BTreeMap;
use sys::nix::fcntl::OFlag;

/// Sets the lists of the v1 cgroup `cgroup`.
pub(crate) fn apply(cgroup: &Hierarchy, configured: &[Rule]) -> Result<()> {
    let list = List::of(configured)?;
    let (default, exception) = if list.allow {
        ("devices.allow", "devices.deny")
    } else {
        ("devices.deny", "devices.allow")
    };
    // This removes whatever the cgroup inherited.
    write(&cgroup.file(default), ["a".to_owned()])?;
    let exceptions = list.exceptions.iter().map(|(devices, access)| format!("{devices} {access}"));
    if list.exceptions.is_empty() { Ok(()) } else { write(&cgroup.file(exception), exceptions) }
}

/// Sets the lists of a v1 cgroup that has processes: this writes only what is different, and sets it back
/// on an error. If all devices are allowed, before or after, the kernel doesn't list the exceptions, and
/// the lists are set anew.
pub(crate) fn replace(cgroup: &Hierarchy, configured: &[Rule]) -> Result<()> {
    let list = List::of(configured)?;
    let current = current(cgroup)?;
    if list.allow || current.allow {
        return apply(cgroup, configured);
    }
    change(cgroup, &current, &list).map_err(|error| match self::current(cgroup) {
        Ok(changed) if change(cgroup, &changed, &current).is_ok() => error,
        _ => error.with_hint(Some("and the rules before it are not set back")),
    })
}

/// Sets the list of a frozen container back to `before`, which was made of `rules`, after systemd has
/// changed it.
pub(crate) fn set_back(cgroup: &Hierarchy, before: &List, rules: &[Rule]) -> Result<()> {
    let now = current(cgroup)?;
    match (before.allow, now.allow) {
        (false, false) => change(cgroup, &now, before),
        // If all devices are allowed, the kernel doesn't list the exceptions.
        (true, _) => apply(cgroup, rules),
        (false, true) => {
            write(&cgroup.file("devices.deny"), ["a".to_owned()])?;
            change(cgroup, &List::default(), before)
        }
    }
}

/// Changes a list that denies all but its exceptions from those of `from` to those of `to`.
fn change(cgroup: &Hierarchy, from: &List, to: &List) -> Result<()> {
    let lines = |list: &List, other: &List| -> Vec<String> {
        let others: BTreeMap<_, _> = other.exceptions.iter().rev().copied().collect();
        let more = list.exceptions.iter().map(|(devices, access)| {
            (devices, others.get(devices).map_or(*access, |has| access.difference(*has)))
        });
        let more = more.filter(|(_, access)| !access.is_empty());
        more.map(|(devices, access)| format!("{devices} {access}")).collect()
    };
    write(&cgroup.file("devices.allow"), lines(to, from))?;
    write(&cgroup.file("devices.deny"), lines(from, to))
}

/// The list as it is now.
pub(crate) fn current(cgroup: &Hierarchy) -> Result<List> {
    let path = cgroup.file("devices.list");
    let text = file::read(&path)?;
    let exceptions = text.lines().filter(|line| !line.starts_with('a')).map(exception);
    let exceptions: Option<Vec<_>> = exceptions.collect();
    let unknown = || Error::new(format!("{path} is not as expected: {text:?}"));
    let exceptions = exceptions.ok_or_else(unknown)?;
    Ok(List { allow: text.starts_with('a'), exceptions })
}

/// Writes each of `lines` to the file `path`.
fn write(path: &str, lines: impl IntoIterator<Item = String>) -> Result<()> {
    let write_lines = || -> Result<()> {
        let file = file::open(path, OFlag::O_WRONLY)?;
        for line in lines {
            sys::fs::write_once(&file, line.as_bytes()).map_err(|errno| {
                let remedy = "the cgroup above doesn't have it";
                Error::call(format!("writing {line} to {path}"), errno).with_hint(Some(remedy))
            })?;
        }
        Ok(())
    };
    write_lines().map_err(|error| error.about("linux.resources.devices"))
}
