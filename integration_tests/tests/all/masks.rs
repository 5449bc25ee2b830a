//! Masked and read-only paths, and what of the host is bound for a container: nothing of it can be
//! changed from inside, and it is where it should be, whoever else has the rootfs.

use crate::security::while_exchanging;
use integration_tests::bundle::push;
use integration_tests::command::run;
use integration_tests::host::needs_program;
use integration_tests::race;
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = tests![
    mask_of_a_file_changes_nothing_of_the_hosts,
    mask_of_a_folder_stays_empty,
    null_device_as_stdin_cannot_be_changed,
    devices_of_the_host_cannot_be_changed_where_its_root_is_mapped,
    nodes_in_a_bound_dev_are_left_as_they_are,
    sysfs_of_the_host_is_read_only,
    moved_mounts_are_refused,
    moved_folder_with_a_mount_below_is_refused,
    mount_on_an_earlier_one_goes_with_it,
    racing_exchange_of_proc_leaves_it_masked,
    racing_exchange_of_dev_makes_no_device_in_the_image,
    paths_in_a_read_only_one_are_restricted_too,
    mounts_can_be_read_only_and_masked_themselves,
    missing_paths_are_passed_over,
    long_lists_take_no_longer_than_their_length,
];

/// What of a file on the host would tell of a change.
fn facts(path: &str) -> (u32, u32, u32, i64, i64) {
    let found = fs::metadata(path).unwrap();
    (found.mode(), found.uid(), found.gid(), found.ctime(), found.ctime_nsec())
}

/// Tries to change `path` in ways that leave it as it is, where that can be done at all. What could be
/// done is named.
fn changing(path: &str) -> String {
    format!(
        "m=$(busybox stat -c %a {path}); busybox chmod $m {path} 2>/dev/null && echo mode; \
         busybox chown 0:0 {path} 2>/dev/null && echo owner; \
         busybox touch -c {path} 2>/dev/null && echo times; "
    )
}

fn with_paths(bundle: Bundle, key: &str, paths: &[&str]) -> Bundle {
    bundle.config(|config| config["linux"][key] = json!(paths))
}

fn with_owner_capabilities(bundle: Bundle) -> Bundle {
    bundle.capabilities(&["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"])
}

/// The mount at `path`, as the probe reports it.
fn mount_on<'a>(seen: &'a Value, path: &str) -> &'a Value {
    let mounts = seen["mounts"].as_array().unwrap();
    mounts.iter().rfind(|mount| mount["point"] == path).unwrap_or_else(|| panic!("{path}: {seen}"))
}

/// A mask is the host's null device, of which all have to take what it is.
fn mask_of_a_file_changes_nothing_of_the_hosts() {
    let before = facts("/dev/null");
    let masks = ["/etc/one", "/etc/other", "/proc/kcore", "/proc/keys", "/proc/timer_list"];
    let script = masks.map(|path| format!("if [ -e {path} ]; then {}fi; ", changing(path)));
    let script = script.concat();
    let script = format!("{script}cat /etc/one && echo text >/etc/other && echo written");
    let bundle = Bundle::new().file("/etc/one", "secret").file("/etc/other", "secret").writable();
    let bundle = with_owner_capabilities(with_paths(bundle, "maskedPaths", &masks));
    let output = bundle.script(&script).run().succeeded();
    assert_eq!(output.stdout, "written\n");
    assert_eq!(facts("/dev/null"), before, "the host's /dev/null was changed");
}

fn mask_of_a_folder_stays_empty() {
    let masks = ["/etc/one", "/etc/other"];
    let script = masks
        .map(|path| format!("{}busybox mkdir {path}/x 2>/dev/null && echo made; ", changing(path)));
    let script = script.concat();
    let bundle = Bundle::new().file("/etc/one/a", "").file("/etc/other/a", "").writable();
    let bundle = with_owner_capabilities(with_paths(bundle, "maskedPaths", &masks));
    let output = bundle.script(&format!("{script}ls /etc/one /etc/other")).run().succeeded();
    assert_eq!(output.stdout, "/etc/one:\n\n/etc/other:\n");
}

