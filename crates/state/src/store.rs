//! Directories and files: `ROOT/ID/` with `state.json` and the other files of a container. Nothing here
//! follows a link in the last part of a path, or uses a directory that others may write to.

use crate::{Identity, trust};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sys::error::Kind;
use sys::fs::{open, open_listed, openat};
use sys::nix::fcntl::{AT_FDCWD, AtFlags, OFlag, readlinkat, renameat};
use sys::nix::sys::stat::{Mode, fstat, mkdirat};
use sys::nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use sys::nix::unistd::{
    AccessFlags, UnlinkatFlags, faccessat, mkfifoat, read, symlinkat, unlinkat,
};
use sys::{Errno, Error, Explain};

const RECORD: &CStr = c"state.json";
const NEW_RECORD: &CStr = c".state.json.new";
const INIT: &CStr = c"init";

/// The files that this crate writes itself; most containers have them.
pub const USUAL: [&CStr; 2] = [RECORD, INIT];

/// The name of a file in a container's directory. [`Entry::remove`] removes all of them.
type Name = CStr;

/// The directory that holds the containers' directories.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    directory: Arc<OwnedFd>,
}

/// One container's directory.
#[derive(Debug)]
pub struct Entry {
    id: String,
    /// Carries the lock, which ends when this is dropped.
    directory: OwnedFd,
    store: Arc<OwnedFd>,
}

/// Whether `id` can be a container's: letters, digits and `_`, `+`, `-`, `.`, but not `.` or `..`.
pub fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    let reason = match id {
        "" => "container id cannot be empty",
        "." | ".." => "invalid container ID format: it must not be . or ..",
        id if id.len() > 255 => "invalid container ID format: longer than 255 bytes",
        id if !id.chars().all(allowed) => {
            "invalid container ID format: only letters, digits and _ + - . are allowed"
        }
        _ => return Ok(()),
    };
    Err(Error::new(format!("{reason}: {id:?}")).with_object(id))
}

/// The error that there is no container `id`. Engines look for "does not exist".
#[must_use]
pub fn not_found(id: &str) -> Error {
    let text = format!("container {id:?} does not exist");
    Error::new(text).with_object(id).with_kind(Kind::NoSuchContainer)
}

/// The error that there is a container `id` already. Engines look for "already exists".
fn exists(id: &str) -> Error {
    let text = format!("container with given ID already exists: {id:?}");
    Error::new(text).with_object(id).with_kind(Kind::ContainerExists)
}

/// The error that others than root and rind's user may have written to a directory, for `reason`.
fn distrusted(reason: &str) -> Error {
    Error::new(format!("{reason}, and what is in it decides what is run and killed"))
        .with_hint(Some("chown and chmod go-w it, or use another --root"))
}

impl Store {
    /// Opens the store at `path`; with `make`, makes it if it is missing.
    ///
    /// Only root and rind's user may be able to write to it, as its content decides which hooks run and
    /// which processes are killed. In a sticky directory, this holds for each container's directory
    /// instead.
    pub fn open(path: &Path, make: bool) -> Result<Self, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = match open(path, flags, Mode::empty()) {
            Err(Errno::ENOENT) if make => {
                let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
                made.on("making --root", path)?;
                open(path, flags, Mode::empty())
            }
            opened => opened,
        };
        let directory = directory.on("opening --root", path)?;
        let stat = fstat(&directory).on("opening --root", path)?;
        if let Some(reason) = trust::distrust_shared(&stat) {
            return Err(distrusted(&reason).about(path).within("--root"));
        }
        Ok(Self { path: path.to_owned(), directory: Arc::new(directory) })
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory of a new container, and locks it. `first` is the first file that the caller
    /// then writes.
    pub fn create(&self, id: &str, first: &Name) -> Result<Entry, Error> {
        check_id(id)?;
        loop {
            match mkdirat(&*self.directory, id, Mode::from_bits_truncate(0o711)) {
                Err(Errno::EEXIST) => {
                    let is_left = || {
                        format!(
                            "what a killed command or a cut of the power has left: rind delete --force {id} removes it"
                        )
                    };
                    return Err(exists(id).with_hint(self.is_half(id).then(is_left)));
                }
                made => made.map_err(|errno| of_state(id, "making", errno))?,
            }
            // Before this command locks it, a forced deletion may remove it, and another command may
            // make the next one of this name. The command that locks an empty one makes the container.
            let locked = || {
                let entry = self.get(id)?;
                entry.lock()?;
                Ok((entry.has(first)?, entry))
            };
            match locked() {
                Ok((true, _)) => return Err(exists(id)),
                Err(error) if Error::is_not_found(&error) => {}
                Err(error) => {
                    // If this removes another command's new directory, which is empty too, that
                    // command makes it again.
                    let _ = unlinkat(&*self.directory, id, UnlinkatFlags::RemoveDir);
                    return Err(error);
                }
                Ok((false, entry)) => return Ok(entry),
            }
        }
    }

