//! Walks over the text of a document, to find the place of a path and the path of a place. It must not
//! go out of bounds in any text, JSON or not.

use crate::keys;
use crate::path::{JsonPath, Step};

/// The path of the value in `text`, a single line without spaces, that serde could not read as its
/// type.
///
/// serde names the last byte that it has read: the last of the value or, where the first byte of the
/// value is wrong already, the byte before it.
pub(crate) fn path_of(error: &serde_json::Error, text: &[u8]) -> JsonPath {
    let read = error.column();
    let is_before = error.is_data()
        && read.checked_sub(1).is_none_or(|last| {
            text.get(last).is_some_and(|byte| matches!(byte, b':' | b',' | b'['))
        });
    let offset = if is_before { read } else { read.saturating_sub(1) };
    let mut scanner = Scanner { text, at: 0 };
    JsonPath(std::iter::from_fn(|| scanner.enter_towards(offset)).collect())
}

/// Walks over a text that is known to be JSON; `at` is the first byte of a value.
pub(crate) struct Scanner<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

impl Scanner<'_> {
    /// Goes to the value of the member `key` of an object, which may be in another case, as Go's
    /// decoder takes it.
    pub fn enter_member(&mut self, key: &str) -> Option<()> {
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
    pub fn enter_element(&mut self, index: usize) -> Option<()> {
        self.open(b'[')?;
        for _ in 0..index {
            if self.peek()? == b']' {
                return None;
            }
            self.skip_to_next()?;
        }
        (self.peek()? != b']').then_some(())
    }

    /// Goes to the member or element that has the byte at `offset` in it, if there is one.
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

    /// Looks in a whole document for an object that has a key of the specification twice, in any
    /// case; gives the path and the place of the second value.
    pub fn find_repeated(&mut self) -> Option<(JsonPath, usize)> {
        self.skip_space();
        self.pass_value(false).err()
    }

    /// Passes a value, unless it has a repeated key. With `names` the object's own keys are names that
    /// the config chooses, and of these the last one counts.
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

    /// Passes a member's key and colon; gives the key.
    fn key(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_string()?;
        let key = serde_json::from_slice(self.text.get(start..self.at)?).ok()?;
        self.skip_space();
        self.at += 1; // the colon
        self.skip_space();
        Some(key)
    }

    pub fn open(&mut self, bracket: u8) -> Option<()> {
        if self.peek()? != bracket {
            return None;
        }
        self.at += 1;
        self.skip_space();
        Some(())
    }

    /// Passes a value and the comma after it, up to the next value or key, or to the closing bracket.
    pub fn skip_to_next(&mut self) -> Option<()> {
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

    /// Passes a number, true, false or null.
    fn skip_word(&mut self) {
        let ends = |byte: u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
    }

    pub fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}
