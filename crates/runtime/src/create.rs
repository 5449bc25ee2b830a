//! `create`, and the part of `run` that is the same: from a bundle to an init that waits.
//!
//! The order is what matters here. All that can be refused is refused before the fork; the record
//! of where the cgroups are is on disk before there are any, so that `delete --force` can clear
//! what a killed `create` left; init's identity is there as soon as init is. Any error undoes
//! every step taken.

use crate::annotations::{self, Requests, hook_output};
use crate::container::Container;
use crate::hooks::{State, run_create_hooks};
use crate::join::join;
use crate::record::{CONFIG, EXEC_FIFO, NEW_FIFO, PLANNED_CGROUPS, Record, USUAL_FILES, Updated};
use crate::terminal::{self, User};
use crate::{
    Error, Result, Runtime, delete, listener, network, notify, pidfile, rdt, run, validate,
};
use cgroups::{Cgroup, Systemd};
use oci_spec::runtime::{Hook, Linux, LinuxResources, Mount, Spec};
use process::{Child, Cradle, Event, Given, IdMap, Inputs, Namespaces, Plan};
use rootfs::{CgroupView, Context, ControllerView, Layout};
use seccomp::Filter;
use spec::Bundle;
use state::{Entry, Identity, Store};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use sys::Errno;
use sys::credentials::Id;
use sys::nix::mount::{MntFlags, umount2};
use sys::nix::sched::CloneFlags;
use sys::nix::unistd::geteuid;

/// What `create` and `run` are asked for.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// The container's name.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    /// A socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A socket that gets a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// Where init's pid is written.
    pub pid_file: Option<PathBuf>,
    /// Not to use `pivot_root(2)`.
    pub no_pivot: bool,
    /// To keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// How many of them, the first ones, are sockets to listen on (`sd_listen_fds(3)`).
    pub listen_fds: u32,
    /// Containers whose namespaces are joined, each as `KIND,...=ID`.
    pub join: Vec<String>,
    /// Who manages its cgroups.
    pub manager: CgroupManager,
    /// Whether missing permissions on cgroups are no error, and systemd is the user's.
    pub rootless: bool,
}

/// Who makes a container's cgroups and limits them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupManager {
    /// We, through their file system; but on a v2 host, for a user and a container without a
    /// `cgroupsPath`, the user's systemd if there is one, as it owns what the user may use.
    #[default]
    Fitting,
    /// We, through their file system.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: cgroups are left alone.
    Disabled,
}

impl CreateOptions {
    fn console_socket(&self) -> Option<&Path> {
        self.console_socket.as_deref()
    }
}

/// `create`: makes the container; its program waits for `start`.
pub fn create(runtime: &Runtime, options: &CreateOptions) -> Result<()> {
    let made = make(runtime, options, Purpose::Create)?;
    let entry = &made.container.entry;
    let locked = if made.plan.has_early_hooks() { entry.lock() } else { Ok(()) };
    let finished = locked.and_then(|()| entry.rename(NEW_FIFO, EXEC_FIFO)).map_err(Error::from);
    finished.and_then(|()| made.hand_out(options)).inspect_err(|_| made.undo(runtime))
}

/// What a container is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To wait for `start`, with whatever terminal the caller has a socket for.
    Create,
    /// To run at once, and be left alone.
    RunDetached,
    /// To run at once, with its terminal looked after here.
    RunForeground,
}

/// A container whose init is there.
#[derive(Debug)]
pub(crate) struct Made {
    pub container: Container,
    pub init: Child,
    pub plan: Plan,
    /// The end of the console socket that a foreground `run` reads the master from.
    pub console: Option<OwnedFd>,
    /// Where it tells `run` that it is ready, if somebody wants to know.
    pub listener: Option<notify::Listener>,
}

