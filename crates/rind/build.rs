//! Tells the program which commit it is built from, and the linker which functions belong together.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rustc-env=RIND_COMMIT={}", of_commit("RIND_COMMIT", "%h", "unknown"));
    println!("cargo::rustc-env=RIND_DATE={}", of_commit("RIND_DATE", "%cs", ""));
    order_functions();
    enter_before_libc();
}

/// Has the program start at `sys::entry`, where there is one for this processor.
fn enter_before_libc() {
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|name| name == "x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=rind_start");
    }
}

/// What `variable` has, else what git says of the last commit.
fn of_commit(variable: &str, format: &str, otherwise: &str) -> String {
    println!("cargo::rerun-if-env-changed={variable}");
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/refs/heads");
    let from_git = || {
        let mut git = Command::new("git");
        git.args(["log", "-1", "--abbrev=12", &format!("--format={format}")]);
        let output = git.output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    env::var(variable).ok().or_else(from_git).unwrap_or_else(|| otherwise.to_owned())
}

/// Has the functions that every container's start goes through (order.txt, made by scripts/order)
/// put next to each other. The kernel maps a program in pieces of 64 KiB and more around what is
/// used, so this is worth a third of the memory that a start takes. Names that have changed since
/// are passed over, and so is the whole where the linker can't do it. Only LLVM's can, which comes
/// with Rust, but isn't what each target links with.
fn order_functions() {
    println!("cargo::rerun-if-changed=order.txt");
    let (Ok(folder), Ok(out)) = (env::var("CARGO_MANIFEST_DIR"), env::var("OUT_DIR")) else {
        return;
    };
    let order = format!("-Wl,--symbol-ordering-file={folder}/order.txt");
    let quietly = "-Wl,--no-warn-symbol-ordering".to_owned();
    let usual = vec![order, quietly];
    let lld = [&usual[..], &["-fuse-ld=lld".to_owned()]].concat();
    let rusts = rusts_linker().map(|folder| [&lld[..], &[format!("-B{folder}")]].concat());
    let choices = [Some(usual), rusts, Some(lld)].into_iter().flatten();
    let works = choices.into_iter().find(|flags| links_with(flags, Path::new(&out)));
    for flag in works.into_iter().flatten() {
        println!("cargo::rustc-link-arg-bins={flag}");
    }
}

/// The folder in which Rust has its copy of LLVM's linker, under the name that C compilers look for.
fn rusts_linker() -> Option<String> {
    let (rustc, host) = (env::var("RUSTC").ok()?, env::var("HOST").ok()?);
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(sysroot.trim()).join(format!("lib/rustlib/{host}/bin/gcc-ld"));
    folder.is_dir().then(|| folder.display().to_string())
}

/// Whether an empty program can be linked with `flags`.
fn links_with(flags: &[String], out: &Path) -> bool {
    let (Ok(rustc), Ok(target)) = (env::var("RUSTC"), env::var("TARGET")) else { return false };
    let source = out.join("empty.rs");
    if fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut command = Command::new(rustc);
    command.args(["--target", &target, "-o"]).arg(out.join("empty")).arg(source);
    for flag in flags {
        command.args(["-C", &format!("link-arg={flag}")]);
    }
    command.output().is_ok_and(|output| output.status.success())
}
