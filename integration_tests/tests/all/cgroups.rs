//! cgroups: the limits in the kernel's own files, that they hold, and whose cgroups are made and
//! removed.

use integration_tests::cgroup::{controller, folder_of, hierarchies, is_unified, value};
use integration_tests::command::{self, Output, Running};
use integration_tests::host::{is_alive, needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, binary, cgroup, json, tests};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = tests![
    init_is_in_the_configured_cgroup_of_every_hierarchy,
    memory_limit,
    memory_reservation,
    memory_and_swap,
    memory_and_swap_unlimited,
    memory_swappiness,
    memory_oom_killer_disabled,
    cpu_shares,
    cpu_quota_and_period,
    cpu_burst,
    cpu_idle,
    cpuset,
    pids_limit,
    pids_limit_zero_is_a_limit,
    pids_limit_zero_was_none_before_1_3,
    pids_unlimited,
    blkio_throttle,
    zero_values_mean_unset,
    unified_values_are_written,
    unified_names_stay_in_the_cgroup,
    memory_limit_kills,
    pids_limit_refuses,
    cpuset_is_kept_to,
    value_that_the_kernel_refuses_is_an_error,
    value_of_the_wrong_kind_is_an_error,
    relative_path_is_always_the_same_place,
    path_without_one_is_by_the_id,
    path_cannot_climb,
    parents_that_were_made_are_removed,
    parents_of_others_stay,
    sub_cgroups_of_the_container_are_removed,
    processes_in_sub_cgroups_are_killed_by_force,
    cgroup_in_use_is_refused,
    frozen_cgroup_is_refused,
    empty_cgroup_is_taken_and_left,
    folder_in_place_of_a_mount_is_left_out,
    missing_unified_folder_is_left_out,
    limit_of_what_is_not_mounted_is_refused,
    pause_without_a_freezer_is_refused,
    device_rules_without_a_cgroup_are_refused,
    hierarchy_mounted_elsewhere_is_found,
    hierarchies_behind_a_link_are_found,
    read_only_mounts_are_named,
    later_commands_do_without_what_is_not_mounted,
    processes_are_found_when_one_cgroup_is_gone,
    exec_needs_room_for_two,
    shares_that_there_are_not_are_refused,
];

fn with_resources(resources: Value) -> Bundle {
    Bundle::new().probing(&["sleep"]).config(|config| {
        let all = config["linux"]["resources"].as_object_mut().unwrap();
        all.extend(resources.as_object().unwrap().clone());
    })
}

/// A controller, and a file with its value in version 1 and in version 2.
type Expected<'a> = (&'a str, Option<(&'a str, &'a str)>, Option<(&'a str, &'a str)>);

/// Creates a container with `resources` and compares files of its cgroup: each a controller, and
/// the file and value of version 1 and version 2. A file that this kernel lacks is left out, unless
/// it lacks all.
fn check(resources: Value, expected: &[Expected]) {
    let mut compared = 0;
    let container = Container::created(with_resources(resources));
    for (name, first, second) in expected {
        let version = controller(name).version;
        let Some((file, wanted)) = (if version == 1 { first } else { second }) else { continue };
        let folder = folder_of(container.pid(), name);
        if folder.join(file).exists() {
            assert_eq!(value(&folder, file), *wanted, "{}", folder.join(file).display());
            compared += 1;
        }
    }
    if compared == 0 {
        skip("this kernel has none of the files");
    }
    container.delete();
}

/// A cgroup of the test's own in every hierarchy, which goes with this.
struct Foreign(Vec<PathBuf>);

impl Foreign {
    fn make(name: &str) -> Self {
        let made: Vec<PathBuf> = hierarchies().iter().map(|found| found.mount.join(name)).collect();
        for folder in &made {
            fs::create_dir(folder).unwrap();
            provide_cpuset(folder);
        }
        Self(made)
    }
}

/// Gives a new cpuset its parent's processors and memory: without, version 1 lets no process in.
fn provide_cpuset(folder: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = folder.join(file);
        let parents = fs::read_to_string(folder.parent().unwrap().join(file));
        if let Some(all) = parents.ok().filter(|_| own.exists()) {
            fs::write(own, all).unwrap();
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.0.iter().for_each(|folder| cgroup::destroy(folder));
    }
}

/// A process of the test's own that sleeps.
fn sleeper() -> Running {
    let mut command = Command::new(needs_program("sleep"));
    command.arg("1000");
    command::spawn(command)
}

