//! `restore`: makes a container of a checkpoint, whose processes go on where they were.
//!
//! The container is made of its bundle as by `create`, but for the processes and what they see: those
//! criu makes. It has a mount namespace of its own, in which the root file system is a mount point
//! as it wants one; the host's mounts don't change. It is in the container's cgroups before it makes
//! anything, so that all it makes is too.

use crate::checkpoint::{
    EXTERNAL_NAMESPACES, FILE, refuse_forgetful, refuse_without_mounts, wants_no_new_privs,
};
use crate::container::Container;
use crate::create::{
    CreateOptions, Extras, choose_place, clear, limit, new_record, undo_started, view, words,
};
use crate::delete::run_poststop;
use crate::hooks::run_create_hooks;
use crate::image::{CriuOptions, Image};
use crate::mounts::{in_own_mounts, open, protect};
use crate::record::CONFIG;
use crate::run::{RunOptions, clean_up};
use crate::start::run_poststart;
use crate::supervise::{Attended, Supervisor};
use crate::terminal::{self, User};
use crate::{Error, Result, Runtime, network, pidfile, validate};
use ::criu::{Criu, Input, Notice, Options, Request, Switch};
use oci_spec::runtime::{Linux, LinuxNamespaceType, Root};
use process::{Console, Namespaces};
use spec::Bundle;
use state::{Identity, Store};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys::netlink::Netlink;
use sys::nix::sched::CloneFlags;
use sys::socket;

/// What `restore` is asked for.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The container, as for `create`: its name, bundle, console socket, pid file, cgroups.
    pub create: CreateOptions,
    /// Whether and how it is looked after.
    pub run: RunOptions,
    /// What is asked of criu.
    pub criu: CriuOptions,
    /// Another security label than the processes had, `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// Another context than the mounts had.
    pub lsm_mount_context: Option<String>,
}

/// criu's log, in the work directory.
const LOG: &str = "restore.log";

/// `restore ID`: gives the exit status of the program, or 0 for one that is left running.
pub fn restore(runtime: &Runtime, options: &RestoreOptions) -> Result<i32> {
    let run = options.run;
    let mut supervisor = (!run.detach).then(|| Supervisor::new(!run.no_subreaper)).transpose()?;
    let Restored { container, init, console } = make(runtime, options)?;
    if let Some(supervisor) = &mut supervisor {
        supervisor.forked().inspect_err(|_| undo_started(runtime, &container))?;
    }
    if let Some(path) = &options.create.pid_file {
        let written = pidfile::write(path, container.init.pid);
        written.inspect_err(|_| undo_started(runtime, &container))?;
    }
    // From here on it is a running container, which others may change, and even delete.
    container.entry.unlock()?;
    run_poststart(runtime, &container)?;
    let Some(supervisor) = supervisor else { return Ok(0) };
    let attended = Attended { pid: container.init.pid, pidfd: &init };
    let ended = supervisor.attend(attended, console.as_ref());
    if ended.is_err() {
        kill_and_reap(&init);
    }
    if !run.keep {
        clean_up(runtime, &container);
    }
    Ok(ended?.code())
}

/// A container whose processes are there, and run.
struct Restored {
    container: Container,
    init: OwnedFd,
    /// The end of the console socket that is ours to read the master from.
    console: Option<OwnedFd>,
}

/// What is there before anything is made.
struct Prepared<'a> {
    runtime: &'a Runtime<'a>,
    options: &'a RestoreOptions,
    bundle: Bundle,
    namespaces: Namespaces,
    extras: Extras,
    image: Image,
    console: Option<Console>,
}

