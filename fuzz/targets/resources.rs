//! Limits, as `update --resources` reads them, and what cgroups makes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(resources) = spec::fuzz::resources(bytes) {
        cgroups::fuzz::resources(&resources);
    }
});
