//! Checks `ociVersion`, which may be any release of major version 1.

use super::{Check, Found};
use crate::path::at;

/// Checks a version. Every runtime of 1.x takes a config of any 1.x, and leaves alone what it does not
/// know.
pub(super) fn check(found: &mut Found, version: &str) -> Check {
    if version.is_empty() {
        return found.refuse(at("ociVersion"), "is missing");
    }
    match major(version) {
        None => found
            .refuse(at("ociVersion"), format!("{version:?} is not a version as of SemVer 2.0.0")),
        Some("1") => Ok(()),
        Some(_) => found.refuse(at("ociVersion"), format!("{version} is not supported, 1.x is")),
    }
}

/// Whether a config of this version means by a `pids.limit` of 0 that there is none. 1.3 made 0 a limit;
/// before, engines wrote it for no limit: Podman does so for `--pids-limit -1` and for its Docker API.
#[must_use]
pub fn zero_pids_are_unlimited(version: &str) -> bool {
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u64>().ok());
    minor.is_some_and(|minor| minor < 3)
}

/// The major version of a text that is a version by semver.org, 2.0.0.
fn major(version: &str) -> Option<&str> {
    let (version, build) = cut(version, '+');
    let (core, pre_release) = cut(version, '-');
    let mut numbers = core.split('.');
    let major = numbers.next()?;
    let core_is_valid = is_number(major)
        && numbers.next().is_some_and(is_number)
        && numbers.next().is_some_and(is_number)
        && numbers.next().is_none();
    let mut builds = build.into_iter().flat_map(|build| build.split('.'));
    let mut pre_releases = pre_release.into_iter().flat_map(|pre| pre.split('.'));
    let is_valid = core_is_valid
        && builds.all(is_identifier)
        && pre_releases.all(|one| is_identifier(one) && (!is_digits(one) || is_number(one)));
    is_valid.then_some(major)
}

fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && is_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_release_of_version_1_is_valid() {
        let valid = [
            "1.0.0",
            "1.0.2-dev",
            "1.3.0",
            "1.99.0",
            "1.3.0+x",
            "1.3.0-rc.1+build.007",
            "1.0.0-x-y",
        ];
        for version in valid {
            assert!(check(&mut Found::default(), version).is_ok(), "{version}");
        }
    }

    #[test]
    fn pids_of_0_are_a_limit_since_1_3() {
        for (version, unlimited) in [
            ("1.0.0", true),
            ("1.0.2-dev", true),
            ("1.2.1", true),
            ("1.3.0", false),
            ("1.3.0-rc.1", false),
            ("1.10.0", false),
        ] {
            assert_eq!(zero_pids_are_unlimited(version), unlimited, "{version}");
        }
    }

    #[test]
    fn what_is_no_version_1_is_refused() {
        let invalid = [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "1.0.x",
            "01.0.0",
            "1.00.0",
            "1.0.0-",
            "1.0.0-a..b",
            "1.0.0-01",
            "1.0.0+",
            "1.0.0+a_b",
            " 1.0.0",
            "0.5.0-dev",
            "2.0.0",
            "10.0.0",
        ];
        for version in invalid {
            let violation = check(&mut Found::default(), version).unwrap_err();
            assert_eq!(violation.path.to_string(), "ociVersion", "{version}");
        }
    }
}
