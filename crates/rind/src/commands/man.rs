//! `man`.

use super::PROGRAM;
use crate::args;
use crate::log::Log;
use crate::man::{self, Page};
use crate::model::{Command, Failure, Parsed, flag};
use crate::output;
use std::path::Path;

/// `man`.
pub const MAN: Command = Command {
    arguments: "[PAGE]",
    positional: (0, 1),
    details: "PAGE is the name of a command; without it, the page is that of rind itself. To read \
        it:\nrind man | man -l -",
    flags: &[flag("output", "o", "DIR", "write all pages to DIR instead")],
    ..Command::new("man", "print a manual page", man)
};

fn man(args: &Parsed, _: &Log) -> Result<i32, Failure> {
    let page = match args.positional.first() {
        None => Page(None),
        Some(name) => {
            Page(Some(args::find(&PROGRAM, name).map_err(|wrong| Failure::new(wrong.text))?))
        }
    };
    let Some(folder) = args.path("output") else {
        return Ok(output::print(&page.text(&PROGRAM)));
    };
    let at =
        |path: &Path, error| Failure::new(format!("{}: {}", path.display(), sys::answer(&error)));
    std::fs::create_dir_all(&folder).map_err(|error| at(&folder, error))?;
    for page in man::all(&PROGRAM) {
        let path = folder.join(page.file());
        let text = page.text(&PROGRAM);
        runtime::replace(&path, text.as_bytes()).map_err(|error| at(&path, error))?;
    }
    Ok(0)
}
