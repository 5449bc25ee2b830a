//! Checkpoints, and containers made of them, with a real criu.

use integration_tests::cgroup::{folder_of, value};
use integration_tests::command::{Running, spawn_bare};
use integration_tests::console::{DescriptorSocket, Terminal};
use integration_tests::criu::{self, needs_criu};
use integration_tests::host::{is_alive, namespace, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Output, Value, binary, command, json, tests};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use sys::nix::pty::openpty;

pub const TESTS: &[Test] = tests![
    processes_go_on_where_they_were,
    restored_container_is_as_restricted_as_before,
    user_stays_who_it_was,
    container_goes_on_if_it_is_to,
    another_container_is_made_of_the_same_image,
    pipes_are_those_of_the_caller,
    null_device_of_the_host_is_no_hindrance,
    sources_of_bind_mounts_are_the_configs,
    mount_points_are_made,
    content_of_tmpfs_is_in_the_image,
    terminal_goes_to_the_console_socket,
    terminal_without_a_socket_is_refused,
    terminal_of_the_caller_is_refused_before_the_container_is_gone,
    joined_namespaces_are_those_of_the_config,
    user_namespace_is_restored,
    connections_are_restored_if_allowed,
    failed_checkpoint_leaves_the_container_running,
    locks_and_unlinked_files_are_taken_along_if_allowed,
    killed_criu_leaves_the_container_running,
    failed_restore_leaves_nothing,
    foreground_restore_passes_signals_and_status_on,
    paused_container_can_be_checkpointed,
    hooks_run_again,
    failing_hook_fails_the_restore,
    work_path_has_the_log,
    options_of_a_file_are_read,
    memory_is_written_down_beforehand_where_the_kernel_can,
    memory_can_be_fetched_once_the_status_says_so,
    status_must_be_running,
    criu_that_is_missing_is_told,
    criu_that_forgets_no_new_privs_is_refused,
    image_without_no_new_privs_is_refused,
    wrong_flags_are_refused,
    taken_id_is_refused_without_effect,
    container_with_mapped_mount_is_refused,
    container_without_mount_namespace_is_refused,
];

/// A container whose stdout is a file of its folder, as an image of a file in memory has a copy.
pub struct Box {
    pub container: Container,
    /// Where images of it go.
    images: PathBuf,
}

impl Box {
    fn new(mut bundle: Bundle) -> Self {
        let _ = needs_criu();
        if criu::forgets_no_new_privs() {
            bundle = bundle.config(|config| config["process"]["noNewPrivileges"] = json!(false));
        }
        let images = bundle.folder().join("image");
        Self { container: Container::new(bundle), images }
    }

    /// A container that has begun to print.
    pub fn running(bundle: Bundle) -> Self {
        let container = Self::new(bundle);
        let _ = container.to_file("run", &["--detach"]).succeeded();
        wait_for("the first line", || !container.lines().is_empty());
        container
    }

    /// Another one that is made of the image of `other`.
    fn beside(other: &Self, mut bundle: Bundle) -> Self {
        if criu::forgets_no_new_privs() {
            bundle = bundle.config(|config| config["process"]["noNewPrivileges"] = json!(false));
        }
        let container = Container::beside(&other.container, bundle);
        Self { container, images: other.images.clone() }
    }

    fn output(&self) -> PathBuf {
        self.container.bundle().folder().join("output")
    }

    /// What it has printed.
    fn text(&self) -> String {
        fs::read_to_string(self.output()).unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    }

    /// The last number that it has printed, and the pid that it had then.
    fn last(&self) -> (i32, u64) {
        let lines = self.lines();
        let (pid, number) = lines.last().and_then(|line| line.split_once(' ')).expect("a line");
        (pid.parse().expect("a pid"), number.parse().expect("a number"))
    }

    fn goes_on_from(&self, number: u64) {
        wait_for("it to go on counting", || self.last().1 > number + 2);
        let lines = self.lines();
        let numbers: Vec<u64> =
            lines.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap: {lines:?}");
    }

