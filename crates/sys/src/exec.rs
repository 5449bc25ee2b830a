//! execve with argument vectors that are laid out before the fork, execution by descriptor, and what
//! a program of the host's is started with.

use crate::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollTimeout;
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

/// A null-terminated vector of C strings, as execve(2) takes for arguments and environment.
#[derive(Debug)]
pub struct Vector {
    strings: Vec<CString>,
    /// Points into `strings`, whose bytes live on the heap and do not move; null at the end.
    pointers: Vec<*const libc::c_char>,
}

impl Vector {
    /// Lays out `strings`.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(ptr::null());
        Self { strings, pointers }
    }

    /// The strings.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    /// Adds one string at the end.
    pub fn push(&mut self, string: CString) {
        if let Some(end) = self.pointers.last_mut() {
            *end = string.as_ptr();
        }
        self.pointers.push(ptr::null());
        self.strings.push(string);
    }
}

/// Replaces this process's program by the file at `path` (execve(2)); returns only on failure.
#[must_use]
pub fn execve(path: &CStr, arguments: &Vector, environment: &Vector) -> Errno {
    // SAFETY: the path is a C string and both vectors are null-terminated arrays of such; all outlive
    // the call.
    unsafe {
        libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr())
    };
    Errno::last()
}

/// Replaces this process's program by the open `file` (execveat(2) with `AT_EMPTY_PATH`).
pub fn execveat(file: impl AsFd, arguments: &Vector, environment: &Vector) -> Errno {
    let (fd, path) = (file.as_fd().as_raw_fd(), c"".as_ptr());
    let (argv, envp) = (arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    // SAFETY: the path is a C string and both vectors are null-terminated arrays of such; all outlive
    // the call.
    unsafe { libc::syscall(libc::SYS_execveat, fd, path, argv, envp, libc::AT_EMPTY_PATH) };
    Errno::last()
}

/// Overwrites the environment that this process was started with, which whoever may look into it can
/// read (`/proc/PID/environ`): it is our caller's.
pub fn wipe_environment() {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    // SAFETY: this is libc's variable, and there is one thread: nobody changes it meanwhile.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: `entry` is in an array of pointers that ends with a null one, and not behind that
        // (environ(7)).
        let string = unsafe { *entry };
        if string.is_null() {
            return;
        }
        // SAFETY: each pointer of the array but the last is to a C string.
        let length = unsafe { libc::strlen(string) };
        // SAFETY: the kernel or libc has put the string where this process may write, and nothing
        // refers to it: Rust's std::env copies what it gives.
        unsafe { ptr::write_bytes(string, 0, length) };
        entry = entry.wrapping_add(1);
    }
}

/// Starts `command` as if nobody had changed anything about signals: none is blocked or ignored in
/// the program, whatever rind's caller ignores and rind has blocked. Nor has it the mark of a sealed
/// rind, which another rind that it starts would take for its own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.env_remove(crate::entry::MARK);
    // SAFETY: it is async-signal-safe, as what runs between fork and execve must be: system calls,
    // and an error that is made of its number.
    unsafe { command.pre_exec(reset_signals) };
    command.spawn()
}

/// Sets every signal to its default action, and blocks none.
fn reset_signals() -> io::Result<()> {
    default_signals(Signals::MAX);
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Signals as the kernel has them: that of number 1 is the lowest bit.
pub type Signals = u64;

/// Which signals this process ignores. There is a system call for each of them, and one file that
/// tells of all; where that can't be read it's taken that each is.
#[must_use]
pub fn ignored_signals() -> Signals {
    let read = || -> crate::Result<[u8; 4096]> {
        let mut buffer = [0; 4096];
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = crate::fs::open("/proc/self/status", flags, Mode::empty())?;
        nix::unistd::read(&file, &mut buffer)?;
        Ok(buffer)
    };
    let text = read().unwrap_or([0; 4096]);
    let text = String::from_utf8_lossy(&text);
    let ignored = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|bits| Signals::from_str_radix(bits.trim(), 16).ok()).unwrap_or(Signals::MAX)
}

/// Sets each of `signals` to its default action. An execve does that only with those that are handled.
pub fn default_signals(signals: Signals) {
    // The kernel's own structure, all zero: SIG_DFL, no flags, an empty mask. C's wrapper knows
    // better than to set the two signals that it keeps for itself, which a caller may ignore too.
    let default = [0_u64; 4];
    for signal in (1..=Signals::BITS).filter(|signal| signals >> (signal - 1) & 1 == 1) {
        // SIGKILL and SIGSTOP can't be set, and are what they are.
        // SAFETY: `default` is as large as the kernel's structure on any architecture, and outlives
        // the call; the pointer to the old one may be null.
        unsafe {
            let old = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size_of::<u64>());
        }
    }
}

/// Has the program that `command` starts lead a session of its own, and so a process group whose
/// number is its pid (setsid(2)).
pub fn lead_session(command: &mut Command) {
    // SAFETY: it is async-signal-safe: one system call, and an error that is made of its number.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
}

/// Has the program that `command` starts hand down nothing of this process's that a container has of
/// its own: no supplementary groups, no bounds on its CPUs but the cpuset's, and a session keyring of
/// the name `keyring`, if there is one.
pub fn part_from_us(command: &mut Command, keyring: Option<CString>) {
    let part = move || {
        match crate::credentials::set_groups(&[]) {
            // Who may not set its groups has no privilege by them that could be handed down.
            Err(Errno::EPERM) | Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
        match keyring.as_deref().map_or(Ok(()), crate::keyring::join_session) {
            Err(Errno::ENOSYS) | Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
        // A policy such as SCHED_DEADLINE, which the caller has chosen, fixes them.
        let _ = crate::schedule::reset_affinity();
        Ok(())
    };
    // SAFETY: it is async-signal-safe, as what runs between fork and execve must be: system calls,
    // and errors that are made of their numbers.
    unsafe { command.pre_exec(part) };
}

/// Has the kernel kill the program that `command` starts when this process ends
/// (`PR_SET_PDEATHSIG(2const)`), but not what that starts in turn.
///
/// Starting it fails with `ESRCH` if this process has ended before that was arranged.
pub fn die_with_us(command: &mut Command) -> io::Result<()> {
    // A number would not do: the program may be in a pid namespace that this process is not in.
    let us = crate::process::pidfd_open(nix::unistd::getpid().as_raw())?;
    let ask = move || {
        // SAFETY: the call takes numbers only.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Whoever is our parent by now is another process, whose end is no matter.
        let ended = crate::process::await_end(&us, PollTimeout::ZERO)?;
        if ended { Err(Errno::ESRCH.into()) } else { Ok(()) }
    };
    // SAFETY: it is async-signal-safe, as what runs between fork and execve must be: system
    // calls, and an error that is made of its number.
    unsafe { command.pre_exec(ask) };
    Ok(())
}
