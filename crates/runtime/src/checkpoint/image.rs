//! The image of a checkpoint: its directories, the options that both commands give to criu, and the
//! errors in criu's log.

use crate::checkpoint::options::CriuOptions;
use crate::{Error, Explain, Result};
use ::criu::{Options, Switch};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::fs::{open, openat};
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::{Mode, fstat};
use sys::nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

/// Files on the host with more options for criu. criu reads the first one that exists.
const CONFIG_FILES: [&str; 2] = ["/etc/criu/rind.conf", "/etc/criu/runc.conf"];
/// The annotation that names another such file. An empty value means no file.
const CONFIG_ANNOTATION: &str = "org.criu.config";
/// The file of the image that records stdin, stdout and stderr as a list of three texts, as runc's.
const DESCRIPTORS: &str = "descriptors.json";
/// How many bytes rind reads of a file, from its end.
const MOST: u64 = 1 << 20;
/// How many of the log's lines an error quotes.
const QUOTED: usize = 3;
/// How many characters of a line an error quotes.
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
    /// Opens the directories, and creates that of the image if `is_new`. criu's log is the file
    /// `log_name` of the work directory.
    pub fn open(options: &CriuOptions, is_new: bool, log_name: &'static str) -> Result<Self> {
        if !geteuid().is_root() {
            return Err(Error::new("criu can be used by root only"));
        }
        if is_new {
            create_directory(&options.images, "--image-path")?;
        }
        let images = open_directory(&options.images, "--image-path")?;
        let work = options.work.as_deref();
        let opened = work.map(|path| {
            create_directory(path, "--work-path")?;
            open_directory(path, "--work-path")
        });
        let log = std::path::absolute(work.unwrap_or(&options.images).join(log_name));
        let log = log.about("--work-path")?;
        Ok(Self { images, work: opened.transpose()?, log, log_name })
    }

    /// The options that are the same for checkpoint and restore.
    pub fn options(&self, criu: &CriuOptions, annotations: &BTreeMap<String, String>) -> Options {
        let mut options = Options::new(self.images.as_fd(), self.log_name);
        if let Some(work) = &self.work {
            options.work(work.as_fd());
        }
        criu.switches.iter().for_each(|switch| options.switch(*switch));
        options.switch(Switch::NotifyScripts);
        options.switch(Switch::OrphanPtsMaster);
        options.cgroup_mode(criu.cgroup_mode);
        // The engine created devices, addresses and rules, and its hooks restore them.
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

    /// Writes descriptors.json.
    pub fn write_descriptors(&self, descriptors: &[String; 3]) -> Result<()> {
        let json = serde_json::to_vec(descriptors).on("writing", DESCRIPTORS)?;
        // An earlier checkpoint may have left one in the directory.
        match unlinkat(&self.images, DESCRIPTORS, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => {}
            removed => removed.on("writing", DESCRIPTORS)?,
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(&self.images, DESCRIPTORS, flags, Mode::from_bits_truncate(0o600))
            .and_then(|file| sys::fs::write_once(file, &json))
            .on("writing", DESCRIPTORS)
    }

    /// Reads descriptors.json.
    pub fn read_descriptors(&self) -> Result<Vec<String>> {
        const READING: &str = "--image-path: reading";
        let text = read_file(&self.images, DESCRIPTORS).on(READING, DESCRIPTORS)?;
        serde_json::from_slice(&text).on(READING, DESCRIPTORS)
    }

    /// Adds the last errors of criu's log to `error`, if criu itself failed.
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
        let explained = if last.is_empty() {
            Error::new(error.to_string()).with_hint(Some(format!("see {log}")))
        } else {
            let cut = |line: &&str| line.trim().chars().take(LONGEST_LINE).collect();
            let quoted: Vec<String> = last.iter().map(cut).collect();
            Error::new(format!("{} (see {log})", error.summary())).because(quoted.join("; "))
        };
        explained.with_object(log.to_string())
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

fn create_directory(path: &Path, flag: &str) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => io::Error::other("it is there, and not a directory"),
        _ => error,
    })
    .on(format_args!("{flag}: making"), path)
}

/// Opens a directory. It is an error if others than root may write to it: criu runs as root, follows
/// links there, and restores any process that it finds there.
pub(crate) fn open_directory(path: &Path, flag: &str) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open(path, flags, Mode::empty()).and_then(|file| Ok((fstat(&file)?, file)));
    let (stat, directory) = opened.on(format_args!("{flag}: opening"), path)?;
    let Some(reason) = state::distrust(&stat) else { return Ok(directory) };
    Err(Error::new(format!("{reason}, and what is in it is written and restored as root"))
        .with_hint(Some("chown and chmod go-w it, or use another directory"))
        .about(path)
        .within(flag))
}

/// Reads the end of a file of the directory.
fn read_file(directory: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::empty())?);
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MOST)))?;
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    Ok(text)
}
