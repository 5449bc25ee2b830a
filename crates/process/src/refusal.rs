//! Why the kernel refused to execute a program, where its answer alone doesn't tell: looks at the file,
//! once execve(2) has failed. The file is the image's, and must not be trusted.

use crate::needs::{Needs, needs};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::fs::file_type;
use sys::nix::fcntl::{OFlag, open};
use sys::nix::sys::stat::{Mode, SFlag, fstat};
use sys::nix::sys::statvfs::{FsFlags, statvfs};
use sys::nix::unistd::read;
use sys::{Errno, Error};

/// How much of a file's beginning is read: a script's first line, or an ELF file's headers.
const START: usize = 4096;

/// What is wrong, for people, and what helps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub cause: String,
    pub remedy: &'static str,
}

/// What the child sends: a byte for the remedy, and the cause.
impl Refusal {
    pub fn to_detail(&self) -> Vec<u8> {
        let number = REMEDIES.iter().position(|remedy| *remedy == self.remedy).unwrap_or_default();
        [&[u8::try_from(number).unwrap_or_default()], self.cause.as_bytes()].concat()
    }

    /// The host's side of that; nothing of it is trusted but that it is text for people.
    pub fn from_detail(detail: &[u8]) -> Option<Self> {
        let (number, cause) = detail.split_first()?;
        let remedy = REMEDIES.get(usize::from(*number))?;
        Some(Self { cause: String::from_utf8_lossy(cause).into_owned(), remedy })
    }
}

const GIVE_LOADER: &str =
    "the image needs the libraries that the program was linked with; a static program needs none";
const UNIX_LINES: &str = "write the file with LF alone: dos2unix FILE";
const GIVE_INTERPRETER: &str =
    "put the interpreter into the image, or name another in the first line";
const FIRST_LINE: &str = "begin a script with a line as #!/bin/sh";
const FILL: &str = "was it copied into the image?";
const RIGHT_MACHINE: &str =
    "take an image for this machine, or have binfmt_misc run it by qemu-user";
const LINUX_PROGRAM: &str = "build it for Linux on this machine";
const ALLOW_EXEC: &str = "mount it without noexec, or run what is elsewhere";
const EXECUTABLE: &str = "chmod +x FILE in the image";
const ALLOWED: &str = "allow execve in linux.seccomp, and what a program's start needs";

/// The remedies; a remedy's index is its number on the wire.
const REMEDIES: [&str; 10] = [
    GIVE_LOADER,
    UNIX_LINES,
    GIVE_INTERPRETER,
    FIRST_LINE,
    FILL,
    RIGHT_MACHINE,
    LINUX_PROGRAM,
    ALLOW_EXEC,
    EXECUTABLE,
    ALLOWED,
];

/// Looks why `path` was refused with `errno`; none if the answer says all. `has_filter` is whether a
/// seccomp filter applies, which may have given the answer itself.
pub(crate) fn look(path: &CStr, errno: Errno, has_filter: bool) -> Option<Refusal> {
    match errno {
        Errno::EACCES if is_on_noexec(path) => refusal("it is on a mount with noexec", ALLOW_EXEC),
        Errno::ENOENT | Errno::ENOEXEC | Errno::EINVAL | Errno::EACCES => {
            of_file(path, errno, has_filter)
        }
        Errno::EPERM | Errno::ENOSYS if has_filter => {
            refusal("linux.seccomp may forbid execve", ALLOWED)
        }
        _ => None,
    }
}

/// The same error of executing `path`, with what is found out so.
pub(crate) fn explain(error: Error, path: &Path) -> Error {
    let text = CString::new(path.as_os_str().as_bytes());
    let found = error.errno().zip(text.ok()).and_then(|(errno, path)| look(&path, errno, false));
    match found {
        Some(Refusal { cause, remedy }) => error.because(cause).with_hint(Some(remedy)),
        None => error,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "all who call it give an option")]
fn refusal(cause: impl Into<String>, remedy: &'static str) -> Option<Refusal> {
    Some(Refusal { cause: cause.into(), remedy })
}

fn is_on_noexec(path: &CStr) -> bool {
    statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOEXEC))
}

