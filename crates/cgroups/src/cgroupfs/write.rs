//! One write to a file of a cgroup, what takes it back, and writing a list of them.

use crate::cgroup::Hierarchy;
use crate::cgroupfs::remedy;
use crate::error::{Error, Result};
use crate::file::{self, value_of};
use std::borrow::Cow;
use std::fmt::Display;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;

/// One write to a file of the container's cgroup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The property that asks for it, from `linux.resources.` on.
    pub property: Cow<'static, str>,
    pub file: Cow<'static, str>,
    pub value: String,
    pub absent: Absent,
    back: Back,
}

/// What to do where the kernel has no such file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Refuse,
    /// Leave it: the limit would limit nothing that such a kernel has.
    Ignore,
    /// Write this value to this file.
    Instead(&'static str, String),
}

/// How the file shows what takes the write back.
#[derive(Debug, PartialEq, Eq)]
enum Back {
    /// As its only value, or its line `default`.
    Whole,
    /// As the line that begins with `key`. If there is none, `unset` takes the limit away.
    Line { key: String, unset: Option<String> },
    /// As the value of this key.
    Key(&'static str),
}

impl Write {
    pub fn new(
        property: impl Into<Cow<'static, str>>,
        file: impl Into<Cow<'static, str>>,
        value: &dyn Display,
    ) -> Self {
        let (property, file, value) = (property.into(), file.into(), value.to_string());
        Self { property, file, value, absent: Absent::Refuse, back: Back::Whole }
    }

    /// A number, or `max` if it is negative.
    pub fn number_or_max(property: &'static str, file: &'static str, value: i64) -> Self {
        Self::new(property, file, if value < 0 { &"max" } else { &value })
    }

    /// The entry `index` of `hugepageLimits`: reserved pages if the kernel counts them, and always
    /// those in use.
    pub fn huge_pages(index: usize, size: &str, file: &str, value: &dyn Display) -> Vec<Self> {
        let property = format!("hugepageLimits[{index}]");
        let reserved = format!("hugetlb.{size}.rsvd.{file}");
        vec![
            Self::new(property.clone(), reserved, value).optional(true),
            Self::new(property, format!("hugetlb.{size}.{file}"), value),
        ]
    }

    /// Both versions have the same file.
    pub fn rdma(device: &str, handles: Option<u32>, objects: Option<u32>) -> Self {
        let handles = handles.map(|count| format!(" hca_handle={count}")).unwrap_or_default();
        let objects = objects.map(|count| format!(" hca_object={count}")).unwrap_or_default();
        let value = format!("{device}{handles}{objects}");
        Self::new(format!("rdma.{device}"), "rdma.max", &value).line_of(&device, None)
    }

    /// The same, but if it is `optional`, it is left out where the kernel has no such file.
    pub fn optional(self, optional: bool) -> Self {
        if optional { Self { absent: Absent::Ignore, ..self } } else { self }
    }

    /// The same, with another file for kernels that don't have the first.
    pub fn or(self, file: &'static str, value: &dyn Display) -> Self {
        Self { absent: Absent::Instead(file, value.to_string()), ..self }
    }

    /// The same, to a file that has one line for each `key`. The line `unset` takes `key` out.
    pub fn line_of(self, key: &dyn Display, unset: Option<String>) -> Self {
        Self { back: Back::Line { key: key.to_string(), unset }, ..self }
    }

    /// The same, to a file that shows the value as that of `key`.
    pub fn shown_as(self, key: &'static str) -> Self {
        Self { back: Back::Key(key), ..self }
    }

    /// What to write so that the file, which says `before` now, says the same again.
    fn restoring(&self, before: &str) -> Option<String> {
        match &self.back {
            Back::Line { key, unset } => {
                let line = before.lines().find(|line| line.split(' ').next() == Some(key));
                line.map(str::to_owned).or_else(|| unset.clone())
            }
            Back::Key(key) => value_of(before, key).map(|value| value.to_string()),
            Back::Whole => {
                // The file has the cgroup's own weight, and beside it those of devices.
                let own = before.lines().find(|line| line.starts_with("default "));
                // With the line's end, as an empty text would be no write.
                Some(own.unwrap_or(before).to_owned())
            }
        }
    }

