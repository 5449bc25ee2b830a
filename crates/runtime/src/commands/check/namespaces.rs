//! Namespaces: which kinds the kernel has, and whether the caller may make them. Each is tried, in a
//! process that ends at once.

use super::finding::Finding;
use super::kernel::{is_admin, number};
use process::CLONE_NEWTIME;
use std::path::Path;
use sys::Errno;
use sys::nix::sched::CloneFlags;
use sys::nix::unistd::geteuid;

/// A kind of namespace: its flag, its file below /proc/PID/ns, the name of its limit below
/// /proc/sys/user, what builds it into a kernel, and whether usual configs have it.
struct Kind {
    flag: CloneFlags,
    file: &'static str,
    limit: &'static str,
    built_by: &'static str,
    is_usual: bool,
}

const fn kind(
    flag: CloneFlags,
    file: &'static str,
    limit: &'static str,
    built_by: &'static str,
    is_usual: bool,
) -> Kind {
    Kind { flag, file, limit, built_by, is_usual }
}

const KINDS: [Kind; 7] = [
    kind(CloneFlags::CLONE_NEWNS, "mnt", "max_mnt_namespaces", "CONFIG_NAMESPACES", true),
    kind(CloneFlags::CLONE_NEWPID, "pid", "max_pid_namespaces", "CONFIG_PID_NS", true),
    kind(CloneFlags::CLONE_NEWNET, "net", "max_net_namespaces", "CONFIG_NET_NS", true),
    kind(CloneFlags::CLONE_NEWIPC, "ipc", "max_ipc_namespaces", "CONFIG_IPC_NS", true),
    kind(CloneFlags::CLONE_NEWUTS, "uts", "max_uts_namespaces", "CONFIG_UTS_NS", true),
    kind(CloneFlags::CLONE_NEWCGROUP, "cgroup", "max_cgroup_namespaces", "CONFIG_CGROUPS", false),
    kind(CLONE_NEWTIME, "time", "max_time_namespaces", "CONFIG_TIME_NS", false),
];

const USER: Kind =
    kind(CloneFlags::CLONE_NEWUSER, "user", "max_user_namespaces", "CONFIG_USER_NS", false);

pub(super) fn findings() -> Vec<Finding> {
    let user = process::try_making(USER.flag);
    let mut all = vec![of_user(user)];
    // Only root may make the others outside a user namespace.
    let within = if is_admin() { CloneFlags::empty() } else { USER.flag };
    if user.is_err() && !within.is_empty() {
        return all;
    }
    let mut made = Vec::new();
    for kind in &KINDS {
        match process::try_making(kind.flag | within) {
            Ok(()) => made.push(process::namespace_name(kind.flag)),
            Err(errno) => all.push(refused(kind, errno, !within.is_empty())),
        }
    }
    if !made.is_empty() {
        all.push(Finding::ok("namespaces", "others", made.join(", ")));
    }
    all
}

/// User namespaces, which a user other than root can't do without.
fn of_user(made: sys::Result<()>) -> Finding {
    let is_root = is_admin();
    let whose = if geteuid().is_root() { "root" } else { "this user" };
    let found = |detail: String| Finding::ok("namespaces", "user", detail);
    let Err(errno) = made else { return found(format!("{whose} may make them")) };
    let answer = sys::errno_text(errno);
    let consequence = if is_root {
        "a config with a user namespace is refused, as are idmapped mounts"
    } else {
        "a user other than root can make no container at all"
    };
    found(format!("{whose} may not make them: {answer}"))
        .lacks(consequence, remedy_for_user(errno))
        .only_warns_if(is_root)
}

/// What keeps a caller from making user namespaces, by what the settings say.
fn remedy_for_user(errno: Errno) -> String {
    let is = |name: &str, value| number(&format!("/proc/sys/{name}")) == Some(value);
    if !has_file(&USER) {
        return not_built(&USER);
    }
    if is("user/max_user_namespaces", 0) || errno == Errno::ENOSPC {
        return "sysctl -w user.max_user_namespaces=15000 (and in /etc/sysctl.d)".to_owned();
    }
    if is("kernel/unprivileged_userns_clone", 0) {
        return "sysctl -w kernel.unprivileged_userns_clone=1 (and in /etc/sysctl.d)".to_owned();
    }
    if is("kernel/apparmor_restrict_unprivileged_userns", 1) {
        return apparmor();
    }
    "have the seccomp profile or the security module around rind allow clone3 and unshare with \
     CLONE_NEWUSER; the kernel also refuses it in a chroot"
        .to_owned()
}

pub(super) fn apparmor() -> String {
    "an AppArmor profile for rind with \"userns,\" in it (/etc/apparmor.d), or sysctl -w \
     kernel.apparmor_restrict_unprivileged_userns=0"
        .to_owned()
}

fn refused(kind: &Kind, errno: Errno, in_user_namespace: bool) -> Finding {
    let name = process::namespace_name(kind.flag);
    let answer = sys::errno_text(errno);
    let found = Finding::ok("namespaces", name, format!("can't be made: {answer}"));
    let remedy = if !has_file(kind) {
        not_built(kind)
    } else if errno == Errno::ENOSPC {
        let limit = kind.limit;
        format!("sysctl -w user.{limit}=15000 (and in /etc/sysctl.d)")
    } else if in_user_namespace
        && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
    {
        apparmor()
    } else if is_admin() {
        "have the seccomp profile or the security module around rind allow clone3 and unshare for it"
            .to_owned()
    } else {
        "run as root, or with CAP_SYS_ADMIN".to_owned()
    };
    let consequence = format!("a config with a {name} namespace is refused");
    let consequence =
        if kind.is_usual { format!("{consequence}, as nearly all are") } else { consequence };
    found.lacks(consequence, remedy).only_warns_if(!kind.is_usual)
}

fn has_file(kind: &Kind) -> bool {
    Path::new("/proc/self/ns").join(kind.file).exists()
}

fn not_built(kind: &Kind) -> String {
    format!("a kernel that is built with {}", kind.built_by)
}
