//! The system calls that can fail, by name and number, and what the kernel can answer.

use sys::Errno::{
    self, EAGAIN, EBUSY, EINTR, EINVAL, EMFILE, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EPERM,
};
use sys::nix::libc;

/// A system call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: libc::c_long,
    /// How it can fail whatever its arguments are: for lack of something, since somebody else does
    /// something at the same time, or since the kernel or a seccomp profile hasn't got it. The two
    /// likeliest come first.
    pub errnos: &'static [Errno],
}

/// What libc has before the name of each call.
const PREFIX: &str = "SYS_";

/// Rows of calls, by libc's constants of their numbers, and of their errors.
macro_rules! calls {
    ($($($name:ident)|+: $errnos:expr;)+) => {
        &[$($(Call {
            name: stringify!($name).split_at(PREFIX.len()).1,
            number: libc_number!($name),
            errnos: &$errnos,
        },)+)+]
    };
}

macro_rules! libc_number {
    (SYS_open_tree_attr) => {
        SYS_open_tree_attr
    };
    (SYS_fchmodat2) => {
        SYS_fchmodat2
    };
    (SYS_renameat) => {
        SYS_renameat
    };
    ($name:ident) => {
        libc::$name
    };
}

/// The numbers, the same on every architecture, that libc has not yet.
#[expect(non_upper_case_globals, reason = "as in libc")]
const SYS_open_tree_attr: libc::c_long = 467;
#[expect(non_upper_case_globals, reason = "as in libc")]
const SYS_fchmodat2: libc::c_long = 452;
#[cfg(not(target_arch = "riscv64"))]
use libc::SYS_renameat;
/// The newest architectures have renameat2(2) alone, and this number means no call.
#[cfg(target_arch = "riscv64")]
#[expect(non_upper_case_globals, reason = "as in libc")]
const SYS_renameat: libc::c_long = 38;

