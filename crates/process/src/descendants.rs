//! Ending all that a program has started, also what has left its session.

use sys::process;

/// Makes orphans among our descendants our children, so that none of them gets away, and knows
/// which children we had before.
#[derive(Debug)]
pub(crate) struct Descendants {
    before: Vec<i32>,
    was_subreaper: bool,
}

impl Descendants {
    /// From now on.
    pub fn keep() -> sys::Result<Self> {
        let was_subreaper = process::is_child_subreaper()?;
        process::set_child_subreaper(true)?;
        Ok(Self { before: children(), was_subreaper })
    }

    /// Kills and reaps all children that have become ours since, and whatever of theirs becomes ours
    /// by that. What is another user's, as a setuid program is, stays.
    pub fn kill(&self) {
        /// One that forks faster than it can be killed is not to keep us for ever.
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
        // It is what it was before, so it's allowed.
        let _ = process::set_child_subreaper(self.was_subreaper);
    }
}

/// Kills a child and reaps it. Whether it was one: a /proc of another pid namespace has other
/// numbers. That of a child not yet reaped is nobody else's.
fn end(pid: i32) -> bool {
    let Ok(pidfd) = process::pidfd_open(pid) else { return false };
    process::is_child(pid) && process::end(&pidfd).is_ok()
}

/// Our children. None are found on a kernel without this file (`CONFIG_PROC_CHILDREN`).
fn children() -> Vec<i32> {
    let text = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
