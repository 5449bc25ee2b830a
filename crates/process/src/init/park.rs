//! A parked init: an init that waits while its root is made. A container needs one if it joins a
//! pid namespace, whose processes see init, and has hooks that read init's pid before the change of
//! root.
//!
//! Init must exist by then, and must show nothing of the host's. So the builder, which makes the
//! root, forks a process that applies `process` and then forks init; the container's root is the
//! root of both. The builder then runs the hooks, changes the root of the mount namespace, and
//! ends. Then init goes on.

use crate::apply::{self, ApplyContext, Reporter};
use crate::console;
use crate::fault::{During, Fault, Stage};
use crate::message::{self, Kind};
use crate::plan::Plan;
use crate::process_spec::{ProcessPlan, ProcessSpec};
use rootfs::Built;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::Errno;
use sys::nix::sched::CloneFlags;
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{chdir, chroot, fchdir};
use sys::process::{self, Fork};

/// In the builder: has init forked; returns init's pid in its own pid namespace.
pub(crate) fn park(
    plan: &mut Plan,
    built: &Built,
    channel: BorrowedFd,
    umask: Mode,
) -> Result<i32, Fault> {
    let terminal = match &plan.spec.options.console {
        None => None,
        Some(console) => {
            let slave = console::open_pty(console, built.root(), &plan.spec.identity)?;
            plan.init.layout.bind_console(built, slave.as_fd())?;
            Some(slave)
        }
    };
    let parking = plan.parking.take().ok_or(Errno::EBADF).during(Stage::Channel)?;
    match process::fork(CloneFlags::CLONE_PARENT, None).during(Stage::Fork)? {
        Fork::Child => {
            let mut init = Parked { plan, root: built.root(), terminal, umask };
            apply::run_stages(&mut init, &parking, stages)
        }
        Fork::Parent { pid, .. } => {
            // With this end open, the parent could not notice that the process was killed.
            drop(parking);
            message::announce(channel, Kind::Parked, pid.cast_unsigned())?;
            // Hooks run in all of the container's namespaces.
            plan.init.namespaces.join_pids()?;
            Ok(message::expect(channel, Kind::Continue)?.index.cast_signed())
        }
    }
}

/// What the process that forks init, and then init, work with.
struct Parked<'a> {
    plan: &'a mut Plan,
    root: BorrowedFd<'a>,
    terminal: Option<OwnedFd>,
    umask: Mode,
}

impl ProcessPlan for Parked<'_> {
    fn spec(&self) -> &ProcessSpec {
        self.plan.spec()
    }

    fn fault_error(&self, fault: &Fault) -> sys::Error {
        self.plan.fault_error(fault)
    }
}

fn stages(
    init: &mut Parked,
    channel: BorrowedFd,
    reporter: &mut Reporter,
) -> Result<Infallible, Fault> {
    // Others can see init from its birth.
    timing::leave().during(Stage::Timing)?;
    let enter = || fchdir(init.root).and_then(|()| chroot(".")).and_then(|()| chdir("/"));
    enter().during(Stage::EnterRoot)?;
    if let Some(terminal) = &init.terminal {
        console::make_stdio(terminal)?;
    }
    let context = ApplyContext { root: init.root, makes_cwd: false, umask: init.umask };
    // Must come before the process gives up its privileges.
    init.plan.init.namespaces.join_pids()?;
    apply::apply_process(&mut init.plan.spec, &context)?;
    apply::fork_last(&mut init.plan.spec, channel)?;
    // The parent sends this when the builder has ended.
    message::wait(channel)?;
    apply::find_last(&mut init.plan.spec)?;
    super::exec_program(init.plan, channel, reporter)
}
