//! A host that is in a bad way: full disks, cgroups that others remove, limits on the runtime itself, a bus
//! that is none. rind says in one line what failed and why, and leaves nothing half done.

use crate::faults::by_shell;
use crate::locked::Host;
use integration_tests::cgroup::{self, needs_cgroupfs};
use integration_tests::command::{Output, run};
use integration_tests::criu::needs_criu;
use integration_tests::host::{is_alive, wait_for};
use integration_tests::test::{Test, in_parallel, skip};
use integration_tests::{Bundle, Container, json, tests};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub const TESTS: &[Test] = tests![
    full_disk_of_the_state,
    full_disk_of_a_pid_file,
    full_disk_of_an_exec_fifo,
    full_disk_of_the_log,
    full_disk_of_an_image,
    cgroup_that_others_have_removed,
    cgroup_that_others_have_removed_of_a_created_container,
    init_that_the_oom_killer_ends,
    limit_on_processes_of_the_caller,
    files_that_may_not_grow_are_an_error,
    little_memory_for_the_runtime,
    few_descriptors_for_each_command,
    bus_that_hangs_up,
    bus_that_talks_nonsense,
    bus_that_is_a_file,
];

/// Asserts that `output` is a failure told of in one line, which has each of `words`.
#[track_caller]
fn failed_with_all(output: &Output, words: &[&str]) {
    let is_told = words.iter().all(|word| output.stderr.contains(word));
    assert!(output.code != 0 && is_told, "should have failed with {words:?}: {output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
}

/// A mount namespace in which `folder` is a file system of `size` bytes.
fn small(folder: &str, size: &str) -> Host {
    Host::new("mount -t tmpfs -o \"mode=711,size=$2\" none \"$1\"", &[folder, size])
}

/// A mount namespace with a folder `full` of the test's that has no room.
fn full_folder(bundle: &Bundle) -> (Host, PathBuf) {
    let full = bundle.folder().join("full");
    fs::create_dir(&full).unwrap();
    let script = "mount -t tmpfs -o size=4k none \"$1\"; head -c 4096 /dev/zero > \"$1/filler\"";
    (Host::new(script, &[full.to_str().unwrap()]), full)
}

/// What needs no room succeeds, what needs it says so, and takes nothing back that was there.
fn full_disk_of_the_state() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let root = bundle.state_root().to_str().unwrap().to_owned();
    let host = small(&root, "64k");
    let container = Container::new(bundle);
    let call = |name: &str, flags: &[&str], args: &[&str]| {
        let mut command = container.command_for(name, flags);
        command.args(args);
        run(host.command(&command))
    };
    let shell = |script: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh", &root]);
        run(host.command(&command))
    };
    let _ = call("run", &["--detach"], &[]).succeeded();
    let _ = shell("cat /dev/zero > \"$1/filler\" 2> /dev/null; true").succeeded();
    for (name, flags, args) in [
        ("state", &[][..], &[][..]),
        ("pause", &[], &[]),
        ("resume", &[], &[]),
        ("update", &["--pids-limit", "40"], &[]),
        ("exec", &[], &["/bin/probe", "exit", "0"]),
        ("ps", &[], &[]),
    ] {
        let _ = call(name, flags, args).succeeded();
    }
    // The list of what has been added.
    let mounts = container.bundle().folder().join("mounts.json");
    fs::write(&mounts, r#"[{ "destination": "/tmp", "type": "tmpfs" }]"#).unwrap();
    let added = call("mounts", &["add"], &[mounts.to_str().unwrap()]);
    failed_with_all(&added, &["mounts.json", "no space left"]);
    // What it has no word of in the kernel goes to the record.
    let resources = container.bundle().folder().join("resources.json");
    let rule = json!([{ "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" }]);
    fs::write(&resources, json!({ "devices": rule }).to_string()).unwrap();
    let updated = call("update", &["--resources", resources.to_str().unwrap()], &[]);
    failed_with_all(&updated, &["state.json", "no space left"]);
    let listed = run(host.command(&container.command(&["list", "--quiet"]))).succeeded();
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), [container.id()]);
    let _ = call("kill", &[], &["KILL"]).succeeded();
    let stopped = || call("state", &[], &[]).stdout.contains("\"stopped\"");
    wait_for("it to stop", stopped);
    let _ = call("delete", &[], &[]).succeeded();
    assert_eq!(shell("ls -A \"$1\"").succeeded().stdout, "filler\n");
    let _ = shell("cat /dev/zero >> \"$1/filler\" 2> /dev/null; true").succeeded();
    failed_with_all(&call("create", &[], &[]), &["no space left"]);
    assert_eq!(shell("ls -A \"$1\"").succeeded().stdout, "filler\n");
    container.assert_no_trace();
}

