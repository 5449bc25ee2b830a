//! Where the programs are: the runtime under test, and the probe.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

/// The runtime under test.
#[must_use]
pub fn rind() -> &'static Path {
    static FOUND: LazyLock<PathBuf> = LazyLock::new(|| find_rind().expect("the runtime"));
    &FOUND
}

/// Looks for the runtime: `$RIND`, else the newest that the workspace has built.
///
/// # Errors
/// Says where it looked, and how to build it.
pub fn find_rind() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("RIND") {
        let path = PathBuf::from(named);
        let found = path.canonicalize();
        return found.map_err(|error| format!("RIND={}: {error}", path.display()));
    }
    let built = built()?;
    let target = built.parent().ok_or("the target folder has no parent")?;
    let candidates = ["release", "debug"].map(|profile| target.join(profile).join("rind"));
    let made = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
    let newest = candidates.iter().filter_map(|path| Some((made(path)?, path))).max();
    let (_, path): (SystemTime, _) = newest.ok_or_else(|| {
        let looked = candidates.each_ref().map(|path| path.display().to_string()).join(" nor ");
        format!("no runtime to test: neither {looked}; run `cargo build -p rind`, or name one by RIND=path")
    })?;
    Ok(path.clone())
}

/// The program that containers run, as cargo built it with these tests.
#[must_use]
pub fn probe() -> PathBuf {
    built_with_tests("probe")
}

/// The program that runs another, of which a system call fails.
#[must_use]
pub fn failing() -> PathBuf {
    built_with_tests("failing")
}

/// The program that looks at the machine and at the runtime from outside.
#[must_use]
pub fn monitor() -> PathBuf {
    built_with_tests("monitor")
}

fn built_with_tests(name: &str) -> PathBuf {
    let path = built().expect("this program's folder").join(name);
    assert!(path.exists(), "no {name} at {}: it is built by `cargo test`", path.display());
    path
}

/// The folder of what was built with this program: `target/TUPLE/PROFILE`, as it is run from there
/// or from `deps` below.
fn built() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("/proc/self/exe: {error}"))?;
    let folder = own.parent().ok_or("this program is in no folder")?;
    let above = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    above.map(Path::to_owned).ok_or_else(|| format!("{} is in no target folder", own.display()))
}
