//! Mounts, the root, masked and read-only paths, and sysctl: what the container's mount table says,
//! and what one can do there.

use crate::rootless::{self, USER};
use integration_tests::command::run;
use integration_tests::host::{needs_kernel, needs_program};
use integration_tests::test::{Test, in_parallel, skip};
use integration_tests::{Bundle, Container, Output, Value, bundle::push, cgroup, json, tests};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use sys::nix::sys::stat::{Mode, SFlag, makedev, mknod};

pub const TESTS: &[Test] = tests![
    usual_file_systems_are_mounted,
    per_mount_options_are_set,
    per_mount_options_are_cleared_by_their_opposites,
    last_of_contradicting_options_wins,
    superblock_options_are_set,
    options_of_mount_2_go_with_all_others,
    disk_that_is_read_only_is_not_written_to,
    file_system_options_are_passed_on,
    unknown_file_system_option_is_refused,
    unknown_file_system_is_refused,
    mounts_are_made_in_their_order,
    destination_may_be_relative,
    destination_is_made,
    destination_may_have_dots,
    destination_may_begin_with_the_root,
    directory_and_file_do_not_go_onto_each_other,
    bind_of_a_folder,
    bind_of_a_file,
    bind_of_a_file_in_a_read_only_root,
    bind_of_every_kind_of_file,
    bind_source_may_be_relative_to_the_bundle,
    bind_needs_no_type,
    bind_with_an_option_that_nobody_knows_is_refused,
    links_are_kept_where_a_bind_says_so,
    link_is_copied_where_a_bind_says_so,
    options_for_links_are_of_binds_only,
    rbind_is_not_taken_back_by_bind,
    access_times_are_what_mount_2_makes_of_their_options,
    bind_without_its_source_is_refused,
    read_only_bind,
    bind_keeps_other_flags_of_its_source,
    bind_in_a_user_namespace_keeps_its_sources_flags,
    locked_flag_of_a_source_stays_or_is_an_error,
    rbind_takes_what_is_mounted_below,
    ro_concerns_one_mount_rro_all,
    recursive_options,
    recursive_options_are_cleared_by_their_opposites,
    remount_changes_an_existing_mount,
    remount_changes_a_file_system,
    root_is_no_mount_point,
    propagation_of_mounts,
    slave_sees_what_the_host_mounts_later,
    tmpfs_with_size_and_mode,
    tmpfs_keeps_the_mode_of_its_mount_point,
    tmpfs_on_a_new_mount_point_is_for_all,
    tmpcopyup_copies,
    tmpcopyup_copies_what_things_are,
    tmpcopyup_of_a_bind_is_refused,
    mqueue_works,
    cgroup_shows_the_own_one,
    cgroup_is_read_only_if_asked,
    cgroup_shows_every_hierarchy,
    cgroup_takes_options_of_mounts,
    sysfs_is_the_hosts_without_a_network_namespace,
    idmapped_bind,
    idmap_without_mappings_is_refused,
    idmap_without_its_own_takes_the_containers_mappings,
    idmap_of_a_joined_namespace_takes_its_mappings,
    idmap_is_of_one_mount_ridmap_of_all,
    idmap_of_new_file_systems,
    idmap_of_what_the_kernel_cannot_map_is_refused,
    mount_label_without_selinux_is_left_out,
    root_is_read_only,
    root_is_writable,
    root_may_be_absolute,
    root_propagation,
    unknown_root_propagation_is_refused,
    masked_paths,
    read_only_paths,
    read_only_path_of_the_hosts_proc_keeps_what_is_mounted_below,
    proc_must_be_an_ordinary_folder,
    proc_only_takes_a_proc,
    links_in_destinations_stay_in_the_root,
    no_pivot,
    no_pivot_hides_a_proc_below_any_path,
    sysctl_is_set,
    sysctl_with_slashes_is_set,
    sysctl_of_the_host_is_refused,
    sysctl_without_its_namespace_is_refused,
    host_sees_none_of_the_mounts,
    nothing_of_the_old_root_remains,
];

/// The mount on `point` that one sees, the last.
fn mount_on<'a>(report: &'a Value, point: &str) -> &'a Value {
    let mounts = report["mounts"].as_array().unwrap();
    let found = mounts.iter().rev().find(|mount| mount["point"] == point);
    found.unwrap_or_else(|| panic!("nothing is mounted on {point}: {mounts:#?}"))
}

/// Whether the JSON array `list` contains the string `word`.
fn has(list: &Value, word: &str) -> bool {
    list.as_array().unwrap().iter().any(|item| item == word)
}

fn tmpfs(destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn bind(source: &str, destination: &str, options: &[&str]) -> Value {
    let options = [&["bind"], options].concat();
    json!({ "destination": destination, "type": "bind", "source": source, "options": options })
}

/// A folder with one file, `inside`, beside the bundle, and the bundle.
fn with_folder() -> (Bundle, String) {
    let bundle = Bundle::new().writable();
    let folder = bundle.folder().join("shared");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("inside"), "content").unwrap();
    let path = folder.to_str().unwrap().to_owned();
    (bundle, path)
}

fn usual_file_systems_are_mounted() {
    let seen = Bundle::new().report();
    for (point, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ] {
        assert_eq!(mount_on(&seen, point)["type"], kind, "{point}");
    }
    for option in ["nosuid", "noexec", "nodev", "ro"] {
        assert!(has(&mount_on(&seen, "/sys")["options"], option), "/sys {option}");
    }
    let pts = &mount_on(&seen, "/dev/pts")["data"];
    for data in ["gid=5", "mode=620", "ptmxmode=666"] {
        assert!(has(pts, data), "{data} in {pts}");
    }
}

fn per_mount_options_are_set() {
    let options =
        ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"];
    let bundle = options.iter().fold(Bundle::new().writable(), |bundle, option| {
        bundle.mount(tmpfs(&format!("/m/{option}"), &[option]))
    });
    let seen = bundle.report();
    for option in options {
        let mount = mount_on(&seen, &format!("/m/{option}"));
        assert!(has(&mount["options"], option), "{option}: {mount}");
        for other in options.into_iter().filter(|other| *other != option && *other != "relatime") {
            assert!(!has(&mount["options"], other), "{other} by {option}: {mount}");
        }
    }
}

fn per_mount_options_are_cleared_by_their_opposites() {
    let pairs = [
        ("rw", "ro"),
        ("suid", "nosuid"),
        ("dev", "nodev"),
        ("exec", "noexec"),
        ("atime", "noatime"),
        ("diratime", "nodiratime"),
        ("strictatime", "relatime"),
        ("symfollow", "nosymfollow"),
    ];
    let bundle = pairs.iter().fold(Bundle::new().writable(), |bundle, (off, on)| {
        bundle.mount(tmpfs(&format!("/m/{off}"), &[on, off]))
    });
    let seen = bundle.report();
    for (off, on) in pairs {
        let mount = mount_on(&seen, &format!("/m/{off}"));
        assert!(!has(&mount["options"], on), "{on} in spite of {off}: {mount}");
    }
}

fn last_of_contradicting_options_wins() {
    let bundle = Bundle::new().writable().mount(tmpfs("/m", &["exec", "rw", "noexec", "ro"]));
    let seen = bundle.report();
    let options = &mount_on(&seen, "/m")["options"];
    assert!(has(options, "noexec") && has(options, "ro"), "{options}");
}

fn superblock_options_are_set() {
    let options = ["sync", "dirsync", "lazytime", "mand"];
    let pairs = [("sync", "async"), ("lazytime", "nolazytime"), ("mand", "nomand")];
    let bundle = options.iter().fold(Bundle::new().writable(), |bundle, option| {
        bundle.mount(tmpfs(&format!("/m/{option}"), &[option]))
    });
    let bundle = pairs
        .iter()
        .fold(bundle, |bundle, (on, off)| bundle.mount(tmpfs(&format!("/m/{off}"), &[on, off])));
    let seen = bundle.report();
    for option in options {
        let data = &mount_on(&seen, &format!("/m/{option}"))["data"];
        for other in options {
            assert_eq!(has(data, other), other == option, "{other} by {option}: {data}");
        }
    }
    for (on, off) in pairs {
        let data = &mount_on(&seen, &format!("/m/{off}"))["data"];
        assert!(!has(data, on), "{on} in spite of {off}: {data}");
    }
}

