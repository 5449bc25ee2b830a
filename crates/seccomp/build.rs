//! Makes the tables that `src/syscalls.rs` includes: every system call name once, sorted, and for
//! each ABI its numbers in ascending order, each with the index of its name.
//!
//! The `syscalls` crate has the numbers. It is used here only, since its own lookup by name is a
//! chain of several hundred string comparisons for each ABI, and a profile's names are looked up
//! each time a container is made.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// Calls of one ABI, by number. For x32 and MIPS the number counts from the ABI's first.
type Calls = Vec<(u32, &'static str)>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let tables = tables();
    let names: BTreeSet<&str> =
        tables.iter().flat_map(|(_, calls)| calls.iter().map(|&(_, name)| name)).collect();
    let names: Vec<&str> = names.into_iter().collect();

    let mut code = String::new();
    writeln!(code, "pub(crate) static NAMES: [&str; {}] = {names:?};", names.len())?;
    for (name, parts) in [("ipc", &IPC[..]), ("socketcall", &SOCKETCALL)] {
        let constant = name.to_uppercase();
        writeln!(code, "pub(crate) const {constant}: u16 = {};", position(&names, name)?)?;
        write!(code, "pub(crate) static {constant}_PARTS: [(u16, u32); {}] = [", parts.len())?;
        for &(number, part) in parts {
            write!(code, "({},{number}),", position(&names, part)?)?;
        }
        writeln!(code, "];")?;
    }
    for (table, calls) in &tables {
        write!(code, "pub(crate) static {table}: [(u32, u16); {}] = [", calls.len())?;
        for &(number, name) in calls {
            write!(code, "({number},{}),", position(&names, name)?)?;
        }
        writeln!(code, "];")?;
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("syscalls.rs"), code)?;
    Ok(())
}

fn position(names: &[&str], name: &str) -> Result<u16, Box<dyn Error>> {
    let position = names.binary_search(&name).map_err(|_| format!("{name}: in no table"))?;
    Ok(u16::try_from(position)?)
}

/// The calls that the crate has for the ABI of the module `$module`, counted from `$first`.
macro_rules! calls {
    ($module:ident, $first:expr) => {{
        use syscalls::$module::Sysno;
        // The crate's iterator stops short of the last one.
        let all = Sysno::iter().chain([Sysno::last()]);
        all.map(|call| (call.id().unsigned_abs() - $first, call.name())).collect::<Calls>()
    }};
}

/// Each ABI's table, under the name of the static that it becomes.
fn tables() -> Vec<(&'static str, Calls)> {
    let mut arm = calls!(arm, 0);
    arm.extend(ARM_PRIVATE);
    let mut mips64 = calls!(mips64, 5000);
    mips64.push((450, "set_mempolicy_home_node"));
    let x86 = calls!(x86, 0);
    let x86_64 = calls!(x86_64, 0);
    let x32 = x32(&x86_64);
    let s390x = corrected(calls!(s390x, 0), true);
    let mips64 = corrected(mips64, true);
    vec![
        ("AARCH64", corrected(calls!(aarch64, 0), true)),
        ("ARM", corrected(arm, false)),
        ("LOONGARCH64", corrected(calls!(loongarch64, 0), true)),
        ("MIPS", corrected(calls!(mips, 4000), false)),
        ("MIPS64N32", corrected(mips64n32(&mips64, &x86), false)),
        ("MIPS64", mips64),
        ("POWERPC", corrected(calls!(powerpc, 0), false)),
        ("POWERPC64", corrected(calls!(powerpc64, 0), true)),
        ("RISCV64", corrected(calls!(riscv64, 0), true)),
        ("S390", corrected(s390(&s390x, &x86), false)),
        ("S390X", s390x),
        ("X32", corrected(x32, false)),
        ("X86", corrected(x86, false)),
        ("X86_64", corrected(x86_64, true)),
    ]
}

/// Mends what version 0.8.1 of the crate has wrong, and sorts.
///
/// * 79 is `newfstatat` on the 64-bit ABIs of the generic table; no kernel has an `fstatat`.
/// * 403 to 423 are the 64-bit time calls of 32-bit ABIs; a 64-bit kernel leaves them out.
/// * MIPS has placeholders where there is no call.
/// * `break` is written as Rust's identifier.
fn corrected(mut calls: Calls, wide: bool) -> Calls {
    calls.retain(|(number, name)| {
        let placeholder = name.starts_with("unused") || name.starts_with("reserved");
        let of_32_bits = wide && (403..=423).contains(number);
        !placeholder && !of_32_bits
    });
    for (_, name) in &mut calls {
        match *name {
            "fstatat" => *name = "newfstatat",
            // A keyword, which the crate writes as an identifier.
            "r#break" => *name = "break",
            _ => {}
        }
    }
    calls.sort_unstable();
    calls.dedup();
    calls
}