    /// `name FLAGS ID` with criu and the image's place.
    fn command(&self, name: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(binary::rind());
        command.arg("--root").arg(self.container.root()).arg("--criu").arg(needs_criu());
        command.arg(name);
        if matches!(name, "run" | "restore") {
            command.arg("--bundle").arg(self.container.bundle().path());
        }
        if matches!(name, "checkpoint" | "restore") {
            command.arg("--image-path").arg(&self.images);
        }
        command.args(flags).arg(self.container.id());
        command
    }

    /// The same, with the container's file as stdout; stderr is kept.
    fn spawn_to_file(&self, name: &str, flags: &[&str]) -> (Running, PathBuf) {
        let errors = self.container.bundle().folder().join("errors");
        let file = OpenOptions::new().append(true).create(true).open(self.output()).unwrap();
        let mut command = self.command(name, flags);
        command.stdin(Stdio::null()).stdout(file);
        command.stderr(OpenOptions::new().append(true).create(true).open(&errors).unwrap());
        (spawn_bare(command), errors)
    }

    fn to_file(&self, name: &str, flags: &[&str]) -> Output {
        let (running, errors) = self.spawn_to_file(name, flags);
        let output = running.wait();
        Output { stderr: fs::read_to_string(errors).unwrap(), ..output }
    }

    /// Checkpoints it; it is gone then.
    pub fn checkpoint(&self, flags: &[&str]) {
        let _ = command::run(self.command("checkpoint", flags)).succeeded();
        self.container.assert_no_trace();
    }

    pub fn restore(&self, flags: &[&str]) {
        let _ = self.to_file("restore", &[&["--detach"], flags].concat()).succeeded();
        assert_eq!(self.container.status(), "running");
    }
}

fn counting() -> Bundle {
    Bundle::new().probing(&["count"])
}

fn processes_go_on_where_they_were() {
    let counter = Box::running(counting());
    let (inside, _) = counter.last();
    counter.checkpoint(&[]);
    let (_, number) = counter.last();
    let file = counter.container.bundle().folder().join("pid");
    counter.restore(&["--pid-file", file.to_str().unwrap()]);
    counter.goes_on_from(number);
    assert_eq!(counter.last().0, inside, "its pid in the container");
    assert_eq!(fs::read_to_string(file).unwrap(), counter.container.pid().to_string());
    counter.container.stop();
    counter.container.delete();
}

/// The lines of a process's status that tell what it may, and its mounts with their attributes.
fn restrictions(pid: i32) -> (Vec<String>, Vec<String>) {
    const WANTED: [&str; 6] = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp"];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let status = status.lines().filter(|line| WANTED.iter().any(|name| line.starts_with(name)));
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    // What is mounted, where, with which attributes; not the numbers.
    let mounts = mounts.lines().map(|line| line.split(' ').skip(3).take(3).collect::<Vec<_>>());
    let mut mounts: Vec<String> = mounts.map(|fields| fields.join(" ")).collect();
    mounts.sort_unstable();
    (status.map(str::to_owned).collect(), mounts)
}

fn restored_container_is_as_restricted_as_before() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }],
    });
    let counter = Box::running(counting().config(|config| config["linux"]["seccomp"] = profile));
    let before = restrictions(counter.container.pid());
    let is_root = |mount: &String| mount.contains("/rootfs / ro");
    assert!(before.1.iter().any(is_root), "{before:#?}");
    counter.checkpoint(&[]);
    counter.restore(&[]);
    assert_eq!(restrictions(counter.container.pid()), before);
}

fn user_stays_who_it_was() {
    if !may_ask_for_limits() {
        skip("criu needs CAP_SYS_RESOURCE to ask for another user's limits (prlimit(2))");
    }
    let user = json!({ "uid": 7, "gid": 8, "additionalGids": [9] });
    let counter = Box::running(counting().config(|config| config["process"]["user"] = user));
    let before = restrictions(counter.container.pid());
    counter.checkpoint(&[]);
    counter.restore(&[]);
    assert_eq!(restrictions(counter.container.pid()), before);
}

/// Whether this process has `CAP_SYS_RESOURCE`.
fn may_ask_for_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() >> CAP_SYS_RESOURCE & 1 == 1
}

