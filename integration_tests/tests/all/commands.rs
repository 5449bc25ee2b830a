//! The commands that make no container: version, help, features, spec, list; and the global flags.

use integration_tests::command::run;
use integration_tests::host::needs_program;
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Bundle, Container, Output, Value, binary, cgroup, json, tests};
use std::fs;
use std::process::Command;

pub const TESTS: &[Test] = tests![
    version_has_three_lines,
    help_lists_all_commands_and_global_flags,
    columns_of_help_are_aligned,
    help_of_every_command_lists_its_flags,
    help_comes_in_every_form,
    help_needs_no_container,
    features_has_what_the_specification_asks_for,
    features_has_the_fields_of_the_specification,
    features_tells_of_annotations,
    features_lists_are_sorted,
    features_are_the_same_whatever_the_host,
    every_mount_option_of_features_is_accepted,
    every_namespace_of_features_is_accepted,
    every_capability_of_features_is_accepted,
    every_hook_of_features_is_run,
    every_seccomp_action_and_operator_of_features_is_accepted,
    statuses_are_those_of_runc,
    spec_writes_a_config,
    spec_goes_to_the_bundle,
    spec_never_replaces_a_config,
    spec_into_what_is_missing_fails,
    spec_for_the_unprivileged,
    what_spec_writes_runs,
    spec_has_a_cgroup_namespace_on_v2_alone,
    list_of_a_missing_root_fails,
    list_needs_no_default_root,
    list_leaves_foreign_files_alone,
    output_to_a_closed_pipe_is_no_panic,
    full_output_is_a_failure,
    cgroup_manager_is_one,
    cgroups_may_be_disabled,
    criu_is_accepted,
    root_may_be_relative,
    empty_root_is_the_default,
];

/// The runtime with nothing but these words.
fn rind(words: &[&str]) -> Command {
    let mut command = Command::new(binary::rind());
    command.args(words);
    command
}

/// What the runtime prints for these words.
#[track_caller]
fn printed(words: &[&str]) -> String {
    run(rind(words)).succeeded().stdout
}

