//! A user who has a systemd of his own: containers with limits, by delegation, without root.
//!
//! The tests themselves are not in a cgroup of that user's, as a login session is not either; what
//! is executed has to be moved between the two.

use integration_tests::cgroup::{folder_of, is_unified, value};
use integration_tests::command::{Output, run, spawn};
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, binary, json, tests};
use std::fs;
use std::hint::spin_loop;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

pub const TESTS: &[Test] = tests![
    limits_hold_by_default,
    unit_is_where_the_path_says,
    programs_are_executed_in_the_unit,
    programs_are_executed_in_cgroups_below,
    limits_are_updated,
    paused_listed_and_measured,
    delete_leaves_no_unit,
    killed_create_leaves_no_unit,
    root_of_a_user_namespace_has_limits,
    limit_that_is_not_delegated_is_a_warning,
    limit_that_is_not_delegated_is_an_error_if_systemd_was_asked_for,
    systems_systemd_is_not_the_users,
    cgroups_path_is_left_alone,
];

/// A user with a systemd.
#[derive(Clone, Debug)]
struct User {
    id: u32,
    runtime: PathBuf,
}

/// One that there is here; none of the tests can be made without.
fn user() -> User {
    if !is_unified() {
        skip("the controllers are not on cgroup v2 here".to_owned());
    }
    let entries = fs::read_dir("/run/user").into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find_map(|runtime| {
        let id = runtime.file_name()?.to_str()?.parse().ok().filter(|&id| id != 0)?;
        runtime.join("bus").exists().then_some(User { id, runtime })
    });
    found.unwrap_or_else(|| skip("no user here has a systemd".to_owned()))
}

struct Setting {
    user: User,
    container: Container,
}

/// A container of the user's, with a copy of the runtime that he can reach.
fn setting(edit: impl FnOnce(&mut Value)) -> Setting {
    let user = user();
    let bundle = Bundle::new();
    let mut copy = Command::new("cp");
    copy.arg(binary::rind()).arg(bundle.folder().join("runtime"));
    let _ = run(copy).succeeded();
    let bundle = bundle.probing(&["sleep"]).config(|config| {
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

    fn by_user(&self, mut command: Command) -> Command {
        command.uid(self.user.id).gid(self.user.id).env("XDG_RUNTIME_DIR", &self.user.runtime);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
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
        let mut list = Command::new("systemctl");
        list.args(["--user", "list-units", "--all", "--plain", "--no-legend"]);
        list.arg(format!("*{}*", self.container.id()));
        let output = run(self.by_user(list));
        output.stdout
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
