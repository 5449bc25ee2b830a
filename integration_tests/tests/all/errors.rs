//! What is wrong is told in one line that names the place, and leaves nothing on the machine.

use integration_tests::command::run;
use integration_tests::host::needs_program;
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Bundle, Container, Output, Value, bundle::push, json, tests};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

pub const TESTS: &[Test] = tests![
    bundle_that_is_missing,
    config_that_is_missing,
    config_that_is_a_folder,
    config_that_is_not_json,
    config_with_a_key_twice,
    config_of_a_wrong_type,
    config_without_what_is_required,
    config_of_an_unknown_version,
    rootfs_that_is_missing,
    rootfs_that_is_a_file,
    process_that_makes_no_sense,
    namespaces_that_make_no_sense,
    mounts_that_make_no_sense,
    hook_that_makes_no_sense,
    other_properties_that_make_no_sense,
    terminal_without_a_socket,
    console_socket_that_is_missing,
    pid_file_that_cannot_be_written,
    invalid_ids,
    longest_id_is_fine,
    unknown_id_of_every_command,
    program_that_is_not_in_path,
    program_by_a_path_that_is_missing,
    program_that_is_not_executable,
    program_that_is_a_folder,
    program_that_is_no_program,
    interpreter_that_is_missing,
    link_that_leads_nowhere_as_program,
    working_directory_that_is_a_file,
    what_init_has_to_say_is_never_lost,
    error_is_one_line_of_text,
    error_is_one_line_of_json,
    error_has_its_parts_in_json,
    error_of_a_run_has_its_parts_in_json,
    errors_of_other_commands_have_their_parts_in_json,
    error_is_told_once_in_a_log_and_once_on_stderr,
    log_is_appended_to,
    log_that_cannot_be_opened,
    debug_tells_more_in_lines_of_the_same_form,
    unknown_commands,
    unknown_flags,
    missing_values,
    wrong_values,
    wrong_numbers_of_arguments,
    arguments_that_are_not_utf8,
];

