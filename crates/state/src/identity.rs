//! Processes by pid and start time. The kernel gives a pid again once its process has ended, so that
//! nothing may be done to a process by its pid alone.

use procfs::FromRead;
use procfs::process::Stat;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::fs::open;
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::read;
use sys::process::pidfd_open;

/// `PF_FORKNOEXEC` of the kernel's flags (`proc_pid_stat(5)`, field 9).
const FORKED_NO_EXEC: u32 = 0x40;

/// `PF_EXITING` of the same.
const EXITING: u32 = 0x4;

/// A process by its pid and its start time: the kernel never gives the same two again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The pid in the runtime's pid namespace.
    pub pid: i32,
    /// Clock ticks after boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
}

impl Identity {
    /// The identity of the process that has `pid` now; `ESRCH` if no process has it.
    pub fn of(pid: i32) -> sys::Result<Self> {
        let stat = stat(pid)?;
        Ok(Self { pid, start_time: stat.starttime })
    }

    /// Whether the process exists and has not ended. A zombie has ended. An error is no answer: what
    /// can't be looked at may well run.
    pub fn is_alive(&self) -> sys::Result<bool> {
        self.is(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))
    }

    /// Whether the process is alive and has not begun to end. A process begins to end before it leaves
    /// its cgroups and namespaces.
    pub fn is_running(&self) -> sys::Result<bool> {
        self.is(|stat| !matches!(stat.state, 'Z' | 'X' | 'x') && stat.flags & EXITING == 0)
    }

    /// Whether the process has executed a program since it was forked.
    pub fn has_executed(&self) -> sys::Result<bool> {
        self.is(|stat| stat.flags & FORKED_NO_EXEC == 0)
    }

    /// Whether the process exists, and `fact` is so of it.
    fn is(&self, fact: impl Fn(&Stat) -> bool) -> sys::Result<bool> {
        match stat(self.pid) {
            Err(Errno::ESRCH) => Ok(false),
            stat => stat.map(|stat| stat.starttime == self.start_time && fact(&stat)),
        }
    }

    /// How the process ended, as wait(2) encodes it, if it has and nobody has reaped it yet.
    pub fn end(&self) -> sys::Result<Option<i32>> {
        match stat(self.pid) {
            Err(Errno::ESRCH) => Ok(None),
            stat => stat.map(|stat| {
                let is_it = stat.starttime == self.start_time && stat.state == 'Z';
                stat.exit_code.filter(|_| is_it)
            }),
        }
    }

    /// A descriptor for the process; `ESRCH` if it is gone.
    ///
    /// This reads the start time after it opens the descriptor, so that both are of one process.
    pub fn pidfd(&self) -> sys::Result<OwnedFd> {
        if self.pid <= 0 {
            return Err(Errno::ESRCH);
        }
        let pidfd = match pidfd_open(self.pid) {
            // The process has ended, and a session or a process group still has its number.
            Err(Errno::ENOENT | Errno::EINVAL) => return Err(Errno::ESRCH),
            opened => opened?,
        };
        if stat(self.pid)?.starttime == self.start_time { Ok(pidfd) } else { Err(Errno::ESRCH) }
    }
}

fn stat(pid: i32) -> sys::Result<Stat> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = open(format!("/proc/{pid}/stat").as_str(), flags, Mode::empty());
    // The kernel gives the whole text, which is shorter than this, by one read.
    let mut buffer = [0; 1024];
    let file = file.map_err(|errno| if errno == Errno::ENOENT { Errno::ESRCH } else { errno })?;
    let length = sys::uninterrupted(|| read(&file, &mut buffer))?;
    let text = buffer.get(..length).unwrap_or_default();
    parse_stat(text)
}

/// Reads a /proc/PID/stat. The name in it is the process's own to choose, whatever bytes that are.
pub(crate) fn parse_stat(text: &[u8]) -> sys::Result<Stat> {
    if has_form_of_stat(text) {
        Stat::from_read(text).map_err(|_| Errno::ESRCH)
    } else {
        Err(Errno::ESRCH)
    }
}

/// Whether the text begins as the kernel's: `7 (name) R`. procfs takes that for granted, and panics where
/// it is not so.
fn has_form_of_stat(text: &[u8]) -> bool {
    let open = text.iter().position(|byte| *byte == b'(');
    let close = text.iter().rposition(|byte| *byte == b')');
    let (Some(open), Some(close)) = (open, close) else { return false };
    let (pid, after) = (text.get(..open), text.get(close..));
    let pid = pid.and_then(|pid| pid.strip_suffix(b" ")).unwrap_or_default();
    open < close
        && !pid.is_empty()
        && pid.iter().all(u8::is_ascii_digit)
        && matches!(after, Some([_, b' ', state, ..]) if state.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Identity;
    use std::process::{Command, Stdio};
    use sys::Errno;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive().unwrap() && own.pidfd().is_ok());
        let other = Identity { start_time: own.start_time + 1, ..own };
        assert!(!other.is_alive().unwrap());
        assert_eq!(other.pidfd().unwrap_err(), Errno::ESRCH);
        assert_eq!(Identity::default().pidfd().unwrap_err(), Errno::ESRCH);
    }

    #[test]
    fn what_is_no_stat_is_refused() {
        for text in [
            "",
            "7",
            "7 (a",
            "7 (a)",
            "7 (a) ",
            "7 )a( R",
            "(a) R",
            " (a) R",
            "\u{e4}(a) R",
            "7 (a) R",
            "7 (a)\u{e4} R",
        ] {
            assert_eq!(super::parse_stat(text.as_bytes()).unwrap_err(), Errno::ESRCH, "{text}");
        }
    }

    #[test]
    fn a_leader_that_left_its_session_behind_is_gone() {
        let script = "sleep 1000 > /dev/null & echo $!";
        let mut leader = Command::new("setsid");
        let leader = leader.args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(leader.id()).unwrap();
        let rest = leader.wait_with_output().unwrap().stdout;
        assert_eq!(Identity { pid, start_time: 1 }.pidfd().unwrap_err(), Errno::ESRCH);
        let rest = String::from_utf8(rest).unwrap().trim().parse().unwrap();
        sys::process::kill(rest, 9).unwrap();
    }

    #[test]
    fn an_execve_is_known_of() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        // spawn returns after the execve.
        assert!(identity.has_executed().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Identity::default().has_executed().unwrap());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = Command::new("true").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        while identity.is_alive().unwrap() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!identity.is_alive().unwrap());
    }
}