/// Some options, and long values, are mount(2)'s only; nothing else must suffer by that.
fn options_of_mount_2_go_with_all_others() {
    let long = format!("gid={}", "0".repeat(300));
    for option in ["iversion", "silent", long.as_str()] {
        let list = ["ro", "noexec", "rnosuid", "noatime", "size=1m", "tmpcopyup", "shared"];
        let bundle = Bundle::new().file("/m/file", "copied");
        let bundle = bundle.mount(tmpfs("/m", &[&[option], &list[..]].concat()));
        let bundle = bundle.mount(tmpfs("/tmp", &[option]));
        let point = bundle.rootfs().join("m");
        fs::set_permissions(&point, fs::Permissions::from_mode(0o741)).unwrap();
        let container = Container::created(bundle.probing(&["report"]));
        container.start();
        container.wait_stopped();
        let seen = container.report();
        let mount = mount_on(&seen, "/m");
        for set in ["ro", "noexec", "nosuid", "noatime"] {
            assert!(has(&mount["options"], set), "{set} with {option}: {mount}");
        }
        for data in ["size=1024k", "mode=741"] {
            assert!(has(&mount["data"], data), "{data} with {option}: {mount}");
        }
        let propagation = mount["propagation"][0].as_str();
        assert!(propagation.is_some_and(|it| it.starts_with("shared:")), "{option}: {mount}");
        assert!(has(&mount_on(&seen, "/tmp")["options"], "relatime"), "{option}");
        let points = seen["mounts"].as_array().unwrap();
        assert_eq!(points.iter().filter(|mount| mount["point"] == "/m").count(), 1, "{option}");
    }
    let bundle = Bundle::new().file("/m/file", "copied");
    let seen = bundle.mount(tmpfs("/m", &["silent", "tmpcopyup"])).stat("/m/file");
    assert_eq!((&seen["content"], &seen["writable"]), (&json!("copied"), &json!("yes")));
}

/// A loop device, which goes with its last user.
struct Loop(String);

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new(needs_program("losetup")).args(["--detach", &self.0]).status();
    }
}

fn disk_that_is_read_only_is_not_written_to() {
    let [losetup, mkfs] = ["losetup", "mkfs.ext4"].map(needs_program);
    let bundle = Bundle::new().writable();
    let image = bundle.folder().join("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let mut command = Command::new(mkfs);
    command.arg("-q").arg(&image);
    let _ = run(command).succeeded();
    let mut command = Command::new(losetup);
    command.args(["--find", "--show", "--read-only"]).arg(&image);
    let output = run(command);
    if output.code != 0 {
        skip(format!("no loop device to be had: {}", output.stderr.trim()));
    }
    let disk = Loop(output.stdout.trim().to_owned());
    let before = fs::read(&image).unwrap();
    let mount = |options: &[&str]| json!({ "destination": "/m", "type": "ext4", "source": disk.0, "options": options });
    let container = Container::created(bundle.mount(mount(&["ro"])).probing(&["report"]));
    container.start();
    container.wait_stopped();
    let seen = container.report();
    let found = mount_on(&seen, "/m");
    assert!(has(&found["options"], "ro") && has(&found["data"], "ro"), "{found}");
    container.delete();
    assert!(fs::read(&image).unwrap() == before, "written to");
    Bundle::new().writable().mount(mount(&[])).refused("making the ext4 file system");
}

fn file_system_options_are_passed_on() {
    let seen = Bundle::new()
        .writable()
        .mount(tmpfs("/m", &["size=1m", "nr_inodes=100", "uid=5", "sync", "mode=0711"]))
        .report();
    let data = &mount_on(&seen, "/m")["data"];
    for expected in ["size=1024k", "nr_inodes=100", "uid=5", "sync", "mode=711"] {
        assert!(has(data, expected), "{expected} in {data}");
    }
}

fn unknown_file_system_option_is_refused() {
    let bundle = Bundle::new().writable().mount(tmpfs("/m", &["size=much"]));
    bundle.refused("/m");
    let bundle = Bundle::new().writable().mount(tmpfs("/m", &["unheard-of"]));
    bundle.refused("error mounting");
}

fn unknown_file_system_is_refused() {
    let mount = json!({ "destination": "/m", "type": "unheard-of", "source": "none" });
    Bundle::new().writable().mount(mount).refused("error mounting");
}

fn mounts_are_made_in_their_order() {
    let seen = Bundle::new()
        .writable()
        .mount(tmpfs("/m/inner", &["mode=0701"]))
        .mount(tmpfs("/m", &["mode=0702"]))
        .mount(tmpfs("/m/inner", &["mode=0703"]))
        .probe(&["stat", "/m", "/m/inner"]);
    assert_eq!((&seen[0]["mode"], &seen[1]["mode"]), (&json!(0o702), &json!(0o703)));
}

fn destination_may_be_relative() {
    let bundle = Bundle::new().writable().mount(tmpfs("some/where", &[])).probing(&["report"]);
    // It is deprecated, of which the runtime warns.
    let output = bundle.run();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(output.stderr.contains("level=warning"), "{}", output.stderr);
    assert!(output.stderr.contains("some/where: is not absolute"), "{}", output.stderr);
    assert_eq!(mount_on(&seen, "/some/where")["type"], "tmpfs");
}

fn destination_is_made() {
    let (bundle, folder) = with_folder();
    let seen = bundle
        .mount(bind(&folder, "/new/folder", &[]))
        .mount(bind(&format!("{folder}/inside"), "/new/file", &[]))
        .probe(&["stat", "/new", "/new/folder", "/new/file"]);
    assert_eq!(seen[0]["mode"], 0o755);
    assert_eq!(seen[1]["content"], json!(["inside"]));
    assert_eq!(seen[2]["content"], "content");
}

fn destination_may_have_dots() {
    for (given, made) in [
        ("/d/.", "/d"),
        ("/d/./", "/d"),
        ("/./d//", "/d"),
        ("//d", "/d"),
        ("/none/../d", "/d"),
        ("/none/x/../../d/.", "/d"),
        ("/b/../../d", "/d"),
        ("/etc/../none/../d", "/d"),
        ("/link/../d", "/d"),
        ("/gone/../d", "/far/d"),
    ] {
        for name in ["", "/inside"] {
            let (bundle, folder) = with_folder();
            symlink("/etc", bundle.rootfs().join("link")).unwrap();
            symlink("/far/away", bundle.rootfs().join("gone")).unwrap();
            let rootfs = bundle.rootfs();
            let bundle = bundle.mount(bind(&format!("{folder}{name}"), given, &["ro"]));
            let container = Container::created(bundle);
            let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid()));
            assert!(mounts.unwrap().contains(&format!(" {made} ro,")), "{given}{name}");
            for none in ["none", "b", "far/away"] {
                assert!(!rootfs.join(none).exists(), "{none} made for {given}{name}");
            }
        }
    }
    let proc = |bundle: Bundle| {
        let proc = json!({ "destination": "/none/../proc", "type": "proc", "source": "proc" });
        bundle.without_mount("/proc").mount(proc)
    };
    let seen = proc(Bundle::new().writable()).report();
    assert_eq!(mount_on(&seen, "/proc")["type"], "proc");
    let linked = Bundle::new().writable();
    fs::remove_dir(linked.rootfs().join("proc")).unwrap();
    symlink("/etc", linked.rootfs().join("proc")).unwrap();
    proc(linked).refused("must be mounted on ordinary directory");
    // What is masked in a mount is, whatever way leads to the mount.
    let (bundle, folder) = with_folder();
    let bundle = bundle.mount(bind(&folder, "/none/../m", &[]));
    let bundle = bundle.config(|config| config["linux"]["maskedPaths"] = json!(["/m/inside"]));
    assert_eq!(bundle.stat("/m/inside")["type"], "character device");
    // A file goes to where one is, whatever slashes follow.
    let (bundle, folder) = with_folder();
    let bundle =
        bundle.file("/etc/there", "").mount(bind(&format!("{folder}/inside"), "/etc/there/", &[]));
    assert_eq!(bundle.stat("/etc/there")["content"], "content");
}

fn destination_may_begin_with_the_root() {
    let (bundle, folder) = with_folder();
    let root = bundle.rootfs().to_str().unwrap().to_owned();
    let bundle = bundle.mount(bind(&folder, &format!("{root}/a/m"), &[]));
    let seen = bundle.probe(&["stat", "/a/m", &root]);
    assert_eq!(seen[0]["content"], json!(["inside"]));
    assert_eq!(seen[1]["error"], "ENOENT");
    // Nor is one that only looks like it.
    let (bundle, folder) = with_folder();
    let beside = format!("{}-beside", bundle.rootfs().to_str().unwrap());
    assert_eq!(
        bundle.mount(bind(&folder, &beside, &[])).stat(&beside)["content"],
        json!(["inside"])
    );
    let (bundle, folder) = with_folder();
    let root = bundle.rootfs().to_str().unwrap().to_owned();
    bundle.mount(bind(&folder, &root, &[])).refused("is the root itself");
}

/// Docker looks for these words, and says then what may be wrong.
fn directory_and_file_do_not_go_onto_each_other() {
    let words = "attaching: not a directory";
    let base = || {
        let (bundle, folder) = with_folder();
        let bundle = bundle.file("/file", "").file("/dir/x", "");
        symlink("/file", bundle.rootfs().join("link")).unwrap();
        (bundle, folder.clone(), format!("{folder}/inside"))
    };
    for (from, to, options) in [
        (0, "/file", &[][..]),
        (0, "/link", &["ro"]),
        (0, "/file", &["private"]),
        (1, "/dir", &[]),
        (1, "/dir", &["ro", "nosuid"]),
    ] {
        let (bundle, folder, file) = base();
        bundle.mount(bind(if from == 0 { &folder } else { &file }, to, options)).refused(words);
    }
    for options in [&[][..], &["silent"]] {
        base().0.mount(tmpfs("/file", options)).refused(words);
    }
    let (bundle, folder, _) = base();
    bundle.mount(bind(&folder, "/file/x", &[])).refused("mount point: not a directory");
}

