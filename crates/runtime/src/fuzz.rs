//! What holds of the state directory's files and of values that a caller gives, whatever their bytes are.
//! `just fuzz` searches for bytes of which it doesn't, and the tests try those that are in `fuzz/seeds`.

// A property that does not hold ends in a panic.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

use crate::commands::events::Interval;
use crate::commands::kill::Signal;
use crate::commands::mounts::Kept;
use crate::commands::quantity;
use crate::container::annotations::{Map, Requests, pidfd_receiver};
use crate::container::record::Record;
use cgroups::Cgroup;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use sys::nix::libc::SIGRTMAX;

/// state.json, cgroups.json and the list of amended mounts: what rind reads is the same when it has written
/// it again.
pub fn record(bytes: &[u8]) {
    if let Some(record) = written_again::<Record>(bytes) {
        let state = record.hook_state("box", 7, "running");
        assert_eq!((state.pid, &state.bundle), (7, &record.bundle));
        assert_eq!(record.keyring("box").is_none(), record.keeps_keyring);
        check_cgroup(&record.cgroup);
    }
    if let Some(cgroup) = written_again::<Cgroup>(bytes) {
        check_cgroup(&cgroup);
    }
    written_again::<Kept>(bytes);
}

fn written_again<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    // As trees: some of these types hold maps that have no order.
    let tree = serde_json::to_value(&read).unwrap();
    let again: T = serde_json::from_slice(&serde_json::to_vec(&read).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), tree);
    Some(read)
}

/// Every directory of a cgroup is where the hierarchy is mounted, or below.
fn check_cgroup(cgroup: &Cgroup) {
    for hierarchy in cgroup.planned().chain(cgroup.joined()) {
        assert!(hierarchy.directory().starts_with(&hierarchy.mount));
    }
    let _ = (cgroup.is_pure_v2(), cgroup.is_in_scope(), cgroup.has_moved());
}

/// Annotations, each a line `NAME=VALUE`: rind refuses them, or can use them later.
pub fn annotations(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let lines = text.lines().filter_map(|line| line.split_once('='));
    // A value may have more than one line.
    let lines = lines.map(|(name, value)| (name.to_owned(), value.replace("\\n", "\n")));
    let annotations: Map = lines.collect();
    let mut warnings = Vec::new();
    let Ok(requests) = Requests::read(&annotations, &mut warnings) else { return };
    assert!(warnings.len() <= annotations.len());
    if let Some((path, _)) = pidfd_receiver(&annotations).unwrap() {
        assert!(path.is_absolute());
    }
    // The clocks of a time namespace: whole lines of three fields.
    if let Some(offset) = &requests.time_offset {
        assert!(offset.lines().all(|line| line.split_ascii_whitespace().count() == 3));
    }
}

/// Sizes, times and signals, as the command line has them.
pub fn quantities(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(size) = quantity::bytes(text) {
        assert!(size >= -1);
        assert_eq!(quantity::bytes(&size.to_string()), Some(size));
    }
    if let Some(time) = quantity::duration(text) {
        let nanoseconds = format!("{}ns", time.as_nanos());
        assert_eq!(quantity::duration(&nanoseconds), Some(time));
        assert_eq!(text.parse::<Interval>().is_ok(), time > Duration::ZERO);
    }
    if let Ok(Signal(number)) = text.parse() {
        assert!((0..=SIGRTMAX()).contains(&number));
        assert_eq!(number.to_string().parse::<Signal>().unwrap(), Signal(number));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
#[test]
fn the_seeds_keep_the_properties() {
    seeds::hold("record", record);
    seeds::hold("annotations", annotations);
    seeds::hold("words", quantities);
}
