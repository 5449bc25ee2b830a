//! A whole run from outside: the machine must be as it was, and nobody may have got at a process of the
//! runtime meanwhile.

use crate::machine::{Machine, Run};
use crate::{binary, host};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// A user who has nothing.
const NOBODY: u32 = 65534;

/// How long one waits for what goes away by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was there before the run, and who watches it.
#[derive(Debug)]
pub struct Monitor {
    names: [String; 2],
    before: Machine,
    watchers: Vec<(&'static str, Child)>,
}

impl Monitor {
    /// Looks at the machine, and has two watch: a user, and root without a capability.
    #[must_use]
    pub fn start() -> Self {
        let pid = std::process::id();
        let names = [format!("rind-it-{pid}"), format!("it{pid}-")];
        // Before there is anything of ours.
        let before = run(&names).look();
        let watchers = [("a user", NOBODY), ("root without capabilities", 0)];
        let watchers = watchers.map(|(who, user)| (who, watcher(user, binary::rind())));
        Self { names, before, watchers: watchers.into() }
    }

    /// Ends the watch, looks again and says what was found. A failure if there is anything, or if
    /// `tests` is one.
    #[must_use]
    pub fn conclude(self, tests: ExitCode) -> ExitCode {
        let mut wrong = 0;
        for (who, watcher) in self.watchers {
            match ended(watcher) {
                Ok((got, looked)) => {
                    wrong += got.len();
                    for line in got {
                        println!("monitor: {who} got {line}");
                    }
                    println!("monitor: {who} {looked}");
                }
                Err(why) => {
                    wrong += 1;
                    println!("monitor: {who} could not watch: {why}");
                }
            }
        }
        for difference in run(&self.names).differences(&self.before, PATIENCE) {
            wrong += 1;
            println!("monitor: {difference}");
        }
        let verdict = if wrong == 0 { "ok" } else { "FAILED" };
        println!("monitor: {verdict}: {} things compared, {wrong} found\n", self.before.len());
        if wrong == 0 { tests } else { ExitCode::FAILURE }
    }
}

fn run(names: &[String]) -> Run<'_> {
    Run { names, program: binary::rind(), pid: std::process::id().cast_signed() }
}

/// Has `user` watch all processes that run `program`, without a capability, until stdin is closed. What
/// it prints is for [`ended`].
#[must_use]
pub fn watcher(user: u32, program: &Path) -> Child {
    // Not where its user may come by.
    let own = host::run_folder().join(format!("monitor-{user}"));
    if !own.exists() {
        std::fs::copy(binary::monitor(), &own).expect("a copy of the monitor");
    }
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(own).arg("watch").arg(program);
    command.current_dir("/").uid(user).gid(user).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("starting to watch")
}

/// Ends the watch: what it got, a line each, and how much it has looked at.
///
/// # Errors
/// It has failed.
pub fn ended(mut watcher: Child) -> Result<(Vec<String>, String), String> {
    drop(watcher.stdin.take());
    let output = watcher.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let looked = lines.pop().filter(|_| output.status.success());
    Ok((lines, looked.ok_or_else(|| output.status.to_string())?))
}
