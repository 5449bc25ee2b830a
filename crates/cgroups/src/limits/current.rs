//! What an update says half of: v2 has a quota with its period in one file, and counts swap apart
//! from memory, so the other half is what is in force.

use super::refused;
use crate::error::{Error, Result};
use crate::file;
use crate::path::{CgroupPath, Hierarchy};
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use sys::Errno;

/// `asked` with its other halves. `swap` is what memory and swap together were last limited to, by
/// the configuration or an update.
pub(super) fn complete(
    place: &CgroupPath,
    asked: &LinuxResources,
    swap: Option<i64>,
) -> Result<LinuxResources> {
    let mut all = asked.clone();
    let v2 = |controller| {
        place.controlling(controller).filter(|found| found.joined && found.is_unified())
    };
    if let (Some(cpu), Some(cgroup)) = (all.cpu_mut(), v2("cpu")) {
        complete_cpu(cpu, cgroup)?;
    }
    if let (Some(memory), Some(cgroup)) = (all.memory_mut(), v2("memory")) {
        complete_memory(memory, cgroup, swap)?;
    }
    Ok(all)
}

fn complete_cpu(cpu: &mut LinuxCpu, cgroup: &Hierarchy) -> Result<()> {
    let has_quota = cpu.quota().is_some_and(|quota| quota != 0);
    let has_period = cpu.period().is_some_and(|period| period != 0);
    if has_quota == has_period {
        return Ok(());
    }
    let Some(text) = value(cgroup, "cpu.max")? else { return Ok(()) };
    let Some((quota, period)) = text.split_once(' ') else { return Ok(()) };
    if has_quota {
        cpu.set_period(period.parse().ok());
    } else {
        cpu.set_quota(Some(quota.parse().unwrap_or(-1)));
    }
    Ok(())
}

fn complete_memory(memory: &mut LinuxMemory, cgroup: &Hierarchy, swap: Option<i64>) -> Result<()> {
    let set = |value: Option<i64>| value.filter(|&value| value != 0);
    match (set(memory.limit()), set(memory.swap()), set(swap)) {
        (None, Some(1..), _) => {
            let limit = value(cgroup, "memory.max")?.and_then(|text| text.parse().ok());
            memory.set_limit(limit);
        }
        (Some(limit @ 1..), None, Some(both @ 1..)) if limit > both => {
            return Err(refused(
                "memory.limit",
                format!("memory and swap together are limited to {both}; set memory.swap as well"),
            ));
        }
        (Some(1..), None, Some(both @ 1..)) => {
            memory.set_swap(Some(both));
        }
        _ => {}
    }
    Ok(())
}

/// What a file says; `None` where there is none, as the controller is not there.
fn value(cgroup: &Hierarchy, name: &str) -> Result<Option<String>> {
    let path = cgroup.file(name);
    match file::try_read_value(&path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(Error::kernel(format!("reading {path}"), errno)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::tests::Folder;
    use super::*;

    const FILES: [(&str, &str); 2] = [("cpu.max", "20000 50000\n"), ("memory.max", "67108864\n")];

    /// What becomes of an update of v2 cgroups with [`FILES`], as JSON.
    fn completed(asked: &str, swap: Option<i64>) -> Result<serde_json::Value> {
        let folder = Folder::new(&FILES);
        let asked = serde_json::from_str(asked).unwrap();
        complete(&folder.place(), &asked, swap).map(|all| serde_json::to_value(all).unwrap())
    }

    #[test]
    fn the_other_half_is_what_is_in_force() {
        let table = [
            (r#"{"cpu":{"quota":5000}}"#, None, r#"{"cpu":{"quota":5000,"period":50000}}"#),
            (r#"{"cpu":{"period":9000}}"#, None, r#"{"cpu":{"quota":20000,"period":9000}}"#),
            (r#"{"cpu":{"quota":-1,"period":9}}"#, None, r#"{"cpu":{"quota":-1,"period":9}}"#),
            (r#"{"cpu":{"shares":9}}"#, None, r#"{"cpu":{"shares":9}}"#),
            (
                r#"{"memory":{"swap":99999999}}"#,
                None,
                r#"{"memory":{"limit":67108864,"swap":99999999}}"#,
            ),
            (r#"{"memory":{"limit":4096}}"#, None, r#"{"memory":{"limit":4096}}"#),
            (r#"{"memory":{"limit":4096}}"#, Some(-1), r#"{"memory":{"limit":4096}}"#),
            (
                r#"{"memory":{"limit":4096,"swap":0}}"#,
                Some(8192),
                r#"{"memory":{"limit":4096,"swap":8192}}"#,
            ),
            (r#"{"memory":{"limit":-1}}"#, Some(8192), r#"{"memory":{"limit":-1}}"#),
        ];
        for (asked, swap, expected) in table {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(completed(asked, swap).unwrap(), expected, "{asked}");
        }
        let refused = completed(r#"{"memory":{"limit":9000}}"#, Some(8192)).unwrap_err();
        let expected = "linux.resources.memory.limit: memory and swap together are limited to 8192";
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
}
