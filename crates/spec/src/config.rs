//! The parts of a config that are for Linux: those of other platforms are not even read, as the
//! spec wants it, which spares a tenth of the code that a container's start goes through.

use oci_spec::runtime::{Hooks, Linux, Mount, Process, Root, Spec};
use serde::Deserialize;
use std::collections::HashMap;

/// A config.json as it is read.
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
