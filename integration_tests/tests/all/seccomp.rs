//! Seccomp: the filter that the kernel applies, as calls in the container meet it.

use integration_tests::command::{self, LIMIT, readable};
use integration_tests::host::needs_file;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

pub const TESTS: &[Test] = tests![
    mode_is_filter,
    no_profile_no_filter,
    profile_of_docker_denies_what_it_does_not_allow,
    profile_of_docker_lets_threads_be_made,
    profile_of_docker_compares_arguments,
    no_new_privileges_stays_off,
    capabilities_are_dropped_all_the_same,
    error_number_is_the_rules,
    default_error_number_is_the_profiles,
    profile_may_forbid_getcwd,
    profile_may_forbid_what_the_runtime_needs_before,
    kill_kills,
    kill_process_kills,
    trap_kills,
    log_allows,
    unknown_call_is_skipped,
    masked_comparison,
    comparisons_of_numbers,
    several_comparisons_are_all_to_hold,
    several_comparisons_of_one_argument_are_alternatives,
    flags_are_accepted,
    unknown_action_is_refused,
    unknown_architecture_is_refused,
    unknown_flag_is_refused,
    error_number_with_another_action_is_refused,
    rule_without_names_is_refused,
    notify_of_write_is_refused,
    notify_needs_a_listener,
    listener_gets_the_descriptor_and_the_state,
    listener_gets_a_descriptor_of_each_exec,
    profile_may_forbid_what_exec_needs_before,
    exec_makes_no_other_call_under_its_filter,
    listener_that_is_not_there_is_an_error,
    listener_metadata_needs_a_listener,
];

fn with_profile(profile: Value) -> Bundle {
    Bundle::new().config(|config| config["linux"]["seccomp"] = profile)
}

/// Everything is allowed but what `rule` says of its calls.
fn allowing_but(rule: Value) -> Bundle {
    with_profile(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }))
}

/// The profile that Docker gives its containers on an x86 of 64 bits. This machine's own calls are
/// filtered in any case, and those that these tests make have the same names everywhere.
fn docker_profile() -> Value {
    let config: Value = serde_json::from_str(include_str!("../../fixtures/docker.json")).unwrap();
    config["linux"]["seccomp"].clone()
}

/// What the calls answer to one who would be allowed them all, but for seccomp.
fn answers(bundle: Bundle, calls: &[&str]) -> Value {
    let all = ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_NET_RAW"];
    let bundle = bundle
        .writable()
        .capabilities(&all)
        .config(|config| config["process"]["noNewPrivileges"] = json!(false));
    bundle.probe(&[&["try"], calls].concat())
}

fn mode_is_filter() {
    assert_eq!(with_profile(json!({ "defaultAction": "SCMP_ACT_ALLOW" })).report()["seccomp"], "0");
    assert_eq!(with_profile(docker_profile()).report()["seccomp"], "2");
}

fn no_profile_no_filter() {
    assert_eq!(Bundle::new().report()["seccomp"], "0");
    let seen = answers(Bundle::new(), &["mount", "unshare-user", "keyctl"]);
    assert_eq!(seen, json!({ "mount": "yes", "unshare-user": "yes", "keyctl": "yes" }));
}

fn profile_of_docker_denies_what_it_does_not_allow() {
    let bundle = with_profile(docker_profile());
    let seen = answers(bundle, &["mount", "unshare-user", "keyctl", "mkdir", "getcwd", "chroot"]);
    for call in ["mount", "unshare-user", "keyctl"] {
        assert_eq!(seen[call], "EPERM", "{call}");
    }
    for call in ["mkdir", "getcwd", "chroot"] {
        assert_eq!(seen[call], "yes", "{call}");
    }
}

/// glibc tries clone3, and falls back to clone only if it hears ENOSYS.
fn profile_of_docker_lets_threads_be_made() {
    assert_eq!(answers(with_profile(docker_profile()), &["thread"])["thread"], "yes");
    // Other C libraries, and glibc's older ones elsewhere, make threads by clone(2).
    if cfg!(not(all(target_arch = "x86_64", target_env = "gnu"))) {
        return;
    }
    let other = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 });
    assert_eq!(answers(allowing_but(other), &["thread"])["thread"], "EPERM");
}

fn profile_of_docker_compares_arguments() {
    let calls = ["personality-linux", "personality-linux32", "personality-no-randomize"];
    let seen = answers(with_profile(docker_profile()), &calls);
    assert_eq!(seen[calls[0]], "yes");
    assert_eq!(seen[calls[1]], "yes");
    assert_eq!(seen[calls[2]], "EPERM");
}

