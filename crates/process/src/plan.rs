//! All that is known of a container's init before the fork, in the form that its stages use.

use crate::Error;
use crate::fault::{Fault, Stage};
use crate::hooks::Output;
use crate::namespaces::Namespaces;
use crate::process_spec::{ProcessOptions, ProcessPlan, ProcessSpec};
use crate::procfs::Procfs;
use oci_spec::runtime::{Hook, Hooks, Spec};
use rootfs::{CgroupView, Layout};
use std::fmt;
use std::os::fd::OwnedFd;
use sys::nix::sched::CloneFlags;

/// Gives the state that a container's hook is told: of a pid, in a status.
pub type HookState = Box<dyn Fn(i32, &str) -> Vec<u8>>;

/// What a plan is made from, beside the config.
pub struct InitOptions {
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
    namespaces.joined(CloneFlags::CLONE_NEWPID).is_some_and(|pids| makes_procfs(&pids.file))
}

impl fmt::Debug for InitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitOptions").finish_non_exhaustive()
    }
}

/// An init to be: read by the parent that renders its faults, carried out by the child.
#[derive(Debug)]
pub struct Plan {
    pub(crate) init: InitOptions,
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
        init: InitOptions,
        options: ProcessOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let (process, linux) = (config.process().as_ref(), config.linux().as_ref());
        let user_namespace = init.namespaces.has(CloneFlags::CLONE_NEWUSER);
        let hooks = |list: fn(&Hooks) -> &Option<Vec<Hook>>| {
            config.hooks().as_ref().and_then(|hooks| list(hooks).as_deref()).unwrap_or_default()
        };
        let has_runtime_hooks =
            !hooks(Hooks::prestart).is_empty() || !hooks(Hooks::create_runtime).is_empty();
        let hooks = ContainerHooks {
            create: hooks(Hooks::create_container).to_vec(),
            start: hooks(Hooks::start_container).to_vec(),
        };
        let mut spec = ProcessSpec::new(process, linux, options, user_namespace, warnings)?;
        let offsets = init.namespaces.new_time.as_ref().filter(|offsets| !offsets.is_empty());
        if offsets.is_some() && spec.procfs.is_none() {
            spec.procfs = Some(Procfs::open()?);
        }
        spec.forks_last = init.forks_last;
        spec.runs_hooks = !hooks.start.is_empty();
        spec.is_parked = spec.forks_last && (has_runtime_hooks || !hooks.create.is_empty());
        Ok(Self {
            spec,
            hostname: config.hostname().clone().filter(|name| !name.is_empty()),
            domainname: config.domainname().clone().filter(|name| !name.is_empty()),
            hooks,
            has_runtime_hooks,
            parking: None,
            init,
        })
    }

    /// Has cgroup mounts show what was made, where that is elsewhere than was planned.
    pub fn show_cgroups(&mut self, view: CgroupView) {
        self.init.layout.show_cgroups(view);
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
}

impl ProcessPlan for Plan {
    fn spec(&self) -> &ProcessSpec {
        &self.spec
    }

    fn fault_error(&self, fault: &Fault) -> Error {
        let Stage::Rootfs(step) = fault.stage else { return fault.to_error(&self.spec.object()) };
        self.init.layout.fault_error(&rootfs::Fault {
            step,
            index: fault.index,
            errno: fault.errno,
            detail: (!fault.detail.is_empty()).then(|| fault.detail.clone()),
        })
    }
}
