//! Has criu restore a container. rind creates state, cgroups and limits from the bundle, as `create`
//! does; criu creates the processes, namespaces and mounts.
//!
//! criu runs in a mount namespace of its own, in which the root file system is a mount point, as
//! criu needs it; the host's mounts don't change. rind moves criu to the container's cgroups before
//! criu creates anything, so that all processes start there.

use crate::checkpoint::image::Image;
use crate::checkpoint::mounts::{in_own_mounts, make_read_only, open};
use crate::checkpoint::options::RestoreOptions;
use crate::checkpoint::{
    EXTERNAL_NAMESPACES, FILE, refuse_forgetful, refuse_without_mounts, wants_no_new_privs,
};
use crate::container::Container;
use crate::container::hooks::run_create_hooks;
use crate::container::record::{CONFIG, Record};
use crate::container::remove::{kill_and_reap, roll_back};
use crate::create::cgroup::{cgroup_view, locate_cgroup};
use crate::create::host_side::HostSide;
use crate::create::validate;
use crate::foreground::terminal;
use crate::host::network;
use crate::{Error, Explain, Result, Runtime};
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

/// criu's log, in the work directory.
const LOG: &str = "restore.log";
/// The step of errors about criu's new init.
const LOOKING: &str = "looking at the restored process";

/// A container that criu has restored, and whose processes run.
pub(crate) struct Restored {
    pub container: Container,
    pub init: OwnedFd,
    /// The end of the console socket that a foreground `restore` reads the master from.
    pub console: Option<OwnedFd>,
}

/// All that is known before anything is made.
struct Prepared<'a> {
    runtime: &'a Runtime<'a>,
    options: &'a RestoreOptions,
    bundle: Bundle,
    namespaces: Namespaces,
    host_side: HostSide,
    image: Image,
    console: Option<Console>,
}

/// Creates the container's state and cgroups, and has criu restore its processes in them. If that
/// fails, rind removes all of it again.
pub(crate) fn restore_container(runtime: &Runtime, options: &RestoreOptions) -> Result<Restored> {
    let create = &options.create;
    state::check_id(&create.id)?;
    let bundle = Bundle::open(&create.bundle, None)?;
    let process = bundle.spec.process().as_ref();
    terminal::check(process, create.console_socket.as_deref(), options.run.detach)?;
    runtime.warn_all(&bundle.warnings);
    let none = Linux::default();
    let linux = bundle.spec.linux().as_ref().unwrap_or(&none);
    let namespaces = Namespaces::from_config(linux)?;
    validate::check_joined(&bundle.spec, &namespaces)?;
    let mut warnings = Vec::new();
    let (cgroup, systemd) = locate_cgroup(&bundle.spec, create)?;
    let host_side = HostSide::plan(&bundle.spec, &create.id, &namespaces, systemd, &mut warnings)?;
    runtime.warn_all(&warnings);
    let record = Record::new(&bundle, &namespaces, cgroup, create.no_new_keyring);
    refuse_without_mounts(record.mounted_root)?;
    let version = ::criu::check(&options.criu.program, &[])?;
    runtime.debug(|| format!("criu is version {version}"));
    refuse_forgetful(version, &bundle.spec)?;
    let image = Image::open(&options.criu, false, LOG)?;
    check_image_is_readable(&options.criu.images, &namespaces)?;
    let (console, ours) = terminal::plan(process, create.console_socket.as_deref())?;
    let entry = Store::open(&runtime.root, true)?.create(&create.id, CONFIG)?;
    let mut container = Container { entry, record, init: Identity::default() };
    let prepared = Prepared { runtime, options, bundle, namespaces, host_side, image, console };
    match run_criu(prepared, &mut container) {
        Ok(init) => Ok(Restored { container, init, console: ours }),
        Err(error) => {
            // criu may have ended the restored processes itself.
            if let Ok(init) = container.init.pidfd() {
                kill_and_reap(&init);
            }
            roll_back(runtime, &container, container.init.pid != 0);
            Err(error)
        }
    }
}

/// Checks that the container's root may read the image: in a new user namespace, criu reads most of
/// it as that user.
fn check_image_is_readable(images: &Path, namespaces: &Namespaces) -> Result<()> {
    const READ_AND_SEARCH: u32 = 0o5;
    let root = namespaces.mappings.as_ref().and_then(|mapped| mapped.users.to_host(0));
    let Some(root) = root.filter(|root| *root != 0) else { return Ok(()) };
    if fs::metadata(images).about("--image-path")?.mode() & READ_AND_SEARCH == READ_AND_SEARCH {
        return Ok(());
    }
    let images = images.display();
    let error = Error::new(format!(
        "--image-path: {images} can't be read by the container's root, user {root} of the host, as \
         it has to be with a user namespace"
    ));
    Err(error.with_object(images.to_string()).with_hint(Some("chmod o+rx")))
}

