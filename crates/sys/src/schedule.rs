//! Scheduling: policy, I/O priority, CPU affinity, NUMA memory policy.

use crate::{Errno, Result, check};
use std::ptr;

/// The kernel's `struct sched_attr` (`sched_setattr(2)`), first version with utilisation clamps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Size of this structure in bytes; [`set`] fills it in.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value, for `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// Static priority, for `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
}

impl Attributes {
    /// Whether a child does not have what its parent has, or can't be made.
    #[must_use]
    pub fn are_lost_by_fork(&self) -> bool {
        const SCHED_DEADLINE: u32 = 6;
        const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
        self.policy == SCHED_DEADLINE || self.flags & SCHED_FLAG_RESET_ON_FORK != 0
    }
}

/// Sets the scheduling policy of the process `pid`, or this one if 0, and its attributes.
pub fn set(pid: i32, attributes: &Attributes) -> Result<()> {
    let size = u32::try_from(size_of::<Attributes>()).map_err(|_| Errno::EOVERFLOW)?;
    let attributes = Attributes { size, ..*attributes };
    // SAFETY: `attributes` has the kernel's layout and says its size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, ptr::from_ref(&attributes), 0) })?;
    Ok(())
}

/// Sets the I/O scheduling class and priority of this process (`ioprio_set(2)`).
pub fn set_io_priority(class: u32, priority: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let value = class << CLASS_SHIFT | priority;
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) })?;
    Ok(())
}

/// Lets this process run on any CPU of its cpuset (`sched_setaffinity(2)` with every bit set).
pub fn reset_affinity() -> Result<()> {
    // As many CPUs as any kernel is built for; the kernel cuts the mask to what exists.
    let mask = [u8::MAX; 1024];
    // SAFETY: the pointer and size are of one array, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len(), mask.as_ptr()) })?;
    Ok(())
}

/// Lets this process run on these CPUs only (`sched_setaffinity(2)`): a bit a CPU, the first one the
/// lowest bit of the first word.
///
/// `EINVAL` if none of them is there and in its cpuset.
pub fn set_affinity(cpus: &[libc::c_ulong]) -> Result<()> {
    let size = size_of_val(cpus);
    // SAFETY: the pointer and size are of one array, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size, cpus.as_ptr()) })?;
    Ok(())
}

/// Sets this process's NUMA memory policy (`set_mempolicy(2)`): `MPOL_*` and its flags, and the
/// nodes as bits, the first node the lowest bit of the first word.
pub fn set_memory_policy(mode: i32, nodes: &[libc::c_ulong]) -> Result<()> {
    let bits = nodes.len().saturating_mul(libc::c_ulong::BITS as usize);
    // The kernel reads one bit less than it is told.
    let (mask, count) = if bits == 0 { (ptr::null(), 0) } else { (nodes.as_ptr(), bits + 1) };
    // SAFETY: the pointer is null with a count of 0, or to as many bits as the kernel reads, which
    // outlive the call.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, count) })?;
    Ok(())
}
