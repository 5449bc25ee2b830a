//! All that is known of a container's init before the fork, in the form that its stages use.

use crate::Error;
use crate::fault::{Fault, Stage};
use crate::hooks::Output;
use crate::namespaces::Namespaces;
use crate::process_spec::{ProcessOptions, ProcessPlan, ProcessSpec};
use crate::procfs::Procfs;
use oci_spec::runtime::{Hook, Spec};
use rootfs::{CgroupView, Layout};
use seccomp::Filter;
use std::fmt;
use std::os::fd::OwnedFd;
use sys::nix::sched::CloneFlags;

/// Gives the state that a container's hook is told: of a pid, in a status.
pub type HookState = Box<dyn Fn(i32, &str) -> Vec<u8>>;

/// What a plan is made from, beside the config.
pub struct InitInputs {
    /// What the container sees below its root.
    pub layout: Layout,
    /// What it makes and joins.
    pub namespaces: Namespaces,
    /// What its hooks are told.
    pub hook_state: HookState,
    /// Where the output of createContainer hooks goes.
    pub hook_output: Output,
    /// Whether init is forked only when nothing that is the host's is left of it.
    pub forks_last: bool,
}

/// Whether init is forked only when nothing that is the host's is left of it: where it comes into a pid
/// namespace in which others see it. The kernel must be able to make its procfs without it, which
/// `makes_procfs` asks.
#[must_use]
pub fn forks_last(namespaces: &Namespaces, makes_procfs: impl FnOnce(&OwnedFd) -> bool) -> bool {
    let mut joined = namespaces.joined.iter();
    let pids = joined.find(|one| one.kind == CloneFlags::CLONE_NEWPID);
    pids.is_some_and(|pids| makes_procfs(&pids.file))
}

impl fmt::Debug for InitInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitInputs").finish_non_exhaustive()
    }
}

/// An init to be: read by the parent that renders its faults, carried out by the child.
#[derive(Debug)]
pub struct Plan {
    pub(crate) inputs: InitInputs,
    pub(crate) spec: ProcessSpec,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) hooks: ContainerHooks,
    /// Whether the host's side has something to run before the change of root.
    pub(crate) has_runtime_hooks: bool,
    /// Where an init that is parked talks to its parent.
    pub(crate) parking: Option<OwnedFd>,
}

/// The hooks that run in the container's namespaces.
#[derive(Debug, Default)]
pub(crate) struct ContainerHooks {
    pub create: Vec<Hook>,
    pub start: Vec<Hook>,
}

impl Plan {
    /// Makes the plan of a container's init. Warnings are added to `warnings`.
    pub fn new(
        config: &Spec,
        inputs: InitInputs,
        options: ProcessOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let (process, linux) = (config.process().as_ref(), config.linux().as_ref());
        let user_namespace = inputs.namespaces.has(CloneFlags::CLONE_NEWUSER);
        let hooks = config.hooks().as_ref();
        let list = |hooks: Option<&Vec<Hook>>| hooks.cloned().unwrap_or_default();
        let has = |hooks: Option<&Vec<Hook>>| hooks.is_some_and(|hooks| !hooks.is_empty());
        let has_runtime_hooks = has(hooks.and_then(|h| h.prestart().as_ref()))
            || has(hooks.and_then(|h| h.create_runtime().as_ref()));
        let mut spec = ProcessSpec::new(process, linux, options, user_namespace, warnings)?;
        let offsets = inputs.namespaces.new_time.as_ref().filter(|offsets| !offsets.is_empty());
        if offsets.is_some() && spec.procfs.is_none() {
            spec.procfs = Some(Procfs::open()?);
        }
        spec.forks_last = inputs.forks_last;
        spec.runs_hooks = has(hooks.and_then(|h| h.start_container().as_ref()));
        spec.is_parked = spec.forks_last
            && (has_runtime_hooks || has(hooks.and_then(|h| h.create_container().as_ref())));
        Ok(Self {
            spec,
            hostname: config.hostname().clone().filter(|name| !name.is_empty()),
            domainname: config.domainname().clone().filter(|name| !name.is_empty()),
            hooks: ContainerHooks {
                create: list(hooks.and_then(|h| h.create_container().as_ref())),
                start: list(hooks.and_then(|h| h.start_container().as_ref())),
            },
            has_runtime_hooks,
            parking: None,
            inputs,
        })
    }

    /// Has cgroup mounts show what was made, where that is elsewhere than was planned.
    pub fn show_cgroups(&mut self, view: CgroupView) {
        self.inputs.layout.show_cgroups(view);
    }

    /// Whether something is to run before the change of root, which is told init's pid.
    #[must_use]
    pub fn has_early_hooks(&self) -> bool {
        self.has_runtime_hooks || !self.hooks.create.is_empty()
    }

    /// Whether something is to run in the container just before its program.
    #[must_use]
    pub fn has_start_hooks(&self) -> bool {
        !self.hooks.start.is_empty()
    }

    /// Whether init is there, and waits, while another process goes on with its root: see
    /// [`park`](crate::init).
    pub(crate) fn parks(&self) -> bool {
        self.spec.is_parked
    }

    /// Who is to get the listener of its seccomp filter.
    #[must_use]
    pub fn listener(&self) -> Option<&seccomp::Listener> {
        self.spec.options.filter.as_ref().and_then(Filter::listener)
    }
}

impl ProcessPlan for Plan {
    fn spec(&self) -> &ProcessSpec {
        &self.spec
    }

    fn fault_error(&self, fault: &Fault) -> Error {
        let Stage::Rootfs(step) = fault.stage else { return fault.to_error(&self.spec.object()) };
        self.inputs.layout.fault_error(&rootfs::Fault {
            step,
            index: fault.index,
            errno: fault.errno,
            detail: (!fault.detail.is_empty()).then(|| fault.detail.clone()),
        })
    }
}
