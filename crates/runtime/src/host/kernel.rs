//! The oldest kernel that rind runs on.

use crate::{Error, Explain, Result};
use sys::nix::sys::utsname::uname;

/// The oldest kernel that has all system calls rind can't do without (`openat2`, `clone3` into a
/// cgroup, `mount_setattr` with recursion and idmapping, `close_range`, pidfds).
const OLDEST: (u32, u32) = (5, 14);

/// Fails on a kernel that is too old to create containers.
pub fn check_kernel() -> Result<()> {
    let names = uname().within("asking for the kernel's version")?;
    let release = names.release().to_string_lossy();
    if is_too_old(&release) {
        let (major, minor) = OLDEST;
        return Err(Error::new(format!(
            "rind needs Linux {major}.{minor} or newer, and this is {release}"
        )));
    }
    Ok(())
}

/// Whether a release as of uname(2) is before [`OLDEST`]. One that can't be parsed counts as new
/// enough: a system call that is missing fails where it is used.
fn is_too_old(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_too_old;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for old in ["5.13.19", "4.18.0-553.el8_10.x86_64", "5.4.0-150-generic", "3.10.0"] {
            assert!(is_too_old(old), "{old}");
        }
        for new in ["5.14.0-362.8.1.el9_3.x86_64", "6.1.0-18-amd64", "6.18", "10.0-rc1", "odd"] {
            assert!(!is_too_old(new), "{new}");
        }
    }
}
