//! Devices: the ones every container has, those it is given, and the kernel's permission to use them.

use integration_tests::host::{needs_file, needs_kernel, needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, bundle::push, cgroup, command, json, tests};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use sys::nix::sys::stat::{Mode, SFlag, makedev, mknod};

pub const TESTS: &[Test] = tests![
    default_devices_are_there_and_work,
    default_links_are_there,
    devices_are_the_hosts_without_the_right_to_make_nodes,
    ptmx_leads_to_the_own_instance,
    configured_ptmx_is_the_own_instance_too,
    configured_device_is_made,
    configured_device_outside_of_dev_is_made,
    configured_device_under_a_link_stays_in_the_root,
    fifo_is_made,
    fifo_may_have_numbers,
    default_device_may_be_listed,
    device_may_be_listed_twice,
    device_of_the_image_is_given_mode_and_owner,
    device_that_does_not_match_is_refused,
    device_is_the_hosts_in_a_user_namespace,
    default_device_may_be_listed_in_a_user_namespace,
    device_that_the_host_lacks_is_made_for_a_user_namespace,
    what_a_user_namespace_has_left_is_no_obstacle,
    device_is_given_its_mode_in_joined_mounts,
    unknown_device_type_is_refused,
    device_without_numbers_is_refused,
    device_is_denied_by_default,
    device_is_denied_without_resources,
    device_is_allowed_by_a_rule,
    access_of_a_rule_is_kept_to,
    rules_apply_in_their_order,
    all_devices_may_be_allowed,
    rules_are_listed_in_their_order,
    unknown_access_is_told_and_does_not_count,
    bound_dev_is_left_alone,
    runtime_makes_devices_that_the_rules_deny,
];

/// A device of this machine that anyone may open, but no container by default.
fn restricted() -> (u64, u64) {
    let _ = cgroup::controller("devices");
    let drivers = fs::read_to_string("/proc/misc").unwrap_or_default();
    let is_there = |minor: &str| drivers.lines().any(|line| line.trim().starts_with(minor));
    // FUSE, loop-control, autofs, vhost-net.
    let minor = ["229 ", "237 ", "235 ", "238 "].into_iter().find(|minor| is_there(minor));
    (10, minor.unwrap_or_else(|| skip("none of the devices to try")).trim().parse().unwrap())
}

fn device(path: &str, kind: &str, numbers: Option<(u64, u64)>) -> Value {
    let mut device = json!({ "path": path, "type": kind });
    if let Some((major, minor)) = numbers {
        device["major"] = json!(major);
        device["minor"] = json!(minor);
    }
    device
}

fn with_device(bundle: Bundle, device: Value) -> Bundle {
    bundle.config(|config| push(&mut config["linux"]["devices"], device))
}

fn rule(allow: bool, numbers: (u64, u64), access: &str) -> Value {
    json!({ "allow": allow, "type": "c", "major": numbers.0, "minor": numbers.1, "access": access })
}

fn with_rules(bundle: Bundle, rules: Vec<Value>) -> Bundle {
    bundle.config(|config| {
        for rule in rules {
            push(&mut config["linux"]["resources"]["devices"], rule);
        }
    })
}

/// A container with the restricted device, and rules.
fn with_restricted(rules: Vec<Value>) -> Bundle {
    let bundle = with_device(Bundle::new(), device("/dev/restricted", "c", Some(restricted())));
    with_rules(bundle, rules)
}

/// What reading and writing the restricted device answers.
fn access(bundle: Bundle) -> [String; 2] {
    let seen = bundle.stat("/dev/restricted");
    ["readable", "writable"].map(|kind| seen[kind].as_str().unwrap().to_owned())
}

