//! Parses a command line by the tables of a [`Program`]. It must do nothing else: no file is opened
//! and nothing is printed.
//!
//! Flags have the form that Go's flag package gives them, as callers of runc rely on it: `--flag
//! value`, `--flag=value`, with one dash or two, before or after the container's id; a switch may
//! have a value too (`--flag=false`). No library parses this form (clap takes `-bundle` for five
//! flags).

use crate::help;
use crate::model::{COUNT, Command, Flag, Parsed, Program};
use std::ffi::OsString;

/// What a command line asks for.
#[derive(Debug)]
pub enum Arguments {
    /// A text to print.
    Help(String),
    /// A command to run.
    Command(Parsed),
}

/// What is wrong with a command line.
#[derive(Debug)]
pub struct Wrong {
    /// For the user.
    pub text: String,
    /// The exit status. An unknown command has one of its own, as callers know it from runc.
    pub status: i32,
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self { text, status: 1 }
    }
}

/// Reads a command line, without the program's own name.
pub fn read(
    program: &Program,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Arguments, Wrong> {
    let words = words.into_iter().map(|word| {
        word.into_string().map_err(|word| format!("argument {} is not UTF-8", word.display()))
    });
    let words: Vec<String> = words.collect::<Result<_, _>>()?;
    let mut words = words.into_iter().peekable();
    let mut flags = Vec::new();
    while let Some(word) = words.next_if(|word| is_flag(word)) {
        match read_flag(program, &word, program.flags, &mut words, "")? {
            Some(flag) => flags.push(flag),
            None if word.trim_start_matches('-').starts_with('v') => {
                return Ok(Arguments::Help(help::version()));
            }
            None => return Ok(Arguments::Help(help::overview(program))),
        }
    }
    match words.next().as_deref() {
        None => Ok(Arguments::Help(help::overview(program))),
        Some("help" | "h") => match words.next().filter(|word| !is_flag(word)) {
            None => Ok(Arguments::Help(help::overview(program))),
            Some(name) => Ok(Arguments::Help(help::of(find(program, &name)?))),
        },
        Some("version") => Ok(Arguments::Help(help::version())),
        Some(name) => Ok(read_command(program, find(program, name)?, flags, &mut words)?),
    }
}

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

fn read_command(
    program: &Program,
    entry: &'static Command,
    mut flags: Vec<(&'static str, String)>,
    words: &mut Words,
) -> Result<Arguments, String> {
    let mut positional = Vec::new();
    let mut only_positional = false;
    while let Some(word) = words.next() {
        if word == "--" && !only_positional {
            only_positional = true;
        } else if is_flag(&word) && !only_positional {
            match read_flag(program, &word, entry.flags, words, entry.name)? {
                Some(flag) => flags.push(flag),
                None => return Ok(Arguments::Help(help::of(entry))),
            }
        } else {
            positional.push(word);
            only_positional |= entry.plain_after.is_some_and(|count| positional.len() >= count);
        }
    }
    check_count(program, entry, positional.len())?;
    Ok(Arguments::Command(Parsed { entry, positional, flags, input: None }))
}

/// Refuses too few or too many positional arguments, in the words that callers know from runc.
fn check_count(program: &Program, entry: &Command, count: usize) -> Result<(), String> {
    let (least, most) = entry.positional;
    let (name, usage) = (entry.name, help::usage(entry));
    let wanted = match () {
        () if (least..=most).contains(&count) => return Ok(()),
        () if least == most => format!("exactly {least}"),
        () if count < least => format!("a minimum of {least}"),
        () => format!("a maximum of {most}"),
    };
    let hint = other_sense(program, name);
    Err(format!("{name:?} requires {wanted} argument(s), not {count}{hint}; usage: {usage}"))
}

/// What another program means by the name of a command, if that is something else.
fn other_sense(program: &Program, name: &str) -> String {
    let other = program.synonyms.iter().find(|(word, command)| *word == name && *command != name);
    other.map_or_else(String::new, |(_, command)| format!(" (did you mean \"{command}\"?)"))
}

/// Reads a flag with its value; `None` for one that asks for help or the version.
fn read_flag(
    program: &Program,
    word: &str,
    table: &'static [Flag],
    words: &mut Words,
    command: &str,
) -> Result<Option<(&'static str, String)>, String> {
    let (name, value) = split_flag(word);
    let value = value.map(str::to_owned);
    if matches!(name, "help" | "h") || command.is_empty() && matches!(name, "version" | "v") {
        return Ok(None);
    }
    let flag = find_flag(table, name).ok_or_else(|| unknown_flag(program, word, table, command))?;
    let value = match (flag.value, value) {
        ("", None) => "true".to_owned(),
        ("", Some(value)) => match value.as_str() {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => "true".to_owned(),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => "false".to_owned(),
            _ => return Err(format!("--{}: {value:?} is neither true nor false", flag.name)),
        },
        (_, Some(value)) => value,
        (what, None) => {
            words.next().ok_or_else(|| format!("--{} requires an argument: {what}", flag.name))?
        }
    };
    check_number(flag, &value)?;
    Ok(Some((flag.name, value)))
}

/// Refuses a value that is no number where the flag counts something, whatever the command.
fn check_number(flag: &Flag, value: &str) -> Result<(), String> {
    if flag.value != COUNT || value.parse::<u16>().is_ok() {
        return Ok(());
    }
    Err(format!("--{}: {value:?} is not a number from 0 to {}", flag.name, u16::MAX))
}

/// Whether a word is a flag and not an argument; `-` alone is an argument.
pub fn is_flag(word: &str) -> bool {
    word.starts_with('-') && word.len() > 1
}

/// The name of a flag as the word has it, and the value in the same word.
pub fn split_flag(word: &str) -> (&str, Option<&str>) {
    let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(word);
    bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)))
}

