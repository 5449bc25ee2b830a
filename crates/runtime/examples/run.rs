//! Runs the container of a bundle to its end, as `rind run` does.
//!
//! usage: run ROOT ID BUNDLE   (as root; ROOT keeps what is known of containers, as /run/rind does)

use runtime::{CreateOptions, RunOptions, Runtime};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(root), Some(id), Some(bundle)) = (words.next(), words.next(), words.next()) else {
        eprintln!("usage: run ROOT ID BUNDLE");
        return ExitCode::FAILURE;
    };
    match run(root.into(), id, bundle.into()) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)),
        Err(error) => {
            eprintln!("run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: PathBuf, id: String, bundle: PathBuf) -> runtime::Result<i32> {
    // What the library takes for granted of its process: these four, and that it has one thread.
    runtime::establish()?;
    runtime::check_kernel()?;
    // Executes this program again, from a copy that the container can't write to.
    runtime::seal_executable()?;
    runtime::close_inherited_fds(0)?;

    let warn = Box::new(|warning: &str| eprintln!("run: {warning}"));
    let runtime = Runtime { root, root_is_given: false, warn, debug: None };
    let create = CreateOptions { id, bundle, ..CreateOptions::default() };
    runtime::run(&runtime, &create, RunOptions::default())
}
