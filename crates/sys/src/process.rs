//! Processes: clone3 used as fork, pidfds, waiting, and the process's own switches (prctl).

use crate::{Errno, Result, check, owned, threads, uninterrupted};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{FileStat, stat};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Wider than libc's constant of the same name, which overflows its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a [`fork`] one is on.
#[derive(Debug)]
pub enum Fork {
    /// The caller: the child's pid as seen here, and a pidfd for it.
    Parent {
        /// The child's pid in the caller's pid namespace.
        pid: i32,
        /// A descriptor for the child (`CLONE_PIDFD`).
        pidfd: OwnedFd,
    },
    /// The new process, with a copy of the caller's memory.
    Child,
}

/// clone3(2) used as fork: the child goes on from here with a copy of the memory.
///
/// `flags` are namespaces to make (`CLONE_NEW*`) and `CLONE_PARENT`; `into_cgroup` is the directory
/// of a v2 cgroup that the child is born in (`CLONE_INTO_CGROUP`).
///
/// `EDEADLK` if the process has another thread: the child would have a copy of locks
/// that nobody will release.
pub fn fork(flags: CloneFlags, into_cgroup: Option<BorrowedFd>) -> Result<Fork> {
    threads::refuse()?;
    let mut pidfd: libc::c_int = -1;
    let mut wanted = u64::from((flags.bits() | libc::CLONE_PIDFD).cast_unsigned());
    if into_cgroup.is_some() {
        wanted |= CLONE_INTO_CGROUP;
    }
    // With CLONE_PARENT the exit signal is the parent's own, and clone3 refuses one.
    let exit_signal = if flags.contains(CloneFlags::CLONE_PARENT) { 0 } else { libc::SIGCHLD };
    let args = libc::clone_args {
        flags: wanted,
        pidfd: ptr::from_mut(&mut pidfd).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(exit_signal.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: into_cgroup.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: without CLONE_VM and a stack of its own the child is a copy, as fork's is; the process
    // has one thread, so the copy is consistent. `args` and `pidfd` outlive the call.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        crate::heap::after_fork();
        threads::after_fork();
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel stored a new descriptor there, which nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent { pid: i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?, pidfd })
}

/// Whether clone3 can have a child born in a cgroup (`CLONE_INTO_CGROUP`, Linux 5.7). No process is made.
pub fn can_clone_into_cgroup() -> Result<bool> {
    let args = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        // No process has this many files open.
        cgroup: u64::from(i32::MAX.cast_unsigned()),
    };
    // SAFETY: the call fails, as the descriptor is none; `args` outlives it.
    let made = unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<libc::clone_args>())
    };
    match check(made) {
        Err(Errno::EBADF) => Ok(true),
        Err(Errno::EINVAL | Errno::E2BIG) => Ok(false),
        Err(errno) => Err(errno),
        Ok(0) => exit_now(0),
        Ok(_) => Ok(true),
    }
}

/// The flags of [`go_on_in_sibling`], the first argument of its clone(2).
pub const SIBLING: u64 =
    (libc::CLONE_PARENT | libc::CLONE_VM | libc::CLONE_PARENT_SETTID).cast_unsigned() as u64;

/// Goes on in a new process, a child of this one's own parent (`CLONE_PARENT`), and ends this one.
///
/// The new one takes the memory along, so none of it is copied. Gives its pid as seen from here; it
/// may be in a pid namespace where it has another. Unlike [`fork`]'s, the call is one that seccomp
/// profiles allow, as they can look at its flags.
///
/// `EDEADLK` if the process may have another thread; one that [`fork`] has made has not.
pub fn go_on_in_sibling() -> Result<i32> {
    threads::refuse_unasked()?;
    let mut pid: libc::c_int = 0;
    // SAFETY: `pid` outlives the call. Both processes have this memory and this stack, but the old
    // one does not use them any more.
    let told = unsafe { clone_and_end(SIBLING, &raw mut pid) };
    if told < 0 {
        return Err(Errno::from_raw(i32::try_from(-told).unwrap_or(0)));
    }
    Ok(pid)
}

