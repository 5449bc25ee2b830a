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

    /// The path that is written at the start of `text`, as [`Display`](fmt::Display) writes it; what
    /// follows it, after a space or a colon, is passed over.
    pub fn read(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if let Some(inside) = rest.strip_prefix('[') {
                let Some((step, after)) = read_bracket(inside) else { break };
                steps.push(step);
                rest = after;
                continue;
            }
            let end = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
            let (key, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if key.is_empty() {
                break;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        Self(steps)
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

/// The step in brackets at the start of `inside`, and what comes after the brackets.
fn read_bracket(inside: &str) -> Option<(Step, &str)> {
    if inside.starts_with('"') {
        let mut keys = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let key = keys.next()?.ok()?;
        let after = inside.get(keys.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Key(key), after));
    }
    let (number, after) = inside.split_once(']')?;
    Some((Step::Index(number.parse().ok()?), after))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::{JsonPath, at};

    #[test]
    fn paths_are_written_as_in_the_configs_own_notation() {
        assert_eq!(at("a.b").index(2).key("c").within("x").to_string(), "x.a.b[2].c");
        assert_eq!(at("s").key("net.x").key("").to_string(), r#"s["net.x"][""]"#);
    }

    #[test]
    fn a_path_that_was_written_is_read_again() {
        for path in
            [at("a.b").index(2).key("c"), at("s").key("net.x").key(""), at("x").key("a\"]b")]
        {
            assert_eq!(JsonPath::read(&path.to_string()), path);
            assert_eq!(JsonPath::read(&format!("{path}: is bad")), path);
        }
        assert_eq!(JsonPath::read("mounts[3] /data"), at("mounts").index(3));
        assert_eq!(JsonPath::read("a[x] b"), at("a"));
        assert!(JsonPath::read("/a").is_root() && JsonPath::read("").is_root());
    }
}
