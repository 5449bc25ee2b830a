//! `features` and `--version`: what this build supports on any host.

use crate::container::annotations;
use serde_json::{Value, json};

/// The oldest version of the specification that rind accepts.
const OCI_VERSION_MIN: &str = "1.0.0";
/// The newest.
const OCI_VERSION_MAX: &str = "1.3.0";
/// The values of `--cgroup-manager`.
const CGROUP_MANAGERS: &str = "cgroupfs (the default), systemd (the default for a user on cgroup v2 \
    who has a systemd, where the config has no cgroupsPath), disabled";

/// `features`: the JSON of features.md and features-linux.md, with all fields. `commit` is of this
/// build.
///
/// It tells what the build supports. What also needs the host's support (a security module,
/// resctrl, CRIU) is listed as supported.
#[must_use]
pub fn features(commit: &str) -> String {
    let features = json!({
        "ociVersionMin": OCI_VERSION_MIN,
        "ociVersionMax": OCI_VERSION_MAX,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart",
            "poststop",
        ],
        "mountOptions": rootfs::mount_options(),
        "linux": linux(),
        "annotations": {
            // Engines look for runc's name of this annotation.
            "org.opencontainers.runc.checkpoint.enabled": "true",
            "io.github.rind.version": env!("CARGO_PKG_VERSION"),
            "io.github.rind.commit": commit,
            "io.github.rind.cgroup-managers": CGROUP_MANAGERS,
        },
        "potentiallyUnsafeConfigAnnotations": annotations::UNSAFE,
    });
    format!("{features:#}")
}

fn linux() -> Value {
    let capabilities: Vec<String> =
        process::capabilities::ALL.iter().map(|&one| process::capabilities::name(one)).collect();
    json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": capabilities,
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": seccomp::ACTIONS,
            "operators": seccomp::OPERATORS,
            "archs": seccomp::ARCHITECTURES,
            "knownFlags": seccomp::KNOWN_FLAGS,
            "supportedFlags": seccomp::SUPPORTED_FLAGS,
        },
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "memoryPolicy": { "modes": process::memory::MODES, "flags": process::memory::FLAGS },
        "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": true },
    })
}

/// What `--version` prints after the program's name: engines read it line by line.
#[must_use]
pub fn version(commit: &str) -> String {
    format!("version {}\ncommit: {commit}\nspec: {OCI_VERSION_MAX}", env!("CARGO_PKG_VERSION"))
}
