//! The program: arguments, environment, working directory, and the search in PATH. What lies below
//! the root is the image's, and must not be trusted.

use crate::Error;
use crate::fault::{During, Fault, Stage};
use crate::refusal;
use oci_spec::runtime::Process;
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use sys::Errno;
use sys::exec::Vector;
use sys::fs::file_type;
use sys::nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag};
use sys::nix::sys::stat::{Mode, SFlag};
use sys::nix::unistd::getpid;

/// A program to execute.
#[derive(Debug)]
pub(crate) struct Program {
    pub arguments: Vector,
    pub environment: Vector,
    pub cwd: CString,
    /// The paths to try for `args[0]`: `args[0]` itself, or that in each directory of PATH.
    candidates: Vec<CString>,
    /// The index of the candidate to execute, once found.
    found: Option<usize>,
    searched: bool,
    needs_home: bool,
    /// Whether the program gets sockets to listen on.
    listens: bool,
}

impl Program {
    /// The program of `process`, which gets `listen_fds` sockets from descriptor 3 on.
    pub fn from_config(process: &Process, listen_fds: u32) -> Result<Self, Error> {
        let text = |key: &str, value: &[u8]| {
            CString::new(value).map_err(|_| Error::new(format!("process.{key}: has a NUL byte")))
        };
        let texts = |key: &str, list: &[String]| -> Result<Vec<CString>, Error> {
            list.iter().map(|value| text(key, value.as_bytes())).collect()
        };
        let arguments = process.args().as_deref().unwrap_or_default();
        let zero = arguments.first().ok_or_else(|| Error::new("process.args: is empty"))?;
        let environment = environment(process.env().as_deref().unwrap_or_default(), listen_fds);
        let path = environment.iter().find_map(|entry| entry.strip_prefix("PATH="));
        let searched = !zero.contains('/');
        let candidates = if searched { in_path(zero, path) } else { vec![zero.clone()] };
        Ok(Self {
            arguments: Vector::new(texts("args", arguments)?),
            listens: listen_fds > 0,
            needs_home: !environment.iter().any(|entry| entry.starts_with(HOME)),
            environment: Vector::new(texts("env", &environment)?),
            cwd: text("cwd", process.cwd().as_os_str().as_bytes())?,
            candidates: texts("args", &candidates)?,
            found: None,
            searched,
        })
    }

    /// Finds the file to execute; called as the user that executes it. `may_look` is as in
    /// [`Program::execute`].
    pub fn find(&mut self, may_look: Looking) -> Result<(), Fault> {
        let mut answer = Errno::ENOENT;
        for (index, candidate) in self.candidates.iter().enumerate() {
            match executable(candidate) {
                Ok(()) => {
                    self.found = Some(index);
                    return Ok(());
                }
                Err(errno) => answer = errno,
            }
        }
        let stage = if self.searched { Stage::ProgramNotInPath } else { Stage::Program };
        let path = self.candidates.last().filter(|_| !self.searched);
        Err(refused(stage, path, answer, may_look))
    }

    /// Sets HOME from the container's /etc/passwd, unless the config sets it.
    pub fn add_home(&mut self, root: BorrowedFd, uid: u32) {
        if !self.needs_home {
            return;
        }
        let mut entry = HOME.as_bytes().to_vec();
        entry.extend(home(root, uid).unwrap_or_else(|| b"/".to_vec()));
        if let Ok(entry) = CString::new(entry) {
            self.environment.push(entry);
        }
    }

    /// Sets `LISTEN_PID` if the program gets sockets: a program takes them only if this is its own
    /// pid (`sd_listen_fds(3)`), so only the process itself can set it.
    pub fn add_listen_pid(&mut self) {
        if !self.listens {
            return;
        }
        if let Ok(entry) = CString::new(format!("LISTEN_PID={}", getpid())) {
            self.environment.push(entry);
        }
    }

    /// The environment as text, for hooks that have none of their own.
    pub fn environment_text(&self) -> Vec<String> {
        let entries = self.environment.strings().iter();
        entries.map(|entry| entry.to_string_lossy().into_owned()).collect()
    }

    /// Whether the path of the program or of its working directory may lead through /proc/self, and
    /// so means something only in the process itself.
    pub fn is_its_own(&self) -> bool {
        let leads = |path: &CString| {
            [&b"/proc/"[..], b"/dev/"].iter().any(|folder| path.to_bytes().starts_with(folder))
        };
        leads(&self.cwd) || self.candidates.iter().any(leads)
    }

    /// Executes what [`Program::find`] found; returns only on failure, and looks then why it failed.
    pub fn execute(&self, may_look: Looking) -> Fault {
        let found = self.found.and_then(|index| self.candidates.get(index));
        let execute = |path: &CString| sys::exec::execve(path, &self.arguments, &self.environment);
        let errno = found.map_or(Errno::ENOENT, execute);
        refused(Stage::Exec, found, errno, may_look)
    }
}