/// As measured of runc 1.1.5, command by command; what begins with `@` stands for what a test has.
const STATUSES: &[(i32, &[&str])] = &[
    (0, &[]),
    (0, &["--version"]),
    (0, &["help"]),
    (3, &["nonsense"]),
    (3, &["help", "nonsense"]),
    (1, &["--nonsense", "list"]),
    (1, &["--log-format", "xml", "list"]),
    (1, &["--log", "/proc/none/log", "exec", "@RUNNING", "/bin/probe"]),
    (1, &["list", "--format", "xml"]),
    (1, &["list", "word"]),
    (1, &["spec", "word"]),
    (1, &["spec", "--bundle", "@BUNDLE"]),
    (1, &["create", "--bundle", "/proc/none", "new-one"]),
    (1, &["create", "--bundle", "@NOPE", "new-one"]),
    (1, &["create", "--bundle", "@BAD", "new-one"]),
    (1, &["create", "--bundle", "@BUNDLE", "@RUNNING"]),
    (1, &["create", "--bundle", "@BUNDLE", "a/b"]),
    (1, &["create", "--bundle", "@BUNDLE", ""]),
    (1, &["create", "--bundle", "@BUNDLE", "--preserve-fds", "x", "new-one"]),
    (1, &["run", "--bundle", "/proc/none", "new-one"]),
    (1, &["run", "--bundle", "@NOPE", "new-one"]),
    (1, &["run", "--bundle", "@BAD", "new-one"]),
    (1, &["run", "--bundle", "@BUNDLE", "@RUNNING"]),
    (1, &["run", "--bundle", "@BUNDLE", "a/b"]),
    (1, &["run", "--bundle", "@BUNDLE", ""]),
    (1, &["run", "--bundle", "@BUNDLE", "--preserve-fds", "x", "new-one"]),
    (1, &["run", "--bundle", "@BUNDLE", "--console-socket", "/proc/none", "--detach", "new-one"]),
    (1, &["run", "--detach", "--bundle", "/proc/none", "new-one"]),
    (1, &["run", "--detach", "--bundle", "@NOPE", "new-one"]),
    (1, &["run", "--detach", "--bundle", "@BAD", "new-one"]),
    (1, &["run", "--detach", "--bundle", "@BUNDLE", "@RUNNING"]),
    (1, &["restore", "--bundle", "/proc/none", "new-one"]),
    (1, &["restore", "--bundle", "@BUNDLE", "--image-path", "/proc/none", "new-one"]),
    (0, &["exec", "--cap", "NOPE", "@RUNNING", "/bin/probe", "exit", "0"]),
    (255, &["exec", "unknown", "true"]),
    (255, &["exec", "--detach", "unknown", "true"]),
    (255, &["exec", "@RUNNING"]),
    (255, &["exec", "@RUNNING", "nope"]),
    (255, &["exec", "--detach", "@RUNNING", "nope"]),
    (255, &["exec", "@RUNNING", "/etc"]),
    (255, &["exec", "--cwd", "/nope", "@RUNNING", "/bin/probe", "exit", "0"]),
    (255, &["exec", "--user", "nobody", "@RUNNING", "/bin/probe", "exit", "0"]),
    (255, &["exec", "--process", "/proc/none", "@RUNNING"]),
    (255, &["exec", "--detach", "--tty", "@RUNNING", "/bin/probe", "exit", "0"]),
    (255, &["exec", "@STOPPED", "/bin/probe", "exit", "0"]),
    (255, &["exec", "--detach", "@STOPPED", "/bin/probe", "exit", "0"]),
    (1, &["exec", "--preserve-fds", "x", "@RUNNING", "/bin/probe", "exit", "0"]),
    (1, &["exec", "--nonsense", "@RUNNING", "/bin/probe"]),
    (1, &["exec"]),
    (4, &["exec", "@RUNNING", "/bin/probe", "exit", "4"]),
    (1, &["start", "unknown"]),
    (1, &["start", "@RUNNING"]),
    (1, &["start", "@STOPPED"]),
    (1, &["state", "unknown"]),
    (1, &["state", "a/b"]),
    (1, &["kill", "unknown"]),
    (1, &["kill", "--all", "unknown"]),
    (1, &["kill", "@RUNNING", "FOO"]),
    (1, &["kill", "@RUNNING", "65"]),
    (0, &["kill", "@RUNNING", "0"]),
    (1, &["kill", "@STOPPED", "KILL"]),
    (1, &["kill", "@STOPPED", "0"]),
    (0, &["kill", "--all", "@STOPPED", "KILL"]),
    (1, &["delete", "unknown"]),
    (0, &["delete", "--force", "unknown"]),
    (1, &["delete", "@RUNNING"]),
    (1, &["ps", "unknown"]),
    (1, &["ps", "--format", "xml", "@RUNNING"]),
    (1, &["ps", "@RUNNING", "--nonsense"]),
    (1, &["ps", "@RUNNING", "-o", "comm"]),
    (1, &["pause", "unknown"]),
    (1, &["pause", "@STOPPED"]),
    (1, &["resume", "unknown"]),
    (1, &["resume", "@RUNNING"]),
    (1, &["update", "unknown"]),
    (1, &["update", "--memory", "nonsense", "@RUNNING"]),
    (1, &["update", "--resources", "/proc/none", "@RUNNING"]),
    (1, &["events", "unknown"]),
    (1, &["events", "--stats", "@STOPPED"]),
    (1, &["events", "--interval", "nonsense", "@RUNNING"]),
    (1, &["checkpoint", "unknown"]),
    (1, &["checkpoint", "@CREATED"]),
];

fn statuses_are_those_of_runc() {
    let running = Container::running(Bundle::new());
    let created = Container::created(Bundle::new());
    let stopped = Container::running(Bundle::new());
    stopped.stop();
    let nope = Bundle::new().args(&["nope"]);
    let bad = Bundle::new().config(|config| config["process"]["cwd"] = json!("relative"));
    let [bundle, nope, bad] = [running.bundle(), &nope, &bad].map(Bundle::path);
    let [bundle, nope, bad] = [&bundle, &nope, &bad].map(|path| path.to_str().unwrap());
    for (status, words) in STATUSES {
        let mut root = running.root();
        let words = words.iter().map(|word| match *word {
            "@BUNDLE" => bundle,
            "@NOPE" => nope,
            "@BAD" => bad,
            "@RUNNING" => running.id(),
            "@CREATED" => created.id(),
            "@STOPPED" => stopped.id(),
            word => word,
        });
        let words: Vec<&str> = words.collect();
        for other in [&created, &stopped] {
            if words.contains(&other.id()) {
                root = other.root();
            }
        }
        let mut command = rind(&["--root"]);
        command.arg(root).args(words);
        let output = run(command);
        assert_eq!(output.code, *status, "{output:#?}");
    }
    for name in [
        "create",
        "start",
        "run",
        "exec",
        "state",
        "kill",
        "delete",
        "ps",
        "pause",
        "resume",
        "update",
        "events",
        "checkpoint",
        "restore",
    ] {
        for words in [&[name][..], &[name, "--nonsense", "id"]] {
            assert_eq!(run(rind(words)).code, 1, "{words:?}");
        }
    }
}

