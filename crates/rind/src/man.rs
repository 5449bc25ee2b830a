//! Makes manual pages from the tables that parse the command line: roff, with the macros of man(7).
//! It must not write them.

use crate::help::{COMMON_FLAGS, HELP, INTRODUCTION, SUMMARY, USAGE, usage};
use crate::model::{Command, Flag, Program};
use std::fmt::Write;

/// The page of a command, or rind's own.
#[derive(Clone, Copy, Debug)]
pub struct Page(pub Option<&'static Command>);

/// All pages.
pub fn all(program: &Program) -> impl Iterator<Item = Page> {
    std::iter::once(Page(None)).chain(program.commands.iter().map(|command| Page(Some(command))))
}

impl Page {
    /// The name of its file.
    pub fn file(self) -> String {
        format!("{}.8", self.name())
    }

    fn name(self) -> String {
        self.0.map_or_else(|| "rind".to_owned(), |command| format!("rind-{}", command.name))
    }

    /// Its text.
    pub fn text(self, program: &Program) -> String {
        let about = self.0.map_or(SUMMARY, |command| command.about);
        let name = self.name();
        let (version, date) = (env!("CARGO_PKG_VERSION"), env!("RIND_DATE"));
        let mut text = format!(
            ".TH {} 8 \"{date}\" \"rind {version}\" \"System Manager's Manual\"\n\
             .SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
            escaped(&name.to_uppercase()),
            escaped(&name),
            escaped(about)
        );
        match self.0 {
            None => overview(program, &mut text),
            Some(command) => page(command, &mut text),
        }
        text
    }
}

fn overview(program: &Program, text: &mut String) {
    *text += &synopsis(USAGE);
    *text += ".SH DESCRIPTION\n";
    for line in INTRODUCTION.lines() {
        // An indented line is an example, with what it does after two spaces.
        match line.trim_start().split_once("  ") {
            Some((example, about)) if line.starts_with(' ') => {
                let (example, about) = (escaped(example), escaped(about.trim_start()));
                add(text, format_args!(".TP\n.B {example}\n{about}\n"));
            }
            _ => add(text, format_args!("{}\n", escaped(line))),
        }
    }
    *text += ".SH COMMANDS\n";
    for command in program.commands {
        let (name, about) = (escaped(command.name), escaped(command.about));
        add(text, format_args!(".TP\n.BR rind\\-{name} (8)\n{about}\n"));
    }
    *text += ".SH OPTIONS\n";
    flags(program.flags, text);
    flags(COMMON_FLAGS, text);
    *text += ".SH EXIT STATUS\n\
        0 if it was done, 1 if not.\n\
        Commands that wait for a program have its status, as their pages tell.\n";
    see_also(program.commands.iter().map(|command| format!("rind-{}", command.name)), text);
}

fn page(command: &Command, text: &mut String) {
    *text += &synopsis(&usage(command));
    add(text, format_args!(".SH DESCRIPTION\n{}.\n", escaped(&capitalised(command.about))));
    if !command.details.is_empty() {
        add(text, format_args!(".PP\n{}\n", escaped(command.details)));
    }
    *text += ".SH OPTIONS\n";
    flags(command.flags, text);
    flags(&[HELP], text);
    add(text, format_args!(".PP\nThose of\n.BR rind (8)\ncome before {}.\n", command.name));
    // The details tell of other statuses.
    if command.failure == 1 {
        *text += ".SH EXIT STATUS\n0 if it was done, 1 if not.\n";
    }
    see_also(["rind".to_owned()], text);
}

fn synopsis(usage: &str) -> String {
    let (program, rest) = usage.split_once(' ').unwrap_or((usage, ""));
    format!(".B {program}\n{}\n", escaped(rest))
}

fn flags(table: &[Flag], text: &mut String) {
    for flag in table {
        *text += ".TP\n";
        add(text, format_args!("\\fB\\-\\-{}\\fR", escaped(flag.name)));
        if !flag.short.is_empty() {
            add(text, format_args!(", \\fB\\-{}\\fR", flag.short));
        }
        if !flag.value.is_empty() {
            add(text, format_args!(" \\fI{}\\fR", escaped(flag.value)));
        }
        add(text, format_args!("\n{}\n", escaped(flag.about)));
    }
}

fn see_also(names: impl IntoIterator<Item = String>, text: &mut String) {
    let references = names.into_iter().map(|name| format!(".BR {} (8)", escaped(&name)));
    *text += ".SH SEE ALSO\n";
    *text += &references.collect::<Vec<_>>().join(" ,\n");
    *text += "\n";
}

fn add(text: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a string can't fail.
    let _ = text.write_fmt(arguments);
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Escapes what roff takes for an instruction, and every `-`, so that it stays the keyboard's.
fn escaped(text: &str) -> String {
    let mut escaped = text.replace('\\', "\\e").replace('-', "\\-");
    for sign in ['.', '\''] {
        escaped = escaped.replace(&format!("\n{sign}"), &format!("\n\\&{sign}"));
    }
    if escaped.starts_with(['.', '\'']) {
        escaped.insert_str(0, "\\&");
    }
    escaped
}