fn bind_of_a_folder() {
    let (bundle, folder) = with_folder();
    let bundle = bundle.mount(bind(&folder, "/m", &[])).probing(&["create", "/m/made", "by probe"]);
    let container = Container::new(bundle);
    let _ = container.call("run", &[]).succeeded();
    assert_eq!(fs::read_to_string(format!("{folder}/made")).unwrap(), "by probe");
}

fn bind_of_a_file() {
    let (bundle, folder) = with_folder();
    let seen = bundle.mount(bind(&format!("{folder}/inside"), "/etc/some", &[])).stat("/etc/some");
    assert_eq!((&seen["type"], &seen["content"]), (&json!("file"), &json!("content")));
    assert_eq!(seen["writable"], "yes");
}

/// A file that is made to be mounted on must not be open for writing: the root could not become
/// read-only.
fn bind_of_a_file_in_a_read_only_root() {
    let (bundle, folder) = with_folder();
    let file = bind(&format!("{folder}/inside"), "/new/file", &[]);
    let bundle = bundle.config(|config| config["root"]["readonly"] = json!(true)).mount(file);
    let seen = bundle.stat("/new/file");
    assert_eq!((&seen["type"], &seen["content"]), (&json!("file"), &json!("content")));
}

/// What is bound is what a link leads to, and a mount point that is missing is of its kind.
fn bind_of_every_kind_of_file() {
    let (bundle, folder) = with_folder();
    let place = |name: &str| format!("{folder}/{name}");
    let _socket = UnixListener::bind(place("socket")).unwrap();
    let mode = Mode::from_bits_retain(0o644);
    mknod(place("fifo").as_str(), SFlag::S_IFIFO, mode, 0).unwrap();
    mknod(place("device").as_str(), SFlag::S_IFCHR, mode, makedev(1, 5)).unwrap();
    fs::create_dir(place("folder")).unwrap();
    symlink("inside", place("link")).unwrap();
    symlink(place("folder"), place("link-to-folder")).unwrap();
    let kinds = [
        ("socket", "socket"),
        ("fifo", "fifo"),
        ("device", "character device"),
        ("link", "file"),
        ("link-to-folder", "folder"),
    ];
    let bundle = kinds.iter().fold(bundle, |bundle, (name, _)| {
        bundle.mount(bind(&place(name), &format!("/new/{name}"), &[]))
    });
    let paths: Vec<String> = kinds.iter().map(|(name, _)| format!("/new/{name}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let container = Container::new(bundle.probing(&[&["stat"], &paths[..]].concat()));
    let output = container.call("run", &[]).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    for (index, (name, kind)) in kinds.into_iter().enumerate() {
        assert_eq!(seen[index]["type"], kind, "{name}: {}", seen[index]);
    }
    let point = |name: &str| {
        fs::symlink_metadata(container.bundle().rootfs().join("new").join(name)).unwrap()
    };
    assert!(point("socket").is_file() && point("link").is_file());
    assert!(point("link-to-folder").is_dir());
    symlink("nowhere", place("dangling")).unwrap();
    let dangling = Bundle::new().writable().mount(bind(&place("dangling"), "/m", &[]));
    dangling.refused("no such file or directory");
}

fn bind_source_may_be_relative_to_the_bundle() {
    let bundle = Bundle::new().writable();
    fs::write(bundle.path().join("resolv.conf"), "nameserver ::1").unwrap();
    let seen = bundle.mount(bind("resolv.conf", "/etc/resolv.conf", &[])).stat("/etc/resolv.conf");
    assert_eq!(seen["content"], "nameserver ::1");
}

fn bind_needs_no_type() {
    let (bundle, folder) = with_folder();
    let mount = json!({ "destination": "/m", "source": folder, "options": ["rbind"] });
    assert_eq!(bundle.mount(mount).stat("/m")["content"], json!(["inside"]));
    let (bundle, folder) = with_folder();
    let mount =
        json!({ "destination": "/m", "type": "dummy", "source": folder, "options": ["bind"] });
    assert_eq!(bundle.mount(mount).stat("/m")["content"], json!(["inside"]));
}

/// A misspelt `ro` must not leave the volume writable.
fn bind_with_an_option_that_nobody_knows_is_refused() {
    for option in [
        "readonly",
        "RO",
        "ro ",
        "ro,nosuid",
        "noexe",
        "rro ",
        "size",
        "sise=4k",
        "context=\"a:b:c\"",
        "idmap=x",
    ] {
        let (bundle, folder) = with_folder();
        bundle.mount(bind(&folder, "/m", &[option])).refused("/m: option \\\"");
        let (bundle, folder) = with_folder();
        let again = json!({ "destination": "/m", "options": ["remount", "bind", option] });
        bundle.mount(bind(&folder, "/m", &[])).mount(again).refused("is not known");
    }
    Bundle::new()
        .config(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            let cgroup = mounts.iter_mut().find(|it| it["type"] == "cgroup");
            if let Some(cgroup) = cgroup {
                cgroup["options"] = json!(["readonly"]);
            } else {
                mounts.push(
                    json!({ "destination": "/c", "type": "cgroup", "options": ["readonly"] }),
                );
            }
        })
        .refused("is not known for a cgroup mount");
    // The conformance suite has these.
    for option in ["size=4k", "mode=0700", "uid=7"] {
        let (bundle, folder) = with_folder();
        let bundle = bundle.mount(bind(&folder, "/m", &[option])).probing(&["stat", "/m"]);
        let output = Container::new(bundle).call("run", &[]);
        assert_eq!(output.code, 0, "{output:#?}");
        assert!(
            output.stderr.contains(&format!("option \\\"{option}\\\" is left out")),
            "{output:#?}"
        );
    }
    let known = ["sync", "dirsync", "iversion", "nofail", "_netdev", "x-a", "comment=x", "user"];
    for option in known {
        let (bundle, folder) = with_folder();
        let seen = bundle.mount(bind(&folder, "/m", &[option])).stat("/m");
        assert_eq!(seen["content"], json!(["inside"]), "{option}");
    }
}

fn links_are_kept_where_a_bind_says_so() {
    for user in [false, true] {
        let bundle = || {
            let (bundle, folder) = with_folder();
            let file = format!("{folder}/inside");
            symlink("inside", format!("{folder}/link")).unwrap();
            let bundle = bundle.file("/old", "old").file("/there/file", "");
            symlink("old", bundle.rootfs().join("link")).unwrap();
            symlink("/there", bundle.rootfs().join("to")).unwrap();
            symlink("/old", bundle.rootfs().join("there/link")).unwrap();
            (if user { in_user_namespace(bundle) } else { bundle }, folder, file)
        };
        for destination in ["/link", "/to/link"] {
            let (bundle, _, file) = bundle();
            let bundle = bundle.mount(bind(&file, destination, &["dest-nofollow"]));
            let seen = bundle.probe(&["stat", destination, "/old"]);
            assert_eq!(
                (&seen[0]["type"], &seen[0]["content"]),
                (&json!("file"), &json!("content"))
            );
            assert_eq!(seen[1]["content"], "old", "{destination}");
        }
        let (bundle, _, file) = bundle();
        let bundle = bundle.mount(bind(&file, "/link", &[]));
        assert_eq!(bundle.stat("/old")["content"], "content", "a link is followed otherwise");
    }
    let (bundle, folder) = with_folder();
    symlink("inside", format!("{folder}/link")).unwrap();
    for user in [false, true] {
        let again = Bundle::new().writable().file("/to", "");
        let again = if user { in_user_namespace(again) } else { again };
        let seen =
            again.mount(bind(&format!("{folder}/link"), "/to", &["src-nofollow"])).stat("/to");
        assert_eq!((&seen["type"], &seen["link"]), (&json!("link"), &json!("inside")), "{user}");
    }
    drop(bundle);
}

fn link_is_copied_where_a_bind_says_so() {
    let copy = |bundle: Bundle, destination: &str| {
        let link = bundle.folder().join("copied");
        symlink("/etc/some where", &link).unwrap();
        let link = link.to_str().unwrap().to_owned();
        bundle.mount(bind(&link, destination, &["copy-symlink"]))
    };
    for destination in ["/new", "/a/b/new", "/dev/new"] {
        let seen = copy(Bundle::new().writable(), destination).stat(destination);
        assert_eq!(seen["link"], "/etc/some where", "{destination}");
    }
    let same = Bundle::new().writable();
    symlink("/etc/some where", same.rootfs().join("new")).unwrap();
    assert_eq!(copy(same, "/new").stat("/new")["link"], "/etc/some where");
    let other = Bundle::new().writable();
    symlink("/etc", other.rootfs().join("new")).unwrap();
    copy(other, "/new").refused("file exists");
    copy(Bundle::new().writable().file("/new", ""), "/new").refused("file exists");
    // What is no link is bound.
    let (bundle, folder) = with_folder();
    let seen = bundle.mount(bind(&folder, "/m", &["copy-symlink", "ro"])).stat("/m");
    assert_eq!((&seen["content"], &seen["writable"]), (&json!(["inside"]), &json!("EROFS")));
}

fn options_for_links_are_of_binds_only() {
    for option in ["src-nofollow", "dest-nofollow", "copy-symlink"] {
        Bundle::new().writable().mount(tmpfs("/m", &[option])).refused("are for bind mounts");
    }
}

fn rbind_is_not_taken_back_by_bind() {
    for options in [["rbind", "bind"], ["bind", "rbind"]] {
        let mount = json!({ "destination": "/hostdev", "source": "/dev", "options": options });
        let seen = Bundle::new().writable().mount(mount).report();
        assert_eq!(mount_on(&seen, "/hostdev/pts")["type"], "devpts", "{options:?}");
    }
}

/// The table is what runc 1.1 leaves, which is what the kernel makes of these flags of mount(2).
fn access_times_are_what_mount_2_makes_of_their_options() {
    // The source's, those of a bind of it, and what is seen then.
    let cases: [(&[&str], &[&str], &[&str]); 30] = [
        (&[], &["norelatime"], &["relatime"]),
        (&[], &["rnorelatime"], &["relatime"]),
        (&[], &["relatime", "norelatime"], &["relatime"]),
        (&[], &["strictatime"], &[]),
        (&[], &["rstrictatime"], &[]),
        (&[], &["strictatime", "nostrictatime"], &["relatime"]),
        (&[], &["strictatime", "norelatime"], &[]),
        (&[], &["nostrictatime"], &["relatime"]),
        (&[], &["noatime", "nostrictatime"], &["noatime"]),
        (&[], &["noatime", "norelatime"], &["noatime"]),
        (&[], &["noatime", "atime"], &["relatime"]),
        (&[], &["atime"], &["relatime"]),
        (&[], &["rnoatime"], &["noatime"]),
        (&[], &["nodiratime"], &["nodiratime", "relatime"]),
        (&[], &["nodiratime", "diratime"], &["relatime"]),
        (&[], &["nosymfollow"], &["relatime", "nosymfollow"]),
        (&[], &["nosymfollow", "symfollow"], &["relatime"]),
        (&["noatime"], &["atime"], &["noatime"]),
        (&["noatime"], &["norelatime"], &["noatime"]),
        (&["noatime"], &["rnorelatime"], &["noatime"]),
        (&["noatime"], &["nostrictatime"], &["noatime"]),
        (&["noatime"], &["relatime"], &["relatime"]),
        (&["noatime"], &["diratime", "rrelatime"], &["relatime"]),
        (&["nodiratime"], &["diratime"], &["nodiratime", "relatime"]),
        (&["nodiratime"], &["rdiratime"], &["relatime"]),
        (&["nodiratime"], &["norelatime"], &["nodiratime", "relatime"]),
        (&["strictatime"], &["norelatime"], &[]),
        (&["strictatime"], &["nostrictatime"], &[]),
        (&["strictatime"], &["atime"], &[]),
        (&["strictatime"], &["rrelatime"], &["relatime"]),
    ];
    let mut bundle = Bundle::new().writable();
    let source = bundle.rootfs().to_str().unwrap().to_owned();
    for (index, (on, options, _)) in cases.iter().enumerate() {
        let (from, new) = (format!("/from/{index}"), format!("/new/{index}"));
        bundle = bundle
            .mount(tmpfs(&from, on))
            .mount(bind(&format!("{source}{from}"), &format!("/to/{index}"), options))
            .mount(tmpfs(&new, options));
    }
    let seen = bundle.report();
    let times = ["noatime", "relatime", "nodiratime", "nosymfollow"];
    for (index, (on, options, expected)) in cases.into_iter().enumerate() {
        let points = [format!("/to/{index}"), format!("/new/{index}")];
        for point in &points[..if on.is_empty() { 2 } else { 1 }] {
            let found = &mount_on(&seen, point)["options"];
            for time in times {
                let what = format!("{time} of {options:?} on {on:?} at {point}: {found}");
                assert_eq!(has(found, time), expected.contains(&time), "{what}");
            }
        }
    }
}

fn bind_without_its_source_is_refused() {
    let (bundle, folder) = with_folder();
    let source = format!("{folder}/not-there");
    bundle.mount(bind(&source, "/m", &[])).refused("no such file or directory");
}

fn read_only_bind() {
    let (bundle, folder) = with_folder();
    let bundle = bundle
        .mount(bind(&folder, "/m", &["ro", "nosuid"]))
        .mount(bind(&format!("{folder}/inside"), "/f", &["ro"]))
        .probing(&["stat", "/m", "/m/inside", "/f"]);
    let container = Container::created(bundle);
    container.start();
    container.wait_stopped();
    let seen = container.report();
    for path in 0..3 {
        assert_eq!(seen[path]["writable"], "EROFS", "{}", seen[path]);
    }
    assert!(fs::write(format!("{folder}/still-writable-here"), "").is_ok());
}

/// Flags that the source's mount has and the configuration does not name stay on it.
fn bind_keeps_other_flags_of_its_source() {
    let (bundle, folder) = with_folder();
    let bundle = bundle.mount(bind(&folder, "/m", &["noexec"]));
    let output = run_with_tmpfs(bundle, "ro,nosuid,noatime", "exec \"$@\"", &[]).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    let options = &mount_on(&seen, "/m")["options"];
    for flag in ["ro", "nosuid", "noatime", "noexec"] {
        assert!(has(options, flag), "{flag}: {options}");
    }
}

/// `run` of this bundle in a mount namespace of the test's own, where `$1`, the bundle's `shared`,
/// is a tmpfs with these options; `script` starts the runtime.
fn run_with_tmpfs(bundle: Bundle, options: &str, script: &str, flags: &[&str]) -> Output {
    let container = Container::new(bundle.probing(&["report"]));
    let mut runtime = container.command(flags);
    runtime.arg("run").arg("--bundle").arg(container.bundle().path()).arg(container.id());
    let script = format!("mount -t tmpfs -o {options} none \"$1\" && shift && {script}");
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"]);
    command.arg(container.bundle().folder().join("shared"));
    command.arg(runtime.get_program()).args(runtime.get_args());
    run(command)
}

const LOCKED: &str = "ro,nosuid,nodev,noexec,noatime";

fn bind_in_a_user_namespace_keeps_its_sources_flags() {
    let run = |options: &[&str]| {
        let (bundle, folder) = with_folder();
        let bundle = in_user_namespace(bundle.file("/m/x", "a mount point"));
        let bundle = bundle.mount(bind(&folder, "/m", options));
        run_with_tmpfs(bundle, LOCKED, "exec \"$@\"", &[])
    };
    for options in [&[][..], &["nosuid"], &["noatime"], &["rprivate", "ro"]] {
        let seen: Value = serde_json::from_str(&run(options).succeeded().stdout).unwrap();
        let found = mount_on(&seen, "/m")["options"].clone();
        for flag in LOCKED.split(',') {
            assert!(has(&found, flag), "{flag} with {options:?}: {found}");
        }
    }
    // Whoever asks for something else is told, though it's root.
    for option in ["rw", "suid", "dev", "exec", "relatime", "rrw"] {
        let _ = run(&[option]).failed_with("can't be cleared");
    }
}

/// Root of a user namespace may not clear what the mount has had outside of it.
fn locked_flag_of_a_source_stays_or_is_an_error() {
    let run = |options: &[&str]| {
        let (bundle, folder) = with_folder();
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        let bundle = bundle.without_mount("/dev/pts").without_mount("/sys/fs/cgroup");
        let bundle = bundle.namespace("user", None).config(|config| {
            config["linux"]["uidMappings"] = mapping.clone();
            config["linux"]["gidMappings"] = mapping;
            config["linux"].as_object_mut().unwrap().remove("resources");
            config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
        });
        let script = "exec unshare --user --map-root-user --mount \"$@\"";
        let bundle = bundle.mount(bind(&folder, "/m", options));
        run_with_tmpfs(bundle, LOCKED, script, &["--cgroup-manager", "disabled"])
    };
    for options in [&[][..], &["ro", "noatime"], &["nosymfollow"]] {
        let output = run(options).succeeded();
        let seen: Value = serde_json::from_str(&output.stdout).unwrap();
        let found = &mount_on(&seen, "/m")["options"];
        for flag in LOCKED.split(',') {
            assert!(has(found, flag), "{flag} with {options:?}: {found}");
        }
        assert_eq!(has(found, "nosymfollow"), options == ["nosymfollow"], "{found}");
    }
    for option in ["rw", "suid", "dev", "exec", "relatime", "rrw", "rsuid"] {
        let output = run(&[option]).failed_with("attributes: operation not permitted");
        let _ = output.failed_with("can't be cleared");
    }
}

fn rbind_takes_what_is_mounted_below() {
    let mount = |how: &str| json!({ "destination": "/hostdev", "source": "/dev", "options": [how, "rprivate"] });
    let seen = Bundle::new().writable().mount(mount("rbind")).report();
    assert_eq!(mount_on(&seen, "/hostdev/pts")["type"], "devpts");
    let seen = Bundle::new().writable().mount(mount("bind")).report();
    let points = seen["mounts"].as_array().unwrap();
    assert!(points.iter().all(|mount| mount["point"] != "/hostdev/pts"), "{points:#?}");
}

fn ro_concerns_one_mount_rro_all() {
    for (option, below) in [("ro", false), ("rro", true)] {
        let options = ["rbind", "rprivate", option];
        let mount = json!({ "destination": "/hostdev", "source": "/dev", "options": options });
        let seen = Bundle::new().writable().mount(mount).report();
        let read_only = |point| has(&mount_on(&seen, point)["options"], "ro");
        assert!(read_only("/hostdev"), "{option}");
        assert_eq!(read_only("/hostdev/pts"), below, "{option}");
    }
}

fn recursive_options() {
    for option in ["rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow"] {
        let options = ["rbind", "rprivate", option];
        let mount = json!({ "destination": "/hostdev", "source": "/dev", "options": options });
        let seen = Bundle::new().writable().mount(mount).report();
        for point in ["/hostdev", "/hostdev/pts"] {
            let options = &mount_on(&seen, point)["options"];
            assert!(has(options, &option[1..]), "{option} on {point}: {options}");
        }
    }
}

fn recursive_options_are_cleared_by_their_opposites() {
    // What is there, what clears it, and what is seen in its place.
    let cases = [
        ("ro", "rrw", "rw"),
        ("nosuid", "rsuid", ""),
        ("nodev", "rdev", ""),
        ("noexec", "rexec", ""),
        ("noatime", "ratime", "relatime"),
        ("nodiratime", "rdiratime", ""),
        ("nosymfollow", "rsymfollow", ""),
        ("noatime", "rrelatime", "relatime"),
        ("strictatime", "rnostrictatime", "relatime"),
        ("strictatime", "rnorelatime", ""),
        ("relatime", "rstrictatime", ""),
    ];
    in_parallel(cases, |(on, off, instead)| {
        let (bundle, folder) = with_folder();
        fs::create_dir(format!("{folder}/below")).unwrap();
        let again = |option| json!({ "destination": "/m", "options": ["remount", "bind", option] });
        let bundle = bundle
            .mount(bind(&folder, "/m", &[on]))
            .mount(bind(&folder, "/m/below", &[on]))
            .mount(again("nodev"))
            .mount(again(off));
        let seen = bundle.report();
        for point in ["/m", "/m/below"] {
            let options = &mount_on(&seen, point)["options"];
            assert!(!has(options, on), "{on} in spite of {off} on {point}: {options}");
            assert!(instead.is_empty() || has(options, instead), "{off} on {point}: {options}");
        }
        let nodev = &mount_on(&seen, "/m")["options"];
        assert_eq!(has(nodev, "nodev"), off != "rdev", "what is not named stays: {nodev}");
    });
}

fn remount_changes_a_file_system() {
    let again = |options: &[&str]| {
        let options = [&["remount"], options].concat();
        json!({ "destination": "/m", "options": options })
    };
    let seen = Bundle::new()
        .writable()
        .mount(tmpfs("/m", &["size=1m", "nosuid"]))
        .mount(again(&["size=2m", "noexec", "lazytime"]))
        .report();
    let mount = mount_on(&seen, "/m");
    assert!(has(&mount["data"], "size=2048k") && has(&mount["data"], "lazytime"), "{mount}");
    assert!(has(&mount["options"], "noexec") && has(&mount["options"], "nosuid"), "{mount}");
    let seen = Bundle::new()
        .writable()
        .mount(tmpfs("/m", &["ro"]))
        .mount(again(&["rw"]))
        .mount(tmpfs("/tmp", &["ro"]))
        .report();
    assert!(has(&mount_on(&seen, "/m")["options"], "rw"), "the later entry counts");
    assert!(has(&mount_on(&seen, "/tmp")["options"], "ro"));
    for (option, text) in [("tmpcopyup", "tmpcopyup"), ("iversion", "remount")] {
        let bundle = Bundle::new().writable().mount(tmpfs("/m", &[]));
        bundle.mount(again(&[option])).refused(text);
    }
}

/// What is mounted there would be above the root, and nobody would see it.
fn root_is_no_mount_point() {
    let (bundle, folder) = with_folder();
    bundle.mount(bind(&folder, "/", &[])).refused("mounts[7].destination");
    Bundle::new().mount(tmpfs("/dev/..", &[])).refused("mounts[7].destination");
    let again = json!({ "destination": "/", "options": ["remount", "bind", "nosuid"] });
    let seen = Bundle::new().mount(again).report();
    assert!(has(&mount_on(&seen, "/")["options"], "nosuid"), "{}", mount_on(&seen, "/"));
}

fn remount_changes_an_existing_mount() {
    let (bundle, folder) = with_folder();
    let again = json!({ "destination": "/m", "options": ["remount", "bind", "ro", "noexec"] });
    let seen = bundle.mount(bind(&folder, "/m", &[])).mount(again).report();
    let options = &mount_on(&seen, "/m")["options"];
    assert!(has(options, "ro") && has(options, "noexec"), "{options}");
    let points = seen["mounts"].as_array().unwrap();
    assert_eq!(points.iter().filter(|mount| mount["point"] == "/m").count(), 1, "one mount");
}

fn propagation_of_mounts() {
    let cases = [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ];
    for (option, field) in cases {
        let (bundle, folder) = with_folder();
        let seen = bundle.mount(bind(&folder, "/m", &[option])).report();
        let fields = mount_on(&seen, "/m")["propagation"].as_array().unwrap();
        let found = fields.iter().any(|found| found.as_str().unwrap().starts_with(field));
        assert!(if field.is_empty() { fields.is_empty() } else { found }, "{option}: {fields:?}");
    }
}

/// In a mount namespace of the test's own, where the source is shared.
fn slave_sees_what_the_host_mounts_later() {
    let (bundle, folder) = with_folder();
    fs::create_dir(format!("{folder}/later")).unwrap();
    let source = json!({ "destination": "/m", "source": folder, "options": ["rbind", "rslave"] });
    let container = Container::new(bundle.mount(source).probing(&["sleep"]));
    let pid_file = container.bundle().folder().join("pid");
    let pid_file = pid_file.to_str().unwrap();
    let runtime = container.command_for("run", &["--detach", "--pid-file", pid_file]);
    let script = r#"
        folder=$1; pid_file=$2; shift 2
        mount --bind "$folder" "$folder" && mount --make-shared "$folder" &&
        "$@" >/dev/null && mount -t tmpfs none "$folder/later" &&
        cat "/proc/$(cat "$pid_file")/mountinfo""#;
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]);
    command.args([&folder, pid_file]).arg(runtime.get_program()).args(runtime.get_args());
    let table = run(command).succeeded().stdout;
    let later = table.lines().find(|line| line.contains(" /m/later "));
    assert!(later.is_some_and(|line| line.contains(" master:")), "{table}");
}

