//! Labels of security modules: the `AppArmor` profile or the `SELinux` label of the processes of a container,
//! of its keys and mounts. The profiles are loaded here; the labels are those of the policy that a
//! guest has (`vm/guest/selinux.conf`).

use crate::checkpoint::Box as Image;
use integration_tests::bundle::push;
use integration_tests::cgroup::is_unified;
use integration_tests::command::run;
use integration_tests::criu::needs_criu;
use integration_tests::host::{needs_file, needs_program, run_folder};
use integration_tests::test::{Test, in_parallel, skip};
use integration_tests::{Bundle, Container, Value, json, tests};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const TESTS: &[Test] = tests![
    profile_is_inits,
    profile_is_that_of_an_init_in_a_joined_pid_namespace,
    profile_of_exec_is_the_containers_or_its_own,
    profile_is_also_that_of_start_container_hooks,
    profile_is_restored,
    profile_that_is_not_loaded_is_refused,
    selinux_label_beside_a_profile_is_a_warning,
    selinux_label_is_inits,
    selinux_label_of_exec_is_the_containers_or_its_own,
    selinux_label_is_also_that_of_start_container_hooks,
    selinux_label_is_that_of_the_session_keyring,
    selinux_label_that_the_policy_lacks_is_refused,
    mount_label_is_that_of_new_file_systems,
    mount_label_is_given_by_the_option_that_is_asked_for,
    mount_label_that_the_policy_lacks_is_refused,
];

/// What a container says that may not write to /tmp/denied.
const TRY: &str = "cat /proc/self/attr/current; echo; \
    echo >/tmp/allowed && echo allowed; (echo >/tmp/denied) 2>/dev/null || echo denied";

/// Asserts that `said` is what [`TRY`] prints with `label`.
#[track_caller]
fn is_confined(said: &str, label: &str) {
    let words: Vec<&str> = said.split(['\n', '\0']).filter(|word| !word.is_empty()).collect();
    assert_eq!(words, [label, "allowed", "denied"]);
}

/// The ways to make a container that differ in what comes before the execve.
fn ways() -> [fn(Bundle) -> Bundle; 3] {
    [
        |bundle| bundle,
        |bundle| bundle.config(|config| config["process"]["noNewPrivileges"] = json!(false)),
        |bundle| {
            let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
            bundle.namespace("user", None).config(|config| {
                config["linux"]["uidMappings"] = mapping.clone();
                config["linux"]["gidMappings"] = mapping;
            })
        },
    ]
}

fn trying() -> Bundle {
    Bundle::new().writable().script(TRY)
}

/// A loaded `AppArmor` profile that forbids nothing but to write to /tmp/denied. It goes with this.
struct Profile {
    name: String,
    file: PathBuf,
}

impl Profile {
    fn load() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        needs_file("/sys/kernel/security/apparmor");
        let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        if !enabled.is_ok_and(|text| text.starts_with('Y')) {
            skip("AppArmor is not enabled here");
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("rind-it-{}-{number}", std::process::id());
        let file = run_folder().join(&name);
        let text = format!(
            "profile {name} flags=(attach_disconnected) {{\n  file,\n  capability,\n  network,\n  \
             mount,\n  umount,\n  pivot_root,\n  signal,\n  ptrace,\n  unix,\n  \
             deny /tmp/denied w,\n}}\n"
        );
        fs::write(&file, text).unwrap();
        let profile = Self { name, file };
        let _ = run(profile.parser("--replace")).succeeded();
        profile
    }

    fn parser(&self, action: &str) -> Command {
        let mut command = Command::new(needs_program("apparmor_parser"));
        command.args([action, "--skip-cache"]).arg(&self.file);
        command
    }

    fn of(&self, bundle: Bundle) -> Bundle {
        bundle.config(|config| config["process"]["apparmorProfile"] = json!(self.name))
    }

