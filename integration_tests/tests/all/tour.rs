//! Documents that are held to what there is: every command of docs/containers-from-scratch.md, of
//! docs/rootless.md and of the first container in docs/install.md and in the README is run, and prints what is printed
//! there; every test that a document names exists.

use crate::rootless::USER;
use integration_tests::host::{needs_program, run_folder};
use integration_tests::test::Test;
use integration_tests::{binary, cgroup, command, tests};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = tests![
    containers_from_scratch,
    first_container,
    without_root,
    tests_that_the_documents_name_exist,
    first_container_of_the_readme,
    readme_installs_what_a_release_has,
    readme_counts_the_tests,
];

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// `module::name`; or `module::begin*`, for those that begin so.
fn tests_that_the_documents_name_exist() {
    let tests: Vec<&str> = crate::all().iter().map(|test| test.name).collect();
    let tests: Vec<&str> =
        tests.iter().map(|name| name.split_once("::").map_or(*name, |(_, name)| name)).collect();
    let is_name = |text: &&str| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*".contains(c);
        text.contains("::") && text.chars().all(letters)
    };
    for (name, least) in [("security.md", 100), ("rootless.md", 5)] {
        let page = page(name);
        let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_name).collect();
        assert!(named.len() > least, "{named:?}");
        for test in named {
            let exists = match test.strip_suffix('*') {
                Some(begin) => tests.iter().any(|test| test.starts_with(begin)),
                None => tests.contains(&test),
            };
            assert!(exists, "{name}: there is no test {test}");
        }
    }
}

/// A block of commands, with what they print.
#[derive(Debug)]
struct Step {
    line: usize,
    commands: String,
    output: String,
}

fn containers_from_scratch() {
    for program in ["unshare", "nsenter", "pgrep", "chroot", "bash"] {
        let _ = needs_program(program);
    }
    take("containers-from-scratch.md", 10, &as_root("tour"), &[]);
}

fn first_container() {
    let _ = ["unshare", "bash"].map(needs_program);
    // The cgroup manager is the one that there is without a flag.
    cgroup::needs_cgroupfs();
    take("install.md", 2, &as_root("tour-install"), &[]);
}

