//! Many callers at once, with random commands for a few containers: each answer is one that commands one
//! after the other could have given in its time, and each says so in its words and in time.
//!
//! What overlaps may come in any order. So a model asks of each answer only what must be so in all of
//! them: which containers can have been there between its beginning and its end. By default that takes
//! seconds, with `RIND_STRESS=SECONDS` (`just stress`) as many. `RIND_SEED` repeats the commands of a run
//! that failed, though not their timing.

use crate::injected::said;
use crate::overtaken::is_known;
use integration_tests::bundle::Bundle;
use integration_tests::command::spawn;
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Container, Value, json, tests};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub const TESTS: &[Test] = tests![one_container, several_containers];

const CALLERS: usize = 8;
const QUICK: u64 = 12;

fn one_container() {
    stress(1);
}

fn several_containers() {
    stress(3);
}

/// Numbers that look random, the same for the same seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Create,
    Run,
    Start,
    State,
    List,
    Ps,
    Ask,
    Kill,
    Pause,
    Resume,
    Update,
    Exec,
    Events,
    Delete,
    ForcedDelete,
}

/// How often each comes, with its words before and after the id.
const COMMANDS: &[(usize, What, &[&str], &[&str])] = &[
    (6, What::Create, &["create"], &[]),
    (4, What::Run, &["run", "--detach"], &[]),
    (6, What::Start, &["start"], &[]),
    (5, What::State, &["state"], &[]),
    (1, What::List, &["list", "--format", "json"], &[]),
    (1, What::Ps, &["ps", "--format", "json"], &[]),
    (1, What::Ps, &["ps"], &[]),
    (2, What::Ask, &["kill"], &["0"]),
    (1, What::Kill, &["kill"], &["TERM"]),
    (2, What::Kill, &["kill"], &["KILL"]),
    (1, What::Kill, &["kill", "--all"], &["KILL"]),
    (1, What::Kill, &["kill", "--regex"], &["KILL"]),
    (2, What::Pause, &["pause"], &[]),
    (3, What::Resume, &["resume"], &[]),
    (2, What::Update, &["update", "--pids-limit", "44"], &[]),
    (3, What::Exec, &["exec"], &["/bin/probe", "exit", "0"]),
    (1, What::Exec, &["exec", "--detach"], &["/bin/probe", "sleep"]),
    (1, What::Events, &["events", "--stats"], &[]),
    (3, What::Delete, &["delete"], &[]),
    (3, What::ForcedDelete, &["delete", "--force"], &[]),
    (1, What::ForcedDelete, &["delete", "--force", "--regex"], &[]),
];

/// A command that has ended.
#[derive(Debug)]
struct Done {
    what: What,
    /// Which container, by number.
    id: usize,
    from: Instant,
    to: Instant,
    code: i32,
    stdout: String,
    stderr: String,
    /// The name that a container that it makes has among all.
    generation: String,
    was_killed: bool,
    /// Whether it is for all that match, of which there may be none.
    is_by_regex: bool,
}

impl Done {
    fn succeeded(&self) -> bool {
        self.code == 0 && !self.was_killed
    }

    /// Whether it can have done what it is for.
    fn may_have(&self, kinds: &[What]) -> bool {
        kinds.contains(&self.what) && (self.code == 0 || self.was_killed)
    }

    fn makes(&self) -> bool {
        matches!(self.what, What::Create | What::Run)
    }

    /// Whether it can have removed a container. A `run` or `start` that fails removes its own.
    fn removes(&self) -> bool {
        self.may_have(&[What::Delete, What::ForcedDelete]) || self.what == What::ForcedDelete
    }

    fn is_before(&self, other: &Self) -> bool {
        self.to < other.from
    }
}

