//! `exec`.

use super::create::{CONSOLE, PRESERVE, preserved};
use super::timed::{TIMING, TIMING_FILE, timed};
use crate::help;
use crate::log::Log;
use crate::model::{Command, Failure, Input, Parsed, fail, flag, refuse};
use runtime::{ExecOptions, ProcessFlags, ProcessSource};
use std::path::PathBuf;
use sys::credentials::Id;

/// `exec`.
pub const EXEC: Command = Command {
    arguments: "ID COMMAND [ARG...]",
    positional: (1, usize::MAX),
    plain_after: Some(2),
    input: Some(Input::Flag("process")),
    details: "What no flag says is as in the config's process. Signals are passed on.\nA FIFO of --exec-fifo is made; one byte written to it lets the program \
        begin. After that the\nend of the file means that it has, and anything else is why not.",
    examples: &[
        ("rind exec --tty web sh", "runs a shell in it"),
        ("rind exec --user 1000:1000 --cwd / web id", "runs id as another user"),
        ("rind exec --detach --pid-file FILE web cmd", "leaves it running, with its pid in FILE"),
    ],
    status: "The program's, or 128 and the number of the signal that killed it; 255 if it could not \
        be run.\nWith --detach 0 once it runs.",
    flags: &[
        CONSOLE,
        flag("pidfd-socket", "", "SOCKET", "a socket that gets a pidfd of the process"),
        flag("pid-file", "", "FILE", "where to write the process's pid"),
        flag("cwd", "", "DIR", "its working directory"),
        flag("env", "e", "NAME=VALUE", "one more entry of its environment (may be repeated)"),
        flag("tty", "t", "", "give it a terminal of its own"),
        flag("user", "u", "UID[:GID]", "its user, and group, by number"),
        flag("additional-gids", "g", "GID", "one more group, by number (may be repeated)"),
        flag("process", "p", "FILE", "a process.json instead of COMMAND and the flags for it"),
        flag("detach", "d", "", "come back once the program runs"),
        flag("process-label", "", "LABEL", "its SELinux label"),
        flag("apparmor", "", "PROFILE", "its AppArmor profile"),
        flag("no-new-privs", "", "", "it gains no privileges by an execve"),
        flag("cap", "c", "CAP", "one more capability (may be repeated)"),
        PRESERVE,
        flag(
            "cgroup",
            "",
            "PATH",
            "[CONTROLLER,...:]PATH: a cgroup below the container's (may be repeated)",
        ),
        flag("ignore-paused", "", "", "allow it in a paused container, to run once that resumes"),
        flag("exec-fifo", "", "FIFO", "have the process wait at FIFO before its program"),
        TIMING,
        TIMING_FILE,
    ],
    seals: true,
    // Of the program's own statuses, a caller is least likely to take this one for the program's.
    failure: 255,
    ..Command::new("exec", "run another program in a container", exec)
};

fn exec(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = ExecOptions {
        id: args.id().to_owned(),
        process: match (&args.input, args.value("process")) {
            (Some(text), Some(name)) => ProcessSource::Text(text.clone(), PathBuf::from(name)),
            _ => ProcessSource::Flags(Box::new(process(args)?)),
        },
        detach: args.is_on("detach"),
        console_socket: args.path("console-socket"),
        pidfd_socket: args.path("pidfd-socket"),
        pid_file: args.path("pid-file"),
        exec_fifo: args.path("exec-fifo"),
        preserve_fds: preserved(args)?,
        listen_fds: runtime::listen_fds(),
        cgroups: args.texts("cgroup"),
        ignore_paused: args.is_on("ignore-paused"),
    };
    timed(args, log, |runtime| runtime::exec(runtime, &options))
}

/// An id that the flag `name` gives.
fn id<Kind: Copy>(name: &str, text: &str) -> Result<Id<Kind>, Failure> {
    match text.parse::<u32>().map(Id::new) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => refuse(&format!("--{name}"), format!("{text} is no user or group id")),
        Err(_) => refuse(&format!("--{name}"), format!("{text:?} is not a number")),
    }
}

/// What the flags say of the process.
fn process(args: &Parsed) -> Result<ProcessFlags, Failure> {
    let command = args.positional.get(1..).unwrap_or_default();
    if command.is_empty() {
        return fail(format!("process args cannot be empty; usage: {}", help::usage(args.entry)));
    }
    let user = args.text("user").map(|user| match user.split_once(':') {
        None => Ok::<_, Failure>((id("user", user)?, None)),
        Some((user, group)) => Ok((id("user", user)?, Some(id("user", group)?))),
    });
    Ok(ProcessFlags {
        args: command.to_vec(),
        cwd: args.path("cwd"),
        env: args.texts("env"),
        terminal: args.is_on("tty"),
        user: user.transpose()?,
        additional_gids: args
            .values("additional-gids")
            .map(|gid| id("additional-gids", gid))
            .collect::<Result<_, _>>()?,
        capabilities: args.texts("cap"),
        apparmor: args.text("apparmor").map(str::to_owned),
        label: args.text("process-label").map(str::to_owned),
        no_new_privileges: args.value("no-new-privs").map(|value| value == "true"),
    })
}
