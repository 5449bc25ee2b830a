//! Faults of the child in words: what the step was about, the kernel's answer, what may help.

use crate::layout::{DEFAULT_DEVICES, DEV_LINKS, DevicePlan, Layout, MountPlan, What};
use crate::step::{Fault, Step};
use std::ffi::CString;

impl Layout {
    /// What a fault of a step was about, in words, with the kernel's answer.
    #[must_use]
    pub fn describe(&self, fault: &Fault) -> String {
        let at = usize::try_from(fault.index).unwrap_or(usize::MAX);
        if let Some(failure) = error_mounting(&self.mounts, fault) {
            return failure;
        }
        format!("{}: {}", self.object(fault.step, at), answer(fault))
    }

    /// The object of a step that is not about `mounts`.
    fn object(&self, step: Step, at: usize) -> String {
        let path = |path: Option<&CString>| {
            path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let device = self.devices.get(at);
        match step {
            Step::Isolate => "making the mounts private to the container".into(),
            Step::CloneRoot | Step::AttachRoot => {
                format!("mounting root.path {}", path(Some(&self.root_path)))
            }
            Step::DevFolder => "opening /dev".into(),
            Step::DefaultDevice => {
                let name = DEFAULT_DEVICES.get(at).map(|(name, ..)| name.to_string_lossy());
                format!("making /dev/{}", name.unwrap_or_default())
            }
            Step::DevLink => {
                let name = DEV_LINKS.get(at).map_or(c"ptmx", |(name, ..)| name);
                format!("making the link /dev/{}", name.to_string_lossy())
            }
            Step::Device => {
                format!("linux.devices[{at}]: making {}", path(device.map(|device| &device.path)))
            }
            Step::DeviceMismatch => format!(
                "linux.devices[{at}]: {} is there, but is not the device {}",
                path(device.map(|device| &device.path)),
                device.map(DevicePlan::numbers).unwrap_or_default()
            ),
            Step::Console => "binding the terminal to /dev/console".into(),
            Step::Sysctl => {
                let name = self.sysctls.get(at).map(|sysctl| sysctl.name.as_str());
                let value = self.sysctls.get(at).map(|sysctl| sysctl.value.as_str());
                let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
                format!("linux.sysctl {name}: writing {value:?}")
            }
            Step::WorkingDirectory => {
                format!(
                    "process.cwd: making {}",
                    path(self.make_cwd.as_ref().map(|place| &place.path))
                )
            }
            Step::ReadonlyPath => format!(
                "linux.readonlyPaths: making {} read-only",
                path(self.readonly_paths.get(at).map(|path| &path.place.path))
            ),
            Step::MaskedPath => {
                format!(
                    "linux.maskedPaths: masking {}",
                    path(self.masked_paths.get(at).map(|path| &path.place.path))
                )
            }
            step => fixed_object(step).to_owned(),
        }
    }
}

/// What went wrong with one of `mounts`, in the words that callers know from runc; `None` if it was
/// something else.
pub(crate) fn error_mounting(mounts: &[MountPlan], fault: &Fault) -> Option<String> {
    let at = usize::try_from(fault.index).ok()?;
    let plan = mounts.iter().find(|plan| plan.index == at)?;
    let failure = mount_failure(plan, fault)?;
    let (source, destination) = (plan.source.to_string_lossy(), plan.place.path.to_string_lossy());
    Some(format!("error mounting {source:?} to rootfs at {destination:?}: mounts[{at}]: {failure}"))
}

/// What went wrong with a mount, if the fault is of one of its steps.
pub(crate) fn mount_failure(plan: &MountPlan, fault: &Fault) -> Option<String> {
    let reason = mount_reason(fault.step, plan)?;
    Some(format!("{reason}: {}{}", answer(fault), mount_remedy(fault, plan)))
}

/// The kernel's answer, and what else is known.
pub(crate) fn answer(fault: &Fault) -> String {
    let answer = fault.errno.desc().to_lowercase();
    match fault.detail.as_deref().map(String::from_utf8_lossy) {
        Some(detail) => format!("{answer} ({detail})"),
        None => answer,
    }
}

fn fixed_object(step: Step) -> &'static str {
    match step {
        Step::Pivot => {
            "changing to the root (where that is on an initramfs, --no-pivot may be needed)"
        }
        Step::HideHost => "unmounting the host's proc and sysfs (--no-pivot)",
        Step::Proc => "mounting a procfs to write to",
        Step::MaskSource => "linux.maskedPaths: having something to mask with",
        Step::ReadonlyRoot => "root.readonly: making the root read-only",
        Step::RootPropagation => "linux.rootfsPropagation: setting it",
        _ => "making the root",
    }
}

/// What was being done to a mount; `None` for steps that are about something else.
fn mount_reason(step: Step, plan: &MountPlan) -> Option<String> {
    let name = match &plan.what {
        What::FileSystem { name, .. } => name.to_string_lossy().into_owned(),
        What::Cgroup => "cgroup".to_owned(),
        _ => String::new(),
    };
    Some(match step {
        Step::MountPoint => "mount point".to_owned(),
        Step::MountPointNotOrdinary => {
            format!("filesystem {name:?} must be mounted on ordinary directory")
        }
        Step::MountPointInProc => "cannot be mounted because it is inside /proc".to_owned(),
        Step::Source => "source".to_owned(),
        Step::FileSystem => format!("file system type {name:?}"),
        Step::Parameter => "option".to_owned(),
        Step::Make => format!("making the {name} file system"),
        Step::Mode => "giving it the mode of its mount point".to_owned(),
        Step::Label => "linux.mountLabel".to_owned(),
        Step::Attributes => "attributes".to_owned(),
        Step::Propagation => "propagation".to_owned(),
        Step::Attach => "attaching".to_owned(),
        Step::Remount => "remounting".to_owned(),
        Step::CopyUp => "tmpcopyup".to_owned(),
        Step::Cgroup => "showing the cgroups".to_owned(),
        Step::Moved => "looking whether it is still seen there".to_owned(),
        _ => return None,
    })
}

fn mount_remedy(fault: &Fault, plan: &MountPlan) -> &'static str {
    match (fault.step, &plan.what) {
        (Step::FileSystem, What::FileSystem { name, .. })
            if name.is_empty() || name.as_c_str() == c"bind" =>
        {
            ": a bind mount needs the option bind or rbind"
        }
        (Step::Attributes, What::Bind { .. } | What::Remount)
            if fault.errno == sys::Errno::EPERM =>
        {
            ": the host's mount has a flag that can't be cleared, or access times that can't be \
             changed, as a user namespace has them locked"
        }
        (Step::Make, What::FileSystem { name, .. })
            if name.as_c_str() == c"proc" && fault.errno == sys::Errno::EPERM =>
        {
            ": in a user namespace the kernel makes a proc only for a pid namespace that is its own \
             (for the host's, bind /proc), and where nothing covers parts of the proc outside (a \
             container that this is run in needs an unmasked /proc)"
        }
        (Step::Moved, _) => {
            ": it was moved, or covered, meanwhile: by a hook, or by whoever else has the rootfs"
        }
        (Step::FileSystem, _) if fault.errno == sys::Errno::ENODEV => {
            ": the kernel has no such file system (is a module missing?)"
        }
        _ => "",
    }
}
