//! The process: what it is started with, as whom, with which privileges, limits and descriptors.

use integration_tests::command::{run, spawn_reading};
use integration_tests::console::DescriptorSocket;
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Output, Value, json, tests};
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

pub const TESTS: &[Test] = tests![
    arguments_are_passed,
    program_is_searched_in_path,
    program_may_be_relative_to_the_working_directory,
    environment_is_the_configured_one,
    last_of_duplicate_variables_wins,
    home_is_taken_from_passwd,
    home_that_is_configured_stays,
    home_of_an_unknown_user_is_the_root,
    working_directory_is_entered,
    working_directory_is_made,
    umask_is_set,
    umask_is_the_callers_by_default,
    user_and_groups_are_set,
    duplicate_groups_are_fine,
    capabilities_of_root,
    capabilities_of_a_user,
    capabilities_absent_are_none,
    unknown_capability_is_a_warning,
    ambient_capability_that_cannot_be_raised_is_a_warning,
    limits_are_set,
    address_space_limit_is_not_the_runtimes,
    unknown_limit_is_refused,
    duplicate_limit_is_refused,
    no_new_privileges,
    oom_score_adjustment_is_set,
    oom_score_adjustment_zero_is_set,
    oom_score_adjustment_is_the_callers_by_default,
    scheduler_is_set,
    io_priority_is_set,
    personality_is_set,
    affinity_is_not_the_callers,
    affinity_of_exec_is_not_inits,
    security_labels_without_their_module_are_warnings,
    signals_are_at_their_defaults,
    process_leads_a_session,
    only_standard_descriptors_are_open,
    only_standard_descriptors_are_open_after_start,
    preserved_descriptors_are_passed,
    preserving_more_than_are_open_is_refused,
    pidfd_socket_gets_the_init,
    session_keyring_is_its_own,
    session_keyring_is_the_callers_on_request,
    files_on_standard_descriptors_belong_to_the_user,
    null_device_is_not_given_away,
    any_kind_of_descriptor_may_be_stdin,
    empty_home_is_none,
    oom_score_adjustment_is_the_hosts_affair,
    few_descriptors_are_the_programs_limit,
];

fn arguments_are_passed() {
    let seen = Bundle::new().args(&["/bin/probe", "report"]).report();
    assert_eq!(seen["args"], json!(["/bin/probe", "report"]));
    let output = Bundle::new().script("for x; do echo \"[$x]\"; done").config(|config| {
        let args = config["process"]["args"].as_array_mut().unwrap();
        args.extend(["sh", "", "two words", "ünïcode", "*"].map(|word| json!(word)));
    });
    assert_eq!(output.run().succeeded().stdout, "[]\n[two words]\n[ünïcode]\n[*]\n");
}

fn program_is_searched_in_path() {
    let output = Bundle::new().args(&["probe", "report"]).run().succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(seen["args"][0], "probe");
}

fn program_may_be_relative_to_the_working_directory() {
    let bundle = Bundle::new().args(&["./bin/probe", "exit", "5"]);
    assert_eq!(bundle.run().code, 5);
}

fn environment_is_the_configured_one() {
    let seen = Bundle::new()
        .config(|config| config["process"]["env"] = json!(["A=b=c", "EMPTY=", "HOME=/here"]))
        .report();
    assert_eq!(sorted(&seen["env"]), ["A=b=c", "EMPTY=", "HOME=/here"]);
}

fn last_of_duplicate_variables_wins() {
    let output = Bundle::new()
        .args(&["/bin/probe", "read", "/proc/self/environ"])
        .config(|config| {
            config["process"]["env"] = json!(["A=first", "HOME=/", "B=only", "A=last"]);
        })
        .run()
        .succeeded();
    let mut variables: Vec<&str> = output.stdout.trim_end_matches('\0').split('\0').collect();
    variables.sort_unstable();
    assert_eq!(variables, ["A=last", "B=only", "HOME=/"]);
}

fn home_is_taken_from_passwd() {
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:U:/home/user:/bin/sh\n";
    for (uid, home) in [(0, "HOME=/root"), (1000, "HOME=/home/user")] {
        let seen = Bundle::new()
            .file("/etc/passwd", passwd)
            .config(|config| config["process"]["user"]["uid"] = json!(uid))
            .report();
        assert!(sorted(&seen["env"]).contains(&home.to_owned()), "{home}: {}", seen["env"]);
    }
}

