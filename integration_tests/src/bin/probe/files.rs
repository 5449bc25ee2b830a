//! Questions about paths.

use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::process::ExitCode;
use sys::Errno;
use sys::nix::fcntl::OFlag;
use sys::nix::sys::stat::{major, minor};

/// What `path` is, without following a link at its end; `error` if it is not to be had.
///
/// `readable` and `writable` are "yes" or the error of really opening it (a folder: of making a
/// file in it); `content` is the start of a file, or the names in a folder.
pub fn stat(path: &str) -> Value {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return json!({ "path": path, "error": name(&error) }),
    };
    let kind = found.file_type();
    let kind = match () {
        () if kind.is_symlink() => "link",
        () if kind.is_dir() => "folder",
        () if kind.is_char_device() => "character device",
        () if kind.is_block_device() => "block device",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "file",
    };
    let is_folder = fs::metadata(path).is_ok_and(|target| target.is_dir());
    let content = if is_folder { list(path) } else { start(path) };
    json!({
        "path": path,
        "type": kind,
        "mode": found.mode() & 0o7777,
        "uid": found.uid(),
        "gid": found.gid(),
        "major": major(found.rdev()),
        "minor": minor(found.rdev()),
        "link": fs::read_link(path).ok(),
        "readable": answer(open(path, OFlag::O_RDONLY)),
        "writable": if is_folder { answer(try_create_in(path)) } else { answer(open(path, OFlag::O_WRONLY)) },
        "content": content,
    })
}

/// The names in a folder, sorted.
pub fn list(path: &str) -> Value {
    let Ok(entries) = fs::read_dir(path) else { return Value::Null };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    json!(names)
}

/// Prints a file.
pub fn read(path: &str) -> ExitCode {
    exit(fs::read_to_string(path).map(|text| print!("{text}")))
}

/// Writes to a file that exists.
pub fn write(path: &str, text: &str) -> ExitCode {
    let written = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    exit(written)
}

/// Makes a file.
pub fn create(path: &str, text: &str) -> ExitCode {
    exit(fs::write(path, text))
}

/// "yes", or the error's name.
pub fn answer<T>(result: io::Result<T>) -> String {
    result.map_or_else(|error| name(&error), |_| "yes".to_owned())
}

/// The error's name in C: `EPERM`.
pub fn name(error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or_default();
    format!("{:?}", Errno::from_raw(number))
}

fn open(path: &str, access: OFlag) -> io::Result<fs::File> {
    // A fifo or a terminal must not make it wait.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new()
        .read(access == OFlag::O_RDONLY)
        .write(access == OFlag::O_WRONLY)
        .custom_flags(flags.bits())
        .open(path)
}

fn try_create_in(folder: &str) -> io::Result<()> {
    let path = format!("{}/.probe", folder.trim_end_matches('/'));
    fs::write(&path, "")?;
    fs::remove_file(&path)
}

fn start(path: &str) -> Value {
    if !fs::metadata(path).is_ok_and(|target| target.is_file()) {
        return Value::Null;
    }
    let mut bytes = Vec::new();
    let read = open(path, OFlag::O_RDONLY).and_then(|file| file.take(4096).read_to_end(&mut bytes));
    read.map_or(Value::Null, |_| json!(String::from_utf8_lossy(&bytes)))
}

fn exit(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", name(&error));
            ExitCode::FAILURE
        }
    }
}
