//! The intermediate process (runc's stage 1), in the child: it joins namespaces, makes those that
//! init can't be born in, and forks init as a child of its own parent. Where init is forked last,
//! it goes on through init's stages instead. It must not become visible to a container while it can
//! be traced.

use crate::fault::{During, Fault, Stage};
use crate::identity::become_root;
use crate::message::{self, Kind};
use crate::namespaces::{CLONE_NEWTIME, Joined};
use crate::plan::Plan;
use crate::{apply, init};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::nix::sched::{CloneFlags, unshare};
use sys::process::Fork;
use sys::{Errno, process};
use timing::{Side, Step};

/// Runs in the intermediate process: joins namespaces, prepares the time namespace, and forks init;
/// or makes the other namespaces itself and goes on as init.
pub(crate) fn run(plan: &mut Plan, channel: &OwnedFd) -> Result<(), Fault> {
    timing::enter(Side::Intermediate);
    init::guard_stdio(plan)?;
    apply::adjust_oom_score(&mut plan.spec)?;
    let by_root = plan.spec.options.by_root;
    if plan.init.namespaces.needs_intermediate() && !by_root {
        // A container is about to see this process. Otherwise a container sees only init, which
        // makes itself undumpable once the parent has written its mappings: earlier, the parent
        // couldn't.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    // The process that forks a parked init must not be visible in the pid namespace itself.
    let now =
        |namespace: &&Joined| !plan.spec.is_parked || namespace.kind != CloneFlags::CLONE_NEWPID;
    let joined: Vec<_> = plan.init.namespaces.joined.iter().filter(now).collect();
    join(&joined, plan.spec.options.keep_groups)?;
    timing::clock_may_differ();
    timing::done(Step::JoinNamespaces);
    if plan.spec.forks_last || plan.init.namespaces.new_time.is_some() {
        if plan.init.namespaces.new_user() {
            enter_user_namespace(plan, channel.as_fd())?;
        }
        if let Some(offsets) = plan.init.namespaces.new_time.take() {
            make_time_namespace(&offsets, channel.as_fd(), by_root)?;
        }
        // A change of user may have made the process dumpable, and a user's process was dumpable
        // until now.
        process::set_dumpable(false).during(Stage::Session)?;
    }
    let new = plan.init.namespaces.new;
    if plan.spec.forks_last {
        unshare(new).during(Stage::MakeNamespaces)?;
        timing::done(Step::MakeNamespaces);
        message::announce(channel.as_fd(), Kind::Here, 0)?;
        init::run(plan, channel)
    }
    match process::fork(new | CloneFlags::CLONE_PARENT, None).during(Stage::Fork)? {
        Fork::Child => init::run(plan, channel),
        Fork::Parent { pid, .. } => {
            timing::done(Step::Fork);
            message::announce(channel.as_fd(), Kind::Born, pid.cast_unsigned())
        }
    }
}

/// Makes the user namespace first: it owns the time namespace that this process makes then.
fn enter_user_namespace(plan: &mut Plan, channel: BorrowedFd) -> Result<(), Fault> {
    unshare(CloneFlags::CLONE_NEWUSER).during(Stage::UserNamespace)?;
    if !plan.spec.options.by_root {
        // Only root writes the mappings of an undumpable process.
        process::set_dumpable(true).during(Stage::Session)?;
    }
    timing::done(Step::MakeNamespaces);
    message::announce(channel, Kind::Map, 0)?;
    message::expect(channel, Kind::Mapped)?;
    timing::done(Step::AwaitMap);
    become_root(plan.spec.options.keep_groups)?;
    plan.init.namespaces.new.remove(CloneFlags::CLONE_NEWUSER);
    Ok(())
}

/// Makes the time namespace. The parent writes the offsets: the mounts, and so /proc, may be
/// another container's by now.
fn make_time_namespace(offsets: &str, channel: BorrowedFd, by_root: bool) -> Result<(), Fault> {
    unshare(CLONE_NEWTIME).during(Stage::TimeNamespace)?;
    if offsets.is_empty() {
        return Ok(());
    }
    if !by_root {
        // Only root writes the offsets of an undumpable process.
        process::set_dumpable(true).during(Stage::Session)?;
    }
    message::announce(channel, Kind::Clocks, 0)?;
    message::expect(channel, Kind::Mapped).map(drop)
}

/// Joins namespaces. Some may need rights that only the joined user namespace gives, so the process
/// tries those that fail before it again after it. The mount namespace comes last, as joining it
/// changes what paths mean.
fn join(joined: &[&Joined], keep_groups: bool) -> Result<(), Fault> {
    let find = |kind: CloneFlags| joined.iter().copied().find(|joined| joined.kind == kind);
    let (user, mount) = (find(CloneFlags::CLONE_NEWUSER), find(CloneFlags::CLONE_NEWNS));
    let last = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    let mut later = Vec::new();
    for namespace in joined.iter().copied().filter(|joined| !last.contains(joined.kind)) {
        match namespace.join() {
            Err(fault) if fault.errno == Errno::EPERM && user.is_some() => later.push(namespace),
            entered => entered?,
        }
    }
    if let Some(user) = user {
        user.join()?;
        become_root(keep_groups)?;
    }
    later.into_iter().chain(mount).try_for_each(Joined::join)
}
