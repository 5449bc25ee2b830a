//! The processes of a cgroup and all below it: listing and signalling them.

use super::tree;
use crate::error::{Error, Result};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::process::{pidfd_open, pidfd_send_signal};

/// How many processes rind holds by descriptor at a time. A process may have 1024 descriptors.
const HELD: usize = 256;

/// The pids of the cgroup at `directory` and all below it; none where there is no such cgroup.
pub(crate) fn list(directory: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    let mut is_top = true;
    let listed = tree::visit(directory, |cgroup| {
        let is_top = std::mem::take(&mut is_top);
        let file = tree::open_in(cgroup, c"cgroup.procs", OFlag::O_RDONLY);
        match file.and_then(sys::fs::read_to_end) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                let pids = text.lines().filter_map(|line| line.parse().ok());
                // 0 stands for a process of another pid namespace.
                found.extend(pids.filter(|&pid: &i32| pid > 0));
                Ok(())
            }
            // A cgroup that vanished.
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            // A threaded cgroup: a cgroup further up lists its processes.
            Err(Errno::EOPNOTSUPP) if !is_top => Ok(()),
            Err(errno) => Err(errno),
        }
    });
    match listed {
        Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => Ok(found),
        Err(errno) => {
            let remedy = "it is a threaded cgroup, and a container's must be of the type domain";
            let error = Error::call(format!("listing the processes of {directory}"), errno);
            Err(error.with_hint((errno == Errno::EOPNOTSUPP).then_some(remedy)))
        }
    }
}

/// Signals each process of the cgroup at `directory` and all below it. Returns some of them, if there
/// were any, to wait for. `check` fails if they may not be meant any more, before any of them gets the
/// signal.
pub(super) fn signal_in(
    directory: &str,
    signal: i32,
    check: impl Fn() -> Result<()>,
) -> Result<Vec<OwnedFd>> {
    let mut last = Vec::new();
    for some in list(directory)?.chunks(HELD) {
        last.clear();
        let mut held = Vec::with_capacity(some.len());
        for &pid in some {
            match pidfd_open(pid) {
                Ok(process) => held.push((pid, process)),
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::call(format!("opening process {pid}"), errno)),
            }
        }
        // A pid may have been given to another process before rind opened its descriptor. A process
        // that is still listed afterwards was in the cgroup when rind opened it.
        let still = list(directory)?;
        check()?;
        for (pid, process) in held.into_iter().filter(|(pid, _)| still.contains(pid)) {
            match pidfd_send_signal(&process, signal) {
                Ok(()) => last.push(process),
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::call(format!("signalling {pid}"), errno)),
            }
        }
    }
    Ok(last)
}
