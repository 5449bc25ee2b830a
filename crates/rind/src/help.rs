//! Makes the texts of `--help` and `--version`, from the tables that parse the command line. It
//! must not print them.

use crate::model::{Command, Flag, Program, flag};
use std::fmt::Write;

/// What rind is.
pub const SUMMARY: &str = "an OCI container runtime: a thin skin around a process";

/// How to call it.
pub const USAGE: &str = "rind [GLOBAL FLAG...] COMMAND [FLAG...] [ID] [ARG...]";

/// How to begin.
pub const INTRODUCTION: &str =
    "A container is made from a bundle: a directory with a config.json and a root file system.
    # rind spec                    writes a config.json to begin with
    # rind run --bundle DIR ID     runs it, in the foreground";

/// A flag of every command, and of the line without a command.
pub const HELP: Flag = flag("help", "h", "", "show this, or the help of a command");

/// Flags that only print.
pub const COMMON_FLAGS: &[Flag] = &[HELP, flag("version", "v", "", "show the version")];

/// What `--version` prints.
pub fn version() -> String {
    format!("rind {}\n", runtime::version(env!("RIND_COMMIT")))
}

/// What `--help` prints.
pub fn overview(program: &Program) -> String {
    let mut text = format!("rind - {SUMMARY}\n\nusage: {USAGE}\n\n{INTRODUCTION}\n\ncommands:\n");
    let width = program.commands.iter().map(|command| command.name.len()).max().unwrap_or(0);
    for command in program.commands {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {:width$}  {}", command.name, command.about);
    }
    text += "\nglobal flags:\n";
    text += &flags(program.flags);
    text += &flags(COMMON_FLAGS);
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
        text += &flags(command.flags);
    }
    text
}

/// One line that shows how to call a command.
pub fn usage(command: &Command) -> String {
    let flags = if command.flags.is_empty() { "" } else { " [FLAG...]" };
    let space = if command.arguments.is_empty() { "" } else { " " };
    format!("rind {}{flags}{space}{}", command.name, command.arguments)
}

fn flags(table: &[Flag]) -> String {
    let synopsis = |flag: &Flag| {
        let short =
            if flag.short.is_empty() { String::new() } else { format!(", -{}", flag.short) };
        let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
        format!("--{}{short}{value}", flag.name)
    };
    let width = table.iter().map(|flag| synopsis(flag).len()).max().unwrap_or(0);
    table.iter().fold(String::new(), |mut text, flag| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {:width$}  {}", synopsis(flag), flag.about);
        text
    })
}
