//! Making a container's cgroups, or taking those that are there.

use super::enter::ENTRY;
use super::processes;
use super::v1::{provide_cpuset, relocate};
use super::v2::{controllers, may_be_entered};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, Result};
use crate::{file, host};
use std::os::fd::OwnedFd;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{AccessFlags, access, mkdir};

/// How often rind tries again to make a cgroup whose parent another runtime has removed meanwhile.
const RACES: usize = 16;

/// The controllers that a cgroup with processes can hand down.
const OF_THREADS: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];

/// Writes down where a container's cgroups are going to be, so that [`Cgroup::remove_unused`] finds
/// them if rind is killed.
pub type Note<'a> = &'a mut dyn FnMut(&Cgroup) -> Result<()>;

/// See [`Cgroup::make`]: this enables the controllers that `needed` names.
///
/// The entry files come from here, as they tell whether what rind made is a cgroup at all.
pub(crate) fn make(cgroup: &mut Cgroup, needed: &[String], note: Note) -> Result<Vec<OwnedFd>> {
    let result = enter_all(cgroup, note).and_then(|entries| {
        controllers::enable(cgroup, needed, cgroup.lenient)?;
        cgroup.refuse_frozen()?;
        Ok(entries)
    });
    if result.is_err() {
        cgroup.hierarchies.iter_mut().for_each(unmake);
    }
    result
}

fn enter_all(cgroup: &mut Cgroup, note: Note) -> Result<Vec<OwnedFd>> {
    let (pure, lenient) = (cgroup.is_pure_v2(), cgroup.lenient);
    let mut plan = |cgroup: &Cgroup| -> Result<Vec<usize>> {
        let planned = with_parents(cgroup);
        note(&planned)?;
        Ok(planned.hierarchies.iter().map(|one| one.made).collect())
    };
    // How many directories each hierarchy lacks, once one is known to lack a parent.
    let mut missing = Vec::new();
    // Nobody else would find a cgroup below rind's own.
    if cgroup.hierarchies.iter().any(|one| !one.base.is_empty()) {
        missing = plan(cgroup)?;
    }
    let mut entries = Vec::with_capacity(cgroup.hierarchies.len());
    for index in 0..cgroup.hierarchies.len() {
        let try_to_make = |missing: &[usize]| {
            let one = cgroup.hierarchies.get(index).ok_or(Errno::ENOENT)?;
            let count = missing.get(index).copied().unwrap_or(1);
            make_directories(one, count, !missing.is_empty())
        };
        let mut made = try_to_make(&missing);
        if made == Err(Errno::ENOENT) && missing.is_empty() {
            missing = plan(cgroup)?;
            made = try_to_make(&missing);
        }
        if let Some(one) = cgroup.hierarchies.get_mut(index) {
            entries.extend(enter(one, made, pure, lenient)?);
        }
    }
    Ok(entries)
}

/// The cgroup as it will be once it is made, with the parents that are missing now.
pub(crate) fn with_parents(cgroup: &Cgroup) -> Cgroup {
    let mut planned = cgroup.clone();
    for one in planned.hierarchies.iter_mut().filter(|one| !one.joined) {
        let is_missing =
            |up: &usize| access(one.ancestor(*up).as_str(), AccessFlags::F_OK).is_err();
        one.made = (0..one.depth()).take_while(is_missing).count().max(1);
    }
    planned
}

/// Makes the cgroup of one hierarchy, or takes it; returns the entry file of a v1 cgroup. Of several
/// hierarchies rind leaves out one that is mounted nowhere, and, if `lenient`, one that it has no
/// permission for.
fn enter(
    hierarchy: &mut Hierarchy,
    made: sys::Result<usize>,
    pure: bool,
    lenient: bool,
) -> Result<Option<OwnedFd>> {
    let may_go_without =
        |errno| lenient && matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS);
    if made.is_err_and(may_go_without) {
        return Ok(None);
    }
    let made = match check_made(hierarchy, made) {
        Err(Errno::ENOENT) if relocate(hierarchy)? => {
            check_made(hierarchy, make_directories(hierarchy, hierarchy.depth(), true))
        }
        other => other,
    };
    let entry = match made {
        Ok((made, entry)) => {
            hierarchy.made = made;
            entry
        }
        Err(Errno::ENOENT) if !pure => return Ok(None),
        Err(errno) if may_go_without(errno) => return Ok(None),
        Err(errno) => {
            let remedy = match errno {
                Errno::EACCES | Errno::EPERM => Some("needs root, or a cgroup that is delegated"),
                Errno::EROFS => Some("the cgroup file system is mounted read-only"),
                _ => None,
            };
            return Err(making(hierarchy, errno).with_hint(remedy));
        }
    };
    if lenient && hierarchy.is_unified() && !may_be_entered(hierarchy) {
        unmake(hierarchy);
        return Ok(None);
    }
    if hierarchy.made == 0 {
        refuse_used(hierarchy)?;
    }
    provide_cpuset(hierarchy)?;
    hierarchy.joined = true;
    Ok(entry)
}

