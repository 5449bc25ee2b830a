//! The program's allocator: for a process of one thread that lives for milliseconds, and forks.
//!
//! glibc's allocator serves long-lived programs of many threads: it merges free blocks, and has a
//! header in each block, so that freeing one in a forked process makes the kernel copy a page. Here a
//! block has one of sixty sizes and no header, and a freed one goes to the list of its size, where the
//! next block of that size or of a smaller one is taken from. A block of more than `LARGEST` bytes is
//! a mapping of its own. Memory of lists is never given back: what a long-lived command (`run`,
//! `events`) frees, it uses again.
//!
//! A forked process leaves the blocks that it has inherited as they are, whether they are free or
//! not: its own come from pages that it shares with nobody.

use crate::threads;
use nix::libc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

/// All sizes are multiples of this, and so are all addresses.
const UNIT: usize = 16;
/// Up to here there is a size for each multiple of [`UNIT`].
const FINE: usize = 512;
/// Above [`FINE`] there are this many sizes up to each power of two.
const STEPS: usize = 4;
/// The largest size that has a list.
const LARGEST: usize = 64 << 10;
const SIZES: usize = FINE / UNIT + STEPS * (LARGEST / FINE).ilog2() as usize;
/// How much address space is asked of the kernel at first, and each time twice as much where it does
/// not join the last. The kernel gives memory for what is touched.
const CHUNK: usize = 128 << 10;
/// So many times it doubles: more than there can be memory.
const CHUNKS: usize = 24;
/// The size of the kernel's pages here, or of several.
const PAGE: usize = 4096;

/// The allocator, for a program's `#[global_allocator]`.
#[derive(Debug)]
pub struct Heap;

/// What a thread must have the lock for, unless it is the only one.
struct Shared {
    is_locked: AtomicBool,
    blocks: UnsafeCell<Blocks>,
}

// SAFETY: `blocks` is reached by `with` only, which lets one thread in at a time.
unsafe impl Sync for Shared {}

static SHARED: Shared =
    Shared { is_locked: AtomicBool::new(false), blocks: UnsafeCell::new(Blocks::NONE) };

#[derive(Debug)]
struct Blocks {
    /// Freed blocks by size. The first word of each is the address of the next.
    free: [*mut Freed; SIZES],
    /// A bit for each list that has a block.
    filled: u64,
    /// What no block has been taken of yet: `next..end`, all zeros.
    next: *mut u8,
    end: *mut u8,
    /// The memory that this process has asked for, by the first address and the one after the last.
    /// What a forked process has inherited is not in here.
    own: [(usize, usize); CHUNKS],
    /// How many of `own` there are.
    chunks: usize,
    is_forked: bool,
}

#[derive(Debug)]
struct Freed {
    next: *mut Freed,
}

/// Has a process that was just forked leave the blocks of its parent alone.
pub(crate) fn after_fork() {
    with(Blocks::leave_to_parent);
}

/// Has the kernel put memory behind so many bytes of the stack and of the blocks to come, which are
/// about to be used: a fault for each page costs more than twice as much. A kernel that can't do that
/// (before 5.14) does it page by page.
pub fn populate(stack: usize, blocks: usize) {
    let here = (&raw const stack).cast::<u8>();
    populate_range(here.wrapping_sub(stack), stack);
    let next = with(|all| {
        let has_room = all.end.addr() - all.next.addr() >= blocks || all.grow(blocks);
        has_room.then_some(all.next.cast_const())
    });
    if let Some(next) = next {
        populate_range(next, blocks);
    }
}

fn populate_range(start: *const u8, length: usize) {
    let page = start.map_addr(|addr| addr & !(PAGE - 1));
    let length = length + start.addr() - page.addr();
    // SAFETY: the call changes no byte of a page that there is, and gives no rights.
    let _ = unsafe { libc::madvise(page.cast_mut().cast(), length, libc::MADV_POPULATE_WRITE) };
}

fn with<T>(act: impl FnOnce(&mut Blocks) -> T) -> T {
    let is_shared = !threads::is_one();
    if is_shared {
        while SHARED.is_locked.swap(true, Ordering::Acquire) {
            spin_loop();
        }
    }
    // SAFETY: this is the only thread, or the one that has the lock. `act` is of this file, and
    // allocates nothing, so nobody is here already.
    let result = act(unsafe { &mut *SHARED.blocks.get() });
    if is_shared {
        SHARED.is_locked.store(false, Ordering::Release);
    }
    result
}