fn home_that_is_configured_stays() {
    let seen = Bundle::new()
        .config(|config| config["process"]["env"] = json!(["HOME=/elsewhere"]))
        .report();
    assert_eq!(sorted(&seen["env"]), ["HOME=/elsewhere"]);
}

fn home_of_an_unknown_user_is_the_root() {
    let seen =
        Bundle::new().config(|config| config["process"]["user"]["uid"] = json!(4711)).report();
    assert!(sorted(&seen["env"]).contains(&"HOME=/".to_owned()), "{}", seen["env"]);
}

fn working_directory_is_entered() {
    let seen = Bundle::new().config(|config| config["process"]["cwd"] = json!("/tmp")).report();
    assert_eq!(seen["cwd"], "/tmp");
}

fn working_directory_is_made() {
    let bundle = Bundle::new().writable();
    let seen = bundle.config(|config| config["process"]["cwd"] = json!("/not/yet")).report();
    assert_eq!(seen["cwd"], "/not/yet");
}

fn umask_is_set() {
    let bundle = Bundle::new().config(|config| config["process"]["user"]["umask"] = json!(0o027));
    assert_eq!(bundle.report()["umask"], 0o027);
}

fn umask_is_the_callers_by_default() {
    let container = Container::new(Bundle::new().probing(&["report"]));
    let output = run_from_shell("umask 0037; exec \"$@\"", &container.command_for("run", &[]));
    assert_eq!(json_of(&output)["umask"], 0o037);
}

fn user_and_groups_are_set() {
    let user = json!({ "uid": 1000, "gid": 1001, "additionalGids": [7, 5, 100_000] });
    let seen = Bundle::new().config(|config| config["process"]["user"] = user).report();
    assert_eq!((&seen["uid"], &seen["euid"]), (&json!(1000), &json!(1000)));
    assert_eq!((&seen["gid"], &seen["egid"]), (&json!(1001), &json!(1001)));
    assert_eq!(seen["groups"], json!([5, 7, 100_000]));
}

fn duplicate_groups_are_fine() {
    let user = json!({ "uid": 0, "gid": 0, "additionalGids": [5, 5, 0] });
    let seen = Bundle::new().config(|config| config["process"]["user"] = user).report();
    let mut groups: Vec<u64> = serde_json::from_value(seen["groups"].clone()).unwrap();
    groups.dedup();
    assert_eq!(groups, [0, 5]);
}

fn capabilities_of_root() {
    let seen = Bundle::new().report();
    let three = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    for set in ["bounding", "permitted", "effective"] {
        assert_eq!(seen["capabilities"][set], three, "{set}");
    }
    for set in ["inheritable", "ambient"] {
        assert_eq!(seen["capabilities"][set], json!([]), "{set}");
    }
}

/// Of a user's five sets, execve leaves the ambient in the permitted and effective one.
fn capabilities_of_a_user() {
    let all = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"];
    let seen = Bundle::new()
        .config(|config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
            config["process"]["capabilities"] = json!({
                "bounding": all,
                "permitted": all,
                "effective": all,
                "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
                "ambient": ["CAP_NET_RAW"],
            });
        })
        .report();
    let sets = &seen["capabilities"];
    assert_eq!(sets["bounding"], json!(all));
    assert_eq!(sets["inheritable"], json!(["CAP_KILL", "CAP_NET_RAW"]));
    for set in ["permitted", "effective", "ambient"] {
        assert_eq!(sets[set], json!(["CAP_NET_RAW"]), "{set}");
    }
}

fn capabilities_absent_are_none() {
    let seen = Bundle::new()
        .config(|config| {
            config["process"].as_object_mut().unwrap().remove("capabilities");
        })
        .report();
    for (set, names) in seen["capabilities"].as_object().unwrap() {
        assert_eq!(*names, json!([]), "{set}");
    }
}

fn unknown_capability_is_a_warning() {
    let bundle = Bundle::new().capabilities(&["CAP_KILL", "CAP_UNHEARD_OF"]).probing(&["report"]);
    let (output, log) = run_logged(bundle);
    assert_eq!(json_of(&output.succeeded())["capabilities"]["effective"], json!(["CAP_KILL"]));
    let text = "ignoring unknown or unavailable capabilities: [CAP_UNHEARD_OF]";
    assert!(log.contains(text) && log.contains("level=warning"), "{log}");
}

