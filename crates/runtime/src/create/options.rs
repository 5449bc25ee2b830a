//! What `create`, `run` and `restore` are asked for.

use std::path::PathBuf;

/// What `create` and `run` are asked for.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// The container's name.
    pub id: String,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The config to read instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    /// A socket that gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A socket that gets a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// Where init's pid is written.
    pub pid_file: Option<PathBuf>,
    /// Whether to change the root without `pivot_root(2)`.
    pub no_pivot: bool,
    /// Whether init keeps the caller's session keyring, and gets no new one.
    pub no_new_keyring: bool,
    /// How many descriptors the program inherits, from 3 on.
    pub preserve_fds: u32,
    /// How many of these are sockets to listen on (`sd_listen_fds(3)`), the first ones.
    pub listen_fds: u32,
    /// The containers whose namespaces are joined, each as `KIND,...=ID`.
    pub join: Vec<String>,
    /// Who manages the container's cgroups.
    pub manager: CgroupManager,
    /// Whether cgroups that rind may not create are skipped, and systemd is the user's own manager.
    pub rootless: bool,
}

/// Who creates a container's cgroups and limits them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupManager {
    /// Rind, through cgroupfs. Exception: on a v2 host, for a user other than root and a config
    /// without `cgroupsPath`, the user's systemd if it runs, as it owns the cgroups that the user
    /// may use.
    #[default]
    Fitting,
    /// Rind, through cgroupfs.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: the container stays in the caller's cgroups, which are left as they are.
    Disabled,
}

/// What `run` and `restore` are asked for beyond what `create` is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Whether to return as soon as the program runs.
    pub detach: bool,
    /// Whether the container is left there when its program has ended.
    pub keep: bool,
    /// Whether rind does not become a subreaper (`PR_SET_CHILD_SUBREAPER`) for the container's
    /// orphans.
    pub no_subreaper: bool,
}

/// What a container is created for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To wait for `start`. The caller gets the terminal's master over the console socket.
    Create,
    /// To run at once, and be left running.
    RunDetached,
    /// To run at once, supervised by rind, which relays the terminal.
    RunForeground,
    /// Not to be created, but looked at: whether it could be.
    Check,
}
