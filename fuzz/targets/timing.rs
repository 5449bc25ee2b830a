//! What init notes of its steps, as `start` reads it from the exec fifo.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timing::fuzz::notes(bytes));