/// Creates the cgroups, and has criu restore the rest. Returns a pidfd of init.
fn run_criu(mut prepared: Prepared, container: &mut Container) -> Result<OwnedFd> {
    let Prepared { runtime, options, ref bundle, ref mut host_side, .. } = prepared;
    let spec = &bundle.spec;
    let Container { entry, record, .. } = &mut *container;
    runtime.debug(|| format!("restoring {:?} of {}", entry.id(), record.bundle.display()));
    // A systemd scope needs a process until criu is in it.
    let keeper = if record.cgroup.is_in_scope() {
        let mut make = |pid| host_side.create_groups(entry, record, bundle, Some(pid)).map(drop);
        Some(process::Keeper::fork(&mut make)?)
    } else {
        host_side.create_groups(entry, record, bundle, None)?;
        None
    };
    host_side.apply_limits(runtime, &record.cgroup, spec)?;
    rootfs::make_mount_points(spec, &bundle.path, &bundle.rootfs)?;
    let root = runtime.root.join(entry.id());
    let rootfs = bundle.rootfs.clone();
    let (criu, mut asked) = in_own_mounts(&rootfs, &root, || {
        // criu needs directories that are on mounts of its own namespace.
        prepared.image = Image::open(&options.criu, false, LOG)?;
        let mut asked = restore_options(&prepared, container, &root)?;
        let inherited = inherit_fds(&mut asked, &mut prepared)?;
        let keyring = container.record.keyring(container.entry.id());
        Ok((Criu::start(&options.criu.program, Input::Ours(keyring), &inherited)?, asked))
    })?;
    move_to_cgroups(&mut asked, &criu, container)?;
    drop(keeper);
    let restored = criu.carry_out(Request::Restore, &asked, &mut |notice| {
        runtime.debug(|| format!("criu: {}", notice.script));
        handle_notify(&prepared, container, notice)
    });
    let pid = restored.map_err(|error| error.explain(&prepared.image))?;
    if container.init.pid == 0 {
        record_init(container, pid)?;
    }
    container.init_process().within(LOOKING)
}

