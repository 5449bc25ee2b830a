//! A user other than root: a container with that user's own id, one with subordinate ids, and what
//! such a user can't have.

use integration_tests::bundle::push;
use integration_tests::command::{self, Output};
use integration_tests::host::{namespace, needs_program, own_namespace};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, binary, cgroup, json, tests};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

pub const TESTS: &[Test] = tests![
    user_is_root_inside,
    user_creates_and_deletes,
    state_is_below_the_runtime_directory,
    root_of_a_user_namespace_is_the_user,
    time_namespace_has_its_offsets,
    subordinate_ids_are_mapped_by_newuidmap,
    subordinate_ids_of_others_are_refused,
    missing_newuidmap_is_named,
    limit_without_a_cgroup_is_a_warning,
    user_may_insist_on_cgroups,
    root_may_do_without_cgroups,
    root_as_a_user_has_what_there_is,
    cgroups_path_without_permission_is_refused,
    commands_without_a_cgroup_say_so,
    signals_without_a_cgroup_reach_init,
    covered_parts_of_proc_are_named,
    hosts_processes_take_a_bound_proc,
    sysctls_are_written_in_a_bound_proc,
    own_cgroup_is_bound_read_only_without_a_cgroup_namespace,
    hierarchy_is_bound_where_the_user_has_no_cgroup,
    user_executes_programs,
    executions_in_parallel_lose_none,
    user_executes_programs_with_subordinate_ids,
];

/// No account of this machine has it.
pub const USER: u32 = 12345;

/// A bundle of the user's with what `spec --rootless` writes, and a copy of the runtime beside it.
pub fn bundle() -> Bundle {
    // This user has no systemd.
    cgroup::needs_cgroupfs();
    let bundle = Bundle::new();
    // By another process: what one of ours has open for writing, the child of another thread might
    // have too, and then it can't be run.
    let mut copy = Command::new("cp");
    copy.arg(binary::rind()).arg(rind(&bundle));
    let _ = command::run(copy).succeeded();
    let config = bundle.path().join("config.json");
    fs::remove_file(&config).unwrap();
    for path in [bundle.folder(), bundle.path(), bundle.rootfs(), bundle.state_root()] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let mut spec = Command::new(rind(&bundle));
    spec.args(["spec", "--rootless", "--bundle"]).arg(bundle.path());
    let _ = command::run(by_user(spec)).succeeded();
    assert_eq!(fs::metadata(&config).unwrap().uid(), USER);
    let written: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    let bundle = bundle.config(|config| {
        *config = written;
        config["process"]["terminal"] = json!(false);
    });
    bundle.probing(&["report"])
}

/// The runtime, where the user can reach it.
pub fn rind(bundle: &Bundle) -> PathBuf {
    bundle.folder().join("runtime")
}

/// `command` run by the user, who is in no further group.
fn by_user(mut command: Command) -> Command {
    command.uid(USER).gid(USER);
    command
}

/// `name FLAGS ID` for a container, to be run by the user.
fn command_for(container: &Container, name: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(rind(container.bundle()));
    command.args(container.command_for(name, flags).get_args());
    by_user(command)
}

/// The same where /etc says which ids are the user's: `12345:100000:65536`.
fn command_with_ids(container: &Container, name: &str, flags: &[&str]) -> Command {
    let [_, _, unshare] = ["newuidmap", "setpriv", "unshare"].map(needs_program);
    let etc = container.bundle().folder().join("etc");
    fs::create_dir_all(&etc).unwrap();
    let user = format!("user:x:{USER}:{USER}::/:/bin/sh\n");
    let range = format!("{USER}:100000:65536\n");
    for (file, text) in [("passwd", &user), ("subuid", &range), ("subgid", &range)] {
        fs::write(etc.join(file), text).unwrap();
    }
    let script = format!(
        "mount --bind \"$1\" /etc && shift && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\""
    );
    let mut command = Command::new(unshare);
    command.args(["--mount", "--propagation", "private", "sh", "-euc", &script, "-"]).arg(etc);
    command.arg(rind(container.bundle())).args(container.command_for(name, flags).get_args());
    command
}

