//! `mounts add` and `mounts remove`: mounts of a container that is there.

use integration_tests::bundle::push;
use integration_tests::command::Output;
use integration_tests::criu::{forgets_no_new_privs, needs_criu};
use integration_tests::host::needs_kernel;
use integration_tests::race;
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, command, json, tests};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use sys::nix::sys::stat::{Mode, SFlag, makedev, mknod};

pub const TESTS: &[Test] = tests![
    bind_is_added_and_removed,
    options_of_an_added_mount_count,
    tmpfs_is_added_with_the_mode_of_its_place,
    mount_is_added_to_a_created_container,
    mounts_come_from_an_object_and_from_stdin_too,
    all_are_added_or_none,
    file_systems_of_namespaces_are_not_added,
    links_of_the_container_are_not_followed,
    files_are_unmounted_too,
    what_the_config_mounts_is_removed,
    mount_behind_a_link_of_the_image_is_removed_by_its_real_path,
    what_is_stacked_is_removed_from_the_top,
    what_a_failed_add_has_made_is_taken_back,
    link_in_place_of_a_mount_uncovers_nothing,
    moved_cover_is_neither_removed_nor_changed,
    covers_are_left_alone,
    mounts_in_exchanged_places_are_told_apart,
    added_mounts_in_exchanged_places_are_told_apart,
    what_the_container_has_mounted_is_not_removed,
    proc_of_the_container_is_not_used,
    source_that_is_gone_does_not_keep_its_mount,
    mounts_are_remounted,
    what_is_below_a_remounted_tree_stays_read_only,
    bind_that_is_somewhere_else_is_not_checkpointed,
    racing_links_uncover_nothing,
    racing_exchange_of_a_cover_uncovers_nothing,
    racing_links_let_no_mount_point_be_made_elsewhere,
    racing_devices_are_not_copied_up,
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

/// A container that may do about what Docker lets it, and a folder of the host's. `edit` gets the
/// config, that folder and the root.
fn hostile(edit: impl FnOnce(&mut Value, &str, &Path)) -> (Container, String) {
    let bundle = Bundle::new().with_shell().writable();
    let source = bundle.folder().join("volume");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "from the volume\n").unwrap();
    let (source, root) = (source.to_str().unwrap().to_owned(), bundle.rootfs());
    let bundle = bundle
        .capabilities(&["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_MKNOD"])
        .config(|config| edit(config, &source, &root));
    (Container::running(bundle), source)
}

fn mount_at(destination: &str, source: &str) -> Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": ["bind"] })
}

/// An entry of a list for `remove`.
fn at(destination: &str) -> Value {
    json!([{ "destination": destination }])
}

/// How many mounts the container has at `path`.
#[track_caller]
fn mounts_at(container: &Container, path: &str) -> usize {
    let script = format!("grep -cE '^([^ ]+ ){{4}}{path} ' /proc/self/mountinfo || true");
    says(container, &script).trim().parse().unwrap()
}

/// Asserts that what covers /proc/sys is there and read-only.
#[track_caller]
fn assert_covered(container: &Container) {
    let line = says(container, "grep ' /proc/sys ' /proc/self/mountinfo");
    assert!(line.lines().count() == 1 && line.contains(" ro,"), "{line}");
}

/// A failure of one line that says `text`.
#[track_caller]
fn refused(output: Output, text: &str) {
    let output = output.failed_with(text);
    assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
}

fn remount(destination: &str, options: &[&str]) -> Value {
    let options = [&["remount", "bind"], options].concat();
    json!([{ "destination": destination, "type": "none", "source": "none", "options": options }])
}

