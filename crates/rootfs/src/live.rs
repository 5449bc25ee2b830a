//! What is different where the container already runs: its processes rename directories and make links
//! meanwhile. So rind follows no link, remounts only the very mount that is meant ([`Known`]), and
//! takes back what it has made by descriptors.

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

/// What is known of the container's mounts, and what has been made in it.
#[derive(Debug)]
pub(crate) struct Live {
    known: Known,
    created: Vec<Created>,
}

impl Live {
    pub fn new(known: Known) -> Self {
        Self { known, created: Vec::new() }
    }

    /// Finds or makes the place that a mount is for.
    pub fn mount_point(&mut self, plan: &MountPlan, kind: Kind, root: BorrowedFd) -> Result<Found> {
        let destination = destination_of(plan);
        let before = self.created.len();
        let file = find_or_make_without_links(root, &destination, kind, &mut self.created)
            .map_err(|errno| linked(Step::MountPoint, errno, root, &destination))?;
        // What is made is made up to the end.
        Ok(Found { file, is_new: self.created.len() > before })
    }

    /// The mount that is to be remounted.
    pub fn mount(&self, plan: &MountPlan, root: BorrowedFd) -> Result<LeakyFd> {
        let destination = destination_of(plan);
        let mount = if destination == Path::new("/") {
            find_without_links(root, c".").during(Step::MountPoint)?
        } else {
            self.known.meant(root, &destination)?.mount
        };
        let makes_writable = plan.options.recursive.clear.contains(ATTR_RDONLY);
        if makes_writable && self.known.has_read_only_below(&mount).during(Step::Remount)? {
            let why = "what is mounted below it is read-only, which may be why: rw is of it alone";
            return Err(Fault::new(Step::Remount, Errno::EPERM).with_detail(why));
        }
        Ok(mount)
    }

    /// Takes note of what has been attached.
    pub fn add(&mut self, added: Added) {
        self.known.add(added);
    }

    /// Takes back what has been made: the mounts `attached`, and mount points that were missing.
    pub fn take_back(&self, attached: &[BorrowedFd]) {
        // What can't be taken away again has been taken by somebody else.
        for mount in attached.iter().rev() {
            let _ = self.known.unmount(mount);
        }
        for created in self.created.iter().rev() {
            let _ = created.remove();
        }
    }
}

/// The path that a mount is for, without `..` and the like.
pub(crate) fn destination_of(plan: &MountPlan) -> PathBuf {
    normal(as_path(&plan.target.path))
}