fn no_new_privileges_stays_off() {
    let bundle = with_profile(docker_profile())
        .config(|config| config["process"]["noNewPrivileges"] = json!(false));
    let seen = bundle.report();
    assert_eq!((&seen["no_new_privs"], &seen["seccomp"]), (&json!(false), &json!("2")));
}

fn capabilities_are_dropped_all_the_same() {
    for no_new_privileges in [true, false] {
        let bundle = with_profile(docker_profile()).capabilities(&["CAP_KILL"]).config(|config| {
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        });
        assert_eq!(bundle.report()["capabilities"]["effective"], json!(["CAP_KILL"]));
    }
    let bundle = with_profile(docker_profile())
        .capabilities(&["CAP_KILL"])
        .config(|config| config["process"]["user"]["uid"] = json!(1000));
    let seen = bundle.report();
    assert_eq!((&seen["uid"], &seen["capabilities"]["effective"]), (&json!(1000), &json!([])));
}

fn error_number_is_the_rules() {
    for (number, name) in [(38, "ENOSYS"), (13, "EACCES"), (1, "EPERM")] {
        let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": number });
        assert_eq!(answers(allowing_but(rule), &["mkdir"])["mkdir"], name);
    }
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" });
    assert_eq!(answers(allowing_but(rule), &["mkdir"])["mkdir"], "EPERM", "by default");
}

fn default_error_number_is_the_profiles() {
    let mut profile = docker_profile();
    profile["defaultErrnoRet"] = json!(95);
    assert_eq!(answers(with_profile(profile), &["mount"])["mount"], "EOPNOTSUPP");
}

fn profile_may_forbid_getcwd() {
    let rule = json!({ "names": ["getcwd"], "action": "SCMP_ACT_ERRNO" });
    assert_eq!(answers(allowing_but(rule), &["getcwd"])["getcwd"], "EPERM");
}

/// Calls that a profile may forbid, since they are over when the filter comes.
const BEFORE: [&str; 30] = [
    "mount",
    "umount2",
    "pivot_root",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "mount_setattr",
    "openat2",
    "setns",
    "unshare",
    "chroot",
    "chdir",
    "fchdir",
    "getcwd",
    "sethostname",
    "setrlimit",
    "keyctl",
    "statx",
    "fstatfs",
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "close_range",
    "umask",
    "setsid",
    "fchown",
    "getdents64",
    "capget",
];