/// Engines give that to containers and to what is executed in them as stdin. It's the container's own
/// there, or one that can't be changed where it has none.
fn null_device_as_stdin_cannot_be_changed() {
    let before = facts("/dev/null");
    let script = "for n in 0 2; do busybox readlink /proc/self/fd/$n; \
                  busybox chmod 666 /proc/self/fd/$n && echo mode; \
                  busybox chown 0:0 /proc/self/fd/$n && echo owner; \
                  busybox touch -c /proc/self/fd/$n && echo times; done; cat; echo text >&2 && echo read";
    let with_null = |usual: &Command| {
        let mut command = Command::new(needs_program("sh"));
        command.args(["-c", "exec \"$@\" </dev/null 2>/dev/null", "sh"]);
        command.arg(usual.get_program()).args(usual.get_args());
        run(command)
    };
    let own = |bundle: Bundle| bundle;
    let without = |bundle: Bundle| {
        let folder = bundle.folder().join("empty");
        fs::create_dir(&folder).unwrap();
        let mount =
            json!({ "destination": "/dev", "type": "bind", "source": folder, "options": ["bind"] });
        let points = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"];
        points.iter().fold(bundle, |bundle, point| bundle.without_mount(point)).mount(mount)
    };
    let changed = "/dev/null\nmode\nowner\ntimes\n".repeat(2) + "read\n";
    for (edit, expected) in
        [(&own as &dyn Fn(Bundle) -> Bundle, changed.as_str()), (&without, "/\n/\nread\n")]
    {
        let bundle = edit(with_owner_capabilities(Bundle::new().script(script)));
        let output = with_null(&Container::new(bundle).command_for("run", &[]));
        assert_eq!((output.code, output.stdout.as_str()), (0, expected));
        let bundle = edit(with_owner_capabilities(Bundle::new().with_shell()));
        let container = Container::running(bundle);
        let output = with_null(&container.exec_command(&[], &["/bin/sh", "-c", script]));
        assert_eq!((output.code, output.stdout.as_str()), (0, expected));
    }
    assert_eq!(facts("/dev/null"), before, "the host's /dev/null was changed");
}

/// In a user namespace that the host's own root is mapped in.
fn with_mapped_root(bundle: Bundle) -> Bundle {
    let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

fn devices_of_the_host_cannot_be_changed_where_its_root_is_mapped() {
    let nodes = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/fuse"];
    let nodes = nodes.map(|node| (node, fs::metadata(node).is_ok().then(|| facts(node))));
    let nodes: Vec<_> = nodes.into_iter().filter(|(_, facts)| facts.is_some()).collect();
    let script: String = nodes.iter().map(|(node, _)| changing(node)).collect();
    let script = format!("{script}echo text >/dev/null && cat </dev/null && echo opened");
    let bundle = with_owner_capabilities(with_mapped_root(Bundle::new().writable()));
    let bundle = bundle.config(|config| {
        let fuse = json!({ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229 });
        if nodes.iter().any(|(node, _)| *node == "/dev/fuse") {
            push(&mut config["linux"]["devices"], fuse);
        }
    });
    let output = bundle.script(&script).run().succeeded();
    assert_eq!(output.stdout, "opened\n");
    for (node, before) in nodes {
        assert_eq!(Some(facts(node)), before, "the host's {node} was changed");
    }
}

/// A /dev of the host's that has a device already has it with its owner and mode.
fn nodes_in_a_bound_dev_are_left_as_they_are() {
    use sys::nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let bundle = Bundle::new();
    let dev = bundle.folder().join("dev");
    fs::create_dir(&dev).unwrap();
    let node = dev.join("zero");
    mknod(&node, SFlag::S_IFCHR, Mode::from_bits_retain(0o600), makedev(1, 5)).unwrap();
    let before = facts(node.to_str().unwrap());
    let bind = json!({ "destination": "/d", "source": dev, "options": ["bind"] });
    let device = json!({
        "path": "/d/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666, "uid": 5
    });
    let bundle = bundle.mount(bind).config(|config| push(&mut config["linux"]["devices"], device));
    let container = Container::new(bundle);
    let _ = container.call("run", &[]).succeeded();
    assert_eq!(facts(node.to_str().unwrap()), before);
}

/// In the place of a new one, which the kernel gives to no user namespace without a network namespace.
fn sysfs_of_the_host_is_read_only() {
    let bundle = with_mapped_root(Bundle::new()).without_namespace("network");
    let bundle = bundle.without_mount("/sys/fs/cgroup").config(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let sysfs = mounts.iter_mut().find(|mount| mount["destination"] == "/sys").unwrap();
        sysfs["options"] = json!([]);
    });
    let seen = bundle.report();
    let all = seen["mounts"].as_array().unwrap().iter();
    for mount in all.filter(|mount| mount["point"].as_str().unwrap().starts_with("/sys")) {
        let options = mount["options"].as_array().unwrap();
        for option in ["ro", "nosuid", "nodev", "noexec"] {
            assert!(options.iter().any(|one| one == option), "{option}: {mount}");
        }
    }
    assert_eq!(mount_on(&seen, "/sys")["root"], "/");
}

