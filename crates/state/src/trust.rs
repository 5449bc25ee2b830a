//! Whose work the content of a directory can be.

use sys::nix::sys::stat::FileStat;
use sys::nix::unistd::geteuid;

/// Who may write to it beside its owner, the sticky bit or not.
const OTHERS: u32 = 0o022;

/// Why what is in this directory may be the work of somebody other than root and us; nothing if it
/// can't be.
#[must_use]
pub fn distrust(directory: &FileStat) -> Option<String> {
    let (owner, mode) = (directory.st_uid, directory.st_mode & 0o7777);
    if owner != 0 && owner != geteuid().as_raw() {
        return Some(format!("it belongs to user {owner}"));
    }
    (mode & OTHERS != 0).then(|| format!("others may write to it (mode {mode:04o})"))
}
