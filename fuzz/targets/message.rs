//! A message of a child to its parent.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| process::fuzz::message(bytes));
