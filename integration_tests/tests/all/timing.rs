//! `--timing` and `--timing-file`: the steps of a command, in both of its processes, and nothing of it in
//! the container.

use integration_tests::host::needs_file;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, bundle::push, json, tests};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use sys::nix::libc::O_NONBLOCK;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub const TESTS: &[Test] = tests![
    chart_has_the_steps_of_both_sides,
    chart_is_of_terminals_width_and_without_colours_elsewhere,
    trace_has_the_format_of_chrome,
    steps_of_a_process_leave_no_gap,
    slow_hook_on_the_host_is_the_slowest_step,
    slow_hook_in_the_container_is_the_slowest_step,
    create_and_start_have_their_own_parts,
    start_that_is_not_timed_starts_what_is,
    failing_start_hook_has_its_time_and_its_error,
    exec_has_its_own,
    exec_at_a_fifo_is_as_without,
    namespaces_that_are_joined_have_their_steps,
    clock_of_a_time_namespace_is_no_matter,
    user_namespace_has_its_steps,
    many_mounts_are_some_of_them_one,
    program_and_waiting_init_have_nothing_of_it,
    profile_without_clocks_is_no_matter,
    off_there_is_nothing,
    file_that_cannot_be_opened_fails_before_all_else,
    file_that_cannot_be_written_is_a_warning,
    file_is_written_anew,
    command_that_fails_shows_its_steps,
    status_is_the_programs,
    names_do_not_steer_the_terminal,
];

fn hook(bundle: Bundle, kind: &str, script: &str) -> Bundle {
    let hook = json!({
        "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"],
    });
    let has_shell = bundle.rootfs().join("bin/sh").exists();
    let bundle = if has_shell { bundle } else { bundle.with_shell() };
    bundle.config(|config| push(&mut config["hooks"][kind], hook))
}

/// The trace that a command writes to a file in the bundle's folder.
struct Trace {
    file: PathBuf,
}

impl Trace {
    fn of(container: &Container) -> Self {
        Self { file: container.bundle().folder().join("trace.json") }
    }

    /// The flag for it.
    fn flag(&self) -> String {
        format!("--timing-file={}", self.file.display())
    }

    /// All of its steps.
    #[track_caller]
    fn steps(&self) -> Vec<Step> {
        let text = fs::read_to_string(&self.file).unwrap();
        let trace: Value = serde_json::from_str(&text).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let steps = events.iter().filter(|event| event["ph"] == "X");
        steps
            .map(|event| Step {
                name: event["name"].as_str().unwrap().to_owned(),
                begin: event["ts"].as_f64().unwrap(),
                took: event["dur"].as_f64().unwrap(),
                pid: event["pid"].as_i64().unwrap(),
            })
            .collect()
    }
}

/// A step; times are in microseconds.
#[derive(Debug)]
struct Step {
    name: String,
    begin: f64,
    took: f64,
    pid: i64,
}

#[track_caller]
fn find<'a>(steps: &'a [Step], name: &str) -> &'a Step {
    let found = steps.iter().find(|step| step.name.starts_with(name));
    found.unwrap_or_else(|| panic!("no {name:?} in {steps:#?}"))
}

/// The steps of `run` in the foreground.
#[track_caller]
fn steps_of_run(bundle: Bundle) -> Vec<Step> {
    let container = Container::new(bundle);
    let trace = Trace::of(&container);
    let _ = container.call("run", &[&trace.flag()]).succeeded();
    trace.steps()
}

#[track_caller]
fn chart_of_run(bundle: Bundle) -> String {
    let output = Container::new(bundle).call("run", &["--timing"]);
    assert_eq!(output.code, 0, "{output:#?}");
    output.stderr
}

fn exits() -> Bundle {
    Bundle::new().probing(&["exit", "0"])
}

