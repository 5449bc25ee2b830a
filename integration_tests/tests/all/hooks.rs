//! Hooks: when each kind runs, in which namespaces, with what, and what its failure does.

use integration_tests::command::{run, spawn};
use integration_tests::host::{is_alive, needs_program, own_namespace, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Output, Value, binary, bundle::push, json, tests};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = tests![
    kinds_run_in_the_order_of_the_lifecycle,
    hooks_of_a_kind_run_in_their_order,
    create_runs_three_kinds_and_start_two,
    state_is_on_stdin,
    status_is_of_the_step,
    pid_is_the_one_seen_from_where_the_hook_runs,
    runtime_hooks_are_in_the_runtimes_namespaces,
    create_container_hook_is_in_the_containers_namespaces,
    create_container_hook_sees_the_containers_mounts,
    start_container_hook_is_in_the_container,
    environment_is_the_hooks_own,
    start_container_hook_without_environment_has_the_processs,
    arguments_are_passed_with_their_zeroth,
    working_directory_is_the_bundle,
    working_directory_in_the_container_is_its_root,
    hook_that_reads_nothing_is_fine,
    hook_that_takes_too_long_is_killed,
    hook_within_its_time_is_fine,
    failing_hook_of_create_fails_it,
    failing_hook_of_create_ends_in_poststop,
    failing_hook_of_run_fails_it,
    failing_start_container_hook_keeps_the_program_from_running,
    failing_poststart_hook_stops_the_container,
    failing_poststop_hook_is_a_warning,
    error_of_a_hook_has_its_stderr,
    hook_killed_by_a_signal_is_a_failure,
    hook_that_does_not_exist_fails_create,
    hook_with_a_relative_path_is_refused,
    hook_with_no_time_is_refused,
    hooks_leave_no_descriptors_to_the_container,
    hooks_get_no_descriptors_but_the_standard_ones,
    poststop_runs_after_everything_is_gone,
    state_asked_for_by_a_poststart_hook_is_running,
    hooks_have_the_umask_of_the_caller,
    output_of_a_hook_takes_no_memory,
    error_of_a_hook_has_both_ends_of_a_long_output,
    output_of_a_hook_does_not_steer_the_terminal,
    hook_out_of_time_takes_along_what_it_has_started,
    start_container_hook_out_of_time_takes_along_what_it_has_started,
    hook_out_of_time_while_it_writes_is_killed,
    what_is_left_by_a_hook_is_neither_killed_nor_waited_for,
    what_is_left_by_a_hook_can_write_no_more,
    hooks_start_with_default_signals,
    hooks_work_where_the_caller_ignores_sigchld,
    hooks_can_not_change_their_state,
    hooks_lead_a_session,
    config_that_is_no_file_is_refused,
    documents_without_end_are_refused,
];

/// The kinds in the order of their turn.
const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that runs a script of the host's shell, or for startContainer of the container's.
fn script(script: &str) -> Value {
    let env = ["PATH=/usr/bin:/bin"];
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env })
}

fn hook(bundle: Bundle, kind: &str, hook: Value) -> Bundle {
    bundle.config(|config| push(&mut config["hooks"][kind], hook))
}

/// A file for hooks to write to: where it is for those in the container and for all others, which
/// is the same file.
struct Log {
    host: PathBuf,
}

impl Log {
    fn of(bundle: &Bundle) -> Self {
        Self { host: bundle.rootfs().join("tmp/log") }
    }

