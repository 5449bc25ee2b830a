//! The stages of a container's init in the child, from the fork to the execve. Where init joins a
//! pid namespace, the intermediate process runs all of them but the last.
//!
//! A failure leaves the child as a [`Fault`] of numbers, and the child allocates little. It must
//! format nothing but what hooks need: the state with the pid, and the output of a failed hook.

mod park;

use crate::apply::{self, ApplyContext, Reporter};
use crate::console;
use crate::fault::{During, Fault, Stage};
use crate::identity::become_root;
use crate::message::{self, Kind, announce, expect};
use crate::plan::Plan;
use crate::{hooks, mounts, program};
use rootfs::Built;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::fs::LeakyFd;
use sys::nix::sched::{CloneFlags, unshare};
use sys::nix::sys::stat::{Mode, umask};
use sys::nix::unistd::{fchdir, getpid, sethostname};
use sys::{Errno, process};
use timing::{Side, Step};

/// Runs the stages of init; never returns.
pub(crate) fn run(plan: &mut Plan, channel: &OwnedFd) -> ! {
    apply::run_stages(plan, channel, stages)
}

fn stages(
    plan: &mut Plan,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    let joins_pids = plan.init.namespaces.joined(CloneFlags::CLONE_NEWPID).is_some();
    if joins_pids && !plan.spec.forks_last {
        // Others in that namespace see it from its birth.
        timing::leave().during(Stage::Timing)?;
    } else {
        timing::enter(Side::Container);
    }
    enter(plan, channel)?;
    receive_sources(plan, channel)?;
    let umask = umask(Mode::empty());
    let built = make_root(plan, channel, umask)?;
    if plan.spec.is_parked {
        // The parked init goes on.
        announce(channel, Kind::Made, 0)?;
        process::exit_now(0);
    }
    let context = ApplyContext { root: built.root(), makes_cwd: true, umask };
    apply::apply_process(&mut plan.spec, &context)?;
    timing::done(Step::Identity);
    drop(built);
    apply::fork_last(&mut plan.spec, channel)?;
    apply::find_last(&mut plan.spec)?;
    exec_program(plan, channel, reporter)
}

/// The last stages of init, once it has applied `process`.
pub(crate) fn exec_program(
    plan: &Plan,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    let hooks = &plan.hooks.start;
    let run = || run_hooks(plan, hooks, Stage::StartContainerHook, getpid().as_raw());
    let run: Option<&dyn Fn() -> _> = if hooks.is_empty() { None } else { Some(&run) };
    apply::exec_program(&plan.spec, run, channel, reporter)
}

/// The stages in the new namespaces that look at no file of the container.
fn enter(plan: &mut Plan, channel: BorrowedFd) -> Result<(), Fault> {
    guard_stdio(plan)?;
    let namespaces = &plan.init.namespaces;
    if namespaces.new_user() {
        // The parent sets the OOM score before it sends this.
        expect(channel, Kind::Mapped)?;
        timing::done(Step::AwaitMap);
        become_root(plan.spec.options.keep_groups)?;
    } else {
        apply::adjust_oom_score(&mut plan.spec)?;
    }
    if !plan.spec.options.by_root || namespaces.has(CloneFlags::CLONE_NEWUSER) {
        // A user's process was dumpable until the user had written its mappings, and a change of
        // user may have made the process dumpable.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    if !plan.spec.forks_last {
        apply::start_session()?;
    }
    apply::join_keyring(&plan.spec)?;
    timing::done(Step::Session);
    if namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
        sys::net::loopback_up().during(Stage::Loopback)?;
        timing::done(Step::Loopback);
    }
    if let Some(name) = &plan.hostname {
        sethostname(name).during(Stage::Hostname)?;
    }
    if let Some(name) = &plan.domainname {
        process::set_domainname(name).during(Stage::Domainname)?;
    }
    timing::done(Step::Names);
    Ok(())
}

/// [`apply::guard_stdio`], unless rind makes a null device for the container: that one replaces the
/// host's later.
pub(crate) fn guard_stdio(plan: &mut Plan) -> Result<(), Fault> {
    if plan.init.layout.makes_null() { Ok(()) } else { apply::guard_stdio(&mut plan.spec) }
}