fn links_of_the_container_are_not_followed() {
    let (container, source) = prepared();
    let outside = container.bundle().folder().join("outside");
    fs::create_dir(&outside).unwrap();
    let root = container.bundle().rootfs();
    fs::create_dir_all(root.join("real/deep")).unwrap();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../../..", root.join("real/up")).unwrap();
    symlink("real/deep", root.join("relative")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    for (path, link) in [
        ("/absolute/deep", "/absolute"),
        ("/absolute", "/absolute"),
        ("/real/up/x", "/real/up"),
        ("/relative", "/relative"),
        ("/real/../relative/x/..", "/relative"),
        ("/dangling", "/dangling"),
    ] {
        let text = format!("({link} is a link: in a container that is there the real path");
        refused(mounts(&container, "add", &json!([mount_at(path, &source)])), &text);
        refused(mounts(&container, "add", &remount(path, &["ro"])), &text);
        let text = format!("unmounting mounts[0] {path}: too many levels of symbolic links");
        refused(mounts(&container, "remove", &at(path)), &text);
    }
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    assert!(!root.join("nowhere").exists() && !root.join("real/deep/x").exists());
    let _ = mounts(&container, "add", &json!([mount_at("/real/./x/../deep", &source)])).succeeded();
    assert_eq!(says(&container, "cat /relative/file"), "from outside\n");
}

fn files_are_unmounted_too() {
    let (container, source) = hostile(|config, source, _| {
        push(&mut config["mounts"], mount_at("/etc/one", &format!("{source}/file")));
    });
    let file = format!("{source}/file");
    let _ = mounts(&container, "add", &json!([mount_at("/etc/two", &file)])).succeeded();
    for path in ["/etc/one", "/etc/two"] {
        assert_eq!(says(&container, &format!("cat {path}")), "from the volume\n");
        let _ = mounts(&container, "remove", &at(path)).succeeded();
        assert_eq!(says(&container, &format!("cat {path}")), "", "{path}");
    }
}

fn what_the_config_mounts_is_removed() {
    // Before, two of a kind and name may have been exchanged, and are refused.
    needs_kernel(6, 8, "tell mounts apart by ids that are never given again");
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    for with_users in [false, true] {
        let (container, _) = hostile(|config, source, root| {
            fs::create_dir(Path::new(source).join("deep")).unwrap();
            for path in ["a/dir", "a/tmp", "b/dir", "b/tmp"] {
                fs::create_dir_all(root.join(path)).unwrap();
            }
            fs::write(root.join("b/file"), "").unwrap();
            let tmpfs =
                |path: &str| json!({ "destination": path, "type": "tmpfs", "source": "tmpfs" });
            for mount in [
                mount_at("/a/dir", source),
                mount_at("/b/dir", source),
                mount_at("/b/dir/deep", "/dev/shm"),
                mount_at("/b/file", &format!("{source}/file")),
                tmpfs("/a/tmp"),
                tmpfs("/b/../b/tmp"),
            ] {
                push(&mut config["mounts"], mount);
            }
            if with_users {
                push(&mut config["linux"]["namespaces"], json!({ "type": "user" }));
                config["linux"]["uidMappings"] = mapping.clone();
                config["linux"]["gidMappings"] = mapping.clone();
            }
        });
        for path in [
            "/a/dir",
            "/b/dir/deep",
            "/b/dir",
            "/b/file",
            "/a/tmp",
            "/b/tmp",
            "/dev/shm",
            "/dev/mqueue",
            "/sys/fs/cgroup",
            "/sys",
        ] {
            assert_eq!(mounts_at(&container, path), 1, "{path}");
            let _ = mounts(&container, "remove", &at(path)).succeeded();
            assert_eq!(mounts_at(&container, path), 0, "{path}");
            refused(mounts(&container, "remove", &at(path)), "(nothing is mounted there)");
        }
        assert_covered(&container);
    }
}

/// A link of the image has led there when it was made.
fn mount_behind_a_link_of_the_image_is_removed_by_its_real_path() {
    let (container, _) = hostile(|config, source, root| {
        fs::create_dir_all(root.join("run")).unwrap();
        fs::create_dir_all(root.join("var")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        push(&mut config["mounts"], mount_at("/var/run/it", source));
    });
    refused(mounts(&container, "remove", &at("/var/run/it")), "(/var/run is a link");
    let _ = mounts(&container, "remove", &at("/run/it")).succeeded();
    assert_eq!(mounts_at(&container, "/run/it"), 0);
}

fn what_is_stacked_is_removed_from_the_top() {
    let (container, source) = hostile(|config, source, _| {
        push(&mut config["mounts"], mount_at("/x", source));
    });
    let _ = says(&container, "mkdir /y && echo 1 >/y/1");
    let other = container.bundle().rootfs().join("y");
    let list = json!([mount_at("/x", other.to_str().unwrap()), mount_at("/x", &source)]);
    let _ = mounts(&container, "add", &list).succeeded();
    assert_eq!(mounts_at(&container, "/x"), 3);
    for expected in ["1\n", "file\n", ""] {
        let _ = mounts(&container, "remove", &at("/x")).succeeded();
        assert_eq!(says(&container, "ls /x"), expected);
    }
    refused(mounts(&container, "remove", &at("/x")), "(nothing is mounted there)");
}

fn what_a_failed_add_has_made_is_taken_back() {
    let (container, source) = hostile(|_, _, _| {});
    let _ = says(&container, "mkdir /there && echo 1 >/there/old");
    let file = format!("{source}/file");
    let list = json!([
        mount_at("/there/file", &file),
        mount_at("/there/old", &file),
        mount_at("/new/deep/dir", &source),
        mount_at("/new/deep/dir/file", &file),
        { "destination": "/new/tmp", "type": "tmpfs", "source": "tmpfs" },
        mount_at("/proc/1/fd", &source),
    ]);
    let text =
        "to rootfs at \\\"/proc/1/fd\\\": mounts[5]: cannot be mounted because it is inside /proc";
    for _ in 0..2 {
        refused(mounts(&container, "add", &list), text);
        let left =
            says(&container, "grep -E ' /(there|new)' /proc/self/mountinfo || true; ls / /there");
        assert!(!left.contains(" - ") && !left.contains("new") && !left.contains("file"), "{left}");
    }
    assert_eq!(says(&container, "cat /there/old"), "1\n");
    // And nothing is thought to be there.
    refused(mounts(&container, "remove", &at("/there/old")), "(nothing is mounted there)");
}

/// The parent of a mount point is exchanged for a folder with a link in it.
fn link_in_place_of_a_mount_uncovers_nothing() {
    let (container, source) = hostile(|config, source, _| {
        let mut mount = mount_at("/mnt/x/vol", source);
        mount["options"] = json!(["bind", "ro"]);
        push(&mut config["mounts"], mount);
    });
    for target in ["/proc/sys", "../../proc/sys"] {
        let script = format!("mv /mnt/x /mnt/moved && mkdir /mnt/x && ln -s {target} /mnt/x/vol");
        let _ = says(&container, &script);
        refused(mounts(&container, "remove", &at("/mnt/x/vol")), "/mnt/x/vol is a link");
        refused(mounts(&container, "add", &remount("/mnt/x/vol", &["rw"])), "/mnt/x/vol is a link");
        refused(
            mounts(&container, "add", &json!([mount_at("/mnt/x/vol", &source)])),
            "/mnt/x/vol is a link",
        );
        assert_covered(&container);
        // Where it is now it was never put.
        let text =
            "unmounting mounts[0] /mnt/moved/vol: operation not permitted (neither the config";
        refused(mounts(&container, "remove", &at("/mnt/moved/vol")), text);
        let _ = says(&container, "rm -r /mnt/x && mv /mnt/moved /mnt/x");
    }
    let _ = mounts(&container, "remove", &at("/mnt/x/vol")).succeeded();
}

/// The folder of a masked or a read-only path is moved to where the config has a mount.
fn moved_cover_is_neither_removed_nor_changed() {
    let (container, _) = hostile(|config, source, root| {
        push(&mut config["mounts"], mount_at("/mnt/dir/it", source));
        push(&mut config["mounts"], mount_at("/mnt/file/it", &format!("{source}/file")));
        push(&mut config["mounts"], mount_at("/mnt/null/it", "/dev/null"));
        push(
            &mut config["mounts"],
            json!({ "destination": "/mnt/tmpfs/it", "type": "tmpfs", "source": "tmpfs" }),
        );
        push(&mut config["linux"]["readonlyPaths"], json!("/covers/dir/it"));
        push(&mut config["linux"]["readonlyPaths"], json!("/covers/file/it"));
        push(&mut config["linux"]["maskedPaths"], json!("/covers/tmpfs/it"));
        push(&mut config["linux"]["maskedPaths"], json!("/covers/null/it"));
        for name in ["dir", "tmpfs"] {
            fs::create_dir_all(root.join("covers").join(name).join("it")).unwrap();
        }
        for name in ["file", "null"] {
            fs::create_dir_all(root.join("covers").join(name)).unwrap();
            fs::write(root.join("covers").join(name).join("it"), "covered\n").unwrap();
        }
    });
    for name in ["dir", "file", "null", "tmpfs"] {
        let place = format!("/mnt/{name}/it");
        let _ =
            says(&container, &format!("mv /mnt/{name} /mnt/old && mv /covers/{name} /mnt/{name}"));
        assert_eq!(mounts_at(&container, &place), 1, "{name}");
        refused(mounts(&container, "remove", &at(&place)), "operation not permitted (it ");
        refused(
            mounts(&container, "add", &remount(&place, &["rw"])),
            "operation not permitted (it ",
        );
        let line = says(&container, &format!("grep ' {place} ' /proc/self/mountinfo"));
        assert!(name == "null" || line.contains(&format!(" {place} ro")), "{line}");
        let _ =
            says(&container, &format!("mv /mnt/{name} /covers/{name} && mv /mnt/old /mnt/{name}"));
        if name != "null" {
            // Which of the two is which is certain again, but for what looks the same.
            let _ = mounts(&container, "remove", &at(&place)).succeeded();
        }
    }
}

fn covers_are_left_alone() {
    let (container, source) = hostile(|config, source, _| {
        push(&mut config["mounts"], mount_at("/volume", source));
        push(&mut config["linux"]["readonlyPaths"], json!("/volume"));
    });
    for path in ["/proc/sys", "/proc/kcore", "/sys/firmware", "/volume", "/proc/sysrq-trigger"] {
        if mounts_at(&container, path) == 0 {
            // This kernel has no such file.
            continue;
        }
        let before = mounts_at(&container, path);
        for output in [
            mounts(&container, "remove", &at(path)),
            mounts(&container, "remove", &at(&format!("/proc/../{path}/"))),
            mounts(&container, "add", &remount(path, &["rw"])),
        ] {
            refused(output, "it covers one of linux.maskedPaths or linux.readonlyPaths");
        }
        assert_eq!(mounts_at(&container, path), before, "{path}");
    }
    // What is put on one can be taken away again, and nothing more.
    let _ = mounts(&container, "add", &json!([mount_at("/volume", &source)])).succeeded();
    let _ = mounts(&container, "remove", &at("/volume")).succeeded();
    refused(mounts(&container, "remove", &at("/volume")), "it covers one of");
    refused(mounts(&container, "remove", &at("/dev/pts/ptmx")), "(nothing is mounted there)");
    refused(mounts(&container, "remove", &at("/x/..")), "is the root");
    assert_covered(&container);
}

/// A mount goes where the folder goes that it is in.
fn mounts_in_exchanged_places_are_told_apart() {
    let (container, _) = hostile(|config, source, _| {
        fs::create_dir(Path::new(source).join("other")).unwrap();
        let mut read_only = mount_at("/b/same", source);
        read_only["options"] = json!(["bind", "ro"]);
        let tmpfs = |path: &str, option: &str| {
            let options = json!([option, "size=64k"]);
            json!({ "destination": path, "type": "tmpfs", "source": "tmpfs", "options": options })
        };
        for mount in [
            mount_at("/a/differs", source),
            mount_at("/b/differs", &format!("{source}/other")),
            mount_at("/a/same", source),
            read_only,
            tmpfs("/a/tmp", "rw"),
            tmpfs("/b/tmp", "ro"),
        ] {
            push(&mut config["mounts"], mount);
        }
    });
    let _ = says(&container, "mv /a /c && mv /b /a && mv /c /b");
    for name in ["differs", "same", "tmp"] {
        for path in [format!("/a/{name}"), format!("/b/{name}")] {
            refused(mounts(&container, "remove", &at(&path)), "operation not permitted (it ");
            let output = mounts(&container, "add", &remount(&path, &["rw"]));
            refused(output, "operation not permitted (it ");
        }
    }
    // With only one of them at its place, it could be either.
    let _ = says(&container, "mv /b /c");
    refused(mounts(&container, "remove", &at("/a/same")), "operation not permitted (it ");
    let _ = says(&container, "mv /a /b && mv /c /a");
    if !has_unique_mount_ids() {
        skip("the kernel gives ids of mounts again, so those of the same kind can't be told apart");
    }
    for name in ["tmp", "same", "differs"] {
        for path in [format!("/a/{name}"), format!("/b/{name}")] {
            let _ = mounts(&container, "remove", &at(&path)).succeeded();
            assert_eq!(mounts_at(&container, &path), 0, "{path}");
        }
    }
}

/// Whether the kernel is 6.8 or newer.
fn has_unique_mount_ids() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(8))
}

