//! `state`, `ps`, `list` and `features`: what there is.

use super::global::runtime;
use crate::log::Log;
use crate::model::{Command, Failure, Parsed, flag, refuse};
use crate::output;

/// `state`.
pub const STATE: Command = Command {
    examples: &[("rind state web", "prints its status, pid, bundle and annotations")],
    ..Command::new("state", "print what a container is and does, as JSON", |args, log| {
        output::print_line(&runtime::state(&runtime(args, log), args.id())?)
    })
};

/// `ps`.
pub const PS: Command = Command {
    arguments: "ID [PS OPTION...]",
    positional: (1, usize::MAX),
    plain_after: Some(1),
    details: "The options are for ps(1), which makes the table (default: -ef); it must have a column \
        PID.\nFlags of rind's own come before the id.",
    examples: &[
        ("rind ps web", "lists its processes"),
        ("rind ps web -o pid,rss,args", "with these columns of ps(1)"),
        ("rind ps --format json web", "only their numbers"),
    ],
    flags: &[flag("format", "f", "FORMAT", "table (default) or json, only pids")
        .one_of(&["table", "json"])],
    ..Command::new("ps", "list the processes of a container", ps)
};

fn ps(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let (runtime, id) = (runtime(args, log), args.id());
    let text = match args.value("format").unwrap_or("table") {
        "table" => {
            let options = args.positional.get(1..).unwrap_or_default();
            return output::print_table(&runtime::ps_table(&runtime, id, options)?);
        }
        "json" => runtime::ps_json(&runtime, id)? + "\n",
        other => return refuse("--format", format!("{other:?} is neither table nor json")),
    };
    output::print(&text)
}

/// `list`.
pub const LIST: Command = Command {
    arguments: "",
    positional: (0, 0),
    examples: &[
        ("rind list", "as a table"),
        ("rind list --quiet", "only ids, one a line"),
        ("rind list --format json", "for programs"),
    ],
    flags: &[
        flag("format", "f", "FORMAT", "table (default) or json").one_of(&["table", "json"]),
        flag("quiet", "q", "", "only ids"),
    ],
    ..Command::new("list", "list all containers", list)
};

fn list(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let runtime = runtime(args, log);
    let text = match args.value("format").unwrap_or("table") {
        _ if args.is_on("quiet") => runtime::list_quiet(&runtime)?,
        "table" => return output::print_table(&runtime::list_table(&runtime)?),
        "json" => runtime::list_json(&runtime)? + "\n",
        other => return refuse("--format", format!("{other:?} is neither table nor json")),
    };
    output::print(&text)
}

/// `features`.
pub const FEATURES: Command = Command {
    arguments: "",
    positional: (0, 0),
    is_aside: true,
    examples: &[("rind features", "prints namespaces, mount options, hooks and all else")],
    ..Command::new("features", "print what this build of rind can do, as JSON", |_, _| {
        output::print_line(&runtime::features(env!("RIND_COMMIT")))
    })
};
