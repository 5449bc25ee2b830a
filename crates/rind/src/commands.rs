//! The commands: their tables, and from parsed arguments to the runtime's functions and back.

use crate::args::{self, Parsed};
use crate::completion;
use crate::criu;
use crate::limits;
use crate::log::{Level, Log};
use crate::man::{self, Page};
use runtime::{
    CgroupManager, CreateOptions, ExecOptions, ProcessFlags, ProcessSource, RunOptions, Runtime,
    Signal,
};
use std::path::{Path, PathBuf};
use sys::credentials::Id;
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
    /// The values that it can have, where these are few.
    pub choices: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
}

impl Flag {
    pub const fn one_of(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }
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
    /// After how many of them nothing is taken for a flag of ours any more, if it is so.
    pub plain_after: Option<usize>,
    /// What names a file to be read before all else, if it has one.
    pub input: Option<Input>,
    /// What it does, in a line.
    pub about: &'static str,
    /// What else there is to know.
    pub details: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
    /// Whether it puts a process of this program in reach of a container, and so is to run from a
    /// sealed copy.
    pub seals: bool,
    /// The exit status where it could not be done, which callers know from runc.
    pub failure: i32,
    /// Does it; gives the exit status.
    pub run: fn(&Parsed, &Log) -> Result<i32, Failure>,
}

/// What names a command's input file; `-` is stdin.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// A flag.
    Flag(&'static str),
    /// A positional argument, by its number from 0.
    Argument(usize),
}

/// Why a command could not be done, in words.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A flag by its name, letter, value and meaning.
pub const fn flag(
    name: &'static str,
    short: &'static str,
    value: &'static str,
    about: &'static str,
) -> Flag {
    Flag { name, short, value, choices: &[], about }
}

/// Flags that come before the command.
pub const GLOBAL_FLAGS: &[Flag] = &[
    flag("debug", "", "", "also tell what is being done"),
    flag("log", "", "FILE", "append messages to FILE instead of writing them to stderr"),
    flag("log-format", "", "FORMAT", "text (default) or json").one_of(&["text", "json"]),
    flag("root", "", "DIR", "where state is kept (/run/rind; for a user $XDG_RUNTIME_DIR/rind)"),
    flag(
        "rootless",
        "",
        "MODE",
        "whether missing permissions on cgroups are no error: true, false or auto",
    )
    .one_of(&["true", "false", "auto"]),
    flag(
        "cgroup-manager",
        "",
        "MANAGER",
        "who makes cgroups: cgroupfs (rind itself; the default for root), systemd, or disabled",
    )
    .one_of(&["cgroupfs", "systemd", "disabled"]),
    flag("systemd-cgroup", "", "", "have systemd make cgroups; cgroupsPath is SLICE:PREFIX:NAME"),
    flag("criu", "", "PATH", "criu, for checkpoint and restore (default: the one in PATH)"),
];

pub const BUNDLE: Flag = flag("bundle", "b", "DIR", "the bundle (default: the current directory)");
const CONFIG: Flag = flag("config", "", "FILE", "instead of the bundle's config.json");
pub const CONSOLE: Flag = flag(
    "console-socket",
    "",
    "SOCKET",
    "a socket that gets the master of the container's terminal",
);
const PIDFD: Flag =
    flag("pidfd-socket", "", "SOCKET", "a socket that gets a pidfd of the container's init");
pub const PID: Flag = flag("pid-file", "", "FILE", "where to write init's pid");
const PIVOT: Flag = flag("no-pivot", "", "", "don't use pivot_root: for a root on an initramfs");
const KEYRING: Flag = flag("no-new-keyring", "", "", "keep the caller's session keyring");
/// What the value of a flag is that counts something.
pub const COUNT: &str = "N";
const PRESERVE: Flag = flag(
    "preserve-fds",
    "",
    COUNT,
    "pass N more descriptors on, from 3 (after those of LISTEN_FDS)",
);

const JOIN: Flag =
    flag("join", "", "KIND,...=ID", "share namespaces of another container, as net,ipc,pid=web");
const REGEX: Flag = flag("regex", "", "", "ID is a regular expression: all containers that match");

