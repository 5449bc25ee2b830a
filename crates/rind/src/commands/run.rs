//! `run`, and the flags of all commands that see a container to its end.

use super::create::{self, BUNDLE, CONFIG, CONSOLE, JOIN, KEYRING, PID, PIDFD, PIVOT, PRESERVE};
use super::timed::{TIMING, TIMING_FILE, timed};
use crate::log::Log;
use crate::model::{Command, Failure, Flag, Parsed, flag};
use runtime::RunOptions;

pub const KEEP: Flag = flag("keep", "", "", "don't delete the container at its end");
pub const SUBREAPER: Flag =
    flag("no-subreaper", "", "", "don't take care of the container's orphans");

/// `run`.
pub const RUN: Command = Command {
    details: "Signals are passed on to the program. The exit status is the program's, or 128 and \
        the\nnumber of the signal that killed it; 1 if it could not be run.",
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