/// All calls that can fail. Of the rest, some can't (getpid, umask, `exit_group`), some only by a
/// mistake in their arguments (`rt_sigaction`, lseek), and close(2) has closed whatever it answers.
pub const CALLS: &[Call] = calls! {
    // Files.
    SYS_openat: [EMFILE, EINTR, ENOMEM, EPERM];
    SYS_openat2: [ENOSYS, EINTR, EPERM, ENOMEM, EMFILE, EAGAIN];
    SYS_read | SYS_pread64 | SYS_readv: [EINTR, ENOMEM];
    SYS_write | SYS_pwrite64 | SYS_writev: [ENOSPC, EINTR, ENOMEM, EBUSY];
    SYS_fstat | SYS_newfstatat | SYS_statfs | SYS_fstatfs: [ENOMEM, EPERM];
    SYS_statx: [ENOSYS, ENOMEM, EPERM];
    SYS_faccessat | SYS_readlinkat | SYS_getdents64: [ENOMEM];
    SYS_faccessat2: [ENOSYS, ENOMEM, EPERM];
    SYS_fcntl: [EMFILE];
    SYS_dup | SYS_dup3: [EMFILE, EBUSY];
    SYS_mkdirat | SYS_mknodat | SYS_symlinkat | SYS_linkat: [ENOSPC, EPERM, ENOMEM];
    SYS_renameat | SYS_renameat2: [ENOSPC, EBUSY, EPERM, ENOMEM];
    // EBUSY is what a cgroup answers that others use, whom rind leaves alone.
    SYS_unlinkat: [EPERM, ENOMEM];
    SYS_fchown | SYS_fchownat | SYS_fchmod | SYS_fchmodat: [EPERM, ENOMEM];
    SYS_ftruncate: [ENOSPC, EINTR];
    SYS_setxattr: [ENOSPC, EPERM];
    SYS_flock: [EINTR, ENOLCK, ENOMEM];
    SYS_chdir | SYS_fchdir | SYS_chroot: [EPERM, ENOMEM];
    SYS_ioctl: [EPERM, ENOMEM];
    SYS_close_range: [ENOSYS, EPERM, ENOMEM];
    SYS_memfd_create | SYS_pipe2 | SYS_signalfd4 | SYS_eventfd2 | SYS_epoll_create1:
        [EMFILE, ENOMEM];
    // Memory.
    SYS_mmap: [ENOMEM];
    SYS_madvise: [ENOMEM, EAGAIN];
    SYS_getrandom: [ENOSYS, EINTR];
    // Processes.
    SYS_clone: [EAGAIN, ENOMEM];
    SYS_clone3: [ENOSYS, EAGAIN, EPERM, ENOMEM, ENOSPC];
    SYS_execve: [ENOMEM, EPERM, EAGAIN];
    SYS_execveat: [ENOSYS, ENOMEM, EPERM];
    SYS_wait4 | SYS_waitid: [EINTR];
    SYS_pidfd_open | SYS_pidfd_getfd: [ENOSYS, EMFILE, EPERM, ENOMEM];
    SYS_pidfd_send_signal: [ENOSYS, EPERM];
    SYS_kill | SYS_setsid: [EPERM];
    SYS_ppoll: [EINTR, ENOMEM];
    SYS_sched_setaffinity | SYS_sched_getaffinity | SYS_sched_setattr: [ENOMEM, EPERM];
    // Sockets.
    SYS_socket | SYS_socketpair: [EMFILE, ENOMEM, EPERM];
    SYS_connect | SYS_sendmsg | SYS_sendto | SYS_recvmsg: [EINTR, ENOMEM];
    // What Rust's library reads of a program that it starts: ENOMEM comes with descriptors only.
    SYS_recvfrom: [EINTR];
    // Namespaces and mounts.
    SYS_unshare | SYS_setns: [EPERM, ENOMEM, ENOSPC];
    SYS_mount: [ENOMEM, EPERM, EBUSY, ENOSPC];
    SYS_umount2: [EBUSY, EPERM, ENOMEM];
    SYS_pivot_root: [EBUSY, EPERM, ENOMEM];
    SYS_fsopen | SYS_fsmount | SYS_fspick: [ENOSYS, EMFILE, EPERM, ENOMEM];
    SYS_fsconfig: [ENOSYS, ENOMEM, EPERM, EBUSY, EINTR];
    SYS_open_tree | SYS_open_tree_attr: [ENOSYS, ENOSPC, EPERM, ENOMEM, EMFILE];
    SYS_move_mount: [ENOSYS, ENOSPC, EPERM, ENOMEM, EBUSY];
    SYS_mount_setattr: [ENOSYS, EBUSY, EPERM, ENOMEM];
    SYS_sethostname | SYS_setdomainname: [EPERM];
    // Privileges and limits.
    SYS_prctl: [EPERM, ENOMEM];
    SYS_capget | SYS_capset: [EPERM];
    SYS_setgroups | SYS_setresgid: [EPERM, ENOMEM];
    SYS_setresuid: [EAGAIN, EPERM, ENOMEM];
    SYS_prlimit64: [EPERM];
    SYS_seccomp: [ENOSYS, EINVAL, EPERM, ENOMEM];
    SYS_bpf: [ENOSYS, EPERM, ENOMEM];
    SYS_keyctl: [ENOSYS, EPERM, ENOMEM];
    SYS_ioprio_set | SYS_set_mempolicy | SYS_personality: [ENOSYS, EPERM];
    SYS_fchmodat2: [ENOSYS, EPERM];
};

/// Those that only older architectures have.
#[cfg(target_arch = "x86_64")]
pub const OLD_CALLS: &[Call] = calls! {
    SYS_open: [EMFILE, EINTR, ENOMEM, EPERM];
    SYS_stat | SYS_lstat: [ENOMEM, EPERM];
    SYS_access | SYS_readlink: [ENOMEM];
    SYS_dup2: [EBUSY];
    SYS_mkdir: [ENOSPC, EPERM, ENOMEM];
    SYS_rename: [ENOSPC, EBUSY, EPERM];
    SYS_unlink | SYS_rmdir: [EPERM, ENOMEM];
    SYS_chown | SYS_chmod: [EPERM, ENOMEM];
    SYS_fork | SYS_vfork: [EAGAIN, ENOMEM];
    SYS_poll: [EINTR, ENOMEM];
    SYS_pipe: [EMFILE, ENOMEM];
};

/// See above.
#[cfg(not(target_arch = "x86_64"))]
pub const OLD_CALLS: &[Call] = &[];

/// The call of this name.
#[must_use]
pub fn named(name: &str) -> Option<Call> {
    all().find(|call| call.name == name)
}

/// The call with this number.
#[must_use]
pub fn numbered(number: libc::c_long) -> Option<Call> {
    all().find(|call| call.number == number)
}

fn all() -> impl Iterator<Item = Call> {
    CALLS.iter().chain(OLD_CALLS).copied()
}
