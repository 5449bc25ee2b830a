//! A criu that works on this kernel, which not every one does that is installed.

use crate::command;
use crate::test::skip;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Where `setup` puts one, beside what is in PATH.
const FETCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin/criu");

/// Skips the test unless there is a criu that says that it works here; gives its path.
#[must_use]
pub fn needs_criu() -> &'static Path {
    static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        let installed = env::split_paths(&path).map(|folder| folder.join("criu"));
        let candidates = installed.chain([PathBuf::from(FETCHED)]);
        candidates.filter(|path| path.exists()).find(|path| check(path, &[]))
    });
    let missing = "no criu that works on this kernel is installed (./setup test fetches one)";
    FOUND.as_deref().unwrap_or_else(|| skip(missing))
}

/// Whether criu says that kernel and criu have `feature`.
#[must_use]
pub fn has(feature: &str) -> bool {
    check(needs_criu(), &["--feature", feature])
}

/// Whether this is a criu that doesn't restore `no_new_privs`: one before 3.19.
#[must_use]
pub fn forgets_no_new_privs() -> bool {
    let mut command = Command::new(needs_criu());
    command.arg("--version");
    let output = command::run(command).stdout;
    let version = output.lines().find_map(|line| line.strip_prefix("Version: "));
    let mut numbers = version.into_iter().flat_map(|version| version.split('.'));
    let mut next = || numbers.next().and_then(|number| number.trim().parse::<u32>().ok());
    (next(), next()) < (Some(3), Some(19))
}

fn check(criu: &Path, options: &[&str]) -> bool {
    let mut command = Command::new(criu);
    command.arg("check").args(options);
    command::run(command).code == 0
}
