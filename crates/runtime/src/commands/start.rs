//! `start`: has the init of a created container execute the program.

use crate::container::Container;
use crate::container::find::find;
use crate::container::poststart::run_poststart;
use crate::container::record::EXEC_FIFO;
use crate::container::remove::unlock_or_warn;
use crate::container::status::Status;
use crate::create::name_hooks;
use crate::host::notify;
use crate::{Error, Explain, Result, Runtime};
use process::{START, START_TIMED};
use std::os::fd::{AsFd, OwnedFd};
use sys::nix::fcntl::OFlag;
use sys::nix::poll::{PollFd, PollFlags, PollTimeout};
use sys::process::poll;
use timing::{Side, Step};

/// `start ID`: runs the program of a created container, and then the poststart hooks.
pub fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let container = find(runtime, id)?;
    let started = start_found(runtime, &container);
    if timing::is_timed() {
        name_start_hooks(&container);
    }
    started
}

fn start_found(runtime: &Runtime, container: &Container) -> Result<()> {
    container.entry.lock()?;
    timing::done(Step::Find);
    let fifo = match container.open_fifo()? {
        // A frozen init would not read the byte.
        Some(fifo) if !container.is_frozen()? => fifo,
        _ => return Err(not_created(container)),
    };
    // rind listens before the program can send anything.
    let manager = notify::manager(runtime);
    let listener = manager.map_or(Ok(None), |it| notify::Listener::open(&container.entry, it))?;
    let init = listener.as_ref().map(|_| container.init_process()).transpose();
    timing::done(Step::OpenFifo);
    release(container, fifo)?;
    if listener.is_some() || !container.record.poststart.is_empty() {
        // From here on other commands may change the running container, and even delete it.
        unlock_or_warn(runtime, container);
    }
    name_hooks(Step::Poststart, &container.record.poststart);
    run_poststart(runtime, container)?;
    timing::stop();
    let (Some(listener), Ok(Some(init))) = (listener, init) else { return Ok(()) };
    listener.forward_ready(runtime, container.init.pid, &init)
}

/// Writes the byte that init waits for, and waits until init has closed the fifo: by its execve, or
/// by ending. In the second case init has written its error to the fifo.
fn release(container: &Container, fifo: OwnedFd) -> Result<()> {
    let byte = if timing::is_on() { START_TIMED } else { START };
    timing::is_process(Side::Container, container.init.pid);
    timing::seen(Side::Container, Step::Born);
    let all = write_and_wait(container, fifo, byte)?;
    let left = timing::bring(&all);
    timing::done(Step::AwaitProgram);
    match left.as_slice() {
        b"" => {
            // Where there are hooks, it has written their times, and has only then loaded its filter.
            let step = if all.is_empty() { Step::Execute } else { Step::FilterAndExecute };
            timing::seen(Side::Container, step);
            Ok(())
        }
        // rind's byte is left: init has read the byte of another `start`, which was killed.
        left if left == [byte] && has_program(container.init.pid) => Err(not_created(container)),
        // rind's byte is left: init was killed before it could read it.
        left if left == [byte] => Err(killed_before()),
        message => Err(process::told(message)),
    }
}

/// Writes the byte, and returns what is in the fifo once init has closed it.
fn write_and_wait(container: &Container, fifo: OwnedFd, byte: u8) -> Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    // As long as rind has it open for reading, init seems to wait.
    let reader = container.entry.open_file(EXEC_FIFO, flags).on("opening the", "exec fifo")?;
    sys::fs::write_once(&fifo, &[byte]).within("telling init to run the program")?;
    drop(fifo);
    // Without any event poll(2) waits for POLLHUP: nobody has it open for writing.
    poll(&mut [PollFd::new(reader.as_fd(), PollFlags::empty())], PollTimeout::NONE)
        .and_then(|_| sys::fs::read_to_end(&reader))
        .within("init has been told to run the program; waiting until it does")
}

/// Says what the hooks are called that init has run, for `--timing`. Only the config has them.
fn name_start_hooks(container: &Container) {
    let spec = container.spec().ok();
    let hooks = spec.as_ref().and_then(|spec| spec.hooks().as_ref());
    let hooks = hooks.and_then(|hooks| hooks.start_container().as_deref());
    name_hooks(Step::StartContainer, hooks.unwrap_or_default());
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
        // One that is killed as it waits counts as created until it has ended.
        Ok(Status::Running | Status::Created) if is_dying(container) => return killed_before(),
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
