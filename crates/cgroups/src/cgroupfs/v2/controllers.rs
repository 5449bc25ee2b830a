//! Handing v2 controllers down: each cgroup above the container's must do so for the next.

use crate::cgroup::{Cgroup, Hierarchy};
use crate::error::{Error, Result};
use crate::file;
use sys::Errno;

/// The controllers that a container gets on a pure v2 host though no limit asks for them: engines read
/// its statistics and may limit it later.
const EXPECTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Makes `needed` controllers, and on a pure v2 host those that every container has, available in
/// the container's v2 cgroup.
///
/// rind enables a controller only if it is missing there, and only from the lowest cgroup that has it
/// on. If the host doesn't have a needed controller, writing its limit shows that; if `lenient`, it also
/// shows whatever else keeps rind from the controller.
pub(crate) fn enable(cgroup: &Cgroup, needed: &[String], lenient: bool) -> Result<()> {
    let Some(unified) = cgroup.joined_unified() else { return Ok(()) };
    let expected: &[&str] = if cgroup.is_pure_v2() { &EXPECTED } else { &[] };
    let mut missing: Vec<&str> = needed.iter().map(String::as_str).collect();
    missing.extend(expected.iter().filter(|name| !needed.iter().any(|one| one == *name)));
    let mut here = unified.directory();
    // Each cgroup above, and the controllers that the next one below it lacks.
    let mut above = Vec::new();
    while !missing.is_empty() {
        let path = format!("{here}/cgroup.controllers");
        let listed = file::read_value(&path)?;
        missing.retain(|name| !listed.split_ascii_whitespace().any(|one| one == *name));
        let Some((parent, _)) = here.rsplit_once('/').filter(|_| here != unified.mount) else {
            break;
        };
        let parent = parent.to_owned();
        above.push((parent.clone(), missing.clone()));
        here = parent;
    }
    // A controller that is missing at the top is one that the host doesn't have.
    for (directory, lacking) in above.iter_mut().rev() {
        lacking.retain(|name| !missing.contains(name));
        let vital = |name: &str| !lenient && needed.iter().any(|one| one == name);
        if !lacking.is_empty() {
            hand_down(unified, directory, lacking, vital)?;
        }
    }
    Ok(())
}

/// Enables `missing` for the children of `directory`, above `unified`: all at once or, if the kernel
/// refuses that, one by one. Failing is an error only for a vital controller.
fn hand_down(
    unified: &Hierarchy,
    directory: &str,
    missing: &[&str],
    vital: impl Fn(&str) -> bool,
) -> Result<()> {
    let path = format!("{directory}/cgroup.subtree_control");
    let all: Vec<_> = missing.iter().map(|name| format!("+{name}")).collect();
    let Err(errno) = file::write(&path, &all.join(" ")) else { return Ok(()) };
    refuse_threaded(unified)?;
    let refused = |name: &str, errno| {
        let remedy = match errno {
            Errno::EBUSY => "a cgroup that has processes can't hand controllers down",
            Errno::EACCES | Errno::EPERM => "the cgroup must be delegated to the user",
            _ => "the controller isn't handed down to it",
        };
        let step = format!("linux.resources: writing +{name} to {path}");
        Err(Error::call(step, errno).with_hint(Some(remedy)))
    };
    if errno == Errno::EBUSY {
        // The cgroup has processes. One by one, it would take the controllers that threads may have,
        // and become the root of threaded cgroups: then the container's would take no processes.
        return missing.iter().find(|name| vital(name)).map_or(Ok(()), |name| refused(name, errno));
    }
    for (name, write) in missing.iter().zip(all) {
        match file::write(&path, &write) {
            Err(errno) if vital(name) => return refused(name, errno),
            _ => {}
        }
    }
    Ok(())
}

/// An error if the cgroup is threaded, or below such a cgroup, so that it takes no processes.
fn refuse_threaded(unified: &Hierarchy) -> Result<()> {
    let path = unified.file("cgroup.type");
    // Without that file there is nothing to refuse.
    match file::try_read_value(&path).as_deref().map(str::trim_end) {
        Ok(kind @ ("threaded" | "domain invalid")) => {
            let reason = format!("linux.cgroupsPath: {} is of type {kind}", unified.directory());
            let remedy = "no container can be in a threaded cgroup, or below one, or below one \
                          that has processes and hands controllers down";
            Err(Error::new(reason).with_hint(Some(remedy)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A v2 host of ordinary files, in which nothing but what is written changes.
    fn host(name: &str, controllers: [&str; 3]) -> (PathBuf, Cgroup) {
        let root = std::env::temp_dir().join(format!("rind-{name}-{}", std::process::id()));
        let mut directory = root.clone();
        for (level, listed) in ["", "slice", "box"].into_iter().zip(controllers) {
            directory.push(level);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup.controllers"), listed).unwrap();
            fs::write(directory.join("cgroup.subtree_control"), "").unwrap();
        }
        let cgroup = Cgroup::of(&root, "slice/box", &[(&[], true)]);
        (root, cgroup)
    }

    fn written(directory: &Path) -> String {
        fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap()
    }

    #[test]
    fn what_is_missing_is_asked_for_from_where_it_is() {
        let all = "cpuset cpu io memory pids rdma\n";
        let (root, cgroup) = host("missing", [all, "cpuset cpu io memory pids\n", "cpu\n"]);
        enable(&cgroup, &["pids".to_owned()], false).unwrap();
        assert_eq!(written(&root), "");
        assert_eq!(written(&root.join("slice")), "+pids +cpuset +io +memory");
        enable(&cgroup, &["rdma".to_owned()], false).unwrap();
        assert_eq!(written(&root), "+rdma");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn nothing_is_written_where_nothing_is_missing() {
        let all = "cpuset cpu io memory pids\n";
        let (root, cgroup) = host("complete", ["", "", all]);
        enable(&cgroup, &["pids".to_owned()], false).unwrap();
        assert_eq!((written(&root), written(&root.join("slice"))), (String::new(), String::new()));
        fs::remove_dir_all(root).unwrap();
    }

    /// As with a user's systemd by Debian's default: what isn't delegated is none of his business.
    #[test]
    fn what_is_there_is_not_asked_for_again() {
        let (root, cgroup) = host("there", ["cpuset cpu io memory pids\n", "memory\n", "memory\n"]);
        fs::remove_file(root.join("cgroup.subtree_control")).unwrap();
        fs::create_dir(root.join("cgroup.subtree_control")).unwrap();
        enable(&cgroup, &["memory".to_owned()], false).unwrap();
        assert_eq!(written(&root.join("slice")), "+cpu +cpuset +io +pids");
        assert!(enable(&cgroup, &["memory".to_owned(), "pids".to_owned()], false).is_err());
        enable(&cgroup, &["memory".to_owned(), "pids".to_owned()], true).unwrap();
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_the_host_lacks_is_left_to_the_limit() {
        let (root, cgroup) = host("lacking", ["cpu\n", "", ""]);
        enable(&cgroup, &["pids".to_owned()], false).unwrap();
        assert_eq!(written(&root.join("slice")), "+cpu");
        fs::remove_dir_all(root).unwrap();
    }
}