fn default_devices_are_there_and_work() {
    for (path, minor, major) in [
        ("/dev/null", 3, 1),
        ("/dev/zero", 5, 1),
        ("/dev/full", 7, 1),
        ("/dev/random", 8, 1),
        ("/dev/urandom", 9, 1),
        ("/dev/tty", 0, 5),
    ] {
        let seen = Bundle::new().stat(path);
        assert_eq!(seen["type"], "character device", "{path}");
        assert_eq!((&seen["major"], &seen["minor"]), (&json!(major), &json!(minor)), "{path}");
        assert_eq!(seen["mode"], 0o666, "{path}");
        assert_eq!((&seen["uid"], &seen["gid"]), (&json!(0), &json!(0)), "{path}");
        // One without a terminal cannot open /dev/tty, and is told so by the device itself.
        let answer = if path == "/dev/tty" { "ENXIO" } else { "yes" };
        assert_eq!(
            (&seen["readable"], &seen["writable"]),
            (&json!(answer), &json!(answer)),
            "{path}"
        );
    }
    let output = Bundle::new().probing(&["write", "/dev/full", "x"]).run();
    assert_eq!(output.stderr, "ENOSPC\n");
}

/// `run` as below an engine that runs in a container without `CAP_MKNOD`.
fn run_without_mknod(bundle: Bundle) -> command::Output {
    let container = Container::new(bundle);
    let run = container.command_for("run", &[]);
    let mut limited = Command::new(needs_program("setpriv"));
    limited.args(["--bounding-set", "-mknod", "--"]).arg(run.get_program()).args(run.get_args());
    command::run(limited)
}

fn devices_are_the_hosts_without_the_right_to_make_nodes() {
    let script =
        "for name in null zero full random urandom tty; do test -c /dev/$name || exit 1; done
        echo x > /dev/null && head -c 4 /dev/zero | od -An -tx1; chmod 600 /dev/null; echo $?";
    let output = run_without_mknod(Bundle::new().script(script));
    assert_eq!(output.stdout, " 00 00 00 00\n1\n", "{output:?}");
    assert_eq!(output.code, 0, "{output:?}");
    let mode = fs::metadata("/dev/null").unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o666, "the host's node was changed");
    // The host has no such node to bind.
    let device = json!({ "path": "/dev/zero2", "type": "c", "major": 1, "minor": 5 });
    let bundle = Bundle::new().config(|config| config["linux"]["devices"] = json!([device]));
    let _ = run_without_mknod(bundle).failed_with("linux.devices[0]: making /dev/zero2");
}

fn default_links_are_there() {
    for (path, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        let seen = Bundle::new().stat(path);
        assert_eq!((&seen["type"], &seen["link"]), (&json!("link"), &json!(target)), "{path}");
    }
}

fn ptmx_leads_to_the_own_instance() {
    let seen = Bundle::new().probe(&["stat", "/dev/ptmx", "/dev/pts"]);
    assert_eq!(seen[0]["readable"], "yes");
    assert_eq!(seen[1]["content"], json!(["ptmx"]), "none of the host's terminals");
}

/// The node would be the multiplexer of the host's terminals.
fn configured_ptmx_is_the_own_instance_too() {
    let device = json!({ "path": "/dev/./ptmx", "type": "c", "major": 5, "minor": 2 });
    let bundle = Bundle::new().config(|config| push(&mut config["linux"]["devices"], device));
    let seen = bundle.stat("/dev/ptmx");
    assert_eq!((&seen["type"], &seen["link"]), (&json!("link"), &json!("pts/ptmx")), "{seen}");
}

fn configured_device_is_made() {
    let mut zero = device("/dev/folder/zero", "c", Some((1, 5)));
    zero["fileMode"] = json!(0o604);
    zero["uid"] = json!(3);
    zero["gid"] = json!(4);
    let seen = with_device(Bundle::new(), zero).stat("/dev/folder/zero");
    assert_eq!(seen["type"], "character device");
    assert_eq!((&seen["major"], &seen["minor"]), (&json!(1), &json!(5)));
    assert_eq!(seen["mode"], 0o604);
    assert_eq!((&seen["uid"], &seen["gid"]), (&json!(3), &json!(4)));
    let mut block = device("/dev/block", "b", Some((7, 200)));
    block["fileMode"] = json!(0o600);
    let seen = with_device(Bundle::new(), block).stat("/dev/block");
    assert_eq!((&seen["type"], &seen["major"]), (&json!("block device"), &json!(7)));
    let unbuffered = device("/dev/unbuffered", "u", Some((1, 5)));
    let seen = with_device(Bundle::new(), unbuffered).stat("/dev/unbuffered");
    assert_eq!((&seen["type"], &seen["minor"]), (&json!("character device"), &json!(5)));
}

