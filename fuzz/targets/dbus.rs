//! A message from a D-Bus.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| systemd::fuzz::message(bytes));
