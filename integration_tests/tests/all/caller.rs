//! What a caller or a config may do wrong, or an other user of the machine have prepared for it: it
//! must not become somebody else's gain.

use integration_tests::bundle::push;
use integration_tests::command::{run, spawn, spawn_bare};
use integration_tests::host::{is_alive, needs_program};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Output, Value, binary, json, tests};
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = tests![
    minus_one_is_no_id_in_a_config,
    minus_one_is_no_id_for_exec,
    user_that_is_not_mapped_is_told_so,
    unified_moves_and_kills_nobody,
    closed_descriptors_are_the_null_device,
    closed_descriptors_get_no_message,
    every_command_does_with_closed_descriptors,
    sockets_are_pipes_to_programs_in_the_foreground,
    who_reads_a_socket_no_more_is_told,
    programs_that_write_without_end_get_their_signals,
    pid_file_follows_no_link,
    log_follows_no_link_of_others,
    manual_pages_follow_no_link,
    exec_fifo_is_never_what_is_there,
    image_directory_of_others_is_refused,
    image_follows_no_link,
    home_is_found_in_a_passwd_of_any_size,
    names_of_the_host_stay,
    sysctls_of_the_host_stay,
    sysctls_need_their_own_namespace_only,
    mounts_of_the_host_stay,
    root_of_others_is_refused,
    mark_of_the_seal_on_a_read_only_mount_is_not_believed,
];

/// -1 to the kernel: "leave it as it is".
const NO_ID: u32 = u32::MAX;
/// Somebody who is not root.
const OTHER: u32 = 1000;

fn minus_one_is_no_id_in_a_config() {
    let user = |key: &str, value: Value| {
        Bundle::new().config(|config| config["process"]["user"][key] = value)
    };
    user("uid", json!(NO_ID)).refused("process.user.uid: 4294967295 is no user id");
    user("gid", json!(NO_ID)).refused("process.user.gid: 4294967295 is no group id");
    user("additionalGids", json!([5, NO_ID]))
        .refused("process.user.additionalGids[1]: 4294967295 is no group id");
    for key in ["uid", "gid"] {
        let mut device = json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": 3 });
        device[key] = json!(NO_ID);
        Bundle::new()
            .config(|config| push(&mut config["linux"]["devices"], device))
            .refused(&format!("linux.devices[0].{key}: 4294967295"));
    }
    let ranges = [
        ("containerID", json!({ "containerID": NO_ID, "hostID": 0, "size": 1 })),
        ("hostID", json!({ "containerID": 0, "hostID": NO_ID, "size": 1 })),
        ("hostID", json!({ "containerID": 0, "hostID": 1000, "size": NO_ID - 999 })),
        ("containerID", json!({ "containerID": NO_ID - 9, "hostID": 1000, "size": 10 })),
    ];
    for (key, range) in ranges {
        let fine = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
        for property in ["uidMappings", "gidMappings"] {
            let broken = json!([range]);
            let of = |name: &str| if name == property { broken.clone() } else { fine.clone() };
            let (users, groups) = (of("uidMappings"), of("gidMappings"));
            let (mine, mounts) = (users.clone(), groups.clone());
            Bundle::new()
                .namespace("user", None)
                .config(|config| {
                    config["linux"]["uidMappings"] = users;
                    config["linux"]["gidMappings"] = groups;
                })
                .refused(&format!("linux.{property}[0].{key}: "));
            Bundle::new()
                .mount(json!({
                    "destination": "/m", "type": "bind", "source": "/tmp",
                    "options": ["bind", "idmap"], "uidMappings": mine, "gidMappings": mounts,
                }))
                .refused(&format!(".{property}[0].{key}: "));
        }
    }
}

