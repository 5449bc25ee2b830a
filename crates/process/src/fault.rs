//! Failures in the child: a stage, an index into the stage's list, the kernel's answer; and the
//! table that describes them.
//!
//! A new stage needs only a row of the table. The child sends numbers and must not format them: the
//! parent does, by its own copy of the plan; the child itself only once the parent is gone.

use crate::capabilities::number_name;
use crate::label::{Label, Module};
use crate::refusal::Refusal;
use rootfs::Step;
use std::ffi::CStr;
use sys::credentials;
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::sys::stat::stat;
use sys::{Errno, Error};

/// What the plan knows of the object of a stage.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    /// `process.args[0]`, if there is a `process`.
    pub program: Option<&'a CStr>,
    /// `process.cwd`.
    pub cwd: Option<&'a CStr>,
    /// Whether this is a process of `exec`.
    pub is_exec: bool,
    /// The security label, if there is one to take.
    pub label: Option<&'a Label>,
}

/// How the failure of a stage is described.
enum Description {
    /// What the stage does, always the same, and the known remedies.
    Fixed(&'static str, Remedies),
    /// The same, formatted from the fault and the plan.
    Formatted(fn(&Fault, &Object) -> String, Remedies),
    /// The whole error, which includes the kernel's answer.
    Whole(fn(&Fault, &Object) -> Error),
}

/// The remedies of the kernel's answers whose cause is known.
type Remedies = &'static [(Errno, &'static str)];

const OPEN_FILES: &str = "the limit on open files is reached: ulimit -n";

use Description::{Fixed, Formatted, Whole};

