//! Making a container's cgroups, or taking those that are there.

use super::enter::ENTRY;
use super::freezer::refuse_frozen;
use super::processes;
use super::v1::{provide_cpuset, relocate};
use super::v2::controllers;
use super::v2::may_be_entered;
use crate::error::{Error, Result};
use crate::path::{CgroupPath, Hierarchy};
use crate::{file, host};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{AccessFlags, access, mkdir};

/// How often making a cgroup is tried again whose parent another runtime has removed meanwhile.
const RACES: usize = 16;

/// The controllers that a cgroup with processes can hand down.
const OF_THREADS: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];

/// Writes down where the cgroups are going to be; the error is a message for the user.
pub(crate) type Note<'a> = &'a mut dyn FnMut(CgroupPath) -> std::result::Result<(), String>;

/// Makes the container's cgroup in every hierarchy, with the parents that are missing.
///
/// One that exists is taken if it has no processes and isn't frozen. The controllers that
/// `needed` names are enabled. On an error everything that was made is removed. `note` is called
/// before any parent is made, and anything below rind's own cgroup.
///
/// Gives the [`entry_files`](super::enter::entry_files), as these tell whether what was made is a cgroup at all.
pub(crate) fn make(place: &mut CgroupPath, needed: &[String], note: Note) -> Result<Vec<OwnedFd>> {
    let result = enter_all(place, note).and_then(|entries| {
        controllers::enable(place, needed, place.lenient)?;
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
        note(planned).map_err(Error::new)?;
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
            return Err(Error::call(step, errno).with_hint(remedy));
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

/// A cgroup that was there is nobody else's if it has no processes, and takes some if it doesn't hand
/// down controllers: those that threads may have aside (cgroups(7), no internal processes).
fn refuse_used(cgroup: &Hierarchy) -> Result<()> {
    let directory = cgroup.directory();
    let count = processes::list(&directory)?.len();
    if count > 0 {
        return Err(Error::new(format!(
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
        Some(_) => Err(Error::new(format!(
            "linux.cgroupsPath: {directory} hands controllers down ({}), so it takes no processes",
            handed.trim_end()
        ))
        .with_hint(Some("name a cgroup below it"))),
    }
}

/// Removes what was made; it has never had a process.
pub(crate) fn unmake(cgroup: &mut Hierarchy) {
    for up in 0..cgroup.made {
        // Another container may already be below a parent, and then has it.
        let _ = file::remove_directory(&cgroup.ancestor(up));
    }
    (cgroup.made, cgroup.joined) = (0, false);
}
