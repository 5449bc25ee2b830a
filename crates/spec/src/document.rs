//! A JSON document: from text to its type, and from a property's path back to its place in the
//! text.
//!
//! The text of a valid document is parsed once, straight into the type. Only when that fails is it
//! parsed again into a tree, in which what other runtimes let pass is mended.

use crate::error::{Error, Position, reason};
use crate::keys;
use crate::validate::Check;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// A text, and what messages call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    pub text: &'a [u8],
    pub name: &'a Path,
}

/// Mends a tree, and warns of what is left out.
pub(crate) type Mend = fn(&mut Value, &mut Vec<String>);

impl Document<'_> {
    pub fn load<T: DeserializeOwned>(
        &self,
        mend: Mend,
        warnings: &mut Vec<String>,
    ) -> Result<T, Error> {
        if !keys::any_misspelt(self.text) {
            match serde_json::from_slice(self.text) {
                Ok(loaded) => return Ok(loaded),
                // A tree would keep only the last, and who checked the document may have read the
                // first.
                Err(error) if error.to_string().starts_with("duplicate field") => {
                    return Err(Error::syntax(self.name, &error));
                }
                Err(_) => {}
            }
        }
        self.load_mended(mend, warnings)
    }

    fn load_mended<T: DeserializeOwned>(
        &self,
        mend: Mend,
        warnings: &mut Vec<String>,
    ) -> Result<T, Error> {
        let tree = serde_json::from_slice(self.text);
        let mut tree: Value = tree.map_err(|error| Error::syntax(self.name, &error))?;
        if let Some((path, offset)) = (Scanner { text: self.text, at: 0 }).find_repeated() {
            let position = self.position(offset);
            return Err(Error::property(self.name, position, path, "duplicate field".into()));
        }
        keys::respell(&mut tree);
        mend(&mut tree, warnings);
        // Back to text: reading the types from trees as well would be a second copy of all their
        // code, some 350 KB of the program and of its memory.
        let mended = serde_json::to_vec(&tree).map_err(|error| Error::syntax(self.name, &error))?;
        serde_json::from_slice(&mended).map_err(|error| {
            let path = path_of(&error, &mended);
            // These are the words that callers of other runtimes look for.
            let policy = path.is_within(&at("linux.memoryPolicy"));
            let about = if policy { "invalid memory policy: " } else { "" };
            self.refuse(path, format!("{about}{}", misfit(&error)))
        })
    }

    /// What a check found, as an error with its place in the text.
    pub fn judge(&self, check: Check) -> Result<(), Error> {
        check.map_err(|violation| self.refuse(violation.path, violation.reason))
    }

    fn refuse(&self, path: JsonPath, reason: String) -> Error {
        let (offset, _) = self.find(&path);
        Error::property(self.name, self.position(offset), path, reason)
    }

    /// Whether the text has the property, and not as null.
    pub fn has(&self, path: &JsonPath) -> bool {
        let (offset, is_there) = self.find(path);
        is_there && self.text.get(offset) != Some(&b'n')
    }

    /// The elements of the array at `path`.
    pub fn elements(&self, path: &JsonPath) -> Elements<'_> {
        Elements { document: *self, path: path.clone(), next: None }
    }

    /// Where the property's value is, or that of the last of its ancestors there is; and whether it
    /// is the property's own.
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
        Position { line: lines.count(), column }
    }
}

/// The elements of an array, to be asked about in their order: the text is gone through once. It
/// isn't looked at before the first question.
pub(crate) struct Elements<'a> {
    document: Document<'a>,
    path: JsonPath,
    /// The element that the scanner is at, and the scanner.
    next: Option<(usize, Scanner<'a>)>,
}

impl Elements<'_> {
    /// Whether element `index`, which is none before one that was asked about, has the member `key`,
    /// and not as null.
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

/// Why a value does not fit its type.
fn misfit(error: &serde_json::Error) -> String {
    // serde has but "expected value" for a value of an enumeration.
    if error.is_data() { reason(error) } else { "is not a string".to_owned() }
}

/// The path of the value in `text`, a single line without spaces, that did not fit its type.
///
/// serde's place is the last byte that it had read: the value's own last or, where already the
/// first byte told that it does not fit, the one before.
fn path_of(error: &serde_json::Error, text: &[u8]) -> JsonPath {
    let read = error.column();
    let is_before = error.is_data()
        && read.checked_sub(1).is_none_or(|last| {
            text.get(last).is_some_and(|byte| matches!(byte, b':' | b',' | b'['))
        });
    let offset = if is_before { read } else { read.saturating_sub(1) };
    let mut scanner = Scanner { text, at: 0 };
    JsonPath(std::iter::from_fn(|| scanner.enter_towards(offset)).collect())
}

