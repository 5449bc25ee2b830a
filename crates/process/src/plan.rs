//! Everything about a process that is known before the fork, in the form that its stages use.

use crate::capabilities::Sets;
use crate::memory::Policy;
use crate::namespaces::Namespaces;
use crate::program::Program;
use crate::{Error, Fault, Stage};
use oci_spec::runtime::{
    Hook, IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    PosixRlimitType, Process, Scheduler, Spec,
};
use rootfs::Layout;
use seccomp::Filter;
use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use sys::nix::sched::CloneFlags;
use sys::nix::sys::resource::Resource;
use sys::nix::sys::stat::Mode;
use sys::schedule;
use sys::terminal::Size;

/// Gives the state that a container's hook is told: of a pid, in a status.
pub type HookState = Box<dyn Fn(i32, &str) -> Vec<u8>>;

/// What a plan is made from, beside the config.
pub struct Inputs {
    /// The absolute bundle directory.
    pub bundle: PathBuf,
    /// What the container sees below its root.
    pub layout: Layout,
    /// What it makes and joins.
    pub namespaces: Namespaces,
    /// Its seccomp filter.
    pub filter: Option<Filter>,
    /// Where its terminal goes, if it has one.
    pub console: Option<Console>,
    /// What it waits on for `start`; without it the program is run at once.
    pub exec_fifo: Option<OwnedFd>,
    /// The name of its session keyring; without it the caller's is kept.
    pub keyring: Option<CString>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// How many of them, the first ones, it is told of as sockets to listen on.
    pub listen_fds: u32,
    /// What its hooks are told.
    pub hook_state: HookState,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

/// The terminal of a process.
#[derive(Debug)]
pub struct Console {
    /// The socket that gets the master.
    pub socket: OwnedFd,
    /// The size to begin with, in characters.
    pub size: Option<Size>,
}

/// A process to be: read by the parent that renders its faults, carried out by the child.
#[derive(Debug)]
pub struct Plan {
    pub(crate) inputs: Inputs,
    /// Without `process`, a container can be made but not started.
    pub(crate) program: Option<Program>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) identity: Identity,
    pub(crate) capabilities: Sets,
    pub(crate) rlimits: Vec<Rlimit>,
    /// As the kernel takes it.
    pub(crate) oom_score: Option<String>,
    pub(crate) scheduler: Option<schedule::Attributes>,
    pub(crate) io_priority: Option<(u32, u32)>,
    pub(crate) memory_policy: Option<Policy>,
    pub(crate) personality: Option<u64>,
    pub(crate) label: Option<Label>,
    pub(crate) no_new_privileges: bool,
    pub(crate) hooks: ContainerHooks,
    /// Whether the host's side has something to run before the change of root.
    pub(crate) has_runtime_hooks: bool,
}

/// The hooks that run in the container's namespaces.
#[derive(Debug, Default)]
pub(crate) struct ContainerHooks {
    pub create: Vec<Hook>,
    pub start: Vec<Hook>,
}

/// Whom the process runs as.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: Option<Mode>,
}

/// One limit of `process.rlimits`.
#[derive(Debug)]
pub(crate) struct Rlimit {
    pub resource: Resource,
    pub soft: u64,
    pub hard: u64,
}

/// A security label to take at execve.
#[derive(Debug)]
pub(crate) struct Label {
    /// Below /proc/PID.
    pub file: &'static str,
    pub value: String,
}

impl Plan {
    /// Makes the plan of a container's init. Warnings are added to `warnings`.
    pub fn new(spec: &Spec, inputs: Inputs, warnings: &mut Vec<String>) -> Result<Self, Error> {
        let process = spec.process().as_ref();
        let user_namespace = inputs.namespaces.has(CloneFlags::CLONE_NEWUSER);
        let config = process.and_then(|p| p.capabilities().as_ref());
        let capabilities = Sets::plan(config, user_namespace, warnings)
            .map_err(|errno| Error::call("reading our own capabilities", errno))?;
        let hooks = spec.hooks().as_ref();
        let list = |hooks: Option<&Vec<Hook>>| hooks.cloned().unwrap_or_default();
        let has = |hooks: Option<&Vec<Hook>>| hooks.is_some_and(|hooks| !hooks.is_empty());
        let has_runtime_hooks = has(hooks.and_then(|h| h.prestart().as_ref()))
            || has(hooks.and_then(|h| h.create_runtime().as_ref()));
        Ok(Self {
            program: process.map(|p| Program::plan(p, inputs.listen_fds)).transpose()?,
            hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
            domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
            identity: process.map(Identity::plan).unwrap_or_default(),
            capabilities,
            rlimits: process.map(rlimits).unwrap_or_default(),
            oom_score: process.and_then(Process::oom_score_adj).map(|score| score.to_string()),
            scheduler: process.and_then(|p| p.scheduler().as_ref()).map(scheduler),
            io_priority: process.and_then(io_priority),
            memory_policy: memory_policy(spec)?,
            personality: personality(spec),
            label: process.and_then(|p| label(p, warnings)),
            no_new_privileges: process.and_then(Process::no_new_privileges).unwrap_or(false),
            hooks: ContainerHooks {
                create: list(hooks.and_then(|h| h.create_container().as_ref())),
                start: list(hooks.and_then(|h| h.start_container().as_ref())),
            },
            has_runtime_hooks,
            inputs,
        })
    }

