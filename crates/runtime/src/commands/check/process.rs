//! The process of a config: its program and what the kernel needs to execute it, its working directory,
//! its ids, limits and label.

use super::files::hidden;
use super::finding::{Finding, at};
use super::kernel::number;
use super::limits::has_user_namespace;
use super::resolve::{Found, Tree};
use super::security::has_profile;
use oci_spec::runtime::{Capability, PosixRlimitType, Process};
use process::{Needs, SecurityModule, needs};
use spec::Bundle;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use sys::credentials::capget;
use sys::nix::fcntl::OFlag;
use sys::nix::sys::resource::{Resource, getrlimit};
use sys::nix::sys::stat::{FileStat, Mode, SFlag};

/// `CAP_SYS_RESOURCE` of a capability set.
const SYS_RESOURCE: u64 = 1 << 24;

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let Some(process) = bundle.spec.process() else {
        let detail = "there is none: the container can be created, and not started";
        return vec![at("process", detail).warns("start and run fail", "set process.args and cwd")];
    };
    let mut all = Vec::new();
    if let Ok(tree) = Tree::new(&bundle.spec, &bundle.path, &bundle.rootfs) {
        all.extend(program(bundle, process, &tree));
        all.extend(directory(process, &tree));
        all.extend(start_hooks(bundle, &tree));
    }
    all.extend(terminal(process));
    all.extend(rlimits(process));
    all.extend(oom_score(process));
    all.extend(label(process));
    all
}

/// What a look at a program depends on.
struct Context<'a> {
    process: &'a Process,
    tree: &'a Tree,
    /// Whether the container has a user namespace.
    is_mapped: bool,
}

/// Why a file can't be executed, and what helps.
struct Wrong {
    detail: String,
    remedy: String,
}

/// What a look at a program comes to.
enum Look {
    Fine(String),
    Wrong(Wrong),
    /// It, or what it needs, is in this entry of `mounts`.
    Hidden(usize),
    Missing,
    Unknown(sys::Errno),
}

/// The program, searched for as the container's process will.
fn program(bundle: &Bundle, process: &Process, tree: &Tree) -> Option<Finding> {
    let zero = process.args().as_ref()?.first()?;
    let candidates = process::program_candidates(process);
    let is_mapped = bundle.spec.linux().as_ref().is_some_and(has_user_namespace);
    let context = Context { process, tree, is_mapped };
    let what = || "process.args[0]";
    let consequence = "start fails: the program is not executed";
    let (mut wrong, mut entries) = (None, HashSet::new());
    for candidate in &candidates {
        match executable(&context, &process.cwd().join(candidate)) {
            Look::Fine(detail) => return Some(at(what(), detail)),
            Look::Hidden(entry) => drop(entries.insert(entry)),
            Look::Unknown(errno) => {
                let detail = format!("{candidate}: {}", sys::errno_text(errno));
                return Some(at(what(), detail).warns(
                    "check can't tell whether the program is there",
                    "run check as a user who may read the rootfs",
                ));
            }
            // The first that is there is what a user has meant.
            Look::Wrong(found) => drop(wrong.get_or_insert(found)),
            Look::Missing => {}
        }
    }
    if !entries.is_empty() {
        let detail = format!("{zero} may be in {}", hidden(bundle, &entries));
        let remedy = "look there, once the container runs";
        return Some(at(what(), detail).warns("check can't tell whether it is there", remedy));
    }
    if let Some(Wrong { detail, remedy }) = wrong {
        return Some(at(what(), detail).lacks(consequence, remedy));
    }
    Some(missing(bundle, process, zero).lacks(
        consequence,
        "install it in the rootfs, or correct process.args, or PATH in process.env",
    ))
}

fn missing(bundle: &Bundle, process: &Process, zero: &str) -> Finding {
    let root = bundle.rootfs.display();
    let variables = process.env().iter().flatten();
    let path = variables.filter_map(|entry| entry.strip_prefix("PATH=")).next_back();
    at(
        "process.args[0]",
        match path {
            _ if zero.contains('/') => format!("{zero} is not in {root}"),
            Some(path) => format!("{zero} is in no directory of PATH ({path}) in {root}"),
            None => format!("{zero} is no path, and process.env has no PATH to search"),
        },
    )
}