fn configured_device_outside_of_dev_is_made() {
    let zero = device("/some/where/zero", "c", Some((1, 5)));
    let seen = with_device(Bundle::new().writable(), zero).stat("/some/where/zero");
    assert_eq!((&seen["type"], &seen["minor"]), (&json!("character device"), &json!(5)));
}

fn configured_device_under_a_link_stays_in_the_root() {
    let outside = Bundle::new();
    let bundle = with_device(Bundle::new().writable(), device("/link/zero", "c", Some((1, 5))));
    symlink(outside.folder(), bundle.rootfs().join("link")).unwrap();
    let container = Container::created(bundle);
    assert!(!outside.folder().join("zero").exists(), "made outside of the root");
    drop(container);
}

fn fifo_is_made() {
    let seen = with_device(Bundle::new(), device("/dev/fifo", "p", None)).stat("/dev/fifo");
    assert_eq!(seen["type"], "fifo");
}

fn fifo_may_have_numbers() {
    let seen = with_device(Bundle::new(), device("/dev/fifo", "p", Some((1, 2)))).stat("/dev/fifo");
    assert_eq!(seen["type"], "fifo");
}

fn default_device_may_be_listed() {
    let mut null = device("/dev/null", "c", Some((1, 3)));
    null["fileMode"] = json!(0o666);
    let seen = with_device(Bundle::new(), null).stat("/dev/null");
    assert_eq!((&seen["type"], &seen["mode"]), (&json!("character device"), &json!(0o666)));
}

fn device_may_be_listed_twice() {
    let zero = || device("/dev/other", "c", Some((1, 5)));
    let seen = with_device(with_device(Bundle::new(), zero()), zero()).stat("/dev/other");
    assert_eq!((&seen["type"], &seen["minor"]), (&json!("character device"), &json!(5)));
    let same = with_device(with_device(Bundle::new(), zero()), device("/dev/x", "c", Some((1, 5))));
    assert_eq!(same.stat("/dev/x")["minor"], 5);
    let other = device("/dev/other", "c", Some((1, 3)));
    with_device(with_device(Bundle::new(), zero()), other)
        .refused("linux.devices[1].path: /dev/other is another device by linux.devices[0]");
}

fn device_of_the_image_is_given_mode_and_owner() {
    let mut zero = device("/etc/zero", "c", Some((1, 5)));
    zero["fileMode"] = json!(0o640);
    zero["uid"] = json!(3);
    zero["gid"] = json!(4);
    let bundle = with_device(Bundle::new().writable(), zero);
    let node = bundle.rootfs().join("etc/zero");
    mknod(&node, SFlag::S_IFCHR, Mode::from_bits_retain(0o777), makedev(1, 5)).unwrap();
    let seen = bundle.stat("/etc/zero");
    assert_eq!((&seen["mode"], &seen["uid"], &seen["gid"]), (&json!(0o640), &json!(3), &json!(4)));
}

fn device_that_does_not_match_is_refused() {
    let asked = |bundle| with_device(bundle, device("/etc/zero", "c", Some((1, 5))));
    let expected = "linux.devices[0]: /etc/zero is there, but is not the device 1:5";
    asked(Bundle::new().writable().file("/etc/zero", "a file of the image")).refused(expected);
    for (kind, number) in
        [(SFlag::S_IFCHR, makedev(1, 3)), (SFlag::S_IFBLK, makedev(1, 5)), (SFlag::S_IFIFO, 0)]
    {
        let bundle = asked(Bundle::new().writable());
        let node = bundle.rootfs().join("etc/zero");
        mknod(&node, kind, Mode::from_bits_retain(0o666), number).unwrap();
        bundle.refused(expected);
    }
    // A link is not the device that it leads to.
    let bundle = asked(Bundle::new().writable());
    symlink("/dev/zero", bundle.rootfs().join("etc/zero")).unwrap();
    bundle.refused(expected);
}

