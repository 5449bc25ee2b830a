//! What helps where the kernel refuses a limit: what each property takes, and what may be in the way.

use sys::Errno;

/// What helps where `file` refuses the value of a property of `linux.resources` with `errno`.
pub(crate) fn of(property: &str, file: &str, errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::ENOENT if property.starts_with("hugepageLimits") => Some(
            "the kernel, or the cgroup above, has no such limit: ls /sys/kernel/mm/hugepages has the \
             host's page sizes",
        ),
        Errno::ENOENT => Some(
            "the kernel, or the cgroup above, has no such limit: leave it out, or have the controller \
             (cgroup.subtree_control of v2)",
        ),
        Errno::EBUSY if property.starts_with("memory") => {
            Some("more than that is in use: set a higher one, or have the container free memory")
        }
        Errno::EBUSY if property.starts_with("cpu.realtime") => {
            Some("the cgroup above has too little real time for it: raise its cpu.rt_runtime_us")
        }
        Errno::EBUSY => Some("more than that is in use"),
        Errno::EOPNOTSUPP if property == "blockIO.weightDevice" => {
            Some("the device's I/O scheduler has no weights: bfq has them")
        }
        Errno::EINVAL if file == "memory.limit_in_bytes" => {
            Some("memory and swap together may have less: memory.swap; -1 is no limit")
        }
        Errno::EINVAL | Errno::ERANGE | Errno::ENODEV | Errno::ENOSPC | Errno::EOVERFLOW => {
            let found = TAKES.iter().find(|(of, _)| property.starts_with(of));
            found.map(|(_, takes)| *takes)
        }
        Errno::EACCES | Errno::EPERM => {
            Some("it needs root, or a cgroup that is delegated to the user (systemd: Delegate=yes)")
        }
        _ => None,
    }
}

/// What the properties take, by how they begin.
const TAKES: &[(&str, &str)] = &[
    (
        "cpu.cpus",
        "a list of CPUs that the host has and the cgroup above allows, as 0-3,7: see \
        cpuset.cpus of the cgroup above",
    ),
    (
        "cpu.mems",
        "a list of memory nodes that the host has and the cgroup above allows, as 0-1: see \
        cpuset.mems of the cgroup above",
    ),
    ("cpu.period", "1000 to 1000000 microseconds"),
    (
        "cpu.quota",
        "1000 microseconds at least, or -1 for none; and no more of its period than the cgroup \
        above has",
    ),
    ("cpu.burst", "0 to the quota, in microseconds"),
    ("cpu.idle", "0 or 1"),
    ("cpu.shares", "2 to 262144; 1024 is the usual share"),
    (
        "cpu.realtime",
        "a runtime below its period, in microseconds, that the cgroup above has to give",
    ),
    ("memory.swappiness", "0 to 100"),
    (
        "memory.disableOOMKiller",
        "it can't be set where the cgroup above has a hierarchy of its own",
    ),
    (
        "memory",
        "a number of bytes, or -1 for no limit; memory.swap counts memory and swap together",
    ),
    ("pids.limit", "1 to what kernel.pid_max has, or -1 for no limit"),
    ("blockIO.weight", "10 to 1000"),
    ("blockIO.leafWeight", "10 to 1000"),
    (
        "blockIO",
        "the host has to have the disk with these numbers: lsblk shows them as MAJ:MIN, and a \
        partition has no limits",
    ),
    (
        "hugepageLimits",
        "a page size that ls /sys/kernel/mm/hugepages has, as 2MB, and a number of bytes",
    ),
    ("network.priorities", "an interface of the host, and a number"),
    ("network.classID", "a number as tc(8) has it: 0x100001 is 10:1"),
    ("rdma", "a device that the host has in /sys/class/infiniband"),
    ("unified", "what the kernel's cgroup-v2 documentation says that this file takes"),
];
