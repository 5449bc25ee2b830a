//! What criu is asked for: `criu_opts` of its rpc.proto, whose numbers of fields these are.

use crate::wire::Writer;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::nix::libc::CLONE_NEWNET;

/// What is either on or off (criu(8) has an option of the same name for most).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// To let the processes go on after a dump.
    LeaveRunning = 3,
    /// To dump and restore unix sockets with a peer outside.
    ExtUnixSk = 4,
    /// To dump and restore TCP connections that are established.
    TcpEstablished = 5,
    /// To open a device that has gone by any path that leads to it.
    EvasiveDevices = 6,
    /// To dump and restore what has its session and terminal from outside.
    ShellJob = 7,
    /// To dump and restore locks on files.
    FileLocks = 8,
    /// To be told of what criu does.
    NotifyScripts = 12,
    /// To have the kernel mark which memory changes from now on.
    TrackMem = 15,
    /// To free memory of images that a newer one has too, or that is restored.
    AutoDedup = 16,
    /// To link files that were unlinked back for as long as the dump is.
    LinkRemap = 18,
    /// To have the restored process as our own child.
    RstSibling = 26,
    /// To leave out TCP connections that are not yet established.
    TcpSkipInFlight = 46,
    /// To fetch memory only when it is used.
    LazyPages = 48,
    /// To be given the master of a terminal whose slave is restored.
    OrphanPtsMaster = 50,
}

/// What criu does with cgroups (criu(8), `--manage-cgroups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// Nothing.
    Ignore = 0,
    /// Restores those that are missing, with their properties.
    Soft = 3,
    /// Restores all, and their properties.
    Full = 4,
    /// Restores all, of which none may be there.
    Strict = 5,
    /// What criu does if it isn't told.
    #[default]
    Default = 6,
}

/// What a dump or a restore is to be like, as it is sent.
#[derive(Clone, Debug)]
pub struct Options(pub(crate) Writer);

impl Options {
    /// Images are in the directory `images`, which must stay open; messages go to the file
    /// `log_file` of it.
    #[must_use]
    pub fn new(images: BorrowedFd, log_file: &str) -> Self {
        /// Errors, warnings, and what is done.
        const VERBOSE: u32 = 4;
        let mut options = Self(Writer::default());
        options.descriptor(1, images);
        options.0.number(9, VERBOSE);
        options.0.bytes(10, log_file.as_bytes());
        options
    }

    /// Sets a switch.
    pub fn switch(&mut self, switch: Switch) {
        self.0.number(switch as u32, true);
    }

    /// The process whose tree is dumped.
    pub fn process(&mut self, pid: i32) {
        self.0.number(2, pid.unsigned_abs());
    }

    /// The root of the mount namespace that is restored, a mount point.
    pub fn root(&mut self, root: &Path) {
        self.path(13, root);
    }

    /// Images of an earlier dump, relative to this one's.
    pub fn parent(&mut self, images: &Path) {
        self.path(14, images);
    }

    /// The directory of log and statistics, which must stay open; without it that of the images.
    pub fn work(&mut self, directory: BorrowedFd) {
        self.descriptor(17, directory);
    }

    /// A mount whose content is not criu's affair. At a dump: its mount point, and the name to give
    /// it. At a restore: that name, and the path that is bound there.
    pub fn external_mount(&mut self, key: &Path, value: &Path) {
        let mut entry = Writer::default();
        entry.bytes(1, key.as_os_str().as_bytes());
        entry.bytes(2, value.as_os_str().as_bytes());
        self.0.message(23, &entry);
    }

    /// Where the cgroups of `controller`, empty for v2, are restored below.
    pub fn cgroup_root(&mut self, controller: &str, path: &str) {
        let mut entry = Writer::default();
        entry.bytes(1, controller.as_bytes());
        entry.bytes(2, path.as_bytes());
        self.0.message(25, &entry);
    }

    /// What stands for the external file `key`: a descriptor by its number in criu's process.
    pub fn inherit(&mut self, key: &str, number: i32) {
        let mut entry = Writer::default();
        entry.bytes(1, key.as_bytes());
        entry.number(2, number.unsigned_abs());
        self.0.message(27, &entry);
    }

    /// What is done with cgroups.
    pub fn cgroup_mode(&mut self, mode: CgroupMode) {
        self.0.number(34, mode as u32);
    }

    /// Something that is not criu's affair, as criu(8) has it for `--external`.
    pub fn external(&mut self, text: &str) {
        self.0.bytes(37, text.as_bytes());
    }

    /// A network namespace is dumped and restored without its devices, addresses and rules.
    pub fn empty_network(&mut self) {
        self.0.number(38, CLONE_NEWNET.unsigned_abs());
    }

    /// A namespace that the processes join instead of one of their own.
    pub fn join(&mut self, kind: &str, path: &Path) {
        let mut entry = Writer::default();
        entry.bytes(1, kind.as_bytes());
        entry.bytes(2, path.as_os_str().as_bytes());
        self.0.message(39, &entry);
    }

    /// The cgroup by whose freezer the processes are stopped.
    pub fn freeze_cgroup(&mut self, directory: &str) {
        self.0.bytes(44, directory.as_bytes());
    }

    /// Options that overrule these; a file that isn't there is none.
    pub fn config_file(&mut self, path: &str) {
        self.0.bytes(51, path.as_bytes());
    }

    /// The security label of the restored processes, `TYPE:NAME`.
    pub fn lsm_profile(&mut self, profile: &str) {
        self.0.bytes(53, profile.as_bytes());
    }

    /// The network is held up by nftables, of which criu has the library, and not by the programs of
    /// iptables.
    pub fn lock_by_nftables(&mut self) {
        const NFTABLES: u32 = 2;
        self.0.number(64, NFTABLES);
    }

    /// The context of the restored mounts.
    pub fn lsm_mount_context(&mut self, context: &str) {
        self.0.bytes(63, context.as_bytes());
    }

    /// Where memory is sent to, or with [`Switch::LazyPages`] where it is fetched.
    pub fn page_server(&mut self, address: &str, port: u16) {
        let mut entry = Writer::default();
        entry.bytes(1, address.as_bytes());
        entry.number(2, port);
        self.0.message(11, &entry);
    }

    /// criu opens it by its number in our process.
    fn descriptor(&mut self, field: u32, descriptor: BorrowedFd) {
        self.0.number(field, descriptor.as_fd().as_raw_fd().unsigned_abs());
    }

    fn path(&mut self, field: u32, path: &Path) {
        self.0.bytes(field, path.as_os_str().as_bytes());
    }
}
