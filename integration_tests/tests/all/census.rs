//! What a program starts with, in full, whichever command it is started by: from a caller that has all
//! that can be handed down set to something odd. What the program has of that must be what
//! `ROWS` says, and so does docs/reference.md.

use crate::rootless;
use integration_tests::command;
use integration_tests::console::DescriptorSocket;
use integration_tests::criu::needs_criu;
use integration_tests::host::{needs_program, wait_for};
use integration_tests::test::{Test, in_parallel, skip};
use integration_tests::{Bundle, Container, Value, binary, json, tests};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = tests![
    odd_caller_is_odd,
    programs_start_with_what_the_table_says,
    configured_programs_start_with_what_the_table_says,
    hooks_start_with_what_the_table_says,
    restored_programs_have_what_they_had,
    helpers_start_with_what_the_caller_has,
    newuidmap_starts_with_what_the_caller_has,
    reference_has_the_table,
];

/// Where a program has a property from.
#[derive(Clone, Copy)]
enum Source {
    /// From the caller of the command, as it is.
    Caller,
    /// It is always this.
    Is(&'static str),
    /// The same, in words.
    Means(&'static str, &'static str),
    /// It is another than the caller's.
    Own,
    /// The cgroup's, whatever the caller is bound to.
    Cgroup,
    /// The command's and the config's own: a column says what.
    Given(&'static str),
}

use Source::{Caller, Cgroup, Given, Is, Means, Own};

/// A property, and where it comes from.
struct Row {
    property: &'static str,
    /// Of the container's programs, where the config is silent.
    program: Source,
    /// Of the same where the config is not: by which key, and what [`told`] says there.
    told: Option<(&'static str, &'static str)>,
    /// Of hooks that run on the host.
    host: Source,
    /// Of createContainer hooks.
    create: Source,
    /// Of startContainer hooks.
    start: Source,
}

/// One that is the same for programs and all hooks.
const fn row(property: &'static str, all: Source) -> Row {
    Row { property, program: all, told: None, host: all, create: all, start: all }
}

impl Row {
    const fn told(mut self, key: &'static str, value: &'static str) -> Self {
        self.told = Some((key, value));
        self
    }

    const fn of_hooks(mut self, host: Source, create: Source, start: Source) -> Self {
        self.host = host;
        self.create = create;
        self.start = start;
        self
    }
}

/// A namespace: the container's own.
const fn namespace(property: &'static str) -> Row {
    row(property, Own).of_hooks(Caller, Own, Own)
}

/// Three, as numbers 5, 10 and 29.
const CAPABILITIES: Source = Means("0000000020000420", "`process.capabilities`");
const NONE: Source = Means(NOTHING, "none");
const KILL: Source = Means("9", "SIGKILL");
const NO_TERMINAL: Source = Means("0", "none");
const NOTHING: &str = "0000000000000000";

const ROWS: &[Row] = &[
    row("arguments", Given("`process.args`")).of_hooks(
        Given("its `args`"),
        Given("its `args`"),
        Given("its `args`"),
    ),
    row("environment", Given("`process.env`")).of_hooks(
        Given("its `env`"),
        Given("its `env`"),
        Given("its `env`"),
    ),
    row("working directory", Is("/")).told("process.cwd", "/tmp").of_hooks(
        Given("the bundle"),
        Given("the root, as the host has it"),
        Is("/"),
    ),
    row("root", Is("/")),
    row("executable", Given("`process.args`")).of_hooks(
        Given("its `path`"),
        Given("its `path`"),
        Given("its `path`"),
    ),
    row("command name", Means("probe", "the file's name")),
    row("mapped files", Is("")),
    row("descriptors", Given("0, 1, 2, and `--preserve-fds`")).of_hooks(
        Given("the state, two pipes"),
        Given("the state, two pipes"),
        Given("the state, two pipes"),
    ),
    row("user ids", Means("0 0 0 0", "root")).told("process.user.uid", "1000 1000 1000 1000"),
    row("group ids", Means("0 0 0 0", "root")).told("process.user.gid", "1001 1001 1001 1001"),
    row("groups", Is("")).told("process.user.additionalGids", "5 7").of_hooks(
        Caller,
        Caller,
        Is(""),
    ),
    row("umask", Caller).told("process.user.umask", "0027"),
    row("bounding capabilities", CAPABILITIES).of_hooks(Caller, Caller, CAPABILITIES),
    row("permitted capabilities", CAPABILITIES).told("process.user.uid", NOTHING).of_hooks(
        Caller,
        Caller,
        CAPABILITIES,
    ),
    row("effective capabilities", CAPABILITIES).told("process.user.uid", NOTHING).of_hooks(
        Caller,
        Caller,
        CAPABILITIES,
    ),
    row("inheritable capabilities", NONE).of_hooks(Caller, Caller, NONE),
    row("ambient capabilities", NONE).of_hooks(Caller, Caller, NONE),
    row("secure bits", Caller),
    row("kept capabilities", Means("0", "no")),
    row("no_new_privs", Caller).told("process.noNewPrivileges", "1"),
    row("seccomp mode", Caller).told("linux.seccomp", "2"),
    row("filters", Caller).told("linux.seccomp", "1"),
    row("dumpable", Means("Dumpable", "yes")),
    row("possessed keys", Is("")).of_hooks(Caller, Is(""), Is("")),
    row("blocked signals", NONE),
    row("ignored signals", NONE),
    row("signals pending for the process", NONE),
    row("signals pending for the thread", NONE),
    row("signal at the parent's end", Means("0", "none")).of_hooks(KILL, KILL, KILL),
    row("signal at its end", Means("17", "SIGCHLD")),
    row("alarm", Means("0", "none")),
    row("session", Means("its own", "its own")),
    row("process group", Means("its own", "its own")),
    row("controlling terminal", Means("0", "that of `process.terminal`")).of_hooks(
        NO_TERMINAL,
        NO_TERMINAL,
        NO_TERMINAL,
    ),
    row("child subreaper", Means("0", "no")),
    row("threads", Is("1")),
    row("tracer", Means("0", "no")),
    row("core being dumped", Means("0", "no")),
    row("processors", Cgroup).of_hooks(Caller, Cgroup, Cgroup),
    row("memory nodes", Caller),
    row("memory policy", Caller).told("linux.memoryPolicy", "default"),
    row("nice value", Caller).told("process.scheduler", "5"),
    row("scheduling policy", Caller).told("process.scheduler", "0"),
    row("real-time priority", Is("0")),
    row("I/O priority", Caller).told("process.ioPriority", "best-effort: prio 2"),
    row("I/O flusher", Caller),
    row("timer slack", Caller),
    row("huge pages", Caller),
    row("personality", Caller).told("linux.personality", "00000000"),
    row("store bypass speculation", Caller),
    row("indirect branch speculation", Caller),
    row("tagged addresses", Caller),
    row("core dump filter", Caller),
    row("OOM score adjustment", Caller).told("process.oomScoreAdj", "321"),
    row("audit session", Caller),
    row("audit user", Caller),
    row("limit: address space", Caller).told("process.rlimits", "1099511627776 1099511627777"),
    row("limit: core file size", Caller).told("process.rlimits", "1 2"),
    row("limit: cpu time", Caller).told("process.rlimits", "1000 2000"),
    row("limit: data size", Caller).told("process.rlimits", "1099511627776 1099511627777"),
    row("limit: file locks", Caller).told("process.rlimits", "10 20"),
    row("limit: file size", Caller).told("process.rlimits", "1073741824 1073741825"),
    row("limit: locked memory", Caller).told("process.rlimits", "4096 8192"),
    row("limit: msgqueue size", Caller).told("process.rlimits", "1000 2000"),
    row("limit: nice priority", Caller).told("process.rlimits", "0 0"),
    row("limit: open files", Caller).told("process.rlimits", "100 200"),
    row("limit: pending signals", Caller).told("process.rlimits", "50 60"),
    row("limit: processes", Caller).told("process.rlimits", "500 600"),
    row("limit: realtime priority", Caller).told("process.rlimits", "0 0"),
    row("limit: realtime timeout", Caller).told("process.rlimits", "1000000 1000001"),
    row("limit: resident set", Caller).told("process.rlimits", "1073741824 1073741825"),
    row("limit: stack size", Caller).told("process.rlimits", "4194304 4194305"),
    row("cgroup namespace", Own).of_hooks(Caller, Own, Own),
    namespace("ipc namespace"),
    namespace("mnt namespace"),
    namespace("net namespace"),
    namespace("pid namespace"),
    namespace("uts namespace"),
    row("time namespace", Caller),
    row("user namespace", Caller),
];

/// What a column says of a property that must not be the caller's.
const ANOTHER: &str = "another than the caller's";

/// Whose rows of the table a column is held against.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Silent,
    Told,
    Host,
    Create,
    Start,
}

impl Kind {
    fn of(self, row: &Row) -> Source {
        match (self, row.told) {
            (Self::Told, Some((_, value))) => Is(value),
            (Self::Silent | Self::Told, _) => row.program,
            (Self::Host, _) => row.host,
            (Self::Create, _) => row.create,
            (Self::Start, _) => row.start,
        }
    }
}

/// What one program had.
struct Column {
    name: &'static str,
    kind: Kind,
    census: Value,
    /// What is this column's own.
    but: Vec<(&'static str, String)>,
}

/// What the odd caller has itself, and a command of it. Without python3 there is none.
fn odd(command: &Command) -> Command {
    let mut python = Command::new(needs_program("python3"));
    python.args(["-c", include_str!("../../fixtures/caller.py")]);
    python.arg(command.get_program()).args(command.get_args());
    python
}

fn callers_own() -> Value {
    census_of(odd)
}

/// What a caller has who has set nothing.
fn ordinary() -> Value {
    census_of(|probe| {
        let mut same = Command::new(probe.get_program());
        same.args(probe.get_args());
        same
    })
}

fn census_of(caller: fn(&Command) -> Command) -> Value {
    let bundle = Bundle::new();
    let file = bundle.folder().join("caller");
    let mut probe = Command::new(binary::probe());
    probe.arg("census").arg(&file);
    let _ = command::run(caller(&probe)).succeeded();
    census(&file)
}

#[track_caller]
fn census(file: &Path) -> Value {
    wait_for(&format!("a census in {}", file.display()), || file.exists());
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Holds every column against the table, and says of each difference where it is.
#[track_caller]
fn compare(columns: &[Column], callers: &Value) {
    let unbound = unbound_processors();
    let mut wrong = Vec::new();
    for Column { name, kind, census, but } in columns {
        let known: BTreeSet<&str> = ROWS.iter().map(|row| row.property).collect();
        let more = census.as_object().unwrap().keys().filter(|key| !known.contains(key.as_str()));
        wrong.extend(more.map(|key| format!("{name}: {key} is in no row")));
        for row in ROWS {
            let (found, callers) = (&census[row.property], &callers[row.property]);
            if found.is_null() && callers.is_null() {
                continue;
            }
            let own = but.iter().find(|(property, _)| *property == row.property);
            let own = own.map(|(_, value)| value.as_str());
            let expected = match (own, kind.of(row)) {
                (Some(ANOTHER), _) | (None, Own) if found != callers => continue,
                (None, Own) => json!(ANOTHER),
                (Some(value), _) | (None, Is(value) | Means(value, _) | Given(value)) => {
                    json!(value)
                }
                (None, Caller) => callers.clone(),
                (None, Cgroup) => json!(unbound),
            };
            if *found != expected {
                wrong.push(format!("{name}: {}: {found}, not {expected}", row.property));
            }
        }
    }
    assert!(wrong.is_empty(), "not as in the table:\n{}", wrong.join("\n"));
}

/// The processors of who is bound to none.
fn unbound_processors() -> String {
    let status = Bundle::new().probe(&["report"]);
    status["processors"].as_str().unwrap().to_owned()
}

/// Where the program writes to, in its root.
const CENSUS: &str = "/tmp/census";

fn silent() -> Bundle {
    let bundle = Bundle::new().writable().with_shell().probing(&["census", CENSUS]);
    bundle.namespace("cgroup", None).config(|config| {
        config["process"]["env"] = json!(["B=2", "HOME=/h", "A=1"]);
        config["process"]["noNewPrivileges"] = json!(false);
        config["process"].as_object_mut().unwrap().remove("rlimits");
        config["linux"]["maskedPaths"] = json!([]);
    })
}

/// One that says all that there is to say.
fn told() -> Bundle {
    let limits = ROWS.iter().filter(|row| row.told.is_some_and(|it| it.0 == "process.rlimits"));
    let limits: Vec<Value> = limits.map(|row| limit(row.property, row.told.unwrap().1)).collect();
    silent().config(|config| {
        config["process"]["cwd"] = json!("/tmp");
        config["process"]["user"] =
            json!({ "uid": 1000, "gid": 1001, "additionalGids": [7, 5], "umask": 0o027 });
        config["process"]["noNewPrivileges"] = json!(true);
        config["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 5 });
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 2 });
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["rlimits"] = json!(limits);
        config["linux"]["personality"] = json!({ "domain": "LINUX" });
        config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_DEFAULT" });
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["reboot"], "action": "SCMP_ACT_ERRNO" }],
        });
    })
}

