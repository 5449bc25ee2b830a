//! What the processes of a command note: which step is done, and when. It is in memory that they have in
//! common, a part of it for each side.
//!
//! The parent must not trust what it finds there: a process of the container may have changed it.

use crate::step::Step;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use sys::shared::Shared;

/// Which of a command's processes takes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The command itself.
    Host = 1,
    /// The intermediate process, which joins namespaces before there is an init.
    Intermediate = 2,
    /// The container's init, or the process of an `exec`.
    Container = 3,
}

impl Side {
    /// All sides, in the order of their processes.
    pub const ALL: [Self; 3] = [Self::Host, Self::Intermediate, Self::Container];

    fn part(self) -> usize {
        self as usize - 1
    }
}

/// Where this process notes what it does; 0 while it notes nothing.
static SIDE: AtomicU8 = AtomicU8::new(0);
/// How many notes there are of this process's side.
static NOTED: AtomicUsize = AtomicUsize::new(0);
/// By how many nanoseconds the clock of this process's time namespace is ahead of the command's.
static AHEAD: AtomicI64 = AtomicI64::new(0);
static BASE: OnceLock<Base> = OnceLock::new();

/// What a command that is timed has, and with it all that it forks.
struct Base {
    begin: Instant,
    /// The same moment by the other clock, which no time namespace changes.
    wall: SystemTime,
    shared: Shared,
}

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// When the step was done, in nanoseconds since the command began.
    pub time: u64,
    pub side: Side,
    pub step: Step,
    pub index: u64,
}

/// The last entry of a list that is told apart; those after it count as one.
pub(crate) const LAST: u64 = 999;

/// How many notes a side has room for: more than four lists of so many entries, and all steps that are
/// done once.
const NOTES: usize = 4500;
/// Of a note: the time and 1, then side, step and index.
const NUMBERS: usize = 2;

/// Whether this process notes what it does.
#[must_use]
#[inline]
pub fn is_on() -> bool {
    SIDE.load(Ordering::Relaxed) != 0
}

/// Whether the command is timed, also if this process notes nothing any more.
#[must_use]
pub fn is_timed() -> bool {
    BASE.get().is_some()
}

/// Notes that this process has done `step`, which began when its last one was done.
#[inline]
pub fn done(step: Step) {
    if is_on() {
        note(step, 0);
    }
}

/// The same of a step that is done for each entry of a list.
#[inline]
pub fn done_at(step: Step, index: usize) {
    if is_on() {
        note(step, index);
    }
}

/// Has this process note what it does from now on, and what it forks, on sides of its own.
pub fn begin() -> sys::Result<()> {
    if BASE.get().is_none() {
        let shared = Shared::map(Side::ALL.len() * NOTES * NUMBERS)?;
        let base = Base { begin: Instant::now(), wall: SystemTime::now(), shared };
        // Nobody else sets it: there is one thread.
        let _ = BASE.set(base);
    }
    NOTED.store(0, Ordering::Relaxed);
    SIDE.store(Side::Host as u8, Ordering::Relaxed);
    Ok(())
}

/// Begins the notes of a `side`, in its process.
#[inline]
pub fn enter(side: Side) {
    if is_on() {
        change_side(side);
    }
}

#[cold]
fn change_side(side: Side) {
    SIDE.store(side as u8, Ordering::Relaxed);
    NOTED.store(0, Ordering::Relaxed);
    look_at_clock();
    note(Step::Born, 0);
}

/// Finds out how far the clock is ahead: this process may be in another time namespace by now.
#[inline]
pub fn clock_may_differ() {
    if is_on() {
        look_at_clock();
    }
}

#[cold]
fn look_at_clock() {
    let Some(base) = BASE.get() else { return };
    let ahead = since(base.begin) - since_wall(base.wall);
    // The two clocks never agree on the last microseconds.
    let differs = ahead.unsigned_abs() > 1_000_000;
    AHEAD.store(if differs { ahead } else { 0 }, Ordering::Relaxed);
}