fn features() -> Value {
    serde_json::from_str(&printed(&["features"])).unwrap()
}

/// The strings of the JSON list at `pointer` in `features`.
#[track_caller]
fn featured(pointer: &str) -> Vec<String> {
    let features = features();
    let list = features.pointer(pointer).unwrap_or_else(|| panic!("{pointer} of {features:#}"));
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn version_has_three_lines() {
    for word in ["--version", "-v", "-version", "version"] {
        let text = printed(&[word]);
        let lines: Vec<&str> = text.lines().collect();
        let [version, commit, spec] = lines[..] else { panic!("{text}") };
        let number = version.strip_prefix("rind version ").unwrap();
        assert!(number.starts_with(|c: char| c.is_ascii_digit()), "{version}");
        assert!(commit.strip_prefix("commit: ").is_some(), "{commit}");
        assert_eq!(spec, "spec: 1.3.0");
        assert!(text.ends_with('\n'));
    }
}

/// The commands, and what the table of the command line's documentation has for flags.
const COMMANDS: [(&str, &str); 22] = [
    (
        "create",
        "--bundle, -b --config --console-socket --pidfd-socket --pid-file --no-pivot \
         --no-new-keyring --preserve-fds --join --timing --timing-file",
    ),
    ("start", "--timing --timing-file"),
    (
        "run",
        "--bundle, -b --config --console-socket --pidfd-socket --pid-file --no-pivot \
         --no-new-keyring --preserve-fds --join --detach, -d --keep --no-subreaper \
         --timing --timing-file",
    ),
    (
        "exec",
        "--console-socket --pidfd-socket --pid-file --cwd --env, -e --tty, -t --user, -u \
         --additional-gids, -g --process, -p --detach, -d --process-label --apparmor \
         --no-new-privs --cap, -c --preserve-fds --cgroup --ignore-paused --exec-fifo \
         --timing --timing-file",
    ),
    ("state", ""),
    ("kill", "--all, -a --regex"),
    ("delete", "--force, -f --regex"),
    ("ps", "--format, -f"),
    ("pause", ""),
    ("resume", ""),
    (
        "update",
        "--resources, -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share \
         --cpu-rt-period --cpu-rt-runtime --cpu-idle --cpuset-cpus --cpuset-mems --memory \
         --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema",
    ),
    ("events", "--interval --stats"),
    (
        "checkpoint",
        "--image-path --work-path --leave-running --pre-dump --parent-path --tcp-established \
         --tcp-skip-in-flight --link-remap --ext-unix-sk --shell-job --file-locks --lazy-pages \
         --status-fd --page-server --manage-cgroups-mode --empty-ns --auto-dedup",
    ),
    (
        "restore",
        "--bundle, -b --image-path --work-path --console-socket --pid-file --detach, -d --keep \
         --no-subreaper --no-pivot --tcp-established --ext-unix-sk --shell-job --file-locks \
         --lazy-pages --manage-cgroups-mode --empty-ns --auto-dedup --lsm-profile \
         --lsm-mount-context",
    ),
    ("mounts", ""),
    ("list", "--format, -f --quiet, -q"),
    ("spec", "--bundle, -b --rootless"),
    ("features", ""),
    ("check", "--bundle, -b --format, -f"),
    ("inspect", "--format, -f"),
    ("completion", ""),
    ("man", "--output, -o"),
];

fn help_lists_all_commands_and_global_flags() {
    let text = printed(&["--help"]);
    let aside = text.lines().find_map(|line| line.strip_prefix("  also ")).unwrap();
    let aside: Vec<&str> = aside.trim_start().split(", ").collect();
    for (name, _) in COMMANDS {
        let is_listed = text.contains(&format!("\n  {name} "));
        assert!(is_listed != aside.contains(&name), "{name} is not in\n{text}");
    }
    for flag in [
        "--debug",
        "--log FILE",
        "--log-format FORMAT",
        "--root DIR",
        "--rootless MODE",
        "--cgroup-manager MANAGER",
        "--systemd-cgroup",
        "--criu PATH",
        "--help, -h; --version, -v",
    ] {
        assert!(text.contains(&format!("\n  {flag} ")), "{flag} is not in\n{text}");
    }
    // On one screen.
    let widest = text.lines().map(str::len).max().unwrap();
    let (lines, examples) = (text.lines().count(), text.contains("\nexamples:\n"));
    assert!(lines <= 40 && widest <= 100 && examples, "{lines} lines, {widest} columns:\n{text}");
}

/// How a screen looks: the second column begins at one place.
fn columns_of_help_are_aligned() {
    let overview = printed(&["--help"]);
    let of_commands = COMMANDS.iter().map(|(name, _)| printed(&[name, "--help"]));
    for text in of_commands.chain([overview]) {
        assert!(text.contains("\nexamples:\n"), "{text}");
        for part in text.split("\n\n").filter(|part| {
            ["flags:\n", "examples:\n", "commands:\n", "global flags:\n"]
                .iter()
                .any(|heading| part.starts_with(heading))
        }) {
            let rows = part.lines().skip(1);
            let starts: Vec<_> = rows.map(|row| row.rfind("  ").map(|at| at + 2)).collect();
            assert!(starts.iter().all(|start| *start == starts[0]), "{starts:?}\n{part}");
        }
        assert!(!text.contains('\u{1b}'), "colours in a file: {text}");
    }
}

fn help_of_every_command_lists_its_flags() {
    for (name, flags) in COMMANDS {
        let text = printed(&[name, "--help"]);
        assert!(text.starts_with(&format!("rind {name} - ")), "{text}");
        assert!(text.contains(&format!("\nusage: rind {name}")), "{text}");
        for flag in flags.split(" --").map(|flag| flag.trim_start_matches("--")) {
            let listed = flag.is_empty() || text.contains(&format!("\n  --{flag} "));
            assert!(listed, "--{flag} is not in\n{text}");
        }
        let (count, known) = (text.matches("\n  --").count(), flags.matches("--").count());
        assert_eq!(count, known, "a flag of {name} that this test does not know of:\n{text}");
        // In a terminal of the usual width.
        let widest = text.lines().map(str::len).max().unwrap();
        assert!(widest <= 100, "{widest} columns:\n{text}");
    }
}

fn help_comes_in_every_form() {
    let text = printed(&["--help"]);
    for words in [&["-h"][..], &["help"], &["h"], &[], &["-help"], &["--root", "/x", "--help"]] {
        assert_eq!(printed(words), text, "{words:?}");
    }
    let text = printed(&["create", "--help"]);
    for words in [&["help", "create"][..], &["create", "-h"], &["create", "id", "--help"]] {
        assert_eq!(printed(words), text, "{words:?}");
    }
    let _ = run(rind(&["help", "frobnicate"])).failed_with("frobnicate");
}

/// Not even when much is wrong.
fn help_needs_no_container() {
    let container = Container::new(Bundle::new());
    let folder = container.bundle().folder().join("nowhere");
    let root = folder.to_str().unwrap();
    for (name, _) in COMMANDS {
        let _ = printed(&["--root", root, name, "--help"]);
        assert!(!folder.exists(), "{name} --help made the root");
    }
}

fn features_has_what_the_specification_asks_for() {
    let features = features();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["ociVersionMax"], "1.3.0");
    let hooks =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    assert_eq!(features["hooks"], json!(hooks));
    let namespaces = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];
    assert_eq!(features["linux"]["namespaces"], json!(namespaces));
    let cgroup = json!({
        "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true,
    });
    assert_eq!(features["linux"]["cgroup"], cgroup);
    let seccomp = &features["linux"]["seccomp"];
    assert_eq!(seccomp["enabled"], true);
    for list in ["actions", "operators", "archs", "knownFlags", "supportedFlags"] {
        assert!(seccomp[list].as_array().is_some_and(|list| !list.is_empty()), "{list}: {seccomp}");
    }
    let enabled = json!({ "enabled": true });
    for field in ["apparmor", "selinux", "netDevices"] {
        assert_eq!(features["linux"][field], enabled, "{field}");
    }
    assert_eq!(features["linux"]["mountExtensions"], json!({ "idmap": enabled }));
    let rdt = json!({ "enabled": true, "schemata": true, "monitoring": true });
    assert_eq!(features["linux"]["intelRdt"], rdt);
    for list in ["modes", "flags"] {
        assert!(!featured(&format!("/linux/memoryPolicy/{list}")).is_empty(), "{list}");
    }
    let options = featured("/mountOptions");
    for option in ["ro", "rbind", "rro", "tmpcopyup", "idmap", "ridmap", "nosymfollow"] {
        assert!(options.iter().any(|listed| listed == option), "{option}: {options:?}");
    }
}

