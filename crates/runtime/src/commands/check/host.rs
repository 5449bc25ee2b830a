//! The host: all that is looked at without a bundle, in the order to show it in.

use super::finding::Finding;
use super::{CheckOptions, cgroups, kernel, namespaces, security, user};
use crate::{Error, Runtime};
use procfs::FromBufRead;
use procfs::process::MountInfos;
use std::path::Path;
use sys::Errno;
use sys::nix::fcntl::{AT_FDCWD, AtFlags};
use sys::nix::unistd::{AccessFlags, faccessat};

pub(super) fn findings(runtime: &Runtime, options: &CheckOptions) -> Vec<Finding> {
    let mut all = kernel::findings();
    all.extend(namespaces::findings());
    all.extend(user::findings());
    all.extend(cgroups::findings(options));
    all.extend(security::findings());
    all.push(state(&runtime.root));
    all.extend(file_systems(&runtime.root));
    all.push(criu(&options.criu));
    all.push(resctrl());
    all
}

/// Whether the state of containers can be kept at `--root`.
fn state(root: &Path) -> Finding {
    let found = |detail: String| Finding::ok("file systems", "--root", detail);
    let consequence = "no container can be made: its state can't be kept";
    if root.exists() {
        return match state::Store::open(root, false) {
            Ok(_) if may_write(root) => found(root.display().to_string()),
            Ok(_) => found(format!("{}: the caller may not write to it", root.display()))
                .lacks(consequence, "name another directory by --root, or run as its owner"),
            Err(error) => {
                let remedy = "name a directory by --root that is root's or the caller's alone";
                found(error.text().to_owned())
                    .lacks(consequence, error.hint().unwrap_or(remedy).to_owned())
            }
        };
    }
    let there = root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (root, shown) = (root.display(), there.display());
    if may_write(there) {
        return found(format!("{root}, to be made"));
    }
    found(format!("{root} can't be made: the caller may not write to {shown}")).lacks(
        consequence,
        "name a directory of the caller's by --root, or set XDG_RUNTIME_DIR (a login does)",
    )
}

fn may_write(directory: &Path) -> bool {
    let how = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, directory, how, AtFlags::AT_EACCESS).is_ok()
}

/// Whether the ids of mounts can be mapped: of what is at `--root`, where bundles often are too, and of
/// new tmpfs.
fn file_systems(root: &Path) -> Vec<Finding> {
    let there = root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let kind = file_system_of(there).unwrap_or_default();
    let what = format!("idmapped mounts of {kind}");
    let of_root = idmap(&what, format!("at {}", there.display()), Some(there));
    let mut all = vec![of_root];
    if kind != "tmpfs" {
        all.push(idmap("idmapped mounts of tmpfs", "a new one".to_owned(), None));
    }
    all
}

/// Whether the ids of the file system at `path`, or of a new tmpfs, can be mapped.
pub(super) fn idmap(what: &str, detail: String, path: Option<&Path>) -> Finding {
    let found = |detail| Finding::ok("file systems", what, detail);
    let consequence =
        "a mount with uidMappings and gidMappings of its own, idmap or ridmap, is refused";
    match rootfs::try_mapping(path) {
        Ok(()) => found(detail),
        Err(Errno::EPERM) => found(format!("{detail}: the caller may not map ids")).warns(
            format!("{consequence} on this file system, for this user"),
            "run as root of the host",
        ),
        Err(Errno::EINVAL) => found(format!("{detail}: the file system can't map ids")).warns(
            format!("{consequence} on this file system"),
            "put sources of such mounts on ext4, xfs, btrfs, or tmpfs from Linux 6.3 on",
        ),
        Err(errno) => found(Error::call(detail, errno).to_string())
            .warns(consequence, "see the rows of system calls and namespaces"),
    }
}

/// The type of the file system that `path` is on: of the mount at the longest prefix of the path.
pub(super) fn file_system_of(path: &Path) -> Option<String> {
    let text = std::fs::read("/proc/self/mountinfo").ok()?;
    let mounts = MountInfos::from_buf_read(text.as_slice()).ok()?;
    let path = std::fs::canonicalize(path).ok()?;
    let around = mounts.into_iter().filter(|mount| path.starts_with(&mount.mount_point));
    // Of mounts at the same place, the last covers the others.
    around.max_by_key(|mount| mount.mount_point.components().count()).map(|mount| mount.fs_type)
}

fn criu(program: &Path) -> Finding {
    let found = |detail| Finding::ok("programs", "criu", detail);
    let consequence = "checkpoint and restore fail";
    match ::criu::check(program, &[]) {
        Ok(version) => found(format!("version {version}")),
        Err(error) => found(error.to_string())
            .warns(consequence, "install criu 3.16 or newer, or name it by --criu"),
    }
}

fn resctrl() -> Finding {
    let found = |detail: &str| Finding::ok("programs", "resctrl", detail);
    let consequence = "a config with linux.intelRdt is refused";
    let kernel_has_it = std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|text| text.lines().any(|line| line.ends_with("\tresctrl")));
    match crate::host::resctrl::find_root() {
        Ok(root) => found(&format!("mounted at {}", root.display())),
        Err(_) if kernel_has_it => {
            found("not mounted").warns(consequence, "mount -t resctrl resctrl /sys/fs/resctrl")
        }
        Err(_) => found("not in this kernel, or not in this processor").warns(
            consequence,
            "none on this processor if it has no RDT (Intel), PQoS (AMD) or MPAM (Arm); else a \
             kernel with CONFIG_X86_CPU_RESCTRL or its like",
        ),
    }
}
