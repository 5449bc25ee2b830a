//! What helps, for errors that come without that: looks at what the error is about, and at the host, once a
//! command has failed. An error that knows better keeps its own.

use std::env;
use std::path::Path;
use sys::error::Kind;
use sys::nix::sys::resource::{Resource, getrlimit};
use sys::nix::unistd::geteuid;
use sys::{Errno, Error};

/// The same error with a hint, if it has none and one is known.
#[must_use]
pub fn advise(error: Error) -> Error {
    if error.hint().is_some() {
        return error;
    }
    let hint = by_kind(&error)
        .or_else(|| by_words(&error))
        .or_else(|| by_object(&error))
        .or_else(|| by_answer(&error))
        .or_else(|| spec::advice(object(&error)).map(str::to_owned));
    error.with_hint(hint)
}

/// What it is about: its object, or else the word that it begins with.
fn object(error: &Error) -> &str {
    let text = error.object().unwrap_or(error.text());
    text.split([' ', ':']).next().unwrap_or(text)
}

/// By what a container's id, a signal or a pid namespace has to be, and the like.
fn by_words(error: &Error) -> Option<String> {
    let found = WORDS.iter().find(|(words, _)| error.text().contains(words));
    found.map(|(_, advice)| (*advice).to_owned())
}

/// Words of errors that have no object of their own, and what helps.
const WORDS: &[(&str, &str)] = &[
    ("invalid container ID format", "an id as web-1: letters, digits, _ + - and ., 255 at most"),
    ("unknown signal", "a name as TERM or SIGTERM, RTMIN+3, or a number: kill -l has them all"),
    (
        "there is no network device",
        "ip link shows the devices of the network namespace that rind is in",
    ),
    ("has a NUL byte", "no path, argument or variable has one: take \\u0000 out of the config"),
    (
        "cannot allocate tty without setting console socket",
        "give --console-socket SOCKET, as an engine \
        does, or process.terminal false, or no --tty; run without --detach uses the caller's terminal",
    ),
    ("cannot use console socket", "set process.terminal, or --tty, or leave --console-socket out"),
    ("exists. Remove it first", "remove it, or give --bundle another directory"),
    ("OOM-killed", "raise linux.resources.memory.limit: a start takes some MB"),
    ("criu is needed", "apt-get install criu, or what the distribution calls it; or --criu PATH"),
    ("is not mounted", "mount it, or leave out of the config what needs it"),
];

fn by_kind(error: &Error) -> Option<String> {
    match error.kind() {
        Kind::NoSuchContainer => Some(
            "rind list shows what there is below --root; another root, or another user, has others"
                .to_owned(),
        ),
        Kind::ContainerExists => {
            let id = error.object().unwrap_or("ID");
            Some(format!("take another id, or remove that one first: rind delete --force {id}"))
        }
        Kind::NotRunning => {
            Some("it has ended: rind delete removes it, rind run begins anew".to_owned())
        }
        _ => None,
    }
}

/// By the file or flag that it is about.
fn by_object(error: &Error) -> Option<String> {
    let object = object(error);
    let is_missing = error.errno() == Some(Errno::ENOENT);
    if is_missing && object.ends_with("config.json") {
        let hint = "`rind spec` writes one; --bundle DIR names a bundle elsewhere";
        return Some(hint.to_owned());
    }
    if is_missing && error.step().starts_with("bundle ") {
        return Some("a bundle is a directory with config.json and the root beside it".to_owned());
    }
    if object.starts_with("hooks.") || error.text().contains(" hook #") {
        let hint = "the hook's own words are above: mend it, or leave it out of hooks; rind gives it the state on stdin";
        return Some(hint.to_owned());
    }
    if let Some((_, advice)) = FLAGS.iter().find(|(flag, _)| *flag == object) {
        return Some((*advice).to_owned());
    }
    // An errno's meaning is more precise than what the property takes at all.
    if error.errno().is_none()
        && let Some(advice) = spec::advice(object)
    {
        return Some(advice.to_owned());
    }
    if is_missing && Path::new(object).is_absolute() {
        return missing_path(Path::new(object));
    }
    None
}