fn make(runtime: &Runtime, options: &RestoreOptions) -> Result<Restored> {
    let create = &options.create;
    state::check_id(&create.id)?;
    let bundle = Bundle::open(&create.bundle, None)?;
    let process = bundle.spec.process().as_ref();
    let user = if options.run.detach { User::Caller } else { User::Us };
    terminal::check(process, create.console_socket.as_deref(), user)?;
    runtime.warn_all(&bundle.warnings);
    let none = Linux::default();
    let linux = bundle.spec.linux().as_ref().unwrap_or(&none);
    let namespaces = Namespaces::plan(linux)?;
    validate::check_joined(&bundle.spec, &namespaces)?;
    let mut warnings = Vec::new();
    let (place, systemd) = choose_place(&bundle.spec, create)?;
    let extras = Extras::plan(&bundle.spec, &create.id, &namespaces, systemd, &mut warnings)?;
    runtime.warn_all(&warnings);
    let record = new_record(&bundle, create, &namespaces, place);
    refuse_without_mounts(record.mounted_root)?;
    let version = ::criu::check(&options.criu.program, &[])?;
    runtime.debug(|| format!("criu is version {version}"));
    refuse_forgetful(version, &bundle.spec)?;
    let image = Image::open(&options.criu, false, LOG)?;
    check_reach(&options.criu.images, &namespaces)?;
    let (console, ours) = terminal::plan(process, create.console_socket.as_deref())?;
    let entry = Store::open(&runtime.root, true)?.create(&create.id, CONFIG)?;
    let mut container = Container { entry, record, init: Identity::default() };
    let prepared = Prepared { runtime, options, bundle, namespaces, extras, image, console };
    match bring_up(prepared, &mut container) {
        Ok(init) => Ok(Restored { container, init, console: ours }),
        Err(error) => {
            undo(runtime, &container);
            Err(error)
        }
    }
}

/// In a new user namespace it is the container's root that reads most of the image.
fn check_reach(images: &Path, namespaces: &Namespaces) -> Result<()> {
    const READ_AND_SEARCH: u32 = 0o5;
    let root = namespaces.mappings.as_ref().and_then(|mapped| mapped.users.to_host(0));
    let Some(root) = root.filter(|root| *root != 0) else { return Ok(()) };
    let found = fs::metadata(images);
    let found = found.map_err(|e| Error::new(format!("--image-path: {}", sys::answer(&e))))?;
    if found.mode() & READ_AND_SEARCH == READ_AND_SEARCH {
        return Ok(());
    }
    Err(Error::new(format!(
        "--image-path: {} can't be read by the container's root, user {root} of the host, as it has \
         to be with a user namespace (chmod o+rx)",
        images.display()
    )))
}

/// Makes cgroups, and has criu make the rest. Gives the restored init.
fn bring_up(mut prepared: Prepared, container: &mut Container) -> Result<OwnedFd> {
    let Prepared { runtime, options, ref bundle, ref mut extras, .. } = prepared;
    let spec = &bundle.spec;
    let Container { entry, record, .. } = &mut *container;
    runtime.debug(|| format!("restoring {:?} of {}", entry.id(), record.bundle.display()));
    // Until criu is in it, somebody has to be.
    let keeper = if record.cgroup.is_in_scope() {
        let mut make =
            |pid| extras.make_groups(entry, record, bundle, Some(pid)).map(|_| ()).map_err(words);
        Some(process::Keeper::fork(&mut make)?)
    } else {
        extras.make_groups(entry, record, bundle, None)?;
        None
    };
    limit(runtime, &record.cgroup, extras, spec)?;
    rootfs::make_mount_points(spec, &bundle.path, &bundle.rootfs)
        .map_err(|error| Error::new(error.to_string()))?;
    let root = runtime.root.join(entry.id());
    let rootfs = bundle.rootfs.clone();
    let (criu, mut asked) = in_own_mounts(&rootfs, &root, || {
        // criu mounts things in these, so they are to be of its own mounts too.
        prepared.image = Image::open(&options.criu, false, LOG)?;
        let mut asked = describe(&prepared, container, &root)?;
        let inherited = inherit(&mut asked, &mut prepared)?;
        Ok((Criu::start(&options.criu.program, Input::Ours, &inherited)?, asked))
    })?;
    enter(&mut asked, &criu, container)?;
    drop(keeper);
    let restored = criu.carry_out(Request::Restore, &asked, &mut |notice| {
        runtime.debug(|| format!("criu: {}", notice.script));
        answer(&prepared, container, notice)
    });
    let pid = restored.map_err(|error| error.explain(&prepared.image))?;
    if container.init.pid == 0 {
        name_init(container, pid)?;
    }
    let init = container.init_process();
    init.map_err(|errno| Error::call("looking at the restored process", errno))
}

/// What went wrong while criu was at it.
enum Failure {
    /// With criu itself.
    Criu(::criu::Error),
    /// With what it is done for it meanwhile.
    Ours(Error),
}

impl Failure {
    fn explain(self, image: &Image) -> Error {
        match self {
            Self::Criu(error) => image.explain(&error),
            Self::Ours(error) => error,
        }
    }
}

