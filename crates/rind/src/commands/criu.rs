//! `checkpoint` and `restore`.

use super::create::{self, BUNDLE, CONSOLE, PID};
use super::global::runtime;
use super::run::{self, KEEP, PROGRAMS_STATUS, SUBREAPER};
use crate::log::Log;
use crate::model::{Command, Failure, Flag, Parsed, flag, refuse};
use runtime::{CgroupMode, CheckpointOptions, CriuOptions, RestoreOptions, Switch};
use std::path::PathBuf;

const IMAGE: Flag = flag("image-path", "", "DIR", "where the image is (default: ./checkpoint)");
const WORK: Flag = flag("work-path", "", "DIR", "where criu's log goes (default: the image's)");
const MODES: &[&str] = &["soft", "full", "strict", "ignore"];
const MODE: Flag = flag(
    "manage-cgroups-mode",
    "",
    "MODE",
    "what criu does with cgroups: soft, full, strict or ignore",
)
.one_of(MODES);
const EMPTY: Flag =
    flag("empty-ns", "", "NAMESPACE", "leave out what is in it: network, where it always is")
        .one_of(&["network"]);
const TCP: Flag = flag("tcp-established", "", "", "allow TCP connections that are established");
const UNIX: Flag = flag("ext-unix-sk", "", "", "allow unix sockets with a peer outside");
const SHELL: Flag = flag("shell-job", "", "", "allow a session or terminal from outside");
const LOCKS: Flag = flag("file-locks", "", "", "take locks on files along");
const LAZY: Flag = flag("lazy-pages", "", "", "move memory only when it is used");
const DEDUP: Flag = flag("auto-dedup", "", "", "free what an image has that isn't needed there");

/// `checkpoint`.
pub const CHECKPOINT: Command = Command {
    details: "The container is deleted then, unless it is to go on. If it fails, the container goes \
        on, and\ncriu's log is dump.log of the work directory.",
    examples: &[
        (
            "rind checkpoint --image-path /srv/image web",
            "writes web to a directory, and deletes it",
        ),
        ("rind checkpoint --leave-running web", "writes it to ./checkpoint; web goes on"),
    ],
    flags: &[
        IMAGE,
        WORK,
        flag("leave-running", "", "", "let the container go on"),
        flag("pre-dump", "", "", "write down memory only, and let the container go on"),
        flag("parent-path", "", "DIR", "an earlier image, relative to this one"),
        TCP,
        flag("tcp-skip-in-flight", "", "", "leave out TCP connections that aren't established yet"),
        flag("link-remap", "", "", "give files that were unlinked a name for the time being"),
        UNIX,
        SHELL,
        LOCKS,
        LAZY,
        flag(
            "status-fd",
            "",
            "N",
            "with --lazy-pages: descriptor N gets a NUL byte once it's ready",
        ),
        flag(
            "page-server",
            "",
            "ADDRESS:PORT",
            "where memory is sent, or with --lazy-pages fetched",
        ),
        MODE,
        EMPTY,
        DEDUP,
    ],
    ..Command::new(
        "checkpoint",
        "write a running container down with criu, to be restored",
        checkpoint,
    )
};

/// `restore`.
pub const RESTORE: Command = Command {
    details: "Its processes go on where they were. The bundle must be as it was, but for the sources \
        of bind\nmounts, cgroups and joined namespaces. criu's log is restore.log of the work \
        directory.",
    examples: &[(
        "rind restore --bundle /srv/web --image-path /srv/image web",
        "has it go on where it was",
    )],
    status: PROGRAMS_STATUS,
    flags: &[
        BUNDLE,
        IMAGE,
        WORK,
        CONSOLE,
        PID,
        flag("detach", "d", "", "come back once it is restored"),
        KEEP,
        SUBREAPER,
        flag("no-pivot", "", "", "an error: criu can't do without pivot_root"),
        TCP,
        UNIX,
        SHELL,
        LOCKS,
        LAZY,
        MODE,
        EMPTY,
        DEDUP,
        flag("lsm-profile", "", "TYPE:NAME", "another security label (selinux:..., apparmor:...)"),
        flag("lsm-mount-context", "", "CONTEXT", "another SELinux context of mounts"),
    ],
    ..Command::new(
        "restore",
        "make a container of a checkpoint with criu, and see it to its end",
        restore,
    )
};