/// What flags take, where a value was refused.
const FLAGS: &[(&str, &str)] = &[
    ("--memory", SIZE),
    ("--memory-reservation", SIZE),
    ("--memory-swap", SIZE),
    ("--kernel-memory", SIZE),
    ("--kernel-memory-tcp", SIZE),
    ("--user", "UID or UID:GID, by number: names are the image's, and an engine looks them up"),
    ("--cwd", "a path that begins with /, from the container's root on"),
    ("--env", "NAME=VALUE, once for each variable"),
    ("--cap", "a name as CAP_NET_RAW, once for each capability: man 7 capabilities"),
    ("--preserve-fds", "N passes descriptors 3 to N+2 on, which the caller has to have open"),
    ("--parent-path", "a path from --image-path on, such as ../before, where the image before is"),
    ("--manage-cgroups-mode", "soft is the usual one: rind makes the cgroups, criu their content"),
    ("--format", "leave it out for a table, or give --format json"),
    ("--log-format", "leave it out for text, or give --log-format json"),
    ("--rootless", "auto finds out"),
    ("--cgroup-manager", "leave it out for what fits the host"),
    ("--console-socket", "an engine listens there for the terminal's master; run needs none"),
    ("--process", "a file with what `process` of config.json has, or - for stdin"),
    ("--image-path", "the directory that `rind checkpoint --image-path` has written"),
    ("--bundle", "the directory with config.json"),
    ("--interval", "a number with a unit: 500ms, 5s, 1m"),
];

const SIZE: &str = "a number of bytes, or one with k, m, g or t, or -1 for no limit";

/// Which directory of a path is there, and what to do.
fn missing_path(path: &Path) -> Option<String> {
    let there = path.ancestors().skip(1).find(|above| above.exists())?;
    let first = path.strip_prefix(there).ok()?.components().next()?;
    let missing = there.join(first);
    if missing == path {
        return Some(format!(
            "{} has no such entry: correct the path, or make it",
            there.display()
        ));
    }
    Some(format!("{} is missing: correct the path, or make it", missing.display()))
}

/// By the kernel's answer, whatever was being done.
fn by_answer(error: &Error) -> Option<String> {
    let hint = match error.errno()? {
        Errno::EMFILE => {
            let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
            return Some(format!("the limit on open files is {limit}: raise it, ulimit -n 1024"));
        }
        Errno::ENFILE => "the host's limit on open files is reached: sysctl fs.file-max",
        Errno::ENOSPC => "the disk is full, or has no inodes left: see df and df -i",
        Errno::EDQUOT => "the user's quota is used up: see quota(1)",
        Errno::EROFS => {
            "the file system is read-only: name a path elsewhere (--root, --log, --pid-file)"
        }
        Errno::EACCES if !geteuid().is_root() => {
            if env::var_os("XDG_RUNTIME_DIR").is_none() && error.step().contains("--root /run/rind")
            {
                "XDG_RUNTIME_DIR is not set: export XDG_RUNTIME_DIR=/run/user/$(id -u), or name a directory \
                 of yours by --root"
            } else {
                "rind runs as a user other than root, who may not do that: see the modes of all directories \
                 above, or run rind as root"
            }
        }
        Errno::EACCES => {
            "see the modes of all directories above, and the security modules (AppArmor, SELinux)"
        }
        Errno::EPERM if !geteuid().is_root() => {
            "rind runs as a user other than root: a user needs a user namespace, as `rind spec --rootless` \
             writes it"
        }
        Errno::EPERM => {
            "rind lacks a capability for that, or a seccomp profile or security module around rind forbids it"
        }
        Errno::ENOMEM => "out of memory: the host's, or a limit of the cgroup that rind is in",
        Errno::EAGAIN => {
            "a limit on processes is reached: pids.max of a cgroup that rind is in, or the user's (ulimit -u)"
        }
        Errno::ENOENT => "what it names isn't there: correct the path, or make it",
        Errno::ENOTDIR => "a component of the path is a file: correct the path",
        Errno::EISDIR => "it is a directory: name a file",
        Errno::ENAMETOOLONG => "the path, or a name in it, is too long",
        Errno::ELOOP => "links lead to each other: correct the path",
        Errno::ECONNREFUSED => "nobody listens at that socket: start its server first",
        Errno::EPIPE => "who was to read that has ended",
        Errno::EFBIG => "the limit on a file's size is reached: raise it, ulimit -f unlimited",
        Errno::EIO => "the disk, or the device, fails: dmesg says more",
        Errno::EEXIST => "remove what is there, or take another name",
        Errno::ENOSYS => "the kernel has no such call, or a seccomp profile around rind forbids it",
        _ => return None,
    };
    Some(hint.to_owned())
}
