//! The catalogue of failures, docs/errors.md: each is provoked here, and its message has to be what the
//! page says. With `RIND_ERRORS=FOLDER` the tests write the page's parts anew (`just errors`).
//!
//! A message names the step, the object, the kernel's answer, the cause and a remedy. The page is judged
//! too.

use crate::rootless;
use integration_tests::bundle::push;
use integration_tests::command::{Output, run};
use integration_tests::host::needs_program;
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Value, binary, cgroup, json, tests};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = tests![
    configuration,
    identity,
    image,
    mounts,
    devices,
    hooks,
    namespaces,
    cgroups,
    security,
    rootless_user,
    limits_of_the_caller,
    hosts_lacks,
    commands,
    exec,
    files_and_terminals,
    checkpoints,
    command_line,
];

/// A failure.
struct Failure {
    /// What is wrong, as the page says it.
    what: &'static str,
    /// What the message says of that: words that name the cause.
    cause: &'static str,
    provoke: fn() -> Failed,
}

const fn failure(what: &'static str, cause: &'static str, provoke: fn() -> Failed) -> Failure {
    Failure { what, cause, provoke }
}

/// What came of one, and what is this run's own in it.
struct Failed {
    output: Output,
    own: Vec<(String, &'static str)>,
}

impl Failed {
    /// This machine can't provoke it.
    fn skipped() -> Self {
        let [command, stdout, stderr] = [const { String::new() }; 3];
        Self { output: Output { command, code: 0, stdout, stderr }, own: Vec::new() }
    }

    fn is_skipped(&self) -> bool {
        self.output.command.is_empty()
    }
}

/// The name of a bundle's parts on the page.
fn own(bundle: &Bundle) -> Vec<(String, &'static str)> {
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    vec![
        (path(bundle.path()), "BUNDLE"),
        (path(bundle.state_root()), "ROOT"),
        (path(bundle.folder()), "FOLDER"),
        (bundle.id().to_owned(), "ID"),
    ]
}

/// `name FLAGS ID ARGS` of a container, with messages in JSON.
fn call(container: &Container, name: &str, flags: &[&str], args: &[&str]) -> Failed {
    let mut command = container.command_for(name, flags);
    command.args(args);
    Failed { output: run(command), own: own(container.bundle()) }
}

fn container(bundle: Bundle) -> Container {
    let flags = cgroup::manager_flags();
    let flags = flags.iter().map(String::as_str).chain(["--log-format", "json"]);
    Container::new(bundle).with_flags(&flags.collect::<Vec<_>>())
}

/// A `create` that fails, and leaves nothing.
fn created(bundle: Bundle) -> Failed {
    let container = container(bundle);
    let failed = call(&container, "create", &[], &[]);
    if failed.output.code != 0 {
        container.assert_no_trace();
    }
    failed
}

/// A `run` that fails, and leaves nothing.
fn ran(bundle: Bundle) -> Failed {
    let container = container(bundle);
    let failed = call(&container, "run", &[], &[]);
    if failed.output.code != 0 {
        container.assert_no_trace();
    }
    failed
}

/// A bundle with `value` at the JSON pointer `at`.
fn with(at: &str, value: Value) -> Bundle {
    set(Bundle::new(), at, value)
}

fn set(bundle: Bundle, at: &str, value: Value) -> Bundle {
    bundle.config(|config| {
        let (parent, name) = at.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value;
    })
}

fn without(at: &str) -> Bundle {
    Bundle::new().config(|config| {
        let (parent, name) = at.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    })
}

/// A bundle with this text as its config.json.
fn with_text(text: &str) -> Bundle {
    let bundle = Bundle::new();
    fs::write(bundle.path().join("config.json"), text).unwrap();
    bundle
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn configuration() {
    check(
        1,
        "Configuration",
        &[
            failure("there is no config.json", "config.json: no such file", || {
                let bundle = Bundle::new();
                fs::remove_file(bundle.path().join("config.json")).unwrap();
                created(bundle)
            }),
            failure("the bundle is missing", "no such file or directory", || {
                let container = container(Bundle::new());
                let mut command = container.command(&["create", "--bundle", "/no/bundle"]);
                command.arg(container.id());
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("config.json is empty", "EOF", || created(with_text(""))),
            failure("config.json is no JSON", "expected value", || {
                created(with_text("{\"ociVersion\": }"))
            }),
            failure("a text is where a list has to be", "invalid type", || {
                created(with("/process/args", json!("sh")))
            }),
            failure("ociVersion is missing", "ociVersion", || created(without("/ociVersion"))),
            failure("ociVersion is another", "2.0.0", || {
                created(with("/ociVersion", json!("2.0.0")))
            }),
            failure("there is no process to run", "process", || ran(without("/process"))),
            failure("process.args is empty", "process.args", || {
                created(with("/process/args", json!([])))
            }),
            failure("process.cwd is relative", "absolute", || {
                created(with("/process/cwd", json!("tmp")))
            }),
            failure("process.cwd is missing", "cwd", || created(without("/process/cwd"))),
            failure("an entry of process.env has no `=`", "no `=`", || {
                created(with("/process/env", json!(["PATH=/bin", "HOME"])))
            }),
            failure("an argument has a NUL byte", "NUL", || {
                created(with("/process/args", json!(["/bin/probe", "a\0b"])))
            }),
            failure("root is missing", "root", || created(without("/root"))),
            failure("a limit has an unknown name", "RLIMIT_FILES", || {
                created(with(
                    "/process/rlimits",
                    json!([{ "type": "RLIMIT_FILES", "soft": 1, "hard": 1 }]),
                ))
            }),
            failure("a limit is there twice", "RLIMIT_CORE", || {
                let one = json!({ "type": "RLIMIT_CORE", "soft": 1, "hard": 1 });
                created(with("/process/rlimits", json!([one, one])))
            }),
            failure("a soft limit is above the hard one", "soft", || {
                created(with(
                    "/process/rlimits",
                    json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }]),
                ))
            }),
            failure("a hook's path is relative", "absolute", || {
                created(with("/hooks", json!({ "prestart": [{ "path": "hook" }] })))
            }),
            failure("a hook's timeout is 0", "timeout", || {
                created(with(
                    "/hooks",
                    json!({ "prestart": [{ "path": "/bin/true", "timeout": 0 }] }),
                ))
            }),
            failure("linux.rootfsPropagation is unknown", "none", || {
                created(with("/linux/rootfsPropagation", json!("none")))
            }),
            failure("linux.personality is unknown", "LINUX16", || {
                created(with("/linux/personality", json!({ "domain": "LINUX16" })))
            }),
            failure("a host name without a namespace for it", "uts", || {
                created(Bundle::new().without_namespace("uts"))
            }),
            failure("the host's sysctl", "kernel.panic", || {
                created(with("/linux/sysctl", json!({ "kernel.panic": "1" })))
            }),
            failure("a network's sysctl in the host's network", "network", || {
                let bundle = Bundle::new().without_namespace("network");
                created(set(bundle, "/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" })))
            }),
            failure("a sysctl that the kernel doesn't have", "no such file", || {
                created(with("/linux/sysctl", json!({ "net.ipv4.no_such": "1" })))
            }),
            failure("a sysctl's value is out of range", "invalid argument", || {
                created(with("/linux/sysctl", json!({ "kernel.shmmni": "-5" })))
            }),
            failure("time offsets without a time namespace", "time", || {
                created(with("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } })))
            }),
            failure(
                "scheduler: SCHED_DEADLINE's runtime is above its period",
                "SCHED_DEADLINE",
                || {
                    created(with(
                        "/process/scheduler",
                        json!({
                            "policy": "SCHED_DEADLINE", "runtime": 20_000_000, "deadline": 10_000_000, "period": 10_000_000,
                        }),
                    ))
                },
            ),
            failure("scheduler: a priority that the policy has not", "priority", || {
                created(with(
                    "/process/scheduler",
                    json!({ "policy": "SCHED_FIFO", "priority": 0 }),
                ))
            }),
            failure("I/O priority: out of range", "priority", || {
                created(with(
                    "/process/ioPriority",
                    json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }),
                ))
            }),
            failure("a NUMA node that the host lacks", "node", || {
                created(with("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND", "nodes": "99" })))
            }),
            failure("oomScoreAdj is out of range", "oom", || {
                created(with("/process/oomScoreAdj", json!(2000)))
            }),
        ],
    );
}