/// Asserts that `output` is a failure with `code`, told in one line that has all of `texts`.
#[track_caller]
fn fails(output: &Output, code: i32, texts: &[&str]) {
    assert_eq!(output.code, code, "should have failed for {texts:?}: {output:#?}");
    assert_eq!(output.stdout, "", "{output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "told once: {output:#?}");
    assert!(output.stderr.contains("level=error msg="), "{output:#?}");
    for text in texts {
        assert!(output.stderr.contains(text), "should have had {text:?}: {output:#?}");
    }
}

/// Asserts that neither `create` nor `run` can make it, that both say all of `texts`, and that they
/// leave nothing.
#[track_caller]
fn refused(bundle: Bundle, texts: &[&str]) {
    let container = Container::new(bundle);
    for name in ["create", "run"] {
        fails(&container.call(name, &[]), 1, texts);
        container.assert_no_trace();
    }
}

/// A bundle with this text as its config.json.
fn with_text(text: &str) -> Bundle {
    let bundle = Bundle::new();
    fs::write(bundle.path().join("config.json"), text).unwrap();
    bundle
}

/// A bundle with `value` at the JSON pointer `at`.
fn with(at: &str, value: Value) -> Bundle {
    Bundle::new().config(|config| {
        let (parent, name) = at.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value;
    })
}

/// The command line with nothing but these words.
fn words(words: &[&str]) -> Output {
    let mut command = Command::new(integration_tests::binary::rind());
    command.args(words);
    run(command)
}

fn bundle_that_is_missing() {
    let container = Container::new(Bundle::new());
    let output =
        run(container.command(&["create", "--bundle", "/not/there/at-all", container.id()]));
    fails(&output, 1, &["/not/there/at-all", "no such file or directory"]);
    container.assert_no_trace();
}

fn config_that_is_missing() {
    let bundle = Bundle::new();
    let config = bundle.path().join("config.json");
    fs::remove_file(&config).unwrap();
    refused(bundle, &[config.to_str().unwrap(), "no such file or directory"]);
}

fn config_that_is_a_folder() {
    let bundle = Bundle::new();
    let config = bundle.path().join("config.json");
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    refused(bundle, &["config.json", "is a directory"]);
}

fn config_that_is_not_json() {
    for (text, place) in [
        ("", "config.json:1:1"),
        ("{\n  \"ociVersion\": \"1.0.2\"\n  \"root\": {}\n}\n", "config.json:3:3"),
        ("{\n  \"ociVersion\": \"1.0.2\",\n}\n", "config.json:3:1"),
        ("[]", "config.json:1:"),
        ("{} {}", "config.json:1:4"),
        ("{\"ociVersion\": \"1.0", "config.json:1:"),
        ("{\"hostname\": \"\\ud800\"}", "config.json:1:"),
    ] {
        refused(with_text(text), &[place]);
    }
    // Deeper than any stack should have to be.
    refused(with_text(&"[".repeat(100_000)), &["config.json:1:"]);
    let bundle = Bundle::new();
    fs::write(bundle.path().join("config.json"), b"{\n \"hostname\": \"\xff\"}").unwrap();
    refused(bundle, &["config.json:2:", "invalid unicode code point"]);
}

/// Who checked the config may have read the one, and the runtime the other.
fn config_with_a_key_twice() {
    for (more, text) in [
        ("\"hostname\": \"x\"", "duplicate field `hostname`"),
        ("\"HostName\": \"x\"", "hostname: duplicate field"),
        ("\"linux\": {}", "duplicate field `linux`"),
    ] {
        let bundle = Bundle::new();
        let path = bundle.path().join("config.json");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{{{more},{}", config.strip_prefix('{').unwrap())).unwrap();
        refused(bundle, &["config.json:1:", text]);
    }
}

fn config_of_a_wrong_type() {
    for (at, value, path) in [
        ("/process/user/uid", json!("root"), "process.user.uid"),
        ("/process/user/uid", json!(-1), "process.user.uid"),
        ("/process/user/uid", json!(1_u64 << 32), "process.user.uid"),
        ("/process/args", json!("/bin/true"), "process.args"),
        ("/process/env", json!([1]), "process.env[0]"),
        ("/process/terminal", json!("no"), "process.terminal"),
        ("/root/readonly", json!(1), "root.readonly"),
        ("/mounts", json!({}), "mounts"),
        ("/mounts", json!([{ "destination": 1 }]), "mounts[0].destination"),
        ("/linux/namespaces", json!([{ "type": 1 }]), "linux.namespaces[0].type"),
        ("/linux/resources/pids", json!({ "limit": "9" }), "linux.resources.pids.limit"),
        ("/hostname", json!(["a"]), "hostname"),
        ("/annotations", json!({ "a": 1 }), "annotations"),
    ] {
        let bundle = if at == "/annotations" {
            Bundle::new().config(|config| config["annotations"] = value.clone())
        } else if at == "/mounts" || at == "/hostname" {
            Bundle::new().config(|config| config[&at[1..]] = value.clone())
        } else {
            with(at, value.clone())
        };
        refused(bundle, &["config.json:1:", path]);
    }
}

fn config_without_what_is_required() {
    for (parent, name) in [
        ("", "ociVersion"),
        ("", "root"),
        ("/root", "path"),
        ("/process", "args"),
        ("/process", "cwd"),
        ("/mounts/0", "destination"),
        ("/linux/namespaces/0", "type"),
        ("/process/rlimits/0", "type"),
    ] {
        let bundle = Bundle::new().config(|config| {
            config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        });
        refused(bundle, &[name]);
    }
}

fn config_of_an_unknown_version() {
    for version in ["", "2.0.0", "0.1.0", "one", "1.0"] {
        let bundle = Bundle::new().config(|config| config["ociVersion"] = json!(version));
        refused(bundle, &["ociVersion"]);
    }
}

fn rootfs_that_is_missing() {
    refused(with("/root/path", json!("not-there")), &["not-there", "no such file or directory"]);
    refused(with("/root/path", json!("")), &["root.path"]);
}

fn rootfs_that_is_a_file() {
    let bundle = with("/root/path", json!("file"));
    fs::write(bundle.path().join("file"), "").unwrap();
    refused(bundle, &["file", "not a directory"]);
}

fn process_that_makes_no_sense() {
    for (at, value, text) in [
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!(["a\0b"]), "process.args"),
        ("/process/env", json!(["A=\0"]), "process.env"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/rlimits", json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]), "RLIMIT_X"),
        (
            "/process/rlimits",
            json!([{ "type": "RLIMIT_NOFILE", "soft": 2, "hard": 1 }]),
            "process.rlimits[0]",
        ),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        ("/process/ioPriority", json!({ "class": "X", "priority": 1 }), "process.ioPriority"),
        ("/process/scheduler", json!({ "policy": "SCHED_X" }), "process.scheduler"),
    ] {
        refused(with(at, value), &[text]);
    }
}

fn namespaces_that_make_no_sense() {
    let own = format!("/proc/{}/ns/uts", std::process::id());
    for (kind, path, texts) in [
        ("network", "/not/there", ["/not/there", "no such file or directory"]),
        ("network", "/proc/self/status", ["/proc/self/status", "linux.namespaces[4]"]),
        ("network", &own, [&own, "linux.namespaces[4]"]),
        ("network", "relative", ["relative", "linux.namespaces[4]"]),
        ("unheard-of", "", ["unheard-of", "linux.namespaces[5].type"]),
    ] {
        let path = Some(path).filter(|path| !path.is_empty());
        refused(Bundle::new().namespace(kind, path), &texts);
    }
    let twice = Bundle::new()
        .config(|config| push(&mut config["linux"]["namespaces"], json!({ "type": "pid" })));
    refused(twice, &["linux.namespaces[5]", "pid"]);
    refused(Bundle::new().without_namespace("uts"), &["hostname", "UTS"]);
}

fn mounts_that_make_no_sense() {
    for (mount, texts) in [
        (json!({ "type": "tmpfs", "options": ["size=many"] }), &["size", "mounts[7]"]),
        (json!({ "type": "tmpfs", "options": ["nonsense=1"] }), &["nonsense", "mounts[7]"]),
        (json!({ "type": "tmpfs", "options": ["nonsense"] }), &["nonsense", "mounts[7]"]),
        (json!({ "type": "nonsense" }), &["nonsense", "mounts[7]"]),
        (json!({ "source": "/not/there", "options": ["bind"] }), &["/not/there", "mounts[7]"]),
        (json!({ "source": "/etc" }), &["needs the option bind", "mounts[7]"]),
        (json!({ "type": "bind", "source": "/etc" }), &["needs the option bind", "mounts[7]"]),
    ] {
        let mut mount = mount;
        mount["destination"] = json!("/tmp");
        refused(Bundle::new().mount(mount), &[texts[0], texts[1], "/tmp"]);
    }
    // A root that is read-only has to have the place already.
    let folder = json!({ "destination": "/bin/probe/x", "type": "tmpfs" });
    refused(Bundle::new().mount(folder), &["mounts[7]", "/bin/probe/x"]);
}

fn hook_that_makes_no_sense() {
    for (hook, text) in [
        (json!({ "path": "relative" }), "hooks.createRuntime[0].path"),
        (json!({ "path": "/bin/true", "timeout": 0 }), "hooks.createRuntime[0].timeout"),
        (json!({ "path": "/bin/true", "timeout": -1 }), "hooks.createRuntime[0].timeout"),
        (json!({ "args": [] }), "hooks.createRuntime[0]"),
        (json!({ "path": "/not/there" }), "error running createRuntime hook #0: "),
    ] {
        let bundle =
            Bundle::new().config(|config| push(&mut config["hooks"]["createRuntime"], hook));
        refused(bundle, &[text]);
    }
}

fn other_properties_that_make_no_sense() {
    for (at, value, text) in [
        ("/linux/cgroupsPath", json!("../../out"), "linux.cgroupsPath"),
        ("/linux/resources/unified", json!({ "../x": "1" }), "linux.resources.unified"),
        ("/linux/resources/memory", json!({ "limit": 1e30 }), "linux.resources.memory.limit"),
        ("/linux/sysctl", json!({ "kernel.hostname": "x" }), "kernel.hostname"),
        ("/linux/rootfsPropagation", json!("unheard-of"), "linux.rootfsPropagation"),
        ("/linux/maskedPaths", json!(["relative"]), "linux.maskedPaths[0]"),
        ("/linux/readonlyPaths", json!(["relative"]), "linux.readonlyPaths[0]"),
        ("/linux/personality", json!({ "domain": "BSD" }), "linux.personality"),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_X" }), "SCMP_ACT_X"),
        ("/linux/uidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 1 }]), "user"),
        ("/linux/devices", json!([{ "path": "/dev/x", "type": "x" }]), "linux.devices[0]"),
    ] {
        refused(with(at, value), &[text]);
    }
}

fn terminal_without_a_socket() {
    let container = Container::new(with("/process/terminal", json!(true)));
    fails(&container.call("create", &[]), 1, &["--console-socket"]);
    fails(&container.call("run", &["--detach"]), 1, &["--console-socket"]);
    container.assert_no_trace();
    let container = Container::new(Bundle::new());
    let output = container.call("create", &["--console-socket", "/not/there"]);
    fails(&output, 1, &["--console-socket"]);
    container.assert_no_trace();
}

fn console_socket_that_is_missing() {
    let container = Container::new(with("/process/terminal", json!(true)));
    let output = container.call("create", &["--console-socket", "/not/there"]);
    fails(&output, 1, &["/not/there", "no such file or directory"]);
    container.assert_no_trace();
}

fn pid_file_that_cannot_be_written() {
    for name in ["create", "run"] {
        // `run` has its program running by then, and takes it back.
        let container = Container::new(Bundle::new().with_shell().args(&["sleep", "1000"]));
        let output = container.call(name, &["--pid-file", "/not/there/pid"]);
        fails(&output, 1, &["/not/there/pid", "no such file or directory"]);
        container.assert_no_trace();
    }
}

fn invalid_ids() {
    let container = Container::new(Bundle::new());
    let bundle = container.bundle().path();
    let bundle = bundle.to_str().unwrap();
    let long = "x".repeat(256);
    for id in ["", "a/b", "..", ".", "a b", "a\nb", "a\0b", "ä", "../x", "/x", "a:b", &long] {
        if id.contains('\0') {
            continue;
        }
        for name in ["create", "run", "state", "start", "kill", "delete"] {
            let mut command = container.command(&[name]);
            if matches!(name, "create" | "run") {
                command.args(["--bundle", bundle]);
            }
            command.args(["--", id]);
            fails(&run(command), 1, &["container"]);
        }
        let forced = run(container.command(&["delete", "--force", "--", id]));
        fails(&forced, 1, &["container"]);
    }
    let left = fs::read_dir(container.root()).unwrap().count();
    assert_eq!(left, 0, "something was made for an id that cannot be");
}

fn longest_id_is_fine() {
    let container = Container::new(Bundle::new());
    let id = format!("{}-_+.{}", container.id(), "x".repeat(100));
    let bundle = container.bundle().path();
    let _ =
        run(container.command(&["create", "--bundle", bundle.to_str().unwrap(), &id])).succeeded();
    let _ = run(container.command(&["delete", &id])).succeeded();
    container.assert_no_trace();
}

fn unknown_id_of_every_command() {
    let container = Container::new(Bundle::new());
    for name in ["state", "start", "kill", "delete"] {
        fails(&container.call(name, &[]), 1, &["does not exist", container.id()]);
    }
    // Where nothing has ever been made there is nothing either.
    let nowhere = container.bundle().folder().join("nowhere");
    for name in ["state", "start", "kill", "delete"] {
        let mut command = Command::new(integration_tests::binary::rind());
        command.arg("--root").arg(&nowhere).args([name, "x"]);
        fails(&run(command), 1, &["does not exist"]);
    }
    assert!(!nowhere.exists());
}

fn program_that_is_not_in_path() {
    for env in [json!(["PATH=/bin:/usr/bin"]), json!(["PATH="]), json!([]), Value::Null] {
        let bundle = Bundle::new().args(&["not-there"]).config(|config| {
            config["process"]["env"] = env;
        });
        refused(bundle, &["exec: \\\"not-there\\\": executable file not found in $PATH"]);
    }
}

fn program_by_a_path_that_is_missing() {
    refused(
        Bundle::new().args(&["/bin/not-there"]),
        &["/bin/not-there", "no such file or directory"],
    );
    refused(Bundle::new().args(&["./not-there"]), &["./not-there", "no such file or directory"]);
    refused(Bundle::new().args(&["/bin/probe/x"]), &["/bin/probe/x", "not a directory"]);
}

fn program_that_is_not_executable() {
    refused(Bundle::new().args(&["/etc/passwd"]), &["/etc/passwd", "permission denied"]);
    // By the user that it is for, not by root.
    let bundle = Bundle::new().file("/bin/mine", "#!/bin/probe\n").args(&["/bin/mine"]);
    let mode = fs::Permissions::from_mode(0o744);
    fs::set_permissions(bundle.rootfs().join("bin/mine"), mode).unwrap();
    let bundle = bundle.config(|config| config["process"]["user"]["uid"] = json!(1000));
    refused(bundle, &["/bin/mine", "permission denied"]);
}

fn program_that_is_a_folder() {
    for path in ["/bin", "/", "bin/"] {
        refused(Bundle::new().args(&[path]), &[path, "is a directory"]);
    }
}

/// Only execve can tell, at `start`; `run` could not be done either.
fn fails_at_start(bundle: Bundle, text: &str) {
    let container = Container::created(bundle);
    let output = container.call("start", &[]);
    fails(&output, 1, &[text]);
    container.wait_stopped();
    container.delete();
    fails(&container.call("run", &[]), 1, &[text]);
    container.assert_no_trace();
}

fn program_that_is_no_program() {
    let bundle = Bundle::new().file("/bin/text", "not a program").args(&["/bin/text"]);
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bundle.rootfs().join("bin/text"), mode).unwrap();
    fails_at_start(bundle, "exec /bin/text: exec format error");
}

fn interpreter_that_is_missing() {
    let bundle = Bundle::new().file("/bin/text", "#!/not/there\n").args(&["/bin/text"]);
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bundle.rootfs().join("bin/text"), mode).unwrap();
    fails_at_start(bundle, "exec /bin/text: no such file or directory");
}

fn link_that_leads_nowhere_as_program() {
    let bundle = Bundle::new().args(&["/bin/link"]);
    symlink("/not/there", bundle.rootfs().join("bin/link")).unwrap();
    refused(bundle, &["/bin/link", "no such file or directory"]);
    let bundle = Bundle::new().args(&["/bin/loop"]);
    symlink("loop", bundle.rootfs().join("bin/loop")).unwrap();
    refused(bundle, &["/bin/loop", "too many"]);
}

fn working_directory_that_is_a_file() {
    refused(with("/process/cwd", json!("/etc/passwd")), &["/etc/passwd", "not a directory"]);
}

/// An init that fails at once has ended before its parent has told it to go on.
fn what_init_has_to_say_is_never_lost() {
    let cases = [
        ("/root/path", json!("not-there"), "not-there: no such file or directory"),
        ("/hostname", json!("x".repeat(65)), "hostname"),
    ];
    in_parallel(cases, |(at, value, text)| {
        let container = Container::new(Bundle::new().config(|config| {
            *config.pointer_mut(at).unwrap() = value;
        }));
        for _ in 0..60 {
            fails(&container.call("create", &[]), 1, &[text]);
        }
    });
}

/// `state` of an unknown container, with these global flags.
fn unknown(flags: &[&str]) -> Output {
    let container = Container::new(Bundle::new());
    run(container.command(&[flags, &["state", "unknown"]].concat()))
}

fn error_is_one_line_of_text() {
    let output = unknown(&[]);
    fails(
        &output,
        1,
        &["time=\"2", "Z\" level=error msg=\"container \\\"unknown\\\" does not exist ("],
    );
    assert!(output.stderr.ends_with("\"\n"), "{output:#?}");
    // Whatever is in it.
    let container = Container::new(with("/process/cwd", json!("a\nb\"c\\")));
    fails(&container.call("create", &[]), 1, &["process.cwd"]);
}

#[track_caller]
fn is_json_line(text: &str, level: &str) {
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(text).unwrap();
    assert_eq!(line["level"], level, "{line}");
    assert!(line["msg"].as_str().is_some_and(|msg| msg.contains("does not exist")), "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(time.contains('T') && time.ends_with('Z'), "{line}");
}

fn error_is_one_line_of_json() {
    is_json_line(&unknown(&["--log-format", "json"]).stderr, "error");
}

/// For those who read logs by program: the message is the whole, as ever.
fn error_has_its_parts_in_json() {
    let missing = json!({
        "destination": "/x", "type": "bind", "source": "/not/there", "options": ["bind"],
    });
    let keyrings = json!({ "names": ["add_key"], "action": "SCMP_ACT_NOTIFY" });
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [keyrings] });
    for (bundle, parts) in [
        (
            Bundle::new().mount(missing),
            json!({ "errno": "ENOENT", "step": "mounts[7]: source", "object": "mounts[7]" }),
        ),
        (
            with("/process/args", json!(["/not/there"])),
            json!({ "errno": "ENOENT", "object": "/not/there" }),
        ),
        (with("/process/cwd", json!("relative")), json!({ "object": "process.cwd" })),
        (with("/linux/seccomp", profile), json!({ "object": "linux.seccomp.syscalls[0].action" })),
        (
            with("/linux/resources", json!({ "pids": { "limit": -1 }, "unified": { "x.y": "1" } })),
            json!({ "object": "linux.resources.unified.x.y" }),
        ),
    ] {
        let container = Container::new(bundle);
        let mut command = Command::new(integration_tests::binary::rind());
        command.args(["--log-format", "json", "--root"]).arg(container.root());
        command.args(["run", "--bundle"]).arg(container.bundle().path()).arg(container.id());
        let failed = run(command);
        let line: Value = serde_json::from_str(failed.stderr.trim()).unwrap();
        let message = line["msg"].as_str().unwrap();
        for (name, part) in parts.as_object().unwrap() {
            let (found, expected) =
                (line[name].as_str().unwrap_or_default(), part.as_str().unwrap());
            let is_so = if name == "step" { found.ends_with(expected) } else { found == expected };
            assert!(is_so, "{name}, {expected}: {line}");
            assert!(name == "errno" || message.contains(found), "{line}");
        }
        assert!(message.starts_with(line["step"].as_str().unwrap()), "{line}");
        container.assert_no_trace();
    }
}

/// Asserts that the command fails with one line of JSON that has all three parts: the step ends in
/// `step`, and the message begins with it and has the object in it.
#[track_caller]
fn fails_in_parts(container: &Container, command: &[&str], step: &str, object: &str, errno: &str) {
    let flags = ["--log-format", "json", "--root", container.root().to_str().unwrap()];
    let output = words(&[&flags[..], command].concat());
    assert_ne!(output.code, 0, "should have failed: {command:?}");
    let line: Value = serde_json::from_str(output.stderr.trim()).unwrap();
    let [message, found] = ["msg", "step"].map(|name| line[name].as_str().unwrap());
    assert!(found.ends_with(step) && message.starts_with(found), "{step}: {line}");
    assert!(message.contains(object), "{object}: {line}");
    assert_eq!((&line["object"], &line["errno"]), (&json!(object), &json!(errno)), "{line}");
}

const PATH: &str = "/not/there";

/// If the kernel refused, a program that reads the log needs to parse no text, in whatever crate the
/// error arises.
fn error_of_a_run_has_its_parts_in_json() {
    let hook = json!({ "createRuntime": [{ "path": PATH }] });
    let output = json!({ "run.oci.hooks.stderr": PATH });
    for (bundle, flags, step, object) in [
        // runtime
        (Bundle::new(), &["--pid-file", PATH][..], "writing the pid file /not/there", PATH),
        (Bundle::new(), &["--pidfd-socket", PATH], "--pidfd-socket /not/there", PATH),
        (
            with("/process/terminal", json!(true)),
            &["--detach", "--console-socket", PATH],
            "connecting to the console socket /not/there",
            PATH,
        ),
        (
            Bundle::new().config(|config| {
                config["annotations"] = output;
                config["hooks"] = hook.clone();
            }),
            &[],
            "annotation run.oci.hooks.stderr: opening /not/there",
            PATH,
        ),
        // process
        (
            Bundle::new().config(|config| config["hooks"] = hook),
            &[],
            "error running createRuntime hook #0: starting /not/there",
            PATH,
        ),
        (
            Bundle::new().namespace("network", Some(PATH)),
            &[],
            "opening linux.namespaces[4].path /not/there",
            "linux.namespaces[4].path",
        ),
        // cgroups
        (
            with("/linux/resources", json!({ "pids": { "limit": 9 }, "unified": { "x.y": "1" } })),
            &[],
            "x.y",
            "linux.resources.unified.x.y",
        ),
    ] {
        let container = Container::new(bundle);
        let path = container.bundle().path();
        let start = ["run", "--bundle", path.to_str().unwrap()];
        let command = [&start[..], flags, &[container.id()]].concat();
        fails_in_parts(&container, &command, step, object, "ENOENT");
        container.assert_no_trace();
    }
}

fn errors_of_other_commands_have_their_parts_in_json() {
    let container = Container::running(Bundle::new());
    let id = container.id();
    let (path, rootfs) = (container.bundle().path(), container.bundle().rootfs());
    let (bundle, rootfs) = (path.to_str().unwrap(), rootfs.to_str().unwrap());
    let file = format!("{bundle}/config.json");
    // The root file system is no bundle.
    let missing = format!("{rootfs}/config.json");
    for (command, step, object, errno) in [
        // runtime
        (
            &["exec", "--exec-fifo", PATH, id, "/bin/probe"][..],
            "exec failed: --exec-fifo: making /not/there",
            PATH,
            "ENOENT",
        ),
        (&["checkpoint", "--status-fd", "77", "--lazy-pages", id], "--status-fd 77", "77", "EBADF"),
        // process
        (&["exec", id, "/bin/not-there"], "no such file or directory", "/bin/not-there", "ENOENT"),
        // spec
        (&["create", "--bundle", PATH, "x"], "bundle /not/there", PATH, "ENOENT"),
        (&["create", "--bundle", rootfs, "x"], &missing, &missing, "ENOENT"),
        // state
        (&["--root", &file, "list"], &format!("opening --root {file}"), &file, "ENOTDIR"),
        (
            &["--root", "/proc/x", "create", "--bundle", bundle, "x"],
            "making --root /proc/x",
            "/proc/x",
            "ENOENT",
        ),
        // rind
        (&["spec", "--bundle", PATH], "/not/there/config.json", "/not/there/config.json", "ENOENT"),
    ] {
        fails_in_parts(&container, command, step, object, errno);
    }
}

fn error_is_told_once_in_a_log_and_once_on_stderr() {
    for format in ["text", "json"] {
        let container = Container::new(Bundle::new());
        let log = container.bundle().folder().join("log");
        let flags = ["--log", log.to_str().unwrap(), "--log-format", format];
        let output = run(container.command(&[&flags[..], &["state", "unknown"]].concat()));
        assert_eq!(output.code, 1);
        assert!(output.stderr.starts_with("container \"unknown\" does not exist ("), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        let text = fs::read_to_string(&log).unwrap();
        if format == "json" {
            is_json_line(&text, "error");
        } else {
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains("level=error msg=\"container \\\"unknown\\\""), "{text}");
        }
    }
}

fn log_is_appended_to() {
    let container = Container::new(Bundle::new());
    let log = container.bundle().folder().join("log");
    fs::write(&log, "first\n").unwrap();
    for _ in 0..2 {
        let command = ["--log", log.to_str().unwrap(), "state", "unknown"];
        let _ = run(container.command(&command)).failed_with("does not exist");
    }
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.starts_with("first\n") && text.lines().count() == 3, "{text}");
    // What is done without an error is not told.
    let _ = run(container.command(&["--log", log.to_str().unwrap(), "list"])).succeeded();
    assert_eq!(fs::read_to_string(&log).unwrap(), text);
}

fn log_that_cannot_be_opened() {
    for path in ["/not/there/log", "/"] {
        fails(&unknown(&["--log", path]), 1, &["--log", path]);
    }
}

fn debug_tells_more_in_lines_of_the_same_form() {
    let container = Container::new(Bundle::new());
    let log = container.bundle().folder().join("log");
    let flags = ["--debug", "--log", log.to_str().unwrap(), "--log-format", "json"];
    let bundle = container.bundle().path();
    let command = ["run", "--bundle", bundle.to_str().unwrap(), container.id()];
    let _ = run(container.command(&[&flags[..], &command].concat())).succeeded();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() > 0, "nothing is told");
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "debug", "{line}");
        assert!(line["msg"].is_string() && line["time"].is_string(), "{line}");
    }
}

