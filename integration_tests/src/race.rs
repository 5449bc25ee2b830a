//! How long a race goes on, and how many attempts all of them have made.

use std::env;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a race goes on that is one of time: long enough to meet what is open for some microseconds
/// of each command.
pub const TIME: Duration = Duration::from_millis(1500);

static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);

/// The rounds of a race: at least `least`, and as many as there is `time` for, or for the seconds
/// that `RIND_ATTACK` in the environment says.
pub fn rounds(least: usize, time: Duration) -> impl Iterator<Item = usize> {
    let time = asked().unwrap_or(time);
    let begun = Instant::now();
    (0..).take_while(move |round| {
        let goes_on = *round < least || begun.elapsed() < time;
        ATTEMPTS.fetch_add(usize::from(goes_on), Ordering::Relaxed);
        goes_on
    })
}

/// How many rounds of all races there were.
#[must_use]
pub fn attempts() -> usize {
    ATTEMPTS.load(Ordering::Relaxed)
}

/// The time that `RIND_ATTACK` says.
fn asked() -> Option<Duration> {
    static SECONDS: LazyLock<Option<u64>> =
        LazyLock::new(|| env::var("RIND_ATTACK").ok()?.parse().ok());
    SECONDS.map(Duration::from_secs)
}