fn chart_has_the_steps_of_both_sides() {
    let container = Container::new(exits());
    let output = container.call("run", &["--timing"]);
    let chart = output.stderr;
    let first = chart.lines().next().unwrap();
    assert!(first.starts_with(&format!("rind run {}: ", container.id())), "{chart}");
    assert!(first.ends_with(" ms"), "{chart}");
    let rows: Vec<&str> = chart.lines().skip(2).filter(|line| line.starts_with(' ')).collect();
    let begin = |row: &str| -> f64 { row.split_whitespace().next().unwrap().parse().unwrap() };
    let times: Vec<f64> = rows.iter().map(|row| begin(row)).collect();
    assert!(times.is_sorted(), "not in the order of time:\n{chart}");
    for (side, bar) in [("rind", '#'), ("init", '=')] {
        let side = format!("  {side}  ");
        let mut own = rows.iter().filter(|row| row.contains(&side));
        assert!(own.any(|row| row.ends_with(bar)), "no bar of {side}:\n{chart}");
    }
    // All bars begin in the same column, or after it.
    let step = chart.lines().nth(1).unwrap().find("step").unwrap();
    assert!(rows.iter().all(|row| row.as_bytes()[step - 1] == b' '), "{chart}");
    assert!(chart.contains("\nslowest: "), "{chart}");
}

fn chart_is_of_terminals_width_and_without_colours_elsewhere() {
    let chart = chart_of_run(exits());
    assert!(!chart.contains('\u{1b}'), "{chart}");
    assert!(chart.lines().all(|line| line.chars().count() <= 100), "{chart}");
}

