//! What the kernel needs to execute a file, by its first bytes: execve(2), elf(5). The file is an image's,
//! and may have any bytes.

/// What the kernel needs to execute a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Needs {
    /// No other file.
    Nothing,
    /// The path of an interpreter or a loader.
    Interpreter(String),
    /// Another machine, by its name.
    Machine(String),
    /// It is neither a program nor a script.
    Unknown,
}

/// By the first bytes of the file: execve(2), elf(5).
#[must_use]
pub fn needs(start: &[u8]) -> Needs {
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut words =
            line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return Needs::Unknown };
        return Needs::Interpreter(String::from_utf8_lossy(name).into_owned());
    }
    let Some(elf) = Elf::read(start) else { return Needs::Unknown };
    match elf.foreign() {
        Some(machine) => Needs::Machine(machine),
        None => elf.loader().map_or(Needs::Nothing, Needs::Interpreter),
    }
}

/// The header of a program, as far as the first bytes of the file have it.
struct Elf<'a> {
    bytes: &'a [u8],
    is_wide: bool,
    is_big: bool,
}

impl<'a> Elf<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x7fELF")?;
        let (class, order) = (*rest.first()?, *rest.get(1)?);
        Some(Self { bytes, is_wide: class == 2, is_big: order == 2 })
    }

    /// The number of `width` bytes at `offset`.
    fn number(&self, offset: usize, width: usize) -> Option<usize> {
        let bytes = self.bytes.get(offset..offset.checked_add(width)?)?;
        let add = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        Some(if self.is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// The machine that the program is for, if it is another than this one.
    fn foreign(&self) -> Option<String> {
        /// The numbers of machines, and the names that Rust and the kernel have for them.
        const MACHINES: [(usize, &[&str]); 10] = [
            (3, &["x86", "x86_64"]),
            (62, &["x86_64"]),
            (40, &["arm", "aarch64"]),
            (183, &["aarch64"]),
            (243, &["riscv64", "riscv32"]),
            (22, &["s390x"]),
            (21, &["powerpc64"]),
            (20, &["powerpc", "powerpc64"]),
            (258, &["loongarch64"]),
            (8, &["mips", "mips64"]),
        ];
        let number = self.number(18, 2)?;
        match MACHINES.iter().find(|(known, _)| *known == number) {
            Some((_, names)) if names.contains(&std::env::consts::ARCH) => None,
            Some((_, names)) => names.first().map(|&name| name.to_owned()),
            None => Some(format!("machine {number}")),
        }
    }

    /// The path of the loader (`PT_INTERP`).
    fn loader(&self) -> Option<String> {
        const PT_INTERP: usize = 3;
        let (table, size, count) = if self.is_wide { (32, 54, 56) } else { (28, 42, 44) };
        let width = if self.is_wide { 8 } else { 4 };
        let table = self.number(table, width)?;
        let (size, count) = (self.number(size, 2)?, self.number(count, 2)?);
        let headers = (0..count).filter_map(|index| table.checked_add(index.checked_mul(size)?));
        let header = headers.into_iter().find(|at| self.number(*at, 4) == Some(PT_INTERP))?;
        let (offset, length) = if self.is_wide { (8, 32) } else { (4, 16) };
        let offset = self.number(header.checked_add(offset)?, width)?;
        let length = self.number(header.checked_add(length)?, width)?;
        let path = self.bytes.get(offset..offset.checked_add(length)?)?;
        let path = path.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(path).into_owned()).filter(|path| !path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_a_file_needs_is_in_its_first_bytes() {
        let interpreter = |name: &str| Needs::Interpreter(name.to_owned());
        assert_eq!(needs(b"#!/bin/sh\nexit"), interpreter("/bin/sh"));
        assert_eq!(needs(b"#! /usr/bin/env  python3"), interpreter("/usr/bin/env"));
        for text in [&b"#!"[..], b"#! \n", b"", b"hello", b"\x7fEL"] {
            assert_eq!(needs(text), Needs::Unknown, "{text:?}");
        }
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(matches!(needs(&own), Needs::Nothing | Needs::Interpreter(_)));
        let mut other = own.get(..64).unwrap().to_vec();
        other[18] = 0x99;
        assert!(matches!(needs(&other), Needs::Machine(_)));
    }

    /// An image has any bytes.
    #[test]
    fn headers_that_are_cut_or_wrong_are_no_danger() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        for end in 0..256 {
            let _ = needs(own.get(..end).unwrap());
        }
        for at in 4..64 {
            let mut changed = own.get(..4096).unwrap().to_vec();
            changed[at] = 0xff;
            let _ = needs(&changed);
        }
    }
}