/// The flags that go to criu as they are.
const SWITCHES: [(&str, Switch); 9] = [
    ("leave-running", Switch::LeaveRunning),
    ("tcp-established", Switch::TcpEstablished),
    ("tcp-skip-in-flight", Switch::TcpSkipInFlight),
    ("link-remap", Switch::LinkRemap),
    ("ext-unix-sk", Switch::ExtUnixSk),
    ("shell-job", Switch::ShellJob),
    ("file-locks", Switch::FileLocks),
    ("lazy-pages", Switch::LazyPages),
    ("auto-dedup", Switch::AutoDedup),
];

fn checkpoint(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    let lazy = args.is_on("lazy-pages");
    let status_fd = args.value("status-fd").map(|text| match text.parse::<i32>() {
        Ok(number) if number >= 0 && lazy => Ok(number),
        Ok(number) if number >= 0 => refuse("--status-fd", "only with --lazy-pages"),
        _ => refuse("--status-fd", format!("{text:?} is not a number of a descriptor")),
    });
    let options = CheckpointOptions {
        id: args.id().to_owned(),
        criu: criu_options(args)?,
        parent: args.path("parent-path"),
        pre_dump: args.is_on("pre-dump"),
        page_server: args.value("page-server").map(address).transpose()?,
        status_fd: status_fd.transpose()?,
    };
    runtime::checkpoint(&runtime(args, log), &options)?;
    Ok(0)
}

fn restore(args: &Parsed, log: &Log) -> Result<i32, Failure> {
    if args.is_on("no-pivot") {
        return refuse("--no-pivot", "criu can't restore a container without pivot_root");
    }
    let text = |name: &str| args.text(name).map(str::to_owned);
    let options = RestoreOptions {
        create: create::options(args)?,
        run: run::options(args),
        criu: criu_options(args)?,
        lsm_profile: text("lsm-profile"),
        lsm_mount_context: text("lsm-mount-context"),
    };
    runtime::restore(&runtime(args, log), &options)
}

fn criu_options(args: &Parsed) -> Result<CriuOptions, Failure> {
    if let Some(other) = args.values("empty-ns").find(|name| *name != "network") {
        return refuse("--empty-ns", format!("{other:?} is not network"));
    }
    let switches = SWITCHES.iter().filter(|(name, _)| args.is_on(name));
    Ok(CriuOptions {
        program: args.path("criu").unwrap_or_else(|| PathBuf::from("criu")),
        images: args.path("image-path").unwrap_or_else(|| PathBuf::from("checkpoint")),
        work: args.path("work-path"),
        switches: switches.map(|(_, switch)| *switch).collect(),
        cgroup_mode: match args.value("manage-cgroups-mode") {
            None | Some("") => CgroupMode::Default,
            Some("soft") => CgroupMode::Soft,
            Some("full") => CgroupMode::Full,
            Some("strict") => CgroupMode::Strict,
            Some("ignore") => CgroupMode::Ignore,
            Some(other) => {
                let modes = MODES.join(", ");
                return refuse("--manage-cgroups-mode", format!("{other:?} is none of {modes}"));
            }
        },
    })
}

/// The address of a page server; an IPv6 address is in brackets.
fn address(text: &str) -> Result<(String, u16), Failure> {
    let parts = text.rsplit_once(':').and_then(|(address, port)| {
        let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Some((inner.unwrap_or(address).to_owned(), port.parse().ok()?))
    });
    let parts = parts.filter(|(address, port)| !address.is_empty() && *port != 0);
    parts.map_or_else(|| refuse("--page-server", format!("{text:?} is not ADDRESS:PORT")), Ok)
}