fn init_is_in_the_configured_cgroup_of_every_hierarchy() {
    cgroup::needs_cgroupfs();
    let container = Container::created(Bundle::new());
    let table = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    for line in table.lines() {
        // Without controllers, as on a hybrid machine, version 2 has nothing to limit.
        let optional = line.starts_with("0::") && !is_unified();
        let inside = line.ends_with(&format!(":/{}", container.id()));
        assert!(inside || optional, "{line}");
    }
}

fn memory_limit() {
    check(
        json!({ "memory": { "limit": 64 << 20 } }),
        &[(
            "memory",
            Some(("memory.limit_in_bytes", "67108864")),
            Some(("memory.max", "67108864")),
        )],
    );
}

fn memory_reservation() {
    check(
        json!({ "memory": { "limit": 64 << 20, "reservation": 32 << 20 } }),
        &[(
            "memory",
            Some(("memory.soft_limit_in_bytes", "33554432")),
            Some(("memory.low", "33554432")),
        )],
    );
}

fn memory_and_swap() {
    // What version 1 counts together, version 2 counts apart.
    check(
        json!({ "memory": { "limit": 64 << 20, "swap": 96 << 20 } }),
        &[
            ("memory", Some(("memory.memsw.limit_in_bytes", "100663296")), None),
            ("memory", None, Some(("memory.swap.max", "33554432"))),
        ],
    );
}

fn memory_and_swap_unlimited() {
    let unlimited = (u64::MAX >> 1 & !4095).to_string();
    check(
        json!({ "memory": { "limit": 64 << 20, "swap": -1 } }),
        &[(
            "memory",
            Some(("memory.memsw.limit_in_bytes", &unlimited)),
            Some(("memory.swap.max", "max")),
        )],
    );
}

fn memory_swappiness() {
    check(
        json!({ "memory": { "limit": 64 << 20, "swappiness": 7 } }),
        &[("memory", Some(("memory.swappiness", "7")), None)],
    );
}

fn memory_oom_killer_disabled() {
    if controller("memory").version != 1 {
        skip("version 2 always has the OOM killer");
    }
    let resources = json!({ "memory": { "limit": 64 << 20, "disableOOMKiller": true } });
    let container = Container::created(with_resources(resources));
    let control = value(&folder_of(container.pid(), "memory"), "memory.oom_control");
    assert!(control.contains("oom_kill_disable 1"), "{control}");
}

fn cpu_shares() {
    check(
        json!({ "cpu": { "shares": 1024 } }),
        &[("cpu", Some(("cpu.shares", "1024")), Some(("cpu.weight", "100")))],
    );
    check(
        json!({ "cpu": { "shares": 2 } }),
        &[("cpu", Some(("cpu.shares", "2")), Some(("cpu.weight", "1")))],
    );
}

fn cpu_quota_and_period() {
    check(
        json!({ "cpu": { "quota": 20_000, "period": 50_000 } }),
        &[
            ("cpu", Some(("cpu.cfs_quota_us", "20000")), Some(("cpu.max", "20000 50000"))),
            ("cpu", Some(("cpu.cfs_period_us", "50000")), None),
        ],
    );
    check(
        json!({ "cpu": { "quota": -1 } }),
        &[("cpu", Some(("cpu.cfs_quota_us", "-1")), Some(("cpu.max", "max 100000")))],
    );
}

fn cpu_burst() {
    check(
        json!({ "cpu": { "quota": 20_000, "period": 50_000, "burst": 10_000 } }),
        &[("cpu", Some(("cpu.cfs_burst_us", "10000")), Some(("cpu.max.burst", "10000")))],
    );
}

fn cpu_idle() {
    check(
        json!({ "cpu": { "idle": 1 } }),
        &[("cpu", Some(("cpu.idle", "1")), Some(("cpu.idle", "1")))],
    );
}

fn cpuset() {
    check(
        json!({ "cpu": { "cpus": "0", "mems": "0" } }),
        &[
            ("cpuset", Some(("cpuset.cpus", "0")), Some(("cpuset.cpus", "0"))),
            ("cpuset", Some(("cpuset.mems", "0")), Some(("cpuset.mems", "0"))),
        ],
    );
}

fn pids_limit() {
    check(
        json!({ "pids": { "limit": 77 } }),
        &[("pids", Some(("pids.max", "77")), Some(("pids.max", "77")))],
    );
}

