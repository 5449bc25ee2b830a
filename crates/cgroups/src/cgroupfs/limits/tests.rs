//! From `linux.resources` to files and values of both versions.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::cgroupfs::write::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

type Writes = fn(&Limit) -> Result<Vec<Write>>;
const V1: Writes = v1::limits::writes;
const V2: Writes = v2::limits::writes;

/// The writes for a `section` of `linux.resources`.
fn writes(version: Writes, section: &str, config: &str) -> Result<Vec<Write>> {
    let resources = format!(r#"{{ "{section}": {config} }}"#);
    let limits = crate::limits::of(&serde_json::from_str(&resources).unwrap())?;
    let writes: Result<Vec<Vec<Write>>> = limits.iter().map(version).collect();
    Ok(writes?.into_iter().flatten().collect())
}

#[track_caller]
fn check(version: Writes, section: &str, config: &str, expected: &[(&str, &str)]) {
    let all = writes(version, section, config).unwrap();
    let found: Vec<_> = all.iter().map(|one| (&*one.file, &*one.value)).collect();
    assert_eq!(found, expected, "{config}");
}

/// Checks that `config` is refused in words that start with `expected`.
#[track_caller]
fn refuse(version: Writes, section: &str, config: &str, expected: &str) {
    let refused = writes(version, section, config).unwrap_err().to_string();
    assert!(refused.starts_with(expected), "{refused}");
}

/// Ordinary files in place of a v2 cgroup's.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rind-limits-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(folder.0.join("box")).unwrap();
        for (file, text) in files {
            fs::write(folder.0.join("box").join(file), text).unwrap();
        }
        folder
    }

    pub(crate) fn cgroup(&self) -> Cgroup {
        Cgroup::of(&self.0, "box", &[(&[], true)])
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join("box").join(file)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hybrid() -> Cgroup {
    let hierarchies: [(&[&str], bool); 4] =
        [(&["memory"], true), (&["cpu", "cpuacct"], true), (&["pids"], false), (&[], true)];
    Cgroup::of(Path::new("/nowhere"), "box", &hierarchies)
}

fn limits(config: &str) -> Vec<Limit> {
    crate::limits::of(&serde_json::from_str(config).unwrap()).unwrap()
}

#[test]
fn a_hybrid_host_has_each_controller_once() {
    let cgroup = hybrid();
    let asked = limits(
        r#"{ "memory": { "limit": 4096 }, "cpu": { "shares": 2, "cpus": "0" },
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }],
            "unified": { "misc.max": "x", "cgroup.max.depth": "3" } }"#,
    );
    let files: Vec<_> = plan(&cgroup, &asked)
        .unwrap()
        .into_iter()
        .flat_map(|part| part.writes.into_iter().map(|write| write.file.into_owned()))
        .collect();
    let expected = [
        "memory.limit_in_bytes",
        "cpu.shares",
        "cpuset.cpus",
        "hugetlb.2MB.rsvd.max",
        "hugetlb.2MB.max",
        "cgroup.max.depth",
        "misc.max",
    ];
    assert_eq!(files, expected);
    assert_eq!(needed(&cgroup, &asked).unwrap(), ["cpuset", "hugetlb", "misc"]);
}

#[test]
fn unified_is_refused_where_v1_has_the_controller() {
    let refused = |cgroup: &Cgroup| {
        let asked = limits(r#"{ "unified": { "memory.high": "1" } }"#);
        needed(cgroup, &asked).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&hybrid()),
        "linux.resources.unified.memory.high: this host has memory on cgroup v1, not v2"
    );
    let none = Cgroup::default();
    assert_eq!(refused(&none), "linux.resources.unified.memory.high: this host has no cgroup v2");
}