fn unknown_commands() {
    for (word, suggestion) in [
        ("craete", "did you mean \\\"create\\\"?"),
        ("delte", "did you mean \\\"delete\\\"?"),
        ("lst", "did you mean \\\"list\\\"?"),
        ("feat", "did you mean \\\"features\\\"?"),
        ("frobnicate", "see rind --help"),
        ("creat", "did you mean \\\"create\\\"?"),
        // What others call it.
        ("rm", "did you mean \\\"delete\\\"?"),
        ("stop", "did you mean \\\"kill\\\"?"),
        ("ls", "did you mean \\\"list\\\"?"),
        // What others do.
        ("logs", "that is what an engine does (docker, podman, nerdctl)"),
        ("images", "that is what an engine does"),
        ("pull", "that is what an engine does"),
        ("build", "that is what an engine does"),
    ] {
        fails(&words(&[word]), 3, &[word, suggestion]);
    }
    let output = words(&["frobnicate"]);
    assert!(!output.stderr.contains("did you mean"), "{output:#?}");
}

fn unknown_flags() {
    for (line, texts) in [
        (&["--rot", "/x", "list"][..], ["--rot", "did you mean --root?"]),
        (&["create", "--bundel", "/x", "id"], ["--bundel", "did you mean --bundle?"]),
        (&["delete", "id", "--forse"], ["--forse", "did you mean --force?"]),
        (&["kill", "-x", "id"], ["-x", "see rind kill --help"]),
        (&["--frobnicate", "list"], ["--frobnicate", "see rind --help"]),
        // A flag of another command, or of none.
        (&["start", "--force", "id"], ["--force", "see rind start --help"]),
        (&["list", "--root", "/x"], ["--root", "it is a global flag, and comes before"]),
        (&["--bundle", "/x", "run", "id"], ["--bundle", "it is of a command, and comes after it"]),
        (&["ps", "-a"], ["-a (did you mean \\\"list\\\"?)", "see rind ps --help"]),
    ] {
        fails(&words(line), 1, &texts);
    }
}

