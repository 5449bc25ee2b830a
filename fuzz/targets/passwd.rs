//! An /etc/passwd.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sys::fuzz::passwd(bytes));
