//! Why making a mount failed, where the kernel's answer alone doesn't tell, and what helps. Looks at the
//! host once a step has failed, and never before.

use crate::layout::{MountKind, MountPlan, Source};
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use sys::Errno;

/// What is known beside the kernel's answer; either may be empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    pub cause: String,
    pub hint: String,
}

fn hint(hint: impl Into<String>) -> Advice {
    Advice { cause: String::new(), hint: hint.into() }
}

fn advice(cause: impl Into<String>, hint: impl Into<String>) -> Advice {
    Advice { cause: cause.into(), hint: hint.into() }
}

fn path(text: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(text.to_bytes())).to_owned()
}

/// The source, as a path of the host; it is one of bind mounts and of disks only.
fn source(plan: &MountPlan) -> PathBuf {
    match &plan.kind {
        MountKind::Bind { source: Source::Path(from), .. } => path(from),
        _ => path(&plan.source),
    }
}

fn target(plan: &MountPlan) -> String {
    plan.target.path.to_string_lossy().into_owned()
}

fn type_of(plan: &MountPlan) -> String {
    match &plan.kind {
        MountKind::FileSystem { name, .. } => name.to_string_lossy().into_owned(),
        MountKind::Cgroup => "cgroup".to_owned(),
        _ => String::new(),
    }
}

pub(crate) fn none(_: &MountPlan, errno: Errno) -> Advice {
    hint(general(errno))
}

/// What an answer means wherever it comes from.
fn general(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => {
            "it needs CAP_SYS_ADMIN in the user namespace that owns the mounts, and no seccomp \
            profile or security module around rind that forbids it"
        }
        Errno::EACCES => {
            "the user that rind runs as, or root of the user namespace, may not reach it: see \
            the modes of all directories above"
        }
        Errno::ENOSPC => "a file system, or the limit on mounts (fs.mount-max), is full",
        Errno::EMFILE => "the limit on open files is reached: ulimit -n",
        Errno::ENFILE => "the host's limit on open files is reached: fs.file-max",
        Errno::ENOMEM => "out of memory: see linux.resources.memory.limit, and the host's",
        Errno::EIO | Errno::EUCLEAN => "the disk, or its file system, is damaged: dmesg says more",
        Errno::EROFS => "the file system is read-only",
        Errno::ESTALE | Errno::ENOTCONN => "the server of this file system is gone: mount it anew",
        _ => "",
    }
}

pub(crate) fn mount_point(plan: &MountPlan, errno: Errno) -> Advice {
    let target = target(plan);
    match errno {
        Errno::ENOTDIR => advice(
            "a component of the destination is a file",
            "name another destination, or remove that file from the image",
        ),
        Errno::ELOOP => advice(
            "a link of the image leads to itself",
            format!("remove the link {target} from the image"),
        ),
        Errno::EROFS => advice(
            "it is missing, and the root's file system is read-only",
            format!("make {target} in the image"),
        ),
        Errno::ENAMETOOLONG => {
            advice("a name is longer than 255 bytes", "take a shorter destination")
        }
        Errno::EACCES | Errno::EPERM => hint(format!(
            "make {target} in the image, or the image writable for root of the user namespace"
        )),
        _ => none(plan, errno),
    }
}

pub(crate) fn not_ordinary(plan: &MountPlan, _: Errno) -> Advice {
    let target = target(plan);
    advice(
        format!("{target} of the image is a link or a file"),
        format!("make {target} an empty directory in the image"),
    )
}

pub(crate) fn in_proc(_: &MountPlan, _: Errno) -> Advice {
    hint(
        "a container could lead other programs astray with it: for a value of /proc/sys use linux.sysctl, \
        to hide a file linux.maskedPaths",
    )
}

pub(crate) fn of_source(plan: &MountPlan, errno: Errno) -> Advice {
    let source = source(plan).display().to_string();
    match errno {
        Errno::ENOENT => {
            hint(format!("make {source} on the host, or correct source of this mount"))
        }
        Errno::ENOTDIR => {
            advice("a component of the source is a file", "correct source of this mount")
        }
        Errno::ELOOP => {
            advice("a link of the source leads to itself", "correct source of this mount")
        }
        Errno::EINVAL => advice(
            "its mount is unbindable, or of another mount namespace",
            format!("mount --make-private {source}"),
        ),
        _ => none(plan, errno),
    }
}

