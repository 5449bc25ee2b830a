//! The pid file: the bare number, put in place whole.

use crate::{Error, Result};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Writes `pid` to `path`, which is relative to the caller's directory.
pub(crate) fn write(path: &Path, pid: i32) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(format!("writing the pid file {}: {}", path.display(), sys::answer(&error)))
    };
    let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let new = path.with_file_name(hidden);
    fs::write(&new, pid.to_string()).and_then(|()| fs::rename(&new, path)).map_err(failed)
}
