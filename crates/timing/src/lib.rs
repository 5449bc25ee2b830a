//! Where the time of a command goes: which step each of its processes has done, and when.
//!
//! A step begins when the one before it in the same process is done, so that the steps of a process leave
//! no gap. A process notes a step by [`done`], in memory that it has in common with its parent and of
//! which no other process knows; before a container can reach it, it [`leave`]s. While nothing is timed,
//! and that is always but with `--timing`, a note costs the look at one byte.
//!
//! The crate knows the names of all steps, and nothing of what they do.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod record;
mod step;
mod wire;

pub use record::{
    Side, begin, clock_may_differ, done, done_at, enter, is_on, is_timed, leave, seen, stop,
};
pub use step::Step;

use record::{LAST, Note, notes_of, origin};
use std::sync::{Mutex, PoisonError};

/// Something that one process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which process.
    pub side: Side,
    /// What it was.
    pub step: Step,
    /// The same for people, with the entry of the config that it was done for.
    pub label: String,
    /// When it began, in nanoseconds since the command did.
    pub begin: u64,
    /// When it was done.
    pub end: u64,
}

impl Span {
    /// How long it took, in nanoseconds.
    #[must_use]
    pub fn took(&self) -> u64 {
        self.end - self.begin
    }
}

/// What the entries of a list are called: mount points, hooks' programs.
static NAMES: Mutex<Vec<(Step, Vec<String>)>> = Mutex::new(Vec::new());
/// The pids of the other sides' processes.
static PIDS: Mutex<Vec<(Side, i32)>> = Mutex::new(Vec::new());
/// What a process has noted with which this one has no memory in common.
static BROUGHT: Mutex<Vec<Note>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what the entries of the list are called that `step` is done for, if anything is timed.
pub fn name<Name: Into<String>>(step: Step, names: impl IntoIterator<Item = Name>) {
    if is_timed() {
        // Nobody reads more of them.
        let most = usize::try_from(LAST).unwrap_or(usize::MAX).saturating_add(1);
        let names = names.into_iter().take(most).map(Into::into).collect();
        lock(&NAMES).push((step, names));
    }
}

/// Says which process a side is, if anything is timed.
pub fn is_process(side: Side, pid: i32) {
    if is_on() {
        lock(&PIDS).push((side, pid));
    }
}

/// The pid of a side's process, as far as it is known: the last one that was told.
#[must_use]
pub fn pid(side: Side) -> Option<i32> {
    lock(&PIDS).iter().rev().find(|(one, _)| *one == side).map(|(_, pid)| *pid)
}

/// What all processes have done, by the time that it began at.
#[must_use]
pub fn spans() -> Vec<Span> {
    // The host has seen some things of the others.
    let (host, told): (Vec<_>, Vec<_>) =
        notes_of(Side::Host).partition(|note| note.side == Side::Host);
    let end = host.iter().chain(&told).map(|note| note.time).max().unwrap_or(0);
    let (mut spans, mut forks) = (Vec::new(), Vec::<u64>::new());
    for side in Side::ALL {
        let own = if side == Side::Host { host.clone() } else { notes_of(side).collect() };
        let brought = lock(&BROUGHT).clone();
        let mut notes: Vec<Note> = own.into_iter().chain(brought).chain(told.clone()).collect();
        notes.retain(|note| note.side == side && note.time <= end);
        notes.sort_by_key(|note| note.time);
        // A process is forked before it runs.
        let born = notes.first().filter(|note| note.step == Step::Born);
        let forked =
            born.and_then(|born| forks.iter().copied().filter(|at| *at <= born.time).max());
        let begin = if side == Side::Host { Some(0) } else { forked };
        add_spans(&notes, begin, &mut spans);
        forks.extend(notes.iter().filter(|note| note.step == Step::Fork).map(|note| note.time));
    }
    spans.sort_by_key(|span| (span.begin, span.end));
    spans
}

/// Adds the spans between the notes of one process, whose first one begins at `begin`; if that isn't known,
/// with its first note.
fn add_spans(notes: &[Note], mut begin: Option<u64>, spans: &mut Vec<Span>) {
    let names = lock(&NAMES);
    for note in notes {
        let Note { time, side, step, index } = *note;
        if let Some(begin) = begin {
            let list = names.iter().find(|(of, _)| *of == step).map(|(_, names)| names);
            let name = list.and_then(|names| names.get(usize::try_from(index).ok()?));
            let label = step.label(index, index == LAST, name.map(String::as_str));
            spans.push(Span { side, step, label, begin, end: time });
        }
        begin = Some(time);
    }
}

/// What this process has noted of a side, as at most `most` bytes for [`bring`].
#[must_use]
pub fn carry(side: Side, most: usize) -> Vec<u8> {
    let notes: Vec<Note> = notes_of(side).take(wire::count_in(most)).collect();
    wire::write(origin(), &notes)
}

/// Takes what another process has noted by [`carry`] out of `bytes`, as notes of the container's side,
/// and gives the rest. It believes none of it.
#[must_use]
pub fn bring(bytes: &[u8]) -> Vec<u8> {
    let Some(carried) = wire::read(bytes) else { return bytes.to_vec() };
    let ahead = carried.origin.saturating_sub(origin());
    let own = carried.notes.into_iter().filter(|note| note.side == Side::Container);
    let notes = own.map(|note| Note { time: note.time.saturating_add_signed(ahead), ..note });
    lock(&BROUGHT).extend(notes);
    carried.rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::thread::sleep;
    use std::time::Duration;

    /// All of it in one test: what a process notes is one for all threads.
    #[test]
    fn notes_become_spans() {
        done(Step::Config);
        assert!(!is_on() && spans().is_empty());
        begin().unwrap();
        name(Step::Mount, ["/proc", "/dev"]);
        done(Step::Config);
        sleep(Duration::from_millis(3));
        done_at(Step::Mount, 1);
        for index in [998, 999, 1000, 5000] {
            done_at(Step::Mount, index);
        }
        seen(Side::Container, Step::Born);
        seen(Side::Container, Step::Execute);
        done(Step::Rest);
        let found = spans();
        let labels: Vec<_> = found.iter().map(|span| span.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "reading config.json",
                "mounts[1] /dev",
                "mounts[998]",
                "mounts[999] and all after it",
                "the rest",
                "executing the program",
            ]
        );
        assert!(found[1].took() >= 3_000_000 && found[1].begin == found[0].end, "{found:?}");
        let host: u64 = found.iter().filter(|span| span.side == Side::Host).map(Span::took).sum();
        assert_eq!(host, found[4].end);

        enter(Side::Container);
        done_at(Step::StartContainer, 0);
        let bytes = carry(Side::Container, 4096);
        leave().unwrap();
        assert!(!is_on());
        let text = [b"0", bytes.as_slice(), b"why not"].concat();
        assert_eq!(bring(&text), b"0why not");
        assert!(spans().is_empty(), "what was noted is gone");
        for wrong in [&bytes[..20], &bytes[..bytes.len() - 1], b"0", b""] {
            assert_eq!(bring(wrong), wrong);
        }
        assert_eq!(carry(Side::Container, 40).len(), 24);
    }
}
