//! The program that the test containers run. It says what it sees there, as JSON, or does one thing
//! that a test wants tried. Static, so that a rootfs needs nothing but it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failure must be loud, and ends only the probe

mod actions;
mod attacks;
mod census;
mod files;
mod report;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "\
probe report                  all there is to know about this process
probe census FILE             writes what this process was started with to FILE
probe census-later FILE F     the same, once there is F
criu, newuidmap               by one of these names: as census, to a file beside the program
probe stat PATH...            what these are, and whether they can be read and written
probe read PATH               a file's content
probe write PATH TEXT         writes to an existing file
probe create PATH TEXT        makes a file
probe list PATH               the names in a folder
probe open-descriptors        what this process has open
probe exit STATUS             ends with a status
probe sleep [STATUS]          prints the signals that come, until SIGTERM, then ends with a status
probe with-children N         starts N processes that sleep, and prints how many it could
probe notify MESSAGE...       sends these to NOTIFY_SOCKET (\\n is a new line) as long as it's there,
                              and sleeps
probe orphan                  leaves an ended grandchild to be reaped by another, and sleeps
probe touch MIB               takes that much memory
probe hang                    waits for a file system that doesn't answer; only KILL ends that
probe count                   prints its pid and how often it has, for ever
probe hold WHAT               counts, with a locked or an unlinked file open in /dev/shm
probe talk                    sends itself numbers over a TCP connection, and prints what comes
probe spin                    uses the processor for ever
probe try NAME...             tries system calls, and prints what each answers
probe session TERMINAL CMD... runs a command in a session of its own on a terminal
probe steal-executable PATH   tries to write to the executable behind PATH
probe exchange A B            exchanges two paths until it is killed
probe snoop MARKER PROGRAM    looks at every process that appears until TERM comes, but at those that
                              run PROGRAM, and prints what it could get of any
probe unlock PATH...          tries to clear each flag of these mounts, and to change access times
probe uncover BELOW MOUNT     tries to see what BELOW, a mount below MOUNT, covers
probe seek NAME               looks for a process with NAME below its root, until there is one";

fn main() -> ExitCode {
    let arguments: Vec<String> =
        env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let own = env::current_exe().unwrap_or_default();
    if own.ends_with("criu") || own.ends_with("newuidmap") {
        census::write(&own.with_extension("census").to_string_lossy(), &arguments);
        return ExitCode::FAILURE;
    }
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["report"] => print(&report::report(&arguments)),
        ["census", file] => census::write(file, &arguments),
        ["census-later", file, until] => census::write_once_there_is(until, file, &arguments),
        ["stat", paths @ ..] => print(&paths.iter().map(|path| files::stat(path)).collect()),
        ["read", path] => return files::read(path),
        ["write", path, text] => return files::write(path, text),
        ["create", path, text] => return files::create(path, text),
        ["list", path] => print(&files::list(path)),
        ["open-descriptors"] => print(&report::descriptors()),
        ["exit", status] => return ExitCode::from(number::<u8>(status)),
        ["sleep"] => return actions::sleep(0),
        ["sleep", status] => return actions::sleep(number(status)),
        ["with-children", count] => print(&actions::with_children(number(count))),
        ["notify", messages @ ..] => return actions::notify(messages),
        ["orphan"] => return actions::orphan(),
        ["leave-child"] => actions::leave_child(),
        ["touch", mebibytes] => print(&actions::touch_memory(number(mebibytes))),
        ["hang"] => actions::hang(),
        ["count"] => actions::count(),
        ["hold", what] => actions::hold(what),
        ["talk"] => actions::talk(),
        ["spin"] => actions::spin(),
        ["try", names @ ..] => print(&actions::try_all(names)),
        ["session", terminal, command @ ..] => actions::session(terminal, command),
        ["steal-executable", path] => print(&attacks::steal_executable(path)),
        ["snoop", marker, program] => print(&attacks::snoop(marker, program)),
        ["exchange", a, b] => attacks::exchange(a, b),
        ["unlock", paths @ ..] => print(&paths.iter().map(|path| attacks::unlock(path)).collect()),
        ["uncover", below, mount] => print(&attacks::uncover(below, mount)),
        ["seek", name] => attacks::seek(name),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}

fn print(value: &serde_json::Value) {
    println!("{value}");
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number for this"))
}
