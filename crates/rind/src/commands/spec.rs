//! `spec`.

use crate::log::Log;
use crate::model::{Command, Failure, Parsed, flag};
use std::fs::File;
use std::io::{ErrorKind, Write};
use sys::Explain;

/// `spec`.
pub const SPEC: Command = Command {
    arguments: "",
    positional: (0, 0),
    details: "An existing one is never replaced.",
    flags: &[
        flag("bundle", "b", "DIR", "where to (default: the current directory)"),
        flag("rootless", "", "", "for a container of a user other than root"),
    ],
    ..Command::new("spec", "write a config.json to begin with", spec)
};

fn spec(args: &Parsed, _: &Log) -> Result<i32, Failure> {
    let path = args.path("bundle").unwrap_or_default().join("config.json");
    let text = runtime::template(args.is_on("rootless"));
    match File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let path = path.display().to_string();
            Err(Failure::new(format!("{path} exists. Remove it first")).with_object(path))
        }
        written => written.map(|()| 0).about(&path),
    }
}
