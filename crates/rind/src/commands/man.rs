//! `man`.

use super::PROGRAM;
use crate::args;
use crate::log::Log;
use crate::man::{self, Page};
use crate::model::{Command, Failure, Parsed, flag};
use crate::output;
use sys::Explain;

/// `man`.
pub const MAN: Command = Command {
    arguments: "[PAGE]",
    positional: (0, 1),
    details: "PAGE is the name of a command; without it, the page is that of rind itself. To read \
        it:\nrind man | man -l -",
    is_aside: true,
    examples: &[
        ("rind man run | man -l -", "shows the page of run"),
        ("rind man --output /usr/local/share/man/man8", "writes all pages there"),
    ],
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
        return output::print(&page.text(&PROGRAM));
    };
    std::fs::create_dir_all(&folder).about(&folder)?;
    for page in man::all(&PROGRAM) {
        let path = folder.join(page.file());
        runtime::replace(&path, page.text(&PROGRAM).as_bytes()).about(&path)?;
    }
    Ok(0)
}
