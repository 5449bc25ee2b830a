//! Programs are run by a small interpreter, and must decide as a plain reading of the profile does.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// It is written for one use of each function.
#![allow(clippy::needless_pass_by_value)]

mod export;
mod libseccomp;

use crate::abi::{ABIS, Abi, NATIVE, X32_BIT, find};
use crate::reference::{Arguments, ENOSYS, KILL, Reference, number};
use crate::syscalls::NAMES;
use crate::{ACTIONS, ARCHITECTURES, Filter, KNOWN_FLAGS, Listener, OPERATORS};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg as Comparison,
    LinuxSeccompFilterFlag, LinuxSeccompOperator as Operator, LinuxSyscall,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::{collection, option};
use serde_json::{Value, json};
use sys::seccomp::{self as kernel, Instruction};

const DOCKER: &str = include_str!("../tests/fixtures/docker.json");
const ALLOW: u32 = kernel::SECCOMP_RET_ALLOW;
const EPERM: u32 = kernel::SECCOMP_RET_ERRNO | 1;

fn profile(profile: Value) -> LinuxSeccomp {
    serde_json::from_value(profile).unwrap()
}

fn compiled(config: &LinuxSeccomp) -> Filter {
    let mut warnings = Vec::new();
    let filter = Filter::compile(config, &mut warnings).unwrap();
    assert_eq!(warnings, [""; 0]);
    filter
}

/// Why a profile that may be wrong in `change` is refused.
fn refusal(change: Value) -> String {
    let mut config = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    Filter::compile(&profile(config), &mut Vec::new()).unwrap_err().to_string()
}

/// What the kernel would be told of a call.
fn run(program: &[Instruction], abi: &Abi, number: u32, arguments: Arguments) -> u32 {
    crate::run::run(program, abi, number, arguments).expect("an instruction that is not expected")
}

/// Names on whose account something is special, and some that are not.
const SPECIAL: [&str; 28] = [
    "read",
    "write",
    "exit",
    "time",
    "clone",
    "clone3",
    "personality",
    "socket",
    "accept",
    "connect",
    "recvmmsg",
    "socketcall",
    "semop",
    "semtimedop",
    "shmat",
    "ipc",
    "restart_syscall",
    "breakpoint",
    "set_tls",
    "newfstatat",
    "fstatat64",
    "getdents64",
    "io_pgetevents_time64",
    "execveat",
    "pwritev2",
    "openat2",
    "file_setattr",
    "not_a_call",
];

const VALUES: [u64; 12] = [
    0,
    1,
    2,
    8,
    18,
    0x2_0000,
    0x7e02_0000,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    u64::MAX,
];

