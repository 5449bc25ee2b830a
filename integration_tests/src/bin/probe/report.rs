//! All that a process can know of itself. What cannot be read, since /proc is not there, is null.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::{env, fs, io};
use sys::nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use sys::nix::sys::stat::{Mode, umask};
use sys::nix::sys::termios::{OutputFlags, tcgetattr};
use sys::nix::sys::utsname::uname;
use sys::nix::unistd::{
    getegid, geteuid, getgid, getgroups, getpgid, getpid, getppid, getsid, getuid,
};

/// The names of capabilities by number (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The limits that are reported, by their names in a configuration.
const LIMITS: [(&str, Resource); 15] = [
    ("RLIMIT_AS", Resource::RLIMIT_AS),
    ("RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("RLIMIT_CPU", Resource::RLIMIT_CPU),
    ("RLIMIT_DATA", Resource::RLIMIT_DATA),
    ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
    ("RLIMIT_RSS", Resource::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
    ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", Resource::RLIMIT_STACK),
];

/// Everything, as one JSON object.
pub fn report(arguments: &[String]) -> Value {
    let status = status();
    let field = |name: &str| status.get(name).cloned();
    let mut report = json!({
        "args": arguments,
        "env": env::vars_os()
            .map(|(key, value)| format!("{}={}", key.to_string_lossy(), value.to_string_lossy()))
            .collect::<Vec<_>>(),
        "cwd": env::current_dir().map_err(|error| error.to_string()).ok(),
        "umask": own_umask(),
        "capabilities": {
            "effective": capabilities(field("CapEff")),
            "permitted": capabilities(field("CapPrm")),
            "inheritable": capabilities(field("CapInh")),
            "bounding": capabilities(field("CapBnd")),
            "ambient": capabilities(field("CapAmb")),
        },
        "no_new_privs": field("NoNewPrivs").map(|value| value == "1"),
        "seccomp": field("Seccomp"),
        "processors": field("Cpus_allowed_list"),
        "signals_ignored": field("SigIgn"),
        "signals_blocked": field("SigBlk"),
        "scheduling": scheduling(),
        "rlimits": limits(),
        "oom_score_adj": text("/proc/self/oom_score_adj"),
        "cgroup": text("/proc/self/cgroup"),
        "keys": text("/proc/keys"),
        "processes": processes(),
        "mounts": mounts(),
        "descriptors": descriptors(),
        "namespaces": namespaces(),
        "terminal": terminal(),
    });
    extend(&mut report, identity());
    report
}

fn extend(report: &mut Value, more: Value) {
    if let (Value::Object(all), Value::Object(more)) = (report, more) {
        all.extend(more);
    }
}

fn identity() -> Value {
    let names = uname().expect("uname");
    let mut groups: Vec<u32> =
        getgroups().expect("getgroups").into_iter().map(sys::nix::unistd::Gid::as_raw).collect();
    groups.sort_unstable();
    json!({
        "pid": getpid().as_raw(),
        "ppid": getppid().as_raw(),
        "pgid": getpgid(None).map(sys::nix::unistd::Pid::as_raw).ok(),
        "sid": getsid(None).map(sys::nix::unistd::Pid::as_raw).ok(),
        "uid": getuid().as_raw(),
        "euid": geteuid().as_raw(),
        "gid": getgid().as_raw(),
        "egid": getegid().as_raw(),
        "groups": groups,
        "hostname": names.nodename().to_string_lossy(),
        "domainname": names.domainname().to_string_lossy(),
        "machine": names.machine().to_string_lossy(),
    })
}

/// What this process has open, by number. The folder that is read for it is left out.
pub fn descriptors() -> Value {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Value::Null };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let open: Map<String, Value> = names
        .into_iter()
        .filter_map(|name| {
            let target = fs::read_link(format!("/proc/self/fd/{}", name.to_string_lossy())).ok()?;
            Some((name.to_string_lossy().into_owned(), json!(target)))
        })
        .collect();
    Value::Object(open)
}

fn own_umask() -> u32 {
    let mask = umask(Mode::empty());
    umask(mask);
    mask.bits()
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

fn status() -> BTreeMap<String, String> {
    let text = text("/proc/self/status").unwrap_or_default();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

fn capabilities(mask: Option<String>) -> Option<Vec<&'static str>> {
    let mask = u64::from_str_radix(&mask?, 16).ok()?;
    let mut names: Vec<_> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(number, _)| mask >> number & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    names.sort_unstable();
    Some(names)
}

fn limits() -> Value {
    let value = |limit| if limit == RLIM_INFINITY { json!("unlimited") } else { json!(limit) };
    let all = LIMITS.iter().filter_map(|(name, resource)| {
        let (soft, hard) = getrlimit(*resource).ok()?;
        Some(((*name).to_owned(), json!([value(soft), value(hard)])))
    });
    Value::Object(all.collect())
}

/// How this process is scheduled (`proc_pid_stat(5)`, fields 19 and 41).
fn scheduling() -> Option<Value> {
    let stat = text("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Some(json!({ "nice": fields.get(16)?, "policy": fields.get(38)? }))
}

fn processes() -> Option<Vec<i32>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut pids: Vec<i32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Some(pids)
}

/// The mounts in the order they were made, the last on a point being the one that is seen.
fn mounts() -> Option<Vec<Value>> {
    let table = text("/proc/self/mountinfo")?;
    table
        .lines()
        .map(|line| {
            let (first, second) = line.split_once(" - ")?;
            let first: Vec<&str> = first.split(' ').collect();
            let second: Vec<&str> = second.split(' ').collect();
            Some(json!({
                "device": first.get(2)?,
                "root": first.get(3)?,
                "point": first.get(4)?,
                "options": first.get(5)?.split(',').collect::<Vec<_>>(),
                "propagation": first.get(6..)?,
                "type": second.first()?,
                "source": second.get(1)?,
                "data": second.get(2).unwrap_or(&"").split(',').collect::<Vec<_>>(),
            }))
        })
        .collect()
}

fn namespaces() -> Value {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let links = kinds.iter().map(|kind| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok();
        ((*kind).to_owned(), json!(link))
    });
    Value::Object(links.collect())
}

fn terminal() -> Value {
    let stdin = io::stdin();
    let Ok(size) = sys::terminal::size(stdin.as_fd()) else { return Value::Null };
    let attributes = tcgetattr(&stdin);
    json!({
        "rows": size.rows,
        "columns": size.columns,
        "newline_to_crnl": attributes
            .map(|attributes| attributes.output_flags.contains(OutputFlags::ONLCR))
            .ok(),
        "name": fs::read_link("/proc/self/fd/0").ok(),
        "controlling": fs::File::open("/dev/tty").is_ok(),
    })
}