/// A folder of this name, with a rind whose state is in it.
fn as_root(name: &str) -> PathBuf {
    let (folder, programs) = folders(name);
    let state = folder.join("state");
    let wrapper =
        format!("#!/bin/sh\nexec {} --root {} \"$@\"\n", binary::rind().display(), state.display());
    fs::write(programs.join("rind"), wrapper).unwrap();
    fs::set_permissions(programs.join("rind"), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn without_root() {
    let _ = ["setpriv", "unshare", "bash"].map(needs_program);
    // This user has no systemd.
    cgroup::needs_cgroupfs();
    let (folder, programs) = folders("tour-without-root");
    // By another process: what one of ours has open for writing can't be run.
    let mut copy = Command::new("cp");
    copy.arg(binary::rind()).arg(programs.join("rind"));
    let _ = command::run(copy).succeeded();
    for path in [&folder, &folder.join("here"), &folder.join("runtime")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let user = USER.to_string();
    take(
        "rootless.md",
        2,
        &folder,
        &["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"],
    );
}

/// A folder of this name, and the one in it for programs.
fn folders(name: &str) -> (PathBuf, PathBuf) {
    let _ = needs_program("busybox");
    let folder = run_folder().join(name);
    for part in ["", "programs", "here", "runtime"] {
        fs::create_dir(folder.join(part)).unwrap();
    }
    let programs = folder.join("programs");
    (folder, programs)
}

fn first_container_of_the_readme() {
    let _ = ["unshare", "bash"].map(needs_program);
    cgroup::needs_cgroupfs();
    let readme = page("../README.md");
    let (_, section) = readme.split_once("\n## A first container\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let steps = steps(section);
    assert_eq!(steps.len(), 2, "{steps:#?}");
    do_all("README.md", &steps, &as_root("readme"), &[]);
}

/// The files that it names have the names of this version's.
fn readme_installs_what_a_release_has() {
    let version = env!("CARGO_PKG_VERSION");
    let address = format!("{}/releases/download/v{version}/", env!("CARGO_PKG_REPOSITORY"));
    let readme = page("../README.md");
    let files: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.trim().strip_prefix("curl -LO "))
        .map(|url| {
            url.strip_prefix(&address).unwrap_or_else(|| panic!("{url} is not in {address}"))
        })
        .collect();
    let (package, archive) =
        (format!("rind_{version}-1_amd64.deb"), format!("rind-{version}-linux-x86_64.tar.gz"));
    let sum = |name: &String| format!("{name}.sha256");
    assert_eq!(files, [package.clone(), sum(&package), archive.clone(), sum(&archive)]);
}

/// `more than N ...`
fn readme_counts_the_tests() {
    let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
    let patches = fs::read_dir(patches).unwrap().map(|entry| entry.unwrap().file_name());
    let patches = patches.filter(|name| name.to_string_lossy().ends_with(".patch")).count();
    let readme = page("../README.md");
    for (what, there) in [("black-box tests", crate::all().len()), ("patches", patches)] {
        let (before, _) = readme.split_once(&format!(" {what}")).unwrap();
        let number = before.rsplit("more than ").next().unwrap();
        assert!(there > number.parse().unwrap(), "there are {there} {what}, not {number}");
    }
}

/// Runs the commands of a page, more than `least` blocks, by `prefix`.
fn take(name: &str, least: usize, folder: &Path, prefix: &[&str]) {
    let steps = steps(&page(name));
    assert!(steps.len() > least, "{steps:#?}");
    do_all(name, &steps, folder, prefix);
}

/// Runs the steps, by `prefix`; each has to print what is said there. A first line `...` stands for any
/// lines.
#[track_caller]
fn do_all(name: &str, steps: &[Step], folder: &Path, prefix: &[&str]) {
    let output = run(steps, folder, prefix);
    // What each step has printed is between marks.
    let mut printed = output.split('\u{1}').skip(1);
    for step in steps {
        let found = printed.next().unwrap_or("nothing: the steps before have failed");
        let as_said = match step.output.strip_prefix("...\n") {
            Some(end) => found.ends_with(end),
            None => found == step.output,
        };
        let Step { line, commands, output } = step;
        assert!(as_said, "{name}, line {line}:\n{commands}prints\n{found}and not\n{output}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// The blocks of commands (`sh`), each with the text that follows it (`text`).
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut kind = "";
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), kind) {
            (Some("sh"), _) => {
                kind = "sh";
                let line = number + 1;
                steps.push(Step { line, commands: String::new(), output: String::new() });
            }
            (Some(other), _) => kind = if other == "text" { "text" } else { "" },
            (None, "sh") => {
                if let Some(step) = steps.last_mut() {
                    step.commands.extend([line, "\n"]);
                }
            }
            (None, "text") => {
                if let Some(step) = steps.last_mut() {
                    step.output.extend([line, "\n"]);
                }
            }
            _ => {}
        }
    }
    steps
}

/// Runs all in one shell, in `folder`, with a state directory of its own. Whatever is left of a run
/// that fails goes with the pid namespace.
fn run(steps: &[Step], folder: &Path, prefix: &[&str]) -> String {
    let script: String =
        steps.iter().flat_map(|step| ["printf '\\001'\n", step.commands.as_str()]).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(prefix);
    command.args(["bash", "-c", &script]).current_dir(folder.join("here"));
    command.env("PATH", format!("{}:{path}", folder.join("programs").display()));
    command.env("XDG_RUNTIME_DIR", folder.join("runtime"));
    let output = command::run(command);
    assert!(output.stderr.is_empty(), "{output:?}");
    output.stdout
}
