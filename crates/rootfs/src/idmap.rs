//! A user namespace that is only there for its mappings, as idmapped mounts want one
//! (`mount_setattr(2)`).

use oci_spec::runtime::LinuxIdMapping;
use std::fmt::Write;
use std::fs;
use std::os::fd::OwnedFd;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::sched::CloneFlags;
use sys::nix::sys::stat::Mode;
use sys::process::{self, Fork};
use sys::{Errno, socket};

/// Makes a user namespace with these mappings. It needs a process for as long as they are written,
/// which waits on a socket that only we hold the other end of, and so goes whatever becomes of us.
pub(crate) fn namespace(
    users: &[LinuxIdMapping],
    groups: &[LinuxIdMapping],
) -> sys::Result<OwnedFd> {
    let (ours, theirs) = socket::pair()?;
    let (pid, pidfd) = match process::fork(CloneFlags::CLONE_NEWUSER, None)? {
        Fork::Child => {
            drop(ours);
            let _ = sys::nix::unistd::read(&theirs, &mut [0]);
            process::exit_now(0)
        }
        Fork::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let made = map(pid, users, groups);
    drop(ours);
    process::wait(&pidfd)?;
    made
}

fn map(pid: i32, users: &[LinuxIdMapping], groups: &[LinuxIdMapping]) -> sys::Result<OwnedFd> {
    let write = |file: &str, list: &[LinuxIdMapping]| {
        fs::write(format!("/proc/{pid}/{file}"), lines(list))
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32)))
    };
    write("uid_map", users)?;
    write("gid_map", groups)?;
    let path = format!("/proc/{pid}/ns/user");
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

fn lines(list: &[LinuxIdMapping]) -> String {
    list.iter().fold(String::new(), |mut text, one| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} {} {}", one.container_id(), one.host_id(), one.size());
        text
    })
}