fn container_goes_on_if_it_is_to() {
    let counter = Box::running(counting());
    let pid = counter.container.pid();
    let _ = command::run(counter.command("checkpoint", &["--leave-running"])).succeeded();
    let (_, number) = counter.last();
    assert_eq!((counter.container.pid(), counter.container.status().as_str()), (pid, "running"));
    counter.goes_on_from(number);
}

fn another_container_is_made_of_the_same_image() {
    let counter = Box::running(counting());
    let before = counter.container.pid();
    counter.checkpoint(&[]);
    let limited = |config: &mut Value| config["linux"]["resources"]["pids"]["limit"] = json!(77);
    let other = Box::beside(&counter, counting().config(limited));
    fs::copy(counter.output(), other.output()).unwrap();
    let (_, number) = other.last();
    other.restore(&[]);
    other.goes_on_from(number);
    let pid = other.container.pid();
    assert_ne!(pid, before);
    let cgroup = folder_of(pid, "pids");
    assert!(cgroup.to_string_lossy().contains(other.container.id()), "{}", cgroup.display());
    assert_eq!(value(&cgroup, "pids.max"), "77");
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(!table.contains(counter.container.id()), "{table}");
}

/// Runs `command` with the write end of a new pipe as stdout and stderr; gives the other one.
fn to_pipe(mut command: Command) -> PipeReader {
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    let ended = spawn_bare(command).wait();
    assert_eq!(ended.code, 0, "{}", ended.command);
    reader
}

fn pipes_are_those_of_the_caller() {
    let counter = Box::new(counting());
    let mut first = BufReader::new(to_pipe(counter.command("run", &["--detach"]))).lines();
    assert_eq!(first.next().unwrap().unwrap(), "1 1");
    counter.checkpoint(&[]);
    let last = first.map(Result::unwrap).last().unwrap();
    let descriptors = fs::read(counter.images.join("descriptors.json")).unwrap();
    let descriptors: Value = String::from_utf8(descriptors).unwrap().parse().unwrap();
    assert!(descriptors[1].as_str().unwrap().starts_with("pipe:["), "{descriptors}");
    let mut second = BufReader::new(to_pipe(counter.command("restore", &["--detach"]))).lines();
    let next: u64 = last.split(' ').nth(1).unwrap().parse::<u64>().unwrap() + 1;
    assert_eq!(second.next().unwrap().unwrap(), format!("1 {next}"));
}

fn null_device_of_the_host_is_no_hindrance() {
    let counter = Box::new(counting());
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    for name in ["run", "restore"] {
        let mut command = counter.command(name, &["--detach"]);
        command.stdin(null()).stdout(null()).stderr(null());
        assert_eq!(spawn_bare(command).wait().code, 0, "{name}");
        assert_eq!(counter.container.status(), "running");
        if name == "run" {
            counter.checkpoint(&[]);
        }
    }
}

/// Mounts the folder `name` of the bundle's at /data.
fn with_data(bundle: Bundle, name: &str) -> Bundle {
    let folder = bundle.folder().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(bundle.rootfs().join("data")).unwrap();
    bundle.mount(
        json!({ "destination": "/data", "type": "bind", "source": folder, "options": ["rbind"] }),
    )
}

fn sources_of_bind_mounts_are_the_configs() {
    let script =
        "i=0; while true; do i=$((i+1)); echo $i >> /data/out; echo 1 $i; sleep 0.05; done";
    let counter = Box::running(with_data(Bundle::new(), "one").script(script));
    counter.checkpoint(&[]);
    let other = Box::beside(&counter, with_data(Bundle::new(), "two").script(script));
    fs::copy(counter.output(), other.output()).unwrap();
    let (_, number) = other.last();
    other.restore(&[]);
    other.goes_on_from(number);
    let file = other.container.bundle().folder().join("two/out");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.lines().next().unwrap().parse::<u64>().unwrap() >= number, "{text}");
}

