//! Writing the id mappings of a new user namespace (`user_namespaces(7)`). Another user than root
//! must never get ids that /etc/subuid and /etc/subgid don't give it.
//!
//! Root writes the mappings itself. The kernel lets another user write one line that maps its own
//! id; for more, there are newuidmap(1) and newgidmap(1), which are setuid and know whose ids are
//! whose.

use crate::Error;
use crate::capture::Capture;
use crate::namespaces::Mappings;
use rootfs::IdMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use sys::Errno;
use sys::nix::unistd::{AccessFlags, access, getegid, geteuid};

/// Writes the mappings of `pid`'s user namespace, which has none yet.
pub(crate) fn write(pid: i32, mappings: &Mappings) -> Result<(), Error> {
    if geteuid().is_root() {
        write_file(pid, USERS.file, &mappings.users.lines())?;
        return write_file(pid, GROUPS.file, &mappings.groups.lines());
    }
    write_or_ask(pid, &USERS, &mappings.users)?;
    if is_only(&mappings.groups, getegid().as_raw()) {
        // Otherwise, the user could drop a group, and so get around a file mode that excludes the
        // group.
        write_file(pid, "setgroups", "deny")?;
    }
    write_or_ask(pid, &GROUPS, &mappings.groups)
}

/// Users or groups: the names that belong to their mapping.
struct IdKind {
    property: &'static str,
    file: &'static str,
    helper: &'static str,
    ranges: &'static str,
}

const USERS: IdKind = IdKind {
    property: "linux.uidMappings",
    file: "uid_map",
    helper: "newuidmap",
    ranges: "/etc/subuid",
};

const GROUPS: IdKind = IdKind {
    property: "linux.gidMappings",
    file: "gid_map",
    helper: "newgidmap",
    ranges: "/etc/subgid",
};

/// Whether `id` of the host is all that `map` maps.
fn is_only(map: &IdMap, id: u32) -> bool {
    matches!(map.0.as_slice(), [(_, host, 1)] if *host == id)
}

/// Writes a mapping; if the kernel doesn't let rind, has a helper write it.
fn write_or_ask(pid: i32, kind: &IdKind, map: &IdMap) -> Result<(), Error> {
    match std::fs::write(path(pid, kind.file), map.lines()) {
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => ask(pid, kind, map),
        written => written.map_err(|error| failed(kind.file, &map.lines(), &error)),
    }
}

/// Has `newuidmap` or `newgidmap` write a mapping.
fn ask(pid: i32, kind: &IdKind, map: &IdMap) -> Result<(), Error> {
    let IdKind { property, helper, ranges, .. } = kind;
    let mapping = on_one_line(&map.lines());
    let Some(program) = find(helper) else {
        let hint = format!("install uidmap, and give the user the ids in {ranges}");
        let text = format!(
            "{property} ({mapping}): {helper} is not in PATH; a user other than root can map nothing \
             but its own id without"
        );
        return Err(Error::new(text).with_object(*property).with_hint(Some(hint)));
    };
    let mut command = Command::new(&program);
    command.arg(pid.to_string());
    for (container, host, size) in &map.0 {
        command.args([container, host, size].map(u32::to_string));
    }
    let (succeeded, output) = run(&mut command).map_err(|error| {
        Error::new(format!("{property}: running {}: {}", program.display(), sys::answer(&error)))
    })?;
    if succeeded {
        return Ok(());
    }
    let output = output.replace('\n', ", ");
    let text = format!(
        "{property} ({mapping}): {helper} refused ({output}); the ids must be the user's in {ranges}"
    );
    let hint = format!(
        "map the user's own id, once, and ids of a line of the user's in {ranges}, as \
         NAME:100000:65536 (usermod --add-subuids and --add-subgids); `rind spec --rootless` maps the \
         own id alone"
    );
    Err(Error::new(text).with_object(*property).with_hint(Some(hint)))
}

/// Whether `command` succeeds, and what it writes to stderr.
fn run(command: &mut Command) -> io::Result<(bool, String)> {
    let (mut output, writer) = Capture::new()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
    let mut child = sys::exec::spawn(command)?;
    // `command` has a copy of the writing end, which would keep the pipe open.
    command.stderr(Stdio::null());
    output.await_end(&child, None, None)?;
    Ok((child.wait()?.success(), output.text()))
}

/// Finds `program` in the absolute directories of `PATH`.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| access(file, AccessFlags::X_OK).is_ok())
}

fn write_file(pid: i32, file: &str, text: &str) -> Result<(), Error> {
    std::fs::write(path(pid, file), text).map_err(|error| failed(file, text, &error))
}

fn path(pid: i32, file: &str) -> String {
    format!("/proc/{pid}/{file}")
}

fn failed(file: &str, text: &str, error: &io::Error) -> Error {
    Error::new(format!("writing {file} ({}): {}", on_one_line(text), sys::answer(error)))
}

/// A mapping on one line.
fn on_one_line(text: &str) -> String {
    text.trim_end().replace('\n', ", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_line_of_size_one_maps_only_its_id() {
        assert!(is_only(&IdMap(vec![(0, 1000, 1)]), 1000));
        for lines in [vec![], vec![(0, 1001, 1)], vec![(0, 1000, 2)], vec![(0, 1000, 1), (1, 7, 1)]]
        {
            assert!(!is_only(&IdMap(lines.clone()), 1000), "{lines:?}");
        }
    }

    #[test]
    fn little_is_kept_of_what_a_helper_says() {
        let mut talking = Command::new("/bin/sh");
        talking.args(["-c", "echo no >&2; head -c 10000000 /dev/zero >&2; echo well >&2; exit 1"]);
        let (succeeded, output) = run(&mut talking).unwrap();
        assert!(!succeeded && output.len() < 2000, "{} bytes", output.len());
        assert!(output.starts_with("no\n") && output.ends_with("well"), "{output}");
        let mut silent = Command::new("/bin/true");
        assert_eq!(run(&mut silent).unwrap(), (true, String::new()));
    }

    #[test]
    fn a_mapping_is_shown_on_one_line() {
        assert_eq!(on_one_line("0 1000 1\n1 100000 65536\n"), "0 1000 1, 1 100000 65536");
    }
}
