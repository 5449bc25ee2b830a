//! Limits of which an update gives only one half: v2 has a quota and its period in one file, and counts
//! swap apart from memory, so that rind takes the other half from what is in force.

use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Result, of_limit};
use crate::file;
use crate::limits::{Limit, check_swap};

/// Gives `limits` their other halves. `swap` is what memory and swap together were last limited to, in
/// bytes, by the config or an update.
pub(crate) fn complete(cgroup: &Cgroup, limits: &mut [Limit], swap: Option<i64>) -> Result<()> {
    for one in limits {
        let home = cgroup.joined_controlling(one.controller());
        let Some(home) = home.filter(|home| home.is_unified()) else { continue };
        match one {
            Limit::CpuBandwidth { quota, period } => complete_bandwidth(home, quota, period)?,
            Limit::Memory { limit, swap: asked, .. } => {
                complete_memory(home, limit, asked, swap.filter(|&swap| swap != 0))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn complete_bandwidth(
    cgroup: &Hierarchy,
    quota: &mut Option<i64>,
    period: &mut Option<u64>,
) -> Result<()> {
    if quota.is_some() && period.is_some() {
        return Ok(());
    }
    let text = file::find_value(&cgroup.file("cpu.max"))?.unwrap_or_default();
    let Some((has_quota, has_period)) = text.trim_end().split_once(' ') else { return Ok(()) };
    if quota.is_some() {
        *period = has_period.parse().ok();
    } else {
        *quota = Some(has_quota.parse().unwrap_or(-1));
    }
    Ok(())
}

fn complete_memory(
    cgroup: &Hierarchy,
    limit: &mut Option<i64>,
    swap: &mut Option<i64>,
    last: Option<i64>,
) -> Result<()> {
    match (*limit, *swap, last) {
        (None, Some(1..), _) => {
            let text = file::find_value(&cgroup.file("memory.max"))?;
            *limit = text.and_then(|text| text.trim_end().parse().ok()).filter(|&limit| limit != 0);
            check_swap(*limit, *swap)
        }
        (Some(limit @ 1..), None, Some(both @ 1..)) if limit > both => Err(of_limit(
            "memory.limit",
            format!("memory and swap together are limited to {both}; set memory.swap as well"),
        )),
        (Some(1..), None, Some(both @ 1..)) => {
            *swap = Some(both);
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::cgroupfs::limits::tests::Folder;
    use crate::limits;

    const FILES: [(&str, &str); 2] = [("cpu.max", "20000 50000\n"), ("memory.max", "67108864\n")];

    /// What becomes of an update of v2 cgroups with [`FILES`].
    fn completed(asked: &str, swap: Option<i64>) -> Result<Limit> {
        let folder = Folder::new(&FILES);
        let mut limits = limits::of(&serde_json::from_str(asked).unwrap()).unwrap();
        complete(&folder.cgroup(), &mut limits, swap).map(|()| limits.pop().unwrap())
    }

    #[test]
    fn the_other_half_is_what_is_in_force() {
        let cpu = |quota, period| Limit::CpuBandwidth { quota: Some(quota), period: Some(period) };
        let memory = |limit, swap| Limit::Memory { limit: Some(limit), swap, check: false };
        let table = [
            (r#"{"cpu":{"quota":5000}}"#, None, cpu(5000, 50000)),
            (r#"{"cpu":{"period":9000}}"#, None, cpu(20000, 9000)),
            (r#"{"cpu":{"quota":-1,"period":9}}"#, None, cpu(-1, 9)),
            (r#"{"cpu":{"shares":9}}"#, None, Limit::CpuShares(9)),
            (r#"{"memory":{"swap":99999999}}"#, None, memory(67_108_864, Some(99_999_999))),
            (r#"{"memory":{"limit":4096}}"#, None, memory(4096, None)),
            (r#"{"memory":{"limit":4096}}"#, Some(-1), memory(4096, None)),
            (r#"{"memory":{"limit":4096,"swap":0}}"#, Some(8192), memory(4096, Some(8192))),
            (r#"{"memory":{"limit":-1}}"#, Some(8192), memory(-1, Some(-1))),
        ];
        for (asked, swap, expected) in table {
            assert_eq!(completed(asked, swap).unwrap(), expected, "{asked}");
        }
        let refused = completed(r#"{"memory":{"limit":9000}}"#, Some(8192)).unwrap_err();
        let expected = "linux.resources.memory.limit: memory and swap together are limited to 8192";
        assert!(refused.to_string().starts_with(expected), "{refused}");
        let refused = completed(r#"{"memory":{"swap":4096}}"#, None).unwrap_err().to_string();
        assert!(refused.starts_with("linux.resources.memory.swap: 4096 is for "), "{refused}");
    }
}