impl Made {
    /// Gives out what the caller asked for of the new init.
    pub fn hand_out(&self, options: &CreateOptions) -> Result<()> {
        let socket = match &options.pidfd_socket {
            Some(path) => Some((path.as_path(), "--pidfd-socket")),
            None => annotations::pidfd_receiver(&self.container.record.annotations)?,
        };
        if let Some((path, what)) = socket {
            listener::send(path, b"pidfd", &self.init.pidfd, what)?;
        }
        options.pid_file.as_ref().map_or(Ok(()), |path| pidfile::write(path, self.init.pid))
    }

    /// Takes everything back.
    pub fn undo(&self, runtime: &Runtime) {
        undo(runtime, &self.container, Some(&self.init));
    }
}

/// Makes a container up to the point where only the program's start is left.
pub(crate) fn make(runtime: &Runtime, options: &CreateOptions, purpose: Purpose) -> Result<Made> {
    state::check_id(&options.id)?;
    let mut bundle = Bundle::open(&options.bundle, options.config.as_deref())?;
    let joined = join(runtime, &options.join, &mut bundle)?;
    let user = if purpose == Purpose::RunForeground { User::Us } else { User::Caller };
    terminal::check(bundle.spec.process().as_ref(), options.console_socket(), user)?;
    runtime.warn_all(&bundle.warnings);
    let manager = notify::manager(runtime).filter(|_| bundle.spec.process().is_some());
    if manager.is_some() {
        notify::announce(runtime, &options.id, &mut bundle.spec)?;
    }
    let entry = Store::open(&runtime.root, true)?.create(&options.id, CONFIG)?;
    let listener = manager.map_or(Ok(None), |manager| listen(&entry, manager, purpose));
    let making = listener.and_then(|listener| {
        let making = Making::prepare(runtime, options, purpose, &bundle, &entry)?;
        joined.check().map(|()| Making { listener, ..making })
    });
    let making = match making {
        Ok(making) => making,
        Err(error) => {
            // There is nothing but the directory yet.
            let _ = entry.remove(&[]);
            return Err(error);
        }
    };
    making.carry_out(runtime, entry, &bundle)
}

/// Has a place where the container can tell that it is ready. Who runs it listens there from now on,
/// but of a container that waits for `start` that will.
fn listen(
    entry: &Entry,
    manager: notify::Manager,
    purpose: Purpose,
) -> Result<Option<notify::Listener>> {
    notify::make_folder(entry)?;
    match purpose {
        Purpose::Create => Ok(None),
        Purpose::RunDetached | Purpose::RunForeground => notify::Listener::open(entry, manager),
    }
}

/// A container that is planned and has nothing on the machine but its directory.
struct Making {
    plan: Plan,
    record: Record,
    console: Option<OwnedFd>,
    listener: Option<notify::Listener>,
    extras: Extras,
}

/// What few containers have, and the host's side does for them.
#[derive(Debug)]
pub(crate) struct Extras {
    /// Who is asked for its unit, where it has one.
    pub systemd: Option<Systemd>,
    pub devices: Vec<network::Device>,
    rdt: Option<rdt::Plan>,
    /// Whose the cgroup is to be, if not ours.
    cgroup_owner: Option<Id>,
}

impl Extras {
    pub fn plan(
        spec: &Spec,
        id: &str,
        namespaces: &Namespaces,
        systemd: Option<Systemd>,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let none = Linux::default();
        let linux = spec.linux().as_ref().unwrap_or(&none);
        Ok(Self {
            systemd,
            devices: network::plan(linux)?,
            rdt: rdt::plan(linux, id, warnings)?,
            cgroup_owner: cgroup_owner(spec, namespaces),
        })
    }