fn full_disk_of_a_pid_file() {
    let bundle = Bundle::new().probing(&["sleep"]);
    let (host, full) = full_folder(&bundle);
    let file = full.join("pid");
    let flags = ["--pid-file", file.to_str().unwrap()];
    let mut container = Container::new(bundle);
    for (name, more) in [("create", &[][..]), ("run", &[]), ("run", &["--detach"])] {
        let command = container.command_for(name, &[&flags[..], more].concat());
        failed_with_all(&run(host.command(&command)), &[flags[1], "no space left"]);
        container.assert_no_trace();
    }
    container.create(&[]);
    container.start();
    let before = container.traces();
    for more in [&[][..], &["--detach"]] {
        let flags = [&flags[..], more].concat();
        let command = container.exec_command(&flags, &["/bin/probe", "sleep"]);
        failed_with_all(&run(host.command(&command)), &[flags[1], "no space left"]);
        wait_for("the process to be gone", || container.traces() == before);
    }
}

fn full_disk_of_an_exec_fifo() {
    let container = Container::running(Bundle::new());
    let full = container.bundle().folder().join("full");
    fs::create_dir(&full).unwrap();
    let host = Host::new("mount -t tmpfs -o nr_inodes=1 none \"$1\"", &[full.to_str().unwrap()]);
    let fifo = full.join("fifo");
    let flags = ["--exec-fifo", fifo.to_str().unwrap()];
    let command = container.exec_command(&flags, &["/bin/probe", "exit", "0"]);
    failed_with_all(&run(host.command(&command)), &[flags[1], "no space left"]);
}

/// A message that there is no room for is no reason for a container not to come up; an error is still
/// told on stderr.
fn full_disk_of_the_log() {
    let bundle = Bundle::new().probing(&["exit", "7"]);
    let (host, full) = full_folder(&bundle);
    let log = full.join("log");
    let container = Container::new(bundle);
    let with_log = |name: &str, flags: &[&str]| {
        let mut command = container.command(&["--debug", "--log", log.to_str().unwrap(), name]);
        if name == "run" {
            command.arg("--bundle").arg(container.bundle().path());
        }
        command.args(flags).arg(container.id());
        run(host.command(&command))
    };
    assert_eq!(with_log("run", &[]).code, 7);
    container.assert_no_trace();
    let _ = with_log("start", &[]).failed_with("does not exist");
}

fn full_disk_of_an_image() {
    let criu = needs_criu().to_str().unwrap();
    let container = Container::running(Bundle::new());
    let (host, full) = full_folder(container.bundle());
    let mut command = container.command(&["--criu", criu, "checkpoint", "--image-path"]);
    command.arg(full.join("image")).arg(container.id());
    let output = run(host.command(&command));
    assert!(output.code != 0 && output.stderr.contains("no space left"), "{output:#?}");
    assert_eq!(container.status(), "running");
    container.kill("TERM");
    container.wait_line("SIGTERM");
}

/// Takes a process out of all its cgroups, and removes these.
fn remove_cgroups(pid: i32, id: &str) {
    for hierarchy in cgroup::hierarchies() {
        let _ = fs::write(hierarchy.mount.join("cgroup.procs"), pid.to_string());
    }
    for folder in cgroup::named(id) {
        wait_for("a cgroup to be empty", || fs::remove_dir(&folder).is_ok() || !folder.exists());
    }
}

fn cgroup_that_others_have_removed() {
    needs_cgroupfs();
    let container = Container::running(Bundle::new());
    let pid = container.pid();
    remove_cgroups(pid, container.id());
    for (name, flags) in [
        ("update", &["--pids-limit", "40"][..]),
        ("update", &["--memory", "100M"]),
        ("pause", &[]),
        ("events", &["--stats"]),
        ("ps", &[]),
    ] {
        let output = container.call(name, flags);
        failed_with_all(&output, &["/sys/fs/cgroup/", container.id()]);
    }
    failed_with_all(&container.exec(&[], &["/bin/probe", "exit", "0"]), &["cgroup", "is gone"]);
    assert_eq!(container.status(), "running");
    container.kill("USR1");
    container.wait_line("SIGUSR1");
    container.kill("KILL");
    container.wait_stopped();
    container.delete();
}

