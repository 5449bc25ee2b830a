//! Where a bus, or systemd itself, listens.

use crate::Bus;
use std::path::Path;
use sys::nix::unistd::geteuid;

/// Where somebody may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The path of a socket, or the name of an abstract one.
    pub(crate) path: Vec<u8>,
    pub(crate) is_abstract: bool,
    /// Whether it is systemd itself that listens there, and no bus.
    pub(crate) is_private: bool,
}

impl Address {
    fn path(path: &str, is_private: bool) -> Self {
        Self { path: path.as_bytes().to_vec(), is_abstract: false, is_private }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        let sign = if self.is_abstract { "@" } else { "" };
        format!("{sign}{}", String::from_utf8_lossy(&self.path))
    }
}

/// Where to try, in this order.
pub(crate) fn addresses(bus: Bus) -> Vec<Address> {
    addresses_by(bus, &own_uid, &|name| std::env::var(name).ok())
}

/// Whether there is a systemd, which may be away from its bus for a moment (`sd_booted(3)`).
pub(crate) fn has_manager(bus: Bus) -> bool {
    match bus {
        Bus::System => Path::new("/run/systemd/system").exists(),
        Bus::User => {
            let directory = runtime_directory(&own_uid, &|name| std::env::var(name).ok());
            Path::new(&directory).join("systemd/private").exists()
        }
    }
}

/// Our uid as the maker of our user namespace has it: `/run/user/UID` is of the host's.
fn own_uid() -> u32 {
    let uid = geteuid().as_raw();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    outer_uid(uid, &map).unwrap_or(uid)
}

/// The uid outside of a user namespace whose `uid_map` (user namespaces have one each) this is.
pub(crate) fn outer_uid(uid: u32, map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let numbers: Vec<u32> =
            line.split_whitespace().filter_map(|one| one.parse().ok()).collect();
        let &[inside, outside, count] = numbers.as_slice() else { return None };
        let offset = uid.checked_sub(inside).filter(|&offset| offset < count)?;
        outside.checked_add(offset)
    })
}

fn addresses_by(
    bus: Bus,
    uid: &dyn Fn() -> u32,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Vec<Address> {
    let variable = |name: &str| variable(name).filter(|value: &String| !value.is_empty());
    let named = match bus {
        Bus::System => "DBUS_SYSTEM_BUS_ADDRESS",
        Bus::User => "DBUS_SESSION_BUS_ADDRESS",
    };
    if let Some(addresses) = variable(named) {
        return parse(&addresses);
    }
    match bus {
        Bus::System => vec![
            Address::path("/run/dbus/system_bus_socket", false),
            Address::path("/var/run/dbus/system_bus_socket", false),
            // For root only, and where there is no bus.
            Address::path("/run/systemd/private", true),
        ],
        Bus::User => {
            let directory = runtime_directory(uid, &variable);
            vec![
                Address::path(&format!("{directory}/bus"), false),
                Address::path(&format!("{directory}/systemd/private"), true),
            ]
        }
    }
}

fn runtime_directory(uid: &dyn Fn() -> u32, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let named = variable("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    named.unwrap_or_else(|| format!("/run/user/{}", uid()))
}

/// Addresses as the specification of D-Bus writes them, those of kinds that are known here.
pub(crate) fn parse(text: &str) -> Vec<Address> {
    let one = |text: &str| {
        let (kind, pairs) = text.trim().split_once(':')?;
        if kind != "unix" {
            return None;
        }
        pairs.split(',').filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| {
            let is_abstract = match key {
                "path" => false,
                "abstract" => true,
                _ => return None,
            };
            Some(Address { path: unescape(value)?, is_abstract, is_private: false })
        })
    };
    text.split(';').filter_map(one).collect()
}

/// `%2f` and the like.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut bytes = value.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let code = digit()? * 16 + digit()?;
        plain.push(u8::try_from(code).ok()?);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bus: Bus, variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        addresses_by(bus, &|| 7, &variable).iter().map(Address::shown).collect()
    }

    #[test]
    fn variables_come_first() {
        let system =
            ("DBUS_SYSTEM_BUS_ADDRESS", "tcp:host=x;unix:path=/a%20b,guid=1;unix:abstract=c");
        assert_eq!(shown(Bus::System, &[system]), ["/a b", "@c"]);
        assert_eq!(shown(Bus::System, &[])[0], "/run/dbus/system_bus_socket");
        assert_eq!(
            shown(Bus::User, &[("XDG_RUNTIME_DIR", "/r")]),
            ["/r/bus", "/r/systemd/private"]
        );
        assert_eq!(shown(Bus::User, &[])[0], "/run/user/7/bus");
        assert_eq!(
            shown(
                Bus::User,
                &[("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x"), ("XDG_RUNTIME_DIR", "/r")]
            ),
            ["/x"]
        );
    }

    #[test]
    fn uids_are_the_outer_ones() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        for (inside, outside) in [(0, Some(1000)), (3, Some(100_002)), (70_000, None)] {
            assert_eq!(outer_uid(inside, map), outside, "{inside}");
        }
        assert_eq!(outer_uid(5, "0 0 4294967295"), Some(5));
        assert_eq!(outer_uid(5, ""), None);
    }

    #[test]
    fn broken_addresses_are_none() {
        for text in ["", "unix", "unix:", "unix:path=/a%2", "unix:path=/a%zz", "exec:path=/x"] {
            assert_eq!(parse(text), [], "{text}");
        }
    }
}