/// clone(2) with `flags` on the stack that is in use, after which the caller ends by `exit_group`, in
/// registers only; gives 0 in the new process, or in the old one the negative error.
///
/// # Safety
///
/// With `CLONE_VM` nothing may rely on the caller's going on. `pid` must be valid for a write.
unsafe fn clone_and_end(flags: u64, pid: *mut libc::c_int) -> libc::c_long {
    let told: libc::c_long;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: see above; the kernel keeps all registers but rax, rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall", "test rax, rax", "jle 2f",
            "xor edi, edi", "mov eax, {exit}", "syscall", "ud2",
            "2:",
            exit = const libc::SYS_exit_group,
            inlateout("rax") libc::SYS_clone => told,
            in("rdi") flags, in("rsi") 0, in("rdx") pid, in("r10") 0, in("r8") 0,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: see above; the kernel keeps all registers but x0.
    unsafe {
        std::arch::asm!(
            "svc 0", "cmp x0, 0", "b.le 2f",
            "mov x0, 0", "mov x8, {exit}", "svc 0", "brk 1",
            "2:",
            exit = const libc::SYS_exit_group,
            inlateout("x0") flags => told,
            in("x1") 0, in("x2") pid, in("x3") 0, in("x4") 0, in("x8") libc::SYS_clone,
        );
    }
    #[cfg(target_arch = "riscv64")]
    // SAFETY: see above; the kernel keeps all registers but a0.
    unsafe {
        std::arch::asm!(
            "ecall", "blez a0, 2f",
            "li a0, 0", "li a7, {exit}", "ecall", "ebreak",
            "2:",
            exit = const libc::SYS_exit_group,
            inlateout("a0") flags => told,
            in("a1") 0, in("a2") pid, in("a3") 0, in("a4") 0, in("a7") libc::SYS_clone,
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
    compile_error!(
        "clone(2) and exit_group(2) in registers have yet to be written for this machine"
    );
    told
}

/// A descriptor for the process `pid` (`pidfd_open(2)`).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A copy of the descriptor `number` of the process behind `pidfd` (`pidfd_getfd(2)`).
pub fn pidfd_getfd(pidfd: impl AsFd, number: i32) -> Result<OwnedFd> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, fd, number, 0) })
}

/// Sends `signal`, by number, so that real-time signals can be sent too (`pidfd_send_signal(2)`).
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    let info = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed: the kernel fills in what kill(2) would.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, 0) })?;
    Ok(())
}

/// Kills the child behind `pidfd`, waits for its end and reaps it. One that has ended already is as
/// good; `ECHILD` if it has been reaped.
pub fn end(pidfd: impl AsFd) -> Result<Ended> {
    match pidfd_send_signal(&pidfd, libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => wait(pidfd),
        Err(errno) => Err(errno),
    }
}

/// Waits, at most so long, until the process behind `pidfd` has ended; whether it has. It need not
/// be a child, and is not reaped.
pub fn await_end(pidfd: impl AsFd, patience: PollTimeout) -> Result<bool> {
    let ready = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], patience)?;
    Ok(ready != 0)
}

/// poll(2): waits until at least one of the descriptors is ready, or for `patience`, and returns how
/// many are. A signal does not break it off, but lets the time begin anew.
pub fn poll(polled: &mut [PollFd], patience: PollTimeout) -> Result<i32> {
    loop {
        match nix::poll::poll(polled, patience) {
            Err(Errno::EINTR) => {}
            ready => return ready,
        }
    }
}

/// Sends `signal`, by number, to `pid` (kill(2)).
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::kill(pid, signal) }.into())?;
    Ok(())
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Ended {
    /// The status that a shell would give: the exit status, or 128 and the signal's number.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 + signal,
        }
    }
}

/// Whether `pid` is a child of ours, which may have ended.
#[must_use]
pub fn is_child(pid: i32) -> bool {
    let Ok(id) = libc::id_t::try_from(pid) else { return false };
    waitid(libc::P_PID, id, libc::WNOHANG | libc::WNOWAIT).is_ok()
}

/// Kills and reaps the child `pid`, where no pidfd of it can be had. Does nothing if it is no child: until
/// it is reaped, a child's pid is its own.
pub fn end_child(pid: i32) {
    if is_child(pid) && kill(pid, libc::SIGKILL).is_ok() {
        let _ = waitpid(Pid::from_raw(pid), None);
    }
}

/// Waits for the child behind `pidfd` to end, and reaps it (waitid(2) with `P_PIDFD`).
pub fn wait(pidfd: impl AsFd) -> Result<Ended> {
    let ended = waitid(libc::P_PIDFD, pidfd.as_fd().as_raw_fd().cast_unsigned(), 0)?;
    ended.map(|(_, ended)| ended).ok_or(Errno::ECHILD)
}

/// Reaps any one child that has ended: its pid and how it ended, `None` if none has.
pub fn reap_any() -> Result<Option<(i32, Ended)>> {
    waitid(libc::P_ALL, 0, libc::WNOHANG)
}

