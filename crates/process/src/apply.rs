//! The stages that every new process runs in the child, an init or a process of `exec`: applying
//! `process`, the last fork, the wait for `start`, and the execve. No stage may undo the
//! confinement of an earlier one.
//!
//! A failure leaves the child as a [`Fault`] of numbers, and the child allocates little. It formats
//! only what no other process knows: its pid for `LISTEN_PID`, and a failure once the parent is
//! gone.

use crate::fault::{During, Fault, Stage};
use crate::label::Module;
use crate::message::{self, Kind, NOT_RUN};
use crate::process_spec::{ProcessPlan, ProcessSpec};
use crate::program::Looking;
use crate::{console, identity, program, stdio, told};
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::nix::sys::resource::setrlimit;
use sys::nix::sys::signal::{SigSet, Signal};
use sys::nix::sys::stat::{Mode, umask};
use sys::nix::unistd::setsid;
use sys::{Errno, process, schedule};
use timing::{Side, Step};

/// Who gets the report of a failure.
pub(crate) enum Reporter {
    /// The parent, over the channel.
    Parent,
    /// The `start` that has written to the exec fifo; the parent is gone.
    Starter,
}

/// Runs `stages` with `plan`, reports their failure, and ends; never returns.
pub(crate) fn run_stages<T: ProcessPlan>(
    plan: &mut T,
    channel: &OwnedFd,
    stages: fn(&mut T, BorrowedFd, &mut Reporter) -> Result<Infallible, Fault>,
) -> ! {
    // The program inherits neither blocked nor ignored signals. The call fails only for invalid
    // arguments.
    let _ = SigSet::empty().thread_set_mask();
    sys::exec::default_signals(plan.spec().ignored_signals);
    let mut reporter = Reporter::Parent;
    let Err(fault) = stages(plan, channel.as_fd(), &mut reporter);
    match (reporter, &plan.spec().options.exec_fifo) {
        (Reporter::Starter, Some(fifo)) => {
            // The reader may be gone; then nobody is left to report to.
            let _ = sys::fs::write_once(fifo, &told::write(&plan.fault_error(&fault)));
        }
        _ => {
            // If the parent is gone, nobody is left to report to.
            let _ = message::report(channel.as_fd(), &fault);
        }
    }
    process::exit_now(NOT_RUN)
}

/// Replaces stdio descriptors of the host's null device, which the program could change through
/// them. Must run while paths are still the host's; a second call does nothing.
pub(crate) fn guard_stdio(spec: &mut ProcessSpec) -> Result<(), Fault> {
    if spec.options.console.is_none() && spec.stdio.is_none() {
        spec.stdio = Some(stdio::guard()?);
    }
    Ok(())
}

/// Sets `process.oomScoreAdj` of this process and those that it forks. Must run before the process
/// joins a user namespace, as lowering the score needs a privilege on the host. A second call does
/// nothing, as a forked process inherits the score and may not set it.
pub(crate) fn adjust_oom_score(spec: &mut ProcessSpec) -> Result<(), Fault> {
    match spec.oom_score.take() {
        Some(score) => write_own(spec, "self/oom_score_adj", &score).during(Stage::OomScore),
        None => Ok(()),
    }
}

/// Writes to a file of this process in the host's procfs; `path` begins with `self/`.
fn write_own(spec: &ProcessSpec, path: &str, text: &str) -> sys::Result<()> {
    spec.procfs.as_ref().ok_or(Errno::ENOENT)?.write(path, text.as_bytes())
}

/// Enters cgroups by their v1 `tasks` files; the process was born in its v2 cgroup.
///
/// Writing "0" to such a file moves only the writing thread. That avoids the wait for an RCU grace
/// period that a write of a pid to `cgroup.procs` costs.
pub(crate) fn enter_cgroups(files: impl Iterator<Item = impl AsFd>) -> Result<(), Fault> {
    for (index, tasks) in files.enumerate() {
        let entered = sys::fs::write_once(&tasks, b"0");
        entered.map_err(|errno| Fault::at(Stage::EnterCgroup, index, errno))?;
    }
    Ok(())
}

