//! Making mounts in a container that runs already, whose processes can rename directories and make
//! links meanwhile. So rind must follow no link here, remounts only a mount that [`Known`] has
//! identified, and undoes what it has made by descriptors.

use crate::container_path::{as_path, normal};
use crate::known::{Added, Known, linked};
use crate::layout::MountPlan;
use crate::step::{During, Fault, Result, Step};
use crate::target::{Created, Found, Kind, find_or_make_without_links, find_without_links};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use sys::Errno;
use sys::fs::LeakyFd;
use sys::mount::ATTR_RDONLY;

/// What rind knows of the container's mounts, and what it has created in the container.
#[derive(Debug)]
pub(crate) struct Live {
    known: Known,
    created: Vec<Created>,
}

impl Live {
    pub fn new(known: Known) -> Self {
        Self { known, created: Vec::new() }
    }

    /// Finds or makes the mount point of `plan`.
    pub fn mount_point(&mut self, plan: &MountPlan, kind: Kind, root: BorrowedFd) -> Result<Found> {
        let destination = destination_of(plan);
        let before = self.created.len();
        let file = find_or_make_without_links(root, &destination, kind, &mut self.created)
            .map_err(|errno| linked(Step::MountPoint, errno, root, &destination))?;
        // If rind has created any component, it has created the last one.
        Ok(Found { file, is_new: self.created.len() > before })
    }

    /// The mount to remount.
    pub fn mount(&self, plan: &MountPlan, root: BorrowedFd) -> Result<LeakyFd> {
        let destination = destination_of(plan);
        let mount = if destination == Path::new("/") {
            find_without_links(root, c".").during(Step::MountPoint)?
        } else {
            self.known.identify(root, &destination)?.mount
        };
        let makes_writable = plan.options.recursive.clear.contains(ATTR_RDONLY);
        if makes_writable && self.known.has_read_only_below(&mount).during(Step::Remount)? {
            let why = "what is mounted below it is read-only, which may be why: rw is of it alone";
            return Err(Fault::new(Step::Remount, Errno::EPERM).with_detail(why));
        }
        Ok(mount)
    }

    /// Notes an attached mount.
    pub fn add(&mut self, added: Added) {
        self.known.add(added);
    }

    /// Undoes: removes the mounts `attached`, and the mount points that rind has created.
    pub fn take_back(&self, attached: &[BorrowedFd]) {
        // A removal fails only if the container has removed or used the thing itself.
        for mount in attached.iter().rev() {
            let _ = self.known.unmount(mount);
        }
        for created in self.created.iter().rev() {
            let _ = created.remove();
        }
    }
}

/// The normalized destination of a mount.
pub(crate) fn destination_of(plan: &MountPlan) -> PathBuf {
    normal(as_path(&plan.target.path)).into_owned()
}