const FORCE: Flag = flag("force", "f", "", "kill it first; an unknown id is no error then");

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "create",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "make a container, whose program waits for start",
        details: "The config is copied: what becomes of it later has no effect on the container.",
        flags: &[BUNDLE, CONFIG, CONSOLE, PIDFD, PID, PIVOT, KEYRING, PRESERVE, JOIN],
        seals: true,
        failure: 1,
        run: create,
    },
    Command {
        name: "start",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "run the program of a created container",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |args, log| {
            runtime::start(&runtime(args, log), id(args))?;
            Ok(0)
        },
    },
    Command {
        name: "run",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "create and start a container, and see it to its end",
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
            flag("keep", "", "", "don't delete the container at its end"),
            flag("no-subreaper", "", "", "don't take care of the container's orphans"),
        ],
        seals: true,
        failure: 1,
        run,
    },
    Command {
        name: "exec",
        arguments: "ID COMMAND [ARG...]",
        positional: (1, usize::MAX),
        plain_after: Some(2),
        input: Some(Input::Flag("process")),
        about: "run another program in a container",
        details: "What no flag says is as in the config's process. Signals are passed on, and the exit \
            status is\nthe program's, or 128 and the number of the signal that killed it; 255 if it \
            could not be run.\nA FIFO of --exec-fifo is made; one byte written to it lets the program \
            begin. After that the\nend of the file means that it has, and anything else is why not.",
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
            flag(
                "ignore-paused",
                "",
                "",
                "allow it in a paused container, to run once that resumes",
            ),
            flag("exec-fifo", "", "FIFO", "have the process wait at FIFO before its program"),
        ],
        seals: true,
        // Of the program's own statuses, the one least likely to be taken for one.
        failure: 255,
        run: exec,
    },
    Command {
        name: "state",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "print what a container is and does, as JSON",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |args, log| Ok(print(&runtime::state(&runtime(args, log), id(args))?)),
    },
    Command {
        name: "kill",
        arguments: "ID [SIGNAL]",
        positional: (1, 2),
        plain_after: None,
        input: None,
        about: "send a signal to a container's init",
        details: "SIGNAL is a number, or a name with or without SIG (default: TERM); 0 only asks \
            whether it lives.\nWhere the pid namespace is not the container's own, KILL goes to all of \
            its processes.",
        flags: &[
            flag("all", "a", "", "to all processes; a stopped container is no error then"),
            REGEX,
        ],
        seals: false,
        failure: 1,
        run: kill,
    },
    Command {
        name: "delete",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "remove a container that has stopped, or was never started",
        details: "",
        flags: &[FORCE, REGEX],
        seals: false,
        failure: 1,
        run: |args, log| {
            let (runtime, force) = (runtime(args, log), args.is_on("force"));
            each(args, &runtime, |id| runtime::delete(&runtime, id, force))
        },
    },
    Command {
        name: "ps",
        arguments: "ID [PS OPTION...]",
        positional: (1, usize::MAX),
        plain_after: Some(1),
        input: None,
        about: "list the processes of a container",
        details: "The options are for ps(1), which makes the table (default: -ef); it must have a column \
            PID.\nFlags of rind's own come before the id.",
        flags: &[flag("format", "f", "FORMAT", "table (default) or json, only pids")
            .one_of(&["table", "json"])],
        seals: false,
        failure: 1,
        run: ps,
    },
    Command {
        name: "pause",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "freeze all processes of a container",
        details: "It comes back when all have stopped. If they don't, or it is interrupted, they go on.",
        flags: &[],
        seals: false,
        failure: 1,
        run: |args, log| {
            runtime::pause(&runtime(args, log), id(args))?;
            Ok(0)
        },
    },
    Command {
        name: "resume",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "let the processes of a paused container go on",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |args, log| {
            runtime::resume(&runtime(args, log), id(args))?;
            Ok(0)
        },
    },
    Command {
        name: "update",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: Some(Input::Flag("resources")),
        about: "change the limits of a container",
        details: "What isn't given stays as it is, and so it does with 0 but for pids, burst and idle. If \
            anything\nis refused, nothing is changed. With --resources other limits are ignored.",
        flags: limits::UPDATE,
        seals: false,
        failure: 1,
        run: limits::update,
    },
    Command {
        name: "events",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "tell of a container's statistics and OOM kills, until it ends",
        details: "Each is a line of JSON: an object with type (stats or oom), id, and data.",
        flags: limits::EVENTS,
        seals: false,
        failure: 1,
        run: limits::events,
    },
    Command {
        name: "checkpoint",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "write a running container down with criu, to be restored",
        details: "The container is deleted then, unless it is to go on. If it fails, the container goes \
            on, and\ncriu's log is dump.log of the work directory.",
        flags: criu::CHECKPOINT,
        seals: false,
        failure: 1,
        run: criu::checkpoint,
    },
    Command {
        name: "restore",
        arguments: "ID",
        positional: (1, 1),
        plain_after: None,
        input: None,
        about: "make a container of a checkpoint with criu, and see it to its end",
        details: "Its processes go on where they were. The bundle must be as it was, but for the sources \
            of bind\nmounts, cgroups and joined namespaces. The exit status is as for run. criu's log is \
            restore.log\nof the work directory.",
        flags: criu::RESTORE,
        seals: false,
        failure: 1,
        run: criu::restore,
    },
    Command {
        name: "mounts",
        arguments: "add|remove ID FILE",
        positional: (3, 3),
        plain_after: None,
        input: Some(Input::Argument(2)),
        about: "add mounts to a container that is there, or take some away",
        details: "FILE (- is stdin) has the mounts as JSON: a list as in the config's mounts. Either all are \
            added\nor none. To remove them only their destinations count; what still uses one keeps it. A\n\
            destination is a real path, without links of the container.",
        flags: &[],
        seals: true,
        failure: 1,
        run: mounts,
    },
    Command {
        name: "list",
        arguments: "",
        positional: (0, 0),
        plain_after: None,
        input: None,
        about: "list all containers",
        details: "",
        flags: &[
            flag("format", "f", "FORMAT", "table (default) or json").one_of(&["table", "json"]),
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
        plain_after: None,
        input: None,
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
        plain_after: None,
        input: None,
        about: "print what this build of rind can do, as JSON",
        details: "",
        flags: &[],
        seals: false,
        failure: 1,
        run: |_, _| Ok(print(&runtime::features(env!("RIND_COMMIT")))),
    },
    Command {
        name: "completion",
        arguments: "SHELL [WORD...]",
        positional: (1, usize::MAX),
        plain_after: Some(1),
        input: None,
        about: "print what has bash, zsh or fish complete rind's command line",
        details: "It is for the shell to read: source <(rind completion bash), or rind completion fish | \
            source.\nGiven words of a command line, it prints what the last of them may become.",
        flags: &[],
        seals: false,
        failure: 1,
        run: completion,
    },
    Command {
        name: "man",
        arguments: "[PAGE]",
        positional: (0, 1),
        plain_after: None,
        input: None,
        about: "print a manual page",
        details: "PAGE is the name of a command; without it, the page is that of rind itself. To read \
            it:\nrind man | man -l -",
        flags: &[flag("output", "o", "DIR", "write all pages to DIR instead")],
        seals: false,
        failure: 1,
        run: man,
    },
];

