//! Hooks: when each kind runs, in which namespaces, with what, and what its failure does.

use integration_tests::command::run;
use integration_tests::host::{is_alive, own_namespace, wait_for};
use integration_tests::test::Test;
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