fn tmpfs_with_size_and_mode() {
    let seen = Bundle::new().writable().mount(tmpfs("/m", &["size=8m"])).report();
    assert!(has(&mount_on(&seen, "/m")["data"], "size=8192k"), "{}", mount_on(&seen, "/m"));
    let stat = Bundle::new().writable().mount(tmpfs("/m", &["mode=1705"])).stat("/m");
    assert_eq!(stat["mode"], 0o1705);
}

fn tmpfs_keeps_the_mode_of_its_mount_point() {
    let bundle = Bundle::new().writable();
    let point = bundle.rootfs().join("m");
    fs::create_dir(&point).unwrap();
    fs::set_permissions(&point, fs::Permissions::from_mode(0o741)).unwrap();
    assert_eq!(bundle.mount(tmpfs("/m", &[])).stat("/m")["mode"], 0o741);
}

/// As the kernel has it where nothing lends its mode: anyone may write there.
fn tmpfs_on_a_new_mount_point_is_for_all() {
    let ways: [(&str, &[&str]); 9] = [
        ("/new", &[]),
        ("/new", &["tmpcopyup"]),
        ("/new", &["silent"]),
        ("/new", &["ro"]),
        ("/a/b/new", &[]),
        ("/dangling", &[]),
        ("/dev/new", &[]),
        ("/volume/a/new", &[]),
        ("/new", &["idmap"]),
    ];
    in_parallel(ways, |(destination, options)| {
        for user in [false, true] {
            let (bundle, folder) = with_folder();
            let id = if user { 100_000 } else { 0 };
            let bundle = bundle.file("/volume/x", "a mount point");
            symlink("gone/new", bundle.rootfs().join("dangling")).unwrap();
            for path in [&bundle.rootfs(), Path::new(&folder)] {
                chown(path, Some(id), Some(id)).unwrap();
            }
            let mut mount = tmpfs(destination, options);
            if options == ["idmap"] {
                needs_kernel(6, 3, "map the ids of a tmpfs");
                mount["uidMappings"] = mapping();
                mount["gidMappings"] = mapping();
            }
            let bundle = bundle.mount(bind(&folder, "/volume", &[])).mount(mount);
            let bundle = if user { in_user_namespace(bundle) } else { bundle };
            let path = format!("{destination}/.");
            assert_eq!(bundle.stat(&path)["mode"], 0o1777, "{destination} {options:?} {user}");
        }
    });
    let container = Container::running(Bundle::new().writable());
    let list = container.bundle().folder().join("list");
    let added = json!([tmpfs("/x/new", &[]), tmpfs("/x/own", &["mode=711"])]);
    fs::write(&list, added.to_string()).unwrap();
    let list = list.to_str().unwrap();
    let _ = run(container.command(&["mounts", "add", container.id(), list])).succeeded();
    let seen = container.exec(&[], &["/bin/probe", "stat", "/x/new", "/x/own"]).succeeded().json();
    assert_eq!((&seen[0]["mode"], &seen[1]["mode"]), (&json!(0o1777), &json!(0o711)));
}

