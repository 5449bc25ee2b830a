//! Makes the texts of `--help` and `--version`, from the tables that parse the command line. It
//! must not print them.

use crate::model::{Command, Flag, Program, STATUS, flag};
use std::fmt::Write;

/// What rind is.
pub const SUMMARY: &str = "an OCI container runtime: a thin skin around a process";

/// How to call it.
pub const USAGE: &str = "rind [GLOBAL FLAG...] COMMAND [FLAG...] [ID] [ARG...]";

/// What it needs.
pub const INTRODUCTION: &str =
    "A container is made from a bundle: a directory with a config.json and a root file system.";

/// A flag of every command, and of the line without a command.
pub const HELP: Flag = flag("help", "h", "", "show this, or the help of a command");

/// Flags that only print.
pub const COMMON_FLAGS: &[Flag] = &[HELP, flag("version", "v", "", "show the version")];

/// What `--version` prints.
pub fn version() -> String {
    format!("rind {}\n", runtime::version(env!("RIND_COMMIT")))
}

/// What `--help` prints. It has to fit on a screen.
pub fn overview(program: &Program) -> String {
    let mut text = format!("rind - {SUMMARY}\nusage: {USAGE}\n\nexamples:\n");
    text += &pairs(program.examples.iter().copied());
    text += "\ncommands:\n";
    let (aside, listed): (Vec<_>, Vec<_>) =
        program.commands.iter().partition(|command| command.is_aside);
    let names = aside.iter().map(|command| command.name).collect::<Vec<_>>().join(", ");
    let rows = listed.iter().map(|command| (command.name, command.about));
    let also = (!names.is_empty()).then_some(("also", names.as_str()));
    text += &pairs(rows.chain(also));
    text += "\nglobal flags:\n";
    let common = COMMON_FLAGS.iter().map(synopsis).collect::<Vec<_>>().join("; ");
    let all = program.flags.iter().map(|flag| (synopsis(flag), flag.about));
    let about = "this, or the help of a command; the version";
    let all: Vec<_> = all.chain([(common, about)]).collect();
    text += &pairs(all.iter().map(|(flag, about)| (flag.as_str(), *about)));
    text
}

/// What `COMMAND --help` prints.
pub fn of(command: &Command) -> String {
    let mut text =
        format!("rind {} - {}\n\nusage: {}\n", command.name, command.about, usage(command));
    if !command.details.is_empty() {
        text += "\n";
        text += command.details;
        text += "\n";
    }
    if !command.flags.is_empty() {
        text += "\nflags:\n";
        let all: Vec<_> = command.flags.iter().map(|flag| (synopsis(flag), flag.about)).collect();
        text += &pairs(all.iter().map(|(flag, about)| (flag.as_str(), *about)));
    }
    if !command.examples.is_empty() {
        text += "\nexamples:\n";
        text += &pairs(command.examples.iter().copied());
    }
    if command.status != STATUS {
        text += "\nexit status:\n  ";
        text += &command.status.replace('\n', "\n  ");
        text += "\n";
    }
    text
}

/// One line that shows how to call a command.
pub fn usage(command: &Command) -> String {
    let flags = if command.flags.is_empty() { "" } else { " [FLAG...]" };
    let space = if command.arguments.is_empty() { "" } else { " " };
    format!("rind {}{flags}{space}{}", command.name, command.arguments)
}

/// A flag with its letter and its value.
fn synopsis(flag: &Flag) -> String {
    let short = if flag.short.is_empty() { String::new() } else { format!(", -{}", flag.short) };
    let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
    format!("--{}{short}{value}", flag.name)
}

/// Lines of two columns.
fn pairs<'a>(rows: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> String {
    let width = rows.clone().map(|(first, _)| first.len()).max().unwrap_or(0);
    rows.fold(String::new(), |mut text, (first, second)| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {first:width$}  {second}");
        text
    })
}
