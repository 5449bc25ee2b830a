//! The controllers of one or two files, and `linux.resources.unified`.

use super::{Version, Write, controller_of, refused};
use crate::error::Result;
use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxPids, LinuxRdma};
use std::collections::HashMap;

/// `pids`: 0 is a limit here.
pub(super) fn pids(pids: LinuxPids) -> Vec<Write> {
    let limit = pids.limit();
    let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
    vec![Write::new("pids.limit", "pids.max", value)]
}

/// `hugepageLimits`: reserved pages where the kernel counts them, and always those in use.
pub(super) fn hugepages(limits: &[LinuxHugepageLimit], version: Version) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let property = format!("hugepageLimits[{index}]");
        let size = limit.page_size();
        if !is_page_size(size) {
            let reason = format!("{size:?} is no size such as 2MB");
            return Err(refused(&format!("{property}.pageSize"), reason));
        }
        let (file, value) = match (version, limit.limit()) {
            (Version::V1, value) => ("limit_in_bytes", value.to_string()),
            (Version::V2, ..=-1) => ("max", "max".to_owned()),
            (Version::V2, value) => ("max", value.to_string()),
        };
        let reserved = format!("hugetlb.{size}.rsvd.{file}");
        writes.push(Write::new(property.clone(), reserved, value.clone()).optional(true));
        writes.push(Write::new(property, format!("hugetlb.{size}.{file}"), value));
    }
    Ok(writes)
}

/// The size becomes part of a file's name.
fn is_page_size(size: &str) -> bool {
    let digits = size.trim_start_matches(|one: char| one.is_ascii_digit());
    digits.len() < size.len() && matches!(digits, "KB" | "MB" | "GB" | "TB" | "PB")
}

/// `network.classID`, of v1's `net_cls`; 0 is none.
pub(super) fn network_class(network: &LinuxNetwork, version: Version) -> Result<Vec<Write>> {
    let class = network.class_id().filter(|&class| class != 0);
    let writes =
        class.map(|class| Write::new("network.classID", "net_cls.classid", class.to_string()));
    only_v1(writes.into_iter().collect(), "net_cls", version)
}

/// `network.priorities`, of v1's `net_prio`.
pub(super) fn network_priorities(network: &LinuxNetwork, version: Version) -> Result<Vec<Write>> {
    let writes = network.priorities().iter().flatten().map(|one| {
        let value = format!("{} {}", one.name(), one.priority());
        Write::new("network.priorities", "net_prio.ifpriomap", value)
    });
    only_v1(writes.collect(), "net_prio", version)
}

fn only_v1(writes: Vec<Write>, controller: &str, version: Version) -> Result<Vec<Write>> {
    match writes.first() {
        Some(write) if version == Version::V2 => {
            let reason = format!("{controller} is of cgroup v1, and not on this host");
            Err(refused(&write.property, reason))
        }
        _ => Ok(writes),
    }
}

/// `rdma`, by device.
pub(super) fn rdma(limits: &HashMap<String, LinuxRdma>) -> Result<Vec<Write>> {
    let mut devices: Vec<_> = limits.iter().collect();
    devices.sort_by_key(|(device, _)| *device);
    let writes = devices.into_iter().map(|(device, limits)| {
        let part = |key, limit: Option<u32>| limit.map(|limit| format!(" {key}={limit}"));
        let property = format!("rdma.{device}");
        match (part("hca_handle", limits.hca_handles()), part("hca_object", limits.hca_objects())) {
            (None, None) => Err(refused(&property, "neither hcaHandles nor hcaObjects")),
            (handles, objects) => {
                let parts = [Some(device.clone()), handles, objects];
                Ok(Write::new(
                    property,
                    "rdma.max",
                    parts.into_iter().flatten().collect::<String>(),
                ))
            }
        }
    });
    writes.collect()
}

/// `unified`: files of v2 by name, and what to write to them, as many lines as many writes.
pub(super) fn unified(files: &HashMap<String, String>) -> Result<Vec<Write>> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    let mut writes = Vec::new();
    for (name, value) in files {
        // GHSA-5g49-rx9x-qfc6: anything else is a path, to other cgroups or out of them.
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(refused("unified", format!("{name:?} is no name of a file in a cgroup")));
        }
        let property = format!("unified.{name}");
        if let Some(reason) = not_a_setting(name) {
            return Err(refused(&property, reason));
        }
        let lines = value.split('\n').filter(|line| !line.is_empty() || value.is_empty());
        writes
            .extend(lines.map(|line| Write::new(property.clone(), name.clone(), line.to_owned())));
    }
    Ok(writes)
}

