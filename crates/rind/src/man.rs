//! Makes manual pages from the tables that parse the command line: roff, with the macros of man(7).
//! It must not write them.

use crate::help::{COMMON_FLAGS, HELP, INTRODUCTION, SUMMARY, USAGE, usage};
use crate::model::{Command, Example, Fact, Flag, Program, STATUS};
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
            Some(command) => page(program, command, &mut text),
        }
        text
    }
}

fn overview(program: &Program, text: &mut String) {
    *text += &synopsis(USAGE);
    *text += ".SH DESCRIPTION\n";
    add(text, format_args!("{}\n", escaped(INTRODUCTION)));
    *text += ".SH COMMANDS\n";
    for command in program.commands {
        let (name, about) = (escaped(command.name), escaped(command.about));
        add(text, format_args!(".TP\n.BR rind\\-{name} (8)\n{about}\n"));
    }
    *text += ".SH OPTIONS\n";
    flags(program.flags, text);
    flags(COMMON_FLAGS, text);
    let status = format!(
        "{STATUS}\nCommands that wait for a program have its status, as their pages tell. An unknown\n\
         command is 3."
    );
    rest(program, None, &status, program.examples, text);
    see_also(program.commands.iter().map(|command| format!("rind-{}", command.name)), text);
}

fn page(program: &Program, command: &Command, text: &mut String) {
    *text += &synopsis(&usage(command));
    add(text, format_args!(".SH DESCRIPTION\n{}.\n", escaped(&capitalised(command.about))));
    if !command.details.is_empty() {
        add(text, format_args!(".PP\n{}\n", escaped(command.details)));
    }
    *text += ".SH OPTIONS\n";
    flags(command.flags, text);
    flags(&[HELP], text);
    add(text, format_args!(".PP\nThose of\n.BR rind (8)\ncome before {}.\n", command.name));
    rest(program, Some(command.name), command.status, command.examples, text);
    see_also(["rind".to_owned()], text);
}

/// What comes after the options of a command's page, or of rind's own.
fn rest(
    program: &Program,
    command: Option<&str>,
    status: &str,
    examples: &[Example],
    text: &mut String,
) {
    add(text, format_args!(".SH EXIT STATUS\n{}\n", escaped(status)));
    for (title, table) in [("FILES", program.files), ("ENVIRONMENT", program.environment)] {
        // rind's own page has all.
        let concerns = |fact: &&Fact| {
            fact.commands.is_empty() || command.is_none_or(|name| fact.commands.contains(&name))
        };
        let facts = table.iter().filter(concerns).map(|fact| (fact.name, fact.about));
        section(title, facts, text);
    }
    section("EXAMPLES", examples.iter().copied(), text);
}

fn section<'a>(title: &str, rows: impl Iterator<Item = (&'a str, &'a str)>, text: &mut String) {
    for (number, (name, about)) in rows.enumerate() {
        if number == 0 {
            add(text, format_args!(".SH {title}\n"));
        }
        add(text, format_args!(".TP\n.B {}\n{}\n", escaped(name), escaped(about)));
    }
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