/// Makes the root file system and changes to it. Hooks run with the umask `callers`.
fn make_root(plan: &mut Plan, channel: BorrowedFd, callers: Mode) -> Result<Built, Fault> {
    let mut built = plan.init.layout.build(&mut || enter_cgroup(plan, channel))?;
    if plan.has_early_hooks() {
        let pid = if plan.spec.is_parked {
            park::park(plan, &built, channel, callers)?
        } else {
            getpid().as_raw()
        };
        announce(channel, Kind::Hooks, 0)?;
        expect(channel, Kind::Continue)?;
        timing::done(Step::AwaitHooks);
        if !plan.hooks.create.is_empty() {
            let ours = umask(callers);
            // Hooks find files of the container by paths relative to its root, as with runc. The
            // specification says nothing of their working directory.
            fchdir(built.root()).during(Stage::CreateContainerHook)?;
            run_hooks(plan, &plan.hooks.create, Stage::CreateContainerHook, pid)?;
            umask(ours);
        }
    }
    let program = plan.spec.program.as_ref().filter(|_| plan.spec.is_parked);
    if let Some(program) = program.filter(|program| !program.is_its_own()) {
        // The parked init has become `process.user` by now, and may not make it.
        rootfs::make_directories(built.root(), &program.cwd).during(Stage::WorkingDirectory)?;
    }
    let layout = &plan.init.layout;
    layout.pivot(&built)?;
    timing::done(Step::Pivot);
    if let Some(console) = plan.spec.options.console.as_ref().filter(|_| !plan.spec.is_parked) {
        let slave = console::open_pty(console, built.root(), &plan.spec.identity)?;
        layout.bind_console(&built, slave.as_fd())?;
        console::make_stdio(&slave)?;
        if !plan.spec.forks_last {
            console::make_controlling()?;
        }
        timing::done(Step::Console);
    }
    layout.finish(&mut built)?;
    Ok(built)
}

/// Receives the mounts that the layout awaits; on request, sends the parent its mount namespace and
/// root.
fn receive_sources(plan: &mut Plan, channel: BorrowedFd) -> Result<(), Fault> {
    let layout = &mut plan.init.layout;
    while layout.awaits_sources() {
        let message = expect(channel, Kind::Sources)?;
        if usize::try_from(message.index) != Ok(message.descriptors.len()) {
            // The kernel drops descriptors that exceed RLIMIT_NOFILE.
            return Err(Errno::EMFILE).during(Stage::Channel);
        }
        if message.index == 0 {
            let own = mounts::own().during(Stage::Channel)?;
            let own = own.each_ref().map(AsFd::as_fd);
            message::send(channel, Kind::Sources, 0, &own).during(Stage::Channel)?;
        }
        layout.take_sources(message.descriptors);
        timing::done(Step::AwaitSources);
    }
    Ok(())
}

/// Waits until the parent has made the cgroups, then enters them.
fn enter_cgroup(plan: &Plan, channel: BorrowedFd) -> Result<(), Fault> {
    let go = expect(channel, Kind::Go)?;
    timing::done(Step::AwaitGo);
    apply::enter_cgroups(go.descriptors.into_iter().map(LeakyFd::from))?;
    if plan.init.namespaces.new_cgroup {
        unshare(CloneFlags::CLONE_NEWCGROUP).during(Stage::CgroupNamespace)?;
    }
    apply::reset_affinity()?;
    timing::done(Step::EnterCgroups);
    Ok(())
}

/// Runs hooks in the container's namespaces.
fn run_hooks(
    plan: &Plan,
    list: &[oci_spec::runtime::Hook],
    stage: Stage,
    pid: i32,
) -> Result<(), Fault> {
    let create = stage == Stage::CreateContainerHook;
    let step = if create { Step::CreateContainer } else { Step::StartContainer };
    let environment = plan.spec.program.as_ref().map(program::Program::environment_text);
    let quoted = hooks::Output::default();
    for (index, hook) in list.iter().enumerate() {
        let state = (plan.init.hook_state)(pid, "created");
        let context = hooks::HookContext {
            state: &state,
            // The current directory is the container's root, before or after the change of root.
            directory: None,
            // The image's environment must not influence a program of the host's.
            environment: if create { &[] } else { environment.as_deref().unwrap_or_default() },
            // A program of the container's must not get a file of the host's.
            output: if create { &plan.init.hook_output } else { &quoted },
            on_host: false,
            until: None,
        };
        let ran = hooks::run(hook, &context);
        timing::done_at(step, index);
        ran.map_err(|failure| Fault {
            detail: failure.to_string().into_bytes(),
            ..Fault::at(stage, index, Errno::ECANCELED)
        })?;
    }
    Ok(())
}
