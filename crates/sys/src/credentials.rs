//! Capabilities, and the id calls whose glibc versions would signal threads.

use crate::{Result, check};
use std::ptr;

/// A set of capabilities, one bit each, numbered as in linux/capability.h.
pub type CapabilitySet = u64;

/// The three sets that capset(2) sets at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Those in force.
    pub effective: CapabilitySet,
    /// Those that may be put in force.
    pub permitted: CapabilitySet,
    /// Those that an execve may keep.
    pub inheritable: CapabilitySet,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// The low half of a set, then the high one.
fn halves(set: CapabilitySet) -> [u32; 2] {
    let bits = |from: u32| (0..32).filter(move |bit| set >> (from + bit) & 1 == 1);
    [0, 32].map(|from| bits(from).fold(0, |half, bit| half | 1 << bit))
}

/// Reads this thread's sets (capget(2)).
pub fn capget() -> Result<Capabilities> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: the header asks for version 3, whose data are two elements.
    check(unsafe {
        libc::syscall(libc::SYS_capget, ptr::from_mut(&mut header), data.as_mut_ptr())
    })?;
    let join = |part: fn(&Data) -> u32| u64::from(part(&data[0])) | u64::from(part(&data[1])) << 32;
    Ok(Capabilities {
        effective: join(|d| d.effective),
        permitted: join(|d| d.permitted),
        inheritable: join(|d| d.inheritable),
    })
}

/// Sets this thread's sets (capset(2)).
pub fn capset(sets: &Capabilities) -> Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let [effective, permitted, inheritable] =
        [sets.effective, sets.permitted, sets.inheritable].map(halves);
    let data = [0, 1].map(|half: usize| Data {
        effective: effective[half],
        permitted: permitted[half],
        inheritable: inheritable[half],
    });
    // SAFETY: the header says version 3, whose data are two elements.
    check(unsafe { libc::syscall(libc::SYS_capset, ptr::from_mut(&mut header), data.as_ptr()) })?;
    Ok(())
}

fn prctl(option: libc::c_int, arg2: libc::c_ulong, arg3: libc::c_ulong) -> Result<libc::c_long> {
    let none: libc::c_ulong = 0;
    // SAFETY: the options used here take numbers only.
    check(unsafe { libc::prctl(option, arg2, arg3, none, none) }.into())
}

/// Drops `capability` from the bounding set.
pub fn drop_bounding(capability: u8) -> Result<()> {
    prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map(drop)
}

/// Raises `capability` in the ambient set; it must be permitted and inheritable.
pub fn raise_ambient(capability: u8) -> Result<()> {
    let raise = libc::c_ulong::from(libc::PR_CAP_AMBIENT_RAISE.cast_unsigned());
    prctl(libc::PR_CAP_AMBIENT, raise, capability.into()).map(drop)
}

/// Keeps the permitted set over a change of user (`PR_SET_KEEPCAPS`), until execve.
pub fn set_keep_capabilities(keep: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0).map(drop)
}

/// Sets the three user ids of this process (setresuid(2), raw: the process has one thread).
pub fn set_user(uid: u32) -> Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// Sets the three group ids of this process (setresgid(2), raw: the process has one thread).
pub fn set_group(gid: u32) -> Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    Ok(())
}

/// Sets the supplementary groups of this process (setgroups(2), raw: the process has one thread).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the pointer and length are of one slice, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}