fn trace_has_the_format_of_chrome() {
    let container = Container::new(exits());
    let trace = Trace::of(&container);
    let _ = container.call("run", &[&trace.flag()]).succeeded();
    let text = fs::read_to_string(&trace.file).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let events = whole["traceEvents"].as_array().unwrap();
    for event in events {
        assert!(event["name"].is_string() && event["pid"].is_u64(), "{event}");
        assert!(event["tid"].is_u64(), "{event}");
        match event["ph"].as_str().unwrap() {
            "X" => {
                let times = [&event["ts"], &event["dur"]].map(|time| time.as_f64().unwrap());
                assert!(times.iter().all(|time| *time >= 0.0), "{event}");
                assert!(["work", "wait"].contains(&event["cat"].as_str().unwrap()), "{event}");
            }
            "M" => assert!(event["args"].is_object(), "{event}"),
            other => panic!("{other}: {event}"),
        }
    }
    let names = events.iter().filter(|event| event["name"] == "process_name");
    let names: Vec<&str> = names.map(|event| event["args"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, [format!("rind run {}", container.id()).as_str(), "init"]);
}

fn steps_of_a_process_leave_no_gap() {
    let steps = steps_of_run(exits());
    let mut pids: Vec<i64> = steps.iter().map(|step| step.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 2, "{steps:#?}");
    let mut ends = Vec::new();
    for pid in pids {
        let own: Vec<&Step> = steps.iter().filter(|step| step.pid == pid).collect();
        for pair in own.windows(2) {
            let end = pair[0].begin + pair[0].took;
            assert!((pair[1].begin - end).abs() < 0.01, "a gap between {pair:#?}");
        }
        let sum: f64 = own.iter().map(|step| step.took).sum();
        let last = own.last().unwrap();
        assert!((own[0].begin + sum - last.begin - last.took).abs() < 1.0, "{own:#?}");
        ends.push(last.begin + last.took);
    }
    for name in [
        "reading config.json",
        "planning the mounts",
        "making cgroups",
        "forking",
        "setting the limits",
        "waiting for init",
        "waiting until the program runs",
        "cloning the rootfs",
        "mounts[0] /proc",
        "making devices",
        "changing the root",
        "setting user",
        "loading the seccomp filter",
        "executing the program",
    ] {
        find(&steps, name);
    }
}

fn slow_hook_on_the_host_is_the_slowest_step() {
    let chart = chart_of_run(hook(exits(), "createRuntime", "sleep 0.2"));
    assert!(chart.contains("\nslowest: hooks.createRuntime[0] /bin/sh (rind), 2"), "{chart}");
    for kind in ["prestart", "poststart"] {
        let steps = steps_of_run(hook(exits(), kind, "sleep 0.2"));
        let slow = find(&steps, &format!("hooks.{kind}[0] /bin/sh"));
        assert!((200_000.0..2_000_000.0).contains(&slow.took), "{steps:#?}");
    }
}

fn slow_hook_in_the_container_is_the_slowest_step() {
    for kind in ["createContainer", "startContainer"] {
        let bundle = hook(hook(exits(), kind, "true"), kind, "sleep 0.2");
        let chart = chart_of_run(bundle);
        let text = format!("\nslowest: hooks.{kind}[1] /bin/sh (init), 2");
        assert!(chart.contains(&text), "{chart}");
    }
}

fn create_and_start_have_their_own_parts() {
    let bundle = hook(Bundle::new().probing(&["sleep"]), "startContainer", "sleep 0.2");
    let mut container = Container::new(hook(bundle, "poststart", "true"));
    let trace = Trace::of(&container);
    container.create(&[&trace.flag()]);
    let steps = trace.steps();
    find(&steps, "mounts[0]");
    assert!(!steps.iter().any(|step| step.name.contains("startContainer")), "{steps:#?}");
    let _ = container.call("start", &[&trace.flag()]).succeeded();
    let steps = trace.steps();
    let slow = find(&steps, "hooks.startContainer[0] /bin/sh");
    assert!((200_000.0..2_000_000.0).contains(&slow.took), "{steps:#?}");
    assert_eq!(slow.pid, i64::from(container.pid()), "{steps:#?}");
    let wait = find(&steps, "waiting until the program runs");
    let within = slow.begin >= wait.begin && slow.begin + slow.took <= wait.begin + wait.took;
    assert!(within, "the hook is not within the wait for it: {steps:#?}");
    find(&steps, "hooks.poststart[0] /bin/sh");
    find(&steps, "loading the seccomp filter, executing the program");
    container.wait_line("ready");
}

/// Either way round.
fn start_that_is_not_timed_starts_what_is() {
    for (create, start) in [(&["--timing"][..], &[][..]), (&[], &["--timing"])] {
        for with_hook in [true, false] {
            let bundle = Bundle::new().probing(&["sleep"]);
            let bundle = if with_hook { hook(bundle, "startContainer", "true") } else { bundle };
            let container = Container::new(bundle);
            let created = container.call("create", create);
            assert_eq!(created.code, 0, "{created:#?}");
            let started = container.call("start", start);
            assert_eq!(started.code, 0, "{started:#?}");
            assert_eq!(started.stderr.is_empty(), start.is_empty(), "{started:#?}");
            let _ = container.call("start", start).failed_with("already running");
        }
    }
}

fn failing_start_hook_has_its_time_and_its_error() {
    let bundle = hook(exits(), "startContainer", "sleep 0.1; echo some words; exit 3");
    let container = Container::created(bundle);
    let trace = Trace::of(&container);
    let output = container.call("start", &[&trace.flag()]);
    let output = output.failed_with("error running startContainer hook #0: exit status 3");
    assert!(output.stderr.contains("some words"), "{output:#?}");
    assert!(output.stderr.lines().count() == 1 && output.stderr.is_ascii(), "{output:#?}");
    let slow = find(&trace.steps(), "hooks.startContainer[0] /bin/sh").took;
    assert!(slow >= 100_000.0, "{slow}");
}

fn exec_has_its_own() {
    let container = Container::running(Bundle::new());
    let trace = Trace::of(&container);
    let output = container.exec(&["--timing", &trace.flag()], &["/bin/probe", "exit", "7"]);
    assert_eq!(output.code, 7, "{output:#?}");
    assert!(output.stderr.contains("  process  "), "{output:#?}");
    let steps = trace.steps();
    for name in [
        "finding the container",
        "reading config.json",
        "forking",
        "waiting for the process",
        "joining the container's cgroups and namespaces",
        "setting user",
        "forking in the container",
        "executing the program",
    ] {
        find(&steps, name);
    }
}

/// What comes out of the fifo tells whether the program runs.
fn exec_at_a_fifo_is_as_without() {
    let container = Container::running(Bundle::new());
    let fifo = container.bundle().folder().join("fifo");
    let flags = ["--detach", "--timing", "--exec-fifo", fifo.to_str().unwrap()];
    let output = container.exec(&flags, &["/bin/probe", "exit", "0"]);
    assert_eq!(output.code, 0, "{output:#?}");
    let mut reader = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&fifo).unwrap();
    fs::write(&fifo, "t").unwrap();
    let mut polled = [PollFd::new(reader.as_fd(), PollFlags::empty())];
    poll(&mut polled, PollTimeout::NONE).unwrap();
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"", "the fifo says why the program does not run");
}

