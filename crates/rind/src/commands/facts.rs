//! What help and manual pages tell beside the commands: examples, files, the environment, and the words
//! that other programs have for rind's commands.

use crate::model::{Example, Fact};

/// How to begin.
pub const EXAMPLES: &[Example] = &[
    ("rind spec", "writes a config.json, for a bundle: with rootfs/ beside it"),
    ("rind run --bundle DIR ID", "runs what it says, in the foreground"),
    ("rind COMMAND --help", "has the flags of a command, and examples"),
];

/// What others call it: docker, podman, systemctl and shells. Where the first is a command of rind's too,
/// it is for one container, and the second for all.
pub const SYNONYMS: &[(&str, &str)] = &[
    ("rm", "delete"),
    ("remove", "delete"),
    ("destroy", "delete"),
    ("stop", "kill"),
    ("terminate", "kill"),
    ("signal", "kill"),
    ("ls", "list"),
    ("containers", "list"),
    ("ps", "list"),
    ("top", "ps"),
    ("stats", "events"),
    ("unpause", "resume"),
    ("freeze", "pause"),
    ("thaw", "resume"),
    ("status", "state"),
    ("info", "features"),
    ("init", "spec"),
    ("enter", "exec"),
    ("manual", "man"),
];

/// What engines do.
pub const OF_ENGINES: &[&str] = &[
    "attach",
    "build",
    "commit",
    "compose",
    "container",
    "cp",
    "diff",
    "export",
    "history",
    "image",
    "images",
    "import",
    "load",
    "login",
    "logout",
    "logs",
    "network",
    "pod",
    "port",
    "prune",
    "pull",
    "push",
    "rename",
    "restart",
    "rmi",
    "save",
    "search",
    "system",
    "tag",
    "volume",
    "wait",
];

/// What is said of every command that makes a container, and of `exec`.
const MAKES: &[&str] = &["create", "run", "restore"];

/// The files.
pub const FILES: &[Fact] = &[
    Fact {
        name: "/run/rind/ID",
        about: "What rind keeps of the container ID, for root. --root names another directory.",
        commands: &[],
    },
    Fact { name: "$XDG_RUNTIME_DIR/rind/ID", about: "The same for another user.", commands: &[] },
    Fact {
        name: "config.json",
        about: "What the container is to be, in the bundle's directory (OCI runtime specification).",
        commands: &["create", "run", "restore", "spec"],
    },
    Fact {
        name: "/etc/subuid, /etc/subgid",
        about: "The ids that a user other than root may map; newuidmap(1) reads them.",
        commands: MAKES,
    },
    Fact {
        name: "checkpoint/dump.log, checkpoint/restore.log",
        about: "What criu says, in the image's directory or in --work-path.",
        commands: &["checkpoint", "restore"],
    },
];

/// The variables.
pub const ENVIRONMENT: &[Fact] = &[
    Fact {
        name: "XDG_RUNTIME_DIR",
        about: "Where the state of another user than root is kept, in the directory rind; and where \
            the user's systemd listens.",
        commands: &[],
    },
    Fact {
        name: "USER",
        about: "Of root in a user namespace: root says that it is root of a whole system, with its \
            state in /run/rind.",
        commands: &[],
    },
    Fact {
        name: "NO_COLOR, TERM",
        about: "No colours on a terminal where the first is not empty, or the second is dumb, empty \
            or not there. What is no terminal gets none.",
        commands: &[],
    },
    Fact {
        name: "NOTIFY_SOCKET",
        about: "The socket of a service manager (sd_notify(3)), which is told when the container is \
            ready.",
        commands: &["create", "run", "start"],
    },
    Fact {
        name: "LISTEN_FDS, LISTEN_PID",
        about: "How many descriptors, from 3, are sockets to listen on (sd_listen_fds(3)). The \
            program gets them.",
        commands: &["create", "run", "restore", "exec"],
    },
    Fact {
        name: "DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS",
        about: "Where systemd is asked for cgroups, if it makes them.",
        commands: &["create", "run", "restore", "exec", "update", "delete", "kill"],
    },
    Fact {
        name: "PATH",
        about: "Where criu, newuidmap, newgidmap and ps are looked for. The container's own is in \
            its config.",
        commands: &["create", "run", "exec", "ps", "checkpoint", "restore"],
    },
];
