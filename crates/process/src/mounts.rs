//! Doing things in another mount namespace than our own, and coming back.

use crate::Error;
use crate::fault::{Fault, Stage};
use crate::message::{self, Kind};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use sys::Errno;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::sched::{CloneFlags, setns, unshare};
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::{chroot, fchdir};
use sys::process::{self, Fork};

/// Does `task` after `enter`, which changes the mount namespace; then we are where we were.
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

/// The mount namespace that we are in, and our root in it: for somebody else to come there too.
pub(crate) fn own() -> sys::Result<[OwnedFd; 2]> {
    let root = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let file = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    Ok([open("/proc/self/ns/mnt", file, Mode::empty())?, open("/", root, Mode::empty())?])
}

/// Does `task` in a mount namespace that a child of ours has sent as [`own`], with our own
/// credentials.
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

/// Does `task` in a copy of our mount namespace that belongs to the user namespace `owner`, so that
/// the kernel has every mount in it locked.
pub fn in_locked_mounts<T>(
    owner: &OwnedFd,
    task: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |errno| Error::call("making a mount namespace for the user namespace", errno);
    // It takes a process of that user namespace to make, which is in the host's mounts: nobody may
    // look into it, from birth.
    process::set_dumpable(false).map_err(failed)?;
    let (ours, theirs) = message::channel()?;
    match process::fork(CloneFlags::empty(), None).map_err(failed)? {
        Fork::Child => {
            drop(ours);
            hold_locked_mounts(owner, &theirs)
        }
        Fork::Parent { pidfd, .. } => {
            drop(theirs);
            let made = message::receive(ours.as_fd()).and_then(|message| match message {
                Some(message) if message.kind == Kind::Sources => Ok(message.descriptors),
                Some(message) => Err(message.fault.map_or(Errno::EPROTO, |fault| fault.errno)),
                None => Err(Errno::ECHILD),
            });
            let done = made.map_err(failed).and_then(|sent| in_mounts_of_child(sent, task));
            process::end(&pidfd).map_err(failed)?;
            done
        }
    }
}

/// Makes the mount namespace and sends it; ends with whoever is at the other end of the channel.
fn hold_locked_mounts(owner: &OwnedFd, channel: &OwnedFd) -> ! {
    let made = setns(owner, CloneFlags::CLONE_NEWUSER)
        .and_then(|()| unshare(CloneFlags::CLONE_NEWNS))
        .and_then(|()| rootfs::isolate_copy())
        .and_then(|()| own());
    let told = match made {
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
