//! Documents that are held to what there is: every command of docs/containers-from-scratch.md and of the
//! README's first container is run, and prints what is printed there; what the README installs is what a
//! release has, what it links to exists; every test that docs/security.md names exists.

use integration_tests::command;
use integration_tests::host::{needs_program, run_folder};
use integration_tests::test::Test;
use integration_tests::{binary, tests};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

pub const TESTS: &[Test] = tests![
    containers_from_scratch,
    first_container_of_the_readme,
    readme_installs_what_a_release_has,
    links_of_the_readme_lead_somewhere,
    readme_counts_the_tests,
    tests_that_the_security_page_names_exist,
];

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// `module::name`; or `module::begin*`, for those that begin so.
fn tests_that_the_security_page_names_exist() {
    let tests: Vec<&str> = crate::all().iter().map(|test| test.name).collect();
    let tests: Vec<&str> =
        tests.iter().map(|name| name.split_once("::").map_or(*name, |(_, name)| name)).collect();
    let page = page("security.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*".contains(c);
        text.contains("::") && text.chars().all(letters)
    };
    let named: Vec<&str> = quoted.filter(is_name).collect();
    assert!(named.len() > 100, "{named:?}");
    for name in named {
        let exists = match name.strip_suffix('*') {
            Some(begin) => tests.iter().any(|test| test.starts_with(begin)),
            None => tests.contains(&name),
        };
        assert!(exists, "there is no test {name}");
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
    for program in ["busybox", "unshare", "nsenter", "pgrep", "chroot", "bash"] {
        let _ = needs_program(program);
    }
    let steps = steps(&page("containers-from-scratch.md"));
    assert!(steps.len() > 10, "{steps:#?}");
    print_what_they_say(&steps, "tour");
}

fn first_container_of_the_readme() {
    for program in ["busybox", "unshare", "bash"] {
        let _ = needs_program(program);
    }
    let readme = page("../README.md");
    let (_, section) = readme.split_once("\n## A first container\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let steps = steps(section);
    assert_eq!(steps.len(), 2, "{steps:#?}");
    print_what_they_say(&steps, "readme");
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

fn links_of_the_readme_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = page("../README.md");
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files: Vec<&str> = targets.filter(|target| !target.starts_with("https:")).collect();
    assert!(files.len() > 20, "{files:?}");
    for target in files {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        assert!(root.join(file).exists(), "there is no {file}");
        let anchor =
            |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
        let has = |text: String| text.lines().any(|l| l.starts_with('#') && anchor(l) == heading);
        assert!(heading.is_empty() || has(page(&format!("../{file}"))), "{target}");
    }
}

/// Runs the steps in a folder of this name; each has to print what is said there. A first line `...`
/// stands for any lines.
#[track_caller]
fn print_what_they_say(steps: &[Step], name: &str) {
    let folder = run_folder().join(name);
    fs::create_dir(&folder).unwrap();
    let output = run(steps, &folder);
    // What each step has printed is between marks.
    let mut printed = output.split('\u{1}').skip(1);
    for step in steps {
        let found = printed.next().unwrap_or("nothing: the steps before have failed");
        let as_said = match step.output.strip_prefix("...\n") {
            Some(end) => found.ends_with(end),
            None => found == step.output,
        };
        let Step { line, commands, output } = step;
        assert!(as_said, "line {line}:\n{commands}prints\n{found}and not\n{output}");
    }
    fs::remove_dir_all(&folder).unwrap();
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
fn run(steps: &[Step], folder: &Path) -> String {
    let programs = folder.join("programs");
    let here = folder.join("here");
    for directory in [&programs, &here] {
        fs::create_dir(directory).unwrap();
    }
    let (rind, root) = (binary::rind().display(), folder.join("state"));
    let wrapper = format!("#!/bin/sh\nexec {rind} --root {} \"$@\"\n", root.display());
    fs::write(programs.join("rind"), wrapper).unwrap();
    fs::set_permissions(programs.join("rind"), Permissions::from_mode(0o755)).unwrap();
    let script: String =
        steps.iter().flat_map(|step| ["printf '\\001'\n", step.commands.as_str()]).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", &script]);
    command.current_dir(&here).env("PATH", format!("{}:{path}", programs.display()));
    let output = command::run(command);
    assert!(output.stderr.is_empty(), "{output:?}");
    output.stdout
}