fn tmpcopyup_copies() {
    let bundle = Bundle::new().file("/m/folder/file", "copied").file("/m/top", "too");
    let seen = bundle.mount(tmpfs("/m", &["tmpcopyup"])).probe(&[
        "stat",
        "/m/folder/file",
        "/m/top",
        "/m",
    ]);
    assert_eq!((&seen[0]["content"], &seen[1]["content"]), (&json!("copied"), &json!("too")));
    assert_eq!(seen[2]["writable"], "yes", "unlike the root");
}

fn tmpcopyup_copies_what_things_are() {
    let bundle = Bundle::new().file("/m/folder/file", "x").file("/m/program", "x");
    let root = bundle.rootfs().join("m");
    let mode = |name: &str, mode| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    chown(root.join("program"), Some(5), Some(6)).unwrap();
    mode("program", 0o4755);
    chown(root.join("folder"), Some(7), Some(8)).unwrap();
    mode("folder", 0o1755);
    mode("folder/file", 0o400);
    symlink("/etc/passwd", root.join("link")).unwrap();
    lchown(root.join("link"), Some(9), Some(10)).unwrap();
    mknod(&root.join("fifo"), SFlag::S_IFIFO, Mode::from_bits_retain(0o640), 0).unwrap();
    let number = makedev(1, 5);
    mknod(&root.join("zero"), SFlag::S_IFCHR, Mode::from_bits_retain(0o666), number).unwrap();
    let names = ["program", "folder", "folder/file", "link", "fifo", "zero"];
    let paths = names.map(|name| format!("/m/{name}"));
    let paths = paths.each_ref().map(String::as_str);
    let bundle = bundle.mount(tmpfs("/m", &["tmpcopyup", "nodev"]));
    let seen = bundle.probe(&[&["stat"], &paths[..]].concat());
    let what = |index: usize| {
        let found = &seen[index];
        let number = |key: &str| found[key].as_u64().unwrap();
        (found["type"].as_str().unwrap(), number("mode"), number("uid"), number("gid"))
    };
    assert_eq!(what(0), ("file", 0o4755, 5, 6));
    assert_eq!(what(1), ("folder", 0o1755, 7, 8));
    assert_eq!(what(2), ("file", 0o400, 0, 0));
    assert_eq!(what(3), ("link", 0o777, 9, 10));
    assert_eq!(seen[3]["link"], "/etc/passwd");
    assert_eq!(what(4).0, "fifo");
    assert_eq!((what(5).0, &seen[5]["minor"]), ("character device", &json!(5)));
}