/// Root is the user, and the ids from 1 on are those from `host` on.
fn with_range(bundle: Bundle, host: u32) -> Bundle {
    let mappings = json!([
        { "containerID": 0, "hostID": USER, "size": 1 },
        { "containerID": 1, "hostID": host, "size": 65536 },
    ]);
    bundle.config(|config| {
        config["linux"]["uidMappings"] = mappings.clone();
        config["linux"]["gidMappings"] = mappings;
    })
}

fn user_is_root_inside() {
    let container = Container::new(bundle());
    let output = command::run(command_for(&container, "run", &[])).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    for id in ["uid", "euid", "gid", "egid"] {
        assert_eq!(seen[id], 0, "{id}");
    }
    assert_ne!(seen["namespaces"]["user"], own_namespace("user"));
    assert_eq!(seen["pid"], 1);
    container.assert_no_trace();
}

fn user_creates_and_deletes() {
    let mut container = Container::new(bundle().probing(&["sleep"]));
    container.make_by(command_for(&container, "create", &[]));
    let call = |name, flags: &[&str]| {
        command::run(command_for(&container, name, flags)).succeeded().stdout
    };
    let status = || {
        let state: Value = serde_json::from_str(&call("state", &[])).unwrap();
        state["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(), "created");
    call("start", &[]);
    container.wait_line("ready");
    assert_eq!(status(), "running");
    let pid = container.pid();
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    assert!(map.split_whitespace().eq(["0", &USER.to_string(), "1"]), "{map}");
    let groups = fs::read_to_string(format!("/proc/{pid}/setgroups")).unwrap();
    assert_eq!(groups.trim(), "deny");
    call("kill", &[]);
    container.wait_stopped();
    call("delete", &[]);
    container.assert_no_trace();
}

fn state_is_below_the_runtime_directory() {
    let container = Container::new(bundle().probing(&["sleep"]));
    let folder = container.bundle().folder();
    let command = |args: &[&str]| {
        let mut command = Command::new(rind(container.bundle()));
        command.env("XDG_RUNTIME_DIR", &folder).args(args).arg(container.id());
        command::run(by_user(command)).succeeded()
    };
    let path = container.bundle().path();
    let _ = command(&["create", "--bundle", path.to_str().unwrap()]);
    let state = folder.join("rind").join(container.id());
    assert_eq!(fs::metadata(&state).unwrap().uid(), USER);
    let _ = command(&["delete", "--force"]);
    assert!(!state.exists());
    container.assert_no_trace();
}

/// As below a rootless engine: rind is root of a user namespace that isn't the container's own.
fn root_of_a_user_namespace_is_the_user() {
    let bundle = bundle().probing(&["stat", "/dev/null"]).config(|config| {
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("uidMappings");
        linux.remove("gidMappings");
        linux["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "user");
    });
    let container = Container::new(bundle);
    let folder = container.bundle().folder();
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--user", "--map-root-user"]).arg(rind(container.bundle()));
    command.args(["run", "--bundle"]).arg(container.bundle().path()).arg(container.id());
    command.env("XDG_RUNTIME_DIR", &folder).env("USER", "somebody");
    let output = command::run(by_user(command)).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(seen[0]["type"], "character device", "{seen}");
    assert_eq!(fs::metadata(folder.join("rind")).unwrap().uid(), USER);
    container.assert_no_trace();
}

fn time_namespace_has_its_offsets() {
    let bundle = bundle().probing(&["read", "/proc/self/timens_offsets"]).config(|config| {
        push(&mut config["linux"]["namespaces"], json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 3600 } });
    });
    let container = Container::new(bundle);
    let output = command::run(command_for(&container, "run", &[])).succeeded();
    let boot = output.stdout.lines().find(|line| line.starts_with("boottime")).unwrap();
    assert!(boot.split_whitespace().eq(["boottime", "3600", "0"]), "{boot}");
}

fn subordinate_ids_are_mapped_by_newuidmap() {
    let bundle = with_range(bundle(), 100_000).probing(&["sleep"]).config(|config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] });
    });
    let mut container = Container::new(bundle);
    container.make_by(command_with_ids(&container, "create", &[]));
    let _ = command::run(command_for(&container, "start", &[])).succeeded();
    container.wait_line("ready");
    let pid = container.pid();
    let expected = ["0", &USER.to_string(), "1", "1", "100000", "65536"];
    for file in ["uid_map", "gid_map"] {
        let map = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        assert!(map.split_whitespace().eq(expected), "{file}: {map}");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("\nUid:\t100999\t100999\t"), "{status}");
    assert!(status.contains("\nGroups:\t100006 "), "{status}");
    assert_ne!(namespace(pid, "user"), own_namespace("user"));
    container.stop();
    let _ = command::run(command_for(&container, "delete", &[])).succeeded();
    container.assert_no_trace();
}