fn added_mounts_in_exchanged_places_are_told_apart() {
    let (container, source) = hostile(|_, _, _| {});
    let mut read_only = mount_at("/b/it", &source);
    read_only["options"] = json!(["bind", "ro"]);
    let list = json!([mount_at("/a/it", &source), read_only]);
    let _ = mounts(&container, "add", &list).succeeded();
    let _ = says(&container, "mv /a /c && mv /b /a && mv /c /b");
    refused(
        mounts(&container, "remove", &at("/a/it")),
        "(it is what mounts add put at /b/it, moved",
    );
    refused(
        mounts(&container, "add", &remount("/a/it", &["rw"])),
        "(it is what mounts add put at /b/it",
    );
    let _ = says(&container, "mv /a /c && mv /b /a && mv /c /b");
    let _ = mounts(&container, "remove", &json!([at("/a/it")[0], at("/b/it")[0]])).succeeded();
    assert_eq!(says(&container, "ls /a/it /b/it"), "/a/it:\n\n/b/it:\n");
}

fn what_the_container_has_mounted_is_not_removed() {
    let bundle = Bundle::new().with_shell().writable().capabilities(&["CAP_SYS_ADMIN"]);
    let (container, source) = prepared_as(bundle);
    let _ = mounts(&container, "add", &json!([mount_at("/x/it", &source)])).succeeded();
    let _ =
        says(&container, "mkdir /own /x/it/own; mount -t tmpfs own /own; mount --bind /bin /x/it");
    for path in ["/own", "/x/it"] {
        let output = mounts(&container, "remove", &at(path));
        refused(output, "(neither the config nor mounts add has put it there)");
        refused(mounts(&container, "add", &remount(path, &["ro"])), "(neither the config nor");
    }
    let _ = says(&container, "umount /x/it");
    let _ = mounts(&container, "remove", &at("/x/it")).succeeded();
}