fn identity() {
    check(
        2,
        "User, groups and ids",
        &[
            failure("a user id that is not mapped", "not mapped", || {
                created(mapped(1000, 10, 500))
            }),
            failure("a group id that is not mapped", "not mapped", || {
                let bundle = mapped(1000, 10, 0);
                created(set(bundle, "/process/user/gid", json!(500)))
            }),
            failure("an additional group that is not mapped", "not mapped", || {
                let bundle = mapped(1000, 10, 0);
                created(set(bundle, "/process/user/additionalGids", json!([500])))
            }),
            failure("the id -1", "4294967295", || {
                created(with("/process/user/uid", json!(4_294_967_295_u32)))
            }),
            failure("mappings without a user namespace", "user", || {
                created(with(
                    "/linux/uidMappings",
                    json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]),
                ))
            }),
            failure("a user namespace without mappings", "uidMappings", || {
                created(Bundle::new().namespace("user", None))
            }),
            failure("mappings overlap", "overlap", || {
                let one = json!({ "containerID": 0, "hostID": 1000, "size": 10 });
                let two = json!({ "containerID": 5, "hostID": 3000, "size": 10 });
                created(set(mapped(1000, 10, 0), "/linux/uidMappings", json!([one, two])))
            }),
            failure("a mapping's size is 0", "size", || {
                let one = json!([{ "containerID": 0, "hostID": 1000, "size": 0 }]);
                created(set(mapped(1000, 10, 0), "/linux/uidMappings", one))
            }),
        ],
    );
}

/// A bundle in a user namespace with so many ids from `host` on, whose process is `uid`.
fn mapped(host: u32, size: u32, uid: u32) -> Bundle {
    let mappings = json!([{ "containerID": 0, "hostID": host, "size": size }]);
    Bundle::new().namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mappings.clone();
        config["linux"]["gidMappings"] = mappings;
        config["process"]["user"]["uid"] = json!(uid);
    })
}

/// A bundle that runs /bin/app, an executable file with this content.
fn app(content: impl AsRef<[u8]>) -> Bundle {
    let bundle = Bundle::new().args(&["/bin/app"]);
    let file = bundle.rootfs().join("bin/app");
    fs::write(&file, content).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    bundle
}

/// What elf(5) calls this machine.
const NATIVE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// The header of an ELF program with one segment, for an interpreter.
fn elf(machine: u16, interpreter: &str) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let path = [interpreter.as_bytes(), b"\0"].concat();
    file.extend([2, 0]);
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [0x40_0000_u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(3_u32.to_le_bytes());
    file.extend(4_u32.to_le_bytes());
    let length = path.len() as u64;
    for word in [120, 120, 120, length, length, 1] {
        file.extend(word.to_le_bytes());
    }
    file.extend(path);
    file
}

fn image() {
    check(
        3,
        "Root and program",
        &[
            failure("root.path is missing on disk", "no such file or directory", || {
                created(with("/root/path", json!("no-root")))
            }),
            failure("root.path is a file", "not a directory", || {
                created(with("/root/path", json!("config.json")))
            }),
            failure("the program is in no directory of PATH", "$PATH", || {
                created(Bundle::new().args(&["app"]))
            }),
            failure("the program is missing", "no such file or directory", || {
                created(Bundle::new().args(&["/bin/app"]))
            }),
            failure(
                "the program needs a loader that the image lacks",
                "/lib64/ld-linux-x86-64.so.2",
                || ran(app(elf(NATIVE, "/lib64/ld-linux-x86-64.so.2"))),
            ),
            failure("a script has the line ends of another system", "CRLF", || {
                ran(app("#!/bin/probe\r\necho\r\n"))
            }),
            failure("a script's interpreter is missing", "/bin/python", || {
                ran(app("#!/bin/python\n"))
            }),
            failure("a script names no interpreter", "#!", || ran(app("echo hello\n"))),
            failure("the program is an empty file", "empty", || ran(app(""))),
            failure("the program is for another machine", "s390x", || {
                ran(app(elf(22, "/lib/ld.so")))
            }),
            failure("the program is cut off", "exec format error", || ran(app(b"\x7fELF\x02\x01"))),
            failure("the program is not executable", "permission denied", || {
                created(Bundle::new().file("bin/app", "x").args(&["/bin/app"]))
            }),
            failure("the program is a directory", "is a directory", || {
                created(Bundle::new().args(&["/etc"]))
            }),
            failure("the program is on a mount without `exec`", "noexec", || {
                let bundle = app("#!/bin/probe\n");
                let source = bundle.rootfs().join("bin");
                ran(bundle.mount(json!({
                    "destination": "/bin", "source": source, "options": ["bind", "noexec"],
                })))
            }),
            failure("the working directory is a file", "not a directory", || {
                created(with("/process/cwd", json!("/etc/passwd")))
            }),
            failure("arguments and environment are too long", "too long", || {
                let long = "x".repeat(200_000);
                ran(Bundle::new().args(&["/bin/probe", &long]))
            }),
        ],
    );
}