    /// As the kernel has it for a process.
    fn label(&self) -> String {
        format!("{} (enforce)", self.name)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let removed = run(self.parser("--remove"));
        if !std::thread::panicking() {
            let _ = removed.succeeded();
        }
    }
}

/// The label of a process, as the host sees it.
fn label_of(pid: i32) -> String {
    let label = fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap();
    label.trim_end_matches(['\n', '\0']).to_owned()
}

fn profile_is_inits() {
    let profile = Profile::load();
    in_parallel(ways(), |way| {
        let output = way(profile.of(trying())).run().succeeded();
        is_confined(&output.stdout, &profile.label());
    });
    let output = trying().run().succeeded();
    assert_eq!(output.stdout, "unconfined\n\nallowed\n", "without a profile");
}

fn profile_is_that_of_an_init_in_a_joined_pid_namespace() {
    let profile = Profile::load();
    let sibling = Container::running(Bundle::new());
    let path = format!("/proc/{}/ns/pid", sibling.pid());
    let output = profile.of(trying().namespace("pid", Some(&path))).run().succeeded();
    is_confined(&output.stdout, &profile.label());
}

fn profile_of_exec_is_the_containers_or_its_own() {
    let [own, other] = [Profile::load(), Profile::load()];
    in_parallel(ways(), |way| {
        let container = Container::running(own.of(way(Bundle::new().writable().with_shell())));
        assert_eq!(label_of(container.pid()), own.label());
        let program = ["/bin/sh", "-c", TRY];
        is_confined(&container.exec(&[], &program).succeeded().stdout, &own.label());
        let output = container.exec(&["--apparmor", &other.name], &program).succeeded();
        is_confined(&output.stdout, &other.label());
        let file = container.bundle().folder().join("process.json");
        for (profile, label) in [(None, own.label()), (Some(&other.name), other.label())] {
            let mut process =
                json!({ "args": program, "cwd": "/", "user": { "uid": 0, "gid": 0 } });
            if let Some(name) = profile {
                process["apparmorProfile"] = json!(name);
            }
            fs::write(&file, process.to_string()).unwrap();
            let output = container.call("exec", &["--process", file.to_str().unwrap()]);
            is_confined(&output.succeeded().stdout, &label);
        }
    });
}

/// A bundle with a startContainer hook that runs [`TRY`] into a file, whose path on the host comes
/// with it.
fn hooked() -> (Bundle, PathBuf) {
    let bundle = Bundle::new().writable().with_shell().args(&["/bin/true"]);
    let log = bundle.rootfs().join("tmp/log");
    let script = format!("{{ {TRY}; }} >/tmp/log");
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] });
    (bundle.config(|config| push(&mut config["hooks"]["startContainer"], hook)), log)
}

fn profile_is_also_that_of_start_container_hooks() {
    let profile = Profile::load();
    let (bundle, log) = hooked();
    let container = Container::new(profile.of(bundle));
    let _ = container.call("run", &[]).succeeded();
    is_confined(&fs::read_to_string(log).unwrap(), &profile.label());
}

fn profile_is_restored() {
    let _ = needs_criu();
    let profile = Profile::load();
    let counter = Image::running(profile.of(Bundle::new().probing(&["count"])));
    counter.checkpoint(&[]);
    counter.restore(&[]);
    assert_eq!(label_of(counter.container.pid()), profile.label());
}

fn profile_that_is_not_loaded_is_refused() {
    let profile = Profile::load();
    let refusal = "setting process.apparmorProfile rind-it-none: no such file or directory \
                   (no such profile is loaded: apparmor_parser -r FILE loads one)";
    for way in ways() {
        let none =
            |config: &mut Value| config["process"]["apparmorProfile"] = json!("rind-it-none");
        way(Bundle::new()).config(none).refused(refusal);
    }
    let container = Container::running(profile.of(Bundle::new()));
    let flags = ["--apparmor", "rind-it-none"];
    let _ = container.exec(&flags, &["/bin/probe", "exit", "0"]).failed_with(refusal);
    assert_eq!(container.status(), "running");
}

