//! `update`.

use super::global::runtime;
use crate::log::Log;
use crate::model::{Command, Failure, Flag, Input, Parsed, flag};
use runtime::UpdateOptions;
use std::path::Path;

/// `update`.
pub const UPDATE: Command = Command {
    input: Some(Input::Flag("resources")),
    details: "What isn't given stays as it is, and so it does with 0 but for pids, burst and idle. If \
        anything\nis refused, nothing is changed. With --resources other limits are ignored.",
    examples: &[
        ("rind update --memory 256m --pids-limit 100 web", "sets two limits, and leaves the rest"),
        ("rind update --resources FILE web", "sets those that FILE has, as linux.resources"),
    ],
    flags: FLAGS,
    ..Command::new("update", "change the limits of a container", update)
};

/// The flags. All but [`OTHERS`] are limits, which `runtime` knows by these names.
const FLAGS: &[Flag] = &[
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

/// The flags that are no limits of a cgroup.
const OTHERS: [&str; 3] = ["resources", "l3-cache-schema", "mem-bw-schema"];

fn update(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let limits = FLAGS.iter().map(|flag| flag.name).filter(|name| !OTHERS.contains(name));
    let flags: Vec<_> = limits.filter_map(|name| Some((name, args.text(name)?))).collect();
    let name = args.text("resources").map(|name| if name == "-" { "stdin" } else { name });
    let options = UpdateOptions {
        id: args.id(),
        resources: args.input.as_deref().zip(name.map(Path::new)),
        flags: &flags,
        l3_cache_schema: args.text("l3-cache-schema"),
        memory_bandwidth_schema: args.text("mem-bw-schema"),
    };
    runtime::update(&runtime(args, log), &options)?;
    Ok(0)
}