/// A bundle with one more mount.
fn mounting(mount: Value) -> Failed {
    created(Bundle::new().mount(mount))
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn mounts() {
    check(
        4,
        "Mounts",
        &[
            failure("the source of a bind mount is missing", "no such file or directory", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "/no/such", "options": ["bind"] }),
                )
            }),
            failure("a directory is mounted on a file", "directory", || {
                mounting(
                    json!({ "destination": "/etc/passwd", "source": "/etc", "options": ["bind"] }),
                )
            }),
            failure("a file is mounted on a directory", "directory", || {
                mounting(
                    json!({ "destination": "/etc", "source": "/etc/passwd", "options": ["bind"] }),
                )
            }),
            failure("the kernel has no such file system", "nofs", || {
                mounting(json!({ "destination": "/mnt", "source": "x", "type": "nofs" }))
            }),
            failure("overlay: a lower directory is missing", "lowerdir", || {
                mounting(json!({ "destination": "/mnt", "source": "overlay", "type": "overlay",
                "options": ["lowerdir=/no/such"] }))
            }),
            failure("overlay: upperdir without workdir", "workdir", || {
                let bundle = Bundle::new();
                let upper = format!("upperdir={}", bundle.rootfs().display());
                created(
                    bundle.mount(
                        json!({ "destination": "/mnt", "source": "overlay", "type": "overlay",
                "options": ["lowerdir=/etc", upper] }),
                    ),
                )
            }),
            failure(
                "overlay: upperdir and workdir are on two file systems",
                "same file system",
                || {
                    let bundle = Bundle::new();
                    let upper = format!("upperdir={}", bundle.rootfs().display());
                    created(bundle.mount(
                        json!({ "destination": "/mnt", "source": "overlay", "type": "overlay",
                "options": ["lowerdir=/etc", upper, "workdir=/dev/shm"] }),
                    ))
                },
            ),
            failure("tmpfs: a size that is no number", "size", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "x", "type": "tmpfs", "options": ["size=much"] }),
                )
            }),
            failure("an option that the file system has not", "nooption", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "x", "type": "tmpfs", "options": ["nooption"] }),
                )
            }),
            failure("an option that a bind mount has not", "uid2=1", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "/etc", "options": ["bind", "size=5", "uid2=1"] }),
                )
            }),
            failure("a mount in the container's /proc", "/proc", || {
                mounting(
                    json!({ "destination": "/proc/sys/net", "source": "/etc", "options": ["bind"] }),
                )
            }),
            failure("/proc is a link in the image", "directory", || {
                let bundle = Bundle::new();
                fs::remove_dir(bundle.rootfs().join("proc")).unwrap();
                symlink("/tmp", bundle.rootfs().join("proc")).unwrap();
                created(bundle)
            }),
            failure("the mount point's parent is a file", "not a directory", || {
                mounting(
                    json!({ "destination": "/etc/passwd/x", "source": "/etc", "options": ["bind"] }),
                )
            }),
            failure("the mount point is a link to itself", "symbolic links", || {
                let bundle = Bundle::new();
                symlink("loop", bundle.rootfs().join("loop")).unwrap();
                created(bundle.mount(
                    json!({ "destination": "/loop", "source": "/etc", "options": ["bind"] }),
                ))
            }),
            failure("ids can't be mapped on this file system", "idmap", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "/proc", "options": ["bind", "idmap"],
                "uidMappings": [{ "containerID": 0, "hostID": 5, "size": 1 }],
                "gidMappings": [{ "containerID": 0, "hostID": 5, "size": 1 }] }),
                )
            }),
            failure("idmap without any mapping", "mappings", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "/etc", "options": ["bind", "idmap"] }),
                )
            }),
            failure("a cgroup mount with an unknown option", "nosuch", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "x", "type": "cgroup", "options": ["nosuch"] }),
                )
            }),
            failure("a disk that is missing", "no such", || {
                mounting(json!({ "destination": "/mnt", "source": "/dev/no-disk", "type": "ext4" }))
            }),
            failure("a source that is no disk", "block device", || {
                mounting(json!({ "destination": "/mnt", "source": "/etc/passwd", "type": "ext4" }))
            }),
            failure("a mount without a type that is no bind mount", "type", || {
                mounting(json!({ "destination": "/mnt", "source": "/etc" }))
            }),
            failure("tmpcopyup on a bind mount", "tmpcopyup", || {
                mounting(
                    json!({ "destination": "/mnt", "source": "/etc", "options": ["bind", "tmpcopyup"] }),
                )
            }),
            failure("a masked path on a link to itself", "symbolic links", || {
                let bundle = with("/linux/maskedPaths", json!(["/loop"]));
                symlink("loop", bundle.rootfs().join("loop")).unwrap();
                created(bundle)
            }),
            failure("a masked path that is relative", "absolute", || {
                created(with("/linux/maskedPaths", json!(["proc/kcore"])))
            }),
        ],
    );
}