fn minus_one_is_no_id_for_exec() {
    let container = Container::running(Bundle::new());
    let flags = [
        ["--user", "4294967295"],
        ["--user", "1000:4294967295"],
        ["--user", "4294967295:1000"],
        ["--additional-gids", "4294967295"],
    ];
    for flags in flags {
        let text = format!("{}: 4294967295 is no user or group id", flags[0]);
        let _ = container.exec(&flags, &["/bin/probe", "report"]).failed_with(&text);
    }
    let users = [
        ("user.uid", json!({ "uid": NO_ID, "gid": 0 })),
        ("user.gid", json!({ "uid": 0, "gid": NO_ID })),
        ("user.additionalGids[0]", json!({ "uid": 0, "gid": 0, "additionalGids": [NO_ID] })),
    ];
    for (property, user) in users {
        let file = container.bundle().folder().join("process.json");
        let process = json!({ "args": ["/bin/probe", "report"], "cwd": "/", "user": user });
        fs::write(&file, process.to_string()).unwrap();
        let output = container.call("exec", &["--process", file.to_str().unwrap()]);
        let _ = output.failed_with(&format!("{property}: 4294967295 is no "));
    }
}

fn user_that_is_not_mapped_is_told_so() {
    let mapped = json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
    let container = Container::running(Bundle::new().namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapped.clone();
        config["linux"]["gidMappings"] = mapped;
    }));
    let report = ["/bin/probe", "report"];
    let _ = container.exec(&["--user", "4000000000"], &report).failed_with("is not mapped");
    let _ = container.exec(&["--user", "5:4000000000"], &report).failed_with("is not mapped");
}

/// A process of the host's, for which nobody but the test has a reason to end.
fn bystander() -> integration_tests::Running {
    let mut command = Command::new(needs_program("sleep"));
    command.arg("600");
    spawn(command)
}

fn unified_moves_and_kills_nobody() {
    let process = bystander();
    let pid = process.pid().to_string();
    let before = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let tries = [
        ("cgroup.procs", pid.as_str()),
        ("cgroup.procs", "0"),
        ("cgroup.threads", pid.as_str()),
        ("cgroup.kill", "1"),
        ("cgroup.freeze", "1"),
        ("cgroup.type", "threaded"),
        ("cgroup.subtree_control", "+pids"),
        ("memory.reclaim", "1G"),
        ("memory.pressure", "some 150000 1000000"),
        ("memory.peak", "reset"),
    ];
    let container = Container::running(Bundle::new());
    for (name, value) in tries {
        let refused = format!("linux.resources.unified.{name}: ");
        Bundle::new()
            .config(|config| config["linux"]["resources"]["unified"] = json!({ name: value }))
            .refused(&refused);
        let file = container.bundle().folder().join("resources.json");
        fs::write(&file, json!({ "unified": { name: value } }).to_string()).unwrap();
        let output = container.call("update", &["--resources", file.to_str().unwrap()]);
        let _ = output.failed_with(&refused);
    }
    assert!(is_alive(process.pid()));
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), before);
    assert_eq!(container.status(), "running");
}

/// Each way to close some of stdin, stdout and stderr, in a shell's words.
const CLOSED: [&str; 5] = ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"];