fn action() -> impl Strategy<Value = (Action, Option<u32>)> {
    prop_oneof![
        select(vec![
            Action::ScmpActKill,
            Action::ScmpActKillThread,
            Action::ScmpActKillProcess,
            Action::ScmpActTrap,
            Action::ScmpActAllow,
            Action::ScmpActLog,
        ])
        .prop_map(|action| (action, None)),
        (
            select(vec![Action::ScmpActErrno, Action::ScmpActTrace]),
            option::of(select(vec![0, 1, 38, 4095]))
        ),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let operator = select(OPERATORS.to_vec());
    (0..6_usize, operator, select(VALUES.to_vec()), option::of(select(VALUES.to_vec()))).prop_map(
        |(index, operator, value, second)| {
            let mut comparison = json!({ "index": index, "op": operator, "value": value });
            if let Some(second) = second {
                comparison["valueTwo"] = json!(second);
            }
            serde_json::from_value(comparison).unwrap()
        },
    )
}

fn rule() -> impl Strategy<Value = LinuxSyscall> {
    let name = prop_oneof![select(SPECIAL.to_vec()), select(NAMES.to_vec())];
    let args = option::of(collection::vec(comparison(), 0..4));
    let action = prop_oneof![4 => action(), 1 => Just((Action::ScmpActNotify, None))];
    (collection::vec(name, 1..8), action, args).prop_map(|(names, (action, errno), args)| {
        let keep = |name: &&str| action != Action::ScmpActNotify || *name != "write";
        let names: Vec<&str> = names.into_iter().filter(keep).collect();
        let names = if names.is_empty() { vec!["read"] } else { names };
        let mut rule = LinuxSyscall::default();
        rule.set_names(names.into_iter().map(str::to_owned).collect());
        rule.set_action(action).set_errno_ret(errno).set_args(args);
        rule
    })
}

fn any_profile() -> impl Strategy<Value = LinuxSeccomp> {
    let archs: Vec<Arch> = ABIS.iter().map(|abi| abi.arch).chain([Arch::ScmpArchNative]).collect();
    let archs = option::of(collection::vec(select(archs), 0..5));
    (action(), archs, collection::vec(rule(), 0..12)).prop_map(|((action, errno), archs, rules)| {
        let mut config = LinuxSeccomp::default();
        config.set_default_action(action).set_default_errno_ret(errno).set_architectures(archs);
        config.set_syscalls(Some(rules)).set_listener_path(Some("/run/listener".into()));
        config
    })
}

/// Numbers at which something may change.
fn edges(config: &LinuxSeccomp, abi: &Abi) -> Vec<u32> {
    let rules = config.syscalls().iter().flatten();
    let named = rules.flat_map(LinuxSyscall::names).filter_map(|name| number(abi, name));
    let last = abi.calls.last().unwrap().0;
    let multiplexers = ["ipc", "socketcall"].into_iter().filter_map(|name| number(abi, name));
    let fixed = [0, abi.first, abi.first + last, 0xf_0000, X32_BIT, X32_BIT + last, u32::MAX];
    let edges: Vec<u32> = named.chain(multiplexers).chain(fixed).collect();
    edges.iter().flat_map(|edge| [edge.wrapping_sub(1), *edge, edge.wrapping_add(1)]).collect()
}

/// Arguments near what is compared, or parts of `ipc` and `socketcall`.
fn arguments() -> impl Strategy<Value = Arguments> {
    let near = (select(VALUES.to_vec()), select(vec![u64::MAX, 0, 1]))
        .prop_map(|(value, off)| value.wrapping_add(off));
    let argument = prop_oneof![4 => near, 1 => 0..25_u64, 1 => any::<u64>()];
    collection::vec(argument, 6).prop_map(|arguments| arguments.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn programs_decide_as_the_profile_says(
        config in any_profile(),
        others in collection::vec(any::<Index>(), 2),
        arguments in collection::vec(arguments(), 4),
    ) {
        let filter = compiled(&config);
        let reference = Reference::new(&config);
        let listed = config.architectures().iter().flatten().copied().chain([NATIVE]);
        let others = others.iter().map(|index| index.get(&ABIS).arch);
        for arch in listed.chain(others) {
            let abi = find(arch).unwrap();
            for number in edges(&config, abi) {
                for arguments in &arguments {
                    prop_assert_eq!(
                        run(filter.program(), abi, number, *arguments),
                        reference.decide(abi, number, *arguments),
                        "{} {:#x} {:x?}", abi.name, number, arguments
                    );
                }
            }
        }
    }
}

/// What becomes of a call, by its name, on a machine with the profile.
fn called(filter: &Filter, arch: Arch, name: &str, arguments: Arguments) -> u32 {
    let abi = find(arch).unwrap();
    run(filter.program(), abi, number(abi, name).unwrap(), arguments)
}

fn docker() -> LinuxSeccomp {
    serde_json::from_str(DOCKER).unwrap()
}

#[test]
fn docker_profile_decides_as_docker_means_it() {
    let filter = compiled(&docker());
    let none = [0; 6];
    let x86_64 = |name, arguments| called(&filter, Arch::ScmpArchX86_64, name, arguments);
    for name in ["read", "write", "execve", "openat2", "mkdir", "chroot", "futex_waitv"] {
        assert_eq!(x86_64(name, none), ALLOW, "{name}");
    }
    for name in ["mount", "unshare", "keyctl", "bpf", "kexec_load", "init_module"] {
        assert_eq!(x86_64(name, none), EPERM, "{name}");
    }
    assert_eq!(x86_64("clone3", none), ENOSYS);
    for (persona, action) in [(0, ALLOW), (8, ALLOW), (0x4_0000, EPERM), (0xffff_ffff, ALLOW)] {
        assert_eq!(x86_64("personality", [persona, 0, 0, 0, 0, 0]), action, "{persona:#x}");
    }
    // CLONE_VM | CLONE_THREAD, CLONE_NEWUSER.
    assert_eq!(x86_64("clone", [0x1_0100, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(x86_64("clone", [0x1000_0000, 0, 0, 0, 0, 0]), EPERM);
    // Newer than the profile.
    assert_eq!(x86_64("file_setattr", none), ENOSYS);
    assert_eq!(run(filter.program(), find(NATIVE).unwrap(), 9999, none), ENOSYS);
    assert_eq!(called(&filter, Arch::ScmpArchX86, "socketcall", none), ALLOW);
    assert_eq!(called(&filter, Arch::ScmpArchX32, "readv", none), ALLOW);
    assert_eq!(called(&filter, Arch::ScmpArchX32, "kexec_load", none), EPERM);
    assert_eq!(called(&filter, Arch::ScmpArchMips64, "read", none), KILL);
}

#[test]
fn docker_profile_decides_as_the_profile_says() {
    let config = docker();
    let filter = compiled(&config);
    let reference = Reference::new(&config);
    // This machine's own calls are filtered in any case.
    let most = if NATIVE == Arch::ScmpArchX86_64 { 256 } else { 320 };
    assert!(filter.program().len() <= most, "{}", filter.program().len());
    assert!(filter.is_needed());
    for arch in [Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32, Arch::ScmpArchArm] {
        let abi = find(arch).unwrap();
        for number in (0..700).map(|number| abi.first + number) {
            for first in VALUES {
                let arguments = [first, 0, 0, 0, 0, 0];
                let expected = reference.decide(abi, number, arguments);
                assert_eq!(run(filter.program(), abi, number, arguments), expected);
            }
        }
    }
}

/// Everything is allowed but what the rules say, on all architectures.
fn allowing_but(rules: Value) -> Filter {
    compiled(&profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ARCHITECTURES,
        "syscalls": rules,
    })))
}

#[test]
fn socketcall_and_ipc_are_doors_to_others() {
    let args = json!([{ "index": 0, "op": "SCMP_CMP_EQ", "value": 16 }]);
    let filter = allowing_but(json!([
        { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": args },
        { "names": ["shmat"], "action": "SCMP_ACT_KILL" },
    ]));
    for arch in [Arch::ScmpArchX86, Arch::ScmpArchS390x, Arch::ScmpArchPpc64le] {
        let first = |name, first| called(&filter, arch, name, [first, 0, 0, 0, 0, 0]);
        assert_eq!((first("socket", 1), first("socket", 16)), (ALLOW, EPERM), "{arch}");
        // What socket(2) is given is in memory.
        assert_eq!((first("socketcall", 1), first("socketcall", 2)), (EPERM, ALLOW), "{arch}");
        assert_eq!((first("ipc", 21), first("ipc", 22)), (KILL, ALLOW), "{arch}");
        // The kernel sees an int.
        assert_eq!(first("socketcall", 0xffff_0000_0000_0001), EPERM, "{arch}");
    }
}

#[test]
fn comparisons_see_as_much_as_the_abi_has() {
    let masked = |mask: u64, value: u64| {
        let args =
            [json!({ "index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value })];
        allowing_but(json!([{ "names": ["read"], "action": "SCMP_ACT_ERRNO", "args": args }]))
    };
    let second =
        |filter: &Filter, arch, second| called(filter, arch, "read", [0, second, 0, 0, 0, 0]);
    let filter = masked(0x8000_0000_0000_000f, 0x8000_0000_0000_0001);
    for arch in [Arch::ScmpArchX86_64, Arch::ScmpArchS390x] {
        assert_eq!(second(&filter, arch, 0x8000_0000_0000_0001), EPERM, "{arch}");
        assert_eq!(second(&filter, arch, 0x9000_0001_0000_0011), EPERM, "{arch}");
        assert_eq!(second(&filter, arch, 0x0000_0000_0000_0001), ALLOW, "{arch}");
    }
    for arch in [Arch::ScmpArchX86, Arch::ScmpArchX32, Arch::ScmpArchMips64n32, Arch::ScmpArchPpc] {
        assert_eq!(second(&filter, arch, 1), EPERM, "{arch}");
        assert_eq!(second(&filter, arch, 2), ALLOW, "{arch}");
    }
    // Bits beyond the mask don't count.
    let filter = masked(0xf, 0xffff_0000_0000_0001);
    assert_eq!(second(&filter, Arch::ScmpArchX86_64, 0x1_0000_0001), EPERM);
}

#[test]
fn first_rule_that_matches_decides() {
    let args = |value: u32| json!([{ "index": 0, "op": "SCMP_CMP_LE", "value": value }]);
    let rule =
        |errno: u32| json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let (mut five, mut nine) = (rule(5), rule(9));
    (five["args"], nine["args"]) = (args(5), args(9));
    let filter = allowing_but(json!([rule(30), five, nine, rule(40)]));
    for (value, errno) in [(0, 5), (5, 5), (6, 9), (9, 9), (10, 30)] {
        let action = called(&filter, NATIVE, "read", [value, 0, 0, 0, 0, 0]);
        assert_eq!(action, kernel::SECCOMP_RET_ERRNO | errno, "{value}");
    }
}

#[test]
fn newer_calls_are_missing_only_where_the_default_denies() {
    let native = find(NATIVE).unwrap();
    let newer = number(native, "file_setattr").unwrap();
    for (action, answer) in [
        ("SCMP_ACT_ERRNO", ENOSYS),
        ("SCMP_ACT_KILL", ENOSYS),
        ("SCMP_ACT_TRAP", ENOSYS),
        ("SCMP_ACT_ALLOW", ALLOW),
        ("SCMP_ACT_LOG", kernel::SECCOMP_RET_LOG),
        ("SCMP_ACT_TRACE", kernel::SECCOMP_RET_TRACE | 1),
    ] {
        let rule = json!({ "names": ["openat2"], "action": "SCMP_ACT_KILL_PROCESS" });
        let filter = compiled(&profile(json!({ "defaultAction": action, "syscalls": [rule] })));
        assert_eq!(run(filter.program(), native, newer, [0; 6]), answer, "{action}");
    }
}

#[test]
fn mistakes_are_refused_where_they_are() {
    let rule = |rule: Value| refusal(json!({ "syscalls": [rule] }));
    let kill = json!({ "names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1 });
    let at = "linux.seccomp.syscalls[0]";
    assert_eq!(rule(kill), format!("{at}.errnoRet: SCMP_ACT_KILL takes no errno"));
    let much = json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096 });
    assert!(rule(much).starts_with(&format!("{at}.errnoRet: 4096 is more than the 4095")));
    let nameless = json!({ "names": [], "action": "SCMP_ACT_ERRNO" });
    assert_eq!(rule(nameless), format!("{at}.names: is empty"));
    let empty = json!({ "names": ["mkdir", ""], "action": "SCMP_ACT_ERRNO" });
    assert_eq!(rule(empty), format!("{at}.names[1]: is empty"));
    let seventh = json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]);
    let seventh = json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": seventh });
    let reason = "6 is no argument of a system call (0 to 5)";
    assert_eq!(rule(seventh), format!("{at}.args[0].index: {reason}"));
    assert_eq!(
        refusal(json!({ "defaultErrnoRet": 1 })),
        "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no errno"
    );
    assert_eq!(
        refusal(json!({ "architectures": ["SCMP_ARCH_ARM", "SCMP_ARCH_PARISC"] })),
        "linux.seccomp.architectures[1]: SCMP_ARCH_PARISC is not supported: its calls are not known"
    );
}

#[test]
fn notification_needs_a_listener_and_not_too_much() {
    let notify = |name: &str| json!([{ "names": [name], "action": "SCMP_ACT_NOTIFY" }]);
    assert!(refusal(json!({ "syscalls": notify("mkdirat") })).contains("needs a listener"));
    assert!(
        refusal(json!({ "syscalls": notify("write"), "listenerPath": "/listener" }))
            .ends_with("SCMP_ACT_NOTIFY cannot be used for the write syscall")
    );
    let default = json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/listener" });
    assert!(refusal(default).contains("default action"));
    assert!(refusal(json!({ "listenerMetadata": "some" })).contains("listenerMetadata"));

    let mut config = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_TSYNC"],
        "listenerPath": "/listener",
        "listenerMetadata": "some",
        "syscalls": notify("mkdirat"),
    });
    let filter = compiled(&profile(config.clone()));
    let listener = Listener { path: "/listener".into(), metadata: "some".into() };
    assert_eq!(filter.listener(), Some(&listener));
    let flags = kernel::SECCOMP_FILTER_FLAG_TSYNC
        | kernel::SECCOMP_FILTER_FLAG_TSYNC_ESRCH
        | kernel::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    assert_eq!(filter.flags(), flags);
    // Nothing notifies.
    config["syscalls"] = notify("not_a_call");
    let filter = compiled(&profile(config));
    assert_eq!((filter.listener(), filter.flags()), (None, kernel::SECCOMP_FILTER_FLAG_TSYNC));
}

#[test]
fn flags_are_those_of_the_profile() {
    let flags = |flags: Value| compiled(&profile(flags)).flags();
    let allow = "SCMP_ACT_ALLOW";
    assert_eq!(
        flags(json!({ "defaultAction": allow })),
        kernel::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        "by default"
    );
    assert_eq!(flags(json!({ "defaultAction": allow, "flags": [] })), 0);
    let log = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
    assert_eq!(
        flags(json!({ "defaultAction": allow, "flags": log })),
        kernel::SECCOMP_FILTER_FLAG_LOG | kernel::SECCOMP_FILTER_FLAG_SPEC_ALLOW
    );
    let wait = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"];
    let config = profile(json!({ "defaultAction": allow, "flags": wait }));
    let mut warnings = Vec::new();
    assert_eq!(Filter::compile(&config, &mut warnings).unwrap().flags(), 0);
    assert!(warnings[0].contains(wait[0]) && warnings.len() == 1, "{warnings:?}");
}

#[test]
fn filter_is_needed_if_a_call_is_not_allowed() {
    let needed = |rules: Value| {
        compiled(&profile(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules })))
            .is_needed()
    };
    assert!(!needed(json!([])));
    assert!(!needed(json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ALLOW" }])));
    assert!(!needed(json!([{ "names": ["not_a_call"], "action": "SCMP_ACT_ERRNO" }])));
    assert!(needed(json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }])));
    let args = json!([{ "index": 0, "value": 0, "op": "SCMP_CMP_EQ" }]);
    assert!(needed(json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": args }])));
}

/// A rule of its own for each call, some looking at all arguments: jumps are as long as they get.
fn various(count: usize) -> LinuxSeccomp {
    let args: Vec<Value> = (0..6)
        .map(|index| json!({ "index": index, "value": 1_u64 << 40, "op": "SCMP_CMP_LE" }))
        .collect();
    let rules: Vec<Value> = NAMES
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let args = if number < count { &args[..] } else { &[] };
            let action = "SCMP_ACT_ERRNO";
            json!({ "names": [name], "action": action, "errnoRet": number + 2, "args": args })
        })
        .collect();
    profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [NATIVE, "SCMP_ARCH_X86"],
        "syscalls": rules,
    }))
}

