//! The event loop for a process in the foreground: passes signals on, relays its terminal and
//! output, and reaps, until it has ended.

use crate::foreground::console::Relay;
use crate::foreground::output::Output;
use crate::host::notify::Listener;
use crate::{Explain, Result, Runtime};
use process::Child;
use std::os::fd::{AsFd, OwnedFd};
use sys::Errno;
use sys::nix::libc::{SIGCHLD, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::nix::sys::signal::SigSet;
use sys::nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use sys::process::{Ended, poll};
use sys::socket;

/// The child that a [`Supervisor`] is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supervised<'a> {
    pub pid: i32,
    pub pidfd: &'a OwnedFd,
}

impl<'a> From<&'a Child> for Supervised<'a> {
    fn from(Child { pid, pidfd, .. }: &'a Child) -> Self {
        Self { pid: *pid, pidfd }
    }
}

/// Receives rind's signals from its creation on, to pass them to the child.
pub(crate) struct Supervisor<'a> {
    signals: SignalFd,
    /// Where the container tells that it is ready, and who is warned if that can't be passed on.
    listener: Option<(Listener, &'a Runtime<'a>)>,
    output: Output,
}

impl<'a> Supervisor<'a> {
    /// Blocks all signals, so that the child also gets those that come before its fork. The child
    /// unblocks them for itself. If stdout and stderr are sockets, this puts pipes in their place
    /// until [`Supervisor::after_fork`]. With `subreaper`, orphans of the child become rind's.
    pub fn new(subreaper: bool) -> Result<Self> {
        let signals = receive_signals(subreaper).within("receiving signals")?;
        let output = Output::replace_sockets().within("making pipes for stdout and stderr")?;
        Ok(Self { signals, listener: None, output })
    }

    /// Gives rind its own stdout and stderr back. The caller has forked the child, which has the
    /// pipes.
    pub fn after_fork(&mut self) -> Result<()> {
        self.output.restore().within("taking stdout and stderr back")
    }

    /// Also forwards READY=1 from the container's notify socket.
    pub fn forwarding_ready(self, runtime: &'a Runtime<'a>, listener: Option<Listener>) -> Self {
        Self { listener: listener.map(|listener| (listener, runtime)), ..self }
    }

    /// The event loop: passes signals on, relays the terminal that comes over `console`, and reaps,
    /// until the child has ended.
    pub fn run(mut self, child: Supervised, console: Option<&OwnedFd>) -> Result<Ended> {
        let relay = console.map(relay).transpose().within("taking over the terminal")?;
        self.supervise(child, relay).within("looking after the container")
    }

    fn supervise(&mut self, child: Supervised, mut relay: Option<Relay>) -> sys::Result<Ended> {
        let stdin = std::io::stdin();
        loop {
            let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            if let Some(relay) = &relay {
                polled.extend(relay.poll_fds(&stdin));
            }
            let listener_index = polled.len();
            if let Some((listener, _)) = &self.listener {
                polled.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
            }
            let first_output = polled.len();
            polled.extend(self.output.poll_fds());
            poll(&mut polled, PollTimeout::NONE)?;
            let ready = |at: usize| polled.get(at).and_then(PollFd::any).unwrap_or(false);
            let has_output = (first_output..polled.len()).any(ready);
            let has_message = self.listener.is_some() && ready(listener_index);
            let of_relay = |at: usize| at < listener_index && ready(at);
            let (has_signals, master_is_ready, stdin_is_ready) =
                (ready(0), of_relay(1), of_relay(2));
            if has_message {
                self.forward_ready()?;
            }
            if has_output {
                self.output.forward()?;
            }
            if let Some(relay) = relay.as_mut().filter(|_| master_is_ready || stdin_is_ready) {
                relay.forward(stdin_is_ready)?;
            }
            if !has_signals {
                continue;
            }
            if let Some(ended) = self.handle_signals(child, relay.as_ref())? {
                if let Some(relay) = &relay {
                    relay.drain()?;
                }
                self.output.drain()?;
                return Ok(ended);
            }
        }
    }

    /// Tells the service manager that the container is ready, if it is.
    fn forward_ready(&mut self) -> sys::Result<()> {
        let Some((listener, runtime)) = &self.listener else { return Ok(()) };
        if !listener.is_ready()? {
            return Ok(());
        }
        // rind needs not wait for the manager, which has to find out who has sent this: rind lives
        // on.
        if let Err(errno) = listener.notify_ready(sys::nix::unistd::getpid().as_raw()) {
            (runtime.warn)(&listener.failure(errno));
        }
        self.listener = None;
        Ok(())
    }

    /// The next pending signal, if there is one.
    fn next_signal(&self) -> sys::Result<Option<siginfo>> {
        loop {
            match self.signals.read_signal() {
                Err(Errno::EINTR) => {}
                read => return read,
            }
        }
    }

    /// Handles all pending signals. Returns how the child has ended, if it has.
    fn handle_signals(
        &self,
        child: Supervised,
        relay: Option<&Relay>,
    ) -> sys::Result<Option<Ended>> {
        let mut child_ended = false;
        while let Some(signal) = self.next_signal()? {
            let number = signal.ssi_signo.cast_signed();
            match number {
                SIGCHLD => child_ended = true,
                SIGWINCH if relay.is_some() => relay.into_iter().for_each(Relay::resize),
                // These are about rind itself: its terminal and its pipes.
                SIGPIPE | SIGURG | SIGTSTP | SIGTTIN | SIGTTOU => {}
                other => match sys::process::pidfd_send_signal(child.pidfd, other) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(errno),
                },
            }
        }
        if child_ended { reap(child.pid) } else { Ok(None) }
    }
}

/// Blocks all signals and opens a descriptor that they come over.
fn receive_signals(subreaper: bool) -> sys::Result<SignalFd> {
    if subreaper {
        sys::process::set_child_subreaper(true)?;
    }
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Reaps what has ended: orphans, and the child. Once the child is reaped, the rest is left alone.
fn reap(child: i32) -> sys::Result<Option<Ended>> {
    loop {
        match sys::process::reap_any() {
            Ok(None) | Err(Errno::ECHILD) => return Ok(None),
            Ok(Some((pid, how))) if pid == child => return Ok(Some(how)),
            Ok(Some(_)) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Receives the terminal's master, which init has sent over `socket`.
fn relay(socket: &OwnedFd) -> sys::Result<Relay> {
    let (_, descriptors) = socket::receive(socket, &mut [0; 64])?;
    let relay = Relay::new(descriptors.into_iter().next().ok_or(Errno::EPROTO)?)?;
    // The size may have changed since the container was planned.
    relay.resize();
    Ok(relay)
}