fn devices() {
    check(
        5,
        "Devices",
        &[
            failure("a device of an unknown type", "type", || {
                device(json!({ "path": "/dev/x", "type": "z" }))
            }),
            failure("a device without numbers", "major", || {
                device(json!({ "path": "/dev/x", "type": "c" }))
            }),
            failure("a device's path is relative", "absolute", || {
                device(json!({ "path": "x", "type": "c", "major": 1, "minor": 3 }))
            }),
            failure("a directory is where the device has to be", "/etc", || {
                device(json!({ "path": "/etc", "type": "c", "major": 1, "minor": 3 }))
            }),
            failure("another device is there already", "/dev/x", || {
                let one = json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": 3 });
                let two = json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": 5 });
                created(with("/linux/devices", json!([one, two])))
            }),
            failure("a rule for an unknown type", "type", || {
                created(with(
                    "/linux/resources/devices",
                    json!([{ "allow": true, "type": "z", "access": "r" }]),
                ))
            }),
        ],
    );
}

fn device(device: Value) -> Failed {
    created(with("/linux/devices", json!([device])))
}

/// A bundle with a hook of this kind that runs a shell's script.
fn hooked(kind: &str, hook: Value) -> Bundle {
    with("/hooks", json!({ kind: [hook] }))
}

fn shell(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script] })
}

fn hooks() {
    check(
        6,
        "Hooks",
        &[
            failure("a hook is missing", "no such file or directory", || {
                created(hooked("prestart", json!({ "path": "/no/hook" })))
            }),
            failure("a hook is not executable", "permission denied", || {
                created(hooked("createRuntime", json!({ "path": "/etc/passwd" })))
            }),
            failure("a hook's interpreter is missing", "/no/shell", || {
                let bundle = app("#!/no/shell\n");
                let path = bundle.rootfs().join("bin/app");
                created(set(bundle, "/hooks", json!({ "createRuntime": [{ "path": path }] })))
            }),
            failure("a hook fails", "exit status 3", || {
                created(hooked("createRuntime", shell("echo why >&2; exit 3")))
            }),
            failure("a hook is killed", "signal", || {
                created(hooked("createRuntime", shell("kill -9 $$")))
            }),
            failure("a hook takes longer than its timeout", "timeout", || {
                created(hooked(
                    "createRuntime",
                    json!({
                        "path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1,
                    }),
                ))
            }),
            failure("a hook of the container's side fails", "createContainer", || {
                created(hooked("createContainer", shell("exit 4")))
            }),
            failure("a startContainer hook is not in the image", "startContainer", || {
                ran(hooked("startContainer", json!({ "path": "/no/hook" })))
            }),
            failure("a poststart hook fails", "poststart", || {
                ran(hooked("poststart", shell("exit 5")))
            }),
        ],
    );
}

fn namespaces() {
    check(
        7,
        "Namespaces",
        &[
            failure("an unknown kind", "cloud", || created(Bundle::new().namespace("cloud", None))),
            failure("a namespace is there twice", "network", || {
                created(Bundle::new().config(|config| {
                    push(&mut config["linux"]["namespaces"], json!({ "type": "network" }));
                }))
            }),
            failure("the namespace to join is missing", "no such file or directory", || {
                created(
                    Bundle::new()
                        .without_namespace("network")
                        .namespace("network", Some("/run/netns/none")),
                )
            }),
            failure("the namespace is of another kind", "ipc", || {
                created(
                    Bundle::new()
                        .without_namespace("network")
                        .namespace("network", Some("/proc/self/ns/ipc")),
                )
            }),
            failure("the path is no namespace", "namespace", || {
                created(
                    Bundle::new()
                        .without_namespace("network")
                        .namespace("network", Some("/etc/passwd")),
                )
            }),
            failure("the path is relative", "absolute", || {
                created(
                    Bundle::new().without_namespace("network").namespace("network", Some("ns/net")),
                )
            }),
            failure("the process whose namespace it was is gone", "no such", || {
                created(
                    Bundle::new()
                        .without_namespace("ipc")
                        .namespace("ipc", Some("/proc/4194303/ns/ipc")),
                )
            }),
            failure("a network device that the host lacks", "no network device", || {
                created(with("/linux/netDevices", json!({ "nodev0": {} })))
            }),
            failure("a network device without a namespace for it", "network", || {
                let bundle = Bundle::new().without_namespace("network");
                created(set(bundle, "/linux/netDevices", json!({ "lo": {} })))
            }),
        ],
    );
}

fn cgroups() {
    check(
        8,
        "Cgroups",
        &[
            failure("cgroupsPath leads out", "..", || {
                created(with("/linux/cgroupsPath", json!("/a/../../b")))
            }),
            failure("too little memory to start", "memory", || {
                ran(with("/linux/resources/memory", json!({ "limit": 4096 })))
            }),
            failure("less memory with swap than without", "swap", || {
                created(with(
                    "/linux/resources/memory",
                    json!({ "limit": 200_000_000, "swap": 100_000_000 }),
                ))
            }),
            failure("memory limit below 0", "memory", || {
                created(with("/linux/resources/memory", json!({ "limit": -5 })))
            }),
            failure("CPU: a period out of range", "period", || {
                created(with("/linux/resources/cpu", json!({ "period": 5, "quota": 1000 })))
            }),
            failure("CPU: a quota out of range", "quota", || {
                created(with("/linux/resources/cpu", json!({ "period": 100_000, "quota": 5 })))
            }),
            failure("CPUs that the host lacks", "cpus", || {
                created(with("/linux/resources/cpu", json!({ "cpus": "4000" })))
            }),
            failure("a list of CPUs that is none", "cpus", || {
                created(with("/linux/resources/cpu", json!({ "cpus": "a-b" })))
            }),
            failure("memory nodes that the host lacks", "mems", || {
                created(with("/linux/resources/cpu", json!({ "mems": "99" })))
            }),
            failure("I/O: a disk that is none", "throttle", || {
                created(with(
                    "/linux/resources/blockIO",
                    json!({
                        "throttleReadBpsDevice": [{ "major": 444, "minor": 0, "rate": 1000 }],
                    }),
                ))
            }),
            failure("huge pages of a size that the host lacks", "3KB", || {
                created(with(
                    "/linux/resources/hugepageLimits",
                    json!([{ "pageSize": "3KB", "limit": 1 }]),
                ))
            }),
            failure("a file of linux.resources.unified that leads elsewhere", "unified", || {
                created(with("/linux/resources/unified", json!({ "../x": "1" })))
            }),
            failure("a file of linux.resources.unified that isn't there", "unified", || {
                created(with("/linux/resources/unified", json!({ "cgroup.nothing": "1" })))
            }),
            failure("systemd is to make the cgroup, and there is none", "systemd", || {
                if Path::new("/run/systemd/system").exists() {
                    return Failed::skipped();
                }
                let container = Container::new(Bundle::new()).with_flags(&[
                    "--systemd-cgroup",
                    "--log-format",
                    "json",
                ]);
                call(&container, "create", &[], &[])
            }),
            failure("update below what is in use", "memory", || {
                let mut container = container(Bundle::new().probing(&["sleep"]));
                container.create(&[]);
                container.start();
                call(&container, "update", &["--memory", "4096", "--memory-swap", "4096"], &[])
            }),
            failure("update of a value that is no number", "memory", || {
                let mut container = container(Bundle::new());
                container.create(&[]);
                call(&container, "update", &["--memory", "much"], &[])
            }),
            failure("the pids limit is reached", "pids", || {
                let mut container = container(Bundle::new().probing(&["sleep"]));
                container.create(&[]);
                container.start();
                let _ = container.call("update", &["--pids-limit", "1"]).succeeded();
                call(&container, "exec", &[], &["/bin/probe", "exit", "0"])
            }),
            failure("resctrl is not there", "intelRdt", || {
                if Path::new("/sys/fs/resctrl/schemata").exists() {
                    return Failed::skipped();
                }
                created(with("/linux/intelRdt", json!({ "l3CacheSchema": "L3:0=f" })))
            }),
        ],
    );
}

