//! The mounts of this process's mount namespace (`proc_pid_mountinfo(5)`): ids, what is mounted,
//! and whether it is read-only. Nothing here may use the paths of mounts, which the container can
//! change.

use std::collections::HashMap;
use std::os::fd::AsFd;
use sys::fs::{LeakyFd, openat};
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::Mode;

/// All mounts, by id.
#[derive(Debug)]
pub(crate) struct Table(Vec<Line>);

/// A mount: a line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub id: u32,
    pub parent: u32,
    /// The file system's device number, and the path in it that is the root of the mount.
    device: String,
    root: String,
    pub read_only: bool,
    /// The type of file system.
    pub kind: String,
}

impl Table {
    /// Reads the table from `proc`, the root of a procfs.
    pub fn read(proc: impl AsFd) -> sys::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = LeakyFd::from(openat(proc, c"self/mountinfo", flags, Mode::empty())?);
        let text = sys::fs::read_to_end(file)?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// The table that `text` is. What is no line of one is passed over.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Line::parse).collect())
    }

    /// The mount with this id.
    pub fn line(&self, id: u64) -> Option<&Line> {
        self.0.iter().find(|line| u64::from(line.id) == id)
    }

    /// Whether `such` holds for any mount below the mount `id`, at any depth.
    ///
    /// A container can make a hundred thousand mounts, each below the one before: rind looks at each
    /// line once.
    pub fn is_any_below(&self, id: u64, such: impl Fn(&Line) -> bool) -> bool {
        let mut children: HashMap<u64, Vec<&Line>> = HashMap::new();
        // The table may have changed while rind read it, and have a circle through the mount itself.
        for line in self.0.iter().filter(|line| u64::from(line.id) != id) {
            children.entry(line.parent.into()).or_default().push(line);
        }
        let mut parents = vec![id];
        while let Some(parent) = parents.pop() {
            // What is taken out of the map is not looked at again, where there is a circle.
            for line in children.remove(&parent).unwrap_or_default() {
                if such(line) {
                    return true;
                }
                parents.push(line.id.into());
            }
        }
        false
    }
}

impl Line {
    pub fn parse(line: &str) -> Option<Self> {
        let (first, second) = line.split_once(" - ")?;
        let mut fields = first.split(' ');
        let (id, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (device, root) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let read_only = fields.nth(1)?.split(',').any(|option| option == "ro");
        let kind = second.split(' ').next()?.to_owned();
        Some(Self { id, parent, device, root, read_only, kind })
    }

    /// Whether somebody has removed the mounted file.
    pub fn is_deleted(&self) -> bool {
        // No other path has an empty component.
        self.root.ends_with("//deleted")
    }

    /// Whether both are of the same file or directory.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        (&self.device, &self.root) == (&other.device, &other.root)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "\
40 30 0:40 / / rw,relatime shared:1 master:2 - overlay overlay rw
41 40 0:41 / /proc rw,nosuid - proc proc rw
42 41 0:41 /sys /proc/sys ro,nosuid - proc proc rw
43 40 8:1 /a\\040b//deleted /x rw - ext4 /dev/x rw";

    #[test]
    fn lines_tell_what_is_mounted() {
        let table = Table::parse(TEXT);
        let line = |id| table.line(id).unwrap();
        assert!(line(42).read_only && !line(41).read_only && line(42).kind == "proc");
        assert!(line(43).is_deleted() && !line(42).is_deleted());
        assert!(!line(42).is_of_the_same(line(41)) && line(41).is_of_the_same(line(41)));
        assert!(table.line(99).is_none() && Line::parse("").is_none());
    }

    #[test]
    fn what_is_below_is_so_at_any_depth() {
        let table = Table::parse(TEXT);
        assert!(table.is_any_below(40, |line| line.read_only));
        assert!(table.is_any_below(41, |line| line.read_only));
        assert!(!table.is_any_below(42, |_| true) && !table.is_any_below(43, |_| true));
    }

    #[test]
    fn circles_have_an_end() {
        let table = Table::parse("1 2 0:1 / / rw - a\n2 1 0:1 / / rw - a\n3 3 0:1 / / ro - a");
        assert!(table.is_any_below(1, |_| true) && !table.is_any_below(1, |line| line.read_only));
        assert!(!table.is_any_below(3, |_| true));
    }

    #[test]
    fn a_deep_table_takes_no_longer_than_its_length() {
        let line = |id: u32| format!("{id} {} 0:1 / / ro - tmpfs none rw\n", id - 1);
        let text: String = (1..100_000).map(line).collect();
        let table = Table::parse(&text);
        let since = std::time::Instant::now();
        assert!(!table.is_any_below(1, |line| line.id == 1 || !line.read_only));
        assert!(since.elapsed().as_secs() < 5, "{:?}", since.elapsed());
    }
}
