//! `--timing` and `--timing-file`: showing where the time of a command goes.

use super::global;
use crate::log::{Level, Log};
use crate::model::{Failure, Flag, Parsed, flag};
use crate::style::Style;
use crate::{chart, trace};
use runtime::Runtime;
use std::fs::File;
use std::io::{self, Write};
use sys::Explain;

pub const TIMING: Flag = flag("timing", "", "", "show on stderr where the time went, at the end");
pub const TIMING_FILE: Flag =
    flag("timing-file", "", "FILE", "write that as a trace for chrome://tracing or Perfetto");

/// Begins to note what takes time, if the command line asks for it.
pub fn begin(args: &Parsed) -> Result<(), Failure> {
    if args.is_on(TIMING.name) || args.text(TIMING_FILE.name).is_some() {
        timing::begin().about("--timing")?;
    }
    Ok(())
}

/// Does a command, and shows where its time went, also if it failed.
///
/// The file is opened before there is a container, so that one that can't be written fails the command
/// with nothing done. What goes wrong after that is a warning: the container is there.
pub fn timed(
    args: &Parsed,
    log: &Log,
    command: impl FnOnce(&Runtime) -> Result<i32, Failure>,
) -> Result<i32, Failure> {
    let runtime = global::runtime(args, log);
    if !timing::is_on() {
        return command(&runtime);
    }
    let path = args.path(TIMING_FILE.name);
    let open = |path| runtime::append(path, 0o666).on("opening --timing-file", path);
    let file = path.as_deref().map(open).transpose()?;
    timing::done(timing::Step::Begin);
    let done = command(&runtime);
    // Of a command that failed; one that didn't has stopped it.
    timing::done(timing::Step::Rest);
    timing::stop();
    let spans = timing::spans();
    let title = format!("rind {} {}", args.entry.name, args.id());
    let inner = if args.entry.name == "exec" { "process" } else { "init" };
    if args.is_on(TIMING.name) {
        let chart = chart::draw(&title, inner, &spans, Style::of(&io::stderr()));
        // Nobody is left to tell of a failure.
        let _ = io::stderr().write_all(chart.as_bytes());
    }
    if let Some((file, path)) = file.zip(path) {
        let written = write(file, trace::of(&title, inner, &spans).as_bytes());
        if let Err(error) = written.on("writing the trace to", &path) {
            log.write(Level::Warning, &error.to_string());
        }
    }
    done
}

/// Writes what the file is to have, in place of what it had; a pipe or a device has nothing.
fn write(mut file: File, content: &[u8]) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(content)
}
