//! `linux.memoryPolicy`: from which NUMA nodes the process gets its memory (`set_mempolicy(2)`).
//! Only checks and converts: the child sets the policy.

use crate::Error;
use crate::list::bits;
use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType as Mode};
use sys::nix::libc::c_ulong;

/// The modes of a policy, as the config names them.
pub const MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
];

/// The flags of a policy, as the config names them.
pub const FLAGS: [&str; 3] =
    ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

const NUMA_BALANCING: i32 = 1 << 13;
const RELATIVE_NODES: i32 = 1 << 14;
const STATIC_NODES: i32 = 1 << 15;

/// A memory policy in the form of `set_mempolicy(2)`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub mode: i32,
    /// A bit for each node.
    pub nodes: Vec<c_ulong>,
}

impl Policy {
    /// Converts `linux.memoryPolicy`, and refuses what every kernel refuses.
    pub fn from_config(config: &LinuxMemoryPolicy) -> Result<Self, Error> {
        let invalid = |key: &str, why: &str| {
            Error::new(format!("linux.memoryPolicy.{key}: invalid memory policy: {why}"))
        };
        let list = config.nodes().as_deref().unwrap_or_default();
        let nodes = bits(list).map_err(|why| invalid("nodes", &format!("{list:?}: {why}")))?;
        let flags = config.flags().iter().flatten().fold(0, |all, one| all | flag(*one));
        let mode = config.mode();
        match (mode, nodes.is_empty()) {
            (Mode::MpolDefault | Mode::MpolLocal, false) => {
                return Err(invalid("nodes", &format!("{mode} takes no nodes")));
            }
            (Mode::MpolDefault | Mode::MpolLocal | Mode::MpolPreferred, _) | (_, false) => {}
            (_, true) => return Err(invalid("nodes", &format!("{mode} needs nodes"))),
        }
        if let Some(why) = conflict(mode, flags, nodes.is_empty()) {
            return Err(invalid("flags", why));
        }
        Ok(Self { mode: mode_number(mode) | flags, nodes })
    }
}

/// Why this combination of flags is invalid.
fn conflict(mode: Mode, flags: i32, no_nodes: bool) -> Option<&'static str> {
    let meaning = flags & (STATIC_NODES | RELATIVE_NODES);
    if meaning == STATIC_NODES | RELATIVE_NODES {
        return Some("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
    }
    if meaning != 0 && no_nodes {
        return Some("there are no nodes to be static or relative");
    }
    if flags & NUMA_BALANCING != 0 && !matches!(mode, Mode::MpolBind | Mode::MpolPreferredMany) {
        return Some("MPOL_F_NUMA_BALANCING is for MPOL_BIND and MPOL_PREFERRED_MANY only");
    }
    None
}

/// The kernel's number of a mode (linux/mempolicy.h).
fn mode_number(mode: Mode) -> i32 {
    match mode {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    }
}

fn flag(flag: MemoryPolicyFlagType) -> i32 {
    match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => NUMA_BALANCING,
        MemoryPolicyFlagType::MpolFRelativeNodes => RELATIVE_NODES,
        MemoryPolicyFlagType::MpolFStaticNodes => STATIC_NODES,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plan(config: &str) -> Result<Policy, String> {
        let config = serde_json::from_str(config).unwrap();
        Policy::from_config(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_and_flags_are_the_kernels() {
        let policy = plan(
            r#"{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES","MPOL_F_NUMA_BALANCING"]}"#,
        );
        assert_eq!(policy, Ok(Policy { mode: 2 | 1 << 15 | 1 << 13, nodes: vec![1] }));
        for mode in ["MPOL_DEFAULT", "MPOL_LOCAL", "MPOL_PREFERRED"] {
            let config = format!(r#"{{"mode":"{mode}","nodes":""}}"#);
            assert!(plan(&config).unwrap().nodes.is_empty());
        }
    }

    #[test]
    fn names_are_those_that_are_read() {
        for mode in MODES {
            assert!(serde_json::from_str::<Mode>(&format!("\"{mode}\"")).is_ok(), "{mode}");
        }
        for flag in FLAGS {
            let flag = format!("\"{flag}\"");
            assert!(serde_json::from_str::<MemoryPolicyFlagType>(&flag).is_ok(), "{flag}");
        }
    }

    #[test]
    fn what_no_kernel_takes_is_refused() {
        for bad in [
            r#"{"mode":"MPOL_DEFAULT","nodes":"0"}"#,
            r#"{"mode":"MPOL_LOCAL","nodes":"0"}"#,
            r#"{"mode":"MPOL_BIND"}"#,
            r#"{"mode":"MPOL_INTERLEAVE","nodes":""}"#,
            r#"{"mode":"MPOL_PREFERRED_MANY"}"#,
            r#"{"mode":"MPOL_BIND","nodes":"0-"}"#,
            r#"{"mode":"MPOL_PREFERRED","flags":["MPOL_F_STATIC_NODES"]}"#,
            r#"{"mode":"MPOL_INTERLEAVE","nodes":"0","flags":["MPOL_F_NUMA_BALANCING"]}"#,
            r#"{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES","MPOL_F_RELATIVE_NODES"]}"#,
        ] {
            let error = plan(bad).unwrap_err();
            assert!(error.contains("invalid memory policy"), "{bad}: {error}");
        }
    }
}
