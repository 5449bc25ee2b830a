//! `check`: what it says of the host and of bundles, and that create agrees with it.

use crate::injected::needs_failing;
use crate::rootless;
use integration_tests::bundle::push;
use integration_tests::command::{self, Output};
use integration_tests::host::own_namespace;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, Value, binary, cgroup, json, tests};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use sys::nix::pty::openpty;

pub const TESTS: &[Test] = tests![
    host_has_all_sections,
    a_good_bundle_has_nothing_wrong_and_is_left_alone,
    what_is_wrong_is_what_create_refuses,
    all_that_is_wrong_is_told_at_once_with_its_line,
    elements_that_cannot_be_read_move_no_other,
    text_that_is_no_config_has_its_line,
    a_bundle_that_is_not_there_lacks,
    a_cgroup_that_cannot_be_made_is_told_of,
    programs_are_found_as_in_the_container,
    a_source_may_be_in_an_earlier_mount,
    what_is_in_a_later_mount_cannot_be_told,
    systemds_path_without_systemd_is_a_warning,
    hosts_namespaces_are_told_apart,
    a_user_without_subordinate_ids_is_told_what_to_do,
    a_user_needs_a_user_namespace,
    ids_of_others_cannot_be_mapped,
    calls_that_are_forbidden_are_named,
    inside_a_container_it_answers_for_that,
    text_has_consequence_and_remedy_of_each,
    colours_are_for_terminals,
];

fn check(args: &[&str]) -> Output {
    let mut command = Command::new(binary::rind());
    command.args(cgroup::manager_flags()).arg("check").args(args);
    command::run(command)
}

fn check_bundle(bundle: &Bundle) -> (bool, Vec<Value>) {
    report(&check(&["--format", "json", bundle.path().to_str().unwrap()]))
}

/// The findings of a report; each that is not fine has a consequence and a remedy.
#[track_caller]
fn report(output: &Output) -> (bool, Vec<Value>) {
    assert!(output.stderr.is_empty(), "{output:#?}");
    let report = output.json();
    let ok = report["ok"].as_bool().unwrap();
    assert_eq!(output.code, i32::from(!ok), "{output:#?}");
    let findings = report["findings"].as_array().unwrap().clone();
    let has = |one: &Value, key: &str| one[key].as_str().is_some_and(|text| !text.is_empty());
    for one in &findings {
        let is_fine = one["status"] == "ok";
        assert!(has(one, "section") && has(one, "what") && has(one, "detail"), "{one}");
        assert!(is_fine || has(one, "consequence") && has(one, "remedy"), "{one}");
    }
    let lacks = findings.iter().any(|one| one["status"] == "lacks");
    assert_eq!(ok, !lacks, "{output:#?}");
    (ok, findings)
}

/// What lacks, by its names.
fn lacking(findings: &[Value]) -> Vec<&str> {
    let lacking = findings.iter().filter(|one| one["status"] == "lacks");
    lacking.map(|one| one["what"].as_str().unwrap()).collect()
}

#[track_caller]
fn finding<'a>(findings: &'a [Value], what: &str) -> &'a Value {
    let found = findings.iter().find(|one| one["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {findings:#?}"))
}

fn host_has_all_sections() {
    let (ok, findings) = report(&check(&["-f", "json"]));
    assert!(ok, "these tests make containers here: {findings:#?}");
    for section in
        ["kernel", "namespaces", "user", "cgroups", "security", "file systems", "programs"]
    {
        assert!(findings.iter().any(|one| one["section"] == section), "{section}");
    }
    let calls = finding(&findings, "system calls")["detail"].as_str().unwrap();
    for call in ["openat2", "clone3", "mount_setattr", "move_mount", "close_range", "pidfd_open"] {
        assert!(calls.split(", ").any(|one| one == call), "{calls}");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let version = finding(&findings, "version")["detail"].as_str().unwrap();
    assert_eq!(version, format!("Linux {}", release.trim()));
    let text = check(&[]).succeeded().stdout;
    assert!(text.contains("\ncontainers can be run here"), "{text}");
}

/// The names and sizes of all files below a folder.
fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let facts = entry.metadata().unwrap();
        all.push((entry.path().display().to_string(), facts.len()));
        if facts.is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all.sort();
    all
}

