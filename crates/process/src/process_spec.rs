//! What `process` and parts of `linux` say of one process, an init or a process of `exec`, in the
//! form that the child uses. The host's side computes it before the fork; it must not need the
//! config later.

use crate::Error;
use crate::capabilities::Sets;
use crate::fault::{Fault, Object};
use crate::label::{Label, label};
use crate::memory::Policy;
use crate::procfs::Procfs;
use crate::program::Program;
use crate::stdio::Stdio;
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    PosixRlimitType, Process, Scheduler,
};
use seccomp::Filter;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use sys::credentials::{Gid, Id, Uid};
use sys::exec::Signals;
use sys::nix::libc;
use sys::nix::sys::resource::{Resource, getrlimit, setrlimit};
use sys::nix::sys::stat::Mode;
use sys::terminal::Size;
use sys::{process, schedule};

/// What the caller says of a process beside the config.
#[derive(Debug, Default)]
pub struct ProcessOptions {
    /// Whether rind runs as root, so that none of its processes needs to be dumpable (prctl(2),
    /// `PR_SET_DUMPABLE`).
    pub by_root: bool,
    /// The seccomp filter.
    pub filter: Option<Filter>,
    /// The terminal, if `process.terminal` asks for one.
    pub console: Option<Console>,
    /// The fifo at which the process waits for `start`; without it, the program runs at once.
    pub exec_fifo: Option<OwnedFd>,
    /// The name of the new session keyring; without it, the process keeps the caller's.
    pub keyring: Option<CString>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// How many of these, from 3 on, are sockets to listen on (`LISTEN_FDS`, `sd_listen_fds(3)`).
    pub listen_fds: u32,
    /// Whether the process keeps rind's supplementary groups, whatever `process.user` says.
    pub keep_groups: bool,
}

/// The terminal of a process.
#[derive(Debug)]
pub struct Console {
    /// The console socket, over which rind sends the master.
    pub socket: OwnedFd,
    /// The initial size, in characters.
    pub size: Option<Size>,
}

/// The plan of any process: what the parent and the stages that all children share need of it.
pub trait ProcessPlan {
    /// What `apply_process` and the stages after it use.
    fn spec(&self) -> &ProcessSpec;

    /// Describes a failure in the child: the step, the object, the kernel's answer.
    fn fault_error(&self, fault: &Fault) -> Error {
        fault.to_error(&self.spec().object())
    }

    /// Where the listener of the seccomp filter goes, if the filter has one.
    fn listener(&self) -> Option<&seccomp::Listener> {
        self.spec().options.filter.as_ref().and_then(Filter::listener)
    }
}

/// What a process is from [`apply_process`](crate::apply::apply_process) to its execve.
#[derive(Debug, Default)]
pub struct ProcessSpec {
    pub(crate) options: ProcessOptions,
    /// `None` for a config without `process`: such a container can be created, but not started.
    pub(crate) program: Option<Program>,
    pub(crate) identity: Identity,
    pub(crate) capabilities: Sets,
    pub(crate) rlimits: Vec<Rlimit>,
    /// The text for `/proc/self/oom_score_adj`.
    pub(crate) oom_score: Option<String>,
    pub(crate) scheduler: Option<schedule::Attributes>,
    pub(crate) io_priority: Option<(u32, u32)>,
    pub(crate) memory_policy: Option<Policy>,
    pub(crate) personality: Option<u64>,
    pub(crate) label: Option<Label>,
    pub(crate) no_new_privileges: bool,
    /// What stdin, stdout and stderr are, once a stage has looked.
    pub(crate) stdio: Option<Stdio>,
    /// Whether the process is in a user namespace other than the caller's.
    pub(crate) user_namespace: bool,
    /// The host's procfs, if a stage writes to it.
    pub(crate) procfs: Option<Procfs>,
    /// Whether the process forks once more when it has applied `process`: into a pid namespace in
    /// which others see it, so nothing of the host's may be left in it by then.
    pub(crate) forks_last: bool,
    /// Whether this is a process of `exec`.
    pub(crate) is_exec: bool,
    /// Whether the process then waits until its root is made ([`park`](crate::init)).
    pub(crate) is_parked: bool,
    /// Whether startContainer hooks run before the program; the filter must not apply to them.
    pub(crate) runs_hooks: bool,
    /// The signals that rind ignores, as its caller did.
    pub(crate) ignored_signals: Signals,
    /// Whether the seccomp filter is installed.
    pub(crate) has_filter: bool,
}

/// The ids of the process (runtime-spec, config.md, User).
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub uid: Uid,
    pub gid: Gid,
    /// The supplementary groups; `None` keeps those that the process has.
    pub groups: Option<Vec<Gid>>,
    pub umask: Option<Mode>,
}

/// One limit of `process.rlimits`.
#[derive(Debug)]
pub(crate) struct Rlimit {
    pub resource: Resource,
    pub soft: u64,
    pub hard: u64,
}

impl Rlimit {
    /// Raises this process's hard limit to `hard`, if it is lower.
    pub fn raise_hard(&self) -> sys::Result<()> {
        let (soft, hard) = getrlimit(self.resource)?;
        if hard < self.hard { setrlimit(self.resource, soft, self.hard) } else { Ok(()) }
    }
}