#[test]
fn long_jumps_arrive() {
    for count in [0, 20, 40, 60] {
        let config = various(count);
        let filter = compiled(&config);
        let reference = Reference::new(&config);
        for arch in [NATIVE, Arch::ScmpArchX86] {
            let abi = find(arch).unwrap();
            for number in 0..500 {
                for arguments in [[0; 6], [0, 0, 0, 0, 0, u64::MAX]] {
                    let expected = reference.decide(abi, number, arguments);
                    assert_eq!(run(filter.program(), abi, number, arguments), expected);
                }
            }
        }
    }
}

#[test]
fn more_than_the_kernel_takes_is_refused() {
    let error = Filter::compile(&various(NAMES.len()), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("linux.seccomp.syscalls: are too many"), "{error}");
}

/// In a thread of its own, which the filter does not outlive.
#[test]
#[cfg(target_arch = "x86_64")]
fn kernel_takes_the_docker_profile() {
    let thread = std::thread::spawn(|| {
        let filter = compiled(&docker());
        sys::process::set_no_new_privs().unwrap();
        kernel::set_filter(filter.program(), filter.flags()).unwrap();
        [0, 8, 0x4_0000].map(sys::process::set_personality)
    });
    assert_eq!(thread.join().unwrap(), [Ok(()), Ok(()), Err(sys::Errno::EPERM)]);
}