impl From<::criu::Error> for Failure {
    fn from(error: ::criu::Error) -> Self {
        Self::Criu(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// What criu is asked for, but for descriptors and cgroups.
fn describe(prepared: &Prepared, container: &Container, root: &Path) -> Result<Options> {
    let Prepared { options, bundle, .. } = prepared;
    let mut asked = prepared.image.options(&options.criu, &container.record.annotations);
    asked.switch(Switch::RstSibling);
    asked.switch(Switch::EvasiveDevices);
    asked.root(root);
    if let Some(profile) = &options.lsm_profile {
        asked.lsm_profile(profile);
    }
    if let Some(context) = &options.lsm_mount_context {
        asked.lsm_mount_context(context);
    }
    let has_users = prepared.namespaces.has(CloneFlags::CLONE_NEWUSER);
    let view = view(&container.record.cgroup);
    let external = rootfs::external_mounts(&bundle.spec, &bundle.path, &view, has_users)?;
    for mount in external {
        // By the name that it had without links, which only the image knows where those are in it.
        match rootfs::without_links(&bundle.rootfs, &mount.destination) {
            Ok(point) if point != mount.destination => asked.external_mount(&point, &mount.source),
            Ok(_) | Err(_) => {}
        }
        asked.external_mount(&mount.destination, &mount.source);
    }
    // What files are masked with.
    asked.external_mount(Path::new("/dev/null"), Path::new("/dev/null"));
    Ok(asked)
}

/// What criu gets from us: namespaces that are joined, and for stdin, stdout and stderr our own.
fn inherit(asked: &mut Options, prepared: &mut Prepared) -> Result<Vec<OwnedFd>> {
    let mut inherited = Vec::new();
    let linux = prepared.bundle.spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_ref());
    for (index, namespace) in namespaces.into_iter().flatten().enumerate() {
        let Some(path) = namespace.path() else { continue };
        let external = EXTERNAL_NAMESPACES.iter().find(|(kind, ..)| *kind == namespace.typ());
        let joined = prepared.namespaces.joined.iter().position(|one| one.index == index);
        match (external, joined) {
            (Some((_, _, key)), Some(at)) => {
                let file = prepared.namespaces.joined.remove(at).file;
                asked.inherit(key, file.as_raw_fd());
                inherited.push(file);
            }
            _ => asked.join(criu_name(index, namespace.typ())?, path),
        }
    }
    process::guard_stdio()?;
    for (number, name) in (0..3).zip(prepared.image.read_descriptors()?) {
        if name.starts_with("pipe:[") || name.starts_with(FILE) {
            asked.inherit(&name, number);
        }
    }
    Ok(inherited)
}

/// By which name criu joins a namespace.
fn criu_name(index: usize, kind: LinuxNamespaceType) -> Result<&'static str> {
    match kind {
        LinuxNamespaceType::Ipc => Ok("ipc"),
        LinuxNamespaceType::Mount => Ok("mnt"),
        LinuxNamespaceType::Network => Ok("net"),
        LinuxNamespaceType::Time => Ok("time"),
        LinuxNamespaceType::User => Ok("user"),
        LinuxNamespaceType::Uts => Ok("uts"),
        LinuxNamespaceType::Cgroup | LinuxNamespaceType::Pid => Err(Error::new(format!(
            "linux.namespaces[{index}]: criu can't restore a process in a {kind} namespace that is \
             there already"
        ))),
    }
}

/// Moves criu to the container's cgroups, and tells it to restore cgroups there.
fn enter(asked: &mut Options, criu: &Criu, container: &Container) -> Result<()> {
    let pid = criu.pid();
    if let Some(groups) = &container.record.rdt {
        groups.enter(pid)?;
    }
    container.record.cgroup.enter(pid)?;
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path)
        .map_err(|error| Error::new(format!("reading {path}: {}", sys::answer(&error))))?;
    for line in text.lines() {
        let Some((controllers, path)) = line.split_once(':').and_then(|(_, r)| r.split_once(':'))
        else {
            continue;
        };
        controllers.split(',').for_each(|controller| asked.cgroup_root(controller, path));
    }
    Ok(())
}