/// Notes nothing more in this process, and takes the memory that it has in common with its parent away
/// from it. A process that a container can reach must have left.
#[inline]
pub fn leave() -> sys::Result<()> {
    if !is_on() {
        return Ok(());
    }
    stop();
    BASE.get().map_or(Ok(()), |base| base.shared.leave())
}

/// Notes nothing more in this process.
pub fn stop() {
    SIDE.store(0, Ordering::Relaxed);
}

/// In the parent: notes that a child has done `step`, as it has just told.
#[inline]
pub fn seen(side: Side, step: Step) {
    if is_on() {
        push(Note { time: now(), side, step, index: 0 });
    }
}

#[cold]
fn note(step: Step, index: usize) {
    let Some(side) = own_side() else { return };
    let index = u64::try_from(index).unwrap_or(LAST).min(LAST);
    push(Note { time: now(), side, step, index });
}

fn own_side() -> Option<Side> {
    let own = SIDE.load(Ordering::Relaxed);
    Side::ALL.into_iter().find(|side| *side as u8 == own)
}

/// Adds a note to those of this process. All entries of a list beyond [`LAST`] are one note.
fn push(note: Note) {
    let Some(side) = own_side() else { return };
    let count = NOTED.load(Ordering::Relaxed);
    let before = count.checked_sub(1).and_then(|before| read(side, before));
    let again = note.index == LAST
        && before.is_some_and(|one| (one.step, one.index) == (note.step, note.index));
    let place = if again { count - 1 } else { count };
    let Some(numbers) = numbers(side, place) else { return };
    let [time, what] = numbers else { return };
    what.store(note.packed(), Ordering::Relaxed);
    time.store(note.time.saturating_add(1), Ordering::Release);
    NOTED.store(place + 1, Ordering::Relaxed);
}

/// The notes that are in a side's part of the memory.
pub(crate) fn notes_of(side: Side) -> impl Iterator<Item = Note> {
    (0..NOTES).map_while(move |place| read(side, place))
}

fn read(side: Side, place: usize) -> Option<Note> {
    let [time, what] = numbers(side, place)? else { return None };
    let time = time.load(Ordering::Acquire).checked_sub(1)?;
    Note::of(time, what.load(Ordering::Relaxed))
}

fn numbers(side: Side, place: usize) -> Option<&'static [AtomicU64]> {
    if place >= NOTES {
        return None;
    }
    let at = (side.part() * NOTES + place) * NUMBERS;
    BASE.get()?.shared.numbers().get(at..at + NUMBERS)
}

impl Note {
    /// Side, step and index as one number.
    pub(crate) fn packed(self) -> u64 {
        (self.side as u64) << 48 | (self.step as u64) << 32 | self.index
    }

    /// The note of this time and of that number, if it is one.
    pub(crate) fn of(time: u64, packed: u64) -> Option<Self> {
        let side = Side::ALL.into_iter().find(|side| *side as u64 == packed >> 48)?;
        let step = Step::of_number(packed >> 32 & 0xffff)?;
        Some(Self { time, side, step, index: (packed & 0xffff_ffff).min(LAST) })
    }
}

/// Nanoseconds since the command began, by its own clock.
pub(crate) fn now() -> u64 {
    let ahead = AHEAD.load(Ordering::Relaxed);
    let now = BASE.get().map_or(0, |base| since(base.begin).saturating_sub(ahead));
    u64::try_from(now).unwrap_or(0)
}

/// When the command began by the clock that all time namespaces share, in nanoseconds since 1970. By it
/// the notes of two commands can be put on one line.
pub(crate) fn origin() -> i64 {
    let now_at = since_wall(SystemTime::UNIX_EPOCH);
    now_at.saturating_sub(i64::try_from(now()).unwrap_or(i64::MAX))
}

fn since(begin: Instant) -> i64 {
    let now = Instant::now();
    match now.checked_duration_since(begin) {
        Some(after) => nanoseconds(after),
        None => -nanoseconds(begin.duration_since(now)),
    }
}

fn since_wall(begin: SystemTime) -> i64 {
    match SystemTime::now().duration_since(begin) {
        Ok(after) => nanoseconds(after),
        Err(before) => -nanoseconds(before.duration()),
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