fn missing_values() {
    for (line, flag) in [
        (&["--root"][..], "--root"),
        (&["--log"], "--log"),
        (&["create", "id", "--bundle"], "--bundle"),
        (&["create", "id", "-b"], "--bundle"),
        (&["run", "id", "--pid-file"], "--pid-file"),
        (&["list", "-f"], "--format"),
    ] {
        fails(&words(line), 1, &[flag, "requires an argument"]);
    }
}

fn wrong_values() {
    for (line, texts) in [
        (&["--log-format", "xml", "list"][..], ["--log-format", "xml"]),
        (&["--rootless", "maybe", "create", "id"], ["--rootless", "maybe"]),
        (&["--cgroup-manager", "me", "create", "id"], ["--cgroup-manager", "me"]),
        (&["list", "--format", "yaml"], ["--format", "yaml"]),
        (&["create", "--preserve-fds", "-1", "id"], ["--preserve-fds", "-1"]),
        (&["create", "--preserve-fds", "some", "id"], ["--preserve-fds", "some"]),
        (&["delete", "--force=perhaps", "id"], ["--force", "perhaps"]),
    ] {
        fails(&words(line), 1, &texts);
    }
}

fn wrong_numbers_of_arguments() {
    for line in [
        &["create"][..],
        &["create", "a", "b"],
        &["run"],
        &["start"],
        &["start", "a", "b"],
        &["state"],
        &["kill"],
        &["kill", "a", "b", "c"],
        &["delete"],
        &["list", "a"],
        &["spec", "a"],
        &["features", "a"],
    ] {
        fails(&words(line), 1, &[line[0], "usage: rind"]);
    }
    // In runc's words.
    for (line, text) in [
        (&["exec"][..], "requires a minimum of 1 argument(s)"),
        (&["create"], "requires exactly 1 argument(s)"),
        (&["kill", "a", "b", "c"], "requires a maximum of 2 argument(s)"),
    ] {
        fails(&words(line), 1, &[text]);
    }
}

fn arguments_that_are_not_utf8() {
    let shell = needs_program("sh");
    let mut command = Command::new(shell);
    command.args(["-c", r#"exec "$0" state "$(printf '\377')""#]);
    command.arg(integration_tests::binary::rind());
    fails(&run(command), 1, &["UTF-8"]);
}
