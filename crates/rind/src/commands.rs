//! The commands: their tables, and from parsed arguments to the runtime's functions and back.

use crate::args::Parsed;
use crate::log::{Level, Log};
use runtime::{CreateOptions, RunOptions, Runtime, Signal};
use std::path::PathBuf;
use sys::nix::unistd::geteuid;

/// A flag of the command line.
#[derive(Debug)]
pub struct Flag {
    /// Its name, after one dash or two.
    pub name: &'static str,
    /// A letter for it, or nothing.
    pub short: &'static str,
    /// What its value is, in capitals; nothing for a switch.
    pub value: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// A command of the command line.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its positional arguments, for the usage line.
    pub arguments: &'static str,
    /// How many of them there are, at least and at most.
    pub positional: (usize, usize),
    /// What it does, in a line.
    pub about: &'static str,
    /// What else there is to know.
    pub details: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
    /// Whether it puts a process of this program in reach of a container, and so is to run from a
    /// sealed copy.
    pub seals: bool,
    /// The exit status where it could not be done.
    pub failure: i32,
    /// Does it; gives the exit status.
    pub run: fn(&Parsed, &Log) -> Result<i32, Failure>,
}

/// Why a command could not be done, in words.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

const fn flag(
    name: &'static str,
    short: &'static str,
    value: &'static str,
    about: &'static str,
) -> Flag {
    Flag { name, short, value, about }
}

/// Flags that come before the command.
pub const GLOBAL_FLAGS: &[Flag] = &[
    flag("debug", "", "", "also tell what is being done"),
    flag("log", "", "FILE", "append messages to FILE instead of writing them to stderr"),
    flag("log-format", "", "FORMAT", "text (default) or json"),
    flag("root", "", "DIR", "where state is kept (/run/rind; for a user $XDG_RUNTIME_DIR/rind)"),
    flag(
        "rootless",
        "",
        "MODE",
        "whether missing permissions on cgroups are no error: true, false or auto",
    ),
    flag("cgroup-manager", "", "MANAGER", "cgroupfs (default) or disabled: leave cgroups alone"),
    flag("systemd-cgroup", "", "", "have systemd manage cgroups: not supported yet, so an error"),
    flag("criu", "", "PATH", "taken for the sake of runc's callers, and not used"),
];

const BUNDLE: Flag = flag("bundle", "b", "DIR", "the bundle (default: the current directory)");
const CONFIG: Flag = flag("config", "", "FILE", "instead of the bundle's config.json");
const CONSOLE: Flag = flag(
    "console-socket",
    "",
    "SOCKET",
    "a socket that gets the master of the container's terminal",
);
const PIDFD: Flag =
    flag("pidfd-socket", "", "SOCKET", "a socket that gets a pidfd of the container's init");
const PID: Flag = flag("pid-file", "", "FILE", "where to write init's pid");
const PIVOT: Flag = flag("no-pivot", "", "", "don't use pivot_root: for a root on an initramfs");
const KEYRING: Flag = flag("no-new-keyring", "", "", "keep the caller's session keyring");
const PRESERVE: Flag =
    flag("preserve-fds", "", "N", "pass N more descriptors on, from 3 (after those of LISTEN_FDS)");

const FORCE: Flag = flag("force", "f", "", "kill it first; an unknown id is no error then");

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "create",
        arguments: "ID",
        positional: (1, 1),
        about: "make a container, whose program waits for start",
        details: "The config is copied: what becomes of it later has no effect on the container.",
        flags: &[BUNDLE, CONFIG, CONSOLE, PIDFD, PID, PIVOT, KEYRING, PRESERVE],
        seals: true,
        failure: 1,
        run: create,
    },
    Command {
        name: "start",
        arguments: "ID",
        positional: (1, 1),
        about: "run the program of a created container",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |args, log| {
            runtime::start(&runtime(args, log)?, id(args))?;
            Ok(0)
        },
    },
    Command {
        name: "run",
        arguments: "ID",
        positional: (1, 1),
        about: "create and start a container, and see it to its end",
        details: "Signals are passed on to the program. The exit status is the program's, or 128 and \
            the\nnumber of the signal that killed it; 255 if it could not be run.",
        flags: &[
            BUNDLE,
            CONFIG,
            CONSOLE,
            PIDFD,
            PID,
            PIVOT,
            KEYRING,
            PRESERVE,
            flag("detach", "d", "", "come back once the program runs"),
            flag("keep", "", "", "don't delete the container at its end"),
            flag("no-subreaper", "", "", "don't take care of the container's orphans"),
        ],
        seals: true,
        // Of the program's own statuses, the one least likely to be taken for one.
        failure: 255,
        run,
    },
    Command {
        name: "state",
        arguments: "ID",
        positional: (1, 1),
        about: "print what a container is and does, as JSON",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |args, log| Ok(print(&runtime::state(&runtime(args, log)?, id(args))?)),
    },
    Command {
        name: "kill",
        arguments: "ID [SIGNAL]",
        positional: (1, 2),
        about: "send a signal to a container's init",
        details: "SIGNAL is a number, or a name with or without SIG (default: TERM). Where the pid \
            namespace is\nnot the container's own, KILL goes to all of its processes.",
        flags: &[flag("all", "a", "", "to all processes; a stopped container is no error then")],
        seals: false,
        failure: 1,
        run: kill,
    },
    Command {
        name: "delete",
        arguments: "ID",
        positional: (1, 1),
        about: "remove a container that has stopped, or was never started",
        details: "",
        flags: &[FORCE],
        seals: false,
        failure: 1,
        run: |args, log| {
            runtime::delete(&runtime(args, log)?, id(args), args.is_on("force"))?;
            Ok(0)
        },
    },
    Command {
        name: "list",
        arguments: "",
        positional: (0, 0),
        about: "list all containers",
        details: "",
        flags: &[
            flag("format", "f", "FORMAT", "table (default) or json"),
            flag("quiet", "q", "", "only ids"),
        ],
        seals: false,
        failure: 1,
        run: list,
    },
    Command {
        name: "spec",
        arguments: "",
        positional: (0, 0),
        about: "write a config.json to begin with",
        details: "An existing one is never replaced.",
        flags: &[
            flag("bundle", "b", "DIR", "where to (default: the current directory)"),
            flag("rootless", "", "", "for a container of a user other than root"),
        ],
        seals: false,
        failure: 1,
        run: spec,
    },
    Command {
        name: "features",
        arguments: "",
        positional: (0, 0),
        about: "print what this build of rind can do, as JSON",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |_, _| Ok(print(&runtime::features())),
    },
];