    fn perform(&self, writer: &mut Writer) -> Result<()> {
        let missing = |errno| matches!(errno, Errno::ENOENT | Errno::EOPNOTSUPP);
        let (mut file, mut written) = (&*self.file, writer.write(self, &self.file, &self.value));
        // BFQ has a file once it is loaded, and refuses a weight for a disk that it doesn't schedule.
        if let (Err(errno), Absent::Instead(other, value)) = (written, &self.absent)
            && missing(errno)
        {
            (file, written) = (other, writer.write(self, other, value));
        }
        let Err(errno) = written else { return Ok(()) };
        if missing(errno) && self.absent == Absent::Ignore {
            return Ok(());
        }
        let remedy = remedy::of(&self.property, &self.file, errno);
        let step = format!("writing {} to {}/{file}", self.value, writer.directory);
        let property = format!("linux.resources.{}", self.property);
        Err(Error::call(step, errno).with_hint(remedy).about(&property))
    }
}

/// Has the container go without a limit, if it may.
pub(super) fn lose(error: Error, lost: Option<&mut Vec<String>>) -> Result<()> {
    let Some(lost) = lost else { return Err(error) };
    lost.push(format!("{error}; the container goes without this limit"));
    Ok(())
}

/// Writes in order, but repeats writes that the kernel calls invalid after the others: limits bound
/// each other (memory and memory+swap, burst and quota), and which of two has to change first depends on
/// their present values.
pub(super) fn write_all(
    cgroup: &Hierarchy,
    mut writes: Vec<Write>,
    undo: Option<&mut Undo>,
    mut lost: Option<&mut Vec<String>>,
) -> Result<()> {
    use Errno::{EACCES, ENOENT, EPERM};
    let mut writer = Writer { directory: cgroup.directory(), open: None, undo };
    loop {
        let count = writes.len();
        let mut invalid = Vec::new();
        let mut first = None;
        for write in writes {
            match write.perform(&mut writer) {
                Err(error) if error.errno() == Some(Errno::EINVAL) => {
                    first.get_or_insert(error);
                    invalid.push(write);
                }
                // There is no such limit, or it isn't rind's to set.
                Err(error) if matches!(error.errno(), Some(ENOENT | EACCES | EPERM)) => {
                    lose(error, lost.as_deref_mut())?;
                }
                other => other?,
            }
        }
        match first {
            None => return Ok(()),
            Some(error) if invalid.len() == count => return Err(error),
            Some(_) => writes = invalid,
        }
    }
}

/// What files held before they were written to.
#[derive(Debug, Default)]
pub(crate) struct Undo(Vec<(String, String)>);

impl Undo {
    /// Takes all back, the last first, so that limits that bound each other do so at each step.
    /// What can't be taken back is added to `error`.
    pub fn take_back(self, error: Error) -> Error {
        let mut left = Vec::new();
        for (path, value) in self.0.into_iter().rev() {
            if let Err(errno) = file::write(&path, &value) {
                let reason = sys::errno_text(errno);
                left.push(format!("{path} is not set back to {}: {reason}", value.trim_end()));
            }
        }
        if left.is_empty() { error } else { error.with_hint(Some(left.join("; "))) }
    }
}

/// Writes to files of a cgroup.
struct Writer<'a> {
    directory: String,
    /// The file that was written last, open for the next write.
    open: Option<(String, OwnedFd)>,
    undo: Option<&'a mut Undo>,
}