pub fn id(args: &Parsed) -> &str {
    args.positional.first().map_or("", String::as_str)
}

fn print(text: &str) -> i32 {
    crate::print(&format!("{}\n", text.trim_end()))
}

pub fn fail<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(text.into()))
}

/// What a command needs before anything is opened: a sealed program where a container can reach it,
/// something open as stdin, stdout and stderr, and the caller's descriptors.
///
/// A file to be read may be one of these descriptors, as a shell's `<(...)` is, so that comes first.
pub fn prepare(args: &mut Parsed) -> Result<(), Failure> {
    let mut preserve = 0;
    if args.entry.seals {
        runtime::check_kernel()?;
        runtime::seal_executable()?;
    }
    // Once, in the sealed program: up to here nothing stays open or is written to.
    runtime::open_stdio()?;
    if args.entry.seals {
        preserve = preserved(args)?;
    }
    let input = args.entry.input.and_then(|input| match input {
        Input::Flag(name) => args.path(name),
        Input::Argument(number) => args.positional.get(number).map(PathBuf::from),
    });
    if let Some(path) = input {
        args.input = Some(read_input(&path)?);
    }
    if args.value("status-fd").is_some() {
        return Ok(runtime::hide_descriptors()?);
    }
    // Hooks get none of the caller's.
    Ok(runtime::claim_descriptors(preserve)?)
}

/// What is in `path`, or comes from stdin for `-`.
fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path.as_os_str() == "-" {
        runtime::read_within(std::io::stdin(), 0, runtime::LONGEST)
    } else {
        std::fs::File::open(path).and_then(|file| runtime::read_within(file, 0, runtime::LONGEST))
    };
    read.or_else(|error| fail(format!("{}: {}", path.display(), sys::answer(&error))))
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
pub fn runtime<'a>(args: &Parsed, log: &'a Log) -> Runtime<'a> {
    runtime_at(args.path("root"), log)
}