fn id(args: &Parsed) -> &str {
    args.positional.first().map_or("", String::as_str)
}

fn print(text: &str) -> i32 {
    crate::print(&format!("{}\n", text.trim_end()))
}

fn fail<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(text.into()))
}

/// What a command needs before anything is opened: a sealed program where a container can reach it,
/// and the caller's descriptors.
pub fn prepare(args: &Parsed) -> Result<(), Failure> {
    let mut preserve = 0;
    if args.entry.seals {
        runtime::check_kernel()?;
        runtime::seal_executable()?;
        preserve = preserved(args)?;
    }
    // Hooks get none of the caller's.
    Ok(runtime::claim_descriptors(preserve)?)
}

/// How many descriptors the container gets, those of `LISTEN_FDS` first.
fn preserved(args: &Parsed) -> Result<u32, Failure> {
    let count = args.value("preserve-fds").unwrap_or("0");
    let Ok(count) = count.parse::<u16>() else {
        return fail(format!("--preserve-fds: {count:?} is not a number of descriptors"));
    };
    Ok(runtime::listen_descriptors() + u32::from(count))
}

/// What the global flags say.
fn runtime<'a>(args: &Parsed, log: &'a Log) -> Result<Runtime<'a>, Failure> {
    if args.is_on("systemd-cgroup") || args.value("cgroup-manager") == Some("systemd") {
        return fail(
            "--systemd-cgroup: rind can't have systemd manage cgroups yet; leave the flag out, and \
             give cgroupsPath as a path",
        );
    }
    let root = args.path("root");
    Ok(Runtime {
        root_is_given: root.is_some(),
        root: root.map_or_else(default_root, |root| std::path::absolute(&root).unwrap_or(root)),
        warn: Box::new(|text| log.write(Level::Warning, text)),
        debug: log
            .has(Level::Debug)
            .then(|| -> runtime::Sink { Box::new(|text| log.write(Level::Debug, text)) }),
    })
}

fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !geteuid().is_root() && !directory.is_empty() => {
            PathBuf::from(directory).join("rind")
        }
        _ => PathBuf::from("/run/rind"),
    }
}

fn create(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = create_options(args)?;
    runtime::create(&runtime(args, log)?, &options)?;
    Ok(0)
}

fn run(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = create_options(args)?;
    let run = RunOptions {
        detach: args.is_on("detach"),
        keep: args.is_on("keep"),
        no_subreaper: args.is_on("no-subreaper"),
    };
    Ok(runtime::run(&runtime(args, log)?, &options, run)?)
}

fn create_options(args: &Parsed) -> Result<CreateOptions, Failure> {
    Ok(CreateOptions {
        id: id(args).to_owned(),
        bundle: args.path("bundle").unwrap_or_else(|| PathBuf::from(".")),
        config: args.path("config"),
        console_socket: args.path("console-socket"),
        pidfd_socket: args.path("pidfd-socket"),
        pid_file: args.path("pid-file"),
        no_pivot: args.is_on("no-pivot"),
        no_new_keyring: args.is_on("no-new-keyring"),
        preserve_fds: preserved(args)?,
        listen_fds: runtime::listen_descriptors(),
        no_cgroups: match args.value("cgroup-manager") {
            None | Some("cgroupfs" | "systemd") => false,
            Some("disabled") => true,
            Some(other) => {
                return fail(format!("--cgroup-manager: {other:?} is none of cgroupfs, disabled"));
            }
        },
        rootless: match args.value("rootless") {
            None | Some("auto") => !geteuid().is_root(),
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                return fail(format!("--rootless: {other:?} is none of true, false, auto"));
            }
        },
    })
}

fn kill(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let signal: Signal = args.positional.get(1).map_or("TERM", String::as_str).parse()?;
    runtime::kill(&runtime(args, log)?, id(args), signal, args.is_on("all"))?;
    Ok(0)
}

fn list(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let runtime = runtime(args, log)?;
    let format = args.value("format").unwrap_or("table");
    let text = match format {
        _ if args.is_on("quiet") => runtime::list_quiet(&runtime)?,
        "table" => runtime::list_table(&runtime)?,
        "json" => runtime::list_json(&runtime)? + "\n",
        other => return fail(format!("--format: {other:?} is neither table nor json")),
    };
    Ok(crate::print(&text))
}

fn spec(args: &Parsed, _: &Log) -> Result<i32, Failure> {
    use std::io::Write;
    let path = args.path("bundle").unwrap_or_default().join("config.json");
    let text = runtime::template(args.is_on("rootless"));
    let written = std::fs::File::create_new(&path).and_then(|mut f| f.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fail(format!("{} exists. Remove it first", path.display()))
        }
        Err(error) => fail(format!("{}: {}", path.display(), sys::answer(&error))),
    }
}