#[test]
fn kernel_tells_which_flags_it_knows() {
    assert!(kernel::knows_flags(kernel::SECCOMP_FILTER_FLAG_LOG));
    assert!(!kernel::knows_flags(1 << 31));
}

#[test]
fn names_are_the_specs() {
    let parsed = |names: &[&str]| names.iter().map(|name| json!(name)).collect::<Vec<_>>();
    for (place, name) in parsed(ARCHITECTURES).into_iter().enumerate() {
        assert_eq!(serde_json::from_value::<Arch>(name).unwrap(), ABIS[place].arch);
    }
    for name in parsed(ACTIONS) {
        serde_json::from_value::<Action>(name).unwrap();
    }
    for name in parsed(OPERATORS) {
        serde_json::from_value::<Operator>(name).unwrap();
    }
    for name in parsed(KNOWN_FLAGS) {
        serde_json::from_value::<LinuxSeccompFilterFlag>(name).unwrap();
    }
}

#[test]
fn architectures_are_the_kernels() {
    // oci-spec has the same numbers, but for x32, which the kernel does not tell from x86_64, and
    // but for the 64-bit bit of n32, which libseccomp has as the kernel does.
    for abi in ABIS.iter().filter(|abi| abi.arch != Arch::ScmpArchX32) {
        assert_eq!(abi.audit, abi.arch as u32, "{}", abi.name);
    }
    let wide = |arch| find(arch).unwrap().wide;
    assert!(wide(Arch::ScmpArchX86_64) && wide(Arch::ScmpArchMips64));
    assert!(
        !wide(Arch::ScmpArchX32) && !wide(Arch::ScmpArchMips64n32) && !wide(Arch::ScmpArchS390)
    );
    assert_eq!(find(Arch::ScmpArchNative).unwrap().arch, NATIVE);
}