fn runtime_at(root: Option<PathBuf>, log: &Log) -> Runtime<'_> {
    Runtime {
        root_is_given: root.is_some(),
        root: root.map_or_else(default_root, |root| std::path::absolute(&root).unwrap_or(root)),
        warn: Box::new(|text| log.write(Level::Warning, text)),
        debug: log
            .has(Level::Debug)
            .then(|| -> runtime::Sink { Box::new(|text| log.write(Level::Debug, text)) }),
    }
}

fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() && is_rootless() && !is_called_root() => {
            PathBuf::from(directory).join("rind")
        }
        _ => PathBuf::from("/run/rind"),
    }
}

/// Whether we are root by name as well: then, in a user namespace, we are a whole system's root.
fn is_called_root() -> bool {
    geteuid().is_root() && std::env::var_os("USER").is_some_and(|name| name == "root")
}

/// Whether we are a user's, not root: also who is root in a user namespace, as below a rootless
/// engine.
fn is_rootless() -> bool {
    !geteuid().is_root() || sys::process::in_user_namespace()
}

fn create(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = create_options(args)?;
    runtime::create(&runtime(args, log), &options)?;
    Ok(0)
}

fn run(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = create_options(args)?;
    let run = RunOptions {
        detach: args.is_on("detach"),
        keep: args.is_on("keep"),
        no_subreaper: args.is_on("no-subreaper"),
    };
    Ok(runtime::run(&runtime(args, log), &options, run)?)
}

/// Who is to make cgroups. Podman gives `--systemd-cgroup` and `--cgroup-manager disabled` together.
fn cgroup_manager(args: &Parsed) -> Result<CgroupManager, Failure> {
    match args.value("cgroup-manager") {
        Some("cgroupfs") if args.is_on("systemd-cgroup") => {
            fail("--systemd-cgroup and --cgroup-manager cgroupfs exclude each other")
        }
        Some("cgroupfs") => Ok(CgroupManager::Cgroupfs),
        Some("systemd") => Ok(CgroupManager::Systemd),
        Some("disabled") => Ok(CgroupManager::Disabled),
        Some(other) => {
            fail(format!("--cgroup-manager: {other:?} is none of cgroupfs, systemd, disabled"))
        }
        None if args.is_on("systemd-cgroup") => Ok(CgroupManager::Systemd),
        None => Ok(CgroupManager::Fitting),
    }
}

pub fn create_options(args: &Parsed) -> Result<CreateOptions, Failure> {
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
        join: args.values("join").map(str::to_owned).collect(),
        manager: cgroup_manager(args)?,
        rootless: match args.value("rootless") {
            None | Some("auto") => is_rootless(),
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                return fail(format!("--rootless: {other:?} is none of true, false, auto"));
            }
        },
    })
}

fn exec(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let options = ExecOptions {
        id: id(args).to_owned(),
        process: match (&args.input, args.value("process")) {
            (Some(text), Some(name)) => ProcessSource::Text(text.clone(), PathBuf::from(name)),
            _ => ProcessSource::Flags(Box::new(process_flags(args)?)),
        },
        detach: args.is_on("detach"),
        console_socket: args.path("console-socket"),
        pidfd_socket: args.path("pidfd-socket"),
        pid_file: args.path("pid-file"),
        exec_fifo: args.path("exec-fifo"),
        preserve_fds: preserved(args)?,
        listen_fds: runtime::listen_descriptors(),
        cgroups: args.values("cgroup").map(str::to_owned).collect(),
        ignore_paused: args.is_on("ignore-paused"),
    };
    Ok(runtime::exec(&runtime(args, log), &options)?)
}

/// What the command line says of a process.
fn process_flags(args: &Parsed) -> Result<ProcessFlags, Failure> {
    fn id<Kind: Copy>(name: &str, text: &str) -> Result<Id<Kind>, Failure> {
        match text.parse::<u32>().map(Id::new) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => fail(format!("--{name}: {text} is no user or group id")),
            Err(_) => fail(format!("--{name}: {text:?} is not a number")),
        }
    }
    let texts = |name: &str| args.values(name).map(str::to_owned).collect::<Vec<_>>();
    let command = args.positional.get(1..).unwrap_or_default();
    if command.is_empty() {
        return fail(format!(
            "process args cannot be empty; usage: {}",
            crate::help::usage(args.entry)
        ));
    }
    let user = args.value("user").filter(|user| !user.is_empty());
    let user = user.map(|user| match user.split_once(':') {
        None => Ok::<_, Failure>((id("user", user)?, None)),
        Some((user, group)) => Ok((id("user", user)?, Some(id("user", group)?))),
    });
    Ok(ProcessFlags {
        args: command.to_vec(),
        cwd: args.path("cwd"),
        env: texts("env"),
        terminal: args.is_on("tty"),
        user: user.transpose()?,
        additional_gids: args
            .values("additional-gids")
            .map(|gid| id("additional-gids", gid))
            .collect::<Result<_, _>>()?,
        capabilities: texts("cap"),
        apparmor: args.value("apparmor").filter(|v| !v.is_empty()).map(str::to_owned),
        label: args.value("process-label").filter(|v| !v.is_empty()).map(str::to_owned),
        no_new_privileges: args.value("no-new-privs").map(|value| value == "true"),
    })
}

