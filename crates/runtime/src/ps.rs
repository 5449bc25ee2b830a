//! `ps`: the processes of a container, by number or as ps(1) shows them.

use crate::container::{Container, Status, find};
use crate::{Error, Result, Runtime};
use std::process::{Command, Stdio};

/// `ps --format json ID`: the numbers of all processes in the container's cgroup and below it, as the
/// caller's pid namespace has them.
pub fn ps_json(runtime: &Runtime, id: &str) -> Result<String> {
    let pids = processes(&find(runtime, id)?)?;
    serde_json::to_string(&pids).map_err(|error| Error::new(format!("printing pids: {error}")))
}

/// `ps ID [OPTION...]`: what ps(1) prints with these options (`-ef` without any), as far as it is
/// about the container's processes.
pub fn ps_table(runtime: &Runtime, id: &str, options: &[String]) -> Result<String> {
    let container = find(runtime, id)?;
    let mut pids = processes(&container)?;
    let table = run_ps(runtime, options)?;
    // A number may have come to mean another process before ps looked.
    let still = processes(&container)?;
    pids.retain(|pid| still.binary_search(pid).is_ok());
    filter(&table, &pids)
}

/// The container's processes, sorted.
fn processes(container: &Container) -> Result<Vec<i32>> {
    let cgroup = &container.record.cgroup;
    let listed = cgroups::processes(cgroup);
    // It may have been deleted meanwhile, and its cgroups first.
    container.check_exists()?;
    let mut pids = listed?;
    if cgroup.hierarchies().next().is_none() && container.status() != Status::Stopped {
        return Err(Error::new(
            "the container has no cgroup, and only that would tell which processes are its own",
        ));
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn run_ps(runtime: &Runtime, options: &[String]) -> Result<String> {
    let mut ps = Command::new("ps");
    let ran = if options.is_empty() { ps.arg("-ef") } else { ps.args(options) };
    let output = ran.stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| Error::new(format!("running ps: {}", sys::answer(&error))))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim();
    if !output.status.success() {
        return Err(Error::new(format!("ps failed: {}: {words}", output.status)));
    }
    if !words.is_empty() {
        (runtime.warn)(&format!("ps: {words}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The heading of a table of ps, and the lines that are about one of `pids`.
fn filter(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let mut kept = format!("{heading}\n");
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let word = line.split_whitespace().nth(column).unwrap_or_default();
        let pid: i32 = word.parse().map_err(|_| {
            Error::new(format!("unable to parse pid {word:?} in ps output: {line}"))
        })?;
        if pids.contains(&pid) {
            kept += line;
            kept.push('\n');
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_kept_by_their_pid() {
        let table = "UID   PID  PPID CMD\nroot    1     0 init\nroot   11     1 sh 1\n\n";
        assert_eq!(filter(table, &[11]).unwrap(), "UID   PID  PPID CMD\nroot   11     1 sh 1\n");
        assert_eq!(filter(table, &[]).unwrap(), "UID   PID  PPID CMD\n");
        for (table, text) in [
            ("", "couldn't find PID field"),
            ("USER CMD\nroot sh\n", "couldn't find PID field"),
            ("CMD PID\nmy sh 7\n", "unable to parse pid \"sh\""),
        ] {
            let error = filter(table, &[7]).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
