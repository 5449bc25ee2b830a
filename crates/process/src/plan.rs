//! The plan of a container's init, made before the fork, in the form that the stages of init use. A
//! stage must not have to read the config.

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

/// Returns the state that a hook reads on stdin, as JSON, for a pid and a status (runtime-spec,
/// runtime.md, State).
pub type HookState = Box<dyn Fn(i32, &str) -> Vec<u8>>;

/// What the plan of an init needs beside the config.
pub struct InitOptions {
    /// The plan of the container's root file system.
    pub layout: Layout,
    /// The namespaces that init makes and joins.
    pub namespaces: Namespaces,
    /// Makes the state for hooks.
    pub hook_state: HookState,
    /// The destination of the output of createContainer hooks.
    pub hook_output: Output,
    /// Whether init is forked last, with nothing of the host's left in it ([`forks_last`]).
    pub forks_last: bool,
}

/// Whether init is forked last, when nothing of the host's is left in it: where init joins a pid
/// namespace, whose processes see it. The kernel must then make the procfs of that namespace from
/// outside; `makes_procfs` says whether it can.
#[must_use]
pub fn forks_last(namespaces: &Namespaces, makes_procfs: impl FnOnce(&OwnedFd) -> bool) -> bool {
    namespaces.joined(CloneFlags::CLONE_NEWPID).is_some_and(|pids| makes_procfs(&pids.file))
}

impl fmt::Debug for InitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitOptions").finish_non_exhaustive()
    }
}

/// The plan of an init. The child carries it out; the parent describes the child's faults by it.
#[derive(Debug)]
pub struct Plan {
    pub(crate) init: InitOptions,
    pub(crate) spec: ProcessSpec,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) hooks: ContainerHooks,
    /// Whether there are prestart or createRuntime hooks, which the host's side runs.
    pub(crate) has_runtime_hooks: bool,
    /// The channel of a parked init to its parent.
    pub(crate) parking: Option<OwnedFd>,
}

/// The hooks that run in the container's namespaces (runtime-spec, config.md, POSIX-platform
/// Hooks).
#[derive(Debug, Default)]
pub(crate) struct ContainerHooks {
    pub create: Vec<Hook>,
    pub start: Vec<Hook>,
}

impl Plan {
    /// Makes the plan of a container's init. Adds to `warnings` what the user should know.
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

    /// Has cgroup mounts show `view`: the cgroups may be elsewhere than planned.
    pub fn show_cgroups(&mut self, view: CgroupView) {
        self.init.layout.show_cgroups(view);
    }

    /// Whether hooks run before the change of root; they read init's pid.
    #[must_use]
    pub fn has_early_hooks(&self) -> bool {
        self.has_runtime_hooks || !self.hooks.create.is_empty()
    }

    /// Whether startContainer hooks run just before the program.
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