/// No field that the specification doesn't have, and none of its fields missing.
fn features_has_the_fields_of_the_specification() {
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let features = features();
    let all = [
        "annotations",
        "hooks",
        "linux",
        "mountOptions",
        "ociVersionMax",
        "ociVersionMin",
        "potentiallyUnsafeConfigAnnotations",
    ];
    assert_eq!(keys(&features), all);
    let linux = [
        "apparmor",
        "capabilities",
        "cgroup",
        "intelRdt",
        "memoryPolicy",
        "mountExtensions",
        "namespaces",
        "netDevices",
        "seccomp",
        "selinux",
    ];
    assert_eq!(keys(&features["linux"]), linux);
    let seccomp = ["actions", "archs", "enabled", "knownFlags", "operators", "supportedFlags"];
    assert_eq!(keys(&features["linux"]["seccomp"]), seccomp);
}

fn features_tells_of_annotations() {
    let version = printed(&["--version"]);
    let word = |start: &str| version.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    let checkpoint = run(rind(&["checkpoint", "--help"])).code == 0;
    let expected = json!({
        "org.opencontainers.runc.checkpoint.enabled": checkpoint.to_string(),
        "io.github.rind.version": word("rind version "),
        "io.github.rind.commit": word("commit: "),
        "io.github.rind.cgroup-managers": "cgroupfs (the default), systemd (the default for a user \
            on cgroup v2 who has a systemd, where the config has no cgroupsPath), disabled",
    });
    assert_eq!(features()["annotations"], expected);
    let unsafe_ones = ["org.criu.config", "org.systemd.property.", "run.oci."];
    assert_eq!(featured("/potentiallyUnsafeConfigAnnotations"), unsafe_ones);
}