fn profile_may_forbid_what_the_runtime_needs_before() {
    // Without no_new_privs the filter takes a privilege that can only be given up afterwards.
    let credentials =
        ["setuid", "setgid", "setgroups", "setresuid", "setresgid", "capset", "prctl"];
    let all = [&BEFORE[..], &credentials].concat();
    for (no_new_privileges, names) in [(true, &all[..]), (false, &BEFORE)] {
        let rule = json!({ "names": names, "action": "SCMP_ACT_ERRNO" });
        let bundle = allowing_but(rule)
            .config(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let output = bundle.probing(&["exit", "5"]).run();
        assert_eq!(output.code, 5, "no_new_privs {no_new_privileges}: {output:#?}");
    }
}

const SIGSYS: i32 = 31;

fn killed_by(action: &str) {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": action });
    let output = allowing_but(rule).writable().probing(&["try", "mkdir"]).run();
    assert_eq!(output.code, 128 + SIGSYS, "{output:#?}");
}

fn kill_kills() {
    killed_by("SCMP_ACT_KILL");
    killed_by("SCMP_ACT_KILL_THREAD");
}

fn kill_process_kills() {
    killed_by("SCMP_ACT_KILL_PROCESS");
}

fn trap_kills() {
    killed_by("SCMP_ACT_TRAP");
}

fn log_allows() {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_LOG" });
    let seen = answers(allowing_but(rule), &["mkdir"]);
    assert_eq!(seen["mkdir"], "yes");
}

fn unknown_call_is_skipped() {
    let rule = json!({ "names": ["not_a_call", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" });
    assert_eq!(answers(allowing_but(rule), &["mkdir"])["mkdir"], "EPERM");
}

/// What personality(2) answers for LINUX (0), LINUX32 (8) and `ADDR_NO_RANDOMIZE` (0x40000).
fn personalities(rules: Value) -> [String; 3] {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules });
    let calls = ["personality-linux", "personality-linux32", "personality-no-randomize"];
    let seen = answers(with_profile(profile), &calls);
    calls.map(|call| seen[call].as_str().unwrap().to_owned())
}

fn personality_rule(args: Value) -> Value {
    json!([{ "names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": args }])
}

fn masked_comparison() {
    let args = json!([{ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x4_0000, "valueTwo": 0x4_0000 }]);
    assert_eq!(personalities(personality_rule(args)), ["yes", "yes", "EPERM"]);
    let args =
        json!([{ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x4_0000, "valueTwo": 0 }]);
    assert_eq!(personalities(personality_rule(args)), ["EPERM", "EPERM", "yes"]);
}

fn comparisons_of_numbers() {
    let (no, yes) = ("EPERM", "yes");
    for (op, expected) in [
        ("SCMP_CMP_EQ", [yes, no, yes]),
        ("SCMP_CMP_NE", [no, yes, no]),
        ("SCMP_CMP_LT", [no, yes, yes]),
        ("SCMP_CMP_LE", [no, no, yes]),
        ("SCMP_CMP_GT", [yes, yes, no]),
        ("SCMP_CMP_GE", [yes, no, no]),
    ] {
        let args = json!([{ "index": 0, "op": op, "value": 8 }]);
        assert_eq!(personalities(personality_rule(args)), expected, "{op} 8");
    }
}

fn several_comparisons_are_all_to_hold() {
    // socket(AF_INET, SOCK_RAW, 0), and not socket(AF_UNIX, SOCK_STREAM, 0).
    let rule = |second: u32| {
        allowing_but(json!({
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "args": [
                { "index": 0, "op": "SCMP_CMP_EQ", "value": 2 },
                { "index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 15, "valueTwo": second },
            ],
        }))
    };
    let calls = ["raw-socket", "unix-socket"];
    // The kernel's own answer to a raw socket of no protocol.
    let allowed = "EPROTONOSUPPORT";
    assert_eq!(answers(rule(3), &calls), json!({ "raw-socket": "EPERM", "unix-socket": "yes" }));
    assert_eq!(answers(rule(1), &calls), json!({ "raw-socket": allowed, "unix-socket": "yes" }));
}

fn several_comparisons_of_one_argument_are_alternatives() {
    let args = json!([
        { "index": 0, "op": "SCMP_CMP_EQ", "value": 0 },
        { "index": 0, "op": "SCMP_CMP_EQ", "value": 8 },
    ]);
    assert_eq!(personalities(personality_rule(args)), ["EPERM", "EPERM", "yes"]);
}

fn flags_are_accepted() {
    for flags in [
        json!([]),
        json!(["SECCOMP_FILTER_FLAG_LOG"]),
        json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]),
        json!(["SECCOMP_FILTER_FLAG_TSYNC"]),
        json!([
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_LOG"
        ]),
    ] {
        let mut profile = docker_profile();
        profile["flags"] = flags.clone();
        assert_eq!(with_profile(profile).report()["seccomp"], "2", "{flags}");
    }
}

fn unknown_action_is_refused() {
    with_profile(json!({ "defaultAction": "SCMP_ACT_UNHEARD_OF" })).refused("SCMP_ACT_UNHEARD_OF");
}

fn unknown_architecture_is_refused() {
    let architectures = json!(["SCMP_ARCH_UNHEARD_OF"]);
    with_profile(json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures }))
        .refused("SCMP_ARCH_UNHEARD_OF");
}

fn unknown_flag_is_refused() {
    let mut profile = docker_profile();
    profile["flags"] = json!(["SECCOMP_FILTER_FLAG_UNHEARD_OF"]);
    with_profile(profile).refused("SECCOMP_FILTER_FLAG_UNHEARD_OF");
}

fn error_number_with_another_action_is_refused() {
    let rule = json!({ "names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1 });
    allowing_but(rule).refused("errno");
}

fn rule_without_names_is_refused() {
    allowing_but(json!({ "names": [], "action": "SCMP_ACT_ERRNO" })).refused("names");
}

fn notify_of_write_is_refused() {
    let rule = json!({ "names": ["write"], "action": "SCMP_ACT_NOTIFY" });
    allowing_but(rule)
        .config(|config| config["linux"]["seccomp"]["listenerPath"] = json!("/run/listener.sock"))
        .refused("SCMP_ACT_NOTIFY cannot be used for the write syscall");
}

fn notify_needs_a_listener() {
    allowing_but(json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" })).refused("listener");
}

fn notifying(bundle: Bundle, socket: &str) -> Bundle {
    bundle.config(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket,
            "listenerMetadata": "some metadata",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
        });
    })
}