/// Walks over a text that is known to be JSON; `at` is at the first byte of a value.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Goes to the value of the member `key` of an object. Go's decoder takes keys in any case.
    fn enter_member(&mut self, key: &str) -> Option<()> {
        let mut otherwise = None;
        self.open(b'{')?;
        while self.peek()? == b'"' {
            let name = self.key()?;
            if name == key {
                return Some(());
            }
            if name.eq_ignore_ascii_case(key) {
                otherwise = Some(self.at);
            }
            self.skip_to_next()?;
        }
        self.at = otherwise?;
        Some(())
    }

    /// Goes to an element of an array.
    fn enter_element(&mut self, index: usize) -> Option<()> {
        self.open(b'[')?;
        for _ in 0..index {
            if self.peek()? == b']' {
                return None;
            }
            self.skip_to_next()?;
        }
        (self.peek()? != b']').then_some(())
    }

    /// Goes to the member or element that the byte at `offset` is in, unless it is the value's own.
    fn enter_towards(&mut self, offset: usize) -> Option<Step> {
        let bracket = self.peek().filter(|byte| matches!(byte, b'{' | b'['))?;
        self.open(bracket)?;
        for index in 0.. {
            let step = match (self.peek()?, bracket) {
                (b'}' | b']', _) => return None,
                (_, b'{') => Step::Key(self.key()?),
                _ => Step::Index(index),
            };
            let start = self.at;
            self.skip_to_next()?;
            if (start..self.at).contains(&offset) {
                self.at = start;
                return Some(step);
            }
        }
        None
    }

    /// Looks in a whole document for an object that has a key of the specification twice, in
    /// whatever case: the path and the place of the second one's value.
    fn find_repeated(&mut self) -> Option<(JsonPath, usize)> {
        self.skip_space();
        self.pass_value(false).err()
    }

    /// Over a value, unless it has a repeated key. The keys of an object of `names` are not the
    /// specification's, and of those the last counts.
    fn pass_value(&mut self, names: bool) -> Result<(), (JsonPath, usize)> {
        let Some(bracket) = self.peek().filter(|byte| matches!(byte, b'{' | b'[')) else {
            self.skip_value();
            return Ok(());
        };
        self.open(bracket);
        let mut seen: Vec<&str> = Vec::new();
        for index in 0.. {
            let (step, known) = match self.peek() {
                None | Some(b'}' | b']') => break,
                Some(_) if bracket == b'[' => (Step::Index(index), None),
                Some(_) => {
                    let key = self.key().unwrap_or_default();
                    let known = keys::spelling(key.as_bytes()).filter(|_| !names);
                    (Step::Key(key), known)
                }
            };
            if known.is_some_and(|known| seen.contains(&known)) {
                return Err((JsonPath(vec![step]), self.at));
            }
            seen.extend(known);
            if let Err((mut path, at)) = self.pass_value(known.is_some_and(keys::has_names)) {
                path.0.insert(0, step);
                return Err((path, at));
            }
            self.pass_comma();
        }
        self.at += 1; // the bracket
        Ok(())
    }

    /// Over a member's key and colon.
    fn key(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_string()?;
        let key = serde_json::from_slice(self.text.get(start..self.at)?).ok()?;
        self.skip_space();
        self.at += 1; // the colon
        self.skip_space();
        Some(key)
    }

    fn open(&mut self, bracket: u8) -> Option<()> {
        if self.peek()? != bracket {
            return None;
        }
        self.at += 1;
        self.skip_space();
        Some(())
    }

    /// From a value over the comma to what follows it, or to the closing bracket.
    fn skip_to_next(&mut self) -> Option<()> {
        self.skip_value()?;
        self.pass_comma();
        self.peek().map(drop)
    }

    fn pass_comma(&mut self) {
        self.skip_space();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.skip_space();
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => self.skip_word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Over a number, true, false or null.
    fn skip_word(&mut self) {
        let ends = |byte: u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

/// Where a property is: `process.rlimits[2].type`. Empty for the document itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The path of keys that `dotted` names.
pub(crate) fn at(dotted: &str) -> JsonPath {
    JsonPath(dotted.split('.').map(|key| Step::Key(key.to_owned())).collect())
}

impl JsonPath {
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The same path, from the document that has this one's as its member `key`.
    pub fn within(mut self, key: &str) -> Self {
        self.0.insert(0, Step::Key(key.to_owned()));
        self
    }

    /// Whether it is `other`, or a property below.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.is_empty() || !key.bytes().all(is_plain) => {
                    write!(f, "[{key:?}]")?;
                }
                Step::Key(key) if number == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#" {
  "a": [ 1, {"b" : "x\"}]", "c": [[],{}] } , true],
	"A": null, "d\u0041": { "e.f": -1.5e3, "": "last"}
}"#;

    fn find(path: &JsonPath) -> (usize, usize, bool) {
        let document = Document { text: TEXT.as_bytes(), name: Path::new("x") };
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

    /// The scanner is only given JSON, but must not go astray in anything.
    #[test]
    fn text_cut_short_is_no_danger() {
        for end in 0..TEXT.len() {
            let text = &TEXT.as_bytes()[..end];
            let document = Document { text, name: Path::new("x") };
            for path in [at("dA").key(""), at("a").index(2), at("x")] {
                let (offset, _) = document.find(&path);
                assert!(document.position(offset).line <= 4);
            }
        }
    }

    #[test]
    fn paths_are_written_as_in_the_configs_own_notation() {
        assert_eq!(at("a.b").index(2).key("c").within("x").to_string(), "x.a.b[2].c");
        assert_eq!(at("s").key("net.x").key("").to_string(), r#"s["net.x"][""]"#);
    }
}
