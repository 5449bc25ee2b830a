//! Setting device rules: v1's list, or v2's filter.

use super::{v1, v2};
use crate::devices::{Rule, refused};
use crate::error::{Error, Result};
use crate::file;
use crate::path::{CgroupPath, Hierarchy};
use sys::Errno;
use sys::nix::unistd::geteuid;

/// Sets the device rules of the container's cgroup: nothing is allowed but what `configured` rules
/// allow, one after the other, and then what every container has.
///
/// A `lenient` place without a cgroup for them goes without, as does a user who may not set them:
/// no device can be made in a user namespace, and those of the host keep the host's permissions.
pub(crate) fn apply(place: &CgroupPath, configured: &[Rule]) -> Result<()> {
    set(place, configured, v1::devices::apply)
}

/// [`apply`] for a container that runs: whatever stays allowed is allowed throughout.
pub(crate) fn replace(place: &CgroupPath, configured: &[Rule]) -> Result<()> {
    set(place, configured, v1::devices::replace)
}

/// Sets the rules, those of v1 by `set_list`; a filter of v2 is replaced by one call.
fn set(
    place: &CgroupPath,
    configured: &[Rule],
    set_list: fn(&Hierarchy, &[Rule]) -> Result<()>,
) -> Result<()> {
    let applied = match place.controlling("devices").filter(|found| found.joined) {
        Some(cgroup) if cgroup.is_unified() => v2::devices::apply(cgroup, configured),
        Some(cgroup) => set_list(cgroup, configured),
        None if place.lenient => Ok(()),
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

/// Whether this is the host's root: nobody's uids are mapped.
fn is_privileged() -> bool {
    let whole = |map: String| {
        let mut fields = map.split_ascii_whitespace();
        fields.next() == Some("0") && fields.nth(1) == Some("4294967295")
    };
    // Where the map can't be read there are no user namespaces.
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