    fn path(&self, kind: &str) -> &str {
        if kind == "startContainer" { "/tmp/log" } else { self.host.to_str().unwrap() }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.host).unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// A bundle with a shell, in which a hook of each of `kinds` writes what `command` prints to the log.
fn logging(kinds: &[&str], command: &str) -> (Bundle, Log) {
    let bundle = Bundle::new().writable().with_shell();
    let log = Log::of(&bundle);
    let bundle = kinds.iter().fold(bundle, |bundle, kind| {
        let command = command.replace("KIND", kind);
        hook(bundle, kind, script(&format!("{{ {command}; }} >>{}", log.path(kind))))
    });
    (bundle, log)
}

/// Creates, starts and deletes it; its program writes "program" to the log.
fn live(bundle: Bundle) -> Container {
    let bundle = bundle.args(&["/bin/sh", "-c", "echo program >>/tmp/log"]);
    let container = Container::created(bundle);
    container.start();
    container.wait_stopped();
    container.delete();
    container
}

fn kinds_run_in_the_order_of_the_lifecycle() {
    let (bundle, log) = logging(&KINDS, "echo KIND");
    let _container = live(bundle);
    let mut lines = log.lines();
    // poststart comes after the program was started, which may take its time to write.
    let program = lines.iter().position(|line| line == "program").unwrap();
    assert!((4..=5).contains(&program), "{lines:?}");
    lines.remove(program);
    assert_eq!(lines, KINDS);
}

fn hooks_of_a_kind_run_in_their_order() {
    for kind in KINDS {
        let bundle = Bundle::new().writable().with_shell();
        let log = Log::of(&bundle);
        let bundle = ["first", "second", "third"].iter().fold(bundle, |bundle, word| {
            hook(bundle, kind, script(&format!("echo {word} >>{}", log.path(kind))))
        });
        let _container = live(bundle);
        let lines: Vec<String> = log.lines().into_iter().filter(|line| line != "program").collect();
        assert_eq!(lines, ["first", "second", "third"], "{kind}");
    }
}

fn create_runs_three_kinds_and_start_two() {
    let (bundle, log) = logging(&KINDS, "echo KIND");
    let container = Container::created(bundle.probing(&["sleep"]));
    assert_eq!(log.lines(), KINDS[..3]);
    container.start();
    assert_eq!(log.lines(), KINDS[..5]);
    container.wait_line("ready");
    container.stop();
    assert_eq!(log.lines(), KINDS[..5]);
    container.delete();
    assert_eq!(log.lines(), KINDS);
}

/// What a hook of `kind` gets on its stdin.
fn state_for(kind: &str) -> Value {
    let (bundle, log) = logging(&[kind], "cat");
    let annotations = json!({ "org.example": "value" });
    let container = live(bundle.config(|config| config["annotations"] = annotations.clone()));
    let text = log.text().replace("program\n", "");
    let state: Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{kind}: {e}: {text}"));
    assert_eq!(state["id"], container.id(), "{kind}");
    assert_eq!(state["bundle"], json!(container.bundle().path()), "{kind}");
    assert_eq!(state["annotations"], annotations, "{kind}");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{kind}");
    state
}

fn state_is_on_stdin() {
    for kind in KINDS {
        let _ = state_for(kind);
    }
}

fn status_is_of_the_step() {
    for (kind, status) in [
        ("prestart", "created"),
        ("createRuntime", "created"),
        ("createContainer", "created"),
        ("startContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ] {
        assert_eq!(state_for(kind)["status"], status, "{kind}");
    }
}

fn pid_is_the_one_seen_from_where_the_hook_runs() {
    for kind in ["createContainer", "startContainer"] {
        assert_eq!(state_for(kind)["pid"], 1, "{kind}");
    }
    for kind in ["prestart", "createRuntime", "poststart"] {
        let (bundle, log) = logging(&[kind], "cat");
        let container = Container::created(bundle.probing(&["sleep"]));
        container.start();
        let state: Value = serde_json::from_str(&log.text()).unwrap();
        assert_eq!(state["pid"], container.pid(), "{kind}");
    }
}

const SHOW_NAMESPACES: &str =
    "for kind in ipc mnt net pid uts; do readlink /proc/self/ns/$kind; done";

fn runtime_hooks_are_in_the_runtimes_namespaces() {
    let own = ["ipc", "mnt", "net", "pid", "uts"].map(own_namespace);
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let (bundle, log) = logging(&[kind], SHOW_NAMESPACES);
        let _container = live(bundle);
        let lines: Vec<String> = log.lines().into_iter().filter(|line| line != "program").collect();
        assert_eq!(lines, own, "{kind}");
    }
}

fn create_container_hook_is_in_the_containers_namespaces() {
    // /proc is still the host's there, and of its pid namespace.
    let (bundle, log) = logging(
        &["createContainer"],
        "for kind in ipc mnt net uts; do readlink /proc/thread-self/ns/$kind || readlink /proc/$PPID/ns/$kind; done; hostname",
    );
    let bundle = bundle.config(|config| config["hostname"] = json!("from-the-config"));
    let container = Container::created(bundle.probing(&["sleep"]));
    let text = log.text();
    drop(container);
    assert!(!text.contains(&own_namespace("mnt")), "{text}");
    assert!(!text.contains(&own_namespace("net")), "{text}");
    assert!(!text.contains(&own_namespace("uts")), "{text}");
}

/// It is found by the host's paths, and runs in the container's mount namespace before the pivot.
fn create_container_hook_sees_the_containers_mounts() {
    let bundle = Bundle::new().writable().with_shell();
    let log = Log::of(&bundle);
    let rootfs = bundle.rootfs();
    let show = format!(
        "echo $(stat -f -c %T {root}/proc {root}/dev/shm {root}/sys) >>{log}",
        root = rootfs.display(),
        log = log.path("createContainer"),
    );
    let _container = Container::created(hook(bundle, "createContainer", script(&show)));
    assert_eq!(log.text(), "proc tmpfs sysfs\n");
}

fn start_container_hook_is_in_the_container() {
    let (bundle, log) = logging(&["startContainer"], "echo $$; ls -d /bin/probe");
    let _container = live(bundle);
    let lines = log.lines();
    assert_eq!(lines[1], "/bin/probe", "its root is the container's");
    // A child of init in the new pid namespace.
    assert!(lines[0].parse::<i32>().unwrap() < 10, "{lines:?}");
}

fn environment_is_the_hooks_own() {
    for kind in KINDS {
        let (bundle, log) = logging(&[], "");
        let show = format!("cat /proc/$$/environ >>{}", log.path(kind));
        // One in the container's pid namespace, with the host's /proc, does not find itself there.
        if kind == "createContainer" {
            continue;
        }
        let mut with = script(&show);
        with["env"] = json!(["A=1", "PATH=/bin:/usr/bin"]);
        let _container = live(hook(bundle, kind, with));
        let text = log.text().replace("program\n", "");
        // busybox's shell adds what it keeps itself before it becomes the command.
        let of_the_shell = |entry: &&str| entry.starts_with("SHLVL=") || entry.starts_with("PWD=");
        let entries: Vec<&str> = text.split('\0').filter(|entry| !of_the_shell(entry)).collect();
        assert_eq!(entries, ["A=1", "PATH=/bin:/usr/bin", ""], "{kind}");
    }
    let (bundle, log) = logging(&[], "");
    let mut show = script(&format!("/bin/cat /proc/$$/environ >>{}", log.path("createRuntime")));
    show.as_object_mut().unwrap().remove("env");
    let _container = live(hook(bundle, "createRuntime", show));
    assert_eq!(log.text(), "program\n", "an absent environment is an empty one");
}

fn start_container_hook_without_environment_has_the_processs() {
    let (bundle, log) = logging(&[], "");
    let mut show = script("/bin/cat /proc/$$/environ >>/tmp/log; echo >>/tmp/log");
    show.as_object_mut().unwrap().remove("env");
    let bundle = hook(bundle, "startContainer", show)
        .config(|config| config["process"]["env"] = json!(["OF_THE_PROCESS=1", "PATH=/bin"]));
    let _container = live(bundle);
    assert!(log.text().contains("OF_THE_PROCESS=1\0"), "{}", log.text());
}

fn arguments_are_passed_with_their_zeroth() {
    let (bundle, log) = logging(&[], "");
    let show = format!("cat /proc/$$/cmdline >>{}", log.path("createRuntime"));
    let hook_with = json!({
        "path": "/bin/sh",
        "args": ["a name of its own", "-c", show, "second", ""],
        "env": ["PATH=/bin:/usr/bin"],
    });
    let _container = Container::created(hook(bundle, "createRuntime", hook_with));
    assert_eq!(log.text(), format!("a name of its own\0-c\0{show}\0second\0\0"));
}

fn working_directory_is_the_bundle() {
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let (bundle, log) = logging(&[kind], "pwd");
        let container = live(bundle);
        let text = log.text().replace("program\n", "");
        assert_eq!(text.trim(), container.bundle().path().to_str().unwrap(), "{kind}");
    }
}

