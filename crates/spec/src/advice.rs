//! What a property of a config takes, for whoever has to correct one that breaks a rule.

/// What helps where this property is wrong: `mounts[3].options` is the same as `mounts[0].options`. None
/// if the property's name says all.
#[must_use]
pub fn of(property: &str) -> Option<&'static str> {
    let name = without_indexes(property);
    let found = ADVICE.iter().find(|(of, _)| {
        let rest = name.strip_prefix(of);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    found.map(|(_, advice)| *advice)
}

/// The property without `[3]` and `["key"]`.
fn without_indexes(property: &str) -> String {
    let mut name = String::with_capacity(property.len());
    let mut parts = property.split('[');
    name.extend(parts.next());
    for part in parts {
        name.push_str(part.split_once(']').map_or("", |(_, rest)| rest));
    }
    name
}

const IDS: &str = "a mapping has containerID, hostID and size, each id once: \
    {\"containerID\": 0, \"hostID\": 100000, \"size\": 65536}";
const NAMESPACES: &str = "add {\"type\": \"user\"} to linux.namespaces, or leave the mappings out";
const HOOK: &str =
    "a hook has an absolute path of the host, args, env and a timeout in seconds above 0";
const ABSOLUTE: &str = "give a path that begins with /";
const LIMIT: &str = "RLIMIT_NOFILE and the like, each once, with soft at most hard: \
    {\"type\": \"RLIMIT_NOFILE\", \"soft\": 1024, \"hard\": 4096}";
const MOUNT: &str = "a mount has an absolute destination, a type, a source and options: {\"destination\": \
    \"/data\", \"source\": \"/srv\", \"options\": [\"rbind\", \"ro\"]}";

/// A property, and what it and those below it take; a property before the one that it is in.
const ADVICE: &[(&str, &str)] = &[
    (
        "ociVersion",
        "rind takes every 1.x, such as \"1.3.0\"; `rind spec` writes a config to begin with",
    ),
    (
        "root",
        "root.path is the directory with the image's files: {\"root\": {\"path\": \"rootfs\"}}",
    ),
    ("hostname", "add {\"type\": \"uts\"} to linux.namespaces, or leave the name out"),
    ("domainname", "add {\"type\": \"uts\"} to linux.namespaces, or leave the name out"),
    ("annotations", "an annotation is a text with a name that is not empty"),
    ("process.args", "a list of texts, the program first: [\"/bin/sh\", \"-c\", \"echo hello\"]"),
    ("process.env", "a list of NAME=VALUE: [\"PATH=/usr/bin:/bin\", \"TERM=xterm\"]"),
    (
        "process.cwd",
        "the directory that the program begins in, from the container's root on, such as \"/\"",
    ),
    ("process.rlimits", LIMIT),
    (
        "process.user.additionalGids",
        "a list of groups by number, which linux.gidMappings have, if there are any",
    ),
    ("process.user.gid", "a group by number, which linux.gidMappings have, if there are any"),
    ("process.user.uid", "a user by number, which linux.uidMappings have, if there are any"),
    ("process.user", "ids by number: {\"uid\": 0, \"gid\": 0}"),
    (
        "process.capabilities",
        "lists of names as CAP_CHOWN: bounding, effective, permitted, inheritable, ambient",
    ),
    ("process.oomScoreAdj", "-1000, never killed, to 1000, killed first"),
    (
        "process.scheduler.policy",
        "SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR or SCHED_DEADLINE",
    ),
    (
        "process.scheduler",
        "SCHED_FIFO and SCHED_RR take a priority of 1 to 99, all others 0; SCHED_DEADLINE \
        takes 1024 ns <= runtime <= deadline <= period; nice is -20 to 19",
    ),
    (
        "process.ioPriority",
        "a class, IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE, and 0 to 7",
    ),
    ("process.execCPUAffinity", "initial and final, lists of CPUs as \"0-3,7\""),
    ("process.consoleSize", "height and width, in characters; it needs process.terminal"),
    ("process", "a process has cwd, args and user at least; `rind spec` shows one"),
    ("mounts.destination", ABSOLUTE),
    ("mounts.uidMappings", IDS),
    ("mounts.gidMappings", IDS),
    ("mounts", MOUNT),
    ("hooks", HOOK),
    (
        "linux.namespaces.path",
        "the absolute path of a namespace, such as /proc/PID/ns/net or /run/netns/NAME",
    ),
    (
        "linux.namespaces",
        "one entry of each kind: pid, network, ipc, uts, mount, user, cgroup, time",
    ),
    ("linux.uidMappings.size", IDS),
    ("linux.uidMappings.containerID", IDS),
    ("linux.uidMappings.hostID", IDS),
    ("linux.gidMappings.size", IDS),
    ("linux.gidMappings.containerID", IDS),
    ("linux.gidMappings.hostID", IDS),
    ("linux.uidMappings", NAMESPACES),
    ("linux.gidMappings", NAMESPACES),
    (
        "linux.timeOffsets",
        "add {\"type\": \"time\"} without a path to linux.namespaces, or leave it out",
    ),
    (
        "linux.devices.major",
        "ls -l shows a device's numbers: {\"path\": \"/dev/fuse\", \"type\": \"c\", \"major\": 10, \
        \"minor\": 229}",
    ),
    ("linux.devices.minor", "ls -l shows a device's numbers, major and minor"),
    ("linux.devices.type", "c for a character device, b for a disk, p for a fifo"),
    ("linux.devices.fileMode", "the permission bits, as a decimal number: 438 is 0666"),
    (
        "linux.devices",
        "each device once, with an absolute path: {\"path\": \"/dev/fuse\", \"type\": \"c\", \
        \"major\": 10, \"minor\": 229}",
    ),
    (
        "linux.netDevices",
        "it moves devices of the host into a new network namespace of the container: \
        {\"eth1\": {\"name\": \"eth0\"}}",
    ),
    ("linux.cgroupsPath", "/a/path, or SLICE:PREFIX:NAME with --systemd-cgroup"),
    ("linux.rootfsPropagation", "one of these words, or leave it out"),
    ("linux.maskedPaths", ABSOLUTE),
    ("linux.readonlyPaths", ABSOLUTE),
    ("linux.mountLabel", "a label of SELinux, such as system_u:object_r:container_file_t:s0"),
    ("linux.personality", "domain LINUX or LINUX32, without flags"),
    (
        "linux.memoryPolicy",
        "a mode as MPOL_BIND, nodes as \"0-1\", and flags as MPOL_F_STATIC_NODES",
    ),
    (
        "linux.intelRdt",
        "closID is a directory's name in /sys/fs/resctrl; schemata, or l3CacheSchema and \
        memBwSchema, are what the kernel's schemata file takes",
    ),
    (
        "linux.sysctl",
        "only sysctls of the container's own namespaces can be set: net.* with a network \
        namespace, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.* with an ipc one",
    ),
    (
        "linux.seccomp",
        "docs/seccomp.md, and seccomp(2) with libseccomp's names: SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, \
        SCMP_CMP_EQ, SCMP_ARCH_X86_64",
    ),
    (
        "linux.resources.devices",
        "type is a, c or b, access some of rwm: {\"allow\": true, \"type\": \"c\", \"major\": 1, \
        \"minor\": 3, \"access\": \"rw\"}",
    ),
    ("linux.resources.unified", "a file of cgroup v2 and its content: {\"memory.high\": \"100M\"}"),
    (
        "linux.resources.memory",
        "a number of bytes, without a unit: 67108864 is 64 MiB; -1 is no limit",
    ),
    (
        "linux.resources",
        "a number, without quotes and unit; docs/cgroups.md has what each limit takes",
    ),
    ("vm", "rind runs containers, no virtual machines: leave it out"),
];

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_property_is_found_whatever_its_index() {
        assert_eq!(of("mounts[12].options"), of("mounts"));
        assert_eq!(of("linux.sysctl[\"net.ipv4.x\"]"), of("linux.sysctl"));
        assert_ne!(of("process.user.uid"), of("process.user"));
        assert_eq!(of("nothing"), None);
        assert_eq!(of("rootless"), None);
    }
}
