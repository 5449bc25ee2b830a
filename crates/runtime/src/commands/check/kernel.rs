//! The kernel: its version, and the system calls that rind needs, each asked for.

use super::finding::Finding;
use crate::host::kernel::check_kernel;
use sys::Errno;
use sys::credentials::capget;
use sys::nix::sys::utsname::uname;

/// `CAP_SYS_ADMIN` of a capability set.
const SYS_ADMIN: u64 = 1 << 21;

/// Calls, the version of Linux that brought each, and what can't be done without it.
const NEEDS: [(&str, &str, &str); 19] = [
    ("openat2", "5.6", "no path below a rootfs can be resolved safely, so no container is made"),
    ("clone3", "5.7", "no container's process can be made"),
    (
        "close_range",
        "5.9",
        "descriptors of the caller can't be kept from containers: each command fails",
    ),
    ("faccessat2", "5.8", "whether a program may be executed can't be found out: none is started"),
    ("statx", "4.11", "mounts can't be told apart, so no container is made"),
    ("pidfd_open", "5.3", "no command can be sure of a container's process"),
    ("pidfd_send_signal", "5.1", "kill and delete fail"),
    ("pidfd_getfd", "5.6", "terminals and seccomp listeners can't be handed on"),
    (
        "mount_setattr",
        "5.12",
        "mounts can't be made read-only or idmapped, so no container is made",
    ),
    ("open_tree", "5.2", "no bind mount can be made, so no container is made"),
    ("move_mount", "5.2", "nothing can be mounted, so no container is made"),
    ("fsopen", "5.2", "no file system can be mounted, so no container is made"),
    ("fsconfig", "5.2", "no file system can be mounted, so no container is made"),
    ("fsmount", "5.2", "no file system can be mounted, so no container is made"),
    ("unshare", "2.6.16", "cgroup and time namespaces can't be made"),
    ("setns", "3.0", "exec, and joining namespaces, fail"),
    ("seccomp", "3.17", "a config with linux.seccomp is refused"),
    ("memfd_create", "3.17", "rind can't seal itself against containers, so it makes none"),
    ("execveat", "3.19", "rind can't execute its sealed copy, so it makes no container"),
];

pub(super) fn findings() -> Vec<Finding> {
    let mut all = vec![version()];
    // In a user namespace one may mount in a mount namespace of one's own only, which init makes.
    let is_admin = is_admin() && !sys::process::in_user_namespace();
    let (mut made, mut rest) = (Vec::new(), Vec::new());
    for (name, refused) in sys::filtered::survey(is_admin) {
        match refused {
            None => made.push(name),
            Some(errno) => rest.push(call(name, errno)),
        }
    }
    if !made.is_empty() {
        all.push(Finding::ok("kernel", "system calls", made.join(", ")));
    }
    all.extend(rest);
    all.push(birth_in_cgroup());
    all
}

/// Whether the caller has `CAP_SYS_ADMIN` in its own user namespace.
pub(super) fn is_admin() -> bool {
    capget().is_ok_and(|sets| sets.effective & SYS_ADMIN != 0)
}

/// The number in a file of the kernel's.
pub(super) fn number(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn version() -> Finding {
    let release = uname().map(|names| names.release().to_string_lossy().into_owned());
    let found = Finding::ok("kernel", "version", format!("Linux {}", release.unwrap_or_default()));
    match check_kernel() {
        Ok(()) => found,
        Err(error) => {
            found.lacks(format!("rind makes no container: {error}"), "boot a newer kernel")
        }
    }
}

fn call(name: &str, errno: Errno) -> Finding {
    let known = NEEDS.iter().find(|(known, ..)| *known == name);
    let (_, since, consequence) = known.copied().unwrap_or((name, "", "containers can't be made"));
    let answer = sys::errno_text(errno);
    let found = Finding::ok("kernel", name, format!("the call is answered with: {answer}"));
    found.lacks(consequence, remedy(name, since, errno))
}

fn remedy(name: &str, since: &str, errno: Errno) -> String {
    let profile = format!(
        "have the seccomp profile around rind allow {name} (an outer engine's: \
         --security-opt seccomp=..., or a newer engine)"
    );
    if errno == Errno::ENOSYS {
        format!("{profile}; or boot Linux {since} or newer")
    } else {
        profile
    }
}

/// Whether init can be born in its cgroup.
fn birth_in_cgroup() -> Finding {
    let found = |detail: &str| Finding::ok("kernel", "CLONE_INTO_CGROUP", detail);
    let consequence = "no container with a cgroup v2 of its own can be made";
    match sys::process::can_clone_into_cgroup() {
        Ok(true) => found("processes can be born in a cgroup"),
        Ok(false) => found("clone3 doesn't know it").lacks(consequence, "boot Linux 5.7 or newer"),
        Err(errno) => found(&format!("clone3 is answered with: {}", sys::errno_text(errno)))
            .lacks(consequence, remedy("clone3", "5.7", errno)),
    }
}
