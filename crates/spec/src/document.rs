//! Loads a JSON document into its type, and finds the place of a property in the text for errors.
//!
//! The text of a valid document is parsed once, straight into the type. Where that fails the text is
//! parsed again, into a tree, and normalized there. This module must know none of the rules that a
//! config has to keep.

use crate::error::{Check, Position, property, reason};
use crate::keys;
use crate::path::{JsonPath, Step, at};
use crate::scanner::{Scanner, path_of};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use sys::Error;

/// A text, and the name that messages have for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    pub text: &'a [u8],
    pub name: &'a Path,
    /// How many bytes rind has put before the file's own, which count in no column.
    pub before: usize,
}

/// Rewrites a tree into what oci-spec takes, and warns of what it leaves out.
pub(crate) type Normalize = fn(&mut Value, &mut Vec<String>);

impl Document<'_> {
    /// Loads the document as its type.
    pub fn load<T: DeserializeOwned>(
        &self,
        normalize: Normalize,
        warnings: &mut Vec<String>,
    ) -> Result<T, Error> {
        if !keys::any_misspelt(self.text) {
            match serde_json::from_slice(self.text) {
                Ok(loaded) => return Ok(loaded),
                // A tree keeps only the last, and whoever checked the document may have read the
                // first.
                Err(error) if error.to_string().starts_with("duplicate field") => {
                    return Err(self.syntax(&error));
                }
                Err(_) => {}
            }
        }
        self.load_normalized(normalize, warnings)
    }

    fn load_normalized<T: DeserializeOwned>(
        &self,
        normalize: Normalize,
        warnings: &mut Vec<String>,
    ) -> Result<T, Error> {
        let tree = serde_json::from_slice(self.text);
        let mut tree: Value = tree.map_err(|error| self.syntax(&error))?;
        if let Some((path, offset)) = (Scanner { text: self.text, at: 0 }).find_repeated() {
            let position = self.position(offset);
            return Err(property(self.name, position, &path, "duplicate field"));
        }
        keys::respell(&mut tree);
        normalize(&mut tree, warnings);
        // The tree becomes text again: code that reads the types from trees would be a second copy
        // of all that reads them from text, some 350 KB of the program and of its memory.
        let normalized = serde_json::to_vec(&tree).map_err(|error| self.syntax(&error))?;
        serde_json::from_slice(&normalized).map_err(|error| {
            let path = path_of(&error, &normalized);
            // Callers of other runtimes look for these words.
            let policy = path.is_within(&at("linux.memoryPolicy"));
            let about = if policy { "invalid memory policy: " } else { "" };
            self.error(&path, &format!("{about}{}", type_error(&error)))
        })
    }

    /// Reports what a check found, as an error with its place in the text.
    pub fn report(&self, check: Check) -> Result<(), Error> {
        check.map_err(|violation| self.error(&violation.path, &violation.reason))
    }

    /// The place of the property, or of its nearest ancestor that is there.
    pub fn place_of(&self, path: &JsonPath) -> Position {
        self.position(self.find(path).0)
    }

    fn error(&self, path: &JsonPath, reason: &str) -> Error {
        let (offset, _) = self.find(path);
        property(self.name, self.position(offset), path, reason)
    }

    /// Whether the text has the property, with another value than null.
    pub fn has(&self, path: &JsonPath) -> bool {
        let (offset, is_there) = self.find(path);
        is_there && self.text.get(offset) != Some(&b'n')
    }

    /// The elements of the array at `path`.
    pub fn elements(&self, path: &JsonPath) -> Elements<'_> {
        Elements { document: *self, path: path.clone(), next: None }
    }

    /// The place of the property's value, or of its nearest ancestor's that is there; and whether the
    /// property is there itself.
    fn find(&self, path: &JsonPath) -> (usize, bool) {
        let mut scanner = Scanner { text: self.text, at: 0 };
        scanner.skip_space();
        for step in &path.0 {
            let value = scanner.at;
            let found = match step {
                Step::Key(key) => scanner.enter_member(key),
                Step::Index(index) => scanner.enter_element(*index),
            };
            if found.is_none() {
                return (value, false);
            }
        }
        (scanner.at, true)
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let lines = before.split(|byte| *byte == b'\n');
        let column = lines.clone().next_back().map_or(0, <[u8]>::len) + 1;
        self.place(lines.count(), column)
    }

    /// The place in the file that is at this line and column of the text.
    fn place(&self, line: usize, column: usize) -> Position {
        let column = if line == 1 { column.saturating_sub(self.before) } else { column };
        // At the start of a line, serde has read none of its bytes yet, and counts from 0.
        Position { line, column: column.max(1) }
    }

    /// The error that serde refuses the document as a whole: it is not JSON, or it has a property twice.
    pub fn syntax(&self, error: &serde_json::Error) -> Error {
        let position = self.place(error.line(), error.column());
        property(self.name, position, &JsonPath::default(), &reason(error))
    }
}