fn security() {
    check(
        9,
        "Security",
        &[
            failure("seccomp: an unknown action", "SCMP_ACT_MAYBE", || {
                created(with("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_MAYBE" })))
            }),
            failure("seccomp: an unknown architecture", "SCMP_ARCH_Z80", || {
                created(with(
                    "/linux/seccomp",
                    json!({
                        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"],
                    }),
                ))
            }),
            failure("seccomp: an unknown flag", "SECCOMP_FILTER_FLAG_X", || {
                created(with(
                    "/linux/seccomp",
                    json!({
                        "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"],
                    }),
                ))
            }),
            failure("seccomp: an argument that no call has", "index", || {
                created(with(
                    "/linux/seccomp",
                    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
                "names": ["read"], "action": "SCMP_ACT_ERRNO",
                "args": [{ "index": 6, "value": 1, "op": "SCMP_CMP_EQ" }] }] }),
                ))
            }),
            failure("seccomp: SCMP_ACT_NOTIFY without a listener", "listenerPath", || {
                created(with(
                    "/linux/seccomp",
                    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
                "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] }),
                ))
            }),
            failure("seccomp: nobody listens", "listener to /no/socket", || {
                created(with(
                    "/linux/seccomp",
                    json!({ "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": "/no/socket", "syscalls": [{
                "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] }),
                ))
            }),
            failure("seccomp: the start itself is forbidden", "SIGSYS", || {
                ran(with("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS" })))
            }),
            failure("seccomp: execve answers an error", "seccomp", || {
                ran(with(
                    "/linux/seccomp",
                    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
                "names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO" }] }),
                ))
            }),
        ],
    );
}

/// The same commands by a user without rights.
fn by_user(bundle: &Bundle, words: &[&str]) -> Failed {
    let mut command = Command::new(rootless::rind(bundle));
    command.arg("--root").arg(bundle.state_root()).args(["--log-format", "json"]).args(words);
    command.arg("--bundle").arg(bundle.path()).arg(bundle.id());
    command.uid(rootless::USER).gid(rootless::USER);
    Failed { output: run(command), own: own(bundle) }
}

fn rootless_user() {
    let _ = needs_program("newuidmap");
    check(
        10,
        "A user other than root",
        &[
            failure("a config for root", "user namespace", || {
                let bundle = rootless::bundle().config(|config| {
                    config.as_object_mut().unwrap().remove("hostname");
                    config["linux"] =
                        json!({ "namespaces": [{ "type": "mount" }, { "type": "pid" }] });
                });
                by_user(&bundle, &["run"])
            }),
            failure("more ids than one, and none in /etc/subuid", "/etc/subuid", || {
                let bundle = rootless::bundle().config(|config| {
                    for key in ["uidMappings", "gidMappings"] {
                        config["linux"][key] = json!([
                            { "containerID": 0, "hostID": rootless::USER, "size": 1 },
                            { "containerID": 1, "hostID": 900_000, "size": 100 },
                        ]);
                    }
                });
                by_user(&bundle, &["run"])
            }),
            failure("another user's id", "must be the user's", || {
                let bundle = rootless::bundle().config(|config| {
                    config["linux"]["uidMappings"][0]["hostID"] = json!(0);
                });
                by_user(&bundle, &["run"])
            }),
            failure("XDG_RUNTIME_DIR is not set", "XDG_RUNTIME_DIR", || {
                if Path::new("/run/rind").exists() {
                    return Failed::skipped();
                }
                let bundle = rootless::bundle();
                let mut command = Command::new(rootless::rind(&bundle));
                command.args(["--log-format", "json", "run", "--bundle"]).arg(bundle.path());
                command.arg(bundle.id()).env_remove("XDG_RUNTIME_DIR");
                command.uid(rootless::USER).gid(rootless::USER);
                Failed { output: run(command), own: own(&bundle) }
            }),
            failure("a cgroupsPath that isn't the user's", "permission denied", || {
                let bundle = rootless::bundle().config(|config| {
                    config["linux"]["cgroupsPath"] = json!("/no-cgroup-of-the-user");
                });
                by_user(&bundle, &["run"])
            }),
            failure("additional groups, which one id can't have", "additionalGids", || {
                let bundle = rootless::bundle().config(|config| {
                    config["process"]["user"]["additionalGids"] = json!([5]);
                });
                by_user(&bundle, &["run"])
            }),
            failure("another user than the one that is mapped", "not mapped", || {
                let bundle =
                    rootless::bundle().config(|config| config["process"]["user"]["uid"] = json!(5));
                by_user(&bundle, &["run"])
            }),
            failure("a negative oomScoreAdj", "oom", || {
                let bundle = rootless::bundle()
                    .config(|config| config["process"]["oomScoreAdj"] = json!(-500));
                by_user(&bundle, &["run"])
            }),
            failure("a limit above the user's own", "RLIMIT", || {
                let bundle = rootless::bundle().config(|config| {
                config["process"]["rlimits"] =
                    json!([{ "type": "RLIMIT_NOFILE", "soft": 99_999_999, "hard": 99_999_999 }]);
            });
                by_user(&bundle, &["run"])
            }),
            failure("the bundle is another's and closed", "permission denied", || {
                let bundle = rootless::bundle();
                let config = bundle.path().join("config.json");
                std::os::unix::fs::chown(&config, Some(0), Some(0)).unwrap();
                fs::set_permissions(config, fs::Permissions::from_mode(0o600)).unwrap();
                by_user(&bundle, &["run"])
            }),
        ],
    );
}