/// `command` with descriptors closed, which all are the null device else.
fn with_closed(command: &Command, closed: &str) -> Command {
    let mut shell = Command::new(needs_program("sh"));
    shell.arg("-c").arg(format!("exec </dev/null >/dev/null 2>&1; exec \"$@\" {closed}")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn closed_descriptors_are_the_null_device() {
    for closed in CLOSED {
        let user = json!({ "uid": OTHER, "gid": OTHER });
        let bundle = Bundle::new().probing(&["sleep"]).config(|it| it["process"]["user"] = user);
        let container = Container::new(bundle);
        let output = spawn_bare(with_closed(&container.command_for("create", &[]), closed)).wait();
        assert_eq!(output.code, 0, "{closed}");
        assert_eq!(container.status(), "created", "{closed}");
        let pid = container.pid();
        for number in 0..3 {
            let open = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
            assert_eq!(open, Path::new("/dev/null"), "{closed}: {number}");
        }
        for path in [container.root().clone(), container.root().join(container.id())] {
            assert_eq!(fs::metadata(&path).unwrap().uid(), 0, "{closed}: {}", path.display());
        }
        container.start();
        let exec = container.exec_command(&["--user", "7"], &["/bin/probe", "report"]);
        assert_eq!(spawn_bare(with_closed(&exec, closed)).wait().code, 0, "{closed}");
        container.stop();
    }
}

/// An error is for nobody then, not for a file that has taken the place of stderr.
fn closed_descriptors_get_no_message() {
    let bundle = Bundle::new().probing(&["exit", "0"]);
    let folder = bundle.folder();
    let container = Container::new(bundle);
    for closed in CLOSED {
        let log = folder.join("log");
        let mut command = Command::new(binary::rind());
        command.arg("--log").arg(&log).arg("--root").arg(container.root());
        command.args(["create", "--bundle", "/nowhere", container.id()]);
        let output = spawn_bare(with_closed(&command, closed)).wait();
        assert_eq!(output.code, 1, "{closed}");
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!(said.lines().count(), 1, "{closed}: {said}");
        fs::remove_file(log).unwrap();
    }
}

fn every_command_does_with_closed_descriptors() {
    let container = Container::running(Bundle::new());
    for closed in CLOSED {
        let id = container.id();
        for words in
            [&["state", id] as &[&str], &["list"], &["ps", "-f", "json", id], &["features"]]
        {
            let output = spawn_bare(with_closed(&container.command(words), closed)).wait();
            assert_eq!(output.code, 0, "{words:?} {closed}");
        }
    }
}

/// A folder that another user may write to, and beside it a file that only root may.
struct Shared {
    folder: PathBuf,
    secret: PathBuf,
}

const SECRET: &str = "root's own\n";

impl Shared {
    fn of(bundle: &Bundle) -> Self {
        let [folder, secret] = ["shared", "secret"].map(|name| bundle.folder().join(name));
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(OTHER), Some(OTHER)).unwrap();
        fs::write(&secret, SECRET).unwrap();
        Self { folder, secret }
    }

    /// Has the other user put a link to the secret at `name`.
    fn plant(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        symlink(&self.secret, &path).unwrap();
        lchown(&path, Some(OTHER), Some(OTHER)).unwrap();
        path
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.secret).unwrap(), SECRET);
    }
}

/// As of a service, whose stdout and stderr the journal has: a socket can't be opened again, and what
/// is written there by a process of another cgroup is not the service's.
fn sockets_are_pipes_to_programs_in_the_foreground() {
    let script =
        "echo again >/dev/stderr; ls -l /proc/self/fd/1 >&2; head -c 300000 /dev/zero; exit 3";
    let mut container = Container::new(Bundle::new().script(script));
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (mut ours_too, theirs_too) = UnixStream::pair().unwrap();
    let mut run = container.command_for("run", &[]);
    run.stdin(Stdio::null()).stdout(OwnedFd::from(theirs)).stderr(OwnedFd::from(theirs_too));
    let mut running = spawn_bare(run);
    // More than pipe and socket hold: the program waits until it is read.
    let (mut said, mut complained) = (Vec::new(), String::new());
    ours.read_to_end(&mut said).unwrap();
    ours_too.read_to_string(&mut complained).unwrap();
    assert_eq!((running.wait_here().code, said.len()), (3, 300_000), "{complained}");
    assert!(complained.starts_with("again\n") && complained.contains("-> pipe:["), "{complained}");
    container.assert_no_trace();
    // What rind itself has to say goes there too, even if it comes to no program.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut run = container.command_for("run", &["--pid-file", "/not/there/pid"]);
    run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(OwnedFd::from(theirs));
    let mut running = spawn_bare(run);
    let mut complained = String::new();
    ours.read_to_string(&mut complained).unwrap();
    assert_ne!(running.wait_here().code, 0);
    assert!(complained.contains("/not/there/pid"), "{complained}");
    container.assert_no_trace();
    // The same of exec.
    container = Container::running(Bundle::new());
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut exec = container.exec_command(&[], &["/bin/probe", "write", "/dev/stdout", "out"]);
    exec.stdin(Stdio::null()).stdout(OwnedFd::from(theirs)).stderr(Stdio::null());
    let mut running = spawn_bare(exec);
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!((running.wait_here().code, &said[..]), (0, "out"));
}

