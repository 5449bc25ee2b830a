//! `spec`.

use crate::log::Log;
use crate::model::{Command, Failure, Parsed, flag};
use std::fs::{File, remove_file};
use std::io::{ErrorKind, Write};
use sys::Explain;

/// `spec`.
pub const SPEC: Command = Command {
    arguments: "",
    positional: (0, 0),
    details: "An existing one is never replaced.",
    examples: &[
        ("rind spec", "writes ./config.json"),
        ("rind spec --rootless --bundle /srv/web", "writes one for another user than root"),
    ],
    flags: &[
        flag("bundle", "b", "DIR", "where to (default: the current directory)"),
        flag("rootless", "", "", "for a container of a user other than root"),
    ],
    ..Command::new("spec", "write a config.json to begin with", spec)
};

fn spec(args: &Parsed, _: &Log) -> Result<i32, Failure> {
    let path = args.path("bundle").unwrap_or_default().join("config.json");
    let text = runtime::template(args.is_on("rootless"));
    let mut file = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let path = path.display().to_string();
            return Err(Failure::new(format!("{path} exists. Remove it first")).with_object(path));
        }
        made => made.on("making", &path)?,
    };
    let written = file.write_all(text.as_bytes());
    // Half a file would keep a second try from succeeding.
    let written = written.inspect_err(|_| drop(remove_file(&path)));
    written.map(|()| 0).on("writing", &path)
}
