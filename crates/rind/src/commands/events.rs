//! `events`.

use super::global::runtime;
use crate::log::Log;
use crate::model::{Command, Failure, Parsed, flag};
use runtime::Interval;
use std::io::Write;

/// `events`.
pub const EVENTS: Command = Command {
    details: "Each is a line of JSON: an object with type (stats or oom), id, and data.",
    examples: &[
        ("rind events --stats web", "prints statistics once"),
        ("rind events --interval 1m web", "each minute, and what was OOM-killed"),
    ],
    flags: &[
        flag(
            "interval",
            "",
            "DURATION",
            "the time between statistics, such as 1m30s (default: 5s)",
        ),
        flag("stats", "", "", "print statistics once, and end"),
    ],
    ..Command::new(
        "events",
        "tell of a container's statistics and OOM kills, until it ends",
        events,
    )
};

fn events(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let interval: Interval = args.value("interval").unwrap_or("5s").parse()?;
    let interval = (!args.is_on("stats")).then_some(interval);
    let mut stdout = std::io::stdout();
    let mut line = |line: &str| writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    runtime::events(&runtime(args, log), args.id(), interval, &mut line)?;
    Ok(0)
}
