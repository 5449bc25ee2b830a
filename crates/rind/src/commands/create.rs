//! `create`, and the flags of all commands that make a container.

use super::global;
use super::timed::{TIMING, TIMING_FILE, timed};
use crate::log::Log;
use crate::model::{COUNT, Command, Failure, Flag, Parsed, flag, refuse};
use runtime::CreateOptions;
use std::path::PathBuf;

pub const BUNDLE: Flag = flag("bundle", "b", "DIR", "the bundle (default: the current directory)");
pub const CONFIG: Flag = flag("config", "", "FILE", "instead of the bundle's config.json");
pub const CONSOLE: Flag = flag(
    "console-socket",
    "",
    "SOCKET",
    "a socket that gets the master of the container's terminal",
);
pub const PIDFD: Flag =
    flag("pidfd-socket", "", "SOCKET", "a socket that gets a pidfd of the container's init");
pub const PID: Flag = flag("pid-file", "", "FILE", "where to write init's pid");
pub const PIVOT: Flag =
    flag("no-pivot", "", "", "don't use pivot_root: for a root on an initramfs");
pub const KEYRING: Flag = flag("no-new-keyring", "", "", "keep the caller's session keyring");
pub const PRESERVE: Flag = flag(
    "preserve-fds",
    "",
    COUNT,
    "pass N more descriptors on, from 3 (after those of LISTEN_FDS)",
);
pub const JOIN: Flag =
    flag("join", "", "KIND,...=ID", "share namespaces of another container, as net,ipc,pid=web");

/// `create`.
pub const CREATE: Command = Command {
    details: "The config is copied: what becomes of it later has no effect on the container.",
    examples: &[
        ("rind create --bundle /srv/web web", "makes it; its program waits for: rind start web"),
        ("rind create --join net,ipc=web side", "makes one with the network and IPC of web"),
    ],
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
        TIMING,
        TIMING_FILE,
    ],
    seals: true,
    ..Command::new("create", "make a container, whose program waits for start", create)
};

fn create(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = options(args)?;
    timed(args, log, |runtime| runtime::create(runtime, &options).map(|()| 0))
}

/// What the flags of a command that makes a container say of it.
pub fn options(args: &Parsed) -> Result<CreateOptions, Failure> {
    Ok(CreateOptions {
        id: args.id().to_owned(),
        bundle: args.path("bundle").unwrap_or_else(|| PathBuf::from(".")),
        config: args.path("config"),
        console_socket: args.path("console-socket"),
        pidfd_socket: args.path("pidfd-socket"),
        pid_file: args.path("pid-file"),
        no_pivot: args.is_on("no-pivot"),
        no_new_keyring: args.is_on("no-new-keyring"),
        preserve_fds: preserved(args)?,
        listen_fds: runtime::listen_fds(),
        join: args.texts("join"),
        manager: global::cgroup_manager(args)?,
        rootless: global::rootless(args)?,
    })
}

/// How many descriptors the container gets, those of `LISTEN_FDS` first.
pub fn preserved(args: &Parsed) -> Result<u32, Failure> {
    let count = args.value("preserve-fds").unwrap_or("0");
    let Ok(count) = count.parse::<u16>() else {
        return refuse("--preserve-fds", format!("{count:?} is not a number of descriptors"));
    };
    Ok(runtime::listen_fds() + u32::from(count))
}