    /// Makes the cgroups and the group of resctrl, and writes the record down. A unit of systemd's
    /// is made of the process `first`. Gives the files to enter the cgroups by that are open already.
    pub fn make_groups(
        &mut self,
        entry: &Entry,
        record: &mut Record,
        bundle: &Bundle,
        first: Option<i32>,
    ) -> Result<Option<Vec<OwnedFd>>> {
        // With this, what is made can be found and removed, whatever becomes of us.
        entry.write_file(CONFIG, &bundle.text)?;
        let mut is_noted = false;
        let mut note = |planned: &Cgroup| {
            is_noted = true;
            let text = serde_json::to_vec(planned).map_err(|error| error.to_string())?;
            entry.write_file(PLANNED_CGROUPS, &text).map_err(|error| error.to_string())
        };
        let (place, resources) = (&mut record.cgroup, resources(&bundle.spec));
        let entries = match (&mut self.systemd, first) {
            (Some(systemd), Some(pid)) => {
                place.make_scope(resources, pid, systemd, &mut note)?;
                None
            }
            _ => Some(place.make(resources, &mut note)?),
        };
        if let Some(owner) = self.cgroup_owner.filter(|_| record.cgroup.is_pure_v2()) {
            record.cgroup.delegate(owner)?;
        }
        record.rdt = self.rdt.as_ref().map(rdt::Plan::make).transpose()?;
        entry.write_first(record)?;
        if is_noted {
            // The record has it.
            let removed = entry.remove_file(PLANNED_CGROUPS);
            removed.map_err(|errno| Error::call("removing the plan of cgroups", errno))?;
        }
        Ok(entries)
    }
}

pub(crate) fn resources(spec: &Spec) -> Option<&LinuxResources> {
    spec.linux().as_ref()?.resources().as_ref()
}

impl Making {
    fn prepare(
        runtime: &Runtime,
        options: &CreateOptions,
        purpose: Purpose,
        bundle: &Bundle,
        entry: &Entry,
    ) -> Result<Self> {
        let spec = &bundle.spec;
        let none = Linux::default();
        let linux = spec.linux().as_ref().unwrap_or(&none);
        let mut namespaces = Namespaces::plan(linux)?;
        validate::check_joined(spec, &namespaces)?;
        let (place, systemd) = choose_place(spec, options)?;
        let record = new_record(bundle, options, &namespaces, place);
        let mut warnings = Vec::new();
        let mut requests = Requests::read(&record.annotations, &mut warnings)?;
        requests.set_clocks(&mut namespaces)?;
        let filter = filter(linux, &requests, &mut warnings)?;
        let extras = Extras::plan(spec, &options.id, &namespaces, systemd, &mut warnings)?;
        let forks_last = process::forks_last(&namespaces, rootfs::makes_procfs_of);
        let context = context(options, &namespaces, &record, &requests, forks_last)?;
        let layout = Layout::plan(spec, &bundle.path, &bundle.rootfs, context)?;
        warnings.extend(layout.left_out());
        let (console, ours) = terminal::plan(spec.process().as_ref(), options.console_socket())?;
        let given = Given {
            by_root: record.owner == 0,
            filter,
            console,
            exec_fifo: (purpose == Purpose::Create)
                .then(|| entry.make_fifo(NEW_FIFO))
                .transpose()?,
            keyring: record.keyring(&options.id),
            preserve_fds: options.preserve_fds,
            listen_fds: options.listen_fds,
            keep_groups: requests.keep_groups,
        };
        let inputs = Inputs {
            layout,
            namespaces,
            forks_last,
            hook_state: hook_state(&record, &options.id),
            hook_output: match spec.hooks() {
                Some(_) => hook_output(&record.annotations)?,
                None => process::hooks::Output::default(),
            },
        };
        let plan = Plan::new(spec, inputs, given, &mut warnings)?;
        runtime.warn_all(&warnings);
        Ok(Self { plan, record, console: ours, listener: None, extras })
    }

    /// Makes what is planned.
    fn carry_out(self, runtime: &Runtime, entry: Entry, bundle: &Bundle) -> Result<Made> {
        let Self { mut plan, record, console, listener, mut extras } = self;
        let mut container = Container { entry, record, init: Identity::default() };
        let mut init = None;
        match bring_up(runtime, &mut plan, &mut extras, &mut container, &mut init, bundle) {
            Ok(init) => Ok(Made { container, init, plan, console, listener }),
            Err(error) => {
                undo(runtime, &container, init.as_ref());
                Err(error)
            }
        }
    }
}