fn selinux_label_beside_a_profile_is_a_warning() {
    let profile = Profile::load();
    let labelled = |config: &mut Value| config["process"]["selinuxLabel"] = json!(OWN);
    let output = profile.of(trying()).config(labelled).run();
    assert_eq!(output.code, 0, "{output:#?}");
    let warning = format!("process.selinuxLabel {OWN}: SELinux is not enabled here");
    assert!(output.stderr.contains(&warning), "{output:#?}");
    is_confined(&output.stdout, &profile.label());
}

/// Labels of the guest's policy: two of processes, that of what they may write to, and that of what
/// they may not.
const OWN: &str = "system_u:system_r:rind_container_t:s0:c1,c2";
const OTHER: &str = "system_u:system_r:rind_other_t:s0:c1,c2";
const WRITABLE: &str = "system_u:object_r:rind_file_t:s0:c1,c2";
const DENIED: &str = "system_u:object_r:rind_denied_t:s0";

fn needs_selinux() {
    needs_file("/sys/fs/selinux/enforce");
    let is_enforced = fs::read_to_string("/sys/fs/selinux/enforce").unwrap() == "1";
    if !is_enforced || fs::write("/sys/fs/selinux/context", OWN).is_err() {
        skip("SELinux does not enforce the policy of integration_tests/vm/guest/selinux.conf here");
    }
}

fn labelled(bundle: Bundle) -> Bundle {
    bundle.config(|config| {
        config["process"]["selinuxLabel"] = json!(OWN);
        config["linux"]["mountLabel"] = json!(WRITABLE);
    })
}

/// Has a tmpfs on /tmp, with a file that the container may not write to.
fn with_denied_file(bundle: Bundle) -> Bundle {
    let folder = bundle.folder().join("denied");
    fs::write(&folder, "").unwrap();
    let mut command = Command::new(needs_program("chcon"));
    command.arg(DENIED).arg(&folder);
    let _ = run(command).succeeded();
    let bind = json!({ "destination": "/tmp/denied", "source": folder, "options": ["bind"] });
    bundle.mount(json!({ "destination": "/tmp", "type": "tmpfs" })).mount(bind)
}

fn selinux_label_is_inits() {
    needs_selinux();
    in_parallel(ways(), |way| {
        let output = labelled(way(with_denied_file(trying()))).run().succeeded();
        is_confined(&output.stdout, OWN);
    });
}

fn selinux_label_of_exec_is_the_containers_or_its_own() {
    needs_selinux();
    in_parallel(ways(), |way| {
        let bundle = with_denied_file(Bundle::new().writable().with_shell());
        let container = Container::running(labelled(way(bundle)));
        assert_eq!(label_of(container.pid()), OWN);
        let program = ["/bin/sh", "-c", TRY];
        is_confined(&container.exec(&[], &program).succeeded().stdout, OWN);
        let output = container.exec(&["--process-label", OTHER], &program).succeeded();
        is_confined(&output.stdout, OTHER);
    });
}

fn selinux_label_is_also_that_of_start_container_hooks() {
    needs_selinux();
    let (bundle, _) = hooked();
    let log = bundle.folder().join("log");
    fs::write(&log, "").unwrap();
    let bind = json!({ "destination": "/tmp/log", "source": log, "options": ["bind"] });
    let container = Container::new(labelled(with_denied_file(bundle)).mount(bind));
    let _ = container.call("run", &[]).succeeded();
    is_confined(&fs::read_to_string(log).unwrap(), OWN);
}

