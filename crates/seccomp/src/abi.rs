//! The ABIs that a filter can decide for: how the kernel names each, its calls and its arguments.

use crate::syscalls::{
    AARCH64, ARM, LOONGARCH64, MIPS, MIPS64, MIPS64N32, POWERPC, POWERPC64, RISCV64, S390, S390X,
    X32, X86, X86_64,
};
use oci_spec::runtime::Arch;

/// One way of calling the kernel.
#[derive(Debug)]
pub(crate) struct Abi {
    pub(crate) arch: Arch,
    /// The name that the spec has for it.
    pub(crate) name: &'static str,
    /// The `AUDIT_ARCH_*` that the kernel tells a filter. `x86_64` and x32 share one.
    pub(crate) audit: u32,
    /// Number and name (its index in [`NAMES`](crate::syscalls::NAMES)) of each call, in ascending order of the numbers.
    pub(crate) calls: &'static [(u32, u16)],
    /// The bits that the kernel sets in each number.
    pub(crate) first: u32,
    /// Whether arguments have 64 bits. If not, only their low halves count.
    pub(crate) wide: bool,
    pub(crate) big_endian: bool,
}

/// Set in the number of every x32 call.
pub(crate) const X32_BIT: u32 = 1 << 30;
/// The first of 32-bit ARM's private calls. They are old, though their numbers are great.
pub(crate) const ARM_PRIVATE: u32 = 0xf_0000;

/// Of `linux/audit.h`: the machine's ELF number is in the low bits.
const WIDE: u32 = 0x8000_0000;
const LITTLE: u32 = 0x4000_0000;
const N32: u32 = 0x2000_0000;

const fn abi(arch: Arch, name: &'static str, audit: u32, calls: &'static [(u32, u16)]) -> Abi {
    let first = match arch {
        Arch::ScmpArchX32 => X32_BIT,
        Arch::ScmpArchMips | Arch::ScmpArchMipsel => 4000,
        Arch::ScmpArchMips64 | Arch::ScmpArchMipsel64 => 5000,
        Arch::ScmpArchMips64n32 | Arch::ScmpArchMipsel64n32 => 6000,
        _ => 0,
    };
    // x32 and n32 are 32-bit ABIs of 64-bit machines.
    let wide = audit & (WIDE | N32) == WIDE && !matches!(arch, Arch::ScmpArchX32);
    Abi { arch, name, audit, calls, first, wide, big_endian: audit & LITTLE == 0 }
}

/// Every ABI that has a table.
pub(crate) static ABIS: [Abi; 18] = [
    abi(Arch::ScmpArchX86, "SCMP_ARCH_X86", 3 | LITTLE, &X86),
    abi(Arch::ScmpArchX86_64, "SCMP_ARCH_X86_64", 0x3e | LITTLE | WIDE, &X86_64),
    abi(Arch::ScmpArchX32, "SCMP_ARCH_X32", 0x3e | LITTLE | WIDE, &X32),
    abi(Arch::ScmpArchArm, "SCMP_ARCH_ARM", 0x28 | LITTLE, &ARM),
    abi(Arch::ScmpArchAarch64, "SCMP_ARCH_AARCH64", 0xb7 | LITTLE | WIDE, &AARCH64),
    abi(Arch::ScmpArchMips, "SCMP_ARCH_MIPS", 8, &MIPS),
    abi(Arch::ScmpArchMips64, "SCMP_ARCH_MIPS64", 8 | WIDE, &MIPS64),
    abi(Arch::ScmpArchMips64n32, "SCMP_ARCH_MIPS64N32", 8 | WIDE | N32, &MIPS64N32),
    abi(Arch::ScmpArchMipsel, "SCMP_ARCH_MIPSEL", 8 | LITTLE, &MIPS),
    abi(Arch::ScmpArchMipsel64, "SCMP_ARCH_MIPSEL64", 8 | LITTLE | WIDE, &MIPS64),
    abi(Arch::ScmpArchMipsel64n32, "SCMP_ARCH_MIPSEL64N32", 8 | LITTLE | WIDE | N32, &MIPS64N32),
    abi(Arch::ScmpArchPpc, "SCMP_ARCH_PPC", 0x14, &POWERPC),
    abi(Arch::ScmpArchPpc64, "SCMP_ARCH_PPC64", 0x15 | WIDE, &POWERPC64),
    abi(Arch::ScmpArchPpc64le, "SCMP_ARCH_PPC64LE", 0x15 | LITTLE | WIDE, &POWERPC64),
    abi(Arch::ScmpArchS390, "SCMP_ARCH_S390", 0x16, &S390),
    abi(Arch::ScmpArchS390x, "SCMP_ARCH_S390X", 0x16 | WIDE, &S390X),
    abi(Arch::ScmpArchRiscv64, "SCMP_ARCH_RISCV64", 0xf3 | LITTLE | WIDE, &RISCV64),
    abi(Arch::ScmpArchLoongarch64, "SCMP_ARCH_LOONGARCH64", 0x102 | LITTLE | WIDE, &LOONGARCH64),
];

/// The names in [`ABIS`].
pub(crate) const ARCHITECTURES: [&str; ABIS.len()] = {
    let mut names = [""; ABIS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ABIS[index].name;
        index += 1;
    }
    names
};

/// The ABI of `arch`, which may be `SCMP_ARCH_NATIVE`; `None` for one that has no table.
pub(crate) fn find(arch: Arch) -> Option<&'static Abi> {
    let arch = if arch == Arch::ScmpArchNative { NATIVE } else { arch };
    ABIS.iter().find(|abi| abi.arch == arch)
}

/// The ABI that this program is built for.
pub(crate) const NATIVE: Arch =
    match (std::env::consts::ARCH.as_bytes(), cfg!(target_endian = "little")) {
        (b"x86", _) => Arch::ScmpArchX86,
        (b"x86_64", _) => Arch::ScmpArchX86_64,
        (b"arm", _) => Arch::ScmpArchArm,
        (b"aarch64", _) => Arch::ScmpArchAarch64,
        (b"mips", false) => Arch::ScmpArchMips,
        (b"mips", true) => Arch::ScmpArchMipsel,
        (b"mips64", false) => Arch::ScmpArchMips64,
        (b"mips64", true) => Arch::ScmpArchMipsel64,
        (b"powerpc", _) => Arch::ScmpArchPpc,
        (b"powerpc64", false) => Arch::ScmpArchPpc64,
        (b"powerpc64", true) => Arch::ScmpArchPpc64le,
        (b"s390x", _) => Arch::ScmpArchS390x,
        (b"riscv64", _) => Arch::ScmpArchRiscv64,
        (b"loongarch64", _) => Arch::ScmpArchLoongarch64,
        _ => panic!("there is no table of this machine's system calls"),
    };
