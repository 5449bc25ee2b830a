//! Making a container's cgroups, and the descriptors by which its processes enter them.

use crate::error::{Error, Result};
use crate::host::{self, Mounted};
use crate::path::{CgroupPath, Hierarchy, join};
use crate::{controllers, file, freezer, limits, processes};
use oci_spec::runtime::LinuxResources;
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::credentials::{self, Id};
use sys::nix::fcntl::{AT_FDCWD, OFlag};
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{AccessFlags, access, mkdir};

/// How often making a cgroup is tried again whose parent another runtime has removed meanwhile.
const RACES: usize = 16;

/// The controllers that a cgroup with processes can hand down.
const OF_THREADS: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];

/// The file of a v1 cgroup that a process enters it by.
const ENTRY: &str = "tasks";

/// What is chowned where the kernel doesn't say what a delegated cgroup needs (cgroups(7)).
const DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// Writes down where the cgroups are going to be; the error is a message for the user.
pub(crate) type Note<'a> = &'a mut dyn FnMut(CgroupPath) -> std::result::Result<(), String>;

/// Makes the container's cgroup in every hierarchy, with the parents that are missing.
///
/// One that exists is taken if it has no processes and isn't frozen. The controllers that
/// `resources` need are enabled. On an error everything that was made is removed. `note` is called
/// before any parent is made, and anything below rind's own cgroup.
///
/// Gives the [`entry_files`], as these tell whether what was made is a cgroup at all.
pub(crate) fn make(
    place: &mut CgroupPath,
    resources: Option<&LinuxResources>,
    note: Note,
) -> Result<Vec<OwnedFd>> {
    if place.disabled {
        return Ok(Vec::new());
    }
    let needed = resources.map_or(Ok(Vec::new()), |all| limits::needed_controllers(place, all))?;
    let result = enter_all(place, note).and_then(|entries| {
        controllers::enable(place, &needed, place.lenient)?;
        refuse_frozen(place)?;
        Ok(entries)
    });
    if result.is_err() {
        place.hierarchies.iter_mut().for_each(unmake);
    }
    result
}

fn enter_all(place: &mut CgroupPath, mut note: Note) -> Result<Vec<OwnedFd>> {
    let (pure, lenient) = (place.is_pure_v2(), place.lenient);
    // How many directories each hierarchy lacks, once one is known to lack a parent.
    let mut missing: Option<Vec<usize>> = None;
    let plan = |place: &CgroupPath, note: &mut Note| {
        let planned = with_parents(place);
        let missing = planned.hierarchies.iter().map(|one| one.made).collect();
        note(planned).map_err(Error::refused)?;
        Ok(Some(missing))
    };
    // Below our own cgroup nobody else would find it.
    if place.hierarchies.iter().any(|one| !one.base.is_empty()) {
        missing = plan(place, &mut note)?;
    }
    let mut entries = Vec::with_capacity(place.hierarchies.len());
    for index in 0..place.hierarchies.len() {
        let try_to_make = |missing: &Option<Vec<usize>>| {
            let count = missing.as_ref().and_then(|all| all.get(index)).copied();
            let one = place.hierarchies.get(index).ok_or(Errno::ENOENT)?;
            make_directories(one, count.unwrap_or(1), missing.is_some())
        };
        let mut made = try_to_make(&missing);
        if made == Err(Errno::ENOENT) && missing.is_none() {
            missing = plan(place, &mut note)?;
            made = try_to_make(&missing);
        }
        if let Some(one) = place.hierarchies.get_mut(index) {
            entries.extend(enter(one, made, pure, lenient)?);
        }
    }
    Ok(entries)
}

/// The place as it will be once it is made, with the parents that are missing now.
pub(crate) fn with_parents(place: &CgroupPath) -> CgroupPath {
    let mut planned = place.clone();
    for one in planned.hierarchies.iter_mut().filter(|one| !one.joined) {
        let is_missing =
            |up: &usize| access(one.ancestor(*up).as_str(), AccessFlags::F_OK).is_err();
        one.made = (0..one.depth()).take_while(is_missing).count().max(1);
    }
    planned
}

/// The v1 `tasks` files, open for writing: a single-threaded process that writes `0` to each is in
/// the cgroups, without the grace period that a write to `cgroup.procs` waits for.
pub(crate) fn entry_files(place: &CgroupPath) -> Result<Vec<OwnedFd>> {
    let files = place.joined().filter(|one| !one.is_unified()).map(|one| {
        let path = one.file(ENTRY);
        let opened = file::open(&path, OFlag::O_WRONLY);
        opened.map_err(|errno| Error::kernel(format!("opening {path}"), errno))
    });
    files.collect()
}

