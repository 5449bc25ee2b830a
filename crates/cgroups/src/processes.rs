//! The processes of a container's cgroup: listing, signalling and killing them.

use crate::error::{Error, Result};
use crate::events::{self, PATIENCE};
use crate::file;
use crate::freezer;
use crate::path::{CgroupPath, Hierarchy};
use crate::tree;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use sys::Errno;
use sys::nix::fcntl::{OFlag, openat};
use sys::nix::libc::SIGKILL;
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{AccessFlags, access};
use sys::process::{pidfd_open, pidfd_send_signal};

/// How many processes are held by descriptor at a time, of which a runtime may have 1024.
const HELD: usize = 256;

/// How long killing waits for a v1 cgroup to freeze before it goes on without.
const FREEZING: Duration = Duration::from_secs(1);

/// The pids of the container's cgroup and all below it.
pub(crate) fn processes(place: &CgroupPath) -> Result<Vec<i32>> {
    for cgroup in authorities(place) {
        let found = list(&cgroup.directory())?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// Sends `signal`, by number, to every process in the container's cgroup and below it. With SIGKILL
/// it returns when none is left.
pub(crate) fn signal_all(place: &CgroupPath, signal: i32) -> Result<()> {
    let is_there = |one: &&Hierarchy| access(one.directory().as_str(), AccessFlags::F_OK).is_ok();
    match authorities(place).find(is_there) {
        None => Ok(()),
        Some(cgroup) if signal == SIGKILL => kill(place, cgroup),
        Some(cgroup) => signal_in(&cgroup.directory(), signal).map(drop),
    }
}

/// The cgroups that are asked for the container's processes, the best first. They are in the one of
/// every hierarchy, unless somebody has moved them out of some.
fn authorities(place: &CgroupPath) -> impl Iterator<Item = &Hierarchy> {
    let best = [place.unified(), place.v1("pids"), place.v1("freezer")];
    best.into_iter().flatten().filter(|one| one.joined).chain(place.joined())
}

/// The pids of the cgroup at `directory` and all below it; none where there is no such cgroup.
pub(crate) fn list(directory: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    let mut is_top = true;
    let listed = tree::visit(directory, |cgroup| {
        let is_top = std::mem::take(&mut is_top);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let read = openat(cgroup, "cgroup.procs", flags, Mode::empty());
        match read.and_then(sys::fs::read_to_end) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
                Ok(())
            }
            // One that vanished.
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            // One that is threaded: its processes are listed further up.
            Err(Errno::EOPNOTSUPP) if !is_top => Ok(()),
            Err(errno) => Err(errno),
        }
    });
    match listed {
        Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => {
            // 0 stands for a process of another pid namespace, and is no one's number.
            found.retain(|pid| *pid > 0);
            Ok(found)
        }
        Err(errno) => {
            let remedy = "it is a threaded cgroup, and a container's must be of the type domain";
            let error = Error::kernel(format!("listing the processes of {directory}"), errno);
            Err(error.with_remedy((errno == Errno::EOPNOTSUPP).then_some(remedy)))
        }
    }
}

/// Kills every process in `cgroup`, one of the container's, and below it, until none is left.
pub(crate) fn kill(place: &CgroupPath, cgroup: &Hierarchy) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let kill = if cgroup.is_unified() { kill_v2 } else { kill_v1 };
    if kill(place, cgroup, deadline)? {
        return Ok(());
    }
    let directory = cgroup.directory();
    let left = list(&directory)?;
    Err(Error::refused(format!("killing the processes of {directory}: {left:?} don't die"))
        .with_remedy(Some("they wait for something that can't be interrupted")))
}

/// The kernel does it, whatever is forked meanwhile, and frozen or not.
fn kill_v2(place: &CgroupPath, cgroup: &Hierarchy, deadline: Instant) -> Result<bool> {
    let path = cgroup.file("cgroup.kill");
    match file::write(&path, "1") {
        Ok(()) => {}
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(true),
        Err(errno) => return Err(Error::kernel(format!("writing 1 to {path}"), errno)),
    }
    freezer::thaw_for_killing(place);
    events::wait(cgroup, "populated", false, deadline)
}

/// Round by round, from the second on with the container frozen, so that none can fork.
fn kill_v1(place: &CgroupPath, cgroup: &Hierarchy, deadline: Instant) -> Result<bool> {
    let directory = cgroup.directory();
    let waiting = |errno| Error::kernel(format!("waiting on {directory}"), errno);
    let mut again = false;
    while !list(&directory)?.is_empty() {
        if again {
            // Without a freezer it goes on as long as it takes.
            let _ = freezer::freeze_within(place, (Instant::now() + FREEZING).into());
        }
        let killed = signal_in(&directory, SIGKILL);
        freezer::thaw_for_killing(place);
        let ended = match &killed?[..] {
            // What was listed was ending by itself.
            [] => events::pause(deadline),
            killed => events::wait_for_end(killed, deadline),
        };
        if !ended.map_err(waiting)? {
            return Ok(false);
        }
        again = true;
    }
    Ok(true)
}

/// Signals each process of the cgroup at `directory` and all below it; gives some, if there were
/// any, to wait for.
fn signal_in(directory: &str, signal: i32) -> Result<Vec<OwnedFd>> {
    let mut last = Vec::new();
    for some in list(directory)?.chunks(HELD) {
        last.clear();
        let mut held = Vec::with_capacity(some.len());
        for &pid in some {
            match pidfd_open(pid) {
                Ok(process) => held.push((pid, process)),
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::kernel(format!("opening process {pid}"), errno)),
            }
        }
        // A pid may have come to mean another process before its descriptor was opened. What is
        // still listed afterwards was in the cgroup when it was.
        let still = list(directory)?;
        for (pid, process) in held.into_iter().filter(|(pid, _)| still.contains(pid)) {
            match pidfd_send_signal(&process, signal) {
                Ok(()) => last.push(process),
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::kernel(format!("signalling {pid}"), errno)),
            }
        }
    }
    Ok(last)
}
