//! All that is wrong with a config.json at once, for `rind check`. It asks the rules of [`validate`] and
//! the types of oci-spec, as [`parse`](crate::parse) does, and has none of its own.
//!
//! What can't be read as its type is left out of the config, and the rest is looked at. So can the
//! caller leave out what it finds wrong, to find what is wrong beside it.

use crate::config::Config;
use crate::document::{Document, type_error};
use crate::error::Found;
use crate::path::{JsonPath, Step, at};
use crate::scanner::{Scanner, path_of};
use crate::{Bundle, complete, keys, normalize, validate};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What a bundle's config is found to be.
#[derive(Debug)]
pub struct Examined {
    /// What breaks a rule, in the order of the rules.
    pub problems: Vec<Problem>,
    /// The bundle, without what was left out; none if the text is no config at all.
    pub bundle: Option<Bundle>,
    path: PathBuf,
    text: Vec<u8>,
    /// The config without what was left out.
    tree: Value,
    /// What the reading leaves out or does otherwise than asked for.
    warnings: Vec<String>,
    /// The elements that are missing in arrays of `tree`: the array and the index, as in the text.
    removed: Vec<(JsonPath, usize)>,
}

/// A property that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub reason: String,
}

/// A property of a config, and where the text has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// As `linux.namespaces[2].path`; empty for the document itself.
    pub property: String,
    /// The line, from 1; of the nearest property above, if it is absent.
    pub line: usize,
}

/// No config has more properties that are wrong, and need another look each.
const MOST: usize = 1000;

impl Examined {
    pub(crate) fn new(path: PathBuf, text: Vec<u8>) -> Self {
        let mut one = Self {
            problems: Vec::new(),
            bundle: None,
            path,
            text,
            tree: Value::Null,
            warnings: Vec::new(),
            removed: Vec::new(),
        };
        one.read();
        one
    }

    /// The property that a message begins with or is about, where the text of config.json has it.
    #[must_use]
    pub fn place(&self, property: &str) -> Place {
        self.place_of(&JsonPath::read(property))
    }