fn cgroup_that_others_have_removed_of_a_created_container() {
    needs_cgroupfs();
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    for force in [true, false] {
        container.create(&[]);
        let pid = container.pid();
        remove_cgroups(pid, container.id());
        assert_eq!(container.status(), "created");
        if force {
            let _ = container.call("delete", &["--force"]).succeeded();
            container.assert_no_trace();
            assert!(!is_alive(pid));
        } else {
            container.start();
            container.stop();
            container.delete();
        }
    }
}

/// By a limit that has no room for making the container; v2's is told of in `v2.rs`.
fn init_that_the_oom_killer_ends() {
    needs_cgroupfs();
    if cgroup::controller("memory").version == 2 {
        skip("the limit of version 2 is tested in v2.rs");
    }
    let mounts: Vec<_> = (0..60)
        .map(|number| json!({ "destination": format!("/tmp/{number}"), "type": "tmpfs" }))
        .collect();
    let bundle = Bundle::new().writable().config(|config| {
        config["mounts"].as_array_mut().unwrap().extend(mounts);
        config["linux"]["resources"] = json!({ "memory": { "limit": 4096 } });
    });
    let container = Container::new(bundle);
    for (name, flags) in [("create", &[][..]), ("run", &[]), ("run", &["--detach"])] {
        let output = container.call(name, flags);
        failed_with_all(&output, &["linux.resources.memory.limit"]);
        container.assert_no_trace();
    }
}

/// Of the cgroup that the runtime is in.
fn limit_on_processes_of_the_caller() {
    let pids = cgroup::controller("pids");
    if pids.version == 2 {
        skip("rind's processes would have to be in a cgroup that the tests may not divide");
    }
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    let folder = pids.mount.join(format!("few-{}", container.id()));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("pids.max"), "1").unwrap();
    let join = format!("echo $$ > {}/cgroup.procs", folder.display());
    let limited =
        |container: &Container, name: &str| run(by_shell(&join, &container.command_for(name, &[])));
    for name in ["create", "run"] {
        let output = limited(&container, name);
        let left = container.traces().len();
        failed_with_all(&output, &["forking init", "pids.max", "ulimit -u"]);
        // The cgroup of the test's own has its name.
        assert_eq!(left, 1, "{:?}", container.traces());
    }
    container.create(&[]);
    for name in ["start", "kill", "delete"] {
        let output = limited(&container, name);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{name}: {output:#?}");
        match name {
            // Until it handles them, init of a pid namespace gets no signals.
            "start" => container.wait_line("ready"),
            "kill" => container.wait_stopped(),
            _ => (),
        }
    }
    fs::remove_dir(&folder).unwrap();
}

/// A write beyond the limit is one that fails, where the kernel would kill who does it.
fn files_that_may_not_grow_are_an_error() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    // What it says has to go to something that is no file.
    let limited = |container: &Container, name: &str| {
        let usual = container.command_for(name, &[]);
        let mut command = Command::new("/bin/sh");
        let script = r#"(ulimit -f 0; "$@"; echo "status $?") 2>&1 | cat"#;
        command.args(["-c", script, "sh"]).arg(usual.get_program()).args(usual.get_args());
        run(command).succeeded().stdout
    };
    for name in ["create", "run"] {
        let said = limited(&container, name);
        assert!(said.contains("config.json") && said.contains("file too large"), "{said}");
        assert!(said.ends_with("\nstatus 1\n") && said.lines().count() == 2, "{said}");
        container.assert_no_trace();
    }
    container.create(&[]);
    for name in ["state", "start", "pause", "resume", "kill"] {
        let said = limited(&container, name);
        assert!(said.ends_with("status 0\n"), "{said}");
        if name == "start" {
            container.wait_line("ready");
        }
    }
    container.wait_stopped();
    assert_eq!(limited(&container, "delete"), "status 0\n");
    container.assert_no_trace();
}

/// Of which no limit of the caller's is too low.
fn without_limits(bundle: Bundle) -> Bundle {
    bundle.config(|config| drop(config["process"].as_object_mut().unwrap().remove("rlimits")))
}

