//! Rules as a list: a default, and exceptions to it. v1's kernel has such lists, and so has systemd.

use super::{Access, DEFAULTS, Devices, Kind, Rule, refused};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// What rules amount to, in the fewest writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Whether what is no exception is allowed.
    pub(crate) allow: bool,
    /// In the order of the rules that made them, which devices.list then shows.
    pub(crate) exceptions: Vec<(Devices, Access)>,
}

impl List {
    /// Applies `configured` rules and then the default ones to a list that denies everything.
    pub(crate) fn of(configured: &[Rule]) -> Result<Self> {
        let mut list = Growing::default();
        for (index, rule) in configured.iter().enumerate() {
            list.apply(rule)
                .map_err(|error| error.about(format!("linux.resources.devices[{index}]")))?;
        }
        for rule in &DEFAULTS {
            list.apply(rule).map_err(|error| refused(format!("a default one: {error}")))?;
        }
        Ok(list.finish())
    }
}

/// A line of devices.list, such as `c 136:* rwm`.
pub(crate) fn exception(line: &str) -> Option<(Devices, Access)> {
    let mut fields = line.split([' ', ':']);
    let kind = match fields.next()? {
        "c" => Kind::Character,
        "b" => Kind::Block,
        _ => return None,
    };
    let mut number = || match fields.next()? {
        "*" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    let (major, minor) = (number()?, number()?);
    Some((Devices { kind: Some(kind), major, minor }, Access::parse(fields.next()?)?))
}

/// A list while rules are applied to it.
#[derive(Default)]
struct Growing {
    allow: bool,
    /// Each exception, and its number in the order of the rules.
    exceptions: BTreeMap<Devices, (Access, usize)>,
    next: usize,
}

impl Growing {
    fn finish(self) -> List {
        let mut exceptions: Vec<_> = self.exceptions.into_iter().collect();
        exceptions.sort_unstable_by_key(|(_, (_, number))| *number);
        let exceptions = exceptions.into_iter().map(|(devices, (has, _))| (devices, has)).collect();
        List { allow: self.allow, exceptions }
    }

    fn apply(&mut self, rule: &Rule) -> Result<()> {
        if rule.is_for_all() {
            *self = Self { allow: rule.allow, ..Self::default() };
            return Ok(());
        }
        // The kernel's "a" is for all devices, whatever numbers and access follow.
        let kinds = match rule.devices.kind {
            Some(_) => [rule.devices.kind, None],
            None => [Some(Kind::Character), Some(Kind::Block)],
        };
        for kind in kinds.into_iter().flatten() {
            let devices = Devices { kind: Some(kind), ..rule.devices };
            if rule.allow == self.allow {
                self.remove(rule, &devices)?;
            } else {
                self.add(devices, rule.access);
            }
        }
        Ok(())
    }

    fn add(&mut self, devices: Devices, access: Access) {
        let covers = |wider: &Devices| {
            self.exceptions.get(wider).is_some_and(|(has, _)| has.contains(access))
        };
        if wider(devices).iter().any(covers) {
            return;
        }
        let (has, _) = self.exceptions.entry(devices).or_insert((Access::empty(), self.next));
        *has |= access;
        self.next += 1;
    }

    /// Takes exceptions for `devices` back. The kernel takes back exceptions for exactly the same
    /// devices, and passes over others without an error, which would leave more allowed than the rules
    /// say, or less: part of an exception can't be taken back.
    fn remove(&mut self, rule: &Rule, devices: &Devices) -> Result<()> {
        for excepted in self.met(devices) {
            let Some((has, _)) = self.exceptions.get_mut(&excepted) else { continue };
            if devices.cover(&excepted) {
                *has -= rule.access;
                if has.is_empty() {
                    self.exceptions.remove(&excepted);
                }
            } else if has.intersects(rule.access) {
                return Err(Error::new(format!(
                    "{rule}: cgroup v1 can't make an exception to an earlier {excepted} {has}"
                )));
            }
        }
        Ok(())
    }

    /// The exceptions that have devices in common with a single kind's.
    fn met(&self, devices: &Devices) -> Vec<Devices> {
        let of = |major| {
            let [first, last] =
                [None, Some(u32::MAX)].map(|minor| Devices { major, minor, ..*devices });
            self.exceptions.range(first..=last).map(|(one, _)| *one)
        };
        match (devices.major, devices.minor) {
            (Some(_), Some(_)) => {
                let wider = wider(*devices).into_iter();
                wider.filter(|one| self.exceptions.contains_key(one)).collect()
            }
            (Some(_), None) => of(devices.major).chain(of(None)).collect(),
            (None, _) => self.exceptions.keys().filter(|one| devices.meet(one)).copied().collect(),
        }
    }
}

/// The devices that a single kind's can be among: themselves, and those with a number left open.
fn wider(devices: Devices) -> [Devices; 4] {
    [
        devices,
        Devices { minor: None, ..devices },
        Devices { major: None, ..devices },
        Devices { major: None, minor: None, ..devices },
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::tests::configured;
    use super::*;

    const DEFAULT_LINES: &str = "c *:* m, b *:* m, c 1:3 rwm, c 1:5 rwm, c 1:7 rwm, c 1:8 rwm, \
                                 c 1:9 rwm, c 5:0 rwm, c 5:2 rwm, c 136:* rwm";

    fn lines(list: &List) -> String {
        let lines = list.exceptions.iter().map(|(devices, access)| format!("{devices} {access}"));
        lines.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn lists_are_read_as_they_are_written() {
        let list = List::of(&configured("[]")).unwrap();
        let read: Option<Vec<_>> = DEFAULT_LINES.split(", ").map(exception).collect();
        assert_eq!(read.unwrap(), list.exceptions);
        for line in ["", "c", "c 1:3", "c 1:x rwm", "x 1:3 rwm", "c 1:3 x"] {
            assert_eq!(exception(line), None, "{line}");
        }
    }

    /// What is allowed where nothing is by default.
    #[track_caller]
    fn allowed(config: &str) -> String {
        let list = List::of(&configured(config)).unwrap();
        assert!(!list.allow);
        lines(&list)
    }

    fn refused(config: &str) -> String {
        List::of(&configured(config)).unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_allowed_but_what_every_container_has() {
        for config in [
            "[]",
            r#"[{ "allow": false, "access": "rwm" }]"#,
            r#"[{ "allow": true }, { "allow": false }]"#,
            r#"[{ "allow": true, "type": "c", "major": 10 }, { "allow": false }]"#,
        ] {
            assert_eq!(allowed(config), DEFAULT_LINES);
        }
    }

    #[test]
    fn own_rules_come_first_and_in_their_order() {
        let config = r#"[
            { "allow": true, "type": "c", "major": 222, "minor": 9, "access": "rw" },
            { "allow": true, "type": "b", "major": 8, "minor": 0, "access": "rm" },
            { "allow": true, "type": "c", "major": 222, "minor": 9, "access": "m" },
            { "allow": true, "type": "c", "major": 4, "access": "rw" },
            { "allow": true, "type": "c", "major": 4, "minor": 1, "access": "r" }
        ]"#;
        let own = "c 222:9 rwm, b 8:0 rm, c 4:* rw, ";
        assert_eq!(allowed(config), format!("{own}{DEFAULT_LINES}"));
    }

    #[test]
    fn a_default_one_that_is_configured_is_written_once() {
        let config = r#"[{ "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm" },
            { "allow": true, "type": "c", "access": "m" },
            { "allow": true, "type": "c", "major": 136, "access": "rw" }]"#;
        let expected = "c 1:5 rwm, c *:* m, c 136:* rwm, b *:* m, c 1:3 rwm, c 1:7 rwm, \
                        c 1:8 rwm, c 1:9 rwm, c 5:0 rwm, c 5:2 rwm";
        assert_eq!(allowed(config), expected);
    }

    #[test]
    fn what_was_allowed_can_be_denied_and_the_other_way_round() {
        let config = r#"[
            { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
            { "allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw" },
            { "allow": true, "type": "b", "major": 10, "minor": 1, "access": "w" },
            { "allow": false, "type": "a", "major": 10, "access": "w" }
        ]"#;
        let own = "c 10:229 r, c 10:200 r, ";
        assert_eq!(allowed(config), format!("{own}{DEFAULT_LINES}"));
        let config = r#"[
            { "allow": false, "type": "c", "major": 10, "minor": 229, "access": "rw" },
            { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" }
        ]"#;
        assert_eq!(allowed(config), format!("c 10:229 rw, {DEFAULT_LINES}"));
    }

    #[test]
    fn everything_may_be_allowed_but_for_exceptions() {
        let all = List { allow: true, exceptions: Vec::new() };
        for config in [r#"[{ "allow": true }]"#, r#"[{ "allow": true, "type": "a" }]"#] {
            assert_eq!(List::of(&configured(config)).unwrap(), all);
        }
        let config = r#"[{ "allow": true }, { "allow": false, "type": "c", "major": 10 },
            { "allow": false, "type": "b", "major": 8, "minor": 0, "access": "w" }]"#;
        let list = List::of(&configured(config)).unwrap();
        assert!(list.allow);
        // Any device may be made.
        assert_eq!(lines(&list), "c 10:* rw, b 8:0 w");
    }

    #[test]
    fn what_v1_can_not_say_is_refused() {
        let config = r#"[{ "allow": true, "type": "c", "major": 10, "access": "rw" },
            { "allow": false, "type": "c", "major": 10, "minor": 229, "access": "w" }]"#;
        let expected = "linux.resources.devices[1]: deny c 10:229 w: cgroup v1 can't make an \
                        exception to an earlier c 10:* rw";
        assert_eq!(refused(config), expected);
        let config = r#"[{ "allow": true }, { "allow": false, "type": "c", "major": 1 }]"#;
        assert!(refused(config).starts_with("linux.resources.devices: a default one: allow c 1:3"));
        // Not where the accesses have nothing in common.
        let config = r#"[{ "allow": true, "type": "c", "major": 10, "access": "r" },
            { "allow": false, "type": "c", "major": 10, "minor": 229, "access": "w" }]"#;
        assert_eq!(allowed(config), format!("c 10:* r, {DEFAULT_LINES}"));
    }

    #[test]
    fn a_rule_for_any_device_is_not_one_for_all_of_it() {
        let config = r#"[{ "allow": true, "type": "a", "access": "r" }]"#;
        assert!(allowed(config).starts_with("c *:* rm, b *:* rm, c 1:3 rwm"));
    }

    #[test]
    fn many_rules_take_no_longer_than_their_number() {
        let rule = |number: u32, allow, minor| Rule {
            allow,
            devices: Devices { kind: Some(Kind::Character), major: Some(1000 + number), minor },
            access: Access::all(),
        };
        let since = std::time::Instant::now();
        let allowed = (0..50_000).map(|number| rule(number, true, Some(3)));
        let denied = (0..49_999).map(|number| rule(number, false, None));
        let rules: Vec<Rule> = allowed.chain(denied).collect();
        let list = List::of(&rules).unwrap();
        assert_eq!(list.exceptions.len(), 1 + DEFAULTS.len());
        // Comparing each with each takes minutes.
        assert!(since.elapsed().as_secs() < 30, "{:?}", since.elapsed());
    }
}