/// `run` below a shell that sets a limit first.
fn limited(limit: &str) -> Failed {
    let container = container(Bundle::new());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{limit}; exec \"$@\""), "-"]);
    let inner = container.command_for("run", &[]);
    command.arg(inner.get_program()).args(inner.get_args());
    let failed = Failed { output: piped(command), own: own(container.bundle()) };
    container.assert_no_trace();
    failed
}

/// Runs `command` with stderr in a pipe, where it can write whatever its limit on files is.
fn piped(mut command: Command) -> Output {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    Output {
        command: format!("{command:?}"),
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn limits_of_the_caller() {
    check(
        11,
        "Limits of the caller",
        &[
            failure("too few open files", "ulimit -n", || limited("ulimit -n 5")),
            failure("no file may have a byte", "ulimit -f", || limited("ulimit -f 0")),
            failure("the output is a full disk", "no space left", || {
                let container = container(Bundle::new());
                let mut command = container.command(&["features"]);
                command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
                let output = command.stderr(Stdio::piped()).output().unwrap();
                let output = Output {
                    command: "features".to_owned(),
                    code: output.status.code().unwrap(),
                    stdout: String::new(),
                    stderr: String::from_utf8(output.stderr).unwrap(),
                };
                Failed { output, own: own(container.bundle()) }
            }),
        ],
    );
}

/// `run` where this system call always answers `errno`.
fn forbidden(call: &str, errno: &str) -> Failed {
    let container = container(Bundle::new());
    let mut command = Command::new(binary::failing());
    let inner = container.command_for("run", &[]);
    command.arg(container.bundle().folder().join("log")).arg(format!("all:{call}:{errno}"));
    command.arg(inner.get_program()).args(inner.get_args());
    let failed = Failed { output: run(command), own: own(container.bundle()) };
    if failed.output.code != 0 {
        container.assert_no_trace();
    }
    failed
}

fn hosts_lacks() {
    if cfg!(not(target_arch = "x86_64")) {
        skip("calls can be forbidden on x86_64 only");
    }
    check(
        12,
        "What the host lacks, or forbids",
        &[
            failure("openat2 is forbidden", "openat2", || forbidden("openat2", "ENOSYS")),
            failure("clone3 is forbidden", "clone3", || forbidden("clone3", "ENOSYS")),
            failure("open_tree is forbidden", "open_tree", || forbidden("open_tree", "ENOSYS")),
            failure("move_mount is forbidden", "move_mount", || forbidden("move_mount", "ENOSYS")),
            failure("fsopen is forbidden", "fsopen", || forbidden("fsopen", "ENOSYS")),
            failure("mount_setattr is forbidden", "mount_setattr", || {
                forbidden("mount_setattr", "ENOSYS")
            }),
            failure("keys are forbidden", "--no-new-keyring", || forbidden("keyctl", "EPERM")),
            failure("keys' quota is used up", "--no-new-keyring", || forbidden("keyctl", "EDQUOT")),
            failure("pivot_root is forbidden", "pivot", || forbidden("pivot_root", "EINVAL")),
            failure("seccomp is forbidden", "seccomp", || {
                let bundle = with(
                    "/linux/seccomp",
                    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }] }),
                );
                let container = container(bundle);
                let mut command = Command::new(binary::failing());
                let inner = container.command_for("run", &[]);
                command.arg(container.bundle().folder().join("log")).arg("all:seccomp:EINVAL");
                command.arg(inner.get_program()).args(inner.get_args());
                Failed { output: run(command), own: own(container.bundle()) }
            }),
        ],
    );
}

fn running(bundle: Bundle) -> Container {
    let mut container = container(bundle.probing(&["sleep"]));
    container.create(&[]);
    container.start();
    container.wait_line("ready");
    container
}

fn stopped() -> Container {
    let mut container = container(Bundle::new());
    container.create(&[]);
    container.start();
    container.wait_stopped();
    container
}

fn fresh() -> Container {
    let mut container = container(Bundle::new());
    container.create(&[]);
    container
}

