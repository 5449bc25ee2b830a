//! What checkpoint and restore have in common: the directories of an image, what criu is told of any
//! container, what is read from its log.

use crate::{Error, Result};
use ::criu::{CgroupMode, Options, Switch};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::nix::fcntl::{OFlag, open, openat};
use sys::nix::sys::stat::{Mode, fstat};
use sys::nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

/// What checkpoint and restore are asked for alike.
#[derive(Clone, Debug)]
pub struct CriuOptions {
    /// criu: a path, or a name to look for in PATH.
    pub program: PathBuf,
    /// The directory of the image.
    pub images: PathBuf,
    /// The directory of log and statistics, where it is another one.
    pub work: Option<PathBuf>,
    /// What is handed on to criu as it is.
    pub switches: Vec<Switch>,
    /// What criu does with cgroups.
    pub cgroup_mode: CgroupMode,
}

/// Files of the host's with more options for criu, of which the first that is there is used.
const CONFIG_FILES: [&str; 2] = ["/etc/criu/rind.conf", "/etc/criu/runc.conf"];
/// The annotation that names another such file, or by an empty text none.
const CONFIG_ANNOTATION: &str = "org.criu.config";
/// What stdin, stdout and stderr were, in the image: a list of three texts. runc has it too.
const DESCRIPTORS: &str = "descriptors.json";
/// How much of a file is read, from its end, in bytes.
const MOST: u64 = 1 << 20;
/// How many of the log's lines an error quotes.
const QUOTED: usize = 3;
/// How many characters of each.
const LONGEST_LINE: usize = 500;

/// The directories of an image, opened.
#[derive(Debug)]
pub(crate) struct Image {
    images: OwnedFd,
    work: Option<OwnedFd>,
    log: PathBuf,
    log_name: &'static str,
}

impl Image {
    /// Opens the directories; the one of the image is made where `is_new`. The log will be the file
    /// `log_name` of the work directory.
    pub fn open(options: &CriuOptions, is_new: bool, log_name: &'static str) -> Result<Self> {
        if !geteuid().is_root() {
            return Err(Error::new("criu can be used by root only"));
        }
        if is_new {
            make(&options.images, "--image-path")?;
        }
        let images = open_directory(&options.images, "--image-path")?;
        let work = options.work.as_deref();
        let opened = work.map(|path| {
            make(path, "--work-path")?;
            open_directory(path, "--work-path")
        });
        let log = std::path::absolute(work.unwrap_or(&options.images).join(log_name));
        let log =
            log.map_err(|error| Error::new(format!("--work-path: {}", sys::answer(&error))))?;
        Ok(Self { images, work: opened.transpose()?, log, log_name })
    }

    /// What criu is told of any container.
    pub fn options(&self, criu: &CriuOptions, annotations: &BTreeMap<String, String>) -> Options {
        let mut options = Options::new(self.images.as_fd(), self.log_name);
        if let Some(work) = &self.work {
            options.work(work.as_fd());
        }
        criu.switches.iter().for_each(|switch| options.switch(*switch));
        options.switch(Switch::NotifyScripts);
        options.switch(Switch::OrphanPtsMaster);
        options.cgroup_mode(criu.cgroup_mode);
        // Devices, addresses and rules are the affair of whoever made them: the engine, by its hooks.
        options.empty_network();
        if !is_in_path("iptables-restore") {
            options.lock_by_nftables();
        }
        match annotations.get(CONFIG_ANNOTATION).map(String::as_str) {
            Some("") => {}
            Some(file) => options.config_file(file),
            None => options.config_file(default_config()),
        }
        options
    }

    /// Writes down what stdin, stdout and stderr are.
    pub fn write_descriptors(&self, descriptors: &[String; 3]) -> Result<()> {
        let failed = |why: String| Error::new(format!("writing {DESCRIPTORS}: {why}"));
        let json = serde_json::to_vec(descriptors).map_err(|error| failed(error.to_string()))?;
        // An image that is there already may have one.
        match unlinkat(&self.images, DESCRIPTORS, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(sys::errno_text(errno))),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(&self.images, DESCRIPTORS, flags, Mode::from_bits_truncate(0o600))
            .and_then(|file| sys::fs::write_once(file, &json))
            .map_err(|errno| failed(sys::errno_text(errno)))
    }

    /// What stdin, stdout and stderr were.
    pub fn read_descriptors(&self) -> Result<Vec<String>> {
        let failed =
            |why: String| Error::new(format!("--image-path: reading {DESCRIPTORS}: {why}"));
        let text =
            read_file(&self.images, DESCRIPTORS).map_err(|errno| failed(sys::errno_text(errno)))?;
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
    }

    /// The error with what criu's log has to say.
    pub fn explain(&self, error: &::criu::Error) -> Error {
        if !error.is_in_log() {
            return Error::new(error.to_string());
        }
        let directory = self.work.as_ref().unwrap_or(&self.images);
        let text = read_file(directory, self.log_name).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("Error")).collect();
        let last = lines.get(lines.len().saturating_sub(QUOTED)..).unwrap_or_default();
        let log = self.log.display();
        if last.is_empty() {
            return Error::new(format!("{error} (see {log})"));
        }
        let cut = |line: &&str| line.trim().chars().take(LONGEST_LINE).collect();
        let quoted: Vec<String> = last.iter().map(cut).collect();
        Error::new(format!("{} (see {log}): {}", error.summary(), quoted.join("; ")))
    }
}

fn default_config() -> &'static str {
    let [own, other] = CONFIG_FILES;
    if Path::new(own).exists() { own } else { other }
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn make(path: &Path, flag: &str) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AlreadyExists => "it is there, and not a directory".to_owned(),
            _ => sys::answer(&error),
        };
        Error::new(format!("{flag}: making {}: {why}", path.display()))
    })
}

/// Opens a directory that nobody but root may write to: criu writes to it as root, through links, and
/// makes of what it finds there whatever processes that describes.
pub(crate) fn open_directory(path: &Path, flag: &str) -> Result<OwnedFd> {
    let failed = |errno| Error::call(format!("{flag}: opening {}", path.display()), errno);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(path, flags, Mode::empty()).map_err(failed)?;
    match state::distrust(&fstat(&directory).map_err(failed)?) {
        None => Ok(directory),
        Some(reason) => Err(Error::new(format!(
            "{flag}: {}: {reason}, and what is in it is written and restored as root (chown and \
             chmod go-w it, or use another directory)",
            path.display()
        ))),
    }
}

/// Reads the end of a file of such a directory.
fn read_file(directory: &OwnedFd, name: &str) -> sys::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::empty())?);
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let size = file.metadata().map_err(errno)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MOST))).map_err(errno)?;
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text).map_err(errno)?;
    Ok(text)
}
