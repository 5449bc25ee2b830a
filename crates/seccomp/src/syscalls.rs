//! The names of system calls, and each ABI's numbers: tables that build.rs makes.

#![allow(clippy::unreadable_literal)]

include!(concat!(env!("OUT_DIR"), "/syscalls.rs"));