/// A container of a config of that version with a limit of 0, and the folder of its cgroup.
fn with_no_pids(version: &str) -> (Container, PathBuf) {
    let bundle = with_resources(json!({ "pids": { "limit": 0 } }));
    let container =
        Container::created(bundle.config(|config| config["ociVersion"] = json!(version)));
    let folder = folder_of(container.pid(), "pids");
    (container, folder)
}

fn pids_limit_zero_is_a_limit() {
    let (_container, folder) = with_no_pids("1.3.0");
    assert_eq!(value(&folder, "pids.max"), "0");
}

/// As Podman has it, and repeats it in updates.
fn pids_limit_zero_was_none_before_1_3() {
    let (container, folder) = with_no_pids("1.2.1");
    assert_eq!(value(&folder, "pids.max"), "max");
    let file = container.bundle().folder().join("limits.json");
    fs::write(&file, r#"{ "pids": { "limit": 0 } }"#).unwrap();
    let _ = container.call("update", &["--resources", file.to_str().unwrap()]).succeeded();
    assert_eq!(value(&folder, "pids.max"), "max");
    let _ = container.call("update", &["--pids-limit", "0"]).succeeded();
    assert_eq!(value(&folder, "pids.max"), "0", "which is what a person says");
}

fn pids_unlimited() {
    check(
        json!({ "pids": { "limit": -1 } }),
        &[("pids", Some(("pids.max", "max")), Some(("pids.max", "max")))],
    );
}

/// The major and minor number of a disk of this machine.
fn disk() -> (u64, u64) {
    let names = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let found = names.filter(|entry| entry.path().join("device").exists()).find_map(|entry| {
        let numbers = fs::read_to_string(entry.path().join("dev")).ok()?;
        let (major, minor) = numbers.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    found.unwrap_or_else(|| skip("no disk to throttle"))
}

fn blkio_throttle() {
    let (major, minor) = disk();
    let rate = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let line = |rate: u64| format!("{major}:{minor} {rate}");
    let lines = [1 << 20, 2 << 20, 300, 400].map(line);
    let all = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=300 wiops=400");
    check(
        json!({ "blockIO": {
            "throttleReadBpsDevice": rate(1 << 20),
            "throttleWriteBpsDevice": rate(2 << 20),
            "throttleReadIOPSDevice": rate(300),
            "throttleWriteIOPSDevice": rate(400),
        } }),
        &[
            ("blkio", Some(("blkio.throttle.read_bps_device", &lines[0])), Some(("io.max", &all))),
            ("blkio", Some(("blkio.throttle.write_bps_device", &lines[1])), None),
            ("blkio", Some(("blkio.throttle.read_iops_device", &lines[2])), None),
            ("blkio", Some(("blkio.throttle.write_iops_device", &lines[3])), None),
        ],
    );
}

/// As engines send them for what nobody asked for.
fn zero_values_mean_unset() {
    check(
        json!({
            "memory": { "limit": 0, "swap": 0, "reservation": 0 },
            "cpu": { "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "" },
            "blockIO": { "weight": 0 },
        }),
        &[
            ("cpu", Some(("cpu.shares", "1024")), Some(("cpu.weight", "100"))),
            ("cpu", Some(("cpu.cfs_quota_us", "-1")), Some(("cpu.max", "max 100000"))),
        ],
    );
}

fn unified_values_are_written() {
    if !is_unified() {
        skip("no version 2 with controllers");
    }
    check(
        json!({ "unified": { "memory.high": "50000000", "pids.max": "55" } }),
        &[
            ("memory", None, Some(("memory.high", "49999872"))),
            ("pids", None, Some(("pids.max", "55"))),
        ],
    );
}

/// GHSA-5g49-rx9x-qfc6: they are names of files, not paths to them.
fn unified_names_stay_in_the_cgroup() {
    for name in ["../cgroup.procs", "/etc/passwd", "a/b", "..", ""] {
        let mut unified = serde_json::Map::new();
        unified.insert(name.to_owned(), json!("1"));
        with_resources(json!({ "unified": unified })).refused("");
    }
}

fn memory_limit_kills() {
    let _ = controller("memory");
    let limit = json!({ "memory": { "limit": 32 << 20, "swap": 32 << 20 } });
    let output = with_resources(limit).probing(&["touch", "200"]).run();
    assert_eq!(output.code, 128 + 9, "{output:#?}");
    let limit = json!({ "memory": { "limit": 64 << 20 } });
    let seen = with_resources(limit).probe(&["touch", "10"]);
    assert_eq!(seen["touched"], 10);
}

fn pids_limit_refuses() {
    let _ = controller("pids");
    let seen = with_resources(json!({ "pids": { "limit": 5 } })).probe(&["with-children", "10"]);
    assert_eq!(seen, json!({ "started": 4, "refused": "EAGAIN" }));
}

fn cpuset_is_kept_to() {
    let _ = controller("cpuset");
    let seen = with_resources(json!({ "cpu": { "cpus": "0" } })).report();
    assert_eq!(seen["processors"], "0");
}

fn value_that_the_kernel_refuses_is_an_error() {
    let _ = controller("cpuset");
    with_resources(json!({ "cpu": { "cpus": "4000" } })).refused("cpuset.cpus");
    let _ = controller("cpu");
    with_resources(json!({ "cpu": { "quota": 1, "period": 100_000 } })).refused("cpu.");
}

fn value_of_the_wrong_kind_is_an_error() {
    with_resources(json!({ "memory": { "limit": "64M" } })).refused("memory.limit");
    with_resources(json!({ "cpu": { "shares": -5 } })).refused("cpu.shares");
    with_resources(json!({ "memory": { "limit": 64 << 20, "swappiness": 101 } }))
        .refused("wappiness");
}

fn relative_path_is_always_the_same_place() {
    cgroup::needs_cgroupfs();
    let place = || {
        let bundle = Bundle::new();
        let path = format!("relative-{}", bundle.id());
        let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
        let container = Container::created(bundle);
        let table = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
        let found = table.lines().find(|line| line.contains(":pids:") || line.starts_with("0::"));
        let found = found.unwrap().rsplit_once(':').unwrap().1.to_owned();
        assert!(found.ends_with(&path), "{found}");
        container.delete();
        found.replace(&path, "")
    };
    assert_eq!(place(), place());
}

fn path_without_one_is_by_the_id() {
    let container = Container::created(Bundle::new().config(|config| {
        config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    }));
    let folder = folder_of(container.pid(), "pids");
    assert!(folder.to_string_lossy().contains(container.id()), "{}", folder.display());
    container.delete();
}

fn path_cannot_climb() {
    let bundle = Bundle::new();
    let path = format!("/../../../../{}", bundle.id());
    let container =
        Container::new(bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path)));
    let output = container.call("create", &[]);
    if output.code == 0 {
        let folder = folder_of(container.pid(), "pids");
        assert!(folder.starts_with(&controller("pids").mount), "{}", folder.display());
    }
    assert!(!fs::exists(format!("/{}", container.id())).unwrap());
}

fn parents_that_were_made_are_removed() {
    cgroup::needs_cgroupfs();
    let bundle = Bundle::new();
    let parent = format!("parent-{}", bundle.id());
    let path = format!("/{parent}/middle/child");
    let container =
        Container::created(bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path)));
    let folder = controller("pids").mount.join(&parent);
    assert!(folder.join("middle/child").exists());
    container.delete();
    assert!(!folder.exists());
}

