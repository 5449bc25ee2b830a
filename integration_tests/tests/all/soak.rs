//! Many containers after one another, of all kinds and by all commands, leave the machine as it was: no
//! process, mount, cgroup, namespace, keyring, device or file, and no memory of the kernel's.
//!
//! By default a few cycles in namespaces of their own, so that what others do beside is not counted. With
//! `RIND_SOAK=CYCLES` in the environment (`just soak`) as many on the machine itself, all of which is
//! counted: nothing else should go on there meanwhile.

use crate::rootless;
use integration_tests::bundle::push;
use integration_tests::command::{self, run};
use integration_tests::console::DescriptorSocket;
use integration_tests::host::{needs_program, run_folder};
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, cgroup, json, tests};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = tests![nothing_is_left_of_many];

/// Has the name of the outer run: this is the inner one.
const INSIDE: &str = "RIND_SOAK_INSIDE";
const QUICK: usize = 110;
/// Before the first count, so that the kernel has what it keeps.
const WARM_UP: usize = 2 * KINDS.len() * COURSES.len() / 3;
/// How long the kernel may take to free what it frees later.
const SETTLING: Duration = Duration::from_mins(1);

/// What is counted, by name.
type Counts = BTreeMap<String, i64>;

fn nothing_is_left_of_many() {
    let asked = std::env::var("RIND_SOAK").ok().map(|text| text.parse().expect("RIND_SOAK"));
    match (asked, std::env::var(INSIDE).is_ok()) {
        (Some(cycles), _) => soak(cycles, &whole),
        (None, true) => soak(QUICK, &own),
        (None, false) => in_namespaces(),
    }
}

/// Runs this test again, in namespaces of its own.
fn in_namespaces() {
    let name = format!("soak{}", std::process::id());
    let folder = run_folder().join(&name);
    fs::create_dir(&folder).unwrap();
    let mut command = Command::new(needs_program("unshare"));
    command.args(["--mount", "--pid", "--net", "--ipc", "--fork", "--mount-proc", "--kill-child"]);
    // The first process has to wait for all others.
    command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    command.arg(std::env::current_exe().unwrap()).args(["--nocapture", "--exact"]);
    command.arg("soak::nothing_is_left_of_many");
    command.env(INSIDE, &name).env("TMPDIR", &folder).env_remove("RIND_TESTS");
    let mut running = command::spawn(command);
    let end = Duration::from_mins(5);
    let ended = Instant::now() + end;
    // It takes longer than a command may.
    while integration_tests::host::is_alive(running.pid()) {
        assert!(Instant::now() < ended, "{end:?} were not enough: {}", running.stdout());
        sleep(Duration::from_millis(20));
    }
    let (said, output) = (running.stdout(), running.wait_here());
    print!("{}", said.lines().filter(|line| line.contains("cycles")).collect::<String>());
    assert_eq!(output.code, 0, "{said}{}", output.stderr);
}

/// What makes a bundle, and what is always done with its container, if only that can be.
type Kind = (fn() -> Bundle, Option<Course>);

const KINDS: &[Kind] = &[
    (sleeping, None),
    (with_user_namespace, None),
    (with_hooks, None),
    (with_filter, None),
    (with_limits, None),
    (with_mounts, None),
    (with_the_hosts_namespaces, None),
    (in_a_deep_cgroup, None),
    (dockers, None),
    (with_terminal, Some(on_terminal)),
    (rootless_bundle, Some(by_user)),
];

/// What is done with a container from its making to its end; gives how many commands that took.
type Course = fn(&mut Container) -> usize;

const COURSES: &[Course] = &[all_commands, detached, foreground, never_started, refused, killed];

fn sleeping() -> Bundle {
    placed(Bundle::new().probing(&["sleep"]))
}

/// In a cgroup that has the name of the outer run: inside, others have the same ids.
fn placed(bundle: Bundle) -> Bundle {
    let Ok(name) = std::env::var(INSIDE) else { return bundle };
    let path = cgroup::path_for(&format!("{name}-{}", bundle.id()));
    bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path))
}

fn with_user_namespace() -> Bundle {
    sleeping().namespace("user", None).config(|config| {
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        config["linux"]["uidMappings"] = mapping.clone();
        config["linux"]["gidMappings"] = mapping;
    })
}

