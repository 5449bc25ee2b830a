//! What is made from the tables of the command line beside the help: completion in real shells,
//! manual pages, the archive that has it all, and the list of crates beside that.

use integration_tests::command::run;
use integration_tests::host::needs_program;
use integration_tests::test::{Test, skip};
use integration_tests::{Bundle, Container, Output, Value, binary, tests};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

pub const TESTS: &[Test] = tests![
    bash_completes,
    zsh_completes,
    fish_completes,
    names_of_files_are_the_shells,
    every_flag_is_offered,
    unknown_shell_is_refused,
    every_command_and_flag_has_its_place_in_a_page,
    unknown_page_is_refused,
    pages_into_a_file_are_refused,
    groff_takes_every_page,
    mandoc_takes_every_page,
    archive_has_all_that_is_installed,
    list_of_crates_is_that_of_the_program,
];

/// Prints what bash offers for the last of the words.
const BASH: &str = r#"
    source <("$0" completion bash)
    COMP_WORDS=("$0" "$@") COMP_CWORD=$#
    _rind
    printf '%s\n' "${COMPREPLY[@]}"
"#;

/// The same of zsh; what takes the offers is our own, as zsh's is only there where lines are edited.
const ZSH: &str = r#"
    compdef() { }
    compset() { }
    _files() { print -r -- :files $@ }
    _describe() { print -rl -- ${${(P)4}%%:*} }
    source <($0 completion zsh)
    words=($0 "$@") CURRENT=$#words
    _rind
"#;

/// The same of fish, whose builtin completes a line.
const FISH: &str = r#"
    set --global program $argv[1]
    function rind; $program $argv; end
    rind completion fish | source
    complete --do-complete "rind $argv[2..]" | string replace --regex '\t.*' ''
"#;

/// What `shell` offers for the last of `words`, sorted.
#[track_caller]
fn offered(shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(needs_program(shell));
    match shell {
        "bash" => command.args(["--norc", "-c", BASH]).arg(binary::rind()).args(taken_apart(words)),
        "zsh" => command.args(["-f", "-c", ZSH]).arg(binary::rind()).args(words),
        _ => command.args(["--no-config", "-c", FISH]).arg(binary::rind()).args(words),
    };
    // Where fish would keep its history.
    let home = Bundle::new();
    command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
    let output = run(command);
    assert!(output.stderr.is_empty(), "{output:#?}");
    let mut lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines
}

/// The words as bash has them: a `=` stands for itself.
fn taken_apart<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let apart = words.iter().flat_map(|word| match word.split_once('=') {
        Some((flag, "")) => vec![flag, "="],
        Some((flag, value)) => vec![flag, "=", value],
        None => vec![*word],
    });
    apart.collect()
}

/// Lines that have to be completed alike by every shell.
fn completes(shell: &str) {
    let container = Container::created(Bundle::new());
    let root = container.root().to_str().unwrap();
    let id = container.id();
    let inline = format!("--root={root}");
    let cases: [(&[&str], &[&str]); 19] = [
        (&["ki"], &["kill"]),
        (&["help", "del"], &["delete"]),
        (&["nonsense", ""], &[]),
        (&["--log-f"], &["--log-format"]),
        (&["--log-format", ""], &["json", "text"]),
        (&["list", "--quiet", "--for"], &["--format"]),
        (&["list", "-f", "t"], &["table"]),
        (&["-root", root, "delete", ""], &[id]),
        (&["--root", root, "delete", "--force", ""], &[id]),
        (&[&inline, "kill", ""], &[id]),
        (&["--root", root, "kill", id, "HU"], &["HUP"]),
        (&["kill", id, "SIGTE"], &["SIGTERM"]),
        // Its id is to be a new one.
        (&["--root", root, "create", ""], &[]),
        (&["create", "--pid-file", "/f", "--console"], &["--console-socket"]),
        (&["--root", root, "inspect", ""], &[id]),
        (&["check", "--format", ""], &["json", "text"]),
        (&["kill", "--", "--a"], &[]),
        (&["completion", "ba"], &["bash"]),
        (&["man", "sp"], &["spec"]),
    ];
    for (words, expected) in cases {
        assert_eq!(offered(shell, words), expected, "{shell}: {words:?}");
    }
    let values = offered(shell, &["list", "--format="]);
    let prefix = if shell == "fish" { "--format=" } else { "" };
    assert_eq!(values, ["json", "table"].map(|value| format!("{prefix}{value}")), "{shell}");
}

fn bash_completes() {
    completes("bash");
}

fn zsh_completes() {
    completes("zsh");
}

fn fish_completes() {
    completes("fish");
}