/// Where the root file system is a new one, they are not there.
fn mount_points_are_made() {
    let point = json!({ "destination": "/new/deep", "type": "tmpfs", "source": "tmpfs" });
    let counter = Box::running(counting().mount(point.clone()));
    counter.checkpoint(&[]);
    fs::remove_dir_all(counter.container.bundle().rootfs().join("new")).unwrap();
    counter.restore(&[]);
    assert!(counter.container.bundle().rootfs().join("new/deep").is_dir());
}

fn content_of_tmpfs_is_in_the_image() {
    let script = "echo something > /dev/shm/file; i=0; while [ ! -e /dev/shm/stop ]; do i=$((i+1)); \
        echo 1 $i; sleep 0.05; done; cat /dev/shm/file";
    let counter = Box::running(Bundle::new().script(script));
    counter.checkpoint(&[]);
    counter.restore(&[]);
    let inside = format!("/proc/{}/root/dev/shm", counter.container.pid());
    assert_eq!(fs::read_to_string(format!("{inside}/file")).unwrap(), "something\n");
    fs::write(format!("{inside}/stop"), "").unwrap();
    counter.container.wait_stopped();
    assert_eq!(counter.lines().last().unwrap(), "something");
}

fn with_terminal(bundle: Bundle) -> Bundle {
    bundle.config(|config| config["process"]["terminal"] = json!(true))
}

fn terminal_goes_to_the_console_socket() {
    let script = "while read line; do echo \"got $line\"; done";
    let talker = Box::new(with_terminal(Bundle::new()).script(script));
    let socket =
        |name: &str| DescriptorSocket::listen(&talker.container.bundle().folder().join(name));
    let first = socket("one.sock");
    let flags = ["--detach", "--console-socket", first.path()];
    let _ = command::run(talker.command("run", &flags)).succeeded();
    let mut terminal = Terminal::new(first.receive().0);
    terminal.type_in("this\n");
    terminal.read_until("got this\n");
    talker.checkpoint(&[]);
    drop(terminal);
    let second = socket("two.sock");
    let flags = ["--detach", "--console-socket", second.path()];
    let _ = command::run(talker.command("restore", &flags)).succeeded();
    let mut terminal = Terminal::new(second.receive().0);
    terminal.type_in("that\n");
    assert!(terminal.read_until("got that\n").starts_with("that\n"), "no echo");
}

fn terminal_without_a_socket_is_refused() {
    let talker = Box::new(with_terminal(Bundle::new()));
    fs::create_dir(&talker.images).unwrap();
    let refused = command::run(talker.command("restore", &["--detach"]));
    let _ = refused.failed_with("--console-socket");
    talker.container.assert_no_trace();
}

fn joined_namespaces_are_those_of_the_config() {
    let _ = needs_criu();
    let (first, second) = (Container::running(Bundle::new()), Container::running(Bundle::new()));
    for (name, kind) in [("network", "net"), ("pid", "pid"), ("ipc", "ipc"), ("uts", "uts")] {
        let joining = |pid: i32| {
            let bundle = counting().namespace(name, Some(&format!("/proc/{pid}/ns/{kind}")));
            bundle.config(|config| drop(config.as_object_mut().unwrap().remove("hostname")))
        };
        let counter = Box::running(joining(first.pid()));
        counter.checkpoint(&[]);
        assert_eq!(first.status(), "running");
        let there = Box::beside(&counter, joining(second.pid()));
        fs::copy(counter.output(), there.output()).unwrap();
        there.restore(&[]);
        let found = namespace(there.container.pid(), kind);
        assert_eq!(found, namespace(second.pid(), kind), "{name}");
    }
}

fn user_namespace_is_restored() {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let bundle = counting().namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    let counter = Box::new(bundle);
    // Files of the host's are not to be opened again from there, but pipes need not be.
    let mut first = BufReader::new(to_pipe(counter.command("run", &["--detach"]))).lines();
    assert_eq!(first.next().unwrap().unwrap(), "1 1");
    let before = restrictions(counter.container.pid());
    counter.checkpoint(&[]);
    // It is the container's root that reads the image.
    let refused = command::run(counter.command("restore", &["--detach"]));
    let _ = refused.failed_with("chmod o+rx");
    counter.container.assert_no_trace();
    fs::set_permissions(&counter.images, Permissions::from_mode(0o755)).unwrap();
    let mut second = BufReader::new(to_pipe(counter.command("restore", &["--detach"]))).lines();
    assert!(second.next().unwrap().unwrap().starts_with("1 "));
    assert_eq!(restrictions(counter.container.pid()), before);
    let map = fs::read_to_string(format!("/proc/{}/uid_map", counter.container.pid())).unwrap();
    assert!(map.split_whitespace().eq(["0", "100000", "65536"]), "{map}");
}

