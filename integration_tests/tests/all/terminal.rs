//! Processes with a terminal: handed out over the console socket, or relayed by `run` and `exec`.

use integration_tests::binary;
use integration_tests::command::{Running, spawn_bare};
use integration_tests::console::{DescriptorSocket, Terminal};
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs::File;
use std::io::Read;
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
    exec_has_a_terminal_of_its_own,
    exec_on_the_console_socket,
    exec_sets_the_configured_size,
    exec_relays_the_callers_terminal,
    colours_are_for_terminals_that_have_them,
    chart_fits_the_terminal,
    exec_loses_none_of_the_output,
    exec_needs_somebody_to_take_the_terminal,
    exec_without_devpts_is_an_error,
    failure_on_a_terminal_has_its_hint_on_a_line_of_its_own,
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
    on_terminal(&container.command_for("run", &[]), size)
}

/// A command of the runtime's on a terminal that the caller has; gives the other end of that.
fn on_terminal(runtime: &Command, size: Size) -> (Running, Terminal) {
    let pair = openpty(None, None).expect("openpty");
    set_size(&pair.master, size).unwrap();
    let slave = sys::nix::unistd::ttyname(&pair.slave).unwrap();
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

fn exec_has_a_terminal_of_its_own() {
    let container = Container::running(Bundle::new());
    let seen = container.exec_report(&["--tty"]);
    assert_eq!(seen["terminal"]["controlling"], true);
    assert_eq!(seen["terminal"]["newline_to_crnl"], false);
    assert_eq!(seen["sid"], seen["pid"]);
    for number in ["0", "1", "2"] {
        assert_eq!(seen["descriptors"][number], "/dev/pts/0", "{number}");
    }
    assert_eq!(seen["descriptors"].as_object().unwrap().len(), 3);
    assert_eq!(container.exec_report(&[])["terminal"], Value::Null);
    let program = ["/bin/probe", "stat", "/dev/pts/0"];
    let seen = container.exec(&["-t", "--user", "1234"], &program).succeeded().json();
    assert_eq!((&seen[0]["uid"], &seen[0]["writable"]), (&json!(1234), &json!("yes")));
}

fn exec_on_the_console_socket() {
    let container = Container::running(Bundle::new().with_shell());
    let socket = DescriptorSocket::listen(&container.bundle().folder().join("console.sock"));
    let flags = ["--detach", "--tty", "--console-socket", socket.path()];
    let program = ["sh", "-c", "read line; echo \"got $line\""];
    let _ = container.exec(&flags, &program).succeeded();
    let (master, _) = socket.receive();
    let mut terminal = Terminal::new(master);
    terminal.type_in("something\n");
    assert!(terminal.read_to_end().ends_with("got something\n"));
}

fn exec_sets_the_configured_size() {
    let container = Container::running(Bundle::new());
    let process = json!({
        "args": ["/bin/probe", "report"],
        "cwd": "/",
        "terminal": true,
        "consoleSize": { "height": 33, "width": 77 },
    });
    let path = container.bundle().folder().join("process.json");
    std::fs::write(&path, process.to_string()).unwrap();
    let seen = container.exec(&["-p", path.to_str().unwrap()], &[]).succeeded().json();
    assert_eq!((&seen["terminal"]["rows"], &seen["terminal"]["columns"]), (&json!(33), &json!(77)));
}

/// Where the user wants them, too; what is no terminal gets none.
fn colours_are_for_terminals_that_have_them() {
    let env = needs_program("env");
    let container = Container::new(Bundle::new().probing(&["exit", "0"]));
    let help = || vec![binary::rind().display().to_string(), "--help".to_owned()];
    let list = || {
        let root = container.root().display().to_string();
        std::fs::create_dir_all(&root).unwrap();
        vec![binary::rind().display().to_string(), "--root".to_owned(), root, "list".to_owned()]
    };
    for (variables, words, heading, has_them) in [
        (["TERM=xterm", "NO_COLOR="], help(), "commands:", true),
        (["TERM=xterm", "NO_COLOR=1"], help(), "commands:", false),
        (["TERM=dumb", "NO_COLOR="], help(), "commands:", false),
        (["TERM=", "NO_COLOR="], help(), "commands:", false),
        (["TERM=xterm", "NO_COLOR="], list(), "ID          PID", true),
        (["TERM=xterm", "NO_COLOR=1"], list(), "ID          PID", false),
    ] {
        let mut command = Command::new(&env);
        command.args(variables).args(&words);
        let (running, mut terminal) = on_terminal(&command, SIZE);
        let shown = terminal.read_until(heading);
        assert_eq!(shown.contains('\u{1b}'), has_them, "{variables:?} {words:?}: {shown:?}");
        drop(running);
    }
}

/// Bars, too, have their colours; and a line has no more characters than the terminal.
fn chart_fits_the_terminal() {
    let shell = needs_program("sh");
    let container = Container::new(Bundle::new().probing(&["exit", "0"]));
    let run = container.command_for("run", &["--timing"]);
    let script = "export TERM=xterm NO_COLOR=$0; exec \"$@\" 2>&1";
    for (no, has_them) in [("1", false), ("", true)] {
        let mut command = Command::new(&shell);
        command.args(["-c", script, no]).arg(run.get_program()).args(run.get_args());
        let (running, mut terminal) = on_terminal(&command, SIZE);
        let chart = terminal.read_until("\nslowest: ");
        assert_eq!(chart.contains('\u{1b}'), has_them, "{chart:?}");
        let widest = chart.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(has_them || widest <= 80, "{widest} columns:\n{chart}");
        assert_eq!(running.wait().code, 0);
    }
}

fn exec_relays_the_callers_terminal() {
    let container = Container::running(Bundle::new().with_shell());
    let (running, mut terminal) =
        on_terminal(&container.exec_command(&["--tty"], &["/bin/probe", "sleep", "5"]), SIZE);
    terminal.read_until("ready");
    let cooked = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    let flags = tcgetattr(&terminal).unwrap().local_flags;
    assert!(!flags.intersects(cooked), "while it runs: {flags:?}");
    terminal.type_in("\x03");
    terminal.read_until("SIGINT");
    set_size(&terminal, Size { rows: 55, columns: 99 }).unwrap();
    terminal.read_until("55 rows, 99 columns");
    running.signal(sys::nix::libc::SIGTERM);
    assert_eq!(running.wait().code, 5);
    let after = tcgetattr(&terminal).unwrap().local_flags;
    assert!(after.contains(cooked), "afterwards: {after:?}");
    let size = Size { rows: 41, columns: 101 };
    let (running, mut terminal) =
        on_terminal(&container.exec_command(&["-t"], &["/bin/probe", "report"]), size);
    let seen: Value = serde_json::from_str(&terminal.read_to_end()).unwrap();
    assert_eq!(
        (&seen["terminal"]["rows"], &seen["terminal"]["columns"]),
        (&json!(41), &json!(101))
    );
    assert_eq!(running.wait().code, 0);
}

/// More than a terminal holds, of which the end is written just before the process ends.
fn exec_loses_none_of_the_output() {
    let container = Container::running(Bundle::new().with_shell());
    let numbers: Vec<String> = (1..=5000).map(|number: u32| number.to_string()).collect();
    let expected = numbers.join("\n") + "\n";
    for _ in 0..10 {
        let output = container.exec(&["--tty"], &["busybox", "seq", "1", "5000"]).succeeded();
        assert_eq!(output.stdout.len(), expected.len());
        assert!(output.stdout == expected, "{output:#?}");
    }
}

fn exec_needs_somebody_to_take_the_terminal() {
    let container = Container::running(Bundle::new());
    let socket = DescriptorSocket::listen(&container.bundle().folder().join("console.sock"));
    for flags in [
        &["--detach", "--tty"][..],
        &["--detach", "--console-socket", socket.path()],
        &["--tty", "--console-socket", socket.path()],
    ] {
        let output = container.exec(flags, &["/bin/probe", "exit", "0"]);
        assert_eq!(output.failed_with("console socket").code, 255, "{flags:?}");
    }
}

fn exec_without_devpts_is_an_error() {
    let container = Container::running(Bundle::new().without_mount("/dev/pts"));
    let output = container.exec(&["--tty"], &["/bin/probe", "exit", "0"]);
    let output = output.failed_with("making the terminal (process.terminal)");
    assert_eq!((output.code, output.stderr.lines().count()), (255, 1), "{output:#?}");
}

/// What `state` of an unknown container says on a terminal, in such an environment.
fn told_on_a_terminal(environment: &[(&str, &str)]) -> String {
    let container = Container::new(Bundle::new());
    let pair = openpty(None, None).expect("openpty");
    let mut command = container.command(&["state", "unknown"]);
    command.env_remove("NO_COLOR").envs(environment.iter().copied()).stderr(pair.slave);
    assert_eq!(command.status().unwrap().code(), Some(1));
    drop(command);
    let mut text = String::new();
    // With the last writer gone, reading a master fails at the end.
    let _ = File::from(pair.master).read_to_string(&mut text);
    text
}

fn failure_on_a_terminal_has_its_hint_on_a_line_of_its_own() {
    for environment in [[("TERM", "dumb"), ("X", "")], [("TERM", "xterm"), ("NO_COLOR", "1")]] {
        let text = told_on_a_terminal(&environment);
        let lines: Vec<&str> = text.lines().collect();
        let [told, hint] = lines[..] else { panic!("{text}") };
        assert_eq!(told, "rind: container \"unknown\" does not exist");
        assert!(hint.starts_with("hint: rind list "), "{text}");
    }
    let coloured = told_on_a_terminal(&[("TERM", "xterm")]);
    assert!(coloured.contains("\u{1b}[1;31mrind:\u{1b}[0m "), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[1;36mhint:\u{1b}[0m "), "{coloured:?}");
}
