//! The specification's own examples: those of its JSON schema, and those in its text.
//!
//! They come as a Go module, the way the conformance suite does; without Go, or a way to its module
//! proxy, there is nothing to test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const MODULE: &str = "github.com/opencontainers/runtime-spec@v1.3.0";

/// Examples of the schema that are good and do not load, and what is said of them.
const REFUSED: [(&str, &str); 4] = [
    // Devices with no network namespace to move them to.
    ("linux-netdevice", "linux.netDevices: needs a network namespace"),
    // A hostname, which on Linux takes a UTS namespace.
    ("freebsd-example", "hostname"),
    // All of its time before 1.0.
    ("zos-example", "0.5.0-dev"),
    ("spec-example", "0.5.0-dev"),
];

/// Examples of the schema that are bad and load: what is for another platform is not read.
const ACCEPTED: [&str; 1] = ["freebsd-vnet-disable"];

/// Examples of the text that do not load, by file and line, and what is said of them.
const TEXT_REFUSED: [(&str, &str); 1] = [
    // Only to show what a version looks like.
    ("config.md:23", "0.1.0 is not supported"),
];

/// Examples of the text that are no JSON, for a comma too many or too few, or no configuration.
const TEXT_LEFT_OUT: [&str; 4] = [
    "config.md:478",
    "config-linux.md:850",
    // The state that a seccomp agent is sent.
    "config-linux.md:1022",
    "config-linux.md:1061",
];

/// Where the specification is.
static SPECIFICATION: LazyLock<Result<PathBuf, String>> = LazyLock::new(download);

fn download() -> Result<PathBuf, String> {
    // From a folder where no go.mod applies; nothing is put outside of the target folder.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", MODULE]).current_dir("/");
    go.env("GOPATH", folder.join("go")).env("GOFLAGS", "-modcacherw").env_remove("GOMODCACHE");
    let output = go.output().map_err(|error| format!("go: {error}"))?;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let folder = answer["Dir"].as_str().ok_or_else(|| format!("{MODULE}: {answer}"))?;
    Ok(folder.into())
}

/// The specification's folder, unless it is not to be had.
fn specification() -> Option<&'static Path> {
    match &*SPECIFICATION {
        Ok(folder) => Some(folder),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

fn load(text: &[u8]) -> Result<(), String> {
    let loaded = spec::parse(text, Path::new("config.json"), &mut Vec::new());
    loaded.map(drop).map_err(|error| error.to_string())
}

/// What is not as expected of `text`: that it loads, or is refused as `refused` has it.
fn judge(name: &str, text: &[u8], refused: &[(&str, &str)]) -> Option<String> {
    let expected = refused.iter().find(|(listed, _)| *listed == name);
    match (load(text), expected) {
        (Ok(()), None) => None,
        (Ok(()), Some(_)) => Some(format!("{name} loads, though it is listed as refused")),
        (Err(error), Some((_, said))) if error.contains(said) => None,
        (Err(error), _) => Some(format!("{name} is refused: {error}")),
    }
}

#[test]
fn examples_of_the_schema() {
    let Some(specification) = specification() else { return };
    let examples = |kind: &str| {
        let folder = specification.join("schema/test/config").join(kind);
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.map(|file| {
            (file.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&file).unwrap())
        })
    };
    let wrong: Vec<_> =
        examples("good").filter_map(|(name, text)| judge(&name, &text, &REFUSED)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (name, text) in examples("bad") {
        assert_eq!(load(&text).is_ok(), ACCEPTED.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn examples_of_the_text() {
    let Some(specification) = specification() else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in ["config.md", "config-linux.md"] {
        let text = fs::read_to_string(specification.join(file)).unwrap();
        for (line, example) in blocks(&text) {
            let name = format!("{file}:{line}");
            if TEXT_LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            let members = members(&example).unwrap_or_else(|| panic!("{name} is no JSON"));
            let config = serde_json::to_vec(&config_with(members)).unwrap();
            wrong.extend(judge(&name, &config, &TEXT_REFUSED));
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 20, "only {seen} examples");
}

/// The blocks of JSON in a Markdown text, with the lines that they begin on.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        match line.trim() {
            "```json" => blocks.push((index + 1, String::new())),
            _ if inside && !line.starts_with("```") => {
                let (_, block) = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
        inside = line.trim() == "```json" || inside && !line.starts_with("```");
    }
    blocks
}

/// The members of a block that is an object, or what stands in one.
fn members(block: &str) -> Option<Map<String, Value>> {
    let whole = serde_json::from_str(block);
    whole.or_else(|_| serde_json::from_str(&format!("{{{block}}}"))).ok()
}

/// A config with what the text's examples take for granted, and `members` where they belong.
fn config_with(members: Map<String, Value>) -> Value {
    let kinds = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"];
    let mappings = json!([{ "containerID": 0, "hostID": 1000, "size": 32000 }]);
    let mut config = json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "linux": {
            "namespaces": kinds.map(|kind| json!({ "type": kind })),
            "uidMappings": mappings,
            "gidMappings": mappings,
            "resources": {},
        },
    });
    for (key, value) in members {
        let parent = match key.as_str() {
            "devices" if value[0]["allow"].is_boolean() => "/linux/resources",
            "memory" | "cpu" | "blockIO" | "hugepageLimits" | "network" | "pids" | "rdma"
            | "unified" => "/linux/resources",
            "ociVersion" | "root" | "mounts" | "process" | "hostname" | "domainname" | "hooks"
            | "annotations" | "linux" => "",
            _ => "/linux",
        };
        config.pointer_mut(parent).unwrap()[key] = value;
    }
    config
}
