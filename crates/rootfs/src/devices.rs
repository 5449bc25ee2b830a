//! /dev: the devices and links that every container has, and `linux.devices`. Must never let the
//! container change a node of the host's.

use crate::built::Built;
use crate::container_path::ContainerPath;
use crate::filesystem::mount_simple;
use crate::layout::{DEFAULT_DEVICES, DEV_LINKS, DevicePlan, Layout};
use crate::nodes::{Device, clone_node, make_detached};
use crate::step::{During, Fault, Result, Step};
use crate::target::{Kind, create_file, duplicate};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use sys::Errno;
use sys::credentials;
use sys::fs::{LeakyFd, file_type, openat};
use sys::mount::{self, Depth};
use sys::nix::fcntl::{AtFlags, OFlag};
use sys::nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, fstatat, makedev, mknodat};
use sys::nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

/// Makes the default devices and links in /dev, and `linux.devices`.
pub(crate) fn make_devices(layout: &Layout, built: &Built) -> Result<()> {
    if layout.sets_up_dev {
        let found;
        let dev = if let Some(mount) = built.mount_at(&layout.dev) {
            mount
        } else {
            found = built.find_or_make(&layout.dev, Kind::Directory).during(Step::DevFolder)?;
            &found.file
        };
        for (index, &(name, major, minor)) in DEFAULT_DEVICES.iter().enumerate() {
            let device = Device { kind: SFlag::S_IFCHR, number: makedev(major, minor) };
            let mode = Mode::from_bits_truncate(0o666);
            let path = || CString::new([b"/dev/", name.to_bytes()].concat()).unwrap_or_default();
            let made = make_node(dev, name, device, mode, || clone_node(&path()));
            made.map_err(|errno| Fault::new(Step::DefaultDevice, errno).at(index))?;
        }
        make_links(dev, layout, built)?;
    }
    for (index, device) in layout.devices.iter().enumerate() {
        if layout.sets_up_dev && device.is_ptmx {
            // The link leads to the container's own multiplexer (pts(4)); a node would be the
            // host's.
            continue;
        }
        make_configured(device, layout, built).map_err(|fault| fault.at(index))?;
    }
    Ok(())
}

fn make_links(dev: &LeakyFd, layout: &Layout, built: &Built) -> Result<()> {
    for (index, &(name, to, needed)) in DEV_LINKS.iter().enumerate() {
        let at = |errno| Fault::new(Step::DevLink, errno).at(index);
        if built.has_in_proc(&layout.proc, needed) {
            match symlinkat(to, dev, name) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(at(errno)),
            }
        }
    }
    // Replaces what the image has there, which may be the multiplexer of another devpts.
    let index = DEV_LINKS.len();
    match symlinkat(c"pts/ptmx", dev, c"ptmx") {
        Err(Errno::EEXIST) => unlinkat(dev, c"ptmx", UnlinkatFlags::NoRemoveDir)
            .and_then(|()| symlinkat(c"pts/ptmx", dev, c"ptmx")),
        made => made,
    }
    .map_err(|errno| Fault::new(Step::DevLink, errno).at(index))
}

fn make_configured(plan: &DevicePlan, layout: &Layout, built: &Built) -> Result<()> {
    let parent = built.find_or_make(&plan.parent, Kind::Directory).during(Step::Device)?.file;
    let name = &plan.name;
    let device = Device::from(plan);
    let hosts = || match &plan.detached {
        Some(node) => duplicate(node.as_fd()),
        None => match clone_node(&plan.path) {
            // A container in a user namespace has left an empty file, and the host has no such
            // device.
            Err(Errno::ENOENT) if is_empty(&parent, name) => {
                make_detached(plan, (Some(plan.uid), Some(plan.gid)), layout.label.as_ref())?
                    .map(LeakyFd::from)
                    .ok_or(Errno::ENOENT)
            }
            cloned => cloned,
        },
    };
    let origin = match make_node(&parent, name, device, plan.mode, hosts) {
        Err(Errno::EEXIST) => return Err(Fault::new(Step::DeviceMismatch, Errno::EEXIST)),
        origin => origin.during(Step::Device)?,
    };
    if origin == NodeOrigin::Bound || origin == NodeOrigin::Found && plan.is_hosts {
        // This is a node of the host's, whose owner and mode the config must not change.
        return Ok(());
    }
    match credentials::give_at(&parent, name.as_c_str(), plan.uid, Some(plan.gid)) {
        Err(errno)
            if origin == NodeOrigin::Found && stays(&parent, name, device, layout, errno) =>
        {
            return Ok(());
        }
        owned => owned.during(Step::Device)?,
    }
    if origin == NodeOrigin::Found {
        set_mode(&parent, name, device, plan.mode).during(Step::Device)?;
    }
    Ok(())
}