/// Has a hook between the mounts and the change of root run a script in the rootfs.
fn meanwhile(bundle: Bundle, script: &str) -> Bundle {
    let script = format!("cd '{}' && {script}", bundle.rootfs().display());
    let env = ["PATH=/usr/bin:/bin"];
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env });
    bundle.config(|config| push(&mut config["hooks"]["createRuntime"], hook))
}

/// Whoever else has the rootfs puts an empty folder in the place of one that was mounted on.
fn moved_mounts_are_refused() {
    let proc = |options: &[&str]| json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": options });
    let tmpfs = json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs" });
    let bind = |bundle: &Bundle| json!({ "destination": "/data", "source": bundle.folder(), "options": ["bind"] });
    let of_proc = || Bundle::new().without_mount("/proc");
    let data = || Bundle::new().file("/data/old", "");
    let bound = data();
    let bind = bind(&bound);
    let bound = bound.mount(bind);
    let cases = [
        ("proc", Bundle::new()),
        ("proc", of_proc().mount(proc(&["ro"]))),
        ("proc", of_proc().mount(proc(&[])).mount(proc(&[]))),
        ("proc", with_paths(with_paths(Bundle::new(), "maskedPaths", &[]), "readonlyPaths", &[])),
        ("sys", Bundle::new()),
        ("data", with_paths(data().mount(tmpfs.clone()), "maskedPaths", &["/data/x"])),
        ("data", with_paths(data().mount(tmpfs), "readonlyPaths", &["/data"])),
        ("data", with_paths(bound, "readonlyPaths", &["/data/root"])),
    ];
    in_parallel(cases, |(folder, bundle)| {
        let script = format!("mkdir new && mv {folder} old && mv new {folder}");
        let text = "meanwhile: by a hook, or by whoever else has the rootfs";
        meanwhile(bundle, &script).refused(text);
    });
}

/// A path of the image that must be there, as a mount below it was made.
fn moved_folder_with_a_mount_below_is_refused() {
    for key in ["readonlyPaths", "maskedPaths"] {
        let tmpfs = json!({ "destination": "/a/b", "type": "tmpfs", "source": "tmpfs" });
        let bundle = with_paths(Bundle::new().file("/a/file", "").mount(tmpfs), key, &["/a"]);
        meanwhile(bundle, "mv a away").refused(&format!("linux.{key}: "));
    }
}

