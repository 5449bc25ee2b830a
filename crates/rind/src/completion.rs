//! Finds what a shell offers to complete a command line with, in the tables that parse it. The
//! shells' own scripts only ask for it: `rind completion SHELL WORD...`. It must refuse nothing, as
//! what it sees is a line that somebody still writes.

use crate::args::{find_flag, is_flag, split_flag};
use crate::help::{COMMON_FLAGS, HELP};
use crate::model::{Command, Flag, Program};
use std::fmt::Write;
use sys::nix::sys::signal::Signal;

/// The shells that rind knows, and the script that each has to read.
const SCRIPTS: [(&str, &str); 3] = [
    ("bash", include_str!("completion/rind.bash")),
    ("zsh", include_str!("completion/rind.zsh")),
    ("fish", include_str!("completion/rind.fish")),
];

/// The script of a shell, if rind knows the shell.
pub fn script(shell: &str) -> Option<&'static str> {
    SCRIPTS.iter().find(|(name, _)| *name == shell).map(|(_, script)| *script)
}

/// Offers what the last of `words` may become, a command line without the program's name.
///
/// Each offer is a line, with its meaning after a tab; `:files` or `:folders` stands for the names of
/// these. `ids` gives the ids of all containers, by the value of `--root`.
pub fn offers(
    program: &'static Program,
    shell: &str,
    words: &[String],
    ids: impl Fn(Option<&str>) -> Vec<String>,
) -> String {
    let words = if shell == "bash" { joined(words) } else { words.to_vec() };
    let Some((last, before)) = words.split_last() else { return String::new() };
    let cursor = Cursor::after(program, before);
    let (offer, begun) = cursor.offer(last);
    let lines = match offer {
        Offer::Nothing => Vec::new(),
        Offer::Files => return ":files\n".to_owned(),
        Offer::Folders => return ":folders\n".to_owned(),
        Offer::Ids => ids(cursor.root).into_iter().map(|id| (id, "container")).collect(),
        Offer::Words(words) => words,
    };
    let fitting = lines.into_iter().filter(|(word, _)| word.starts_with(begun));
    fitting.fold(String::new(), |mut text, (word, about)| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{word}\t{about}");
        text
    })
}

/// Joins the three words that bash makes of `--flag=value`.
fn joined(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut to_last = false;
    for word in words {
        let is_sign = word == "=" && joined.last().is_some_and(|before| is_flag(before));
        match joined.last_mut() {
            Some(before) if is_sign || to_last => before.push_str(word),
            _ => joined.push(word.clone()),
        }
        to_last = is_sign;
    }
    joined
}

/// What can stand at the cursor.
enum Offer {
    Nothing,
    Files,
    Folders,
    Ids,
    /// These words, and what they mean.
    Words(Vec<(String, &'static str)>),
}

/// The place of a word on the command line.
struct Cursor<'a> {
    program: &'static Program,
    /// The word that names the command, which need not be one of rind's.
    name: Option<&'a str>,
    command: Option<&'static Command>,
    /// The flag that takes the word as its value.
    flag: Option<&'static Flag>,
    /// How many positional arguments come before the word.
    positional: usize,
    /// Whether no flag can come any more.
    plain: bool,
    root: Option<&'a str>,
}

impl<'a> Cursor<'a> {
    fn after(program: &'static Program, words: &'a [String]) -> Self {
        let (name, command, flag, root) = (None, None, None, None);
        let mut cursor = Self { program, name, command, flag, positional: 0, plain: false, root };
        for word in words {
            cursor.pass(word);
        }
        cursor
    }

