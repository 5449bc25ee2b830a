//! What every new process applies to itself, a container's init or one of `exec`, in the child:
//! what `process` says, the last fork, the wait for `start`, and the execve.
//!
//! A failure leaves as a [`Fault`], in numbers, and little is allocated. The child formats only what
//! nobody else can know: its own pid for `LISTEN_PID`, and the failure itself once the parent is
//! gone. No step here may undo the confinement of an earlier one.

use crate::fault::{During, Fault, Stage};
use crate::message::{self, Kind, NOT_RUN};
use crate::process_spec::{ProcessPlan, ProcessSpec};
use crate::{console, identity, program, stdio};
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::nix::sys::resource::setrlimit;
use sys::nix::sys::signal::{SigSet, Signal};
use sys::nix::sys::stat::{Mode, umask};
use sys::nix::unistd::setsid;
use sys::{Errno, process, schedule};

/// Who is told of a failure.
pub(crate) enum Reporter {
    /// The parent, over the channel.
    Parent,
    /// Whoever wrote to the exec fifo; the parent is gone.
    Starter,
}

/// Carries `stages` of `plan` out; does not come back.
pub(crate) fn run_stages<T: ProcessPlan>(
    plan: &mut T,
    channel: &OwnedFd,
    stages: fn(&mut T, BorrowedFd, &mut Reporter) -> Result<Infallible, Fault>,
) -> ! {
    // The program gets nothing of what our caller, or we, have blocked, or our caller ignores.
    // It only fails for arguments that make no sense.
    let _ = SigSet::empty().thread_set_mask();
    sys::exec::default_signals(plan.spec().ignored_signals);
    let mut reporter = Reporter::Parent;
    let Err(fault) = stages(plan, channel.as_fd(), &mut reporter);
    match (reporter, &plan.spec().options.exec_fifo) {
        (Reporter::Starter, Some(fifo)) => {
            // Whoever would read it may be gone, and then nobody is there to tell.
            let _ = sys::fs::write_once(fifo, plan.fault_error(&fault).to_string().as_bytes());
        }
        _ => {
            // A parent that is gone needs no telling.
            let _ = message::report(channel.as_fd(), &fault);
        }
    }
    process::exit_now(NOT_RUN)
}

/// Has no descriptor of the program's be the host's null device with a way to change it. While paths
/// still are the host's, and once.
pub(crate) fn guard_stdio(spec: &mut ProcessSpec) -> Result<(), Fault> {
    if spec.options.console.is_none() && spec.stdio.is_none() {
        spec.stdio = Some(stdio::guard()?);
    }
    Ok(())
}

/// Adjusts how soon the OOM killer takes this process, and those that it forks. Before a user
/// namespace is joined, as lowering it takes a privilege on the host; and once, as what is forked has
/// it, and may not set it any more.
pub(crate) fn adjust_oom_score(spec: &mut ProcessSpec) -> Result<(), Fault> {
    match spec.oom_score.take() {
        Some(score) => write_own(spec, "self/oom_score_adj", &score).during(Stage::OomScore),
        None => Ok(()),
    }
}

/// Writes to a file of the host's procfs, below `self`.
fn write_own(spec: &ProcessSpec, path: &str, text: &str) -> sys::Result<()> {
    spec.procfs.as_ref().ok_or(Errno::ENOENT)?.write(path, text.as_bytes())
}

/// Enters cgroups by their v1 `tasks` files; a v2 one we were born in.
///
/// Writing "0" to such a file moves the writing thread alone, which spares the wait for an RCU
/// grace period that a write of a pid to `cgroup.procs` costs.
pub(crate) fn enter_cgroups(files: impl Iterator<Item = impl AsFd>) -> Result<(), Fault> {
    for (index, tasks) in files.enumerate() {
        let entered = sys::fs::write_once(&tasks, b"0");
        entered.map_err(|errno| Fault::at(Stage::EnterCgroup, index, errno))?;
    }
    Ok(())
}

/// Lets the process run on every CPU of its cgroup, wherever its maker was bound to.
pub(crate) fn reset_affinity() -> Result<(), Fault> {
    match schedule::reset_affinity() {
        // A policy such as SCHED_DEADLINE fixes the affinity; then it is the caller's wish.
        Err(Errno::EPERM | Errno::EBUSY | Errno::EINVAL) | Ok(()) => Ok(()),
        reset => reset.during(Stage::EnterCgroup),
    }
}