    /// The property that `property` begins with, if the config has it; or else the one that it is in,
    /// unless that is a whole section.
    #[must_use]
    pub fn nearest(&self, property: &str) -> Option<String> {
        let wanted = JsonPath::read(property);
        let (mut found, mut value) = (JsonPath::default(), &self.tree);
        for step in &wanted.0 {
            let next = match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(index),
            };
            let Some(next) = next else { break };
            value = next;
            found.0.push(step.clone());
        }
        let is_near = found == wanted || found.0.len() > 1;
        (is_near && !found.is_root()).then(|| found.to_string())
    }

    /// A property as it is written, without what follows it; empty if the text begins with none.
    #[must_use]
    pub fn written(property: &str) -> String {
        JsonPath::read(property).to_string()
    }

    /// Leaves a property out, or puts something harmless in its place where the numbers of its
    /// neighbours would change, and reads the config again. `false` if there is no such property, or
    /// no config without it.
    pub fn leave_out(&mut self, property: &str) -> bool {
        let mut path = JsonPath::read(property);
        let in_whole = |length: &usize| {
            let above = path.0.get(..length.saturating_sub(1)).unwrap_or_default().to_vec();
            let last = path.0.get(length.saturating_sub(1));
            last.and_then(|last| harmless(&JsonPath(above), last, &self.tree)).is_some()
        };
        // Of a mount without its source, that would be wrong.
        let length = (1..=path.0.len()).find(in_whole).unwrap_or(path.0.len());
        path.0.truncate(length);
        let before = self.tree.clone();
        while !path.is_root() {
            if remove(&mut self.tree, &path) && self.load().is_ok() {
                return true;
            }
            path.0.pop();
        }
        self.tree = before;
        false
    }

    /// Where the text has what `tree` has at `path`.
    fn place_of(&self, path: &JsonPath) -> Place {
        let mut found = JsonPath::default();
        for step in &path.0 {
            let mut step = step.clone();
            if let Step::Index(index) = &mut step {
                let mut removed: Vec<usize> = self.removed_of(&found).collect();
                removed.sort_unstable();
                for one in removed {
                    *index += usize::from(one <= *index);
                }
            }
            found.0.push(step);
        }
        let line = document(&self.text).place_of(&found).line;
        Place { property: found.to_string(), line }
    }

    fn removed_of(&self, array: &JsonPath) -> impl Iterator<Item = usize> {
        self.removed.iter().filter(move |(of, _)| of == array).map(|(_, index)| *index)
    }

    fn read(&mut self) {
        let tree = serde_json::from_slice(&self.text);
        match tree.or_else(|error| tree_of_types(&self.text).ok_or(error)) {
            Ok(tree) => self.tree = tree,
            Err(error) => {
                let line = error.line();
                let reason = format!("is not JSON: {}", crate::error::reason(&error));
                let place = Place { property: String::new(), line };
                return self.problems.push(Problem { place, reason });
            }
        }
        // As in `Document::load`, which asks no more of a text that is a config as it is.
        let is_plain =
            !keys::any_misspelt(&self.text) && serde_json::from_slice::<Config>(&self.text).is_ok();
        let mut scanner = Scanner { text: &self.text, at: 0 };
        if let Some((path, _)) = (!is_plain).then(|| scanner.find_repeated()).flatten() {
            self.add(self.place_of(&path), "duplicate field");
        }
        keys::respell(&mut self.tree);
        normalize::spec(&mut self.tree, &mut self.warnings);
        let told = self.read_types();
        let found = self.load().map(Found::into_kept).unwrap_or_default();
        // What was left out is missing for that reason.
        for violation in found {
            let place = self.place_of(&violation.path);
            if !told.contains(&JsonPath::read(&place.property)) {
                self.add(place, violation.reason);
            }
        }
    }

    fn add(&mut self, place: Place, reason: impl Into<String>) {
        self.problems.push(Problem { place, reason: reason.into() });
    }

    /// Leaves out what can't be read as its type; gives what that was, as the text has it.
    fn read_types(&mut self) -> Vec<JsonPath> {
        let mut told: Vec<JsonPath> = Vec::new();
        for _ in 0..MOST {
            let text = self.tree.to_string().into_bytes();
            let Err(error) = serde_json::from_slice::<Config>(&text) else { break };
            let path = path_of(&error, &text);
            // What lacks a property that was left out is not wrong by itself.
            let place = self.place_of(&path);
            let original = JsonPath::read(&place.property);
            if !told.iter().any(|other| other.is_within(&original)) {
                self.add(place, type_error(&error));
                told.push(original);
            }
            if path.is_root() || !self.cut(&path) {
                break;
            }
        }
        told
    }

    /// Takes a property away, or an element of an array, after which those behind it move up.
    fn cut(&mut self, path: &JsonPath) -> bool {
        let original = self.place_of(path).property;
        let Some((last, above)) = path.0.split_last() else { return false };
        match (find(&mut self.tree, above), last) {
            (Some(Value::Object(members)), Step::Key(key)) => members.remove(key).is_some(),
            (Some(Value::Array(elements)), Step::Index(index)) if *index < elements.len() => {
                elements.remove(*index);
                let original = JsonPath::read(&original);
                if let Some((Step::Index(index), above)) = original.0.split_last() {
                    self.removed.push((JsonPath(above.to_vec()), *index));
                }
                true
            }
            _ => false,
        }
    }

    /// Reads the tree as a config, and asks the rules about it.
    fn load(&mut self) -> Result<Found, serde_json::Error> {
        let text = self.tree.to_string().into_bytes();
        let document = document(&text);
        let config = serde_json::from_slice::<Config>(&text)?;
        let mut warnings = self.warnings.clone();
        let spec = complete(config, &document, &mut warnings);
        let mut found = Found::all();
        // Never an error, as all are kept.
        let _ = validate::spec(&mut found, &spec, &document);
        self.bundle = Some(Bundle::of(self.path.clone(), spec, self.text.clone(), warnings));
        Ok(found)
    }
}

/// The tree of a text that is taken though no tree can hold it: what serde passes over may be no UTF-8,
/// numbers too large, brackets too deep.
fn tree_of_types(text: &[u8]) -> Option<Value> {
    let spec = crate::parse(text, Path::new(""), &mut Vec::new()).ok()?;
    serde_json::to_value(spec).ok()
}

fn document(text: &[u8]) -> Document<'_> {
    Document { text, name: Path::new("config.json"), before: 0 }
}

/// The value at the end of a path; a key may be in another case only where the text is.
fn find<'a>(tree: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(tree, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    })
}

/// Takes a property away. What others depend on gets something harmless in its place.
fn remove(tree: &mut Value, path: &JsonPath) -> bool {
    let Some((last, above)) = path.0.split_last() else { return false };
    let harmless = harmless(&JsonPath(above.to_vec()), last, tree);
    match (find(tree, above), last, harmless) {
        (Some(Value::Object(members)), Step::Key(key), None) => members.remove(key).is_some(),
        (Some(Value::Object(members)), Step::Key(key), Some(harmless)) => {
            members.get_mut(key).is_some_and(|value| replace(value, harmless))
        }
        (Some(Value::Array(elements)), Step::Index(index), Some(harmless)) => {
            elements.get_mut(*index).is_some_and(|value| replace(value, harmless))
        }
        _ => false,
    }
}