pub(crate) fn file_system(plan: &MountPlan, errno: Errno) -> Advice {
    let name = type_of(plan);
    if name.is_empty() || name == "bind" {
        return hint(
            "a bind mount needs the option bind or rbind; any other a type, such as tmpfs",
        );
    }
    match errno {
        Errno::ENODEV => hint(format!(
            "the kernel has no such file system (is a module missing? try modprobe {name}); /proc/filesystems has all"
        )),
        Errno::EPERM => hint(
            "in a user namespace only few file systems can be mounted, as tmpfs, proc, \
            sysfs, mqueue, devpts and overlay; mount it on the host and bind it",
        ),
        _ => none(plan, errno),
    }
}

/// The values of an option of the file system.
fn values<'a>(plan: &'a MountPlan, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    let is_it = move |key: &CStr| key.to_bytes() == name.as_bytes();
    let found = plan.options.parameters.iter().filter(move |(key, _)| is_it(key));
    found.filter_map(|(_, value)| value.as_deref().map(path))
}

pub(crate) fn parameter(plan: &MountPlan, errno: Errno) -> Advice {
    let name = type_of(plan);
    if name == "overlay" && errno == Errno::ENOENT {
        return overlay(plan, errno);
    }
    match errno {
        Errno::EINVAL => hint(format!(
            "correct or leave out this option; mount(8) and {name}(5) have those of {name}"
        )),
        _ => none(plan, errno),
    }
}

pub(crate) fn make(plan: &MountPlan, errno: Errno) -> Advice {
    let name = type_of(plan);
    match (name.as_str(), errno) {
        ("proc", Errno::EPERM) => hint(
            "in a user namespace the kernel makes a proc only for a pid namespace that is its own (for the \
             host's, bind /proc), and where nothing covers parts of the proc outside (a container that this \
             is run in needs an unmasked /proc)",
        ),
        ("sysfs", Errno::EPERM) => hint(
            "in a user namespace the kernel makes a sysfs only for a network namespace that is its own: \
             bind /sys of the host, or make a network namespace",
        ),
        ("overlay", _) => overlay(plan, errno),
        (_, Errno::ENOENT) => {
            hint(format!("there is no {}: correct source", source(plan).display()))
        }
        (_, Errno::ENOTBLK) => {
            let source = source(plan);
            let is_file =
                fs::metadata(&source).is_ok_and(|found| !found.file_type().is_block_device());
            let cause = if is_file { "source is no block device" } else { "" };
            advice(cause, "name a disk, or make one of an image file: losetup --find --show FILE")
        }
        (_, Errno::EINVAL) => hint(format!(
            "is that a file system of type {name}, and are the options {name}'s? dmesg says more"
        )),
        (_, Errno::EBUSY) => hint("it is mounted elsewhere with other options, or in use"),
        _ => none(plan, errno),
    }
}

fn overlay(plan: &MountPlan, errno: Errno) -> Advice {
    let one = |name| values(plan, name).last();
    let (upper, work) = (one("upperdir"), one("workdir"));
    let lower = values(plan, "lowerdir").chain(values(plan, "lowerdir+"));
    let lower: Vec<PathBuf> = lower.flat_map(|list| split_layers(&list)).collect();
    let all = lower.iter().chain(&upper).chain(&work);
    if let Some(missing) = all.clone().find(|path| fs::metadata(path).is_err()) {
        let missing = missing.display();
        return advice(
            format!("the layer {missing} is missing"),
            format!("make {missing} on the host"),
        );
    }
    if let Some(file) =
        all.clone().find(|path| fs::metadata(path).is_ok_and(|found| !found.is_dir()))
    {
        return advice(format!("{} is no directory", file.display()), "a layer is a directory");
    }
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    match (&upper, &work) {
        (Some(_), None) => advice(
            "upperdir needs a workdir",
            "add the option workdir=DIR, an empty directory beside upperdir",
        ),
        (None, Some(_)) => {
            advice("workdir needs an upperdir", "add the option upperdir=DIR, or leave workdir out")
        }
        (Some(upper), Some(work)) if device(upper) != device(work) => advice(
            "upperdir and workdir are not on the same file system",
            "make workdir a directory beside upperdir",
        ),
        (Some(upper), Some(work)) if upper.starts_with(work) || work.starts_with(upper) => advice(
            "one of upperdir and workdir is in the other",
            "make workdir a directory beside upperdir",
        ),
        _ if lower.is_empty() => {
            advice("there is no lowerdir", "add the option lowerdir=DIR[:DIR...]")
        }
        (None, None) if lower.len() == 1 => advice(
            "one lowerdir alone makes no overlay",
            "add a second lowerdir, or upperdir and workdir; or bind it, read-only",
        ),
        _ if errno == Errno::EBUSY => hint("upperdir or workdir is another overlay's"),
        _ => hint(
            "upperdir's file system must keep extended attributes and be no overlay or network file system; \
             lower layers may be 500 at most, and none may be in upperdir; dmesg says more",
        ),
    }
}

