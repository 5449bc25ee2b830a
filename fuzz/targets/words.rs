//! Values that are a word or a line, each reader on the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    process::fuzz::cpus(bytes);
    runtime::fuzz::quantities(bytes);
    state::fuzz::init(bytes);
    systemd::fuzz::words(bytes);
});
