//! `inspect`: that it tells what the kernel has.

use integration_tests::cgroup::needs_cgroupfs;
use integration_tests::host::{own_namespace, wait_for};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs;
use sys::nix::libc::{SIGCONT, SIGSTOP};

pub const TESTS: &[Test] = tests![
    it_tells_what_the_kernel_has,
    namespaces_tell_who_shares_them,
    a_created_container_has_no_program_yet,
    limits_and_use_are_the_cgroups,
    a_user_namespace_shows_its_mappings,
    what_is_hostile_is_escaped,
    a_stopped_container_has_no_process,
    the_end_is_known_until_somebody_reaps,
    an_end_that_nobody_has_kept_is_not_made_up,
    a_foreground_run_that_keeps_writes_down_its_end,
    oom_kills_are_counted,
    one_that_is_not_there_is_an_error,
];

fn inspect(container: &Container) -> Value {
    container.call("inspect", &["--format", "json"]).succeeded().json()
}

fn it_tells_what_the_kernel_has() {
    let bundle = Bundle::new().capabilities(&["CAP_KILL"]).config(|config| {
        config["annotations"] = json!({ "a": "b" });
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 99 }]);
        config["process"]["noNewPrivileges"] = json!(true);
        config["process"]["oomScoreAdj"] = json!(321);
        config["linux"]["devices"] =
            json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3 }]);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["getpriority"], "action": "SCMP_ACT_ERRNO" }],
        });
        config["hooks"] = json!({ "poststop": [{ "path": "/bin/true" }] });
    });
    let container = Container::running(bundle);
    let found = inspect(&container);
    assert_eq!((&found["id"], &found["status"]), (&json!(container.id()), &json!("running")));
    assert_eq!(found["pid"], container.pid());
    assert_eq!(found["annotations"], json!({ "a": "b" }));
    assert!(found["ended"].is_null(), "{found:#}");
    let process = &found["process"];
    assert_eq!(process["capabilities"]["bounding"], json!(["CAP_KILL"]));
    assert_eq!(process["noNewPrivileges"], true);
    assert_eq!((&process["seccomp"], &process["seccompFilters"]), (&json!("filter"), &json!(1)));
    assert_eq!((&process["uids"], &process["oomScoreAdj"]), (&json!([0, 0, 0, 0]), &json!(321)));
    let files = process["rlimits"].as_array().unwrap().iter();
    let files = files.into_iter().find(|one| one["type"] == "Max open files").unwrap();
    assert_eq!((&files["soft"], &files["hard"]), (&json!("77"), &json!("99")));
    let mounts = process["mounts"].as_array().unwrap();
    let proc = mounts.iter().find(|one| one["destination"] == "/proc").unwrap();
    assert_eq!(proc["type"], "proc");
    let arguments = fs::read(format!("/proc/{}/cmdline", container.pid())).unwrap();
    let shown = process["arguments"].as_array().unwrap();
    assert_eq!(shown.len(), arguments.split(|byte| *byte == 0).count() - 1);
    assert_eq!(found["devices"][0]["path"], "/dev/mine");
    assert_eq!(found["hooks"]["poststop"][0]["path"], "/bin/true");
    assert_eq!(found["unreadable"], json!([]));
}

fn inode(name: &str) -> u64 {
    name.split(['[', ']']).nth(1).unwrap().parse().unwrap()
}

fn namespaces_tell_who_shares_them() {
    let one = Container::running(Bundle::new());
    let join = format!("--join=net,ipc={}", one.id());
    let mut two = Container::beside(&one, Bundle::new().probing(&["sleep"]));
    two.create(&[&join]);
    let (found, other) = (inspect(&one), inspect(&two));
    let of = |found: &Value, kind: &str| {
        let list = found["namespaces"].as_array().unwrap();
        list.iter().find(|one| one["type"] == kind).unwrap().clone()
    };
    for kind in ["network", "ipc"] {
        assert_eq!(of(&found, kind)["sharedWith"], json!([two.id()]), "{kind}");
        assert_eq!(of(&other, kind)["sharedWith"], json!([one.id()]), "{kind}");
        assert_eq!(of(&found, kind)["inode"], of(&other, kind)["inode"]);
    }
    assert_eq!(of(&found, "mount")["sharedWith"], json!([]));
    assert_eq!(of(&found, "mount")["isHost"], false);
    assert_eq!(of(&found, "user")["isHost"], true);
    assert_eq!(of(&found, "user")["inode"], inode(&own_namespace("user")));
    let text = one.call("inspect", &[]).succeeded().stdout;
    assert!(text.contains(&format!("shared with {}", two.id())), "{text}");
    assert!(text.contains("the host's") && text.contains("its own"), "{text}");
}