fn tmpcopyup_of_a_bind_is_refused() {
    let (bundle, folder) = with_folder();
    bundle.mount(bind(&folder, "/m", &["tmpcopyup"])).refused("tmpcopyup");
}

fn mqueue_works() {
    let seen = Bundle::new().stat("/dev/mqueue");
    assert_eq!((&seen["content"], &seen["writable"]), (&json!([]), &json!("yes")));
}

fn cgroup_shows_the_own_one() {
    let memory = cgroup::controller("memory");
    let mut bundle = Bundle::new().config(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 123 << 20 });
    });
    let (folder, file) = match memory.version {
        1 => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => ("/sys/fs/cgroup", "memory.max"),
    };
    if memory.version == 2 {
        // Without one of its own it sees all of the host's.
        bundle = bundle.namespace("cgroup", None);
    }
    let path = format!("{folder}/{file}");
    let output = bundle.probing(&["read", &path]).run().succeeded();
    assert_eq!(output.stdout.trim(), (123 << 20).to_string());
}

fn cgroup_is_read_only_if_asked() {
    let folder = match cgroup::controller("pids").version {
        1 => "/sys/fs/cgroup/pids",
        _ => "/sys/fs/cgroup",
    };
    let seen = Bundle::new().stat(folder);
    assert_eq!(seen["writable"], "EROFS", "{seen}");
    let writable = Bundle::new().without_mount("/sys/fs/cgroup").mount(json!({
        "destination": "/sys/fs/cgroup",
        "type": "cgroup",
        "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "rw"],
    }));
    let seen = writable.stat(&format!("{folder}/cgroup.procs"));
    assert_eq!(seen["writable"], "yes", "{seen}");
}

fn cgroup_shows_every_hierarchy() {
    for namespaced in [false, true] {
        let mut bundle = Bundle::new();
        if namespaced {
            bundle = bundle.namespace("cgroup", None);
        }
        let name = format!("/{}", bundle.id());
        let seen = bundle.report();
        if cgroup::is_unified() {
            assert_eq!(mount_on(&seen, "/sys/fs/cgroup")["type"], "cgroup2");
            continue;
        }
        for hierarchy in cgroup::hierarchies().iter().filter(|it| it.version == 1) {
            // `name=systemd` too, and any other that has but a name.
            let folder = hierarchy.mount.file_name().unwrap().to_str().unwrap();
            let mount = mount_on(&seen, &format!("/sys/fs/cgroup/{folder}"));
            assert_eq!(mount["type"], "cgroup", "{mount}");
            for controller in &hierarchy.controllers {
                assert!(has(&mount["data"], controller), "{controller}: {mount}");
            }
            let root = mount["root"].as_str().unwrap();
            assert!(if namespaced { root == "/" } else { root.ends_with(&name) }, "{mount}");
        }
    }
}

fn cgroup_takes_options_of_mounts() {
    let mount = |options: &[&str]| json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "options": options });
    let options = ["noatime", "nodev", "rnosymfollow", "rshared"];
    let seen = Bundle::new().without_mount("/sys/fs/cgroup").mount(mount(&options)).report();
    let mounts = seen["mounts"].as_array().unwrap();
    let mounts = mounts
        .iter()
        .filter(|mount| mount["point"].as_str().unwrap().starts_with("/sys/fs/cgroup"));
    for mount in mounts {
        for option in ["noatime", "nodev", "nosymfollow"] {
            assert!(has(&mount["options"], option), "{option}: {mount}");
        }
        let shared = mount["propagation"][0].as_str();
        assert!(shared.is_some_and(|it| it.starts_with("shared:")), "{mount}");
    }
    for (option, text) in [("idmap", "idmap"), ("tmpcopyup", "tmpcopyup")] {
        let mut mount = mount(&[option]);
        mount["uidMappings"] = if option == "idmap" { mapping() } else { json!([]) };
        mount["gidMappings"] = mount["uidMappings"].clone();
        Bundle::new().without_mount("/sys/fs/cgroup").mount(mount).refused(text);
    }
}

/// The kernel then makes none for a user namespace.
fn sysfs_is_the_hosts_without_a_network_namespace() {
    let bundle = in_user_namespace(Bundle::new()).without_namespace("network");
    let seen = bundle.without_mount("/sys/fs/cgroup").report();
    let sysfs = mount_on(&seen, "/sys");
    assert_eq!((&sysfs["type"], &sysfs["root"]), (&json!("sysfs"), &json!("/")));
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(has(&sysfs["options"], option), "{option}: {sysfs}");
    }
}

/// In a mount's mapping, containerID is the id on the file system, hostID what it becomes.
fn idmapped_bind() {
    let (bundle, folder) = with_folder();
    chown(format!("{folder}/inside"), Some(5), Some(6)).unwrap();
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    let mut mount = bind(&folder, "/m", &["idmap"]);
    mount["uidMappings"] = mapping.clone();
    mount["gidMappings"] = mapping;
    let container = Container::created(bundle.mount(mount).probing(&["stat", "/m/inside"]));
    container.start();
    container.wait_stopped();
    let seen = &container.report()[0];
    assert_eq!((&seen["uid"], &seen["gid"]), (&json!(100_005), &json!(100_006)));
    assert_eq!(fs::metadata(format!("{folder}/inside")).unwrap().uid(), 5);
}

