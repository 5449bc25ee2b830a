//! `events`: statistics that are the kernel's, OOM kills, and the end.

use integration_tests::cgroup::{controller, folder_of, value};
use integration_tests::command::{self, Running};
use integration_tests::host::wait_for;
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::process::Stdio;

pub const TESTS: &[Test] = tests![
    statistics_are_the_kernels,
    statistics_come_again_until_the_end,
    a_deleted_container_ends_them,
    an_oom_kill_is_told_of,
    one_of_init_too,
    without_a_reader_they_end,
    what_is_not_running_has_none,
];

fn watching(container: &Container) -> Running {
    let watching = command::spawn(container.command_for("events", &["--interval", "50ms"]));
    wait_for("an event", || watching.stdout().contains('\n'));
    watching
}

/// Each line as JSON.
fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn statistics_are_the_kernels() {
    let bundle = Bundle::new().config(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        config["linux"]["resources"]["pids"] = json!({ "limit": 9 });
    });
    let container = Container::running(bundle);
    let text = container.call("events", &["--stats"]).succeeded().stdout;
    let start = format!(r#"{{"type":"stats","id":"{}","data":{{"cpu":{{"#, container.id());
    assert!(text.starts_with(&start) && text.lines().count() == 1, "{text}");
    let data = events(&text)[0]["data"].take();
    let keys: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"];
    expected.sort_unstable();
    let mut found = keys.clone();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(data["pids"], json!({ "current": 1, "limit": 9 }));
    assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
    assert!(data["memory"]["usage"]["usage"].as_u64() > Some(4096), "{data}");
    assert!(data["memory"]["raw"].as_object().unwrap().len() > 10);
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(100_000), "{data}");
    assert!(data["cpu"]["throttling"].is_object());
    assert!(!data["cpuset"]["cpus"].as_array().unwrap().is_empty());
    assert_eq!(data["intel_rdt"], json!({}));
    assert_eq!(data["network_interfaces"], Value::Null);
    if controller("cpuacct").version == 1 {
        let total = value(&folder_of(container.pid(), "cpuacct"), "cpuacct.usage");
        let told = data["cpu"]["usage"]["total"].as_u64().unwrap();
        assert!(told <= total.parse().unwrap(), "{told} before {total}");
    }
}

fn statistics_come_again_until_the_end() {
    let container = Container::created(Bundle::new().probing(&["sleep"]));
    let watching = watching(&container);
    container.start();
    container.wait_line("ready");
    wait_for("more events", || watching.stdout().lines().count() >= 3);
    container.stop();
    let output = watching.wait().succeeded();
    for event in events(&output.stdout) {
        assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id())));
        assert!(event["data"]["memory"].is_object());
    }
}

fn a_deleted_container_ends_them() {
    for started in [false, true] {
        let container = Container::created(Bundle::new().probing(&["sleep"]));
        if started {
            container.start();
        }
        let watching = watching(&container);
        let _ = container.call("delete", &["--force"]).succeeded();
        let output = watching.wait().succeeded();
        assert!(events(&output.stdout).iter().all(|event| event["type"] == "stats"));
    }
}

fn limited() -> Bundle {
    if controller("memory").version == 1 && !value_exists("memory.memsw.limit_in_bytes") {
        skip("without an account of swap the container would be swapped out");
    }
    Bundle::new().config(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20, "swap": 16 << 20 });
    })
}

fn value_exists(file: &str) -> bool {
    controller("memory").mount.join(file).exists()
}

fn oom(container: &Container) -> String {
    format!(r#"{{"type":"oom","id":"{}"}}"#, container.id())
}

fn an_oom_kill_is_told_of() {
    let script = "/bin/probe touch 64; echo survived; exec sleep 1000";
    let container = Container::created(limited().script(script));
    let watching = watching(&container);
    assert!(!watching.stdout().contains(r#""oom""#));
    container.start();
    container.wait_line("survived");
    watching.wait_line(&oom(&container));
    assert_eq!(container.status(), "running");
    container.stop();
    let output = watching.wait().succeeded();
    let _ = events(&output.stdout);
}

fn one_of_init_too() {
    let container = Container::created(limited().probing(&["touch", "64"]));
    let watching = watching(&container);
    container.start();
    container.wait_stopped();
    let output = watching.wait().succeeded();
    assert!(output.stdout.lines().any(|line| line == oom(&container)), "{output:#?}");
}

fn without_a_reader_they_end() {
    let container = Container::running(Bundle::new());
    let mut command = container.command_for("events", &["--interval=10ms"]);
    command.stdout(Stdio::piped()).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    wait_for("the end of events", || child.try_wait().unwrap().is_some());
}

fn what_is_not_running_has_none() {
    let container = Container::running(Bundle::new());
    for interval in ["0s", "-1s"] {
        let flag = format!("--interval={interval}");
        assert_ne!(container.call("events", &[&flag]).code, 0);
    }
    let refused = container.call("events", &["--interval=0s"]);
    let _ = refused.failed_with("duration interval must be greater than 0");
    let _ = container.call("events", &["--interval", "5"]).failed_with("no time such as 5s");
    container.stop();
    let _ = container.call("events", &[]).failed_with("is not running");
    let _ = container.call("events", &["--stats"]).failed_with("is not running");
    container.delete();
    let _ = container.call("events", &["--stats"]).failed_with("does not exist");
}
