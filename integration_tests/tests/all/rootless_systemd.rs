//! A user who has a systemd of his own: containers with limits, by delegation, without root.
//!
//! The tests themselves are not in a cgroup of that user's, as a login session is not either; what
//! is executed has to be moved between the two.

use crate::rootless::{among_the_hosts_processes, assert_cgroup_mount, cgroup_mount};
use integration_tests::cgroup::{controller, folder_of, is_unified, value};
use integration_tests::command::{Output, run, spawn};
use integration_tests::host::{is_alive, needs_file, needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, binary, json, tests};
use std::fs;
use std::hint::spin_loop;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub const TESTS: &[Test] = tests![
    limits_hold_by_default,
    unit_is_where_the_path_says,
    programs_are_executed_in_the_unit,
    programs_are_executed_in_cgroups_below,
    limits_are_updated,
    paused_listed_and_measured,
    delete_leaves_no_unit,
    deaf_processes_are_ended_with_the_unit,
    killed_create_leaves_no_unit,
    root_of_a_user_namespace_has_limits,
    limit_that_is_not_delegated_is_a_warning,
    limit_that_is_not_delegated_is_an_error_if_systemd_was_asked_for,
    plain_user_has_the_limits_that_are_delegated,
    plain_users_other_limits_are_errors_if_systemd_was_asked_for,
    own_cgroup_is_bound_read_only_without_a_cgroup_namespace,
    systems_systemd_is_not_the_users,
    cgroups_path_is_left_alone,
];

/// A user with a systemd.
#[derive(Clone, Debug)]
pub(crate) struct User {
    id: u32,
    runtime: PathBuf,
}

fn needs_v2() {
    if !is_unified() {
        skip("the controllers are not on cgroup v2 here");
    }
}

/// One that there is here; most of the tests can't be made without.
fn user() -> User {
    needs_v2();
    let plain = id_of(PLAIN);
    let entries = fs::read_dir("/run/user").into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find_map(|runtime| {
        let id = runtime.file_name()?.to_str()?.parse().ok().filter(|&id| id != 0)?;
        // The plain user's systemd comes and goes.
        (Some(id) != plain && runtime.join("bus").exists()).then_some(User { id, runtime })
    });
    found.unwrap_or_else(|| skip("no user here has a systemd".to_owned()))
}

impl User {
    /// The same command, by this user.
    pub fn by(&self, mut command: Command) -> Command {
        command.uid(self.id).gid(self.id).env("XDG_RUNTIME_DIR", &self.runtime);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    /// `systemctl VERB` of the service that this user's systemd is, by root.
    fn service(&self, verb: &str) -> Command {
        let mut command = Command::new("systemctl");
        command.arg(verb).arg(format!("user@{}.service", self.id));
        command
    }

    /// The controllers that this user's systemd has.
    fn controllers(&self) -> Vec<String> {
        let mut show = self.service("show");
        show.args(["--property", "ControlGroup", "--value"]);
        let path = run(show).succeeded().stdout;
        let folder = controller("pids").mount.join(path.trim().trim_start_matches('/'));
        let listed = value(&folder, "cgroup.controllers");
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// The units of this user's systemd whose name contains `id`.
    pub fn units(&self, id: &str) -> String {
        let mut list = Command::new("systemctl");
        list.args(["--user", "list-units", "--all", "--plain", "--no-legend"]);
        list.arg(format!("*{id}*"));
        run(self.by(list)).stdout
    }
}

/// The name of a user as Debian makes one: nothing is delegated to him but by default, and he does
/// not linger, so that his systemd runs only while he is there.
const PLAIN: &str = "plain";

/// The plain user, whose systemd runs as long as this lives.
struct Plain {
    user: User,
    /// Whether it ran before.
    ran: bool,
    _only: MutexGuard<'static, ()>,
}

fn id_of(name: &str) -> Option<u32> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = accounts.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn plain() -> Plain {
    static ONLY: Mutex<()> = Mutex::new(());
    needs_v2();
    needs_file("/run/systemd/system");
    let id = id_of(PLAIN).unwrap_or_else(|| skip(format!("there is no user {PLAIN} here")));
    let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
    let user = User { id, runtime: PathBuf::from(format!("/run/user/{id}")) };
    let ran = run(user.service("is-active")).code == 0;
    let plain = Plain { user, ran, _only: only };
    let _ = run(plain.user.service("start")).succeeded();
    wait_for("the user's bus", || plain.user.runtime.join("bus").exists());
    plain
}

impl Drop for Plain {
    fn drop(&mut self) {
        if !self.ran {
            let stopped = run(self.user.service("stop"));
            assert!(stopped.code == 0 || std::thread::panicking(), "{stopped:#?}");
        }
    }
}

pub(crate) struct Setting {
    pub user: User,
    pub container: Container,
}

/// A container of the user's, with a copy of the runtime that he can reach.
pub(crate) fn setting(edit: impl FnOnce(&mut Value)) -> Setting {
    setting_of(user(), Bundle::new().probing(&["sleep"]), edit)
}

/// The same of this user's, and of this bundle.
fn setting_of(user: User, bundle: Bundle, edit: impl FnOnce(&mut Value)) -> Setting {
    let mut copy = Command::new("cp");
    copy.arg(binary::rind()).arg(bundle.folder().join("runtime"));
    let _ = run(copy).succeeded();
    let bundle = bundle.config(|config| {
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("cgroupsPath");
        linux.remove("resources");
        let mapping = json!([{ "containerID": 0, "hostID": user.id, "size": 1 }]);
        linux.insert("uidMappings".to_owned(), mapping.clone());
        linux.insert("gidMappings".to_owned(), mapping);
        linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "mqueue");
        for mount in mounts {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| !option.as_str().unwrap().starts_with("gid="));
            }
        }
        edit(config);
    });
    for path in [bundle.folder(), bundle.path(), bundle.rootfs(), bundle.state_root()] {
        chown(path, Some(user.id), Some(user.id)).unwrap();
    }
    Setting { user, container: Container::new(bundle).with_flags(&[]) }
}

