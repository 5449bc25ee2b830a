//! Containers with a terminal: handed out over the console socket, or relayed by `run`.

use integration_tests::binary;
use integration_tests::command::{Running, spawn_bare};
use integration_tests::console::{DescriptorSocket, Terminal};
use integration_tests::host::wait_for;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs::File;
use std::process::{Command, Stdio};
use sys::nix::pty::openpty;
use sys::nix::sys::termios::{LocalFlags, OutputFlags, tcgetattr};
use sys::terminal::{Size, set_size};

pub const TESTS: &[Test] = tests![
    console_socket_gets_a_master_that_works,
    process_has_the_terminal,
    only_standard_descriptors_are_open,
    dev_console_is_the_terminal,
    console_size_is_set,
    console_size_is_ignored_without_a_terminal,
    terminal_belongs_to_the_user,
    interrupt_character_reaches_the_process,
    create_needs_a_socket,
    detached_run_needs_a_socket,
    socket_without_a_terminal_is_refused,
    socket_that_nobody_listens_to_is_refused,
    run_relays_the_callers_terminal,
    run_sets_the_callers_terminal_raw_and_back,
    run_passes_typed_interrupts_on,
    run_passes_size_changes_on,
    run_starts_with_the_callers_size,
    run_works_without_a_terminal_of_its_own,
    no_terminal_means_none,
];

fn with_terminal(bundle: Bundle) -> Bundle {
    bundle.config(|config| config["process"]["terminal"] = json!(true))
}

/// Creates and starts it; its terminal came over the console socket.
fn on_console(bundle: Bundle) -> (Container, Terminal) {
    let mut container = Container::new(with_terminal(bundle));
    let socket = DescriptorSocket::listen(&container.bundle().folder().join("console.sock"));
    container.create(&["--console-socket", socket.path()]);
    let (master, _) = socket.receive();
    container.start();
    (container, Terminal::new(master))
}

