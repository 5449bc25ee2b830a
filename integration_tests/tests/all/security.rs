//! What the published holes of container runtimes were, each tried on this one. A test here is never
//! removed: holes have come back with a change that nobody thought was about them.

use integration_tests::bundle::push;
use integration_tests::command::{run, spawn};
use integration_tests::host::{namespace, needs_program, open_fifo, own_namespace, wait_for};
use integration_tests::race;
use integration_tests::test::{Test, in_parallel};
use integration_tests::{Bundle, Container, Value, binary, cgroup, json, tests};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use sys::nix::libc;
use sys::nix::sys::stat::Mode;
use sys::nix::unistd::mkfifo;

pub const TESTS: &[Test] = tests![
    executable_cannot_be_written_from_outside_of_a_created_container,
    executable_cannot_be_written_from_a_container,
    executable_as_the_program_is_harmless,
    executable_as_the_interpreter_is_harmless,
    forged_mark_of_the_seal_is_not_believed,
    executable_cannot_be_written_while_exec_waits,
    executable_as_the_program_of_exec_is_harmless,
    process_of_exec_cannot_be_looked_into_before_its_program,
    working_directory_of_exec_by_a_descriptor_stays_in_the_root,
    working_directory_by_a_descriptor_stays_in_the_root,
    working_directory_by_a_preserved_descriptor_is_refused,
    working_directory_by_an_inherited_descriptor_is_refused,
    working_directory_by_a_link_stays_in_the_root,
    dev_as_a_link_leads_to_nothing_outside,
    entries_of_dev_as_links_lead_to_nothing_outside,
    console_as_a_link_leads_to_nothing_outside,
    console_as_a_link_in_the_root_is_refused,
    multiplexer_of_the_image_is_not_opened,
    masks_with_another_null_device_hide_all_the_same,
    null_device_of_the_host_is_looked_at,
    masked_path_below_a_link_hides_what_is_in_the_root,
    nothing_is_mounted_on_the_attributes_of_processes,
    nothing_is_mounted_on_proc_by_a_link,
    known_files_of_proc_may_be_bound_over,
    proc_and_sys_as_links_are_refused,
    number_that_is_a_name_in_passwd_is_a_number,
    home_is_not_read_from_outside_of_the_root,
    odd_passwd_is_no_hang,
    inheritable_capabilities_are_the_configured_ones,
    inheritable_capabilities_of_the_caller_stay_with_it,
    cgroup_files_have_plain_names,
    cgroup_path_stays_in_the_hierarchy,
    cgroup_view_has_no_release_agent,
    long_values_are_no_other_settings,
    null_device_is_never_given_away,
    devices_and_directories_are_never_given_away,
    hooks_do_not_get_the_environment_of_the_image,
    racing_exchange_in_a_volume_leads_to_nothing_outside,
    racing_exchange_in_the_root_leads_to_nothing_outside,
    racing_exchange_of_masked_paths_hides_nothing_outside,
];

/// A folder of the test's own outside of the root, which no container may change.
struct Outside {
    folder: PathBuf,
    before: Vec<String>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary folder, under this run's name.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Outside {
    /// One beside the bundle's, with these files, each of which says "outside".
    fn of(bundle: &Bundle, files: &[&str]) -> Self {
        let folder = bundle.folder().with_file_name(format!("outside-{}", bundle.id()));
        fs::create_dir(&folder).unwrap();
        for file in files {
            fs::write(folder.join(file), "outside").unwrap();
        }
        let mut outside = Self { folder, before: vec![] };
        outside.before = outside.now();
        outside
    }

    /// The way to it from a folder in the bundle's root, `depth` levels below that.
    fn relative(&self, depth: usize) -> PathBuf {
        Path::new(&"../".repeat(depth + 3)).join(self.folder.file_name().unwrap())
    }

    fn path(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Every entry, with all that may change of it.
    fn now(&self) -> Vec<String> {
        let mut entries: Vec<String> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let found = path.symlink_metadata().unwrap();
                let content = fs::read_to_string(&path).ok().filter(|_| found.is_file());
                let (mode, owner, inode) = (found.mode(), found.uid(), found.ino());
                format!("{} {mode:o} {owner} {inode} {content:?}", path.display())
            })
            .collect();
        entries.sort_unstable();
        entries
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(self.now(), self.before, "{} was changed", self.path());
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!table.contains(self.path()), "mounted on {}:\n{table}", self.path());
    }
}

/// Runs the container: what it printed if that could be done, else nothing is left of it.
#[track_caller]
fn try_run(bundle: Bundle) -> Option<String> {
    let container = Container::new(bundle);
    let output = container.call("run", &[]);
    container.assert_no_trace();
    assert!(output.code == 0 || output.stderr.lines().count() == 1, "{output:#?}");
    (output.code == 0).then_some(output.stdout)
}

/// A bundle in which nothing is mounted on /dev.
fn without_dev(bundle: Bundle) -> Bundle {
    let points = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"];
    points.iter().fold(bundle, |bundle, point| bundle.without_mount(point)).writable()
}

/// Gives the process every capability that this machine has to give.
fn all_capabilities(bundle: Bundle) -> Bundle {
    let mut command = Command::new(binary::rind());
    command.arg("features");
    let features: Value = serde_json::from_str(&run(command).succeeded().stdout).unwrap();
    let names = features["linux"]["capabilities"].as_array().unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    let given = names.iter().enumerate().filter(|(number, _)| mask >> number & 1 == 1);
    let names: Vec<&str> = given.map(|(_, name)| name.as_str().unwrap()).collect();
    bundle.capabilities(&names)
}