fn subordinate_ids_of_others_are_refused() {
    let container = Container::new(with_range(bundle(), 200_000));
    let output = command::run(command_with_ids(&container, "create", &[]));
    let output = output.failed_with("linux.uidMappings (0 12345 1, 1 200000 65536): newuidmap");
    let _ = output.failed_with("/etc/subuid");
    container.assert_no_trace();
}

fn missing_newuidmap_is_named() {
    let container = Container::new(with_range(bundle(), 100_000));
    let mut command = command_for(&container, "create", &[]);
    command.env("PATH", "/nonexistent");
    let output = command::run(command).failed_with("newuidmap is not in PATH");
    let _ = output.failed_with("install uidmap");
    container.assert_no_trace();
}

/// One message a limit, and the container runs; but where systemd was to see to it, it's an error.
fn limit_without_a_cgroup_is_a_warning() {
    let bundle = bundle().config(|config| {
        config["linux"]["resources"] =
            json!({ "pids": { "limit": 10 }, "memory": { "limit": 99_000_000 } });
    });
    let container = Container::new(bundle);
    let run = command::run(command_for(&container, "run", &[]));
    assert_eq!(run.code, 0, "{run:#?}");
    for (property, controller) in [("pids", "pids"), ("memory", "memory")] {
        let expected = format!(
            "linux.resources.{property}.limit: cannot set {controller} limit: container could not \
             join or create cgroup; the container goes without this limit"
        );
        assert_eq!(run.stderr.matches(&expected).count(), 1, "{run:#?}");
    }
    container.assert_no_trace();
    let container = container.with_flags(&["--cgroup-manager", "systemd"]);
    let mut create = command_for(&container, "create", &[]);
    create.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/not/there");
    let _ = command::run(create).failed_with("systemd");
    container.assert_no_trace();
}

const ONE_LIMIT: &str = "linux.resources.pids.limit";

fn with_one_limit(bundle: Bundle) -> Bundle {
    bundle.config(|config| {
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("cgroupsPath");
        linux.insert("resources".to_owned(), json!({ "pids": { "limit": 10 } }));
    })
}

/// It ran, and one line is all there is to say: that the limit doesn't hold.
#[track_caller]
fn assert_one_warning(output: &Output) {
    assert_eq!(output.code, 0, "{output:#?}");
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{output:#?}");
    assert!(lines[0].contains(ONE_LIMIT), "{output:#?}");
    assert!(lines[0].contains("the container goes without this limit"), "{output:#?}");
}

fn user_may_insist_on_cgroups() {
    let mut container = Container::new(with_one_limit(bundle()));
    for flags in [&[][..], &["--rootless", "auto"], &["--rootless", "true"]] {
        container = container.with_flags(flags);
        assert_one_warning(&command::run(command_for(&container, "run", &[])));
        container.assert_no_trace();
    }
    container = container.with_flags(&["--rootless", "false"]);
    let refused = command::run(command_for(&container, "run", &[]));
    let _ = refused.failed_with("needs root, or a cgroup that is delegated");
    container.assert_no_trace();
}

/// `run` by root, to whom this machine's cgroups can only be read.
fn run_with_cgroups_read_only(container: &Container) -> Output {
    let script = "while [ \"$1\" != -- ]; do mount -o remount,bind,ro \"$1\"; shift; done; \
                  shift; exec \"$@\"";
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script, "-"]);
    command.args(cgroup::hierarchies().iter().map(|one| &one.mount)).arg("--");
    let run = container.command_for("run", &[]);
    command.arg(run.get_program()).args(run.get_args());
    command::run(without_systemd(command))
}

/// Nobody's own systemd is in reach of the command.
fn without_systemd(mut command: Command) -> Command {
    command.env_remove("XDG_RUNTIME_DIR").env_remove("DBUS_SESSION_BUS_ADDRESS");
    command
}

