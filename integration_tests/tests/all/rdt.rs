//! `linux.intelRdt`, on a machine without: what needs resctrl is tested with the code.

use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, json, tests};
use std::fs;

pub const TESTS: &[Test] = tests![without_resctrl_it_is_refused];

fn without_resctrl_it_is_refused() {
    if fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - resctrl ") {
        skip("resctrl is mounted, and not for tests to change");
    }
    for config in [json!({}), json!({ "closID": "gold" }), json!({ "enableMonitoring": true })] {
        let bundle = Bundle::new().config(|it| it["linux"]["intelRdt"] = config);
        bundle.refused("linux.intelRdt: resctrl is not mounted");
    }
}