/// A copy of the runtime that only one test uses: nothing else keeps it from being written to.
struct OwnRuntime {
    path: PathBuf,
    content: Vec<u8>,
}

impl OwnRuntime {
    fn of(bundle: &Bundle) -> Self {
        let path = bundle.folder().join("rind");
        // By a program: were it open for writing here, a test beside this one that forks meanwhile
        // would keep it busy.
        let mut command = Command::new(needs_program("cp"));
        command.arg(binary::rind()).arg(&path);
        let _ = run(command).succeeded();
        let content = fs::read(&path).unwrap();
        Self { path, content }
    }

    /// `name ID` for the container by this copy.
    fn command_for(&self, container: &Container, name: &str) -> Command {
        let usual = container.command_for(name, &[]);
        let mut command = Command::new(&self.path);
        command.args(usual.get_args());
        command
    }

    /// Waits until nothing executes it any more, which keeps all from writing to it. Whoever looks
    /// at the processes of this machine may hold the memory of one that has gone on to another
    /// program.
    #[track_caller]
    fn wait_idle(&self) {
        wait_for("the runtime to be executed by nothing", || {
            OpenOptions::new().write(true).open(&self.path).is_ok()
        });
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert!(fs::read(&self.path).unwrap() == self.content, "the runtime was overwritten");
    }
}

/// Tries to write to what `held` is a descriptor of.
fn overwrite(held: &File, append: bool) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    let mut file = OpenOptions::new().write(!append).append(append).open(path)?;
    file.write_all(b"#!/bin/sh\n")
}

/// CVE-2019-5736: the runtime's process in a container is a way to the runtime's file on the host.
fn executable_cannot_be_written_from_outside_of_a_created_container() {
    let mut container = Container::new(Bundle::new().probing(&["sleep"]));
    let own = OwnRuntime::of(container.bundle());
    container.make_by(own.command_for(&container, "create"));
    let exe = format!("/proc/{}/exe", container.pid());
    let open_path = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&exe).unwrap();
    let held = [File::open(&exe).unwrap(), open_path];
    let _ = run(own.command_for(&container, "start")).succeeded();
    container.wait_line("ready");
    own.wait_idle();
    for file in &held {
        for append in [false, true] {
            let written = overwrite(file, append);
            assert!(written.is_err(), "could write to the runtime's file");
            let errno = written.unwrap_err().raw_os_error();
            let sealed = matches!(errno, Some(libc::EROFS | libc::EPERM));
            assert!(sealed, "it is chance that keeps it from being written to: {errno:?}");
        }
    }
    own.assert_untouched();
}