fn idmap_without_mappings_is_refused() {
    let (bundle, folder) = with_folder();
    bundle.mount(bind(&folder, "/m", &["idmap"])).refused("apping");
}

/// 0 of the container is the host's 100000.
fn mapping() -> Value {
    json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }])
}

fn idmap_without_its_own_takes_the_containers_mappings() {
    let (bundle, folder) = with_folder();
    chown(format!("{folder}/inside"), Some(5), Some(6)).unwrap();
    let bundle = bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping();
        config["linux"]["gidMappings"] = mapping();
    });
    let bundle = bundle.file("/m/inside", "a mount point, as its root may not make one");
    let seen = bundle.mount(bind(&folder, "/m", &["idmap"])).stat("/m/inside");
    assert_eq!((&seen["uid"], &seen["gid"]), (&json!(5), &json!(6)));
}

/// In a user namespace of its own, with [`mapping`].
fn in_user_namespace(bundle: Bundle) -> Bundle {
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping();
        config["linux"]["gidMappings"] = mapping();
    })
}

fn idmap_of_a_joined_namespace_takes_its_mappings() {
    let first = Container::running(in_user_namespace(Bundle::new()));
    let path = format!("/proc/{}/ns/user", first.pid());
    let (bundle, folder) = with_folder();
    chown(format!("{folder}/inside"), Some(5), Some(6)).unwrap();
    let bundle = bundle.namespace("user", Some(&path)).file("/m/inside", "a mount point");
    let seen = bundle.mount(bind(&folder, "/m", &["idmap"])).stat("/m/inside");
    assert_eq!((&seen["uid"], &seen["gid"]), (&json!(5), &json!(6)));
}

fn idmap_of_new_file_systems() {
    needs_kernel(6, 3, "map the ids of a tmpfs");
    let mapped = |option: &str, own: Option<Value>| {
        let mut mount = tmpfs("/m", &["size=1m", "noexec", option]);
        if let Some(own) = own {
            mount["uidMappings"] = own.clone();
            mount["gidMappings"] = own;
        }
        mount
    };
    let bundle = |name: &str| {
        let bundle = Bundle::new().writable().file("/m/file", "covered");
        let point = bundle.rootfs().join("m");
        fs::set_permissions(&point, fs::Permissions::from_mode(0o705)).unwrap();
        if name == "user" { in_user_namespace(bundle) } else { bundle }
    };
    let shifted = json!([{ "containerID": 0, "hostID": 100_005, "size": 100 }]);
    for option in ["idmap", "ridmap"] {
        for (name, own, id) in [
            ("none", Some(mapping()), 100_000),
            ("user", None, 0),
            ("user", Some(mapping()), 0),
            ("user", Some(shifted.clone()), 5),
        ] {
            let what = format!("{option} with {own:?}, user namespace {name}");
            let mut mount = mapped(option, own);
            if id != 0 {
                // That root is another's to change.
                push(&mut mount["options"], json!("mode=705"));
            }
            let seen = bundle(name).mount(mount.clone()).stat("/m");
            let found = (&seen["uid"], &seen["gid"], &seen["mode"], &seen["content"]);
            assert_eq!(found, (&json!(id), &json!(id), &json!(0o705), &json!([])), "{what}");
            let seen = bundle(name).mount(mount).report();
            let mount = mount_on(&seen, "/m");
            assert!(has(&mount["options"], "noexec"), "{what}: {mount}");
            assert!(has(&mount["data"], "size=1024k"), "{what}: {mount}");
        }
    }
    let seen = bundle("user").mount(mapped("idmap", None)).stat("/m");
    assert_eq!(seen["writable"], "yes", "by the container's root");
    let mut mount = mapped("idmap", None);
    push(&mut mount["options"], json!("ro"));
    push(&mut mount["options"], json!("tmpcopyup"));
    let copied = bundle("user");
    chown(copied.rootfs().join("m/file"), Some(100_000), Some(100_000)).unwrap();
    let seen = copied.mount(mount).stat("/m/file");
    assert_eq!((&seen["content"], &seen["writable"]), (&json!("covered"), &json!("EROFS")));
}

fn idmap_of_what_the_kernel_cannot_map_is_refused() {
    for kind in ["proc", "sysfs", "mqueue", "devpts", "cgroup2", "overlay"] {
        let (bundle, folder) = with_folder();
        let mut mount = json!({ "destination": "/tmp", "type": kind, "options": ["idmap"] });
        if kind == "overlay" {
            push(&mut mount["options"], json!(format!("lowerdir={folder}:/etc")));
        }
        mount["uidMappings"] = mapping();
        mount["gidMappings"] = mapping();
        bundle.mount(mount).refused("idmap: ");
    }
    let mut mount = tmpfs("/tmp", &["idmap", "iversion"]);
    mount["uidMappings"] = mapping();
    mount["gidMappings"] = mapping();
    Bundle::new().mount(mount).refused("idmap: ");
    Bundle::new().mount(tmpfs("/tmp", &["idmap"])).refused("idmap needs uidMappings");
}

fn idmap_is_of_one_mount_ridmap_of_all() {
    for (option, below) in [("idmap", 0), ("ridmap", 100_000)] {
        let (bundle, folder) = with_folder();
        fs::create_dir(format!("{folder}/below")).unwrap();
        let mut mount = bind(&folder, "/m", &["rbind", option]);
        mount["uidMappings"] = mapping();
        mount["gidMappings"] = mapping();
        let bundle = bundle.mount(mount).probing(&["stat", "/m/inside", "/m/below"]);
        let container = Container::new(bundle);
        let runtime = container.command_for("run", &[]);
        let script = "mount --bind \"$1\" \"$1\" && shift && exec \"$@\"";
        let mut command = Command::new(needs_program("unshare"));
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]);
        command.arg(format!("{folder}/below")).arg(runtime.get_program()).args(runtime.get_args());
        let seen: Value = serde_json::from_str(&run(command).succeeded().stdout).unwrap();
        assert_eq!(
            (&seen[0]["uid"], &seen[1]["uid"]),
            (&json!(100_000), &json!(below)),
            "{option}"
        );
    }
}

fn mount_label_without_selinux_is_left_out() {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        skip("SELinux is enabled here");
    }
    let bundle = Bundle::new().config(|config| {
        config["linux"]["mountLabel"] = json!("system_u:object_r:svirt_sandbox_file_t:s0:c1,c2");
    });
    let seen = bundle.report();
    let data = mount_on(&seen, "/dev/shm")["data"].as_array().unwrap();
    assert!(!data.iter().any(|one| one.as_str().unwrap().contains("context")), "{data:?}");
}

fn root_is_read_only() {
    let seen = Bundle::new().probe(&["stat", "/", "/etc", "/etc/passwd"]);
    for path in 0..3 {
        assert_eq!(seen[path]["writable"], "EROFS", "{}", seen[path]);
    }
}

fn root_is_writable() {
    let container =
        Container::new(Bundle::new().writable().probing(&["create", "/made", "by probe"]));
    let _ = container.call("run", &[]).succeeded();
    let made = container.bundle().rootfs().join("made");
    assert_eq!(fs::read_to_string(made).unwrap(), "by probe");
}

fn root_may_be_absolute() {
    let bundle = Bundle::new();
    let rootfs = bundle.folder().join("elsewhere");
    fs::rename(bundle.rootfs(), &rootfs).unwrap();
    let container =
        Container::created(bundle.config(|config| config["root"]["path"] = json!(rootfs)));
    assert_eq!(container.state()["rootfs"], json!(rootfs));
}

