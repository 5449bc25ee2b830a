//! Who can have made what is in a directory. This judges by owner and mode, and never opens anything.

use sys::nix::sys::stat::FileStat;
use sys::nix::unistd::geteuid;

/// The mode bits by which others than the owner may write, whatever the sticky bit says.
const OTHERS: u32 = 0o022;

const STICKY: u32 = 0o1000;

/// The reason why others than root and rind's user may have made what is in this directory, if there
/// is one.
#[must_use]
pub fn distrust(directory: &FileStat) -> Option<String> {
    of_mode(directory, directory.st_mode & 0o7777)
}

/// [`distrust`] for a directory like /tmp, where the sticky bit keeps others from changing rind's
/// entries, though they may make their own. The caller must then look at the owner of each entry.
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