/// As above, by a process in the container that has every capability.
fn executable_cannot_be_written_from_a_container() {
    let bundle = all_capabilities(Bundle::new().writable().with_shell());
    mkfifo(&bundle.rootfs().join("tmp/go"), Mode::from_bits_retain(0o666)).unwrap();
    let hold = "{ read line </tmp/go; echo $line; } | \
                /bin/probe steal-executable /proc/1/exe >/tmp/told 2>&1 &
                while ! read line </tmp/told || [ \"$line\" != holding ]; do sleep 0.01; done";
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", hold], "env": ["PATH=/bin"], "timeout": 10 });
    let script =
        "while [ $(/bin/busybox wc -l </tmp/told) != 2 ]; do sleep 0.01; done; cat /tmp/told";
    let bundle = bundle
        .args(&["/bin/sh", "-c", script])
        .config(|config| push(&mut config["hooks"]["startContainer"], hook));
    let mut container = Container::new(bundle);
    let own = OwnRuntime::of(container.bundle());
    let go = container.bundle().rootfs().join("tmp/go");
    container.make_by(own.command_for(&container, "create"));
    let _ = run(own.command_for(&container, "start")).succeeded();
    own.wait_idle();
    open_fifo(&go).write_all(b"go\n").unwrap();
    container.wait_stopped();
    let told = container.said();
    let told = told.lines().find(|line| line.starts_with('{')).unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!(told["open"], "yes", "{told}");
    for way in ["mount_setattr", "mount_setattr_by_path"] {
        assert_ne!(told[way], "yes", "{told}");
    }
    for written in told["write"].as_array().unwrap() {
        assert!(written == "EROFS" || written == "EPERM", "{told}");
    }
    own.assert_untouched();
}

fn executable_as_the_program_is_harmless() {
    for arguments in [
        &["/proc/self/exe"][..],
        &["/proc/self/exe", "features"],
        &["/proc/self/exe", "init"],
        &["/proc/self/exe", "run", "--bundle", "/", "inner"],
        &["/proc/1/exe", "list"],
        &["/proc/thread-self/exe", "list"],
    ] {
        let bundle = all_capabilities(Bundle::new().writable()).args(arguments);
        let container = Container::new(bundle);
        let own = OwnRuntime::of(container.bundle());
        let _ = run(own.command_for(&container, "run"));
        container.assert_no_trace();
        own.assert_untouched();
    }
}

fn executable_as_the_interpreter_is_harmless() {
    for first_line in ["#!/proc/self/exe\n", "#!/proc/self/exe list\n", "#!/proc/1/exe --version\n"]
    {
        let bundle = all_capabilities(Bundle::new().writable()).file("/bin/script", first_line);
        executable(&bundle.rootfs().join("bin/script"));
        let container = Container::new(bundle.args(&["/bin/script"]));
        let own = OwnRuntime::of(container.bundle());
        let _ = run(own.command_for(&container, "run"));
        container.assert_no_trace();
        own.assert_untouched();
    }
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A caller that says it is sealed already is looked at.
fn forged_mark_of_the_seal_is_not_believed() {
    let container = Container::new(Bundle::new().probing(&["sleep"]));
    let own = OwnRuntime::of(container.bundle());
    let mut command = own.command_for(&container, "create");
    command.env("_RIND_SEALED", "1");
    let output = run(command);
    let _ = output.failed_with("sealing the executable");
    container.assert_no_trace();
}

/// Has `exec` leave a process waiting before its program; gives its pid and the fifo.
#[track_caller]
fn waiting(container: &Container, runtime: &Path, user: &str) -> (String, PathBuf) {
    let [fifo, pid] = ["fifo", "exec.pid"].map(|name| container.bundle().folder().join(name));
    let flags = [
        "--detach",
        "--user",
        user,
        "--pid-file",
        pid.to_str().unwrap(),
        "--exec-fifo",
        fifo.to_str().unwrap(),
    ];
    let usual = container.exec_command(&flags, &["/bin/probe", "sleep"]);
    let mut command = Command::new(runtime);
    command.args(usual.get_args());
    let _ = run(command).succeeded();
    (fs::read_to_string(pid).unwrap(), fifo)
}

fn executable_cannot_be_written_while_exec_waits() {
    let container = Container::running(all_capabilities(Bundle::new().writable()));
    let own = OwnRuntime::of(container.bundle());
    let (pid, fifo) = waiting(&container, &own.path, "0");
    let exe = format!("/proc/{pid}/exe");
    let open_path = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&exe).unwrap();
    let held = [File::open(&exe).unwrap(), open_path];
    fs::write(fifo, "0").unwrap();
    own.wait_idle();
    for file in &held {
        for append in [false, true] {
            let errno = overwrite(file, append).unwrap_err().raw_os_error();
            let sealed = matches!(errno, Some(libc::EROFS | libc::EPERM));
            assert!(sealed, "it is chance that keeps it from being written to: {errno:?}");
        }
    }
    own.assert_untouched();
}

fn executable_as_the_program_of_exec_is_harmless() {
    let container = Container::running(all_capabilities(Bundle::new().writable()));
    let own = OwnRuntime::of(container.bundle());
    for program in [
        &["/proc/self/exe"][..],
        &["/proc/self/exe", "list"],
        &["/proc/self/exe", "exec", container.id(), "/bin/probe"],
        &["/proc/thread-self/exe", "features"],
    ] {
        let usual = container.exec_command(&[], program);
        let mut command = Command::new(&own.path);
        command.args(usual.get_args());
        let _ = run(command);
        own.assert_untouched();
    }
}

/// CVE-2016-9962: what enters a container is a way out to one who can trace it on its way in.
fn process_of_exec_cannot_be_looked_into_before_its_program() {
    let user = json!({ "uid": 1000, "gid": 1000 });
    let bundle = Bundle::new().config(|config| config["process"]["user"] = user);
    let container = Container::running(bundle);
    let (pid, _) = waiting(&container, binary::rind(), "1000");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    let inside = ids.split_whitespace().last().unwrap();
    assert!(status.contains("\nUid:\t1000\t1000\t1000\t1000\n"), "{status}");
    // The kernel gives the files of one that must not be looked into to root.
    assert_eq!(fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0);
    let files = ["environ", "exe", "fd", "mem", "root"];
    for (of, readable) in [("1", true), (inside, false)] {
        let paths = files.map(|file| format!("/proc/{of}/{file}"));
        let mut program = vec!["/bin/probe", "stat"];
        program.extend(paths.iter().map(String::as_str));
        let seen = container.exec(&[], &program).succeeded().json();
        for one in seen.as_array().unwrap() {
            // A link that can't be followed says that it can't be read.
            let is_open = one["readable"] == "yes" || one["link"].is_string();
            assert_eq!(is_open, readable, "{one}");
        }
    }
}

/// CVE-2024-21626, as an engine's user tries it in a container that runs.
fn working_directory_of_exec_by_a_descriptor_stays_in_the_root() {
    let container = Container::running(Bundle::new());
    for number in 3..20 {
        for form in ["/proc/self/fd/N", "/proc/self/fd/N/../../.."] {
            let cwd = form.replace('N', &i32::to_string(&number));
            let _ = directory(&container.exec(&["--cwd", &cwd], &["/bin/probe", "report"]));
        }
    }
    for flags in [&[][..], &["--preserve-fds", "1"]] {
        let flags = [flags, &["--cwd", "/proc/self/fd/3"]].concat();
        let usual = container.exec_command(&flags, &["/bin/probe", "report"]);
        let mut command = Command::new(needs_program("sh"));
        command.args(["-c", "exec 3</; exec \"$@\"", "sh"]);
        command.arg(usual.get_program()).args(usual.get_args());
        assert_eq!(directory(&run(command)), None, "{flags:?}");
    }
}

/// Where a container whose program tells its working directory is: `None` if it was refused.
#[track_caller]
fn directory(output: &integration_tests::Output) -> Option<String> {
    if output.code != 0 {
        assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        return None;
    }
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    // The kernel says "(unreachable)" of one that is not below the root.
    let directory = seen["cwd"].as_str().map(str::to_owned);
    assert!(directory.as_ref().is_some_and(|path| path.starts_with('/')), "outside: {seen}");
    directory
}

/// CVE-2024-21626: a descriptor of the host's that is still open is a way out.
fn working_directory_by_a_descriptor_stays_in_the_root() {
    in_parallel([0..10, 10..20, 20..30], |range| {
        for number in range {
            for form in ["/proc/self/fd/N", "/proc/self/fd/N/../../..", "/proc/1/fd/N"] {
                let cwd = form.replace('N', &i32::to_string(&number));
                let bundle = Bundle::new().probing(&["report"]);
                let bundle = bundle.config(|config| config["process"]["cwd"] = json!(cwd));
                let container = Container::new(bundle);
                let _ = directory(&container.call("run", &[]));
                container.assert_no_trace();
            }
        }
    });
}

/// Runs a container with the working directory `/proc/self/fd/NUMBER`, by a caller that has the
/// host's root open as that.
fn with_open_root(number: i32, flags: &str) -> Option<String> {
    let bundle = Bundle::new().probing(&["report"]);
    let cwd = format!("/proc/self/fd/{number}");
    let container = Container::new(bundle.config(|config| config["process"]["cwd"] = json!(cwd)));
    let mut command = Command::new(needs_program("sh"));
    let script = format!(r#"exec {number}</; rind=$1; shift; exec "$rind" "$@" {flags}"#);
    let usual = container.command_for("run", &[]);
    command.args(["-c", &script, "sh"]).arg(usual.get_program()).args(usual.get_args());
    let directory = directory(&run(command));
    container.assert_no_trace();
    directory
}

fn working_directory_by_a_preserved_descriptor_is_refused() {
    assert_eq!(with_open_root(3, "--preserve-fds 1"), None);
}

fn working_directory_by_an_inherited_descriptor_is_refused() {
    for number in 3..10 {
        assert_eq!(with_open_root(number, ""), None, "descriptor {number}");
    }
}

fn working_directory_by_a_link_stays_in_the_root() {
    for cwd in ["/link", "/link/made", "/up/made", "/up/up/up", "/../../.."] {
        let bundle = Bundle::new().writable().probing(&["report"]);
        let outside = Outside::of(&bundle, &[]);
        symlink(outside.path(), bundle.rootfs().join("link")).unwrap();
        symlink("../../../../../..", bundle.rootfs().join("up")).unwrap();
        let container =
            Container::new(bundle.config(|config| config["process"]["cwd"] = json!(cwd)));
        let _ = directory(&container.call("run", &[]));
        outside.assert_untouched();
    }
    assert!(!fs::exists("/made").unwrap());
}

/// What the runtime makes in /dev, whether or not a configuration mounts something there.
const DEV: [&str; 16] = [
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
    "stdin", "stdout", "tty", "urandom", "zero",
];

/// CVE-2026-41579 and CVE-2026-47766: with no mount on it, /dev is what the image says.
fn dev_as_a_link_leads_to_nothing_outside() {
    for relative in [false, true] {
        for files in [&[][..], &DEV] {
            let bundle = without_dev(Bundle::new()).probing(&["exit", "0"]);
            let outside = Outside::of(&bundle, files);
            let dev = bundle.rootfs().join("dev");
            fs::remove_dir(&dev).unwrap();
            let target = if relative { outside.relative(0) } else { outside.folder.clone() };
            symlink(target, &dev).unwrap();
            assert!(dev.is_dir(), "the link is meant to lead there on the host");
            let _ = try_run(bundle);
            outside.assert_untouched();
        }
    }
}

fn entries_of_dev_as_links_lead_to_nothing_outside() {
    for is_there in [true, false] {
        for name in DEV {
            let bundle = without_dev(Bundle::new()).probing(&["exit", "0"]);
            let outside = Outside::of(&bundle, &[name][..usize::from(is_there)]);
            symlink(outside.folder.join(name), bundle.rootfs().join("dev").join(name)).unwrap();
            let _ = try_run(bundle);
            outside.assert_untouched();
        }
    }
}

/// CVE-2026-88264 and CVE-2025-52565: what is made for a terminal.
fn console_as_a_link_leads_to_nothing_outside() {
    for read_only in [false, true] {
        for is_there in [true, false] {
            for name in ["console", "ptmx", "pts"] {
                let bundle = without_dev(Bundle::new()).probing(&["exit", "0"]);
                let bundle = bundle.config(|config| {
                    config["process"]["terminal"] = json!(true);
                    config["root"]["readonly"] = json!(read_only);
                });
                let outside = Outside::of(&bundle, &[name][..usize::from(is_there)]);
                let link = bundle.rootfs().join("dev").join(name);
                symlink(outside.folder.join(name), link).unwrap();
                let _ = try_run(bundle);
                outside.assert_untouched();
            }
        }
    }
}

/// The terminal comes over nothing that the image chooses, in its own root neither.
fn console_as_a_link_in_the_root_is_refused() {
    let bundle = without_dev(Bundle::new()).file("/target", "").probing(&["exit", "0"]);
    symlink("/target", bundle.rootfs().join("dev/console")).unwrap();
    let devpts = json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts" });
    let bundle = bundle.mount(devpts).config(|c| c["process"]["terminal"] = json!(true));
    let output = Container::new(bundle).call("run", &[]);
    let _ = output.failed_with("binding the terminal to /dev/console");
}

/// CVE-2025-52565: opening what the image has at /dev/pts/ptmx can have an effect: who waits at a fifo
/// is let through.
fn multiplexer_of_the_image_is_not_opened() {
    for is_link in [false, true] {
        let bundle = without_dev(Bundle::new()).probing(&["exit", "0"]);
        let bundle = bundle.config(|config| config["process"]["terminal"] = json!(true));
        let (fifo, place) = (bundle.rootfs().join("fifo"), bundle.rootfs().join("dev/pts"));
        fs::create_dir(&place).unwrap();
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        if is_link {
            symlink("/fifo", place.join("ptmx")).unwrap();
        } else {
            fs::rename(&fifo, place.join("ptmx")).unwrap();
        }
        let fifo = if is_link { fifo } else { place.join("ptmx") };
        let waiting = thread::spawn({
            let fifo = fifo.clone();
            move || OpenOptions::new().write(true).open(fifo).unwrap()
        });
        let container = Container::new(bundle);
        let output = container.call("run", &[]);
        let is_let_through = waiting.is_finished();
        // Nobody waits at it any more.
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
        drop((reader, waiting.join().unwrap()));
        let _ = output.failed_with("making the terminal (process.terminal)");
        assert!(!is_let_through, "it was opened");
    }
}

/// CVE-2025-31133: a mask is made of the null device, which must be the real one.
fn masks_with_another_null_device_hide_all_the_same() {
    let mut ran = 0;
    for kind in ["link", "link to a file", "dangling link", "file", "fifo", "folder", "nothing"] {
        let bundle = without_dev(Bundle::new())
            .file("/secret", "secret")
            .file("/target", "not to be shown")
            .config(|config| config["linux"]["maskedPaths"] = json!(["/secret", "/proc/keys"]));
        let null = bundle.rootfs().join("dev/null");
        match kind {
            "link" => symlink("/proc/sys/kernel/core_pattern", &null).unwrap(),
            "link to a file" => symlink("/target", &null).unwrap(),
            "dangling link" => symlink("/not/there", &null).unwrap(),
            "file" => fs::write(&null, "not to be shown").unwrap(),
            "fifo" => mkfifo(&null, Mode::from_bits_retain(0o666)).unwrap(),
            "folder" => fs::create_dir(&null).unwrap(),
            _ => {}
        }
        let bundle = bundle.probing(&["stat", "/secret", "/proc/keys"]);
        let Some(said) = try_run(bundle) else { continue };
        ran += 1;
        let seen: Value = serde_json::from_str(&said).unwrap();
        for file in seen.as_array().unwrap() {
            let device = (&json!("character device"), &json!(1), &json!(3));
            let is = (&file["type"], &file["major"], &file["minor"]);
            assert!(is == device || file["error"] == "ENOENT", "/dev/null as a {kind}: {file}");
        }
        assert_ne!(seen[0]["error"], "ENOENT", "/dev/null as a {kind}");
    }
    assert!(ran > 0, "each of them was refused");
}

/// A host whose /dev/null is something else: the container would see that in place of a secret.
fn null_device_of_the_host_is_looked_at() {
    let bundle = Bundle::new().file("/secret", "secret").file("/target", "shown");
    let (null, folder) = (bundle.rootfs().join("target"), bundle.folder());
    let bundle = bundle.config(|config| config["linux"]["maskedPaths"] = json!(["/secret"]));
    let container = Container::new(bundle.probing(&["stat", "/secret"]));
    let usual = container.command_for("run", &[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    command.arg("mount --bind \"$1\" /dev/null; shift; exec \"$@\"").arg("sh").arg(&null);
    command.arg(usual.get_program()).args(usual.get_args()).current_dir(folder);
    // None of them is closed, so that rind does not look at it for that.
    let output = run(command);
    let _ = output.failed_with("no such device");
}

fn masked_path_below_a_link_hides_what_is_in_the_root() {
    let bundle = Bundle::new().writable();
    let outside = Outside::of(&bundle, &["file"]);
    let inside = format!("{}/file", outside.path());
    let bundle = bundle.file(&inside, "secret");
    symlink(outside.path(), bundle.rootfs().join("link")).unwrap();
    let bundle = bundle.config(|config| {
        config["linux"]["maskedPaths"] = json!(["/link/file"]);
        config["linux"]["readonlyPaths"] = json!(["/link"]);
    });
    let container = Container::created(bundle.probing(&["stat", &inside, "/link/"]));
    outside.assert_untouched();
    container.start();
    container.wait_stopped();
    let seen = container.report();
    assert_eq!(seen[0]["type"], "character device", "{seen}");
    assert_eq!(seen[1]["writable"], "EROFS", "{seen}");
}

fn mount(kind: &str, source: &Path, destination: &str) -> Value {
    match kind {
        "tmpfs" => json!({ "destination": destination, "type": "tmpfs" }),
        _ => json!({ "destination": destination, "source": source, "options": ["rbind"] }),
    }
}

/// CVE-2019-16884 and CVE-2025-52881: what is written to /proc must go there.
fn nothing_is_mounted_on_the_attributes_of_processes() {
    for destination in [
        "/proc",
        "/proc/self",
        "/proc/self/attr",
        "/proc/1/attr",
        "/proc/thread-self",
        "/proc/self/attr/exec",
        "/proc/self/attr/apparmor/exec",
        "/proc/self/oom_score_adj",
        "/proc/sys",
        "/proc/sys/net",
        "/proc/sysrq-trigger",
        "//proc/../proc/self/attr",
    ] {
        for kind in ["tmpfs", "folder", "file"] {
            let bundle = Bundle::new();
            let source = bundle.folder().join("source");
            if kind == "file" {
                fs::write(&source, "").unwrap();
            } else {
                fs::create_dir(&source).unwrap();
            }
            let container = Container::new(bundle.mount(mount(kind, &source, destination)));
            let output = container.call("create", &[]);
            let _ = output.failed_with("/proc");
            container.assert_no_trace();
        }
    }
}

fn nothing_is_mounted_on_proc_by_a_link() {
    for (link, destination) in [
        ("/proc/self/attr", "/link"),
        ("/proc", "/link/self/attr"),
        ("proc/self", "/link/attr"),
        ("/proc/sys", "/link"),
    ] {
        let bundle = Bundle::new().writable();
        symlink(link, bundle.rootfs().join("link")).unwrap();
        let bundle = bundle.mount(mount("tmpfs", Path::new(""), destination));
        let container = Container::new(bundle);
        let output = container.call("create", &[]);
        assert_ne!(output.code, 0, "{destination}, with a link to {link}: {output:#?}");
        container.assert_no_trace();
    }
}

/// What lxcfs does must not be refused along with it.
fn known_files_of_proc_may_be_bound_over() {
    for name in ["cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime"] {
        let bundle = Bundle::new();
        let source = bundle.folder().join("source");
        fs::write(&source, "bound").unwrap();
        let destination = format!("/proc/{name}");
        let bundle = bundle.mount(mount("file", &source, &destination));
        let output = bundle.probing(&["read", &destination]).run().succeeded();
        assert_eq!(output.stdout, "bound", "{name}");
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642 and CVE-2025-54867.
fn proc_and_sys_as_links_are_refused() {
    for name in ["proc", "sys"] {
        for target in ["/other", "other", "/tmp/../other", "/", "OUTSIDE", "/not/there"] {
            let bundle = Bundle::new().writable();
            let outside = Outside::of(&bundle, &["self"]);
            fs::create_dir(bundle.rootfs().join("other")).unwrap();
            let point = bundle.rootfs().join(name);
            fs::remove_dir(&point).unwrap();
            symlink(target.replace("OUTSIDE", outside.path()), &point).unwrap();
            let container = Container::new(bundle);
            let output = container.call("create", &[]);
            let _ = output.failed_with("must be mounted on ordinary directory");
            container.assert_no_trace();
            outside.assert_untouched();
        }
    }
}

/// CVE-2016-3697: a user's number is never looked up as a name.
fn number_that_is_a_name_in_passwd_is_a_number() {
    let bundle = Bundle::new()
        .file("/etc/passwd", "1000:x:0:0:root:/root:/bin/sh\n1001:x:1000:0::/:/bin/sh\n")
        .file("/etc/group", "1000:x:0:1000\n")
        .config(|config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        });
    let seen = bundle.report();
    for field in ["uid", "euid", "gid", "egid"] {
        assert_eq!(seen[field], 1000, "{field}");
    }
    assert_eq!(seen["groups"], json!([]));
    for set in ["effective", "permitted"] {
        assert_eq!(seen["capabilities"][set], json!([]), "{set}");
    }
}

/// The value of HOME in a container that has none in its configuration.
fn home(bundle: Bundle) -> Option<String> {
    let said = try_run(bundle.probing(&["report"]))?;
    let seen: Value = serde_json::from_str(&said).unwrap();
    let env = seen["env"].as_array().unwrap();
    env.iter().find_map(|entry| entry.as_str()?.strip_prefix("HOME=").map(str::to_owned))
}

fn home_is_not_read_from_outside_of_the_root() {
    for relative in [false, true] {
        let bundle = Bundle::new();
        let outside = Outside::of(&bundle, &[]);
        fs::write(outside.folder.join("passwd"), "root:x:0:0::/stolen:/bin/sh\n").unwrap();
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        let target = if relative { outside.relative(1) } else { outside.folder.clone() };
        symlink(target.join("passwd"), &passwd).unwrap();
        assert!(passwd.is_file(), "the link is meant to lead there on the host");
        assert_eq!(home(bundle).unwrap(), "/");
    }
}

fn odd_passwd_is_no_hang() {
    for kind in ["fifo", "folder", "endless", "loop", "nothing", "binary"] {
        let bundle = Bundle::new();
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        match kind {
            "fifo" => mkfifo(&passwd, Mode::from_bits_retain(0o666)).unwrap(),
            "folder" => fs::create_dir(&passwd).unwrap(),
            "endless" => symlink("/dev/zero", &passwd).unwrap(),
            "loop" => symlink("passwd", &passwd).unwrap(),
            "binary" => fs::write(&passwd, [0xff, 0, b':', b'\n', 0x80]).unwrap(),
            _ => {}
        }
        assert_eq!(home(bundle).unwrap(), "/", "passwd is a {kind}");
    }
}

/// CVE-2022-24769, CVE-2022-27650, CVE-2022-29162, CVE-2025-27612.
fn inheritable_capabilities_are_the_configured_ones() {
    let seen = Bundle::new().report();
    assert_eq!(seen["capabilities"]["inheritable"], json!([]));
    assert_eq!(seen["capabilities"]["ambient"], json!([]));
    let seen = Bundle::new()
        .config(|config| config["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]))
        .report();
    assert_eq!(seen["capabilities"]["inheritable"], json!(["CAP_KILL"]));
    assert_eq!(seen["capabilities"]["ambient"], json!([]));
    let without = Bundle::new().config(|config| {
        config["process"].as_object_mut().unwrap().remove("capabilities");
    });
    let seen = without.report();
    for set in ["inheritable", "ambient", "permitted", "effective", "bounding"] {
        assert_eq!(seen["capabilities"][set], json!([]), "{set}");
    }
}

fn inheritable_capabilities_of_the_caller_stay_with_it() {
    let container = Container::new(Bundle::new().probing(&["report"]));
    let usual = container.command_for("run", &[]);
    let mut command = Command::new(needs_program("setpriv"));
    command.args(["--inh-caps=+chown,+kill", "--ambient-caps=+chown,+kill"]);
    command.arg(usual.get_program()).args(usual.get_args());
    let output = run(command).succeeded();
    let seen: Value = serde_json::from_str(&output.stdout).unwrap();
    for set in ["inheritable", "ambient"] {
        assert_eq!(seen["capabilities"][set], json!([]), "{set}");
    }
}

/// GHSA-5g49-rx9x-qfc6: a key of `unified` is the name of a file, not a way to others.
fn cgroup_files_have_plain_names() {
    for key in ["../memory.max", "/memory.max", "a/b", "", ".", "..", "memory.max/", "a\nb"] {
        let unified = json!({ key: "1" });
        let bundle = Bundle::new()
            .config(|config| config["linux"]["resources"]["unified"] = unified.clone());
        bundle.refused("linux.resources.unified");
    }
}

/// One that climbs is refused, or ends below where all others are.
fn cgroup_path_stays_in_the_hierarchy() {
    for path in ["../ID", "/../ID", "/a/../../ID", "/../../../../../../tmp/ID", "ID/.."] {
        let bundle = Bundle::new();
        let path = path.replace("ID", bundle.id());
        let bundle = bundle.config(|config| config["linux"]["cgroupsPath"] = json!(path));
        let container = Container::new(bundle);
        let output = container.call("create", &[]);
        if output.code == 0 {
            let all = cgroup::named(container.id());
            assert!(!all.is_empty(), "{path}: its cgroups are nowhere");
        } else {
            container.assert_no_trace();
        }
        assert!(!fs::exists(format!("/tmp/{}", container.id())).unwrap(), "{path}");
    }
}

/// CVE-2022-0492: whoever writes to v1's `release_agent` has the kernel run a program on the host.
fn cgroup_view_has_no_release_agent() {
    let find = "/bin/busybox find /sys/fs/cgroup -name release_agent -o -name notify_on_release";
    let output = Bundle::new().script(find).run().succeeded();
    assert!(!output.stdout.contains("release_agent"), "{output:#?}");
    let is_seen = output.stdout.contains("notify_on_release");
    assert!(is_seen || cgroup::is_unified(), "nothing was looked at: {output:#?}");
}

/// CVE-2021-43784: of what is longer than a message can say, the rest became settings.
fn long_values_are_no_other_settings() {
    const MAPPINGS: usize = 340;
    let one = |index: usize| json!({ "containerID": index, "hostID": index, "size": 1 });
    let mappings: Value = (0..MAPPINGS).map(one).collect();
    let (long, longer) = ("x".repeat(120_000), "y".repeat(2_000_000));
    let bundle = Bundle::new().namespace("user", None).config(|config| {
        config["linux"]["uidMappings"] = mappings.clone();
        config["linux"]["gidMappings"] = mappings.clone();
        config["annotations"] = json!({ "long": longer });
        push(&mut config["process"]["env"], json!(format!("LONG={long}")));
    });
    let container = Container::running(bundle);
    assert!(container.exec_report(&[])["env"].to_string().contains(&long), "it was cut");
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", container.pid())).unwrap();
    for file in ["uid_map", "gid_map"] {
        assert_eq!(of(file).lines().count(), MAPPINGS, "{file}: {}", of(file));
    }
    for kind in ["pid", "net", "ipc", "uts", "mnt", "user"] {
        assert_ne!(namespace(container.pid(), kind), own_namespace(kind), "{kind}");
    }
}

/// CVE-2026-88265: what the container's user gets is its own stdio, never a device of all.
fn null_device_is_never_given_away() {
    let bundle = Bundle::new().probing(&["exit", "0"]);
    let container = Container::new(
        bundle.config(|config| config["process"]["user"] = json!({ "uid": 1234, "gid": 1234 })),
    );
    let mut command = container.command_for("run", &[]);
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    command.stdin(null()).stdout(null()).stderr(null());
    let mut running = integration_tests::command::spawn_bare(command);
    assert_eq!(running.wait_here().code, 0);
    let found = fs::metadata("/dev/null").unwrap();
    assert!(found.file_type().is_char_device());
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, 0, 0o666));
}

/// The host's devices are everybody's, and a directory that is there by mistake is nobody else's.
fn devices_and_directories_are_never_given_away() {
    let bundle = Bundle::new().probing(&["exit", "0"]);
    let folder = bundle.folder();
    let container = Container::new(
        bundle.config(|config| config["process"]["user"] = json!({ "uid": 1234, "gid": 1234 })),
    );
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    for path in [Path::new("/dev/full"), Path::new("/dev/zero"), &folder] {
        let mut command = container.command_for("run", &[]);
        command.stdin(File::open(path).unwrap());
        let mut running = integration_tests::command::spawn_bare(command);
        assert_eq!(running.wait_here().code, 0, "{}", path.display());
        assert_eq!(owner(path), 0, "{}", path.display());
    }
}

/// CVE-2025-23266: what an image sets must not steer programs of the host.
fn hooks_do_not_get_the_environment_of_the_image() {
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        for env in [Value::Null, json!([]), json!(["OWN=1"])] {
            let bundle = Bundle::new().config(|config| {
                config["process"]["env"] = json!(["LD_PRELOAD=/tmp/evil.so", "IMAGE=1"]);
            });
            let log = bundle.folder().join("log");
            let script = format!("export -p >{}", log.display());
            let mut hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
            if !env.is_null() {
                hook["env"] = env.clone();
            }
            let bundle = bundle.config(|config| push(&mut config["hooks"][kind], hook));
            let container = Container::created(bundle.probing(&["exit", "0"]));
            container.start();
            container.wait_stopped();
            container.delete();
            let text = fs::read_to_string(&log).unwrap();
            assert!(!text.contains("LD_PRELOAD") && !text.contains("IMAGE"), "{kind}: {text}");
            assert_eq!(text.contains("OWN"), env == json!(["OWN=1"]), "{kind}: {text}");
        }
    }
}

/// Exchanges `a` and `b` while `task` runs.
pub fn while_exchanging(a: &Path, b: &Path, task: impl FnOnce()) {
    let mut command = Command::new(binary::probe());
    command.arg("exchange").args([a, b]);
    let exchanging = spawn(command);
    exchanging.wait_line("ready");
    task();
    drop(exchanging);
}

/// Creates and deletes a container of this bundle many times over; gives how often it was created.
/// It may fail, as what it is to be made of is not there, but never without a word, or leave anything.
#[track_caller]
fn create_many_times(container: &Container, times: usize, look: impl Fn()) -> usize {
    let mut created = 0;
    for _ in race::rounds(times, Duration::ZERO) {
        let output = container.call("create", &[]);
        look();
        if output.code == 0 {
            created += 1;
            let _ = container.call("delete", &["--force"]).succeeded();
        } else {
            assert_eq!(output.stderr.lines().count(), 1, "{output:#?}");
        }
        container.assert_no_trace();
    }
    created
}

/// CVE-2021-30465: a volume in which another container exchanges a folder and a link.
fn racing_exchange_in_a_volume_leads_to_nothing_outside() {
    let bundle = Bundle::new().writable();
    let outside = Outside::of(&bundle, &["file"]);
    let volume = bundle.folder().join("volume");
    let (folder, link) = (volume.join("folder"), volume.join("link"));
    fs::create_dir_all(&folder).unwrap();
    symlink(outside.path(), &link).unwrap();
    let file = bundle.folder().join("file");
    fs::write(&file, "").unwrap();
    let device = json!({ "path": "/v/folder/device", "type": "c", "major": 1, "minor": 5 });
    let bundle = bundle
        .mount(mount("folder", &volume, "/v"))
        .mount(mount("tmpfs", &file, "/v/folder/tmpfs/deep"))
        .mount(mount("file", &file, "/v/folder/file"))
        .config(|config| push(&mut config["linux"]["devices"], device));
    let container = Container::new(bundle.probing(&["sleep"]));
    while_exchanging(&folder, &link, || {
        let created = create_many_times(&container, 40, || outside.assert_untouched());
        assert!(created > 0, "it could never be created, so nothing was tried");
    });
    outside.assert_untouched();
}

/// CVE-2024-45310: the root itself, of which another container has a part, and what is made there.
fn racing_exchange_in_the_root_leads_to_nothing_outside() {
    let bundle = without_dev(Bundle::new());
    let outside = Outside::of(&bundle, &["file"]);
    let (folder, link) = (bundle.rootfs().join("folder"), bundle.rootfs().join("link"));
    fs::create_dir(&folder).unwrap();
    symlink(outside.path(), &link).unwrap();
    let device = json!({ "path": "/folder/deep/device", "type": "c", "major": 1, "minor": 5 });
    let bundle = bundle
        .mount(mount("tmpfs", &outside.folder, "/folder/a/b/c/d"))
        .mount(mount("file", &outside.folder.join("file"), "/folder/e/f/file"))
        .config(|config| {
            push(&mut config["linux"]["devices"], device);
            config["process"]["cwd"] = json!("/folder/made/as/it/is/missing");
        });
    let container = Container::new(bundle.probing(&["sleep"]));
    while_exchanging(&folder, &link, || {
        let created = create_many_times(&container, 40, || {
            outside.assert_untouched();
            // So that the next has it all to make again.
            for name in ["a", "e", "deep", "made"] {
                for parent in [&folder, &link] {
                    let real = parent.symlink_metadata().is_ok_and(|found| found.is_dir());
                    if real {
                        let _ = fs::remove_dir_all(parent.join(name));
                    }
                }
            }
        });
        assert!(created > 0, "it could never be created, so nothing was tried");
    });
    outside.assert_untouched();
}

/// The kernel finds a path anew in each call: what was checked need not be what is hidden.
fn racing_exchange_of_masked_paths_hides_nothing_outside() {
    let bundle = Bundle::new().writable();
    let outside = Outside::of(&bundle, &["file", "inside"]);
    let volume = bundle.folder().join("volume");
    let (folder, link) = (volume.join("folder"), volume.join("link"));
    fs::create_dir_all(&folder).unwrap();
    for name in ["file", "inside"] {
        fs::write(folder.join(name), "").unwrap();
    }
    symlink(outside.path(), &link).unwrap();
    let bundle = bundle.mount(mount("folder", &volume, "/v")).config(|config| {
        config["linux"]["maskedPaths"] = json!(["/v/folder/file", "/v/folder"]);
        config["linux"]["readonlyPaths"] = json!(["/v/folder/inside", "/v/link"]);
    });
    let container = Container::new(bundle.probing(&["sleep"]));
    while_exchanging(&folder, &link, || {
        let created = create_many_times(&container, 30, || outside.assert_untouched());
        assert!(created > 0, "it could never be created, so nothing was tried");
    });
    outside.assert_untouched();
}
