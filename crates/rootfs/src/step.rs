//! The steps of making a root, as a fault names them: numbers, for the child formats nothing.

use sys::Errno;

/// A step of making what a container sees. The index of a [`Fault`] is into the list it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Step {
    /// Keeping the mounts of the namespace to itself.
    Isolate,
    /// Cloning the mount of the rootfs.
    CloneRoot,
    /// Attaching that clone.
    AttachRoot,
    /// `mounts`: finding or making the mount point.
    MountPoint,
    /// `mounts`: the mount point is no directory of its own, but a link or a file.
    MountPointNotOrdinary,
    /// `mounts`: the mount point is inside a procfs.
    MountPointInProc,
    /// `mounts`: the source of a bind mount.
    Source,
    /// `mounts`: the file system type.
    FileSystem,
    /// `mounts`: an option of the file system; the detail names it.
    Parameter,
    /// `mounts`: making the file system.
    Make,
    /// `mounts`: the mode of a new file system.
    Mode,
    /// `mounts`: its label.
    Label,
    /// `mounts`: the attributes of a mount.
    Attributes,
    /// `mounts`: the propagation of a mount.
    Propagation,
    /// `mounts`: attaching what was made.
    Attach,
    /// `mounts`: changing what is mounted there.
    Remount,
    /// `mounts`: copying what was there into it (tmpcopyup).
    CopyUp,
    /// `mounts`: showing a cgroup hierarchy.
    Cgroup,
    /// `mounts`: something else is seen where it was mounted.
    Moved,
    /// Opening /dev.
    DevFolder,
    /// A device that every container has; the index is into the fixed list.
    DefaultDevice,
    /// A link of /dev; the index is into the fixed list.
    DevLink,
    /// `linux.devices`.
    Device,
    /// `linux.devices`: something else is at its path.
    DeviceMismatch,
    /// Changing to the new root.
    Pivot,
    /// Changing to the new root without `pivot_root(2)`: taking the host's proc and sysfs away.
    HideHost,
    /// Binding the terminal to /dev/console.
    Console,
    /// Having a procfs to write to.
    Proc,
    /// `linux.sysctl`, in the order of the plan.
    Sysctl,
    /// `process.cwd`, made before the root becomes read-only.
    WorkingDirectory,
    /// `linux.readonlyPaths`.
    ReadonlyPath,
    /// Having something to mask with.
    MaskSource,
    /// `linux.maskedPaths`.
    MaskedPath,
    /// Making the root read-only.
    ReadonlyRoot,
    /// `linux.rootfsPropagation`.
    RootPropagation,
}

const STEPS: [Step; 35] = [
    Step::Isolate,
    Step::CloneRoot,
    Step::AttachRoot,
    Step::MountPoint,
    Step::MountPointNotOrdinary,
    Step::MountPointInProc,
    Step::Source,
    Step::FileSystem,
    Step::Parameter,
    Step::Make,
    Step::Mode,
    Step::Label,
    Step::Attributes,
    Step::Propagation,
    Step::Attach,
    Step::Remount,
    Step::CopyUp,
    Step::Cgroup,
    Step::Moved,
    Step::DevFolder,
    Step::DefaultDevice,
    Step::DevLink,
    Step::Device,
    Step::DeviceMismatch,
    Step::Pivot,
    Step::HideHost,
    Step::Console,
    Step::Proc,
    Step::Sysctl,
    Step::WorkingDirectory,
    Step::ReadonlyPath,
    Step::MaskSource,
    Step::MaskedPath,
    Step::ReadonlyRoot,
    Step::RootPropagation,
];

impl TryFrom<u16> for Step {
    type Error = u16;

    fn try_from(number: u16) -> std::result::Result<Self, u16> {
        STEPS.get(usize::from(number)).copied().ok_or(number)
    }
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which step.
    pub step: Step,
    /// Which element of the step's list, where it has one.
    pub index: u32,
    /// The kernel's answer.
    pub errno: Errno,
    /// The kernel's own words, or the object's name, where only the child has it.
    pub detail: Option<Vec<u8>>,
}

impl Fault {
    /// `step` failed with `errno`.
    #[must_use]
    pub fn new(step: Step, errno: Errno) -> Self {
        Self { step, index: 0, errno, detail: None }
    }

    /// The same, about element `index` of the step's list.
    #[must_use]
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = u32::try_from(index).unwrap_or(u32::MAX);
        self
    }
}

/// What a function of the child's side gives.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Names the step of a call that failed.
pub(crate) trait During<T> {
    /// The same result, its error a fault of `step`.
    fn during(self, step: Step) -> Result<T>;
}

impl<T> During<T> for sys::Result<T> {
    fn during(self, step: Step) -> Result<T> {
        self.map_err(|errno| Fault::new(step, errno))
    }
}

#[cfg(test)]
mod tests {
    use super::{STEPS, Step};

    #[test]
    fn every_step_survives_the_wire() {
        for step in STEPS {
            assert_eq!(Step::try_from(step as u16), Ok(step));
        }
        assert!(Step::try_from(u16::MAX).is_err());
    }
}
