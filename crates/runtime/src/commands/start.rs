//! `start`: has the init of a created container execute the program.

use crate::container::Container;
use crate::container::find::find;
use crate::container::poststart::run_poststart;
use crate::container::record::EXEC_FIFO;
use crate::container::status::Status;
use crate::host::notify;
use crate::{Error, Explain, Result, Runtime};
use std::os::fd::{AsFd, OwnedFd};
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::process::poll;

/// `start ID`: runs the program of a created container, and then the poststart hooks.
pub fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let container = find(runtime, id)?;
    container.entry.lock()?;
    let fifo = match container.open_fifo()? {
        // A frozen init would not read the byte.
        Some(fifo) if !container.is_frozen()? => fifo,
        _ => return Err(not_created(&container)),
    };
    // rind listens before the program can send anything.
    let manager = notify::manager(runtime);
    let listener = manager.map_or(Ok(None), |it| notify::Listener::open(&container.entry, it))?;
    let init = listener.as_ref().map(|_| container.init_process()).transpose();
    release(&container, fifo)?;
    if listener.is_some() || !container.record.poststart.is_empty() {
        // From here on other commands may change the running container, and even delete it.
        container.entry.unlock()?;
    }
    run_poststart(runtime, &container)?;
    let (Some(listener), Ok(Some(init))) = (listener, init) else { return Ok(()) };
    listener.forward_ready(runtime, container.init.pid, &init)
}

/// Writes the byte that init waits for, and waits until init has closed the fifo: by its execve, or
/// by ending. In the second case init has written its error to the fifo.
fn release(container: &Container, fifo: OwnedFd) -> Result<()> {
    let left = write_and_wait(container, fifo)?;
    match left.as_slice() {
        b"" => Ok(()),
        // rind's byte is left: init has read the byte of another `start`, which was killed.
        b"0" if has_program(container.init.pid) => Err(not_created(container)),
        // rind's byte is left: init was killed before it could read it.
        b"0" => Err(killed_before()),
        message => Err(process::told(message)),
    }
}

/// Writes the byte, and returns what is in the fifo once init has closed it.
fn write_and_wait(container: &Container, fifo: OwnedFd) -> Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    // As long as rind has it open for reading, init seems to wait.
    let reader = container.entry.open_file(EXEC_FIFO, flags).on("opening the", "exec fifo")?;
    sys::fs::write_once(&fifo, b"0").within("telling init to run the program")?;
    drop(fifo);
    // Without any event poll(2) waits for POLLHUP: nobody has it open for writing.
    poll(&mut [PollFd::new(reader.as_fd(), PollFlags::empty())], PollTimeout::NONE)
        .and_then(|_| sys::fs::read_to_end(&reader))
        .within("init has been told to run the program; waiting until it does")
}

/// Whether a process runs a program. A process that ends drops its program before it closes its
/// files.
fn has_program(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// Whether init was killed as it waited and has not quite ended: it has closed the fifo, which an
/// execve does else, and has executed nothing.
fn is_dying(container: &Container) -> bool {
    let has_fifo = container.entry.has(EXEC_FIFO).unwrap_or(false);
    has_fifo && container.init.has_executed().is_ok_and(|executed| !executed)
}

fn killed_before() -> Error {
    Error::new("init was killed before it could run the program")
}

fn not_created(container: &Container) -> Error {
    let status = match container.status_under_lock() {
        Ok(Status::Running) if is_dying(container) => return killed_before(),
        Ok(status) => status,
        Err(error) => return error,
    };
    let text = match status {
        Status::Stopped => "cannot start a container that has stopped".to_owned(),
        Status::Running => "cannot start an already running container".to_owned(),
        Status::Paused => "cannot start a paused container (use resume)".to_owned(),
        status => format!("cannot start a container in the {status} state"),
    };
    status.refuse(container.entry.id(), text)
}