fn connections_are_restored_if_allowed() {
    let talker = Box::running(Bundle::new().probing(&["talk"]));
    let dumped = command::run(talker.command("checkpoint", &["--tcp-established"]));
    if dumped.stderr.contains("Can't get 1:34 opt") {
        // Of a TCP socket it can't be asked any more since Linux 6.16, and older ones ask.
        skip("this criu can't checkpoint TCP sockets on this kernel (SO_PASSSEC)");
    }
    let _ = dumped.succeeded();
    let (_, number) = talker.last();
    talker.restore(&["--tcp-established"]);
    talker.goes_on_from(number);
}

fn failed_checkpoint_leaves_the_container_running() {
    let talker = Box::running(Bundle::new().probing(&["talk"]));
    let pid = talker.container.pid();
    let failed = command::run(talker.command("checkpoint", &[])).failed_with("dump.log");
    assert!(failed.stderr.contains("Error"), "{failed:#?}");
    let (_, number) = talker.last();
    assert_eq!((talker.container.pid(), talker.container.status().as_str()), (pid, "running"));
    talker.goes_on_from(number);
}

/// Each needs a flag, without which it is refused.
fn locks_and_unlinked_files_are_taken_along_if_allowed() {
    for (what, flag) in [("locked", "--file-locks"), ("unlinked", "--link-remap")] {
        let holder = Box::running(Bundle::new().probing(&["hold", what]));
        let _ = command::run(holder.command("checkpoint", &[])).failed_with("Error");
        assert_eq!(holder.container.status(), "running");
        holder.checkpoint(&[flag]);
        let (_, number) = holder.last();
        // Restoring a link takes no flag.
        holder.restore(&[flag][..usize::from(what == "locked")]);
        holder.goes_on_from(number);
        let pid = holder.container.pid();
        let held = fs::read_link(format!("/proc/{pid}/fd/3")).unwrap();
        assert!(held.starts_with("/dev/shm"), "{}", held.display());
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/3")).unwrap();
        assert_eq!(info.contains("FLOCK"), what == "locked", "{info}");
    }
}

/// A criu that is killed can't have its processes go on.
fn killed_criu_leaves_the_container_running() {
    let counter = Box::running(counting());
    let (file, frozen) = freezer(counter.container.pid());
    let folder = counter.container.bundle().folder();
    let (program, mark) = (folder.join("criu"), folder.join("asked"));
    let script = format!(
        "#!/bin/sh\n[ -e {0} ] && echo {frozen} > {1} && kill -KILL $$\n: > {0}; exec {2} \"$@\"\n",
        mark.display(),
        file.display(),
        needs_criu().display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = counter.container.command(&["--criu", program.to_str().unwrap()]);
    command.arg("checkpoint").arg("--image-path").arg(&counter.images).arg(counter.container.id());
    let _ = command::run(command).failed_with("signal: 9");
    let (_, number) = counter.last();
    counter.goes_on_from(number);
}

/// The file by which the cgroup of `pid` is frozen, and what to write to it.
fn freezer(pid: i32) -> (PathBuf, &'static str) {
    let cgroup = folder_of(pid, "freezer");
    let v1 = cgroup.join("freezer.state");
    if v1.exists() { (v1, "FROZEN") } else { (cgroup.join("cgroup.freeze"), "1") }
}

fn failed_restore_leaves_nothing() {
    let counter = Box::running(counting());
    counter.checkpoint(&[]);
    // Late enough for processes to have been made.
    let memory = fs::read_dir(&counter.images).unwrap().map(|entry| entry.unwrap().path());
    let memory =
        memory.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("pages-"));
    memory.for_each(|path| fs::remove_file(path).unwrap());
    let failed = counter.to_file("restore", &["--detach"]).failed_with("restore.log");
    assert_eq!(failed.code, 1);
    counter.container.assert_no_trace();
}

