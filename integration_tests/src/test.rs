//! What a test is, and how all of them are run: in parallel, with real skips, each panic a failure
//! that names its line.

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::any::Any;
use std::cell::RefCell;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook};
use std::process::ExitCode;
use std::thread;

/// A test: its name and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// The name, with its module's.
    pub name: &'static str,
    /// Panics if what it tests is not so.
    pub run: fn(),
}

/// The list of a module's tests. One that is not listed is dead code, of which the compiler warns.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$($crate::test::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            run: $name,
        }),*]
    };
}

/// Why a test could not be run on this machine.
struct Skipped(String);

thread_local! {
    /// Where this thread's last panic was; the payload does not say.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Ends the running test as skipped, which the result shows with `reason`.
pub fn skip(reason: impl Into<String>) -> ! {
    panic_any(Skipped(reason.into()))
}

/// Runs `tests` as the command line asks, and prints what came of it as cargo test does. Where the
/// environment has `RIND_TESTS`, only those whose name begins with one of its words.
#[must_use]
pub fn run(tests: impl IntoIterator<Item = Test>) -> ExitCode {
    set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        PANICKED_AT.replace(place);
    }));
    let words = env::var("RIND_TESTS").unwrap_or_default();
    let is_wanted = |name: &str| {
        words.trim().is_empty() || words.split_whitespace().any(|word| name.starts_with(word))
    };
    let trials = tests.into_iter().filter_map(|test| {
        // The crate's name stands before every module's and says nothing.
        let name = test.name.split_once("::").map_or(test.name, |(_, name)| name);
        let trial = || Trial::ignorable_test(name, move || conclude(catch_unwind(test.run)));
        is_wanted(name).then(trial)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs `task` on each of `items` at the same time; what the first failed one says is the failure.
#[track_caller]
pub fn in_parallel<T: Send, R: Send>(
    items: impl IntoIterator<Item = T>,
    task: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let task = &task;
    let ended: Vec<Result<R, String>> = thread::scope(|scope| {
        let threads = items.into_iter().map(|item| {
            scope.spawn(move || {
                catch_unwind(AssertUnwindSafe(|| task(item))).map_err(|payload| describe(&*payload))
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("its panic is caught")).collect()
    });
    ended.into_iter().map(|result| result.unwrap_or_else(|text| panic!("{text}"))).collect()
}

fn conclude(ended: Result<(), Box<dyn Any + Send>>) -> Result<Completion, Failed> {
    let Err(payload) = ended else { return Ok(Completion::Completed) };
    if let Some(Skipped(reason)) = payload.downcast_ref() {
        return Ok(Completion::ignored_with(reason));
    }
    Err(describe(&*payload).into())
}

/// Where this thread has panicked, and what it said.
fn describe(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("panicked");
    format!("{}: {text}", PANICKED_AT.take())
}