fn features_lists_are_sorted() {
    for list in ["/mountOptions", "/linux/namespaces"] {
        assert!(featured(list).is_sorted(), "{list}");
    }
}

/// Neither as another user, without /proc and /sys, nor in another directory.
fn features_are_the_same_whatever_the_host() {
    let expected = printed(&["features"]);
    let script = r#"
        mount -t tmpfs none /proc && mount -t tmpfs none /sys && cd / && umask 077 && exec "$@""#;
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--net", "--ipc", "--uts", "--propagation", "private"]);
    command.args(["/bin/sh", "-c", script, "sh"]).arg(binary::rind()).arg("features");
    assert_eq!(run(command).succeeded().stdout, expected);
    // Where the built one is, others may have no access to.
    let bundle = Bundle::new();
    let copy = bundle.folder().join("rind");
    let mut command = Command::new(needs_program("cp"));
    command.arg(binary::rind()).arg(&copy);
    let _ = run(command).succeeded();
    let mut command = Command::new(needs_program("setpriv"));
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--bounding-set=-all", "--no-new-privs"]).arg(&copy).arg("features");
    assert_eq!(run(command).succeeded().stdout, expected);
    let mut command = rind(&["--root", "/not/there", "features"]);
    command.env_clear();
    assert_eq!(run(command).succeeded().stdout, expected);
}

