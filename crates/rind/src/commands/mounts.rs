//! `mounts`.

use super::global::runtime;
use crate::help;
use crate::log::Log;
use crate::model::{Command, Failure, Input, Parsed, fail};
use std::path::Path;

/// `mounts`.
pub const MOUNTS: Command = Command {
    arguments: "add|remove ID FILE",
    positional: (3, 3),
    input: Some(Input::Argument(2)),
    details: "FILE (- is stdin) has the mounts as JSON: a list as in the config's mounts. Either all are \
        added\nor none. To remove them only their destinations count; what still uses one keeps it. A\n\
        destination is a real path, without links of the container.",
    examples: &[
        ("rind mounts add web FILE", "adds the mounts of FILE to web"),
        ("rind mounts remove web FILE", "takes them away"),
    ],
    seals: true,
    ..Command::new("mounts", "add mounts to a container that is there, or take some away", mounts)
};

fn mounts(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let [action, id, file] = args.positional.as_slice() else {
        return fail(format!("usage: {}", help::usage(args.entry)));
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
