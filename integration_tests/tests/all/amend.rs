//! `mounts add` and `mounts remove`: mounts of a container that is there.

use integration_tests::command::Output;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, command, json, tests};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

pub const TESTS: &[Test] = tests![
    bind_is_added_and_removed,
    options_of_an_added_mount_count,
    tmpfs_is_added_with_the_mode_of_its_place,
    mount_is_added_to_a_created_container,
    mounts_come_from_an_object_and_from_stdin_too,
    all_are_added_or_none,
    file_systems_of_namespaces_are_not_added,
    links_lead_nowhere_outside,
    bind_is_added_in_a_user_namespace,
    what_is_no_mount_is_not_removed,
    mounts_of_a_stopped_container_are_refused,
    mounts_that_make_no_sense_are_refused,
];

/// Calls `mounts ACTION` with this list.
#[track_caller]
fn mounts(container: &Container, action: &str, list: &Value) -> Output {
    let file = container.bundle().folder().join("mounts.json");
    fs::write(&file, list.to_string()).unwrap();
    let file = file.to_str().unwrap();
    command::run(container.command(&["mounts", action, container.id(), file]))
}

/// A folder of the host's with a file in it, and a container with a shell.
fn prepared() -> (Container, String) {
    prepared_as(Bundle::new().with_shell())
}

fn prepared_as(bundle: Bundle) -> (Container, String) {
    let container = Container::running(bundle.writable());
    let source = container.bundle().folder().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "from outside\n").unwrap();
    (container, source.to_str().unwrap().to_owned())
}

/// What a script in the container prints.
#[track_caller]
fn says(container: &Container, script: &str) -> String {
    container.exec(&[], &["/bin/sh", "-c", script]).succeeded().stdout
}

fn bind(source: &str) -> Value {
    json!([{ "destination": "/new/place", "source": source, "options": ["bind"] }])
}

fn bind_is_added_and_removed() {
    let (container, source) = prepared();
    let _ = mounts(&container, "add", &bind(&source)).succeeded();
    assert_eq!(says(&container, "cat /new/place/file"), "from outside\n");
    let _ = mounts(&container, "remove", &json!([{ "destination": "/new/place" }])).succeeded();
    assert_eq!(says(&container, "ls /new/place"), "");
    // On the host nothing has been mounted.
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains(&source), "{host}");
}

fn options_of_an_added_mount_count() {
    let (container, source) = prepared();
    let options = json!(["rbind", "ro", "noexec", "nosuid"]);
    let list = json!([{ "destination": "/x", "source": source, "options": options }]);
    let _ = mounts(&container, "add", &list).succeeded();
    let line = says(&container, "grep ' /x ' /proc/self/mountinfo");
    for option in ["ro", "noexec", "nosuid"] {
        assert!(line.contains(option), "{option}: {line}");
    }
}

fn tmpfs_is_added_with_the_mode_of_its_place() {
    let (container, _) = prepared();
    let _ = says(&container, "mkdir -m 1777 /scratch");
    let list = json!([{ "destination": "/scratch", "type": "tmpfs", "options": ["size=64k"] }]);
    let _ = mounts(&container, "add", &list).succeeded();
    let line = says(&container, "grep ' /scratch ' /proc/self/mountinfo; ls -ld /scratch");
    assert!(line.contains("tmpfs") && line.contains("size=64k"), "{line}");
    assert!(line.contains("drwxrwxrwt"), "{line}");
}

fn mount_is_added_to_a_created_container() {
    let container = Container::created(Bundle::new().writable().script("cat /x/file"));
    let source = container.bundle().folder().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "in time\n").unwrap();
    let list = json!([{ "destination": "/x", "source": source, "options": ["bind"] }]);
    let _ = mounts(&container, "add", &list).succeeded();
    container.start();
    container.wait_line("in time");
}

