//! A path of a cgroup, and a /proc/self/cgroup.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cgroups::fuzz::path(bytes));
