//! `inspect`: what a container is made of.

use super::global::runtime;
use crate::log::Log;
use crate::model::{Command, Failure, Parsed, flag, refuse};
use crate::{output, table};

/// `inspect`.
pub const INSPECT: Command = Command {
    details: "Namespaces and who shares them, cgroup with limits and use, mounts, capabilities, \
        seccomp, limits,\nids, devices, hooks and annotations, as the kernel has them now; of a \
        stopped one how it ended,\nas far as that is kept.",
    examples: &[
        ("rind inspect web", "in sections: status, namespaces, cgroup, mounts, ..."),
        ("rind inspect --format json web", "the same for a program"),
    ],
    flags: &[flag("format", "f", "FORMAT", "text (default) or json").one_of(&["text", "json"])],
    ..Command::new("inspect", "tell what a container is made of", inspect)
};

fn inspect(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let format = args.value("format").unwrap_or("text");
    if !["text", "json"].contains(&format) {
        return refuse("--format", format!("{format:?} is neither text nor json"));
    }
    let found = runtime::inspect(&runtime(args, log), args.id())?;
    if format == "json" {
        return output::print_line(&found.to_json()?);
    }
    let sections = found.sections();
    let texts =
        sections.iter().map(|one| format!("{}:\n{}", one.title, table::rows("  ", &one.rows)));
    output::print(&texts.collect::<Vec<_>>().join("\n"))
}
