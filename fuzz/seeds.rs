//! Holds a property against the seeds of a target: what `cargo test` does without a fuzzer. Each crate
//! that has properties includes this file in its tests.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// How many changed copies of a seed are tried.
const CHANGED: u64 = 300;

/// Holds `property` against every file in `fuzz/seeds/TARGET`, against each cut short, and against copies
/// with a few bytes changed, the same ones each time.
pub fn hold(target: &str, property: impl Fn(&[u8])) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds")).join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "no seeds");
    files.sort_unstable();
    for file in files {
        let seed = fs::read(&file).unwrap();
        let check = |bytes: &[u8]| {
            let _tried = Tried { file: &file, bytes };
            property(bytes);
        };
        check(&seed);
        for end in (0..seed.len()).step_by(seed.len() / 300 + 1) {
            check(&seed[..end]);
        }
        let mut state = 1_u64;
        for _ in 0..if seed.is_empty() { 0 } else { CHANGED } {
            check(&changed(&seed, &mut state));
        }
    }
}

/// Shows what is tried, if the property does not hold.
struct Tried<'a> {
    file: &'a Path,
    bytes: &'a [u8],
}

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("by {}: {}", self.file.display(), self.bytes.escape_ascii());
        }
    }
}

/// A copy with one to four bytes changed. `state` is that of a linear congruential generator.
fn changed(seed: &[u8], state: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from(*state >> 33).unwrap() % below
    };
    let mut copy = seed.to_vec();
    for _ in 0..=next(4) {
        let (at, from) = (next(copy.len()), next(copy.len()));
        // Another byte of the same text is more likely to mean something than any byte.
        copy[at] = if next(2) == 0 { copy[from] } else { u8::try_from(next(256)).unwrap() };
    }
    copy
}