fn root_may_do_without_cgroups() {
    cgroup::needs_cgroupfs();
    let mut container = Container::new(with_one_limit(Bundle::new()));
    for flags in [&[][..], &["--rootless", "auto"], &["--rootless", "false"]] {
        container = container.with_flags(flags);
        let refused = run_with_cgroups_read_only(&container);
        let _ = refused.failed_with("the cgroup file system is mounted read-only");
        container.assert_no_trace();
    }
    container = container.with_flags(&["--rootless", "true"]);
    assert_one_warning(&run_with_cgroups_read_only(&container));
    container.assert_no_trace();
}

fn root_as_a_user_has_what_there_is() {
    cgroup::needs_cgroupfs();
    let bundle = with_one_limit(Bundle::new().probing(&["sleep"]));
    let mut container = Container::new(bundle).with_flags(&["--rootless", "true"]);
    container.make_by(without_systemd(container.command_for("create", &[])));
    let folder = cgroup::folder_of(container.pid(), "pids");
    assert!(folder.ends_with(container.id()), "{}", folder.display());
    assert_eq!(cgroup::value(&folder, "pids.max"), "10");
    container.delete();
}

fn cgroups_path_without_permission_is_refused() {
    let bundle = bundle();
    let path = format!("/{}", bundle.id());
    let container =
        Container::new(bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path)));
    let output = command::run(command_for(&container, "create", &[]));
    let _ = output.failed_with("needs root, or a cgroup that is delegated");
    container.assert_no_trace();
}

/// It shares the host's processes, and so takes the host's proc.
pub fn among_the_hosts_processes(bundle: Bundle) -> Bundle {
    bundle.without_namespace("pid").without_mount("/proc").config(|config| {
        let proc = json!({
            "destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"],
        });
        config["mounts"].as_array_mut().unwrap().insert(0, proc);
    })
}

/// A container that has been started by the user, who has no cgroup for it.
fn started_without_a_cgroup(bundle: Bundle) -> Container {
    let mut container = Container::new(bundle.probing(&["sleep"]));
    container.make_by(command_for(&container, "run", &["--detach"]));
    container.wait_line("ready");
    assert_eq!(cgroup::named(container.id()), Vec::<PathBuf>::new());
    container
}

fn commands_without_a_cgroup_say_so() {
    let container = started_without_a_cgroup(bundle());
    let call = |name, flags: &[&str]| command::run(command_for(&container, name, flags));
    let no_limit = "cannot set pids limit: container could not join or create cgroup";
    for (name, flags, expected) in [
        ("update", &["--pids-limit", "5"][..], no_limit),
        ("pause", &[], "no freezer: container could not join or create cgroup"),
        ("resume", &[], "container not paused: running"),
        ("ps", &[], "the container has no cgroup"),
        ("ps", &["--format", "json"], "the container has no cgroup"),
        ("events", &["--stats"], "the container has no cgroup"),
        ("events", &[], "the container has no cgroup"),
        ("delete", &[], "is not stopped: running"),
    ] {
        let output = call(name, flags).failed_with(expected);
        assert_eq!((output.stderr.lines().count(), output.stdout.as_str()), (1, ""), "{output:#?}");
        assert_eq!(container.status(), "running", "{name}");
    }
    let _ = call("delete", &["--force"]).succeeded();
    container.assert_no_trace();
}

/// In a pid namespace of its own that is all it takes.
fn signals_without_a_cgroup_reach_init() {
    let warning = "only init gets the signal: without a cgroup the others aren't known";
    for (bundle, warned) in [(bundle(), false), (among_the_hosts_processes(bundle()), true)] {
        let container = started_without_a_cgroup(bundle);
        let kill = |flags: &[&str], signal: &str| {
            let mut command = command_for(&container, "kill", flags);
            command.arg(signal);
            command::run(command)
        };
        let _ = kill(&[], "WINCH").succeeded();
        container.wait_line("SIGWINCH");
        let all = kill(&["--all"], "USR1");
        assert_eq!((all.code, all.stderr.contains(warning)), (0, warned), "{all:#?}");
        container.wait_line("SIGUSR1");
        let _ = kill(&[], "TERM").succeeded();
        container.wait_stopped();
        let _ = command::run(command_for(&container, "delete", &["--force"])).succeeded();
        container.assert_no_trace();
    }
}