/// A limit by its name in /proc/PID/limits.
fn limit(property: &str, value: &str) -> Value {
    let names = [
        ("address space", "AS"),
        ("core file size", "CORE"),
        ("cpu time", "CPU"),
        ("data size", "DATA"),
        ("file locks", "LOCKS"),
        ("file size", "FSIZE"),
        ("locked memory", "MEMLOCK"),
        ("msgqueue size", "MSGQUEUE"),
        ("nice priority", "NICE"),
        ("open files", "NOFILE"),
        ("pending signals", "SIGPENDING"),
        ("processes", "NPROC"),
        ("realtime priority", "RTPRIO"),
        ("realtime timeout", "RTTIME"),
        ("resident set", "RSS"),
        ("stack size", "STACK"),
    ];
    let name = names.iter().find(|(name, _)| property.ends_with(name)).unwrap().1;
    let (soft, hard) = value.split_once(' ').unwrap();
    let [soft, hard] = [soft, hard].map(|text| text.parse::<u64>().unwrap());
    json!({ "type": format!("RLIMIT_{name}"), "soft": soft, "hard": hard })
}

/// What is the same for all programs of a container.
fn programs(descriptors: &str) -> Vec<(&'static str, String)> {
    vec![
        ("arguments", format!("/bin/probe census {CENSUS}")),
        ("environment", "A=1 B=2 HOME=/h".to_owned()),
        ("executable", "/bin/probe".to_owned()),
        ("descriptors", descriptors.to_owned()),
    ]
}