/// What the probe reports of itself on a terminal.
fn report_on_console(bundle: Bundle) -> Value {
    let (container, mut terminal) = on_console(bundle.probing(&["report"]));
    let text = terminal.read_to_end();
    container.wait_stopped();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

fn console_socket_gets_a_master_that_works() {
    let (container, mut terminal) =
        on_console(Bundle::new().script("read line; echo \"got $line\""));
    terminal.type_in("something\n");
    assert!(terminal.read_until("got something\n").starts_with("something\n"), "no echo");
    container.wait_stopped();
}

fn process_has_the_terminal() {
    let seen = report_on_console(Bundle::new());
    assert_eq!(seen["terminal"]["controlling"], true);
    assert_eq!(seen["sid"], 1);
    for number in ["0", "1", "2"] {
        let name = seen["descriptors"][number].as_str().unwrap();
        assert!(name.starts_with("/dev/pts/") || name == "/dev/console", "{number}: {name}");
    }
}

fn only_standard_descriptors_are_open() {
    let seen = report_on_console(Bundle::new());
    let open: Vec<&String> = seen["descriptors"].as_object().unwrap().keys().collect();
    assert_eq!(open, ["0", "1", "2"]);
}

fn dev_console_is_the_terminal() {
    let bundle = Bundle::new().probing(&["stat", "/dev/console", "/dev/pts/0"]);
    let (_container, mut terminal) = on_console(bundle);
    let seen: Value = serde_json::from_str(&terminal.read_to_end()).unwrap();
    assert_eq!(seen[0]["type"], "character device");
    assert_eq!((&seen[0]["readable"], &seen[0]["writable"]), (&json!("yes"), &json!("yes")));
    for number in ["major", "minor"] {
        assert_eq!(seen[0][number], seen[1][number], "the same device as the terminal's: {number}");
    }
    // Unix98 pseudo-terminals are the majors from 136 on.
    assert_eq!(seen[0]["major"], 136);
}

fn console_size_is_set() {
    let size = json!({ "height": 33, "width": 77 });
    let seen =
        report_on_console(Bundle::new().config(|config| config["process"]["consoleSize"] = size));
    assert_eq!((&seen["terminal"]["rows"], &seen["terminal"]["columns"]), (&json!(33), &json!(77)));
}

fn console_size_is_ignored_without_a_terminal() {
    let size = json!({ "height": 33, "width": 77 });
    let seen = Bundle::new().config(|config| config["process"]["consoleSize"] = size).report();
    assert_eq!(seen["terminal"], Value::Null);
}

fn terminal_belongs_to_the_user() {
    let bundle = Bundle::new()
        .probing(&["stat", "/dev/pts/0"])
        .config(|config| config["process"]["user"]["uid"] = json!(1234));
    let (_container, mut terminal) = on_console(bundle);
    let seen: Value = serde_json::from_str(&terminal.read_to_end()).unwrap();
    assert_eq!(seen[0]["uid"], 1234);
    assert_eq!((&seen[0]["readable"], &seen[0]["writable"]), (&json!("yes"), &json!("yes")));
}

fn interrupt_character_reaches_the_process() {
    let (_container, mut terminal) = on_console(Bundle::new().probing(&["sleep"]));
    terminal.read_until("ready\n");
    terminal.type_in("\x03");
    terminal.read_until("SIGINT\n");
}

fn create_needs_a_socket() {
    with_terminal(Bundle::new()).refused("console socket");
}

fn detached_run_needs_a_socket() {
    let container = Container::new(with_terminal(Bundle::new()));
    let _ = container.call("run", &["--detach"]).failed_with("console socket");
    container.assert_no_trace();
}

fn socket_without_a_terminal_is_refused() {
    let container = Container::new(Bundle::new());
    let socket = DescriptorSocket::listen(&container.bundle().folder().join("console.sock"));
    let _ = container
        .call("create", &["--console-socket", socket.path()])
        .failed_with("console socket");
    container.assert_no_trace();
}

fn socket_that_nobody_listens_to_is_refused() {
    let container = Container::new(with_terminal(Bundle::new()));
    let path = container.bundle().folder().join("nobody.sock");
    let output = container.call("create", &["--console-socket", path.to_str().unwrap()]);
    let _ = output.failed_with("nobody.sock");
    container.assert_no_trace();
}

/// `run` of the container on a terminal that the caller has; gives the other end of that.
fn run_on_terminal(container: &Container, size: Size) -> (Running, Terminal) {
    let pair = openpty(None, None).expect("openpty");
    set_size(&pair.master, size).unwrap();
    let slave = sys::nix::unistd::ttyname(&pair.slave).unwrap();
    let runtime = container.command_for("run", &[]);
    let mut command = Command::new(binary::probe());
    command.arg("session").arg(slave).arg(runtime.get_program()).args(runtime.get_args());
    // The session's own come from the terminal; these it never uses.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let running = spawn_bare(command);
    // The slave stays open in the test until its child has opened it, or the master would see EOF.
    wait_for("the session to have its terminal", || {
        let held = std::fs::read_link(format!("/proc/{}/fd/0", running.pid()));
        held.is_ok_and(|target| target.starts_with("/dev/pts"))
            || !integration_tests::host::is_alive(running.pid())
    });
    (running, Terminal::new(pair.master))
}

const SIZE: Size = Size { rows: 24, columns: 80 };

fn run_relays_the_callers_terminal() {
    let bundle = with_terminal(Bundle::new()).script("read line; echo \"got $line\"; exit 3");
    let container = Container::new(bundle);
    let (running, mut terminal) = run_on_terminal(&container, SIZE);
    terminal.type_in("words\n");
    // The inner terminal sends a bare newline; what the outer makes of it is its own setting.
    assert!(terminal.read_until("got words").contains("words"));
    assert_eq!(running.wait().code, 3);
    container.assert_no_trace();
}

fn run_sets_the_callers_terminal_raw_and_back() {
    let container = Container::new(with_terminal(Bundle::new()).probing(&["sleep"]));
    let (running, mut terminal) = run_on_terminal(&container, SIZE);
    let cooked = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    terminal.read_until("ready");
    let flags = tcgetattr(&terminal).unwrap().local_flags;
    assert!(!flags.intersects(cooked), "while it runs: {flags:?}");
    container.kill("TERM");
    assert_eq!(running.wait().code, 0);
    let after = tcgetattr(&terminal).unwrap();
    assert!(after.local_flags.contains(cooked), "afterwards: {:?}", after.local_flags);
    assert!(after.output_flags.contains(OutputFlags::OPOST));
}

fn run_passes_typed_interrupts_on() {
    let container = Container::new(with_terminal(Bundle::new()).probing(&["sleep"]));
    let (running, mut terminal) = run_on_terminal(&container, SIZE);
    terminal.read_until("ready");
    terminal.type_in("\x03");
    terminal.read_until("SIGINT");
    terminal.type_in("\x1c");
    terminal.read_until("SIGQUIT");
    container.kill("TERM");
    assert_eq!(running.wait().code, 0);
}

fn run_passes_size_changes_on() {
    let container = Container::new(with_terminal(Bundle::new()).probing(&["sleep"]));
    let (running, mut terminal) = run_on_terminal(&container, SIZE);
    terminal.read_until("ready");
    // The kernel tells the terminal's foreground process, which is the runtime.
    set_size(&terminal, Size { rows: 55, columns: 99 }).unwrap();
    terminal.read_until("55 rows, 99 columns");
    container.kill("TERM");
    assert_eq!(running.wait().code, 0);
}

fn run_starts_with_the_callers_size() {
    let container = Container::new(with_terminal(Bundle::new()).probing(&["report"]));
    let (running, mut terminal) = run_on_terminal(&container, Size { rows: 41, columns: 101 });
    let text = terminal.read_to_end();
    assert_eq!(running.wait().code, 0);
    let seen: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(
        (&seen["terminal"]["rows"], &seen["terminal"]["columns"]),
        (&json!(41), &json!(101))
    );
}

fn run_works_without_a_terminal_of_its_own() {
    let container = Container::new(with_terminal(Bundle::new()).script("echo one; echo two"));
    let mut command = container.command_for("run", &[]);
    command.stdin(File::open("/dev/null").unwrap());
    let output = integration_tests::command::spawn_reading(command).wait().succeeded();
    assert_eq!(output.stdout, "one\ntwo\n");
}

fn no_terminal_means_none() {
    let seen = Bundle::new().report();
    assert_eq!(seen["terminal"], Value::Null);
    assert_eq!(Bundle::new().stat("/dev/console")["error"], "ENOENT");
}