/// Where nodes of the host's are mounted: on masked files, and with a user namespace in /dev.
fn hosts_nodes(prepared: &Prepared, container: &Container) -> Result<Vec<PathBuf>> {
    let Bundle { spec, path, .. } = &prepared.bundle;
    let has_users = prepared.namespaces.has(CloneFlags::CLONE_NEWUSER);
    let view = view(&container.record.cgroup);
    let external = rootfs::external_mounts(spec, path, &view, has_users)?.into_iter();
    let devices = external.filter(|mount| !mount.is_bind).map(|mount| mount.destination);
    let masked = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref());
    let masked = masked.into_iter().flatten().map(PathBuf::from);
    Ok(devices.chain(masked).collect())
}

/// Does what is to be done when criu has come that far.
fn answer(
    prepared: &Prepared,
    container: &mut Container,
    notice: Notice,
) -> std::result::Result<(), Failure> {
    match (notice.script.as_str(), notice.descriptor) {
        ("setup-namespaces", _) => {
            name_init(container, notice.pid)?;
            set_up(prepared, container)?;
        }
        ("post-restore", _) => {
            let root = prepared.bundle.spec.root().as_ref();
            let read_only = root.and_then(Root::readonly).unwrap_or(false);
            let nodes = hosts_nodes(prepared, container)?;
            if read_only || !nodes.is_empty() {
                protect(container.init.pid, read_only, &nodes)?;
            }
        }
        ("pre-resume", _) if wants_no_new_privs(&prepared.bundle.spec) => {
            check_no_new_privs(container.init.pid)?;
        }
        ("orphan-pts-master", Some(master)) => {
            let Some(console) = &prepared.console else {
                let why =
                    "process.terminal: the checkpoint has a terminal, and the config has none";
                return Err(Error::new(why).into());
            };
            socket::send(&console.socket, b"/dev/ptmx", &[master.as_fd()])
                .map_err(|errno| Error::call("sending the terminal's master", errno))?;
        }
        _ => {}
    }
    Ok(())
}

/// An image that an old criu has made doesn't tell of it.
fn check_no_new_privs(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path)
        .map_err(|error| Error::new(format!("reading {path}: {}", sys::answer(&error))))?;
    if text.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])) {
        return Ok(());
    }
    Err(Error::new(
        "process.noNewPrivileges: what criu restored doesn't have it (the image must be made by criu \
         3.19 or newer, of a container that has it)",
    ))
}

/// From here on it is known whose container this is.
fn name_init(container: &mut Container, pid: Option<i32>) -> Result<()> {
    let pid = pid.ok_or_else(|| Error::new("criu has not said which process it restored"))?;
    container.init =
        Identity::of(pid).map_err(|errno| Error::call("looking at the restored process", errno))?;
    Ok(container.entry.write_init(container.init)?)
}

/// The namespaces are there, and empty: the network, and the hooks that may change them.
fn set_up(prepared: &Prepared, container: &Container) -> Result<()> {
    let pid = container.init.pid;
    if prepared.namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
        set_loopback_up(pid)?;
    }
    network::hand_over(&prepared.extras.devices, pid)?;
    let init = container.init.pidfd();
    let init = init.map_err(|errno| Error::call("looking at the restored process", errno))?;
    run_create_hooks(&prepared.bundle.spec, &container.hook_state("created"), &init)
}

fn set_loopback_up(pid: i32) -> Result<()> {
    let (there, here) = (open(&format!("/proc/{pid}/ns/net"))?, open("/proc/self/ns/net")?);
    let up = || -> sys::Result<()> {
        let mut inside = Netlink::open_in(&there, &here)?;
        inside.index_of("lo")?.map_or(Ok(()), |index| inside.set_up(index))
    };
    up().map_err(|errno| Error::call("setting the loopback interface up", errno))
}

/// Takes back what was made: criu has ended what it had restored, or it ends here.
fn undo(runtime: &Runtime, container: &Container) {
    if let Ok(init) = container.init.pidfd() {
        kill_and_reap(&init);
    }
    if let Err(error) = clear(container) {
        (runtime.warn)(&format!("while undoing: {error}"));
    }
    if container.init.pid != 0 {
        run_poststop(runtime, container);
    }
}

/// Ends our own child; that it has ended is what is wanted.
fn kill_and_reap(init: &OwnedFd) {
    let _ = sys::process::pidfd_send_signal(init, 9);
    let _ = sys::process::wait(init);
}