fn namespaces_that_are_joined_have_their_steps() {
    let first = Container::running(Bundle::new());
    for (kind, file) in [("ipc", "ipc"), ("pid", "pid")] {
        let path = format!("/proc/{}/ns/{file}", first.pid());
        let steps = steps_of_run(exits().namespace(kind, Some(&path)));
        find(&steps, "joining namespaces");
        find(&steps, "mounts[0]");
        find(&steps, "executing the program");
    }
    // With hooks, init is parked: nothing of it can be seen before it runs.
    let path = format!("/proc/{}/ns/pid", first.pid());
    let bundle = hook(exits().namespace("pid", Some(&path)), "createRuntime", "sleep 0.1");
    let steps = steps_of_run(bundle);
    assert!(find(&steps, "hooks.createRuntime[0]").took >= 100_000.0, "{steps:#?}");
}

fn clock_of_a_time_namespace_is_no_matter() {
    needs_file("/proc/self/ns/time");
    for seconds in [1000, -2] {
        let bundle = || {
            Bundle::new().namespace("time", None).config(|config| {
                config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": seconds } });
            })
        };
        let within = |steps: &[Step]| {
            let wrong = steps.iter().find(|step| step.begin + step.took > 30_000_000.0);
            assert!(wrong.is_none(), "{seconds}: {steps:#?}");
        };
        let steps = steps_of_run(bundle().probing(&["exit", "0"]));
        find(&steps, "mounts[0]");
        within(&steps);
        let sleeping = bundle().probing(&["sleep"]);
        let first = Container::created(hook(sleeping, "startContainer", "sleep 0.1"));
        let trace = Trace::of(&first);
        let _ = first.call("start", &[&trace.flag()]).succeeded();
        let steps = trace.steps();
        within(&steps);
        let hook = find(&steps, "hooks.startContainer[0]");
        let wait = find(&steps, "waiting until the program runs");
        assert!(hook.begin >= wait.begin - 1000.0, "{seconds}: {steps:#?}");
        let _ = first.exec(&[&trace.flag()], &["/bin/probe", "exit", "0"]).succeeded();
        let steps = trace.steps();
        find(&steps, "joining the container");
        within(&steps);
    }
}

fn user_namespace_has_its_steps() {
    let bundle = exits().namespace("user", None).config(|config| {
        let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    let steps = steps_of_run(bundle);
    find(&steps, "writing the id mappings");
    find(&steps, "waiting for the id mappings");
}

/// The memory for it has a bound, which no config passes.
fn many_mounts_are_some_of_them_one() {
    let bundle = (0..1200).fold(exits(), |bundle, number| {
        let destination = format!("/mnt/{number}");
        bundle.mount(json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs" }))
    });
    let steps = steps_of_run(bundle.writable());
    let mounts = steps.iter().filter(|step| step.name.starts_with("mounts[")).count();
    assert_eq!(mounts, 1000);
    find(&steps, "mounts[999] and all after it /mnt/");
    find(&steps, "executing the program");
}

/// No memory in common with anybody, and nothing that is called so.
fn program_and_waiting_init_have_nothing_of_it() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let mut container = Container::new(hook(bundle, "startContainer", "true"));
    container.create(&["--timing-file=/dev/null"]);
    let shared = |pid: i32| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let shared = |line: &&str| line.split(' ').nth(1).unwrap().ends_with('s');
        maps.lines().filter(shared).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shared(container.pid()), Vec::<String>::new(), "of the waiting init");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap().count();
    let other = Container::created(Bundle::new().probing(&["sleep"]));
    let usual = fs::read_dir(format!("/proc/{}/fd", other.pid())).unwrap().count();
    assert_eq!(descriptors, usual);
    assert_eq!(container.call("start", &["--timing"]).code, 0);
    container.wait_line("ready");
    assert_eq!(shared(container.pid()), Vec::<String>::new(), "of the program");
    // Others in the container see a process of exec before it runs its program.
    let [fifo, pid_file] = ["fifo", "pid"].map(|name| container.bundle().folder().join(name));
    let flags = ["--detach", "--timing-file=/dev/null", "--exec-fifo", fifo.to_str().unwrap()];
    let flags = [&flags[..], &["--pid-file", pid_file.to_str().unwrap()]].concat();
    let _ = container.exec(&flags, &["/bin/probe", "exit", "0"]).succeeded();
    let waiting = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(shared(waiting), Vec::<String>::new(), "of a process that waits at a fifo");
}

/// Once its filter counts, init looks at no clock.
fn profile_without_clocks_is_no_matter() {
    for hooks in [false, true] {
        let bundle = Bundle::new().config(|config| {
            config["process"]["noNewPrivileges"] = json!(true);
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{
                    "names": ["clock_gettime", "mmap", "munmap", "gettimeofday", "time"],
                    "action": "SCMP_ACT_KILL_PROCESS",
                }],
            });
        });
        let bundle = if hooks { hook(bundle, "startContainer", "true") } else { bundle };
        // What is executed needs memory, and is killed for that: by then it was executed.
        let container = Container::new(bundle.probing(&["exit", "0"]));
        let trace = Trace::of(&container);
        let _ = container.call("run", &[&trace.flag()]);
        let name = if hooks { "loading the seccomp filter, executing" } else { "executing the" };
        find(&trace.steps(), name);
    }
}

