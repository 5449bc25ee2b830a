//! The options of a request: `criu_opts` of criu's rpc.proto, by its field numbers. criu(8)
//! documents most of them under the command-line option of the same name.

use crate::wire::Writer;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::nix::libc::CLONE_NEWNET;

/// An option that is on or off; the number is that of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Lets the processes run on after a dump.
    LeaveRunning = 3,
    /// Dumps and restores unix sockets whose peer is outside.
    ExtUnixSk = 4,
    /// Dumps and restores established TCP connections.
    TcpEstablished = 5,
    /// Opens a device whose path is gone by any other path that leads to the device.
    EvasiveDevices = 6,
    /// Dumps and restores processes whose session and terminal come from outside.
    ShellJob = 7,
    /// Dumps and restores file locks.
    FileLocks = 8,
    /// Sends a [`Notice`](crate::Notice) of each stage.
    NotifyScripts = 12,
    /// Has the kernel track which memory changes from now on.
    TrackMem = 15,
    /// Frees memory in images that a newer image has too, or that is restored.
    AutoDedup = 16,
    /// Links unlinked files back while the dump lasts.
    LinkRemap = 18,
    /// Makes the restored process a child of criu's parent, which is rind.
    RstSibling = 26,
    /// Leaves out TCP connections that are not established yet.
    TcpSkipInFlight = 46,
    /// Fetches memory only when a process uses it.
    LazyPages = 48,
    /// Sends the master of a terminal whose slave criu restores.
    OrphanPtsMaster = 50,
}

/// What criu does with cgroups (criu(8), `--manage-cgroups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// Leaves them alone.
    Ignore = 0,
    /// Restores missing cgroups with their properties.
    Soft = 3,
    /// Restores all cgroups and their properties.
    Full = 4,
    /// Restores all cgroups, none of which may exist.
    Strict = 5,
    /// criu's own default.
    #[default]
    Default = 6,
}

/// The options of a dump or a restore, encoded.
#[derive(Clone, Debug)]
pub struct Options(pub(crate) Writer);

impl Options {
    /// Options for images in the directory `images`, which must stay open until criu has answered.
    /// criu writes its messages to the file `log_file` there.
    #[must_use]
    pub fn new(images: BorrowedFd, log_file: &str) -> Self {
        /// criu logs errors, warnings and what it does.
        const VERBOSE: u32 = 4;
        let mut options = Self(Writer::default());
        options.descriptor(1, images);
        options.0.add_number(9, VERBOSE);
        options.0.add_bytes(10, log_file.as_bytes());
        options
    }

    /// Turns `switch` on.
    pub fn switch(&mut self, switch: Switch) {
        self.0.add_number(switch as u32, true);
    }

    /// Dumps the process `pid` and its descendants.
    pub fn process(&mut self, pid: i32) {
        self.0.add_number(2, pid.unsigned_abs());
    }

    /// Restores the mount namespace with the mount point `root` as its root.
    pub fn root(&mut self, root: &Path) {
        self.path(13, root);
    }

    /// Names the images of an earlier dump, by a path relative to this dump's images.
    pub fn parent(&mut self, images: &Path) {
        self.path(14, images);
    }

    /// Puts log and statistics into `directory`, which must stay open; the default is the directory
    /// of the images.
    pub fn work(&mut self, directory: BorrowedFd) {
        self.descriptor(17, directory);
    }

    /// Leaves the content of a mount out. For a dump, `key` is the mount point and `value` the name
    /// in the images; for a restore, `key` is that name and `value` the path to bind there.
    pub fn external_mount(&mut self, key: &Path, value: &Path) {
        self.pair(23, key.as_os_str().as_bytes(), value.as_os_str().as_bytes());
    }

    /// Restores the cgroups of `controller`, which is empty for v2, below `path`.
    pub fn cgroup_root(&mut self, controller: &str, path: &str) {
        self.pair(25, controller.as_bytes(), path.as_bytes());
    }

    /// Has the descriptor `number` of criu's process stand for the external file `key`.
    pub fn inherit(&mut self, key: &str, number: i32) {
        let mut entry = Writer::default();
        entry.add_bytes(1, key.as_bytes());
        entry.add_number(2, number.unsigned_abs());
        self.0.add_message(27, &entry);
    }

    /// Sets what criu does with cgroups.
    pub fn cgroup_mode(&mut self, mode: CgroupMode) {
        self.0.add_number(34, mode as u32);
    }

    /// Leaves a resource to rind; `text` is as in criu(8), `--external`.
    pub fn external(&mut self, text: &str) {
        self.0.add_bytes(37, text.as_bytes());
    }

    /// Dumps and restores a network namespace without its devices, addresses and rules.
    pub fn empty_network(&mut self) {
        self.0.add_number(38, CLONE_NEWNET.unsigned_abs());
    }

    /// Has the restored processes join the namespace at `path`; `kind` is `net`, `pid` and so on.
    pub fn join(&mut self, kind: &str, path: &Path) {
        self.pair(39, kind.as_bytes(), path.as_os_str().as_bytes());
    }

    /// Stops the processes by the freezer of the cgroup `directory`.
    pub fn freeze_cgroup(&mut self, directory: &str) {
        self.0.add_bytes(44, directory.as_bytes());
    }

    /// Has criu read options that overrule these from the file `path`, if it exists.
    pub fn config_file(&mut self, path: &str) {
        self.0.add_bytes(51, path.as_bytes());
    }

    /// Gives the restored processes the security label `TYPE:NAME`.
    pub fn lsm_profile(&mut self, profile: &str) {
        self.0.add_bytes(53, profile.as_bytes());
    }

    /// Locks the network by nftables, whose library criu has, instead of by the iptables programs.
    pub fn lock_by_nftables(&mut self) {
        const NFTABLES: u32 = 2;
        self.0.add_number(64, NFTABLES);
    }

    /// Gives the restored mounts the security context `context`.
    pub fn lsm_mount_context(&mut self, context: &str) {
        self.0.add_bytes(63, context.as_bytes());
    }

    /// Sends memory to a page server, or with [`Switch::LazyPages`] fetches it from there.
    pub fn page_server(&mut self, address: &str, port: u16) {
        let mut entry = Writer::default();
        entry.add_bytes(1, address.as_bytes());
        entry.add_number(2, port);
        self.0.add_message(11, &entry);
    }

    /// Adds the number of a descriptor of rind's process, from where criu opens the file.
    fn descriptor(&mut self, field: u32, descriptor: BorrowedFd) {
        self.0.add_number(field, descriptor.as_fd().as_raw_fd().unsigned_abs());
    }

    /// Adds a nested message of two strings.
    fn pair(&mut self, field: u32, first: &[u8], second: &[u8]) {
        let mut entry = Writer::default();
        entry.add_bytes(1, first);
        entry.add_bytes(2, second);
        self.0.add_message(field, &entry);
    }

    fn path(&mut self, field: u32, path: &Path) {
        self.0.add_bytes(field, path.as_os_str().as_bytes());
    }
}