fn in_user_namespace(bundle: Bundle) -> Bundle {
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

/// Which may make none of its own: what the host has at that path is bound.
fn device_is_the_hosts_in_a_user_namespace() {
    let bundle = || in_user_namespace(Bundle::new());
    let seen = with_device(bundle(), device("/dev/fifo", "p", None)).stat("/dev/fifo");
    assert_eq!(seen["type"], "fifo", "which anyone may make");
    let other = device("/dev/full", "c", Some((1, 5)));
    with_device(bundle(), other).refused("linux.devices[0]: /dev/full is there, but is not");
    needs_file("/dev/net/tun");
    let tun = with_device(bundle(), device("/dev/net/tun", "c", Some((10, 200))));
    let seen = tun.stat("/dev/net/tun");
    assert_eq!((&seen["type"], &seen["major"]), (&json!("character device"), &json!(10)));
    assert_eq!(seen["minor"], 200);
}

/// As for `--privileged`, which lists what the host has.
fn default_device_may_be_listed_in_a_user_namespace() {
    let devices = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("tty", 5, 0), ("kmsg", 1, 11)];
    let mut bundle = in_user_namespace(Bundle::new());
    for (name, major, minor) in devices.into_iter().chain(devices) {
        let path = format!("/dev/{name}");
        needs_file(&path);
        let mut device = device(&path, "c", Some((major, minor)));
        device["fileMode"] = json!(0o600);
        device["uid"] = json!(5);
        bundle = with_device(bundle, device);
    }
    let paths = devices.map(|(name, ..)| format!("/dev/{name}"));
    let mut args = vec!["stat"];
    args.extend(paths.iter().map(String::as_str));
    let seen = bundle.probe(&args);
    for (index, (name, major, minor)) in devices.into_iter().enumerate() {
        let found = &seen[index];
        assert_eq!((&found["major"], &found["minor"]), (&json!(major), &json!(minor)), "{name}");
        assert_eq!(found["uid"], 65534, "{name} is the host's");
    }
    let mounts = in_user_namespace(Bundle::new()).report();
    let null = mounts["mounts"].as_array().unwrap().iter().find(|it| it["point"] == "/dev/null");
    for flag in ["ro", "nosuid", "noexec"] {
        assert!(null.unwrap()["options"].as_array().unwrap().contains(&json!(flag)), "{null:?}");
    }
}

/// Under another name, or not at all.
fn device_that_the_host_lacks_is_made_for_a_user_namespace() {
    needs_kernel(6, 15, "clone what is mounted nowhere");
    for path in ["/dev/other", "/dev/a/full", "/dev/mem"] {
        let mut other = device(path, "c", Some((1, 5)));
        other["fileMode"] = json!(0o640);
        other["uid"] = json!(3);
        other["gid"] = json!(4);
        let seen = with_device(in_user_namespace(Bundle::new()), other).stat(path);
        let found = (&seen["type"], &seen["mode"], &seen["uid"], &seen["gid"], &seen["minor"]);
        let kind = json!("character device");
        assert_eq!(found, (&kind, &json!(0o640), &json!(3), &json!(4), &json!(5)), "{path}");
    }
}

/// Files to mount on, where no mount is on /dev.
fn what_a_user_namespace_has_left_is_no_obstacle() {
    let asked = || device("/dev/kmsg", "c", Some((1, 11)));
    needs_file("/dev/kmsg");
    let first = with_device(Bundle::new().writable(), asked());
    let first = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"]
        .into_iter()
        .fold(first, Bundle::without_mount);
    let root = first.rootfs();
    let id = Some(100_000);
    chown(&root, id, id).unwrap();
    chown(root.join("dev"), id, id).unwrap();
    let root = root.to_str().unwrap().to_owned();
    let again = || {
        let bundle = with_device(Bundle::new().writable(), asked());
        let bundle = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"]
            .into_iter()
            .fold(bundle, Bundle::without_mount);
        bundle.config(|config| config["root"]["path"] = json!(root))
    };
    for (user, what) in [(true, "first"), (true, "again"), (false, "then without one")] {
        let bundle = if user { in_user_namespace(again()) } else { again() };
        let seen = bundle.probe(&["stat", "/dev/null", "/dev/kmsg"]);
        for (found, minor) in [(&seen[0], 3), (&seen[1], 11)] {
            let of = (&found["type"], &found["minor"]);
            assert_eq!(of, (&json!("character device"), &json!(minor)), "{what}");
        }
    }
    drop(first);
}

