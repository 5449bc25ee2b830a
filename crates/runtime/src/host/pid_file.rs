//! The pid file: the bare number, put in place whole.

use crate::host::files;
use crate::{Error, Result};
use std::path::Path;

/// Writes `pid` to `path`, which is relative to the caller's directory.
pub(crate) fn write(path: &Path, pid: i32) -> Result<()> {
    files::replace(path, pid.to_string().as_bytes()).map_err(|error| {
        Error::new(format!("writing the pid file {}: {}", path.display(), sys::answer(&error)))
    })
}
