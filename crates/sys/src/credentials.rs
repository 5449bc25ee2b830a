//! Numbers of users and groups, the calls that take them, and capabilities. The id calls are raw, as
//! glibc's would signal threads.

use crate::{Result, check};
use nix::NixPath;
use nix::fcntl::AtFlags;
use nix::unistd::{fchown, fchownat};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::ptr;

/// The number of a user or a group, as `Kind` says. It is never 4294967295, which is -1: the calls
/// that set an owner or an identity take that for "leave it as it is", and what should have become
/// another user's would stay root's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Id<Kind>(u32, PhantomData<Kind>);

/// A user's number.
pub type Uid = Id<User>;
/// A group's number.
pub type Gid = Id<Group>;

/// The kind of a [`Uid`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User;
/// The kind of a [`Gid`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group;

impl<Kind: Copy> Id<Kind> {
    /// Root's.
    pub const ROOT: Self = Self(0, PhantomData);

    /// `number`, if it is one that users and groups can have.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == u32::MAX { None } else { Some(Self(number, PhantomData)) }
    }

    /// The bare number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl<Kind> std::fmt::Display for Id<Kind> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Gives `file` to a user, and perhaps to a group (fchown(2)).
#[expect(clippy::disallowed_methods, reason = "here it has the type")]
pub fn give(file: impl AsFd, user: Uid, group: Option<Gid>) -> Result<()> {
    fchown(file, Some(user.0.into()), group.map(|group| group.0.into()))
}

/// Gives what is at `path` below `dir`, a link itself if it is one, to a user, and perhaps to a group
/// (fchownat(2)).
#[expect(clippy::disallowed_methods, reason = "here it has the type")]
pub fn give_at<P: NixPath + ?Sized>(
    dir: impl AsFd,
    path: &P,
    user: Uid,
    group: Option<Gid>,
) -> Result<()> {
    let (user, group) = (user.0.into(), group.map(|group| group.0.into()));
    fchownat(dir, path, Some(user), group, AtFlags::AT_SYMLINK_NOFOLLOW)
}

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
pub fn set_user(user: Uid) -> Result<()> {
    let uid = user.number();
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// Sets the three group ids of this process (setresgid(2), raw: the process has one thread).
pub fn set_group(group: Gid) -> Result<()> {
    let gid = group.number();
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    Ok(())
}

/// Sets the supplementary groups of this process (setgroups(2), raw: the process has one thread).
pub fn set_groups(groups: &[Gid]) -> Result<()> {
    // SAFETY: the pointer and length are of one slice of what is no more than numbers, which outlives
    // the call.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Uid;

    #[test]
    fn minus_one_is_nobodys_number() {
        assert_eq!(Uid::new(u32::MAX), None);
        assert_eq!(Uid::new(u32::MAX - 1).map(Uid::number), Some(u32::MAX - 1));
        assert_eq!(Uid::new(0), Some(Uid::ROOT));
    }
}