fn foreground_restore_passes_signals_and_status_on() {
    let sleeper = Box::running(Bundle::new().probing(&["sleep", "3"]));
    sleeper.checkpoint(&[]);
    let (running, _) = sleeper.spawn_to_file("restore", &[]);
    wait_for("it to run", || {
        let state = sleeper.container.call("state", &[]);
        state.code == 0 && state.stdout.contains("\"running\"")
    });
    running.signal(sys::nix::libc::SIGHUP);
    wait_for("its signal", || sleeper.text().contains("SIGHUP"));
    running.signal(sys::nix::libc::SIGTERM);
    assert_eq!(running.wait().code, 3);
    sleeper.container.assert_no_trace();
}

fn paused_container_can_be_checkpointed() {
    let counter = Box::running(counting());
    let (file, frozen) = freezer(counter.container.pid());
    fs::write(file, frozen).unwrap();
    wait_for("it to be paused", || counter.container.status() == "paused");
    counter.checkpoint(&[]);
    let (_, number) = counter.last();
    counter.restore(&[]);
    counter.goes_on_from(number);
}

/// Hooks of the host's side that write their kind to `log`, of which `failing` fails.
fn hooks(log: &str, failing: &str) -> Value {
    let kinds = ["prestart", "createRuntime", "poststart", "poststop"];
    let hook = |kind: &str| {
        let status = i32::from(kind == failing);
        let script = format!("echo {kind} >> {log}; exit {status}");
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
    };
    Value::Object(kinds.into_iter().map(|kind| (kind.to_owned(), hook(kind))).collect())
}

fn hooks_run_again() {
    let bundle = counting();
    let log = bundle.folder().join("hooks");
    let bundle = bundle.config(|config| config["hooks"] = hooks(log.to_str().unwrap(), ""));
    let counter = Box::running(bundle);
    let ran = || fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_for("the poststart hook", || ran().len() == 3);
    counter.checkpoint(&[]);
    assert_eq!(ran(), ["prestart", "createRuntime", "poststart", "poststop"]);
    fs::remove_file(&log).unwrap();
    counter.restore(&[]);
    assert_eq!(ran(), ["prestart", "createRuntime", "poststart"]);
}

fn failing_hook_fails_the_restore() {
    for kind in ["prestart", "createRuntime", "poststart"] {
        let counter = Box::running(counting());
        counter.checkpoint(&[]);
        let bundle = counting();
        let log = bundle.folder().join("hooks");
        let bundle = bundle.config(|config| config["hooks"] = hooks(log.to_str().unwrap(), kind));
        let other = Box::beside(&counter, bundle);
        fs::copy(counter.output(), other.output()).unwrap();
        let _ = other.to_file("restore", &["--detach"]).failed_with(&format!("{kind} hook #0"));
        other.container.assert_no_trace();
        assert!(fs::read_to_string(&log).unwrap().ends_with("poststop\n"), "{kind}");
    }
}

fn work_path_has_the_log() {
    let counter = Box::running(counting());
    let work = counter.container.bundle().folder().join("work");
    let flags = ["--work-path", work.to_str().unwrap()];
    counter.checkpoint(&flags);
    counter.restore(&flags);
    assert!(work.join("dump.log").exists() && work.join("restore.log").exists());
    assert!(!counter.images.join("dump.log").exists());
}

/// By the annotation that runc has too.
fn options_of_a_file_are_read() {
    let bundle = counting();
    let file = bundle.folder().join("criu.conf");
    fs::write(&file, "log-file other.log\n").unwrap();
    let annotations = json!({ "org.criu.config": file });
    let counter = Box::running(bundle.config(|config| config["annotations"] = annotations));
    counter.checkpoint(&[]);
    assert!(counter.images.join("other.log").exists() && !counter.images.join("dump.log").exists());
}

