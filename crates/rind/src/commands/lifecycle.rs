//! `start`, `pause`, `resume`, `kill` and `delete`: what happens to a container that is there.

use super::global::runtime;
use super::timed::{TIMING, TIMING_FILE, timed};
use crate::log::Log;
use crate::model::{Command, Failure, Flag, Parsed, fail, flag};
use runtime::{Runtime, Signal};

/// `start`.
pub const START: Command = Command {
    flags: &[TIMING, TIMING_FILE],
    examples: &[("rind start web", "runs the program of web, which was created")],
    ..Command::new("start", "run the program of a created container", |args, log| {
        timed(args, log, |runtime| runtime::start(runtime, args.id()).map(|()| 0))
    })
};

/// `pause`.
pub const PAUSE: Command = Command {
    details: "It comes back when all have stopped. If they don't, or it is interrupted, they go on.",
    examples: &[("rind pause web", "until: rind resume web")],
    ..Command::new("pause", "freeze all processes of a container", |args, log| {
        runtime::pause(&runtime(args, log), args.id())?;
        Ok(0)
    })
};

/// `resume`.
pub const RESUME: Command = Command {
    examples: &[("rind resume web", "has web go on after: rind pause web")],
    ..Command::new("resume", "let the processes of a paused container go on", |args, log| {
        runtime::resume(&runtime(args, log), args.id())?;
        Ok(0)
    })
};

const REGEX: Flag = flag("regex", "", "", "ID is a regular expression: all containers that match");

/// `kill`.
pub const KILL: Command = Command {
    arguments: "ID [SIGNAL]",
    positional: (1, 2),
    details: "SIGNAL is a number, or a name with or without SIG (default: TERM); 0 only asks \
        whether it lives.\nWhere the pid namespace is not the container's own, KILL goes to all of \
        its processes.",
    examples: &[
        ("rind kill web", "asks it to end (TERM)"),
        ("rind kill web KILL", "ends it"),
        ("rind kill --regex '^web-' HUP", "a signal to all whose id begins so"),
    ],
    flags: &[flag("all", "a", "", "to all processes; a stopped container is no error then"), REGEX],
    ..Command::new("kill", "send a signal to a container's init", kill)
};

fn kill(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    // An empty signal counts as absent: callers of runc may write it so.
    let name = args.positional.get(1).filter(|name| !name.is_empty());
    let signal: Signal = name.map_or("TERM", String::as_str).parse()?;
    let (runtime, all) = (runtime(args, log), args.is_on("all"));
    each(args, &runtime, |id| runtime::kill(&runtime, id, signal, all))
}

/// `delete`.
pub const DELETE: Command = Command {
    examples: &[
        ("rind delete web", "removes it, once it has stopped"),
        ("rind delete --force web", "kills it first"),
    ],
    flags: &[flag("force", "f", "", "kill it first; an unknown id is no error then"), REGEX],
    ..Command::new(
        "delete",
        "remove a container that has stopped, or was never started",
        |args, log| {
            let (runtime, force) = (runtime(args, log), args.is_on("force"));
            each(args, &runtime, |id| runtime::delete(&runtime, id, force))
        },
    )
};

/// Does something to the container that is named, or with `--regex` to each that matches. There, a
/// container that fails does not keep it from the others, and one error tells all failures.
fn each(
    args: &Parsed,
    runtime: &Runtime,
    mut run: impl FnMut(&str) -> Result<(), runtime::Error>,
) -> Result<i32, Failure> {
    if !args.is_on("regex") {
        run(args.id())?;
        return Ok(0);
    }
    let mut failures = Vec::new();
    for id in runtime::matching(runtime, args.id())? {
        match run(&id) {
            Err(error) if !error.is_not_found() => failures.push(format!("{id}: {error}")),
            _ => {}
        }
    }
    if failures.is_empty() { Ok(0) } else { fail(failures.join("; ")) }
}
