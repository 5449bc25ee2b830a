//! `run`, and the flags of all commands that see a container to its end.

use super::create::{self, BUNDLE, CONFIG, CONSOLE, JOIN, KEYRING, PID, PIDFD, PIVOT, PRESERVE};
use super::timed::{TIMING, TIMING_FILE, timed};
use crate::log::Log;
use crate::model::{Command, Failure, Flag, Parsed, flag};
use runtime::RunOptions;

pub const KEEP: Flag = flag("keep", "", "", "don't delete the container at its end");
pub const SUBREAPER: Flag =
    flag("no-subreaper", "", "", "don't take care of the container's orphans");

/// What the exit status of a command that sees a container to its end says.
pub const PROGRAMS_STATUS: &str = "The program's, or 128 and the number of the signal that killed it; \
    1 if it could not be run.\nWith --detach 0 once it runs.";

/// `run`.
pub const RUN: Command = Command {
    details: "In the foreground, signals are passed on to the program.",
    examples: &[
        ("rind run --bundle /srv/web web", "runs it to its end, and deletes it"),
        ("rind run --detach --bundle /srv/web web", "leaves it running"),
        ("rind run --timing --bundle /srv/web web", "shows at the end how long the start took"),
    ],
    status: PROGRAMS_STATUS,
    flags: &[
        BUNDLE,
        CONFIG,
        CONSOLE,
        PIDFD,
        PID,
        PIVOT,
        KEYRING,
        PRESERVE,
        JOIN,
        flag("detach", "d", "", "come back once the program runs"),
        KEEP,
        SUBREAPER,
        TIMING,
        TIMING_FILE,
    ],
    seals: true,
    ..Command::new("run", "create and start a container, and see it to its end", run)
};

fn run(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let create = create::options(args)?;
    timed(args, log, |runtime| runtime::run(runtime, &create, options(args)))
}

/// What the flags say of how to see the container to its end.
pub fn options(args: &Parsed) -> RunOptions {
    RunOptions {
        detach: args.is_on("detach"),
        keep: args.is_on("keep"),
        no_subreaper: args.is_on("no-subreaper"),
    }
}