/// Makes cgroups, init and all that it makes. `born` is where init is left should it fail.
fn bring_up(
    runtime: &Runtime,
    plan: &mut Plan,
    extras: &mut Extras,
    container: &mut Container,
    born: &mut Option<Child>,
    bundle: &Bundle,
) -> Result<Child> {
    let Container { entry, record, .. } = &mut *container;
    runtime.debug(|| format!("making {:?} of {}", entry.id(), record.bundle.display()));
    let mut entries = None;
    let init = if record.cgroup.is_in_scope() {
        let mut make =
            |hop| extras.make_groups(entry, record, bundle, Some(hop)).map(|_| ()).map_err(words);
        process::spawn(plan, Cradle::Hops(&mut make))?
    } else {
        entries = extras.make_groups(entry, record, bundle, None)?;
        if record.cgroup.has_moved() {
            plan.show_cgroups(view(&record.cgroup));
        }
        let unified = record.cgroup.unified_directory()?;
        process::spawn(plan, Cradle::of(unified.as_ref()))?
    };
    let init = born.insert(init);
    runtime.debug(|| format!("init is process {}", init.pid));
    serve(runtime, extras, record, entries, init, &bundle.spec)
        .map_err(|error| init.last_words(plan).map_or(error, Error::from))?;
    if !init.is_hop() {
        note_init(container, init)?;
    }
    attend(plan, container, init, &bundle.spec)?;
    runtime.debug(|| "init is ready".to_owned());
    born.take().ok_or_else(|| Error::new("init is gone"))
}

/// Writes down who init is.
fn note_init(container: &mut Container, init: &Child) -> Result<()> {
    container.init = match Identity::of(init.pid) {
        // One that has ended already tells why, over the channel.
        Err(Errno::ESRCH) => Identity::default(),
        identity => identity.map_err(|errno| Error::call("looking at init", errno))?,
    };
    Ok(container.entry.write_init(container.init)?)
}

/// Does for init what the host's side has to, while it makes mounts, and lets it go on.
fn serve(
    runtime: &Runtime,
    extras: &mut Extras,
    record: &Record,
    entries: Option<Vec<OwnedFd>>,
    init: &Child,
    spec: &Spec,
) -> Result<()> {
    limit(runtime, &record.cgroup, extras, spec)?;
    if let Some(groups) = &record.rdt {
        groups.enter(init.pid)?;
    }
    network::hand_over(&extras.devices, init.pid)?;
    let entries = entries.map_or_else(|| record.cgroup.entry_files(), Ok)?;
    init.release(&entries.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    sys::fs::close_all(entries).map_err(|errno| Error::call("closing cgroup files", errno))
}

/// Limits the cgroups, now that a process is in them.
pub(crate) fn limit(
    runtime: &Runtime,
    place: &Cgroup,
    extras: &mut Extras,
    spec: &Spec,
) -> Result<()> {
    let resources = resources(spec);
    if let Some(systemd) = &mut extras.systemd {
        place.settle_scope(resources, systemd)?;
    }
    runtime.warn_all(&place.apply(resources)?);
    Ok(())
}

/// For what is done on behalf of others, who only have words.
#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
pub(crate) fn words(error: Error) -> String {
    error.to_string()
}

/// Answers what init asks until it is ready.
fn attend(plan: &Plan, container: &mut Container, init: &mut Child, spec: &Spec) -> Result<()> {
    loop {
        match init.next(plan)? {
            Event::Born => note_init(container, init)?,
            Event::Ready => return Ok(()),
            Event::Closed => {
                return Err(init.explain_death("init", || killer(&container.record.cgroup)).into());
            }
            Event::Hooks => {
                admit_others(&container.entry)?;
                let ran = run_create_hooks(spec, &container.hook_state("created"), &init.pidfd);
                ran.map_err(|error| explain(error, init, container))?;
                init.proceed()?;
            }
            Event::Listener(number) => {
                let descriptor = init.descriptor(number)?;
                if let Some(to) = plan.listener() {
                    let state = container.hook_state("creating");
                    listener::send_listener(to, &descriptor, &state, state.pid)?;
                }
                init.proceed()?;
            }
        }
    }
}

/// What went wrong with a hook, and with init, if that has ended.
fn explain(error: Error, init: &Child, container: &Container) -> Error {
    if container.init.is_running() {
        return error;
    }
    let death = init.explain_death("init", || killer(&container.record.cgroup));
    Error::new(format!("{error}: {death}"))
}

/// Gives up the lock while hooks run, as a forced deletion is not to wait for these: it kills init,
/// which ends them. That the container is being made, a file tells others until that is over.
pub(crate) fn admit_others(entry: &Entry) -> Result<()> {
    if !entry.has(NEW_FIFO) {
        entry.write_file(NEW_FIFO, b"")?;
    }
    Ok(entry.unlock()?)
}

/// What may have killed init: its cgroup is new, so that kills in it are init's.
fn killer(place: &Cgroup) -> Option<&'static str> {
    let kills = place.oom_kills().filter(|&kills| kills > 0);
    kills.map(|_| "OOM-killed (memory limit too low?): see linux.resources.memory.limit")
}