fn stress(count: usize) {
    let seconds = std::env::var("RIND_STRESS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(QUICK));
    let seed = std::env::var("RIND_SEED").ok().map(|text| text.parse().expect("RIND_SEED"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed: u64 = seed.unwrap_or_else(now);
    let first = Container::new(Bundle::new().probing(&["sleep"]));
    let mut containers = vec![first];
    for _ in 1..count {
        containers.push(Container::beside(&containers[0], Bundle::new().probing(&["sleep"])));
    }
    let history = Mutex::new(Vec::new());
    // One that has ended may have made a container that another is about to start.
    let bundles = Mutex::new(Vec::new());
    let end = Instant::now() + time;
    in_parallel(0..CALLERS, |caller| {
        let mut random = Random((seed + 1) * 0x9E37_79B9 + u64::try_from(caller).unwrap() * 77);
        let mut bundle = Bundle::new().probing(&["sleep"]);
        while Instant::now() < end {
            let done = command(&containers, &mut bundle, &mut random);
            history.lock().unwrap().push(done);
        }
        bundles.lock().unwrap().push(bundle);
    });
    let history = history.into_inner().unwrap();
    let wrong = judge(&history, count);
    report(&history);
    let some = wrong.get(..wrong.len().min(10)).unwrap_or_default().join("\n");
    assert!(wrong.is_empty(), "RIND_SEED={seed}: {} answers are wrong:\n{some}", wrong.len());
    // Those that are beside the first are in its folder.
    while containers.pop().is_some() {}
}

/// Runs a random command to its end; one in 25 is killed on the way.
fn command(containers: &[Container], bundle: &mut Bundle, random: &mut Random) -> Done {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let id = random.below(containers.len());
    let weights: usize = COMMANDS.iter().map(|row| row.0).sum();
    let mut at = random.below(weights);
    let is_it = |row: &&(usize, What, &[&str], &[&str])| {
        let found = at < row.0;
        at = at.saturating_sub(row.0);
        found
    };
    let (_, what, before, after) = COMMANDS.iter().find(is_it).unwrap();
    let generation = MADE.fetch_add(1, Ordering::Relaxed).to_string();
    let container = &containers[id];
    let mut command: Command = container.command(before);
    if matches!(what, What::Create | What::Run) {
        let path = integration_tests::cgroup::path_for(container.id());
        let fresh = std::mem::take(bundle).config(|config| {
            config["annotations"] = json!({ "generation": generation });
            config["linux"]["cgroupsPath"] = json!(path);
        });
        *bundle = fresh;
        command.arg("--bundle").arg(bundle.path());
    }
    if *what != What::List {
        command.arg(container.id()).args(*after);
    }
    let from = Instant::now();
    let mut running = spawn(command);
    let mut was_killed = random.below(25) == 0;
    if was_killed {
        sleep(Duration::from_micros(random.below(12_000).try_into().unwrap()));
        running.kill();
    }
    let output = running.try_wait().unwrap_or_else(|timeout| panic!("{timeout}"));
    was_killed &= output.code == 128 + 9;
    let to = Instant::now();
    let (code, stdout, stderr) = (output.code, output.stdout, output.stderr);
    let (what, is_by_regex) = (*what, before.contains(&"--regex"));
    Done { what, id, from, to, code, stdout, stderr, generation, was_killed, is_by_regex }
}

fn report(history: &[Done]) {
    let mut counts: BTreeMap<What, [usize; 3]> = BTreeMap::new();
    for done in history {
        let of = counts.entry(done.what).or_default();
        of[if done.was_killed { 2 } else { usize::from(done.code != 0) }] += 1;
    }
    let overlaps = |one: &Done| {
        let is_beside =
            |other: &&Done| other.id == one.id && !one.is_before(other) && !other.is_before(one);
        history.iter().filter(is_beside).count() - 1
    };
    // All of them would take longer than the commands did.
    let step = history.len() / 500 + 1;
    let some: Vec<usize> = history.iter().step_by(step).map(overlaps).collect();
    let tenths = some.iter().sum::<usize>() * 10 / some.len().max(1);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    println!(
        "stress: {} commands, each beside {whole}.{tenth} others of its container",
        history.len()
    );
    for (what, [done, refused, killed]) in counts {
        println!("  {what:?}: {done} succeeded, {refused} refused, {killed} killed");
    }
}

/// Says which answers no order of the commands could have given.
fn judge(history: &[Done], count: usize) -> Vec<String> {
    let mut wrong: Vec<String> = history
        .iter()
        .filter_map(|done| Some(format!("{}: {done:?}", words(done).err()?)))
        .collect();
    for id in 0..count {
        let mut of_it: Vec<&Done> = history.iter().filter(|done| done.id == id).collect();
        of_it.sort_by_key(|done| done.from);
        let model = Model { all: of_it };
        let faults = model.all.iter().filter_map(|done| {
            let text = model.judge(done).err()?;
            Some(format!("{text}: {done:?}"))
        });
        wrong.extend(faults);
    }
    wrong
}

/// More errors than those of a command that comes too early or too late.
const REFUSALS: &[&str] = &[
    "cannot start a",
    "cannot exec in a",
    // Of a `create` or `run` whose init is killed by others, or whose container is frozen.
    "killed by signal",
    "was killed by",
];

/// Whether a command has said how it ended, in the words that there are for that.
fn words(done: &Done) -> Result<(), String> {
    if done.was_killed || done.code == 0 {
        return Ok(());
    }
    // What is executed may be killed with its container.
    if done.what == What::Exec && done.code == 128 + 9 && done.stderr.is_empty() {
        return Ok(());
    }
    let output = integration_tests::Output {
        command: String::new(),
        code: done.code,
        stdout: String::new(),
        stderr: done.stderr.clone(),
    };
    said(&output)?;
    let is_refused = REFUSALS.iter().any(|words| done.stderr.contains(words));
    if is_refused || is_known(&done.stderr) { Ok(()) } else { Err("an odd error".into()) }
}

/// All commands that were for one container.
struct Model<'a> {
    all: Vec<&'a Done>,
}

impl Model<'_> {
    fn judge(&self, done: &Done) -> Result<(), String> {
        if done.was_killed {
            return Ok(());
        }
        if done.stderr.contains("does not exist") && done.what != What::List {
            return self.is_absent(done);
        }
        match done.what {
            What::Create | What::Run if done.succeeded() => self.is_only_one(done),
            What::Start if done.succeeded() => self.is_first_start(done),
            What::State if done.succeeded() => {
                let state: Value =
                    serde_json::from_str(&done.stdout).map_err(|error| error.to_string())?;
                self.is_so(done, &state)
            }
            What::Ask | What::Kill | What::Update | What::Exec | What::Pause | What::Resume
                if done.succeeded() && !done.is_by_regex =>
            {
                self.is_there(done)
            }
            _ => Ok(()),
        }
    }

    /// Nobody had made a container that nobody can have removed.
    fn is_absent(&self, done: &Done) -> Result<(), String> {
        let makers = self.all.iter().filter(|one| one.makes() && one.succeeded());
        let mut before = makers.filter(|one| one.is_before(done));
        let stays = |maker: &&&Done| {
            let removed = |one: &&Done| one.removes() && one.to > maker.from && one.from < done.to;
            !self.all.iter().any(removed)
        };
        match before.find(stays) {
            Some(maker) => Err(format!("{} is there", maker.generation)),
            None => Ok(()),
        }
    }

    /// Somebody can have made a container.
    fn is_there(&self, done: &Done) -> Result<(), String> {
        let made = |one: &&Done| one.makes() && one.from < done.to;
        if self.all.iter().any(made) { Ok(()) } else { Err("there is none".into()) }
    }

    /// Somebody can have removed the container that another command made before.
    fn is_only_one(&self, done: &Done) -> Result<(), String> {
        let others = self.all.iter().filter(|one| {
            one.makes() && one.succeeded() && one.generation != done.generation && one.to < done.to
        });
        let Some(last) = others.max_by_key(|one| one.to) else { return Ok(()) };
        let removed = |one: &&Done| one.removes() && one.to > last.from && one.from < done.to;
        if self.all.iter().any(removed) {
            return Ok(());
        }
        Err(format!("{} is still there", last.generation))
    }

    /// Somebody can have made another container since the last start.
    fn is_first_start(&self, done: &Done) -> Result<(), String> {
        let others = self.all.iter().filter(|one| {
            one.what == What::Start && one.succeeded() && one.generation != done.generation
        });
        let Some(last) = others.filter(|one| one.to < done.to).max_by_key(|one| one.to) else {
            return Ok(());
        };
        let made =
            |one: &&Done| one.what == What::Create && one.to > last.from && one.from < done.to;
        if self.all.iter().any(made) { Ok(()) } else { Err("it was started twice".into()) }
    }

    /// What is said of a container can have been so at a time.
    fn is_so(&self, done: &Done, state: &Value) -> Result<(), String> {
        let generation = state["annotations"]["generation"].as_str().unwrap_or_default();
        let maker = self.all.iter().find(|one| one.makes() && one.generation == generation);
        let maker = maker.ok_or("nobody has made it")?;
        if done.is_before(maker) {
            return Err("it is yet to be made".into());
        }
        // A later one was there before this was asked.
        let later = |one: &Done| one.makes() && one.succeeded() && maker.is_before(one);
        if self.all.iter().filter(|one| one.is_before(done)).any(|one| later(one)) {
            return Err("it is gone".into());
        }
        let can = |kinds: &[What]| {
            let within = |one: &Done| one.to > maker.from && one.from < done.to;
            self.all.iter().any(|one| kinds.contains(&one.what) && within(one))
        };
        let ends = [What::Kill, What::Delete, What::ForcedDelete];
        let is_possible = match state["status"].as_str().unwrap_or_default() {
            "creating" => !maker.is_before(done) || maker.was_killed,
            "created" => maker.what == What::Create && !self.has_started(maker, done),
            "running" => maker.what == What::Run || can(&[What::Start]),
            "paused" => can(&[What::Pause]),
            "stopped" => can(&ends) || maker.code != 0,
            other => return Err(format!("{other} is no status")),
        };
        if is_possible { Ok(()) } else { Err("it can't be that".into()) }
    }

    /// Whether a start was certainly of the container of `maker`, and over before `done` began.
    fn has_started(&self, maker: &Done, done: &Done) -> bool {
        let others = |one: &&Done| {
            one.makes()
                && one.generation != maker.generation
                && one.to > maker.from
                && one.from < done.to
        };
        let is_alone = !self.all.iter().any(others);
        let started = |one: &Done| {
            one.what == What::Start
                && one.succeeded()
                && maker.is_before(one)
                && one.is_before(done)
        };
        is_alone && self.all.iter().any(|one| started(one))
    }
}