fn root_propagation() {
    let cases = [
        ("private", ""),
        ("rprivate", ""),
        ("slave", ""),
        ("rslave", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ];
    for (value, field) in cases {
        let bundle =
            Bundle::new().config(|config| config["linux"]["rootfsPropagation"] = json!(value));
        let seen = bundle.report();
        let fields = mount_on(&seen, "/")["propagation"].as_array().unwrap();
        let found = fields.iter().any(|found| found.as_str().unwrap().starts_with(field));
        // A slave of what is not shared is private; where it is, it has a master.
        let expected = if field.is_empty() {
            fields.iter().all(|found| {
                value.ends_with("slave") && found.as_str().unwrap().starts_with("master:")
            })
        } else {
            found
        };
        assert!(expected, "{value}: {fields:?}");
    }
}

fn unknown_root_propagation_is_refused() {
    let bundle = Bundle::new();
    bundle
        .config(|config| config["linux"]["rootfsPropagation"] = json!("unheard-of"))
        .refused("unheard-of");
}

fn masked_paths() {
    let bundle = Bundle::new()
        .writable()
        .file("/secret/file", "secret")
        .file("/folder/inside", "secret")
        .file("/target", "secret")
        .config(|config| {
            config["linux"]["maskedPaths"] = json!([
                "/secret/file",
                "/folder",
                "/not/there",
                "/link",
                "/folder",
                "/proc/timer_list",
            ]);
        });
    symlink("/target", bundle.rootfs().join("link")).unwrap();
    let paths =
        ["stat", "/secret/file", "/folder", "/not/there", "/link", "/proc/timer_list", "/target"];
    let seen = bundle.probe(&paths);
    let null = (&json!("character device"), &json!(1), &json!(3));
    for file in [&seen[0], &seen[4]] {
        assert_eq!((&file["type"], &file["major"], &file["minor"]), null, "{file}");
    }
    assert_eq!(seen[1]["content"], json!([]), "an empty folder");
    assert_eq!(seen[1]["writable"], "EROFS");
    assert_eq!(seen[2]["error"], "ENOENT", "what is missing is not made");
    assert_eq!(seen[5]["type"], "character device", "what a link leads to is masked");
}

fn read_only_paths() {
    let bundle = Bundle::new()
        .writable()
        .file("/some/file", "")
        .file("/folder/inside", "")
        .file("/target", "")
        .config(|config| {
            config["linux"]["readonlyPaths"] =
                json!(["/some/file", "/folder", "/not/there", "/link", "/proc/sys"]);
        });
    symlink("/target", bundle.rootfs().join("link")).unwrap();
    let seen = bundle.probe(&[
        "stat",
        "/some/file",
        "/folder",
        "/folder/inside",
        "/target",
        "/proc/sys/kernel/domainname",
        "/some",
        "/not/there",
    ]);
    for path in 0..5 {
        assert_eq!(seen[path]["writable"], "EROFS", "{}", seen[path]);
        assert_eq!(seen[path]["readable"], "yes", "{}", seen[path]);
    }
    assert_eq!(seen[5]["writable"], "yes", "only what is listed");
    assert_eq!(seen[6]["error"], "ENOENT");
}

/// As a user's container has it that is in the host's pid namespace. What is mounted there is locked
/// for it: the kernel clones it with what is above it, or not at all.
fn read_only_path_of_the_hosts_proc_keeps_what_is_mounted_below() {
    let bundle = rootless::bundle().without_namespace("pid").without_mount("/proc");
    let bundle = bundle.config(|config| {
        let proc = json!({
            "destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"],
        });
        config["mounts"].as_array_mut().unwrap().insert(0, proc);
        config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
        config["linux"]["maskedPaths"] = json!([]);
    });
    let [unshare, _] = ["unshare", "setpriv"].map(needs_program);
    let container = Container::new(bundle);
    let script = format!(
        "mount -t tmpfs none /proc/sys/fs && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\""
    );
    let mut command = Command::new(unshare);
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"]);
    command.arg(rootless::rind(container.bundle()));
    command.args(container.command_for("run", &[]).get_args());
    let seen: Value = serde_json::from_str(&run(command).succeeded().stdout).unwrap();
    assert!(has(&mount_on(&seen, "/proc/sys")["options"], "ro"), "{seen}");
    assert_eq!(mount_on(&seen, "/proc/sys/fs")["type"], "tmpfs", "{seen}");
}

fn proc_must_be_an_ordinary_folder() {
    for (name, path) in [("proc", "/proc"), ("sys", "/sys")] {
        let bundle = Bundle::new();
        let point = bundle.rootfs().join(name);
        fs::remove_dir(&point).unwrap();
        fs::create_dir(bundle.rootfs().join("other")).unwrap();
        symlink("/other", &point).unwrap();
        let container = Container::new(bundle);
        let output = container.call("create", &[]);
        let output = output.failed_with("must be mounted on ordinary directory");
        assert!(output.stderr.contains(path), "{output:#?}");
        container.assert_no_trace();
    }
}

fn proc_only_takes_a_proc() {
    let (bundle, folder) = with_folder();
    bundle.mount(bind(&folder, "/proc", &[])).refused("/proc");
    Bundle::new().mount(tmpfs("/proc/self", &[])).refused("/proc");
}

/// An absolute link in the image means a place in the image.
fn links_in_destinations_stay_in_the_root() {
    // Of a runtime that fails on the way, such as one with a patch of `mutations`.
    let _ = fs::remove_dir("/also-made");
    let outside = Bundle::new();
    let target = outside.folder().join("outside");
    fs::create_dir(&target).unwrap();
    let (bundle, folder) = with_folder();
    symlink(&target, bundle.rootfs().join("absolute")).unwrap();
    symlink("../../../../../../..", bundle.rootfs().join("relative")).unwrap();
    let container =
        Container::created(bundle.mount(bind(&folder, "/absolute/made", &[])).mount(bind(
            &folder,
            "/relative/also-made",
            &[],
        )));
    // Not to be left there, whatever else is wrong.
    let is_outside = fs::remove_dir("/also-made").is_ok();
    let rootfs = container.bundle().rootfs();
    assert!(fs::read_dir(&target).unwrap().next().is_none(), "made outside of the root");
    assert!(rootfs.join(target.strip_prefix("/").unwrap()).join("made").is_dir());
    assert!(rootfs.join("also-made").is_dir());
    assert!(!is_outside, "made in the host's root");
}

fn no_pivot() {
    let container = Container::new(Bundle::new().probing(&["list", "/"]));
    let output = container.call("run", &["--no-pivot"]).succeeded();
    let names: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(names, json!(["bin", "dev", "etc", "proc", "root", "sys", "tmp"]));
}

fn no_pivot_hides_a_proc_below_any_path() {
    let container = Container::new(Bundle::new().probing(&["list", "/"]));
    let proc = container.bundle().folder().join("a b\\c").join("proc");
    let script = "mkdir -p \"$0\" && mount -t proc proc \"$0\" && exec \"$@\"";
    let runtime = container.command_for("run", &["--no-pivot"]);
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script]).arg(&proc);
    command.arg(runtime.get_program()).args(runtime.get_args());
    let _ = run(command).succeeded();
}

fn sysctl_is_set() {
    for (name, value, path) in [
        (
            "net.ipv4.ip_unprivileged_port_start",
            "80",
            "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        ),
        ("kernel.msgmax", "4321", "/proc/sys/kernel/msgmax"),
        ("fs.mqueue.msg_max", "7", "/proc/sys/fs/mqueue/msg_max"),
        ("kernel.domainname", "example.org", "/proc/sys/kernel/domainname"),
    ] {
        let bundle = Bundle::new().config(|config| config["linux"]["sysctl"][name] = json!(value));
        let output = bundle.probing(&["read", path]).run().succeeded();
        assert_eq!(output.stdout.trim(), value, "{name}");
    }
}

fn sysctl_with_slashes_is_set() {
    let bundle = Bundle::new()
        .config(|config| config["linux"]["sysctl"]["net/ipv4/ip_forward"] = json!("1"));
    let output = bundle.probing(&["read", "/proc/sys/net/ipv4/ip_forward"]).run().succeeded();
    assert_eq!(output.stdout, "1\n");
}

fn sysctl_of_the_host_is_refused() {
    for name in ["vm.swappiness", "kernel.hostname", "kernel.core_pattern"] {
        let bundle = Bundle::new();
        bundle.config(|config| config["linux"]["sysctl"][name] = json!("1")).refused(name);
    }
    let climbing = json!({ "net/../vm/swappiness": "1" });
    Bundle::new().config(|config| config["linux"]["sysctl"] = climbing).refused("swappiness");
}

fn sysctl_without_its_namespace_is_refused() {
    for (namespace, name) in
        [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.msgmax"), ("ipc", "fs.mqueue.msg_max")]
    {
        let bundle = Bundle::new().without_namespace(namespace);
        bundle.config(|config| config["linux"]["sysctl"][name] = json!("1")).refused(name);
    }
    // The host's by its path is the host's all the same.
    let path = format!("/proc/{}/ns/net", std::process::id());
    let bundle = Bundle::new().namespace("network", Some(&path));
    bundle
        .config(|config| config["linux"]["sysctl"]["net.ipv4.ip_forward"] = json!("1"))
        .refused("net.ipv4.ip_forward");
}

fn host_sees_none_of_the_mounts() {
    let container = Container::running(Bundle::new());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folder = container.bundle().folder();
    assert!(!table.contains(folder.to_str().unwrap()), "{table}");
}

fn nothing_of_the_old_root_remains() {
    let seen = Bundle::new().report();
    let mounts = seen["mounts"].as_array().unwrap();
    let known = ["/", "/proc", "/dev", "/sys"];
    for mount in mounts {
        let point = mount["point"].as_str().unwrap();
        let expected = known.iter().any(|place| {
            point == *place || *place != "/" && point.starts_with(&format!("{place}/"))
        });
        assert!(expected, "{mount}");
    }
    assert_eq!(mounts.iter().filter(|mount| mount["point"] == "/").count(), 1);
}