/// A process may look at keys of its own label only: with that of the runtime, it would not see its
/// session keyring.
fn selinux_label_is_that_of_the_session_keyring() {
    needs_selinux();
    let bundle = labelled(Bundle::new().with_shell()).config(|config| {
        config["linux"]["maskedPaths"] = json!([]);
    });
    let container = Container::running(bundle);
    let name = format!("_ses.{}", container.id());
    let output = container.exec(&[], &["cat", "/proc/keys"]).succeeded();
    assert!(output.stdout.contains(&name), "{output:#?}");
    // With another label it is in the same keyring, of which it sees nothing.
    let other = container.exec(&["--process-label", OTHER], &["cat", "/proc/keys"]).succeeded();
    assert!(!other.stdout.contains(&name), "{other:#?}");
}

fn selinux_label_that_the_policy_lacks_is_refused() {
    needs_selinux();
    let refusal = "setting process.selinuxLabel a:b:c:s0: invalid argument (the loaded policy has \
                   no such label)";
    for keeps_keyring in [false, true] {
        let bundle = Bundle::new().config(|config| {
            config["process"]["selinuxLabel"] = json!("a:b:c:s0");
        });
        let container = Container::new(bundle);
        let flags: &[&str] = if keeps_keyring { &["--no-new-keyring"] } else { &[] };
        let _ = container.call("create", flags).failed_with(refusal);
        container.assert_no_trace();
    }
    let container = Container::running(labelled(Bundle::new()));
    let output = container.exec(&["--process-label", "a:b:c:s0"], &["/bin/probe", "exit", "0"]);
    let _ = output.failed_with(refusal);
    assert_eq!(container.status(), "running");
}

/// The label of a file, as the host sees it.
fn label_at(path: &str) -> String {
    let mut command = Command::new(needs_program("stat"));
    command.args(["--format", "%C", path]);
    run(command).succeeded().stdout.trim_end().to_owned()
}

fn mount_label_is_that_of_new_file_systems() {
    needs_selinux();
    in_parallel(ways(), |way| {
        let bundle = labelled(Bundle::new())
            .mount(json!({ "destination": "/tmp", "type": "tmpfs" }))
            // By mount(2), which wants a value with a comma in quotes.
            .mount(json!({ "destination": "/root", "type": "tmpfs", "options": ["silent"] }))
            .config(|config| config["linux"]["maskedPaths"] = json!(["/sys/firmware"]));
        let container = Container::running(way(bundle));
        let root = format!("/proc/{}/root", container.pid());
        let cgroups = (!is_unified()).then_some("sys/fs/cgroup");
        let places = ["dev", "dev/pts", "dev/shm", "dev/mqueue", "tmp", "root", "sys/firmware"];
        for place in places.into_iter().chain(cgroups) {
            assert_eq!(label_at(&format!("{root}/{place}")), WRITABLE, "{place}");
        }
        for place in ["", "proc", "sys"] {
            assert_ne!(label_at(&format!("{root}/{place}")), WRITABLE, "{place}");
        }
    });
}

fn mount_label_is_given_by_the_option_that_is_asked_for() {
    needs_selinux();
    let bundle = labelled(Bundle::new()).config(|config| {
        config["annotations"]["run.oci.mount_context_type"] = json!("rootcontext");
    });
    let container = Container::running(bundle);
    let root = format!("/proc/{}/root", container.pid());
    assert_eq!(label_at(&format!("{root}/dev/shm")), WRITABLE);
    // The option is for the root alone: what is below follows the rules of the policy.
    let file = format!("{root}/dev/shm/file");
    fs::write(&file, "").unwrap();
    let mut command = Command::new(needs_program("chcon"));
    command.args([DENIED, &file]);
    let _ = run(command).succeeded();
    assert_eq!(label_at(&file), DENIED);
}

fn mount_label_that_the_policy_lacks_is_refused() {
    needs_selinux();
    let container = Container::new(Bundle::new().config(|config| {
        config["linux"]["mountLabel"] = json!("a:b:c:s0");
    }));
    let output = container.call("create", &[]).failed_with("mounts[");
    assert!(output.stderr.contains("invalid argument"), "{output:#?}");
    container.assert_no_trace();
}