const STDIO: &str =
    "0 /dev/null rw 0, 1 /memfd:stdout (deleted) rw 0, 2 /memfd:stderr (deleted) rw 0";
const TERMINAL: &str = "0 /dev/pts/0 rw 0, 1 /dev/pts/0 rw 0, 2 /dev/pts/0 rw 0";

/// A way to have a program run.
struct Way {
    name: &'static str,
    command: &'static str,
    flags: &'static [&'static str],
    descriptors: String,
    /// What the config has for it.
    edit: fn(Bundle) -> Bundle,
    but: &'static [(&'static str, &'static str)],
}

fn way(name: &'static str, command: &'static str, flags: &'static [&'static str]) -> Way {
    Way { name, command, flags, descriptors: STDIO.to_owned(), edit: |bundle| bundle, but: &[] }
}

fn on_terminal(way: Way) -> Way {
    Way { descriptors: TERMINAL.to_owned(), but: &[("controlling terminal", "34816")], ..way }
}

fn ways() -> Vec<Way> {
    let kept = format!("{STDIO}, 3 / r 0, 4 /etc/passwd r 0");
    vec![
        way("create, start", "create", &[]),
        way("run", "run", &[]),
        way("run --detach", "run", &["--detach"]),
        Way {
            edit: with_terminal,
            ..on_terminal(way("run --detach, with a terminal", "run", &["--detach"]))
        },
        Way { edit: with_terminal, ..on_terminal(way("run, with a terminal", "run", &[])) },
        Way {
            descriptors: kept.clone(),
            ..way("run --preserve-fds", "run", &["--preserve-fds=2"])
        },
        Way {
            but: &[("possessed keys", "census-key census-ring")],
            ..way("run --no-new-keyring", "run", &["--no-new-keyring"])
        },
        way("exec", "exec", &[]),
        way("exec --detach", "exec", &["--detach"]),
        on_terminal(way("exec --detach --tty", "exec", &["--detach", "--tty"])),
        on_terminal(way("exec --tty", "exec", &["--tty"])),
        Way { descriptors: kept, ..way("exec --preserve-fds", "exec", &["--preserve-fds=2"]) },
    ]
}