fn waitid(
    kind: libc::idtype_t,
    id: libc::id_t,
    flags: libc::c_int,
) -> Result<Option<(i32, Ended)>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    uninterrupted(|| {
        // SAFETY: `info` is a siginfo buffer that outlives the call.
        check(unsafe { libc::waitid(kind, id, info.as_mut_ptr(), libc::WEXITED | flags) }.into())
    })?;
    // SAFETY: the buffer was zeroed, and any bits that the kernel stored are a valid siginfo.
    let info = unsafe { info.assume_init() };
    // SAFETY: after waitid the fields of a SIGCHLD siginfo are valid; zero if nothing has ended.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let exited = info.si_code == libc::CLD_EXITED;
    Ok(Some((pid, if exited { Ended::Exited(status) } else { Ended::Killed(status) })))
}

fn prctl(option: libc::c_int, arg: libc::c_ulong) -> Result<libc::c_long> {
    let none: libc::c_ulong = 0;
    // SAFETY: the options used here take numbers only.
    check(unsafe { libc::prctl(option, arg, none, none, none) }.into())
}

/// Sets `no_new_privs` for good: no execve gains privileges any more.
pub fn set_no_new_privs() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Whether others may ptrace this process and read its /proc files; execve sets it again.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, dumpable.into()).map(drop)
}

/// Whether orphaned descendants become this process's children.
pub fn is_child_subreaper() -> Result<bool> {
    let mut subreaper: libc::c_int = 0;
    // SAFETY: the kernel stores one int there, which outlives the call.
    check(unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper) }.into())?;
    Ok(subreaper != 0)
}

/// Makes orphaned descendants this process's children.
pub fn set_child_subreaper(subreaper: bool) -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, subreaper.into()).map(drop)
}

/// Ends this process at once: no destructors, no exit handlers. For a forked child.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Has this process end of each of `signals`, with the status that a shell gives for it, even as the
/// first of a pid namespace, to which the kernel sends no signal that it has no handler for
/// (`pid_namespaces(7)`). A program that is executed has the defaults again.
pub fn end_of(signals: &[Signal]) -> Result<()> {
    extern "C" fn end(signal: libc::c_int) {
        exit_now(128 + signal);
    }
    for &one in signals {
        // SAFETY: the handler calls _exit(2) only, which is async-signal-safe.
        unsafe { signal(one, SigHandler::Handler(end)) }?;
    }
    Ok(())
}

/// Enters an execution domain (personality(2)).
pub fn set_personality(domain: u64) -> Result<()> {
    let domain = libc::c_ulong::try_from(domain).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the call takes a number only.
    check(unsafe { libc::personality(domain) }.into())?;
    Ok(())
}

/// The type of the namespace that `file` is (`ioctl_nsfs(2)`, `NS_GET_NSTYPE`), one
/// of `CLONE_NEW*`; `ENOTTY` if it is no namespace.
pub fn namespace_type(file: impl AsFd) -> Result<CloneFlags> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: the request takes no argument.
    let returned = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    check(returned.into())?;
    Ok(CloneFlags::from_bits_retain(returned))
}

/// The user namespace that owns the namespace `file` (`ioctl_nsfs(2)`, `NS_GET_USERNS`); `EPERM` if
/// that is neither ours nor below it.
pub fn namespace_owner(file: impl AsFd) -> Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the request takes no argument, and gives a new descriptor.
    owned(unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_USERNS) }.into())
}

/// Whether `namespace`, as stat(2) tells of one, is this process's own at the path `own`.
pub fn is_own_namespace(namespace: &FileStat, own: &str) -> Result<bool> {
    let own = stat(own)?;
    Ok((namespace.st_dev, namespace.st_ino) == (own.st_dev, own.st_ino))
}

/// Whether we are in another user namespace than the machine's first, as far as /proc tells.
#[must_use]
pub fn in_user_namespace() -> bool {
    /// The first one's number: `PROC_USER_INIT_INO` of the kernel.
    const FIRST: u64 = 0xEFFF_FFFD;
    stat("/proc/self/ns/user").is_ok_and(|namespace| namespace.st_ino != FIRST)
}

/// This process's stdin, stdout and stderr, open or not, for calls that say so themselves.
#[must_use]
pub fn stdio() -> [BorrowedFd<'static>; 3] {
    // SAFETY: the start of the program opens all three, and nothing owns or closes them; only their
    // numbers reach the kernel, so that one which is closed all the same gives EBADF.
    [0, 1, 2].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Sets the NIS domain name of the UTS namespace (setdomainname(2)).
pub fn set_domainname(name: &str) -> Result<()> {
    // SAFETY: the pointer and length are of one string, which outlives the call.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}