/// One of the container's namespaces starts in its root, which may still be below another: by a path
/// from there it finds what the image has, and what is mounted on that.
fn working_directory_in_the_container_is_its_root() {
    let peer = Container::running(Bundle::new());
    let pids = format!("/proc/{}/ns/pid", peer.pid());
    for path in [None, Some(pids.as_str())] {
        let shows = "pwd; echo bin/p*; head -n 1 proc/self/status";
        let (bundle, log) = logging(&["createContainer"], shows);
        let bundle = bundle.namespace("pid", path);
        let container = live(bundle);
        let root = container.bundle().rootfs();
        let wanted = [root.to_str().unwrap(), "bin/probe", "Name:\thead"];
        let lines: Vec<String> = log.lines().into_iter().filter(|line| line != "program").collect();
        assert_eq!(lines, wanted);
    }
    let (bundle, log) = logging(&["startContainer"], "pwd");
    let _container = live(bundle);
    assert_eq!(log.lines().first().map(String::as_str), Some("/"));
}

/// More state than a pipe holds, for one that ends without reading any.
fn hook_that_reads_nothing_is_fine() {
    let bundle = Bundle::new().with_shell().config(|config| {
        config["annotations"] = json!({ "long": "x".repeat(1 << 20) });
    });
    let bundle = KINDS
        .iter()
        .fold(bundle, |bundle, kind| hook(bundle, kind, json!({ "path": "/bin/true" })));
    let _container = live(bundle.writable());
}

