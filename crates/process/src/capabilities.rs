//! `process.capabilities` as the kernel's five capability sets (capabilities(7)). A set must never
//! have a capability that the config doesn't name.

use oci_spec::runtime::{Capability, LinuxCapabilities};
use std::collections::HashSet;
use sys::credentials::{self, CapabilitySet};

/// Every capability; its index is the kernel's number.
pub const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// The capability sets of a container's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// The bounding set: rind drops all others from it.
    pub bounding: CapabilitySet,
    /// In force from the start.
    pub effective: CapabilitySet,
    /// The process may put them in force.
    pub permitted: CapabilitySet,
    /// Kept over execve by files that ask for them.
    pub inheritable: CapabilitySet,
    /// Kept over execve by any file.
    pub ambient: CapabilitySet,
}

/// The name in a config: `CAP_CHOWN`.
#[must_use]
pub fn name(capability: Capability) -> String {
    format!("CAP_{capability}")
}

/// The numbers of the capabilities in `set`, ascending.
pub fn numbers(set: CapabilitySet) -> impl Iterator<Item = u8> {
    (0..64).filter(move |number| set >> number & 1 == 1)
}

impl Sets {
    /// The sets that the config asks for, without the capabilities that rind can't grant, which
    /// `warnings` names (runtime-spec, config.md, `capabilities`). Without `process.capabilities`
    /// all sets are empty.
    ///
    /// rind can grant all capabilities in a user namespace of the container's own, else those of
    /// the caller.
    pub fn from_config(
        config: Option<&LinuxCapabilities>,
        user_namespace: bool,
        warnings: &mut Vec<String>,
    ) -> sys::Result<Self> {
        let Some(config) = config else { return Ok(Self::default()) };
        let all = (1 << ALL.len()) - 1;
        let available = if user_namespace { all } else { credentials::capget()?.permitted };
        let mut missing: CapabilitySet = 0;
        let mut set = |wanted: Option<&HashSet<Capability>>| {
            let wanted = wanted.map_or(0, bits);
            missing |= wanted & !available;
            wanted & available
        };
        let sets = Self {
            bounding: set(config.bounding().as_ref()),
            effective: set(config.effective().as_ref()),
            permitted: set(config.permitted().as_ref()),
            inheritable: set(config.inheritable().as_ref()),
            ambient: set(config.ambient().as_ref()),
        };
        let raisable = sets.permitted & sets.inheritable;
        for number in numbers(sets.ambient & !raisable) {
            let name = number_name(number);
            warnings
                .push(format!("can't raise ambient capability {name}: operation not permitted"));
        }
        let sets = Self { ambient: sets.ambient & raisable, ..sets };
        if missing != 0 {
            let names: Vec<String> = numbers(missing).map(number_name).collect();
            warnings.push(format!(
                "ignoring unknown or unavailable capabilities: [{}]",
                names.join(" ")
            ));
        }
        Ok(sets)
    }
}

/// The name of the capability with this number.
#[must_use]
pub fn number_name(number: u8) -> String {
    ALL.get(usize::from(number)).map_or_else(|| number.to_string(), |capability| name(*capability))
}

fn bits(set: &HashSet<Capability>) -> CapabilitySet {
    ALL.iter().enumerate().filter(|(_, c)| set.contains(c)).fold(0, |all, (bit, _)| all | 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_kernels() {
        assert_eq!(number_name(0), "CAP_CHOWN");
        assert_eq!(number_name(21), "CAP_SYS_ADMIN");
        assert_eq!(number_name(40), "CAP_CHECKPOINT_RESTORE");
        assert_eq!(bits(&HashSet::from([Capability::Chown, Capability::Bpf])), 1 | 1 << 39);
        assert_eq!(numbers(0b1001).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn without_capabilities_nothing_is_kept() {
        let mut warnings = Vec::new();
        assert_eq!(Sets::from_config(None, false, &mut warnings), Ok(Sets::default()));
        assert!(warnings.is_empty());
    }
}
