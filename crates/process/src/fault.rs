//! What went wrong in the child: a stage, an index into its list, the kernel's answer.
//!
//! A fault is numbers, so that the child formats nothing; the parent puts it in words from its own
//! copy of the plan.

use rootfs::Step;
use sys::Errno;

/// The stages of init, and of the process that joins namespaces before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The socket to the parent failed, or the parent is gone.
    Channel,
    /// Joining an existing namespace; the index is that of `linux.namespaces`.
    JoinNamespace,
    /// Joining the namespaces of a container that is there.
    EnterContainer,
    /// Changing to the root of a container without a mount namespace.
    EnterRoot,
    /// `process.execCPUAffinity`.
    Affinity,
    /// Making the time namespace, or writing its offsets.
    TimeNamespace,
    /// Making a user namespace before the others.
    UserNamespace,
    /// Making the other new namespaces, where init isn't born in them.
    MakeNamespaces,
    /// The second fork.
    Fork,
    /// Becoming root of the user namespace.
    MappedRoot,
    /// `process.oomScoreAdj`.
    OomScore,
    /// Keeping what the program inherits, and nothing else.
    Descriptors,
    /// Starting a session.
    Session,
    /// Joining a new session keyring.
    Keyring,
    /// Setting the loopback interface up.
    Loopback,
    /// Setting `hostname`.
    Hostname,
    /// Setting `domainname`.
    Domainname,
    /// Writing oneself into a cgroup; the index is that of the hierarchy.
    EnterCgroup,
    /// Making the cgroup namespace.
    CgroupNamespace,
    /// A step of the root file system.
    Rootfs(Step),
    /// A createContainer hook; the detail says what happened.
    CreateContainerHook,
    /// Making the pseudo-terminal.
    Terminal,
    /// Sending the pseudo-terminal's master over the console socket.
    ConsoleSocket,
    /// Giving stdio to the user; the index is the descriptor.
    Stdio,
    /// Binding /dev/null for those of stdio that are it.
    NullStdio,
    /// Entering `process.cwd`.
    WorkingDirectory,
    /// The working directory turned out to be outside the container.
    WorkingDirectoryOutside,
    /// `process.scheduler`.
    Scheduler,
    /// `process.ioPriority`.
    IoPriority,
    /// `linux.memoryPolicy`.
    MemoryPolicy,
    /// `linux.personality`.
    Personality,
    /// `process.rlimits`; the index is that of the list.
    Rlimit,
    /// `process.apparmorProfile` or `process.selinuxLabel`.
    Label,
    /// Dropping a capability from the bounding set; the index is the capability.
    Bounding,
    /// Setting the capability sets.
    Capabilities,
    /// Raising an ambient capability; the index is the capability.
    Ambient,
    /// Setting user and groups.
    User,
    /// Setting `no_new_privs`.
    NoNewPrivileges,
    /// Installing the seccomp filter.
    Seccomp,
    /// `process.args[0]` was not found in PATH.
    ProgramNotInPath,
    /// `process.args[0]` can't be executed.
    Program,
    /// A startContainer hook; the detail says what happened.
    StartContainerHook,
    /// Waiting on the exec fifo.
    ExecFifo,
    /// The execve itself.
    Exec,
}

/// The stages in the order of their numbers on the wire; steps of the rootfs follow after them.
const NUMBERED: [Stage; 43] = [
    Stage::Channel,
    Stage::JoinNamespace,
    Stage::EnterContainer,
    Stage::EnterRoot,
    Stage::Affinity,
    Stage::TimeNamespace,
    Stage::UserNamespace,
    Stage::MakeNamespaces,
    Stage::Fork,
    Stage::MappedRoot,
    Stage::OomScore,
    Stage::Descriptors,
    Stage::Session,
    Stage::Keyring,
    Stage::Loopback,
    Stage::Hostname,
    Stage::Domainname,
    Stage::EnterCgroup,
    Stage::CgroupNamespace,
    Stage::CreateContainerHook,
    Stage::Terminal,
    Stage::ConsoleSocket,
    Stage::Stdio,
    Stage::NullStdio,
    Stage::WorkingDirectory,
    Stage::WorkingDirectoryOutside,
    Stage::Scheduler,
    Stage::IoPriority,
    Stage::MemoryPolicy,
    Stage::Personality,
    Stage::Rlimit,
    Stage::Label,
    Stage::Bounding,
    Stage::Capabilities,
    Stage::Ambient,
    Stage::User,
    Stage::NoNewPrivileges,
    Stage::Seccomp,
    Stage::ProgramNotInPath,
    Stage::Program,
    Stage::StartContainerHook,
    Stage::ExecFifo,
    Stage::Exec,
];

/// Where the rootfs's own steps begin on the wire.
const ROOTFS: u32 = 1 << 16;

impl Stage {
    /// The stage's number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        if let Self::Rootfs(step) = self {
            return ROOTFS | u32::from(step as u16);
        }
        let position = NUMBERED.iter().position(|stage| *stage == self);
        position.and_then(|at| u32::try_from(at).ok()).unwrap_or_default()
    }

    /// The stage of a number from the wire.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        if number & ROOTFS != 0 {
            let step = u16::try_from(number & !ROOTFS).ok()?;
            return Step::try_from(step).ok().map(Self::Rootfs);
        }
        NUMBERED.get(usize::try_from(number).ok()?).copied()
    }
}

/// A failure in the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which stage failed.
    pub stage: Stage,
    /// Which element of the stage's list, where it has one.
    pub index: u32,
    /// The kernel's answer.
    pub errno: Errno,
    /// Words that only the child has: the kernel's log of a mount, a hook's output.
    pub detail: Vec<u8>,
}

impl Fault {
    /// `stage` failed with `errno`.
    #[must_use]
    pub fn new(stage: Stage, errno: Errno) -> Self {
        Self { stage, index: 0, errno, detail: Vec::new() }
    }

    /// The element `index` of `stage` failed with `errno`.
    #[must_use]
    pub fn at(stage: Stage, index: usize, errno: Errno) -> Self {
        Self { index: u32::try_from(index).unwrap_or(u32::MAX), ..Self::new(stage, errno) }
    }
}

impl From<rootfs::Fault> for Fault {
    fn from(fault: rootfs::Fault) -> Self {
        Self {
            stage: Stage::Rootfs(fault.step),
            index: fault.index,
            errno: fault.errno,
            detail: fault.detail.unwrap_or_default(),
        }
    }
}

/// Names the stage of a call that failed.
pub(crate) trait During<T> {
    /// The same result, its error a fault of `stage`.
    fn during(self, stage: Stage) -> Result<T, Fault>;
}

impl<T> During<T> for sys::Result<T> {
    fn during(self, stage: Stage) -> Result<T, Fault> {
        self.map_err(|errno| Fault::new(stage, errno))
    }
}

#[cfg(test)]
mod tests {
    use super::{NUMBERED, Stage};

    #[test]
    fn every_stage_survives_the_wire() {
        for stage in NUMBERED {
            assert_eq!(Stage::from_number(stage.number()), Some(stage));
        }
        assert_eq!(Stage::from_number(9999), None);
    }
}