/// Moves the process `pid`, which has one thread, into the container's cgroups: for one that can't
/// enter by [`entry_files`] itself, as this waits for a grace period in each hierarchy.
pub(crate) fn admit(place: &CgroupPath, pid: i32) -> Result<()> {
    for one in place.joined() {
        let path = one.file(if one.is_unified() { "cgroup.procs" } else { "tasks" });
        file::write(&path, &pid.to_string())
            .map_err(|errno| Error::kernel(format!("writing {pid} to {path}"), errno))?;
    }
    Ok(())
}

/// The v2 cgroup, for a process to be born in (`CLONE_INTO_CGROUP`).
pub(crate) fn unified_directory(place: &CgroupPath) -> Result<Option<OwnedFd>> {
    let found = place.joined().find(|one| one.is_unified()).map(|one| {
        let path = one.directory();
        let opened = file::open_directory(&path);
        opened.map_err(|errno| Error::kernel(format!("opening {path}"), errno))
    });
    found.transpose()
}

/// The directory of one of the container's cgroups that has been removed, if any has been: by
/// others, or since the container has ended, as systemd removes those that are empty.
#[must_use]
pub(crate) fn missing(place: &CgroupPath) -> Option<String> {
    let is_missing =
        |directory: &String| access(directory.as_str(), AccessFlags::F_OK) == Err(Errno::ENOENT);
    place.joined().map(Hierarchy::directory).find(is_missing)
}

/// The v2 cgroup that the process `pid` is in, for another to be born in.
pub(crate) fn unified_directory_of(place: &CgroupPath, pid: i32) -> Result<Option<OwnedFd>> {
    let Some(unified) = place.joined().find(|one| one.is_unified()) else { return Ok(None) };
    let file = format!("/proc/{pid}/cgroup");
    let text = file::read_value(&file)?;
    let below = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let path = join(unified.mount(), below.trim_matches('/'));
    let opened = file::open_directory(&path);
    opened.map(Some).map_err(|errno| Error::kernel(format!("opening {path}"), errno))
}