fn in_user_namespace(name: &'static str, command: &'static str) -> Way {
    let edit = |bundle: Bundle| {
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        bundle.namespace("user", None).config(|config| {
            config["linux"]["uidMappings"] = mapping.clone();
            config["linux"]["gidMappings"] = mapping;
        })
    };
    let but = &[("secure bits", "0x0"), ("user namespace", ANOTHER)];
    Way { edit, but, ..way(name, command, &[]) }
}

fn with_terminal(bundle: Bundle) -> Bundle {
    bundle.config(|config| config["process"]["terminal"] = json!(true))
}

/// Has the odd caller start the program of `bundle` in this way.
fn column(way: &Way, kind: Kind, bundle: Bundle) -> Column {
    let bundle = (way.edit)(bundle);
    let file = bundle.rootfs().join(&CENSUS[1..]);
    let mut flags = way.flags.to_vec();
    let takes_terminal = way.descriptors == TERMINAL && flags.contains(&"--detach");
    let socket =
        takes_terminal.then(|| DescriptorSocket::listen(&bundle.folder().join("terminal")));
    if let Some(socket) = &socket {
        flags.extend(["--console-socket", socket.path()]);
    }
    let container = if way.command == "exec" {
        // Its init has another caller.
        let container = Container::running(bundle);
        let exec = container.exec_command(&flags, &["/bin/probe", "census", CENSUS]);
        let _ = command::run(odd(&exec)).succeeded();
        container
    } else {
        let mut container = Container::new(bundle);
        let command = odd(&container.command_for(way.command, &flags));
        if way.command == "run" && !flags.contains(&"--detach") {
            let _ = command::run(command).succeeded();
        } else {
            container.make_by(command);
        }
        if way.command == "create" {
            container.start();
        }
        container
    };
    let terminal = socket.as_ref().map(DescriptorSocket::receive);
    let census = census(&file);
    drop((terminal, container));
    let mut but = programs(&way.descriptors);
    but.extend(way.but.iter().map(|&(property, value)| (property, value.to_owned())));
    Column { name: way.name, kind, census, but }
}