/// However quickly it is read: there is always more.
fn programs_that_write_without_end_get_their_signals() {
    let script = "trap 'kill $!; exit 7' TERM; yes & echo began >&2; while :; do wait; done";
    let container = Container::new(Bundle::new().script(script));
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (mut ours_too, theirs_too) = UnixStream::pair().unwrap();
    let mut run = container.command_for("run", &[]);
    run.stdin(Stdio::null()).stdout(OwnedFd::from(theirs)).stderr(OwnedFd::from(theirs_too));
    let mut running = spawn_bare(run);
    ours_too.read_exact(&mut [0; 6]).unwrap();
    // The program that writes is there a moment later.
    ours.read_exact(&mut [0; 1]).unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut ours, &mut std::io::sink()));
    running.signal(sys::nix::libc::SIGTERM);
    assert_eq!(running.wait_here().code, 7);
    assert!(reader.join().unwrap().is_ok());
    container.assert_no_trace();
}

fn who_reads_a_socket_no_more_is_told() {
    let container = Container::new(Bundle::new().script("while echo x; do :; done; exit 5"));
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    let mut run = container.command_for("run", &[]);
    run.stdin(Stdio::null()).stdout(OwnedFd::from(theirs)).stderr(Stdio::null());
    let code = spawn_bare(run).wait_here().code;
    // EPIPE or SIGPIPE, as the shell has it.
    assert!(matches!(code, 5 | 141), "{code}");
    container.assert_no_trace();
}

fn pid_file_follows_no_link() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let shared = Shared::of(&bundle);
    for name in [".pid", ".tmp-pid", "pid.tmp", "pid"] {
        let _ = shared.plant(name);
    }
    let file = shared.folder.join("pid");
    let mut container = Container::new(bundle);
    container.create(&["--pid-file", file.to_str().unwrap()]);
    shared.assert_untouched();
    assert!(file.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read_to_string(&file).unwrap(), container.pid().to_string());
    container.start();
    let flags = ["--detach", "--pid-file", file.to_str().unwrap()];
    fs::remove_file(&file).unwrap();
    let _ = shared.plant("pid");
    let _ = container.exec(&flags, &["/bin/probe", "sleep"]).succeeded();
    shared.assert_untouched();
    assert!(file.symlink_metadata().unwrap().is_file());
    // Nothing else is left there.
    assert_eq!(fs::read_dir(&shared.folder).unwrap().count(), 4);
    let _ = container.call("kill", &["--all", "KILL"]);
    container.stop();
}

fn log_follows_no_link_of_others() {
    let bundle = Bundle::new();
    let shared = Shared::of(&bundle);
    let log = |path: &Path| {
        let mut command = Command::new(binary::rind());
        command.arg("--log").arg(path).args(["--root", "/nowhere/at/all", "state", "nobody"]);
        run(command)
    };
    let _ = log(&shared.plant("log")).failed_with("is not followed");
    shared.assert_untouched();
    // Nor by way of a link of root's own.
    let way = bundle.folder().join("way");
    symlink(shared.folder.join("log"), &way).unwrap();
    let _ = log(&way).failed_with("is not followed");
    shared.assert_untouched();
    // A sticky folder for all is no safer, but for one's own links.
    fs::set_permissions(&shared.folder, Permissions::from_mode(0o1777)).unwrap();
    chown(&shared.folder, Some(0), Some(0)).unwrap();
    let _ = log(&shared.folder.join("log")).failed_with("shared/log: ");
    shared.assert_untouched();
    // Those that only root can have put there are.
    let _ = log(Path::new("/dev/stderr")).failed_with("does not exist");
    let (file, link) = (bundle.folder().join("file"), bundle.folder().join("link"));
    symlink("file", &link).unwrap();
    let _ = log(&link).failed_with("does not exist");
    let _ = log(&file).failed_with("does not exist");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
}

