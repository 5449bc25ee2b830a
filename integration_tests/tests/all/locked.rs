//! Mounts of the host's in a user namespace are locked (`mount_namespaces(7)`): no flag of theirs can
//! be cleared there, and nothing be uncovered that the host covers. What stands in for the host is a
//! mount namespace of the test's own.

use integration_tests::bundle::push;
use integration_tests::command::{Output, Running};
use integration_tests::host::{needs_kernel, needs_program, wait_for};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, command, json, tests};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

pub const TESTS: &[Test] = tests![
    attack_works_without_a_user_namespace,
    flags_of_a_source_are_locked,
    flags_of_a_file_are_locked,
    flags_of_what_only_root_can_reach_are_locked,
    flags_of_the_root_are_locked,
    flags_of_an_idmapped_source_are_locked,
    flags_of_the_hosts_own_mounts_are_locked,
    flags_of_an_added_mount_are_locked,
    flags_are_locked_in_a_joined_user_namespace,
    flags_are_locked_in_a_joined_mount_namespace,
    flags_are_locked_in_a_user_namespace_with_clocks,
    covers_of_a_source_are_locked,
    covers_of_the_root_are_locked,
    covers_of_an_added_mount_are_locked,
    cover_that_cannot_be_bound_is_locked,
    bind_that_would_uncover_is_refused,
    sources_are_found_as_on_the_host,
    sources_are_found_below_a_root_that_was_changed,
    sources_are_found_in_earlier_mounts,
    flags_of_what_an_earlier_entry_has_mounted_are_locked,
    runtime_need_not_be_allowed_to_look_into_others,
    many_sources_arrive,
    missing_source_is_refused_before_anything_is_made,
    added_mount_is_refused_to_an_init_that_has_left,
    process_that_makes_mappings_is_closed_to_others,
];

const FLAGS: &str = "ro,nosuid,nodev,noexec,noatime,nodiratime";

/// What `probe unlock` tries.
const TRIES: [&str; 9] =
    ["ro", "nosuid", "nodev", "noexec", "nodiratime", "noatime", "strictatime", "relatime", "all"];

/// A mount namespace, for as long as this is there.
pub(crate) struct Host(Running);

impl Host {
    /// One in which `script` has been run, whose `$1` and so on are `arguments`.
    pub(crate) fn new(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(needs_program("unshare"));
        let script = format!("set -e; {script}\nexec sleep 1000");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"]);
        command.args(arguments);
        let running = command::spawn(command);
        wait_for("the mounts to be made", || {
            let comm = fs::read_to_string(format!("/proc/{}/comm", running.pid()));
            let is_done = comm.is_ok_and(|name| name == "sleep\n");
            assert!(is_done || running.stderr().is_empty(), "{}", running.stderr());
            is_done
        });
        Self(running)
    }

    /// `command` in it.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut entered = Command::new(needs_program("nsenter"));
        entered.arg(format!("--mount=/proc/{}/ns/mnt", self.0.pid()));
        entered.arg(command.get_program()).args(command.get_args());
        entered
    }

    /// Runs the container to its end.
    #[track_caller]
    fn run(&self, bundle: Bundle) -> Output {
        let container = Container::new(bundle);
        command::run(self.command(&container.command_for("run", &[])))
    }

    /// A container whose probe sleeps.
    #[track_caller]
    fn running(&self, bundle: Bundle) -> Container {
        self.start(Container::new(bundle.probing(&["sleep"])))
    }

    #[track_caller]
    fn start(&self, mut container: Container) -> Container {
        container.make_by(self.command(&container.command_for("create", &[])));
        container.start();
        container.wait_line("ready");
        container
    }
}

/// A bundle with a mount point `/m`, and beside it the folder of a volume, with the file `file`, and
/// `part/secret`.
fn prepared() -> (Bundle, String) {
    let bundle = Bundle::new().file("/m/x", "a mount point").capabilities(&["CAP_SYS_ADMIN"]);
    let volume = bundle.folder().join("volume");
    fs::create_dir_all(volume.join("part")).unwrap();
    fs::write(volume.join("file"), "the host's\n").unwrap();
    fs::write(volume.join("part/secret"), "covered\n").unwrap();
    (bundle, volume.to_str().unwrap().to_owned())
}