/// What the odd caller has like any other: the kernel has it, or wants more rights than some machines
/// give their root.
const NOT_ODD: [&str; 12] = [
    "I/O flusher",
    "audit session",
    "audit user",
    "filters",
    "indirect branch speculation",
    "limit: nice priority",
    "limit: realtime priority",
    "memory nodes",
    "no_new_privs",
    "seccomp mode",
    "store bypass speculation",
    "tagged addresses",
];

/// Else all that follows would show nothing.
fn odd_caller_is_odd() {
    let callers = callers_own();
    let ordinary = ordinary();
    for row in ROWS.iter().filter(|row| matches!(row.program, Caller)) {
        let name = row.property;
        let may_be_odd = !NOT_ODD.contains(&name) && !name.ends_with("namespace");
        let is_odd = callers[name] != ordinary[name] || callers[name].is_null();
        assert!(!may_be_odd || is_odd, "{name}: {}, as of anybody", callers[name]);
    }
}

fn programs_start_with_what_the_table_says() {
    let mut ways = ways();
    ways.push(in_user_namespace("run in a user namespace", "run"));
    ways.push(in_user_namespace("exec in a user namespace", "exec"));
    let mut columns = in_parallel(&ways, |way| column(way, Kind::Silent, silent()));
    columns.push(beside_a_sibling());
    columns.push(by_a_file());
    compare(&columns, &callers_own());
}

fn configured_programs_start_with_what_the_table_says() {
    let ways = [way("create", "create", &[]), way("run", "run", &[]), way("exec", "exec", &[])];
    let columns = in_parallel(&ways, |way| column(way, Kind::Told, told()));
    compare(&columns, &callers_own());
}

/// An init in a pid namespace that is there.
fn beside_a_sibling() -> Column {
    let sibling = Container::running(Bundle::new());
    let path = format!("/proc/{}/ns/pid", sibling.pid());
    let joining = silent().namespace("pid", Some(&path));
    column(&way("run in another's pid namespace", "run", &[]), Kind::Silent, joining)
}

