//! Writes messages as lines of text or JSON, on stderr or in a file, as callers of runc read them. It
//! must let nothing through that steers a terminal: part of a message may come from a container.

use serde_json::json;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::time::SystemTime;
use sys::Error;

/// How bad what a message tells is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The command failed.
    Error,
    /// The command goes on, but something is wrong.
    Warning,
    /// A step of the command, for those who want to know.
    Debug,
}

/// A sink for messages.
#[derive(Debug)]
pub struct Log {
    /// Where messages go; stderr if there is none.
    file: Option<File>,
    json: bool,
    most: Level,
}

impl Log {
    /// Messages up to `most`, in `file` or on stderr.
    pub fn new(file: Option<File>, json: bool, most: Level) -> Self {
        Self { file, json, most }
    }

    /// Text on stderr.
    pub fn to_stderr() -> Self {
        Self::new(None, false, Level::Warning)
    }

    /// Whether messages go to a file, where a caller at a terminal does not see them.
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the log writes messages of this level.
    pub fn has(&self, level: Level) -> bool {
        level <= self.most
    }

    /// Writes why the command failed. As JSON it comes in parts as well: what was being done
    /// (`step`), to what (`object`), the kernel's answer (`errno`, by its name) and what helps
    /// (`hint`), as far as they are known.
    pub fn fail(&self, error: &Error) {
        let errno = error.errno().map(|errno| format!("{errno:?}"));
        let parts = [
            ("step", Some(error.step())),
            ("object", error.object()),
            ("errno", errno.as_deref()),
            ("hint", error.hint()),
        ];
        self.write_with(Level::Error, &error.to_string(), &parts);
    }

    /// Writes one message. A failure is ignored, as there is nobody to tell.
    pub fn write(&self, level: Level, text: &str) {
        self.write_with(level, text, &[]);
    }

    fn write_with(&self, level: Level, text: &str, parts: &[(&str, Option<&str>)]) {
        if !self.has(level) {
            return;
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let level = match level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Debug => "debug",
        };
        let to_terminal = self.file.is_none() && !self.json && is_terminal();
        let line = if to_terminal && let Some(text) = for_people(level, text, parts) {
            text
        } else if self.json {
            let mut line = json!({ "level": level, "msg": text, "time": time.to_string() });
            for (name, part) in parts.iter().filter_map(|(name, part)| Some((*name, (*part)?))) {
                line[name] = json!(part);
            }
            let line = line.to_string();
            escape(&line, |_| false, |c| format!("\\u{:04x}", u32::from(c)))
        } else {
            format!("time=\"{time}\" level={level} msg={}", quoted(text))
        };
        let line = line + "\n";
        let _ = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

/// Tells of a failure on stderr, beside the log that is a file.
pub fn tell(error: &Error) {
    let parts = [("hint", error.hint())];
    let text = error.to_string();
    let line =
        Some(()).filter(|()| is_terminal()).and_then(|()| for_people("error", &text, &parts));
    eprintln!("{}", line.unwrap_or_else(|| printable(&text)));
}

/// Whether a person reads what comes on stderr.
fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// A message as a person at a terminal reads it: `rind: ...`, and below it a `hint:`.
fn for_people(level: &str, text: &str, parts: &[(&str, Option<&str>)]) -> Option<String> {
    let hint = parts.iter().find(|(name, _)| *name == "hint").and_then(|(_, hint)| *hint);
    let suffix = hint.map(|hint| format!(" ({hint})"));
    let alone = suffix.as_ref().map_or(Some(text), |hint| text.strip_suffix(hint.as_str()))?;
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    let paint = |colour: &str, text: &str| {
        if has_colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let (name, one_line) = (paint("1;31", "rind:"), escaped);
    let mut line = match level {
        "error" => format!("{name} {}", one_line(alone)),
        level => format!("{} {}", paint("1;33", &format!("rind: {level}:")), one_line(alone)),
    };
    if let Some(hint) = hint {
        line = format!("{line}\n{} {}", paint("1;36", "hint:"), one_line(hint));
    }
    Some(line)
}

/// Puts a text in double quotes and escapes what would end them or the line, as Go's %q does.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_unprintable(c) => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Escapes what would steer a terminal.
pub fn printable(text: &str) -> String {
    escape(text, |c| matches!(c, '\n' | '\t'), |c| c.escape_unicode().to_string())
}

/// The same on one line.
pub fn escaped(text: &str) -> String {
    escape(text, |_| false, |c| c.escape_unicode().to_string())
}

/// Replaces each character of `text` that is not printable, unless it `stays`.
fn escape(text: &str, stays: fn(char) -> bool, replace: fn(char) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) && !stays(c) {
            escaped.push_str(&replace(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a character steers a terminal, ends a line, or changes the order of text.
fn is_unprintable(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::{escape, printable, quoted};

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(
            printable("a\tb\nc\u{1b}[2J\u{9b}1m\u{202e}ü"),
            "a\tb\nc\\u{1b}[2J\\u{9b}1m\\u{202e}ü"
        );
        let json = escape("\"\u{9b}\u{7f}\"", |_| false, |c| format!("\\u{:04x}", u32::from(c)));
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some("\u{9b}\u{7f}"));
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(quoted("a \"b\"\n\\c\u{1}ü"), r#""a \"b\"\n\\c\u{1}ü""#);
    }
}
