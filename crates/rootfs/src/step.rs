//! Failures while the child makes the root: a step, an index into the step's list, the kernel's
//! answer; and the table that describes them.
//!
//! A new step needs only a row of the table. The child sends numbers and must not format them: the
//! parent does, by its own copy of the plan.

use crate::layout::{DEFAULT_DEVICES, DEV_LINKS, DevicePlan, Layout, MountKind, MountPlan};
use crate::remedy::{self, Advice};
use std::ffi::CStr;
use std::fmt;
use sys::{Errno, Error};

/// How the failure of a step is described.
enum Description {
    /// What the step does, always the same, and the known remedies.
    Fixed(&'static str, Remedies),
    /// The same, formatted from the plan and the index into the step's list.
    Formatted(fn(&Layout, usize) -> String, Remedies),
    /// What the step does to an entry of `mounts`, and what else is known.
    Mount(fn(&MountPlan) -> String, fn(&MountPlan, Errno) -> Advice),
}

/// The remedies of the kernel's answers whose cause is known.
type Remedies = &'static [(Errno, &'static str)];

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
    Isolate: Fixed("making the mounts private to the container", &[]);
    /// Cloning the mount of the rootfs.
    CloneRoot: Formatted(root_path, OF_ROOT);
    /// Attaching the clone of the rootfs.
    AttachRoot: Formatted(root_path, OF_ROOT);
    /// `mounts`: finding or making the mount point.
    MountPoint: Mount(|_| "mount point".into(), remedy::mount_point);
    /// `mounts`: the mount point is a link or a file instead of a directory.
    MountPointNotOrdinary: Mount(
        |plan| format!("filesystem {:?} must be mounted on ordinary directory", type_name(plan)),
        remedy::not_ordinary,
    );
    /// `mounts`: the mount point is inside a procfs.
    MountPointInProc:
        Mount(|_| "cannot be mounted because it is inside /proc".into(), remedy::in_proc);
    /// `mounts`: the source of a bind mount.
    Source: Mount(|_| "source".into(), remedy::of_source);
    /// `mounts`: the file system type.
    FileSystem: Mount(
        |plan| format!("file system type {:?}", type_name(plan)),
        remedy::file_system,
    );
    /// `mounts`: an option of the file system; the detail names it.
    Parameter: Mount(|_| "option".into(), remedy::parameter);
    /// `mounts`: making the file system.
    Make: Mount(
        |plan| format!("making the {} file system", type_name(plan)),
        remedy::make,
    );
    /// `mounts`: the mode of a new file system.
    Mode: Mount(|_| "giving it the mode of its mount point".into(), remedy::none);
    /// `mounts`: its label.
    Label: Mount(|_| "linux.mountLabel".into(), remedy::label);
    /// `mounts`: the attributes of a mount.
    Attributes: Mount(
        |_| "attributes".into(),
        remedy::attributes,
    );
    /// `mounts`: the propagation of a mount.
    Propagation: Mount(|_| "propagation".into(), remedy::none);
    /// `mounts`: attaching the mount.
    Attach: Mount(|_| "attaching".into(), remedy::attach);
    /// `mounts`: remounting what is there.
    Remount: Mount(|_| "remounting".into(), remedy::remount);
    /// `mounts`: copying the content of the mount point (tmpcopyup).
    CopyUp: Mount(|_| "tmpcopyup".into(), remedy::copy_up);
    /// `mounts`: making a mount of type cgroup.
    Cgroup: Mount(|_| "showing the cgroups".into(), remedy::cgroup);
    /// `mounts`: the destination shows something else.
    Moved: Mount(
        |_| "looking whether it is still seen there".into(),
        remedy::moved,
    );
    /// Opening /dev.
    DevFolder: Fixed("opening /dev", &[
        (Errno::ENOTDIR, "/dev of the image is a file: make it a directory"),
    ]);
    /// A device that every container has; the index is into the fixed list.
    DefaultDevice: Formatted(|_, at| {
        let name = DEFAULT_DEVICES.get(at).map(|(name, ..)| *name);
        format!("making /dev/{}", text(name))
    }, OF_DEVICE);
    /// A link of /dev; the index is into the fixed list.
    DevLink: Formatted(|_, at| {
        let name = DEV_LINKS.get(at).map_or(c"ptmx", |(name, ..)| name);
        format!("making the link /dev/{}", name.to_string_lossy())
    }, OF_DEVICE);
    /// `linux.devices`.
    Device: Formatted(|layout, at| {
        let path = text(layout.devices.get(at).map(|device| &*device.path));
        format!("linux.devices[{at}]: making {path}")
    }, OF_DEVICE);
    /// `linux.devices`: something else is at the path.
    DeviceMismatch: Formatted(|layout, at| {
        let device = layout.devices.get(at);
        let path = text(device.map(|device| &*device.path));
        let numbers = device.map(DevicePlan::numbers).unwrap_or_default();
        format!("linux.devices[{at}]: {path} is there, but is not the device {numbers}")
    }, &[(Errno::EEXIST, "remove it from the image, or leave this device out")]);
    /// Changing to the new root.
    Pivot: Fixed("changing to the root", &[
        (Errno::EINVAL, "where the host's root is an initramfs, use --no-pivot"),
        (Errno::EPERM, "a seccomp profile or security module around rind may forbid pivot_root: allow \
            it, or use --no-pivot"),
        (Errno::EBUSY, "the root is the host's own: name another by root.path"),
    ]);
    /// Changing to the new root without `pivot_root(2)`: unmounting the host's proc and sysfs.
    HideHost: Fixed("unmounting the host's proc and sysfs (--no-pivot)", &[
        (Errno::EINVAL, "a user namespace has them locked: leave out --no-pivot"),
    ]);
    /// Binding the terminal to /dev/console.
    Console: Fixed("binding the terminal to /dev/console", OF_DEVICE);
    /// `linux.sysctl`, in the order of the plan.
    Sysctl: Formatted(|layout, at| {
        let sysctl = layout.sysctls.get(at);
        let (name, value) = sysctl.map(|it| (&*it.name, &*it.value)).unwrap_or_default();
        format!("linux.sysctl {name}: writing {value:?}")
    }, &[
        (Errno::ENOENT, "this kernel has no such sysctl: is the name right, and its module loaded?"),
        (Errno::EINVAL, "the value is out of its range, or no number"),
        (Errno::EACCES, "it is read-only, or belongs to root of another user namespace: leave it out"),
        (Errno::EPERM, "it belongs to root of another user namespace: leave it out"),
        (Errno::ERANGE, "the value is out of its range"),
    ]);
    /// `process.cwd`, made before the root becomes read-only.
    WorkingDirectory: Formatted(|layout, _| {
        let path = text(layout.make_cwd.as_ref().map(|cwd| &*cwd.path));
        format!("process.cwd: making {path}")
    }, &[
        (Errno::ENOTDIR, "a component of it is a file: name a directory"),
        (Errno::EROFS, "the root's file system is read-only: make it in the image"),
        (Errno::EACCES, "make it in the image, for process.user to enter"),
        (Errno::ELOOP, "a link of the image leads to itself: name another"),
    ]);
    /// `linux.readonlyPaths`.
    ReadonlyPath: Formatted(|layout, at| {
        let path = text(layout.readonly_paths.get(at).map(|path| &*path.target.path));
        format!("linux.readonlyPaths: making {path} read-only")
    }, OF_PATH);
    /// Making what masks paths.
    MaskSource: Fixed("linux.maskedPaths: having something to mask with", OF_PATH);
    /// `linux.maskedPaths`.
    MaskedPath: Formatted(|layout, at| {
        let path = text(layout.masked_paths.get(at).map(|path| &*path.target.path));
        format!("linux.maskedPaths: masking {path}")
    }, OF_PATH);
    /// Making the root read-only.
    ReadonlyRoot: Fixed("root.readonly: making the root read-only", &[]);
    /// `linux.rootfsPropagation`.
    RootPropagation: Fixed("linux.rootfsPropagation: setting it", &[]);
}

