//! What holds of a table of mounts, whatever its bytes are. `just fuzz` searches for bytes of which it doesn't,
//! and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc)]

use crate::table::{Line, Table};

/// A table, of which a container has chosen the paths and perhaps the depth: every line is found by its id,
/// and one is below another if its parent is that, or is below it.
pub fn mountinfo(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let table = Table::parse(&text);
    let lines: Vec<Line> = text.lines().filter_map(Line::parse).collect();
    for line in &lines {
        assert_eq!(table.line(line.id.into()).map(|found| found.id), Some(line.id));
        assert!(line.is_of_the_same(line));
    }
    for top in lines.iter().take(8) {
        let is_below = table.is_any_below(top.id.into(), |line| line.read_only);
        assert_eq!(is_below, reaches_read_only(&lines, top.id), "{} in {text}", top.id);
    }
}

/// The same as `is_any_below`, from parents to children.
fn reaches_read_only(lines: &[Line], top: u32) -> bool {
    let mut reached = vec![top];
    let mut next = 0;
    while let Some(&parent) = reached.get(next) {
        next += 1;
        for line in lines.iter().filter(|line| line.parent == parent && line.id != top) {
            if line.read_only {
                return true;
            }
            if !reached.contains(&line.id) {
                reached.push(line.id);
            }
        }
    }
    false
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("mountinfo", mountinfo);
}
