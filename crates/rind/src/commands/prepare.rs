//! Brings the process into order for one command before it runs. It must open and write nothing
//! before the program is sealed, as all of that would happen twice.

use super::create::preserved;
use super::timed;
use crate::model::{Failure, Input, Parsed};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use sys::Explain;

/// What a command that makes processes uses of its stack and of its heap for a config as Docker writes
/// it, in bytes.
const STACK: usize = 76 << 10;
const BLOCKS: usize = 112 << 10;

/// Prepares what a command needs before anything is opened: a sealed program where a container can
/// reach it, and the caller's descriptors.
///
/// The input file may be one of these descriptors, as a shell's `<(...)` is, so it is read before they
/// are closed.
pub fn prepare(args: &mut Parsed) -> Result<(), Failure> {
    let mut preserve = 0;
    if args.entry.seals {
        runtime::check_kernel()?;
        runtime::seal_executable()?;
        sys::heap::populate(STACK, BLOCKS);
        preserve = preserved(args)?;
    }
    timed::begin(args)?;
    let input = args.entry.input.and_then(|input| match input {
        Input::Flag(name) => args.path(name),
        Input::Argument(number) => args.positional.get(number).map(PathBuf::from),
    });
    if let Some(path) = input {
        args.input = Some(read_input(&path)?);
    }
    if args.entry.looks_only {
        // A call that a seccomp profile forbids is what the command is to tell of.
        let _ = runtime::set_inherited_fds_cloexec();
        return Ok(());
    }
    if args.value("status-fd").is_some() {
        return runtime::set_inherited_fds_cloexec();
    }
    // Hooks get none of the caller's descriptors.
    runtime::close_inherited_fds(preserve)
}

/// Reads `path`, or stdin for `-`.
fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path.as_os_str() == "-" {
        runtime::read_within(io::stdin(), 0, runtime::LONGEST)
    } else {
        File::open(path).and_then(|file| runtime::read_within(file, 0, runtime::LONGEST))
    };
    read.about(path)
}