fn parents_of_others_stay() {
    cgroup::needs_cgroupfs();
    let bundle = Bundle::new();
    let name = format!("foreign{}", bundle.id().replace("it", "-"));
    let foreign = Foreign::make(&name);
    let path = format!("/{name}/child");
    let container =
        Container::created(bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path)));
    let child = folder_of(container.pid(), "pids");
    assert!(child.ends_with(path.trim_start_matches('/')), "{}", child.display());
    container.delete();
    assert!(!child.exists());
    for folder in &foreign.0 {
        assert!(folder.exists(), "{} was not the runtime's to remove", folder.display());
    }
}

fn sub_cgroups_of_the_container_are_removed() {
    let container = Container::running(Bundle::new());
    for name in ["pids", "memory", "cpu"] {
        let folder = folder_of(container.pid(), name);
        fs::create_dir_all(folder.join("inner/most")).unwrap();
    }
    container.stop();
    container.delete();
}

fn processes_in_sub_cgroups_are_killed_by_force() {
    let container = Container::running(Bundle::new().without_namespace("pid"));
    // Not a child of init: only the cgroup tells that it belongs to the container.
    let stray = sleeper();
    for cgroup in cgroup::named(container.id()) {
        let inner = cgroup.join("inner");
        fs::create_dir(&inner).unwrap();
        provide_cpuset(&inner);
        fs::write(inner.join("cgroup.procs"), stray.pid().to_string()).unwrap();
    }
    let _ = container.call("delete", &["--force"]).succeeded();
    wait_for("the stray process to be killed", || !is_alive(stray.pid()));
    container.assert_no_trace();
}