/// Starts a session of the process's own.
pub(crate) fn start_session() -> Result<(), Fault> {
    setsid().map(drop).during(Stage::Session)
}

/// Joins the container's session keyring, which has nothing to do with sessions of processes.
pub(crate) fn join_keyring(spec: &ProcessSpec) -> Result<(), Fault> {
    if let Some(name) = &spec.options.keyring {
        match sys::keyring::join_session(name) {
            Err(Errno::ENOSYS) => {}
            joined => joined.during(Stage::Keyring)?,
        }
    }
    Ok(())
}

/// What [`apply_process`] depends on beside the process.
pub(crate) struct ApplyContext<'a> {
    /// The container's root directory.
    pub root: BorrowedFd<'a>,
    /// Whether a working directory that is missing is made.
    pub makes_cwd: bool,
    /// The umask, where `process.user` has none.
    pub umask: Mode,
}

/// All that is set on the process itself, from what needs the most privileges to what needs none;
/// then the program is looked for, as the user who will run it.
pub(crate) fn apply_process(spec: &mut ProcessSpec, context: &ApplyContext) -> Result<(), Fault> {
    if let Some(program) = spec.program.as_mut() {
        program.add_home(context.root, spec.identity.uid.number());
        if !spec.forks_last {
            program.add_listen_pid();
        }
    }
    set_attributes(spec)?;
    raise_limits(spec)?;
    if let Some(label) = &spec.label {
        write_own(spec, label.path, &label.value).during(Stage::Label)?;
    }
    if spec.options.console.is_none() {
        stdio::take_own_null(&mut spec.stdio, context.root)?;
    }
    stdio::give(spec.stdio.as_ref(), spec.identity.uid)?;
    umask(spec.identity.umask.unwrap_or(context.umask));
    let here = spec.program.as_ref().filter(|_| !spec.finds_last());
    let directory = here.map(|program| program.cwd.as_c_str());
    let below = context.makes_cwd.then_some(context.root);
    let entered = directory.map_or(Ok(()), |cwd| program::enter_directory(cwd, below));
    identity::assume(spec)?;
    match (entered, directory) {
        // A directory that root may not enter, over NFS say, may be the user's own.
        (Err(fault), Some(cwd)) if fault.errno == Errno::EACCES => {
            sys::nix::unistd::chdir(cwd).during(Stage::WorkingDirectory)?;
            program::check_directory()?;
        }
        (entered, _) => entered?,
    }
    if let Some(domain) = spec.personality {
        process::set_personality(domain).during(Stage::Personality)?;
    }
    let finds_last = spec.finds_last();
    spec.program.as_mut().filter(|_| !finds_last).map_or(Ok(()), program::Program::find)
}

/// Scheduling and memory policy, in the container's own cgroup, as its cpuset bounds them.
fn set_attributes(spec: &ProcessSpec) -> Result<(), Fault> {
    // What the last fork would lose is set by the parent after it.
    let kept = || !spec.forks_last || spec.scheduler_lost_by_fork().is_none();
    if let Some(attributes) = spec.scheduler.as_ref().filter(|_| kept()) {
        schedule::set(0, attributes).during(Stage::Scheduler)?;
    }
    if let Some((class, priority)) = spec.io_priority {
        schedule::set_io_priority(class, priority).during(Stage::IoPriority)?;
    }
    if let Some(policy) = &spec.memory_policy {
        let set = schedule::set_memory_policy(policy.mode, &policy.nodes);
        set.during(Stage::MemoryPolicy)?;
    }
    Ok(())
}

/// Raises the hard limits that have to be, while that is allowed. The limits themselves come last:
/// what is left to do must not be subject to them.
fn raise_limits(spec: &ProcessSpec) -> Result<(), Fault> {
    for (index, limit) in spec.rlimits.iter().enumerate() {
        limit.raise_hard().map_err(|errno| Fault::at(Stage::Rlimit, index, errno))?;
    }
    Ok(())
}

fn set_limits(spec: &ProcessSpec) -> Result<(), Fault> {
    for (index, limit) in spec.rlimits.iter().enumerate() {
        let set = setrlimit(limit.resource, limit.soft, limit.hard);
        set.map_err(|errno| Fault::at(Stage::Rlimit, index, errno))?;
    }
    Ok(())
}