/// A process of exec that a file describes, and not the container's config.
fn by_a_file() -> Column {
    let bundle = silent();
    let config = fs::read(bundle.path().join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    let file = bundle.folder().join("process.json");
    fs::write(&file, config["process"].to_string()).unwrap();
    let container = Container::running(bundle);
    let exec = container.command_for("exec", &["--process", file.to_str().unwrap()]);
    let _ = command::run(odd(&exec)).succeeded();
    let census = census(&container.bundle().rootfs().join(&CENSUS[1..]));
    Column { name: "exec --process", kind: Kind::Silent, census, but: programs(STDIO) }
}

const KINDS: [(&str, Kind); 6] = [
    ("prestart", Kind::Host),
    ("createRuntime", Kind::Host),
    ("createContainer", Kind::Create),
    ("startContainer", Kind::Start),
    ("poststart", Kind::Host),
    ("poststop", Kind::Host),
];

fn hooks_start_with_what_the_table_says() {
    let bundle = silent();
    let root = bundle.rootfs();
    let place = |name: &str, kind: Kind| {
        let below = if kind == Kind::Start { Path::new("/") } else { root.as_path() };
        let [program, file] = ["bin/probe", &format!("tmp/{name}")].map(|path| below.join(path));
        [program, file].map(|path| path.to_str().unwrap().to_owned())
    };
    let bundle = bundle.config(|config| {
        for (name, kind) in KINDS {
            let [program, file] = place(name, kind);
            let args = json!(["hook", "census", file]);
            config["hooks"][name] = json!([{ "path": program, "args": args, "env": ["H=1"] }]);
        }
    });
    let mut container = Container::new(bundle);
    container.make_by(odd(&container.command_for("create", &[])));
    for name in ["start", "delete"] {
        if name == "delete" {
            container.wait_stopped();
        }
        let _ = command::run(odd(&container.command_for(name, &[]))).succeeded();
    }
    let columns = KINDS.map(|(name, kind)| {
        let [program, file] = place(name, kind);
        let state = "0 /memfd:hook-state (deleted) rw 0, 1 pipe w 0, 2 pipe w 0";
        let directory = match kind {
            Kind::Host => container.bundle().path(),
            Kind::Create => root.clone(),
            _ => PathBuf::from("/"),
        };
        let but = vec![
            ("arguments", format!("hook census {file}")),
            ("environment", "H=1".to_owned()),
            ("executable", program),
            ("descriptors", state.to_owned()),
            ("working directory", directory.to_str().unwrap().to_owned()),
        ];
        Column { name, kind, census: census(&root.join("tmp").join(name)), but }
    });
    compare(&columns, &callers_own());
}

/// What not every criu restores, beside limits, for which it needs `CAP_SYS_RESOURCE`.
const NOT_CRIUS: [&str; 6] = [
    "memory policy",
    "I/O priority",
    "timer slack",
    "personality",
    "core dump filter",
    "OOM score adjustment",
];

/// A program that was started by an ordinary caller, and restored by the odd one: what it had comes back,
/// and what criu doesn't know of is its own restorer's.
fn restored_programs_have_what_they_had() {
    let criu = needs_criu();
    let container = Container::new(silent().probing(&["census-later", CENSUS, "/tmp/go"]));
    let (id, folder) = (container.id(), container.bundle().folder());
    let [images, output] = ["images", "output"].map(|name| folder.join(name));
    let command = |name: &str, flags: &[&str]| {
        let mut command = container.command(&["--criu", criu.to_str().unwrap(), name]);
        if name != "run" {
            command.arg("--image-path").arg(&images);
        }
        if name != "checkpoint" {
            command.arg("--bundle").arg(container.bundle().path());
        }
        command.args(flags).arg(id);
        command
    };
    let to_file = |mut command: Command| {
        let file = OpenOptions::new().append(true).create(true).open(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let ended = command::spawn_bare(command).wait();
        assert_eq!(ended.code, 0, "{ended:?} {}", fs::read_to_string(&output).unwrap());
    };
    to_file(command("run", &["--detach"]));
    let _ = command::run(command("checkpoint", &[])).succeeded();
    let mut restore = odd(&command("restore", &["--detach"]));
    // criu makes memory executable that it has written.
    restore.env("NEEDS_EXECUTABLE_MEMORY", "1");
    to_file(restore);
    let root = container.bundle().rootfs();
    fs::write(root.join("tmp/go"), "").unwrap();
    let census = census(&root.join(&CENSUS[1..]));
    let said = |property: &str| census[property].as_str().unwrap_or_default().to_owned();
    let files = format!("0 /dev/null rw 0, 1 {0} w 2000, 2 {0} w 2000", output.display());
    let mut but = programs(&files);
    but[0].1 = format!("/bin/probe census-later {CENSUS} /tmp/go");
    // criu restores the clocks in a time namespace.
    but.push(("time namespace", ANOTHER.to_owned()));
    let limits = ROWS.iter().map(|row| row.property).filter(|name| name.starts_with("limit: "));
    but.extend(NOT_CRIUS.into_iter().chain(limits).map(|property| (property, said(property))));
    let column = Column { name: "restore", kind: Kind::Silent, census, but };
    compare(&[column], &ordinary());
}

/// criu and newuidmap, which work for the caller: they have what it has, but for signals and descriptors.
fn helpers_start_with_what_the_caller_has() {
    let container = Container::running(Bundle::new());
    let program = helper(container.bundle(), "criu");
    let mut command = container.command(&["--criu", program.to_str().unwrap(), "checkpoint"]);
    command.arg("--image-path").arg(container.bundle().folder().join("i")).arg(container.id());
    let _ = command::run(odd(&command)).failed_with("criu");
    let talk =
        "0 /dev/null r 0, 1 /dev/null w 0, 2 /memfd:criu-stderr (deleted) rw 0, 6 socket rw 0";
    let callers = callers_own();
    compare(&[of_helper("criu", &program, talk, &callers)], &callers);
}

/// The same of a user's.
fn newuidmap_starts_with_what_the_caller_has() {
    let mappings = json!([
        { "containerID": 0, "hostID": rootless::USER, "size": 1 },
        { "containerID": 1, "hostID": 100_000, "size": 1 },
    ]);
    let bundle = rootless::bundle().config(|config| {
        config["linux"]["uidMappings"] = mappings.clone();
        config["linux"]["gidMappings"] = mappings;
    });
    let program = helper(&bundle, "newuidmap");
    let container = Container::new(bundle);
    let folder = container.bundle().folder();
    let by_user = |command: &Command| {
        let mut command = odd(command);
        command.uid(rootless::USER).gid(rootless::USER).env("PATH", &folder);
        command
    };
    let _ = command::run(by_user(&container.command_for("run", &[]))).failed_with("newuidmap");
    let mut probe = Command::new(container.bundle().rootfs().join("bin/probe"));
    let file = folder.join("caller");
    probe.arg("census").arg(&file);
    let _ = command::run(by_user(&probe)).succeeded();
    let callers = census(&file);
    let pipe = "0 /dev/null r 0, 1 /dev/null w 0, 2 pipe w 0";
    compare(&[of_helper("newuidmap", &program, pipe, &callers)], &callers);
}

/// A program by the name of one that rind runs, which writes down what it has.
fn helper(bundle: &Bundle, name: &str) -> PathBuf {
    let program = bundle.folder().join(name);
    fs::hard_link(bundle.rootfs().join("bin/probe"), &program).unwrap();
    program
}

fn of_helper(name: &'static str, program: &Path, descriptors: &str, callers: &Value) -> Column {
    let census = census(&program.with_extension("census"));
    let theirs =
        ["environment", "group ids", "process group", "session", "user ids", "working directory"];
    let theirs = theirs.map(|property| (property, callers[property].as_str().unwrap().to_owned()));
    let mut but = vec![
        ("arguments", census["arguments"].as_str().unwrap().to_owned()),
        ("command name", name.to_owned()),
        ("descriptors", descriptors.to_owned()),
        ("executable", program.to_str().unwrap().to_owned()),
        ("signal at the parent's end", "0".to_owned()),
    ];
    but.extend(theirs);
    Column { name, kind: Kind::Host, census, but }
}

/// The table in docs/reference.md is made of the one here.
fn reference_has_the_table() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference.md");
    let Ok(document) = fs::read_to_string(document) else { skip("there are no documents here") };
    let lines: Vec<String> = ROWS.iter().map(line).collect();
    let table = lines.join(
        "
",
    );
    assert!(
        document.contains(&table),
        "docs/reference.md should have
{table}"
    );
}

fn line(row: &Row) -> String {
    let told = row.told.map_or("-".to_owned(), |(key, _)| format!("`{key}`"));
    let sources = [row.program, row.host, row.create, row.start].map(|source| match source {
        Caller => "the caller's".to_owned(),
        Own => "its own".to_owned(),
        Cgroup => "the cgroup's".to_owned(),
        Is("") => "none".to_owned(),
        Is(value) => format!("`{value}`"),
        Means(_, words) | Given(words) => words.to_owned(),
    });
    let [program, host, create, start] = sources;
    format!("| {} | {program} | {told} | {host} | {create} | {start} |", row.property)
}