fn ambient_capability_that_cannot_be_raised_is_a_warning() {
    let bundle = Bundle::new().probing(&["report"]).config(|config| {
        config["process"]["capabilities"]["ambient"] = json!(["CAP_KILL"]);
    });
    let (output, log) = run_logged(bundle);
    assert_eq!(json_of(&output.succeeded())["capabilities"]["ambient"], json!([]));
    assert!(log.contains("can't raise ambient capability CAP_KILL:"), "{log}");
}

fn limits_are_set() {
    // All below what any machine has: raising a hard limit takes CAP_SYS_RESOURCE.
    let limits = [
        ("RLIMIT_AS", 1_u64 << 40, 1_u64 << 41),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_CPU", 1000, 2000),
        ("RLIMIT_DATA", 1 << 40, 1 << 41),
        ("RLIMIT_FSIZE", 1 << 30, 1 << 31),
        ("RLIMIT_LOCKS", 10, 20),
        ("RLIMIT_MEMLOCK", 4096, 8192),
        ("RLIMIT_MSGQUEUE", 1000, 2000),
        ("RLIMIT_NICE", 0, 0),
        ("RLIMIT_NOFILE", 100, 200),
        ("RLIMIT_NPROC", 500, 600),
        ("RLIMIT_RSS", 1 << 30, 1 << 31),
        ("RLIMIT_RTPRIO", 0, 0),
        ("RLIMIT_SIGPENDING", 50, 60),
        ("RLIMIT_STACK", 1 << 22, 1 << 23),
    ];
    let configured =
        limits.map(|(kind, soft, hard)| json!({ "type": kind, "soft": soft, "hard": hard }));
    let seen =
        Bundle::new().config(|config| config["process"]["rlimits"] = json!(configured)).report();
    for (kind, soft, hard) in limits {
        assert_eq!(seen["rlimits"][kind], json!([soft, hard]), "{kind}");
    }
}

fn address_space_limit_is_not_the_runtimes() {
    let limit = json!([{ "type": "RLIMIT_AS", "soft": 1 << 30, "hard": 1 << 30 }]);
    let seen = Bundle::new().config(|config| config["process"]["rlimits"] = limit).report();
    assert_eq!(seen["rlimits"]["RLIMIT_AS"], json!([1 << 30, 1 << 30]));
}

fn unknown_limit_is_refused() {
    let limit = json!([{ "type": "RLIMIT_UNHEARD_OF", "soft": 1, "hard": 1 }]);
    Bundle::new()
        .config(|config| config["process"]["rlimits"] = limit)
        .refused("RLIMIT_UNHEARD_OF");
}

fn duplicate_limit_is_refused() {
    let limit = json!({ "type": "RLIMIT_NOFILE", "soft": 10, "hard": 20 });
    let twice = json!([limit, limit]);
    Bundle::new().config(|config| config["process"]["rlimits"] = twice).refused("RLIMIT_NOFILE");
}

fn no_new_privileges() {
    for wanted in [true, false] {
        let seen = Bundle::new()
            .config(|config| config["process"]["noNewPrivileges"] = json!(wanted))
            .report();
        assert_eq!(seen["no_new_privs"], wanted);
    }
}

fn oom_score_adjustment_is_set() {
    let bundle = Bundle::new().config(|config| config["process"]["oomScoreAdj"] = json!(321));
    assert_eq!(bundle.report()["oom_score_adj"], "321");
}

fn oom_score_adjustment_zero_is_set() {
    let bundle = Bundle::new().config(|config| config["process"]["oomScoreAdj"] = json!(0));
    let container = Container::new(bundle.probing(&["report"]));
    // A caller whose own value is higher, and may lower it no further than where it began.
    let script = "echo 5 >/proc/self/oom_score_adj; exec \"$@\"";
    let output = run_from_shell(script, &container.command_for("run", &[]));
    assert_eq!(json_of(&output)["oom_score_adj"], "0");
}

fn oom_score_adjustment_is_the_callers_by_default() {
    let container = Container::new(Bundle::new().probing(&["report"]));
    let script = "echo 123 >/proc/self/oom_score_adj; exec \"$@\"";
    let output = run_from_shell(script, &container.command_for("run", &[]));
    assert_eq!(json_of(&output)["oom_score_adj"], "123");
}

