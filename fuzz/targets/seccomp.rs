//! A seccomp profile, and calls that its filter decides on.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| seccomp::fuzz::profile(bytes));