/// Where /proc is another's, who has links there in place of descriptors.
fn device_is_given_its_mode_in_joined_mounts() {
    let mut zero = device("/etc/zero", "c", Some((1, 5)));
    zero["fileMode"] = json!(0o640);
    let bundle = with_device(Bundle::new().writable(), zero);
    mknod(
        &bundle.rootfs().join("etc/zero"),
        SFlag::S_IFCHR,
        Mode::from_bits_retain(0o777),
        makedev(1, 5),
    )
    .unwrap();
    let aside = Bundle::new();
    let victim = aside.folder().join("victim");
    fs::create_dir_all(victim.join("new")).unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o711)).unwrap();
    let script = "set -e; mount -t tmpfs proc /proc; mkdir -p /proc/self/fd; i=0; \
                  while [ $i -lt 300 ]; do ln -s \"$1\" /proc/self/fd/$i; i=$((i+1)); done; \
                  exec sleep 1000";
    let mut other = Command::new(needs_program("unshare"));
    other.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]).arg(&victim);
    let other = command::spawn(other);
    wait_for("the links to be made", || {
        fs::read_to_string(format!("/proc/{}/comm", other.pid())).is_ok_and(|it| it == "sleep\n")
    });
    let bundle = bundle.namespace("mount", Some(&format!("/proc/{}/ns/mnt", other.pid())));
    let options = json!(["silent", "size=1m"]);
    let bundle = bundle.mount(json!({ "destination": "/m", "type": "tmpfs", "options": options }));
    let seen = bundle.probe(&["stat", "/etc/zero", "/m"]);
    assert_eq!((&seen[0]["minor"], &seen[0]["mode"]), (&json!(5), &json!(0o640)));
    assert_eq!(seen[1]["mode"], 0o1777);
    assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o7777, 0o711);
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", other.pid())).unwrap();
    assert!(!mounts.contains("/victim"), "{mounts}");
}

fn unknown_device_type_is_refused() {
    let mut odd = device("/dev/odd", "x", Some((1, 5)));
    odd["type"] = json!("x");
    with_device(Bundle::new(), odd).refused("");
}

fn device_without_numbers_is_refused() {
    with_device(Bundle::new(), device("/dev/odd", "c", None)).refused("/dev/odd");
}

fn device_is_denied_by_default() {
    assert_eq!(access(with_restricted(vec![])), ["EPERM", "EPERM"]);
}

fn device_is_denied_without_resources() {
    for resources in [Value::Null, json!({}), json!({ "devices": [] })] {
        let bundle = with_restricted(vec![]).config(|config| {
            let linux = config["linux"].as_object_mut().unwrap();
            match &resources {
                Value::Null => drop(linux.remove("resources")),
                other => drop(linux.insert("resources".to_owned(), other.clone())),
            }
        });
        assert_eq!(access(bundle), ["EPERM", "EPERM"], "resources {resources}");
    }
}

fn device_is_allowed_by_a_rule() {
    let rules = vec![rule(true, restricted(), "rwm")];
    assert_eq!(access(with_restricted(rules)), ["yes", "yes"]);
}

fn access_of_a_rule_is_kept_to() {
    let rules = vec![rule(true, restricted(), "r")];
    assert_eq!(access(with_restricted(rules)), ["yes", "EPERM"]);
    let rules = vec![rule(true, restricted(), "w")];
    assert_eq!(access(with_restricted(rules)), ["EPERM", "yes"]);
}

