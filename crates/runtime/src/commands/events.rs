//! `events`: statistics of a container at an interval, and its OOM kills.

use crate::commands::quantity;
use crate::container::Container;
use crate::container::find::find;
use crate::container::status::Status;
use crate::host::resctrl;
use crate::{Error, Explain, Result, Runtime};
use cgroups::OomWatch;
use serde::Serialize;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};
use sys::Errno;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The time from one report to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Duration);

impl FromStr for Interval {
    type Err = Error;

    /// A duration such as `5s` or `1m30s`, greater than 0.
    fn from_str(text: &str) -> Result<Self> {
        match quantity::duration(text) {
            None => {
                let error = Error::new(format!("{text:?} is no time such as 5s or 100ms"));
                Err(error.with_object(text))
            }
            Some(Duration::ZERO) => Err(Error::new("duration interval must be greater than 0")),
            Some(duration) => Ok(Self(duration)),
        }
    }
}

/// A function that takes each event: a line of JSON.
pub type Lines<'a> = &'a mut dyn FnMut(&str) -> io::Result<()>;

/// `events ID`: passes statistics to `lines` at each `interval`, and OOM kills at once, until init
/// has ended or `lines` fails with `EPIPE`. Without an interval (`--stats`), statistics once.
pub fn events(runtime: &Runtime, id: &str, interval: Option<Interval>, lines: Lines) -> Result<()> {
    let container = find(runtime, id)?;
    let init = match container.init_process() {
        Err(Errno::ESRCH) => return Err(not_running(id)),
        found => found.within("finding init")?,
    };
    if container.record.cgroup.joined().next().is_none() && container.record.rdt.is_none() {
        return Err(Error::new(
            "the container has no cgroup, and only that would tell what it uses",
        ));
    }
    let written = match interval {
        None => write(lines, &statistics(&container)?),
        Some(Interval(interval)) => watch(runtime, &container, &init, interval, lines),
    };
    match written {
        Err(error) if error.errno() == Some(Errno::EPIPE) => Ok(()),
        written => written,
    }
}

fn not_running(id: &str) -> Error {
    Status::Stopped.refuse(id, format!("container with id {id} is not running"))
}

fn write(lines: Lines, line: &str) -> Result<()> {
    lines(line).within("writing an event")
}

/// Reports events until init has ended, or `lines` fails.
fn watch(
    runtime: &Runtime,
    container: &Container,
    init: &OwnedFd,
    interval: Duration,
    lines: Lines,
) -> Result<()> {
    let mut oom = container.record.cgroup.watch_oom()?;
    if oom.is_none() {
        (runtime.warn)("OOM kills can't be told of: the container has no memory cgroup");
    }
    let mut next = Instant::now() + interval;
    loop {
        let happened = wait(init, oom.as_ref(), next)?;
        if happened.oom || happened.end {
            let struck = oom.as_mut().map(OomWatch::has_struck).transpose()?;
            match struck.flatten() {
                Some(true) => write(lines, &line("oom", container, None)?)?,
                Some(false) => {}
                None => oom = None,
            }
        }
        if happened.end {
            return Ok(());
        }
        if Instant::now() < next {
            continue;
        }
        // A container that ends meanwhile has no statistics, which is no error.
        match statistics(container) {
            Err(_) if wait(init, None, Instant::now())?.end => return Ok(()),
            statistics => write(lines, &statistics?)?,
        }
        // If a report takes longer than the interval, rind skips those that it missed.
        next = (next + interval).max(Instant::now());
    }
}

/// What has ended a wait; neither if the time is up.
struct Happened {
    oom: bool,
    end: bool,
}

/// Waits for an OOM kill, the end of init, or `until`.
fn wait(init: &OwnedFd, oom: Option<&OomWatch>, until: Instant) -> Result<Happened> {
    loop {
        let mut polled = vec![PollFd::new(init.as_fd(), PollFlags::POLLIN)];
        polled.extend(oom.map(OomWatch::interest));
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: poll(2) with 0 would spin through the last millisecond.
        let round = if left.is_zero() { left } else { left + Duration::from_millis(1) };
        match poll(&mut polled, PollTimeout::try_from(round).unwrap_or(PollTimeout::MAX)) {
            Ok(0) if !left.is_zero() => {}
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::call("waiting for events", errno)),
            Ok(_) => {
                let ready = |at: usize| polled.get(at).and_then(PollFd::any).unwrap_or(false);
                return Ok(Happened { oom: ready(1), end: ready(0) });
            }
        }
    }
}

/// An event as `runc events` prints it, which engines parse.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

#[derive(Serialize)]
struct Data {
    #[serde(flatten)]
    cgroup: cgroups::Stats,
    intel_rdt: resctrl::Stats,
    /// runc reports the devices that it creates here. No config of the specification asks for any.
    network_interfaces: Option<()>,
}

/// The line of statistics. Files that a kernel lacks count as zeros, so a cgroup that others have removed
/// has to be an error of its own.
fn statistics(container: &Container) -> Result<String> {
    let groups = container.record.rdt.as_ref();
    let (missing, stats) = (container.missing_cgroup(), container.record.cgroup.stats());
    // If the container was deleted meanwhile, that is the error, and its cgroup may be another's.
    container.check_exists()?;
    if let Some(error) = missing {
        return Err(overtaken(container).unwrap_or(error));
    }
    let data = Data {
        cgroup: stats.map_err(|error| overtaken(container).unwrap_or(error))?,
        intel_rdt: groups.map(resctrl::Groups::stats).transpose()?.unwrap_or_default(),
        network_interfaces: None,
    };
    line("stats", container, Some(data))
}

/// The error that the container has ended, if it has: a delete that is under way removes the cgroup before
/// the state.
fn overtaken(container: &Container) -> Option<Error> {
    let has_ended = matches!(container.init_process(), Err(Errno::ESRCH));
    has_ended.then(|| not_running(container.entry.id()))
}

fn line(kind: &str, container: &Container, data: Option<Data>) -> Result<String> {
    serde_json::to_string(&Event { kind, id: container.entry.id(), data })
        .within("printing an event")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_interval_is_longer_than_none() {
        assert_eq!("100ms".parse::<Interval>().unwrap(), Interval(Duration::from_millis(100)));
        for text in ["0", "0s", "5", "", "-1s", "x"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}