fn every_mount_option_of_features_is_accepted() {
    let not_for_a_file_system = [
        "remount",
        "bind",
        "rbind",
        "idmap",
        "ridmap",
        "src-nofollow",
        "dest-nofollow",
        "copy-symlink",
    ];
    in_parallel(featured("/mountOptions").chunks(16), |options| {
        for option in options {
            // On what it is for: binding, mapping ids, or a file system of its own.
            let bundle = Bundle::new();
            let folder = bundle.folder().join("source");
            fs::create_dir(&folder).unwrap();
            let mut bind = json!({ "destination": "/tmp", "source": folder });
            bind["options"] = json!(["bind", option]);
            if option.ends_with("idmap") {
                let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
                bind["uidMappings"] = mapping.clone();
                bind["gidMappings"] = mapping;
            }
            let bundle = if option == "remount" {
                let first = json!({ "destination": "/tmp", "source": folder, "options": ["bind"] });
                bundle.mount(first)
            } else {
                bundle
            };
            if option != "tmpcopyup" {
                accepted(bundle.mount(bind), option);
            }
            if not_for_a_file_system.contains(&option.as_str()) {
                continue;
            }
            let tmpfs = json!({ "destination": "/tmp", "type": "tmpfs", "options": [option] });
            accepted(Bundle::new().mount(tmpfs), option);
        }
    });
}

/// Asserts that a container of this bundle runs to its end, `what` being new in it.
#[track_caller]
fn accepted(bundle: Bundle, what: &str) {
    // What it may not do in a mount without its permission is not asked of it.
    let output = bundle.probing(&["exit", "0"]).run();
    assert!(output.code == 0 && output.stderr.is_empty(), "{what}: {output:#?}");
}

fn every_namespace_of_features_is_accepted() {
    for kind in featured("/linux/namespaces") {
        let bundle = Bundle::new().namespace(&kind, None).config(|config| {
            if kind == "user" {
                let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
                config["linux"]["uidMappings"] = mapping.clone();
                config["linux"]["gidMappings"] = mapping;
            }
        });
        accepted(bundle, &kind);
    }
}

fn every_capability_of_features_is_accepted() {
    let names = featured("/linux/capabilities");
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(all.contains(&"CAP_SYS_ADMIN") && all.contains(&"CAP_CHECKPOINT_RESTORE"), "{all:?}");
    // One that this kernel does not know is a warning, not an error.
    let output = Bundle::new().capabilities(&all).run();
    assert_eq!(output.code, 0, "{output:#?}");
}

fn every_hook_of_features_is_run() {
    for kind in featured("/hooks") {
        let bundle = Bundle::new().with_shell();
        let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] });
        let container = Container::new(bundle.config(|config| {
            config["hooks"][&kind] = json!([hook]);
        }));
        let output = container.call("run", &[]);
        // That of the last kind comes too late to fail anything.
        assert_eq!(output.code != 0, kind != "poststop", "{kind}: {output:#?}");
        assert!(output.stderr.contains(&format!("{kind} hook #0")), "{kind}: {output:#?}");
        container.assert_no_trace();
    }
}

fn every_seccomp_action_and_operator_of_features_is_accepted() {
    let with = |action: &str, operator: &str| {
        let argument = json!({ "index": 0, "value": 12345, "op": operator });
        Bundle::new().config(|config| {
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["sysfs"], "action": action, "args": [argument] }],
            });
        })
    };
    for action in featured("/linux/seccomp/actions") {
        // The one needs somebody who listens.
        if action != "SCMP_ACT_NOTIFY" {
            accepted(with(&action, "SCMP_CMP_EQ"), &action);
        }
    }
    for operator in featured("/linux/seccomp/operators") {
        accepted(with("SCMP_ACT_ERRNO", &operator), &operator);
    }
    for arch in featured("/linux/seccomp/archs") {
        let bundle = Bundle::new().config(|config| {
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": [arch],
                "syscalls": [{ "names": ["sysfs"], "action": "SCMP_ACT_ERRNO" }],
            });
        });
        let container = Container::new(bundle);
        let _ = container.call("create", &[]).succeeded();
    }
}

/// An empty folder of a test's own.
fn folder(bundle: &Bundle) -> std::path::PathBuf {
    let folder = bundle.folder().join("empty");
    fs::create_dir(&folder).unwrap();
    folder
}

/// Runs `spec FLAGS` in `folder`.
fn spec(folder: &std::path::Path, flags: &[&str]) -> Output {
    let mut command = rind(&["spec"]);
    command.args(flags).current_dir(folder);
    run(command)
}