fn off_there_is_nothing() {
    let container = Container::new(exits());
    let _ = container.call("run", &["--timing=false"]).succeeded();
    let _ = container.call("run", &["--timing-file="]).succeeded();
    let output = container.call("run", &["--timing-file=/dev/null"]).succeeded();
    assert_eq!(output.stdout, "");
}

fn file_that_cannot_be_opened_fails_before_all_else() {
    let container = Container::new(exits());
    for (path, answer) in
        [("/proc/none/trace", "no such file or directory"), ("/", "is a directory")]
    {
        for command in ["create", "run"] {
            let output = container.call(command, &["--timing-file", path]);
            let text = format!("opening --timing-file {path}: {answer}");
            assert_eq!(output.failed_with(&text).code, 1);
            container.assert_no_trace();
        }
    }
    let running = Container::running(Bundle::new());
    let flags = ["--timing-file", "/proc/none/trace"];
    let output = running.exec(&flags, &["/bin/probe", "exit", "0"]);
    assert_eq!(output.failed_with("opening --timing-file").code, 255);
    let created = Container::created(exits());
    let _ = created.call("start", &flags).failed_with("opening --timing-file");
    assert_eq!(created.status(), "created");
}

/// The container is there by then, and runs.
fn file_that_cannot_be_written_is_a_warning() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let output = container.call("create", &["--timing-file", "/dev/full"]);
    assert_eq!(output.code, 0, "{output:#?}");
    let text = "level=warning msg=\"writing the trace to /dev/full: no space left on device\"";
    assert!(output.stderr.contains(text), "{output:#?}");
    assert_eq!(container.status(), "created");
}

fn file_is_written_anew() {
    let container = Container::new(exits());
    let trace = Trace::of(&container);
    fs::write(&trace.file, "x".repeat(100_000)).unwrap();
    let _ = container.call("run", &[&trace.flag()]).succeeded();
    let first = trace.steps().len();
    let _ = container.call("run", &[&trace.flag()]).succeeded();
    assert!(first > 10 && trace.steps().len() > 10);
}

fn command_that_fails_shows_its_steps() {
    let container = Container::new(hook(exits(), "createRuntime", "sleep 0.1; exit 1"));
    let trace = Trace::of(&container);
    let output = container.call("run", &["--timing", &trace.flag()]);
    let output = output.failed_with("error running createRuntime hook #0");
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("level=error"), "the error is not the last line: {output:#?}");
    assert!(output.stderr.contains("slowest: hooks.createRuntime[0] /bin/sh"), "{output:#?}");
    find(&trace.steps(), "hooks.createRuntime[0]");
    container.assert_no_trace();
}

fn status_is_the_programs() {
    let output = Container::new(Bundle::new().probing(&["exit", "42"])).call("run", &["--timing"]);
    assert_eq!(output.code, 42, "{output:#?}");
}

fn names_do_not_steer_the_terminal() {
    let mount = json!({ "destination": "/mnt/\u{1b}[2J\nx", "type": "tmpfs", "source": "tmpfs" });
    let bundle = hook(exits(), "createContainer", "true");
    let bundle = bundle.writable().mount(mount).config(|config| {
        config["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "sleep 0.01"] }]);
    });
    let chart = chart_of_run(bundle);
    assert!(!chart.contains('\u{1b}'), "{chart}");
}