    /// Who is to get the listener of its seccomp filter.
    #[must_use]
    pub fn listener(&self) -> Option<&seccomp::Listener> {
        self.inputs.filter.as_ref().and_then(Filter::listener)
    }

    /// What went wrong in the child, in words: the step, the object, the kernel's answer.
    #[must_use]
    pub fn describe(&self, fault: &Fault) -> String {
        let answer = fault.errno.desc().to_lowercase();
        let detail = String::from_utf8_lossy(&fault.detail);
        let index = fault.index;
        match fault.stage {
            Stage::Rootfs(step) => self.inputs.layout.describe(&rootfs::Fault {
                step,
                index,
                errno: fault.errno,
                detail: (!fault.detail.is_empty()).then(|| fault.detail.clone()),
            }),
            Stage::ProgramNotInPath | Stage::Program | Stage::Exec => match &self.program {
                Some(program) => program.describe(fault.stage, fault.errno),
                None => answer,
            },
            Stage::CreateContainerHook => {
                format!("error running createContainer hook #{index}: {detail}")
            }
            Stage::StartContainerHook => {
                format!("error running startContainer hook #{index}: {detail}")
            }
            Stage::Ambient => {
                let name = crate::capabilities::number_name(u8::try_from(index).unwrap_or(u8::MAX));
                format!("can't raise ambient capability {name}: {answer}")
            }
            stage => format!("{}: {answer}{}", self.object(stage, index), remedy(fault)),
        }
    }

    /// What a stage was about: its words, and the config's place for it.
    fn object(&self, stage: Stage, index: u32) -> String {
        let cwd = self.program.as_ref().map(|p| p.cwd.to_string_lossy()).unwrap_or_default();
        match stage {
            Stage::JoinNamespace => format!("joining linux.namespaces[{index}]"),
            Stage::Rlimit => format!("setting process.rlimits[{index}]"),
            Stage::EnterCgroup => format!("entering cgroup hierarchy {index}"),
            Stage::Stdio => format!("giving descriptor {index} to process.user"),
            Stage::WorkingDirectory => {
                format!("chdir to cwd (\"{cwd}\") set in config.json failed")
            }
            Stage::WorkingDirectoryOutside => format!(
                "process.cwd {cwd}: current working directory is outside of container mount \
                 namespace root -- possible container breakout detected"
            ),
            Stage::Bounding => {
                let name = crate::capabilities::number_name(u8::try_from(index).unwrap_or(u8::MAX));
                format!("dropping {name} from the bounding set")
            }
            stage => fixed_object(stage).to_owned(),
        }
    }
}

/// What a stage was about, where that needs nothing but the stage.
fn fixed_object(stage: Stage) -> &'static str {
    match stage {
        Stage::TimeNamespace => "making the time namespace with linux.timeOffsets",
        Stage::UserNamespace => "making the user namespace",
        Stage::Fork => "forking init",
        Stage::MappedRoot => "becoming root of the user namespace (linux.uidMappings need id 0)",
        Stage::OomScore => "setting process.oomScoreAdj",
        Stage::Descriptors => "passing descriptors on (--preserve-fds)",
        Stage::Session => "starting a session",
        Stage::Keyring => "joining a new session keyring",
        Stage::Loopback => "setting the loopback interface up",
        Stage::Hostname => "setting hostname",
        Stage::Domainname => "setting domainname",
        Stage::CgroupNamespace => "making the cgroup namespace",
        Stage::Terminal => "making the terminal (process.terminal)",
        Stage::ConsoleSocket => "sending the terminal over the console socket",
        Stage::Scheduler => "setting process.scheduler",
        Stage::IoPriority => "setting process.ioPriority",
        Stage::MemoryPolicy => "setting linux.memoryPolicy",
        Stage::Personality => "setting linux.personality",
        Stage::Label => "setting process.apparmorProfile or process.selinuxLabel",
        Stage::Capabilities => "setting process.capabilities",
        Stage::User => "setting process.user",
        Stage::NoNewPrivileges => "setting process.noNewPrivileges",
        Stage::Seccomp => "installing the linux.seccomp filter",
        Stage::ExecFifo => "waiting on the exec fifo",
        _ => "talking to init",
    }
}