fn memory_is_written_down_beforehand_where_the_kernel_can() {
    let counter = Box::running(counting());
    let before = counter.container.bundle().folder().join("before");
    let path = before.to_str().unwrap();
    let dumped = command::run(counter.command("checkpoint", &["--pre-dump", "--image-path", path]));
    assert_eq!(counter.container.status(), "running");
    let (_, number) = counter.last();
    counter.goes_on_from(number);
    if !criu::has("mem_dirty_track") {
        let _ = dumped.failed_with("CONFIG_MEM_SOFT_DIRTY");
        skip("this kernel can't track memory; that rind says so is tested");
    }
    let _ = dumped.succeeded();
    counter.checkpoint(&["--parent-path", "../before"]);
    let (_, number) = counter.last();
    counter.restore(&[]);
    counter.goes_on_from(number);
}

/// Memory stays where it was until it has been fetched.
fn memory_can_be_fetched_once_the_status_says_so() {
    let counter = Box::running(counting());
    if !criu::has("uffd-noncoop") {
        skip("this kernel can't fetch memory lazily");
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let (mut ready, status) = std::io::pipe().unwrap();
    let flags = ["--lazy-pages", "--page-server", &address, "--status-fd", "0"];
    let mut command = counter.command("checkpoint", &flags);
    command.stdin(status).stdout(Stdio::null()).stderr(Stdio::null());
    let mut dump = spawn_bare(command);
    let mut byte = [1];
    assert_eq!((ready.read(&mut byte).unwrap(), byte), (1, [0]), "the page server is ready");
    assert!(is_alive(dump.pid()) && counter.container.status() != "stopped");
    // Whoever fetches it says when that is done, by going.
    drop(TcpStream::connect(&address).expect("a page server"));
    assert_eq!(dump.wait_here().code, 0);
    counter.container.assert_no_trace();
}

fn status_must_be_running() {
    let mut container = Container::created(Bundle::new());
    let refused = |container: &Container, status: &str| {
        let _ = container.call("checkpoint", &[]).failed_with(&format!("in the {status} state"));
        assert_eq!(container.status(), status);
    };
    refused(&container, "created");
    let _ = container.call("pause", &[]).succeeded();
    let _ = container.call("checkpoint", &[]).failed_with("in the created state");
    let _ = container.call("resume", &[]).succeeded();
    container.start();
    container.wait_stopped();
    refused(&container, "stopped");
    container.delete();
    container = Container::new(Bundle::new());
    let _ = container.call("checkpoint", &[]).failed_with("does not exist");
}

fn criu_that_is_missing_is_told() {
    let container = Container::running(Bundle::new());
    let call = |program: &str, name: &str| {
        let mut command = container.command(&["--criu", program, name]);
        command.current_dir(container.bundle().path()).arg("--image-path=.");
        command.arg(if name == "restore" { "another" } else { container.id() });
        command::run(command)
    };
    let _ = call("no-such-criu", "checkpoint").failed_with("install it (https://criu.org)");
    let _ = call("/no/such/criu", "restore").failed_with("/no/such/criu: no such file");
    let _ = call("/bin/false", "checkpoint").failed_with("without an answer");
    assert_eq!(container.status(), "running");
    assert_eq!(command::run(container.command(&["list", "--quiet"])).stdout.lines().count(), 1);
}

fn criu_that_forgets_no_new_privs_is_refused() {
    let criu = needs_criu();
    if !criu::forgets_no_new_privs() {
        skip("this criu remembers it");
    }
    let container = Container::running(Bundle::new());
    for (name, id) in [("checkpoint", container.id()), ("restore", "another")] {
        let mut command = container.command(&["--criu", criu.to_str().unwrap(), name]);
        command.current_dir(container.bundle().path()).args(["--image-path=.", id]);
        let _ = command::run(command).failed_with("process.noNewPrivileges: criu ");
    }
    assert_eq!(container.status(), "running");
    assert_eq!(command::run(container.command(&["list", "--quiet"])).stdout.lines().count(), 1);
}

/// As one made by such a criu is.
fn image_without_no_new_privs_is_refused() {
    let _ = needs_criu();
    if criu::forgets_no_new_privs() {
        skip("this criu restores none that has it");
    }
    let without = counting().config(|all| all["process"]["noNewPrivileges"] = json!(false));
    let counter = Box::running(without);
    counter.checkpoint(&[]);
    let other = Box::beside(&counter, counting());
    let refused = other.to_file("restore", &["--detach"]);
    let _ = refused.failed_with("process.noNewPrivileges: what criu restored doesn't have it");
    other.container.assert_no_trace();
    counter.restore(&[]);
}

fn wrong_flags_are_refused() {
    let container = Container::running(Bundle::new());
    for (name, flags, text) in [
        (
            "checkpoint",
            &["--manage-cgroups-mode", "hard"][..],
            "none of soft, full, strict, ignore",
        ),
        ("checkpoint", &["--empty-ns", "ipc"], "is not network"),
        ("checkpoint", &["--page-server", "here"], "is not ADDRESS:PORT"),
        ("checkpoint", &["--status-fd", "x"], "not a number"),
        ("checkpoint", &["--status-fd", "1"], "only with --lazy-pages"),
        ("checkpoint", &["--parent-path", "/tmp"], "must be relative"),
        ("checkpoint", &["--parent-path", "nowhere"], "no such file"),
        ("restore", &["--no-pivot"], "pivot_root"),
        ("restore", &["--bundle", "/nowhere"], "/nowhere: no such file"),
    ] {
        let _ = container.call(name, flags).failed_with(text);
    }
    assert_eq!(container.status(), "running");
}

fn taken_id_is_refused_without_effect() {
    let counter = Box::running(counting());
    let _ = command::run(counter.command("checkpoint", &["--leave-running"])).succeeded();
    let pid = counter.container.pid();
    let refused = command::run(counter.command("restore", &["--detach"]));
    let _ = refused.failed_with("already exists");
    assert_eq!((counter.container.pid(), counter.container.status().as_str()), (pid, "running"));
}

fn container_with_mapped_mount_is_refused() {
    let mapping = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
    let bundle = with_data(counting(), "one").config(|config| {
        let mount = config["mounts"].as_array_mut().unwrap().last_mut().unwrap();
        mount["uidMappings"] = mapping.clone();
        mount["gidMappings"] = mapping;
    });
    let counter = Box::running(bundle);
    let refused = command::run(counter.command("checkpoint", &[]));
    let _ = refused.failed_with("/data: criu can't restore a mount whose ids are mapped");
    assert_eq!(counter.container.status(), "running");
}

fn container_without_mount_namespace_is_refused() {
    let bundle = counting().without_namespace("mount").config(|config| {
        config["mounts"] = json!([]);
        config["linux"].as_object_mut().unwrap().remove("maskedPaths");
        config["linux"].as_object_mut().unwrap().remove("readonlyPaths");
    });
    let counter = Box::running(bundle);
    let _ = command::run(counter.command("checkpoint", &[])).failed_with("mount namespace");
    assert_eq!(counter.container.status(), "running");
    let other = Box::beside(&counter, counting().without_namespace("mount"));
    fs::create_dir_all(&other.images).unwrap();
    let _ = command::run(other.command("restore", &["--detach"])).failed_with("mount namespace");
    other.container.assert_no_trace();
}

/// No restore could give it back, unless it is to have the terminal of restore's caller.
fn terminal_of_the_caller_is_refused_before_the_container_is_gone() {
    let container = Box::new(Bundle::new().probing(&["sleep"]));
    let pair = openpty(None, None).expect("openpty");
    let mut command = container.command("run", &["--detach"]);
    let [stdin, stdout] = [(); 2].map(|()| pair.slave.try_clone().unwrap());
    command.stdin(stdin).stdout(stdout).stderr(pair.slave);
    assert!(command.status().unwrap().success());
    let refused =
        command::run(container.command("checkpoint", &[])).failed_with("stdin is a terminal");
    assert!(refused.stderr.contains("--shell-job"), "{refused:?}");
    assert_eq!(container.container.status(), "running");
    assert!(!container.images.exists(), "it has written an image");
}
