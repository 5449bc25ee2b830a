//! `NOTIFY_SOCKET`: that a container's program is ready reaches the service manager, and nothing
//! else does.

use integration_tests::command::{self, Running, readable};
use integration_tests::host::wait_for;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, tests};
use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;
use sys::socket;

pub const TESTS: &[Test] = tests![
    run_in_the_foreground_passes_it_on,
    run_detached_waits_until_it_is_ready,
    start_waits_until_it_is_ready,
    an_abstract_name_will_do,
    only_that_it_is_ready_is_passed_on,
    one_that_ends_before_is_waited_for_no_longer,
    a_manager_that_is_gone_is_a_warning,
    what_is_no_socket_is_a_warning,
    an_empty_variable_is_none,
    others_can_change_it_while_start_waits,
    what_is_in_the_folder_goes_with_the_state,
    it_works_in_a_user_namespace,
];

const INSIDE: &str = "/run/notify/notify.sock";

/// A manager that listens.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn at(bundle: &Bundle) -> Self {
        let path = bundle.folder().join("manager.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::of(socket, path.to_str().unwrap().to_owned())
    }

    fn named(bundle: &Bundle) -> Self {
        let name = format!("rind-test-{}", bundle.id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
    }

    fn of(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, name }
    }

    /// The command, as a service of this manager's.
    fn has(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", &self.name);
        command
    }

    /// Takes the next message; what comes along is closed.
    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let (length, _) = socket::receive(&self.socket, &mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Takes all that is said of one that is ready.
    #[track_caller]
    fn expect(&self, pid: i32) {
        assert_eq!(self.next(), "READY=1\n");
        assert_eq!(self.next(), format!("MAINPID={pid}\n"));
        let mut buffer = [0; 64];
        let (length, came) = socket::receive(&self.socket, &mut buffer).expect("a message");
        assert_eq!((&buffer[..length], came.len()), (&b"BARRIER=1"[..], 1));
    }

    #[track_caller]
    fn expect_silence(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let answer = self.socket.recv(&mut [0; 64]);
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
    }
}

/// A container that sends these, and sleeps.
fn telling(bundle: Bundle, messages: &[&str]) -> Container {
    Container::new(bundle.probing(&[&["notify"], messages].concat()))
}

/// Where the container's socket is, as the host sees it.
fn socket_of(container: &Container) -> std::path::PathBuf {
    container.root().join(container.id()).join("notify/notify.sock")
}

fn start(container: &Container, manager: &Manager) -> Running {
    command::spawn(manager.has(container.command_for("start", &[])))
}

fn run_in_the_foreground_passes_it_on() {
    let bundle = Bundle::new();
    let manager = Manager::at(&bundle);
    let container = telling(bundle, &["STATUS=nearly", "STATUS=now\\nREADY=1", "STATUS=late"]);
    let running = command::spawn(manager.has(container.command_for("run", &[])));
    // It's this process that the manager has started, and that stays.
    manager.expect(running.pid());
    running.wait_line("ready");
    assert!(running.stdout().starts_with(INSIDE), "{}", running.stdout());
    wait_for("the socket to be removed", || !socket_of(&container).exists());
    running.signal(15);
    let _ = running.wait().succeeded();
    manager.expect_silence();
    container.assert_no_trace();
}

fn run_detached_waits_until_it_is_ready() {
    let bundle = Bundle::new();
    let manager = Manager::at(&bundle);
    let container = telling(bundle, &["STATUS=nearly", "READY=1"]);
    let running = command::spawn(manager.has(container.command_for("run", &["--detach"])));
    assert_eq!(manager.next(), "READY=1\n");
    let pid = container.pid();
    assert_eq!(manager.next(), format!("MAINPID={pid}\n"));
    // What comes with the last message is open until it is taken.
    assert!(!readable(
        sys::process::pidfd_open(running.pid()).unwrap(),
        Duration::from_millis(100)
    ));
    assert_eq!(manager.next(), "BARRIER=1");
    let _ = running.wait().succeeded();
    assert!(!socket_of(&container).exists());
    container.stop();
    container.delete();
}

fn start_waits_until_it_is_ready() {
    let bundle = Bundle::new();
    let manager = Manager::at(&bundle);
    let mut container = telling(bundle, &["READY=1"]);
    container.make_by(manager.has(container.command_for("create", &[])));
    manager.expect_silence();
    assert!(!socket_of(&container).exists());
    let starting = start(&container, &manager);
    manager.expect(container.pid());
    let _ = starting.wait().succeeded();
    assert!(!socket_of(&container).exists());
    container.stop();
    container.delete();
    manager.expect_silence();
}

fn an_abstract_name_will_do() {
    let bundle = Bundle::new();
    let manager = Manager::named(&bundle);
    let container = telling(bundle, &["READY=1"]);
    let running = command::spawn(manager.has(container.command_for("run", &[])));
    manager.expect(running.pid());
    running.wait_line("ready");
    running.signal(15);
    let _ = running.wait().succeeded();
}