fn kill(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    // An empty one is as if it were not there, as callers of runc may have it.
    let given = args.positional.get(1).filter(|text| !text.is_empty());
    let signal: Signal = given.map_or("TERM", String::as_str).parse()?;
    let (runtime, all) = (runtime(args, log), args.is_on("all"));
    each(args, &runtime, |id| runtime::kill(&runtime, id, signal, all))
}

/// Does something to the container that is named, or with --regex to each that matches; then one
/// that fails does not keep it from the others, and all failures are told.
fn each(
    args: &Parsed,
    runtime: &Runtime,
    mut run: impl FnMut(&str) -> Result<(), runtime::Error>,
) -> Result<i32, Failure> {
    if !args.is_on("regex") {
        run(id(args))?;
        return Ok(0);
    }
    let mut failures = Vec::new();
    for id in runtime::matching(runtime, id(args))? {
        match run(&id) {
            Err(error) if !error.is_not_found() => failures.push(format!("{id}: {error}")),
            _ => {}
        }
    }
    if failures.is_empty() { Ok(0) } else { fail(failures.join("; ")) }
}

fn mounts(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let [action, id, file] = args.positional.as_slice() else {
        return fail(format!("usage: {}", crate::help::usage(args.entry)));
    };
    let (runtime, name) = (runtime(args, log), Path::new(file));
    let text = args.input.as_deref().unwrap_or_default();
    match action.as_str() {
        "add" => runtime::add_mounts(&runtime, id, text, name)?,
        "remove" => runtime::remove_mounts(&runtime, id, text, name)?,
        other => return fail(format!("mounts: {other:?} is neither add nor remove")),
    }
    Ok(0)
}

fn list(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let runtime = runtime(args, log);
    let format = args.value("format").unwrap_or("table");
    let text = match format {
        _ if args.is_on("quiet") => runtime::list_quiet(&runtime)?,
        "table" => runtime::list_table(&runtime)?,
        "json" => runtime::list_json(&runtime)? + "\n",
        other => return fail(format!("--format: {other:?} is neither table nor json")),
    };
    Ok(crate::print(&text))
}

fn ps(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let runtime = runtime(args, log);
    let text = match args.value("format").unwrap_or("table") {
        "table" => {
            runtime::ps_table(&runtime, id(args), args.positional.get(1..).unwrap_or_default())?
        }
        "json" => runtime::ps_json(&runtime, id(args))? + "\n",
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

fn completion(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let Some((shell, words)) = args.positional.split_first() else { return Ok(1) };
    let Some(script) = completion::script(shell) else {
        return fail(format!("{shell:?} is none of bash, zsh, fish"));
    };
    if words.is_empty() {
        return Ok(crate::print(script));
    }
    // A shell that completes has no use for the reason why there are none.
    let ids = |root: Option<&str>| {
        let root = root.map(PathBuf::from).or_else(|| args.path("root"));
        let ids = runtime::list_quiet(&runtime_at(root, log)).unwrap_or_default();
        ids.lines().map(str::to_owned).collect()
    };
    Ok(crate::print(&completion::offers(shell, words, ids)))
}

fn man(args: &Parsed, _: &Log) -> Result<i32, Failure> {
    let page = match args.positional.first() {
        None => Page(None),
        Some(name) => Page(Some(args::find(name).map_err(|wrong| Failure(wrong.text))?)),
    };
    let Some(folder) = args.path("output") else { return Ok(crate::print(&page.text())) };
    let at = |path: &Path, error| Failure(format!("{}: {}", path.display(), sys::answer(&error)));
    std::fs::create_dir_all(&folder).map_err(|error| at(&folder, error))?;
    for page in man::all() {
        let path = folder.join(page.file());
        runtime::replace(&path, page.text().as_bytes()).map_err(|error| at(&path, error))?;
    }
    Ok(0)
}
