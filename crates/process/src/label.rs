//! The security label of the process: `process.apparmorProfile` and `process.selinuxLabel`
//! (runtime-spec, config.md and config-linux.md).

use oci_spec::runtime::Process;

/// A security label to take at execve.
#[derive(Debug)]
pub(crate) struct Label {
    pub module: Module,
    /// The label, as the config has it.
    pub name: String,
    /// What to write to the file that sets it.
    pub text: String,
}

/// A security module whose labels a config has. The kernel uses one of them at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// `process.apparmorProfile`.
    AppArmor,
    /// `process.selinuxLabel`.
    Selinux,
}

impl Module {
    /// The property of the config that has the label.
    pub(crate) fn property(self) -> &'static str {
        match self {
            Self::AppArmor => "process.apparmorProfile",
            Self::Selinux => "process.selinuxLabel",
        }
    }

    /// The file, below /proc, that sets the label of the next execve.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::AppArmor => "self/attr/apparmor/exec",
            Self::Selinux => "self/attr/exec",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AppArmor => "AppArmor",
            Self::Selinux => "SELinux",
        }
    }

    /// Whether the host uses it.
    #[must_use]
    pub fn is_on(self) -> bool {
        let (file, with) = match self {
            Self::AppArmor => ("/sys/module/apparmor/parameters/enabled", "Y"),
            Self::Selinux => ("/sys/fs/selinux/enforce", ""),
        };
        std::fs::read_to_string(file).is_ok_and(|content| content.starts_with(with))
    }
}

/// The label to take at execve. rind leaves a label out, with a warning, if the host doesn't use
/// its security module.
pub(crate) fn label(process: &Process, warnings: &mut Vec<String>) -> Option<Label> {
    let labels = [
        (Module::AppArmor, process.apparmor_profile()),
        (Module::Selinux, process.selinux_label()),
    ];
    let mut taken = None;
    for (module, name) in labels {
        let Some(name) = name.clone().filter(|name| !name.is_empty()) else { continue };
        if module.is_on() {
            let command = if module == Module::AppArmor { "exec " } else { "" };
            taken = taken.or(Some(Label { module, text: format!("{command}{name}"), name }));
        } else {
            let (property, module) = (module.property(), module.name());
            warnings.push(format!("{property} {name}: {module} is not enabled here"));
        }
    }
    taken
}
