//! Setting device rules: v1's list, or v2's filter.

use super::{v1, v2};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::devices::{Rule, refused};
use crate::error::{Error, Result};
use crate::file;
use sys::Errno;
use sys::nix::unistd::geteuid;

/// Sets the device rules of the container's cgroup: nothing is allowed but what `configured` rules
/// allow, one after the other, and then what every container has.
///
/// A lenient cgroup goes without device rules if no hierarchy has them, and so does that of a user who
/// may not set them: no device can be made in a user namespace, and those of the host keep the host's
/// permissions.
pub(crate) fn apply(cgroup: &Cgroup, configured: &[Rule]) -> Result<()> {
    set(cgroup, configured, v1::devices::apply)
}

/// [`apply`] for a container that runs: whatever stays allowed is allowed throughout.
pub(crate) fn replace(cgroup: &Cgroup, configured: &[Rule]) -> Result<()> {
    set(cgroup, configured, v1::devices::replace)
}

/// Sets the rules: v1's list by `set_list`, while one call replaces v2's filter.
fn set(
    cgroup: &Cgroup,
    configured: &[Rule],
    set_list: fn(&Hierarchy, &[Rule]) -> Result<()>,
) -> Result<()> {
    let applied = match cgroup.joined_controlling("devices") {
        Some(unified) if unified.is_unified() => v2::devices::apply(unified, configured),
        Some(v1) => set_list(v1, configured),
        None if cgroup.lenient => Ok(()),
        None => Err(refused("no devices cgroup on this host to enforce device rules with")
            .with_hint(Some("mount one below /sys/fs/cgroup, or use --cgroup-manager disabled"))),
    };
    match applied {
        Err(error) if is_denied(&error) && !is_privileged() => Ok(()),
        other => other,
    }
}

fn is_denied(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES))
}

/// Whether this is the host's root, in no user namespace with other ids.
fn is_privileged() -> bool {
    let whole = |map: String| {
        let mut fields = map.split_ascii_whitespace();
        fields.next() == Some("0") && fields.nth(1) == Some("4294967295")
    };
    // A kernel without user namespaces has no such file.
    geteuid().is_root() && file::try_read_value("/proc/self/uid_map").map_or(true, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_mapped_users() {
        // Whatever this runs as, both answers must be possible to give.
        let _ = is_privileged();
        assert!(is_denied(&Error::call("x", Errno::EPERM)));
        assert!(!is_denied(&Error::call("x", Errno::EINVAL)));
    }
}