/// Files of the cgroup core that hold a setting of this one cgroup.
const CORE_SETTINGS: [&str; 3] = ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];

/// Why what is written to the file `name` sets nothing for the container, if it doesn't: it would
/// move, stop or kill processes, or be undone as soon as the file is closed.
fn not_a_setting(name: &str) -> Option<&'static str> {
    if CORE_SETTINGS.contains(&name) {
        return None;
    }
    // `cgroup.procs` takes the pid of any process of the host's, and 0 for the writer.
    if controller_of(name) == "cgroup" {
        return Some("it is the runtime's to write, no limit that a config can set");
    }
    match name.rsplit('.').next() {
        Some("reclaim") => Some("it has memory given back at once, which is no limit"),
        Some("peak" | "pressure") => {
            Some("what is written there has no effect once the file is closed")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::tests::{check, refuse};
    use super::*;

    #[test]
    fn pids_have_zero_as_a_limit() {
        for (limit, value) in [("77", "77"), ("0", "0"), ("-1", "max")] {
            let config = format!(r#"{{ "limit": {limit} }}"#);
            check(|asked| Ok(pids(*asked)), &config, &[("pids.max", value)]);
        }
    }

    #[test]
    fn hugepages_are_limited_when_reserved_and_in_use() {
        let config = r#"[{ "pageSize": "2MB", "limit": 4194304 }]"#;
        check(
            |asked: &Vec<_>| hugepages(asked, Version::V1),
            config,
            &[
                ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
                ("hugetlb.2MB.limit_in_bytes", "4194304"),
            ],
        );
        check(
            |asked: &Vec<_>| hugepages(asked, Version::V2),
            config,
            &[("hugetlb.2MB.rsvd.max", "4194304"), ("hugetlb.2MB.max", "4194304")],
        );
        for size in ["../2MB", "2M", "MB", "", "2MB/x", "2 MB"] {
            let config = format!(r#"[{{ "pageSize": "{size}", "limit": 1 }}]"#);
            let refused = "linux.resources.hugepageLimits[0].pageSize: ";
            refuse(|asked: &Vec<_>| hugepages(asked, Version::V2), &config, refused);
        }
    }

    #[test]
    fn networks_are_limited_by_v1_only() {
        let config =
            r#"{ "classID": 1048577, "priorities": [{ "name": "eth0", "priority": 500 }] }"#;
        let class = [("net_cls.classid", "1048577")];
        check(|asked| network_class(asked, Version::V1), config, &class);
        let priorities = [("net_prio.ifpriomap", "eth0 500")];
        check(|asked| network_priorities(asked, Version::V1), config, &priorities);
        let refused = "linux.resources.network.classID: net_cls";
        refuse(|asked| network_class(asked, Version::V2), config, refused);
        check(|asked| network_class(asked, Version::V2), r#"{ "classID": 0 }"#, &[]);
        check(|asked| network_priorities(asked, Version::V2), "{}", &[]);
    }

    #[test]
    fn rdma_is_by_device() {
        let config = r#"{ "mlx5_1": { "hcaHandles": 3, "hcaObjects": 10000 },
            "mlx4_0": { "hcaObjects": 1000 } }"#;
        let expected = [
            ("rdma.max", "mlx4_0 hca_object=1000"),
            ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
        ];
        check(rdma, config, &expected);
        refuse(rdma, r#"{ "mlx4_0": {} }"#, "linux.resources.rdma.mlx4_0: ");
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
        check(unified, config, &expected);
        for name in ["../cgroup.procs", "/etc/passwd", "a/b", "..", ".", "", "a\\u0000"] {
            let config = format!(r#"{{ "{name}": "1" }}"#);
            refuse(unified, &config, "linux.resources.unified: ");
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
            refuse(unified, &config, &format!("linux.resources.unified.{file}: "));
        }
        for file in ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure", "cpu.idle"] {
            check(unified, &format!(r#"{{ "{file}": "1" }}"#), &[(file, "1")]);
        }
    }
}
