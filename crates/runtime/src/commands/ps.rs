//! `ps`: the processes of a container, by number or as ps(1) shows them.

use crate::container::Container;
use crate::container::find::find;
use crate::container::status::Status;
use crate::{Error, Explain, Result, Runtime};
use std::process::{Command, ExitStatus, Stdio};

/// `ps --format json ID`: the pids of all processes in the container's cgroup and below it, as in
/// the caller's pid namespace, as a JSON array.
pub fn ps_json(runtime: &Runtime, id: &str) -> Result<String> {
    let pids = processes(&find(runtime, id)?)?;
    serde_json::to_string(&pids).within("printing pids")
}

/// `ps ID [OPTION...]`: the lines of ps(1) with these options (`-ef` without any) that are about the
/// container's processes.
pub fn ps_table(runtime: &Runtime, id: &str, options: &[String]) -> Result<String> {
    let container = find(runtime, id)?;
    let mut pids = processes(&container)?;
    let table = run_ps(runtime, options)?;
    // A pid may have been reused before ps ran.
    let still = processes(&container)?;
    pids.retain(|pid| still.binary_search(pid).is_ok());
    filter(&table, &pids)
}

/// The container's processes, sorted.
fn processes(container: &Container) -> Result<Vec<i32>> {
    let cgroup = &container.record.cgroup;
    let listed = cgroup.processes();
    // If the container was deleted meanwhile, that is the error: its cgroups are removed first.
    container.check_exists()?;
    let mut pids = listed?;
    if cgroup.joined().next().is_none() && container.status()? != Status::Stopped {
        return Err(Error::new(
            "the container has no cgroup, and only that would tell which processes are its own",
        ));
    }
    if pids.is_empty()
        && let Some(error) = container.missing_cgroup()
        && container.status()?.has_processes()
    {
        return Err(error);
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn run_ps(runtime: &Runtime, options: &[String]) -> Result<String> {
    let mut ps = Command::new("ps");
    let ps = if options.is_empty() { ps.arg("-ef") } else { ps.args(options) };
    let (status, table, stderr) = output(ps).on("running", "ps")?;
    if !status.success() {
        return Err(Error::new(format!("ps failed: {status}: {stderr}")).with_object("ps"));
    }
    if !stderr.is_empty() {
        (runtime.warn)(&format!("ps: {stderr}"));
    }
    Ok(table)
}

/// Runs `command`. Returns its exit status, stdout and stderr. Both are bounded, as processes choose
/// their names and command lines themselves.
fn output(command: &mut Command) -> std::io::Result<(ExitStatus, String, String)> {
    /// More than the table of a full machine.
    const LONGEST_TABLE: usize = 64 << 20;
    const KEPT_ERRORS: u32 = 4096;
    let stderr = sys::fs::bounded_file(c"ps-stderr", KEPT_ERRORS)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
    let mut child = sys::exec::spawn(command)?;
    let stdout = child.stdout.take();
    let read = stdout.map_or(Ok(Vec::new()), |stdout| spec::read_within(stdout, 0, LONGEST_TABLE));
    // The pipe is closed by now, so that ps can't block in a write.
    let status = child.wait()?;
    let table = String::from_utf8_lossy(&read?).into_owned();
    Ok((status, table, sys::fs::bounded_text(&stderr)))
}

/// The heading of a table of ps, and the lines that are about one of `pids`.
fn filter(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let mut kept = format!("{heading}\n");
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let field = line.split_whitespace().nth(column).unwrap_or_default();
        let pid: i32 = field.parse().map_err(|_| {
            Error::new(format!("unable to parse pid {field:?} in ps output: {line}"))
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
    fn a_table_without_end_is_an_error() {
        let error = output(&mut Command::new("yes")).unwrap_err();
        assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
        let mut talking = Command::new("sh");
        talking.args(["-c", "echo table; echo words >&2; head -c 100000 /dev/zero >&2; exit 3"]);
        let (status, table, stderr) = output(&mut talking).unwrap();
        assert_eq!((status.code(), table.as_str()), (Some(3), "table\n"));
        // Debian 13's head has room for its complaint.
        assert!(stderr.starts_with("words"), "{stderr}");
    }

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