/// Whether the file of a program that can't be executed may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    Free,
    /// A seccomp filter applies, which lets some calls fail.
    Filtered,
    /// A seccomp filter applies that may end the process at a call.
    Never,
}

fn refused(stage: Stage, path: Option<&CString>, errno: Errno, looking: Looking) -> Fault {
    let look = |path| refusal::look(path, errno, looking == Looking::Filtered);
    let path = path.filter(|_| looking != Looking::Never);
    let refusal = path.and_then(|path| look(path));
    let detail = refusal.map(|refusal| refusal.to_detail()).unwrap_or_default();
    Fault { detail, ..Fault::new(stage, errno) }
}

/// The paths that `args[0]` of a process stands for, in the order in which they are tried: itself, or that
/// in each directory of the environment's PATH.
#[must_use]
pub fn candidates(process: &Process) -> Vec<String> {
    let Some(zero) = process.args().iter().flatten().next() else { return Vec::new() };
    let environment = environment(process.env().as_deref().unwrap_or_default(), 0);
    let path = environment.iter().find_map(|entry| entry.strip_prefix("PATH="));
    if zero.contains('/') { vec![zero.clone()] } else { in_path(zero, path) }
}

/// How an entry of the environment for HOME begins.
const HOME: &str = "HOME=";

/// The environment with each name once, the last value of `config` winning, and with `LISTEN_FDS`
/// if there are sockets. An empty HOME counts as unset.
fn environment(config: &[String], listen_fds: u32) -> Vec<String> {
    let mut seen = HashSet::new();
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> =
        config.iter().rev().filter(|entry| seen.insert(name(entry))).cloned().collect();
    kept.retain(|entry| entry != HOME);
    kept.reverse();
    if listen_fds > 0 {
        kept.push(format!("LISTEN_FDS={listen_fds}"));
    }
    kept
}

/// `name` in each directory of PATH; an empty element means the working directory.
fn in_path(name: &str, path: Option<&str>) -> Vec<String> {
    let directories = path.into_iter().flat_map(|path| path.split(':'));
    directories
        .map(|directory| match directory {
            "" => format!("./{name}"),
            directory => format!("{directory}/{name}"),
        })
        .collect()
}

fn executable(path: &CStr) -> sys::Result<()> {
    let stat = sys::fs::stat(path)?;
    if file_type(&stat) == SFlag::S_IFDIR {
        return Err(Errno::EISDIR);
    }
    sys::fs::is_executable(AT_FDCWD, path)
}

/// The home directory of `uid` in the container's /etc/passwd.
///
/// The file is the image's, so rind opens it within the root, accepts only a regular file, and
/// reads no more than a limit.
fn home(root: BorrowedFd, uid: u32) -> Option<Vec<u8>> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = sys::fs::openat2(root, c"etc/passwd", flags, Mode::empty(), resolve).ok()?;
    let stat = sys::nix::sys::stat::fstat(&file).ok()?;
    if file_type(&stat) != SFlag::S_IFREG {
        return None;
    }
    sys::passwd::home(&file, uid).ok()?.filter(|home| !home.is_empty())
}

/// Enters the working directory. If it is missing and `below` is a root, rind makes it there.
///
/// A directory that the kernel can't name from the container's root is outside: the path led
/// through a link in /proc to a descriptor of the host's (CVE-2024-21626).
pub(crate) fn enter_directory(cwd: &CStr, below: Option<BorrowedFd>) -> Result<(), Fault> {
    if cwd == c"/" {
        // The change of root ends in this directory.
        return Ok(());
    }
    match (sys::nix::unistd::chdir(cwd), below) {
        (Err(Errno::ENOENT), Some(root)) => {
            rootfs::make_directories(root, cwd).during(Stage::WorkingDirectory)?;
            sys::nix::unistd::chdir(cwd).during(Stage::WorkingDirectory)?;
        }
        (entered, _) => entered.during(Stage::WorkingDirectory)?,
    }
    check_directory()
}

/// Checks that the working directory is inside the container: see [`enter_directory`].
pub(crate) fn check_directory() -> Result<(), Fault> {
    sys::nix::unistd::getcwd().map(drop).during(Stage::WorkingDirectoryOutside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_names_wins_and_order_is_kept() {
        let given = ["A=1", "B=2", "A=3", "C"].map(String::from);
        assert_eq!(environment(&given, 0), ["B=2", "A=3", "C"]);
    }

    #[test]
    fn an_empty_home_is_none() {
        let given = |entries: &[&str]| entries.iter().map(|&one| one.into()).collect::<Vec<_>>();
        assert_eq!(environment(&given(&["HOME=/a", "HOME="]), 0), [""; 0]);
        assert_eq!(environment(&given(&["HOME=", "HOME=/a"]), 0), ["HOME=/a"]);
    }

    #[test]
    fn path_is_searched_in_order() {
        assert_eq!(in_path("x", Some("/a::/b")), ["/a/x", "./x", "/b/x"]);
        assert!(in_path("x", None).is_empty());
    }
}
