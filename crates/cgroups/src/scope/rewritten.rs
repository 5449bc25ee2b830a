//! What systemd writes over: told of one property, it writes all properties of its unit to the cgroup's
//! files, in its own units, and defaults for those that it doesn't know.

use super::properties::{V1, V2};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::cgroupfs::v1::devices as device_list;
use crate::devices::Rule;
use crate::error::{Error, Result};
use crate::file;
use crate::limits::controller_of;
use sys::Errno;

/// Calls `change`, which has systemd write the files of the container's cgroups and its v1 list of
/// devices, and then sets these back to what they say now.
///
/// `rules` are the device rules in force, for v1, where the kernel doesn't list them all.
pub(super) fn keep(
    cgroup: &Cgroup,
    rules: &[Rule],
    change: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let files: Vec<(String, String)> = cgroup.joined().flat_map(read).collect();
    let devices = cgroup.joined_controlling("devices").filter(|one| !one.is_unified());
    let list = devices.map(|one| Ok((one, device_list::current(one)?))).transpose()?;
    // systemd denies all devices and then allows them one by one: no process must see that.
    let stopped = list.is_some() && !cgroup.is_frozen()?;
    if stopped {
        cgroup.freeze(None)?;
    }
    // A change that fails may have come as far as that too, and the devices don't wait for the limits.
    let changed = change();
    let devices_back = list.map_or(Ok(()), |(one, list)| device_list::set_back(one, &list, rules));
    let files_back = files.iter().try_for_each(|(path, value)| set_back(path, value));
    let thawed = if stopped { cgroup.thaw() } else { Ok(()) };
    changed.and(devices_back).and(files_back).and(thawed)
}

/// The files that systemd may write and that exist, and what they say.
fn read(cgroup: &Hierarchy) -> Vec<(String, String)> {
    let known: Vec<&str> = if cgroup.is_unified() {
        V2.iter().map(|(file, _)| *file).collect()
    } else {
        V1.into_iter().filter(|file| cgroup.has(controller_of(file))).collect()
    };
    let value = |name: &&str| {
        let path = cgroup.file(name);
        file::try_read_value(&path).ok().map(|value| (path, value))
    };
    known.iter().filter_map(value).collect()
}

/// Writes those lines of `before` that the file doesn't have any more.
fn set_back(path: &str, before: &str) -> Result<()> {
    let failed = |errno| Error::call(format!("setting {path} back after systemd"), errno);
    let now = file::try_read_value(path).map_err(failed)?;
    if now == before {
        return Ok(());
    }
    let lost = before.lines().filter(|line| !now.lines().any(|other| other == *line));
    // With the line's end, as an empty value, such as a cpuset's, would be no write.
    let mut lost: Vec<String> = lost.map(|line| format!("{line}\n")).collect();
    if before.trim().is_empty() {
        lost.push("\n".to_owned());
    }
    for line in lost {
        match file::write(path, &line) {
            // An idle cgroup has no weight, and its file says 0, which nobody can write.
            Err(Errno::ERANGE) if path.ends_with("/cpu.weight") => {}
            written => written.map_err(failed)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_is_lost_is_written_again() {
        let path = std::env::temp_dir().join(format!("rind-kept-{}", std::process::id()));
        let name = path.to_str().unwrap();
        let table = [
            ("5\n", "5\n", "5\n"),
            ("max\n", "5\n", "5\n"),
            ("8:0 rbps=1 wbps=max\n", "8:0 rbps=2 wbps=max\n8:16 rbps=1\n", "8:16 rbps=1\n"),
            ("default 100\n", "default 100\n8:0 300\n", "8:0 300\n"),
        ];
        for (now, before, written) in table {
            fs::write(&path, now).unwrap();
            set_back(name, before).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(written), "{now:?} {before:?}: {text:?}");
        }
        fs::remove_file(path).unwrap();
    }
}
