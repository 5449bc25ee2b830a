//! The program: takes the command line, has a command run, reports its error and gives the exit
//! status. It must know nothing of containers and of what a command does.

#![cfg_attr(not(test), no_main)]
#![cfg_attr(fuzzing, allow(dead_code, unused_imports))]

mod args;
mod chart;
mod commands;
mod completion;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod help;
mod log;
mod man;
mod model;
mod output;
mod style;
mod table;
mod trace;

use args::Arguments;
use commands::{PROGRAM, global, prepare};
use log::{Level, Log};
use model::Parsed;

// libFuzzer has a second thread.
#[cfg(not(fuzzing))]
#[global_allocator]
static HEAP: sys::heap::Heap = sys::heap::Heap;

/// C starts the program here. Rust's own `main` would first look for its stack in /proc/self/maps and
/// ignore SIGPIPE, which the container would inherit; the program needs neither.
#[cfg(not(any(test, fuzzing)))]
#[allow(unsafe_code)]
// SAFETY: no other item has this name, and the signature is one that C allows for it.
#[unsafe(no_mangle)]
extern "C" fn main(_: i32, argv: sys::startup::Argv) -> i32 {
    argv.keep();
    start()
}

/// The test harness brings its own start.
#[cfg(test)]
fn main() {
    std::process::exit(start());
}

/// Does what the command line asks for; gives the exit status.
fn start() -> i32 {
    if let Err(error) = sys::startup::establish() {
        Log::to_stderr().fail(&error);
        return 1;
    }
    let words = || sys::startup::arguments().into_iter().skip(1);
    match args::read(&PROGRAM, words()) {
        Ok(Arguments::Help(text)) => output::print_help(&text).unwrap_or_else(|error| {
            early_log().fail(&runtime::advise(error));
            1
        }),
        Ok(Arguments::Command(mut command)) => run(&mut command),
        Err(wrong) => {
            // What helps comes last.
            let (text, hint) = wrong.text.split_once("; ").unzip();
            let error =
                sys::Error::new(text.unwrap_or(&wrong.text)).with_hint(hint.map(str::to_owned));
            early_log().fail(&runtime::advise(error));
            wrong.status
        }
    }
}

/// Where a failure is told before `--log` and `--log-format` are known to be right: on stderr, and as JSON
/// if the command line asks for that anywhere.
fn early_log() -> Log {
    let words: Vec<_> = sys::startup::arguments().into_iter().skip(1).collect();
    let is = |word: &std::ffi::OsStr, text: &str| {
        word.to_str().is_some_and(|word| word.trim_start_matches('-') == text)
    };
    let apart = words
        .windows(2)
        .any(|pair| matches!(pair, [flag, value] if is(flag, "log-format") && value == "json"));
    let together = words.iter().any(|word| is(word, "log-format=json"));
    Log::new(None, apart || together, Level::Warning)
}

/// Runs a command, and reports its error, here and nowhere else.
fn run(command: &mut Parsed) -> i32 {
    let failure = command.entry.failure;
    let prepared = prepare::prepare(command).map_err(|error| (error, failure));
    // A command that has no log has tried nothing, so its own status of failure does not count.
    let log = match prepared.and_then(|()| global::log(command).map_err(|error| (error, 1))) {
        Ok(log) => log,
        Err((error, status)) => {
            early_log().fail(&explained(error));
            return status;
        }
    };
    match (command.entry.run)(command, &log) {
        Ok(status) => status,
        Err(error) => {
            let mut error = explained(error);
            if error.kind() == sys::error::Kind::NotRunning && !command.id().is_empty() {
                error = error.with_object(command.id());
            }
            log.fail(&error);
            if log.is_file() {
                log::tell(&error);
            }
            failure
        }
    }
}

/// The error with what helps, as far as looking at the host tells.
fn explained(error: sys::Error) -> sys::Error {
    runtime::advise(sys::filtered::explain(error))
}