/// Calls of the 32-bit ARM kernel's own, which the crate lacks (`asm/unistd.h`).
const ARM_PRIVATE: [(u32, &str); 6] = [
    (0xf_0001, "breakpoint"),
    (0xf_0002, "cacheflush"),
    (0xf_0003, "usr26"),
    (0xf_0004, "usr32"),
    (0xf_0005, "set_tls"),
    (0xf_0006, "get_tls"),
];

/// The 64-bit time calls, which have the same numbers on every 32-bit ABI that has them.
fn time64(x86: &Calls) -> impl Iterator<Item = (u32, &'static str)> {
    x86.iter().copied().filter(|(number, _)| (403..=423).contains(number))
}

/// MIPS's n32, which the crate lacks: the 64-bit ABI's calls, some of them moved.
fn mips64n32(mips64: &Calls, x86: &Calls) -> Calls {
    let common = mips64.iter().filter(|(_, name)| *name != "getdents64").map(|&(number, name)| {
        let moved = match number {
            212..=215 => 1,
            295..=307 => 5,
            216..=294 | 309..=328 => 4,
            _ => 0,
        };
        (number + moved, name)
    });
    common.chain(N32_ONLY).chain(time64(x86)).collect()
}

/// Those that n32 has and the 64-bit ABI has not, or elsewhere.
const N32_ONLY: [(u32, &str); 5] = [
    (212, "fcntl64"),
    (217, "statfs64"),
    (218, "fstatfs64"),
    (219, "sendfile64"),
    (299, "getdents64"),
];

/// The 31-bit s390, which the crate lacks: the 64-bit ABI's calls but for those of other widths.
fn s390(s390x: &Calls, x86: &Calls) -> Calls {
    let wide = |number: u32| matches!(number, 142 | 191 | 198..=216 | 293 | 392);
    let common = s390x.iter().copied().filter(|&(number, _)| !wide(number));
    common.chain(S390_ONLY).chain(time64(x86)).collect()
}

/// Those that only 31-bit programs may call.
const S390_ONLY: [(u32, &str); 55] = [
    (13, "time"),
    (16, "lchown"),
    (23, "setuid"),
    (24, "getuid"),
    (25, "stime"),
    (46, "setgid"),
    (47, "getgid"),
    (49, "geteuid"),
    (50, "getegid"),
    (70, "setreuid"),
    (71, "setregid"),
    (76, "getrlimit"),
    (80, "getgroups"),
    (81, "setgroups"),
    (95, "fchown"),
    (101, "ioperm"),
    (138, "setfsuid"),
    (139, "setfsgid"),
    (140, "_llseek"),
    (142, "_newselect"),
    (164, "setresuid"),
    (165, "getresuid"),
    (170, "setresgid"),
    (171, "getresgid"),
    (182, "chown"),
    (191, "ugetrlimit"),
    (192, "mmap2"),
    (193, "truncate64"),
    (194, "ftruncate64"),
    (195, "stat64"),
    (196, "lstat64"),
    (197, "fstat64"),
    (198, "lchown32"),
    (199, "getuid32"),
    (200, "getgid32"),
    (201, "geteuid32"),
    (202, "getegid32"),
    (203, "setreuid32"),
    (204, "setregid32"),
    (205, "getgroups32"),
    (206, "setgroups32"),
    (207, "fchown32"),
    (208, "setresuid32"),
    (209, "getresuid32"),
    (210, "setresgid32"),
    (211, "getresgid32"),
    (212, "chown32"),
    (213, "setuid32"),
    (214, "setgid32"),
    (215, "setfsuid32"),
    (216, "setfsgid32"),
    (221, "fcntl64"),
    (223, "sendfile64"),
    (264, "fadvise64_64"),
    (293, "fstatat64"),
];

/// The calls that `socketcall` is a door to, by its first argument (`linux/net.h`).
const SOCKETCALL: [(u32, &str); 20] = [
    (1, "socket"),
    (2, "bind"),
    (3, "connect"),
    (4, "listen"),
    (5, "accept"),
    (6, "getsockname"),
    (7, "getpeername"),
    (8, "socketpair"),
    (9, "send"),
    (10, "recv"),
    (11, "sendto"),
    (12, "recvfrom"),
    (13, "shutdown"),
    (14, "setsockopt"),
    (15, "getsockopt"),
    (16, "sendmsg"),
    (17, "recvmsg"),
    (18, "accept4"),
    (19, "recvmmsg"),
    (20, "sendmmsg"),
];

/// The calls that `ipc` is a door to, by its first argument (`linux/ipc.h`).
const IPC: [(u32, &str); 12] = [
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];

/// x32, which the crate lacks: `x86_64`'s numbers but for those in [`X32_ONLY`] and [`NOT_X32`].
fn x32(x86_64: &Calls) -> Calls {
    let common = x86_64
        .iter()
        .filter(|(_, name)| !NOT_X32.contains(name) && !X32_ONLY.contains(name))
        .copied();
    common.chain((512..).zip(X32_ONLY)).collect()
}

/// Those with a number of their own in x32, from 512 on.
const X32_ONLY: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Those that only 64-bit programs may call.
const NOT_X32: [&str; 13] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
    "uretprobe",
    "uprobe",
];