impl Writer<'_> {
    /// Writes `value` to `file`, for `write`. A file that can't be read is an order to the kernel,
    /// which nothing takes back.
    fn write(&mut self, write: &Write, file: &str, value: &str) -> sys::Result<()> {
        let path = format!("{}/{file}", self.directory);
        let fd = match self.open.take().filter(|(last, _)| *last == path) {
            Some((_, fd)) => fd,
            None => file::try_open(&path, OFlag::O_WRONLY)?,
        };
        let before =
            self.undo.as_ref().and_then(|_| write.restoring(&file::try_read_value(&path).ok()?));
        sys::fs::write_once(&fd, value.as_bytes())?;
        if let (Some(undo), Some(before)) = (&mut self.undo, before) {
            undo.0.push((path.clone(), before));
        }
        self.open = Some((path, fd));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::cgroupfs::{v1, v2};
    use crate::limits;

    /// What takes back the last write for `resources`, of a file that said `before`.
    fn restoring(is_v1: bool, resources: &str, before: &str) -> (String, Option<String>) {
        let all = limits::of(&serde_json::from_str(resources).unwrap()).unwrap();
        let writes = if is_v1 { v1::limits::writes } else { v2::limits::writes };
        let write = writes(all.last().unwrap()).unwrap().pop().unwrap();
        (write.value.clone(), write.restoring(before))
    }

    #[test]
    fn each_write_has_its_own_way_back() {
        let table = [
            (false, r#"{ "memory": { "limit": 5 } }"#, "4096\n", Some("4096\n")),
            (false, r#"{ "cpu": { "quota": 5000 } }"#, "max 100000\n", Some("max 100000\n")),
            (false, r#"{ "cpu": { "cpus": "0" } }"#, "\n", Some("\n")),
            (
                true,
                r#"{ "memory": { "disableOOMKiller": true } }"#,
                "oom_kill_disable 0\nunder_oom 0\n",
                Some("0"),
            ),
            (
                false,
                r#"{ "blockIO": { "weight": 500 } }"#,
                "default 100\n8:0 50\n",
                Some("default 100"),
            ),
            (true, r#"{ "blockIO": { "weight": 500 } }"#, "100\n", Some("100\n")),
            (
                false,
                r#"{ "blockIO": { "weightDevice": [{ "major": 8, "minor": 0, "weight": 500 }] } }"#,
                "default 100\n8:0 50\n",
                Some("8:0 50"),
            ),
            (
                false,
                r#"{ "unified": { "io.weight": "8:0 500" } }"#,
                "default 100\n",
                Some("8:0 default"),
            ),
            (
                false,
                r#"{ "unified": { "io.max": "8:0 rbps=1" } }"#,
                "8:0 rbps=7 wbps=max riops=max wiops=max\n",
                Some("8:0 rbps=7 wbps=max riops=max wiops=max"),
            ),
            (
                false,
                r#"{ "blockIO": { "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1 }] } }"#,
                "8:16 rbps=7 wbps=max riops=max wiops=max\n",
                Some("8:0 rbps=max wbps=max riops=max wiops=max"),
            ),
            (
                true,
                r#"{ "blockIO": { "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1 }] } }"#,
                "8:16 7\n",
                Some("8:0 0"),
            ),
            (
                true,
                r#"{ "blockIO": { "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1 }] } }"#,
                "8:0 7\n",
                Some("8:0 7"),
            ),
            (
                true,
                r#"{ "network": { "priorities": [{ "name": "eth0", "priority": 5 }] } }"#,
                "lo 0\neth0 3\n",
                Some("eth0 3"),
            ),
            (
                false,
                r#"{ "rdma": { "x": { "hcaHandles": 1 } } }"#,
                "x hca_handle=max\n",
                Some("x hca_handle=max"),
            ),
            (false, r#"{ "unified": { "io.latency": "8:0 target=1" } }"#, "", None),
        ];
        for (is_v1, resources, before, expected) in table {
            let (value, found) = restoring(is_v1, resources, before);
            assert_eq!(found.as_deref(), expected, "{resources}: {value}");
        }
    }
}