/// Puts something harmless in the place of a value; `false` if it is that already, and so not what is
/// wrong.
fn replace(value: &mut Value, harmless: Value) -> bool {
    let is_new = *value != harmless;
    *value = harmless;
    is_new
}

/// What can stand in the place of an element without an effect that others would depend on.
fn harmless(array: &JsonPath, last: &Step, tree: &Value) -> Option<Value> {
    let is = |dotted| *array == at(dotted);
    let index = match last {
        Step::Index(index) => index,
        // A profile has no meaning without.
        Step::Key(key) if is("linux.seccomp") && key == "defaultAction" => {
            return Some(json!("SCMP_ACT_ERRNO"));
        }
        Step::Key(_) => return None,
    };
    if is("mounts") {
        let place = format!("/.left-out/{index}");
        return Some(json!({ "destination": place, "type": "tmpfs", "source": "tmpfs" }));
    }
    if is("linux.devices") {
        return Some(json!({ "path": format!("/dev/.left-out-{index}"), "type": "p" }));
    }
    if is("linux.seccomp.syscalls") {
        let action = tree.pointer("/linux/seccomp/defaultAction")?.clone();
        return Some(json!({ "names": ["read"], "action": action }));
    }
    if is("linux.resources.devices") {
        return Some(json!({ "allow": false, "access": "rwm" }));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn examine(text: &str) -> Examined {
        Examined::new(PathBuf::from("/b"), text.as_bytes().to_vec())
    }

    fn problems(examined: &Examined) -> Vec<(&str, usize)> {
        let all = examined.problems.iter();
        all.map(|one| (one.place.property.as_str(), one.place.line)).collect()
    }

    const BROKEN: &str = r#"{
  "ociVersion": "2.0.0",
  "root": { "path": "" },
  "process": {
    "cwd": "x", "args": "sh",
    "user": { "uid": "me", "gid": 0 }
  },
  "mounts": [
    { "destination": 7 },
    { "destination": "/" },
    { "destination": "/x", "options": ["idmap"] }
  ],
  "linux": {
    "namespaces": [{ "type": "nothing" }, { "type": "mount" }, { "type": "mount" }],
    "maskedPaths": ["x"]
  }
}"#;

    #[test]
    fn all_is_found_at_once_by_its_place() {
        let examined = examine(BROKEN);
        let found = problems(&examined);
        for expected in [
            ("process.args", 5),
            ("process.user.uid", 6),
            ("mounts[0].destination", 9),
            ("linux.namespaces[0].type", 14),
            ("ociVersion", 2),
            ("root.path", 3),
            ("process.cwd", 5),
            ("mounts[1].destination", 10),
            ("mounts[2].options", 11),
            ("linux.namespaces[2].type", 14),
            ("linux.maskedPaths[0]", 15),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert!(examined.bundle.is_some());
    }

    #[test]
    fn what_create_takes_has_no_problem_and_what_it_refuses_has_its_first() {
        let template = crate::template(false, false);
        let examined = examine(&template);
        assert_eq!(problems(&examined), []);
        let first = crate::parse(BROKEN.as_bytes(), Path::new("x"), &mut Vec::new()).unwrap_err();
        assert!(problems(&examine(BROKEN)).iter().any(|(one, _)| Some(*one) == first.object()));
    }

    #[test]
    fn text_that_is_no_config_is_told_of() {
        for (text, line) in [("{", 1), ("[\n\n", 3), ("", 1), ("[]", 1), ("7", 1)] {
            let examined = examine(&text.replace("\\n", "\n"));
            assert_eq!(problems(&examined), [("", line)], "{text}");
            assert!(examined.bundle.is_none());
        }
        assert_eq!(problems(&examine(r#"{"root": null, "root": {}}"#)).first(), Some(&("root", 1)));
    }

    #[test]
    fn what_is_left_out_changes_no_number() {
        let mut examined = examine(
            r#"{"ociVersion":"1.0.0","root":{"path":"x"},"mounts":[
            {"destination":"/a"},{"destination":"/b"}],"hostname":"x"}"#,
        );
        assert!(examined.leave_out("mounts[0] /a"));
        let mounts = examined.bundle.as_ref().unwrap().spec.mounts().clone().unwrap();
        assert_eq!(mounts[1].destination(), Path::new("/b"));
        assert_ne!(mounts[0].destination(), Path::new("/a"));
        assert!(examined.leave_out("hostname"));
        assert!(!examined.leave_out("nothing") && !examined.leave_out(""));
        assert_eq!(examined.place("mounts[1].destination").line, 2);
    }
}
