//! Checks `linux.sysctl`: a setting must be one that the kernel keeps for each namespace, and the
//! container must have a namespace of that kind.

use super::{Check, Found, namespace};
use crate::path::at;
use oci_spec::runtime::{Linux, LinuxNamespaceType};

/// The settings of an IPC namespace, beside those below fs.mqueue.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

const HOSTNAME: &str = "kernel.hostname";
const DOMAINNAME: &str = "kernel.domainname";

/// Checks the settings. A namespace in the list may still be the host's, by its path; only `runtime`
/// can find that out.
pub(super) fn check(found: &mut Found, linux: &Linux) -> Check {
    for name in linux.sysctl().iter().flatten().map(|(name, _)| name) {
        let mut refuse = |reason: &str| found.refuse(at("linux.sysctl").key(name), reason);
        // Names of both forms are compared by their parts, and no part may lead elsewhere.
        if parts(name).any(|part| matches!(part, "" | "." | ".." | "/" | "//")) {
            refuse("is not the name of a setting")?;
        }
        match kind(name) {
            Some((kind, which)) if namespace(linux, kind).is_none() => {
                refuse(&format!("is the host's without {which} namespace in linux.namespaces"))?;
            }
            Some(_) => {}
            None if is(name, HOSTNAME) => refuse("is what hostname is for")?,
            None => refuse("is not in a separate kernel namespace")?,
        }
    }
    Ok(())
}

/// Refuses a setting that says the same as `domainname`, as only one of the two can have its way.
pub(super) fn check_domainname(found: &mut Found, linux: &Linux) -> Check {
    match linux.sysctl().iter().flat_map(|all| all.keys()).find(|name| is(name, DOMAINNAME)) {
        Some(name) => found.refuse(
            at("linux.sysctl").key(name),
            "is what domainname is for, which is set as well",
        ),
        None => Ok(()),
    }
}

/// The type of namespace that keeps a setting, if a container may have the setting.
#[must_use]
pub fn sysctl_namespace(name: &str) -> Option<LinuxNamespaceType> {
    kind(name).map(|(kind, _)| kind)
}

/// The namespace that keeps a setting, and its name with an article.
fn kind(name: &str) -> Option<(LinuxNamespaceType, &'static str)> {
    if starts(name, &["net"]) {
        Some((LinuxNamespaceType::Network, "a network"))
    } else if starts(name, &["fs", "mqueue"]) || IPC.iter().any(|known| is(name, known)) {
        Some((LinuxNamespaceType::Ipc, "an ipc"))
    } else if is(name, DOMAINNAME) {
        Some((LinuxNamespaceType::Uts, "a UTS"))
    } else if starts(name, &["user"]) {
        Some((LinuxNamespaceType::User, "a user"))
    } else {
        None
    }
}

/// Whether the setting is below `above`.
fn starts(name: &str, above: &[&str]) -> bool {
    let mut parts = parts(name);
    above.iter().all(|part| parts.next() == Some(part)) && parts.next().is_some()
}

fn is(name: &str, dotted: &str) -> bool {
    parts(name).eq(dotted.split('.'))
}

/// The parts of a name. The first separator, `.` or `/`, stands between parts, and the other one
/// stands for a dot within a part: `net/ipv4/conf/eth0.1/forwarding`, `net.ipv4.conf.eth0/1.forwarding`
/// (sysctl.d(5)).
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let separator = name.chars().find(|one| matches!(one, '.' | '/')).unwrap_or('.');
    name.split(separator)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{from_value, json};

    fn of(name: &str, namespaces: &[&str]) -> Check {
        let namespaces: Vec<_> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
        let config = json!({ "sysctl": { name: "1" }, "namespaces": namespaces });
        check(&mut Found::default(), &from_value(config).unwrap())
    }

    #[test]
    fn a_setting_needs_its_own_namespace() {
        let cases = [
            ("net.ipv4.ip_forward", "network"),
            ("net/ipv4/ip_forward", "network"),
            ("net.ipv4.conf.eth0/1.forwarding", "network"),
            ("net/ipv4/conf/eth0.1/forwarding", "network"),
            ("kernel.msgmax", "ipc"),
            ("kernel.msgmnb", "ipc"),
            ("kernel.msgmni", "ipc"),
            ("kernel.sem", "ipc"),
            ("kernel.shmall", "ipc"),
            ("kernel.shmmax", "ipc"),
            ("kernel.shmmni", "ipc"),
            ("kernel/shm_rmid_forced", "ipc"),
            ("fs.mqueue.msg_max", "ipc"),
            ("fs/mqueue/msg_max", "ipc"),
            ("kernel.domainname", "uts"),
            ("user.max_user_namespaces", "user"),
        ];
        for (name, kind) in cases {
            assert!(of(name, &[kind]).is_ok(), "{name}");
            let others = ["network", "ipc", "uts", "user", "pid", "mount", "cgroup", "time"];
            let others: Vec<_> = others.into_iter().filter(|other| *other != kind).collect();
            let violation = of(name, &others).unwrap_err();
            assert_eq!(violation.path, at("linux.sysctl").key(name));
            assert!(violation.reason.contains("the host's without"), "{}", violation.reason);
        }
    }

    #[test]
    fn what_is_the_hosts_is_refused() {
        let all = ["network", "ipc", "uts", "user", "pid", "mount", "cgroup", "time"];
        let names = [
            "vm.swappiness",
            "kernel.hostname",
            "kernel.core_pattern",
            "net",
            "fs.mqueue",
            "user",
            "kernel.msgmaxx",
            "kernel.sem.x",
            "netx.y",
            "",
            ".",
            "fs.file-max",
            "net.ipv4.",
            ".net.x",
            "net//x",
            "net/../vm/swappiness",
            "net.//.vm.swappiness",
            "net/./x",
            "net./.x",
            "net.ipv4/../../vm.swappiness",
            "../net/x",
            "/net/x",
        ];
        for name in names {
            assert!(of(name, &all).is_err(), "{name}");
        }
    }
}
