//! `linux.memoryPolicy`: which NUMA nodes memory comes from, as the kernel shows it.

use integration_tests::host::needs_file;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};

pub const TESTS: &[Test] = tests![
    policy_is_the_programs,
    mode_without_nodes_takes_an_empty_list,
    mode_and_nodes_that_do_not_match_are_refused,
    names_that_do_not_exist_are_refused,
    nodes_that_are_no_list_are_refused,
    nodes_that_are_not_there_are_the_kernels_to_refuse,
    policies_are_among_the_features,
];

fn with_policy(policy: Value) -> Bundle {
    Bundle::new().config(|config| config["linux"]["memoryPolicy"] = policy)
}

/// Asserts what the kernel calls the policy of a program with this one (proc(5), `numa_maps`).
#[track_caller]
fn shown(policy: Value, expected: &str) {
    needs_file("/proc/self/numa_maps");
    let bundle = with_policy(policy.clone()).probing(&["read", "/proc/self/numa_maps"]);
    let output = bundle.run().succeeded();
    let found = output.stdout.lines().any(|line| line.split(' ').nth(1) == Some(expected));
    assert!(found, "{policy} is {expected}: {}", output.stdout);
}

fn policy_is_the_programs() {
    shown(json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0");
    let flags = json!(["MPOL_F_STATIC_NODES"]);
    shown(json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": flags }), "bind=static:0");
    shown(json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0-0" }), "interleave:0");
    shown(json!({ "mode": "MPOL_PREFERRED", "nodes": "0" }), "prefer:0");
}

fn mode_without_nodes_takes_an_empty_list() {
    shown(json!({ "mode": "MPOL_LOCAL", "nodes": "" }), "local");
    shown(json!({ "mode": "MPOL_DEFAULT" }), "default");
    shown(json!({ "mode": "MPOL_PREFERRED", "nodes": "" }), "local");
}

fn mode_and_nodes_that_do_not_match_are_refused() {
    for policy in [
        json!({ "mode": "MPOL_DEFAULT", "nodes": "0" }),
        json!({ "mode": "MPOL_LOCAL", "nodes": "0" }),
        json!({ "mode": "MPOL_BIND" }),
        json!({ "mode": "MPOL_INTERLEAVE", "nodes": "" }),
        json!({ "mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"] }),
        json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"] }),
    ] {
        with_policy(policy).refused("invalid memory policy");
    }
}

fn names_that_do_not_exist_are_refused() {
    for policy in [
        json!({}),
        json!({ "mode": "INTERLEAVE", "nodes": "0" }),
        json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_UNHEARD_OF"] }),
    ] {
        with_policy(policy).refused("invalid memory policy");
    }
}

fn nodes_that_are_no_list_are_refused() {
    for nodes in ["a", "-1-3", "3-1", "0,,1", "1048576"] {
        let bundle = with_policy(json!({ "mode": "MPOL_BIND", "nodes": nodes }));
        bundle.refused("linux.memoryPolicy.nodes: invalid memory policy");
    }
}

/// More than the 1024 nodes that a mask of fixed size would have.
fn nodes_that_are_not_there_are_the_kernels_to_refuse() {
    needs_file("/proc/self/numa_maps");
    for nodes in ["2000", "0,1023,32767"] {
        let bundle = with_policy(json!({ "mode": "MPOL_BIND", "nodes": nodes }));
        bundle.refused("setting linux.memoryPolicy: invalid argument (invalid memory policy");
    }
}

fn policies_are_among_the_features() {
    let container = Container::new(Bundle::new());
    let output = integration_tests::command::run(container.command(&["features"])).succeeded();
    let features: Value = serde_json::from_str(&output.stdout).unwrap();
    let linux = &features["linux"];
    assert_eq!(linux["memoryPolicy"]["modes"].as_array().map(Vec::len), Some(7), "{linux}");
    assert_eq!(linux["memoryPolicy"]["flags"].as_array().map(Vec::len), Some(3), "{linux}");
    assert_eq!(linux["netDevices"]["enabled"], true);
    let all = json!({ "enabled": true, "schemata": true, "monitoring": true });
    assert_eq!(linux["intelRdt"], all);
}
