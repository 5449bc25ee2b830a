//! Device rules: what the config says, and what every container has. Pure: the kernel's two ways to
//! enforce them are `cgroupfs/v1/devices.rs` and `cgroupfs/v2/devices.rs`.

pub(crate) mod list;

use crate::error::{Error, Result};
use bitflags::bitflags;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::fmt;

/// An error about all device rules.
pub(crate) fn refused(reason: impl fmt::Display) -> Error {
    Error::new(format!("linux.resources.devices: {reason}"))
}

bitflags! {
    /// Ways to use a device; the numbers are those that device filters get.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Access: u8 {
        const MKNOD = 1;
        const READ = 2;
        const WRITE = 4;
    }
}

impl Access {
    pub const LETTERS: [(Self, char); 3] =
        [(Self::READ, 'r'), (Self::WRITE, 'w'), (Self::MKNOD, 'm')];

    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::empty(), |access, letter| {
            let (one, _) = Self::LETTERS.into_iter().find(|(_, known)| *known == letter)?;
            Some(access | one)
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Self::LETTERS.iter().filter(|(access, _)| self.intersects(*access));
        letters.map(|(_, letter)| *letter).try_for_each(|letter| write!(f, "{letter}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Character,
    Block,
}

/// Some devices: those of a kind, a major and a minor number, where `None` stands for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Devices {
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

impl Devices {
    pub const ANY: Self = Self { kind: None, major: None, minor: None };

    /// Whether all of `other` are among these.
    pub fn cover(&self, other: &Self) -> bool {
        self.kind.is_none_or(|kind| other.kind == Some(kind))
            && self.major.is_none_or(|major| other.major == Some(major))
            && self.minor.is_none_or(|minor| other.minor == Some(minor))
    }

    /// Whether any of `other` are among these.
    pub fn meet(&self, other: &Self) -> bool {
        fn meets<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        meets(self.kind, other.kind)
            && meets(self.major, other.major)
            && meets(self.minor, other.minor)
    }
}

/// As in v1's files: `c 10:229`, `b *:*`.
impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |one| one.to_string());
        let kind = match self.kind {
            None => 'a',
            Some(Kind::Character) => 'c',
            Some(Kind::Block) => 'b',
        };
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// Some ways to use some devices are allowed, or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub allow: bool,
    pub devices: Devices,
    pub access: Access,
}

impl Rule {
    /// Whether it is for every way to use every device.
    pub fn is_for_all(&self) -> bool {
        self.devices == Devices::ANY && self.access == Access::all()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.allow { "allow" } else { "deny" };
        write!(f, "{verb} {} {}", self.devices, self.access)
    }
}

/// What every container is allowed: to make any device, and to use those that it always has.
pub(crate) const DEFAULTS: [Rule; 10] = [
    default(Kind::Character, None, None, Access::MKNOD),
    default(Kind::Block, None, None, Access::MKNOD),
    // null, zero, full, random, urandom.
    default(Kind::Character, Some(1), Some(3), Access::all()),
    default(Kind::Character, Some(1), Some(5), Access::all()),
    default(Kind::Character, Some(1), Some(7), Access::all()),
    default(Kind::Character, Some(1), Some(8), Access::all()),
    default(Kind::Character, Some(1), Some(9), Access::all()),
    // tty, ptmx, and the terminals of devpts, of which the console is one.
    default(Kind::Character, Some(5), Some(0), Access::all()),
    default(Kind::Character, Some(5), Some(2), Access::all()),
    default(Kind::Character, Some(136), None, Access::all()),
];

const fn default(kind: Kind, major: Option<u32>, minor: Option<u32>, access: Access) -> Rule {
    Rule { allow: true, devices: Devices { kind: Some(kind), major, minor }, access }
}

/// The config's rules. A rule without a type, numbers or access is for all of them.
pub(crate) fn rules(configured: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    configured.iter().enumerate().map(|(index, rule)| parse(index, rule)).collect()
}

fn parse(index: usize, rule: &LinuxDeviceCgroup) -> Result<Rule> {
    let refuse = |field: &str, reason: String| {
        Err(Error::new(format!("linux.resources.devices[{index}].{field}: {reason}")))
    };
    let number =
        |number: Option<i64>| number.filter(|&number| number != -1).map(u32::try_from).transpose();
    let kind = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(Kind::Block),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Character),
        LinuxDeviceType::P => return refuse("type", "p: FIFOs have no rules".to_owned()),
    };
    let (Ok(major), Ok(minor)) = (number(rule.major()), number(rule.minor())) else {
        let numbers = [rule.major(), rule.minor()].map(Option::unwrap_or_default);
        return refuse("major", format!("{}:{} are no device numbers", numbers[0], numbers[1]));
    };
    let letters = rule.access().as_deref().unwrap_or_default();
    let access = match Access::parse(letters) {
        Some(access) if access.is_empty() => Access::all(),
        Some(access) => access,
        None => return refuse("access", format!("{letters:?} is not of r, w and m only")),
    };
    Ok(Rule { allow: rule.allow(), devices: Devices { kind, major, minor }, access })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// The rules of a configuration.
    pub(crate) fn configured(config: &str) -> Vec<Rule> {
        rules(&serde_json::from_str::<Vec<_>>(config).unwrap()).unwrap()
    }

    #[test]
    fn what_a_rule_does_not_say_is_for_all() {
        let table = [
            (r#"[{ "allow": false }]"#, "deny a *:* rwm"),
            (r#"[{ "allow": true, "type": "a", "access": "" }]"#, "allow a *:* rwm"),
            (r#"[{ "allow": true, "type": "c", "major": 4, "access": "wr" }]"#, "allow c 4:* rw"),
            (
                r#"[{ "allow": true, "type": "u", "major": -1, "minor": 3, "access": "m" }]"#,
                "allow c *:3 m",
            ),
            (
                r#"[{ "allow": false, "type": "b", "major": 8, "minor": 0, "access": "mm" }]"#,
                "deny b 8:0 m",
            ),
        ];
        for (config, expected) in table {
            assert_eq!(configured(config)[0].to_string(), expected);
        }
    }

    #[test]
    fn nonsense_is_refused_by_its_place() {
        let table = [
            (r#"{ "allow": true, "access": "rwx" }"#, r#"access: "rwx" "#),
            (r#"{ "allow": true, "access": " " }"#, "access: "),
            (r#"{ "allow": true, "type": "c", "major": -2 }"#, "major: -2:0 "),
            (r#"{ "allow": true, "type": "c", "minor": 4294967296 }"#, "major: 0:4294967296 "),
            (r#"{ "allow": true, "type": "p" }"#, "type: p"),
        ];
        for (config, expected) in table {
            let config = format!(r#"[{{ "allow": false }}, {config}]"#);
            let error = rules(&serde_json::from_str::<Vec<_>>(&config).unwrap()).unwrap_err();
            let expected = format!("linux.resources.devices[1].{expected}");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}
