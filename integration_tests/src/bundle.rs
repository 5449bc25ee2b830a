//! Bundles: a folder of the test's own with a config.json that it edits and a small rootfs.

use crate::container::Container;
use crate::host::{needs_program, run_folder};
use crate::{binary, cgroup, command};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `runc spec` writes, without a terminal.
const MINIMAL: &str = include_str!("../fixtures/minimal.json");

/// The busybox applets that a rootfs with a shell has.
const APPLETS: [&str; 8] = ["cat", "echo", "false", "ionice", "ls", "sh", "sleep", "true"];

/// A bundle, and the unique name that it and its container have; the folder goes with it.
#[derive(Debug)]
pub struct Bundle {
    id: String,
    config: Value,
}

impl Default for Bundle {
    fn default() -> Self {
        Self::new()
    }
}

impl Bundle {
    /// A bundle like the one of `runc spec`, whose rootfs holds only the probe.
    #[must_use]
    pub fn new() -> Self {
        let bundle = Self::of(MINIMAL);
        let cgroup = cgroup::path_for(&bundle.id);
        let bundle = bundle.config(|config| {
            config["hostname"] = json!("rind");
            config["linux"]["cgroupsPath"] = json!(cgroup);
        });
        bundle.probing(&["exit", "0"])
    }

    /// A bundle of the configuration `text`, in which `@BUNDLE@` stands for the bundle's folder.
    #[must_use]
    pub fn of(text: &str) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let id = format!("it{}-{number:04}", std::process::id());
        let mut bundle = Self { id, config: Value::Null };
        let rootfs = bundle.rootfs();
        for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(folder)).expect("a folder of the rootfs");
        }
        fs::create_dir(bundle.state_root()).expect("the state folder");
        fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod");
        fs::hard_link(template("probe", binary::probe), rootfs.join("bin/probe")).expect("link");
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("passwd");
        fs::write(rootfs.join("etc/group"), "root:x:0:\n").expect("group");
        let path = bundle.path().to_str().expect("UTF-8").to_owned();
        let config = text.replace("@BUNDLE@", &path);
        bundle.config = serde_json::from_str(&config).expect("the configuration of a fixture");
        bundle.write();
        bundle
    }

    /// The name of the bundle's container.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The test's folder: the bundle, the runtime's state, and whatever else the test puts there.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        run_folder().join(&self.id)
    }

    /// The bundle's folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder().join("bundle")
    }

    /// The container's root, as the host sees it.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// What `--root` is for this bundle's container.
    #[must_use]
    pub fn state_root(&self) -> PathBuf {
        self.folder().join("root")
    }

    /// Changes config.json.
    #[must_use]
    pub fn config(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.config);
        self.write();
        self
    }

    /// Has the container run this.
    #[must_use]
    pub fn args(self, args: &[&str]) -> Self {
        self.config(|config| config["process"]["args"] = json!(args))
    }

    /// Has the container run the probe with these arguments.
    #[must_use]
    pub fn probing(self, args: &[&str]) -> Self {
        let all: Vec<&str> = [&["/bin/probe"], args].concat();
        self.args(&all)
    }

    /// Adds a mount at the end.
    #[must_use]
    pub fn mount(self, mount: Value) -> Self {
        self.config(|config| push(&mut config["mounts"], mount))
    }

    /// Takes the configured mount on `destination` away.
    #[must_use]
    pub fn without_mount(self, destination: &str) -> Self {
        self.config(|config| {
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["destination"] != destination);
        })
    }

    /// Takes the namespace `kind` out of the configuration, so that the host's is kept.
    #[must_use]
    pub fn without_namespace(self, kind: &str) -> Self {
        self.config(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            namespaces.retain(|namespace| namespace["type"] != kind);
        })
    }

    /// Adds the namespace `kind`, or replaces it: an existing one at `path`, else a new one.
    #[must_use]
    pub fn namespace(self, kind: &str, path: Option<&str>) -> Self {
        let mut namespace = json!({ "type": kind });
        if let Some(path) = path {
            namespace["path"] = json!(path);
        }
        self.without_namespace(kind)
            .config(|config| push(&mut config["linux"]["namespaces"], namespace))
    }

    /// Gives the process these capabilities, by name, in the bounding, permitted and effective set.
    #[must_use]
    pub fn capabilities(self, names: &[&str]) -> Self {
        self.config(|config| {
            for set in ["bounding", "permitted", "effective"] {
                config["process"]["capabilities"][set] = json!(names);
            }
        })
    }

    /// Lets the container write to its root.
    #[must_use]
    pub fn writable(self) -> Self {
        self.config(|config| config["root"]["readonly"] = json!(false))
    }

    /// Adds busybox with a shell to the rootfs; the test is skipped where it is not installed.
    #[must_use]
    pub fn with_shell(self) -> Self {
        let found = needs_program("busybox");
        let bin = self.rootfs().join("bin");
        fs::hard_link(template("busybox", || found), bin.join("busybox")).expect("link");
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).expect("applet");
        }
        self
    }

    /// Has the container run a shell script.
    #[must_use]
    pub fn script(self, script: &str) -> Self {
        self.with_shell().args(&["/bin/sh", "-c", script])
    }

    /// Writes a file to the rootfs, with its folders.
    #[must_use]
    pub fn file(self, path: &str, content: &str) -> Self {
        let file = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().expect("a file in a folder")).expect("folders");
        fs::write(file, content).expect("a file of the rootfs");
        self
    }

    /// Runs the container to its end.
    #[track_caller]
    #[must_use]
    pub fn run(self) -> command::Output {
        Container::new(self).call("run", &[])
    }

    /// Runs the probe with these arguments as the container, and gives the JSON it printed.
    #[track_caller]
    #[must_use]
    pub fn probe(self, args: &[&str]) -> Value {
        let output = self.probing(args).run().succeeded();
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
    }

    /// What the probe sees inside the container.
    #[track_caller]
    #[must_use]
    pub fn report(self) -> Value {
        self.probe(&["report"])
    }

    /// What the probe finds at `path` inside the container.
    #[track_caller]
    #[must_use]
    pub fn stat(self, path: &str) -> Value {
        self.probe(&["stat", path])[0].take()
    }

    /// Asserts that the container cannot be created, and that stderr says `text`. That nothing of
    /// it remains is asserted as the container goes.
    #[track_caller]
    pub fn refused(self, text: &str) {
        let container = Container::new(self);
        let _ = container.call("create", &[]).failed_with(text);
        container.assert_no_trace();
    }

    fn write(&self) {
        let text = serde_json::to_vec(&self.config).expect("JSON");
        fs::write(self.path().join("config.json"), text).expect("config.json");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary folder, under this run's name.
        let _ = fs::remove_dir_all(self.folder());
    }
}

/// Adds `item` to the JSON array `list`, which may not exist yet.
pub fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("an array").push(item);
}

/// A copy of a program that all rootfs of this run link to, so that no container can harm the
/// original.
fn template(name: &str, original: impl FnOnce() -> PathBuf) -> PathBuf {
    static ONCE: LazyLock<std::sync::Mutex<()>> = LazyLock::new(Default::default);
    let copy = run_folder().join(name);
    let _copying = ONCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !Path::exists(&copy) {
        fs::copy(original(), &copy).expect("a copy of the program");
    }
    copy
}