const OF_ROOT: Remedies = &[
    (Errno::ENOENT, "put the image's files there, or correct root.path"),
    (
        Errno::EACCES,
        "rind's user, or root of the user namespace, may not reach it: see the modes of all \
        directories above (chmod +x)",
    ),
    (Errno::ENOTDIR, "root.path has to be a directory"),
    (Errno::ELOOP, "a link of root.path leads to itself"),
    (Errno::EINVAL, "it is on an unbindable mount, or of another mount namespace"),
];

const OF_DEVICE: Remedies = &[
    (Errno::EPERM, "a node needs CAP_MKNOD, and a device cgroup around rind that allows mknod"),
    (Errno::EEXIST, "remove what is there from the image, or leave this device out"),
    (Errno::ENOTDIR, "a component of its path is a file of the image: remove that"),
    (Errno::EROFS, "the file system is read-only: make it in the image, or mount a tmpfs on /dev"),
    (Errno::ENOENT, "the host lacks the device: make its node there, or leave it out"),
    (
        Errno::EACCES,
        "root of the user namespace may not write there: chown the directory in the image",
    ),
];

const OF_PATH: Remedies = &[
    (Errno::ELOOP, "a link of the image leads to itself: remove it"),
    (Errno::EPERM, "it needs CAP_SYS_ADMIN over the container's mounts"),
    (
        Errno::EACCES,
        "root of the user namespace may not reach it: see the modes of the directories above",
    ),
];

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
        if let Some(error) = self.bad_root() {
            return error;
        }
        error_mounting(&self.mounts, fault).unwrap_or_else(|| {
            let at = usize::try_from(fault.index).unwrap_or(usize::MAX);
            let (step, remedies) = match fault.step.description() {
                Fixed(object, remedies) => (object.to_owned(), remedies),
                Formatted(object, remedies) => (object(self, at), remedies),
                // The index is of no entry.
                Mount(..) => ("making the root".to_owned(), &[][..]),
            };
            let remedy = remedies.iter().find(|(errno, _)| *errno == fault.errno);
            let error = fault.to_error(&step).with_hint(remedy.map(|(_, remedy)| *remedy));
            match self.object(fault.step, at) {
                Some(object) => error.with_object(object),
                None => error,
            }
        })
    }

    /// The error that the root is no directory, which is why no step in it can succeed.
    fn bad_root(&self) -> Option<Error> {
        let path = self.root_path.to_string_lossy();
        if std::fs::metadata(&*path).is_ok_and(|found| !found.is_dir()) {
            let error = Error::on("mounting root.path", &*path, Errno::ENOTDIR);
            return Some(error.with_hint(Some("root.path has to be a directory")));
        }
        None
    }

    /// The property of the config that a step carries out.
    fn object(&self, step: Step, at: usize) -> Option<String> {
        let name = match step {
            Step::CloneRoot | Step::AttachRoot | Step::Pivot => "root.path",
            Step::DevFolder | Step::DefaultDevice | Step::DevLink => "/dev",
            Step::Device | Step::DeviceMismatch => return Some(format!("linux.devices[{at}]")),
            Step::Console => "process.terminal",
            Step::Sysctl => {
                let sysctl = self.sysctls.get(at)?;
                return Some(format!("linux.sysctl[{:?}]", sysctl.name));
            }
            Step::WorkingDirectory => "process.cwd",
            Step::ReadonlyPath => "linux.readonlyPaths",
            Step::MaskSource | Step::MaskedPath => "linux.maskedPaths",
            Step::ReadonlyRoot => "root.readonly",
            Step::RootPropagation => "linux.rootfsPropagation",
            _ => return None,
        };
        Some(name.to_owned())
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
    let Advice { cause, hint } = remedy(plan, fault.errno);
    let error = if cause.is_empty() { error } else { error.because(cause) };
    Some(error.with_hint((!hint.is_empty()).then_some(hint)))
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
