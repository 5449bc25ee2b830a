//! What is wrong with a bundle or a document: the file, the line, the property, the reason. No rule
//! is decided here.

use crate::path::JsonPath;
use std::fmt;
use std::path::Path;

/// A bundle that can't be read, or a document that is not valid.
#[derive(Debug)]
pub struct Error {
    /// The bundle or the file, as the message calls it.
    object: String,
    position: Option<Position>,
    property: Option<JsonPath>,
    reason: String,
}

/// A place in a document. Lines and columns count from 1; a column is a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The byte in the line.
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

/// The check's answer that the property at `path` breaks a rule.
pub(crate) fn refuse(path: JsonPath, reason: impl Into<String>) -> Check {
    Err(Violation { path, reason: reason.into() })
}

impl Error {
    /// The kernel's answer to an attempt to open or read `object`.
    pub(crate) fn io(object: String, error: &std::io::Error) -> Self {
        // "No such file or directory (os error 2)" as every other message of rind's has it.
        let text = error.to_string();
        let answer = text.split(" (os error").next().unwrap_or_default();
        let mut reason = String::with_capacity(answer.len());
        let mut chars = answer.chars();
        reason.extend(chars.next().map(|first| first.to_ascii_lowercase()));
        reason.push_str(chars.as_str());
        Self { object, position: None, property: None, reason }
    }

    /// A text that serde refuses as a whole: it is not JSON, or it has a property twice.
    pub(crate) fn syntax(name: &Path, error: &serde_json::Error) -> Self {
        Self {
            object: name.display().to_string(),
            position: Some(Position { line: error.line(), column: error.column() }),
            property: None,
            reason: reason(error),
        }
    }

    /// A property that has a value which is not allowed.
    pub(crate) fn property(
        name: &Path,
        position: Position,
        property: JsonPath,
        reason: String,
    ) -> Self {
        let object = name.display().to_string();
        Self { object, position: Some(position), property: Some(property), reason }
    }

    /// The place in the document, unless the document could not be read.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The path of the property, as `process.rlimits[2].type`, if the error is about a property.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        self.property.as_ref().map(ToString::to_string)
    }
}

/// serde's message, without the place.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.rfind(" at line ").unwrap_or(text.len()));
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        match &self.property {
            Some(property) if !property.is_root() => write!(f, " {property}: {}", self.reason),
            _ => write!(f, ": {}", self.reason),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for sys::Error {
    fn from(error: Error) -> Self {
        let object = match &error.property {
            Some(property) if !property.is_root() => property.to_string(),
            _ => error.object.clone(),
        };
        Self::new(error.to_string()).with_object(object).with_kind(sys::error::Kind::InvalidConfig)
    }
}
