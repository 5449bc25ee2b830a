//! Running a function of rind in another mount namespace. However the function ends, rind must be
//! back in its own namespace, root and working directory afterwards.

use crate::Error;
use crate::fault::{Fault, Stage};
use crate::message::{self, Kind};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use sys::Errno;
use sys::fs::open;
use sys::nix::fcntl::OFlag;
use sys::nix::sched::{CloneFlags, setns, unshare};
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{chroot, fchdir};
use sys::process::{self, Fork};

/// Runs `enter`, which joins another mount namespace, then `task`; then goes back.
pub fn in_other_mounts<T, E: From<Error>>(
    enter: impl FnOnce() -> Result<(), E>,
    task: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let (host, top, here) = (open_file("/proc/self/ns/mnt")?, open_file("/")?, open_file(".")?);
    let done = enter().and_then(|()| task());
    switch(&host, &top)
        .and_then(|()| fchdir(&here))
        .map_err(|errno| Error::call("coming back to the own mount namespace", errno))?;
    done
}

/// Opens the calling process's mount namespace and root, for another process to join.
pub(crate) fn own() -> sys::Result<[OwnedFd; 2]> {
    let root = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let file = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    Ok([open("/proc/self/ns/mnt", file, Mode::empty())?, open("/", root, Mode::empty())?])
}

/// Runs `task`, with rind's own credentials, in the mount namespace that a child has sent as
/// [`own`].
pub(crate) fn in_mounts_of_child<T>(
    sent: Vec<OwnedFd>,
    task: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |errno| Error::call("joining the mount namespace of a child", errno);
    let [namespace, root] = <[OwnedFd; 2]>::try_from(sent).map_err(|_| failed(Errno::EMFILE))?;
    in_other_mounts(|| switch(&namespace, &root).map_err(failed), task)
}

/// Joins the mount namespace `namespace` and makes `root` the root and the working directory.
fn switch(namespace: &OwnedFd, root: &OwnedFd) -> sys::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNS)?;
    fchdir(root)?;
    chroot(".")
}

/// Runs `task` in a copy of rind's mount namespace that the user namespace `owner` owns. The kernel
/// locks every mount in such a copy (`mount_namespaces(7)`).
pub fn in_locked_mounts<T>(
    owner: &OwnedFd,
    task: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |errno| Error::call("making a mount namespace for the user namespace", errno);
    // Only a process in that user namespace can make the copy. That process is in the host's
    // mounts, so it must be undumpable from birth: nobody in the user namespace may trace it.
    process::set_dumpable(false).map_err(failed)?;
    let (ours, theirs) = message::channel()?;
    match process::fork(CloneFlags::empty(), None).map_err(failed)? {
        Fork::Child => {
            drop(ours);
            hold_locked_mounts(owner, &theirs)
        }
        Fork::Parent { pidfd, .. } => {
            drop(theirs);
            let sent = message::receive(ours.as_fd()).and_then(|message| match message {
                Some(message) if message.kind == Kind::Sources => Ok(message.descriptors),
                Some(message) => Err(message.fault.map_or(Errno::EPROTO, |fault| fault.errno)),
                None => Err(Errno::ECHILD),
            });
            let done = sent.map_err(failed).and_then(|sent| in_mounts_of_child(sent, task));
            process::end(&pidfd).map_err(failed)?;
            done
        }
    }
}

/// In the child: makes the mount namespace, sends it, and ends when the parent closes the channel.
fn hold_locked_mounts(owner: &OwnedFd, channel: &OwnedFd) -> ! {
    let own = setns(owner, CloneFlags::CLONE_NEWUSER)
        .and_then(|()| unshare(CloneFlags::CLONE_NEWNS))
        .and_then(|()| rootfs::isolate_copy())
        .and_then(|()| own());
    let told = match own {
        Ok(own) => {
            let own = own.each_ref().map(AsFd::as_fd);
            message::send(channel.as_fd(), Kind::Sources, 0, &own)
        }
        Err(errno) => message::report(channel.as_fd(), &Fault::new(Stage::UserNamespace, errno)),
    };
    let _ = told.and_then(|()| message::receive(channel.as_fd()));
    process::exit_now(0)
}

fn open_file(path: &str) -> Result<OwnedFd, Error> {
    let opened = File::open(path).map(OwnedFd::from);
    opened.map_err(|error| Error::new(format!("opening {path}: {}", sys::answer(&error))))
}