fn a_good_bundle_has_nothing_wrong_and_is_left_alone() {
    let bundle = Bundle::new().config(|config| {
        config["annotations"] = json!({ "run.oci.hooks.stdout": "@/never-made" });
        let path = "/tmp/rind-check-makes-no-file";
        config["annotations"]["run.oci.hooks.stdout"] = json!(path);
        config["hooks"] = json!({ "poststop": [{ "path": "/bin/true" }] });
    });
    let before = listing(&bundle.folder());
    let (ok, findings) = check_bundle(&bundle);
    assert!(ok && lacking(&findings).is_empty(), "{findings:#?}");
    assert_eq!(listing(&bundle.folder()), before);
    assert!(!Path::new("/tmp/rind-check-makes-no-file").exists());
    assert_eq!(finding(&findings, "process.args[0]")["detail"], "/bin/probe");
    let container = Container::new(bundle.config(|config| config["annotations"] = json!({})));
    let _ = container.call("run", &[]).succeeded();
}

/// What is changed in a bundle, and the property that is then wrong.
type Case = (&'static str, &'static str, fn(&Bundle, &mut Value));

const CASES: &[Case] = &[
    ("no rootfs", "root.path", |_, config| config["root"]["path"] = json!("nowhere")),
    ("no program", "process.args[0]", |_, config| config["process"]["args"] = json!(["nope"])),
    ("no program at the path", "process.args[0]", |_, config| {
        config["process"]["args"] = json!(["/bin/nope"]);
    }),
    ("no right to execute", "process.args[0]", |bundle, config| {
        fs::write(bundle.rootfs().join("bin/data"), "#!/bin/probe\n").unwrap();
        config["process"]["args"] = json!(["/bin/data"]);
    }),
    ("no interpreter", "process.args[0]", |bundle, config| {
        script(bundle, "#!/bin/not-there -x\n");
        config["process"]["args"] = json!(["/bin/script"]);
    }),
    ("lines of another system", "process.args[0]", |bundle, config| {
        script(bundle, "#!/bin/probe\r\necho\r\n");
        config["process"]["args"] = json!(["/bin/script"]);
    }),
    ("neither a program nor a script", "process.args[0]", |bundle, config| {
        script(bundle, "echo hello\n");
        config["process"]["args"] = json!(["/bin/script"]);
    }),
    ("the program is a folder", "process.args[0]", |_, config| {
        config["process"]["args"] = json!(["/bin"]);
    }),
    ("the directory is a file", "process.cwd", |_, config| {
        config["process"]["cwd"] = json!("/etc/passwd");
    }),
    ("no source", "mounts[0].source", |_, config| {
        config["mounts"] = json!([
            { "destination": "/data", "type": "bind", "source": "/nowhere/at/all", "options": ["bind"] },
        ]);
    }),
    ("a folder on a file", "mounts[0].destination", |_, config| {
        config["mounts"] = json!([
            { "destination": "/etc/passwd", "type": "bind", "source": "/tmp", "options": ["bind"] },
        ]);
    }),
    ("an option that nobody knows", "mounts[0]", |_, config| {
        config["mounts"] = json!([
            { "destination": "/data", "type": "bind", "source": "/tmp", "options": ["bind", "readonly"] },
        ]);
    }),
    ("a mount on the root", "mounts[0].destination", |_, config| {
        config["mounts"] = json!([{ "destination": "/", "type": "tmpfs", "source": "tmpfs" }]);
    }),
    ("no hook", "hooks.createRuntime[0].path", |_, config| {
        config["hooks"] = json!({ "createRuntime": [{ "path": "/no/such/hook" }] });
    }),
    ("no hook in the container", "hooks.startContainer[0].path", |_, config| {
        config["hooks"] = json!({ "startContainer": [{ "path": "/no/such/hook" }] });
    }),
    ("a hook that can't be executed", "hooks.prestart[0].path", |_, config| {
        config["hooks"] = json!({ "prestart": [{ "path": "/etc/passwd" }] });
    }),
    ("another kind of namespace", "linux.namespaces[0].path", |_, config| {
        config["linux"]["namespaces"][0] = json!({ "type": "uts", "path": "/proc/self/ns/net" });
        remove_others(config, "uts");
    }),
    ("no namespace", "linux.namespaces[0].path", |_, config| {
        config["linux"]["namespaces"][0] = json!({ "type": "uts", "path": "/no/such/namespace" });
        remove_others(config, "uts");
    }),
    ("a filter that notifies always", "linux.seccomp.defaultAction", |_, config| {
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_NOTIFY" });
    }),
    ("a rule without names", "linux.seccomp.syscalls[1].names", |_, config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                { "names": ["getcwd"], "action": "SCMP_ACT_ERRNO" },
                { "names": [], "action": "SCMP_ACT_ERRNO" },
            ],
        });
    }),
    ("too many files", "process.rlimits[0].hard", |_, config| {
        config["process"]["rlimits"] =
            json!([{ "type": "RLIMIT_NOFILE", "soft": 10, "hard": 1_u64 << 40 }]);
    }),
    ("no such sysctl", "linux.sysctl[\"net.nothing.of_that\"]", |_, config| {
        config["linux"]["sysctl"] = json!({ "net.nothing.of_that": "1" });
    }),
    ("the host's sysctl", "linux.sysctl[\"vm.swappiness\"]", |_, config| {
        config["linux"]["sysctl"] = json!({ "vm.swappiness": "1" });
    }),
    ("a number out of range", "linux.resources.memory.swappiness", |_, config| {
        config["linux"]["resources"]["memory"] = json!({ "swappiness": 200 });
    }),
    ("a quota that is too short", "linux.resources.cpu.quota", |_, config| {
        config["linux"]["resources"]["cpu"] = json!({ "quota": 5 });
    }),
    ("processors that are not there", "linux.resources.cpu.cpus", |_, config| {
        config["linux"]["resources"]["cpu"] = json!({ "cpus": "0-7000" });
    }),
    ("a file that is no setting", "linux.resources.unified", |_, config| {
        config["linux"]["resources"]["unified"] = json!({ "cgroup.procs": "1" });
    }),
    ("an annotation that can't be", "annotations[\"run.oci.handler\"]", |_, config| {
        config["annotations"] = json!({ "run.oci.handler": "krun" });
    }),
    ("a device without numbers", "linux.devices[0].major", |_, config| {
        config["linux"]["devices"] = json!([{ "path": "/dev/x", "type": "c", "minor": 1 }]);
    }),
    ("a network device that is not there", "linux.netDevices", |_, config| {
        config["linux"]["netDevices"] = json!({ "rind-none": {} });
    }),
    ("an id that is not mapped", "process.user.uid", |_, config| {
        map_ids(config);
        config["process"]["user"]["uid"] = json!(70_000);
    }),
    ("root that is not mapped", "linux.uidMappings", |_, config| {
        map_ids(config);
        config["linux"]["uidMappings"][0]["containerID"] = json!(5);
        config["process"]["user"]["uid"] = json!(5);
    }),
    ("no UTS namespace", "hostname", |_, config| remove_others(config, "")),
    ("a wrong type", "process.args", |_, config| config["process"]["args"] = json!("sh")),
    ("a wrong version", "ociVersion", |_, config| config["ociVersion"] = json!("2.0.0")),
    ("no memory policy", "linux.memoryPolicy.mode", |_, config| {
        config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_NEVER" });
    }),
];