/// The manager believes us: a container could have it kill another process, or end the service.
fn only_that_it_is_ready_is_passed_on() {
    let bundle = Bundle::new();
    let manager = Manager::at(&bundle);
    let long = "X=".repeat(4000) + "\\nREADY=1";
    let many = vec!["FDSTORE=1\\nMAINPID=1"; 100];
    let hostile = ["MAINPID=1", "STOPPING=1", "READY=0", "READY=10", "XREADY=1", " READY=1", &long];
    let messages =
        [&hostile[..], &many, &["MAINPID=1\\nREADY=1\\nSTOPPING=1\\nMAINPID=2"]].concat();
    let container = telling(bundle, &messages);
    let running = command::spawn(manager.has(container.command_for("run", &[])));
    manager.expect(running.pid());
    running.wait_line("ready");
    running.signal(15);
    let _ = running.wait().succeeded();
    manager.expect_silence();
}

fn one_that_ends_before_is_waited_for_no_longer() {
    for name in ["run", "run --detach", "start"] {
        let bundle = Bundle::new().probing(&["exit", "3"]);
        let manager = Manager::at(&bundle);
        let mut container = Container::new(bundle);
        let flags: &[&str] = if name == "run --detach" { &["--detach"] } else { &[] };
        let output = if name == "start" {
            container.make_by(manager.has(container.command_for("create", &[])));
            start(&container, &manager).wait()
        } else {
            command::run(manager.has(container.command_for("run", flags)))
        };
        assert_eq!(output.code, if name == "run" { 3 } else { 0 }, "{output:#?}");
        assert_eq!(output.stderr, "", "{output:#?}");
        manager.expect_silence();
    }
}

fn a_manager_that_is_gone_is_a_warning() {
    let bundle = Bundle::new();
    let manager = Manager::at(&bundle);
    fs::remove_file(bundle.folder().join("manager.sock")).unwrap();
    let container = telling(bundle, &["READY=1"]);
    let output = command::run(manager.has(container.command_for("run", &["--detach"])));
    assert!(output.code == 0 && output.stderr.contains("NOTIFY_SOCKET: telling "), "{output:#?}");
    container.stop();
}

fn what_is_no_socket_is_a_warning() {
    for name in ["relative/path", "vsock:2:1234", "@", "/"] {
        let container = Container::new(Bundle::new());
        let mut command = container.command_for("run", &[]);
        command.env("NOTIFY_SOCKET", name);
        let output = command::run(command);
        assert!(output.code == 0 && output.stderr.contains("NOTIFY_SOCKET: "), "{output:#?}");
    }
}

fn an_empty_variable_is_none() {
    let container = Container::new(Bundle::new().with_shell().args(&["ls", "/run"]));
    let mut command = container.command_for("run", &[]);
    command.env("NOTIFY_SOCKET", "");
    assert!(command::run(command).stdout.is_empty());
}

/// It has no lock by then.
fn others_can_change_it_while_start_waits() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let manager = Manager::at(&bundle);
    let mut container = Container::new(bundle);
    container.make_by(manager.has(container.command_for("create", &[])));
    let starting = start(&container, &manager);
    container.wait_line("ready");
    container.stop();
    container.delete();
    let _ = starting.wait().succeeded();
    manager.expect_silence();
}

/// One that may mount can make it writable.
fn what_is_in_the_folder_goes_with_the_state() {
    let bundle = Bundle::new();
    let manager = Manager::at(&bundle);
    let kept = bundle.folder().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    let mut container = telling(bundle, &["READY=1"]);
    container.make_by(manager.has(container.command_for("create", &[])));
    let folder = container.root().join(container.id()).join("notify");
    fs::create_dir_all(folder.join("a/b/c")).unwrap();
    fs::write(folder.join("a/b/file"), "").unwrap();
    std::os::unix::fs::symlink(&kept, folder.join("a/link")).unwrap();
    let starting = start(&container, &manager);
    manager.expect(container.pid());
    let _ = starting.wait().succeeded();
    container.stop();
    container.delete();
    assert!(kept.join("file").exists());
}

fn it_works_in_a_user_namespace() {
    let bundle = Bundle::new().namespace("user", None).config(|config| {
        let mapping = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
        config["process"]["user"] = serde_json::json!({ "uid": 7, "gid": 7 });
    });
    let manager = Manager::at(&bundle);
    // Its root may not make one.
    fs::create_dir(bundle.rootfs().join("run")).unwrap();
    let run = serde_json::json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs" });
    let container = telling(bundle.mount(run), &["READY=1"]);
    let running = command::spawn(manager.has(container.command_for("run", &[])));
    manager.expect(running.pid());
    running.wait_line("ready");
    running.signal(15);
    let _ = running.wait().succeeded();
}