fn spec_writes_a_config() {
    let bundle = Bundle::new();
    let folder = folder(&bundle);
    let output = spec(&folder, &[]).succeeded();
    assert_eq!(output.stdout, "");
    let text = fs::read_to_string(folder.join("config.json")).unwrap();
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n"), "{text}");
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["process"]["terminal"], true);
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["process"]["noNewPrivileges"], true);
    assert_eq!(config["root"], json!({ "path": "rootfs", "readonly": true }));
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(config["process"]["capabilities"][set], capabilities, "{set}");
    }
    assert_eq!(config["process"]["capabilities"]["inheritable"], Value::Null);
    let points: Vec<&str> = config["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    let expected =
        ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];
    assert_eq!(points, expected);
    for list in ["maskedPaths", "readonlyPaths"] {
        assert!(!config["linux"][list].as_array().unwrap().is_empty(), "{list}");
    }
}

/// Without one a cgroup mount shows the host's root there; one of v1 shows the container's own.
fn spec_has_a_cgroup_namespace_on_v2_alone() {
    let types = |arrange: &str, flags: &[&str]| {
        let bundle = Bundle::new();
        let folder = folder(&bundle);
        let script = format!("{arrange} && exec \"$@\"");
        let mut command = Command::new(needs_program("unshare"));
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
        command.arg(binary::rind()).arg("spec").args(flags).current_dir(&folder);
        let _ = run(command).succeeded();
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let namespaces = config["linux"]["namespaces"].as_array().unwrap();
        namespaces.iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let v1 = "mount -t tmpfs none /sys/fs/cgroup";
    let v2 = "mount -t cgroup2 none /sys/fs/cgroup";
    assert_eq!(types(v1, &[]), ["pid", "network", "ipc", "uts", "mount"]);
    assert_eq!(types(v2, &[]), ["pid", "network", "ipc", "uts", "mount", "cgroup"]);
    assert_eq!(types(v1, &["--rootless"]), ["pid", "ipc", "uts", "mount", "user"]);
    assert_eq!(types(v2, &["--rootless"]), ["pid", "ipc", "uts", "mount", "cgroup", "user"]);
}

fn spec_goes_to_the_bundle() {
    let bundle = Bundle::new();
    let folder = folder(&bundle);
    for (flag, name) in [("--bundle", "one"), ("-b", "other")] {
        let there = folder.join(name);
        fs::create_dir(&there).unwrap();
        let _ = spec(&folder, &[flag, there.to_str().unwrap()]).succeeded();
        assert!(there.join("config.json").is_file());
    }
    assert!(!folder.join("config.json").exists());
}

fn spec_never_replaces_a_config() {
    let bundle = Bundle::new();
    let folder = folder(&bundle);
    let config = folder.join("config.json");
    fs::write(&config, "mine").unwrap();
    let _ = spec(&folder, &[]).failed_with("config.json exists");
    assert_eq!(fs::read_to_string(&config).unwrap(), "mine");
    // Nor does it follow a link to where there is none.
    fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("elsewhere", &config).unwrap();
    let _ = spec(&folder, &[]).failed_with("config.json exists");
    assert!(!folder.join("elsewhere").exists());
}

fn spec_into_what_is_missing_fails() {
    let bundle = Bundle::new();
    let output = spec(&folder(&bundle), &["--bundle", "not/there"]);
    let _ = output.failed_with("not/there/config.json: no such file or directory");
}

fn spec_for_the_unprivileged() {
    let bundle = Bundle::new();
    let folder = folder(&bundle);
    let _ = spec(&folder, &["--rootless"]).succeeded();
    let text = fs::read(folder.join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&text).unwrap();
    let kinds: Vec<&str> = config["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"user") && !kinds.contains(&"network"), "{kinds:?}");
    for list in ["uidMappings", "gidMappings"] {
        let expected = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        assert_eq!(config["linux"][list], expected, "{list}");
    }
    assert_eq!(config["linux"]["resources"], Value::Null);
}

fn what_spec_writes_runs() {
    for flags in [&[][..], &["--rootless"]] {
        let bundle = Bundle::new();
        let folder = folder(&bundle);
        let _ = spec(&folder, flags).succeeded();
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        let mut written: Value = serde_json::from_str(&text).unwrap();
        written["process"]["terminal"] = json!(false);
        if flags.is_empty() {
            // For this test's cgroups to be told from others'.
            written["linux"]["cgroupsPath"] = json!(cgroup::path_for(bundle.id()));
        }
        let bundle = bundle.config(|config| *config = written);
        let seen = bundle.report();
        assert_eq!(seen["hostname"], "rind", "{flags:?}");
        assert_eq!(seen["uid"], 0);
        assert_eq!(seen["processes"], json!([1]));
    }
}

fn list_of_a_missing_root_fails() {
    for flags in [&[][..], &["--quiet"], &["--format", "json"]] {
        let words = [&["--root", "/not/there", "list"], flags].concat();
        let output = run(rind(&words)).failed_with("/not/there");
        assert!(output.stderr.contains("no such file or directory"), "{output:#?}");
    }
    assert!(!fs::exists("/not/there").unwrap());
}

/// In a mount namespace of the test's own, where /run is empty.
fn list_needs_no_default_root() {
    let script = r#"mount -t tmpfs none /run && "$@" && test ! -e /run/rind"#;
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]);
    command.arg(binary::rind()).args(["list", "--format", "json"]);
    command.env_remove("XDG_RUNTIME_DIR");
    assert_eq!(run(command).succeeded().stdout, "null\n");
}

