//! What is wrong with a bundle or a document: the file, the line, the property, the reason.

use crate::document::JsonPath;
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

/// A place in a document; both count from 1, and columns are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The byte in the line.
    pub column: usize,
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

    /// Text that is not JSON, or not the JSON that can be told apart by properties.
    pub(crate) fn syntax(name: &Path, error: &serde_json::Error) -> Self {
        Self {
            object: name.display().to_string(),
            position: Some(Position { line: error.line(), column: error.column() }),
            property: None,
            reason: reason(error),
        }
    }

    /// A property whose value can't be.
    pub(crate) fn property(
        name: &Path,
        position: Position,
        property: JsonPath,
        reason: String,
    ) -> Self {
        let object = name.display().to_string();
        Self { object, position: Some(position), property: Some(property), reason }
    }

    /// Where in the document, unless it could not even be read.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The path of the property, as `process.rlimits[2].type`, where it is about one.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        self.property.as_ref().map(ToString::to_string)
    }
}

/// What serde has to say, without the place.
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
