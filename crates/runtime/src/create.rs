//! `create`, and the part of `run` that is the same: from a bundle to an init that waits.
//!
//! The order is what matters here. All that can be refused is refused before the fork; the record
//! of where the cgroups are is on disk before there are any, so that `delete --force` can clear
//! what a killed `create` left; init's identity is there as soon as init is. Any error undoes
//! every step taken.

use crate::console::own_size;
use crate::container::Container;
use crate::hooks::{State, run_all, run_leniently};
use crate::record::{CONFIG, EXEC_FIFO, NEW_FIFO, Record, USUAL_FILES};
use crate::{Error, Result, Runtime, delete, listener, network, pidfile, rdt, validate};
use cgroups::Place;
use oci_spec::runtime::{Hook, Linux, Mount, Spec};
use process::{Console, Event, IdMap, Init, Inputs, Namespaces, Plan};
use rootfs::{CgroupView, Context, ControllerView, Layout};
use seccomp::Filter;
use spec::Bundle;
use state::{Entry, Identity, Store};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use sys::Errno;
use sys::nix::mount::{MntFlags, umount2};
use sys::nix::sched::CloneFlags;
use sys::nix::unistd::geteuid;
use sys::socket;
use sys::terminal::Size;

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
    /// To leave cgroups alone.
    pub no_cgroups: bool,
    /// Whether missing permissions on cgroups are no error.
    pub rootless: bool,
}

/// `create`: makes the container; its program waits for `start`.
pub fn create(runtime: &Runtime, options: &CreateOptions) -> Result<()> {
    let made = make(runtime, options, Purpose::Create)?;
    let finished = made.container.entry.rename(NEW_FIFO, EXEC_FIFO).map_err(Error::from);
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
    pub init: Init,
    pub plan: Plan,
    /// The end of the console socket that a foreground `run` reads the master from.
    pub console: Option<OwnedFd>,
}

