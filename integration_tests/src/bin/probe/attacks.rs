//! What a hostile container tries. Each runs against copies that a test has made for it.

use crate::files::{answer, name};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use sys::Errno;
use sys::mount::{ATTR_RDONLY, Attributes, Depth, mount_setattr};
use sys::nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};

/// Holds the executable behind `path` (/proc/PID/exe), prints "holding", and when a line comes on
/// stdin, by when it is to have ended, tries in several ways to write to it.
pub fn steal_executable(path: &str) -> Value {
    let read_only = match File::open(path) {
        Ok(file) => file,
        Err(error) => return json!({ "open": name(&error) }),
    };
    let by_path = OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path);
    println!("holding");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("stdin");

    let clear = Attributes { clear: ATTR_RDONLY, ..Attributes::default() };
    let cleared = mount_setattr(&read_only, Depth::One, &clear);
    let made_writable =
        by_path.as_ref().map_or(Ok(()), |held| mount_setattr(held, Depth::One, &clear));
    let written: Vec<String> = std::iter::once(&read_only)
        .chain(by_path.as_ref().ok())
        .map(|held| answer(overwrite(held)))
        .collect();
    json!({
        "open": "yes",
        "mount_setattr": answer(cleared.map_err(into_io)),
        "mount_setattr_by_path": answer(made_writable.map_err(into_io)),
        "write": written,
    })
}

/// Exchanges two paths for ever.
pub fn exchange(a: &str, b: &str) -> ! {
    println!("ready");
    loop {
        // One may not be there for a moment, as the runtime under attack makes it.
        let _ = renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE);
    }
}

fn overwrite(held: &File) -> std::io::Result<()> {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(b"#!/bin/sh\n")
}

fn into_io(errno: Errno) -> std::io::Error {
    errno.into()
}