fn commands() {
    check(
        13,
        "Commands and their containers",
        &[
            failure("state of an unknown container", "does not exist", || {
                call(&container(Bundle::new()), "state", &[], &[])
            }),
            failure("an id with characters that no id has", "id", || {
                let container = container(Bundle::new());
                let mut command = container.command(&["create", "--bundle"]);
                command.arg(container.bundle().path()).arg("a/b");
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("an id that is taken", "exists", || call(&fresh(), "create", &[], &[])),
            failure("start of a container that runs", "running", || {
                call(&running(Bundle::new()), "start", &[], &[])
            }),
            failure("start of a container that has ended", "stopped", || {
                call(&stopped(), "start", &[], &[])
            }),
            failure("kill of a container that has ended", "not running", || {
                call(&stopped(), "kill", &[], &["TERM"])
            }),
            failure("an unknown signal", "SIGNAL", || call(&fresh(), "kill", &[], &["NOSIGNAL"])),
            failure("delete of a container that runs", "not stopped", || {
                call(&running(Bundle::new()), "delete", &[], &[])
            }),
            failure("pause of a container that has ended", "stopped", || {
                call(&stopped(), "pause", &[], &[])
            }),
            failure("pause of a paused container", "paused", || {
                let container = running(Bundle::new());
                let _ = container.call("pause", &[]).succeeded();
                call(&container, "pause", &[], &[])
            }),
            failure("resume of a container that is not paused", "paused", || {
                call(&running(Bundle::new()), "resume", &[], &[])
            }),
            failure("events of a container that has ended", "not running", || {
                call(&stopped(), "events", &["--stats"], &[])
            }),
            failure("the record is damaged", "state.json", || {
                let container = fresh();
                fs::write(container.root().join(container.id()).join("state.json"), "{").unwrap();
                call(&container, "state", &[], &[])
            }),
            failure("--root is a file", "not a directory", || {
                let bundle = Bundle::new();
                let root = bundle.path().join("config.json");
                let mut command = Command::new(binary::rind());
                command.arg("--root").arg(root).args(["--log-format", "json", "list"]);
                Failed { output: run(command), own: own(&bundle) }
            }),
            failure("--root is another user's", "belongs to user 7", || {
                let bundle = Bundle::new();
                std::os::unix::fs::chown(bundle.state_root(), Some(7), Some(7)).unwrap();
                let mut command = Command::new(binary::rind());
                command.arg("--root").arg(bundle.state_root()).args([
                    "--log-format",
                    "json",
                    "list",
                ]);
                Failed { output: run(command), own: own(&bundle) }
            }),
            failure("update of a container that has ended", "", || {
                call(&stopped(), "update", &["--pids-limit", "5"], &[])
            }),
            failure("update from a file that is missing", "no such file", || {
                call(&fresh(), "update", &["--resources", "/no/such"], &[])
            }),
            failure("mounts of a container that has ended", "not running", || {
                let container = stopped();
                let command = container.command(&["mounts", "add", container.id(), "/dev/null"]);
                Failed { output: run(command), own: own(container.bundle()) }
            }),
        ],
    );
}

fn exec() {
    fn exec(flags: &[&str], args: &[&str]) -> Failed {
        call(&running(Bundle::new()), "exec", flags, args)
    }
    check(
        14,
        "exec",
        &[
            failure("the container has ended", "not running", || {
                call(&stopped(), "exec", &[], &["true"])
            }),
            failure("the container is paused", "paused", || {
                let container = running(Bundle::new());
                let _ = container.call("pause", &[]).succeeded();
                call(&container, "exec", &[], &["/bin/probe", "exit", "0"])
            }),
            failure("the program is missing", "$PATH", || exec(&[], &["nothing"])),
            failure("the working directory is missing", "no such", || {
                exec(&["--cwd", "/no/dir"], &["/bin/probe"])
            }),
            failure("the working directory is relative", "absolute", || {
                exec(&["--cwd", "tmp"], &["/bin/probe"])
            }),
            failure("process.json is missing", "no such file", || {
                exec(&["--process", "/no/process.json"], &[])
            }),
            failure("process.json is none", "key must be a string", || {
                let container = running(Bundle::new());
                let file = container.bundle().folder().join("process.json");
                fs::write(&file, "{]").unwrap();
                call(&container, "exec", &["--process", file.to_str().unwrap()], &[])
            }),
            failure("a user that is no number", "--user", || {
                exec(&["--user", "nobody"], &["/bin/probe"])
            }),
            failure("--env without `=`", "no `=`", || exec(&["--env", "HOME"], &["/bin/probe"])),
            failure("a descriptor that is not open", "--preserve-fds", || {
                exec(&["--preserve-fds", "50"], &["/bin/probe"])
            }),
            failure("a cgroup below that is missing", "no such", || {
                exec(&["--cgroup", "none"], &["/bin/probe"])
            }),
            failure("a detached terminal without a socket", "console-socket", || {
                exec(&["--tty", "--detach"], &["/bin/probe"])
            }),
            failure("no program", "a minimum of 1", || {
                let container = running(Bundle::new());
                Failed { output: run(container.command(&["exec"])), own: own(container.bundle()) }
            }),
        ],
    );
}

fn files_and_terminals() {
    fn create(bundle: Bundle, flags: &[&str]) -> Failed {
        let container = container(bundle);
        let failed = call(&container, "create", flags, &[]);
        container.assert_no_trace();
        failed
    }
    check(
        15,
        "Terminals, pid files, logs",
        &[
            failure("a terminal without a socket for it", "console-socket", || {
                create(with("/process/terminal", json!(true)), &[])
            }),
            failure("a socket without a terminal", "terminal", || {
                create(Bundle::new(), &["--console-socket", "/no/socket"])
            }),
            failure("the socket is missing", "no such file", || {
                create(with("/process/terminal", json!(true)), &["--console-socket", "/no/socket"])
            }),
            failure("the socket is a file", "socket", || {
                create(with("/process/terminal", json!(true)), &["--console-socket", "/etc/passwd"])
            }),
            failure("the pid file's directory is missing", "no such file", || {
                create(Bundle::new(), &["--pid-file", "/no/dir/pid"])
            }),
            failure("the pid file is a directory", "directory", || {
                create(Bundle::new(), &["--pid-file", "/etc"])
            }),
            failure("the log's directory is missing", "no such file", || {
                let container = container(Bundle::new());
                let mut command = Command::new(binary::rind());
                command.args(["--log-format", "json", "--log", "/no/dir/log", "list"]);
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("who makes cgroups is unknown", "--cgroup-manager", || {
                let container = container(Bundle::new());
                let mut command =
                    container.command(&["--cgroup-manager", "nobody", "create", "--bundle"]);
                command.arg(container.bundle().path()).arg(container.id());
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("a descriptor to keep is not open", "--preserve-fds", || {
                create(Bundle::new(), &["--preserve-fds", "50"])
            }),
        ],
    );
}

fn checkpoints() {
    check(
        16,
        "Checkpoint and restore",
        &[
            failure("criu is not installed", "criu", || {
                let container = running(Bundle::new());
                let mut command =
                    container.command_for("checkpoint", &["--image-path", "/tmp/never"]);
                command.env("PATH", "/no/bin");
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("the container has ended", "stopped", || {
                call(&stopped(), "checkpoint", &[], &[])
            }),
            failure("the image is missing", "no such file", || {
                let container = container(Bundle::new());
                let mut command =
                    container.command(&["restore", "--image-path", "/no/image", "--bundle"]);
                command.arg(container.bundle().path()).arg(container.id());
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("the image is an empty directory", "image", || {
                let container = container(Bundle::new());
                let image = container.bundle().folder().join("image");
                fs::create_dir(&image).unwrap();
                let mut command = container.command(&["restore", "--image-path"]);
                command
                    .arg(image)
                    .arg("--bundle")
                    .arg(container.bundle().path())
                    .arg(container.id());
                Failed { output: run(command), own: own(container.bundle()) }
            }),
            failure("an absolute --parent-path", "--parent-path", || {
                call(&running(Bundle::new()), "checkpoint", &["--parent-path", "/image"], &[])
            }),
            failure("an unknown mode for cgroups", "manage-cgroups-mode", || {
                call(&running(Bundle::new()), "checkpoint", &["--manage-cgroups-mode", "any"], &[])
            }),
        ],
    );
}

fn command_line() {
    fn words(words: &[&str]) -> Failed {
        let bundle = Bundle::new();
        let mut command = Command::new(binary::rind());
        command.args(["--log-format", "json"]).args(words);
        Failed { output: run(command), own: own(&bundle) }
    }
    check(
        17,
        "Command line",
        &[
            failure("an unknown command", "creat", || words(&["creat"])),
            failure("an unknown flag", "--bundel", || words(&["create", "--bundel", "x", "y"])),
            failure("a flag without its value", "--bundle", || words(&["create", "y", "--bundle"])),
            failure("too few words", "start", || words(&["start"])),
            failure("too many words", "start", || words(&["start", "a", "b"])),
            failure("a number that is none", "--preserve-fds", || {
                words(&["create", "--preserve-fds", "x", "y"])
            }),
            failure("an unknown format", "--format", || words(&["list", "--format", "xml"])),
            failure("spec where there is one", "exists", || {
                let bundle = Bundle::new();
                let mut command = Command::new(binary::rind());
                command.args(["--log-format", "json", "spec", "--bundle"]).arg(bundle.path());
                Failed { output: run(command), own: own(&bundle) }
            }),
        ],
    );
}

/// Provokes each of `failures`. What is said has to name the cause and what helps, and to be what the page
/// says.
#[track_caller]
fn check(number: u32, title: &str, failures: &[Failure]) {
    let page = fs::read_to_string(page()).unwrap();
    let folder = std::env::var_os("RIND_ERRORS");
    let mut part = format!("\n## {title}\n");
    let mut wrong = Vec::new();
    for failure in failures {
        let failed = (failure.provoke)();
        if failed.is_skipped() {
            assert!(folder.is_none(), "this machine can't provoke: {}", failure.what);
            continue;
        }
        let message = message(&failed);
        let has = |name: &str| message[name].as_str().is_some_and(|text| !text.is_empty());
        let msg = message["msg"].as_str().unwrap_or_default();
        if !msg.contains(failure.cause) || !has("hint") || msg.contains('\n') {
            wrong.push(format!(
                "{}: names no cause, {:?}, or no remedy: {message}",
                failure.what, failure.cause
            ));
        }
        let block = block(failure.what, &message);
        if !page.contains(&block) && !is_another_machines(&block) && folder.is_none() {
            wrong.push(format!(
                "not on the page, docs/errors.md (`just errors` writes it anew): {block}"
            ));
        }
        part.push_str(&block);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if let Some(folder) = folder {
        fs::write(Path::new(&folder).join(format!("{number:02}")), part).unwrap();
        fs::write(Path::new(&folder).join("00"), INTRODUCTION).unwrap();
    }
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md")
}

/// Whether a part of the page depends on the host's cgroup version, and this one has another than the page.
fn is_another_machines(block: &str) -> bool {
    (block.contains("/sys/fs/cgroup") || block.contains("linux.resources")) && cgroup::is_unified()
}

/// The last error among the messages, without what is this run's own.
fn message(failed: &Failed) -> Value {
    let Failed { output, own } = failed;
    let mut lines = output.stderr.lines().filter(|line| line.contains("\"level\":\"error\""));
    let Some(line) = lines.next_back() else { panic!("should have failed: {output:?}") };
    let mut line = line.to_owned();
    for (own, name) in own {
        line = line.replace(own.as_str(), name);
    }
    // The place depends on how long the name of the container is.
    if let Some((before, rest)) = line.split_once(".json:1:") {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        line = format!("{before}.json:LINE:COLUMN{rest}");
    }
    // What newuidmap says is its own.
    if let Some((before, rest)) = line.split_once("refused (")
        && let Some((_, after)) = rest.split_once(");")
    {
        line = format!("{before}refused (...);{after}");
    }
    serde_json::from_str(&line).unwrap()
}

/// A failure on the page.
fn block(what: &str, message: &Value) -> String {
    let text = |name: &str| message[name].as_str();
    let hint = text("hint").unwrap_or_default();
    let msg = text("msg").unwrap_or_default();
    let msg = msg.strip_suffix(&format!(" ({hint})")).unwrap_or(msg);
    let mut block = format!("\n### {what}\n\n    {msg}\n\n");
    let fields = [("object", text("object")), ("errno", text("errno"))];
    let fields =
        fields.into_iter().filter_map(|(name, value)| Some(format!("{name} `{}`", value?)));
    let fields: Vec<String> = fields.collect();
    if !fields.is_empty() {
        writeln!(block, "{}\n", fields.join(", ")).unwrap();
    }
    writeln!(block, "hint: `{}`", hint.replace('`', "\u{2bc}")).unwrap();
    block
}

/// How the page begins.
const INTRODUCTION: &str = "\
# Errors

<!-- Written by `just errors` from what the tests of integration_tests/tests/all/catalogue.rs provoke. -->

A message names the step, what it was done to, the kernel's answer, the cause as far as rind can find it \
out, and what helps. In a terminal the last comes as a line of its own, `hint:`; in a log it stands in \
brackets at the end. With `--log-format json` the parts are fields as well: `msg` has all, `step`, `object`, \
`errno` and `hint` one each, as far as they are known. The beginning of a message has the words that engines \
know from runc.

Once a call has failed, rind looks why: at a program's loader or interpreter and its machine, at the layers \
of an overlay, at what a source and its destination are, at limits, and at system calls that a seccomp \
profile around rind forbids.

LINE and COLUMN say where in the file; BUNDLE, ROOT, FOLDER and ID stand for the bundle, `--root`, a directory of the test and the container.
";