/// Whatever the container puts at /proc says nothing about our descriptors.
fn proc_of_the_container_is_not_used() {
    let bundle = Bundle::new().with_shell().writable().capabilities(&["CAP_SYS_ADMIN"]);
    let (container, source) = prepared_as(bundle);
    let file = format!("{source}/file");
    let list = json!([mount_at("/x", &source), mount_at("/y", &file)]);
    let _ = mounts(&container, "add", &list).succeeded();
    let script = "mkdir /victim && mount -t tmpfs v /victim && mount -t tmpfs p /proc
        mkdir -p /proc/self/fd && i=0
        while [ $i -lt 64 ]; do ln -s /victim /proc/self/fd/$i; i=$((i + 1)); done";
    let _ = says(&container, script);
    let failing = json!([mount_at("/z", &source), mount_at("/bin/sh/x", &source)]);
    refused(mounts(&container, "add", &failing), "mounts[1]");
    let _ = mounts(&container, "remove", &json!([at("/x")[0], at("/y")[0]])).succeeded();
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    assert!(table.contains(" /victim "), "{table}");
    assert!(![" /x ", " /y ", " /z "].iter().any(|path| table.contains(path)), "{table}");
}

fn source_that_is_gone_does_not_keep_its_mount() {
    let (container, source) = hostile(|config, source, _| {
        fs::create_dir(Path::new(source).join("dir")).unwrap();
        push(&mut config["mounts"], mount_at("/x/dir", &format!("{source}/dir")));
        push(&mut config["mounts"], mount_at("/x/file", &format!("{source}/file")));
    });
    let source = Path::new(&source);
    fs::remove_dir(source.join("dir")).unwrap();
    fs::write(source.join("new"), "").unwrap();
    fs::rename(source.join("new"), source.join("file")).unwrap();
    for path in ["/x/dir", "/x/file"] {
        let _ = mounts(&container, "remove", &at(path)).succeeded();
        assert_eq!(mounts_at(&container, path), 0, "{path}");
    }
}