fn mapping() -> Value {
    json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }])
}

fn in_user_namespace(bundle: Bundle) -> Bundle {
    bundle.namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mapping();
        config["linux"]["gidMappings"] = mapping();
    })
}

fn bind(source: &str, destination: &str, options: &[&str]) -> Value {
    let options: Vec<&str> = [&["rbind"], options].concat();
    json!({ "destination": destination, "source": source, "options": options })
}

/// A volume with [`FLAGS`].
fn flagged(volume: &str) -> Host {
    let script = format!("mount --bind \"$1\" \"$1\"; mount -o remount,bind,{FLAGS} \"$1\"");
    Host::new(&script, &[volume])
}

/// A volume whose `part` is covered.
fn covered(volume: &str) -> Host {
    Host::new("mount --bind \"$1\" \"$1\"; mount -t tmpfs cover \"$1/part\"", &[volume])
}

/// That nothing could be done to a mount with all of [`FLAGS`].
#[track_caller]
fn assert_locked(tried: &Value, what: &str) {
    for flag in TRIES {
        // To set what is set already changes nothing.
        let expected = if flag == "noatime" { "EPERM yes" } else { "EPERM" };
        let answer = tried[flag].as_str().unwrap();
        assert!(expected.contains(answer), "{what}: {flag} of {tried}");
    }
}

#[track_caller]
fn assert_flags_locked(host: &Host, bundle: Bundle, what: &str) {
    let tried = host.run(bundle.probing(&["unlock", "/m"])).succeeded().json();
    assert_locked(&tried[0], what);
}

/// That a cover stayed where it is.
#[track_caller]
fn assert_covered(tried: &Value, what: &str) {
    for way in ["bind", "clone", "move", "umount", "detach"] {
        let answer = tried[way].as_str().unwrap();
        assert!(matches!(answer, "EINVAL" | "EPERM"), "{what}: {way} of {tried}");
    }
}

/// Else the other tests would say nothing.
fn attack_works_without_a_user_namespace() {
    let (bundle, volume) = prepared();
    let host = flagged(&volume);
    let bundle = bundle.mount(bind(&volume, "/m", &[]));
    let tried = host.run(bundle.probing(&["unlock", "/m"])).succeeded().json();
    for flag in TRIES {
        assert_eq!(tried[0][flag], "yes", "{flag} of {tried}");
    }
    let (bundle, volume) = prepared();
    let host = covered(&volume);
    let bundle = bundle.mount(bind(&volume, "/m", &[]));
    let tried = host.run(bundle.probing(&["uncover", "/m/part", "/m"])).succeeded().json();
    for way in ["bind", "clone", "move"] {
        assert_eq!(tried[way], "yes", "{way} of {tried}");
    }
}

fn flags_of_a_source_are_locked() {
    for options in
        [&[][..], &["ro"], &["nosuid", "rprivate"], &["rslave"], &["rshared"], &["noatime"]]
    {
        let (bundle, volume) = prepared();
        let host = flagged(&volume);
        let bundle = in_user_namespace(bundle).mount(bind(&volume, "/m", options));
        assert_flags_locked(&host, bundle, &format!("{options:?}"));
    }
}

fn flags_of_a_file_are_locked() {
    let (bundle, volume) = prepared();
    let host = flagged(&volume);
    let mount =
        json!({ "destination": "/m/x", "source": format!("{volume}/file"), "options": ["bind"] });
    let bundle = in_user_namespace(bundle).mount(mount);
    let tried = host.run(bundle.probing(&["unlock", "/m/x"])).succeeded().json();
    assert_locked(&tried[0], "a file");
}

fn flags_of_what_only_root_can_reach_are_locked() {
    let (bundle, volume) = prepared();
    let hidden = bundle.folder().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).unwrap();
    let inside = hidden.join("volume");
    fs::rename(&volume, &inside).unwrap();
    let inside = inside.to_str().unwrap();
    let host = flagged(inside);
    let bundle = in_user_namespace(bundle).mount(bind(inside, "/m", &[]));
    assert_flags_locked(&host, bundle, "a source below a folder of root's");
}