fn list_leaves_foreign_files_alone() {
    let container = Container::created(Bundle::new());
    fs::write(container.root().join("a file"), "").unwrap();
    fs::write(container.root().join("file"), "").unwrap();
    fs::create_dir(container.root().join("folder")).unwrap();
    let ids = run(container.command(&["list", "--quiet"]));
    assert_eq!((ids.code, ids.stdout), (0, format!("{}\n", container.id())));
    assert!(container.root().join("file").exists() && container.root().join("folder").exists());
}

fn output_to_a_closed_pipe_is_no_panic() {
    for word in ["features", "--help", "list"] {
        let mut command = Command::new(needs_program("sh"));
        let script = r#"root=$2; { "$0" --root "$root" $1; echo "status $?" >&2; } | true"#;
        command.args(["-c", script]).arg(binary::rind()).args([word, "/"]);
        let output = run(command);
        assert!(!output.stderr.contains("panick"), "{output:#?}");
        assert!(output.stderr.lines().count() == 1, "{output:#?}");
    }
}

fn full_output_is_a_failure() {
    let mut command = Command::new(needs_program("sh"));
    command.args(["-c", r#""$0" features >/dev/full"#]).arg(binary::rind());
    assert_eq!(run(command).code, 1);
}

fn cgroup_manager_is_one() {
    let container = Container::new(Bundle::new());
    let bundle = container.bundle().path();
    let words = ["create", "--bundle", bundle.to_str().unwrap(), container.id()];
    let create = |flags: &[&str]| run(container.command(&[flags, &words].concat()));
    let _ = create(&["--systemd-cgroup", "--cgroup-manager", "cgroupfs"]).failed_with("exclude");
    let _ = create(&["--cgroup-manager", "mine"]).failed_with("cgroupfs, systemd, disabled");
    container.assert_no_trace();
    // A caller that passes the switch by rote may turn it off.
    let _ = run(container.command(&["--systemd-cgroup=false", "list"])).succeeded();
}

fn cgroups_may_be_disabled() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    let bundle = container.bundle().path();
    let words = ["create", "--bundle", bundle.to_str().unwrap(), container.id()];
    let command = container.command(&[&["--cgroup-manager", "disabled"], &words[..]].concat());
    container.make_by(command);
    container.start();
    container.wait_line("ready");
    assert_eq!(cgroup::named(container.id()), Vec::<std::path::PathBuf>::new());
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let its = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    assert_eq!(its, own, "it is where its maker was");
    container.stop();
    container.delete();
}

fn criu_is_accepted() {
    let container = Container::new(Bundle::new());
    let _ = run(container.command(&["--criu", "/usr/sbin/criu", "list"])).succeeded();
}

fn root_may_be_relative() {
    let mut container = Container::new(Bundle::new());
    let mut command = rind(&["--root", "root", "create", "--bundle", "bundle", container.id()]);
    command.current_dir(container.bundle().folder());
    container.make_by(command);
    assert_eq!(container.status(), "created");
    container.delete();
}

fn empty_root_is_the_default() {
    let output = run(rind(&["--root", "", "state", "no-such-container-of-the-tests"]));
    let _ = output.failed_with("does not exist");
}
