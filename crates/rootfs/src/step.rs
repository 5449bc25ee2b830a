//! Failures while the child makes the root: a step, an index into the step's list, the kernel's
//! answer; and the table that describes them.
//!
//! A new step needs only a row of the table. The child sends numbers and must not format them: the
//! parent does, by its own copy of the plan.

use crate::layout::{DEFAULT_DEVICES, DEV_LINKS, DevicePlan, Layout, MountKind, MountPlan};
use std::ffi::CStr;
use std::fmt;
use sys::{Errno, Error};

/// How the failure of a step is described.
enum Description {
    /// What the step does, always the same.
    Fixed(&'static str),
    /// The same, formatted from the plan and the index into the step's list.
    Formatted(fn(&Layout, usize) -> String),
    /// What the step does to an entry of `mounts`, and the remedy, empty if none is known.
    Mount(fn(&MountPlan) -> String, Remedy),
}

type Remedy = fn(&MountPlan, Errno) -> &'static str;

use Description::{Fixed, Formatted, Mount};

/// Defines [`Step`] from rows of documentation, name and description. A step's number is that of
/// its row.
macro_rules! steps {
    ($($(#[$doc:meta])+ $name:ident: $description:expr;)+) => {
        /// A step of making what a container sees. The index of a [`Fault`] is that of an element
        /// of the list which the step names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Step { $($(#[$doc])+ $name),+ }

        impl Step {
            const ALL: &[Self] = &[$(Self::$name),+];

            fn description(self) -> Description {
                match self { $(Self::$name => $description),+ }
            }
        }
    };
}

steps! {
    /// Making the mounts of the namespace slaves.
    Isolate: Fixed("making the mounts private to the container");
    /// Cloning the mount of the rootfs.
    CloneRoot: Formatted(root_path);
    /// Attaching the clone of the rootfs.
    AttachRoot: Formatted(root_path);
    /// `mounts`: finding or making the mount point.
    MountPoint: Mount(|_| "mount point".into(), no_remedy);
    /// `mounts`: the mount point is a link or a file instead of a directory.
    MountPointNotOrdinary: Mount(
        |plan| format!("filesystem {:?} must be mounted on ordinary directory", type_name(plan)),
        no_remedy,
    );
    /// `mounts`: the mount point is inside a procfs.
    MountPointInProc:
        Mount(|_| "cannot be mounted because it is inside /proc".into(), no_remedy);
    /// `mounts`: the source of a bind mount.
    Source: Mount(|_| "source".into(), no_remedy);
    /// `mounts`: the file system type.
    FileSystem: Mount(
        |plan| format!("file system type {:?}", type_name(plan)),
        |plan, errno| match &plan.kind {
            MountKind::FileSystem { name, .. } if name.is_empty() || name.as_c_str() == c"bind" => {
                "a bind mount needs the option bind or rbind"
            }
            _ if errno == Errno::ENODEV => {
                "the kernel has no such file system (is a module missing?)"
            }
            _ => "",
        },
    );
    /// `mounts`: an option of the file system; the detail names it.
    Parameter: Mount(|_| "option".into(), no_remedy);
    /// `mounts`: making the file system.
    Make: Mount(
        |plan| format!("making the {} file system", type_name(plan)),
        |plan, errno| match errno {
            Errno::EPERM if plan.is_new(c"proc") => {
                "in a user namespace the kernel makes a proc only for a pid namespace that is its \
                 own (for the host's, bind /proc), and where nothing covers parts of the proc outside \
                 (a container that this is run in needs an unmasked /proc)"
            }
            _ => "",
        },
    );
    /// `mounts`: the mode of a new file system.
    Mode: Mount(|_| "giving it the mode of its mount point".into(), no_remedy);
    /// `mounts`: its label.
    Label: Mount(|_| "linux.mountLabel".into(), no_remedy);
    /// `mounts`: the attributes of a mount.
    Attributes: Mount(
        |_| "attributes".into(),
        |plan, errno| match &plan.kind {
            MountKind::Bind { .. } | MountKind::Remount if errno == Errno::EPERM => {
                "the host's mount has a flag that can't be cleared, or access times that can't be \
                 changed, as a user namespace has them locked"
            }
            _ => "",
        },
    );
    /// `mounts`: the propagation of a mount.
    Propagation: Mount(|_| "propagation".into(), no_remedy);
    /// `mounts`: attaching the mount.
    Attach: Mount(|_| "attaching".into(), no_remedy);
    /// `mounts`: remounting what is there.
    Remount: Mount(|_| "remounting".into(), no_remedy);
    /// `mounts`: copying the content of the mount point (tmpcopyup).
    CopyUp: Mount(|_| "tmpcopyup".into(), no_remedy);
    /// `mounts`: making a mount of type cgroup.
    Cgroup: Mount(|_| "showing the cgroups".into(), no_remedy);
    /// `mounts`: the destination shows something else.
    Moved: Mount(
        |_| "looking whether it is still seen there".into(),
        |_, _| {
            "it was moved, or covered, meanwhile: by a hook, or by whoever else has the rootfs"
        },
    );
    /// Opening /dev.
    DevFolder: Fixed("opening /dev");
    /// A device that every container has; the index is into the fixed list.
    DefaultDevice: Formatted(|_, at| {
        let name = DEFAULT_DEVICES.get(at).map(|(name, ..)| *name);
        format!("making /dev/{}", text(name))
    });
    /// A link of /dev; the index is into the fixed list.
    DevLink: Formatted(|_, at| {
        let name = DEV_LINKS.get(at).map_or(c"ptmx", |(name, ..)| name);
        format!("making the link /dev/{}", name.to_string_lossy())
    });
    /// `linux.devices`.
    Device: Formatted(|layout, at| {
        let path = text(layout.devices.get(at).map(|device| &*device.path));
        format!("linux.devices[{at}]: making {path}")
    });
    /// `linux.devices`: something else is at the path.
    DeviceMismatch: Formatted(|layout, at| {
        let device = layout.devices.get(at);
        let path = text(device.map(|device| &*device.path));
        let numbers = device.map(DevicePlan::numbers).unwrap_or_default();
        format!("linux.devices[{at}]: {path} is there, but is not the device {numbers}")
    });
    /// Changing to the new root.
    Pivot: Fixed("changing to the root (where that is on an initramfs, --no-pivot may be needed)");
    /// Changing to the new root without `pivot_root(2)`: unmounting the host's proc and sysfs.
    HideHost: Fixed("unmounting the host's proc and sysfs (--no-pivot)");
    /// Binding the terminal to /dev/console.
    Console: Fixed("binding the terminal to /dev/console");
    /// `linux.sysctl`, in the order of the plan.
    Sysctl: Formatted(|layout, at| {
        let sysctl = layout.sysctls.get(at);
        let (name, value) = sysctl.map(|it| (&*it.name, &*it.value)).unwrap_or_default();
        format!("linux.sysctl {name}: writing {value:?}")
    });
    /// `process.cwd`, made before the root becomes read-only.
    WorkingDirectory: Formatted(|layout, _| {
        let path = text(layout.make_cwd.as_ref().map(|cwd| &*cwd.path));
        format!("process.cwd: making {path}")
    });
    /// `linux.readonlyPaths`.
    ReadonlyPath: Formatted(|layout, at| {
        let path = text(layout.readonly_paths.get(at).map(|path| &*path.target.path));
        format!("linux.readonlyPaths: making {path} read-only")
    });
    /// Making what masks paths.
    MaskSource: Fixed("linux.maskedPaths: having something to mask with");
    /// `linux.maskedPaths`.
    MaskedPath: Formatted(|layout, at| {
        let path = text(layout.masked_paths.get(at).map(|path| &*path.target.path));
        format!("linux.maskedPaths: masking {path}")
    });
    /// Making the root read-only.
    ReadonlyRoot: Fixed("root.readonly: making the root read-only");
    /// `linux.rootfsPropagation`.
    RootPropagation: Fixed("linux.rootfsPropagation: setting it");
}

fn no_remedy(_: &MountPlan, _: Errno) -> &'static str {
    ""
}

fn root_path(layout: &Layout, _: usize) -> String {
    format!("mounting root.path {}", layout.root_path.to_string_lossy())
}

fn type_name(plan: &MountPlan) -> String {
    text(match &plan.kind {
        MountKind::FileSystem { name, .. } => Some(name),
        MountKind::Cgroup => Some(c"cgroup"),
        _ => None,
    })
}

fn text(text: Option<&CStr>) -> String {
    text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

impl TryFrom<u16> for Step {
    type Error = u16;

    fn try_from(number: u16) -> std::result::Result<Self, u16> {
        Self::ALL.get(usize::from(number)).copied().ok_or(number)
    }
}

impl Layout {
    /// Describes a fault: the step, its object, the kernel's answer.
    #[must_use]
    pub fn fault_error(&self, fault: &Fault) -> Error {
        error_mounting(&self.mounts, fault).unwrap_or_else(|| {
            let at = usize::try_from(fault.index).unwrap_or(usize::MAX);
            fault.to_error(&match fault.step.description() {
                Fixed(object) => object.to_owned(),
                Formatted(object) => object(self, at),
                // The index is of no entry.
                Mount(..) => "making the root".to_owned(),
            })
        })
    }
}

/// Describes a fault of an entry of `mounts`, in the words that callers know from runc; `None` for
/// a fault of another step.
pub(crate) fn error_mounting(mounts: &[MountPlan], fault: &Fault) -> Option<Error> {
    let at = usize::try_from(fault.index).ok()?;
    let plan = mounts.iter().find(|plan| plan.index == at)?;
    let failure = mount_failure(plan, fault)?;
    let (source, destination) = (plan.source.to_string_lossy(), plan.target.path.to_string_lossy());
    let step = format!("error mounting {source:?} to rootfs at {destination:?}");
    Some(failure.about(format!("mounts[{at}]")).within(step))
}

/// Describes a fault of the mount `plan`; `None` for a fault of another step.
pub(crate) fn mount_failure(plan: &MountPlan, fault: &Fault) -> Option<Error> {
    let Mount(step, remedy) = fault.step.description() else { return None };
    let error = fault.to_error(&step(plan));
    Some(match remedy(plan, fault.errno) {
        "" => error,
        remedy => error.because(remedy),
    })
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which step failed.
    pub step: Step,
    /// The index into the step's list, if it has one.
    pub index: u32,
    /// The kernel's answer.
    pub errno: Errno,
    /// A text that only the child has: the kernel's log of a mount, the name of an object.
    pub detail: Option<Vec<u8>>,
}

impl Fault {
    /// `step` failed with `errno`.
    #[must_use]
    pub fn new(step: Step, errno: Errno) -> Self {
        Self { step, index: 0, errno, detail: None }
    }

    /// The same fault, about element `index` of the step's list.
    #[must_use]
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = u32::try_from(index).unwrap_or(u32::MAX);
        self
    }

    /// The same fault with a text that only the child has.
    #[must_use]
    pub(crate) fn with_detail(self, detail: impl Into<Vec<u8>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The error of a failed step, which `step` describes.
    fn to_error(&self, step: &str) -> Error {
        Error::new(step).because(self).of(self.errno)
    }
}

impl fmt::Display for Fault {
    /// The kernel's answer, and the detail in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sys::errno_text(self.errno))?;
        match self.detail.as_deref().map(String::from_utf8_lossy) {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// The result of functions on the child's side.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Names the step of a failed system call.
pub(crate) trait During<T> {
    /// The same result, with the error as a fault of `step`.
    fn during(self, step: Step) -> Result<T>;
}

impl<T> During<T> for sys::Result<T> {
    fn during(self, step: Step) -> Result<T> {
        self.map_err(|errno| Fault::new(step, errno))
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn every_step_survives_the_wire() {
        for step in Step::ALL {
            assert_eq!(Step::try_from(*step as u16), Ok(*step));
        }
        assert!(Step::try_from(u16::MAX).is_err());
    }
}