/// Two mounts at one place stay on each other: else one of them could be left without masks.
fn mount_on_an_earlier_one_goes_with_it() {
    let proc = json!({ "destination": "/proc", "type": "proc", "source": "proc" });
    let output = Bundle::new().mount(proc).script("cat /proc/self/mountinfo").run().succeeded();
    let fields = output.stdout.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let both: Vec<_> = fields.filter(|fields| fields[4] == "/proc").collect();
    assert_eq!(both.len(), 2, "{output:#?}");
    assert_eq!(both[1][1], both[0][0], "the second's parent is not the first: {output:#?}");
}

/// CVE-2019-19921 and CVE-2025-31133: a mount goes with its folder, and what is masked in it must not
/// be missed.
fn racing_exchange_of_proc_leaves_it_masked() {
    let files = ["sys/kernel/core_pattern", "sysrq-trigger", "kcore"];
    let paths: Vec<String> = ["/proc", "/proc2"]
        .iter()
        .flat_map(|at| files.map(|file| format!("{at}/{file}")))
        .collect();
    let arguments: Vec<&str> =
        ["stat"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let container = Container::new(Bundle::new().file("/proc2/none", "").probing(&arguments));
    let rootfs = container.bundle().rootfs();
    while_exchanging(&rootfs.join("proc"), &rootfs.join("proc2"), || {
        let mut restricted = 0;
        for _ in race::rounds(60, Duration::ZERO) {
            let output = container.call("run", &[]);
            if output.code != 0 {
                assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
                continue;
            }
            for one in output.json().as_array().unwrap() {
                let is_null = one["type"] == "character device";
                let is_secret = one["path"].as_str().unwrap().ends_with("kcore");
                let is_open = one["writable"] == "yes" || is_secret && one["content"].is_string();
                assert!(is_null || !is_open, "not restricted: {one}");
                restricted += usize::from(one["writable"] == "EROFS");
            }
            container.assert_no_trace();
        }
        assert!(restricted > 0, "it could never be run, so nothing was tried");
    });
}

fn racing_exchange_of_dev_makes_no_device_in_the_image() {
    let bundle = Bundle::new().writable().file("/dev2/none", "");
    let device = json!({ "path": "/dev/folder/zero", "type": "c", "major": 1, "minor": 5 });
    let bundle = bundle.config(|config| push(&mut config["linux"]["devices"], device));
    let container = Container::new(bundle.probing(&["exit", "0"]));
    let rootfs = container.bundle().rootfs();
    let [dev, other] = ["dev", "dev2"].map(|name| rootfs.join(name));
    while_exchanging(&dev, &other, || {
        for _ in race::rounds(60, Duration::ZERO) {
            let output = container.call("run", &[]);
            assert!(output.code == 0 || output.stderr.lines().count() == 1, "{output:#?}");
        }
    });
    for folder in [dev, other] {
        let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let found: Vec<_> = found.filter(|name| name != "none").collect();
        assert!(found.is_empty(), "made in the image: {found:?}");
    }
}

/// What covers a read-only path has what is below it once more, and that is to be restricted.
fn paths_in_a_read_only_one_are_restricted_too() {
    let bundle = Bundle::new().writable().file("/a/file", "").file("/a/b/none", "");
    let source = bundle.folder().join("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    fs::write(source.join("secret"), "secret").unwrap();
    let bind = json!({ "destination": "/a/b", "source": source, "options": ["bind"] });
    let bundle = with_paths(bundle.mount(bind), "readonlyPaths", &["/a", "/a/b/folder", "/sys"]);
    let bundle = with_paths(bundle, "maskedPaths", &["/a/b/secret", "/sys/kernel"]);
    let paths = ["/a", "/a/file", "/a/b", "/a/b/folder", "/a/b/secret", "/sys/kernel"];
    let seen = bundle.probe(&[&["stat"][..], &paths].concat());
    let of = |index: usize, key: &str| seen[index][key].clone();
    assert_eq!(of(0, "writable"), "EROFS", "{seen}");
    assert_eq!(of(1, "writable"), "EROFS", "{seen}");
    assert_eq!(of(2, "writable"), "yes", "what is mounted below stays as it is: {seen}");
    assert_eq!(of(3, "writable"), "EROFS", "{seen}");
    assert_eq!(of(4, "type"), "character device", "{seen}");
    assert_eq!(of(5, "content"), json!([]), "{seen}");
}

fn mounts_can_be_read_only_and_masked_themselves() {
    let bundle = Bundle::new().writable().file("/file", "").file("/masked", "");
    let source = bundle.folder().join("source");
    fs::write(&source, "secret").unwrap();
    let bind = |to: &str| json!({ "destination": to, "source": source, "options": ["bind"] });
    let tmpfs = json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs" });
    let bundle = bundle.mount(bind("/file")).mount(bind("/masked")).mount(tmpfs);
    let bundle = with_paths(bundle, "readonlyPaths", &["/file", "/data", "/proc", "//proc/sys/"]);
    let bundle = with_paths(bundle, "maskedPaths", &["/masked", "/proc/kcore"]);
    let seen = bundle.probe(&["stat", "/file", "/data", "/masked", "/proc/sys/kernel/domainname"]);
    assert_eq!((&seen[0]["content"], &seen[0]["writable"]), (&json!("secret"), &json!("EROFS")));
    assert_eq!(seen[1]["writable"], "EROFS");
    assert_eq!(seen[2]["type"], "character device");
    assert_eq!(seen[3]["writable"], "EROFS");
}

fn missing_paths_are_passed_over() {
    let paths = ["/not/there", "/proc/not-there", "/sys/not/there", "/dev/shm/x", "/proc/sys/x/y"];
    let bundle = with_paths(Bundle::new(), "maskedPaths", &paths);
    let _ = with_paths(bundle, "readonlyPaths", &paths).run().succeeded();
}

/// None of these is to be compared with all others, which takes up to minutes.
fn long_lists_take_no_longer_than_their_length() {
    const MANY: usize = 20_000;
    const LIMIT: Duration = Duration::from_secs(9);
    let many = |item: &dyn Fn(usize) -> Value| Value::Array((0..MANY).map(item).collect());
    let device =
        |index| json!({ "path": format!("/d/{index}"), "type": "c", "major": 1, "minor": 0 });
    // The last of a list is refused, so that there is only the time of checking.
    let odd = json!({ "path": "/d/0", "type": "c", "major": 1, "minor": 1 });
    let missing = |index| json!(format!("/not/there/{index}/of/many/paths"));
    let name = |index| (format!("e{index}"), json!({ "name": format!("f{index}") }));
    let comparison = |index| json!({ "index": 0, "value": index, "op": "SCMP_CMP_EQ" });
    let mut devices = many(&device);
    push(&mut devices, odd);
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": many(&|_| json!("mkdir")), "action": "SCMP_ACT_ERRNO", "args": many(&comparison)
        }],
    });
    let paths = Value::Array((0..3 * MANY).map(missing).collect());
    let names: serde_json::Map<String, Value> = (0..MANY).map(name).collect();
    let cases = [
        ("devices", devices, "/d/0 is another device by linux.devices[0]"),
        ("maskedPaths", paths.clone(), ""),
        ("readonlyPaths", paths, ""),
        ("netDevices", Value::Object(names), "there is no network device of this name"),
        ("seccomp", profile, "linux.seccomp.syscalls: are too many"),
    ];
    for (key, value, text) in cases {
        let bundle = Bundle::new().config(|config| config["linux"][key] = value);
        let container = Container::new(bundle);
        let since = Instant::now();
        let output = run(container.command_for("create", &[]));
        let took = since.elapsed();
        if text.is_empty() {
            let _ = output.succeeded();
        } else {
            let _ = output.failed_with(text);
        }
        assert!(took < LIMIT, "{MANY} of linux.{key} took {took:?}");
    }
}