#[test]
fn tables_are_sorted_and_right() {
    use Arch::*;
    assert!(NAMES.is_sorted_by(|one, next| one < next));
    for abi in &ABIS {
        assert!(abi.calls.is_sorted_by(|one, next| one.0 < next.0), "{}", abi.name);
        assert_eq!(number(abi, "clone3").unwrap() - abi.first, 435, "{}", abi.name);
    }
    for (arch, name, expected) in [
        (ScmpArchX86_64, "mount", Some(165)),
        (ScmpArchX86_64, "clock_gettime64", None),
        (ScmpArchX86, "socketcall", Some(102)),
        (ScmpArchX86, "accept", None),
        (ScmpArchX32, "read", Some(0x4000_0000)),
        (ScmpArchX32, "execve", Some(0x4000_0208)),
        (ScmpArchArm, "set_tls", Some(0xf_0005)),
        (ScmpArchAarch64, "newfstatat", Some(79)),
        (ScmpArchMips, "read", Some(4003)),
        (ScmpArchMips64, "getdents64", Some(5308)),
        (ScmpArchMips64n32, "set_tid_address", Some(6213)),
        (ScmpArchMips64n32, "mq_open", Some(6234)),
        (ScmpArchMips64n32, "add_key", Some(6243)),
        (ScmpArchMips64n32, "recvmmsg", Some(6298)),
        (ScmpArchMips64n32, "getdents64", Some(6299)),
        (ScmpArchMips64n32, "finit_module", Some(6312)),
        (ScmpArchMips64n32, "seccomp", Some(6316)),
        (ScmpArchMips64n32, "io_pgetevents", Some(6332)),
        (ScmpArchMips64n32, "futex_time64", Some(6422)),
        (ScmpArchS390, "setuid32", Some(213)),
        (ScmpArchS390, "setuid", Some(23)),
        (ScmpArchS390, "futex_time64", Some(422)),
        (ScmpArchS390x, "setuid", Some(213)),
        (ScmpArchS390x, "futex_time64", None),
        (ScmpArchRiscv64, "riscv_flush_icache", Some(259)),
    ] {
        assert_eq!(number(find(arch).unwrap(), name), expected, "{arch} {name}");
    }
}

/// The C library's numbers, of this machine.
#[test]
fn native_table_is_the_c_librarys() {
    use sys::nix::libc;
    let native = find(NATIVE).unwrap();
    for (name, expected) in [
        ("read", libc::SYS_read),
        ("execve", libc::SYS_execve),
        ("personality", libc::SYS_personality),
        ("seccomp", libc::SYS_seccomp),
        ("openat2", libc::SYS_openat2),
    ] {
        assert_eq!(number(native, name).map(i64::from), Some(expected), "{name}");
    }
}

#[test]
fn names_in_no_table_are_known_on_request_only() {
    let names = |names: Value| {
        profile(json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": names, "action": "SCMP_ACT_ERRNO" }],
        }))
    };
    crate::check_known(&names(json!(["read", "arm_fadvise64_64", "s390_pci_mmio_read"]))).unwrap();
    let unknown = names(json!(["read", "unheard_of"]));
    compiled(&unknown);
    let error = crate::check_known(&unknown).unwrap_err().to_string();
    assert_eq!(error, "linux.seccomp.syscalls[0].names[1]: unheard_of is no known system call");
}