fn names_of_files_are_the_shells() {
    let bundle = Bundle::new();
    let begun = bundle.path().join("conf");
    let begun = begun.to_str().unwrap();
    let config = format!("{begun}ig.json");
    assert_eq!(offered("bash", &["--log", begun]), [config.as_str()]);
    assert_eq!(offered("bash", &[&format!("--log={begun}")]), [config.as_str()]);
    let folder = bundle.path();
    let folder = folder.to_str().unwrap();
    assert_eq!(offered("bash", &["create", "--bundle", folder]), [folder]);
    assert_eq!(offered("bash", &["create", "--bundle", begun]), [""; 0]);
    assert_eq!(offered("fish", &["--log", begun]), [config.as_str()]);
    assert_eq!(offered("fish", &[&format!("--log={begun}")]), [format!("--log={config}")]);
    assert_eq!(offered("zsh", &["--log", begun]), [":files"]);
    assert_eq!(offered("zsh", &["create", "--bundle", begun]), [":files -/"]);
}

/// The runtime's answer to these words.
fn rind(words: &[&str]) -> Output {
    let mut command = Command::new(binary::rind());
    command.args(words);
    run(command)
}

#[track_caller]
fn printed(words: &[&str]) -> String {
    rind(words).succeeded().stdout
}

/// The names of all commands, from the help.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let (_, list) = help.split_once("\ncommands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    // The last line names those that it says no more of.
    let names = lines.flat_map(|line| match line.split_once("also ") {
        Some(("  ", others)) => others.trim_start().split(", ").collect(),
        _ => vec![line.split_whitespace().next().unwrap()],
    });
    names.map(str::to_owned).collect()
}

/// The flags that the help of `words` has.
fn flags(words: &[&str]) -> Vec<String> {
    let help = printed(&[words, &["--help"]].concat());
    let lines = help.lines().filter_map(|line| line.strip_prefix("  --"));
    let flags = lines.flat_map(|line| line.split("; --"));
    flags.map(|line| line.split([' ', ',']).next().unwrap().to_owned()).collect()
}

fn every_flag_is_offered() {
    let commands = commands();
    let of_commands = commands.iter().map(|command| vec![command.as_str()]);
    for words in of_commands.chain([Vec::new()]) {
        let mut expected = flags(&words);
        if !words.is_empty() {
            expected.push("help".to_owned());
        }
        let lines = printed(&[&["completion", "fish"], &words[..], &["--"]].concat());
        let offers: Vec<_> =
            lines.lines().map(|line| line.split('\t').next().unwrap().replace("--", "")).collect();
        assert_eq!(offers, expected, "{words:?}");
    }
    let lines = printed(&["completion", "fish", ""]);
    let offers: Vec<_> = lines.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(offers, [commands.iter().map(String::as_str).collect(), vec!["help"]].concat());
}

fn unknown_shell_is_refused() {
    let _ = rind(&["completion", "tcsh"]).failed_with("none of bash, zsh, fish");
}

/// All pages, in the folder of `bundle`.
fn pages(bundle: &Bundle) -> PathBuf {
    let folder = bundle.path().join("man");
    assert_eq!(printed(&["man", "--output", folder.to_str().unwrap()]), "");
    folder
}

fn every_command_and_flag_has_its_place_in_a_page() {
    let bundle = Bundle::new();
    let folder = pages(&bundle);
    let page = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let own = page("rind.8");
    assert_eq!(own, printed(&["man"]));
    let has_flags = |page: &str, words: &[&str]| {
        for flag in flags(words) {
            let flag = format!("\n\\fB\\-\\-{}\\fR", flag.replace('-', "\\-"));
            assert!(page.contains(&flag), "{flag} is not in {page}");
        }
    };
    has_flags(&own, &[]);
    let commands = commands();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), commands.len() + 1);
    for command in commands {
        let page = page(&format!("rind-{command}.8"));
        assert_eq!(page, printed(&["man", &command]));
        assert!(own.contains(&format!("\n.BR rind\\-{} (8)\n", command.replace('-', "\\-"))));
        has_flags(&page, &[&command]);
        for section in ["EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{section} is not in {page}");
        }
    }
}

fn unknown_page_is_refused() {
    let _ = rind(&["man", "stat"]).failed_with("did you mean");
}

fn pages_into_a_file_are_refused() {
    let bundle = Bundle::new();
    let file = bundle.path().join("config.json");
    let words = ["man", "--output", file.to_str().unwrap()];
    let _ = rind(&words).failed_with("config.json: file exists");
}

/// Has `program FLAGS PAGE` look at every page; not a word is to be said.
#[track_caller]
fn is_taken_by(program: &str, flags: &[&str]) {
    let bundle = Bundle::new();
    for page in fs::read_dir(pages(&bundle)).unwrap() {
        let mut command = Command::new(needs_program(program));
        command.args(flags).arg(page.unwrap().path());
        let output = run(command).succeeded();
        let is_silent = program != "mandoc" || output.stdout.is_empty();
        assert!(is_silent, "{output:#?}");
    }
}