/// Each limit, down to where no program can be executed: nothing is left in between.
fn little_memory_for_the_runtime() {
    let whole = |limit: &&str| {
        let bundle = without_limits(Bundle::new().with_shell().probing(&["sleep"]));
        let container = Container::new(bundle);
        let mut succeeded = false;
        for name in ["create", "exec", "start", "pause", "resume", "kill", "delete"] {
            let mut usual = match name {
                // How the program fares is not the runtime's affair.
                "exec" => container.exec_command(&["--detach"], &["/bin/true"]),
                _ => container.command_for(name, &[]),
            };
            if name == "kill" {
                usual.arg("KILL"); // it may not handle any yet
            }
            let output = run(by_shell(&format!("ulimit {limit}"), &usual));
            succeeded = output.code == 0;
            if name == "create" && !succeeded {
                container.assert_no_trace();
                break;
            }
            let is_told = output.code < 128 || output.stderr.contains("memory allocation");
            assert!(is_told, "ulimit {limit}: {output:#?}");
            if name == "kill" {
                container.wait_stopped();
            }
        }
        let _ = container.call("delete", &["--force"]).succeeded();
        container.assert_no_trace();
        succeeded
    };
    let limits = [
        "-s 16", "-s 32", "-s 64", "-s 128", "-v 1000", "-v 2000", "-v 2500", "-v 3000", "-v 4000",
        "-d 0", "-d 100", "-d 150", "-d 200", "-d 300", "-d 500", "-l 0",
    ];
    let succeeded =
        in_parallel(limits.chunks(4), |some| some.iter().filter(|it| whole(it)).count());
    let count: usize = succeeded.into_iter().sum();
    assert!(count > 2, "{count} of {} were enough", limits.len());
}

/// Every call that makes a descriptor fails once, in the commands that `faults` doesn't have.
fn few_descriptors_for_each_command() {
    in_parallel(["exec", "start", "pause", "update", "kill", "delete"], |name| {
        let mut container = Container::new(without_limits(Bundle::new().probing(&["sleep"])));
        container.create(&[]);
        if name != "start" {
            container.start();
        }
        if name == "delete" {
            container.stop();
        }
        let status = container.status();
        let enough = (3..40).find(|most| {
            let usual = match name {
                "exec" => container.exec_command(&[], &["/bin/probe", "exit", "0"]),
                "update" => container.command_for(name, &["--pids-limit", "40"]),
                _ => container.command_for(name, &[]),
            };
            let output = run(by_shell(&format!("ulimit -n {most}"), &usual));
            if output.code != 0 {
                failed_with_all(&output, &["too many open files"]);
                assert_eq!(container.status(), status, "{name} with {most}");
            }
            output.code == 0
        });
        assert!(enough.is_some_and(|enough| enough > 4), "{name}: {enough:?} are enough");
    });
}

/// `create` by systemd, of which `answer` is the bus; what is said has `words`.
fn create_by_bus(words: &[&str], answer: impl Fn(UnixStream) + Send + 'static) {
    let bundle =
        Bundle::new().config(|config| config["linux"]["cgroupsPath"] = json!("system.slice:it:x"));
    let socket = bundle.folder().join("bus");
    let listener = UnixListener::bind(&socket).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let answering = thread::spawn({
        let is_over = Arc::clone(&is_over);
        let goes_on = move |_: &UnixStream| !is_over.load(Ordering::Relaxed);
        move || listener.incoming().flatten().take_while(goes_on).for_each(answer)
    });
    let container = Container::new(bundle).with_flags(&["--systemd-cgroup"]);
    for name in ["create", "run"] {
        let mut command = container.command_for(name, &[]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", socket.display()));
        let output = run(command);
        failed_with_all(&output, &[&["systemd"], words].concat());
        container.assert_no_trace();
    }
    is_over.store(true, Ordering::Relaxed);
    drop(UnixStream::connect(socket).unwrap());
    answering.join().unwrap();
}

fn bus_that_hangs_up() {
    create_by_bus(&["--cgroup-manager cgroupfs"], drop);
    create_by_bus(&["--cgroup-manager cgroupfs"], |mut stream| {
        let _ = stream.read(&mut [0; 64]);
    });
}

fn bus_that_talks_nonsense() {
    let texts = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"REJECTED EXTERNAL\r\n".to_vec(),
        b"OK 1234\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        vec![b'x'; 100_000],
        vec![0; 100_000],
    ];
    for text in texts {
        create_by_bus(&["/bus"], move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(&text);
        });
    }
}

fn bus_that_is_a_file() {
    let bundle =
        Bundle::new().config(|config| config["linux"]["cgroupsPath"] = json!("system.slice:it:x"));
    let file = bundle.path().join("config.json");
    let container = Container::new(bundle).with_flags(&["--systemd-cgroup"]);
    let mut create = container.command_for("create", &[]);
    create.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", file.display()));
    failed_with_all(&run(create), &["systemd", "--cgroup-manager cgroupfs"]);
    container.assert_no_trace();
}