fn a_created_container_has_no_program_yet() {
    let container = Container::created(Bundle::new());
    let found = inspect(&container);
    assert_eq!(found["status"], "created");
    assert_eq!(
        (&found["process"]["executable"], &found["process"]["arguments"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(found["args"][0], "/bin/probe");
    assert_eq!(found["namespaces"].as_array().unwrap().len(), 8);
}

fn limits_and_use_are_the_cgroups() {
    let bundle = Bundle::new().config(|config| {
        config["linux"]["resources"]["pids"] = json!({ "limit": 44 });
        config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
    });
    let container = Container::running(bundle);
    let found = &inspect(&container)["cgroup"];
    assert_eq!(found["limits"]["pids.max"], "44");
    let memory = ["memory.max", "memory.limit_in_bytes"].map(|file| found["limits"][file].as_str());
    assert_eq!(memory.into_iter().flatten().next(), Some("67108864"));
    assert!(found["usage"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{found:#}");
    assert_eq!((&found["usage"]["pids"]["current"], &found["oomKills"]), (&json!(1), &json!(0)));
    let directories = found["directories"].as_object().unwrap();
    assert!(directories.values().all(|path| fs::metadata(path.as_str().unwrap()).is_ok()));
}

fn a_user_namespace_shows_its_mappings() {
    let bundle = Bundle::new().namespace("user", None).config(|config| {
        let mappings = json!([{ "containerID": 0, "hostID": 200_000, "size": 1000 }]);
        config["linux"]["uidMappings"] = mappings.clone();
        config["linux"]["gidMappings"] = mappings;
    });
    let container = Container::running(bundle);
    let process = &inspect(&container)["process"];
    let expected = json!([{ "containerID": 0, "hostID": 200_000, "size": 1000 }]);
    assert_eq!((&process["uidMappings"], &process["gidMappings"]), (&expected, &expected));
    assert_eq!(process["uids"], json!([200_000, 200_000, 200_000, 200_000]));
}

fn what_is_hostile_is_escaped() {
    let evil = "/e\u{1b}[2Jvil\nstatus      stopped";
    let mount = json!({ "destination": evil, "type": "tmpfs", "source": "a\u{9b}b" });
    let bundle = Bundle::new().writable().mount(mount).config(|config| {
        config["annotations"] = json!({ "x\u{1b}]0;y": "\n  pid  1\u{202e}" });
    });
    let container = Container::running(bundle);
    let text = container.call("inspect", &[]).succeeded().stdout;
    assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
    assert!(text.contains("/e\\u{1b}[2Jvil\\u{a}status      stopped"), "{text}");
    assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("status ")).count(), 1);
    let found = inspect(&container);
    let mounts = found["process"]["mounts"].as_array().unwrap();
    assert!(mounts.iter().any(|one| one["destination"] == evil), "{found:#}");
}

fn a_stopped_container_has_no_process() {
    let container = Container::running(Bundle::new());
    container.stop();
    let found = inspect(&container);
    assert_eq!((&found["status"], &found["pid"]), (&json!("stopped"), &json!(0)));
    assert!(found["process"].is_null() && found["namespaces"] == json!([]), "{found:#}");
    let text = container.call("inspect", &[]).succeeded().stdout;
    assert!(text.contains("\nend:\n  exit status  "), "{text}");
}

fn the_end_is_known_until_somebody_reaps() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let mut running = container.spawn_run(&["--keep"]);
    running.wait_line("ready");
    // Who would reap init can't for now.
    running.signal(SIGSTOP);
    container.kill("KILL");
    wait_for("the end", || container.status() == "stopped");
    assert_eq!(inspect(&container)["ended"]["exitStatus"], 128 + 9);
    let text = container.call("inspect", &[]).succeeded().stdout;
    assert!(text.contains("137 (signal 9)"), "{text}");
    running.signal(SIGCONT);
    assert_eq!(running.wait_here().code, 128 + 9);
    assert_eq!(inspect(&container)["ended"]["exitStatus"], 128 + 9);
}

fn an_end_that_nobody_has_kept_is_not_made_up() {
    let container = Container::running(Bundle::new());
    container.stop();
    wait_for("somebody to reap it", || inspect(&container)["ended"]["exitStatus"].is_null());
    let text = container.call("inspect", &[]).succeeded().stdout;
    assert!(text.contains("not kept: "), "{text}");
}

fn a_foreground_run_that_keeps_writes_down_its_end() {
    for (args, status) in [(["exit", "7"], 7), (["exit", "0"], 0)] {
        let container = Container::new(Bundle::new().probing(&args));
        assert_eq!(container.call("run", &["--keep"]).code, status);
        assert_eq!(inspect(&container)["ended"]["exitStatus"], status);
        container.delete();
    }
}

fn oom_kills_are_counted() {
    needs_cgroupfs();
    let bundle = Bundle::new().script("x=a; while :; do x=$x$x; done").config(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20, "swap": 16 << 20 });
    });
    let container = Container::created(bundle);
    container.start();
    container.wait_stopped();
    let found = inspect(&container);
    assert_eq!(found["ended"]["oomKills"], 1, "{found:#}");
}

fn one_that_is_not_there_is_an_error() {
    let container = Container::new(Bundle::new());
    let _ = container.call("inspect", &[]).failed_with("does not exist");
    let _ = container.call("inspect", &["-f", "xml"]).failed_with("neither text nor json");
}
