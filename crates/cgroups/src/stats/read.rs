//! Reading the kernel's files of statistics; what the kernel doesn't have counts as 0 or nothing.

use super::{BlockIoEntry, Pressure, Stalled, Throttling};
use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};
use crate::file;
use libcgroups::common::WrappedIoError;
use libcgroups::stats as parse;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Lines such as `some avg10=0.12 avg60=0.05 avg300=0.01 total=4711`; none where it's turned off.
pub(super) fn pressure(cgroup: &Hierarchy, file: &str) -> Result<Option<Pressure>> {
    let text = text(cgroup, file)?;
    let line = |kind: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(kind));
        let mut stalled = Stalled::default();
        for (key, value) in found?.split_ascii_whitespace().filter_map(|one| one.split_once('=')) {
            match key {
                "avg10" => stalled.avg10 = value.parse().ok()?,
                "avg60" => stalled.avg60 = value.parse().ok()?,
                "avg300" => stalled.avg300 = value.parse().ok()?,
                "total" => stalled.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(stalled)
    };
    let some = line("some ");
    Ok(some.map(|some| Pressure { some, full: line("full ").unwrap_or_default() }))
}

/// The number in a file; 0 where the kernel has no such file.
pub(super) fn number(cgroup: &Hierarchy, file: &str) -> Result<u64> {
    Ok(try_number(cgroup, file)?.unwrap_or_default())
}

pub(super) fn try_number(cgroup: &Hierarchy, file: &str) -> Result<Option<u64>> {
    match parse::parse_single_value(Path::new(&cgroup.file(file))) {
        Ok(number) => Ok(Some(number)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::new(format!("reading statistics: {error}"))),
    }
}

fn is_absent(error: &WrappedIoError) -> bool {
    matches!(error.inner().kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

/// A file of lines `key number`; nothing where the kernel has no such file.
pub(super) fn table(cgroup: &Hierarchy, file: &str) -> Result<BTreeMap<String, u64>> {
    let text = text(cgroup, file)?;
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let entries = lines.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)));
    Ok(entries.collect())
}

/// The number of `key`, or 0.
pub(super) fn value(table: &BTreeMap<String, u64>, key: &str) -> u64 {
    table.get(key).copied().unwrap_or_default()
}

/// What `cpu.stat` has of both versions, with the time in nanoseconds.
pub(super) fn throttling(stat: &BTreeMap<String, u64>, throttled_time: u64) -> Throttling {
    Throttling {
        periods: value(stat, "nr_periods"),
        throttled_periods: value(stat, "nr_throttled"),
        throttled_time,
    }
}

/// The text of a file; empty where the kernel has no such file.
pub(super) fn text(cgroup: &Hierarchy, file: &str) -> Result<String> {
    Ok(file::find_value(&cgroup.file(file))?.unwrap_or_default())
}

/// A list such as `0-2,5`.
pub(super) fn ranges(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    };
    text.trim_end().split(',').filter_map(range).flatten().collect()
}

/// A line `8:0 Read 4096` or `8:0 4096`; the sum over all devices, `Total 4096`, is none.
pub(super) fn io_line(line: &str) -> Option<BlockIoEntry> {
    let mut fields = line.split_ascii_whitespace();
    let (major, minor) = fields.next()?.split_once(':')?;
    let (first, second) = (fields.next()?, fields.next());
    let op = second.map_or("", |_| first).to_owned();
    let value = second.unwrap_or(first).parse().ok()?;
    Some(BlockIoEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, op, value })
}