/// The layers of `lowerdir`; a colon in a name has a backslash before it.
fn split_layers(list: &Path) -> Vec<PathBuf> {
    let text = list.to_string_lossy().replace("\\:", "\0");
    let layers = text.split(':').filter(|layer| !layer.is_empty());
    layers.map(|layer| PathBuf::from(layer.replace('\0', ":"))).collect()
}

pub(crate) fn attributes(plan: &MountPlan, errno: Errno) -> Advice {
    match (&plan.kind, errno) {
        (MountKind::Bind { .. } | MountKind::Remount, Errno::EPERM) => hint(
            "the host's mount has a flag that can't be cleared, or access times that can't be changed, as a \
             user namespace has them locked: give the mount the host's options",
        ),
        (_, Errno::EINVAL) => {
            hint("idmap needs a file system that can be mapped, and is not mapped yet")
        }
        _ => none(plan, errno),
    }
}

pub(crate) fn attach(plan: &MountPlan, errno: Errno) -> Advice {
    let (source, target) = (source(plan), target(plan));
    match (&plan.kind, errno) {
        (MountKind::Bind { .. }, Errno::ENOTDIR) => {
            let is_directory = fs::metadata(&source).is_ok_and(|found| found.is_dir());
            let (one, two) =
                if is_directory { ("a directory", "a file") } else { ("a file", "a directory") };
            advice(
                format!("{} is {one}, and {target} of the image {two}", source.display()),
                "mount a file on a file, a directory on a directory",
            )
        }
        (_, Errno::ENOTDIR) => advice(
            format!("{target} of the image is no directory"),
            format!("make {target} a directory in the image"),
        ),
        (_, Errno::ENOSPC) => hint("the limit on mounts is reached: fs.mount-max"),
        (_, Errno::ELOOP) => hint("the destination is in the mount itself"),
        (_, Errno::EINVAL) => {
            hint("the destination is on a mount of another mount namespace, or unmounted meanwhile")
        }
        _ => none(plan, errno),
    }
}

pub(crate) fn remount(plan: &MountPlan, errno: Errno) -> Advice {
    let target = target(plan);
    match errno {
        Errno::EINVAL => advice(
            format!("nothing is mounted on {target}, or the options are not its own"),
            "mount it in an entry before this one",
        ),
        Errno::EPERM => hint(
            "a flag of the mount is locked, as a user namespace locks what it has from outside: keep it",
        ),
        Errno::EBUSY => hint("a file of it is open for writing"),
        _ => none(plan, errno),
    }
}

pub(crate) fn copy_up(plan: &MountPlan, errno: Errno) -> Advice {
    match errno {
        Errno::ENOSPC => {
            hint("the tmpfs is smaller than what the image has there: set its size, or nr_inodes")
        }
        _ => none(plan, errno),
    }
}

pub(crate) fn label(plan: &MountPlan, errno: Errno) -> Advice {
    match errno {
        Errno::EINVAL => hint("the loaded SELinux policy has no such label"),
        _ => none(plan, errno),
    }
}

pub(crate) fn moved(plan: &MountPlan, errno: Errno) -> Advice {
    if errno == Errno::ENOSYS {
        return none(plan, errno);
    }
    advice(
        "it was moved, or covered, meanwhile: by a hook, or by whoever else has the rootfs",
        "give each container a root of its own",
    )
}

pub(crate) fn cgroup(plan: &MountPlan, errno: Errno) -> Advice {
    match errno {
        Errno::ENODEV => hint("the host has no cgroup file system at /sys/fs/cgroup: mount one"),
        _ => none(plan, errno),
    }
}