/// As in a container: the kernel gives no user a proc that shows more than the one that he sees.
fn covered_parts_of_proc_are_named() {
    let [unshare, _] = ["unshare", "setpriv"].map(needs_program);
    let container = Container::new(bundle());
    let script = format!(
        "mount -t tmpfs none /proc/fs && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\""
    );
    let run = command_for(&container, "run", &[]);
    let mut command = Command::new(unshare);
    command.args(["--mount", "--propagation", "private", "sh", "-euc", &script, "-"]);
    command.arg(run.get_program()).args(run.get_args());
    let output = command::run(command).failed_with("mounts[0]: making the proc file system: ");
    let _ = output.failed_with("nothing covers parts of the proc outside");
    container.assert_no_trace();
}

fn hosts_processes_take_a_bound_proc() {
    let container = Container::new(bundle().without_namespace("pid"));
    let output = command::run(command_for(&container, "run", &[]));
    let _ = output.failed_with("making the proc file system: ").failed_with("bind /proc");
    container.assert_no_trace();
    // So it says, and so it is.
    let container = Container::new(among_the_hosts_processes(bundle()));
    let output = command::run(command_for(&container, "run", &[])).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(seen["namespaces"]["pid"], own_namespace("pid"));
    assert_ne!(seen["namespaces"]["user"], own_namespace("user"));
}

/// The user can make no proc of the host's processes. Docker's daemon of a user sets this sysctl.
fn sysctls_are_written_in_a_bound_proc() {
    let bundle = among_the_hosts_processes(bundle()).namespace("network", None);
    let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let container = Container::new(bundle.probing(&["read", path]).config(|config| {
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "80" });
    }));
    let output = command::run(command_for(&container, "run", &[])).succeeded();
    assert_eq!(output.stdout, "80\n");
}

/// What `/sys/fs/cgroup` is to root of a container on cgroup v2 who owns its cgroup, so that nothing
/// but the mount is in the way of a write.
pub fn cgroup_mount(bundle: Bundle, has_namespace: bool) -> Bundle {
    let bundle = bundle.without_namespace("cgroup").without_mount("/sys/fs/cgroup");
    let bundle = if has_namespace { bundle.namespace("cgroup", None) } else { bundle };
    let mounted = bundle.mount(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "rw"],
    }));
    mounted.probing(&["stat", "/sys/fs/cgroup/cgroup.procs", "/proc/self/mountinfo"])
}

/// With a namespace it's a cgroup2 mount, to be written to; without, the container's own cgroup
/// `name` is bound, and can only be read.
#[track_caller]
pub fn assert_cgroup_mount(seen: &Value, has_namespace: bool, name: &str) {
    let [procs, table] = [&seen[0], &seen[1]];
    assert_eq!(procs["content"], "1\n", "no processes but its own: {procs}");
    assert_eq!(procs["writable"], if has_namespace { "yes" } else { "EROFS" }, "{procs}");
    let table = table["content"].as_str().unwrap();
    let line = table.lines().find(|line| line.contains(" /sys/fs/cgroup ")).unwrap();
    let fields: Vec<&str> = line.split(' ').collect();
    let is_read_only = fields[5].split(',').any(|option| option == "ro");
    assert_eq!(is_read_only, !has_namespace, "{line}");
    let root = if has_namespace { "/" } else { name };
    assert!(fields[3].ends_with(root), "{line}");
}

fn own_cgroup_is_bound_read_only_without_a_cgroup_namespace() {
    if !cgroup::is_unified() {
        skip("cgroup v2 is not the only version here");
    }
    for has_namespace in [false, true] {
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        let bundle = cgroup_mount(Bundle::new(), has_namespace).namespace("user", None);
        let bundle = bundle.config(|config| {
            config["linux"]["uidMappings"] = mapping.clone();
            config["linux"]["gidMappings"] = mapping;
        });
        let id = bundle.id().to_owned();
        let name = if cgroup::is_systemds() { format!("it-{id}.scope") } else { id };
        assert_cgroup_mount(&bundle.run().succeeded().json(), has_namespace, &name);
    }
}

