//! Reads the parts of a config that are for Linux. It must not read those of other platforms: the
//! specification wants them ignored, and that spares a tenth of the code of a container's start.

use oci_spec::runtime::{Hooks, Linux, Mount, Process, Root, Spec};
use serde::Deserialize;
use std::collections::HashMap;

/// A config.json as serde reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    #[serde(default, rename = "ociVersion")]
    version: String,
    root: Option<Root>,
    mounts: Option<Vec<Mount>>,
    process: Option<Process>,
    hostname: Option<String>,
    domainname: Option<String>,
    hooks: Option<Hooks>,
    annotations: Option<HashMap<String, String>>,
    linux: Option<Linux>,
}

impl From<Config> for Spec {
    fn from(config: Config) -> Self {
        let mut spec = Self::default();
        spec.set_version(config.version)
            .set_root(config.root)
            .set_mounts(config.mounts)
            .set_process(config.process)
            .set_hostname(config.hostname)
            .set_domainname(config.domainname)
            .set_hooks(config.hooks)
            .set_annotations(config.annotations)
            .set_linux(config.linux);
        spec
    }
}
