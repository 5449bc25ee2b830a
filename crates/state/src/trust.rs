//! Whose work the content of a directory can be.

use sys::nix::sys::stat::FileStat;
use sys::nix::unistd::geteuid;

/// Who may write to it beside its owner, the sticky bit or not.
const OTHERS: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// Why what is in this directory may be the work of somebody other than root and us; nothing if it
/// can't be.
#[must_use]
pub fn distrust(directory: &FileStat) -> Option<String> {
    of_mode(directory, directory.st_mode & 0o7777)
}

/// [`distrust`], but for a directory in which others may make what they like and can't touch what is
/// ours, as /tmp: whose each of its entries is has to be looked at.
#[must_use]
pub fn distrust_shared(directory: &FileStat) -> Option<String> {
    let mode = directory.st_mode & 0o7777;
    of_mode(directory, if mode & STICKY != 0 { mode & !OTHERS } else { mode })
}

fn of_mode(directory: &FileStat, mode: u32) -> Option<String> {
    let owner = directory.st_uid;
    if owner != 0 && owner != geteuid().as_raw() {
        return Some(format!("it belongs to user {owner}"));
    }
    (mode & OTHERS != 0).then(|| format!("others may write to it (mode {mode:04o})"))
}
