//! Seccomp, and the security modules.

use super::finding::Finding;
use process::SecurityModule;
use std::path::Path;
use sys::seccomp as kernel;

/// The actions of profiles, and what the kernel calls them.
const ACTIONS: [(&str, u32); 8] = [
    ("SCMP_ACT_KILL_PROCESS", kernel::SECCOMP_RET_KILL_PROCESS),
    ("SCMP_ACT_KILL_THREAD", kernel::SECCOMP_RET_KILL_THREAD),
    ("SCMP_ACT_TRAP", kernel::SECCOMP_RET_TRAP),
    ("SCMP_ACT_ERRNO", kernel::SECCOMP_RET_ERRNO),
    ("SCMP_ACT_NOTIFY", kernel::SECCOMP_RET_USER_NOTIF),
    ("SCMP_ACT_TRACE", kernel::SECCOMP_RET_TRACE),
    ("SCMP_ACT_LOG", kernel::SECCOMP_RET_LOG),
    ("SCMP_ACT_ALLOW", kernel::SECCOMP_RET_ALLOW),
];

pub(super) fn findings() -> Vec<Finding> {
    let mut all = vec![actions(), notification(), own_filter()];
    all.extend([
        module("AppArmor", SecurityModule::AppArmor, "process.apparmorProfile"),
        module("SELinux", SecurityModule::Selinux, "process.selinuxLabel"),
    ]);
    all
}

fn actions() -> Finding {
    let found = |detail: String| Finding::ok("security", "seccomp", detail);
    let mut known = Vec::new();
    for (name, action) in ACTIONS {
        match kernel::knows_action(action) {
            Ok(true) => known.push(name),
            Ok(false) => {}
            Err(errno) => {
                let answer = sys::errno_text(errno);
                return found(format!("the call is answered with: {answer}")).lacks(
                    "a config with linux.seccomp is refused, as nearly all of engines are",
                    "a kernel that is built with CONFIG_SECCOMP_FILTER; or have the seccomp profile \
                     around rind allow seccomp",
                );
            }
        }
    }
    let missing: Vec<&str> =
        ACTIONS.iter().map(|(name, _)| *name).filter(|name| !known.contains(name)).collect();
    let found = found(known.join(", "));
    if missing.is_empty() {
        return found;
    }
    let missing = missing.join(", ");
    found.warns(format!("a profile with {missing} is refused"), "boot a newer kernel")
}

/// Whether a process can be told of calls (`SCMP_ACT_NOTIFY`) with a way to wait that signals don't break.
fn notification() -> Finding {
    let flags =
        kernel::SECCOMP_FILTER_FLAG_NEW_LISTENER | kernel::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let found = |detail| Finding::ok("security", "seccomp notify", detail);
    if kernel::knows_flags(flags) {
        return found("with SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
    }
    if kernel::knows_flags(kernel::SECCOMP_FILTER_FLAG_NEW_LISTENER) {
        return found("without SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
            .warns("a profile with this flag has no effect of it", "boot Linux 5.19 or newer");
    }
    found("not there").warns(
        "a profile with SCMP_ACT_NOTIFY, for a listener, is refused",
        "boot Linux 5.5 or newer, or have the seccomp profile around rind allow seccomp",
    )
}

/// Whether rind runs under a filter itself, and without a way to new privileges.
fn own_filter() -> Finding {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key| status.lines().find_map(|line: &str| line.strip_prefix(key)).map(str::trim);
    let mode =
        if value("Seccomp:") == Some("2") { "under a seccomp filter" } else { "under no filter" };
    let privileges = match value("NoNewPrivs:") {
        Some("1") => ", with no_new_privs",
        _ => "",
    };
    Finding::ok("security", "rind itself", format!("{mode}{privileges}"))
}

fn module(name: &'static str, module: SecurityModule, property: &str) -> Finding {
    let is_on = module.is_on();
    let found = Finding::ok("security", name, if is_on { "on" } else { "off" });
    if !is_on {
        // Most hosts have one of the two at most: that is no want of theirs.
        let detail = format!("off: create leaves {property} out, with a warning");
        return Finding::ok("security", name, detail);
    }
    let profiles = Path::new(PROFILES);
    if module == SecurityModule::AppArmor && !profiles.exists() {
        return Finding::ok("security", name, "on, but its profiles can't be read here").warns(
            "check can't tell whether a profile is loaded",
            "mount -t securityfs securityfs /sys/kernel/security",
        );
    }
    found
}

const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Whether an `AppArmor` profile is loaded, as far as the caller may know. In a namespace of profiles
/// (`:ns:profile`) it isn't asked.
pub(super) fn has_profile(name: &str) -> Option<bool> {
    let name = name.split("//&").next().unwrap_or(name);
    if name == "unconfined" || name.starts_with(':') {
        return None;
    }
    let text = std::fs::read_to_string(PROFILES).ok()?;
    Some(text.lines().any(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" (") && rest.ends_with(')'))
    }))
}