fn flags_of_the_root_are_locked() {
    let (bundle, _) = prepared();
    let bundle = in_user_namespace(bundle.writable()).probing(&["unlock", "/"]);
    let flags = "ro,nosuid,nodev,noatime,nodiratime";
    let script = format!("mount --bind \"$1\" \"$1\"; mount -o remount,bind,{flags} \"$1\"");
    let host = Host::new(&script, &[bundle.rootfs().to_str().unwrap()]);
    let tried = host.run(bundle).succeeded().json();
    for flag in TRIES.iter().filter(|flag| !["noexec", "noatime"].contains(flag)) {
        assert_eq!(tried[0][*flag], "EPERM", "{flag} of {tried}");
    }
}

fn flags_of_an_idmapped_source_are_locked() {
    for (own, option) in [(true, "idmap"), (false, "idmap"), (true, "ridmap")] {
        let (bundle, volume) = prepared();
        let host = flagged(&volume);
        let mut mount = bind(&volume, "/m", &[option]);
        if own {
            mount["uidMappings"] = mapping();
            mount["gidMappings"] = mapping();
        }
        let bundle = in_user_namespace(bundle).mount(mount);
        assert_flags_locked(&host, bundle, &format!("{option}, mappings of its own: {own}"));
    }
}

/// What init itself takes of the host: devices, and a /sys that it may not make anew.
fn flags_of_the_hosts_own_mounts_are_locked() {
    let (bundle, _) = prepared();
    let bundle = in_user_namespace(bundle).without_namespace("network");
    let host = Host::new(
        "mount -o remount,bind,ro,nosuid,nodev,noexec,noatime /sys; mount --bind /dev /dev; \
         mount -o remount,bind,ro,nosuid,noexec,noatime /dev",
        &[],
    );
    let bundle = bundle.without_mount("/sys/fs/cgroup");
    let tried = host.run(bundle.probing(&["unlock", "/sys", "/dev/zero"])).succeeded().json();
    for (mount, flags) in
        [(0, &["ro", "nosuid", "nodev", "noexec"][..]), (1, &["ro", "nosuid", "noexec"])]
    {
        for flag in flags.iter().chain(&["relatime", "strictatime", "all"]) {
            assert_eq!(tried[mount][*flag], "EPERM", "{flag} of {tried}");
        }
    }
}

/// `mounts add` of this list.
#[track_caller]
fn add(host: &Host, container: &Container, list: &Value) -> Output {
    let file = container.bundle().folder().join("mounts.json");
    fs::write(&file, list.to_string()).unwrap();
    let file = file.to_str().unwrap();
    command::run(host.command(&container.command(&["mounts", "add", container.id(), file])))
}

fn flags_of_an_added_mount_are_locked() {
    for option in ["ro", "idmap"] {
        let (bundle, volume) = prepared();
        let host = flagged(&volume);
        let container = host.running(in_user_namespace(bundle));
        let _ = add(&host, &container, &json!([bind(&volume, "/m", &[option])])).succeeded();
        let tried = container.exec(&[], &["/bin/probe", "unlock", "/m"]).succeeded().json();
        assert_locked(&tried[0], option);
    }
}

fn flags_are_locked_in_a_joined_user_namespace() {
    let first = Container::running(in_user_namespace(Bundle::new()));
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
    for kinds in [&["user"][..], &["user", "pid"], &["user", "network", "ipc"]] {
        let (bundle, volume) = prepared();
        let host = flagged(&volume);
        let bundle = kinds.iter().fold(bundle, |it, kind| {
            let file = if *kind == "network" { "net" } else { kind };
            it.namespace(kind, Some(&path(file)))
        });
        assert_flags_locked(&host, bundle.mount(bind(&volume, "/m", &[])), &format!("{kinds:?}"));
    }
}