/// Looks at the file that is to be executed, with the interpreter or loader that the kernel needs for it.
fn executable(context: &Context, path: &Path) -> Look {
    let &Context { process, tree, .. } = context;
    let shown = path.display();
    let (file, facts) = match tree.find(path) {
        Found::There { file, facts } => (file, facts),
        Found::Hidden(entry) => return Look::Hidden(entry),
        Found::Missing | Found::Made => return Look::Missing,
        Found::Unknown(errno) => return Look::Unknown(errno),
    };
    let wrong = |detail: String, remedy: String| Look::Wrong(Wrong { detail, remedy });
    if sys::fs::file_type(&facts) != SFlag::S_IFREG {
        return wrong(format!("{shown} is no file"), "name a program's file".to_owned());
    }
    if !may_execute(context, &facts) {
        let detail = format!(
            "{shown} is not executable for user {} (mode {:o}, of user {})",
            process.user().uid(),
            facts.st_mode & 0o7777,
            facts.st_uid
        );
        return wrong(detail, "chmod a+x it in the rootfs, or correct process.user".to_owned());
    }
    let start = match start_of(&file) {
        Ok(start) => start,
        Err(errno) => return Look::Unknown(errno),
    };
    match needs(&start) {
        Needs::Nothing => Look::Fine(shown.to_string()),
        Needs::Interpreter(name) => interpreter(context, path, &name),
        Needs::Machine(machine) if emulates() => {
            Look::Fine(format!("{shown}, for {machine}, which binfmt_misc may know"))
        }
        Needs::Machine(machine) => wrong(
            format!("{shown} is for {machine}, and this machine is {}", std::env::consts::ARCH),
            "take an image for this machine, or set up binfmt_misc with qemu-user".to_owned(),
        ),
        Needs::Unknown if emulates() => {
            Look::Fine(format!("{shown}, of a format that binfmt_misc may know"))
        }
        Needs::Unknown => wrong(
            format!("{shown} is neither a program (ELF) nor a script that begins with #!"),
            "name a program, or have the script begin with #!/bin/sh".to_owned(),
        ),
    }
}

/// The interpreter of a script, or the loader of a program.
fn interpreter(context: &Context, program: &Path, name: &str) -> Look {
    let (path, program) = (context.process.cwd().join(name), program.display());
    if let Some(bare) = name.strip_suffix('\r') {
        return Look::Wrong(Wrong {
            detail: format!("the lines of {program} end in CRLF, so that it needs \"{bare}\\r\""),
            remedy: "write the file with LF alone: dos2unix FILE".to_owned(),
        });
    }
    match context.tree.find(&path) {
        Found::There { facts, .. } if may_execute(context, &facts) => {
            Look::Fine(format!("{program}, by {name}"))
        }
        Found::There { .. } => Look::Wrong(Wrong {
            detail: format!("{name}, which executes {program}, is not executable"),
            remedy: format!("chmod a+x {name} in the rootfs"),
        }),
        Found::Hidden(entry) => Look::Hidden(entry),
        Found::Unknown(errno) => Look::Unknown(errno),
        Found::Missing | Found::Made => Look::Wrong(Wrong {
            detail: format!("{program} needs {name}, which is not in the rootfs"),
            remedy: "install it there (with the libraries, if it is a loader), or take a program \
                     that is linked statically"
                .to_owned(),
        }),
    }
}

/// Whether the process may execute a file, by the file's mode. In a user namespace the file may have
/// other ids than the process will, and it counts that anybody may.
fn may_execute(context: &Context, facts: &FileStat) -> bool {
    let user = context.process.user();
    let any = facts.st_mode & 0o111 != 0;
    let overrides = context.process.capabilities().as_ref().is_some_and(|sets| {
        sets.effective().as_ref().is_some_and(|set| set.contains(&Capability::DacOverride))
    });
    if context.is_mapped || user.uid() == 0 || overrides {
        return any;
    }
    let mut groups =
        std::iter::once(user.gid()).chain(user.additional_gids().iter().flatten().copied());
    let class = if user.uid() == facts.st_uid {
        0o100
    } else if groups.any(|gid| gid == facts.st_gid) {
        0o010
    } else {
        0o001
    };
    facts.st_mode & class != 0
}

/// The first page of a file: the kernel looks at no more of a script, and headers are there.
fn start_of(file: &OwnedFd) -> sys::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = sys::fs::open(sys::fs::proc_fd_path(file).as_str(), flags, Mode::empty())?;
    let mut start = Vec::new();
    let read = File::from(file).take(4096).read_to_end(&mut start);
    read.map_err(|error| sys::Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    Ok(start)
}

