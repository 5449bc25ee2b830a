//! The commands about what a container may use and has used: `update` and `events`.

use crate::commands::runtime;
use crate::log::Log;
use crate::model::{Failure, Flag, Parsed, flag};
use runtime::{Interval, UpdateOptions};
use std::path::Path;

/// The flags of `update`. Those but [`OTHERS`] are limits, which `runtime` knows by these names.
pub const UPDATE: &[Flag] = &[
    flag("resources", "r", "FILE", "read linux.resources from FILE (-: stdin), not from flags"),
    flag("blkio-weight", "", "WEIGHT", "share of block devices' time, 10 to 1000"),
    flag("cpu-period", "", "USEC", "the period of a quota"),
    flag("cpu-quota", "", "USEC", "processor time in a period (-1: any)"),
    flag("cpu-burst", "", "USEC", "unused quota that may be kept for a later period"),
    flag("cpu-share", "", "SHARES", "share of processor time, against other containers"),
    flag("cpu-rt-period", "", "USEC", "the period of a real-time runtime (cgroup v1)"),
    flag("cpu-rt-runtime", "", "USEC", "real-time scheduling's time in a period (cgroup v1)"),
    flag("cpu-idle", "", "0|1", "1: run only where nobody else would (SCHED_IDLE)"),
    flag("cpuset-cpus", "", "LIST", "processors, such as 0-2,5"),
    flag("cpuset-mems", "", "LIST", "memory nodes"),
    flag("memory", "", "BYTES", "memory (-1: any); with k, m, g in 1024s"),
    flag("memory-reservation", "", "BYTES", "memory that is left to it when memory is short"),
    flag("memory-swap", "", "BYTES", "memory and swap together (-1: any swap)"),
    flag("pids-limit", "", "LIMIT", "processes and threads (-1: any)"),
    flag("l3-cache-schema", "", "SCHEMA", "resctrl's line for the L3 cache, such as L3:0=f"),
    flag("mem-bw-schema", "", "SCHEMA", "resctrl's line for memory bandwidth, such as MB:0=50"),
];

/// Those that are no limits of a cgroup.
const OTHERS: [&str; 3] = ["resources", "l3-cache-schema", "mem-bw-schema"];

/// The flags of `events`.
pub const EVENTS: &[Flag] = &[
    flag("interval", "", "DURATION", "the time between statistics, such as 1m30s (default: 5s)"),
    flag("stats", "", "", "print statistics once, and end"),
];

/// `update`.
pub fn update(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let given = |name| args.value(name).filter(|value| !value.is_empty());
    let limits = UPDATE.iter().map(|flag| flag.name).filter(|name| !OTHERS.contains(name));
    let flags: Vec<_> = limits.filter_map(|name| Some((name, given(name)?))).collect();
    let name = given("resources").map(|name| if name == "-" { "stdin" } else { name });
    let options = UpdateOptions {
        id: args.id(),
        resources: args.input.as_deref().zip(name.map(Path::new)),
        flags: &flags,
        l3_cache_schema: given("l3-cache-schema"),
        memory_bandwidth_schema: given("mem-bw-schema"),
    };
    runtime::update(&runtime(args, log), &options)?;
    Ok(0)
}

/// `events`.
pub fn events(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    use std::io::Write;
    let interval: Interval = args.value("interval").unwrap_or("5s").parse()?;
    let interval = (!args.is_on("stats")).then_some(interval);
    let mut stdout = std::io::stdout();
    let mut line = |line: &str| writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    runtime::events(&runtime(args, log), args.id(), interval, &mut line)?;
    Ok(0)
}