/// The elements of an array. Questions about them come in their order, so that one walk over the text
/// answers all; the first question starts it.
pub(crate) struct Elements<'a> {
    document: Document<'a>,
    path: JsonPath,
    /// The number of an element, and a scanner that is at it.
    next: Option<(usize, Scanner<'a>)>,
}

impl Elements<'_> {
    /// Whether element `index` has the member `key`, with another value than null. The index must not
    /// be below one that was asked about before.
    pub fn has(&mut self, index: usize, key: &str) -> bool {
        self.reach(index).is_some_and(|mut scanner| {
            scanner.enter_member(key).is_some() && scanner.peek() != Some(b'n')
        })
    }

    fn reach(&mut self, index: usize) -> Option<Scanner<'_>> {
        let document = self.document;
        let start = || {
            let (at, is_there) = document.find(&self.path);
            let mut scanner = Scanner { text: document.text, at };
            is_there.then_some(())?;
            scanner.open(b'[')?;
            Some((0, scanner))
        };
        let (mut at, mut scanner) = self.next.take().or_else(start)?;
        while at < index {
            scanner.skip_to_next()?;
            at += 1;
        }
        let here = Scanner { text: scanner.text, at: scanner.at };
        self.next = Some((at, scanner));
        (here.peek()? != b']').then_some(here)
    }
}

/// Why serde could not read a value as its type.
pub(crate) fn type_error(error: &serde_json::Error) -> String {
    // Of an enumeration's value serde only says "expected value".
    if error.is_data() { reason(error) } else { "is not a string".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#" {
  "a": [ 1, {"b" : "x\"}]", "c": [[],{}] } , true],
	"A": null, "d\u0041": { "e.f": -1.5e3, "": "last"}
}"#;

    fn find(path: &JsonPath) -> (usize, usize, bool) {
        let document = Document { text: TEXT.as_bytes(), name: Path::new("x"), before: 0 };
        let (offset, is_there) = document.find(path);
        let Position { line, column } = document.position(offset);
        (line, column, is_there)
    }

    #[test]
    fn values_are_found_by_their_path() {
        let cases = [
            (JsonPath::default(), (1, 2, true)),
            (at("a"), (2, 8, true)),
            (at("a").index(0), (2, 10, true)),
            (at("a").index(1), (2, 13, true)),
            (at("a").index(1).key("b"), (2, 20, true)),
            (at("a").index(1).key("c").index(1), (2, 38, true)),
            (at("a").index(2), (2, 46, true)),
            (at("A"), (3, 7, true)),
            (at("DA"), (3, 24, true)),
            (at("dA").key("e.f"), (3, 33, true)),
            (at("dA").key(""), (3, 45, true)),
        ];
        for (path, expected) in cases {
            assert_eq!(find(&path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_absent_is_at_its_nearest_ancestor() {
        let cases = [
            (at("x.y"), (1, 2, false)),
            (at("a").index(3), (2, 8, false)),
            (at("a").index(1).key("x"), (2, 13, false)),
            (at("a").index(1).key("c").index(0).index(0), (2, 35, false)),
            (at("a").key("b"), (2, 8, false)),
            (at("A").index(0), (3, 7, false)),
            (at("dA").key("e").key("f"), (3, 24, false)),
        ];
        for (path, expected) in cases {
            assert_eq!(find(&path), expected, "{path}");
        }
    }

    /// The scanner is only given JSON, but it must stay within any text.
    #[test]
    fn text_cut_short_is_no_danger() {
        for end in 0..TEXT.len() {
            let text = &TEXT.as_bytes()[..end];
            let document = Document { text, name: Path::new("x"), before: 0 };
            for path in [at("dA").key(""), at("a").index(2), at("x")] {
                let (offset, _) = document.find(&path);
                assert!(document.position(offset).line <= 4);
            }
        }
    }
}
