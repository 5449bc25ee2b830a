//! An answer of rtnetlink.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sys::fuzz::netlink(bytes));