impl Setting {
    /// `name FLAGS ID`, by the user.
    fn command(&self, name: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(self.container.bundle().folder().join("runtime"));
        command.args(self.container.command_for(name, flags).get_args());
        self.by_user(command)
    }

    fn by_user(&self, command: Command) -> Command {
        self.user.by(command)
    }

    #[track_caller]
    fn call(&self, name: &str, flags: &[&str]) -> Output {
        run(self.command(name, flags))
    }

    #[track_caller]
    fn start(&mut self) {
        self.container.make_by(self.command("run", &["--detach"]));
        self.container.wait_line("ready");
    }

    /// `exec FLAGS ID probe WORDS`, by the user.
    #[track_caller]
    fn exec(&self, flags: &[&str], words: &[&str]) -> Output {
        let mut command = self.command("exec", flags);
        command.arg("/bin/probe").args(words);
        run(command)
    }

    /// The units of the user's systemd that are of this container.
    fn units(&self) -> String {
        self.user.units(self.container.id())
    }

    fn folder(&self) -> PathBuf {
        folder_of(self.container.pid(), "pids")
    }

    #[track_caller]
    fn delete(&self) {
        let _ = self.call("delete", &["--force"]).succeeded();
        assert_eq!(self.units(), "");
        self.container.assert_no_trace();
    }
}

fn limit(config: &mut Value, resources: Value) {
    config["linux"]["resources"] = resources;
}

/// Nothing is asked for but a container, and limits.
fn limits_hold_by_default() {
    let mut setting = setting(|config| {
        let limits = json!({
            "memory": { "limit": 67_108_864 }, "pids": { "limit": 33 },
            "cpu": { "quota": 50_000, "period": 100_000, "shares": 512 },
        });
        limit(config, limits);
    });
    setting.start();
    let folder = setting.folder();
    let expected = format!(
        "user@{}.service/user.slice/rind-{}.scope",
        setting.user.id,
        setting.container.id()
    );
    assert!(folder.ends_with(expected), "{}", folder.display());
    assert_eq!(fs::metadata(&folder).unwrap().uid(), setting.user.id);
    for (file, expected) in
        [("memory.max", "67108864"), ("pids.max", "33"), ("cpu.max", "50000 100000")]
    {
        assert_eq!(value(&folder, file), expected, "{file}");
    }
    setting.delete();
}

fn unit_is_where_the_path_says() {
    let mut setting =
        setting(|config| config["linux"]["cgroupsPath"] = json!("rindtest.slice:p:n"));
    let flags = ["--cgroup-manager", "systemd"];
    setting.container = setting.container.with_flags(&flags);
    setting.start();
    let expected = format!("user@{}.service/rindtest.slice/p-n.scope", setting.user.id);
    assert!(setting.folder().ends_with(expected), "{}", setting.folder().display());
    setting.delete();
    let mut stop = Command::new("systemctl");
    stop.args(["--user", "stop", "rindtest.slice"]);
    let _ = run(setting.by_user(stop));
}