fn manual_pages_follow_no_link() {
    let bundle = Bundle::new();
    let shared = Shared::of(&bundle);
    let page = shared.plant("rind.8");
    let mut command = Command::new(binary::rind());
    command.args(["man", "--output"]).arg(&shared.folder);
    let _ = run(command).succeeded();
    shared.assert_untouched();
    assert!(page.symlink_metadata().unwrap().is_file());
}

fn exec_fifo_is_never_what_is_there() {
    let container = Container::running(Bundle::new());
    let shared = Shared::of(container.bundle());
    let fifo = shared.plant("fifo");
    let flags = ["--detach", "--exec-fifo", fifo.to_str().unwrap()];
    let _ = container.exec(&flags, &["/bin/probe", "sleep"]).failed_with("file exists");
    shared.assert_untouched();
    assert!(fifo.symlink_metadata().unwrap().is_symlink());
}

#[track_caller]
fn checkpoint(container: &Container, flags: &[&str]) -> Output {
    // One that does not work on this kernel will do.
    let criu = needs_program("criu");
    let mut command = container.command(&["--criu", criu.to_str().unwrap(), "checkpoint"]);
    command.arg("--leave-running");
    command.args(flags).arg(container.id());
    run(command)
}

/// A container that any criu can write down, or try to.
fn for_checkpoint() -> Container {
    let bundle = Bundle::new();
    Container::running(bundle.config(|it| it["process"]["noNewPrivileges"] = json!(false)))
}

fn image_directory_of_others_is_refused() {
    let container = for_checkpoint();
    let shared = Shared::of(container.bundle());
    let _ = shared.plant("descriptors.json");
    let _ = shared.plant("dump.log");
    let theirs = shared.folder.to_str().unwrap();
    let own = container.bundle().folder().join("images");
    let own = own.to_str().unwrap();
    for flags in [&["--image-path", theirs] as &[_], &["--image-path", own, "--work-path", theirs]]
    {
        let _ = checkpoint(&container, flags).failed_with("it belongs to user 1000");
    }
    chown(&shared.folder, Some(0), Some(0)).unwrap();
    fs::set_permissions(&shared.folder, Permissions::from_mode(0o1777)).unwrap();
    let _ = checkpoint(&container, &["--image-path", theirs]).failed_with("others may write to it");
    let criu = needs_program("criu");
    let mut restore = container.command(&["--criu", criu.to_str().unwrap(), "restore"]);
    restore.arg("--bundle").arg(container.bundle().path());
    restore.args(["--image-path", theirs, "restored"]);
    let _ = run(restore).failed_with("others may write to it");
    shared.assert_untouched();
    assert_eq!(container.status(), "running");
}

fn image_follows_no_link() {
    let container = for_checkpoint();
    let shared = Shared::of(container.bundle());
    let images = container.bundle().folder().join("images");
    fs::create_dir(&images).unwrap();
    symlink(&shared.secret, images.join("descriptors.json")).unwrap();
    // Whether criu can do it here is another matter.
    let _ = checkpoint(&container, &["--image-path", images.to_str().unwrap()]);
    shared.assert_untouched();
    assert!(images.join("descriptors.json").symlink_metadata().unwrap().is_file());
}