/// Of a mount namespace that is the user namespace's, and not a container's: that has no bundles.
fn flags_are_locked_in_a_joined_mount_namespace() {
    for user in [true, false] {
        let (bundle, volume) = prepared();
        let host = flagged(&volume);
        let mut unshare = Command::new(needs_program("unshare"));
        unshare.args(["--user", "--map-root-user", "--mount", "sleep", "1000"]);
        let other = command::spawn(unshare);
        wait_for("unshare to be done", || {
            let comm = fs::read_to_string(format!("/proc/{}/comm", other.pid()));
            comm.is_ok_and(|name| name == "sleep\n")
        });
        let path = |kind: &str| format!("/proc/{}/ns/{kind}", other.pid());
        let mut mount = bind(&volume, "/m", if user { &[] } else { &["idmap"] });
        if !user {
            mount["uidMappings"] = mapping();
            mount["gidMappings"] = mapping();
        }
        let bundle = bundle.namespace("mount", Some(&path("mnt"))).mount(mount);
        let bundle = bundle.without_mount("/dev/pts").without_mount("/sys/fs/cgroup");
        let bundle = if user { bundle.namespace("user", Some(&path("user"))) } else { bundle };
        assert_flags_locked(&host, bundle, &format!("user namespace joined: {user}"));
    }
}

/// Init is forked by a process that is in the user namespace already.
fn flags_are_locked_in_a_user_namespace_with_clocks() {
    let (bundle, volume) = prepared();
    let host = flagged(&volume);
    let bundle = in_user_namespace(bundle).namespace("time", None);
    let bundle = bundle.mount(bind(&volume, "/m", &[]));
    assert_flags_locked(&host, bundle, "a time namespace");
}

fn covers_of_a_source_are_locked() {
    for option in ["rw", "ro", "rprivate", "rslave", "rshared", "idmap", "ridmap"] {
        if option == "ridmap" {
            needs_kernel(6, 3, "map the ids of a tmpfs");
        }
        let (bundle, volume) = prepared();
        let host = covered(&volume);
        let bundle = in_user_namespace(bundle).mount(bind(&volume, "/m", &[option]));
        let tried = host.run(bundle.probing(&["uncover", "/m/part", "/m"])).succeeded().json();
        assert_covered(&tried, option);
    }
}

fn covers_of_the_root_are_locked() {
    let (bundle, _) = prepared();
    let bundle = in_user_namespace(bundle.file("/covered/secret", "covered\n"));
    let host = Host::new(
        "mount -t tmpfs cover \"$1\"",
        &[bundle.rootfs().join("covered").to_str().unwrap()],
    );
    let bundle = bundle.probing(&["uncover", "/covered", "/"]);
    assert_covered(&host.run(bundle).succeeded().json(), "the root");
}

fn covers_of_an_added_mount_are_locked() {
    let (bundle, volume) = prepared();
    let host = covered(&volume);
    let container = host.running(in_user_namespace(bundle));
    let _ = add(&host, &container, &json!([bind(&volume, "/m", &[])])).succeeded();
    let tried = container.exec(&[], &["/bin/probe", "uncover", "/m/part", "/m"]).succeeded().json();
    assert_covered(&tried, "added");
    let mount = json!({ "destination": "/m", "source": volume, "options": ["bind"] });
    let _ = add(&host, &container, &json!([mount])).failed_with("use rbind");
}

/// The kernel leaves such a mount out of a clone, or refuses to, where that would uncover something.
fn cover_that_cannot_be_bound_is_locked() {
    // Seen on 6.18, and to be refused on 6.1.
    needs_kernel(6, 17, "make a slave of a mount that is unbindable");
    for unbindable in ["", "/part"] {
        let (bundle, volume) = prepared();
        let host = Host::new(
            "mount --bind \"$1\" \"$1\"; mount -t tmpfs cover \"$1/part\"; \
             mount --make-unbindable \"$1$2\"",
            &[&volume, unbindable],
        );
        let bundle = in_user_namespace(bundle).mount(bind(&volume, "/m", &[]));
        let tried = host.run(bundle.probing(&["uncover", "/m/part", "/m"])).succeeded().json();
        assert_covered(&tried, unbindable);
    }
}

fn bind_that_would_uncover_is_refused() {
    let (bundle, volume) = prepared();
    let host = covered(&volume);
    let mount = json!({ "destination": "/m", "source": volume, "options": ["bind"] });
    let output = host.run(in_user_namespace(bundle).mount(mount));
    let _ = output.failed_with("mounts[7] /m: source").failed_with("use rbind");
    // What has no mounts below it is another matter.
    let (bundle, volume) = prepared();
    let host = covered(&volume);
    let mount =
        json!({ "destination": "/m/x", "source": format!("{volume}/file"), "options": ["bind"] });
    let bundle = in_user_namespace(bundle).mount(mount);
    let seen = host.run(bundle.probing(&["stat", "/m/x"])).succeeded().json();
    assert_eq!(seen[0]["content"], "the host's\n");
}