/// Takes back what was made of a container, as far as it was: errors here would only hide the one
/// that is the reason for it.
pub(crate) fn undo(runtime: &Runtime, container: &Container, init: Option<&Child>) {
    if let Some(init) = init {
        init.end();
    }
    if let Err(state::Error::NotFound(_)) = container.entry.lock() {
        // A forced deletion has taken it back, and what has its name is another container's by now.
        return;
    }
    // Where it is there, no directory has to be read to find it.
    let _ = container.entry.remove_file(NEW_FIFO);
    if let Err(error) = clear(container) {
        (runtime.warn)(&format!("while undoing: {error}"));
    }
    if init.is_some() {
        delete::run_poststop(runtime, container);
    }
}

/// Takes back a container that has been started already.
pub(crate) fn undo_started(runtime: &Runtime, container: &Container) {
    let removed = delete::stop(container).and_then(|()| run::remove(runtime, container));
    if let Err(error) = removed {
        (runtime.warn)(&format!("while undoing: {error}"));
    }
}

/// Removes all of a container whose init has ended: processes that outlive it, cgroups, the root's
/// mount, the state.
pub(crate) fn clear(container: &Container) -> Result<()> {
    container.record.cgroup.remove()?;
    container.record.rdt.as_ref().map_or(Ok(()), rdt::Groups::remove)?;
    if container.record.mounted_root {
        // Not mounted, where it did not come to that.
        let _ = umount2(&container.record.rootfs, MntFlags::MNT_DETACH);
    }
    Ok(container.entry.remove(&USUAL_FILES)?)
}

pub(crate) fn new_record(
    bundle: &Bundle,
    options: &CreateOptions,
    namespaces: &Namespaces,
    cgroup: Cgroup,
) -> Record {
    let spec = &bundle.spec;
    let hooks = spec.hooks().as_ref();
    let list = |hooks: Option<&Vec<Hook>>| hooks.cloned().unwrap_or_default();
    Record {
        oci_version: spec.version().clone(),
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        annotations: spec
            .annotations()
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        owner: geteuid().as_raw(),
        cgroup,
        rdt: None,
        updated: Updated::default(),
        keeps_keyring: options.no_new_keyring,
        shares_pids: !namespaces.new.contains(CloneFlags::CLONE_NEWPID),
        mounted_root: !namespaces.has(CloneFlags::CLONE_NEWNS),
        poststart: list(hooks.and_then(|hooks| hooks.poststart().as_ref())),
        poststop: list(hooks.and_then(|hooks| hooks.poststop().as_ref())),
    }
}