fn home_is_found_in_a_passwd_of_any_size() {
    let with_passwd = |text: &str, size: u64| {
        let bundle = Bundle::new().file("/etc/passwd", text).config(|config| {
            config["process"]["user"] = json!({ "uid": OTHER, "gid": OTHER });
            let env = config["process"]["env"].as_array_mut().unwrap();
            env.retain(|entry| !entry.as_str().unwrap().starts_with("HOME="));
            config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        });
        let file = File::options().write(true).open(bundle.rootfs().join("etc/passwd")).unwrap();
        if size > 0 {
            file.set_len(size).unwrap();
        }
        bundle.report()["env"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|entry| entry.as_str().unwrap().strip_prefix("HOME=").map(str::to_owned))
    };
    let line = "user:x:1000:1000:U:/home/user:/bin/sh\n";
    let others = "other:x:7:7:O:/home/other:/bin/sh\n".repeat(1000);
    let home = Some("/home/user".to_owned());
    assert_eq!(with_passwd(&(others + line), 0), home);
    assert_eq!(with_passwd(line, 64 << 30), home);
    assert_eq!(with_passwd("", 64 << 30), Some("/".to_owned()));
}

/// Has the runtime try to make `bundle`'s container in namespaces of its own, in place of the
/// machine's, lest a mistake reach those: what a shell there says after it.
#[track_caller]
fn try_apart(bundle: Bundle, unshare: &[&str], then: &str) -> Output {
    let container = Container::new(bundle);
    let create = container.command_for("create", &[]);
    let mut command = Command::new(needs_program("unshare"));
    command.args(unshare).args(["sh", "-c"]);
    command.arg(format!("\"$@\"; status=$?; {then}; exit $status")).arg("sh");
    command.arg(create.get_program()).args(create.get_args());
    let output = run(command);
    let _ = container.call("delete", &["--force"]);
    container.assert_no_trace();
    output
}

const REFUSED: &str = "namespace of the container's own, but linux.namespaces[";

fn names_of_the_host_stay() {
    let bundle = || Bundle::new().namespace("uts", Some("/proc/self/ns/uts"));
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let output = try_apart(bundle(), &["--uts"], "cat /proc/sys/kernel/hostname");
    assert_eq!(output.stdout, name);
    let _ = output.failed_with(&format!("hostname: needs a uts {REFUSED}"));
    let only_domain = bundle().config(|config| {
        config.as_object_mut().unwrap().remove("hostname");
        config["domainname"] = json!("example.org");
    });
    let name = fs::read_to_string("/proc/sys/kernel/domainname").unwrap();
    let output = try_apart(only_domain, &["--uts"], "cat /proc/sys/kernel/domainname");
    assert_eq!(output.stdout, name);
    let _ = output.failed_with(&format!("domainname: needs a uts {REFUSED}"));
    // Without names there is nothing to refuse.
    let nameless =
        bundle().config(|config| drop(config.as_object_mut().unwrap().remove("hostname")));
    assert_eq!(nameless.run().code, 0);
}

fn sysctls_of_the_host_stay() {
    let cases = [
        ("network", "/proc/self/ns/net", "net.ipv4.ip_forward"),
        ("ipc", "/proc/self/ns/ipc", "kernel.shmmni"),
        ("uts", "/proc/self/ns/uts", "kernel.domainname"),
        ("user", "/proc/self/ns/user", "user.max_mnt_namespaces"),
    ];
    for (kind, path, name) in cases {
        // What it is already, lest a mistake change the machine.
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        let value = fs::read_to_string(file).unwrap();
        Bundle::new()
            .namespace(kind, Some(path))
            .config(|config| {
                config.as_object_mut().unwrap().remove("hostname");
                config["linux"]["sysctl"] = json!({ name: value.trim() });
            })
            .refused(&format!("linux.sysctl {name}: needs a {kind} {REFUSED}"));
    }
}

/// A sysctl is of one kind of namespace, and the others of the container may be the host's.
fn sysctls_need_their_own_namespace_only() {
    let cases = [
        ("ipc", "kernel.domainname", "example"),
        ("uts", "kernel.shmmni", "512"),
        ("uts", "kernel/shmmni", "512"),
        ("network", "kernel.domainname", "example"),
    ];
    for (host, name, value) in cases {
        let path = format!("/proc/self/ns/{}", if host == "network" { "net" } else { host });
        let bundle = Bundle::new().namespace(host, Some(&path)).config(|config| {
            config.as_object_mut().unwrap().remove("hostname");
            config["linux"]["sysctl"] = json!({ name: value });
        });
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        let output = bundle.with_shell().args(&["cat", &file]).run().succeeded();
        assert_eq!(output.stdout.trim(), value, "{name}");
    }
    for name in ["kernel.domainname", "kernel/domainname"] {
        Bundle::new()
            .config(|config| {
                config["domainname"] = json!("one");
                config["linux"]["sysctl"] = json!({ name: "another" });
            })
            .refused("is what domainname is for");
    }
}