fn sources_are_found_as_on_the_host() {
    let (first, volume) = prepared();
    let host = flagged(&volume);
    let relative = format!("../../{}/volume", first.id());
    let through = format!("/proc/{}/root{volume}", host.0.pid());
    for source in [&relative, "link", "link/part/..", &through] {
        let (bundle, _) = prepared();
        symlink(&volume, bundle.path().join("link")).unwrap();
        let bundle = in_user_namespace(bundle).mount(bind(source, "/m", &[]));
        assert_flags_locked(&host, bundle, source);
    }
}

/// A runtime in a root of its own, which is not that of its mount namespace. There the kernel makes no
/// user namespace, but lets one be joined.
fn sources_are_found_below_a_root_that_was_changed() {
    let first = Container::running(in_user_namespace(Bundle::new()));
    let (bundle, volume) = prepared();
    let root = bundle.folder().join("changed");
    fs::create_dir(&root).unwrap();
    let root = root.to_str().unwrap();
    let script = "mount --rbind / \"$1\"; mount --bind \"$1$2\" \"$1$2\"; \
                  mount -o remount,bind,";
    let host = Host::new(&format!("{script}{FLAGS} \"$1$2\""), &[root, &volume]);
    let bundle = bundle.namespace("user", Some(&format!("/proc/{}/ns/user", first.pid())));
    let bundle = bundle.mount(bind(&volume, "/m", &[]));
    let container = Container::new(bundle.probing(&["unlock", "/m"]));
    let runtime = container.command_for("run", &[]);
    let mut changed = Command::new(needs_program("chroot"));
    changed.arg(root).arg(runtime.get_program()).args(runtime.get_args());
    let tried = command::run(host.command(&changed)).succeeded().json();
    assert_locked(&tried[0], "in a changed root");
}

/// What an entry mounts below the root is what a later one finds at that path.
fn sources_are_found_in_earlier_mounts() {
    for kind in ["none", "user", "idmap", "both"] {
        let (bundle, volume) = prepared();
        let root = bundle.rootfs().to_str().unwrap().to_owned();
        let below = |path: &str| format!("{root}{path}");
        for name in ["data", "to", "m2"] {
            fs::create_dir(below(&format!("/{name}"))).unwrap();
        }
        fs::write(below("/file"), "").unwrap();
        let mut tree = bind(&below("/data"), "/to", &[]);
        if matches!(kind, "idmap" | "both") {
            needs_kernel(6, 3, "map the ids of a tmpfs");
            push(&mut tree["options"], json!("idmap"));
            tree["uidMappings"] = mapping();
            tree["gidMappings"] = mapping();
            // Of one mount: below it may be what can't be mapped.
            tree["options"][0] = json!("bind");
        }
        let mode = json!(["mode=1770", "size=1m"]);
        let tmpfs = json!({ "destination": "/data", "type": "tmpfs", "options": mode });
        let bundle = bundle
            .mount(tmpfs)
            .mount(tree)
            .mount(bind(&volume, "/data/sub", &[]))
            .mount(bind("rootfs/data/sub/./part", "/m2", &[]))
            .mount(bind(&below("/data/sub/file"), "/file", &[]));
        let in_user = matches!(kind, "user" | "both");
        let bundle = if in_user { in_user_namespace(bundle) } else { bundle };
        if kind == "both" {
            bundle.refused("/to: idmap: its source is what an earlier entry mounts");
            continue;
        }
        let seen = bundle.probe(&["stat", "/to", "/m2", "/file"]);
        assert_eq!(seen[0]["mode"], 0o1770, "{kind}: {}", seen[0]);
        assert_eq!(seen[0]["uid"], if kind == "idmap" { 100_000 } else { 0 }, "{kind}");
        assert_eq!(seen[1]["content"], json!(["secret"]), "{kind}");
        assert_eq!(seen[2]["content"], "the host's\n", "{kind}");
    }
}

