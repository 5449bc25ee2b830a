//! That the monitor of a whole run sees what it is there for: see `integration_tests::monitor`.

use integration_tests::host::{needs_program, wait_for};
use integration_tests::machine::Run;
use integration_tests::monitor::{ended, watcher};
use integration_tests::test::Test;
use integration_tests::{Bundle, binary, command, tests};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

pub const TESTS: &[Test] = tests![process_that_can_be_reached_is_seen, what_is_left_is_seen];

/// One of root's that has no capability is one of whoever is root without any.
fn process_that_can_be_reached_is_seen() {
    let setpriv = needs_program("setpriv");
    let bundle = Bundle::new();
    let program = bundle.folder().join("victim");
    fs::hard_link(bundle.rootfs().join("bin/probe"), &program).unwrap();
    let mut bare = watcher(0, &program);
    let user = watcher(65534, &program);
    let mut said = BufReader::new(bare.stdout.take().unwrap());
    let mut victims = Vec::new();
    let mut first = String::new();
    let mut victim = || {
        let mut command = Command::new(&setpriv);
        command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(&program).arg("sleep");
        victims.push(command::spawn(command));
    };
    // One that is there before who looks at it is not seen.
    wait_for("the watcher", || {
        victim();
        command::readable(said.get_ref(), Duration::from_millis(50))
    });
    said.read_line(&mut first).unwrap();
    assert!(first.contains(" of ") && first.contains("victim"), "{first}");
    bare.stdout = Some(said.into_inner());
    let (_, looked) = ended(bare).unwrap();
    assert!(looked.starts_with("looked "), "{looked}");
    let (got, _) = ended(user).unwrap();
    assert!(got.is_empty(), "a user is not root: {got:?}");
}

fn what_is_left_is_seen() {
    let bundle = Bundle::new();
    let names = [format!("{}-left", bundle.id())];
    let run = Run { names: &names, program: binary::rind(), pid: -1 };
    let before = run.look();
    let path = bundle.folder().join(&names[0]);
    let _listener = UnixListener::bind(&path).unwrap();
    let mut command = Command::new(needs_program("python3"));
    command.args(["-c", "import time; time.sleep(1000)", &names[0]]);
    let _process = command::spawn(command);
    let stays = run.differences(&before, Duration::ZERO);
    for kind in ["socket ", "process "] {
        assert!(stays.iter().any(|line| line.starts_with(kind)), "{kind}: {stays:?}");
    }
    assert!(stays.iter().all(|line| line.contains(&names[0])), "{stays:?}");
}
