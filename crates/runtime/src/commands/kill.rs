//! `kill`: sends a signal to init, or to every process where those outlive init.

use crate::container::Container;
use crate::container::find::find;
use crate::container::status::Status;
use crate::{Error, Result, Runtime};
use std::str::FromStr;
use sys::Errno;
use sys::nix::libc::{
    SIGABRT, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGQUIT, SIGRTMAX,
    SIGRTMIN, SIGSEGV, SIGSTKFLT, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGWINCH,
};
use sys::nix::sys::signal;

/// A signal by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl FromStr for Signal {
    type Err = Error;

    /// A number, or a name with or without `SIG`, in any case; `RTMIN+3` and `RTMAX-1` are names
    /// too.
    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let real_time = |number: &i32| (SIGRTMIN()..=SIGRTMAX()).contains(number);
        let number = if let Some(number) = decimal(text) {
            // 0 sends nothing, and only checks whether a signal could be sent.
            Some(number).filter(|number| *number <= SIGRTMAX())
        } else if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest, '+').map(|offset| SIGRTMIN() + offset).filter(real_time)
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest, '-').map(|offset| SIGRTMAX() - offset).filter(real_time)
        } else {
            let name = match name {
                "CLD" => "CHLD",
                "POLL" => "IO",
                "IOT" => "ABRT",
                name => name,
            };
            signal::Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32)
        };
        let unknown = || Error::new(format!("unknown signal {text:?}")).with_object(text);
        number.map(Self).ok_or_else(unknown)
    }
}

/// The number that follows `sign`, as in `RTMIN+3`; 0 without a sign and a number.
fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() { Some(0) } else { decimal(text.strip_prefix(sign)?) }
}

/// A number of nothing but digits, none above 255.
fn decimal(text: &str) -> Option<i32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u8>().ok().filter(|_| is_number).map(i32::from)
}

/// `kill ID SIGNAL`: sends `signal` to init, or with `all` to every process. The container must be
/// created, running or paused; with `all` it is no error if it is not.
pub fn kill(runtime: &Runtime, id: &str, signal: Signal, all: bool) -> Result<()> {
    let container = find(runtime, id)?;
    // If the container has a pid namespace of its own, the kernel kills all others with init.
    let every = container.record.shares_pids && (all || signal.0 == SIGKILL);
    if every && container.record.cgroup.joined().next().is_some() {
        return signal_every(&container, signal.0, all);
    }
    if every {
        (runtime.warn)("only init gets the signal: without a cgroup the others aren't known");
    }
    let sent = match signal.0 {
        0 | SIGKILL => container.signal_init(signal.0),
        _ if container.open_fifo()?.is_some() => return signal_waiting(&container, signal.0),
        other => container.signal_init(other),
    };
    match sent {
        Err(Errno::ESRCH) if all => return Ok(()),
        sent => check_sent(sent, signal.0),
    }?;
    if signal.0 == SIGKILL { container.thaw_killed() } else { Ok(()) }
}

/// Sends a signal to all processes of the container's cgroup. Init may have ended.
fn signal_every(container: &Container, signal: i32, all: bool) -> Result<()> {
    if signal == SIGKILL {
        return kill_every(container, all);
    }
    let cgroup = &container.record.cgroup;
    // Asked before the signal, which may stop the container. Processes that outlive a stopped
    // container's init get the signal too.
    let is_over = container.status()? == Status::Stopped && !all && cgroup.processes()?.is_empty();
    cgroup.signal_all(signal, || container.check_exists())?;
    if is_over { Err(Error::not_running()) } else { Ok(()) }
}

/// Kills init, and then all others. The lock keeps the cgroup from becoming that of another container of
/// the same name meanwhile.
fn kill_every(container: &Container, all: bool) -> Result<()> {
    // A command that has the lock may wait for init. This ends its wait.
    let killed = match container.signal_init(SIGKILL) {
        Err(Errno::ESRCH) => false,
        sent => check_sent(sent, SIGKILL).and_then(|()| container.thaw_killed()).map(|()| true)?,
    };
    match container.entry.lock() {
        Err(error) if error.is_not_found() && killed => return Ok(()),
        locked => locked?,
    }
    let cgroup = &container.record.cgroup;
    let is_over = !killed && !all && cgroup.processes()?.is_empty();
    cgroup.signal_all(SIGKILL, || Ok(()))?;
    if is_over { Err(Error::not_running()) } else { Ok(()) }
}

/// Handles a signal for an init that seems to wait for `start`. In a pid namespace of its own, init
/// has no handler and the kernel would drop the signal. The signal has the effect here that it has
/// on runc's init, in any namespace.
///
/// The lock keeps out a `start`, after which the signal would be for the program.
fn signal_waiting(container: &Container, signal: i32) -> Result<()> {
    container.entry.lock()?;
    let sent = match (container.open_fifo()?, Effect::of(signal)) {
        // The container has been started meanwhile, or init has ended.
        (None, _) | (_, Effect::AsItIs) => container.signal_init(signal),
        // A frozen init ends at once or when it is thawed, depending on the kernel.
        (Some(_), Effect::Ends) => container
            .init_process()
            .and_then(|init| sys::process::pidfd_send_signal(&init, SIGKILL)),
        (Some(_), Effect::Nothing) => container.signal_init(0),
    };
    check_sent(sent, signal)
}

/// What a signal does to an init that waits for `start`: the same as to runc's init, a Go program.
enum Effect {
    /// It ends, as this signal ends a Go program.
    Ends,
    /// It is ignored. The signal is meant for a program that handles it (to reopen a log, say), and
    /// must not end an init that has not executed the program yet.
    Nothing,
    /// The kernel's default action, which ends nothing.
    AsItIs,
}

impl Effect {
    fn of(signal: i32) -> Self {
        match signal {
            SIGHUP | SIGINT | SIGQUIT | SIGILL | SIGTRAP | SIGABRT | SIGBUS | SIGFPE | SIGKILL
            | SIGSEGV | SIGTERM | SIGSTKFLT | SIGSYS => Self::Ends,
            SIGCHLD | SIGCONT | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU | SIGURG | SIGWINCH => {
                Self::AsItIs
            }
            _ => Self::Nothing,
        }
    }
}

fn check_sent(sent: sys::Result<()>, signal: i32) -> Result<()> {
    match sent {
        Err(Errno::ESRCH) => Err(Error::not_running()),
        sent => sent.map_err(|errno| Error::on("sending signal", signal.to_string(), errno)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        for (text, number) in [
            ("0", 0),
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("Hup", 1),
            ("64", 64),
            ("RTMIN", SIGRTMIN()),
            ("SIGRTMIN+3", SIGRTMIN() + 3),
            ("RTMAX-1", SIGRTMAX() - 1),
            ("CLD", 17),
            ("winch", 28),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal(number), "{text}");
        }
        for text in ["", "65", "-1", "NONE", "SIG", "0x9", "RTMIN+99", "RTMIN-1", "RTMIN+", "9 "] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
