//! What `create`, `run` and `restore` are asked for.

use std::path::{Path, PathBuf};

/// What `create` and `run` are asked for.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// The container's name.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    /// A socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A socket that gets a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// Where init's pid is written.
    pub pid_file: Option<PathBuf>,
    /// Not to use `pivot_root(2)`.
    pub no_pivot: bool,
    /// To keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// How many of them, the first ones, are sockets to listen on (`sd_listen_fds(3)`).
    pub listen_fds: u32,
    /// Containers whose namespaces are joined, each as `KIND,...=ID`.
    pub join: Vec<String>,
    /// Who manages its cgroups.
    pub manager: CgroupManager,
    /// Whether missing permissions on cgroups are no error, and systemd is the user's.
    pub rootless: bool,
}

/// Who makes a container's cgroups and limits them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupManager {
    /// We, through their file system; but on a v2 host, for a user and a container without a
    /// `cgroupsPath`, the user's systemd if there is one, as it owns what the user may use.
    #[default]
    Fitting,
    /// We, through their file system.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: cgroups are left alone.
    Disabled,
}

impl CreateOptions {
    pub(crate) fn console_socket(&self) -> Option<&Path> {
        self.console_socket.as_deref()
    }
}

/// What `run` is asked for beyond what `create` is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// To come back once the program runs.
    pub detach: bool,
    /// Not to delete the container at its end.
    pub keep: bool,
    /// Not to take care of orphans of the container's.
    pub no_subreaper: bool,
}

/// What a container is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To wait for `start`, with whatever terminal the caller has a socket for.
    Create,
    /// To run at once, and be left alone.
    RunDetached,
    /// To run at once, with its terminal looked after here.
    RunForeground,
}