/// The flag that has this name, or this letter.
pub fn find_flag(table: &'static [Flag], name: &str) -> Option<&'static Flag> {
    table.iter().find(|flag| flag.name == name || !flag.short.is_empty() && flag.short == name)
}

/// The command of this name; an error is for the user.
pub fn find(program: &Program, name: &str) -> Result<&'static Command, Wrong> {
    program.command(name).ok_or_else(|| {
        let text = if program.of_engines.contains(&name) {
            format!(
                "unknown command {name:?}: that is what an engine does (docker, podman, nerdctl), \
                 which calls rind; see rind --help"
            )
        } else {
            let suggested = suggested_command(program, name);
            format!("unknown command {name:?}{suggested}; see rind --help")
        };
        Wrong { text, status: 3 }
    })
}

fn suggested_command(program: &Program, name: &str) -> String {
    match program.synonyms.iter().find(|(word, _)| *word == name) {
        Some((_, command)) => format!(" (did you mean {command:?}?)"),
        None => suggestion(name, program.commands.iter().map(|command| command.name))
            .map_or_else(String::new, |near| format!(" (did you mean {near:?}?)")),
    }
}

fn unknown_flag(program: &Program, word: &str, table: &'static [Flag], command: &str) -> String {
    let (name, _) = split_flag(word);
    let hint = match command {
        "" => program
            .commands
            .iter()
            .find(|command| find_flag(command.flags, name).is_some())
            .map(|command| format!("of a command, and comes after it: rind {}", command.name)),
        _ => find_flag(program.flags, name)
            .map(|flag| format!("a global flag, and comes before {command:?}: --{}", flag.name)),
    };
    let hint = hint.map(|hint| format!(" (it is {hint})"));
    let near = || suggestion(name, table.iter().map(|flag| flag.name));
    let hint = hint.or_else(|| near().map(|near| format!(" (did you mean --{near}?)")));
    let hint = hint.unwrap_or_else(|| other_sense(program, command));
    let space = if command.is_empty() { "" } else { " " };
    format!("flag provided but not defined: {word}{hint}; see rind{space}{command} --help")
}

