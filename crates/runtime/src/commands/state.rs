//! `state`: what a container is, as JSON.

use crate::container::Container;
use crate::container::find::find;
use crate::container::status::Status;
use crate::{Explain, Result, Runtime};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::Path;

/// `state ID`: what the container is, as JSON.
pub fn state(runtime: &Runtime, id: &str) -> Result<String> {
    let container = find(runtime, id)?;
    let description = Description::of(&container, container.status()?);
    serde_json::to_string_pretty(&description).within("printing the state")
}

/// What `state` and `list` print of a container (runtime-spec, State).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description<'a> {
    pub oci_version: &'a str,
    pub id: &'a str,
    pub pid: i32,
    #[serde(serialize_with = "as_text")]
    pub status: Status,
    pub bundle: &'a Path,
    pub rootfs: &'a Path,
    pub created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
    pub owner: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn as_text<S: Serializer>(status: &Status, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(status)
}

impl<'a> Description<'a> {
    /// Describes `container`, whose status the kernel has just told.
    pub fn of(container: &'a Container, status: Status) -> Self {
        Self {
            oci_version: &container.record.oci_version,
            id: container.entry.id(),
            pid: if status == Status::Stopped { 0 } else { container.init.pid },
            status,
            bundle: &container.record.bundle,
            rootfs: &container.record.rootfs,
            created: &container.record.created,
            annotations: &container.record.annotations,
            owner: String::new(),
        }
    }
}
