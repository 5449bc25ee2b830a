//! Memory that a process has in common with those that it forks, as numbers of 64 bits.

use crate::{Errno, Result};
use std::ptr;
use std::sync::atomic::AtomicU64;

/// Such memory. It has no name and no descriptor, and an execve drops it.
#[derive(Debug)]
pub struct Shared(&'static [AtomicU64]);

impl Shared {
    /// Maps `count` numbers, all 0. They stay as long as the process has this program.
    pub fn map(count: usize) -> Result<Self> {
        let length = count.checked_mul(size_of::<AtomicU64>()).ok_or(Errno::EOVERFLOW)?;
        let start = map(ptr::null_mut(), length, libc::MAP_SHARED)?;
        // SAFETY: the kernel has mapped so many bytes there, which are 0; nothing unmaps them.
        Ok(Self(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), count) }))
    }

    /// The numbers. Each process that has the memory in common may change them at any time.
    #[must_use]
    pub fn numbers(&self) -> &'static [AtomicU64] {
        self.0
    }

    /// Puts other memory in its place, all 0, which is this process's own: from here on it neither sees
    /// nor changes what the others have in common.
    pub fn leave(&self) -> Result<()> {
        let start = self.0.as_ptr().cast_mut().cast();
        map(start, size_of_val(self.0), libc::MAP_PRIVATE | libc::MAP_FIXED).map(drop)
    }
}

/// mmap(2) of memory that can be read and written.
fn map(at: *mut libc::c_void, length: usize, flags: libc::c_int) -> Result<*mut libc::c_void> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: with MAP_FIXED, `at` is memory that `Shared::map` has made, of the same length: atomic
    // numbers, which may change to any others; else the kernel finds a free place.
    let start = unsafe { libc::mmap(at, length, access, flags | libc::MAP_ANONYMOUS, -1, 0) };
    if start == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(start) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn who_leaves_has_memory_of_its_own() {
        let shared = Shared::map(4096).unwrap();
        let numbers = shared.numbers();
        numbers[4095].store(7, Relaxed);
        shared.leave().unwrap();
        assert!(numbers.iter().all(|number| number.load(Relaxed) == 0));
        numbers[0].store(1, Relaxed);
        assert_eq!((numbers.len(), numbers[0].load(Relaxed)), (4096, 1));
    }
}