/// What may help, for the failures whose cause is known.
fn remedy(fault: &Fault) -> &'static str {
    match (fault.stage, fault.errno) {
        (Stage::Keyring, sys::Errno::EDQUOT) => {
            " (the user has too many keyrings: raise kernel.keys.maxkeys, or use --no-new-keyring)"
        }
        (Stage::MemoryPolicy, sys::Errno::EINVAL) => {
            " (invalid memory policy: the nodes must be there and in linux.resources.cpu.mems, and \
             the kernel must know the mode)"
        }
        (Stage::MemoryPolicy, sys::Errno::ENOSYS) => " (the kernel is built without NUMA)",
        (Stage::OomScore, sys::Errno::EACCES) => " (lowering it needs CAP_SYS_RESOURCE)",
        (Stage::Rlimit, sys::Errno::EPERM) => " (raising a hard limit needs CAP_SYS_RESOURCE)",
        (Stage::Fork, sys::Errno::ENOSPC) => " (see user.max_*_namespaces in /proc/sys)",
        (Stage::Fork, sys::Errno::EPERM) => " (making namespaces needs CAP_SYS_ADMIN)",
        _ => "",
    }
}

impl Identity {
    fn plan(process: &Process) -> Self {
        let user = process.user();
        Self {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            umask: user.umask().map(Mode::from_bits_truncate),
        }
    }
}

fn rlimits(process: &Process) -> Vec<Rlimit> {
    let list = process.rlimits().iter().flatten();
    list.map(|r| Rlimit { resource: resource(r.typ()), soft: r.soft(), hard: r.hard() }).collect()
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
    }
}

fn scheduler(config: &Scheduler) -> schedule::Attributes {
    let policy = match config.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    schedule::Attributes {
        size: 0,
        policy,
        flags: config.flags().iter().flatten().fold(0, |flags, one| flags | flag(one)),
        nice: config.nice().unwrap_or(0),
        priority: config.priority().unwrap_or(0).cast_unsigned(),
        runtime: config.runtime().unwrap_or(0),
        deadline: config.deadline().unwrap_or(0),
        period: config.period().unwrap_or(0),
    }
}

fn io_priority(process: &Process) -> Option<(u32, u32)> {
    let config = process.io_priority().as_ref()?;
    let class = match config.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    Some((class, u32::try_from(config.priority()).unwrap_or(u32::MAX)))
}

fn memory_policy(spec: &Spec) -> Result<Option<Policy>, Error> {
    let config = spec.linux().as_ref().and_then(|linux| linux.memory_policy().as_ref());
    config.map(Policy::plan).transpose()
}

fn personality(spec: &Spec) -> Option<u64> {
    let config = spec.linux().as_ref()?.personality().as_ref()?;
    Some(match config.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

/// The label to take at execve. Where its security module is off it is left out, with a warning:
/// there is nothing that it could restrict.
fn label(process: &Process, warnings: &mut Vec<String>) -> Option<Label> {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    if let Some(profile) = given(process.apparmor_profile()) {
        if module_is_on("/sys/module/apparmor/parameters/enabled", "Y") {
            let value = format!("exec {profile}");
            return Some(Label { file: "attr/apparmor/exec", value });
        }
        warnings.push(format!("process.apparmorProfile {profile}: AppArmor is not enabled here"));
    }
    if let Some(value) = given(process.selinux_label()) {
        if module_is_on("/sys/fs/selinux/enforce", "") {
            return Some(Label { file: "attr/exec", value });
        }
        warnings.push(format!("process.selinuxLabel {value}: SELinux is not enabled here"));
    }
    None
}

fn module_is_on(file: &str, with: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|content| content.starts_with(with))
}
