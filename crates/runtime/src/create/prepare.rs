//! From the config to a plan: all that can be checked, opened or computed before there is a second
//! process. Nothing here changes the host, so that an error leaves nothing but the state directory.

use crate::container::annotations::{Requests, hook_output};
use crate::container::hooks::State;
use crate::container::record::{NEW_FIFO, Record};
use crate::create::cgroup::{cgroup_view, locate_cgroup};
use crate::create::host_side::HostSide;
use crate::create::options::{CreateOptions, Purpose};
use crate::create::validate;
use crate::foreground::terminal;
use crate::{Explain, Result, Runtime};
use oci_spec::runtime::Linux;
use process::{InitOptions, Namespaces, Plan, ProcessOptions};
use rootfs::{Context, Layout};
use spec::Bundle;
use state::Entry;
use std::os::fd::OwnedFd;
use sys::nix::sched::CloneFlags;
use timing::Step;

/// A container that is planned, and of which only the state directory is there.
pub(crate) struct Prepared {
    pub plan: Plan,
    pub record: Record,
    /// The end of the console socket that a foreground `run` reads the master from.
    pub console: Option<OwnedFd>,
    pub host_side: HostSide,
}

impl Prepared {
    /// Plans the container of `bundle`, whose state directory is `entry`; there is none if the container
    /// is only looked at. The first thing that can't
    /// be done is an error; what is left out is a warning.
    pub fn new(
        runtime: &Runtime,
        options: &CreateOptions,
        purpose: Purpose,
        bundle: &Bundle,
        entry: Option<&Entry>,
    ) -> Result<Self> {
        let spec = &bundle.spec;
        let none = Linux::default();
        let linux = spec.linux().as_ref().unwrap_or(&none);
        let mut namespaces = Namespaces::from_config(linux)?;
        validate::check_joined(spec, &namespaces)?;
        let (cgroup, systemd) = locate_cgroup(spec, options)?;
        timing::done(Step::FindCgroup);
        let record = Record::new(bundle, &namespaces, cgroup, options.no_new_keyring);
        let mut warnings = Vec::new();
        let mut requests = Requests::read(&record.annotations, &mut warnings)?;
        requests.set_clocks(&mut namespaces)?;
        let filter = requests.compile_filter(linux, &mut warnings)?;
        timing::done(Step::Compile);
        let host_side = HostSide::plan(spec, &options.id, &namespaces, systemd, &mut warnings)?;
        timing::done(Step::PlanHost);
        let forks_last = process::forks_last(&namespaces, rootfs::makes_procfs_of);
        let mut context = context(options, &namespaces, &record, &requests, forks_last)?;
        context.leaves_disks = purpose == Purpose::Check;
        let layout = Layout::plan(spec, &bundle.path, &bundle.rootfs, context)?;
        warnings.extend(layout.left_out());
        timing::done(Step::PlanRoot);
        let console_socket = options.console_socket.as_deref();
        let (console, ours) = terminal::plan(spec.process().as_ref(), console_socket)?;
        let process_options = ProcessOptions {
            by_root: record.owner == 0,
            filter,
            console,
            exec_fifo: entry
                .filter(|_| purpose == Purpose::Create)
                .map(|entry| entry.make_fifo(NEW_FIFO))
                .transpose()?,
            keyring: record.keyring(&options.id),
            preserve_fds: options.preserve_fds,
            listen_fds: options.listen_fds,
            keep_groups: requests.keep_groups,
        };
        let init = InitOptions {
            layout,
            namespaces,
            forks_last,
            hook_state: hook_state(&record, &options.id),
            hook_output: match spec.hooks() {
                // Opening the files would make them.
                Some(_) if purpose != Purpose::Check => hook_output(&record.annotations)?,
                _ => process::hooks::Output::default(),
            },
        };
        let plan = Plan::new(spec, init, process_options, &mut warnings)?;
        runtime.warn_all(&warnings);
        timing::done(Step::PlanProcess);
        Ok(Self { plan, record, console: ours, host_side })
    }
}

/// What hooks that init runs get on stdin: a function of the pid and the current status.
fn hook_state(record: &Record, id: &str) -> process::HookState {
    let state = record.hook_state(id, 0, "");
    Box::new(move |pid, status| State { pid, status: status.to_owned(), ..state.clone() }.to_json())
}

/// What the root file system's layout depends on besides the config.
fn context(
    options: &CreateOptions,
    namespaces: &Namespaces,
    record: &Record,
    requests: &Requests,
    forks_last: bool,
) -> Result<Context> {
    let pid_namespace = namespaces.joined(CloneFlags::CLONE_NEWPID).filter(|_| forks_last);
    let pid_namespace = pid_namespace.map(|one| one.file.try_clone()).transpose();
    let is_host_cgroup = namespaces
        .joined(CloneFlags::CLONE_NEWCGROUP)
        .map(validate::is_host_namespace)
        .transpose()?;
    Ok(Context {
        pid_namespace: pid_namespace.within("keeping the pid namespace open")?,
        cgroup: cgroup_view(&record.cgroup),
        mount_namespace: namespaces.has(CloneFlags::CLONE_NEWNS),
        user_namespace: namespaces.has(CloneFlags::CLONE_NEWUSER),
        nested: namespaces
            .joined(CloneFlags::CLONE_NEWNS)
            .map(|_| sys::process::in_user_namespace()),
        foreign_mounts: namespaces.owner_of_joined_mounts()?.is_some(),
        cgroup_namespace: namespaces.new_cgroup || is_host_cgroup == Some(false),
        no_pivot: options.no_pivot,
        privileged: record.owner == 0,
        mount_context: requests.mount_context,
        leaves_disks: false,
    })
}
