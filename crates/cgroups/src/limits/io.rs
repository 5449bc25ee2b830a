//! `linux.resources.blockIO`: weights, and rates of single devices.

use super::{Version, Write, refused};
use crate::error::Result;
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

/// Every file to write, in order. A weight of 0 is what engines send where nobody asked for one.
pub(super) fn writes(block: &LinuxBlockIo, version: Version) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    let weight = |property: &'static str, device: &str, weight: u16| match version {
        // CFQ, which had its own, is gone; BFQ may not be there.
        Version::V1 => Write::new(property, bfq(version, device), line(device, weight)).or(
            if device.is_empty() { "blkio.weight" } else { "blkio.weight_device" },
            line(device, weight),
        ),
        Version::V2 => Write::new(property, bfq(version, device), line(device, weight))
            .or("io.weight", line(device, io_weight(weight))),
    };
    if let Some(value) = set(block.weight()) {
        writes.push(weight("blockIO.weight", "", value));
    }
    if let Some(value) = set(block.leaf_weight()) {
        writes.push(leaf("", value, version)?);
    }
    for device in block.weight_device().iter().flatten() {
        let numbers = format!("{}:{}", device.major(), device.minor());
        if let Some(value) = set(device.weight()) {
            writes.push(weight("blockIO.weightDevice", &numbers, value));
        }
        if let Some(value) = set(device.leaf_weight()) {
            writes.push(leaf(&numbers, value, version)?);
        }
    }
    throttle(block, version, &mut writes);
    Ok(writes)
}

fn set(weight: Option<u16>) -> Option<u16> {
    weight.filter(|&weight| weight != 0)
}

fn line(device: &str, weight: u16) -> String {
    if device.is_empty() { weight.to_string() } else { format!("{device} {weight}") }
}

fn bfq(version: Version, device: &str) -> &'static str {
    match (version, device.is_empty()) {
        (Version::V1, true) => "blkio.bfq.weight",
        (Version::V1, false) => "blkio.bfq.weight_device",
        (Version::V2, _) => "io.bfq.weight",
    }
}

fn leaf(device: &str, weight: u16, version: Version) -> Result<Write> {
    let (property, file) = if device.is_empty() {
        ("blockIO.leafWeight", "blkio.leaf_weight")
    } else {
        ("blockIO.weightDevice.leafWeight", "blkio.leaf_weight_device")
    };
    match version {
        Version::V1 => Ok(Write::new(property, file, line(device, weight))),
        Version::V2 => Err(refused(property, "cgroup v2 has no weights of leaves")),
    }
}

/// BFQ's weight (10 to 1000) as `io.weight` (1 to 10000).
fn io_weight(weight: u16) -> u16 {
    let above = u32::from(weight.clamp(10, 1000)) - 10;
    u16::try_from(1 + above * 9999 / 990).unwrap_or(10_000)
}

fn throttle(block: &LinuxBlockIo, version: Version, writes: &mut Vec<Write>) {
    type Asked<'a> = &'a Option<Vec<LinuxThrottleDevice>>;
    let all: [(&'static str, &'static str, &str, Asked); 4] = [
        (
            "blockIO.throttleReadBpsDevice",
            "blkio.throttle.read_bps_device",
            "rbps",
            block.throttle_read_bps_device(),
        ),
        (
            "blockIO.throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
            "wbps",
            block.throttle_write_bps_device(),
        ),
        (
            "blockIO.throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
            "riops",
            block.throttle_read_iops_device(),
        ),
        (
            "blockIO.throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            "wiops",
            block.throttle_write_iops_device(),
        ),
    ];
    for (property, file, key, devices) in all {
        for device in devices.iter().flatten() {
            let (major, minor, rate) = (device.major(), device.minor(), device.rate());
            writes.push(match (version, rate) {
                (Version::V1, _) => Write::new(property, file, format!("{major}:{minor} {rate}")),
                // 0 lifts a limit of v1.
                (Version::V2, 0) => {
                    Write::new(property, "io.max", format!("{major}:{minor} {key}=max"))
                }
                (Version::V2, _) => {
                    Write::new(property, "io.max", format!("{major}:{minor} {key}={rate}"))
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::Absent;
    use super::super::tests::{check, refuse};
    use super::*;

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
        check(
            |asked| writes(asked, Version::V1),
            RATES,
            &[
                ("blkio.throttle.read_bps_device", "8:0 1048576"),
                ("blkio.throttle.write_bps_device", "8:0 2097152"),
                ("blkio.throttle.read_iops_device", "8:0 300"),
                ("blkio.throttle.write_iops_device", "8:16 0"),
            ],
        );
        check(
            |asked| writes(asked, Version::V2),
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
        let of = |version| writes(&serde_json::from_str(WEIGHTS).unwrap(), version).unwrap();
        let [all, one] = &of(Version::V1)[..] else { panic!() };
        assert_eq!((&*all.file, &*all.value), ("blkio.bfq.weight", "500"));
        assert_eq!(all.absent, Absent::Instead("blkio.weight", "500".to_owned()));
        assert_eq!((&*one.file, &*one.value), ("blkio.bfq.weight_device", "8:0 10"));
        assert_eq!(one.absent, Absent::Instead("blkio.weight_device", "8:0 10".to_owned()));
        let [all, one] = &of(Version::V2)[..] else { panic!() };
        assert_eq!((&*all.file, &*all.value), ("io.bfq.weight", "500"));
        assert_eq!(all.absent, Absent::Instead("io.weight", "4950".to_owned()));
        assert_eq!(one.absent, Absent::Instead("io.weight", "8:0 1".to_owned()));
        assert_eq!((io_weight(10), io_weight(1000)), (1, 10_000));
    }

    #[test]
    fn leaves_have_weights_in_v1_only() {
        let config = r#"{ "weight": 0, "leafWeight": 300 }"#;
        check(|asked| writes(asked, Version::V1), config, &[("blkio.leaf_weight", "300")]);
        let refused = "linux.resources.blockIO.leafWeight: ";
        refuse(|asked| writes(asked, Version::V2), config, refused);
        let unset = r#"{ "weight": 0, "leafWeight": 0, "weightDevice": [] }"#;
        check(|asked| writes(asked, Version::V2), unset, &[]);
    }
}