    /// Whether the directory of `id` is none that a container needs, or that a command is making.
    fn is_half(&self, id: &str) -> bool {
        let look = || -> Result<bool, Error> {
            let entry = self.get(id)?;
            Ok(entry.read_file(RECORD).is_ok_and(|record| !record.is_empty())
                || entry.is_locked()?)
        };
        look().is_ok_and(|is_whole| !is_whole)
    }

    /// Opens the directory of an existing container.
    pub fn get(&self, id: &str) -> Result<Entry, Error> {
        check_id(id)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = match openat(&*self.directory, id, flags, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(not_found(id));
            }
            opened => opened.map_err(|errno| of_state(id, "opening", errno))?,
        };
        Ok(Entry { id: id.to_owned(), directory, store: Arc::clone(&self.directory) })
    }

    /// The ids of all containers, sorted.
    pub fn ids(&self) -> Result<Vec<String>, Error> {
        let mut entries = open_listed(&*self.directory, c".").on("reading", &self.path)?;
        let mut ids = Vec::new();
        for entry in entries.iter() {
            let name = entry.on("reading", &self.path)?;
            let name = name.file_name().to_string_lossy().into_owned();
            if check_id(&name).is_ok() {
                ids.push(name);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Entry {
    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits until no other command changes this container, and keeps others from changing it until
    /// this entry is dropped.
    pub fn lock(&self) -> Result<(), Error> {
        sys::fs::lock(&self.directory).map_err(|errno| of_state(&self.id, "locking", errno))?;
        // The command that held the lock may have deleted the container.
        self.look()
    }

    /// Gives an error if the directory has been deleted, or others may have written to it.
    fn look(&self) -> Result<(), Error> {
        let stat = fstat(&self.directory);
        let stat = stat.map_err(|errno| of_state(&self.id, "looking at", errno))?;
        if stat.st_nlink == 0 {
            return Err(not_found(&self.id));
        }
        let Some(reason) = trust::distrust(&stat) else { return Ok(()) };
        let error = distrusted(&reason).within(format_args!("--root: the state of {:?}", self.id));
        Err(error.with_object(&self.id))
    }

    /// Lets others change this container.
    pub fn unlock(&self) -> Result<(), Error> {
        sys::fs::unlock(&self.directory).map_err(|errno| of_state(&self.id, "unlocking", errno))
    }

    /// Whether a command is changing this container now.
    pub fn is_locked(&self) -> Result<bool, Error> {
        // This opens the directory again, as a copy of the descriptor would share the lock.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match openat(&self.directory, c".", flags, Mode::empty()) {
            // It has been deleted.
            Err(Errno::ENOENT) => Ok(false),
            again => again
                .and_then(sys::fs::is_locked)
                .map_err(|errno| of_state(&self.id, "looking at", errno)),
        }
    }

    /// Whether the container's directory has a file called `name`.
    pub fn has(&self, name: &Name) -> Result<bool, Error> {
        match faccessat(&self.directory, name, AccessFlags::F_OK, AtFlags::empty()) {
            Err(Errno::ENOENT) => Ok(false),
            found => found.map(|()| true).map_err(|errno| self.failed("looking for", name, errno)),
        }
    }

    /// Reads the record. A container without a record counts as none.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let bytes = self.read_file(RECORD)?;
        self.look()?;
        match serde_json::from_slice(&bytes) {
            // A command is writing the first record, or was killed before it had written it.
            Err(_) if bytes.is_empty() || self.is_locked()? => Err(not_found(&self.id)),
            parsed => parsed.map_err(|error| self.damaged(RECORD, error)),
        }
    }

    /// Replaces the record.
    pub fn write<T: Serialize>(&self, record: &T) -> Result<(), Error> {
        self.replace_file(NEW_RECORD, RECORD, &serialized(record)?)
    }

    /// Writes the first record. It needs no rename, as there is no older one that others could read.
    pub fn write_first<T: Serialize>(&self, record: &T) -> Result<(), Error> {
        self.write_file(RECORD, &serialized(record)?)
    }

    /// Reads a file of the container's directory.
    pub fn read_file(&self, name: &Name) -> Result<Vec<u8>, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.directory, name, flags, Mode::empty()).and_then(sys::fs::read_to_end) {
            Err(Errno::ENOENT) => Err(not_found(&self.id)),
            read => read.map_err(|e| self.failed("reading", name, e)),
        }
    }

    /// Writes a file of the container's directory.
    pub fn write_file(&self, name: &Name, bytes: &[u8]) -> Result<(), Error> {
        use std::io::Write;
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::from_bits_truncate(0o600))
            .map_err(|e| self.failed("making", name, e))?;
        File::from(file).write_all(bytes).map_err(|error| self.failed("writing", name, error))
    }

    /// Writes a file under the name `new`, and then gives it the name `name`, whether there is a file of
    /// that name or not. After an error all is as it was.
    pub fn replace_file(&self, new: &Name, name: &Name, bytes: &[u8]) -> Result<(), Error> {
        let replaced = self.write_file(new, bytes).and_then(|()| self.rename(new, name));
        if replaced.is_err() {
            let _ = self.remove_file(new);
        }
        replaced
    }

    /// Makes a fifo, and opens it for reading and writing, which does not wait for another process.
    pub fn make_fifo(&self, name: &Name) -> Result<OwnedFd, Error> {
        mkfifoat(&self.directory, name, Mode::from_bits_truncate(0o600))
            .and_then(|()| self.open_file(name, OFlag::O_RDWR))
            .map_err(|e| self.failed("making", name, e))
    }

    /// Opens a file of the container's directory, close-on-exec.
    pub fn open_file(&self, name: &Name, flags: OFlag) -> sys::Result<OwnedFd> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.directory, name, flags, Mode::empty())
    }

    /// Gives a file of the container's directory another name.
    pub fn rename(&self, from: &Name, to: &Name) -> Result<(), Error> {
        renameat(&self.directory, from, &self.directory, to)
            .map_err(|e| self.failed("renaming", from, e))
    }

    /// Removes the container's directory and everything in it. A missing directory is no error.
    ///
    /// This tries the names in `usual` first, and lists the directory only if others are left.
    pub fn remove(&self, usual: &[&Name]) -> Result<(), Error> {
        self.try_remove(usual).map_err(|errno| of_state(&self.id, "removing", errno))
    }

    fn try_remove(&self, usual: &[&Name]) -> sys::Result<()> {
        usual.iter().try_for_each(|name| self.remove_file(name))?;
        match self.remove_directory() {
            Err(Errno::ENOTEMPTY) => {}
            removed => return removed,
        }
        self.names()?.iter().try_for_each(|name| self.remove_any(name))?;
        self.remove_directory()
    }

    /// Removes one file. A missing file is no error.
    pub fn remove_file(&self, name: &Name) -> sys::Result<()> {
        match unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        }
    }

    /// Removes a file, or a directory with everything in it, whoever made it.
    fn remove_any(&self, name: &Name) -> sys::Result<()> {
        match self.remove_file(name) {
            Err(Errno::EISDIR) => {}
            removed => return removed,
        }
        // remove_dir_all follows no link below its path.
        let path =
            format!("/proc/self/fd/{}/{}", self.directory.as_raw_fd(), name.to_string_lossy());
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
            }
        }
    }

    fn remove_directory(&self) -> sys::Result<()> {
        match unlinkat(&*self.store, self.id.as_str(), UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        }
    }

    /// Records which process is the container's init. A second call fails.
    ///
    /// The record is the target of a symbolic link, as one call makes a link whole. Where it can outlive a
    /// boot, it names this one: in the next, another process may have the same pid and start time.
    pub fn write_init(&self, init: Identity) -> Result<(), Error> {
        let failed = |errno| self.failed("writing", INIT, errno);
        let mut text = init_text(init);
        if fstatfs(&self.directory).map_err(failed)?.filesystem_type() != TMPFS_MAGIC {
            let boot = boot_id().map_err(failed)?;
            text.extend(boot.iter().flat_map(|boot| [" ", boot]));
        }
        symlinkat(text.as_str(), &self.directory, INIT).map_err(failed)
    }

    /// The container's init; its pid is 0 if the container has had none yet. One of an earlier boot is none
    /// that lives.
    pub fn init(&self) -> Result<Identity, Error> {
        let failed = |errno| self.failed("reading", INIT, errno);
        let text = match readlinkat(&self.directory, INIT) {
            Err(Errno::ENOENT) => return Ok(Identity::default()),
            read => read.map_err(failed)?,
        };
        let text = text.to_str().unwrap_or_default();
        let (init, boot) = parse_init(text).ok_or_else(|| self.damaged(INIT, "no pid and time"))?;
        let Some(boot) = boot else { return Ok(init) };
        let is_earlier = boot_id().map_err(failed)?.is_some_and(|now| now != boot);
        Ok(if is_earlier { Identity { start_time: u64::MAX, ..init } } else { init })
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    fn names(&self) -> sys::Result<Vec<CString>> {
        let mut entries = open_listed(&self.directory, c".")?;
        let mut names = Vec::new();
        for entry in entries.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The error that `step` failed, which was done to the file `name`.
    fn failed(&self, step: &str, name: &Name, source: impl std::error::Error + 'static) -> Error {
        let name = name.to_string_lossy();
        let step = format!("{step} {name} of {:?}", self.id);
        Error::call(step, source).with_object(name)
    }

    fn damaged(&self, name: &Name, reason: impl Display) -> Error {
        let text = format!("{} of {:?} is damaged", name.to_string_lossy(), self.id);
        let hint = format!("rind delete --force {} removes what is left of it", self.id);
        let error = Error::new(text).because(reason).with_object(&self.id);
        error.with_hint(Some(hint)).with_kind(Kind::DamagedState)
    }
}

/// How the record of an init is written.
pub(crate) fn init_text(init: Identity) -> String {
    format!("{} {}", init.pid, init.start_time)
}

/// Reads the record of an init, and in which boot that was, if it says so.
pub(crate) fn parse_init(text: &str) -> Option<(Identity, Option<&str>)> {
    let (pid, rest) = text.split_once(' ')?;
    let (start_time, boot) = match rest.split_once(' ') {
        Some((start_time, boot)) => (start_time, Some(boot)),
        None => (rest, None),
    };
    let init = Identity { pid: pid.parse().ok()?, start_time: start_time.parse().ok()? };
    Some((init, boot))
}

/// The kernel's name for this boot (random(4)); none where /proc has none.
fn boot_id() -> sys::Result<Option<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = match openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(None),
        file => file?,
    };
    // The kernel gives the whole by one read: 36 letters and a newline.
    let mut buffer = [0; 64];
    let length = sys::uninterrupted(|| read(&file, &mut buffer))?;
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
    Ok(Some(text.trim_end().to_owned()))
}