fn programs_are_executed_in_the_unit() {
    let mut setting = setting(|_| ());
    setting.start();
    let report = setting.exec(&[], &["report"]).succeeded().json();
    let own = fs::read_to_string(format!("/proc/{}/cgroup", setting.container.pid())).unwrap();
    // It has a cgroup namespace, perhaps; init sees the same.
    let inside = report["cgroup"].as_str().unwrap();
    let name = format!("rind-{}.scope", setting.container.id());
    assert!(inside == "0::/\n" || inside.contains(&name), "{inside}, {own}");
    // While it runs it is in the scope.
    let mut running = spawn({
        let mut command = setting.command("exec", &[]);
        command.args(["/bin/probe", "sleep"]);
        command
    });
    running.wait_line("ready");
    let procs = value(&setting.folder(), "cgroup.procs");
    assert_eq!(procs.lines().count(), 2, "{procs}");
    running.kill();
    setting.delete();
}

fn programs_are_executed_in_cgroups_below() {
    let mut setting = setting(|_| ());
    setting.start();
    let below = setting.folder().join("below");
    fs::create_dir(&below).unwrap();
    for path in [below.clone(), below.join("cgroup.procs"), below.join("cgroup.threads")] {
        chown(path, Some(setting.user.id), Some(setting.user.id)).unwrap();
    }
    let mut command = setting.command("exec", &["--cgroup", "below", "--detach"]);
    command.args(["/bin/probe", "sleep"]);
    let mut maker = spawn(command);
    let _ = maker.wait_here().succeeded();
    assert_eq!(value(&below, "cgroup.procs").lines().count(), 1);
    setting.delete();
}

fn limits_are_updated() {
    let mut setting = setting(|config| limit(config, json!({ "pids": { "limit": 33 } })));
    setting.start();
    let _ = setting.call("update", &["--pids-limit", "44", "--memory", "100M"]).succeeded();
    assert_eq!(value(&setting.folder(), "pids.max"), "44");
    assert_eq!(value(&setting.folder(), "memory.max"), "104857600");
    let mut show = Command::new("systemctl");
    let unit = format!("rind-{}.scope", setting.container.id());
    show.args(["--user", "show", "--property", "TasksMax,MemoryMax", &unit]);
    let shown = run(setting.by_user(show)).succeeded().stdout;
    assert!(shown.contains("TasksMax=44") && shown.contains("MemoryMax=104857600"), "{shown}");
    setting.delete();
}