fn of_file(path: &CStr, errno: Errno, has_filter: bool) -> Option<Refusal> {
    let Ok(start) = beginning(path) else {
        let is_closed = errno == Errno::EACCES && sys::fs::stat(path).is_ok();
        return if is_closed {
            refusal("it has no right of execution for the user", EXECUTABLE)
        } else {
            None
        };
    };
    let found = match needs(&start) {
        Needs::Interpreter(name) if start.starts_with(b"#!") => of_script(&name, errno),
        Needs::Interpreter(loader) if is_missing(&loader) => {
            refusal(format!("it is there, but its loader {loader} is not"), GIVE_LOADER)
        }
        Needs::Machine(name) => refusal(
            format!("it is for {name}, and this machine is {}", std::env::consts::ARCH),
            RIGHT_MACHINE,
        ),
        Needs::Nothing if start.len() < ELF_HEADER => refusal("the file is cut off", FILL),
        Needs::Nothing | Needs::Interpreter(_) => None,
        Needs::Unknown => of_unknown(&start, errno),
    };
    let by_filter = || refusal("linux.seccomp may have answered it", ALLOWED);
    found.or_else(|| if has_filter && errno != Errno::ENOEXEC { by_filter() } else { None })
}

/// The first bytes of a regular file.
fn beginning(path: &CStr) -> sys::Result<Vec<u8>> {
    // Opening a device may do something, and opening a fifo may wait.
    if file_type(&sys::fs::stat(path)?) != SFlag::S_IFREG {
        return Err(Errno::EACCES);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    if file_type(&fstat(&file)?) != SFlag::S_IFREG {
        return Err(Errno::EACCES);
    }
    let mut start = vec![0; START];
    let length = read(&file, &mut start)?;
    start.truncate(length);
    Ok(start)
}

/// A file that is neither a program nor a script.
fn of_unknown(start: &[u8], errno: Errno) -> Option<Refusal> {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if start.is_empty() {
        refusal("the file is empty", FILL)
    } else if start.starts_with(b"#!") {
        refusal("its first line, #!, names no interpreter", FIRST_LINE)
    } else if errno == Errno::EACCES {
        refusal("it has no right of execution for the user", EXECUTABLE)
    } else if start.starts_with(b"MZ") || start.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
        refusal("it is a program for another system", LINUX_PROGRAM)
    } else if start.iter().all(is_text) {
        refusal("it is a text that doesn't begin with #!", FIRST_LINE)
    } else {
        refusal("it is neither an ELF program nor a script", LINUX_PROGRAM)
    }
}

fn of_script(name: &str, errno: Errno) -> Option<Refusal> {
    if let Some(bare) = name.strip_suffix('\r') {
        let cause = format!("its lines end in CRLF, so that its interpreter is \"{bare}\\r\"");
        return refusal(cause, UNIX_LINES);
    }
    match errno {
        _ if is_missing(name) => {
            refusal(format!("its interpreter {name} is missing"), GIVE_INTERPRETER)
        }
        Errno::EACCES => {
            refusal(format!("it, or its interpreter {name}, may not be executed"), EXECUTABLE)
        }
        Errno::ENOENT => {
            refusal(format!("its interpreter {name} lacks a loader of its own"), GIVE_LOADER)
        }
        _ => None,
    }
}

fn is_missing(path: &str) -> bool {
    let found = CString::new(path).map(|path| sys::fs::stat(&path));
    matches!(found, Ok(Err(Errno::ENOENT | Errno::ENOTDIR)))
}

/// The least that a program of 64 bits has.
const ELF_HEADER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_back_from_the_wire() {
        for remedy in REMEDIES {
            let refusal = Refusal { cause: "why".to_owned(), remedy };
            assert_eq!(Refusal::from_detail(&refusal.to_detail()).as_ref(), Some(&refusal));
        }
        assert_eq!(Refusal::from_detail(b""), None);
        assert_eq!(Refusal::from_detail(b"\xffx"), None);
    }

    #[test]
    fn the_first_line_tells() {
        let cause = |name: &str| of_script(name, Errno::ENOENT).map(|refusal| refusal.cause);
        assert!(cause("/bin/sh\r").is_some_and(|cause| cause.contains("CRLF")));
        let missing = "its interpreter /no/python is missing";
        assert_eq!(cause("/no/python").as_deref(), Some(missing));
        let nameless = of_unknown(b"#!\n", Errno::ENOEXEC).map(|refusal| refusal.cause);
        assert!(nameless.is_some_and(|cause| cause.contains("names no interpreter")));
    }
}