fn mounts_are_remounted() {
    let (container, source) = hostile(|config, source, _| {
        push(&mut config["mounts"], mount_at("/config", source));
    });
    let list = json!([mount_at("/added", &source), remount("/added", &["ro"])[0]]);
    let _ = mounts(&container, "add", &list).succeeded();
    let _ = mounts(&container, "add", &remount("/config", &["ro", "noexec"])).succeeded();
    let is = |path: &str, options: &str| {
        let line = says(&container, &format!("grep ' {path} ' /proc/self/mountinfo"));
        assert!(line.contains(&format!(" {path} {options}")), "{line}");
    };
    is("/added", "ro,");
    is("/config", "ro,noexec");
    let _ = mounts(&container, "add", &remount("/added", &["rw"])).succeeded();
    is("/added", "rw,");
    refused(mounts(&container, "add", &remount("/bin", &["ro"])), "(nothing is mounted there)");
    refused(mounts(&container, "add", &remount("/proc/sys", &["rw"])), "it covers one of");
    let _ = mounts(&container, "add", &remount("/", &["ro"])).succeeded();
    is("/", "ro,");
    let root = remount("/x/..", &["rw"]);
    refused(mounts(&container, "remove", &root), "(it is the root)");
}

fn what_is_below_a_remounted_tree_stays_read_only() {
    let (container, _) = hostile(|config, source, _| {
        push(&mut config["mounts"], mount_at("/volume", source));
    });
    let text = "remounting: operation not permitted (what is mounted below it is read-only";
    refused(mounts(&container, "add", &remount("/proc", &["rrw"])), text);
    assert_covered(&container);
    let _ = mounts(&container, "add", &remount("/volume", &["rro"])).succeeded();
    let _ = mounts(&container, "add", &remount("/volume", &["rrw"])).succeeded();
    assert_eq!(says(&container, "echo 1 >/volume/new && cat /volume/new"), "1\n");
}

