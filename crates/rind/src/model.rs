//! The model of the command line: what a flag, a command and a command line are.
//!
//! Parsing, help, manual pages and completion import this module and are handed the [`Program`].
//! This module imports none of them, and it knows no command by its name.

use crate::log::Log;
use std::path::PathBuf;

/// All that can be asked of the program: the tables of flags and commands.
#[derive(Debug)]
pub struct Program {
    /// The flags that come before the command.
    pub flags: &'static [Flag],
    /// All commands, in the order of the help.
    pub commands: &'static [Command],
    /// How it is used.
    pub examples: &'static [Example],
    /// What other programs call what a command does: their word, and the command.
    pub synonyms: &'static [(&'static str, &'static str)],
    /// What a program that calls this one does, and this one does not.
    pub of_engines: &'static [&'static str],
    /// The files that it knows.
    pub files: &'static [Fact],
    /// The variables that it looks at.
    pub environment: &'static [Fact],
}

/// A command line, and what it does.
pub type Example = (&'static str, &'static str);

/// What there is to know about a file or a variable.
#[derive(Debug)]
pub struct Fact {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The commands that it matters to; none where it matters to all.
    pub commands: &'static [&'static str],
}

impl Program {
    /// The command of this name.
    pub fn command(&self, name: &str) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.name == name)
    }
}

/// A flag of the command line.
#[derive(Debug)]
pub struct Flag {
    /// Its name, after one dash or two.
    pub name: &'static str,
    /// A letter for it, or nothing.
    pub short: &'static str,
    /// What its value is, in capitals; nothing for a switch.
    pub value: &'static str,
    /// The values that it can have, where these are few.
    pub choices: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
}

/// The value of a flag that counts something.
pub const COUNT: &str = "N";

/// A flag by its name, letter, value and meaning.
pub const fn flag(
    name: &'static str,
    short: &'static str,
    value: &'static str,
    about: &'static str,
) -> Flag {
    Flag { name, short, value, choices: &[], about }
}

impl Flag {
    /// The same flag, which can have only these values.
    pub const fn one_of(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }
}

/// A command of the command line.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its positional arguments, for the usage line.
    pub arguments: &'static str,
    /// How many positional arguments it takes, at least and at most.
    pub positional: (usize, usize),
    /// After this many positional arguments no word is a flag of rind's own any more.
    pub plain_after: Option<usize>,
    /// What names the file that is read before all else, if the command has one.
    pub input: Option<Input>,
    /// What it does, in a line.
    pub about: &'static str,
    /// What else there is to know.
    pub details: &'static str,
    /// How it is used.
    pub examples: &'static [Example],
    /// What its exit status says.
    pub status: &'static str,
    /// Whether the help for all commands only names it: it is for packagers and programs.
    pub is_aside: bool,
    /// Its flags.
    pub flags: &'static [Flag],
    /// Whether the command puts a process of this program in reach of a container, and so has to run
    /// from a sealed copy.
    pub seals: bool,
    /// Whether it looks at what the host allows, and so has to work where calls are forbidden that all
    /// others need, such as the one that closes the caller's descriptors.
    pub looks_only: bool,
    /// The exit status of a failure, which callers know from runc.
    pub failure: i32,
    /// Does it; gives the exit status.
    pub run: Run,
}

/// What the exit status of most commands says.
pub const STATUS: &str = "0 if it was done, 1 if not.";

/// Reads the flags into options of `runtime`, and calls it; gives the exit status.
pub type Run = fn(&Parsed, &Log) -> Result<i32, Failure>;

impl Command {
    /// A command that takes a container's id and no flags. An entry of the table sets what differs.
    pub const fn new(name: &'static str, about: &'static str, run: Run) -> Self {
        Self {
            name,
            arguments: "ID",
            positional: (1, 1),
            plain_after: None,
            input: None,
            about,
            details: "",
            examples: &[],
            status: STATUS,
            is_aside: false,
            flags: &[],
            seals: false,
            looks_only: false,
            failure: 1,
            run,
        }
    }
}

/// What names a command's input file; `-` is stdin.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// A flag.
    Flag(&'static str),
    /// A positional argument, by its number from 0.
    Argument(usize),
}

/// A command line that was read: a command with its flags and positional arguments.
#[derive(Debug)]
pub struct Parsed {
    /// The command's entry in the table.
    pub entry: &'static Command,
    /// The words that are neither flags nor their values, the id first.
    pub positional: Vec<String>,
    /// The flags that were given and their values, in their order.
    pub flags: Vec<(&'static str, String)>,
    /// The content of the command's input file, once it is read.
    pub input: Option<Vec<u8>>,
}

impl Parsed {
    /// The container's id, which is the first positional argument.
    pub fn id(&self) -> &str {
        self.positional.first().map_or("", String::as_str)
    }

    /// The value of a flag; that of the last one where it is repeated.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().rev().find(|(flag, _)| *flag == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a flag; an empty one counts as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// The value of a flag that is a path; an empty one counts as absent.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// All values of a flag that may be repeated.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.flags.iter().filter(move |(flag, _)| *flag == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same, as a list of one's own.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.values(name).map(str::to_owned).collect()
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }
}

/// Why a command failed.
pub use sys::Error as Failure;

/// The failure that `why` a flag can't have its value: `--flag: why`.
pub fn refuse<T>(flag: &str, why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(why).about(flag))
}

/// A failure with this text.
pub fn fail<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(text))
}
