//! What is wrong with a document: the file, the line, the property, the reason. No rule is decided
//! here.

use crate::advice;
use crate::path::JsonPath;
use std::path::Path;
use sys::Error;
use sys::error::Kind;

/// A place in a document. Lines and columns count from 1; a column is a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

/// A property that breaks a rule.
#[derive(Debug)]
pub(crate) struct Violation {
    pub path: JsonPath,
    pub reason: String,
}

/// What a check finds.
pub(crate) type Check = Result<(), Violation>;

/// What checks have found: the first violation ends them, or all are kept and none ends them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    kept: Option<Vec<Violation>>,
    /// The keys that lead to the section whose paths are told.
    within: &'static [&'static str],
}

impl Found {
    /// For checks that go on to the end.
    pub fn all() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    /// The check's answer that the property at `path` breaks a rule.
    pub fn refuse(&mut self, path: JsonPath, reason: impl Into<String>) -> Check {
        let path = self.within.iter().rev().fold(path, |path, key| path.within(key));
        let violation = Violation { path, reason: reason.into() };
        match &mut self.kept {
            None => Err(violation),
            Some(kept) => {
                kept.push(violation);
                Ok(())
            }
        }
    }

    /// Runs a check whose paths begin below `keys`.
    pub fn within(
        &mut self,
        keys: &'static [&'static str],
        check: impl FnOnce(&mut Self) -> Check,
    ) -> Check {
        let outer = std::mem::replace(&mut self.within, keys);
        let checked = check(self);
        self.within = outer;
        checked
    }

    /// What was kept.
    pub fn into_kept(self) -> Vec<Violation> {
        self.kept.unwrap_or_default()
    }
}

/// The error that a property of the document `name` has a value which is not allowed.
pub(crate) fn property(name: &Path, position: Position, path: &JsonPath, reason: &str) -> Error {
    let (name, Position { line, column }) = (name.display(), position);
    let error = if path.is_root() {
        let hint = if reason.starts_with("missing field") {
            "add it; `rind spec` shows a whole config"
        } else {
            "it is JSON, as `rind spec` writes it: look before this place for a comma, quote or brace"
        };
        let error = Error::new(format!("{name}:{line}:{column}: {reason}"));
        error.with_object(name.to_string()).with_hint(Some(hint))
    } else {
        let property = path.to_string();
        let text = format!("{name}:{line}:{column} {property}: {reason}");
        // process.json and the file of limits have parts of a config.
        let hint = advice::of(&property).or_else(|| advice::of(&format!("process.{property}")));
        Error::new(text).with_object(property).with_hint(hint)
    };
    error.with_kind(Kind::InvalidConfig)
}

/// serde's message, without the place.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.rfind(" at line ").unwrap_or(text.len()));
    text
}