/// A restore would give the place of the one to the other, and its attributes too.
fn bind_that_is_somewhere_else_is_not_checkpointed() {
    let _ = needs_criu();
    if forgets_no_new_privs() {
        skip("criu is refused before that, as it would forget no_new_privs");
    }
    let (container, _) = hostile(|config, source, _| {
        let other = format!("{source}/other");
        fs::create_dir(&other).unwrap();
        let mut read_only = mount_at("/a/it", source);
        read_only["options"] = json!(["bind", "ro"]);
        push(&mut config["mounts"], read_only);
        push(&mut config["mounts"], mount_at("/b/it", &other));
    });
    let image = container.bundle().folder().join("image");
    let checkpoint = || {
        let flags = ["--leave-running", "--image-path", image.to_str().unwrap()];
        container.call("checkpoint", &flags)
    };
    let exchange = "mv /a /c && mv /b /a && mv /c /b";
    let _ = says(&container, exchange);
    refused(checkpoint(), "/a/it: what is mounted there is not");
    let _ = says(&container, exchange);
    let _ = says(&container, "mv /a /c && mkdir /a && ln -s /b/it /a/it");
    refused(checkpoint(), "/a/it: what is mounted there is not");
    let _ = says(&container, "rm -r /a && mv /c /a");
    let _ = checkpoint().succeeded();
}

