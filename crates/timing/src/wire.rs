//! The notes of a process as bytes, for one that has no memory in common with it: a mark, how many notes
//! there are, when the process's command began, and of each note the time and the rest, in numbers of 64
//! bits. Nothing here may rely on what comes.

use crate::record::Note;

/// No text has it.
const MARK: &[u8; 8] = b"\0timing\0";

/// How many bytes a number has, and a note.
const NUMBER: usize = 8;
const NOTE: usize = 2 * NUMBER;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// When the command began, in nanoseconds since 1970.
    pub origin: i64,
    pub notes: Vec<Note>,
    /// What was around it.
    pub rest: Vec<u8>,
}

/// How many notes have room in so many bytes.
pub(crate) fn count_in(bytes: usize) -> usize {
    bytes.saturating_sub(MARK.len() + 2 * NUMBER) / NOTE
}

/// The bytes.
pub(crate) fn write(origin: i64, notes: &[Note]) -> Vec<u8> {
    let head = [u64::try_from(notes.len()).unwrap_or(0), origin.cast_unsigned()];
    let numbers = notes.iter().flat_map(|note| [note.time, note.packed()]);
    let numbers = head.into_iter().chain(numbers).flat_map(u64::to_le_bytes);
    MARK.iter().copied().chain(numbers).collect()
}

/// Reads the first notes that are in `bytes`; none if they are cut short. A number that is no note is left
/// out.
pub(crate) fn read(bytes: &[u8]) -> Option<Carried> {
    let at = bytes.windows(MARK.len()).position(|some| some == MARK)?;
    let (before, marked) = bytes.split_at_checked(at)?;
    let body = marked.get(MARK.len()..)?;
    let mut numbers = body.as_chunks::<NUMBER>().0.iter().copied().map(u64::from_le_bytes);
    let (count, origin) = (numbers.next()?, numbers.next()?.cast_signed());
    // The first two numbers are as long as a note.
    let length = usize::try_from(count).ok()?.checked_add(1)?.checked_mul(NOTE)?;
    let after = body.get(length..)?;
    let mut notes = Vec::new();
    for _ in 0..count {
        let (time, packed) = (numbers.next()?, numbers.next()?);
        notes.extend(Note::of(time, packed));
    }
    Some(Carried { origin, notes, rest: [before, after].concat() })
}