fn paused_listed_and_measured() {
    let mut setting = setting(|_| ());
    setting.start();
    let _ = setting.call("pause", &[]).succeeded();
    assert_eq!(setting.container.status(), "paused");
    let _ = setting.call("resume", &[]).succeeded();
    let listed = setting.call("ps", &["--format", "json"]).succeeded().json();
    assert_eq!(listed, json!([setting.container.pid()]));
    let stats = setting.call("events", &["--stats"]).succeeded().json();
    assert!(stats["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{stats}");
    setting.delete();
}

fn delete_leaves_no_unit() {
    let mut setting = setting(|_| ());
    setting.start();
    assert_ne!(setting.units(), "");
    let _ = setting.call("kill", &["--all"]);
    setting.delete();
}

/// A process in a cgroup of its own below the container's, and init, which has no other children.
const DEAF: &str = "trap '' TERM; /bin/busybox mkdir -p /sys/fs/cgroup/a/b
    sh -c 'echo 0 > /sys/fs/cgroup/a/b/cgroup.procs && exec sleep 1000' &
    while ! /bin/busybox grep -q . /sys/fs/cgroup/a/b/cgroup.procs; do :; done
    echo ready
    while :; do wait; done";

/// With a pid namespace of its own init's end is that of all; else they have to be found.
fn deaf_processes_are_ended_with_the_unit() {
    for has_namespace in [true, false] {
        let user = user();
        let bundle = cgroup_mount(Bundle::new(), true).script(DEAF);
        let bundle = if has_namespace { bundle } else { among_the_hosts_processes(bundle) };
        let mut setting = setting_of(user, bundle, |_| ());
        setting.start();
        let folder = setting.folder();
        let all = ["", "a/b"].map(|below| value(&folder.join(below), "cgroup.procs"));
        let all = all.map(|pid| pid.parse().unwrap());
        for flags in [&[][..], &["--all"]] {
            let mut kill = setting.command("kill", flags);
            kill.arg("TERM");
            let _ = run(kill).succeeded();
            assert!(all.iter().all(|&pid| is_alive(pid)), "{all:?}");
        }
        assert_eq!(setting.container.status(), "running");
        assert_ne!(setting.units(), "");
        setting.delete();
        assert!(!all.iter().any(|&pid| is_alive(pid)), "{all:?}");
        assert!(!folder.exists());
    }
}

fn killed_create_leaves_no_unit() {
    let setting = setting(|_| ());
    let since = Instant::now();
    let _ = setting.call("create", &[]).succeeded();
    let whole = since.elapsed() * 5 / 4;
    setting.delete();
    for step in 0..12 {
        let mut running = spawn(setting.command("create", &[]));
        let (since, moment) = (Instant::now(), whole * step / 12);
        while since.elapsed() < moment {
            spin_loop();
        }
        running.kill();
        let _ = setting.call("delete", &["--force"]).succeeded();
        wait_for(&format!("all to go of what was killed after {moment:?}"), || {
            setting.units().is_empty() && setting.container.traces().is_empty()
        });
    }
}

/// As below `podman unshare`.
fn root_of_a_user_namespace_has_limits() {
    let unshare = needs_program("unshare");
    let mut setting = setting(|config| {
        limit(config, json!({ "pids": { "limit": 33 } }));
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("uidMappings");
        linux.remove("gidMappings");
        linux["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "user");
    });
    let inner = setting.command("run", &["--detach"]);
    let mut command = Command::new(unshare);
    command.args(["--user", "--map-root-user"]).arg(inner.get_program()).args(inner.get_args());
    setting.container.make_by(setting.by_user(command));
    setting.container.wait_line("ready");
    assert_eq!(value(&setting.folder(), "pids.max"), "33");
    setting.delete();
}

/// No systemd delegates it.
fn not_delegated(config: &mut Value) {
    limit(config, json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }] }));
}

fn limit_that_is_not_delegated_is_a_warning() {
    let setting = setting(not_delegated);
    let output = setting.call("create", &[]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert_eq!(output.stderr.matches("linux.resources.hugepageLimits").count(), 1, "{output:#?}");
    assert!(output.stderr.contains("goes without this limit"), "{output:#?}");
    setting.delete();
}

fn limit_that_is_not_delegated_is_an_error_if_systemd_was_asked_for() {
    let mut setting = setting(not_delegated);
    setting.container = setting.container.with_flags(&["--cgroup-manager", "systemd"]);
    let _ = setting.call("create", &[]).failed_with("linux.resources.hugepageLimits");
    assert_eq!(setting.units(), "");
    setting.container.assert_no_trace();
}

/// A limit: its controller, what asks for it, its name in messages, and what the kernel then has.
struct Limit {
    controller: &'static str,
    resources: Value,
    property: &'static str,
    file: (&'static str, &'static str),
}

/// One of each controller.
fn limits() -> [Limit; 6] {
    let limit =
        |controller, resources, property, file| Limit { controller, resources, property, file };
    let memory = json!({ "memory": { "limit": 32 << 20, "swap": 32 << 20 } });
    let huge_pages = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }] });
    [
        limit("memory", memory, "memory.limit", ("memory.max", "33554432")),
        limit("pids", json!({ "pids": { "limit": 9 } }), "pids.limit", ("pids.max", "9")),
        limit(
            "cpu",
            json!({ "cpu": { "quota": 50_000, "period": 100_000 } }),
            "cpu.quota",
            ("cpu.max", "50000 100000"),
        ),
        limit("cpuset", json!({ "cpu": { "cpus": "0" } }), "cpu.cpus", ("cpuset.cpus", "0")),
        limit(
            "io",
            json!({ "blockIO": { "weight": 500 } }),
            "blockIO.weight",
            ("io.weight", "default 4950"),
        ),
        limit("hugetlb", huge_pages, "hugepageLimits", ("hugetlb.2MB.max", "0")),
    ]
}