/// Forks once more where the pid namespace is one in which others see the process; goes on in what
/// is forked, as a child of our own parent.
///
/// Until here the pid namespace was only that of our children. What comes to sight there is what the
/// program will be: its user, its capabilities, its root, its descriptors, and its filter, if that
/// allows the rest of the way.
pub(crate) fn fork_last(spec: &mut ProcessSpec, channel: BorrowedFd) -> Result<(), Fault> {
    if !spec.forks_last {
        return Ok(());
    }
    strip(spec, channel)?;
    if spec.filters_before_fork() {
        install_filter(spec, channel)?;
        spec.has_filter = true;
    }
    let pid = process::go_on_in_sibling().during(Stage::Fork)?;
    message::announce(channel, Kind::Born, pid.cast_unsigned())?;
    if let Some(program) = &mut spec.program {
        program.add_listen_pid();
    }
    start_session()?;
    if spec.options.console.is_some() {
        console::make_controlling()?;
    }
    spec.scheduler_lost_by_fork().map_or(Ok(()), |_| message::wait(channel))
}

/// Finds the working directory and the program where that had to wait.
pub(crate) fn find_last(spec: &mut ProcessSpec) -> Result<(), Fault> {
    if !spec.finds_last() {
        return Ok(());
    }
    let Some(program) = &mut spec.program else { return Ok(()) };
    program::enter_directory(&program.cwd, None)?;
    program.find()
}

/// Lets go of all that is the host's: descriptors, also what belongs to the parent alone, such as
/// its lock on the state, and the caller's environment.
fn strip(spec: &ProcessSpec, channel: BorrowedFd) -> Result<(), Fault> {
    let fifo = spec.options.exec_fifo.as_ref().map_or(channel, AsFd::as_fd);
    sys::fs::strip(spec.options.preserve_fds, &[channel, fifo]).during(Stage::Descriptors)?;
    sys::exec::wipe_environment();
    Ok(())
}

/// What ends an init that waits for `start`; runc's ends of the same.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// Waits for the exec fifo where there is one, and executes the program, after `hooks` where there
/// are any.
///
/// Once the filter is in there are only read, write and execve: whatever else one did here, a
/// profile could forbid.
pub(crate) fn exec_program(
    spec: &ProcessSpec,
    hooks: Option<&dyn Fn() -> Result<(), Fault>>,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    if !spec.forks_last {
        strip(spec, channel)?;
    }
    let options = &spec.options;
    if options.exec_fifo.is_some() {
        // Who stops it from outside, as systemd does, needn't know that it has not been started.
        process::end_of(&ENDING).during(Stage::ExecFifo)?;
    }
    // A listener has to be handed over while the parent is there; else hooks go before the filter,
    // which is the program's, not theirs.
    let listens = options.filter.as_ref().is_some_and(|filter| filter.listener().is_some());
    let late_filter = hooks.is_some() && !listens && !spec.has_filter;
    if !late_filter {
        set_limits(spec)?;
        if !spec.has_filter {
            install_filter(spec, channel)?;
        }
    }
    message::announce(channel, Kind::Ready, 0)?;
    if let Some(fifo) = &options.exec_fifo {
        *reporter = Reporter::Starter;
        wait_for_start(fifo)?;
    }
    hooks.map_or(Ok(()), |run| run())?;
    if late_filter {
        // They are the program's too.
        set_limits(spec)?;
        install_filter(spec, channel)?;
    }
    match &spec.program {
        Some(program) => Err(program.execute()),
        None => Err(Fault::new(Stage::Exec, Errno::ENOEXEC)),
    }
}

/// Installs the filter, and hands its listener over where it has one.
fn install_filter(spec: &ProcessSpec, channel: BorrowedFd) -> Result<(), Fault> {
    let Some(listener) = identity::install_filter(spec)? else { return Ok(()) };
    let number = listener.as_raw_fd().cast_unsigned();
    message::announce(channel, Kind::Listener, number)?;
    message::wait(channel)?;
    // Closing it takes a call that the filter may forbid; it is close-on-exec.
    std::mem::forget(listener);
    Ok(())
}

/// Reads the byte that `start` writes. We hold the fifo for writing too, so it never ends.
fn wait_for_start(fifo: &OwnedFd) -> Result<(), Fault> {
    let mut byte = [0];
    loop {
        match sys::nix::unistd::read(fifo, &mut byte) {
            Ok(1) => return Ok(()),
            Ok(_) => return Err(Fault::new(Stage::ExecFifo, Errno::EPIPE)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::new(Stage::ExecFifo, errno)),
        }
    }
}