fn groff_takes_every_page() {
    is_taken_by("groff", &["-man", "-Tutf8", "-ww"]);
}

fn mandoc_takes_every_page() {
    is_taken_by("mandoc", &["-Tlint", "-Wwarning"]);
}

fn archive_has_all_that_is_installed() {
    let bundle = Bundle::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/dist");
    let mut command = Command::new(script);
    command.arg("--no-sbom").arg(binary::rind()).arg(bundle.path());
    let made = run(command).succeeded().stdout;
    let archive = made.lines().find(|name| name.ends_with(".tar.gz")).unwrap().to_owned();
    let mut command = Command::new(needs_program("sha256sum"));
    command.current_dir(bundle.path()).args(["--check", &format!("{archive}.sha256")]);
    let _ = run(command).succeeded();

    let mut command = Command::new(needs_program("tar"));
    command.args(["-xzf", &archive, "--strip-components=1", "-C"]).arg(bundle.path());
    let _ = run(command).succeeded();
    let same = |file: &str, words: &[&str]| {
        let installed = fs::read_to_string(bundle.path().join(file)).unwrap();
        assert_eq!(installed, printed(words), "{file}");
    };
    same("share/man/man8/rind.8", &["man"]);
    same("share/man/man8/rind-create.8", &["man", "create"]);
    same("share/bash-completion/completions/rind", &["completion", "bash"]);
    same("share/zsh/site-functions/_rind", &["completion", "zsh"]);
    same("share/fish/vendor_completions.d/rind.fish", &["completion", "fish"]);
    let licence = fs::read_to_string(bundle.path().join("share/doc/rind/LICENSE")).unwrap();
    assert!(licence.contains("Apache License"));
    let program = fs::read(bundle.path().join("bin/rind")).unwrap();
    assert!(program == fs::read(binary::rind()).unwrap());
}

fn list_of_crates_is_that_of_the_program() {
    let Some(cargo) = env::var_os("CARGO") else { skip("cargo test does not run this") };
    let _ = needs_program("python3");
    let bundle = Bundle::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = bundle.folder().join("list");
    let list = || {
        let mut command = Command::new(root.join("scripts/sbom"));
        command.arg(binary::rind()).arg(&file);
        let _ = run(command).succeeded();
        serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap()
    };
    let made = list();
    assert_eq!(made, list(), "the same once more");

    let target = made["metadata"]["properties"][0]["value"].as_str().unwrap();
    let tree = |edges: &str| -> BTreeSet<String> {
        let mut command = Command::new(&cargo);
        command.current_dir(&root).args([
            "tree",
            "--locked",
            "--package",
            "rind",
            "--target",
            target,
        ]);
        command.args(["--edges", edges, "--prefix", "none", "--format", "{p}"]);
        let said = run(command).stdout;
        let names = said.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        names.filter(|name| !name.starts_with("rind v")).collect()
    };
    let components = made["components"].as_array().unwrap();
    let of_crates = || components.iter().filter(|one| one["name"] != "rust-std");
    let name = |one: &Value| format!("{} v{}", text(&one["name"]), text(&one["version"]));
    assert_eq!(of_crates().map(name).collect::<BTreeSet<_>>(), tree("normal,build"));
    let shipped = of_crates().filter(|one| one["scope"] == "required");
    assert_eq!(shipped.map(name).collect::<BTreeSet<_>>(), tree("normal,no-proc-macro"));

    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
    for one in of_crates() {
        let (package, version) = (text(&one["name"]), text(&one["version"]));
        assert!(text(&one["purl"]).starts_with(&format!("pkg:cargo/{package}@{version}")), "{one}");
        assert!(!text(&one["licenses"][0]["expression"]).is_empty(), "{one}");
        let locked = format!("name = \"{package}\"\nversion = \"{version}\"\n");
        let (_, locked) = lock.split_once(&locked).expect(package);
        let locked = locked.split("[[package]]").next().unwrap();
        match one["hashes"][0]["content"].as_str() {
            Some(sum) => assert!(locked.contains(&format!("checksum = \"{sum}\"")), "{one}"),
            None => assert!(!locked.contains("checksum"), "{one}"),
        }
    }

    // Each is needed by the program, directly or not.
    let graph: BTreeMap<&str, &Value> = made["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (text(&entry["ref"]), &entry["dependsOn"]))
        .collect();
    let mut reached = BTreeSet::new();
    let mut left = vec![text(&made["metadata"]["component"]["bom-ref"])];
    while let Some(one) = left.pop() {
        if reached.insert(one) {
            left.extend(graph[one].as_array().unwrap().iter().map(text));
        }
    }
    let all = components.iter().chain([&made["metadata"]["component"]]);
    assert_eq!(all.map(|one| text(&one["bom-ref"])).collect::<BTreeSet<_>>(), reached);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
