//! Ending all descendants of a program, also those that have left its session. Must never signal a
//! process that isn't a child of rind.

use sys::process;

/// Makes rind a child subreaper (prctl(2)), so that orphaned descendants become its children;
/// remembers the children from before.
#[derive(Debug)]
pub(crate) struct Descendants {
    before: Vec<i32>,
    was_subreaper: bool,
}

impl Descendants {
    /// Starts keeping orphaned descendants.
    pub fn keep() -> sys::Result<Self> {
        let was_subreaper = process::is_child_subreaper()?;
        process::set_child_subreaper(true)?;
        Ok(Self { before: children(), was_subreaper })
    }

    /// Kills and reaps all children that rind has got since, and those that it gets by this. Leaves
    /// processes of other users, such as setuid programs.
    pub fn kill(&self) {
        /// The limit for programs that fork faster than rind can kill.
        const ROUNDS: usize = 1024;
        let mut spared = self.before.clone();
        for _ in 0..ROUNDS {
            let mut found = children();
            found.retain(|pid| !spared.contains(pid));
            if found.is_empty() {
                return;
            }
            for pid in found {
                if !end(pid) {
                    spared.push(pid);
                }
            }
        }
    }
}

impl Drop for Descendants {
    fn drop(&mut self) {
        // Setting the previous value can't fail.
        let _ = process::set_child_subreaper(self.was_subreaper);
    }
}

/// Kills and reaps the child `pid`; returns whether it was one. A /proc of another pid namespace
/// has other pids, so this checks. The pid of a child that isn't reaped is its own.
fn end(pid: i32) -> bool {
    let Ok(pidfd) = process::pidfd_open(pid) else { return false };
    process::is_child(pid) && process::end(&pidfd).is_ok()
}

/// The pids of rind's children; none on a kernel without this file (`CONFIG_PROC_CHILDREN`).
fn children() -> Vec<i32> {
    let text = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
