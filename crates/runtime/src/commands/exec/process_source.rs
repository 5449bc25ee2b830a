//! The process of an `exec`: from a `process.json` or from flags, and completed by the container's
//! own.

use crate::{Error, Result};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process, Spec};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use std::path::PathBuf;
use sys::credentials::{Gid, Uid};

/// Where the description of the process comes from.
#[derive(Clone, Debug)]
pub enum ProcessSource {
    /// The text of a `process` section, and the name of its file for messages.
    Text(Vec<u8>, PathBuf),
    /// The container's own `process` with these changes.
    Flags(Box<ProcessFlags>),
}

impl Default for ProcessSource {
    fn default() -> Self {
        Self::Flags(Box::default())
    }
}

/// How the process differs from the container's own.
#[derive(Clone, Debug, Default)]
pub struct ProcessFlags {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// Variables to add to the environment, `NAME=VALUE`.
    pub env: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Its user, and group.
    pub user: Option<(Uid, Option<Gid>)>,
    /// Groups to add.
    pub additional_gids: Vec<Gid>,
    /// Capabilities to add, by name.
    pub capabilities: Vec<String>,
    /// Its `AppArmor` profile.
    pub apparmor: Option<String>,
    /// Its `SELinux` label.
    pub label: Option<String>,
    /// Whether it has `no_new_privs`.
    pub no_new_privileges: Option<bool>,
}

impl ProcessSource {
    /// The process to execute. Properties that the source does not set come from the process of
    /// `spec`, the container's config.
    pub(crate) fn resolve(&self, spec: &Spec, warnings: &mut Vec<String>) -> Result<Process> {
        match self {
            Self::Text(text, name) => {
                let mut process = spec::parse_process(text, name, warnings)?;
                if let Some(own) = spec.process() {
                    inherit(&mut process, own);
                }
                Ok(process)
            }
            Self::Flags(flags) => with_flags(spec, flags, warnings),
        }
    }
}

/// Sets the properties that `process` does not have to those of `own`.
fn inherit(process: &mut Process, own: &Process) {
    macro_rules! inherit {
        ($($is_unset:ident: $get:ident, $set:ident;)*) => {
            $(if process.$get().$is_unset() {
                process.$set(own.$get().clone());
            })*
        };
    }
    inherit! {
        is_none: capabilities, set_capabilities;
        is_none: no_new_privileges, set_no_new_privileges;
        is_none: rlimits, set_rlimits;
        is_none: oom_score_adj, set_oom_score_adj;
        is_none: scheduler, set_scheduler;
        is_none: io_priority, set_io_priority;
        is_none: exec_cpu_affinity, set_exec_cpu_affinity;
        is_none: apparmor_profile, set_apparmor_profile;
        is_none: selinux_label, set_selinux_label;
    }
    if process.user().umask().is_none() {
        let umask = own.user().umask();
        process.user_mut().set_umask(umask);
    }
}

/// The container's own process, changed by the flags.
fn with_flags(spec: &Spec, flags: &ProcessFlags, warnings: &mut Vec<String>) -> Result<Process> {
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(flags.args.clone())).set_terminal(Some(flags.terminal));
    if let Some(cwd) = &flags.cwd {
        if !cwd.is_absolute() {
            let text = format!("--cwd: {} is not an absolute path", cwd.display());
            return Err(Error::new(text).with_object("--cwd"));
        }
        process.set_cwd(cwd.clone());
    }
    if let Some(entry) = flags.env.iter().find(|entry| !entry.contains('=')) {
        let text = format!("--env: {entry:?} has no `=`");
        return Err(Error::new(text).with_object("--env"));
    }
    let env = process.env().iter().flatten().chain(&flags.env).cloned().collect();
    process.set_env(Some(env));
    let user = process.user_mut();
    if let Some((uid, gid)) = flags.user {
        user.set_uid(uid.number());
        user.set_gid(gid.map_or(user.gid(), Gid::number));
    }
    let more = flags.additional_gids.iter().map(|gid| gid.number());
    let groups = user.additional_gids().iter().flatten().copied().chain(more).collect();
    user.set_additional_gids(Some(groups));
    if !flags.capabilities.is_empty() {
        let sets = process.capabilities().clone().unwrap_or_default();
        process.set_capabilities(Some(with_capabilities(sets, &flags.capabilities, warnings)));
    }
    if flags.apparmor.is_some() {
        process.set_apparmor_profile(flags.apparmor.clone());
    }
    if flags.label.is_some() {
        process.set_selinux_label(flags.label.clone());
    }
    if flags.no_new_privileges.is_some() {
        process.set_no_new_privileges(flags.no_new_privileges);
    }
    Ok(process)
}

/// Adds capabilities to all sets but the inheritable one, which would pass them on to programs that
/// the program executes. Those that the config makes inheritable also become ambient, so that users
/// other than root have them. An unknown capability is ignored with a warning, as in a config.
fn with_capabilities(
    mut sets: LinuxCapabilities,
    names: &[String],
    warnings: &mut Vec<String>,
) -> LinuxCapabilities {
    let mut more = Capabilities::new();
    let mut unknown = Vec::new();
    for name in names {
        match Capability::deserialize(name.as_str().into_deserializer()) {
            Ok(known) => {
                more.insert(known);
            }
            Err::<_, ValueError>(_) => unknown.push(name.as_str()),
        }
    }
    if !unknown.is_empty() {
        let names = unknown.join(" ");
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{names}]"));
    }
    let joined =
        |set: &Option<Capabilities>| Some(set.iter().flatten().chain(&more).copied().collect());
    let (bounding, effective, permitted) =
        (joined(sets.bounding()), joined(sets.effective()), joined(sets.permitted()));
    more.retain(|one| sets.inheritable().iter().flatten().any(|inheritable| inheritable == one));
    let ambient = Some(sets.ambient().iter().flatten().chain(&more).copied().collect());
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    sets.set_ambient(ambient);
    sets
}