/// Those whose controllers are delegated to the user, and the others: of both there is one.
fn by_delegation(user: &User) -> (Vec<Limit>, Vec<Limit>) {
    let controllers = user.controllers();
    let (delegated, others): (Vec<_>, Vec<_>) =
        limits().into_iter().partition(|one| controllers.iter().any(|name| name == one.controller));
    if delegated.is_empty() || others.is_empty() {
        skip(format!("all or nothing is delegated to {PLAIN}: {controllers:?}"));
    }
    (delegated, others)
}

/// All limits at once.
fn together(limits: &[Limit]) -> Value {
    let mut all = json!({});
    for limit in limits {
        for (section, content) in limit.resources.as_object().unwrap() {
            match (all[section].as_object_mut(), content.as_object()) {
                (Some(section), Some(content)) => section.extend(content.clone()),
                _ => all[section] = content.clone(),
            }
        }
    }
    all
}

fn plain_user_has_the_limits_that_are_delegated() {
    let plain = plain();
    let (delegated, others) = by_delegation(&plain.user);
    let setting = setting_of(plain.user.clone(), Bundle::new().probing(&["sleep"]), |config| {
        limit(config, together(&limits()));
    });
    let created = setting.call("create", &[]);
    assert_eq!(created.code, 0, "{created:#?}");
    let warnings: Vec<&str> = created.stderr.lines().collect();
    for Limit { property, .. } in &others {
        let name = format!("linux.resources.{property}");
        let about: Vec<_> = warnings.iter().filter(|line| line.contains(&name)).collect();
        assert_eq!(about.len(), 1, "{name}: {created:#?}");
        assert!(about[0].contains("the container goes without this limit"), "{created:#?}");
    }
    assert_eq!(warnings.len(), others.len(), "{created:#?}");
    let _ = setting.call("start", &[]).succeeded();
    let folder = setting.folder();
    for Limit { file: (file, expected), .. } in &delegated {
        assert_eq!(value(&folder, file), *expected, "{file}");
    }
    let has = |controller: &str| delegated.iter().any(|one| one.controller == controller);
    if has("pids") {
        let forked = setting.exec(&[], &["with-children", "20"]).succeeded().json();
        assert_eq!(forked["refused"], "EAGAIN", "{forked}");
        assert!(forked["started"].as_u64() < Some(9), "{forked}");
    }
    if has("memory") {
        let filled = setting.exec(&[], &["touch", "64"]);
        assert_eq!(filled.code, 137, "{filled:#?}");
        let events = value(&folder, "memory.events");
        assert!(!events.contains("oom_kill 0\n"), "{events}");
    }
    assert_eq!(setting.container.status(), "running");
    setting.delete();
}

fn plain_users_other_limits_are_errors_if_systemd_was_asked_for() {
    let plain = plain();
    let (_, others) = by_delegation(&plain.user);
    for Limit { resources, property, .. } in others {
        let bundle = Bundle::new().probing(&["sleep"]);
        let mut setting = setting_of(plain.user.clone(), bundle, |config| limit(config, resources));
        setting.container = setting.container.with_flags(&["--cgroup-manager", "systemd"]);
        let refused = setting.call("create", &[]);
        let _ = refused.failed_with(&format!("linux.resources.{property}"));
        assert_eq!(setting.units(), "");
        setting.container.assert_no_trace();
    }
}

/// The cgroup is the user's own, and he is root inside.
fn own_cgroup_is_bound_read_only_without_a_cgroup_namespace() {
    for has_namespace in [false, true] {
        let user = user();
        let setting = setting_of(user, cgroup_mount(Bundle::new(), has_namespace), |_| ());
        let seen = setting.call("run", &[]).succeeded().json();
        let name = format!("rind-{}.scope", setting.container.id());
        assert_cgroup_mount(&seen, has_namespace, &name);
    }
}

fn systems_systemd_is_not_the_users() {
    let mut setting = setting(|_| ());
    let flags = ["--systemd-cgroup", "--rootless", "false"];
    setting.container = setting.container.with_flags(&flags);
    let _ = setting.call("create", &[]).failed_with("--rootless true");
    setting.container.assert_no_trace();
}

/// What a path says is nobody else's to decide.
fn cgroups_path_is_left_alone() {
    let setting = setting(|config| config["linux"]["cgroupsPath"] = json!("/not/the/users"));
    let _ = setting.call("create", &[]).failed_with("needs root, or a cgroup that is delegated");
    setting.container.assert_no_trace();
}