impl Made {
    /// Gives out what the caller asked for of the new init.
    pub fn hand_out(&self, options: &CreateOptions) -> Result<()> {
        if let Some(path) = &options.pidfd_socket {
            listener::send(path, b"pidfd", &self.init.pidfd, "--pidfd-socket")?;
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
    let bundle = Bundle::open(&options.bundle, options.config.as_deref())?;
    check_console(&bundle.spec, options, purpose)?;
    runtime.warn_all(&bundle.warnings);
    let entry = Store::open(&runtime.root, true)?.create(&options.id)?;
    let making = match Making::prepare(runtime, options, purpose, &bundle, &entry) {
        Ok(making) => making,
        Err(error) => {
            // There is nothing but the directory yet.
            let _ = entry.remove(&[]);
            return Err(error);
        }
    };
    making.carry_out(runtime, entry, &bundle)
}

/// A container that is planned and has nothing on the machine but its directory.
struct Making {
    plan: Plan,
    record: Record,
    console: Option<OwnedFd>,
    extras: Extras,
}

/// What few containers have, and the host's side does for them.
#[derive(Debug)]
struct Extras {
    devices: Vec<network::Device>,
    rdt: Option<rdt::Plan>,
    /// Whose the cgroup is to be, if not ours.
    cgroup_owner: Option<u32>,
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
        let namespaces = Namespaces::plan(linux)?;
        validate::check_sysctls(linux, &namespaces)?;
        let mut warnings = Vec::new();
        let filter = linux.seccomp().as_ref();
        let filter = filter.map(|profile| Filter::compile(profile, &mut warnings)).transpose()?;
        let filter = filter.filter(Filter::is_needed);
        let extras = Extras {
            devices: network::plan(linux, &namespaces)?,
            rdt: rdt::plan(linux, &options.id, &mut warnings)?,
            cgroup_owner: cgroup_owner(spec, &namespaces),
        };
        let record = new_record(bundle, options, &namespaces)?;
        let context = context(options, &namespaces, &record.cgroup);
        let layout = Layout::plan(spec, &bundle.path, &bundle.rootfs, context)?;
        let (console, ours) = console(spec, options, purpose)?;
        let fifo = (purpose == Purpose::Create).then(|| entry.make_fifo(NEW_FIFO)).transpose()?;
        let keyring = format!("_ses.{}", options.id);
        let inputs = Inputs {
            bundle: bundle.path.clone(),
            layout,
            namespaces,
            filter,
            console,
            exec_fifo: fifo,
            keyring: if options.no_new_keyring { None } else { CString::new(keyring).ok() },
            preserve_fds: options.preserve_fds,
            listen_fds: options.listen_fds,
            hook_state: hook_state(&record, &options.id),
        };
        let plan = Plan::new(spec, inputs, &mut warnings)?;
        runtime.warn_all(&warnings);
        Ok(Self { plan, record, console: ours, extras })
    }

    /// Makes what is planned.
    fn carry_out(self, runtime: &Runtime, entry: Entry, bundle: &Bundle) -> Result<Made> {
        let Self { mut plan, record, console, extras } = self;
        let mut container = Container { entry, record, init: Identity::default() };
        let mut init = None;
        match bring_up(runtime, &mut plan, &extras, &mut container, &mut init, bundle) {
            Ok(init) => Ok(Made { container, init, plan, console }),
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
    extras: &Extras,
    container: &mut Container,
    born: &mut Option<Init>,
    bundle: &Bundle,
) -> Result<Init> {
    let Container { entry, record, .. } = &mut *container;
    runtime.debug(|| format!("making {:?} of {}", entry.id(), record.bundle.display()));
    // With this, what is made can be found and removed, whatever becomes of us.
    entry.write_file(CONFIG, &bundle.text)?;
    let resources = bundle.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    cgroups::make(&mut record.cgroup, resources)?;
    if let Some(owner) = extras.cgroup_owner.filter(|_| record.cgroup.is_pure_v2()) {
        cgroups::delegate(&record.cgroup, owner)?;
    }
    record.rdt = extras.rdt.as_ref().map(rdt::Plan::make).transpose()?;
    entry.write_first(record)?;
    let unified = cgroups::unified_directory(&record.cgroup)?;
    let init = &*born.insert(process::spawn(plan, unified.as_ref().map(AsFd::as_fd))?);
    runtime.debug(|| format!("init is process {}", init.pid));
    // It makes mounts meanwhile.
    cgroups::apply(&record.cgroup, resources)?;
    if let Some(groups) = &record.rdt {
        groups.enter(init.pid)?;
    }
    network::hand_over(&extras.devices, init.pid)?;
    let entries = cgroups::entry_files(&record.cgroup)?;
    init.release(&entries.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    sys::fs::close_all(entries).map_err(|errno| Error::call("closing cgroup files", errno))?;
    container.init = match Identity::of(init.pid) {
        // One that has ended already tells why, over the channel.
        Err(Errno::ESRCH) => Identity::default(),
        identity => identity.map_err(|errno| Error::call("looking at init", errno))?,
    };
    container.entry.write_init(container.init)?;
    attend(plan, container, init, &bundle.spec)?;
    runtime.debug(|| "init is ready".to_owned());
    born.take().ok_or_else(|| Error::new("init is gone"))
}

/// Answers what init asks until it is ready.
fn attend(plan: &Plan, container: &Container, init: &Init, spec: &Spec) -> Result<()> {
    loop {
        match init.next(plan)? {
            Event::Ready => return Ok(()),
            Event::Closed => return Err(init.explain_death().into()),
            Event::Hooks => {
                let state = container.hook_state("created");
                let hooks = spec.hooks().as_ref();
                let prestart = hooks.and_then(|hooks| hooks.prestart().as_deref());
                let create = hooks.and_then(|hooks| hooks.create_runtime().as_deref());
                run_all("prestart", prestart.unwrap_or_default(), &state)?;
                run_all("createRuntime", create.unwrap_or_default(), &state)?;
                init.proceed()?;
            }
            Event::Listener(number) => {
                let descriptor = init.descriptor(number)?;
                if let Some(to) = plan.listener() {
                    let state = container.hook_state("creating");
                    listener::send_listener(to, &descriptor, &state)?;
                }
                init.proceed()?;
            }
        }
    }
}

/// Takes back what was made of a container, as far as it was: errors here would only hide the one
/// that is the reason for it.
pub(crate) fn undo(runtime: &Runtime, container: &Container, init: Option<&Init>) {
    if let Some(init) = init {
        init.abandon();
        let _ = sys::process::wait(&init.pidfd);
    }
    // Where it is there, no directory has to be read to find it.
    let _ = container.entry.remove_file(NEW_FIFO);
    if let Err(error) = clear(container) {
        (runtime.warn)(&format!("while undoing: {error}"));
    }
    if init.is_some() {
        let state = State { pid: 0, ..container.hook_state("stopped") };
        run_leniently("poststop", &container.record.poststop, &state, &*runtime.warn);
    }
}

/// Takes back a container that has been started already.
pub(crate) fn undo_started(runtime: &Runtime, container: &Container) {
    let removed = delete::stop(container).and_then(|()| delete::remove(runtime, container));
    if let Err(error) = removed {
        (runtime.warn)(&format!("while undoing: {error}"));
    }
}

/// Removes all of a container whose init has ended: processes that outlive it, cgroups, the root's
/// mount, the state.
pub(crate) fn clear(container: &Container) -> Result<()> {
    cgroups::destroy(&container.record.cgroup)?;
    container.record.rdt.as_ref().map_or(Ok(()), rdt::Groups::remove)?;
    if container.record.mounted_root {
        // Not mounted, where it did not come to that.
        let _ = umount2(&container.record.rootfs, MntFlags::MNT_DETACH);
    }
    Ok(container.entry.remove(&USUAL_FILES)?)
}

fn new_record(bundle: &Bundle, options: &CreateOptions, namespaces: &Namespaces) -> Result<Record> {
    let spec = &bundle.spec;
    let cgroup = if options.no_cgroups {
        Place::disabled()
    } else {
        locate(spec, &options.id, options.rootless)?
    };
    let hooks = spec.hooks().as_ref();
    let list = |hooks: Option<&Vec<Hook>>| hooks.cloned().unwrap_or_default();
    Ok(Record {
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
        shares_pids: !namespaces.new.contains(CloneFlags::CLONE_NEWPID),
        mounted_root: !namespaces.has(CloneFlags::CLONE_NEWNS),
        poststart: list(hooks.and_then(|hooks| hooks.poststart().as_ref())),
        poststop: list(hooks.and_then(|hooks| hooks.poststop().as_ref())),
    })
}

/// Whom the cgroup is to be given to: the container's user, if it is in a cgroup namespace of its
/// own and has a cgroup mount that it may write to (runtime-spec, cgroup ownership).
fn cgroup_owner(spec: &Spec, namespaces: &Namespaces) -> Option<u32> {
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
    (ours.is_root() && owner != ours.as_raw()).then_some(owner)
}

/// Where the cgroups of a container with this config are.
pub(crate) fn locate(spec: &Spec, id: &str, rootless: bool) -> Result<Place> {
    let linux = spec.linux().as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    Ok(cgroups::locate(&cgroups::Host::detect()?, path, id, rootless)?)
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

fn context(options: &CreateOptions, namespaces: &Namespaces, place: &Place) -> Context {
    Context {
        cgroup: view(place),
        mount_namespace: namespaces.has(CloneFlags::CLONE_NEWNS),
        user_namespace: namespaces.has(CloneFlags::CLONE_NEWUSER),
        cgroup_namespace: namespaces.new_cgroup || namespaces.joins(CloneFlags::CLONE_NEWCGROUP),
        no_pivot: options.no_pivot,
        privileged: geteuid().is_root(),
    }
}

/// What mounts of type `cgroup` show: the container's own directory in each hierarchy.
fn view(place: &Place) -> CgroupView {
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

/// A terminal and somebody to take it belong together.
fn check_console(spec: &Spec, options: &CreateOptions, purpose: Purpose) -> Result<()> {
    let process = spec.process().as_ref();
    let wants = process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false);
    let refuse = |why: &str| Err(Error::new(format!("process.terminal: {why}")));
    match (wants, options.console_socket.is_some(), purpose) {
        (true, false, Purpose::Create | Purpose::RunDetached) => {
            refuse("cannot allocate tty without setting console socket (--console-socket)")
        }
        (false, true, _) => {
            refuse("cannot use console socket (--console-socket) if no terminal is asked for")
        }
        (true, true, Purpose::RunForeground) => {
            refuse("cannot use console socket (--console-socket) if run does not detach")
        }
        _ => Ok(()),
    }
}

/// The socket that gets the terminal's master, and its other end where that is ours.
fn console(
    spec: &Spec,
    options: &CreateOptions,
    purpose: Purpose,
) -> Result<(Option<Console>, Option<OwnedFd>)> {
    let Some(process) = spec.process().as_ref().filter(|p| p.terminal().unwrap_or(false)) else {
        return Ok((None, None));
    };
    let dimension = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let configured = process
        .console_size()
        .map(|size| Size { rows: dimension(size.height()), columns: dimension(size.width()) });
    if let Some(path) = &options.console_socket {
        let socket = socket::connect_stream(path).map_err(|errno| {
            Error::call(format!("connecting to the console socket {}", path.display()), errno)
        })?;
        return Ok((Some(Console { socket, size: configured }), None));
    }
    debug_assert_eq!(purpose, Purpose::RunForeground);
    let (ours, theirs) =
        socket::pair().map_err(|errno| Error::call("making a socket pair", errno))?;
    let console = Console { socket: theirs, size: configured.or_else(own_size) };
    Ok((Some(console), Some(ours)))
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
        cgroup_owner(&spec, &namespaces)
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
