//! Blocks as programs use them, and what a forked process does with those of its parent.

#![allow(clippy::unwrap_used)]
use super::*;
use std::thread;

/// Numbers that are random enough, and the same each time (Knuth's linear congruential generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

struct Block {
    start: *mut u8,
    layout: Layout,
    byte: u8,
}

impl Block {
    fn new(numbers: &mut Numbers) -> Self {
        let largest = [16, 64, 1000, 5000, 3 * LARGEST][numbers.below(5)];
        let powers = if numbers.below(9) == 0 { 13 } else { 5 };
        let align = 1 << numbers.below(powers);
        let layout = Layout::from_size_align(1 + numbers.below(largest), align).unwrap();
        let is_zeroed = numbers.below(3) == 0;
        let allocate = if is_zeroed { Heap::alloc_zeroed } else { Heap::alloc };
        // SAFETY: the size is not 0.
        let start = unsafe { allocate(&Heap, layout) };
        assert!(!start.is_null() && start.addr().is_multiple_of(align));
        let mut block = Self { start, layout, byte: 0 };
        if is_zeroed {
            block.check(layout.size());
        }
        block.fill(numbers);
        block
    }

    fn fill(&mut self, numbers: &mut Numbers) {
        self.byte = u8::try_from(numbers.below(256)).unwrap();
        // SAFETY: it is a block of that size.
        unsafe { self.start.write_bytes(self.byte, self.layout.size()) };
    }

    fn check(&self, length: usize) {
        // SAFETY: it is a block of at least that size, and has been filled.
        let bytes = unsafe { std::slice::from_raw_parts(self.start, length) };
        assert!(bytes.iter().all(|byte| *byte == self.byte), "{:?}", self.layout);
    }

    fn resize(&mut self, numbers: &mut Numbers) {
        let old = self.layout.size();
        let size = 1 + numbers.below(2 * old + 50);
        // SAFETY: the block has this layout, and the new size is not 0.
        self.start = unsafe { Heap.realloc(self.start, self.layout, size) };
        assert!(!self.start.is_null() && self.start.addr().is_multiple_of(self.layout.align()));
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        self.check(size.min(old));
        self.fill(numbers);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.check(self.layout.size());
        // SAFETY: the block has this layout, and goes.
        unsafe { Heap.dealloc(self.start, self.layout) };
    }
}

fn use_blocks(seed: u64) {
    let mut numbers = Numbers(seed);
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..20_000 {
        match (numbers.below(5), blocks.len()) {
            (0..2, 1..) => drop(blocks.swap_remove(numbers.below(blocks.len()))),
            (2, 1..) => {
                let index = numbers.below(blocks.len());
                blocks[index].resize(&mut numbers);
            }
            _ if blocks.len() < 500 => blocks.push(Block::new(&mut numbers)),
            _ => {}
        }
    }
}

#[test]
fn blocks_keep_what_is_in_them() {
    let threads: Vec<_> = (0..3).map(|seed| thread::spawn(move || use_blocks(seed))).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn sizes_have_room_and_waste_little() {
    assert!(SIZE.is_sorted());
    for bytes in 1..=LARGEST {
        let layout = Layout::from_size_align(bytes, 1).unwrap();
        let (number, size) = size_of_block(layout).unwrap();
        assert!(size >= bytes && size - bytes < UNIT.max(bytes / STEPS), "{bytes}: {size}");
        assert_eq!(SIZE[number], size);
        if bytes >= UNIT {
            let within = number_within(bytes);
            assert!(SIZE[within] <= bytes && SIZE.get(within + 1).is_none_or(|next| *next > bytes));
        }
    }
}

#[test]
fn what_is_freed_is_used_again() {
    let mut blocks = Blocks::NONE;
    let (number, size) = (number_within(1024), 1024);
    let first = blocks.take(number, size);
    // SAFETY: nobody uses the block.
    unsafe { blocks.put(number, first) };
    let parts: Vec<_> = (0..4).map(|_| blocks.take(number_within(256), 256)).collect();
    let expected: Vec<_> = (0..4).map(|part| first.wrapping_add(part * 256)).collect();
    assert_eq!(parts, expected);
    assert_eq!(blocks.filled, 0);
}

#[test]
fn a_forked_process_leaves_its_parents_blocks() {
    let mut blocks = Blocks::NONE;
    let taken = [blocks.take(3, 64), blocks.take(3, 64)];
    // SAFETY: nobody uses the block.
    unsafe { blocks.put(3, taken[0]) };
    blocks.leave_to_parent();
    // SAFETY: as above.
    unsafe { blocks.put(3, taken[1]) };
    assert!(!blocks.extend(taken[1], 64, 128));
    let own = blocks.take(3, 64);
    assert!(own >= taken[1].wrapping_add(64) && own.addr().is_multiple_of(PAGE));
    assert_eq!(blocks.filled, 0);
}