/// Has a process in the container exchange two paths while `task` is done over and over.
#[track_caller]
fn while_exchanging(container: &Container, a: &str, b: &str, mut task: impl FnMut()) {
    let exchanging = command::spawn(container.exec_command(&[], &["/bin/probe", "exchange", a, b]));
    exchanging.wait_line("ready");
    for _ in race::rounds(30, race::TIME) {
        task();
    }
    drop(exchanging);
}

fn racing_links_uncover_nothing() {
    let (container, source) = hostile(|config, source, _| {
        push(&mut config["mounts"], mount_at("/mnt/x/vol", source));
    });
    let _ = says(&container, "mkdir /mnt/y && ln -s /proc/sys /mnt/y/vol");
    let (mut removed, mut refused_links) = (0, 0);
    while_exchanging(&container, "/mnt/x", "/mnt/y", || {
        let _ = mounts(&container, "add", &remount("/mnt/x/vol", &["rw"]));
        let output = mounts(&container, "remove", &at("/mnt/x/vol"));
        removed += usize::from(output.code == 0);
        refused_links += usize::from(output.stderr.contains("is a link"));
        // On the folder of the one or in none.
        let _ = mounts(&container, "add", &json!([mount_at("/mnt/x/vol", &source)]));
        assert_covered(&container);
    });
    assert!(removed > 0 && refused_links > 0, "{removed} {refused_links}: nothing was tried");
}

fn racing_exchange_of_a_cover_uncovers_nothing() {
    let (container, source) = hostile(|config, source, root| {
        push(&mut config["mounts"], mount_at("/mnt/x/vol", source));
        push(&mut config["linux"]["readonlyPaths"], json!("/mnt/y/vol"));
        fs::create_dir_all(root.join("mnt/y/vol")).unwrap();
    });
    let count = "grep -cE ' /mnt/[xy]/vol ro' /proc/self/mountinfo || true";
    let mut removed = 0;
    while_exchanging(&container, "/mnt/x", "/mnt/y", || {
        let _ = mounts(&container, "add", &remount("/mnt/x/vol", &["rw"]));
        let output = mounts(&container, "remove", &at("/mnt/x/vol"));
        removed += usize::from(output.code == 0);
        // The list is not read at one moment, but what is in it doesn't change.
        assert_eq!(says(&container, count), "1\n");
        if output.code == 0 {
            let _ = mounts(&container, "add", &json!([mount_at("/mnt/x/vol", &source)]));
        }
    });
    assert!(removed > 0, "nothing was tried");
}

fn racing_links_let_no_mount_point_be_made_elsewhere() {
    let (container, source) = hostile(|_, _, _| {});
    let _ = says(&container, "mkdir /real /victim && ln -s /victim /link");
    let list = json!([mount_at("/real/deep/er", &source), mount_at("/proc/1/fd", &source)]);
    while_exchanging(&container, "/real", "/link", || {
        refused(mounts(&container, "add", &list), "mounts[");
        let left =
            says(&container, "ls /victim /real/ /link/; grep -c /er /proc/self/mountinfo || true");
        assert!(!left.contains("deep") && left.ends_with("0\n"), "{left}");
    });
}

/// A file that is about to be copied is exchanged for a device, which only the host's side may open.
fn racing_devices_are_not_copied_up() {
    let (container, _) = hostile(|_, _, root| {
        fs::create_dir(root.join("full")).unwrap();
        fs::write(root.join("full/file"), "x".repeat(4096)).unwrap();
        let (kind, mode) = (SFlag::S_IFCHR, Mode::S_IRUSR);
        mknod(&root.join("device"), kind, mode, makedev(1, 5)).unwrap();
    });
    let list = json!([{
        "destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"],
    }]);
    let script = "[ ! -f /full/file ] || [ \"$(head -c 1 /full/file)\" = x ]";
    let mut copied = 0;
    while_exchanging(&container, "/full/file", "/device", || {
        if mounts(&container, "add", &list).code == 0 {
            copied += 1;
            let _ = says(&container, script);
            let _ = mounts(&container, "remove", &at("/full")).succeeded();
        }
    });
    assert!(copied > 0, "nothing was tried");
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