/// What comes over the listener's socket: the descriptor, and the state beside it.
fn receive(listener: &UnixListener) -> (OwnedFd, Value) {
    assert!(readable(listener, LIMIT), "nobody connected");
    let (stream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let (length, mut descriptors) = sys::socket::receive(&stream, &mut buffer).unwrap();
    let state = serde_json::from_slice(&buffer[..length]).unwrap();
    assert_eq!(descriptors.len(), 1);
    // One state for a connection, which then is closed.
    let (length, more) = sys::socket::receive(&stream, &mut buffer).unwrap();
    assert_eq!((length, more.len()), (0, 0));
    (descriptors.remove(0), state)
}

fn listener_gets_the_descriptor_and_the_state() {
    needs_file("/proc/sys/kernel/seccomp/actions_avail");
    let bundle = Bundle::new().writable().probing(&["try", "mkdir"]);
    let path = bundle.folder().join("listener.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let container = Container::new(notifying(bundle, path.to_str().unwrap()));
    let running = container.spawn_run(&[]);
    let (descriptor, state) = receive(&listener);
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "some metadata");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
    assert_eq!(state["state"]["id"], container.id());
    assert_eq!(state["state"]["status"], "creating");
    assert_eq!(state["state"]["bundle"], json!(container.bundle().path()));
    let pid = &state["pid"];
    assert!(pid.as_i64().unwrap() > 1 && *pid == state["state"]["pid"], "{state}");
    // The call waits for an answer; when nobody can give one any more, there is no such call.
    assert!(readable(&descriptor, LIMIT), "no notification came");
    drop(descriptor);
    let output = running.wait();
    assert_eq!(output.stdout.trim(), r#"{"mkdir":"ENOSYS"}"#, "{output:#?}");
}

/// What `exec` runs has a filter of its own, and so a listener of its own.
fn listener_gets_a_descriptor_of_each_exec() {
    needs_file("/proc/sys/kernel/seccomp/actions_avail");
    let bundle = Bundle::new().writable();
    let path = bundle.folder().join("listener.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let container = Container::running(notifying(bundle, path.to_str().unwrap()));
    let (_inits, state) = receive(&listener);
    assert_eq!(state["pid"], container.pid());
    let program = ["/bin/probe", "try", "mkdir"];
    let running = command::spawn(container.exec_command(&[], &program));
    let (descriptor, state) = receive(&listener);
    assert_eq!(state["metadata"], "some metadata");
    assert_eq!(
        (&state["state"]["status"], &state["state"]["pid"]),
        (&json!("running"), &json!(container.pid()))
    );
    let pid = state["pid"].as_i64().unwrap();
    let name = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(pid != i64::from(container.pid()) && name.contains("\nSeccomp:\t2\n"), "{name}");
    assert!(readable(&descriptor, LIMIT), "no notification came");
    drop(descriptor);
    let output = running.wait().succeeded();
    assert_eq!(output.stdout.trim(), r#"{"mkdir":"ENOSYS"}"#);
    // Without anybody to listen there is no process.
    drop(listener);
    let output = container.exec(&[], &program).failed_with("listener.sock");
    assert_eq!(output.code, 255);
}

fn profile_may_forbid_what_exec_needs_before() {
    for no_new_privileges in [true, false] {
        let rule = json!({ "names": BEFORE, "action": "SCMP_ACT_ERRNO" });
        let bundle = allowing_but(rule)
            .config(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        let container = Container::running(bundle);
        let output = container.exec(&[], &["/bin/probe", "exit", "5"]);
        assert_eq!(output.code, 5, "no_new_privs {no_new_privileges}: {output:#?}");
    }
}

/// What the C library makes of a call of rind's, or rind asks on the way, is not what the profile may
/// kill for, once the filter is there.
fn exec_makes_no_other_call_under_its_filter() {
    let names = ["unshare", "stat", "lstat", "fstat", "open", "fork", "vfork", "madvise"];
    let rule = json!({ "names": names, "action": "SCMP_ACT_KILL_PROCESS" });
    let container = Container::running(allowing_but(rule));
    for program in ["/bin/probe", "/proc/self/root/bin/probe"] {
        let output = container.exec(&[], &[program, "exit", "5"]);
        assert_eq!(output.code, 5, "{program}: {output:#?}");
    }
}

fn listener_that_is_not_there_is_an_error() {
    notifying(Bundle::new(), "/not/there.sock").refused("/not/there.sock");
}

fn listener_metadata_needs_a_listener() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "some" });
    with_profile(profile).refused("listenerMetadata");
}
