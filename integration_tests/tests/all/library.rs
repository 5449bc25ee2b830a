//! The crates as others use them: the example of `runtime`, built and run.

use integration_tests::command::run;
use integration_tests::host::needs_program;
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Value, cgroup, tests};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

pub const TESTS: &[Test] = tests![example_runs_a_container_and_leaves_nothing];

fn example_runs_a_container_and_leaves_nothing() {
    let example = built("run");
    let bundle = Bundle::new().script("echo from $0 $$; exit 7");
    let called = |bundle: &Bundle| {
        let mut command = Command::new(&example);
        command.arg(bundle.state_root()).arg(bundle.id()).arg(bundle.path());
        run(command)
    };
    let output = called(&bundle);
    assert_eq!((output.stdout.as_str(), output.code), ("from /bin/sh 1\n", 7));
    assert_eq!(output.stderr, "");
    assert_eq!(fs::read_dir(bundle.state_root()).unwrap().count(), 0);
    assert!(cgroup::named(bundle.id()).is_empty());

    let bundle = bundle.args(&["/nope"]);
    let _ = called(&bundle).failed_with("exec: \"/nope\"");
    assert!(cgroup::named(bundle.id()).is_empty());
}

/// The example of `runtime` by this name, as cargo builds it.
fn built(name: &str) -> PathBuf {
    let Some(cargo) = env::var_os("CARGO") else { skip("cargo test does not run this") };
    let _ = needs_program("cc");
    let mut command = Command::new(cargo);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.args(["build", "--quiet", "--locked", "--package", "rind-runtime", "--example", name]);
    let output = command.args(["--message-format", "json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut programs = messages.filter_map(|message| Some(message["executable"].as_str()?.into()));
    programs.next().unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}
