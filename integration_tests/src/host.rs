//! What the machine offers, and small questions to its kernel.

use crate::test::skip;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use sys::nix::libc;

/// How long something may take that the kernel or a container does in its own time.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, looking every two milliseconds; `what` is for the message.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Opens the fifo at `path` for writing as soon as somebody has it open for reading.
///
/// It is opened once: somebody who was let through by an open that is closed again reads the end.
#[track_caller]
#[must_use]
pub fn open_fifo(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let _ = options.write(true).custom_flags(libc::O_NONBLOCK);
    let mut opened = None;
    wait_for("who reads the fifo", || {
        opened = options.open(path).ok();
        opened.is_some()
    });
    opened.expect("it was waited for")
}

/// Skips the test unless `program` is installed; gives its path.
#[must_use]
pub fn needs_program(program: &str) -> PathBuf {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program)).find(|p| p.exists());
    found.unwrap_or_else(|| skip(format!("{program} is not installed")))
}

/// Skips the test unless `path` exists on this machine.
pub fn needs_file(path: &str) {
    if !Path::new(path).exists() {
        skip(format!("this machine has no {path}"));
    }
}

/// Skips the test on a kernel before `major.minor`, which can't do `what`.
pub fn needs_kernel(major: u32, minor: u32, what: &str) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("osrelease");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    if (next(), next()) < (major, minor) {
        skip(format!("Linux before {major}.{minor} can't {what}"));
    }
}

/// Whether this process is root in the first user namespace: nothing here works without.
#[must_use]
pub fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all_ids = map.split_whitespace().eq(["0", "0", "4294967295"]);
    sys::nix::unistd::geteuid().is_root() && all_ids
}

/// The folder of this run, in which every test has its own.
#[must_use]
pub fn run_folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("rind-it-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the tests");
        folder
    });
    &FOLDER
}

/// The fields of /proc/PID/stat after the name: state, parent, group, session, ...
#[must_use]
pub fn process_stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Whether `pid` is a process that has not ended; a zombie has.
#[must_use]
pub fn is_alive(pid: i32) -> bool {
    process_stat(pid).is_some_and(|fields| !matches!(fields[0].as_str(), "Z" | "X"))
}

/// Where the namespace `kind` (as in /proc/PID/ns) of `pid` leads: `net:[4026531840]`.
#[must_use]
pub fn namespace(pid: i32, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("namespace of a process");
    link.to_string_lossy().into_owned()
}

/// Where the namespace `kind` of these tests leads.
#[must_use]
pub fn own_namespace(kind: &str) -> String {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).expect("own namespace");
    link.to_string_lossy().into_owned()
}