/// Gives the container's v2 cgroup to the host's user `owner`, for a container that has a cgroup
/// namespace and a writable cgroup mount (runtime-spec, cgroup ownership). v1 can't be delegated.
pub(crate) fn delegate(place: &CgroupPath, owner: Id) -> Result<()> {
    let Some(cgroup) = place.joined().find(|one| one.is_unified()) else { return Ok(()) };
    let files = file::try_read_value("/sys/kernel/cgroup/delegate");
    let files = files.unwrap_or_else(|_| DELEGATED.to_owned());
    for name in std::iter::once("").chain(files.lines()) {
        let path = join(&cgroup.directory(), name);
        match credentials::give_at(AT_FDCWD, path.as_str(), owner, None) {
            // Not every file that may be delegated is there.
            Err(Errno::ENOENT) if !name.is_empty() => {}
            Err(errno) => return Err(Error::kernel(format!("giving {path} to {owner}"), errno)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes the cgroup of one hierarchy, or takes it; of v1 it gives the entry file. One of several that
/// is mounted nowhere is left out, and so is, for a `lenient` place, what isn't permitted.
fn enter(
    cgroup: &mut Hierarchy,
    made: sys::Result<usize>,
    pure: bool,
    lenient: bool,
) -> Result<Option<OwnedFd>> {
    let forbidden = matches!(made, Err(Errno::EACCES | Errno::EPERM | Errno::EROFS));
    if forbidden && lenient {
        return Ok(None);
    }
    let made = match check_made(cgroup, made) {
        Err(Errno::ENOENT) if relocate(cgroup)? => {
            let made = make_directories(cgroup, cgroup.depth(), true);
            check_made(cgroup, made)
        }
        other => other,
    };
    let entry = match made {
        Ok((made, entry)) => {
            cgroup.made = made;
            entry
        }
        Err(Errno::ENOENT) if !pure => return Ok(None),
        Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) if lenient => return Ok(None),
        Err(errno) => {
            let remedy = match errno {
                Errno::EACCES | Errno::EPERM => Some("needs root, or a cgroup that is delegated"),
                Errno::EROFS => Some("the cgroup file system is mounted read-only"),
                _ => None,
            };
            let step = format!("making the cgroup {}", cgroup.directory());
            return Err(Error::kernel(step, errno).with_remedy(remedy));
        }
    };
    if lenient && cgroup.is_unified() && !may_be_entered(cgroup) {
        unmake(cgroup);
        return Ok(None);
    }
    if cgroup.made == 0 {
        refuse_used(cgroup)?;
    }
    if cgroup.has("cpuset") {
        provide_cpuset(cgroup)?;
    }
    cgroup.joined = true;
    Ok(entry)
}

/// Opens the entry file of a v1 cgroup that was `made`: one that the kernel has put there tells, and
/// no further call, that it is no plain folder in place of a mount. Such is `ENOENT`, and removed.
fn check_made(
    cgroup: &Hierarchy,
    mut made: sys::Result<usize>,
) -> sys::Result<(usize, Option<OwnedFd>)> {
    if cgroup.is_unified() {
        return Ok((made?, None));
    }
    for _ in 0..RACES {
        let opened = made.and_then(|_| file::open(&cgroup.file(ENTRY), OFlag::O_WRONLY));
        let errno = match opened {
            Ok(entry) => return Ok((made?, Some(entry))),
            Err(errno) => errno,
        };
        for up in 0..made.unwrap_or(0) {
            let _ = file::remove_directory(&cgroup.ancestor(up));
        }
        if !host::is_v1(&cgroup.mount) {
            // Whatever the reason: there is nothing to be in.
            return Err(Errno::ENOENT);
        }
        if errno != Errno::ENOENT || made.is_err() {
            return Err(errno);
        }
        // Somebody else's that went meanwhile.
        made = make_directories(cgroup, cgroup.depth(), true);
    }
    Err(Errno::EBUSY)
}

/// Makes the last `missing` directories of the cgroup, and where parents of these have vanished,
/// and it `may_retry`, all that are missing; gives how many it made, from the end.
/// `ENOENT` if the base isn't there.
pub(crate) fn make_directories(
    cgroup: &Hierarchy,
    missing: usize,
    may_retry: bool,
) -> sys::Result<usize> {
    let mut made = vec![false; cgroup.depth()];
    let mut result = make_missing(cgroup, missing, &mut made);
    for _ in 0..RACES {
        if result != Err(Errno::ENOENT) || !may_retry {
            break;
        }
        result = make_missing(cgroup, cgroup.depth(), &mut made);
    }
    match result {
        Ok(()) => Ok(made.iter().take_while(|made| **made).count()),
        Err(errno) => {
            for (up, _) in made.iter().enumerate().filter(|(_, made)| **made) {
                let _ = file::remove_directory(&cgroup.ancestor(up));
            }
            Err(errno)
        }
    }
}

/// One try to make the last `missing` directories; `made` tells which of them it did.
fn make_missing(cgroup: &Hierarchy, missing: usize, made: &mut [bool]) -> sys::Result<()> {
    for (up, made) in made.iter_mut().enumerate().take(missing).rev() {
        match mkdir(cgroup.ancestor(up).as_str(), Mode::from_bits_retain(0o755)) {
            Ok(()) => *made = true,
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Looks up where a v1 hierarchy is mounted that isn't at the usual place; `false` if nowhere else.
fn relocate(cgroup: &mut Hierarchy) -> Result<bool> {
    if cgroup.is_unified() {
        return Ok(false);
    }
    for Mounted { point, root } in host::find_mounts(&cgroup.controllers)? {
        // Of a mount that shows the hierarchy from some cgroup on, the base is counted from there.
        let inside = match (cgroup.base.strip_prefix(root.trim_matches('/')), root.as_str()) {
            (inside, "/") => inside,
            (Some(""), _) => Some(""),
            (inside, _) => inside.and_then(|rest| rest.strip_prefix('/')),
        };
        let base = inside.unwrap_or(&cgroup.base).to_owned();
        if (&point, &base) != (&cgroup.mount, &cgroup.base) {
            (cgroup.mount, cgroup.base, cgroup.moved) = (point, base, true);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a process can be born in the v2 cgroup: that takes permission to write to `cgroup.procs`
/// of the nearest cgroup above both its own and the new one.
fn may_be_entered(cgroup: &Hierarchy) -> bool {
    let common = join(&cgroup.ancestor(cgroup.depth()), "cgroup.procs");
    access(common.as_str(), AccessFlags::W_OK).is_ok()
}

/// A cgroup that was there is nobody else's if it has no processes, and takes some if it doesn't hand
/// down controllers: those that threads may have aside (cgroups(7), no internal processes).
fn refuse_used(cgroup: &Hierarchy) -> Result<()> {
    let directory = cgroup.directory();
    let count = processes::list(&directory)?.len();
    if count > 0 {
        return Err(Error::refused(format!(
            "container's cgroup is not empty: {count} process(es) found in {directory}"
        )));
    }
    if !cgroup.is_unified() || directory == cgroup.mount {
        return Ok(());
    }
    let handed = file::read_value(&cgroup.file("cgroup.subtree_control"))?;
    let of_domains = |name: &&str| !OF_THREADS.contains(name);
    match handed.split_ascii_whitespace().find(of_domains) {
        None => Ok(()),
        Some(_) => Err(Error::refused(format!(
            "linux.cgroupsPath: {directory} hands controllers down ({}), so it takes no processes",
            handed.trim_end()
        ))
        .with_remedy(Some("name a cgroup below it"))),
    }
}

/// A process that enters a frozen cgroup, or one below such, would never come to say so.
pub(crate) fn refuse_frozen(place: &CgroupPath) -> Result<()> {
    match freezer::freezer(place) {
        Some(freezer) if freezer::is_frozen(place)? => {
            let directory = freezer.directory();
            Err(Error::refused(format!("container's cgroup unexpectedly frozen: {directory}")))
        }
        _ => Ok(()),
    }
}

/// Gives each new v1 cpuset its parent's processors and memory: without, it lets no process in.
pub(crate) fn provide_cpuset(cgroup: &Hierarchy) -> Result<()> {
    if cgroup.made == 0 && !cpuset_value(&cgroup.directory(), "cpuset.cpus")?.is_empty() {
        return Ok(());
    }
    for name in ["cpuset.cpus", "cpuset.mems"] {
        inherit(cgroup, &cgroup.directory(), name, cgroup.made)?;
    }
    Ok(())
}

/// Writes `name` of `directory` from its parent, whose own comes first where it's one of the
/// `made` new ones, or empty; gives the value.
fn inherit(cgroup: &Hierarchy, directory: &str, name: &str, made: usize) -> Result<String> {
    let Some((parent, _)) = directory.rsplit_once('/').filter(|_| directory != cgroup.mount) else {
        return Ok(String::new());
    };
    let value = if made > 1 { String::new() } else { cpuset_value(parent, name)? };
    let value = if value.is_empty() {
        inherit(cgroup, parent, name, made.saturating_sub(1))?
    } else {
        value
    };
    let path = format!("{directory}/{name}");
    file::write(&path, &value)
        .map_err(|errno| Error::kernel(format!("writing {value} to {path}"), errno))?;
    Ok(value)
}

fn cpuset_value(directory: &str, name: &str) -> Result<String> {
    Ok(file::read_value(&format!("{directory}/{name}"))?.trim_end().to_owned())
}

/// Removes what was made; it has never had a process.
pub(crate) fn unmake(cgroup: &mut Hierarchy) {
    for up in 0..cgroup.made {
        // Another container may already be below a parent, and then has it.
        let _ = file::remove_directory(&cgroup.ancestor(up));
    }
    (cgroup.made, cgroup.joined) = (0, false);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    /// In a folder in place of a v2 hierarchy.
    #[test]
    fn only_what_the_kernel_names_is_delegated() {
        if !sys::nix::unistd::geteuid().is_root() {
            return;
        }
        let mount = std::env::temp_dir().join(format!("rind-delegate-{}", std::process::id()));
        let cgroup = mount.join("box");
        fs::create_dir_all(&cgroup).unwrap();
        for name in ["cgroup.procs", "cgroup.subtree_control", "memory.max"] {
            fs::write(cgroup.join(name), "").unwrap();
        }
        let of = |path: &std::path::Path| fs::metadata(path).unwrap().uid();
        let owner = Id::new(7).unwrap();
        delegate(&CgroupPath::of(&mount, "box", &[(&["memory"], true)]), owner).unwrap();
        assert_eq!(of(&cgroup), 0, "v1 can't be");
        delegate(&CgroupPath::of(&mount, "box", &[(&[], true)]), owner).unwrap();
        let owners = ["", "cgroup.procs", "cgroup.subtree_control", "memory.max"]
            .map(|name| of(&cgroup.join(name)));
        fs::remove_dir_all(&mount).unwrap();
        assert_eq!(owners, [7, 7, 7, 0]);
    }
}
