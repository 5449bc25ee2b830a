//! A response of criu.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| criu::fuzz::response(bytes));