fn scheduler_is_set() {
    let scheduler = json!({ "policy": "SCHED_BATCH", "nice": 5 });
    let seen = Bundle::new().config(|config| config["process"]["scheduler"] = scheduler).report();
    // SCHED_BATCH is 3 (sched.h).
    assert_eq!(seen["scheduling"], json!({ "nice": "5", "policy": "3" }));
}

fn io_priority_is_set() {
    let priority = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    let output = Bundle::new()
        .script("ionice -p $$")
        .config(|config| config["process"]["ioPriority"] = priority)
        .run()
        .succeeded();
    assert_eq!(output.stdout, "best-effort: prio 6\n");
}

fn personality_is_set() {
    let machine = Bundle::new().report()["machine"].clone();
    let changed = match machine.as_str().unwrap() {
        "x86_64" => "i686",
        "aarch64" => "armv8l",
        other => skip(format!("what {other} calls itself in 32 bits is not known here")),
    };
    let seen = Bundle::new()
        .config(|config| config["linux"]["personality"] = json!({ "domain": "LINUX32" }))
        .report();
    assert_eq!(seen["machine"], changed);
}

fn affinity_is_not_the_callers() {
    let taskset = needs_program("taskset");
    if available_parallelism().unwrap().get() < 2 {
        skip("one processor only");
    }
    let here = Bundle::new().report()["processors"].clone();
    let container = Container::new(Bundle::new().probing(&["report"]));
    let mut command = Command::new(taskset);
    let runtime = container.command_for("run", &[]);
    command.args(["-c", "0"]).arg(runtime.get_program()).args(runtime.get_args());
    assert_eq!(json_of(&run(command).succeeded())["processors"], here);
}

fn affinity_of_exec_is_not_inits() {
    let here = Bundle::new().report()["processors"].clone();
    let bundle = Bundle::new().config(|config| {
        config["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": "0" });
    });
    assert_eq!(bundle.report()["processors"], here);
}

fn security_labels_without_their_module_are_warnings() {
    let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if apparmor.is_ok_and(|text| text.starts_with('Y')) {
        skip("AppArmor is enabled here");
    }
    if Path::new("/sys/fs/selinux/enforce").exists() {
        skip("SELinux is enabled here");
    }
    let bundle = Bundle::new().config(|config| {
        config["process"]["apparmorProfile"] = json!("acme_secure_profile");
        config["process"]["selinuxLabel"] = json!("system_u:system_r:svirt_lxc_net_t:s0:c124,c675");
    });
    let (output, log) = run_logged(bundle);
    assert_eq!(output.code, 0, "{output:#?}");
    for text in ["process.apparmorProfile acme_secure_profile: AppArmor is not", "SELinux is not"] {
        assert!(log.contains(text) && log.contains("level=warning"), "{log}");
    }
}

/// What a process sees of signals whose caller ignores and blocks as many as a shell can't.
fn signals_of(command: &Command) -> Vec<String> {
    let ignoring = "import os, signal, sys
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1})
os.execv(sys.argv[1], sys.argv[1:])";
    let mut python = Command::new(needs_program("python3"));
    python.args(["-c", ignoring]).arg(command.get_program()).args(command.get_args());
    let said = run(python).succeeded().stdout;
    let kept =
        said.lines().filter(|line| ["SigBlk", "SigIgn"].contains(&&line[..6.min(line.len())]));
    kept.map(str::to_owned).collect()
}

