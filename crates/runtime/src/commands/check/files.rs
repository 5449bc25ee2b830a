//! The files that a config names on the host: the rootfs, sources of mounts, hooks, devices, sockets.
//! `create` finds most of them missing only in the container's init.

use super::finding::{CREATE_FAILS, Finding, at};
use super::kernel::is_admin;
use super::resolve::{Found, Tree, has_option, is_bind};
use oci_spec::runtime::{Hook, LinuxDevice, LinuxDeviceType, Mount};
use spec::Bundle;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use sys::nix::fcntl::AT_FDCWD;
use sys::nix::sys::stat::{SFlag, major, minor};
use sys::nix::sys::statvfs::{FsFlags, statvfs};

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut all = vec![root(bundle)];
    all.extend(mounts(bundle));
    all.extend(hooks(bundle));
    all.extend(devices(bundle));
    all.extend(listener(bundle));
    all
}

/// Whether the rootfs is there, and a directory.
fn root(bundle: &Bundle) -> Finding {
    let path = bundle.rootfs.display();
    let found = |detail: String| at("root.path", detail);
    let consequence = "create fails: there is nothing to become the container's root";
    match fs::metadata(&bundle.rootfs) {
        Ok(facts) if facts.is_dir() => found(path.to_string()),
        Ok(_) => found(format!("{path} is not a directory"))
            .lacks(consequence, "name the directory that the image is unpacked in"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            found(format!("{path} does not exist")).lacks(
                consequence,
                format!("mkdir {path} and unpack an image there, or correct root.path"),
            )
        }
        Err(error) => found(format!("{path}: {}", sys::answer(&error)))
            .lacks(consequence, "give the caller access to it and to each directory above it"),
    }
}

fn mounts(bundle: &Bundle) -> Vec<Finding> {
    let list = bundle.spec.mounts().as_deref().unwrap_or_default();
    let tree = Tree::new(&bundle.spec, &bundle.path, &bundle.rootfs).ok();
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_known = |kind: &str| known.split_whitespace().any(|one| one == kind);
    let mut all = Vec::new();
    for (index, mount) in
        list.iter().enumerate().filter(|(_, mount)| !has_option(mount, &["remount"]))
    {
        if is_bind(mount) {
            match source(bundle, tree.as_ref(), index, mount) {
                Ok(is_directory) => all.extend(is_directory.and_then(|is_directory| {
                    destination(bundle, tree.as_ref(), index, mount, is_directory)
                })),
                Err(found) => all.push(*found),
            }
            continue;
        }
        let kind = mount.typ().as_deref().unwrap_or_default();
        // Rind makes one of type cgroup by itself; fuse.NAME is a fuse.
        let base = kind.split('.').next().unwrap_or(kind);
        if !kind.is_empty() && kind != "cgroup" && !is_known(base) {
            let detail = format!("{kind} is not in /proc/filesystems");
            all.push(at(format!("mounts[{index}].type"), detail).warns(
                "create fails, unless the kernel loads a module for it",
                format!("modprobe {kind}, or a kernel that has it"),
            ));
        }
        if kind.is_empty() {
            let detail = format!("{}: has no type and is no bind", mount.destination().display());
            all.push(
                at(format!("mounts[{index}].type"), detail)
                    .lacks(CREATE_FAILS, "give it a type, as tmpfs, or the option bind or rbind"),
            );
        }
    }
    if all.is_empty() {
        let binds = list.iter().filter(|mount| is_bind(mount)).count();
        all.push(at(
            "mounts",
            format!("{} entries; the sources of {binds} binds are there", list.len()),
        ));
    }
    all
}

/// Whether the source of a bind is a directory; none if nobody knows before an earlier entry is mounted.
fn source(
    bundle: &Bundle,
    tree: Option<&Tree>,
    index: usize,
    mount: &Mount,
) -> Result<Option<bool>, Box<Finding>> {
    let given = mount.source().clone().unwrap_or_default();
    let path = bundle.path.join(&given);
    let (what, shown) = (format!("mounts[{index}].source"), path.display());
    let consequence = format!("create fails at the bind on {}", mount.destination().display());
    if given.as_os_str().is_empty() {
        let found = at(what, "a bind without a source");
        let remedy = "name the file or directory of the host";
        return Err(Box::new(found.lacks(consequence, remedy)));
    }
    let facts = if has_option(mount, &["src-nofollow", "copy-symlink"]) {
        fs::symlink_metadata(&path)
    } else {
        fs::metadata(&path)
    };
    let error = match facts {
        Ok(facts) => return Ok(Some(facts.is_dir())),
        Err(error) => error,
    };
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let within = path.strip_prefix(&bundle.rootfs).ok().zip(tree);
    if is_missing && within.is_some_and(|(way, tree)| !tree.lacks_before(index, way)) {
        return Ok(None);
    }
    let remedy = if is_missing {
        format!("mkdir -p {shown} (or make the file), or correct the source")
    } else {
        "give the caller access to it and to each directory above it".to_owned()
    };
    let found = at(what, format!("{shown}: {}", sys::answer(&error)));
    Err(Box::new(found.lacks(consequence, remedy)))
}