fn with_hooks() -> Bundle {
    let kinds =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    sleeping().with_shell().config(|config| {
        for kind in kinds {
            push(&mut config["hooks"][kind], json!({ "path": "/bin/true" }));
        }
    })
}

fn with_filter() -> Bundle {
    sleeping().config(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["reboot", "acct", "swapon"], "action": "SCMP_ACT_ERRNO" }],
        });
    })
}

fn with_limits() -> Bundle {
    sleeping().config(|config| {
        config["linux"]["resources"] = json!({
            "memory": { "limit": 67_108_864, "reservation": 33_554_432 },
            "pids": { "limit": 33 },
            "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0" },
            "devices": [{ "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" }],
        });
        config["process"]["rlimits"] =
            json!([{ "type": "RLIMIT_NOFILE", "soft": 512, "hard": 512 }]);
        config["process"]["oomScoreAdj"] = json!(100);
    })
}

fn with_mounts() -> Bundle {
    let bundle = sleeping().writable();
    let source = bundle.folder().join("source");
    fs::create_dir(&source).unwrap();
    (0..20).fold(bundle, |bundle, number| {
        let [tmpfs, bind] = ["tmpfs", "bind"].map(|kind| format!("/many/{kind}{number}"));
        bundle
            .mount(json!({ "destination": tmpfs, "type": "tmpfs", "source": "tmpfs" }))
            .mount(json!({ "destination": bind, "source": source, "options": ["rbind", "ro"] }))
    })
}

fn with_the_hosts_namespaces() -> Bundle {
    ["pid", "network", "ipc"].iter().fold(sleeping(), |bundle, kind| bundle.without_namespace(kind))
}

fn in_a_deep_cgroup() -> Bundle {
    cgroup::needs_cgroupfs();
    sleeping().config(|config| {
        let path = format!("{}/a/b/c", config["linux"]["cgroupsPath"].as_str().unwrap());
        config["linux"]["cgroupsPath"] = json!(path);
    })
}

fn dockers() -> Bundle {
    let bundle = Bundle::of(include_str!("../../fixtures/docker.json")).probing(&["sleep"]);
    for file in ["resolv.conf", "hostname", "hosts"] {
        fs::write(bundle.path().join(file), "").unwrap();
    }
    let path = cgroup::path_for(bundle.id());
    placed(bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path)))
}

fn with_terminal() -> Bundle {
    sleeping().config(|config| config["process"]["terminal"] = json!(true))
}

fn rootless_bundle() -> Bundle {
    rootless::bundle().probing(&["sleep"])
}

/// `name FLAGS ID ARGS` must succeed.
fn call(container: &Container, name: &str, flags: &[&str], args: &[&str]) {
    let mut command = container.command_for(name, flags);
    command.args(args);
    let _ = run(command).succeeded();
}

fn all_commands(container: &mut Container) -> usize {
    container.create(&[]);
    call(container, "state", &[], &[]);
    container.start();
    let _ = run(container.command(&["list"])).succeeded();
    call(container, "ps", &["--format", "json"], &[]);
    call(container, "exec", &[], &["/bin/probe", "exit", "0"]);
    call(container, "exec", &["--detach"], &["/bin/probe", "sleep"]);
    call(container, "events", &["--stats"], &[]);
    call(container, "update", &["--pids-limit", "44"], &[]);
    call(container, "pause", &[], &[]);
    call(container, "resume", &[], &[]);
    call(container, "kill", &["--all"], &["KILL"]);
    container.wait_stopped();
    call(container, "delete", &[], &[]);
    // `create` and `wait_stopped` ask for the state.
    16
}

fn detached(container: &mut Container) -> usize {
    container.run_detached(&[]);
    call(container, "exec", &[], &["/bin/probe", "exit", "0"]);
    call(container, "pause", &[], &[]);
    call(container, "delete", &["--force"], &[]);
    5
}

fn foreground(container: &mut Container) -> usize {
    let running = container.spawn_run(&[]);
    running.wait_line("ready");
    call(container, "kill", &[], &["TERM"]);
    assert_eq!(running.wait().code, 0);
    2
}