pub(crate) fn making(hierarchy: &Hierarchy, errno: Errno) -> Error {
    Error::call(format!("making the cgroup {}", hierarchy.directory()), errno)
}

/// Opens the entry file of a v1 cgroup that was `made`. That the kernel has put one there shows, without
/// a further call, that the directory is no plain folder in place of a mount: rind removes such a
/// folder, which is `ENOENT`.
fn check_made(
    hierarchy: &Hierarchy,
    mut made: sys::Result<usize>,
) -> sys::Result<(usize, Option<OwnedFd>)> {
    if hierarchy.is_unified() {
        return Ok((made?, None));
    }
    for _ in 0..RACES {
        let opened = made.and_then(|_| file::try_open(&hierarchy.file(ENTRY), OFlag::O_WRONLY));
        let errno = match opened {
            Ok(entry) => return Ok((made?, Some(entry))),
            Err(errno) => errno,
        };
        for up in 0..made.unwrap_or(0) {
            let _ = file::remove_directory(&hierarchy.ancestor(up));
        }
        if !host::is_v1(&hierarchy.mount) {
            // Whatever the reason is, there is no cgroup to enter.
            return Err(Errno::ENOENT);
        }
        if errno != Errno::ENOENT || made.is_err() {
            return Err(errno);
        }
        // Somebody else's cgroup, which went meanwhile.
        made = make_directories(hierarchy, hierarchy.depth(), true);
    }
    Err(Errno::EBUSY)
}

/// Makes the last `missing` directories of the cgroup. If parents of these have vanished, and it
/// `may_retry`, it makes all that are missing. Returns how many it made, from the end; `ENOENT` if the
/// base isn't there.
pub(crate) fn make_directories(
    hierarchy: &Hierarchy,
    missing: usize,
    may_retry: bool,
) -> sys::Result<usize> {
    let mut made = vec![false; hierarchy.depth()];
    let mut result = make_missing(hierarchy, missing, &mut made);
    for _ in 0..RACES {
        if result != Err(Errno::ENOENT) || !may_retry {
            break;
        }
        result = make_missing(hierarchy, hierarchy.depth(), &mut made);
    }
    match result {
        Ok(()) => Ok(made.iter().take_while(|made| **made).count()),
        Err(errno) => {
            for (up, _) in made.iter().enumerate().filter(|(_, made)| **made) {
                let _ = file::remove_directory(&hierarchy.ancestor(up));
            }
            Err(errno)
        }
    }
}

/// One try to make the last `missing` directories; `made` tells which of them it did.
fn make_missing(hierarchy: &Hierarchy, missing: usize, made: &mut [bool]) -> sys::Result<()> {
    for (up, made) in made.iter_mut().enumerate().take(missing).rev() {
        match mkdir(hierarchy.ancestor(up).as_str(), Mode::from_bits_retain(0o755)) {
            Ok(()) => *made = true,
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Refuses a cgroup that was there and is in use: it has processes, or hands down controllers, so that it
/// takes none (cgroups(7), no internal processes). Controllers that threads may have don't count.
fn refuse_used(hierarchy: &Hierarchy) -> Result<()> {
    let directory = hierarchy.directory();
    let count = processes::list(&directory)?.len();
    if count > 0 {
        return Err(Error::new(format!(
            "container's cgroup is not empty: {count} process(es) found in {directory}"
        )));
    }
    if !hierarchy.is_unified() || directory == hierarchy.mount {
        return Ok(());
    }
    let handed = file::read_value(&hierarchy.file("cgroup.subtree_control"))?;
    if handed.split_ascii_whitespace().all(|name| OF_THREADS.contains(&name)) {
        return Ok(());
    }
    Err(Error::new(format!(
        "linux.cgroupsPath: {directory} hands controllers down ({}), so it takes no processes",
        handed.trim_end()
    ))
    .with_hint(Some("name a cgroup below it")))
}

/// Removes the directories that rind made, which have never had a process.
pub(crate) fn unmake(hierarchy: &mut Hierarchy) {
    for up in 0..hierarchy.made {
        // Another container may already be below a parent, and then has it.
        let _ = file::remove_directory(&hierarchy.ancestor(up));
    }
    (hierarchy.made, hierarchy.joined) = (0, false);
}