fn hook_that_takes_too_long_is_killed() {
    for kind in ["createRuntime", "createContainer"] {
        let bundle = Bundle::new();
        let pid_file = bundle.folder().join("hook.pid");
        let mut slow = script(&format!("echo $$ >{}; exec sleep 1000", pid_file.display()));
        slow["timeout"] = json!(1);
        let container = Container::new(hook(bundle, kind, slow));
        let since = Instant::now();
        let text = format!("error running {kind} hook #0:");
        let _ = container.call("create", &[]).failed_with(&text);
        let took = since.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
        container.assert_no_trace();
        let pid: i32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        // In the container's pid namespace it is another number, and ends with that.
        assert!(kind == "createContainer" || !is_alive(pid), "the hook still runs");
    }
}

fn hook_within_its_time_is_fine() {
    let mut quick = script("sleep 0.1");
    quick["timeout"] = json!(20);
    let _container = Container::created(hook(Bundle::new(), "createRuntime", quick));
}

/// Adds a hook of `kind` that succeeds, one that fails, and one that must not run any more.
fn with_failure(bundle: Bundle, kind: &str, log: &Log) -> Bundle {
    let never = script(&format!("echo never >>{}", log.path(kind)));
    let bundle = hook(bundle, kind, json!({ "path": "/bin/true" }));
    let bundle = hook(bundle, kind, json!({ "path": "/bin/false" }));
    hook(bundle, kind, never)
}

fn failing_hook_of_create_fails_it() {
    for kind in &KINDS[..3] {
        let bundle = Bundle::new();
        let log = Log::of(&bundle);
        let container = Container::new(with_failure(bundle, kind, &log));
        let text = format!("error running {kind} hook #1:");
        let _ = container.call("create", &[]).failed_with(&text);
        container.assert_no_trace();
        assert_eq!(log.text(), "");
    }
}

/// The specification's steps 12 and 13: what was made is destroyed, and the poststop hooks run.
fn failing_hook_of_create_ends_in_poststop() {
    for kind in &KINDS[..3] {
        let (bundle, log) = logging(&["poststop"], "echo poststop");
        let container = Container::new(hook(bundle, kind, json!({ "path": "/bin/false" })));
        let _ = container.call("create", &[]).failed_with(kind);
        container.assert_no_trace();
        assert_eq!(log.lines(), ["poststop"], "{kind}");
    }
}

fn failing_hook_of_run_fails_it() {
    for kind in &KINDS[..5] {
        let bundle = Bundle::new().with_shell();
        let log = Log::of(&bundle);
        let container = Container::new(with_failure(bundle, kind, &log));
        let text = format!("error running {kind} hook #1:");
        let _ = container.call("run", &[]).failed_with(&text);
        container.assert_no_trace();
        assert_eq!(log.text(), "");
    }
}

fn failing_start_container_hook_keeps_the_program_from_running() {
    let bundle = Bundle::new().writable().with_shell();
    let log = Log::of(&bundle);
    let bundle =
        with_failure(bundle, "startContainer", &log).probing(&["create", "/tmp/log", "ran"]);
    let container = Container::created(bundle);
    let _ = container.call("start", &[]).failed_with("error running startContainer hook #1:");
    container.wait_stopped();
    assert_eq!(log.text(), "");
    container.delete();
}

fn failing_poststart_hook_stops_the_container() {
    let bundle = Bundle::new();
    let log = Log::of(&bundle);
    let container = Container::created(with_failure(bundle, "poststart", &log).probing(&["sleep"]));
    let pid = container.pid();
    let output: Output = container.call("start", &[]);
    let output = output.failed_with("error running poststart hook #1:");
    assert_eq!(output.code, 1);
    wait_for("the program to be stopped", || !is_alive(pid));
    assert_eq!(log.text(), "");
    // Whether it is still to be deleted, or went with the failure, is all the same.
    let _ = container.call("delete", &["--force"]).succeeded();
    container.assert_no_trace();
}