fn cgroup_in_use_is_refused() {
    cgroup::needs_cgroupfs();
    let bundle = Bundle::new();
    let foreign = Foreign::make(&format!("used{}", bundle.id().replace("it", "-")));
    let stray = sleeper();
    for folder in &foreign.0 {
        fs::write(folder.join("cgroup.procs"), stray.pid().to_string()).unwrap();
    }
    let path = format!("/{}", foreign.0[0].file_name().unwrap().to_str().unwrap());
    bundle
        .config(|config| config["linux"]["cgroupsPath"] = json!(path))
        .refused("container's cgroup is not empty");
    assert!(is_alive(stray.pid()), "not the runtime's to kill");
    assert!(foreign.0.iter().all(|folder| folder.exists()), "not the runtime's to remove");
}

fn frozen_cgroup_is_refused() {
    cgroup::needs_cgroupfs();
    let freezer = controller("freezer");
    let bundle = Bundle::new();
    let foreign = Foreign::make(&format!("frozen{}", bundle.id().replace("it", "-")));
    let name = foreign.0[0].file_name().unwrap().to_str().unwrap();
    let folder = freezer.mount.join(name);
    match freezer.version {
        1 => fs::write(folder.join("freezer.state"), "FROZEN").unwrap(),
        _ => fs::write(folder.join("cgroup.freeze"), "1").unwrap(),
    }
    bundle
        .config(|config| config["linux"]["cgroupsPath"] = json!(format!("/{name}")))
        .refused("container's cgroup unexpectedly frozen");
}

/// One that an engine made before: it may be used, but goes only with the engine.
fn empty_cgroup_is_taken_and_left() {
    cgroup::needs_cgroupfs();
    let bundle = Bundle::new();
    let foreign = Foreign::make(&format!("empty{}", bundle.id().replace("it", "-")));
    let path = format!("/{}", foreign.0[0].file_name().unwrap().to_str().unwrap());
    let container = Container::created(bundle.config(|config| {
        config["linux"]["cgroupsPath"] = json!(path);
    }));
    assert_eq!(folder_of(container.pid(), "pids"), controller("pids").mount.join(&path[1..]));
    container.delete();
}

/// Builds /sys/fs/cgroup anew, of the machine's hierarchies but those of `$LEFT_OUT`, which have a
/// plain folder there; then `$ARRANGE` may change more. Afterwards says what is left in the folders.
const APART: &str = r#"
    here=/sys/fs/cgroup
    mkdir "$KEPT" && mount --rbind $here "$KEPT" && mount -t tmpfs -o mode=755 none $here || exit 99
    for path in "$KEPT"/*; do
        name=${path##*/}
        if [ -L "$path" ]; then cp -P "$path" $here/; continue; fi
        mkdir $here/$name || exit 99
        case " $LEFT_OUT " in
            *" all "* | *" $name "*) ;;
            *) mount --bind "$path" $here/$name || exit 99 ;;
        esac
    done
    eval "$ARRANGE"
    umount -l -R "$KEPT" || exit 99
    rt() { "$RUNTIME" --root "$ROOT" "$@" </dev/null; }
    run() { rt run --detach --bundle "$BUNDLE" "$ID" >/dev/null; }
    eval "$THEN"
    status=$?
    find $here -xdev -mindepth 2 | sed 's/^/left: /'
    exit $status
"#;

/// Runs `then` on such a host, in a mount namespace of its own, for a container of `bundle`.
fn apart(bundle: Bundle, left_out: &str, arrange: &str, then: &str) -> Output {
    cgroup::needs_cgroupfs();
    if is_unified() {
        skip("this machine has no cgroup v1");
    }
    let container = Container::new(bundle);
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--propagation", "private", "sh", "-c", APART]);
    command.env("RUNTIME", binary::rind()).env("ROOT", container.root());
    command.env("BUNDLE", container.bundle().path()).env("ID", container.id());
    command.env("KEPT", container.bundle().folder().join("kept"));
    command.env("LEFT_OUT", left_out).env("ARRANGE", arrange).env("THEN", then);
    let output = command::run(command);
    let _ = container.call("delete", &["--force"]);
    container.assert_no_trace();
    assert!(!output.stdout.contains("left: "), "{left_out}: {}", output.stdout);
    output
}