/// The probe can't tell: every Rust program ignores SIGPIPE from its start.
fn signals_are_at_their_defaults() {
    let none = ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"];
    let script = "exec cat /proc/self/status";
    let container = Container::new(Bundle::new().script(script));
    assert_eq!(signals_of(&container.command_for("run", &[])), none);
    let mut container = Container::new(Bundle::new().script(script));
    let created = container.command_for("create", &[]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' HUP INT PIPE TERM CHLD USR1; exec \"$@\"", "sh"]);
    shell.arg(created.get_program()).args(created.get_args());
    container.make_by(shell);
    container.start();
    container.wait_stopped();
    assert!(none.iter().all(|line| container.said().contains(line)), "{}", container.said());
    let container = Container::running(Bundle::new().with_shell());
    let exec = container.exec_command(&[], &["/bin/cat", "/proc/self/status"]);
    assert_eq!(signals_of(&exec), none);
    let host = container.pid();
    let shared = Bundle::new().script(script);
    let shared = Container::new(shared.namespace("pid", Some(&format!("/proc/{host}/ns/pid"))));
    assert_eq!(signals_of(&shared.command_for("run", &[])), none);
}

fn process_leads_a_session() {
    let seen = Bundle::new().report();
    assert_eq!(seen["pid"], 1);
    assert_eq!(seen["sid"], 1);
    assert_eq!(seen["pgid"], 1);
}

/// Runs with descriptors open that a careless caller left behind.
fn with_stray_descriptors(command: &Command) -> Output {
    let open = "exec 3</dev/null 4</ 5</etc 6</proc/self/status 7>/dev/null 9</sys; exec \"$@\"";
    run_from_shell(open, command)
}

fn only_standard_descriptors_are_open() {
    let container = Container::new(Bundle::new().probing(&["open-descriptors"]));
    let output = with_stray_descriptors(&container.command_for("run", &[])).succeeded();
    assert_eq!(numbers(&json_of(&output)), ["0", "1", "2"]);
}

fn only_standard_descriptors_are_open_after_start() {
    let container = Container::new(Bundle::new().probing(&["open-descriptors"]));
    let output = with_stray_descriptors(&container.command_for("create", &[])).succeeded();
    assert_eq!(output.stdout, "");
    // What init has open until then: besides its standard descriptors the fifo, and a socket or
    // pipe to the runtime; nothing that leads to the host's files.
    for entry in fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap().flatten() {
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let kind = fs::metadata(entry.path()).unwrap().file_type();
        let target = fs::read_link(entry.path()).unwrap();
        let of_the_host = kind.is_dir() || kind.is_file() || kind.is_char_device();
        assert!(number < 3 || !of_the_host, "init has {number} open: {}", target.display());
    }
    container.start();
    container.wait_stopped();
}

fn preserved_descriptors_are_passed() {
    let container = Container::new(Bundle::new().probing(&["open-descriptors"]));
    let command = container.command_for("run", &["--preserve-fds", "2"]);
    let seen = json_of(&with_stray_descriptors(&command).succeeded());
    assert_eq!(numbers(&seen), ["0", "1", "2", "3", "4"]);
    assert_eq!(seen["3"], "/dev/null");
}

fn preserving_more_than_are_open_is_refused() {
    let container = Container::new(Bundle::new());
    let command = container.command_for("run", &["--preserve-fds", "7"]);
    let output = with_stray_descriptors(&command);
    assert!(output.code != 0, "{output:#?}");
    container.assert_no_trace();
}

fn pidfd_socket_gets_the_init() {
    let mut container = Container::new(Bundle::new());
    let socket = DescriptorSocket::listen(&container.bundle().folder().join("pidfd.sock"));
    container.create(&["--pidfd-socket", socket.path()]);
    let (pidfd, _) = socket.receive();
    let facts = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let pid = facts.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    assert_eq!(pid.trim(), container.pid().to_string());
}

fn keys(flags: &[&str]) -> (String, String) {
    let bundle = Bundle::new().probing(&["read", "/proc/keys"]).config(|config| {
        config["linux"]["maskedPaths"] = json!([]);
    });
    if !fs::exists("/proc/keys").unwrap() {
        skip("this kernel has no keys");
    }
    let container = Container::new(bundle);
    let output = container.call("run", flags).succeeded();
    (container.id().to_owned(), output.stdout)
}

fn session_keyring_is_its_own() {
    let (id, keys) = keys(&[]);
    assert!(keys.lines().any(|key| key.contains(" keyring ") && key.contains(&id)), "{keys}");
}

fn session_keyring_is_the_callers_on_request() {
    let (id, keys) = keys(&["--no-new-keyring"]);
    assert!(!keys.contains(&id), "{keys}");
}

fn files_on_standard_descriptors_belong_to_the_user() {
    let bundle = Bundle::new().config(|config| config["process"]["user"]["uid"] = json!(1234));
    let container = Container::new(bundle);
    let path = container.bundle().folder().join("output");
    let mut command = container.command_for("create", &[]);
    command.stdin(File::create(&path).unwrap());
    chown(&path, None, Some(5)).unwrap();
    let _ = spawn_reading(command).wait().succeeded();
    container.start();
    wait_for("the program to end", || container.status() == "stopped");
    let found = fs::metadata(path).unwrap();
    assert_eq!((found.uid(), found.gid()), (1234, 5));
}

fn null_device_is_not_given_away() {
    let before = fs::metadata("/dev/null").unwrap().uid();
    let bundle = Bundle::new().config(|config| config["process"]["user"]["uid"] = json!(1234));
    let _ = bundle.run().succeeded();
    assert_eq!(fs::metadata("/dev/null").unwrap().uid(), before);
}

/// Runs `command` as `"$@"` of a shell script.
fn run_from_shell(script: &str, command: &Command) -> Output {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    run(shell)
}

/// Runs a bundle with a log file, and gives that too.
fn run_logged(bundle: Bundle) -> (Output, String) {
    let container = Container::new(bundle);
    let (path, log) = (container.bundle().path(), container.bundle().folder().join("log"));
    let bundle = path.to_str().unwrap();
    let log = log.to_str().unwrap();
    let args = ["--log", log, "run", "--bundle", bundle, container.id()];
    let output = run(container.command(&args));
    (output, fs::read_to_string(log).unwrap_or_default())
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
}

fn sorted(list: &Value) -> Vec<String> {
    let mut items: Vec<String> = serde_json::from_value(list.clone()).unwrap();
    items.sort_unstable();
    items
}

fn numbers(descriptors: &Value) -> Vec<&String> {
    descriptors.as_object().unwrap().keys().collect()
}

fn any_kind_of_descriptor_may_be_stdin() {
    let script = "import os, select, signal, socket, subprocess, sys
left, right = socket.socketpair()
right.close()
kinds = {
    'closed socket': left.fileno(), 'new socket': (new := socket.socket()).fileno(),
    'eventfd': os.eventfd(0), 'pidfd': os.pidfd_open(os.getpid()), 'memfd': os.memfd_create('m'),
    'epoll': (waiting := select.epoll()).fileno(), 'proc': os.open('/proc/self/status', os.O_RDONLY),
    'path': os.open('/', os.O_PATH),
}
for kind, number in kinds.items():
    ran = subprocess.run(sys.argv[1:], stdin=number, capture_output=True, timeout=50)
    if ran.returncode or ran.stderr: print(kind, ran)";
    let user = json!({ "uid": 1234, "gid": 1234 });
    let bundle = || Bundle::new().config(|config| config["process"]["user"] = user.clone());
    let by_python = |command: &Command| {
        let mut python = Command::new(needs_program("python3"));
        python.args(["-c", script]).arg(command.get_program()).args(command.get_args());
        assert_eq!(run(python).succeeded().stdout, "");
    };
    by_python(&Container::new(bundle()).command_for("run", &[]));
    let container = Container::running(bundle());
    by_python(&container.exec_command(&["--user", "7"], &["/bin/probe", "exit", "0"]));
}

fn empty_home_is_none() {
    let home = |env: Value, user: u32| {
        let bundle = Bundle::new().file("etc/passwd", "root:x:0:0::/root:\nme:x:7:7::/me:\n");
        let bundle = bundle.config(|config| {
            config["process"]["env"] = env;
            config["process"]["user"]["uid"] = json!(user);
        });
        let container = Container::running(bundle);
        let given = container.exec_report(&["--env", "HOME="])["env"].clone();
        let inits = container.exec_report(&[])["env"].clone();
        assert_eq!(given, inits);
        inits
    };
    assert_eq!(home(json!(["HOME="]), 7), json!(["HOME=/me"]));
    assert_eq!(home(json!(["HOME=/x", "HOME="]), 0), json!(["HOME=/root"]));
    assert_eq!(home(json!(["HOME="]), 8), json!(["HOME=/"]));
}

/// In whatever user namespace a process comes to be, or by whichever way.
fn oom_score_adjustment_is_the_hosts_affair() {
    let mapped = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let mapping = |config: &mut Value| {
        config["linux"]["uidMappings"] = mapped.clone();
        config["linux"]["gidMappings"] = mapped.clone();
    };
    let scored =
        |score: i32| Bundle::new().config(|config| config["process"]["oomScoreAdj"] = json!(score));
    // That of the caller is higher, so that it's lowered.
    let run_raised = |bundle: Bundle| {
        let container = Container::new(bundle.probing(&["report"]));
        let script = "echo 9 >/proc/self/oom_score_adj; exec \"$@\"";
        json_of(&run_from_shell(script, &container.command_for("run", &[])))["oom_score_adj"]
            .clone()
    };
    let new = |score| scored(score).namespace("user", None).config(mapping);
    let outer = Container::running(new(321));
    let of = |kind: &str| format!("/proc/{}/ns/{kind}", outer.pid());
    for score in [0, 5, 9, 400] {
        let joined = || scored(score).namespace("user", Some(&of("user")));
        let expected = json!(score.to_string());
        assert_eq!(run_raised(new(score)), expected, "new");
        assert_eq!(run_raised(joined()), expected, "joined");
        let joined = joined().namespace("pid", Some(&of("pid")));
        assert_eq!(run_raised(joined), expected, "joined, with the pid namespace");
        let shared = scored(score).namespace("pid", Some(&of("pid")));
        assert_eq!(run_raised(shared), expected, "shared pid namespace");
        if Path::new("/proc/self/ns/time").exists() {
            assert_eq!(run_raised(new(score).namespace("time", None)), expected, "new, with time");
            assert_eq!(run_raised(scored(score).namespace("time", None)), expected, "time");
        }
        let file = outer.bundle().folder().join("process.json");
        let process = json!({
            "args": ["/bin/probe", "report"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
            "oomScoreAdj": score,
        });
        fs::write(&file, process.to_string()).unwrap();
        let executed = outer.call("exec", &["--process", file.to_str().unwrap()]);
        assert_eq!(executed.succeeded().json()["oom_score_adj"], expected, "exec");
    }
    assert_eq!(outer.exec_report(&[])["oom_score_adj"], "321");
}

/// What has to be opened before the program, for whatever it is, is not subject to the limit.
fn few_descriptors_are_the_programs_limit() {
    let few = |count: u64| {
        let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": count, "hard": count }]);
        let bundle = Bundle::new().with_shell().file("ran", "");
        fs::set_permissions(bundle.rootfs().join("ran"), Permissions::from_mode(0o666)).unwrap();
        bundle.writable().config(|config| config["process"]["rlimits"] = limit)
    };
    let hooked = |config: &mut Value| {
        let hook = |path: &str| json!([{ "path": path, "args": ["true"] }]);
        let on_host = needs_program("true");
        for kind in ["prestart", "createRuntime", "createContainer", "poststart"] {
            config["hooks"][kind] = hook(on_host.to_str().unwrap());
        }
        config["hooks"]["startContainer"] = hook("/bin/true");
    };
    for count in [3, 4, 5, 8, 16, 64] {
        // A shell that opens nothing: its own limit is what it says, and nothing else.
        let told = |output: Output| {
            let output = output.succeeded();
            assert_eq!(output.stdout.trim(), count.to_string(), "{output:#?}");
        };
        let script = ["/bin/sh", "-c", "ulimit -n"];
        told(few(count).args(&script).run());
        told(few(count).args(&["sh", "-c", "ulimit -n"]).config(hooked).run());
        let cwd = few(count).config(|config| {
            config["process"]["cwd"] = json!("/tmp/is/not/there");
            config["process"]["env"] = json!(["PATH=/none:/neither:/bin"]);
        });
        told(cwd.args(&["sh", "-c", "ulimit -n"]).run());
        let joined = Container::running(few(count).config(|config| {
            // The probe needs a few.
            config["process"]["rlimits"] = json!([]);
        }));
        let pids = format!("/proc/{}/ns/pid", joined.pid());
        told(few(count).args(&script).namespace("pid", Some(&pids)).config(hooked).run());
        let file = joined.bundle().folder().join("process.json");
        let mut process = json!({
            "args": ["sh", "-c", "ulimit -n"], "cwd": "/tmp", "user": { "uid": 7, "gid": 7 },
            "env": ["PATH=/none:/bin"],
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": count, "hard": count }],
        });
        for terminal in [false, true] {
            process["terminal"] = json!(terminal);
            fs::write(&file, process.to_string()).unwrap();
            told(joined.call("exec", &["--process", file.to_str().unwrap()]));
        }
        let terminal =
            few(count).args(&script).config(|it| it["process"]["terminal"] = json!(true));
        told(terminal.run());
    }
}
