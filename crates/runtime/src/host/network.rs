//! `linux.netDevices`: moves network devices of the host to the container.
//!
//! A device that changes its network namespace loses its addresses and is set down, so rind adds
//! the addresses again and sets it up. rind never moves a device back: when the namespace ends, the
//! kernel returns a physical device to the host and removes a virtual one.

use crate::{Error, Explain, Result};
use oci_spec::runtime::Linux;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::netlink::{Address, Netlink, Target};
use sys::nix::libc::{IFA_F_PERMANENT, RT_SCOPE_UNIVERSE};
use sys::nix::unistd::geteuid;

/// The name of a device while it is moved, if the kernel is to number it. The kernel would number it
/// twice if the call that moves it had the final pattern.
const PASSING: &str = "rind%d";

/// A device that is to be moved.
#[derive(Debug)]
pub(crate) struct Device {
    name: String,
    /// Its name in the container; the kernel completes one with `%d`.
    inside: String,
    index: i32,
    addresses: Vec<Address>,
}

/// Finds the devices on the host, and reads their addresses. The config has been checked: names are
/// valid, and there is a network namespace to move the devices to.
pub(crate) fn plan(linux: &Linux) -> Result<Vec<Device>> {
    let Some(config) = linux.net_devices().as_ref().filter(|devices| !devices.is_empty()) else {
        return Ok(Vec::new());
    };
    if !geteuid().is_root() {
        let why = "network devices can be moved by root only (not rootless)";
        return Err(Error::new(why).about("linux.netDevices"));
    }
    let mut netlink = Netlink::open().within("rtnetlink").about("linux.netDevices")?;
    let mut devices = Vec::with_capacity(config.len());
    for (name, device) in config {
        let inside = device.name().clone().filter(|inside| !inside.is_empty());
        let found = find(&mut netlink, name, inside.unwrap_or_else(|| name.clone()));
        devices.push(found.map_err(|error| error.about(property(name)))?);
    }
    // A map has no order.
    devices.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(devices)
}

fn find(netlink: &mut Netlink, name: &str, inside: String) -> Result<Device> {
    let index = netlink.index_of(name).within("looking for it")?;
    let index = index.ok_or_else(|| Error::new("there is no network device of this name"))?;
    let mut addresses = netlink.addresses(index).within("reading its addresses")?;
    addresses.retain(|one| one.flags & IFA_F_PERMANENT != 0 && one.scope == RT_SCOPE_UNIVERSE);
    Ok(Device { name: name.to_owned(), inside, index, addresses })
}

/// Moves the devices to the network namespace of the process `pid`, the new init.
pub(crate) fn move_to_container(devices: &[Device], pid: i32) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/ns/net");
    let namespace = match File::open(&path) {
        // Init has ended already, and its message on the channel tells why.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => OwnedFd::from(opened.on("linux.netDevices: opening", path)?),
    };
    let sockets = || -> std::io::Result<_> {
        let own = OwnedFd::from(File::open("/proc/self/ns/net")?);
        Ok((Netlink::open()?, Netlink::open_in(&namespace, &own)?))
    };
    let entered = sockets().within("entering the container's network namespace");
    let (mut host, mut inside) = entered.about("linux.netDevices")?;
    devices.iter().try_for_each(|device| {
        let moved = move_one(device, &namespace, &mut host, &mut inside);
        moved.map_err(|error| error.about(property(&device.name)))
    })
}

fn move_one(
    device: &Device,
    namespace: &OwnedFd,
    host: &mut Netlink,
    inside: &mut Netlink,
) -> Result<()> {
    let name = device.inside.as_str();
    let picked = name.contains('%');
    if !picked && inside.index_of(name).within("looking for its new name")?.is_some() {
        return Err(Error::new(format!("the container has a network device {name} already")));
    }
    let mut index = device.index;
    while inside.has_index(index).within("looking for a free number")? {
        index = index.checked_add(1).ok_or(Errno::ERANGE).within("numbering it")?;
    }
    let target = Target { namespace, index, name: if picked { PASSING } else { name } };
    host.move_link(device.index, &target).within("moving it to the container")?;
    if picked {
        inside.rename(index, name).within("naming it")?;
    }
    for address in &device.addresses {
        inside.add_address(index, address).within("giving it its address again")?;
    }
    inside.set_up(index).within("setting it up")
}

/// The property of the config that is about the device `name`.
fn property(name: &str) -> String {
    format!("linux.netDevices.{name}")
}