fn never_started(container: &mut Container) -> usize {
    container.create(&[]);
    call(container, "delete", &[], &[]);
    3
}

fn refused(container: &mut Container) -> usize {
    container.run_detached(&[]);
    let _ = container.call("create", &[]).failed_with("already exists");
    let _ = container.call("start", &[]).failed_with("cannot start");
    let _ = container.call("delete", &[]).failed_with("cannot delete");
    let _ = container.exec(&[], &["/no/program"]).failed_with("no such file");
    call(container, "delete", &["--force"], &[]);
    7
}

/// `create` is killed, each time a bit later.
fn killed(container: &mut Container) -> usize {
    for step in 0..4 {
        let mut creating = command::spawn(container.command_for("create", &[]));
        sleep(Duration::from_millis(1 + 2 * step));
        creating.kill();
        call(container, "delete", &["--force"], &[]);
    }
    8
}

/// With the console socket that a terminal needs.
fn on_terminal(container: &mut Container) -> usize {
    let path = run_folder().join("tty");
    let socket = DescriptorSocket::listen(&path);
    container.create(&["--console-socket", socket.path()]);
    let (master, _) = socket.receive();
    container.start();
    call(container, "kill", &[], &["KILL"]);
    container.wait_stopped();
    call(container, "delete", &[], &[]);
    drop(master);
    fs::remove_file(&path).unwrap();
    6
}

fn by_user(container: &mut Container) -> usize {
    container.create(&[]);
    container.start();
    call(container, "kill", &[], &["KILL"]);
    container.wait_stopped();
    call(container, "delete", &[], &[]);
    6
}

/// Goes through `cycles` cycles between two counts, and compares these.
fn soak(cycles: usize, count: &dyn Fn() -> Counts) {
    let mut containers: Vec<Container> =
        KINDS.iter().map(|(make, _)| Container::new(make())).collect();
    for cycle in 0..WARM_UP {
        go_through(&mut containers, cycle);
    }
    let (mut before, most_before) = (count(), memory_of_rind());
    let settled = Instant::now() + Duration::from_secs(2);
    while Instant::now() < settled {
        before = count();
    }
    let (mut commands, since) = (0, Instant::now());
    for cycle in 0..cycles {
        commands += go_through(&mut containers, cycle);
        if cycle % 1000 == 999 {
            println!("{} cycles, {commands} commands, {:?}", cycle + 1, since.elapsed());
        }
    }
    let took = since.elapsed();
    let (after, more) = settle(&before, cycles, count);
    let most_after = memory_of_rind();
    println!("soak: {cycles} cycles, {commands} commands in {took:?}");
    for (name, was) in &before {
        println!("  cycles: {name}: {was} before, {} after", after.get(name).unwrap_or(&0));
    }
    println!("  cycles: KiB that rind takes: {most_before} before, {most_after} after");
    assert!(most_after * 10 <= most_before * 11, "rind takes {most_after} KiB of {most_before}");
    assert!(more.is_empty(), "there is more than before: {more:#?}");
}

fn go_through(containers: &mut [Container], cycle: usize) -> usize {
    let number = cycle % KINDS.len();
    let usual = COURSES[(cycle / KINDS.len()) % COURSES.len()];
    KINDS[number].1.unwrap_or(usual)(&mut containers[number])
}

/// The peak of a `run` in the foreground, in KiB.
fn memory_of_rind() -> u64 {
    let container = Container::new(sleeping());
    let running = container.spawn_run(&[]);
    running.wait_line("ready");
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.split_whitespace().next().unwrap().parse().unwrap();
    container.kill("TERM");
    let _ = running.wait();
    peak
}

/// Counts until nothing is more than before, or the time is up; gives what is.
fn settle(before: &Counts, cycles: usize, count: &dyn Fn() -> Counts) -> (Counts, Vec<String>) {
    let until = Instant::now() + SETTLING;
    loop {
        let after = count();
        let more: Vec<String> = after
            .iter()
            .filter_map(|(name, now)| {
                let was = before.get(name).copied().unwrap_or(0);
                (*now > was + slack(name, was, cycles)).then(|| format!("{name}: {now} of {was}"))
            })
            .collect();
        if more.is_empty() || Instant::now() > until {
            return (after, more);
        }
        sleep(Duration::from_millis(100));
    }
}