/// As Podman's `--systemd` has it.
fn hierarchy_is_bound_where_the_user_has_no_cgroup() {
    let Some(hierarchy) = cgroup::hierarchies().iter().find(|one| one.version == 1) else {
        skip("this machine has no cgroups of version 1");
    };
    let name = hierarchy.mount.file_name().unwrap().to_str().unwrap();
    let bundle = bundle().mount(json!({
        "destination": "/cgroups", "type": "cgroup", "source": "cgroup", "options": ["ro"],
    }));
    let bundle = bundle.mount(json!({
        "destination": format!("/cgroups/{name}"), "type": "bind", "source": &hierarchy.mount,
        "options": ["bind"],
    }));
    let file = format!("/cgroups/{name}/cgroup.procs");
    let container = Container::new(bundle.probing(&["stat", &file]));
    let output = command::run(command_for(&container, "run", &[])).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(seen[0]["content"].is_string(), "{seen}");
}

/// `exec FLAGS ID probe report` by the user: what the probe sees.
fn exec_report(container: &Container, flags: &[&str]) -> Value {
    let mut command = command_for(container, "exec", flags);
    command.args(["/bin/probe", "report"]);
    command::run(command).succeeded().json()
}

fn user_executes_programs() {
    let bundle = bundle().probing(&["sleep"]).config(|config| {
        push(&mut config["linux"]["namespaces"], json!({ "type": "time" }));
    });
    let mut container = Container::new(bundle.namespace("cgroup", None));
    container.make_by(command_for(&container, "run", &["--detach"]));
    container.wait_line("ready");
    let seen = exec_report(&container, &[]);
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        if seen["namespaces"][kind].is_string() {
            assert_eq!(seen["namespaces"][kind], namespace(container.pid(), kind), "{kind}");
        }
    }
    for id in ["uid", "euid", "gid", "egid"] {
        assert_eq!(seen[id], 0, "{id}");
    }
    assert_eq!((&seen["ppid"], &seen["sid"]), (&json!(0), &seen["pid"]));
    assert_eq!(seen["descriptors"].as_object().unwrap().len(), 3);
    let mut command = command_for(&container, "exec", &["--tty"]);
    command.args(["/bin/probe", "exit", "7"]);
    let output = command::run(command);
    assert_eq!(output.code, 7, "{output:#?}");
    let mut command = command_for(&container, "exec", &[]);
    command.arg("nope");
    let output = command::run(command).failed_with("executable file not found in $PATH");
    assert_eq!(output.code, 255);
    // An id that the user has not.
    let mut command = command_for(&container, "exec", &["--user", "1000"]);
    command.args(["/bin/probe", "exit", "0"]);
    let _ = command::run(command).failed_with("setting process.user");
}

/// The process that a hop has forked could speak before the hop had told of it.
fn executions_in_parallel_lose_none() {
    let mut container = Container::new(bundle().probing(&["sleep"]));
    container.make_by(command_for(&container, "run", &["--detach"]));
    container.wait_line("ready");
    let executions = || {
        for _ in 0..10 {
            let mut command = command_for(&container, "exec", &[]);
            command.args(["/bin/probe", "exit", "7"]);
            let output = command::run(command);
            assert_eq!(output.code, 7, "{output:#?}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(executions);
        }
    });
}

fn user_executes_programs_with_subordinate_ids() {
    let mut container = Container::new(with_range(bundle(), 100_000).probing(&["sleep"]));
    container.make_by(command_with_ids(&container, "run", &["--detach"]));
    container.wait_line("ready");
    let seen = exec_report(&container, &["--user", "1000:1001", "-g", "7"]);
    assert_eq!(
        (&seen["uid"], &seen["gid"], &seen["groups"]),
        (&json!(1000), &json!(1001), &json!([7]))
    );
    // Nobody else's container is in reach.
    let mut other = container.command_for("exec", &[]);
    other.args(["/bin/probe", "report"]);
    let mut command = Command::new(rind(container.bundle()));
    command.args(other.get_args()).uid(USER + 1).gid(USER + 1);
    let output = command::run(command);
    assert!(output.code == 255 && output.stdout.is_empty(), "{output:#?}");
}