fn failing_poststop_hook_is_a_warning() {
    let (bundle, log) = logging(&[], "");
    let bundle = hook(bundle, "poststop", json!({ "path": "/bin/false" }));
    let bundle = hook(bundle, "poststop", json!({ "path": "/not/there" }));
    let bundle = hook(bundle, "poststop", script(&format!("echo ran >>{}", log.path("poststop"))));
    let container = Container::created(bundle);
    container.stop();
    let output = container.call("delete", &[]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert!(
        output.stderr.contains("poststop") && output.stderr.contains("level=warning"),
        "{output:#?}"
    );
    container.assert_no_trace();
    assert_eq!(log.lines(), ["ran"]);
}

fn error_of_a_hook_has_its_stderr() {
    let bundle =
        hook(Bundle::new(), "createRuntime", script("echo these are my reasons >&2; exit 3"));
    bundle.refused("these are my reasons");
    let bundle = hook(Bundle::new(), "createRuntime", script("exit 3"));
    bundle.refused("exit status 3");
}

fn hook_killed_by_a_signal_is_a_failure() {
    let bundle = hook(Bundle::new(), "createRuntime", script("kill -9 $$"));
    bundle.refused("killed");
}

fn hook_that_does_not_exist_fails_create() {
    let bundle = hook(Bundle::new(), "createRuntime", json!({ "path": "/not/there" }));
    bundle.refused("/not/there: no such file or directory");
}

fn hook_with_a_relative_path_is_refused() {
    for kind in KINDS {
        hook(Bundle::new(), kind, json!({ "path": "bin/true" })).refused("bin/true");
    }
}

fn hook_with_no_time_is_refused() {
    for timeout in [0, -1] {
        let hook_with = json!({ "path": "/bin/true", "timeout": timeout });
        hook(Bundle::new(), "createRuntime", hook_with).refused("timeout");
    }
}

fn hooks_leave_no_descriptors_to_the_container() {
    let hook_that_does_nothing = json!({ "path": "/bin/true" });
    let kinds = ["prestart", "createRuntime", "createContainer"];
    let bundle = kinds
        .iter()
        .fold(Bundle::new(), |bundle, kind| hook(bundle, kind, hook_that_does_nothing.clone()));
    let container = Container::created(bundle.probing(&["open-descriptors"]));
    container.start();
    container.wait_stopped();
    let report = container.report();
    let open: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(open, ["0", "1", "2"]);
}

/// Neither what the runtime has open, nor what its caller has.
fn hooks_get_no_descriptors_but_the_standard_ones() {
    for kind in KINDS {
        // One in the container's pid namespace, with the host's /proc, does not find itself there.
        if kind == "createContainer" {
            continue;
        }
        let (bundle, log) = logging(&[kind], "/bin/ls /proc/self/fd");
        let container = Container::new(bundle.probing(&["exit", "0"]));
        let call = |name: &str| {
            let usual = container.command_for(name, &[]);
            let mut command = Command::new("/bin/sh");
            command.args(["-c", r#"exec 3</ 5</etc 7</dev/null; exec "$@""#, "sh"]);
            command.arg(usual.get_program()).args(usual.get_args());
            let _ = run(command).succeeded();
        };
        call("create");
        call("start");
        container.wait_stopped();
        call("delete");
        // The last is the folder that ls reads, at the first number that is free.
        assert_eq!(log.lines(), ["0", "1", "2", "3"], "{kind}");
    }
}

fn poststop_runs_after_everything_is_gone() {
    let bundle = Bundle::new();
    let (id, folder) = (bundle.id().to_owned(), bundle.folder());
    let found = folder.join("found");
    let look = script(&format!(
        "find /sys/fs/cgroup -name '*{id}*' >{found}; ls {folder}/root >>{found}",
        folder = folder.display(),
        found = found.display(),
    ));
    let container = Container::created(hook(bundle, "poststop", look));
    container.stop();
    container.delete();
    let found = fs::read_to_string(found).unwrap();
    assert!(!found.contains("/sys/fs/cgroup"), "{found}");
}

/// Of a container that `run` made too, which is locked until then.
fn state_asked_for_by_a_poststart_hook_is_running() {
    let ask = |bundle: Bundle| {
        let answer = bundle.folder().join("state");
        let asked = format!(
            "{} --root {} state {} >{}",
            binary::rind().display(),
            bundle.state_root().display(),
            bundle.id(),
            answer.display(),
        );
        (hook(bundle, "poststart", script(&asked)).probing(&["sleep"]), answer)
    };
    let status = |answer: &Path| -> Value {
        let text = fs::read_to_string(answer).unwrap();
        serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{e}: {text}"))["status"]
            .take()
    };
    let (bundle, answer) = ask(Bundle::new());
    let container = Container::created(bundle);
    container.start();
    assert_eq!(status(&answer), "running");
    let (bundle, answer) = ask(Bundle::new());
    let mut container = Container::new(bundle);
    container.run_detached(&[]);
    assert_eq!(status(&answer), "running");
}

/// The kinds that run on the host; poststart comes only with a program that runs.
const ON_HOST: [&str; 4] = ["prestart", "createRuntime", "poststart", "poststop"];

fn hooks_have_the_umask_of_the_caller() {
    let (bundle, log) = logging(&KINDS, "echo KIND $(umask)");
    // A startContainer hook is the container's, as its process is.
    let bundle = bundle.config(|config| config["process"]["user"]["umask"] = json!(0o31));
    let container = Container::new(bundle.probing(&["exit", "0"]));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"umask 0137; exec "$@""#, "sh"]);
    let usual = container.command_for("run", &[]);
    let _ = run(within(command, &usual)).succeeded();
    for (line, kind) in log.lines().iter().zip(KINDS) {
        let umask = if kind == "startContainer" { "0031" } else { "0137" };
        assert_eq!(*line, format!("{kind} {umask}"));
    }
    assert_eq!(log.lines().len(), KINDS.len());
}

/// `command` with the command line of `inner` as its last arguments.
fn within(mut command: Command, inner: &Command) -> Command {
    command.arg(inner.get_program()).args(inner.get_args());
    command
}

/// How much of the host's memory is taken by files in memory, in kB.
fn shared_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("Shmem:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn output_of_a_hook_takes_no_memory() {
    const WRITTEN: u64 = 300_000;
    for kind in ["createRuntime", "createContainer", "startContainer", "poststop"] {
        // Others may take memory meanwhile, but not each time.
        let grown = (0..3).map(|_| grown_by_a_hook(kind, WRITTEN)).find(|kb| *kb < WRITTEN / 3);
        assert!(grown.is_some(), "{kind}: memory has grown by what the hook wrote");
    }
}

/// By how many kB memory has grown while a hook is there that has written as much as `written`.
fn grown_by_a_hook(kind: &str, written: u64) -> u64 {
    let fill = format!(
        "busybox head -c {written}000 /dev/zero; echo >LOG; until test -e LOG.go; do sleep 0.01; done"
    );
    let bundle = Bundle::new().writable().with_shell();
    let log = Log::of(&bundle);
    let fill = script(&fill.replace("LOG", log.path(kind)));
    let container = Container::new(hook(bundle, kind, fill).probing(&["exit", "0"]));
    let before = shared_memory();
    let running = spawn(container.command_for("run", &[]));
    wait_for("the hook to have written", || log.host.exists());
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let grown = shared_memory().saturating_sub(before);
    fs::write(log.host.with_file_name("log.go"), "").unwrap();
    let _ = running.wait().succeeded();
    let own = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let own: u64 = own.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(own < written / 3, "{kind}: rind has taken {own} kB");
    grown
}

fn error_of_a_hook_has_both_ends_of_a_long_output() {
    for kind in ["createRuntime", "createContainer"] {
        let long = "echo the beginning; busybox yes | head -c 1000000; echo the end >&2; exit 3";
        let container = Container::new(hook(Bundle::new(), kind, script(long)));
        let output = container.call("create", &[]).failed_with("exit status 3, output: the beg");
        assert!(output.stderr.contains("the end"), "{kind}: {output:#?}");
        assert!(output.stderr.contains("bytes left out"), "{kind}: {output:#?}");
        assert!(output.stderr.len() < 4096, "{kind}: {} bytes", output.stderr.len());
    }
}

fn output_of_a_hook_does_not_steer_the_terminal() {
    let say = r"printf 'a\033[2J\302\2331m\177b'; exit 1";
    for kind in ["createRuntime", "startContainer"] {
        for format in ["text", "json"] {
            for has_log in [false, true] {
                let bundle = hook(Bundle::new().with_shell(), kind, script(say));
                let log = bundle.folder().join("messages");
                let mut flags = vec!["--log-format", format];
                if has_log {
                    flags.extend(["--log", log.to_str().unwrap()]);
                }
                let container = Container::new(bundle).with_flags(&flags);
                let output = container.call("run", &[]).failed_with("exit status 1");
                let text = output.stderr + &fs::read_to_string(&log).unwrap_or_default();
                let steers = |c: char| c.is_control() && c != '\n';
                assert!(!text.contains(steers), "{kind} {format}: {text:?}");
            }
        }
    }
}

/// Processes by their pids, a line each in a file; they end with this, which is to be while the file
/// is still there.
struct Strays(PathBuf);

impl Strays {
    fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    fn alive(&self) -> usize {
        self.pids().into_iter().filter(|pid| is_alive(*pid)).count()
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        for pid in self.pids().into_iter().filter(|pid| is_alive(*pid)) {
            let _ = sys::process::kill(pid, 9);
        }
    }
}

/// A child, a daemon in a session of its own whose parent has ended, and one of that; each writes
/// its pid to `PIDS`.
const FAMILY: &str = "
    sleep 1000 & echo $! >>PIDS
    setsid sh -c 'echo $$ >>PIDS; sleep 1000 & echo $! >>PIDS; wait' &
    (setsid sh -c 'echo $$ >>PIDS; exec sleep 1000' &)
    until test $(busybox wc -l <PIDS) = 4; do sleep 0.01; done
";

fn hook_out_of_time_takes_along_what_it_has_started() {
    for kind in ON_HOST {
        let bundle = Bundle::new();
        let pids = bundle.folder().join("pids");
        let family = FAMILY.replace("PIDS", pids.to_str().unwrap());
        let mut slow = script(&format!("{family} exec sleep 1000"));
        slow["timeout"] = json!(2);
        let container = Container::new(hook(bundle, kind, slow).probing(&["exit", "0"]));
        let strays = Strays(pids);
        let since = Instant::now();
        let output = container.call("run", &[]);
        let text = format!("error running {kind} hook #0: hook ran past specified timeout of 2s");
        assert!(output.stderr.contains(&text), "{output:#?}");
        assert!(since.elapsed() < Duration::from_secs(15), "{kind}: {:?}", since.elapsed());
        assert_eq!(strays.pids().len(), 4, "{kind}");
        assert_eq!(strays.alive(), 0, "{kind}: of {:?}", strays.pids());
    }
}

/// Its session, where there is no pid namespace that ends with it.
fn start_container_hook_out_of_time_takes_along_what_it_has_started() {
    let bundle = Bundle::new().writable().with_shell().without_namespace("pid");
    let pids = bundle.rootfs().join("tmp/pids");
    let mut slow = script(
        "sleep 1000 & echo $! >>/tmp/pids; (sleep 1000 & echo $! >>/tmp/pids); exec sleep 1000",
    );
    slow["timeout"] = json!(1);
    let container = Container::created(hook(bundle, "startContainer", slow));
    let strays = Strays(pids);
    let text = "error running startContainer hook #0: hook ran past specified timeout of 1s";
    let _ = container.call("start", &[]).failed_with(text);
    assert_eq!(strays.pids().len(), 2);
    wait_for("the hook's children to end", || strays.alive() == 0);
}

/// Its output keeps us busy, but does not make us forget the time.
fn hook_out_of_time_while_it_writes_is_killed() {
    for kind in ["createRuntime", "createContainer"] {
        // Where all of it is kept in a file, it has an end.
        let mut slow = script("ulimit -f 200000; busybox yes; exec sleep 1000");
        slow["timeout"] = json!(1);
        let since = Instant::now();
        hook(Bundle::new(), kind, slow).refused("hook ran past specified timeout of 1s");
        assert!(since.elapsed() < Duration::from_secs(15), "{kind}: {:?}", since.elapsed());
    }
}

fn what_is_left_by_a_hook_is_neither_killed_nor_waited_for() {
    for kind in ON_HOST {
        for timeout in [None, Some(20)] {
            let bundle = Bundle::new();
            let pids = bundle.folder().join("pids");
            // They keep its output open.
            let mut leaving = script(&FAMILY.replace("PIDS", pids.to_str().unwrap()));
            if let Some(timeout) = timeout {
                leaving["timeout"] = json!(timeout);
            }
            let container = Container::new(hook(bundle, kind, leaving).probing(&["exit", "0"]));
            let strays = Strays(pids);
            let since = Instant::now();
            let _ = container.call("run", &[]).succeeded();
            assert!(since.elapsed() < Duration::from_secs(15), "{kind}: {:?}", since.elapsed());
            assert_eq!(strays.pids().len(), 4, "{kind}");
            assert_eq!(strays.alive(), 4, "{kind}: of {:?}", strays.pids());
        }
    }
}

/// It's told so, and lives on if it can.
fn what_is_left_by_a_hook_can_write_no_more() {
    let bundle = Bundle::new();
    let pids = bundle.folder().join("pids");
    let told = bundle.folder().join("told");
    let write = format!(
        "echo $$ >>{}; while echo x; do sleep 0.01; done; echo told >{}; exec sleep 1000",
        pids.display(),
        told.display(),
    );
    let leave = script(&format!("trap '' PIPE; sh -c '{write}' 2>/dev/null &"));
    let _container = Container::created(hook(bundle, "createRuntime", leave));
    let strays = Strays(pids);
    wait_for("a write to fail", || told.exists());
    assert_eq!(strays.alive(), 1);
}

/// Ignored by the caller, and blocked: by the caller, and by a `run` in the foreground.
fn hooks_start_with_default_signals() {
    let (bundle, log) = logging(&KINDS, "cat /proc/self/status");
    let container = Container::new(bundle.probing(&["exit", "0"]));
    let ignoring = ignoring("HUP,INT,TERM,PIPE,USR1,CHLD,RTMAX");
    let _ = run(within(ignoring, &container.command_for("run", &[]))).succeeded();
    let text = log.text();
    for field in ["SigBlk:", "SigIgn:"] {
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(field)).collect();
        assert_eq!(lines, vec![format!("{field}\t{:016x}", 0); KINDS.len()]);
    }
}

/// What starts a program with signals ignored; the test is skipped where there is no such.
fn ignoring(signals: &str) -> Command {
    let mut command = Command::new(needs_program("env"));
    command.arg(format!("--ignore-signal={signals}"));
    let mut tried = Command::new(command.get_program());
    tried.args(command.get_args()).arg("true");
    if run(tried).code != 0 {
        skip("env(1) can't have signals ignored here");
    }
    command
}

fn hooks_work_where_the_caller_ignores_sigchld() {
    let call = |container: &Container, name: &str| {
        run(within(ignoring("CHLD"), &container.command_for(name, &[])))
    };
    let (bundle, log) = logging(&KINDS, "echo KIND");
    let container = Container::new(bundle.probing(&["exit", "0"]));
    for name in ["create", "start"] {
        let _ = call(&container, name).succeeded();
    }
    container.wait_stopped();
    let _ = call(&container, "delete").succeeded();
    assert_eq!(log.lines(), KINDS);
    for kind in KINDS {
        let mut failing = script("echo why; exit 3");
        failing["timeout"] = json!(20);
        let bundle = hook(Bundle::new().with_shell(), kind, failing).probing(&["exit", "7"]);
        let container = Container::new(bundle);
        let output = call(&container, "run");
        let text = format!("error running {kind} hook #0: exit status 3, output: why");
        assert!(output.stderr.contains(&text), "{output:#?}");
        assert_eq!(output.code, if kind == "poststop" { 7 } else { 1 }, "{output:#?}");
    }
    // Through a hop.
    let other = Container::running(Bundle::new());
    let network = format!("/proc/{}/ns/net", other.pid());
    let (bundle, log) = logging(&KINDS[..3], "echo KIND");
    let bundle = bundle.namespace("network", Some(&network));
    let container = Container::new(bundle.probing(&["exit", "0"]));
    let _ = call(&container, "create").succeeded();
    assert_eq!(log.lines(), KINDS[..3]);
}

fn hooks_can_not_change_their_state() {
    for kind in KINDS {
        let change = "if (echo changed >&0) 2>/dev/null; then exit 9; fi; cat >/dev/null";
        let bundle = hook(Bundle::new().with_shell(), kind, script(change));
        let output = Container::new(bundle.probing(&["exit", "0"])).call("run", &[]);
        assert!(!output.stderr.contains("exit status 9"), "{kind}: {output:#?}");
    }
}

/// So that a terminal's signals and stops are not theirs.
fn hooks_lead_a_session() {
    for kind in KINDS {
        // One in the container's pid namespace, with the host's /proc, does not find itself there.
        if kind == "createContainer" {
            continue;
        }
        let (bundle, log) = logging(&[kind], "cat /proc/$$/stat");
        let container = Container::new(bundle.probing(&["exit", "0"]));
        let _ = container.call("run", &[]).succeeded();
        let text = log.text();
        let fields: Vec<&str> = text.split_whitespace().collect();
        assert_eq!((fields[0], fields[0]), (fields[4], fields[5]), "{kind}: group and session");
    }
}

/// Opening a fifo would wait for ever, and a device may have no end.
fn config_that_is_no_file_is_refused() {
    let replace = |by: &dyn Fn(&Path)| {
        let container = Container::new(Bundle::new());
        let config = container.bundle().path().join("config.json");
        fs::remove_file(&config).unwrap();
        by(&config);
        for name in ["create", "run"] {
            let output = container.call(name, &[]).failed_with("config.json");
            assert!(output.stderr.contains("regular file"), "{output:#?}");
        }
    };
    replace(&|config| {
        let mode = sys::nix::sys::stat::Mode::from_bits_truncate(0o600);
        sys::nix::unistd::mkfifo(config, mode).unwrap();
    });
    replace(&|config| std::os::unix::fs::symlink("/dev/zero", config).unwrap());
}

fn documents_without_end_are_refused() {
    let container = Container::running(Bundle::new());
    let zero = "/dev/zero";
    let limited = |command: Command| {
        // What is not bounded comes to its end here.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#"ulimit -v 600000; exec "$@""#, "sh"]);
        run(within(shell, &command))
    };
    let refused = |command: Command| {
        let _ = limited(command).failed_with("longer than 64 MiB");
    };
    refused(container.command_for("exec", &["--process", zero]));
    refused(container.command_for("update", &["--resources", zero]));
    refused(container.command(&["mounts", "add", container.id(), zero]));
    let new = Container::new(Bundle::new());
    refused(new.command_for("create", &["--config", zero]));
}
