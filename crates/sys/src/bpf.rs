//! bpf(2), as far as device filters of v2 cgroups need it: load, attach, list, detach.
//!
//! There is no library between: a device filter uses no maps, no helpers and no relocations, so what
//! is left of libbpf would be these five calls.

use crate::{Errno, Result, check, owned};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// One eBPF instruction, as the kernel takes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Class, operation, and size or source.
    pub code: u8,
    /// The destination register, and the source register times 16.
    pub registers: u8,
    /// A jump's distance, or a load's or store's offset.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 1 << 1;
const F_REPLACE: u32 = 1 << 2;

/// How many programs [`attached`] can list; the kernel allows 64 on one cgroup.
const PROGRAMS: usize = 64;

/// A descriptor as it stands in an attribute of bpf(2).
fn number(fd: &impl AsFd) -> u32 {
    fd.as_fd().as_raw_fd().cast_unsigned()
}

/// Loads a device filter (`BPF_PROG_LOAD` of `BPF_PROG_TYPE_CGROUP_DEVICE`).
///
/// The program gets a `struct bpf_cgroup_dev_ctx` and returns 1 to allow, 0 to deny. What the
/// verifier refuses is `EINVAL` or `EACCES`; without `CAP_BPF` or `CAP_SYS_ADMIN` it is `EPERM`.
pub fn load_device_filter(program: &[Instruction]) -> Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        /// The verifier's log and the kernel version, which are not used.
        unused: [u32; 6],
        name: [u8; 16],
    }
    let license = c"Apache-2.0";
    let attributes = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        unused: [0; 6],
        name: *b"rind_devices\0\0\0\0",
    };
    let (pointer, size) = (&raw const attributes, size_of::<Load>());
    // SAFETY: the attributes are those of the command, and the program and the licence that they
    // point to outlive the call, which only reads them.
    owned(unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, pointer, size) })
}

/// The attributes of `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// Attaches `program` to the v2 cgroup directory `cgroup` beside others (`BPF_F_ALLOW_MULTI`), or
/// in the place of `replaced`, which must be attached there (`BPF_F_REPLACE`).
pub fn attach_device_filter(
    cgroup: impl AsFd,
    program: impl AsFd,
    replaced: Option<BorrowedFd>,
) -> Result<()> {
    let attributes = Attach {
        target: number(&cgroup),
        program: number(&program),
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        flags: if replaced.is_some() { F_ALLOW_MULTI | F_REPLACE } else { F_ALLOW_MULTI },
        replaced: replaced.as_ref().map_or(0, number),
    };
    let (pointer, size) = (&raw const attributes, size_of::<Attach>());
    // SAFETY: the attributes are those of the command, hold numbers only and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, pointer, size) })?;
    Ok(())
}

/// Detaches `program` from the v2 cgroup directory `cgroup`; `ENOENT` if it isn't attached there.
pub fn detach_device_filter(cgroup: impl AsFd, program: impl AsFd) -> Result<()> {
    let attributes = Attach {
        target: number(&cgroup),
        program: number(&program),
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    let (pointer, size) = (&raw const attributes, size_of::<Attach>());
    // SAFETY: the attributes are those of the command, hold numbers only and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, PROG_DETACH, pointer, size) })?;
    Ok(())
}

/// The device filters that are attached to the v2 cgroup directory `cgroup` itself.
pub fn attached_device_filters(cgroup: impl AsFd) -> Result<Vec<OwnedFd>> {
    #[repr(C)]
    struct Query {
        target: u32,
        kind: u32,
        /// The query's flags, and those that the programs were attached with.
        flags: [u32; 2],
        ids: u64,
        count: u32,
        padding: u32,
        /// Newer kernels store more here, however little of the structure they are told of.
        results: [u64; 12],
    }
    let mut ids = [0_u32; PROGRAMS];
    let mut attributes = Query {
        target: number(&cgroup),
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        flags: [0; 2],
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(ids.len()).map_err(|_| Errno::E2BIG)?,
        padding: 0,
        results: [0; 12],
    };
    // Older kernels take a longer structure than they know only where the rest of it is zero.
    let (pointer, size) = (&raw mut attributes, size_of::<Query>());
    // SAFETY: the attributes are those of the command; they and the array of `count` ids that they
    // point to are writable and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, pointer, size) })?;
    let count = usize::try_from(attributes.count).map_err(|_| Errno::EOVERFLOW)?;
    ids.iter().take(count).map(|&id| program_by_id(id)).collect()
}

/// A descriptor for the loaded program `id` (`BPF_PROG_GET_FD_BY_ID`).
fn program_by_id(id: u32) -> Result<OwnedFd> {
    #[repr(C)]
    struct ById {
        id: u32,
        next: u32,
        flags: u32,
    }
    let attributes = ById { id, next: 0, flags: 0 };
    let (pointer, size) = (&raw const attributes, size_of::<ById>());
    // SAFETY: the attributes are those of the command, hold numbers only and outlive the call.
    owned(unsafe { libc::syscall(libc::SYS_bpf, PROG_GET_FD_BY_ID, pointer, size) })
}