fn script(bundle: &Bundle, text: &str) {
    let path = bundle.rootfs().join("bin/script");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Takes the UTS namespace away, but for the entry at 0 if that is of this kind.
fn remove_others(config: &mut Value, kind: &str) {
    let list = config["linux"]["namespaces"].as_array_mut().unwrap();
    let mut index = 0;
    list.retain(|one| {
        index += 1;
        one["type"] != "uts" || index == 1 && kind == "uts"
    });
    if !kind.is_empty() {
        config.as_object_mut().unwrap().remove("hostname");
    }
}

fn map_ids(config: &mut Value) {
    push(&mut config["linux"]["namespaces"], json!({ "type": "user" }));
    let mappings = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    config["linux"]["uidMappings"] = mappings.clone();
    config["linux"]["gidMappings"] = mappings;
}

fn changed(change: fn(&Bundle, &mut Value)) -> Bundle {
    let bundle = Bundle::new();
    let mut config: Value =
        serde_json::from_slice(&fs::read(bundle.path().join("config.json")).unwrap()).unwrap();
    change(&bundle, &mut config);
    bundle.config(|own| *own = config)
}

fn what_is_wrong_is_what_create_refuses() {
    let mut wrong = Vec::new();
    for (name, property, change) in CASES {
        let bundle = changed(*change);
        let (ok, findings) = check_bundle(&bundle);
        let found = lacking(&findings);
        if ok || !found.contains(property) {
            wrong.push(format!("{name}: {property} is not in {found:?}"));
        }
        // One mistake is told of once.
        if found.len() > 1 {
            wrong.push(format!("{name}: also {found:?}"));
        }
        let output = Container::new(bundle).call("run", &[]);
        if output.code == 0 {
            wrong.push(format!("{name}: it runs"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn all_that_is_wrong_is_told_at_once_with_its_line() {
    let text = r#"{
  "ociVersion": "9.0.0",
  "root": { "path": "nowhere" },
  "process": {
    "cwd": "relative",
    "args": ["sh"],
    "user": { "uid": "me", "gid": 0 }
  },
  "mounts": [
    { "destination": "/a", "type": "bind", "source": "/nowhere/a", "options": ["bind"] },
    { "destination": "/b", "type": "bind", "source": "/nowhere/b", "options": ["bind"] },
    { "destination": "/c", "type": "bind", "source": "/nowhere/c", "options": ["bind", "readonly"] }
  ],
  "hooks": { "prestart": [{ "path": "/no/hook" }] },
  "annotations": { "run.oci.handler": "x" },
  "linux": {
    "namespaces": [{ "type": "mount" }, { "type": "nothing" }],
    "seccomp": { "defaultAction": "SCMP_ACT_ALLOW",
      "syscalls": [{ "names": [], "action": "SCMP_ACT_ERRNO" }] },
    "resources": { "memory": { "swappiness": 101 } }
  }
}"#;
    let bundle = Bundle::new();
    fs::write(bundle.path().join("config.json"), text).unwrap();
    let (_, findings) = check_bundle(&bundle);
    for (what, line) in [
        ("ociVersion", 2),
        ("root.path", 3),
        ("process.cwd", 5),
        ("process.user.uid", 7),
        ("mounts[0].source", 10),
        ("mounts[1].source", 11),
        ("mounts[2].source", 12),
        ("mounts[2]", 12),
        ("hooks.prestart[0].path", 14),
        ("annotations[\"run.oci.handler\"]", 15),
        ("linux.namespaces[1].type", 17),
        ("linux.seccomp.syscalls[0].names", 19),
        ("linux.resources.memory.swappiness", 20),
    ] {
        let found = finding(&findings, what);
        assert_eq!((&found["status"], &found["line"]), (&json!("lacks"), &json!(line)), "{found}");
    }
}

fn elements_that_cannot_be_read_move_no_other() {
    let bundle = Bundle::new().config(|config| {
        config["mounts"] = json!([
            { "destination": 7 },
            { "destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"] },
            { "destination": "/y", "type": "bind", "source": "/tmp", "options": ["bind", "what"] },
        ]);
    });
    let (_, findings) = check_bundle(&bundle);
    let found = lacking(&findings);
    assert_eq!(found, ["mounts[0].destination", "mounts[1].source", "mounts[2]"], "{findings:#?}");
    let _ = Container::new(bundle).call("create", &[]).failed_with("mounts[0].destination");
}

fn text_that_is_no_config_has_its_line() {
    let bundle = Bundle::new();
    fs::write(bundle.path().join("config.json"), "{\n  \"root\": {\n").unwrap();
    let (ok, findings) = check_bundle(&bundle);
    assert!(!ok && findings.len() == 1, "{findings:#?}");
    assert_eq!((&findings[0]["what"], &findings[0]["line"]), (&json!("config.json"), &json!(3)));
}

fn a_bundle_that_is_not_there_lacks() {
    for missing in ["/nowhere/at/all", "/proc"] {
        let (ok, findings) = report(&check(&["-f", "json", missing]));
        assert!(!ok && lacking(&findings) == ["config.json"], "{findings:#?}");
    }
    assert!(check(&["--bundle", "/nowhere"]).stdout.contains("bundle /nowhere: no such file"));
    let _ = check(&["--format", "xml"]).failed_with("neither text nor json");
    let _ = check(&["a", "b"]).failed_with("requires a maximum of 1 argument");
}

fn programs_are_found_as_in_the_container() {
    let bundle = Bundle::new();
    let rootfs = bundle.rootfs();
    // By links that would lead out of the rootfs, if they were followed on the host.
    symlink("/bin", rootfs.join("programs")).unwrap();
    symlink("../../../../programs/probe", rootfs.join("etc/link")).unwrap();
    let folder = bundle.folder().join("more");
    fs::create_dir(&folder).unwrap();
    fs::copy(rootfs.join("bin/probe"), folder.join("bound")).unwrap();
    let bind = json!({
        "destination": "/opt/more", "type": "bind", "source": folder, "options": ["rbind", "ro"],
    });
    let mut bundle = bundle.mount(bind);
    for program in ["/etc/link", "/programs/probe", "/opt/more/bound", "bound"] {
        bundle = bundle.config(|config| {
            config["process"]["args"] = json!([program, "exit", "0"]);
            config["process"]["env"] = json!(["PATH=/nowhere:/opt/more"]);
        });
        let (ok, findings) = check_bundle(&bundle);
        assert!(ok, "{program}: {findings:#?}");
    }
    let _ = bundle.run().succeeded();
}

fn a_source_may_be_in_an_earlier_mount() {
    let bundle = Bundle::new();
    let from = bundle.rootfs().join("early/folder");
    let folder = bundle.folder().join("source");
    fs::create_dir_all(folder.join("folder")).unwrap();
    let bind = |source: &Path, destination: &str| json!({ "destination": destination, "type": "bind", "source": source, "options": ["bind"] });
    let bundle = bundle.mount(bind(&folder, "/early")).mount(bind(&from, "/late"));
    let (ok, findings) = check_bundle(&bundle);
    assert!(ok, "{findings:#?}");
    let _ = bundle.run().succeeded();
}

fn what_is_in_a_later_mount_cannot_be_told() {
    let tmpfs = json!({ "destination": "/late", "type": "tmpfs", "source": "tmpfs" });
    let bundle = Bundle::new().mount(tmpfs).args(&["/late/program"]);
    let (ok, findings) = check_bundle(&bundle);
    let found = finding(&findings, "process.args[0]");
    assert!(ok && found["status"] == "warning", "{findings:#?}");
    assert!(found["detail"].as_str().unwrap().contains("(/late)"), "{found}");
}

fn systemds_path_without_systemd_is_a_warning() {
    cgroup::needs_cgroupfs();
    let path = |config: &mut Value| config["linux"]["cgroupsPath"] = json!("system.slice:a:b");
    let (ok, findings) = check_bundle(&Bundle::new().config(path));
    assert!(ok, "{findings:#?}");
    let found = finding(&findings, "linux.cgroupsPath");
    assert_eq!(found["status"], "warning");
    assert!(found["remedy"].as_str().unwrap().contains("--systemd-cgroup"), "{found}");
}

fn hosts_namespaces_are_told_apart() {
    let bundle = Bundle::new().config(|config| {
        remove_others(config, "");
        let host = json!({ "type": "uts", "path": "/proc/self/ns/uts" });
        push(&mut config["linux"]["namespaces"], host);
    });
    let (ok, findings) = check_bundle(&bundle);
    assert!(!ok && lacking(&findings).len() == 1, "{findings:#?}");
    let text = findings.iter().find(|one| one["status"] == "lacks").unwrap().to_string();
    assert!(text.contains("the host's own"), "{text} {}", own_namespace("uts"));
    bundle.refused("the host's own");
}

/// The command of a user who has no ids but one.
fn by_user(bundle: &Bundle, args: &[&str]) -> Output {
    let mut command = Command::new(rootless::rind(bundle));
    command.arg("--root").arg(bundle.state_root()).args(["check", "-f", "json"]).args(args);
    command.uid(rootless::USER).gid(rootless::USER);
    command::run(command)
}

fn a_user_without_subordinate_ids_is_told_what_to_do() {
    let bundle = rootless::bundle();
    let (ok, findings) = report(&by_user(&bundle, &[]));
    assert!(ok, "such a user makes containers here: {findings:#?}");
    for (file, option) in [("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")] {
        let found = finding(&findings, file);
        assert_eq!(found["status"], "warning");
        assert!(found["remedy"].as_str().unwrap().contains(option), "{found}");
        assert!(found["consequence"].as_str().unwrap().contains("only one id"), "{found}");
    }
    let (ok, findings) = report(&by_user(&bundle, &[bundle.path().to_str().unwrap()]));
    assert!(ok, "{findings:#?}");
}

fn a_user_needs_a_user_namespace() {
    let bundle = rootless::bundle().config(|config| {
        let list = config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|one| one["type"] != "user");
        let linux = config["linux"].as_object_mut().unwrap();
        linux.remove("uidMappings");
        linux.remove("gidMappings");
    });
    let (ok, findings) = report(&by_user(&bundle, &[bundle.path().to_str().unwrap()]));
    assert!(!ok && lacking(&findings).contains(&"linux.namespaces"), "{findings:#?}");
}

fn ids_of_others_cannot_be_mapped() {
    let bundle = rootless::bundle().config(|config| {
        push(
            &mut config["linux"]["uidMappings"],
            json!({ "containerID": 1, "hostID": 0, "size": 1 }),
        );
    });
    let (ok, findings) = report(&by_user(&bundle, &[bundle.path().to_str().unwrap()]));
    assert!(!ok && lacking(&findings).contains(&"linux.uidMappings[1]"), "{findings:#?}");
}

fn a_cgroup_that_cannot_be_made_is_told_of() {
    let path = |config: &mut Value| config["linux"]["cgroupsPath"] = json!("/rind-check-not-ours");
    let bundle = rootless::bundle().config(path);
    let (ok, findings) = report(&by_user(&bundle, &[bundle.path().to_str().unwrap()]));
    assert!(!ok && lacking(&findings) == ["linux.cgroupsPath"], "{findings:#?}");
}

fn calls_that_are_forbidden_are_named() {
    let failing = needs_failing();
    let bundle = Bundle::new();
    let log = bundle.folder().join("calls");
    let mut wrong = Vec::new();
    for call in [
        "openat2",
        "clone3",
        "close_range",
        "faccessat2",
        "statx",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsmount",
        "mount_setattr",
        "pidfd_open",
        "unshare",
        "memfd_create",
    ] {
        for errno in ["ENOSYS", "EPERM"] {
            let mut command = Command::new(&failing);
            command.arg(&log).arg(format!("all:{call}:{errno}")).arg(binary::rind());
            command.args(["check", "--format", "json"]);
            let output = command::run(command);
            let Ok(report) = serde_json::from_str::<Value>(&output.stdout) else {
                wrong.push(format!("{call}:{errno}: {output:#?}"));
                continue;
            };
            let findings = report["findings"].as_array().unwrap();
            let found = findings.iter().find(|one| one["what"] == call);
            let remedy = found.map_or("", |one| one["remedy"].as_str().unwrap_or_default());
            if output.code != 1 || !remedy.contains("seccomp profile") {
                wrong.push(format!("{call}:{errno}: {:?} {remedy}", output.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn inside_a_container_it_answers_for_that() {
    let bundle = Bundle::new();
    let copy = bundle.rootfs().join("bin/rind");
    fs::copy(binary::rind(), &copy).unwrap();
    let output = bundle.args(&["/bin/rind", "--root", "/tmp", "check", "-f", "json"]).run();
    let (_, findings) = report(&output);
    let calls = finding(&findings, "system calls")["detail"].as_str().unwrap();
    assert!(calls.contains("openat2"), "{calls}");
    // It has few capabilities, and no new privileges.
    assert!(finding(&findings, "rind itself")["detail"].as_str().unwrap().contains("no_new_privs"));
}

fn text_has_consequence_and_remedy_of_each() {
    let bundle = Bundle::new().args(&["nope"]).config(|config| {
        config["hooks"] = json!({ "prestart": [{ "path": "/no/\u{1b}[31mhook\n  lacks" }] });
    });
    let output = check(&[bundle.path().to_str().unwrap()]);
    let text = &output.stdout;
    assert_eq!(output.code, 1, "{text}");
    assert!(text.contains("\nthis bundle would not run here: 2 things lack"), "{text}");
    let count =
        |word: &str| text.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert_eq!((count("lacks "), count("consequence: "), count("remedy: ")), (2, 2, 2), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[31mhook\\u{a}"), "{text}");
}

/// What the command writes to a terminal.
fn on_terminal(variables: &[(&str, &str)]) -> String {
    let pty = openpty(None, None).unwrap();
    let mut command = Command::new(binary::rind());
    command.arg("check").env("TERM", "xterm").env_remove("NO_COLOR");
    command.envs(variables.iter().copied()).stdout(Stdio::from(pty.slave));
    let mut child = command.spawn().unwrap();
    // The parent's copy of the slave would keep the terminal open.
    drop(command);
    let mut text = Vec::new();
    // A terminal that nobody has open any more answers EIO.
    let _ = File::from(pty.master).read_to_end(&mut text);
    child.wait().unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn colours_are_for_terminals() {
    assert!(on_terminal(&[]).contains("\u{1b}[32mok"));
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let text = on_terminal(&variables);
        assert!(text.contains("ok ") && !text.contains('\u{1b}'), "{text}");
    }
    assert!(on_terminal(&[("NO_COLOR", "")]).contains('\u{1b}'));
}