/// The error that `step` failed, which was done to the directory of the container `id`.
fn of_state(id: &str, step: &str, errno: Errno) -> Error {
    Error::call(format!("{step} the state of {id:?}"), errno).with_object(id)
}

fn serialized<T: Serialize>(record: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(record).within("writing the state")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    const FIRST: &CStr = c"config.json";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("rind-store-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name).join("root"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    #[test]
    fn ids_are_those_that_runc_takes() {
        for id in ["a", "A-b_c.d+e", "..a", "0"] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\n", "a:b"] {
            assert!(check_id(id).is_err(), "{id}");
        }
        assert!(check_id(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_container_is_made_read_and_removed() {
        let folder = Folder::new("life");
        assert!(Store::open(&folder.0, false).is_err());
        let store = Store::open(&folder.0, true).unwrap();
        let entry = store.create("one", FIRST).unwrap();
        assert!(entry.read::<u32>().unwrap_err().is_not_found());
        entry.write_first(&1).unwrap();
        entry.write(&2).unwrap();
        assert_eq!(store.get("one").unwrap().read::<u32>().unwrap(), 2);
        assert!(
            matches!(store.create("one", FIRST), Err(error) if error.kind() == Kind::ContainerExists)
        );
        assert_eq!(store.ids().unwrap(), ["one"]);
        entry.make_fifo(c"fifo").unwrap();
        let init = Identity { pid: 7, start_time: 8 };
        assert_eq!(entry.init().unwrap(), Identity::default());
        entry.write_init(init).unwrap();
        assert_eq!(entry.init().unwrap(), init);
        assert!(entry.write_init(init).is_err());
        entry.remove(&[c"not there", c"state.json"]).unwrap();
        entry.remove(&[]).unwrap();
        assert!(store.get("one").unwrap_err().is_not_found());
        assert!(store.ids().unwrap().is_empty());
    }

    #[test]
    fn a_container_that_was_deleted_while_one_waited_is_not_there() {
        let folder = Folder::new("lock");
        let store = Store::open(&folder.0, true).unwrap();
        let first = store.create("one", FIRST).unwrap();
        let second = store.get("one").unwrap();
        let waiting = thread::spawn(move || second.lock());
        first.remove(&USUAL).unwrap();
        drop(first);
        assert!(waiting.join().unwrap().unwrap_err().is_not_found());
    }

    #[test]
    fn a_directory_that_others_make_and_remove_meanwhile_is_one_containers() {
        let folder = Folder::new("slow");
        let store = Store::open(&folder.0, true).unwrap();
        let path = folder.0.join("one");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // `delete --force` does this if the directory is still empty.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let Ok(entry) = store.get("one") else { continue };
                    if entry.lock().is_ok() && !entry.has(FIRST).unwrap() {
                        entry.remove(&[]).unwrap();
                    }
                }
            });
            let makers = [(), ()].map(|()| {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Ok(entry) = store.create("one", FIRST) else { continue };
                        assert!(!entry.has(FIRST).unwrap(), "it is another's");
                        entry.write_file(FIRST, b"").unwrap();
                        let (ours, there) = (fstat(&entry.directory).unwrap(), fs::metadata(&path));
                        assert_eq!(there.unwrap().ino(), ours.st_ino);
                        assert_eq!(entry.names().unwrap(), [FIRST.to_owned()]);
                        // Whoever waits for the lock may have it before the container is deleted.
                        drop(entry);
                        let entry = store.get("one").unwrap();
                        entry.lock().unwrap();
                        entry.remove(&[FIRST]).unwrap();
                    }
                })
            });
            let ended = makers.map(thread::ScopedJoinHandle::join);
            done.store(true, Ordering::Relaxed);
            assert!(ended.iter().all(Result::is_ok));
        });
    }
}
