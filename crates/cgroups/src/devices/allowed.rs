//! Device rules as systemd has them: what a unit may use, and nothing else.

use super::list::List;
use super::{Access, Devices, Kind, Rule};
use crate::file;

/// What rules allow, as entries of `DeviceAllow=`; `None` where they can't be put so: all is allowed
/// but for some, or a minor number of every major one is.
pub(super) fn entries(configured: &[Rule]) -> Option<Vec<(String, String)>> {
    let list = List::of(configured).ok().filter(|list| !list.allow)?;
    // systemd knows majors by the names that drivers have registered.
    let drivers = file::try_read_value("/proc/devices").unwrap_or_default();
    list.exceptions.iter().map(|(devices, access)| entry(devices, *access, &drivers)).collect()
}

fn entry(devices: &Devices, access: Access, drivers: &str) -> Option<(String, String)> {
    let kind = match devices.kind? {
        Kind::Character => "char",
        Kind::Block => "block",
    };
    let device = match (devices.major, devices.minor) {
        (None, None) => format!("{kind}-*"),
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{}", driver(drivers, devices.kind?, major)?),
        (None, Some(_)) => return None,
    };
    Some((device, access.to_string()))
}

/// The name of a major number in /proc/devices, if it is no pattern. Another number may have it too:
/// rind's own rules are exact, and both are asked.
fn driver(drivers: &str, kind: Kind, major: u32) -> Option<&str> {
    let (characters, blocks) = drivers.split_once("Block devices:")?;
    let lines = match kind {
        Kind::Character => characters.lines(),
        Kind::Block => blocks.lines(),
    };
    let mut named = lines
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(number, name)| Some((number.parse::<u32>().ok()?, name.trim())));
    let (_, name) = named.find(|(number, _)| *number == major)?;
    (!name.contains(['*', '?', '[', '/'])).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::configured;
    use super::*;

    const DRIVERS: &str =
        "Character devices:\n  1 mem\n  4 tty\n  4 ttyS\n136 pts\n\nBlock devices:\n  7 loop\n";

    #[test]
    fn devices_have_systemds_names() {
        let config = r#"[{ "allow": false }, { "allow": true, "type": "b", "major": 7, "access": "rw" },
            { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm" }]"#;
        let list = List::of(&configured(config)).unwrap();
        let entries: Vec<_> = list
            .exceptions
            .iter()
            .map(|(devices, access)| entry(devices, *access, DRIVERS).unwrap())
            .map(|(device, access)| format!("{device} {access}"))
            .collect();
        assert_eq!(
            entries[..4],
            ["block-loop rw", "/dev/char/10:229 rwm", "char-* m", "block-* m"]
        );
        assert!(entries.contains(&"char-pts rwm".to_owned()), "{entries:?}");
        assert!(entries.contains(&"/dev/char/1:3 rwm".to_owned()), "{entries:?}");
    }

    #[test]
    fn what_systemd_has_no_words_for_is_not_said() {
        assert_eq!(entries(&configured(r#"[{ "allow": true }]"#)), None);
        let one_minor = r#"[{ "allow": false }, { "allow": true, "type": "c", "minor": 3 }]"#;
        assert_eq!(entries(&configured(one_minor)), None);
    }
}