/// Defines [`Stage`] from rows of documentation, name and description. The number of a stage on the
/// wire is the number of its row.
macro_rules! stages {
    ($($(#[$doc:meta])+ $name:ident: $description:expr;)+) => {
        /// The stages of init, of the intermediate process before it, and of a process of exec.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stage {
            $($(#[$doc])+ $name,)+
            /// A step of the root file system, which the layout describes.
            Rootfs(Step),
        }

        impl Stage {
            /// All but the steps of the root, whose numbers on the wire are higher.
            const ALL: &[Self] = &[$(Self::$name),+];

            fn description(self) -> Description {
                match self {
                    $(Self::$name => $description,)+
                    Self::Rootfs(_) => Fixed("making the root", &[]),
                }
            }
        }
    };
}

stages! {
    /// The socket to the parent failed, or the parent is gone.
    Channel: Fixed("talking to init", &[]);
    /// Joining an existing namespace; the index is into `linux.namespaces`.
    JoinNamespace: Formatted(|fault, _| format!("joining linux.namespaces[{}]", fault.index), &[]);
    /// Joining the namespaces of an existing container.
    EnterContainer: Whole(|fault, _| match fault.errno {
        // The container has ended.
        Errno::ESRCH => Error::not_running(),
        _ => fault.answered("joining the namespaces of the container", &[]),
    });
    /// Changing to the root of a container without a mount namespace.
    EnterRoot: Fixed("changing to the root of the container", &[]);
    /// `process.execCPUAffinity`.
    Affinity: Fixed("setting process.execCPUAffinity", &[
        (Errno::EINVAL, "none of these CPUs is the host's and online: see /sys/devices/system/cpu/online"),
    ]);
    /// Making the time namespace, or writing its offsets.
    TimeNamespace: Whole(|fault, _| {
        fault.answered("making the time namespace with linux.timeOffsets", &[
            (Errno::EINVAL, "the kernel is built without time namespaces"),
            (Errno::ERANGE, "the clock would be below 0, or too far ahead"),
            (Errno::ENOSPC, "user.max_time_namespaces is reached"),
        ])
        .with_hint(forbidden(fault.errno, false))
    });
    /// Making a user namespace before the others.
    UserNamespace: Whole(|fault, _| {
        fault.answered("making the user namespace", &[
            (Errno::ENOSPC, "user.max_user_namespaces is reached: sysctl -w raises it"),
            (Errno::EUSERS, "user namespaces are nested too deep: 32 at most"),
            (Errno::EINVAL, "the kernel is built without user namespaces"),
        ])
        .with_hint(forbidden(fault.errno, true))
    });
    /// Making the other new namespaces, if init isn't born in them.
    MakeNamespaces: Whole(|fault, _| {
        fault.answered("making linux.namespaces", &[
            (Errno::ENOSPC, "see user.max_*_namespaces in /proc/sys"),
            (Errno::EINVAL, "the kernel is built without one of them: see ls /proc/self/ns"),
        ])
        .with_hint(forbidden(fault.errno, false))
    });
    /// A fork, of the process itself or of the intermediate process.
    Fork: Whole(|fault, object| match (object.is_exec, fault.errno) {
        (false, _) => fault.answered("forking init", &[
            (Errno::ENOSPC, "see user.max_*_namespaces in /proc/sys"),
            (Errno::EINVAL, "the kernel is built without one of linux.namespaces: see ls /proc/self/ns"),
            (Errno::ENOMEM, "out of memory, or the pid namespace to join has no init any more"),
            (Errno::EAGAIN, "a limit on processes is reached: pids.max of a cgroup that rind or the \
                container is in, or the user's (ulimit -u)"),
            (Errno::EBUSY, "the cgroup has controllers for cgroups below it, so no process may be in it"),
            (Errno::EOPNOTSUPP, "the cgroup is threaded, or below such: take another linux.cgroupsPath"),
        ]).with_hint(forbidden(fault.errno, true)),
        (true, Errno::ENODEV) => Error::new("the container's cgroup is gone"),
        // The kernel answers the same for a pid namespace whose init has ended, and for lack of
        // memory.
        (true, Errno::ENOMEM) => {
            Error::not_running().with_hint(Some("or out of memory to fork in it"))
        }
        (true, _) => fault.answered("forking in the container", &[
            (Errno::EAGAIN, "the container's pids limit, or process.rlimits, is reached: an exec \
                takes room for two for a moment; rind update --pids-limit makes some"),
            (Errno::EOPNOTSUPP, "its cgroup is threaded, or below such: see --cgroup"),
        ]),
    });
    /// Becoming root of the user namespace.
    MappedRoot:
        Fixed("becoming root of the user namespace (linux.uidMappings need id 0)", &[]);
    /// `process.oomScoreAdj`.
    OomScore: Fixed("setting process.oomScoreAdj", &[
        (Errno::EACCES, "lowering it needs CAP_SYS_RESOURCE: leave it out, or take what rind itself has"),
    ]);
    /// Closing all descriptors but those that the program inherits.
    Descriptors: Fixed("passing descriptors on (--preserve-fds)", &[
        (Errno::EMFILE, OPEN_FILES),
    ]);
    /// Starting a session, or making the process undumpable.
    Session: Fixed("starting a session", &[]);
    /// Joining a new session keyring.
    Keyring: Fixed("joining a new session keyring", &[
        (Errno::EDQUOT, "the user has too many keyrings: raise kernel.keys.maxkeys, or use \
            --no-new-keyring"),
        (Errno::EPERM, "a seccomp profile around rind may forbid keyctl: use --no-new-keyring"),
        (Errno::EACCES, "a security module forbids it: use --no-new-keyring"),
        (Errno::ENOSYS, "the kernel is built without keys, or a seccomp profile around rind forbids \
            keyctl: use --no-new-keyring"),
    ]);
    /// Setting the loopback interface up.
    Loopback: Fixed("setting the loopback interface up", &[]);
    /// Setting `hostname`.
    Hostname: Fixed("setting hostname", &[]);
    /// Setting `domainname`.
    Domainname: Fixed("setting domainname", &[]);
    /// Entering a cgroup; the index is that of the v1 hierarchy.
    EnterCgroup: Whole(|fault, object| match fault.errno {
        Errno::ESRCH if object.is_exec => Error::not_running(),
        // The caller knows whether the container has ended with its cgroup.
        Errno::ENODEV if object.is_exec => Error::new("the container's cgroup is gone"),
        _ => fault.answered(&format!("entering cgroup hierarchy {}", fault.index), &[]),
    });
    /// Making the cgroup namespace.
    CgroupNamespace: Fixed("making the cgroup namespace", &[]);
    /// A createContainer hook; the detail says what happened.
    CreateContainerHook: Whole(|fault, _| failed_hook("createContainer", fault));
    /// Making the pseudo-terminal.
    Terminal: Fixed("making the terminal (process.terminal)", &[
        (Errno::ENOSPC, "kernel.pty.max is reached, or the devpts mount's option max"),
        (Errno::ENOENT, "/dev/pts has to be a mount of type devpts with the option newinstance"),
        (Errno::EIO, "/dev/pts has to be a mount of type devpts with the option newinstance"),
        (Errno::EACCES, "the devpts mount's options mode, ptmxmode and gid keep the user out"),
    ]);
    /// Sending the pseudo-terminal's master over the console socket.
    ConsoleSocket: Fixed("sending the terminal over the console socket", &[]);
    /// Giving stdio to the user; the index is the descriptor's number.
    Stdio: Formatted(|fault, _| format!("giving descriptor {} to process.user", fault.index), &[]);
    /// Replacing stdio descriptors that are the null device.
    NullStdio: Fixed("binding /dev/null for stdin, stdout and stderr", &[]);
    /// Entering `process.cwd`.
    WorkingDirectory: Formatted(
        |_, object| format!("chdir to cwd (\"{}\") set in config.json failed", c_text(object.cwd)),
        &[
            (Errno::ENOENT, "make it in the image, or name another by process.cwd or --cwd"),
            (Errno::ENOTDIR, "a component of process.cwd is a file: name a directory"),
            (Errno::EACCES, "process.user may not enter it: chmod or chown it, or name another"),
            (Errno::ELOOP, "a link of it leads to itself: name another"),
            (Errno::EROFS, "the root is read-only: make it in the image"),
        ],
    );
    /// The working directory is outside the container.
    WorkingDirectoryOutside: Formatted(
        |_, object| format!(
            "process.cwd {}: current working directory is outside of container mount namespace root \
             -- possible container breakout detected",
            c_text(object.cwd)
        ),
        &[],
    );
    /// `process.scheduler`.
    Scheduler: Fixed("setting process.scheduler", &[
        (Errno::EINVAL, "SCHED_FIFO and SCHED_RR take a priority of 1 to 99, all others 0; \
            SCHED_DEADLINE takes 1024 ns <= runtime <= deadline <= period; nice is -20 to 19"),
        (Errno::EPERM, "it needs CAP_SYS_NICE, or a limit RLIMIT_RTPRIO or RLIMIT_NICE that allows it; \
            real time also cpu.rt_runtime_us of a v1 cgroup"),
        (Errno::EBUSY, "the deadlines of all processes would take more than the CPUs have"),
    ]);
    /// `process.ioPriority`.
    IoPriority: Fixed("setting process.ioPriority", &[
        (Errno::EPERM, "IOPRIO_CLASS_RT needs CAP_SYS_NICE or CAP_SYS_ADMIN"),
        (Errno::EINVAL, "a priority is 0 to 7; IOPRIO_CLASS_IDLE has none"),
    ]);
    /// `linux.memoryPolicy`.
    MemoryPolicy: Fixed("setting linux.memoryPolicy", &[
        (Errno::EINVAL, "invalid memory policy: the nodes must be there and in \
            linux.resources.cpu.mems, and the kernel must know the mode"),
        (Errno::ENOSYS, "the kernel is built without NUMA"),
    ]);
    /// `linux.personality`.
    Personality: Fixed("setting linux.personality", &[
        (Errno::EINVAL, "this machine has no such domain"),
    ]);
    /// `process.rlimits`; the index is into that list.
    Rlimit: Formatted(|fault, _| format!("setting process.rlimits[{}]", fault.index), &[
        (Errno::EPERM, "raising a hard limit needs CAP_SYS_RESOURCE, and RLIMIT_NOFILE is at most \
            fs.nr_open: take what rind itself has, `ulimit -H -a`"),
    ]);
    /// `process.apparmorProfile` or `process.selinuxLabel`.
    Label: Whole(refused_label);
    /// Dropping a capability from the bounding set; the index is the capability.
    Bounding: Formatted(
        |fault, _| format!("dropping {} from the bounding set", capability(fault)),
        &[],
    );
    /// Setting the capability sets.
    Capabilities: Fixed("setting process.capabilities", &[]);
    /// Raising an ambient capability; the index is the capability.
    Ambient: Formatted(
        |fault, _| format!("can't raise ambient capability {}", capability(fault)),
        &[],
    );
    /// Setting user and groups.
    User: Formatted(|fault, _| format!("setting {}", user_part(fault)), &[
        (Errno::EINVAL, "it is not mapped in the user namespace: see linux.uidMappings and \
            linux.gidMappings"),
        (Errno::EPERM, "a user who maps one id has no additional groups: leave them out, or map \
            subordinate ids (/etc/subgid)"),
        (Errno::EAGAIN, "the user's limit on processes is reached: RLIMIT_NPROC"),
    ]);
    /// Setting `no_new_privs`.
    NoNewPrivileges: Fixed("setting process.noNewPrivileges", &[]);
    /// Installing the seccomp filter.
    Seccomp: Fixed("installing the linux.seccomp filter", &[
        (Errno::EINVAL, "the kernel has no such flag or action, or a seccomp profile around rind forbids \
            a filter: leave linux.seccomp.flags and SCMP_ACT_NOTIFY out"),
        (Errno::EBUSY, "a filter with a listener is there already: one process has one at most"),
        (Errno::EACCES, "it takes noNewPrivileges or CAP_SYS_ADMIN"),
        (Errno::ENOMEM, "too many filters are nested: leave out linux.seccomp in an inner container"),
        (Errno::ENOSYS, "the kernel is built without seccomp filters"),
    ]);
    /// `process.args[0]` was not found in PATH.
    ProgramNotInPath: Whole(|fault, object| of_program(fault, object, |zero, _| {
        format!("exec: \"{zero}\": executable file not found in $PATH")
    }).with_hint(Some("name it by its path, install it in the image, or set PATH in process.env")));
    /// `process.args[0]` can't be executed.
    Program: Whole(|fault, object| of_program(fault, object, |zero, answer| match fault.errno {
        Errno::EACCES => format!("exec: \"{zero}\": permission denied"),
        // execve(2) answers EACCES, which is all that callers of older runtimes know.
        Errno::EISDIR => format!("exec: \"{zero}\": is a directory: permission denied"),
        _ => format!("exec: \"{zero}\": stat {zero}: {answer}"),
    }));
    /// A startContainer hook; the detail says what happened.
    StartContainerHook: Whole(|fault, _| failed_hook("startContainer", fault));
    /// Giving up, or writing down, what `--timing` has noted.
    Timing: Fixed("noting how long init takes (--timing)", &[]);
    /// Waiting at the exec fifo.
    ExecFifo: Fixed("waiting on the exec fifo", &[]);
    /// The execve itself.
    Exec: Whole(|fault, object| of_program(fault, object, |zero, answer| {
        format!("exec {zero}: {answer}")
    }));
}

/// Why the kernel forbids namespaces (`EPERM`), as far as looking at rind itself tells; a user namespace
/// `may_be` among them. If it can't be told, a seccomp profile around rind may be the reason.
fn forbidden(errno: Errno, may_be: bool) -> Option<&'static str> {
    if errno != Errno::EPERM {
        return None;
    }
    let may = credentials::capget().is_ok_and(|sets| sets.effective & CAP_SYS_ADMIN != 0);
    match (may, may_be, is_chrooted()) {
        (_, true, true) => Some(
            "in a chroot the kernel makes no user namespace: run rind outside, or change to the root by \
             pivot_root",
        ),
        (true, ..) => None,
        (false, true, false) if is_user_namespace_closed() => Some(
            "users may make no user namespaces here: see user.max_user_namespaces, \
             kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns",
        ),
        (false, ..) => Some(
            "making namespaces needs CAP_SYS_ADMIN: a user other than root needs a user namespace too, as \
             `rind spec --rootless` writes it",
        ),
    }
}

/// Whether rind is in a chroot: its root is no mount, or another than that of the first process, which has
/// the same mounts.
fn is_chrooted() -> bool {
    let is_mount = sys::fs::mount_facts_at(AT_FDCWD, c"/").is_ok_and(|root| root.is_root);
    let node = |path: &str| stat(path).map(|found| (found.st_dev, found.st_ino));
    let is_same = |one, two| node(one).is_ok_and(|node_of_one| node(two) == Ok(node_of_one));
    let is_elsewhere = node("/proc/1/root/.").is_ok() && !is_same("/proc/1/root/.", "/");
    !is_mount || is_same("/proc/1/ns/mnt", "/proc/self/ns/mnt") && is_elsewhere
}

/// Whether a setting of the host keeps users from making user namespaces.
fn is_user_namespace_closed() -> bool {
    let is = |path: &str, value: &str| {
        std::fs::read_to_string(path).is_ok_and(|content| content.trim() == value)
    };
    is("/proc/sys/user/max_user_namespaces", "0")
        || is("/proc/sys/kernel/unprivileged_userns_clone", "0")
        || is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
}

const CAP_SYS_ADMIN: u64 = 1 << 21;

fn refused_label(fault: &Fault, object: &Object) -> Error {
    let Some(Label { module, name, .. }) = object.label else {
        return fault.answered("setting the security label", &[]);
    };
    let remedies: Remedies = match module {
        Module::AppArmor => &[
            (Errno::ENOENT, "no such profile is loaded: apparmor_parser -r FILE loads one"),
            (Errno::EACCES, "the profile that rind itself is in has no such change_profile rule"),
        ],
        Module::Selinux => &[
            (Errno::EINVAL, "the loaded policy has no such label"),
            (Errno::EACCES, "the policy has to allow rind's own label setexec and setkeycreate"),
        ],
    };
    let property = module.property();
    fault.answered(&format!("setting {property} {name}"), remedies).with_object(property)
}

fn failed_hook(kind: &str, fault: &Fault) -> Error {
    let detail = String::from_utf8_lossy(&fault.detail);
    let object = format!("hooks.{kind}[{}]", fault.index);
    let error = Error::new(format!("error running {kind} hook #{}", fault.index));
    error.because(detail).with_object(object)
}

fn capability(fault: &Fault) -> String {
    number_name(u8::try_from(fault.index).unwrap_or(u8::MAX))
}

/// Why the program can't be executed, in the words that callers know from runc.
fn of_program(fault: &Fault, object: &Object, text: impl Fn(&str, &str) -> String) -> Error {
    let answer = sys::errno_text(fault.errno);
    let Some(program) = object.program else {
        let hint = Some("the config has no `process`: add process.args and process.cwd");
        return Error::new(answer).of(fault.errno).with_object("process").with_hint(hint);
    };
    let zero = program.to_string_lossy();
    let error = Error::new(text(&zero, &answer)).with_object(zero).of(fault.errno);
    if let Some(Refusal { cause, remedy }) = Refusal::from_detail(&fault.detail) {
        return error.because(cause).with_hint(Some(remedy));
    }
    error.with_hint(match fault.errno {
        Errno::ENOENT => Some("install it in the image, or name another by process.args"),
        Errno::EISDIR => Some("name a program in it"),
        Errno::EACCES => {
            Some("process.user may not execute it, or not reach it: chmod +x, or chown")
        }
        Errno::E2BIG => Some(
            "process.args and process.env have a text of more than 128 KiB, or too \
            many: a quarter of the stack's limit (RLIMIT_STACK) for all",
        ),
        Errno::ELOOP => Some("links lead to each other"),
        Errno::ENOMEM => Some("the limit on memory is too low: linux.resources.memory.limit"),
        Errno::ETXTBSY => Some("somebody has it open for writing"),
        Errno::EAGAIN => Some("the user's limit on processes is reached: RLIMIT_NPROC"),
        _ => None,
    })
}

/// The parts of `process.user` in a failure of [`Stage::User`]; 0 is all of it.
pub(crate) const GROUPS: usize = 1;
pub(crate) const GROUP: usize = 2;
pub(crate) const UID: usize = 3;

/// The part of `process.user`, by the fault's index.
fn user_part(fault: &Fault) -> &'static str {
    match usize::try_from(fault.index) {
        Ok(GROUPS) => "process.user.additionalGids",
        Ok(GROUP) => "process.user.gid",
        Ok(UID) => "process.user.uid",
        _ => "process.user",
    }
}

fn c_text(path: Option<&CStr>) -> String {
    path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The first number of the steps of the root file system on the wire.
const ROOTFS: u32 = 1 << 16;

impl Stage {
    /// The number of the stage on the wire.
    #[must_use]
    pub fn to_wire(self) -> u32 {
        if let Self::Rootfs(step) = self {
            return ROOTFS | u32::from(step as u16);
        }
        let row = Self::ALL.iter().position(|stage| *stage == self);
        row.and_then(|row| u32::try_from(row).ok()).unwrap_or_default()
    }

    /// The stage with this number on the wire.
    #[must_use]
    pub fn from_wire(number: u32) -> Option<Self> {
        if number & ROOTFS != 0 {
            let step = u16::try_from(number & !ROOTFS).ok()?;
            return Step::try_from(step).ok().map(Self::Rootfs);
        }
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// A failure in the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which stage failed.
    pub stage: Stage,
    /// The index into the stage's list, if it has one.
    pub index: u32,
    /// The kernel's answer.
    pub errno: Errno,
    /// A text that only the child has: the kernel's log of a mount, the output of a hook.
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

    /// The error: the stage, its object, the kernel's answer, a remedy.
    #[must_use]
    pub(crate) fn to_error(&self, object: &Object) -> Error {
        match self.stage.description() {
            Whole(error) => error(self, object),
            Fixed(step, remedies) => self.answered(step, remedies),
            Formatted(step, remedies) => self.answered(&step(self, object), remedies),
        }
    }

    fn answered(&self, step: &str, remedies: Remedies) -> Error {
        let remedy = remedies.iter().find(|(errno, _)| *errno == self.errno);
        let error = Error::call(step, self.errno).with_hint(remedy.map(|(_, remedy)| *remedy));
        match self.property() {
            Some(property) => error.with_object(property),
            None => error,
        }
    }

    /// The property of the config that the stage carries out, if it is one alone.
    fn property(&self) -> Option<String> {
        let index = self.index;
        let name = match self.stage {
            Stage::JoinNamespace => return Some(format!("linux.namespaces[{index}]")),
            Stage::Rlimit => return Some(format!("process.rlimits[{index}]")),
            Stage::MakeNamespaces | Stage::UserNamespace => "linux.namespaces",
            Stage::TimeNamespace => "linux.timeOffsets",
            Stage::MappedRoot => "linux.uidMappings",
            Stage::Affinity => "process.execCPUAffinity",
            Stage::OomScore => "process.oomScoreAdj",
            Stage::Descriptors => "--preserve-fds",
            Stage::Hostname => "hostname",
            Stage::Domainname => "domainname",
            Stage::Terminal => "process.terminal",
            Stage::ConsoleSocket => "--console-socket",
            Stage::WorkingDirectory => "process.cwd",
            Stage::Scheduler => "process.scheduler",
            Stage::IoPriority => "process.ioPriority",
            Stage::MemoryPolicy => "linux.memoryPolicy",
            Stage::Personality => "linux.personality",
            Stage::Capabilities => "process.capabilities",
            Stage::User => user_part(self),
            Stage::NoNewPrivileges => "process.noNewPrivileges",
            Stage::Seccomp => "linux.seccomp",
            _ => return None,
        };
        Some(name.to_owned())
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

/// Names the stage of a failed system call.
pub(crate) trait During<T> {
    /// The same result, with the error as a fault of `stage`.
    fn during(self, stage: Stage) -> Result<T, Fault>;
}

impl<T> During<T> for sys::Result<T> {
    fn during(self, stage: Stage) -> Result<T, Fault> {
        self.map_err(|errno| Fault::new(stage, errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_survives_the_wire() {
        for stage in Stage::ALL {
            assert_eq!(Stage::from_wire(stage.to_wire()), Some(*stage));
        }
        assert_eq!(Stage::from_wire(9999), None);
    }

    #[test]
    fn refused_label_names_its_property_and_a_remedy() {
        let named = |module| Label { module, name: "x".to_owned(), text: String::new() };
        let [apparmor, selinux] = [Module::AppArmor, Module::Selinux].map(named);
        for (label, errno, words) in [
            (
                &apparmor,
                Errno::ENOENT,
                "setting process.apparmorProfile x: no such file or directory (no such profile is \
                 loaded: apparmor_parser -r FILE loads one)",
            ),
            (
                &selinux,
                Errno::EINVAL,
                "setting process.selinuxLabel x: invalid argument (the loaded policy has no such \
                 label)",
            ),
        ] {
            let object = Object { program: None, cwd: None, is_exec: false, label: Some(label) };
            assert_eq!(Fault::new(Stage::Label, errno).to_error(&object).to_string(), words);
        }
    }

    #[test]
    fn words_name_the_object_the_answer_and_a_remedy() {
        let init = Object { program: Some(c"/x"), cwd: Some(c"/y"), is_exec: false, label: None };
        let exec = Object { is_exec: true, ..init };
        for (stage, errno, object, words) in [
            (
                Stage::Keyring,
                Errno::EPERM,
                &init,
                "joining a new session keyring: operation not permitted",
            ),
            (
                Stage::OomScore,
                Errno::EACCES,
                &init,
                "setting process.oomScoreAdj: permission denied (lowering it needs CAP_SYS_RESOURCE",
            ),
            (
                Stage::WorkingDirectory,
                Errno::ENOENT,
                &init,
                "chdir to cwd (\"/y\") set in config.json failed: no such file or directory",
            ),
            (
                Stage::Program,
                Errno::ENOENT,
                &init,
                "exec: \"/x\": stat /x: no such file or directory",
            ),
            (
                Stage::EnterCgroup,
                Errno::ENODEV,
                &init,
                "entering cgroup hierarchy 0: no such device",
            ),
            (Stage::EnterCgroup, Errno::ENODEV, &exec, "the container's cgroup is gone"),
            (
                Stage::Fork,
                Errno::EOPNOTSUPP,
                &exec,
                "forking in the container: operation not supported (its cgroup is threaded, or below such: see --cgroup)",
            ),
        ] {
            let error = Fault::new(stage, errno).to_error(object);
            assert!(error.to_string().starts_with(words), "{error}");
        }
    }
}
