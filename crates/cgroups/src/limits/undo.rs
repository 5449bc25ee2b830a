//! Taking writes back: what to write so that a file says again what it said before.

use super::controller_of;
use crate::error::Error;
use crate::file::{self, value_of};

/// What files held before they were written to.
#[derive(Debug, Default)]
pub(super) struct Undo(Vec<(String, String)>);

impl Undo {
    /// Keeps what takes a write to the file at `path` back.
    pub fn keep(&mut self, path: &str, value: String) {
        self.0.push((path.to_owned(), value));
    }

    /// Takes all back, the last first, so that limits that bound each other do so at each step.
    /// What can't be taken back is added to `error`.
    pub fn take_back(self, error: Error) -> Error {
        let mut left = Vec::new();
        for (path, value) in self.0.into_iter().rev() {
            if let Err(errno) = file::write(&path, &value) {
                let reason = errno.desc().to_lowercase();
                left.push(format!("{path} is not set back to {}: {reason}", value.trim_end()));
            }
        }
        if left.is_empty() { error } else { error.with_remedy(Some(left.join("; "))) }
    }
}

/// What takes back that `value` is to be written to `file`, at `path`. A file that can't be read is an
/// order to the kernel, which nothing takes back.
pub(super) fn before(path: &str, file: &str, value: &str) -> Option<String> {
    restoring(file, value, &file::try_read_value(path).ok()?)
}

/// What to write to `file`, which held `before`, to take back that `written` was written to it.
fn restoring(file: &str, written: &str, before: &str) -> Option<String> {
    let keyed =
        matches!(controller_of(file), "io" | "blkio" | "rdma" | "misc" | "dmem" | "net_prio");
    if let (true, Some((key, _))) = (keyed, written.split_once(' ')) {
        let line = before.lines().find(|line| line.split(' ').next() == Some(key));
        return line.map(str::to_owned).or_else(|| unset(file, key));
    }
    if file == "memory.oom_control" {
        return value_of(before, "oom_kill_disable").map(|value| value.to_string());
    }
    // Beside the cgroup's own weight the file has those for devices.
    let own = before.lines().find(|line| line.starts_with("default "));
    // With the line's end, as nothing at all would be no write.
    Some(own.unwrap_or(before).to_owned())
}

/// What takes the limit of a device away, in a file that has one a device.
fn unset(file: &str, device: &str) -> Option<String> {
    match file {
        "io.max" => Some(format!("{device} rbps=max wbps=max riops=max wiops=max")),
        file if file.starts_with("blkio.throttle.") => Some(format!("{device} 0")),
        file if file.contains("weight") => Some(format!("{device} default")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn each_file_has_its_own_way_back() {
        let table = [
            ("memory.max", "5", "4096\n", Some("4096\n")),
            ("cpu.max", "5000 100000", "max 100000\n", Some("max 100000\n")),
            ("cpuset.cpus", "0", "\n", Some("\n")),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", Some("0")),
            ("io.weight", "500", "default 100\n8:0 50\n", Some("default 100")),
            ("io.weight", "8:0 500", "default 100\n8:0 50\n", Some("8:0 50")),
            ("io.weight", "8:0 500", "default 100\n", Some("8:0 default")),
            ("blkio.bfq.weight", "500", "100\n", Some("100\n")),
            (
                "io.max",
                "8:0 rbps=1",
                "8:0 rbps=7 wbps=max riops=max wiops=max\n",
                Some("8:0 rbps=7 wbps=max riops=max wiops=max"),
            ),
            (
                "io.max",
                "8:0 rbps=1",
                "8:16 rbps=7 wbps=max riops=max wiops=max\n",
                Some("8:0 rbps=max wbps=max riops=max wiops=max"),
            ),
            ("blkio.throttle.read_bps_device", "8:0 1", "8:16 7\n", Some("8:0 0")),
            ("blkio.throttle.read_bps_device", "8:0 1", "8:0 7\n", Some("8:0 7")),
            ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 3\n", Some("eth0 3")),
            ("rdma.max", "x hca_handle=1", "x hca_handle=max\n", Some("x hca_handle=max")),
            ("io.latency", "8:0 target=1", "", None),
        ];
        for (file, written, before, expected) in table {
            assert_eq!(restoring(file, written, before).as_deref(), expected, "{file} {written}");
        }
    }
}