/// Whether a node that rind can't give to its owner may stay as it is: a node of the host's that an
/// earlier entry or a default device has bound, or one of the image that the user namespace can't
/// change.
fn stays(dir: &LeakyFd, name: &CStr, device: Device, layout: &Layout, errno: Errno) -> bool {
    let is_bound = || -> sys::Result<bool> {
        let node = open_nofollow(dir, name)?;
        Ok(device.is(&fstat(&node)?) && sys::fs::mount_facts(&node)?.is_root)
    };
    errno == Errno::EPERM && layout.context.is_in_user_namespace() || is_bound().unwrap_or(false)
}

/// Where a device node came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeOrigin {
    Created,
    Found,
    Bound,
}

/// Makes a device node; `EEXIST` if something else is there.
///
/// In a user namespace, rind's own or the container's, the kernel makes no devices, nor without
/// `CAP_MKNOD` or where a device cgroup forbids it. rind then binds the host's node, a clone of which `hosts` returns, to an empty file. It does so to an existing
/// file too, as an earlier container in the same root leaves such files.
fn make_node(
    dir: &LeakyFd,
    name: &CStr,
    device: Device,
    mode: Mode,
    hosts: impl FnOnce() -> sys::Result<LeakyFd>,
) -> sys::Result<NodeOrigin> {
    match mknodat(dir, name, device.kind, mode, device.number) {
        Ok(()) => Ok(NodeOrigin::Created),
        Err(Errno::EEXIST) => {
            let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            match file_type(&stat) {
                _ if device.is(&stat) => Ok(NodeOrigin::Found),
                SFlag::S_IFREG if device.kind != SFlag::S_IFIFO => {
                    let bound = bind_host_node(&open_nofollow(dir, name)?, device, hosts);
                    bound.map_err(|errno| match errno {
                        Errno::ENOENT | Errno::ENODEV => Errno::EEXIST,
                        errno => errno,
                    })
                }
                _ => Err(Errno::EEXIST),
            }
        }
        Err(Errno::EPERM) if device.kind != SFlag::S_IFIFO => {
            let clone = hosts()?;
            bind_host_node(&create_file(dir, name, 0o666)?, device, || Ok(clone))
        }
        Err(errno) => Err(errno),
    }
}

fn is_empty(dir: &LeakyFd, name: &CStr) -> bool {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_size == 0)
}

/// Opens what is at `name` (`O_PATH`), a link itself.
fn open_nofollow(dir: &LeakyFd, name: &CStr) -> sys::Result<LeakyFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty()).map(LeakyFd::from)
}

/// Sets the mode of an existing node, but not of a file that another process puts in its place.
fn set_mode(dir: &LeakyFd, name: &CStr, device: Device, mode: Mode) -> sys::Result<()> {
    let node = open_nofollow(dir, name)?;
    if !device.is(&fstat(&node)?) {
        return Err(Errno::EEXIST);
    }
    match sys::fs::set_mode(&node, mode) {
        // In a joined mount namespace, /proc is another container's, so rind makes a procfs.
        Err(Errno::ENOSYS) => {
            let proc = mount_simple(c"proc", &[], mount::Attr::empty())?;
            let path = sys::fs::proc_fd_path(&node);
            let path = path.trim_start_matches("/proc/");
            fchmodat(&proc, path, mode, FchmodatFlags::FollowSymlink)
        }
        set => set,
    }
}

/// Binds the clone of a node of the host's from `hosts` to `point`, after checking that it is
/// `device`. The clone must be read-only: a container with the host's root mapped must not change
/// mode, owner or times.
fn bind_host_node(
    point: &LeakyFd,
    device: Device,
    hosts: impl FnOnce() -> sys::Result<LeakyFd>,
) -> sys::Result<NodeOrigin> {
    let clone = hosts()?;
    if !device.is(&fstat(&clone)?) {
        return Err(Errno::ENODEV);
    }
    mount::move_mount(&clone, point, c"").map(|()| NodeOrigin::Bound)
}

impl Layout {
    /// Binds the terminal behind `slave` to /dev/console. The terminal is the container's own, made
    /// in its devpts, so the container may change its mode and owner, as login programs do.
    pub fn bind_console(&self, built: &Built, slave: BorrowedFd) -> Result<()> {
        bind_console(&self.dev, built, slave).during(Step::Console)
    }
}

fn bind_console(dev: &ContainerPath, built: &Built, slave: BorrowedFd) -> sys::Result<()> {
    let dev = built.find(dev)?;
    let point = match open_nofollow(&dev, c"console") {
        Err(Errno::ENOENT) => create_file(&dev, c"console", 0o620)?,
        opened => opened?,
    };
    // The image may have a link there, which rind has opened itself.
    if file_type(&fstat(&point)?) == SFlag::S_IFLNK {
        return Err(Errno::ELOOP);
    }
    let clone = mount::open_tree(slave, c"", Depth::One, false)?;
    mount::move_mount(&clone, &point, c"")
}