// SAFETY: blocks that are in use don't overlap: each is taken of `next..end` once, or of the list of
// its size, into which only `dealloc` has put it, or is a mapping. None is smaller or less aligned than
// the layout asks for.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match size_of_block(layout) {
            Some((number, size)) => with(|blocks| blocks.take(number, size)),
            None => map_layout(layout),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((number, size)) = size_of_block(layout) else { return map_layout(layout) };
        with(|blocks| {
            let is_new = blocks.filled >> number == 0;
            let block = blocks.take(number, size);
            if !is_new {
                // SAFETY: the block is at least as large, and nobody else's.
                unsafe { block.write_bytes(0, layout.size()) };
            }
            block
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match size_of_block(layout) {
            // SAFETY: the caller gives back a block of `alloc` with its layout, so its size is this.
            Some((number, _)) => with(|blocks| unsafe { blocks.put(number, block) }),
            None => {
                // SAFETY: as above; it is a mapping of that length, which nobody uses any more.
                let _ = unsafe { libc::munmap(block.cast(), layout.size()) };
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the size, rounded up to the alignment, is an isize.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let same = match (size_of_block(layout), size_of_block(wanted)) {
            (Some(old), Some(new)) => {
                old == new || with(|blocks| blocks.extend(block, old.1, new.1))
            }
            (None, None) if layout.align() <= PAGE => {
                // SAFETY: the caller gives a block of `alloc` with its layout, which is a mapping.
                return unsafe { remap(block, layout.size(), size) };
            }
            _ => false,
        };
        if same {
            return block;
        }
        // SAFETY: the layout has a size that is not 0, as the caller guarantees.
        let other = unsafe { self.alloc(wanted) };
        if !other.is_null() {
            // SAFETY: both blocks have that much, and the new one is nobody else's.
            unsafe { ptr::copy_nonoverlapping(block, other, layout.size().min(size)) };
            // SAFETY: the caller gives a block of `alloc` with its layout, and uses it no more.
            unsafe { self.dealloc(block, layout) };
        }
        other
    }
}

impl Blocks {
    const NONE: Self = Self {
        free: [null_mut(); SIZES],
        filled: 0,
        next: null_mut(),
        end: null_mut(),
        own: [(0, 0); CHUNKS],
        chunks: 0,
        is_forked: false,
    };

    /// A block of `size`, which is number `number` of the sizes; null if the kernel has no memory.
    fn take(&mut self, number: usize, size: usize) -> *mut u8 {
        let larger = self.filled >> number;
        if larger != 0 {
            return self.split(number + larger.trailing_zeros() as usize, size);
        }
        if self.end.addr() - self.next.addr() < size && !self.grow(size) {
            return null_mut();
        }
        let block = self.next;
        self.next = block.wrapping_add(size);
        block
    }

    /// Takes the first block of list `number`, which has one, and puts what is beyond `size` back.
    fn split(&mut self, number: usize, size: usize) -> *mut u8 {
        let freed = self.free[number];
        // SAFETY: `put` has written the word, and the block has been free since.
        self.free[number] = unsafe { (*freed).next };
        if self.free[number].is_null() {
            self.filled &= !(1 << number);
        }
        let block = freed.cast::<u8>();
        let rest = SIZE[number] - size;
        if rest > 0 {
            // SAFETY: the rest is not part of the block that is taken, and no smaller than that size.
            unsafe { self.put(number_within(rest), block.wrapping_add(size)) };
        }
        block
    }

    /// Puts a block into the list of its size.
    ///
    /// # Safety
    /// The block is of size number `number`, and nobody uses it any more.
    #[expect(clippy::cast_ptr_alignment, reason = "every block is aligned to UNIT")]
    unsafe fn put(&mut self, number: usize, block: *mut u8) {
        let is_own = |&(start, end): &(usize, usize)| (start..end).contains(&block.addr());
        if self.is_forked && !self.own.iter().take(self.chunks).any(is_own) {
            return;
        }
        let freed = block.cast::<Freed>();
        // SAFETY: the smallest size has room for the word, every block is aligned for it, and it is
        // nobody else's.
        unsafe { freed.write(Freed { next: self.free[number] }) };
        self.free[number] = freed;
        self.filled |= 1 << number;
    }

    /// Forgets all blocks, free or not, and begins at a page that no block is in.
    fn leave_to_parent(&mut self) {
        let own = self.next.wrapping_add(self.next.align_offset(PAGE)).min(self.end);
        *self = Self { next: own, end: self.end, chunks: 1, is_forked: true, ..Self::NONE };
        self.own[0] = (own.addr(), self.end.addr());
    }

    /// Whether `block`, which has the size `old`, could be made one of the size `new` where it is.
    fn extend(&mut self, block: *mut u8, old: usize, new: usize) -> bool {
        let is_last = block.wrapping_add(old) == self.next;
        // A smaller block would leave a rest that is not all zeros.
        let fits = new > old && self.end.addr() - self.next.addr() >= new - old;
        if is_last && fits {
            self.next = block.wrapping_add(new);
        }
        is_last && fits
    }

    /// Makes the rest at least `size` long; whether the kernel had that much.
    fn grow(&mut self, size: usize) -> bool {
        if self.chunks == CHUNKS {
            return false;
        }
        let mut more = size.max(CHUNK << self.chunks);
        let mut start = more_memory(more);
        if start.is_null() {
            more = size.max(CHUNK);
            start = more_memory(more);
        }
        if start.is_null() {
            return false;
        }
        self.end = start.wrapping_add(more);
        let joins = self.chunks > 0 && start.addr() == self.own[self.chunks - 1].1;
        if joins {
            self.own[self.chunks - 1].1 = self.end.addr();
        } else {
            self.next = start.wrapping_add(start.align_offset(UNIT));
            self.own[self.chunks] = (start.addr(), self.end.addr());
            self.chunks += 1;
        }
        self.end.addr() - self.next.addr() >= size
    }
}

/// So much new memory, all zeros, which joins the last where the kernel has room; null if it has none.
fn more_memory(length: usize) -> *mut u8 {
    // Other C libraries than glibc take the end of the data for their own.
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: what is above the end of the data is nobody's, and glibc's own malloc expects that
        // others use sbrk as well.
        let start = unsafe { libc::sbrk(length.cast_signed()) };
        if start.addr() != usize::MAX {
            return start.cast();
        }
    }
    map(length)
}

/// The number of the smallest size that has room for `layout`, and that size. None if it is to have a
/// mapping.
const fn size_of_block(layout: Layout) -> Option<(usize, usize)> {
    let bytes = layout.size();
    if bytes > LARGEST || layout.align() > UNIT {
        return None;
    }
    let number = if bytes <= UNIT { 0 } else { number_within(bytes - 1) + 1 };
    Some((number, SIZE[number]))
}

/// The number of the largest size that is within `bytes`, which are at least [`UNIT`], or else of the
/// one before the first.
const fn number_within(bytes: usize) -> usize {
    if bytes <= FINE {
        return (bytes / UNIT).wrapping_sub(1);
    }
    let power = bytes.ilog2();
    let steps = (bytes - (1 << power)) / ((1 << power) / STEPS);
    FINE / UNIT + (power - FINE.ilog2()) as usize * STEPS + steps - 1
}

/// The sizes, by number.
const SIZE: [usize; SIZES] = {
    let mut sizes = [0; SIZES];
    let mut number = 0;
    while number < SIZES {
        sizes[number] = if number < FINE / UNIT {
            (number + 1) * UNIT
        } else {
            let steps = number + 1 - FINE / UNIT;
            let power = FINE << (steps / STEPS);
            power + steps % STEPS * (power / STEPS)
        };
        number += 1;
    }
    sizes
};

/// A new mapping; null if the kernel has no memory.
fn map(length: usize) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, at an address that the kernel chooses, is in nobody's way.
    let start = unsafe { libc::mmap(null_mut(), length, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED { null_mut() } else { start.cast() }
}

/// As [`map`], with the alignment of `layout`, which is at most [`PAGE`].
fn map_layout(layout: Layout) -> *mut u8 {
    if layout.align() > PAGE { null_mut() } else { map(layout.size()) }
}

/// A mapping with another length, maybe elsewhere; null if the kernel has no memory.
///
/// # Safety
/// `start` is a mapping of `map` with the length `old`, and nobody but the caller uses it.
unsafe fn remap(start: *mut u8, old: usize, new: usize) -> *mut u8 {
    // SAFETY: the caller guarantees it.
    let moved = unsafe { libc::mremap(start.cast(), old, new, libc::MREMAP_MAYMOVE) };
    if moved == libc::MAP_FAILED { null_mut() } else { moved.cast() }
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