/// Whether a bind's destination is of the source's kind, and can be made if it is missing.
fn destination(
    bundle: &Bundle,
    tree: Option<&Tree>,
    index: usize,
    mount: &Mount,
    is_directory: bool,
) -> Option<Finding> {
    if has_option(mount, &["dest-nofollow", "copy-symlink"]) {
        return None;
    }
    let path = mount.destination();
    let what = format!("mounts[{index}].destination");
    let shown = path.display();
    match tree?.find_before(index, path) {
        Found::There { facts, .. } => {
            let kind = sys::fs::file_type(&facts);
            let there = kind == SFlag::S_IFDIR;
            let named = |is| if is { "a directory" } else { "a file" };
            let detail =
                format!("{shown} is {}, and the source is {}", named(there), named(is_directory));
            let wrong = kind != SFlag::S_IFLNK && there != is_directory;
            wrong.then(|| {
                at(what, detail).lacks(
                    "create fails: a directory can be mounted on a directory only, a file on a file",
                    "correct the source or the destination, or remove what is there in the rootfs",
                )
            })
        }
        Found::Missing if is_read_only(&bundle.rootfs) => {
            let detail =
                format!("{shown} is missing, and the rootfs is on a read-only file system");
            Some(at(what, detail).lacks(
                "create fails: the mount point can't be made",
                "make it in the image, or have the rootfs writable (root.readonly is for the container)",
            ))
        }
        _ => None,
    }
}

fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
}

/// Hooks, but for startContainer, are files of the host.
#[allow(deprecated)] // rind still runs prestart hooks
fn hooks(bundle: &Bundle) -> Vec<Finding> {
    let Some(hooks) = bundle.spec.hooks() else { return Vec::new() };
    let lists = [
        ("prestart", hooks.prestart(), "create fails, and undoes the container"),
        ("createRuntime", hooks.create_runtime(), "create fails, and undoes the container"),
        ("createContainer", hooks.create_container(), "create fails, and undoes the container"),
        ("poststart", hooks.poststart(), "start fails, and undoes the container"),
        ("poststop", hooks.poststop(), "delete warns, and what the hook cleans up stays"),
    ];
    let mut all = Vec::new();
    let mut count = 0;
    for (name, list, consequence) in lists {
        for (index, hook) in list.iter().flatten().enumerate() {
            count += 1;
            let wrong = hook_on_host(hook).map(|(detail, remedy)| {
                let found = at(format!("hooks.{name}[{index}].path"), detail);
                let found = found.lacks(consequence, remedy);
                found.only_warns_if(name == "poststop")
            });
            all.extend(wrong);
        }
    }
    if all.is_empty() && count > 0 {
        all.push(at("hooks", format!("{count} programs of the host are there")));
    }
    all
}

/// What is wrong with a hook's program, and what helps.
fn hook_on_host(hook: &Hook) -> Option<(String, String)> {
    let path = hook.path();
    let shown = path.display();
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) => {
            let detail = format!("{shown}: {}", sys::answer(&error));
            return Some((detail, "install the program, or take the hook out".to_owned()));
        }
    };
    if !facts.is_file() {
        return Some((format!("{shown} is no file"), "name the program's file".to_owned()));
    }
    let c_path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
    match sys::fs::is_executable(AT_FDCWD, &c_path) {
        Err(sys::Errno::EACCES) => {
            Some((format!("{shown} is not executable"), format!("chmod +x {shown}")))
        }
        _ => None,
    }
}

/// A user other than root can't make devices: the host's are bound.
fn devices(bundle: &Bundle) -> Vec<Finding> {
    if is_admin() {
        return Vec::new();
    }
    let linux = bundle.spec.linux().as_ref();
    let list = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let wrong = list
        .iter()
        .enumerate()
        .filter(|(_, device)| device.typ() != LinuxDeviceType::P && !host_has(device));
    wrong
        .map(|(index, device)| {
            let detail = format!("{} is no such device of the host", device.path().display());
            at(format!("linux.devices[{index}]"), detail).lacks(
                "create fails: a user other than root can only have devices that the host has at \
                 this path",
                "have root make it (mknod), or leave it out",
            )
        })
        .collect()
}

fn host_has(device: &LinuxDevice) -> bool {
    fs::symlink_metadata(device.path()).is_ok_and(|facts| {
        let kind = facts.file_type();
        let is_kind = match device.typ() {
            LinuxDeviceType::B => kind.is_block_device(),
            _ => kind.is_char_device(),
        };
        let number = |value: i64| u64::try_from(value).ok();
        is_kind
            && number(device.major()) == Some(major(facts.rdev()))
            && number(device.minor()) == Some(minor(facts.rdev()))
    })
}

/// The socket that gets the seccomp listener has to be there at create.
fn listener(bundle: &Bundle) -> Option<Finding> {
    let path = bundle.spec.linux().as_ref()?.seccomp().as_ref()?.listener_path().as_ref()?;
    let is_socket = || fs::metadata(path).is_ok_and(|facts| facts.file_type().is_socket());
    if path.as_os_str().is_empty() || is_socket() {
        return None;
    }
    let detail = format!("{} is no socket now", path.display());
    Some(at("linux.seccomp.listenerPath", detail).warns(
        "create fails if nobody listens there by then",
        "start the program that takes the listener",
    ))
}

/// What of the config can't be told before it runs, as it is in such mounts.
pub(super) fn hidden(bundle: &Bundle, entries: &HashSet<usize>) -> String {
    let list = bundle.spec.mounts().as_deref().unwrap_or_default();
    let names = list.iter().enumerate().filter(|(index, _)| entries.contains(index));
    let mut names: Vec<String> = names
        .map(|(index, mount)| format!("mounts[{index}] ({})", mount.destination().display()))
        .collect();
    names.sort();
    names.join(", ")
}