/// Lets the process run on every CPU of its cgroup, whatever CPUs its parent was bound to.
pub(crate) fn reset_affinity() -> Result<(), Fault> {
    match schedule::reset_affinity() {
        // A policy such as SCHED_DEADLINE, which the caller has chosen, fixes the affinity.
        Err(Errno::EPERM | Errno::EBUSY | Errno::EINVAL) | Ok(()) => Ok(()),
        reset => reset.during(Stage::EnterCgroup),
    }
}

/// Makes the process the leader of a new session (setsid(2)).
pub(crate) fn start_session() -> Result<(), Fault> {
    setsid().map(drop).during(Stage::Session)
}

/// Joins a new session keyring (session-keyring(7)), which has nothing to do with setsid(2). With
/// `SELinux`, the keyring has the label of the process, which could not use one with rind's.
pub(crate) fn join_keyring(spec: &ProcessSpec) -> Result<(), Fault> {
    let Some(name) = &spec.options.keyring else { return Ok(()) };
    let label = spec.label.as_ref().filter(|label| label.module == Module::Selinux);
    let of_new_keys = |text| write_own(spec, "self/attr/keycreate", text).during(Stage::Label);
    label.map_or(Ok(()), |label| of_new_keys(&label.text))?;
    match sys::keyring::join_session(name) {
        Err(Errno::ENOSYS) => {}
        joined => joined.during(Stage::Keyring)?,
    }
    label.map_or(Ok(()), |_| of_new_keys("\n"))
}

/// What [`apply_process`] depends on beside the process.
pub(crate) struct ApplyContext<'a> {
    /// The container's root directory.
    pub root: BorrowedFd<'a>,
    /// Whether to make a missing working directory.
    pub makes_cwd: bool,
    /// The umask, if `process.user` has none.
    pub umask: Mode,
}

/// Applies `process` to the calling process, from what needs the most privileges to what needs
/// none. Then looks for the program, as the user that runs it.
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
        write_own(spec, label.module.file(), &label.text).during(Stage::Label)?;
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
        // The user may enter a directory that root may not, such as its own on NFS.
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
    let looking = looking(spec, spec.has_filter);
    spec.program.as_mut().filter(|_| !finds_last).map_or(Ok(()), |program| program.find(looking))
}

