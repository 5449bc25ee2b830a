//! The entry point for `x86_64`.

// Every line here is unsafe, and the numbers are the kernel's, which fit.
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use super::{MARK, SEALING};
use std::arch::{asm, naked_asm};
use std::ptr;

/// [`MARK`] as environments have it.
const MARKED: &[u8] = b"_RIND_SEALED=1\0";

/// Environments with more variables are left to `process::seal`.
const MOST: usize = 1000;

/// The environment with the mark, for the execve. Pages of it that aren't written are never there.
static mut ENVIRONMENT: [*const u8; MOST + 2] = [ptr::null(); MOST + 2];

/// The entry point (the linker's `-e`). It leaves everything to libc's as the kernel left it to us.
///
/// # Safety
///
/// It is for the kernel alone to jump here.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn rind_start() -> ! {
    // The stack holds argc, the arguments, the environment; its pointer is aligned to 16 bytes.
    naked_asm!(
        "mov rdi, rsp",
        "mov rbx, rdx",
        "call {seal}",
        "mov rdx, rbx",
        "jmp _start",
        seal = sym seal,
    )
}

/// Executes the program again from a sealed copy, if the command is one of [`SEALING`]. Comes back
/// where it isn't, where it runs from a copy already, and where something fails.
unsafe extern "C" fn seal(stack: *const usize) {
    // SAFETY: the kernel has put argc there, then as many pointers to strings and a null pointer,
    // and the same of the environment.
    unsafe {
        let arguments = stack.add(1).cast::<*const u8>();
        let count = ptr::read_volatile(stack);
        let mut seals = false;
        for at in 1..count {
            let argument = ptr::read_volatile(arguments.add(at));
            for name in &SEALING {
                seals |= is(argument, name);
            }
        }
        let environment = arguments.add(count + 1);
        if seals && mark(environment) {
            execute_sealed(arguments);
        }
    }
}

/// Copies the environment and adds the mark; `false` if it has one, or is too long.
unsafe fn mark(environment: *const *const u8) -> bool {
    // SAFETY: as of `seal`. Nobody else uses the copy, as there is one thread, and is not read but by
    // the kernel.
    unsafe {
        let copy = (&raw mut ENVIRONMENT).cast::<*const u8>();
        let mut at = 0;
        loop {
            let variable = ptr::read_volatile(environment.add(at));
            if variable.is_null() {
                break;
            }
            if at == MOST || begins(variable, MARKED, MARK.len() + 1) {
                return false;
            }
            ptr::write_volatile(copy.add(at), variable);
            at += 1;
        }
        ptr::write_volatile(copy.add(at), MARKED.as_ptr());
        ptr::write_volatile(copy.add(at + 1), ptr::null());
    }
    true
}

/// The clone is read-only by the call that makes it (`open_tree_attr`, Linux 6.15), close-on-exec, and
/// in no namespace.
unsafe fn execute_sealed(arguments: *const *const u8) {
    const AT_FDCWD: usize = libc::AT_FDCWD as usize;
    const OPEN_TREE_ATTR: usize = 467;
    const FLAGS: usize = libc::OPEN_TREE_CLONE as usize | libc::O_CLOEXEC as usize;
    let path = c"/proc/self/exe".as_ptr() as usize;
    // struct mount_attr: what is set, what is cleared, propagation, user namespace.
    let read_only: [u64; 4] = [libc::MOUNT_ATTR_RDONLY, 0, 0, 0];
    // SAFETY: the path is a C string, the attributes have the kernel's layout and size, the vectors
    // are null-terminated arrays of C strings.
    unsafe {
        let size = size_of_val(&read_only);
        let attributes = (&raw const read_only) as usize;
        let tree = call(OPEN_TREE_ATTR, [AT_FDCWD, path, FLAGS, attributes, size]);
        if tree < 0 {
            return;
        }
        let file = tree.cast_unsigned();
        let environment = (&raw const ENVIRONMENT) as usize;
        let (number, empty) = (libc::SYS_execveat as usize, c"".as_ptr() as usize);
        let here = libc::AT_EMPTY_PATH as usize;
        call(number, [file, empty, arguments as usize, environment, here]);
        call(libc::SYS_close as usize, [file, 0, 0, 0, 0]);
    }
}

/// Whether the C string `text` is `name`, which ends with a null byte.
unsafe fn is(text: *const u8, name: &[u8]) -> bool {
    // SAFETY: as of `begins`.
    unsafe { begins(text, name, name.len()) }
}

/// Whether the first `count` bytes of the C string `text`, its end included, are those of `start`.
unsafe fn begins(text: *const u8, start: &[u8], count: usize) -> bool {
    let mut at = 0;
    while at < count {
        // SAFETY: all bytes before were equal, and no null byte but at the end of `start`: so the
        // string goes on at least to here.
        let equal = unsafe {
            ptr::read_volatile(text.add(at)) == ptr::read_volatile(start.as_ptr().add(at))
        };
        if !equal {
            return false;
        }
        at += 1;
    }
    true
}

/// A system call; gives what the kernel gave, an error as its negative number.
unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let [first, second, third, fourth, fifth] = arguments;
    let result;
    // SAFETY: the kernel changes no registers but these (syscall(2)); the arguments are the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_one_that_is_looked_for() {
        assert_eq!(MARKED, format!("{MARK}=1\0").as_bytes());
    }

    #[test]
    fn whole_words_are_compared() {
        for (text, equal) in [(c"run", true), (c"runs", false), (c"ru", false), (c"", false)] {
            // SAFETY: both are C strings.
            assert_eq!(unsafe { is(text.as_ptr().cast(), b"run\0") }, equal, "{text:?}");
        }
    }
}