/// What fails during the restore.
enum Failure {
    /// criu itself.
    Criu(::criu::Error),
    /// A step that rind does in between, when criu tells it to.
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

/// The options of the request to restore, but for descriptors and cgroups.
fn restore_options(prepared: &Prepared, container: &Container, root: &Path) -> Result<Options> {
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
    let view = cgroup_view(&container.record.cgroup);
    let external = rootfs::external_mounts(&bundle.spec, &bundle.path, &view, has_users)?;
    for mount in external {
        // The image has the path without symbolic links. Links in the image itself only criu knows.
        match rootfs::without_links(&bundle.rootfs, &mount.destination) {
            Ok(point) if point != mount.destination => asked.external_mount(&point, &mount.source),
            Ok(_) | Err(_) => {}
        }
        asked.external_mount(&mount.destination, &mount.source);
    }
    // It masks files.
    asked.external_mount(Path::new("/dev/null"), Path::new("/dev/null"));
    Ok(asked)
}

/// The descriptors that criu inherits: joined namespaces. The container's stdin, stdout and stderr
/// become those of rind.
fn inherit_fds(asked: &mut Options, prepared: &mut Prepared) -> Result<Vec<OwnedFd>> {
    let mut inherited = Vec::new();
    for (index, namespace) in validate::namespaces(&prepared.bundle.spec).enumerate() {
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

/// criu's name of a namespace that it joins.
fn criu_name(index: usize, kind: LinuxNamespaceType) -> Result<&'static str> {
    match kind {
        LinuxNamespaceType::Ipc => Ok("ipc"),
        LinuxNamespaceType::Mount => Ok("mnt"),
        LinuxNamespaceType::Network => Ok("net"),
        LinuxNamespaceType::Time => Ok("time"),
        LinuxNamespaceType::User => Ok("user"),
        LinuxNamespaceType::Uts => Ok("uts"),
        LinuxNamespaceType::Cgroup | LinuxNamespaceType::Pid => {
            let why = "namespace that is there already";
            let error = Error::new(format!("criu can't restore a process in a {kind} {why}"));
            Err(error.about(format!("linux.namespaces[{index}]")))
        }
    }
}

/// Moves criu to the container's cgroups, and has it restore cgroups there.
fn move_to_cgroups(asked: &mut Options, criu: &Criu, container: &Container) -> Result<()> {
    let pid = criu.pid();
    if let Some(groups) = &container.record.rdt {
        groups.enter(pid)?;
    }
    container.record.cgroup.enter(pid)?;
    let path = format!("/proc/{pid}/cgroup");
    let text = fs::read_to_string(&path).on("reading", &path)?;
    for line in text.lines() {
        let Some((controllers, path)) = line.split_once(':').and_then(|(_, r)| r.split_once(':'))
        else {
            continue;
        };
        controllers.split(',').for_each(|controller| asked.cgroup_root(controller, path));
    }
    Ok(())
}

/// Where device nodes of the host are mounted: over masked files, and in a user namespace also in
/// /dev.
fn host_nodes(prepared: &Prepared, container: &Container) -> Result<Vec<PathBuf>> {
    let Bundle { spec, path, .. } = &prepared.bundle;
    let has_users = prepared.namespaces.has(CloneFlags::CLONE_NEWUSER);
    let view = cgroup_view(&container.record.cgroup);
    let external = rootfs::external_mounts(spec, path, &view, has_users)?.into_iter();
    let devices = external.filter(|mount| !mount.is_bind).map(|mount| mount.destination);
    let masked = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_ref());
    let masked = masked.into_iter().flatten().map(PathBuf::from);
    Ok(devices.chain(masked).collect())
}

/// Does what rind has to at this step of the restore (criu.org, Action scripts).
fn handle_notify(
    prepared: &Prepared,
    container: &mut Container,
    notice: Notice,
) -> std::result::Result<(), Failure> {
    match (notice.script.as_str(), notice.descriptor) {
        ("setup-namespaces", _) => {
            record_init(container, notice.pid)?;
            set_up_namespaces(prepared, container)?;
        }
        ("post-restore", _) => {
            let root = prepared.bundle.spec.root().as_ref();
            let read_only = root.and_then(Root::readonly).unwrap_or(false);
            let nodes = host_nodes(prepared, container)?;
            if read_only || !nodes.is_empty() {
                make_read_only(container.init.pid, read_only, &nodes)?;
            }
        }
        ("pre-resume", _) if wants_no_new_privs(&prepared.bundle.spec) => {
            check_no_new_privs(container.init.pid)?;
        }
        ("orphan-pts-master", Some(master)) => {
            let Some(console) = &prepared.console else {
                let error = Error::new("the checkpoint has a terminal, and the config has none");
                return Err(error.about("process.terminal").into());
            };
            socket::send(&console.socket, b"/dev/ptmx", &[master.as_fd()])
                .within("sending the terminal's master")?;
        }
        _ => {}
    }
    Ok(())
}

/// Checks that init has `no_new_privs`: the image of an old criu doesn't have it.
fn check_no_new_privs(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).on("reading", &path)?;
    if text.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])) {
        return Ok(());
    }
    let hint = "the image must be made by criu 3.19 or newer, of a container that has it";
    let error = Error::new("what criu restored doesn't have it").with_hint(Some(hint));
    Err(error.about("process.noNewPrivileges"))
}

/// Writes the link `init`, which tells other commands who init is.
fn record_init(container: &mut Container, pid: Option<i32>) -> Result<()> {
    let pid = pid.ok_or_else(|| Error::new("criu has not said which process it restored"))?;
    container.init = Identity::of(pid).within(LOOKING)?;
    container.entry.write_init(container.init)
}

/// Sets up the network and runs the hooks. The namespaces exist by now, and no process runs yet.
fn set_up_namespaces(prepared: &Prepared, container: &Container) -> Result<()> {
    let pid = container.init.pid;
    if prepared.namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
        set_loopback_up(pid)?;
    }
    network::move_to_container(&prepared.host_side.devices, pid)?;
    let init = container.init.pidfd().within(LOOKING)?;
    run_create_hooks(&prepared.bundle.spec, &container.hook_state("created"), &init)
}

fn set_loopback_up(pid: i32) -> Result<()> {
    let (there, here) = (open(&format!("/proc/{pid}/ns/net"))?, open("/proc/self/ns/net")?);
    let up = || -> sys::Result<()> {
        let mut inside = Netlink::open_in(&there, &here)?;
        inside.index_of("lo")?.map_or(Ok(()), |index| inside.set_up(index))
    };
    up().within("setting the loopback interface up")
}