/// Sets scheduling and memory policy. Must run in the container's cgroup, whose cpuset bounds them.
fn set_attributes(spec: &ProcessSpec) -> Result<(), Fault> {
    // The last fork loses some policies; the parent sets these after it.
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

/// Raises hard limits where necessary, while the process may. [`set_limits`] comes last: the stages
/// in between must not be subject to the limits.
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

/// Forks once more if other processes are in the pid namespace, and goes on in the forked process,
/// a sibling.
///
/// Until now, the process was outside that namespace. The forked process has everything that the
/// program will have: user, capabilities, root and descriptors; and the filter, if that allows the
/// remaining system calls.
pub(crate) fn fork_last(spec: &mut ProcessSpec, channel: BorrowedFd) -> Result<(), Fault> {
    if !spec.forks_last {
        return Ok(());
    }
    timing::leave().during(Stage::Timing)?;
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

/// Finds the working directory and the program if that had to wait for the last fork.
pub(crate) fn find_last(spec: &mut ProcessSpec) -> Result<(), Fault> {
    if !spec.finds_last() {
        return Ok(());
    }
    let looking = looking(spec, spec.has_filter);
    let Some(program) = &mut spec.program else { return Ok(()) };
    program::enter_directory(&program.cwd, None)?;
    program.find(looking)
}

/// Closes all of the host's descriptors, including the parent's, such as its lock on the state, and
/// wipes the caller's environment from memory.
fn strip(spec: &ProcessSpec, channel: BorrowedFd) -> Result<(), Fault> {
    let fifo = spec.options.exec_fifo.as_ref().map_or(channel, AsFd::as_fd);
    sys::fs::strip(spec.options.preserve_fds, &[channel, fifo]).during(Stage::Descriptors)?;
    sys::exec::wipe_environment();
    Ok(())
}

/// The signals that end an init which waits for `start`, as they end runc's.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// Waits at the exec fifo if there is one, runs `hooks` if there are any, and executes the program.
///
/// Once the filter is installed, this must make no system calls but read, write and execve: a
/// profile could forbid any other.
pub(crate) fn exec_program(
    spec: &ProcessSpec,
    hooks: Option<&dyn Fn() -> Result<(), Fault>>,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    if !spec.forks_last {
        strip(spec, channel)?;
        timing::done(Step::Strip);
    }
    let options = &spec.options;
    if options.exec_fifo.is_some() {
        // A manager such as systemd stops init by these signals, whether or not it has started.
        process::end_of(&ENDING).during(Stage::ExecFifo)?;
    }
    // The filter is for the program, not for the hooks. But a filter with a listener must come
    // first, as only the parent, which ends soon, can fetch the listener.
    let listens = options.filter.as_ref().is_some_and(|filter| filter.listener().is_some());
    let late_filter = hooks.is_some() && !listens && !spec.has_filter;
    if !late_filter || options.exec_fifo.is_some() {
        // The parent sees the rest: a filter may forbid to look at the clock.
        timing::leave().during(Stage::Timing)?;
    }
    if !late_filter {
        set_limits(spec)?;
        if !spec.has_filter {
            install_filter(spec, channel)?;
        }
    }
    message::announce(channel, Kind::Ready, 0)?;
    if let Some(fifo) = &options.exec_fifo {
        *reporter = Reporter::Starter;
        let byte = wait_for_start(fifo)?;
        if byte == START_TIMED && late_filter {
            timing::begin().during(Stage::Timing)?;
            timing::enter(Side::Container);
        }
    }
    let ran = hooks.map_or(Ok(()), |run| run());
    if let Some(fifo) = options.exec_fifo.as_ref().filter(|_| timing::is_on()) {
        let noted = timing::carry(Side::Container, PIPE_BUF);
        sys::fs::write_once(fifo, &noted).during(Stage::Timing)?;
    }
    timing::leave().during(Stage::Timing)?;
    ran?;
    if late_filter {
        // The limits are for the program too, not for the hooks.
        set_limits(spec)?;
        install_filter(spec, channel)?;
    }
    match &spec.program {
        Some(program) => Err(program.execute(looking(spec, true))),
        None => Err(Fault::new(Stage::Exec, Errno::ENOEXEC)),
    }
}

/// Whether a program's file may be looked at to explain a failure, with or without the filter.
fn looking(spec: &ProcessSpec, is_filtered: bool) -> Looking {
    match spec.options.filter.as_ref().filter(|_| is_filtered) {
        None => Looking::Free,
        Some(filter) if filter.only_refuses() => Looking::Filtered,
        Some(_) => Looking::Never,
    }
}

/// Installs the filter, and waits until the parent has fetched its listener, if it has one.
fn install_filter(spec: &ProcessSpec, channel: BorrowedFd) -> Result<(), Fault> {
    let Some(listener) = identity::install_filter(spec)? else { return Ok(()) };
    let number = listener.as_raw_fd().cast_unsigned();
    message::announce(channel, Kind::Listener, number)?;
    message::wait(channel)?;
    // The filter may forbid close(2); the descriptor is close-on-exec.
    std::mem::forget(listener);
    Ok(())
}

/// The byte that `start` writes; and the one by which it asks how long startContainer hooks take, which
/// init then writes to the fifo before it executes the program.
pub const START: u8 = b'0';
/// See [`START`].
pub const START_TIMED: u8 = b't';

/// How much a pipe takes at once, or not at all (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Reads the byte that `start` writes. The descriptor is open for writing too, so the fifo never
/// reads as ended.
fn wait_for_start(fifo: &OwnedFd) -> Result<u8, Fault> {
    let mut byte = [0];
    loop {
        match sys::nix::unistd::read(fifo, &mut byte) {
            Ok(1) => return Ok(u8::from_ne_bytes(byte)),
            Ok(_) => return Err(Fault::new(Stage::ExecFifo, Errno::EPIPE)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::new(Stage::ExecFifo, errno)),
        }
    }
}