#[test]
fn a_limit_without_a_cgroup_is_an_error_and_no_limit_is_none() {
    let refused =
        |cgroup: &Cgroup, config| set(cgroup, &limits(config), None, None).unwrap_err().to_string();
    assert_eq!(
        refused(&hybrid(), r#"{ "pids": { "limit": 5 } }"#),
        "linux.resources.pids.limit: cannot set pids limit: container could not join or create \
         cgroup"
    );
    let none = Cgroup::default();
    assert_eq!(
        refused(&none, r#"{ "memory": { "limit": 5 } }"#),
        "linux.resources.memory.limit: no memory cgroup on this host"
    );
    let unset = r#"{ "memory": { "limit": 0 }, "cpu": { "shares": 0 }, "network": {},
        "hugepageLimits": [], "unified": {}, "rdma": {} }"#;
    set(&none, &limits(unset), None, None).unwrap();
}

#[test]
fn what_is_invalid_at_first_is_written_after_the_others() {
    // No kernel file, but one that can't be opened is an error all the same.
    let cgroup = hybrid();
    let memory = cgroup.v1("memory").unwrap();
    let error = write_all(memory, vec![Write::new("memory.limit", "memory.max", &5)], None, None);
    assert_eq!(
        error.unwrap_err().text(),
        "linux.resources.memory.limit: writing 5 to /nowhere/box/memory.max: no such \
         file or directory"
    );
    write_all(memory, vec![Write::new("a", "a", &5).optional(true)], None, None).unwrap();
}

/// `linux.resources.memory`.
mod memory {
    use super::*;

    fn v1(config: &str, expected: &[(&str, &str)]) {
        check(V1, "memory", config, expected);
    }

    fn v2(config: &str, expected: &[(&str, &str)]) {
        check(V2, "memory", config, expected);
    }

    fn refuse(version: Writes, config: &str, expected: &str) {
        super::refuse(version, "memory", config, expected);
    }

    #[test]
    fn limits_of_v1() {
        v1(
            r#"{ "limit": 67108864, "reservation": 33554432, "swap": 100663296 }"#,
            &[
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "100663296"),
                ("memory.soft_limit_in_bytes", "33554432"),
            ],
        );
        v1(r#"{ "limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "kernelTCP": 0 }"#, &[]);
        v1(
            r#"{ "disableOOMKiller": false, "useHierarchy": false, "checkBeforeUpdate": true }"#,
            &[],
        );
        v1(
            r#"{ "swappiness": 0, "disableOOMKiller": true, "useHierarchy": true }"#,
            &[
                ("memory.swappiness", "0"),
                ("memory.oom_control", "1"),
                ("memory.use_hierarchy", "1"),
            ],
        );
        v1(
            r#"{ "kernel": -1, "kernelTCP": 16777216 }"#,
            &[("memory.kmem.limit_in_bytes", "-1"), ("memory.kmem.tcp.limit_in_bytes", "16777216")],
        );
        v1(
            r#"{ "limit": -1 }"#,
            &[("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
        );
        v1(r#"{ "swap": 4096 }"#, &[("memory.memsw.limit_in_bytes", "4096")]);
    }

    #[test]
    fn limits_of_v2() {
        v2(
            r#"{ "limit": 67108864, "reservation": 33554432, "swap": 100663296 }"#,
            &[
                ("memory.swap.max", "33554432"),
                ("memory.max", "67108864"),
                ("memory.low", "33554432"),
            ],
        );
        v2(
            r#"{ "limit": 4096, "swap": 4096 }"#,
            &[("memory.swap.max", "0"), ("memory.max", "4096")],
        );
        v2(
            r#"{ "limit": 4096, "swap": -1 }"#,
            &[("memory.swap.max", "max"), ("memory.max", "4096")],
        );
        v2(r#"{ "limit": 4096, "swap": 0 }"#, &[("memory.max", "4096")]);
        v2(r#"{ "limit": -1 }"#, &[("memory.swap.max", "max"), ("memory.max", "max")]);
        v2(r#"{ "swap": -1 }"#, &[("memory.swap.max", "max")]);
        v2(r#"{ "limit": 0, "swap": 0, "reservation": 0 }"#, &[]);
        v2(r#"{ "reservation": -1 }"#, &[("memory.low", "max")]);
        v2(r#"{ "swappiness": 7, "disableOOMKiller": true, "kernel": 1, "kernelTCP": 1 }"#, &[]);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for version in [V1, V2] {
            refuse(version, r#"{ "swappiness": 101 }"#, "linux.resources.memory.swappiness: 101");
            let config = r#"{ "limit": 8192, "swap": 4096 }"#;
            refuse(version, config, "linux.resources.memory.swap: ");
        }
        refuse(V2, r#"{ "swap": 4096 }"#, "linux.resources.memory.swap: ");
        refuse(V2, r#"{ "limit": -1, "swap": 4096 }"#, "linux.resources.memory.swap: ");
    }

    #[test]
    fn only_what_limits_something_must_be_there() {
        let optional = |config, version: Writes| -> Vec<bool> {
            let all = writes(version, "memory", config).unwrap();
            all.iter().map(|one| one.absent == Absent::Ignore).collect()
        };
        assert_eq!(optional(r#"{ "limit": 9, "swap": 10 }"#, V1), [false, false]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": -1 }"#, V1), [false, true]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": 10 }"#, V2), [false, false]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": 9 }"#, V2), [true, false]);
        assert_eq!(optional(r#"{ "limit": 9, "swap": -1 }"#, V2), [true, false]);
    }
}

/// `linux.resources.cpu`.
mod cpu {
    use super::*;

    fn v1(config: &str, expected: &[(&str, &str)]) {
        check(V1, "cpu", config, expected);
    }

    fn v2(config: &str, expected: &[(&str, &str)]) {
        check(V2, "cpu", config, expected);
    }

    fn refuse(version: Writes, config: &str, expected: &str) {
        super::refuse(version, "cpu", config, expected);
    }

    #[test]
    fn limits_of_v1() {
        v1(
            r#"{ "shares": 512, "quota": 20000, "period": 50000, "burst": 10000 }"#,
            &[
                ("cpu.shares", "512"),
                ("cpu.cfs_period_us", "50000"),
                ("cpu.cfs_quota_us", "20000"),
                ("cpu.cfs_burst_us", "10000"),
            ],
        );
        v1(r#"{ "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "" }"#, &[]);
        v1(r#"{ "quota": -1, "idle": 1 }"#, &[("cpu.cfs_quota_us", "-1"), ("cpu.idle", "1")]);
        v1(
            r#"{ "realtimeRuntime": 950000, "realtimePeriod": 1000000 }"#,
            &[("cpu.rt_period_us", "1000000"), ("cpu.rt_runtime_us", "950000")],
        );
    }

    #[test]
    fn limits_of_v2() {
        v2(
            r#"{ "shares": 1024, "quota": 20000, "period": 50000, "burst": 10000, "idle": 0 }"#,
            &[
                ("cpu.weight", "100"),
                ("cpu.max", "20000 50000"),
                ("cpu.max.burst", "10000"),
                ("cpu.idle", "0"),
            ],
        );
        v2(r#"{ "quota": -1 }"#, &[("cpu.max", "max 100000")]);
        v2(r#"{ "quota": 5000 }"#, &[("cpu.max", "5000 100000")]);
        v2(r#"{ "period": 50000 }"#, &[("cpu.max", "max 50000")]);
        v2(r#"{ "shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0 }"#, &[]);
        refuse(V2, r#"{ "realtimeRuntime": 1 }"#, "linux.resources.cpu.realtimeRuntime: ");
    }

    #[test]
    fn sets_are_the_same_on_both() {
        let expected = [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")];
        for check in [v1, v2] {
            check(r#"{ "cpus": "0-1", "mems": "0" }"#, &expected);
        }
    }
}

/// `linux.resources.blockIO`.
mod block_io {
    use super::*;

    fn v1(config: &str, expected: &[(&str, &str)]) {
        check(V1, "blockIO", config, expected);
    }

    fn v2(config: &str, expected: &[(&str, &str)]) {
        check(V2, "blockIO", config, expected);
    }

    fn refuse(version: Writes, config: &str, expected: &str) {
        super::refuse(version, "blockIO", config, expected);
    }

    const RATES: &str = r#"{
        "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1048576 }],
        "throttleWriteBpsDevice": [{ "major": 8, "minor": 0, "rate": 2097152 }],
        "throttleReadIOPSDevice": [{ "major": 8, "minor": 0, "rate": 300 }],
        "throttleWriteIOPSDevice": [{ "major": 8, "minor": 16, "rate": 0 }]
    }"#;
    const WEIGHTS: &str = r#"{
        "weight": 500,
        "weightDevice": [{ "major": 8, "minor": 0, "weight": 10 }]
    }"#;

    #[test]
    fn rates_are_by_file_or_by_key() {
        v1(
            RATES,
            &[
                ("blkio.throttle.read_bps_device", "8:0 1048576"),
                ("blkio.throttle.write_bps_device", "8:0 2097152"),
                ("blkio.throttle.read_iops_device", "8:0 300"),
                ("blkio.throttle.write_iops_device", "8:16 0"),
            ],
        );
        v2(
            RATES,
            &[
                ("io.max", "8:0 rbps=1048576"),
                ("io.max", "8:0 wbps=2097152"),
                ("io.max", "8:0 riops=300"),
                ("io.max", "8:16 wiops=max"),
            ],
        );
    }

    #[test]
    fn weights_are_those_of_bfq_where_it_is() {
        let of = |version| writes(version, "blockIO", WEIGHTS).unwrap();
        let [all, one] = &of(V1)[..] else { panic!() };
        assert_eq!((&*all.file, &*all.value), ("blkio.bfq.weight", "500"));
        assert_eq!(all.absent, Absent::Instead("blkio.weight", "500".to_owned()));
        assert_eq!((&*one.file, &*one.value), ("blkio.bfq.weight_device", "8:0 10"));
        assert_eq!(one.absent, Absent::Instead("blkio.weight_device", "8:0 10".to_owned()));
        let [all, one] = &of(V2)[..] else { panic!() };
        assert_eq!((&*all.file, &*all.value), ("io.bfq.weight", "500"));
        assert_eq!(all.absent, Absent::Instead("io.weight", "4950".to_owned()));
        assert_eq!(one.absent, Absent::Instead("io.weight", "8:0 1".to_owned()));
    }

    #[test]
    fn leaves_have_weights_in_v1_only() {
        let config = r#"{ "weight": 0, "leafWeight": 300 }"#;
        v1(config, &[("blkio.leaf_weight", "300")]);
        let refused = "linux.resources.blockIO.leafWeight: ";
        refuse(V2, config, refused);
        let unset = r#"{ "weight": 0, "leafWeight": 0, "weightDevice": [] }"#;
        v2(unset, &[]);
    }
}

/// The controllers of one or two files, and `unified`.
mod others {
    use super::*;

    #[test]
    fn pids_have_zero_as_a_limit() {
        for (limit, value) in [("77", "77"), ("0", "0"), ("-1", "max")] {
            let config = format!(r#"{{ "limit": {limit} }}"#);
            for version in [V1, V2] {
                check(version, "pids", &config, &[("pids.max", value)]);
            }
        }
    }

    #[test]
    fn hugepages_are_limited_when_reserved_and_in_use() {
        let config = r#"[{ "pageSize": "2MB", "limit": 4194304 }]"#;
        check(
            V1,
            "hugepageLimits",
            config,
            &[
                ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
                ("hugetlb.2MB.limit_in_bytes", "4194304"),
            ],
        );
        check(
            V2,
            "hugepageLimits",
            config,
            &[("hugetlb.2MB.rsvd.max", "4194304"), ("hugetlb.2MB.max", "4194304")],
        );
        for size in ["../2MB", "2M", "MB", "", "2MB/x", "2 MB"] {
            let config = format!(r#"[{{ "pageSize": "{size}", "limit": 1 }}]"#);
            let refused = "linux.resources.hugepageLimits[0].pageSize: ";
            refuse(V2, "hugepageLimits", &config, refused);
        }
    }

    #[test]
    fn networks_are_limited_by_v1_only() {
        let config =
            r#"{ "classID": 1048577, "priorities": [{ "name": "eth0", "priority": 500 }] }"#;
        let files = [("net_cls.classid", "1048577"), ("net_prio.ifpriomap", "eth0 500")];
        check(V1, "network", config, &files);
        refuse(V2, "network", config, "linux.resources.network.classID: net_cls");
        check(V2, "network", r#"{ "classID": 0 }"#, &[]);
        check(V2, "network", "{}", &[]);
    }

    #[test]
    fn rdma_is_by_device() {
        let config = r#"{ "mlx5_1": { "hcaHandles": 3, "hcaObjects": 10000 },
            "mlx4_0": { "hcaObjects": 1000 } }"#;
        let expected = [
            ("rdma.max", "mlx4_0 hca_object=1000"),
            ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
        ];
        check(V2, "rdma", config, &expected);
        refuse(V2, "rdma", r#"{ "mlx4_0": {} }"#, "linux.resources.rdma.mlx4_0: ");
    }

    #[test]
    fn unified_is_written_line_by_line() {
        let config =
            r#"{ "memory.high": "50000000", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "a.b": "" }"#;
        let expected = [
            ("a.b", ""),
            ("io.max", "8:0 rbps=1"),
            ("io.max", "8:16 rbps=2"),
            ("memory.high", "50000000"),
        ];
        check(V2, "unified", config, &expected);
        for name in ["../cgroup.procs", "/etc/passwd", "a/b", "..", ".", "", "a\\u0000"] {
            let config = format!(r#"{{ "{name}": "1" }}"#);
            refuse(V2, "unified", &config, "linux.resources.unified: ");
        }
    }

    #[test]
    fn unified_has_settings_only() {
        let files = [
            "cgroup.procs",
            "cgroup.threads",
            "cgroup.type",
            "cgroup.subtree_control",
            "cgroup.kill",
            "cgroup.freeze",
            "cgroup.new",
            "cgroup.",
            "cgroup",
            "memory.reclaim",
            "memory.pressure",
            "irq.pressure",
            "memory.peak",
            "memory.swap.peak",
        ];
        for file in files {
            let config = format!(r#"{{ "{file}": "1" }}"#);
            refuse(V2, "unified", &config, &format!("linux.resources.unified.{file}: "));
        }
        for file in ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure", "cpu.idle"] {
            check(V2, "unified", &format!(r#"{{ "{file}": "1" }}"#), &[(file, "1")]);
        }
    }
}
