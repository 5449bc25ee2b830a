//! The limits that are in force, as the kernel's files have them: whoever has set them, and in the kernel's
//! own words.

use crate::cgroup::Cgroup;
use crate::file;

/// The files of limits on v2; those below a controller that isn't enabled are absent.
const V2: [&str; 13] = [
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.swap.max",
    "pids.max",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "io.max",
    "cgroup.freeze",
];

/// The files of limits on v1, with the controller of each.
const V1: [(&str, &str); 12] = [
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.memsw.limit_in_bytes"),
    ("memory", "memory.soft_limit_in_bytes"),
    ("pids", "pids.max"),
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_period_us"),
    ("cpu", "cpu.shares"),
    ("cpuset", "cpuset.cpus"),
    ("cpuset", "cpuset.mems"),
    ("blkio", "blkio.throttle.read_bps_device"),
    ("blkio", "blkio.throttle.write_bps_device"),
    ("freezer", "freezer.state"),
];

impl Cgroup {
    /// The name and the content of each file that has a limit, of those that are there.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        let mut add = |name, path: String| {
            if let Ok(value) = file::try_read_value(&path) {
                let value = value.trim();
                all.extend((!value.is_empty()).then(|| (name, value.to_owned())));
            }
        };
        for one in self.joined() {
            if one.is_unified() {
                for name in V2 {
                    add(name, one.file(name));
                }
            } else {
                for (_, name) in V1.iter().filter(|(controller, _)| one.has(controller)) {
                    add(name, one.file(name));
                }
            }
        }
        all
    }
}