/// Where the container's cgroups are to be, and which systemd makes them, if one does.
pub(crate) fn choose_place(
    spec: &Spec,
    options: &CreateOptions,
) -> Result<(Cgroup, Option<Systemd>)> {
    let CreateOptions { id, manager, rootless, .. } = options;
    let path = cgroups_path(spec);
    let host = match manager {
        CgroupManager::Disabled => return Ok((Cgroup::disabled(), None)),
        _ => cgroups::Host::detect()?,
    };
    let in_unit = || -> Result<(Cgroup, Systemd)> {
        let mut systemd = Systemd::connect(*rootless)?;
        Ok((Cgroup::locate_scope(&host, path, id, &mut systemd)?, systemd))
    };
    let found = match manager {
        CgroupManager::Systemd => Some(in_unit()?),
        CgroupManager::Fitting if *rootless && path.is_none() && host.is_pure_v2() => {
            in_unit().ok().map(|(place, systemd)| (place.leniently(), systemd))
        }
        _ => None,
    };
    let Some((place, mut systemd)) = found else {
        return Ok((Cgroup::locate(&host, path, id, *rootless)?, None));
    };
    // Also for who has not asked for systemd a property that can't be is an error.
    for (name, value) in spec.annotations().iter().flatten() {
        if let Some(property) = name.strip_prefix(annotations::SYSTEMD_PROPERTY) {
            let about = |error| Error::from(error).within(&format!("annotation {name}"));
            systemd.ask(property, value).map_err(about)?;
        }
    }
    Ok((place, Some(systemd)))
}

fn cgroups_path(spec: &Spec) -> Option<&Path> {
    let path = spec.linux().as_ref()?.cgroups_path().as_deref();
    path.filter(|path| !path.as_os_str().is_empty())
}

/// Whom the cgroup is to be given to: the container's user, if it is in a cgroup namespace of its
/// own and has a cgroup mount that it may write to (runtime-spec, cgroup ownership).
fn cgroup_owner(spec: &Spec, namespaces: &Namespaces) -> Option<Id> {
    let may_write = |mount: &Mount| {
        matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"))
            && mount.destination() == Path::new("/sys/fs/cgroup")
            && !mount.options().iter().flatten().any(|option| option == "ro")
    };
    if !namespaces.new_cgroup || !spec.mounts().iter().flatten().any(may_write) {
        return None;
    }
    let user = spec.process().as_ref()?.user().uid();
    let owner = if namespaces.has(CloneFlags::CLONE_NEWUSER) {
        // Without mappings a user namespace is joined, and only it knows who is who.
        let mappings = spec.linux().as_ref()?.uid_mappings().as_ref();
        IdMap::new(mappings).to_host(user)?
    } else {
        user
    };
    // Another user could not give it away, and has it already.
    let ours = geteuid();
    Id::new(owner).filter(|_| ours.is_root() && owner != ours.as_raw())
}

/// The filter of a container's process, if the profile does more than to allow everything.
pub(crate) fn filter(
    linux: &Linux,
    requests: &Requests,
    warnings: &mut Vec<String>,
) -> Result<Option<Filter>> {
    let Some(profile) = linux.seccomp() else { return Ok(None) };
    let filter = Filter::compile(&*requests.complete(profile)?, warnings)?;
    Ok(Some(filter).filter(Filter::is_needed))
}

fn hook_state(record: &Record, id: &str) -> process::HookState {
    let state = State {
        oci_version: record.oci_version.clone(),
        id: id.to_owned(),
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
        status: String::new(),
        pid: 0,
    };
    Box::new(move |pid, status| State { pid, status: status.to_owned(), ..state.clone() }.to_json())
}