/// Runs a container, a process in it, and removes it.
const WHOLE_LIFE: &str = r#"run && rt exec "$ID" /bin/probe exit 0 && rt delete --force "$ID""#;

fn sleeping() -> Bundle {
    Bundle::new().probing(&["sleep"])
}

fn folder_in_place_of_a_mount_is_left_out() {
    let mut tried = 0;
    for name in ["unified", "memory", "freezer", "pids", "cpuset", "systemd", "cpu", "cpu,cpuacct"]
    {
        let usual = Path::new("/sys/fs/cgroup").join(name);
        if hierarchies().iter().any(|found| found.mount == usual) {
            let output = apart(sleeping(), name, "", WHOLE_LIFE).succeeded();
            assert!(output.stderr.is_empty(), "{name}: {}", output.stderr);
            tried += 1;
        }
    }
    if tried == 0 {
        skip("no hierarchy of version 1 is mounted here, nor version 2 beside it");
    }
}

fn missing_unified_folder_is_left_out() {
    for arrange in ["rmdir $here/unified", "rmdir $here/unified; echo > $here/unified"] {
        let _ = apart(sleeping(), "unified", arrange, WHOLE_LIFE).succeeded();
    }
}

fn limit_of_what_is_not_mounted_is_refused() {
    let limits = json!({ "memory": { "limit": 64 << 20 } });
    let output = apart(with_resources(limits), "memory", "", "run");
    let text = "linux.resources.memory.limit: cannot set memory limit: container could not join";
    let _ = output.failed_with(text);
    let output = apart(sleeping(), "pids", "", r#"run && rt update --pids-limit 5 "$ID""#);
    let _ =
        output.failed_with("linux.resources.pids.limit: cannot set pids limit: container could");
}

fn pause_without_a_freezer_is_refused() {
    let output = apart(sleeping(), "freezer", "", r#"run && rt pause "$ID""#);
    let _ = output.failed_with("no freezer: container could not join or create cgroup");
}

fn device_rules_without_a_cgroup_are_refused() {
    let text = "linux.resources.devices: no devices cgroup on this host";
    for (left_out, arrange) in
        [("devices", ""), ("all", ""), ("all", "umount $here && mount -t tmpfs none $here")]
    {
        let _ = apart(sleeping(), left_out, arrange, "run").failed_with(text);
    }
    let disabled = r#"rt --cgroup-manager disabled run -d -b "$BUNDLE" "$ID" >/dev/null"#;
    let _ = apart(sleeping(), "all", "", disabled).succeeded();
}

/// Also if another mount covers one that mountinfo lists before it.
fn hierarchy_mounted_elsewhere_is_found() {
    let bundle = || with_resources(json!({ "memory": { "limit": 64 << 20 } }));
    let read = r#"
        run && cat $here/mine/"$ID"/memory.limit_in_bytes && rt delete --force "$ID"
    "#;
    let arrange = "mkdir $here/mine && mount --bind $KEPT/memory $here/mine";
    if !Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        skip("the memory controller is not at its usual place");
    }
    let output = apart(bundle(), "memory", arrange, read).succeeded();
    assert_eq!(output.stdout, "67108864\n");
    // The container sees it by that name, too.
    let shown = r#"run && rt exec "$ID" /bin/probe list /sys/fs/cgroup && rt delete --force "$ID""#;
    let bundle_with_view = bundle().mount(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"],
    }));
    let output = apart(bundle_with_view, "memory", arrange, shown).succeeded();
    assert!(output.stdout.contains("\"mine\""), "{}", output.stdout);
    assert!(!output.stdout.contains("\"memory\""), "{}", output.stdout);
    let covered = "mkdir $here/a $here/mine && mount --bind $KEPT/memory $here/a \
                   && mount -t tmpfs none $here/a && mount --bind $KEPT/memory $here/mine";
    let output = apart(bundle(), "memory", covered, read).succeeded();
    assert_eq!(output.stdout, "67108864\n");
}