fn mounts_of_the_host_stay() {
    let bundle = Bundle::new().namespace("mount", Some("/proc/self/ns/mnt"));
    let root = fs::metadata("/").unwrap().ino();
    let unshare = ["--mount", "--propagation", "private"];
    let output = try_apart(bundle, &unshare, "stat -c %i /");
    assert_eq!(output.stdout.trim(), root.to_string());
    let _ = output.failed_with(REFUSED);
}

fn root_of_others_is_refused() {
    let bundle = Bundle::new();
    let folder = bundle.folder();
    let container = Container::running(bundle);
    let root = container.root().clone();
    let tries = |text: &str| {
        let commands: [&[&str]; 4] = [
            &["state", container.id()],
            &["list"],
            &["exec", container.id(), "/bin/probe", "report"],
            &["delete", "--force", container.id()],
        ];
        for words in commands {
            let _ = run(container.command(words)).failed_with(text);
        }
        let mut create = container.command(&["create", "--bundle"]);
        create.arg(container.bundle().path()).arg("other");
        let _ = run(create).failed_with(text);
    };
    let mode = root.metadata().unwrap().permissions();
    for unsafe_mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&root, Permissions::from_mode(unsafe_mode)).unwrap();
        tries("others may write to it");
    }
    // As /tmp is: nobody else can touch what is ours.
    fs::set_permissions(&root, Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(container.status(), "running");
    fs::set_permissions(&root, mode).unwrap();
    chown(&root, Some(OTHER), None).unwrap();
    tries("it belongs to user 1000");
    chown(&root, Some(0), None).unwrap();
    // One container's alone.
    let own = root.join(container.id());
    chown(&own, Some(OTHER), None).unwrap();
    for words in [&["state"] as &[&str], &["delete", "--force"]] {
        let mut command = container.command(words);
        command.arg(container.id());
        let _ = run(command).failed_with("it belongs to user 1000");
    }
    chown(&own, Some(0), None).unwrap();
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();
    // One that is not there yet is made so that nobody else may write to it.
    let mut command = Command::new(needs_program("sh"));
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(binary::rind()).arg("--root");
    command.arg(folder.join("new/root")).args(["create", "--bundle", "/nowhere", "x"]);
    let _ = run(command).failed_with("/nowhere");
    let state = Container::new(Bundle::new());
    let made = state.bundle().folder().join("deep/root");
    let mut command = Command::new(needs_program("sh"));
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(binary::rind()).arg("--root").arg(&made);
    command.args(["run", "--bundle"]).arg(state.bundle().path()).arg(state.id());
    let _ = run(command).succeeded();
    assert_eq!(fs::metadata(made).unwrap().mode() & 0o7777, 0o711);
}

/// A read-only mount of just the program is none that nobody can change: root of a mount namespace
/// that has it can.
fn mark_of_the_seal_on_a_read_only_mount_is_not_believed() {
    let container = Container::new(Bundle::new());
    let own = container.bundle().folder().join("rind");
    let mut copy = Command::new(needs_program("cp"));
    copy.arg(binary::rind()).arg(&own);
    let _ = run(copy).succeeded();
    let create = container.command_for("create", &[]);
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    let script = "rind=$1; shift; mount --bind $rind $rind; mount -o remount,bind,ro $rind; \
                  exec env _RIND_SEALED=1 $rind \"$@\"";
    command.args([script, "sh"]).arg(own).args(create.get_args());
    let _ = run(command).failed_with("sealing the executable");
    container.assert_no_trace();
}