impl ProcessSpec {
    /// Computes the spec from `process`, and from what `linux` says of every process of the
    /// container.
    pub(crate) fn new(
        process: Option<&Process>,
        linux: Option<&Linux>,
        options: ProcessOptions,
        user_namespace: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let config = process.and_then(|p| p.capabilities().as_ref());
        let capabilities = Sets::from_config(config, user_namespace, warnings)
            .map_err(|errno| Error::call("reading our own capabilities", errno))?;
        let oom_score = process.and_then(Process::oom_score_adj).map(|score| score.to_string());
        let label = process.and_then(|p| label(p, warnings));
        let uses_procfs = oom_score.is_some() || label.is_some();
        Ok(Self {
            program: process.map(|p| Program::from_config(p, options.listen_fds)).transpose()?,
            identity: process.map_or_else(
                || Ok(Identity::default()),
                |p| Identity::from_config(p, options.keep_groups),
            )?,
            capabilities,
            rlimits: process.map(rlimits).unwrap_or_default(),
            oom_score,
            scheduler: process.and_then(|p| p.scheduler().as_ref()).map(scheduler),
            io_priority: process.and_then(io_priority),
            memory_policy: memory_policy(linux)?,
            personality: personality(linux),
            label,
            procfs: uses_procfs.then(Procfs::open).transpose()?,
            ignored_signals: sys::exec::ignored_signals(),
            no_new_privileges: process.and_then(Process::no_new_privileges).unwrap_or(false),
            options,
            user_namespace,
            ..Self::default()
        })
    }

    /// The scheduling attributes, if a fork loses them (sched(7), Resetting scheduling policy).
    pub(crate) fn scheduler_lost_by_fork(&self) -> Option<&schedule::Attributes> {
        self.scheduler.as_ref().filter(|attributes| attributes.are_lost_by_fork())
    }

    /// The scheduling attributes, if the parent has to set them after the last fork.
    pub(crate) fn scheduler_after_fork(&self) -> Option<&schedule::Attributes> {
        self.scheduler_lost_by_fork().filter(|_| self.forks_last)
    }

    /// Whether only the process itself, after the last fork, can find its working directory and
    /// program: the path leads through /proc/self, or a hook may still make them.
    pub(crate) fn finds_last(&self) -> bool {
        let is_its_own = || self.program.as_ref().is_some_and(Program::is_its_own);
        self.forks_last && (self.is_parked || is_its_own())
    }

    /// Whether the filter allows every system call from the last fork on, so that rind can install
    /// it before that fork, which makes the process visible to others.
    pub(crate) fn filters_before_fork(&self) -> bool {
        let filter = self.options.filter.as_ref().filter(|filter| filter.listener().is_none());
        let Some(filter) = filter.filter(|_| !self.runs_hooks) else { return false };
        let allows = |number| filter.allows(number, [0; 6]);
        filter.allows(libc::SYS_clone, [process::SIBLING, 0, 0, 0, 0, 0])
            && [libc::SYS_write, libc::SYS_exit_group, libc::SYS_setsid].into_iter().all(allows)
            && (self.options.console.is_none()
                || filter.allows(libc::SYS_ioctl, [0, sys::terminal::TIOCSCTTY, 0, 0, 0, 0]))
            && (self.rlimits.is_empty() || allows(libc::SYS_prlimit64))
            && (self.options.listen_fds == 0 || allows(libc::SYS_getpid))
            && allows(libc::SYS_read)
            && (!self.finds_last()
                || [libc::SYS_chdir, libc::SYS_getcwd, libc::SYS_newfstatat, libc::SYS_faccessat2]
                    .into_iter()
                    .all(allows))
            && (self.no_new_privileges || allows(libc::SYS_capset))
    }

    /// What faults of the process are about.
    pub(crate) fn object(&self) -> Object<'_> {
        let program = self.program.as_ref();
        let arguments = program.map(|program| program.arguments.strings()).unwrap_or_default();
        Object {
            program: arguments.first().map(|zero| &**zero),
            cwd: program.map(|program| &*program.cwd),
            is_exec: self.is_exec,
            label: self.label.as_ref(),
        }
    }
}

impl Identity {
    fn from_config(process: &Process, keep_groups: bool) -> Result<Self, Error> {
        let user = process.user();
        let group = |at: &str, gid| id(gid, at, "group");
        let more = user.additional_gids().iter().flatten().enumerate();
        let groups: Result<Vec<Gid>, Error> =
            more.map(|(index, gid)| group(&format!("additionalGids[{index}]"), *gid)).collect();
        let groups = groups?;
        Ok(Self {
            uid: id(user.uid(), "uid", "user")?,
            gid: group("gid", user.gid())?,
            groups: (!keep_groups).then_some(groups),
            umask: user.umask().map(Mode::from_bits_truncate),
        })
    }
}

/// Checks the id at the key `at` of `process.user`; `whose` is "user" or "group".
fn id<T: Copy>(number: u32, at: &str, whose: &str) -> Result<Id<T>, Error> {
    Id::new(number)
        .ok_or_else(|| Error::new(format!("process.user.{at}: {number} is no {whose} id")))
}

fn rlimits(process: &Process) -> Vec<Rlimit> {
    let list = process.rlimits().iter().flatten();
    list.map(|r| Rlimit { resource: resource(r.typ()), soft: r.soft(), hard: r.hard() }).collect()
}

/// The number of a limit of `process.rlimits`.
#[must_use]
pub fn resource(kind: PosixRlimitType) -> Resource {
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
        flags: config.flags().iter().flatten().fold(0, |all, one| all | flag(one)),
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

fn memory_policy(linux: Option<&Linux>) -> Result<Option<Policy>, Error> {
    let config = linux.and_then(|linux| linux.memory_policy().as_ref());
    config.map(Policy::from_config).transpose()
}

fn personality(linux: Option<&Linux>) -> Option<u64> {
    let config = linux?.personality().as_ref()?;
    Some(match config.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}
