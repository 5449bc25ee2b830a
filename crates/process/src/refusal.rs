//! Why the kernel refused to execute a program, where its answer alone doesn't tell: looks at the file,
//! once execve(2) has failed. The file is the image's, and must not be trusted.

use std::ffi::{CStr, CString, OsStr};
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
    let found = if start.is_empty() {
        refusal("the file is empty", FILL)
    } else if let Some(rest) = start.strip_prefix(b"#!") {
        of_script(rest, errno)
    } else if start.starts_with(b"\x7fELF") {
        of_elf(&start)
    } else if errno == Errno::EACCES {
        refusal("it has no right of execution for the user", EXECUTABLE)
    } else if start.starts_with(b"MZ") || start.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
        refusal("it is a program for another system", LINUX_PROGRAM)
    } else if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        refusal("it is a text that doesn't begin with #!", FIRST_LINE)
    } else {
        refusal("it is neither an ELF program nor a script", LINUX_PROGRAM)
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

/// `rest` is what follows `#!`.
fn of_script(rest: &[u8], errno: Errno) -> Option<Refusal> {
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let interpreter = line.split(is_blank).next().unwrap_or_default();
    let name = OsStr::from_bytes(interpreter).display();
    if interpreter.is_empty() {
        return refusal("its first line, #!, names no interpreter", FIRST_LINE);
    }
    if interpreter.ends_with(b"\r") {
        let bare = OsStr::from_bytes(interpreter.trim_ascii_end()).display();
        return refusal(
            format!("its lines end in CRLF, so that its interpreter is \"{bare}\\r\""),
            UNIX_LINES,
        );
    }
    match sys::fs::stat(&CString::new(interpreter).ok()?) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => {
            refusal(format!("its interpreter {name} is missing"), GIVE_INTERPRETER)
        }
        Ok(_) if errno == Errno::EACCES => {
            refusal(format!("it, or its interpreter {name}, may not be executed"), EXECUTABLE)
        }
        Ok(_) if errno == Errno::ENOENT => {
            refusal(format!("its interpreter {name} lacks a loader of its own"), GIVE_LOADER)
        }
        _ => None,
    }
}

/// The machines that images are made for (elf(5), `e_machine`).
const MACHINES: &[(u16, &str)] = &[
    (3, "x86"),
    (8, "mips"),
    (20, "ppc"),
    (21, "ppc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

fn of_elf(file: &[u8]) -> Option<Refusal> {
    let elf = Elf { file, is_wide: file.get(4) == Some(&2), is_big: file.get(5) == Some(&2) };
    let Some(machine) = elf.number(18, 2).and_then(|number| u16::try_from(number).ok()) else {
        return refusal("the file is cut off", FILL);
    };
    let name = MACHINES.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name);
    if name != Some(std::env::consts::ARCH) && !is_also_run(name) {
        let name = name.map_or_else(|| format!("machine {machine} of elf(5)"), str::to_owned);
        let cause = format!("it is for {name}, and this machine is {}", std::env::consts::ARCH);
        return refusal(cause, RIGHT_MACHINE);
    }
    let loader = elf.interpreter()?;
    let shown = OsStr::from_bytes(&loader).display().to_string();
    match sys::fs::stat(&CString::new(loader).ok()?) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => {
            refusal(format!("it is there, but its loader {shown} is not"), GIVE_LOADER)
        }
        _ => None,
    }
}

/// Whether the kernel of this machine may run such programs too.
fn is_also_run(name: Option<&str>) -> bool {
    matches!((std::env::consts::ARCH, name), ("x86_64", Some("x86")) | ("aarch64", Some("arm")))
}

/// The beginning of an ELF file.
struct Elf<'a> {
    file: &'a [u8],
    is_wide: bool,
    is_big: bool,
}

impl Elf<'_> {
    /// The number of so many bytes.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.file.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    fn size(&self, at: usize, size: usize) -> Option<usize> {
        usize::try_from(self.number(at, size)?).ok()
    }

    /// The path of its loader: the segment `PT_INTERP`.
    fn interpreter(&self) -> Option<Vec<u8>> {
        let [table, entry, count, offset, length, word] =
            if self.is_wide { [32, 54, 56, 8, 32, 8] } else { [28, 42, 44, 4, 16, 4] };
        let (table, entry) = (self.size(table, word)?, self.size(entry, 2)?);
        let count = self.size(count, 2)?.min(64);
        let segments = (0..count).filter_map(|index| table.checked_add(index * entry));
        let mut loaders = segments.filter(|&at| self.number(at, 4) == Some(3));
        let at = loaders.next()?;
        let from = self.size(at.checked_add(offset)?, word)?;
        let until = from.checked_add(self.size(at.checked_add(length)?, word)?)?;
        let path = self.file.get(from..until)?;
        Some(path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn damaged_elf_files_are_no_trouble() {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(200, 0xff);
        for length in 0..file.len() {
            for (class, order) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
                let mut cut = file.get(..length).unwrap().to_vec();
                if let Some([one, two]) = cut.get_mut(4..6) {
                    (*one, *two) = (class, order);
                }
                let _ = of_elf(&cut);
            }
        }
    }

    #[test]
    fn the_first_line_tells() {
        let cause = |rest: &[u8]| of_script(rest, Errno::ENOENT).unwrap().cause;
        assert!(cause(b"/bin/sh\r\n").contains("CRLF"));
        assert_eq!(cause(b" /no/python -u\n"), "its interpreter /no/python is missing");
        assert!(cause(b"\n").contains("names no interpreter"));
    }
}
