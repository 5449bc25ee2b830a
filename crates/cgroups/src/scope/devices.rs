//! Device rules as systemd has them: what a unit may use, and nothing else.

use crate::devices::list::List;
use crate::devices::{Access, Devices, Kind, Rule};
use crate::error::Result;
use std::collections::HashMap;
use systemd::{Property, Value};

/// The properties that tell systemd of the rules: these devices and no other, or all of them.
pub(super) fn properties(configured: &[Rule], pure: bool) -> Result<Vec<Property>> {
    let allowed = entries(configured, pure)?;
    let policy = if allowed.is_some() { "strict" } else { "auto" };
    let list = |items| Value::Array { element: "(ss)".to_owned(), items };
    let mut all = vec![
        Property::new("DevicePolicy", Value::Text(policy.to_owned())),
        // The empty list takes away what was there before.
        Property::new("DeviceAllow", list(Vec::new())),
    ];
    let entry = |(name, access): (String, Access)| {
        Value::Struct(vec![Value::Text(name), Value::Text(access.to_string())])
    };
    let entries: Vec<_> = allowed.into_iter().flatten().map(entry).collect();
    if !entries.is_empty() {
        all.push(Property::new("DeviceAllow", list(entries)));
    }
    Ok(all)
}

/// What rules allow, as entries of `DeviceAllow=` (systemd.resource-control(5)); `None` if they allow
/// everything.
///
/// Some rules have no such entries: everything but some devices, exceptions to exceptions, a minor number
/// of every major one. Then the entries allow more where v2 is `pure`, and the kernel asks rind's own
/// filter as well; and less where systemd writes them to v1's list, which it shares with rind.
fn entries(configured: &[Rule], pure: bool) -> Result<Option<Vec<(String, Access)>>> {
    let list = match List::of(configured) {
        Ok(list) if list.allow && list.exceptions.is_empty() => return Ok(None),
        Ok(list) if !list.allow => list,
        _ if pure => List::of(&without_exceptions(configured))?,
        _ => List::of(&[])?,
    };
    let all_of = |kind| (Devices { kind: Some(kind), ..Devices::ANY }, Access::all());
    let allowed = if list.allow {
        [Kind::Character, Kind::Block].map(all_of).to_vec()
    } else {
        list.exceptions
    };
    // Of two entries with one name systemd knows the last.
    let mut entries: Vec<(String, Access)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (devices, access) in allowed {
        let Some(name) = name(&devices, pure) else { continue };
        let index = *known.entry(name.clone()).or_insert(entries.len());
        match entries.get_mut(index) {
            Some((_, has)) => *has |= access,
            None => entries.push((name, access)),
        }
    }
    Ok(Some(entries))
}

/// Rules that allow all that these do, and can be put as a list.
fn without_exceptions(rules: &[Rule]) -> Vec<Rule> {
    rules.iter().filter(|rule| rule.allow || rule.is_for_all()).copied().collect()
}

/// What systemd calls such devices. By numbers (since 240) it needs neither a node nor a driver to be
/// there.
fn name(devices: &Devices, pure: bool) -> Option<String> {
    let kind = match devices.kind? {
        Kind::Character => "char",
        Kind::Block => "block",
    };
    match (devices.major, devices.minor) {
        (None, None) => Some(format!("{kind}-*")),
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (None, Some(_)) => pure.then(|| format!("{kind}-*")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::devices::tests::configured;

    /// What every container has; `char-*` may be more before it.
    const DEFAULTS: &str = "char-* m, block-* m, /dev/char/1:3 rwm, /dev/char/1:5 rwm, \
                            /dev/char/1:7 rwm, /dev/char/1:8 rwm, /dev/char/1:9 rwm, \
                            /dev/char/5:0 rwm, /dev/char/5:2 rwm, char-136 rwm";

    fn said(config: &str, pure: bool) -> String {
        let entries = entries(&configured(config), pure).unwrap();
        let Some(entries) = entries else { return "everything".to_owned() };
        let entries: Vec<_> =
            entries.iter().map(|(name, access)| format!("{name} {access}")).collect();
        entries.join(", ")
    }

    #[test]
    fn devices_have_systemds_names() {
        let config = r#"[{ "allow": false }, { "allow": true, "type": "b", "major": 7, "access": "rw" },
            { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm" },
            { "allow": true, "type": "c", "major": 4 }, { "allow": true, "type": "c", "major": 511 }]"#;
        let own = "block-7 rw, /dev/char/10:229 rwm, char-4 rwm, char-511 rwm";
        for pure in [true, false] {
            assert_eq!(said(config, pure), format!("{own}, {DEFAULTS}"));
            assert_eq!(said("[]", pure), DEFAULTS);
        }
    }

    #[test]
    fn everything_is_that_without_exceptions() {
        let exceptions = r#"[{ "allow": true }, { "allow": false, "type": "c", "major": 10 }]"#;
        for pure in [true, false] {
            assert_eq!(said(r#"[{ "allow": true }]"#, pure), "everything");
        }
        assert_eq!(said(exceptions, true), "char-* rwm, block-* rwm");
        assert_eq!(said(exceptions, false), DEFAULTS);
    }

    #[test]
    fn what_cannot_be_said_is_more_on_v2_and_less_on_v1() {
        let one_minor = r#"[{ "allow": false }, { "allow": true, "type": "c", "major": 10 },
            { "allow": true, "type": "c", "minor": 3, "access": "rw" }]"#;
        let rest = DEFAULTS.strip_prefix("char-* m, ").unwrap();
        assert_eq!(said(one_minor, true), format!("char-10 rwm, char-* rwm, {rest}"));
        assert_eq!(said(one_minor, false), format!("char-10 rwm, {DEFAULTS}"));
        // v1 refuses these itself.
        let part = r#"[{ "allow": false }, { "allow": true, "type": "c", "major": 10 },
            { "allow": false, "type": "c", "major": 10, "minor": 229 }]"#;
        assert_eq!(said(part, true), format!("char-10 rwm, {DEFAULTS}"));
        assert_eq!(said(part, false), DEFAULTS);
        let default = r#"[{ "allow": true }, { "allow": false, "type": "c", "major": 1 }]"#;
        assert_eq!(said(default, true), "char-* rwm, block-* rwm");
        assert_eq!(said(default, false), DEFAULTS);
    }

    /// They are one property, and the last would be all of it.
    #[test]
    fn entries_of_one_name_are_one() {
        let config = r#"[{ "allow": true, "type": "c", "minor": 1, "access": "r" },
            { "allow": true, "type": "c", "minor": 2, "access": "w" }]"#;
        assert!(said(config, true).starts_with("char-* rwm, block-* m, /dev/char/1:3 rwm"));
    }
}