fn rules_apply_in_their_order() {
    let device = restricted();
    let rules = vec![rule(true, device, "rw"), rule(false, device, "w")];
    assert_eq!(access(with_restricted(rules)), ["yes", "EPERM"]);
    let rules = vec![rule(false, device, "rw"), rule(true, device, "rw")];
    assert_eq!(access(with_restricted(rules)), ["yes", "yes"]);
}

fn all_devices_may_be_allowed() {
    let all = json!({ "allow": true, "access": "rwm" });
    assert_eq!(access(with_restricted(vec![all])), ["yes", "yes"]);
    let all = json!({ "allow": true, "type": "a", "access": "rwm" });
    assert_eq!(access(with_restricted(vec![all])), ["yes", "yes"]);
}

/// Of version 1: where the runtime adds rules of its own, the configuration's come first.
fn rules_are_listed_in_their_order() {
    if cgroup::controller("devices").version != 1 {
        skip("version 2 has no list");
    }
    let rules = vec![
        rule(true, (222, 9), "rw"),
        rule(true, (222, 7), "r"),
        json!({ "allow": true, "type": "b", "major": 8, "minor": 0, "access": "rm" }),
        json!({ "allow": true, "type": "c", "major": 4, "access": "rw" }),
    ];
    let container = Container::created(with_rules(Bundle::new(), rules));
    let folder = cgroup::folder_of(container.pid(), "devices");
    let list = cgroup::value(&folder, "devices.list");
    let at = |line: &str| {
        let found = list.lines().position(|listed| listed == line);
        found.unwrap_or_else(|| panic!("{line} is not in\n{list}"))
    };
    let places =
        [at("c 222:9 rw"), at("c 222:7 r"), at("b 8:0 rm"), at("c 4:* rw"), at("c 1:3 rwm")];
    assert!(places.is_sorted(), "{list}");
}

/// Only r, w and m count, as in runc; what was meant to deny and would deny nothing is no rule.
fn unknown_access_is_told_and_does_not_count() {
    let numbers = restricted();
    let tries = |allow: bool, access: &str| {
        let bundle = with_restricted(vec![rule(allow, numbers, access)]);
        let output = bundle.probing(&["stat", "/dev/restricted"]).run();
        let told = format!("linux.resources.devices[1].access: \\\"{access}\\\" is not of r, w");
        assert!(output.stderr.contains(&told), "{output:#?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        output
    };
    for (letters, answers) in
        [("rwa", ["yes", "yes"]), ("rx", ["yes", "EPERM"]), ("RW", ["EPERM", "EPERM"])]
    {
        let output = tries(true, letters);
        assert_eq!(output.code, 0, "{output:#?}");
        let seen = &output.json()[0];
        let seen = ["readable", "writable"].map(|kind| seen[kind].as_str().unwrap().to_owned());
        assert_eq!(seen, answers, "{letters}");
    }
    assert_eq!(tries(false, "rwa").code, 0);
    assert_eq!(tries(false, "a").code, 1);
}

/// The host's /dev, or a volume, that is bound to /dev is not the runtime's to fill.
fn bound_dev_is_left_alone() {
    let bundle = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"]
        .iter()
        .fold(Bundle::new(), |bundle, point| bundle.without_mount(point));
    let folder = bundle.folder().join("dev");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("ptmx"), "not to be replaced").unwrap();
    let mode = Mode::from_bits_retain(0o666);
    mknod(&folder.join("null"), SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap();
    let mount = json!({ "destination": "/dev", "source": folder, "options": ["rbind"] });
    let container = Container::new(bundle.mount(mount));
    let _ = container.call("run", &[]).succeeded();
    let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["null", "ptmx"]);
    assert_eq!(fs::read_to_string(folder.join("ptmx")).unwrap(), "not to be replaced");
}

fn runtime_makes_devices_that_the_rules_deny() {
    let bundle = with_restricted(vec![json!({ "allow": false, "access": "rwm" })]);
    let seen = bundle.stat("/dev/restricted");
    assert_eq!((&seen["type"], &seen["readable"]), (&json!("character device"), &json!("EPERM")));
}