/// By how much a count may grow: what the kernel keeps for later, by less than one in four cycles.
fn slack(name: &str, was: i64, cycles: usize) -> i64 {
    let is_kept =
        ["slab ", "controller ", "KiB ", "open files"].iter().any(|it| name.starts_with(it));
    if is_kept { was / 10 + i64::try_from(cycles).unwrap() / 4 + 64 } else { 0 }
}

/// What is this test's own, in namespaces of its own.
fn own() -> Counts {
    let mut counts = common();
    let name = std::env::var(INSIDE).unwrap();
    let cgroups = cgroup::named(&name).len();
    counts.insert("cgroups".to_owned(), i64::try_from(cgroups).unwrap());
    counts
}

fn common() -> Counts {
    let mut counts = Counts::new();
    let mut namespaces = std::collections::BTreeSet::new();
    let mut processes = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        // Kernel threads have no executable.
        let is_process = pid.bytes().all(|byte| byte.is_ascii_digit());
        if !is_process || fs::read_link(entry.path().join("exe")).is_err() {
            continue;
        }
        processes += 1;
        let links = fs::read_dir(entry.path().join("ns")).into_iter().flatten().flatten();
        namespaces.extend(links.filter_map(|link| fs::read_link(link.path()).ok()));
    }
    let lines = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        i64::try_from(text.lines().count()).unwrap()
    };
    counts.insert("processes".to_owned(), processes);
    counts.insert("namespaces".to_owned(), i64::try_from(namespaces.len()).unwrap());
    counts.insert("mounts".to_owned(), lines("/proc/self/mountinfo"));
    counts.insert("network devices".to_owned(), lines("/proc/net/dev"));
    counts.insert("files of the test".to_owned(), files_below(run_folder()));
    counts
}

fn files_below(folder: &Path) -> i64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = entries.map(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        1 + if is_folder { files_below(&entry.path()) } else { 0 }
    });
    count.sum()
}

/// What there is on the whole machine.
fn whole() -> Counts {
    // Caches that could be freed say nothing.
    let _ = fs::write("/proc/sys/vm/drop_caches", "2");
    let mut counts = common();
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    counts.insert("files in /run".to_owned(), files_below(Path::new("/run")));
    counts.insert("keys".to_owned(), i64::try_from(text("/proc/keys").lines().count()).unwrap());
    for hierarchy in cgroup::hierarchies() {
        let name = format!("cgroups of {}", hierarchy.mount.display());
        counts.insert(name, folders_below(&hierarchy.mount));
        let stat = text(hierarchy.mount.join("cgroup.stat").to_str().unwrap());
        if let Some(dying) =
            stat.lines().find_map(|line| line.strip_prefix("nr_dying_descendants "))
        {
            counts.insert("controller v2, dying cgroups".to_owned(), dying.parse().unwrap());
        }
    }
    for line in text("/proc/cgroups").lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        counts.insert(format!("controller {}, cgroups", fields[0]), fields[2].parse().unwrap());
    }
    let wanted = [
        "cgroup",
        "mnt_cache",
        "nsproxy",
        "pid",
        "net_namespace",
        "user_namespace",
        "uts_namespace",
        "pid_namespace",
        "task_struct",
        "cred",
        "cred_jar",
        "filp",
        "key_jar",
        "mm_struct",
    ];
    for line in text("/proc/slabinfo").lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if wanted.contains(&fields[0]) {
            counts.insert(format!("slab {}", fields[0]), fields[1].parse().unwrap());
        }
    }
    for line in text("/proc/meminfo").lines().filter(|line| line.starts_with("Percpu:")) {
        let size = line.split_whitespace().nth(1).unwrap();
        counts.insert("KiB of every processor's".to_owned(), size.parse().unwrap());
    }
    let open = text("/proc/sys/fs/file-nr");
    let open = open.split_whitespace().next().unwrap_or("0");
    counts.insert("open files".to_owned(), open.parse().unwrap());
    counts
}

fn folders_below(folder: &Path) -> i64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| 1 + folders_below(&entry.path())).sum()
}
