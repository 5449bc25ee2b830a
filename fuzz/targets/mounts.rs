//! Mounts, as `mounts add` reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| spec::fuzz::mounts(bytes));