/// The one of `names` that is meant, if one is near: it begins so, or differs in a letter or two.
fn suggestion<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = names.map(|other| (!other.starts_with(name), distance(name, other), other)).min();
    let (is_other, distance, other) = nearest.filter(|_| !name.is_empty())?;
    // In a short word two letters are nearly all.
    let most = (name.len() / 2).min(2);
    (distance <= most || !is_other).then_some(other)
}

/// How many letters to insert, remove or change to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.bytes().enumerate() {
            let (left, above) = (row[j], row[j + 1]);
            row[j + 1] = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::commands::PROGRAM;

    fn parse(line: &str) -> Result<Arguments, Wrong> {
        read(&PROGRAM, line.split_whitespace().map(OsString::from))
    }

    fn command(line: &str) -> Parsed {
        match parse(line).unwrap() {
            Arguments::Command(parsed) => parsed,
            Arguments::Help(text) => panic!("{text}"),
        }
    }

    #[test]
    fn flags_come_in_every_form_before_and_after_the_id() {
        for line in [
            "--root /r create --bundle /b --no-pivot box",
            "-root=/r create box -bundle /b -no-pivot",
            "--root=/r create -b /b box --no-pivot=true",
        ] {
            let parsed = command(line);
            assert_eq!(parsed.value("root"), Some("/r"), "{line}");
            assert_eq!(parsed.value("bundle"), Some("/b"), "{line}");
            assert!(parsed.is_on("no-pivot") && !parsed.is_on("no-new-keyring"), "{line}");
            assert_eq!(parsed.positional, ["box"], "{line}");
        }
    }

    #[test]
    fn a_switch_may_be_off_and_the_last_value_counts() {
        let parsed = command("create --no-pivot --no-pivot=false -b /a -b /b box");
        assert!(!parsed.is_on("no-pivot"));
        assert_eq!(parsed.value("bundle"), Some("/b"));
    }

    #[test]
    fn what_is_wrong_is_told_with_a_suggestion() {
        for (line, text) in [
            ("craete box", "did you mean \"create\"?"),
            ("create --bundel /b box", "did you mean --bundle?"),
            ("create --bundle", "requires an argument"),
            ("create", "requires exactly 1 argument"),
            ("kill a b c", "requires a maximum of 2 argument(s), not 3"),
            ("exec", "\"exec\" requires a minimum of 1 argument(s), not 0"),
            ("rm box", "did you mean \"delete\"?"),
            ("stop box", "did you mean \"kill\"?"),
            ("ls", "did you mean \"list\"?"),
            ("ps", "a minimum of 1 argument(s), not 0 (did you mean \"list\"?)"),
            ("ps -a", "not defined: -a (did you mean \"list\"?)"),
            ("pull alpine", "what an engine does"),
            ("creat box", "did you mean \"create\"?"),
            ("start --root /x box", "it is a global flag, and comes before \"start\": --root"),
            ("--bundle /x run box", "it is of a command, and comes after it: rind create"),
            ("--nonsense list", "flag provided but not defined: --nonsense"),
            ("create --no-pivot=maybe box", "neither true nor false"),
            ("exec --preserve-fds -1 box true", "is not a number"),
        ] {
            let Wrong { text: said, status } = parse(line).unwrap_err();
            assert!(said.contains(text), "{line}: {said}");
            assert_eq!(status, if said.contains("unknown command") { 3 } else { 1 }, "{line}");
        }
    }

    #[test]
    fn help_and_version_are_texts() {
        for line in ["", "--help", "-h", "help", "create --help", "help create", "-v", "--version"]
        {
            assert!(matches!(parse(line).unwrap(), Arguments::Help(_)), "{line}");
        }
    }

    #[test]
    fn after_two_dashes_nothing_is_a_flag() {
        assert_eq!(command("kill -- box -1").positional, ["box", "-1"]);
    }

    #[test]
    fn distances_are_of_letters() {
        assert_eq!(distance("kill", "kill"), 0);
        assert_eq!(distance("kil", "kill"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("crate", "create"), 1);
    }
}