fn flags_of_what_an_earlier_entry_has_mounted_are_locked() {
    let (bundle, volume) = prepared();
    let host = flagged(&volume);
    let bundle = bundle.file("/first/x", "a mount point");
    let first = bundle.rootfs().join("first").to_str().unwrap().to_owned();
    let bundle = bundle.mount(bind(&volume, "/first", &[])).mount(bind(&first, "/m", &[]));
    assert_flags_locked(&host, in_user_namespace(bundle), "through an earlier entry");
    let (bundle, volume) = prepared();
    let host = covered(&volume);
    let bundle = bundle.file("/first/x", "a mount point");
    let first = bundle.rootfs().join("first").to_str().unwrap().to_owned();
    let once = json!({ "destination": "/m", "source": first, "options": ["bind"] });
    let bundle = in_user_namespace(bundle.mount(bind(&volume, "/first", &[])).mount(once));
    let _ = host.run(bundle.probing(&["list", "/m/part"])).failed_with("source: invalid argument");
}

/// `CAP_SYS_PTRACE` is what a runtime in a container is least likely to have.
fn runtime_need_not_be_allowed_to_look_into_others() {
    for option in ["ro", "idmap"] {
        let (bundle, volume) = prepared();
        let host = flagged(&volume);
        let mut mount = bind(&volume, "/m", &[option]);
        if option == "idmap" {
            mount["uidMappings"] = mapping();
            mount["gidMappings"] = mapping();
        }
        let container = Container::new(in_user_namespace(bundle).mount(mount));
        let runtime = container.command_for("run", &[]);
        let mut confined = Command::new(needs_program("setpriv"));
        confined.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
        confined.arg(runtime.get_program()).args(runtime.get_args());
        let _ = command::run(host.command(&confined)).succeeded();
    }
}

/// More than one message carries.
fn many_sources_arrive() {
    const COUNT: usize = 300;
    let (bundle, volume) = prepared();
    let host = flagged(&volume);
    let bundle = (0..COUNT).fold(in_user_namespace(bundle), |bundle, number| {
        fs::create_dir(bundle.rootfs().join(format!("m{number}"))).unwrap();
        bundle.config(|config| {
            push(&mut config["mounts"], bind(&volume, &format!("/m{number}"), &[]));
        })
    });
    let last = format!("/m{}", COUNT - 1);
    let tried = host.run(bundle.probing(&["unlock", "/m0", &last])).succeeded().json();
    for number in 0..2 {
        assert_locked(&tried[number], "one of many");
    }
}

fn missing_source_is_refused_before_anything_is_made() {
    let (bundle, volume) = prepared();
    let missing = format!("{volume}/missing");
    let bundle = in_user_namespace(bundle).mount(bind(&missing, "/m", &[]));
    bundle.refused(&format!("mounts[7] /m: source {missing}: no such file or directory"));
}

/// Who leaves for a user namespace has rights there that the container hasn't.
fn added_mount_is_refused_to_an_init_that_has_left() {
    let (bundle, volume) = prepared();
    let host = flagged(&volume);
    let leave = ["/bin/busybox", "unshare", "--user", "--mount", "/bin/probe", "sleep"];
    let bundle = bundle.with_shell().args(&leave);
    let container = host.start(Container::new(bundle));
    let output = add(&host, &container, &json!([bind(&volume, "/m", &[])]));
    let _ = output.failed_with("has gone to a mount namespace of its own");
}

/// Root without any capability owns what root of the host makes, and so the user namespaces of
/// idmapped mounts.
fn process_that_makes_mappings_is_closed_to_others() {
    needs_kernel(6, 3, "map the ids of a tmpfs");
    let (bundle, volume) = prepared();
    let host = Host::new("mount -t tmpfs marked \"$1\"; echo > \"$1/marker\"", &[&volume]);
    let snoop = Bundle::new().without_namespace("pid").capabilities(&[]);
    let snoop = Container::created(snoop.probing(&["seek", &format!("{volume}/marker")]));
    snoop.start();
    snoop.wait_line("ready");
    let bundle = (0..40).fold(bundle.writable(), |bundle, number| {
        let mut mount = bind(&volume, &format!("/m{number}"), &[]);
        let own = json!([{ "containerID": 0, "hostID": 100_000 + number, "size": 1 }]);
        mount["uidMappings"] = own.clone();
        mount["gidMappings"] = own;
        bundle.mount(mount)
    });
    let _ = host.run(bundle).succeeded();
    assert_eq!(snoop.said(), "ready\n");
}
