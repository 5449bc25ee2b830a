//! The stages of a container's init, in the child: from the clone to the execve.
//!
//! Nothing is formatted and little is allocated here; a failure leaves as a [`Fault`].

use crate::fault::{During, Fault, Stage};
use crate::message::{self, Kind, Message};
use crate::plan::Plan;
use crate::{console, hooks, identity, program};
use rootfs::Built;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::fs::{CloseRange, Scratch};
use sys::nix::sched::{CloneFlags, unshare};
use sys::nix::sys::resource::setrlimit;
use sys::nix::sys::signal::SigSet;
use sys::nix::sys::stat::{Mode, umask};
use sys::nix::unistd::{getpid, sethostname, setsid};
use sys::{Errno, process, schedule};

/// The exit status of an init that could not run its program.
const NOT_RUN: i32 = 255;

/// Carries the plan out; does not come back.
pub(crate) fn run(plan: &mut Plan, channel: &OwnedFd) -> ! {
    // The program gets nothing of what our caller, or we, have blocked.
    // It only fails for arguments that make no sense.
    let _ = SigSet::empty().thread_set_mask();
    let mut reporter = Reporter::Parent;
    let Err(fault) = stages(plan, channel.as_fd(), &mut reporter);
    match (reporter, &plan.inputs.exec_fifo) {
        (Reporter::Starter, Some(fifo)) => {
            // Whoever would read it may be gone, and then nobody is there to tell.
            let _ = sys::fs::write_once(fifo, plan.describe(&fault).as_bytes());
        }
        _ => {
            // A parent that is gone needs no telling.
            let _ = message::report(channel.as_fd(), &fault);
        }
    }
    process::exit_now(NOT_RUN)
}

/// Who is told of a failure.
enum Reporter {
    /// The parent, over the channel.
    Parent,
    /// The `start` that wrote to the exec fifo; the parent is gone.
    Starter,
}

fn stages(
    plan: &mut Plan,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    enter(plan, channel)?;
    let mask = umask(Mode::empty());
    let built = make_root(plan, channel)?;
    if let Some(program) = plan.program.as_mut() {
        program.add_home(built.root(), plan.identity.uid);
    }
    settle(plan, &built, plan.identity.umask.unwrap_or(mask))?;
    let program = plan.program.as_mut();
    program.map_or(Ok(()), program::Program::find)?;
    drop(built);
    launch(plan, channel, reporter)
}

/// What a process does in fresh namespaces before it looks at any file.
fn enter(plan: &Plan, channel: BorrowedFd) -> Result<(), Fault> {
    if let Some(score) = &plan.oom_score {
        // Still in the host's mounts, where /proc is the host's.
        sys::fs::write_file(c"/proc/self/oom_score_adj", score.as_bytes())
            .during(Stage::OomScore)?;
    }
    let namespaces = &plan.inputs.namespaces;
    if namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
        expect(channel, Kind::Mapped)?;
        become_root()?;
    }
    // Not before: then only root could write the mappings.
    process::set_dumpable(false).during(Stage::Session)?;
    setsid().map(drop).during(Stage::Session)?;
    if let Some(name) = &plan.inputs.keyring {
        match sys::keyring::join_session(name) {
            Err(Errno::ENOSYS) => {}
            joined => joined.during(Stage::Keyring)?,
        }
    }
    if namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
        sys::net::loopback_up().during(Stage::Loopback)?;
    }
    if let Some(name) = &plan.hostname {
        sethostname(name).during(Stage::Hostname)?;
    }
    if let Some(name) = &plan.domainname {
        process::set_domainname(name).during(Stage::Domainname)?;
    }
    Ok(())
}

/// Becomes root of a user namespace, whose mappings are written.
pub(crate) fn become_root() -> Result<(), Fault> {
    sys::credentials::set_group(0).during(Stage::MappedRoot)?;
    sys::credentials::set_user(0).during(Stage::MappedRoot)?;
    match sys::credentials::set_groups(&[]) {
        // Denied for an unprivileged caller's mapping: user_namespaces(7).
        Err(Errno::EPERM) => Ok(()),
        set => set.during(Stage::MappedRoot),
    }
}

