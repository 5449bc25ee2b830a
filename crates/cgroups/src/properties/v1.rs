//! What systemd calls v1's own files. It takes `CPUWeight` and `IOWeight` there too, but by another
//! curve than v2's, and would write other numbers than those that were asked for.

use super::{INFINITY, Lists, number};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxResources};
use systemd::{Property, Value};

/// What systemd takes: another number is an error, and the kernel's to refuse or to round.
const SHARES: (u64, u64) = (2, 262_144);
const WEIGHTS: (u64, u64) = (10, 1000);

/// Shares, and limits on disks; systemd has no words for operations a second.
pub(super) fn of(resources: &LinuxResources) -> Vec<Property> {
    let shares = resources.cpu().as_ref().and_then(LinuxCpu::shares).filter(|&value| value != 0);
    let mut all: Vec<_> =
        shares.map(|value| number("CPUShares", within(value, SHARES))).into_iter().collect();
    let disks = resources.block_io().as_ref().map(of_disks).unwrap_or_default();
    if !disks.is_empty() {
        // By the newer name, it would take the limits of newer names only, or defaults.
        all.push(Property::new("IOAccounting", Value::Bool(false)));
        all.push(Property::new("BlockIOAccounting", Value::Bool(true)));
        all.extend(disks);
    }
    all
}

fn within(value: u64, (least, most): (u64, u64)) -> u64 {
    value.clamp(least, most)
}

fn of_disks(block: &LinuxBlockIo) -> Vec<Property> {
    let weight = |weight: Option<u16>| {
        weight.filter(|&weight| weight != 0).map(|weight| within(weight.into(), WEIGHTS))
    };
    let mut lists = Lists::default();
    for device in block.weight_device().iter().flatten() {
        if let Some(weight) = weight(device.weight()) {
            let device = format!("{}:{}", device.major(), device.minor());
            lists.add("BlockIODeviceWeight", &device, weight);
        }
    }
    for (name, devices) in [
        ("BlockIOReadBandwidth", block.throttle_read_bps_device()),
        ("BlockIOWriteBandwidth", block.throttle_write_bps_device()),
    ] {
        for device in devices.iter().flatten() {
            // 0 lifts a limit.
            let rate = if device.rate() == 0 { INFINITY } else { device.rate() };
            lists.add(name, &format!("{}:{}", device.major(), device.minor()), rate);
        }
    }
    let all = weight(block.weight()).map(|weight| number("BlockIOWeight", weight));
    all.into_iter().chain(lists.into_properties()).collect()
}