/// Whether the kernel may execute other formats than its own (`binfmt_misc`).
fn emulates() -> bool {
    let folder = Path::new("/proc/sys/fs/binfmt_misc");
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name()).any(|name| name != "register" && name != "status")
}

/// The working directory, which create makes if it is missing.
fn directory(process: &Process, tree: &Tree) -> Option<Finding> {
    let path = process.cwd();
    match tree.find(path) {
        Found::There { facts, .. } if sys::fs::file_type(&facts) != SFlag::S_IFDIR => {
            let detail = format!("{} is not a directory", path.display());
            Some(at("process.cwd", detail).lacks(
                "start fails: the process can't be in its working directory",
                "name a directory",
            ))
        }
        _ => None,
    }
}

/// startContainer hooks are programs of the container.
fn start_hooks(bundle: &Bundle, tree: &Tree) -> Vec<Finding> {
    let hooks = bundle.spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_deref());
    let missing = hooks.unwrap_or_default().iter().enumerate().filter_map(|(index, hook)| {
        let what = format!("hooks.startContainer[{index}].path");
        let path: &PathBuf = hook.path();
        let detail = match tree.find(path) {
            Found::Missing | Found::Made => format!("{} is not in the rootfs", path.display()),
            Found::There { facts, .. } if facts.st_mode & 0o111 == 0 => {
                format!("{} is not executable", path.display())
            }
            _ => return None,
        };
        Some(at(what, detail).lacks(
            "start fails, and undoes the container",
            "this hook runs in the container: put its program there, or take it out",
        ))
    });
    missing.collect()
}

/// A terminal needs somebody who takes it.
fn terminal(process: &Process) -> Option<Finding> {
    let wants = process.terminal().unwrap_or(false);
    wants.then(|| at("process.terminal", "true: create, and run --detach, need --console-socket"))
}

fn has_capability(which: u64) -> bool {
    capget().is_ok_and(|sets| sets.effective & which != 0) && !sys::process::in_user_namespace()
}

/// Limits above what the caller itself may have.
fn rlimits(process: &Process) -> Vec<Finding> {
    let most_files = number("/proc/sys/fs/nr_open").and_then(|most| u64::try_from(most).ok());
    let list = process.rlimits().iter().flatten().enumerate();
    let wrong = list.filter_map(|(index, limit)| {
        let what = format!("process.rlimits[{index}].hard");
        let (kind, hard) = (limit.typ(), limit.hard());
        let consequence = "create fails when it sets the limits";
        if kind == PosixRlimitType::RlimitNofile
            && let Some(most) = most_files.filter(|most| hard > *most)
        {
            let detail = format!("{kind}: {hard} is above fs.nr_open, {most}");
            let remedy = format!("lower it, or sysctl -w fs.nr_open={hard}");
            return Some(at(what, detail).lacks(consequence, remedy));
        }
        let (_, ours) = getrlimit(resource(kind)).ok()?;
        if hard <= ours || has_capability(SYS_RESOURCE) {
            return None;
        }
        let detail = format!("{kind}: {hard} is above the caller's own hard limit, {ours}");
        let remedy =
            "lower it, or raise the caller's (limits.conf, LimitNOFILE= and such), or run as root";
        Some(at(what, detail).lacks(consequence, remedy))
    });
    wrong.collect()
}

/// The kernel's number of a limit.
fn resource(kind: PosixRlimitType) -> Resource {
    process::rlimit_resource(kind)
}

fn oom_score(process: &Process) -> Option<Finding> {
    let asked = i64::from(process.oom_score_adj()?);
    let ours = number("/proc/self/oom_score_adj")?;
    if asked >= ours || has_capability(SYS_RESOURCE) {
        return None;
    }
    let detail = format!("{asked} is below the caller's own, {ours}");
    Some(at("process.oomScoreAdj", detail).warns(
        "create fails, unless the caller had no more before: only CAP_SYS_RESOURCE may lower it",
        format!("set it to {ours} or more, or run as root"),
    ))
}

/// The profile of `AppArmor` must be loaded.
fn label(process: &Process) -> Option<Finding> {
    let name = process.apparmor_profile().as_deref().filter(|name| !name.is_empty())?;
    if !SecurityModule::AppArmor.is_on() || has_profile(name) != Some(false) {
        return None;
    }
    Some(at("process.apparmorProfile", format!("{name} is not loaded")).lacks(
        "start fails: the kernel has no such profile",
        "apparmor_parser -r the file that has it (in /etc/apparmor.d), or name a loaded one",
    ))
}