/// As where cpu and cpuacct are one hierarchy by another name.
fn hierarchies_behind_a_link_are_found() {
    let arrange = "umount $here/cpu && rmdir $here/cpu && mkdir $here/real \
                   && mount --bind $KEPT/cpu $here/real && ln -s real $here/cpu";
    if !hierarchies().iter().any(|found| found.mount == Path::new("/sys/fs/cgroup/cpu")) {
        skip("the cpu controller is not at a place of its own");
    }
    let bundle = with_resources(json!({ "cpu": { "shares": 333 } }));
    let output = apart(bundle, "", arrange, r#"run && cat $here/real/"$ID"/cpu.shares"#);
    assert_eq!(output.succeeded().stdout, "333\n");
}

fn read_only_mounts_are_named() {
    let arrange = "for one in $here/*/; do mount -o remount,bind,ro $one; done";
    let output = apart(sleeping(), "", arrange, "run");
    let _ = output.failed_with("(the cgroup file system is mounted read-only)");
    // A read-only folder in place of a mount is no read-only mount.
    let arrange = "mount -o remount,ro $here";
    let _ = apart(sleeping(), "memory", arrange, WHOLE_LIFE).succeeded();
}

/// Where devices, freezer and pids are all that a container sees of the host's hierarchies.
fn later_commands_do_without_what_is_not_mounted() {
    let others = "unified memory cpu cpuacct cpu,cpuacct cpuset blkio systemd hugetlb perf_event \
                  net_cls net_prio net_cls,net_prio rdma misc";
    let then = r#"
        run && rt ps "$ID" >/dev/null && rt pause "$ID" && rt resume "$ID" \
            && rt update --pids-limit 50 "$ID" && rt events --stats "$ID" >/dev/null \
            && rt state "$ID" >/dev/null && rt list >/dev/null \
            && rt exec "$ID" /bin/probe exit 0 && rt kill "$ID" KILL && rt delete --force "$ID"
    "#;
    let output = apart(sleeping(), others, "", then).succeeded();
    assert!(output.stderr.is_empty(), "{}", output.stderr);
}

/// As others may move init out of a cgroup, and remove that: here of each that is asked first.
fn processes_are_found_when_one_cgroup_is_gone() {
    let then = r#"
        run && init=$(rt state "$ID" | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p') || exit 98
        for name in pids freezer; do
            echo $init > $here/$name/cgroup.procs || exit 97
            rmdir "$here/$name/$ID" || exit 96
            rt ps --format json "$ID" || exit 95
        done
        rt kill --all "$ID" KILL && rt delete --force "$ID"
    "#;
    if !["pids", "freezer"].into_iter().all(|name| controller(name).version == 1) {
        skip("pids and freezer are not on cgroup v1");
    }
    let output = apart(sleeping(), "unified", "", then).succeeded();
    assert!(!output.stdout.contains("[]"), "{}", output.stdout);
}

/// Writes a limit on processes that leaves room for `more` than there are.
fn leave_room(container: &Container, more: usize) {
    let folder = folder_of(container.pid(), "pids");
    let there: usize = value(&folder, "pids.current").parse().unwrap();
    fs::write(folder.join("pids.max"), (there + more).to_string()).unwrap();
}

/// What goes before the process counts beside it for a moment.
fn exec_needs_room_for_two() {
    let container = Container::running(Bundle::new());
    leave_room(&container, 2);
    for _ in 0..5 {
        let _ = container.exec(&[], &["/bin/probe", "exit", "0"]).succeeded();
    }
    leave_room(&container, 1);
    for flags in [&[][..], &["--detach"]] {
        let output = container.exec(flags, &["/bin/probe", "exit", "0"]);
        let _ = output.failed_with("an exec takes room for two for a moment; rind update");
    }
    // The container is none the worse for it.
    let _ = container.call_with("update", &["--pids-limit", "50"]).succeeded();
    let _ = container.exec(&[], &["/bin/probe", "exit", "0"]).succeeded();
    container.stop();
}

/// Version 1 takes the nearest; version 2 has a weight for the nearest.
fn shares_that_there_are_not_are_refused() {
    if controller("cpu").version == 2 {
        skip("cgroup v2 has weights");
    }
    for shares in [1, 262_145] {
        let reason = format!("linux.resources.cpu.shares: {shares} is not within 2 and 262144");
        with_resources(json!({ "cpu": { "shares": shares } })).refused(&reason);
    }
}