    fn pass(&mut self, word: &'a str) {
        if let Some(flag) = self.flag.take() {
            self.value(flag, word);
        } else if is_flag(word) && !self.plain {
            let (name, value) = split_flag(word);
            self.plain = word == "--";
            match (find_flag(self.flags(), name), value) {
                (Some(flag), Some(value)) => self.value(flag, value),
                (found, None) => self.flag = found.filter(|flag| !flag.value.is_empty()),
                (None, Some(_)) => {}
            }
        } else if self.name.is_none() {
            self.name = Some(word);
            self.command = self.program.command(word);
        } else {
            self.positional += 1;
            let plain_after = self.command.and_then(|command| command.plain_after);
            self.plain |= plain_after.is_some_and(|count| self.positional >= count);
        }
    }

    fn value(&mut self, flag: &Flag, value: &'a str) {
        if self.name.is_none() && flag.name == "root" {
            self.root = Some(value);
        }
    }

    fn flags(&self) -> &'static [Flag] {
        match (self.name, self.command) {
            (None, _) => self.program.flags,
            (Some(_), command) => command.map_or(&[], |command| command.flags),
        }
    }

    /// What `word` can become here, and the part of it that is there already.
    fn offer<'w>(&self, word: &'w str) -> (Offer, &'w str) {
        if let Some(flag) = self.flag {
            return (of_flag(flag), word);
        }
        if !word.starts_with('-') || self.plain {
            return (self.argument(word), word);
        }
        match split_flag(word) {
            (name, Some(value)) => {
                (find_flag(self.flags(), name).map_or(Offer::Nothing, of_flag), value)
            }
            _ => (self.flag_names(), word),
        }
    }

    fn flag_names(&self) -> Offer {
        let common = if self.name.is_none() { COMMON_FLAGS } else { &[HELP] };
        let all = self.flags().iter().chain(common);
        Offer::Words(all.map(|flag| (format!("--{}", flag.name), flag.about)).collect())
    }

    fn commands(&self) -> Offer {
        let commands = self.program.commands.iter();
        Offer::Words(commands.map(|command| (command.name.to_owned(), command.about)).collect())
    }

    fn argument(&self, begun: &str) -> Offer {
        match (self.name, self.command) {
            (None, _) => {
                let Offer::Words(mut words) = self.commands() else { return Offer::Nothing };
                words.push(("help".to_owned(), HELP.about));
                Offer::Words(words)
            }
            (Some("help"), _) if self.positional == 0 => self.commands(),
            (Some(_), None) => Offer::Nothing,
            (Some(_), Some(command)) => {
                let words = command.arguments.split_whitespace();
                let word = words.map(|word| word.trim_matches(['[', ']'])).nth(self.positional);
                match word {
                    Some("ID") if makes_container(command) => Offer::Nothing,
                    Some("ID") => Offer::Ids,
                    Some("BUNDLE") => Offer::Folders,
                    Some("SIGNAL") => signals(begun),
                    Some("SHELL") => bare_words(SCRIPTS.map(|(shell, _)| shell)),
                    Some("PAGE") => self.commands(),
                    _ => Offer::Nothing,
                }
            }
        }
    }
}

/// Whether its id has to be a new one.
fn makes_container(command: &Command) -> bool {
    find_flag(command.flags, "bundle").is_some()
}

fn of_flag(flag: &'static Flag) -> Offer {
    match flag.value {
        _ if !flag.choices.is_empty() => bare_words(flag.choices.iter().copied()),
        "FILE" | "PATH" | "SOCKET" | "FIFO" => Offer::Files,
        "DIR" => Offer::Folders,
        // Of a switch.
        "" => bare_words(["true", "false"]),
        _ => Offer::Nothing,
    }
}

fn bare_words(words: impl IntoIterator<Item = &'static str>) -> Offer {
    Offer::Words(words.into_iter().map(|word| (word.to_owned(), "")).collect())
}

/// The names of signals; with `SIG` only where the word begins so.
fn signals(begun: &str) -> Offer {
    let full = begun.starts_with('S');
    bare_words(Signal::iterator().flat_map(|signal| {
        let name = signal.as_str();
        [Some(name).filter(|_| full), name.strip_prefix("SIG")].into_iter().flatten()
    }))
}