/// Makes what the container sees, and changes to it.
fn make_root(plan: &Plan, channel: BorrowedFd) -> Result<Built, Fault> {
    let layout = &plan.inputs.layout;
    let built = layout.build(&mut || enter_cgroup(plan, channel))?;
    if plan.has_runtime_hooks || !plan.hooks.create.is_empty() {
        tell(channel, Kind::Hooks)?;
        expect(channel, Kind::Continue)?;
        run_hooks(plan, &plan.hooks.create, Stage::CreateContainerHook)?;
    }
    layout.pivot(&built)?;
    if let Some(console) = &plan.inputs.console {
        let slave = console::make(console, built.root(), &plan.identity)?;
        layout.bind_console(&built, slave.as_fd())?;
        console::take(&slave)?;
    }
    layout.finish(&built)?;
    Ok(built)
}

/// Waits until the parent has made the cgroups, and enters them.
///
/// Writing "0" to a v1 `tasks` file moves the writing thread alone, which spares the wait for an
/// RCU grace period that a write of a pid to `cgroup.procs` costs. A v2 cgroup we were born in.
fn enter_cgroup(plan: &Plan, channel: BorrowedFd) -> Result<(), Fault> {
    let go = expect(channel, Kind::Go)?;
    for (index, tasks) in go.descriptors.into_iter().map(Scratch::from).enumerate() {
        let entered = sys::fs::write_once(&tasks, b"0");
        entered.map_err(|errno| Fault::at(Stage::EnterCgroup, index, errno))?;
    }
    if plan.inputs.namespaces.new_cgroup {
        unshare(CloneFlags::CLONE_NEWCGROUP).during(Stage::CgroupNamespace)?;
    }
    match schedule::reset_affinity() {
        // A policy such as SCHED_DEADLINE fixes the affinity; then it is the caller's wish.
        Err(Errno::EPERM | Errno::EBUSY | Errno::EINVAL) | Ok(()) => Ok(()),
        reset => reset.during(Stage::EnterCgroup),
    }
}

/// All that is set on the process itself, from what needs the most privileges to what needs none.
fn settle(plan: &Plan, built: &Built, mask: Mode) -> Result<(), Fault> {
    if let Some(attributes) = &plan.scheduler {
        schedule::set(attributes).during(Stage::Scheduler)?;
    }
    if let Some((class, priority)) = plan.io_priority {
        schedule::set_io_priority(class, priority).during(Stage::IoPriority)?;
    }
    if let Some(policy) = &plan.memory_policy {
        // In the container's own cgroup, as its cpuset bounds the nodes.
        let set = schedule::set_memory_policy(policy.mode, &policy.nodes);
        set.during(Stage::MemoryPolicy)?;
    }
    for (index, limit) in plan.rlimits.iter().enumerate() {
        let set = setrlimit(limit.resource, limit.soft, limit.hard);
        set.map_err(|errno| Fault::at(Stage::Rlimit, index, errno))?;
    }
    if let Some(label) = &plan.label {
        let file = format!("{}/{}", getpid(), label.file);
        let file = built.open_proc(&file).during(Stage::Label)?;
        sys::fs::write_once(file, label.value.as_bytes()).during(Stage::Label)?;
    }
    identity::own_stdio(&plan.identity, stdio().each_ref().map(AsFd::as_fd))?;
    umask(mask);
    let directory = plan.program.as_ref().map(|program| program.cwd.as_c_str());
    let entered = directory.map_or(Ok(()), |cwd| program::enter_directory(cwd, built.root()));
    identity::assume(plan)?;
    match (entered, directory) {
        // A directory that root may not enter, over NFS say, may be the user's own.
        (Err(fault), Some(cwd)) if fault.errno == Errno::EACCES => {
            sys::nix::unistd::chdir(cwd).during(Stage::WorkingDirectory)?;
            program::check_directory()?;
        }
        (entered, _) => entered?,
    }
    if let Some(domain) = plan.personality {
        process::set_personality(domain).during(Stage::Personality)?;
    }
    Ok(())
}

fn stdio() -> [BorrowedFd<'static>; 3] {
    process::stdio()
}