fn context(
    options: &CreateOptions,
    namespaces: &Namespaces,
    record: &Record,
    requests: &Requests,
    forks_last: bool,
) -> Result<Context> {
    let pids = namespaces.joined.iter().filter(|_| forks_last);
    let mut pids = pids.filter(|one| one.kind == CloneFlags::CLONE_NEWPID);
    let copied = pids.next().map(|one| one.file.try_clone()).transpose();
    let mut joined = namespaces.joined.iter();
    let joins_mounts = namespaces.joined.iter().any(|one| one.kind == CloneFlags::CLONE_NEWNS);
    let joined_cgroup = joined.find(|one| one.kind == CloneFlags::CLONE_NEWCGROUP);
    let joins_other = joined_cgroup.map(validate::is_hosts).transpose()?.is_some_and(|it| !it);
    Ok(Context {
        pid_namespace: copied.map_err(|error| {
            Error::new(format!("keeping the pid namespace open: {}", sys::answer(&error)))
        })?,
        cgroup: view(&record.cgroup),
        mount_namespace: namespaces.has(CloneFlags::CLONE_NEWNS),
        user_namespace: namespaces.has(CloneFlags::CLONE_NEWUSER),
        nested: joins_mounts.then(sys::process::in_user_namespace),
        foreign_mounts: namespaces.owner_of_joined_mounts()?.is_some(),
        cgroup_namespace: namespaces.new_cgroup || joins_other,
        no_pivot: options.no_pivot,
        privileged: record.owner == 0,
        mount_context: requests.mount_context,
    })
}

/// What mounts of type `cgroup` show: the container's own directory in each hierarchy.
pub(crate) fn view(place: &Cgroup) -> CgroupView {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let mut controllers = Vec::new();
    for hierarchy in place.planned() {
        if !hierarchy.is_unified() {
            let names = hierarchy.controllers();
            let name = Path::new(hierarchy.mount()).file_name().unwrap_or_default();
            let links = if names.len() > 1 { names } else { &[] };
            controllers.push(ControllerView {
                name: text(&name.to_string_lossy()),
                links: links.iter().map(|link| text(link)).collect(),
                source: text(&hierarchy.directory()),
            });
        } else if place.is_pure_v2() {
            return CgroupView::Unified(text(&hierarchy.directory()));
        }
    }
    CgroupView::Controllers(controllers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn owner(edit: impl FnOnce(&mut Value)) -> Option<u32> {
        let mut config = json!({
            "ociVersion": "1.0.0", "root": { "path": "/" },
            "process": { "user": { "uid": 7, "gid": 7 }, "cwd": "/", "args": ["x"] },
            "mounts": [
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid"] },
            ],
            "linux": { "namespaces": [{ "type": "cgroup" }] },
        });
        edit(&mut config);
        let spec: Spec = serde_json::from_str(&config.to_string()).unwrap();
        let namespaces = Namespaces::plan(spec.linux().as_ref().unwrap()).unwrap();
        cgroup_owner(&spec, &namespaces).map(Id::number)
    }

    #[test]
    fn a_cgroup_that_may_be_written_to_is_the_users() {
        if !geteuid().is_root() {
            return;
        }
        assert_eq!(owner(|_| ()), Some(7));
        assert_eq!(owner(|config| config["mounts"][0]["options"] = json!(["ro"])), None);
        assert_eq!(owner(|config| config["mounts"][0]["type"] = json!("tmpfs")), None);
        assert_eq!(owner(|config| config["linux"]["namespaces"] = json!([])), None);
        assert_eq!(owner(|config| config["process"]["user"]["uid"] = json!(0)), None);
        let mapped = |config: &mut Value| {
            config["linux"]["namespaces"] = json!([{ "type": "cgroup" }, { "type": "user" }]);
            let mapping = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
            config["linux"]["uidMappings"] = mapping.clone();
            config["linux"]["gidMappings"] = mapping;
        };
        assert_eq!(owner(mapped), Some(1007));
    }
}
