//! The path of a property in a document. It knows neither the text nor the rules.

use std::fmt;

/// The path of a property: `process.rlimits[2].type`. The document's own path is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonPath(pub Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The path of the keys that `dotted` names.
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

    /// The same path in a document that has this path's document as its member `key`.
    pub fn within(mut self, key: &str) -> Self {
        self.0.insert(0, Step::Key(key.to_owned()));
        self
    }

    /// Whether this is `other`, or a property below it.
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
    use super::at;

    #[test]
    fn paths_are_written_as_in_the_configs_own_notation() {
        assert_eq!(at("a.b").index(2).key("c").within("x").to_string(), "x.a.b[2].c");
        assert_eq!(at("s").key("net.x").key("").to_string(), r#"s["net.x"][""]"#);
    }
}