/// Waits for `start` where there is one, and executes the program.
///
/// Once the filter is in there are only read, write and execve: whatever else one did here, a
/// profile could forbid.
fn launch(
    plan: &mut Plan,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    // Also what belongs to the parent alone, such as its lock on the state.
    let first = plan.inputs.preserve_fds.saturating_add(3).cast_signed();
    sys::fs::keep_over_exec(3, first - 1).during(Stage::Descriptors)?;
    close_others(first, channel, plan.inputs.exec_fifo.as_ref()).during(Stage::Descriptors)?;
    // A listener has to be handed over while the parent is there; else hooks go before the filter,
    // which is the program's, not theirs.
    let listens = plan.inputs.filter.as_ref().is_some_and(|filter| filter.listener().is_some());
    let late_filter = !plan.hooks.start.is_empty() && !listens;
    if !late_filter {
        install_filter(plan, channel)?;
    }
    tell(channel, Kind::Ready)?;
    if let Some(fifo) = &plan.inputs.exec_fifo {
        *reporter = Reporter::Starter;
        wait_for_start(fifo)?;
    }
    run_hooks(plan, &plan.hooks.start, Stage::StartContainerHook)?;
    if late_filter {
        install_filter(plan, channel)?;
    }
    match &plan.program {
        Some(program) => Err(program.execute()),
        None => Err(Fault::new(Stage::Exec, Errno::ENOEXEC)),
    }
}

/// Installs the filter, and hands its listener over where it has one.
fn install_filter(plan: &Plan, channel: BorrowedFd) -> Result<(), Fault> {
    let Some(listener) = identity::install_filter(plan)? else { return Ok(()) };
    let number = listener.as_raw_fd().cast_unsigned();
    message::announce(channel, Kind::Listener, number).during(Stage::Channel)?;
    if !message::wait(channel).during(Stage::Channel)? {
        process::exit_now(NOT_RUN);
    }
    // Closing it takes a call that the filter may forbid; it is close-on-exec.
    std::mem::forget(listener);
    Ok(())
}

/// Closes every descriptor from `first` on but the two that are still needed: an init that waits
/// has nothing of the host's open. Whoever owned the others does not come to use them again.
fn close_others(first: i32, channel: BorrowedFd, fifo: Option<&OwnedFd>) -> sys::Result<()> {
    let fifo = fifo.map_or(channel.as_raw_fd(), AsRawFd::as_raw_fd);
    let channel = channel.as_raw_fd();
    let mut next = first;
    for kept in [channel.min(fifo), channel.max(fifo)] {
        if kept > next {
            sys::fs::close_run(next, kept - 1)?;
        }
        next = next.max(kept + 1);
    }
    sys::fs::close_from(next, CloseRange::Close)
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

/// Runs hooks in the container's namespaces.
fn run_hooks(plan: &Plan, list: &[oci_spec::runtime::Hook], stage: Stage) -> Result<(), Fault> {
    if list.is_empty() {
        return Ok(());
    }
    let pid = getpid().as_raw();
    let create = stage == Stage::CreateContainerHook;
    let environment = plan.program.as_ref().map(program::Program::environment_text);
    for (index, hook) in list.iter().enumerate() {
        let state = (plan.inputs.hook_state)(pid, "created");
        let surroundings = hooks::Surroundings {
            state: &state,
            // A startContainer hook is in the container, which has no bundle directory.
            directory: create.then_some(plan.inputs.bundle.as_path()),
            // What the image sets must not steer a program whose path is the host's.
            environment: if create { &[] } else { environment.as_deref().unwrap_or_default() },
        };
        hooks::run(hook, &surroundings).map_err(|failure| Fault {
            detail: failure.to_string().into_bytes(),
            ..Fault::at(stage, index, Errno::ECANCELED)
        })?;
    }
    Ok(())
}

fn tell(channel: BorrowedFd, kind: Kind) -> Result<(), Fault> {
    message::announce(channel, kind, 0).during(Stage::Channel)
}

/// Receives the one message that may come now. A closed channel means that the parent is gone.
pub(crate) fn expect(channel: BorrowedFd, kind: Kind) -> Result<Message, Fault> {
    match message::receive(channel).during(Stage::Channel)? {
        Some(message) if message.kind == kind => Ok(message),
        Some(_) => Err(Fault::new(Stage::Channel, Errno::EPROTO)),
        None => process::exit_now(NOT_RUN),
    }
}
