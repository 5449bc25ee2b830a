//! Statistics of a group of resctrl, in the shape of runc's `events`.

use super::{CLOS_ID, Groups, schema};
use crate::{Explain, Result};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What the container may use and has used; nothing where processor or kernel don't tell.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schemata: Vec<String>,
    #[serde(rename = "mbm_stats", skip_serializing_if = "Option::is_none")]
    traffic: Option<Vec<Bandwidth>>,
    #[serde(rename = "cmt_stats", skip_serializing_if = "Option::is_none")]
    occupancy: Option<Vec<Occupancy>>,
}

#[derive(Debug, Serialize)]
struct CacheInfo {
    cbm_mask: String,
    min_cbm_bits: u64,
    num_closids: u64,
}

#[derive(Debug, Serialize)]
struct BandwidthInfo {
    bandwidth_gran: u64,
    delay_linear: u64,
    min_bandwidth: u64,
    num_closids: u64,
}

/// Memory traffic of one cache's processors, in bytes.
#[derive(Debug, Serialize)]
struct Bandwidth {
    mbm_total_bytes: u64,
    mbm_local_bytes: u64,
}

/// What is used of one cache, in bytes.
#[derive(Debug, Serialize)]
struct Occupancy {
    llc_occupancy: u64,
}

impl Groups {
    /// Reads the statistics of the group, and of the container's monitoring group where it has one.
    pub fn stats(&self) -> Result<Stats> {
        let info = self.root().join("info");
        let (of_root, own) =
            (text(&self.root().join("schemata"))?, text(&self.group.join("schemata"))?);
        let mut stats =
            Stats { schemata: own.lines().map(str::to_owned).collect(), ..Stats::default() };
        let cache = info.join("L3");
        if cache.is_dir() {
            stats.l3_cache_info = Some(CacheInfo {
                cbm_mask: text(&cache.join("cbm_mask"))?.trim().to_owned(),
                min_cbm_bits: number(&cache.join("min_cbm_bits"))?,
                num_closids: number(&cache.join("num_closids"))?,
            });
            stats.l3_cache_schema_root = schema(&of_root, "L3");
            stats.l3_cache_schema = schema(&own, "L3");
        }
        let bandwidth = info.join("MB");
        if bandwidth.is_dir() {
            stats.mem_bw_info = Some(BandwidthInfo {
                bandwidth_gran: number(&bandwidth.join("bandwidth_gran"))?,
                delay_linear: number(&bandwidth.join("delay_linear"))?,
                min_bandwidth: number(&bandwidth.join("min_bandwidth"))?,
                num_closids: number(&bandwidth.join("num_closids"))?,
            });
            stats.mem_bw_schema_root = schema(&of_root, "MB");
            stats.mem_bw_schema = schema(&own, "MB");
        }
        self.monitor(&text(&info.join("L3_MON/mon_features"))?, &mut stats)?;
        Ok(stats)
    }

    /// What `features` of monitoring have counted, one entry a cache.
    fn monitor(&self, features: &str, stats: &mut Stats) -> Result<()> {
        let has = |name: &str| features.lines().any(|feature| feature == name);
        let counts_traffic = has("mbm_total_bytes") || has("mbm_local_bytes");
        let counts_cache = has("llc_occupancy");
        if !counts_traffic && !counts_cache {
            return Ok(());
        }
        let data = self.monitor.as_ref().unwrap_or(&self.group).join("mon_data");
        let listed = fs::read_dir(&data).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let listed = listed.on("reading", &data).within("linux.intelRdt.enableMonitoring")?;
        let mut caches: Vec<_> = listed.iter().map(fs::DirEntry::path).collect();
        caches.retain(|path| path.is_dir());
        caches.sort_unstable();
        let (mut traffic, mut occupancy) = (Vec::new(), Vec::new());
        for cache in caches {
            traffic.push(Bandwidth {
                mbm_total_bytes: number(&cache.join("mbm_total_bytes"))?,
                mbm_local_bytes: number(&cache.join("mbm_local_bytes"))?,
            });
            occupancy.push(Occupancy { llc_occupancy: number(&cache.join("llc_occupancy"))? });
        }
        stats.traffic = counts_traffic.then_some(traffic);
        stats.occupancy = counts_cache.then_some(occupancy);
        Ok(())
    }
}

/// The number in a file; 0 where it is not there, or the processor has none at the moment.
fn number(path: &Path) -> Result<u64> {
    Ok(text(path)?.trim().parse().unwrap_or_default())
}

/// The text of a file; empty where it is not there.
fn text(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.on("reading", path).within(CLOS_ID),
    }
}
