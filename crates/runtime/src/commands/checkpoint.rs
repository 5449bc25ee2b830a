//! `checkpoint`: has criu write a container's processes down, to be restored later or elsewhere.
//!
//! A checkpoint that fails leaves the container running.

use crate::checkpoint::dump::{check_parent, dump_options, refuse_foreign_terminal};
use crate::checkpoint::image::Image;
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::{refuse_forgetful, refuse_without_mounts};
use crate::container::find::find;
use crate::container::remove::{kill_init, remove_locked};
use crate::container::status::Status;
use crate::{Error, Result, Runtime};
use ::criu::{Criu, Feature, Input, Notice, Request, Switch};
use std::os::fd::OwnedFd;

/// `checkpoint ID`: writes a running or paused container down, and deletes it unless it is to go on.
pub fn checkpoint(runtime: &Runtime, options: &CheckpointOptions) -> Result<()> {
    let container = find(runtime, &options.id)?;
    let status = match container.status()? {
        // A paused container may also wait for `start`, and criu can't restore that wait.
        Status::Paused if container.open_fifo()?.is_some() => Status::Created,
        status => status,
    };
    if !matches!(status, Status::Running | Status::Paused) {
        let text = format!("cannot checkpoint a container in the {status} state");
        return Err(status.refuse(&options.id, text));
    }
    container.entry.lock()?;
    // It may have ended while another command had the lock.
    container.running_init()?;
    refuse_without_mounts(container.record.mounted_root)?;
    let spec = container.spec()?;
    if !options.has(Switch::ShellJob) {
        refuse_foreign_terminal(&container, &spec)?;
    }
    let status_fd = options.status_fd.map(open_status_fd).transpose()?;
    check_parent(options.parent.as_deref(), &options.criu.images)?;
    let version = ::criu::check(&options.criu.program, &features(options))?;
    runtime.debug(|| format!("criu is version {version}"));
    refuse_forgetful(version, &spec)?;
    let image = Image::open(&options.criu, true, "dump.log")?;
    let asked = dump_options(options, &image, &container, &spec)?;
    let criu = Criu::start(&options.criu.program, Input::Nothing, &[])?;
    let request = if options.pre_dump { Request::PreDump } else { Request::Dump };
    let dumped = criu.carry_out(request, &asked, &mut |notice: Notice| {
        runtime.debug(|| format!("criu: {}", notice.script));
        if let Some(file) = status_fd.as_ref().filter(|_| notice.script == "status-ready") {
            // If the reader is gone, the checkpoint goes on all the same.
            let _ = sys::fs::write_once(file, b"\0");
        }
        Ok(())
    });
    if let Err(error) = dumped as std::result::Result<_, ::criu::Error> {
        if status == Status::Running && container.record.cgroup.is_frozen()? {
            // criu was killed before it could thaw the container.
            container.record.cgroup.thaw()?;
        }
        return Err(image.explain(&error));
    }
    if options.keeps() {
        return Ok(());
    }
    // criu has ended the container's processes.
    kill_init(&container)?;
    remove_locked(runtime, &container)
}

fn features(options: &CheckpointOptions) -> Vec<Feature> {
    let wanted = [
        (options.pre_dump || options.parent.is_some(), Feature::MemTrack),
        (options.has(Switch::LazyPages), Feature::LazyPages),
    ];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, feature)| feature).collect()
}

fn open_status_fd(number: i32) -> Result<OwnedFd> {
    let failed = |errno| Error::on("--status-fd", number.to_string(), errno);
    sys::fs::duplicate(number).map_err(failed)
}