fn mounts_come_from_an_object_and_from_stdin_too() {
    let (container, source) = prepared();
    let _ = mounts(&container, "add", &json!({ "mounts": bind(&source) })).succeeded();
    assert_eq!(says(&container, "cat /new/place/file"), "from outside\n");
    let script = "echo '[{\"destination\":\"/new/place\"}]' | \"$@\"";
    let rind = container.command(&["mounts", "remove", container.id(), "-"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(rind.get_program()).args(rind.get_args());
    let _ = command::run(shell).succeeded();
    assert_eq!(says(&container, "ls /new/place"), "");
}

fn all_are_added_or_none() {
    let (container, source) = prepared();
    let list = json!([
        { "destination": "/one", "source": source, "options": ["bind"] },
        { "destination": "/proc/1/fd", "source": source, "options": ["bind"] },
    ]);
    let _ = mounts(&container, "add", &list).failed_with("mounts[1]");
    assert_eq!(says(&container, "grep -c ' /one ' /proc/self/mountinfo || true"), "0\n");
}

/// They would be of the host's namespaces, which they are made in.
fn file_systems_of_namespaces_are_not_added() {
    let (container, _) = prepared();
    for kind in ["proc", "sysfs", "mqueue", "devpts"] {
        let list = json!([{ "destination": "/x", "type": kind, "source": kind }]);
        let text = format!("mounts[0] /x: a new {kind} would show the host's");
        let _ = mounts(&container, "add", &list).failed_with(&text);
    }
    let list = json!([{ "destination": "/x", "type": "cgroup", "source": "cgroup" }]);
    let _ = mounts(&container, "add", &list).failed_with("a cgroup mount can't be added");
}

fn links_lead_nowhere_outside() {
    let (container, source) = prepared();
    let outside = container.bundle().folder().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, container.bundle().rootfs().join("link")).unwrap();
    let list = json!([{ "destination": "/link/deep", "source": source, "options": ["bind"] }]);
    let _ = mounts(&container, "add", &list).succeeded();
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    let inside = format!("cat {}/deep/file", outside.display());
    assert_eq!(says(&container, &inside), "from outside\n");
}

fn bind_is_added_in_a_user_namespace() {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let bundle = Bundle::new().with_shell().namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    });
    let (container, source) = prepared_as(bundle);
    let _ = mounts(&container, "add", &bind(&source)).succeeded();
    assert_eq!(says(&container, "cat /new/place/file"), "from outside\n");
    let list = json!([{ "destination": "/x", "type": "tmpfs", "source": "tmpfs" }]);
    let _ = mounts(&container, "add", &list).failed_with("user namespace: bind one");
}

fn what_is_no_mount_is_not_removed() {
    let (container, _) = prepared();
    let _ = mounts(&container, "remove", &json!([{ "destination": "/bin" }]))
        .failed_with("unmounting mounts[0] /bin: invalid argument (nothing is mounted there)");
    let _ = mounts(&container, "remove", &json!([{ "destination": "/nowhere" }]))
        .failed_with("unmounting mounts[0] /nowhere: no such file or directory");
}

fn mounts_of_a_stopped_container_are_refused() {
    let (container, source) = prepared();
    container.kill("KILL");
    container.wait_stopped();
    let _ = mounts(&container, "add", &bind(&source)).failed_with("container not running");
}

fn mounts_that_make_no_sense_are_refused() {
    let (container, source) = prepared();
    let nothing = json!([{ "destination": "", "source": source, "options": ["bind"] }]);
    let _ = mounts(&container, "add", &nothing).failed_with("mounts[0].destination: is empty");
    let _ = mounts(&container, "add", &json!({})).failed_with("missing field `mounts`");
    let _ = mounts(&container, "shake", &bind(&source)).failed_with("neither add nor remove");
    let missing = json!([{ "destination": "/x", "source": "/no/such", "options": ["bind"] }]);
    let _ = mounts(&container, "add", &missing).failed_with("error mounting \\\"/no/such\\\"");
    assert!(Path::new(&source).exists());
}
